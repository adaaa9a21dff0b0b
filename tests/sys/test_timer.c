/* SPDX-License-Identifier: Apache-2.0 */
/* alarm, the interval timers, and POSIX timers. */
#include "cella_proc.h"

#include <limits.h>

#define SECOND 1000000000ll
#define MS 1000000ll

static volatile sig_atomic_t nr_rings;
static volatile int ring_code, ring_value, ring_overrun, ring_tid;

static void ring(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    ring_code = info->si_code;
    ring_value = info->si_value.sival_int;
    ring_overrun = info->si_overrun;
    ring_tid = (int)syscall(SYS_gettid);
    nr_rings = nr_rings + 1;
}

/* Blocks `sig`, so that wait_ring is the only place where its handler runs. */
static void expect_ring(int sig)
{
    set_handler(sig, ring, 0);
    change_mask(SIG_BLOCK, sig);
}

static void wait_ring(int sig)
{
    sigset_t mask;
    int before = nr_rings;
    CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &mask));
    sigdelset(&mask, sig);
    while (nr_rings == before)
        sigsuspend(&mask);
}

static long raw_setitimer(int which, int64_t value_us, int64_t interval_us)
{
    struct itimerval set = {{interval_us / 1000000, interval_us % 1000000},
                            {value_us / 1000000, value_us % 1000000}};
    return syscall(SYS_setitimer, which, &set, NULL);
}


TEST(alarm, success, "SIGALRM after the seconds, not before")
{
    int64_t start = clock_ns(CLOCK_MONOTONIC);
    expect_ring(SIGALRM);
    CHECK_EQ(syscall(SYS_alarm, 1), 0);
    wait_ring(SIGALRM);
    CHECK(clock_ns(CLOCK_MONOTONIC) - start >= SECOND);
    CHECK_EQ(ring_code, SI_KERNEL);
    CHECK_EQ(syscall(SYS_alarm, 0), 0);
}

TEST(alarm, success, "answers what was left of the former one, rounded to the next second")
{
    CHECK_EQ(syscall(SYS_alarm, 1000), 0);
    long left = syscall(SYS_alarm, 500);
    CHECK(left >= 980 && left <= 1000);
    left = syscall(SYS_alarm, 0);
    CHECK(left >= 480 && left <= 500);
    CHECK_EQ(syscall(SYS_alarm, 0), 0);
    CHECK_EQ(raw_setitimer(ITIMER_REAL, 100000, 0), 0); /* the same timer */
    CHECK_EQ(syscall(SYS_alarm, 0), 1); /* a tenth is not nothing */
}

TEST(alarm, error, "never fails; without a handler it ends the process")
{
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(raw_setitimer(ITIMER_REAL, 10000, 0), 0);
        for (;;)
            pause();
    }
    CHECK_EQ(wait_signal(pid), SIGALRM);
}

TEST(alarm, limit, "the largest value is accepted")
{
    CHECK_EQ(syscall(SYS_alarm, UINT_MAX), 0);
    CHECK(syscall(SYS_alarm, 0) > 1000000);
}

TEST(setitimer, success, "ITIMER_REAL rings once, or again and again")
{
    expect_ring(SIGALRM);
    int64_t start = clock_ns(CLOCK_MONOTONIC);
    CHECK_EQ(raw_setitimer(ITIMER_REAL, 30000, 20000), 0);
    for (int i = 0; i < 3; i++)
        wait_ring(SIGALRM);
    CHECK(clock_ns(CLOCK_MONOTONIC) - start >= 70 * MS);
    CHECK_EQ(raw_setitimer(ITIMER_REAL, 0, 0), 0);
    cella_sleep_ms(60);
    sigset_t pending;
    CHECK_OK(sigpending(&pending));
    int rings = nr_rings;
    if (sigismember(&pending, SIGALRM)) /* one may have come before the stop */
        wait_ring(SIGALRM);
    CHECK(nr_rings <= rings + 1);
}

