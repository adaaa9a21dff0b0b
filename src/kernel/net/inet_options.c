/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of IP, IPv6, TCP and UDP that are a number each: ip(7), ipv6(7), tcp(7). Those that have
 * no effect without packets (windows, times of retransmission) are kept and told back, as a program
 * that sets them expects.
 */
#include "base/errno.h"
#include "base/string.h"
#include "net/inet.h"
#include "net/tcp.h"

#define SOL_UDP_K IPPROTO_UDP_K
enum { ANY_TYPE = 0, BOOLEAN = 1, MINUS_ONE_DEFAULT = 2 };

struct option {
    uint8_t level, name, slot, flags;
    int32_t min, max, initial;
};

static const struct option options[] = {
    {IPPROTO_IP_K, 1, OPT_TOS, 0, 0, 255, 0},
    {IPPROTO_IP_K, 2, OPT_TTL, MINUS_ONE_DEFAULT, 1, 255, 64},
    {IPPROTO_IP_K, 8, OPT_PKTINFO, BOOLEAN, 0, 0, 0},
    {IPPROTO_IP_K, 10, OPT_MTU_DISCOVER, 0, 0, 5, 1},
    {IPPROTO_IP_K, 11, OPT_RECVERR, BOOLEAN, 0, 0, 0},
    {IPPROTO_IP_K, 12, OPT_RECVTTL, BOOLEAN, 0, 0, 0},
    {IPPROTO_IP_K, 13, OPT_RECVTOS, BOOLEAN, 0, 0, 0},
    {IPPROTO_IP_K, 15, OPT_FREEBIND, BOOLEAN, 0, 0, 0},
    {IPPROTO_IP_K, 20, OPT_RECVORIGDST, BOOLEAN, 0, 0, 0},
    {IPPROTO_IP_K, 21, OPT_MINTTL, 0, 0, 255, 0},
    {IPPROTO_IP_K, 24, OPT_BIND_NO_PORT, BOOLEAN, 0, 0, 0},
    {IPPROTO_IP_K, 33, OPT_MC_TTL, MINUS_ONE_DEFAULT, 0, 255, 1},
    {IPPROTO_IP_K, 34, OPT_MC_LOOP, BOOLEAN, 0, 0, 1},
    {IPPROTO_IP_K, 49, OPT_MC_ALL, 0, 0, 1, 1},
    {IPPROTO_IPV6_K, 16, OPT_HOPS, MINUS_ONE_DEFAULT, 0, 255, 64},
    {IPPROTO_IPV6_K, 18, OPT_MC_HOPS, MINUS_ONE_DEFAULT, 0, 255, 1},
    {IPPROTO_IPV6_K, 19, OPT_MC_LOOP6, 0, 0, 1, 1},
    {IPPROTO_IPV6_K, 23, OPT_MTU_DISCOVER6, 0, 0, 5, 1},
    {IPPROTO_IPV6_K, 25, OPT_RECVERR6, BOOLEAN, 0, 0, 0},
    {IPPROTO_IPV6_K, 26, OPT_V6ONLY, BOOLEAN, 0, 0, 0},
    {IPPROTO_IPV6_K, 49, OPT_RECVPKTINFO6, BOOLEAN, 0, 0, 0},
    {IPPROTO_IPV6_K, 51, OPT_RECVHOPS, BOOLEAN, 0, 0, 0},
    {IPPROTO_IPV6_K, 62, OPT_DONTFRAG, BOOLEAN, 0, 0, 0},
    {IPPROTO_IPV6_K, 66, OPT_RECVTCLASS, BOOLEAN, 0, 0, 0},
    {IPPROTO_IPV6_K, 67, OPT_TCLASS, MINUS_ONE_DEFAULT, 0, 255, 0},
    {IPPROTO_IPV6_K, 70, OPT_AUTOFLOWLABEL, BOOLEAN, 0, 0, 1},
    {IPPROTO_TCP_K, 1, OPT_NODELAY, BOOLEAN, 0, 0, 0},
    {IPPROTO_TCP_K, 2, OPT_MAXSEG, 0, 88, 32767, 0},
    {IPPROTO_TCP_K, 3, OPT_CORK, BOOLEAN, 0, 0, 0},
    {IPPROTO_TCP_K, 4, OPT_KEEPIDLE, 0, 1, 32767, 7200},
    {IPPROTO_TCP_K, 5, OPT_KEEPINTVL, 0, 1, 32767, 75},
    {IPPROTO_TCP_K, 6, OPT_KEEPCNT, 0, 1, 127, 9},
    {IPPROTO_TCP_K, 7, OPT_SYNCNT, 0, 1, 127, 6},
    {IPPROTO_TCP_K, 8, OPT_LINGER2, 0, -1, 120, 60},
    {IPPROTO_TCP_K, 9, OPT_DEFER_ACCEPT, 0, 0, INT32_MAX, 0},
    {IPPROTO_TCP_K, 10, OPT_WINDOW_CLAMP, 0, 0, INT32_MAX, 0},
    {IPPROTO_TCP_K, 12, OPT_QUICKACK, BOOLEAN, 0, 0, 1},
    {IPPROTO_TCP_K, 18, OPT_USER_TIMEOUT, 0, 0, INT32_MAX, 0},
    {IPPROTO_TCP_K, 25, OPT_NOTSENT_LOWAT, 0, INT32_MIN, INT32_MAX, 0},
};

void inet_options_init(struct inet_sock *is)
{
    for (unsigned i = 0; i < ARRAY_LEN(options); i++)
        is->opt[options[i].slot] = options[i].initial;
}

