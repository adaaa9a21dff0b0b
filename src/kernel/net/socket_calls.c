/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls that make, join and ask sockets. Those that move messages: net/socket_msg.c.
 *
 * The file of the descriptor is borrowed for the call, and the socket with it.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/usercopy.h"
#include "fs/anon_file.h"
#include "fs/files.h"
#include "net/socket.h"

#define AF_MAX_K 46
#define SOCK_MAX_K 11
#define SOCK_TYPE_MASK_K 0xf
#define SOCK_FLAGS (SOCK_CLOEXEC_K | SOCK_NONBLOCK_K)
#define OPTION_INLINE 128u
#define OPTION_MAX (256u * 1024) /* SO_PEERGROUPS of a process in all groups that it can be in */

static const struct socket_family *const families[] = {
    &unix_family, &inet_family, &inet6_family, &netlink_family, NULL, /* the end */
};

/* ---- descriptors and addresses ---- */

struct socket *socket_of_fd(struct file *f)
{
    struct socket *s = f ? file_socket(f) : err_ptr(-EBADF);
    return s ? s : err_ptr(-ENOTSOCK);
}

int sock_addr_from_user(struct sock_addr *a, uaddr_t addr, int len)
{
    a->len = 0;
    a->family = AF_UNSPEC_K;
    if (len < 0 || len > SOCK_ADDR_MAX)
        return -EINVAL;
    if (copy_from_user(a->data, addr, (size_t)len))
        return -EFAULT;
    a->len = (uint32_t)len;
    return 0;
}

int sock_addr_to_user(const struct sock_addr *a, uaddr_t addr, uaddr_t user_len)
{
    int32_t len;
    if (get_user(len, user_len))
        return -EFAULT;
    if (len < 0)
        return -EINVAL;
    if (copy_to_user(addr, a->data, k_min((uint32_t)len, a->len)) || put_user(a->len, user_len))
        return -EFAULT;
    return 0;
}

/* ---- making ---- */

static int socket_create(int family, int type, int protocol, struct socket **out)
{
    const struct socket_family *const *fam = families;
    if (type < 0 || type >= SOCK_MAX_K)
        return -EINVAL;
    while (*fam && (*fam)->family != family)
        fam++;
    if (!*fam)
        return -EAFNOSUPPORT;
    struct socket *s = socket_alloc(family, type, protocol);
    if (!s)
        return -ENOMEM;
    int err = (*fam)->create(s);
    if (err)
        socket_put(s);
    else
        *out = s;
    return err;
}

static int check_kind(int family, int type)
{
    if (type & ~(SOCK_TYPE_MASK_K | SOCK_FLAGS))
        return -EINVAL;
    return family < 0 || family >= AF_MAX_K ? -EAFNOSUPPORT : 0;
}

int64_t sys_socket(int family, int type, int protocol)
{
    struct socket *s;
    int err = check_kind(family, type);
    if (!err)
        err = socket_create(family, type & SOCK_TYPE_MASK_K, protocol, &s);
    if (err)
        return err;
    struct file *f = socket_file(s, type & SOCK_NONBLOCK_K);
    return is_err(f) ? ptr_err(f) : fd_install(f, 0, type & SOCK_CLOEXEC_K);
}

/* Two joined sockets as files. */
static int make_pair(int family, int type, int protocol, struct file *files[2])
{
    struct socket *a, *b;
    int err = socket_create(family, type & SOCK_TYPE_MASK_K, protocol, &a);
    if (err)
        return err;
    err = socket_create(family, type & SOCK_TYPE_MASK_K, protocol, &b);
    if (!err) {
        err = a->ops->pair ? a->ops->pair(a, b) : -EOPNOTSUPP;
        if (err)
            socket_free(b);
    }
    if (err) {
        socket_free(a);
        return err;
    }
    files[0] = socket_file(a, type & SOCK_NONBLOCK_K);
    if (is_err(files[0])) {
        socket_free(b);
        return (int)ptr_err(files[0]);
    }
    files[1] = socket_file(b, type & SOCK_NONBLOCK_K);
    if (is_err(files[1])) {
        file_put(files[0]);
        return (int)ptr_err(files[1]);
    }
    return 0;
}

int64_t sys_socketpair(int family, int type, int protocol, uaddr_t user_fds)
{
    struct file *files[2] = {NULL, NULL};
    int32_t fds[2];
    int err = check_kind(family, type);
    if (err)
        return err;
    fds[0] = fd_reserve(0, type & SOCK_CLOEXEC_K);
    if (fds[0] < 0)
        return fds[0];
    fds[1] = fd_reserve(0, type & SOCK_CLOEXEC_K);
    if (fds[1] < 0) {
        fd_unreserve(fds[0]);
        return fds[1];
    }
    err = copy_to_user(user_fds, fds, sizeof(fds));
    if (!err)
        err = make_pair(family, type, protocol, files);
    if (err) {
        fd_unreserve(fds[0]);
        fd_unreserve(fds[1]);
        return err;
    }
    fd_fill(fds[0], files[0]);
    fd_fill(fds[1], files[1]);
    return 0;
}

/* ---- joining ---- */

static int64_t address_call(int fd, uaddr_t addr, int len, bool connect)
{
    struct sock_addr a;
    FD_SOCKET(s, fd);
    if (is_err(s))
        return ptr_err(s);
    int r = sock_addr_from_user(&a, addr, len);
    if (!r && connect)
        r = s->ops->connect ? s->ops->connect(s, &a, file_nonblocking(s->file)) : -EOPNOTSUPP;
    else if (!r)
        r = s->ops->bind ? s->ops->bind(s, &a) : -EOPNOTSUPP;
    return r;
}

