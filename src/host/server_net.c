/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of a keep and the requests about them; see server_net.h. None of them waits. */
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "server_net.h"

#define RESERVED_FDS 256u /* of RLIMIT_NOFILE, for files */

/* ---- addresses ---- */

socklen_t net_addr_len(const union net_addr *addr)
{
    return addr->any.sa_family == AF_INET6 ? sizeof(addr->in6) : sizeof(addr->in);
}

void net_addr_show(struct cella_host_sockaddr *out, const union net_addr *addr, int family)
{
    *out = (struct cella_host_sockaddr){.family = (uint16_t)family, .port = net_addr_port(addr)};
    bool is6 = addr->any.sa_family == AF_INET6;
    if (is6 && family == AF_INET6) {
        memcpy(out->addr, &addr->in6.sin6_addr, 16);
        out->scope_id = addr->in6.sin6_scope_id;
    } else if (family == AF_INET6) {
        memset(out->addr + 10, 0xff, 2);
        memcpy(out->addr + 12, &addr->in.sin_addr, 4);
    } else if (!is6) {
        memcpy(out->addr, &addr->in.sin_addr, 4);
    } else if (IN6_IS_ADDR_V4MAPPED(&addr->in6.sin6_addr)) {
        memcpy(out->addr, &addr->in6.sin6_addr.s6_addr[12], 4);
    } else {
        /* A published IPv6 address, and a program that knows IPv4 only. */
        memcpy(out->addr, (const uint8_t[]){10, 0, 2, 2}, 4);
    }
}

/* An address as sent by the keep, copied before. */
static bool addr_take(union net_addr *out, const struct cella_host_sockaddr *in, int family)
{
    memset(out, 0, sizeof(*out));
    if (in->family != family)
        return false;
    out->any.sa_family = (sa_family_t)family;
    if (family == AF_INET6) {
        memcpy(&out->in6.sin6_addr, in->addr, 16);
        out->in6.sin6_port = htons(in->port);
        out->in6.sin6_scope_id = in->scope_id;
    } else {
        memcpy(&out->in.sin_addr, in->addr, 4);
        out->in.sin_port = htons(in->port);
    }
    return true;
}

/* The address at the start of the data range, copied once. */
static bool call_addr(const struct server_call *call, union net_addr *out, int family)
{
    struct cella_host_sockaddr in;
    if (call->req.data_len < sizeof(in))
        return false;
    memcpy(&in, call->data, sizeof(in));
    __asm__ volatile("" ::: "memory");
    return addr_take(out, &in, family);
}

/* Answers with an address. */
static void answer_addr(struct server_call *call, const union net_addr *addr, int family)
{
    struct cella_host_sockaddr out;
    net_addr_show(&out, addr, family);
    if (call->req.data_len < sizeof(out)) {
        call->result = -EINVAL;
        return;
    }
    memcpy(call->data, &out, sizeof(out));
    call->answer_len = sizeof(out);
    call->result = 0;
}

static union net_addr *peer_place(struct net_sock *sock, const union net_addr *addr)
{
    const uint8_t *bytes = (const uint8_t *)addr;
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < net_addr_len(addr); i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    return &sock->peers[hash & (NET_PEERS - 1)];
}

void net_peer_note(struct net_sock *sock, const union net_addr *addr)
{
    if (sock->peers)
        *peer_place(sock, addr) = *addr;
}

/* A datagram to *addr, or a connection: by the policy, or as an answer to somebody who has asked.
 * Rewrites the address. */
static int may_send(struct server *server, struct net_sock *sock, union net_addr *addr)
{
    struct net *net = server->net;
    /* A published socket may be of the other family than the keep's. */
    if (sock->port && sock->port->addr.any.sa_family == AF_INET && sock->family == AF_INET6) {
        union net_addr in4 = {.in = {.sin_family = AF_INET, .sin_port = addr->in6.sin6_port}};
        if (!IN6_IS_ADDR_V4MAPPED(&addr->in6.sin6_addr))
            return -ENETUNREACH;
        memcpy(&in4.in.sin_addr, &addr->in6.sin6_addr.s6_addr[12], 4);
        *addr = in4;
    }
    if (sock->peers) {
        union net_addr real = *addr;
        if (net_addr_is_gateway(&real))
            net_addr_set_loopback(&real);
        if (memcmp(peer_place(sock, &real), &real, net_addr_len(&real)) == 0) {
            *addr = real;
            return 0;
        }
    }
    return net_policy_check(net->policy, addr, !sock->is_stream);
}

