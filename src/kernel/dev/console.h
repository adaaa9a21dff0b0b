/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CELLA_KERNEL_DEV_CONSOLE_H
#define CELLA_KERNEL_DEV_CONSOLE_H

#include "base/types.h"

struct file;

/* Boot: st_mode of the launcher's standard streams, and which of them are terminals (bit i: stream
 * i). Host-given: a type that is no file's is taken as a pipe. */
void console_init(const uint32_t mode[3], uint32_t is_tty);
/* A new open file on stream 0, 1 or 2, for the caller; err_ptr(-ENOMEM). */
struct file *console_file(int stream);

#endif
