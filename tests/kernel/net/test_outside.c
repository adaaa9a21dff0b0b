/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of TCP and UDP whose outside is a host that lies: by hand, and by a seed. */
#include "../fs/calls.h"
#include "boot.h"
#include "dev/host_ring.h"
#include "hal.h"
#include "net/tcp.h"

int64_t sys_socket(int family, int type, int protocol);
int64_t sys_bind(int fd, uaddr_t addr, int len);
int64_t sys_connect(int fd, uaddr_t addr, int len);
int64_t sys_listen(int fd, int backlog);
int64_t sys_accept4(int fd, uaddr_t addr, uaddr_t user_len, int flags);
int64_t sys_getsockname(int fd, uaddr_t addr, uaddr_t user_len);
int64_t sys_getpeername(int fd, uaddr_t addr, uaddr_t user_len);
int64_t sys_shutdown(int fd, int how);
int64_t sys_setsockopt(int fd, int level, int name, uaddr_t user_val, int user_len);
int64_t sys_sendto(int fd, uaddr_t buf, uint64_t len, uint32_t flags, uaddr_t addr, int addr_len);
int64_t sys_recvfrom(int fd, uaddr_t buf, uint64_t len, uint32_t flags, uaddr_t addr,
                     uaddr_t addr_len);

extern uint64_t host_net_bad_records;

#define NONBLOCK 0x800
#define HANDLES 4096u

/* ---- the host ---- */

static uint32_t waits[8], nr_waits, next_handle = 1, nr_binds, nr_closed, last_handle;
static int64_t credit[HANDLES];
static bool is_dgram[HANDLES];
static int32_t bind_result;
static bool takes_nothing;

static struct cella_host_window *window(void)
{
    void *base;
    size_t size;
    hal_host_window(&base, &size);
    return base;
}

static char *data_of(uint32_t slot)
{
    return (char *)window() + CELLA_HOST_DATA_OFFSET + window()->slots[slot].req.data_off;
}

static int serves(uint32_t slot)
{
    struct cella_host_request q = window()->slots[slot].req;
    struct cella_host_reply rep = {0};
    switch (q.op) {
    case CELLA_HOST_NET_WAIT: waits[nr_waits++] = slot; return false;
    case CELLA_HOST_SOCKET:
        last_handle = next_handle++;
        credit[last_handle % HANDLES] = 0;
        is_dgram[last_handle % HANDLES] = q.a[1] == CELLA_HOST_DGRAM;
        rep.result = last_handle;
        break;
    case CELLA_HOST_BIND:
        nr_binds++;
        rep.result = bind_result;
        rep.data_len = sizeof(struct cella_host_sockaddr);
        break;
    case CELLA_HOST_CONNECT: rep.data_len = is_dgram[q.a[0] % HANDLES] ? 24 : 0; break;
    case CELLA_HOST_SEND:
        rep.result = q.data_len - (q.a[1] & 1 ? sizeof(struct cella_host_sockaddr) : 0);
        if (takes_nothing)
            rep.result = -EAGAIN;
        break;
    case CELLA_HOST_RECV: credit[q.a[0] % HANDLES] += (int64_t)q.a[1]; break;
    case CELLA_HOST_CLOSE: nr_closed++; break;
    default: break;
    }
    window()->slots[slot].rep = rep;
    return true;
}

/* What an idle CPU does. */
static void polls(void)
{
    do
        host_ring_flush();
    while (host_ring_poll());
}

static struct {
    struct cella_host_net_record r;
    uint8_t bytes[1 << 17];
} rec;

/* Answers a NET_WAIT with what stands in rec. */
static void answer(uint32_t len)
{
    struct cella_host_window *w = window();
    polls();
    if (!nr_waits)
        return;
    uint32_t slot = waits[--nr_waits];
    memcpy(data_of(slot), &rec, len);
    w->slots[slot].rep = (struct cella_host_reply){.result = len, .data_len = len};
    w->cq.entry[w->cq.tail % CELLA_HOST_SLOTS] = slot;
    __atomic_store_n(&w->cq.tail, w->cq.tail + 1, __ATOMIC_RELEASE);
    polls();
}

static void tells(uint32_t handle, uint32_t kind, uint64_t value, uint32_t len)
{
    uint32_t rec_len = (uint32_t)sizeof(rec.r) + ((len + 7) & ~7u);
    rec.r = (struct cella_host_net_record){
        .rec_len = rec_len,
        .handle = handle,
        .kind = kind,
        .len = len,
        .value = value,
        .addr = {.family = CELLA_HOST_INET, .port = 999, .addr = {192, 0, 2, 1}}};
    answer(rec_len);
}

