/* SPDX-License-Identifier: Apache-2.0 */
/* epoll_create, epoll_create1, epoll_ctl, epoll_wait, epoll_pwait, epoll_pwait2. */
#include "cella_file.h"

#include <limits.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

static int new_epoll(void)
{
    int ep = SYS(epoll_create1, 0);
    CHECK(ep >= 0);
    return ep;
}

static long ctl(int ep, int op, int fd, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.u64 = 0x123456789abcdef0ull + (unsigned)fd};
    return SYS(epoll_ctl, ep, op, fd, &ev);
}

/* The events of the one descriptor that is ready without waiting, 0 if none is. */
static uint32_t ready(int ep)
{
    struct epoll_event ev[2];
    long n = SYS(epoll_wait, ep, ev, 2, 0);
    CHECK(n == 0 || n == 1);
    return n ? ev[0].events : 0;
}

static int new_event(unsigned value)
{
    int fd = eventfd(value, EFD_NONBLOCK);
    CHECK(fd >= 0);
    return fd;
}

static void add_one(int fd)
{
    uint64_t one = 1;
    CHECK_EQ(write(fd, &one, 8), 8);
}

static void take(int fd)
{
    uint64_t value;
    CHECK_EQ(read(fd, &value, 8), 8);
}

TEST(epoll_create, success, "takes any positive size and makes an empty set")
{
    int ep = SYS(epoll_create, 1);
    CHECK(ep >= 0);
    CHECK_EQ(fcntl(ep, F_GETFD), 0);
    CHECK_EQ(ready(ep), 0);
    CHECK_OK(SYS(epoll_create, INT_MAX));
}

TEST(epoll_create, error, "sizes of zero and below answer EINVAL")
{
    CHECK_ERRNO(SYS(epoll_create, 0), EINVAL);
    CHECK_ERRNO(SYS(epoll_create, -1), EINVAL);
}

TEST(epoll_create, limit, "RLIMIT_NOFILE answers EMFILE")
{
    cella_limit_fds(1);
    CHECK_OK(SYS(epoll_create, 1));
    CHECK_ERRNO(SYS(epoll_create, 1), EMFILE);
}

