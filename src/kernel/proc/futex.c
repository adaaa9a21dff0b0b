/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Futexes: sleeping on a word of workload memory. futex(2), futex_waitv(2), get_robust_list(2).
 *
 * A word is named by its key: the address space and address, or for shared mappings the inode and
 * offset. Waiters hang in the hash bucket of their key. The word is read under the bucket's lock; a
 * page that is not there is brought in outside of it, then all starts again. A waiter taken off its
 * bucket by a waker is woken; one that finds itself still queued gave up (signal, timeout).
 *
 * PI futexes: the owner's tid stands in the word; unlock hands the lock to the longest waiter.
 * Priorities are not lent: a holder runs at its own.
 *
 * Locks: bucket locks in ascending order -> thread->wake_lock.
 */
#include "proc/futex.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/usercopy.h"
#include "fs/vfs.h"
#include "mm/mm.h"
#include "proc/task.h"

enum {
    FUTEX_WAIT_OP = 0,
    FUTEX_WAKE_OP_ = 1,
    FUTEX_REQUEUE_OP = 3,
    FUTEX_CMP_REQUEUE_OP = 4,
    FUTEX_WAKE_OP_OP = 5,
    FUTEX_LOCK_PI_OP = 6,
    FUTEX_UNLOCK_PI_OP = 7,
    FUTEX_TRYLOCK_PI_OP = 8,
    FUTEX_WAIT_BITSET_OP = 9,
    FUTEX_WAKE_BITSET_OP = 10,
    FUTEX_LOCK_PI2_OP = 13
};
#define FUTEX_PRIVATE 128
#define FUTEX_CLOCK_RT 256
#define FUTEX_CMD(op) ((op) & ~(FUTEX_PRIVATE | FUTEX_CLOCK_RT))
#define FUTEX_WAITERS_BIT 0x80000000u
#define FUTEX_OWNER_DIED_BIT 0x40000000u
#define FUTEX_TID 0x3fffffffu
#define BITSET_ANY 0xffffffffu
#define ROBUST_LIMIT 2048
#define WAITV_MAX 128

struct futex_key {
    const void *object; /* mm or inode */
    uint64_t offset;    /* address or file offset */
};

struct futex_waiter {
    struct list link;
    struct futex_key key;
    struct thread *thread;
    uint32_t bitset;
    struct bucket *bucket; /* NULL once woken; changed by requeue under both locks */
    bool pi;
};

struct bucket {
    spinlock_t lock;
    struct list waiters;
};

#define NR_BUCKETS 256
static struct bucket buckets[NR_BUCKETS];

void futex_init(void)
{
    for (int i = 0; i < NR_BUCKETS; i++)
        list_init(&buckets[i].waiters);
}

static struct bucket *bucket_of(const struct futex_key *k)
{
    uint64_t h = ((uint64_t)k->object >> 4) ^ (k->offset >> 2);
    h *= 0x9e3779b97f4a7c15ull;
    return &buckets[h >> 56];
}

static bool key_eq(const struct futex_key *a, const struct futex_key *b)
{
    return a->object == b->object && a->offset == b->offset;
}

static int get_key(uaddr_t addr, bool is_private, struct futex_key *key)
{
    if (addr & 3)
        return -EINVAL;
    if (!user_range_ok(addr, 4))
        return -EFAULT;
    struct mm *mm = current->mm;
    *key = (struct futex_key){mm, addr};
    if (is_private)
        return 0;
    int r = 0;
    mutex_lock(&mm->lock);
    struct vma *v = mm_find(mm, addr);
    if (!v)
        r = -EFAULT;
    else if ((v->flags & VMA_SHARED) && v->file)
        *key = (struct futex_key){file_mapping_inode(v->file), addr - v->start + v->offset};
    mutex_unlock(&mm->lock);
    return r;
}

/* Takes w off its bucket and wakes its thread; bucket lock held. */
static void wake_waiter(struct futex_waiter *w)
{
    struct thread *t = w->thread;
    list_del(&w->link);
    thread_get(t);
    __atomic_store_n(&w->bucket, NULL, __ATOMIC_RELEASE); /* w may vanish from here on */
    thread_wake(t);
    thread_put(t);
}

