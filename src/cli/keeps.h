/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs about keeps with a name share. */
#ifndef CELLA_CLI_KEEPS_H
#define CELLA_CLI_KEEPS_H

#include <getopt.h>
#include <stdbool.h>

#include "error.h"
#include "state.h"

/* A keep that was found by its name. */
struct keep_ref {
    struct keep_info info;
    int fd; /* its directory; -1: not found */
};

/* Does `act` for each name; errors are printed as they come, and the others go on. The exit code.
 */
int for_each_name(const char *verb, char *const *names, int count,
                  int (*act)(int state_fd, const char *name, struct cella_error *err));

/* Opens the state directory and the keep in it. The directory's descriptor is ref->fd; -1 with
 * *err. */
int find_keep(const char *name, struct keep_ref *ref, struct cella_error *err);

/* The one name that a verb takes; NULL with *err. */
const char *one_name(const char *verb, int argc, char *const *argv, struct cella_error *err);

/* Ends a keep that runs: by force at once, or its program gets TERM and grace_ms. 0, or -1. */
int end_keep(const struct keep_ref *ref, bool force, int64_t grace_ms, struct cella_error *err);

#endif
