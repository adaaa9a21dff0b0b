/* SPDX-License-Identifier: Apache-2.0 */
/* TCP sockets: life, connect, shutdown, close, poll. net/tcp.h says how a connection is made. */
#include "net/tcp.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "base/usercopy.h"

enum { SO_SNDBUF_K = 7, SO_RCVBUF_K = 8, SO_KEEPALIVE_K = 9 };
enum { FIONREAD_K = 0x541b, SIOCOUTQ_K = 0x5411, SIOCATMARK_K = 0x8905 };
#define KEY_IN (POLLIN_K | POLLRDNORM_K)
#define KEY_OUT (POLLOUT_K | POLLWRNORM_K)
#define KEY_END (KEY_IN | KEY_OUT | POLLRDHUP_K | POLLHUP_K | POLLERR_K)

/* ---- life ---- */

int tcp_create(struct socket *s)
{
    struct tcp_sock *ts = kzalloc(sizeof(*ts));
    if (!ts)
        return -ENOMEM;
    inet_sock_init(&ts->inet, s);
    list_init(&ts->queue_link);
    ts->congestion = "cubic";
    s->protocol = IPPROTO_TCP_K;
    s->sndbuf = s->rcvbuf = TCP_BUFFER_DEFAULT;
    s->ops = &tcp_ops;
    return 0;
}

struct socket *tcp_socket_new(int family)
{
    struct socket *s = socket_alloc(family, SOCK_STREAM_K, IPPROTO_TCP_K);
    if (s && tcp_create(s) != 0) {
        socket_put(s);
        s = NULL;
    }
    return s;
}

static void half_init(struct tcp_half *h, struct socket *s)
{
    stream_buffer_init(&h->rx, 0);
    mutex_init(&h->rd);
    mutex_init(&h->wr);
    h->sock = s;
    if (s)
        socket_get(s);
}

struct tcp_conn *tcp_conn_new(struct socket *a, struct socket *b)
{
    struct tcp_conn *c = kzalloc(sizeof(*c));
    if (!c)
        return NULL;
    ref_init(&c->ref, b ? 2 : 1);
    half_init(&c->half[0], a);
    half_init(&c->half[1], b);
    tcp_set_limits(c);
    return c;
}

void tcp_conn_put(struct tcp_conn *c)
{
    if (!ref_put(&c->ref))
        return;
    if (c->host)
        host_sock_release(c->host);
    for (unsigned i = 0; i < 2; i++) {
        stream_buffer_destroy(&c->half[i].rx);
        if (c->half[i].sock)
            socket_put(c->half[i].sock);
    }
    kfree(c);
}

/* What is under way between two ends lies in one buffer: it holds what the sender's and the
 * receiver's would. */
void tcp_set_limits(struct tcp_conn *c)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct socket *to = c->half[i].sock, *from = c->half[!i].sock;
        if (to)
            WRITE_ONCE(c->half[i].rx.limit,
                       (uint64_t)READ_ONCE(to->rcvbuf) + (from ? READ_ONCE(from->sndbuf) : 0));
    }
}

void tcp_wake(struct tcp_half *h, uint32_t key)
{
    if (h->sock)
        wake_all(&h->sock->wait, key);
}

/* ---- state ---- */

uint32_t tcp_state_of(struct socket *s)
{
    struct tcp_sock *ts = tcp_of(s);
    struct tcp_conn *c = tcp_conn_of(ts);
    if (tcp_listening(s))
        return TCP_LISTEN_K;
    if (!c)
        return TCP_CLOSE_K;
    uint32_t flags = half_flags(&c->half[ts->side]);
    bool fin_sent = half_flags(&c->half[!ts->side]) & HALF_FIN;
    if ((flags & HALF_RESET) || ((flags & HALF_FIN) && fin_sent))
        return TCP_CLOSE_K;
    if (!(flags & HALF_OPEN))
        return TCP_SYN_SENT_K;
    return flags & HALF_FIN ? TCP_CLOSE_WAIT_K : fin_sent ? TCP_FIN_WAIT2_K : TCP_ESTABLISHED_K;
}

