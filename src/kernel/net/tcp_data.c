/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP: send and receive.
 *
 * Readers are woken at every arrival, as edge-triggered epoll wants it (a wake-up without waiter is
 * a load); writers when a third of the buffer is free again, if one has asked.
 *
 * Urgent data, as Linux does it: the last byte sent with MSG_OOB is marked in the stream. A read
 * stops before it; without SO_OOBINLINE the next one passes over it, and recv(MSG_OOB) gives it. No
 * SIGURG is sent. MSG_MORE and TCP_CORK hold bytes back only on the way to the host: inside the
 * keep there are no segments to fill.
 */
#include "base/errno.h"
#include "net/tcp.h"

#define KEY_IN (POLLIN_K | POLLRDNORM_K)
#define KEY_OUT (POLLOUT_K | POLLWRNORM_K)

/* ---- send ---- */

/* Why the socket cannot send: 0, or the error, which is taken. */
static int send_error(struct socket *s, uint32_t flags)
{
    int err = 0;
    if (unlikely(READ_ONCE(s->error)))
        err = socket_take_error(s);
    if (!err && (READ_ONCE(s->shut) & 2))
        err = -EPIPE;
    return err == -EPIPE ? socket_broken_pipe(flags) : err;
}

/* Puts bytes of u into the other end's buffer. Bytes, 0: no room, negative errno. */
static int64_t put(struct tcp_conn *c, unsigned side, struct uio *u, bool urgent, bool more)
{
    struct tcp_half *to = &c->half[!side];
    if (c->host) {
        mutex_lock(&to->wr);
        if (more || unlikely(c->more))
            host_sock_cork(c->host, more || inet_of(c->half[side].sock)->opt[OPT_CORK], false);
        c->more = more;
        int64_t n = host_sock_send(c->host, u, u->remaining, NULL);
        mutex_unlock(&to->wr);
        return n;
    }
    mutex_lock(&to->wr);
    /* The mark goes before the byte, so that no read passes it. */
    bool all = urgent && stream_buffer_room(&to->rx) >= u->remaining;
    if (all) {
        WRITE_ONCE(to->urgent_at, to->rx.tail + u->remaining - 1);
        __atomic_store_n(&to->urgent, URGENT_UNREAD, __ATOMIC_RELEASE);
    }
    int64_t n = stream_buffer_write(&to->rx, u, u->remaining);
    mutex_unlock(&to->wr);
    if (n <= 0)
        return n;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (unlikely(half_flags(to) & HALF_CLOSED)) {
        /* It may have looked for unread bytes before these came. */
        tcp_reset_half(c, side, 0);
        return n;
    }
    tcp_wake(to, KEY_IN | (all ? POLLPRI_K : 0));
    return n;
}

static bool may_send(struct socket *s, struct tcp_conn *c, unsigned side)
{
    return tcp_has_room_or_ask(c, side) || READ_ONCE(s->error) || (READ_ONCE(s->shut) & 2) ||
           (half_flags(&c->half[!side]) & HALF_CLOSED);
}

static bool handshake_over(struct socket *s)
{
    return tcp_state_of(s) != TCP_SYN_SENT_K;
}

/* The connection to send on, waiting for its handshake; err_ptr. */
static struct tcp_conn *sending_on(struct socket *s, struct sock_msg *m, ktime_t deadline)
{
    struct tcp_sock *ts = tcp_of(s);
    struct tcp_conn *c = tcp_conn_of(ts);
    if (c && (half_flags(&c->half[ts->side]) & (HALF_OPEN | HALF_RESET)))
        return c;
    if (!c || tcp_listening(s)) {
        int err = send_error(s, m->flags);
        return err_ptr(err ? err : socket_broken_pipe(m->flags));
    }
    if (m->flags & MSG_DONTWAIT_K)
        return err_ptr(-EAGAIN);
    int r;
    SOCKET_WAIT(s, handshake_over(s), READ_ONCE(s->sndtimeo_ns), deadline, r);
    if (r)
        return err_ptr(r);
    c = tcp_conn_of(ts);
    return c ? c : err_ptr(-EPIPE);
}

