/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints at the host: what is sent, credit, and the end; see net/host_net.c. */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "net/host_net_impl.h"
#include "net/socket.h"

#define SEND_MAX (256u << 10) /* bytes taken and not yet with the host, of one endpoint */
#define CHUNK_MAX (64u << 10)
#define DATAGRAM_MAX 65507u
#define ORPHANS_MAX (16u << 20) /* unsent bytes of released endpoints */
#define CORK_MAX (64u << 10)
#define CORK_NS (200 * NSEC_PER_MSEC) /* as Linux does */
#define CREDIT_SMALL 1024u /* gathered credit that goes out when the host has none left */

struct chunk { /* bytes to send; of a datagram the address stands before them */
    struct list link;
    uint32_t len, bytes; /* whole; without the address */
    bool has_addr;
    uint8_t data[] __attribute__((aligned(8))); /* behind all padding */
};

static uint32_t orphan_bytes;

/* The end of a request; lock held. True: it was the last, and hs is the caller's to free. */
static bool is_over(const struct host_sock *hs)
{
    return hs->closed && !hs->out_busy && !hs->grant_busy && !hs->releasing;
}

static void sock_free(struct host_sock *hs)
{
    __atomic_sub_fetch(&orphan_bytes, hs->orphan, __ATOMIC_RELAXED);
    kfree(hs);
}

/* lock held */
void host_sock_drop_queue(struct host_sock *hs)
{
    while (!list_empty(&hs->queue)) {
        struct chunk *c = list_first(&hs->queue, struct chunk, link);
        list_del(&c->link);
        hs->unsent -= c->bytes;
        kfree(c);
    }
    hs->blocked = false;
}

static void sock_writable(struct host_sock *hs)
{
    void *owner;
    spin_lock(&hs->lock);
    bool tell = hs->want_writable && hs->unsent <= SEND_MAX / 2;
    if (tell)
        hs->want_writable = false;
    spin_unlock(&hs->lock);
    const struct host_sock_ops *ops = tell ? host_owner_of(hs, &owner) : NULL;
    if (ops && ops->writable)
        ops->writable(owner);
}

/* ---- sending ---- */

/* Takes from the queue what goes into one request: of a stream as much as fits; lock held. */
static uint32_t take_chunks(struct host_sock *hs)
{
    struct chunk **end = &hs->taken;
    uint32_t len = 0;
    hs->out_bytes = 0;
    while (!list_empty(&hs->queue)) {
        struct chunk *c = list_first(&hs->queue, struct chunk, link);
        if (len && (!hs->is_stream || len + c->len > CELLA_HOST_MAX_IO))
            break;
        list_del(&c->link);
        len += c->len;
        hs->out_bytes += c->bytes;
        hs->out.a[1] = c->has_addr;
        /* The list's link serves as a plain pointer to the next. */
        c->link.next = NULL;
        *end = c;
        end = (struct chunk **)&c->link.next;
    }
    return len;
}

/* Brings what pump chose to the host; again when there was no slot. out_busy is set. */
static void out_submit(struct host_call *call)
{
    struct host_sock *hs = container_of(call, struct host_sock, out);
    if (!host_call_open(call, call->send_len))
        return;
    uint32_t at = 0;
    while (hs->taken) {
        struct chunk *c = hs->taken;
        memcpy(call->shared + at, c->data, c->len);
        at += c->len;
        hs->taken = (struct chunk *)c->link.next;
        kfree(c);
    }
    if (call->op == CELLA_HOST_CLOSE)
        host_table_remove(hs);
    host_call_submit(call, call->send_len);
}

/* Chooses the next request for `out`, which is free; lock held. False: nothing is to be done. */
static bool choose(struct host_sock *hs)
{
    struct host_call *c = &hs->out;
    if (hs->discard && hs->released)
        host_sock_drop_queue(hs);
    if (hs->blocked || (list_empty(&hs->queue) && hs->unsent))
        return false; /* or a sender is still copying */
    if (hs->corked && !hs->cork_over && !hs->shut_wanted && !hs->released && hs->unsent &&
        hs->unsent < CORK_MAX) {
        if (!hs->cork_armed)
            ktimer_start(&hs->cork_timer, time_mono_ns() + CORK_NS);
        hs->cork_armed = true;
        return false;
    }
    c->send_len = 0;
    c->a[0] = hs->handle;
    if (!list_empty(&hs->queue)) {
        c->op = CELLA_HOST_SEND;
        hs->writable_seen = hs->cork_over = false;
        c->send_len = take_chunks(hs);
    } else if (hs->shut_wanted && !hs->shut_done) {
        c->op = CELLA_HOST_SOCKCTL;
        c->a[1] = CELLA_HOST_SHUTDOWN;
        c->a[2] = SHUT_WR_K;
        hs->shut_done = true;
    } else if (hs->released) {
        c->op = CELLA_HOST_CLOSE;
        hs->closed = true;
    } else {
        return false;
    }
    return true;
}

