/* SPDX-License-Identifier: Apache-2.0 */
/* futex: every operation without priority inheritance; futex_waitv. */
#include "cella_proc.h"

#include <linux/futex.h>
#include <sched.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#ifndef FUTEX2_SIZE_U32
#define FUTEX2_SIZE_U32 2
#endif

enum { MAX_WAITERS = 8 };

static long futex(int *word, int op, int value, const void *timeout, int *word2, int value3)
{
    return syscall(SYS_futex, word, op, value, timeout, word2, value3);
}

/* One waiting thread: what it waits on and what its wait answered. */
struct waiter {
    pthread_t thread;
    int *word;
    int op;
    int bits;
    long result;
    int error;
    int done;
};

static int nr_done;

static void *wait_on_futex(void *arg)
{
    struct waiter *waiter = arg;
    waiter->result = futex(waiter->word, waiter->op, 0, NULL, NULL, waiter->bits);
    waiter->error = errno;
    set_word(&waiter->done, 1);
    __atomic_add_fetch(&nr_done, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void start_waiter(struct waiter *waiter, int *word, int op, int bits)
{
    *waiter = (struct waiter){.word = word, .op = op, .bits = bits};
    CHECK_EQ(pthread_create(&waiter->thread, NULL, wait_on_futex, waiter), 0);
}

static void join_waiter(struct waiter *waiter, long result)
{
    CHECK_EQ(pthread_join(waiter->thread, NULL), 0);
    CHECK_EQ(waiter->result, result);
}

/* Wakes until exactly `nr` waiters have been found: they may not all have arrived yet. */
static void wake_exactly(int *word, int nr)
{
    int woken = 0;
    while (woken < nr) {
        long n = futex(word, FUTEX_WAKE, nr - woken, NULL, NULL, 0);
        CHECK(n >= 0 && n <= nr - woken);
        woken += (int)n;
        if (woken < nr)
            cella_sleep_ms(1);
    }
}

/* The number of threads asleep on a word: requeueing them to the word itself changes nothing. */
static int nr_waiting(int *word)
{
    long n = futex(word, FUTEX_CMP_REQUEUE, 0, (void *)(long)MAX_WAITERS, word,
                   __atomic_load_n(word, __ATOMIC_SEQ_CST));
    CHECK(n >= 0);
    return (int)n;
}

static void await_waiters(int *word, int nr)
{
    while (nr_waiting(word) < nr)
        cella_sleep_ms(1);
}

TEST(futex, success, "FUTEX_WAIT sleeps until FUTEX_WAKE")
{
    static int word;
    struct waiter waiter;
    start_waiter(&waiter, &word, FUTEX_WAIT, 0);
    wake_exactly(&word, 1);
    join_waiter(&waiter, 0);
    CHECK_EQ(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
}

TEST(futex, success, "FUTEX_WAKE wakes as many as asked for and says how many")
{
    enum { NR = 5 };
    static int word;
    struct waiter waiter[NR];
    for (int i = 0; i < NR; i++)
        start_waiter(&waiter[i], &word, FUTEX_WAIT, 0);
    await_waiters(&word, NR);
    CHECK_EQ(futex(&word, FUTEX_WAKE, 2, NULL, NULL, 0), 2);
    CHECK_EQ(nr_waiting(&word), 3);
    CHECK_EQ(futex(&word, FUTEX_WAKE, 100, NULL, NULL, 0), 3);
    for (int i = 0; i < NR; i++)
        join_waiter(&waiter[i], 0);
}

TEST(futex, success, "private futexes, and shared ones across processes by file or memory")
{
    static int private_word;
    struct waiter waiter;
    start_waiter(&waiter, &private_word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0);
    while (futex(&private_word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0) == 0)
        cella_sleep_ms(1);
    join_waiter(&waiter, 0);

    int *shared = shared_memory(PAGE);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(futex(shared, FUTEX_WAIT, 0, NULL, NULL, 0), 0);
        _exit(0);
    }
    wake_exactly(shared, 1);
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(futex, success, "two mappings of one file at different addresses share their futexes")
{
    struct waiter waiter;
    cella_scratch();
    int fd = open("f", O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0);
    CHECK_OK(ftruncate(fd, PAGE));
    int *a = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int *b = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(a != MAP_FAILED && b != MAP_FAILED && a != b);
    start_waiter(&waiter, &a[5], FUTEX_WAIT, 0);
    wake_exactly(&b[5], 1);
    join_waiter(&waiter, 0);
}

TEST(futex, success, "words in one page are different futexes")
{
    static int words[2];
    struct waiter waiter;
    start_waiter(&waiter, &words[0], FUTEX_WAIT, 0);
    await_waiters(&words[0], 1);
    CHECK_EQ(futex(&words[1], FUTEX_WAKE, 100, NULL, NULL, 0), 0);
    wake_exactly(&words[0], 1);
    join_waiter(&waiter, 0);
}

TEST(futex, success, "FUTEX_REQUEUE wakes some, moves others, and counts both")
{
    enum { NR = 4 };
    static int from, to;
    struct waiter waiter[NR];
    for (int i = 0; i < NR; i++)
        start_waiter(&waiter[i], &from, FUTEX_WAIT, 0);
    await_waiters(&from, NR);
    CHECK_EQ(futex(&from, FUTEX_REQUEUE, 1, (void *)2l, &to, 0), 3);
    CHECK_EQ(nr_waiting(&from), 1);
    CHECK_EQ(nr_waiting(&to), 2);
    CHECK_EQ(futex(&to, FUTEX_WAKE, 100, NULL, NULL, 0), 2);
    CHECK_EQ(futex(&from, FUTEX_WAKE, 100, NULL, NULL, 0), 1);
    for (int i = 0; i < NR; i++)
        join_waiter(&waiter[i], 0);
}

TEST(futex, success, "FUTEX_CMP_REQUEUE does so if the word has the value")
{
    enum { NR = 4 };
    static int from, to;
    struct waiter waiter[NR];
    for (int i = 0; i < NR; i++)
        start_waiter(&waiter[i], &from, FUTEX_WAIT, 0);
    await_waiters(&from, NR);
    CHECK_EQ(futex(&from, FUTEX_CMP_REQUEUE, 1, (void *)100l, &to, 0), 4);
    CHECK_EQ(nr_waiting(&from), 0);
    CHECK_EQ(futex(&to, FUTEX_WAKE, 100, NULL, NULL, 0), 3);
    for (int i = 0; i < NR; i++)
        join_waiter(&waiter[i], 0);
}

TEST(futex, error, "FUTEX_CMP_REQUEUE answers EAGAIN when the word has another value")
{
    static int from = 3, to;
    CHECK_ERRNO(futex(&from, FUTEX_CMP_REQUEUE, 1, (void *)1l, &to, 4), EAGAIN);
    CHECK_EQ(futex(&from, FUTEX_CMP_REQUEUE, 1, (void *)1l, &to, 3), 0);
}

TEST(futex, success, "FUTEX_WAKE_OP changes the second word and wakes on it if the test holds")
{
    static int first, second;
    struct waiter waiter[2];
    second = 7;
    CHECK_EQ(futex(&first, FUTEX_WAKE_OP, 1, (void *)1l, &second,
                   FUTEX_OP(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_EQ, 7)), 0);
    CHECK_EQ(second, 12);
    CHECK_EQ(futex(&first, FUTEX_WAKE_OP, 1, (void *)1l, &second,
                   FUTEX_OP(FUTEX_OP_OR, 3, FUTEX_OP_CMP_EQ, 0)), 0);
    CHECK_EQ(second, 15);
    CHECK_EQ(futex(&first, FUTEX_WAKE_OP, 1, (void *)1l, &second,
                   FUTEX_OP(FUTEX_OP_ANDN, 6, FUTEX_OP_CMP_LT, 0)), 0);
    CHECK_EQ(second, 9);
    CHECK_EQ(futex(&first, FUTEX_WAKE_OP, 1, (void *)1l, &second,
                   FUTEX_OP(FUTEX_OP_XOR, 1, FUTEX_OP_CMP_NE, 0)), 0);
    CHECK_EQ(second, 8);
    CHECK_EQ(futex(&first, FUTEX_WAKE_OP, 1, (void *)1l, &second,
                   FUTEX_OP((FUTEX_OP_SET | FUTEX_OP_OPARG_SHIFT), 4, FUTEX_OP_CMP_GE, 0)), 0);
    CHECK_EQ(second, 16);
    first = second = 0;
    start_waiter(&waiter[0], &first, FUTEX_WAIT, 0);
    start_waiter(&waiter[1], &second, FUTEX_WAIT, 0);
    await_waiters(&first, 1);
    await_waiters(&second, 1);
    CHECK_EQ(futex(&first, FUTEX_WAKE_OP, 1, (void *)1l, &second,
                   FUTEX_OP(FUTEX_OP_SET, 1, FUTEX_OP_CMP_GT, 0)), 1);
    CHECK_EQ(second, 1);
    CHECK_EQ(futex(&first, FUTEX_WAKE_OP, 1, (void *)1l, &second,
                   FUTEX_OP(FUTEX_OP_SET, 0, FUTEX_OP_CMP_LE, 1)), 1);
    CHECK_EQ(second, 0);
    join_waiter(&waiter[0], 0);
    join_waiter(&waiter[1], 0);
}

TEST(futex, success, "FUTEX_WAKE_BITSET wakes those whose bits meet its own")
{
    static int word;
    struct waiter one, two;
    start_waiter(&one, &word, FUTEX_WAIT_BITSET, 1);
    start_waiter(&two, &word, FUTEX_WAIT_BITSET, 2);
    await_waiters(&word, 2);
    CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET, 100, NULL, NULL, 4), 0);
    CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET, 100, NULL, NULL, 2), 1);
    join_waiter(&two, 0);
    CHECK_EQ(one.done, 0);
    CHECK_EQ(futex(&word, FUTEX_WAKE, 100, NULL, NULL, 0), 1); /* plain wake meets all bits */
    join_waiter(&one, 0);
}

