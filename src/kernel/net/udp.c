/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UDP: a queue of datagrams in each socket. A sender copies its bytes into a datagram and puts that
 * into the receiver's queue; what does not fit there is dropped, as on a network. There is no
 * multicast: no interface of a keep has it.
 *
 * What goes outside, and comes from there, uses one host_sock of the socket, made when it is first
 * needed. The host may put as many bytes as half the receive buffer holds (credit).
 *
 * queue_lock guards the queue; readers take turns by `reading`.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "net/inet.h"
#include "time/time.h"

#define KEY_IN (POLLIN_K | POLLRDNORM_K)
#define KEY_OUT (POLLOUT_K | POLLWRNORM_K)
#define UDP_MAX_V4 65507u
#define UDP_MAX_V6 65527u
/* What a datagram counts in the receive buffer beyond its bytes. */
#define OVERHEAD 512u
enum { FIONREAD_K = 0x541b, SIOCOUTQ_K = 0x5411 };
enum {
    IP_TOS_K = 1,
    IP_TTL_K = 2,
    IP_PKTINFO_K = 8,
    IP_ORIGDSTADDR_K = 20,
    IPV6_PKTINFO_K = 50,
    IPV6_HOPLIMIT_K = 52,
    IPV6_TCLASS_K = 67
};

struct datagram {
    struct list link;
    struct inet_addr from, to;
    uint64_t real_ns;
    uint32_t len;
    uint8_t ttl, tos;
    bool from_host;
    uint8_t data[];
};

struct udp_sock {
    struct inet_sock inet; /* first */
    spinlock_t queue_lock;
    struct list queue;
    uint32_t queued; /* bytes, with OVERHEAD */
    struct mutex reading;
    struct host_sock *host; /* set once, under socket.lock */
    int host_family;
};

static struct udp_sock *udp_of(const struct socket *s)
{
    return s->priv;
}

/* ---- the queue ---- */

/* False: no room, d is still the caller's. */
static bool enqueue(struct socket *s, struct datagram *d)
{
    struct udp_sock *us = udp_of(s);
    spin_lock(&us->queue_lock);
    /* One always fits an empty queue, as in Linux. */
    bool fits = !(READ_ONCE(s->shut) & 4) &&
                (list_empty(&us->queue) || us->queued + d->len + OVERHEAD <= READ_ONCE(s->rcvbuf));
    if (fits) {
        list_add_tail(&d->link, &us->queue);
        us->queued += d->len + OVERHEAD;
    }
    spin_unlock(&us->queue_lock);
    if (fits)
        wake_one(&s->wait, KEY_IN);
    return fits;
}

static void dequeue(struct udp_sock *us, struct datagram *d)
{
    spin_lock(&us->queue_lock);
    list_del(&d->link);
    us->queued -= d->len + OVERHEAD;
    spin_unlock(&us->queue_lock);
    if (d->from_host)
        host_sock_credit(us->host, d->len);
    kfree(d);
}

static struct datagram *first(struct udp_sock *us)
{
    spin_lock(&us->queue_lock);
    struct datagram *d =
        list_empty(&us->queue) ? NULL : list_first(&us->queue, struct datagram, link);
    spin_unlock(&us->queue_lock);
    return d;
}

uint32_t udp_rx_queue(struct socket *s)
{
    return READ_ONCE(udp_of(s)->queued);
}

/* ---- the outside ---- */

static void on_datagram(void *owner, const struct cella_host_sockaddr *from, const void *bytes,
                        uint32_t len)
{
    struct udp_sock *us = owner;
    struct datagram *d = kmalloc(sizeof(*d) + len);
    if (!d)
        return;
    *d = (struct datagram){.len = len, .real_ns = time_real_ns(), .ttl = 64, .from_host = true};
    list_init(&d->link);
    memcpy(d->data, bytes, len);
    inet_from_host(from, &d->from);
    d->to = us->inet.local;
    if (!enqueue(us->inet.s, d)) {
        kfree(d);
        host_sock_credit(us->host, len);
    }
}