TEST(epoll_create1, success, "EPOLL_CLOEXEC sets close-on-exec")
{
    CHECK_EQ(fcntl(SYS(epoll_create1, EPOLL_CLOEXEC), F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(SYS(epoll_create1, 0), F_GETFD), 0);
}

TEST(epoll_create1, error, "unknown flags answer EINVAL")
{
    CHECK_ERRNO(SYS(epoll_create1, 1), EINVAL);
    CHECK_ERRNO(SYS(epoll_create1, O_NONBLOCK), EINVAL);
}

TEST(epoll_create1, limit, "RLIMIT_NOFILE answers EMFILE")
{
    cella_limit_fds(0);
    CHECK_ERRNO(SYS(epoll_create1, 0), EMFILE);
}

TEST(epoll_ctl, success, "adds, changes and removes; what is ready already is told at once")
{
    int ep = new_epoll(), fd = new_event(1);
    CHECK_EQ(ctl(ep, EPOLL_CTL_ADD, fd, EPOLLIN), 0);
    CHECK_EQ(ready(ep), EPOLLIN);
    CHECK_EQ(ctl(ep, EPOLL_CTL_MOD, fd, EPOLLOUT), 0);
    CHECK_EQ(ready(ep), EPOLLOUT);
    CHECK_EQ(ctl(ep, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT), 0);
    CHECK_EQ(ready(ep), EPOLLIN | EPOLLOUT);
    CHECK_EQ(ctl(ep, EPOLL_CTL_MOD, fd, 0), 0);
    CHECK_EQ(ready(ep), 0);
    CHECK_EQ(SYS(epoll_ctl, ep, EPOLL_CTL_DEL, fd, NULL), 0);
    CHECK_EQ(ctl(ep, EPOLL_CTL_ADD, fd, EPOLLIN), 0);
}

TEST(epoll_ctl, success, "EPOLLET tells a change once, EPOLLONESHOT once until armed again")
{
    int ep = new_epoll(), fd = new_event(1);
    CHECK_EQ(ctl(ep, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET), 0);
    CHECK_EQ(ready(ep), EPOLLIN);
    CHECK_EQ(ready(ep), 0);
    add_one(fd);
    CHECK_EQ(ready(ep), EPOLLIN);
    CHECK_EQ(ready(ep), 0);
    CHECK_EQ(ctl(ep, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLONESHOT), 0);
    CHECK_EQ(ready(ep), EPOLLIN);
    add_one(fd);
    CHECK_EQ(ready(ep), 0);
    CHECK_EQ(ctl(ep, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLONESHOT), 0);
    CHECK_EQ(ready(ep), EPOLLIN);
}

TEST(epoll_ctl, success, "an epoll within another is ready when it has something")
{
    int inner = new_epoll(), outer = new_epoll(), fd = new_event(0);
    CHECK_EQ(ctl(inner, EPOLL_CTL_ADD, fd, EPOLLIN), 0);
    CHECK_EQ(ctl(outer, EPOLL_CTL_ADD, inner, EPOLLIN), 0);
    CHECK_EQ(ready(outer), 0);
    add_one(fd);
    CHECK_EQ(ready(outer), EPOLLIN);
    take(fd);
    CHECK_EQ(ready(outer), 0);
}

TEST(epoll_ctl, success, "the open file is watched: it goes with its last descriptor")
{
    int ep = new_epoll(), fd = new_event(1), copy = dup(fd);
    CHECK_EQ(ctl(ep, EPOLL_CTL_ADD, fd, EPOLLIN), 0);
    CHECK_EQ(ctl(ep, EPOLL_CTL_ADD, copy, EPOLLIN), 0);
    CHECK_EQ(SYS(epoll_ctl, ep, EPOLL_CTL_DEL, copy, NULL), 0);
    CHECK_OK(close(fd));
    CHECK_EQ(ready(ep), EPOLLIN);
    CHECK_OK(close(copy));
    CHECK_EQ(ready(ep), 0);
}

TEST(epoll_ctl, error, "there already, not there, closed, no epoll, itself, unknown operation")
{
    int ep = new_epoll(), fd = new_event(0), other = new_event(0);
    CHECK_EQ(ctl(ep, EPOLL_CTL_ADD, fd, EPOLLIN), 0);
    CHECK_ERRNO(ctl(ep, EPOLL_CTL_ADD, fd, EPOLLOUT), EEXIST);
    CHECK_ERRNO(ctl(ep, EPOLL_CTL_MOD, other, EPOLLIN), ENOENT);
    CHECK_ERRNO(ctl(ep, EPOLL_CTL_DEL, other, 0), ENOENT);
    CHECK_ERRNO(ctl(ep, EPOLL_CTL_ADD, CELLA_NO_FD, EPOLLIN), EBADF);
    CHECK_ERRNO(ctl(CELLA_NO_FD, EPOLL_CTL_ADD, fd, EPOLLIN), EBADF);
    CHECK_ERRNO(ctl(fd, EPOLL_CTL_ADD, other, EPOLLIN), EINVAL);
    CHECK_ERRNO(ctl(ep, EPOLL_CTL_ADD, ep, EPOLLIN), EINVAL);
    CHECK_ERRNO(ctl(ep, 99, fd, EPOLLIN), EINVAL);
    CHECK_ERRNO(SYS(epoll_ctl, ep, EPOLL_CTL_ADD, other, cella_bad_address()), EFAULT);
}

TEST(epoll_ctl, error, "files and directories cannot be watched")
{
    int ep = new_epoll();
    cella_scratch();
    cella_put_file("f", "", 0);
    CHECK_ERRNO(ctl(ep, EPOLL_CTL_ADD, cella_open("f", O_RDONLY), EPOLLIN), EPERM);
    CHECK_ERRNO(ctl(ep, EPOLL_CTL_ADD, cella_open(".", O_RDONLY), EPOLLIN), EPERM);
}

TEST(epoll_ctl, limit, "a loop, and more than five epolls within each other, answer ELOOP")
{
    int ep[6];
    for (int i = 0; i < 6; i++)
        ep[i] = new_epoll();
    for (int i = 0; i < 4; i++)
        CHECK_EQ(ctl(ep[i + 1], EPOLL_CTL_ADD, ep[i], EPOLLIN), 0);
    CHECK_ERRNO(ctl(ep[0], EPOLL_CTL_ADD, ep[3], EPOLLIN), ELOOP);
    CHECK_ERRNO(ctl(ep[0], EPOLL_CTL_ADD, ep[0], EPOLLIN), EINVAL);
    CHECK_ERRNO(ctl(ep[5], EPOLL_CTL_ADD, ep[4], EPOLLIN), ELOOP);
}

TEST(epoll_ctl, limit, "EPOLLEXCLUSIVE is for adding only, and not with every event")
{
    int ep = new_epoll(), fd = new_event(1);
    CHECK_ERRNO(ctl(ep, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT), EINVAL);
    CHECK_ERRNO(ctl(ep, EPOLL_CTL_ADD, new_epoll(), EPOLLIN | EPOLLEXCLUSIVE), EINVAL);
    CHECK_EQ(ctl(ep, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLEXCLUSIVE), 0);
    CHECK_EQ(ready(ep), EPOLLIN);
    CHECK_ERRNO(ctl(ep, EPOLL_CTL_MOD, fd, EPOLLIN), EINVAL);
}

TEST(epoll_wait, success, "gives back the data, and a level stays ready until it is taken")
{
    struct epoll_event ev[4];
    int ep = new_epoll(), fd = new_event(1), quiet = new_event(0);
    CHECK_OK(ctl(ep, EPOLL_CTL_ADD, fd, EPOLLIN));
    CHECK_OK(ctl(ep, EPOLL_CTL_ADD, quiet, EPOLLIN));
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(SYS(epoll_wait, ep, ev, 4, -1), 1);
        CHECK(ev[0].data.u64 == 0x123456789abcdef0ull + (unsigned)fd);
        CHECK_EQ(ev[0].events, EPOLLIN);
    }
    take(fd);
    CHECK_EQ(SYS(epoll_wait, ep, ev, 4, 0), 0);
}