static int wake_key(const struct futex_key *key, int n, uint32_t bitset)
{
    struct bucket *b = bucket_of(key);
    struct futex_waiter *w, *tmp;
    int woken = 0;
    if (n <= 0)
        return 0;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (READ_ONCE(b->waiters.next) == &b->waiters)
        return 0; /* a waiter queues itself before it reads the word */
    spin_lock(&b->lock);
    list_for_each_safe (w, tmp, &b->waiters, link) {
        if (!key_eq(&w->key, key) || !(w->bitset & bitset) || w->pi)
            continue;
        wake_waiter(w);
        if (++woken >= n)
            break;
    }
    spin_unlock(&b->lock);
    return woken;
}

void futex_wake_addr(uaddr_t addr, int n)
{
    struct futex_key key;
    if (get_key(addr, false, &key) == 0)
        wake_key(&key, n, BITSET_ANY);
    if (get_key(addr, true, &key) == 0)
        wake_key(&key, n, BITSET_ANY);
}

/* Queues w on its key if the word still has `val`: 0 queued with the thread's state set, -EAGAIN,
 * -EFAULT. */
static int queue_if_equal(struct futex_waiter *w, uaddr_t addr, uint32_t val)
{
    struct bucket *b = bucket_of(&w->key);
    for (;;) {
        uint32_t seen;
        spin_lock(&b->lock);
        w->bucket = b;
        list_add_tail(&w->link, &b->waiters);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        int r = user_load32_atomic(&seen, addr);
        if (r == 0 && seen == val) {
            __atomic_store_n(&current->state, THREAD_INTERRUPTIBLE, __ATOMIC_SEQ_CST);
            spin_unlock(&b->lock);
            return 0;
        }
        list_del(&w->link);
        w->bucket = NULL;
        spin_unlock(&b->lock);
        if (r == 0)
            return -EAGAIN;
        if (user_fault_in(addr, false))
            return -EFAULT;
    }
}

/* Takes w off if it still is queued; true when it was (nobody woke it). */
static bool unqueue(struct futex_waiter *w)
{
    for (;;) {
        struct bucket *b = __atomic_load_n(&w->bucket, __ATOMIC_ACQUIRE);
        if (!b)
            return false;
        spin_lock(&b->lock);
        if (w->bucket == b) {
            list_del(&w->link);
            w->bucket = NULL;
            spin_unlock(&b->lock);
            return true;
        }
        spin_unlock(&b->lock); /* requeued meanwhile */
    }
}

static long wait_restart(struct thread *t);

static long futex_wait(uaddr_t addr, bool is_private, uint32_t val, ktime_t deadline,
                       uint32_t bitset, bool relative)
{
    struct futex_waiter w = {.thread = current, .bitset = bitset};
    struct futex_key key;
    if (!bitset)
        return -EINVAL;
    int r = get_key(addr, is_private, &key);
    if (r)
        return r;
    for (;;) {
        w.key = key; /* a requeue may have changed it */
        r = queue_if_equal(&w, addr, val);
        if (r)
            return r;
        bool timeout = false;
        if (!signal_pending())
            timeout = schedule_timeout(deadline);
        __atomic_store_n(&current->state, THREAD_RUNNABLE, __ATOMIC_RELEASE);
        if (!unqueue(&w))
            return 0;
        if (timeout)
            return -ETIMEDOUT;
        if (signal_pending())
            break;
        /* Woken by something else: look at the word again. */
    }
    if (!relative || deadline == KTIME_NEVER)
        return -ERESTARTSYS;
    struct thread *t = current;
    t->restart.fn = wait_restart;
    t->restart.arg[0] = addr;
    t->restart.arg[1] = is_private;
    t->restart.arg[2] = val;
    t->restart.arg[3] = deadline;
    t->restart.arg[4] = bitset;
    return -ERESTART_RESTARTBLOCK;
}

