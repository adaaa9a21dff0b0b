/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that change a file's attributes by name or descriptor: truncate, chmod, chown, utime and
 * their kin; and access.
 *
 * Each finds a path, asks whether current may, and hands a struct iattr to the file system
 * (vfs_setattr).
 */
#include "base/string.h"
#include "base/usercopy.h"
#include "fs/files.h"
#include "fs/fsnotify.h"
#include "fs/namei.h"

enum { UTIME_NOW_K = 0x3fffffff, UTIME_OMIT_K = 0x3ffffffe };

/* The path that an *at call with AT_EMPTY_PATH and AT_SYMLINK_NOFOLLOW among its flags means. */
static int lookup_with_flags(int dirfd, uaddr_t name, int flags, struct path *p)
{
    unsigned lookup = flags & AT_SYMLINK_NOFOLLOW_K ? 0 : LOOKUP_FOLLOW;
    if (flags & AT_EMPTY_PATH_K)
        lookup |= LOOKUP_EMPTY;
    return path_lookup_user(dirfd, name, lookup, p);
}

/* ---- size ---- */

static int truncate_path(const struct path *p, uint64_t size)
{
    struct inode *inode = p->dentry->inode;
    if (S_ISDIR_K(inode->mode))
        return -EISDIR;
    if (!S_ISREG_K(inode->mode))
        return -EINVAL;
    int err = mount_writable(p->mnt);
    if (!err)
        err = inode_permission(inode, MAY_WRITE);
    if (!err)
        err = inode_get_write(inode);
    if (err)
        return err;
    err = vfs_truncate(inode, size);
    inode_put_write(inode);
    if (!err)
        fsnotify_dentry(p->dentry, IN_MODIFY_K);
    return err;
}

int64_t sys_truncate(uaddr_t name, int64_t size)
{
    PATH_REF(p);
    if (size < 0)
        return -EINVAL;
    int err = path_lookup_user(AT_FDCWD_K, name, LOOKUP_FOLLOW, &p);
    return err ? err : truncate_path(&p, (uint64_t)size);
}

int64_t sys_ftruncate(int fd, int64_t size)
{
    if (size < 0)
        return -EINVAL;
    FD_FILE(f, fd);
    if (!f)
        return -EBADF;
    int err = S_ISREG_K(f->inode->mode) && (f->mode & FMODE_WRITE)
                  ? vfs_truncate(f->inode, (uint64_t)size)
                  : -EINVAL;
    if (!err)
        fsnotify_file(f, IN_MODIFY_K);
    return err;
}

/* ---- access ---- */

/* Credentials with which access(2) asks: the real ids in the place of the effective ones. *out
 * NULL: current's are just those. */
static int real_credentials(struct cred **out)
{
    const struct cred *c = current->cred;
    *out = NULL;
    if (!c)
        return 0;
    uint64_t caps = c->uid == 0 ? c->cap_permitted : 0;
    if (c->fsuid == c->uid && c->fsgid == c->gid && c->cap_effective == caps)
        return 0;
    struct cred *real = cred_prepare();
    if (!real)
        return -ENOMEM;
    real->fsuid = real->uid;
    real->fsgid = real->gid;
    real->cap_effective = caps;
    *out = real;
    return 0;
}

static int access_path(const struct path *p, int mode)
{
    struct inode *inode = p->dentry->inode;
    if (mode == 0)
        return 0;
    if ((mode & MAY_EXEC) && S_ISREG_K(inode->mode) && (p->mnt->flags & MS_NOEXEC_K))
        return -EACCES;
    int err = inode_permission(inode, mode);
    if (!err && (mode & MAY_WRITE) &&
        (S_ISREG_K(inode->mode) || S_ISDIR_K(inode->mode) || S_ISLNK_K(inode->mode)))
        err = mount_writable(p->mnt);
    return err;
}

int64_t sys_faccessat2(int dirfd, uaddr_t name, int mode, int flags)
{
    struct cred *real = NULL, *own = current->cred;
    struct path p;
    if ((mode & ~7) || (flags & ~(AT_EACCESS_K | AT_SYMLINK_NOFOLLOW_K | AT_EMPTY_PATH_K)))
        return -EINVAL;
    int err = flags & AT_EACCESS_K ? 0 : real_credentials(&real);
    if (err)
        return err;
    /* Only for this thread's own look-up: nobody else acts with them. */
    if (real)
        current->cred = real;
    err = lookup_with_flags(dirfd, name, flags, &p);
    if (!err) {
        err = access_path(&p, mode);
        path_put(&p);
    }
    if (real) {
        current->cred = own;
        cred_put(real);
    }
    return err;
}