static void tells_accepted(uint32_t listener, uint32_t conn, uint16_t peer_port)
{
    struct cella_host_sockaddr own = {
        .family = CELLA_HOST_INET, .port = 4711, .addr = {127, 0, 0, 1}};
    uint32_t rec_len = (uint32_t)sizeof(rec.r) + sizeof(own);
    rec.r = (struct cella_host_net_record){
        .rec_len = rec_len,
        .handle = listener,
        .kind = CELLA_HOST_NET_ACCEPTED,
        .len = sizeof(own),
        .value = conn,
        .addr = {.family = CELLA_HOST_INET, .port = peer_port, .addr = {192, 0, 2, 1}}};
    memcpy(rec.bytes, &own, sizeof(own));
    answer(rec_len);
}

/* ---- the program ---- */

struct sockaddr_in_k {
    uint16_t family, port; /* network byte order */
    uint8_t ip[4], zero[8];
};

static uaddr_t addr4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port)
{
    struct sockaddr_in_k sa = {
        .family = AF_INET_K, .port = (uint16_t)(port << 8 | port >> 8), .ip = {a, b, c, d}};
    return ktest_bytes(&sa, sizeof(sa));
}

static void attach(void)
{
    mock_host = serves;
    boot.h.flags |= CELLA_BOOT_NET;
    bind_result = 0;
    takes_nothing = false;
    nr_binds = nr_closed = 0;
}

static int listener(uint16_t port, bool shared)
{
    const int32_t on = 1;
    int fd = (int)sys_socket(AF_INET_K, SOCK_STREAM_K | NONBLOCK, 0);
    if (shared)
        sys_setsockopt(fd, 1, 15 /* SO_REUSEPORT */, ktest_bytes(&on, sizeof(on)), sizeof(on));
    if (sys_bind(fd, addr4(0, 0, 0, 0, port), 16) || sys_listen(fd, 4)) {
        sys_close(fd);
        return -1;
    }
    return fd;
}

static int64_t accepts(int fd)
{
    return sys_accept4(fd, 0, 0, NONBLOCK);
}

static int connects(uint32_t *handle)
{
    int fd = (int)sys_socket(AF_INET_K, SOCK_STREAM_K | NONBLOCK, 0);
    int64_t r = sys_connect(fd, addr4(192, 0, 2, 1, 80), 16);
    *handle = last_handle;
    return r == -EINPROGRESS ? fd : -1;
}

static int64_t receives(int fd)
{
    static uaddr_t u;
    u = ktest_map(4096);
    return sys_recvfrom(fd, u, 4096, 0, 0, 0);
}

/* ---- listeners ---- */

KTEST(outside_accepted_connections_are_checked)
{
    attach();
    int l = listener(8001, false);
    uint32_t h = last_handle;
    KCHECK(l >= 0);
    polls();
    KCHECK_EQ(credit[h], 16);
    uint64_t bad = host_net_bad_records;
    tells_accepted(h, 0x40000001, 1);
    KCHECK_EQ(host_net_bad_records, bad);
    /* The same again, the listener's own number, too large a one, and more than credit allows. */
    tells_accepted(h, 0x40000001, 2);
    tells_accepted(h, h, 2);
    tells(h, CELLA_HOST_NET_ACCEPTED, 5, 8);
    tells(h, CELLA_HOST_NET_ACCEPTED, 1ull << 40, 24);
    KCHECK_EQ(host_net_bad_records, bad + 4);
    int fd = (int)accepts(l);
    KCHECK(fd >= 0);
    KCHECK_EQ(accepts(l), -EAGAIN);
    struct sockaddr_in_k name;
    const uint32_t sixteen = 16;
    uaddr_t u = ktest_map(64), len = ktest_bytes(&sixteen, 4);
    KCHECK_EQ(sys_getsockname(fd, u, len), 0);
    KCHECK(copy_from_user(&name, u, sizeof(name)) == 0);
    /* One of the keep's own addresses, and the port that was asked for. */
    KCHECK(memcmp(name.ip, (uint8_t[]){10, 0, 2, 15}, 4) == 0 &&
           name.port == (8001 >> 8 | (8001 & 255) << 8));
    sys_close(fd);
    sys_close(l);
    polls();
    KCHECK_EQ(nr_closed, 2);
    /* For a listener that is gone: closed at once, or it would stay at the host for ever. */
    tells_accepted(h, 0x40000002, 3);
    KCHECK_EQ(host_net_bad_records, bad + 5);
    KCHECK_EQ(nr_closed, 3);
}

