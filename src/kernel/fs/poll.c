/* SPDX-License-Identifier: Apache-2.0 */
/*
 * poll, ppoll, select, pselect6.
 *
 * A call asks each file for its events. The first round also hangs an entry into each wait queue
 * the file names; the entry's wake function marks the call as triggered and wakes its thread, which
 * asks again. Entries hold their file, so that a descriptor closed by another thread meanwhile does
 * not take its queue away.
 *
 * No lock is held while files are asked. poll_set.triggered is set under the file's queue lock and
 * cleared before a round, so an event between asking and sleeping is not lost.
 */
#include "fs/poll.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "fs/vfs.h"
#include "proc/task.h"

#define FD_TABLE_MAX (1 << 20) /* most descriptors that a process can have */

struct k_pollfd {
    int32_t fd;
    int16_t events, revents;
};

enum {
    SELECT_IN = POLLRDNORM_K | POLLRDBAND_K | POLLIN_K | POLLHUP_K | POLLERR_K | POLLNVAL_K,
    SELECT_OUT = POLLWRBAND_K | POLLWRNORM_K | POLLOUT_K | POLLERR_K | POLLNVAL_K,
    SELECT_EX = POLLPRI_K | POLLNVAL_K,
};

/* ---- waiting for many queues ---- */

struct poll_set;

struct poll_entry {
    struct waiter w;
    struct wait_queue *q;
    struct file *f;
    struct poll_set *set;
    uint32_t key;
};

#define INLINE_ENTRIES 4
#define CHUNK_ENTRIES 50
struct poll_chunk {
    struct poll_chunk *next;
    uint32_t nr;
    struct poll_entry entry[CHUNK_ENTRIES];
};

struct poll_set {
    struct poll_table pt;
    struct wait_queue q; /* the calling thread sleeps here */
    bool triggered;
    int error;
    uint32_t key; /* events wanted of the file that is being asked */
    uint32_t nr_inline;
    struct poll_entry inline_entry[INLINE_ENTRIES];
    struct poll_chunk *chunks; /* the first one has room */
};

static bool poll_wake(struct waiter *w, uint32_t key)
{
    struct poll_entry *e = container_of(w, struct poll_entry, w);
    if (key && !(key & e->key))
        return false;
    struct poll_set *set = e->set;
    WRITE_ONCE(set->triggered, true);
    wake_all(&set->q, key);
    return true;
}

static struct poll_entry *new_entry(struct poll_set *set)
{
    if (set->nr_inline < INLINE_ENTRIES)
        return &set->inline_entry[set->nr_inline++];
    struct poll_chunk *c = set->chunks;
    if (!c || c->nr == CHUNK_ENTRIES) {
        c = kmalloc(sizeof(*c));
        if (!c)
            return NULL;
        c->nr = 0;
        c->next = set->chunks;
        set->chunks = c;
    }
    return &c->entry[c->nr++];
}

static void poll_queue(struct poll_table *pt, struct file *f, struct wait_queue *q)
{
    struct poll_set *set = container_of(pt, struct poll_set, pt);
    struct poll_entry *e = new_entry(set);
    if (!e) {
        set->error = -ENOMEM;
        return;
    }
    file_get(f);
    *e = (struct poll_entry){
        .w = {.thread = current, .wake = poll_wake}, .q = q, .f = f, .set = set, .key = set->key};
    wait_queue_add(q, &e->w);
}

static void poll_set_init(struct poll_set *set)
{
    set->pt.queue = poll_queue;
    wait_queue_init(&set->q);
    set->triggered = false;
    set->error = 0;
    set->nr_inline = 0;
    set->chunks = NULL;
}

static void release_entries(struct poll_entry *e, uint32_t nr)
{
    for (uint32_t i = 0; i < nr; i++) {
        wait_queue_remove(e[i].q, &e[i].w);
        file_put(e[i].f);
    }
}

static void poll_set_release(struct poll_set *set)
{
    release_entries(set->inline_entry, set->nr_inline);
    while (set->chunks) {
        struct poll_chunk *c = set->chunks;
        set->chunks = c->next;
        release_entries(c->entry, c->nr);
        kfree(c);
    }
}

