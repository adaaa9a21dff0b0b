/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Endpoints at the host; see host_net.h.
 *
 * An endpoint has two requests of its own. `out` is the one for which order counts: it carries, one
 * after the other, the bytes that were taken, the end of the stream and the close at the host
 * (pump). `grant` gives credit. What out takes a while for waits in `queue`, in kernel memory:
 * bytes lie in the shared area only while a request is out, so that slow peers cannot fill it.
 *
 * After its release an endpoint without owner lives on until all is sent and the host has closed.
 *
 * All that the host sends comes through the poller of dev/host_ring.c, one record at a time.
 * upcall_sock names the endpoint it is about, and host_sock_release waits while that is its own.
 *
 * Locks: host_sock.lock (spin) guards an endpoint, table_lock (spin) the table; neither is held
 * over an upcall, a submission or the other.
 */
#include "net/host_net.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/list.h"
#include "base/string.h"
#include "boot.h"
#include "dev/host_ring.h"
#include "hal.h"
#include "net/socket.h"

#define NR_WAITS 2
#define WAIT_SIZE (256u << 10)
#define SEND_MAX (256u << 10) /* bytes taken and not yet with the host, of one endpoint */
#define CHUNK_MAX (64u << 10)
#define DATAGRAM_MAX 65507u
#define ORPHANS_MAX (16u << 20) /* unsent bytes of released endpoints */
#define CREDIT_SMALL 1024u      /* gathered credit that goes out when the host has none left */
#define NR_BUCKETS 1024u

struct chunk { /* bytes to send; of a datagram the address stands before them */
    struct list link;
    uint32_t len, bytes; /* whole; without the address */
    bool has_addr;
    uint8_t data[] __attribute__((aligned(8))); /* behind all padding */
};

struct host_sock {
    struct list hash_link;
    uint32_t handle;
    uint8_t family;
    bool is_stream;

    spinlock_t lock;
    const struct host_sock_ops *ops; /* NULL: nobody wants to know */
    void *owner;
    struct list queue;
    uint32_t unsent;     /* bytes in queue, or promised to it, or in `out` */
    uint32_t out_bytes;  /* of those in `out` */
    uint32_t orphan;     /* counted in orphan_bytes */
    struct chunk *taken; /* what `out` brings, while it waits for a slot */
    struct host_call out, grant;
    bool out_busy, grant_busy;
    bool blocked;       /* the host took less than all: until NET_WRITABLE */
    bool writable_seen; /* since `out` was submitted */
    bool want_writable;
    bool shut_wanted, shut_done, discard, released, closed;
    bool listening, connecting, eof;
    int send_error;               /* a stream's: no more can be sent or received */
    int64_t outstanding, pending; /* credit that the host has; that is gathered */
    int64_t window;               /* the most of both together */
};

static struct list table[NR_BUCKETS];
static spinlock_t table_lock = SPINLOCK_INIT;
static struct host_sock *upcall_sock;
static struct host_call waits[NR_WAITS];
static uint32_t orphan_bytes;
static bool started;
uint64_t host_net_bad_records;

static void pump(struct host_sock *hs);

bool host_net_present(void)
{
    return boot.h.flags & CELLA_BOOT_NET;
}

/* ---- the table ---- */

static struct list *bucket(uint32_t handle)
{
    return &table[handle % NR_BUCKETS];
}

/* table_lock held. */
static struct host_sock *table_find(uint32_t handle)
{
    struct host_sock *hs;
    list_for_each (hs, bucket(handle), hash_link)
        if (hs->handle == handle)
            return hs;
    return NULL;
}

static bool table_add(struct host_sock *hs)
{
    spin_lock(&table_lock);
    bool is_new = !table_find(hs->handle);
    if (is_new)
        list_add(&hs->hash_link, bucket(hs->handle));
    spin_unlock(&table_lock);
    return is_new;
}

static void table_remove(struct host_sock *hs)
{
    spin_lock(&table_lock);
    list_del(&hs->hash_link);
    spin_unlock(&table_lock);
}

