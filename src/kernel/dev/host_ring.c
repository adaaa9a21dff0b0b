/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keep's end of the host ABI.
 *
 * A slot and a piece of the data area belong to a call from submission to completion. What the host
 * may have written is read once into kernel memory and then judged: a completion must name a slot
 * in flight, lengths must lie within what was asked. A reply to a slot that is not in flight is
 * dropped and counted.
 *
 * Data area: at its start a small piece for every slot, for calls without bulk data. The rest is
 * given out in pieces of 2^order units, SMALL_SIZE to CELLA_HOST_MAX_IO, by a buddy allocator whose
 * lists live in kernel memory. The piece that was freed last is taken first, so that few pages of
 * the area are ever touched.
 *
 * Locks: ring_lock (spin) guards slots, pieces and the producer side of sq; poll_lock (trylock) the
 * consumer side of cq. Completions of asynchronous calls run under poll_lock, so one at a time.
 */
#include "dev/host_ring.h"
#include "dev/console_terminal.h"

#include "base/errno.h"
#include "base/printk.h"
#include "base/spinlock.h"
#include "base/string.h"
#include "boot.h"
#include "hal.h"
#include "proc/cpus.h"
#include "proc/task.h"

#define SMALL_SIZE                                                                                 \
    8192u /* every slot owns this much of the data area: names, stat, small reads                  \
           */
#define PIECES_BASE (CELLA_HOST_SLOTS * SMALL_SIZE)
#define NR_UNITS ((CELLA_HOST_DATA_SIZE - PIECES_BASE) / SMALL_SIZE)
#define MAX_ORDER 7
#define NO_UNIT UINT16_MAX
#define EMERGENCY_SLOT (CELLA_HOST_SLOTS - 1)
#define EXIT_SLOT (CELLA_HOST_SLOTS - 2)
#define NR_CALL_SLOTS (CELLA_HOST_SLOTS - 2)

static struct cella_host_window *window;
static char *data_area;
static struct host_call *in_flight[CELLA_HOST_SLOTS];
static uint32_t sq_tail, cq_head; /* our copies; the shared ones are only published */
static uint32_t free_slots[NR_CALL_SLOTS], nr_free_slots;
static struct {
    uint16_t next, prev;
    uint8_t order; /* of the free piece that begins here, + 1; 0: none does */
} unit[NR_UNITS];
static uint16_t free_pieces[MAX_ORDER + 1];                /* first free piece of each order */
static struct list room_waiters = LIST_INIT(room_waiters); /* asynchronous calls without a slot */
static spinlock_t ring_lock = SPINLOCK_INIT, poll_lock = SPINLOCK_INIT,
                  emergency_lock = SPINLOCK_INIT;
static struct wait_queue slot_wait;
static bool emergency_done;
static bool flush_due;       /* something was submitted and the host not told */
static uint32_t nr_expected; /* calls in flight that wait for no user, peer or time */
struct host_op_count host_op_counts[CELLA_HOST_NR_OPS];
uint64_t host_bad_replies;

_Static_assert(SMALL_SIZE << MAX_ORDER == CELLA_HOST_MAX_IO, "the largest piece");
_Static_assert(NR_UNITS % (1u << MAX_ORDER) == 0 && NR_UNITS < NO_UNIT, "whole pieces");

/* ---- pieces of the data area; ring_lock held ---- */

static void piece_link(uint32_t u, int order)
{
    unit[u].next = free_pieces[order];
    unit[u].prev = NO_UNIT;
    unit[u].order = (uint8_t)(order + 1);
    if (unit[u].next != NO_UNIT)
        unit[unit[u].next].prev = (uint16_t)u;
    free_pieces[order] = (uint16_t)u;
}

static void piece_unlink(uint32_t u)
{
    if (unit[u].prev != NO_UNIT)
        unit[unit[u].prev].next = unit[u].next;
    else
        free_pieces[unit[u].order - 1] = unit[u].next;
    if (unit[u].next != NO_UNIT)
        unit[unit[u].next].prev = unit[u].prev;
    unit[u].order = 0;
}

/* Its first unit; -1: none is free. */
static int piece_alloc(int order)
{
    int o = order;
    while (o <= MAX_ORDER && free_pieces[o] == NO_UNIT)
        o++;
    if (o > MAX_ORDER)
        return -1;
    uint32_t u = free_pieces[o];
    piece_unlink(u);
    while (o-- > order)
        piece_link(u + (1u << o), o);
    return (int)u;
}

