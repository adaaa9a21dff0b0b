/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors that stand for events: eventfd, eventfd2, timerfd_create, timerfd_settime,
 * timerfd_gettime, signalfd, signalfd4.
 */
#include "cella_file.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

static int revents_of(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
    CHECK_OK(poll(&p, 1, 0));
    return p.revents;
}

static uint64_t counter_of(int fd)
{
    uint64_t value = 0;
    CHECK_EQ(read(fd, &value, sizeof(value)), sizeof(value));
    return value;
}

static void add(int fd, uint64_t value)
{
    CHECK_EQ(write(fd, &value, sizeof(value)), sizeof(value));
}

TEST(eventfd, success, "adds what is written, tells the sum once and starts again")
{
    int fd = SYS(eventfd, 2u);
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), 0);
    add(fd, 3);
    CHECK_EQ(revents_of(fd), POLLIN | POLLOUT);
    CHECK_EQ(counter_of(fd), 5);
    CHECK_EQ(revents_of(fd), POLLOUT);
    add(fd, 0);
    CHECK_EQ(revents_of(fd), POLLOUT);
}

TEST(eventfd, success, "a write in another process wakes the reader")
{
    int fd = SYS(eventfd, 0u);
    CHECK(fd >= 0);
    pid_t pid = cella_fork();
    if (pid == 0) {
        cella_sleep_ms(30);
        add(fd, 7);
        _exit(0);
    }
    CHECK_EQ(counter_of(fd), 7);
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(eventfd, error, "buffers under 8 bytes, the value of all ones, seeking")
{
    uint64_t all = UINT64_MAX, value;
    int fd = SYS(eventfd, 1u);
    CHECK_ERRNO(read(fd, &value, 7), EINVAL);
    CHECK_ERRNO(write(fd, &value, 7), EINVAL);
    CHECK_ERRNO(write(fd, &all, 8), EINVAL);
    CHECK_ERRNO(pread(fd, &value, 8, 0), ESPIPE);
    CHECK_EQ(counter_of(fd), 1);
}

TEST(eventfd, interruption, "a signal ends a blocked read and a blocked write with EINTR")
{
    uint64_t value = 1;
    int fd = SYS(eventfd, 0u);
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(read(fd, &value, 8), EINTR);
    add(fd, UINT64_MAX - 1);
    value = 1;
    CHECK_ERRNO(write(fd, &value, 8), EINTR);
    cella_ticks_stop();
}

TEST(eventfd, limit, "the counter ends at all ones less one; RLIMIT_NOFILE answers EMFILE")
{
    uint64_t one = 1;
    int fd = SYS(eventfd, ~0u);
    cella_set_nonblocking(fd, true);
    add(fd, UINT64_MAX - 1 - 0xffffffff);
    CHECK_EQ(revents_of(fd), POLLIN);
    CHECK_ERRNO(write(fd, &one, 8), EAGAIN);
    CHECK(counter_of(fd) == UINT64_MAX - 1);
    cella_limit_fds(0);
    CHECK_ERRNO(SYS(eventfd, 0u), EMFILE);
}

TEST(eventfd2, success, "EFD_SEMAPHORE gives one at a time; the other flags are the descriptor's")
{
    uint64_t value;
    int fd = SYS(eventfd2, 2u, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    CHECK_EQ(counter_of(fd), 1);
    CHECK_EQ(counter_of(fd), 1);
    CHECK_ERRNO(read(fd, &value, 8), EAGAIN);
}

TEST(eventfd2, error, "unknown flags EINVAL")
{
    CHECK_ERRNO(SYS(eventfd2, 0u, 2), EINVAL);
    CHECK_ERRNO(SYS(eventfd2, 0u, O_APPEND), EINVAL);
}

TEST(eventfd2, limit, "RLIMIT_NOFILE answers EMFILE; the first value has 32 bits")
{
    int fd = SYS(eventfd2, -1L, 0);
    CHECK_EQ(counter_of(fd), 0xffffffff);
    cella_limit_fds(0);
    CHECK_ERRNO(SYS(eventfd2, 0u, 0), EMFILE);
}

static struct itimerspec after_ms(long ms, long interval_ms)
{
    return (struct itimerspec){.it_value = {ms / 1000, ms % 1000 * 1000000},
                               .it_interval = {interval_ms / 1000, interval_ms % 1000 * 1000000}};
}

static int timer(int flags)
{
    int fd = SYS(timerfd_create, CLOCK_MONOTONIC, flags);
    CHECK(fd >= 0);
    return fd;
}

static void set_timer(int fd, long ms, long interval_ms)
{
    struct itimerspec spec = after_ms(ms, interval_ms);
    CHECK_EQ(SYS(timerfd_settime, fd, 0, &spec, NULL), 0);
}

TEST(timerfd_create, success, "makes a stopped timer on either clock, with the flags asked")
{
    uint64_t value;
    int fd = SYS(timerfd_create, CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(read(fd, &value, 8), EAGAIN);
    CHECK_EQ(revents_of(fd), 0);
    CHECK_OK(SYS(timerfd_create, CLOCK_BOOTTIME, 0));
    CHECK_EQ(fcntl(timer(0), F_GETFD), 0);
}

TEST(timerfd_create, error, "unknown clocks and flags EINVAL")
{
    CHECK_ERRNO(SYS(timerfd_create, 99, 0), EINVAL);
    CHECK_ERRNO(SYS(timerfd_create, CLOCK_PROCESS_CPUTIME_ID, 0), EINVAL);
    CHECK_ERRNO(SYS(timerfd_create, CLOCK_MONOTONIC, 1), EINVAL);
}

TEST(timerfd_create, limit, "RLIMIT_NOFILE answers EMFILE")
{
    cella_limit_fds(0);
    CHECK_ERRNO(SYS(timerfd_create, CLOCK_MONOTONIC, 0), EMFILE);
}

TEST(timerfd_settime, success, "fires once after the time, not earlier")
{
    uint64_t value;
    int fd = timer(TFD_NONBLOCK);
    long long start = cella_now_ms();
    set_timer(fd, 50, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    CHECK_EQ(poll(&p, 1, 10000), 1);
    CHECK(cella_now_ms() - start >= 49); /* the clock's milliseconds are cut off */
    CHECK_EQ(counter_of(fd), 1);
    CHECK_ERRNO(read(fd, &value, 8), EAGAIN);
}

TEST(timerfd_settime, success, "with an interval it goes on and counts what was not read")
{
    int fd = timer(0);
    set_timer(fd, 10, 10);
    CHECK(counter_of(fd) >= 1);
    cella_sleep_ms(55);
    CHECK(counter_of(fd) >= 4);
    CHECK(counter_of(fd) >= 1);
}

TEST(timerfd_settime, success, "TFD_TIMER_ABSTIME: a time past fires at once; zero stops the timer")
{
    uint64_t value;
    struct itimerspec spec = {.it_value = {0, 1}}, old;
    int fd = timer(TFD_NONBLOCK);
    CHECK_EQ(SYS(timerfd_settime, fd, TFD_TIMER_ABSTIME, &spec, NULL), 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    CHECK_EQ(poll(&p, 1, 10000), 1);
    CHECK_EQ(counter_of(fd), 1);
    set_timer(fd, 100000, 7000);
    spec = after_ms(0, 0);
    CHECK_EQ(SYS(timerfd_settime, fd, 0, &spec, &old), 0);
    CHECK(old.it_value.tv_sec >= 90 && old.it_value.tv_sec <= 100);
    CHECK(old.it_interval.tv_sec == 7 && old.it_interval.tv_nsec == 0);
    CHECK_ERRNO(read(fd, &value, 8), EAGAIN);
}

TEST(timerfd_settime, error, "closed, no timer, out of range, unknown flags, bad memory")
{
    struct itimerspec spec = after_ms(10, 0), high = {.it_value = {1, 1000000000}};
    struct itimerspec negative = {.it_value = {-1, 0}};
    int fd = timer(0);
    CHECK_ERRNO(SYS(timerfd_settime, CELLA_NO_FD, 0, &spec, NULL), EBADF);
    CHECK_ERRNO(SYS(timerfd_settime, cella_open("/", O_RDONLY), 0, &spec, NULL), EINVAL);
    CHECK_ERRNO(SYS(timerfd_settime, fd, 0, &high, NULL), EINVAL);
    CHECK_ERRNO(SYS(timerfd_settime, fd, 0, &negative, NULL), EINVAL);
    CHECK_ERRNO(SYS(timerfd_settime, fd, 0x100, &spec, NULL), EINVAL);
    CHECK_ERRNO(SYS(timerfd_settime, fd, 0, cella_bad_address(), NULL), EFAULT);
    CHECK_ERRNO(SYS(timerfd_settime, fd, 0, NULL, NULL), EFAULT);
}

TEST(timerfd_settime, error, "a read into under 8 bytes answers EINVAL, a write too")
{
    char buf[8] = {1};
    int fd = timer(0);
    set_timer(fd, 1, 0);
    CHECK_ERRNO(read(fd, buf, 7), EINVAL);
    CHECK_ERRNO(write(fd, buf, 8), EINVAL);
    CHECK_EQ(counter_of(fd), 1);
}

TEST(timerfd_settime, interruption, "a signal ends the wait for the timer with EINTR")
{
    uint64_t value;
    int fd = timer(0);
    set_timer(fd, 100000, 0);
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(read(fd, &value, 8), EINTR);
    cella_ticks_stop();
}

TEST(timerfd_settime, limit, "a time far beyond all clocks is taken and does not fire")
{
    uint64_t value;
    struct itimerspec spec = {.it_value = {INT64_MAX, 999999999}}, rest;
    int fd = timer(TFD_NONBLOCK);
    CHECK_EQ(SYS(timerfd_settime, fd, 0, &spec, NULL), 0);
    CHECK_EQ(SYS(timerfd_gettime, fd, &rest), 0);
    CHECK(rest.it_value.tv_sec > 1000000000);
    CHECK_ERRNO(read(fd, &value, 8), EAGAIN);
}

TEST(timerfd_gettime, success, "tells the time left and the interval, and zero when stopped")
{
    struct itimerspec rest;
    int fd = timer(0);
    memset(&rest, 0xff, sizeof(rest));
    CHECK_EQ(SYS(timerfd_gettime, fd, &rest), 0);
    CHECK(rest.it_value.tv_sec == 0 && rest.it_value.tv_nsec == 0);
    CHECK(rest.it_interval.tv_sec == 0 && rest.it_interval.tv_nsec == 0);
    set_timer(fd, 100000, 2500);
    CHECK_EQ(SYS(timerfd_gettime, fd, &rest), 0);
    CHECK(rest.it_value.tv_sec >= 90 && rest.it_value.tv_sec <= 100);
    CHECK(rest.it_interval.tv_sec == 2 && rest.it_interval.tv_nsec == 500000000);
}

TEST(timerfd_gettime, error, "closed, no timer, bad memory")
{
    struct itimerspec rest;
    CHECK_ERRNO(SYS(timerfd_gettime, CELLA_NO_FD, &rest), EBADF);
    CHECK_ERRNO(SYS(timerfd_gettime, cella_open("/", O_RDONLY), &rest), EINVAL);
    CHECK_ERRNO(SYS(timerfd_gettime, timer(0), cella_bad_address()), EFAULT);
}

TEST(timerfd_gettime, limit, "a timer that fired once is stopped, even before it is read")
{
    struct itimerspec rest;
    int fd = timer(0);
    set_timer(fd, 1, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    CHECK_EQ(poll(&p, 1, 10000), 1);
    CHECK_EQ(SYS(timerfd_gettime, fd, &rest), 0);
    CHECK(rest.it_value.tv_sec == 0 && rest.it_value.tv_nsec == 0);
    CHECK_EQ(counter_of(fd), 1);
}

static uint64_t bit(int sig)
{
    return 1ull << (sig - 1);
}

/* Blocks these signals, so that they wait for the descriptor. */
static void block(uint64_t mask)
{
    CHECK_OK(SYS(rt_sigprocmask, SIG_BLOCK, &mask, NULL, 8));
}

static int signal_fd(uint64_t mask, int flags)
{
    int fd = SYS(signalfd4, -1, &mask, 8, flags);
    CHECK(fd >= 0);
    return fd;
}

TEST(signalfd, success, "tells number, code and sender of a blocked signal, which is then gone")
{
    struct signalfd_siginfo info;
    uint64_t mask = bit(SIGUSR1), pending;
    block(mask);
    int fd = SYS(signalfd, -1, &mask, 8);
    CHECK(fd >= 0);
    CHECK_EQ(revents_of(fd), 0);
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(revents_of(fd), POLLIN);
    CHECK_EQ(read(fd, &info, sizeof(info)), 128);
    CHECK(info.ssi_signo == SIGUSR1 && info.ssi_code == SI_USER);
    CHECK(info.ssi_pid == (uint32_t)getpid() && info.ssi_uid == getuid());
    CHECK_OK(SYS(rt_sigpending, &pending, 8));
    CHECK_EQ(pending & mask, 0);
}

TEST(signalfd, success, "a new mask for an open descriptor replaces the old")
{
    struct signalfd_siginfo info;
    uint64_t one = bit(SIGUSR1), two = bit(SIGUSR2);
    block(one | two);
    int fd = signal_fd(one, SFD_NONBLOCK);
    CHECK_EQ(SYS(signalfd, fd, &two, 8), fd);
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_ERRNO(read(fd, &info, sizeof(info)), EAGAIN);
    CHECK_OK(kill(getpid(), SIGUSR2));
    CHECK_EQ(read(fd, &info, sizeof(info)), 128);
    CHECK_EQ(info.ssi_signo, SIGUSR2);
}

TEST(signalfd, error, "closed, another kind of descriptor, mask of another size, bad memory")
{
    uint64_t mask = bit(SIGUSR1);
    CHECK_ERRNO(SYS(signalfd, CELLA_NO_FD, &mask, 8), EBADF);
    CHECK_ERRNO(SYS(signalfd, cella_open("/", O_RDONLY), &mask, 8), EINVAL);
    CHECK_ERRNO(SYS(signalfd, -1, &mask, 4), EINVAL);
    CHECK_ERRNO(SYS(signalfd, -1, cella_bad_address(), 8), EFAULT);
}

TEST(signalfd, interruption, "a signal that is not in the mask ends the read with EINTR")
{
    struct signalfd_siginfo info;
    uint64_t mask = bit(SIGUSR1);
    block(mask);
    int fd = SYS(signalfd, -1, &mask, 8);
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(read(fd, &info, sizeof(info)), EINTR);
    cella_ticks_stop();
}

TEST(signalfd, limit, "SIGKILL and SIGSTOP in the mask are ignored; RLIMIT_NOFILE answers EMFILE")
{
    uint64_t all = ~0ull;
    int fd = SYS(signalfd, -1, &all, 8);
    CHECK(fd >= 0);
    pid_t pid = cella_fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_EQ(cella_wait_exit(pid), -1);
    cella_limit_fds(0);
    CHECK_ERRNO(SYS(signalfd, -1, &all, 8), EMFILE);
}

TEST(signalfd4, success, "several queued signals come in one read, with the values sent")
{
    struct signalfd_siginfo info[4];
    union sigval value = {.sival_int = 41};
    uint64_t mask = bit(SIGUSR1) | bit(SIGRTMIN);
    block(mask);
    int fd = signal_fd(mask, SFD_CLOEXEC | SFD_NONBLOCK);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_OK(sigqueue(getpid(), SIGRTMIN, value));
    value.sival_int = 42;
    CHECK_OK(sigqueue(getpid(), SIGRTMIN, value));
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_OK(kill(getpid(), SIGUSR1)); /* not a real-time signal: it queues once */
    CHECK_EQ(read(fd, info, sizeof(info)), 3 * 128);
    CHECK_EQ(info[0].ssi_signo, SIGUSR1);
    CHECK(info[1].ssi_signo == (uint32_t)SIGRTMIN && info[1].ssi_code == SI_QUEUE);
    CHECK(info[1].ssi_int == 41 && info[2].ssi_int == 42);
    CHECK_ERRNO(read(fd, info, sizeof(info)), EAGAIN);
}

TEST(signalfd4, success, "the end of a child is told with its status")
{
    struct signalfd_siginfo info;
    block(bit(SIGCHLD));
    int fd = signal_fd(bit(SIGCHLD), 0);
    pid_t pid = cella_fork();
    if (pid == 0)
        _exit(7);
    CHECK_EQ(read(fd, &info, sizeof(info)), 128);
    CHECK(info.ssi_signo == SIGCHLD && info.ssi_code == CLD_EXITED);
    CHECK(info.ssi_pid == (uint32_t)pid && info.ssi_status == 7);
    CHECK_EQ(cella_wait_exit(pid), 7);
}

TEST(signalfd4, error, "unknown flags, mask of another size")
{
    uint64_t mask = bit(SIGUSR1);
    CHECK_ERRNO(SYS(signalfd4, -1, &mask, 8, 1), EINVAL);
    CHECK_ERRNO(SYS(signalfd4, -1, &mask, 16, 0), EINVAL);
    CHECK_ERRNO(SYS(signalfd4, CELLA_NO_FD, &mask, 8, 0), EBADF);
}

TEST(signalfd4, interruption, "a signal that is not in the mask ends the read with EINTR")
{
    struct signalfd_siginfo info;
    block(bit(SIGUSR1));
    int fd = signal_fd(bit(SIGUSR1), 0);
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(read(fd, &info, sizeof(info)), EINTR);
    cella_ticks_stop();
}

TEST(signalfd4, limit, "a read of under 128 bytes answers EINVAL, of 255 tells one signal")
{
    char buf[256];
    uint64_t mask = bit(SIGUSR1) | bit(SIGUSR2);
    block(mask);
    int fd = signal_fd(mask, 0);
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_OK(kill(getpid(), SIGUSR2));
    CHECK_ERRNO(read(fd, buf, 127), EINVAL);
    CHECK_EQ(read(fd, buf, 255), 128);
    CHECK_EQ(read(fd, buf, 256), 128);
}

TEST_MAIN()
