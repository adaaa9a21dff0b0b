/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls that make and remove names: mkdir, mknod, symlink, link, unlink, rmdir, rename; and
 * readlink, getdents.
 *
 * Each walks to the directory, takes its inode->lock, looks the last component up again under it,
 * checks, and calls the file system. Two directories (rename) are locked parent before child, else
 * by address, with rename_lock around, so that the tree stands still while it is decided which is
 * above which.
 */
#include "base/kmalloc.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "fs/files.h"
#include "fs/namei.h"

static struct mutex rename_lock = {SPINLOCK_INIT, NULL, WAIT_QUEUE_INIT(rename_lock.q)};

/* ---- making ---- */

/* Walks to where a new name shall stand, locks the directory, and gives the negative dentry. After
 * success create_end. -EEXIST when the name is taken. */
static int create_begin(struct walk *w, int dirfd, const char *name, bool is_dir,
                        struct dentry **out)
{
    if (!*name)
        return -ENOENT;
    walk_begin(w, dirfd, name, LOOKUP_PARENT);
    int err = walk_run(w);
    if (!err && w->last_type != LAST_NAME)
        err = -EEXIST;
    if (err) {
        walk_end(w);
        return err;
    }
    struct inode *dir = w->path.dentry->inode;
    mutex_lock(&dir->lock);
    struct dentry *d = walk_lookup_last_locked(w);
    if (is_err(d))
        err = (int)ptr_err(d);
    else if (d->inode)
        err = -EEXIST;
    else if (w->slash && !is_dir)
        err = -ENOENT; /* "name/" is a directory's name */
    else
        err = mount_writable(w->path.mnt);
    if (!err)
        err = may_create_in(dir);
    if (err) {
        mutex_unlock(&dir->lock);
        if (!is_err(d))
            dentry_put(d);
        walk_end(w);
        return err;
    }
    *out = d;
    return 0;
}

/* inode: what was made, or NULL after an error. */
static void create_end(struct walk *w, struct dentry *d, struct inode *inode)
{
    if (inode)
        dentry_instantiate(d, inode);
    mutex_unlock(&w->path.dentry->inode->lock);
    dentry_put(d);
    walk_end(w);
}

/* made: what was made, counted; NULL: not wanted. */
static int make_node(int dirfd, const char *name, kmode_t mode, uint64_t rdev, struct path *made)
{
    struct walk w;
    struct dentry *d;
    struct inode *inode = NULL;
    kgid_t gid;
    int err = create_begin(&w, dirfd, name, S_ISDIR_K(mode), &d);
    if (err)
        return err;
    struct inode *dir = w.path.dentry->inode;
    mode = create_mode(dir, mode, &gid);
    err = dir->ops->create
              ? dir->ops->create(dir, d->name, d->name_len, mode, rdev, vfs_fsuid(), gid, &inode)
              : -EPERM;
    if (!err && made) {
        *made = (struct path){w.path.mnt, d};
        path_get(made);
    }
    create_end(&w, d, err ? NULL : inode);
    return err;
}

static int make_symlink(int dirfd, const char *name, const char *target)
{
    struct walk w;
    struct dentry *d;
    struct inode *inode = NULL;
    kgid_t gid;
    int err = create_begin(&w, dirfd, name, false, &d);
    if (err)
        return err;
    struct inode *dir = w.path.dentry->inode;
    create_mode(dir, S_IFLNK_K | 0777, &gid);
    err = dir->ops->symlink
              ? dir->ops->symlink(dir, d->name, d->name_len, target, vfs_fsuid(), gid, &inode)
              : -EPERM;
    create_end(&w, d, err ? NULL : inode);
    return err;
}

int vfs_mkdir(const char *path, kmode_t mode)
{
    return make_node(AT_FDCWD_K, path, S_IFDIR_K | (mode & 07777), 0, NULL);
}

int vfs_make_socket(const char *path, struct path *made)
{
    return make_node(AT_FDCWD_K, path, S_IFSOCK_K | 0777, 0, made);
}

int vfs_symlink(const char *target, const char *path)
{
    return make_symlink(AT_FDCWD_K, path, target);
}

