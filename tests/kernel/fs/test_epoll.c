/* SPDX-License-Identifier: Apache-2.0 */
#include "calls.h"

enum { ADD = 1, DEL = 2, MOD = 3 };
#define EPOLLEXCLUSIVE_K (1u << 28)
#define EPOLLONESHOT_K (1u << 30)
#define EPOLLET_K (1u << 31)

struct event {
    uint32_t events;
    uint64_t data;
} __attribute__((packed));

static int64_t control(int ep, int op, int fd, uint32_t events, uint64_t data)
{
    struct event e = {events, data};
    return sys_epoll_ctl(ep, op, fd, ktest_bytes(&e, sizeof(e)));
}

/* What is ready now; the first event goes to *e. */
static int64_t wait_ms(int ep, struct event *e, int max, int ms)
{
    uaddr_t u = ktest_map(4096);
    int64_t n = sys_epoll_wait(ep, u, max, ms);
    return n > 0 && copy_from_user(e, u, (size_t)n * sizeof(*e)) ? -EFAULT : n;
}

static int new_eventfd(unsigned count)
{
    return (int)sys_eventfd2(count, O_NONBLOCK_K);
}

static void add(int fd, uint64_t v)
{
    put(fd, &v, 8);
}

static void drain(int fd)
{
    uint64_t v;
    get(fd, &v, 8);
}

KTEST(epoll_level_triggered_events_stay)
{
    struct event e;
    int ep = (int)sys_epoll_create1(0), fd = new_eventfd(0);
    KCHECK_EQ(control(ep, ADD, fd, POLLIN_K, 42), 0);
    KCHECK_EQ(wait_ms(ep, &e, 1, 0), 0);
    add(fd, 1);
    for (int i = 0; i < 3; i++) {
        KCHECK_EQ(wait_ms(ep, &e, 1, 0), 1);
        KCHECK(e.events == POLLIN_K && e.data == 42);
    }
    drain(fd);
    KCHECK_EQ(wait_ms(ep, &e, 1, 0), 0);
}

KTEST(epoll_edge_triggered_events_come_once)
{
    struct event e;
    int ep = (int)sys_epoll_create1(0), fd = new_eventfd(1);
    KCHECK_EQ(control(ep, ADD, fd, POLLIN_K | EPOLLET_K, 1), 0);
    KCHECK_EQ(wait_ms(ep, &e, 1, 0), 1);
    KCHECK_EQ(wait_ms(ep, &e, 1, 0), 0);
    add(fd, 1);
    KCHECK_EQ(wait_ms(ep, &e, 1, 0), 1);
    KCHECK_EQ(wait_ms(ep, &e, 1, 0), 0);
}

KTEST(epoll_oneshot_waits_for_modification)
{
    struct event e;
    int ep = (int)sys_epoll_create1(0), fd = new_eventfd(1);
    KCHECK_EQ(control(ep, ADD, fd, POLLIN_K | EPOLLONESHOT_K, 1), 0);
    KCHECK_EQ(wait_ms(ep, &e, 1, 0), 1);
    add(fd, 1);
    KCHECK_EQ(wait_ms(ep, &e, 1, 0), 0);
    KCHECK_EQ(control(ep, MOD, fd, POLLIN_K, 2), 0);
    KCHECK_EQ(wait_ms(ep, &e, 1, 0), 1);
    KCHECK_EQ(e.data, 2);
}

