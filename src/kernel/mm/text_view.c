/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls without traps: a second, patched view of executable files.
 *
 * Private read-only mappings of program text are mapped from a copy of the page cache (the view),
 * shared by all processes and kept across execve; read() sees the original. When a system call
 * traps at a site where the 5 bytes before SYSCALL are `mov $nr, %eax`, these become `jmp rel32` to
 * a trampoline that does the same and enters the kernel directly. SYSCALL itself stays, so jumps to
 * it, and restarts (RIP - 2), still trap. Trampolines of a view lie at a fixed distance from its
 * text in every address space, so the bytes are the same for all.
 *
 * Changing code that another CPU may be running: within one aligned 8-byte word by one store (AMD64
 * APM vol. 2, 7.6.1); else a breakpoint first, all CPUs pass a serializing point, then the rest,
 * then the first byte. A CPU that hits the breakpoint tries again.
 *
 * Locks: mm->lock -> view->lock (spin); patch_lock (mutex) over a whole patch.
 */
#include "mm/text_view.h"

#include "arch/x86_64/regs.h"
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/string.h"
#include "fs/vfs.h"
#include "mm/mm.h"
#include "proc/task.h"

#define TRAMPOLINE_SIZE 32u
#define TRAMPOLINES_BYTES (64 * 1024u)
#define DISTANCE 0x60000000ll /* 1.5 GiB, within reach of rel32 */
#define PIE_AREA 0x500000000000ull
#define MMAP_AREA 0x600000000000ull
#define WINDOW_PAGES 16u
#define VIEW_MAX (1ull << 30)

struct text_view {
    struct page_cache *pc;
    uint64_t size; /* bytes, page aligned */
    char *text;
    char *trampolines;
    uint32_t nr_trampolines;
    int64_t distance; /* from (address - file offset) of the text to the trampolines */
    uint64_t *filled; /* a bit a page */
};

void arch_syscall_entry(void);

static struct mutex patch_lock;
uint64_t text_sites_patched, text_sites_refused;

void text_view_init(void)
{
    mutex_init(&patch_lock);
}

static struct text_view *view_of(struct vma *v)
{
    return v->inode->pages.text;
}

static bool page_filled(const struct text_view *t, uint64_t page)
{
    return t->filled[page / 64] >> (page % 64) & 1;
}

static struct text_view *view_create(struct page_cache *pc, uaddr_t base, uint64_t size)
{
    if (!size || size > VIEW_MAX)
        return NULL;
    struct text_view *t = kzalloc(sizeof(*t));
    if (!t)
        return NULL;
    t->pc = pc;
    t->size = PAGE_ALIGN(size);
    t->text = kva_reserve(t->size);
    t->trampolines = kva_reserve(TRAMPOLINES_BYTES);
    t->filled = kzalloc(ALIGN_UP(t->size >> PAGE_SHIFT, 64) / 8);
    /* Executables sit below their heap: their trampolines go below them. Libraries have the reserve
     * above the mmap area. */
    t->distance = base >= PIE_AREA && base < MMAP_AREA ? -DISTANCE : DISTANCE;
    if (!t->text || !t->trampolines || !t->filled) {
        pc->text = t;
        text_view_destroy(pc);
        return NULL;
    }
    return t;
}

void text_view_destroy(struct page_cache *pc)
{
    struct text_view *t = pc->text;
    if (!t)
        return;
    pc->text = NULL;
    if (t->text)
        kva_release(t->text, t->size);
    if (t->trampolines)
        kva_release(t->trampolines, TRAMPOLINES_BYTES);
    kfree(t->filled);
    kfree(t);
}

/* The text's trampolines in mm: mapped already, mapped now, or -EOPNOTSUPP when something else is
 * there. */
static int map_trampolines(struct mm *mm, struct text_view *t, uaddr_t base)
{
    uaddr_t at = base + (uint64_t)t->distance;
    if (at < USER_MIN || at >= USER_LIMIT - TRAMPOLINES_BYTES)
        return -EOPNOTSUPP;
    struct vma *old = mm_find_from(mm, at);
    if (old && old->start < at + TRAMPOLINES_BYTES)
        return (old->flags & VMA_TRAMPOLINE) && old->start == at &&
                       old->offset == (uint64_t)t->trampolines
                   ? 0
                   : -EOPNOTSUPP;
    return mm_map_kernel_locked(mm, at, TRAMPOLINES_BYTES, PROT_READ_K | PROT_EXEC_K,
                                t->trampolines, VMA_TRAMPOLINE);
}

