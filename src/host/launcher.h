/* SPDX-License-Identifier: Apache-2.0 */
/* The launcher: builds a process keep, serves it while it runs, and answers with its exit code. */
#ifndef CELLA_HOST_LAUNCHER_H
#define CELLA_HOST_LAUNCHER_H

#include "clock.h"
#include "error.h"
#include "grants.h"
#include "net_policy.h"
#include "window.h"

struct launch {
    struct boot_options boot;
    struct grant_table *grants;
    struct net_policy *net;     /* as the options say, not yet opened */
    struct clock_source *clock; /* clock_begin was called */
    const char *notice; /* a line for standard error, without newline, printed before the workload
                           starts; or NULL */
};

/* Runs a keep to its end; the process has one thread and its standard streams are open. It shuts
 * the process in for good: nothing but exit is of use afterwards. Result: the exit code, or -1 with
 * *err for an error of Cella's own. */
int launcher_run(const struct launch *launch, struct cella_error *err);

#endif
