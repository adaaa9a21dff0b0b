/* SPDX-License-Identifier: Apache-2.0 */
/* The hosted half of the unit tests: main, the list of tests, results. */
#include "ktest.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_TESTS 512
#define TIMEOUT_S 10

struct test {
    const char *name;
    void (*fn)(void);
};

static struct test tests[MAX_TESTS];
static int nr_tests, nr_passed, nr_failed;
static const struct test *running;
static const char *area; /* the program is unit-AREA */
static char failure[512];

void ktest_register(const char *name, void (*fn)(void))
{
    if (nr_tests == MAX_TESTS) {
        fprintf(stderr, "ktest: more than %d tests\n", MAX_TESTS);
        exit(1);
    }
    tests[nr_tests++] = (struct test){name, fn};
}

void ktest_fail(const char *file, int line, const char *cond)
{
    if (!failure[0])
        snprintf(failure, sizeof(failure), "%s:%d: %s", file, line, cond);
}

void ktest_fail_eq(const char *file, int line, const char *expr, int64_t got, int64_t want)
{
    if (!failure[0])
        snprintf(failure, sizeof(failure), "%s:%d: %s is %lld, not %lld", file, line, expr,
                 (long long)got, (long long)want);
}

int ktest_failed(void)
{
    return failure[0] != 0;
}

static void report(void)
{
    if (failure[0]) {
        nr_failed++;
        printf("not ok %s %s: %s\n", area, running->name, failure);
    } else {
        nr_passed++;
        printf("ok %s %s\n", area, running->name);
    }
    fflush(stdout);
}

static void summary(void)
{
    printf("%d passed, %d failed, 0 skipped\n", nr_passed, nr_failed);
    fflush(stdout);
}

/* The kernel cannot go on: the rest of the tests is not run. */
static void give_up(const char *why)
{
    if (!failure[0])
        snprintf(failure, sizeof(failure), "%s", why);
    report();
    summary();
    _exit(1);
}

static void on_alarm(int sig)
{
    (void)sig;
    give_up("no end after 10 s");
}

static void on_stuck(void)
{
    give_up("all threads sleep and nothing will wake them");
}

static void on_ended(int status)
{
    (void)status;
    give_up("the kernel ended the keep");
}

/* With the sanitizer's report on standard error, the results so far stay of use. */
static void on_death(void)
{
    give_up("the sanitizer stopped the program");
}

static void run_one(void *arg)
{
    const struct test *t = arg;
    t->fn();
}

static bool wanted(const struct test *t, int argc, char **argv)
{
    if (argc < 2)
        return true;
    for (int i = 1; i < argc; i++)
        if (strstr(t->name, argv[i]))
            return true;
    return false;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct test *)a)->name, ((const struct test *)b)->name);
}

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0:detect_stack_use_after_return=0";
}

void __sanitizer_set_death_callback(void (*callback)(void));
extern void __gcov_dump(void) __attribute__((weak));

int main(int argc, char **argv)
{
    area = strrchr(argv[0], '-');
    area = area ? area + 1 : argv[0];
    qsort(tests, (size_t)nr_tests, sizeof(tests[0]), by_name);
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (int i = 0; i < nr_tests; i++)
            printf("%s\n", tests[i].name);
        return 0;
    }
    struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = SA_ONSTACK};
    sigaction(SIGALRM, &sa, NULL);
    mock_stuck = on_stuck;
    mock_ended = on_ended;
    mock_boot();
    __sanitizer_set_death_callback(on_death);
    for (int i = 0; i < nr_tests; i++) {
        if (!wanted(&tests[i], argc, argv))
            continue;
        running = &tests[i];
        failure[0] = 0;
        mock_host = NULL;
        mock_host_idle = NULL;
        alarm(TIMEOUT_S);
        mock_run(run_one, &tests[i]);
        alarm(0);
        report();
    }
    summary();
    if (__gcov_dump) /* a build with -Dcoverage=true */
        __gcov_dump();
    /* Not exit(): the threads' stacks are no concern of its handlers. */
    _exit(nr_failed != 0);
}
