/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interfaces of a keep: lo, and eth0 where the keep has an outside. There is no link behind
 * eth0; its address stands for the keep, as programs want one that is not loopback before they try
 * names and addresses of the outside (getaddrinfo's AI_ADDRCONFIG).
 */
#include "base/errno.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "net/inet.h"

#define IFNAMSIZ_K 16
enum { ARPHRD_ETHER_K = 1, ARPHRD_LOOPBACK_K = 772 };
enum {
    SIOCGIFNAME_K = 0x8910,
    SIOCGIFCONF_K = 0x8912,
    SIOCGIFFLAGS_K = 0x8913,
    SIOCSIFFLAGS_K = 0x8914,
    SIOCGIFADDR_K = 0x8915,
    SIOCGIFDSTADDR_K = 0x8917,
    SIOCGIFBRDADDR_K = 0x8919,
    SIOCGIFNETMASK_K = 0x891b,
    SIOCGIFMETRIC_K = 0x891d,
    SIOCGIFMTU_K = 0x8921,
    SIOCGIFHWADDR_K = 0x8927,
    SIOCGIFINDEX_K = 0x8933,
    SIOCGIFTXQLEN_K = 0x8942
};

static const struct net_device loopback = {
    .name = "lo",
    .index = LOOPBACK_IFINDEX,
    .flags = IFF_UP_K | IFF_LOOPBACK_K | IFF_RUNNING_K,
    .mtu = 65536,
    .type = ARPHRD_LOOPBACK_K,
    .addr4 = {.ip = {[10] = 0xff, 0xff, 127, 0, 0, 1}},
    .prefix4 = 8,
    .has_addr6 = true,
    .addr6 = {.ip = {[15] = 1}},
    .prefix6 = 128,
};
static const struct net_device eth0 = {
    .name = "eth0",
    .index = LOOPBACK_IFINDEX + 1,
    .flags = IFF_UP_K | IFF_BROADCAST_K | IFF_RUNNING_K,
    .mtu = 1500,
    .type = ARPHRD_ETHER_K,
    .hwaddr = {0x02, 0, 10, 0, 2, 15},
    .addr4 = {.ip = {[10] = 0xff, 0xff, 10, 0, 2, 15}},
    .prefix4 = 24,
};

const struct net_device *net_device(unsigned i)
{
    return i == 0 ? &loopback : i == 1 && host_net_present() ? &eth0 : NULL;
}

/* ---- ioctls: netdevice(7) ---- */

struct ifreq_k {
    char name[IFNAMSIZ_K];
    union {
        int32_t number;
        uint16_t family;
        uint8_t data[24];
    };
};

static const struct net_device *by_name(const char *name)
{
    const struct net_device *d;
    for (unsigned i = 0; (d = net_device(i)) != NULL; i++)
        if (strncmp(d->name, name, IFNAMSIZ_K) == 0)
            return d;
    return NULL;
}

static void put_address(struct ifreq_k *r, const uint8_t ip[4])
{
    memset(r->data, 0, sizeof(r->data));
    r->family = AF_INET_K;
    memcpy(r->data + 4, ip, 4);
}

static void prefix_mask(unsigned prefix, uint8_t mask[4])
{
    for (unsigned i = 0; i < 4; i++)
        mask[i] = prefix >= 8 * i + 8 ? 0xff
                  : prefix <= 8 * i   ? 0
                                      : (uint8_t)(0xff << (8 - (prefix - 8 * i)));
}

static int64_t get_conf(uint64_t arg)
{
    struct {
        int32_t len, pad;
        uint64_t buf;
    } conf;
    const struct net_device *d;
    int32_t used = 0;
    if (get_user(conf, arg) != 0)
        return -EFAULT;
    for (unsigned i = 0; (d = net_device(i)) != NULL; i++) {
        struct ifreq_k r = {{0}, {0}};
        k_strlcpy(r.name, d->name, sizeof(r.name));
        put_address(&r, d->addr4.ip + 12);
        if (conf.buf) {
            if (conf.len - used < (int32_t)sizeof(r))
                break;
            if (copy_to_user(conf.buf + (uint64_t)used, &r, sizeof(r)) != 0)
                return -EFAULT;
        }
        used += (int32_t)sizeof(r);
    }
    conf.len = used;
    return put_user(conf, arg);
}

int64_t net_device_ioctl(unsigned cmd, uint64_t arg)
{
    struct ifreq_k r;
    uint8_t mask[4];
    if (cmd < SIOCGIFNAME_K || cmd > SIOCGIFTXQLEN_K)
        return -ENOIOCTLCMD_K;
    if (cmd == SIOCGIFCONF_K)
        return get_conf(arg);
    if (get_user(r, arg) != 0)
        return -EFAULT;
    const struct net_device *d;
    if (cmd == SIOCGIFNAME_K) {
        d = r.number > 0 ? net_device((unsigned)r.number - 1) : NULL;
        if (!d)
            return -ENODEV;
        k_strlcpy(r.name, d->name, sizeof(r.name));
        return put_user(r, arg);
    }
    r.name[IFNAMSIZ_K - 1] = 0;
    d = by_name(r.name);
    if (!d)
        return -ENODEV;
    prefix_mask(d->prefix4, mask);
    switch (cmd) {
    case SIOCGIFFLAGS_K: *(uint16_t *)r.data = (uint16_t)d->flags; break;
    case SIOCGIFADDR_K:
    case SIOCGIFDSTADDR_K: put_address(&r, d->addr4.ip + 12); break;
    case SIOCGIFNETMASK_K: put_address(&r, mask); break;
    case SIOCGIFBRDADDR_K:
        for (unsigned i = 0; i < 4; i++)
            mask[i] = d->flags & IFF_BROADCAST_K ? d->addr4.ip[12 + i] | (uint8_t)~mask[i] : 0;
        put_address(&r, mask);
        break;
    case SIOCGIFMETRIC_K: r.number = 0; break;
    case SIOCGIFMTU_K: r.number = (int32_t)d->mtu; break;
    case SIOCGIFTXQLEN_K: r.number = 1000; break;
    case SIOCGIFINDEX_K: r.number = (int32_t)d->index; break;
    case SIOCGIFHWADDR_K:
        memset(r.data, 0, sizeof(r.data));
        r.family = d->type;
        memcpy(r.data + 2, d->hwaddr, sizeof(d->hwaddr));
        break;
    case SIOCSIFFLAGS_K: return -EPERM;
    default: return -ENOIOCTLCMD_K;
    }
    return put_user(r, arg);
}
