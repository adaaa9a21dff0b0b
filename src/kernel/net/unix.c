/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AF_UNIX sockets: their life, how they are joined, and what they answer to poll and options.
 *
 * State of a stream or seqpacket socket: FRESH -> LISTENING, or -> CONNECTED; then DEAD. A
 * connection's other end is made by connect(2) and waits with the listener until it is accepted;
 * the connecting end may send at once.
 */
#include "net/unix.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "proc/task.h"

enum { FIONREAD_K = 0x541b, TIOCOUTQ_K = 0x5411 };
enum { SO_PEEK_OFF_K = 42, SO_PEERGROUPS_K = 59 };

static const struct socket_ops unix_ops;

/* ---- life ---- */

static bool relay_wake(struct waiter *w, uint32_t key)
{
    struct unix_sock *u = container_of(w, struct unix_sock, relay);
    if (__atomic_exchange_n(&u->want_room, false, __ATOMIC_SEQ_CST))
        wake_all(&u->s->wait, key);
    return false;
}

static int unix_init(struct socket *s)
{
    struct unix_sock *u = kzalloc(sizeof(*u));
    if (!u)
        return -ENOMEM;
    u->s = s;
    spin_init(&u->lock);
    list_init(&u->all_link);
    list_init(&u->hash_link);
    list_init(&u->inflight_link);
    mutex_init(&u->rd_mutex);
    mutex_init(&u->wr_mutex);
    stream_buffer_init(&u->in, s->sndbuf);
    list_init(&u->marks);
    list_init(&u->messages);
    list_init(&u->pending);
    list_init(&u->pending_link);
    wait_queue_init(&u->room);
    u->relay.wake = relay_wake;
    u->peek_off = -1;
    s->priv = u;
    s->ops = &unix_ops;
    unix_list_add(u);
    return 0;
}

static int unix_create(struct socket *s)
{
    if (s->protocol && s->protocol != AF_UNIX_K)
        return -EPROTONOSUPPORT;
    if (s->type == SOCK_RAW_K)
        s->type = SOCK_DGRAM_K; /* as Linux has it */
    if (s->type != SOCK_STREAM_K && s->type != SOCK_DGRAM_K && s->type != SOCK_SEQPACKET_K)
        return -ESOCKTNOSUPPORT;
    return unix_init(s);
}

const struct socket_family unix_family = {AF_UNIX_K, unix_create};

struct socket *unix_peer_get(struct unix_sock *u)
{
    spin_lock(&u->lock);
    struct socket *peer = u->peer;
    if (peer)
        socket_get(peer);
    spin_unlock(&u->lock);
    return peer;
}

/* Makes new_peer (its count is taken over; NULL: none) the peer that messages go to. */
int unix_disconnect(struct unix_sock *u, struct socket *new_peer)
{
    spin_lock(&u->lock);
    struct socket *old = u->peer;
    bool hung = u->relay_hung;
    u->peer = new_peer;
    u->relay_hung = false;
    spin_unlock(&u->lock);
    if (hung)
        wait_queue_remove(&unix_of(old)->room, &u->relay);
    if (old)
        socket_put(old);
    return 0;
}

/* Wake-ups of the peer's queue for room come through from now on. s->lock held, or u is fresh. */
static void hang_relay(struct unix_sock *u)
{
    wait_queue_add(&unix_of(u->peer)->room, &u->relay);
    u->relay_hung = true;
}

/* Throws away what was received. True: there was something. */
static bool purge(struct unix_sock *u)
{
    struct list marks, messages;
    list_init(&marks);
    list_init(&messages);
    mutex_lock(&u->rd_mutex);
    mutex_lock(&u->wr_mutex);
    bool any = stream_buffer_used(&u->in) != 0 || !list_empty(&u->messages);
    stream_buffer_destroy(&u->in);
    spin_lock(&u->lock);
    list_splice_tail(&u->marks, &marks);
    list_splice_tail(&u->messages, &messages);
    u->nr_messages = 0;
    u->message_bytes = 0;
    spin_unlock(&u->lock);
    mutex_unlock(&u->wr_mutex);
    mutex_unlock(&u->rd_mutex);
    while (!list_empty(&marks)) {
        struct unix_mark *m = list_first(&marks, struct unix_mark, link);
        list_del(&m->link);
        unix_scm_release(&m->scm);
        kfree(m);
    }
    while (!list_empty(&messages)) {
        struct unix_message *m = list_first(&messages, struct unix_message, link);
        list_del(&m->link);
        unix_message_free(m);
    }
    return any;
}

