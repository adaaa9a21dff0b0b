/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket calls whatever the family: options, arguments, many messages at once, and the signals
 * of O_ASYNC. The sockets are AF_UNIX; what that family does is in test_unix.c.
 */
#include "cella_file.h"

#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static int unix_socket(int type)
{
    int fd = socket(AF_UNIX, type, 0);
    CHECK(fd >= 0);
    return fd;
}

static void pair(int type, int sv[2])
{
    CHECK_OK(socketpair(AF_UNIX, type, 0, sv));
}

static int get_int(int fd, int name)
{
    int val = -12345;
    socklen_t len = sizeof(val);
    CHECK_OK(getsockopt(fd, SOL_SOCKET, name, &val, &len));
    CHECK_EQ(len, sizeof(val));
    return val;
}

static int set_int(int fd, int name, int val)
{
    return setsockopt(fd, SOL_SOCKET, name, &val, sizeof(val));
}

TEST(socket, success, "types, flags, and raw for datagrams")
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(fd, F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_NONBLOCK | O_RDWR);
    CHECK_EQ(get_int(fd, SO_TYPE), SOCK_STREAM);
    CHECK_EQ(get_int(fd, SO_DOMAIN), AF_UNIX);
    CHECK_EQ(get_int(fd, SO_PROTOCOL), 0);
    CHECK_EQ(get_int(unix_socket(SOCK_RAW), SO_TYPE), SOCK_DGRAM);
}

TEST(socket, error, "families, types, flags that do not exist")
{
    CHECK_ERRNO(socket(-1, SOCK_STREAM, 0), EAFNOSUPPORT);
    CHECK_ERRNO(socket(45, SOCK_STREAM, 0), EAFNOSUPPORT);
    CHECK_ERRNO(socket(1000, SOCK_STREAM, 0), EAFNOSUPPORT);
    CHECK_ERRNO(socket(AF_UNIX, 0, 0), ESOCKTNOSUPPORT);
    CHECK_ERRNO(socket(AF_UNIX, 12, 0), EINVAL);
    CHECK_ERRNO(socket(AF_UNIX, SOCK_STREAM | 0x20000000, 0), EINVAL);
}

TEST(socket, limit, "no descriptor is left")
{
    cella_limit_fds(0);
    CHECK_ERRNO(socket(AF_UNIX, SOCK_STREAM, 0), EMFILE);
}

/* ---- options ---- */

TEST(setsockopt, success, "switches are kept as 0 and 1")
{
    static const int names[] = {SO_REUSEADDR, SO_KEEPALIVE, SO_BROADCAST,
                                SO_PASSCRED,  SO_DONTROUTE, SO_TIMESTAMP};
    int fd = unix_socket(SOCK_DGRAM);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        CHECK_EQ(get_int(fd, names[i]), 0);
        CHECK_OK(set_int(fd, names[i], 7));
        CHECK_EQ(get_int(fd, names[i]), 1);
        CHECK_OK(set_int(fd, names[i], 0));
        CHECK_EQ(get_int(fd, names[i]), 0);
    }
}

TEST(setsockopt, success, "buffer sizes are doubled, with a least and a most")
{
    int fd = unix_socket(SOCK_STREAM);
    CHECK_OK(set_int(fd, SO_SNDBUF, 10000));
    CHECK_EQ(get_int(fd, SO_SNDBUF), 20000);
    CHECK_OK(set_int(fd, SO_RCVBUF, 10000));
    CHECK_EQ(get_int(fd, SO_RCVBUF), 20000);
    CHECK_OK(set_int(fd, SO_SNDBUF, 0));
    CHECK_EQ(get_int(fd, SO_SNDBUF), 4608);
    CHECK_OK(set_int(fd, SO_RCVBUF, 1));
    CHECK_EQ(get_int(fd, SO_RCVBUF), 2304);
    CHECK_OK(set_int(fd, SO_SNDBUF, 1 << 30));
    CHECK(get_int(fd, SO_SNDBUF) < 1 << 30);
    CHECK_OK(set_int(fd, SO_RCVLOWAT, 0));
    CHECK_EQ(get_int(fd, SO_RCVLOWAT), 1);
    CHECK_EQ(get_int(fd, SO_SNDLOWAT), 1);
}