TEST(futex, error, "EAGAIN when the word has another value")
{
    int word = 1;
    CHECK_ERRNO(futex(&word, FUTEX_WAIT, 0, NULL, NULL, 0), EAGAIN);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET, 2, NULL, NULL, 1), EAGAIN);
}

TEST(futex, error, "EINVAL: unaligned word, no bits, bad timeout; ENOSYS: unknown operation")
{
    int words[2] = {0, 0};
    struct timespec bad = {0, 1000000000}, negative = {-1, 0};
    int *unaligned = (int *)(void *)((char *)words + 1);
    CHECK_ERRNO(futex(unaligned, FUTEX_WAIT, 0, NULL, NULL, 0), EINVAL);
    CHECK_ERRNO(futex(unaligned, FUTEX_WAKE, 1, NULL, NULL, 0), EINVAL);
    CHECK_ERRNO(futex(words, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0), EINVAL);
    CHECK_ERRNO(futex(words, FUTEX_WAKE_BITSET, 0, NULL, NULL, 0), EINVAL);
    CHECK_ERRNO(futex(words, FUTEX_WAIT, 0, &bad, NULL, 0), EINVAL);
    CHECK_ERRNO(futex(words, FUTEX_WAIT, 0, &negative, NULL, 0), EINVAL);
    CHECK_ERRNO(futex(words, FUTEX_REQUEUE, -1, (void *)1l, &words[1], 0), EINVAL);
    CHECK_ERRNO(futex(words, 99, 0, NULL, NULL, 0), ENOSYS);
    CHECK_ERRNO(futex(words, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 0, NULL, NULL, 0), ENOSYS);
}

