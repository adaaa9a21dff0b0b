/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Working directory, root and umask of a process, and the calls that change them.
 *
 * root and cwd change under fs_context.lock and dcache_lock: path walks read them under the latter
 * alone.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "fs/files.h"
#include "fs/namei.h"

struct fs_context *fs_context_copy(struct fs_context *from)
{
    struct fs_context *c = kmalloc(sizeof(*c));
    if (!c)
        return NULL;
    ref_init(&c->ref, 1);
    spin_init(&c->lock);
    if (from) {
        spin_lock(&dcache_lock);
        c->root = from->root;
        c->cwd = from->cwd;
        path_get(&c->root);
        path_get(&c->cwd);
        spin_unlock(&dcache_lock);
        c->umask = from->umask;
    } else {
        c->root.mnt = c->cwd.mnt = root_mount;
        c->root.dentry = c->cwd.dentry = root_mount->root;
        path_get(&c->root);
        path_get(&c->cwd);
        c->umask = 022;
    }
    return c;
}

void fs_context_put(struct fs_context *c)
{
    if (!c || !ref_put(&c->ref))
        return;
    path_put(&c->root);
    path_put(&c->cwd);
    kfree(c);
}

/* *slot := p, whose counts are taken over. */
static void set_path(struct path *slot, const struct path *p)
{
    struct fs_context *c = current->fs;
    spin_lock(&c->lock);
    spin_lock(&dcache_lock);
    struct path old = *slot;
    *slot = *p;
    spin_unlock(&dcache_lock);
    spin_unlock(&c->lock);
    path_put(&old);
}

int64_t sys_chdir(uaddr_t name)
{
    struct path p;
    int err = path_lookup_user(AT_FDCWD_K, name, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &p);
    if (err)
        return err;
    err = inode_permission(p.dentry->inode, MAY_EXEC);
    if (err)
        path_put(&p);
    else
        set_path(&current->fs->cwd, &p);
    return err;
}

int64_t sys_fchdir(int fd)
{
    bool counted;
    struct file *f = fd_borrow_any(fd, &counted);
    if (!f)
        return -EBADF;
    int err = S_ISDIR_K(f->inode->mode) ? inode_permission(f->inode, MAY_EXEC) : -ENOTDIR;
    if (!err) {
        struct path p = f->path;
        path_get(&p);
        set_path(&current->fs->cwd, &p);
    }
    fd_unborrow(f, counted);
    return err;
}

int64_t sys_chroot(uaddr_t name)
{
    struct path p;
    int err = path_lookup_user(AT_FDCWD_K, name, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &p);
    if (err)
        return err;
    err = inode_permission(p.dentry->inode, MAY_EXEC);
    if (!err && !vfs_capable(CAP_SYS_CHROOT_K))
        err = -EPERM;
    if (err)
        path_put(&p);
    else
        set_path(&current->fs->root, &p);
    return err;
}

int64_t sys_umask(int mask)
{
    struct fs_context *c = current->fs;
    return (int64_t)__atomic_exchange_n(&c->umask, (kmode_t)mask & 0777, __ATOMIC_RELAXED);
}

int fs_context_chdir(const char *path)
{
    struct path p;
    int r = path_lookup(path, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &p);
    if (r == 0)
        set_path(&current->fs->cwd, &p);
    return r;
}
