/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets. A connect inside the keep makes both ends at once: the listener owns the
 * other one until accept takes it. When the queue is full it waits on `pending`, and so does the
 * connecting program, until accept makes room. Connections from outside lie in a ring of their own,
 * which the credit given to the host bounds; their sockets are made by accept.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "net/tcp.h"

#define KEY_IN (POLLIN_K | POLLRDNORM_K)

/* ---- listen ---- */

static struct tcp_listener *listener_new(struct socket *s)
{
    struct tcp_listener *l = kzalloc(sizeof(*l));
    if (!l)
        return NULL;
    l->s = s;
    spin_init(&l->lock);
    list_init(&l->ready);
    list_init(&l->pending);
    list_init(&l->pub_link);
    return l;
}

int tcp_listen(struct socket *s, int backlog)
{
    struct tcp_sock *ts = tcp_of(s);
    struct tcp_listener *l = NULL;
    int r = 0;
    uint32_t most = k_min((uint32_t)backlog, (uint32_t)SOMAXCONN_K); /* negative ones: the most */
    mutex_lock(&s->lock);
    if (tcp_listening(s)) {
        WRITE_ONCE(ts->listener->backlog, most);
        goto out;
    }
    r = -EINVAL;
    if (ts->conn || ts->connecting)
        goto out;
    r = -ENOMEM;
    l = listener_new(s);
    if (!l)
        goto out;
    l->backlog = most;
    r = ts->inet.bound ? 0
                       : inet_port_bind(&tcp_table, &ts->inet,
                                        s->family == AF_INET_K ? &inet_any4 : &inet_any6, false);
    if (r)
        goto out;
    /* A listener that was shut down is kept: a thread may still be in accept. */
    if (ts->listener) {
        struct tcp_listener *old = ts->listener;
        spin_lock(&old->lock);
        old->closed = false;
        old->backlog = most;
        spin_unlock(&old->lock);
    } else {
        __atomic_store_n(&ts->listener, l, __ATOMIC_RELEASE);
        l = NULL;
    }
    r = inet_port_receive(&tcp_table, &ts->inet, true);
    if (r)
        goto out;
    r = tcp_host_listen(ts->listener);
    if (r) {
        (void)inet_port_receive(&tcp_table, &ts->inet, false);
        goto out;
    }
    __atomic_store_n(&s->shut, 0, __ATOMIC_SEQ_CST);
    __atomic_fetch_or(&s->flags, SOCKF_LISTENING, __ATOMIC_SEQ_CST);
out:
    mutex_unlock(&s->lock);
    kfree(l);
    return r;
}

/* ---- a connection inside the keep ---- */

/* What a new connection takes over from its listener. */
static void inherit(struct socket *child, const struct socket *from)
{
    const uint32_t flags = SOCKF_REUSEADDR | SOCKF_REUSEPORT | SOCKF_KEEPALIVE | SOCKF_OOBINLINE |
                           SOCKF_LINGER | SOCKF_DONTROUTE | SOCKF_TIMESTAMP | SOCKF_TIMESTAMPNS;
    child->flags = READ_ONCE(from->flags) & flags;
    child->sndbuf = from->sndbuf;
    child->rcvbuf = from->rcvbuf;
    child->rcvlowat = from->rcvlowat;
    child->linger_s = from->linger_s;
    child->priority = from->priority;
    child->mark = from->mark;
    child->sndtimeo_ns = from->sndtimeo_ns;
    child->rcvtimeo_ns = from->rcvtimeo_ns;
    struct tcp_sock *ts = tcp_of(child);
    const struct tcp_sock *ls = tcp_of(from);
    __builtin_memcpy(ts->inet.opt, ls->inet.opt, sizeof(ts->inet.opt));
    ts->inet.uid = ls->inet.uid;
    ts->congestion = ls->congestion;
}

struct socket *tcp_child_new(struct socket *listener, const struct inet_addr *own,
                             const struct inet_addr *peer)
{
    struct socket *child = tcp_socket_new(listener->family);
    if (!child)
        return NULL;
    inherit(child, listener);
    tcp_of(child)->inet.local = *own;
    tcp_of(child)->inet.peer = *peer;
    inet_port_join(&tcp_table, &tcp_of(child)->inet);
    return child;
}

static bool is_full(const struct tcp_listener *l)
{
    return l->nr_ready > l->backlog;
}

static void set_open(struct tcp_conn *c)
{
    half_set(&c->half[0], HALF_OPEN);
    half_set(&c->half[1], HALF_OPEN);
}

/* Moves to `dead` the pending ones whose programs gave up. l->lock is held. */
static void sweep(struct tcp_listener *l, struct list *dead)
{
    struct tcp_sock *ts, *tmp;
    list_for_each_safe (ts, tmp, &l->pending, queue_link) {
        if (half_flags(&ts->conn->half[!ts->side]) & HALF_CLOSED) {
            list_del(&ts->queue_link);
            list_add_tail(&ts->queue_link, dead);
        }
    }
}

static void free_all(struct list *dead)
{
    while (!list_empty(dead)) {
        struct tcp_sock *ts = list_first(dead, struct tcp_sock, queue_link);
        list_del(&ts->queue_link);
        tcp_close(ts, true);
        socket_free(ts->inet.s);
    }
}