static void on_error(void *owner, int error)
{
    struct udp_sock *us = owner;
    socket_set_error(us->inet.s, error > 0 && error <= MAX_ERRNO ? error : EIO);
}

static void on_writable(void *owner)
{
    struct udp_sock *us = owner;
    wake_all(&us->inet.s->wait, KEY_OUT);
}

static const struct host_sock_ops host_ops = {
    .datagram = on_datagram,
    .error = on_error,
    .writable = on_writable,
};

/* Makes the host's end, bound to the same port where that is published. socket.lock is held. */
static int host_open(struct udp_sock *us)
{
    struct socket *s = us->inet.s;
    uint32_t flags = READ_ONCE(s->flags), bind_flags = 0;
    if (us->host)
        return 0;
    struct host_sock *hs = host_sock_create(s->family, SOCK_DGRAM_K, &host_ops, us);
    if (is_err(hs))
        return ptr_err(hs) == -EACCES ? -ENETUNREACH : (int)ptr_err(hs);
    us->host_family = s->family;
    if (flags & SOCKF_REUSEADDR)
        bind_flags |= CELLA_HOST_BIND_REUSEADDR;
    if (flags & SOCKF_REUSEPORT)
        bind_flags |= CELLA_HOST_BIND_REUSEPORT;
    if (us->inet.opt[OPT_V6ONLY])
        bind_flags |= CELLA_HOST_BIND_V6ONLY;
    if (us->inet.bound && !us->inet.autobound) {
        struct cella_host_sockaddr addr;
        struct inet_addr want = us->inet.local;
        if (inet_same_ip(&want, &inet_eth0) || inet_is_loopback(&want)) {
            uint16_t port = want.port;
            want = s->family == AF_INET_K ? inet_any4 : inet_any6;
            want.port = port;
        }
        inet_to_host(&want, s->family, &addr);
        int r = host_sock_bind(hs, &addr, 0, bind_flags);
        if (r && (r != -EADDRNOTAVAIL || !inet_is_local(&us->inet.local))) {
            host_sock_release(hs);
            return r;
        }
    }
    if (flags & SOCKF_BROADCAST)
        host_sock_ctl(hs, CELLA_HOST_SET_BROADCAST, 1);
    __atomic_store_n(&us->host, hs, __ATOMIC_RELEASE);
    host_sock_credit(hs, READ_ONCE(s->rcvbuf) / 2);
    return 0;
}

static int host_get(struct udp_sock *us, struct host_sock **hs)
{
    int r = 0;
    *hs = __atomic_load_n(&us->host, __ATOMIC_ACQUIRE);
    if (*hs)
        return 0;
    mutex_lock(&us->inet.s->lock);
    r = host_open(us);
    mutex_unlock(&us->inet.s->lock);
    *hs = us->host;
    return r;
}

/* ---- bind, connect ---- */

static int udp_bind(struct socket *s, const struct sock_addr *addr)
{
    struct udp_sock *us = udp_of(s);
    int r = inet_bind(s, addr);
    if (r || !host_net_present() || s->protocol != IPPROTO_UDP_K || us->inet.autobound ||
        inet_is_loopback(&us->inet.local))
        return r;
    mutex_lock(&s->lock);
    r = host_open(us);
    mutex_unlock(&s->lock);
    if (r == -ENETUNREACH)
        r = 0;
    if (r)
        inet_port_release(inet_table_of(us->inet.s), &us->inet);
    return r;
}

/* A port for a socket that was not bound. socket.lock is held. */
static int autobind(struct udp_sock *us)
{
    if (us->inet.bound)
        return 0;
    const struct inet_addr *any = us->inet.s->family == AF_INET_K ? &inet_any4 : &inet_any6;
    int r = inet_port_bind(inet_table_of(us->inet.s), &us->inet, any, true);
    return r == -EADDRINUSE ? -EAGAIN : r;
}