static long wait_restart(struct thread *t)
{
    return futex_wait(t->restart.arg[0], t->restart.arg[1], (uint32_t)t->restart.arg[2],
                      t->restart.arg[3], (uint32_t)t->restart.arg[4], true);
}

static void lock_two(struct bucket *a, struct bucket *b)
{
    if (a > b) {
        struct bucket *t = a;
        a = b;
        b = t;
    }
    spin_lock(&a->lock);
    if (a != b)
        spin_lock(&b->lock);
}

static void unlock_two(struct bucket *a, struct bucket *b)
{
    spin_unlock(&a->lock);
    if (a != b)
        spin_unlock(&b->lock);
}

static long futex_requeue(uaddr_t addr, uaddr_t addr2, bool is_private, int nr_wake, int nr_requeue,
                          bool compare, uint32_t expected)
{
    struct futex_key k1, k2;
    int r;
    if (nr_wake < 0 || nr_requeue < 0)
        return -EINVAL;
    if ((r = get_key(addr, is_private, &k1)) || (r = get_key(addr2, is_private, &k2)))
        return r;
    struct bucket *b1 = bucket_of(&k1), *b2 = bucket_of(&k2);
    for (;;) {
        lock_two(b1, b2);
        uint32_t seen;
        if (!compare)
            break;
        r = user_load32_atomic(&seen, addr);
        if (r == 0 && seen == expected)
            break;
        unlock_two(b1, b2);
        if (r == 0)
            return -EAGAIN;
        if (user_fault_in(addr, false))
            return -EFAULT;
    }
    struct futex_waiter *w, *tmp;
    int woken = 0, moved = 0;
    struct list move;
    list_init(&move);
    list_for_each_safe (w, tmp, &b1->waiters, link) {
        if (!key_eq(&w->key, &k1) || w->pi)
            continue;
        if (woken < nr_wake) {
            wake_waiter(w);
            woken++;
        } else if (moved < nr_requeue) {
            list_del(&w->link);
            list_add_tail(&w->link, &move);
            w->key = k2;
            __atomic_store_n(&w->bucket, b2, __ATOMIC_RELEASE);
            moved++;
        } else {
            break;
        }
    }
    list_splice_tail(&move, &b2->waiters);
    unlock_two(b1, b2);
    return woken + moved;
}

static long futex_wake_op(uaddr_t addr, uaddr_t addr2, bool is_private, int nr_wake, int nr_wake2,
                          uint32_t op)
{
    struct futex_key k1, k2;
    int r;
    if ((r = get_key(addr, is_private, &k1)) || (r = get_key(addr2, is_private, &k2)))
        return r;
    int code = op >> 28 & 7, cmp = op >> 24 & 15;
    int32_t oparg = (int32_t)(op << 8) >> 20, cmparg = (int32_t)(op << 20) >> 20;
    if (op >> 31 & 1) {
        if (oparg < 0 || oparg > 31)
            oparg &= 31;
        oparg = (int32_t)(1u << oparg);
    }
    uint32_t old;
    while ((r = user_atomic_op32(&old, addr2, code, (uint32_t)oparg)) == -EFAULT)
        if (user_fault_in(addr2, true))
            return -EFAULT;
    if (r)
        return r;
    int32_t o = (int32_t)old;
    bool hit;
    switch (cmp) {
    case 0: hit = o == cmparg; break;
    case 1: hit = o != cmparg; break;
    case 2: hit = o < cmparg; break;
    case 3: hit = o <= cmparg; break;
    case 4: hit = o > cmparg; break;
    case 5: hit = o >= cmparg; break;
    default: return -ENOSYS;
    }
    long n = wake_key(&k1, nr_wake, BITSET_ANY);
    if (hit)
        n += wake_key(&k2, nr_wake2, BITSET_ANY);
    return n;
}

/* ---- PI ---- */

static bool key_has_pi_waiter(struct bucket *b, const struct futex_key *key)
{
    struct futex_waiter *w;
    list_for_each (w, &b->waiters, link)
        if (w->pi && key_eq(&w->key, key))
            return true;
    return false;
}

