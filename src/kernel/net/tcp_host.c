/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP to and from the outside. What the host says comes as upcalls that own the connection: they
 * fill half 0. The host may put as much as the buffer holds (credit); what is read is given back.
 * The host's word is taken for nothing but bytes, addresses to show, and an end.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "net/tcp.h"

#define KEY_IN (POLLIN_K | POLLRDNORM_K)
#define KEY_OUT (POLLOUT_K | POLLWRNORM_K)
#define HOST_BACKLOG_MAX 512u

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
    inet_from_host(own, &c->host_own);
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
    if (tcp_of(listener)->listener->host)
        host_sock_credit(tcp_of(listener)->listener->host, 1);
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

static void on_listener_error(void *owner, int error)
{
    struct tcp_listener *l = owner;
    (void)error; /* nobody comes from outside any more; inside it goes on */
    wake_all(&l->s->wait, POLLERR_K);
}

static const struct host_sock_ops listener_ops = {
    .accepted = tcp_listener_accepted,
    .error = on_listener_error,
};

int tcp_host_listen(struct tcp_listener *l)
{
    struct inet_sock *is = inet_of(l->s);
    uint32_t flags = READ_ONCE(l->s->flags), bind_flags = 0;
    int family = inet_is_v4(&is->local) ? AF_INET_K : AF_INET6_K;
    if (!host_net_present() || inet_is_loopback(&is->local))
        return 0;
    if (!l->ring) {
        l->ring_size = k_min(k_max(l->backlog, 16u), HOST_BACKLOG_MAX);
        l->ring = kzalloc(l->ring_size * sizeof(*l->ring));
        if (!l->ring)
            return -ENOMEM;
    }
    struct host_sock *hs = host_sock_create(family, SOCK_STREAM_K, &listener_ops, l);
    if (is_err(hs))
        return ptr_err(hs) == -EACCES ? 0 : (int)ptr_err(hs);
    if (flags & SOCKF_REUSEADDR)
        bind_flags |= CELLA_HOST_BIND_REUSEADDR;
    if (flags & SOCKF_REUSEPORT)
        bind_flags |= CELLA_HOST_BIND_REUSEPORT;
    if (is->opt[OPT_V6ONLY])
        bind_flags |= CELLA_HOST_BIND_V6ONLY;
    struct cella_host_sockaddr addr;
    struct inet_addr want = inet_same_ip(&is->local, &inet_eth0) ? inet_any4 : is->local;
    want.port = is->local.port;
    inet_to_host(&want, family, &addr);
    int r = host_sock_bind(hs, &addr, (int)l->ring_size, bind_flags);
    if (r) {
        host_sock_release(hs);
        /* A port that is not published is the keep's own affair. */
        return r == -EADDRNOTAVAIL && inet_is_local(&is->local) ? 0 : r;
    }
    l->host = hs;
    host_sock_credit(hs, l->ring_size);
    return 0;
}