KTEST(outside_more_connections_than_credit)
{
    attach();
    int l = listener(8002, false);
    uint32_t h = last_handle;
    uint64_t bad = host_net_bad_records;
    for (uint32_t i = 0; i < 20; i++)
        tells_accepted(h, 0x50000000 + i, (uint16_t)i);
    KCHECK(host_net_bad_records > bad);
    int n = 0, fd[20];
    while (n < 20 && (fd[n] = (int)accepts(l)) >= 0)
        n++;
    KCHECK(n <= 16 && n >= 15);
    while (n)
        sys_close(fd[--n]);
    /* Those that nobody accepts are closed with the listener. */
    polls();
    nr_closed = 0;
    for (uint32_t i = 0; i < 5; i++)
        tells_accepted(h, 0x50000100 + i, (uint16_t)i);
    sys_close(l);
    polls();
    KCHECK_EQ(nr_closed, 6);
}

KTEST(outside_listeners_share_a_published_port)
{
    attach();
    int a = listener(8003, true);
    uint32_t h = last_handle;
    int b = listener(8003, true);
    KCHECK(a >= 0 && b >= 0);
    KCHECK_EQ(nr_binds, 1);
    KCHECK_EQ(last_handle, h);
    uint64_t bad = host_net_bad_records;
    for (uint32_t i = 0; i < 16; i++)
        tells_accepted(h, 0x51000000 + i, (uint16_t)(i * 77));
    KCHECK_EQ(host_net_bad_records, bad);
    int got_a = 0, got_b = 0, fd;
    while ((fd = (int)accepts(a)) >= 0)
        got_a++, sys_close(fd);
    while ((fd = (int)accepts(b)) >= 0)
        got_b++, sys_close(fd);
    KCHECK(got_a && got_b);
    KCHECK_EQ(got_a + got_b, 16);
    /* What one leaves behind is cut off and makes room; the other goes on. */
    polls();
    for (uint32_t i = 0; i < 12; i++)
        tells_accepted(h, 0x51000100 + i, (uint16_t)(i * 77));
    sys_close(a);
    polls();
    while ((fd = (int)accepts(b)) >= 0)
        sys_close(fd);
    polls();
    for (uint32_t i = 0; i < 12; i++)
        tells_accepted(h, 0x51000200 + i, (uint16_t)(i * 77));
    int n = 0;
    while ((fd = (int)accepts(b)) >= 0)
        n++, sys_close(fd);
    KCHECK_EQ(n, 12);
    KCHECK_EQ(host_net_bad_records, bad);
    sys_close(b);
    polls();
    tells_accepted(h, 0x51000300, 1);
    KCHECK_EQ(host_net_bad_records, bad + 1);
}

KTEST(outside_port_that_the_host_does_not_have)
{
    attach();
    bind_result = -EADDRNOTAVAIL;
    int l = listener(8004, false);
    KCHECK(l >= 0); /* the keep's own affair */
    sys_close(l);
    bind_result = -EADDRINUSE;
    KCHECK_EQ(listener(8005, false), -1);
    bind_result = 0;
    l = listener(8005, false);
    KCHECK(l >= 0);
    sys_close(l);
}

/* ---- connections ---- */

KTEST(outside_connection_whose_host_repeats_itself)
{
    uint32_t h;
    attach();
    int fd = connects(&h);
    KCHECK(fd >= 0);
    uint64_t bad = host_net_bad_records;
    tells(h, CELLA_HOST_NET_DATA, 0, 5); /* before it is connected: no such connection is whole */
    KCHECK(host_net_bad_records > bad);
    sys_close(fd);

    fd = connects(&h);
    tells(h, CELLA_HOST_NET_CONNECTED, 0, 0);
    bad = host_net_bad_records;
    tells(h, CELLA_HOST_NET_CONNECTED, 0, 0);
    tells(h, CELLA_HOST_NET_CONNECTED, ECONNREFUSED, 0);
    tells(h, CELLA_HOST_NET_ERROR, 0, 0);
    tells(h, CELLA_HOST_NET_ERROR, 1ull << 33, 0);
    tells(h, CELLA_HOST_NET_DATAGRAM, 0, 3);
    tells_accepted(h, 0x52000000, 1);
    tells(h, 77, 0, 0);
    KCHECK_EQ(host_net_bad_records, bad + 7);
    for (int i = 0; i < 1000; i++)
        tells(h, CELLA_HOST_NET_WRITABLE, (uint64_t)i, 0);
    tells(h, CELLA_HOST_NET_DATA, 0, 5);
    KCHECK_EQ(receives(fd), 5);
    tells(h, CELLA_HOST_NET_EOF, 0, 0);
    tells(h, CELLA_HOST_NET_EOF, 0, 0);
    KCHECK_EQ(receives(fd), 0);
    KCHECK_EQ(put(fd, "x", 1), 1);
    tells(h, CELLA_HOST_NET_DATA, 0, 5); /* behind the end */
    KCHECK_EQ(receives(fd), 0);
    KCHECK(put(fd, "x", 1) < 0);
    sys_close(fd);
}

