/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AF_INET and AF_INET6, what their files have in common. There are no packets inside a keep: a TCP
 * connection between two of its sockets is two stream_buffers, a datagram goes from the sender's
 * call into the receiver's queue. Everything beyond loopback goes through net/host_net.h.
 *
 *   net/inet.c          addresses: of the workload, of the host, which are the keep's own
 *   net/inet_options.c  the options of IP, IPv6, TCP and UDP that are numbers
 *   net/inet_ports.c    who has which port; who gets what comes for it
 *   net/tcp.c           streams: life, connect, shutdown, poll
 *   net/tcp_data.c      streams: send and receive
 *   net/tcp_listen.c    listeners and their queues
 *   net/tcp_host.c      streams that go outside
 *   net/udp.c           datagrams
 *   net/net_device.c    the interfaces, for netlink, ioctl and /proc
 *
 * Lock order: socket.lock -> bucket lock of a port table; tcp_listener.lock, udp_sock.queue_lock
 * and stream_buffer.lock are innermost. Upcalls of the host take only the last three.
 */
#ifndef CELLA_KERNEL_NET_INET_H
#define CELLA_KERNEL_NET_INET_H

#include "base/list.h"
#include "net/host_net.h"
#include "net/socket.h"

enum {
    IPPROTO_IP_K = 0,
    IPPROTO_ICMP_K = 1,
    IPPROTO_TCP_K = 6,
    IPPROTO_UDP_K = 17,
    IPPROTO_IPV6_K = 41,
    IPPROTO_ICMPV6_K = 58,
    IPPROTO_UDPLITE_K = 136 /* inside, as UDP with ports of its own */
};

/* An address of either family: IPv4 as ::ffff:a.b.c.d, and 0.0.0.0 as ::ffff:0.0.0.0. */
struct inet_addr {
    uint8_t ip[16];
    uint32_t scope;
    uint16_t port; /* host byte order */
};

/* Slots of the options that are plain numbers (net/inet_options.c). */
enum inet_opt {
    OPT_TTL,
    OPT_TOS,
    OPT_RECVTTL,
    OPT_RECVTOS,
    OPT_PKTINFO,
    OPT_RECVERR,
    OPT_MTU_DISCOVER,
    OPT_FREEBIND,
    OPT_TRANSPARENT,
    OPT_BIND_NO_PORT,
    OPT_MC_TTL,
    OPT_MC_LOOP,
    OPT_MC_ALL,
    OPT_MINTTL,
    OPT_RECVORIGDST,
    OPT_V6ONLY,
    OPT_HOPS,
    OPT_MC_HOPS,
    OPT_MC_LOOP6,
    OPT_TCLASS,
    OPT_RECVPKTINFO6,
    OPT_RECVHOPS,
    OPT_RECVTCLASS,
    OPT_RECVERR6,
    OPT_MTU_DISCOVER6,
    OPT_DONTFRAG,
    OPT_AUTOFLOWLABEL,
    OPT_NODELAY,
    OPT_CORK,
    OPT_MAXSEG,
    OPT_KEEPIDLE,
    OPT_KEEPINTVL,
    OPT_KEEPCNT,
    OPT_SYNCNT,
    OPT_LINGER2,
    OPT_DEFER_ACCEPT,
    OPT_WINDOW_CLAMP,
    OPT_QUICKACK,
    OPT_USER_TIMEOUT,
    OPT_FASTOPEN,
    OPT_NOTSENT_LOWAT,
    INET_NR_OPTS
};

/* The start of what socket.priv points to in both protocols. */
struct inet_sock {
    struct socket *s;
    struct inet_addr local, peer;
    struct list port_link; /* in a bucket of the protocol's table, under its lock */
    kuid_t uid;            /* who bound it */
    bool bound;            /* it is in the table */
    bool autobound;        /* ... with a port of the kernel's choice */
    bool wild;             /* ... and with the wildcard for address */
    bool receiver;         /* what comes for the port may be its: UDP; listeners of TCP */
    bool connected;        /* UDP: peer counts */
    int32_t opt[INET_NR_OPTS];
};
static inline struct inet_sock *inet_of(const struct socket *s)
{
    return s->priv;
}

/* ---- net/inet.c ---- */

extern const struct inet_addr inet_any4, inet_any6, inet_loopback4, inet_loopback6;
/* The address that stands for the keep where it has an outside (net_device.c). */
extern const struct inet_addr inet_eth0;

bool inet_is_v4(const struct inet_addr *a);
bool inet_is_any(const struct inet_addr *a);
bool inet_is_loopback(const struct inet_addr *a);
bool inet_is_multicast(const struct inet_addr *a);
bool inet_is_broadcast(const struct inet_addr *a);
/* One of the keep's own: what is sent there stays inside. */
bool inet_is_local(const struct inet_addr *a);
static inline bool inet_same_ip(const struct inet_addr *a, const struct inet_addr *b)
{
    return __builtin_memcmp(a->ip, b->ip, 16) == 0;
}
/* An address that the workload gave to a socket of that family: 0, -EINVAL, -EAFNOSUPPORT.
 * An AF_INET address is taken for AF_INET6 where v4_ok. */