TEST(setitimer, success, "ITIMER_VIRTUAL and ITIMER_PROF count the time that the process computes")
{
    static const int which[] = {ITIMER_VIRTUAL, ITIMER_PROF};
    static const int sig[] = {SIGVTALRM, SIGPROF};
    for (int i = 0; i < 2; i++) {
        set_handler(sig[i], ring, 0);
        nr_rings = 0;
        CHECK_EQ(raw_setitimer(which[i], 50000, 0), 0);
        cella_sleep_ms(100); /* time asleep does not count */
        CHECK_EQ(nr_rings, 0);
        int64_t start = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
        while (nr_rings == 0 && clock_ns(CLOCK_PROCESS_CPUTIME_ID) - start < 5 * SECOND)
            for (volatile int spin = 0; spin < 100000; spin++)
                ;
        CHECK_EQ(nr_rings, 1);
    }
}

TEST(setitimer, error, "EINVAL, EFAULT")
{
    CHECK_ERRNO(raw_setitimer(3, 1, 1), EINVAL);
    CHECK_ERRNO(raw_setitimer(-1, 1, 1), EINVAL);
    struct itimerval bad = {{0, 0}, {0, 1000000}};
    CHECK_ERRNO(syscall(SYS_setitimer, ITIMER_REAL, &bad, NULL), EINVAL);
    bad = (struct itimerval){{0, 0}, {-1, 0}};
    CHECK_ERRNO(syscall(SYS_setitimer, ITIMER_REAL, &bad, NULL), EINVAL);
    bad = (struct itimerval){{0, -1}, {1, 0}};
    CHECK_ERRNO(syscall(SYS_setitimer, ITIMER_REAL, &bad, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_setitimer, ITIMER_REAL, bad_address(), NULL), EFAULT);
}

TEST(setitimer, limit, "the shortest time rings; the old value comes back")
{
    struct itimerval set = {{7, 5}, {1000, 0}}, old = {{9, 9}, {9, 9}};
    CHECK_EQ(syscall(SYS_setitimer, ITIMER_REAL, &set, &old), 0);
    CHECK_EQ(old.it_value.tv_sec + old.it_value.tv_usec, 0);
    set = (struct itimerval){{0, 0}, {0, 1}};
    expect_ring(SIGALRM);
    CHECK_EQ(syscall(SYS_setitimer, ITIMER_REAL, &set, &old), 0);
    CHECK(old.it_value.tv_sec >= 980 && old.it_value.tv_sec <= 1000);
    CHECK_EQ(old.it_interval.tv_sec, 7);
    CHECK_EQ(old.it_interval.tv_usec, 5);
    wait_ring(SIGALRM);
}

TEST(getitimer, success, "shows what is left and the interval")
{
    struct itimerval now;
    CHECK_EQ(raw_setitimer(ITIMER_REAL, 100 * 1000000ll, 3000000), 0);
    CHECK_EQ(syscall(SYS_getitimer, ITIMER_REAL, &now), 0);
    CHECK(now.it_value.tv_sec >= 90 && now.it_value.tv_sec <= 100);
    CHECK_EQ(now.it_interval.tv_sec, 3);
    CHECK_EQ(syscall(SYS_getitimer, ITIMER_PROF, &now), 0);
    CHECK_EQ(now.it_value.tv_sec, 0);
}

TEST(getitimer, error, "EINVAL, EFAULT")
{
    struct itimerval now;
    CHECK_ERRNO(syscall(SYS_getitimer, 3, &now), EINVAL);
    CHECK_ERRNO(syscall(SYS_getitimer, ITIMER_REAL, bad_address()), EFAULT);
}

