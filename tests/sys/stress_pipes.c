/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stress: 10,000 pipes open at once, each carrying a message of its own. In one process that needs
 * 20,000 descriptors and a few more; where the hard limit forbids them the pipes are shared out
 * among as few processes as will do, which hold theirs until all are open.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NR_PIPES = 10000, SPARE_DESCRIPTORS = 64 };

/* Shared by all processes. */
struct tally {
    int nr_opened, nr_right, nr_ended, nr_closed;
    int nr_ready; /* processes that have opened what they could */
    int go; /* set when all are ready */
};

static int ends[NR_PIPES][2];

static void add(int *counter, int n)
{
    __atomic_add_fetch(counter, n, __ATOMIC_SEQ_CST);
}

/* Opens the pipes [first, last), and uses and closes them once every process has its own. */
static void work(struct tally *tally, int first, int last)
{
    int nr_right = 0, nr_ended = 0, nr_closed = 0, i;
    for (i = first; i < last && pipe(ends[i]) == 0; i++)
        ;
    last = i;
    add(&tally->nr_opened, last - first);
    add(&tally->nr_ready, 1);
    while (!__atomic_load_n(&tally->go, __ATOMIC_SEQ_CST))
        usleep(1000);
    for (i = first; i < last; i++)
        if (write(ends[i][1], &i, sizeof(i)) != sizeof(i))
            break;
    for (i = last - 1; i >= first; i--) {
        int got = -1;
        if (read(ends[i][0], &got, sizeof(got)) == sizeof(got) && got == i)
            nr_right++;
    }
    for (i = first; i < last; i++) {
        char c;
        nr_ended += close(ends[i][1]) == 0 && read(ends[i][0], &c, 1) == 0;
        nr_closed += close(ends[i][0]) == 0;
    }
    add(&tally->nr_right, nr_right);
    add(&tally->nr_ended, nr_ended);
    add(&tally->nr_closed, nr_closed);
    _exit(0);
}

/* Raises the limit as far as this process may, and returns it. */
static int descriptor_limit(void)
{
    const rlim_t wanted = 2 * NR_PIPES + SPARE_DESCRIPTORS;
    struct rlimit limit, higher = {wanted, wanted};
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return 0;
    if (limit.rlim_cur >= wanted)
        return (int)wanted;
    if (limit.rlim_max >= wanted)
        higher.rlim_max = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &higher) == 0)
        return (int)wanted;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? (int)limit.rlim_cur : 0;
}

int main(void)
{
    struct tally *tally =
        mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int nr_each = (descriptor_limit() - SPARE_DESCRIPTORS) / 2, nr_processes = 0;
    if (tally == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    if (nr_each < 100) {
        printf("the hard limit of descriptors is too low: nothing to test\n");
        return 0;
    }
    fflush(stdout);
    for (int first = 0; first < NR_PIPES; first += nr_each, nr_processes++) {
        int last = first + nr_each < NR_PIPES ? first + nr_each : NR_PIPES;
        pid_t pid = fork();
        if (pid == 0)
            work(tally, first, last);
        if (pid == -1) {
            printf("not ok pipes: fork: %s\n", strerror(errno));
            break;
        }
    }
    while (__atomic_load_n(&tally->nr_ready, __ATOMIC_SEQ_CST) < nr_processes)
        usleep(1000);
    __atomic_store_n(&tally->go, 1, __ATOMIC_SEQ_CST);
    while (wait(NULL) > 0)
        ;
    printf("pipes open together: %d\n", tally->nr_opened);
    printf("messages right: %d\n", tally->nr_right);
    printf("ends of file: %d\n", tally->nr_ended);
    printf("closed: %d\n", tally->nr_closed);
    return tally->nr_right == NR_PIPES && tally->nr_ended == NR_PIPES &&
                   tally->nr_closed == NR_PIPES
               ? 0
               : 1;
}
