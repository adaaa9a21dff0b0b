/* SPDX-License-Identifier: Apache-2.0 */
/* What stands behind device numbers. */
#ifndef CELLA_KERNEL_FS_DEVICES_H
#define CELLA_KERNEL_FS_DEVICES_H

#include "base/types.h"

struct file_ops;

/* The operations of the character device with that number (MKDEV_K); NULL: there is none. */
const struct file_ops *device_file_ops(uint64_t rdev);

#endif