/* The connections that nobody will accept. */
static void refuse_pending(struct unix_sock *u)
{
    for (;;) {
        spin_lock(&u->lock);
        struct unix_sock *c = NULL;
        if (!list_empty(&u->pending)) {
            c = list_first(&u->pending, struct unix_sock, pending_link);
            list_del(&c->pending_link);
        }
        spin_unlock(&u->lock);
        if (!c)
            return;
        socket_free(c->s);
    }
}

static void unix_release(struct socket *s)
{
    struct unix_sock *u = unix_of(s);
    unix_unname(u);
    spin_lock(&u->lock);
    bool connected = u->state == UNIX_CONNECTED;
    u->state = UNIX_DEAD;
    spin_unlock(&u->lock);
    __atomic_store_n(&s->shut, SHUT_BOTH, __ATOMIC_SEQ_CST);
    __atomic_store_n(&s->file, NULL, __ATOMIC_RELEASE);
    refuse_pending(u);
    bool unread = purge(u);
    if (connected) {
        struct socket *peer = u->peer;
        if (unread || !u->accepted)
            __atomic_store_n(&peer->error, ECONNRESET, __ATOMIC_RELEASE);
        __atomic_store_n(&peer->shut, SHUT_BOTH, __ATOMIC_SEQ_CST);
        unix_wake_state(peer);
    }
    wake_all(&u->room, 0);
    unix_disconnect(u, NULL);
    unix_socket_ends();
}

static void unix_destroy(struct socket *s)
{
    struct unix_sock *u = unix_of(s);
    if (u->cred)
        cred_put(u->cred);
    if (u->peer_cred)
        cred_put(u->peer_cred);
    unix_addr_put(u->addr);
    kfree(u);
}

/* ---- joining ---- */

/* s->lock is held, for getsockopt looks at it, or s is fresh. */
static void set_peer_cred(struct socket *s, struct cred *c, kpid_t pid)
{
    struct unix_sock *u = unix_of(s);
    struct cred *old = u->peer_cred;
    if (c) {
        cred_get(c);
        s->peer_cred.uid = c->euid;
        s->peer_cred.gid = c->egid;
    }
    s->peer_cred.pid = pid;
    u->peer_cred = c;
    if (old)
        cred_put(old);
}

/* Each is the other's peer; no lock is needed for what nobody else knows yet. */
static void join(struct unix_sock *a, struct unix_sock *b)
{
    socket_get(a->s);
    socket_get(b->s);
    a->peer = b->s;
    b->peer = a->s;
    a->in.limit = b->s->sndbuf;
    b->in.limit = a->s->sndbuf;
    if (!unix_is_stream(a->s)) {
        hang_relay(a);
        hang_relay(b);
    }
}

static int unix_pair(struct socket *a, struct socket *b)
{
    struct unix_sock *ua = unix_of(a), *ub = unix_of(b);
    set_peer_cred(a, current->cred, current->process->pid);
    set_peer_cred(b, current->cred, current->process->pid);
    join(ua, ub);
    ua->accepted = ub->accepted = true;
    if (a->type != SOCK_DGRAM_K)
        ua->state = ub->state = UNIX_CONNECTED;
    return 0;
}

static int unix_listen(struct socket *s, int backlog)
{
    struct unix_sock *u = unix_of(s);
    if (s->type == SOCK_DGRAM_K)
        return -EOPNOTSUPP;
    mutex_lock(&s->lock);
    int r = 0;
    if (!u->addr || (u->state != UNIX_FRESH && u->state != UNIX_LISTENING)) {
        r = -EINVAL;
    } else {
        s->peer_cred.pid = current->process->pid;
        s->peer_cred.uid = current->cred->euid;
        s->peer_cred.gid = current->cred->egid;
        cred_get(current->cred);
        spin_lock(&u->lock);
        struct cred *old = u->cred; /* what a peer is told, under the lock */
        u->cred = current->cred;
        u->backlog = (uint32_t)backlog;
        u->state = UNIX_LISTENING;
        spin_unlock(&u->lock);
        if (old)
            cred_put(old);
        __atomic_or_fetch(&s->flags, SOCKF_LISTENING, __ATOMIC_RELEASE);
    }
    mutex_unlock(&s->lock);
    if (!r)
        wake_all(&u->room, 0);
    return r;
}

