/* SPDX-License-Identifier: Apache-2.0 */
#include "syscall/syscall.h"

#define FULL SYSCALL_FULL
#define PARTIAL SYSCALL_PARTIAL
#define ABSENT SYSCALL_ABSENT

#define SYSCALL(nr, name, args, support, missing) extern int64_t sys_##name() __attribute__((weak));
#include "syscall/table.def"
#undef SYSCALL

#define SYSCALL(nr, name, args, support, missing) [nr] = {(syscall_fn)(void (*)(void))sys_##name, #name, args, support, missing},
const struct syscall_entry syscall_table[NR_SYSCALLS] = {
#include "syscall/table.def"
};
