/* SPDX-License-Identifier: Apache-2.0 */
/* `cella info`: which TEEs this machine has, what each lacks, and the command that mends it. */
#include <stdbool.h>
#include <string.h>
#include <sys/utsname.h>

#include "cella_version.h"
#include "cli.h"
#include "probe.h"

#define MAX_PROBES 16

struct finding {
    bool ok;
    char detail[320];
};

/* Tries all probes of a TEE; true when the machine has what it requires. */
static bool examine(const struct tee *tee, struct finding findings[MAX_PROBES])
{
    bool able = true;
    for (unsigned i = 0; i < MAX_PROBES && tee->probes[i].name; i++) {
        const struct probe *probe = &tee->probes[i];
        findings[i] = (struct finding){0};
        findings[i].ok = probe->test(findings[i].detail, sizeof(findings[i].detail));
        able = able && (findings[i].ok || !probe->required);
    }
    return able;
}

static void print_text(void)
{
    struct utsname host = {0};
    uname(&host);
    printf("cella %s (%s), Linux %s, %s\n", CELLA_VERSION, CELLA_COMMIT, host.release,
           host.machine);
    for (const struct tee *tee = tees; tee->name; tee++) {
        struct finding findings[MAX_PROBES];
        bool able = examine(tee, findings), usable = able && tee->in_build;
        printf("\n[%s] %-8s assurance %s; %s\n", usable ? "ok" : "no", tee->name, tee->assurance,
               tee->about);
        if (!tee->in_build)
            printf("     [no] %-16s this build has no %s keeps; %s\n", "build", tee->name,
                   able ? "the machine is ready for them"
                        : "a later version will, and then this machine lacks:");
        for (unsigned i = 0; i < MAX_PROBES && tee->probes[i].name; i++) {
            const struct probe *probe = &tee->probes[i];
            printf("     [%s] %-16s %s%s\n", findings[i].ok ? "ok" : "no", probe->name,
                   findings[i].detail,
                   findings[i].ok || probe->required ? ""
                   : findings[i].detail[0]           ? " (not required)"
                                                     : "(not required)");
            if (!findings[i].ok)
                printf("          %-16s fix: %s\n", "", probe->fix);
        }
    }
}

static void print_json_string(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if ((unsigned char)*text < ' ')
            printf("\\u%04x", (unsigned)*text);
        else
            putchar(*text);
    }
    putchar('"');
}

static void print_member(const char *name, const char *value)
{
    printf("\"%s\": ", name);
    print_json_string(value);
}

static void print_json(void)
{
    struct utsname host = {0};
    uname(&host);
    printf("{");
    print_member("version", CELLA_VERSION);
    printf(", ");
    print_member("commit", CELLA_COMMIT);
    printf(", ");
    print_member("kernel", host.release);
    printf(", ");
    print_member("machine", host.machine);
    printf(", \"tees\": [");
    for (const struct tee *tee = tees; tee->name; tee++) {
        struct finding findings[MAX_PROBES];
        bool able = examine(tee, findings);
        printf("%s\n  {", tee == tees ? "" : ",");
        print_member("name", tee->name);
        printf(", ");
        print_member("assurance", tee->assurance);
        printf(", \"in_build\": %s, \"machine_ready\": %s, \"usable\": %s, \"checks\": [",
               tee->in_build ? "true" : "false", able ? "true" : "false",
               able && tee->in_build ? "true" : "false");
        for (unsigned i = 0; i < MAX_PROBES && tee->probes[i].name; i++) {
            const struct probe *probe = &tee->probes[i];
            printf("%s\n    {", i ? "," : "");
            print_member("name", probe->name);
            /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Branch): examine() filled as many */
            printf(", \"ok\": %s, \"required\": %s, ", findings[i].ok ? "true" : "false",
                   probe->required ? "true" : "false");
            print_member("detail", findings[i].detail);
            if (!findings[i].ok) {
                printf(", ");
                print_member("fix", probe->fix);
            }
            printf("}");
        }
        printf("]}");
    }
    printf("\n]}\n");
}

static int info_run(int argc, char **argv)
{
    struct cella_error err;
    bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(verb_info.usage, stdout);
        return 0;
    }
    if (argc > 1 && !json) {
        cella_error_set(&err, "%s: is not an option; give --json or nothing", argv[1]);
        return report_error("info", &err);
    }
    if (json)
        print_json();
    else
        print_text();
    if (fflush(stdout) != 0 || ferror(stdout)) {
        cella_error_set(&err, "cannot write to standard output");
        return report_error("info", &err);
    }
    return 0;
}

const struct verb verb_info = {
    .name = "info",
    .summary = "tell which TEEs this machine has, and what each lacks",
    .usage = "usage: cella info [--json]\n\n"
             "Lists the TEEs, with what each needs of this machine. Each miss comes with the\n"
             "command that mends it, or the reason why none can.\n\n"
             "  --json   the same for programs\n",
    .run = info_run,
};