KTEST(epoll_ctl_errors)
{
    int ep = (int)sys_epoll_create1(0), fd = new_eventfd(0);
    int64_t file = open_file("/epoll-file", O_CREAT_K | O_RDWR_K);
    KCHECK_EQ(control(ep, DEL, fd, 0, 0), -ENOENT);
    KCHECK_EQ(control(ep, MOD, fd, POLLIN_K, 0), -ENOENT);
    KCHECK_EQ(control(ep, ADD, fd, POLLIN_K, 0), 0);
    KCHECK_EQ(control(ep, ADD, fd, POLLIN_K, 0), -EEXIST);
    KCHECK_EQ(control(ep, ADD, 999, POLLIN_K, 0), -EBADF);
    KCHECK_EQ(control(999, ADD, fd, POLLIN_K, 0), -EBADF);
    KCHECK_EQ(control(fd, ADD, ep, POLLIN_K, 0), -EINVAL);
    KCHECK_EQ(control(ep, ADD, ep, POLLIN_K, 0), -EINVAL);
    KCHECK_EQ(control(ep, ADD, (int)file, POLLIN_K, 0), -EPERM);
    KCHECK_EQ(control(ep, 9, fd, POLLIN_K, 0), -EINVAL);
    KCHECK_EQ(sys_epoll_ctl(ep, ADD, fd, 8), -EFAULT);
    KCHECK_EQ(control(ep, MOD, fd, POLLIN_K | EPOLLEXCLUSIVE_K, 0), -EINVAL);
    KCHECK_EQ(sys_epoll_wait(ep, ktest_map(64), 0, 0), -EINVAL);
    KCHECK_EQ(control(ep, DEL, fd, 0, 0), 0);
}

KTEST(epoll_forgets_a_file_that_is_closed_for_good)
{
    struct event e;
    int ep = (int)sys_epoll_create1(0), fd = new_eventfd(1);
    int second = (int)sys_dup(fd);
    KCHECK_EQ(control(ep, ADD, fd, POLLIN_K, 1), 0);
    KCHECK_EQ(sys_close(fd), 0);
    KCHECK_EQ(wait_ms(ep, &e, 1, 0), 1); /* the file lives on */
    KCHECK_EQ(sys_close(second), 0);
    KCHECK_EQ(wait_ms(ep, &e, 1, 0), 0);
    fd = new_eventfd(1);
    KCHECK_EQ(control(ep, ADD, fd, POLLIN_K, 1), 0);
    KCHECK_EQ(sys_close(ep), 0);
    add(fd, 1); /* wakes nothing that is gone */
    KCHECK_EQ(sys_close(fd), 0);
}

KTEST(epoll_closing_everything_in_any_order_leaves_nothing_behind)
{
    for (int order = 0; order < 24; order++) {
        int fd[4] = {(int)sys_epoll_create1(0), (int)sys_epoll_create1(0), new_eventfd(1),
                     new_eventfd(0)};
        KCHECK_EQ(control(fd[0], ADD, fd[2], POLLIN_K, 1), 0);
        KCHECK_EQ(control(fd[0], ADD, fd[3], POLLIN_K, 2), 0);
        KCHECK_EQ(control(fd[1], ADD, fd[0], POLLIN_K, 3), 0);
        KCHECK_EQ(control(fd[1], ADD, fd[3], POLLIN_K, 4), 0);
        for (int left = 4, o = order; left; left--) {
            int i = o % left;
            o /= left;
            KCHECK_EQ(sys_close(fd[i]), 0);
            fd[i] = fd[left - 1];
        }
    }
}

struct epoll_waiter {
    int ep;
    int64_t n;
    struct event e;
};

static void epoll_waits(void *arg)
{
    struct epoll_waiter *w = arg;
    w->n = wait_ms(w->ep, &w->e, 1, -1);
}

KTEST(epoll_wait_is_woken_by_an_event)
{
    int ep = (int)sys_epoll_create1(0), fd = new_eventfd(0);
    KCHECK_EQ(control(ep, ADD, fd, POLLIN_K, 5), 0);
    struct epoll_waiter w = {.ep = ep};
    struct thread *t = mock_start(epoll_waits, &w);
    mock_sleep(NSEC_PER_MSEC);
    add(fd, 1);
    mock_join(t);
    KCHECK(w.n == 1 && w.e.data == 5);
}

KTEST(epoll_events_of_two_files_wake_two_waiters)
{
    int ep = (int)sys_epoll_create1(0), a = new_eventfd(0), b = new_eventfd(0);
    KCHECK_EQ(control(ep, ADD, a, POLLIN_K | EPOLLET_K, 1), 0);
    KCHECK_EQ(control(ep, ADD, b, POLLIN_K | EPOLLET_K, 2), 0);
    struct epoll_waiter w[2] = {{.ep = ep}, {.ep = ep}};
    struct thread *t[2] = {mock_start(epoll_waits, &w[0]), mock_start(epoll_waits, &w[1])};
    mock_sleep(NSEC_PER_MSEC);
    add(a, 1);
    add(b, 1);
    mock_join(t[0]);
    mock_join(t[1]);
    KCHECK_EQ(w[0].e.data + w[1].e.data, 3);
}