int text_view_map(struct mm *mm, struct vma *v)
{
    struct inode *inode = v->inode;
    uaddr_t base = v->start - v->offset;
    mutex_lock(&inode->pages.lock);
    struct text_view *t = inode->pages.text;
    if (!t)
        t = inode->pages.text = view_create(&inode->pages, base, inode->size);
    mutex_unlock(&inode->pages.lock);
    uint64_t len = v->end - v->start;
    if (!t || v->offset >= t->size || len > t->size - v->offset || map_trampolines(mm, t, base))
        return -EOPNOTSUPP;
    int prot = HAL_PROT_READ | HAL_PROT_EXEC;
    int r = hal_as_map_kmem(v->start, len, prot, t->text + v->offset, true);
    if (r)
        return r;
    uint64_t first = v->offset >> PAGE_SHIFT, end = first + (len >> PAGE_SHIFT);
    for (uint64_t p = first; p < end;) {
        uint64_t from = p;
        while (p < end && !page_filled(t, p))
            p++;
        if (p > from)
            r = hal_as_protect(v->start + ((from - first) << PAGE_SHIFT), (p - from) << PAGE_SHIFT,
                               HAL_PROT_NONE);
        if (r)
            return r;
        while (p < end && page_filled(t, p))
            p++;
    }
    v->flags |= VMA_PATCHED;
    return 0;
}

int text_view_fault(struct mm *mm, struct vma *v, uaddr_t addr)
{
    struct text_view *t = view_of(v);
    uint64_t page = (addr - v->start + v->offset) >> PAGE_SHIFT;
    uint64_t first = v->offset >> PAGE_SHIFT, end = (v->end - v->start + v->offset) >> PAGE_SHIFT;
    uint64_t from = k_max(ALIGN_DOWN(page, (uint64_t)WINDOW_PAGES), first),
             to = k_min(ALIGN_UP(page + 1, (uint64_t)WINDOW_PAGES), end);
    int r = page_cache_fill(t->pc, from << PAGE_SHIFT, (to - from) << PAGE_SHIFT);
    if (r)
        return r;
    mutex_lock(&t->pc->lock);
    for (uint64_t p = from; p < to; p++) {
        size_t contiguous;
        if (page_filled(t, p))
            continue;
        void *src = page_cache_addr(t->pc, p << PAGE_SHIFT, &contiguous);
        if (!src) {
            r = -ENOMEM;
            break;
        }
        memcpy(t->text + (p << PAGE_SHIFT), src, PAGE_SIZE);
        __atomic_fetch_or(&t->filled[p / 64], 1ull << (p % 64), __ATOMIC_RELEASE);
    }
    mutex_unlock(&t->pc->lock);
    if (r)
        return r;
    return hal_as_protect(v->start + ((from - first) << PAGE_SHIFT), (to - from) << PAGE_SHIFT,
                          v->prot & 7);
}

void text_view_unmap(struct mm *mm, struct vma *v)
{
    struct text_view *t = view_of(v);
    uaddr_t base = v->start - v->offset;
    for (struct vma *o = mm_find_from(mm, 0); o; o = vma_next(o))
        if (o != v && (o->flags & VMA_PATCHED) && view_of(o) == t && o->start - o->offset == base)
            return;
    mm_unmap_kernel_locked(mm, base + (uint64_t)t->distance);
}

/* ---- patching ---- */

static struct text_view *patching_view;
static uint64_t patching_off;

/* mov $nr,%eax; lea next(%rip),%rcx; movabs $entry,%r11; jmp *%r11 */
static void write_trampoline(uint8_t *p, uint32_t nr, int64_t next_from_trampoline)
{
    int32_t disp = (int32_t)(next_from_trampoline - 12);
    uint64_t entry = (uint64_t)arch_syscall_entry;
    p[0] = 0xb8;
    memcpy(p + 1, &nr, 4);
    p[5] = 0x48;
    p[6] = 0x8d;
    p[7] = 0x0d;
    memcpy(p + 8, &disp, 4);
    p[12] = 0x49;
    p[13] = 0xbb;
    memcpy(p + 14, &entry, 8);
    p[22] = 0x41;
    p[23] = 0xff;
    p[24] = 0xe3;
}

