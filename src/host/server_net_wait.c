/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What arrives for the sockets of a keep: the network thread, and the answers of NET_WAIT.
 *
 * An answer is filled in one pass over the sockets that are ready: each may put in one turn's
 * worth, and stands at the end of the list if it has more. Bytes are read from the socket right
 * into the shared range, within the credit that the keep gave, and nothing of the range is read
 * back. What a keep does not ask for stays in the host's socket buffers.
 */
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "server_net.h"

#define TURN_MAX (64u << 10) /* bytes of one socket in one pass */
#define ROOM_MIN (4u << 10)  /* a range with less left is full */
#define DATAGRAM_ROOM ((64u << 10) + sizeof(struct cella_host_net_record))
#define NR_EVENTS 256

struct range {
    uint8_t *data;
    uint32_t slot, len, at;
};

enum turn { TURN_DONE, TURN_MORE, TURN_FULL };

static uint32_t range_room(const struct range *range)
{
    uint32_t left = range->len - range->at;
    return left > sizeof(struct cella_host_net_record)
               ? left - (uint32_t)sizeof(struct cella_host_net_record)
               : 0;
}

/* Finishes a record whose `len` bytes are in place. */
static void put(struct range *range, const struct net_sock *sock, uint32_t kind, uint64_t value,
                const struct cella_host_sockaddr *addr, uint32_t len)
{
    struct cella_host_net_record record = {.rec_len = ((uint32_t)sizeof(record) + len + 7) & ~7u,
                                           .handle = net_sock_number(sock),
                                           .kind = kind,
                                           .len = len,
                                           .value = value};
    if (addr)
        record.addr = *addr;
    memcpy(range->data + range->at, &record, sizeof(record));
    range->at += record.rec_len;
}

static uint8_t *payload(const struct range *range)
{
    return range->data + range->at + sizeof(struct cella_host_net_record);
}

/* ---- one socket; its lock is held ---- */

/* A client of a published port who sits at the host's loopback must not look like the keep's own.
 */
static void show_peer(struct cella_host_sockaddr *out, union net_addr *addr, int family)
{
    if (net_addr_is_loopback(addr))
        net_addr_set_gateway(addr);
    net_addr_show(out, addr, family);
}

static enum turn accept_one(struct net *net, struct range *range, struct net_sock *sock)
{
    union net_addr peer = {0}, own = {0};
    socklen_t len = sizeof(peer);
    pthread_mutex_lock(&net->lock);
    bool full = net->nr_live >= net->max_live;
    pthread_mutex_unlock(&net->lock);
    int fd = full ? -1 : accept4(sock->fd, &peer.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        int error = full ? ENFILE : errno;
        if (error == EINTR || error == ECONNABORTED)
            return TURN_MORE;
        sock->readable = error != EAGAIN;
        if (!sock->readable)
            return TURN_DONE;
        /* No descriptor: again when a socket was closed. */
        pthread_mutex_lock(&net->lock);
        net->starved = sock;
        pthread_mutex_unlock(&net->lock);
        return TURN_DONE;
    }
    struct net_sock *conn;
    len = sizeof(own);
    getsockname(fd, &own.any, &len);
    int64_t number = net_sock_new(net, fd, sock->family, true, &conn);
    if (number < 0)
        return TURN_DONE;
    struct cella_host_sockaddr shown;
    net_addr_show(&shown, &own, sock->family);
    if (sock->port)
        shown.port = sock->port->keep_port;
    memcpy(payload(range), &shown, sizeof(shown));
    show_peer(&shown, &peer, sock->family);
    put(range, sock, CELLA_HOST_NET_ACCEPTED, (uint64_t)number, &shown,
        sizeof(struct cella_host_sockaddr));
    sock->credit--;
    return TURN_MORE;
}

static enum turn read_datagram(struct range *range, struct net_sock *sock)
{
    union net_addr from = {0};
    socklen_t from_len = sizeof(from);
    uint32_t room = range_room(range);
    ssize_t n = recvfrom(sock->fd, payload(range), room, MSG_DONTWAIT, &from.any, &from_len);
    if (n < 0) {
        sock->readable = errno != EAGAIN;
        if (errno != EAGAIN && errno != EINTR)
            put(range, sock, CELLA_HOST_NET_ERROR, (uint64_t)errno, NULL, 0);
        return sock->readable ? TURN_MORE : TURN_DONE;
    }
    struct cella_host_sockaddr shown;
    net_peer_note(sock, &from);
    show_peer(&shown, &from, sock->family);
    put(range, sock, CELLA_HOST_NET_DATAGRAM, 0, &shown, (uint32_t)n);
    sock->credit -= n;
    return TURN_MORE;
}

