/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slave's side of a terminal as files: opening, reading with its timers, writing, polling, and
 * the hang-up. Also /dev/tty.
 */
#include "dev/tty.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/string.h"
#include "fs/anon_file.h"
#include "proc/task.h"

#define NSEC_PER_DECISECOND 100000000ll

/* ---- life ---- */

static void tty_free(struct tty *t)
{
    kfree(t->in);
    kfree(t->out);
    kfree(t);
}

struct tty *tty_create(void)
{
    struct tty *t = kzalloc(sizeof(*t));
    if (!t)
        return err_ptr(-ENOMEM);
    ref_init(&t->ref, 1);
    spin_init(&t->lock);
    mutex_init(&t->read_mutex);
    mutex_init(&t->write_mutex);
    wait_queue_init(&t->slave_q);
    wait_queue_init(&t->master_q);
    t->termios = tty_std_termios;
    t->locked = true;
    t->in = kmalloc(TTY_IN_SIZE);
    t->out = kmalloc(TTY_OUT_SIZE);
    int r = t->in && t->out ? devpts_add(t) : -ENOMEM;
    if (r) {
        tty_free(t);
        return err_ptr(r);
    }
    return t;
}

void tty_get(struct tty *t)
{
    ref_get(&t->ref);
}

void tty_put(struct tty *t)
{
    if (ref_put(&t->ref))
        tty_free(t);
}

static void wake_both(struct tty *t, uint32_t key)
{
    wake_all(&t->slave_q, key);
    wake_all(&t->master_q, key);
}

void tty_hangup(struct tty *t)
{
    spin_lock(&t->lock);
    t->hangups++;
    t->nr_slaves = 0;
    t->slave_gone = true;
    t->stopped = false;
    ldisc_flush_input(t);
    t->packet_status = 0;
    spin_unlock(&t->lock);
    wake_both(t, POLLIN_K | POLLOUT_K | POLLHUP_K);
    tty_leave_session(t);
}

void tty_close_master(struct tty *t)
{
    devpts_remove(t);
    spin_lock(&t->lock);
    t->master_closed = true;
    spin_unlock(&t->lock);
    tty_hangup(t);
    tty_put(t);
}

/* ---- reading ---- */

/* Readers, and writers, take turns: what one call moves stays together. */
static int lock_turn(struct mutex *m, const struct file *f)
{
    int r = 0;
    if (mutex_trylock(m))
        return 0;
    if (file_nonblocking(f))
        return -EAGAIN;
    WAIT_EVENT(&m->q, mutex_trylock(m), WAIT_INTERRUPTIBLE | WAIT_EXCLUSIVE, KTIME_NEVER, r);
    return r;
}

/* May a sleeping reader (writer) go on? */
static bool read_wakes(struct tty *t, const struct file *f)
{
    spin_lock(&t->lock);
    bool wakes = ldisc_readable(t, false) || t->master_closed || tty_file_dead(t, f);
    spin_unlock(&t->lock);
    return wakes;
}

static bool write_wakes(struct tty *t, const struct file *f)
{
    spin_lock(&t->lock);
    bool wakes = ldisc_has_output_room(t) || t->master_closed || tty_file_dead(t, f);
    spin_unlock(&t->lock);
    return wakes;
}

/* Waits until there is input. 0, -EIO, -EAGAIN, -ERESTARTSYS, -ETIMEDOUT; -ECANCELED: the file died
 * meanwhile. */
static int wait_for_input(struct tty *t, struct file *f, ktime_t deadline)
{
    int r = 0;
    while (!r) {
        spin_lock(&t->lock);
        bool readable = ldisc_readable(t, false);
        r = readable ? 0 : t->master_closed ? -EIO : tty_file_dead(t, f) ? -ECANCELED : -EAGAIN;
        spin_unlock(&t->lock);
        if (r != -EAGAIN || file_nonblocking(f))
            return r;
        WAIT_EVENT(&t->slave_q, read_wakes(t, f), WAIT_INTERRUPTIBLE, deadline, r);
    }
    return r;
}

struct read_rules {
    bool canonical;
    uint64_t min;           /* bytes that end the read */
    ktime_t first, between; /* how long to wait for the first byte, and for each other */
};

static struct read_rules rules_of(struct tty *t)
{
    spin_lock(&t->lock);
    struct read_rules rules = {.canonical = t->termios.lflag & ICANON_K, .min = 1};
    ktime_t time = t->termios.cc[VTIME_K] * NSEC_PER_DECISECOND;
    if (rules.canonical) {
        rules.first = rules.between = KTIME_NEVER;
    } else if (t->termios.cc[VMIN_K]) {
        rules.min = t->termios.cc[VMIN_K];
        rules.first = KTIME_NEVER;
        rules.between = time ? time : KTIME_NEVER;
    } else {
        rules.first = rules.between = time;
    }
    spin_unlock(&t->lock);
    return rules;
}