KTEST(epoll_in_epoll_tells_of_events_below_and_refuses_circles)
{
    struct event e;
    int outer = (int)sys_epoll_create1(0), inner = (int)sys_epoll_create1(0), fd = new_eventfd(0);
    KCHECK_EQ(control(outer, ADD, inner, POLLIN_K, 7), 0);
    KCHECK_EQ(control(inner, ADD, fd, POLLIN_K, 8), 0);
    KCHECK_EQ(control(inner, ADD, outer, POLLIN_K, 9), -ELOOP);
    KCHECK_EQ(wait_ms(outer, &e, 1, 0), 0);
    struct epoll_waiter w = {.ep = outer};
    struct thread *t = mock_start(epoll_waits, &w);
    mock_sleep(NSEC_PER_MSEC);
    add(fd, 1);
    mock_join(t);
    KCHECK(w.n == 1 && w.e.data == 7);
    KCHECK_EQ(wait_ms(inner, &e, 1, 0), 1);
    KCHECK_EQ(e.data, 8);
    int ep[6];
    for (int i = 0; i < 6; i++)
        ep[i] = (int)sys_epoll_create1(0);
    int64_t r = 0;
    int depth = 0;
    for (; depth < 5 && r == 0; depth++)
        r = control(ep[depth + 1], ADD, ep[depth], POLLIN_K, 0);
    KCHECK_EQ(r, -ELOOP);
}

KTEST(epoll_wait_gives_no_more_than_asked_and_all_in_turn)
{
    struct event e[4];
    int ep = (int)sys_epoll_create1(0);
    uint32_t seen = 0;
    for (int i = 0; i < 8; i++)
        KCHECK_EQ(control(ep, ADD, new_eventfd(1), POLLIN_K, (uint64_t)i), 0);
    for (int round = 0; round < 2; round++) {
        KCHECK_EQ(wait_ms(ep, e, 4, 0), 4);
        for (int i = 0; i < 4; i++)
            seen |= 1u << e[i].data;
    }
    KCHECK_EQ(seen, 0xff); /* level-triggered ones go to the end of the line */
}

KTEST(epoll_wait_into_bad_memory_loses_no_event)
{
    struct event e;
    int ep = (int)sys_epoll_create1(0), fd = new_eventfd(1);
    KCHECK_EQ(control(ep, ADD, fd, POLLIN_K | EPOLLET_K, 1), 0);
    KCHECK_EQ(sys_epoll_wait(ep, 64, 1, 0), -EFAULT);
    KCHECK_EQ(wait_ms(ep, &e, 1, 0), 1);
}

/* ---- poll ---- */

struct k_pollfd {
    int32_t fd;
    int16_t events, revents;
};

KTEST(poll_reports_each_file)
{
    int a = new_eventfd(0), b = new_eventfd(1);
    struct k_pollfd p[4] = {
        {a, POLLIN_K, 0}, {b, POLLIN_K | POLLOUT_K, 0}, {-1, POLLIN_K, 0}, {999, POLLIN_K, 0}};
    uaddr_t u = ktest_bytes(p, sizeof(p));
    KCHECK_EQ(sys_poll(u, 4, 0), 2);
    KCHECK_EQ(copy_from_user(p, u, sizeof(p)), 0);
    KCHECK(p[0].revents == 0 && p[1].revents == (POLLIN_K | POLLOUT_K) && p[2].revents == 0 &&
           p[3].revents == POLLNVAL_K);
    ktime_t start = time_mono_ns();
    KCHECK_EQ(sys_poll(u, 1, 2), 0);
    KCHECK(time_mono_ns() - start >= 2 * NSEC_PER_MSEC);
    KCHECK_EQ(sys_poll(64, 1, 0), -EFAULT);
}
