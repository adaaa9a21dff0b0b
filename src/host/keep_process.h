/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first host process of a process keep: cloned into namespaces of its own, stripped of
 * everything but two memory files, and replaced by the runtime.
 */
#ifndef CELLA_HOST_KEEP_PROCESS_H
#define CELLA_HOST_KEEP_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"

struct keep_process {
    pid_t pid;
    int pid_fd;
    int report_fd; /* readable when the runtime was exec'ed (end of file) or could not be (see
                      keep_process_check) */
    unsigned long namespaces; /* CLONE_NEW* flags that the host permitted */
};

/* All namespaces that a keep wants. */
unsigned long keep_process_wanted_namespaces(void);

/* Starts the runtime. runtime_fd: its program file; null_fd: /dev/null;
 * max_tasks: host tasks that it may have. The caller's thread must
 * live as long as the keep, which dies with it. On success the caller owns the descriptors in
 * *keep. */
int keep_process_start(struct keep_process *keep, int runtime_fd, int kernel_memory_fd,
                       int window_fd, int null_fd, uint32_t max_tasks, struct cella_error *err);
/* After report_fd became readable: 0 when the runtime runs, -1 with the reason. */
int keep_process_check(struct keep_process *keep, struct cella_error *err);
/* Kills every process of the keep and waits for the end. */
void keep_process_kill(struct keep_process *keep);

/* Opens the runtime's program file: beside this command, in ../libexec/cella from it, or in the
 * build folder. The descriptor, or -1. */
int keep_runtime_open(struct cella_error *err);

#endif
