/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arguments and environment on their way from the old program to the new one: strings one behind
 * the other in kernel memory.
 */
#ifndef CELLA_KERNEL_PROC_EXEC_ARGS_H
#define CELLA_KERNEL_PROC_EXEC_ARGS_H

#include "base/types.h"

#define MAX_ARG_STRLEN 131072ul

struct string_list {
    char *buf;
    size_t len, cap; /* bytes; every string has its NUL */
    uint64_t count;
};

struct exec_args {
    struct string_list argv, envp;
    uint64_t limit; /* bytes that strings and pointers may take (RLIMIT_STACK) */
};

void exec_args_init(struct exec_args *a);
void exec_args_release(struct exec_args *a);
/* From the workload's arrays (0: none), or the kernel's. An empty argv gets one empty string. 0,
 * -EFAULT, -E2BIG, -ENOMEM. */
int exec_args_from_user(struct exec_args *a, uaddr_t argv, uaddr_t envp);
int exec_args_from_kernel(struct exec_args *a, char *const argv[], char *const envp[]);
/* Scripts: argv[0] is replaced by interp, arg (may be NULL), and path. 0, -E2BIG, -ENOMEM. */
int exec_args_for_script(struct exec_args *a, const char *interp, const char *arg,
                         const char *path);

#endif