TEST(getitimer, limit, "a timer that has rung shows zero")
{
    struct itimerval now = {{1, 1}, {1, 1}};
    expect_ring(SIGALRM);
    CHECK_EQ(raw_setitimer(ITIMER_REAL, 1000, 0), 0);
    wait_ring(SIGALRM);
    CHECK_EQ(syscall(SYS_getitimer, ITIMER_REAL, &now), 0);
    CHECK_EQ(now.it_value.tv_sec + now.it_value.tv_usec, 0);
    CHECK_EQ(now.it_interval.tv_sec + now.it_interval.tv_usec, 0);
}

/* The raw calls: timer ids are small numbers. */
static int create_timer(clockid_t clock, int notify, int sig, int value, pid_t tid)
{
    struct sigevent event;
    int id = -1;
    memset(&event, 0, sizeof(event));
    event.sigev_notify = notify;
    event.sigev_signo = sig;
    event.sigev_value.sival_int = value;
    event._sigev_un._tid = tid;
    CHECK_EQ(syscall(SYS_timer_create, clock, &event, &id), 0);
    CHECK(id >= 0);
    return id;
}

static struct itimerspec spec_of(int64_t value_ns, int64_t interval_ns)
{
    struct itimerspec spec = {{interval_ns / SECOND, interval_ns % SECOND},
                              {value_ns / SECOND, value_ns % SECOND}};
    return spec;
}

static void arm(int id, int flags, int64_t value_ns, int64_t interval_ns)
{
    struct itimerspec spec = spec_of(value_ns, interval_ns);
    CHECK_EQ(syscall(SYS_timer_settime, id, flags, &spec, NULL), 0);
}

static int64_t left_ns(int id)
{
    struct itimerspec now;
    CHECK_EQ(syscall(SYS_timer_gettime, id, &now), 0);
    return now.it_value.tv_sec * SECOND + now.it_value.tv_nsec;
}

TEST(timer_create, success, "SIGEV_SIGNAL carries its value, with SI_TIMER")
{
    expect_ring(SIGUSR1);
    int id = create_timer(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 4711, 0);
    arm(id, 0, 10 * MS, 0);
    wait_ring(SIGUSR1);
    CHECK_EQ(ring_code, SI_TIMER);
    CHECK_EQ(ring_value, 4711);
    CHECK_EQ(ring_overrun, 0);
    CHECK_EQ(left_ns(id), 0);
}

TEST(timer_create, success, "without an event it is SIGALRM with the timer's id")
{
    int id = -1;
    expect_ring(SIGALRM);
    CHECK_EQ(syscall(SYS_timer_create, CLOCK_REALTIME, NULL, &id), 0);
    arm(id, 0, 10 * MS, 0);
    wait_ring(SIGALRM);
    CHECK_EQ(ring_value, id);
}

static int thread_quits;

static void *take_signals(void *tid)
{
    change_mask(SIG_UNBLOCK, SIGUSR2);
    set_word(tid, (int)syscall(SYS_gettid));
    while (!__atomic_load_n(&thread_quits, __ATOMIC_SEQ_CST))
        cella_sleep_ms(1);
    return NULL;
}