static int64_t read_locked(struct tty *t, struct file *f, struct uio *u)
{
    struct read_rules rules = rules_of(t);
    int64_t total = 0;
    bool done = false;
    while (u->remaining && !done) {
        ktime_t wait = total ? rules.between : rules.first;
        int r = wait_for_input(t, f, wait == KTIME_NEVER ? wait : ktime_add(time_mono_ns(), wait));
        if (r == -ETIMEDOUT || r == -ECANCELED)
            break;
        if (r)
            return total ? total : r;
        uint8_t chunk[TTY_CHUNK];
        spin_lock(&t->lock);
        bool was_full = !ldisc_has_input_room(t);
        uint32_t n =
            ldisc_take(t, chunk, (uint32_t)k_min(u->remaining, (uint64_t)sizeof(chunk)), &done);
        bool more = ldisc_readable(t, false);
        spin_unlock(&t->lock);
        if (was_full)
            wake_all(&t->master_q, POLLOUT_K | POLLWRNORM_K);
        size_t moved = uio_write(u, chunk, n);
        total += (int64_t)moved;
        if (moved < n)
            return total ? total : -EFAULT;
        if ((uint64_t)total >= rules.min && !rules.canonical && !more)
            break;
    }
    return total;
}

static int64_t slave_read(struct file *f, struct uio *u, uint64_t *pos)
{
    struct tty *t = f->priv;
    if (tty_file_dead(t, f))
        return 0;
    int r = tty_check_foreground(t, SIGTTIN);
    if (!r)
        r = lock_turn(&t->read_mutex, f);
    if (r)
        return r;
    int64_t total = read_locked(t, f, u);
    mutex_unlock(&t->read_mutex);
    return total;
}

/* ---- writing ---- */

/* Moves a piece that is in the kernel. Bytes taken, which are fewer only with an error in *err. */
static uint32_t write_piece(struct tty *t, struct file *f, const uint8_t *buf, uint32_t n, int *err)
{
    uint32_t done = 0;
    for (;;) {
        spin_lock(&t->lock);
        bool dead = t->master_closed || tty_file_dead(t, f);
        uint32_t moved = dead ? 0 : ldisc_output(t, buf + done, n - done);
        spin_unlock(&t->lock);
        done += moved;
        if (moved)
            wake_all(&t->master_q, POLLIN_K | POLLRDNORM_K);
        if (done == n)
            return done;
        *err = dead ? -EIO : file_nonblocking(f) ? -EAGAIN : 0;
        if (!*err)
            WAIT_EVENT(&t->slave_q, write_wakes(t, f), WAIT_INTERRUPTIBLE, KTIME_NEVER, *err);
        if (*err)
            return done;
    }
}

static int64_t slave_write(struct file *f, struct uio *u, uint64_t *pos)
{
    struct tty *t = f->priv;
    if (tty_file_dead(t, f))
        return -EIO;
    int err = READ_ONCE(t->termios.lflag) & TOSTOP_K ? tty_check_foreground(t, SIGTTOU) : 0;
    if (!err)
        err = lock_turn(&t->write_mutex, f);
    if (err)
        return err;
    int64_t total = 0;
    while (u->remaining && !err) {
        uint8_t chunk[TTY_CHUNK];
        uint32_t want = (uint32_t)k_min(u->remaining, (uint64_t)sizeof(chunk));
        uint32_t n = (uint32_t)uio_read(u, chunk, want);
        if (n < want)
            err = -EFAULT;
        uint32_t done = write_piece(t, f, chunk, n, &err);
        uio_revert(u, n - done);
        total += done;
    }
    mutex_unlock(&t->write_mutex);
    return total ? total : err;
}

/* ---- poll, ioctl ---- */

static uint32_t slave_poll(struct file *f, struct poll_table *pt)
{
    struct tty *t = f->priv;
    uint32_t mask = 0;
    poll_wait(pt, f, &t->slave_q);
    if (tty_file_dead(t, f))
        return POLLIN_K | POLLOUT_K | POLLERR_K | POLLHUP_K | POLLRDNORM_K | POLLWRNORM_K;
    spin_lock(&t->lock);
    if (ldisc_readable(t, true))
        mask |= POLLIN_K | POLLRDNORM_K;
    if (ldisc_has_output_room(t))
        mask |= POLLOUT_K | POLLWRNORM_K;
    if (t->master_closed)
        mask |= POLLHUP_K;
    spin_unlock(&t->lock);
    return mask;
}

