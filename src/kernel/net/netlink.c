/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AF_NETLINK: as much of rtnetlink(7) as getifaddrs(3), getaddrinfo(3), ip(8) and Go's net ask for:
 * dumps of links, addresses and routes. Nothing can be changed, and nobody else sends, so the
 * answer to a request is made by the call that sends it, and lies in the socket's queue until it is
 * read. Other requests are answered with EOPNOTSUPP.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "fs/text.h"
#include "net/inet.h"
#include "proc/task.h"

enum { NETLINK_ROUTE_K = 0 };
enum {
    NLMSG_ERROR_K = 2,
    NLMSG_DONE_K = 3,
    NLM_F_REQUEST_K = 1,
    NLM_F_MULTI_K = 2,
    NLM_F_ACK_K = 4,
    NLM_F_DUMP_K = 0x300
};
enum {
    RTM_NEWLINK_K = 16,
    RTM_GETLINK_K = 18,
    RTM_NEWADDR_K = 20,
    RTM_GETADDR_K = 22,
    RTM_NEWROUTE_K = 24,
    RTM_GETROUTE_K = 26
};
enum {
    IFLA_ADDRESS_K = 1,
    IFLA_BROADCAST_K = 2,
    IFLA_IFNAME_K = 3,
    IFLA_MTU_K = 4,
    IFLA_TXQLEN_K = 13,
    IFLA_OPERSTATE_K = 16
};
enum { IFA_ADDRESS_K = 1, IFA_LOCAL_K = 2, IFA_LABEL_K = 3, IFA_FLAGS_K = 8 };
enum { RTA_DST_K = 1, RTA_OIF_K = 4, RTA_PREFSRC_K = 7, RTA_TABLE_K = 15 };
enum { SOL_NETLINK_K = 270 };

struct nlmsghdr_k {
    uint32_t len;
    uint16_t type, flags;
    uint32_t seq, pid;
};
struct sockaddr_nl_k {
    uint16_t family, pad;
    uint32_t pid, groups;
};

#define REQUEST_MAX 65536u
#define QUEUE_MAX 64u

/* One message to read: a buffer with whole netlink messages. */
struct answer {
    struct list link;
    uint32_t len;
    uint8_t data[];
};

struct netlink_sock {
    uint32_t pid, groups; /* under socket.lock */
    spinlock_t lock;      /* of the queue */
    struct list queue;
    uint32_t nr_queued;
    struct mutex reading;
};

static uint32_t next_port = 0xfff00000u; /* port ids of sockets whose process has one already */
static spinlock_t port_lock = SPINLOCK_INIT;
static kpid_t ports_taken[64]; /* process ids that are some socket's port id, under port_lock */

/* ---- port ids ---- */

static uint32_t port_take(void)
{
    kpid_t pid = current->process->pid;
    unsigned free = ARRAY_LEN(ports_taken);
    spin_lock(&port_lock);
    for (unsigned i = 0; i < ARRAY_LEN(ports_taken); i++) {
        if (ports_taken[i] == pid)
            pid = 0;
        else if (!ports_taken[i])
            free = i;
    }
    uint32_t port = (uint32_t)pid;
    if (pid && free < ARRAY_LEN(ports_taken))
        ports_taken[free] = pid;
    else
        port = next_port--;
    spin_unlock(&port_lock);
    return port;
}

static void port_give(uint32_t port)
{
    spin_lock(&port_lock);
    for (unsigned i = 0; i < ARRAY_LEN(ports_taken); i++)
        if (port && ports_taken[i] == (kpid_t)port)
            ports_taken[i] = 0;
    spin_unlock(&port_lock);
}

/* ---- building answers ---- */

struct builder {
    struct text t; /* bytes */
    const struct nlmsghdr_k *request;
    uint32_t pid;
    size_t start;
};

static void pad(struct builder *b)
{
    while (b->t.len % 4 && !b->t.failed)
        text_putc(&b->t, 0);
}

