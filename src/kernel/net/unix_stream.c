/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams of AF_UNIX: bytes in the receiver's stream buffer. What belongs to a message
 * (descriptors, credentials) is in a mark that covers its bytes; most messages have none. A mark is
 * in place before its bytes are.
 *
 * A read does not go from the bytes of one sender to those of another when it tells credentials,
 * and ends behind the bytes that brought descriptors.
 *
 * A full buffer wakes its writers when it is half empty, so that they do not run for every byte.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "net/unix.h"
#include "proc/task.h"

static bool half_empty(const struct stream_buffer *b, uint64_t used)
{
    return used * 2 <= READ_ONCE(b->limit);
}

bool unix_stream_writable(const struct unix_sock *u)
{
    if (__atomic_load_n(&u->state, __ATOMIC_ACQUIRE) != UNIX_CONNECTED)
        return true;
    const struct stream_buffer *b = &unix_of(u->peer)->in;
    return half_empty(b, stream_buffer_used(b));
}

/* ---- sending ---- */

static bool broken(const struct socket *s, const struct socket *peer)
{
    return (READ_ONCE(s->shut) & SHUT_SEND) || (READ_ONCE(peer->shut) & SHUT_RECV);
}

static bool same_cred(const struct unix_scm *a, const struct unix_scm *b)
{
    return a->has_cred == b->has_cred &&
           (!a->has_cred || memcmp(&a->cred, &b->cred, sizeof(a->cred)) == 0);
}

/* A mark from the end of the buffer on, for bytes that are about to come: the last one when it says
 * the same. wr_mutex held. NULL: no memory. */
static struct unix_mark *mark_begin(struct unix_sock *to, struct unix_scm *scm)
{
    struct unix_mark *last = NULL, *m = kmalloc(sizeof(*m));
    if (!m)
        return NULL;
    *m = (struct unix_mark){.start = to->in.tail, .end = UINT64_MAX, .scm = *scm};
    scm->rights = NULL;
    spin_lock(&to->lock);
    if (!list_empty(&to->marks))
        last = list_entry(to->marks.prev, struct unix_mark, link);
    bool joined = last && !m->scm.rights && !last->scm.rights && last->end == m->start &&
                  same_cred(&last->scm, &m->scm);
    if (joined)
        last->end = UINT64_MAX;
    else
        list_add_tail(&m->link, &to->marks);
    spin_unlock(&to->lock);
    if (joined) {
        kfree(m);
        m = last;
    }
    return m;
}

/* The bytes of the mark are there; or none, then the rights go back to scm. */
static void mark_end(struct unix_sock *to, struct unix_mark *m, struct unix_scm *scm)
{
    uint64_t tail = to->in.tail;
    spin_lock(&to->lock);
    bool empty = m->start == tail;
    m->end = tail;
    if (empty) {
        list_del(&m->link);
        scm->rights = m->scm.rights;
    }
    spin_unlock(&to->lock);
    if (empty)
        kfree(m);
}

/* Puts what there is room for into the peer's buffer: bytes, 0: full, or an error. */
static int64_t send_piece(struct socket *s, struct socket *peer, struct uio *u,
                          struct unix_scm *scm)
{
    struct unix_sock *to = unix_of(peer);
    struct unix_mark *mark = NULL;
    int64_t n = -EPIPE;
    mutex_lock(&to->wr_mutex);
    if (!broken(s, peer)) {
        n = stream_buffer_room(&to->in) ? 1 : 0;
        if (n && unlikely(scm->rights || scm->has_cred)) {
            mark = mark_begin(to, scm);
            n = mark ? n : -ENOMEM;
        }
        if (n > 0)
            n = stream_buffer_write(&to->in, u, u->remaining);
        if (mark)
            mark_end(to, mark, scm);
    }
    mutex_unlock(&to->wr_mutex);
    if (n > 0)
        wake_all(&peer->wait, KEY_IN);
    return n;
}