KTEST(outside_connection_that_fails)
{
    uint32_t h;
    attach();
    int fd = connects(&h);
    tells(h, CELLA_HOST_NET_CONNECTED, ECONNREFUSED, 0);
    KCHECK_EQ(sys_connect(fd, addr4(192, 0, 2, 1, 80), 16), -ECONNREFUSED);
    sys_close(fd);
    fd = connects(&h);
    tells(h, CELLA_HOST_NET_CONNECTED, 0, 0);
    tells(h, CELLA_HOST_NET_ERROR, ECONNRESET, 0);
    tells(h, CELLA_HOST_NET_ERROR, EPIPE, 0);
    KCHECK_EQ(receives(fd), -ECONNRESET);
    KCHECK_EQ(receives(fd), 0);
    sys_close(fd);
    /* More than it has room for ends the connection: a gap must not pass for the stream. */
    fd = connects(&h);
    tells(h, CELLA_HOST_NET_CONNECTED, 0, 0);
    for (int i = 0; i < 8; i++)
        tells(h, CELLA_HOST_NET_DATA, 0, 100000);
    int64_t n, all = 0;
    while ((n = receives(fd)) > 0)
        all += n;
    KCHECK(all && all < 800000);
    sys_close(fd);
}

KTEST(outside_closed_connection_whose_peer_only_sends)
{
    uint32_t h;
    attach();
    int fd = connects(&h);
    tells(h, CELLA_HOST_NET_CONNECTED, 0, 0);
    takes_nothing = true;
    KCHECK_EQ(put(fd, "never taken", 11), 11);
    polls();
    sys_close(fd);
    polls();
    KCHECK_EQ(nr_closed, 0); /* the peer may still take them */
    tells(h, CELLA_HOST_NET_DATA, 0, 5);
    polls();
    KCHECK_EQ(nr_closed, 1);
}

/* ---- datagrams ---- */

KTEST(outside_datagrams_are_checked)
{
    attach();
    int fd = (int)sys_socket(AF_INET_K, SOCK_DGRAM_K | NONBLOCK, 0);
    uaddr_t to = addr4(192, 0, 2, 1, 53);
    KCHECK_EQ(sys_sendto(fd, US("query"), 5, 0, to, 16), 5);
    uint32_t h = last_handle;
    uint64_t bad = host_net_bad_records;
    tells(h, CELLA_HOST_NET_DATAGRAM, 0, 100);
    KCHECK_EQ(receives(fd), 100);
    tells(h, CELLA_HOST_NET_DATAGRAM, 0, 0);
    KCHECK_EQ(receives(fd), 0);
    KCHECK_EQ(host_net_bad_records, bad);
    tells(h, CELLA_HOST_NET_DATAGRAM, 0, 65536); /* none is so large */
    tells(h, CELLA_HOST_NET_DATA, 0, 5);
    tells(h, CELLA_HOST_NET_EOF, 0, 0);
    tells(h, CELLA_HOST_NET_CONNECTED, 0, 0);
    tells_accepted(h, 0x53000000, 1);
    KCHECK(host_net_bad_records >= bad + 4);
    for (int i = 0; i < 200; i++) /* much more than there is credit for */
        tells(h, CELLA_HOST_NET_DATAGRAM, 0, 60000);
    int64_t n = 0;
    while (receives(fd) > 0)
        n++;
    KCHECK(n <= 8);
    tells(h, CELLA_HOST_NET_ERROR, ECONNREFUSED, 0);
    tells(h, CELLA_HOST_NET_ERROR, 1 << 20, 0);
    (void)receives(fd);
    KCHECK_EQ(sys_sendto(fd, US("query"), 5, 0, to, 16), 5);
    sys_close(fd);
    polls();
    tells(h, CELLA_HOST_NET_DATAGRAM, 0, 5);
}

