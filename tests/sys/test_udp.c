/* SPDX-License-Identifier: Apache-2.0 */
/* UDP over loopback. */
#include "cella_inet.h"

static int udp4(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(fd >= 0);
    return fd;
}

/* Bound to 127.0.0.1. */
static int bound4(int *port)
{
    int fd = udp4();
    CHECK_OK(bind4(fd, "127.0.0.1", 0));
    *port = port_of(fd);
    return fd;
}

static ssize_t send_to(int fd, const void *data, size_t len, int port)
{
    struct sockaddr_in a = addr4("127.0.0.1", port);
    return sendto(fd, data, len, 0, (struct sockaddr *)&a, sizeof(a));
}

TEST(sendto, success, "datagrams keep their bounds, also empty ones, and tell the sender")
{
    int port, r = bound4(&port), s = udp4();
    char buf[16];
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    CHECK_EQ(send_to(s, "one", 3, port), 3);
    CHECK_EQ(send_to(s, "", 0, port), 0);
    CHECK_EQ(send_to(s, "three", 5, port), 5);
    CHECK_EQ(recvfrom(r, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len), 3);
    CHECK_EQ(len, sizeof(from));
    CHECK_EQ(ntohs(from.sin_port), port_of(s));
    CHECK_EQ(ntohl(from.sin_addr.s_addr), INADDR_LOOPBACK);
    CHECK_EQ(recv(r, buf, sizeof(buf), 0), 0);
    int held;
    CHECK_OK(ioctl(r, FIONREAD, &held));
    CHECK_EQ(held, 5);
    CHECK_EQ(recv(r, buf, 2, MSG_PEEK | MSG_TRUNC), 5);
    CHECK_EQ(recv(r, buf, 2, 0), 2);
    CHECK_ERRNO(recv(r, buf, 2, MSG_DONTWAIT), EAGAIN);
}

TEST(recvmsg, success, "MSG_TRUNC is told, with IP_PKTINFO, IP_TTL and IP_TOS when asked for")
{
    int port, r = bound4(&port), s = udp4(), found = 0;
    char buf[2], control[256];
    struct iovec iov = {buf, sizeof(buf)};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    set_option(r, IPPROTO_IP, IP_PKTINFO, 1);
    set_option(r, IPPROTO_IP, IP_RECVTTL, 1);
    set_option(r, IPPROTO_IP, IP_RECVTOS, 1);
    set_option(s, IPPROTO_IP, IP_TTL, 33);
    set_option(s, IPPROTO_IP, IP_TOS, 0x10);
    CHECK_EQ(send_to(s, "long", 4, port), 4);
    CHECK_EQ(recvmsg(r, &m, 0), 2);
    CHECK_EQ(m.msg_flags, MSG_TRUNC);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        CHECK_EQ(c->cmsg_level, IPPROTO_IP);
        if (c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo *info = (struct in_pktinfo *)CMSG_DATA(c);
            CHECK_EQ(info->ipi_ifindex, 1);
            CHECK_EQ(ntohl(info->ipi_addr.s_addr), INADDR_LOOPBACK);
            found |= 1;
        } else if (c->cmsg_type == IP_TTL) {
            CHECK_EQ(*(int *)CMSG_DATA(c), 33);
            found |= 2;
        } else if (c->cmsg_type == IP_TOS) {
            CHECK_EQ(*CMSG_DATA(c), 0x10);
            found |= 4;
        }
    }
    CHECK_EQ(found, 7);
}

