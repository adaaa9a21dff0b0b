/* SPDX-License-Identifier: Apache-2.0 */
/* read, write, readv, writev, pread64, pwrite64, preadv, pwritev, preadv2, pwritev2, lseek. */
#include "cella_file.h"

#include <limits.h>
#include <sys/uio.h>

static int tick_fd;

/* At the second tick and not the first, so that the call was restarted once by then. */
static void write_at_second_tick(int nth)
{
    if (nth == 2 && write(tick_fd, "late", 4) != 4)
        _exit(1);
}

static void drain_at_second_tick(int nth)
{
    static char buf[65536];
    if (nth == 2 && read(tick_fd, buf, sizeof(buf)) <= 0)
        _exit(1);
}

static int file_with(const char *text)
{
    cella_scratch();
    cella_put_file("f", text, strlen(text));
    return cella_open("f", O_RDWR);
}

/* Sets two iovecs over one buffer: the first of len bytes, the second of the next len bytes. */
static void halves(struct iovec iov[2], char *buf, size_t len)
{
    iov[0] = (struct iovec){buf, len};
    iov[1] = (struct iovec){buf + len, len};
}

TEST(read, success, "reads a file in order and answers 0 at its end")
{
    char buf[8] = "";
    int fd = file_with("abcde");
    CHECK_EQ(SYS(read, fd, buf, 3), 3);
    CHECK(!memcmp(buf, "abc", 3));
    CHECK_EQ(SYS(read, fd, buf, 8), 2);
    CHECK(!memcmp(buf, "de", 2));
    CHECK_EQ(SYS(read, fd, buf, 8), 0);
}

TEST(read, success, "takes what a pipe has and sees its end when the writer closes")
{
    char buf[8];
    int fd[2];
    cella_pipe(fd);
    CHECK_EQ(write(fd[1], "xy", 2), 2);
    CHECK_EQ(SYS(read, fd[0], buf, 8), 2);
    CHECK_EQ(write(fd[1], "z", 1), 1);
    CHECK_OK(close(fd[1]));
    CHECK_EQ(SYS(read, fd[0], buf, 8), 1);
    CHECK_EQ(SYS(read, fd[0], buf, 8), 0);
}

TEST(read, error, "a descriptor closed, write-only, of a directory, or a path only")
{
    char buf[8];
    cella_scratch();
    CHECK_ERRNO(SYS(read, CELLA_NO_FD, buf, 1), EBADF);
    CHECK_ERRNO(SYS(read, -1, buf, 1), EBADF);
    CHECK_ERRNO(SYS(read, cella_open("w", O_WRONLY | O_CREAT), buf, 1), EBADF);
    CHECK_ERRNO(SYS(read, cella_open(".", O_RDONLY), buf, 1), EISDIR);
    CHECK_ERRNO(SYS(read, cella_open("w", O_PATH), buf, 1), EBADF);
}

TEST(read, error, "memory that cannot be written answers EFAULT")
{
    int fd = file_with("abc");
    CHECK_ERRNO(SYS(read, fd, cella_bad_address(), 3), EFAULT);
    CHECK_ERRNO(SYS(read, fd, -1L, 3L), EFAULT);
}

TEST(read, error, "an empty pipe that does not block answers EAGAIN")
{
    char buf[8];
    int fd[2];
    CHECK_OK(pipe2(fd, O_NONBLOCK));
    CHECK_ERRNO(SYS(read, fd[0], buf, 1), EAGAIN);
}

TEST(read, interruption, "a signal without SA_RESTART ends a blocked read with EINTR")
{
    char buf[8];
    int fd[2];
    cella_pipe(fd);
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(SYS(read, fd[0], buf, 1), EINTR);
    cella_ticks_stop();
}

TEST(read, interruption, "with SA_RESTART the read goes on and gets its data")
{
    char buf[8];
    int fd[2];
    cella_pipe(fd);
    tick_fd = fd[1];
    cella_ticks_start(20, SA_RESTART, write_at_second_tick);
    CHECK_EQ(SYS(read, fd[0], buf, 8), 4);
    cella_ticks_stop();
    CHECK(!memcmp(buf, "late", 4));
    CHECK(cella_ticks >= 2);
}

