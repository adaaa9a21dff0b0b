/* SPDX-License-Identifier: Apache-2.0 */
/*
 * splice, tee, vmsplice: bytes between a pipe and something else.
 *
 * Bytes are copied, straight between the pipe's ring and the other file, with the pipe's mutex of
 * that side held: so nothing is taken out of the pipe that the other file did not accept, and
 * nothing is read that the pipe has no room for. Order of mutexes: rd_mutex of the source pipe ->
 * wr_mutex of the target pipe -> the other file's locks.
 */
#include "base/errno.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "fs/anon_file.h"
#include "fs/pipe.h"
#include "net/socket.h"
#include "proc/task.h"

enum {
    SPLICE_F_MOVE_K = 1,
    SPLICE_F_NONBLOCK_K = 2,
    SPLICE_F_MORE_K = 4,
    SPLICE_F_GIFT_K = 8,
    SPLICE_F_ALL_K = 15
};

/* ---- pipe to pipe ---- */

/* Copies what both have; consumes it from `in` unless it is a tee. */
static int64_t pipe_to_pipe(struct pipe *in, struct pipe *out, uint64_t len, bool nonblock,
                            bool consume)
{
    for (;;) {
        int rd = pipe_lock_readable(in, nonblock);
        if (rd <= 0)
            return rd;
        /* Without waiting: the source's mutex is not held while sleeping for room. */
        int wr = pipe_lock_writable(out, 1, false, true);
        if (wr < 0) {
            pipe_unlock_consumed(in, 0, rd);
            if (wr != -EAGAIN || nonblock)
                return wr;
            wr = pipe_lock_writable(out, 1, false, false);
            if (wr < 0)
                return wr;
            pipe_unlock_produced(out, 0, false, wr);
            continue;
        }
        bool packet;
        uint32_t n = (uint32_t)k_min(
            (uint64_t)k_min(pipe_readable_bytes(in, &packet), pipe_free_bytes(out)), len);
        for (uint32_t done = 0; done < n;) {
            uint32_t piece = n - done;
            const void *data = pipe_data_at(in, done, &piece);
            void *room = pipe_room_at(out, done, &piece);
            memcpy(room, data, piece);
            done += piece;
        }
        pipe_unlock_produced(out, n, false, wr);
        pipe_unlock_consumed(in, consume ? n : 0, rd);
        return n;
    }
}

/* ---- pipe to file, file to pipe ---- */

/* One vfs_read or vfs_write on kernel memory. off NULL: at the file's own position. */
static int64_t move_at(struct file *f, void *addr, uint32_t len, uint64_t *off, bool write)
{
    struct uio u;
    uio_init_kernel(&u, addr, len);
    if (!write && file_socket(f))
        return socket_read_now(f, &u);
    if (off || (f->mode & FMODE_STREAM)) {
        uint64_t none = 0;
        return write ? vfs_write(f, &u, off ? off : &none) : vfs_read(f, &u, off ? off : &none);
    }
    mutex_lock(&f->pos_lock);
    int64_t r = write ? vfs_write(f, &u, &f->pos) : vfs_read(f, &u, &f->pos);
    mutex_unlock(&f->pos_lock);
    return r;
}

static int64_t pipe_to_file(struct pipe *in, struct file *out, uint64_t *off, uint64_t len,
                            bool nonblock)
{
    int locked = pipe_lock_readable(in, nonblock);
    if (locked <= 0)
        return locked;
    bool packet;
    uint32_t n = (uint32_t)k_min((uint64_t)pipe_readable_bytes(in, &packet), len), done = 0;
    int64_t r = 0;
    while (done < n) {
        uint32_t piece = n - done;
        void *data = pipe_data_at(in, done, &piece);
        r = move_at(out, data, piece, off, true);
        if (r <= 0)
            break;
        done += (uint32_t)r;
        if (r < piece)
            break;
    }
    pipe_unlock_consumed(in, done, locked);
    return done ? done : r;
}

static int64_t read_to_pipe(struct file *in, uint64_t *off, struct pipe *out, uint64_t len,
                            bool nonblock)
{
    int locked = pipe_lock_writable(out, 1, false, nonblock);
    if (locked < 0)
        return locked;
    uint32_t n = (uint32_t)k_min((uint64_t)pipe_free_bytes(out), len), done = 0;
    int64_t r = 0;
    while (done < n) {
        uint32_t piece = n - done;
        void *room = pipe_room_at(out, done, &piece);
        r = move_at(in, room, piece, off, false);
        if (r <= 0)
            break;
        done += (uint32_t)r;
        /* What a stream has next may take long to come. */
        if (r < piece || (in->mode & FMODE_STREAM))
            break;
    }
    pipe_unlock_produced(out, done, false, locked);
    return done ? done : r;
}

static int64_t file_to_pipe(struct file *in, uint64_t *off, struct pipe *out, uint64_t len,
                            bool nonblock)
{
    for (;;) {
        int64_t r = read_to_pipe(in, off, out, len, nonblock);
        if (r != -EAGAIN || nonblock || !file_socket(in) || file_nonblocking(in))
            return r;
        /* The pipe is not locked while a socket is waited for. */
        r = socket_wait_readable(in);
        if (r)
            return r;
    }
}

/* ---- splice ---- */

