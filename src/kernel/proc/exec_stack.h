/* SPDX-License-Identifier: Apache-2.0 */
/* The stack that a new program finds: System V ABI, AMD64 supplement, section 3.4.1; the auxiliary
 * vector as getauxval(3) has it. */
#ifndef CELLA_KERNEL_PROC_EXEC_STACK_H
#define CELLA_KERNEL_PROC_EXEC_STACK_H

#include "proc/exec_args.h"

struct mm;

struct exec_auxv {
    uaddr_t phdr, entry, base;
    uint64_t phnum;
    bool secure;
};

/* Bytes that exec_stack_build needs at most. */
uint64_t exec_stack_bytes(const struct exec_args *a, const char *filename);
/* Writes strings, vectors and the auxiliary vector below `top` of current's address space; *sp:
 * where the program starts. 0 or -EFAULT, -ENOMEM. */
int exec_stack_build(struct mm *mm, const struct exec_args *a, const char *filename,
                     const struct exec_auxv *aux, uaddr_t top, uaddr_t *sp);

#endif