static bool backlog_full(const struct unix_sock *l)
{
    return READ_ONCE(l->nr_pending) > READ_ONCE(l->backlog);
}

static bool connectable(const struct unix_sock *l)
{
    return READ_ONCE(l->state) == UNIX_LISTENING && !(READ_ONCE(l->s->shut) & SHUT_RECV);
}

/* Puts `conn`, u's other end, into the listener's queue. -EAGAIN: it is full. s->lock of u held. */
static int enqueue_connection(struct unix_sock *u, struct unix_sock *l, struct unix_sock *conn)
{
    spin_lock(&l->lock);
    int r = !connectable(l) ? -ECONNREFUSED : backlog_full(l) ? -EAGAIN : 0;
    if (!r) {
        set_peer_cred(u->s, l->cred, l->s->peer_cred.pid);
        set_peer_cred(conn->s, current->cred, current->process->pid);
        conn->addr = unix_addr_get(l);
        conn->state = UNIX_CONNECTED;
        join(u, conn);
        u->accepted = true; /* the end that nobody has to accept */
        __atomic_store_n(&u->state, UNIX_CONNECTED, __ATOMIC_RELEASE);
        list_add_tail(&conn->pending_link, &l->pending);
        l->nr_pending++;
    }
    spin_unlock(&l->lock);
    return r;
}

static int connect_stream(struct socket *s, struct socket *listener, struct socket *conn,
                          bool nonblock)
{
    struct unix_sock *u = unix_of(s), *l = unix_of(listener);
    ktime_t deadline = socket_deadline(s->sndtimeo_ns);
    for (;;) {
        mutex_lock(&s->lock);
        int r = u->state == UNIX_CONNECTED ? -EISCONN
                : u->state != UNIX_FRESH   ? -EINVAL
                                           : enqueue_connection(u, l, unix_of(conn));
        mutex_unlock(&s->lock);
        if (r != -EAGAIN || nonblock)
            return r;
        WAIT_EVENT(&l->room, !connectable(l) || !backlog_full(l),
                   WAIT_INTERRUPTIBLE | WAIT_EXCLUSIVE, deadline, r);
        r = socket_wait_result(r, s->sndtimeo_ns);
        if (r)
            return r;
    }
}

static int connect_connection(struct socket *s, const struct sock_addr *addr, bool nonblock)
{
    struct socket *listener = unix_find(addr, s->type);
    if (is_err(listener))
        return (int)ptr_err(listener);
    struct socket *conn = socket_alloc(AF_UNIX_K, s->type, 0);
    int r = conn ? unix_init(conn) : -ENOMEM;
    if (conn && r) {
        socket_put(conn);
        conn = NULL;
    }
    if (!r)
        r = connect_stream(s, listener, conn, nonblock);
    if (!r) {
        wake_one(&listener->wait, KEY_IN);
        wake_all(&s->wait, KEY_OUT);
    } else if (conn) {
        socket_free(conn);
    }
    socket_put(listener);
    return r;
}

static int connect_datagram(struct socket *s, const struct sock_addr *addr)
{
    struct unix_sock *u = unix_of(s);
    struct socket *peer = NULL;
    int r = 0;
    if (addr->family != AF_UNSPEC_K) {
        peer = unix_find(addr, s->type);
        if (is_err(peer))
            return (int)ptr_err(peer);
        struct socket *theirs = unix_peer_get(unix_of(peer));
        if (theirs && theirs != s)
            r = -EPERM;
        if (theirs)
            socket_put(theirs);
    }
    if (r) {
        socket_put(peer);
        return r;
    }
    mutex_lock(&s->lock);
    unix_disconnect(u, peer);
    if (peer) {
        set_peer_cred(s, unix_of(peer)->cred, 0);
        hang_relay(u);
    }
    mutex_unlock(&s->lock);
    unix_wake_state(s);
    return 0;
}

static int unix_connect(struct socket *s, const struct sock_addr *addr, bool nonblock)
{
    if (addr->len < sizeof(addr->family))
        return -EINVAL;
    if ((READ_ONCE(s->flags) & SOCKF_PASSCRED) && !unix_of(s)->addr) {
        int r = unix_autobind(s);
        if (r)
            return r;
    }
    return s->type == SOCK_DGRAM_K ? connect_datagram(s, addr)
                                   : connect_connection(s, addr, nonblock);
}

