/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of the `cella` command. Each gets its arguments with its own name first and answers
 * with the exit code. */
#ifndef CELLA_CLI_CLI_H
#define CELLA_CLI_CLI_H

#include <stdio.h>

#include "error.h"

struct verb {
    const char *name;
    const char *summary; /* one line for the list */
    const char *usage;   /* the whole help text */
    int (*run)(int argc, char **argv);
};

extern const struct verb verb_run, verb_ps, verb_logs, verb_exec, verb_stop, verb_wait, verb_rm,
    verb_prune, verb_info, verb_help;

/* All verbs, ended by NULL. */
extern const struct verb *const verbs[];

const struct verb *verb_find(const char *name);
/* The list of verbs. */
void print_usage(FILE *out);
/* Prints `cella VERB: message` on standard error. Result: 125. */
int report_error(const char *verb, const struct cella_error *err);

#endif
