/* SPDX-License-Identifier: Apache-2.0 */
#include "calls.h"

enum { SEMAPHORE = 1 };

static int64_t add(int fd, uint64_t v)
{
    return put(fd, &v, 8);
}

static int64_t take(int fd)
{
    uint64_t v = 0;
    int64_t r = get(fd, &v, 8);
    return r == 8 ? (int64_t)v : r;
}

KTEST(eventfd_adds_up_and_gives_all_at_once)
{
    int fd = (int)sys_eventfd2(3, O_NONBLOCK_K);
    KCHECK_EQ(add(fd, 4), 8);
    KCHECK_EQ(take(fd), 7);
    KCHECK_EQ(take(fd), -EAGAIN);
    KCHECK_EQ(add(fd, 0), 8);
    KCHECK_EQ(take(fd), -EAGAIN);
}

KTEST(eventfd_semaphore_gives_one_at_a_time)
{
    int fd = (int)sys_eventfd2(2, O_NONBLOCK_K | SEMAPHORE);
    KCHECK_EQ(take(fd), 1);
    KCHECK_EQ(take(fd), 1);
    KCHECK_EQ(take(fd), -EAGAIN);
}

KTEST(eventfd_counter_has_a_top)
{
    int fd = (int)sys_eventfd2(0, O_NONBLOCK_K);
    KCHECK_EQ(add(fd, UINT64_MAX), -EINVAL);
    KCHECK_EQ(add(fd, UINT64_MAX - 1), 8);
    KCHECK_EQ(add(fd, 1), -EAGAIN);
    KCHECK_EQ(add(fd, 0), 8);
    uint32_t small = 1;
    KCHECK_EQ(put(fd, &small, 4), -EINVAL);
    KCHECK_EQ(get(fd, &small, 4), -EINVAL);
    KCHECK_EQ(sys_eventfd2(0, 0x100), -EINVAL);
}

struct taker {
    int fd;
    int64_t got;
};

static void takes(void *arg)
{
    struct taker *t = arg;
    t->got = take(t->fd);
}

KTEST(eventfd_semaphore_wakes_as_many_readers_as_it_has)
{
    struct taker k[3];
    struct thread *t[3];
    int fd = (int)sys_eventfd2(0, SEMAPHORE);
    for (int i = 0; i < 3; i++) {
        k[i] = (struct taker){fd, -1};
        t[i] = mock_start(takes, &k[i]);
    }
    mock_sleep(NSEC_PER_MSEC);
    KCHECK_EQ(add(fd, 3), 8);
    for (int i = 0; i < 3; i++) {
        mock_join(t[i]);
        KCHECK_EQ(k[i].got, 1);
    }
}

static void adds_two(void *arg)
{
    struct taker *t = arg;
    t->got = add(t->fd, 2);
}

KTEST(eventfd_writer_waits_for_room)
{
    int fd = (int)sys_eventfd2(0, 0);
    KCHECK_EQ(add(fd, UINT64_MAX - 1), 8);
    struct taker k = {fd, -1};
    struct thread *t = mock_start(adds_two, &k);
    mock_sleep(NSEC_PER_MSEC);
    KCHECK_EQ(k.got, -1);
    KCHECK_EQ((uint64_t)take(fd), UINT64_MAX - 1);
    mock_join(t);
    KCHECK_EQ(k.got, 8);
    KCHECK_EQ(take(fd), 2);
}
