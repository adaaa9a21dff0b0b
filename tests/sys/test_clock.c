/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks and sleeping: clock_gettime and its relatives, nanosleep, clock_nanosleep. */
#include "cella_proc.h"

#define SECOND 1000000000ll
#define MS 1000000ll

enum { NO_SUCH_PID = 1 << 27 };

/* Clock ids of another process or thread: the complement of its id, and the kind of clock. */
static clockid_t cpu_clock_of_process(pid_t pid)
{
    return (clockid_t)((~(unsigned)pid << 3) | 2);
}

static int64_t ns_of(struct timespec at)
{
    return (int64_t)at.tv_sec * SECOND + at.tv_nsec;
}

static struct timespec timespec_of(int64_t ns)
{
    struct timespec at = {ns / SECOND, ns % SECOND};
    return at;
}

static void burn(clockid_t clock, int64_t ns)
{
    int64_t end = clock_ns(clock) + ns;
    while (clock_ns(clock) < end)
        ;
}

TEST(clock_gettime, success, "every clock answers, and those that must not go back do not")
{
    static const clockid_t clocks[] = {
        CLOCK_REALTIME,         CLOCK_MONOTONIC,          CLOCK_PROCESS_CPUTIME_ID,
        CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW,     CLOCK_REALTIME_COARSE,
        CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME,           CLOCK_TAI};
    for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        struct timespec at = {-1, -1};
        CHECK_EQ(syscall(SYS_clock_gettime, clocks[i], &at), 0);
        CHECK(at.tv_sec >= 0 && at.tv_nsec >= 0 && at.tv_nsec < SECOND);
        int64_t last = ns_of(at);
        bool settable = clocks[i] == CLOCK_REALTIME || clocks[i] == CLOCK_TAI ||
                        clocks[i] == CLOCK_REALTIME_COARSE;
        for (int n = 0; n < 1000 && !settable; n++) {
            int64_t now = clock_ns(clocks[i]);
            CHECK(now >= last);
            last = now;
        }
    }
}

TEST(clock_gettime, success, "libc's call (by the vDSO, if there is one) and the kernel's agree")
{
    static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW,
                                       CLOCK_BOOTTIME};
    for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        for (int n = 0; n < 100; n++) {
            struct timespec middle;
            int64_t before = clock_ns(clocks[i]);
            CHECK_OK(clock_gettime(clocks[i], &middle));
            int64_t after = clock_ns(clocks[i]);
            CHECK(before <= ns_of(middle) && ns_of(middle) <= after);
        }
    }
}

TEST(clock_gettime, success, "the wall clock is after 2023, and the coarse clocks are close")
{
    CHECK(clock_ns(CLOCK_REALTIME) > 1672531200ll * SECOND);
    int64_t coarse = clock_ns(CLOCK_MONOTONIC_COARSE), fine = clock_ns(CLOCK_MONOTONIC);
    CHECK(coarse <= fine);
    CHECK(fine - coarse < SECOND);
    CHECK(clock_ns(CLOCK_BOOTTIME) >= clock_ns(CLOCK_MONOTONIC) - MS);
}

static void *note_thread_time(void *arg)
{
    burn(CLOCK_THREAD_CPUTIME_ID, 40 * MS);
    *(int64_t *)arg = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    return NULL;
}

TEST(clock_gettime, success, "CPU time: sleep does not count, a thread's is part of the process'")
{
    pthread_t thread;
    int64_t other = 0;
    int64_t before = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    cella_sleep_ms(50);
    CHECK(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - before < 40 * MS);
    CHECK_EQ(pthread_create(&thread, NULL, note_thread_time, &other), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK(other >= 40 * MS);
    CHECK(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - before >= other);
    CHECK(clock_ns(CLOCK_THREAD_CPUTIME_ID) < 40 * MS);
}

TEST(clock_gettime, success, "another process' CPU clock can be read")
{
    int *go = shared_memory(PAGE);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        burn(CLOCK_PROCESS_CPUTIME_ID, 30 * MS);
        set_word(go, 1);
        for (;;)
            pause();
    }
    wait_for_word(go);
    CHECK(clock_ns(cpu_clock_of_process(pid)) >= 30 * MS);
    end_child(pid);
}

