/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzzers on the mock HAL share: the kernel is booted once, inputs follow one another. */
#include "mock_main.h"

#include <stdio.h>
#include <stdlib.h>

#include "mock.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);

void ktest_fail(const char *file, int line, const char *cond)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, cond);
    abort();
}

void ktest_fail_eq(const char *file, int line, const char *expr, int64_t got, int64_t want)
{
    fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", file, line, expr, (long long)got,
            (long long)want);
    abort();
}

int ktest_failed(void)
{
    return 0;
}

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0:detect_stack_use_after_return=0";
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    mock_boot();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    mock_run(fuzz_one, &in);
    mock_drop_user_memory();
    return 0;
}
