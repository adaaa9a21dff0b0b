/* SPDX-License-Identifier: Apache-2.0 */
/* `cella help [VERB]` */
#include "cli.h"

static int help_run(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stdout);
        return 0;
    }
    const struct verb *verb = verb_find(argv[1]);
    if (!verb) {
        fprintf(stderr, "cella help: '%s' is not a verb\n", argv[1]);
        print_usage(stderr);
        return CELLA_EXIT_OWN_ERROR;
    }
    fputs(verb->usage, stdout);
    return 0;
}

const struct verb verb_help = {
    .name = "help",
    .summary = "tell how a verb is used",
    .usage = "usage: cella help [VERB]\n\n"
             "Lists the verbs, or tells how VERB is used.\n",
    .run = help_run,
};
