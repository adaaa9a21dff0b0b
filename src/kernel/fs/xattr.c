/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes: the twelve calls, and who may use which name space.
 *
 *   user.      regular files and directories; as the mode bits allow; in sticky directories only
 * the owner writes trusted.   CAP_SYS_ADMIN; for others such names do not exist security. everybody
 * reads; CAP_SYS_ADMIN writes
 */
#include "base/kmalloc.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "fs/files.h"
#include "fs/fsnotify.h"
#include "fs/namei.h"

#define XATTR_NAME_MAX_K 255
#define XATTR_SIZE_MAX_K 65536u
#define XATTR_LIST_MAX_K 65536u
enum { XATTR_CREATE_K = 1, XATTR_REPLACE_K = 2, REMOVE = 4 /* our own */ };

struct xattr_name {
    char text[XATTR_NAME_MAX_K + 1];
};

static int name_from_user(struct xattr_name *name, uaddr_t addr)
{
    long n = strncpy_from_user(name->text, addr, sizeof(name->text));
    if (n == 0 || n == -ENAMETOOLONG)
        return -ERANGE;
    return n < 0 ? (int)n : 0;
}

/* Is it a name of that space? */
static bool in_space(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static int check_name(const char *name)
{
    static const char *const spaces[] = {"user.", "trusted.", "security."};
    for (size_t i = 0; i < ARRAY_LEN(spaces); i++)
        if (in_space(name, spaces[i]))
            return name[strlen(spaces[i])] ? 0 : -EINVAL;
    return -EOPNOTSUPP;
}

/* mask: MAY_READ or MAY_WRITE. */
static int check_access(struct inode *inode, const char *name, int mask)
{
    bool write = mask == MAY_WRITE;
    if (in_space(name, "security."))
        return write && !vfs_capable(CAP_SYS_ADMIN_K) ? -EPERM : 0;
    if (in_space(name, "trusted."))
        return vfs_capable(CAP_SYS_ADMIN_K) ? 0 : write ? -EPERM : -ENODATA;
    if (in_space(name, "user.")) {
        if (!S_ISREG_K(inode->mode) && !S_ISDIR_K(inode->mode))
            return write ? -EPERM : -ENODATA;
        if (write && S_ISDIR_K(inode->mode) && (inode->mode & S_ISVTX_K) &&
            !inode_owner_or_capable(inode))
            return -EPERM;
    }
    return inode_permission(inode, mask);
}

/* ---- on a path ---- */

/* value NULL and flags REMOVE: takes the attribute away. */
static int change_on(const struct path *p, const char *name, const void *value, size_t size,
                     int flags)
{
    struct inode *inode = p->dentry->inode;
    const struct inode_ops *ops = inode->ops;
    bool remove = flags == REMOVE;
    int err = mount_writable(p->mnt);
    if (!err)
        err = check_access(inode, name, MAY_WRITE);
    if (!err)
        err = check_name(name);
    if (!err && (remove ? !ops->removexattr : !ops->setxattr))
        err = -EOPNOTSUPP;
    if (err)
        return err;
    mutex_lock(&inode->lock);
    err = remove ? ops->removexattr(inode, name) : ops->setxattr(inode, name, value, size, flags);
    mutex_unlock(&inode->lock);
    if (!err)
        fsnotify_dentry(p->dentry, IN_ATTRIB_K);
    return err;
}

static int64_t get_on(const struct path *p, const char *name, uaddr_t value, size_t size)
{
    struct inode *inode = p->dentry->inode;
    void *buf = NULL;
    int64_t n = check_access(inode, name, MAY_READ);
    if (!n)
        n = check_name(name);
    if (!n && !inode->ops->getxattr)
        n = -EOPNOTSUPP;
    if (n)
        return n;
    size = k_min(size, (size_t)XATTR_SIZE_MAX_K);
    if (size) {
        buf = kmalloc(size);
        if (!buf)
            return -ENOMEM;
    }
    n = inode->ops->getxattr(inode, name, buf, size);
    if (n > 0 && size && copy_to_user(value, buf, (size_t)n) != 0)
        n = -EFAULT;
    kfree(buf);
    return n;
}

/* Drops the names that current may not know of; returns the length of what is left. */
static size_t hide_names(char *names, size_t len)
{
    size_t kept = 0;
    if (vfs_capable(CAP_SYS_ADMIN_K))
        return len;
    for (size_t at = 0; at < len;) {
        size_t n = strnlen(names + at, len - at) + 1;
        n = k_min(n, len - at);
        if (!in_space(names + at, "trusted.")) {
            memmove(names + kept, names + at, n);
            kept += n;
        }
        at += n;
    }
    return kept;
}

static int64_t list_on(const struct path *p, uaddr_t list, size_t size)
{
    struct inode *inode = p->dentry->inode;
    if (!inode->ops->listxattr)
        return 0;
    char *buf = kmalloc(XATTR_LIST_MAX_K);
    if (!buf)
        return -ENOMEM;
    int64_t n = inode->ops->listxattr(inode, buf, XATTR_LIST_MAX_K);
    if (n > 0) {
        n = (int64_t)hide_names(buf, (size_t)n);
        if (size && (uint64_t)n > size)
            n = -ERANGE;
        else if (size && copy_to_user(list, buf, (size_t)n) != 0)
            n = -EFAULT;
    }
    kfree(buf);
    return n;
}

/* ---- where: a name followed, a name not followed, a descriptor ---- */

struct target {
    struct path path;
    struct file *file; /* the path is borrowed from it */
    bool counted;
};

#define BY_FD UINT32_MAX

/* where: a descriptor, or a name of the workload to look up with the flags `how`. */
static int target_get(struct target *t, uint64_t where, unsigned how)
{
    t->file = NULL;
    if (how != BY_FD)
        return path_lookup_user(AT_FDCWD_K, where, how, &t->path);
    t->file = fd_borrow((int)where, &t->counted);
    if (!t->file)
        return -EBADF;
    t->path = t->file->path;
    return 0;
}

static void target_put(struct target *t)
{
    if (t->file)
        fd_unborrow(t->file, t->counted);
    else
        path_put(&t->path);
}

static int64_t do_set(uint64_t where, unsigned how, uaddr_t name, uaddr_t value, uint64_t size,
                      int flags)
{
    struct target t;
    struct xattr_name n;
    void *buf = NULL;
    int err = target_get(&t, where, how);
    if (err)
        return err;
    err = flags & ~(XATTR_CREATE_K | XATTR_REPLACE_K) ? -EINVAL : name_from_user(&n, name);
    if (!err && size > XATTR_SIZE_MAX_K)
        err = -E2BIG;
    if (!err && size) {
        buf = kmalloc((size_t)size);
        err = !buf ? -ENOMEM : copy_from_user(buf, value, (size_t)size);
    }
    if (!err)
        err = change_on(&t.path, n.text, buf, (size_t)size, flags);
    kfree(buf);
    target_put(&t);
    return err;
}

static int64_t do_get(uint64_t where, unsigned how, uaddr_t name, uaddr_t value, uint64_t size)
{
    struct target t;
    struct xattr_name n;
    int64_t r = target_get(&t, where, how);
    if (r)
        return r;
    r = name_from_user(&n, name);
    if (!r)
        r = get_on(&t.path, n.text, value, (size_t)size);
    target_put(&t);
    return r;
}

static int64_t do_list(uint64_t where, unsigned how, uaddr_t list, uint64_t size)
{
    struct target t;
    int64_t r = target_get(&t, where, how);
    if (r)
        return r;
    r = list_on(&t.path, list, (size_t)size);
    target_put(&t);
    return r;
}

static int64_t do_remove(uint64_t where, unsigned how, uaddr_t name)
{
    struct target t;
    struct xattr_name n;
    int err = target_get(&t, where, how);
    if (err)
        return err;
    err = name_from_user(&n, name);
    if (!err)
        err = change_on(&t.path, n.text, NULL, 0, REMOVE);
    target_put(&t);
    return err;
}

/* ---- system calls ---- */

int64_t sys_setxattr(uaddr_t path, uaddr_t name, uaddr_t value, uint64_t size, int flags)
{
    return do_set(path, LOOKUP_FOLLOW, name, value, size, flags);
}

int64_t sys_lsetxattr(uaddr_t path, uaddr_t name, uaddr_t value, uint64_t size, int flags)
{
    return do_set(path, 0, name, value, size, flags);
}

int64_t sys_fsetxattr(int fd, uaddr_t name, uaddr_t value, uint64_t size, int flags)
{
    return do_set((uint64_t)fd, BY_FD, name, value, size, flags);
}

int64_t sys_getxattr(uaddr_t path, uaddr_t name, uaddr_t value, uint64_t size)
{
    return do_get(path, LOOKUP_FOLLOW, name, value, size);
}

int64_t sys_lgetxattr(uaddr_t path, uaddr_t name, uaddr_t value, uint64_t size)
{
    return do_get(path, 0, name, value, size);
}

int64_t sys_fgetxattr(int fd, uaddr_t name, uaddr_t value, uint64_t size)
{
    return do_get((uint64_t)fd, BY_FD, name, value, size);
}

int64_t sys_listxattr(uaddr_t path, uaddr_t list, uint64_t size)
{
    return do_list(path, LOOKUP_FOLLOW, list, size);
}

int64_t sys_llistxattr(uaddr_t path, uaddr_t list, uint64_t size)
{
    return do_list(path, 0, list, size);
}

int64_t sys_flistxattr(int fd, uaddr_t list, uint64_t size)
{
    return do_list((uint64_t)fd, BY_FD, list, size);
}

int64_t sys_removexattr(uaddr_t path, uaddr_t name)
{
    return do_remove(path, LOOKUP_FOLLOW, name);
}

int64_t sys_lremovexattr(uaddr_t path, uaddr_t name)
{
    return do_remove(path, 0, name);
}

int64_t sys_fremovexattr(int fd, uaddr_t name)
{
    return do_remove((uint64_t)fd, BY_FD, name);
}