TEST(setsockopt, success, "timeouts and linger come back as they were set")
{
    int fd = unix_socket(SOCK_STREAM);
    struct timeval tv = {3, 0}, got;
    struct linger linger = {1, 9}, l;
    socklen_t len = sizeof(got);
    CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &got, &len));
    CHECK_EQ(len, sizeof(got));
    CHECK(got.tv_sec == 3 && got.tv_usec == 0);
    CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &got, &len));
    CHECK(got.tv_sec == 0 && got.tv_usec == 0);
    CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
    len = sizeof(l);
    CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &len));
    CHECK(l.l_onoff == 1 && l.l_linger == 9);
    tv.tv_usec = 1000000;
    CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)), EDOM);
    CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv) - 1), EINVAL);
    CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, 4), EINVAL);
}

TEST(setsockopt, error, "what cannot be set, short values, bad memory")
{
    int fd = unix_socket(SOCK_STREAM), one = 1;
    CHECK_ERRNO(set_int(fd, SO_TYPE, 1), ENOPROTOOPT);
    CHECK_ERRNO(set_int(fd, SO_ERROR, 1), ENOPROTOOPT);
    CHECK_ERRNO(set_int(fd, SO_ACCEPTCONN, 1), ENOPROTOOPT);
    CHECK_ERRNO(set_int(fd, SO_SNDLOWAT, 1), ENOPROTOOPT);
    CHECK_ERRNO(set_int(fd, SO_PEERCRED, 1), ENOPROTOOPT);
    CHECK_ERRNO(set_int(fd, 9999, 1), ENOPROTOOPT);
    CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, 3), EINVAL);
    CHECK_ERRNO(setsockopt(fd, 6, 1, &one, sizeof(one)), EOPNOTSUPP);
    CHECK_ERRNO(SYS(setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, &one, -1), EINVAL);
    CHECK_ERRNO(SYS(setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, cella_bad_address(), 4), EFAULT);
    CHECK_ERRNO(set_int(CELLA_NO_FD, SO_REUSEADDR, 1), EBADF);
    CHECK_ERRNO(set_int(cella_open("/", O_RDONLY), SO_REUSEADDR, 1), ENOTSOCK);
    CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "nodev9", 7), ENODEV);
}

TEST(setsockopt, limit, "marks and high priorities need privileges")
{
    int fd = unix_socket(SOCK_STREAM);
    cella_drop_root();
    CHECK_OK(set_int(fd, SO_PRIORITY, 6));
    CHECK_EQ(get_int(fd, SO_PRIORITY), 6);
    CHECK_ERRNO(set_int(fd, SO_PRIORITY, 7), EPERM);
    CHECK_ERRNO(set_int(fd, SO_MARK, 1), EPERM);
    CHECK_ERRNO(set_int(fd, SO_SNDBUFFORCE, 1 << 20), EPERM);
    CHECK_ERRNO(set_int(fd, SO_DEBUG, 1), EACCES);
}

TEST(getsockopt, success, "short room gets the first bytes; the length tells them")
{
    int fd = unix_socket(SOCK_STREAM), val = -1;
    socklen_t len = 1;
    CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &val, &len));
    CHECK_EQ(len, 1);
    CHECK_EQ(val, (int)0xffffff01);
    len = 100;
    CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &val, &len));
    CHECK_EQ(len, 4);
}

TEST(getsockopt, success, "SO_ERROR gives the error once; SO_ACCEPTCONN a listener")
{
    int sv[2];
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    pair(SOCK_STREAM, sv);
    close(sv[1]);
    CHECK_EQ(get_int(sv[0], SO_ERROR), 0);
    pair(SOCK_STREAM, sv);
    CHECK_EQ(write(sv[0], "x", 1), 1);
    CHECK_EQ(get_int(sv[1], SO_ERROR), 0);
    close(sv[1]);
    CHECK_EQ(get_int(sv[0], SO_ERROR), ECONNRESET);
    CHECK_EQ(get_int(sv[0], SO_ERROR), 0);
    int l = unix_socket(SOCK_STREAM);
    CHECK_OK(bind(l, (struct sockaddr *)&a, sizeof(a.sun_family)));
    CHECK_EQ(get_int(l, SO_ACCEPTCONN), 0);
    CHECK_OK(listen(l, 1));
    CHECK_EQ(get_int(l, SO_ACCEPTCONN), 1);
}

