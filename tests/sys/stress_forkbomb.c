/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stress: a fork bomb under RLIMIT_NPROC. Every process of the bomb forks until it is refused, and
 * so do its children. It must end in EAGAIN everywhere, and the machine must be usable afterwards.
 *
 * The limit counts the user's processes, so the bomb runs as its own user when started by root; as
 * an ordinary user it takes the room that is left above what already runs.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BOMB_LIMIT = 60, BOMB_USER = 65534, MAX_FORKS_EACH = 1000 };

/* Shared by all processes of the bomb. */
struct tally {
    int nr_forked; /* successful forks */
    int nr_refused; /* EAGAIN */
    int nr_other; /* any other error */
    int over; /* set when the bomb is to end */
};

static void add(int *counter)
{
    __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
}

static void explode(struct tally *tally)
{
    for (int i = 0; i < MAX_FORKS_EACH; i++) {
        pid_t pid = fork();
        if (pid > 0) {
            add(&tally->nr_forked);
            continue;
        }
        if (pid == -1) {
            add(errno == EAGAIN ? &tally->nr_refused : &tally->nr_other);
            break;
        }
        i = 0;
    }
    while (!__atomic_load_n(&tally->over, __ATOMIC_SEQ_CST))
        usleep(1000);
    _exit(0);
}

/* Runs in a child: becomes the bomb's user, sets the limit, starts the bomb. */
static void light(struct tally *tally)
{
    struct rlimit limit = {BOMB_LIMIT, BOMB_LIMIT};
    if (geteuid() == 0 && (setgroups(0, NULL) || setresgid(BOMB_USER, BOMB_USER, BOMB_USER) ||
                           setresuid(BOMB_USER, BOMB_USER, BOMB_USER)))
        _exit(2);
    if (setrlimit(RLIMIT_NPROC, &limit))
        _exit(3);
    alarm(60);
    explode(tally);
}

int main(void)
{
    struct tally *tally =
        mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = -1, last = -1;
    if (tally == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        light(tally);
    if (pid == -1) {
        perror("fork");
        return 1;
    }
    /* Every process that lives has been refused once nothing changes any more. */
    for (int quiet = 0, waited = 0; quiet < 200 && waited < 30000; waited++) {
        int now = __atomic_load_n(&tally->nr_forked, __ATOMIC_SEQ_CST) +
                  __atomic_load_n(&tally->nr_refused, __ATOMIC_SEQ_CST) +
                  __atomic_load_n(&tally->nr_other, __ATOMIC_SEQ_CST);
        quiet = now == last && tally->nr_refused > 0 ? quiet + 1 : 0;
        last = now;
        usleep(1000);
    }
    int nr_forked = tally->nr_forked, nr_refused = tally->nr_refused, nr_other = tally->nr_other;
    __atomic_store_n(&tally->over, 1, __ATOMIC_SEQ_CST);
    waitpid(pid, &status, 0);
    printf("the bomb was stopped by EAGAIN: %s\n", nr_refused > 0 ? "yes" : "no");
    printf("every process of it was refused: %s\n", nr_refused == nr_forked + 1 ? "yes" : "no");
    printf("it never passed the limit: %s\n", nr_forked < BOMB_LIMIT ? "yes" : "no");
    printf("other errors: %d\n", nr_other);
    printf("its first process ended with: %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    fflush(stdout);
    pid = fork(); /* a process of another kind, or later, is not hindered */
    if (pid == 0)
        _exit(7);
    printf("afterwards fork works: %s\n",
           pid > 0 && waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7 ? "yes" : "no");
    return nr_refused == nr_forked + 1 && nr_forked < BOMB_LIMIT && nr_other == 0 ? 0 : 1;
}
