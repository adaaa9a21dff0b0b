/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host with a small tree of files, in this program, for hostfs and the overlay.
 *
 *     /          directory
 *     /hello     "hello from the host\n"
 *     /big       300000 bytes: byte i is (i * 7 >> 4)
 *     /dir       directory with 100 empty files n0...n99, and "sub"
 *     /link      -> dir/n5
 *     /closed    mode 0000 file
 */
#ifndef CELLA_TESTS_KERNEL_FAKE_HOST_H
#define CELLA_TESTS_KERNEL_FAKE_HOST_H

#include "base/types.h"

/* Serves requests honestly (mock_host). */
int fake_host(uint32_t slot);
/* Handles that are open now, and requests with a handle that is not. */
extern uint32_t fake_open_handles, fake_bad_handles;
/* Requests served by operation. */
extern uint32_t fake_served[32];

#endif