TEST(read, limit, "length 0 reads nothing, and a length beyond the file reads the file")
{
    char buf[8];
    int fd = file_with("abc");
    CHECK_EQ(SYS(read, fd, buf, 0), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_ERRNO(SYS(read, CELLA_NO_FD, buf, 0), EBADF);
    char *room = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(room != MAP_FAILED);
    CHECK_EQ(SYS(read, fd, room, 1 << 20), 3);
}

TEST(write, success, "writes at the offset and extends the file")
{
    int fd = file_with("abcde");
    CHECK_EQ(SYS(write, fd, "XY", 2), 2);
    CHECK_EQ(lseek(fd, 4, SEEK_SET), 4);
    CHECK_EQ(SYS(write, fd, "123", 3), 3);
    cella_check_file("f", "XYcd123", 7);
}

TEST(write, success, "O_APPEND writes at the end wherever the offset was")
{
    file_with("ab");
    int fd = cella_open("f", O_WRONLY | O_APPEND);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQ(SYS(write, fd, "cd", 2), 2);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 4);
    cella_check_file("f", "abcd", 4);
}

TEST(write, error, "a descriptor closed or read-only, and memory that cannot be read")
{
    int fd = file_with("abc");
    CHECK_ERRNO(SYS(write, CELLA_NO_FD, "x", 1), EBADF);
    CHECK_ERRNO(SYS(write, cella_open("f", O_RDONLY), "x", 1), EBADF);
    CHECK_ERRNO(SYS(write, fd, cella_bad_address(), 1), EFAULT);
    cella_check_file("f", "abc", 3);
}

TEST(write, error, "a pipe without reader answers EPIPE, and SIGPIPE kills who does not ignore it")
{
    int fd[2], status;
    cella_pipe(fd);
    CHECK_OK(close(fd[0]));
    pid_t pid = cella_fork();
    if (pid == 0) {
        SYS(write, fd[1], "x", 1);
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0) == pid, 1);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
    CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    CHECK_ERRNO(SYS(write, fd[1], "x", 1), EPIPE);
}

TEST(write, error, "a full pipe that does not block answers EAGAIN")
{
    int fd[2];
    cella_pipe(fd);
    cella_fill_pipe(fd[1]);
    cella_set_nonblocking(fd[1], true);
    CHECK_ERRNO(SYS(write, fd[1], "x", 1), EAGAIN);
}

TEST(write, interruption, "a signal ends a write to a full pipe with EINTR")
{
    int fd[2];
    cella_pipe(fd);
    cella_fill_pipe(fd[1]);
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(SYS(write, fd[1], "x", 1), EINTR);
    cella_ticks_stop();
}

TEST(write, interruption, "a signal after a part was written makes a short write")
{
    static char big[200000];
    int fd[2];
    cella_pipe(fd);
    cella_ticks_start(20, 0, NULL);
    ssize_t n = SYS(write, fd[1], big, sizeof(big));
    cella_ticks_stop();
    CHECK(n > 0 && n < (ssize_t)sizeof(big));
}

TEST(write, interruption, "with SA_RESTART the write goes on when there is room")
{
    int fd[2];
    cella_pipe(fd);
    cella_fill_pipe(fd[1]);
    tick_fd = fd[0];
    cella_ticks_start(20, SA_RESTART, drain_at_second_tick);
    CHECK_EQ(SYS(write, fd[1], "x", 1), 1);
    cella_ticks_stop();
    CHECK(cella_ticks >= 2);
}

TEST(write, limit, "RLIMIT_FSIZE cuts the write that crosses it and refuses the next with EFBIG")
{
    int fd = file_with("");
    cella_limit_file_size(6);
    CHECK_EQ(SYS(write, fd, "12345678", 8), 6);
    CHECK_ERRNO(SYS(write, fd, "9", 1), EFBIG);
    cella_check_file("f", "123456", 6);
}

TEST(write, limit, "RLIMIT_FSIZE sends SIGXFSZ, and length 0 writes nothing")
{
    int status, fd = file_with("");
    CHECK_EQ(SYS(write, fd, "x", 0), 0);
    pid_t pid = cella_fork();
    if (pid == 0) {
        cella_limit_file_size(0);
        signal(SIGXFSZ, SIG_DFL);
        SYS(write, fd, "x", 1);
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0) == pid, 1);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ);
}

TEST(readv, success, "fills the buffers in order and stops at the end")
{
    char buf[8];
    struct iovec iov[2];
    int fd = file_with("abcde");
    halves(iov, buf, 3);
    CHECK_EQ(SYS(readv, fd, iov, 2), 5);
    CHECK(!memcmp(buf, "abcde", 5));
    CHECK_EQ(SYS(readv, fd, iov, 2), 0);
}

