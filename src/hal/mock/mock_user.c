/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accesses to workload memory, where the workload's addresses are also the test program's own.
 * Below MOCK_FIRST_USER_ADDR lie the program, and the shadow and heap of the sanitizer; there is no
 * workload memory there, so an access faults as it would in a keep. Called through the linker's
 * --wrap.
 */
#include <stdbool.h>
#include <stddef.h>

#include "mock_kernel.h"

extern const char __executable_start[], _end[];

#define WRAPPED(type, name, ...)                                                                   \
    type __real_arch_user_##name(__VA_ARGS__);                                                     \
    type __wrap_arch_user_##name(__VA_ARGS__);                                                     \
    type __wrap_arch_user_##name(__VA_ARGS__)

static bool is_foreign(const void *p)
{
    return (uint64_t)p < MOCK_FIRST_USER_ADDR;
}

/* One of the two is the kernel's, perhaps a variable in the program's image. */
static bool is_foreign_and_not_of_the_image(const void *p)
{
    return is_foreign(p) && !((const char *)p >= __executable_start && (const char *)p < _end);
}

WRAPPED(size_t, copy, void *dst, const void *src, size_t n)
{
    return is_foreign_and_not_of_the_image(dst) || is_foreign_and_not_of_the_image(src)
               ? n
               : __real_arch_user_copy(dst, src, n);
}

WRAPPED(size_t, clear, void *dst, size_t n)
{
    return is_foreign(dst) ? n : __real_arch_user_clear(dst, n);
}

WRAPPED(long, strncpy, char *dst, const char *src, size_t n)
{
    return is_foreign(src) && n ? -1 : __real_arch_user_strncpy(dst, src, n);
}

WRAPPED(long, strnlen, const char *src, size_t n)
{
    return is_foreign(src) && n ? -1 : __real_arch_user_strnlen(src, n);
}

WRAPPED(int, load32, uint32_t *old, uint64_t addr)
{
    return is_foreign((void *)addr) ? 1 : __real_arch_user_load32(old, addr);
}

WRAPPED(int, cmpxchg32, uint32_t *old, uint64_t addr, uint32_t expected, uint32_t desired)
{
    return is_foreign((void *)addr) ? 1 : __real_arch_user_cmpxchg32(old, addr, expected, desired);
}

WRAPPED(int, touch_read, uint64_t addr)
{
    return is_foreign((void *)addr) ? 1 : __real_arch_user_touch_read(addr);
}

WRAPPED(int, touch_write, uint64_t addr)
{
    return is_foreign((void *)addr) ? 1 : __real_arch_user_touch_write(addr);
}