/* ---- the table ---- */

uint32_t net_sock_number(const struct net_sock *sock)
{
    return NET_HANDLE_BIT | sock->generation << NET_INDEX_BITS | sock->index;
}

struct net_sock *net_sock_at(struct net *net, uint32_t index)
{
    pthread_mutex_lock(&net->lock);
    struct net_sock *sock = index < net->nr_chunks * NET_CHUNK
                                ? &net->chunk[index / NET_CHUNK][index % NET_CHUNK]
                                : NULL;
    pthread_mutex_unlock(&net->lock);
    return sock;
}

static bool grow(struct net *net)
{
    struct net_sock *chunk = net->nr_chunks < NET_CHUNKS ? calloc(NET_CHUNK, sizeof(*chunk)) : NULL;
    if (!chunk)
        return false;
    for (unsigned i = NET_CHUNK; i-- > 0;) {
        pthread_mutex_init(&chunk[i].lock, NULL);
        chunk[i].index = net->nr_chunks * NET_CHUNK + i;
        chunk[i].fd = -1;
        chunk[i].next = net->free_list;
        net->free_list = &chunk[i];
    }
    net->chunk[net->nr_chunks++] = chunk;
    return true;
}

int64_t net_sock_new(struct net *net, int fd, int family, bool is_stream, struct net_sock **out)
{
    cleanup_close int mine = fd;
    pthread_mutex_lock(&net->lock);
    if (net->nr_live >= net->max_live || (!net->free_list && !grow(net))) {
        pthread_mutex_unlock(&net->lock);
        return -ENFILE;
    }
    struct net_sock *sock = net->free_list;
    net->free_list = sock->next;
    net->nr_live++;
    sock->live = true;
    pthread_mutex_unlock(&net->lock);

    int on = 1;
    if (is_stream)
        setsockopt(mine, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    /* Nobody else has its number yet. */
    pthread_mutex_lock(&sock->lock);
    sock->fd = steal_fd(&mine);
    sock->family = family;
    sock->is_stream = is_stream;
    sock->open = true;
    sock->listening = sock->connecting = sock->watched = sock->published = sock->placeholder =
        false;
    sock->readable = sock->at_end = sock->want_write = false;
    sock->tell_connected = sock->tell_writable = sock->ending = false;
    sock->credit = 0;
    sock->port = NULL;
    uint32_t number = net_sock_number(sock);
    pthread_mutex_unlock(&sock->lock);
    if (out)
        *out = sock;
    return number;
}

/* The socket of that number, locked; NULL: there is none. */
static struct net_sock *sock_get(struct net *net, uint64_t number)
{
    if (!net || number >> 31 || !(number & NET_HANDLE_BIT))
        return NULL;
    struct net_sock *sock = net_sock_at(net, number & ((1u << NET_INDEX_BITS) - 1));
    if (!sock)
        return NULL;
    pthread_mutex_lock(&sock->lock);
    if (sock->fd >= 0 && net_sock_number(sock) == number)
        return sock;
    pthread_mutex_unlock(&sock->lock);
    return NULL;
}

void net_ready(struct net *net, struct net_sock *sock)
{
    pthread_mutex_lock(&net->lock);
    /* It may have been closed meanwhile, and stand in the free list by the same link. */
    if (!sock->is_ready && sock->live) {
        sock->is_ready = true;
        sock->next = NULL;
        *net->ready_end = sock;
        net->ready_end = &sock->next;
    }
    pthread_mutex_unlock(&net->lock);
}

/* Begins to watch, if that is not done; the socket's lock is held. Result: 0 or -errno. */
static int watch(struct net *net, struct net_sock *sock)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.u64 = net_sock_number(sock)};
    if (sock->watched)
        return 0;
    if (sock->placeholder)
        return -ENOTCONN;
    if (epoll_ctl(net->epoll_fd, EPOLL_CTL_ADD, sock->fd, &event) < 0)
        return -errno;
    sock->watched = true;
    return 0;
}

