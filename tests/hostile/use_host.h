/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel on the mock HAL in the hands of a lying host. */
#ifndef CELLA_TESTS_HOSTILE_USE_HOST_H
#define CELLA_TESTS_HOSTILE_USE_HOST_H

#include "liar.h"

extern struct liar mock_liar;

/* Serves requests as tests/kernel/fs/fake_host.c does, and lies (mock_host, mock_host_idle). Set
 * mock_liar up after mock_liar_attach. */
void mock_liar_attach(void);

enum host_use { USE_READ_ONLY, USE_OVERLAY, USE_WRITABLE, USE_CONSOLE, NR_HOST_USES };

/* Does all that makes the kernel ask the host, as a program would; results do not matter. Runs
 * under mock_run. True: the host let it come that far (the mount was done). */
bool use_host(enum host_use use);
/* Gives process 1 a handler for each signal that may have one. */
void use_host_handle_signals(void);

#endif
