/* SPDX-License-Identifier: Apache-2.0 */
/* The dispatcher's table, for the trace, the statistics and the generated documentation. */
#ifndef CELLA_KERNEL_SYSCALL_SYSCALL_H
#define CELLA_KERNEL_SYSCALL_SYSCALL_H

#include "base/types.h"

struct regs;

typedef int64_t (*syscall_fn)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

enum syscall_support { SYSCALL_ABSENT, SYSCALL_PARTIAL, SYSCALL_FULL };

struct syscall_entry {
    syscall_fn fn; /* NULL: ENOSYS */
    enum syscall_support support;
    const char *name;
    const char *args; /* formats for the trace, see table.def */
    const char *missing;
};

#define NR_SYSCALLS 462
extern const struct syscall_entry syscall_table[NR_SYSCALLS];

/* Counters for --stats. */
extern uint64_t syscalls_absent;
extern uint32_t syscall_absent_count[NR_SYSCALLS];
extern bool syscall_trace;

void syscall_trace_enter(const struct regs *regs);
void syscall_trace_exit(uint64_t nr, int64_t result);

#endif
