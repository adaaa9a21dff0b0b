/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timerfd: a timer whose expirations are counted by reads.
 *
 * All timers run on CLOCK_MONOTONIC; one that was set to an absolute time of the wall clock stands
 * in `wall_timers` and is set anew when that clock jumps. A periodic timer is started again by the
 * read (or the look at it) that counts the periods gone by, so an unread timer costs nothing.
 *
 * timerfd.lock guards the state and is taken by the expiry function, so the timer is never
 * cancelled under it: timerfd.set_mutex makes settime the only one to do so. Order: set_mutex ->
 * wall_timers_lock -> timerfd.lock -> the timer code's.
 */
#include "fs/timerfd.h"

#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/spinlock.h"
#include "base/usercopy.h"
#include "fs/anon_file.h"
#include "proc/task.h"

enum {
    CLOCK_REALTIME_K = 0,
    CLOCK_MONOTONIC_K = 1,
    CLOCK_BOOTTIME_K = 7,
    CLOCK_REALTIME_ALARM_K = 8,
    CLOCK_BOOTTIME_ALARM_K = 9
};
enum { TFD_TIMER_ABSTIME_K = 1, TFD_TIMER_CANCEL_ON_SET_K = 2 };
#define CAP_WAKE_ALARM_K 35

struct timerfd {
    struct ktimer timer;
    struct wait_queue q;
    struct mutex set_mutex;
    struct list wall_link; /* of wall_timers, while set to a time of the wall clock */

    spinlock_t lock; /* what follows */
    int clock;
    int settime_flags;
    bool armed;      /* the timer runs towards `expires` */
    bool canceled;   /* the wall clock was set; the next read says so */
    uint64_t ticks;  /* expirations not yet read */
    ktime_t expires; /* CLOCK_MONOTONIC; the last expiry when not armed */
    uint64_t wall_target;
    uint64_t interval_ns; /* 0: one-shot */
};

static struct list wall_timers = LIST_INIT(wall_timers);
static spinlock_t wall_timers_lock = SPINLOCK_INIT;

static void timerfd_expired(struct ktimer *kt)
{
    struct timerfd *t = container_of(kt, struct timerfd, timer);
    spin_lock(&t->lock);
    /* A timer that was set anew while this ran towards the lock is not due. */
    bool due = t->armed && t->expires <= time_mono_ns();
    if (due) {
        t->armed = false;
        t->ticks++;
    } else if (t->armed) {
        ktimer_start(&t->timer, t->expires);
    }
    spin_unlock(&t->lock);
    if (due)
        wake_all(&t->q, POLLIN_K);
}

/* Counts the periods since the last expiry and starts the timer for the next one. lock held. */
static void advance(struct timerfd *t)
{
    if (t->armed || !t->ticks || !t->interval_ns)
        return;
    ktime_t now = time_mono_ns();
    uint64_t passed = now > t->expires ? (now - t->expires) / t->interval_ns : 0;
    t->ticks += passed;
    t->expires = ktime_add(t->expires + passed * t->interval_ns, t->interval_ns);
    t->armed = true;
    ktimer_start(&t->timer, t->expires);
}

/* CLOCK_MONOTONIC time at which the wall clock shows `target`. The wall clock is read first: an
 * error of the reads is a late expiry, never an early one. */
static ktime_t wall_to_mono(uint64_t target)
{
    uint64_t wall = time_real_ns();
    ktime_t now = time_mono_ns();
    return target > wall ? ktime_add(now, target - wall) : now;
}

void timerfd_clock_was_set(void)
{
    struct timerfd *t;
    spin_lock(&wall_timers_lock);
    list_for_each (t, &wall_timers, wall_link) {
        spin_lock(&t->lock);
        bool cancel = t->settime_flags & TFD_TIMER_CANCEL_ON_SET_K;
        t->canceled |= cancel;
        if (t->armed) {
            t->expires = wall_to_mono(t->wall_target);
            ktimer_start(&t->timer, t->expires);
        }
        spin_unlock(&t->lock);
        if (cancel)
            wake_all(&t->q, POLLIN_K);
    }
    spin_unlock(&wall_timers_lock);
}

/* ---- file operations ---- */

/* A read's result into *ticks: 1, 0 (nothing yet), or -ECANCELED. */
static int take_ticks(struct timerfd *t, uint64_t *ticks)
{
    spin_lock(&t->lock);
    int r = 0;
    if (t->canceled) {
        t->canceled = false;
        r = -ECANCELED;
    } else if (t->ticks) {
        advance(t);
        *ticks = t->ticks;
        t->ticks = 0;
        r = 1;
    }
    spin_unlock(&t->lock);
    return r;
}

static int64_t timerfd_read(struct file *f, struct uio *u, uint64_t *pos)
{
    struct timerfd *t = f->priv;
    uint64_t ticks = 0;
    if (u->remaining < sizeof(ticks))
        return -EINVAL;
    int got = take_ticks(t, &ticks);
    if (!got) {
        if (file_nonblocking(f))
            return -EAGAIN;
        int r;
        WAIT_EVENT(&t->q, (got = take_ticks(t, &ticks)) != 0, WAIT_INTERRUPTIBLE, KTIME_NEVER, r);
        if (r)
            return r;
    }
    if (got < 0)
        return got;
    return uio_write(u, &ticks, sizeof(ticks)) == sizeof(ticks) ? (int64_t)sizeof(ticks) : -EFAULT;
}

static uint32_t timerfd_poll(struct file *f, struct poll_table *pt)
{
    struct timerfd *t = f->priv;
    poll_wait(pt, f, &t->q);
    spin_lock(&t->lock);
    bool ready = t->ticks || t->canceled;
    spin_unlock(&t->lock);
    return ready ? POLLIN_K : 0;
}