/* Takes the first pending connection; NULL: none. */
static struct unix_sock *take_pending(struct unix_sock *u)
{
    struct unix_sock *c = NULL;
    spin_lock(&u->lock);
    if (!list_empty(&u->pending)) {
        c = list_first(&u->pending, struct unix_sock, pending_link);
        list_del(&c->pending_link);
        c->accepted = true;
        u->nr_pending--;
    }
    spin_unlock(&u->lock);
    return c;
}

static int unix_accept(struct socket *s, struct socket **out, struct sock_addr *peer, bool nonblock)
{
    struct unix_sock *u = unix_of(s), *c;
    ktime_t deadline = socket_deadline(s->rcvtimeo_ns);
    if (s->type == SOCK_DGRAM_K)
        return -EOPNOTSUPP;
    if (READ_ONCE(u->state) != UNIX_LISTENING)
        return -EINVAL;
    while ((c = take_pending(u)) == NULL) {
        if (READ_ONCE(s->shut) & SHUT_RECV)
            return -EINVAL;
        if (nonblock)
            return -EAGAIN;
        int r;
        WAIT_EVENT(&s->wait, READ_ONCE(u->nr_pending) || (READ_ONCE(s->shut) & SHUT_RECV),
                   WAIT_INTERRUPTIBLE | WAIT_EXCLUSIVE, deadline, r);
        r = socket_wait_result(r, s->rcvtimeo_ns);
        if (r)
            return r;
    }
    wake_one(&u->room, 0);
    *out = c->s;
    if (peer) {
        struct unix_addr *a = unix_addr_get(unix_of(c->peer));
        unix_addr_out(a, peer);
        unix_addr_put(a);
    }
    return 0;
}

static int unix_getname(struct socket *s, struct sock_addr *addr, bool peer)
{
    struct socket *who = s;
    if (peer) {
        who = unix_peer_get(unix_of(s));
        if (!who)
            return -ENOTCONN;
    }
    struct unix_addr *a = unix_addr_get(unix_of(who));
    unix_addr_out(a, addr);
    unix_addr_put(a);
    if (peer)
        socket_put(who);
    return 0;
}

static int unix_shutdown(struct socket *s, int how)
{
    struct unix_sock *u = unix_of(s);
    uint32_t bits = (uint32_t)how + 1, theirs = (bits & 1) << 1 | bits >> 1;
    __atomic_or_fetch(&s->shut, bits, __ATOMIC_SEQ_CST);
    if (s->type != SOCK_DGRAM_K && READ_ONCE(u->state) == UNIX_CONNECTED) {
        __atomic_or_fetch(&u->peer->shut, theirs, __ATOMIC_SEQ_CST);
        unix_wake_state(u->peer);
    }
    unix_wake_state(s);
    wake_all(&u->room, 0);
    return 0;
}

/* ---- poll, ioctl, options ---- */

static bool readable(const struct unix_sock *u)
{
    return stream_buffer_used(&u->in) || READ_ONCE(u->nr_messages) || READ_ONCE(u->nr_pending);
}

/* As poll sees it; registers for a change when there is no room. */
static bool writable(struct unix_sock *u)
{
    if (unix_is_stream(u->s))
        return unix_stream_writable(u);
    struct socket *peer = unix_peer_get(u);
    bool full = false;
    if (peer) {
        full = unix_packet_full(unix_of(peer), u->s);
        if (full) {
            /* Looked at again: a reader that made room before it could see the wish. */
            __atomic_store_n(&u->want_room, true, __ATOMIC_SEQ_CST);
            full = unix_packet_full(unix_of(peer), u->s);
        }
        socket_put(peer);
    }
    return !full;
}

static uint32_t unix_poll(struct socket *s, struct file *f, struct poll_table *pt)
{
    struct unix_sock *u = unix_of(s);
    poll_wait(pt, f, &s->wait);
    uint32_t mask = 0, shut = __atomic_load_n(&s->shut, __ATOMIC_ACQUIRE);
    uint8_t state = __atomic_load_n(&u->state, __ATOMIC_ACQUIRE);
    if (READ_ONCE(s->error))
        mask |= POLLERR_K;
    if (shut == SHUT_BOTH)
        mask |= POLLHUP_K;
    if (shut & SHUT_RECV)
        mask |= POLLRDHUP_K | KEY_IN;
    if (readable(u))
        mask |= KEY_IN;
    if (s->type != SOCK_DGRAM_K && state == UNIX_FRESH)
        mask |= POLLHUP_K;
    if (state != UNIX_LISTENING && writable(u))
        mask |= KEY_OUT;
    return mask;
}

