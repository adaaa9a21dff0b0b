/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Endpoints at the host; see host_net.h.
 *
 * An endpoint has two requests of its own. `out` is the one for which order counts: it carries, one
 * after the other, the bytes that were taken, the end of the stream and the close at the host
 * (host_sock_pump). `grant` gives credit. What out takes a while for waits in `queue`, in kernel
 * memory: bytes lie in the shared area only while a request is out, so that slow peers cannot fill
 * it.
 *
 * After its release an endpoint without owner lives on until all is sent and the host has closed.
 *
 * All that the host sends comes through the poller of dev/host_ring.c, one record at a time.
 * upcall_sock names the endpoint it is about, and host_sock_release waits while that is its own.
 *
 * Locks: host_sock.lock (spin) guards an endpoint, table_lock (spin) the table; neither is held
 * over an upcall, a submission or the other.
 */
#include "net/host_net_impl.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "boot.h"
#include "hal.h"
#include "net/socket.h"

#define NR_WAITS 2
#define WAIT_SIZE (256u << 10)
#define NR_BUCKETS 1024u

static struct list table[NR_BUCKETS];
static spinlock_t table_lock = SPINLOCK_INIT;
static struct host_sock *upcall_sock;
static struct host_call waits[NR_WAITS];
static bool started;
uint64_t host_net_bad_records;

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

void host_table_remove(struct host_sock *hs)
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

/* ---- upcalls; in the poller ---- */

/* The owner's functions, or NULL. The endpoint is upcall_sock. */
const struct host_sock_ops *host_owner_of(struct host_sock *hs, void **owner)
{
    spin_lock(&hs->lock);
    const struct host_sock_ops *ops = hs->ops;
    *owner = hs->owner;
    spin_unlock(&hs->lock);
    return ops;
}

void host_upcall_begin(struct host_sock *hs)
{
    __atomic_store_n(&upcall_sock, hs, __ATOMIC_SEQ_CST);
}

void host_upcall_end(void)
{
    __atomic_store_n(&upcall_sock, NULL, __ATOMIC_SEQ_CST);
}

/* error > 0. A stream ends with it. */
void host_sock_fails(struct host_sock *hs, int error)
{
    void *owner;
    if (hs->is_stream) {
        spin_lock(&hs->lock);
        bool first = !hs->send_error;
        if (first)
            hs->send_error = error;
        host_sock_drop_queue(hs);
        spin_unlock(&hs->lock);
        if (!first)
            return;
    }
    const struct host_sock_ops *ops = host_owner_of(hs, &owner);
    if (ops && ops->error)
        ops->error(owner, error);
}

/* ---- what arrives ---- */

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
    if (!good_addr(hs, &own) || !good_addr(hs, &r->addr) || !host_sock_spend(hs, 1))
        return false;
    struct host_sock *conn = sock_alloc(hs->family, true);
    if (!conn)
        return false; /* the connection stays open at the host, without credit */
    host_sock_set_requests(conn);
    conn->handle = (uint32_t)r->value;
    if (!table_add(conn)) {
        kfree(conn);
        return false;
    }
    ops->accepted(owner, conn, &r->addr, &own);
    return true;
}

/* A connection for a listener that is gone; the host learns that by a close. */
static void close_unwanted(uint64_t handle)
{
    struct host_sock *conn = handle <= INT32_MAX ? sock_alloc(CELLA_HOST_INET, true) : NULL;
    if (!conn)
        return;
    host_sock_set_requests(conn);
    conn->handle = (uint32_t)handle;
    if (table_add(conn))
        host_sock_release(conn);
    else
        kfree(conn);
}

/* r is a copy; data lie in shared memory. False: the record breaks a rule. */
static bool take_record(struct host_sock *hs, const struct cella_host_net_record *r,
                        const uint8_t *data)
{
    void *owner;
    bool was_connecting;
    const struct host_sock_ops *ops = host_owner_of(hs, &owner);
    if (r->kind == CELLA_HOST_NET_WRITABLE) {
        spin_lock(&hs->lock);
        hs->writable_seen = true;
        hs->blocked = false;
        spin_unlock(&hs->lock);
        host_sock_pump(hs);
        return true;
    }
    if (!ops) {
        if (r->kind == CELLA_HOST_NET_ACCEPTED)
            close_unwanted(r->value);
        if (READ_ONCE(hs->released) && r->kind == CELLA_HOST_NET_DATA)
            host_sock_discard(hs);
        return READ_ONCE(hs->released); /* came too late, or before anybody gave credit */
    }
    if (READ_ONCE(hs->send_error))
        return true; /* it has ended; the host may not know yet */
    switch (r->kind) {
    case CELLA_HOST_NET_DATA:
        if (!hs->is_stream || hs->listening || hs->connecting || hs->eof || !r->len || !ops->data ||
            !host_sock_spend(hs, r->len)) {
            host_sock_fails(hs, EIO);
            return false;
        }
        ops->data(owner, data, r->len);
        return true;
    case CELLA_HOST_NET_DATAGRAM:
        if (hs->is_stream || r->len > UINT16_MAX || !ops->datagram || !good_addr(hs, &r->addr) ||
            !host_sock_spend(hs, r->len))
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
        host_sock_fails(hs, (int)r->value);
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
            host_upcall_begin(hs);
        spin_unlock(&table_lock);
        if (!hs && r.kind == CELLA_HOST_NET_ACCEPTED)
            close_unwanted(r.value);
        if (!hs || !take_record(hs, &r, (const uint8_t *)shared + at + sizeof(r)))
            host_net_bad_records++;
        host_upcall_end();
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
    /* The other one is out. */
    host_call_submit_lazy(c, WAIT_SIZE);
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
    host_sock_set_requests(hs);
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
    if (r >= 0 && hs->is_stream && backlog > 0)
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
        host_sock_pump(hs);
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
    hs->released = hs->releasing = true;
    host_sock_orphan(hs);
    spin_unlock(&hs->lock);
    ktimer_cancel(&hs->cork_timer);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    while (__atomic_load_n(&upcall_sock, __ATOMIC_SEQ_CST) == hs)
        hal_cpu_yield();
    host_sock_pump(hs);
    host_sock_released(hs);
}
