/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to a host that answers, and to one that lies. */
#include "dev/host_ring.h"

#include "base/errno.h"
#include "base/string.h"
#include "fake_ring.h"
#include "ktest.h"
#include "proc/signal_internal.h"
#include "proc/task.h"

int64_t sys_rt_sigaction(int sig, uaddr_t new_addr, uaddr_t old_addr, uint64_t set_size);

extern uint64_t host_bad_replies;

/* What the host of the next tests answers. */
static struct cella_host_reply answer;
static struct cella_host_request last;
static uint32_t last_slot, nr_served;

static int answers(uint32_t slot)
{
    last = window()->slots[slot].req;
    last_slot = slot;
    nr_served++;
    window()->slots[slot].rep = answer;
    return true;
}

static int64_t call_for(void *buf, uint32_t max, uint32_t *got)
{
    struct host_call c = {.op = CELLA_HOST_READ, .a = {1, 2, 3, 4}, .recv = buf, .recv_max = max};
    int64_t r = host_call(&c, WAIT_UNINTERRUPTIBLE);
    if (got)
        *got = c.recv_len;
    return r;
}

static int writes_abc(uint32_t slot)
{
    memcpy(data_of(slot), "abcdef", 6);
    return answers(slot);
}

KTEST(host_call_brings_arguments_and_data_both_ways)
{
    char buf[8] = "xxxxxxx";
    uint32_t got;
    mock_host = writes_abc;
    answer = (struct cella_host_reply){.result = 3, .data_len = 3};
    KCHECK_EQ(call_for(buf, 6, &got), 3);
    KCHECK_EQ(got, 3);
    KCHECK(memcmp(buf, "abcxxxx", 7) == 0);
    KCHECK_EQ(last.op, CELLA_HOST_READ);
    KCHECK(last.a[0] == 1 && last.a[3] == 4 && last.data_len == 6 && last.pad == 0);
    KCHECK(last.data_off + last.data_len <= CELLA_HOST_DATA_SIZE);
}

static char served[64];

static int takes_data(uint32_t slot)
{
    memcpy(served, data_of(slot), window()->slots[slot].req.data_len);
    return answers(slot);
}

KTEST(host_call_sends_two_pieces_as_one)
{
    struct host_call c = {
        .op = CELLA_HOST_RENAME, .send = "old", .send_len = 4, .send2 = "new", .send2_len = 3};
    mock_host = takes_data;
    answer = (struct cella_host_reply){0};
    KCHECK_EQ(host_call(&c, WAIT_UNINTERRUPTIBLE), 0);
    KCHECK_EQ(last.data_len, 7);
    KCHECK(memcmp(served, "old\0new", 7) == 0);
}

KTEST(host_error_codes_out_of_range_become_eio)
{
    static const struct {
        int64_t result, want;
    } cases[] = {{-ENOENT, -ENOENT},
                 {-133, -133},
                 {-134, -EIO},
                 {-4096, -EIO},
                 {-ERESTART_RESTARTBLOCK, -EIO},
                 {INT64_MIN, -EIO},
                 {-EINTR, -EIO},
                 {INT64_MAX, INT64_MAX},
                 {-ERESTARTSYS, -EIO}};
    mock_host = answers;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        answer = (struct cella_host_reply){.result = cases[i].result};
        KCHECK_EQ(call_for(NULL, 0, NULL), cases[i].want);
    }
}

KTEST(host_reply_longer_than_asked_is_refused)
{
    static const uint32_t lengths[] = {5, 8192, 1u << 20, CELLA_HOST_DATA_SIZE, UINT32_MAX};
    char buf[8] = "xxxxxxx";
    mock_host = answers;
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        uint64_t bad = host_bad_replies;
        uint32_t got;
        answer = (struct cella_host_reply){.result = 4, .data_len = lengths[i]};
        KCHECK_EQ(call_for(buf, 4, &got), -EIO);
        KCHECK_EQ(got, 0);
        KCHECK_EQ(host_bad_replies, bad + 1);
        KCHECK(memcmp(buf, "xxxxxxx", 7) == 0);
        KCHECK_EQ(call_for(NULL, 0, NULL), -EIO);
    }
}

KTEST(host_reply_with_data_and_an_error_copies_nothing)
{
    char buf[8] = "xxxxxxx";
    mock_host = writes_abc;
    answer = (struct cella_host_reply){.result = -EPERM, .data_len = 4};
    KCHECK_EQ(call_for(buf, 4, NULL), -EPERM);
    KCHECK(memcmp(buf, "xxxxxxx", 7) == 0);
}

static int completes_wrong_slots(uint32_t slot)
{
    static const uint32_t others[] = {CELLA_HOST_SLOTS, UINT32_MAX, CELLA_HOST_SLOTS - 2, 1u << 31};
    window()->slots[slot].rep = (struct cella_host_reply){.result = 11};
    publish((slot + 1) % 100);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        publish(others[i]);
    publish(slot);
    publish(slot); /* and once too often */
    publish(slot);
    return false;
}