/* Asks everything until something is ready. `ask` makes one round: counts what is ready, and
 * registers with *pt, which it sets to NULL once something was ready. deadline 0: does not wait.
 * The count, 0 (time over), -ERESTARTNOHAND, -ENOMEM. */
static int64_t poll_until(int64_t (*ask)(void *arg, struct poll_set *set, struct poll_table **pt),
                          void *arg, ktime_t deadline)
{
    struct poll_set set;
    poll_set_init(&set);
    struct poll_table *pt = deadline ? &set.pt : NULL;
    bool over = deadline == 0;
    int64_t count;
    for (;;) {
        WRITE_ONCE(set.triggered, false);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        count = ask(arg, &set, &pt);
        if (!count)
            count = set.error;
        if (!count && signal_pending())
            count = -ERESTARTNOHAND;
        if (count || over)
            break;
        pt = NULL;
        int r;
        WAIT_EVENT(&set.q, READ_ONCE(set.triggered), WAIT_INTERRUPTIBLE, deadline, r);
        /* One more round decides between an event and the end of time. */
        over = r == -ETIMEDOUT;
    }
    poll_set_release(&set);
    return count;
}

/* ---- timeouts and masks ---- */

int poll_set_sigmask(uaddr_t mask, uint64_t size)
{
    if (!mask)
        return 0;
    sigset_k set;
    if (size != sizeof(set))
        return -EINVAL;
    if (get_user(set, mask))
        return -EFAULT;
    signal_set_temporary_mask(set);
    return 0;
}

void poll_restore_sigmask(uaddr_t mask, bool interrupted)
{
    if (mask && !interrupted)
        signal_restore_temporary_mask();
}

/* The deadline of a relative timeout; 0 for one of no length. */
static int deadline_after(const struct k_timespec *t, ktime_t *deadline)
{
    if (!timespec_valid(t))
        return -EINVAL;
    *deadline = t->sec || t->nsec ? ktime_add(time_mono_ns(), timespec_to_ns(t)) : 0;
    return 0;
}

int poll_deadline_from_user(uaddr_t timeout, ktime_t *deadline)
{
    struct k_timespec t;
    *deadline = KTIME_NEVER;
    if (!timeout)
        return 0;
    return get_user(t, timeout) ? -EFAULT : deadline_after(&t, deadline);
}

enum timeout_kind { TIMEOUT_TIMESPEC, TIMEOUT_TIMEVAL };

/* Linux writes what is left back into the timeout. Where that memory cannot be written the call
 * stays what it is, but cannot be restarted, since the time would start anew. */
static int64_t write_remaining(uaddr_t addr, enum timeout_kind kind, ktime_t deadline,
                               int64_t result)
{
    if (!addr || deadline == 0 || deadline == KTIME_NEVER)
        return result;
    ktime_t now = time_mono_ns();
    struct k_timespec left = ns_to_timespec(deadline > now ? deadline - now : 0);
    if (kind == TIMEOUT_TIMEVAL)
        left.nsec /= (int64_t)NSEC_PER_USEC;
    if (copy_to_user(addr, &left, sizeof(left)) && result == -ERESTARTNOHAND)
        return -EINTR;
    return result;
}

/* ---- poll ---- */

struct poll_call {
    struct k_pollfd *fds;
    uint32_t nr;
};

static int64_t poll_ask(void *arg, struct poll_set *set, struct poll_table **pt)
{
    const struct poll_call *call = arg;
    int64_t count = 0;
    for (uint32_t i = 0; i < call->nr; i++) {
        struct k_pollfd *p = &call->fds[i];
        p->revents = 0;
        if (p->fd < 0)
            continue;
        struct file *f = fd_get(p->fd);
        uint32_t mask = POLLNVAL_K;
        if (f) {
            set->key = (uint16_t)p->events | POLLERR_K | POLLHUP_K;
            mask = file_poll(f, *pt) & set->key;
            file_put(f);
        }
        if (mask) {
            p->revents = (int16_t)mask;
            count++;
            *pt = NULL;
        }
    }
    return count;
}

#define INLINE_FDS 16