TEST(getsockopt, error, "unknown options, negative and unreadable lengths")
{
    int fd = unix_socket(SOCK_STREAM), val;
    socklen_t len = sizeof(val);
    CHECK_ERRNO(getsockopt(fd, SOL_SOCKET, 9999, &val, &len), ENOPROTOOPT);
    CHECK_ERRNO(getsockopt(fd, SOL_SOCKET, SO_PEERSEC, &val, &len), ENOPROTOOPT);
    CHECK_ERRNO(getsockopt(fd, 6, 1, &val, &len), EOPNOTSUPP);
    len = (socklen_t)-1;
    CHECK_ERRNO(getsockopt(fd, SOL_SOCKET, SO_TYPE, &val, &len), EINVAL);
    CHECK_ERRNO(SYS(getsockopt, fd, SOL_SOCKET, SO_TYPE, &val, cella_bad_address()), EFAULT);
    len = sizeof(val);
    CHECK_ERRNO(SYS(getsockopt, fd, SOL_SOCKET, SO_TYPE, cella_bad_address(), &len), EFAULT);
    CHECK_ERRNO(getsockopt(cella_open("/", O_RDONLY), SOL_SOCKET, SO_TYPE, &val, &len), ENOTSOCK);
}

TEST(getsockopt, limit, "no room at all is no error")
{
    int fd = unix_socket(SOCK_STREAM), val = 5;
    socklen_t len = 0;
    CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &val, &len));
    CHECK_EQ(len, 0);
    CHECK_EQ(val, 5);
}

/* ---- names and listening ---- */

TEST(getsockname, success, "unnamed sockets have a family only")
{
    int sv[2];
    struct sockaddr_un a;
    socklen_t len = sizeof(a);
    pair(SOCK_STREAM, sv);
    memset(&a, 7, sizeof(a));
    CHECK_OK(getsockname(sv[0], (struct sockaddr *)&a, &len));
    CHECK_EQ(len, 2);
    CHECK_EQ(a.sun_family, AF_UNIX);
    len = sizeof(a);
    CHECK_OK(getpeername(sv[0], (struct sockaddr *)&a, &len));
    CHECK_EQ(len, 2);
    len = 1;
    CHECK_OK(getpeername(sv[0], (struct sockaddr *)&a, &len));
    CHECK_EQ(len, 2);
}

TEST(getsockname, limit, "no room gets the length only")
{
    socklen_t len = 0;
    CHECK_OK(getsockname(unix_socket(SOCK_STREAM), NULL, &len));
    CHECK_EQ(len, 2);
}

TEST(getpeername, limit, "no room gets the length only")
{
    int sv[2];
    socklen_t len = 0;
    pair(SOCK_DGRAM, sv);
    CHECK_OK(getpeername(sv[0], NULL, &len));
    CHECK_EQ(len, 2);
}

TEST(getpeername, success, "of a pair: the other end's")
{
    int sv[2];
    struct sockaddr_un a;
    socklen_t len = sizeof(a);
    pair(SOCK_SEQPACKET, sv);
    CHECK_OK(getpeername(sv[1], (struct sockaddr *)&a, &len));
    CHECK_EQ(a.sun_family, AF_UNIX);
}

static void name_errors(long call)
{
    int sv[2];
    struct sockaddr_un a;
    socklen_t len = (socklen_t)-1;
    pair(SOCK_STREAM, sv);
    CHECK_ERRNO(syscall(call, sv[0], &a, &len), EINVAL);
    CHECK_ERRNO(syscall(call, sv[0], &a, cella_bad_address()), EFAULT);
    len = sizeof(a);
    CHECK_ERRNO(syscall(call, sv[0], cella_bad_address(), &len), EFAULT);
    CHECK_ERRNO(syscall(call, CELLA_NO_FD, &a, &len), EBADF);
    CHECK_ERRNO(syscall(call, cella_open("/", O_RDONLY), &a, &len), ENOTSOCK);
}