KTEST(host_completions_of_slots_not_in_flight_are_dropped)
{
    uint64_t bad = host_bad_replies;
    mock_host = completes_wrong_slots;
    KCHECK_EQ(call_for(NULL, 0, NULL), 11);
    host_ring_poll();
    KCHECK_EQ(host_bad_replies, bad + 7);
    mock_host = answers;
    answer = (struct cella_host_reply){.result = 12};
    KCHECK_EQ(call_for(NULL, 0, NULL), 12);
}

static int floods(uint32_t slot)
{
    struct cella_host_window *w = window();
    window()->slots[slot].rep = (struct cella_host_reply){.result = 13};
    for (uint32_t i = 0; i < CELLA_HOST_SLOTS; i++)
        w->cq.entry[i] = slot;
    __atomic_store_n(&w->cq.tail, w->cq.tail + 5000, __ATOMIC_RELEASE);
    return false;
}

KTEST(host_completion_count_that_jumps_ahead_does_no_harm)
{
    mock_host = floods;
    KCHECK_EQ(call_for(NULL, 0, NULL), 13);
    KCHECK(!host_ring_poll()); /* all was looked at, once */
    mock_host = answers;
    answer = (struct cella_host_reply){.result = 14};
    KCHECK_EQ(call_for(NULL, 0, NULL), 14);
}

KTEST(host_completion_count_that_goes_back_does_no_harm)
{
    struct cella_host_window *w = window();
    mock_host = answers;
    answer = (struct cella_host_reply){.result = 17};
    KCHECK_EQ(call_for(NULL, 0, NULL), 17);
    w->cq.tail -= 3;
    KCHECK(host_ring_poll());
    KCHECK(!host_ring_poll());
    KCHECK_EQ(call_for(NULL, 0, NULL), 17);
}

KTEST(host_cannot_write_the_kernels_side_of_the_rings)
{
    struct cella_host_window *w = window();
    uint32_t sq_tail = w->sq.tail, cq_head = w->cq.head;
    mock_host = answers;
    answer = (struct cella_host_reply){.result = 15};
    w->cq.head = cq_head + 77; /* published for the host only */
    KCHECK_EQ(call_for(NULL, 0, NULL), 15);
    KCHECK_EQ(w->sq.tail, sq_tail + 1);
    KCHECK_EQ(w->cq.head, cq_head + 1);
}

KTEST(host_call_that_is_too_large_is_not_sent)
{
    static char big[16];
    struct host_call c = {.op = CELLA_HOST_WRITE,
                          .send = big,
                          .send_len = CELLA_HOST_MAX_IO,
                          .send2 = big,
                          .send2_len = 1};
    mock_host = answers;
    uint32_t served_before = nr_served;
    KCHECK_EQ(host_call(&c, WAIT_UNINTERRUPTIBLE), -EINVAL);
    c = (struct host_call){.op = CELLA_HOST_READ, .recv = big, .recv_max = CELLA_HOST_MAX_IO + 1};
    KCHECK_EQ(host_call(&c, WAIT_UNINTERRUPTIBLE), -EINVAL);
    c = (struct host_call){.op = CELLA_HOST_NR_OPS};
    KCHECK_EQ(host_call(&c, WAIT_UNINTERRUPTIBLE), -EINVAL);
    KCHECK_EQ(nr_served, served_before);
}

/* ---- many at once, in any order ---- */

static uint32_t held[400], nr_held;

static int holds(uint32_t slot)
{
    held[nr_held++] = slot;
    return false;
}

struct caller {
    uint32_t size;
    int64_t result;
    bool done;
};

static char sink[CELLA_HOST_MAX_IO];

static void calls(void *arg)
{
    struct caller *c = arg;
    c->result = call_for(sink, c->size, NULL);
    c->done = true;
}

static int64_t finish_calls(struct thread **t, int n)
{
    int joined = 0;
    while (joined < n) {
        /* The newest first. */
        while (nr_held) {
            uint32_t slot = held[--nr_held];
            window()->slots[slot].rep = (struct cella_host_reply){.result = 100};
            publish(slot);
        }
        mock_sleep(NSEC_PER_MSEC / 10);
        while (joined < n && t[joined]->state == THREAD_DEAD)
            mock_join(t[joined++]);
    }
    return joined;
}

