/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls with random arguments, by the dispatcher's table, in sequences: descriptors,
 * mappings and names that earlier calls made are used by later ones, and pointers lead to memory
 * that is there, that ends early, or that is not. Results do not matter: nothing may be touched
 * that is not owned, no invariant may break, and no call may be stuck once it is signalled.
 *
 * The caller looks on: when its threads make no progress, they are sent a signal.
 */
#ifndef CELLA_TESTS_KERNEL_FUZZ_RANDOM_CALLS_H
#define CELLA_TESTS_KERNEL_FUZZ_RANDOM_CALLS_H

#include "base/types.h"

struct random_calls {
    uint64_t seed;
    uint32_t nr_calls;   /* of each thread */
    uint32_t nr_callers; /* threads of the process: 1 or 2 */
    /* Not NULL: choices come from these bytes until they are used up, instead of from the seed. */
    const uint8_t *bytes;
    uint64_t nr_bytes;
};

/* Runs under mock_run. */
void random_calls(struct random_calls *calls);

#endif
