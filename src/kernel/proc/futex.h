/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CELLA_KERNEL_PROC_FUTEX_H
#define CELLA_KERNEL_PROC_FUTEX_H

#include "base/types.h"

struct thread;

void futex_init(void); /* once, at boot */
/* Wakes up to n waiters on addr of the current address space (clear_child_tid). */
void futex_wake_addr(uaddr_t addr, int n);
/* Walks the dying thread's robust list: marks the locks it holds and wakes a waiter of each. */
void futex_exit_robust(struct thread *t);

#endif