int64_t tcp_sendmsg(struct socket *s, struct sock_msg *m)
{
    struct tcp_sock *ts = tcp_of(s);
    struct uio *u = m->data;
    ktime_t deadline = KTIME_NEVER;
    if (unlikely(READ_ONCE(s->sndtimeo_ns)))
        deadline = socket_deadline(s->sndtimeo_ns);
    if (m->flags & MSG_FASTOPEN_K)
        return -EOPNOTSUPP;
    struct tcp_conn *c = sending_on(s, m, deadline);
    if (is_err(c))
        return ptr_err(c);
    if ((m->flags & MSG_OOB_K) && c->host)
        return -EOPNOTSUPP;
    const unsigned side = ts->side;
    struct tcp_half *to = &c->half[!side];
    int64_t done = 0;
    int r = 0;
    for (;;) {
        r = send_error(s, done ? m->flags | MSG_NOSIGNAL_K : m->flags);
        if (r || !u->remaining)
            break;
        if (unlikely(half_flags(to) & HALF_CLOSED)) {
            /* Nobody is there: the bytes go out, and a reset comes back. */
            done += (int64_t)u->remaining;
            tcp_reset_half(c, side, 0);
            break;
        }
        int64_t n = put(c, side, u, m->flags & MSG_OOB_K, m->flags & MSG_MORE_K);
        if (n < 0) {
            r = (int)n;
            if (n == -EPIPE)
                r = socket_broken_pipe(done ? MSG_NOSIGNAL_K : m->flags);
            break;
        }
        done += n;
        if (!u->remaining)
            break;
        if (n)
            continue;
        if (m->flags & MSG_DONTWAIT_K) {
            /* Asked before the answer, so that the caller's poll is not the first to ask. */
            if (tcp_has_room_or_ask(c, side))
                continue;
            r = -EAGAIN;
            break;
        }
        SOCKET_WAIT(s, may_send(s, c, side), READ_ONCE(s->sndtimeo_ns), deadline, r);
        if (r)
            break;
    }
    return done ? done : r;
}

/* ---- receive ---- */

bool tcp_at_mark(const struct tcp_half *h)
{
    return __atomic_load_n(&h->urgent, __ATOMIC_ACQUIRE) != URGENT_NONE &&
           READ_ONCE(h->urgent_at) == READ_ONCE(h->rx.head);
}