static int64_t do_poll(uaddr_t ufds, uint32_t nr, ktime_t deadline)
{
    if (nr > rlimit_cur(RLIMIT_NOFILE_K))
        return -EINVAL;
    struct k_pollfd inline_fds[INLINE_FDS];
    size_t bytes = nr * sizeof(*inline_fds);
    struct poll_call call = {inline_fds, nr};
    if (nr > INLINE_FDS && !(call.fds = kmalloc(bytes)))
        return -ENOMEM;
    int64_t r = -EFAULT;
    if (!copy_from_user(call.fds, ufds, bytes)) {
        r = poll_until(poll_ask, &call, deadline);
        for (uint32_t i = 0; i < nr; i++)
            if (put_user(call.fds[i].revents,
                         ufds + i * sizeof(*call.fds) + offsetof(struct k_pollfd, revents))) {
                r = -EFAULT;
                break;
            }
    }
    if (call.fds != inline_fds)
        kfree(call.fds);
    return r;
}

static long poll_restart(struct thread *t);

static int64_t poll_with_restart(uaddr_t ufds, uint32_t nr, ktime_t deadline)
{
    int64_t r = do_poll(ufds, nr, deadline);
    if (r != -ERESTARTNOHAND)
        return r;
    struct thread *t = current;
    t->restart.fn = poll_restart;
    t->restart.arg[0] = ufds;
    t->restart.arg[1] = nr;
    t->restart.arg[2] = deadline;
    return -ERESTART_RESTARTBLOCK;
}

static long poll_restart(struct thread *t)
{
    return poll_with_restart(t->restart.arg[0], (uint32_t)t->restart.arg[1], t->restart.arg[2]);
}

int64_t sys_poll(uaddr_t ufds, unsigned nr, int timeout_ms)
{
    ktime_t deadline = KTIME_NEVER;
    if (timeout_ms == 0)
        deadline = 0;
    else if (timeout_ms > 0)
        deadline = ktime_add(time_mono_ns(), (uint64_t)timeout_ms * NSEC_PER_MSEC);
    return poll_with_restart(ufds, nr, deadline);
}

int64_t sys_ppoll(uaddr_t ufds, unsigned nr, uaddr_t timeout, uaddr_t mask, uint64_t mask_size)
{
    ktime_t deadline;
    int r = poll_deadline_from_user(timeout, &deadline);
    if (!r)
        r = poll_set_sigmask(mask, mask_size);
    if (r)
        return r;
    int64_t result = do_poll(ufds, nr, deadline);
    poll_restore_sigmask(mask, result == -ERESTARTNOHAND);
    return write_remaining(timeout, TIMEOUT_TIMESPEC, deadline, result);
}

/* ---- select ---- */

/* Six bitmaps of `words` words each: in, out, ex as asked, then as found. */
struct select_call {
    uint64_t *bits;
    uint32_t nr_fds, words;
};

static int64_t select_ask(void *arg, struct poll_set *set, struct poll_table **pt)
{
    const struct select_call *call = arg;
    const uint32_t words = call->words;
    const uint64_t *in = call->bits, *out = in + words, *ex = out + words;
    uint64_t *found = call->bits + 3 * words;
    int64_t count = 0;
    memset(found, 0, 3 * words * sizeof(*found));
    for (uint32_t w = 0; w < words; w++) {
        for (uint64_t all = in[w] | out[w] | ex[w]; all; all &= all - 1) {
            uint32_t i = (uint32_t)__builtin_ctzll(all);
            uint64_t bit = 1ull << i;
            if (w * 64 + i >= call->nr_fds)
                break;
            struct file *f = fd_get((int)(w * 64 + i));
            uint32_t mask = POLLNVAL_K;
            if (f) {
                set->key =
                    SELECT_EX | (in[w] & bit ? SELECT_IN : 0) | (out[w] & bit ? SELECT_OUT : 0);
                mask = file_poll(f, *pt);
                file_put(f);
            }
            const uint32_t wanted[3] = {SELECT_IN, SELECT_OUT, SELECT_EX};
            for (uint32_t k = 0; k < 3; k++)
                if ((call->bits[k * words + w] & bit) && (mask & wanted[k])) {
                    found[k * words + w] |= bit;
                    count++;
                }
            if (count)
                *pt = NULL;
        }
    }
    return count;
}

