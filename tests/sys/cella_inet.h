/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of AF_INET and AF_INET6 share. Ports are the kernel's choice everywhere, for tests
 * run natively on the machine's own loopback. */
#ifndef CELLA_INET_H
#define CELLA_INET_H

#include "cella_file.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

CELLA_UNUSED static struct sockaddr_in addr4(const char *ip, int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    CHECK_EQ(inet_pton(AF_INET, ip, &a.sin_addr), 1);
    return a;
}

CELLA_UNUSED static struct sockaddr_in6 addr6(const char *ip, int port)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    CHECK_EQ(inet_pton(AF_INET6, ip, &a.sin6_addr), 1);
    return a;
}

CELLA_UNUSED static int bind4(int fd, const char *ip, int port)
{
    struct sockaddr_in a = addr4(ip, port);
    return bind(fd, (struct sockaddr *)&a, sizeof(a));
}

CELLA_UNUSED static int bind6(int fd, const char *ip, int port)
{
    struct sockaddr_in6 a = addr6(ip, port);
    return bind(fd, (struct sockaddr *)&a, sizeof(a));
}

CELLA_UNUSED static int connect4(int fd, const char *ip, int port)
{
    struct sockaddr_in a = addr4(ip, port);
    return connect(fd, (struct sockaddr *)&a, sizeof(a));
}

CELLA_UNUSED static int port_of(int fd)
{
    struct sockaddr_in6 a;
    socklen_t len = sizeof(a);
    CHECK_OK(getsockname(fd, (struct sockaddr *)&a, &len));
    return ntohs(a.sin6_port);
}

CELLA_UNUSED static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);
    CHECK_OK(getsockopt(fd, level, name, &value, &len));
    return value;
}

CELLA_UNUSED static void set_option(int fd, int level, int name, int value)
{
    CHECK_OK(setsockopt(fd, level, name, &value, sizeof(value)));
}

/* A listener on 127.0.0.1. */
CELLA_UNUSED static int listener4(int backlog, int *port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0);
    CHECK_OK(bind4(fd, "127.0.0.1", 0));
    CHECK_OK(listen(fd, backlog));
    *port = port_of(fd);
    return fd;
}

/* The two ends of a connection: [0] connected, [1] was accepted. */
CELLA_UNUSED static void tcp_pair(int fds[2])
{
    int port, l = listener4(1, &port);
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fds[0] >= 0);
    CHECK_OK(connect4(fds[0], "127.0.0.1", port));
    fds[1] = accept(l, NULL, NULL);
    CHECK(fds[1] >= 0);
    close(l);
}

/* poll of all that there is to know; waits for `wanted` up to a second. */
CELLA_UNUSED static int events_of(int fd, int wanted)
{
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP};
    for (int i = 0; i < 100; i++) {
        CHECK_OK(poll(&p, 1, 0));
        if (p.revents == wanted)
            break;
        cella_sleep_ms(10);
    }
    return p.revents;
}

/* Some bytes need a moment to arrive on a real loopback. */
CELLA_UNUSED static void wait_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    CHECK_EQ(poll(&p, 1, 5000), 1);
}

#endif
