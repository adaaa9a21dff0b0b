/* SPDX-License-Identifier: Apache-2.0 */
/* The port table: who may have a port, and who gets what comes for it. */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "ktest.h"
#include "net/inet.h"

static struct inet_table table;

static struct inet_sock *make(int family, int type, uint32_t flags)
{
    struct socket *s = socket_alloc(family, type, 0);
    struct inet_sock *is = kzalloc(sizeof(*is));
    inet_sock_init(is, s);
    s->flags = flags;
    return is;
}

static void drop(struct inet_sock *is)
{
    inet_port_release(&table, is);
    socket_put(is->s);
    kfree(is);
}

static struct inet_addr at(const struct inet_addr *ip, uint16_t port)
{
    struct inet_addr a = *ip;
    a.port = port;
    return a;
}

static int take(struct inet_sock *is, const struct inet_addr *ip, uint16_t port)
{
    struct inet_addr a = at(ip, port);
    return inet_port_bind(&table, is, &a, is->s->type == SOCK_DGRAM_K);
}

/* Whose is a datagram from `from_port` of loopback? */
static struct socket *owner(const struct inet_addr *ip, uint16_t port, uint16_t from_port)
{
    struct inet_addr to = at(ip, port), from = at(&inet_loopback4, from_port);
    struct socket *s = inet_port_find(&table, &to, &from);
    if (s)
        socket_put(s);
    return s;
}

KTEST(inet_ports_addresses_that_meet_conflict)
{
    struct inet_sock *a = make(AF_INET_K, SOCK_DGRAM_K, 0), *b = make(AF_INET_K, SOCK_DGRAM_K, 0);
    struct inet_sock *c = make(AF_INET6_K, SOCK_DGRAM_K, 0);
    KCHECK_EQ(take(a, &inet_loopback4, 500), 0);
    KCHECK_EQ(take(b, &inet_loopback4, 500), -EADDRINUSE);
    KCHECK_EQ(take(b, &inet_any4, 500), -EADDRINUSE);
    KCHECK_EQ(take(b, &inet_eth0, 500), 0);
    KCHECK_EQ(take(c, &inet_any6, 500), -EADDRINUSE);
    KCHECK_EQ(take(c, &inet_loopback6, 500), 0);
    drop(a);
    drop(b);
    drop(c);
    a = make(AF_INET6_K, SOCK_DGRAM_K, 0);
    b = make(AF_INET_K, SOCK_DGRAM_K, 0);
    a->opt[OPT_V6ONLY] = 1;
    KCHECK_EQ(take(a, &inet_any6, 500), 0);
    KCHECK_EQ(take(b, &inet_any4, 500), 0);
    drop(a);
    drop(b);
}

KTEST(inet_ports_listener_shares_by_reuseport_alone)
{
    struct inet_sock *a = make(AF_INET_K, SOCK_STREAM_K, SOCKF_REUSEADDR),
                     *b = make(AF_INET_K, SOCK_STREAM_K, SOCKF_REUSEADDR);
    KCHECK_EQ(take(a, &inet_any4, 501), 0);
    KCHECK_EQ(take(b, &inet_any4, 501), 0);
    KCHECK_EQ(inet_port_receive(&table, a, true), 0);
    KCHECK_EQ(inet_port_receive(&table, b, true), -EADDRINUSE);
    KCHECK_EQ(inet_port_receive(&table, a, false), 0);
    KCHECK_EQ(inet_port_receive(&table, b, true), 0);
    a->s->flags = b->s->flags = SOCKF_REUSEPORT;
    KCHECK_EQ(inet_port_receive(&table, a, true), 0);
    a->uid = 7;
    inet_port_release(&table, b);
    b->uid = 8;
    KCHECK_EQ(inet_port_bind(&table, b, &(struct inet_addr){.ip = {[10] = 0xff, 0xff}, .port = 501},
                             false),
              -EADDRINUSE);
    drop(a);
    drop(b);
}