TEST(clock_gettime, error, "EINVAL, EFAULT")
{
    struct timespec at;
    CHECK_ERRNO(syscall(SYS_clock_gettime, 77, &at), EINVAL);
    CHECK_ERRNO(syscall(SYS_clock_gettime, cpu_clock_of_process(NO_SUCH_PID), &at), EINVAL);
    CHECK_ERRNO(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, bad_address()), EFAULT);
}

TEST(clock_gettime, limit, "stores across the end of a page")
{
    unsigned char *pages = private_pages(2, PROT_READ | PROT_WRITE);
    struct timespec at;
    CHECK_EQ(syscall(SYS_clock_gettime, CLOCK_REALTIME, pages + PAGE - 8), 0);
    memcpy(&at, pages + PAGE - 8, sizeof(at));
    CHECK(at.tv_sec > 1672531200 && at.tv_nsec >= 0 && at.tv_nsec < SECOND);
    CHECK_OK(mprotect(pages + PAGE, PAGE, PROT_NONE));
    CHECK_ERRNO(syscall(SYS_clock_gettime, CLOCK_REALTIME, pages + PAGE - 8), EFAULT);
}

TEST(clock_getres, success, "a nanosecond for the fine clocks, a tick for the coarse ones")
{
    static const clockid_t fine[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME,
                                     CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
    struct timespec res;
    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
        res = (struct timespec){9, 9};
        CHECK_EQ(syscall(SYS_clock_getres, fine[i], &res), 0);
        CHECK_EQ(ns_of(res), 1);
    }
    CHECK_EQ(syscall(SYS_clock_getres, CLOCK_MONOTONIC_COARSE, &res), 0);
    CHECK(ns_of(res) >= MS && ns_of(res) <= 10 * MS);
}

TEST(clock_getres, error, "EINVAL, EFAULT")
{
    struct timespec res;
    CHECK_ERRNO(syscall(SYS_clock_getres, 77, &res), EINVAL);
    CHECK_ERRNO(syscall(SYS_clock_getres, CLOCK_MONOTONIC, bad_address()), EFAULT);
}

TEST(clock_getres, limit, "NULL only asks whether the clock exists")
{
    CHECK_EQ(syscall(SYS_clock_getres, CLOCK_MONOTONIC, NULL), 0);
    CHECK_ERRNO(syscall(SYS_clock_getres, 77, NULL), EINVAL);
}

/* The host's wall clock is not the test's to change, so only refusals are tried. */
TEST(clock_settime, error, "EPERM for an ordinary user")
{
    struct timespec at = {1700000000, 0};
    cella_drop_root();
    CHECK_ERRNO(syscall(SYS_clock_settime, CLOCK_REALTIME, &at), EPERM);
}

TEST(clock_settime, error, "EINVAL for a clock that cannot be set, EFAULT")
{
    struct timespec at = {1700000000, 0};
    CHECK_ERRNO(syscall(SYS_clock_settime, CLOCK_MONOTONIC, &at), EINVAL);
    CHECK_ERRNO(syscall(SYS_clock_settime, CLOCK_BOOTTIME, &at), EINVAL);
    CHECK_ERRNO(syscall(SYS_clock_settime, 77, &at), EINVAL);
    CHECK_ERRNO(syscall(SYS_clock_settime, CLOCK_REALTIME, bad_address()), EFAULT);
}

TEST(clock_settime, limit, "EINVAL for nanoseconds out of range, whoever asks")
{
    struct timespec at = {1700000000, SECOND};
    CHECK_ERRNO(syscall(SYS_clock_settime, CLOCK_REALTIME, &at), EINVAL);
    at = (struct timespec){-1, 0};
    CHECK_ERRNO(syscall(SYS_clock_settime, CLOCK_REALTIME, &at), EINVAL);
}

