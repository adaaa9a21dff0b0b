/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP to and from the outside. What the host says comes as upcalls that own the connection: they
 * fill half 0. The host may put as much as the buffer holds (credit); what is read is given back.
 * The host's word is taken for nothing but bytes, addresses to show, and an end.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "net/tcp.h"

#define KEY_IN (POLLIN_K | POLLRDNORM_K)
#define KEY_OUT (POLLOUT_K | POLLWRNORM_K)
#define HOST_BACKLOG_MAX 512u

/*
 * A port at the host. Listeners that share one by SO_REUSEPORT share this: who comes from one place
 * always goes to the same of them. Each has room for all that the host may bring.
 */
struct tcp_published {
    struct list link; /* in `published`, under published_lock */
    spinlock_t lock;  /* guards listeners */
    struct list listeners;
    uint32_t nr_listeners;
    struct host_sock *hs;
    struct inet_addr local;
    int family;
    uint32_t credit; /* connections not yet accepted that the host may bring */
};

/* The keep's end of a connection is one of the keep's own addresses: what it is at the host does
 * not matter inside. IPv6 has none. */
static void own_address(const struct cella_host_sockaddr *from, struct inet_addr *own)
{
    inet_from_host(from, own);
    if (inet_is_v4(own))
        memcpy(own->ip, inet_eth0.ip, sizeof(own->ip));
}

/* ---- upcalls of a connection ---- */

static void on_connected(void *owner, int error, const struct cella_host_sockaddr *own)
{
    struct tcp_conn *c = owner;
    if (half_flags(&c->half[0]) & (HALF_OPEN | HALF_RESET))
        return;
    if (error) {
        tcp_reset_half(c, 0, error > 0 && error <= MAX_ERRNO ? error : EIO);
        return;
    }
    own_address(own, &c->host_own);
    half_set(&c->half[0], HALF_OPEN);
    tcp_wake(&c->half[0], KEY_OUT);
}

static void on_data(void *owner, const void *bytes, uint32_t len)
{
    struct tcp_conn *c = owner;
    struct tcp_half *h = &c->half[0];
    if (!len || (half_flags(h) & (HALF_FIN | HALF_RESET | HALF_CLOSED)))
        return;
    if (stream_buffer_put_kernel(&h->rx, bytes, len) != 0)
        tcp_reset_half(c, 0, ENOBUFS); /* a gap must not pass for the stream */
    else
        tcp_wake(h, KEY_IN);
}

static void on_eof(void *owner)
{
    struct tcp_conn *c = owner;
    if (!(half_set(&c->half[0], HALF_FIN) & HALF_FIN))
        tcp_wake(&c->half[0], KEY_IN | POLLRDHUP_K | POLLHUP_K);
}

static void on_error(void *owner, int error)
{
    tcp_reset_half(owner, 0, error > 0 && error <= MAX_ERRNO ? error : EIO);
}

static void on_writable(void *owner)
{
    struct tcp_conn *c = owner;
    tcp_wake(&c->half[0], KEY_OUT);
}

static const struct host_sock_ops conn_ops = {
    .connected = on_connected,
    .data = on_data,
    .eof = on_eof,
    .error = on_error,
    .writable = on_writable,
};

/* ---- connections ---- */

/* What the options ask of the host, and leave to fill the buffer. */
static void set_up(struct tcp_conn *c)
{
    struct socket *s = c->half[0].sock;
    if (inet_of(s)->opt[OPT_CORK])
        host_sock_cork(c->host, true, false);
    if (READ_ONCE(s->flags) & SOCKF_KEEPALIVE)
        host_sock_ctl(c->host, CELLA_HOST_SET_KEEPALIVE, 1);
    host_sock_credit(c->host, (uint32_t)c->half[0].rx.limit);
}

