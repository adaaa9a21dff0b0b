/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restartable sequences. A thread registers an area of its memory; the kernel keeps the CPU's
 * number in it, and when the thread was switched away from, or a handler runs, while rip was in the
 * critical section that the area names, the thread goes on at the section's abort address. So
 * per-CPU data can be changed without atomic operations.
 *
 * The scheduler marks a thread with an area at every switch to it (thread->rseq_dirty); the way out
 * looks at the mark. Everything here is done by the thread itself; a copy that sleeps leads through
 * the scheduler, which sets the mark again.
 *
 * The CPU's number doubles as mm_cid: threads that run at the same time have different ones, which
 * is what is asked of it.
 *
 * Sources: rseq(2), linux/rseq.h (layouts, with node_id and mm_cid as since Linux 6.3).
 */
#include "proc/rseq.h"

#include "arch/x86_64/regs.h"
#include "base/errno.h"
#include "base/usercopy.h"
#include "proc/task.h"

enum { RSEQ_FLAG_UNREGISTER = 1 };
#define RSEQ_CPU_ID_UNINITIALIZED UINT32_MAX

/* struct rseq. The first version's size, 32, had room for what came later. */
struct rseq_area {
    uint32_t cpu_id_start, cpu_id;
    uint64_t rseq_cs;
    uint32_t flags, node_id, mm_cid, end;
};
#define RSEQ_ORIGINAL_SIZE 32u
_Static_assert(sizeof(struct rseq_area) == RSEQ_ORIGINAL_SIZE, "struct rseq");
_Static_assert(offsetof(struct rseq_area, end) == RSEQ_FEATURE_SIZE_K, "AT_RSEQ_FEATURE_SIZE");

/* struct rseq_cs */
struct critical_section {
    uint32_t version, flags;
    uint64_t start_ip, post_commit_offset, abort_ip;
};

static int write_ids(struct thread *t, uint32_t cpu_id_start, uint32_t cpu_id, uint32_t mm_cid)
{
    const uint32_t first[2] = {cpu_id_start, cpu_id}, second[2] = {0, mm_cid};
    if (copy_to_user(t->rseq + offsetof(struct rseq_area, cpu_id_start), first, sizeof(first)) ||
        copy_to_user(t->rseq + offsetof(struct rseq_area, node_id), second, sizeof(second)))
        return -EFAULT;
    return 0;
}

static int clear_section(struct thread *t)
{
    return put_user((uint64_t)0, t->rseq + offsetof(struct rseq_area, rseq_cs));
}

/* Does the descriptor make sense? The signature before the abort address is what keeps an attacker
 * who can write the area from choosing where the thread goes on. */
static int check_section(const struct thread *t, const struct critical_section *cs)
{
    uint32_t signature;
    if (cs->start_ip >= USER_LIMIT || cs->post_commit_offset > USER_LIMIT - cs->start_ip ||
        cs->abort_ip >= USER_LIMIT || cs->version != 0)
        return -EINVAL;
    if (cs->abort_ip - cs->start_ip < cs->post_commit_offset)
        return -EINVAL; /* it would go round for ever */
    if (cs->abort_ip < sizeof(signature) || get_user(signature, cs->abort_ip - sizeof(signature)))
        return -EFAULT;
    return signature == t->rseq_signature ? 0 : -EINVAL;
}

/* The area names no section: as nearly always, after every switch, and so without the generality of
 * get_user. */
static bool no_section(const struct thread *t)
{
    uaddr_t at = t->rseq + offsetof(struct rseq_area, rseq_cs);
    uint32_t low, high;
    return user_load32_atomic(&low, at) == 0 && low == 0 &&
           user_load32_atomic(&high, at + sizeof(low)) == 0 && high == 0;
}

/* Leaves the critical section if rip is in one. */
static int leave_section(struct thread *t, struct regs *regs)
{
    uint64_t at;
    uint32_t flags;
    struct critical_section cs;
    if (likely(no_section(t)))
        return 0;
    if (get_user(at, t->rseq + offsetof(struct rseq_area, rseq_cs)))
        return -EFAULT;
    if (at == 0)
        return 0;
    if (!user_range_ok(at, sizeof(cs)))
        return -EINVAL;
    if (get_user(cs, at))
        return -EFAULT;
    int err = check_section(t, &cs);
    if (err)
        return err;
    bool inside = regs->rip - cs.start_ip < cs.post_commit_offset;
    if (inside) {
        /* "Do not restart on ...": withdrawn by Linux 6.1, whatever the flag. */
        if (get_user(flags, t->rseq + offsetof(struct rseq_area, flags)))
            return -EFAULT;
        if (cs.flags || flags)
            return -EINVAL;
    }
    if (clear_section(t))
        return -EFAULT;
    if (inside)
        regs->rip = cs.abort_ip;
    return 0;
}

void rseq_resume(struct regs *regs)
{
    struct thread *t = current;
    WRITE_ONCE(t->rseq_dirty,
               false); /* before the CPU's number is read: from here on a switch counts */
    barrier();
    if (!t->rseq)
        return;
    int err = leave_section(t, regs);
    uint32_t cpu = this_cpu()->id;
    if (!err && cpu != t->rseq_cpu) {
        t->rseq_cpu = cpu;
        err = write_ids(t, cpu, cpu, cpu);
    }
    if (err) {
        t->rseq_cpu = UINT32_MAX;
        signal_force_fault(SIGSEGV, SI_KERNEL_K, 0);
    }
}

int rseq_signal(struct regs *regs)
{
    return leave_section(current, regs);
}

void rseq_fork(struct thread *child, bool shares_memory)
{
    const struct thread *me = current;
    if (shares_memory)
        return;
    child->rseq = me->rseq;
    child->rseq_cpu = UINT32_MAX;
    child->rseq_len = me->rseq_len;
    child->rseq_signature = me->rseq_signature;
}

void rseq_exec(struct thread *t)
{
    t->rseq = 0;
    t->rseq_dirty = false;
}

static int unregister(struct thread *t, uaddr_t addr, uint32_t len, uint32_t signature)
{
    if (!t->rseq || t->rseq != addr || t->rseq_len != len)
        return -EINVAL;
    if (t->rseq_signature != signature)
        return -EPERM;
    if (write_ids(t, 0, RSEQ_CPU_ID_UNINITIALIZED, 0))
        return -EFAULT;
    t->rseq = 0;
    return 0;
}

int64_t sys_rseq(uaddr_t addr, uint32_t len, int flags, uint32_t signature)
{
    struct thread *t = current;
    if (flags == RSEQ_FLAG_UNREGISTER)
        return unregister(t, addr, len, signature);
    if (flags)
        return -EINVAL;
    if (t->rseq) {
        if (t->rseq != addr || t->rseq_len != len)
            return -EINVAL;
        return t->rseq_signature == signature ? -EBUSY : -EPERM;
    }
    if (len < RSEQ_ORIGINAL_SIZE || addr % RSEQ_ALIGN_K)
        return -EINVAL;
    if (!user_range_ok(addr, len) || addr == 0)
        return -EFAULT;
    t->rseq = addr;
    t->rseq_cpu = UINT32_MAX;
    t->rseq_len = len;
    t->rseq_signature = signature;
    /* What an earlier owner of the memory left there is no section of this thread's. */
    if (clear_section(t)) {
        t->rseq = 0;
        return -EFAULT;
    }
    WRITE_ONCE(t->rseq_dirty, true);
    return 0;
}
