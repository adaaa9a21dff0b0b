/* SPDX-License-Identifier: Apache-2.0 */
/* poll, ppoll, select, pselect6. */
#include "cella_file.h"

#include <limits.h>
#include <poll.h>
#include <sys/select.h>

/* A pipe with a byte in it, and one without. */
static void two_pipes(int full[2], int empty[2])
{
    cella_pipe(full);
    cella_pipe(empty);
    CHECK_EQ(write(full[1], "x", 1), 1);
}

TEST(poll, success, "tells which are ready for what, in their places")
{
    int full[2], empty[2];
    two_pipes(full, empty);
    struct pollfd p[5] = {
        {empty[0], POLLIN, -1}, {full[0], POLLIN | POLLOUT, -1}, {empty[1], POLLOUT, -1},
        {full[1], POLLIN, -1},  {-1, POLLIN, -1},
    };
    CHECK_EQ(SYS(poll, p, 5, -1), 2);
    CHECK(p[0].revents == 0 && p[1].revents == POLLIN && p[2].revents == POLLOUT);
    CHECK(p[3].revents == 0 && p[4].revents == 0);
}

TEST(poll, success, "POLLHUP, POLLERR and POLLNVAL come unasked; a file is always ready")
{
    int full[2], empty[2];
    two_pipes(full, empty);
    CHECK_OK(close(full[1]));
    CHECK_OK(close(empty[0]));
    cella_scratch();
    cella_put_file("f", "", 0);
    struct pollfd p[4] = {
        {full[0], POLLIN, 0},
        {empty[1], 0, 0},
        {CELLA_NO_FD, POLLIN, 0},
        {cella_open("f", O_RDONLY), POLLIN | POLLOUT, 0},
    };
    CHECK_EQ(SYS(poll, p, 4, -1), 4);
    CHECK_EQ(p[0].revents, POLLIN | POLLHUP);
    CHECK_EQ(p[1].revents, POLLERR);
    CHECK_EQ(p[2].revents, POLLNVAL);
    CHECK_EQ(p[3].revents, POLLIN | POLLOUT);
}

