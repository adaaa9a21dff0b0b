/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls that move messages: sendto, sendmsg, sendmmsg, recvfrom, recvmsg, recvmmsg, and
 * control data in and out.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "fs/anon_file.h"
#include "fs/files.h"
#include "net/socket.h"
#include "proc/task.h"

#define CONTROL_INLINE 96u
#define CONTROL_MAX 131072u /* net.core.optmem_max */

/* struct msghdr, struct mmsghdr */
struct k_msghdr {
    uaddr_t name;
    int32_t namelen, pad0;
    uaddr_t iov;
    uint64_t iovlen;
    uaddr_t control;
    uint64_t controllen;
    uint32_t flags, pad1;
};
struct k_mmsghdr {
    struct k_msghdr hdr;
    uint32_t len, pad;
};

/* struct cmsghdr */
struct k_cmsghdr {
    uint64_t len;
    int32_t level, type;
};
#define CMSG_ALIGN(n) ALIGN_UP((n), 8u)

/* ---- control data ---- */

/* The message at `at`, or NULL: none is there, or *bad when it does not lie within. */
static const struct k_cmsghdr *cmsg_at(const void *control, uint32_t len, uint32_t at, bool *bad)
{
    if (at > len || len - at < sizeof(struct k_cmsghdr))
        return NULL;
    const struct k_cmsghdr *h = (const void *)((const char *)control + at);
    if (h->len >= sizeof(*h) && h->len <= len - at)
        return h;
    *bad = true;
    return NULL;
}

bool cmsg_next(const struct sock_msg *m, uint32_t *at, struct cmsg_in *c)
{
    bool bad = false;
    const struct k_cmsghdr *h = m->control ? cmsg_at(m->control, m->control_len, *at, &bad) : NULL;
    if (!h)
        return false;
    *c = (struct cmsg_in){h->level, h->type, h + 1, (uint32_t)(h->len - sizeof(*h))};
    *at += (uint32_t)CMSG_ALIGN((uint32_t)h->len);
    return true;
}

static bool control_valid(const void *control, uint32_t len)
{
    bool bad = false;
    const struct k_cmsghdr *h;
    for (uint32_t at = 0; (h = cmsg_at(control, len, at, &bad)) != NULL;)
        at += CMSG_ALIGN((uint32_t)h->len);
    return !bad;
}

uint32_t cmsg_room(const struct cmsg_out *out)
{
    uint32_t left = out->base ? out->size - out->used : 0;
    return left > sizeof(struct k_cmsghdr) ? left - (uint32_t)sizeof(struct k_cmsghdr) : 0;
}

int put_cmsg(struct cmsg_out *out, int level, int type, const void *data, uint32_t len)
{
    uint32_t left = out->base ? out->size - out->used : 0;
    if (left < sizeof(struct k_cmsghdr)) {
        *out->out_flags |= MSG_CTRUNC_K;
        return 0;
    }
    if (cmsg_room(out) < len) {
        *out->out_flags |= MSG_CTRUNC_K;
        len = cmsg_room(out);
    }
    struct k_cmsghdr h = {sizeof(h) + len, level, type};
    uaddr_t at = out->base + out->used;
    if (copy_to_user(at, &h, sizeof(h)) || copy_to_user(at + sizeof(h), data, len))
        return -EFAULT;
    out->used += k_min(CMSG_ALIGN((uint32_t)h.len), left);
    return 0;
}

/* ---- one message ---- */

static int64_t do_send(struct socket *s, struct sock_msg *m)
{
    if (file_nonblocking(s->file))
        m->flags |= MSG_DONTWAIT_K;
    return s->ops->sendmsg ? s->ops->sendmsg(s, m) : -EOPNOTSUPP;
}

static int64_t do_recv(struct socket *s, struct sock_msg *m)
{
    if (file_nonblocking(s->file))
        m->flags |= MSG_DONTWAIT_K;
    return s->ops->recvmsg ? s->ops->recvmsg(s, m) : -EOPNOTSUPP;
}

