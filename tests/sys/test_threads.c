/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What thread libraries stand on: priority-inheritance futexes, robust lists, membarrier, rseq, and
 * the POSIX objects built from them.
 */
#include "cella_proc.h"

#include <linux/futex.h>
#include <linux/membarrier.h>
#include <linux/rseq.h>
#include <sched.h>

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif

static long futex_pi(unsigned *word, int op, const struct timespec *timeout)
{
    return syscall(SYS_futex, word, op, 0, timeout, NULL, 0);
}

static unsigned own_tid(void)
{
    return (unsigned)syscall(SYS_gettid);
}

/* A thread that takes a lock, says so, and lets go when told. */
struct holder {
    unsigned word;
    unsigned tid;
    int holds, release;
};

static void *hold_lock(void *arg)
{
    struct holder *holder = arg;
    holder->tid = own_tid();
    CHECK_EQ(futex_pi(&holder->word, FUTEX_LOCK_PI, NULL), 0);
    set_word(&holder->holds, 1);
    wait_for_word(&holder->release);
    CHECK_EQ(futex_pi(&holder->word, FUTEX_UNLOCK_PI, NULL), 0);
    return NULL;
}

static pthread_t start_holder(struct holder *holder)
{
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, hold_lock, holder), 0);
    wait_for_word(&holder->holds);
    return thread;
}

