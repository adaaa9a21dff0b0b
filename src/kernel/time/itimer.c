/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interval timers (setitimer, alarm) and RLIMIT_CPU.
 *
 * ITIMER_REAL runs on a kernel timer. A periodic one is started again when its SIGALRM is taken,
 * not when it expires, so that a short period costs nothing while nobody looks; periods that went
 * by meanwhile are skipped, as on Linux. The other two are compared with the process's CPU time at
 * ticks (itimer_tick).
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "proc/pid.h"
#include "proc/signal_internal.h"
#include "time/process_timers.h"

static void real_expired(struct ktimer *kt)
{
    struct process_timers *pt = container_of(kt, struct process_timers, real);
    spin_lock(&pt->lock);
    /* It may have been set anew while this ran towards the lock. */
    bool due = pt->real_armed && pt->real_expires <= time_mono_ns();
    if (due)
        pt->real_armed = false;
    else if (pt->real_armed)
        ktimer_start(&pt->real, pt->real_expires);
    if (due)
        signal_kill_process(pt->process, SIGALRM);
    spin_unlock(&pt->lock);
}

void itimer_real_dequeued(struct process *p)
{
    struct process_timers *pt = p->timers;
    spin_lock(&pt->lock);
    if (!pt->real_armed && pt->real_interval_ns) {
        timer_forward(&pt->real_expires, pt->real_interval_ns, time_mono_ns());
        pt->real_armed = true;
        ktimer_start(&pt->real, pt->real_expires);
    }
    spin_unlock(&pt->lock);
}