/* ---- by a seed ---- */

static uint64_t seed;

static uint32_t choose(uint32_t n)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(seed >> 33) % n;
}

/* A record of any kind for any socket, now and then one whose form is wrong as well. */
static void lies(void)
{
    static const uint32_t lens[] = {0, 1, 5, 24, 100, 4096, 70000};
    static const uint64_t values[] = {0, 1, 4, 104, 111, 4095, 4096, 1u << 31, UINT64_MAX};
    uint32_t len = lens[choose(ARRAY_LEN(lens))], handle = next_handle - 1 - choose(12);
    if (choose(3) == 0) {
        tells_accepted(handle, 0x60000000 + choose(64), (uint16_t)choose(65536));
        return;
    }
    uint32_t rec_len = (uint32_t)sizeof(rec.r) + ((len + 7) & ~7u);
    rec.r = (struct cella_host_net_record){
        .rec_len = choose(20) ? rec_len : choose(1u << 17),
        .handle = choose(5) ? handle : 0x60000000 + choose(64),
        .kind = choose(9),
        .len = choose(20) ? len : choose(1u << 17),
        .value = values[choose(ARRAY_LEN(values))],
        .addr = {.family = choose(10) ? CELLA_HOST_INET : (uint16_t)choose(20),
                 .port = (uint16_t)choose(65536)}};
    for (int i = 0; i < 16; i++)
        rec.r.addr.addr[i] = (uint8_t)choose(256);
    answer(rec_len);
}

static void uses(int *fd)
{
    static uaddr_t u, on;
    uint32_t ignored;
    if (!u) {
        const int32_t linger[2] = {1, 0};
        u = ktest_map(100000);
        on = ktest_bytes(linger, sizeof(linger));
    }
    int *f = &fd[choose(10)];
    switch (choose(10)) {
    case 0:
        if (*f >= 0)
            sys_close(*f);
        *f = -1;
        switch (choose(4)) {
        case 0: *f = listener((uint16_t)(9000 + choose(3)), true); break;
        case 1: *f = connects(&ignored); break;
        case 2: *f = (int)sys_socket(AF_INET_K, SOCK_DGRAM_K | NONBLOCK, 0); break;
        default: break;
        }
        break;
    case 1: {
        int conn = (int)accepts(*f), *place = &fd[choose(10)];
        if (conn >= 0) {
            if (*place >= 0)
                sys_close(*place);
            *place = conn;
        }
        break;
    }
    case 2: sys_shutdown(*f, (int)choose(3)); break;
    case 3: sys_setsockopt(*f, 1, 13 /* SO_LINGER */, on, 8); break;
    case 4: sys_connect(*f, addr4(192, 0, 2, 1, 80), 16); break;
    case 5: sys_sendto(*f, u, choose(70000), MSG_NOSIGNAL_K, addr4(192, 0, 2, 1, 53), 16); break;
    case 6: sys_sendto(*f, u, choose(70000), MSG_NOSIGNAL_K, 0, 0); break;
    default: sys_recvfrom(*f, u, choose(100000), choose(2) ? MSG_PEEK_K : 0, 0, 0);
    }
}

KTEST(outside_a_host_that_lies_about_all)
{
    int fd[10];
    attach();
    memset(fd, -1, sizeof(fd));
    uint64_t bad = host_net_bad_records;
    for (seed = 1; seed <= 20; seed++) {
        uint64_t first = seed;
        for (int i = 0; i < 400; i++) {
            if (choose(2))
                lies();
            else
                uses(fd);
        }
        seed = first;
    }
    KCHECK(host_net_bad_records > bad + 500);
    for (int i = 0; i < 10; i++)
        if (fd[i] >= 0)
            sys_close(fd[i]);
    polls();
    KCHECK_EQ(nr_waits, 2);
    /* And an honest one is served as ever. */
    int l = listener(9100, false);
    tells_accepted(last_handle, 0x70000000, 1);
    int conn = (int)accepts(l);
    KCHECK(conn >= 0);
    tells(0x70000000, CELLA_HOST_NET_DATA, 0, 10);
    KCHECK_EQ(receives(conn), 10);
    sys_close(conn);
    sys_close(l);
}
