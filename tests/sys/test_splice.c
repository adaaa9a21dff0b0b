/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes between pipes and files: splice, tee, vmsplice. */
#include "cella_file.h"

#include <sys/uio.h>

static void put(int fd, const char *text)
{
    CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
}

/* What the pipe has now must be just this. */
static void expect(int fd, const char *text)
{
    char buf[256] = "";
    cella_set_nonblocking(fd, true);
    ssize_t n = read(fd, buf, sizeof(buf) - 1);
    cella_set_nonblocking(fd, false);
    CHECK_EQ(n, *text ? (ssize_t)strlen(text) : -1);
    CHECK_STR(buf, text);
}

TEST(splice, success, "from file to pipe and back, at offsets that follow or at the file's own")
{
    int p[2];
    loff_t off = 2;
    cella_scratch();
    cella_put_file("a", "0123456789", 10);
    int in = cella_open("a", O_RDONLY), out = cella_open("b", O_RDWR | O_CREAT);
    cella_pipe(p);
    CHECK_EQ(SYS(splice, in, &off, p[1], NULL, 3l, 0), 3);
    CHECK_EQ(off, 5);
    CHECK_EQ(lseek(in, 0, SEEK_CUR), 0);
    CHECK_EQ(SYS(splice, in, NULL, p[1], NULL, 2l, 0), 2);
    CHECK_EQ(lseek(in, 0, SEEK_CUR), 2);
    off = 4;
    CHECK_EQ(SYS(splice, p[0], NULL, out, &off, 100l, 0), 5);
    CHECK_EQ(off, 9);
    cella_check_file("b",
                     "\0\0\0\0"
                     "23401",
                     9);
    off = 10;
    CHECK_EQ(SYS(splice, in, &off, p[1], NULL, 3l, 0), 0); /* the end of the file */
}

TEST(splice, success, "from pipe to pipe moves; the end of the writers is 0")
{
    int a[2], b[2];
    cella_pipe(a);
    cella_pipe(b);
    put(a[1], "abcdef");
    CHECK_EQ(SYS(splice, a[0], NULL, b[1], NULL, 4l, 0), 4);
    expect(b[0], "abcd");
    expect(a[0], "ef");
    CHECK_OK(close(a[1]));
    CHECK_EQ(SYS(splice, a[0], NULL, b[1], NULL, 4l, 0), 0);
}

