/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CELLA_TESTS_HOSTILE_FLIP_H
#define CELLA_TESTS_HOSTILE_FLIP_H

#include <stdint.h>

/* A thread that changes bytes of answers, replies and rings while the keep looks at them. */
void flip_start(void *window, uint64_t seed);
void flip_stop(void);

#endif
