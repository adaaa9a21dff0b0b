/* SPDX-License-Identifier: Apache-2.0 */
/* The workload's general registers as saved on entry, at the top of the thread's kernel stack.
 * Offsets are used by entry.S. */
#ifndef CELLA_KERNEL_ARCH_REGS_H
#define CELLA_KERNEL_ARCH_REGS_H

#include "base/types.h"

struct regs {
    uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
    uint64_t orig_rax; /* system call number, or -1 when the entry was no system call */
    uint64_t rip, cs, rflags, rsp, ss;
};

#define REGS_NO_SYSCALL UINT64_MAX

static inline uint64_t regs_arg(const struct regs *r, int i)
{
    switch (i) {
    case 0: return r->rdi;
    case 1: return r->rsi;
    case 2: return r->rdx;
    case 3: return r->r10;
    case 4: return r->r8;
    default: return r->r9;
    }
}

#endif
