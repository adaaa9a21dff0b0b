/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler.
 *
 * A thread is in one of three places: running on a CPU (`running`), in a run queue (`queued`), or
 * asleep. `wake_lock` of the thread guards the change between them together with `state`: a thread
 * that is about to sleep sets its state, tests its condition and calls schedule(), which decides
 * under wake_lock whether it really sleeps; a waker sets the state back under the same lock and
 * queues the thread only when it no longer runs.
 *
 * The order of those who wait: proc/run_queue.c. Where a woken thread goes: to its last CPU if that
 * one is polling; else to the waker's CPU when it holds the right address space (the switch is then
 * a function call once the waker sleeps); else to its last CPU. An idle CPU polls for a while,
 * stealing what has waited elsewhere for a little, then sleeps - with a short deadline while other
 * CPUs are busy. How long it polls follows from whether that paid, for it takes the host's CPU from
 * those it waits for. A busy one takes over, by its ticks, what waits elsewhere much longer than
 * here.
 *
 * Locks: thread->wake_lock -> cpu->rq_lock.
 */
#include "proc/sched.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/string.h"
#include "dev/host_ring.h"
#include "mm/mm.h"
#include "proc/cpus.h"
#include "proc/run_queue.h"
#include "proc/task.h"

#define POLL_NS (30 * NSEC_PER_USEC)
#define POLL_MIN_NS (2 * NSEC_PER_USEC)
#define POLL_PAYS_NS (8 * NSEC_PER_USEC)
#define FAIR_NS (100 * NSEC_PER_MSEC)
#define BUSY_SLEEP_MIN_NS (100 * NSEC_PER_USEC)
#define BUSY_SLEEP_MAX_NS (4 * NSEC_PER_MSEC)

struct cpu cpus[HAL_MAX_CPUS];
unsigned nr_cpus;
static struct thread idle_threads[HAL_MAX_CPUS];
static ktime_t next_timer = KTIME_NEVER; /* expiry of the first kernel timer; a hint */

enum { IDLE_NO, IDLE_POLLING, IDLE_SLEEPING };

void sched_timer_hint(ktime_t expires)
{
    ktime_t old = __atomic_load_n(&next_timer, __ATOMIC_RELAXED);
    if (expires >= old)
        return;
    __atomic_store_n(&next_timer, expires, __ATOMIC_SEQ_CST);
    /* Some idle CPU must sleep no longer than that. Our own will look before it sleeps. */
    for (unsigned i = 0; i < nr_cpus; i++) {
        if (&cpus[i] != this_cpu() && READ_ONCE(cpus[i].idle) == IDLE_SLEEPING) {
            WRITE_ONCE(cpus[i].need_resched, 1);
            hal_cpu_kick(i);
            return;
        }
    }
}

static void run_timers(ktime_t now)
{
    if (now < __atomic_load_n(&next_timer, __ATOMIC_SEQ_CST))
        return;
    __atomic_store_n(&next_timer, KTIME_NEVER, __ATOMIC_SEQ_CST);
    sched_timer_hint(ktimers_run());
}

static void enqueue(struct thread *t);

static struct thread *pick_next(struct cpu *c, ktime_t now)
{
    struct thread *t;
    ktime_t aged = 0;
    if (unlikely(now >= c->fair_at)) {
        c->fair_at = now + FAIR_NS;
        aged = now - k_min(now, (ktime_t)FAIR_NS);
    }
    while ((t = rq_take(c, c, now, aged))) {
        if (likely(affine(t, c->id)))
            return t;
        /* Its affinity was changed while it was queued. */
        spin_lock(&t->wake_lock);
        enqueue(t);
        spin_unlock(&t->wake_lock);
    }
    for (unsigned i = 1; i < nr_cpus; i++) {
        t = rq_take(&cpus[(c->id + i) % nr_cpus], c, now, 0);
        if (t)
            return t;
    }
    return NULL;
}

