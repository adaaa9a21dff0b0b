/* SPDX-License-Identifier: Apache-2.0 */
/* The options of SOL_SOCKET: socket(7). */
#include "base/errno.h"
#include "base/string.h"
#include "net/socket.h"
#include "proc/task.h"

enum {
    SO_DEBUG_K = 1,
    SO_REUSEADDR_K = 2,
    SO_TYPE_K = 3,
    SO_ERROR_K = 4,
    SO_DONTROUTE_K = 5,
    SO_BROADCAST_K = 6,
    SO_SNDBUF_K = 7,
    SO_RCVBUF_K = 8,
    SO_KEEPALIVE_K = 9,
    SO_OOBINLINE_K = 10,
    SO_PRIORITY_K = 12,
    SO_LINGER_K = 13,
    SO_REUSEPORT_K = 15,
    SO_PASSCRED_K = 16,
    SO_PEERCRED_K = 17,
    SO_RCVLOWAT_K = 18,
    SO_SNDLOWAT_K = 19,
    SO_RCVTIMEO_OLD_K = 20,
    SO_SNDTIMEO_OLD_K = 21,
    SO_BINDTODEVICE_K = 25,
    SO_TIMESTAMP_OLD_K = 29,
    SO_ACCEPTCONN_K = 30,
    SO_SNDBUFFORCE_K = 32,
    SO_RCVBUFFORCE_K = 33,
    SO_TIMESTAMPNS_OLD_K = 35,
    SO_MARK_K = 36,
    SO_PROTOCOL_K = 38,
    SO_DOMAIN_K = 39,
    SO_INCOMING_CPU_K = 49,
    SO_MEMINFO_K = 55,
    SO_BINDTOIFINDEX_K = 62,
    SO_TIMESTAMP_NEW_K = 63,
    SO_TIMESTAMPNS_NEW_K = 64,
    SO_RCVTIMEO_NEW_K = 66,
    SO_SNDTIMEO_NEW_K = 67
};

#define BUFFER_MAX 212992 /* net.core.wmem_max, rmem_max */
#define SNDBUF_MIN 4608u
#define RCVBUF_MIN 2304u
#define IFNAMSIZ_K 16
#define LOOPBACK_INDEX 1u
#define CAP_NET_ADMIN_K 12
#define CAP_NET_RAW_K 13

/* Options that are a bit of socket.flags. */
static uint32_t flag_of(int name)
{
    switch (name) {
    case SO_REUSEADDR_K: return SOCKF_REUSEADDR;
    case SO_REUSEPORT_K: return SOCKF_REUSEPORT;
    case SO_KEEPALIVE_K: return SOCKF_KEEPALIVE;
    case SO_BROADCAST_K: return SOCKF_BROADCAST;
    case SO_PASSCRED_K: return SOCKF_PASSCRED;
    case SO_OOBINLINE_K: return SOCKF_OOBINLINE;
    case SO_DONTROUTE_K: return SOCKF_DONTROUTE;
    case SO_TIMESTAMP_OLD_K:
    case SO_TIMESTAMP_NEW_K: return SOCKF_TIMESTAMP;
    case SO_TIMESTAMPNS_OLD_K:
    case SO_TIMESTAMPNS_NEW_K: return SOCKF_TIMESTAMPNS;
    default: return 0;
    }
}

static void set_flag(struct socket *s, uint32_t flag, bool on)
{
    /* Only one kind of time stamp at a time. */
    if (flag & (SOCKF_TIMESTAMP | SOCKF_TIMESTAMPNS))
        __atomic_and_fetch(&s->flags, ~(uint32_t)(SOCKF_TIMESTAMP | SOCKF_TIMESTAMPNS),
                           __ATOMIC_RELAXED);
    if (on)
        __atomic_or_fetch(&s->flags, flag, __ATOMIC_SEQ_CST);
    else
        __atomic_and_fetch(&s->flags, ~flag, __ATOMIC_SEQ_CST);
}

static uint32_t buffer_size(int val, bool force, uint32_t least)
{
    if (force)
        val = k_max(val, 0);
    else
        val = (int)k_min((uint32_t)val, (uint32_t)BUFFER_MAX);
    return k_max((uint32_t)k_min(val, INT32_MAX / 2) * 2, least);
}

static int set_timeout(uint64_t *timeout_ns, const void *val, uint32_t len)
{
    struct k_timeval tv; /* old and new layout are the same on x86-64 */
    if (len < sizeof(tv))
        return -EINVAL;
    memcpy(&tv, val, sizeof(tv));
    if (tv.usec < 0 || tv.usec >= (int64_t)NSEC_PER_SEC / 1000)
        return -EDOM;
    struct k_timespec ts = {tv.sec, tv.usec * 1000};
    /* A time in the past is over at once. */
    uint64_t ns = tv.sec < 0 ? 1 : timespec_to_ns(&ts);
    __atomic_store_n(timeout_ns, ns >= INT64_MAX ? 0 : ns, __ATOMIC_RELAXED);
    return 0;
}