static int64_t splice_files(struct file *in, uint64_t *off_in, struct file *out, uint64_t *off_out,
                            uint64_t len, unsigned flags)
{
    if (!(in->mode & FMODE_READ) || !(out->mode & FMODE_WRITE))
        return -EBADF;
    struct pipe *from = file_pipe(in), *to = file_pipe(out);
    bool nonblock = flags & SPLICE_F_NONBLOCK_K;
    if (from && to) {
        if (from == to)
            return -EINVAL;
        return pipe_to_pipe(from, to, len,
                            nonblock || file_nonblocking(in) || file_nonblocking(out), true);
    }
    if (from) {
        if ((off_out && (out->mode & FMODE_STREAM)) || (READ_ONCE(out->flags) & O_APPEND_K) ||
            !out->ops->write)
            return -EINVAL;
        return pipe_to_file(from, out, off_out, len, nonblock || file_nonblocking(in));
    }
    if (to) {
        if ((off_in && (in->mode & FMODE_STREAM)) || !in->ops->read || file_is_dir(in))
            return -EINVAL;
        return file_to_pipe(in, off_in, to, len, nonblock || file_nonblocking(out));
    }
    return -EINVAL;
}

/* Reads the offset at addr (0: none). */
static int offset_from_user(const struct file *f, uaddr_t addr, uint64_t *off)
{
    if (!addr)
        return 0;
    if (file_pipe(f))
        return -ESPIPE;
    if (get_user(*off, addr))
        return -EFAULT;
    return (int64_t)*off < 0 ? -EINVAL : 0;
}

int64_t sys_splice(int fd_in, uaddr_t user_off_in, int fd_out, uaddr_t user_off_out, uint64_t len,
                   unsigned flags)
{
    if (len == 0)
        return 0;
    if (flags & ~SPLICE_F_ALL_K)
        return -EINVAL;
    struct file *in = fd_get(fd_in), *out = fd_get(fd_out);
    int64_t r = in && out ? 0 : -EBADF;
    uint64_t off_in = 0, off_out = 0;
    if (r == 0)
        r = offset_from_user(in, user_off_in, &off_in);
    if (r == 0)
        r = offset_from_user(out, user_off_out, &off_out);
    if (r == 0)
        r = splice_files(in, user_off_in ? &off_in : NULL, out, user_off_out ? &off_out : NULL,
                         k_min(len, (uint64_t)RW_MAX), flags);
    if (r >= 0 && ((user_off_in && put_user(off_in, user_off_in)) ||
                   (user_off_out && put_user(off_out, user_off_out))))
        r = -EFAULT;
    if (in)
        file_put(in);
    if (out)
        file_put(out);
    return r;
}

int64_t sys_tee(int fd_in, int fd_out, uint64_t len, unsigned flags)
{
    if (flags & ~SPLICE_F_ALL_K)
        return -EINVAL;
    if (len == 0)
        return 0;
    struct file *in = fd_get(fd_in), *out = fd_get(fd_out);
    int64_t r = -EBADF;
    if (in && out && (in->mode & FMODE_READ) && (out->mode & FMODE_WRITE)) {
        struct pipe *from = file_pipe(in), *to = file_pipe(out);
        r = -EINVAL;
        if (from && to && from != to)
            r = pipe_to_pipe(from, to, len,
                             (flags & SPLICE_F_NONBLOCK_K) || file_nonblocking(in) ||
                                 file_nonblocking(out),
                             false);
    }
    if (in)
        file_put(in);
    if (out)
        file_put(out);
    return r;
}

/* ---- vmsplice ---- */

/* Moves what there is room for, or data of: waits at most for the first byte. */
static int64_t vmsplice_pipe(struct pipe *p, struct uio *u, bool write, bool nonblock)
{
    int locked =
        write ? pipe_lock_writable(p, 1, false, nonblock) : pipe_lock_readable(p, nonblock);
    if (locked <= 0)
        return locked;
    bool packet;
    uint32_t available = write ? pipe_free_bytes(p) : pipe_readable_bytes(p, &packet);
    uint32_t n = (uint32_t)k_min((uint64_t)available, u->remaining), done = 0;
    while (done < n) {
        uint32_t piece = n - done;
        void *addr = write ? pipe_room_at(p, done, &piece) : pipe_data_at(p, done, &piece);
        size_t moved = write ? uio_read(u, addr, piece) : uio_write(u, addr, piece);
        done += (uint32_t)moved;
        if (moved < piece)
            break;
    }
    if (write)
        pipe_unlock_produced(p, done, false, locked);
    else
        pipe_unlock_consumed(p, done, locked);
    return done ? (int64_t)done : -EFAULT;
}

int64_t sys_vmsplice(int fd, uaddr_t iov, uint64_t nr, unsigned flags)
{
    if (flags & ~SPLICE_F_ALL_K)
        return -EINVAL;
    struct file *f = fd_get(fd);
    if (!f)
        return -EBADF;
    struct pipe *p = file_pipe(f);
    int64_t r = -EBADF;
    if (p && (f->mode & (FMODE_READ | FMODE_WRITE))) {
        struct uio u;
        r = nr > UIO_MAXIOV ? -EINVAL : uio_init_iovec(&u, iov, (int)nr);
        if (r == 0) {
            if (u.remaining)
                r = vmsplice_pipe(p, &u, f->mode & FMODE_WRITE,
                                  (flags & SPLICE_F_NONBLOCK_K) || file_nonblocking(f));
            uio_release(&u);
        }
    }
    file_put(f);
    return r;
}
