/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways between workload and kernel. Offsets: struct cpu in arch/x86_64/cpu.h, struct regs in arch/x86_64/regs.h.
 *
 * A patched call site jumps to its trampoline, which comes here with rcx = return address, rax = number and r11 free: just what
 * the SYSCALL instruction would have destroyed. Nothing is ever pushed on the workload's stack (its red zone is in use).
 */
#define CPU_KSTACK_TOP 8
#define CPU_SCRATCH 16
#define CPU_IN_USER 36
#define REGS_SIZE 168
#define USER_CS 0x33
#define USER_SS 0x2b

    .text
    .globl arch_syscall_entry
    .type arch_syscall_entry, @function
    .balign 64
arch_syscall_entry:
    movq %rsp, %gs:CPU_SCRATCH
    movq %gs:CPU_KSTACK_TOP, %rsp
    pushq $USER_SS
    pushq %gs:CPU_SCRATCH
    pushfq
    cld
    pushq $USER_CS
    pushq %rcx
    pushq %rax
    pushq %rdi
    pushq %rsi
    pushq %rdx
    pushq %rcx
    pushq %rax
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movl $0, %gs:CPU_IN_USER
    movq %rsp, %rdi
    movq %rsp, %rbp
    xorl %esi, %esi
    andq $-16, %rsp
    call kernel_syscall
arch_exit_tail:
    movq %rbp, %rdi
    call arch_exit_work
    movq %rbp, %rsp
    testl %eax, %eax
    jnz arch_restore_full
    /* From here to the jump a signal of the HAL that asks for a reschedule goes to arch_exit_restart: the frame is still whole. */
    .globl arch_exit_begin
arch_exit_begin:
    movl $1, %gs:CPU_IN_USER
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rax
    addq $8, %rsp
    popq %rdx
    popq %rsi
    popq %rdi
    addq $8, %rsp
    popq %rcx
    addq $8, %rsp
    popfq
    movq (%rsp), %rsp
    jmp *%rcx
    .size arch_syscall_entry, . - arch_syscall_entry

/* The way out once more, from the frame at the top of the kernel stack. */
    .globl arch_exit_restart
arch_exit_restart:
    movl $0, %gs:CPU_IN_USER
    movq %gs:CPU_KSTACK_TOP, %rbp
    subq $REGS_SIZE, %rbp
    movq %rbp, %rsp
    andq $-16, %rsp
    jmp arch_exit_tail

/* void arch_return_to_user(struct regs *) - loads everything. IRET to the same privilege level works in ring 3. */
    .globl arch_return_to_user
    .type arch_return_to_user, @function
arch_return_to_user:
    movq %rdi, %rsp
arch_restore_full:
    movl $1, %gs:CPU_IN_USER
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rax
    popq %rcx
    popq %rdx
    popq %rsi
    popq %rdi
    addq $8, %rsp
    iretq
    .globl arch_exit_end
arch_exit_end:
    .size arch_return_to_user, . - arch_return_to_user

/* void arch_switch_stacks(struct hal_context *prev, struct hal_context *next) */
    .globl arch_switch_stacks
    .type arch_switch_stacks, @function
arch_switch_stacks:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq (%rsi), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size arch_switch_stacks, . - arch_switch_stacks

/* First instructions of a new thread, reached by the `ret` of a switch; rbp is 0 to end backtraces. */
    .globl arch_thread_start
    .type arch_thread_start, @function
arch_thread_start:
    andq $-16, %rsp
    call sched_thread_start
    ud2
    .size arch_thread_start, . - arch_thread_start

/* void arch_call_on_stack(void *arg, void (*fn)(void *), void *stack_top): runs fn(arg) on another stack and comes back. */
    .globl arch_call_on_stack
    .type arch_call_on_stack, @function
arch_call_on_stack:
    pushq %rbp
    movq %rsp, %rbp
    movq %rdx, %rsp
    call *%rsi
    movq %rbp, %rsp
    popq %rbp
    ret
    .size arch_call_on_stack, . - arch_call_on_stack

/* void arch_jump_on_stack(void *arg, void (*fn)(void *), void *stack_top): does not come back. */
    .globl arch_jump_on_stack
    .type arch_jump_on_stack, @function
arch_jump_on_stack:
    movq %rdx, %rsp
    xorl %ebp, %ebp
    call *%rsi
    ud2
    .size arch_jump_on_stack, . - arch_jump_on_stack

    .section .note.GNU-stack, "", @progbits
