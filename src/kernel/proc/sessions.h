/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that the host starts beside the keep's own (`cella exec`), each in a process without
 * parent, with a session of its own and standard streams of its own at the host.
 */
#ifndef CELLA_KERNEL_PROC_SESSIONS_H
#define CELLA_KERNEL_PROC_SESSIONS_H

#include "base/types.h"

struct process;
struct session;

/* Starts to wait for the host's wishes; once, when the keep's own program has started. False
 * without memory. */
bool sessions_start(void);
/* The last thread of a session's first process exits; tells the host. Sleeps. */
void session_process_exits(struct process *p);

/* What the host said: `len` bytes at `message` for session `nr`. Takes over neither. 0, or -EINVAL
 * when it makes no sense. For sessions_start's thread, and tests. */
int session_take_message(int64_t nr, const void *message, uint32_t len);

#endif