int64_t sys_sendto(int fd, uaddr_t buf, uint64_t len, uint32_t flags, uaddr_t addr, int addr_len)
{
    struct uio u;
    struct sock_addr to;
    struct sock_msg m = {.data = &u, .flags = flags};
    uio_init_user(&u, buf, len);
    if (!user_range_ok(buf, u.remaining))
        return -EFAULT;
    FD_SOCKET(s, fd);
    if (is_err(s))
        return ptr_err(s);
    int64_t r = 0;
    if (addr) {
        r = sock_addr_from_user(&to, addr, addr_len);
        m.name = &to;
    }
    if (!r)
        r = do_send(s, &m);
    return r;
}

int64_t sys_recvfrom(int fd, uaddr_t buf, uint64_t len, uint32_t flags, uaddr_t addr,
                     uaddr_t addr_len)
{
    struct uio u;
    struct sock_addr from = {.len = 0};
    struct sock_msg m = {.data = &u, .name = addr ? &from : NULL, .flags = flags};
    struct cmsg_out none = {.out_flags = &m.out_flags};
    m.control_out = &none;
    uio_init_user(&u, buf, len);
    if (!user_range_ok(buf, u.remaining))
        return -EFAULT;
    FD_SOCKET(s, fd);
    if (is_err(s))
        return ptr_err(s);
    int64_t r = do_recv(s, &m);
    if (r >= 0 && addr) {
        int err = sock_addr_to_user(&from, addr, addr_len);
        if (err)
            r = err;
    }
    return r;
}

static int header_from_user(struct k_msghdr *h, uaddr_t user, struct uio *u)
{
    if (copy_from_user(h, user, sizeof(*h)))
        return -EFAULT;
    if (!h->name)
        h->namelen = 0;
    if (h->namelen < 0)
        return -EINVAL;
    h->namelen = k_min(h->namelen, SOCK_ADDR_MAX);
    if (h->iovlen > UIO_MAXIOV)
        return -EMSGSIZE;
    return uio_init_iovec(u, h->iov, (int)h->iovlen);
}

static int64_t send_control(struct socket *s, struct sock_msg *m, const struct k_msghdr *h)
{
    uint64_t small[CONTROL_INLINE / sizeof(uint64_t)];
    if (!h->control || !h->controllen)
        return do_send(s, m);
    if (h->controllen > CONTROL_MAX)
        return -ENOBUFS;
    uint32_t len = (uint32_t)h->controllen;
    void *control = len <= CONTROL_INLINE ? small : kmalloc(len);
    if (!control)
        return -ENOBUFS;
    m->control = control;
    m->control_len = len;
    int64_t r = copy_from_user(control, h->control, len);
    if (!r)
        r = control_valid(control, len) ? do_send(s, m) : -EINVAL;
    if (control != small)
        kfree(control);
    return r;
}

static int64_t send_header(struct socket *s, uaddr_t user, uint32_t flags)
{
    struct k_msghdr h;
    struct uio u;
    struct sock_addr to;
    struct sock_msg m = {.data = &u, .flags = flags};
    int64_t r = header_from_user(&h, user, &u);
    if (r)
        return r;
    if (h.name) {
        r = sock_addr_from_user(&to, h.name, h.namelen);
        m.name = &to;
    }
    if (!r)
        r = send_control(s, &m, &h);
    uio_release(&u);
    return r;
}

static int64_t recv_header(struct socket *s, uaddr_t user, uint32_t flags)
{
    struct k_msghdr h;
    struct uio u;
    struct sock_addr from = {.len = 0};
    struct sock_msg m = {.data = &u, .flags = flags, .out_flags = flags & MSG_CMSG_CLOEXEC_K};
    int64_t r = header_from_user(&h, user, &u);
    if (r)
        return r;
    struct cmsg_out control = {.base = h.control,
                               .size = (uint32_t)k_min(h.controllen, (uint64_t)INT32_MAX),
                               .out_flags = &m.out_flags};
    m.control_out = &control;
    m.name = h.name ? &from : NULL;
    r = do_recv(s, &m);
    uio_release(&u);
    if (r < 0)
        return r;
    int err = 0;
    if (h.name)
        err = sock_addr_to_user(&from, h.name, user + offsetof(struct k_msghdr, namelen));
    if (!err)
        err = put_user(m.out_flags, user + offsetof(struct k_msghdr, flags));
    uint64_t used = control.used;
    if (!err)
        err = put_user(used, user + offsetof(struct k_msghdr, controllen));
    return err ? err : r;
}

