/* SPDX-License-Identifier: Apache-2.0 */
/* The state of keeps: what is written is read back, and what a hostile launcher may leave does no
 * harm. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json.h"
#include "state.h"

static int nr_tests, nr_failed;

static void check(bool good, const char *name)
{
    nr_tests++;
    nr_failed += !good;
    printf("%s %d - %s\n", good ? "ok" : "not ok", nr_tests, name);
}

static bool parses(const char *text)
{
    struct keep_state state;
    return keep_state_parse(text, strlen(text), &state);
}

static void test_text(void)
{
    struct keep_state in = {.created_s = 1700000000,
                            .ended_s = 1700000001,
                            .exit_code = 255,
                            .pid = 4711,
                            .detached = true,
                            .command = "sh -c \"a\\b\"\n\t\001\x7f \xc3\xa9",
                            .ports = "8080:80"},
                      out;
    char text[8192];
    int len = keep_state_format(&in, text, sizeof(text));
    check(len > 0 && keep_state_parse(text, (size_t)len, &out) &&
              memcmp(&in, &out, sizeof(in)) == 0,
          "a state is read back as it was written");
    bool cut_parses = false;
    for (int i = 0; i < len - 2; i++)
        cut_parses |= keep_state_parse(text, (size_t)i, &out);
    check(!cut_parses, "no state that was cut short is taken");
    memset(in.command, 1, KEEP_COMMAND_MAX);
    memset(in.ports, '\xff', KEEP_PORTS_MAX);
    len = keep_state_format(&in, text, sizeof(text));
    check(len > 0 && keep_state_parse(text, (size_t)len, &out) &&
              strcmp(in.command, out.command) == 0,
          "the longest strings of control characters fit");
    check(keep_state_format(&in, text, 100) < 0, "a buffer that is too small is told");
}

static void test_hostile_text(void)
{
    static const char *const bad[] = {
        "",
        "{",
        "}",
        "[]",
        "{\"pid\"}",
        "{\"pid\":}",
        "{\"pid\":-1}",
        "{\"pid\":99999999999999999999}",
        "{\"pid\":9999999999}",
        "{\"exit_code\":256}",
        "{\"detached\":2}",
        "{\"pid\":\"1\"}",
        "{\"command\":1}",
        "{\"command\":\"x}",
        "{\"command\":\"\\\"}",
        "{\"command\":\"\\u00\"}",
        "{\"command\":\"\\u0000\"}",
        "{\"command\":\"\\ud800\"}",
        "{\"command\":\"\\x\"}",
        "{\"x\":{}}",
        "{\"x\":[1]}",
        "{\"pid\":1,}",
        "{\"pid\":1 \"exit_code\":1}",
        "{} {}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char name[128];
        snprintf(name, sizeof(name), "refused: %s", bad[i]);
        check(!parses(bad[i]), name);
    }
    char huge[KEEP_COMMAND_MAX + 64];
    int n = snprintf(huge, sizeof(huge), "{\"command\":\"");
    memset(huge + n, 'x', KEEP_COMMAND_MAX + 1);
    strcpy(huge + n + KEEP_COMMAND_MAX + 1, "\"}");
    check(!parses(huge), "refused: a command that is too long");
    check(parses("{\"new\":1,\"other\":\"x\", \"pid\" : 5 }\n"), "unknown members are passed over");
    srand(1);
    for (int round = 0; round < 200000; round++) {
        static const char alphabet[] = "{}\",:\\u0123456789-pidcoman\n \xff";
        char text[64];
        size_t len = (size_t)rand() % sizeof(text);
        struct keep_state state;
        for (size_t i = 0; i < len; i++)
            text[i] = alphabet[(size_t)rand() % sizeof(alphabet)];
        keep_state_parse(text, len, &state);
    }
    check(true, "200000 random texts do no harm");
}

static void test_names(void)
{
    check(keep_name_is_valid("a") && keep_name_is_valid("0_.-") && keep_name_is_valid("web-1.x"),
          "names that are good");
    check(!keep_name_is_valid("") && !keep_name_is_valid(".") && !keep_name_is_valid("..") &&
              !keep_name_is_valid("-a") && !keep_name_is_valid("A") && !keep_name_is_valid("a/b") &&
              !keep_name_is_valid("a b") && !keep_name_is_valid("a\n"),
          "names that are not");
    char name[65];
    memset(name, 'a', 64);
    name[64] = '\0';
    check(!keep_name_is_valid(name) && keep_name_is_valid(name + 1), "63 characters and no more");
}

static void test_directories(void)
{
    char top[] = "/tmp/cella-test-state-XXXXXX";
    struct cella_error err;
    struct keep_dir dir, second;
    struct keep_info info, *list;
    unsigned count;
    if (!mkdtemp(top) || setenv("XDG_RUNTIME_DIR", top, 1) < 0) {
        printf("Bail out! no folder for the test\n");
        exit(1);
    }
    int state_fd = state_open(&err);
    check(state_fd >= 0, "the state directory is made");
    struct keep_state state = {.created_s = 5, .pid = 1, .detached = true, .command = "x"};
    check(keep_claim(state_fd, "one", &dir, &err) == 0 && keep_write_state(&dir, &state, &err) == 0,
          "a name is claimed");
    check(keep_claim(state_fd, "one", &second, &err) < 0 && strstr(err.message, "running"),
          "not twice");
    int fd = keep_open(state_fd, "one", &info, &err);
    check(fd >= 0 && info.running && info.known && info.state.created_s == 5, "it is found");
    check(keep_remove(state_fd, "one", &err) < 0, "a running one is not removed");
    close(dir.lock_fd);
    check(!keep_is_running(fd), "whose lock is free does not run, whatever its process id");
    close(fd);
    check(keep_claim(state_fd, "one", &second, &err) < 0 && strstr(err.message, "cella rm one"),
          "an ended one keeps its name");
    /* What a launcher that was taken over can put there. */
    unlinkat(dir.fd, "state", 0);
    check(symlinkat("/etc/passwd", dir.fd, "state") == 0, "symlink");
    fd = keep_open(state_fd, "one", &info, &err);
    check(fd >= 0 && !info.known, "a symbolic link is no state");
    close(fd);
    unlinkat(dir.fd, "state", 0);
    check(mkfifoat(dir.fd, "state", 0600) == 0, "mkfifo");
    fd = keep_open(state_fd, "one", &info, &err);
    check(fd >= 0 && !info.known, "a pipe does not hold up");
    close(fd);
    close(dir.fd);
    check(keep_list(state_fd, &list, &count, &err) == 0 && count == 0, "and is cleaned up");
    free(list);
    check(keep_claim(state_fd, NULL, &dir, &err) == 0 && keep_name_is_valid(dir.name),
          "a name is chosen");
    keep_abandon(&dir);
    unlinkat(state_fd, ".lock", 0);
    close(state_fd);
    char path[64];
    snprintf(path, sizeof(path), "%s/cella", top);
    check(rmdir(path) == 0 && rmdir(top) == 0, "nothing is left");
}

int main(void)
{
    test_text();
    test_hostile_text();
    test_names();
    test_directories();
    printf("1..%d\n", nr_tests);
    return nr_failed != 0;
}