static int connect_to(struct udp_sock *us, const struct inet_addr *where)
{
    struct socket *s = us->inet.s;
    struct inet_addr to = *where, own;
    if (inet_is_broadcast(&to) && !(READ_ONCE(s->flags) & SOCKF_BROADCAST))
        return -EACCES;
    int r = inet_route(&us->inet, &to, &own);
    if (r < 0)
        return r;
    int outside = r;
    r = autobind(us);
    if (r == 0 && outside) {
        struct cella_host_sockaddr addr;
        r = host_open(us);
        if (r == 0) {
            inet_to_host(&to, us->host_family, &addr);
            r = host_sock_connect(us->host, &addr);
        }
    }
    if (r == 0)
        inet_port_connect(inet_table_of(s), &us->inet, &own, &to);
    return r;
}

static int udp_connect(struct socket *s, const struct sock_addr *addr, bool nonblock)
{
    struct udp_sock *us = udp_of(s);
    struct inet_addr to;
    int r = 0;
    (void)nonblock;
    if (addr->len < sizeof(addr->family))
        return -EINVAL;
    bool dissolve = addr->family == AF_UNSPEC_K;
    if (!dissolve && (r = inet_parse(s->family, addr, true, &to)) != 0)
        return r;
    mutex_lock(&s->lock);
    if (us->inet.bound && (dissolve || us->inet.connected))
        inet_port_connect(inet_table_of(s), &us->inet, NULL, NULL);
    if (dissolve && us->inet.autobound)
        inet_port_release(inet_table_of(us->inet.s), &us->inet);
    if (!dissolve)
        r = connect_to(us, &to);
    mutex_unlock(&s->lock);
    return r;
}

static int udp_getname(struct socket *s, struct sock_addr *addr, bool peer)
{
    if (peer && !READ_ONCE(inet_of(s)->connected))
        return -ENOTCONN;
    return inet_getname(s, addr, peer);
}

/* ---- send ---- */

/* What control data say of one datagram. */
struct send_options {
    struct inet_addr own;
    int32_t ttl, tos;
};

static int parse_control(struct socket *s, const struct sock_msg *m, struct send_options *o)
{
    struct cmsg_in c;
    uint32_t at = 0;
    while (cmsg_next(m, &at, &c)) {
        int32_t number = 0;
        if (c.level == SOL_SOCKET_K)
            continue;
        if (c.len >= sizeof(number))
            memcpy(&number, c.data, sizeof(number));
        bool v6 = c.level == IPPROTO_IPV6_K && s->family == AF_INET6_K;
        if (c.level == IPPROTO_IP_K && c.type == IP_PKTINFO_K && c.len == 12) {
            if (memcmp((const char *)c.data + 4, inet_any6.ip, 4) != 0) {
                o->own = inet_any4;
                memcpy(o->own.ip + 12, (const char *)c.data + 4, 4);
            }
        } else if (v6 && c.type == IPV6_PKTINFO_K && c.len >= 20) {
            if (memcmp(c.data, inet_any6.ip, 16) != 0)
                memcpy(o->own.ip, c.data, 16);
        } else if (c.level == IPPROTO_IP_K && c.type == IP_TTL_K && c.len == sizeof(number)) {
            if (number < 1 || number > 255)
                return -EINVAL;
            o->ttl = number;
        } else if (c.level == IPPROTO_IP_K && c.type == IP_TOS_K && (c.len == 4 || c.len == 1)) {
            o->tos = c.len == 1 ? *(const uint8_t *)c.data : number;
            if (o->tos < 0 || o->tos > 255)
                return -EINVAL;
        } else if (v6 && (c.type == IPV6_HOPLIMIT_K || c.type == IPV6_TCLASS_K) &&
                   c.len == sizeof(number)) {
            if (number < -1 || number > 255)
                return -EINVAL;
            if (number >= 0)
                *(c.type == IPV6_HOPLIMIT_K ? &o->ttl : &o->tos) = number;
        } else {
            return -EINVAL;
        }
    }
    return inet_is_local(&o->own) || host_net_present() ? 0 : -EINVAL;
}

