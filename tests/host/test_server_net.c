/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sockets of the request server. The test plays the keep: it owns the other end of a window in
 * this process, and the peers beyond it are sockets of its own.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "net_policy.h"
#include "server.h"
#include "tap.h"

/* ---- the keep's side ---- */

static struct cella_host_window *window;
static uint8_t *data;
static uint32_t sq_tail, cq_head;
static bool completed[CELLA_HOST_SLOTS];
static struct server *server;
static struct net_policy policy;
static struct grant_table no_grants;
static int null_pipe[2];

#define SLOT_DATA 65536u
#define WAIT_SLOT 1
#define WAIT_OFF (16u << 20)
#define WAIT_SIZE (256u << 10)

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void submit(uint32_t slot, struct cella_host_request req)
{
    completed[slot] = false;
    window->slots[slot].req = req;
    window->sq.entry[sq_tail % CELLA_HOST_SLOTS] = slot;
    __atomic_store_n(&window->sq.tail, ++sq_tail, __ATOMIC_RELEASE);
    __atomic_fetch_add(&window->sq_doorbell, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&window->sq_waiting, __ATOMIC_SEQ_CST))
        syscall(SYS_futex, &window->sq_doorbell, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static bool wait_for(uint32_t slot, int64_t timeout_ms)
{
    int64_t until = now_ms() + timeout_ms;
    while (!completed[slot]) {
        if (__atomic_load_n(&window->cq.tail, __ATOMIC_ACQUIRE) != cq_head)
            completed[window->cq.entry[cq_head++ % CELLA_HOST_SLOTS]] = true;
        else if (now_ms() >= until)
            return false;
        else
            sched_yield();
    }
    return true;
}

static int64_t call(uint32_t op, int64_t a0, uint64_t a1, uint64_t a2, uint32_t len)
{
    submit(0,
           (struct cella_host_request){.op = op, .data_len = len, .a = {(uint64_t)a0, a1, a2, 0}});
    must(wait_for(0, 5000), "a reply");
    return window->slots[0].rep.result;
}

static struct cella_host_sockaddr *address(const char *text, uint16_t port)
{
    struct cella_host_sockaddr *a = (struct cella_host_sockaddr *)data;
    bool is6 = strchr(text, ':') != NULL;
    *a = (struct cella_host_sockaddr){.family = is6 ? AF_INET6 : AF_INET, .port = port};
    must(inet_pton(a->family, text, a->addr) == 1, text);
    return a;
}

static int64_t with_addr(uint32_t op, int64_t handle, const char *text, uint16_t port, uint64_t a1)
{
    address(text, port);
    return call(op, handle, a1, 0, sizeof(struct cella_host_sockaddr));
}

static int64_t stream_socket(void)
{
    return call(CELLA_HOST_SOCKET, AF_INET, SOCK_STREAM, 0, 0);
}

static int64_t send_text(int64_t handle, const char *text)
{
    memcpy(data, text, strlen(text));
    return call(CELLA_HOST_SEND, handle, 0, 0, (uint32_t)strlen(text));
}

/* The records of NET_WAIT, one at a time. NULL: none came in time. */
static const struct cella_host_net_record *next_record(int64_t timeout_ms)
{
    static bool is_out;
    static uint32_t at, len;
    int64_t until = now_ms() + timeout_ms;
    while (at == len) {
        if (!is_out)
            submit(WAIT_SLOT, (struct cella_host_request){.op = CELLA_HOST_NET_WAIT,
                                                          .data_off = WAIT_OFF,
                                                          .data_len = WAIT_SIZE});
        is_out = true;
        int64_t left = until - now_ms();
        if (!wait_for(WAIT_SLOT, left > 0 ? left : 0))
            return NULL;
        is_out = false;
        at = 0;
        len = window->slots[WAIT_SLOT].rep.data_len;
        must(window->slots[WAIT_SLOT].rep.result == len && len <= WAIT_SIZE && len % 8 == 0,
             "an answer of NET_WAIT");
    }
    const struct cella_host_net_record *r =
        (const struct cella_host_net_record *)(data + WAIT_OFF + at);
    must(r->rec_len >= sizeof(*r) + r->len && r->rec_len % 8 == 0 && r->rec_len <= len - at,
         "a record");
    at += r->rec_len;
    return r;
}

static const struct cella_host_net_record *record_of(int64_t handle, uint32_t kind)
{
    const struct cella_host_net_record *r = next_record(3000);
    if (r && r->handle == (uint64_t)handle && r->kind == kind)
        return r;
    printf("# got kind %u of %x, want %u of %x\n", r ? r->kind : 0, r ? r->handle : 0, kind,
           (unsigned)handle);
    return NULL;
}

static void start(enum net_mode mode, const char *publish1, const char *publish2, const char *allow)
{
    struct cella_error err;
    int fd = memfd_create("window", MFD_CLOEXEC);
    must(fd >= 0 && ftruncate(fd, CELLA_HOST_WINDOW_SIZE) == 0, "memfd_create");
    window = mmap(NULL, CELLA_HOST_WINDOW_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(window != MAP_FAILED && pipe(null_pipe) == 0, "mmap");
    close(fd);
    data = (uint8_t *)window + CELLA_HOST_DATA_OFFSET;
    sq_tail = cq_head = 0;
    policy = (struct net_policy){.mode = mode};
    must((!publish1 || net_policy_publish(&policy, publish1, &err) == 0) &&
             (!publish2 || net_policy_publish(&policy, publish2, &err) == 0) &&
             (!allow || net_policy_allow_host(&policy, allow, &err) == 0) &&
             net_policy_open(&policy, &err) == 0,
         "a policy");
    struct server_config config = {.window = window,
                                   .grants = &no_grants,
                                   .nr_cpus = 1,
                                   .stream = {null_pipe[0], null_pipe[1], null_pipe[1]},
                                   .log_fd = null_pipe[1],
                                   .net = &policy};
    server = server_create(&config, &err);
    must(server != NULL, "server_create");
    server_start(server);
}

/* Takes back what next_record has out, so that the next server begins afresh. */
static void stop(void)
{
    while (next_record(100))
        ;
    call(CELLA_HOST_CANCEL, WAIT_SLOT, 0, 0, 0);
    check(wait_for(WAIT_SLOT, 2000) && window->slots[WAIT_SLOT].rep.result == -EINTR,
          "a NET_WAIT is cancelled");
    /* That answer counts as an empty one. */
    window->slots[WAIT_SLOT].rep = (struct cella_host_reply){0};
    next_record(0);
    call(CELLA_HOST_CANCEL, WAIT_SLOT, 0, 0, 0);
    wait_for(WAIT_SLOT, 2000);
    server_stop(server);
    server_free(server);
    munmap(window, CELLA_HOST_WINDOW_SIZE);
    close(null_pipe[0]);
    close(null_pipe[1]);
    for (unsigned i = 0; i < policy.nr_ports; i++)
        close(policy.port[i].fd);
    free(policy.own);
}

/* ---- peers ---- */

static int peer_connect(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int peer_bound(int type, uint16_t *port)
{
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    must(bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 &&
             getsockname(fd, (struct sockaddr *)&at, &len) == 0,
         "bind");
    *port = ntohs(at.sin_port);
    if (type == SOCK_STREAM)
        listen(fd, 10);
    return fd;
}

static bool peer_reads(int fd, const char *text)
{
    char got[256];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, 3000) != 1)
        return false;
    ssize_t n = recv(fd, got, sizeof(got), 0);
    return n == (ssize_t)strlen(text) && memcmp(got, text, (size_t)n) == 0;
}

/* ---- tests ---- */

static void test_published(void)
{
    start(NET_NONE, "0:80", "0:53/udp", NULL);
    uint16_t port = policy.port[0].host_port;
    check(peer_connect(port) < 0 && errno == ECONNREFUSED,
          "before the keep listens its port is closed");
    int64_t l = stream_socket(), other = stream_socket();
    check_is(with_addr(CELLA_HOST_BIND, other, "0.0.0.0", 81, 5), -EADDRNOTAVAIL,
             "a port that is not published cannot be bound");
    check_is(with_addr(CELLA_HOST_CONNECT, other, "127.0.0.1", port, 0), -ENETUNREACH,
             "without --net nothing is connected to");
    check_is(send_text(other, "x"), -ENOTCONN, "nor sent to");
    check_is(call(CELLA_HOST_RECV, other, 10, 0, 0), 0, "credit for it does no harm");
    check_is(with_addr(CELLA_HOST_BIND, l, "0.0.0.0", 80, 5), 0, "the published port is bound");
    check_is(((struct cella_host_sockaddr *)data)->port, 80, "and has the keep's number");
    check_is(with_addr(CELLA_HOST_BIND, other, "0.0.0.0", 80, 5), -EADDRNOTAVAIL,
             "by one socket at a time");

    int c = peer_connect(port);
    check(c >= 0, "then it listens");
    check(!next_record(100), "no connection is told without credit");
    call(CELLA_HOST_RECV, l, 1, 0, 0);
    const struct cella_host_net_record *r = record_of(l, CELLA_HOST_NET_ACCEPTED);
    check(r && r->len == sizeof(struct cella_host_sockaddr) &&
              memcmp(r->addr.addr, "\x0a\0\2\2", 4) == 0 &&
              ((const struct cella_host_sockaddr *)r->data)->port == 80,
          "then it is, with a peer that is not the keep's own loopback");
    int64_t conn = r ? (int64_t)r->value : -1;
    int second = peer_connect(port);
    check(!next_record(100), "a second one beyond the credit is not");

    must(send(c, "hello", 5, 0) == 5, "send");
    check(!next_record(100), "no byte is told without credit");
    call(CELLA_HOST_RECV, conn, 3, 0, 0);
    r = record_of(conn, CELLA_HOST_NET_DATA);
    check(r && r->len == 3 && memcmp(r->data, "hel", 3) == 0, "bytes up to the credit");
    check(!next_record(100), "and no more");
    call(CELLA_HOST_RECV, conn, 100, 0, 0);
    r = record_of(conn, CELLA_HOST_NET_DATA);
    check(r && r->len == 2 && memcmp(r->data, "lo", 2) == 0, "then the rest");
    check_is(send_text(conn, "answer"), 6, "bytes are sent");
    check(peer_reads(c, "answer"), "and arrive");
    must(send(c, "end", 3, 0) == 3 && shutdown(c, SHUT_WR) == 0, "shutdown");
    r = record_of(conn, CELLA_HOST_NET_DATA);
    check(r && r->len == 3, "the last bytes");
    check(record_of(conn, CELLA_HOST_NET_EOF) != NULL, "come before the end");
    check(!next_record(50), "which is told once");
    check_is(call(CELLA_HOST_CLOSE, conn, 0, 0, 0), 0, "a connection is closed");
    check_is(call(CELLA_HOST_CLOSE, conn, 0, 0, 0), -EBADF, "once");
    check_is(send_text(conn, "x"), -EBADF, "its number is void");
    check(peer_reads(c, ""), "the peer sees the end");
    check_is(call(CELLA_HOST_CLOSE, l, 0, 0, 0), 0, "the listener is closed");
    int late = peer_connect(port);
    check(late < 0 && errno == ECONNREFUSED, "then its port is closed again");
    l = stream_socket();
    check_is(with_addr(CELLA_HOST_BIND, l, "0.0.0.0", 80, 5), 0, "it can be bound again");
    late = peer_connect(port);
    call(CELLA_HOST_RECV, l, 1, 0, 0);
    check(late >= 0 && record_of(l, CELLA_HOST_NET_ACCEPTED), "and works again");
    close(c);
    close(second);
    close(late);

    /* Datagrams: answers to those who asked, and to nobody else. */
    int64_t u = call(CELLA_HOST_SOCKET, AF_INET, SOCK_DGRAM, 0, 0);
    check_is(with_addr(CELLA_HOST_BIND, u, "0.0.0.0", 53, 0), 0, "a datagram port is bound");
    call(CELLA_HOST_RECV, u, 1000, 0, 0);
    uint16_t asker, bystander;
    int a = peer_bound(SOCK_DGRAM, &asker), b = peer_bound(SOCK_DGRAM, &bystander);
    struct sockaddr_in to = policy.port[1].addr.in;
    must(sendto(a, "ask", 3, 0, (struct sockaddr *)&to, sizeof(to)) == 3, "sendto");
    r = record_of(u, CELLA_HOST_NET_DATAGRAM);
    check(r && r->len == 3 && r->addr.port == asker && memcmp(r->addr.addr, "\x0a\0\2\2", 4) == 0,
          "a datagram arrives with its sender");
    address("10.0.2.2", asker);
    memcpy(data + sizeof(struct cella_host_sockaddr), "told", 4);
    check_is(call(CELLA_HOST_SEND, u, 1, 0, sizeof(struct cella_host_sockaddr) + 4), 4,
             "it is answered");
    check(peer_reads(a, "told"), "and the answer arrives");
    address("10.0.2.2", bystander);
    check_is(call(CELLA_HOST_SEND, u, 1, 0, sizeof(struct cella_host_sockaddr) + 4), -ENETUNREACH,
             "who has not asked is not sent to");
    close(a);
    close(b);
    stop();
}

static void test_out(void)
{
    uint16_t open_port, closed_port;
    int listener = peer_bound(SOCK_STREAM, &open_port);
    int bound = peer_bound(SOCK_STREAM, &closed_port);
    close(bound);
    char allow[16];
    snprintf(allow, sizeof(allow), "%u", open_port);
    start(NET_OUT, NULL, NULL, allow);
    static const char *const inside[] = {"127.0.0.1", "127.9.9.9", "0.0.0.0"};
    for (size_t i = 0; i < 3; i++)
        check_is(with_addr(CELLA_HOST_CONNECT, stream_socket(), inside[i], open_port, 0), -EACCES,
                 "--net out does not reach the host's own loopback");
    static const char *const inside6[] = {"::1", "::", "::ffff:127.0.0.1", "::127.0.0.1"};
    for (size_t i = 0; i < 4; i++)
        check_is(with_addr(CELLA_HOST_CONNECT, call(CELLA_HOST_SOCKET, AF_INET6, SOCK_STREAM, 0, 0),
                           inside6[i], open_port, 0),
                 -EACCES, "nor in any form of it");
    check_is(with_addr(CELLA_HOST_BIND, stream_socket(), "0.0.0.0", 0, 5), -EADDRNOTAVAIL,
             "nor does it listen");
    check_is(with_addr(CELLA_HOST_CONNECT, stream_socket(), "10.0.2.2", closed_port, 0),
             -ECONNREFUSED, "a port that was not granted is refused");
    int64_t s = stream_socket();
    check_is(call(CELLA_HOST_RECV, s, 1000, 0, 0), 0, "credit may come before the connection");
    check(!next_record(50), "and nothing is told then");
    check_is(with_addr(CELLA_HOST_CONNECT, s, "10.0.2.2", open_port, 0), 0,
             "a granted port of the host's loopback is connected to");
    const struct cella_host_net_record *r = record_of(s, CELLA_HOST_NET_CONNECTED);
    check(r && r->value == 0 && r->addr.port != 0, "and the keep is told");
    int c = accept(listener, NULL, NULL);
    must(c >= 0 && send(c, "hi", 2, 0) == 2, "send");
    check((r = record_of(s, CELLA_HOST_NET_DATA)) && r->len == 2, "bytes come");

    /* A peer that does not read: a short send, and later WRITABLE. */
    int64_t sent = 0, n = 0;
    memset(data, 'z', 60000);
    for (int i = 0; i < 2000 && (n = call(CELLA_HOST_SEND, s, 0, 0, 60000)) == 60000; i++)
        sent += n;
    check(n == -EAGAIN || (n >= 0 && n < 60000), "sending never waits");
    sent += n > 0 ? n : 0;
    check(!next_record(50), "a full connection is not writable");
    static char sink[1 << 16];
    int64_t got = 0;
    while (got < sent) {
        n = recv(c, sink, sizeof(sink), 0);
        must(n > 0, "recv");
        got += n;
    }
    check(record_of(s, CELLA_HOST_NET_WRITABLE) != NULL, "and is when the peer has read");
    check(!next_record(50), "told once");

    struct linger reset = {1, 0};
    setsockopt(c, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(c);
    r = record_of(s, CELLA_HOST_NET_ERROR);
    check(r && r->value == ECONNRESET, "a reset is told as an error");
    close(listener);
    int64_t late = stream_socket();
    check_is(with_addr(CELLA_HOST_CONNECT, late, "10.0.2.2", open_port, 0), 0, "a connection to");
    r = record_of(late, CELLA_HOST_NET_CONNECTED);
    check(r && r->value == ECONNREFUSED, "nobody is told as refused");
    stop();
}

/* One sender with very much, and many with little: all come through. */
static void test_fairness(void)
{
    enum { CONNS = 100 };
    start(NET_NONE, "0:80", NULL, NULL);
    int64_t l = stream_socket(), handle[CONNS + 1];
    with_addr(CELLA_HOST_BIND, l, "0.0.0.0", 80, 200);
    call(CELLA_HOST_RECV, l, CONNS + 1, 0, 0);
    int fd[CONNS + 1];
    for (int i = 0; i <= CONNS; i++) {
        fd[i] = peer_connect(policy.port[0].host_port);
        const struct cella_host_net_record *r = record_of(l, CELLA_HOST_NET_ACCEPTED);
        must(r != NULL, "a connection");
        handle[i] = (int64_t)r->value;
    }
    static char much[1 << 20];
    fcntl(fd[0], F_SETFL, O_NONBLOCK);
    must(send(fd[0], much, sizeof(much), MSG_DONTWAIT) > 100000, "send");
    for (int i = 1; i <= CONNS; i++)
        must(send(fd[i], "x", 1, 0) == 1, "send");
    for (int i = 0; i <= CONNS; i++)
        call(CELLA_HOST_RECV, handle[i], 1 << 20, 0, 0);
    int small = 0;
    int64_t big = 0, big_before_last = 0;
    for (const struct cella_host_net_record *r; small < CONNS && (r = next_record(3000));) {
        must(r->kind == CELLA_HOST_NET_DATA, "data");
        if (r->handle == handle[0])
            big += r->len;
        else
            small++;
        send(fd[0], much, sizeof(much), MSG_DONTWAIT);
        big_before_last = big;
    }
    check_is(small, CONNS, "many small messages beside a large one come through");
    check(big_before_last < (2 << 20), "without waiting for its end");
    for (int i = 0; i <= CONNS; i++)
        close(fd[i]);
    stop();
}

static void test_hostile(void)
{
    start(NET_HOST, NULL, NULL, NULL);
    check_is(call(CELLA_HOST_SOCKET, AF_UNIX, SOCK_STREAM, 0, 0), -EAFNOSUPPORT, "a family");
    check_is(call(CELLA_HOST_SOCKET, AF_INET, SOCK_RAW, 0, 0), -EAFNOSUPPORT, "a type");
    int64_t s = stream_socket();
    static const uint64_t wrong[] = {0, 1u << 30 | 60000, 1ull << 31, UINT64_MAX, 1ull << 62};
    static const uint32_t ops[] = {CELLA_HOST_BIND, CELLA_HOST_CONNECT, CELLA_HOST_SEND,
                                   CELLA_HOST_RECV, CELLA_HOST_SOCKCTL, CELLA_HOST_CLOSE};
    bool good = true;
    for (size_t i = 0; i < 5; i++)
        for (size_t k = 0; k < 6; k++)
            good = good && (i == 0 && k == 5 ? -EBADF
                                             : call(ops[k], (int64_t)wrong[i], 1, 0, 24)) == -EBADF;
    check(good, "numbers that are no socket's are EBADF");
    check_is(call(CELLA_HOST_STAT, s, 0, 0, 512), -EBADF, "a socket is no file");
    check_is(call(CELLA_HOST_BIND, s, 5, 0, 8), -EINVAL, "an address cut short");
    address("::1", 1);
    check_is(call(CELLA_HOST_CONNECT, s, 0, 0, 24), -EINVAL, "an address of the other family");
    check_is(call(CELLA_HOST_SEND, s, 1, 0, 24), -EINVAL, "an address on a stream");
    check_is(call(CELLA_HOST_RECV, s, UINT64_MAX, 0, 0), -EINVAL, "credit beyond all bounds");
    call(CELLA_HOST_RECV, s, 1ull << 40, 0, 0);
    check_is(call(CELLA_HOST_RECV, s, 1, 0, 0), -EINVAL, "or too much by and by");
    check_is(call(CELLA_HOST_SOCKCTL, s, 99, 0, 0), -EINVAL, "an unknown control");
    check_is(call(CELLA_HOST_SOCKCTL, s, CELLA_HOST_SHUTDOWN, 77, 0), -EINVAL, "a wrong value");
    check_is(call(CELLA_HOST_SOCKCTL, s, CELLA_HOST_GETSOCKNAME, 0, 3), -EINVAL,
             "no room for the answer");
    check_is(call(CELLA_HOST_NET_WAIT, 0, 0, 0, 100), -EINVAL, "a range without room for a record");
    int64_t l = stream_socket();
    check_is(with_addr(CELLA_HOST_BIND, l, "127.0.0.1", 0, 5), 0, "--net host listens anywhere");
    uint16_t port = ((struct cella_host_sockaddr *)data)->port;
    check_is(with_addr(CELLA_HOST_BIND, l, "127.0.0.1", 0, 5), -EINVAL, "once");
    int64_t c = stream_socket();
    check_is(with_addr(CELLA_HOST_CONNECT, c, "127.0.0.1", port, 0), 0, "and connects anywhere");
    check(record_of(c, CELLA_HOST_NET_CONNECTED) != NULL, "even to itself");
    check_is(with_addr(CELLA_HOST_CONNECT, l, "127.0.0.1", port, 0), -EINVAL,
             "a listener does not connect");

    /* As many sockets as the limit says, and no more; all can be given back. */
    int64_t made = 0, first = -1, last = 0;
    for (; made < 70000 && (last = stream_socket()) >= 0; made++)
        first = last;
    check(made > 100 && made < 65536 && last == -ENFILE, "the number of sockets is limited");
    check_is(call(CELLA_HOST_CLOSE, first, 0, 0, 0), 0, "one is closed");
    last = stream_socket();
    check(last >= 0 && last != first, "and another is there, with another number");
    stop();
}

static void test_none(void)
{
    start(NET_NONE, NULL, NULL, NULL);
    check_is(stream_socket(), -EACCES, "without network there is no socket");
    check_is(call(CELLA_HOST_NET_WAIT, 0, 0, 0, 65536), -EACCES, "and nothing to wait for");
    server_stop(server);
    server_free(server);
}

static void test_options(void)
{
    static const char *const good[] = {"8080:80",           "0:80",
                                       "127.0.0.1:1:2/udp", "0.0.0.0:65535:65535",
                                       "[::1]:8080:80",     "[::]:1:3/tcp"};
    static const char *const bad[] = {
        "",           "80",         ":80",       "80:",           "a:80",
        "80:0",       "65536:1",    "1:65536",   "1:2/sctp",      "1:2:3",
        "[::1]80:80", "[::1:80:80", "::1:80:80", "[1.2.3.4]:1:2", "1.2.3:1:2",
        "1:2 ",       "-1:2",       "+1:2",      "localhost:1:2", "4294967297:1"};
    struct net_policy p = {0};
    struct cella_error err;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        p.nr_ports = 0;
        check(net_policy_publish(&p, good[i], &err) == 0 && p.nr_ports == 1, good[i]);
    }
    check(p.port[0].addr.any.sa_family == AF_INET6 && p.port[0].host_port == 1 &&
              p.port[0].keep_port == 3 && !p.port[0].is_udp,
          "and is understood");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        p.nr_ports = 0;
        check(net_policy_publish(&p, bad[i], &err) < 0 && !strchr(err.message, '\n') &&
                  p.nr_ports == 0,
              bad[i]);
    }
    p.nr_ports = 0;
    check(net_policy_publish(&p, "1:80", &err) == 0 && net_policy_publish(&p, "2:80", &err) < 0 &&
              net_policy_publish(&p, "2:80/udp", &err) == 0,
          "a port of the keep is published once for each protocol");
    check(net_policy_mode(&p, "out", &err) == 0 && p.mode == NET_OUT &&
              net_policy_mode(&p, "Out", &err) < 0 && net_policy_mode(&p, "", &err) < 0,
          "--net knows three words");
    check(net_policy_allow_host(&p, "53/udp", &err) == 0 &&
              net_policy_allow_host(&p, "0", &err) < 0 &&
              net_policy_allow_host(&p, "1:2", &err) < 0,
          "--allow-host takes a port");
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    test_options();
    test_none();
    test_published();
    test_out();
    test_fairness();
    test_hostile();
    printf("%d passed, %d failed, 0 skipped\n", nr_tests - nr_failed, nr_failed);
    return nr_failed ? 1 : 0;
}
