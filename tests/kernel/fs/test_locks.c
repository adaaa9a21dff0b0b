/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/locks.h"

#include "calls.h"
#include "proc/signal_internal.h"

enum { RD = 0, WR = 1, UN = 2 };
enum { SH = 1, EX = 2, NB = 4, UNLOCK = 8 };
#define CLONE_FILES_K 0x400

struct k_flock {
    int16_t type, whence;
    int32_t pad0;
    int64_t start, len;
    int32_t pid, pad1;
};

static int64_t lock(int fd, int cmd, int type, int64_t start, int64_t len)
{
    struct k_flock f = {.type = (int16_t)type, .start = start, .len = len};
    return sys_fcntl(fd, cmd, ktest_bytes(&f, sizeof(f)));
}

/* What F_GETLK says; type UN: nothing is in the way. */
static struct k_flock in_the_way(int fd, int type, int64_t start, int64_t len)
{
    struct k_flock f = {.type = (int16_t)type, .start = start, .len = len};
    uaddr_t u = ktest_bytes(&f, sizeof(f));
    if (sys_fcntl(fd, F_GETLK_K, u) || copy_from_user(&f, u, sizeof(f)))
        f.type = -1;
    return f;
}

/* Another owner: a thread with a descriptor table of its own does one thing. */
struct other {
    void (*fn)(struct other *o);
    int fd, cmd, type;
    int64_t start, len, result;
    struct k_flock seen;
    bool done;
};

static void as_other(void *arg)
{
    struct other *o = arg;
    if (sys_unshare(CLONE_FILES_K))
        ktest_fail(__FILE__, __LINE__, "unshare");
    o->fn(o);
    o->done = true;
}

static void locks_it(struct other *o)
{
    o->result = lock(o->fd, o->cmd, o->type, o->start, o->len);
}

static void looks(struct other *o)
{
    o->seen = in_the_way(o->fd, WR, o->start, o->len);
}

static int64_t other_lock(int fd, int type, int64_t start, int64_t len)
{
    struct other o = {
        .fn = locks_it, .fd = fd, .cmd = F_SETLK_K, .type = type, .start = start, .len = len};
    mock_join(mock_start(as_other, &o));
    return o.result;
}

static struct k_flock other_look(int fd, int64_t start, int64_t len)
{
    struct other o = {.fn = looks, .fd = fd, .start = start, .len = len};
    mock_join(mock_start(as_other, &o));
    return o.seen;
}

static int new_file(const char *name)
{
    return (int)open_file(name, O_CREAT_K | O_RDWR_K);
}

KTEST(locks_records_exclude_other_owners_only)
{
    int fd = new_file("/locks-1");
    KCHECK_EQ(lock(fd, F_SETLK_K, WR, 10, 10), 0);
    KCHECK_EQ(lock(fd, F_SETLK_K, RD, 10, 10), 0); /* its own is converted */
    KCHECK_EQ(other_lock(fd, RD, 0, 100), 0);
    KCHECK_EQ(lock(fd, F_SETLK_K, WR, 10, 10), 0); /* the other closed its descriptors at its end */
    KCHECK_EQ(other_lock(fd, RD, 19, 1), -EAGAIN);
    KCHECK_EQ(other_lock(fd, WR, 20, 1), 0);
    KCHECK_EQ(other_lock(fd, WR, 9, 1), 0);
    struct k_flock l = other_look(fd, 0, 0);
    KCHECK(l.type == WR && l.start == 10 && l.len == 10 && l.pid == 1);
    KCHECK_EQ(in_the_way(fd, WR, 0, 0).type, UN);
}