static int64_t send_all(struct socket *s, struct socket *peer, struct sock_msg *m,
                        struct unix_scm *scm)
{
    int64_t sent = 0, r = 0;
    ktime_t deadline = 0;
    while (m->data->remaining) {
        r = send_piece(s, peer, m->data, scm);
        if (r < 0)
            break;
        sent += r;
        if (r)
            continue;
        r = -EAGAIN;
        if (m->flags & MSG_DONTWAIT_K)
            break;
        if (!deadline)
            deadline = socket_deadline(s->sndtimeo_ns);
        int wait;
        SOCKET_WAIT(s, unix_stream_writable(unix_of(s)) || broken(s, peer), s->sndtimeo_ns,
                    deadline, wait);
        r = wait;
        if (r)
            break;
    }
    if (sent)
        return sent;
    return r == -EPIPE ? socket_broken_pipe(m->flags) : r;
}

int64_t unix_stream_send(struct socket *s, struct sock_msg *m)
{
    const struct unix_sock *u = unix_of(s);
    struct unix_scm scm = {NULL, {0}, false};
    bool connected = __atomic_load_n(&u->state, __ATOMIC_ACQUIRE) == UNIX_CONNECTED;
    if (unlikely(m->flags & MSG_OOB_K))
        return -EOPNOTSUPP;
    int64_t r = m->control ? unix_scm_parse(m, &scm) : 0;
    if (!r && m->name && m->name->len)
        r = connected ? -EISCONN : -EOPNOTSUPP;
    else if (!r && !connected)
        r = -ENOTCONN;
    if (!r && (READ_ONCE(s->shut) & SHUT_SEND))
        r = socket_broken_pipe(m->flags);
    if (!r) {
        unix_scm_add_cred(&scm, s, u->peer);
        r = send_all(s, u->peer, m, &scm);
    }
    unix_scm_release(&scm);
    return r;
}

/* ---- receiving; rd_mutex held ---- */

/* Drops marks whose bytes were read. */
static void drop_marks(struct unix_sock *u)
{
    while (!list_empty(&u->marks)) {
        spin_lock(&u->lock);
        struct unix_mark *m = list_first(&u->marks, struct unix_mark, link);
        bool over = m->end <= u->in.head;
        if (over)
            list_del(&m->link);
        spin_unlock(&u->lock);
        if (!over)
            return;
        unix_scm_release(&m->scm);
        kfree(m);
    }
}

/* What goes with the byte at `skip` behind the first, and how far that goes: up to *end. The mark,
 * or NULL. A mark stays, for only readers take marks away; its end may still move. */
static struct unix_mark *mark_of(struct unix_sock *u, uint64_t skip, uint64_t *end)
{
    struct unix_mark *m;
    uint64_t pos = u->in.head + skip;
    *end = UINT64_MAX;
    if (likely(list_empty(&u->marks)))
        return NULL;
    spin_lock(&u->lock);
    list_for_each (m, &u->marks, link) {
        if (m->end <= pos)
            continue;
        bool covers = m->start <= pos;
        *end = (covers ? m->end : m->start) - u->in.head;
        spin_unlock(&u->lock);
        return covers ? m : NULL;
    }
    spin_unlock(&u->lock);
    return NULL;
}

struct stream_read {
    struct unix_sock *u;
    struct sock_msg *m;
    struct unix_scm scm; /* of what was read */
    uint64_t done, skip; /* skip: where a peek stands */
    bool peek, cred_known, over;
};

