/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wait queues: how threads sleep until something happens, and how poll and epoll learn of it.
 *
 * A waiter is linked into a queue with a wake function. The default one makes its thread runnable.
 * Exclusive waiters stand at the tail, and a wake-up stops after waking `nr_exclusive` of them.
 *
 * Sleeping without a lost wake-up:
 *
 *     WAIT_EVENT(&q, condition, flags, deadline, result)
 *
 * evaluates condition after the waiter is queued and the thread's state is set, so a wake-up
 * between test and schedule() leaves the thread runnable.
 *
 * Lock order: object lock -> wait_queue.lock -> run queue lock. A wake function is called with the
 * queue's lock held.
 */
#ifndef CELLA_KERNEL_PROC_WAIT_QUEUE_H
#define CELLA_KERNEL_PROC_WAIT_QUEUE_H

#include "base/list.h"
#include "base/spinlock.h"

struct thread;

struct wait_queue {
    spinlock_t lock;
    struct list waiters;
};

struct waiter {
    struct list link;
    struct thread *thread;
    /* Called under the queue's lock; key is the poll event mask (0: unspecified, all). Returns true
     * when it woke somebody (counts against nr_exclusive). */
    bool (*wake)(struct waiter *w, uint32_t key);
    bool exclusive;
};

#define WAIT_QUEUE_INIT(q)                                                                         \
    {                                                                                              \
        SPINLOCK_INIT, LIST_INIT((q).waiters)                                                      \
    }

static inline void wait_queue_init(struct wait_queue *q)
{
    spin_init(&q->lock);
    list_init(&q->waiters);
}

bool waiter_wake_thread(struct waiter *w, uint32_t key); /* the default wake function */

/* Queues w (exclusive ones at the tail). w->wake and w->exclusive are set by the caller. */
void wait_queue_add(struct wait_queue *q, struct waiter *w);
void wait_queue_remove(struct wait_queue *q, struct waiter *w);
/* Wakes all non-exclusive waiters and up to nr_exclusive exclusive ones (INT_MAX: all). */
void wait_queue_wake(struct wait_queue *q, uint32_t key, int nr_exclusive);
static inline void wake_all(struct wait_queue *q, uint32_t key)
{
    wait_queue_wake(q, key, INT_MAX);
}
static inline void wake_one(struct wait_queue *q, uint32_t key)
{
    wait_queue_wake(q, key, 1);
}

enum {
    WAIT_UNINTERRUPTIBLE = 0,
    WAIT_INTERRUPTIBLE = 1, /* any deliverable signal ends the wait with -ERESTARTSYS */
    WAIT_KILLABLE = 2,      /* only a fatal one */
    WAIT_EXCLUSIVE = 4,
};

/* The pieces of WAIT_EVENT. prepare: queue and set the state. sleep: 0 to test again, -ETIMEDOUT,
 * or -ERESTARTSYS. */
void wait_prepare(struct wait_queue *q, struct waiter *w, int flags);
int wait_sleep(int flags, ktime_t deadline);
void wait_finish(struct wait_queue *q, struct waiter *w);

/* result: 0 when cond holds, -ETIMEDOUT (deadline in CLOCK_MONOTONIC ns; KTIME_NEVER), or
 * -ERESTARTSYS. */
#define WAIT_EVENT(q, cond, flags, deadline, result)                                               \
    do {                                                                                           \
        struct waiter _w;                                                                          \
        (result) = 0;                                                                              \
        for (;;) {                                                                                 \
            wait_prepare((q), &_w, (flags));                                                       \
            if (cond) {                                                                            \
                (result) = 0;                                                                      \
                break;                                                                             \
            }                                                                                      \
            if ((result) != 0)                                                                     \
                break;                                                                             \
            (result) = wait_sleep((flags), (deadline));                                            \
            wait_finish((q), &_w);                                                                 \
        }                                                                                          \
        wait_finish((q), &_w);                                                                     \
    } while (0)

/* The same where nothing but cond and the time can end the wait. */
#define WAIT_UNTIL(q, cond, deadline)                                                              \
    do {                                                                                           \
        int _r;                                                                                    \
        WAIT_EVENT(q, cond, WAIT_UNINTERRUPTIBLE, deadline, _r);                                   \
        (void)_r;                                                                                  \
    } while (0)

/* ---- sleeping mutex ---- */

struct mutex {
    spinlock_t lock;
    struct thread *owner;
    struct wait_queue q;
};

void mutex_init(struct mutex *m);
void mutex_lock(struct mutex *m); /* uninterruptible */
bool mutex_trylock(struct mutex *m);
void mutex_unlock(struct mutex *m);
static inline bool mutex_held(const struct mutex *m)
{
    return m->owner != NULL;
}

#endif
