/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Basic types of the kernel. Freestanding: only the compiler's own headers are used.
 */
#ifndef CELLA_KERNEL_BASE_TYPES_H
#define CELLA_KERNEL_BASE_TYPES_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An address in the workload's half of an address space. An integer on purpose: it cannot be
 * dereferenced by accident; base/usercopy.h moves bytes. */
typedef uint64_t uaddr_t;

typedef int64_t loff_t_k; /* file offset in bytes */
typedef int32_t kpid_t;
typedef uint32_t kuid_t;
typedef uint32_t kgid_t;
typedef uint32_t kmode_t; /* Linux mode bits, S_IF* | permissions */
typedef uint64_t ktime_t; /* nanoseconds of CLOCK_MONOTONIC; KTIME_NEVER is "no deadline" */

#define KTIME_NEVER UINT64_MAX
#define NSEC_PER_SEC 1000000000ull
#define NSEC_PER_MSEC 1000000ull
#define NSEC_PER_USEC 1000ull

#define PAGE_SHIFT 12
#define PAGE_SIZE 4096ul
#define PAGE_MASK (~(PAGE_SIZE - 1))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define ALIGN_UP(x, a) (((x) + ((a)-1)) & ~((__typeof__(x))(a)-1))
#define ALIGN_DOWN(x, a) ((x) & ~((__typeof__(x))(a)-1))
#define PAGE_ALIGN(x) ALIGN_UP((uint64_t)(x), PAGE_SIZE)
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
/* Nested uses get names of their own, so that -Wshadow has nothing to say. */
#define K_PASTE_(a, b) a##b
#define K_PASTE(a, b) K_PASTE_(a, b)
#define K_PICK_(a, op, b, _a, _b)                                                                  \
    ({                                                                                             \
        __typeof__(a) _a = (a);                                                                    \
        __typeof__(b) _b = (b);                                                                    \
        _a op _b ? _a : _b;                                                                        \
    })
#define k_min(a, b) K_PICK_(a, <, b, K_PASTE(_a, __COUNTER__), K_PASTE(_b, __COUNTER__))
#define k_max(a, b) K_PICK_(a, >, b, K_PASTE(_a, __COUNTER__), K_PASTE(_b, __COUNTER__))
#define READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))
#define barrier() __asm__ volatile("" ::: "memory")
#define __must_check __attribute__((warn_unused_result))
#define __noreturn __attribute__((noreturn))
#define __printf_like(f, a) __attribute__((format(printf, f, a)))

/* Errors travel as negative errno; a pointer-returning function encodes one in the top page. */
#define MAX_ERRNO 4095
static inline void *err_ptr(long err)
{
    return (void *)err;
}
static inline long ptr_err(const void *p)
{
    return (long)p;
}
static inline bool is_err(const void *p)
{
    return (unsigned long)p >= (unsigned long)-MAX_ERRNO;
}

#endif