static int64_t unix_ioctl(struct socket *s, unsigned cmd, uint64_t arg)
{
    struct unix_sock *u = unix_of(s);
    int32_t n = 0;
    if (cmd != FIONREAD_K && cmd != TIOCOUTQ_K)
        return -ENOIOCTLCMD_K;
    if (cmd == FIONREAD_K && u->state == UNIX_LISTENING)
        return -EINVAL;
    if (cmd == FIONREAD_K) {
        n = (int32_t)stream_buffer_used(&u->in);
        spin_lock(&u->lock);
        if (!list_empty(&u->messages))
            n = (int32_t)(s->type == SOCK_SEQPACKET_K
                              ? u->message_bytes
                              : list_first(&u->messages, struct unix_message, link)->len);
        spin_unlock(&u->lock);
    } else {
        struct socket *peer = unix_peer_get(u);
        if (peer) {
            n = (int32_t)(stream_buffer_used(&unix_of(peer)->in) +
                          READ_ONCE(unix_of(peer)->message_bytes));
            socket_put(peer);
        }
    }
    return put_user(n, arg);
}

static int unix_setsockopt(struct socket *s, int level, int name, const void *val, uint32_t len)
{
    if (level != SOL_SOCKET_K)
        return -EOPNOTSUPP;
    if (name != SO_PEEK_OFF_K || len < sizeof(int32_t))
        return -ENOPROTOOPT;
    if (!unix_is_stream(s))
        return -EOPNOTSUPP;
    struct unix_sock *u = unix_of(s);
    mutex_lock(&u->rd_mutex);
    memcpy(&u->peek_off, val, sizeof(u->peek_off));
    mutex_unlock(&u->rd_mutex);
    return 0;
}

static int unix_getsockopt(struct socket *s, int level, int name, void *val, uint32_t *len)
{
    struct unix_sock *u = unix_of(s);
    if (level != SOL_SOCKET_K)
        return -EOPNOTSUPP;
    if (name == SO_PEEK_OFF_K && unix_is_stream(s)) {
        *len = k_min(*len, (uint32_t)sizeof(u->peek_off));
        memcpy(val, &u->peek_off, *len);
        return 0;
    }
    if (name != SO_PEERGROUPS_K)
        return -ENOPROTOOPT;
    int r = -ENODATA;
    mutex_lock(&s->lock);
    if (u->peer_cred) {
        uint32_t need = u->peer_cred->nr_groups * (uint32_t)sizeof(kgid_t);
        r = *len >= need ? 0 : -ERANGE;
        *len = need;
        if (!r)
            memcpy(val, u->peer_cred->groups, need);
    }
    mutex_unlock(&s->lock);
    return r;
}

static void unix_option_changed(struct socket *s, int name)
{
    struct socket *peer = unix_peer_get(unix_of(s));
    if (!peer)
        return;
    WRITE_ONCE(unix_of(peer)->in.limit, (uint64_t)s->sndbuf);
    wake_all(&unix_of(peer)->room, KEY_OUT);
    socket_put(peer);
    wake_all(&s->wait, KEY_OUT); /* there may be room now, and no read will tell */
}

static int64_t unix_sendmsg(struct socket *s, struct sock_msg *m)
{
    return unix_is_stream(s) ? unix_stream_send(s, m) : unix_packet_send(s, m);
}

static int64_t unix_recvmsg(struct socket *s, struct sock_msg *m)
{
    return unix_is_stream(s) ? unix_stream_recv(s, m) : unix_packet_recv(s, m);
}

static const struct socket_ops unix_ops = {
    .bind = unix_bind,
    .connect = unix_connect,
    .pair = unix_pair,
    .listen = unix_listen,
    .accept = unix_accept,
    .getname = unix_getname,
    .sendmsg = unix_sendmsg,
    .recvmsg = unix_recvmsg,
    .shutdown = unix_shutdown,
    .poll = unix_poll,
    .setsockopt = unix_setsockopt,
    .getsockopt = unix_getsockopt,
    .ioctl = unix_ioctl,
    .option_changed = unix_option_changed,
    .release = unix_release,
    .destroy = unix_destroy,
};