TEST(epoll_wait, success, "ends of pipes tell EPOLLHUP and EPOLLERR unasked")
{
    int fd[2], ep = new_epoll();
    cella_pipe(fd);
    CHECK_OK(ctl(ep, EPOLL_CTL_ADD, fd[0], 0));
    CHECK_EQ(ready(ep), 0);
    CHECK_OK(close(fd[1]));
    CHECK_EQ(ready(ep), EPOLLHUP);
    CHECK_OK(close(fd[0]));
    cella_pipe(fd);
    CHECK_OK(ctl(ep, EPOLL_CTL_ADD, fd[1], EPOLLOUT));
    CHECK_OK(close(fd[0]));
    CHECK_EQ(ready(ep), EPOLLOUT | EPOLLERR);
}

TEST(epoll_wait, success, "another process wakes it, and a time-out ends it with 0")
{
    struct epoll_event ev;
    int ep = new_epoll(), fd = new_event(0);
    CHECK_OK(ctl(ep, EPOLL_CTL_ADD, fd, EPOLLIN));
    long long start = cella_now_ms();
    CHECK_EQ(SYS(epoll_wait, ep, &ev, 1, 40), 0);
    CHECK(cella_now_ms() - start >= 39);
    pid_t pid = cella_fork();
    if (pid == 0) {
        cella_sleep_ms(30);
        add_one(fd);
        _exit(0);
    }
    CHECK_EQ(SYS(epoll_wait, ep, &ev, 1, -1), 1);
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(epoll_wait, error, "closed, no epoll, room for none, bad memory")
{
    struct epoll_event ev;
    int ep = new_epoll(), fd = new_event(1);
    CHECK_OK(ctl(ep, EPOLL_CTL_ADD, fd, EPOLLIN));
    CHECK_ERRNO(SYS(epoll_wait, CELLA_NO_FD, &ev, 1, 0), EBADF);
    CHECK_ERRNO(SYS(epoll_wait, fd, &ev, 1, 0), EINVAL);
    CHECK_ERRNO(SYS(epoll_wait, ep, &ev, 0, 0), EINVAL);
    CHECK_ERRNO(SYS(epoll_wait, ep, &ev, -1, 0), EINVAL);
    CHECK_ERRNO(SYS(epoll_wait, ep, cella_bad_address(), 1, 0), EFAULT);
    CHECK_EQ(SYS(epoll_wait, ep, &ev, 1, 0), 1); /* the failed ones took nothing */
}

TEST(epoll_wait, interruption, "a signal ends the wait with EINTR, even with SA_RESTART")
{
    struct epoll_event ev;
    int ep = new_epoll();
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(SYS(epoll_wait, ep, &ev, 1, -1), EINTR);
    cella_ticks_stop();
    cella_ticks_start(20, SA_RESTART, NULL);
    CHECK_ERRNO(SYS(epoll_wait, ep, &ev, 1, 15000), EINTR);
    cella_ticks_stop();
}

TEST(epoll_wait, limit, "with room for fewer than are ready all get their turn")
{
    struct epoll_event ev[2];
    int ep = new_epoll(), fd[4], seen[4] = {0};
    for (int i = 0; i < 4; i++) {
        fd[i] = new_event(1);
        CHECK_OK(ctl(ep, EPOLL_CTL_ADD, fd[i], EPOLLIN));
    }
    for (int round = 0; round < 2; round++) {
        CHECK_EQ(SYS(epoll_wait, ep, ev, 2, 0), 2);
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 4; j++)
                seen[j] += ev[i].data.u64 == 0x123456789abcdef0ull + (unsigned)fd[j];
    }
    CHECK(seen[0] == 1 && seen[1] == 1 && seen[2] == 1 && seen[3] == 1);
    CHECK_ERRNO(SYS(epoll_wait, ep, ev, INT_MAX, 0), EINVAL);
}

