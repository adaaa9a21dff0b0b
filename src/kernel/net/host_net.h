/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets beyond the keep's own loopback: the keep's end of the host ABI's network operations. The
 * inet protocols (net/tcp.c, net/udp.c) use this; it knows nothing of struct socket.
 *
 * Receiving. A few NET_WAIT requests are always out. Their completions are taken where the kernel
 * looks for host completions. Headers are copied into the keep once and checked: record sizes,
 * handle known, bytes within the credit given. Payload is handed to the endpoint's upcalls where it
 * lies, in memory that the host may change meanwhile: upcalls copy it, once, and look at the copy.
 * A record that breaks a rule is dropped and counted; one that is about data ends the endpoint with
 * -EIO (upcall error), for a gap in a stream must not pass for the stream.
 *
 * Sending. Bytes are put into the shared data area and submitted; the caller does not wait for the
 * reply. Order is kept by having one request out for each endpoint at a time; bytes that come
 * meanwhile wait in the endpoint.
 *
 * All bytes and addresses of the network are the host's to read and to change: what must be
 * protected is protected end to end (TLS). docs/threat-model.md says so.
 */
#ifndef CELLA_KERNEL_NET_HOST_NET_H
#define CELLA_KERNEL_NET_HOST_NET_H

#include "base/types.h"
#include "cella/host_abi.h"
#include "fs/uio.h"

struct host_sock;

/* Upcalls, from the host-completion path: they may take spinlocks and wake threads, never sleep.
 * None comes after host_sock_release returned. `bytes` lie in shared memory: copy them, once. A
 * function that an endpoint has no use for may be NULL. */
struct host_sock_ops {
    void (*connected)(void *owner, int error, const struct cella_host_sockaddr *own); /* error: 0 or
                                                                                         positive */
    /* conn is owned by the callee, which sets its owner with host_sock_set_owner before it gives it
     * credit, or releases it later from a thread. */
    void (*accepted)(void *owner, struct host_sock *conn, const struct cella_host_sockaddr *peer,
                     const struct cella_host_sockaddr *own);
    void (*data)(void *owner, const void *bytes, uint32_t len);
    void (*datagram)(void *owner, const struct cella_host_sockaddr *from, const void *bytes,
                     uint32_t len);
    void (*eof)(void *owner);
    void (*error)(void *owner, int error);
    void (*writable)(void *owner); /* room to send again, after a short host_sock_send */
};

/* Is there anything beyond loopback (CELLA_BOOT_NET)? */
bool host_net_present(void);
/* Called once when the first host_sock is made; may be called by anybody. 0 or -ENOMEM. */
int host_net_start(void);

/* All of these may sleep unless said otherwise; errors are negative errno. family and type: Linux's
 * AF_INET(6), SOCK_STREAM or SOCK_DGRAM. */
struct host_sock *host_sock_create(int family, int type, const struct host_sock_ops *ops,
                                   void *owner); /* err_ptr; -EACCES: no network */
void host_sock_set_owner(struct host_sock *hs, const struct host_sock_ops *ops, void *owner);
/* As CELLA_HOST_BIND; addr is in and out. */
int host_sock_bind(struct host_sock *hs, struct cella_host_sockaddr *addr, int backlog,
                   uint32_t bind_flags);
/* Begins to connect; the end comes as upcall `connected` (streams). addr in; own address out
 * (datagrams). */
int host_sock_connect(struct host_sock *hs, struct cella_host_sockaddr *addr);
/* Takes bytes from u, at most what there is room for. Stream: bytes taken, maybe fewer than wanted,
 * 0: no room now (upcall writable follows). Datagram (to may be NULL when connected): all or
 * -EAGAIN, -EMSGSIZE. Or the error that an earlier send met (-EPIPE, -ECONNRESET), or -EFAULT. */
int64_t host_sock_send(struct host_sock *hs, struct uio *u, uint64_t max,
                       const struct cella_host_sockaddr *to);
/* Bytes taken by host_sock_send that the host does not have yet (SIOCOUTQ, linger, poll). */
uint64_t host_sock_unsent(struct host_sock *hs);
bool host_sock_has_room(struct host_sock *hs);
/* Holds back what fills no segment (TCP_CORK, MSG_MORE), for 200 ms at most; false: what comes from
 * now on. push: sends what was held back. */
void host_sock_cork(struct host_sock *hs, bool corked, bool push);
/* Lets the host deliver that much more. Does not sleep; cheap: small credits are gathered. */
void host_sock_credit(struct host_sock *hs, uint32_t amount);
/* enum cella_host_sockctl; shutdown for writing takes effect after what was taken is sent.
 * SEND_OOB: -EAGAIN while bytes are unsent. */
int host_sock_ctl(struct host_sock *hs, int what, uint64_t value);
int host_sock_name(struct host_sock *hs, bool peer, struct cella_host_sockaddr *addr);
/* Closes at the host after what was taken is sent (at once after SET_LINGER 0), and frees. Does not
 * wait for the host; it does for an upcall that is under way, so call it without the locks that
 * upcalls take, and never from one. */
void host_sock_release(struct host_sock *hs);

#endif
