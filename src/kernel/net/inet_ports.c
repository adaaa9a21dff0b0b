/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who has which port. A table for each protocol, hashed by port; a bucket's lock guards its lists
 * and what look-ups read of the sockets in them (local, peer, connected). No packet takes a lock
 * that all share.
 *
 * Connections that a listener accepted stand in the table with the listener's port, so that the
 * port is not given to another program while they live, unless both sides said SO_REUSEADDR.
 * TIME_WAIT is not modelled: the port is free as soon as the last socket is closed.
 */
#include "base/errno.h"
#include "crypto/drbg.h"
#include "net/inet.h"
#include "proc/task.h"

struct inet_table tcp_table, udp_table, udplite_table;
int inet_unprivileged_port_start = 1024;

#define NR_EPHEMERAL (EPHEMERAL_LAST - EPHEMERAL_FIRST + 1)

static struct inet_bucket *bucket_lock(struct inet_table *t, uint16_t port)
{
    struct inet_bucket *b = &t->bucket[port % INET_BUCKETS];
    spin_lock(&b->lock);
    if (!b->receivers.next) {
        list_init(&b->receivers);
        list_init(&b->others);
    }
    return b;
}

/* ---- addresses that meet ---- */

enum { FAMILY_4 = 1, FAMILY_6 = 2 };

static unsigned families(const struct inet_sock *is, const struct inet_addr *a)
{
    if (inet_is_v4(a))
        return FAMILY_4;
    return inet_is_any(a) && !is->opt[OPT_V6ONLY] ? FAMILY_4 | FAMILY_6 : FAMILY_6;
}

static bool overlap(const struct inet_sock *x, const struct inet_addr *a, const struct inet_sock *y)
{
    if (!(families(x, a) & families(y, &y->local)))
        return false;
    return inet_is_any(a) || inet_is_any(&y->local) || inet_same_ip(a, &y->local);
}

/* May both have the port? A listener shares by SO_REUSEPORT alone. */
static bool may_share(const struct inet_sock *x, const struct inet_sock *y)
{
    uint32_t both = READ_ONCE(x->s->flags) & READ_ONCE(y->s->flags);
    if ((both & SOCKF_REUSEPORT) && x->uid == y->uid)
        return true;
    return (both & SOCKF_REUSEADDR) && (x->s->type == SOCK_DGRAM_K || !y->receiver);
}

/* The bucket is locked. ephemeral: nothing is shared. */
static bool conflicts(const struct inet_bucket *b, const struct inet_sock *x,
                      const struct inet_addr *a, bool ephemeral)
{
    const struct list *lists[] = {&b->receivers, &b->others};
    for (unsigned i = 0; i < 2; i++) {
        const struct inet_sock *y;
        list_for_each (y, lists[i], port_link)
            if (y != x && y->local.port == a->port && overlap(x, a, y) &&
                (ephemeral || !may_share(x, y)))
                return true;
    }
    return false;
}

/* ---- taking and leaving a port ---- */

static bool try_bind(struct inet_table *t, struct inet_sock *is, const struct inet_addr *a,
                     bool receiver, bool ephemeral)
{
    struct inet_bucket *b = bucket_lock(t, a->port);
    bool free = !conflicts(b, is, a, ephemeral);
    if (free) {
        is->local = *a;
        is->bound = true;
        is->autobound = ephemeral;
        is->wild = inet_is_any(a);
        is->receiver = receiver;
        /* At the front: of sockets that fit equally, the one bound last receives. */
        list_add(&is->port_link, receiver ? &b->receivers : &b->others);
    }
    spin_unlock(&b->lock);
    return free;
}

int inet_port_bind(struct inet_table *t, struct inet_sock *is, const struct inet_addr *addr,
                   bool receiver)
{
    struct inet_addr a = *addr;
    is->uid = current->cred ? current->cred->euid : 0;
    if (a.port)
        return try_bind(t, is, &a, receiver, false) ? 0 : -EADDRINUSE;
    if (!READ_ONCE(t->next_ephemeral)) {
        uint32_t seed;
        drbg_fill(&seed, sizeof(seed));
        WRITE_ONCE(t->next_ephemeral, seed | 1);
    }
    for (unsigned i = 0; i < NR_EPHEMERAL; i++) {
        uint32_t n = __atomic_fetch_add(&t->next_ephemeral, 1, __ATOMIC_RELAXED);
        a.port = (uint16_t)(EPHEMERAL_FIRST + n % NR_EPHEMERAL);
        if (try_bind(t, is, &a, receiver, true))
            return 0;
    }
    return -EADDRINUSE;
}