TEST(getsockname, error, "bad lengths, memory, descriptors")
{
    name_errors(SYS_getsockname);
}

TEST(getpeername, error, "bad lengths, memory, descriptors; nobody there")
{
    struct sockaddr_un a;
    socklen_t len = sizeof(a);
    name_errors(SYS_getpeername);
    CHECK_ERRNO(getpeername(unix_socket(SOCK_STREAM), (struct sockaddr *)&a, &len), ENOTCONN);
}

TEST(listen, success, "again, with another backlog")
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int l = unix_socket(SOCK_SEQPACKET);
    CHECK_OK(bind(l, (struct sockaddr *)&a, sizeof(a.sun_family)));
    CHECK_OK(listen(l, 1));
    CHECK_OK(listen(l, -1));
}

TEST(listen, error, "unbound, connected, datagram sockets; no socket")
{
    int sv[2];
    pair(SOCK_STREAM, sv);
    CHECK_ERRNO(listen(unix_socket(SOCK_STREAM), 1), EINVAL);
    CHECK_ERRNO(listen(sv[0], 1), EINVAL);
    CHECK_ERRNO(listen(unix_socket(SOCK_DGRAM), 1), EOPNOTSUPP);
    CHECK_ERRNO(listen(CELLA_NO_FD, 1), EBADF);
    CHECK_ERRNO(listen(cella_open("/", O_RDONLY), 1), ENOTSOCK);
}

TEST(listen, limit, "a backlog of 0 lets one in")
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(a);
    int l = unix_socket(SOCK_STREAM);
    CHECK_OK(bind(l, (struct sockaddr *)&a, sizeof(a.sun_family)));
    CHECK_OK(getsockname(l, (struct sockaddr *)&a, &len));
    CHECK_OK(listen(l, 0));
    int c = unix_socket(SOCK_STREAM | SOCK_NONBLOCK);
    CHECK_OK(connect(c, (struct sockaddr *)&a, len));
    c = unix_socket(SOCK_STREAM | SOCK_NONBLOCK);
    CHECK_ERRNO(connect(c, (struct sockaddr *)&a, len), EAGAIN);
}

TEST(accept, error, "not listening, a datagram socket, bad memory, flags")
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(a);
    int sv[2], l = unix_socket(SOCK_STREAM);
    pair(SOCK_STREAM, sv);
    CHECK_ERRNO(accept(sv[0], NULL, NULL), EINVAL);
    CHECK_ERRNO(accept(unix_socket(SOCK_DGRAM), NULL, NULL), EOPNOTSUPP);
    CHECK_ERRNO(accept(CELLA_NO_FD, NULL, NULL), EBADF);
    CHECK_ERRNO(accept(cella_open("/", O_RDONLY), NULL, NULL), ENOTSOCK);
    CHECK_OK(bind(l, (struct sockaddr *)&a, sizeof(a.sun_family)));
    CHECK_OK(getsockname(l, (struct sockaddr *)&a, &len));
    CHECK_OK(listen(l, 4));
    CHECK_OK(connect(unix_socket(SOCK_STREAM), (struct sockaddr *)&a, len));
    CHECK_ERRNO(SYS(accept, l, &a, cella_bad_address()), EFAULT);
    CHECK_OK(connect(unix_socket(SOCK_STREAM), (struct sockaddr *)&a, len));
    cella_limit_fds(0);
    CHECK_ERRNO(accept(l, NULL, NULL), EMFILE);
    /* The connection is still there. */
    CHECK_OK(fcntl(l, F_SETFL, O_NONBLOCK));
    CHECK_OK(close(sv[0]));
    CHECK_EQ(accept(l, NULL, NULL), sv[0]);
}

