/* SPDX-License-Identifier: Apache-2.0 */
/* `cella stop`: ends keeps, with notice. */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli.h"
#include "keeps.h"
#include "values.h"

#define GRACE_S 10
#define GRACE_MAX_S 86400

static const char stop_usage[] =
    "usage: cella stop [--time SECONDS] NAME...\n\n"
    "Sends TERM to the programs of running keeps, and ends those keeps by force that\n"
    "still run after 10 seconds. Keeps that have ended stay as they are.\n\n"
    "  --time SECONDS        how long to wait; 0: end them at once\n";

struct task {
    const char *name;
    int64_t grace_ms;
    int result;
    struct cella_error err;
};

/* A thread for each, so that the waits go on at the same time. */
static void *stop_one(void *arg)
{
    struct task *task = arg;
    struct keep_ref ref;
    task->result = find_keep(task->name, &ref, &task->err);
    if (task->result >= 0) {
        task->result = end_keep(&ref, task->grace_ms == 0, task->grace_ms, &task->err);
        close(ref.fd);
    }
    return NULL;
}

static int stop_all(char **names, int count, int64_t grace_ms)
{
    struct task *tasks = calloc((size_t)count, sizeof(*tasks));
    pthread_t *threads = calloc((size_t)count, sizeof(*threads));
    int code = tasks && threads ? 0 : CELLA_EXIT_OWN_ERROR, started = 0;
    for (; !code && started < count; started++) {
        tasks[started] = (struct task){.name = names[started], .grace_ms = grace_ms};
        if (pthread_create(&threads[started], NULL, stop_one, &tasks[started]) != 0)
            break;
    }
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    for (int i = started; !code && i < count; i++)
        stop_one(&tasks[i]);
    for (int i = 0; tasks && threads && i < count; i++)
        if (tasks[i].result < 0)
            code = report_error("stop", &tasks[i].err);
    free(tasks);
    free(threads);
    return code;
}

static int stop_verb(int argc, char **argv)
{
    static const struct option options[] = {
        {"time", required_argument, NULL, 256}, {"help", no_argument, NULL, 'h'}, {0}};
    struct cella_error err = {0};
    uint64_t seconds = GRACE_S;
    const char *rest;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, ":h", options, NULL)) != -1;) {
        switch (c) {
        case 'h': fputs(stop_usage, stdout); return 0;
        case 256:
            if (parse_number(optarg, GRACE_MAX_S, &seconds, &rest) && !*rest)
                break;
            cella_error_set(&err, "--time: '%s' is not a number of seconds from 0 to %d", optarg,
                            GRACE_MAX_S);
            return report_error("stop", &err);
        default: usage_error(&err, "stop", argv, c); return report_error("stop", &err);
        }
    }
    if (optind == argc) {
        cella_error_set(&err, "no keep named; 'cella ps' lists those that run");
        return report_error("stop", &err);
    }
    return stop_all(argv + optind, argc - optind, (int64_t)seconds * 1000);
}

const struct verb verb_stop = {
    .name = "stop",
    .summary = "end keeps, with notice",
    .usage = stop_usage,
    .run = stop_verb,
};
