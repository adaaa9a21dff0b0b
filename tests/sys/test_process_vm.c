/* SPDX-License-Identifier: Apache-2.0 */
/* Looking into another process: process_vm_readv, process_vm_writev, kcmp, pidfd_getfd. */
#include "cella_file.h"

#include <linux/kcmp.h>
#include <sys/uio.h>

#define PAGE 4096ul

/* A child that stands still with its own copy of the test's memory. */
static pid_t still_child(void)
{
    pid_t pid = cella_fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    return pid;
}

static void ended(pid_t pid)
{
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_EQ(cella_wait_exit(pid), -1);
}

static long readv_from(pid_t pid, void *to, const void *from, size_t len)
{
    struct iovec local = {to, len}, remote = {(void *)(uintptr_t)from, len};
    return SYS(process_vm_readv, pid, &local, 1l, &remote, 1l, 0l);
}

static long writev_to(pid_t pid, void *to, const void *from, size_t len)
{
    struct iovec local = {(void *)(uintptr_t)from, len}, remote = {to, len};
    return SYS(process_vm_writev, pid, &local, 1l, &remote, 1l, 0l);
}

static char text[] = "before the fork";
static char big[300000];

TEST(process_vm_readv, success, "reads what the other process has there, not the caller's")
{
    char buf[32] = "";
    memset(big, 'a', sizeof(big));
    pid_t pid = still_child();
    strcpy(text, "after the fork");
    CHECK_EQ(readv_from(pid, buf, text, sizeof(text)), sizeof(text));
    CHECK_STR(buf, "before the fork");
    static char copy[sizeof(big)];
    CHECK_EQ(readv_from(pid, copy, big, sizeof(big)), sizeof(big));
    CHECK(!memcmp(copy, big, sizeof(big)));
    CHECK_EQ(readv_from(getpid(), buf, text, sizeof(text)), sizeof(text));
    CHECK_STR(buf, "after the fork");
    struct iovec local[] = {{buf, 3}, {buf + 10, 4}}, remote[] = {{text, 2}, {text + 7, 9}};
    CHECK_EQ(SYS(process_vm_readv, pid, local, 2l, remote, 2l, 0l), 7);
    CHECK(!memcmp(buf, "be", 2) && buf[2] == 't' && !memcmp(buf + 10, "he f", 4));
    ended(pid);
}

TEST(process_vm_readv, error, "no process, flags, bad memory on either side, no permission")
{
    char buf[32];
    pid_t pid = still_child();
    struct iovec v = {buf, 1};
    CHECK_ERRNO(readv_from(0x3fffffff, buf, text, 4), ESRCH);
    CHECK_ERRNO(SYS(process_vm_readv, pid, &v, 1l, &v, 1l, 1l), EINVAL);
    CHECK_ERRNO(readv_from(pid, cella_bad_address(), text, 4), EFAULT);
    CHECK_ERRNO(SYS(process_vm_readv, pid, cella_bad_address(), 1l, &v, 1l, 0l), EFAULT);
    CHECK_ERRNO(SYS(process_vm_readv, pid, &v, 1l, cella_bad_address(), 1l, 0l), EFAULT);
    CHECK_ERRNO(readv_from(pid, buf, (void *)8, 4), EFAULT);
    pid_t other = cella_fork();
    if (other == 0) {
        if (geteuid() != 0)
            _exit(0);
        cella_drop_root();
        CHECK_ERRNO(readv_from(pid, buf, text, 4), EPERM);
        CHECK_ERRNO(SYS(kcmp, pid, getpid(), KCMP_VM, 0l, 0l), EPERM);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(other), 0);
    ended(pid);
}

TEST(process_vm_readv, limit, "up to 1024 vectors; nothing asked is nothing read; stops at a hole")
{
    char *area = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    static struct iovec many[1025];
    static char buf[2 * PAGE];
    CHECK(area != MAP_FAILED);
    memset(area, 'x', 2 * PAGE);
    for (int i = 0; i < 1025; i++)
        many[i] = (struct iovec){buf, 1};
    CHECK_OK(munmap(area + PAGE, PAGE));
    pid_t pid = still_child();
    CHECK_EQ(readv_from(pid, buf, area, 2 * PAGE), PAGE);
    CHECK(buf[0] == 'x' && buf[PAGE - 1] == 'x' && buf[PAGE] == 0);
    CHECK_EQ(SYS(process_vm_readv, pid, many, 1024l, many, 1024l, 0l), 1024);
    CHECK_ERRNO(SYS(process_vm_readv, pid, many, 1025l, many, 1l, 0l), EINVAL);
    CHECK_ERRNO(SYS(process_vm_readv, pid, many, 1l, many, 1025l, 0l), EINVAL);
    CHECK_EQ(SYS(process_vm_readv, pid, many, 0l, many, 1l, 0l), 0);
    CHECK_EQ(SYS(process_vm_readv, pid, many, 1l, many, 0l, 0l), 0);
    ended(pid);
}

TEST(process_vm_writev, success, "writes into the other process, also where it is not touched yet")
{
    int fd[2];
    cella_pipe(fd);
    char *area = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(area != MAP_FAILED);
    pid_t pid = cella_fork();
    if (pid == 0) {
        char c;
        CHECK_EQ(read(fd[0], &c, 1), 1);
        CHECK_STR(text, "from outside  ");
        CHECK_STR(area, "here");
        _exit(7);
    }
    CHECK_EQ(writev_to(pid, text, "from outside  ", 15), 15);
    CHECK_EQ(writev_to(pid, area, "here", 5), 5);
    CHECK_EQ(area[0], 0);
    CHECK_EQ(write(fd[1], "x", 1), 1);
    CHECK_EQ(cella_wait_exit(pid), 7);
}

