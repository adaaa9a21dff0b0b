/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints at a host that serves, and at one that lies. */
#include "net/host_net.h"

#include "base/errno.h"
#include "base/string.h"
#include "boot.h"
#include "dev/host_ring.h"
#include "hal.h"
#include "fake_ring.h"
#include "ktest.h"
#include "net/socket.h"

extern uint64_t host_net_bad_records;

/* ---- the host ---- */

static uint32_t waits[8], nr_waits; /* NET_WAIT requests that are out, over all tests */
static uint32_t waits_at_start;     /* when the first socket was asked for */
static uint32_t next_handle = 100, closed[8], nr_closed, nr_sends, held_send, nr_shutdowns;
static uint64_t credit;
static char sent[1 << 20];
static uint32_t sent_len, takes = UINT32_MAX;
static bool holds_sends;
static int64_t forced; /* result of everything but NET_WAIT, when not 0 */

static int64_t take_send(uint32_t slot)
{
    struct cella_host_request r = window()->slots[slot].req;
    uint32_t head = r.a[1] & 1 ? sizeof(struct cella_host_sockaddr) : 0;
    uint32_t n = k_min(r.data_len - head, takes);
    memcpy(sent + sent_len, data_of(slot) + head, n);
    sent_len += n;
    return n;
}

