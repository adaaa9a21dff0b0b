/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/pipe.h"

#include "calls.h"
#include "proc/signal_internal.h"

static void make_pipe(int fd[2], int flags)
{
    int32_t p[2] = {-1, -1};
    uaddr_t u = ktest_map(8);
    int64_t r = sys_pipe2(u, flags);
    if (r || copy_from_user(p, u, sizeof(p)))
        ktest_fail(__FILE__, __LINE__, "pipe2");
    fd[0] = p[0];
    fd[1] = p[1];
}

/* A child's write without readers sends SIGPIPE; here it is only to be seen. */
static void hold_sigpipe(void)
{
    signal_set_blocked(SIGMASK(SIGPIPE));
}

KTEST(pipe_bytes_come_out_in_order)
{
    int fd[2];
    char buf[16];
    make_pipe(fd, 0);
    KCHECK_EQ(put(fd[1], "hello", 5), 5);
    KCHECK_EQ(put(fd[1], " world", 6), 6);
    KCHECK_EQ(get(fd[0], buf, 3), 3);
    KCHECK(memcmp(buf, "hel", 3) == 0);
    KCHECK_EQ(get(fd[0], buf, 16), 8);
    KCHECK(memcmp(buf, "lo world", 8) == 0);
    KCHECK_EQ(sys_read(fd[1], ktest_map(8), 8), -EBADF);
    KCHECK_EQ(put(fd[0], "x", 1), -EBADF);
}

KTEST(pipe_reader_sees_the_end_when_the_last_writer_closes)
{
    int fd[2];
    char c;
    make_pipe(fd, 0);
    int64_t second = sys_dup(fd[1]);
    KCHECK_EQ(put((int)second, "x", 1), 1);
    KCHECK_EQ(sys_close(fd[1]), 0);
    KCHECK_EQ(get(fd[0], &c, 1), 1);
    KCHECK_EQ(sys_close((int)second), 0);
    KCHECK_EQ(get(fd[0], &c, 1), 0);
    KCHECK_EQ(get(fd[0], &c, 1), 0);
}

KTEST(pipe_write_without_readers_is_epipe_and_sigpipe)
{
    int fd[2];
    struct k_siginfo info;
    make_pipe(fd, 0);
    hold_sigpipe();
    KCHECK_EQ(sys_close(fd[0]), 0);
    KCHECK_EQ(put(fd[1], "x", 1), -EPIPE);
    KCHECK_EQ(signal_dequeue(SIGMASK(SIGPIPE), &info), SIGPIPE);
    signal_set_blocked(0);
}

KTEST(pipe_nonblocking_ends_answer_eagain)
{
    int fd[2];
    char c;
    uaddr_t big = ktest_map(100000);
    make_pipe(fd, O_NONBLOCK_K);
    KCHECK_EQ(get(fd[0], &c, 1), -EAGAIN);
    KCHECK_EQ(sys_write(fd[1], big, 100000), 65536);
    KCHECK_EQ(sys_write(fd[1], big, 1), -EAGAIN);
    KCHECK_EQ(sys_read(fd[0], big, 4095), 4095);
    KCHECK_EQ(sys_write(fd[1], big, 4096), -EAGAIN); /* not torn */
    KCHECK_EQ(sys_write(fd[1], big, 5000), 4095);    /* may be */
    KCHECK_EQ(sys_read(fd[0], big, 100000), 65536);
}

struct transfer {
    int fd;
    uint32_t total;
    int64_t result;
    bool ok;
};

static void writes_pattern(void *arg)
{
    struct transfer *t = arg;
    uint32_t done = 0, step = 1;
    uaddr_t u = ktest_map(70000);
    uint8_t *view = (uint8_t *)u; /* plain anonymous memory */
    while (done < t->total) {
        uint32_t n = k_min(step, t->total - done);
        for (uint32_t i = 0; i < n; i++)
            view[i] = (uint8_t)((done + i) * 31 >> 3);
        t->result = sys_write(t->fd, u, n);
        if (t->result <= 0)
            break;
        done += (uint32_t)t->result;
        step = step * 5 % 69997 + 1;
    }
    sys_close(t->fd);
}

