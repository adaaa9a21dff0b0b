/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/futex.h"

#include "base/errno.h"
#include "base/usercopy.h"
#include "ktest.h"
#include "mm/mm.h"
#include "proc/signal_internal.h"
#include "proc/task.h"

int64_t sys_futex(uaddr_t addr, int op, uint32_t val, uint64_t timeout_or_val2, uaddr_t addr2,
                  uint32_t val3);
int64_t sys_futex_waitv(uaddr_t waiters, uint32_t nr, uint32_t flags, uaddr_t timeout, int clockid);
int64_t sys_rt_sigaction(int sig, uaddr_t new_addr, uaddr_t old_addr, uint64_t set_size);

enum {
    F_WAIT = 0,
    F_WAKE = 1,
    F_REQUEUE = 3,
    F_CMP_REQUEUE = 4,
    F_WAKE_OP = 5,
    F_LOCK_PI = 6,
    F_UNLOCK_PI = 7,
    F_TRYLOCK_PI = 8,
    F_WAIT_BITSET = 9,
    F_WAKE_BITSET = 10,
    F_PRIVATE = 128
};

struct waiter_arg {
    uaddr_t addr;
    int op;
    uint32_t val, bitset;
    uaddr_t timeout;
    int64_t result;
    bool done;
};

static void waits(void *arg)
{
    struct waiter_arg *w = arg;
    w->result = sys_futex(w->addr, w->op, w->val, w->timeout, 0, w->bitset);
    w->done = true;
}

static void put_word(uaddr_t a, uint32_t v)
{
    int unused = put_user(v, a);
    (void)unused;
}

static uint32_t word(uaddr_t a)
{
    uint32_t v = 0xdeadbeef;
    int unused = get_user(v, a);
    (void)unused;
    return v;
}

static uaddr_t timeout_of(uint64_t ns)
{
    struct k_timespec ts = ns_to_timespec(ns);
    return ktest_bytes(&ts, sizeof(ts));
}

KTEST(futex_wait_returns_at_once_when_the_word_differs)
{
    uaddr_t a = ktest_map(4096);
    put_word(a, 7);
    KCHECK_EQ(sys_futex(a, F_WAIT | F_PRIVATE, 6, 0, 0, 0), -EAGAIN);
    KCHECK_EQ(sys_futex(a, F_WAIT, 6, 0, 0, 0), -EAGAIN);
}

KTEST(futex_wake_wakes_as_many_as_asked)
{
    uaddr_t a = ktest_map(4096);
    struct waiter_arg w[5];
    struct thread *t[5];
    for (int i = 0; i < 5; i++) {
        w[i] = (struct waiter_arg){.addr = a, .op = F_WAIT | F_PRIVATE, .result = -1};
        t[i] = mock_start(waits, &w[i]);
    }
    mock_sleep(NSEC_PER_MSEC);
    KCHECK_EQ(sys_futex(a + 4, F_WAKE | F_PRIVATE, 10, 0, 0, 0), 0);
    KCHECK_EQ(sys_futex(a, F_WAKE | F_PRIVATE, 2, 0, 0, 0), 2);
    mock_sleep(NSEC_PER_MSEC);
    KCHECK(w[0].done && w[1].done && !w[2].done); /* in the order in which they came */
    KCHECK_EQ(sys_futex(a, F_WAKE | F_PRIVATE, INT_MAX, 0, 0, 0), 3);
    for (int i = 0; i < 5; i++) {
        mock_join(t[i]);
        KCHECK_EQ(w[i].result, 0);
    }
    KCHECK_EQ(sys_futex(a, F_WAKE | F_PRIVATE, 1, 0, 0, 0), 0);
}

