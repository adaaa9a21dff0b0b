/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving bytes between open files and buffers: read, write, their vector and positioned forms,
 * lseek.
 *
 * The position of a regular file or directory is guarded by file->pos_lock, which is taken only
 * when somebody else can use the same open file. Streams have no position. Device files read and
 * write it without lock, as on Linux: one process may wait in read() on a terminal while another
 * writes.
 */
#include "base/errno.h"
#include "base/usercopy.h"
#include "fs/files.h"
#include "fs/fsnotify.h"
#include "fs/inode.h"

enum { RWF_HIPRI_K = 1, RWF_DSYNC_K = 2, RWF_SYNC_K = 4, RWF_NOWAIT_K = 8, RWF_APPEND_K = 16 };

/* ---- the common way ---- */

static inline void account_read(int64_t n)
{
    struct process *p = current->process;
    if (p) {
        /* Statistics of /proc/PID/io: threads that collide may lose a count, which is cheaper than
         * a locked addition on each call. */
        p->io_syscr++;
        if (n > 0)
            p->io_rchar += (uint64_t)n;
    }
}

static inline void account_write(int64_t n)
{
    struct process *p = current->process;
    if (p) {
        p->io_syscw++;
        if (n > 0)
            p->io_wchar += (uint64_t)n;
    }
}

int64_t vfs_read(struct file *f, struct uio *u, uint64_t *pos)
{
    if (unlikely(!(f->mode & FMODE_READ)))
        return -EBADF;
    if (unlikely(!f->ops->read))
        return S_ISDIR_K(f->inode->mode) ? -EISDIR : -EINVAL;
    int64_t n = f->ops->read(f, u, pos);
    if (n > 0)
        fsnotify_file(f, IN_ACCESS_K);
    account_read(n);
    return n;
}

/* A write to a regular file: RLIMIT_FSIZE and the largest offset bound it. */
static int64_t write_regular(struct file *f, struct uio *u, uint64_t *pos)
{
    uint64_t at = f->flags & O_APPEND_K ? READ_ONCE(f->inode->size) : *pos;
    uint64_t limit =
        k_min(current->process ? rlimit_cur(RLIMIT_FSIZE_K) : RLIM_INFINITY_K, (uint64_t)INT64_MAX);
    if (!u->remaining)
        return 0;
    if (unlikely(at >= limit))
        return limit == INT64_MAX ? -EFBIG : inode_check_size_limit(at + 1);
    uio_limit(u, limit - at);
    int64_t n = f->ops->write(f, u, pos);
    if (n > 0 && unlikely(f->flags & O_DSYNC_K) && f->ops->fsync) {
        int err = f->ops->fsync(f, (f->flags & O_SYNC_K) != O_SYNC_K);
        if (err)
            return err;
    }
    return n;
}

int64_t vfs_write(struct file *f, struct uio *u, uint64_t *pos)
{
    if (unlikely(!(f->mode & FMODE_WRITE)))
        return -EBADF;
    if (unlikely(!f->ops->write))
        return -EINVAL;
    int64_t n = S_ISREG_K(f->inode->mode) ? write_regular(f, u, pos) : f->ops->write(f, u, pos);
    if (n > 0)
        fsnotify_file(f, IN_MODIFY_K);
    account_write(n);
    return n;
}

typedef int64_t (*move_fn)(struct file *f, struct uio *u, uint64_t *pos);

/* Does the position need its lock? Not when this call is the open file's only user. */
static inline bool pos_contended(const struct file *f)
{
    return ref_read(&f->ref) > 1 && (S_ISREG_K(f->inode->mode) || S_ISDIR_K(f->inode->mode));
}

/* Moves from or to the file's own position. */
static inline int64_t move_at_pos(struct file *f, struct uio *u, move_fn move)
{
    if (f->mode & FMODE_STREAM) {
        uint64_t none = 0;
        return move(f, u, &none);
    }
    bool lock = pos_contended(f);
    if (unlikely(lock))
        mutex_lock(&f->pos_lock);
    int64_t n = (int64_t)(f->pos + u->remaining) < 0 ? -EINVAL : move(f, u, &f->pos);
    if (unlikely(lock))
        mutex_unlock(&f->pos_lock);
    return n;
}

