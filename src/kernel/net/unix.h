/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AF_UNIX from inside.
 *
 *   net/unix.c         life, connecting, accepting, poll, options
 *   net/unix_name.c    names: in the file system, abstract, given automatically
 *   net/unix_stream.c  SOCK_STREAM: bytes
 *   net/unix_packet.c  SOCK_DGRAM and SOCK_SEQPACKET: messages
 *   net/unix_scm.c     descriptors and credentials in control data
 *   net/unix_gc.c      descriptors in flight, and the end of those that nobody can receive
 *
 * What is sent lies at the receiver: in `in` (streams; what belongs to some of the bytes is in
 * `marks`), or in `messages`. A sender that finds no room sleeps on its own socket's wait queue
 * (streams, woken by the peer's reads), or on the receiver's `room`.
 *
 * Locks, in order:
 *   rd_mutex  readers of this socket; they alone take things out of the queue
 *   wr_mutex  writers to it (streams)
 *   gc_lock   of unix_gc.c
 *   table_lock (spin) names, the list of all sockets
 *   lock (spin) state, peer, marks, messages, pending connections. Of two sockets: by address.
 * peer of a stream or seqpacket socket is set once, before the state that tells of it.
 */
#ifndef CELLA_KERNEL_NET_UNIX_H
#define CELLA_KERNEL_NET_UNIX_H

#include "net/socket.h"
#include "net/stream_buffer.h"

#define UNIX_PATH_MAX_K 108u
#define UNIX_NAME_AT 2u /* offset of sun_path */
#define KEY_IN (POLLIN_K | POLLRDNORM_K)
#define KEY_OUT (POLLOUT_K | POLLWRNORM_K | POLLWRBAND_K)

enum { SHUT_RECV = 1, SHUT_SEND = 2, SHUT_BOTH = 3 }; /* bits of socket.shut */

/* What a socket is bound to; shared with accepted connections and messages under way. */
struct unix_addr {
    struct ref ref;
    uint32_t len;     /* of the whole sockaddr */
    struct path path; /* dentry NULL: abstract */
    struct {
        uint16_t family;
        char path[UNIX_PATH_MAX_K + 1];
    } name;
};

struct unix_cred {
    int32_t pid;
    uint32_t uid, gid;
};

/* Files under way. */
struct unix_rights {
    struct list link; /* of those to be put */
    uint32_t nr, room;
    bool counted; /* their sockets are counted as in flight */
    struct file *file[];
};

/* What control data said, or are going to say. */
struct unix_scm {
    struct unix_rights *rights; /* owned; NULL: none */
    struct unix_cred cred;
    bool has_cred;
};

/* What goes with the bytes from start to end of a stream. */
struct unix_mark {
    struct list link;
    uint64_t start, end;
    struct unix_scm scm;
};

struct unix_message {
    struct list link;
    struct unix_scm scm;
    struct unix_addr *from; /* counted; NULL: unnamed */
    uint64_t time_ns;       /* real time; 0: not asked for */
    uint32_t len;
    uint8_t data[];
};

enum unix_state { UNIX_FRESH, UNIX_LISTENING, UNIX_CONNECTED, UNIX_DEAD };

struct unix_sock {
    struct socket *s;
    spinlock_t lock;
    uint8_t state;          /* enum unix_state; datagram sockets: FRESH or DEAD */
    bool accepted;          /* false: still with the listener */
    struct unix_addr *addr; /* set once, under table_lock; NULL: unnamed */
    struct list all_link, hash_link;
    struct socket *peer;           /* counted */
    struct cred *cred, *peer_cred; /* SO_PEERGROUPS: of who made or connected each; may be NULL */
    int32_t peek_off;              /* SO_PEEK_OFF; -1: off; rd_mutex */

    struct mutex rd_mutex, wr_mutex;
    struct stream_buffer in;
    struct list marks;    /* unix_mark.link, by position */
    struct list messages; /* unix_message.link */
    uint32_t nr_messages;
    uint64_t message_bytes;
    struct wait_queue room; /* wait for room in this socket's queue */
    /* In the room queue of the connected peer: passes its wake-ups on to s->wait, if want_room. */
    struct waiter relay;
    bool relay_hung, want_room;

    struct list pending, pending_link; /* connections not yet accepted */
    uint32_t nr_pending, backlog;

    /* gc_lock */
    struct list inflight_link;
    uint32_t nr_inflight, gc_refs;
    bool gc_candidate;
};

static inline struct unix_sock *unix_of(const struct socket *s)
{
    return s->priv;
}
static inline bool unix_is_stream(const struct socket *s)
{
    return s->type == SOCK_STREAM_K;
}
/* Wakes all that wait for s in any way. */
static inline void unix_wake_state(struct socket *s)
{
    wake_all(&s->wait, 0);
}
/* The peer, counted, or NULL. */
struct socket *unix_peer_get(struct unix_sock *u);
int unix_disconnect(struct unix_sock *u, struct socket *new_peer);

/* ---- unix_name.c ---- */

int unix_bind(struct socket *s, const struct sock_addr *addr);
int unix_autobind(struct socket *s);
/* The socket of a name, counted, or err_ptr. */
struct socket *unix_find(const struct sock_addr *addr, int type);
void unix_unname(struct unix_sock *u); /* at the end: nobody finds it any more */
void unix_list_add(struct unix_sock *u);
struct unix_addr *unix_addr_get(struct unix_sock *u);                 /* counted or NULL */
void unix_addr_put(struct unix_addr *a);                              /* may be NULL; may sleep */
void unix_addr_out(const struct unix_addr *a, struct sock_addr *out); /* a NULL: unnamed */
/* Text of /proc/net/unix. */
struct pseudo_node;
struct text;
int unix_show(const struct pseudo_node *n, struct text *t);

/* ---- unix_stream.c, unix_packet.c ---- */

int64_t unix_stream_send(struct socket *s, struct sock_msg *m);
int64_t unix_stream_recv(struct socket *s, struct sock_msg *m);
bool unix_stream_writable(const struct unix_sock *u);
int64_t unix_packet_send(struct socket *s, struct sock_msg *m);
int64_t unix_packet_recv(struct socket *s, struct sock_msg *m);
/* May `from` not send to u now? */
bool unix_packet_full(struct unix_sock *u, const struct socket *from);
void unix_message_free(struct unix_message *msg);

/* ---- unix_scm.c ---- */

/* Reads the control data of a sender. 0 or negative errno; scm is to be released in both cases. */
int unix_scm_parse(const struct sock_msg *m, struct unix_scm *scm);
/* Adds the sender's credentials where one of the two wants them. */
void unix_scm_add_cred(struct unix_scm *scm, const struct socket *from, const struct socket *to);
/* Gives the receiver what there is: takes scm->rights, unless peek. 0 or -EFAULT. */
int unix_scm_put(struct socket *s, struct sock_msg *m, struct unix_scm *scm);
void unix_scm_release(struct unix_scm *scm);
/* Rights that lie in u's queue, for the receiver: taken out, or copied for a peek. 0 or -ENOMEM. */
int unix_scm_take(struct unix_sock *u, struct unix_scm *queued, struct unix_scm *scm, bool peek);

/* ---- unix_gc.c ---- */

/* The sockets among the files are in flight from here on. -ETOOMANYREFS. */
int unix_inflight_add(struct unix_rights *r);
void unix_inflight_remove(struct unix_rights *r);
/* Held while rights are copied in a queue or taken out of it. */
void unix_gc_lock(void);
void unix_gc_unlock(void);
/* Puts the files, now or soon, without recursion. */
void unix_rights_free(struct unix_rights *r);
/* Ends sockets that are in flight to each other only. */
void unix_collect(void);
/* A socket has ended: it may have been the last that could receive others. */
void unix_socket_ends(void);

#endif