/* Under the bucket lock: takes the lock when it is free; else marks it contended. 0 taken, -EAGAIN
 * contended (WAITERS bit is set), or an error. */
static int pi_try(struct bucket *b, const struct futex_key *key, uaddr_t addr, bool try_only)
{
    uint32_t tid = (uint32_t)current->tid, word, seen;
    for (;;) {
        if (user_load32_atomic(&word, addr))
            return -EFAULT;
        uint32_t owner = word & FUTEX_TID;
        if (owner == tid)
            return -EDEADLK;
        uint32_t want = owner ? word | FUTEX_WAITERS_BIT
                              : tid | (word & FUTEX_OWNER_DIED_BIT) |
                                    (key_has_pi_waiter(b, key) ? FUTEX_WAITERS_BIT : 0);
        if (owner) {
            struct thread *t = thread_find((kpid_t)owner);
            if (!t)
                return -ESRCH;
            thread_put(t);
            if (try_only)
                return -EAGAIN;
        }
        if (user_cmpxchg32(&seen, addr, word, want))
            return -EFAULT;
        if (seen == word)
            return owner ? -EAGAIN : 0;
    }
}

static long futex_lock_pi(uaddr_t addr, bool is_private, ktime_t deadline, bool try_only)
{
    struct futex_waiter w = {.thread = current, .bitset = BITSET_ANY, .pi = true};
    int r = get_key(addr, is_private, &w.key);
    if (r)
        return r;
    struct bucket *b = bucket_of(&w.key);
    for (;;) {
        spin_lock(&b->lock);
        r = pi_try(b, &w.key, addr, try_only);
        if (r == -EAGAIN && !try_only) {
            w.bucket = b;
            list_add_tail(&w.link, &b->waiters);
            __atomic_store_n(&current->state, THREAD_INTERRUPTIBLE, __ATOMIC_SEQ_CST);
        }
        spin_unlock(&b->lock);
        if (r == -EFAULT) {
            if (user_fault_in(addr, true))
                return -EFAULT;
            continue;
        }
        if (r != -EAGAIN || try_only)
            return r;
        bool timeout = !signal_pending() && schedule_timeout(deadline);
        __atomic_store_n(&current->state, THREAD_RUNNABLE, __ATOMIC_RELEASE);
        if (!unqueue(&w))
            return 0; /* unlock made us the owner */
        if (timeout)
            return -ETIMEDOUT;
        if (signal_pending())
            return -ERESTARTNOINTR;
    }
}

static long futex_unlock_pi(uaddr_t addr, bool is_private)
{
    struct futex_key key;
    int r = get_key(addr, is_private, &key);
    if (r)
        return r;
    struct bucket *b = bucket_of(&key);
    for (;;) {
        spin_lock(&b->lock);
        uint32_t word, seen;
        r = user_load32_atomic(&word, addr);
        if (r == 0 && (word & FUTEX_TID) != (uint32_t)current->tid) {
            spin_unlock(&b->lock);
            return -EPERM;
        }
        struct futex_waiter *w, *next = NULL;
        int waiters = 0;
        list_for_each (w, &b->waiters, link) {
            if (w->pi && key_eq(&w->key, &key)) {
                if (!next)
                    next = w;
                waiters++;
            }
        }
        uint32_t want =
            next ? (uint32_t)next->thread->tid | (waiters > 1 ? FUTEX_WAITERS_BIT : 0) : 0;
        if (r == 0)
            r = user_cmpxchg32(&seen, addr, word, want);
        bool done = r == 0 && seen == word;
        if (done && next)
            wake_waiter(next);
        spin_unlock(&b->lock);
        if (done)
            return 0;
        if (r && user_fault_in(addr, true))
            return -EFAULT;
    }
}

/* ---- robust lists ---- */