/* Into the queue of whoever has the port. */
static int64_t send_inside(struct socket *s, struct sock_msg *m, const struct inet_addr *to,
                           const struct send_options *o, bool connected)
{
    struct uio *u = m->data;
    uint32_t len = (uint32_t)u->remaining;
    struct datagram *d = kmalloc(sizeof(*d) + len);
    if (!d)
        return -ENOBUFS;
    *d = (struct datagram){.from = o->own,
                           .to = *to,
                           .len = len,
                           .ttl = (uint8_t)o->ttl,
                           .tos = (uint8_t)o->tos,
                           .real_ns = time_real_ns()};
    list_init(&d->link);
    d->from.port = inet_of(s)->local.port;
    if (uio_read(u, d->data, len) != len) {
        kfree(d);
        return -EFAULT;
    }
    struct socket *r = inet_port_find(inet_table_of(s), to, &d->from);
    if (!r && (connected || inet_of(s)->opt[OPT_RECVERR] || inet_of(s)->opt[OPT_RECVERR6]))
        socket_set_error(s, ECONNREFUSED); /* told by the next call, as ICMP would */
    if (!r || !enqueue(r, d))
        kfree(d);
    if (r)
        socket_put(r);
    return len;
}

static int64_t send_outside(struct socket *s, struct sock_msg *m, const struct inet_addr *to,
                            bool connected)
{
    struct udp_sock *us = udp_of(s);
    struct cella_host_sockaddr addr;
    struct host_sock *hs;
    uint64_t timeout = READ_ONCE(s->sndtimeo_ns);
    ktime_t deadline = socket_deadline(timeout);
    int r = host_get(us, &hs);
    if (r)
        return r;
    inet_to_host(to, us->host_family, &addr);
    for (;;) {
        int64_t n = host_sock_send(hs, m->data, m->data->remaining, connected ? NULL : &addr);
        if (n != -EAGAIN || (m->flags & MSG_DONTWAIT_K))
            return n;
        SOCKET_WAIT(s, host_sock_has_room(hs), timeout, deadline, r);
        if (r)
            return r;
    }
}

static int64_t udp_sendmsg(struct socket *s, struct sock_msg *m)
{
    struct udp_sock *us = udp_of(s);
    struct inet_sock *is = &us->inet;
    struct inet_addr to;
    int r;
    if (m->flags & (MSG_OOB_K | MSG_MORE_K))
        return -EOPNOTSUPP;
    if (m->data->remaining > (s->family == AF_INET_K ? UDP_MAX_V4 : UDP_MAX_V6))
        return -EMSGSIZE;
    bool named = m->name && m->name->len;
    if (named) {
        struct sock_addr name = *m->name;
        if (s->family == AF_INET_K && name.len >= 2 && name.family == AF_UNSPEC_K)
            name.family = AF_INET_K;
        r = inet_parse(s->family, &name, true, &to);
        if (r)
            return r;
        if (!to.port)
            return -EINVAL;
    } else if (READ_ONCE(is->connected)) {
        to = is->peer;
    } else {
        return -EDESTADDRREQ;
    }
    if (READ_ONCE(s->shut) & 2)
        return socket_broken_pipe(m->flags);
    r = socket_take_error(s);
    if (r)
        return r;
    if (inet_is_broadcast(&to) && !(READ_ONCE(s->flags) & SOCKF_BROADCAST))
        return -EACCES;
    struct send_options o;
    int outside = inet_route(is, &to, &o.own);
    if (outside < 0)
        return outside;
    bool v4 = inet_is_v4(&to);
    o.ttl = is->opt[v4 ? OPT_TTL : OPT_HOPS];
    o.tos = is->opt[v4 ? OPT_TOS : OPT_TCLASS];
    if (m->control && (r = parse_control(s, m, &o)) != 0)
        return r;
    if (!is->bound) {
        mutex_lock(&s->lock);
        r = autobind(us);
        mutex_unlock(&s->lock);
        if (r)
            return r;
    }
    return outside ? send_outside(s, m, &to, is->connected && !named)
                   : send_inside(s, m, &to, &o, is->connected && !named);
}

