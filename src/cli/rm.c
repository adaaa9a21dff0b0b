/* SPDX-License-Identifier: Apache-2.0 */
/* `cella rm`: removes what ended keeps have left. */
#include <unistd.h>

#include "cli.h"
#include "keeps.h"
#include "values.h"

static const char rm_usage[] =
    "usage: cella rm [-f] NAME...\n\n"
    "Removes ended keeps with their logs; their names are free again.\n\n"
    "  -f                    ends those by force that run\n";

static int end_and_remove(int state_fd, const char *name, struct cella_error *err)
{
    struct keep_ref ref;
    ref.fd = keep_open(state_fd, name, &ref.info, err);
    if (ref.fd < 0)
        return -1;
    int result = end_keep(&ref, true, 0, err);
    struct cella_error ignored;
    close(ref.fd);
    if (result < 0)
        return -1;
    /* A foreground keep's launcher has removed it by itself. */
    ref.fd = keep_open(state_fd, name, &ref.info, &ignored);
    if (ref.fd < 0)
        return 0;
    close(ref.fd);
    return keep_remove(state_fd, name, err);
}

static int rm_verb(int argc, char **argv)
{
    static const struct option options[] = {
        {"force", no_argument, NULL, 'f'}, {"help", no_argument, NULL, 'h'}, {0}};
    struct cella_error err = {0};
    bool force = false;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, ":fh", options, NULL)) != -1;) {
        switch (c) {
        case 'h': fputs(rm_usage, stdout); return 0;
        case 'f': force = true; break;
        default: usage_error(&err, "rm", argv, c); return report_error("rm", &err);
        }
    }
    return for_each_name("rm", argv + optind, argc - optind, force ? end_and_remove : keep_remove);
}

const struct verb verb_rm = {
    .name = "rm",
    .summary = "remove ended keeps",
    .usage = rm_usage,
    .run = rm_verb,
};