/* The end of `out` is waited for: the host is to tell of it at once. lock held. */
static void want_out(struct host_sock *hs)
{
    if (!hs->out_busy || hs->out_wanted)
        return;
    hs->out_wanted = true;
    host_ring_want(1);
}

/* Begins the next request, unless one is out or nothing is to be done. */
void host_sock_pump(struct host_sock *hs)
{
    spin_lock(&hs->lock);
    bool begin = !hs->out_busy && !hs->closed && choose(hs);
    if (begin)
        hs->out_busy = true;
    if (!list_empty(&hs->queue) || hs->shut_wanted || hs->released)
        want_out(hs);
    spin_unlock(&hs->lock);
    if (begin)
        out_submit(&hs->out);
}

void host_sock_discard(struct host_sock *hs)
{
    spin_lock(&hs->lock);
    hs->discard = true;
    spin_unlock(&hs->lock);
    host_sock_pump(hs);
}

/* What the host did not take goes back to the head of the queue. False: no memory. */
static bool take_back(struct host_sock *hs, const struct host_call *call, uint32_t taken)
{
    uint32_t rest = call->send_len - taken;
    struct chunk *c = kmalloc(sizeof(*c) + rest);
    if (!c)
        return false;
    *c = (struct chunk){.len = rest, .bytes = hs->out_bytes - taken, .has_addr = call->a[1] & 1};
    memcpy(c->data, call->shared + taken, rest);
    spin_lock(&hs->lock);
    list_add(&c->link, &hs->queue);
    hs->blocked = !hs->writable_seen;
    spin_unlock(&hs->lock);
    return true;
}

static void out_done(struct host_call *call)
{
    struct host_sock *hs = container_of(call, struct host_sock, out);
    int error = 0;
    if (call->op == CELLA_HOST_SEND) {
        uint32_t sent = hs->out_bytes;
        int64_t n = call->result;
        if (n == -EAGAIN || (hs->is_stream && n >= 0 && n < (int64_t)hs->out_bytes)) {
            sent = n > 0 ? (uint32_t)n : 0;
            if (!take_back(hs, call, sent)) {
                error = ENOMEM;
                sent = hs->out_bytes;
            }
        } else if (n != hs->out_bytes) {
            error = n < 0 ? (int)-n : EIO;
        }
        spin_lock(&hs->lock);
        hs->unsent -= sent;
        spin_unlock(&hs->lock);
    }
    host_call_close(call);
    spin_lock(&hs->lock);
    hs->out_busy = false;
    if (hs->out_wanted)
        host_ring_want(-1);
    hs->out_wanted = false;
    bool over = is_over(hs), closed = call->op == CELLA_HOST_CLOSE;
    spin_unlock(&hs->lock);
    if (over)
        sock_free(hs);
    if (closed)
        return;
    host_upcall_begin(hs);
    if (error)
        host_sock_fails(hs, error);
    /* First the next request, so that the host works while the owner's threads wake up. */
    host_sock_pump(hs);
    sock_writable(hs);
    host_upcall_end();
}

/* Room for `bytes` more, set aside. Or 0, with `writable` promised. */
static uint32_t reserve(struct host_sock *hs, uint64_t bytes, int *error)
{
    spin_lock(&hs->lock);
    *error = hs->send_error;
    uint32_t room = hs->unsent < SEND_MAX ? SEND_MAX - hs->unsent : 0;
    uint32_t n = bytes < room ? (uint32_t)bytes : hs->is_stream ? room : 0;
    if (*error || hs->shut_wanted) {
        *error = *error ? *error : EPIPE;
        n = 0;
    } else if (n < bytes) {
        hs->want_writable = true;
        want_out(hs);
    }
    hs->unsent += n;
    spin_unlock(&hs->lock);
    return n;
}

/* Copies `n` bytes of u into a chunk and queues it. Bytes or negative errno. */
static int64_t queue_bytes(struct host_sock *hs, struct uio *u, uint32_t n,
                           const struct cella_host_sockaddr *to)
{
    uint32_t head = to ? sizeof(*to) : 0, got = 0;
    struct chunk *c = kmalloc(sizeof(*c) + head + n);
    if (c) {
        if (to)
            memcpy(c->data, to, head);
        got = (uint32_t)uio_read(u, c->data + head, n);
        if (!hs->is_stream && got < n) {
            uio_revert(u, got);
            got = 0;
        }
    }
    bool queued = got || (c && !n);
    int64_t result = queued ? (int64_t)got : c ? -EFAULT : -ENOMEM;
    if (queued)
        *c = (struct chunk){.len = head + got, .bytes = got, .has_addr = to != NULL};
    spin_lock(&hs->lock);
    hs->unsent -= n - got;
    if (queued && !hs->send_error) {
        list_add_tail(&c->link, &hs->queue);
        c = NULL;
    } else {
        hs->unsent -= got;
    }
    spin_unlock(&hs->lock);
    kfree(c);
    return result;
}