/* Reads what is there and may be read together. 0 or an error. */
static int read_pieces(struct stream_read *r)
{
    struct unix_sock *u = r->u;
    bool pass_cred = READ_ONCE(u->s->flags) & SOCKF_PASSCRED;
    while (!r->over && stream_buffer_used(&u->in) > r->skip && r->m->data->remaining) {
        uint64_t end;
        struct unix_mark *m = mark_of(u, r->skip, &end);
        struct unix_scm none = {NULL, {0}, false}, *here = m ? &m->scm : &none;
        if (pass_cred) {
            if (r->cred_known && !same_cred(&r->scm, here)) {
                r->over = true;
                return 0;
            }
            r->scm.cred = here->cred;
            r->scm.has_cred = here->has_cred;
            r->cred_known = true;
        }
        int64_t n = stream_buffer_read(&u->in, r->m->data, end - r->skip, r->skip, r->peek);
        if (n < 0)
            return (int)n;
        r->done += (uint64_t)n;
        if (r->peek)
            r->skip += (uint64_t)n;
        if (m && READ_ONCE(m->scm.rights)) {
            r->over = true;
            int err = unix_scm_take(u, &m->scm, &r->scm, r->peek);
            if (err)
                return err;
        }
        if (m && !r->peek)
            drop_marks(u);
    }
    return 0;
}

/* One round with the mutex; wakes writers when their time has come. */
static int read_round(struct stream_read *r)
{
    struct unix_sock *u = r->u;
    uint64_t before = r->done;
    mutex_lock(&u->rd_mutex);
    if (unlikely(u->peek_off >= 0) && r->peek && !r->done)
        r->skip = (uint32_t)u->peek_off;
    int err = read_pieces(r);
    uint64_t n = r->done - before;
    if (unlikely(u->peek_off >= 0))
        u->peek_off = r->peek ? u->peek_off + (int32_t)n
                              : u->peek_off - (int32_t)k_min((uint64_t)u->peek_off, n);
    uint64_t used = stream_buffer_used(&u->in);
    bool wake = !r->peek && n && half_empty(&u->in, used) && !half_empty(&u->in, used + n);
    mutex_unlock(&u->rd_mutex);
    if (wake)
        wake_all(&u->peer->wait, KEY_OUT);
    return err;
}

int64_t unix_stream_recv(struct socket *s, struct sock_msg *m)
{
    struct unix_sock *u = unix_of(s);
    struct stream_read r = {.u = u, .m = m, .peek = m->flags & MSG_PEEK_K};
    if (__atomic_load_n(&u->state, __ATOMIC_ACQUIRE) != UNIX_CONNECTED)
        return -EINVAL;
    if (unlikely(m->flags & MSG_OOB_K))
        return -EOPNOTSUPP;
    uint64_t want = m->data->remaining;
    uint64_t target =
        m->flags & MSG_WAITALL_K ? want : k_min((uint64_t)READ_ONCE(s->rcvlowat), want);
    target = k_max(target, (uint64_t)1);
    ktime_t deadline = 0;
    int64_t err;
    for (;;) {
        /* Before the look at the buffer: the peer's last bytes are seen when its leaving is. */
        bool end = __atomic_load_n(&s->shut, __ATOMIC_ACQUIRE) & SHUT_RECV;
        err = read_round(&r);
        if (err || r.over || r.done >= target || (!want && stream_buffer_used(&u->in) > r.skip))
            break;
        err = socket_take_error(s);
        if (err || end)
            break;
        err = -EAGAIN;
        if (m->flags & MSG_DONTWAIT_K)
            break;
        if (!deadline)
            deadline = socket_deadline(s->rcvtimeo_ns);
        int wait;
        SOCKET_WAIT(s,
                    stream_buffer_used(&u->in) > r.skip || (READ_ONCE(s->shut) & SHUT_RECV) ||
                        READ_ONCE(s->error),
                    s->rcvtimeo_ns, deadline, wait);
        err = wait;
        if (err)
            break;
    }
    if (err && !r.done) {
        unix_scm_release(&r.scm);
        return err;
    }
    if (m->name && r.done) {
        struct unix_addr *a = unix_addr_get(unix_of(u->peer));
        if (a)
            unix_addr_out(a, m->name);
        unix_addr_put(a);
    }
    int put = r.done ? unix_scm_put(s, m, &r.scm) : 0;
    return put ? put : (int64_t)r.done;
}