/* Replaces len (2 or 5) bytes of shared, running code, which begin an instruction and end one. */
static void write_code(struct text_view *t, uint64_t off, const uint8_t *code, unsigned len)
{
    uint8_t *site = (uint8_t *)t->text + off;
    if (((uintptr_t)site & 7) + len <= 8) {
        uint64_t *word = (uint64_t *)ALIGN_DOWN((uintptr_t)site, 8);
        uint64_t v = *word;
        memcpy((uint8_t *)&v + ((uintptr_t)site & 7), code, len);
        __atomic_store_n(word, v, __ATOMIC_SEQ_CST);
        return;
    }
    patching_off = off;
    __atomic_store_n(&patching_view, t, __ATOMIC_SEQ_CST);
    __atomic_store_n(site, 0xcc, __ATOMIC_SEQ_CST);
    hal_sync_cores();
    for (unsigned i = 1; i < len; i++)
        __atomic_store_n(site + i, code[i], __ATOMIC_SEQ_CST);
    hal_sync_cores();
    __atomic_store_n(site, code[0], __ATOMIC_SEQ_CST);
    __atomic_store_n(&patching_view, NULL, __ATOMIC_SEQ_CST);
}

/* Are the bytes [from, to) of the view there? */
static bool range_filled(const struct text_view *t, uint64_t from, uint64_t to)
{
    if (from > to || to > t->size)
        return false;
    for (uint64_t p = from >> PAGE_SHIFT; p <= (to - 1) >> PAGE_SHIFT; p++)
        if (!page_filled(t, p))
            return false;
    return true;
}

/* Length of the multi-byte NOP at p (Intel SDM vol. 2, NOP, with 66 and 2E prefixes), at most max;
 * 0: it is none. */
static unsigned nop_length(const uint8_t *p, unsigned max)
{
    unsigned n = 0;
    while (n < max && (p[n] == 0x66 || p[n] == 0x2e))
        n++;
    if (n < max && p[n] == 0x90)
        return n + 1;
    static const uint8_t forms[][9] = {{3, 0x0f, 0x1f, 0x00},
                                       {4, 0x0f, 0x1f, 0x40},
                                       {5, 0x0f, 0x1f, 0x44},
                                       {7, 0x0f, 0x1f, 0x80},
                                       {8, 0x0f, 0x1f, 0x84}};
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        unsigned len = forms[i][0];
        if (n + len > max)
            continue;
        bool same = true;
        for (unsigned k = 0; k < len && same; k++)
            same = p[n + k] == forms[i][1 + k]; /* the rest of a form is zeros */
        if (same)
            return n + len;
    }
    return 0;
}

#define SHORT_REACH 118u

/*
 * A place for a 5-byte jump within reach of a 2-byte one from off: padding in front of a 16-byte
 * boundary. Should the padding lie in the flow of a function, it is passed as before: a short jump
 * over the rest comes first. Returns the offset of the padding, or 0.
 */
static uint64_t find_padding(const struct text_view *t, uint64_t low, uint64_t high, uint64_t off,
                             unsigned *len)
{
    uint64_t from = off > low + SHORT_REACH ? off - SHORT_REACH : low,
             to = k_min(off + SHORT_REACH, high);
    if (!range_filled(t, from, to))
        return 0;
    const uint8_t *text = (const uint8_t *)t->text;
    for (uint64_t end = ALIGN_UP(from + 7, 16ull); end <= to; end += 16) {
        for (uint64_t at = k_max(end - 15, from); at + 7 <= end; at++) {
            uint64_t p = at;
            unsigned n = 0;
            while (p < end && (n = nop_length(text + p, (unsigned)(end - p))))
                p += n;
            if (p == end && text[at] != 0x90) {
                *len = (unsigned)(end - at);
                return at;
            }
        }
    }
    return 0;
}

/* A trampoline for the call whose SYSCALL stands at off; its distance from the view's offset 0. 0:
 * there is no room. */