static void enqueue(struct thread *t)
{
    struct cpu *me = this_cpu(), *last = &cpus[t->cpu], *target;
    struct hal_as *as = thread_as(t);
    if (!affine(t, last->id)) {
        target = NULL;
        for (unsigned i = 0; i < nr_cpus && !target; i++)
            if (affine(t, i))
                target = &cpus[i];
        if (!target)
            target = last;
    } else if (last != me && READ_ONCE(last->idle) == IDLE_POLLING &&
               (!as || last->as == as || hal_as_ready(as, last->id))) {
        target = last;
    } else if (me != last && affine(t, me->id) && (!as || me->as == as)) {
        target = me;
    } else {
        target = last;
    }
    if (target != me && !(!as || target->as == as || hal_as_ready(as, target->id)) &&
        affine(t, me->id) && (!as || hal_as_ready(as, me->id)))
        target = me;
    rq_put(target, t, false);
    bool preempt = rq_preempts(t, target, t->queued_at);
    if (target == me) {
        if (unlikely(preempt))
            WRITE_ONCE(me->need_resched, 1);
        return;
    }
    if (preempt)
        __atomic_store_n(&target->need_resched, 1, __ATOMIC_SEQ_CST);
    uint32_t idle = __atomic_load_n(&target->idle, __ATOMIC_SEQ_CST);
    if (idle == IDLE_SLEEPING || (idle == IDLE_NO && preempt))
        hal_cpu_kick(target->id);
}

bool thread_wake_if(struct thread *t, uint32_t states)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!(states >> READ_ONCE(t->state) & 1))
        return false;
    spin_lock(&t->wake_lock);
    bool woke = states >> t->state & 1;
    if (woke) {
        __atomic_store_n(&t->state, THREAD_RUNNABLE, __ATOMIC_RELEASE);
        if (!t->running && !t->queued)
            enqueue(t);
    }
    spin_unlock(&t->wake_lock);
    return woke;
}

void sched_add_new(struct thread *t)
{
    t->state = THREAD_RUNNABLE;
    t->cpu = this_cpu()->id;
    t->vruntime = rq_running_vruntime(this_cpu(), time_mono_ns());
    spin_lock(&t->wake_lock);
    if (affine(t, t->cpu))
        rq_put(this_cpu(), t, false);
    else
        enqueue(t);
    spin_unlock(&t->wake_lock);
}

/* ---- switching ---- */

static void finish_switch(void)
{
    struct cpu *c = this_cpu();
    struct thread *prev = c->switched_from;
    c->switched_from = NULL;
    if (!prev)
        return;
    bool dead = prev->state == THREAD_DEAD;
    __atomic_store_n(&prev->on_cpu, false, __ATOMIC_RELEASE);
    if (dead)
        thread_put(prev);
}

static void account(struct cpu *c, struct thread *prev, ktime_t now)
{
    ktime_t ran = now - prev->acct_since;
    prev->run_ns += ran;
    prev->acct_since = now;
    if (likely(!is_realtime(rank_of(prev)) && prev != c->idle_thread)) {
        prev->vruntime += weighed(ran, prev->nice);
        if (!READ_ONCE(c->nr_running) && (int64_t)(prev->vruntime - c->vtime) > 0)
            WRITE_ONCE(c->vtime, prev->vruntime);
    }
    if (unlikely(READ_ONCE(c->kernel_ticks)))
        prev->kernel_ticks += __atomic_exchange_n(&c->kernel_ticks, 0, __ATOMIC_RELAXED);
    if (unlikely(READ_ONCE(c->user_ticks)))
        prev->user_ticks += __atomic_exchange_n(&c->user_ticks, 0, __ATOMIC_RELAXED);
}