static void begin(struct builder *b, uint16_t type, uint16_t flags, const void *body, size_t len)
{
    struct nlmsghdr_k h = {.type = type, .flags = flags, .seq = b->request->seq, .pid = b->pid};
    b->start = b->t.len;
    text_write(&b->t, &h, sizeof(h));
    text_write(&b->t, body, len);
    pad(b);
}

static void attr(struct builder *b, uint16_t type, const void *value, size_t len)
{
    uint16_t h[2] = {(uint16_t)(len + 4), type};
    text_write(&b->t, h, sizeof(h));
    text_write(&b->t, value, len);
    pad(b);
}

static void end(struct builder *b)
{
    uint32_t len = (uint32_t)(b->t.len - b->start);
    if (!b->t.failed)
        memcpy(b->t.buf + b->start, &len, sizeof(len));
}

static void put_link(struct builder *b, const struct net_device *d, uint16_t flags)
{
    struct {
        uint8_t family, pad;
        uint16_t type;
        int32_t index;
        uint32_t flags, change;
    } ifi = {.type = d->type, .index = (int32_t)d->index, .flags = d->flags | IFF_LOWER_UP_K};
    const uint8_t none[6] = {0}, all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    const uint8_t state = d->flags & IFF_LOOPBACK_K ? 0 : 6; /* IF_OPER_UNKNOWN, _UP */
    const uint32_t txqlen = 1000;
    begin(b, RTM_NEWLINK_K, flags, &ifi, sizeof(ifi));
    attr(b, IFLA_IFNAME_K, d->name, strlen(d->name) + 1);
    attr(b, IFLA_TXQLEN_K, &txqlen, sizeof(txqlen));
    attr(b, IFLA_OPERSTATE_K, &state, sizeof(state));
    attr(b, IFLA_MTU_K, &d->mtu, sizeof(d->mtu));
    attr(b, IFLA_ADDRESS_K, d->hwaddr, sizeof(d->hwaddr));
    attr(b, IFLA_BROADCAST_K, d->flags & IFF_BROADCAST_K ? all : none, 6);
    end(b);
}

static void put_addr(struct builder *b, const struct net_device *d, bool v6)
{
    struct {
        uint8_t family, prefix, flags, scope;
        uint32_t index;
    } ifa = {v6 ? AF_INET6_K : AF_INET_K, v6 ? d->prefix6 : d->prefix4, 0x80 /* permanent */,
             d->flags & IFF_LOOPBACK_K ? 254 /* host */ : 0, d->index};
    const void *ip = v6 ? d->addr6.ip : d->addr4.ip + 12;
    const uint32_t flags = 0x80;
    begin(b, RTM_NEWADDR_K, NLM_F_MULTI_K, &ifa, sizeof(ifa));
    attr(b, IFA_ADDRESS_K, ip, v6 ? 16 : 4);
    if (!v6) {
        attr(b, IFA_LOCAL_K, ip, 4);
        attr(b, IFA_LABEL_K, d->name, strlen(d->name) + 1);
    }
    attr(b, IFA_FLAGS_K, &flags, sizeof(flags));
    end(b);
}

static void put_route(struct builder *b, const struct net_device *d, bool v6)
{
    bool local = d->flags & IFF_LOOPBACK_K;
    struct {
        uint8_t family, dst_len, src_len, tos, table, protocol, scope, type;
        uint32_t flags;
    } rt = {.family = v6 ? AF_INET6_K : AF_INET_K,
            .dst_len = local ? v6 ? d->prefix6 : d->prefix4 : 0,
            .table = local ? 255 : 254, /* local, main */
            .protocol = 2,              /* kernel */
            .scope = local ? 254 : 253, /* host, link */
            .type = local ? 2 : 1};     /* local, unicast */
    const uint8_t net[4] = {127, 0, 0, 0};
    const uint32_t table = rt.table, oif = d->index;
    begin(b, RTM_NEWROUTE_K, NLM_F_MULTI_K, &rt, sizeof(rt));
    attr(b, RTA_TABLE_K, &table, sizeof(table));
    if (local)
        attr(b, RTA_DST_K, v6 ? d->addr6.ip : net, v6 ? 16 : 4);
    if (!v6)
        attr(b, RTA_PREFSRC_K, d->addr4.ip + 12, 4);
    attr(b, RTA_OIF_K, &oif, sizeof(oif));
    end(b);
}