static void end_holder(struct holder *holder, pthread_t thread)
{
    set_word(&holder->release, 1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

TEST(futex, success, "FUTEX_LOCK_PI, TRYLOCK_PI and UNLOCK_PI keep the owner's id in the word")
{
    unsigned word = 0;
    CHECK_EQ(futex_pi(&word, FUTEX_LOCK_PI, NULL), 0);
    CHECK_EQ(word, own_tid());
    CHECK_EQ(futex_pi(&word, FUTEX_UNLOCK_PI, NULL), 0);
    CHECK_EQ(word, 0);
    CHECK_EQ(futex_pi(&word, FUTEX_TRYLOCK_PI, NULL), 0);
    CHECK_EQ(word & FUTEX_TID_MASK, own_tid());
    CHECK_EQ(futex_pi(&word, FUTEX_UNLOCK_PI, NULL), 0);
}

TEST(futex, success, "FUTEX_LOCK_PI waits for the owner, and the word says that somebody waits")
{
    static struct holder holder;
    pthread_t thread = start_holder(&holder);
    CHECK_EQ(holder.word, holder.tid);
    CHECK_ERRNO(futex_pi(&holder.word, FUTEX_TRYLOCK_PI, NULL), EAGAIN);
    set_word(&holder.release, 1);
    CHECK_EQ(futex_pi(&holder.word, FUTEX_LOCK_PI, NULL), 0);
    CHECK_EQ(holder.word & FUTEX_TID_MASK, own_tid());
    CHECK_EQ(futex_pi(&holder.word, FUTEX_UNLOCK_PI, NULL), 0);
    CHECK_EQ(holder.word, 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

TEST(futex, error, "FUTEX_LOCK_PI: EDEADLK for one's own lock, ESRCH for a dead owner, EFAULT")
{
    unsigned word = own_tid();
    CHECK_ERRNO(futex_pi(&word, FUTEX_LOCK_PI, NULL), EDEADLK);
    word = 0x3fffffff;
    CHECK_ERRNO(futex_pi(&word, FUTEX_LOCK_PI, NULL), ESRCH);
    CHECK_ERRNO(futex_pi(bad_address(), FUTEX_LOCK_PI, NULL), EFAULT);
}

TEST(futex, error, "FUTEX_UNLOCK_PI by another than the owner is EPERM")
{
    static struct holder holder;
    pthread_t thread = start_holder(&holder);
    CHECK_ERRNO(futex_pi(&holder.word, FUTEX_UNLOCK_PI, NULL), EPERM);
    end_holder(&holder, thread);
}

TEST(futex, limit, "FUTEX_LOCK_PI's timeout is a point of CLOCK_REALTIME")
{
    static struct holder holder;
    pthread_t thread = start_holder(&holder);
    int64_t end = clock_ns(CLOCK_REALTIME) + 30000000;
    struct timespec at = {end / 1000000000, end % 1000000000};
    CHECK_ERRNO(futex_pi(&holder.word, FUTEX_LOCK_PI, &at), ETIMEDOUT);
    CHECK(clock_ns(CLOCK_REALTIME) >= end);
    CHECK_EQ(holder.word & FUTEX_TID_MASK, holder.tid);
    end_holder(&holder, thread);
}

TEST(set_robust_list, success, "a dead owner's lock is marked and its waiter woken")
{
    pthread_mutex_t *mutex = shared_memory(PAGE);
    pthread_mutexattr_t attributes;
    CHECK_EQ(pthread_mutexattr_init(&attributes), 0);
    CHECK_EQ(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST), 0);
    CHECK_EQ(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED), 0);
    CHECK_EQ(pthread_mutex_init(mutex, &attributes), 0);
    int *holds = shared_memory(PAGE);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(pthread_mutex_lock(mutex), 0);
        set_word(holds, 1);
        cella_sleep_ms(20); /* so that the parent's lock is likely to wait */
        _exit(0);
    }
    wait_for_word(holds);
    CHECK_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
    CHECK_EQ(pthread_mutex_consistent(mutex), 0);
    CHECK_EQ(pthread_mutex_unlock(mutex), 0);
    CHECK_EQ(cella_wait_exit(pid), 0);
}

/* One lock with its list entry, laid out as the kernel reads it. */
struct robust_lock {
    struct robust_list entry;
    unsigned word;
};

TEST(set_robust_list, success, "walks a list of the program's own at the thread's end")
{
    struct robust_lock *locks = shared_memory(PAGE);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        static struct robust_list_head head;
        unsigned tid = own_tid();
        head.futex_offset = offsetof(struct robust_lock, word);
        head.list.next = &locks[0].entry;
        locks[0].entry.next = &locks[1].entry;
        locks[1].entry.next = &locks[2].entry;
        locks[2].entry.next = &head.list;
        locks[0].word = tid;
        locks[1].word = tid | FUTEX_WAITERS;
        locks[2].word = tid + 1; /* another's: stays */
        locks[3].word = tid; /* not yet in the list, but about to be */
        head.list_op_pending = &locks[3].entry;
        CHECK_EQ(syscall(SYS_set_robust_list, &head, sizeof(head)), 0);
        locks[4].word = tid;
        syscall(SYS_exit, 0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_EQ(locks[0].word, FUTEX_OWNER_DIED);
    CHECK_EQ(locks[1].word, FUTEX_OWNER_DIED | FUTEX_WAITERS);
    CHECK_EQ(locks[2].word, pid + 1);
    CHECK_EQ(locks[3].word, FUTEX_OWNER_DIED);
    CHECK_EQ(locks[4].word, pid);
}

TEST(set_robust_list, error, "EINVAL for another size than the head's")
{
    struct robust_list_head head;
    CHECK_ERRNO(syscall(SYS_set_robust_list, &head, sizeof(head) - 1), EINVAL);
    CHECK_ERRNO(syscall(SYS_set_robust_list, &head, 0), EINVAL);
}

TEST(set_robust_list, limit, "a list that never ends or leads nowhere does not stop the exit")
{
    for (int broken = 0; broken < 2; broken++) {
        pid_t pid = cella_fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            static struct robust_list_head head;
            static struct robust_lock lock;
            head.futex_offset = offsetof(struct robust_lock, word);
            head.list.next = &lock.entry;
            lock.entry.next = broken ? bad_address() : &lock.entry;
            CHECK_EQ(syscall(SYS_set_robust_list, &head, sizeof(head)), 0);
            _exit(5);
        }
        CHECK_EQ(cella_wait_exit(pid), 5);
    }
}

TEST(get_robust_list, success, "answers what was set")
{
    static struct robust_list_head head = {.list = {&head.list}};
    struct robust_list_head *got = NULL;
    size_t len = 0;
    CHECK_EQ(syscall(SYS_set_robust_list, &head, sizeof(head)), 0);
    CHECK_EQ(syscall(SYS_get_robust_list, 0, &got, &len), 0);
    CHECK(got == &head);
    CHECK_EQ(len, sizeof(head));
    CHECK_EQ(syscall(SYS_get_robust_list, getpid(), &got, &len), 0);
    CHECK(got == &head);
}

TEST(get_robust_list, error, "ESRCH, EFAULT")
{
    struct robust_list_head *got;
    size_t len;
    CHECK_ERRNO(syscall(SYS_get_robust_list, 0x3fffffff, &got, &len), ESRCH);
    CHECK_ERRNO(syscall(SYS_get_robust_list, 0, bad_address(), &len), EFAULT);
    CHECK_ERRNO(syscall(SYS_get_robust_list, 0, &got, bad_address()), EFAULT);
}

TEST(get_robust_list, limit, "a forked child starts without a list")
{
    pid_t pid = (pid_t)syscall(SYS_fork); /* glibc's fork registers its own list again */
    CHECK(pid >= 0);
    if (pid == 0) {
        struct robust_list_head *got = bad_address();
        size_t len;
        CHECK_EQ(syscall(SYS_get_robust_list, 0, &got, &len), 0);
        CHECK(got == NULL);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
}

static long membarrier(int command, unsigned flags)
{
    return syscall(SYS_membarrier, command, flags, 0);
}

TEST(membarrier, success, "private expedited barriers work once they are registered")
{
    long commands = membarrier(MEMBARRIER_CMD_QUERY, 0);
    CHECK(commands > 0);
    CHECK(commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    CHECK(commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE);
    CHECK_EQ(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0), 0);
    CHECK_EQ(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0), 0);
    CHECK_EQ(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0), 0);
    CHECK_EQ(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0), 0);
}

