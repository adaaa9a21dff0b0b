/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process keep holds at the host: the pages of its kernel's memory file, and the private
 * pages of its host processes.
 *
 * RssAnon counts a page once for every process that shares it after fork, so the sum is an upper
 * bound, and cheap. Only when that bound comes near the limit is the exact figure taken (Pss_Anon,
 * which walks page tables). Host tasks are counted on the way: nothing else bounds those that a
 * hostile keep may clone when its launcher runs as root.
 */
#include "memwatch.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "cleanup.h"

#define INTERVAL_MIN_MS 20
#define INTERVAL_REST_MS 100 /* at least, while nothing changes */
#define INTERVAL_MAX_MS 1000
/* As fast as a program can touch new memory; the next sample comes before that could use up what is
 * left. */
#define GROWTH_BYTES_PER_MS (4u << 20)
#define MAX_PROCESSES 65536u
#define MAX_TASKS_DEFAULT 16384u

/* Process numbers found and not yet looked into: a queue, for a hostile keep may make its tree as
 * deep as it is wide. One scan at a time. */
static pid_t queue[MAX_PROCESSES];

struct scan {
    uint64_t anon_bytes;
    unsigned nr_processes; /* in queue */
    uint32_t nr_tasks;
    bool exact;
};

static uint64_t read_number(const char *path)
{
    char buf[32] = "";
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, buf, sizeof(buf) - 1) <= 0)
        return 0;
    return strtoull(buf, NULL, 10);
}

uint32_t memwatch_tasks_allowed(void)
{
    uint64_t pids = read_number("/proc/sys/kernel/pid_max");
    uint64_t threads = read_number("/proc/sys/kernel/threads-max");
    uint64_t least = pids && pids < threads ? pids : threads;
    uint64_t allowed = least ? least / 2 : MAX_TASKS_DEFAULT;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NPROC, &limit) == 0 && limit.rlim_cur < allowed)
        allowed = limit.rlim_cur;
    return allowed < MAX_PROCESSES ? (uint32_t)allowed : MAX_PROCESSES;
}

void memwatch_init(struct memwatch *watch, int kernel_memory_fd, pid_t pid, uint64_t limit_bytes)
{
    *watch = (struct memwatch){
        .kernel_memory_fd = kernel_memory_fd,
        .pid = pid,
        .limit_bytes = limit_bytes,
        .max_tasks = memwatch_tasks_allowed(),
        .interval_ms = INTERVAL_REST_MS,
    };
}

/* Reads a /proc file of at most `room` - 1 bytes; false when it is not there. */
static bool read_proc(const char *path, char *buf, size_t room)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    if (fd < 0)
        return false;
    for (ssize_t n; len < room - 1 && (n = read(fd, buf + len, room - 1 - len)) > 0;)
        len += (size_t)n;
    buf[len] = '\0';
    return len > 0;
}

/* The number of kB behind `key` at the start of a line, in bytes. */
static bool find_kb(const char *text, const char *key, uint64_t *bytes)
{
    const char *at = strstr(text, key);
    if (!at)
        return false;
    *bytes = strtoull(at + strlen(key), NULL, 10) * 1024;
    return true;
}

static uint64_t process_anon(pid_t pid, bool exact)
{
    char path[64], buf[4096];
    uint64_t bytes = 0;
    if (exact) {
        snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
        if (read_proc(path, buf, sizeof(buf)) && find_kb(buf, "\nPss_Anon:", &bytes))
            return bytes;
    }
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    if (read_proc(path, buf, sizeof(buf)))
        find_kb(buf, "\nRssAnon:", &bytes);
    return bytes;
}

static void found(struct scan *scan, pid_t pid)
{
    if (pid > 0 && scan->nr_processes < MAX_PROCESSES)
        queue[scan->nr_processes++] = pid;
}

/* Adds the children of one thread to the queue. */
static void find_children(struct scan *scan, const char *path)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    /* A list of numbers with spaces between them; one may be cut at the end of a block. */
    char block[1024];
    pid_t child = 0;
    for (ssize_t n; (n = read(fd, block, sizeof(block))) > 0;)
        for (ssize_t i = 0; i < n; i++) {
            if (isdigit((unsigned char)block[i])) {
                child = child * 10 + (block[i] - '0');
            } else {
                found(scan, child);
                child = 0;
            }
        }
    found(scan, child);
}

/* Adds up a process and all that come from it. They come and go while we look. */
static void scan_tree(struct scan *scan, pid_t first)
{
    found(scan, first);
    for (unsigned at = 0; at < scan->nr_processes; at++) {
        char path[320];
        scan->anon_bytes += process_anon(queue[at], scan->exact);
        snprintf(path, sizeof(path), "/proc/%d/task", queue[at]);
        cleanup_dir DIR *tasks = opendir(path);
        for (struct dirent *task; tasks && (task = readdir(tasks));) {
            if (!isdigit((unsigned char)task->d_name[0]))
                continue;
            scan->nr_tasks++;
            snprintf(path, sizeof(path), "/proc/%d/task/%s/children", queue[at], task->d_name);
            find_children(scan, path);
        }
    }
}

static uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void memwatch_sample(struct memwatch *watch)
{
    uint64_t begin = now_ms(), kernel_bytes = 0;
    struct stat st;
    if (fstat(watch->kernel_memory_fd, &st) == 0)
        kernel_bytes = (uint64_t)st.st_blocks * 512;

    struct scan scan = {0};
    scan_tree(&scan, watch->pid);
    if (scan.nr_processes > 1 && kernel_bytes + scan.anon_bytes > watch->limit_bytes / 2) {
        scan = (struct scan){.exact = true};
        scan_tree(&scan, watch->pid);
    }

    uint64_t used = kernel_bytes + scan.anon_bytes;
    uint64_t left = used < watch->limit_bytes ? watch->limit_bytes - used : 0;
    uint64_t interval = left / GROWTH_BYTES_PER_MS;
    uint64_t least = used == watch->used_bytes ? INTERVAL_REST_MS : INTERVAL_MIN_MS;
    watch->used_bytes = used;
    watch->nr_tasks = scan.nr_tasks;
    watch->interval_ms = (uint32_t)(interval < least             ? least
                                    : interval > INTERVAL_MAX_MS ? INTERVAL_MAX_MS
                                                                 : interval);
    /* Never more than some percent of a CPU, however many processes there are. */
    uint64_t cost_ms = now_ms() - begin;
    if (cost_ms * 25 > watch->interval_ms)
        watch->interval_ms = (uint32_t)(cost_ms * 25);
}
