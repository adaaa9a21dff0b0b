/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process HAL: a keep made of host processes.
 *
 * One host process per address space; kernel memory is one shared memfd. Each (address space, CPU)
 * has a carrier, a host thread that sleeps on its futex word until its CPU is handed to it. Exactly
 * one carrier per CPU is awake: the owner. A switch between threads of one address space exchanges
 * stacks; a switch to another address space hands the CPU to that one's carrier and goes to sleep.
 * Address space 0 is the first process: it never holds workload memory, and blank processes are
 * forked from it.
 *
 * Private to each host process: carrier stacks and signal stacks (a fork copies them; a child that
 * ran on a shared stack would tread on its parent's frames).
 */
#ifndef CELLA_HAL_PROCESS_H
#define CELLA_HAL_PROCESS_H

#include "arch/x86_64/cpu.h"
#include "base/list.h"
#include "cella/host_abi.h"
#include "hal.h"
#include "layout.h"

enum {
    GO_RUN = 1,   /* the CPU is yours: continue at resume_rsp */
    GO_EXIT = 2,  /* end the host process */
    GO_SPAWN = 4, /* make the carriers in as->spawn_mask */
    GO_FORK = 8,  /* address space 0: fork a blank process for fork_as */
};

#define CARRIER_COMING (-1)

struct carrier {
    uint32_t go; /* futex word: GO_* */
    int32_t tid; /* of the host thread; 0: there is none yet, CARRIER_COMING: being made. Also a
                    futex word for whoever waits for it */
    uint32_t cpu;
    bool timer_armed;
    uint64_t resume_rsp;
    struct hal_as *as;
    struct hal_as *fork_as;
};

struct hal_as {
    struct list link; /* pool of blank ones, or the graveyard */
    int32_t pid;
    uint32_t users; /* CPUs whose current address space this is */
    bool dying;     /* the last CPU to leave ends the process */
    bool wipe;      /* workload memory is to be dropped before the next use */
    uint64_t spawn_mask[HAL_MAX_CPUS / 64];
    struct carrier carrier[];
};

_Static_assert(offsetof(struct carrier, resume_rsp) == 16, "gate.S");

extern struct hal_as *as0;
extern unsigned hal_cpus;
extern bool hal_can_signal; /* an own pid namespace: tgkill reaches the keep only */

static inline struct carrier *this_carrier(void)
{
    return this_cpu()->hal_private;
}
static inline char *carrier_stack_top(unsigned cpu)
{
    return (char *)(CARRIER_BASE + cpu * CARRIER_AREA + CARRIER_STACK_SIZE);
}

/* ---- gate ---- */
long host_syscall(long nr, long a, long b, long c, long d, long e, long f);
#define HOST6(nr, a, b, c, d, e, f)                                                                \
    host_syscall(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define HOST4(nr, a, b, c, d) HOST6(nr, a, b, c, d, 0, 0)
#define HOST3(nr, a, b, c) HOST6(nr, a, b, c, 0, 0, 0)
#define HOST2(nr, a, b) HOST6(nr, a, b, 0, 0, 0, 0)
#define HOST1(nr, a) HOST6(nr, a, 0, 0, 0, 0, 0)
#define HOST0(nr) HOST6(nr, 0, 0, 0, 0, 0, 0)
long carrier_clone(uint64_t flags, void *stack_top, int32_t *parent_tid, void (*fn)(void *),
                   void *arg);
void carrier_leave(struct hal_context *prev, struct hal_context *next, void *stack_top,
                   void (*fn)(void *), struct carrier *to);
void carrier_resume(uint64_t rsp) __attribute__((noreturn));
void gate_sigreturn(void);
extern const char gate_syscall_end[], runtime_text_begin[], runtime_text_end[],
    runtime_data_begin[], runtime_bss_begin[], runtime_data_end[];

int futex_wait_host(uint32_t *word, uint32_t value, uint64_t timeout_ns); /* UINT64_MAX: none */
void futex_wake_host(uint32_t *word, int n);

/* ---- parts ---- */
struct hal_as *as_alloc(void);
void carrier_loop(void *carrier) __attribute__((noreturn));
/* Makes the carriers that as->spawn_mask asks for; called in that address space, on any stack. */
void spawn_carriers(struct hal_as *as);
void as_wipe_current(void);
bool as_fork_current(struct hal_as *as); /* copy-on-write copy of the current process */
bool as_fork_blank(struct hal_as *as);   /* child of address space 0 */
void signals_init(void);
void signals_thread_init(unsigned cpu); /* signal stack of the calling host thread */
void carrier_arm_timer(struct carrier *c);
void carrier_pin(unsigned cpu); /* the calling host thread is CPU `cpu`'s */
void wall_raise(void);          /* Landlock and the seccomp filter; no way back */
struct cella_host_window *host_window(void);

void arch_call_on_stack(void *arg, void (*fn)(void *), void *stack_top);
void arch_jump_on_stack(void *arg, void (*fn)(void *), void *stack_top) __attribute__((noreturn));
void arch_switch_stacks(struct hal_context *prev, struct hal_context *next);

#endif
