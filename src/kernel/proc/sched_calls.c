/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scheduling attributes: policies, priorities, nice values, affinity. Sources: sched(7),
 * sched_setattr(2), setpriority(2), ioprio_set(2).
 *
 * Attributes are kept per thread, inherited and reported; what the scheduler makes of them is its
 * matter (proc/sched.c). They are changed under proc_tree_lock.
 */
#include "base/errno.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "proc/pid.h"
#include "proc/task.h"

#define SCHED_RESET_ON_FORK 0x40000000
#define SCHED_FLAG_RESET_ON_FORK 1ull
#define RT_PRIORITY_MAX 99
#define NICE_MIN (-20)
#define NICE_MAX 19

static bool policy_is_rt(int policy)
{
    return policy == SCHED_FIFO_K || policy == SCHED_RR_K;
}

static bool policy_valid(int policy)
{
    return policy_is_rt(policy) || policy == SCHED_OTHER_K || policy == SCHED_BATCH_K ||
           policy == SCHED_IDLE_K;
}

/* 0: current. Counted, or NULL. */
static struct thread *thread_or_current(kpid_t tid)
{
    if (tid == 0) {
        thread_get(current);
        return current;
    }
    return thread_find(tid);
}

int64_t sys_sched_yield(void)
{
    sched_give_way();
    return 0;
}

/* ---- nice values ---- */

/* May the limits of t's process let it have this nice value? */
static bool can_nice(const struct thread *t, int nice)
{
    uint64_t wanted = (uint64_t)(20 - nice);
    return wanted <= READ_ONCE(t->process->rlim[RLIMIT_NICE_K].cur) || capable(CAP_SYS_NICE_K);
}

static bool owns(const struct cred *me, const struct thread *t)
{
    return me->euid == t->cred->euid || me->euid == t->cred->uid || capable(CAP_SYS_NICE_K);
}

enum { PRIO_PROCESS = 0, PRIO_PGRP = 1, PRIO_USER = 2 };

/* Calls fn for every thread that (which, who) names; its last non-zero answer. -ESRCH: there is
 * none. */
static int64_t for_each_named(int which, int who, int64_t (*fn)(struct thread *t, void *arg),
                              void *arg)
{
    struct process *p;
    struct thread *t;
    int64_t result = 0;
    bool any = false;
    spin_lock(&proc_tree_lock);
    if (which == PRIO_PROCESS) {
        t = who == 0 ? current : thread_find_locked(who);
        if (t) {
            any = true;
            result = fn(t, arg);
        }
    } else {
        kpid_t pgid = who == 0 ? current->process->pgid : who;
        kuid_t uid = who == 0 ? current->cred->uid : (kuid_t)who;
        list_for_each (p, &process_list, all_link) {
            if (which == PRIO_PGRP && p->pgid != pgid)
                continue;
            list_for_each (t, &p->threads, process_link) {
                if (which == PRIO_USER && t->cred->uid != uid)
                    continue;
                any = true;
                int64_t r = fn(t, arg);
                if (r)
                    result = r;
            }
        }
    }
    spin_unlock(&proc_tree_lock);
    return any ? result : -ESRCH;
}

static int64_t best_nice(struct thread *t, void *arg)
{
    int *best = arg;
    *best = k_min(*best, t->nice);
    return 0;
}

int64_t sys_getpriority(int which, int who)
{
    int best = NICE_MAX;
    if (which < PRIO_PROCESS || which > PRIO_USER)
        return -EINVAL;
    int64_t err = for_each_named(which, who, best_nice, &best);
    return err ? err : 20 - best; /* so that a success is never negative */
}

static int64_t set_nice(struct thread *t, void *arg)
{
    int nice = *(const int *)arg;
    if (!owns(current->cred, t))
        return -EPERM;
    if (nice < t->nice && !can_nice(t, nice))
        return -EACCES;
    t->nice = nice;
    return 0;
}

int64_t sys_setpriority(int which, int who, int nice)
{
    if (which < PRIO_PROCESS || which > PRIO_USER)
        return -EINVAL;
    nice = k_max(NICE_MIN, k_min(nice, NICE_MAX));
    return for_each_named(which, who, set_nice, &nice);
}

