/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spinlocks. Kernel code is never preempted by its own scheduler, but the host may take a virtual
 * CPU away at any moment, so a waiter that spins long gives its host time slice up (hal_cpu_yield).
 * A spinlock is never held over anything that may sleep: no copy to or from user memory, no
 * allocation with KM_SLEEP, no schedule().
 */
#ifndef CELLA_KERNEL_BASE_SPINLOCK_H
#define CELLA_KERNEL_BASE_SPINLOCK_H

#include "base/types.h"

typedef struct spinlock {
    uint32_t locked;
} spinlock_t;

#define SPINLOCK_INIT                                                                              \
    {                                                                                              \
        0                                                                                          \
    }

void spin_lock_contended(spinlock_t *l);

static inline void spin_init(spinlock_t *l)
{
    l->locked = 0;
}
static inline bool spin_trylock(spinlock_t *l)
{
    return __atomic_exchange_n(&l->locked, 1, __ATOMIC_ACQUIRE) == 0;
}
static inline void spin_lock(spinlock_t *l)
{
    if (unlikely(!spin_trylock(l)))
        spin_lock_contended(l);
}
static inline void spin_unlock(spinlock_t *l)
{
    __atomic_store_n(&l->locked, 0, __ATOMIC_RELEASE);
}
static inline bool spin_is_locked(const spinlock_t *l)
{
    return __atomic_load_n(&l->locked, __ATOMIC_RELAXED) != 0;
}

#endif