/* Moves at a place of the caller's. */
static inline int64_t move_at(struct file *f, struct uio *u, uint64_t pos, move_fn move)
{
    if (f->mode & FMODE_STREAM)
        return -ESPIPE;
    if ((int64_t)(pos + u->remaining) < 0)
        return -EINVAL;
    return move(f, u, &pos);
}

/* What read and write ask of their buffer before anything else. */
static inline int buffer_check(uaddr_t buf, uint64_t count)
{
    if (unlikely((int64_t)count < 0))
        return -EINVAL;
    return likely(user_range_ok(buf, count)) ? 0 : -EFAULT;
}

static inline int64_t one_buffer(int fd, uaddr_t buf, uint64_t count, uint32_t fmode, move_fn move)
{
    struct uio u;
    FD_FILE(f, fd);
    if (unlikely(!f))
        return -EBADF;
    int64_t n = likely(f->mode & fmode) ? buffer_check(buf, count) : -EBADF;
    if (likely(n == 0)) {
        uio_init_user(&u, buf, count);
        n = move_at_pos(f, &u, move);
    }
    return n;
}

static inline int64_t one_buffer_at(int fd, uaddr_t buf, uint64_t count, int64_t pos,
                                    uint32_t fmode, move_fn move)
{
    struct uio u;
    if (unlikely(pos < 0))
        return -EINVAL;
    FD_FILE(f, fd);
    if (unlikely(!f))
        return -EBADF;
    int64_t n = f->mode & FMODE_STREAM ? -ESPIPE
                : f->mode & fmode      ? buffer_check(buf, count)
                                       : -EBADF;
    if (likely(n == 0)) {
        /* The whole count, before it is capped, must not reach past the largest offset. */
        if (unlikely((int64_t)((uint64_t)pos + count) < 0)) {
            n = -EINVAL;
        } else {
            uio_init_user(&u, buf, count);
            n = move_at(f, &u, (uint64_t)pos, move);
        }
    }
    return n;
}

int64_t sys_read(int fd, uaddr_t buf, uint64_t count)
{
    return one_buffer(fd, buf, count, FMODE_READ, vfs_read);
}

int64_t sys_write(int fd, uaddr_t buf, uint64_t count)
{
    return one_buffer(fd, buf, count, FMODE_WRITE, vfs_write);
}

int64_t sys_pread64(int fd, uaddr_t buf, uint64_t count, int64_t pos)
{
    return one_buffer_at(fd, buf, count, pos, FMODE_READ, vfs_read);
}

int64_t sys_pwrite64(int fd, uaddr_t buf, uint64_t count, int64_t pos)
{
    return one_buffer_at(fd, buf, count, pos, FMODE_WRITE, vfs_write);
}

/* ---- vectors ---- */

/* use_pos: at `pos`, else at the file's own position. */
static int64_t vector_move(struct file *f, uaddr_t iov, int nr, bool use_pos, int64_t pos,
                           uint32_t fmode, move_fn move)
{
    struct uio u;
    if (use_pos && (f->mode & FMODE_STREAM))
        return -ESPIPE;
    if (!(f->mode & fmode))
        return -EBADF;
    int64_t n = uio_init_iovec(&u, iov, nr);
    if (n)
        return n;
    if (u.remaining)
        n = use_pos ? move_at(f, &u, (uint64_t)pos, move) : move_at_pos(f, &u, move);
    uio_release(&u);
    return n;
}

static int64_t vector_call(int fd, uaddr_t iov, int nr, bool use_pos, int64_t pos, uint32_t fmode,
                           move_fn move)
{
    if (use_pos && pos < 0)
        return -EINVAL;
    FD_FILE(f, fd);
    if (!f)
        return -EBADF;
    return vector_move(f, iov, nr, use_pos, pos, fmode, move);
}

/* The count of vectors is a word of 64 bits: what does not fit an int is no valid count. */
static int vector_count(uint64_t nr)
{
    return nr > UIO_MAXIOV ? -1 : (int)nr;
}

int64_t sys_readv(int fd, uaddr_t iov, uint64_t nr)
{
    return vector_call(fd, iov, vector_count(nr), false, 0, FMODE_READ, vfs_read);
}