static void put_error(struct builder *b, int err)
{
    struct {
        int32_t error;
        struct nlmsghdr_k request;
    } e = {err, *b->request};
    begin(b, NLMSG_ERROR_K, 0, &e, sizeof(e));
    end(b);
}

/* What a dump lists; family 0: all. */
static void dump(struct builder *b, uint8_t family)
{
    const struct net_device *d;
    const int32_t done = 0;
    for (unsigned i = 0; (d = net_device(i)) != NULL; i++) {
        if (b->request->type == RTM_GETLINK_K)
            put_link(b, d, NLM_F_MULTI_K);
        for (int v6 = 0; v6 < 2; v6++) {
            if ((family && family != (v6 ? AF_INET6_K : AF_INET_K)) || (v6 && !d->has_addr6))
                continue;
            if (b->request->type == RTM_GETADDR_K)
                put_addr(b, d, v6);
            else if (b->request->type == RTM_GETROUTE_K)
                put_route(b, d, v6);
        }
    }
    begin(b, NLMSG_DONE_K, NLM_F_MULTI_K, &done, sizeof(done));
    end(b);
}

/* RTM_GETLINK of one interface, by index or name. body: struct ifinfomsg and attributes. */
static void one_link(struct builder *b, const uint8_t *body, uint32_t len)
{
    int32_t index = 0;
    const char *name = NULL;
    uint32_t name_len = 0;
    if (len < 16) {
        put_error(b, -EINVAL);
        return;
    }
    memcpy(&index, body + 4, sizeof(index));
    for (uint32_t at = 16; at + 4 <= len;) {
        uint16_t h[2];
        memcpy(h, body + at, sizeof(h));
        if (h[0] < 4 || h[0] > len - at)
            break;
        if (h[1] == IFLA_IFNAME_K) {
            name = (const char *)body + at + 4;
            name_len = (uint32_t)strnlen(name, h[0] - 4u);
        }
        at += ALIGN_UP((uint32_t)h[0], 4u);
    }
    const struct net_device *d;
    for (unsigned i = 0; (d = net_device(i)) != NULL; i++)
        if (index ? d->index == (uint32_t)index
                  : name && strlen(d->name) == name_len && memcmp(d->name, name, name_len) == 0) {
            put_link(b, d, 0);
            return;
        }
    put_error(b, -ENODEV);
}

/* ---- requests ---- */

static int enqueue(struct socket *s, struct text *t)
{
    struct netlink_sock *ns = s->priv;
    struct answer *a = t->failed ? NULL : kmalloc(sizeof(*a) + t->len);
    bool full = true;
    if (!a)
        return -ENOBUFS;
    a->len = (uint32_t)t->len;
    memcpy(a->data, t->buf, t->len);
    spin_lock(&ns->lock);
    if (ns->nr_queued < QUEUE_MAX) {
        list_add_tail(&a->link, &ns->queue);
        ns->nr_queued++;
        full = false;
    }
    spin_unlock(&ns->lock);
    if (full) {
        kfree(a);
        return -ENOBUFS;
    }
    wake_all(&s->wait, POLLIN_K | POLLRDNORM_K);
    return 0;
}