static enum turn read_stream(struct range *range, struct net_sock *sock)
{
    uint32_t max = range_room(range);
    if (max > TURN_MAX)
        max = TURN_MAX;
    if (max > sock->credit)
        max = (uint32_t)sock->credit;
    ssize_t n = recv(sock->fd, payload(range), max, MSG_DONTWAIT);
    if (n > 0) {
        put(range, sock, CELLA_HOST_NET_DATA, 0, NULL, (uint32_t)n);
        sock->credit -= n;
        /* Less than asked: the buffer is empty, and an event tells of more. The end is an event,
         * too (EPOLLRDHUP), which may have come already. */
        if ((uint32_t)n < max && !sock->ending)
            sock->readable = false;
        return sock->readable ? TURN_MORE : TURN_DONE;
    }
    if (n < 0 && errno == EINTR)
        return TURN_MORE;
    sock->readable = false;
    if (n == 0) {
        sock->at_end = true;
        put(range, sock, CELLA_HOST_NET_EOF, 0, NULL, 0);
    } else if (errno != EAGAIN) {
        sock->at_end = true;
        put(range, sock, CELLA_HOST_NET_ERROR, (uint64_t)errno, NULL, 0);
    }
    return TURN_DONE;
}

static void tell_connected(struct range *range, struct net_sock *sock)
{
    int error = 0;
    socklen_t len = sizeof(error);
    union net_addr own = {0};
    getsockopt(sock->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    len = sizeof(own);
    getsockname(sock->fd, &own.any, &len);
    struct cella_host_sockaddr shown;
    net_addr_show(&shown, &own, sock->family);
    put(range, sock, CELLA_HOST_NET_CONNECTED, (uint64_t)error, &shown, 0);
    sock->connecting = sock->tell_connected = false;
    sock->open = error == 0;
}

static enum turn serve_socket(struct net *net, struct range *range, struct net_sock *sock)
{
    if (sock->fd < 0)
        return TURN_DONE;
    if (range_room(range) < ROOM_MIN)
        return TURN_FULL;
    if (sock->tell_connected)
        tell_connected(range, sock);
    if (sock->tell_writable)
        put(range, sock, CELLA_HOST_NET_WRITABLE, 0, NULL, 0);
    sock->tell_writable = false;
    if (!sock->open || !sock->readable || sock->credit <= 0 || sock->at_end)
        return TURN_DONE;
    uint32_t begin = range->at;
    enum turn turn = TURN_MORE;
    while (turn == TURN_MORE && sock->credit > 0 && range->at - begin < TURN_MAX) {
        if (range_room(range) < ROOM_MIN ||
            (!sock->is_stream && range->at && range->len - range->at < DATAGRAM_ROOM))
            return TURN_FULL;
        turn = sock->listening   ? accept_one(net, range, sock)
               : sock->is_stream ? read_stream(range, sock)
                                 : read_datagram(range, sock);
    }
    return turn == TURN_MORE && sock->credit <= 0 ? TURN_DONE : turn;
}

/* ---- the ready list ---- */

/* Takes the ready list and a waiting range; false: there are not both. */
static bool take_work(struct net *net, struct range *range, struct net_sock **list)
{
    pthread_mutex_lock(&net->lock);
    bool both = net->nr_waits && net->ready;
    if (both) {
        *range = (struct range){
            .data = net->waits[0].data, .slot = net->waits[0].slot, .len = net->waits[0].len};
        net->nr_waits--;
        memmove(&net->waits[0], &net->waits[1], net->nr_waits * sizeof(net->waits[0]));
        *list = net->ready;
        net->ready = NULL;
        net->ready_end = &net->ready;
    }
    pthread_mutex_unlock(&net->lock);
    return both;
}

static void give_back(struct net *net, const struct range *range)
{
    pthread_mutex_lock(&net->lock);
    memmove(&net->waits[1], &net->waits[0], net->nr_waits * sizeof(net->waits[0]));
    net->waits[0].slot = range->slot;
    net->waits[0].data = range->data;
    net->waits[0].len = range->len;
    net->nr_waits++;
    pthread_mutex_unlock(&net->lock);
}

/* Takes the list's first socket off it; a closed one is free then. */
static struct net_sock *take_first(struct net *net, struct net_sock **list)
{
    struct net_sock *sock = *list;
    pthread_mutex_lock(&net->lock);
    *list = sock->next;
    sock->is_ready = false;
    if (!sock->live) {
        sock->next = net->free_list;
        net->free_list = sock;
        sock = NULL;
    }
    pthread_mutex_unlock(&net->lock);
    return sock;
}

static void fill(struct server *server, struct range *range, struct net_sock *list)
{
    struct net *net = server->net;
    while (list) {
        struct net_sock *sock = take_first(net, &list);
        if (!sock)
            continue;
        pthread_mutex_lock(&sock->lock);
        enum turn turn = serve_socket(net, range, sock);
        pthread_mutex_unlock(&sock->lock);
        if (turn != TURN_DONE)
            net_ready(net, sock);
    }
}

/* ---- waking the keep ---- */

/* A CPU of the keep that is awake looks at the ring when it runs out of work, which is soon as a
 * rule: to wake another one meanwhile costs more than it gives. Where it was not soon (it
 * computes), the next answers are told at once. */
#define OWED_MS 1
#define PROMPT_MIN 64u
#define PROMPT_MAX 4096u

static bool some_cpu_is_awake(const struct server *server)
{
    for (unsigned cpu = 0; cpu < server->nr_cpus; cpu++)
        if (!__atomic_load_n(&server->window->cpu_sleeping[cpu], __ATOMIC_RELAXED))
            return true;
    return false;
}

static void tell_lazily(struct server *server)
{
    struct net *net = server->net;
    /* After the completion: a CPU that goes to sleep looks at the ring after it says so. */
    atomic_thread_fence(memory_order_seq_cst);
    if (net->nr_prompt || !some_cpu_is_awake(server)) {
        net->nr_prompt -= net->nr_prompt > 0;
        net->owed_since = 0;
        server_wake_keep(server);
    } else if (!net->owed_since) {
        net->owed_since = server_now_ns();
    }
}

/* Were the answers taken that nobody was woken for? */
static void look_after_owed(struct server *server)
{
    struct net *net = server->net;
    struct cella_host_ring *ring = &server->window->cq;
    if (!net->owed_since)
        return;
    if (__atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) ==
        __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE)) {
        net->owed_since = 0;
        net->next_prompt = PROMPT_MIN;
    } else if (server_now_ns() - net->owed_since >= OWED_MS * 1000000u) {
        net->owed_since = 0;
        net->nr_prompt = net->next_prompt;
        net->next_prompt = net->next_prompt * 2 < PROMPT_MAX ? net->next_prompt * 2 : PROMPT_MAX;
        server_wake_keep(server);
    }
}

