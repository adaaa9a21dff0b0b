/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keep's end of the host ABI.
 *
 * A slot and a piece of the data area belong to a call from submission to completion. What the host
 * may have written is read once into kernel memory and then judged: a completion must name a slot
 * in flight, lengths must lie within what was asked. A reply to a slot that is not in flight is
 * dropped and counted.
 *
 * Data area: DATA_CHUNKS pieces of one CELLA_HOST_MAX_IO each, and small pieces for calls without
 * bulk data: the first chunk is cut into a page per slot.
 *
 * Locks: ring_lock (spin) guards slots, free lists and the producer side of sq; poll_lock (trylock)
 * the consumer side of cq.
 */
#include "dev/host_ring.h"

#include "base/errno.h"
#include "base/printk.h"
#include "base/spinlock.h"
#include "base/string.h"
#include "hal.h"
#include "proc/cpus.h"
#include "proc/task.h"

#define SMALL_SIZE                                                                                 \
    8192u /* every slot owns this much of the data area: names, stat, small reads                  \
           */
#define LARGE_SIZE CELLA_HOST_MAX_IO
#define LARGE_BASE (CELLA_HOST_SLOTS * SMALL_SIZE)
#define NR_LARGE ((CELLA_HOST_DATA_SIZE - LARGE_BASE) / LARGE_SIZE)
#define EMERGENCY_SLOT (CELLA_HOST_SLOTS - 1)
#define EXIT_SLOT (CELLA_HOST_SLOTS - 2)
#define HOST_ERRNO_MAX 133 /* EHWPOISON, Linux's last */
#define NR_CALL_SLOTS (CELLA_HOST_SLOTS - 2)

static struct cella_host_window *window;
static char *data_area;
static struct host_call *in_flight[CELLA_HOST_SLOTS];
static uint32_t large_of[CELLA_HOST_SLOTS]; /* large piece + 1, 0: the slot's small one */
static uint32_t sq_tail, cq_head;           /* our copies; the shared ones are only published */
static uint32_t free_slots[NR_CALL_SLOTS], nr_free_slots;
static uint32_t free_large[NR_LARGE], nr_free_large;
static spinlock_t ring_lock = SPINLOCK_INIT, poll_lock = SPINLOCK_INIT,
                  emergency_lock = SPINLOCK_INIT;
static struct wait_queue slot_wait;
static bool emergency_done;
struct host_op_count host_op_counts[CELLA_HOST_NR_OPS];
uint64_t host_bad_replies;

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
    for (uint32_t i = 0; i < NR_LARGE; i++)
        free_large[nr_free_large++] = i;
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

static bool try_take_slot(struct host_call *c, uint32_t need)
{
    bool ok = false;
    spin_lock(&ring_lock);
    if (nr_free_slots && (need <= SMALL_SIZE || nr_free_large)) {
        c->slot = (int)free_slots[--nr_free_slots];
        large_of[c->slot] = need > SMALL_SIZE ? free_large[--nr_free_large] + 1 : 0;
        ok = true;
    }
    spin_unlock(&ring_lock);
    return ok;
}

static uint32_t slot_data_off(uint32_t slot)
{
    return large_of[slot] ? LARGE_BASE + (large_of[slot] - 1) * LARGE_SIZE : slot * SMALL_SIZE;
}

static void release_slot(uint32_t slot)
{
    spin_lock(&ring_lock);
    in_flight[slot] = NULL;
    if (large_of[slot])
        free_large[nr_free_large++] = large_of[slot] - 1;
    free_slots[nr_free_slots++] = slot;
    spin_unlock(&ring_lock);
    wake_all(&slot_wait, 0);
}

static void submit(struct host_call *c, uint32_t data_len)
{
    struct cella_host_slot *s = &window->slots[c->slot];
    s->req = (struct cella_host_request){.op = c->op,
                                         .data_off = slot_data_off((uint32_t)c->slot),
                                         .data_len = data_len,
                                         .a = {c->a[0], c->a[1], c->a[2], c->a[3]}};
    spin_lock(&ring_lock);
    in_flight[c->slot] = c;
    publish((uint32_t)c->slot);
    host_op_counts[c->op].calls++;
    spin_unlock(&ring_lock);
    hal_host_notify();
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
    int r;
    wait_queue_init(&c->q);
    c->done = false;
    c->recv_len = 0;
    WAIT_EVENT(&slot_wait, try_take_slot(c, need), flags & ~WAIT_EXCLUSIVE, KTIME_NEVER, r);
    if (r)
        return r;
    char *data = data_area + slot_data_off((uint32_t)c->slot);
    if (c->send_len)
        memcpy(data, c->send, c->send_len);
    if (c->send2_len)
        memcpy(data + c->send_len, c->send2, c->send2_len);
    submit(c, need);
    WAIT_EVENT(&c->q, __atomic_load_n(&c->done, __ATOMIC_ACQUIRE), flags & ~WAIT_EXCLUSIVE,
               KTIME_NEVER, r);
    if (r) {
        cancel(c);
        int again;
        WAIT_EVENT(&c->q, __atomic_load_n(&c->done, __ATOMIC_ACQUIRE), WAIT_UNINTERRUPTIBLE,
                   KTIME_NEVER, again);
    }
    /* c->result and c->recv_len were copied from the slot once, by the poller. */
    int64_t result = c->result;
    /* The kernel's own codes above (ERESTARTSYS...) are not the host's to give, nor is an
     * interruption that nobody asked for. */
    if (result < -HOST_ERRNO_MAX || (result == -EINTR && r == 0))
        result = -EIO;
    if (c->recv_len > c->recv_max) {
        host_bad_replies++;
        c->recv_len = 0;
        result = -EIO;
    }
    if (result >= 0 && c->recv_len)
        memcpy(c->recv, data, c->recv_len);
    __atomic_add_fetch(&host_op_counts[c->op].bytes, send + c->recv_len, __ATOMIC_RELAXED);
    release_slot((uint32_t)c->slot);
    return r && result == -EINTR ? -ERESTARTSYS : result;
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
        } else {
            host_bad_replies++;
        }
        spin_unlock(&ring_lock);
        if (!c)
            continue;
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
    window->slots[EXIT_SLOT].req =
        (struct cella_host_request){.op = CELLA_HOST_EXIT, .a = {(uint64_t)(uint32_t)wait_status}};
    spin_lock(&ring_lock);
    publish(EXIT_SLOT);
    spin_unlock(&ring_lock);
    hal_host_notify();
}