static void piece_free(uint32_t u, int order)
{
    for (; order < MAX_ORDER; order++) {
        uint32_t buddy = u ^ 1u << order;
        if (unit[buddy].order != order + 1)
            break;
        piece_unlink(buddy);
        u = k_min(u, buddy);
    }
    piece_link(u, order);
}

/* ---- slots ---- */

int host_ring_init(void)
{
    void *base;
    size_t size;
    hal_host_window(&base, &size);
    struct cella_host_window *w = base;
    if (READ_ONCE(w->magic) != CELLA_HOST_ABI_MAGIC ||
        READ_ONCE(w->version) != CELLA_HOST_ABI_VERSION)
        return -EINVAL;
    data_area = (char *)base + PAGE_ALIGN(sizeof(*w));
    for (uint32_t i = 0; i < NR_CALL_SLOTS; i++)
        free_slots[nr_free_slots++] = NR_CALL_SLOTS - 1 - i;
    for (int order = 0; order <= MAX_ORDER; order++)
        free_pieces[order] = NO_UNIT;
    for (uint32_t u = NR_UNITS; u > 0;)
        piece_link(u -= 1u << MAX_ORDER, MAX_ORDER);
    wait_queue_init(&slot_wait);
    window = w;
    return 0;
}

/* ring_lock held. */
static void publish(uint32_t slot)
{
    WRITE_ONCE(window->sq.entry[sq_tail % CELLA_HOST_SLOTS], slot);
    sq_tail++;
    __atomic_store_n(&window->sq.tail, sq_tail, __ATOMIC_RELEASE);
}

static int order_of(uint32_t size)
{
    int order = size <= SMALL_SIZE ? -1 : 0;
    while (order >= 0 && SMALL_SIZE << order < size)
        order++;
    return order;
}

/* Gives c a slot and a piece for `need` bytes. Or, if c is asynchronous, a place in the queue. */
static bool try_take_slot(struct host_call *c, uint32_t need)
{
    int order = order_of(need), u = 0;
    spin_lock(&ring_lock);
    bool ok = nr_free_slots && (order < 0 || (u = piece_alloc(order)) >= 0);
    if (ok) {
        c->slot = (int)free_slots[--nr_free_slots];
        c->order = (int8_t)order;
        c->shared = data_area + (order < 0 ? (uint32_t)c->slot * SMALL_SIZE
                                           : PIECES_BASE + (uint32_t)u * SMALL_SIZE);
    } else if (c->room) {
        list_add_tail(&c->room_link, &room_waiters);
        host_ring_want(1);
    }
    spin_unlock(&ring_lock);
    return ok;
}

bool host_call_open(struct host_call *c, uint32_t size)
{
    return try_take_slot(c, size);
}

void host_call_close(struct host_call *c)
{
    struct host_call *waiter = NULL;
    spin_lock(&ring_lock);
    in_flight[c->slot] = NULL;
    if (c->order >= 0)
        piece_free((uint32_t)(c->shared - data_area - PIECES_BASE) / SMALL_SIZE, c->order);
    free_slots[nr_free_slots++] = (uint32_t)c->slot;
    if (!list_empty(&room_waiters)) {
        waiter = list_first(&room_waiters, struct host_call, room_link);
        list_del(&waiter->room_link);
        host_ring_want(-1);
    }
    spin_unlock(&ring_lock);
    wake_all(&slot_wait, 0);
    if (waiter)
        waiter->room(waiter);
}

void host_ring_want(int by)
{
    /* The host may change it: then it wakes us too often or not at all, as it can anyway. */
    __atomic_add_fetch(&window->cq_wanted, (uint32_t)by, __ATOMIC_SEQ_CST);
    /* What was wanted may be there already. */
    if (by > 0)
        WRITE_ONCE(this_cpu()->need_resched, 1);
}

bool host_ring_is_expecting(void)
{
    return READ_ONCE(nr_expected);
}

void host_ring_flush(void)
{
    if (READ_ONCE(flush_due) && __atomic_exchange_n(&flush_due, false, __ATOMIC_SEQ_CST))
        hal_host_notify();
}

void host_call_submit(struct host_call *c, uint32_t data_len)
{
    host_call_submit_lazy(c, data_len);
    __atomic_store_n(&flush_due, false, __ATOMIC_SEQ_CST);
    hal_host_notify();
}

