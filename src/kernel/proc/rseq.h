/* SPDX-License-Identifier: Apache-2.0 */
/* Restartable sequences: what the rest of the kernel tells proc/rseq.c. */
#ifndef CELLA_KERNEL_PROC_RSEQ_H
#define CELLA_KERNEL_PROC_RSEQ_H

#include "base/types.h"

struct regs;
struct thread;

/* What programs learn by AT_RSEQ_FEATURE_SIZE and AT_RSEQ_ALIGN. */
#define RSEQ_FEATURE_SIZE_K 28u
#define RSEQ_ALIGN_K 32u

/* On the way out, when the thread has a registered area and rseq_dirty: makes the area current and
 * leaves an interrupted critical section by its abort address. Sends SIGSEGV when it cannot. May
 * sleep; rseq_dirty is then set again. */
void rseq_resume(struct regs *regs);
/* A handler is about to run: the frame must not lead back into a critical section. 0, -EFAULT, or
 * -EINVAL (a malformed section). */
int __must_check rseq_signal(struct regs *regs);
/* The registration of a new thread: a copy of the memory has the area in it too, a sharer of the
 * memory starts without. */
void rseq_fork(struct thread *child, bool shares_memory);
void rseq_exec(struct thread *t);

#endif