TEST(membarrier, error, "EPERM when not registered, EINVAL for unknown commands and flags")
{
    CHECK_ERRNO(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0), EPERM);
    CHECK_ERRNO(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0), EPERM);
    CHECK_ERRNO(membarrier(1 << 30, 0), EINVAL);
    CHECK_ERRNO(membarrier(MEMBARRIER_CMD_QUERY, 1), EINVAL);
}

TEST(membarrier, limit, "registering twice is the same as once, and a forked child keeps it")
{
    CHECK_EQ(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0), 0);
    CHECK_EQ(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0), 0);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0), 0);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
}

/* glibc has registered the main thread; a raw thread of our own is not. */
struct rseq_result {
    long first, second, wrong_length, wrong_signature, unregister;
    unsigned cpu, cpu_id;
    int done;
};

static struct rseq thread_rseq __attribute__((aligned(32)));
enum { RSEQ_LEN = 32, RSEQ_SIGNATURE = 0x53053053 };

static long rseq(struct rseq *area, unsigned len, int flags, unsigned signature)
{
    return syscall(SYS_rseq, area, len, flags, signature) == -1 ? -errno : 0;
}

static int register_rseq(void *arg)
{
    struct rseq_result *result = arg;
    thread_rseq.cpu_id = (unsigned)RSEQ_CPU_ID_UNINITIALIZED;
    result->first = rseq(&thread_rseq, RSEQ_LEN, 0, RSEQ_SIGNATURE);
    syscall(SYS_getcpu, &result->cpu, NULL, NULL);
    result->cpu_id = thread_rseq.cpu_id;
    result->second = rseq(&thread_rseq, RSEQ_LEN, 0, RSEQ_SIGNATURE);
    result->wrong_length = rseq(&thread_rseq, 64, 0, RSEQ_SIGNATURE);
    result->wrong_signature = rseq(&thread_rseq, RSEQ_LEN, RSEQ_FLAG_UNREGISTER, 1);
    result->unregister = rseq(&thread_rseq, RSEQ_LEN, RSEQ_FLAG_UNREGISTER, RSEQ_SIGNATURE);
    set_word(&result->done, 1);
    syscall(SYS_exit, 0);
    return 0;
}

static struct rseq_result *run_rseq_thread(void)
{
    static unsigned char stack[65536] __attribute__((aligned(16)));
    static struct rseq_result result;
    static cpu_set_t one;
    unsigned cpu;
    CHECK_OK(syscall(SYS_getcpu, &cpu, NULL, NULL));
    CPU_SET(cpu, &one);
    CHECK_OK(sched_setaffinity(0, sizeof(one), &one)); /* so that both ids must agree */
    CHECK(clone(register_rseq, stack + sizeof(stack),
                CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, &result) > 0);
    wait_for_word(&result.done);
    return &result;
}

