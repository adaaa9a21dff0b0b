/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eventfd: a 64-bit counter. A write adds to it, a read takes it all (or 1 of it, in semaphore
 * mode); either sleeps when it cannot.
 *
 * eventfd.lock guards the counter; no wake-up is done under it. Sleepers are exclusive, and one
 * that leaves something for the next sleeper of its kind wakes it.
 */
#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/spinlock.h"
#include "fs/anon_file.h"
#include "proc/task.h"

enum { EFD_SEMAPHORE_K = 1 };

#define COUNT_MAX (UINT64_MAX - 1)

struct eventfd {
    spinlock_t lock;
    uint64_t count;
    bool semaphore;
    struct wait_queue readers, writers;
};

/* Takes what a read returns; false when there is nothing. */
static bool take(struct eventfd *e, uint64_t *value, bool *more)
{
    spin_lock(&e->lock);
    *value = e->semaphore && e->count ? 1 : e->count;
    e->count -= *value;
    *more = e->count != 0;
    spin_unlock(&e->lock);
    return *value != 0;
}

/* Adds; false when the counter would pass its maximum. */
static bool add(struct eventfd *e, uint64_t value, bool *more)
{
    spin_lock(&e->lock);
    bool fits = value <= COUNT_MAX - e->count;
    if (fits)
        e->count += value;
    *more = e->count < COUNT_MAX;
    spin_unlock(&e->lock);
    return fits;
}

static int64_t eventfd_read(struct file *f, struct uio *u, uint64_t *pos)
{
    struct eventfd *e = f->priv;
    uint64_t value;
    bool more, slept = false;
    if (u->remaining < sizeof(value))
        return -EINVAL;
    if (!take(e, &value, &more)) {
        if (file_nonblocking(f))
            return -EAGAIN;
        int r;
        WAIT_EVENT(&e->readers, take(e, &value, &more), WAIT_INTERRUPTIBLE | WAIT_EXCLUSIVE,
                   KTIME_NEVER, r);
        if (r)
            return r;
        slept = true;
    }
    wake_one(&e->writers, POLLOUT_K);
    if (slept && more)
        wake_one(&e->readers, POLLIN_K);
    return uio_write(u, &value, sizeof(value)) == sizeof(value) ? (int64_t)sizeof(value) : -EFAULT;
}

static int64_t eventfd_write(struct file *f, struct uio *u, uint64_t *pos)
{
    struct eventfd *e = f->priv;
    uint64_t value;
    bool more, slept = false;
    if (u->remaining < sizeof(value))
        return -EINVAL;
    if (uio_read(u, &value, sizeof(value)) != sizeof(value))
        return -EFAULT;
    if (value == UINT64_MAX)
        return -EINVAL;
    if (!add(e, value, &more)) {
        if (file_nonblocking(f))
            return -EAGAIN;
        int r;
        WAIT_EVENT(&e->writers, add(e, value, &more), WAIT_INTERRUPTIBLE | WAIT_EXCLUSIVE,
                   KTIME_NEVER, r);
        if (r)
            return r;
        slept = true;
    }
    wake_one(&e->readers, POLLIN_K);
    if (slept && more)
        wake_one(&e->writers, POLLOUT_K);
    return sizeof(value);
}

static uint32_t eventfd_poll(struct file *f, struct poll_table *pt)
{
    struct eventfd *e = f->priv;
    poll_wait(pt, f, &e->readers);
    poll_wait(pt, f, &e->writers);
    uint64_t count = __atomic_load_n(&e->count, __ATOMIC_ACQUIRE);
    return (count ? POLLIN_K : 0) | (count < COUNT_MAX ? POLLOUT_K : 0);
}

static void eventfd_release(struct file *f)
{
    kfree(f->priv);
}

static void eventfd_fdinfo(struct file *f, char *buf, size_t size)
{
    const struct eventfd *e = f->priv;
    k_snprintf(buf, size, "eventfd-count: %16lx\neventfd-semaphore: %d\n",
               (unsigned long)READ_ONCE(e->count), e->semaphore);
}

static const struct file_ops eventfd_file_ops = {
    .read = eventfd_read,
    .write = eventfd_write,
    .poll = eventfd_poll,
    .fsync = fsync_not_supported,
    .release = eventfd_release,
    .show_fdinfo = eventfd_fdinfo,
};

int64_t sys_eventfd2(unsigned count, int flags)
{
    if (flags & ~(EFD_SEMAPHORE_K | O_CLOEXEC_K | O_NONBLOCK_K))
        return -EINVAL;
    struct eventfd *e = kzalloc(sizeof(*e));
    if (!e)
        return -ENOMEM;
    spin_init(&e->lock);
    wait_queue_init(&e->readers);
    wait_queue_init(&e->writers);
    e->count = count;
    e->semaphore = flags & EFD_SEMAPHORE_K;
    return fd_install_anon("anon_inode:[eventfd]", &eventfd_file_ops, e, flags);
}

int64_t sys_eventfd(unsigned count)
{
    return sys_eventfd2(count, 0);
}