int64_t sys_mkdirat(int dirfd, uaddr_t name, uint32_t mode)
{
    struct pathname pn;
    int err = pathname_get(&pn, name, false);
    if (!err)
        err = make_node(dirfd, pn.s, S_IFDIR_K | (mode & 01777), 0, NULL);
    pathname_put(&pn);
    return err;
}

int64_t sys_mkdir(uaddr_t name, uint32_t mode)
{
    return sys_mkdirat(AT_FDCWD_K, name, mode);
}

int64_t sys_mknodat(int dirfd, uaddr_t name, uint32_t mode, uint32_t dev)
{
    struct pathname pn;
    switch (mode & S_IFMT_K) {
    case 0: mode |= S_IFREG_K; break;
    case S_IFREG_K:
    case S_IFCHR_K:
    case S_IFBLK_K:
    case S_IFIFO_K:
    case S_IFSOCK_K: break;
    case S_IFDIR_K: return -EPERM;
    default: return -EINVAL;
    }
    int err = pathname_get(&pn, name, false);
    /* A character device 0:0 is no device but a mark (whiteout), and anybody's. */
    if (!err && (S_ISBLK_K(mode) || (S_ISCHR_K(mode) && dev != 0)) && !vfs_capable(CAP_MKNOD_K))
        err = -EPERM;
    if (!err)
        err = make_node(dirfd, pn.s, mode & (S_IFMT_K | 07777),
                        S_ISCHR_K(mode) || S_ISBLK_K(mode) ? dev : 0, NULL);
    pathname_put(&pn);
    return err;
}

int64_t sys_mknod(uaddr_t name, uint32_t mode, uint32_t dev)
{
    return sys_mknodat(AT_FDCWD_K, name, mode, dev);
}

int64_t sys_symlinkat(uaddr_t target, int dirfd, uaddr_t name)
{
    struct pathname to, pn;
    int err = pathname_get(&to, target, false);
    if (!err) {
        err = pathname_get(&pn, name, false);
        if (!err)
            err = make_symlink(dirfd, pn.s, to.s);
        pathname_put(&pn);
    }
    pathname_put(&to);
    return err;
}

int64_t sys_symlink(uaddr_t target, uaddr_t name)
{
    return sys_symlinkat(target, AT_FDCWD_K, name);
}

/* ---- link ---- */

/* Hard links only to what one owns, or to a plain file one may read and write: else a link would
 * keep somebody's set-user-ID program, or trick a privileged one into touching a file of the
 * attacker's choice. */
static int check_protected_hardlink(struct inode *inode)
{
    kmode_t mode = inode->mode;
    if (!protected_hardlinks || inode_owner_or_capable(inode))
        return 0;
    if (!S_ISREG_K(mode) || (mode & S_ISUID_K) || (mode & (S_ISGID_K | 010)) == (S_ISGID_K | 010) ||
        inode_permission(inode, MAY_READ | MAY_WRITE) != 0)
        return -EPERM;
    return 0;
}

static int do_link(const struct path *old, int dirfd, const char *name)
{
    struct walk w;
    struct dentry *d;
    struct inode *inode = old->dentry->inode;
    int err = create_begin(&w, dirfd, name, false, &d);
    if (err)
        return err;
    struct inode *dir = w.path.dentry->inode;
    if (old->mnt != w.path.mnt)
        err = -EXDEV;
    if (!err)
        err = check_protected_hardlink(inode);
    if (!err && (!dir->ops->link || S_ISDIR_K(inode->mode)))
        err = -EPERM;
    if (!err) {
        mutex_lock(&inode->lock);
        if (inode->nlink == 0 && !(inode->flags & INODE_LINKABLE))
            err = -ENOENT;
        else
            err = dir->ops->link(dir, d->name, d->name_len, inode);
        if (!err)
            inode->flags &= ~(uint32_t)INODE_LINKABLE;
        mutex_unlock(&inode->lock);
    }
    if (!err)
        inode_get(inode);
    create_end(&w, d, err ? NULL : inode);
    return err;
}