KTEST(locks_unlock_in_the_middle_leaves_both_sides)
{
    int fd = new_file("/locks-2");
    KCHECK_EQ(lock(fd, F_SETLK_K, WR, 0, 100), 0);
    KCHECK_EQ(lock(fd, F_SETLK_K, UN, 40, 20), 0);
    struct k_flock l = other_look(fd, 0, 0);
    KCHECK(l.type == WR && l.start == 0 && l.len == 40);
    l = other_look(fd, 40, 0);
    KCHECK(l.type == WR && l.start == 60 && l.len == 40);
    KCHECK_EQ(other_look(fd, 40, 20).type, UN);
    /* Filled again they are one. */
    KCHECK_EQ(lock(fd, F_SETLK_K, WR, 40, 20), 0);
    l = other_look(fd, 50, 1);
    KCHECK(l.start == 0 && l.len == 100);
    /* A read lock in the middle cuts the write lock in two. */
    KCHECK_EQ(lock(fd, F_SETLK_K, RD, 10, 5), 0);
    l = other_look(fd, 10, 1);
    KCHECK(l.type == RD && l.start == 10 && l.len == 5);
    l = other_look(fd, 15, 1);
    KCHECK(l.type == WR && l.start == 15 && l.len == 85);
}

KTEST(locks_ranges_at_the_limits)
{
    int fd = new_file("/locks-3");
    KCHECK_EQ(lock(fd, F_SETLK_K, WR, INT64_MAX, 1), 0);
    KCHECK_EQ(lock(fd, F_SETLK_K, WR, INT64_MAX, 2), -EOVERFLOW);
    KCHECK_EQ(lock(fd, F_SETLK_K, WR, -1, 1), -EINVAL);
    KCHECK_EQ(lock(fd, F_SETLK_K, WR, 5, -6), -EINVAL);
    KCHECK_EQ(lock(fd, F_SETLK_K, WR, 0, INT64_MIN), -EINVAL);
    KCHECK_EQ(lock(fd, F_SETLK_K, WR, 5, -5), 0);
    struct k_flock l = other_look(fd, 0, 1);
    KCHECK(l.start == 0 && l.len == 5);
    KCHECK_EQ(lock(fd, F_SETLK_K, WR, 100, 0), 0); /* to the end, joined with the one there */
    l = other_look(fd, 1000, 1);
    KCHECK(l.start == 100 && l.len == 0);
    KCHECK_EQ(lock(fd, F_SETLK_K, 7, 0, 1), -EINVAL);
    KCHECK_EQ(lock(fd, F_SETLK_K, UN, 0, 0), 0);
    KCHECK_EQ(other_look(fd, 0, 0).type, UN);
}

KTEST(locks_go_when_any_descriptor_of_the_file_closes)
{
    int fd = new_file("/locks-4"), second = new_file("/locks-4");
    KCHECK_EQ(lock(fd, F_SETLK_K, WR, 0, 0), 0);
    KCHECK_EQ(other_lock(fd, WR, 0, 1), -EAGAIN);
    KCHECK_EQ(sys_close(second), 0);
    KCHECK_EQ(other_lock(fd, WR, 0, 1), 0);
    int ro = (int)open_file("/locks-4", O_RDONLY_K);
    KCHECK_EQ(lock(ro, F_SETLK_K, WR, 0, 1), -EBADF);
}

KTEST(locks_waiter_gets_the_lock_when_it_is_free)
{
    int fd = new_file("/locks-5");
    KCHECK_EQ(lock(fd, F_SETLK_K, WR, 0, 10), 0);
    struct other o = {.fn = locks_it,
                      .fd = fd,
                      .cmd = F_SETLKW_K,
                      .type = WR,
                      .start = 5,
                      .len = 10,
                      .result = -1};
    struct thread *t = mock_start(as_other, &o);
    mock_sleep(NSEC_PER_MSEC);
    KCHECK(!o.done);
    KCHECK_EQ(lock(fd, F_SETLK_K, UN, 0, 5), 0);
    mock_sleep(NSEC_PER_MSEC);
    KCHECK(!o.done);
    KCHECK_EQ(lock(fd, F_SETLK_K, UN, 5, 5), 0);
    mock_join(t);
    KCHECK_EQ(o.result, 0);
}

/* Takes [1], then waits for [0]. */
static void takes_second_then_first(struct other *o)
{
    o->result = lock(o->fd, F_SETLK_K, WR, 1, 1);
    if (o->result == 0)
        o->result = lock(o->fd, F_SETLKW_K, WR, 0, 1);
}

