/* SPDX-License-Identifier: Apache-2.0 */
/* The few string functions that the kernel needs; memcpy and friends because the compiler calls
 * them. */
#ifndef CELLA_KERNEL_BASE_STRING_H
#define CELLA_KERNEL_BASE_STRING_H

#include "base/types.h"

void *memcpy(void *restrict dst, const void *restrict src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memchr(const void *s, int c, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t n);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
/* Copies at most size-1 bytes and terminates; returns strlen(src). */
size_t k_strlcpy(char *dst, const char *src, size_t size);

#endif
