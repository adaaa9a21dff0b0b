/* SPDX-License-Identifier: Apache-2.0 */
/* `cella ps`: lists keeps. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "cli.h"
#include "json.h"
#include "keeps.h"
#include "values.h"

static const char ps_usage[] =
    "usage: cella ps [-a] [--json]\n\n"
    "Lists your running keeps that have names.\n\n"
    "  -a                    ended ones too, which stay until 'cella rm' or 'cella prune'\n"
    "  --json                as a JSON array\n\n"
    "STATUS is 'running', 'ended (CODE)' with the exit code, or 'lost': its launcher was\n"
    "killed, or the machine went down.\n";

/* The commands that keeps were started with are shown on a terminal. */
static void make_plain(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || (unsigned char)*text >= 0x7f)
            *text = '?';
}

static const char *status_word(const struct keep_info *info)
{
    return info->running ? "running" : info->state.ended_s ? "ended" : "lost";
}

/* The width of a column that has to hold text too. */
static int longer(int width, const char *text)
{
    return (int)strlen(text) > width ? (int)strlen(text) : width;
}

static void print_table(struct keep_info *list, unsigned count, bool all)
{
    const char *no_color = getenv("NO_COLOR");
    bool color = isatty(STDOUT_FILENO) && !(no_color && *no_color);
    int name_width = 12, ports_width = 5;
    for (unsigned i = 0; i < count; i++) {
        if (!all && !list[i].running)
            continue;
        name_width = longer(name_width, list[i].name);
        ports_width = longer(ports_width, list[i].state.ports);
    }
    printf("%-*s %-12s %-8s %-19s %-*s %s\n", name_width, "NAME", "STATUS", "PID", "CREATED",
           ports_width, "PORTS", "COMMAND");
    for (unsigned i = 0; i < count; i++) {
        struct keep_state *state = &list[i].state;
        char status[32], pid[16] = "-", created[32] = "-";
        if (!all && !list[i].running)
            continue;
        make_plain(state->command);
        make_plain(state->ports);
        snprintf(status, sizeof(status), !list[i].running && state->ended_s ? "%s (%d)" : "%s",
                 status_word(&list[i]), state->exit_code);
        if (list[i].running)
            snprintf(pid, sizeof(pid), "%d", state->pid);
        struct tm local;
        time_t when = state->created_s;
        if (list[i].known && localtime_r(&when, &local))
            strftime(created, sizeof(created), "%F %T", &local);
        printf("%-*s %s%-12s%s %-8s %-19s %-*s %s\n", name_width, list[i].name,
               color && list[i].running ? "\033[32m" : "", status,
               color && list[i].running ? "\033[0m" : "", pid, created, ports_width,
               state->ports[0] ? state->ports : "-", state->command);
    }
}

static void put_member(struct json_writer *w, const char *name, const char *text)
{
    json_put_string(w, name, strlen(name));
    json_put(w, ":");
    json_put_string(w, text, strlen(text));
}

static void print_json(const struct keep_info *list, unsigned count, bool all)
{
    bool first = true;
    putchar('[');
    for (unsigned i = 0; i < count; i++) {
        char text[8192] = "";
        struct json_writer w = {.at = text, .end = text + sizeof(text)};
        const struct keep_state *state = &list[i].state;
        if (!all && !list[i].running)
            continue;
        const struct {
            const char *name;
            int64_t value;
            bool shown;
        } numbers[] = {{"pid", state->pid, list[i].running},
                       {"created", state->created_s, true},
                       {"ended", state->ended_s, !list[i].running && state->ended_s},
                       {"exit_code", state->exit_code, !list[i].running && state->ended_s}};
        json_put(&w, first ? "\n  {" : ",\n  {");
        put_member(&w, "name", list[i].name);
        json_put(&w, ", ");
        put_member(&w, "status", status_word(&list[i]));
        json_put(&w, ", ");
        put_member(&w, "command", state->command);
        json_put(&w, ", ");
        put_member(&w, "ports", state->ports);
        json_put(&w, state->detached ? ", \"detached\":true" : ", \"detached\":false");
        for (unsigned n = 0; n < sizeof(numbers) / sizeof(numbers[0]); n++)
            if (numbers[n].shown) {
                json_put(&w, ", ");
                json_put_string(&w, numbers[n].name, strlen(numbers[n].name));
                json_put(&w, ":");
                json_put_number(&w, numbers[n].value);
            }
        json_put(&w, "}");
        fwrite(text, 1, (size_t)(w.at - text), stdout);
        first = false;
    }
    puts(first ? "]" : "\n]");
}

static int ps_verb(int argc, char **argv)
{
    static const struct option options[] = {{"all", no_argument, NULL, 'a'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct cella_error err = {0};
    bool all = false, json = false;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, ":ah", options, NULL)) != -1;) {
        switch (c) {
        case 'h': fputs(ps_usage, stdout); return 0;
        case 'a': all = true; break;
        case 'j': json = true; break;
        default: usage_error(&err, "ps", argv, c); return report_error("ps", &err);
        }
    }
    if (optind < argc) {
        cella_error_set(&err, "%s: takes no names; it lists all keeps", argv[optind]);
        return report_error("ps", &err);
    }
    cleanup_free struct keep_info *list = NULL;
    unsigned count;
    cleanup_close int state_fd = state_open(&err);
    if (state_fd < 0 || keep_list(state_fd, &list, &count, &err) < 0)
        return report_error("ps", &err);
    if (json)
        print_json(list, count, all);
    else
        print_table(list, count, all);
    return fflush(stdout) == 0 ? 0 : CELLA_EXIT_OWN_ERROR;
}

const struct verb verb_ps = {
    .name = "ps",
    .summary = "list keeps",
    .usage = ps_usage,
    .run = ps_verb,
};
