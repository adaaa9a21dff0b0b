/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POSIX timers. Each has a queue entry of its own for its signal, so that sending never fails and a
 * signal that is still pending is not sent twice: expirations meanwhile are overruns. A periodic
 * timer is started again when its signal is taken (posix_timer_dequeued), which is also when the
 * overruns are counted; si_sys_private tells which arming a signal belongs to.
 *
 * Times: clocks of real time are kept as CLOCK_MONOTONIC, those of CPU time in that clock's own
 * nanoseconds and looked at from ticks. Lock: process_timers.lock.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "proc/pid.h"
#include "proc/signal_internal.h"
#include "time/process_timers.h"

enum { SIGEV_SIGNAL = 0, SIGEV_NONE = 1, SIGEV_THREAD = 2, SIGEV_THREAD_ID = 4 };
/* A period whose signal is ignored must not keep a CPU busy. */
#define IGNORED_PERIOD_MIN_NS NSEC_PER_MSEC
#define CAP_WAKE_ALARM 35

/* struct sigevent */
struct k_sigevent {
    uint64_t value;
    int32_t signo, notify, tid;
    int32_t pad[11];
};
_Static_assert(sizeof(struct k_sigevent) == 64, "struct sigevent");

struct posix_timer {
    struct list link;
    struct process_timers *timers;
    int id;
    int clock;
    bool is_cpu;
    struct cpu_clock cpu_clock;
    int notify;
    struct thread *target; /* counted; NULL: the process */
    struct ktimer kt;
    bool armed;
    uint64_t expires; /* valid while armed or periodic */
    uint64_t interval_ns;
    int32_t generation; /* of settime calls */
    bool signal_out;    /* sent and not yet taken: the next interval waits for it */
    int64_t overrun;    /* since the last signal taken; -1: the expiry itself does not count */
    int64_t overrun_last;
    struct sigqueue_entry *entry; /* NULL with SIGEV_NONE */
};

static uint64_t timer_now(const struct posix_timer *t)
{
    return t->is_cpu ? cpu_clock_read(&t->cpu_clock) : time_mono_ns();
}

static void timer_arm(struct posix_timer *t, uint64_t expires)
{
    t->expires = expires;
    if (!t->armed && t->is_cpu)
        t->timers->nr_cpu_posix++;
    t->armed = true;
    if (t->is_cpu)
        WRITE_ONCE(t->timers->process->cpu_timers_armed, true);
    else
        ktimer_start(&t->kt, expires);
}

static void timer_disarm(struct posix_timer *t)
{
    if (t->armed && t->is_cpu)
        t->timers->nr_cpu_posix--;
    t->armed = false; /* a kernel timer that still fires finds this */
}

/* The timer is due. timers->lock held. */
static void timer_fire(struct posix_timer *t, uint64_t now)
{
    timer_disarm(t);
    if (t->notify == SIGEV_NONE)
        return; /* a periodic one is calculated when somebody asks */
    t->entry->info.timer.sys_private = t->generation;
    int r = signal_send_timer(t->timers->process, t->target, t->entry);
    if (r == SIGNAL_IGNORED) {
        if (t->interval_ns) {
            timer_forward(&t->expires, t->interval_ns, now);
            timer_arm(t, k_max(t->expires, now + IGNORED_PERIOD_MIN_NS));
        }
        return;
    }
    t->signal_out = true;
}

static void timer_expired(struct ktimer *kt)
{
    struct posix_timer *t = container_of(kt, struct posix_timer, kt);
    spin_lock(&t->timers->lock);
    ktime_t now = time_mono_ns();
    if (t->armed && t->expires <= now)
        timer_fire(t, now);
    else if (t->armed)
        ktimer_start(&t->kt, t->expires);
    spin_unlock(&t->timers->lock);
}

void posix_cpu_timers_check(struct process_timers *pt)
{
    struct posix_timer *t;
    list_for_each (t, &pt->posix, link)
        if (t->is_cpu && t->armed) {
            uint64_t now = timer_now(t);
            if (t->expires <= now)
                timer_fire(t, now);
        }
}

static struct posix_timer *timer_find(struct process_timers *pt, int id)
{
    struct posix_timer *t;
    list_for_each (t, &pt->posix, link)
        if (t->id == id)
            return t;
    return NULL;
}

static int32_t clamp_overrun(int64_t n)
{
    return (int32_t)k_max((int64_t)0, k_min(n, (int64_t)INT32_MAX));
}

