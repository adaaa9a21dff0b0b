/* SPDX-License-Identifier: Apache-2.0 */
/* Computes in one function until it is killed, or a minute is over: for the test of profiles. */
#include <stdio.h>
#include <time.h>

__attribute__((noinline)) unsigned long a_very_hot_function(unsigned long n)
{
    unsigned long x = 1;
    for (unsigned long i = 0; i < n; i++)
        x = x * 2862933555777941757ul + i;
    return x;
}

int main(void)
{
    time_t end = time(NULL) + 60;
    unsigned long sum = 0;
    puts("computing");
    fflush(stdout);
    while (time(NULL) < end)
        sum += a_very_hot_function(1000000);
    printf("%lu\n", sum);
    return 0;
}