void tcp_reset_half(struct tcp_conn *c, unsigned side, int err)
{
    struct tcp_half *h = &c->half[side];
    uint32_t old = half_set(h, HALF_RESET);
    if (!h->sock || (old & (HALF_RESET | HALF_CLOSED)))
        return;
    if (!err)
        err = !(old & HALF_OPEN) ? ECONNREFUSED : old & HALF_FIN ? EPIPE : ECONNRESET;
    /* The error first: who sees the end looks for an error before. */
    socket_set_error(h->sock, err);
    __atomic_fetch_or(&h->sock->shut, 3, __ATOMIC_SEQ_CST);
    tcp_wake(h, KEY_END);
}

void tcp_send_fin(struct tcp_conn *c, unsigned side)
{
    struct tcp_half *to = &c->half[!side];
    uint32_t old = half_set(to, HALF_FIN);
    if (old & HALF_FIN)
        return;
    if (c->host)
        host_sock_ctl(c->host, CELLA_HOST_SHUTDOWN, SHUT_WR_K);
    else
        tcp_wake(to, KEY_IN | POLLRDHUP_K | POLLHUP_K);
}

void tcp_close(struct tcp_sock *ts, bool abort)
{
    struct tcp_conn *c = ts->conn;
    struct tcp_half *own = &c->half[ts->side];
    if (half_set(own, HALF_CLOSED) & HALF_CLOSED)
        return;
    /* Bytes that were never read are lost: the peer must not believe that they were taken. */
    if (stream_buffer_used(&own->rx))
        abort = true;
    if (c->host) {
        if (abort)
            host_sock_ctl(c->host, CELLA_HOST_SET_LINGER, 0);
    } else if (abort || !(half_flags(own) & HALF_OPEN)) {
        tcp_reset_half(c, !ts->side, 0);
    } else {
        tcp_send_fin(c, ts->side);
    }
}

/* ---- room to send ---- */

bool tcp_has_room(struct tcp_conn *c, unsigned side)
{
    const struct stream_buffer *b = &c->half[!side].rx;
    if (c->host)
        return host_sock_has_room(c->host);
    return stream_buffer_room(b) > b->limit / 3;
}

bool tcp_has_room_or_ask(struct tcp_conn *c, unsigned side)
{
    if (tcp_has_room(c, side))
        return true;
    half_set(&c->half[!side], HALF_NOSPACE);
    return tcp_has_room(c, side);
}

/* ---- connect ---- */

/* Makes the socket one that was never connected. socket.lock is held. */
static void disconnect(struct tcp_sock *ts)
{
    struct socket *s = ts->inet.s;
    if (tcp_listening(s))
        tcp_listener_close(ts);
    if (ts->conn) {
        /* Threads in calls may still use it. */
        tcp_close(ts, true);
        if (ts->conn->host)
            host_sock_ctl(ts->conn->host, CELLA_HOST_SHUTDOWN, SHUT_RDWR_K);
        ts->conn->next_former = ts->former;
        ts->former = ts->conn;
        ts->nr_former++;
        __atomic_store_n(&ts->conn, NULL, __ATOMIC_RELEASE);
    }
    ts->connecting = false;
    inet_port_connect(&tcp_table, &ts->inet, NULL, NULL);
    if (ts->inet.autobound)
        inet_port_release(&tcp_table, &ts->inet);
    __atomic_store_n(&s->shut, 0, __ATOMIC_SEQ_CST);
    wake_all(&s->wait, KEY_END);
}

/* socket.lock is held. 0: begun. */
static int begin(struct tcp_sock *ts, const struct sock_addr *addr)
{
    struct socket *s = ts->inet.s;
    struct inet_addr to, own;
    if (ts->nr_former == TCP_FORMER_MAX)
        return -ENOBUFS;
    int r = inet_parse(s->family, addr, false, &to);
    if (r)
        return r;
    if (inet_is_multicast(&to) || inet_is_broadcast(&to))
        return -ENETUNREACH;
    r = inet_route(&ts->inet, &to, &own);
    if (r < 0)
        return r;
    ts->inet.peer = to;
    if (r == 1)
        return tcp_host_connect(ts, &to);
    if (!ts->inet.bound) {
        bool wild = inet_is_any(&ts->inet.local);
        r = inet_port_bind(&tcp_table, &ts->inet, &own, false);
        if (r)
            return r == -EADDRINUSE ? -EADDRNOTAVAIL : r;
        ts->inet.wild = wild; /* a later connect chooses the address anew */
    }
    inet_port_connect(&tcp_table, &ts->inet, &own, &to);
    struct socket *l = inet_port_find(&tcp_table, &to, &ts->inet.local);
    if (!l)
        return -ECONNREFUSED;
    r = tcp_listener_connect(l, ts, &to);
    socket_put(l);
    return r;
}