int64_t sys_linkat(int old_dirfd, uaddr_t old_name, int new_dirfd, uaddr_t new_name, int flags)
{
    struct pathname pn;
    struct path old;
    unsigned lookup = flags & AT_SYMLINK_FOLLOW_K ? LOOKUP_FOLLOW : 0;
    if (flags & ~(AT_SYMLINK_FOLLOW_K | AT_EMPTY_PATH_K))
        return -EINVAL;
    if (flags & AT_EMPTY_PATH_K) {
        if (!vfs_capable(CAP_DAC_READ_SEARCH_K))
            return -ENOENT;
        lookup |= LOOKUP_EMPTY;
    }
    int err = path_lookup_user(old_dirfd, old_name, lookup, &old);
    if (err)
        return err;
    err = pathname_get(&pn, new_name, false);
    if (!err)
        err = do_link(&old, new_dirfd, pn.s);
    pathname_put(&pn);
    path_put(&old);
    return err;
}

int64_t sys_link(uaddr_t old_name, uaddr_t new_name)
{
    return sys_linkat(AT_FDCWD_K, old_name, AT_FDCWD_K, new_name, 0);
}

/* ---- removing ---- */

static int remove_locked(const struct walk *w, struct dentry *d, bool is_dir)
{
    struct inode *dir = w->path.dentry->inode, *victim = d->inode;
    if (!victim)
        return -ENOENT;
    if (!is_dir && w->slash)
        return S_ISDIR_K(victim->mode) ? -EISDIR : -ENOTDIR;
    int err = mount_writable(w->path.mnt);
    if (!err)
        err = may_delete_from(dir, d, is_dir);
    if (!err && !(is_dir ? dir->ops->rmdir : dir->ops->unlink))
        err = -EPERM;
    if (err)
        return err;
    mutex_lock(&victim->lock);
    /* Under the lock: mounting looks whether the directory is still there, under it too. */
    if (d->mounted)
        err = -EBUSY;
    else if (is_dir)
        err = dir->ops->rmdir(dir, d->name, d->name_len, victim);
    else
        err = dir->ops->unlink(dir, d->name, d->name_len, victim);
    if (!err && is_dir)
        victim->flags |= INODE_DEAD;
    mutex_unlock(&victim->lock);
    if (!err) {
        dentry_unhash(d);
        if (is_dir)
            dentry_prune_children(d);
    }
    return err;
}

static int64_t remove_name(int dirfd, uaddr_t name, bool is_dir)
{
    struct pathname pn;
    struct walk w;
    int err = pathname_get(&pn, name, false);
    if (err)
        goto out;
    walk_begin(&w, dirfd, pn.s, LOOKUP_PARENT);
    err = walk_run(&w);
    if (!err && w.last_type != LAST_NAME) {
        if (!is_dir)
            err = -EISDIR;
        else
            err = w.last_type == LAST_DOT      ? -EINVAL
                  : w.last_type == LAST_DOTDOT ? -ENOTEMPTY
                                               : -EBUSY;
    }
    if (!err) {
        struct inode *dir = w.path.dentry->inode;
        mutex_lock(&dir->lock);
        struct dentry *d = walk_lookup_last_locked(&w);
        err = is_err(d) ? (int)ptr_err(d) : remove_locked(&w, d, is_dir);
        mutex_unlock(&dir->lock);
        if (!is_err(d))
            dentry_put(d);
    }
    walk_end(&w);
out:
    pathname_put(&pn);
    return err;
}

int64_t sys_unlinkat(int dirfd, uaddr_t name, int flags)
{
    if (flags & ~AT_REMOVEDIR_K)
        return -EINVAL;
    return remove_name(dirfd, name, (flags & AT_REMOVEDIR_K) != 0);
}

int64_t sys_unlink(uaddr_t name)
{
    return remove_name(AT_FDCWD_K, name, false);
}

int64_t sys_rmdir(uaddr_t name)
{
    return remove_name(AT_FDCWD_K, name, true);
}

/* ---- rename ---- */

