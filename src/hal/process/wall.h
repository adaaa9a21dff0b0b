/* SPDX-License-Identifier: Apache-2.0 */
/* The list of host calls of the process keep, as data: the filter and docs/host-calls.md are made
 * from it. */
#ifndef CELLA_HAL_PROCESS_WALL_H
#define CELLA_HAL_PROCESS_WALL_H

#include "base/types.h"

enum wall_kind {
    WALL_ANY,    /* any arguments */
    WALL_ARG_IN, /* argument `arg` (64 bits) is one of `values` */
    WALL_MMAP,   /* anonymous, or of the kernel's memfd */
    WALL_TGKILL, /* as WALL_ARG_IN, and only with an own pid namespace */
};

struct wall_rule {
    int nr;
    const char *name;
    enum wall_kind kind;
    uint8_t arg;
    uint64_t values[3];
    uint8_t nr_values;
    const char *why;
};

extern const struct wall_rule wall_rules[];
extern const unsigned nr_wall_rules;

#endif
