/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carriers: how a CPU of the keep goes from host thread to host thread.
 *
 * Handing over: the owner saves its kernel context (it runs on a stack in shared memory), steps
 * onto its private stack, sets GO_RUN in the other carrier's word and wakes it, then sleeps on its
 * own word. From the moment of the store the other one owns the CPU and everything that hangs on
 * GS; the leaver touches only its own carrier and address space counters.
 */
#include "base/printk.h"
#include "base/string.h"
#include "host_linux.h"
#include "proc/cpus.h"
#include "proc/task.h"
#include "process.h"

#define TICK_NS 4000000

int futex_wait_host(uint32_t *word, uint32_t value, uint64_t timeout_ns)
{
    struct h_timespec ts = {(int64_t)(timeout_ns / NSEC_PER_SEC),
                            (int64_t)(timeout_ns % NSEC_PER_SEC)};
    return (int)HOST4(HOST_futex, word, H_FUTEX_WAIT, value, timeout_ns == UINT64_MAX ? NULL : &ts);
}

void futex_wake_host(uint32_t *word, int n)
{
    HOST3(HOST_futex, word, H_FUTEX_WAKE, n);
}

static void carrier_send(struct carrier *c, uint32_t what)
{
    if (__atomic_fetch_or(&c->go, what, __ATOMIC_SEQ_CST) == 0)
        futex_wake_host(&c->go, 1);
}

/* The CPU clock of the thread drives the tick: a carrier that sleeps, or a CPU that idles, costs
 * nothing. */
void carrier_arm_timer(struct carrier *c)
{
    struct h_sigevent ev = {.signo = H_SIGTICK, .notify = H_SIGEV_THREAD_ID, .tid = c->tid};
    struct h_itimerspec its = {{0, TICK_NS}, {0, TICK_NS}};
    int32_t id;
    c->timer_armed = true;
    if (HOST3(HOST_timer_create, H_CLOCK_THREAD_CPUTIME_ID, &ev, &id) == 0)
        HOST4(HOST_timer_settime, id, 0, &its, NULL);
}

static void fork_process(struct hal_as *as, unsigned cpu);

void carrier_loop(void *arg)
{
    struct carrier *c = arg;
    for (;;) {
        uint32_t go;
        while ((go = __atomic_exchange_n(&c->go, 0, __ATOMIC_ACQUIRE)) == 0)
            futex_wait_host(&c->go, 0, UINT64_MAX);
        if (go & GO_EXIT)
            HOST1(HOST_exit_group, 0);
        if (go & GO_SPAWN)
            spawn_carriers(c->as);
        if (go & GO_FORK)
            fork_process(c->fork_as, c->cpu);
        if (go & GO_RUN)
            break;
    }
    cpus[c->cpu].hal_private = c;
    if (c->as->wipe)
        as_wipe_current();
    if (!c->timer_armed)
        carrier_arm_timer(c);
    carrier_resume(c->resume_rsp);
}

/* On the carrier's stack, after the thread's context was saved. */
static void hand_over(void *arg)
{
    struct carrier *to = arg;
    struct carrier *me = this_carrier();
    struct hal_as *from = me->as;
    __atomic_add_fetch(&to->as->users, 1, __ATOMIC_SEQ_CST);
    carrier_send(to, GO_RUN);
    /* The CPU, and GS with it, is no longer ours. */
    if (__atomic_sub_fetch(&from->users, 1, __ATOMIC_SEQ_CST) == 0 &&
        __atomic_load_n(&from->dying, __ATOMIC_SEQ_CST))
        HOST1(HOST_exit_group, 0);
    carrier_loop(me);
}

void hal_switch(struct hal_context *prev, struct hal_context *next, struct hal_as *as)
{
    struct carrier *me = this_carrier();
    if (likely(!as || as == me->as)) {
        /* This CPU was idle there since before the address space was put away and taken anew. */
        if (unlikely(as && as->wipe))
            as_wipe_current();
        if (prev != next)
            arch_switch_stacks(prev, next);
        return;
    }
    struct carrier *to = &as->carrier[me->cpu];
    while (unlikely(__atomic_load_n(&to->tid, __ATOMIC_ACQUIRE) <= 0))
        hal_as_ready(as, me->cpu), hal_cpu_yield();
    /* prev and next may be the same thread, going on in another address space; carrier_leave saves
     * before it reads. */
    carrier_leave(prev, next, carrier_stack_top(me->cpu), hand_over, to);
}