static void lock_two(struct dentry *a, struct dentry *b)
{
    if (a == b) {
        mutex_lock(&a->inode->lock);
        return;
    }
    bool a_first = dentry_is_ancestor(a, b) ||
                   (!dentry_is_ancestor(b, a) && (uintptr_t)a->inode < (uintptr_t)b->inode);
    mutex_lock(a_first ? &a->inode->lock : &b->inode->lock);
    if (a->inode != b->inode)
        mutex_lock(a_first ? &b->inode->lock : &a->inode->lock);
}

static void unlock_two(struct dentry *a, struct dentry *b)
{
    if (a->inode != b->inode)
        mutex_unlock(&b->inode->lock);
    mutex_unlock(&a->inode->lock);
}

/* May what stands at the two names be exchanged, or the first take the second's place? All locks
 * held. */
static int rename_check(const struct walk *from, const struct walk *to, const struct dentry *old,
                        const struct dentry *new, unsigned flags)
{
    struct inode *old_dir = from->path.dentry->inode, *new_dir = to->path.dentry->inode;
    bool exchange = flags & RENAME_EXCHANGE_K;
    if (!old->inode)
        return -ENOENT;
    if ((flags & RENAME_NOREPLACE_K) && new->inode)
        return -EEXIST;
    if (exchange && !new->inode)
        return -ENOENT;
    bool is_dir = S_ISDIR_K(old->inode->mode);
    bool new_is_dir = new->inode &&S_ISDIR_K(new->inode->mode);
    if (exchange && !new_is_dir && to->slash)
        return -ENOTDIR;
    if (!is_dir && (from->slash || (!exchange && to->slash)))
        return -ENOTDIR;
    if (is_dir && dentry_is_ancestor(old, to->path.dentry))
        return -EINVAL; /* into itself */
    if (new_is_dir && dentry_is_ancestor(new, from->path.dentry))
        return exchange ? -EINVAL : -ENOTEMPTY;
    int err = mount_writable(from->path.mnt);
    if (err)
        return err;
    if (old->inode == new->inode)
        return 0;
    err = may_delete_from(old_dir, old, is_dir);
    if (!err)
        err = !new->inode ? may_create_in(new_dir)
                          : may_delete_from(new_dir, new, exchange ? new_is_dir : is_dir);
    if (!err && !old_dir->ops->rename)
        err = -EPERM;
    /* A directory that gets another parent is itself changed: its "..". */
    if (!err && old_dir != new_dir && is_dir)
        err = inode_permission(old->inode, MAY_WRITE);
    if (!err && old_dir != new_dir && exchange && new_is_dir)
        err = inode_permission(new->inode, MAY_WRITE);
    if (!err && (old->mounted || new->mounted))
        err = -EBUSY;
    return err;
}

static int rename_locked(struct walk *from, struct walk *to, struct dentry *old, struct dentry *new,
                         unsigned flags)
{
    int err = rename_check(from, to, old, new, flags);
    if (err || old->inode == new->inode)
        return err; /* two names of one file: nothing happens, says POSIX */
    struct inode *old_dir = from->path.dentry->inode, *new_dir = to->path.dentry->inode;
    struct inode *victim = new->inode;
    if (victim)
        mutex_lock(&victim->lock);
    err = old_dir->ops->rename(old_dir, old->name, old->name_len, old->inode, new_dir, new->name,
                               new->name_len, victim, flags);
    if (!err && victim && S_ISDIR_K(victim->mode) && !(flags & RENAME_EXCHANGE_K))
        victim->flags |= INODE_DEAD;
    if (victim)
        mutex_unlock(&victim->lock);
    if (err)
        return err;
    if (flags & RENAME_EXCHANGE_K) {
        if (dentry_exchange(old, new) != 0) {
            /* No memory for two names: the cache forgets both and will ask again. */
            dentry_unhash(old);
            dentry_unhash(new);
        }
        return 0;
    }
    if (dentry_move(old, to->path.dentry, to->last, to->last_len, new) != 0) {
        dentry_unhash(old);
        dentry_unhash(new);
    }
    if (victim && S_ISDIR_K(victim->mode))
        dentry_prune_children(new);
    return 0;
}

