/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening files by name: open, openat, openat2, creat.
 *
 * The descriptor's number is taken before the file is looked for, so that a process at its limit of
 * descriptors makes no file.
 */
#include "base/string.h"
#include "base/usercopy.h"
#include "fs/files.h"
#include "fs/fsnotify.h"
#include "fs/namei.h"

#define O_TMPFILE_BIT (O_TMPFILE_K & ~O_DIRECTORY_K)
#define O_KNOWN                                                                                    \
    (O_ACCMODE_K | O_CREAT_K | O_EXCL_K | O_NOCTTY_K | O_TRUNC_K | O_APPEND_K | O_NONBLOCK_K |     \
     O_SYNC_K | O_ASYNC_K | O_DIRECT_K | O_LARGEFILE_K | O_DIRECTORY_K | O_NOFOLLOW_K |            \
     O_NOATIME_K | O_CLOEXEC_K | O_PATH_K | O_TMPFILE_K)
#define O_WITH_PATH (O_DIRECTORY_K | O_NOFOLLOW_K | O_PATH_K | O_CLOEXEC_K)

enum {
    RESOLVE_NO_XDEV_K = 1,
    RESOLVE_NO_MAGICLINKS_K = 2,
    RESOLVE_NO_SYMLINKS_K = 4,
    RESOLVE_BENEATH_K = 8,
    RESOLVE_IN_ROOT_K = 16,
    RESOLVE_CACHED_K = 32
};

/* struct open_how of openat2(2) */
struct k_open_how {
    uint64_t flags, mode, resolve;
};

int open_args_set(struct open_args *a, uint64_t flags, uint64_t mode, bool strict)
{
    static const uint8_t access[4] = {MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE,
                                      MAY_READ | MAY_WRITE};
    if (strict && (flags & ~(uint64_t)O_KNOWN))
        return -EINVAL;
    flags &= O_KNOWN;
    if (flags & (O_CREAT_K | O_TMPFILE_BIT)) {
        if (strict && (mode & ~07777ull))
            return -EINVAL;
        mode &= 07777;
    } else {
        if (strict && mode)
            return -EINVAL;
        mode = 0;
    }
    /* The old meaning, a regular file made and then refused, helps nobody. */
    if ((flags & (O_DIRECTORY_K | O_CREAT_K)) == (O_DIRECTORY_K | O_CREAT_K))
        return -EINVAL;
    a->access = access[flags & O_ACCMODE_K];
    if (flags & O_TMPFILE_BIT) {
        if (!(flags & O_DIRECTORY_K) || !(a->access & MAY_WRITE))
            return -EINVAL;
    }
    if (flags & O_PATH_K) {
        if (strict && (flags & ~(uint64_t)O_WITH_PATH))
            return -EINVAL;
        flags &= O_WITH_PATH;
        a->access = 0;
    }
    if (flags & O_TRUNC_K)
        a->access |= MAY_WRITE;
    a->lookup = 0;
    if (flags & O_DIRECTORY_K)
        a->lookup |= LOOKUP_DIRECTORY;
    if (!(flags & O_NOFOLLOW_K))
        a->lookup |= LOOKUP_FOLLOW;
    a->flags = (uint32_t)flags;
    a->mode = (kmode_t)mode;
    return 0;
}

/* May current open what is there? */
static int may_open(const struct path *p, const struct open_args *a)
{
    struct inode *inode = p->dentry->inode;
    int err;
    switch (inode->mode & S_IFMT_K) {
    case S_IFLNK_K: return -ELOOP;
    case S_IFDIR_K:
        if (a->access & MAY_WRITE)
            return -EISDIR;
        break;
    case S_IFCHR_K:
    case S_IFBLK_K:
        if (p->mnt->flags & MS_NODEV_K)
            return -EACCES;
        break;
    case S_IFREG_K:
        if ((a->access & MAY_WRITE) && (err = mount_writable(p->mnt)) != 0)
            return err;
        break;
    default: break;
    }
    err = inode_permission(inode, a->access);
    if (!err && (a->flags & O_NOATIME_K) && !inode_owner_or_capable(inode))
        err = -EPERM;
    return err;
}

