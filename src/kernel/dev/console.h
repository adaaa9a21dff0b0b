/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CELLA_KERNEL_DEV_CONSOLE_H
#define CELLA_KERNEL_DEV_CONSOLE_H

#include "base/types.h"

struct console;
struct file;

/*
 * The standard streams of a session at the host; 0 is the launcher's own. mode: st_mode of the
 * streams; is_tty: bit i: stream i is a terminal there. Both are host-given: a type that is no
 * file's is taken as a pipe. terminal: the streams are one terminal of this kernel, with its own
 * line discipline, and the host's is to be raw. Counted, or NULL without memory.
 */
struct console *console_create(uint32_t session, const uint32_t mode[3], uint32_t is_tty,
                               bool terminal);
/* Drops the creator's reference; open files keep what they need. */
void console_put(struct console *c);
/* A new open file on stream 0, 1 or 2, for the caller; err_ptr(-ENOMEM). With `terminal` all three
 * are the terminal. */
struct file *console_file(struct console *c, int stream);
/* Waits, within limits, until the host has all output of a terminal; files write at once. NULL: the
 * console of session 0, if there is one yet. */
void console_drain(struct console *c);
/* Opens /dev/console: makes f a file on the console of session 0. 0 or negative errno. */
int console_open_boot(struct file *f);

#endif
