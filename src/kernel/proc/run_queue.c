/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Run queues: which of the threads that could run is next.
 *
 * Order in a run queue: by rank (real-time priorities, then normal threads, then SCHED_IDLE); among
 * real-time threads of one priority first come first served, among others by virtual run time: the
 * CPU time that a thread has had, weighed by its nice value. A CPU's vtime is that of the thread
 * whose turn it is; who comes back from a sleep begins a little before it, and so has the CPU at
 * once from a thread that computes, but not again and again. Virtual times are of one CPU: a thread
 * that moves keeps its distance from vtime. Turns last SLICE_NS. Nobody starves: every FAIR_NS the
 * thread that has waited longest has a turn, whatever its rank.
 *
 * Locks: thread->wake_lock -> cpu->rq_lock.
 */
#include "proc/run_queue.h"

#include "proc/sched.h"

#define STEAL_AGE_NS (20 * NSEC_PER_USEC)
#define RR_SLICE_NS (100 * NSEC_PER_MSEC)
#define SLEEPER_NS (3 * NSEC_PER_MSEC) /* how far behind the others a sleeper begins */
#define WAKE_NS NSEC_PER_MSEC /* how far behind the running thread one that preempts it is */
#define AHEAD_MAX_NS NSEC_PER_SEC

int rank_of(const struct thread *t)
{
    switch (t->sched_policy) {
    case SCHED_FIFO_K:
    case SCHED_RR_K: return t->rt_priority;
    case SCHED_IDLE_K: return -1;
    default: return 0;
    }
}

ktime_t rq_turn_end(struct thread *t, ktime_t now)
{
    if (likely(t->sched_policy != SCHED_FIFO_K && t->sched_policy != SCHED_RR_K))
        return now + SLICE_NS;
    if (t->sched_policy == SCHED_FIFO_K)
        return KTIME_NEVER;
    if (now >= t->turn_end || t->turn_end > now + RR_SLICE_NS)
        t->turn_end = now + RR_SLICE_NS;
    return t->turn_end;
}

bool rq_keeps_turn(const struct thread *t, ktime_t now)
{
    return t->sched_policy == SCHED_FIFO_K || (t->sched_policy == SCHED_RR_K && now < t->turn_end);
}

uint64_t rq_running_vruntime(const struct cpu *c, ktime_t now)
{
    ktime_t since = READ_ONCE(c->run_since);
    return READ_ONCE(c->run_vruntime) +
           (now > since ? weighed(now - since, READ_ONCE(c->run_nice)) : 0);
}

bool rq_preempts(const struct thread *t, const struct cpu *c, ktime_t now)
{
    int mine = rank_of(t), its = READ_ONCE(c->run_rank);
    if (mine != its || is_realtime(mine))
        return mine > its;
    /* What is about equal waits for the end of the turn. */
    return (int64_t)(rq_running_vruntime(c, now) - READ_ONCE(t->vruntime)) > (int64_t)WAKE_NS;
}

/* Puts t's virtual run time into c's scale and limits. rq_lock is held. */
static void place(struct cpu *c, struct thread *t, ktime_t now)
{
    if (!c->nr_running && !is_realtime(c->run_rank) && c->run_rank != RANK_IDLE) {
        uint64_t v = rq_running_vruntime(c, now);
        if ((int64_t)(v - c->vtime) > 0)
            WRITE_ONCE(c->vtime, v);
    }
    int64_t ahead = (int64_t)(t->vruntime - READ_ONCE(cpus[t->cpu].vtime));
    if (t->cpu == c->id)
        ahead = (int64_t)(t->vruntime - c->vtime);
    ahead = k_max(ahead, -(int64_t)SLEEPER_NS);
    t->vruntime = c->vtime + (uint64_t)k_min(ahead, (int64_t)AHEAD_MAX_NS);
    t->cpu = c->id;
}

/* Does t stand before e? first: before its equals among real-time threads. */
static bool stands_before(const struct thread *t, const struct list *e, bool first)
{
    const struct thread *other = list_entry(e, struct thread, rq_link);
    int mine = rank_of(t), its = rank_of(other);
    if (mine != its)
        return mine > its;
    return is_realtime(mine) ? first : (int64_t)(t->vruntime - other->vruntime) < 0;
}

void rq_put(struct cpu *c, struct thread *t, bool first)
{
    struct list *at;
    t->queued_at = time_mono_ns();
    spin_lock(&c->rq_lock);
    place(c, t, t->queued_at);
    t->queued = true;
    /* The search begins at the likely end. */
    if (first || (int64_t)(t->vruntime - c->vtime) < 0) {
        for (at = c->rq.next; at != &c->rq && !stands_before(t, at, first); at = at->next)
            ;
        list_add_tail(&t->rq_link, at);
    } else {
        for (at = c->rq.prev; at != &c->rq && stands_before(t, at, first); at = at->prev)
            ;
        list_add(&t->rq_link, at);
    }
    c->nr_running++;
    spin_unlock(&c->rq_lock);
}

/* t has been chosen: time goes on to the first of those who wait and the one who runs. */
static void advance_vtime(struct cpu *c, const struct thread *t)
{
    if (is_realtime(rank_of(t)))
        return;
    uint64_t v = t->vruntime;
    if (!list_empty(&c->rq)) {
        const struct thread *head = list_entry(c->rq.next, struct thread, rq_link);
        if (!is_realtime(rank_of(head)) && (int64_t)(head->vruntime - v) < 0)
            v = head->vruntime;
    }
    if ((int64_t)(v - c->vtime) > 0)
        WRITE_ONCE(c->vtime, v);
}

struct thread *rq_take(struct cpu *c, struct cpu *on, ktime_t now, ktime_t aged)
{
    if (!READ_ONCE(c->nr_running))
        return NULL;
    ktime_t steal_before = now > STEAL_AGE_NS ? now - STEAL_AGE_NS : 0;
    struct thread *t, *found = NULL, *oldest = NULL;
    spin_lock(&c->rq_lock);
    list_for_each (t, &c->rq, rq_link) {
        struct hal_as *as = thread_as(t);
        if (c != on) {
            /* What its own CPU could only run after a change of address space is taken at once, the
             * rest when it has waited a while. */
            bool foreign = as && as != c->as;
            if ((!foreign && t->queued_at > steal_before) || !affine(t, on->id))
                continue;
        }
        /* Another CPU is still leaving its stack. To wait for that here could be to wait for a CPU
         * that waits for us. */
        if (t != on->thread && READ_ONCE(t->on_cpu))
            continue;
        if (as && as != on->as && !hal_as_ready(as, on->id))
            continue;
        if (!oldest || t->queued_at < oldest->queued_at)
            oldest = t;
        if (!found)
            found = t;
        if (likely(!aged))
            break;
    }
    if (unlikely(aged) && oldest && oldest->queued_at <= aged)
        found = oldest;
    else if (unlikely(aged) && c != on)
        found = NULL;
    if (found) {
        list_del(&found->rq_link);
        found->queued = false;
        c->nr_running--;
        if (c == on)
            advance_vtime(c, found);
    }
    spin_unlock(&c->rq_lock);
    return found;
}

void rq_give_way(struct cpu *c, struct thread *t)
{
    spin_lock(&c->rq_lock);
    const struct thread *last = list_entry(c->rq.prev, struct thread, rq_link);
    if (!list_empty(&c->rq) && !is_realtime(rank_of(last))) {
        int64_t behind = (int64_t)(last->vruntime - t->vruntime);
        if (behind > 0)
            t->vruntime += (uint64_t)k_min(behind, (int64_t)SLICE_NS);
    }
    spin_unlock(&c->rq_lock);
}