static struct host_sock *sock_alloc(int family, bool is_stream)
{
    struct host_sock *hs = kzalloc(sizeof(*hs));
    if (!hs)
        return NULL;
    hs->family = (uint8_t)family;
    hs->is_stream = is_stream;
    spin_init(&hs->lock);
    list_init(&hs->queue);
    list_init(&hs->hash_link);
    return hs;
}

/* The end of a request; lock held. True: it was the last, and hs is the caller's to free. */
static bool is_over(const struct host_sock *hs)
{
    return hs->closed && !hs->out_busy && !hs->grant_busy;
}

static void sock_free(struct host_sock *hs)
{
    __atomic_sub_fetch(&orphan_bytes, hs->orphan, __ATOMIC_RELAXED);
    kfree(hs);
}

/* ---- upcalls; in the poller ---- */

/* The owner's functions, or NULL. The endpoint is upcall_sock. */
static const struct host_sock_ops *owner_of(struct host_sock *hs, void **owner)
{
    spin_lock(&hs->lock);
    const struct host_sock_ops *ops = hs->ops;
    *owner = hs->owner;
    spin_unlock(&hs->lock);
    return ops;
}

static void upcall_begin(struct host_sock *hs)
{
    __atomic_store_n(&upcall_sock, hs, __ATOMIC_SEQ_CST);
}

static void upcall_end(void)
{
    __atomic_store_n(&upcall_sock, NULL, __ATOMIC_SEQ_CST);
}

/* lock held */
static void drop_queue(struct host_sock *hs)
{
    while (!list_empty(&hs->queue)) {
        struct chunk *c = list_first(&hs->queue, struct chunk, link);
        list_del(&c->link);
        hs->unsent -= c->bytes;
        kfree(c);
    }
    hs->blocked = false;
}

/* error > 0. A stream ends with it. */
static void sock_fails(struct host_sock *hs, int error)
{
    void *owner;
    if (hs->is_stream) {
        spin_lock(&hs->lock);
        bool first = !hs->send_error;
        if (first)
            hs->send_error = error;
        drop_queue(hs);
        spin_unlock(&hs->lock);
        if (!first)
            return;
    }
    const struct host_sock_ops *ops = owner_of(hs, &owner);
    if (ops && ops->error)
        ops->error(owner, error);
}

static void sock_writable(struct host_sock *hs)
{
    void *owner;
    spin_lock(&hs->lock);
    bool tell = hs->want_writable && hs->unsent <= SEND_MAX / 2;
    if (tell)
        hs->want_writable = false;
    spin_unlock(&hs->lock);
    const struct host_sock_ops *ops = tell ? owner_of(hs, &owner) : NULL;
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
        table_remove(hs);
    host_call_submit(call, call->send_len);
}

