/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of POSIX message queues, as /proc/sys/fs/mqueue shows them: Linux's defaults. */
#ifndef CELLA_KERNEL_IPC_MQUEUE_H
#define CELLA_KERNEL_IPC_MQUEUE_H

#define MQ_QUEUES_MAX 256u
#define MQ_MSG_DEFAULT 10u
#define MQ_MSG_MAX 10u
#define MQ_MSGSIZE_DEFAULT 8192u
#define MQ_MSGSIZE_MAX 8192u

#endif
