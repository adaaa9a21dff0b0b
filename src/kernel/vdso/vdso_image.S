/* SPDX-License-Identifier: Apache-2.0 */
/* The built vDSO as data of the kernel; the folder of vdso.so is on the assembler's include path. */
    .section .vdso_image, "a", @progbits
    .balign 16
    .globl vdso_image_start, vdso_image_end
    .hidden vdso_image_start, vdso_image_end
vdso_image_start:
    .incbin "vdso.bin"
vdso_image_end:
    .section .note.GNU-stack, "", @progbits