/* How a connection attempt stands. -EINPROGRESS, 0, or its error. socket.lock is held. */
static int outcome(struct tcp_sock *ts)
{
    struct socket *s = ts->inet.s;
    if (tcp_state_of(s) == TCP_SYN_SENT_K)
        return -EINPROGRESS;
    struct tcp_conn *c = ts->conn;
    if (c && !(half_flags(&c->half[ts->side]) & HALF_RESET)) {
        if (c->host && !ts->inet.bound) {
            ts->inet.local = c->host_own;
            ts->inet.autobound = true;
            inet_port_join(&tcp_table, &ts->inet);
        }
        ts->connecting = false;
        return 0;
    }
    int err = socket_take_error(s);
    disconnect(ts);
    return err ? err : -ECONNABORTED;
}

static bool connect_over(struct socket *s)
{
    return tcp_state_of(s) != TCP_SYN_SENT_K;
}

static int tcp_connect(struct socket *s, const struct sock_addr *addr, bool nonblock)
{
    struct tcp_sock *ts = tcp_of(s);
    ktime_t deadline = socket_deadline(READ_ONCE(s->sndtimeo_ns));
    int r;
    if (addr->len < sizeof(addr->family))
        return -EINVAL;
    mutex_lock(&s->lock);
    if (addr->family == AF_UNSPEC_K) {
        disconnect(ts);
        r = 0;
        goto out;
    }
    if (ts->connecting) {
        r = outcome(ts);
        if (r != -EINPROGRESS)
            goto out;
        r = -EALREADY;
    } else {
        r = ts->conn || tcp_listening(s) ? -EISCONN : begin(ts, addr);
        if (r == -EISCONN)
            goto out;
        if (r == -ECONNREFUSED && nonblock) {
            /* The refusal is told as what came back from the peer. */
            socket_set_error(s, ECONNREFUSED);
            __atomic_store_n(&s->shut, 3, __ATOMIC_SEQ_CST);
            wake_all(&s->wait, KEY_END);
        } else if (r) {
            disconnect(ts);
            goto out;
        }
        ts->connecting = true;
        r = -EINPROGRESS;
    }
    if (!nonblock) {
        mutex_unlock(&s->lock);
        SOCKET_WAIT(s, connect_over(s), READ_ONCE(s->sndtimeo_ns), deadline, r);
        mutex_lock(&s->lock);
        if (r == -EAGAIN)
            r = -EINPROGRESS;
        if (r == 0)
            r = ts->connecting ? outcome(ts) : -EISCONN;
    }
out:
    mutex_unlock(&s->lock);
    return r;
}

/* ---- names ---- */

static int tcp_getname(struct socket *s, struct sock_addr *addr, bool peer)
{
    struct tcp_sock *ts = tcp_of(s);
    uint32_t state = tcp_state_of(s);
    if (peer && (state == TCP_CLOSE_K || state == TCP_SYN_SENT_K || state == TCP_LISTEN_K))
        return -ENOTCONN;
    struct tcp_conn *c = tcp_conn_of(ts);
    if (!peer && c && c->host && (half_flags(&c->half[0]) & HALF_OPEN)) {
        inet_format(s->family, &c->host_own, addr);
        return 0;
    }
    return inet_getname(s, addr, peer);
}

/* ---- shutdown, close ---- */