/* n bytes were taken: tells whoever fills the buffer. */
static void gave_room(struct tcp_conn *c, unsigned side, uint64_t n)
{
    struct tcp_half *own = &c->half[side];
    if (c->host) {
        host_sock_credit(c->host, (uint32_t)n);
        return;
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if ((half_flags(own) & HALF_NOSPACE) && tcp_has_room(c, !side)) {
        __atomic_and_fetch(&own->flags, ~(uint32_t)HALF_NOSPACE, __ATOMIC_SEQ_CST);
        tcp_wake(&c->half[!side], KEY_OUT);
    }
}

/* How far a read may go that begins `skip` bytes behind the head: not over the urgent byte. Takes
 * that out of the stream when it is next, and not to be read in line. half.rd is held. */
static uint64_t up_to_mark(struct socket *s, struct tcp_half *h, uint64_t skip, uint64_t max,
                           bool peek)
{
    uint64_t at = h->rx.head + skip;
    if (h->urgent_at < at || h->urgent_at >= READ_ONCE(h->rx.tail))
        return max;
    if (h->urgent_at > at)
        return k_min(max, h->urgent_at - at);
    if (READ_ONCE(s->flags) & SOCKF_OOBINLINE) {
        if (!peek)
            WRITE_ONCE(h->urgent, URGENT_NONE);
        return max;
    }
    if (peek)
        return max;
    if (h->urgent == URGENT_UNREAD) {
        /* recv(MSG_OOB) can still ask for it. */
        struct uio one;
        uio_init_kernel(&one, &h->urgent_byte, 1);
        (void)stream_buffer_read(&h->rx, &one, 1, 0, false);
    } else {
        (void)stream_buffer_read(&h->rx, NULL, 1, 0, false);
        h->urgent = URGENT_NONE;
    }
    return max;
}

/* Moves what is there; drop: throws it away. Bytes, 0: nothing, -EFAULT. */
static int64_t take(struct socket *s, struct tcp_conn *c, unsigned side, struct uio *u,
                    uint64_t skip, uint64_t max, bool peek, bool drop)
{
    struct tcp_half *own = &c->half[side];
    if (!stream_buffer_used(&own->rx))
        return 0;
    mutex_lock(&own->rd);
    if (unlikely(__atomic_load_n(&own->urgent, __ATOMIC_ACQUIRE)))
        max = up_to_mark(s, own, skip, max, peek);
    int64_t n = stream_buffer_read(&own->rx, drop ? NULL : u, max, skip, peek);
    mutex_unlock(&own->rd);
    if (n > 0 && drop)
        u->remaining -= (uint64_t)n;
    if (n > 0 && !peek)
        gave_room(c, side, (uint64_t)n);
    return n;
}

static int64_t recv_urgent(struct socket *s, struct tcp_conn *c, unsigned side, struct sock_msg *m)
{
    struct tcp_half *own = &c->half[side];
    int64_t r = -EINVAL;
    mutex_lock(&own->rd);
    uint32_t urgent = __atomic_load_n(&own->urgent, __ATOMIC_ACQUIRE);
    if (!(READ_ONCE(s->flags) & SOCKF_OOBINLINE) && urgent == URGENT_UNREAD) {
        uint64_t head = own->rx.head;
        struct uio one;
        uint8_t byte = own->urgent_byte; /* already out of the stream */
        if (own->urgent_at >= head) {
            uio_init_kernel(&one, &byte, 1);
            r = stream_buffer_read(&own->rx, &one, 1, own->urgent_at - head, true);
        } else {
            r = 1;
        }
        if (r == 0) {
            r = -EAGAIN; /* the mark is there, the byte under way */
        } else if (r > 0) {
            m->out_flags |= MSG_OOB_K;
            if (!m->data->remaining)
                m->out_flags |= MSG_TRUNC_K, r = 0;
            else if (uio_write(m->data, &byte, 1) != 1)
                r = -EFAULT;
            if (r == 1 && !(m->flags & MSG_PEEK_K))
                WRITE_ONCE(own->urgent, own->urgent_at >= head ? URGENT_READ : URGENT_NONE);
        }
    }
    mutex_unlock(&own->rd);
    return r;
}

static bool readable(struct socket *s, struct tcp_conn *c, unsigned side, uint64_t more_than)
{
    return stream_buffer_used(&c->half[side].rx) > more_than || READ_ONCE(s->error) ||
           (READ_ONCE(s->shut) & 1) || (half_flags(&c->half[side]) & (HALF_FIN | HALF_RESET));
}

/* The connection to receive from; NULL: the end; err_ptr. */
static struct tcp_conn *receiving_from(struct socket *s, struct sock_msg *m, ktime_t deadline)
{
    struct tcp_sock *ts = tcp_of(s);
    struct tcp_conn *c = tcp_conn_of(ts);
    if (c && (half_flags(&c->half[ts->side]) & (HALF_OPEN | HALF_RESET)))
        return c;
    if (!c || tcp_listening(s)) {
        int err = socket_take_error(s);
        if (err)
            return err_ptr(err);
        return READ_ONCE(s->shut) & 1 ? NULL : err_ptr(-ENOTCONN);
    }
    if (m->flags & MSG_DONTWAIT_K)
        return err_ptr(-EAGAIN);
    int r;
    SOCKET_WAIT(s, handshake_over(s), READ_ONCE(s->rcvtimeo_ns), deadline, r);
    if (r)
        return err_ptr(r);
    c = tcp_conn_of(ts);
    return c ? c : err_ptr(-ENOTCONN);
}

int64_t tcp_recvmsg(struct socket *s, struct sock_msg *m)
{
    struct tcp_sock *ts = tcp_of(s);
    struct uio *u = m->data;
    ktime_t deadline = KTIME_NEVER;
    if (unlikely(READ_ONCE(s->rcvtimeo_ns)))
        deadline = socket_deadline(s->rcvtimeo_ns);
    if (m->name)
        m->name->len = 0;
    if (m->flags & MSG_ERRQUEUE_K)
        return -EAGAIN;
    struct tcp_conn *c = receiving_from(s, m, deadline);
    if (is_err(c) || !c)
        return ptr_err(c);
    const unsigned side = ts->side;
    if (m->flags & MSG_OOB_K)
        return recv_urgent(s, c, side, m);

    const bool peek = m->flags & MSG_PEEK_K, drop = m->flags & MSG_TRUNC_K;
    const uint64_t wanted = u->remaining;
    uint64_t least = m->flags & MSG_WAITALL_K ? wanted : k_min((uint64_t)s->rcvlowat, wanted);
    uint64_t done = 0;
    int64_t r = 0;
    for (;;) {
        /* Flags before bytes: what they say holds for bytes that came before. */
        uint32_t flags = half_flags(&c->half[side]);
        uint64_t skip = peek ? done : 0;
        bool was_mark = tcp_at_mark(&c->half[side]);
        r = take(s, c, side, u, skip, wanted - done, peek, drop);
        if (r > 0) {
            done += (uint64_t)r;
            r = 0;
            if (done >= k_max(least, 1ul) || done >= wanted)
                break;
            /* A read ends before the urgent byte. */
            if (!was_mark && tcp_at_mark(&c->half[side]))
                break;
            continue;
        }
        /* Linux waits for bytes also to move none of them. */
        if (r < 0 || (done >= wanted && (wanted || stream_buffer_used(&c->half[side].rx))))
            break;
        if (flags & HALF_FIN)
            break;
        if (READ_ONCE(s->error)) {
            if (!done)
                r = socket_take_error(s);
            if (r || done)
                break;
        }
        if (READ_ONCE(s->shut) & 1)
            break;
        if (m->flags & MSG_DONTWAIT_K) {
            r = -EAGAIN;
            break;
        }
        int wait;
        SOCKET_WAIT(s, readable(s, c, side, skip), READ_ONCE(s->rcvtimeo_ns), deadline, wait);
        r = wait;
        if (r)
            break;
    }
    return done ? (int64_t)done : r;
}