/* In a world-writable sticky directory somebody else's file may be a trap for who meant to create
 * his own. */
static int check_protected_create(const struct inode *dir, const struct inode *inode)
{
    int level = S_ISFIFO_K(inode->mode)  ? protected_fifos
                : S_ISREG_K(inode->mode) ? protected_regular
                                         : 0;
    if (!level || !(dir->mode & S_ISVTX_K) || inode->uid == dir->uid || inode->uid == vfs_fsuid())
        return 0;
    return (dir->mode & 02) || ((dir->mode & 020) && level >= 2) ? -EACCES : 0;
}

/* The last part of all opens but O_TMPFILE's: p is what was found, or made by this call. dir: where
 * O_CREAT looked, or NULL. */
static struct file *open_found(const struct path *p, const struct open_args *a, bool created,
                               const struct inode *dir)
{
    struct inode *inode = p->dentry->inode;
    int err = 0;
    if ((a->flags & O_CREAT_K) && !created) {
        if (S_ISDIR_K(inode->mode))
            return err_ptr(-EISDIR);
        if (dir)
            err = check_protected_create(dir, inode);
    }
    if (!err && (a->flags & O_DIRECTORY_K) && !S_ISDIR_K(inode->mode))
        err = -ENOTDIR;
    /* Who made a file has it open as he asked, whatever its mode. */
    if (!err && !created && !(a->flags & O_PATH_K))
        err = may_open(p, a);
    if (err)
        return err_ptr(err);
    struct file *f = file_open_checked(p, a->flags);
    if (!is_err(f) && (a->flags & O_TRUNC_K) && !created && S_ISREG_K(inode->mode)) {
        err = vfs_truncate(inode, 0);
        if (err) {
            file_put(f);
            return err_ptr(err);
        }
        fsnotify_file(f, IN_MODIFY_K);
    }
    return f;
}

/* Owner and mode of what is made in dir: as the umask and a set-group-ID directory say. */
kmode_t create_mode(const struct inode *dir, kmode_t mode, kgid_t *gid)
{
    kmode_t umask = current->fs ? READ_ONCE(current->fs->umask) : 0;
    mode &= ~umask;
    *gid = vfs_fsgid();
    if (!(dir->mode & S_ISGID_K))
        return mode;
    *gid = dir->gid;
    if (S_ISDIR_K(mode))
        return mode | S_ISGID_K;
    if ((mode & (S_ISGID_K | 010)) == (S_ISGID_K | 010) && !vfs_in_group(dir->gid) &&
        !vfs_capable(CAP_FSETID_K))
        mode &= ~(kmode_t)S_ISGID_K;
    return mode;
}

/* Makes the regular file that the negative dentry d names. The directory's inode->lock is held. */
static int create_file(const struct walk *w, struct dentry *d, kmode_t mode)
{
    struct inode *dir = w->path.dentry->inode, *inode;
    kgid_t gid;
    int err = mount_writable(w->path.mnt);
    if (!err)
        err = may_create_in(dir);
    if (!err && !dir->ops->create)
        err = -EACCES;
    if (err)
        return err;
    mode = create_mode(dir, S_IFREG_K | mode, &gid);
    err = dir->ops->create(dir, d->name, d->name_len, mode, 0, vfs_fsuid(), gid, &inode);
    if (!err) {
        dentry_instantiate(d, inode);
        fsnotify_name(dir, d->name, IN_CREATE_K, false);
    }
    return err;
}

/* Opens with O_CREAT: the walk stands at the directory, or at the object when the path has no last
 * component. */
