/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a keep may reach: `cella run` options --net, -p and --allow-host. The host's own loopback
 * has the address 10.0.2.2 for a keep, because 127.0.0.1 is the keep's own.
 */
#ifndef CELLA_HOST_NET_POLICY_H
#define CELLA_HOST_NET_POLICY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "error.h"

#define NET_PORTS_MAX 64

enum net_mode {
    NET_NONE, /* nothing but the published ports */
    NET_OUT,  /* connections and datagrams to others than the host itself */
    NET_HOST, /* all that the caller may do */
};

union net_addr {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

struct net_port {
    uint16_t keep_port; /* 0: of --allow-host, where addr is not used */
    uint16_t host_port;
    bool is_udp;
    union net_addr addr;
    int fd;     /* bound, not yet listening */
    bool taken; /* a socket of the keep has it; under the server's lock */
};

struct net_policy {
    enum net_mode mode;
    struct net_port port[NET_PORTS_MAX], allowed[NET_PORTS_MAX];
    unsigned nr_ports, nr_allowed;
    union net_addr *own; /* the host's addresses when the keep began */
    unsigned nr_own;
};

/* The options' values. 0 or -1. */
int net_policy_mode(struct net_policy *policy, const char *text, struct cella_error *err);
int net_policy_publish(struct net_policy *policy, const char *spec, struct cella_error *err);
int net_policy_allow_host(struct net_policy *policy, const char *spec, struct cella_error *err);

/* Binds the published ports and says on standard error what was chosen for port 0 and what --net
 * host exposes. Before anything of the keep is there. */
int net_policy_open(struct net_policy *policy, struct cella_error *err);
/* The published ports as text, "127.0.0.1:8080:80, ..."; shortened where it is long. */
void net_policy_describe(const struct net_policy *policy, char *text, size_t size);
/* Where the keep can reach nothing, the calling process needs no network: enters the empty one of
 * the keep's first process, if there is such and the caller is allowed to. Sockets that are open
 * stay of use. A namespace of its own would take milliseconds to make. */
void net_policy_leave_network(const struct net_policy *policy, int keep_pid_fd);

/* Is there anything beyond the keep's own loopback? */
static inline bool net_policy_is_open(const struct net_policy *policy)
{
    return policy->mode != NET_NONE || policy->nr_ports > 0;
}
/* May the keep send to *addr? Rewrites the host's loopback to its real address. 0, -EACCES,
 * -ENETUNREACH (no network), -ECONNREFUSED (a port of the host's loopback that was not granted). */
int net_policy_check(const struct net_policy *policy, union net_addr *addr, bool is_udp);
/* The port number, host byte order. */
uint16_t net_addr_port(const union net_addr *addr);
/* 127.0.0.0/8 or ::1, plain or mapped. */
bool net_addr_is_loopback(const union net_addr *addr);
/* The address 10.0.2.2 or its mapped form, and 127.0.0.1 for it. */
bool net_addr_is_gateway(const union net_addr *addr);
void net_addr_set_loopback(union net_addr *addr);
void net_addr_set_gateway(union net_addr *addr);

#endif