KTEST(host_calls_beyond_the_slots_wait_their_turn)
{
    enum { N = 300 };
    static struct caller c[N];
    static struct thread *t[N];
    nr_held = 0;
    mock_host = holds;
    for (int i = 0; i < N; i++) {
        c[i] = (struct caller){.size = 10};
        t[i] = mock_start(calls, &c[i]);
    }
    mock_sleep(2 * NSEC_PER_MSEC);
    KCHECK_EQ(nr_held, CELLA_HOST_SLOTS - 2); /* two are kept for the keep's end */
    for (uint32_t i = 0; i < nr_held; i++)
        for (uint32_t k = 0; k < i; k++)
            KCHECK(held[i] != held[k] && data_of(held[i]) != data_of(held[k]));
    finish_calls(t, N);
    for (int i = 0; i < N; i++)
        KCHECK_EQ(c[i].result, 100);
}

KTEST(host_calls_with_much_data_wait_for_room_without_overlap)
{
    enum { N = 40 };
    static struct caller c[N];
    static struct thread *t[N];
    nr_held = 0;
    mock_host = holds;
    for (int i = 0; i < N; i++) {
        c[i] = (struct caller){.size = CELLA_HOST_MAX_IO};
        t[i] = mock_start(calls, &c[i]);
    }
    mock_sleep(2 * NSEC_PER_MSEC);
    KCHECK(nr_held > 4 && nr_held < N);
    for (uint32_t i = 0; i < nr_held; i++) {
        uint32_t off = window()->slots[held[i]].req.data_off;
        KCHECK(off + CELLA_HOST_MAX_IO <= CELLA_HOST_DATA_SIZE);
        for (uint32_t k = 0; k < i; k++) {
            uint32_t other = window()->slots[held[k]].req.data_off;
            KCHECK(off + CELLA_HOST_MAX_IO <= other || other + CELLA_HOST_MAX_IO <= off);
        }
    }
    finish_calls(t, N);
}

/* ---- cancelling ---- */

static uint32_t waiting_slot;
static int64_t cancelled_result;

static int cancels(uint32_t slot)
{
    struct cella_host_request r = window()->slots[slot].req;
    if (r.op == CELLA_HOST_CANCEL) {
        window()->slots[slot].rep = (struct cella_host_reply){0};
        if (r.a[0] == waiting_slot) {
            window()->slots[waiting_slot].rep =
                (struct cella_host_reply){.result = cancelled_result};
            publish(waiting_slot);
        }
        return true;
    }
    waiting_slot = slot;
    return false;
}

static void reads_console(void *arg)
{
    static char line[8];
    struct host_call c = {.op = CELLA_HOST_CONSOLE_READ, .recv = line, .recv_max = sizeof(line)};
    *(int64_t *)arg = host_call(&c, WAIT_INTERRUPTIBLE);
}

static int64_t interrupted_call(int64_t host_says)
{
    struct k_sigaction act = {.handler = 0x1000};
    struct k_siginfo info = {.si_signo = SIGUSR1};
    int64_t result = 1;
    mock_host = cancels;
    cancelled_result = host_says;
    result = sys_rt_sigaction(SIGUSR1, ktest_bytes(&act, sizeof(act)), 0, 8);
    struct thread *t = mock_start(reads_console, &result);
    mock_sleep(NSEC_PER_MSEC);
    signal_send_thread(t, &info);
    mock_join(t);
    return result;
}

KTEST(host_call_is_cancelled_by_a_signal)
{
    KCHECK_EQ(interrupted_call(-EINTR), -ERESTARTSYS);
}

KTEST(host_call_that_was_answered_before_its_cancellation_counts)
{
    KCHECK_EQ(interrupted_call(5), 5);
    KCHECK_EQ(interrupted_call(-EBADF), -EBADF);
}

/* ---- events, emergency ---- */

KTEST(host_events_become_signals_of_process_1_and_others_nothing)
{
    struct k_sigaction act = {.handler = 0x1000};
    struct k_siginfo info;
    KCHECK_EQ(sys_rt_sigaction(SIGTERM, ktest_bytes(&act, sizeof(act)), 0, 8), 0);
    window()->events = CELLA_HOST_EVENT_TERM | 0xffffff00;
    KCHECK(host_ring_poll());
    KCHECK_EQ(window()->events, 0);
    KCHECK_EQ(signal_dequeue(~0ull, &info), SIGTERM);
    KCHECK_EQ(signal_dequeue(~0ull, &info), 0);
    KCHECK(!host_ring_poll());
}

KTEST(host_ring_emergency_text_arrives_and_a_silent_host_does_not_hang_it)
{
    mock_host = takes_data;
    host_ring_emergency("fire", 4);
    KCHECK(memcmp(served, "fire", 4) == 0);
    KCHECK_EQ(last.op, CELLA_HOST_CONSOLE_WRITE);
    nr_held = 0;
    mock_host = holds;
    host_ring_emergency("fire", 4);
    KCHECK_EQ(nr_held, 1);
    publish(held[0]);
    while (host_ring_poll())
        ;
    mock_host = answers;
    answer = (struct cella_host_reply){.result = 16};
    KCHECK_EQ(call_for(NULL, 0, NULL), 16);
}
