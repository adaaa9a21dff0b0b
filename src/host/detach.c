/* SPDX-License-Identifier: Apache-2.0 */
/* Leaving the caller's terminal and session; see detach.h. */
#include "detach.h"

#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

#include "cleanup.h"

struct report {
    int code;
    char line[sizeof(((struct cella_error *)0)->message)];
};

/* In the command: waits for the launcher's word. */
static int await_report(int fd, pid_t child, struct cella_error *err)
{
    struct report report = {0};
    size_t got = 0;
    while (got < sizeof(report)) {
        ssize_t n = read(fd, (char *)&report + got, sizeof(report) - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    if (got < sizeof(report)) {
        int status = 0;
        waitpid(child, &status, 0);
        cella_error_set(err,
                        "the launcher ended before the keep ran, with status %d; see 'cella "
                        "info'",
                        status);
        return 125;
    }
    if (report.code)
        waitpid(child, NULL, 0); /* what it leaves is removed by then */
    report.line[sizeof(report.line) - 1] = '\0';
    if (report.line[0])
        cella_error_set(err, "%s", report.line);
    return report.code;
}

/* Streams 0 and 1 of the launcher; 2 is the caller's for now. */
static int leave_streams(void)
{
    int pipe_fd[2];
    cleanup_close int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null_fd < 0 || pipe2(pipe_fd, O_CLOEXEC) < 0)
        return -1;
    int failed = dup2(null_fd, STDIN_FILENO) < 0 || dup2(pipe_fd[1], STDOUT_FILENO) < 0;
    close(pipe_fd[0]);
    close(pipe_fd[1]);
    return failed ? -1 : 0;
}

int detach_begin(struct detach *detach, int *code, struct cella_error *err)
{
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) < 0)
        return cella_error_set(err, "cannot make a pipe: %s", strerror(errno));
    cleanup_close int read_fd = pair[0];
    cleanup_close int write_fd = pair[1];
    pid_t child = fork();
    if (child < 0)
        return cella_error_set(err,
                               "cannot start the launcher: %s; raise the limit of processes "
                               "(ulimit -u)",
                               strerror(errno));
    if (child > 0) {
        close(steal_fd(&write_fd));
        *code = await_report(read_fd, child, err);
        return 1;
    }
    setsid();
    detach->report_fd = steal_fd(&write_fd);
    /* The caller's directory may be on a file system that is to be unmounted. */
    if (chdir("/") < 0 || leave_streams() < 0)
        return cella_error_set(err, "cannot leave the caller's streams: %s", strerror(errno));
    return 0;
}

static bool send_report(struct detach *detach, const struct report *report)
{
    ssize_t n = write(detach->report_fd, report, sizeof(*report));
    close(detach->report_fd);
    detach->report_fd = -1;
    return n == sizeof(*report);
}

bool detach_started(struct detach *detach)
{
    const struct report report = {0};
    dup2(STDOUT_FILENO, STDERR_FILENO);
    return send_report(detach, &report);
}

void detach_failed(struct detach *detach, int code, const char *line)
{
    struct report report = {.code = code};
    if (detach->report_fd < 0)
        return;
    memcpy(report.line, line, strnlen(line, sizeof(report.line) - 1));
    send_report(detach, &report);
}