KTEST(inet_ports_best_fit_receives)
{
    struct inet_sock *any6 = make(AF_INET6_K, SOCK_DGRAM_K, SOCKF_REUSEADDR),
                     *any4 = make(AF_INET_K, SOCK_DGRAM_K, SOCKF_REUSEADDR),
                     *lo = make(AF_INET_K, SOCK_DGRAM_K, SOCKF_REUSEADDR),
                     *peer = make(AF_INET_K, SOCK_DGRAM_K, SOCKF_REUSEADDR);
    KCHECK(!owner(&inet_loopback4, 502, 9));
    KCHECK_EQ(take(any6, &inet_any6, 502), 0);
    KCHECK(owner(&inet_loopback4, 502, 9) == any6->s);
    KCHECK_EQ(take(any4, &inet_any4, 502), 0);
    KCHECK(owner(&inet_loopback4, 502, 9) == any4->s);
    KCHECK(owner(&inet_loopback6, 502, 9) == any6->s);
    KCHECK_EQ(take(peer, &inet_any4, 502), 0);
    KCHECK_EQ(take(lo, &inet_loopback4, 502), 0);
    KCHECK(owner(&inet_loopback4, 502, 9) == lo->s);
    KCHECK(owner(&inet_eth0, 502, 9) == peer->s); /* of equals the one bound last */
    struct inet_addr far = at(&inet_loopback4, 9);
    inet_port_connect(&table, peer, &inet_loopback4, &far);
    KCHECK(owner(&inet_loopback4, 502, 9) == peer->s);
    KCHECK(owner(&inet_loopback4, 502, 10) == lo->s);
    inet_port_connect(&table, peer, NULL, NULL);
    KCHECK(inet_is_any(&peer->local) && peer->local.port == 502);
    drop(any6);
    drop(any4);
    drop(lo);
    drop(peer);
}

KTEST(inet_ports_reuseport_spreads_and_is_steady)
{
    struct inet_sock *s[4];
    unsigned got[4] = {0};
    for (unsigned i = 0; i < 4; i++) {
        s[i] = make(AF_INET_K, SOCK_DGRAM_K, SOCKF_REUSEPORT);
        KCHECK_EQ(take(s[i], &inet_any4, 503), 0);
    }
    for (uint16_t port = 1000; port < 1400; port++) {
        struct socket *to = owner(&inet_loopback4, 503, port);
        KCHECK(to && to == owner(&inet_loopback4, 503, port));
        for (unsigned i = 0; i < 4; i++)
            got[i] += s[i]->s == to;
    }
    for (unsigned i = 0; i < 4; i++) {
        KCHECK(got[i] > 40);
        drop(s[i]);
    }
}

KTEST(inet_ports_ephemeral_ones_are_distinct_and_run_out)
{
    const unsigned nr = EPHEMERAL_LAST - EPHEMERAL_FIRST + 1;
    struct inet_sock **all = kmalloc(nr * sizeof(*all));
    static uint8_t seen[65536];
    KCHECK(all);
    for (unsigned i = 0; i < nr; i++) {
        all[i] = make(AF_INET_K, SOCK_STREAM_K, SOCKF_REUSEADDR);
        KCHECK_EQ(take(all[i], &inet_any4, 0), 0);
        KCHECK(all[i]->local.port >= EPHEMERAL_FIRST && all[i]->local.port <= EPHEMERAL_LAST);
        KCHECK(!seen[all[i]->local.port]++);
    }
    struct inet_sock *more = make(AF_INET_K, SOCK_STREAM_K, SOCKF_REUSEADDR);
    KCHECK_EQ(take(more, &inet_any4, 0), -EADDRINUSE);
    drop(all[77]);
    KCHECK_EQ(take(more, &inet_any4, 0), 0);
    all[77] = more;
    for (unsigned i = 0; i < nr; i++)
        drop(all[i]);
    kfree(all);
}