KTEST(futex_errors_are_those_of_linux)
{
    uaddr_t a = ktest_map(8192);
    mm_unmap(current->mm, a + 4096, 4096);
    KCHECK_EQ(sys_futex(a + 2, F_WAIT | F_PRIVATE, 0, 0, 0, 0), -EINVAL);
    KCHECK_EQ(sys_futex(a + 4096, F_WAIT | F_PRIVATE, 0, 0, 0, 0), -EFAULT);
    KCHECK_EQ(sys_futex(USER_LIMIT, F_WAIT | F_PRIVATE, 0, 0, 0, 0), -EFAULT);
    KCHECK_EQ(sys_futex(a + 4096, F_WAKE, 1, 0, 0, 0), -EFAULT);
    KCHECK_EQ(sys_futex(a, 99, 0, 0, 0, 0), -ENOSYS);
    KCHECK_EQ(sys_futex(a, F_WAIT_BITSET, 0, 0, 0, 0), -EINVAL);
    KCHECK_EQ(sys_futex(a, F_WAKE_BITSET, 0, 0, 0, 0), -EINVAL);
    KCHECK_EQ(sys_futex(a, F_WAIT, 0, a + 4096, 0, 0), -EFAULT);
    struct k_timespec bad = {0, 1000000000};
    KCHECK_EQ(sys_futex(a, F_WAIT, 0, ktest_bytes(&bad, sizeof(bad)), 0, 0), -EINVAL);
    KCHECK_EQ(sys_futex(a, F_REQUEUE, (uint32_t)-1, 0, a, 0), -EINVAL);
}

KTEST(futex_wait_times_out)
{
    uaddr_t a = ktest_map(4096);
    ktime_t start = time_mono_ns();
    KCHECK_EQ(sys_futex(a, F_WAIT | F_PRIVATE, 0, timeout_of(NSEC_PER_MSEC), 0, 0), -ETIMEDOUT);
    KCHECK(time_mono_ns() - start >= NSEC_PER_MSEC);
    KCHECK_EQ(sys_futex(a, F_WAIT_BITSET | F_PRIVATE, 0, timeout_of(time_mono_ns() + NSEC_PER_MSEC),
                        0, 1),
              -ETIMEDOUT);
    KCHECK_EQ(sys_futex(a, F_WAIT_BITSET | F_PRIVATE, 0, timeout_of(1), 0, 1), -ETIMEDOUT);
    KCHECK_EQ(sys_futex(a, F_WAKE | F_PRIVATE, 1, 0, 0, 0), 0);
}

KTEST(futex_bitsets_select_waiters)
{
    uaddr_t a = ktest_map(4096);
    struct waiter_arg w[2] = {{.addr = a, .op = F_WAIT_BITSET, .bitset = 1},
                              {.addr = a, .op = F_WAIT_BITSET, .bitset = 6}};
    struct thread *t[2] = {mock_start(waits, &w[0]), mock_start(waits, &w[1])};
    mock_sleep(NSEC_PER_MSEC);
    KCHECK_EQ(sys_futex(a, F_WAKE_BITSET, 10, 0, 0, 8), 0);
    KCHECK_EQ(sys_futex(a, F_WAKE_BITSET, 10, 0, 0, 4), 1);
    mock_join(t[1]);
    KCHECK(!w[0].done);
    KCHECK_EQ(sys_futex(a, F_WAKE, 10, 0, 0, 0), 1);
    mock_join(t[0]);
}

KTEST(futex_requeue_moves_sleepers_to_the_other_word)
{
    uaddr_t a = ktest_map(4096), b = a + 64;
    struct waiter_arg w[4];
    struct thread *t[4];
    for (int i = 0; i < 4; i++) {
        w[i] = (struct waiter_arg){.addr = a, .op = F_WAIT | F_PRIVATE};
        t[i] = mock_start(waits, &w[i]);
    }
    mock_sleep(NSEC_PER_MSEC);
    KCHECK_EQ(sys_futex(a, F_CMP_REQUEUE | F_PRIVATE, 1, 2, b, 5), -EAGAIN);
    KCHECK_EQ(sys_futex(a, F_CMP_REQUEUE | F_PRIVATE, 1, 2, b, 0), 3);
    mock_join(t[0]);
    KCHECK_EQ(sys_futex(b, F_WAKE | F_PRIVATE, 10, 0, 0, 0), 2);
    mock_join(t[1]);
    mock_join(t[2]);
    KCHECK_EQ(sys_futex(a, F_WAKE | F_PRIVATE, 10, 0, 0, 0), 1);
    mock_join(t[3]);
}

