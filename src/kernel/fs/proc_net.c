/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/net: sockets and interfaces. proc(5). */
#include "base/string.h"
#include "fs/procfs.h"
#include "net/inet.h"
#include "net/unix.h"

/* ---- tcp, tcp6, udp, udp6 ---- */

struct table_lines {
    struct text *t;
    uint16_t family;
    unsigned nr;
};

/* Words of 32 bits in the machine's order, as Linux prints them. */
static void put_address(struct text *t, uint16_t family, const struct inet_addr *a)
{
    for (unsigned i = family == AF_INET_K ? 12 : 0; i < 16; i += 4) {
        uint32_t word;
        memcpy(&word, a->ip + i, sizeof(word));
        text_printf(t, "%08X", word);
    }
    text_printf(t, ":%04X ", a->port);
}

static void put_socket(struct socket *s, void *arg)
{
    struct table_lines *l = arg;
    const struct inet_sock *is = inet_of(s);
    bool tcp = s->type == SOCK_STREAM_K;
    uint32_t state = tcp ? tcp_state_of(s) : is->connected ? 1 : 7;
    if (s->family != l->family)
        return;
    size_t start = l->t->len;
    text_printf(l->t, "%4u: ", l->nr++);
    put_address(l->t, s->family, &is->local);
    put_address(l->t, s->family, &is->peer);
    /* The inode is not told: a socket's file may be on its way out. */
    text_printf(l->t, "%02X 00000000:%08X 00:00000000 00000000 %5u        0 0 1 0", state,
                tcp ? tcp_rx_queue(s) : udp_rx_queue(s), is->uid);
    if (s->family == AF_INET_K)
        text_pad(l->t, start, 149);
    text_putc(l->t, '\n');
}

enum { SHOW_TCP, SHOW_TCP6, SHOW_UDP, SHOW_UDP6 };

static int sockets_show(const struct pseudo_node *n, struct text *t)
{
    bool v6 = n->entry->arg & 1, udp = n->entry->arg >= SHOW_UDP;
    struct table_lines l = {t, v6 ? AF_INET6_K : AF_INET_K, 0};
    text_puts(
        t, v6 ? "  sl  local_address                         remote_address                      "
                "  st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
              : "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   "
                "uid  timeout inode                                                     \n");
    inet_port_for_each(udp ? &udp_table : &tcp_table, put_socket, &l);
    return 0;
}

/* ---- interfaces and routes ---- */

static int dev_show(const struct pseudo_node *n, struct text *t)
{
    const struct net_device *d;
    text_puts(t, "Inter-|   Receive                                                |  Transmit\n"
                 " face |bytes    packets errs drop fifo frame compressed multicast|bytes    "
                 "packets errs drop fifo colls carrier compressed\n");
    for (unsigned i = 0; (d = net_device(i)) != NULL; i++) {
        size_t start = t->len;
        text_pad(t, start, 6 - strlen(d->name));
        text_printf(t,
                    "%s:       0       0    0    0    0     0          0         0        0       "
                    "0    0    0    0     0       0          0\n",
                    d->name);
    }
    return 0;
}

static int route_show(const struct pseudo_node *n, struct text *t)
{
    const struct net_device *d = net_device(1);
    text_puts(
        t, "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n");
    if (d)
        text_printf(t, "%s\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n", d->name);
    return 0;
}

static int if_inet6_show(const struct pseudo_node *n, struct text *t)
{
    const struct net_device *d;
    for (unsigned i = 0; (d = net_device(i)) != NULL; i++) {
        if (!d->has_addr6)
            continue;
        for (unsigned j = 0; j < 16; j++)
            text_printf(t, "%02x", d->addr6.ip[j]);
        text_printf(t, " %02x %02x 10 80 %8s\n", d->index, d->prefix6, d->name);
    }
    return 0;
}

/* ---- counts ---- */

static void count_socket(struct socket *s, void *arg)
{
    unsigned *count = arg;
    count[s->family == AF_INET6_K]++;
}

static int sockstat_show(const struct pseudo_node *n, struct text *t)
{
    unsigned tcp[2] = {0}, udp[2] = {0};
    inet_port_for_each(&tcp_table, count_socket, tcp);
    inet_port_for_each(&udp_table, count_socket, udp);
    if (n->entry->arg) {
        text_printf(t, "TCP6: inuse %u\nUDP6: inuse %u\n", tcp[1], udp[1]);
        return 0;
    }
    text_printf(
        t, "sockets: used %u\nTCP: inuse %u orphan 0 tw 0 alloc %u mem 0\nUDP: inuse %u mem 0\n",
        tcp[0] + tcp[1] + udp[0] + udp[1], tcp[0], tcp[0] + tcp[1], udp[0]);
    return 0;
}

const struct pseudo_dir proc_net_dir =
    DIR_OF(SHOWN("dev", dev_show), SHOWN("if_inet6", if_inet6_show), SHOWN("route", route_show),
           SHOWN("sockstat", sockstat_show), SHOWN_ARG("sockstat6", sockstat_show, 1),
           SHOWN_ARG("tcp", sockets_show, SHOW_TCP), SHOWN_ARG("tcp6", sockets_show, SHOW_TCP6),
           SHOWN_ARG("udp", sockets_show, SHOW_UDP), SHOWN_ARG("udp6", sockets_show, SHOW_UDP6),
           SHOWN("unix", unix_show));
