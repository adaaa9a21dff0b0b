/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of AF_INET and AF_INET6, and what TCP and UDP sockets do alike. */
#include "net/inet.h"

#include "base/errno.h"
#include "base/string.h"
#include "proc/task.h"

#define V4(a, b, c, d)                                                                             \
    {                                                                                              \
        .ip = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d }                             \
    }
const struct inet_addr inet_any4 = V4(0, 0, 0, 0), inet_any6 = {}, inet_eth0 = V4(10, 0, 2, 15);
const struct inet_addr inet_loopback4 = V4(127, 0, 0, 1), inet_loopback6 = {.ip = {[15] = 1}};

/* struct sockaddr_in and sockaddr_in6 */
struct sockaddr_in_k {
    uint16_t family, port;
    uint8_t ip[4], zero[8];
};
struct sockaddr_in6_k {
    uint16_t family, port;
    uint32_t flowinfo;
    uint8_t ip[16];
    uint32_t scope;
};
#define SIN6_LEN_RFC2133 24u /* without the scope */

/* ---- kinds of addresses ---- */

bool inet_is_v4(const struct inet_addr *a)
{
    return memcmp(a->ip, inet_any4.ip, 12) == 0;
}

bool inet_is_any(const struct inet_addr *a)
{
    return inet_same_ip(a, &inet_any4) || inet_same_ip(a, &inet_any6);
}

bool inet_is_loopback(const struct inet_addr *a)
{
    return inet_is_v4(a) ? a->ip[12] == 127 : inet_same_ip(a, &inet_loopback6);
}

bool inet_is_multicast(const struct inet_addr *a)
{
    return inet_is_v4(a) ? a->ip[12] >> 4 == 14 : a->ip[0] == 0xff;
}

bool inet_is_broadcast(const struct inet_addr *a)
{
    static const struct inet_addr all = V4(255, 255, 255, 255), lo = V4(127, 255, 255, 255);
    return inet_same_ip(a, &all) || inet_same_ip(a, &lo);
}

bool inet_is_local(const struct inet_addr *a)
{
    return inet_is_any(a) || inet_is_loopback(a) ||
           (inet_same_ip(a, &inet_eth0) && host_net_present());
}

/* ---- forms of addresses ---- */

static uint16_t swap16(uint16_t v)
{
    return (uint16_t)(v << 8 | v >> 8);
}

int inet_parse(int family, const struct sock_addr *from, bool v4_ok, struct inet_addr *to)
{
    if (from->len < sizeof(from->family))
        return -EINVAL;
    if (family == AF_INET_K || (v4_ok && from->family == AF_INET_K)) {
        const struct sockaddr_in_k *sin = (const void *)from->data;
        if (from->len < sizeof(*sin))
            return -EINVAL;
        if (sin->family != AF_INET_K)
            return -EAFNOSUPPORT;
        *to = inet_any4;
        memcpy(to->ip + 12, sin->ip, 4);
        to->port = swap16(sin->port);
        return 0;
    }
    const struct sockaddr_in6_k *sin6 = (const void *)from->data;
    if (from->len < SIN6_LEN_RFC2133)
        return -EINVAL;
    if (sin6->family != AF_INET6_K)
        return -EAFNOSUPPORT;
    memcpy(to->ip, sin6->ip, 16);
    to->port = swap16(sin6->port);
    to->scope = from->len >= sizeof(*sin6) ? sin6->scope : 0;
    return 0;
}

void inet_format(int family, const struct inet_addr *a, struct sock_addr *to)
{
    if (family == AF_INET_K) {
        struct sockaddr_in_k sin = {.family = AF_INET_K, .port = swap16(a->port)};
        if (inet_is_v4(a))
            memcpy(sin.ip, a->ip + 12, 4);
        memcpy(to->data, &sin, to->len = sizeof(sin));
        return;
    }
    struct sockaddr_in6_k sin6 = {.family = AF_INET6_K, .port = swap16(a->port), .scope = a->scope};
    memcpy(sin6.ip, a->ip, 16);
    memcpy(to->data, &sin6, to->len = sizeof(sin6));
}

void inet_from_host(const struct cella_host_sockaddr *from, struct inet_addr *to)
{
    *to = from->family == CELLA_HOST_INET6 ? inet_any6 : inet_any4;
    if (from->family == CELLA_HOST_INET)
        memcpy(to->ip + 12, from->addr, 4);
    else if (from->family == CELLA_HOST_INET6)
        memcpy(to->ip, from->addr, 16);
    to->port = from->port;
    to->scope = from->family == CELLA_HOST_INET6 ? from->scope_id : 0;
}

