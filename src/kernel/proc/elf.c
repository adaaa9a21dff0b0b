/* SPDX-License-Identifier: Apache-2.0 */
/* See proc/elf.h. What is refused here although Linux would run it: segments that overlap, are out
 * of order, or reach behind the end of the file. */
#include "proc/elf.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "fs/vfs.h"
#include "mm/mm.h"

enum { ET_EXEC_K = 2, ET_DYN_K = 3, EM_X86_64_K = 62, EV_CURRENT_K = 1 };
enum { PT_LOAD_K = 1, PT_INTERP_K = 3, PT_GNU_STACK_K = 0x6474e551 };
enum { PF_X_K = 1, PF_W_K = 2, PF_R_K = 4 };

#define PHDRS_BYTES_MAX 65536ul
#define PAGE_OFFSET(x) ((x) & (PAGE_SIZE - 1))

/* Exactly len bytes. */
static int read_exact(struct file *f, void *buf, size_t len, uint64_t off)
{
    int64_t n = file_pread_kernel(f, buf, len, off);
    if (n < 0)
        return (int)n;
    return (size_t)n == len ? 0 : -EIO;
}

static bool header_ok(const struct k_elf_ehdr *h)
{
    static const uint8_t ident[7] = {
        0x7f, 'E', 'L', 'F', 2 /* 64 bit */, 1 /* little endian */, EV_CURRENT_K};
    return !memcmp(h->ident, ident, sizeof(ident)) &&
           (h->type == ET_EXEC_K || h->type == ET_DYN_K) && h->machine == EM_X86_64_K &&
           h->phentsize == sizeof(struct k_elf_phdr) && h->phnum &&
           h->phnum <= PHDRS_BYTES_MAX / sizeof(struct k_elf_phdr) &&
           h->phoff <= INT64_MAX - PHDRS_BYTES_MAX;
}

static int read_interp(struct elf_image *img, const struct k_elf_phdr *p)
{
    if (img->interp)
        return 0; /* the first one counts */
    if (p->filesz < 2 || p->filesz > PATH_MAX_K || p->offset > INT64_MAX - PATH_MAX_K)
        return -ENOEXEC;
    img->interp = kmalloc(p->filesz);
    if (!img->interp)
        return -ENOMEM;
    int err = read_exact(img->file, img->interp, p->filesz, p->offset);
    if (err)
        return err;
    return img->interp[p->filesz - 1] ? -ENOEXEC : 0;
}

/* *end: where the segments before this one end; it moves on. */
static int check_load(struct elf_image *img, const struct k_elf_phdr *p, uint64_t phoff,
                      uint64_t size, uint64_t *end, bool first)
{
    if (p->filesz > p->memsz || p->memsz > USER_LIMIT || p->vaddr > USER_LIMIT - p->memsz)
        return -ENOEXEC;
    if (PAGE_OFFSET(p->vaddr) != PAGE_OFFSET(p->offset) || p->filesz > size ||
        p->offset > size - p->filesz)
        return -ENOEXEC;
    if (p->align > 1 && (p->align & (p->align - 1)))
        return -ENOEXEC;
    if (!first && p->vaddr < *end)
        return -ENOEXEC;
    if (first)
        img->low = p->vaddr & PAGE_MASK;
    *end = p->vaddr + p->memsz;
    img->high = PAGE_ALIGN(*end);
    img->align = k_max(img->align, k_min(p->align, 1ull << 30));
    uint64_t phdrs = img->phnum * sizeof(struct k_elf_phdr);
    if (phoff >= p->offset && p->filesz >= phdrs && phoff - p->offset <= p->filesz - phdrs)
        img->phdr_vaddr = phoff - p->offset + p->vaddr;
    return 0;
}