void net_deliver(struct server *server, bool lazy)
{
    struct net *net = server->net;
    struct range range;
    struct net_sock *list;
    bool again = true;
    while (again) {
        /* Who holds the lock looks at the lists again after giving it up, so nothing stays behind.
         */
        if (pthread_mutex_trylock(&net->deliver_lock) != 0)
            return;
        while (take_work(net, &range, &list)) {
            fill(server, &range, list);
            if (!range.at) {
                give_back(net, &range);
            } else if (lazy) {
                server_publish(server, range.slot, range.at, range.at);
                tell_lazily(server);
            } else {
                server_complete(server, range.slot, range.at, range.at);
            }
        }
        pthread_mutex_unlock(&net->deliver_lock);
        pthread_mutex_lock(&net->lock);
        again = net->nr_waits && net->ready;
        pthread_mutex_unlock(&net->lock);
    }
}

/* ---- the network thread ---- */

static void take_event(struct net *net, const struct epoll_event *event)
{
    struct net_sock *sock = net_sock_at(net, event->data.u64 & ((1u << NET_INDEX_BITS) - 1));
    if (!sock)
        return;
    uint32_t bits = event->events;
    pthread_mutex_lock(&sock->lock);
    bool ready = false;
    if (sock->fd >= 0 && net_sock_number(sock) == event->data.u64) {
        if (sock->connecting && (bits & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
            sock->tell_connected = ready = true;
        if (sock->want_write && (bits & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
            sock->want_write = false;
            sock->tell_writable = ready = true;
        }
        if (bits & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            sock->readable = true;
        /* An end or an error is read behind the bytes: a short read is not the last one then. */
        if (bits & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            sock->ending = true;
        ready |= sock->readable && sock->credit > 0 && !sock->at_end;
    }
    pthread_mutex_unlock(&sock->lock);
    if (ready)
        net_ready(net, sock);
}

void *net_thread(void *arg)
{
    struct server *server = arg;
    struct net *net = server->net;
    struct epoll_event events[NR_EVENTS];

    net->next_prompt = PROMPT_MIN;
    pthread_mutex_lock(&server->start_lock);
    pthread_mutex_unlock(&server->start_lock);
    for (;;) {
        int count = epoll_wait(net->epoll_fd, events, NR_EVENTS, net->owed_since ? OWED_MS : -1);
        look_after_owed(server);
        for (int i = 0; i < count; i++) {
            if (events[i].data.u64 == 0)
                return NULL; /* stop_fd */
            take_event(net, &events[i]);
        }
        net_deliver(server, true);
    }
}
