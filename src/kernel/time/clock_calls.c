/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clocks as system calls: reading, resolution, sleeping. Source: clock_gettime(2),
 * clock_nanosleep(2).
 *
 * Monotonic time comes from the TSC; the wall clock is the host's word and cannot be set from
 * inside (EPERM, as without CAP_SYS_TIME). CPU-time clocks of other processes and threads are
 * numbers made from a pid: ~pid << 3 | 4 for a thread | kind.
 */
#include "base/errno.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "proc/pid.h"
#include "time/process_timers.h"

/* Kinds of CPU clocks, the low two bits. */
enum {
    CPUCLOCK_PROF = 0,
    CPUCLOCK_VIRT = 1,
    CPUCLOCK_SCHED = 2,
    CPUCLOCK_KIND_MASK = 3,
    CPUCLOCK_PER_THREAD = 4
};

#define COARSE_RES_NS 4000000

bool clock_is_real(int clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE ||
           clock == CLOCK_REALTIME_ALARM || clock == CLOCK_TAI;
}

bool clock_is_mono(int clock)
{
    return clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_RAW ||
           clock == CLOCK_MONOTONIC_COARSE || clock == CLOCK_BOOTTIME ||
           clock == CLOCK_BOOTTIME_ALARM;
}

bool clock_is_cpu(int clock)
{
    return clock < 0 || clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID;
}

int cpu_clock_get(int clock, struct cpu_clock *c)
{
    memset(c, 0, sizeof(*c));
    if (clock == CLOCK_PROCESS_CPUTIME_ID) {
        c->process = current->process;
        process_get(c->process);
        return 0;
    }
    if (clock == CLOCK_THREAD_CPUTIME_ID) {
        c->thread = current;
        thread_get(c->thread);
        return 0;
    }
    int kind = clock & CPUCLOCK_KIND_MASK;
    kpid_t pid = ~(clock >> 3);
    if (kind > CPUCLOCK_SCHED)
        return -EINVAL; /* the fourth kind names a descriptor of a clock device: there is none */
    c->user_only = kind == CPUCLOCK_VIRT;
    int err = -EINVAL;
    spin_lock(&proc_tree_lock);
    if (clock & CPUCLOCK_PER_THREAD) {
        struct thread *t = pid == 0 ? current : thread_find_locked(pid);
        if (t && t->process == current->process) {
            thread_get(t);
            c->thread = t;
            err = 0;
        }
    } else {
        struct process *p = pid == 0 ? current->process : process_find_locked(pid);
        if (p) {
            process_get(p);
            c->process = p;
            err = 0;
        }
    }
    spin_unlock(&proc_tree_lock);
    return err;
}

void cpu_clock_put(struct cpu_clock *c)
{
    if (c->process)
        process_put(c->process);
    if (c->thread)
        thread_put(c->thread);
}

uint64_t cpu_clock_read(const struct cpu_clock *c)
{
    uint64_t utime, stime;
    if (c->process)
        process_cpu_times(c->process, &utime, &stime);
    else
        thread_cpu_times(c->thread, &utime, &stime);
    return c->user_only ? utime : utime + stime;
}

static int cpu_clock_now(int clock, uint64_t *ns)
{
    struct cpu_clock c;
    int err = cpu_clock_get(clock, &c);
    if (err)
        return err;
    *ns = cpu_clock_read(&c);
    cpu_clock_put(&c);
    return 0;
}

/* ---- reading ---- */

static int clock_read(int clock, uint64_t *ns)
{
    if (clock_is_real(clock))
        *ns = time_real_ns();
    else if (clock_is_mono(clock))
        *ns = time_mono_ns();
    else if (clock_is_cpu(clock))
        return cpu_clock_now(clock, ns);
    else
        return -EINVAL;
    return 0;
}

int64_t sys_clock_gettime(int clock, uaddr_t addr)
{
    uint64_t ns;
    int err = clock_read(clock, &ns);
    return err ? err : put_user(ns_to_timespec(ns), addr);
}

int64_t sys_clock_getres(int clock, uaddr_t addr)
{
    struct k_timespec res = {0, 1};
    uint64_t unused;
    int err = clock_read(clock, &unused);
    if (err)
        return err;
    if (clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE)
        res.nsec = COARSE_RES_NS;
    return addr ? put_user(res, addr) : 0;
}

int64_t sys_clock_settime(int clock, uaddr_t addr)
{
    struct k_timespec ts;
    if (clock != CLOCK_REALTIME && clock >= 0)
        return -EINVAL;
    if (get_user(ts, addr))
        return -EFAULT;
    if (clock < 0) {
        uint64_t unused;
        int err = cpu_clock_now(clock, &unused);
        return err ? err : -EPERM;
    }
    return timespec_valid(&ts) ? -EPERM : -EINVAL;
}

int64_t sys_gettimeofday(uaddr_t tv_addr, uaddr_t tz_addr)
{
    if (tv_addr) {
        uint64_t ns = time_real_ns();
        struct k_timeval tv = {(int64_t)(ns / NSEC_PER_SEC),
                               (int64_t)(ns % NSEC_PER_SEC / NSEC_PER_USEC)};
        if (put_user(tv, tv_addr))
            return -EFAULT;
    }
    if (tz_addr && clear_user(tz_addr, 2 * sizeof(int32_t))) /* the keep lives in UTC */
        return -EFAULT;
    return 0;
}