/* ---- making host processes and threads ---- */

/* Forks the calling host process; the child becomes as->carrier[cpu]. On a private stack. */
static void fork_process(struct hal_as *as, unsigned cpu)
{
    struct carrier *c = &as->carrier[cpu];
    long pid = HOST6(HOST_clone, CLONE_FLAGS_PROCESS, 0, 0, 0, 0, 0);
    if (pid == 0)
        carrier_loop(c);
    if (pid > 0)
        as->pid = (int32_t)pid;
    __atomic_store_n(&c->tid, (int32_t)pid, __ATOMIC_SEQ_CST);
    futex_wake_host((uint32_t *)&c->tid, 1);
}

static void fork_here(void *arg)
{
    fork_process(arg, this_cpu()->id);
}

static int32_t fork_result(struct hal_as *as, unsigned cpu)
{
    return __atomic_load_n(&as->carrier[cpu].tid, __ATOMIC_ACQUIRE);
}

bool as_fork_current(struct hal_as *as)
{
    unsigned cpu = this_cpu()->id;
    arch_call_on_stack(as, fork_here, carrier_stack_top(cpu));
    return fork_result(as, cpu) > 0;
}

bool as_fork_blank(struct hal_as *as)
{
    unsigned cpu = this_cpu()->id;
    struct carrier *zygote = &as0->carrier[cpu];
    if (this_carrier() == zygote)
        return as_fork_current(as);
    zygote->fork_as = as;
    carrier_send(zygote, GO_FORK);
    while (fork_result(as, cpu) == 0)
        futex_wait_host((uint32_t *)&as->carrier[cpu].tid, 0, UINT64_MAX);
    return fork_result(as, cpu) > 0;
}

static void carrier_thread(void *arg)
{
    struct carrier *c = arg;
    __asm__ volatile("wrgsbase %0" ::"r"(&cpus[c->cpu]));
    signals_thread_init(c->cpu);
    carrier_pin(c->cpu);
    carrier_loop(c);
}

void spawn_carriers(struct hal_as *as)
{
    for (unsigned cpu = 0; cpu < hal_cpus; cpu++) {
        uint64_t bit = 1ull << (cpu % 64);
        if (!(__atomic_fetch_and(&as->spawn_mask[cpu / 64], ~bit, __ATOMIC_ACQ_REL) & bit))
            continue;
        struct carrier *c = &as->carrier[cpu];
        int32_t tid = 0;
        /* The bit may be set anew while another one is at it: two carriers would run on one stack.
         */
        if (!__atomic_compare_exchange_n(&c->tid, &tid, CARRIER_COMING, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_ACQUIRE))
            continue;
        if (carrier_clone(CLONE_FLAGS_CARRIER, carrier_stack_top(cpu), &tid, carrier_thread, c) < 0)
            tid = 0;
        __atomic_store_n(&c->tid, tid, __ATOMIC_RELEASE);
        if (!tid)
            continue;
        WRITE_ONCE(cpus[cpu].need_resched, 1);
        hal_cpu_kick(cpu);
    }
}

bool hal_as_ready(struct hal_as *as, unsigned cpu)
{
    int32_t tid = __atomic_load_n(&as->carrier[cpu].tid, __ATOMIC_ACQUIRE);
    if (tid > 0)
        return true;
    if (tid == CARRIER_COMING)
        return false;
    uint64_t bit = 1ull << (cpu % 64);
    if (__atomic_fetch_or(&as->spawn_mask[cpu / 64], bit, __ATOMIC_SEQ_CST) & bit)
        return false; /* asked before */
    for (unsigned i = 0; i < hal_cpus; i++) {
        struct carrier *c = &as->carrier[i];
        if (c->tid <= 0)
            continue;
        /* Asleep: it does it at once. Running: the word waits for its next sleep, so the kick makes
         * its signal handler look. */
        carrier_send(c, GO_SPAWN);
        if (READ_ONCE(cpus[i].hal_private) == c)
            hal_cpu_kick(i);
        break;
    }
    return false;
}

