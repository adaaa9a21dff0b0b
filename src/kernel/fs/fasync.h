/* SPDX-License-Identifier: Apache-2.0 */
/*
 * O_ASYNC: a signal when a file becomes ready (F_SETOWN, F_SETSIG of fcntl(2)).
 *
 * A file with O_ASYNC has a waiter in each wait queue that its poll names; the waiter's wake
 * function sends the signal. So a file takes part by polling rightly, if fasync_supported says so.
 * Its wake-ups must come with the poll bits that are new as key (0: a change of state), and not
 * under proc_tree_lock or a sighand's lock.
 */
#ifndef CELLA_KERNEL_FS_FASYNC_H
#define CELLA_KERNEL_FS_FASYNC_H

#include "fs/vfs.h"

enum { F_OWNER_TID_K = 0, F_OWNER_PID_K = 1, F_OWNER_PGRP_K = 2 };

/* Switches O_ASYNC; fd is what the signal will tell. 0 or -ENOMEM. */
int fasync_set(struct file *f, int fd, bool on);
/* The last reference to the file is gone. */
void fasync_release(struct file *f);
/* type: F_OWNER_*; who 0: nobody. 0, -ESRCH. */
int fasync_set_owner(struct file *f, int type, kpid_t who);

#endif
