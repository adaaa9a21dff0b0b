/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving bytes between kernel and workload memory. The address is checked against the user range,
 * the copy runs under a fault fixup; a page that is not there yet is brought in (which may sleep)
 * and the copy goes on. Never call these with a spinlock held. They are the only way in which the
 * kernel touches workload memory.
 */
#ifndef CELLA_KERNEL_BASE_USERCOPY_H
#define CELLA_KERNEL_BASE_USERCOPY_H

#include "base/types.h"

/* First address that is not the workload's. */
#define USER_LIMIT 0x700000000000ull
#define USER_MIN 0x10000ull

static inline bool user_range_ok(uaddr_t addr, uint64_t len)
{
    return addr < USER_LIMIT && len <= USER_LIMIT - addr;
}

/* 0, or -EFAULT. A partial copy may have taken place. */
int __must_check copy_from_user(void *dst, uaddr_t src, size_t n);
int __must_check copy_to_user(uaddr_t dst, const void *src, size_t n);
int __must_check clear_user(uaddr_t dst, size_t n);
/* Number of bytes that were NOT copied (0: all). For reads and writes that return short counts. */
size_t copy_from_user_partial(void *dst, uaddr_t src, size_t n);
size_t copy_to_user_partial(uaddr_t dst, const void *src, size_t n);
/* Copies a NUL-terminated string into dst[size]. Its length without the NUL, -EFAULT, or
 * -ENAMETOOLONG when no NUL is found within size bytes. */
long strncpy_from_user(char *dst, uaddr_t src, size_t size);
/* Length of a user string up to max; -EFAULT; max when there is no NUL within. */
long strnlen_user(uaddr_t src, size_t max);

#define get_user(dst, addr) copy_from_user(&(dst), (addr), sizeof(dst))
#define put_user(val, addr)                                                                        \
    ({                                                                                             \
        __typeof__(val) _v = (val);                                                                \
        copy_to_user((addr), &_v, sizeof(_v));                                                     \
    })

/* Atomic operations on a 32-bit word of workload memory, aligned to 4, under the same fixup; for
 * futexes. 0 or -EFAULT; *old is the word before. These do NOT bring pages in (they may be called
 * under a spinlock): on -EFAULT drop the lock, call user_fault_in(), retry. */
int user_load32_atomic(uint32_t *old, uaddr_t addr);
int user_cmpxchg32(uint32_t *old, uaddr_t addr, uint32_t expected, uint32_t desired);
/* op: as FUTEX_OP_SET ADD OR ANDN XOR (0..4). */
int user_atomic_op32(uint32_t *old, uaddr_t addr, int op, uint32_t arg);
/* Brings the page of addr in for reading (or writing); may sleep. 0 or -EFAULT. */
int user_fault_in(uaddr_t addr, bool write);

#endif
