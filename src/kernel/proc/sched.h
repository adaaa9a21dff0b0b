/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler: M threads over N virtual CPUs, a run queue per CPU with stealing, preemption of
 * workload code by tick. Kernel code is preempted nowhere; it calls schedule() when it waits, and
 * sched_resched() in long loops.
 */
#ifndef CELLA_KERNEL_PROC_SCHED_H
#define CELLA_KERNEL_PROC_SCHED_H

#include "arch/x86_64/cpu.h"

struct thread;

enum {
    SCHED_OTHER_K = 0,
    SCHED_FIFO_K = 1,
    SCHED_RR_K = 2,
    SCHED_BATCH_K = 3,
    SCHED_IDLE_K = 5,
    SCHED_DEADLINE_K = 6
};

enum thread_state {
    THREAD_RUNNABLE,        /* running, or in a run queue */
    THREAD_INTERRUPTIBLE,   /* sleeping; signals wake it */
    THREAD_KILLABLE,        /* sleeping; fatal signals wake it */
    THREAD_UNINTERRUPTIBLE, /* sleeping */
    THREAD_STOPPED,         /* job control stop; SIGCONT or SIGKILL wakes it */
    THREAD_DEAD,            /* never runs again */
};

void sched_init(void);
/* Gives the CPU away. With state RUNNABLE the thread stays in the run queue. */
void schedule(void);
/* sched_yield(2): the same for a thread that is RUNNABLE and wants others to go first. */
void sched_give_way(void);
/* Sleeps in the state already set until woken or until the deadline; true when the deadline passed.
 */
bool schedule_timeout(ktime_t deadline);
/* Makes a sleeping thread runnable if its state is one of the bits in `states` (1 << THREAD_*).
 * True when it did. */
bool thread_wake_if(struct thread *t, uint32_t states);
static inline bool thread_wake(struct thread *t)
{
    return thread_wake_if(t, 1u << THREAD_INTERRUPTIBLE | 1u << THREAD_KILLABLE |
                                 1u << THREAD_UNINTERRUPTIBLE);
}
/* Puts a new thread into a run queue for the first time. */
void sched_add_new(struct thread *t);
/* Gives the CPU away if the time slice is over or a kick asked for it. */
void sched_resched(void);
/* After sched_setaffinity or a priority change of t. */
void sched_thread_changed(struct thread *t);
/* The running thread may be signalled, or must leave user mode soon: kick its CPU if it runs. */
void sched_kick_thread(struct thread *t);
/* Load averages in 1/65536, and number of runnable threads. */
void sched_loadavg(uint32_t avg[3], uint32_t *nr_running);
ktime_t sched_cpu_idle_ns(unsigned cpu);

#endif