int64_t sys_faccessat(int dirfd, uaddr_t name, int mode)
{
    return sys_faccessat2(dirfd, name, mode, 0);
}

int64_t sys_access(uaddr_t name, int mode)
{
    return sys_faccessat2(AT_FDCWD_K, name, mode, 0);
}

/* ---- mode ---- */

static int chmod_path(const struct path *p, kmode_t mode)
{
    struct inode *inode = p->dentry->inode;
    struct iattr attr = {.valid = ATTR_MODE, .mode = mode & 07777};
    int err = mount_writable(p->mnt);
    if (err)
        return err;
    if (S_ISLNK_K(inode->mode))
        return -EOPNOTSUPP;
    if (!inode_owner_or_capable(inode))
        return -EPERM;
    if (!vfs_in_group(inode->gid) && !vfs_capable(CAP_FSETID_K))
        attr.mode &= ~(kmode_t)S_ISGID_K;
    err = vfs_setattr(inode, &attr);
    if (!err)
        fsnotify_change(p->dentry, attr.valid);
    return err;
}

int64_t sys_fchmodat2(int dirfd, uaddr_t name, uint32_t mode, int flags)
{
    PATH_REF(p);
    if (flags & ~(AT_SYMLINK_NOFOLLOW_K | AT_EMPTY_PATH_K))
        return -EINVAL;
    int err = lookup_with_flags(dirfd, name, flags, &p);
    return err ? err : chmod_path(&p, mode);
}

int64_t sys_fchmodat(int dirfd, uaddr_t name, uint32_t mode)
{
    return sys_fchmodat2(dirfd, name, mode, 0);
}

int64_t sys_chmod(uaddr_t name, uint32_t mode)
{
    return sys_fchmodat2(AT_FDCWD_K, name, mode, 0);
}

int64_t sys_fchmod(int fd, uint32_t mode)
{
    FD_FILE(f, fd);
    if (!f)
        return -EBADF;
    return chmod_path(&f->path, mode);
}

/* ---- owner ---- */

#define ID_KEEP UINT32_MAX /* (uid_t)-1: leave it */

static int chown_path(const struct path *p, kuid_t uid, kgid_t gid)
{
    struct inode *inode = p->dentry->inode;
    struct iattr attr = {.valid = 0};
    int err = mount_writable(p->mnt);
    if (err)
        return err;
    bool owner = inode->uid == vfs_fsuid();
    if (uid != ID_KEEP) {
        if (!(owner && uid == inode->uid) && !vfs_capable(CAP_CHOWN_K))
            return -EPERM;
        attr.valid |= ATTR_UID;
        attr.uid = uid;
    }
    if (gid != ID_KEEP) {
        if (!(owner && (gid == inode->gid || vfs_in_group(gid))) && !vfs_capable(CAP_CHOWN_K))
            return -EPERM;
        attr.valid |= ATTR_GID;
        attr.gid = gid;
    }
    mutex_lock(&inode->lock);
    /* A program keeps no set-id bit across a change of owner, not even root's change. */
    if (!S_ISDIR_K(inode->mode) && mode_without_setid(inode->mode) != inode->mode) {
        attr.valid |= ATTR_MODE;
        attr.mode = mode_without_setid(inode->mode);
    }
    err = vfs_setattr_locked(inode, &attr);
    mutex_unlock(&inode->lock);
    if (!err)
        fsnotify_change(p->dentry, attr.valid);
    return err;
}

int64_t sys_fchownat(int dirfd, uaddr_t name, uint32_t uid, uint32_t gid, int flags)
{
    PATH_REF(p);
    if (flags & ~(AT_SYMLINK_NOFOLLOW_K | AT_EMPTY_PATH_K))
        return -EINVAL;
    int err = lookup_with_flags(dirfd, name, flags, &p);
    return err ? err : chown_path(&p, uid, gid);
}

int64_t sys_chown(uaddr_t name, uint32_t uid, uint32_t gid)
{
    return sys_fchownat(AT_FDCWD_K, name, uid, gid, 0);
}

int64_t sys_lchown(uaddr_t name, uint32_t uid, uint32_t gid)
{
    return sys_fchownat(AT_FDCWD_K, name, uid, gid, AT_SYMLINK_NOFOLLOW_K);
}

