/* SPDX-License-Identifier: Apache-2.0 */
/* How much of the host's memory a process keep holds. */
#ifndef CELLA_HOST_MEMWATCH_H
#define CELLA_HOST_MEMWATCH_H

#include <stdint.h>
#include <sys/types.h>

struct memwatch {
    int kernel_memory_fd;
    pid_t pid; /* the keep's first process */
    uint64_t limit_bytes;
    uint64_t used_bytes;  /* of the last sample */
    uint32_t interval_ms; /* until the next sample is due */
};

void memwatch_init(struct memwatch *watch, int kernel_memory_fd, pid_t pid, uint64_t limit_bytes);
/* Measures, and chooses the interval: the shorter, the less is left below the limit. */
void memwatch_sample(struct memwatch *watch);

#endif
