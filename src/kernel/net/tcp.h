/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP without packets.
 *
 * A connection (struct tcp_conn) has two halves, one for each end: what that end receives, and how
 * far the connection has come for it. Both sockets hold the connection; the connection holds the
 * memory of both sockets (socket_get), so that one end can always wake the other. A connection to
 * the outside uses half 0 alone: its upcalls fill it.
 *
 * Flags of a half only ever get set, but for HALF_NOSPACE, so they are read without a lock. What a
 * flag says about the buffer holds for all that was written before it was set:
 *
 *   HALF_OPEN     the handshake is over
 *   HALF_FIN      nothing comes after what is in the buffer
 *   HALF_RESET    the connection was cut off; socket.error says why
 *   HALF_CLOSED   this end's socket is closed: who writes gets a reset
 *   HALF_NOSPACE  the writer into this buffer waits for room (or polls for it)
 */
#ifndef CELLA_KERNEL_NET_TCP_H
#define CELLA_KERNEL_NET_TCP_H

#include "net/inet.h"
#include "net/stream_buffer.h"

enum {
    TCP_ESTABLISHED_K = 1,
    TCP_SYN_SENT_K = 2,
    TCP_FIN_WAIT2_K = 5,
    TCP_CLOSE_K = 7,
    TCP_CLOSE_WAIT_K = 8,
    TCP_LISTEN_K = 10
};
#define TCP_DEFAULT_MSS 536
#define TCP_LOOPBACK_MSS 32741
#define TCP_BUFFER_DEFAULT 131072u
#define SOMAXCONN_K 4096
#define TCP_FORMER_MAX 1024

enum tcp_half_flag {
    HALF_OPEN = 1,
    HALF_FIN = 2,
    HALF_RESET = 4,
    HALF_CLOSED = 8,
    HALF_NOSPACE = 16,
};
enum tcp_urgent { URGENT_NONE, URGENT_UNREAD, URGENT_READ };

struct tcp_half {
    struct stream_buffer rx;
    struct mutex rd, wr; /* who reads from rx, who writes into it */
    uint32_t flags;      /* enum tcp_half_flag; atomic */
    struct socket *sock; /* counted; NULL: the outside */
    uint64_t urgent_at;  /* place in the stream of the urgent byte, valid unless URGENT_NONE */
    uint32_t urgent;     /* enum tcp_urgent */
    uint8_t urgent_byte;
};

struct tcp_conn {
    struct ref ref;         /* one for each socket */
    struct host_sock *host; /* NULL: inside */
    bool more;              /* the last send had MSG_MORE; half[0].wr */
    struct tcp_half half[2];
    struct tcp_conn *next_former; /* tcp_sock.former */
    struct inet_addr host_own;    /* own address at the host, valid once half 0 is open */
};

struct tcp_published; /* net/tcp_host.c */

struct tcp_listener {
    struct socket *s;
    spinlock_t lock;
    bool closed;
    uint32_t backlog;
    uint32_t nr_ready;
    struct list ready, pending; /* tcp_sock.queue_link: to be accepted; still waiting for a place */
    struct tcp_published *pub;  /* NULL: nobody comes from outside; set under socket.lock */
    struct list pub_link;
    struct host_conn {
        struct host_sock *hs;
        struct inet_addr peer, own;
    } * ring; /* connections from outside, ring_size of them at most */
    uint32_t ring_size, ring_head, ring_tail;
    bool host_turn; /* the next one is taken from the ring, when there is one */
};

struct tcp_sock {
    struct inet_sock inet; /* first */
    /* The connection, set under socket.lock. Calls use it without a lock: it stays until the socket
     * is released, also when another takes its place (connect after a refusal; AF_UNSPEC). */
    struct tcp_conn *conn;
    unsigned side;           /* which half is this socket's */
    struct tcp_conn *former; /* a chain of those */
    unsigned nr_former;
    bool connecting; /* a connect that did not wait has not been answered by a second one */
    struct tcp_listener *listener; /* kept until release */
    struct list queue_link;        /* in a listener's queue */
    const char *congestion;
};

