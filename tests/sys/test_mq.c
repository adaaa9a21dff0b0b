/* SPDX-License-Identifier: Apache-2.0 */
/* POSIX message queues: mq_open, mq_unlink, mq_timedsend, mq_timedreceive, mq_notify,
 * mq_getsetattr. */
#include "cella_file.h"

#include <mqueue.h>
#include <poll.h>

/* A name that is the test's own. */
static const char *name(void)
{
    static char text[64];
    snprintf(text, sizeof(text), "cella-test-%d", getpid());
    return text;
}

static int queue(int flags, long maxmsg, long msgsize)
{
    struct mq_attr attr = {.mq_maxmsg = maxmsg, .mq_msgsize = msgsize};
    int fd = (int)SYS(mq_open, name(), flags | O_CREAT, 0600, &attr);
    CHECK(fd >= 0);
    CHECK_OK(SYS(mq_unlink, name()));
    return fd;
}

static long send_text(int fd, const char *text, unsigned priority)
{
    return SYS(mq_timedsend, fd, text, strlen(text) + 1, priority, NULL);
}

static void expect(int fd, const char *text, unsigned priority)
{
    char buf[8192];
    unsigned got;
    CHECK_EQ(SYS(mq_timedreceive, fd, buf, sizeof(buf), &got, NULL), strlen(text) + 1);
    CHECK_STR(buf, text);
    CHECK_EQ(got, priority);
}

static struct mq_attr attr_of(int fd)
{
    struct mq_attr attr;
    CHECK_OK(SYS(mq_getsetattr, fd, NULL, &attr));
    return attr;
}

static struct timespec in_ms(long ms)
{
    struct timespec now;
    CHECK_OK(clock_gettime(CLOCK_REALTIME, &now));
    long ns = now.tv_nsec + ms * 1000000;
    return (struct timespec){now.tv_sec + ns / 1000000000, ns % 1000000000};
}

TEST(mq_open, success, "a name finds the same queue again; the default and the asked attributes")
{
    int a = (int)SYS(mq_open, name(), O_CREAT | O_RDWR | O_CLOEXEC, 0600, NULL);
    CHECK(a >= 0);
    CHECK_EQ(fcntl(a, F_GETFD), FD_CLOEXEC);
    struct mq_attr attr = attr_of(a);
    CHECK(attr.mq_maxmsg == 10 && attr.mq_msgsize == 8192 && attr.mq_curmsgs == 0);
    int b = (int)SYS(mq_open, name(), O_RDONLY | O_NONBLOCK, 0, NULL);
    CHECK(b >= 0);
    CHECK_OK(send_text(a, "hello", 3));
    expect(b, "hello", 3);
    CHECK_OK(SYS(mq_unlink, name()));
    CHECK_ERRNO(SYS(mq_open, name(), O_RDWR, 0, NULL), ENOENT);
    attr = attr_of(queue(O_RDWR, 3, 100));
    CHECK(attr.mq_maxmsg == 3 && attr.mq_msgsize == 100);
    struct stat st;
    CHECK_OK(fstat(a, &st));
    CHECK(S_ISREG(st.st_mode) && (st.st_mode & 0777) == 0600 && st.st_uid == geteuid());
}

