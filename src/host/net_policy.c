/* SPDX-License-Identifier: Apache-2.0 */
/* Options of the network, published ports, and which addresses a keep may send to; see
 * net_policy.h. */
#include "net_policy.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <ifaddrs.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"

#define GATEWAY 0x0a000202u  /* 10.0.2.2 */
#define LOOPBACK 0x7f000001u /* 127.0.0.1 */

/* ---- addresses ---- */

uint16_t net_addr_port(const union net_addr *addr)
{
    return ntohs(addr->any.sa_family == AF_INET6 ? addr->in6.sin6_port : addr->in.sin_port);
}

/* The IPv4 address that it is or stands for, host byte order. */
static bool as_ipv4(const union net_addr *addr, uint32_t *ip)
{
    if (addr->any.sa_family == AF_INET) {
        *ip = ntohl(addr->in.sin_addr.s_addr);
        return true;
    }
    const struct in6_addr *a = &addr->in6.sin6_addr;
    if (!IN6_IS_ADDR_V4MAPPED(a) && !IN6_IS_ADDR_V4COMPAT(a))
        return false;
    *ip = (uint32_t)a->s6_addr[12] << 24 | (uint32_t)a->s6_addr[13] << 16 |
          (uint32_t)a->s6_addr[14] << 8 | a->s6_addr[15];
    return true;
}

static void set_ipv4(union net_addr *addr, uint32_t ip)
{
    if (addr->any.sa_family == AF_INET) {
        addr->in.sin_addr.s_addr = htonl(ip);
        return;
    }
    memset(&addr->in6.sin6_addr, 0, 10);
    memset(&addr->in6.sin6_addr.s6_addr[10], 0xff, 2);
    ip = htonl(ip);
    memcpy(&addr->in6.sin6_addr.s6_addr[12], &ip, 4);
}

bool net_addr_is_loopback(const union net_addr *addr)
{
    uint32_t ip;
    if (as_ipv4(addr, &ip))
        return ip >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&addr->in6.sin6_addr);
}

bool net_addr_is_gateway(const union net_addr *addr)
{
    uint32_t ip;
    return as_ipv4(addr, &ip) && ip == GATEWAY;
}

void net_addr_set_loopback(union net_addr *addr)
{
    set_ipv4(addr, LOOPBACK);
}

void net_addr_set_gateway(union net_addr *addr)
{
    set_ipv4(addr, GATEWAY);
}

static bool same_host(const union net_addr *a, const union net_addr *b)
{
    uint32_t x, y;
    bool is_x = as_ipv4(a, &x), is_y = as_ipv4(b, &y);
    if (is_x || is_y)
        return is_x && is_y && x == y;
    return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, 16) == 0;
}

/* Loopback, "this host", or an address of one of the host's interfaces. */
static bool is_host_itself(const struct net_policy *policy, const union net_addr *addr)
{
    uint32_t ip;
    if (net_addr_is_loopback(addr))
        return true;
    if (as_ipv4(addr, &ip) ? ip >> 24 == 0 : IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr))
        return true;
    for (unsigned i = 0; i < policy->nr_own; i++)
        if (same_host(addr, &policy->own[i]))
            return true;
    return false;
}

int net_policy_check(const struct net_policy *policy, union net_addr *addr, bool is_udp)
{
    if (policy->mode == NET_NONE)
        return -ENETUNREACH;
    if (net_addr_is_gateway(addr) && (policy->mode == NET_HOST || policy->nr_allowed)) {
        bool granted = policy->mode == NET_HOST;
        for (unsigned i = 0; i < policy->nr_allowed; i++)
            granted |= policy->allowed[i].is_udp == is_udp &&
                       policy->allowed[i].host_port == net_addr_port(addr);
        if (!granted)
            return -ECONNREFUSED;
        net_addr_set_loopback(addr);
        return 0;
    }
    return policy->mode == NET_OUT && is_host_itself(policy, addr) ? -EACCES : 0;
}

