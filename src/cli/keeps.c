/* SPDX-License-Identifier: Apache-2.0 */
/* Finding and ending keeps; see keeps.h. */
#include "keeps.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "cli.h"
#include "control.h"

/* How long a launcher that was told to end its keep may take. */
#define KILL_GRACE_MS 5000

int for_each_name(const char *verb, char *const *names, int count,
                  int (*act)(int state_fd, const char *name, struct cella_error *err))
{
    struct cella_error err = {0};
    int code = 0;
    if (count == 0) {
        cella_error_set(&err, "no keep named; 'cella ps -a' lists yours");
        return report_error(verb, &err);
    }
    cleanup_close int state_fd = state_open(&err);
    if (state_fd < 0)
        return report_error(verb, &err);
    for (int i = 0; i < count; i++)
        if (act(state_fd, names[i], &err) < 0)
            code = report_error(verb, &err);
    return code;
}

int find_keep(const char *name, struct keep_ref *ref, struct cella_error *err)
{
    cleanup_close int state_fd = state_open(err);
    ref->fd = state_fd < 0 ? -1 : keep_open(state_fd, name, &ref->info, err);
    return ref->fd;
}

const char *one_name(const char *verb, int argc, char *const *argv, struct cella_error *err)
{
    if (argc - optind == 1)
        return argv[optind];
    cella_error_set(err,
                    "give the name of one keep, e.g. cella %s my-keep; 'cella ps -a' lists "
                    "yours",
                    verb);
    return NULL;
}

int end_keep(const struct keep_ref *ref, bool force, int64_t grace_ms, struct cella_error *err)
{
    if (!keep_is_running(ref->fd))
        return 0;
    cleanup_close int pid_fd = -1;
    cleanup_close int fd = control_connect(ref->fd, ref->info.name, &pid_fd, err);
    if (fd < 0)
        return keep_is_running(ref->fd) ? -1 : 0;
    if (!force && control_send(fd, CONTROL_SIGNAL, SIGTERM) == 0 &&
        keep_wait_end(ref->fd, grace_ms))
        return 0;
    if (control_send(fd, CONTROL_KILL, 0) == 0 && keep_wait_end(ref->fd, KILL_GRACE_MS))
        return 0;
    /* The launcher itself stands still. The keep dies with it. */
    syscall(SYS_pidfd_send_signal, pid_fd, SIGKILL, NULL, 0);
    if (keep_wait_end(ref->fd, KILL_GRACE_MS))
        return 0;
    return cella_error_set(err,
                           "the launcher of '%s' does not end, not even by SIGKILL; the "
                           "host's kernel holds it",
                           ref->info.name);
}