static void robust_entry_died(struct thread *t, uaddr_t addr, bool pi)
{
    uint32_t word, seen;
    if (addr & 3)
        return;
    for (;;) {
        if (copy_from_user(&word, addr, sizeof(word)) || (word & FUTEX_TID) != (uint32_t)t->tid)
            return;
        uint32_t want = (word & FUTEX_WAITERS_BIT) | FUTEX_OWNER_DIED_BIT;
        if (user_cmpxchg32(&seen, addr, word, want)) {
            if (user_fault_in(addr, true))
                return;
            continue;
        }
        if (seen == word)
            break;
    }
    if (word & FUTEX_WAITERS_BIT) {
        struct futex_key key;
        for (int is_private = 0; is_private < 2; is_private++) {
            if (get_key(addr, is_private, &key))
                continue;
            if (!pi) {
                wake_key(&key, 1, BITSET_ANY);
                continue;
            }
            struct bucket *b = bucket_of(&key);
            struct futex_waiter *w;
            spin_lock(&b->lock);
            list_for_each (w, &b->waiters, link) {
                if (w->pi && key_eq(&w->key, &key)) {
                    thread_wake(w->thread); /* it finds the lock free and takes it */
                    break;
                }
            }
            spin_unlock(&b->lock);
        }
    }
}

void futex_exit_robust(struct thread *t)
{
    struct {
        uint64_t next;
        int64_t futex_offset;
        uint64_t pending;
    } head;
    if (!t->robust_list || copy_from_user(&head, t->robust_list, sizeof(head)))
        return;
    uint64_t entry = head.next, pending = head.pending;
    for (int i = 0; i < ROBUST_LIMIT && (entry & ~1ull) != t->robust_list; i++) {
        uint64_t next;
        if (copy_from_user(&next, entry & ~1ull, sizeof(next)))
            break;
        if ((entry & ~1ull) != (pending & ~1ull))
            robust_entry_died(t, (entry & ~1ull) + (uint64_t)head.futex_offset, entry & 1);
        entry = next;
    }
    if (pending & ~1ull)
        robust_entry_died(t, (pending & ~1ull) + (uint64_t)head.futex_offset, pending & 1);
    t->robust_list = 0;
}

/* ---- calls ---- */

int64_t sys_futex(uaddr_t addr, int op, uint32_t val, uint64_t timeout_or_val2, uaddr_t addr2,
                  uint32_t val3)
{
    bool is_private = op & FUTEX_PRIVATE, realtime = op & FUTEX_CLOCK_RT;
    int cmd = FUTEX_CMD(op);
    ktime_t deadline = KTIME_NEVER;
    bool takes_timeout = cmd == FUTEX_WAIT_OP || cmd == FUTEX_WAIT_BITSET_OP ||
                         cmd == FUTEX_LOCK_PI_OP || cmd == FUTEX_LOCK_PI2_OP;
    if (realtime &&
        !(cmd == FUTEX_WAIT_OP || cmd == FUTEX_WAIT_BITSET_OP || cmd == FUTEX_LOCK_PI2_OP))
        return -ENOSYS;
    if (takes_timeout && timeout_or_val2) {
        struct k_timespec ts;
        if (copy_from_user(&ts, timeout_or_val2, sizeof(ts)))
            return -EFAULT;
        if (!timespec_valid(&ts))
            return -EINVAL;
        uint64_t ns = timespec_to_ns(&ts), now = time_mono_ns();
        if (cmd == FUTEX_WAIT_OP)
            deadline = ktime_add(now, ns);
        else if (realtime || cmd == FUTEX_LOCK_PI_OP)
            deadline = ns > time_real_ns() ? ktime_add(now, ns - time_real_ns()) : now;
        else
            deadline = ns;
    }
    switch (cmd) {
    case FUTEX_WAIT_OP: return futex_wait(addr, is_private, val, deadline, BITSET_ANY, true);
    case FUTEX_WAIT_BITSET_OP: return futex_wait(addr, is_private, val, deadline, val3, false);
    case FUTEX_WAKE_OP_:
    case FUTEX_WAKE_BITSET_OP: {
        uint32_t bitset = cmd == FUTEX_WAKE_OP_ ? BITSET_ANY : val3;
        struct futex_key key;
        if (!bitset)
            return -EINVAL;
        int r = get_key(addr, is_private, &key);
        /* Linux wakes at least one, whatever the count says. */
        return r ? r : wake_key(&key, k_max((int)val, 1), bitset);
    }
    case FUTEX_REQUEUE_OP:
        return futex_requeue(addr, addr2, is_private, (int)val, (int)timeout_or_val2, false, 0);
    case FUTEX_CMP_REQUEUE_OP:
        return futex_requeue(addr, addr2, is_private, (int)val, (int)timeout_or_val2, true, val3);
    case FUTEX_WAKE_OP_OP:
        return futex_wake_op(addr, addr2, is_private, (int)val, (int)timeout_or_val2, val3);
    case FUTEX_LOCK_PI_OP:
    case FUTEX_LOCK_PI2_OP: return futex_lock_pi(addr, is_private, deadline, false);
    case FUTEX_TRYLOCK_PI_OP: return futex_lock_pi(addr, is_private, KTIME_NEVER, true);
    case FUTEX_UNLOCK_PI_OP: return futex_unlock_pi(addr, is_private);
    default: return -ENOSYS;
    }
}