/* ---- policies ---- */

struct sched_change {
    int policy;
    int rt_priority;
    int nice;
    bool set_nice; /* else it stays */
    bool reset_on_fork;
};

/* The checks of sched_setscheduler(2). proc_tree_lock is held. */
static int64_t may_change(const struct thread *t, const struct sched_change *c)
{
    if (capable(CAP_SYS_NICE_K))
        return 0;
    if (policy_is_rt(c->policy)) {
        uint64_t limit = READ_ONCE(t->process->rlim[RLIMIT_RTPRIO_K].cur);
        if (c->policy != t->sched_policy && limit == 0)
            return -EPERM;
        if (c->rt_priority > t->rt_priority && (uint64_t)c->rt_priority > limit)
            return -EPERM;
    }
    if (c->set_nice && c->nice < t->nice && !can_nice(t, c->nice))
        return -EPERM;
    if (t->sched_policy == SCHED_IDLE_K && c->policy != SCHED_IDLE_K && !can_nice(t, t->nice))
        return -EPERM;
    if (!owns(current->cred, t))
        return -EPERM;
    if (t->sched_reset_on_fork && !c->reset_on_fork)
        return -EPERM;
    return 0;
}

static int64_t change_scheduler(kpid_t tid, const struct sched_change *c)
{
    THREAD_REF(t, thread_or_current(tid));
    if (!t)
        return -ESRCH;
    int64_t err;
    spin_lock(&proc_tree_lock);
    if (!policy_valid(c->policy) ||
        (policy_is_rt(c->policy) ? c->rt_priority < 1 || c->rt_priority > RT_PRIORITY_MAX
                                 : c->rt_priority != 0))
        err = -EINVAL;
    else
        err = may_change(t, c);
    if (!err) {
        t->sched_policy = c->policy;
        t->rt_priority = c->rt_priority;
        t->sched_reset_on_fork = c->reset_on_fork;
        if (c->set_nice && !policy_is_rt(c->policy))
            t->nice = c->nice;
    }
    spin_unlock(&proc_tree_lock);
    if (!err)
        sched_thread_changed(t);
    return err;
}

int64_t sys_sched_setscheduler(int pid, int policy, uaddr_t param)
{
    int32_t priority;
    if (pid < 0 || policy < 0 || param == 0)
        return -EINVAL;
    if (get_user(priority, param))
        return -EFAULT;
    struct sched_change c = {.policy = policy & ~SCHED_RESET_ON_FORK,
                             .rt_priority = priority,
                             .reset_on_fork = policy & SCHED_RESET_ON_FORK};
    return change_scheduler(pid, &c);
}

int64_t sys_sched_setparam(int pid, uaddr_t param)
{
    int32_t priority;
    if (pid < 0 || param == 0)
        return -EINVAL;
    if (get_user(priority, param))
        return -EFAULT;
    THREAD_REF(t, thread_or_current(pid));
    if (!t)
        return -ESRCH;
    struct sched_change c = {.policy = t->sched_policy,
                             .rt_priority = priority,
                             .reset_on_fork = t->sched_reset_on_fork};
    return change_scheduler(pid, &c);
}

int64_t sys_sched_getscheduler(int pid)
{
    if (pid < 0)
        return -EINVAL;
    THREAD_REF(t, thread_or_current(pid));
    if (!t)
        return -ESRCH;
    return t->sched_policy | (t->sched_reset_on_fork ? SCHED_RESET_ON_FORK : 0);
}

int64_t sys_sched_getparam(int pid, uaddr_t param)
{
    if (pid < 0 || param == 0)
        return -EINVAL;
    THREAD_REF(t, thread_or_current(pid));
    if (!t)
        return -ESRCH;
    int32_t priority = t->rt_priority;
    return put_user(priority, param);
}

int64_t sys_sched_get_priority_max(int policy)
{
    if (policy_is_rt(policy))
        return RT_PRIORITY_MAX;
    return policy_valid(policy) || policy == SCHED_DEADLINE_K ? 0 : -EINVAL;
}

