/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel timers: one red-black tree by expiry for the keep, guarded by timer_lock. The scheduler
 * runs what is due from schedule(), from ticks and from the idle loop (ktimers_run) and bounds an
 * idle CPU's sleep by the first expiry (sched_timer_hint).
 */
#include "arch/x86_64/cpu.h"
#include "base/spinlock.h"
#include "hal.h"
#include "proc/cpus.h"
#include "time/time.h"

static struct rb_root timers = RB_ROOT_INIT;
static spinlock_t timer_lock = SPINLOCK_INIT;

void ktimer_init(struct ktimer *t, void (*fn)(struct ktimer *))
{
    t->queued = t->running = false;
    t->fn = fn;
}

static void insert(struct ktimer *t)
{
    struct rb_node **link = &timers.node, *parent = NULL;
    while (*link) {
        parent = *link;
        link = t->expires < rb_entry(parent, struct ktimer, rb)->expires ? &parent->left
                                                                         : &parent->right;
    }
    rb_link(&t->rb, parent, link);
    rb_insert_fixup(&timers, &t->rb);
    t->queued = true;
}

void ktimer_start(struct ktimer *t, ktime_t expires)
{
    spin_lock(&timer_lock);
    if (t->queued)
        rb_erase(&timers, &t->rb);
    t->expires = expires;
    insert(t);
    bool first = rb_first(&timers) == &t->rb;
    spin_unlock(&timer_lock);
    if (first)
        sched_timer_hint(expires);
}

bool ktimer_cancel(struct ktimer *t)
{
    for (;;) {
        spin_lock(&timer_lock);
        bool was = t->queued, running = t->running;
        if (was) {
            rb_erase(&timers, &t->rb);
            t->queued = false;
        }
        spin_unlock(&timer_lock);
        if (!running)
            return was;
        hal_cpu_yield(); /* fn runs on another CPU and does not sleep */
    }
}

ktime_t ktimers_run(void)
{
    for (;;) {
        spin_lock(&timer_lock);
        struct rb_node *n = rb_first(&timers);
        struct ktimer *t = n ? rb_entry(n, struct ktimer, rb) : NULL;
        if (!t || t->expires > time_mono_ns()) {
            ktime_t next = t ? t->expires : KTIME_NEVER;
            spin_unlock(&timer_lock);
            return next;
        }
        rb_erase(&timers, n);
        t->queued = false;
        t->running = true;
        spin_unlock(&timer_lock);
        t->fn(t);
        /* fn may have re-armed it; whoever cancels waits for `running`. */
        __atomic_store_n(&t->running, false, __ATOMIC_RELEASE);
    }
}