TEST(epoll_pwait, success, "waits as epoll_wait does, with or without a mask")
{
    struct epoll_event ev;
    uint64_t none = 0;
    int ep = new_epoll(), fd = new_event(1);
    CHECK_OK(ctl(ep, EPOLL_CTL_ADD, fd, EPOLLIN));
    CHECK_EQ(SYS(epoll_pwait, ep, &ev, 1, -1, &none, 8L), 1);
    CHECK_EQ(SYS(epoll_pwait, ep, &ev, 1, -1, NULL, 0L), 1);
    CHECK_EQ(ev.events, EPOLLIN);
}

TEST(epoll_pwait, success, "a signal in the mask stays pending while it waits")
{
    struct epoll_event ev;
    int ep = new_epoll();
    long long start = cella_now_ms();
    cella_ticks_start(10, 0, NULL);
    CHECK_EQ(SYS(epoll_pwait, ep, &ev, 1, 60, &alarm_bit, 8L), 0);
    cella_ticks_stop();
    CHECK(cella_now_ms() - start >= 59);
    CHECK(!alarm_is_blocked());
}

TEST(epoll_pwait, error, "a mask of another size EINVAL, bad memory EFAULT, closed EBADF")
{
    struct epoll_event ev;
    uint64_t none = 0;
    int ep = new_epoll();
    CHECK_ERRNO(SYS(epoll_pwait, ep, &ev, 1, 0, &none, 4L), EINVAL);
    CHECK_ERRNO(SYS(epoll_pwait, ep, &ev, 1, 0, cella_bad_address(), 8L), EFAULT);
    CHECK_ERRNO(SYS(epoll_pwait, CELLA_NO_FD, &ev, 1, 0, &none, 8L), EBADF);
    CHECK_ERRNO(SYS(epoll_pwait, ep, &ev, 0, 0, NULL, 8L), EINVAL);
}

TEST(epoll_pwait, interruption, "a pending signal that the mask lets through ends it with EINTR")
{
    struct epoll_event ev;
    uint64_t none = 0;
    int ep = new_epoll();
    pending_alarm();
    CHECK_ERRNO(SYS(epoll_pwait, ep, &ev, 1, -1, &none, 8L), EINTR);
    CHECK_EQ(cella_ticks, 1);
    CHECK(alarm_is_blocked());
}

static long pwait2(int ep, struct epoll_event *ev, int room, time_t sec, long nsec,
                   const uint64_t *mask)
{
    struct timespec timeout = {sec, nsec};
    return SYS(epoll_pwait2, ep, ev, room, &timeout, mask, 8L);
}

TEST(epoll_pwait2, success, "time-outs in nanoseconds, none means for ever")
{
    struct epoll_event ev;
    int ep = new_epoll(), fd = new_event(1);
    long long start = cella_now_ms();
    CHECK_EQ(pwait2(ep, &ev, 1, 0, 30000000, NULL), 0);
    CHECK(cella_now_ms() - start >= 29);
    CHECK_EQ(pwait2(ep, &ev, 1, 0, 0, NULL), 0);
    CHECK_OK(ctl(ep, EPOLL_CTL_ADD, fd, EPOLLIN));
    CHECK_EQ(SYS(epoll_pwait2, ep, &ev, 1, NULL, NULL, 8L), 1);
    CHECK_EQ(pwait2(ep, &ev, 1, 1000, 0, NULL), 1);
}

TEST(epoll_pwait2, error, "a time out of range, bad memory, closed, room for none")
{
    struct epoll_event ev;
    uint64_t none = 0;
    int ep = new_epoll();
    CHECK_ERRNO(pwait2(ep, &ev, 1, 0, 1000000000, NULL), EINVAL);
    CHECK_ERRNO(pwait2(ep, &ev, 1, -1, 0, NULL), EINVAL);
    CHECK_ERRNO(SYS(epoll_pwait2, ep, &ev, 1, cella_bad_address(), NULL, 8L), EFAULT);
    CHECK_ERRNO(SYS(epoll_pwait2, ep, &ev, 1, NULL, &none, 4L), EINVAL);
    CHECK_ERRNO(pwait2(CELLA_NO_FD, &ev, 1, 0, 0, NULL), EBADF);
    CHECK_ERRNO(pwait2(ep, &ev, 0, 0, 0, NULL), EINVAL);
}

TEST(epoll_pwait2, interruption, "a pending signal that the mask lets through ends it with EINTR")
{
    struct epoll_event ev;
    uint64_t none = 0;
    int ep = new_epoll();
    pending_alarm();
    CHECK_ERRNO(pwait2(ep, &ev, 1, 1000, 0, &none), EINTR);
    CHECK_EQ(cella_ticks, 1);
    CHECK(alarm_is_blocked());
}

TEST_MAIN()
