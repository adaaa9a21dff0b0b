/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CELLA_KERNEL_DEV_CONSOLE_TERMINAL_H
#define CELLA_KERNEL_DEV_CONSOLE_TERMINAL_H

#include "base/types.h"

struct file;
struct terminal;

/* A pseudoterminal whose master is the session's terminal at the host; NULL without memory. */
struct terminal *terminal_open(uint32_t session);
/* Lets it end when no file of it is open and all output is written. */
void terminal_release(struct terminal *m);
/* A new open file of it, or err_ptr. It becomes the controlling terminal of a caller who leads a
 * session and has none. */
struct file *terminal_file(struct terminal *m);
/* Makes f, which is being opened, a file of it. 0 or negative errno. */
int terminal_attach(struct terminal *m, struct file *f);
/* Waits, within limits, until the host has taken all output. */
void terminal_drain(struct terminal *m);
/* The host says that windows changed. True: session 0 has a terminal that will tell its programs.
 */
bool terminals_resized(void);

#endif