TEST(futex, error, "EFAULT for a word or a timeout that cannot be read")
{
    int word = 0;
    CHECK_ERRNO(futex(bad_address(), FUTEX_WAIT, 0, NULL, NULL, 0), EFAULT);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT, 0, bad_address(), NULL, 0), EFAULT);
    CHECK_ERRNO(futex(bad_address(), FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 0), EFAULT);
    CHECK_ERRNO(futex(&word, FUTEX_CMP_REQUEUE, 1, (void *)1l, bad_address(), 0), EFAULT);
    CHECK_ERRNO(futex(&word, FUTEX_WAKE_OP, 1, (void *)1l, bad_address(), 0), EFAULT);
    unsigned char *none = private_pages(1, PROT_NONE);
    CHECK_ERRNO(futex((int *)(void *)none, FUTEX_WAIT, 0, NULL, NULL, 0), EFAULT);
}

TEST(futex, limit, "FUTEX_WAIT's timeout is a duration; not a moment too early")
{
    int word = 0;
    struct timespec timeout = {0, 50000000}, zero = {0, 0};
    int64_t start = clock_ns(CLOCK_MONOTONIC);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT, 0, &timeout, NULL, 0), ETIMEDOUT);
    CHECK(clock_ns(CLOCK_MONOTONIC) - start >= 50000000);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT, 0, &zero, NULL, 0), ETIMEDOUT);
}