void host_call_submit_lazy(struct host_call *c, uint32_t data_len)
{
    c->data_len = data_len;
    window->slots[c->slot].req =
        (struct cella_host_request){.op = c->op,
                                    .data_off = (uint32_t)(c->shared - data_area),
                                    .data_len = data_len,
                                    .a = {c->a[0], c->a[1], c->a[2], c->a[3]}};
    spin_lock(&ring_lock);
    in_flight[c->slot] = c;
    publish((uint32_t)c->slot);
    host_op_counts[c->op].calls++;
    __atomic_store_n(&flush_due, true, __ATOMIC_RELAXED);
    spin_unlock(&ring_lock);
}

/* Asks the host to end a request that waits; answered by the request's own completion. */
static void cancel(struct host_call *c)
{
    struct host_call k = {.op = CELLA_HOST_CANCEL, .a = {(uint64_t)c->slot}};
    host_call(&k, WAIT_UNINTERRUPTIBLE);
}

int64_t host_call(struct host_call *c, int flags)
{
    uint32_t send = c->send_len + c->send2_len, need = k_max(send, c->recv_max);
    if (send > CELLA_HOST_MAX_IO || c->recv_max > CELLA_HOST_MAX_IO || c->op >= CELLA_HOST_NR_OPS)
        return -EINVAL;
    int r = 0;
    bool is_soon = c->op < CELLA_HOST_CONSOLE_READ;
    wait_queue_init(&c->q);
    c->done = false;
    c->recv_len = 0;
    c->complete = c->room = NULL;
    if (!try_take_slot(c, need)) {
        host_ring_want(1);
        WAIT_EVENT(&slot_wait, try_take_slot(c, need), flags & ~WAIT_EXCLUSIVE, KTIME_NEVER, r);
        host_ring_want(-1);
    }
    if (r)
        return r;
    if (c->send_len)
        memcpy(c->shared, c->send, c->send_len);
    if (c->send2_len)
        memcpy(c->shared + c->send_len, c->send2, c->send2_len);
    __atomic_add_fetch(&nr_expected, is_soon, __ATOMIC_RELAXED);
    host_call_submit(c, need);
    WAIT_EVENT(&c->q, __atomic_load_n(&c->done, __ATOMIC_ACQUIRE), flags & ~WAIT_EXCLUSIVE,
               KTIME_NEVER, r);
    __atomic_sub_fetch(&nr_expected, is_soon, __ATOMIC_RELAXED);
    if (r) {
        cancel(c);
        int again;
        WAIT_EVENT(&c->q, __atomic_load_n(&c->done, __ATOMIC_ACQUIRE), WAIT_UNINTERRUPTIBLE,
                   KTIME_NEVER, again);
    }
    /* c->result and c->recv_len were copied from the slot once, by the poller. */
    int64_t result = c->result;
    /* An interruption that nobody asked for. */
    if (result == -EINTR && r == 0)
        result = -EIO;
    if (c->recv_len > c->recv_max) {
        host_bad_replies++;
        c->recv_len = 0;
        result = -EIO;
    }
    if (result >= 0 && c->recv_len)
        memcpy(c->recv, c->shared, c->recv_len);
    __atomic_add_fetch(&host_op_counts[c->op].bytes, send + c->recv_len, __ATOMIC_RELAXED);
    host_call_close(c);
    return r && result == -EINTR ? -ERESTARTSYS : result;
}

/* In the poller, for an asynchronous call. */
static void complete(struct host_call *c)
{
    if (c->recv_len > c->data_len) {
        host_bad_replies++;
        c->recv_len = 0;
        c->result = -EIO;
    }
    __atomic_add_fetch(&host_op_counts[c->op].bytes, c->send_len + c->recv_len, __ATOMIC_RELAXED);
    c->complete(c);
}

static void host_events(uint32_t events)
{
    static const struct {
        uint32_t bit;
        int sig;
    } map[] = {{CELLA_HOST_EVENT_HUP, SIGHUP},
               {CELLA_HOST_EVENT_INT, SIGINT},
               {CELLA_HOST_EVENT_TERM, SIGTERM},
               {CELLA_HOST_EVENT_QUIT, SIGQUIT},
               {CELLA_HOST_EVENT_WINCH, SIGWINCH}};
    /* Terminals of the keep tell their own foreground groups. */
    if ((events & CELLA_HOST_EVENT_WINCH) && terminals_resized())
        events &= ~(uint32_t)CELLA_HOST_EVENT_WINCH;
    for (size_t i = 0; i < ARRAY_LEN(map); i++)
        if ((events & map[i].bit) && init_process)
            signal_kill_process(init_process, map[i].sig);
}