KTEST(futex_requeued_waiter_goes_back_to_its_own_word_after_a_spurious_wake)
{
    uaddr_t a = ktest_map(4096), b = a + 64;
    struct waiter_arg w = {.addr = a, .op = F_WAIT | F_PRIVATE};
    struct thread *t = mock_start(waits, &w);
    mock_sleep(NSEC_PER_MSEC);
    KCHECK_EQ(sys_futex(a, F_REQUEUE | F_PRIVATE, 0, 1, b, 0), 1);
    KCHECK(thread_wake(t));
    mock_sleep(NSEC_PER_MSEC);
    KCHECK(!w.done);
    KCHECK_EQ(sys_futex(b, F_WAKE | F_PRIVATE, 1, 0, 0, 0), 0);
    KCHECK_EQ(sys_futex(a, F_WAKE | F_PRIVATE, 1, 0, 0, 0), 1);
    mock_join(t);
}

KTEST(futex_shared_words_are_found_through_any_mapping)
{
    int64_t a = mm_map(current->mm, NULL, 0, 4096, PROT_READ_K | PROT_WRITE_K,
                       MAP_SHARED_K | MAP_ANONYMOUS_K, 0);
    KCHECK(a > 0);
    struct vma *v = mm_find(current->mm, (uaddr_t)a);
    KCHECK(v && v->file);
    int64_t b =
        mm_map(current->mm, v->file, 0, 4096, PROT_READ_K | PROT_WRITE_K, MAP_SHARED_K, v->offset);
    KCHECK(b > 0 && b != a);
    struct waiter_arg w = {.addr = (uaddr_t)a + 8, .op = F_WAIT};
    struct thread *t = mock_start(waits, &w);
    mock_sleep(NSEC_PER_MSEC);
    KCHECK_EQ(sys_futex((uaddr_t)b + 8, F_WAKE | F_PRIVATE, 1, 0, 0, 0), 0);
    KCHECK_EQ(sys_futex((uaddr_t)b + 8, F_WAKE, 1, 0, 0, 0), 1);
    mock_join(t);
    KCHECK_EQ(w.result, 0);
}

KTEST(futex_wait_is_interrupted_by_a_signal)
{
    uaddr_t a = ktest_map(4096);
    struct k_sigaction act = {.handler = 0x1000};
    struct k_siginfo info = {.si_signo = SIGUSR1};
    KCHECK_EQ(sys_rt_sigaction(SIGUSR1, ktest_bytes(&act, sizeof(act)), 0, 8), 0);
    struct waiter_arg w[2] = {{.addr = a, .op = F_WAIT},
                              {.addr = a, .op = F_WAIT, .timeout = timeout_of(100 * NSEC_PER_SEC)}};
    for (int i = 0; i < 2; i++) {
        struct thread *t = mock_start(waits, &w[i]);
        mock_sleep(NSEC_PER_MSEC);
        signal_send_thread(t, &info);
        mock_join(t);
    }
    KCHECK_EQ(w[0].result, -ERESTARTSYS);
    KCHECK_EQ(w[1].result, -ERESTART_RESTARTBLOCK); /* with what is left of the time */
    KCHECK_EQ(sys_futex(a, F_WAKE, 1, 0, 0, 0), 0);
}