TEST(mq_open, error, "taken, absent, not permitted, names that cannot be, bad memory")
{
    int fd = (int)SYS(mq_open, name(), O_CREAT | O_RDWR, 0600, NULL);
    CHECK(fd >= 0);
    CHECK_ERRNO(SYS(mq_open, name(), O_CREAT | O_EXCL | O_RDWR, 0600, NULL), EEXIST);
    CHECK_ERRNO(SYS(mq_open, "none", O_RDWR, 0, NULL), ENOENT);
    CHECK_ERRNO(SYS(mq_open, "", O_RDWR, 0, NULL), ENOENT);
    CHECK_ERRNO(SYS(mq_open, "a/b", O_CREAT | O_RDWR, 0600, NULL), EACCES);
    CHECK_ERRNO(SYS(mq_open, cella_name(256), O_CREAT | O_RDWR, 0600, NULL), ENAMETOOLONG);
    CHECK_ERRNO(SYS(mq_open, cella_bad_address(), O_RDWR, 0, NULL), EFAULT);
    CHECK_ERRNO(SYS(mq_open, "x", O_CREAT | O_RDWR, 0600, cella_bad_address()), EFAULT);
    struct mq_attr none = {.mq_maxmsg = 0, .mq_msgsize = 10};
    CHECK_ERRNO(SYS(mq_open, "x", O_CREAT | O_RDWR, 0600, &none), EINVAL);
    pid_t pid = cella_fork();
    if (pid == 0) {
        if (geteuid() != 0)
            _exit(0);
        char own[64];
        strcpy(own, "cella-test-");
        sprintf(own + strlen(own), "%d", getppid());
        cella_drop_root();
        CHECK_ERRNO(SYS(mq_open, own, O_RDONLY, 0, NULL), EACCES);
        CHECK_ERRNO(SYS(mq_unlink, own), EPERM);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_OK(SYS(mq_unlink, name()));
}

TEST(mq_open, limit, "unprivileged: msg_max, msgsize_max, RLIMIT_MSGQUEUE; and descriptors")
{
    struct mq_attr attr = {.mq_maxmsg = 11, .mq_msgsize = 10};
    cella_drop_root();
    CHECK_ERRNO(SYS(mq_open, name(), O_CREAT | O_RDWR, 0600, &attr), EINVAL);
    attr = (struct mq_attr){.mq_maxmsg = 10, .mq_msgsize = 8193};
    CHECK_ERRNO(SYS(mq_open, name(), O_CREAT | O_RDWR, 0600, &attr), EINVAL);
    struct rlimit limit = {2000, 2000};
    CHECK_OK(setrlimit(RLIMIT_MSGQUEUE, &limit));
    attr = (struct mq_attr){.mq_maxmsg = 10, .mq_msgsize = 200};
    CHECK_ERRNO(SYS(mq_open, name(), O_CREAT | O_RDWR, 0600, &attr), EMFILE);
    attr.mq_msgsize = 50;
    int fd = (int)SYS(mq_open, name(), O_CREAT | O_RDWR, 0600, &attr);
    CHECK(fd >= 0);
    CHECK_ERRNO(SYS(mq_open, "second", O_CREAT | O_RDWR, 0600, &attr), EMFILE);
    CHECK_OK(SYS(mq_unlink, name()));
    CHECK_OK(close(fd));
    CHECK_OK(SYS(mq_open, name(), O_CREAT | O_RDWR, 0600, &attr)); /* the bytes came back */
    CHECK_OK(SYS(mq_unlink, name()));
    cella_limit_fds(0);
    CHECK_ERRNO(SYS(mq_open, name(), O_CREAT | O_RDWR, 0600, &attr), EMFILE);
    CHECK_ERRNO(SYS(mq_unlink, name()), ENOENT);
}

TEST(mq_unlink, success, "the queue lives on for those who have it open")
{
    int fd = queue(O_RDWR, 2, 8192);
    CHECK_OK(send_text(fd, "still", 0));
    expect(fd, "still", 0);
}

TEST(mq_unlink, error, "absent, bad memory")
{
    CHECK_ERRNO(SYS(mq_unlink, "none"), ENOENT);
    CHECK_ERRNO(SYS(mq_unlink, cella_bad_address()), EFAULT);
}

TEST(mq_unlink, limit, "the longest name is taken, a longer one is not")
{
    int fd = (int)SYS(mq_open, cella_name(255), O_CREAT | O_RDWR, 0600, NULL);
    CHECK(fd >= 0);
    CHECK_OK(SYS(mq_unlink, cella_name(255)));
    CHECK_ERRNO(SYS(mq_unlink, cella_name(256)), ENAMETOOLONG);
}

TEST(mq_timedsend, success, "the highest priority first, equal ones in order; poll tells")
{
    int fd = queue(O_RDWR, 3, 8192);
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
    CHECK(poll(&p, 1, 0) == 1 && p.revents == POLLOUT);
    CHECK_OK(send_text(fd, "low", 1));
    CHECK(poll(&p, 1, 0) == 1 && p.revents == (POLLIN | POLLOUT));
    CHECK_OK(send_text(fd, "high", 32767));
    CHECK_OK(send_text(fd, "low too", 1));
    CHECK(poll(&p, 1, 0) == 1 && p.revents == POLLIN);
    CHECK_EQ(attr_of(fd).mq_curmsgs, 3);
    expect(fd, "high", 32767);
    expect(fd, "low", 1);
    expect(fd, "low too", 1);
}

TEST(mq_timedsend, success, "a full queue makes the sender wait until there is room")
{
    int fd = queue(O_RDWR, 1, 8192);
    CHECK_OK(send_text(fd, "one", 0));
    pid_t pid = cella_fork();
    if (pid == 0) {
        cella_sleep_ms(30);
        expect(fd, "one", 0);
        _exit(0);
    }
    CHECK_OK(send_text(fd, "two", 0));
    CHECK_EQ(cella_wait_exit(pid), 0);
    expect(fd, "two", 0);
}

TEST(mq_timedsend, error, "closed, read-only, another file, too long, times that are none")
{
    int fd = queue(O_RDONLY, 1, 10), rw = queue(O_RDWR, 1, 10);
    struct timespec bad = {0, 1000000000};
    CHECK_ERRNO(send_text(CELLA_NO_FD, "x", 0), EBADF);
    CHECK_ERRNO(send_text(fd, "x", 0), EBADF);
    CHECK_ERRNO(send_text(cella_open("/dev/null", O_RDWR), "x", 0), EBADF);
    CHECK_ERRNO(send_text(rw, "longer than ten", 0), EMSGSIZE);
    CHECK_ERRNO(send_text(rw, "x", 32768), EINVAL);
    CHECK_ERRNO(SYS(mq_timedsend, rw, "x", 1, 0, &bad), EINVAL);
    CHECK_ERRNO(SYS(mq_timedsend, rw, "x", 1, 0, cella_bad_address()), EFAULT);
    CHECK_ERRNO(SYS(mq_timedsend, rw, cella_bad_address(), 1, 0, NULL), EFAULT);
    CHECK_EQ(attr_of(rw).mq_curmsgs, 0);
}

TEST(mq_timedsend, interruption, "a signal ends the wait with EINTR")
{
    int fd = queue(O_RDWR, 1, 10);
    CHECK_OK(send_text(fd, "x", 0));
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(send_text(fd, "y", 0), EINTR);
    cella_ticks_stop();
}

TEST(mq_timedsend, limit, "a full queue: EAGAIN, or ETIMEDOUT when the time is over")
{
    int fd = queue(O_RDWR | O_NONBLOCK, 1, 10);
    CHECK_OK(send_text(fd, "x", 0));
    CHECK_ERRNO(send_text(fd, "y", 0), EAGAIN);
    cella_set_nonblocking(fd, false);
    struct timespec soon = in_ms(50), past = {1, 0};
    long long start = cella_now_ms();
    CHECK_ERRNO(SYS(mq_timedsend, fd, "y", 1, 0, &soon), ETIMEDOUT);
    CHECK(cella_now_ms() - start >= 40);
    CHECK_ERRNO(SYS(mq_timedsend, fd, "y", 1, 0, &past), ETIMEDOUT);
}

TEST(mq_timedreceive, success, "waits for a message; empty ones are messages")
{
    char buf[10];
    int fd = queue(O_RDWR, 2, 10);
    pid_t pid = cella_fork();
    if (pid == 0) {
        cella_sleep_ms(30);
        CHECK_OK(SYS(mq_timedsend, fd, "", 0, 9, NULL));
        _exit(0);
    }
    CHECK_EQ(SYS(mq_timedreceive, fd, buf, sizeof(buf), NULL, NULL), 0);
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(mq_timedreceive, success, "many receivers and senders lose and double nothing")
{
    enum { EACH = 300 };
    int fd = queue(O_RDWR, 4, sizeof(int)), sum = 0, got;
    pid_t senders[3], receivers[3];
    int pipes[2];
    cella_pipe(pipes);
    for (int i = 0; i < 3; i++) {
        senders[i] = cella_fork();
        if (senders[i] == 0) {
            for (int n = 1; n <= EACH; n++)
                CHECK_OK(SYS(mq_timedsend, fd, &n, sizeof(n), 0, NULL));
            _exit(0);
        }
        receivers[i] = cella_fork();
        if (receivers[i] == 0) {
            int mine = 0, n;
            for (int k = 0; k < EACH; k++) {
                CHECK_EQ(SYS(mq_timedreceive, fd, &n, sizeof(n), NULL, NULL), sizeof(n));
                mine += n;
            }
            CHECK_EQ(write(pipes[1], &mine, sizeof(mine)), sizeof(mine));
            _exit(0);
        }
    }
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(cella_wait_exit(senders[i]), 0);
        CHECK_EQ(cella_wait_exit(receivers[i]), 0);
        CHECK_EQ(read(pipes[0], &got, sizeof(got)), sizeof(got));
        sum += got;
    }
    CHECK_EQ(sum, 3 * EACH * (EACH + 1) / 2);
}

TEST(mq_timedreceive, error, "closed, write-only, buffers under the queue's size, bad memory")
{
    char buf[10];
    int fd = queue(O_WRONLY, 1, 10), rw = queue(O_RDWR, 2, 10);
    CHECK_ERRNO(SYS(mq_timedreceive, CELLA_NO_FD, buf, 10, NULL, NULL), EBADF);
    CHECK_ERRNO(SYS(mq_timedreceive, fd, buf, 10, NULL, NULL), EBADF);
    CHECK_ERRNO(SYS(mq_timedreceive, rw, buf, 9, NULL, NULL), EMSGSIZE);
    CHECK_ERRNO(SYS(mq_timedreceive, rw, buf, 10, NULL, cella_bad_address()), EFAULT);
    CHECK_OK(send_text(rw, "x", 0));
    CHECK_ERRNO(SYS(mq_timedreceive, rw, cella_bad_address(), 10, NULL, NULL), EFAULT);
}

TEST(mq_timedreceive, interruption, "a signal ends the wait with EINTR")
{
    char buf[10];
    int fd = queue(O_RDWR, 1, 10);
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(SYS(mq_timedreceive, fd, buf, 10, NULL, NULL), EINTR);
    cella_ticks_stop();
}

TEST(mq_timedreceive, limit, "an empty queue: EAGAIN, or ETIMEDOUT when the time is over")
{
    char buf[10];
    int fd = queue(O_RDWR | O_NONBLOCK, 1, 10);
    CHECK_ERRNO(SYS(mq_timedreceive, fd, buf, 10, NULL, NULL), EAGAIN);
    cella_set_nonblocking(fd, false);
    struct timespec soon = in_ms(50);
    CHECK_ERRNO(SYS(mq_timedreceive, fd, buf, 10, NULL, &soon), ETIMEDOUT);
}

static volatile sig_atomic_t told_value, told_code;
static void on_message(int sig, siginfo_t *info, void *context)
{
    told_value = info->si_value.sival_int;
    told_code = info->si_code;
}

TEST(mq_notify, success, "a message to an empty queue sends the signal, once")
{
    struct sigaction action = {.sa_sigaction = on_message, .sa_flags = SA_SIGINFO};
    CHECK_OK(sigaction(SIGUSR1, &action, NULL));
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    event.sigev_value.sival_int = 42;
    int fd = queue(O_RDWR, 4, 8192);
    CHECK_OK(SYS(mq_notify, fd, &event));
    CHECK_ERRNO(SYS(mq_notify, fd, &event), EBUSY);
    CHECK_OK(send_text(fd, "x", 0));
    CHECK(told_value == 42 && told_code == SI_MESGQ);
    told_value = 0;
    expect(fd, "x", 0);
    CHECK_OK(send_text(fd, "x", 0));
    CHECK_EQ(told_value, 0);
    CHECK_OK(SYS(mq_notify, fd, &event));
    CHECK_OK(send_text(fd, "not empty", 0));
    CHECK_EQ(told_value, 0);
    CHECK_OK(SYS(mq_notify, fd, NULL));
    event.sigev_notify = SIGEV_NONE;
    CHECK_OK(SYS(mq_notify, fd, &event));
    CHECK_OK(close(dup(fd))); /* any close of the process takes it back */
    CHECK_OK(SYS(mq_notify, fd, &event));
    CHECK_OK(SYS(mq_notify, fd, NULL));
    expect(fd, "x", 0);
    expect(fd, "not empty", 0);
    event.sigev_notify = SIGEV_SIGNAL; /* no signal is a number too */
    event.sigev_signo = 0;
    CHECK_OK(SYS(mq_notify, fd, &event));
    CHECK_OK(send_text(fd, "x", 0));
    CHECK_OK(SYS(mq_notify, fd, &event));
}

TEST(mq_notify, error, "closed, unknown kinds and signals, bad memory")
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    int fd = queue(O_RDWR, 1, 10);
    CHECK_ERRNO(SYS(mq_notify, CELLA_NO_FD, &event), EBADF);
    CHECK_ERRNO(SYS(mq_notify, fd, cella_bad_address()), EFAULT);
    event.sigev_signo = 65;
    CHECK_ERRNO(SYS(mq_notify, fd, &event), EINVAL);
    event.sigev_notify = 99;
    CHECK_ERRNO(SYS(mq_notify, fd, &event), EINVAL);
}