TEST(rseq, success, "a registered area holds the CPU's number")
{
    struct rseq_result *result = run_rseq_thread();
    CHECK_EQ(result->first, 0);
    CHECK_EQ(result->cpu_id, result->cpu);
    CHECK_EQ(result->unregister, 0);
    CHECK_EQ(thread_rseq.cpu_id, (unsigned)RSEQ_CPU_ID_UNINITIALIZED);
}

TEST(rseq, error, "EBUSY for a second registration, EPERM for a wrong signature, EINVAL")
{
    struct rseq_result *result = run_rseq_thread();
    CHECK_EQ(result->second, -EBUSY);
    CHECK_EQ(result->wrong_length, -EINVAL);
    CHECK_EQ(result->wrong_signature, -EPERM);
    static struct rseq other __attribute__((aligned(32)));
    CHECK_EQ(rseq(&other, RSEQ_LEN, RSEQ_FLAG_UNREGISTER, RSEQ_SIGNATURE), -EINVAL);
    CHECK_EQ(rseq(&other, RSEQ_LEN, 2, RSEQ_SIGNATURE), -EINVAL);
}

TEST(rseq, limit, "the main thread's area is glibc's: another one is EINVAL")
{
    static struct rseq other __attribute__((aligned(32)));
    CHECK_EQ(rseq(&other, RSEQ_LEN, 0, RSEQ_SIGNATURE), -EINVAL);
}

enum { NR_THREADS = 8, NR_ROUNDS = 2000 };

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    int turn;
    long sum;
} ring = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};

static void *take_turns(void *arg)
{
    int mine = (int)(long)arg;
    for (int i = 0; i < 100; i++) {
        pthread_mutex_lock(&ring.mutex);
        while (ring.turn != mine)
            pthread_cond_wait(&ring.cond, &ring.mutex);
        ring.sum = ring.sum * 31 + mine;
        ring.turn = (mine + 1) % NR_THREADS;
        pthread_cond_broadcast(&ring.cond);
        pthread_mutex_unlock(&ring.mutex);
    }
    return NULL;
}

TEST(futex, success, "eight threads pass a turn round by mutex and condition variable")
{
    pthread_t thread[NR_THREADS];
    for (long i = 0; i < NR_THREADS; i++)
        CHECK_EQ(pthread_create(&thread[i], NULL, take_turns, (void *)i), 0);
    for (int i = 0; i < NR_THREADS; i++)
        CHECK_EQ(pthread_join(thread[i], NULL), 0);
    unsigned long wanted = 0;
    for (int i = 0; i < 100 * NR_THREADS; i++)
        wanted = wanted * 31 + (unsigned long)(i % NR_THREADS);
    CHECK_EQ((unsigned long)ring.sum, wanted);
}

static pthread_barrier_t barrier;
static long shared_count;

static void *count_between_barriers(void *arg)
{
    pthread_mutex_t *mutex = arg;
    for (int i = 0; i < NR_ROUNDS / 100; i++) {
        pthread_barrier_wait(&barrier);
        for (int j = 0; j < 100; j++) {
            pthread_mutex_lock(mutex);
            shared_count++;
            pthread_mutex_unlock(mutex);
        }
    }
    return NULL;
}

TEST(futex, success, "eight threads behind a barrier count without losing one")
{
    pthread_mutexattr_t attributes;
    pthread_mutex_t plain = PTHREAD_MUTEX_INITIALIZER, inheriting;
    CHECK_EQ(pthread_mutexattr_init(&attributes), 0);
    CHECK_EQ(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT), 0);
    CHECK_EQ(pthread_mutex_init(&inheriting, &attributes), 0);
    pthread_mutex_t *mutexes[] = {&plain, &inheriting};
    for (int m = 0; m < 2; m++) {
        pthread_t thread[NR_THREADS];
        shared_count = 0;
        CHECK_EQ(pthread_barrier_init(&barrier, NULL, NR_THREADS), 0);
        for (int i = 0; i < NR_THREADS; i++)
            CHECK_EQ(pthread_create(&thread[i], NULL, count_between_barriers, mutexes[m]), 0);
        for (int i = 0; i < NR_THREADS; i++)
            CHECK_EQ(pthread_join(thread[i], NULL), 0);
        CHECK_EQ(shared_count, (long)NR_THREADS * NR_ROUNDS);
    }
}

TEST_MAIN()
