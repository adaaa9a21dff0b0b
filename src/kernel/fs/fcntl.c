/* SPDX-License-Identifier: Apache-2.0 */
/* fcntl, and the requests of ioctl that every descriptor knows. */
#include "base/errno.h"
#include "base/usercopy.h"
#include "fs/fasync.h"
#include "fs/files.h"
#include "fs/inode.h"
#include "fs/locks.h"
#include "fs/memfd.h"
#include "fs/pipe.h"
#include "net/socket.h"

enum {
    F_DUPFD_K = 0,
    F_GETFD_K = 1,
    F_SETFD_K = 2,
    F_GETFL_K = 3,
    F_SETFL_K = 4,
    F_SETOWN_K = 8,
    F_GETOWN_K = 9,
    F_SETSIG_K = 10,
    F_GETSIG_K = 11,
    F_SETOWN_EX_K = 15,
    F_GETOWN_EX_K = 16,
    F_GETOWNER_UIDS_K = 17,
    F_GETLEASE_K = 1025,
    F_DUPFD_CLOEXEC_K = 1030
};
enum { F_UNLCK_K = 2, FD_CLOEXEC_K = 1 };

enum {
    FIGETBSZ_K = 2,
    FIONREAD_K = 0x541b,
    FIONBIO_K = 0x5421,
    FIONCLEX_K = 0x5450,
    FIOCLEX_K = 0x5451,
    FIOASYNC_K = 0x5452,
    FIOQSIZE_K = 0x5460,
    FIOSETOWN_K = 0x8901,
    SIOCSPGRP_K = 0x8902,
    FIOGETOWN_K = 0x8903,
    SIOCGPGRP_K = 0x8904
};

#define SETFL_MASK (O_APPEND_K | O_NONBLOCK_K | O_DIRECT_K | O_NOATIME_K)

/* struct f_owner_ex */
struct k_owner {
    int32_t type, pid;
};

/* ---- flags ---- */

