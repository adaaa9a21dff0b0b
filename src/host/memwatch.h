/* SPDX-License-Identifier: Apache-2.0 */
/* How much of the host's memory, and how many of its tasks, a process keep holds. */
#ifndef CELLA_HOST_MEMWATCH_H
#define CELLA_HOST_MEMWATCH_H

#include <stdint.h>
#include <sys/types.h>

struct memwatch {
    int kernel_memory_fd;
    pid_t pid; /* the keep's first process */
    uint64_t limit_bytes;
    uint64_t used_bytes;  /* of the last sample */
    uint32_t nr_tasks;    /* host threads of the keep, of the last sample */
    uint32_t max_tasks;   /* more than that, and the keep is to be ended */
    uint32_t interval_ms; /* until the next sample is due */
};

/* Host tasks that a keep may have: half of what the machine can have, so that its administrator can
 * still log in beside a fork bomb, and no more than the caller's limit. */
uint32_t memwatch_tasks_allowed(void);
void memwatch_init(struct memwatch *watch, int kernel_memory_fd, pid_t pid, uint64_t limit_bytes);
/* Measures, and chooses the interval: the shorter, the less is left below the limit. */
void memwatch_sample(struct memwatch *watch);

#endif
