/* SPDX-License-Identifier: Apache-2.0 */
/* rtnetlink's dumps, and what the C library makes of them and of the interface ioctls. */
#include "cella_inet.h"

#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netdb.h>

static int route_socket(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    CHECK(fd >= 0);
    return fd;
}

static void request(int fd, int type, int flags)
{
    struct {
        struct nlmsghdr h;
        struct rtgenmsg g;
    } r = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof(r.g)),
                 .nlmsg_type = (unsigned short)type,
                 .nlmsg_flags = (unsigned short)(NLM_F_REQUEST | flags),
                 .nlmsg_seq = 77}};
    struct sockaddr_nl to = {.nl_family = AF_NETLINK};
    CHECK_EQ(sendto(fd, &r, r.h.nlmsg_len, 0, (struct sockaddr *)&to, sizeof(to)), r.h.nlmsg_len);
}

/* Reads a dump to its end; true if a message of the type was in it. */
static bool dump_has(int fd, int type)
{
    static char buf[65536] __attribute__((aligned(8)));
    struct sockaddr_nl from;
    bool found = false;
    for (;;) {
        socklen_t len = sizeof(from);
        ssize_t whole = recv(fd, NULL, 0, MSG_PEEK | MSG_TRUNC);
        ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len);
        CHECK(n > 0);
        CHECK_EQ(whole, n);
        CHECK_EQ(len, sizeof(from));
        CHECK_EQ(from.nl_pid, 0);
        for (struct nlmsghdr *h = (void *)buf; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
            CHECK_EQ(h->nlmsg_seq, 77);
            CHECK(h->nlmsg_flags & NLM_F_MULTI);
            if (h->nlmsg_type == NLMSG_DONE)
                return found;
            found |= h->nlmsg_type == type;
        }
    }
}

TEST(socket, success, "AF_NETLINK: dumps of links, addresses and routes")
{
    int fd = route_socket();
    struct sockaddr_nl me = {.nl_family = AF_NETLINK};
    socklen_t len = sizeof(me);
    CHECK_OK(bind(fd, (struct sockaddr *)&me, sizeof(me)));
    CHECK_OK(getsockname(fd, (struct sockaddr *)&me, &len));
    CHECK_EQ(me.nl_pid, getpid());
    request(fd, RTM_GETLINK, NLM_F_DUMP);
    CHECK(dump_has(fd, RTM_NEWLINK));
    request(fd, RTM_GETADDR, NLM_F_DUMP);
    CHECK(dump_has(fd, RTM_NEWADDR));
    request(fd, RTM_GETROUTE, NLM_F_DUMP);
    CHECK(dump_has(fd, RTM_NEWROUTE));
    char byte;
    CHECK_ERRNO(recv(fd, &byte, 1, MSG_DONTWAIT), EAGAIN);
    int other = route_socket();
    struct sockaddr_nl you = {.nl_family = AF_NETLINK};
    CHECK_OK(bind(other, (struct sockaddr *)&you, sizeof(you)));
    CHECK_OK(getsockname(other, (struct sockaddr *)&you, &len));
    CHECK(you.nl_pid != me.nl_pid);
}

TEST(socket, error, "AF_NETLINK: requests that nobody serves, kinds that are not")
{
    int fd = route_socket();
    struct {
        struct nlmsghdr h;
        struct nlmsgerr e;
    } r;
    CHECK_ERRNO(socket(AF_NETLINK, SOCK_STREAM, NETLINK_ROUTE), ESOCKTNOSUPPORT);
    request(fd, RTM_BASE + 4 * 40, 0);
    CHECK(recv(fd, &r, sizeof(r), 0) >= (ssize_t)sizeof(r));
    CHECK_EQ(r.h.nlmsg_type, NLMSG_ERROR);
    CHECK_EQ(r.e.error, -EOPNOTSUPP);
    struct sockaddr_nl bad = {.nl_family = AF_INET};
    CHECK_ERRNO(bind(fd, (struct sockaddr *)&bad, sizeof(bad)), EINVAL);
    CHECK_ERRNO(bind(fd, (struct sockaddr *)&bad, 4), EINVAL);
}

TEST(socket, limit, "AF_NETLINK: a request that is cut short is passed over")
{
    int fd = route_socket();
    struct nlmsghdr h = {
        .nlmsg_len = 400, .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP};
    char byte;
    CHECK_EQ(send(fd, &h, sizeof(h), 0), sizeof(h));
    CHECK_ERRNO(recv(fd, &byte, 1, MSG_DONTWAIT), EAGAIN);
    CHECK_ERRNO(send(fd, cella_bad_address(), sizeof(h), 0), EFAULT);
}

TEST(ioctl, success, "the loopback interface, by name and by getifaddrs")
{
    struct ifaddrs *all;
    bool v4 = false;
    CHECK_OK(getifaddrs(&all));
    for (struct ifaddrs *a = all; a; a = a->ifa_next)
        if (!strcmp(a->ifa_name, "lo") && a->ifa_addr && a->ifa_addr->sa_family == AF_INET) {
            struct sockaddr_in *mask = (struct sockaddr_in *)a->ifa_netmask;
            CHECK(a->ifa_flags & IFF_LOOPBACK);
            CHECK_EQ(ntohl(mask->sin_addr.s_addr), 0xff000000);
            v4 = true;
        }
    freeifaddrs(all);
    CHECK(v4);
    CHECK_EQ(if_nametoindex("lo"), 1);
    char name[IF_NAMESIZE];
    CHECK(if_indextoname(1, name) != NULL);
    CHECK_STR(name, "lo");
    struct ifreq r = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK_OK(ioctl(fd, SIOCGIFFLAGS, &r));
    CHECK_EQ(r.ifr_flags & (IFF_UP | IFF_LOOPBACK | IFF_RUNNING),
             IFF_UP | IFF_LOOPBACK | IFF_RUNNING);
    CHECK_OK(ioctl(fd, SIOCGIFMTU, &r));
    CHECK_EQ(r.ifr_mtu, 65536);
    strcpy(r.ifr_name, "none7");
    CHECK_ERRNO(ioctl(fd, SIOCGIFFLAGS, &r), ENODEV);
    CHECK_ERRNO(ioctl(fd, SIOCGIFFLAGS, cella_bad_address()), EFAULT);
}

TEST(ioctl, success, "getaddrinfo finds loopback for numbers")
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *r;
    CHECK_EQ(getaddrinfo(NULL, "80", &hints, &r), 0);
    CHECK(r != NULL);
    freeaddrinfo(r);
    hints.ai_flags = 0;
    CHECK_EQ(getaddrinfo("127.0.0.1", "80", &hints, &r), 0);
    CHECK_EQ(r->ai_family, AF_INET);
    freeaddrinfo(r);
}

TEST_MAIN()
