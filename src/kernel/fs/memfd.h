/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CELLA_KERNEL_FS_MEMFD_H
#define CELLA_KERNEL_FS_MEMFD_H

#include "fs/vfs.h"

enum { F_ADD_SEALS_K = 1033, F_GET_SEALS_K = 1034 };

/* F_ADD_SEALS: 0, -EPERM (not open for writing, or sealed against it), -EBUSY, -EINVAL.
 * F_GET_SEALS: the set, or -EINVAL. */
int64_t memfd_fcntl(struct file *f, int cmd, uint64_t arg);

#endif
