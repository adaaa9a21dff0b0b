/* SPDX-License-Identifier: Apache-2.0 */
#include "base/spinlock.h"

#include "arch/x86_64/cpu.h"
#include "hal.h"

/* Rounds of PAUSE before the host is asked to run somebody else: about the length of the longest
 * section under a lock. */
#define SPIN_ROUNDS 400

void spin_lock_contended(spinlock_t *l)
{
    for (;;) {
        for (int i = 0; i < SPIN_ROUNDS; i++) {
            if (!spin_is_locked(l) && spin_trylock(l))
                return;
            cpu_relax();
        }
        hal_cpu_yield();
    }
}
