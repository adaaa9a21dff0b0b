/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The master's side of a terminal: /dev/ptmx, and for the console functions that do the same from
 * a kernel thread.
 */
#include "base/errno.h"
#include "base/string.h"
#include "dev/tty.h"
#include "fs/anon_file.h"
#include "proc/task.h"

/* ---- reading ---- */

static bool has_output(const struct tty *t)
{
    return t->out_head != t->out_tail || (t->packet && t->packet_status);
}

static bool output_wakes(struct tty *t)
{
    spin_lock(&t->lock);
    bool wakes = has_output(t) || t->slave_gone;
    spin_unlock(&t->lock);
    return wakes;
}

/* What a master's read returns now, moved to buf, which has room for n > 0 bytes. In packet mode
 * the first byte tells of what kind it is. 0: nothing. */
static uint32_t take(struct tty *t, uint8_t *buf, uint32_t n)
{
    uint32_t taken = 0;
    spin_lock(&t->lock);
    bool had_room = ldisc_has_output_room(t), packet = t->packet;
    if (packet && t->packet_status) {
        buf[taken++] = t->packet_status;
        t->packet_status = 0;
    } else if (t->out_head != t->out_tail) {
        if (packet)
            buf[taken++] = 0;
        taken += ldisc_take_output(t, buf + taken, n - taken);
    }
    bool has_room = ldisc_has_output_room(t);
    spin_unlock(&t->lock);
    if (has_room && (!had_room || taken > TTY_CHUNK / 2))
        wake_all(&t->slave_q, POLLOUT_K | POLLWRNORM_K);
    return taken;
}

static int64_t master_read(struct file *f, struct uio *u, uint64_t *pos)
{
    struct tty *t = f->priv;
    uint8_t chunk[TTY_CHUNK];
    int64_t total = 0;
    while (u->remaining) {
        uint32_t n = take(t, chunk, (uint32_t)k_min(u->remaining, (uint64_t)sizeof(chunk)));
        if (n) {
            size_t moved = uio_write(u, chunk, n);
            total += (int64_t)moved;
            if (moved < n)
                return total ? total : -EFAULT;
            if (n < sizeof(chunk) || READ_ONCE(t->packet))
                break;
            continue;
        }
        if (total)
            break;
        spin_lock(&t->lock);
        int r = has_output(t) ? 0 : t->slave_gone ? -EIO : file_nonblocking(f) ? -EAGAIN : 0;
        spin_unlock(&t->lock);
        if (!r)
            WAIT_EVENT(&t->master_q, output_wakes(t), WAIT_INTERRUPTIBLE, KTIME_NEVER, r);
        if (r)
            return r;
    }
    return total;
}

/* ---- writing ---- */

static bool input_wakes(struct tty *t)
{
    spin_lock(&t->lock);
    bool wakes = ldisc_has_input_room(t) || t->master_closed;
    spin_unlock(&t->lock);
    return wakes;
}

static uint32_t put(struct tty *t, const uint8_t *buf, uint32_t n)
{
    spin_lock(&t->lock);
    uint32_t out = t->out_head;
    uint32_t done = ldisc_input(t, buf, n);
    bool readable = ldisc_readable(t, false), echoed = out != t->out_head || t->packet_status;
    spin_unlock(&t->lock);
    /* A writer of the slave, too, may go on after ^Q. */
    if (done || readable)
        wake_all(&t->slave_q, POLLIN_K | POLLRDNORM_K | POLLOUT_K);
    if (echoed)
        wake_all(&t->master_q, POLLIN_K | POLLRDNORM_K | POLLPRI_K);
    return done;
}

static int64_t master_write(struct file *f, struct uio *u, uint64_t *pos)
{
    struct tty *t = f->priv;
    uint8_t chunk[TTY_CHUNK];
    int64_t total = 0;
    int r = 0;
    while (u->remaining && !r) {
        uint32_t want = (uint32_t)k_min(u->remaining, (uint64_t)sizeof(chunk));
        uint32_t n = (uint32_t)uio_read(u, chunk, want);
        if (!n) {
            r = -EFAULT;
            break;
        }
        uint32_t done = put(t, chunk, n);
        total += done;
        uio_revert(u, n - done);
        if (done < n) {
            r = file_nonblocking(f) ? -EAGAIN : 0;
            if (!r)
                WAIT_EVENT(&t->master_q, input_wakes(t), WAIT_INTERRUPTIBLE, KTIME_NEVER, r);
        }
    }
    return total ? total : r;
}

/* ---- poll, ioctl, opening ---- */

static uint32_t master_poll(struct file *f, struct poll_table *pt)
{
    struct tty *t = f->priv;
    uint32_t mask = 0;
    poll_wait(pt, f, &t->master_q);
    spin_lock(&t->lock);
    if (has_output(t))
        mask |= POLLIN_K | POLLRDNORM_K;
    if (t->packet && t->packet_status)
        mask |= POLLPRI_K;
    if (t->slave_gone)
        mask |= POLLHUP_K;
    if (ldisc_has_input_room(t))
        mask |= POLLOUT_K | POLLWRNORM_K;
    spin_unlock(&t->lock);
    return mask;
}

static int64_t master_ioctl(struct file *f, unsigned cmd, uint64_t arg)
{
    return tty_ioctl(f->priv, f, true, cmd, arg);
}

static void master_release(struct file *f)
{
    tty_close_master(f->priv);
}

static const struct file_ops master_ops = {
    .read = master_read,
    .write = master_write,
    .poll = master_poll,
    .ioctl = master_ioctl,
    .fsync = fsync_not_supported,
    .release = master_release,
};

static int ptmx_open(struct inode *inode, struct file *f)
{
    struct tty *t = tty_create();
    if (is_err(t))
        return (int)ptr_err(t);
    f->ops = &master_ops;
    f->priv = t;
    f->mode |= FMODE_STREAM;
    return 0;
}

const struct file_ops ptmx_device_ops = {.open = ptmx_open};

/* ---- for the console ---- */

uint32_t pty_take_output(struct tty *t, uint8_t *buf, uint32_t n, bool (*stop)(void *), void *arg)
{
    uint32_t taken = 0;
    WAIT_UNTIL(&t->master_q, (taken = take(t, buf, n)) != 0 || stop(arg), KTIME_NEVER);
    return taken;
}

int pty_put_input(struct tty *t, const uint8_t *buf, uint32_t n)
{
    int r = 0;
    for (uint32_t done = 0; done < n && !r;) {
        uint32_t moved = put(t, buf + done, n - done);
        done += moved;
        if (done < n)
            WAIT_EVENT(&t->master_q, input_wakes(t), WAIT_KILLABLE, KTIME_NEVER, r);
        if (READ_ONCE(t->master_closed))
            r = -EIO;
    }
    return r;
}
