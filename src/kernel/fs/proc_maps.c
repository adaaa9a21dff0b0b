/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The areas of an address space: maps, smaps, smaps_rollup. Formats: proc(5). Trampolines of
 * patched text are the kernel's and not shown. Of the counters of smaps there are those that the
 * kernel knows; resident pages can be counted only from within the address space.
 */
#include "base/kmalloc.h"
#include "base/string.h"
#include "fs/procfs.h"
#include "mm/mm.h"

#define NAME_COLUMN 73
#define VEC_PAGES 4096ul

static unsigned dev_major(uint64_t dev)
{
    return (unsigned)(dev >> 8) & 0xfff;
}
static unsigned dev_minor(uint64_t dev)
{
    return (unsigned)(dev & 0xff) | ((unsigned)(dev >> 12) & ~0xffu);
}

static const char *special_name(const struct mm *mm, const struct vma *v)
{
    if (v->flags & VMA_VDSO)
        return "[vdso]";
    if (v->flags & VMA_HEAP)
        return "[heap]";
    if (v->start <= mm->stack_start && mm->stack_start < v->end)
        return "[stack]";
    return NULL;
}

/* One line. room: PATH_MAX_K bytes. mm->lock held. */
static void show_area(const struct mm *mm, const struct vma *v, char *room, struct text *t)
{
    size_t line = t->len;
    uint64_t offset = 0, dev = 0, ino = 0;
    const char *name;
    if (v->file) {
        offset = v->offset;
        dev = v->file->inode->sb->dev;
        ino = v->file->inode->ino;
        name = path_to_string(&v->file->path, room, PATH_MAX_K, true);
        if (is_err(name))
            name = "";
    } else {
        name = special_name(mm, v);
    }
    text_printf(t, "%08lx-%08lx %c%c%c%c %08lx %02x:%02x %lu ", v->start, v->end,
                v->prot & PROT_READ_K ? 'r' : '-', v->prot & PROT_WRITE_K ? 'w' : '-',
                v->prot & PROT_EXEC_K ? 'x' : '-', v->flags & VMA_SHARED ? 's' : 'p', offset,
                dev_major(dev), dev_minor(dev), ino);
    if (name) {
        text_pad(t, line, NAME_COLUMN);
        text_put_escaped(t, name, "\n");
    }
    text_putc(t, '\n');
}

static bool is_shown(const struct vma *v)
{
    return !(v->flags & VMA_TRAMPOLINE);
}

int proc_maps_show(const struct pseudo_node *n, struct text *t)
{
    int err;
    struct mm *mm = proc_node_mm(n, true, &err);
    if (!mm)
        return err;
    char *room = kmalloc(PATH_MAX_K);
    if (room) {
        mutex_lock(&mm->lock);
        for (struct vma *v = mm_first(mm); v; v = vma_next(v))
            if (is_shown(v))
                show_area(mm, v, room, t);
        mutex_unlock(&mm->lock);
    } else {
        err = -ENOMEM;
    }
    kfree(room);
    mm_put(mm);
    return err;
}

/* ---- smaps ---- */

/* Resident pages of v, which is in the current address space. */
static uint64_t resident(const struct vma *v, uint8_t *vec)
{
    uint64_t n = 0;
    uaddr_t end = k_min(v->end, v->backed_end);
    for (uaddr_t at = v->start; v->prot && at < end; at += VEC_PAGES * PAGE_SIZE) {
        uint64_t len = k_min(end - at, VEC_PAGES * PAGE_SIZE);
        if (hal_as_resident(at, len, vec))
            continue;
        for (uint64_t i = 0; i < len / PAGE_SIZE; i++)
            n += vec[i] & 1;
    }
    return n;
}

static void show_flags(const struct vma *v, struct text *t)
{
    const struct {
        bool set;
        const char *name;
    } flags[] = {
        {v->prot & PROT_READ_K, "rd "},     {v->prot & PROT_WRITE_K, "wr "},
        {v->prot & PROT_EXEC_K, "ex "},     {v->flags & VMA_SHARED, "sh "},
        {v->max_prot & PROT_READ_K, "mr "}, {v->max_prot & PROT_WRITE_K, "mw "},
        {v->max_prot & PROT_EXEC_K, "me "}, {v->flags & VMA_GROWSDOWN, "gd "},
        {v->flags & VMA_LOCKED, "lo "},     {v->flags & VMA_DONTFORK, "dc "},
        {v->flags & VMA_NORESERVE, "nr "},  {v->flags & VMA_WIPEONFORK, "wf "},
    };
    text_puts(t, "VmFlags: ");
    for (size_t i = 0; i < ARRAY_LEN(flags); i++)
        if (flags[i].set)
            text_puts(t, flags[i].name);
    text_putc(t, '\n');
}

static void show_kib(struct text *t, const char *label, uint64_t pages)
{
    text_printf(t, "%-15s %8lu kB\n", label, pages * (PAGE_SIZE / 1024));
}

/* rollup: sums over all areas instead of each one's numbers. */
static int show_smaps(const struct pseudo_node *n, struct text *t, bool rollup)
{
    struct proc_mm_visit visit;
    uint64_t sum = 0, locked = 0;
    uaddr_t first = 0, last = 0;
    int err;
    struct mm *mm = proc_node_mm(n, true, &err);
    if (!mm)
        return err;
    char *room = kmalloc(PATH_MAX_K);
    uint8_t *vec = kmalloc(VEC_PAGES);
    err = room && vec ? proc_mm_enter(&visit, mm) : -ENOMEM;
    if (!err) {
        mutex_lock(&mm->lock);
        for (struct vma *v = mm_first(mm); v; v = vma_next(v)) {
            if (!is_shown(v))
                continue;
            uint64_t pages = resident(v, vec);
            sum += pages;
            locked += v->flags & VMA_LOCKED ? pages : 0;
            first = first ? first : v->start;
            last = v->end;
            if (rollup)
                continue;
            show_area(mm, v, room, t);
            show_kib(t, "Size:", (v->end - v->start) / PAGE_SIZE);
            show_kib(t, "KernelPageSize:", 1);
            show_kib(t, "MMUPageSize:", 1);
            show_kib(t, "Rss:", pages);
            show_kib(t, "AnonHugePages:", 0);
            show_kib(t, "Swap:", 0);
            show_kib(t, "Locked:", v->flags & VMA_LOCKED ? pages : 0);
            text_puts(t, "THPeligible:           0\n");
            show_flags(v, t);
        }
        mutex_unlock(&mm->lock);
        proc_mm_leave(&visit);
    }
    kfree(vec);
    kfree(room);
    mm_put(mm);
    if (!err && rollup) {
        size_t line = t->len;
        text_printf(t, "%08lx-%08lx ---p 00000000 00:00 0 ", first, last);
        text_pad(t, line, NAME_COLUMN);
        text_puts(t, "[rollup]\n");
        show_kib(t, "Rss:", sum);
        show_kib(t, "AnonHugePages:", 0);
        show_kib(t, "Swap:", 0);
        show_kib(t, "Locked:", locked);
    }
    return err;
}

int proc_smaps_show(const struct pseudo_node *n, struct text *t)
{
    return show_smaps(n, t, false);
}

int proc_smaps_rollup_show(const struct pseudo_node *n, struct text *t)
{
    return show_smaps(n, t, true);
}
