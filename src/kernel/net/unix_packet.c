/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of AF_UNIX: SOCK_DGRAM and SOCK_SEQPACKET. A message lies in the receiver's list until
 * it is read or dropped.
 *
 * How much may lie there: as many bytes as the sender's SO_SNDBUF, and of datagrams of others than
 * the receiver's own peer no more than a few messages. Who finds no room sleeps on `room`.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "net/unix.h"
#include "proc/task.h"

#define MAX_QUEUE 10u       /* net.unix.max_dgram_qlen */
#define MESSAGE_COST 512u   /* what a message counts beyond its bytes */
#define MESSAGE_RESERVE 32u /* of SO_SNDBUF, that a message cannot use */

void unix_message_free(struct unix_message *msg)
{
    unix_scm_release(&msg->scm);
    unix_addr_put(msg->from);
    kfree(msg);
}

bool unix_packet_full(struct unix_sock *u, const struct socket *from)
{
    if (READ_ONCE(u->s->shut) & SHUT_RECV)
        return false; /* an error is to be told */
    uint32_t nr = READ_ONCE(u->nr_messages);
    if (nr > MAX_QUEUE && u->s != from && READ_ONCE(u->peer) != from)
        return true;
    return nr && READ_ONCE(u->message_bytes) + (uint64_t)nr * MESSAGE_COST >= from->sndbuf;
}

/* ---- sending ---- */

/* Where a message goes, counted, or err_ptr. */
static struct socket *destination(struct socket *s, const struct sock_msg *m)
{
    struct unix_sock *u = unix_of(s);
    if (s->type == SOCK_SEQPACKET_K) {
        if (__atomic_load_n(&u->state, __ATOMIC_ACQUIRE) != UNIX_CONNECTED)
            return err_ptr(-ENOTCONN);
    } else if (m->name && m->name->len) {
        return unix_find(m->name, s->type);
    }
    struct socket *peer = unix_peer_get(u);
    return peer ? peer : err_ptr(-ENOTCONN);
}

/* 0: to may get messages of s. */
static int check_receiver(struct socket *s, struct socket *to)
{
    struct unix_sock *ut = unix_of(to);
    if (READ_ONCE(s->shut) & SHUT_SEND)
        return -EPIPE;
    if (READ_ONCE(ut->state) == UNIX_DEAD)
        return s->type == SOCK_DGRAM_K ? -ECONNREFUSED : -EPIPE;
    if (s->type == SOCK_DGRAM_K && READ_ONCE(ut->peer) && READ_ONCE(ut->peer) != s)
        return -EPERM;
    return READ_ONCE(to->shut) & SHUT_RECV ? -EPIPE : 0;
}

/* Appends unless there is no room or something is wrong. */
static int enqueue(struct socket *s, struct socket *to, struct unix_message *msg)
{
    struct unix_sock *u = unix_of(to);
    spin_lock(&u->lock);
    int r = check_receiver(s, to);
    if (!r && unix_packet_full(u, s))
        r = -EAGAIN;
    if (!r) {
        list_add_tail(&msg->link, &u->messages);
        u->message_bytes += msg->len;
        __atomic_store_n(&u->nr_messages, u->nr_messages + 1, __ATOMIC_RELEASE);
    }
    spin_unlock(&u->lock);
    return r;
}

static int deliver(struct socket *s, struct socket *to, struct unix_message *msg, uint32_t flags)
{
    struct unix_sock *u = unix_of(to);
    ktime_t deadline = 0;
    for (;;) {
        int r = enqueue(s, to, msg);
        if (r != -EAGAIN)
            return r;
        if (flags & MSG_DONTWAIT_K) {
            /* Who waits for an edge by epoll will see one. */
            __atomic_store_n(&unix_of(s)->want_room, true, __ATOMIC_SEQ_CST);
            if (unix_packet_full(u, s))
                return r;
            continue;
        }
        if (!deadline)
            deadline = socket_deadline(s->sndtimeo_ns);
        WAIT_EVENT(&u->room, check_receiver(s, to) || !unix_packet_full(u, s), WAIT_INTERRUPTIBLE,
                   deadline, r);
        r = socket_wait_result(r, s->sndtimeo_ns);
        if (r)
            return r;
    }
}

/* A message with the bytes; takes scm's rights. err_ptr. */
static struct unix_message *message_new(struct socket *s, struct sock_msg *m, struct unix_scm *scm,
                                        const struct socket *to)
{
    size_t len = m->data->remaining;
    if (len > s->sndbuf - MESSAGE_RESERVE)
        return err_ptr(-EMSGSIZE);
    struct unix_message *msg = kmalloc(sizeof(*msg) + len);
    if (!msg)
        return err_ptr(-ENOBUFS);
    if (uio_read(m->data, msg->data, len) != len) {
        kfree(msg);
        return err_ptr(-EFAULT);
    }
    unix_scm_add_cred(scm, s, to);
    msg->len = (uint32_t)len;
    msg->scm = *scm;
    scm->rights = NULL;
    msg->from = unix_addr_get(unix_of(s));
    msg->time_ns =
        READ_ONCE(to->flags) & (SOCKF_TIMESTAMP | SOCKF_TIMESTAMPNS) ? time_real_ns() : 0;
    list_init(&msg->link);
    return msg;
}