static struct file *open_create(struct walk *w, const struct open_args *a)
{
    for (;;) {
        if (w->last_type != LAST_NAME) {
            /* "/", ".", "..": directories; or what a magic link led to. */
            if (a->flags & O_EXCL_K)
                return err_ptr(-EEXIST);
            return w->last_type == LAST_NONE ? open_found(&w->path, a, false, NULL)
                                             : err_ptr(-EISDIR);
        }
        if (w->slash)
            return err_ptr(-EISDIR);
        struct inode *dir = w->path.dentry->inode;
        struct dentry *d = walk_lookup_last(w);
        bool created = false;
        if (!is_err(d) && !d->inode) {
            dentry_put(d);
            mutex_lock(&dir->lock);
            d = walk_lookup_last_locked(w);
            if (!is_err(d) && !d->inode) {
                int err = create_file(w, d, a->mode);
                if (err) {
                    dentry_put(d);
                    d = err_ptr(err);
                }
                created = true;
            }
            mutex_unlock(&dir->lock);
        }
        if (is_err(d))
            return (struct file *)d;
        if (!created && (a->flags & O_EXCL_K)) {
            dentry_put(d);
            return err_ptr(-EEXIST);
        }
        if (S_ISLNK_K(d->inode->mode) && !(a->flags & O_NOFOLLOW_K)) {
            int err = walk_follow_last(w, d);
            if (err)
                return err_ptr(err);
            continue;
        }
        struct path p = {w->path.mnt, d};
        spin_lock(&dcache_lock);
        bool crossed = mount_descend_locked(&p.mnt, &p.dentry);
        path_get(&p);
        spin_unlock(&dcache_lock);
        dentry_put(d);
        struct file *f = crossed && (a->lookup & LOOKUP_NO_XDEV) ? err_ptr(-EXDEV)
                                                                 : open_found(&p, a, created, dir);
        path_put(&p);
        return f;
    }
}

/* O_TMPFILE: a file without a name in the directory p. */
static struct file *open_tmpfile(const struct path *p, const struct open_args *a)
{
    struct inode *dir = p->dentry->inode, *inode = NULL;
    kgid_t gid;
    int err = mount_writable(p->mnt);
    if (!err)
        err = inode_permission(dir, MAY_WRITE | MAY_EXEC);
    if (!err && !dir->ops->tmpfile)
        err = -EOPNOTSUPP;
    if (err)
        return err_ptr(err);
    kmode_t mode = create_mode(dir, S_IFREG_K | a->mode, &gid);
    mutex_lock(&dir->lock);
    err =
        dir->flags & INODE_DEAD ? -ENOENT : dir->ops->tmpfile(dir, mode, vfs_fsuid(), gid, &inode);
    mutex_unlock(&dir->lock);
    if (err)
        return err_ptr(err);
    if (!(a->flags & O_EXCL_K))
        inode->flags |= INODE_LINKABLE;
    char name[24];
    size_t len = 0;
    char digits[20];
    for (uint64_t n = inode->ino; len == 0 || n; n /= 10)
        digits[len++] = (char)('0' + n % 10);
    name[0] = '#';
    for (size_t i = 0; i < len; i++)
        name[1 + i] = digits[len - 1 - i];
    struct dentry *d = dentry_new(p->dentry, name, len + 1, 0);
    if (!d) {
        inode_put(inode);
        return err_ptr(-ENOMEM);
    }
    d->inode = inode;
    struct path at = {p->mnt, d};
    struct file *f = file_open_checked(&at, a->flags & ~(uint32_t)O_DIRECTORY_K);
    dentry_put(d);
    return f;
}

struct file *do_open(int dirfd, const char *name, const struct open_args *a)
{
    struct walk w;
    struct file *f;
    unsigned lookup = a->lookup;
    if (a->flags & O_CREAT_K)
        /* Whether the last component is followed is decided here, when it is known what it is. */
        lookup = (lookup & ~(unsigned)(LOOKUP_FOLLOW | LOOKUP_DIRECTORY)) | LOOKUP_PARENT;
    walk_begin(&w, dirfd, name, lookup);
    int err = walk_run(&w);
    if (err)
        f = err_ptr(err);
    else if (a->flags & O_CREAT_K)
        f = open_create(&w, a);
    else if (a->flags & O_TMPFILE_BIT)
        f = open_tmpfile(&w.path, a);
    else
        f = open_found(&w.path, a, false, NULL);
    walk_end(&w);
    return f;
}