int64_t sys_sendmsg(int fd, uaddr_t msg, uint32_t flags)
{
    FD_SOCKET(s, fd);
    if (is_err(s))
        return ptr_err(s);
    return send_header(s, msg, flags);
}

int64_t sys_recvmsg(int fd, uaddr_t msg, uint32_t flags)
{
    FD_SOCKET(s, fd);
    if (is_err(s))
        return ptr_err(s);
    return recv_header(s, msg, flags);
}

/* ---- many messages ---- */

static bool interrupted_between(void)
{
    sched_resched();
    return signal_pending();
}

/* Up to nr messages; how many, and in *r what came of the last. The deadline is looked at after
 * each message only, as Linux does: an idle socket keeps the call waiting beyond it. */
static uint32_t message_row(struct socket *s, bool send, uaddr_t msgs, uint32_t nr, uint32_t flags,
                            ktime_t deadline, int64_t *r)
{
    const bool once = !send && (flags & MSG_WAITFORONE_K);
    uint32_t done = 0;
    *r = 0;
    if (once)
        flags &= ~(uint32_t)MSG_WAITFORONE_K;
    nr = k_min(nr, (uint32_t)UIO_MAXIOV);
    while (done < nr) {
        uaddr_t user = msgs + done * sizeof(struct k_mmsghdr);
        *r = send ? send_header(s, user, flags) : recv_header(s, user, flags);
        if (*r < 0)
            break;
        *r = put_user((uint32_t)*r, user + offsetof(struct k_mmsghdr, len));
        if (*r)
            break;
        done++;
        if (once)
            flags |= MSG_DONTWAIT_K;
        if ((deadline != KTIME_NEVER && time_mono_ns() >= deadline) || interrupted_between())
            break;
    }
    return done;
}

int64_t sys_sendmmsg(int fd, uaddr_t msgs, uint32_t nr, uint32_t flags)
{
    int64_t r;
    FD_SOCKET(s, fd);
    if (is_err(s))
        return ptr_err(s);
    uint32_t done = message_row(s, true, msgs, nr, flags, KTIME_NEVER, &r);
    return done ? done : r;
}

static int64_t recv_many(struct socket *s, uaddr_t msgs, uint32_t nr, uint32_t flags,
                         ktime_t deadline)
{
    int64_t r = socket_take_error(s);
    if (r)
        return r;
    uint32_t done = message_row(s, false, msgs, nr, flags, deadline, &r);
    /* What ended the row is told by the next call. */
    if (done && r < 0 && r != -EAGAIN && r != -ERESTARTSYS && r != -EINTR)
        __atomic_store_n(&s->error, (int32_t)-r, __ATOMIC_RELEASE);
    return done ? done : r;
}

int64_t sys_recvmmsg(int fd, uaddr_t msgs, uint32_t nr, uint32_t flags, uaddr_t timeout)
{
    ktime_t deadline;
    int err = time_deadline_from_user(timeout, &deadline);
    if (err)
        return err;
    FD_SOCKET(s, fd);
    if (is_err(s))
        return ptr_err(s);
    int64_t r = recv_many(s, msgs, nr, flags, deadline);
    if (r > 0 && timeout) {
        ktime_t now = time_mono_ns();
        struct k_timespec left = ns_to_timespec(deadline > now ? deadline - now : 0);
        if (put_user(left, timeout))
            return -EFAULT;
    }
    return r;
}
