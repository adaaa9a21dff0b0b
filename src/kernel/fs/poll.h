/* SPDX-License-Identifier: Apache-2.0 */
/* What the calls that wait for files share: the signal mask of ppoll, pselect6 and epoll_pwait. */
#ifndef CELLA_KERNEL_FS_POLL_H
#define CELLA_KERNEL_FS_POLL_H

#include "base/types.h"

/* Puts the mask at `mask` (size bytes; 0: leaves current's as it is) into effect until the call
 * ends. 0, -EINVAL, -EFAULT. */
int poll_set_sigmask(uaddr_t mask, uint64_t size);
/* At the end: an interrupted call keeps the mask until its handler has run. */
void poll_restore_sigmask(uaddr_t mask, bool interrupted);

#endif