TEST(futex, limit, "FUTEX_WAIT_BITSET's timeout is a point of the clock it names")
{
    int word = 0;
    static const int flag[] = {0, FUTEX_CLOCK_REALTIME};
    static const clockid_t clock[] = {CLOCK_MONOTONIC, CLOCK_REALTIME};
    for (int i = 0; i < 2; i++) {
        int64_t end = clock_ns(clock[i]) + 50000000;
        struct timespec at = {end / 1000000000, end % 1000000000};
        CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET | flag[i], 0, &at, NULL, ~0), ETIMEDOUT);
        CHECK(clock_ns(clock[i]) >= end);
    }
    struct timespec past = {1, 0};
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET, 0, &past, NULL, ~0), ETIMEDOUT);
}

TEST(futex, limit, "waking nobody and waking 0")
{
    static int word;
    struct waiter waiter;
    CHECK_EQ(futex(&word, FUTEX_WAKE, 100, NULL, NULL, 0), 0);
    start_waiter(&waiter, &word, FUTEX_WAIT, 0);
    await_waiters(&word, 1);
    CHECK_EQ(futex(&word, FUTEX_WAKE, -1, NULL, NULL, 0), 1); /* Linux takes it for 1 */
    join_waiter(&waiter, 0);
}

TEST(futex, interruption, "EINTR by a handler without SA_RESTART")
{
    int word = 0;
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT, 0, NULL, NULL, 0), EINTR);
    cella_ticks_stop();
}

TEST(futex, interruption, "with a timeout a handler ends the wait in spite of SA_RESTART")
{
    int word = 0;
    struct timespec timeout = {1000, 0};
    cella_ticks_start(20, SA_RESTART, NULL);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT, 0, &timeout, NULL, 0), EINTR);
    cella_ticks_stop();
}

TEST(futex, interruption, "a stop and a continuation without a handler are not noticed")
{
    int *go = shared_memory(PAGE);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        int word = 0;
        struct timespec timeout = {0, 100000000};
        int64_t start = clock_ns(CLOCK_MONOTONIC);
        set_word(go, 1);
        CHECK_ERRNO(futex(&word, FUTEX_WAIT, 0, &timeout, NULL, 0), ETIMEDOUT);
        CHECK(clock_ns(CLOCK_MONOTONIC) - start >= 100000000);
        _exit(0);
    }
    wait_for_word(go);
    cella_sleep_ms(20);
    CHECK_OK(kill(pid, SIGSTOP));
    CHECK_EQ(waitpid(pid, NULL, WUNTRACED), pid);
    CHECK_OK(kill(pid, SIGCONT));
    CHECK_EQ(cella_wait_exit(pid), 0);
}