TEST(poll, success, "another process wakes it, and a time-out ends it with 0")
{
    int fd[2];
    cella_pipe(fd);
    struct pollfd p = {fd[0], POLLIN, -1};
    long long start = cella_now_ms();
    CHECK_EQ(SYS(poll, &p, 1, 40), 0);
    CHECK(cella_now_ms() - start >= 39);
    CHECK_EQ(p.revents, 0);
    pid_t pid = cella_fork();
    if (pid == 0) {
        cella_sleep_ms(30);
        _exit(write(fd[1], "x", 1) != 1);
    }
    CHECK_EQ(SYS(poll, &p, 1, -1), 1);
    CHECK_EQ(p.revents, POLLIN);
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(poll, error, "bad memory EFAULT")
{
    CHECK_ERRNO(SYS(poll, cella_bad_address(), 1, 0), EFAULT);
    CHECK_ERRNO(SYS(poll, NULL, 1, 0), EFAULT);
}

TEST(poll, interruption, "a signal ends the wait with EINTR, even with SA_RESTART")
{
    int fd[2];
    cella_pipe(fd);
    struct pollfd p = {fd[0], POLLIN, 0};
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(SYS(poll, &p, 1, -1), EINTR);
    cella_ticks_stop();
    cella_ticks_start(20, SA_RESTART, NULL);
    CHECK_ERRNO(SYS(poll, &p, 1, 15000), EINTR);
    cella_ticks_stop();
}

TEST(poll, limit, "of none it is a sleep; of more than RLIMIT_NOFILE it answers EINVAL")
{
    static struct pollfd p[65];
    struct rlimit limit;
    for (int i = 0; i < 65; i++)
        p[i].fd = -1;
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = 64;
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
    CHECK_EQ(SYS(poll, NULL, 0, 0), 0);
    long long start = cella_now_ms();
    CHECK_EQ(SYS(poll, NULL, 0, 30), 0);
    CHECK(cella_now_ms() - start >= 29);
    CHECK_EQ(SYS(poll, p, 64, 0), 0);
    CHECK_ERRNO(SYS(poll, p, 65, 0), EINVAL);
}

TEST(poll, limit, "watches a thousand at once")
{
    static struct pollfd p[1000];
    int fd[2];
    cella_pipe(fd);
    for (int i = 0; i < 1000; i++)
        p[i] = (struct pollfd){fd[0], POLLIN, 0};
    CHECK_EQ(SYS(poll, p, 1000, 0), 0);
    CHECK_EQ(write(fd[1], "x", 1), 1);
    CHECK_EQ(SYS(poll, p, 1000, -1), 1000);
    CHECK_EQ(p[999].revents, POLLIN);
}

TEST(ppoll, success, "waits as poll does, and tells the time left")
{
    int full[2], empty[2];
    two_pipes(full, empty);
    struct pollfd p[2] = {{full[0], POLLIN, 0}, {empty[0], POLLIN, 0}};
    struct timespec timeout = {100, 0};
    CHECK_EQ(SYS(ppoll, p, 2, &timeout, NULL, 8L), 1);
    CHECK(timeout.tv_sec >= 90 && timeout.tv_sec <= 100);
    CHECK(p[0].revents == POLLIN && p[1].revents == 0);
    timeout = (struct timespec){0, 30000000};
    long long start = cella_now_ms();
    CHECK_EQ(SYS(ppoll, &p[1], 1, &timeout, NULL, 8L), 0);
    CHECK(cella_now_ms() - start >= 29);
    CHECK(timeout.tv_sec == 0 && timeout.tv_nsec == 0);
    CHECK_EQ(SYS(ppoll, p, 1, NULL, NULL, 8L), 1);
}

TEST(ppoll, error, "a time out of range, a mask of another size, bad memory")
{
    struct timespec high = {0, 1000000000}, negative = {-1, 0}, zero = {0, 0};
    uint64_t none = 0;
    struct pollfd p = {-1, 0, 0};
    CHECK_ERRNO(SYS(ppoll, &p, 1, &high, NULL, 8L), EINVAL);
    CHECK_ERRNO(SYS(ppoll, &p, 1, &negative, NULL, 8L), EINVAL);
    CHECK_ERRNO(SYS(ppoll, &p, 1, &zero, &none, 4L), EINVAL);
    CHECK_ERRNO(SYS(ppoll, &p, 1, cella_bad_address(), NULL, 8L), EFAULT);
    CHECK_ERRNO(SYS(ppoll, &p, 1, &zero, cella_bad_address(), 8L), EFAULT);
    CHECK_ERRNO(SYS(ppoll, cella_bad_address(), 1, &zero, NULL, 8L), EFAULT);
}

TEST(ppoll, interruption, "a pending signal that the mask lets through ends the wait with EINTR")
{
    uint64_t none = 0;
    struct timespec timeout = {1000, 0};
    pending_alarm();
    CHECK_ERRNO(SYS(ppoll, NULL, 0, &timeout, &none, 8L), EINTR);
    CHECK_EQ(cella_ticks, 1);
    CHECK(alarm_is_blocked());
}

TEST(ppoll, limit, "a signal in the mask does not end it; of more than RLIMIT_NOFILE EINVAL")
{
    static struct pollfd p[65];
    struct timespec timeout = {0, 60000000}, zero = {0, 0};
    struct rlimit limit;
    long long start = cella_now_ms();
    cella_ticks_start(10, 0, NULL);
    CHECK_EQ(SYS(ppoll, NULL, 0, &timeout, &alarm_bit, 8L), 0);
    cella_ticks_stop();
    CHECK(cella_now_ms() - start >= 59);
    CHECK(!alarm_is_blocked());
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = 64;
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
    CHECK_ERRNO(SYS(ppoll, p, 65, &zero, NULL, 8L), EINVAL);
}

TEST(select, success, "leaves in each set what is ready, and counts them all")
{
    fd_set in, out;
    int full[2], empty[2];
    two_pipes(full, empty);
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(full[0], &in);
    FD_SET(empty[0], &in);
    FD_SET(empty[1], &out);
    CHECK_EQ(SYS(select, empty[1] + 1, &in, &out, NULL, NULL), 2);
    CHECK(FD_ISSET(full[0], &in) && !FD_ISSET(empty[0], &in) && FD_ISSET(empty[1], &out));
}

TEST(select, success, "an end of file is readable, a pipe without reader writable")
{
    fd_set in, out;
    int full[2], empty[2];
    two_pipes(full, empty);
    CHECK_OK(close(full[0]));
    CHECK_OK(close(empty[1]));
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(empty[0], &in);
    FD_SET(full[1], &out);
    CHECK_EQ(SYS(select, empty[0] + 1, &in, &out, NULL, NULL), 2);
}

TEST(select, success, "a time-out empties the sets and tells that no time is left")
{
    fd_set in;
    int full[2], empty[2];
    two_pipes(full, empty);
    struct timeval timeout = {0, 30000};
    FD_ZERO(&in);
    FD_SET(empty[0], &in);
    long long start = cella_now_ms();
    CHECK_EQ(SYS(select, empty[0] + 1, &in, NULL, NULL, &timeout), 0);
    CHECK(cella_now_ms() - start >= 29);
    CHECK(!FD_ISSET(empty[0], &in));
    CHECK(timeout.tv_sec == 0 && timeout.tv_usec == 0);
    timeout.tv_sec = 100;
    FD_SET(full[0], &in);
    CHECK_EQ(SYS(select, full[0] + 1, &in, NULL, NULL, &timeout), 1);
    CHECK(timeout.tv_sec >= 90 && timeout.tv_sec <= 100);
}

TEST(select, error, "a closed descriptor, a negative count or time, bad memory")
{
    fd_set in;
    struct timeval zero = {0, 0}, negative = {-1, 0};
    int fd[2];
    cella_pipe(fd);
    FD_ZERO(&in);
    FD_SET(fd[0], &in);
    CHECK_ERRNO(SYS(select, -1, NULL, NULL, NULL, &zero), EINVAL);
    CHECK_ERRNO(SYS(select, fd[0] + 1, &in, NULL, NULL, &negative), EINVAL);
    CHECK_ERRNO(SYS(select, fd[0] + 1, cella_bad_address(), NULL, NULL, &zero), EFAULT);
    CHECK_ERRNO(SYS(select, fd[0] + 1, &in, NULL, NULL, cella_bad_address()), EFAULT);
    CHECK_OK(close(fd[0]));
    CHECK_ERRNO(SYS(select, fd[1] + 1, &in, NULL, NULL, &zero), EBADF);
    CHECK(FD_ISSET(fd[0], &in)); /* an error leaves the sets */
}

TEST(select, interruption, "a signal ends the wait with EINTR, even with SA_RESTART")
{
    fd_set in;
    int fd[2];
    cella_pipe(fd);
    FD_ZERO(&in);
    FD_SET(fd[0], &in);
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(SYS(select, fd[0] + 1, &in, NULL, NULL, NULL), EINTR);
    cella_ticks_stop();
    CHECK(FD_ISSET(fd[0], &in));
    cella_ticks_start(20, SA_RESTART, NULL);
    CHECK_ERRNO(SYS(select, fd[0] + 1, &in, NULL, NULL, NULL), EINTR);
    cella_ticks_stop();
}

TEST(select, limit, "of none it is a sleep; descriptors at and above the count are not looked at")
{
    fd_set in;
    struct timeval timeout = {0, 30000}, zero = {0, 0};
    int full[2], empty[2];
    two_pipes(full, empty);
    long long start = cella_now_ms();
    CHECK_EQ(SYS(select, 0, NULL, NULL, NULL, &timeout), 0);
    CHECK(cella_now_ms() - start >= 29);
    FD_ZERO(&in);
    FD_SET(full[0], &in);
    CHECK_EQ(SYS(select, full[0], &in, NULL, NULL, &zero), 0);
    FD_ZERO(&in);
    FD_SET(full[0], &in);
    CHECK_EQ(SYS(select, 1024, &in, NULL, NULL, &zero), 1);
}

/* The last argument of pselect6: a mask and its size, behind one pointer. */
struct mask_argument {
    const uint64_t *mask;
    size_t size;
};

TEST(pselect6, success, "waits as select does, and tells the time left")
{
    fd_set in;
    int full[2], empty[2];
    uint64_t none = 0;
    struct mask_argument mask = {&none, 8};
    struct timespec timeout = {100, 0};
    two_pipes(full, empty);
    FD_ZERO(&in);
    FD_SET(full[0], &in);
    FD_SET(empty[0], &in);
    CHECK_EQ(SYS(pselect6, empty[0] + 1, &in, NULL, NULL, &timeout, &mask), 1);
    CHECK(FD_ISSET(full[0], &in) && !FD_ISSET(empty[0], &in));
    CHECK(timeout.tv_sec >= 90 && timeout.tv_sec <= 100);
    timeout = (struct timespec){0, 30000000};
    long long start = cella_now_ms();
    CHECK_EQ(SYS(pselect6, 0, NULL, NULL, NULL, &timeout, NULL), 0);
    CHECK(cella_now_ms() - start >= 29);
    CHECK(timeout.tv_sec == 0 && timeout.tv_nsec == 0);
}

TEST(pselect6, error, "a time out of range, a mask of another size, closed, bad memory")
{
    fd_set in;
    int fd[2];
    uint64_t none = 0;
    struct mask_argument small = {&none, 4}, bad = {cella_bad_address(), 8};
    struct timespec zero = {0, 0}, high = {0, 1000000000};
    cella_pipe(fd);
    FD_ZERO(&in);
    CHECK_ERRNO(SYS(pselect6, 0, NULL, NULL, NULL, &high, NULL), EINVAL);
    CHECK_ERRNO(SYS(pselect6, -1, NULL, NULL, NULL, &zero, NULL), EINVAL);
    CHECK_ERRNO(SYS(pselect6, 0, NULL, NULL, NULL, &zero, &small), EINVAL);
    CHECK_ERRNO(SYS(pselect6, 0, NULL, NULL, NULL, &zero, &bad), EFAULT);
    CHECK_ERRNO(SYS(pselect6, 0, NULL, NULL, NULL, &zero, cella_bad_address()), EFAULT);
    FD_SET(fd[0], &in);
    CHECK_OK(close(fd[0]));
    CHECK_ERRNO(SYS(pselect6, fd[1] + 1, &in, NULL, NULL, &zero, NULL), EBADF);
}

TEST(pselect6, interruption, "a pending signal that the mask lets through ends the wait with EINTR")
{
    uint64_t none = 0;
    struct mask_argument mask = {&none, 8};
    struct timespec timeout = {1000, 0};
    pending_alarm();
    CHECK_ERRNO(SYS(pselect6, 0, NULL, NULL, NULL, &timeout, &mask), EINTR);
    CHECK_EQ(cella_ticks, 1);
    CHECK(alarm_is_blocked());
}

TEST(pselect6, limit, "a signal in the mask does not end it; a null mask in the argument is none")
{
    struct mask_argument mask = {&alarm_bit, 8}, null = {NULL, 0};
    struct timespec timeout = {0, 60000000}, zero = {0, 0};
    long long start = cella_now_ms();
    cella_ticks_start(10, 0, NULL);
    CHECK_EQ(SYS(pselect6, 0, NULL, NULL, NULL, &timeout, &mask), 0);
    cella_ticks_stop();
    CHECK(cella_now_ms() - start >= 59);
    CHECK(!alarm_is_blocked());
    CHECK_EQ(SYS(pselect6, 0, NULL, NULL, NULL, &zero, &null), 0);
}

TEST_MAIN()
