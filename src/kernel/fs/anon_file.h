/* SPDX-License-Identifier: Apache-2.0 */
/* What the files without a place in any directory (pipes, eventfds, timerfds...) have in common. */
#ifndef CELLA_KERNEL_FS_ANON_FILE_H
#define CELLA_KERNEL_FS_ANON_FILE_H

#include "base/errno.h"
#include "fs/vfs.h"

/* fsync(2) of an object that has nothing to sync. */
static inline int fsync_not_supported(struct file *f, bool data_only)
{
    return -EINVAL;
}

/* A descriptor of a new file for reading and writing; of flags O_NONBLOCK and O_CLOEXEC count. priv
 * is freed with kfree on error. */
int64_t fd_install_anon(const char *name, const struct file_ops *ops, void *priv, int flags);

static inline bool file_nonblocking(const struct file *f)
{
    return READ_ONCE(f->flags) & O_NONBLOCK_K;
}

#endif