bool host_ring_poll(void)
{
    if (!window)
        return false;
    unsigned cpu = this_cpu()->id;
    WRITE_ONCE(window->cpu_beat[cpu], window->cpu_beat[cpu] + 1);
    if (likely(__atomic_load_n(&window->cq.tail, __ATOMIC_ACQUIRE) == READ_ONCE(cq_head) &&
               !READ_ONCE(window->events)))
        return false;
    if (!spin_trylock(&poll_lock))
        return false;
    bool any = false;
    uint32_t tail = __atomic_load_n(&window->cq.tail, __ATOMIC_ACQUIRE);
    /* A count that jumped: there are no more completions than entries. Each is looked at once, or
     * the host could have us look at them for ever. */
    if (tail - cq_head > CELLA_HOST_SLOTS) {
        host_bad_replies++;
        cq_head = tail - CELLA_HOST_SLOTS;
    }
    while (cq_head != tail) {
        uint32_t slot = READ_ONCE(window->cq.entry[cq_head % CELLA_HOST_SLOTS]);
        cq_head++;
        any = true;
        if (slot == EMERGENCY_SLOT) {
            __atomic_store_n(&emergency_done, true, __ATOMIC_RELEASE);
            continue;
        }
        struct host_call *c = NULL;
        spin_lock(&ring_lock);
        if (slot < NR_CALL_SLOTS && in_flight[slot]) {
            c = in_flight[slot];
            in_flight[slot] = NULL;
            c->result = READ_ONCE(window->slots[slot].rep.result);
            c->recv_len = READ_ONCE(window->slots[slot].rep.data_len);
            /* The kernel's own codes above (ERESTARTSYS...) are not the host's to give. */
            if (c->result < -HOST_ERRNO_MAX)
                c->result = -EIO;
        } else {
            host_bad_replies++;
        }
        spin_unlock(&ring_lock);
        if (!c)
            continue;
        if (c->complete) {
            complete(c);
            continue;
        }
        /* After `done` the caller may return and c be gone: the wake-up happens under the queue's
         * lock, which the caller takes before it leaves. */
        spin_lock(&c->q.lock);
        __atomic_store_n(&c->done, true, __ATOMIC_RELEASE);
        struct waiter *w;
        list_for_each (w, &c->q.waiters, link)
            w->wake(w, 0);
        spin_unlock(&c->q.lock);
    }
    __atomic_store_n(&window->cq.head, cq_head, __ATOMIC_RELEASE);
    uint32_t events =
        READ_ONCE(window->events) ? __atomic_exchange_n(&window->events, 0, __ATOMIC_ACQ_REL) : 0;
    spin_unlock(&poll_lock);
    if (events)
        host_events(events);
    return any || events;
}

void host_ring_emergency(const char *text, size_t len)
{
    if (!window)
        return;
    spin_lock(&emergency_lock);
    len = k_min(len, (size_t)SMALL_SIZE);
    memcpy(data_area + EMERGENCY_SLOT * SMALL_SIZE, text, len);
    window->slots[EMERGENCY_SLOT].req =
        (struct cella_host_request){.op = CELLA_HOST_CONSOLE_WRITE,
                                    .data_off = EMERGENCY_SLOT * SMALL_SIZE,
                                    .data_len = (uint32_t)len,
                                    .a = {3}};
    emergency_done = false;
    spin_lock(&ring_lock);
    publish(EMERGENCY_SLOT);
    spin_unlock(&ring_lock);
    hal_host_notify();
    for (int i = 0; i < 200000 && !__atomic_load_n(&emergency_done, __ATOMIC_ACQUIRE); i++) {
        /* Completions of others are theirs to take; only look when nobody else is polling. */
        host_ring_poll();
        hal_cpu_yield();
    }
    spin_unlock(&emergency_lock);
}

void host_ring_exit(int wait_status)
{
    if (!window)
        return;
    window->slots[EXIT_SLOT].req = (struct cella_host_request){
        .op = CELLA_HOST_EXIT, .a = {(uint32_t)wait_status, 0, !boot.started}};
    spin_lock(&ring_lock);
    publish(EXIT_SLOT);
    spin_unlock(&ring_lock);
    hal_host_notify();
}