/* Linux ignores bits beyond the process's descriptor table; programs pass FD_SETSIZE and more
 * without having that memory. */
static uint32_t clip_to_table(int n)
{
    if (n <= 1024)
        return (uint32_t)n;
    int highest = -1;
    for (int fd = files_next_fd(current->files, 0); fd >= 0;
         fd = files_next_fd(current->files, fd + 1))
        highest = fd;
    return (uint32_t)k_min(k_min(n, FD_TABLE_MAX), k_max(1024, ALIGN_UP(highest + 1, 64)));
}

/* -EBADF when a bit stands for a closed descriptor. */
static int select_check(const struct select_call *call)
{
    for (uint32_t w = 0; w < call->words; w++) {
        uint64_t all =
            call->bits[w] | call->bits[call->words + w] | call->bits[2 * call->words + w];
        for (; all; all &= all - 1) {
            uint32_t fd = w * 64 + (uint32_t)__builtin_ctzll(all);
            if (fd >= call->nr_fds)
                break;
            struct file *f = fd_get_any((int)fd);
            if (!f)
                return -EBADF;
            file_put(f);
        }
    }
    return 0;
}

static int64_t select_with_bits(struct select_call *call, const uaddr_t set[3], ktime_t deadline)
{
    const size_t bytes = call->words * sizeof(uint64_t);
    memset(call->bits, 0, 3 * bytes);
    for (int k = 0; k < 3; k++)
        if (set[k] && copy_from_user(call->bits + k * call->words, set[k], bytes))
            return -EFAULT;
    int r = select_check(call);
    if (r)
        return r;
    int64_t count = poll_until(select_ask, call, deadline);
    if (count < 0)
        return count;
    for (int k = 0; k < 3; k++)
        if (set[k] && copy_to_user(set[k], call->bits + (3 + k) * call->words, bytes))
            return -EFAULT;
    return count;
}

static int64_t do_select(int n, const uaddr_t set[3], ktime_t deadline)
{
    if (n < 0)
        return -EINVAL;
    struct select_call call = {.nr_fds = clip_to_table(n)};
    call.words = (call.nr_fds + 63) / 64;
    uint64_t inline_bits[6 * 4];
    call.bits = inline_bits;
    if (6 * call.words > ARRAY_LEN(inline_bits) &&
        !(call.bits = kmalloc(6 * call.words * sizeof(uint64_t))))
        return -ENOMEM;
    int64_t r = select_with_bits(&call, set, deadline);
    if (call.bits != inline_bits)
        kfree(call.bits);
    return r;
}

int64_t sys_select(int n, uaddr_t in, uaddr_t out, uaddr_t ex, uaddr_t timeout)
{
    ktime_t deadline = KTIME_NEVER;
    if (timeout) {
        struct k_timeval tv;
        if (get_user(tv, timeout))
            return -EFAULT;
        struct k_timespec t = {(int64_t)((uint64_t)tv.sec + (uint64_t)(tv.usec / 1000000)),
                               tv.usec % 1000000 * (int64_t)NSEC_PER_USEC};
        int r = deadline_after(&t, &deadline);
        if (r)
            return r;
    }
    int64_t result = do_select(n, (const uaddr_t[3]){in, out, ex}, deadline);
    return write_remaining(timeout, TIMEOUT_TIMEVAL, deadline, result);
}

int64_t sys_pselect6(int n, uaddr_t in, uaddr_t out, uaddr_t ex, uaddr_t timeout, uaddr_t mask_arg)
{
    struct {
        uint64_t mask, size;
    } m = {0, 0};
    if (mask_arg && get_user(m, mask_arg))
        return -EFAULT;
    ktime_t deadline;
    int r = poll_deadline_from_user(timeout, &deadline);
    if (!r)
        r = poll_set_sigmask(m.mask, m.size);
    if (r)
        return r;
    int64_t result = do_select(n, (const uaddr_t[3]){in, out, ex}, deadline);
    poll_restore_sigmask(m.mask, result == -ERESTARTNOHAND);
    return write_remaining(timeout, TIMEOUT_TIMESPEC, deadline, result);
}
