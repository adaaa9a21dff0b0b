/* SPDX-License-Identifier: Apache-2.0 */
/* Results of the host's tests, in TAP. */
#ifndef CELLA_TESTS_HOST_TAP_H
#define CELLA_TESTS_HOST_TAP_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int nr_tests, nr_failed, nr_skipped;

static void check(bool good, const char *name)
{
    nr_tests++;
    if (!good)
        nr_failed++;
    printf("%s %d - %s\n", good ? "ok" : "not ok", nr_tests, name);
}

__attribute__((unused)) static void skip(const char *name)
{
    nr_tests++;
    nr_skipped++;
    printf("ok %d - %s # SKIP\n", nr_tests, name);
}

/* Equality with the values shown when it fails. */
static void check_is(int64_t got, int64_t want, const char *name)
{
    if (got != want)
        printf("# got %lld, want %lld\n", (long long)got, (long long)want);
    check(got == want, name);
}

static void must(bool good, const char *what)
{
    if (!good) {
        printf("Bail out! %s: %s\n", what, strerror(errno));
        exit(1);
    }
}

#endif