TEST(accept4, success, "sets the flags of the new descriptor")
{
    struct sockaddr_un a = {.sun_family = AF_UNIX}, from;
    socklen_t len = sizeof(a), n = sizeof(from);
    int l = unix_socket(SOCK_STREAM);
    CHECK_OK(bind(l, (struct sockaddr *)&a, sizeof(a.sun_family)));
    CHECK_OK(getsockname(l, (struct sockaddr *)&a, &len));
    CHECK_OK(listen(l, 4));
    CHECK_OK(connect(unix_socket(SOCK_STREAM), (struct sockaddr *)&a, len));
    int c = accept4(l, (struct sockaddr *)&from, &n, SOCK_CLOEXEC);
    CHECK(c >= 0);
    CHECK_EQ(n, 2);
    CHECK_EQ(fcntl(c, F_GETFD), FD_CLOEXEC);
    CHECK(!(fcntl(c, F_GETFL) & O_NONBLOCK));
}

TEST(accept4, error, "unknown flags")
{
    CHECK_ERRNO(accept4(unix_socket(SOCK_STREAM), NULL, NULL, 1), EINVAL);
}

TEST(accept4, interruption, "a signal ends it")
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int l = unix_socket(SOCK_STREAM);
    CHECK_OK(bind(l, (struct sockaddr *)&a, sizeof(a.sun_family)));
    CHECK_OK(listen(l, 4));
    cella_ticks_start(30, 0, NULL);
    CHECK_ERRNO(accept4(l, NULL, NULL, SOCK_CLOEXEC), EINTR);
    cella_ticks_stop();
}

TEST(shutdown, limit, "a socket that has no peer yet can be shut down")
{
    char c;
    int fd = unix_socket(SOCK_DGRAM);
    CHECK_OK(shutdown(fd, SHUT_RDWR));
    CHECK_EQ(recv(fd, &c, 1, 0), 0);
    CHECK_ERRNO(recv(fd, &c, 1, MSG_DONTWAIT), EAGAIN);
}

/* ---- messages ---- */

TEST(recvfrom, success, "with and without room for the address")
{
    int sv[2];
    struct sockaddr_un a;
    socklen_t len = sizeof(a);
    char buf[8];
    pair(SOCK_DGRAM, sv);
    CHECK_EQ(send(sv[0], "ab", 2, 0), 2);
    CHECK_EQ(send(sv[0], "cd", 2, 0), 2);
    CHECK_EQ(recvfrom(sv[1], buf, 8, 0, (struct sockaddr *)&a, &len), 2);
    CHECK_EQ(len, 0);
    CHECK_EQ(recvfrom(sv[1], buf, 8, 0, NULL, NULL), 2);
}

TEST(recvfrom, error, "bad descriptors, memory, a bad length")
{
    int sv[2];
    struct sockaddr_un a;
    socklen_t len = (socklen_t)-1;
    char buf[8];
    pair(SOCK_DGRAM, sv);
    CHECK_ERRNO(recvfrom(CELLA_NO_FD, buf, 8, 0, NULL, NULL), EBADF);
    CHECK_ERRNO(recvfrom(cella_open("/", O_RDONLY), buf, 8, 0, NULL, NULL), ENOTSOCK);
    CHECK_EQ(send(sv[0], "ab", 2, 0), 2);
    CHECK_ERRNO(recvfrom(sv[1], buf, 8, 0, (struct sockaddr *)&a, &len), EINVAL);
    CHECK_ERRNO(recvfrom(sv[1], buf, 8, MSG_DONTWAIT | MSG_OOB, NULL, NULL), EOPNOTSUPP);
}