void posix_timer_dequeued(struct process *p, struct k_siginfo *info)
{
    struct process_timers *pt = p->timers;
    if (!pt)
        return;
    spin_lock(&pt->lock);
    struct posix_timer *t = timer_find(pt, info->timer.tid);
    if (t) {
        t->signal_out = false;
        if (info->timer.sys_private == t->generation && t->interval_ns) {
            t->overrun += (int64_t)timer_forward(&t->expires, t->interval_ns, timer_now(t));
            t->overrun_last = t->overrun;
            t->overrun = -1;
            timer_arm(t, t->expires);
            info->timer.overrun = clamp_overrun(t->overrun_last);
        }
    }
    spin_unlock(&pt->lock);
}

/* ---- making and deleting ---- */

static void timer_free(struct posix_timer *t)
{
    if (t->entry)
        sigqueue_free(t->entry);
    if (t->target)
        thread_put(t->target);
    if (t->is_cpu)
        cpu_clock_put(&t->cpu_clock);
    kfree(t);
}

/* t is out of the list and disarmed. */
static void timer_destroy(struct posix_timer *t)
{
    ktimer_cancel(&t->kt);
    if (t->entry && signal_disown_timer_entry(t->timers->process, t->entry))
        t->entry = NULL; /* its signal is still pending and stays so */
    timer_free(t);
}

void posix_timers_delete_all(struct process *p)
{
    struct process_timers *pt = p->timers;
    if (!pt)
        return;
    for (;;) {
        spin_lock(&pt->lock);
        struct posix_timer *t =
            list_empty(&pt->posix) ? NULL : list_first(&pt->posix, struct posix_timer, link);
        if (t) {
            list_del(&t->link);
            timer_disarm(t);
        }
        spin_unlock(&pt->lock);
        if (!t)
            return;
        timer_destroy(t);
    }
}

/* Fills the clock of t. CPU clocks: only those of the own process; there is nobody who would look
 * at another's. */
static int timer_set_clock(struct posix_timer *t, int clock)
{
    t->clock = clock;
    if (clock_is_cpu(clock)) {
        int err = cpu_clock_get(clock, &t->cpu_clock);
        if (err)
            return err;
        t->is_cpu = true;
        const struct process *owner =
            t->cpu_clock.process ? t->cpu_clock.process : t->cpu_clock.thread->process;
        return owner == current->process ? 0 : -EINVAL;
    }
    if (clock == CLOCK_REALTIME_ALARM || clock == CLOCK_BOOTTIME_ALARM)
        return capable(CAP_WAKE_ALARM) ? 0 : -EPERM;
    if (clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_REALTIME_COARSE ||
        clock == CLOCK_MONOTONIC_COARSE)
        return -EOPNOTSUPP; /* clocks to read only */
    return clock_is_real(clock) || clock_is_mono(clock) ? 0 : -EINVAL;
}

static int timer_set_event(struct posix_timer *t, const struct k_sigevent *ev)
{
    t->notify = ev->notify;
    if (ev->notify == SIGEV_NONE)
        return 0;
    if (ev->notify != SIGEV_SIGNAL && ev->notify != SIGEV_THREAD &&
        ev->notify != (SIGEV_SIGNAL | SIGEV_THREAD_ID))
        return -EINVAL;
    if (ev->signo < 1 || ev->signo > NSIG_K)
        return -EINVAL;
    if (ev->notify & SIGEV_THREAD_ID) {
        t->target = thread_find(ev->tid);
        if (!t->target || t->target->process != current->process)
            return -EINVAL;
    }
    t->entry = sigqueue_alloc(current->cred->uid, rlimit_cur(RLIMIT_SIGPENDING_K), false);
    if (!t->entry)
        return -EAGAIN;
    t->entry->timer = t;
    t->entry->info.si_signo = ev->signo;
    t->entry->info.si_code = SI_TIMER_K;
    t->entry->info.timer.value = ev->value;
    return 0;
}

int64_t sys_timer_create(int clock, uaddr_t event_addr, uaddr_t id_addr)
{
    struct k_sigevent ev;
    memset(&ev, 0, sizeof(ev));
    ev.signo = SIGALRM;
    if (event_addr && get_user(ev, event_addr))
        return -EFAULT;
    struct process_timers *pt = process_timers_get(current->process);
    struct posix_timer *t = kzalloc(sizeof(*t));
    if (!pt || !t) {
        kfree(t);
        return -EAGAIN;
    }
    t->timers = pt;
    ktimer_init(&t->kt, timer_expired);
    list_init(&t->link);
    int err = timer_set_clock(t, clock);
    if (!err)
        err = timer_set_event(t, &ev);
    if (err) {
        timer_free(t);
        return err;
    }
    spin_lock(&pt->lock);
    t->id = pt->next_id;
    while (timer_find(pt, t->id))
        t->id = t->id == INT_MAX ? 0 : t->id + 1;
    pt->next_id = t->id == INT_MAX ? 0 : t->id + 1;
    int id = t->id;
    if (t->entry) {
        t->entry->info.timer.tid = id;
        if (!event_addr)
            t->entry->info.timer.value = (uint64_t)(int64_t)id;
    }
    list_add_tail(&t->link, &pt->posix);
    spin_unlock(&pt->lock);
    if (put_user((int32_t)id, id_addr)) {
        spin_lock(&pt->lock);
        t = timer_find(pt, id); /* another thread may have guessed the number and deleted it */
        if (t)
            list_del(&t->link);
        spin_unlock(&pt->lock);
        if (t)
            timer_destroy(t);
        return -EFAULT;
    }
    return 0;
}

