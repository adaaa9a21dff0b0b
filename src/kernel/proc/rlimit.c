/* SPDX-License-Identifier: Apache-2.0 */
/* Resource limits and resource usage: getrlimit, setrlimit, prlimit64, getrusage, times. */
#include "base/errno.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "mm/mm.h"
#include "proc/pid.h"
#include "proc/rusage.h"
#include "proc/signal_internal.h"

#define NR_OPEN_MAX 1048576ull /* Linux's fs.nr_open */
#define CLOCK_TICK_NS 10000000ull

/* ---- limits ---- */

static int64_t check_limit(int which, const struct k_rlimit *new)
{
    if (new->cur > new->max)
        return -EINVAL;
    if (which == RLIMIT_NOFILE_K && new->max > NR_OPEN_MAX)
        return -EPERM;
    return 0;
}

/* Either of new and old may be NULL. */
static int64_t change_limit(struct process *p, int which, const struct k_rlimit *new,
                            struct k_rlimit *old)
{
    int64_t result = 0;
    spin_lock(&proc_tree_lock);
    if (old)
        *old = p->rlim[which];
    if (new) {
        if (new->max > p->rlim[which].max && !capable(CAP_SYS_RESOURCE_K)) {
            result = -EPERM;
        } else {
            p->rlim[which] = *new;
            if (which == RLIMIT_CPU_K && new->cur != RLIM_INFINITY_K)
                WRITE_ONCE(p->cpu_timers_armed, true);
        }
    }
    spin_unlock(&proc_tree_lock);
    return result;
}

int64_t sys_getrlimit(uint32_t which, uaddr_t addr)
{
    struct k_rlimit limit;
    if (which >= NR_RLIMITS)
        return -EINVAL;
    change_limit(current->process, (int)which, NULL, &limit);
    return put_user(limit, addr);
}

int64_t sys_setrlimit(uint32_t which, uaddr_t addr)
{
    struct k_rlimit limit;
    if (get_user(limit, addr))
        return -EFAULT;
    if (which >= NR_RLIMITS)
        return -EINVAL;
    int64_t err = check_limit((int)which, &limit);
    return err ? err : change_limit(current->process, (int)which, &limit, NULL);
}

/* Limits of another user's process are his. */
static bool may_change_limits(struct process *p)
{
    if (p == current->process || capable(CAP_SYS_RESOURCE_K))
        return true;
    const struct cred *me = current->cred;
    spin_lock(&proc_tree_lock);
    const struct cred *c = p->leader ? p->leader->cred : NULL;
    bool same = c && me->uid == c->euid && me->uid == c->suid && me->uid == c->uid &&
                me->gid == c->egid && me->gid == c->sgid && me->gid == c->gid;
    spin_unlock(&proc_tree_lock);
    return same;
}

int64_t sys_prlimit64(int pid, uint32_t which, uaddr_t new_addr, uaddr_t old_addr)
{
    struct k_rlimit new, old;
    if (new_addr && get_user(new, new_addr))
        return -EFAULT;
    struct process *p = current->process;
    if (pid == 0) {
        process_get(p);
    } else {
        THREAD_REF(t, thread_find(pid));
        if (!t)
            return -ESRCH;
        p = t->process;
        process_get(p);
    }
    int64_t result = 0;
    if (!may_change_limits(p))
        result = -EPERM;
    else if (which >= NR_RLIMITS)
        result = -EINVAL;
    if (!result && new_addr)
        result = check_limit((int)which, &new);
    if (!result)
        result = change_limit(p, (int)which, new_addr ? &new : NULL, &old);
    process_put(p);
    if (!result && old_addr && put_user(old, old_addr))
        return -EFAULT;
    return result;
}

/* ---- usage ---- */

static struct k_timeval ns_to_timeval(uint64_t ns)
{
    return (struct k_timeval){(int64_t)(ns / NSEC_PER_SEC),
                              (int64_t)(ns % NSEC_PER_SEC / NSEC_PER_USEC)};
}

static void set_times(struct k_rusage *u, uint64_t utime_ns, uint64_t stime_ns)
{
    u->utime = ns_to_timeval(utime_ns);
    u->stime = ns_to_timeval(stime_ns);
}

static void sum_switches(struct process *p, int64_t *voluntary, int64_t *involuntary)
{
    struct thread *t;
    struct sighand *s = process_sighand_lock(p);
    uint64_t v = p->nr_voluntary, i = p->nr_involuntary;
    list_for_each (t, &p->threads, process_link)
        if (t->state != THREAD_DEAD) {
            v += t->nr_voluntary;
            i += t->nr_involuntary;
        }
    spin_unlock(&s->lock);
    *voluntary = (int64_t)v;
    *involuntary = (int64_t)i;
}

