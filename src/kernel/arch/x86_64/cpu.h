/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is particular to the CPU: the per-CPU block behind GS, FS base, extended state.
 *
 * FS belongs to the workload and GS to the kernel: GS base points to the struct cpu of the running
 * CPU. Kernel code uses general registers only, so the workload's extended state stays live in the
 * CPU until the scheduler switches threads.
 */
#ifndef CELLA_KERNEL_ARCH_CPU_H
#define CELLA_KERNEL_ARCH_CPU_H

#include "base/list.h"
#include "base/spinlock.h"
#include "base/types.h"
#include "hal.h"

struct thread;

/* One per CPU. The first fields are known to assembly (entry.S) by offset. Only the owner CPU
 * writes it, but for the run queue (rq_lock) and need_resched (any CPU, a store). */
struct cpu {
    struct cpu *self;      /*  0 */
    uint64_t kstack_top;   /*  8: where the running thread's entry frame goes */
    uint64_t scratch;      /* 16 */
    struct thread *thread; /* 24: the running one */
    uint32_t need_resched; /* 32 */
    uint32_t in_user;      /* 36: 1 while workload code runs; the HAL may make it 2 */
    void *hal_private;     /* 40: the HAL's */
    uint32_t id;
    uint32_t idle; /* 1 while in hal_cpu_idle or polling before it */
    struct thread *idle_thread;
    struct thread *switched_from; /* the thread that hal_switch just left, for finish_switch */
    spinlock_t rq_lock;
    uint32_t nr_running; /* runnable threads queued, without the current one */
    struct list rq;
    struct hal_as *as; /* current address space */
    ktime_t slice_end; /* the running thread's turn ends */
    ktime_t fair_at;   /* the thread that has waited longest has a turn next */
    uint64_t vtime;    /* virtual time (proc/sched.c); under rq_lock, read without */
    /* Of the running thread, for wakers on other CPUs: when its turn began, and what it was then.
     */
    ktime_t run_since;
    uint64_t run_vruntime;
    int run_nice, run_rank;
    uint64_t nr_switches, idle_ns;
    ktime_t idle_since;     /* 0: not idle; what idle_ns lacks while it is */
    uint64_t nr_interrupts; /* ticks and kicks that met workload code */
    uint32_t user_ticks,
        kernel_ticks;     /* what the ticks since the last switch have met; counted by the HAL */
    uint32_t tick_missed; /* kernel_tick has yet to be called for one that met kernel code; set by
                             the HAL */
};

static inline struct cpu *this_cpu(void)
{
    struct cpu *c;
    /* volatile: the answer changes across a switch. */
    __asm__ volatile("movq %%gs:0, %0" : "=r"(c));
    return c;
}
static inline struct thread *current_thread(void)
{
    struct thread *t;
    __asm__ volatile("movq %%gs:24, %0" : "=r"(t));
    return t;
}
#define current current_thread()

static inline uint64_t rdtsc(void)
{
    uint32_t lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return ((uint64_t)hi << 32) | lo;
}
static inline void cpu_relax(void)
{
    __asm__ volatile("pause");
}
static inline uint64_t arch_fs_base(void)
{
    uint64_t v;
    __asm__ volatile("rdfsbase %0" : "=r"(v));
    return v;
}
static inline void arch_set_fs_base(uint64_t v)
{
    __asm__ volatile("wrfsbase %0" ::"r"(v));
}
static inline void cpuid(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
                     : "a"(leaf), "c"(sub));
}

/* ---- extended state (xstate.c) ---- */

/* Reads CPUID and XCR0; called once at boot. */
void arch_xstate_init(void);
/* Size in bytes of a save area (standard format: 512 + 64 + components), 64-byte aligned areas. */
size_t arch_xstate_size(void);
uint64_t arch_xstate_mask(void);
/* Live registers <-> area, for a thread switch (compacted where the CPU has XSAVEC). */
void arch_xstate_save(void *area);
void arch_xstate_restore(const void *area);
/* Loads the state from a signal frame that the host made. */
void arch_xstate_restore_host_frame(const void *area);
/* Live registers -> standard format, as a signal frame wants it. */
void arch_xstate_save_standard(void *area);
/* Standard format -> live registers. The area was copied from the workload: the header is checked
 * and reserved bits cleared first. -EINVAL when the header cannot be loaded. */
int arch_xstate_restore_standard(void *area);
/* Live registers := the state of a fresh program. */
void arch_xstate_reset(void);

/* First return of a new thread into the workload: loads regs in full (assembly). */
void arch_return_to_user(struct regs *regs) __attribute__((noreturn));

#endif