static int do_rename(struct walk *from, struct walk *to, unsigned flags)
{
    int err = walk_run(from);
    if (!err)
        err = walk_run(to);
    if (err)
        return err;
    if (from->path.mnt != to->path.mnt)
        return -EXDEV;
    if (from->last_type != LAST_NAME)
        return -EBUSY;
    if (to->last_type != LAST_NAME)
        return flags & RENAME_NOREPLACE_K ? -EEXIST : -EBUSY;
    struct dentry *old_parent = from->path.dentry, *new_parent = to->path.dentry;
    bool two = old_parent != new_parent;
    if (two)
        mutex_lock(&rename_lock);
    lock_two(old_parent, new_parent);
    struct dentry *old = walk_lookup_last_locked(from), *new = NULL;
    if (is_err(old)) {
        err = (int)ptr_err(old);
    } else {
        new = old->inode ? walk_lookup_last_locked(to) : err_ptr(-ENOENT);
        err = is_err(new) ? (int)ptr_err(new) : rename_locked(from, to, old, new, flags);
    }
    unlock_two(old_parent, new_parent);
    if (two)
        mutex_unlock(&rename_lock);
    if (!is_err(old))
        dentry_put(old);
    if (new && !is_err(new))
        dentry_put(new);
    return err;
}

int64_t sys_renameat2(int old_dirfd, uaddr_t old_name, int new_dirfd, uaddr_t new_name,
                      uint32_t flags)
{
    struct pathname old, new;
    struct walk from, to;
    if ((flags & ~(uint32_t)(RENAME_NOREPLACE_K | RENAME_EXCHANGE_K | RENAME_WHITEOUT_K)) ||
        ((flags & RENAME_EXCHANGE_K) && (flags & (RENAME_NOREPLACE_K | RENAME_WHITEOUT_K))))
        return -EINVAL;
    if ((flags & RENAME_WHITEOUT_K) && !vfs_capable(CAP_MKNOD_K))
        return -EPERM;
    int err = pathname_get(&old, old_name, false);
    if (!err) {
        err = pathname_get(&new, new_name, false);
        if (!err) {
            walk_begin(&from, old_dirfd, old.s, LOOKUP_PARENT);
            walk_begin(&to, new_dirfd, new.s, LOOKUP_PARENT);
            err = do_rename(&from, &to, flags);
            walk_end(&to);
            walk_end(&from);
        }
        pathname_put(&new);
    }
    pathname_put(&old);
    return err;
}

int64_t sys_renameat(int old_dirfd, uaddr_t old_name, int new_dirfd, uaddr_t new_name)
{
    return sys_renameat2(old_dirfd, old_name, new_dirfd, new_name, 0);
}

int64_t sys_rename(uaddr_t old_name, uaddr_t new_name)
{
    return sys_renameat2(AT_FDCWD_K, old_name, AT_FDCWD_K, new_name, 0);
}

/* ---- readlink ---- */

static int64_t readlink_to_user(struct inode *inode, uaddr_t buf, size_t size)
{
    size = k_min(size, (size_t)PATH_MAX_K);
    char *text = kmalloc(size);
    if (!text)
        return -ENOMEM;
    int64_t n = inode->ops->readlink(inode, text, size);
    if (n > 0 && copy_to_user(buf, text, (size_t)n) != 0)
        n = -EFAULT;
    kfree(text);
    return n;
}

int64_t sys_readlinkat(int dirfd, uaddr_t name, uaddr_t buf, int size)
{
    struct pathname pn;
    struct path p;
    if (size <= 0)
        return -EINVAL;
    int64_t n = pathname_get(&pn, name, true);
    bool empty = n == 0 && !*pn.s;
    if (n == 0)
        n = path_lookup_at(dirfd, pn.s, LOOKUP_EMPTY, &p);
    pathname_put(&pn);
    if (n)
        return n;
    struct inode *inode = p.dentry->inode;
    if (S_ISLNK_K(inode->mode) && inode->ops->readlink) {
        n = readlink_to_user(inode, buf, (size_t)size);
        inode_accessed(inode, p.mnt);
    } else {
        n = empty ? -ENOENT : -EINVAL;
    }
    path_put(&p);
    return n;
}

int64_t sys_readlink(uaddr_t name, uaddr_t buf, int size)
{
    return sys_readlinkat(AT_FDCWD_K, name, buf, size);
}