static void reads_pattern(void *arg)
{
    struct transfer *t = arg;
    uint32_t done = 0, step = 3;
    uaddr_t u = ktest_map(70000);
    const uint8_t *view = (const uint8_t *)u;
    t->ok = true;
    for (;;) {
        t->result = sys_read(t->fd, u, step);
        if (t->result <= 0)
            break;
        for (uint32_t i = 0; i < (uint32_t)t->result; i++)
            t->ok &= view[i] == (uint8_t)((done + i) * 31 >> 3);
        done += (uint32_t)t->result;
        step = step * 7 % 69991 + 1;
    }
    t->total = done;
}

KTEST(pipe_carries_a_long_stream_between_threads_unchanged)
{
    int fd[2];
    make_pipe(fd, 0);
    struct transfer w = {.fd = fd[1], .total = 3000000}, r = {.fd = fd[0]};
    struct thread *tw = mock_start(writes_pattern, &w), *tr = mock_start(reads_pattern, &r);
    mock_join(tw);
    mock_join(tr);
    KCHECK_EQ(r.total, 3000000);
    KCHECK(r.ok);
    KCHECK_EQ(r.result, 0);
}

struct small_writer {
    int fd;
    uint8_t tag;
};

static void writes_small(void *arg)
{
    struct small_writer *s = arg;
    uint8_t block[1000];
    memset(block, s->tag, sizeof(block));
    uaddr_t u = ktest_bytes(block, sizeof(block));
    for (int i = 0; i < 200; i++)
        if (sys_write(s->fd, u, sizeof(block)) != (int64_t)sizeof(block))
            ktest_fail(__FILE__, __LINE__, "short write");
}

KTEST(pipe_writes_up_to_pipe_buf_are_not_mixed)
{
    int fd[2];
    struct small_writer s[4];
    struct thread *t[4];
    uint8_t block[1000];
    make_pipe(fd, 0);
    for (int i = 0; i < 4; i++) {
        s[i] = (struct small_writer){fd[1], (uint8_t)(i + 1)};
        t[i] = mock_start(writes_small, &s[i]);
    }
    for (int i = 0; i < 800; i++) {
        KCHECK_EQ(get(fd[0], block, sizeof(block)), (int64_t)sizeof(block));
        for (size_t k = 1; k < sizeof(block); k++)
            KCHECK(block[k] == block[0]);
    }
    for (int i = 0; i < 4; i++)
        mock_join(t[i]);
}

struct blocked_reader {
    int fd;
    int64_t result;
    bool done;
};

static void reads_one(void *arg)
{
    struct blocked_reader *b = arg;
    char c;
    b->result = get(b->fd, &c, 1);
    b->done = true;
}

KTEST(pipe_wakes_one_reader_for_each_piece_and_all_at_the_end)
{
    int fd[2];
    struct blocked_reader b[4];
    struct thread *t[4];
    make_pipe(fd, 0);
    for (int i = 0; i < 4; i++) {
        b[i] = (struct blocked_reader){.fd = fd[0]};
        t[i] = mock_start(reads_one, &b[i]);
    }
    mock_sleep(NSEC_PER_MSEC);
    KCHECK_EQ(put(fd[1], "ab", 2), 2); /* one is woken, and wakes the next for the rest */
    mock_sleep(NSEC_PER_MSEC);
    KCHECK_EQ(b[0].done + b[1].done + b[2].done + b[3].done, 2);
    KCHECK_EQ(sys_close(fd[1]), 0);
    int64_t sum = 0;
    for (int i = 0; i < 4; i++) {
        mock_join(t[i]);
        sum += b[i].result;
    }
    KCHECK_EQ(sum, 2);
}

