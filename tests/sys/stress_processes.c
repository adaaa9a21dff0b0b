/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stress: 500 processes at once. All are held by one pipe; when its write end is closed each
 * reports its number through another pipe and exits with a status that depends on it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NR_PROCESSES = 500 };

static void child(int number, const int gate[2], const int report[2])
{
    char c;
    close(gate[1]);
    while (read(gate[0], &c, 1) == -1 && errno == EINTR)
        ;
    if (write(report[1], &number, sizeof(number)) != sizeof(number))
        _exit(255);
    _exit(number % 200);
}

int main(void)
{
    static pid_t pid[NR_PROCESSES];
    static int seen[NR_PROCESSES];
    int gate[2], report[2], nr_started = 0, nr_reports = 0, nr_statuses = 0, number;
    if (pipe(gate) || pipe(report)) {
        perror("pipe");
        return 1;
    }
    for (int i = 0; i < NR_PROCESSES; i++) {
        pid[i] = fork();
        if (pid[i] == 0)
            child(i, gate, report);
        if (pid[i] == -1) {
            printf("not ok processes: process %d of %d was refused: %s\n", i, NR_PROCESSES,
                   strerror(errno));
            break;
        }
        nr_started++;
    }
    close(gate[1]);
    close(report[1]);
    while (read(report[0], &number, sizeof(number)) == sizeof(number))
        if (number >= 0 && number < NR_PROCESSES && !seen[number]++)
            nr_reports++;
    for (int i = 0; i < nr_started; i++) {
        int status;
        if (waitpid(pid[i], &status, 0) == pid[i] && WIFEXITED(status) &&
            WEXITSTATUS(status) == i % 200)
            nr_statuses++;
    }
    printf("processes that existed together: %d\n", nr_started);
    printf("reports: %d\n", nr_reports);
    printf("right statuses: %d\n", nr_statuses);
    printf("children left: %s\n", waitpid(-1, NULL, 0) == -1 && errno == ECHILD ? "none" : "some");
    return nr_statuses == NR_PROCESSES && nr_reports == NR_PROCESSES ? 0 : 1;
}