void inet_to_host(const struct inet_addr *a, int family, struct cella_host_sockaddr *to)
{
    *to = (struct cella_host_sockaddr){.port = a->port};
    if (family == AF_INET_K) {
        to->family = CELLA_HOST_INET;
        memcpy(to->addr, a->ip + 12, 4);
    } else {
        to->family = CELLA_HOST_INET6;
        to->scope_id = a->scope;
        memcpy(to->addr, a->ip, 16);
    }
}

/* ---- routes ---- */

int inet_route(const struct inet_sock *is, struct inet_addr *to, struct inet_addr *own)
{
    bool v4 = inet_is_v4(to);
    if (v4 ? is->opt[OPT_V6ONLY] : inet_is_v4(&is->local) && !inet_is_any(&is->local))
        return -ENETUNREACH;
    if (inet_is_any(to)) {
        uint16_t port = to->port;
        /* An AF_INET6 socket that is bound to an IPv4 address reaches IPv4's loopback by "::". */
        *to = v4 ? inet_loopback4 : inet_loopback6;
        to->port = port;
    }
    uint16_t own_port = is->local.port;
    if (inet_is_local(to) && !inet_is_broadcast(to)) {
        *own = !inet_is_any(&is->local)       ? is->local
               : inet_same_ip(to, &inet_eth0) ? inet_eth0
               : v4                           ? inet_loopback4
                                              : inet_loopback6;
        own->port = own_port;
        return 0;
    }
    if (!host_net_present() || is->s->protocol == IPPROTO_UDPLITE_K ||
        (!inet_is_any(&is->local) && inet_is_loopback(&is->local)))
        return -ENETUNREACH;
    *own = !inet_is_any(&is->local) ? is->local : v4 ? inet_eth0 : inet_any6;
    own->port = own_port;
    return 1;
}

/* ---- bind, names ---- */

struct inet_table *inet_table_of(const struct socket *s)
{
    return s->protocol == IPPROTO_TCP_K   ? &tcp_table
           : s->protocol == IPPROTO_UDP_K ? &udp_table
                                          : &udplite_table;
}

void inet_sock_init(struct inet_sock *is, struct socket *s)
{
    is->s = s;
    list_init(&is->port_link);
    is->local = is->peer = s->family == AF_INET_K ? inet_any4 : inet_any6;
    inet_options_init(is);
    s->priv = is;
}

int inet_bind(struct socket *s, const struct sock_addr *addr)
{
    struct inet_sock *is = inet_of(s);
    struct sock_addr given = *addr;
    struct inet_addr a;
    /* Programs of old leave the family 0 in a wildcard address. */
    if (s->family == AF_INET_K && given.len >= sizeof(struct sockaddr_in_k) &&
        given.family == AF_UNSPEC_K && memcmp(given.data + 4, inet_any6.ip, 4) == 0)
        given.family = AF_INET_K;
    int r = inet_parse(s->family, &given, false, &a);
    if (r)
        return r;
    if (inet_is_v4(&a) && is->opt[OPT_V6ONLY])
        return -EINVAL;
    if (inet_is_multicast(&a) ? s->type == SOCK_STREAM_K
                              : !inet_is_local(&a) && !host_net_present() && !is->opt[OPT_FREEBIND])
        return -EADDRNOTAVAIL;
    if (a.port && a.port < inet_unprivileged_port_start && !capable(CAP_NET_BIND_SERVICE_K))
        return -EACCES;
    mutex_lock(&s->lock);
    r = is->bound || is->connected
            ? -EINVAL
            : inet_port_bind(inet_table_of(s), is, &a, s->type == SOCK_DGRAM_K);
    mutex_unlock(&s->lock);
    return r;
}

int inet_getname(struct socket *s, struct sock_addr *addr, bool peer)
{
    const struct inet_sock *is = inet_of(s);
    inet_format(s->family, peer ? &is->peer : &is->local, addr);
    return 0;
}

/* ---- families ---- */

static int inet_create(struct socket *s)
{
    int p = s->protocol;
    if (s->type == SOCK_STREAM_K && (p == 0 || p == IPPROTO_TCP_K))
        return tcp_create(s);
    if (s->type == SOCK_DGRAM_K && (p == 0 || p == IPPROTO_UDP_K || p == IPPROTO_UDPLITE_K))
        return udp_create(s);
    /* No group may use these (net.ipv4.ping_group_range). */
    if (s->type == SOCK_DGRAM_K &&
        p == (s->family == AF_INET_K ? IPPROTO_ICMP_K : IPPROTO_ICMPV6_K))
        return -EACCES;
    if (s->type == SOCK_RAW_K)
        return p == 0 ? -EPROTONOSUPPORT : -EPERM;
    return s->type == SOCK_STREAM_K || s->type == SOCK_DGRAM_K ? -EPROTONOSUPPORT
                                                               : -ESOCKTNOSUPPORT;
}

const struct socket_family inet_family = {AF_INET_K, inet_create};
const struct socket_family inet6_family = {AF_INET6_K, inet_create};
