/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `cella run -d`: the launcher goes on in a process of its own. The command waits until the keep's
 * program has started, so that whatever fails before is told to its caller.
 */
#ifndef CELLA_HOST_DETACH_H
#define CELLA_HOST_DETACH_H

#include <stdbool.h>

#include "error.h"

struct detach {
    int report_fd; /* -1: not detached, or reported already */
};

/* Forks. In the command: 1, after the end of the wait, with *code: 0 the keep runs; else it failed,
 * and *err has a line unless it was printed already. In the launcher: 0; standard input is
 * /dev/null, standard output a pipe that nobody reads, standard error still the caller's. -1:
 * neither. */
int detach_begin(struct detach *detach, int *code, struct cella_error *err);
/* In the launcher: the program runs; standard error is let go of. False: nobody waits any more, and
 * the keep is not wanted. */
bool detach_started(struct detach *detach);
/* In the launcher, before the program ran: tells the command what to say; `line` may be empty. */
void detach_failed(struct detach *detach, int code, const char *line);

#endif