static int64_t send_to(struct socket *s, struct socket *to, struct sock_msg *m,
                       struct unix_scm *scm)
{
    int64_t len = (int64_t)m->data->remaining;
    int r = socket_take_error(s);
    if (r)
        return r;
    struct unix_message *msg = message_new(s, m, scm, to);
    if (is_err(msg))
        return ptr_err(msg);
    r = deliver(s, to, msg, m->flags);
    if (r) {
        unix_message_free(msg);
        /* The peer is gone for good. */
        if (r == -ECONNREFUSED && READ_ONCE(unix_of(s)->peer) == to) {
            mutex_lock(&s->lock);
            if (unix_of(s)->peer == to)
                unix_disconnect(unix_of(s), NULL);
            mutex_unlock(&s->lock);
        }
        return r;
    }
    wake_all(&to->wait, KEY_IN);
    return len;
}

int64_t unix_packet_send(struct socket *s, struct sock_msg *m)
{
    struct unix_scm scm = {NULL, {0}, false};
    if (m->flags & MSG_OOB_K)
        return -EOPNOTSUPP;
    int64_t r = m->control ? unix_scm_parse(m, &scm) : 0;
    if (!r && (READ_ONCE(s->flags) & SOCKF_PASSCRED) && !unix_of(s)->addr)
        r = unix_autobind(s);
    if (!r) {
        struct socket *to = destination(s, m);
        if (is_err(to)) {
            r = ptr_err(to);
        } else {
            r = send_to(s, to, m, &scm);
            socket_put(to);
        }
    }
    unix_scm_release(&scm);
    return r;
}

/* ---- receiving ---- */

/* The first message; stays first while rd_mutex is held. */
static struct unix_message *first_message(struct unix_sock *u)
{
    spin_lock(&u->lock);
    struct unix_message *msg =
        list_empty(&u->messages) ? NULL : list_first(&u->messages, struct unix_message, link);
    spin_unlock(&u->lock);
    return msg;
}

static void unlink_message(struct unix_sock *u, struct unix_message *msg)
{
    spin_lock(&u->lock);
    list_del(&msg->link);
    u->message_bytes -= msg->len;
    __atomic_store_n(&u->nr_messages, u->nr_messages - 1, __ATOMIC_RELEASE);
    spin_unlock(&u->lock);
}

/* Waits for a message: with rd_mutex held, NULL: the end, or err_ptr. */
static struct unix_message *wait_message(struct socket *s, uint32_t flags)
{
    struct unix_sock *u = unix_of(s);
    ktime_t deadline = 0;
    for (;;) {
        int r = socket_take_error(s);
        if (r)
            return err_ptr(r);
        bool end = __atomic_load_n(&s->shut, __ATOMIC_ACQUIRE) & SHUT_RECV;
        mutex_lock(&u->rd_mutex);
        struct unix_message *msg = first_message(u);
        if (msg)
            return msg;
        mutex_unlock(&u->rd_mutex);
        bool nonblock = flags & MSG_DONTWAIT_K;
        if (end && (s->type == SOCK_SEQPACKET_K || !nonblock))
            return NULL;
        if (nonblock)
            return err_ptr(-EAGAIN);
        if (!deadline)
            deadline = socket_deadline(s->rcvtimeo_ns);
        SOCKET_WAIT(
            s, READ_ONCE(u->nr_messages) || (READ_ONCE(s->shut) & SHUT_RECV) || READ_ONCE(s->error),
            s->rcvtimeo_ns, deadline, r);
        if (r)
            return err_ptr(r);
    }
}

int64_t unix_packet_recv(struct socket *s, struct sock_msg *m)
{
    struct unix_sock *u = unix_of(s);
    bool peek = m->flags & MSG_PEEK_K;
    if (m->flags & MSG_OOB_K)
        return -EOPNOTSUPP;
    if (s->type == SOCK_SEQPACKET_K &&
        __atomic_load_n(&u->state, __ATOMIC_ACQUIRE) != UNIX_CONNECTED)
        return -ENOTCONN;
    struct unix_message *msg = wait_message(s, m->flags);
    if (!msg || is_err(msg))
        return ptr_err(msg);
    struct unix_scm scm = msg->scm;
    uint64_t len = k_min((uint64_t)msg->len, m->data->remaining);
    int64_t r = unix_scm_take(u, &msg->scm, &scm, peek);
    if (!r && uio_write(m->data, msg->data, len) != len)
        r = -EFAULT;
    if (len < msg->len)
        m->out_flags |= MSG_TRUNC_K;
    if (m->name && msg->from)
        unix_addr_out(msg->from, m->name);
    if (!r)
        r = m->flags & MSG_TRUNC_K ? (int64_t)msg->len : (int64_t)len;
    uint64_t time_ns = msg->time_ns;
    /* A message that could not be copied is gone, as on Linux. */
    if (!peek)
        unlink_message(u, msg);
    mutex_unlock(&u->rd_mutex);
    if (!peek) {
        wake_all(&u->room, KEY_OUT);
        unix_message_free(msg);
    }
    if (r < 0) {
        unix_scm_release(&scm);
        return r;
    }
    int err = time_ns ? socket_put_timestamp(s, m->control_out, time_ns) : 0;
    if (!err)
        err = unix_scm_put(s, m, &scm);
    else
        unix_scm_release(&scm);
    return err ? err : r;
}
