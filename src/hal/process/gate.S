/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate: the only SYSCALL instruction that the host's seccomp filter lets through, by its address. All else is the workload's
 * and traps. It is built to be harmless whoever jumps to it (see wall.c).
 */
    .section .gate, "ax"
    .globl host_syscall
    .type host_syscall, @function
/* long host_syscall(long nr, a0, a1, a2, a3, a4, a5) */
host_syscall:
    movq %rdi, %rax
    movq %rsi, %rdi
    movq %rdx, %rsi
    movq %rcx, %rdx
    movq %r8, %r10
    movq %r9, %r8
    movq 8(%rsp), %r9
    .globl gate_syscall
gate_syscall:
    syscall
    .globl gate_syscall_end
gate_syscall_end:
    ret
    .size host_syscall, . - host_syscall

/* Where a host signal handler returns to; rt_sigreturn(2). */
    .globl gate_sigreturn
    .type gate_sigreturn, @function
gate_sigreturn:
    movl $15, %eax
    jmp gate_syscall
    .size gate_sigreturn, . - gate_sigreturn

    .text
/* long carrier_clone(flags, stack_top, parent_tid, fn, arg): a new host thread that runs fn(arg) on the stack; its tid. */
    .globl carrier_clone
    .type carrier_clone, @function
carrier_clone:
    leaq -24(%rsi), %rsi
    movq %rcx, 8(%rsi)       /* fn */
    movq %r8, 16(%rsi)       /* arg */
    leaq 1f(%rip), %rax
    movq %rax, (%rsi)        /* where the gate's ret goes in the child */
    xorl %r10d, %r10d
    xorl %r8d, %r8d
    movl $56, %eax
    call gate_syscall
    ret
1:  xorl %ebp, %ebp
    popq %rax
    popq %rdi
    call *%rax
    ud2
    .size carrier_clone, . - carrier_clone

/* void carrier_leave(struct hal_context *prev, struct hal_context *next, void *stack_top, void (*fn)(void *), struct carrier *to): saves the
 * caller's context into *prev as arch_switch_stacks does, notes *next as what `to` shall resume, and runs fn(to) on the carrier's own stack; fn
 * does not return. */
    .globl carrier_leave
    .type carrier_leave, @function
carrier_leave:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq (%rsi), %rax
    movq %rax, 16(%r8)       /* struct carrier.resume_rsp */
    movq %rdx, %rsp
    movq %r8, %rdi
    xorl %ebp, %ebp
    call *%rcx
    ud2
    .size carrier_leave, . - carrier_leave

/* void carrier_resume(uint64_t rsp): continues a context that was saved so. */
    .globl carrier_resume
    .type carrier_resume, @function
carrier_resume:
    movq %rdi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size carrier_resume, . - carrier_resume

    .globl _start
    .type _start, @function
_start:
    xorl %ebp, %ebp
    andq $-16, %rsp
    call runtime_boot
    ud2
    .size _start, . - _start

    .section .note.GNU-stack, "", @progbits
