/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stress: 100,000 real-time signals, none lost, none twice, each in its order.
 *
 * The first half a process queues to itself in batches while they are blocked, and handles when it
 * unblocks them. The second half a child queues to its parent, which handles them as they come; a
 * full queue answers EAGAIN, and the sender tries again.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NR_HALF = 50000, BATCH = 500 };

static volatile sig_atomic_t nr_handled, nr_out_of_order, expected_value;

static void handle(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    if (info->si_value.sival_int != expected_value)
        nr_out_of_order = nr_out_of_order + 1;
    expected_value = expected_value + 1;
    nr_handled = nr_handled + 1;
}

static void block(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(how, &set, NULL);
}

/* Queues one signal, however long the queue stays full; -1 for any other error. */
static int queue_one(pid_t pid, int value)
{
    union sigval carried = {.sival_int = value};
    while (sigqueue(pid, SIGRTMIN, carried)) {
        if (errno != EAGAIN)
            return -1;
        sched_yield();
    }
    return 0;
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_RESTART};
    int status = -1;
    sigaction(SIGRTMIN, &action, NULL);

    for (int value = 0; value < NR_HALF;) {
        block(SIG_BLOCK);
        for (int i = 0; i < BATCH; i++, value++)
            if (queue_one(getpid(), value)) {
                printf("not ok signals: sigqueue: %s\n", strerror(errno));
                return 1;
            }
        block(SIG_UNBLOCK);
    }
    printf("queued to itself and handled: %d\n", (int)nr_handled);
    printf("out of order: %d\n", (int)nr_out_of_order);
    fflush(stdout);

    nr_handled = nr_out_of_order = expected_value = 0;
    block(SIG_BLOCK);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == -1) {
        printf("not ok signals: fork: %s\n", strerror(errno));
        return 1;
    }
    if (pid == 0) {
        for (int value = 0; value < NR_HALF; value++)
            if (queue_one(parent, value))
                _exit(1);
        _exit(0);
    }
    block(SIG_UNBLOCK);
    while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
        ;
    while (nr_handled < NR_HALF && status == 0)
        sched_yield();
    printf("sender's status: %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    printf("queued by a child and handled: %d\n", (int)nr_handled);
    printf("out of order: %d\n", (int)nr_out_of_order);
    return nr_handled == NR_HALF && nr_out_of_order == 0 ? 0 : 1;
}