static int serve(struct socket *s, const struct nlmsghdr_k *h, const uint8_t *body, uint32_t len)
{
    struct netlink_sock *ns = s->priv;
    struct builder b = {.request = h, .pid = ns->pid};
    bool get = h->type == RTM_GETLINK_K || h->type == RTM_GETADDR_K || h->type == RTM_GETROUTE_K;
    if (!(h->flags & NLM_F_REQUEST_K) || h->type < 16)
        return 0; /* Linux passes over control messages */
    text_init(&b.t);
    if (s->protocol == NETLINK_ROUTE_K && get && (h->flags & NLM_F_DUMP_K))
        dump(&b, len ? body[0] : 0);
    else if (s->protocol == NETLINK_ROUTE_K && h->type == RTM_GETLINK_K)
        one_link(&b, body, len);
    else
        put_error(&b, -EOPNOTSUPP);
    int r = enqueue(s, &b.t);
    text_release(&b.t);
    return r;
}

static int autobind(struct socket *s)
{
    struct netlink_sock *ns = s->priv;
    mutex_lock(&s->lock);
    if (!ns->pid)
        ns->pid = port_take();
    mutex_unlock(&s->lock);
    return 0;
}

static int64_t netlink_sendmsg(struct socket *s, struct sock_msg *m)
{
    uint32_t len = (uint32_t)k_min(m->data->remaining, (uint64_t)REQUEST_MAX + 1);
    if (m->flags & MSG_OOB_K)
        return -EOPNOTSUPP;
    if (len > REQUEST_MAX)
        return -EMSGSIZE;
    if (m->name && m->name->len) {
        const struct sockaddr_nl_k *to = (const void *)m->name->data;
        if (m->name->len < sizeof(*to) || to->family != AF_NETLINK_K)
            return -EINVAL;
        if (to->pid)
            return -ECONNREFUSED;
        if (to->groups)
            return -EPERM;
    }
    (void)autobind(s);
    uint8_t *buf = kmalloc(k_max(len, 1u));
    if (!buf)
        return -ENOBUFS;
    int r = uio_read(m->data, buf, len) == len ? 0 : -EFAULT;
    for (uint32_t at = 0; r == 0 && len - at >= sizeof(struct nlmsghdr_k);) {
        struct nlmsghdr_k h;
        memcpy(&h, buf + at, sizeof(h));
        if (h.len < sizeof(h) || h.len > len - at)
            break;
        r = serve(s, &h, buf + at + sizeof(h), h.len - (uint32_t)sizeof(h));
        uint32_t step = ALIGN_UP(h.len, 4u);
        if (step > len - at)
            break;
        at += step;
    }
    kfree(buf);
    return r ? r : (int64_t)len;
}

static int64_t netlink_recvmsg(struct socket *s, struct sock_msg *m)
{
    struct netlink_sock *ns = s->priv;
    uint64_t timeout = READ_ONCE(s->rcvtimeo_ns);
    ktime_t deadline = socket_deadline(timeout);
    if (m->flags & MSG_OOB_K)
        return -EOPNOTSUPP;
    for (;;) {
        mutex_lock(&ns->reading);
        if (READ_ONCE(ns->nr_queued))
            break;
        mutex_unlock(&ns->reading);
        if (m->flags & MSG_DONTWAIT_K)
            return -EAGAIN;
        int r;
        SOCKET_WAIT(s, READ_ONCE(ns->nr_queued), timeout, deadline, r);
        if (r)
            return r;
    }
    spin_lock(&ns->lock);
    struct answer *a = list_first(&ns->queue, struct answer, link);
    spin_unlock(&ns->lock);
    uint32_t want = (uint32_t)k_min((uint64_t)a->len, m->data->remaining);
    int64_t r = uio_write(m->data, a->data, want) == want ? (int64_t)want : -EFAULT;
    if (want < a->len)
        m->out_flags |= MSG_TRUNC_K;
    if (r >= 0 && (m->flags & MSG_TRUNC_K))
        r = a->len;
    if (m->name) {
        struct sockaddr_nl_k from = {.family = AF_NETLINK_K}; /* the kernel */
        memcpy(m->name->data, &from, m->name->len = sizeof(from));
    }
    if (!(m->flags & MSG_PEEK_K)) {
        spin_lock(&ns->lock);
        list_del(&a->link);
        ns->nr_queued--;
        spin_unlock(&ns->lock);
        kfree(a);
    }
    mutex_unlock(&ns->reading);
    return r;
}