TEST(timer_create, success, "SIGEV_THREAD_ID rings in the thread it names")
{
    static int tid;
    pthread_t thread;
    set_handler(SIGUSR2, ring, SA_RESTART);
    CHECK_EQ(pthread_create(&thread, NULL, take_signals, &tid), 0);
    wait_for_word(&tid);
    int id = create_timer(CLOCK_MONOTONIC, SIGEV_THREAD_ID | SIGEV_SIGNAL, SIGUSR2, 1, tid);
    arm(id, 0, 10 * MS, 0);
    while (nr_rings == 0)
        cella_sleep_ms(1);
    CHECK_EQ(ring_tid, tid);
    set_word(&thread_quits, 1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

TEST(timer_create, success, "the clocks of CPU time ring while the process computes")
{
    static const clockid_t clock[] = {CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
    for (int i = 0; i < 2; i++) {
        set_handler(SIGUSR1, ring, 0);
        nr_rings = 0;
        int id = create_timer(clock[i], SIGEV_SIGNAL, SIGUSR1, i, 0);
        arm(id, 0, 30 * MS, 0);
        int64_t start = clock_ns(clock[i]);
        while (nr_rings == 0 && clock_ns(clock[i]) - start < 5 * SECOND)
            for (volatile int spin = 0; spin < 10000; spin++)
                ;
        CHECK_EQ(nr_rings, 1);
        CHECK_EQ(ring_value, i);
    }
}

TEST(timer_create, error, "EINVAL, EFAULT")
{
    struct sigevent event;
    int id;
    memset(&event, 0, sizeof(event));
    event.sigev_signo = SIGUSR1;
    CHECK_ERRNO(syscall(SYS_timer_create, 77, &event, &id), EINVAL);
    event.sigev_notify = 77;
    CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id), EINVAL);
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = 65;
    CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id), EINVAL);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGUSR1;
    event._sigev_un._tid = 1 << 29;
    CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id), EINVAL);
    CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, bad_address(), &id), EFAULT);
    CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, bad_address()), EFAULT);
}