int64_t sys_writev(int fd, uaddr_t iov, uint64_t nr)
{
    return vector_call(fd, iov, vector_count(nr), false, 0, FMODE_WRITE, vfs_write);
}

int64_t sys_preadv(int fd, uaddr_t iov, uint64_t nr, int64_t pos)
{
    return vector_call(fd, iov, vector_count(nr), true, pos, FMODE_READ, vfs_read);
}

int64_t sys_pwritev(int fd, uaddr_t iov, uint64_t nr, int64_t pos)
{
    return vector_call(fd, iov, vector_count(nr), true, pos, FMODE_WRITE, vfs_write);
}

/* Flags that a call can have its own of: an unknown one is refused, and so is RWF_NOWAIT, which no
 * file here promises to keep. */
static int rwf_check(int flags)
{
    return flags & ~(RWF_HIPRI_K | RWF_DSYNC_K | RWF_SYNC_K | RWF_APPEND_K) ? -EOPNOTSUPP : 0;
}

int64_t sys_preadv2(int fd, uaddr_t iov, uint64_t nr, int64_t pos, int64_t pos_high, int flags)
{
    (void)pos_high; /* the whole position fits pos */
    if (pos < -1)
        return -EINVAL;
    FD_FILE(f, fd);
    if (!f)
        return -EBADF;
    int64_t n = rwf_check(flags);
    if (!n)
        n = vector_move(f, iov, vector_count(nr), pos != -1, pos, FMODE_READ, vfs_read);
    return n;
}

/* Writes as if the file had been opened with O_APPEND, for this call: through a copy of the open
 * file, since the flags of the real one are others' too. */
static int64_t vfs_write_append(struct file *f, struct uio *u, uint64_t *pos)
{
    if (!S_ISREG_K(f->inode->mode))
        return vfs_write(f, u, pos);
    struct file view = *f;
    view.flags |= O_APPEND_K;
    return vfs_write(&view, u, pos);
}

int64_t sys_pwritev2(int fd, uaddr_t iov, uint64_t nr, int64_t pos, int64_t pos_high, int flags)
{
    if (pos < -1)
        return -EINVAL;
    FD_FILE(f, fd);
    if (!f)
        return -EBADF;
    int64_t n = rwf_check(flags);
    if (!n)
        n = vector_move(f, iov, vector_count(nr), pos != -1, pos, FMODE_WRITE,
                        flags & RWF_APPEND_K ? vfs_write_append : vfs_write);
    if (n > 0 && (flags & (RWF_DSYNC_K | RWF_SYNC_K)) && f->ops->fsync) {
        int err = f->ops->fsync(f, !(flags & RWF_SYNC_K));
        if (err)
            n = err;
    }
    return n;
}

/* ---- lseek ---- */

static int64_t generic_lseek(struct file *f, int64_t off, int whence)
{
    int64_t size = (int64_t)READ_ONCE(f->inode->size), at;
    bool overflow = false;
    switch (whence) {
    case SEEK_SET_K: at = off; break;
    case SEEK_CUR_K: overflow = __builtin_add_overflow((int64_t)f->pos, off, &at); break;
    case SEEK_END_K: overflow = __builtin_add_overflow(size, off, &at); break;
    case SEEK_DATA_K:
    case SEEK_HOLE_K:
        /* A file without holes: all of it is data, and a hole begins at its end. */
        if (off < 0 || off >= size)
            return -ENXIO;
        at = whence == SEEK_DATA_K ? off : size;
        break;
    default: return -EINVAL;
    }
    if (overflow || at < 0)
        return -EINVAL;
    f->pos = (uint64_t)at;
    return at;
}

int64_t sys_lseek(int fd, int64_t off, uint32_t whence)
{
    FD_FILE(f, fd);
    if (unlikely(!f))
        return -EBADF;
    int64_t at;
    if (f->mode & FMODE_STREAM) {
        at = -ESPIPE;
    } else {
        bool lock = pos_contended(f);
        if (unlikely(lock))
            mutex_lock(&f->pos_lock);
        at =
            f->ops->lseek ? f->ops->lseek(f, off, (int)whence) : generic_lseek(f, off, (int)whence);
        if (unlikely(lock))
            mutex_unlock(&f->pos_lock);
    }
    return at;
}