KTEST(futex_wake_op_changes_the_second_word_and_tests_it)
{
    uaddr_t a = ktest_map(4096), b = a + 4;
    put_word(b, 5);
    /* ADD 3, then: old value > 4. */
    uint32_t op = 1u << 28 | 4u << 24 | 3u << 12 | 4;
    struct waiter_arg w[2] = {{.addr = a, .op = F_WAIT}, {.addr = b, .op = F_WAIT, .val = 5}};
    struct thread *t[2] = {mock_start(waits, &w[0]), mock_start(waits, &w[1])};
    mock_sleep(NSEC_PER_MSEC);
    KCHECK_EQ(sys_futex(a, F_WAKE_OP, 1, 1, b, op), 2);
    KCHECK_EQ(word(b), 8);
    mock_join(t[0]);
    mock_join(t[1]);
    /* OR with 1 << 31. */
    KCHECK_EQ(sys_futex(a, F_WAKE_OP, 1, 1, b, 1u << 31 | 2u << 28 | 31u << 12), 0);
    KCHECK_EQ(word(b), 0x80000008u);
    KCHECK_EQ(sys_futex(a, F_WAKE_OP, 1, 1, b, 7u << 28), -ENOSYS);
}

/* ---- PI ---- */

struct pi_arg {
    uaddr_t addr;
    int64_t locked, unlocked, tried;
    uint32_t tid;
};

static void locks_pi(void *arg)
{
    struct pi_arg *p = arg;
    p->tid = (uint32_t)current->tid;
    p->tried = sys_futex(p->addr, F_TRYLOCK_PI | F_PRIVATE, 0, 0, 0, 0);
    p->locked = sys_futex(p->addr, F_LOCK_PI | F_PRIVATE, 0, 0, 0, 0);
    mock_sleep(NSEC_PER_MSEC / 10);
    p->unlocked = sys_futex(p->addr, F_UNLOCK_PI | F_PRIVATE, 0, 0, 0, 0);
}

KTEST(futex_pi_lock_is_handed_to_the_waiters_in_turn)
{
    uaddr_t a = ktest_map(4096);
    KCHECK_EQ(sys_futex(a, F_LOCK_PI | F_PRIVATE, 0, 0, 0, 0), 0);
    KCHECK_EQ(word(a), (uint32_t)current->tid);
    KCHECK_EQ(sys_futex(a, F_LOCK_PI | F_PRIVATE, 0, 0, 0, 0), -EDEADLK);
    struct pi_arg p[3] = {{.addr = a}, {.addr = a}, {.addr = a}};
    struct thread *t[3];
    for (int i = 0; i < 3; i++)
        t[i] = mock_start(locks_pi, &p[i]);
    mock_sleep(NSEC_PER_MSEC);
    KCHECK_EQ(word(a), (uint32_t)current->tid | 0x80000000u);
    KCHECK_EQ(sys_futex(a, F_UNLOCK_PI | F_PRIVATE, 0, 0, 0, 0), 0);
    KCHECK_EQ(word(a) & 0x3fffffff, p[0].tid);
    KCHECK_EQ(sys_futex(a, F_UNLOCK_PI | F_PRIVATE, 0, 0, 0, 0), -EPERM);
    for (int i = 0; i < 3; i++) {
        mock_join(t[i]);
        KCHECK_EQ(p[i].tried, -EAGAIN);
        KCHECK_EQ(p[i].locked, 0);
        KCHECK_EQ(p[i].unlocked, 0);
    }
    KCHECK_EQ(word(a), 0);
}

KTEST(futex_pi_lock_of_a_dead_owner_answers_esrch)
{
    uaddr_t a = ktest_map(4096);
    put_word(a, 0x3ffffff0);
    KCHECK_EQ(sys_futex(a, F_LOCK_PI | F_PRIVATE, 0, 0, 0, 0), -ESRCH);
}

/* ---- robust lists ---- */