TEST(recvfrom, interruption, "a signal ends the wait, and it starts again with SA_RESTART")
{
    int sv[2];
    char buf[8];
    pair(SOCK_DGRAM, sv);
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(recvfrom(sv[1], buf, 8, 0, NULL, NULL), EINTR);
    cella_ticks_stop();
    pid_t pid = cella_fork();
    if (pid == 0) {
        cella_sleep_ms(100);
        CHECK_EQ(send(sv[0], "ab", 2, 0), 2);
        _exit(0);
    }
    cella_ticks_start(20, SA_RESTART, NULL);
    CHECK_EQ(recvfrom(sv[1], buf, 8, 0, NULL, NULL), 2);
    cella_ticks_stop();
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(recvmsg, error, "no socket, a descriptor that is not open, nothing there")
{
    int sv[2];
    struct msghdr h = {0};
    pair(SOCK_DGRAM, sv);
    CHECK_ERRNO(recvmsg(CELLA_NO_FD, &h, 0), EBADF);
    CHECK_ERRNO(recvmsg(cella_open("/", O_RDONLY), &h, 0), ENOTSOCK);
    CHECK_ERRNO(recvmsg(sv[0], &h, MSG_DONTWAIT), EAGAIN);
    h.msg_iovlen = 2000;
    CHECK_ERRNO(recvmsg(sv[0], &h, MSG_DONTWAIT), EMSGSIZE);
}

TEST(recvmsg, interruption, "a signal ends the wait")
{
    int sv[2];
    struct msghdr h = {0};
    pair(SOCK_DGRAM, sv);
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(recvmsg(sv[1], &h, 0), EINTR);
    cella_ticks_stop();
}

TEST(recvmsg, success, "bytes go to several buffers; SO_TIMESTAMP tells when a datagram came")
{
    int sv[2], on = 1;
    char a[3] = "", b[4] = "", control[64];
    struct iovec iov[2] = {{a, 2}, {b, 3}};
    struct msghdr h = {
        .msg_iov = iov, .msg_iovlen = 2, .msg_control = control, .msg_controllen = 64};
    pair(SOCK_DGRAM, sv);
    CHECK_OK(setsockopt(sv[1], SOL_SOCKET, SO_TIMESTAMP, &on, sizeof(on)));
    CHECK_EQ(send(sv[0], "12345", 5, 0), 5);
    CHECK_EQ(recvmsg(sv[1], &h, 0), 5);
    CHECK_STR(a, "12");
    CHECK_STR(b, "345");
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);
    CHECK(c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMP);
    struct timeval tv, now;
    memcpy(&tv, CMSG_DATA(c), sizeof(tv));
    gettimeofday(&now, NULL);
    CHECK(now.tv_sec - tv.tv_sec <= 10 && tv.tv_sec <= now.tv_sec);
}

struct many {
    struct mmsghdr m[8];
    struct iovec iov[8];
    char bytes[8][8];
};

static struct many *many(struct many *m)
{
    memset(m, 0, sizeof(*m));
    for (int i = 0; i < 8; i++) {
        m->iov[i] = (struct iovec){m->bytes[i], 4};
        m->m[i].msg_hdr.msg_iov = &m->iov[i];
        m->m[i].msg_hdr.msg_iovlen = 1;
        memcpy(m->bytes[i], "msg0", 4);
        m->bytes[i][3] = (char)('0' + i);
    }
    return m;
}

TEST(sendmmsg, success, "sends all, tells each length")
{
    int sv[2];
    struct many m;
    char buf[8] = "";
    pair(SOCK_DGRAM, sv);
    CHECK_EQ(sendmmsg(sv[0], many(&m)->m, 3, 0), 3);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(m.m[i].msg_len, 4);
        CHECK_EQ(recv(sv[1], buf, 8, 0), 4);
        CHECK_EQ(buf[3], '0' + i);
    }
    CHECK_EQ(sendmmsg(sv[0], m.m, 0, 0), 0);
}

TEST(sendmmsg, error, "an error behind the first message is told by the count")
{
    int sv[2];
    struct many m;
    pair(SOCK_DGRAM, sv);
    many(&m)->iov[2].iov_base = cella_bad_address();
    CHECK_EQ(sendmmsg(sv[0], m.m, 8, 0), 2);
    CHECK_ERRNO(sendmmsg(sv[0], m.m + 2, 1, 0), EFAULT);
    CHECK_ERRNO(SYS(sendmmsg, sv[0], cella_bad_address(), 1, 0), EFAULT);
    CHECK_ERRNO(sendmmsg(CELLA_NO_FD, m.m, 1, 0), EBADF);
    CHECK_ERRNO(sendmmsg(cella_open("/", O_RDONLY), m.m, 1, 0), ENOTSOCK);
}

