/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to the host. A thread fills a struct host_call, and sleeps until the reply is there; the
 * CPU goes on with other threads. Replies are copied once and checked; whoever runs the scheduler
 * takes completions from the ring (host_ring_poll).
 */
#ifndef CELLA_KERNEL_DEV_HOST_RING_H
#define CELLA_KERNEL_DEV_HOST_RING_H

#include "base/types.h"
#include "cella/host_abi.h"
#include "proc/wait_queue.h"

#define HOST_ERRNO_MAX 133 /* EHWPOISON, Linux's last: no greater one is taken from the host */

struct host_call {
    uint32_t op;
    uint64_t a[4];
    /* Sent: copied into the shared data area before submission. NULL, 0: none. Two pieces are put
     * one behind the other. */
    const void *send;
    uint32_t send_len;
    const void *send2;
    uint32_t send2_len;
    /* Received: at most recv_max bytes copied out once, `recv_len` set to the count. recv_off:
     * where in recv. */
    void *recv;
    uint32_t recv_max, recv_len;
    int64_t result; /* asynchronous calls: judged as host_call does, when `complete` is called */
    /* Asynchronous calls (host_call_open). Both are called without locks and may not sleep:
     * complete in the poller's context, room wherever a slot comes free. */
    void (*complete)(struct host_call *c);
    void (*room)(struct host_call *c);
    char *shared; /* the call's piece of the shared data area: the host reads and writes it */
    /* Internal. */
    int slot;
    int8_t order; /* of the piece; -1: the slot's small one */
    bool done;
    uint32_t data_len;
    struct list room_link;
    struct wait_queue q;
};

/* Attaches to the window; checks magic and version. Called once at boot. */
int host_ring_init(void);
/* Submits and waits. Result (>= 0) or negative errno from the host (those that Linux has); -EIO
 * when the reply breaks the rules. flags: WAIT_UNINTERRUPTIBLE, or WAIT_INTERRUPTIBLE /
 * WAIT_KILLABLE: then the request is cancelled (CANCEL) and -ERESTARTSYS returned when a signal
 * comes first. */
int64_t host_call(struct host_call *c, int flags);
/* Asynchronous calls: open takes a slot with `size` bytes of the shared area and never sleeps;
 * false: nothing is free, and c->room(c) is called once when it is worth trying again. submit hands
 * the first data_len bytes of c->shared to the host (send_len of them count as sent); c->complete
 * then submits again, with all as it was or changed, or gives the slot back with close. recv_len
 * bytes of answer stand in c->shared: to be read once, and not believed. */
bool host_call_open(struct host_call *c, uint32_t size);
void host_call_submit(struct host_call *c, uint32_t data_len);
/* The same for what is not urgent: the host is told with the next request, or when the CPU idles.
 */
void host_call_submit_lazy(struct host_call *c, uint32_t data_len);
void host_ring_flush(void);
/* The host wakes nobody for completions of SEND and RECV as long as nobody wants them: by +1, -1.
 */
void host_ring_want(int by);
/* A request is out that the host will answer soon: worth polling for. */
bool host_ring_is_expecting(void);
void host_call_close(struct host_call *c);
/* Takes completions and events; wakes their threads. Cheap when there is none. True when something
 * was taken. */
bool host_ring_poll(void);
/* For hal_emergency_write and hal_exit: need no thread and no allocation. */
void host_ring_emergency(const char *text, size_t len);
void host_ring_exit(int wait_status);
/* Counts for --stats: operations and bytes by kind. */
struct host_op_count {
    uint64_t calls, bytes;
};
extern struct host_op_count host_op_counts[CELLA_HOST_NR_OPS];

#endif