int64_t sys_bind(int fd, uaddr_t addr, int len)
{
    return address_call(fd, addr, len, false);
}

int64_t sys_connect(int fd, uaddr_t addr, int len)
{
    return address_call(fd, addr, len, true);
}

int64_t sys_listen(int fd, int backlog)
{
    FD_SOCKET(s, fd);
    if (is_err(s))
        return ptr_err(s);
    const int most = 4096; /* net.core.somaxconn */
    if ((unsigned)backlog > (unsigned)most)
        backlog = most;
    return s->ops->listen ? s->ops->listen(s, backlog) : -EOPNOTSUPP;
}

static int64_t accept_file(struct socket *s, bool nonblock, uaddr_t addr, uaddr_t user_len,
                           int flags)
{
    struct sock_addr peer = {.len = 0};
    struct socket *conn;
    struct file *f = NULL;
    int fd = fd_reserve(0, flags & SOCK_CLOEXEC_K); /* first: without one the connection waits on */
    if (fd < 0)
        return fd;
    int r = s->ops->accept ? s->ops->accept(s, &conn, addr ? &peer : NULL, nonblock) : -EOPNOTSUPP;
    if (!r) {
        f = socket_file(conn, flags & SOCK_NONBLOCK_K);
        r = is_err(f) ? (int)ptr_err(f) : addr ? sock_addr_to_user(&peer, addr, user_len) : 0;
    }
    if (!r) {
        fd_fill(fd, f);
        return fd;
    }
    fd_unreserve(fd);
    if (f && !is_err(f))
        file_put(f);
    return r;
}

int64_t sys_accept4(int fd, uaddr_t addr, uaddr_t user_len, int flags)
{
    if (flags & ~SOCK_FLAGS)
        return -EINVAL;
    FD_SOCKET(s, fd);
    if (is_err(s))
        return ptr_err(s);
    return accept_file(s, file_nonblocking(s->file), addr, user_len, flags);
}

int64_t sys_accept(int fd, uaddr_t addr, uaddr_t user_len)
{
    return sys_accept4(fd, addr, user_len, 0);
}

static int64_t name_call(int fd, uaddr_t addr, uaddr_t user_len, bool peer)
{
    struct sock_addr a = {.len = 0};
    FD_SOCKET(s, fd);
    if (is_err(s))
        return ptr_err(s);
    int r = s->ops->getname ? s->ops->getname(s, &a, peer) : -EOPNOTSUPP;
    return r ? r : sock_addr_to_user(&a, addr, user_len);
}

int64_t sys_getsockname(int fd, uaddr_t addr, uaddr_t user_len)
{
    return name_call(fd, addr, user_len, false);
}

int64_t sys_getpeername(int fd, uaddr_t addr, uaddr_t user_len)
{
    return name_call(fd, addr, user_len, true);
}

int64_t sys_shutdown(int fd, int how)
{
    FD_SOCKET(s, fd);
    if (is_err(s))
        return ptr_err(s);
    return how < SHUT_RD_K || how > SHUT_RDWR_K ? -EINVAL
           : s->ops->shutdown                   ? s->ops->shutdown(s, how)
                                                : -EOPNOTSUPP;
}

/* ---- options ---- */

/* A buffer for len bytes: `small` when that will do. NULL: no memory. */
static void *option_buffer(char small[OPTION_INLINE], uint32_t len)
{
    return len <= OPTION_INLINE ? small : kmalloc(len);
}

int64_t sys_setsockopt(int fd, int level, int name, uaddr_t user_val, int user_len)
{
    char small[OPTION_INLINE];
    if (user_len < 0)
        return -EINVAL;
    FD_SOCKET(s, fd);
    if (is_err(s))
        return ptr_err(s);
    /* No option has more to say than that; longer values are read as far as they count. */
    uint32_t len = k_min((uint32_t)user_len, (uint32_t)PAGE_SIZE);
    int r = -ENOMEM;
    void *val = option_buffer(small, len);
    if (val)
        r = copy_from_user(val, user_val, len);
    if (!r && level == SOL_SOCKET_K)
        r = socket_set_option(s, name, val, len);
    else if (!r)
        r = s->ops->setsockopt ? s->ops->setsockopt(s, level, name, val, len) : -EOPNOTSUPP;
    if (val != small)
        kfree(val);
    return r;
}

int64_t sys_getsockopt(int fd, int level, int name, uaddr_t user_val, uaddr_t user_len)
{
    char small[OPTION_INLINE];
    int32_t room;
    FD_SOCKET(s, fd);
    if (is_err(s))
        return ptr_err(s);
    void *val = small;
    int r = get_user(room, user_len) ? -EFAULT : room < 0 ? -EINVAL : 0;
    if (!r) {
        uint32_t len = k_min((uint32_t)room, OPTION_MAX);
        val = option_buffer(small, len);
        if (!val)
            r = -ENOMEM;
        else if (level == SOL_SOCKET_K)
            r = socket_get_option(s, name, val, &len);
        else
            r = s->ops->getsockopt ? s->ops->getsockopt(s, level, name, val, &len) : -EOPNOTSUPP;
        /* -ERANGE tells the length that would do. */
        if (r == 0 && copy_to_user(user_val, val, len))
            r = -EFAULT;
        if ((r == 0 || r == -ERANGE) && put_user(len, user_len))
            r = -EFAULT;
    }
    if (val != small)
        kfree(val);
    return r;
}