TEST(splice, success, "waits for bytes that come")
{
    int a[2], b[2];
    cella_pipe(a);
    cella_pipe(b);
    pid_t pid = cella_fork();
    if (pid == 0) {
        cella_sleep_ms(30);
        put(a[1], "late");
        _exit(0);
    }
    CHECK_EQ(SYS(splice, a[0], NULL, b[1], NULL, 100l, 0), 4);
    expect(b[0], "late");
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(splice, error, "no pipe, one pipe twice, offsets of pipes, wrong modes, flags, bad memory")
{
    int a[2];
    loff_t off = 0;
    cella_scratch();
    cella_put_file("a", "x", 1);
    int f = cella_open("a", O_RDWR), append = cella_open("a", O_WRONLY | O_APPEND);
    cella_pipe(a);
    put(a[1], "abc");
    CHECK_ERRNO(SYS(splice, f, NULL, f, NULL, 1l, 0), EINVAL);
    CHECK_ERRNO(SYS(splice, a[0], NULL, a[1], NULL, 1l, 0), EINVAL);
    CHECK_ERRNO(SYS(splice, a[0], &off, f, NULL, 1l, 0), ESPIPE);
    CHECK_ERRNO(SYS(splice, f, NULL, a[1], &off, 1l, 0), ESPIPE);
    CHECK_ERRNO(SYS(splice, a[1], NULL, f, NULL, 1l, 0), EBADF);
    CHECK_ERRNO(SYS(splice, CELLA_NO_FD, NULL, f, NULL, 1l, 0), EBADF);
    CHECK_ERRNO(SYS(splice, a[0], NULL, append, NULL, 1l, 0), EINVAL);
    CHECK_ERRNO(SYS(splice, a[0], NULL, f, NULL, 1l, 0x100), EINVAL);
    CHECK_ERRNO(SYS(splice, a[0], NULL, f, cella_bad_address(), 1l, 0), EFAULT);
    CHECK_EQ(SYS(splice, a[0], NULL, f, NULL, 0l, 0), 0);
    expect(a[0], "abc");
}

TEST(splice, interruption, "a signal ends the wait for bytes with EINTR")
{
    int a[2], b[2];
    cella_pipe(a);
    cella_pipe(b);
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(SYS(splice, a[0], NULL, b[1], NULL, 1l, 0), EINTR);
    cella_ticks_stop();
}

TEST(splice, limit, "EAGAIN when nothing is there or nothing fits and waiting is not wanted")
{
    int a[2], b[2];
    cella_pipe(a);
    cella_pipe(b);
    CHECK_ERRNO(SYS(splice, a[0], NULL, b[1], NULL, 1l, 2 /* SPLICE_F_NONBLOCK */), EAGAIN);
    cella_fill_pipe(b[1]);
    put(a[1], "abc");
    CHECK_ERRNO(SYS(splice, a[0], NULL, b[1], NULL, 1l, 2), EAGAIN);
    expect(a[0], "abc");
}

TEST(tee, success, "copies and leaves")
{
    int a[2], b[2];
    cella_pipe(a);
    cella_pipe(b);
    put(a[1], "abcdef");
    CHECK_EQ(SYS(tee, a[0], b[1], 100l, 0), 6);
    expect(b[0], "abcdef");
    CHECK_EQ(SYS(tee, a[0], b[1], 2l, 0), 2);
    expect(b[0], "ab");
    expect(a[0], "abcdef");
    CHECK_OK(close(a[1]));
    CHECK_EQ(SYS(tee, a[0], b[1], 1l, 0), 0);
}

TEST(tee, error, "two different pipes, open the right way, and known flags")
{
    int a[2];
    cella_pipe(a);
    int f = cella_open("/dev/null", O_RDWR);
    CHECK_ERRNO(SYS(tee, a[0], a[1], 1l, 0), EINVAL);
    CHECK_ERRNO(SYS(tee, a[0], f, 1l, 0), EINVAL);
    CHECK_ERRNO(SYS(tee, a[1], a[0], 1l, 0), EBADF);
    CHECK_ERRNO(SYS(tee, CELLA_NO_FD, a[1], 1l, 0), EBADF);
    CHECK_ERRNO(SYS(tee, a[0], a[1], 1l, 0x100), EINVAL);
}

TEST(tee, interruption, "a signal ends the wait for bytes with EINTR")
{
    int a[2], b[2];
    cella_pipe(a);
    cella_pipe(b);
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(SYS(tee, a[0], b[1], 1l, 0), EINTR);
    cella_ticks_stop();
}

TEST(tee, limit, "EAGAIN when nothing is there or nothing fits and waiting is not wanted")
{
    int a[2], b[2];
    cella_pipe(a);
    cella_pipe(b);
    CHECK_ERRNO(SYS(tee, a[0], b[1], 1l, 2), EAGAIN);
    put(a[1], "abc");
    cella_fill_pipe(b[1]);
    CHECK_ERRNO(SYS(tee, a[0], b[1], 1l, 2), EAGAIN);
    CHECK_EQ(SYS(tee, a[0], b[1], 0l, 0), 0);
}

TEST(vmsplice, success, "memory into a pipe, and a pipe into memory")
{
    int a[2];
    char x[] = "abc", y[] = "defgh", buf[16] = "";
    struct iovec v[] = {{x, 3}, {y, 5}}, to[] = {{buf, 2}, {buf + 2, 13}};
    cella_pipe(a);
    CHECK_EQ(SYS(vmsplice, a[1], v, 2l, 0), 8);
    CHECK_EQ(SYS(vmsplice, a[0], to, 2l, 0), 8);
    CHECK_STR(buf, "abcdefgh");
}

TEST(vmsplice, error, "no pipe, unknown flags, bad memory")
{
    int a[2];
    struct iovec bad = {cella_bad_address(), 4}, v = {a, 1};
    cella_pipe(a);
    CHECK_ERRNO(SYS(vmsplice, cella_open("/dev/null", O_RDWR), &v, 1l, 0), EBADF);
    CHECK_ERRNO(SYS(vmsplice, CELLA_NO_FD, &v, 1l, 0), EBADF);
    CHECK_ERRNO(SYS(vmsplice, a[1], &v, 1l, 0x100), EINVAL);
    CHECK_ERRNO(SYS(vmsplice, a[1], &v, 1025l, 0), EINVAL);
    CHECK_ERRNO(SYS(vmsplice, a[1], &bad, 1l, 0), EFAULT);
    CHECK_ERRNO(SYS(vmsplice, a[1], cella_bad_address(), 1l, 0), EFAULT);
    CHECK_EQ(SYS(vmsplice, a[1], &v, 0l, 0), 0);
}

TEST(vmsplice, interruption, "a signal ends the wait for bytes with EINTR")
{
    int a[2];
    char c;
    struct iovec v = {&c, 1};
    cella_pipe(a);
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(SYS(vmsplice, a[0], &v, 1l, 0), EINTR);
    cella_ticks_stop();
}

TEST(vmsplice, limit, "EAGAIN when nothing is there or nothing fits and waiting is not wanted")
{
    int a[2];
    char c = 'x';
    struct iovec v = {&c, 1};
    cella_pipe(a);
    CHECK_ERRNO(SYS(vmsplice, a[0], &v, 1l, 2), EAGAIN);
    cella_fill_pipe(a[1]);
    CHECK_ERRNO(SYS(vmsplice, a[1], &v, 1l, 2), EAGAIN);
}

TEST_MAIN()