TEST(sendmmsg, limit, "stops where there is no more room")
{
    int sv[2];
    static struct mmsghdr lots[1500];
    static char bytes[4000];
    struct iovec iov = {bytes, sizeof(bytes)};
    pair(SOCK_DGRAM, sv);
    for (int i = 0; i < 1500; i++) {
        lots[i].msg_hdr.msg_iov = &iov;
        lots[i].msg_hdr.msg_iovlen = 1;
    }
    int n = sendmmsg(sv[0], lots, 1500, MSG_DONTWAIT);
    CHECK(n > 5 && n < 1024);
    CHECK_ERRNO(sendmmsg(sv[0], lots, 1, MSG_DONTWAIT), EAGAIN);
}

TEST(recvmmsg, success, "takes what is there; MSG_WAITFORONE waits once")
{
    int sv[2];
    struct many m;
    pair(SOCK_DGRAM, sv);
    CHECK_EQ(sendmmsg(sv[0], many(&m)->m, 5, 0), 5);
    memset(m.bytes, 0, sizeof(m.bytes));
    CHECK_EQ(recvmmsg(sv[1], m.m, 3, 0, NULL), 3);
    CHECK_EQ(m.m[2].msg_len, 4);
    CHECK_EQ(m.bytes[2][3], '2');
    CHECK_EQ(recvmmsg(sv[1], many(&m)->m, 8, MSG_WAITFORONE, NULL), 2);
    CHECK_EQ(m.bytes[1][3], '4');
    pid_t pid = cella_fork();
    if (pid == 0) {
        cella_sleep_ms(30);
        CHECK_EQ(send(sv[0], "late", 4, 0), 4);
        _exit(0);
    }
    CHECK_EQ(recvmmsg(sv[1], many(&m)->m, 8, MSG_WAITFORONE, NULL), 1);
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(recvmmsg, limit, "the timeout is looked at behind each message, and what is left is told")
{
    int sv[2];
    struct many m;
    struct timespec ts = {0, 0};
    pair(SOCK_DGRAM, sv);
    CHECK_EQ(sendmmsg(sv[0], many(&m)->m, 5, 0), 5);
    CHECK_EQ(recvmmsg(sv[1], m.m, 8, 0, &ts), 1);
    ts.tv_sec = 10;
    CHECK_EQ(recvmmsg(sv[1], m.m, 2, 0, &ts), 2);
    CHECK(ts.tv_sec == 9 && ts.tv_nsec > 0);
}

TEST(recvmmsg, error, "bad timeouts, memory, descriptors; nothing there")
{
    int sv[2];
    struct many m;
    struct timespec ts = {0, 1000000000};
    pair(SOCK_DGRAM, sv);
    many(&m);
    CHECK_ERRNO(recvmmsg(sv[1], m.m, 1, 0, &ts), EINVAL);
    CHECK_ERRNO(SYS(recvmmsg, sv[1], m.m, 1, 0, cella_bad_address()), EFAULT);
    CHECK_ERRNO(recvmmsg(sv[1], m.m, 1, MSG_DONTWAIT, NULL), EAGAIN);
    CHECK_ERRNO(SYS(recvmmsg, sv[1], cella_bad_address(), 1, MSG_DONTWAIT, NULL), EFAULT);
    CHECK_ERRNO(recvmmsg(CELLA_NO_FD, m.m, 1, 0, NULL), EBADF);
}

TEST(recvmmsg, interruption, "a signal ends the wait for the first")
{
    int sv[2];
    struct many m;
    pair(SOCK_DGRAM, sv);
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(recvmmsg(sv[1], many(&m)->m, 2, 0, NULL), EINTR);
    cella_ticks_stop();
}

/* ---- O_ASYNC ---- */

static volatile sig_atomic_t async_signals, async_code, async_fd, async_band;

static void on_async(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    async_signals = async_signals + 1;
    async_code = info->si_code;
    async_fd = info->si_fd;
    async_band = (sig_atomic_t)info->si_band;
}

static void want_async(int fd, int sig)
{
    struct sigaction action = {.sa_sigaction = on_async, .sa_flags = SA_SIGINFO | SA_RESTART};
    CHECK_OK(sigaction(sig, &action, NULL));
    CHECK_OK(fcntl(fd, F_SETOWN, getpid()));
    CHECK_OK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC));
    CHECK(fcntl(fd, F_GETFL) & O_ASYNC);
    async_signals = 0;
}

