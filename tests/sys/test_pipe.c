/* SPDX-License-Identifier: Apache-2.0 */
/* pipe, pipe2. What read and write do with pipes in general stands in test_rw.c. */
#include "cella_file.h"

#include <limits.h>

TEST(pipe, success, "two descriptors, the lower to read from, the upper to write to")
{
    char buf[8];
    int fd[2];
    CHECK_EQ(SYS(pipe, fd), 0);
    CHECK_EQ(fd[1], fd[0] + 1);
    CHECK_EQ(write(fd[1], "abc", 3), 3);
    CHECK_EQ(read(fd[0], buf, 8), 3);
    CHECK(!memcmp(buf, "abc", 3));
    CHECK(fcntl(fd[0], F_GETFD) == 0 && fcntl(fd[1], F_GETFD) == 0);
    CHECK_EQ(fcntl(fd[0], F_GETFL) & O_ACCMODE, O_RDONLY);
    CHECK_EQ(fcntl(fd[1], F_GETFL) & O_ACCMODE, O_WRONLY);
}

TEST(pipe, success, "carries bytes between processes in order")
{
    static unsigned char buf[65536];
    size_t total = 0;
    ssize_t n;
    int fd[2];
    CHECK_EQ(SYS(pipe, fd), 0);
    pid_t pid = cella_fork();
    if (pid == 0) {
        for (size_t i = 0; i < sizeof(buf); i++)
            buf[i] = (unsigned char)(i % 251);
        for (int i = 0; i < 4; i++)
            CHECK_EQ(write(fd[1], buf, sizeof(buf)), sizeof(buf));
        _exit(0);
    }
    CHECK_OK(close(fd[1]));
    while ((n = read(fd[0], buf, sizeof(buf))) > 0)
        for (ssize_t i = 0; i < n; i++, total++)
            CHECK_EQ(buf[i], total % 65536 % 251);
    CHECK_EQ(n, 0);
    CHECK_EQ(total, 4 * 65536);
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(pipe, success, "a reader wakes when the last writer goes, a writer when the last reader does")
{
    char c;
    int fd[2], back[2];
    CHECK_EQ(SYS(pipe, fd), 0);
    CHECK_EQ(SYS(pipe, back), 0);
    cella_fill_pipe(back[1]);
    pid_t pid = cella_fork();
    if (pid == 0) {
        CHECK_OK(close(back[1])); /* or the child itself would keep the pipe's other end */
        cella_sleep_ms(50);
        _exit(0);
    }
    CHECK_OK(close(fd[1]));
    CHECK_OK(close(back[0]));
    CHECK_EQ(read(fd[0], &c, 1), 0);
    CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    CHECK_ERRNO(write(back[1], "x", 1), EPIPE);
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(pipe, error, "memory that cannot be written answers EFAULT and leaks no descriptor")
{
    int fd[2];
    CHECK_ERRNO(SYS(pipe, cella_bad_address()), EFAULT);
    int next = cella_open("/", O_RDONLY);
    CHECK_OK(close(next));
    CHECK_EQ(SYS(pipe, fd), 0);
    CHECK_EQ(fd[0], next);
}

TEST(pipe, error, "the ends are one-way and have no place")
{
    char c;
    int fd[2];
    CHECK_EQ(SYS(pipe, fd), 0);
    CHECK_ERRNO(read(fd[1], &c, 1), EBADF);
    CHECK_ERRNO(write(fd[0], "x", 1), EBADF);
    CHECK_ERRNO(lseek(fd[0], 0, SEEK_SET), ESPIPE);
}

TEST(pipe, limit, "with room for one descriptor EMFILE, and that one stays free")
{
    int fd[2] = {-7, -7};
    cella_limit_fds(1);
    CHECK_ERRNO(SYS(pipe, fd), EMFILE);
    CHECK(fd[0] == -7 && fd[1] == -7);
    CHECK_OK(open("/", O_RDONLY));
}

TEST(pipe, limit, "holds 65536 bytes, and takes PIPE_BUF bytes whole or not at all")
{
    static char buf[65536];
    int fd[2];
    CHECK_EQ(SYS(pipe, fd), 0);
    CHECK_EQ(cella_fill_pipe(fd[1]), 65536);
    cella_set_nonblocking(fd[1], true);
    CHECK_EQ(read(fd[0], buf, PIPE_BUF - 1), PIPE_BUF - 1);
    CHECK_ERRNO(write(fd[1], buf, PIPE_BUF), EAGAIN);
    CHECK_EQ(read(fd[0], buf, 1), 1);
    CHECK_EQ(write(fd[1], buf, PIPE_BUF), PIPE_BUF);
    CHECK_EQ(read(fd[0], buf, sizeof(buf)), 65536);
}

TEST(pipe2, success, "O_CLOEXEC and O_NONBLOCK are set on both ends")
{
    char c;
    int fd[2];
    CHECK_EQ(SYS(pipe2, fd, O_CLOEXEC | O_NONBLOCK), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(fcntl(fd[i], F_GETFD), FD_CLOEXEC);
        CHECK_EQ(fcntl(fd[i], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    }
    CHECK_ERRNO(read(fd[0], &c, 1), EAGAIN);
    CHECK_EQ(SYS(pipe2, fd, 0), 0);
    CHECK_EQ(fcntl(fd[0], F_GETFD), 0);
}

TEST(pipe2, success, "O_DIRECT keeps the bounds of writes, and a short read drops the rest")
{
    char buf[16];
    int fd[2];
    CHECK_EQ(SYS(pipe2, fd, O_DIRECT), 0);
    CHECK_EQ(write(fd[1], "abc", 3), 3);
    CHECK_EQ(write(fd[1], "defg", 4), 4);
    CHECK_EQ(write(fd[1], "h", 1), 1);
    CHECK_EQ(read(fd[0], buf, sizeof(buf)), 3);
    CHECK_EQ(read(fd[0], buf, 2), 2);
    CHECK(!memcmp(buf, "de", 2));
    CHECK_EQ(read(fd[0], buf, sizeof(buf)), 1);
    CHECK_EQ(buf[0], 'h');
}

TEST(pipe2, error, "unknown flags EINVAL, bad memory EFAULT")
{
    int fd[2];
    CHECK_ERRNO(SYS(pipe2, fd, O_APPEND), EINVAL);
    CHECK_ERRNO(SYS(pipe2, fd, 1), EINVAL);
    CHECK_ERRNO(SYS(pipe2, cella_bad_address(), 0), EFAULT);
}

TEST(pipe2, limit, "RLIMIT_NOFILE answers EMFILE")
{
    int fd[2];
    cella_limit_fds(1);
    CHECK_ERRNO(SYS(pipe2, fd, O_CLOEXEC), EMFILE);
    CHECK_OK(open("/", O_RDONLY));
}

TEST_MAIN()