static void switch_to(struct cpu *c, struct thread *prev, struct thread *next, ktime_t now)
{
    while (unlikely(READ_ONCE(next->on_cpu) && next != prev))
        cpu_relax(); /* its last CPU is leaving its stack */
    next->running = true;
    next->on_cpu = true;
    if (unlikely(next->cpu != c->id)) {
        next->vruntime += READ_ONCE(c->vtime) - READ_ONCE(cpus[next->cpu].vtime);
        next->cpu = c->id;
    }
    next->acct_since = now;
    WRITE_ONCE(c->run_since, now);
    WRITE_ONCE(c->run_vruntime, next->vruntime);
    WRITE_ONCE(c->run_nice, next->nice);
    WRITE_ONCE(c->run_rank, next == c->idle_thread ? RANK_IDLE : rank_of(next));
    c->slice_end = rq_turn_end(next, now);
    if (next == prev)
        return;
    next->rseq_dirty = next->rseq != 0;
    if (prev->mm) {
        prev->fs_base = arch_fs_base();
        if (!prev->fpu_saved) {
            arch_xstate_save(prev->xstate);
            prev->fpu_saved = true;
        }
    }
    KASSERT(*(uint64_t *)prev->kstack == KSTACK_CANARY);
    c->thread = next;
    c->kstack_top = (uint64_t)next->kstack + KSTACK_SIZE;
    c->switched_from = prev;
    c->nr_switches++;
    struct hal_as *as = thread_as(next);
    if (as)
        c->as = as;
    hal_switch(&prev->hctx, &next->hctx, as);
    /* Back, perhaps on another CPU. */
    finish_switch();
    if (prev->mm && prev->fpu_saved) {
        arch_set_fs_base(prev->fs_base);
        arch_xstate_restore(prev->xstate);
        prev->fpu_saved = false;
    }
}

enum leave {
    LEAVE_SLEEP, /* unless it has been woken already */
    LEAVE_YIELD, /* others first */
    LEAVE_PREEMPTED
};

static void switch_away(enum leave why)
{
    struct cpu *c = this_cpu();
    struct thread *prev = c->thread;
    ktime_t now = time_mono_ns();
    if (prev != c->idle_thread)
        host_ring_flush();
    host_ring_poll();
    run_timers(now);
    WRITE_ONCE(c->need_resched, 0);
    account(c, prev, now);
    if (why == LEAVE_YIELD)
        rq_give_way(c, prev);
    spin_lock(&prev->wake_lock);
    if (prev != c->idle_thread) {
        if (prev->state == THREAD_RUNNABLE) {
            prev->nr_involuntary++;
            prev->running = false;
            if (likely(affine(prev, c->id)))
                rq_put(c, prev, why == LEAVE_PREEMPTED && rq_keeps_turn(prev, now));
            else
                enqueue(prev);
        } else {
            prev->nr_voluntary++;
            prev->running = false;
        }
    }
    spin_unlock(&prev->wake_lock);
    struct thread *next = pick_next(c, now);
    if (!next)
        next = c->idle_thread;
    switch_to(c, prev, next, now);
}

void schedule(void)
{
    switch_away(LEAVE_SLEEP);
}

void sched_give_way(void)
{
    switch_away(LEAVE_YIELD);
}

struct sleep_timer {
    struct ktimer timer;
    struct thread *thread;
    bool fired;
};

static void sleep_timer_fn(struct ktimer *t)
{
    struct sleep_timer *s = container_of(t, struct sleep_timer, timer);
    s->fired = true;
    thread_wake(s->thread);
}

bool schedule_timeout(ktime_t deadline)
{
    if (deadline == KTIME_NEVER) {
        schedule();
        return false;
    }
    struct thread *t = current;
    if (deadline <= time_mono_ns()) {
        __atomic_store_n(&t->state, THREAD_RUNNABLE, __ATOMIC_RELEASE);
        return true;
    }
    struct sleep_timer s = {.thread = t};
    ktimer_init(&s.timer, sleep_timer_fn);
    ktimer_start(&s.timer, deadline);
    schedule();
    ktimer_cancel(&s.timer);
    return s.fired;
}

void sched_resched(void)
{
    struct cpu *c = this_cpu();
    if (!READ_ONCE(c->need_resched))
        return;
    if (READ_ONCE(c->nr_running) == 0) {
        WRITE_ONCE(c->need_resched, 0);
        host_ring_poll();
        run_timers(time_mono_ns());
        if (READ_ONCE(c->nr_running) == 0 && affine(c->thread, c->id))
            return;
    }
    switch_away(LEAVE_PREEMPTED);
}

/* Takes over a thread that has waited on another CPU much longer than any has here: there are more
 * of them there, or real-time threads leave no time. One CPU is looked at in each tick. */