/* Chooses the next request for `out`, which is free; lock held. False: nothing is to be done. */
static bool choose(struct host_sock *hs)
{
    struct host_call *c = &hs->out;
    if (hs->discard && hs->released)
        drop_queue(hs);
    if (hs->blocked || (list_empty(&hs->queue) && hs->unsent))
        return false; /* or a sender is still copying */
    c->send_len = 0;
    c->a[0] = hs->handle;
    if (!list_empty(&hs->queue)) {
        c->op = CELLA_HOST_SEND;
        hs->writable_seen = false;
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

/* Begins the next request, unless one is out or nothing is to be done. */
static void pump(struct host_sock *hs)
{
    spin_lock(&hs->lock);
    bool begin = !hs->out_busy && !hs->closed && choose(hs);
    if (begin)
        hs->out_busy = true;
    spin_unlock(&hs->lock);
    if (begin)
        out_submit(&hs->out);
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
    bool over = is_over(hs);
    spin_unlock(&hs->lock);
    if (over) {
        sock_free(hs);
        return;
    }
    upcall_begin(hs);
    if (error)
        sock_fails(hs, error);
    /* First the next request, so that the host works while the owner's threads wake up. */
    pump(hs);
    sock_writable(hs);
    upcall_end();
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
    pump(hs);
    return done ? (int64_t)done : n;
}

uint64_t host_sock_unsent(struct host_sock *hs)
{
    return READ_ONCE(hs->unsent);
}

bool host_sock_has_room(struct host_sock *hs)
{
    spin_lock(&hs->lock);
    bool room = hs->unsent <= SEND_MAX / 2;
    if (!room)
        hs->want_writable = true;
    spin_unlock(&hs->lock);
    return room;
}

/* ---- credit ---- */

static void grant_submit(struct host_call *c)
{
    if (host_call_open(c, 0))
        host_call_submit(c, 0);
}

static void grant_flush(struct host_sock *hs)
{
    spin_lock(&hs->lock);
    hs->window = k_max(hs->window, hs->outstanding + hs->pending);
    int64_t enough =
        hs->outstanding > 0 ? hs->window / 4 : k_min(hs->window / 4, (int64_t)CREDIT_SMALL);
    bool begin = !hs->grant_busy && !hs->released && hs->pending && hs->pending >= enough;
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
    bool over = is_over(hs);
    spin_unlock(&hs->lock);
    if (over)
        sock_free(hs);
    else
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
static bool spend_credit(struct host_sock *hs, uint32_t amount)
{
    spin_lock(&hs->lock);
    bool good = hs->is_stream ? amount <= hs->outstanding : hs->outstanding > 0;
    hs->outstanding -= good ? amount : 0;
    spin_unlock(&hs->lock);
    return good;
}

/* ---- what arrives ---- */

static void set_requests(struct host_sock *hs)
{
    hs->out.complete = out_done;
    hs->out.room = out_submit;
    hs->grant.complete = grant_done;
    hs->grant.room = grant_submit;
}

static bool good_addr(const struct host_sock *hs, const struct cella_host_sockaddr *a)
{
    return a->family == hs->family;
}

static bool take_accepted(struct host_sock *hs, const struct host_sock_ops *ops, void *owner,
                          const struct cella_host_net_record *r, const uint8_t *data)
{
    struct cella_host_sockaddr own;
    if (!hs->listening || r->len != sizeof(own) || r->value > INT32_MAX || !ops->accepted)
        return false;
    memcpy(&own, data, sizeof(own));
    if (!good_addr(hs, &own) || !good_addr(hs, &r->addr) || !spend_credit(hs, 1))
        return false;
    struct host_sock *conn = sock_alloc(hs->family, true);
    if (!conn)
        return false; /* the connection stays open at the host, without credit */
    set_requests(conn);
    conn->handle = (uint32_t)r->value;
    if (!table_add(conn)) {
        kfree(conn);
        return false;
    }
    ops->accepted(owner, conn, &r->addr, &own);
    return true;
}

/* r is a copy; data lie in shared memory. False: the record breaks a rule. */
static bool take_record(struct host_sock *hs, const struct cella_host_net_record *r,
                        const uint8_t *data)
{
    void *owner;
    bool was_connecting;
    const struct host_sock_ops *ops = owner_of(hs, &owner);
    if (r->kind == CELLA_HOST_NET_WRITABLE) {
        spin_lock(&hs->lock);
        hs->writable_seen = true;
        hs->blocked = false;
        spin_unlock(&hs->lock);
        pump(hs);
        return true;
    }
    if (!ops)
        return READ_ONCE(hs->released); /* came too late, or before anybody gave credit */
    if (READ_ONCE(hs->send_error))
        return true; /* it has ended; the host may not know yet */
    switch (r->kind) {
    case CELLA_HOST_NET_DATA:
        if (!hs->is_stream || hs->listening || hs->connecting || hs->eof || !r->len || !ops->data ||
            !spend_credit(hs, r->len)) {
            sock_fails(hs, EIO);
            return false;
        }
        ops->data(owner, data, r->len);
        return true;
    case CELLA_HOST_NET_DATAGRAM:
        if (hs->is_stream || r->len > UINT16_MAX || !ops->datagram || !good_addr(hs, &r->addr) ||
            !spend_credit(hs, r->len))
            return false;
        ops->datagram(owner, &r->addr, data, r->len);
        return true;
    case CELLA_HOST_NET_EOF:
        if (!hs->is_stream || hs->listening || hs->connecting || hs->eof || !ops->eof)
            return false;
        hs->eof = true;
        ops->eof(owner);
        return true;
    case CELLA_HOST_NET_ERROR:
        if (r->value == 0 || r->value > HOST_ERRNO_MAX)
            return false;
        sock_fails(hs, (int)r->value);
        return true;
    case CELLA_HOST_NET_CONNECTED:
        spin_lock(&hs->lock);
        was_connecting = hs->connecting;
        hs->connecting = false;
        spin_unlock(&hs->lock);
        if (!was_connecting || r->value > HOST_ERRNO_MAX || !ops->connected ||
            (!r->value && !good_addr(hs, &r->addr)))
            return false;
        ops->connected(owner, (int)r->value, &r->addr);
        return true;
    case CELLA_HOST_NET_ACCEPTED: return take_accepted(hs, ops, owner, r, data);
    default: return false;
    }
}

/* The records of one answer. `len` was checked; what stands in `shared` may change all the time. */
static void take_answer(const char *shared, uint32_t len)
{
    for (uint32_t at = 0; at < len;) {
        struct cella_host_net_record r;
        uint32_t rest = len - at;
        if (rest < sizeof(r) || (rest & 7)) {
            host_net_bad_records++;
            return;
        }
        memcpy(&r, shared + at, sizeof(r));
        __asm__ volatile("" ::: "memory"); /* from here on the copy counts */
        if (r.rec_len < sizeof(r) || (r.rec_len & 7) || r.rec_len > rest ||
            r.len > r.rec_len - sizeof(r)) {
            host_net_bad_records++;
            return;
        }
        spin_lock(&table_lock);
        struct host_sock *hs = table_find(r.handle);
        if (hs)
            upcall_begin(hs);
        spin_unlock(&table_lock);
        if (!hs || !take_record(hs, &r, (const uint8_t *)shared + at + sizeof(r)))
            host_net_bad_records++;
        upcall_end();
        at += r.rec_len;
    }
}

static void wait_submit(struct host_call *c)
{
    if (host_call_open(c, WAIT_SIZE))
        host_call_submit(c, WAIT_SIZE);
}

static void wait_done(struct host_call *c)
{
    /* To ask again a host that refuses would be to ask for ever. */
    if (c->result < 0) {
        host_net_bad_records++;
        host_call_close(c);
        return;
    }
    take_answer(c->shared, c->recv_len);
    host_call_submit(c, WAIT_SIZE);
}

int host_net_start(void)
{
    spin_lock(&table_lock);
    bool first = !started;
    started = true;
    for (uint32_t i = 0; first && i < NR_BUCKETS; i++)
        list_init(&table[i]);
    spin_unlock(&table_lock);
    for (int i = 0; first && i < NR_WAITS; i++) {
        waits[i] = (struct host_call){
            .op = CELLA_HOST_NET_WAIT, .complete = wait_done, .room = wait_submit};
        wait_submit(&waits[i]);
    }
    return 0;
}

/* ---- calls that wait for the host ---- */

/* An operation on the handle that sends and brings back an address, either may be NULL. */
static int64_t addr_call(struct host_sock *hs, uint32_t op, uint64_t a1, uint64_t a2,
                         const struct cella_host_sockaddr *in, struct cella_host_sockaddr *out)
{
    struct cella_host_sockaddr got;
    struct host_call c = {.op = op,
                          .a = {hs->handle, a1, a2},
                          .send = in,
                          .send_len = in ? sizeof(*in) : 0,
                          .recv = &got,
                          .recv_max = out ? sizeof(got) : 0};
    int64_t r = host_call(&c, WAIT_UNINTERRUPTIBLE);
    if (r < 0 || !out)
        return r;
    if (c.recv_len != sizeof(got) || !good_addr(hs, &got))
        return -EIO;
    *out = got;
    return r;
}

struct host_sock *host_sock_create(int family, int type, const struct host_sock_ops *ops,
                                   void *owner)
{
    if (!host_net_present())
        return err_ptr(-EACCES);
    host_net_start();
    struct host_sock *hs = sock_alloc(family, type == SOCK_STREAM_K);
    if (!hs)
        return err_ptr(-ENOMEM);
    set_requests(hs);
    hs->ops = ops;
    hs->owner = owner;
    struct host_call c = {.op = CELLA_HOST_SOCKET, .a = {(uint64_t)family, (uint64_t)type}};
    int64_t r = host_call(&c, WAIT_UNINTERRUPTIBLE);
    hs->handle = (uint32_t)r;
    if (r < 0 || r > INT32_MAX || !table_add(hs)) {
        kfree(hs);
        return err_ptr(r < 0 ? r : -EIO);
    }
    return hs;
}

void host_sock_set_owner(struct host_sock *hs, const struct host_sock_ops *ops, void *owner)
{
    spin_lock(&hs->lock);
    hs->ops = ops;
    hs->owner = owner;
    spin_unlock(&hs->lock);
}

int host_sock_bind(struct host_sock *hs, struct cella_host_sockaddr *addr, int backlog,
                   uint32_t bind_flags)
{
    int64_t r = addr_call(hs, CELLA_HOST_BIND, (uint64_t)(backlog > 0 ? backlog : 0), bind_flags,
                          addr, addr);
    if (r >= 0 && hs->is_stream)
        hs->listening = true;
    return r < 0 ? (int)r : 0;
}

int host_sock_connect(struct host_sock *hs, struct cella_host_sockaddr *addr)
{
    hs->connecting = hs->is_stream;
    int64_t r = addr_call(hs, CELLA_HOST_CONNECT, 0, 0, addr, hs->is_stream ? NULL : addr);
    if (r < 0)
        hs->connecting = false;
    return r < 0 ? (int)r : 0;
}

int host_sock_ctl(struct host_sock *hs, int what, uint64_t value)
{
    if (what == CELLA_HOST_SHUTDOWN) {
        if (value == SHUT_RD_K)
            return 0; /* the owner throws away what comes */
        spin_lock(&hs->lock);
        hs->shut_wanted = true;
        spin_unlock(&hs->lock);
        pump(hs);
        return 0;
    }
    if (what == CELLA_HOST_SEND_OOB && host_sock_unsent(hs))
        return -EAGAIN; /* it must not overtake */
    if (what == CELLA_HOST_SET_LINGER)
        hs->discard = value == 0;
    int64_t r = addr_call(hs, CELLA_HOST_SOCKCTL, (uint64_t)what, value, NULL, NULL);
    return r < 0 ? (int)r : 0;
}

int host_sock_name(struct host_sock *hs, bool peer, struct cella_host_sockaddr *addr)
{
    int64_t r = addr_call(hs, CELLA_HOST_SOCKCTL,
                          peer ? CELLA_HOST_GETPEERNAME : CELLA_HOST_GETSOCKNAME, 0, NULL, addr);
    return r < 0 ? (int)r : 0;
}

void host_sock_release(struct host_sock *hs)
{
    spin_lock(&hs->lock);
    hs->ops = NULL;
    hs->owner = NULL;
    hs->released = true;
    hs->orphan = hs->unsent;
    if (__atomic_add_fetch(&orphan_bytes, hs->orphan, __ATOMIC_RELAXED) > ORPHANS_MAX)
        hs->discard = true;
    spin_unlock(&hs->lock);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    while (__atomic_load_n(&upcall_sock, __ATOMIC_SEQ_CST) == hs)
        hal_cpu_yield();
    pump(hs);
}
