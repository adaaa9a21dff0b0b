/* SPDX-License-Identifier: Apache-2.0 */
/* The `cella` command: finds the verb and runs it. */
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "cella_version.h"
#include "cli.h"

const struct verb *const verbs[] = {&verb_run,  &verb_ps,   &verb_logs, &verb_exec,
                                    &verb_stop, &verb_wait, &verb_rm,   &verb_prune,
                                    &verb_info, &verb_help, NULL};

const struct verb *verb_find(const char *name)
{
    for (const struct verb *const *verb = verbs; *verb; verb++)
        if (strcmp((*verb)->name, name) == 0)
            return *verb;
    return NULL;
}

void print_usage(FILE *out)
{
    fputs("usage: cella VERB [options] ...\n"
          "       cella --version\n\n"
          "Cella runs unmodified Linux programs inside keeps.\n\n"
          "Verbs:\n",
          out);
    for (const struct verb *const *verb = verbs; *verb; verb++)
        fprintf(out, "  %-8s %s\n", (*verb)->name, (*verb)->summary);
    fputs("\n'cella help VERB' tells more.\n", out);
}

int report_error(const char *verb, const struct cella_error *err)
{
    fprintf(stderr, "cella %s: %s\n", verb, err->message);
    return CELLA_EXIT_OWN_ERROR;
}

/* A descriptor 0, 1 or 2 that the caller closed would be taken by the next file opened, and the
 * keep's output go there. */
static void ensure_streams(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY) != fd)
            _exit(CELLA_EXIT_OWN_ERROR);
}

int main(int argc, char **argv)
{
    ensure_streams();
    /* The command acts with its caller's rights and checks nothing else. */
    if (getauxval(AT_SECURE)) {
        fputs("cella: installed set-user-ID or with capabilities; remove them (chmod u-s, setcap "
              "-r)\n",
              stderr);
        return CELLA_EXIT_OWN_ERROR;
    }
    if (argc < 2) {
        print_usage(stderr);
        return CELLA_EXIT_OWN_ERROR;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        printf("cella %s (%s)\n", CELLA_VERSION, CELLA_COMMIT);
        return fflush(stdout) == 0 ? 0 : CELLA_EXIT_OWN_ERROR;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    const struct verb *verb = verb_find(name);
    if (!verb) {
        fprintf(stderr, "cella: '%s' is not a verb\n", name);
        print_usage(stderr);
        return CELLA_EXIT_OWN_ERROR;
    }
    return verb->run(argc - 1, argv + 1);
}