static int handler_word;

static void release_at_third_tick(int nth)
{
    if (nth == 3) {
        set_word(&handler_word, 1);
        futex(&handler_word, FUTEX_WAKE, 1, NULL, NULL, 0);
    }
}

/* The handler interrupts the only waiter, so its wake finds nobody; the restarted wait sees the
 * new value. */
TEST(futex, interruption, "SA_RESTART compares the word again")
{
    cella_ticks_start(20, SA_RESTART, release_at_third_tick);
    CHECK_ERRNO(futex(&handler_word, FUTEX_WAIT, 0, NULL, NULL, 0), EAGAIN);
    cella_ticks_stop();
    CHECK_EQ(cella_ticks >= 3, 1);
}

/* What Linux 5.16 and later call struct futex_waitv. */
struct waitv {
    uint64_t value;
    uint64_t word;
    uint32_t flags, reserved;
};

static long futex_waitv(struct waitv *waiters, unsigned nr, const struct timespec *timeout)
{
    return syscall(SYS_futex_waitv, waiters, nr, 0, timeout, CLOCK_MONOTONIC);
}

struct waitv_thread {
    struct waitv waiters[3];
    long result;
};

static void *waitv_in_thread(void *arg)
{
    struct waitv_thread *call = arg;
    call->result = futex_waitv(call->waiters, 3, NULL);
    return NULL;
}

static void fill_waitv(struct waitv *waiters, int *words)
{
    for (int i = 0; i < 3; i++)
        waiters[i] = (struct waitv){.value = 0, .word = (uintptr_t)&words[i],
                                    .flags = FUTEX2_SIZE_U32};
}

TEST(futex_waitv, success, "answers the index of the word that was woken")
{
    static int words[3];
    static struct waitv_thread call;
    pthread_t thread;
    fill_waitv(call.waiters, words);
    CHECK_EQ(pthread_create(&thread, NULL, waitv_in_thread, &call), 0);
    while (futex(&words[2], FUTEX_WAKE, 1, NULL, NULL, 0) == 0)
        cella_sleep_ms(1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(call.result, 2);
    CHECK_EQ(futex(&words[0], FUTEX_WAKE, 1, NULL, NULL, 0), 0);
}

TEST(futex_waitv, error, "EAGAIN, EINVAL, EFAULT")
{
    int words[3] = {0, 1, 0};
    struct waitv waiters[3];
    fill_waitv(waiters, words);
    CHECK_ERRNO(futex_waitv(waiters, 3, NULL), EAGAIN);
    CHECK_ERRNO(futex_waitv(bad_address(), 3, NULL), EFAULT);
    waiters[0].reserved = 1;
    CHECK_ERRNO(futex_waitv(waiters, 3, NULL), EINVAL);
    waiters[0].reserved = 0;
    waiters[0].flags = 0x80000000;
    CHECK_ERRNO(futex_waitv(waiters, 3, NULL), EINVAL);
}

TEST(futex_waitv, limit, "1 to 128 words, and a timeout that is a point in time")
{
    int words[3] = {0, 0, 0};
    static struct waitv waiters[129];
    struct timespec past = {1, 0};
    for (int i = 0; i < 129; i += 3)
        fill_waitv(&waiters[i], words);
    CHECK_ERRNO(futex_waitv(waiters, 0, NULL), EINVAL);
    CHECK_ERRNO(futex_waitv(waiters, 129, NULL), EINVAL);
    CHECK_ERRNO(futex_waitv(waiters, 128, &past), ETIMEDOUT);
}

TEST(futex_waitv, interruption, "EINTR by a handler without SA_RESTART")
{
    int words[3] = {0, 0, 0};
    struct waitv waiters[3];
    fill_waitv(waiters, words);
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(futex_waitv(waiters, 3, NULL), EINTR);
    cella_ticks_stop();
}

TEST_MAIN()