static void change_flags(struct file *f, uint32_t mask, uint32_t value)
{
    uint32_t old = __atomic_load_n(&f->flags, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&f->flags, &old, (old & ~mask) | (value & mask), true,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

static int set_flags(int fd, struct file *f, uint32_t flags)
{
    if ((flags & O_NOATIME_K) && !(f->flags & O_NOATIME_K) && !inode_owner_or_capable(f->inode))
        return -EPERM;
    if ((flags ^ READ_ONCE(f->flags)) & O_ASYNC_K) {
        int err = fasync_set(f, fd, (flags & O_ASYNC_K) != 0);
        if (err)
            return err;
    }
    change_flags(f, SETFL_MASK, flags);
    return 0;
}

/* ---- who is told of input ---- */

/* A process by number (> 0), or a process group (< 0), as F_SETOWN names them. */
static int set_owner(struct file *f, int64_t who)
{
    if (who < -(int64_t)INT32_MAX || who > INT32_MAX)
        return -EINVAL;
    return who < 0 ? fasync_set_owner(f, F_OWNER_PGRP_K, (kpid_t)-who)
                   : fasync_set_owner(f, F_OWNER_PID_K, (kpid_t)who);
}

static int64_t owner_ex(struct file *f, int cmd, uaddr_t arg)
{
    struct k_owner o;
    if (cmd == F_GETOWN_EX_K) {
        int who = f->owner_pid;
        o.type = who < 0 ? F_OWNER_PGRP_K : f->owner_tid ? F_OWNER_TID_K : F_OWNER_PID_K;
        o.pid = who < 0 ? -who : who;
        return copy_to_user(arg, &o, sizeof(o));
    }
    if (copy_from_user(&o, arg, sizeof(o)) != 0)
        return -EFAULT;
    if (o.pid < 0 || o.type < F_OWNER_TID_K || o.type > F_OWNER_PGRP_K)
        return -EINVAL;
    return fasync_set_owner(f, o.type, o.pid);
}

static int64_t owner_uids(uaddr_t arg)
{
    uint32_t ids[2] = {0, 0};
    if (current->cred) {
        ids[0] = current->cred->uid;
        ids[1] = current->cred->euid;
    }
    return copy_to_user(arg, ids, sizeof(ids));
}

/* ---- fcntl ---- */

static int64_t dup_above(struct file *f, uint64_t arg, bool cloexec)
{
    if ((uint32_t)arg >= rlimit_cur(RLIMIT_NOFILE_K))
        return -EINVAL;
    file_get(f);
    return fd_install(f, (int)(uint32_t)arg, cloexec);
}

/* The commands that O_PATH files know too. -ENOSYS: another command. */
static int64_t fcntl_any(int fd, struct file *f, int cmd, uint64_t arg)
{
    switch (cmd) {
    case F_DUPFD_K: return dup_above(f, arg, false);
    case F_DUPFD_CLOEXEC_K: return dup_above(f, arg, true);
    case F_GETFD_K: return fd_cloexec(fd) ? FD_CLOEXEC_K : 0;
    case F_SETFD_K: fd_set_cloexec(fd, (arg & FD_CLOEXEC_K) != 0); return 0;
    case F_GETFL_K: return READ_ONCE(f->flags);
    default: return -ENOSYS;
    }
}

static int64_t fcntl_open(int fd, struct file *f, int cmd, uint64_t arg)
{
    switch (cmd) {
    case F_SETFL_K: return set_flags(fd, f, (uint32_t)arg);
    case F_GETLK_K:
    case F_SETLK_K:
    case F_SETLKW_K:
    case F_OFD_GETLK_K:
    case F_OFD_SETLK_K:
    case F_OFD_SETLKW_K: return file_lock_fcntl(f, cmd, arg);
    case F_SETOWN_K: return set_owner(f, (int32_t)arg);
    case F_GETOWN_K: return f->owner_pid;
    case F_SETOWN_EX_K:
    case F_GETOWN_EX_K: return owner_ex(f, cmd, arg);
    case F_GETOWNER_UIDS_K: return owner_uids(arg);
    case F_SETSIG_K:
        if (arg > NSIG_K)
            return -EINVAL;
        f->owner_sig = (int)arg;
        return 0;
    case F_GETSIG_K: return f->owner_sig;
    case F_GETLEASE_K: return F_UNLCK_K;
    case F_SETPIPE_SZ_K:
    case F_GETPIPE_SZ_K: return pipe_fcntl(f, cmd, arg);
    case F_ADD_SEALS_K:
    case F_GET_SEALS_K: return memfd_fcntl(f, cmd, arg);
    default: return -EINVAL;
    }
}

int64_t sys_fcntl(int fd, int cmd, uint64_t arg)
{
    bool counted;
    struct file *f = fd_borrow_any(fd, &counted);
    if (unlikely(!f))
        return -EBADF;
    int64_t ret = fcntl_any(fd, f, cmd, arg);
    if (ret == -ENOSYS)
        ret = f->mode & FMODE_PATH ? -EBADF : fcntl_open(fd, f, cmd, arg);
    fd_unborrow(f, counted);
    return ret;
}

/* ---- ioctl ---- */

static int64_t ioctl_flag(int fd, struct file *f, uint32_t flag, uaddr_t arg)
{
    int32_t on;
    if (get_user(on, arg) != 0)
        return -EFAULT;
    if (flag == O_ASYNC_K)
        return fasync_set(f, fd, on != 0);
    change_flags(f, flag, on ? flag : 0);
    return 0;
}

/* F_SETOWN and F_GETOWN as sockets have it besides. */
static int64_t ioctl_owner(struct file *f, bool set, uaddr_t arg)
{
    int32_t who = READ_ONCE(f->owner_pid);
    if (!file_socket(f))
        return -ENOTTY;
    if (!set)
        return put_user(who, arg);
    return get_user(who, arg) != 0 ? -EFAULT : set_owner(f, who);
}

/* Requests about regular files and directories. -ENOTTY: another one. */
static int64_t ioctl_file(struct file *f, unsigned cmd, uaddr_t arg)
{
    const struct inode *inode = f->inode;
    switch (cmd) {
    case FIONREAD_K:
        if (!S_ISREG_K(inode->mode))
            return -ENOTTY;
        return put_user((int32_t)((int64_t)READ_ONCE(inode->size) - (int64_t)f->pos), arg);
    case FIGETBSZ_K: return put_user((int32_t)PAGE_SIZE, arg);
    default: return -ENOTTY;
    }
}

int64_t sys_ioctl(int fd, uint32_t cmd, uint64_t arg)
{
    FD_FILE(f, fd);
    if (unlikely(!f))
        return -EBADF;
    int64_t ret;
    bool plain = S_ISREG_K(f->inode->mode) || S_ISDIR_K(f->inode->mode);
    switch (cmd) {
    case FIOCLEX_K:
    case FIONCLEX_K:
        fd_set_cloexec(fd, cmd == FIOCLEX_K);
        ret = 0;
        break;
    case FIONBIO_K: ret = ioctl_flag(fd, f, O_NONBLOCK_K, arg); break;
    case FIOASYNC_K: ret = ioctl_flag(fd, f, O_ASYNC_K, arg); break;
    case FIOSETOWN_K:
    case SIOCSPGRP_K: ret = ioctl_owner(f, true, arg); break;
    case FIOGETOWN_K:
    case SIOCGPGRP_K: ret = ioctl_owner(f, false, arg); break;
    case FIOQSIZE_K:
        ret = plain ? put_user((int64_t)READ_ONCE(f->inode->size), arg) : -ENOTTY;
        break;
    default:
        ret = plain ? ioctl_file(f, cmd, arg) : -ENOTTY;
        if (ret == -ENOTTY && f->ops->ioctl)
            ret = f->ops->ioctl(f, cmd, arg);
        break;
    }
    return ret;
}