struct k_futex_waitv {
    uint64_t val, uaddr;
    uint32_t flags, reserved;
};

int64_t sys_futex_waitv(uaddr_t waiters, uint32_t nr, uint32_t flags, uaddr_t timeout, int clockid)
{
    ktime_t deadline = KTIME_NEVER;
    if (flags || !nr || nr > WAITV_MAX || !waiters)
        return -EINVAL;
    if (timeout) {
        struct k_timespec ts;
        if (clockid != 0 && clockid != 1)
            return -EINVAL;
        if (copy_from_user(&ts, timeout, sizeof(ts)))
            return -EFAULT;
        if (!timespec_valid(&ts))
            return -EINVAL;
        uint64_t ns = timespec_to_ns(&ts);
        deadline = clockid == 1          ? ns
                   : ns > time_real_ns() ? ktime_add(time_mono_ns(), ns - time_real_ns())
                                         : time_mono_ns();
    }
    struct k_futex_waitv *v = kmalloc(nr * sizeof(*v));
    struct futex_waiter *w = kzalloc(nr * sizeof(*w));
    int64_t r = -ENOMEM;
    uint32_t queued = 0;
    if (!v || !w)
        goto out;
    r = -EFAULT;
    if (copy_from_user(v, waiters, nr * sizeof(*v)))
        goto out;
    for (uint32_t i = 0; i < nr; i++) {
        r = -EINVAL;
        if (v[i].reserved || (v[i].flags & ~(2u | FUTEX_PRIVATE)) || !(v[i].flags & 2))
            goto out;
        w[i].thread = current;
        w[i].bitset = BITSET_ANY;
    }
    for (;;) {
        for (queued = 0; queued < nr; queued++) {
            r = get_key(v[queued].uaddr, v[queued].flags & FUTEX_PRIVATE, &w[queued].key);
            if (r == 0)
                r = queue_if_equal(&w[queued], v[queued].uaddr, (uint32_t)v[queued].val);
            if (r)
                break;
        }
        /* One may have been woken while the next was being queued, which set the thread's state
         * again. */
        bool timed_out = false, one_woken = false;
        for (uint32_t i = 0; i < queued; i++)
            one_woken |= __atomic_load_n(&w[i].bucket, __ATOMIC_ACQUIRE) == NULL;
        if (r == 0 && !one_woken && !signal_pending())
            timed_out = schedule_timeout(deadline);
        __atomic_store_n(&current->state, THREAD_RUNNABLE, __ATOMIC_RELEASE);
        int woken = -1;
        for (uint32_t i = 0; i < queued; i++)
            if (!unqueue(&w[i]))
                woken = (int)i;
        if (woken >= 0) {
            r = woken;
            break;
        }
        if (r)
            break;
        if (timed_out) {
            r = -ETIMEDOUT;
            break;
        }
        if (signal_pending()) {
            r = -ERESTARTSYS;
            break;
        }
    }
out:
    kfree(v);
    kfree(w);
    return r;
}