TEST(readv, error, "bad descriptor, count, length or memory")
{
    char buf[8];
    struct iovec iov[2];
    int fd = file_with("abcde");
    halves(iov, buf, 3);
    CHECK_ERRNO(SYS(readv, CELLA_NO_FD, iov, 2), EBADF);
    CHECK_ERRNO(SYS(readv, fd, iov, -1L), EINVAL);
    CHECK_ERRNO(SYS(readv, fd, cella_bad_address(), 2), EFAULT);
    iov[0].iov_base = cella_bad_address();
    CHECK_ERRNO(SYS(readv, fd, iov, 2), EFAULT);
    iov[1].iov_len = (size_t)LONG_MAX + 1;
    CHECK_ERRNO(SYS(readv, fd, iov, 2), EINVAL);
}

TEST(readv, interruption, "a signal ends a blocked readv with EINTR")
{
    char buf[8];
    struct iovec iov[2];
    int fd[2];
    halves(iov, buf, 3);
    cella_pipe(fd);
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(SYS(readv, fd[0], iov, 2), EINTR);
    cella_ticks_stop();
}

TEST(readv, limit, "1024 buffers are taken, 1025 are not, 0 read nothing")
{
    static char buf[1025];
    static struct iovec iov[1025];
    cella_scratch();
    memset(buf, 'q', sizeof(buf));
    cella_put_file("f", buf, sizeof(buf));
    memset(buf, 0, sizeof(buf));
    for (int i = 0; i < 1025; i++)
        iov[i] = (struct iovec){&buf[i], 1};
    int fd = cella_open("f", O_RDONLY);
    CHECK_ERRNO(SYS(readv, fd, iov, 1025), EINVAL);
    CHECK_EQ(SYS(readv, fd, iov, 0), 0);
    CHECK_EQ(SYS(readv, fd, iov, 1024), 1024);
    CHECK(buf[0] == 'q' && buf[1023] == 'q' && buf[1024] == 0);
}

TEST(writev, success, "writes the buffers in order, empty ones too")
{
    struct iovec iov[3] = {{"abc", 3}, {NULL, 0}, {"de", 2}};
    int fd = file_with("");
    CHECK_EQ(SYS(writev, fd, iov, 3), 5);
    cella_check_file("f", "abcde", 5);
}

TEST(writev, error, "bad descriptor, count, length or memory")
{
    struct iovec iov[2] = {{"abc", 3}, {"de", 2}};
    int fd = file_with("");
    CHECK_ERRNO(SYS(writev, CELLA_NO_FD, iov, 2), EBADF);
    CHECK_ERRNO(SYS(writev, cella_open("f", O_RDONLY), iov, 2), EBADF);
    CHECK_ERRNO(SYS(writev, fd, iov, -1L), EINVAL);
    CHECK_ERRNO(SYS(writev, fd, cella_bad_address(), 2), EFAULT);
    iov[1].iov_len = (size_t)LONG_MAX + 1;
    CHECK_ERRNO(SYS(writev, fd, iov, 2), EINVAL);
    CHECK_EQ(cella_file_size("f"), 0);
}

TEST(writev, interruption, "a signal ends a writev to a full pipe with EINTR")
{
    struct iovec iov[2] = {{"abc", 3}, {"de", 2}};
    int fd[2];
    cella_pipe(fd);
    cella_fill_pipe(fd[1]);
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(SYS(writev, fd[1], iov, 2), EINTR);
    cella_ticks_stop();
}

TEST(writev, limit, "1024 buffers are taken, 1025 are not, 0 write nothing")
{
    static struct iovec iov[1025];
    int fd = file_with("");
    for (int i = 0; i < 1025; i++)
        iov[i] = (struct iovec){"w", 1};
    CHECK_ERRNO(SYS(writev, fd, iov, 1025), EINVAL);
    CHECK_EQ(SYS(writev, fd, iov, 0), 0);
    CHECK_EQ(SYS(writev, fd, iov, 1024), 1024);
    CHECK_EQ(cella_file_size("f"), 1024);
}

TEST(pread64, success, "reads at the place given and leaves the offset")
{
    char buf[8];
    int fd = file_with("abcde");
    CHECK_EQ(lseek(fd, 1, SEEK_SET), 1);
    CHECK_EQ(SYS(pread64, fd, buf, 2, 3L), 2);
    CHECK(!memcmp(buf, "de", 2));
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 1);
}

