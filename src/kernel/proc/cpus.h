/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler's side for main.c, the tick and the timers. */
#ifndef CELLA_KERNEL_PROC_CPUS_H
#define CELLA_KERNEL_PROC_CPUS_H

#include "arch/x86_64/cpu.h"

struct thread;
struct regs;

#define KSTACK_CANARY 0x6b636f7473616e61ull

extern struct cpu cpus[HAL_MAX_CPUS];
extern unsigned nr_cpus;

/* Makes cpu `id` known with its idle thread on idle_stack (KSTACK_SIZE bytes). */
void sched_init_cpu(unsigned id, void *idle_stack);
/* From the tick upcall: timers, host events, end of the time slice. */
void sched_tick(void);
/* A kernel timer was set to expire then; wakes a sleeping CPU when it would oversleep. */
void sched_timer_hint(ktime_t expires);
/* Called by assembly. */
void sched_thread_start(void);
int arch_exit_work(struct regs *regs);
/* Sets t->hctx so that the first switch to it lands in sched_thread_start. */
void arch_thread_prepare(struct thread *t);

#endif
