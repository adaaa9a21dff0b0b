/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Micro-benchmarks: `micro NAME COUNT [DIR]` prints nanoseconds per operation. The same static
 * binary runs natively and in a keep. DIR holds the data file and the program `true` that some of
 * them need.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long count;
static const char *dir = "/tmp";

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void must(int ok, const char *what)
{
    if (!ok) {
        perror(what);
        exit(1);
    }
}

/* futex(2) as libraries call it: the number is loaded right before the SYSCALL instruction. */
static long futex(int *word, int op, int value)
{
    long ret;
    register long timeout __asm__("r10") = 0;
    __asm__ volatile("movl $202, %%eax\n\tsyscall"
                     : "=&a"(ret)
                     : "D"(word), "S"((long)op), "d"((long)value), "r"(timeout)
                     : "rcx", "r11", "memory");
    return ret;
}
enum { WAIT_PRIVATE = 128, WAKE_PRIVATE = 129 };

static double run_getppid(void)
{
    double start = now_ns();
    for (long i = 0; i < count; i++)
        getppid();
    return now_ns() - start;
}

static double run_clock(void)
{
    struct timespec t;
    double start = now_ns();
    for (long i = 0; i < count; i++)
        clock_gettime(CLOCK_MONOTONIC, &t);
    return now_ns() - start;
}

static double run_pread(void)
{
    char path[4096], buf[1024];
    snprintf(path, sizeof(path), "%s/data", dir);
    int fd = open(path, O_RDONLY);
    must(fd >= 0 && pread(fd, buf, sizeof(buf), 0) == sizeof(buf), path);
    double start = now_ns();
    for (long i = 0; i < count; i++)
        must(pread(fd, buf, sizeof(buf), 0) == sizeof(buf), "pread");
    return now_ns() - start;
}

static int ping, pong;

static void hand(int *word)
{
    __atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
    futex(word, WAKE_PRIVATE, 1);
}
static void take(int *word)
{
    while (__atomic_exchange_n(word, 0, __ATOMIC_SEQ_CST) == 0)
        futex(word, WAIT_PRIVATE, 0);
}
static void *futex_partner(void *arg)
{
    for (long i = 0; i < count; i++) {
        take(&ping);
        hand(&pong);
    }
    return arg;
}
static double run_futex(void)
{
    pthread_t t;
    must(pthread_create(&t, NULL, futex_partner, NULL) == 0, "pthread_create");
    double start = now_ns();
    for (long i = 0; i < count; i++) {
        hand(&ping);
        take(&pong);
    }
    double used = now_ns() - start;
    pthread_join(t, NULL);
    return used;
}

static int to[2], from[2];

static void *pipe_partner(void *arg)
{
    char c;
    while (read(to[0], &c, 1) == 1)
        must(write(from[1], &c, 1) == 1, "write");
    return arg;
}
static double pipe_rounds(void)
{
    char c = 'x';
    double start = now_ns();
    for (long i = 0; i < count; i++) {
        must(write(to[1], &c, 1) == 1, "write");
        must(read(from[0], &c, 1) == 1, "read");
    }
    return now_ns() - start;
}
static double run_pipe_threads(void)
{
    pthread_t t;
    must(pipe(to) == 0 && pipe(from) == 0, "pipe");
    must(pthread_create(&t, NULL, pipe_partner, NULL) == 0, "pthread_create");
    double used = pipe_rounds();
    close(to[1]);
    pthread_join(t, NULL);
    return used;
}
static double run_pipe_processes(void)
{
    must(pipe(to) == 0 && pipe(from) == 0, "pipe");
    pid_t child = fork();
    must(child >= 0, "fork");
    if (child == 0) {
        close(to[1]);
        pipe_partner(NULL);
        _exit(0);
    }
    double used = pipe_rounds();
    close(to[1]);
    waitpid(child, NULL, 0);
    return used;
}
static double run_pipe_one_cpu(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    must(sched_setaffinity(0, sizeof(set), &set) == 0, "sched_setaffinity");
    return run_pipe_processes();
}

static double run_fork(void)
{
    double start = now_ns();
    for (long i = 0; i < count; i++) {
        pid_t child = fork();
        must(child >= 0, "fork");
        if (child == 0)
            _exit(0);
        waitpid(child, NULL, 0);
    }
    return now_ns() - start;
}

static double run_vfork_exec(void)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/true", dir);
    double start = now_ns();
    for (long i = 0; i < count; i++) {
        pid_t child = vfork();
        must(child >= 0, "vfork");
        if (child == 0) {
            execl(path, "true", (char *)NULL);
            _exit(127);
        }
        int status;
        waitpid(child, &status, 0);
        must(status == 0, path);
    }
    return now_ns() - start;
}

/* A page an operation. */
static double run_touch(void)
{
    size_t len = (size_t)count * 4096;
    char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(p != MAP_FAILED, "mmap");
    double start = now_ns();
    for (size_t i = 0; i < len; i += 4096)
        p[i] = 1;
    double used = now_ns() - start;
    munmap(p, len);
    return used;
}

static double run_cpu(void)
{
    volatile unsigned long sink = 0;
    unsigned long x = 88172645463325252ul;
    double start = now_ns();
    for (long i = 0; i < count; i++)
        for (int k = 0; k < 1000; k++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
        }
    sink = x;
    (void)sink;
    return now_ns() - start;
}

static const struct {
    const char *name;
    double (*run)(void);
} tests[] = {
    {"getppid", run_getppid},
    {"clock", run_clock},
    {"pread", run_pread},
    {"futex", run_futex},
    {"pipe-threads", run_pipe_threads},
    {"pipe-processes", run_pipe_processes},
    {"pipe-one-cpu", run_pipe_one_cpu},
    {"fork", run_fork},
    {"vfork-exec", run_vfork_exec},
    {"touch", run_touch},
    {"cpu", run_cpu},
};

int main(int argc, char **argv)
{
    if (argc < 3 || (count = atol(argv[2])) <= 0) {
        fprintf(stderr, "usage: micro NAME COUNT [DIR]\n");
        return 2;
    }
    if (argc > 3)
        dir = argv[3];
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        if (strcmp(argv[1], tests[i].name) == 0) {
            printf("%.1f\n", tests[i].run() / (double)count);
            return 0;
        }
    }
    fprintf(stderr, "micro: there is no test '%s'\n", argv[1]);
    return 2;
}
