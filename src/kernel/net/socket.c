/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sockets of all families have in common: life, the file, waiting.
 *
 * A socket's memory is counted, for peers wake each other: socket_free ends what the socket does
 * (ops->release), the last socket_put gives the memory back.
 */
#include "net/socket.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/printk.h"
#include "fs/anon_file.h"
#include "fs/pipe.h"
#include "net/inet.h"
#include "proc/task.h"

#define BUFFER_DEFAULT 212992u /* net.core.wmem_default, rmem_default */

static const struct file_ops socket_file_ops;

/* ---- life ---- */

struct socket *socket_alloc(int family, int type, int protocol)
{
    struct socket *s = kzalloc(sizeof(*s));
    if (!s)
        return NULL;
    ref_init(&s->ref, 1);
    s->family = (uint16_t)family;
    s->type = (uint16_t)type;
    s->protocol = protocol;
    mutex_init(&s->lock);
    wait_queue_init(&s->wait);
    s->sndbuf = s->rcvbuf = BUFFER_DEFAULT;
    s->rcvlowat = 1;
    s->peer_cred.uid = s->peer_cred.gid = UINT32_MAX;
    return s;
}

void socket_get(struct socket *s)
{
    ref_get(&s->ref);
}

void socket_put(struct socket *s)
{
    if (!ref_put(&s->ref))
        return;
    if (s->ops && s->ops->destroy)
        s->ops->destroy(s);
    kfree(s);
}

void socket_free(struct socket *s)
{
    if (s->ops)
        s->ops->release(s);
    socket_put(s);
}

/* ---- errors and waiting ---- */

int socket_take_error(struct socket *s)
{
    if (!READ_ONCE(s->error))
        return 0;
    return -__atomic_exchange_n(&s->error, 0, __ATOMIC_ACQ_REL);
}

void socket_set_error(struct socket *s, int err)
{
    __atomic_store_n(&s->error, err, __ATOMIC_RELEASE);
    wake_all(&s->wait, POLLERR_K);
}

ktime_t socket_deadline(uint64_t timeout_ns)
{
    return timeout_ns ? ktime_add(time_mono_ns(), timeout_ns) : KTIME_NEVER;
}

int socket_wait_result(int wait_result, uint64_t timeout_ns)
{
    if (wait_result == -ETIMEDOUT)
        return -EAGAIN;
    /* A restart would let the timeout begin anew. */
    return wait_result == -ERESTARTSYS && timeout_ns ? -EINTR : wait_result;
}

int socket_broken_pipe(uint32_t msg_flags)
{
    if (!(msg_flags & MSG_NOSIGNAL_K))
        pipe_send_sigpipe();
    return -EPIPE;
}

/* ---- the socket as a file ---- */

static int64_t read_socket(struct socket *s, struct uio *u, uint32_t flags)
{
    uint32_t unused = 0;
    struct cmsg_out none = {.out_flags = &unused};
    struct sock_msg m = {.data = u, .control_out = &none, .flags = flags};
    if (!u->remaining)
        return 0;
    return s->ops->recvmsg ? s->ops->recvmsg(s, &m) : -EOPNOTSUPP;
}

static int64_t socket_read(struct file *f, struct uio *u, uint64_t *pos)
{
    return read_socket(f->priv, u, file_nonblocking(f) ? MSG_DONTWAIT_K : 0);
}

int64_t socket_read_now(struct file *f, struct uio *u)
{
    return read_socket(f->priv, u, MSG_DONTWAIT_K);
}

int socket_wait_readable(struct file *f)
{
    struct socket *s = f->priv;
    ktime_t deadline = socket_deadline(s->rcvtimeo_ns);
    int r;
    SOCKET_WAIT(s, file_poll(f, NULL) & (POLLIN_K | POLLERR_K | POLLHUP_K), s->rcvtimeo_ns,
                deadline, r);
    return r;
}

static int64_t socket_write(struct file *f, struct uio *u, uint64_t *pos)
{
    struct socket *s = f->priv;
    struct sock_msg m = {.data = u, .flags = file_nonblocking(f) ? MSG_DONTWAIT_K : 0};
    if (s->type == SOCK_SEQPACKET_K)
        m.flags |= MSG_EOR_K;
    return s->ops->sendmsg ? s->ops->sendmsg(s, &m) : -EOPNOTSUPP;
}

static uint32_t socket_poll(struct file *f, struct poll_table *pt)
{
    struct socket *s = f->priv;
    return s->ops->poll(s, f, pt);
}

static int64_t socket_ioctl(struct file *f, unsigned cmd, uint64_t arg)
{
    struct socket *s = f->priv;
    int64_t r = s->ops->ioctl ? s->ops->ioctl(s, cmd, arg) : -ENOIOCTLCMD_K;
    if (r == -ENOIOCTLCMD_K)
        r = net_device_ioctl(cmd, arg); /* sockets of every family know the interfaces */
    return r == -ENOIOCTLCMD_K ? -ENOTTY : r;
}

static void socket_release(struct file *f)
{
    socket_free(f->priv);
}

static const struct file_ops socket_file_ops = {
    .read = socket_read,
    .write = socket_write,
    .poll = socket_poll,
    .ioctl = socket_ioctl,
    .fsync = fsync_not_supported,
    .release = socket_release,
};

/* Through /proc/PID/fd. */
static int socket_open(struct inode *inode, struct file *f)
{
    return -ENXIO;
}

static const struct file_ops socket_inode_ops = {.open = socket_open};

struct file *socket_file(struct socket *s, int flags)
{
    struct inode *inode = anon_inode_new(S_IFSOCK_K | 0777);
    struct file *f = err_ptr(-ENOMEM);
    if (inode) {
        char name[32];
        inode->fops = &socket_inode_ops;
        k_snprintf(name, sizeof(name), "socket:[%lu]", (unsigned long)inode->ino);
        f = file_new_anon_on(inode, name, &socket_file_ops, s,
                             O_RDWR_K | ((uint32_t)flags & SOCK_NONBLOCK_K),
                             FMODE_READ | FMODE_WRITE | FMODE_STREAM);
    }
    if (is_err(f))
        socket_free(s);
    else
        WRITE_ONCE(s->file, f);
    return f;
}

struct socket *file_socket(struct file *f)
{
    return f->ops == &socket_file_ops ? f->priv : NULL;
}