void inet_port_join(struct inet_table *t, struct inet_sock *is)
{
    struct inet_bucket *b = bucket_lock(t, is->local.port);
    is->bound = true;
    list_add(&is->port_link, &b->others);
    spin_unlock(&b->lock);
}

int inet_port_receive(struct inet_table *t, struct inet_sock *is, bool on)
{
    struct inet_bucket *b = bucket_lock(t, is->local.port);
    bool free = !on || !conflicts(b, is, &is->local, false);
    if (free) {
        is->receiver = on;
        list_del(&is->port_link);
        list_add(&is->port_link, on ? &b->receivers : &b->others);
    }
    spin_unlock(&b->lock);
    return free ? 0 : -EADDRINUSE;
}

void inet_port_release(struct inet_table *t, struct inet_sock *is)
{
    if (!is->bound)
        return;
    struct inet_bucket *b = bucket_lock(t, is->local.port);
    list_del(&is->port_link);
    is->bound = is->receiver = is->autobound = false;
    is->local.port = 0;
    spin_unlock(&b->lock);
}

void inet_port_connect(struct inet_table *t, struct inet_sock *is, const struct inet_addr *own,
                       const struct inet_addr *peer)
{
    struct inet_bucket *b = bucket_lock(t, is->local.port);
    const struct inet_addr *any = is->s->family == AF_INET_K ? &inet_any4 : &inet_any6;
    uint16_t port = is->local.port;
    if (own || is->wild)
        is->local = own ? *own : *any;
    is->local.port = port;
    is->connected = peer != NULL;
    is->peer = peer ? *peer : *any;
    spin_unlock(&b->lock);
}

/* ---- look-up ---- */

/* How well a socket fits: 0: not at all. A peer that was chosen counts more than an own address,
 * which counts more than the family. */
static int score(const struct inet_sock *is, const struct inet_addr *to,
                 const struct inet_addr *from)
{
    bool v4 = inet_is_v4(to);
    int points = 1;
    if (is->local.port != to->port || !(families(is, &is->local) & (v4 ? FAMILY_4 : FAMILY_6)))
        return 0;
    if (!inet_is_any(&is->local)) {
        if (!inet_same_ip(&is->local, to))
            return 0;
        points += 4;
    }
    if (is->connected) {
        if (!inet_same_ip(&is->peer, from) || is->peer.port != from->port)
            return 0;
        points += 8;
    }
    return points + (v4 && is->s->family == AF_INET_K ? 2 : 0);
}

uint32_t inet_spread(const struct inet_addr *from, uint32_t n)
{
    return ((from->port * 0x9e3779b1u + from->ip[15]) >> 8) % n;
}

struct socket *inet_port_find(struct inet_table *t, const struct inet_addr *to,
                              const struct inet_addr *from)
{
    struct inet_bucket *b = bucket_lock(t, to->port);
    struct inet_sock *is, *best = NULL;
    int best_score = 0;
    uint32_t nr_equal = 0;
    /* Sockets that share by SO_REUSEPORT take turns by the sender's port, so that what comes from
     * one place always goes to the same of them. */
    list_for_each (is, &b->receivers, port_link) {
        int n = score(is, to, from);
        if (n > best_score) {
            best = is;
            best_score = n;
            nr_equal = 1;
        } else if (n && n == best_score && (READ_ONCE(is->s->flags) & SOCKF_REUSEPORT)) {
            nr_equal++;
        }
    }
    if (best && nr_equal > 1 && (READ_ONCE(best->s->flags) & SOCKF_REUSEPORT)) {
        uint32_t pick = inet_spread(from, nr_equal);
        list_for_each (is, &b->receivers, port_link)
            if (score(is, to, from) == best_score && (READ_ONCE(is->s->flags) & SOCKF_REUSEPORT) &&
                pick-- == 0) {
                best = is;
                break;
            }
    }
    struct socket *s = best ? best->s : NULL;
    if (s)
        socket_get(s);
    spin_unlock(&b->lock);
    return s;
}

void inet_port_for_each(struct inet_table *t, void (*fn)(struct socket *s, void *arg), void *arg)
{
    for (unsigned i = 0; i < INET_BUCKETS; i++) {
        struct inet_bucket *b = bucket_lock(t, (uint16_t)i);
        struct list *lists[] = {&b->receivers, &b->others};
        for (unsigned j = 0; j < 2; j++) {
            struct inet_sock *is;
            list_for_each (is, lists[j], port_link)
                fn(is->s, arg);
        }
        spin_unlock(&b->lock);
    }
}