/* ---- receive ---- */

static void put_control(struct socket *s, const struct datagram *d, struct cmsg_out *out)
{
    const int32_t *opt = inet_of(s)->opt;
    const int32_t ttl = d->ttl, tos = d->tos;
    bool v4 = inet_is_v4(&d->to);
    int ifindex = d->from_host ? LOOPBACK_IFINDEX + 1 : LOOPBACK_IFINDEX;
    (void)socket_put_timestamp(s, out, d->real_ns);
    if (opt[OPT_PKTINFO] && v4) {
        uint8_t info[12]; /* struct in_pktinfo: interface, own address, destination */
        memcpy(info, &ifindex, 4);
        memcpy(info + 4, d->to.ip + 12, 4);
        memcpy(info + 8, d->to.ip + 12, 4);
        (void)put_cmsg(out, IPPROTO_IP_K, IP_PKTINFO_K, info, sizeof(info));
    }
    if (opt[OPT_RECVTTL] && v4)
        (void)put_cmsg(out, IPPROTO_IP_K, IP_TTL_K, &ttl, sizeof(ttl));
    if (opt[OPT_RECVTOS] && v4)
        (void)put_cmsg(out, IPPROTO_IP_K, IP_TOS_K, &d->tos, sizeof(d->tos));
    if (opt[OPT_RECVORIGDST] && v4) {
        struct sock_addr to;
        inet_format(AF_INET_K, &d->to, &to);
        (void)put_cmsg(out, IPPROTO_IP_K, IP_ORIGDSTADDR_K, to.data, to.len);
    }
    if (s->family != AF_INET6_K)
        return;
    if (opt[OPT_RECVPKTINFO6]) {
        uint8_t info[20]; /* struct in6_pktinfo */
        memcpy(info, d->to.ip, 16);
        memcpy(info + 16, &ifindex, 4);
        (void)put_cmsg(out, IPPROTO_IPV6_K, IPV6_PKTINFO_K, info, sizeof(info));
    }
    if (opt[OPT_RECVHOPS])
        (void)put_cmsg(out, IPPROTO_IPV6_K, IPV6_HOPLIMIT_K, &ttl, sizeof(ttl));
    if (opt[OPT_RECVTCLASS])
        (void)put_cmsg(out, IPPROTO_IPV6_K, IPV6_TCLASS_K, &tos, sizeof(tos));
}

static bool readable(struct socket *s)
{
    return READ_ONCE(udp_of(s)->queued) || READ_ONCE(s->error) || (READ_ONCE(s->shut) & 1);
}

static int64_t udp_recvmsg(struct socket *s, struct sock_msg *m)
{
    struct udp_sock *us = udp_of(s);
    struct datagram *d;
    uint64_t timeout = READ_ONCE(s->rcvtimeo_ns);
    ktime_t deadline = KTIME_NEVER;
    int64_t r = 0;
    if (m->flags & MSG_ERRQUEUE_K)
        return -EAGAIN;
    if (timeout)
        deadline = socket_deadline(timeout);
    for (;;) {
        r = socket_take_error(s);
        if (r)
            return r;
        mutex_lock(&us->reading);
        d = first(us);
        if (d)
            break;
        mutex_unlock(&us->reading);
        if (READ_ONCE(s->shut) & 1)
            return 0;
        if (m->flags & MSG_DONTWAIT_K)
            return -EAGAIN;
        int w;
        WAIT_EVENT(&s->wait, readable(s), WAIT_INTERRUPTIBLE | WAIT_EXCLUSIVE, deadline, w);
        w = socket_wait_result(w, timeout);
        if (w)
            return w;
    }
    uint32_t want = (uint32_t)k_min((uint64_t)d->len, m->data->remaining);
    size_t moved = uio_write(m->data, d->data, want);
    r = m->flags & MSG_TRUNC_K ? d->len : want;
    if (want < d->len)
        m->out_flags |= MSG_TRUNC_K;
    if (m->name)
        inet_format(s->family, &d->from, m->name);
    if (moved == want)
        put_control(s, d, m->control_out);
    else
        r = -EFAULT;
    if (!(m->flags & MSG_PEEK_K))
        dequeue(us, d);
    mutex_unlock(&us->reading);
    if (READ_ONCE(us->queued))
        wake_one(&s->wait, KEY_IN);
    return r;
}

