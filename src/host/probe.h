/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this machine has of what the TEEs need. Each probe tries the thing itself where that is
 * harmless, and knows the command that mends a miss, or why none can.
 */
#ifndef CELLA_HOST_PROBE_H
#define CELLA_HOST_PROBE_H

#include <stdbool.h>
#include <stddef.h>

struct probe {
    const char *name;
    /* True when it is there; either way `detail` may be filled with what was found. */
    bool (*test)(char *detail, size_t size);
    bool required; /* the TEE does not work without it */
    const char *fix;
};

struct tee {
    const char *name, *assurance, *about;
    bool in_build;
    const struct probe *probes; /* ended by a NULL name */
};

/* All TEEs of the design, weakest first, ended by a NULL name. */
extern const struct tee tees[];

#endif