TEST(gettimeofday, success, "is CLOCK_REALTIME in microseconds")
{
    struct timeval at = {-1, -1};
    int64_t before = clock_ns(CLOCK_REALTIME) / 1000;
    CHECK_EQ(syscall(SYS_gettimeofday, &at, NULL), 0);
    int64_t after = clock_ns(CLOCK_REALTIME) / 1000;
    int64_t us = (int64_t)at.tv_sec * 1000000 + at.tv_usec;
    CHECK(before <= us && us <= after);
    CHECK(at.tv_usec >= 0 && at.tv_usec < 1000000);
}

TEST(gettimeofday, error, "EFAULT")
{
    CHECK_ERRNO(syscall(SYS_gettimeofday, bad_address(), NULL), EFAULT);
    CHECK_ERRNO(syscall(SYS_gettimeofday, NULL, bad_address()), EFAULT);
}

TEST(gettimeofday, limit, "NULL is allowed; the time zone is stored")
{
    int zone[2] = {12345, 12345};
    CHECK_EQ(syscall(SYS_gettimeofday, NULL, NULL), 0);
    CHECK_EQ(syscall(SYS_gettimeofday, NULL, zone), 0);
    CHECK(zone[0] != 12345 && zone[1] != 12345);
}

TEST(time, success, "is the wall clock's second, answered and stored")
{
    long stored = 0;
    int64_t before = clock_ns(CLOCK_REALTIME_COARSE) / SECOND;
    long now = syscall(SYS_time, &stored);
    int64_t after = clock_ns(CLOCK_REALTIME) / SECOND;
    CHECK(before <= now && now <= after);
    CHECK_EQ(stored, now);
}

TEST(time, error, "EFAULT")
{
    CHECK_ERRNO(syscall(SYS_time, bad_address()), EFAULT);
}

TEST(time, limit, "NULL is allowed")
{
    CHECK(syscall(SYS_time, NULL) > 1672531200);
}

TEST(nanosleep, success, "sleeps at least as long as asked")
{
    struct timespec wanted = {0, 30 * MS}, left = {77, 77};
    int64_t start = clock_ns(CLOCK_MONOTONIC);
    CHECK_EQ(syscall(SYS_nanosleep, &wanted, &left), 0);
    CHECK(clock_ns(CLOCK_MONOTONIC) - start >= 30 * MS);
    CHECK_EQ(left.tv_sec, 77); /* stored only when interrupted */
}

TEST(nanosleep, error, "EINVAL for a time out of range, EFAULT")
{
    struct timespec bad = {0, SECOND};
    CHECK_ERRNO(syscall(SYS_nanosleep, &bad, NULL), EINVAL);
    bad = (struct timespec){0, -1};
    CHECK_ERRNO(syscall(SYS_nanosleep, &bad, NULL), EINVAL);
    bad = (struct timespec){-1, 0};
    CHECK_ERRNO(syscall(SYS_nanosleep, &bad, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_nanosleep, bad_address(), NULL), EFAULT);
}

TEST(nanosleep, limit, "zero returns at once")
{
    struct timespec zero = {0, 0};
    CHECK_EQ(syscall(SYS_nanosleep, &zero, NULL), 0);
}

TEST(nanosleep, interruption, "EINTR with what is left, SA_RESTART or not; the sum is not shorter")
{
    int nr_interruptions = 0;
    cella_ticks_start(20, SA_RESTART, NULL);
    /* Should the machine stand still for the whole sleep, no tick comes within it: once more. */
    while (nr_interruptions == 0) {
        struct timespec wanted = {0, 120 * MS}, left = {77, 77};
        int64_t start = clock_ns(CLOCK_MONOTONIC);
        while (syscall(SYS_nanosleep, &wanted, &left) == -1) {
            CHECK_EQ(errno, EINTR);
            CHECK(ns_of(left) <= ns_of(wanted));
            wanted = left;
            nr_interruptions++;
        }
        CHECK(clock_ns(CLOCK_MONOTONIC) - start >= 120 * MS);
    }
    cella_ticks_stop();
}