TEST(pread64, error, "bad descriptor, negative place, pipe, directory, memory")
{
    char buf[8];
    int pfd[2], fd = file_with("abc");
    cella_pipe(pfd);
    CHECK_ERRNO(SYS(pread64, CELLA_NO_FD, buf, 1, 0L), EBADF);
    CHECK_ERRNO(SYS(pread64, fd, buf, 1, -1L), EINVAL);
    CHECK_ERRNO(SYS(pread64, pfd[0], buf, 1, 0L), ESPIPE);
    CHECK_ERRNO(SYS(pread64, cella_open(".", O_RDONLY), buf, 1, 0L), EISDIR);
    CHECK_ERRNO(SYS(pread64, fd, cella_bad_address(), 1, 0L), EFAULT);
}

TEST(pread64, limit, "beyond the end there is nothing, and the last place does not wrap")
{
    char buf[8];
    int fd = file_with("abc");
    CHECK_EQ(SYS(pread64, fd, buf, 8, 3L), 0);
    CHECK_EQ(SYS(pread64, fd, buf, 8, 1L << 40), 0);
    CHECK_EQ(SYS(pread64, fd, buf, 0, 1L), 0);
    CHECK_ERRNO(SYS(pread64, fd, buf, 8, LONG_MAX), EINVAL);
}

TEST(pwrite64, success, "writes at the place given, leaves the offset, fills a gap with zeros")
{
    int fd = file_with("abc");
    CHECK_EQ(SYS(pwrite64, fd, "XY", 2, 1L), 2);
    CHECK_EQ(SYS(pwrite64, fd, "Z", 1, 5L), 1);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    cella_check_file("f", "aXY\0\0Z", 6);
}

TEST(pwrite64, success, "with O_APPEND Linux appends whatever the place")
{
    file_with("abc");
    int fd = cella_open("f", O_WRONLY | O_APPEND);
    CHECK_EQ(SYS(pwrite64, fd, "d", 1, 0L), 1);
    cella_check_file("f", "abcd", 4);
}

TEST(pwrite64, error, "bad descriptor, negative place, pipe, memory")
{
    int pfd[2], fd = file_with("abc");
    cella_pipe(pfd);
    CHECK_ERRNO(SYS(pwrite64, CELLA_NO_FD, "x", 1, 0L), EBADF);
    CHECK_ERRNO(SYS(pwrite64, cella_open("f", O_RDONLY), "x", 1, 0L), EBADF);
    CHECK_ERRNO(SYS(pwrite64, fd, "x", 1, -1L), EINVAL);
    CHECK_ERRNO(SYS(pwrite64, pfd[1], "x", 1, 0L), ESPIPE);
    CHECK_ERRNO(SYS(pwrite64, fd, cella_bad_address(), 1, 0L), EFAULT);
}

TEST(pwrite64, limit, "length 0 does not extend, the last place does not wrap, RLIMIT_FSIZE holds")
{
    int fd = file_with("abc");
    CHECK_EQ(SYS(pwrite64, fd, "x", 0, 1L << 30), 0);
    CHECK_EQ(cella_file_size("f"), 3);
    CHECK_ERRNO(SYS(pwrite64, fd, "xx", 2, LONG_MAX), EINVAL);
    cella_limit_file_size(4);
    CHECK_EQ(SYS(pwrite64, fd, "123", 3, 3L), 1);
    CHECK_ERRNO(SYS(pwrite64, fd, "x", 1, 4L), EFBIG);
}

TEST(preadv, success, "fills the buffers from the place given and leaves the offset")
{
    char buf[8];
    struct iovec iov[2];
    int fd = file_with("abcdef");
    halves(iov, buf, 2);
    CHECK_EQ(SYS(preadv, fd, iov, 2, 1L, 0L), 4);
    CHECK(!memcmp(buf, "bcde", 4));
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
}

TEST(preadv, error, "bad descriptor, negative place, pipe, memory")
{
    char buf[8];
    struct iovec iov[2];
    int pfd[2], fd = file_with("abcdef");
    halves(iov, buf, 2);
    cella_pipe(pfd);
    CHECK_ERRNO(SYS(preadv, CELLA_NO_FD, iov, 2, 0L, 0L), EBADF);
    CHECK_ERRNO(SYS(preadv, fd, iov, 2, -1L, 0L), EINVAL);
    CHECK_ERRNO(SYS(preadv, pfd[0], iov, 2, 0L, 0L), ESPIPE);
    CHECK_ERRNO(SYS(preadv, fd, cella_bad_address(), 2, 0L, 0L), EFAULT);
}