static void balance(struct cpu *c, ktime_t now)
{
    struct thread *t;
    ktime_t since = now;
    if (nr_cpus == 1 || is_realtime(c->run_rank))
        return;
    spin_lock(&c->rq_lock);
    list_for_each (t, &c->rq, rq_link)
        since = k_min(since, t->queued_at);
    spin_unlock(&c->rq_lock);
    ktime_t longer = 2 * (now - since) + 2 * SLICE_NS;
    unsigned other = 1 + (unsigned)(now / SLICE_NS % (nr_cpus - 1));
    if (longer >= now)
        return;
    t = rq_take(&cpus[(c->id + other) % nr_cpus], c, now, now - longer);
    if (!t)
        return;
    rq_put(c, t, false);
    if (rq_preempts(t, c, now))
        WRITE_ONCE(c->need_resched, 1);
}

void sched_tick(void)
{
    struct cpu *c = this_cpu();
    ktime_t now = time_mono_ns();
    host_ring_flush();
    host_ring_poll();
    run_timers(now);
    balance(c, now);
    if (READ_ONCE(c->nr_running) && (now >= c->slice_end || now >= c->fair_at))
        WRITE_ONCE(c->need_resched, 1);
}

void sched_kick_thread(struct thread *t)
{
    if (t == current)
        return;
    spin_lock(&t->wake_lock);
    unsigned cpu = t->cpu;
    bool running = t->running;
    spin_unlock(&t->wake_lock);
    if (running) {
        __atomic_store_n(&cpus[cpu].need_resched, 1, __ATOMIC_SEQ_CST);
        if (READ_ONCE(cpus[cpu].thread) == t)
            hal_cpu_kick(cpu);
    }
}

void sched_thread_changed(struct thread *t)
{
    if (t == current) {
        WRITE_ONCE(this_cpu()->need_resched, 1);
        sched_resched();
        return;
    }
    /* In its queue it may stand in the wrong place, or be in the wrong one. */
    spin_lock(&t->wake_lock);
    struct cpu *c = &cpus[t->cpu];
    spin_lock(&c->rq_lock);
    bool queued = t->queued && t->cpu == c->id;
    if (queued) {
        list_del(&t->rq_link);
        t->queued = false;
        c->nr_running--;
    }
    spin_unlock(&c->rq_lock);
    if (queued)
        enqueue(t);
    spin_unlock(&t->wake_lock);
    sched_kick_thread(t);
}

/* First C code of a new thread, on its own stack. */
void sched_thread_start(void)
{
    finish_switch();
    struct thread *t = current;
    if (t->mm) {
        arch_set_fs_base(t->fs_base);
        if (t->fpu_saved) {
            arch_xstate_restore(t->xstate);
            t->fpu_saved = false;
        }
    }
    thread_first_run();
    arch_exit_work(thread_regs(t));
    arch_return_to_user(thread_regs(t));
}

void arch_thread_start(void);

void arch_thread_prepare(struct thread *t)
{
    *(uint64_t *)t->kstack = KSTACK_CANARY;
    uint64_t *sp = (uint64_t *)thread_regs(t);
    *--sp = 0;
    *--sp = (uint64_t)arch_thread_start;
    for (int i = 0; i < 6; i++)
        *--sp = 0;
    t->hctx.rsp = (uint64_t)sp;
}

/* ---- idle ---- */

static bool other_cpus_busy(const struct cpu *c)
{
    for (unsigned i = 0; i < nr_cpus; i++)
        if (&cpus[i] != c && (!READ_ONCE(cpus[i].idle) || READ_ONCE(cpus[i].nr_running)))
            return true;
    return false;
}

static bool idle_work(struct cpu *c, ktime_t now)
{
    if (READ_ONCE(c->need_resched) || READ_ONCE(c->nr_running))
        return true;
    if (host_ring_poll())
        return true;
    if (now >= __atomic_load_n(&next_timer, __ATOMIC_RELAXED))
        return true;
    for (unsigned i = 0; i < nr_cpus; i++) {
        struct cpu *o = &cpus[i];
        if (o == c || !READ_ONCE(o->nr_running))
            continue;
        /* A look at the first one is enough here; schedule() takes it under the lock. */
        struct thread *t = rq_take(o, c, now, 0);
        if (t) {
            rq_put(c, t, true);
            return true;
        }
    }
    return false;
}