/* ---- options ---- */

int net_policy_mode(struct net_policy *policy, const char *text, struct cella_error *err)
{
    static const char *const names[] = {
        [NET_NONE] = "none", [NET_OUT] = "out", [NET_HOST] = "host"};
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(text, names[i]) == 0) {
            policy->mode = (enum net_mode)i;
            return 0;
        }
    return cella_error_set(err, "--net: '%s' is not none, out or host; give e.g. --net out", text);
}

/* A port number at *text, which is moved behind it. */
static bool take_port(const char **text, uint16_t *port)
{
    unsigned n = 0;
    const char *p = *text;
    for (; isdigit((unsigned char)*p) && n <= UINT16_MAX; p++)
        n = n * 10 + (unsigned)(*p - '0');
    bool good = p > *text && n <= UINT16_MAX;
    *port = (uint16_t)n;
    *text = p;
    return good;
}

/* The end of a port: nothing, /tcp or /udp. */
static bool take_protocol(const char *text, bool *is_udp)
{
    *is_udp = strcmp(text, "/udp") == 0;
    return *is_udp || *text == '\0' || strcmp(text, "/tcp") == 0;
}

/* [ADDR:] in front of the ports; 127.0.0.1 when there is none. NULL: not an address. */
static const char *take_address(const char *spec, union net_addr *addr)
{
    char host[INET6_ADDRSTRLEN] = "127.0.0.1";
    const char *rest = spec, *begin = spec, *end = NULL;
    if (*spec == '[') {
        begin = spec + 1;
        end = strchr(spec, ']');
        if (!end || end[1] != ':')
            return NULL;
        rest = end + 2;
    } else if (strchr(spec, ':') != strrchr(spec, ':')) {
        end = strchr(spec, ':');
        rest = end + 1;
    }
    if (end) {
        if ((size_t)(end - begin) >= sizeof(host))
            return NULL;
        memcpy(host, begin, (size_t)(end - begin));
        host[end - begin] = '\0';
    }
    memset(addr, 0, sizeof(*addr));
    addr->any.sa_family = *spec == '[' ? AF_INET6 : AF_INET;
    void *to = *spec == '[' ? (void *)&addr->in6.sin6_addr : (void *)&addr->in.sin_addr;
    return inet_pton(addr->any.sa_family, host, to) == 1 ? rest : NULL;
}

int net_policy_publish(struct net_policy *policy, const char *spec, struct cella_error *err)
{
    if (policy->nr_ports == NET_PORTS_MAX)
        return cella_error_set(err, "-p: more than %d ports; a keep can have no more",
                               NET_PORTS_MAX);
    struct net_port *port = &policy->port[policy->nr_ports];
    *port = (struct net_port){.fd = -1};
    const char *rest = take_address(spec, &port->addr);
    if (!rest)
        return cella_error_set(
            err,
            "-p: '%s' does not begin with an IP address of this host; give [ADDR:]HOST:KEEP, e.g. "
            "-p 8080:80, -p 0.0.0.0:8080:80 or -p [::1]:8080:80",
            spec);
    bool good = take_port(&rest, &port->host_port) && *rest++ == ':' &&
                take_port(&rest, &port->keep_port) && take_protocol(rest, &port->is_udp);
    if (!good || port->keep_port == 0)
        return cella_error_set(
            err,
            "-p: '%s' is not [ADDR:]HOST:KEEP[/udp] with ports up to 65535 (HOST 0: any free "
            "one); give e.g. -p 8080:80",
            spec);
    for (unsigned i = 0; i < policy->nr_ports; i++)
        if (policy->port[i].keep_port == port->keep_port && policy->port[i].is_udp == port->is_udp)
            return cella_error_set(err,
                                   "-p: port %u/%s of the keep is published twice; once is all",
                                   port->keep_port, port->is_udp ? "udp" : "tcp");
    policy->nr_ports++;
    return 0;
}

