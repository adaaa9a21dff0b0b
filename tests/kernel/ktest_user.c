/* SPDX-License-Identifier: Apache-2.0 */
/* Workload memory and workload code for tests. */
#include "arch/x86_64/regs.h"
#include "base/errno.h"
#include "base/printk.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "ktest.h"
#include "mm/mm.h"
#include "proc/task.h"

#define USER_STACK_SIZE (64 * 1024ul)
#define NR_exit_group 231

uint64_t ktest_map(uint64_t len)
{
    int64_t r = mm_map(current->mm, NULL, 0, PAGE_ALIGN(len), PROT_READ_K | PROT_WRITE_K,
                       MAP_PRIVATE_K | MAP_ANONYMOUS_K, 0);
    if (r < 0)
        panic("no workload memory for a test: %ld", r);
    return (uint64_t)r;
}

uint64_t ktest_bytes(const void *p, uint64_t len)
{
    uaddr_t a = ktest_map(len);
    if (copy_to_user(a, p, len))
        panic("fresh workload memory is not accessible");
    return a;
}

uint64_t ktest_string(const char *s)
{
    return ktest_bytes(s, strlen(s) + 1);
}

void ktest_child_entry(void (*fn)(void))
{
    struct regs *r = thread_regs(current);
    memset(r, 0, sizeof(*r));
    r->rip = (uint64_t)fn;
    r->cs = 0x33;
    r->ss = 0x2b;
    r->rflags = 0x202;
    r->rsp = ktest_map(USER_STACK_SIZE) + USER_STACK_SIZE -
             72; /* as after a call: 8 below a multiple of 16 */
    r->orig_rax = REGS_NO_SYSCALL;
}

int64_t user_call(uint64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                  uint64_t f)
{
    register uint64_t r10 __asm__("r10") = d;
    register uint64_t r8 __asm__("r8") = e;
    register uint64_t r9 __asm__("r9") = f;
    int64_t ret;
    __asm__ volatile("leaq 1f(%%rip), %%rcx\n\t"
                     "jmp arch_syscall_entry\n"
                     "1:"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory", "cc");
    return ret;
}

void user_exit(int status)
{
    user_call(NR_exit_group, (uint64_t)status, 0, 0, 0, 0, 0);
    __builtin_trap();
}

__asm__(".text\n"
        ".globl user_sigreturn\n"
        "user_sigreturn:\n\t"
        "movl $15, %eax\n\t"
        "leaq 1f(%rip), %rcx\n\t"
        "jmp arch_syscall_entry\n"
        "1: ud2\n");