TEST(mq_notify, limit, "who waits for a message gets it, and nobody is told")
{
    struct sigaction action = {.sa_sigaction = on_message, .sa_flags = SA_SIGINFO};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    event.sigev_value.sival_int = 1;
    CHECK_OK(sigaction(SIGUSR1, &action, NULL));
    int fd = queue(O_RDWR, 4, 8192);
    CHECK_OK(SYS(mq_notify, fd, &event));
    pid_t pid = cella_fork();
    if (pid == 0) {
        expect(fd, "for the receiver", 0);
        _exit(0);
    }
    cella_sleep_ms(100);
    CHECK_OK(send_text(fd, "for the receiver", 0));
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_EQ(told_value, 0);
}

TEST(mq_getsetattr, success, "only O_NONBLOCK can be set; the old attributes come back")
{
    struct mq_attr set = {.mq_flags = O_NONBLOCK, .mq_maxmsg = 99}, old;
    int fd = queue(O_RDWR, 2, 10);
    CHECK_OK(SYS(mq_getsetattr, fd, &set, &old));
    CHECK(old.mq_flags == 0 && old.mq_maxmsg == 2 && old.mq_msgsize == 10);
    CHECK(attr_of(fd).mq_flags == O_NONBLOCK && attr_of(fd).mq_maxmsg == 2);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    set.mq_flags = 0;
    CHECK_OK(SYS(mq_getsetattr, fd, &set, NULL));
    CHECK_EQ(attr_of(fd).mq_flags, 0);
}

TEST(mq_getsetattr, error, "closed, other flags, bad memory")
{
    struct mq_attr set = {.mq_flags = O_APPEND}, old;
    int fd = queue(O_RDWR, 2, 10);
    CHECK_ERRNO(SYS(mq_getsetattr, CELLA_NO_FD, NULL, &old), EBADF);
    CHECK_ERRNO(SYS(mq_getsetattr, fd, &set, NULL), EINVAL);
    CHECK_ERRNO(SYS(mq_getsetattr, fd, cella_bad_address(), NULL), EFAULT);
    CHECK_ERRNO(SYS(mq_getsetattr, fd, NULL, cella_bad_address()), EFAULT);
}

TEST(mq_getsetattr, limit, "the count of messages follows up to the maximum")
{
    int fd = queue(O_RDWR, 3, 10);
    for (int i = 1; i <= 3; i++) {
        CHECK_OK(send_text(fd, "x", 0));
        CHECK_EQ(attr_of(fd).mq_curmsgs, i);
    }
}

TEST_MAIN()