KTEST(locks_deadlock_is_refused)
{
    int fd = new_file("/locks-6");
    KCHECK_EQ(lock(fd, F_SETLK_K, WR, 0, 1), 0);
    struct other o = {.fn = takes_second_then_first, .fd = fd};
    struct thread *t = mock_start(as_other, &o);
    mock_sleep(NSEC_PER_MSEC);
    KCHECK_EQ(lock(fd, F_SETLKW_K, WR, 1, 1), -EDEADLK);
    KCHECK_EQ(lock(fd, F_SETLK_K, UN, 0, 1), 0);
    mock_join(t);
    KCHECK_EQ(o.result, 0);
    KCHECK_EQ(lock(fd, F_SETLKW_K, WR, 1, 1), 0);
}

KTEST(locks_wait_is_interrupted)
{
    int64_t sys_rt_sigaction(int sig, uaddr_t new_addr, uaddr_t old_addr, uint64_t set_size);
    struct k_sigaction act = {.handler = 0x1000};
    struct k_siginfo info = {.si_signo = SIGUSR1};
    KCHECK_EQ(sys_rt_sigaction(SIGUSR1, ktest_bytes(&act, sizeof(act)), 0, 8), 0);
    int fd = new_file("/locks-7");
    KCHECK_EQ(lock(fd, F_SETLK_K, WR, 0, 1), 0);
    struct other o = {.fn = locks_it, .fd = fd, .cmd = F_SETLKW_K, .type = WR, .len = 1};
    struct thread *t = mock_start(as_other, &o);
    mock_sleep(NSEC_PER_MSEC);
    signal_send_thread(t, &info);
    mock_join(t);
    KCHECK_EQ(o.result, -ERESTARTSYS);
    KCHECK_EQ(lock(fd, F_SETLK_K, UN, 0, 1), 0);
    KCHECK_EQ(other_lock(fd, WR, 0, 1), 0);
}

KTEST(locks_of_open_files_belong_to_the_open_file)
{
    int a = new_file("/locks-8"), b = new_file("/locks-8");
    KCHECK_EQ(lock(a, F_OFD_SETLK_K, WR, 0, 10), 0);
    KCHECK_EQ(lock(b, F_OFD_SETLK_K, WR, 5, 10), -EAGAIN);
    KCHECK_EQ(lock(b, F_SETLK_K, RD, 5, 1), -EAGAIN); /* the two kinds exclude each other */
    int c = (int)sys_dup(a);
    KCHECK_EQ(sys_close(a), 0);
    KCHECK_EQ(lock(b, F_OFD_SETLK_K, WR, 5, 10), -EAGAIN);
    KCHECK_EQ(sys_close(c), 0);
    KCHECK_EQ(lock(b, F_OFD_SETLK_K, WR, 5, 10), 0);
}

KTEST(flock_excludes_open_files_and_converts)
{
    int a = new_file("/locks-9"), b = new_file("/locks-9");
    KCHECK_EQ(sys_flock(a, SH), 0);
    KCHECK_EQ(sys_flock(b, SH), 0);
    KCHECK_EQ(sys_flock(a, EX | NB), -EAGAIN);
    KCHECK_EQ(sys_flock(b, UNLOCK), 0);
    KCHECK_EQ(sys_flock(a, EX | NB), 0);
    KCHECK_EQ(sys_flock(b, SH | NB), -EAGAIN);
    KCHECK_EQ(lock(b, F_SETLK_K, WR, 0, 0), 0); /* the families do not see each other */
    KCHECK_EQ(sys_close(a), 0);
    KCHECK_EQ(sys_flock(b, EX | NB), 0);
    KCHECK_EQ(sys_flock(b, 3), -EINVAL);
    KCHECK_EQ(sys_flock(99, SH), -EBADF);
}

static void flocks(struct other *o)
{
    int fd = (int)open_file("/locks-10", O_RDWR_K);
    o->result = sys_flock(fd, EX);
}

KTEST(flock_waits)
{
    int a = new_file("/locks-10");
    KCHECK_EQ(sys_flock(a, EX), 0);
    struct other o = {.fn = flocks, .result = -1};
    struct thread *t = mock_start(as_other, &o);
    mock_sleep(NSEC_PER_MSEC);
    KCHECK(!o.done);
    KCHECK_EQ(sys_flock(a, UNLOCK), 0);
    mock_join(t);
    KCHECK_EQ(o.result, 0);
}
