/* SPDX-License-Identifier: Apache-2.0 */
/* Advisory file locks, as fcntl and the life of files use them. */
#ifndef CELLA_KERNEL_FS_LOCKS_H
#define CELLA_KERNEL_FS_LOCKS_H

#include "fs/vfs.h"

enum {
    F_GETLK_K = 5,
    F_SETLK_K = 6,
    F_SETLKW_K = 7,
    F_OFD_GETLK_K = 36,
    F_OFD_SETLK_K = 37,
    F_OFD_SETLKW_K = 38
};

/* The lock commands of fcntl(2); flock: address of a struct flock of the workload. */
int64_t file_lock_fcntl(struct file *f, int cmd, uaddr_t flock);
/* The inode goes: frees its list, which is empty by then. */
void file_locks_free(struct inode *inode);

#endif
