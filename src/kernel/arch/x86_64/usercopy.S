/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accesses to workload memory that may fault. Each instruction that may has an entry in the fixup table: when it faults, the
 * HAL continues at the fixup (kernel_fault_fixup in arch/x86_64/fixup.c).
 */
    .macro FIXUP from, to
    .pushsection cella_fixup, "a"
    .balign 8
    .quad \from, \to
    .popsection
    .endm

    .text
/* size_t arch_user_copy(void *dst, const void *src, size_t n): bytes not copied. */
    .globl arch_user_copy
    .type arch_user_copy, @function
arch_user_copy:
    movq %rdx, %rcx
    cmpq $128, %rdx
    jae 4f
1:  cmpq $8, %rcx
    jb 3f
2:  movq (%rsi), %rax
5:  movq %rax, (%rdi)
    addq $8, %rsi
    addq $8, %rdi
    subq $8, %rcx
    jmp 1b
3:  testq %rcx, %rcx
    jz 7f
6:  movb (%rsi), %al
8:  movb %al, (%rdi)
    incq %rsi
    incq %rdi
    decq %rcx
    jmp 3b
4:  rep movsb
7:  movq %rcx, %rax
    ret
    /* The 8-byte loop goes on byte by byte, so that the count is exact. */
    FIXUP 2b, 6b
    FIXUP 5b, 6b
    FIXUP 6b, 7b
    FIXUP 8b, 7b
    FIXUP 4b, 7b
    .size arch_user_copy, . - arch_user_copy

/* size_t arch_user_clear(void *dst, size_t n): bytes not cleared. */
    .globl arch_user_clear
    .type arch_user_clear, @function
arch_user_clear:
    movq %rsi, %rcx
    xorl %eax, %eax
1:  rep stosb
2:  movq %rcx, %rax
    ret
    FIXUP 1b, 2b
    .size arch_user_clear, . - arch_user_clear

/* long arch_user_strncpy(char *dst, const char *src, size_t n): bytes copied without the NUL; n when there was none; on
 * a fault -1 - bytes copied so far. */
    .globl arch_user_strncpy
    .type arch_user_strncpy, @function
arch_user_strncpy:
    xorl %ecx, %ecx
1:  cmpq %rdx, %rcx
    jae 3f
2:  movb (%rsi,%rcx), %al
    movb %al, (%rdi,%rcx)
    testb %al, %al
    jz 3f
    incq %rcx
    jmp 1b
3:  movq %rcx, %rax
    ret
4:  movq %rcx, %rax
    notq %rax
    ret
    FIXUP 2b, 4b
    .size arch_user_strncpy, . - arch_user_strncpy

/* long arch_user_strnlen(const char *src, size_t n): as above without copying. */
    .globl arch_user_strnlen
    .type arch_user_strnlen, @function
arch_user_strnlen:
    xorl %ecx, %ecx
1:  cmpq %rsi, %rcx
    jae 3f
2:  cmpb $0, (%rdi,%rcx)
    je 3f
    incq %rcx
    jmp 1b
3:  movq %rcx, %rax
    ret
4:  movq %rcx, %rax
    notq %rax
    ret
    FIXUP 2b, 4b
    .size arch_user_strnlen, . - arch_user_strnlen

/* int arch_user_load32(uint32_t *old, const uint32_t *addr): 0, or 1 on a fault. */
    .globl arch_user_load32
    .type arch_user_load32, @function
arch_user_load32:
1:  movl (%rsi), %eax
    movl %eax, (%rdi)
    xorl %eax, %eax
    ret
2:  movl $1, %eax
    ret
    FIXUP 1b, 2b
    .size arch_user_load32, . - arch_user_load32

/* int arch_user_cmpxchg32(uint32_t *old, uint32_t *addr, uint32_t expected, uint32_t desired) */
    .globl arch_user_cmpxchg32
    .type arch_user_cmpxchg32, @function
arch_user_cmpxchg32:
    movl %edx, %eax
1:  lock cmpxchgl %ecx, (%rsi)
    movl %eax, (%rdi)
    xorl %eax, %eax
    ret
2:  movl $1, %eax
    ret
    FIXUP 1b, 2b
    .size arch_user_cmpxchg32, . - arch_user_cmpxchg32

/* void arch_user_touch_read/arch_user_touch_write(uaddr_t): 0, or 1 on a fault; the write adds nothing to the word. */
    .globl arch_user_touch_read
arch_user_touch_read:
1:  movb (%rdi), %al
    xorl %eax, %eax
    ret
2:  movl $1, %eax
    ret
    FIXUP 1b, 2b
    .globl arch_user_touch_write
arch_user_touch_write:
1:  lock orb $0, (%rdi)
    xorl %eax, %eax
    ret
2:  movl $1, %eax
    ret
    FIXUP 1b, 2b

    .section .note.GNU-stack, "", @progbits