void kernel_cpu_main(unsigned id)
{
    struct cpu *c = &cpus[id];
    ktime_t busy_sleep = BUSY_SLEEP_MIN_NS, poll_ns = POLL_MIN_NS;
    for (;;) {
        schedule();
        ktime_t start = time_mono_ns(), now = start;
        WRITE_ONCE(c->idle_since, start);
        __atomic_store_n(&c->idle, IDLE_POLLING, __ATOMIC_SEQ_CST);
        bool work = false;
        while (!(work = idle_work(c, now)) &&
               (now = time_mono_ns()) - start < (host_ring_is_expecting() ? POLL_NS : poll_ns))
            cpu_relax();
        /* It pays where the wait is short; else it takes the host's CPU from whom we wait for. */
        poll_ns = work && now - start < POLL_PAYS_NS ? k_min(poll_ns * 2, POLL_NS)
                                                     : k_max(poll_ns / 2, POLL_MIN_NS);
        if (!work) {
            host_ring_flush();
            __atomic_store_n(&c->idle, IDLE_SLEEPING, __ATOMIC_SEQ_CST);
            if (!idle_work(c, now)) {
                ktime_t until = __atomic_load_n(&next_timer, __ATOMIC_SEQ_CST);
                if (other_cpus_busy(c)) {
                    until = k_min(until, now + busy_sleep);
                    busy_sleep = k_min(busy_sleep * 2, BUSY_SLEEP_MAX_NS);
                }
                hal_cpu_idle(until);
            }
        }
        if (READ_ONCE(c->nr_running))
            busy_sleep = BUSY_SLEEP_MIN_NS;
        __atomic_store_n(&c->idle, IDLE_NO, __ATOMIC_SEQ_CST);
        WRITE_ONCE(c->idle_since, 0);
        c->idle_ns += time_mono_ns() - start;
    }
}

void sched_init_cpu(unsigned id, void *idle_stack)
{
    struct cpu *c = &cpus[id];
    struct thread *idle = &idle_threads[id];
    c->self = c;
    c->id = id;
    spin_init(&c->rq_lock);
    list_init(&c->rq);
    idle->kstack = idle_stack;
    *(uint64_t *)idle_stack = KSTACK_CANARY;
    idle->state = THREAD_RUNNABLE;
    idle->on_cpu = idle->running = true;
    idle->cpu = id;
    k_strlcpy(idle->comm, "idle", sizeof(idle->comm));
    ref_init(&idle->ref, 1);
    c->idle_thread = idle;
    c->thread = idle;
    c->run_rank = RANK_IDLE;
    c->kstack_top = (uint64_t)idle_stack + KSTACK_SIZE;
}

/* ---- load ---- */

static uint32_t load_avg[3];
static ktime_t load_last;

/* Exponential averages over 1, 5 and 15 minutes in 16.16, sampled every 5 s as Linux does. */
static void load_update(ktime_t now)
{
    static const uint32_t decay[3] = {60286, 64453,
                                      65172}; /* exp(-5/60), exp(-5/300), exp(-5/900) in 0.16 */
    while (now - load_last >= 5 * NSEC_PER_SEC) {
        uint32_t active = 0;
        for (unsigned i = 0; i < nr_cpus; i++)
            active += READ_ONCE(cpus[i].nr_running) + (READ_ONCE(cpus[i].idle) == IDLE_NO);
        for (int k = 0; k < 3; k++)
            load_avg[k] = (uint32_t)(((uint64_t)load_avg[k] * decay[k] +
                                      (uint64_t)(active << 16) * (65536 - decay[k])) >>
                                     16);
        load_last = load_last ? load_last + 5 * NSEC_PER_SEC : now;
    }
}

void sched_loadavg(uint32_t avg[3], uint32_t *nr_running)
{
    load_update(time_mono_ns());
    uint32_t n = 0;
    for (unsigned i = 0; i < nr_cpus; i++)
        n += READ_ONCE(cpus[i].nr_running) + (READ_ONCE(cpus[i].idle) == IDLE_NO);
    memcpy(avg, load_avg, sizeof(load_avg));
    *nr_running = n;
}

ktime_t sched_cpu_idle_ns(unsigned cpu)
{
    uint64_t idle = READ_ONCE(cpus[cpu].idle_ns);
    ktime_t since = READ_ONCE(cpus[cpu].idle_since), now = time_mono_ns();
    return idle + (since && now > since ? now - since : 0);
}