TEST(preadv, limit, "1025 buffers are refused, 0 and places beyond the end read nothing")
{
    static char buf[1];
    static struct iovec iov[1025];
    int fd = file_with("abcdef");
    for (int i = 0; i < 1025; i++)
        iov[i] = (struct iovec){buf, 1};
    CHECK_ERRNO(SYS(preadv, fd, iov, 1025, 0L, 0L), EINVAL);
    CHECK_EQ(SYS(preadv, fd, iov, 0, 0L, 0L), 0);
    CHECK_EQ(SYS(preadv, fd, iov, 1024, 4L, 0L), 2);
    CHECK_EQ(SYS(preadv, fd, iov, 1024, 1L << 40, 0L), 0);
}

TEST(pwritev, success, "writes the buffers at the place given and leaves the offset")
{
    struct iovec iov[2] = {{"XY", 2}, {"Z", 1}};
    int fd = file_with("abcdef");
    CHECK_EQ(SYS(pwritev, fd, iov, 2, 2L, 0L), 3);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    cella_check_file("f", "abXYZf", 6);
}

TEST(pwritev, error, "bad descriptor, negative place, pipe, memory")
{
    struct iovec iov[2] = {{"XY", 2}, {"Z", 1}};
    int pfd[2], fd = file_with("abcdef");
    cella_pipe(pfd);
    CHECK_ERRNO(SYS(pwritev, CELLA_NO_FD, iov, 2, 0L, 0L), EBADF);
    CHECK_ERRNO(SYS(pwritev, fd, iov, 2, -1L, 0L), EINVAL);
    CHECK_ERRNO(SYS(pwritev, pfd[1], iov, 2, 0L, 0L), ESPIPE);
    CHECK_ERRNO(SYS(pwritev, fd, cella_bad_address(), 2, 0L, 0L), EFAULT);
    cella_check_file("f", "abcdef", 6);
}

TEST(pwritev, limit, "1025 buffers are refused, RLIMIT_FSIZE cuts in the middle of a buffer")
{
    static struct iovec iov[1025];
    int fd = file_with("");
    for (int i = 0; i < 1025; i++)
        iov[i] = (struct iovec){"ww", 2};
    CHECK_ERRNO(SYS(pwritev, fd, iov, 1025, 0L, 0L), EINVAL);
    cella_limit_file_size(3);
    CHECK_EQ(SYS(pwritev, fd, iov, 2, 0L, 0L), 3);
    cella_check_file("f", "www", 3);
}

TEST(preadv2, success, "place -1 means the offset and moves it")
{
    char buf[8];
    struct iovec iov[2];
    int fd = file_with("abcdef");
    halves(iov, buf, 2);
    CHECK_EQ(lseek(fd, 1, SEEK_SET), 1);
    CHECK_EQ(SYS(preadv2, fd, iov, 2, -1L, 0L, 0), 4);
    CHECK(!memcmp(buf, "bcde", 4));
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5);
    CHECK_EQ(SYS(preadv2, fd, iov, 1, 0L, 0L, 0), 2);
    CHECK(!memcmp(buf, "ab", 2));
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5);
}

TEST(preadv2, error, "an unknown flag answers EOPNOTSUPP, a bad descriptor EBADF")
{
    char buf[8];
    struct iovec iov[2];
    int fd = file_with("abcdef");
    halves(iov, buf, 2);
    CHECK_ERRNO(SYS(preadv2, fd, iov, 2, 0L, 0L, 0x40000000), EOPNOTSUPP);
    CHECK_ERRNO(SYS(preadv2, CELLA_NO_FD, iov, 2, 0L, 0L, 0), EBADF);
    CHECK_ERRNO(SYS(preadv2, fd, iov, 2, -2L, 0L, 0), EINVAL);
}

TEST(preadv2, interruption, "a signal ends a blocked preadv2 with EINTR")
{
    char buf[8];
    struct iovec iov[2];
    int fd[2];
    halves(iov, buf, 2);
    cella_pipe(fd);
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(SYS(preadv2, fd[0], iov, 2, -1L, 0L, 0), EINTR);
    cella_ticks_stop();
}