static bool may_admin_net(void)
{
    return capable(CAP_NET_ADMIN_K) || capable(CAP_NET_RAW_K);
}

static int bind_to_interface(struct socket *s, uint32_t index)
{
    if (s->bound_if && !capable(CAP_NET_RAW_K))
        return -EPERM;
    s->bound_if = index;
    return 0;
}

static int bind_to_device(struct socket *s, const char *name, uint32_t len)
{
    len = k_min(len, (uint32_t)IFNAMSIZ_K - 1);
    len = (uint32_t)strnlen(name, len);
    if (len == 0)
        return bind_to_interface(s, 0);
    if (len != 2 || memcmp(name, "lo", 2) != 0)
        return -ENODEV;
    return bind_to_interface(s, LOOPBACK_INDEX);
}

static int set_linger(struct socket *s, const void *val, uint32_t len)
{
    int32_t linger[2]; /* on, seconds */
    if (len < sizeof(linger))
        return -EINVAL;
    memcpy(linger, val, sizeof(linger));
    if (linger[0])
        WRITE_ONCE(s->linger_s, (uint32_t)linger[1]);
    set_flag(s, SOCKF_LINGER, linger[0] != 0);
    return 0;
}

static int set_int_option(struct socket *s, int name, int val)
{
    switch (name) {
    case SO_DEBUG_K: return val && !capable(CAP_NET_ADMIN_K) ? -EACCES : 0;
    case SO_SNDBUF_K: s->sndbuf = buffer_size(val, false, SNDBUF_MIN); return 0;
    case SO_RCVBUF_K: s->rcvbuf = buffer_size(val, false, RCVBUF_MIN); return 0;
    case SO_SNDBUFFORCE_K:
    case SO_RCVBUFFORCE_K:
        if (!capable(CAP_NET_ADMIN_K))
            return -EPERM;
        if (name == SO_SNDBUFFORCE_K)
            s->sndbuf = buffer_size(val, true, SNDBUF_MIN);
        else
            s->rcvbuf = buffer_size(val, true, RCVBUF_MIN);
        return 0;
    case SO_PRIORITY_K:
        if ((val < 0 || val > 6) && !may_admin_net())
            return -EPERM;
        s->priority = (uint32_t)val;
        return 0;
    case SO_MARK_K:
        if (!may_admin_net())
            return -EPERM;
        s->mark = (uint32_t)val;
        return 0;
    case SO_RCVLOWAT_K:
        WRITE_ONCE(s->rcvlowat, val < 0 ? (uint32_t)INT32_MAX : val ? (uint32_t)val : 1);
        return 0;
    case SO_INCOMING_CPU_K: return 0; /* a wish; the answer to a question is where the data came */
    case SO_BINDTOIFINDEX_K:
        if (val < 0)
            return -EINVAL;
        return val > (int)LOOPBACK_INDEX ? -ENODEV : bind_to_interface(s, (uint32_t)val);
    default: return -ENOPROTOOPT;
    }
}

static int set_option(struct socket *s, int name, const void *val, uint32_t len)
{
    int number;
    if (name == SO_BINDTODEVICE_K)
        return bind_to_device(s, val, len);
    if (len < sizeof(number))
        return -EINVAL;
    memcpy(&number, val, sizeof(number));
    uint32_t flag = flag_of(name);
    if (flag) {
        set_flag(s, flag, number != 0);
        return 0;
    }
    switch (name) {
    case SO_LINGER_K: return set_linger(s, val, len);
    case SO_RCVTIMEO_OLD_K:
    case SO_RCVTIMEO_NEW_K: return set_timeout(&s->rcvtimeo_ns, val, len);
    case SO_SNDTIMEO_OLD_K:
    case SO_SNDTIMEO_NEW_K: return set_timeout(&s->sndtimeo_ns, val, len);
    default: return set_int_option(s, name, number);
    }
}

int socket_set_option(struct socket *s, int name, const void *val, uint32_t len)
{
    int r = set_option(s, name, val, len);
    if (r == -ENOPROTOOPT && s->ops->setsockopt)
        r = s->ops->setsockopt(s, SOL_SOCKET_K, name, val, len);
    else if (r == 0 && s->ops->option_changed)
        s->ops->option_changed(s, name);
    return r == -EOPNOTSUPP ? -ENOPROTOOPT : r;
}