/* ---- idle, kick ---- */

void hal_cpu_yield(void)
{
    HOST0(HOST_sched_yield);
}

void hal_cpu_kick(unsigned cpu)
{
    uint32_t *sleeping = &host_window()->cpu_sleeping[cpu];
    /* An idle CPU is woken even when somebody has taken its word already: that may have been a carrier
     * whose process ended before it came to the wake. */
    if (__atomic_exchange_n(sleeping, 0, __ATOMIC_SEQ_CST) == 1 || READ_ONCE(cpus[cpu].idle)) {
        futex_wake_host(sleeping, 1);
        return;
    }
    /* One signal is enough until the CPU has entered the kernel: each more would nest in the
     * handler of the one before, and the signal stack is not endless. */
    uint32_t in_user = 1;
    if (!hal_can_signal || !__atomic_compare_exchange_n(&cpus[cpu].in_user, &in_user, 2, false,
                                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        return;
    struct carrier *c = READ_ONCE(
        cpus[cpu]
            .hal_private); /* after that: of the moment, or the CPU has been in the kernel since */
    HOST3(HOST_tgkill, c->as->pid, c->tid, H_SIGKICK);
}

void hal_cpu_idle(ktime_t deadline)
{
    struct cpu *me = this_cpu();
    struct carrier *c = this_carrier();
    struct cella_host_window *w = host_window();
    uint32_t *sleeping = &w->cpu_sleeping[me->id];
    for (size_t i = 0; i < ARRAY_LEN(c->as->spawn_mask); i++)
        if (READ_ONCE(c->as->spawn_mask[i]))
            spawn_carriers(c->as);
    __atomic_store_n(sleeping, 1, __ATOMIC_SEQ_CST);
    ktime_t now = time_mono_ns();
    if (!__atomic_load_n(&me->need_resched, __ATOMIC_SEQ_CST) && !READ_ONCE(w->events) &&
        __atomic_load_n(&w->cq.tail, __ATOMIC_SEQ_CST) == READ_ONCE(w->cq.head) && deadline > now)
        futex_wait_host(sleeping, 1, deadline == KTIME_NEVER ? UINT64_MAX : deadline - now);
    __atomic_store_n(sleeping, 0, __ATOMIC_SEQ_CST);
}

void hal_sync_cores(void)
{
    struct cpu *me = this_cpu();
    for (unsigned i = 0; i < hal_cpus; i++) {
        struct cpu *c = &cpus[i];
        if (c == me || !__atomic_load_n(&c->in_user, __ATOMIC_SEQ_CST))
            continue;
        uint64_t seen = READ_ONCE(c->nr_interrupts);
        hal_cpu_kick(i);
        while (READ_ONCE(c->nr_interrupts) == seen && READ_ONCE(c->in_user))
            hal_cpu_yield();
    }
}

static void cpu_first_run(void *arg)
{
    struct carrier *c = arg;
    __asm__ volatile("wrgsbase %0" ::"r"(&cpus[c->cpu]));
    signals_thread_init(c->cpu);
    carrier_pin(c->cpu);
    carrier_arm_timer(c);
    cpus[c->cpu].hal_private = c;
    kernel_cpu_main(c->cpu);
}

static void cpu_thread(void *arg)
{
    struct carrier *c = arg;
    arch_jump_on_stack(c, cpu_first_run, (char *)cpus[c->cpu].idle_thread->kstack + KSTACK_SIZE);
}

int hal_cpus_start(void)
{
    for (unsigned i = 1; i < hal_cpus; i++) {
        struct carrier *c = &as0->carrier[i];
        cpus[i].as = as0;
        as0->users++;
        if (carrier_clone(CLONE_FLAGS_CARRIER, carrier_stack_top(i), &c->tid, cpu_thread, c) < 0)
            return -1;
    }
    return 0;
}

unsigned hal_nr_cpus(void)
{
    return hal_cpus;
}
