/* SPDX-License-Identifier: Apache-2.0 */
/* AF_UNIX: names, joining, streams, messages, descriptors and credentials, and what poll says. */
#include "cella_file.h"

#include <poll.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

static void pair(int type, int sv[2])
{
    CHECK_OK(socketpair(AF_UNIX, type, 0, sv));
}

static struct sockaddr_un path_addr(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    strcpy(a.sun_path, path);
    return a;
}

static socklen_t abstract_addr(struct sockaddr_un *a, const char *name)
{
    memset(a, 0, sizeof(*a));
    a->sun_family = AF_UNIX;
    snprintf(a->sun_path + 1, sizeof(a->sun_path) - 1, "cella-%d-%s", (int)getpid(), name);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(a->sun_path + 1));
}

static int bound(int type, const char *path)
{
    struct sockaddr_un a = path_addr(path);
    int fd = socket(AF_UNIX, type, 0);
    CHECK(fd >= 0);
    CHECK_OK(bind(fd, (struct sockaddr *)&a, sizeof(a)));
    return fd;
}

static int listening(int type, const char *path, int backlog)
{
    int fd = bound(type, path);
    CHECK_OK(listen(fd, backlog));
    return fd;
}

static int connect_to(int fd, const char *path)
{
    struct sockaddr_un a = path_addr(path);
    return connect(fd, (struct sockaddr *)&a, sizeof(a));
}

static int connected(int type, const char *path)
{
    int fd = socket(AF_UNIX, type, 0);
    CHECK(fd >= 0);
    CHECK_OK(connect_to(fd, path));
    return fd;
}

static int revents(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP | POLLPRI};
    CHECK_OK(poll(&p, 1, 0));
    return p.revents;
}

static void put_str(int fd, const char *s)
{
    CHECK_EQ(send(fd, s, strlen(s), MSG_NOSIGNAL), strlen(s));
}

static void want_str(int fd, const char *s, int flags)
{
    char buf[256] = "";
    CHECK_EQ(recv(fd, buf, sizeof(buf) - 1, flags), strlen(s));
    CHECK_STR(buf, s);
}

/* ---- control data ---- */

struct message {
    struct msghdr h;
    struct iovec iov;
    char bytes[64];
    union {
        struct cmsghdr align;
        char control[1200];
    };
};

static struct message *message(struct message *m, size_t len, size_t control)
{
    memset(m, 0, sizeof(*m));
    m->iov = (struct iovec){m->bytes, len};
    m->h.msg_iov = &m->iov;
    m->h.msg_iovlen = 1;
    m->h.msg_control = control ? m->control : NULL;
    m->h.msg_controllen = control;
    return m;
}

static ssize_t send_fds(int fd, const char *text, const int *fds, int nr)
{
    struct message m;
    message(&m, strlen(text), CMSG_SPACE((size_t)nr * sizeof(int)));
    strcpy(m.bytes, text);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m.h);
    *c = (struct cmsghdr){CMSG_LEN((size_t)nr * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(c), fds, (size_t)nr * sizeof(int));
    return sendmsg(fd, &m.h, MSG_NOSIGNAL);
}

/* Receives up to len bytes and up to nr descriptors; returns their number, *got the bytes. */
static int recv_fds(int fd, size_t len, int *fds, int nr, int flags, ssize_t *got, int *out_flags)
{
    struct message m;
    message(&m, len, nr ? CMSG_SPACE((size_t)nr * sizeof(int)) : 0);
    if (nr)
        m.h.msg_controllen = CMSG_LEN((size_t)nr * sizeof(int));
    ssize_t n = recvmsg(fd, &m.h, flags);
    CHECK(n >= 0);
    if (got)
        *got = n;
    if (out_flags)
        *out_flags = m.h.msg_flags;
    int found = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m.h); c; c = CMSG_NXTHDR(&m.h, c))
        if (c->cmsg_type == SCM_RIGHTS) {
            int here = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            memcpy(fds + found, CMSG_DATA(c), (size_t)here * sizeof(int));
            found += here;
        }
    return found;
}

/* ---- socketpair and streams ---- */

TEST(socketpair, success, "a pair of streams: both ways, bytes run together, end after close")
{
    int sv[2];
    struct stat st;
    pair(SOCK_STREAM | SOCK_CLOEXEC, sv);
    CHECK_EQ(fcntl(sv[0], F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(sv[1], F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDWR);
    CHECK_OK(fstat(sv[0], &st));
    CHECK(S_ISSOCK(st.st_mode));
    CHECK_ERRNO(lseek(sv[0], 0, SEEK_CUR), ESPIPE);
    CHECK_EQ(write(sv[0], "abc", 3), 3);
    put_str(sv[0], "def");
    want_str(sv[1], "abcdef", 0);
    put_str(sv[1], "back");
    want_str(sv[0], "back", 0);
    put_str(sv[0], "last");
    CHECK_OK(close(sv[0]));
    want_str(sv[1], "last", 0);
    want_str(sv[1], "", 0);
    CHECK_ERRNO(send(sv[1], "x", 1, MSG_NOSIGNAL), EPIPE);
}

TEST(socketpair, success, "the link in /proc names socket and inode, and cannot be opened")
{
    int sv[2];
    struct stat st;
    char link[64], text[64] = "", want[64];
    pair(SOCK_DGRAM | SOCK_NONBLOCK, sv);
    CHECK(fcntl(sv[1], F_GETFL) & O_NONBLOCK);
    CHECK_OK(fstat(sv[0], &st));
    snprintf(link, sizeof(link), "/proc/self/fd/%d", sv[0]);
    snprintf(want, sizeof(want), "socket:[%lu]", (unsigned long)st.st_ino);
    CHECK(readlink(link, text, sizeof(text) - 1) > 0);
    CHECK_STR(text, want);
    CHECK_ERRNO(open(link, O_RDWR), ENXIO);
}

TEST(socketpair, error, "wrong families, types, protocols; a bad array")
{
    int sv[2];
    CHECK_ERRNO(socketpair(AF_UNIX, 77, 0, sv), EINVAL);
    CHECK_ERRNO(socketpair(AF_UNIX, SOCK_STREAM | 0x100, 0, sv), EINVAL);
    CHECK_ERRNO(socketpair(AF_UNIX, SOCK_RDM, 0, sv), ESOCKTNOSUPPORT);
    CHECK_ERRNO(socketpair(AF_UNIX, SOCK_STREAM, 17, sv), EPROTONOSUPPORT);
    CHECK_ERRNO(socketpair(45, SOCK_STREAM, 0, sv), EAFNOSUPPORT);
    CHECK_ERRNO(SYS(socketpair, AF_UNIX, SOCK_STREAM, 0, cella_bad_address()), EFAULT);
    CHECK_ERRNO(socket(AF_UNIX, SOCK_STREAM, 9), EPROTONOSUPPORT);
    CHECK_ERRNO(socket(-1, SOCK_STREAM, 0), EAFNOSUPPORT);
}

TEST(socketpair, limit, "needs two descriptors")
{
    int sv[2];
    cella_limit_fds(1);
    CHECK_ERRNO(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), EMFILE);
    cella_limit_fds(2);
    pair(SOCK_STREAM, sv);
}

TEST(recv, success, "peeking leaves the bytes, waiting for all gathers them")
{
    int sv[2];
    char buf[16] = "";
    pair(SOCK_STREAM, sv);
    put_str(sv[0], "hello");
    CHECK_EQ(recv(sv[1], buf, 2, MSG_PEEK), 2);
    want_str(sv[1], "hello", MSG_PEEK);
    pid_t pid = cella_fork();
    if (pid == 0) {
        cella_sleep_ms(30);
        put_str(sv[0], " you");
        _exit(0);
    }
    CHECK_EQ(recv(sv[1], buf, 9, MSG_WAITALL), 9);
    CHECK_STR(buf, "hello you");
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_ERRNO(recv(sv[1], buf, 1, MSG_DONTWAIT), EAGAIN);
    put_str(sv[0], "ab");
    CHECK_OK(shutdown(sv[0], SHUT_WR));
    CHECK_EQ(recv(sv[1], buf, 9, MSG_WAITALL), 2);
}

TEST(recv, success, "SO_PEEK_OFF moves on through the bytes")
{
    int sv[2], off = 1, len = sizeof(off);
    char buf[8] = "";
    pair(SOCK_STREAM, sv);
    CHECK_OK(getsockopt(sv[1], SOL_SOCKET, SO_PEEK_OFF, &off, (socklen_t *)&len));
    CHECK_EQ(off, -1);
    off = 1;
    CHECK_OK(setsockopt(sv[1], SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off)));
    put_str(sv[0], "abcdef");
    CHECK_EQ(recv(sv[1], buf, 2, MSG_PEEK), 2);
    CHECK_STR(buf, "bc");
    CHECK_EQ(recv(sv[1], buf, 2, MSG_PEEK), 2);
    CHECK_STR(buf, "de");
    CHECK_EQ(recv(sv[1], buf, 2, 0), 2);
    CHECK_STR(buf, "ab");
    CHECK_EQ(recv(sv[1], buf, 7, MSG_PEEK), 1);
    CHECK_EQ(buf[0], 'f');
}