int64_t sys_timer_delete(int id)
{
    struct process_timers *pt = current->process->timers;
    if (!pt)
        return -EINVAL;
    spin_lock(&pt->lock);
    struct posix_timer *t = timer_find(pt, id);
    if (t) {
        list_del(&t->link);
        timer_disarm(t);
    }
    spin_unlock(&pt->lock);
    if (!t)
        return -EINVAL;
    timer_destroy(t);
    return 0;
}

/* ---- setting and reading ---- */

/* timers->lock held. */
static struct k_itimerspec timer_read(struct posix_timer *t)
{
    struct k_itimerspec s = {ns_to_timespec(t->interval_ns), {0, 0}};
    bool periodic = t->interval_ns != 0;
    if (!t->armed && !(periodic && (t->signal_out || t->notify == SIGEV_NONE)))
        return s;
    uint64_t now = timer_now(t);
    if (!t->armed) /* periodic, and waiting for its signal to be taken, or without one */
        t->overrun += (int64_t)timer_forward(&t->expires, t->interval_ns, now);
    if (t->expires > now)
        s.value = ns_to_timespec(t->expires - now);
    else if (t->notify != SIGEV_NONE)
        s.value.nsec = 1; /* due, but its expiry has not been dealt with yet */
    return s;
}

/* An absolute time of t's clock in the time that t is kept in. */
static uint64_t absolute_expiry(const struct posix_timer *t, uint64_t value_ns)
{
    if (t->is_cpu || !clock_is_real(t->clock))
        return value_ns;
    uint64_t real = time_real_ns(), mono = time_mono_ns();
    return value_ns > real ? ktime_add(mono, value_ns - real) : mono;
}

int64_t sys_timer_settime(int id, int flags, uaddr_t new_addr, uaddr_t old_addr)
{
    struct k_itimerspec new, old;
    if (new_addr == 0)
        return -EINVAL;
    if (get_user(new, new_addr))
        return -EFAULT;
    if (!timespec_valid(&new.interval) || !timespec_valid(&new.value))
        return -EINVAL;
    struct process_timers *pt = current->process->timers;
    if (!pt)
        return -EINVAL;
    uint64_t value = timespec_to_ns(&new.value);
    spin_lock(&pt->lock);
    struct posix_timer *t = timer_find(pt, id);
    if (!t) {
        spin_unlock(&pt->lock);
        return -EINVAL;
    }
    old = timer_read(t);
    timer_disarm(t);
    t->generation = t->generation == INT32_MAX ? 0 : t->generation + 1;
    t->overrun = -1;
    t->overrun_last = 0;
    t->signal_out = false;
    t->interval_ns = value ? timespec_to_ns(&new.interval) : 0;
    if (value)
        timer_arm(t, flags & TIMER_ABSTIME ? absolute_expiry(t, value)
                                           : ktime_add(timer_now(t), value));
    spin_unlock(&pt->lock);
    return old_addr ? put_user(old, old_addr) : 0;
}

int64_t sys_timer_gettime(int id, uaddr_t addr)
{
    struct k_itimerspec s;
    struct process_timers *pt = current->process->timers;
    if (!pt)
        return -EINVAL;
    spin_lock(&pt->lock);
    struct posix_timer *t = timer_find(pt, id);
    if (t)
        s = timer_read(t);
    spin_unlock(&pt->lock);
    return t ? put_user(s, addr) : -EINVAL;
}

int64_t sys_timer_getoverrun(int id)
{
    struct process_timers *pt = current->process->timers;
    if (!pt)
        return -EINVAL;
    spin_lock(&pt->lock);
    struct posix_timer *t = timer_find(pt, id);
    int64_t n = t ? clamp_overrun(t->overrun_last) : -EINVAL;
    spin_unlock(&pt->lock);
    return n;
}
