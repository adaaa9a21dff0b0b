/* SPDX-License-Identifier: Apache-2.0 */
/* What net/host_net.c (what arrives, calls that wait) and net/host_net_send.c (bytes, credit, the
 * end) share. */
#ifndef CELLA_KERNEL_NET_HOST_NET_IMPL_H
#define CELLA_KERNEL_NET_HOST_NET_IMPL_H

#include "base/list.h"
#include "base/spinlock.h"
#include "dev/host_ring.h"
#include "net/host_net.h"
#include "time/time.h"

struct chunk;

struct host_sock {
    struct list hash_link;
    uint32_t handle;
    uint8_t family;
    bool is_stream;

    spinlock_t lock;
    const struct host_sock_ops *ops; /* NULL: nobody wants to know */
    void *owner;
    struct list queue;
    uint32_t unsent;     /* bytes in queue, or promised to it, or in `out` */
    uint32_t out_bytes;  /* of those in `out` */
    uint32_t orphan;     /* counted in orphan_bytes */
    struct chunk *taken; /* what `out` brings, while it waits for a slot */
    struct host_call out, grant;
    bool out_busy, grant_busy;
    bool blocked;       /* the host took less than all: until NET_WRITABLE */
    bool writable_seen; /* since `out` was submitted */
    bool want_writable;
    bool out_wanted, grant_wanted;      /* the end of the request is waited for: host_ring_want */
    bool corked, cork_over, cork_armed; /* small pieces wait; have waited enough; the timer runs */
    struct ktimer cork_timer;
    bool shut_wanted, shut_done, discard, released, closed;
    bool releasing; /* host_sock_release is at it: not to be freed yet */
    bool listening, connecting, eof;
    int send_error;               /* a stream's: no more can be sent or received */
    int64_t outstanding, pending; /* credit that the host has; that is gathered */
    int64_t window;               /* the most of both together */
};

/* ---- net/host_net.c ---- */

void host_table_remove(struct host_sock *hs);
/* Names the endpoint that upcalls are about; in the poller. */
void host_upcall_begin(struct host_sock *hs);
void host_upcall_end(void);
/* The owner's functions, or NULL, with the endpoint named. */
const struct host_sock_ops *host_owner_of(struct host_sock *hs, void **owner);
/* error > 0, for the owner. A stream ends with it. In the poller. */
void host_sock_fails(struct host_sock *hs, int error);

/* ---- net/host_net_send.c ---- */

/* A new endpoint's two requests. */
void host_sock_set_requests(struct host_sock *hs);
/* Begins the next request of `out`, unless one is out or nothing is to be done. */
void host_sock_pump(struct host_sock *hs);
/* host_sock_release is through with it. */
void host_sock_released(struct host_sock *hs);
/* Bytes came for an endpoint that was released: what is still to be sent is given up, for a peer
 * that waits for its own bytes to be read may never take it. */
void host_sock_discard(struct host_sock *hs);
/* Throws away what is queued; lock held. */
void host_sock_drop_queue(struct host_sock *hs);
/* Takes `amount` off the host's credit. A datagram is delivered whole on any credit left. */
bool host_sock_spend(struct host_sock *hs, uint32_t amount);
/* Has the endpoint no owner any more: notes that its bytes have none. Lock held. */
void host_sock_orphan(struct host_sock *hs);

#endif