int tcp_host_connect(struct tcp_sock *ts, const struct inet_addr *to)
{
    int family = inet_is_v4(to) ? AF_INET_K : AF_INET6_K;
    struct tcp_conn *c = tcp_conn_new(ts->inet.s, NULL);
    if (!c)
        return -ENOMEM;
    struct host_sock *hs = host_sock_create(family, SOCK_STREAM_K, &conn_ops, c);
    if (is_err(hs)) {
        tcp_conn_put(c);
        return ptr_err(hs) == -EACCES ? -ENETUNREACH : (int)ptr_err(hs);
    }
    c->host = hs;
    c->host_own = ts->inet.local;
    ts->side = 0;
    __atomic_store_n(&ts->conn, c, __ATOMIC_RELEASE);
    struct cella_host_sockaddr addr;
    if (ts->inet.bound) {
        /* The port that the program chose, if the host can have it. */
        struct inet_addr from = family == AF_INET_K ? inet_any4 : inet_any6;
        from.port = ts->inet.local.port;
        inet_to_host(&from, family, &addr);
        (void)host_sock_bind(hs, &addr, 0, CELLA_HOST_BIND_REUSEADDR);
    }
    inet_to_host(to, family, &addr);
    set_up(c);
    return host_sock_connect(hs, &addr);
}

struct socket *tcp_host_accept(struct socket *listener, const struct host_conn *hc)
{
    struct inet_addr own = hc->own;
    /* The port is the one that was asked for, whatever the host calls it. */
    own.port = inet_of(listener)->local.port;
    mutex_lock(&listener->lock);
    if (tcp_of(listener)->listener->pub)
        host_sock_credit(tcp_of(listener)->listener->pub->hs, 1);
    mutex_unlock(&listener->lock);
    struct socket *s = tcp_child_new(listener, &own, &hc->peer);
    struct tcp_conn *c = s ? tcp_conn_new(s, NULL) : NULL;
    if (!c) {
        if (s)
            socket_free(s);
        host_sock_release(hc->hs);
        return NULL;
    }
    c->host = hc->hs;
    c->host_own = own;
    half_set(&c->half[0], HALF_OPEN);
    tcp_of(s)->conn = c;
    host_sock_set_owner(c->host, &conn_ops, c);
    set_up(c);
    return s;
}

/* ---- listeners ---- */

static struct list published = LIST_INIT(published);
static struct mutex published_lock = {SPINLOCK_INIT, NULL, WAIT_QUEUE_INIT(published_lock.q)};

static void on_accepted(void *owner, struct host_sock *conn, const struct cella_host_sockaddr *peer,
                        const struct cella_host_sockaddr *own)
{
    struct tcp_published *pub = owner;
    struct host_conn hc = {.hs = conn};
    struct tcp_listener *l;
    inet_from_host(peer, &hc.peer);
    own_address(own, &hc.own);
    spin_lock(&pub->lock);
    uint32_t pick = inet_spread(&hc.peer, pub->nr_listeners);
    list_for_each (l, &pub->listeners, pub_link)
        if (pick-- == 0) {
            (void)tcp_listener_offer(l, &hc); /* the credit is the room */
            break;
        }
    spin_unlock(&pub->lock);
}

/* Without `error`: nobody comes from outside any more; inside it goes on. */
static const struct host_sock_ops listener_ops = {.accepted = on_accepted};

