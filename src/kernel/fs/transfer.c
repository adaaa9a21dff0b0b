/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies from file to file inside the kernel: sendfile, copy_file_range.
 *
 * Bytes go through a buffer, piece by piece; between pieces a fatal signal ends the copy with what
 * was moved.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/usercopy.h"
#include "fs/files.h"
#include "fs/inode.h"

#define PIECE (64 * 1024u)

/* Moves up to len bytes from in at *in_pos to out at *out_pos, both advanced by what out took.
 * Bytes, or an error when none moved. */
static int64_t copy_bytes(struct file *in, uint64_t *in_pos, struct file *out, uint64_t *out_pos,
                          uint64_t len)
{
    uint64_t done = 0;
    int64_t ret = 0;
    char *buf = kmalloc((size_t)k_min(len, (uint64_t)PIECE));
    if (!buf)
        return -ENOMEM;
    while (done < len) {
        struct uio u;
        uint64_t from = *in_pos;
        uio_init_kernel(&u, buf, k_min(len - done, (uint64_t)PIECE));
        ret = vfs_read(in, &u, &from);
        if (ret <= 0)
            break;
        uint64_t got = (uint64_t)ret, put = 0;
        while (put < got) {
            uio_init_kernel(&u, buf + put, got - put);
            ret = vfs_write(out, &u, out_pos);
            if (ret <= 0)
                break;
            put += (uint64_t)ret;
        }
        *in_pos += put;
        done += put;
        if (put < got)
            break;
        if (signal_pending_fatal()) {
            ret = -ERESTARTSYS;
            break;
        }
        sched_resched();
    }
    kfree(buf);
    return done ? (int64_t)done : ret;
}

static uint64_t current_pos(const struct file *f)
{
    return f->mode & FMODE_STREAM ? 0 : f->pos;
}

/* in's own position is used, under its lock, when pos is NULL. */
static int64_t do_sendfile(struct file *out, struct file *in, uint64_t *pos, uint64_t count)
{
    if (!(in->mode & FMODE_READ) || !(out->mode & FMODE_WRITE))
        return -EBADF;
    if (in->mode & FMODE_STREAM)
        return pos ? -ESPIPE : -EINVAL;
    if (S_ISDIR_K(in->inode->mode) || (out->flags & O_APPEND_K) || (int64_t)count < 0)
        return -EINVAL;
    count = k_min(count, (uint64_t)RW_MAX);
    uint64_t from = pos ? *pos : in->pos, to = current_pos(out);
    if ((int64_t)from < 0 || (int64_t)(from + count) < 0)
        return -EINVAL;
    /* One file's lock at a time: two sendfiles in opposite directions must not wait for each other.
     */
    int64_t n = copy_bytes(in, &from, out, &to, count);
    if (n > 0 && !(out->mode & FMODE_STREAM))
        out->pos = to;
    if (n > 0) {
        if (pos)
            *pos = from;
        else
            in->pos = from;
    }
    return n;
}

int64_t sys_sendfile(int out_fd, int in_fd, uaddr_t offset, uint64_t count)
{
    bool in_counted, out_counted;
    uint64_t pos = 0;
    if (offset && get_user(pos, offset) != 0)
        return -EFAULT;
    struct file *in = fd_borrow(in_fd, &in_counted);
    if (!in)
        return -EBADF;
    struct file *out = fd_borrow(out_fd, &out_counted);
    int64_t n = -EBADF;
    if (out) {
        n = do_sendfile(out, in, offset ? &pos : NULL, count);
        fd_unborrow(out, out_counted);
    }
    fd_unborrow(in, in_counted);
    if (offset && n > 0 && put_user(pos, offset) != 0)
        return -EFAULT;
    return n;
}

static int64_t do_copy_range(struct file *in, uint64_t *in_pos, struct file *out, uint64_t *out_pos,
                             uint64_t len)
{
    struct inode *from = in->inode, *to = out->inode;
    if (S_ISDIR_K(from->mode) || S_ISDIR_K(to->mode))
        return -EISDIR;
    if (!S_ISREG_K(from->mode) || !S_ISREG_K(to->mode))
        return -EINVAL;
    if (!(in->mode & FMODE_READ) || !(out->mode & FMODE_WRITE) || (out->flags & O_APPEND_K))
        return -EBADF;
    if ((int64_t)*in_pos < 0 || (int64_t)*out_pos < 0)
        return -EINVAL;
    if ((int64_t)(*in_pos + len) < 0 || (int64_t)(*out_pos + len) < 0)
        return -EOVERFLOW;
    uint64_t size = READ_ONCE(from->size);
    len = *in_pos >= size ? 0 : k_min(len, size - *in_pos);
    if (from == to && *out_pos < *in_pos + len && *in_pos < *out_pos + len)
        return -EINVAL;
    if (from->sb != to->sb)
        return -EXDEV;
    return len ? copy_bytes(in, in_pos, out, out_pos, k_min(len, (uint64_t)RW_MAX)) : 0;
}

int64_t sys_copy_file_range(int in_fd, uaddr_t in_off, int out_fd, uaddr_t out_off, uint64_t len,
                            uint32_t flags)
{
    bool in_counted, out_counted;
    uint64_t in_pos = 0, out_pos = 0;
    int64_t n = -EBADF;
    struct file *in = fd_borrow(in_fd, &in_counted);
    if (!in)
        return -EBADF;
    struct file *out = fd_borrow(out_fd, &out_counted);
    if (out) {
        in_pos = current_pos(in);
        out_pos = current_pos(out);
        n = 0;
        if ((in_off && get_user(in_pos, in_off) != 0) ||
            (out_off && get_user(out_pos, out_off) != 0))
            n = -EFAULT;
        else if (flags || (int64_t)len < 0)
            n = -EINVAL;
        if (!n)
            n = do_copy_range(in, &in_pos, out, &out_pos, len);
        if (n > 0) {
            if (!in_off)
                in->pos = in_pos;
            else if (put_user(in_pos, in_off) != 0)
                n = -EFAULT;
            if (!out_off)
                out->pos = out_pos;
            else if (put_user(out_pos, out_off) != 0)
                n = -EFAULT;
        }
        fd_unborrow(out, out_counted);
    }
    fd_unborrow(in, in_counted);
    return n;
}