TEST(recvmsg, success, "IPv6 hop limit and traffic class, set by control data")
{
    int r = socket(AF_INET6, SOCK_DGRAM, 0), s = socket(AF_INET6, SOCK_DGRAM, 0), found = 0;
    CHECK_OK(bind6(r, "::1", 0));
    set_option(r, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
    set_option(r, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    set_option(r, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    struct sockaddr_in6 to = addr6("::1", port_of(r));
    char buf[8] = "x", control[256];
    struct iovec iov = {buf, 1};
    struct msghdr m = {.msg_name = &to,
                       .msg_namelen = sizeof(to),
                       .msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = CMSG_SPACE(sizeof(int))};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = IPPROTO_IPV6;
    c->cmsg_type = IPV6_HOPLIMIT;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    *(int *)CMSG_DATA(c) = 5;
    CHECK_EQ(sendmsg(s, &m, 0), 1);
    m.msg_controllen = sizeof(control);
    CHECK_EQ(recvmsg(r, &m, 0), 1);
    for (c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_type == IPV6_HOPLIMIT)
            found += *(int *)CMSG_DATA(c) == 5;
        if (c->cmsg_type == IPV6_TCLASS)
            found += *(int *)CMSG_DATA(c) == 0;
        if (c->cmsg_type == IPV6_PKTINFO)
            found += IN6_IS_ADDR_LOOPBACK(&((struct in6_pktinfo *)CMSG_DATA(c))->ipi6_addr);
    }
    CHECK_EQ(found, 3);
    m.msg_controllen = CMSG_SPACE(sizeof(int));
    c = CMSG_FIRSTHDR(&m);
    *(int *)CMSG_DATA(c) = 256;
    c->cmsg_level = IPPROTO_IPV6;
    c->cmsg_type = IPV6_HOPLIMIT;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    CHECK_ERRNO(sendmsg(s, &m, 0), EINVAL);
}

TEST(connect, success, "a connected socket hears its peer alone")
{
    int pa, pb, a = bound4(&pa), b = bound4(&pb), c = udp4();
    char buf[8];
    close(a);
    a = udp4();
    CHECK_OK(bind4(a, "127.0.0.1", pa));
    CHECK_OK(connect4(a, "127.0.0.1", pb));
    CHECK_EQ(send_to(c, "no", 2, pa), 2);
    CHECK_EQ(send_to(b, "yes", 3, pa), 3);
    CHECK_EQ(recv(a, buf, sizeof(buf), 0), 3);
    CHECK_EQ(write(a, "hi", 2), 2);
    CHECK_EQ(read(b, buf, sizeof(buf)), 2);
    struct sockaddr_in none = {.sin_family = AF_UNSPEC};
    CHECK_OK(connect(a, (struct sockaddr *)&none, sizeof(none)));
    CHECK_ERRNO(send(a, "x", 1, 0), EDESTADDRREQ);
    socklen_t len = sizeof(none);
    CHECK_ERRNO(getpeername(a, (struct sockaddr *)&none, &len), ENOTCONN);
    CHECK_EQ(send_to(c, "now", 3, pa), 3);
    CHECK_EQ(recv(a, buf, sizeof(buf), 0), 3);
}

TEST(sendto, error, "a connected socket is told that nobody has the port")
{
    int port, r = bound4(&port), s = udp4();
    char byte;
    CHECK_OK(connect4(s, "127.0.0.1", port));
    close(r);
    CHECK_EQ(send(s, "x", 1, 0), 1);
    CHECK_EQ(events_of(s, POLLOUT | POLLERR), POLLOUT | POLLERR);
    CHECK_ERRNO(recv(s, &byte, 1, MSG_DONTWAIT), ECONNREFUSED);
    CHECK_EQ(send(s, "x", 1, 0), 1);
    CHECK_EQ(events_of(s, POLLOUT | POLLERR), POLLOUT | POLLERR);
    CHECK_EQ(option(s, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
    CHECK_ERRNO(recv(s, &byte, 1, MSG_DONTWAIT), EAGAIN);
    int u = udp4();
    CHECK_EQ(send_to(u, "x", 1, port), 1);
    CHECK_ERRNO(recv(u, &byte, 1, MSG_DONTWAIT), EAGAIN);
}

TEST(sendto, error, "no destination, no port, too long, broadcast without leave, bad memory")
{
    int port, r = bound4(&port), s = udp4();
    static char big[65508];
    CHECK_ERRNO(send(s, "x", 1, 0), EDESTADDRREQ);
    CHECK_ERRNO(send_to(s, "x", 1, 0), EINVAL);
    CHECK_ERRNO(send_to(s, big, sizeof(big), port), EMSGSIZE);
    CHECK_EQ(send_to(s, big, sizeof(big) - 1, port), sizeof(big) - 1);
    CHECK_EQ(recv(r, big, sizeof(big), 0), sizeof(big) - 1);
    struct sockaddr_in a = addr4("255.255.255.255", port);
    CHECK_ERRNO(sendto(s, "x", 1, 0, (struct sockaddr *)&a, sizeof(a)), EACCES);
    CHECK_ERRNO(send_to(s, cella_bad_address(), 1, port), EFAULT);
    CHECK_ERRNO(listen(r, 1), EOPNOTSUPP);
}

TEST(recvfrom, limit, "a signal and SO_RCVTIMEO end the wait; a full queue drops")
{
    int port, r = bound4(&port), s = udp4(), n = 0;
    static char buf[4096];
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(recv(r, buf, 1, 0), EINTR);
    cella_ticks_stop();
    struct timeval tv = {0, 30000};
    CHECK_OK(setsockopt(r, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    CHECK_ERRNO(recv(r, buf, 1, 0), EAGAIN);
    set_option(r, SOL_SOCKET, SO_RCVBUF, 16384);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(send_to(s, buf, sizeof(buf), port), sizeof(buf));
    while (recv(r, buf, sizeof(buf), MSG_DONTWAIT) == sizeof(buf))
        n++;
    CHECK(n > 0 && n < 20);
}

TEST(bind, success, "of sockets that share a port by SO_REUSEADDR the last one hears")
{
    int a = udp4(), b = udp4(), s = udp4();
    char buf[4];
    set_option(a, SOL_SOCKET, SO_REUSEADDR, 1);
    set_option(b, SOL_SOCKET, SO_REUSEADDR, 1);
    CHECK_OK(bind4(a, "127.0.0.1", 0));
    CHECK_OK(bind4(b, "127.0.0.1", port_of(a)));
    CHECK_EQ(send_to(s, "x", 1, port_of(a)), 1);
    CHECK_ERRNO(recv(a, buf, 4, MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(recv(b, buf, 4, MSG_DONTWAIT), 1);
}

TEST(sendto, success, "an IPv6 socket reaches IPv4 by a mapped address")
{
    int port, r = bound4(&port), s = socket(AF_INET6, SOCK_DGRAM, 0);
    struct sockaddr_in6 to = addr6("::ffff:127.0.0.1", port), from6;
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    char buf[4];
    CHECK_EQ(sendto(s, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
    CHECK_EQ(recvfrom(r, buf, 4, 0, (struct sockaddr *)&from, &len), 1);
    CHECK_EQ(from.sin_family, AF_INET);
    CHECK_EQ(sendto(r, "y", 1, 0, (struct sockaddr *)&from, len), 1);
    len = sizeof(from6);
    CHECK_EQ(recvfrom(s, buf, 4, 0, (struct sockaddr *)&from6, &len), 1);
    CHECK(IN6_IS_ADDR_V4MAPPED(&from6.sin6_addr));
    CHECK_EQ(ntohs(from6.sin6_port), port);
}

TEST(shutdown, success, "wakes a reader of a connected socket")
{
    int port, r = bound4(&port);
    char byte;
    CHECK_ERRNO(shutdown(r, SHUT_RDWR), ENOTCONN);
    close(r);
    r = bound4(&port);
    CHECK_OK(connect4(r, "127.0.0.1", port));
    CHECK_OK(shutdown(r, SHUT_RD));
    CHECK_EQ(recv(r, &byte, 1, 0), 0);
    CHECK_OK(shutdown(r, SHUT_WR));
    CHECK_ERRNO(send(r, "x", 1, MSG_NOSIGNAL), EPIPE);
}

TEST_MAIN()