static void usage_self(struct process *p, struct k_rusage *u)
{
    uint64_t utime, stime;
    process_cpu_times(p, &utime, &stime);
    set_times(u, utime, stime);
    u->minflt = (int64_t)p->min_flt;
    u->majflt = (int64_t)p->maj_flt;
    sum_switches(p, &u->nvcsw, &u->nivcsw);
    u->maxrss = (int64_t)p->max_rss_kib;
}

void rusage_of_process_and_children(struct process *p, struct k_rusage *u)
{
    uint64_t utime, stime;
    memset(u, 0, sizeof(*u));
    usage_self(p, u);
    process_cpu_times(p, &utime, &stime);
    set_times(u, utime + p->child_utime_ns, stime + p->child_stime_ns);
    u->minflt += (int64_t)p->child_min_flt;
    u->majflt += (int64_t)p->child_maj_flt;
    u->nvcsw += (int64_t)p->child_nr_voluntary;
    u->nivcsw += (int64_t)p->child_nr_involuntary;
    u->maxrss = k_max(u->maxrss, (int64_t)p->child_max_rss_kib);
}

void rusage_add_to_parent(struct process *parent, struct process *child)
{
    parent->child_utime_ns += child->utime_ns + child->child_utime_ns;
    parent->child_stime_ns += child->stime_ns + child->child_stime_ns;
    parent->child_min_flt += child->min_flt + child->child_min_flt;
    parent->child_maj_flt += child->maj_flt + child->child_maj_flt;
    parent->child_nr_voluntary += child->nr_voluntary + child->child_nr_voluntary;
    parent->child_nr_involuntary += child->nr_involuntary + child->child_nr_involuntary;
    parent->child_max_rss_kib =
        k_max(parent->child_max_rss_kib, k_max(child->max_rss_kib, child->child_max_rss_kib));
}

enum { RUSAGE_SELF_K = 0, RUSAGE_CHILDREN_K = -1, RUSAGE_THREAD_K = 1 };

/* The largest resident size so far, in KiB, brought up to date. */
static int64_t current_max_rss(void)
{
    struct process *p = current->process;
    struct mm *mm = current->mm;
    uint64_t pages = k_max(READ_ONCE(mm->hiwater_rss), mm_resident_pages(mm));
    uint64_t kib = pages * (PAGE_SIZE / 1024);
    if (kib > p->max_rss_kib)
        p->max_rss_kib = kib;
    return (int64_t)p->max_rss_kib;
}

int64_t sys_getrusage(int who, uaddr_t addr)
{
    struct thread *t = current;
    struct process *p = t->process;
    struct k_rusage u;
    uint64_t utime, stime;
    memset(&u, 0, sizeof(u));
    switch (who) {
    case RUSAGE_SELF_K:
        usage_self(p, &u);
        u.maxrss = current_max_rss();
        break;
    case RUSAGE_THREAD_K:
        thread_cpu_times(t, &utime, &stime);
        set_times(&u, utime, stime);
        u.nvcsw = (int64_t)t->nr_voluntary;
        u.nivcsw = (int64_t)t->nr_involuntary;
        u.maxrss = current_max_rss();
        break;
    case RUSAGE_CHILDREN_K:
        spin_lock(&proc_tree_lock);
        set_times(&u, p->child_utime_ns, p->child_stime_ns);
        u.minflt = (int64_t)p->child_min_flt;
        u.majflt = (int64_t)p->child_maj_flt;
        u.nvcsw = (int64_t)p->child_nr_voluntary;
        u.nivcsw = (int64_t)p->child_nr_involuntary;
        u.maxrss = (int64_t)p->child_max_rss_kib;
        spin_unlock(&proc_tree_lock);
        break;
    default: return -EINVAL;
    }
    return put_user(u, addr);
}

int64_t sys_times(uaddr_t addr)
{
    if (addr) {
        struct process *p = current->process;
        uint64_t utime, stime;
        process_cpu_times(p, &utime, &stime);
        spin_lock(&proc_tree_lock);
        int64_t tms[4] = {(int64_t)(utime / CLOCK_TICK_NS), (int64_t)(stime / CLOCK_TICK_NS),
                          (int64_t)(p->child_utime_ns / CLOCK_TICK_NS),
                          (int64_t)(p->child_stime_ns / CLOCK_TICK_NS)};
        spin_unlock(&proc_tree_lock);
        if (copy_to_user(addr, tms, sizeof(tms)))
            return -EFAULT;
    }
    return (int64_t)(time_mono_ns() / CLOCK_TICK_NS);
}