static int check_phdrs(struct elf_image *img, uint64_t phoff)
{
    uint64_t size = READ_ONCE(img->file->inode->size), end = 0;
    bool first = true;
    int err = 0;
    for (unsigned i = 0; i < img->phnum && !err; i++) {
        const struct k_elf_phdr *p = &img->phdrs[i];
        if (p->type == PT_INTERP_K) {
            err = read_interp(img, p);
        } else if (p->type == PT_GNU_STACK_K) {
            img->exec_stack = p->flags & PF_X_K;
        } else if (p->type == PT_LOAD_K && p->memsz) {
            err = check_load(img, p, phoff, size, &end, first);
            first = false;
        }
    }
    if (err)
        return err;
    return first || (!img->position_independent && img->low < USER_MIN) || img->entry >= USER_LIMIT
               ? -ENOEXEC
               : 0;
}

int elf_read(struct file *f, struct elf_image *img)
{
    struct k_elf_ehdr h;
    memset(img, 0, sizeof(*img));
    img->file = f;
    img->align = PAGE_SIZE;
    int64_t n = file_pread_kernel(f, &h, sizeof(h), 0);
    if (n < 0)
        return (int)n;
    if (n != sizeof(h) || !header_ok(&h))
        return -ENOEXEC;
    img->phnum = h.phnum;
    img->entry = h.entry;
    img->position_independent = h.type == ET_DYN_K;
    size_t bytes = h.phnum * sizeof(struct k_elf_phdr);
    img->phdrs = kmalloc(bytes);
    if (!img->phdrs)
        return -ENOMEM;
    if (read_exact(f, img->phdrs, bytes, h.phoff))
        return -ENOEXEC;
    return check_phdrs(img, h.phoff);
}

void elf_release(struct elf_image *img)
{
    kfree(img->phdrs);
    kfree(img->interp);
    img->phdrs = NULL;
    img->interp = NULL;
}

/* ---- mapping ---- */

static int segment_prot(const struct k_elf_phdr *p)
{
    return (p->flags & PF_R_K ? PROT_READ_K : 0) | (p->flags & PF_W_K ? PROT_WRITE_K : 0) |
           (p->flags & PF_X_K ? PROT_EXEC_K : 0);
}

/* The part of a segment that the file does not have. */
static int map_bss(struct mm *mm, uint64_t start, uint64_t end, int prot)
{
    uint64_t page = PAGE_ALIGN(start);
    /* Up to the end of the page, not of the segment: the dynamic linker takes its first memory from
     * there. Where the segment is read-only the rest of its last page keeps what the file has
     * there, as on Linux. */
    if (start < page && (prot & PROT_WRITE_K) && clear_user(start, page - start))
        return -EFAULT;
    if (PAGE_ALIGN(end) <= page)
        return 0;
    int64_t at = mm_map(mm, NULL, page, PAGE_ALIGN(end) - page, prot,
                        MAP_PRIVATE_K | MAP_FIXED_K | MAP_ANONYMOUS_K, 0);
    return at < 0 ? (int)at : 0;
}

static int map_segment(struct mm *mm, struct elf_image *img, const struct k_elf_phdr *p)
{
    uint64_t vaddr = p->vaddr + img->bias, page = vaddr & PAGE_MASK;
    uint64_t file_end = vaddr + p->filesz, end = vaddr + p->memsz;
    int prot = segment_prot(p);
    if (p->filesz) {
        int64_t at = mm_map(mm, img->file, page, PAGE_ALIGN(file_end) - page, prot,
                            MAP_PRIVATE_K | MAP_FIXED_K, p->offset & PAGE_MASK);
        if (at < 0)
            return (int)at;
    } else {
        file_end = page;
    }
    if (prot & PROT_EXEC_K) {
        img->code_start = img->code_start ? k_min(img->code_start, vaddr) : vaddr;
        img->code_end = k_max(img->code_end, vaddr + p->filesz);
    }
    img->data_start = k_max(img->data_start, vaddr);
    img->data_end = k_max(img->data_end, vaddr + p->filesz);
    return end > file_end ? map_bss(mm, file_end, end, prot) : 0;
}

int elf_map(struct mm *mm, struct elf_image *img, uint64_t bias)
{
    int err = 0;
    img->bias = bias;
    for (unsigned i = 0; i < img->phnum && !err; i++)
        if (img->phdrs[i].type == PT_LOAD_K && img->phdrs[i].memsz)
            err = map_segment(mm, img, &img->phdrs[i]);
    return err;
}
