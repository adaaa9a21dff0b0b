/* SPDX-License-Identifier: Apache-2.0 */
#include "base/spinlock.h"

#include "arch/x86_64/cpu.h"
#include "hal.h"

/* Rounds of PAUSE before the host is asked to run somebody else: about the length of the longest
 * section under a lock. */
#define SPIN_ROUNDS 400

/* ... and how far that grows when giving up the CPU does not help: then the holder has lost its own to
 * somebody else, and asking again and again only costs host calls. */
#define SPIN_ROUNDS_MAX (64 * SPIN_ROUNDS)

void spin_lock_contended(spinlock_t *l)
{
    for (int rounds = SPIN_ROUNDS;; rounds = k_min(rounds * 2, SPIN_ROUNDS_MAX)) {
        for (int i = 0; i < rounds; i++) {
            if (!spin_is_locked(l) && spin_trylock(l))
                return;
            cpu_relax();
        }
        hal_cpu_yield();
    }
}
