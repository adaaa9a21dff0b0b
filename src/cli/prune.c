/* SPDX-License-Identifier: Apache-2.0 */
/* `cella prune`: removes all ended keeps. */
#include <stdlib.h>

#include "cleanup.h"
#include "cli.h"
#include "keeps.h"
#include "values.h"

static const char prune_usage[] =
    "usage: cella prune\n\n"
    "Removes all ended keeps with their logs, and prints their names.\n";

static int prune(struct cella_error *err)
{
    cleanup_free struct keep_info *list = NULL;
    unsigned count;
    int result = 0;
    cleanup_close int state_fd = state_open(err);
    if (state_fd < 0 || keep_list(state_fd, &list, &count, err) < 0)
        return -1;
    for (unsigned i = 0; i < count; i++) {
        if (list[i].running)
            continue;
        if (keep_remove(state_fd, list[i].name, err) < 0)
            result = -1;
        else
            puts(list[i].name);
    }
    return result;
}

static int prune_verb(int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
    struct cella_error err = {0};
    opterr = 0;
    int c = getopt_long(argc, argv, ":h", options, NULL);
    if (c == 'h') {
        fputs(prune_usage, stdout);
        return 0;
    }
    if (c != -1)
        usage_error(&err, "prune", argv, c);
    else if (optind < argc)
        cella_error_set(&err, "%s: takes no names; 'cella rm NAME' removes one keep", argv[optind]);
    else if (prune(&err) == 0)
        return 0;
    return report_error("prune", &err);
}

const struct verb verb_prune = {
    .name = "prune",
    .summary = "remove all ended keeps",
    .usage = prune_usage,
    .run = prune_verb,
};