/* The socket's lock is held. A published port goes back to the launcher. */
static void sock_close(struct net *net, struct net_sock *sock)
{
    if (sock->published) {
        if (sock->watched)
            epoll_ctl(net->epoll_fd, EPOLL_CTL_DEL, sock->fd, NULL);
        /* Nobody listens any more: the host refuses connections again. */
        if (sock->listening)
            shutdown(sock->fd, SHUT_RD);
        sock->port->taken = false;
    } else {
        close(sock->fd);
    }
    free(sock->peers);
    sock->peers = NULL;
    sock->fd = -1;
}

enum served server_net_close(struct server_call *call)
{
    struct net *net = call->server->net;
    struct net_sock *sock = sock_get(net, call->req.a[0]);
    if (!sock) {
        call->result = -EBADF;
        return SERVED;
    }
    sock_close(net, sock);
    sock->generation = (sock->generation + 1) % NET_GENERATIONS;
    pthread_mutex_unlock(&sock->lock);

    pthread_mutex_lock(&net->lock);
    sock->live = false;
    net->nr_live--;
    /* In the ready list it is freed when its turn comes. */
    if (!sock->is_ready) {
        sock->next = net->free_list;
        net->free_list = sock;
    }
    struct net_sock *starved = net->starved;
    net->starved = NULL;
    pthread_mutex_unlock(&net->lock);
    if (starved)
        net_ready(net, starved);
    call->result = 0;
    return SERVED;
}

/* ---- requests ---- */