int64_t sys_fchown(int fd, uint32_t uid, uint32_t gid)
{
    FD_FILE(f, fd);
    if (!f)
        return -EBADF;
    return chown_path(&f->path, uid, gid);
}

/* ---- times ---- */

/* times: atime and mtime with UTIME_NOW and UTIME_OMIT understood, or NULL: both now. */
static int utimes_path(const struct path *p, const struct k_timespec *times)
{
    struct inode *inode = p->dentry->inode;
    struct k_timespec now = inode_now();
    struct iattr attr = {.valid = ATTR_ATIME | ATTR_MTIME, .atime = now, .mtime = now};
    int err = mount_writable(p->mnt);
    if (err)
        return err;
    if (times && times[0].nsec == UTIME_NOW_K && times[1].nsec == UTIME_NOW_K)
        times = NULL;
    if (times) {
        if (times[0].nsec == UTIME_OMIT_K)
            attr.valid &= ~(uint32_t)ATTR_ATIME;
        else if (times[0].nsec != UTIME_NOW_K)
            attr.atime = times[0];
        if (times[1].nsec == UTIME_OMIT_K)
            attr.valid &= ~(uint32_t)ATTR_MTIME;
        else if (times[1].nsec != UTIME_NOW_K)
            attr.mtime = times[1];
        if (!inode_owner_or_capable(inode))
            return -EPERM;
    } else if (!inode_owner_or_capable(inode)) {
        /* Who may write to a file may say that he did. */
        err = inode_permission(inode, MAY_WRITE);
        if (err)
            return err;
    }
    err = vfs_setattr(inode, &attr);
    if (!err)
        fsnotify_change(p->dentry, attr.valid);
    return err;
}

static bool utime_nsec_ok(int64_t nsec)
{
    return nsec == UTIME_NOW_K || nsec == UTIME_OMIT_K ||
           (nsec >= 0 && nsec < (int64_t)NSEC_PER_SEC);
}

static int64_t do_utimes(int dirfd, uaddr_t name, const struct k_timespec *times, int flags)
{
    PATH_REF(p);
    int err;
    if (times && (!utime_nsec_ok(times[0].nsec) || !utime_nsec_ok(times[1].nsec)))
        return -EINVAL;
    if (!name && dirfd != AT_FDCWD_K) {
        if (flags)
            return -EINVAL;
        FD_FILE(f, dirfd);
        if (!f)
            return -EBADF;
        err = utimes_path(&f->path, times);
        return err;
    }
    if (flags & ~(AT_SYMLINK_NOFOLLOW_K | AT_EMPTY_PATH_K))
        return -EINVAL;
    err = lookup_with_flags(dirfd, name, flags, &p);
    if (err)
        return err;
    return utimes_path(&p, times);
}

int64_t sys_utimensat(int dirfd, uaddr_t name, uaddr_t times, int flags)
{
    struct k_timespec t[2];
    if (!times)
        return do_utimes(dirfd, name, NULL, flags);
    if (copy_from_user(t, times, sizeof(t)) != 0)
        return -EFAULT;
    if (t[0].nsec == UTIME_OMIT_K && t[1].nsec == UTIME_OMIT_K)
        return 0;
    return do_utimes(dirfd, name, t, flags);
}

int64_t sys_futimesat(int dirfd, uaddr_t name, uaddr_t times)
{
    struct k_timeval tv[2];
    struct k_timespec t[2];
    if (!times)
        return do_utimes(dirfd, name, NULL, 0);
    if (copy_from_user(tv, times, sizeof(tv)) != 0)
        return -EFAULT;
    for (int i = 0; i < 2; i++) {
        /* Checked here: a large number of microseconds must not come out as UTIME_NOW. */
        if (tv[i].usec < 0 || tv[i].usec >= 1000000)
            return -EINVAL;
        t[i] = (struct k_timespec){tv[i].sec, tv[i].usec * 1000};
    }
    return do_utimes(dirfd, name, t, 0);
}

int64_t sys_utimes(uaddr_t name, uaddr_t times)
{
    return sys_futimesat(AT_FDCWD_K, name, times);
}

int64_t sys_utime(uaddr_t name, uaddr_t times)
{
    int64_t sec[2];
    if (!times)
        return do_utimes(AT_FDCWD_K, name, NULL, 0);
    if (copy_from_user(sec, times, sizeof(sec)) != 0)
        return -EFAULT;
    struct k_timespec t[2] = {{sec[0], 0}, {sec[1], 0}};
    return do_utimes(AT_FDCWD_K, name, t, 0);
}