/* ---- the rest ---- */

static uint32_t udp_poll(struct socket *s, struct file *f, struct poll_table *pt)
{
    struct udp_sock *us = udp_of(s);
    poll_wait(pt, f, &s->wait);
    uint32_t shut = READ_ONCE(s->shut), mask = 0;
    if (READ_ONCE(us->queued))
        mask |= KEY_IN;
    if (shut & 1)
        mask |= KEY_IN | POLLRDHUP_K;
    if ((shut & 3) == 3)
        mask |= POLLHUP_K;
    if (READ_ONCE(s->error))
        mask |= POLLERR_K;
    struct host_sock *hs = __atomic_load_n(&us->host, __ATOMIC_ACQUIRE);
    if (!hs || host_sock_has_room(hs))
        mask |= KEY_OUT;
    return mask;
}

static int udp_shutdown(struct socket *s, int how)
{
    uint32_t bits = how == SHUT_RD_K ? 1 : how == SHUT_WR_K ? 2 : 3;
    bool connected = READ_ONCE(inet_of(s)->connected);
    __atomic_fetch_or(&s->shut, bits, __ATOMIC_SEQ_CST);
    wake_all(&s->wait, KEY_IN | KEY_OUT | POLLRDHUP_K | POLLHUP_K);
    return connected ? 0 : -ENOTCONN;
}

static int64_t udp_ioctl(struct socket *s, unsigned cmd, uint64_t arg)
{
    struct udp_sock *us = udp_of(s);
    int32_t n = 0;
    if (cmd == FIONREAD_K) {
        spin_lock(&us->queue_lock);
        if (!list_empty(&us->queue))
            n = (int32_t)list_first(&us->queue, struct datagram, link)->len;
        spin_unlock(&us->queue_lock);
        return put_user(n, arg);
    }
    return cmd == SIOCOUTQ_K ? put_user(n, arg) : -ENOIOCTLCMD_K;
}

static void udp_release(struct socket *s)
{
    struct udp_sock *us = udp_of(s);
    inet_port_release(inet_table_of(us->inet.s), &us->inet);
    /* A sender that found the socket before may still be about to put its datagram. */
    spin_lock(&us->queue_lock);
    __atomic_fetch_or(&s->shut, 4, __ATOMIC_SEQ_CST);
    spin_unlock(&us->queue_lock);
    if (us->host)
        host_sock_release(us->host);
    while (!list_empty(&us->queue)) {
        struct datagram *d = list_first(&us->queue, struct datagram, link);
        list_del(&d->link);
        kfree(d);
    }
}

static void udp_destroy(struct socket *s)
{
    kfree(s->priv);
}

const struct socket_ops udp_ops = {
    .bind = udp_bind,
    .connect = udp_connect,
    .getname = udp_getname,
    .sendmsg = udp_sendmsg,
    .recvmsg = udp_recvmsg,
    .shutdown = udp_shutdown,
    .poll = udp_poll,
    .setsockopt = inet_setsockopt,
    .getsockopt = inet_getsockopt,
    .ioctl = udp_ioctl,
    .release = udp_release,
    .destroy = udp_destroy,
};

int udp_create(struct socket *s)
{
    struct udp_sock *us = kzalloc(sizeof(*us));
    if (!us)
        return -ENOMEM;
    inet_sock_init(&us->inet, s);
    spin_init(&us->queue_lock);
    list_init(&us->queue);
    mutex_init(&us->reading);
    if (!s->protocol)
        s->protocol = IPPROTO_UDP_K;
    s->ops = &udp_ops;
    return 0;
}