KTEST(futex_robust_list_marks_what_its_owner_held)
{
    uaddr_t head = ktest_map(4096), n1 = head + 256, n2 = head + 512, n3 = head + 768;
    uint32_t tid = (uint32_t)current->tid;
    uint64_t h[3] = {n1, 8, n3}; /* next, offset of the word, pending */
    KCHECK_EQ(copy_to_user(head, h, sizeof(h)), 0);
    KCHECK_EQ(put_user((uint64_t)n2, n1), 0);
    KCHECK_EQ(put_user((uint64_t)head, n2), 0);
    put_word(n1 + 8, tid | 0x80000000u);
    put_word(n2 + 8, tid + 1);
    put_word(n3 + 8, tid);
    struct waiter_arg w = {.addr = n1 + 8, .op = F_WAIT | F_PRIVATE, .val = tid | 0x80000000u};
    struct thread *t = mock_start(waits, &w);
    mock_sleep(NSEC_PER_MSEC);
    current->robust_list = head;
    futex_exit_robust(current);
    mock_join(t);
    KCHECK_EQ(word(n1 + 8), 0xc0000000u);
    KCHECK_EQ(word(n2 + 8), tid + 1); /* somebody else's */
    KCHECK_EQ(word(n3 + 8), 0x40000000u);
    KCHECK_EQ(current->robust_list, 0);
}

KTEST(futex_robust_list_of_any_shape_ends)
{
    uaddr_t head = ktest_map(8192), n1 = head + 256;
    uint64_t h[3] = {n1, (uint64_t)-1, 1};
    mm_unmap(current->mm, head + 4096, 4096);
    /* A circle without the head. */
    KCHECK_EQ(copy_to_user(head, h, sizeof(h)), 0);
    KCHECK_EQ(put_user((uint64_t)n1, n1), 0);
    current->robust_list = head;
    futex_exit_robust(current);
    /* Into nothing, and at the edge of what is there. */
    h[0] = head + 4096;
    KCHECK_EQ(copy_to_user(head, h, sizeof(h)), 0);
    current->robust_list = head;
    futex_exit_robust(current);
    current->robust_list = head + 4096 - 8;
    futex_exit_robust(current);
    current->robust_list = UINT64_MAX - 7;
    futex_exit_robust(current);
    current->robust_list = 0;
}

/* ---- waitv ---- */

struct waitv {
    uint64_t val, uaddr;
    uint32_t flags, reserved;
};

struct waitv_arg {
    uaddr_t list;
    int64_t result;
};

static void waits_for_many(void *arg)
{
    struct waitv_arg *w = arg;
    w->result = sys_futex_waitv(w->list, 3, 0, 0, 1);
}

KTEST(futex_waitv_tells_which_word_was_woken)
{
    uaddr_t a = ktest_map(4096);
    struct waitv v[3] = {{0, a, 2, 0}, {0, a + 4, 2 | F_PRIVATE, 0}, {0, a + 8, 2, 0}};
    struct waitv_arg w = {.list = ktest_bytes(v, sizeof(v))};
    for (int i = 0; i < 3; i++) {
        struct thread *t = mock_start(waits_for_many, &w);
        mock_sleep(NSEC_PER_MSEC);
        KCHECK_EQ(sys_futex(a + 4 * (uint64_t)i, F_WAKE | (i == 1 ? F_PRIVATE : 0), 1, 0, 0, 0), 1);
        mock_join(t);
        KCHECK_EQ(w.result, i);
    }
    KCHECK_EQ(sys_futex(a, F_WAKE, 10, 0, 0, 0), 0);
    put_word(a + 8, 1);
    KCHECK_EQ(sys_futex_waitv(w.list, 3, 0, 0, 1), -EAGAIN);
    KCHECK_EQ(sys_futex_waitv(w.list, 2, 0, timeout_of(time_mono_ns() + 1000), 1), -ETIMEDOUT);
    KCHECK_EQ(sys_futex_waitv(w.list, 0, 0, 0, 1), -EINVAL);
    KCHECK_EQ(sys_futex_waitv(w.list, 129, 0, 0, 1), -EINVAL);
}
