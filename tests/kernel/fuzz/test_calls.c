/* SPDX-License-Identifier: Apache-2.0 */
/* Random calls from a few seeds. The fuzzer of the same calls: fuzz/fuzz_calls.c. */
#include "random_calls.h"
#include "ktest.h"

#ifndef CALLS
#define CALLS 15000
#endif

static void run(uint64_t seed, uint32_t nr_callers)
{
    struct random_calls c = {.seed = seed, .nr_calls = CALLS, .nr_callers = nr_callers};
    random_calls(&c);
}

KTEST(random_calls_a)
{
    run(1, 1);
}
KTEST(random_calls_b)
{
    run(2, 1);
}
KTEST(random_calls_of_two_threads_a)
{
    run(3, 2);
}
KTEST(random_calls_of_two_threads_b)
{
    run(4, 2);
}