TEST(process_vm_writev, error, "what cannot be written stays; no process, flags, bad memory")
{
    static const char constant[] = "constant";
    struct iovec v = {text, 1};
    pid_t pid = still_child();
    CHECK_ERRNO(writev_to(pid, (char *)(uintptr_t)constant, "x", 1), EFAULT);
    CHECK_ERRNO(writev_to(pid, text, cella_bad_address(), 1), EFAULT);
    CHECK_ERRNO(writev_to(0x3fffffff, text, "x", 1), ESRCH);
    CHECK_ERRNO(SYS(process_vm_writev, pid, &v, 1l, &v, 1l, 2l), EINVAL);
    ended(pid);
}

TEST(process_vm_writev, limit, "as many bytes as both sides have; stops at what is not there")
{
    char *area = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(area != MAP_FAILED);
    CHECK_OK(mprotect(area + PAGE, PAGE, PROT_READ));
    pid_t pid = still_child();
    CHECK_EQ(writev_to(pid, area + PAGE - 10, big, 20), 10);
    struct iovec local = {big, 5}, remote = {area, 100};
    CHECK_EQ(SYS(process_vm_writev, pid, &local, 1l, &remote, 1l, 0l), 5);
    ended(pid);
}

static long compare(pid_t a, pid_t b, int type, long x, long y)
{
    return SYS(kcmp, a, b, type, x, y);
}

TEST(kcmp, success, "open files that are one, and what processes share")
{
    int one = cella_open("/", O_RDONLY), two = cella_open("/", O_RDONLY), same = dup(one);
    pid_t me = getpid(), pid = still_child();
    CHECK_EQ(compare(me, me, KCMP_FILE, one, same), 0);
    CHECK_EQ(compare(me, pid, KCMP_FILE, one, same), 0);
    long order = compare(me, me, KCMP_FILE, one, two);
    CHECK(order == 1 || order == 2);
    CHECK_EQ(compare(me, me, KCMP_FILE, two, one), 3 - order);
    CHECK_EQ(compare(me, me, KCMP_VM, 0, 0), 0);
    CHECK(compare(me, pid, KCMP_VM, 0, 0) > 0);
    CHECK(compare(me, pid, KCMP_FILES, 0, 0) > 0);
    CHECK(compare(me, pid, KCMP_FS, 0, 0) > 0);
    CHECK(compare(me, pid, KCMP_SIGHAND, 0, 0) > 0);
    CHECK_EQ(compare(me, pid, KCMP_SYSVSEM, 0, 0), 0);
    ended(pid);
}

TEST(kcmp, error, "no process, no such kind, closed descriptors")
{
    pid_t me = getpid();
    CHECK_ERRNO(compare(me, 0x3fffffff, KCMP_VM, 0, 0), ESRCH);
    CHECK_ERRNO(compare(me, me, 99, 0, 0), EINVAL);
    CHECK_ERRNO(compare(me, me, -1, 0, 0), EINVAL);
    CHECK_ERRNO(compare(me, me, KCMP_FILE, CELLA_NO_FD, 0), EBADF);
}

static int getfd(pid_t pid, int fd)
{
    int pidfd = (int)SYS(pidfd_open, pid, 0);
    CHECK(pidfd >= 0);
    int got = (int)SYS(pidfd_getfd, pidfd, fd, 0);
    int err = errno;
    CHECK_OK(close(pidfd));
    errno = err;
    return got;
}

TEST(pidfd_getfd, success, "takes an open file over from another process, close-on-exec")
{
    int fds[2], mine;
    cella_pipe(fds);
    pid_t pid = still_child();
    CHECK_OK(close(fds[1]));
    mine = getfd(pid, fds[1]);
    CHECK(mine >= 0);
    CHECK_EQ(fcntl(mine, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(write(mine, "x", 1), 1);
    char c;
    CHECK_EQ(read(fds[0], &c, 1), 1);
    ended(pid);
}

TEST(pidfd_getfd, error, "closed there, no pidfd, flags, no permission")
{
    pid_t pid = still_child();
    int pidfd = (int)SYS(pidfd_open, pid, 0);
    CHECK_ERRNO(SYS(pidfd_getfd, pidfd, CELLA_NO_FD, 0), EBADF);
    CHECK_ERRNO(SYS(pidfd_getfd, CELLA_NO_FD, 0, 0), EBADF);
    CHECK_ERRNO(SYS(pidfd_getfd, cella_open("/", O_RDONLY), 0, 0), EBADF);
    CHECK_ERRNO(SYS(pidfd_getfd, pidfd, 0, 1), EINVAL);
    pid_t other = cella_fork();
    if (other == 0) {
        if (geteuid() != 0)
            _exit(0);
        cella_drop_root();
        CHECK_ERRNO(SYS(pidfd_getfd, pidfd, pidfd, 0), EPERM);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(other), 0);
    ended(pid);
}

TEST(pidfd_getfd, limit, "RLIMIT_NOFILE answers EMFILE; a process that ended has no descriptors")
{
    pid_t pid = still_child();
    int pidfd = (int)SYS(pidfd_open, pid, 0);
    cella_limit_fds(0);
    CHECK_ERRNO(SYS(pidfd_getfd, pidfd, 0, 0), EMFILE);
    ended(pid);
    CHECK_ERRNO(SYS(pidfd_getfd, pidfd, 0, 0), ESRCH);
}

TEST_MAIN()