TEST(fcntl, success, "O_ASYNC sends SIGIO when a socket or a pipe becomes readable")
{
    int sv[2], p[2];
    pair(SOCK_STREAM, sv);
    CHECK_OK(pipe(p));
    want_async(sv[1], SIGIO);
    CHECK_EQ(write(sv[0], "x", 1), 1);
    CHECK_EQ(async_signals, 1);
    CHECK_EQ(async_code, SI_KERNEL);
    CHECK_OK(fcntl(sv[1], F_SETFL, 0));
    CHECK_EQ(write(sv[0], "x", 1), 1);
    CHECK_EQ(async_signals, 1);
    want_async(p[0], SIGIO);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_EQ(async_signals, 1);
    CHECK_OK(close(p[0]));
    CHECK_EQ(async_signals, 1);
}

TEST(fcntl, success, "F_SETSIG tells descriptor and band; FIOASYNC and FIOSETOWN do the same")
{
    int sv[2], on = 1, pid = getpid(), got = 0;
    pair(SOCK_DGRAM, sv);
    want_async(sv[1], SIGRTMIN);
    CHECK_OK(fcntl(sv[1], F_SETSIG, SIGRTMIN));
    CHECK_EQ(write(sv[0], "x", 1), 1);
    CHECK_EQ(async_signals, 1);
    CHECK_EQ(async_code, POLL_IN);
    CHECK_EQ(async_fd, sv[1]);
    CHECK(async_band & POLLIN);
    CHECK_OK(fcntl(sv[1], F_SETOWN, 0));
    CHECK_EQ(write(sv[0], "x", 1), 1);
    CHECK_EQ(async_signals, 1);
    pair(SOCK_DGRAM, sv);
    CHECK_OK(ioctl(sv[1], FIOSETOWN, &pid));
    CHECK_OK(ioctl(sv[1], FIOGETOWN, &got));
    CHECK_EQ(got, pid);
    CHECK_OK(fcntl(sv[1], F_SETSIG, SIGRTMIN));
    CHECK_OK(ioctl(sv[1], FIOASYNC, &on));
    CHECK_EQ(write(sv[0], "x", 1), 1);
    CHECK_EQ(async_signals, 2);
    CHECK_EQ(async_fd, sv[1]);
}

TEST(fcntl, success, "F_SETOWN_EX names a thread, a group; a child in it gets the signal")
{
    struct f_owner_ex own = {F_OWNER_TID, (pid_t)syscall(SYS_gettid)}, got;
    int sv[2], p[2];
    char c;
    pair(SOCK_DGRAM, sv);
    CHECK_OK(pipe(p));
    want_async(sv[1], SIGIO);
    CHECK_OK(fcntl(sv[1], F_SETOWN_EX, &own));
    CHECK_OK(fcntl(sv[1], F_GETOWN_EX, &got));
    CHECK_EQ(got.type, F_OWNER_TID);
    CHECK_EQ(got.pid, own.pid);
    CHECK_EQ(write(sv[0], "x", 1), 1);
    CHECK_EQ(async_signals, 1);
    pid_t pid = cella_fork();
    if (pid == 0) {
        async_signals = 0;
        CHECK_OK(setpgid(0, 0));
        CHECK_EQ(write(p[1], "r", 1), 1);
        for (int i = 0; i < 2000 && !async_signals; i++)
            cella_sleep_ms(1);
        _exit(async_signals == 1 ? 0 : 1);
    }
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_OK(fcntl(sv[1], F_SETOWN, -pid));
    CHECK_EQ(write(sv[0], "x", 1), 1);
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_EQ(async_signals, 1);
    own.type = 9;
    CHECK_ERRNO(fcntl(sv[1], F_SETOWN_EX, &own), EINVAL);
}

TEST_MAIN()