TEST(send, error, "SIGPIPE unless told otherwise; not on messages")
{
    int sv[2], dg[2], sq[2];
    pair(SOCK_STREAM, sv);
    pair(SOCK_DGRAM, dg);
    pair(SOCK_SEQPACKET, sq);
    close(sv[1]);
    close(dg[1]);
    close(sq[1]);
    signal(SIGPIPE, SIG_IGN);
    CHECK_ERRNO(send(sv[0], "x", 1, 0), EPIPE);
    signal(SIGPIPE, SIG_DFL);
    CHECK_ERRNO(send(sv[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_ERRNO(send(dg[0], "x", 1, 0), ECONNREFUSED);
    CHECK_ERRNO(send(dg[0], "x", 1, 0), ENOTCONN);
    CHECK_ERRNO(send(sq[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    pid_t pid = cella_fork();
    if (pid == 0) {
        if (write(sv[0], "x", 1) == 1)
            _exit(1);
        _exit(0);
    }
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
}

TEST(send, error, "a fresh stream is not connected, and cannot be read")
{
    char c;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), sq = socket(AF_UNIX, SOCK_SEQPACKET, 0),
        dg = socket(AF_UNIX, SOCK_DGRAM, 0), sv[2];
    struct sockaddr_un a = path_addr("x");
    CHECK_ERRNO(send(fd, "x", 1, MSG_NOSIGNAL), ENOTCONN);
    CHECK_ERRNO(recv(fd, &c, 1, 0), EINVAL);
    CHECK_ERRNO(send(sq, "x", 1, MSG_NOSIGNAL), ENOTCONN);
    CHECK_ERRNO(recv(sq, &c, 1, 0), ENOTCONN);
    CHECK_ERRNO(send(dg, "x", 1, 0), ENOTCONN);
    CHECK_ERRNO(recv(dg, &c, 1, MSG_DONTWAIT), EAGAIN);
    pair(SOCK_STREAM, sv);
    CHECK_ERRNO(sendto(sv[0], "x", 1, 0, (struct sockaddr *)&a, sizeof(a)), EISCONN);
    CHECK_ERRNO(sendto(fd, "x", 1, 0, (struct sockaddr *)&a, sizeof(a)), EOPNOTSUPP);
    CHECK_ERRNO(SYS(sendto, sv[0], cella_bad_address(), 4ul, 0, NULL, 0), EFAULT);
    put_str(sv[0], "kept");
    CHECK_ERRNO(SYS(recvfrom, sv[1], cella_bad_address(), 4ul, 0, NULL, NULL), EFAULT);
    want_str(sv[1], "kept", 0);
}

TEST(send, error, "unread bytes at close reset the peer")
{
    int sv[2];
    char c;
    pair(SOCK_STREAM, sv);
    put_str(sv[0], "unread");
    close(sv[1]);
    CHECK_EQ(revents(sv[0]), POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP);
    CHECK_ERRNO(recv(sv[0], &c, 1, 0), ECONNRESET);
    CHECK_EQ(recv(sv[0], &c, 1, 0), 0);
    CHECK_ERRNO(send(sv[0], "x", 1, MSG_NOSIGNAL), EPIPE);
}

TEST(send, interruption,
     "a signal ends waiting for room and for bytes; partial sends tell their bytes")
{
    int sv[2], got;
    static char big[4 << 20];
    pair(SOCK_STREAM, sv);
    cella_ticks_start(30, 0, NULL);
    CHECK_ERRNO(recv(sv[1], big, 1, 0), EINTR);
    got = (int)send(sv[0], big, sizeof(big), 0);
    CHECK(got > 0 && got < (int)sizeof(big));
    CHECK_ERRNO(send(sv[0], big, sizeof(big), 0), EINTR);
    cella_ticks_stop();
    CHECK_EQ(revents(sv[0]), 0);
    CHECK_ERRNO(send(sv[0], big, 1, MSG_DONTWAIT), EAGAIN);
    while (got > 0) {
        ssize_t n = recv(sv[1], big, sizeof(big), 0);
        CHECK(n > 0);
        got -= (int)n;
    }
    CHECK_EQ(revents(sv[0]), POLLOUT);
}

TEST(send, limit, "timeouts of the socket end waits with EAGAIN")
{
    int sv[2];
    static char big[4 << 20];
    struct timeval tv = {0, 40000};
    pair(SOCK_STREAM, sv);
    CHECK_OK(setsockopt(sv[0], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
    CHECK_OK(setsockopt(sv[1], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    long long t0 = cella_now_ms();
    CHECK_ERRNO(recv(sv[1], big, 1, 0), EAGAIN);
    CHECK(cella_now_ms() - t0 >= 35);
    CHECK(send(sv[0], big, sizeof(big), 0) > 0);
    t0 = cella_now_ms();
    CHECK_ERRNO(send(sv[0], big, sizeof(big), 0), EAGAIN);
    CHECK(cella_now_ms() - t0 >= 35);
    cella_ticks_start(10, SA_RESTART, NULL);
    CHECK_ERRNO(recv(sv[0], big, 1, MSG_DONTWAIT), EAGAIN);
    CHECK_ERRNO(send(sv[0], big, sizeof(big), 0), EINTR);
    cella_ticks_stop();
}

static void *stream_writer(void *arg)
{
    int fd = *(int *)arg;
    unsigned char buf[3001];
    unsigned next = 0;
    for (int i = 0; i < 700; i++) {
        size_t len = 1 + (size_t)(i * 37 % 3000);
        for (size_t j = 0; j < len; j++)
            buf[j] = (unsigned char)(next++ % 251);
        for (size_t done = 0; done < len;) {
            ssize_t n = send(fd, buf + done, len - done, 0);
            CHECK(n > 0);
            done += (size_t)n;
        }
    }
    CHECK_OK(shutdown(fd, SHUT_WR));
    return NULL;
}

static void *send_one(void *arg)
{
    CHECK_EQ(send(*(int *)arg, "x", 1, 0), 1);
    return NULL;
}

TEST(send, success, "a larger SO_SNDBUF lets a waiting sender go on")
{
    int sv[2], size = 8192;
    static char big[1 << 20];
    pthread_t thread;
    pair(SOCK_STREAM, sv);
    CHECK_OK(setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)));
    CHECK(send(sv[0], big, sizeof(big), MSG_DONTWAIT) > 0);
    CHECK_EQ(pthread_create(&thread, NULL, send_one, &sv[0]), 0);
    cella_sleep_ms(50);
    size = 200000;
    CHECK_OK(setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)));
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

TEST(send, success, "a million bytes arrive in order, both ways at once")
{
    int sv[2];
    pthread_t writers[2];
    pair(SOCK_STREAM, sv);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&writers[i], NULL, stream_writer, &sv[i]), 0);
    unsigned next[2] = {0, 0};
    int open_ends = 2;
    bool done[2] = {false, false};
    while (open_ends) {
        struct pollfd p[2] = {{done[0] ? -1 : sv[0], POLLIN, 0}, {done[1] ? -1 : sv[1], POLLIN, 0}};
        CHECK(poll(p, 2, 5000) > 0);
        for (int i = 0; i < 2; i++) {
            unsigned char buf[1777];
            if (!p[i].revents)
                continue;
            ssize_t n = recv(sv[i], buf, sizeof(buf), 0);
            CHECK(n >= 0);
            for (ssize_t j = 0; j < n; j++)
                CHECK_EQ(buf[j], next[i]++ % 251);
            if (n == 0) {
                done[i] = true;
                open_ends--;
            }
        }
    }
    CHECK_EQ(next[0], next[1]);
    for (int i = 0; i < 2; i++)
        pthread_join(writers[i], NULL);
}

/* ---- shutdown and poll ---- */

TEST(shutdown, success,
     "either direction: the end at the other side, remaining bytes are still read")
{
    int sv[2];
    pair(SOCK_STREAM, sv);
    CHECK_EQ(revents(sv[0]), POLLOUT);
    put_str(sv[0], "rest");
    CHECK_EQ(revents(sv[1]), POLLIN | POLLOUT);
    CHECK_OK(shutdown(sv[0], SHUT_WR));
    CHECK_EQ(revents(sv[1]), POLLIN | POLLOUT | POLLRDHUP);
    CHECK_EQ(revents(sv[0]), POLLOUT);
    want_str(sv[1], "rest", 0);
    want_str(sv[1], "", 0);
    CHECK_ERRNO(send(sv[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    put_str(sv[1], "other way");
    want_str(sv[0], "other way", 0);
    CHECK_OK(shutdown(sv[0], SHUT_RD));
    CHECK_EQ(revents(sv[0]), POLLIN | POLLOUT | POLLHUP | POLLRDHUP);
    CHECK_EQ(revents(sv[1]), POLLIN | POLLOUT | POLLHUP | POLLRDHUP);
    CHECK_ERRNO(send(sv[1], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_OK(shutdown(sv[0], SHUT_RDWR));
}

TEST(shutdown, success, "wakes a blocked reader, and an accept with EINVAL")
{
    int sv[2];
    char c;
    cella_scratch();
    int l = listening(SOCK_STREAM, "s", 1);
    pair(SOCK_STREAM, sv);
    pid_t pid = cella_fork();
    if (pid == 0) {
        cella_sleep_ms(30);
        shutdown(sv[0], SHUT_RD);
        cella_sleep_ms(30);
        shutdown(l, SHUT_RD);
        _exit(0);
    }
    CHECK_EQ(recv(sv[0], &c, 1, 0), 0);
    CHECK_ERRNO(accept(l, NULL, NULL), EINVAL);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_ERRNO(connect_to(fd, "s"), ECONNREFUSED);
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(shutdown, error, "directions that do not exist; what is no socket")
{
    int sv[2], fd = cella_open("/", O_RDONLY);
    pair(SOCK_STREAM, sv);
    CHECK_ERRNO(shutdown(sv[0], 3), EINVAL);
    CHECK_ERRNO(shutdown(sv[0], -1), EINVAL);
    CHECK_ERRNO(shutdown(fd, SHUT_RD), ENOTSOCK);
    CHECK_ERRNO(shutdown(CELLA_NO_FD, SHUT_RD), EBADF);
}

TEST(poll, success, "fresh, listening and left sockets")
{
    cella_scratch();
    int fresh = socket(AF_UNIX, SOCK_STREAM, 0), dg = socket(AF_UNIX, SOCK_DGRAM, 0), sv[2];
    CHECK_EQ(revents(fresh), POLLOUT | POLLHUP);
    CHECK_EQ(revents(dg), POLLOUT);
    int l = listening(SOCK_STREAM, "s", 4);
    CHECK_EQ(revents(l), 0);
    int c = connected(SOCK_STREAM, "s");
    CHECK_EQ(revents(l), POLLIN);
    CHECK_EQ(revents(c), POLLOUT);
    close(l);
    CHECK_EQ(revents(c), POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP);
    pair(SOCK_SEQPACKET, sv);
    close(sv[1]);
    CHECK_EQ(revents(sv[0]), POLLIN | POLLOUT | POLLHUP | POLLRDHUP);
    pair(SOCK_DGRAM, sv);
    close(sv[1]);
    CHECK_EQ(revents(sv[0]), POLLOUT);
}

static int edge(int ep)
{
    struct epoll_event e = {0};
    int n = epoll_wait(ep, &e, 1, 0);
    CHECK(n >= 0);
    return n ? (int)e.events : 0;
}

TEST(epoll_wait, success, "edges of a stream: bytes come, room comes back, the peer leaves")
{
    int sv[2], ep = epoll_create1(0);
    static char big[1 << 20];
    struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET},
                       w = {.events = EPOLLOUT | EPOLLET};
    int epw = epoll_create1(0);
    pair(SOCK_STREAM | SOCK_NONBLOCK, sv);
    CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, sv[1], &e));
    CHECK_OK(epoll_ctl(epw, EPOLL_CTL_ADD, sv[0], &w));
    CHECK_EQ(edge(ep), 0);
    CHECK_EQ(edge(epw), EPOLLOUT);
    CHECK_EQ(edge(epw), 0);
    put_str(sv[0], "a");
    CHECK_EQ(edge(ep), EPOLLIN);
    CHECK_EQ(edge(ep), 0);
    put_str(sv[0], "b");
    CHECK_EQ(edge(ep), EPOLLIN);
    while (send(sv[0], big, sizeof(big), 0) > 0)
        ;
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(edge(epw), 0);
    while (recv(sv[1], big, sizeof(big), 0) > 0)
        ;
    CHECK_EQ(edge(epw), EPOLLOUT);
    edge(ep);
    CHECK_OK(shutdown(sv[0], SHUT_WR));
    CHECK_EQ(edge(ep), EPOLLIN | EPOLLRDHUP);
    CHECK_EQ(edge(ep), 0);
    close(sv[0]);
    CHECK_EQ(edge(ep), EPOLLIN | EPOLLRDHUP | EPOLLHUP);
}

TEST(epoll_wait, success, "edges of datagrams: room in the peer's queue comes back")
{
    cella_scratch();
    int r = bound(SOCK_DGRAM | SOCK_NONBLOCK, "r"), ep = epoll_create1(0);
    int s = connected(SOCK_DGRAM | SOCK_NONBLOCK, "r");
    struct epoll_event w = {.events = EPOLLOUT | EPOLLET};
    char c;
    int sent = 0;
    CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, s, &w));
    CHECK_EQ(edge(ep), EPOLLOUT);
    while (send(s, "x", 1, 0) == 1)
        sent++;
    CHECK_EQ(errno, EAGAIN);
    CHECK(sent > 5);
    CHECK_EQ(edge(ep), 0);
    while (sent--)
        CHECK_EQ(recv(r, &c, 1, 0), 1);
    CHECK_EQ(edge(ep), EPOLLOUT);
    struct pollfd p = {.fd = s, .events = POLLOUT};
    CHECK_EQ(poll(&p, 1, 0), 1);
}

/* ---- names ---- */

TEST(bind, success, "a pathname makes a node by the umask; connecting needs to write it")
{
    struct stat st;
    struct sockaddr_un got;
    socklen_t len = sizeof(got);
    cella_scratch();
    umask(027);
    int l = listening(SOCK_STREAM, "sock", 3);
    CHECK_OK(stat("sock", &st));
    CHECK_EQ(st.st_mode, S_IFSOCK | 0750);
    CHECK_OK(getsockname(l, (struct sockaddr *)&got, &len));
    CHECK_EQ(len, offsetof(struct sockaddr_un, sun_path) + 5);
    CHECK_STR(got.sun_path, "sock");
    CHECK_ERRNO(open("sock", O_RDWR), ENXIO);
    int c = connected(SOCK_STREAM, "sock");
    len = sizeof(got);
    int a = accept(l, (struct sockaddr *)&got, &len);
    CHECK(a >= 0);
    CHECK_EQ(len, 2);
    len = sizeof(got);
    CHECK_OK(getpeername(c, (struct sockaddr *)&got, &len));
    CHECK_STR(got.sun_path, "sock");
    len = sizeof(got);
    CHECK_OK(getsockname(a, (struct sockaddr *)&got, &len));
    CHECK_STR(got.sun_path, "sock");
    CHECK_OK(unlink("sock"));
    put_str(c, "still");
    want_str(a, "still", 0);
    int c2 = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_ERRNO(connect_to(c2, "sock"), ENOENT);
}

TEST(bind, success, "abstract names are bytes, free again after close; autobind gives five digits")
{
    struct sockaddr_un a, got;
    socklen_t len = abstract_addr(&a, "n"), n;
    int s = socket(AF_UNIX, SOCK_STREAM, 0), s2 = socket(AF_UNIX, SOCK_STREAM, 0),
        dg = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_OK(bind(s, (struct sockaddr *)&a, len));
    CHECK_ERRNO(bind(s2, (struct sockaddr *)&a, len), EADDRINUSE);
    CHECK_OK(bind(dg, (struct sockaddr *)&a, len));
    CHECK_OK(bind(s2, (struct sockaddr *)&a, len + 1));
    CHECK_OK(listen(s, 1));
    int c = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_ERRNO(connect(c, (struct sockaddr *)&a, len - 1), ECONNREFUSED);
    CHECK_OK(connect(c, (struct sockaddr *)&a, len));
    close(s);
    int s3 = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_OK(bind(s3, (struct sockaddr *)&a, len));
    int au = socket(AF_UNIX, SOCK_DGRAM, 0);
    a.sun_family = AF_UNIX;
    CHECK_OK(bind(au, (struct sockaddr *)&a, sizeof(a.sun_family)));
    CHECK_OK(bind(au, (struct sockaddr *)&a, sizeof(a.sun_family)));
    n = sizeof(got);
    CHECK_OK(getsockname(au, (struct sockaddr *)&got, &n));
    CHECK_EQ(n, sizeof(a.sun_family) + 6);
    CHECK_EQ(got.sun_path[0], 0);
    for (int i = 1; i < 6; i++)
        CHECK(strchr("0123456789abcdef", got.sun_path[i]));
}

TEST(bind, error, "addresses too long, too short, of another family, taken, twice, in no directory")
{
    struct sockaddr_un a = path_addr("x");
    char longer[256] = {AF_UNIX};
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    cella_scratch();
    CHECK_ERRNO(bind(s, (struct sockaddr *)&a, 1), EINVAL);
    CHECK_ERRNO(bind(s, (struct sockaddr *)longer, 111), EINVAL);
    CHECK_ERRNO(bind(s, (struct sockaddr *)longer, 200), EINVAL);
    CHECK_ERRNO(SYS(bind, s, cella_bad_address(), 10), EFAULT);
    a.sun_family = 77;
    CHECK_ERRNO(bind(s, (struct sockaddr *)&a, sizeof(a)), EINVAL);
    a = path_addr("no/such");
    CHECK_ERRNO(bind(s, (struct sockaddr *)&a, sizeof(a)), ENOENT);
    cella_put_file("file", "", 0);
    a = path_addr("file");
    CHECK_ERRNO(bind(s, (struct sockaddr *)&a, sizeof(a)), EADDRINUSE);
    a = path_addr("x");
    CHECK_OK(bind(s, (struct sockaddr *)&a, sizeof(a)));
    a = path_addr("y");
    CHECK_ERRNO(bind(s, (struct sockaddr *)&a, sizeof(a)), EINVAL);
    CHECK_ERRNO(access("y", F_OK), ENOENT);
    CHECK_ERRNO(bind(CELLA_NO_FD, (struct sockaddr *)&a, sizeof(a)), EBADF);
    CHECK_ERRNO(bind(cella_open("file", O_RDONLY), (struct sockaddr *)&a, sizeof(a)), ENOTSOCK);
}

TEST(bind, limit, "a name of all 108 bytes without NUL")
{
    struct sockaddr_un a = {.sun_family = AF_UNIX}, got[2];
    socklen_t len = sizeof(got);
    cella_scratch();
    memset(a.sun_path, 'n', sizeof(a.sun_path));
    int s = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_OK(bind(s, (struct sockaddr *)&a, sizeof(a)));
    CHECK_OK(access(cella_name(sizeof(a.sun_path)), F_OK));
    CHECK_OK(getsockname(s, (struct sockaddr *)got, &len));
    CHECK_EQ(len, sizeof(a) + 1);
    len = 4;
    memset(got, 0, sizeof(got));
    CHECK_OK(getsockname(s, (struct sockaddr *)got, &len));
    CHECK_EQ(len, sizeof(a) + 1);
    CHECK_STR(got[0].sun_path, "nn");
}

/* ---- connecting ---- */

TEST(connect, error, "nobody there, no socket, the wrong type, no permission, twice")
{
    cella_scratch();
    cella_put_file("file", "", 0);
    int s = socket(AF_UNIX, SOCK_STREAM, 0), dg = socket(AF_UNIX, SOCK_DGRAM, 0);
    bound(SOCK_STREAM, "unheard");
    int l = listening(SOCK_STREAM, "s", 5);
    CHECK_ERRNO(connect_to(s, "none"), ENOENT);
    CHECK_ERRNO(connect_to(s, "file"), ECONNREFUSED);
    CHECK_ERRNO(connect_to(s, "unheard"), ECONNREFUSED);
    CHECK_ERRNO(connect_to(dg, "s"), EPROTOTYPE);
    CHECK_ERRNO(connect_to(l, "s"), EINVAL);
    CHECK_OK(connect_to(s, "s"));
    CHECK_ERRNO(connect_to(s, "s"), EISCONN);
    struct sockaddr_un a = {.sun_family = AF_UNSPEC};
    int f = socket(AF_UNIX, SOCK_STREAM, 0), closed = listening(SOCK_STREAM, "closed", 1);
    close(closed);
    CHECK_ERRNO(connect_to(f, "closed"), ECONNREFUSED);
    CHECK_ERRNO(connect(f, (struct sockaddr *)&a, sizeof(a)), EINVAL);
    bound(SOCK_STREAM, "left");
    CHECK_OK(chmod("s", 0555));
    CHECK_OK(chmod("left", 0555));
    cella_drop_root();
    CHECK_ERRNO(connect_to(f, "s"), EACCES);
    CHECK_ERRNO(connect_to(f, "left"), EACCES);
}

TEST(connect, limit, "a full backlog: EAGAIN without waiting, else until somebody accepts")
{
    cella_scratch();
    int l = listening(SOCK_STREAM, "s", 1);
    connected(SOCK_STREAM, "s");
    connected(SOCK_STREAM, "s");
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK_ERRNO(connect_to(s, "s"), EAGAIN);
    pid_t pid = cella_fork();
    if (pid == 0) {
        cella_sleep_ms(40);
        CHECK(accept(l, NULL, NULL) >= 0);
        _exit(0);
    }
    CHECK_OK(fcntl(s, F_SETFL, 0));
    CHECK_OK(connect_to(s, "s"));
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(connect, interruption, "a signal ends waiting for the backlog; so does SO_SNDTIMEO")
{
    cella_scratch();
    listening(SOCK_STREAM, "s", 0);
    connected(SOCK_STREAM, "s");
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    cella_ticks_start(30, 0, NULL);
    CHECK_ERRNO(connect_to(s, "s"), EINTR);
    cella_ticks_stop();
    struct timeval tv = {0, 30000};
    CHECK_OK(setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
    CHECK_ERRNO(connect_to(s, "s"), EAGAIN);
}

TEST(connect, success, "what is sent before accept arrives; a listener that closes resets")
{
    cella_scratch();
    int l = listening(SOCK_STREAM, "s", 5);
    int c = connected(SOCK_STREAM, "s"), c2 = connected(SOCK_STREAM, "s");
    put_str(c, "early");
    int a = accept4(l, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    CHECK(a >= 0);
    CHECK_EQ(fcntl(a, F_GETFD), FD_CLOEXEC);
    CHECK(fcntl(a, F_GETFL) & O_NONBLOCK);
    want_str(a, "early", 0);
    close(l);
    char ch;
    CHECK_ERRNO(recv(c2, &ch, 1, 0), ECONNRESET);
    put_str(a, "goes on");
    want_str(c, "goes on", 0);
}

TEST(accept, success, "a client that connects and leaves is an end, before accept and after")
{
    static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET};
    cella_scratch();
    for (int i = 0; i < 4; i++) {
        const char *path = i & 1 ? "left1" : "left0";
        char c;
        unlink(path);
        int l = listening(types[i / 2], path, 5), client = connected(types[i / 2], path), fd = -1;
        if (i & 1)
            CHECK((fd = accept(l, NULL, NULL)) >= 0);
        CHECK_OK(close(client));
        if (fd < 0)
            CHECK((fd = accept(l, NULL, NULL)) >= 0);
        CHECK_EQ(recv(fd, &c, 1, 0), 0);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        CHECK_EQ(poll(&p, 1, 0), 1);
        CHECK_EQ(p.revents, POLLIN | POLLHUP);
        close(fd);
        close(l);
    }
}

TEST(accept, interruption, "a signal ends it, and SO_RCVTIMEO")
{
    cella_scratch();
    int l = listening(SOCK_STREAM, "s", 5);
    cella_ticks_start(30, 0, NULL);
    CHECK_ERRNO(accept(l, NULL, NULL), EINTR);
    cella_ticks_stop();
    struct timeval tv = {0, 30000};
    CHECK_OK(setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    CHECK_ERRNO(accept(l, NULL, NULL), EAGAIN);
    CHECK_OK(fcntl(l, F_SETFL, O_NONBLOCK));
    CHECK_ERRNO(accept(l, NULL, NULL), EAGAIN);
}

TEST(accept, success, "connections of many clients, from several acceptors")
{
    cella_scratch();
    int l = listening(SOCK_STREAM, "s", 3);
    enum { CLIENTS = 6, EACH = 30, SERVERS = 3 };
    pid_t pid[CLIENTS + SERVERS];
    for (int i = 0; i < CLIENTS + SERVERS; i++) {
        pid[i] = cella_fork();
        if (pid[i])
            continue;
        for (int n = 0; n < (i < CLIENTS ? EACH : EACH * CLIENTS / SERVERS); n++) {
            if (i < CLIENTS) {
                int c = connected(SOCK_STREAM, "s");
                put_str(c, "ping");
                want_str(c, "pong", 0);
                close(c);
            } else {
                int a = accept(l, NULL, NULL);
                CHECK(a >= 0);
                want_str(a, "ping", 0);
                put_str(a, "pong");
                close(a);
            }
        }
        _exit(0);
    }
    for (int i = 0; i < CLIENTS + SERVERS; i++)
        CHECK_EQ(cella_wait_exit(pid[i]), 0);
}

/* ---- messages ---- */

TEST(sendto, success, "datagrams keep their bounds and tell their sender")
{
    struct sockaddr_un to, from;
    socklen_t len = sizeof(from);
    char buf[16] = "";
    cella_scratch();
    int r = bound(SOCK_DGRAM, "r"), s = bound(SOCK_DGRAM, "s"),
        nameless = socket(AF_UNIX, SOCK_DGRAM, 0);
    to = path_addr("r");
    CHECK_EQ(sendto(s, "one", 3, 0, (struct sockaddr *)&to, sizeof(to)), 3);
    CHECK_EQ(sendto(s, "", 0, 0, (struct sockaddr *)&to, sizeof(to)), 0);
    CHECK_EQ(sendto(nameless, "longer one", 10, 0, (struct sockaddr *)&to, sizeof(to)), 10);
    int n;
    CHECK_OK(ioctl(r, FIONREAD, &n));
    CHECK_EQ(n, 3);
    CHECK_EQ(recvfrom(r, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len), 3);
    CHECK_STR(from.sun_path, "s");
    CHECK_EQ(len, offsetof(struct sockaddr_un, sun_path) + 2);
    CHECK_EQ(recv(r, buf, sizeof(buf), 0), 0);
    CHECK_EQ(recv(r, buf, 4, MSG_PEEK | MSG_TRUNC), 10);
    len = sizeof(from);
    CHECK_EQ(recvfrom(r, buf, 4, 0, (struct sockaddr *)&from, &len), 4);
    CHECK_EQ(len, 0);
    CHECK_ERRNO(recv(r, buf, 4, MSG_DONTWAIT), EAGAIN);
}

TEST(sendto, error, "who is connected elsewhere takes nothing; too large; the wrong type")
{
    cella_scratch();
    int a = bound(SOCK_DGRAM, "a"), b = bound(SOCK_DGRAM, "b"), c = socket(AF_UNIX, SOCK_DGRAM, 0);
    listening(SOCK_STREAM, "l", 1);
    struct sockaddr_un to = path_addr("a");
    static char big[1 << 20];
    CHECK_OK(connect_to(a, "b"));
    CHECK_ERRNO(sendto(c, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), EPERM);
    CHECK_ERRNO(connect_to(c, "a"), EPERM);
    CHECK_EQ(sendto(b, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
    to = path_addr("l");
    CHECK_ERRNO(sendto(c, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), EPROTOTYPE);
    to = path_addr("b");
    CHECK_ERRNO(sendto(c, big, sizeof(big), 0, (struct sockaddr *)&to, sizeof(to)), EMSGSIZE);
    CHECK_ERRNO(SYS(sendto, c, "x", 1ul, 0, cella_bad_address(), 8), EFAULT);
    struct sockaddr_un un = {.sun_family = AF_UNSPEC};
    CHECK_OK(connect(a, (struct sockaddr *)&un, sizeof(un)));
    CHECK_ERRNO(send(a, "x", 1, 0), ENOTCONN);
    CHECK_OK(connect_to(c, "a"));
}

TEST(sendto, interruption, "a full queue: a signal ends the wait, a reader too")
{
    cella_scratch();
    int r = bound(SOCK_DGRAM, "r"), s = connected(SOCK_DGRAM, "r");
    char c;
    int sent = 0;
    while (send(s, "x", 1, MSG_DONTWAIT) == 1)
        sent++;
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(revents(s), 0);
    cella_ticks_start(30, 0, NULL);
    CHECK_ERRNO(send(s, "x", 1, 0), EINTR);
    cella_ticks_stop();
    pid_t pid = cella_fork();
    if (pid == 0) {
        cella_sleep_ms(30);
        while (sent--)
            CHECK_EQ(recv(r, &c, 1, 0), 1);
        _exit(0);
    }
    CHECK_EQ(send(s, "y", 1, 0), 1);
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_EQ(recv(r, &c, 1, 0), 1);
    CHECK_EQ(c, 'y');
}

TEST(recvmsg, success, "truncation is told; sequenced packets keep bounds and end with 0")
{
    int sv[2];
    struct message m;
    pair(SOCK_SEQPACKET, sv);
    put_str(sv[0], "packet");
    put_str(sv[0], "two");
    CHECK_EQ(recvmsg(sv[1], &message(&m, 3, 0)->h, 0), 3);
    CHECK_EQ(m.h.msg_flags, MSG_TRUNC);
    CHECK_EQ(recvmsg(sv[1], &message(&m, 9, 0)->h, MSG_TRUNC), 3);
    CHECK_EQ(m.h.msg_flags, 0);
    close(sv[0]);
    CHECK_EQ(recvmsg(sv[1], &message(&m, 9, 0)->h, 0), 0);
}

TEST(recvmsg, success, "a datagram that nobody could store is gone")
{
    int sv[2];
    pair(SOCK_DGRAM, sv);
    put_str(sv[0], "lost");
    put_str(sv[0], "next");
    CHECK_ERRNO(SYS(recvfrom, sv[1], cella_bad_address(), 4ul, 0, NULL, NULL), EFAULT);
    want_str(sv[1], "next", 0);
}

static void *packet_sender(void *arg)
{
    int fd = *(int *)arg;
    for (int i = 0; i < 2000; i++)
        CHECK_EQ(send(fd, &i, sizeof(i), 0), sizeof(i));
    return NULL;
}

TEST(sendto, success, "thousands of packets through a small queue, in order")
{
    int sv[2], n;
    pthread_t t;
    for (int kind = 0; kind < 2; kind++) {
        pair(kind ? SOCK_DGRAM : SOCK_SEQPACKET, sv);
        CHECK_EQ(pthread_create(&t, NULL, packet_sender, &sv[0]), 0);
        for (int i = 0; i < 2000; i++) {
            CHECK_EQ(recv(sv[1], &n, sizeof(n), 0), sizeof(n));
            CHECK_EQ(n, i);
        }
        pthread_join(t, NULL);
        CHECK_ERRNO(recv(sv[1], &n, sizeof(n), MSG_DONTWAIT), EAGAIN);
    }
}

/* ---- descriptors ---- */

TEST(sendmsg, success, "descriptors arrive as new ones, with close-on-exec when asked")
{
    int sv[2], p[2], got[2] = {-1, -1}, flags;
    char c = 0;
    pair(SOCK_STREAM, sv);
    CHECK_OK(pipe(p));
    CHECK_EQ(send_fds(sv[0], "fd", p, 2), 2);
    CHECK_OK(close(p[1]));
    CHECK_EQ(recv_fds(sv[1], 8, got, 2, MSG_CMSG_CLOEXEC, NULL, &flags), 2);
    CHECK_EQ(flags, MSG_CMSG_CLOEXEC);
    CHECK_EQ(fcntl(got[0], F_GETFD), FD_CLOEXEC);
    CHECK_EQ(write(got[1], "q", 1), 1);
    CHECK_EQ(read(got[0], &c, 1), 1);
    CHECK_EQ(c, 'q');
    CHECK_OK(close(got[1]));
    CHECK_EQ(read(p[0], &c, 1), 0);
}

TEST(sendmsg, success, "a stream stops behind the bytes that brought descriptors; once only")
{
    int sv[2], fd = cella_open("/", O_RDONLY), got[4];
    ssize_t n;
    pair(SOCK_STREAM, sv);
    put_str(sv[0], "aa");
    CHECK_EQ(send_fds(sv[0], "bb", &fd, 1), 2);
    put_str(sv[0], "cc");
    CHECK_EQ(send_fds(sv[0], "dd", &fd, 1), 2);
    CHECK_EQ(recv_fds(sv[1], 1, got, 4, 0, &n, NULL), 0);
    CHECK_EQ(n, 1);
    CHECK_EQ(recv_fds(sv[1], 30, got, 4, MSG_PEEK, &n, NULL), 1);
    CHECK_EQ(n, 3);
    CHECK_OK(fcntl(got[0], F_GETFD));
    CHECK_EQ(recv_fds(sv[1], 2, got, 4, 0, &n, NULL), 1);
    CHECK_EQ(n, 2);
    CHECK_EQ(recv_fds(sv[1], 30, got, 4, 0, &n, NULL), 1);
    CHECK_EQ(n, 5);
    put_str(sv[0], "e");
    CHECK_EQ(recv_fds(sv[1], 30, got, 4, 0, &n, NULL), 0);
    CHECK_EQ(n, 1);
}

TEST(sendmsg, success, "a reader that wants no descriptors closes them")
{
    int sv[2], p[2], flags;
    char c;
    pair(SOCK_SEQPACKET, sv);
    CHECK_OK(pipe(p));
    CHECK_EQ(send_fds(sv[0], "x", &p[1], 1), 1);
    close(p[1]);
    CHECK_EQ(recv_fds(sv[1], 1, NULL, 0, 0, NULL, &flags), 0);
    CHECK(flags & MSG_CTRUNC);
    CHECK_EQ(read(p[0], &c, 1), 0);
    CHECK_OK(pipe(p));
    CHECK_EQ(send_fds(sv[0], "x", &p[1], 1), 1);
    close(p[1]);
    want_str(sv[1], "x", 0);
    CHECK_EQ(read(p[0], &c, 1), 0);
}

TEST(sendmsg, limit, "253 descriptors go, 254 do not; what has no room is closed")
{
    int sv[2], fds[260], got[260], flags, p[2];
    char c;
    pair(SOCK_DGRAM, sv);
    for (int i = 0; i < 260; i++)
        fds[i] = sv[0];
    CHECK_ERRNO(send_fds(sv[0], "x", fds, 254), EINVAL);
    CHECK_EQ(send_fds(sv[0], "x", fds, 253), 1);
    CHECK_EQ(recv_fds(sv[1], 1, got, 253, 0, NULL, &flags), 253);
    CHECK_EQ(flags, 0);
    CHECK_OK(pipe(p));
    fds[1] = p[1];
    CHECK_EQ(send_fds(sv[0], "x", fds, 2), 1);
    close(p[1]);
    CHECK_EQ(recv_fds(sv[1], 1, got, 1, 0, NULL, &flags), 1);
    CHECK_EQ(flags, MSG_CTRUNC);
    CHECK_EQ(read(p[0], &c, 1), 0);
    CHECK_EQ(send_fds(sv[0], "x", fds, 1), 1);
    cella_limit_fds(0);
    CHECK_EQ(recv_fds(sv[1], 1, got, 1, 0, NULL, &flags), 0);
    CHECK_EQ(flags, MSG_CTRUNC);
}

TEST(sendmsg, error, "bad descriptors, headers, control data; nothing is sent then")
{
    int sv[2], bad = CELLA_NO_FD;
    struct message m;
    char c;
    pair(SOCK_DGRAM, sv);
    CHECK_ERRNO(send_fds(sv[0], "x", &bad, 1), EBADF);
    message(&m, 1, CMSG_SPACE(4));
    *CMSG_FIRSTHDR(&m.h) = (struct cmsghdr){CMSG_LEN(4), SOL_SOCKET, 99};
    CHECK_ERRNO(sendmsg(sv[0], &m.h, 0), EINVAL);
    CMSG_FIRSTHDR(&m.h)->cmsg_len = 3;
    CHECK_ERRNO(sendmsg(sv[0], &m.h, 0), EINVAL);
    CMSG_FIRSTHDR(&m.h)->cmsg_len = 4000;
    CHECK_ERRNO(sendmsg(sv[0], &m.h, 0), EINVAL);
    *CMSG_FIRSTHDR(&m.h) = (struct cmsghdr){CMSG_LEN(4), SOL_SOCKET, SCM_CREDENTIALS};
    CHECK_ERRNO(sendmsg(sv[0], &m.h, 0), EINVAL);
    m.h.msg_control = cella_bad_address();
    CHECK_ERRNO(sendmsg(sv[0], &m.h, 0), EFAULT);
    message(&m, 1, 0)->h.msg_iovlen = 1025;
    CHECK_ERRNO(sendmsg(sv[0], &m.h, 0), EMSGSIZE);
    message(&m, 1, 0)->h.msg_iov = cella_bad_address();
    CHECK_ERRNO(sendmsg(sv[0], &m.h, 0), EFAULT);
    CHECK_ERRNO(SYS(sendmsg, sv[0], cella_bad_address(), 0), EFAULT);
    CHECK_ERRNO(SYS(recvmsg, sv[0], cella_bad_address(), 0), EFAULT);
    CHECK_ERRNO(sendmsg(CELLA_NO_FD, &m.h, 0), EBADF);
    CHECK_ERRNO(recv(sv[1], &c, 1, MSG_DONTWAIT), EAGAIN);
}

/* The write end of a pipe in the queue of a socket that only the queues of others hold. */
static int lost_in_a_ring(int nr)
{
    int ring[8][2], p[2];
    CHECK_OK(pipe(p));
    for (int i = 0; i < nr; i++)
        pair(i % 2 ? SOCK_DGRAM : SOCK_STREAM, ring[i]);
    CHECK_EQ(send_fds(ring[0][0], "p", &p[1], 1), 1);
    for (int i = 0; i < nr; i++)
        CHECK_EQ(send_fds(ring[i][0], "r", &ring[(i + 1) % nr][1], 1), 1);
    CHECK_OK(close(p[1]));
    for (int i = 0; i < nr; i++) {
        CHECK_OK(close(ring[i][0]));
        CHECK_OK(close(ring[i][1]));
    }
    return p[0];
}

TEST(sendmsg, success, "sockets in flight to each other only are closed in the end")
{
    for (int nr = 1; nr < 8; nr += 3) {
        int p = lost_in_a_ring(nr), sv[2];
        char c;
        pair(SOCK_STREAM, sv);
        close(sv[0]);
        close(sv[1]);
        struct pollfd poll_end = {.fd = p, .events = POLLIN};
        CHECK_EQ(poll(&poll_end, 1, 5000), 1);
        CHECK_EQ(read(p, &c, 1), 0);
    }
}

TEST(sendmsg, success, "sockets in flight that somebody can still receive live on")
{
    int a[2], b[2], got, sv[2];
    pair(SOCK_STREAM, a);
    pair(SOCK_STREAM, b);
    CHECK_EQ(send_fds(a[0], "x", &b[1], 1), 1);
    CHECK_EQ(send_fds(b[0], "y", &a[1], 1), 1);
    close(b[0]);
    close(b[1]);
    pair(SOCK_STREAM, sv);
    close(sv[0]);
    close(sv[1]);
    CHECK_EQ(recv_fds(a[1], 9, &got, 1, 0, NULL, NULL), 1);
    int inner = -1;
    CHECK_EQ(recv_fds(got, 9, &inner, 1, 0, NULL, NULL), 1);
    put_str(a[0], "alive");
    want_str(inner, "alive", 0);
}

TEST(sendmsg, limit, "a long chain of sockets within sockets ends without harm")
{
    if (geteuid() != 0)
        SKIP("an ordinary user's limit of open files is one of descriptors in flight too");
    int sv[2], prev = cella_open("/", O_RDONLY);
    for (int i = 0; i < 5000; i++) {
        pair(SOCK_DGRAM, sv);
        CHECK_EQ(send_fds(sv[0], "x", &prev, 1), 1);
        close(prev);
        close(sv[0]);
        prev = sv[1];
    }
    CHECK_OK(close(prev));
    pair(SOCK_DGRAM, sv);
}

/* ---- credentials ---- */

static ssize_t recv_cred(int fd, struct ucred *cred)
{
    struct message m;
    ssize_t n = recvmsg(fd, &message(&m, 60, sizeof(m.control))->h, 0);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m.h);
    memset(cred, 0xee, sizeof(*cred));
    if (n >= 0 && c && c->cmsg_type == SCM_CREDENTIALS)
        memcpy(cred, CMSG_DATA(c), sizeof(*cred));
    return n;
}

TEST(recvmsg, success, "SO_PASSCRED tells the sender of each message, and keeps senders apart")
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    for (int i = 0; i < 3; i++) {
        int sv[2], on = 1;
        struct ucred cred;
        pair(types[i], sv);
        put_str(sv[0], "before");
        CHECK_OK(setsockopt(sv[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
        pid_t pid = cella_fork();
        if (pid == 0) {
            put_str(sv[0], "child");
            _exit(0);
        }
        CHECK_EQ(cella_wait_exit(pid), 0);
        put_str(sv[0], "parent");
        if (types[i] == SOCK_STREAM)
            put_str(sv[0], "+more");
        CHECK_EQ(recv_cred(sv[1], &cred), 6);
        CHECK_EQ(cred.pid, 0);
        CHECK_EQ(cred.uid, 65534);
        CHECK_EQ(recv_cred(sv[1], &cred), 5);
        CHECK_EQ(cred.pid, pid);
        CHECK_EQ(cred.uid, getuid());
        CHECK_EQ(recv_cred(sv[1], &cred), types[i] == SOCK_STREAM ? 11 : 6);
        CHECK_EQ(cred.pid, getpid());
    }
}

static ssize_t send_cred(int fd, struct ucred cred)
{
    struct message m;
    message(&m, 1, CMSG_SPACE(sizeof(cred)));
    struct cmsghdr *c = CMSG_FIRSTHDR(&m.h);
    *c = (struct cmsghdr){CMSG_LEN(sizeof(cred)), SOL_SOCKET, SCM_CREDENTIALS};
    memcpy(CMSG_DATA(c), &cred, sizeof(cred));
    return sendmsg(fd, &m.h, 0);
}

TEST(sendmsg, error, "credentials of others need privileges")
{
    int sv[2], on = 1;
    struct ucred cred, mine = {getpid(), 65534, 65534};
    cella_drop_root();
    mine.uid = getuid();
    mine.gid = getgid();
    pair(SOCK_DGRAM, sv);
    CHECK_OK(setsockopt(sv[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
    CHECK_EQ(send_cred(sv[0], mine), 1);
    CHECK_EQ(recv_cred(sv[1], &cred), 1);
    CHECK_EQ(cred.pid, getpid());
    struct ucred other = mine;
    other.pid = getppid();
    CHECK_ERRNO(send_cred(sv[0], other), EPERM);
    other = mine;
    other.uid++;
    CHECK_ERRNO(send_cred(sv[0], other), EPERM);
    other = mine;
    other.gid = 0;
    CHECK_ERRNO(send_cred(sv[0], other), EPERM);
}

TEST(getsockopt, success, "SO_PEERCRED and SO_PEERGROUPS tell who joined")
{
    struct ucred cred;
    socklen_t len = sizeof(cred);
    gid_t groups[4];
    int sv[2];
    cella_scratch();
    int fresh = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_OK(getsockopt(fresh, SOL_SOCKET, SO_PEERCRED, &cred, &len));
    CHECK_EQ(cred.pid, 0);
    CHECK_EQ(cred.uid, (uid_t)-1);
    len = sizeof(groups);
    CHECK_ERRNO(getsockopt(fresh, SOL_SOCKET, SO_PEERGROUPS, groups, &len), ENODATA);
    pair(SOCK_STREAM, sv);
    len = sizeof(cred);
    CHECK_OK(getsockopt(sv[0], SOL_SOCKET, SO_PEERCRED, &cred, &len));
    CHECK_EQ(len, sizeof(cred));
    CHECK_EQ(cred.pid, getpid());
    CHECK_EQ(cred.uid, geteuid());
    int l = listening(SOCK_STREAM, "s", 5);
    pid_t pid = cella_fork();
    if (pid == 0) {
        int c = connected(SOCK_STREAM, "s");
        len = sizeof(cred);
        CHECK_OK(getsockopt(c, SOL_SOCKET, SO_PEERCRED, &cred, &len));
        CHECK_EQ(cred.pid, getppid());
        want_str(c, "", 0);
        _exit(0);
    }
    int a = accept(l, NULL, NULL);
    len = sizeof(cred);
    CHECK_OK(getsockopt(a, SOL_SOCKET, SO_PEERCRED, &cred, &len));
    CHECK_EQ(cred.pid, pid);
    if (getuid() == 0) {
        gid_t set[2] = {11, 12};
        CHECK_EQ(syscall(SYS_setgroups, 2, set), 0);
        pair(SOCK_STREAM, sv);
        len = 4;
        CHECK_ERRNO(getsockopt(sv[0], SOL_SOCKET, SO_PEERGROUPS, groups, &len), ERANGE);
        CHECK_EQ(len, 8);
        len = sizeof(groups);
        CHECK_OK(getsockopt(sv[0], SOL_SOCKET, SO_PEERGROUPS, groups, &len));
        CHECK_EQ(len, 8);
        CHECK_EQ(groups[1], 12);
    }
    close(a);
    CHECK_EQ(cella_wait_exit(pid), 0);
}

/* ---- files ---- */

TEST(ioctl, success, "FIONREAD, SIOCOUTQ, FIONBIO of sockets")
{
    int sv[2], n = -1, on = 1;
    char c;
    pair(SOCK_STREAM, sv);
    put_str(sv[0], "12345");
    CHECK_OK(ioctl(sv[1], FIONREAD, &n));
    CHECK_EQ(n, 5);
    CHECK_OK(ioctl(sv[1], TIOCOUTQ, &n));
    CHECK_EQ(n, 0);
    CHECK_OK(ioctl(sv[0], TIOCOUTQ, &n));
    CHECK(n >= 5);
    CHECK_OK(ioctl(sv[0], FIONBIO, &on));
    CHECK_ERRNO(read(sv[0], &c, 1), EAGAIN);
    CHECK_ERRNO(ioctl(sv[0], 0x5401, &n), ENOTTY);
}

TEST(sendfile, success, "a file goes out on a socket; splice to and from one")
{
    int sv[2], p[2];
    char buf[32] = "";
    cella_scratch();
    cella_put_file("f", "contents of a file", 18);
    int f = cella_open("f", O_RDONLY);
    pair(SOCK_STREAM, sv);
    CHECK_OK(pipe(p));
    CHECK_EQ(sendfile(sv[0], f, NULL, 100), 18);
    CHECK_EQ(splice(sv[1], NULL, p[1], NULL, 8, 0), 8);
    CHECK_EQ(splice(p[0], NULL, sv[1], NULL, 100, 0), 8);
    CHECK_EQ(recv(sv[0], buf, sizeof(buf), 0), 8);
    CHECK_STR(buf, "contents");
    CHECK_EQ(splice(sv[1], NULL, p[1], NULL, 100, SPLICE_F_NONBLOCK), 10);
    CHECK_ERRNO(splice(sv[1], NULL, p[1], NULL, 100, SPLICE_F_NONBLOCK), EAGAIN);
    close(sv[0]);
    CHECK_EQ(splice(sv[1], NULL, p[1], NULL, 100, 0), 0);
}

TEST(execve, success, "a socket without close-on-exec is there after exec")
{
    int sv[2];
    pair(SOCK_STREAM, sv);
    pid_t pid = cella_fork();
    if (pid == 0) {
        CHECK_OK(dup2(sv[0], 1));
        execl("/bin/sh", "sh", "-c", "echo through", NULL);
        _exit(127);
    }
    close(sv[0]);
    want_str(sv[1], "through\n", MSG_WAITALL);
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(open, success, "/proc/net/unix lists what is bound")
{
    char line[256];
    bool found = false;
    cella_scratch();
    listening(SOCK_STREAM, "listed", 1);
    FILE *f = fopen("/proc/net/unix", "r");
    CHECK(f != NULL);
    CHECK(fgets(line, sizeof(line), f) != NULL);
    CHECK_STR(line, "Num       RefCount Protocol Flags    Type St Inode Path\n");
    while (fgets(line, sizeof(line), f))
        if (strstr(line, " listed\n")) {
            CHECK(strstr(line, ": 00000002 00000000 00010000 0001 01 ") != NULL);
            found = true;
        }
    CHECK(found);
    fclose(f);
}

TEST_MAIN()
