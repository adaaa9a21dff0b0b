/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many operations that need no host: `ops COUNT [KIND]...` does COUNT of each kind (all without
 * KIND) and prints a line that follows from COUNT. The test compares what 2 and what 1,000,000 of
 * each cost in host operations. The calls are made as C libraries make them, the number loaded
 * right before the instruction; syscall(3), which all calls share, is one site for many numbers and
 * would trap each time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long count;

static void fail(const char *what)
{
    fprintf(stderr, "ops: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* A byte into the pipe and out: two calls an operation. */
static uint64_t do_pipe(void)
{
    int fd[2];
    uint64_t sum = 0;
    if (pipe(fd))
        fail("pipe");
    for (long i = 0; i < count; i++) {
        unsigned char in = (unsigned char)i, out = 0;
        if (write(fd[1], &in, 1) != 1 || read(fd[0], &out, 1) != 1 || in != out)
            fail("pipe");
        sum += out;
    }
    close(fd[0]);
    close(fd[1]);
    return sum;
}

/* futex(2) and clock_gettime(2) have no wrapper in the library, or one that goes to the vDSO. */
static long futex(uint32_t *word, long op, uint32_t value)
{
    long result;
    register const struct timespec *timeout __asm__("r10") = NULL;
    __asm__ volatile("movl %[nr], %%eax\n\tsyscall"
                     : "=&a"(result)
                     : [nr] "i"(SYS_futex), "D"(word), "S"(op), "d"(value), "r"(timeout)
                     : "rcx", "r11", "memory");
    return result;
}

static long clock_call(struct timespec *ts)
{
    long result;
    __asm__ volatile("movl %[nr], %%eax\n\tsyscall"
                     : "=&a"(result)
                     : [nr] "i"(SYS_clock_gettime), "D"(CLOCK_MONOTONIC), "S"(ts)
                     : "rcx", "r11", "memory");
    return result;
}

static uint32_t turn;

static void await_turn(uint32_t mine)
{
    for (;;) {
        uint32_t now = __atomic_load_n(&turn, __ATOMIC_ACQUIRE);
        if (now == mine)
            return;
        long result = futex(&turn, FUTEX_WAIT_PRIVATE, now);
        if (result != 0 && result != -EAGAIN && result != -EINTR)
            fail("FUTEX_WAIT");
    }
}

static void pass_turn(uint32_t to)
{
    __atomic_store_n(&turn, to, __ATOMIC_RELEASE);
    if (futex(&turn, FUTEX_WAKE_PRIVATE, 1) < 0)
        fail("FUTEX_WAKE");
}

static void *other_thread(void *arg)
{
    (void)arg;
    for (long i = 0; i < count / 2; i++) {
        await_turn(1);
        pass_turn(0);
    }
    return NULL;
}

/* The turn goes to and fro between two threads; each hand-over is an operation. */
static uint64_t do_futex(void)
{
    pthread_t thread;
    turn = 0;
    if (pthread_create(&thread, NULL, other_thread, NULL))
        fail("pthread_create");
    for (long i = 0; i < count / 2; i++) {
        pass_turn(1);
        await_turn(0);
    }
    pthread_join(thread, NULL);
    return (uint64_t)count / 2;
}

static uint64_t do_eventfd(void)
{
    int fd = eventfd(0, 0);
    uint64_t sum = 0;
    if (fd < 0)
        fail("eventfd");
    for (long i = 0; i < count; i++) {
        uint64_t in = (uint64_t)(i % 1000) + 1, out = 0;
        if (write(fd, &in, 8) != 8 || read(fd, &out, 8) != 8 || in != out)
            fail("eventfd");
        sum += out;
    }
    close(fd);
    return sum;
}

/* A file of 1 MiB, written and read at places all over it. */
static uint64_t do_tmpfs(void)
{
    const char *path = "/dev/shm/cella-ops";
    uint64_t sum = 0;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0)
        fail(path);
    for (long i = 0; i < count; i++) {
        uint64_t in = (uint64_t)i, out = 0;
        off_t at = (off_t)(i * 7919 % 131072) * 8;
        if (pwrite(fd, &in, 8, at) != 8 || pread(fd, &out, 8, at) != 8 || in != out)
            fail(path);
        sum += out;
    }
    close(fd);
    unlink(path);
    return sum;
}

static volatile uint64_t nr_signals;

static void on_signal(int sig)
{
    (void)sig;
    nr_signals++;
}

static uint64_t do_signal(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    nr_signals = 0;
    pid_t pid = getpid();
    for (long i = 0; i < count; i++)
        if (kill(pid, SIGUSR1))
            fail("kill");
    return nr_signals;
}

static uint64_t do_getpid(void)
{
    uint64_t same = 0;
    pid_t pid = getpid();
    for (long i = 0; i < count; i++)
        same += getpid() == pid;
    return same;
}

/* The vDSO's answer and the call's, by turns; time does not go back. */
static uint64_t do_clock(void)
{
    uint64_t forward = 0, last = 0;
    for (long i = 0; i < count; i++) {
        struct timespec ts;
        if (i & 1 ? clock_call(&ts) : clock_gettime(CLOCK_MONOTONIC, &ts))
            fail("clock_gettime");
        uint64_t now = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
        forward += now >= last;
        last = now;
    }
    return forward;
}

static const struct {
    const char *name;
    uint64_t (*run)(void);
} kinds[] = {
    {"pipe", do_pipe},     {"futex", do_futex},   {"eventfd", do_eventfd}, {"tmpfs", do_tmpfs},
    {"signal", do_signal}, {"getpid", do_getpid}, {"clock", do_clock},
};

int main(int argc, char **argv)
{
    count = argc > 1 ? atol(argv[1]) : 1;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        int wanted = argc <= 2;
        for (int a = 2; a < argc; a++)
            wanted |= strcmp(argv[a], kinds[i].name) == 0;
        if (wanted)
            printf("%s %llu\n", kinds[i].name, (unsigned long long)kinds[i].run());
    }
    return 0;
}