enum served server_net_socket(struct server_call *call)
{
    struct net *net = call->server->net;
    uint64_t family = call->req.a[0], type = call->req.a[1];
    if (!net) {
        call->result = -EACCES;
        return SERVED;
    }
    if ((family != CELLA_HOST_INET && family != CELLA_HOST_INET6) ||
        (type != CELLA_HOST_STREAM && type != CELLA_HOST_DGRAM)) {
        call->result = -EAFNOSUPPORT;
        return SERVED;
    }
    /* Where there are published ports alone, a socket is nothing before it is bound to one; an
     * eventfd keeps its place. */
    bool placeholder = net->policy->mode == NET_NONE;
    struct net_sock *sock = NULL;
    int fd = placeholder ? fcntl(net->stop_fd, F_DUPFD_CLOEXEC, 0)
                         : socket((int)family, (int)type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    call->result = fd < 0 ? (errno == EMFILE ? -ENFILE : -errno)
                          : net_sock_new(net, fd, (int)family, type == CELLA_HOST_STREAM, &sock);
    if (sock) {
        sock->placeholder = placeholder;
        sock->open = !sock->is_stream;
    }
    return SERVED;
}

/* The published port that the keep's port stands for, unless another socket has it. */
static struct net_port *find_port(struct net *net, uint16_t keep_port, bool is_udp)
{
    for (unsigned i = 0; i < net->policy->nr_ports; i++) {
        struct net_port *port = &net->policy->port[i];
        if (port->keep_port == keep_port && port->is_udp == is_udp && !port->taken)
            return port;
    }
    return NULL;
}

/* The socket becomes that of the published port. */
static int bind_published(struct net *net, struct net_sock *sock, struct net_port *port,
                          uint64_t backlog)
{
    int on = 1;
    if (sock->is_stream) {
        setsockopt(port->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (listen(port->fd, backlog > 65535 ? 65535 : (int)backlog) < 0)
            return -errno;
    } else {
        sock->peers = calloc(NET_PEERS, sizeof(*sock->peers));
        if (!sock->peers)
            return -ENOMEM;
    }
    if (sock->watched)
        epoll_ctl(net->epoll_fd, EPOLL_CTL_DEL, sock->fd, NULL);
    close(sock->fd);
    sock->fd = port->fd;
    sock->watched = false;
    sock->listening = sock->is_stream;
    sock->open = true;
    sock->placeholder = false;
    sock->published = true;
    sock->port = port;
    port->taken = true;
    return 0;
}

static int bind_at_host(struct net_sock *sock, const union net_addr *addr, uint64_t backlog,
                        uint64_t flags)
{
    static const struct {
        uint64_t flag;
        int level, name;
    } options[] = {{CELLA_HOST_BIND_REUSEADDR, SOL_SOCKET, SO_REUSEADDR},
                   {CELLA_HOST_BIND_REUSEPORT, SOL_SOCKET, SO_REUSEPORT},
                   {CELLA_HOST_BIND_V6ONLY, IPPROTO_IPV6, IPV6_V6ONLY}};
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        int on = (flags & options[i].flag) != 0;
        if (options[i].level == SOL_SOCKET || sock->family == AF_INET6)
            setsockopt(sock->fd, options[i].level, options[i].name, &on, sizeof(on));
    }
    if (bind(sock->fd, &addr->any, net_addr_len(addr)) < 0)
        return -errno;
    if (sock->is_stream && backlog) {
        if (listen(sock->fd, backlog > 65535 ? 65535 : (int)backlog) < 0)
            return -errno;
        sock->listening = sock->open = true;
    }
    return 0;
}

static enum served bind_locked(struct server_call *call, struct net *net, struct net_sock *sock)
{
    union net_addr addr;
    if (!call_addr(call, &addr, sock->family) || sock->published || sock->listening) {
        call->result = -EINVAL;
        return SERVED;
    }
    /* Workers alone take ports, and they lead one at a time. */
    /* Without backlog it is the port that a connection is to come from. */
    struct net_port *port = NULL;
    if (!sock->is_stream || call->req.a[1])
        port = find_port(net, net_addr_port(&addr), !sock->is_stream);
    /* A program that wants IPv6 alone leaves a port of IPv4 to another one. */
    if (port && port->addr.any.sa_family == AF_INET && sock->family == AF_INET6 &&
        (call->req.a[2] & CELLA_HOST_BIND_V6ONLY))
        port = NULL;
    if (port)
        call->result = bind_published(net, sock, port, call->req.a[1]);
    else if (net->policy->mode == NET_HOST)
        call->result = bind_at_host(sock, &addr, call->req.a[1], call->req.a[2]);
    else
        call->result = -EADDRNOTAVAIL;
    if (call->result < 0)
        return SERVED;
    if (!port) {
        socklen_t len = sizeof(addr);
        getsockname(sock->fd, &addr.any, &len);
    }
    answer_addr(call, &addr, sock->family);
    return SERVED;
}

static enum served connect_locked(struct server_call *call, struct net *net, struct net_sock *sock)
{
    union net_addr addr;
    if (!call_addr(call, &addr, sock->family) || sock->listening || sock->connecting) {
        call->result = -EINVAL;
        return SERVED;
    }
    call->result = may_send(call->server, sock, &addr);
    if (call->result < 0)
        return SERVED;
    /* The answer may come before connect returns: then the record is told all the same. */
    sock->connecting = sock->is_stream;
    int result = connect(sock->fd, &addr.any, net_addr_len(&addr)) < 0 ? -errno : 0;
    if (result == -EINPROGRESS || result == 0)
        result = watch(net, sock);
    if (result < 0) {
        sock->connecting = false;
        call->result = result;
        return SERVED;
    }
    call->result = 0;
    if (!sock->is_stream) {
        socklen_t len = sizeof(addr);
        getsockname(sock->fd, &addr.any, &len);
        answer_addr(call, &addr, sock->family);
    }
    return SERVED;
}

static enum served send_locked(struct server_call *call, struct net *net, struct net_sock *sock)
{
    union net_addr to;
    uint32_t head = 0;
    if (call->req.a[1] & 1) {
        head = sizeof(struct cella_host_sockaddr);
        if (sock->is_stream || !call_addr(call, &to, sock->family)) {
            call->result = -EINVAL;
            return SERVED;
        }
        call->result = may_send(call->server, sock, &to);
        if (call->result < 0)
            return SERVED;
    }
    if (sock->listening || sock->placeholder) {
        call->result = -ENOTCONN;
        return SERVED;
    }
    uint32_t len = call->req.data_len - head;
    ssize_t n = sendto(sock->fd, call->data + head, len, MSG_DONTWAIT | MSG_NOSIGNAL,
                       head ? &to.any : NULL, head ? net_addr_len(&to) : 0);
    if (n < 0 && errno == EINTR)
        n = sock->is_stream ? 0 : -1;
    call->result = n < 0 ? (errno == EINTR ? -EAGAIN : -errno) : n;
    if (call->result == -EAGAIN || (sock->is_stream && n >= 0 && (uint32_t)n < len)) {
        /* Told by NET_WRITABLE. */
        sock->want_write = true;
        int failed = watch(net, sock);
        if (failed < 0)
            call->result = failed;
    }
    return SERVED;
}

static enum served credit_locked(struct server_call *call, struct net *net, struct net_sock *sock)
{
    uint64_t more = call->req.a[1];
    if (more > (uint64_t)NET_CREDIT_MAX || sock->credit > NET_CREDIT_MAX - (int64_t)more) {
        call->result = -EINVAL;
        return SERVED;
    }
    sock->credit += (int64_t)more;
    /* A stream that is not yet connected has nothing to watch. */
    call->result = sock->open ? watch(net, sock) : 0;
    if (sock->open && sock->readable && sock->credit > 0)
        net_ready(net, sock);
    return SERVED;
}

static int set_option(struct net_sock *sock, int level, int name, uint64_t value)
{
    int v = value != 0;
    return setsockopt(sock->fd, level, name, &v, sizeof(v)) < 0 ? -errno : 0;
}

static enum served control_locked(struct server_call *call, struct net *net, struct net_sock *sock)
{
    (void)net;
    uint64_t value = call->req.a[2];
    union net_addr addr = {0};
    socklen_t len = sizeof(addr);
    char byte = (char)value;
    struct linger linger = {.l_onoff = value != UINT64_MAX,
                            .l_linger = value > INT32_MAX ? INT32_MAX : (int)value};
    bool peer = call->req.a[1] == CELLA_HOST_GETPEERNAME;
    call->result = 0;
    switch (call->req.a[1]) {
    case CELLA_HOST_SHUTDOWN:
        /* A published listener ends with its close alone. */
        if (value > SHUT_RDWR || sock->published)
            call->result = -EINVAL;
        else if (shutdown(sock->fd, (int)value) < 0)
            call->result = -errno;
        break;
    case CELLA_HOST_GETSOCKNAME:
    case CELLA_HOST_GETPEERNAME:
        if ((peer ? getpeername : getsockname)(sock->fd, &addr.any, &len) < 0)
            call->result = -errno;
        else
            answer_addr(call, &addr, sock->family);
        break;
    case CELLA_HOST_SET_KEEPALIVE:
        call->result = set_option(sock, SOL_SOCKET, SO_KEEPALIVE, value);
        break;
    case CELLA_HOST_SET_BROADCAST:
        call->result = set_option(sock, SOL_SOCKET, SO_BROADCAST, value);
        break;
    case CELLA_HOST_SET_LINGER:
        /* The server never waits in close: a time is as good as none, only 0 means something. */
        linger.l_onoff = value == 0;
        if (setsockopt(sock->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) < 0)
            call->result = -errno;
        break;
    case CELLA_HOST_SEND_OOB:
        if (send(sock->fd, &byte, 1, MSG_OOB | MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            call->result = -errno;
        break;
    default: call->result = -EINVAL;
    }
    return SERVED;
}

/* Finds and locks the socket for one of the above; afterwards delivers what became possible. */
enum served server_net_call(struct server_call *call)
{
    struct net *net = call->server->net;
    struct net_sock *sock = sock_get(net, call->req.a[0]);
    enum served served = SERVED;
    if (!sock) {
        call->result = -EBADF;
        return SERVED;
    }
    switch (call->req.op) {
    case CELLA_HOST_BIND: served = bind_locked(call, net, sock); break;
    case CELLA_HOST_CONNECT: served = connect_locked(call, net, sock); break;
    case CELLA_HOST_SEND: served = send_locked(call, net, sock); break;
    case CELLA_HOST_RECV: served = credit_locked(call, net, sock); break;
    default: served = control_locked(call, net, sock); break;
    }
    pthread_mutex_unlock(&sock->lock);
    if (call->req.op == CELLA_HOST_RECV)
        net_deliver(call->server, false);
    return served;
}

enum served server_net_wait(struct server_call *call)
{
    struct net *net = call->server->net;
    if (!net || call->req.data_len < NET_WAIT_MIN) {
        call->result = net ? -EINVAL : -EACCES;
        return SERVED;
    }
    pthread_mutex_lock(&net->lock);
    net->waits[net->nr_waits].slot = call->slot;
    net->waits[net->nr_waits].data = call->data;
    net->waits[net->nr_waits++].len = call->req.data_len;
    pthread_mutex_unlock(&net->lock);
    net_deliver(call->server, false);
    return SERVED_PENDING;
}

void server_net_cancel(struct server *server, uint32_t slot)
{
    struct net *net = server->net;
    bool found = false;
    if (!net)
        return;
    pthread_mutex_lock(&net->lock);
    for (unsigned i = 0; i < net->nr_waits; i++) {
        if (net->waits[i].slot == slot && !found) {
            found = true;
            net->nr_waits--;
        }
        if (found)
            net->waits[i] = net->waits[i + 1 < CELLA_HOST_SLOTS ? i + 1 : i];
    }
    pthread_mutex_unlock(&net->lock);
    if (found)
        server_complete(server, slot, -EINTR, 0);
}

/* ---- life ---- */

int server_net_create(struct server *server, struct net_policy *policy)
{
    if (!policy || !net_policy_is_open(policy))
        return 0;
    struct net *net = calloc(1, sizeof(*net));
    if (!net)
        return -1;
    server->net = net;
    net->policy = policy;
    net->ready_end = &net->ready;
    pthread_mutex_init(&net->lock, NULL);
    pthread_mutex_init(&net->deliver_lock, NULL);
    struct rlimit limit = {1024, 1024};
    getrlimit(RLIMIT_NOFILE, &limit);
    uint64_t max =
        limit.rlim_cur > 2 * RESERVED_FDS ? limit.rlim_cur - RESERVED_FDS : limit.rlim_cur / 2;
    net->max_live = max > (1u << NET_INDEX_BITS) - RESERVED_FDS
                        ? (1u << NET_INDEX_BITS) - RESERVED_FDS
                        : (unsigned)max;
    net->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    net->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event stop = {.events = EPOLLIN, .data.u64 = 0};
    if (net->epoll_fd < 0 || net->stop_fd < 0 ||
        epoll_ctl(net->epoll_fd, EPOLL_CTL_ADD, net->stop_fd, &stop) < 0)
        return -1;
    return 0;
}

void server_net_stop(struct server *server)
{
    uint64_t one = 1;
    if (server->net && write(server->net->stop_fd, &one, sizeof(one)) == sizeof(one))
        pthread_join(server->net->thread, NULL);
}

void server_net_free(struct server *server)
{
    struct net *net = server->net;
    if (!net)
        return;
    for (unsigned i = 0; i < net->nr_chunks; i++) {
        for (unsigned j = 0; j < NET_CHUNK; j++) {
            if (net->chunk[i][j].fd >= 0)
                sock_close(net, &net->chunk[i][j]);
            pthread_mutex_destroy(&net->chunk[i][j].lock);
        }
        free(net->chunk[i]);
    }
    close(net->epoll_fd);
    close(net->stop_fd);
    pthread_mutex_destroy(&net->lock);
    pthread_mutex_destroy(&net->deliver_lock);
    free(net);
}