TEST(pwritev2, success, "RWF_APPEND appends, place -1 moves the offset, RWF_DSYNC writes")
{
    struct iovec iov[2] = {{"X", 1}, {"Y", 1}};
    int fd = file_with("abc");
    CHECK_EQ(SYS(pwritev2, fd, iov, 2, 0L, 0L, RWF_APPEND), 2);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    cella_check_file("f", "abcXY", 5);
    CHECK_EQ(SYS(pwritev2, fd, iov, 1, -1L, 0L, 0), 1);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 1);
    CHECK_EQ(SYS(pwritev2, fd, iov, 2, 2L, 0L, RWF_DSYNC), 2);
    cella_check_file("f", "XbXYY", 5);
}

TEST(pwritev2, error, "an unknown flag answers EOPNOTSUPP, a bad descriptor EBADF")
{
    struct iovec iov[2] = {{"X", 1}, {"Y", 1}};
    int fd = file_with("abc");
    CHECK_ERRNO(SYS(pwritev2, fd, iov, 2, 0L, 0L, 0x40000000), EOPNOTSUPP);
    CHECK_ERRNO(SYS(pwritev2, CELLA_NO_FD, iov, 2, 0L, 0L, 0), EBADF);
    CHECK_ERRNO(SYS(pwritev2, fd, iov, 2, -2L, 0L, 0), EINVAL);
}

TEST(pwritev2, interruption, "a signal ends a pwritev2 to a full pipe with EINTR")
{
    struct iovec iov[2] = {{"X", 1}, {"Y", 1}};
    int fd[2];
    cella_pipe(fd);
    cella_fill_pipe(fd[1]);
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(SYS(pwritev2, fd[1], iov, 2, -1L, 0L, 0), EINTR);
    cella_ticks_stop();
}

TEST(lseek, success, "moves from the start, the place and the end; descriptors of a dup share it")
{
    int fd = file_with("abcde");
    CHECK_EQ(SYS(lseek, fd, 2L, SEEK_SET), 2);
    CHECK_EQ(SYS(lseek, fd, 2L, SEEK_CUR), 4);
    CHECK_EQ(SYS(lseek, fd, -3L, SEEK_CUR), 1);
    CHECK_EQ(SYS(lseek, fd, -1L, SEEK_END), 4);
    CHECK_EQ(SYS(lseek, dup(fd), 0L, SEEK_CUR), 4);
}

TEST(lseek, success, "SEEK_DATA and SEEK_HOLE find data and the end")
{
    int fd = file_with("");
    CHECK_EQ(pwrite(fd, "data", 4, 1 << 20), 4);
    off_t data = SYS(lseek, fd, 0L, SEEK_DATA);
    CHECK(data >= 0 && data <= 1 << 20);
    CHECK_EQ(SYS(lseek, fd, 1L << 20, SEEK_DATA), 1 << 20);
    CHECK_EQ(SYS(lseek, fd, 1L << 20, SEEK_HOLE), (1 << 20) + 4);
    CHECK_ERRNO(SYS(lseek, fd, (1L << 20) + 4, SEEK_DATA), ENXIO);
}

TEST(lseek, error, "closed descriptor, pipe, unknown whence, place before the start")
{
    int pfd[2], fd = file_with("abc");
    cella_pipe(pfd);
    CHECK_ERRNO(SYS(lseek, CELLA_NO_FD, 0L, SEEK_SET), EBADF);
    CHECK_ERRNO(SYS(lseek, pfd[0], 0L, SEEK_CUR), ESPIPE);
    CHECK_ERRNO(SYS(lseek, fd, 0L, 99), EINVAL);
    CHECK_ERRNO(SYS(lseek, fd, -1L, SEEK_SET), EINVAL);
    CHECK_ERRNO(SYS(lseek, fd, -4L, SEEK_END), EINVAL);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
}

TEST(lseek, limit, "beyond 4 GiB and the end is a place that does not extend; overflow is refused")
{
    int fd = file_with("abc");
    CHECK_EQ(SYS(lseek, fd, 5L << 30, SEEK_SET), 5L << 30);
    CHECK_EQ(cella_file_size("f"), 3);
    CHECK_ERRNO(SYS(lseek, fd, LONG_MAX, SEEK_CUR), EINVAL);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5L << 30);
}

TEST_MAIN()