struct process_timers *process_timers_get(struct process *p)
{
    struct process_timers *pt = __atomic_load_n(&p->timers, __ATOMIC_ACQUIRE);
    if (pt)
        return pt;
    pt = kzalloc(sizeof(*pt));
    if (!pt)
        return NULL;
    spin_init(&pt->lock);
    pt->process = p;
    ktimer_init(&pt->real, real_expired);
    list_init(&pt->posix);
    struct process_timers *none = NULL;
    if (!__atomic_compare_exchange_n(&p->timers, &none, pt, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        kfree(pt); /* another thread was faster */
        return none;
    }
    return pt;
}

void process_timers_release(struct process *p)
{
    struct process_timers *pt = p->timers;
    if (!pt)
        return;
    posix_timers_delete_all(p);
    spin_lock(&pt->lock);
    pt->real_armed = false;
    pt->real_interval_ns = 0;
    spin_unlock(&pt->lock);
    ktimer_cancel(&pt->real);
    p->timers = NULL;
    kfree(pt);
}

/* ---- CPU time ---- */

/* One second of CPU time beyond the soft limit: SIGXCPU, again each second; at the hard one
 * SIGKILL. */
static void check_cpu_limit(struct process *p, uint64_t total_ns)
{
    uint64_t seconds = total_ns / NSEC_PER_SEC;
    int sig = 0;
    spin_lock(&proc_tree_lock);
    struct k_rlimit *limit = &p->rlim[RLIMIT_CPU_K];
    if (limit->max != RLIM_INFINITY_K && seconds >= k_max(limit->max, (uint64_t)1)) {
        sig = SIGKILL;
    } else if (limit->cur != RLIM_INFINITY_K && seconds >= k_max(limit->cur, (uint64_t)1)) {
        sig = SIGXCPU;
        limit->cur = k_min(seconds + 1, limit->max);
    }
    spin_unlock(&proc_tree_lock);
    if (sig)
        signal_kill_process(p, sig);
}

static void check_cpu_itimer(struct process *p, struct cpu_itimer *it, uint64_t now, int sig)
{
    if (it->expires == 0 || it->expires > now)
        return;
    if (it->interval_ns)
        timer_forward(&it->expires, it->interval_ns, now);
    else
        it->expires = 0;
    signal_kill_process(p, sig);
}

void itimer_tick(struct thread *t, uint64_t utime_ns, uint64_t stime_ns)
{
    struct process *p = t->process;
    if (!p || likely(!READ_ONCE(p->cpu_timers_armed)) || p->is_kernel || t->exiting)
        return;
    uint64_t utime, stime;
    process_cpu_times(p, &utime, &stime);
    bool limited = READ_ONCE(p->rlim[RLIMIT_CPU_K].cur) != RLIM_INFINITY_K, armed = limited;
    if (limited)
        check_cpu_limit(p, utime + stime);
    struct process_timers *pt = __atomic_load_n(&p->timers, __ATOMIC_ACQUIRE);
    if (pt) {
        spin_lock(&pt->lock);
        check_cpu_itimer(p, &pt->cpu[0], utime, SIGVTALRM);
        check_cpu_itimer(p, &pt->cpu[1], utime + stime, SIGPROF);
        if (pt->nr_cpu_posix)
            posix_cpu_timers_check(pt);
        armed = armed || pt->cpu[0].expires || pt->cpu[1].expires || pt->nr_cpu_posix;
        if (!armed)
            WRITE_ONCE(p->cpu_timers_armed, false);
        spin_unlock(&pt->lock);
    } else if (!armed) {
        WRITE_ONCE(p->cpu_timers_armed, false);
    }
}

/* ---- calls ---- */

struct k_itimerval {
    struct k_timeval interval, value;
};

static bool timeval_valid(const struct k_timeval *t)
{
    return t->sec >= 0 && t->usec >= 0 && t->usec < 1000000;
}

static uint64_t timeval_to_ns(const struct k_timeval *t)
{
    struct k_timespec ts = {t->sec, t->usec * 1000};
    return timespec_to_ns(&ts);
}

static struct k_timeval ns_to_timeval(uint64_t ns)
{
    return (struct k_timeval){(int64_t)(ns / NSEC_PER_SEC),
                              (int64_t)(ns % NSEC_PER_SEC / NSEC_PER_USEC)};
}

/* The time that a CPU timer counts, now. */
static uint64_t cpu_itimer_now(struct process *p, int which)
{
    uint64_t utime, stime;
    process_cpu_times(p, &utime, &stime);
    return which == ITIMER_VIRTUAL_K ? utime : utime + stime;
}

/* Remaining time; never 0 while armed. timers->lock held. */
static uint64_t real_remaining(const struct process_timers *pt)
{
    ktime_t now = time_mono_ns();
    if (!pt->real_armed)
        return 0;
    return pt->real_expires > now ? pt->real_expires - now : NSEC_PER_USEC;
}

static void read_itimer(struct process *p, int which, uint64_t *value_ns, uint64_t *interval_ns)
{
    struct process_timers *pt = __atomic_load_n(&p->timers, __ATOMIC_ACQUIRE);
    *value_ns = *interval_ns = 0;
    if (!pt)
        return;
    uint64_t now = which == ITIMER_REAL_K ? 0 : cpu_itimer_now(p, which);
    spin_lock(&pt->lock);
    if (which == ITIMER_REAL_K) {
        *value_ns = real_remaining(pt);
        *interval_ns = pt->real_interval_ns;
    } else {
        const struct cpu_itimer *it = &pt->cpu[which - 1];
        if (it->expires)
            *value_ns = it->expires > now ? it->expires - now : NSEC_PER_USEC;
        *interval_ns = it->interval_ns;
    }
    spin_unlock(&pt->lock);
}

/* value 0 disarms. Returns the old setting. 0 or -ENOMEM. */
static int set_itimer(struct process *p, int which, uint64_t value_ns, uint64_t interval_ns,
                      uint64_t *old_value_ns, uint64_t *old_interval_ns)
{
    read_itimer(p, which, old_value_ns, old_interval_ns);
    struct process_timers *pt = p->timers;
    if (!pt && value_ns == 0)
        return 0;
    pt = process_timers_get(p);
    if (!pt)
        return -ENOMEM;
    uint64_t cpu_now = which == ITIMER_REAL_K ? 0 : cpu_itimer_now(p, which);
    spin_lock(&pt->lock);
    if (which == ITIMER_REAL_K) {
        *old_value_ns = real_remaining(pt);
        pt->real_armed = value_ns != 0;
        pt->real_interval_ns = value_ns ? interval_ns : 0;
        pt->real_expires = ktime_add(time_mono_ns(), value_ns);
        if (pt->real_armed)
            ktimer_start(&pt->real, pt->real_expires);
    } else {
        struct cpu_itimer *it = &pt->cpu[which - 1];
        it->expires = value_ns ? ktime_add(cpu_now, value_ns) : 0;
        it->interval_ns = value_ns ? interval_ns : 0;
        if (it->expires)
            WRITE_ONCE(p->cpu_timers_armed, true);
    }
    spin_unlock(&pt->lock);
    return 0;
}

int64_t sys_getitimer(int which, uaddr_t addr)
{
    uint64_t value, interval;
    if (which < ITIMER_REAL_K || which > ITIMER_PROF_K)
        return -EINVAL;
    read_itimer(current->process, which, &value, &interval);
    struct k_itimerval it = {ns_to_timeval(interval), ns_to_timeval(value)};
    return put_user(it, addr);
}

int64_t sys_setitimer(int which, uaddr_t new_addr, uaddr_t old_addr)
{
    struct k_itimerval it;
    uint64_t old_value, old_interval;
    memset(&it, 0, sizeof(it));
    if (new_addr && get_user(it, new_addr))
        return -EFAULT;
    if (!timeval_valid(&it.value) || !timeval_valid(&it.interval))
        return -EINVAL;
    if (which < ITIMER_REAL_K || which > ITIMER_PROF_K)
        return -EINVAL;
    int err = set_itimer(current->process, which, timeval_to_ns(&it.value),
                         timeval_to_ns(&it.interval), &old_value, &old_interval);
    if (err)
        return err;
    if (old_addr) {
        it = (struct k_itimerval){ns_to_timeval(old_interval), ns_to_timeval(old_value)};
        return put_user(it, old_addr);
    }
    return 0;
}

int64_t sys_alarm(uint32_t seconds)
{
    uint64_t old, unused;
    if (set_itimer(current->process, ITIMER_REAL_K, (uint64_t)seconds * NSEC_PER_SEC, 0, &old,
                   &unused))
        return 0;
    /* Rounded, but a rest is never reported as none. */
    uint64_t left = old / NSEC_PER_SEC, part = old % NSEC_PER_SEC;
    if ((left == 0 && part) || part >= NSEC_PER_SEC / 2)
        left++;
    return (int64_t)left;
}
