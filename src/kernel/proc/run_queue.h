/* SPDX-License-Identifier: Apache-2.0 */
/* The order of the threads that wait for a CPU: run_queue.c. For the scheduler only. */
#ifndef CELLA_KERNEL_PROC_RUN_QUEUE_H
#define CELLA_KERNEL_PROC_RUN_QUEUE_H

#include "mm/mm.h"
#include "proc/cpus.h"
#include "proc/task.h"

#define SLICE_NS (4 * NSEC_PER_MSEC)
enum { RANK_IDLE = -2 }; /* of a CPU that runs nothing */

static inline bool affine(const struct thread *t, unsigned cpu)
{
    return t->affinity[cpu / 64] >> (cpu % 64) & 1;
}

static inline struct hal_as *thread_as(const struct thread *t)
{
    return t->mm ? t->mm->as : NULL;
}

static inline bool is_realtime(int rank)
{
    return rank > 0;
}

/* What `ran` adds to the virtual run time at that nice value: 1.25 times as much for each level. */
static inline ktime_t weighed(ktime_t ran, int nice)
{
    for (; nice > 0; nice--)
        ran += ran / 4;
    for (; nice < 0; nice++)
        ran -= ran / 5;
    return ran;
}

int rank_of(const struct thread *t);
/* When the turn ends that t begins, or goes on with, now. */
ktime_t rq_turn_end(struct thread *t, ktime_t now);
/* Does t, which is being preempted, stay in front of its equals? */
bool rq_keeps_turn(const struct thread *t, ktime_t now);
/* The virtual run time of the thread on c, whose turn is not over; another CPU may ask. */
uint64_t rq_running_vruntime(const struct cpu *c, ktime_t now);
/* Should the newly runnable t have the CPU c at once? */
bool rq_preempts(const struct thread *t, const struct cpu *c, ktime_t now);
/* Queues t on c. first: before its equals among real-time threads. */
void rq_put(struct cpu *c, struct thread *t, bool first);
/* Takes a thread of c's queue that may run on `on` now: the one that has waited longest, if since
 * before `aged`; else the first, but of another CPU's none when an aged one was asked for. */
struct thread *rq_take(struct cpu *c, struct cpu *on, ktime_t now, ktime_t aged);
/* t, which runs on c, goes behind all that wait there, but for those who are so far ahead that it
 * would cost a turn. */
void rq_give_way(struct cpu *c, struct thread *t);

#endif