/* Publishes the port of l. err_ptr. published_lock is held. */
static struct tcp_published *publish(struct tcp_listener *l)
{
    struct inet_sock *is = inet_of(l->s);
    uint32_t bind_flags = 0;
    struct tcp_published *pub = kzalloc(sizeof(*pub));
    if (!pub)
        return err_ptr(-ENOMEM);
    spin_init(&pub->lock);
    list_init(&pub->link);
    list_init(&pub->listeners);
    pub->local = is->local;
    pub->family = inet_is_v4(&is->local) ? AF_INET_K : AF_INET6_K;
    pub->credit = k_min(k_max(l->backlog, 16u), HOST_BACKLOG_MAX);
    pub->hs = host_sock_create(pub->family, SOCK_STREAM_K, &listener_ops, pub);
    int r = is_err(pub->hs) ? (int)ptr_err(pub->hs) : 0;
    if (r == 0) {
        struct cella_host_sockaddr addr;
        struct inet_addr want = inet_same_ip(&is->local, &inet_eth0) ? inet_any4 : is->local;
        if (READ_ONCE(l->s->flags) & SOCKF_REUSEADDR)
            bind_flags |= CELLA_HOST_BIND_REUSEADDR;
        if (is->opt[OPT_V6ONLY])
            bind_flags |= CELLA_HOST_BIND_V6ONLY;
        want.port = is->local.port;
        inet_to_host(&want, pub->family, &addr);
        r = host_sock_bind(pub->hs, &addr, (int)pub->credit, bind_flags);
        if (r)
            host_sock_release(pub->hs);
    }
    if (r) {
        kfree(pub);
        return err_ptr(r);
    }
    list_add(&pub->link, &published);
    return pub;
}

/* What l shares by SO_REUSEPORT; inet_port_receive has seen to it that it may. published_lock is
 * held. */
static struct tcp_published *find_shared(const struct tcp_listener *l)
{
    const struct inet_addr *local = &inet_of(l->s)->local;
    struct tcp_published *pub;
    list_for_each (pub, &published, link)
        if (inet_same_ip(&pub->local, local) && pub->local.port == local->port)
            return pub;
    return NULL;
}

int tcp_host_listen(struct tcp_listener *l)
{
    struct inet_sock *is = inet_of(l->s);
    int r = 0;
    if (!host_net_present() || inet_is_loopback(&is->local))
        return 0;
    mutex_lock(&published_lock);
    struct tcp_published *shared = find_shared(l), *pub = shared ? shared : publish(l);
    if (is_err(pub)) {
        r = (int)ptr_err(pub);
        /* A port that is not published is the keep's own affair. */
        if (r == -EACCES || (r == -EADDRNOTAVAIL && inet_is_local(&is->local)))
            r = 0;
        goto out;
    }
    struct host_conn *old = NULL, *ring = kzalloc(pub->credit * sizeof(*ring));
    if (ring) {
        spin_lock(&l->lock);
        old = l->ring; /* of a listener that was shut down, and is empty */
        l->ring = ring;
        l->ring_size = pub->credit;
        l->ring_head = l->ring_tail = 0;
        spin_unlock(&l->lock);
        l->pub = pub;
        spin_lock(&pub->lock);
        list_add_tail(&l->pub_link, &pub->listeners);
        pub->nr_listeners++;
        spin_unlock(&pub->lock);
        kfree(old);
        if (!shared)
            host_sock_credit(pub->hs, pub->credit);
    } else {
        r = -ENOMEM;
        if (!shared) {
            list_del(&pub->link);
            host_sock_release(pub->hs);
            kfree(pub);
        }
    }
out:
    mutex_unlock(&published_lock);
    return r;
}

void tcp_host_unlisten(struct tcp_listener *l)
{
    struct tcp_published *pub = l->pub;
    if (!pub)
        return;
    mutex_lock(&published_lock);
    l->pub = NULL;
    spin_lock(&pub->lock);
    list_del(&l->pub_link);
    bool last = --pub->nr_listeners == 0;
    spin_unlock(&pub->lock);
    /* Nothing more is put into the ring; a thread may still be in accept. */
    for (;;) {
        struct host_sock *hs = NULL;
        spin_lock(&l->lock);
        if (l->ring_head != l->ring_tail)
            hs = l->ring[l->ring_tail++ % l->ring_size].hs;
        spin_unlock(&l->lock);
        if (!hs)
            break;
        host_sock_release(hs);
        host_sock_credit(pub->hs, 1);
    }
    if (last) {
        list_del(&pub->link);
        host_sock_release(pub->hs);
        kfree(pub);
    }
    mutex_unlock(&published_lock);
}
