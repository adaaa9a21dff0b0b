/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel, under sanitizers, on a host that lies by a seed. Results do not matter: nothing may
 * be touched that is not owned, no assertion may fail, every call must return, and file systems
 * must come apart again.
 */
#include <stdbool.h>

#include "ktest.h"
#include "use_host.h"

#ifndef ROUNDS
#define ROUNDS 400
#endif

static void lie(enum host_use use, uint64_t first_seed)
{
    int done = 0;
    mock_liar_attach();
    use_host_handle_signals();
    for (uint32_t round = 0; round < ROUNDS && !ktest_failed(); round++) {
        mock_liar.every = round % 7 + 1;
        mock_liar.state = first_seed + round;
        mock_liar.endless = 0;
        done += use_host(use);
    }
    mock_liar.every = 0;
    KCHECK(done > ROUNDS / 3);
    KCHECK(mock_liar.told > ROUNDS);
    /* And an honest host is served as ever. */
    KCHECK(use_host(use));
}

KTEST(lying_host_of_a_read_only_grant)
{
    lie(USE_READ_ONLY, 1000);
}
KTEST(lying_host_of_a_writable_grant)
{
    lie(USE_WRITABLE, 2000);
}
KTEST(lying_host_of_the_root)
{
    lie(USE_OVERLAY, 3000);
}
KTEST(lying_host_of_the_console)
{
    lie(USE_CONSOLE, 4000);
}