static int serves(uint32_t slot)
{
    struct cella_host_request r = window()->slots[slot].req;
    struct cella_host_reply rep = {0};
    switch (r.op) {
    case CELLA_HOST_NET_WAIT: waits[nr_waits++] = slot; return false;
    case CELLA_HOST_SOCKET:
        if (next_handle == 100)
            waits_at_start = nr_waits;
        rep.result = next_handle++;
        break;
    case CELLA_HOST_BIND: rep.data_len = sizeof(struct cella_host_sockaddr); break;
    case CELLA_HOST_SEND:
        nr_sends++;
        if (holds_sends) {
            held_send = slot;
            return false;
        }
        rep.result = take_send(slot);
        break;
    case CELLA_HOST_RECV: credit += r.a[1]; break;
    case CELLA_HOST_SOCKCTL: nr_shutdowns += r.a[1] == CELLA_HOST_SHUTDOWN; break;
    case CELLA_HOST_CLOSE: closed[nr_closed++ % 8] = (uint32_t)r.a[0]; break;
    default: break;
    }
    if (forced)
        rep.result = forced;
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

/* Answers the oldest NET_WAIT, and lets the kernel take it. */
static void answers(const void *bytes, uint32_t len, int64_t result, uint32_t claimed)
{
    uint32_t slot = waits[0];
    memmove(waits, waits + 1, --nr_waits * sizeof(waits[0]));
    memcpy(data_of(slot), bytes, len);
    window()->slots[slot].rep = (struct cella_host_reply){.result = result, .data_len = claimed};
    publish(slot);
    polls();
}

static struct {
    struct cella_host_net_record r;
    uint8_t bytes[64];
} rec;

/* Answers with one record. */
static void tells(uint32_t handle, uint32_t kind, uint64_t value, uint32_t len)
{
    uint32_t rec_len = (uint32_t)sizeof(rec.r) + ((len + 7) & ~7u);
    rec.r = (struct cella_host_net_record){.rec_len = rec_len,
                                           .handle = handle,
                                           .kind = kind,
                                           .len = len,
                                           .value = value,
                                           .addr = {.family = CELLA_HOST_INET, .port = 9}};
    answers(&rec, rec_len, rec_len, rec_len);
}

/* ---- the owner ---- */

static uint32_t got_len, nr_eof, nr_error, nr_writable, nr_accepted, nr_connected, nr_datagrams;
static int last_error;
static char got[1024];
static struct host_sock *got_conn;

static void on_data(void *owner, const void *bytes, uint32_t len)
{
    memcpy(got + got_len, bytes, len);
    got_len += len;
}
static void on_datagram(void *owner, const struct cella_host_sockaddr *from, const void *bytes,
                        uint32_t len)
{
    nr_datagrams++;
}
static void on_eof(void *owner)
{
    nr_eof++;
}
static void on_error(void *owner, int error)
{
    nr_error++;
    last_error = error;
}
static void on_writable(void *owner)
{
    nr_writable++;
}
static void on_connected(void *owner, int error, const struct cella_host_sockaddr *own)
{
    nr_connected++;
    last_error = error;
}
static void on_accepted(void *owner, struct host_sock *conn, const struct cella_host_sockaddr *peer,
                        const struct cella_host_sockaddr *own)
{
    nr_accepted++;
    got_conn = conn;
}

static const struct host_sock_ops ops = {.connected = on_connected,
                                         .accepted = on_accepted,
                                         .data = on_data,
                                         .datagram = on_datagram,
                                         .eof = on_eof,
                                         .error = on_error,
                                         .writable = on_writable};

static struct host_sock *make(int type, uint32_t *handle)
{
    mock_host = serves;
    boot.h.flags |= CELLA_BOOT_NET;
    takes = UINT32_MAX;
    holds_sends = false;
    forced = 0;
    credit = sent_len = nr_sends = nr_closed = nr_shutdowns = 0;
    got_len = nr_eof = nr_error = nr_writable = nr_accepted = nr_connected = nr_datagrams = 0;
    *handle = next_handle;
    return host_sock_create(CELLA_HOST_INET, type, &ops, NULL);
}

static int64_t send_bytes(struct host_sock *hs, const void *bytes, uint64_t len)
{
    struct uio u;
    uio_init_kernel(&u, bytes, len);
    int64_t n = host_sock_send(hs, &u, len, NULL);
    polls();
    return n;
}


static char pattern[600 << 10];

static void fill_pattern(void)
{
    for (uint32_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (char)(i * 7 + i / 251);
}

/* ---- receiving ---- */

KTEST(host_net_without_network_has_no_sockets)
{
    uint32_t h;
    make(SOCK_STREAM_K, &h);
    boot.h.flags &= ~CELLA_BOOT_NET;
    KCHECK_EQ(ptr_err(host_sock_create(CELLA_HOST_INET, SOCK_STREAM_K, &ops, NULL)), -EACCES);
}

KTEST(host_net_two_waits_are_always_out)
{
    uint32_t h;
    struct host_sock *hs = make(SOCK_STREAM_K, &h);
    KCHECK_EQ(waits_at_start, 2);
    uint32_t before = nr_waits; /* a test may have lost one */
    host_sock_credit(hs, 100);
    tells(h, CELLA_HOST_NET_DATA, 0, 5);
    KCHECK_EQ(nr_waits, before);
    KCHECK_EQ(got_len, 5);
    host_sock_release(hs);
    polls();
}

KTEST(host_net_data_beyond_the_credit_ends_the_stream)
{
    uint32_t h;
    struct host_sock *hs = make(SOCK_STREAM_K, &h);
    uint64_t bad = host_net_bad_records;
    host_sock_credit(hs, 10);
    polls();
    KCHECK_EQ(credit, 10);
    memcpy(rec.bytes, "0123456789", 10);
    tells(h, CELLA_HOST_NET_DATA, 0, 7);
    KCHECK(got_len == 7 && memcmp(got, "0123456", 7) == 0);
    tells(h, CELLA_HOST_NET_DATA, 0, 4);
    KCHECK_EQ(got_len, 7);
    KCHECK(nr_error == 1 && last_error == EIO);
    KCHECK_EQ(host_net_bad_records, bad + 1);
    tells(h, CELLA_HOST_NET_DATA, 0, 1); /* and stays ended */
    KCHECK(got_len == 7 && nr_error == 1);
    KCHECK_EQ(send_bytes(hs, "x", 1), -EIO);
    host_sock_release(hs);
    polls();
    KCHECK(nr_closed == 1 && closed[0] == h);
}

KTEST(host_net_data_without_credit_or_without_connection_is_refused)
{
    uint32_t h, l;
    struct host_sock *hs = make(SOCK_STREAM_K, &h);
    tells(h, CELLA_HOST_NET_DATA, 0, 1);
    KCHECK(got_len == 0 && nr_error == 1);
    host_sock_release(hs);
    hs = make(SOCK_STREAM_K, &l);
    struct cella_host_sockaddr a = {.family = CELLA_HOST_INET};
    forced = 0;
    memset(data_of(0), 0, 24);
    int r = host_sock_bind(hs, &a, 5, 0);
    KCHECK_EQ(r, 0);
    host_sock_credit(hs, 5);
    tells(l, CELLA_HOST_NET_DATA, 0, 1);
    KCHECK(got_len == 0 && nr_error == 1);
    host_sock_release(hs);
    polls();
}

KTEST(host_net_records_with_wrong_lengths_are_dropped)
{
    static const struct {
        uint32_t rec_len, len, answer;
    } cases[] = {{0, 0, 64},
                 {8, 0, 64},
                 {sizeof(rec.r) - 8, 0, 64},
                 {sizeof(rec.r) + 4, 4, 64},
                 {sizeof(rec.r), 1, 64},
                 {64, 17, 64},
                 {72, 8, 64},
                 {UINT32_MAX & ~7u, 8, 64},
                 {64, UINT32_MAX, 64},
                 {64, 8, 40},
                 {64, 8, 63},
                 {64, 8, 8}};
    uint32_t h;
    struct host_sock *hs = make(SOCK_STREAM_K, &h);
    host_sock_credit(hs, 1000);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t bad = host_net_bad_records;
        rec.r = (struct cella_host_net_record){.rec_len = cases[i].rec_len,
                                               .handle = h,
                                               .kind = CELLA_HOST_NET_DATA,
                                               .len = cases[i].len};
        answers(&rec, 64, cases[i].answer, cases[i].answer);
        KCHECK_EQ(got_len, 0);
        KCHECK_EQ(host_net_bad_records, bad + 1);
        KCHECK_EQ(nr_waits, 2);
    }
    answers(&rec, 64, 1 << 20, 1 << 20); /* more than was asked for: the request is not repeated */
    KCHECK(got_len == 0 && nr_waits == 1);
    tells(h, CELLA_HOST_NET_DATA, 0, 3);
    KCHECK(got_len == 3 && nr_waits == 1);
    host_sock_release(hs);
    polls();
}

KTEST(host_net_records_of_unknown_handles_and_kinds_are_dropped)
{
    static const uint32_t kinds[] = {0, 8, UINT32_MAX};
    uint32_t h;
    struct host_sock *hs = make(SOCK_STREAM_K, &h);
    uint64_t bad = host_net_bad_records;
    host_sock_credit(hs, 100);
    tells(h + 1, CELLA_HOST_NET_DATA, 0, 3);
    tells(UINT32_MAX, CELLA_HOST_NET_EOF, 0, 0);
    for (size_t i = 0; i < 3; i++)
        tells(h, kinds[i], 0, 3);
    tells(h, CELLA_HOST_NET_DATAGRAM, 0, 3);  /* of a stream */
    tells(h, CELLA_HOST_NET_CONNECTED, 0, 0); /* nobody connects */
    tells(h, CELLA_HOST_NET_ACCEPTED, 500, 24);
    tells(h, CELLA_HOST_NET_ERROR, 0, 0);
    tells(h, CELLA_HOST_NET_ERROR, 1ull << 32, 0);
    KCHECK_EQ(host_net_bad_records, bad + 10);
    KCHECK(got_len + nr_eof + nr_error + nr_connected + nr_accepted + nr_datagrams == 0);
    host_sock_release(hs);
    polls();
}

KTEST(host_net_end_is_told_once_and_nothing_comes_after_it)
{
    uint32_t h;
    struct host_sock *hs = make(SOCK_STREAM_K, &h);
    uint64_t bad = host_net_bad_records;
    host_sock_credit(hs, 100);
    tells(h, CELLA_HOST_NET_EOF, 0, 0);
    tells(h, CELLA_HOST_NET_EOF, 0, 0);
    KCHECK(nr_eof == 1 && host_net_bad_records == bad + 1);
    tells(h, CELLA_HOST_NET_DATA, 0, 3);
    KCHECK(got_len == 0 && nr_error == 1);
    host_sock_release(hs);
    polls();
}

KTEST(host_net_connection_is_told_once)
{
    uint32_t h;
    struct host_sock *hs = make(SOCK_STREAM_K, &h);
    struct cella_host_sockaddr a = {.family = CELLA_HOST_INET, .port = 80};
    KCHECK_EQ(host_sock_connect(hs, &a), 0);
    tells(h, CELLA_HOST_NET_CONNECTED, 1000, 0);
    KCHECK_EQ(nr_connected, 0);
    host_sock_release(hs);
    hs = make(SOCK_STREAM_K, &h);
    KCHECK_EQ(host_sock_connect(hs, &a), 0);
    tells(h, CELLA_HOST_NET_CONNECTED, 0, 0);
    tells(h, CELLA_HOST_NET_CONNECTED, ECONNREFUSED, 0);
    KCHECK(nr_connected == 1 && last_error == 0);
    host_sock_release(hs);
    polls();
}

KTEST(host_net_accepted_handle_must_be_new_and_within_the_credit)
{
    uint32_t h;
    struct host_sock *hs = make(SOCK_STREAM_K, &h);
    struct cella_host_sockaddr a = {.family = CELLA_HOST_INET, .port = 80},
                               own = {.family = CELLA_HOST_INET, .port = 80};
    KCHECK_EQ(host_sock_bind(hs, &a, 5, 0), 0);
    memcpy(rec.bytes, &own, sizeof(own));
    tells(h, CELLA_HOST_NET_ACCEPTED, 7000, sizeof(own));
    KCHECK_EQ(nr_accepted, 0); /* no credit */
    host_sock_credit(hs, 3);
    tells(h, CELLA_HOST_NET_ACCEPTED, h, sizeof(own));
    tells(h, CELLA_HOST_NET_ACCEPTED, 1ull << 33, sizeof(own));
    tells(h, CELLA_HOST_NET_ACCEPTED, 7000, 8);
    KCHECK_EQ(nr_accepted, 0);
    tells(h, CELLA_HOST_NET_ACCEPTED, 7000, sizeof(own));
    KCHECK_EQ(nr_accepted, 1);
    struct host_sock *conn = got_conn;
    tells(h, CELLA_HOST_NET_ACCEPTED, 7000, sizeof(own));
    KCHECK_EQ(nr_accepted, 1);
    tells(7000, CELLA_HOST_NET_DATA, 0, 4); /* before it has an owner */
    KCHECK_EQ(got_len, 0);
    host_sock_set_owner(conn, &ops, NULL);
    host_sock_credit(conn, 10);
    tells(7000, CELLA_HOST_NET_DATA, 0, 4);
    KCHECK_EQ(got_len, 4);
    host_sock_release(conn);
    host_sock_release(hs);
    polls();
    KCHECK_EQ(nr_closed, 2);
}

KTEST(host_net_credit_is_gathered)
{
    uint32_t h;
    struct host_sock *hs = make(SOCK_STREAM_K, &h);
    host_sock_credit(hs, 48);
    polls();
    KCHECK_EQ(credit, 48);
    tells(h, CELLA_HOST_NET_DATA, 0, 40);
    host_sock_credit(hs, 11);
    polls();
    KCHECK_EQ(credit, 48);
    host_sock_credit(hs, 1);
    polls();
    KCHECK_EQ(credit, 60);
    host_sock_release(hs);
    polls();
}

KTEST(host_net_nothing_is_told_after_release)
{
    uint32_t h;
    struct host_sock *hs = make(SOCK_STREAM_K, &h);
    host_sock_credit(hs, 100);
    holds_sends = true;
    KCHECK_EQ(send_bytes(hs, "abc", 3), 3);
    host_sock_release(hs);
    tells(h, CELLA_HOST_NET_DATA, 0, 4);
    tells(h, CELLA_HOST_NET_EOF, 0, 0);
    tells(h, CELLA_HOST_NET_ERROR, ECONNRESET, 0);
    KCHECK(got_len + nr_eof + nr_error + nr_closed == 0);
    holds_sends = false;
    window()->slots[held_send].rep = (struct cella_host_reply){.result = take_send(held_send)};
    publish(held_send);
    polls();
    KCHECK(nr_closed == 1 && sent_len == 3);
}

/* ---- sending ---- */

KTEST(host_net_bytes_arrive_in_order_however_little_the_host_takes)
{
    uint32_t h;
    struct host_sock *hs = make(SOCK_STREAM_K, &h);
    fill_pattern();
    takes = 3333;
    uint64_t done = 0;
    for (int i = 0; i < 2000 && sent_len < sizeof(pattern); i++) {
        if (done < sizeof(pattern)) {
            int64_t n = send_bytes(hs, pattern + done, sizeof(pattern) - done);
            KCHECK(n >= 0);
            done += (uint64_t)n;
        }
        KCHECK(host_sock_unsent(hs) <= 256 << 10);
        tells(h, CELLA_HOST_NET_WRITABLE, 0, 0);
    }
    KCHECK_EQ(sent_len, sizeof(pattern));
    KCHECK(memcmp(sent, pattern, sizeof(pattern)) == 0);
    KCHECK(nr_writable > 0);
    KCHECK_EQ(host_sock_unsent(hs), 0);
    host_sock_release(hs);
    polls();
}

KTEST(host_net_one_send_is_out_and_the_rest_is_gathered)
{
    uint32_t h;
    struct host_sock *hs = make(SOCK_STREAM_K, &h);
    holds_sends = true;
    for (int i = 0; i < 100; i++)
        KCHECK_EQ(send_bytes(hs, "0123456789", 10), 10);
    KCHECK_EQ(nr_sends, 1);
    KCHECK_EQ(host_sock_unsent(hs), 1000);
    holds_sends = false;
    window()->slots[held_send].rep = (struct cella_host_reply){.result = take_send(held_send)};
    publish(held_send);
    polls();
    KCHECK_EQ(nr_sends, 2);
    KCHECK_EQ(sent_len, 1000);
    host_sock_release(hs);
    polls();
}

KTEST(host_net_the_host_is_asked_to_tell_only_of_what_is_waited_for)
{
    uint32_t h;
    struct host_sock *hs = make(SOCK_STREAM_K, &h);
    holds_sends = true;
    KCHECK_EQ(send_bytes(hs, "ab", 2), 2);
    KCHECK_EQ(window()->cq_wanted, 0);
    KCHECK_EQ(send_bytes(hs, "cd", 2), 2);
    KCHECK_EQ(send_bytes(hs, "ef", 2), 2);
    KCHECK_EQ(window()->cq_wanted, 1);
    holds_sends = false;
    window()->slots[held_send].rep = (struct cella_host_reply){.result = take_send(held_send)};
    publish(held_send);
    polls();
    KCHECK_EQ(window()->cq_wanted, 0);
    KCHECK_EQ(sent_len, 6);
    host_sock_release(hs);
    polls();
    KCHECK_EQ(window()->cq_wanted, 0);
}

KTEST(host_net_corked_bytes_go_together_at_the_end_or_when_they_are_many)
{
    uint32_t h;
    struct host_sock *hs = make(SOCK_STREAM_K, &h);
    host_sock_cork(hs, true, false);
    KCHECK_EQ(send_bytes(hs, "head", 4), 4);
    KCHECK_EQ(send_bytes(hs, "body", 4), 4);
    KCHECK_EQ(nr_sends, 0);
    KCHECK_EQ(host_sock_unsent(hs), 8);
    host_sock_cork(hs, false, true);
    polls();
    KCHECK(nr_sends == 1 && sent_len == 8);
    host_sock_cork(hs, true, false);
    fill_pattern();
    KCHECK_EQ(send_bytes(hs, pattern, 65000), 65000);
    KCHECK_EQ(nr_sends, 1);
    KCHECK_EQ(send_bytes(hs, pattern, 1000), 1000);
    polls();
    KCHECK(nr_sends == 2 && sent_len == 66008);
    /* The end takes the rest along. */
    KCHECK_EQ(send_bytes(hs, "end", 3), 3);
    KCHECK_EQ(nr_sends, 2);
    host_sock_release(hs);
    polls();
    KCHECK(nr_sends == 3 && sent_len == 66011 && nr_closed == 1);
}

KTEST(host_net_shutdown_and_close_come_after_the_bytes)
{
    uint32_t h;
    struct host_sock *hs = make(SOCK_STREAM_K, &h);
    takes = 2;
    KCHECK_EQ(send_bytes(hs, "abcdef", 6), 6);
    KCHECK_EQ(host_sock_ctl(hs, CELLA_HOST_SHUTDOWN, SHUT_WR_K), 0);
    KCHECK_EQ(send_bytes(hs, "x", 1), -EPIPE);
    host_sock_release(hs);
    polls();
    KCHECK(nr_shutdowns == 0 && nr_closed == 0);
    tells(h, CELLA_HOST_NET_WRITABLE, 0, 0);
    KCHECK(nr_shutdowns == 0 && nr_closed == 0 && sent_len == 4);
    tells(h, CELLA_HOST_NET_WRITABLE, 0, 0);
    polls();
    KCHECK(nr_shutdowns == 1 && nr_closed == 1 && sent_len == 6);
}

KTEST(host_net_send_errors_end_the_stream_and_lies_about_lengths_too)
{
    static const struct {
        int64_t says;
        int error;
    } cases[] = {
        {-EPIPE, EPIPE}, {-ECONNRESET, ECONNRESET}, {4, EIO}, {INT64_MAX, EIO}, {-4096, EIO}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint32_t h;
        struct host_sock *hs = make(SOCK_STREAM_K, &h);
        forced = cases[i].says;
        KCHECK_EQ(send_bytes(hs, "abc", 3), 3);
        forced = 0;
        KCHECK(nr_error == 1 && last_error == cases[i].error);
        KCHECK_EQ(send_bytes(hs, "abc", 3), -cases[i].error);
        KCHECK_EQ(host_sock_unsent(hs), 0);
        host_sock_release(hs);
        polls();
        KCHECK_EQ(nr_closed, 1);
    }
}

KTEST(host_net_datagrams_go_whole_or_not_at_all)
{
    uint32_t h;
    struct host_sock *hs = make(SOCK_DGRAM_K, &h);
    KCHECK_EQ(send_bytes(hs, pattern, 65508), -EMSGSIZE);
    holds_sends = true;
    int n = 0;
    while (send_bytes(hs, pattern, 60000) == 60000)
        n++;
    KCHECK_EQ(n, 4); /* 256 KiB */
    KCHECK_EQ(send_bytes(hs, pattern, 60000), -EAGAIN);
    holds_sends = false;
    window()->slots[held_send].rep = (struct cella_host_reply){.result = take_send(held_send)};
    publish(held_send);
    polls();
    KCHECK(nr_sends == 4 && sent_len == 240000 && nr_writable == 1);
    KCHECK_EQ(send_bytes(hs, pattern, 0), 0);
    KCHECK_EQ(nr_sends, 5);
    host_sock_release(hs);
    polls();
}

KTEST(host_net_more_endpoints_than_slots_all_send)
{
    enum { N = 300 };
    static struct host_sock *hs[N];
    uint32_t h;
    for (int i = 0; i < N; i++) {
        hs[i] = make(SOCK_STREAM_K, &h);
        KCHECK(!is_err(hs[i]));
    }
    nr_sends = 0;
    static uint32_t held[N];
    uint32_t nr_held = 0;
    holds_sends = true;
    for (int i = 0; i < N; i++) {
        uint32_t before = nr_sends;
        KCHECK_EQ(send_bytes(hs[i], "0123456789", 10), 10);
        if (nr_sends > before)
            held[nr_held++] = held_send;
    }
    KCHECK(nr_held > 200 && nr_held < N);
    holds_sends = false;
    while (nr_held) {
        uint32_t slot = held[--nr_held];
        window()->slots[slot].rep = (struct cella_host_reply){.result = take_send(slot)};
        publish(slot);
    }
    polls();
    KCHECK_EQ(sent_len, N * 10);
    for (int i = 0; i < N; i++)
        host_sock_release(hs[i]);
    polls();
    KCHECK_EQ(nr_closed, N);
}
