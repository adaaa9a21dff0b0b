/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's string functions. In this build they are called cella_*, so that the others use the
 * sanitizer's. */
#include "base/string.h"

#include "base/kmalloc.h"
#include "ktest.h"

void *cella_memcpy(void *restrict dst, const void *restrict src, size_t n);
void *cella_memmove(void *dst, const void *src, size_t n);
void *cella_memset(void *dst, int c, size_t n);
int cella_memcmp(const void *a, const void *b, size_t n);
void *cella_memchr(const void *s, int c, size_t n);
size_t cella_strlen(const char *s);
size_t cella_strnlen(const char *s, size_t n);
int cella_strcmp(const char *a, const char *b);
int cella_strncmp(const char *a, const char *b, size_t n);
char *cella_strchr(const char *s, int c);
char *cella_strrchr(const char *s, int c);

#define SPAN 160

KTEST(memcpy_copies_just_the_bytes_asked_for)
{
    uint8_t src[SPAN], dst[SPAN];
    for (int i = 0; i < SPAN; i++)
        src[i] = (uint8_t)(i + 1);
    for (size_t n = 0; n <= 100; n++)
        for (size_t off = 0; off < 9; off++) {
            memset(dst, 0, sizeof(dst));
            KCHECK(cella_memcpy(dst + 16 + off, src + off, n) == dst + 16 + off);
            for (size_t i = 0; i < SPAN; i++)
                KCHECK(dst[i] == (i >= 16 + off && i < 16 + off + n ? src[i - 16] : 0));
        }
}

KTEST(memmove_copies_overlapping_ranges_both_ways)
{
    uint8_t want[SPAN], got[SPAN];
    for (size_t n = 0; n <= 70; n++)
        for (size_t from = 0; from < 40; from += 3)
            for (size_t to = 0; to < 40; to += 3) {
                for (int i = 0; i < SPAN; i++)
                    want[i] = got[i] = (uint8_t)(i * 7);
                memmove(want + to, want + from, n);
                cella_memmove(got + to, got + from, n);
                KCHECK(memcmp(want, got, SPAN) == 0);
            }
}

KTEST(memset_memcmp_memchr_work_at_the_edges)
{
    uint8_t a[40], b[40];
    cella_memset(a, 5, sizeof(a));
    cella_memset(b, 5, sizeof(b));
    KCHECK(cella_memcmp(a, b, 40) == 0);
    b[39] = 6;
    KCHECK(cella_memcmp(a, b, 40) < 0 && cella_memcmp(b, a, 40) > 0 && cella_memcmp(a, b, 39) == 0);
    a[0] = 0xff;
    KCHECK(cella_memcmp(a, b, 40) > 0);
    KCHECK(cella_memchr(b, 6, 40) == &b[39]);
    KCHECK(cella_memchr(b, 6, 39) == NULL);
    KCHECK(cella_memchr(b, 5 + 256, 1) == b);
    cella_memset(a, 9, 0);
    KCHECK(a[0] == 0xff);
}

KTEST(string_functions_agree_with_their_definitions)
{
    KCHECK_EQ(cella_strlen("abc"), 3);
    KCHECK_EQ(cella_strnlen("abc", 2), 2);
    KCHECK_EQ(cella_strnlen("abc", 9), 3);
    KCHECK(cella_strcmp("abc", "abd") < 0 && cella_strcmp("ab", "abc") < 0 &&
           cella_strcmp("\xff", "a") > 0 && cella_strcmp("", "") == 0);
    KCHECK(cella_strncmp("abc", "abd", 2) == 0 && cella_strncmp("abc", "abd", 3) < 0 &&
           cella_strncmp("a", "a", 99) == 0);
    const char *s = "a/b/c";
    KCHECK(cella_strchr(s, '/') == s + 1 && cella_strrchr(s, '/') == s + 3 &&
           cella_strchr(s, 'x') == NULL);
    KCHECK(cella_strchr(s, 0) == s + 5 && cella_strrchr(s, 0) == s + 5);
}

KTEST(strlcpy_terminates_and_tells_the_length)
{
    char b[4] = "xxx";
    KCHECK_EQ(k_strlcpy(b, "hello", sizeof(b)), 5);
    KCHECK(strcmp(b, "hel") == 0);
    KCHECK_EQ(k_strlcpy(b, "", sizeof(b)), 0);
    KCHECK(b[0] == 0);
    b[0] = 'q';
    KCHECK_EQ(k_strlcpy(b, "z", 0), 1);
    KCHECK(b[0] == 'q');
    char *d = kstrndup("hello", 3);
    KCHECK(d && strcmp(d, "hel") == 0);
    kfree(d);
}
