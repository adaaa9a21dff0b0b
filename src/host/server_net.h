/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network's part of the request server, shared by server_net.c (sockets and requests) and
 * server_net_wait.c (what arrives).
 *
 * Sockets are watched by epoll, edge triggered: no change of registration per message. A socket
 * about which something is to be told stands in the ready list; NET_WAIT requests stand in `waits`.
 * Whoever brings both together (the network thread with an event, a worker with a NET_WAIT or a
 * credit) fills the range, see net_deliver.
 *
 * Lock order: lead > deliver_lock > net_sock.lock > net.lock > complete_lock.
 */
#ifndef CELLA_HOST_SERVER_NET_H
#define CELLA_HOST_SERVER_NET_H

#include "net_policy.h"
#include "server_internal.h"

/* Numbers of sockets: bit 30 set, generation, index. Those of files are below. */
#define NET_HANDLE_BIT (1u << 30)
#define NET_INDEX_BITS 16
#define NET_GENERATIONS (1u << 14)
#define NET_CHUNK 64u
#define NET_CHUNKS ((1u << NET_INDEX_BITS) / NET_CHUNK)
#define NET_CREDIT_MAX ((int64_t)1 << 40)
#define NET_WAIT_MIN 8192u /* smallest range that is filled */
#define NET_PEERS 4096u    /* a power of two */

struct net_sock {
    pthread_mutex_t lock; /* guards all up to `live` */
    int fd;               /* -1: closed */
    int family;           /* as the keep knows it */
    bool is_stream, listening, connecting, watched, published;
    bool open;        /* may be read: connected, a listener, or for datagrams */
    bool placeholder; /* no socket yet: there are published ports alone */
    bool readable, at_end, want_write;
    bool tell_connected, tell_writable,
        ending;            /* ending: an end or an error stands behind the bytes */
    int64_t credit;        /* bytes, or connections */
    struct net_port *port; /* published */
    union net_addr *peers; /* published datagram socket: who may be answered, NET_PEERS */
    uint32_t generation;   /* changed under both locks */
    uint32_t index;        /* constant */
    bool live;             /* from here under net.lock */
    bool is_ready;         /* in the ready list */
    struct net_sock *next; /* ready list or free list */
};

struct net {
    pthread_mutex_t lock; /* guards table, free list, ready list and waits */
    pthread_mutex_t deliver_lock;
    struct net_policy *policy; /* NULL: none */
    struct net_sock *chunk[NET_CHUNKS];
    unsigned nr_chunks, nr_live, max_live;
    struct net_sock *free_list;
    struct net_sock *ready, **ready_end;
    struct {
        uint32_t slot, len;
        uint8_t *data;
    } waits[CELLA_HOST_SLOTS]; /* the oldest first */
    unsigned nr_waits;
    struct net_sock *starved; /* a listener that found no descriptor */
    /* The network thread's own: an answer was put out and nobody woken, since when (0: no); how
     * many are to be told at once, and how many after the next that was put out in vain. */
    uint64_t owed_since;
    unsigned nr_prompt, next_prompt;
    int epoll_fd, stop_fd;
    pthread_t thread;
};

/* ---- server_net.c ---- */

/* A new socket for fd, which is taken over also on failure: its number, -ENFILE, -ENOMEM. */
int64_t net_sock_new(struct net *net, int fd, int family, bool is_stream, struct net_sock **out);
uint32_t net_sock_number(const struct net_sock *sock);
/* To and from the ABI's form. The address is shown in the family of the keep's socket. */
void net_addr_show(struct cella_host_sockaddr *out, const union net_addr *addr, int family);
socklen_t net_addr_len(const union net_addr *addr);
/* A peer of a published datagram socket may be answered. */
void net_peer_note(struct net_sock *sock, const union net_addr *addr);
/* Puts the socket into the ready list. */
void net_ready(struct net *net, struct net_sock *sock);
/* The socket of an epoll event, or NULL; not locked. */
struct net_sock *net_sock_at(struct net *net, uint32_t index);

/* ---- server_net_wait.c ---- */

/* Fills waiting ranges from ready sockets, unless another thread does: then that one goes on. lazy:
 * by the network thread, which looks after what it puts out without waking anybody. */
void net_deliver(struct server *server, bool lazy);
void *net_thread(void *server);

#endif
