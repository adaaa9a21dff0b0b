/* SPDX-License-Identifier: Apache-2.0 */
/*
 * String functions. Block moves use the CPU's string instructions, which are fast on everything
 * with ERMS and touch no vector register (those hold the workload's state).
 */
#include "base/string.h"

#include "base/kmalloc.h"

void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
    void *d = dst;
    if (n <= 32) {
        /* Overlapping loads of both ends: no loop, and cheaper than starting up the string unit. */
        if (n >= 16) {
            uint64_t a, b, c, e;
            __builtin_memcpy(&a, src, 8);
            __builtin_memcpy(&b, (const char *)src + 8, 8);
            __builtin_memcpy(&c, (const char *)src + n - 16, 8);
            __builtin_memcpy(&e, (const char *)src + n - 8, 8);
            __builtin_memcpy(dst, &a, 8);
            __builtin_memcpy((char *)dst + 8, &b, 8);
            __builtin_memcpy((char *)dst + n - 16, &c, 8);
            __builtin_memcpy((char *)dst + n - 8, &e, 8);
            return dst;
        }
        if (n >= 8) {
            uint64_t a, b;
            __builtin_memcpy(&a, src, 8);
            __builtin_memcpy(&b, (const char *)src + n - 8, 8);
            __builtin_memcpy(dst, &a, 8);
            __builtin_memcpy((char *)dst + n - 8, &b, 8);
            return dst;
        }
        if (n >= 4) {
            uint32_t a, b;
            __builtin_memcpy(&a, src, 4);
            __builtin_memcpy(&b, (const char *)src + n - 4, 4);
            __builtin_memcpy(dst, &a, 4);
            __builtin_memcpy((char *)dst + n - 4, &b, 4);
            return dst;
        }
    }
    __asm__ volatile("rep movsb" : "+D"(d), "+S"(src), "+c"(n)::"memory");
    return dst;
}

void *memmove(void *dst, const void *src, size_t n)
{
    if ((uintptr_t)dst - (uintptr_t)src >= n)
        return memcpy(dst, src, n);
    char *d = (char *)dst + n - 1;
    const char *s = (const char *)src + n - 1;
    __asm__ volatile("std; rep movsb; cld" : "+D"(d), "+S"(s), "+c"(n)::"memory");
    return dst;
}

void *memset(void *dst, int c, size_t n)
{
    void *d = dst;
    __asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
    return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const unsigned char *x = a, *y = b;
    for (; n; n--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

void *memchr(const void *s, int c, size_t n)
{
    const unsigned char *p = s;
    for (; n; n--, p++)
        if (*p == (unsigned char)c)
            return (void *)(uintptr_t)p;
    return NULL;
}

size_t strlen(const char *s)
{
    const char *p = s;
    while (*p)
        p++;
    return (size_t)(p - s);
}

size_t strnlen(const char *s, size_t n)
{
    const char *e = memchr(s, 0, n);
    return e ? (size_t)(e - s) : n;
}

int strcmp(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return (unsigned char)*a - (unsigned char)*b;
}

int strncmp(const char *a, const char *b, size_t n)
{
    for (; n; n--, a++, b++)
        if (*a != *b || !*a)
            return (unsigned char)*a - (unsigned char)*b;
    return 0;
}

char *strchr(const char *s, int c)
{
    for (;; s++) {
        if (*s == (char)c)
            return (char *)(uintptr_t)s;
        if (!*s)
            return NULL;
    }
}

char *strrchr(const char *s, int c)
{
    const char *last = NULL;
    for (;; s++) {
        if (*s == (char)c)
            last = s;
        if (!*s)
            return (char *)(uintptr_t)last;
    }
}

size_t k_strlcpy(char *dst, const char *src, size_t size)
{
    size_t n = strlen(src);
    if (size) {
        size_t m = n < size - 1 ? n : size - 1;
        memcpy(dst, src, m);
        dst[m] = 0;
    }
    return n;
}

char *kstrndup(const char *s, size_t n)
{
    size_t len = strnlen(s, n);
    char *p = kmalloc(len + 1);
    if (p) {
        memcpy(p, s, len);
        p[len] = 0;
    }
    return p;
}

char *kstrdup(const char *s)
{
    return kstrndup(s, SIZE_MAX - 1);
}
