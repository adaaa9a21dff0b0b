/* SPDX-License-Identifier: Apache-2.0 */
/* What ppoll, pselect6 and epoll_pwait share: time and signal mask. */
#ifndef CELLA_KERNEL_FS_POLL_H
#define CELLA_KERNEL_FS_POLL_H

#include "base/types.h"

/* The deadline of a relative timeout (address 0: KTIME_NEVER); 0 for one of no length. 0, -EINVAL,
 * -EFAULT. */
int poll_deadline_from_user(uaddr_t timeout, ktime_t *deadline);
/* Puts the mask at `mask` (size bytes; 0: leaves current's as it is) into effect until the call
 * ends. 0, -EINVAL, -EFAULT. */
int poll_set_sigmask(uaddr_t mask, uint64_t size);
/* At the end: an interrupted call keeps the mask until its handler has run. */
void poll_restore_sigmask(uaddr_t mask, bool interrupted);

#endif