static inline struct tcp_sock *tcp_of(const struct socket *s)
{
    return s->priv;
}
static inline struct tcp_conn *tcp_conn_of(const struct tcp_sock *ts)
{
    return __atomic_load_n(&ts->conn, __ATOMIC_ACQUIRE);
}
static inline uint32_t half_flags(const struct tcp_half *h)
{
    return __atomic_load_n(&h->flags, __ATOMIC_SEQ_CST);
}
static inline uint32_t half_set(struct tcp_half *h, uint32_t flags)
{
    return __atomic_fetch_or(&h->flags, flags, __ATOMIC_SEQ_CST);
}
static inline bool tcp_listening(const struct socket *s)
{
    return READ_ONCE(s->flags) & SOCKF_LISTENING;
}

/* ---- net/tcp.c ---- */

/* A socket with its tcp_sock, as yet without file; NULL: no memory. Does not sleep. */
struct socket *tcp_socket_new(int family);
/* A connection between two sockets (b NULL: to the outside), reference 1 for each. */
struct tcp_conn *tcp_conn_new(struct socket *a, struct socket *b);
void tcp_conn_put(struct tcp_conn *c);
/* Cuts the connection off for one end, with an error (0: the one that fits). Does not sleep. */
void tcp_reset_half(struct tcp_conn *c, unsigned side, int err);
/* Wakes the end whose half that is. */
void tcp_wake(struct tcp_half *h, uint32_t key);
/* Ends this socket's part in its connection. */
void tcp_close(struct tcp_sock *ts, bool abort);
/* Tells the other end that nothing more comes. */
void tcp_send_fin(struct tcp_conn *c, unsigned side);
void tcp_set_limits(struct tcp_conn *c);
void tcp_push_changed(struct socket *s, bool push);
int tcp_get_info(struct socket *s, void *val, uint32_t *len);
bool tcp_has_room(struct tcp_conn *c, unsigned side);
/* The same; when there is none, the end is woken when there is. */
bool tcp_has_room_or_ask(struct tcp_conn *c, unsigned side);

/* ---- net/tcp_data.c ---- */

int64_t tcp_sendmsg(struct socket *s, struct sock_msg *m);
int64_t tcp_recvmsg(struct socket *s, struct sock_msg *m);
/* Is the next byte the urgent one? (SIOCATMARK) */
bool tcp_at_mark(const struct tcp_half *h);

/* ---- net/tcp_listen.c ---- */

int tcp_listen(struct socket *s, int backlog);
int tcp_accept(struct socket *s, struct socket **out, struct sock_addr *peer, bool nonblock);
/* Begins a connection of ts to the listening socket l at `to`. 0, -ECONNREFUSED, -ENOMEM. */
int tcp_listener_connect(struct socket *l, struct tcp_sock *ts, const struct inet_addr *to);
/* A connection from outside for the listener's ring, from an upcall. False: no room. */
bool tcp_listener_offer(struct tcp_listener *l, const struct host_conn *hc);
/* A socket for a connection that came to the listener; NULL: no memory. */
struct socket *tcp_child_new(struct socket *listener, const struct inet_addr *own,
                             const struct inet_addr *peer);
bool tcp_listener_ready(struct tcp_listener *l);
/* No more is accepted; what waits is cut off. */
void tcp_listener_close(struct tcp_sock *ts);
void tcp_listener_free(struct tcp_listener *l);

/* ---- net/tcp_host.c ---- */

/* Begins to connect to the outside. 0 or negative errno. */
int tcp_host_connect(struct tcp_sock *ts, const struct inet_addr *to);
/* Publishes a listener, where the host does so. 0, or the error for the program. */
int tcp_host_listen(struct tcp_listener *l);
/* Nobody comes from outside any more. socket.lock is held, or nobody else has the socket. */
void tcp_host_unlisten(struct tcp_listener *l);
/* Takes over what the host accepted: a socket, or NULL without memory (the connection is closed).
 */
struct socket *tcp_host_accept(struct socket *listener, const struct host_conn *hc);

#endif
