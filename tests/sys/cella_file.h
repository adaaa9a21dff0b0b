/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Helpers shared by the tests of files and descriptors: raw calls, hostile arguments (names at the
 * limit, memory that cannot be touched) and processes or pipes brought to a limit.
 */
#ifndef CELLA_FILE_H
#define CELLA_FILE_H

#include "cella_test.h"

/* The system call of that name itself; libc's function of the same name may use another one. */
#define SYS(call, ...) syscall(SYS_##call, ##__VA_ARGS__)

/* A descriptor that is never open. */
#define CELLA_NO_FD 999

/* The longest path the kernel takes, without the NUL. */
#define CELLA_PATH_LONGEST 4095

/* An address in the process's range that can neither be read nor written. */
CELLA_UNUSED static void *cella_bad_address(void)
{
    static void *page;
    if (!page)
        page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    return page;
}

/* A file name of len characters (at most 8191). The buffer is shared by all calls. */
CELLA_UNUSED static const char *cella_name(size_t len)
{
    static char name[8192];
    memset(name, 'n', len);
    name[len] = 0;
    return name;
}

/* A path of exactly len characters (at most 8191) that means tail in the current directory, as in
 * "./././tail"; len must be tail's or at least 2 more. Two buffers are used
 * in turn, for calls that take two paths. */
CELLA_UNUSED static const char *cella_path(const char *tail, size_t len)
{
    static char buffers[2][8192];
    static unsigned turn;
    char *path = buffers[turn++ % 2];
    size_t lead = len - strlen(tail);
    for (size_t i = 0; i < lead; i++)
        path[i] = i % 2 || i + 1 == lead ? '/' : '.';
    strcpy(path + lead, tail);
    return path;
}

/* Leaves room for just n further descriptors. */
CELLA_UNUSED static void cella_limit_fds(unsigned n)
{
    struct rlimit limit;
    int next = open("/", O_PATH | O_CLOEXEC);
    CHECK(next >= 0);
    CHECK_OK(close(next));
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = (rlim_t)next + n;
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
}

/* Limits the size of files that the process may make, without the signal's killing it. */
CELLA_UNUSED static void cella_limit_file_size(size_t bytes)
{
    struct rlimit limit = {bytes, bytes};
    CHECK(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    CHECK_OK(setrlimit(RLIMIT_FSIZE, &limit));
}

/* Opens for the test; fails it if that is not possible. */
CELLA_UNUSED static int cella_open(const char *path, int flags)
{
    int fd = (int)SYS(openat, AT_FDCWD, path, flags, 0644);
    CHECK(fd >= 0);
    return fd;
}

CELLA_UNUSED static void cella_pipe(int fds[2])
{
    CHECK_OK(pipe2(fds, 0));
}

CELLA_UNUSED static void cella_set_nonblocking(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFL);
    CHECK_OK(flags);
    CHECK_OK(fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
}

/* Writes until not one byte more fits; returns how many did. */
CELLA_UNUSED static size_t cella_fill_pipe(int fd)
{
    static const char zeros[4096];
    size_t total = 0;
    ssize_t n;
    cella_set_nonblocking(fd, true);
    for (size_t chunk = sizeof(zeros); chunk; chunk = chunk == 1 ? 0 : 1)
        while ((n = write(fd, zeros, chunk)) > 0)
            total += (size_t)n;
    cella_set_nonblocking(fd, false);
    return total;
}

/* The whole file must be exactly these bytes. */
CELLA_UNUSED static void cella_check_file(const char *path, const char *data, size_t len)
{
    char buf[16384];
    int fd = cella_open(path, O_RDONLY);
    CHECK(len < sizeof(buf));
    CHECK_EQ(read(fd, buf, sizeof(buf)), len);
    CHECK(!memcmp(buf, data, len));
    CHECK_OK(close(fd));
}

CELLA_UNUSED static long long cella_file_size(const char *path)
{
    struct stat st;
    CHECK_OK(stat(path, &st));
    return st.st_size;
}

/* ---- for calls with a signal mask ---- */

CELLA_UNUSED static uint64_t alarm_bit = 1ull << (SIGALRM - 1);

/* Blocks SIGALRM and makes one pending. */
CELLA_UNUSED static void pending_alarm(void)
{
    struct sigaction action = {.sa_handler = cella_tick_handler};
    cella_ticks = 0;
    CHECK_OK(sigaction(SIGALRM, &action, NULL));
    CHECK_OK(SYS(rt_sigprocmask, SIG_BLOCK, &alarm_bit, NULL, 8));
    CHECK_OK(kill(getpid(), SIGALRM));
}

CELLA_UNUSED static bool alarm_is_blocked(void)
{
    uint64_t mask = 0;
    CHECK_OK(SYS(rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8));
    return mask & alarm_bit;
}

#endif