/* ---- system calls ---- */

static int64_t open_fd(int dirfd, uaddr_t name, const struct open_args *a)
{
    struct pathname pn;
    int fd = pathname_get(&pn, name, false);
    if (fd == 0)
        fd = fd_reserve(0, (a->flags & O_CLOEXEC_K) != 0);
    if (fd >= 0) {
        struct file *f = do_open(dirfd, pn.s, a);
        if (is_err(f)) {
            fd_unreserve(fd);
            fd = (int)ptr_err(f);
        } else {
            fd_fill(fd, f);
        }
    }
    pathname_put(&pn);
    return fd;
}

int64_t sys_openat(int dirfd, uaddr_t name, int flags, uint32_t mode)
{
    struct open_args a;
    int err = open_args_set(&a, (uint32_t)flags | O_LARGEFILE_K, mode, false);
    return err ? err : open_fd(dirfd, name, &a);
}

int64_t sys_open(uaddr_t name, int flags, uint32_t mode)
{
    return sys_openat(AT_FDCWD_K, name, flags, mode);
}

int64_t sys_creat(uaddr_t name, uint32_t mode)
{
    return sys_openat(AT_FDCWD_K, name, O_CREAT_K | O_WRONLY_K | O_TRUNC_K, mode);
}

/* Copies a structure whose size the caller names: shorter ones were handled before; longer ones
 * must be zero behind what is known. */
static int copy_struct(void *dst, size_t known, uaddr_t src, uint64_t size)
{
    uint8_t rest[64];
    if (copy_from_user(dst, src, known) != 0)
        return -EFAULT;
    for (uint64_t at = known; at < size; at += sizeof(rest)) {
        size_t n = (size_t)k_min(size - at, (uint64_t)sizeof(rest));
        if (copy_from_user(rest, src + at, n) != 0)
            return -EFAULT;
        for (size_t i = 0; i < n; i++)
            if (rest[i])
                return -E2BIG;
    }
    return 0;
}

int64_t sys_openat2(int dirfd, uaddr_t name, uaddr_t how_addr, uint64_t size)
{
    static const struct {
        uint64_t resolve;
        unsigned lookup;
    } meaning[] = {
        {RESOLVE_NO_XDEV_K, LOOKUP_NO_XDEV},
        {RESOLVE_NO_MAGICLINKS_K, LOOKUP_NO_MAGICLINKS},
        {RESOLVE_NO_SYMLINKS_K, LOOKUP_NO_SYMLINKS},
        {RESOLVE_BENEATH_K, LOOKUP_BENEATH},
        {RESOLVE_IN_ROOT_K, LOOKUP_IN_ROOT},
        {RESOLVE_CACHED_K, LOOKUP_CACHED},
    };
    struct k_open_how how;
    struct open_args a;
    if (size < sizeof(how))
        return -EINVAL;
    if (size > PAGE_SIZE)
        return -E2BIG;
    int err = copy_struct(&how, sizeof(how), how_addr, size);
    if (!err)
        err = open_args_set(&a, how.flags, how.mode, true);
    if (err)
        return err;
    for (size_t i = 0; i < ARRAY_LEN(meaning); i++)
        if (how.resolve & meaning[i].resolve) {
            a.lookup |= meaning[i].lookup;
            how.resolve &= ~meaning[i].resolve;
        }
    if (how.resolve || (a.lookup & LOOKUP_SCOPED) == LOOKUP_SCOPED)
        return -EINVAL;
    if ((a.lookup & LOOKUP_CACHED) && (a.flags & (O_TRUNC_K | O_CREAT_K | O_TMPFILE_BIT)))
        return -EAGAIN;
    if (!(a.flags & O_PATH_K))
        a.flags |= O_LARGEFILE_K;
    return open_fd(dirfd, name, &a);
}