int inet_parse(int family, const struct sock_addr *from, bool v4_ok, struct inet_addr *to);
void inet_format(int family, const struct inet_addr *a, struct sock_addr *to);
/* Addresses of the host: what is none becomes the wildcard. */
void inet_from_host(const struct cella_host_sockaddr *from, struct inet_addr *to);
void inet_to_host(const struct inet_addr *a, int family, struct cella_host_sockaddr *to);
/* Where `to` leads: the wildcard means loopback. Sets the own address that a connection from there
 * has. 0: inside; 1: outside; -ENETUNREACH. */
int inet_route(const struct inet_sock *is, struct inet_addr *to, struct inet_addr *own);
/* bind of both protocols. */
int inet_bind(struct socket *s, const struct sock_addr *addr);
/* Common part of create and accept: is is zeroed. */
void inet_sock_init(struct inet_sock *is, struct socket *s);
int inet_getname(struct socket *s, struct sock_addr *addr, bool peer);

/* ---- net/inet_options.c ---- */

void inet_options_init(struct inet_sock *is);
int inet_setsockopt(struct socket *s, int level, int name, const void *val, uint32_t len);
int inet_getsockopt(struct socket *s, int level, int name, void *val, uint32_t *len);

/* ---- net/inet_ports.c ---- */

#define INET_BUCKETS 512u
#define EPHEMERAL_FIRST 32768u
#define EPHEMERAL_LAST 60999u

struct inet_bucket {
    spinlock_t lock;
    struct list receivers, others; /* of inet_sock.port_link */
};
struct inet_table {
    struct inet_bucket bucket[INET_BUCKETS];
    uint32_t next_ephemeral; /* where the search begins; atomic */
};
extern struct inet_table tcp_table, udp_table, udplite_table;
struct inet_table *inet_table_of(const struct socket *s);
extern int inet_unprivileged_port_start;

/* Takes addr (port 0: a free one) for is; is->local is set. 0, -EADDRINUSE. */
int inet_port_bind(struct inet_table *t, struct inet_sock *is, const struct inet_addr *addr,
                   bool receiver);
/* Puts an accepted connection beside its listener. */
void inet_port_join(struct inet_table *t, struct inet_sock *is);
/* Makes a bound socket a receiver or takes that back. 0, -EADDRINUSE. */
int inet_port_receive(struct inet_table *t, struct inet_sock *is, bool on);
void inet_port_release(struct inet_table *t, struct inet_sock *is);
/* Which of n receivers that share a port (n > 0) gets what comes from there. */
uint32_t inet_spread(const struct inet_addr *from, uint32_t n);
/* Whose is what comes from `from` for `to`? The socket, with socket_get; NULL: nobody's. */
struct socket *inet_port_find(struct inet_table *t, const struct inet_addr *to,
                              const struct inet_addr *from);
/* Sets the own address (the port stays) and the peer of a bound socket, under the bucket's lock,
 * for look-ups read them. Both NULL: back to how it was bound. */
void inet_port_connect(struct inet_table *t, struct inet_sock *is, const struct inet_addr *own,
                       const struct inet_addr *peer);
/* For /proc/net: calls fn with every bound socket, under a spinlock. */
void inet_port_for_each(struct inet_table *t, void (*fn)(struct socket *s, void *arg), void *arg);

/* ---- net/net_device.c ---- */

struct net_device {
    const char *name;
    uint32_t index, flags; /* IFF_* */
    uint32_t mtu;
    uint16_t type; /* ARPHRD_* */
    uint8_t hwaddr[6];
    struct inet_addr addr4;
    uint8_t prefix4;
    bool has_addr6;
    struct inet_addr addr6;
    uint8_t prefix6;
};
enum {
    IFF_UP_K = 1,
    IFF_BROADCAST_K = 2,
    IFF_LOOPBACK_K = 8,
    IFF_RUNNING_K = 0x40,
    IFF_LOWER_UP_K = 0x10000
};
#define LOOPBACK_IFINDEX 1
/* The i-th interface, from 0; NULL: there are no more. */
const struct net_device *net_device(unsigned i);
int64_t net_device_ioctl(unsigned cmd, uint64_t arg);

/* ---- net/tcp.c, net/udp.c ---- */

extern const struct socket_ops tcp_ops, udp_ops;
int tcp_create(struct socket *s);
int udp_create(struct socket *s);
uint32_t tcp_state_of(struct socket *s); /* TCP_*_K */
/* Bytes that wait to be read (a listener: connections); for /proc/net. */
uint32_t tcp_rx_queue(struct socket *s);
uint32_t udp_rx_queue(struct socket *s);

#endif
