/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text: the kernel's own messages (they go to the launcher's standard error as `cella: ...`) and
 * formatting into buffers. Formats: %d %i %u %x %X %o %c %s %p %% with 0, -, width, precision (*
 * too), and l, ll, z, h, hh. Nothing else.
 */
#ifndef CELLA_KERNEL_BASE_PRINTK_H
#define CELLA_KERNEL_BASE_PRINTK_H

#include <stdarg.h>

#include "base/types.h"

/* Like snprintf: returns the length that the whole text has, writes at most size bytes with the
 * terminator. */
int k_vsnprintf(char *buf, size_t size, const char *fmt, va_list ap);
int k_snprintf(char *buf, size_t size, const char *fmt, ...) __printf_like(3, 4);
/* One line to the launcher's standard error; fmt has no newline at its end. */
void printk(const char *fmt, ...) __printf_like(1, 2);
/* Prints and ends the keep. For broken invariants only, never for input. */
void panic(const char *fmt, ...) __printf_like(1, 2) __noreturn;

#define KASSERT(cond)                                                                              \
    do {                                                                                           \
        if (unlikely(!(cond)))                                                                     \
            panic("%s:%d: %s: assertion failed: %s", __FILE__, __LINE__, __func__, #cond);         \
    } while (0)

#endif
