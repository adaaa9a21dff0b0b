/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two memory files that a process keep starts with: the kernel's memory, and the window that it
 * shares with the launcher (include/cella/host_abi.h).
 */
#ifndef CELLA_HOST_WINDOW_H
#define CELLA_HOST_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "cella/host_abi.h"
#include "error.h"
#include "grants.h"

/* What the kernel is told at boot. */
struct boot_options {
    const char *hostname, *workdir, *program;
    char *const *args; /* argv[0] first */
    unsigned nr_args;
    char *const *env; /* "NAME=value" */
    unsigned nr_env;
    uint32_t flags; /* CELLA_BOOT_* */
    unsigned nr_cpus;
    uint32_t uid, gid;
    const gid_t *groups;
    unsigned nr_groups;
    uint64_t memory_limit_bytes;
    bool detached; /* standard error goes where standard output goes */
};

/* A sparse memory file for the kernel's memory; the descriptor, or -1. */
int kernel_memory_create(struct cella_error *err);
/* The window: its descriptor with *window mapped, magic and boot information filled in; or -1. */
int window_create(const struct boot_options *options, const struct grant_table *grants,
                  struct cella_host_window **window, struct cella_error *err);

#endif
