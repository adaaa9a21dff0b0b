/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF programs (System V ABI, AMD64 supplement): reading and checking headers, and mapping what
 * they describe. Everything in a file is hostile until elf_read has checked it; elf_map relies on
 * that.
 */
#ifndef CELLA_KERNEL_PROC_ELF_H
#define CELLA_KERNEL_PROC_ELF_H

#include "base/types.h"

struct file;
struct mm;

struct k_elf_ehdr {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, phoff, shoff;
    uint32_t flags;
    uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
_Static_assert(sizeof(struct k_elf_ehdr) == 64, "Elf64_Ehdr");

struct k_elf_phdr {
    uint32_t type, flags;
    uint64_t offset, vaddr, paddr, filesz, memsz, align;
};
_Static_assert(sizeof(struct k_elf_phdr) == 56, "Elf64_Phdr");

struct elf_image {
    struct file *file;        /* borrowed */
    struct k_elf_phdr *phdrs; /* kmalloc'd, phnum of them */
    uint16_t phnum;
    bool position_independent;
    bool exec_stack;
    char *interp;        /* kmalloc'd path of the program interpreter; NULL: none */
    uint64_t entry;      /* as in the file; elf_map adds bias */
    uint64_t low, high;  /* addresses in the file that the loaded segments span, page aligned */
    uint64_t align;      /* the largest p_align */
    uint64_t phdr_vaddr; /* where the program headers are after loading; 0: they are not loaded */
    uint64_t bias;       /* set by elf_map */
    uint64_t code_start, code_end, data_start, data_end; /* with bias, for /proc */
};

/* Reads and checks the headers of f. 0; -ENOEXEC (no ELF program for this machine, or damaged),
 * -ENOMEM, -EIO. elf_release frees what *img holds, also after an error. */
int elf_read(struct file *f, struct elf_image *img);
void elf_release(struct elf_image *img);
/* Maps the segments into mm, which is current's, with img->bias added to their addresses; zeroes
 * what the file does not have. The range must be free. 0 or negative errno (some segments may be
 * mapped then). */
int elf_map(struct mm *mm, struct elf_image *img, uint64_t bias);

#endif