int64_t sys_sched_get_priority_min(int policy)
{
    if (policy_is_rt(policy))
        return 1;
    return policy_valid(policy) || policy == SCHED_DEADLINE_K ? 0 : -EINVAL;
}

int64_t sys_sched_rr_get_interval(int pid, uaddr_t interval)
{
    if (pid < 0)
        return -EINVAL;
    THREAD_REF(t, thread_or_current(pid));
    if (!t)
        return -ESRCH;
    uint64_t ns = t->sched_policy == SCHED_FIFO_K ? 0
                  : t->sched_policy == SCHED_RR_K ? 100 * NSEC_PER_MSEC
                                                  : 4 * NSEC_PER_MSEC;
    return put_user(ns_to_timespec(ns), interval);
}

/* struct sched_attr; the first version ends before util_min. */
struct sched_attr {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t util_min, util_max;
};
#define SCHED_ATTR_SIZE_VER0 48u

/* E2BIG tells the caller our size, in the structure's own field. */
static int64_t wrong_attr_size(uaddr_t addr)
{
    return put_user((uint32_t)sizeof(struct sched_attr), addr) ? -EFAULT : -E2BIG;
}

static int64_t get_attr(struct sched_attr *a, uaddr_t addr)
{
    uint32_t size;
    memset(a, 0, sizeof(*a));
    if (get_user(size, addr))
        return -EFAULT;
    if (size == 0)
        size = SCHED_ATTR_SIZE_VER0;
    if (size < SCHED_ATTR_SIZE_VER0 || size > PAGE_SIZE)
        return wrong_attr_size(addr);
    for (uint32_t off = sizeof(*a); off < size; off++) {
        uint8_t byte;
        if (get_user(byte, addr + off))
            return -EFAULT;
        if (byte)
            return wrong_attr_size(addr);
    }
    if (copy_from_user(a, addr, k_min(size, (uint32_t)sizeof(*a))))
        return -EFAULT;
    a->size = size;
    return 0;
}

int64_t sys_sched_setattr(int pid, uaddr_t addr, uint32_t flags)
{
    struct sched_attr a;
    if (addr == 0 || pid < 0 || flags)
        return -EINVAL;
    int64_t err = get_attr(&a, addr);
    if (err)
        return err;
    if ((int32_t)a.policy < 0)
        return -EINVAL;
    if (a.flags & ~SCHED_FLAG_RESET_ON_FORK)
        return -EINVAL; /* bandwidth, utilization clamps, "keep": there is nothing behind them */
    struct sched_change c = {
        .policy = (int)a.policy,
        .rt_priority = (int)a.priority,
        .nice = k_max(NICE_MIN, k_min(a.nice, NICE_MAX)),
        .set_nice = a.policy == SCHED_OTHER_K || a.policy == SCHED_BATCH_K,
        .reset_on_fork = a.flags & SCHED_FLAG_RESET_ON_FORK,
    };
    return change_scheduler(pid, &c);
}

int64_t sys_sched_getattr(int pid, uaddr_t addr, uint32_t size, uint32_t flags)
{
    if (addr == 0 || pid < 0 || size > PAGE_SIZE || size < SCHED_ATTR_SIZE_VER0 || flags)
        return -EINVAL;
    THREAD_REF(t, thread_or_current(pid));
    if (!t)
        return -ESRCH;
    struct sched_attr a;
    memset(&a, 0, sizeof(a));
    a.size = k_min(size, (uint32_t)sizeof(a));
    a.policy = (uint32_t)t->sched_policy;
    a.flags = t->sched_reset_on_fork ? SCHED_FLAG_RESET_ON_FORK : 0;
    if (policy_is_rt(t->sched_policy))
        a.priority = (uint32_t)t->rt_priority;
    else
        a.nice = t->nice;
    return copy_to_user(addr, &a, a.size);
}

/* ---- CPUs ---- */

int64_t sys_getcpu(uaddr_t cpu_addr, uaddr_t node_addr)
{
    if (cpu_addr && put_user(this_cpu()->id, cpu_addr))
        return -EFAULT;
    if (node_addr && put_user((uint32_t)0, node_addr))
        return -EFAULT;
    return 0;
}