static int tcp_shutdown(struct socket *s, int how)
{
    struct tcp_sock *ts = tcp_of(s);
    int r = 0;
    mutex_lock(&s->lock);
    uint32_t state = tcp_state_of(s);
    bool reading = how != SHUT_WR_K, writing = how != SHUT_RD_K;
    if (state == TCP_LISTEN_K) {
        if (reading)
            disconnect(ts);
    } else if (state == TCP_SYN_SENT_K) {
        disconnect(ts);
    } else {
        if (state == TCP_CLOSE_K)
            r = -ENOTCONN;
        __atomic_fetch_or(&s->shut, (reading ? 1 : 0) | (writing ? 2 : 0), __ATOMIC_SEQ_CST);
        if (writing && ts->conn && state != TCP_CLOSE_K) {
            /* After a write that is going on. */
            struct mutex *wr = &ts->conn->half[!ts->side].wr;
            mutex_lock(wr);
            tcp_send_fin(ts->conn, ts->side);
            mutex_unlock(wr);
        }
        wake_all(&s->wait, KEY_END);
    }
    mutex_unlock(&s->lock);
    return r;
}

static void tcp_release(struct socket *s)
{
    struct tcp_sock *ts = tcp_of(s);
    if (tcp_listening(s))
        tcp_listener_close(ts);
    if (ts->conn) {
        tcp_close(ts, (READ_ONCE(s->flags) & SOCKF_LINGER) && !s->linger_s);
        inet_port_release(&tcp_table, &ts->inet); /* /proc/net/tcp finds the connection by it */
        tcp_conn_put(ts->conn);
        ts->conn = NULL;
    }
    while (ts->former) {
        struct tcp_conn *c = ts->former;
        ts->former = c->next_former;
        tcp_conn_put(c);
    }
    inet_port_release(&tcp_table, &ts->inet);
}

static void tcp_destroy(struct socket *s)
{
    struct tcp_sock *ts = tcp_of(s);
    if (ts->listener)
        tcp_listener_free(ts->listener);
    kfree(ts);
}

/* ---- poll ---- */

static uint32_t tcp_poll(struct socket *s, struct file *f, struct poll_table *pt)
{
    struct tcp_sock *ts = tcp_of(s);
    poll_wait(pt, f, &s->wait);
    if (tcp_listening(s))
        return tcp_listener_ready(ts->listener) ? KEY_IN : 0;
    struct tcp_conn *c = tcp_conn_of(ts);
    struct tcp_half *own = c ? &c->half[ts->side] : NULL;
    uint32_t flags = own ? half_flags(own) : 0, mask = 0;
    uint32_t shut = __atomic_load_n(&s->shut, __ATOMIC_SEQ_CST) | (flags & HALF_FIN ? 1 : 0);
    if (shut == 3 || !c || (flags & HALF_RESET))
        mask |= POLLHUP_K;
    if (shut & 1)
        mask |= KEY_IN | POLLRDHUP_K;
    if (!c) {
        mask |= KEY_OUT;
    } else if (flags & (HALF_OPEN | HALF_RESET)) {
        uint64_t used = stream_buffer_used(&own->rx);
        uint64_t least = k_min((uint64_t)READ_ONCE(s->rcvlowat), own->rx.limit);
        /* The urgent byte is no data where it is taken out of line. */
        if (used == least && !(READ_ONCE(s->flags) & SOCKF_OOBINLINE) && tcp_at_mark(own))
            least++;
        if (used >= k_max(least, 1ul))
            mask |= KEY_IN;
        if ((shut & 2) || tcp_has_room_or_ask(c, ts->side))
            mask |= KEY_OUT;
        if (READ_ONCE(own->urgent) == URGENT_UNREAD)
            mask |= POLLPRI_K;
    }
    if (READ_ONCE(s->error))
        mask |= POLLERR_K;
    return mask;
}

/* ---- options, ioctl ---- */

static void tcp_option_changed(struct socket *s, int name)
{
    struct tcp_conn *c = tcp_conn_of(tcp_of(s));
    if (!c)
        return;
    if (name == SO_SNDBUF_K || name == SO_RCVBUF_K) {
        tcp_set_limits(c);
        tcp_wake(&c->half[0], KEY_OUT); /* there may be room now, and no read will tell */
        tcp_wake(&c->half[1], KEY_OUT);
    }
    if (name == SO_KEEPALIVE_K && c->host)
        host_sock_ctl(c->host, CELLA_HOST_SET_KEEPALIVE,
                      (READ_ONCE(s->flags) & SOCKF_KEEPALIVE) != 0);
}