int net_policy_allow_host(struct net_policy *policy, const char *spec, struct cella_error *err)
{
    if (policy->nr_allowed == NET_PORTS_MAX)
        return cella_error_set(err, "--allow-host: more than %d ports; use --net host",
                               NET_PORTS_MAX);
    struct net_port *port = &policy->allowed[policy->nr_allowed];
    const char *rest = spec;
    *port = (struct net_port){.fd = -1};
    if (!take_port(&rest, &port->host_port) || !take_protocol(rest, &port->is_udp) ||
        port->host_port == 0)
        return cella_error_set(
            err, "--allow-host: '%s' is not PORT[/udp]; give e.g. --allow-host 5432", spec);
    policy->nr_allowed++;
    return 0;
}

/* ---- opening ---- */

static socklen_t addr_len(const union net_addr *addr)
{
    return addr->any.sa_family == AF_INET6 ? sizeof(addr->in6) : sizeof(addr->in);
}

static void addr_text(const union net_addr *addr, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "?";
    bool is6 = addr->any.sa_family == AF_INET6;
    inet_ntop(addr->any.sa_family,
              is6 ? (const void *)&addr->in6.sin6_addr : (const void *)&addr->in.sin_addr, host,
              sizeof(host));
    snprintf(text, size, is6 ? "[%s]" : "%s", host);
}

void net_policy_describe(const struct net_policy *policy, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < policy->nr_ports; i++) {
        const struct net_port *port = &policy->port[i];
        char where[INET6_ADDRSTRLEN + 2], one[sizeof(where) + 32];
        addr_text(&port->addr, where, sizeof(where));
        int len = snprintf(one, sizeof(one), "%s%s:%u:%u%s", i ? ", " : "", where, port->host_port,
                           port->keep_port, port->is_udp ? "/udp" : "");
        if (len < 0 || used + (size_t)len + sizeof(", ...") > size) {
            memcpy(text + used, ", ...", used + sizeof(", ...") <= size ? sizeof(", ...") : 0);
            return;
        }
        memcpy(text + used, one, (size_t)len + 1);
        used += (size_t)len;
    }
}

/*
 * A bound socket that does not yet listen must keep others off its port, so SO_REUSEADDR is off; it
 * is set when the socket begins to listen. Only where connections of an earlier run still linger,
 * the address is bound with it.
 */
static int bind_alone(int fd, const union net_addr *addr)
{
    int on = 1, off = 0;
    if (bind(fd, &addr->any, addr_len(addr)) == 0)
        return 0;
    if (errno != EADDRINUSE)
        return -1;
    int type = 0;
    socklen_t len = sizeof(type);
    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
    if (type != SOCK_STREAM) {
        errno = EADDRINUSE;
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    int result = bind(fd, &addr->any, addr_len(addr));
    int saved = errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &off, sizeof(off));
    errno = saved;
    return result;
}

