/* SPDX-License-Identifier: Apache-2.0 */
#include "base/printk.h"
#include "base/string.h"
#include "ktest.h"

static char buf[64];

#define FORMATS(want, ...)                                                                         \
    do {                                                                                           \
        int _n = k_snprintf(buf, sizeof(buf), __VA_ARGS__);                                        \
        KCHECK(strcmp(buf, want) == 0);                                                            \
        KCHECK_EQ(_n, strlen(want));                                                               \
    } while (0)

KTEST(printk_formats_integers)
{
    FORMATS("0", "%d", 0);
    FORMATS("-2147483648", "%d", INT_MIN);
    FORMATS("-9223372036854775808", "%ld", LONG_MIN);
    FORMATS("18446744073709551615", "%lu", ULONG_MAX);
    FORMATS("deadBEEF", "%x%X", 0xdeadu, 0xbeefu);
    FORMATS("755", "%o", 0755u);
    FORMATS("4294967295", "%u", UINT_MAX);
    FORMATS("0x10", "%p", (void *)16);
    FORMATS("100%", "%zu%%", (size_t)100);
}

KTEST(printk_pads_to_width_and_precision)
{
    FORMATS("   42|", "%5d|", 42);
    FORMATS("42   |", "%-5d|", 42);
    FORMATS("00042|", "%05d|", 42);
    FORMATS("-0042|", "%05d|", -42);
    FORMATS("  007|", "%5.3d|", 7);
    FORMATS("    x|", "%5c|", 'x');
    FORMATS("ab   |", "%-*s|", 5, "ab");
    FORMATS("abc|", "%.3s|", "abcdef");
    FORMATS("ab|", "%.*s|", 2, "abcdef");
}

KTEST(printk_string_precision_needs_no_terminator)
{
    const char raw[3] = {'a', 'b', 'c'};
    FORMATS("abc", "%.3s", raw);
}

KTEST(printk_says_null_for_a_null_string)
{
    const char *volatile none = NULL;
    FORMATS("(null)", "%s", none);
}

KTEST(printk_truncates_and_returns_the_whole_length)
{
    char small[5];
    memset(small, 'x', sizeof(small));
    KCHECK_EQ(k_snprintf(small, 4, "%s", "abcdefgh"), 8);
    KCHECK(strcmp(small, "abc") == 0);
    KCHECK(small[4] == 'x');
    KCHECK_EQ(k_snprintf(small, 0, "%d", 12345), 5);
    KCHECK(small[0] == 'a');
    KCHECK_EQ(k_snprintf(small, 1, "abc"), 3);
    KCHECK(small[0] == 0);
}

KTEST(printk_widths_larger_than_a_number_stay_in_bounds)
{
    char big[200];
    KCHECK_EQ(k_snprintf(big, sizeof(big), "%100d", 5), 100);
    KCHECK(big[98] == ' ' && big[99] == '5');
    KCHECK_EQ(k_snprintf(big, sizeof(big), "%0100d", -5), 100);
    KCHECK(big[0] == '-' && big[1] == '0' && big[98] == '0' && big[99] == '5');
    KCHECK_EQ(k_snprintf(big, sizeof(big), "%.100d", 5), 100);
    KCHECK_EQ(k_snprintf(big, sizeof(big), "%.31d", -5), 32);
}