/* TCP_CORK, TCP_NODELAY. The host's sockets never wait to fill a segment: setting TCP_NODELAY does
 * no more than to send what is held back. */
void tcp_push_changed(struct socket *s, bool push)
{
    struct tcp_conn *c = tcp_conn_of(tcp_of(s));
    if (c && c->host)
        host_sock_cork(c->host, inet_of(s)->opt[OPT_CORK], push);
}

/* struct tcp_info of <linux/tcp.h>, as far as there is something to say. */
struct tcp_info_k {
    uint8_t state, ca_state, retransmits, probes, backoff, options, wscale, limited;
    uint32_t rto, ato, snd_mss, rcv_mss, unacked, sacked, lost, retrans, fackets;
    uint32_t last_data_sent, last_ack_sent, last_data_recv, last_ack_recv;
    uint32_t pmtu, rcv_ssthresh, rtt, rttvar, snd_ssthresh, snd_cwnd, advmss, reordering;
    uint32_t rcv_rtt, rcv_space, total_retrans;
    uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
    uint8_t rest[232 - 136];
};

int tcp_get_info(struct socket *s, void *val, uint32_t *len)
{
    struct tcp_sock *ts = tcp_of(s);
    struct tcp_conn *c = tcp_conn_of(ts);
    struct tcp_info_k info = {
        .state = (uint8_t)tcp_state_of(s), .snd_mss = TCP_DEFAULT_MSS, .rcv_mss = TCP_DEFAULT_MSS};
    if (info.state == TCP_LISTEN_K) {
        info.unacked = READ_ONCE(ts->listener->nr_ready);
        info.sacked = ts->listener->backlog;
    } else if (c) {
        info.snd_mss = info.rcv_mss = info.advmss = TCP_LOOPBACK_MSS;
        info.pmtu = 65535;
        info.bytes_received = READ_ONCE(c->half[ts->side].rx.tail);
        info.bytes_acked = READ_ONCE(c->half[!ts->side].rx.tail);
    }
    *len = k_min(*len, (uint32_t)sizeof(info));
    memcpy(val, &info, *len);
    return 0;
}

uint32_t tcp_rx_queue(struct socket *s)
{
    struct tcp_sock *ts = tcp_of(s);
    struct tcp_conn *c = tcp_conn_of(ts);
    if (tcp_listening(s))
        return READ_ONCE(ts->listener->nr_ready);
    return c ? (uint32_t)stream_buffer_used(&c->half[ts->side].rx) : 0;
}

static int64_t tcp_ioctl(struct socket *s, unsigned cmd, uint64_t arg)
{
    struct tcp_sock *ts = tcp_of(s);
    struct tcp_conn *c = tcp_conn_of(ts);
    int32_t n = 0;
    switch (cmd) {
    case FIONREAD_K:
    case SIOCOUTQ_K:
        if (tcp_listening(s))
            return -EINVAL;
        if (c && cmd == FIONREAD_K)
            n = (int32_t)stream_buffer_used(&c->half[ts->side].rx);
        else if (c && c->host)
            n = (int32_t)host_sock_unsent(c->host);
        break;
    case SIOCATMARK_K: n = c && tcp_at_mark(&c->half[ts->side]); break;
    default: return -ENOIOCTLCMD_K;
    }
    return put_user(n, arg);
}

const struct socket_ops tcp_ops = {
    .bind = inet_bind,
    .connect = tcp_connect,
    .listen = tcp_listen,
    .accept = tcp_accept,
    .getname = tcp_getname,
    .sendmsg = tcp_sendmsg,
    .recvmsg = tcp_recvmsg,
    .shutdown = tcp_shutdown,
    .poll = tcp_poll,
    .setsockopt = inet_setsockopt,
    .getsockopt = inet_getsockopt,
    .ioctl = tcp_ioctl,
    .option_changed = tcp_option_changed,
    .release = tcp_release,
    .destroy = tcp_destroy,
};