/* ---- the rest ---- */

static int netlink_bind(struct socket *s, const struct sock_addr *addr)
{
    struct netlink_sock *ns = s->priv;
    const struct sockaddr_nl_k *a = (const void *)addr->data;
    int r = 0;
    if (addr->len < sizeof(*a) || a->family != AF_NETLINK_K)
        return -EINVAL;
    mutex_lock(&s->lock);
    if (ns->pid && a->pid != ns->pid && a->pid)
        r = -EINVAL;
    else if (!ns->pid)
        ns->pid = a->pid ? a->pid : port_take();
    if (r == 0)
        ns->groups = a->groups;
    mutex_unlock(&s->lock);
    return r;
}

static int netlink_connect(struct socket *s, const struct sock_addr *addr, bool nonblock)
{
    const struct sockaddr_nl_k *a = (const void *)addr->data;
    if (addr->len < sizeof(a->family))
        return -EINVAL;
    if (a->family == AF_UNSPEC_K)
        return 0;
    if (a->family != AF_NETLINK_K || addr->len < sizeof(*a))
        return -EINVAL;
    if (a->pid)
        return -ECONNREFUSED;
    return a->groups ? -EPERM : autobind(s);
}

static int netlink_getname(struct socket *s, struct sock_addr *addr, bool peer)
{
    const struct netlink_sock *ns = s->priv;
    struct sockaddr_nl_k a = {.family = AF_NETLINK_K};
    if (!peer) {
        a.pid = ns->pid;
        a.groups = ns->groups;
    }
    memcpy(addr->data, &a, addr->len = sizeof(a));
    return 0;
}

static uint32_t netlink_poll(struct socket *s, struct file *f, struct poll_table *pt)
{
    const struct netlink_sock *ns = s->priv;
    poll_wait(pt, f, &s->wait);
    return (READ_ONCE(ns->nr_queued) ? POLLIN_K | POLLRDNORM_K : 0) | POLLOUT_K | POLLWRNORM_K;
}

/* NETLINK_ADD_MEMBERSHIP to NETLINK_GET_STRICT_CHK: nothing is ever announced, and no error says
 * more than its number, so there is nothing to switch. */
static int netlink_setsockopt(struct socket *s, int level, int name, const void *val, uint32_t len)
{
    if (level != SOL_NETLINK_K || name < 1 || name > 12)
        return -ENOPROTOOPT;
    return len < sizeof(int32_t) ? -EINVAL : 0;
}

static void netlink_release(struct socket *s)
{
    struct netlink_sock *ns = s->priv;
    port_give(ns->pid);
    while (!list_empty(&ns->queue)) {
        struct answer *a = list_first(&ns->queue, struct answer, link);
        list_del(&a->link);
        kfree(a);
    }
}

static void netlink_destroy(struct socket *s)
{
    kfree(s->priv);
}

static const struct socket_ops netlink_ops = {
    .bind = netlink_bind,
    .connect = netlink_connect,
    .getname = netlink_getname,
    .sendmsg = netlink_sendmsg,
    .recvmsg = netlink_recvmsg,
    .poll = netlink_poll,
    .setsockopt = netlink_setsockopt,
    .release = netlink_release,
    .destroy = netlink_destroy,
};

static int netlink_create(struct socket *s)
{
    if (s->type != SOCK_RAW_K && s->type != SOCK_DGRAM_K)
        return -ESOCKTNOSUPPORT;
    if (s->protocol != NETLINK_ROUTE_K)
        return -EPROTONOSUPPORT;
    struct netlink_sock *ns = kzalloc(sizeof(*ns));
    if (!ns)
        return -ENOMEM;
    spin_init(&ns->lock);
    list_init(&ns->queue);
    mutex_init(&ns->reading);
    s->priv = ns;
    s->ops = &netlink_ops;
    return 0;
}

const struct socket_family netlink_family = {AF_NETLINK_K, netlink_create};
