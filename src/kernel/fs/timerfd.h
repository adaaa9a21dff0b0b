/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CELLA_KERNEL_FS_TIMERFD_H
#define CELLA_KERNEL_FS_TIMERFD_H

/* The wall clock jumped (clock_settime, new parameters of the host): timers on it are set anew, and
 * those armed with TFD_TIMER_CANCEL_ON_SET report ECANCELED. Does not sleep. */
void timerfd_clock_was_set(void);

#endif