int tcp_listener_connect(struct socket *ls, struct tcp_sock *ts, const struct inet_addr *to)
{
    struct tcp_listener *l = __atomic_load_n(&tcp_of(ls)->listener, __ATOMIC_ACQUIRE);
    struct socket *s = ts->inet.s;
    struct socket *child = tcp_child_new(ls, to, &ts->inet.local);
    struct tcp_conn *c = child ? tcp_conn_new(s, child) : NULL;
    struct list dead;
    if (!c) {
        if (child)
            socket_free(child);
        return -ENOMEM;
    }
    struct tcp_sock *cs = tcp_of(child);
    cs->side = 1;
    cs->conn = c;
    ts->side = 0;
    __atomic_store_n(&ts->conn, c, __ATOMIC_RELEASE);
    list_init(&dead);
    spin_lock(&l->lock);
    bool closed = l->closed, open = !closed && !is_full(l);
    if (open) {
        set_open(c);
        list_add_tail(&cs->queue_link, &l->ready);
        l->nr_ready++;
    } else if (!closed) {
        sweep(l, &dead);
        list_add_tail(&cs->queue_link, &l->pending);
    }
    spin_unlock(&l->lock);
    if (closed) /* resets ts in its turn, with ECONNREFUSED */
        socket_free(child);
    if (open) {
        wake_one(&ls->wait, KEY_IN);
        wake_all(&s->wait, POLLOUT_K | POLLWRNORM_K);
    }
    free_all(&dead);
    return 0;
}

/* ---- a connection from outside ---- */

bool tcp_listener_offer(struct tcp_listener *l, const struct host_conn *hc)
{
    spin_lock(&l->lock);
    bool room = l->ring_head - l->ring_tail < l->ring_size;
    if (room) {
        l->ring[l->ring_head % l->ring_size] = *hc;
        __atomic_store_n(&l->ring_head, l->ring_head + 1, __ATOMIC_RELEASE);
    }
    spin_unlock(&l->lock);
    if (room)
        wake_one(&l->s->wait, KEY_IN);
    return room;
}

/* ---- accept ---- */

bool tcp_listener_ready(struct tcp_listener *l)
{
    return READ_ONCE(l->nr_ready) || READ_ONCE(l->ring_head) != READ_ONCE(l->ring_tail);
}

/* Takes the next connection: one from inside into *ts, or one from outside into *hc; the first
 * program that waited for a place gets it. */
static bool take_next(struct tcp_listener *l, struct tcp_sock **ts, struct host_conn *hc)
{
    struct list dead;
    struct tcp_conn *opened = NULL;
    *ts = NULL;
    list_init(&dead);
    spin_lock(&l->lock);
    bool inside = l->nr_ready, outside = l->ring_head != l->ring_tail;
    if (outside && (!inside || l->host_turn)) {
        *hc = l->ring[l->ring_tail % l->ring_size];
        l->ring_tail++;
        l->host_turn = false;
    } else if (inside) {
        *ts = list_first(&l->ready, struct tcp_sock, queue_link);
        list_del(&(*ts)->queue_link);
        l->nr_ready--;
        l->host_turn = true;
        if (!list_empty(&l->pending))
            sweep(l, &dead);
        if (!list_empty(&l->pending) && !is_full(l)) {
            struct tcp_sock *next = list_first(&l->pending, struct tcp_sock, queue_link);
            list_del(&next->queue_link);
            list_add_tail(&next->queue_link, &l->ready);
            l->nr_ready++;
            opened = next->conn;
            ref_get(&opened->ref);
            set_open(opened);
        }
    }
    spin_unlock(&l->lock);
    free_all(&dead);
    if (opened) {
        tcp_wake(&opened->half[0], POLLOUT_K | POLLWRNORM_K);
        tcp_conn_put(opened);
    }
    return inside || outside;
}

int tcp_accept(struct socket *s, struct socket **out, struct sock_addr *peer, bool nonblock)
{
    struct tcp_listener *l = __atomic_load_n(&tcp_of(s)->listener, __ATOMIC_ACQUIRE);
    ktime_t deadline = socket_deadline(READ_ONCE(s->rcvtimeo_ns));
    struct host_conn hc;
    for (;;) {
        struct tcp_sock *ts;
        if (!tcp_listening(s))
            return -EINVAL;
        if (take_next(l, &ts, &hc)) {
            *out = ts ? ts->inet.s : tcp_host_accept(s, &hc);
            if (!*out)
                return -ENOMEM;
            break;
        }
        if (nonblock)
            return -EAGAIN;
        int r;
        WAIT_EVENT(&s->wait, tcp_listener_ready(l) || !tcp_listening(s),
                   WAIT_INTERRUPTIBLE | WAIT_EXCLUSIVE, deadline, r);
        r = socket_wait_result(r, READ_ONCE(s->rcvtimeo_ns));
        if (r)
            return r;
    }
    if (tcp_listener_ready(l))
        wake_one(&s->wait, KEY_IN);
    if (peer)
        inet_format(s->family, &inet_of(*out)->peer, peer);
    return 0;
}

/* ---- the end ---- */

void tcp_listener_close(struct tcp_sock *ts)
{
    struct socket *s = ts->inet.s;
    struct tcp_listener *l = ts->listener;
    struct list dead;
    __atomic_fetch_and(&s->flags, ~(uint32_t)SOCKF_LISTENING, __ATOMIC_SEQ_CST);
    (void)inet_port_receive(&tcp_table, &ts->inet, false);
    tcp_host_unlisten(l);
    list_init(&dead);
    spin_lock(&l->lock);
    l->closed = true;
    list_splice_tail(&l->ready, &dead);
    list_splice_tail(&l->pending, &dead);
    l->nr_ready = 0;
    spin_unlock(&l->lock);
    free_all(&dead);
}

void tcp_listener_free(struct tcp_listener *l)
{
    kfree(l->ring);
    kfree(l);
}