static void leave_wall_timers(struct timerfd *t)
{
    spin_lock(&wall_timers_lock);
    list_del(&t->wall_link);
    spin_unlock(&wall_timers_lock);
}

static void timerfd_release(struct file *f)
{
    struct timerfd *t = f->priv;
    leave_wall_timers(t);
    spin_lock(&t->lock);
    t->armed = false;
    spin_unlock(&t->lock);
    ktimer_cancel(&t->timer);
    kfree(t);
}

/* Remaining time and interval. lock held. */
static struct k_itimerspec current_setting(struct timerfd *t)
{
    advance(t);
    ktime_t now = time_mono_ns();
    uint64_t left = t->armed && t->expires > now ? t->expires - now : 0;
    return (struct k_itimerspec){ns_to_timespec(t->interval_ns), ns_to_timespec(left)};
}

static void timerfd_fdinfo(struct file *f, char *buf, size_t size)
{
    struct timerfd *t = f->priv;
    spin_lock(&t->lock);
    uint64_t ticks = t->ticks;
    struct k_itimerspec s = current_setting(t);
    k_snprintf(buf, size,
               "clockid: %d\nticks: %lu\nsettime flags: 0%o\nit_value: (%lu, %lu)\nit_interval: "
               "(%lu, %lu)\n",
               t->clock, (unsigned long)ticks, (unsigned)t->settime_flags,
               (unsigned long)s.value.sec, (unsigned long)s.value.nsec,
               (unsigned long)s.interval.sec, (unsigned long)s.interval.nsec);
    spin_unlock(&t->lock);
}

static const struct file_ops timerfd_file_ops = {
    .read = timerfd_read,
    .poll = timerfd_poll,
    .fsync = fsync_not_supported,
    .release = timerfd_release,
    .show_fdinfo = timerfd_fdinfo,
};

/* ---- calls ---- */

int64_t sys_timerfd_create(int clock, int flags)
{
    if (flags & ~(O_CLOEXEC_K | O_NONBLOCK_K))
        return -EINVAL;
    if (clock == CLOCK_REALTIME_ALARM_K || clock == CLOCK_BOOTTIME_ALARM_K)
        return capable(CAP_WAKE_ALARM_K) ? -EINVAL : -EPERM; /* a keep cannot wake its machine */
    if (clock != CLOCK_REALTIME_K && clock != CLOCK_MONOTONIC_K && clock != CLOCK_BOOTTIME_K)
        return -EINVAL;
    struct timerfd *t = kzalloc(sizeof(*t));
    if (!t)
        return -ENOMEM;
    ktimer_init(&t->timer, timerfd_expired);
    wait_queue_init(&t->q);
    mutex_init(&t->set_mutex);
    list_init(&t->wall_link);
    spin_init(&t->lock);
    t->clock = clock;
    return fd_install_anon("anon_inode:[timerfd]", &timerfd_file_ops, t, flags);
}

/* The counted file of a timerfd descriptor, or err_ptr: -EBADF, -EINVAL. */
static struct file *timerfd_get(int fd)
{
    struct file *f = fd_get(fd);
    if (!f)
        return err_ptr(-EBADF);
    if (f->ops != &timerfd_file_ops) {
        file_put(f);
        return err_ptr(-EINVAL);
    }
    return f;
}

static struct k_itimerspec set_time(struct timerfd *t, int flags, const struct k_itimerspec *new)
{
    const bool start = new->value.sec || new->value.nsec;
    const bool wall = t->clock == CLOCK_REALTIME_K && (flags & TFD_TIMER_ABSTIME_K);
    const uint64_t value = timespec_to_ns(&new->value);
    mutex_lock(&t->set_mutex);
    spin_lock(&wall_timers_lock);
    list_del(&t->wall_link);
    spin_lock(&t->lock);
    struct k_itimerspec old = current_setting(t);
    t->ticks = 0;
    t->canceled = false;
    t->settime_flags = flags;
    t->interval_ns = timespec_to_ns(&new->interval);
    t->armed = start;
    if (start) {
        if (wall) {
            t->wall_target = value;
            t->expires = wall_to_mono(value);
            list_add_tail(&t->wall_link, &wall_timers);
        } else {
            t->expires = flags & TFD_TIMER_ABSTIME_K ? value : ktime_add(time_mono_ns(), value);
        }
        ktimer_start(&t->timer, t->expires);
    }
    spin_unlock(&t->lock);
    spin_unlock(&wall_timers_lock);
    if (!start)
        ktimer_cancel(&t->timer);
    mutex_unlock(&t->set_mutex);
    return old;
}

int64_t sys_timerfd_settime(int fd, int flags, uaddr_t new_value, uaddr_t old_value)
{
    struct k_itimerspec new;
    if (get_user(new, new_value))
        return -EFAULT;
    if ((flags & ~(TFD_TIMER_ABSTIME_K | TFD_TIMER_CANCEL_ON_SET_K)) ||
        !timespec_valid(&new.value) || !timespec_valid(&new.interval))
        return -EINVAL;
    struct file *f = timerfd_get(fd);
    if (is_err(f))
        return ptr_err(f);
    struct k_itimerspec old = set_time(f->priv, flags, &new);
    file_put(f);
    return old_value && put_user(old, old_value) ? -EFAULT : 0;
}

int64_t sys_timerfd_gettime(int fd, uaddr_t value)
{
    struct file *f = timerfd_get(fd);
    if (is_err(f))
        return ptr_err(f);
    struct timerfd *t = f->priv;
    spin_lock(&t->lock);
    struct k_itimerspec now = current_setting(t);
    spin_unlock(&t->lock);
    file_put(f);
    return put_user(now, value) ? -EFAULT : 0;
}