static int64_t new_trampoline(struct text_view *t, uint64_t off, uint32_t nr)
{
    if (t->nr_trampolines >= TRAMPOLINES_BYTES / TRAMPOLINE_SIZE)
        return 0;
    uint64_t at = t->nr_trampolines++ * TRAMPOLINE_SIZE;
    write_trampoline((uint8_t *)t->trampolines + at, nr,
                     (int64_t)(off + 2) - (t->distance + (int64_t)at));
    return t->distance + (int64_t)at;
}

/* jmp rel32 from off to `to` */
static void make_jump(uint8_t code[5], uint64_t off, int64_t to)
{
    int32_t rel = (int32_t)(to - (int64_t)off - 5);
    code[0] = 0xe9;
    memcpy(code + 1, &rel, 4);
}

/* The call site before the SYSCALL at off, in text [low, high): what loads the number is replaced
 * when it is known to the byte. b8 nr            mov $nr,%eax    5 bytes: jmp rel32 48 c7 c0 nr mov
 * $nr,%rax    7 bytes: jmp rel32, the rest is never reached 31 c0            xor %eax,%eax   2
 * bytes (read is call 0): jmp rel8 to a jmp rel32 in padding nearby */
static bool patch(struct text_view *t, uint64_t low, uint64_t high, uint64_t off, uint32_t nr)
{
    uint8_t code[5];
    if (off < low + 8 || !range_filled(t, off - 8, off + 2))
        return false;
    const uint8_t *p = (const uint8_t *)t->text + off;
    uint32_t imm;
    memcpy(&imm, p - 4, 4);
    if (p[0] != 0x0f || p[1] != 0x05)
        return false;
    bool plain = p[-5] == 0xb8 && imm == nr && (p[-6] & 0xf0) != 0x40;
    bool wide = p[-7] == 0x48 && p[-6] == 0xc7 && p[-5] == 0xc0 && imm == nr;
    if (plain || wide) {
        uint64_t site = off - (plain ? 5 : 7);
        int64_t to = new_trampoline(t, off, nr);
        if (!to)
            return false;
        make_jump(code, site, to);
        write_code(t, site, code, 5);
        return true;
    }
    if (nr != 0 || p[-2] != 0x31 || p[-1] != 0xc0 || (p[-3] & 0xf0) == 0x40)
        return false;
    unsigned pad_len;
    uint64_t pad = find_padding(t, low, high, off - 2, &pad_len);
    int64_t to = pad ? new_trampoline(t, off, nr) : 0;
    if (!to)
        return false;
    uint8_t over[2] = {0xeb, (uint8_t)(pad_len - 2)}, hop[2] = {0xeb, (uint8_t)(pad + 2 - off)};
    write_code(t, pad, over, 2);
    hal_sync_cores();
    make_jump(code, pad + 2, to);
    memcpy((uint8_t *)t->text + pad + 2, code, 5);
    hal_sync_cores();
    write_code(t, off - 2, hop, 2);
    return true;
}

void text_view_patch_site(struct regs *regs)
{
    struct mm *mm = current->mm;
    uaddr_t site = regs->rip - 2;
    uint64_t nr = regs->orig_rax;
    if (nr > UINT32_MAX || !mutex_trylock(&mm->lock))
        return;
    struct vma *v = mm_find(mm, site);
    if (!v || !(v->flags & VMA_PATCHED) || (v->prot & PROT_WRITE_K) || !mutex_trylock(&patch_lock))
        goto out;
    struct text_view *t = view_of(v);
    uint64_t off = site - v->start + v->offset;
    if (patch(t, v->offset, v->offset + (v->end - v->start), off, (uint32_t)nr))
        text_sites_patched++;
    else
        text_sites_refused++;
    mutex_unlock(&patch_lock);
out:
    mutex_unlock(&mm->lock);
}

bool text_view_breakpoint(struct regs *regs)
{
    struct mm *mm = current->mm;
    bool again = false;
    mutex_lock(&mm->lock);
    struct vma *v = mm_find(mm, regs->rip - 1);
    if (v && (v->flags & VMA_PATCHED)) {
        struct text_view *t = view_of(v);
        uint64_t off = regs->rip - 1 - v->start + v->offset;
        again = (__atomic_load_n(&patching_view, __ATOMIC_SEQ_CST) == t && patching_off == off) ||
                (uint8_t)t->text[off] != 0xcc;
    }
    mutex_unlock(&mm->lock);
    if (again) {
        regs->rip--;
        hal_cpu_yield();
    }
    return again;
}
