/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's terminal while it belongs to a keep (-t). */
#ifndef CELLA_HOST_TERMINAL_H
#define CELLA_HOST_TERMINAL_H

#include "error.h"

/* Makes the terminal on standard input raw, and sees to it that it is put back when this process
 * ends by itself or by a fault. Waits, as job control has it, until the process is in the
 * foreground. Before the walls are closed. 0 or -1 with *err. */
int terminal_make_raw(struct cella_error *err);
/* Puts it back; nothing when it was not made raw, or was put back already. Async-signal-safe. */
void terminal_restore(void);

#endif
