/* SPDX-License-Identifier: Apache-2.0 */
/* `cella wait`: waits for a keep's end. */
#include <unistd.h>

#include "cleanup.h"
#include "cli.h"
#include "keeps.h"
#include "values.h"

static const char wait_usage[] =
    "usage: cella wait NAME\n\n"
    "Waits until the keep has ended. Exit code: that of its program.\n";

static int wait_for(const char *name, struct cella_error *err)
{
    struct keep_ref ref;
    if (find_keep(name, &ref, err) < 0)
        return -1;
    keep_wait_end(ref.fd, -1);
    close(ref.fd);
    if (find_keep(name, &ref, err) < 0)
        return -1;
    close(ref.fd);
    if (ref.info.running || !ref.info.state.ended_s)
        return cella_error_set(err, "the launcher of '%s' was killed; nobody knows its exit code",
                               name);
    return ref.info.state.exit_code;
}

static int wait_verb(int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
    struct cella_error err = {0};
    opterr = 0;
    int c = getopt_long(argc, argv, ":h", options, NULL);
    if (c == 'h') {
        fputs(wait_usage, stdout);
        return 0;
    }
    const char *name = NULL;
    int code = -1;
    if (c != -1)
        usage_error(&err, "wait", argv, c);
    else if ((name = one_name("wait", argc, argv, &err)))
        code = wait_for(name, &err);
    return code < 0 ? report_error("wait", &err) : code;
}

const struct verb verb_wait = {
    .name = "wait",
    .summary = "wait for a keep's end",
    .usage = wait_usage,
    .run = wait_verb,
};
