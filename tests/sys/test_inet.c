/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses, ports and options of AF_INET and AF_INET6. */
#include "cella_inet.h"

static int stream4(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0);
    return fd;
}

static int stream6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    CHECK(fd >= 0);
    return fd;
}

TEST(socket, error, "kinds that do not exist or are not for everybody")
{
    CHECK_ERRNO(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
    CHECK_ERRNO(socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP), EPROTONOSUPPORT);
    CHECK_ERRNO(socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
    CHECK_ERRNO(socket(AF_INET, 99, 0), EINVAL);
    CHECK_ERRNO(socket(AF_INET6, SOCK_RDM, 0), ESOCKTNOSUPPORT);
}

TEST(bind, success, "port 0 is given a free port, and the name tells it")
{
    int fd = stream4();
    struct sockaddr_in a;
    socklen_t len = sizeof(a);
    CHECK_OK(getsockname(fd, (struct sockaddr *)&a, &len));
    CHECK_EQ(a.sin_family, AF_INET);
    CHECK_EQ(a.sin_port, 0);
    CHECK_OK(bind4(fd, "127.0.0.1", 0));
    len = sizeof(a);
    CHECK_OK(getsockname(fd, (struct sockaddr *)&a, &len));
    CHECK_EQ(len, sizeof(a));
    CHECK_EQ(ntohl(a.sin_addr.s_addr), INADDR_LOOPBACK);
    CHECK(ntohs(a.sin_port) >= 1024);
    CHECK_ERRNO(bind4(fd, "127.0.0.1", 0), EINVAL);
}

TEST(bind, error, "addresses that are short, of another family, or another machine's")
{
    int fd = stream4(), fd6 = stream6();
    struct sockaddr_in a = addr4("127.0.0.1", 0);
    struct sockaddr_in6 a6 = addr6("::1", 0);
    CHECK_ERRNO(bind(fd, (struct sockaddr *)&a, sizeof(a) - 1), EINVAL);
    CHECK_ERRNO(bind(fd6, (struct sockaddr *)&a6, 20), EINVAL);
    CHECK_ERRNO(bind(fd6, (struct sockaddr *)&a, sizeof(a)), EINVAL);
    CHECK_ERRNO(bind(fd, cella_bad_address(), sizeof(a)), EFAULT);
    a.sin_family = AF_UNIX;
    CHECK_ERRNO(bind(fd, (struct sockaddr *)&a, sizeof(a)), EAFNOSUPPORT);
    CHECK_ERRNO(bind4(fd, "192.0.2.77", 0), EADDRNOTAVAIL);
    CHECK_ERRNO(bind6(fd6, "2001:db8::77", 0), EADDRNOTAVAIL);
    a = addr4("0.0.0.0", 0);
    a.sin_family = AF_UNSPEC;
    CHECK_OK(bind(fd, (struct sockaddr *)&a, sizeof(a)));
}

TEST(bind, error, "a port is one socket's, whatever the order of wildcard and address")
{
    int a = stream4(), b = stream4(), c = stream4();
    CHECK_OK(bind4(a, "127.0.0.1", 0));
    int port = port_of(a);
    CHECK_ERRNO(bind4(b, "127.0.0.1", port), EADDRINUSE);
    CHECK_ERRNO(bind4(b, "0.0.0.0", port), EADDRINUSE);
    CHECK_OK(bind4(b, "127.0.0.2", port));
    CHECK_ERRNO(bind4(c, "0.0.0.0", port), EADDRINUSE);
    close(a);
    close(b);
    CHECK_OK(bind4(c, "0.0.0.0", port));
}

TEST(bind, limit, "SO_REUSEADDR shares until one listens")
{
    int a = stream4(), b = stream4();
    set_option(a, SOL_SOCKET, SO_REUSEADDR, 1);
    set_option(b, SOL_SOCKET, SO_REUSEADDR, 1);
    CHECK_OK(bind4(a, "127.0.0.1", 0));
    int port = port_of(a);
    CHECK_OK(bind4(b, "127.0.0.1", port));
    CHECK_OK(listen(a, 1));
    CHECK_ERRNO(listen(b, 1), EADDRINUSE);
    int c = stream4();
    set_option(c, SOL_SOCKET, SO_REUSEADDR, 1);
    CHECK_ERRNO(bind4(c, "127.0.0.1", port), EADDRINUSE);
}

TEST(bind, limit, "a listener can be replaced while its connections live")
{
    int port, l = listener4(5, &port), c = stream4();
    CHECK_OK(connect4(c, "127.0.0.1", port));
    int s = accept(l, NULL, NULL);
    CHECK(s >= 0);
    close(l);
    int again = stream4();
    CHECK_ERRNO(bind4(again, "127.0.0.1", port), EADDRINUSE);
    set_option(again, SOL_SOCKET, SO_REUSEADDR, 1);
    set_option(s, SOL_SOCKET, SO_REUSEADDR, 1);
    CHECK_OK(bind4(again, "127.0.0.1", port));
    CHECK_OK(listen(again, 1));
    CHECK_EQ(write(s, "x", 1), 1);
}

TEST(bind, success, "SO_REUSEPORT spreads connections over listeners")
{
    int l[2], got[2] = {0, 0}, port = 0;
    for (int i = 0; i < 2; i++) {
        l[i] = stream4();
        set_option(l[i], SOL_SOCKET, SO_REUSEPORT, 1);
        CHECK_OK(bind4(l[i], "127.0.0.1", port));
        CHECK_OK(listen(l[i], 100));
        cella_set_nonblocking(l[i], true);
        port = port_of(l[i]);
    }
    for (int n = 0; n < 60; n++) {
        int c = stream4();
        CHECK_OK(connect4(c, "127.0.0.1", port));
    }
    for (int i = 0; i < 2; i++)
        while (accept(l[i], NULL, NULL) >= 0)
            got[i]++;
    CHECK_EQ(got[0] + got[1], 60);
    CHECK(got[0] > 0 && got[1] > 0);
}

TEST(bind, limit, "ports under 1024 want CAP_NET_BIND_SERVICE")
{
    cella_drop_root();
    CHECK_ERRNO(bind4(stream4(), "127.0.0.1", 80), EACCES);
}

TEST(bind, limit, "an IPv6 wildcard takes IPv4's port too, unless it is IPV6_V6ONLY")
{
    int a = stream6(), b = stream4();
    CHECK_OK(bind6(a, "::", 0));
    int port = port_of(a);
    CHECK_ERRNO(bind4(b, "0.0.0.0", port), EADDRINUSE);
    CHECK_ERRNO(setsockopt(a, IPPROTO_IPV6, IPV6_V6ONLY, &port, sizeof(port)), EINVAL);
    close(a);
    a = stream6();
    set_option(a, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    CHECK_OK(bind6(a, "::", port));
    CHECK_OK(bind4(b, "0.0.0.0", port));
    int c = stream6();
    set_option(c, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    CHECK_ERRNO(bind6(c, "::ffff:127.0.0.1", 0), EINVAL);
}

TEST(accept, success, "a dual-stack listener shows IPv4 peers as mapped addresses")
{
    int l = stream6(), c = stream4();
    CHECK_OK(bind6(l, "::", 0));
    CHECK_OK(listen(l, 1));
    CHECK_OK(connect4(c, "127.0.0.1", port_of(l)));
    struct sockaddr_in6 peer;
    socklen_t len = sizeof(peer);
    int s = accept(l, (struct sockaddr *)&peer, &len);
    CHECK(s >= 0);
    CHECK_EQ(len, sizeof(peer));
    CHECK(IN6_IS_ADDR_V4MAPPED(&peer.sin6_addr));
    CHECK_EQ(peer.sin6_addr.s6_addr[12], 127);
    CHECK_EQ(ntohs(peer.sin6_port), port_of(c));
    len = sizeof(peer);
    CHECK_OK(getsockname(s, (struct sockaddr *)&peer, &len));
    CHECK(IN6_IS_ADDR_V4MAPPED(&peer.sin6_addr));
}

TEST(connect, success, "IPv6 loopback, by address and by the wildcard")
{
    int l = stream6(), a = stream6(), b = stream6();
    CHECK_OK(bind6(l, "::1", 0));
    CHECK_OK(listen(l, 5));
    struct sockaddr_in6 to = addr6("::1", port_of(l)), name;
    socklen_t len = sizeof(name);
    CHECK_OK(connect(a, (struct sockaddr *)&to, sizeof(to)));
    CHECK_OK(getsockname(a, (struct sockaddr *)&name, &len));
    CHECK(IN6_IS_ADDR_LOOPBACK(&name.sin6_addr));
    to = addr6("::", port_of(l));
    CHECK_OK(connect(b, (struct sockaddr *)&to, sizeof(to)));
    CHECK_OK(getpeername(b, (struct sockaddr *)&name, &len));
    CHECK(IN6_IS_ADDR_LOOPBACK(&name.sin6_addr));
}

TEST(setsockopt, success, "options of IP and IPv6 are kept")
{
    int fd = stream4(), fd6 = stream6();
    CHECK_EQ(option(fd, IPPROTO_IP, IP_TTL), 64);
    set_option(fd, IPPROTO_IP, IP_TTL, 7);
    CHECK_EQ(option(fd, IPPROTO_IP, IP_TTL), 7);
    set_option(fd, IPPROTO_IP, IP_TTL, -1);
    CHECK_EQ(option(fd, IPPROTO_IP, IP_TTL), 64);
    set_option(fd, IPPROTO_IP, IP_TOS, 0x10);
    CHECK_EQ(option(fd, IPPROTO_IP, IP_TOS), 0x10);
    unsigned char byte = 9;
    CHECK_OK(setsockopt(fd, IPPROTO_IP, IP_TTL, &byte, 1));
    CHECK_EQ(option(fd, IPPROTO_IP, IP_TTL), 9);
    set_option(fd6, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 3);
    CHECK_EQ(option(fd6, IPPROTO_IPV6, IPV6_UNICAST_HOPS), 3);
    CHECK_EQ(option(fd6, IPPROTO_IPV6, IPV6_V6ONLY), 0);
}

TEST(setsockopt, error, "values out of range, unknown options and levels")
{
    int fd = stream4(), n = 256;
    CHECK_ERRNO(setsockopt(fd, IPPROTO_IP, IP_TTL, &n, sizeof(n)), EINVAL);
    CHECK_ERRNO(setsockopt(fd, IPPROTO_IP, 250, &n, sizeof(n)), ENOPROTOOPT);
    CHECK_ERRNO(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &n, sizeof(n)), ENOPROTOOPT);
    CHECK_ERRNO(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &n, 2), EINVAL);
    CHECK_ERRNO(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, cella_bad_address(), 4), EFAULT);
    socklen_t len = sizeof(n);
    CHECK_ERRNO(getsockopt(fd, 77, 1, &n, &len), EOPNOTSUPP);
}

TEST(setsockopt, success, "options of TCP are kept")
{
    int fd = stream4();
    static const struct {
        int name, value, initial;
    } table[] = {{TCP_NODELAY, 1, 0}, {TCP_KEEPIDLE, 33, 7200}, {TCP_KEEPINTVL, 44, 75},
                 {TCP_KEEPCNT, 5, 9}, {TCP_CORK, 1, 0},         {TCP_USER_TIMEOUT, 1234, 0}};
    for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        CHECK_EQ(option(fd, IPPROTO_TCP, table[i].name), table[i].initial);
        set_option(fd, IPPROTO_TCP, table[i].name, table[i].value);
        CHECK_EQ(option(fd, IPPROTO_TCP, table[i].name), table[i].value);
    }
    CHECK_OK(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
    char name[16] = "";
    socklen_t len = sizeof(name);
    CHECK_OK(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len));
    CHECK_STR(name, "reno");
    CHECK_ERRNO(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "nonesuch", 8), ENOENT);
    int zero = 0;
    CHECK_ERRNO(setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &zero, sizeof(zero)), EINVAL);
}

TEST_MAIN()