int64_t sys_settimeofday(uaddr_t tv_addr, uaddr_t tz_addr)
{
    struct k_timeval tv;
    int32_t tz[2];
    if (tv_addr) {
        if (get_user(tv, tv_addr))
            return -EFAULT;
        if (tv.sec < 0 || tv.usec < 0 || tv.usec > 1000000)
            return -EINVAL;
    }
    if (tz_addr && copy_from_user(tz, tz_addr, sizeof(tz)))
        return -EFAULT;
    return -EPERM;
}

int64_t sys_time(uaddr_t addr)
{
    int64_t seconds = (int64_t)(time_real_ns() / NSEC_PER_SEC);
    if (addr && put_user(seconds, addr))
        return -EFAULT;
    return seconds;
}

/* ---- sleeping ---- */

static int sleep_until(ktime_t deadline)
{
    struct wait_queue never;
    int r;
    wait_queue_init(&never);
    WAIT_EVENT(&never, false, WAIT_INTERRUPTIBLE, deadline, r);
    return r == -ETIMEDOUT ? 0 : r;
}

static int64_t put_remaining(uaddr_t addr, ktime_t deadline)
{
    ktime_t now = time_mono_ns();
    return addr ? put_user(ns_to_timespec(deadline > now ? deadline - now : 0), addr) : 0;
}

/* arg[0]: deadline; arg[1]: where the remaining time goes. */
static long restart_sleep(struct thread *t)
{
    ktime_t deadline = t->restart.arg[0];
    if (sleep_until(deadline) == 0)
        return 0;
    if (put_remaining(t->restart.arg[1], deadline))
        return -EFAULT;
    return -ERESTART_RESTARTBLOCK;
}

/* A relative sleep: it goes on after a stop, and tells a handler's caller what was left. */
static int64_t sleep_relative(uint64_t ns, uaddr_t remaining)
{
    struct thread *t = current;
    ktime_t deadline = ktime_add(time_mono_ns(), ns);
    if (sleep_until(deadline) == 0)
        return 0;
    if (put_remaining(remaining, deadline))
        return -EFAULT;
    t->restart.fn = restart_sleep;
    t->restart.arg[0] = deadline;
    t->restart.arg[1] = remaining;
    return -ERESTART_RESTARTBLOCK;
}

/* CPU time passes at most nr_cpus times as fast as real time, so a sleep of the rest divided by
 * that never oversleeps by much; it is repeated until the time is reached. */
static int64_t sleep_cpu_time(int clock, uint64_t ns, bool absolute, uaddr_t remaining)
{
    struct cpu_clock c;
    if (clock == CLOCK_THREAD_CPUTIME_ID)
        return -EOPNOTSUPP;
    int err = cpu_clock_get(clock, &c);
    if (err)
        return err;
    if (c.thread == current) {
        cpu_clock_put(&c);
        return -EINVAL; /* would never end */
    }
    uint64_t target = absolute ? ns : ktime_add(cpu_clock_read(&c), ns), now;
    int64_t result = 0;
    while ((now = cpu_clock_read(&c)) < target) {
        uint64_t step = k_max((target - now) / hal_nr_cpus(), NSEC_PER_MSEC);
        if (sleep_until(ktime_add(time_mono_ns(), step))) {
            result = absolute ? -ERESTARTNOHAND : -EINTR;
            now = cpu_clock_read(&c);
            if (!absolute && remaining &&
                put_user(ns_to_timespec(target > now ? target - now : 0), remaining))
                result = -EFAULT;
            break;
        }
    }
    cpu_clock_put(&c);
    return result;
}

int64_t sys_clock_nanosleep(int clock, int flags, uaddr_t request, uaddr_t remaining)
{
    struct k_timespec ts;
    bool absolute = flags & TIMER_ABSTIME;
    bool sleepable = clock == CLOCK_REALTIME || clock == CLOCK_TAI || clock == CLOCK_MONOTONIC ||
                     clock == CLOCK_BOOTTIME || clock == CLOCK_REALTIME_ALARM ||
                     clock == CLOCK_BOOTTIME_ALARM;
    if (!sleepable && !clock_is_cpu(clock))
        return clock_is_real(clock) || clock_is_mono(clock) ? -EOPNOTSUPP : -EINVAL;
    if (get_user(ts, request))
        return -EFAULT;
    if (!timespec_valid(&ts))
        return -EINVAL;
    uint64_t ns = timespec_to_ns(&ts);
    if (clock_is_cpu(clock))
        return sleep_cpu_time(clock, ns, absolute, remaining);
    if (!absolute)
        return sleep_relative(ns, remaining);
    ktime_t deadline = ns;
    if (clock_is_real(clock)) {
        uint64_t real = time_real_ns();
        deadline = ns > real ? ktime_add(time_mono_ns(), ns - real) : 0;
    }
    return sleep_until(deadline) ? -ERESTARTNOHAND : 0;
}

int64_t sys_nanosleep(uaddr_t request, uaddr_t remaining)
{
    struct k_timespec ts;
    if (get_user(ts, request))
        return -EFAULT;
    if (!timespec_valid(&ts))
        return -EINVAL;
    return sleep_relative(timespec_to_ns(&ts), remaining);
}
