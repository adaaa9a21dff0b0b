/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock parameters in the window: the keep reads the TSC and needs to know how it runs against
 * CLOCK_MONOTONIC.
 */
#ifndef CELLA_HOST_CLOCK_H
#define CELLA_HOST_CLOCK_H

#include <stdint.h>

#include "cella/host_abi.h"

struct clock_sample {
    uint64_t tsc, mono_ns;
};

struct clock_source {
    struct clock_sample first; /* the baseline grows from here */
    /* What the window says now. */
    struct clock_sample base;
    uint32_t mult;
};

/* Takes the first sample; as early in the program as can be. */
void clock_begin(struct clock_source *clock);
/* Writes the first parameters; waits until the baseline is long enough to be worth something. */
void clock_publish_first(struct clock_source *clock, struct cella_host_window *window);
/* Writes better parameters; about once a second, and from one thread only. */
void clock_refresh(struct clock_source *clock, struct cella_host_window *window);

#endif