static const struct option *option_find(const struct socket *s, int level, int name)
{
    if (level == IPPROTO_IPV6_K && s->family != AF_INET6_K)
        return NULL;
    if (level == IPPROTO_TCP_K && s->type != SOCK_STREAM_K)
        return NULL;
    for (unsigned i = 0; i < ARRAY_LEN(options); i++)
        if (options[i].level == level && options[i].name == name)
            return &options[i];
    return NULL;
}

/* ---- options that are more than a number ---- */

enum {
    IP_MULTICAST_IF_K = 32,
    IP_ADD_MEMBERSHIP_K = 35,
    IP_DROP_MEMBERSHIP_K = 36,
    MCAST_JOIN_GROUP_K = 42,
    MCAST_MSFILTER_K = 48,
    IPV6_MULTICAST_IF_K = 17,
    IPV6_JOIN_GROUP_K = 20,
    IPV6_LEAVE_GROUP_K = 21
};
enum { TCP_INFO_K = 11, TCP_CONGESTION_K = 13, TCP_FASTOPEN_CONNECT_K = 30 };

static int set_congestion(const struct socket *s, const char *name, uint32_t len)
{
    static const char *const known[] = {"cubic", "reno"};
    struct tcp_sock *ts = tcp_of(s);
    len = (uint32_t)strnlen(name, len);
    for (unsigned i = 0; i < ARRAY_LEN(known); i++)
        if (len == strlen(known[i]) && memcmp(name, known[i], len) == 0) {
            WRITE_ONCE(ts->congestion, known[i]);
            return 0;
        }
    return -ENOENT;
}

static int get_congestion(const struct socket *s, void *val, uint32_t *len)
{
    char name[16] = {0};
    k_strlcpy(name, READ_ONCE(tcp_of(s)->congestion), sizeof(name));
    *len = k_min(*len, (uint32_t)sizeof(name));
    memcpy(val, name, *len);
    return 0;
}

/* No interface of a keep has multicast. */
static bool is_multicast(int level, int name)
{
    return (level == IPPROTO_IP_K && ((name >= IP_MULTICAST_IF_K && name <= IP_DROP_MEMBERSHIP_K) ||
                                      name == 39 || name == 40)) ||
           (level == IPPROTO_IPV6_K && (name == IPV6_MULTICAST_IF_K || name == IPV6_JOIN_GROUP_K ||
                                        name == IPV6_LEAVE_GROUP_K)) ||
           ((level == IPPROTO_IP_K || level == IPPROTO_IPV6_K) && name >= MCAST_JOIN_GROUP_K &&
            name <= MCAST_MSFILTER_K);
}

/* ---- set and get ---- */

int inet_setsockopt(struct socket *s, int level, int name, const void *val, uint32_t len)
{
    struct inet_sock *is = inet_of(s);
    int32_t number;
    if (level == IPPROTO_TCP_K && s->type == SOCK_STREAM_K && name == TCP_CONGESTION_K)
        return len ? set_congestion(s, val, len) : -EINVAL;
    const struct option *o = option_find(s, level, name);
    if (!o)
        return is_multicast(level, name) ? -ENODEV : -ENOPROTOOPT;
    if (len >= sizeof(number))
        memcpy(&number, val, sizeof(number));
    else if (len >= 1 && level == IPPROTO_IP_K)
        number = *(const uint8_t *)val;
    else
        return -EINVAL;
    if (o->flags & BOOLEAN)
        number = number != 0;
    else if ((o->flags & MINUS_ONE_DEFAULT) && number == -1)
        number = o->initial;
    else if (o->slot == OPT_TOS)
        number &= 255;
    else if (o->slot == OPT_MAXSEG && number == 0)
        number = 0;
    else if (o->slot == OPT_LINGER2)
        number = k_min(k_max(number, -1), o->max);
    else if (number < o->min || number > o->max)
        return -EINVAL;
    if (o->slot == OPT_V6ONLY && is->bound)
        return -EINVAL;
    WRITE_ONCE(is->opt[o->slot], number);
    if (o->slot == OPT_NODELAY || o->slot == OPT_CORK)
        tcp_push_changed(s, (o->slot == OPT_NODELAY) == number);
    return 0;
}

int inet_getsockopt(struct socket *s, int level, int name, void *val, uint32_t *len)
{
    const struct option *o = option_find(s, level, name);
    if (level == IPPROTO_TCP_K && s->type == SOCK_STREAM_K && !o) {
        if (name == TCP_CONGESTION_K)
            return get_congestion(s, val, len);
        if (name == TCP_INFO_K)
            return tcp_get_info(s, val, len);
    }
    if (!o && s->family == AF_INET_K && level != IPPROTO_IP_K && level != IPPROTO_TCP_K &&
        level != IPPROTO_UDP_K)
        return -EOPNOTSUPP;
    if (!o)
        return -ENOPROTOOPT;
    int32_t number = READ_ONCE(inet_of(s)->opt[o->slot]);
    if (o->slot == OPT_MAXSEG && !number)
        number = tcp_state_of(s) == TCP_ESTABLISHED_K ? TCP_LOOPBACK_MSS : TCP_DEFAULT_MSS;
    /* ip(7): a caller with room for less than an int gets a byte. */
    if (level == IPPROTO_IP_K && *len < sizeof(number) && *len > 0 && number >= 0 &&
        number <= 255) {
        *(uint8_t *)val = (uint8_t)number;
        *len = 1;
        return 0;
    }
    *len = k_min(*len, (uint32_t)sizeof(number));
    memcpy(val, &number, *len);
    return 0;
}