/* ---- get ---- */

static int put_value(void *val, uint32_t *len, const void *from, uint32_t size)
{
    *len = k_min(*len, size);
    memcpy(val, from, *len);
    return 0;
}

static int get_timeout(uint64_t timeout_ns, void *val, uint32_t *len)
{
    struct k_timeval tv = {(int64_t)(timeout_ns / NSEC_PER_SEC),
                           (int64_t)(timeout_ns % NSEC_PER_SEC / NSEC_PER_USEC)};
    return put_value(val, len, &tv, sizeof(tv));
}

static int get_device(const struct socket *s, void *val, uint32_t *len)
{
    if (!s->bound_if) {
        *len = 0;
        return 0;
    }
    return *len < IFNAMSIZ_K ? -EINVAL : put_value(val, len, "lo", 3);
}

/* struct of 9 words: SK_MEMINFO_RMEM_ALLOC, RCVBUF, WMEM_ALLOC, SNDBUF... */
static int get_meminfo(const struct socket *s, void *val, uint32_t *len)
{
    uint32_t info[9] = {[1] = s->rcvbuf, [3] = s->sndbuf};
    return put_value(val, len, info, sizeof(info));
}

/* -ENOPROTOOPT: no option with an int for value. */
static int get_int_option(struct socket *s, int name, int *val)
{
    switch (name) {
    case SO_DEBUG_K: *val = 0; return 0;
    case SO_TYPE_K: *val = s->type; return 0;
    case SO_DOMAIN_K: *val = s->family; return 0;
    case SO_PROTOCOL_K: *val = s->protocol; return 0;
    case SO_ERROR_K: *val = -socket_take_error(s); return 0;
    case SO_SNDBUF_K: *val = (int)s->sndbuf; return 0;
    case SO_RCVBUF_K: *val = (int)s->rcvbuf; return 0;
    case SO_PRIORITY_K: *val = (int)s->priority; return 0;
    case SO_MARK_K: *val = (int)s->mark; return 0;
    case SO_RCVLOWAT_K: *val = (int)s->rcvlowat; return 0;
    case SO_SNDLOWAT_K: *val = 1; return 0;
    case SO_ACCEPTCONN_K: *val = (READ_ONCE(s->flags) & SOCKF_LISTENING) != 0; return 0;
    case SO_INCOMING_CPU_K: *val = -1; return 0;
    case SO_BINDTOIFINDEX_K: *val = (int)s->bound_if; return 0;
    default: return -ENOPROTOOPT;
    }
}

int socket_get_option(struct socket *s, int name, void *val, uint32_t *len)
{
    uint32_t flags = READ_ONCE(s->flags), flag = flag_of(name);
    int number = 0, r = 0;
    if (flag)
        number = (flags & flag) != 0;
    else
        r = get_int_option(s, name, &number);
    if (r == 0)
        return put_value(val, len, &number, sizeof(number));
    int32_t linger[2] = {(flags & SOCKF_LINGER) != 0, (int32_t)s->linger_s};
    switch (name) {
    case SO_LINGER_K: return put_value(val, len, linger, sizeof(linger));
    case SO_RCVTIMEO_OLD_K:
    case SO_RCVTIMEO_NEW_K: return get_timeout(s->rcvtimeo_ns, val, len);
    case SO_SNDTIMEO_OLD_K:
    case SO_SNDTIMEO_NEW_K: return get_timeout(s->sndtimeo_ns, val, len);
    case SO_PEERCRED_K: return put_value(val, len, &s->peer_cred, sizeof(s->peer_cred));
    case SO_BINDTODEVICE_K: return get_device(s, val, len);
    case SO_MEMINFO_K: return get_meminfo(s, val, len);
    default:
        r = s->ops->getsockopt ? s->ops->getsockopt(s, SOL_SOCKET_K, name, val, len) : -ENOPROTOOPT;
        return r == -EOPNOTSUPP ? -ENOPROTOOPT : r;
    }
}

int socket_put_timestamp(struct socket *s, struct cmsg_out *out, uint64_t real_ns)
{
    uint32_t flags = READ_ONCE(s->flags);
    struct k_timespec ts = ns_to_timespec(real_ns);
    if (flags & SOCKF_TIMESTAMPNS)
        return put_cmsg(out, SOL_SOCKET_K, SO_TIMESTAMPNS_OLD_K, &ts, sizeof(ts));
    if (!(flags & SOCKF_TIMESTAMP))
        return 0;
    ts.nsec /= (int64_t)NSEC_PER_USEC;
    return put_cmsg(out, SOL_SOCKET_K, SO_TIMESTAMP_OLD_K, &ts, sizeof(ts));
}
