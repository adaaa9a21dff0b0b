/* SPDX-License-Identifier: Apache-2.0 */
#include "syscall/syscall.h"

/* Handlers have the natural types of their arguments; the ABI lets each read the low part of a
 * 64-bit register. */
#define FULL(name) extern int64_t sys_##name();
#define PARTIAL(name) extern int64_t sys_##name();
#define ABSENT(name)
#define SYSCALL(nr, name, args, support, missing) support(name)
#include "syscall/table.def"
#undef SYSCALL
#undef FULL
#undef PARTIAL
#undef ABSENT

#define FULL(name) (syscall_fn)(void (*)(void)) sys_##name, SYSCALL_FULL
#define PARTIAL(name) (syscall_fn)(void (*)(void)) sys_##name, SYSCALL_PARTIAL
#define ABSENT(name) NULL, SYSCALL_ABSENT
#define SYSCALL(nr, name, args, support, missing) [nr] = {support(name), #name, args, missing},
const struct syscall_entry syscall_table[NR_SYSCALLS] = {
#include "syscall/table.def"
};