/* Runs `sleep` in a child that is stopped and continued meanwhile. */
static void check_stop_is_not_noticed(void (*sleep)(void))
{
    int *go = shared_memory(PAGE);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        set_word(go, 1);
        sleep();
        _exit(0);
    }
    wait_for_word(go);
    cella_sleep_ms(20);
    CHECK_OK(kill(pid, SIGSTOP));
    CHECK_EQ(waitpid(pid, NULL, WUNTRACED), pid);
    CHECK_OK(kill(pid, SIGCONT));
    CHECK_EQ(cella_wait_exit(pid), 0);
}

static void nanosleep_for_a_while(void)
{
    struct timespec wanted = {0, 100 * MS};
    int64_t start = clock_ns(CLOCK_MONOTONIC);
    CHECK_EQ(syscall(SYS_nanosleep, &wanted, NULL), 0);
    CHECK(clock_ns(CLOCK_MONOTONIC) - start >= 100 * MS);
}

TEST(nanosleep, interruption, "a stop and a continuation are not noticed")
{
    check_stop_is_not_noticed(nanosleep_for_a_while);
}

TEST(clock_nanosleep, success, "relative and absolute, by every clock that can")
{
    static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI};
    for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        struct timespec wanted = {0, 20 * MS};
        int64_t start = clock_ns(clocks[i]);
        CHECK_EQ(syscall(SYS_clock_nanosleep, clocks[i], 0, &wanted, NULL), 0);
        CHECK(clock_ns(clocks[i]) - start >= 20 * MS);
        int64_t end = clock_ns(clocks[i]) + 20 * MS;
        wanted = timespec_of(end);
        CHECK_EQ(syscall(SYS_clock_nanosleep, clocks[i], TIMER_ABSTIME, &wanted, NULL), 0);
        CHECK(clock_ns(clocks[i]) >= end);
    }
}

TEST(clock_nanosleep, error, "EINVAL, EOPNOTSUPP, EFAULT")
{
    struct timespec wanted = {0, 1}, bad = {0, SECOND};
    CHECK_ERRNO(syscall(SYS_clock_nanosleep, 77, 0, &wanted, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &bad, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &wanted, 0), EOPNOTSUPP);
    CHECK_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC_COARSE, 0, &wanted, 0), EOPNOTSUPP);
    CHECK_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, bad_address(), NULL), EFAULT);
}

TEST(clock_nanosleep, limit, "a point in the past returns at once")
{
    struct timespec past = {1, 0};
    CHECK_EQ(syscall(SYS_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, &past, NULL), 0);
    past = (struct timespec){0, 0};
    CHECK_EQ(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &past, NULL), 0);
}

TEST(clock_nanosleep, interruption, "relative: EINTR with what is left, SA_RESTART or not")
{
    struct timespec wanted = {1000, 0}, left = {0, 0};
    cella_ticks_start(20, SA_RESTART, NULL);
    CHECK_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &wanted, &left), EINTR);
    cella_ticks_stop();
    CHECK(left.tv_sec >= 900 && left.tv_sec <= 1000);
}

TEST(clock_nanosleep, interruption, "absolute: EINTR, SA_RESTART or not; nothing is stored as left")
{
    struct timespec wanted = timespec_of(clock_ns(CLOCK_MONOTONIC) + 1000 * SECOND);
    struct timespec left = {77, 77};
    for (int restart = 0; restart < 2; restart++) {
        cella_ticks_start(20, restart ? SA_RESTART : 0, NULL);
        CHECK_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &wanted, &left),
                    EINTR);
        cella_ticks_stop();
    }
    CHECK_EQ(left.tv_sec, 77);
}

static void sleep_until(void)
{
    int64_t end = clock_ns(CLOCK_REALTIME) + 100 * MS;
    struct timespec wanted = timespec_of(end);
    CHECK_EQ(syscall(SYS_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, &wanted, NULL), 0);
    CHECK(clock_ns(CLOCK_REALTIME) >= end);
}

TEST(clock_nanosleep, interruption, "a stop and a continuation are not noticed")
{
    check_stop_is_not_noticed(sleep_until);
}

TEST_MAIN()