KTEST(pipe_read_is_interrupted_by_a_signal)
{
    int64_t sys_rt_sigaction(int sig, uaddr_t new_addr, uaddr_t old_addr, uint64_t set_size);
    int fd[2];
    struct k_sigaction act = {.handler = 0x1000};
    struct k_siginfo info = {.si_signo = SIGUSR1};
    make_pipe(fd, 0);
    KCHECK_EQ(sys_rt_sigaction(SIGUSR1, ktest_bytes(&act, sizeof(act)), 0, 8), 0);
    struct blocked_reader b = {.fd = fd[0]};
    struct thread *t = mock_start(reads_one, &b);
    mock_sleep(NSEC_PER_MSEC);
    signal_send_thread(t, &info);
    mock_join(t);
    KCHECK_EQ(b.result, -ERESTARTSYS);
}

KTEST(pipe_packets_keep_their_borders)
{
    int fd[2];
    char buf[16];
    make_pipe(fd, O_DIRECT_K);
    KCHECK_EQ(put(fd[1], "one", 3), 3);
    KCHECK_EQ(put(fd[1], "three", 5), 5);
    KCHECK_EQ(put(fd[1], "x", 1), 1);
    KCHECK_EQ(get(fd[0], buf, sizeof(buf)), 3);
    KCHECK_EQ(get(fd[0], buf, 2), 2); /* the rest of it is dropped */
    KCHECK_EQ(get(fd[0], buf, sizeof(buf)), 1);
    KCHECK(buf[0] == 'x');
}

KTEST(pipe_size_can_change_while_it_holds_bytes)
{
    int fd[2];
    uint8_t buf[10000];
    make_pipe(fd, 0);
    KCHECK_EQ(sys_fcntl(fd[0], F_GETPIPE_SZ_K, 0), 65536);
    /* So that what is held goes around the ring's end. */
    uaddr_t u = ktest_map(65536);
    KCHECK_EQ(sys_write(fd[1], u, 60000), 60000);
    KCHECK_EQ(sys_read(fd[0], u, 60000), 60000);
    for (size_t i = 0; i < sizeof(buf); i++)
        buf[i] = (uint8_t)(i * 13 >> 2);
    KCHECK_EQ(put(fd[1], buf, sizeof(buf)), (int64_t)sizeof(buf));
    KCHECK_EQ(sys_fcntl(fd[0], F_SETPIPE_SZ_K, 8192), -EBUSY);
    KCHECK_EQ(sys_fcntl(fd[0], F_SETPIPE_SZ_K, 10001), 16384);
    KCHECK_EQ(sys_fcntl(fd[1], F_SETPIPE_SZ_K, 262144), 262144);
    uint8_t back[sizeof(buf)];
    KCHECK_EQ(get(fd[0], back, sizeof(back)), (int64_t)sizeof(back));
    KCHECK(memcmp(buf, back, sizeof(buf)) == 0);
    KCHECK_EQ(sys_fcntl(fd[0], F_SETPIPE_SZ_K, 0), 4096);
    KCHECK_EQ(sys_fcntl(fd[0], F_SETPIPE_SZ_K, 1u << 31), -ENOMEM);
    KCHECK_EQ(put(fd[1], buf, 100), 100);
    KCHECK_EQ(get(fd[0], back, 200), 100);
}

KTEST(pipe_fault_in_the_buffer_tells_what_was_moved)
{
    int64_t sys_munmap(uaddr_t addr, uint64_t len);
    int fd[2];
    uaddr_t u = ktest_map(8192);
    make_pipe(fd, 0);
    KCHECK_EQ(sys_munmap(u + 4096, 4096), 0);
    KCHECK_EQ(sys_write(fd[1], u + 4000, 200), -EFAULT); /* all or nothing below PIPE_BUF */
    KCHECK_EQ(sys_write(fd[1], u, 100), 100);
    KCHECK_EQ(sys_read(fd[0], u + 4096 - 60, 100), 60);
    KCHECK_EQ(sys_read(fd[0], u + 4096, 100), -EFAULT);
    KCHECK_EQ(sys_read(fd[0], u, 100), 40);
}