static int64_t slave_ioctl(struct file *f, unsigned cmd, uint64_t arg)
{
    enum { TIOCSPGRP_K = 0x5410 };
    if (tty_file_dead(f->priv, f))
        return cmd == TIOCSPGRP_K ? -ENOTTY : -EIO;
    return tty_ioctl(f->priv, f, false, cmd, arg);
}

int64_t tty_flush(struct tty *t, uint64_t which, bool master)
{
    enum { TCIFLUSH_K = 0, TCOFLUSH_K = 1, TCIOFLUSH_K = 2 };
    if (which > TCIOFLUSH_K)
        return -EINVAL;
    const bool input = which != TCOFLUSH_K, output = which != TCIFLUSH_K;
    spin_lock(&t->lock);
    if (master ? output : input)
        ldisc_flush_input(t);
    if (master && input)
        t->out_tail = t->out_head;
    else if (!master && output)
        ldisc_flush_output(t);
    spin_unlock(&t->lock);
    wake_both(t, POLLIN_K | POLLOUT_K | POLLPRI_K);
    return 0;
}

void tty_set_winsize(struct tty *t, const struct k_winsize *size)
{
    spin_lock(&t->lock);
    bool changed = memcmp(&t->winsize, size, sizeof(*size)) != 0;
    t->winsize = *size;
    spin_unlock(&t->lock);
    if (changed)
        tty_signal_foreground(t, SIGWINCH);
}

/* ---- opening and closing ---- */

static void slave_release(struct file *f)
{
    struct tty *t = f->priv;
    spin_lock(&t->lock);
    bool last = !tty_file_dead(t, f) && --t->nr_slaves == 0;
    if (last) {
        t->slave_gone = true;
        t->exclusive = false;
    }
    spin_unlock(&t->lock);
    if (last)
        wake_all(&t->master_q, POLLIN_K | POLLHUP_K);
    tty_put(t);
}

static const struct file_ops slave_ops = {
    .read = slave_read,
    .write = slave_write,
    .poll = slave_poll,
    .ioctl = slave_ioctl,
    .fsync = fsync_not_supported,
    .release = slave_release,
};

/* Makes f a file of the slave, which takes over the caller's reference on success. */
static int attach(struct tty *t, struct file *f)
{
    int r = 0;
    spin_lock(&t->lock);
    if (t->master_closed || t->locked)
        r = -EIO;
    else if (t->exclusive && !capable(CAP_SYS_ADMIN_K))
        r = -EBUSY;
    if (!r) {
        t->nr_slaves++;
        t->slave_gone = false;
        f->f_version = t->hangups;
        f->ops = &slave_ops;
        f->priv = t;
        f->mode |= FMODE_STREAM;
    }
    spin_unlock(&t->lock);
    return r;
}

static int attach_or_put(struct tty *t, struct file *f)
{
    int r = attach(t, f);
    if (r)
        tty_put(t);
    return r;
}

int tty_attach(struct tty *t, struct file *f)
{
    tty_get(t);
    return attach_or_put(t, f);
}

static int pts_open(struct inode *inode, struct file *f)
{
    struct tty *t =
        devpts_find((uint32_t)(inode->rdev & 0xff) | ((uint32_t)(inode->rdev >> 12) & ~0xffu));
    if (!t)
        return -EIO;
    int r = attach_or_put(t, f);
    if (!r && !(f->flags & O_NOCTTY_K) && (f->mode & FMODE_READ))
        tty_acquire(t);
    return r;
}

static int tty_device_open(struct inode *inode, struct file *f)
{
    struct tty *t = tty_of_current();
    return t ? attach_or_put(t, f) : -ENXIO;
}

const struct file_ops pts_device_ops = {.open = pts_open};
const struct file_ops tty_device_ops = {.open = tty_device_open};

struct file *tty_open_slave(struct tty *t, uint32_t flags)
{
    static const uint8_t modes[4] = {FMODE_READ, FMODE_WRITE, FMODE_READ | FMODE_WRITE, 0};
    static const struct file_ops closed_ops;
    char name[24];
    struct inode *inode = devpts_inode(t);
    if (!inode)
        return err_ptr(-EIO);
    k_snprintf(name, sizeof(name), "/dev/pts/%u", t->index);
    struct file *f =
        file_new_anon_on(inode, name, &closed_ops, NULL, flags, modes[flags & O_ACCMODE_K]);
    if (is_err(f))
        return f;
    int r = tty_attach(t, f);
    if (r) {
        file_put(f);
        return err_ptr(r);
    }
    return f;
}