TEST(timer_create, limit, "a hundred timers at once; a child inherits none")
{
    enum { NR = 100 };
    int id[NR];
    for (int i = 0; i < NR; i++) {
        id[i] = create_timer(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0);
        for (int j = 0; j < i; j++)
            CHECK(id[i] != id[j]);
    }
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct itimerspec now;
        for (int i = 0; i < NR; i++)
            CHECK_ERRNO(syscall(SYS_timer_gettime, id[i], &now), EINVAL);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(timer_settime, success, "relative and absolute times, and the interval")
{
    expect_ring(SIGUSR1);
    int id = create_timer(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 0, 0);
    int64_t start = clock_ns(CLOCK_MONOTONIC);
    arm(id, 0, 20 * MS, 15 * MS);
    for (int i = 0; i < 3; i++)
        wait_ring(SIGUSR1);
    CHECK(clock_ns(CLOCK_MONOTONIC) - start >= 50 * MS);
    arm(id, 0, 0, 0);
    struct timespec none = {0, 0};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigtimedwait(&set, NULL, &none); /* one that the interval had still sent */
    int64_t end = clock_ns(CLOCK_MONOTONIC) + 20 * MS;
    arm(id, TIMER_ABSTIME, end, 0);
    wait_ring(SIGUSR1);
    CHECK(clock_ns(CLOCK_MONOTONIC) >= end);
}

TEST(timer_settime, error, "EINVAL, EFAULT")
{
    int id = create_timer(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0);
    struct itimerspec spec = spec_of(SECOND, 0);
    CHECK_ERRNO(syscall(SYS_timer_settime, 99999, 0, &spec, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_timer_settime, id, 0, NULL, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_timer_settime, id, 0, bad_address(), NULL), EFAULT);
    spec.it_value.tv_nsec = SECOND;
    CHECK_ERRNO(syscall(SYS_timer_settime, id, 0, &spec, NULL), EINVAL);
    spec = spec_of(SECOND, 0);
    spec.it_value.tv_sec = -1;
    CHECK_ERRNO(syscall(SYS_timer_settime, id, 0, &spec, NULL), EINVAL);
}

TEST(timer_settime, limit, "a time in the past rings at once; zero stops; the old value comes back")
{
    struct itimerspec old, spec = spec_of(1, 0);
    expect_ring(SIGUSR1);
    int id = create_timer(CLOCK_REALTIME, SIGEV_SIGNAL, SIGUSR1, 0, 0);
    arm(id, 0, 1000 * SECOND, 5 * SECOND);
    CHECK_EQ(syscall(SYS_timer_settime, id, TIMER_ABSTIME, &spec, &old), 0);
    CHECK(old.it_value.tv_sec >= 900 && old.it_value.tv_sec <= 1000);
    CHECK_EQ(old.it_interval.tv_sec, 5);
    wait_ring(SIGUSR1);
    arm(id, 0, 1000 * SECOND, 0);
    arm(id, 0, 0, 0);
    CHECK_EQ(left_ns(id), 0);
}

TEST(timer_gettime, success, "shows what is left, relative even for an absolute setting")
{
    int id = create_timer(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0);
    arm(id, TIMER_ABSTIME, clock_ns(CLOCK_MONOTONIC) + 1000 * SECOND, 0);
    CHECK(left_ns(id) > 900 * SECOND);
    CHECK(left_ns(id) <= 1000 * SECOND);
}

TEST(timer_gettime, error, "EINVAL, EFAULT")
{
    struct itimerspec now;
    int id = create_timer(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0);
    CHECK_ERRNO(syscall(SYS_timer_gettime, 99999, &now), EINVAL);
    CHECK_ERRNO(syscall(SYS_timer_gettime, id, bad_address()), EFAULT);
}

TEST(timer_gettime, limit, "a SIGEV_NONE timer runs out silently, or shows its next period")
{
    struct itimerspec now;
    int id = create_timer(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0);
    arm(id, 0, 5 * MS, 0);
    cella_sleep_ms(20);
    CHECK_EQ(left_ns(id), 0);
    arm(id, 0, 5 * MS, 1000 * SECOND);
    cella_sleep_ms(20);
    CHECK_EQ(syscall(SYS_timer_gettime, id, &now), 0);
    CHECK(now.it_value.tv_sec >= 900);
    CHECK_EQ(now.it_interval.tv_sec, 1000);
}

TEST(timer_getoverrun, success, "counts the periods that passed before the signal was taken")
{
    expect_ring(SIGUSR1);
    int id = create_timer(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 0, 0);
    arm(id, 0, 5 * MS, 5 * MS);
    cella_sleep_ms(60);
    wait_ring(SIGUSR1);
    CHECK(ring_overrun >= 8);
    CHECK(syscall(SYS_timer_getoverrun, id) >= 8);
}

TEST(timer_getoverrun, error, "EINVAL")
{
    CHECK_ERRNO(syscall(SYS_timer_getoverrun, 99999), EINVAL);
    CHECK_ERRNO(syscall(SYS_timer_getoverrun, -1), EINVAL);
}

TEST(timer_getoverrun, limit, "0 for a timer that has not rung, and for one taken in time")
{
    expect_ring(SIGUSR1);
    int id = create_timer(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 0, 0);
    CHECK_EQ(syscall(SYS_timer_getoverrun, id), 0);
    arm(id, 0, MS, 0);
    wait_ring(SIGUSR1);
    CHECK_EQ(syscall(SYS_timer_getoverrun, id), 0);
}

TEST(timer_delete, success, "the timer does not ring any more, and its id is gone")
{
    struct itimerspec now;
    expect_ring(SIGUSR1);
    int id = create_timer(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 0, 0);
    arm(id, 0, 30 * MS, 30 * MS);
    CHECK_EQ(syscall(SYS_timer_delete, id), 0);
    CHECK_ERRNO(syscall(SYS_timer_gettime, id, &now), EINVAL);
    cella_sleep_ms(50);
    CHECK_EQ(nr_rings, 0);
}

TEST(timer_delete, error, "EINVAL, also the second time")
{
    int id = create_timer(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0);
    CHECK_EQ(syscall(SYS_timer_delete, id), 0);
    CHECK_ERRNO(syscall(SYS_timer_delete, id), EINVAL);
    CHECK_ERRNO(syscall(SYS_timer_delete, 99999), EINVAL);
}

TEST(timer_delete, limit, "a thousand timers made and deleted in turn")
{
    for (int i = 0; i < 1000; i++) {
        int id = create_timer(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 0, 0);
        arm(id, 0, 1000 * SECOND, 0);
        CHECK_EQ(syscall(SYS_timer_delete, id), 0);
    }
}

TEST_MAIN()
