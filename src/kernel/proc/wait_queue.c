/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/wait_queue.h"

#include "base/errno.h"
#include "base/printk.h"
#include "proc/task.h"

bool waiter_wake_thread(struct waiter *w, uint32_t key)
{
    return thread_wake(w->thread);
}

void wait_queue_add(struct wait_queue *q, struct waiter *w)
{
    spin_lock(&q->lock);
    if (w->exclusive)
        list_add_tail(&w->link, &q->waiters);
    else
        list_add(&w->link, &q->waiters);
    spin_unlock(&q->lock);
}

void wait_queue_remove(struct wait_queue *q, struct waiter *w)
{
    spin_lock(&q->lock);
    list_del(&w->link);
    spin_unlock(&q->lock);
}

void wait_queue_wake(struct wait_queue *q, uint32_t key, int nr_exclusive)
{
    /* A waiter queues itself before it tests its condition, and the condition was changed before
     * this call: when the list reads empty here, the waiter will see the change. The fence orders
     * that change and the read. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (READ_ONCE(q->waiters.next) == &q->waiters)
        return;
    spin_lock(&q->lock);
    struct waiter *w, *tmp;
    list_for_each_safe (w, tmp, &q->waiters, link) {
        bool exclusive = w->exclusive;
        if (w->wake(w, key) && exclusive && --nr_exclusive == 0)
            break;
    }
    spin_unlock(&q->lock);
}

void wait_prepare(struct wait_queue *q, struct waiter *w, int flags)
{
    struct thread *t = current;
    w->thread = t;
    w->wake = waiter_wake_thread;
    w->exclusive = flags & WAIT_EXCLUSIVE;
    wait_queue_add(q, w);
    __atomic_store_n(&t->state,
                     flags & WAIT_INTERRUPTIBLE ? THREAD_INTERRUPTIBLE
                     : flags & WAIT_KILLABLE    ? THREAD_KILLABLE
                                                : THREAD_UNINTERRUPTIBLE,
                     __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

int wait_sleep(int flags, ktime_t deadline)
{
    if ((flags & WAIT_INTERRUPTIBLE) ? signal_pending()
        : (flags & WAIT_KILLABLE)    ? signal_pending_fatal()
                                     : false) {
        __atomic_store_n(&current->state, THREAD_RUNNABLE, __ATOMIC_RELEASE);
        return -ERESTARTSYS;
    }
    return schedule_timeout(deadline) ? -ETIMEDOUT : 0;
}

void wait_finish(struct wait_queue *q, struct waiter *w)
{
    __atomic_store_n(&current->state, THREAD_RUNNABLE, __ATOMIC_RELEASE);
    if (!list_empty(&w->link))
        wait_queue_remove(q, w);
    else {
        /* Whoever woke us may still hold the queue's lock with w in hand; w lives on our stack. */
        spin_lock(&q->lock);
        spin_unlock(&q->lock);
    }
}

void mutex_init(struct mutex *m)
{
    spin_init(&m->lock);
    m->owner = NULL;
    wait_queue_init(&m->q);
}

bool mutex_trylock(struct mutex *m)
{
    struct thread *none = NULL;
    return __atomic_compare_exchange_n(&m->owner, &none, current, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

void mutex_lock(struct mutex *m)
{
    if (likely(mutex_trylock(m)))
        return;
    KASSERT(m->owner != current);
    int r;
    WAIT_EVENT(&m->q, mutex_trylock(m), WAIT_UNINTERRUPTIBLE | WAIT_EXCLUSIVE, KTIME_NEVER, r);
    (void)r;
}

void mutex_unlock(struct mutex *m)
{
    KASSERT(m->owner == current);
    __atomic_store_n(&m->owner, NULL, __ATOMIC_RELEASE);
    wake_one(&m->q, 0);
}