static uint64_t all_cpus(void)
{
    unsigned n = hal_nr_cpus();
    return n >= 64 ? UINT64_MAX : (1ull << n) - 1;
}
_Static_assert(HAL_MAX_CPUS == 64, "affinity masks are one word");

int64_t sys_sched_setaffinity(int pid, uint32_t len, uaddr_t mask_addr)
{
    uint64_t mask = 0;
    if (copy_from_user(&mask, mask_addr, k_min(len, (uint32_t)sizeof(mask))))
        return -EFAULT;
    THREAD_REF(t, thread_or_current(pid));
    if (!t)
        return -ESRCH;
    int64_t err = 0;
    mask &= all_cpus();
    spin_lock(&proc_tree_lock);
    if (!owns(current->cred, t))
        err = -EPERM;
    else if (mask == 0)
        err = -EINVAL;
    else
        t->affinity[0] = mask;
    spin_unlock(&proc_tree_lock);
    if (!err)
        sched_thread_changed(t);
    return err;
}

int64_t sys_sched_getaffinity(int pid, uint32_t len, uaddr_t mask_addr)
{
    if (len * 8ull < hal_nr_cpus() || (len & (sizeof(uint64_t) - 1)))
        return -EINVAL;
    THREAD_REF(t, thread_or_current(pid));
    if (!t)
        return -ESRCH;
    uint64_t mask = t->affinity[0] & all_cpus();
    return put_user(mask, mask_addr) ? -EFAULT : (int64_t)sizeof(mask);
}

/* ---- I/O priority: kept and reported; the host orders the I/O ---- */

enum { IOPRIO_CLASS_NONE = 0, IOPRIO_CLASS_RT = 1, IOPRIO_CLASS_BE = 2, IOPRIO_CLASS_IDLE = 3 };
#define IOPRIO_CLASS_SHIFT 13
#define IOPRIO_LEVELS 8

static int64_t set_ioprio(struct thread *t, void *arg)
{
    const struct cred *me = current->cred;
    if (me->euid != t->cred->uid && me->uid != t->cred->uid && !capable(CAP_SYS_NICE_K))
        return -EPERM;
    t->ioprio = *(const int *)arg;
    return 0;
}

/* ioprio's `which` counts from 1. */
int64_t sys_ioprio_set(int which, int who, int ioprio)
{
    int class = ioprio >> IOPRIO_CLASS_SHIFT, level = ioprio & ((1 << IOPRIO_CLASS_SHIFT) - 1);
    switch (class) {
    case IOPRIO_CLASS_RT:
        if (!capable(CAP_SYS_ADMIN_K) && !capable(CAP_SYS_NICE_K))
            return -EPERM;
        __attribute__((fallthrough));
    case IOPRIO_CLASS_BE:
        if (level >= IOPRIO_LEVELS)
            return -EINVAL;
        break;
    case IOPRIO_CLASS_IDLE: break;
    case IOPRIO_CLASS_NONE:
        if (level)
            return -EINVAL;
        break;
    default: return -EINVAL;
    }
    if (which < PRIO_PROCESS + 1 || which > PRIO_USER + 1)
        return -EINVAL;
    return for_each_named(which - 1, who, set_ioprio, &ioprio);
}

/* A higher class, then a lower level, is better; no class counts as the best effort's middle. */
static int64_t best_ioprio(struct thread *t, void *arg)
{
    int *best = arg;
    int value = t->ioprio ? t->ioprio : IOPRIO_CLASS_BE << IOPRIO_CLASS_SHIFT | IOPRIO_LEVELS / 2;
    *best = *best < 0 ? value : k_min(*best, value);
    return 0;
}

static int64_t own_ioprio(struct thread *t, void *arg)
{
    *(int *)arg = t->ioprio;
    return 0;
}

int64_t sys_ioprio_get(int which, int who)
{
    int value = -1;
    if (which < PRIO_PROCESS + 1 || which > PRIO_USER + 1)
        return -EINVAL;
    int64_t err = for_each_named(which - 1, who,
                                 which == PRIO_PROCESS + 1 ? own_ioprio : best_ioprio, &value);
    return err ? err : value;
}