int64_t host_sock_send(struct host_sock *hs, struct uio *u, uint64_t max,
                       const struct cella_host_sockaddr *to)
{
    uint64_t want = k_min(max, u->remaining), done = 0;
    if (!hs->is_stream && want > DATAGRAM_MAX)
        return -EMSGSIZE;
    int error;
    int64_t n = 0;
    do {
        uint32_t room = reserve(hs, hs->is_stream ? k_min(want - done, CHUNK_MAX) : want, &error);
        if (error && !done)
            return -error;
        if (!room && want) {
            n = hs->is_stream ? 0 : -EAGAIN;
            break;
        }
        n = queue_bytes(hs, u, room, to);
        if (n > 0)
            done += (uint64_t)n;
    } while (n > 0 && done < want);
    host_sock_pump(hs);
    return done ? (int64_t)done : n;
}

static void cork_expired(struct ktimer *t)
{
    struct host_sock *hs = container_of(t, struct host_sock, cork_timer);
    spin_lock(&hs->lock);
    hs->cork_armed = false;
    hs->cork_over = true;
    spin_unlock(&hs->lock);
    host_sock_pump(hs);
}

void host_sock_cork(struct host_sock *hs, bool corked, bool push)
{
    spin_lock(&hs->lock);
    hs->corked = corked;
    hs->cork_over = push && !list_empty(&hs->queue);
    spin_unlock(&hs->lock);
    if (push)
        host_sock_pump(hs);
}

void host_sock_released(struct host_sock *hs)
{
    spin_lock(&hs->lock);
    hs->releasing = false;
    bool over = is_over(hs);
    spin_unlock(&hs->lock);
    if (over)
        sock_free(hs);
}

uint64_t host_sock_unsent(struct host_sock *hs)
{
    return READ_ONCE(hs->unsent);
}

bool host_sock_has_room(struct host_sock *hs)
{
    spin_lock(&hs->lock);
    bool room = hs->unsent <= SEND_MAX / 2;
    if (!room) {
        hs->want_writable = true;
        want_out(hs);
    }
    spin_unlock(&hs->lock);
    return room;
}

/* ---- credit ---- */

static void grant_submit(struct host_call *c)
{
    if (host_call_open(c, 0))
        host_call_submit_lazy(c, 0);
}

static void grant_flush(struct host_sock *hs)
{
    spin_lock(&hs->lock);
    hs->window = k_max(hs->window, hs->outstanding + hs->pending);
    int64_t enough =
        hs->outstanding > 0 ? hs->window / 4 : k_min(hs->window / 4, (int64_t)CREDIT_SMALL);
    bool wanted = !hs->released && hs->pending && hs->pending >= enough;
    bool begin = wanted && !hs->grant_busy;
    if (wanted && hs->grant_busy && !hs->grant_wanted) {
        hs->grant_wanted = true;
        host_ring_want(1);
    }
    if (begin) {
        hs->grant_busy = true;
        hs->grant.op = CELLA_HOST_RECV;
        hs->grant.a[0] = hs->handle;
        hs->grant.a[1] = (uint64_t)hs->pending;
        /* Counted before the host knows: records may come at once. */
        hs->outstanding += hs->pending;
        hs->pending = 0;
    }
    spin_unlock(&hs->lock);
    if (begin)
        grant_submit(&hs->grant);
}

static void grant_done(struct host_call *call)
{
    struct host_sock *hs = container_of(call, struct host_sock, grant);
    host_call_close(call);
    spin_lock(&hs->lock);
    hs->grant_busy = false;
    if (hs->grant_wanted)
        host_ring_want(-1);
    hs->grant_wanted = false;
    bool over = is_over(hs), released = hs->released;
    spin_unlock(&hs->lock);
    if (over)
        sock_free(hs);
    else if (!released)
        grant_flush(hs);
}

void host_sock_credit(struct host_sock *hs, uint32_t amount)
{
    spin_lock(&hs->lock);
    hs->pending += amount;
    spin_unlock(&hs->lock);
    grant_flush(hs);
}

/* Takes `amount` off the host's credit. A datagram is delivered whole on any credit left. */
bool host_sock_spend(struct host_sock *hs, uint32_t amount)
{
    spin_lock(&hs->lock);
    bool good = hs->is_stream ? amount <= hs->outstanding : hs->outstanding > 0;
    hs->outstanding -= good ? amount : 0;
    spin_unlock(&hs->lock);
    return good;
}

void host_sock_set_requests(struct host_sock *hs)
{
    ktimer_init(&hs->cork_timer, cork_expired);
    hs->out.complete = out_done;
    hs->out.room = out_submit;
    hs->grant.complete = grant_done;
    hs->grant.room = grant_submit;
}

void host_sock_orphan(struct host_sock *hs)
{
    hs->orphan = hs->unsent;
    if (__atomic_add_fetch(&orphan_bytes, hs->orphan, __ATOMIC_RELAXED) > ORPHANS_MAX)
        hs->discard = true;
}