/* A socket bound to port->addr; -1 with errno. */
static int bound_socket(const struct net_port *port)
{
    int on = 1;
    cleanup_close int fd =
        socket(port->addr.any.sa_family,
               (port->is_udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (port->addr.any.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    return bind_alone(fd, &port->addr) < 0 ? -1 : steal_fd(&fd);
}

/* A socket for any free port, whose number is put into port->addr. It is bound a second time by
 * number: Linux takes a port that it chose itself away again when a listener is shut. */
static int bound_anywhere(struct net_port *port)
{
    in_port_t *number =
        port->addr.any.sa_family == AF_INET6 ? &port->addr.in6.sin6_port : &port->addr.in.sin_port;
    for (int tries = 0; tries < 16; tries++) {
        union net_addr got;
        socklen_t len = sizeof(got);
        *number = 0;
        cleanup_close int fd = bound_socket(port);
        if (fd < 0 || getsockname(fd, &got.any, &len) < 0)
            return -1;
        *number = htons(net_addr_port(&got));
        close(steal_fd(&fd));
        int again = bound_socket(port);
        if (again >= 0 || errno != EADDRINUSE)
            return again;
    }
    return -1;
}

static int port_open(struct net_port *port, struct cella_error *err)
{
    char where[INET6_ADDRSTRLEN + 2];
    bool is6 = port->addr.any.sa_family == AF_INET6;
    addr_text(&port->addr, where, sizeof(where));
    *(is6 ? &port->addr.in6.sin6_port : &port->addr.in.sin_port) = htons(port->host_port);
    port->fd = port->host_port ? bound_socket(port) : bound_anywhere(port);
    if (port->fd < 0) {
        switch (errno) {
        case EADDRINUSE:
            return cella_error_set(
                err, "-p: port %u of %s is in use; give another, or 0 for any free one",
                port->host_port, where);
        case EADDRNOTAVAIL:
            return cella_error_set(err,
                                   "-p: %s is not an address of this host; give one of its own "
                                   "(ip addr), or 0.0.0.0 for all",
                                   where);
        case EAFNOSUPPORT:
            return cella_error_set(err, "-p: this host has no %s; give another address",
                                   is6 ? "IPv6" : "IPv4");
        case EACCES:
            return cella_error_set(err,
                                   "-p: port %u needs privileges; give one from 1024 up, e.g. -p "
                                   "%u:%u",
                                   port->host_port, 8000 + port->host_port % 1000, port->keep_port);
        default:
            return cella_error_set(err, "-p: cannot bind port %u of %s: %s", port->host_port, where,
                                   strerror(errno));
        }
    }
    if (port->host_port == 0)
        fprintf(stderr, "cella: %s:%u is port %u%s of the keep\n", where,
                net_addr_port(&port->addr), port->keep_port, port->is_udp ? "/udp" : "");
    port->host_port = net_addr_port(&port->addr);
    return 0;
}

/* Notes the host's own addresses. Without memory for them only loopback is known. */
static void find_own(struct net_policy *policy)
{
    struct ifaddrs *list;
    if (getifaddrs(&list) < 0)
        return;
    unsigned count = 0;
    for (struct ifaddrs *i = list; i; i = i->ifa_next)
        count++;
    policy->own = calloc(count, sizeof(*policy->own));
    for (struct ifaddrs *i = list; i && policy->own; i = i->ifa_next) {
        if (!i->ifa_addr)
            continue;
        union net_addr *own = &policy->own[policy->nr_own];
        if (i->ifa_addr->sa_family == AF_INET)
            memcpy(&own->in, i->ifa_addr, sizeof(own->in));
        else if (i->ifa_addr->sa_family == AF_INET6)
            memcpy(&own->in6, i->ifa_addr, sizeof(own->in6));
        else
            continue;
        policy->nr_own++;
    }
    freeifaddrs(list);
}

int net_policy_open(struct net_policy *policy, struct cella_error *err)
{
    if (policy->nr_allowed && policy->mode == NET_NONE)
        return cella_error_set(err, "--allow-host: needs a network; add --net out");
    for (unsigned i = 0; i < policy->nr_ports; i++)
        if (port_open(&policy->port[i], err) < 0)
            return -1;
    if (policy->mode == NET_OUT)
        find_own(policy);
    if (policy->mode == NET_HOST)
        fprintf(stderr, "cella: --net host: the keep can listen on every address of this host and "
                        "reach all that it reaches, its own services at 10.0.2.2\n");
    return 0;
}

void net_policy_leave_network(const struct net_policy *policy, int keep_pid_fd)
{
    /* Not with a user namespace, where an ordinary user could have one: all owners of files but the
     * caller would be nobody. There the system-call filter stands alone. */
    if (policy->mode == NET_NONE && setns(keep_pid_fd, CLONE_NEWNET) < 0)
        return;
}
