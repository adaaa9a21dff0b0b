/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page faults. Anonymous memory needs none of this: the host fills it. What comes here is an access
 * that an area forbids, one outside of all areas, the growth of a stack, and the first access to
 * pages of files, which are filled in windows: 16 pages around the fault, up to 64 ahead when a
 * file is walked through in order. Whatever lies next to them and is up to date already is opened
 * by the same host call.
 *
 * A fill may wait for the host, so mm->lock is dropped around it and the area looked up again.
 */
#include "base/errno.h"
#include "fs/vfs.h"
#include "mm/mm.h"
#include "mm/page_cache.h"
#include "mm/text_view.h"
#include "mm/vma.h"
#include "proc/task.h"

#define WINDOW (16 * PAGE_SIZE)
#define WINDOW_SEQUENTIAL (64 * PAGE_SIZE)
#define EXPOSE_MAX (512 * PAGE_SIZE)
#define STACK_GROW (16 * PAGE_SIZE)

static const struct fault_result resolved = {0, 0};
static const struct fault_result no_mapping = {SIGSEGV, SEGV_MAPERR_K};
static const struct fault_result no_access = {SIGSEGV, SEGV_ACCERR_K};
static const struct fault_result no_object = {SIGBUS, BUS_ADRERR_K};

/* ---- stacks ---- */

/* Makes v begin at addr's page or a little below. False: limit, or something is in the way. */
static bool grow_stack(struct mm *mm, struct vma *v, uaddr_t addr)
{
    uaddr_t page = addr & PAGE_MASK, floor = USER_MIN;
    uint64_t limit = rlimit_cur(RLIMIT_STACK_K);
    struct vma *below = vma_prev(v);
    if (v->end - page > limit)
        return false;
    if (limit < v->end)
        floor = k_max(floor, PAGE_ALIGN(v->end - limit));
    if (below)
        floor = k_max(floor,
                      below->end +
                          (below->prot && !(below->flags & VMA_GROWSDOWN) ? STACK_GUARD_GAP : 0));
    if (page < floor)
        return false;
    uaddr_t start = k_max(floor, page & ~(STACK_GROW - 1));
    uint64_t pages = (v->start - start) / PAGE_SIZE;
    if (!mm_may_expand(mm, v->prot, v->flags, pages, 0))
        return false;
    if ((v->flags & VMA_LOCKED) && mm_may_lock(mm, pages))
        return false;
    if (hal_as_map_anon(start, v->start - start, vma_hal_prot(v->prot)))
        return false;
    vma_set_range(mm, v, start, v->end);
    return true;
}

/* ---- files ---- */

/* [*from, *to): the file range to fill for a fault at off, within the area and the file. */
static void choose_window(struct page_cache *pc, const struct vma *v, uint64_t off, uint64_t eof,
                          uint64_t *from, uint64_t *to)
{
    uint64_t first = v->offset, last = k_min(eof, v->offset + (v->end - v->start));
    if (off == pc->last_read_end) {
        *from = off;
        *to = k_min(off + WINDOW_SEQUENTIAL, last);
        return;
    }
    *from = k_max(off & ~(WINDOW - 1), first);
    *to = k_min((off & ~(WINDOW - 1)) + WINDOW, last);
}

/* Opens the accessible run around page, at most EXPOSE_MAX to each side. Lock held. */
static int expose_around(struct vma *v, uaddr_t page)
{
    uaddr_t start = k_max(v->start, page - k_min(page, EXPOSE_MAX)),
            end = k_min(v->end, page + EXPOSE_MAX);
    uint64_t off = v->offset + (page - v->start);
    bool accessible;
    uint64_t run = page_cache_run(&v->inode->pages, off, end - page, &accessible);
    if (accessible)
        end = page + run;
    while (start < page) {
        run = page_cache_run(&v->inode->pages, v->offset + (start - v->start), page - start,
                             &accessible);
        if (accessible && start + run >= page)
            break;
        start += run;
    }
    return vma_expose(v, k_min(start, page), end);
}

static bool allowed(const struct vma *v, int access)
{
    switch (access) {
    case FAULT_WRITE: return v->prot & PROT_WRITE_K;
    case FAULT_EXEC: return v->prot & PROT_EXEC_K;
    default: return v->prot & (PROT_READ_K | PROT_WRITE_K | PROT_EXEC_K);
    }
}

/* One try; *again: the page is up to date now, look once more. Called with the lock held, which may
 * be dropped and taken again. */
static struct fault_result file_fault(struct mm *mm, struct vma *v, uaddr_t page, bool *again)
{
    struct inode *inode = v->inode;
    struct page_cache *pc = &inode->pages;
    uint64_t off = v->offset + (page - v->start), eof = PAGE_ALIGN(READ_ONCE(inode->size));
    if (off >= eof)
        return no_object;
    if (v->flags & VMA_PATCHED)
        return text_view_fault(mm, v, page) ? no_object : resolved;
    if (page_cache_uptodate(pc, off)) {
        current->process->min_flt++;
        return expose_around(v, page) ? no_object : resolved;
    }
    uint64_t from, to;
    choose_window(pc, v, off, eof, &from, &to);
    inode_get(inode);
    mutex_unlock(&mm->lock);
    current->process->maj_flt++;
    int err = page_cache_fill(pc, from, to - from);
    /* What is around may be unreadable while the page itself is not. */
    if (err)
        err = page_cache_fill(pc, off, PAGE_SIZE);
    inode_put(inode);
    mutex_lock(&mm->lock);
    *again = !err;
    return err ? no_object : resolved;
}

struct fault_result mm_fault(struct mm *mm, uaddr_t addr, int access)
{
    struct fault_result result = no_mapping;
    uaddr_t page = addr & PAGE_MASK;
    bool again;
    if (!user_range_ok(addr, 1))
        return no_mapping;
    mutex_lock(&mm->lock);
    do {
        again = false;
        struct vma *v = mm_find_from(mm, addr);
        bool inside = v && v->start <= addr;
        if (!v || (!inside && (!(v->flags & VMA_GROWSDOWN) || !grow_stack(mm, v, addr))))
            result = no_mapping;
        else if (!allowed(v, access))
            result = no_access;
        else if (v->inode)
            result = file_fault(mm, v, page, &again);
        else
            /* The host knows what is there; it only may have been told a protection that has
             * changed since. */
            result = inside && hal_as_protect(page, PAGE_SIZE, vma_hal_prot(v->prot)) ? no_object
                                                                                      : resolved;
    } while (again);
    mutex_unlock(&mm->lock);
    return result;
}

/* ---- the upcall ---- */

void mm_handle_user_fault(struct regs *regs, const struct hal_fault *fault)
{
    enum { PF_WRITE = 2, PF_EXEC = 16 };
    int access = fault->error_code & PF_EXEC    ? FAULT_EXEC
                 : fault->error_code & PF_WRITE ? FAULT_WRITE
                                                : FAULT_READ;
    struct fault_result r = mm_fault(current->mm, fault->address, access);
    if (r.sig)
        signal_force_fault(r.sig, r.code, fault->address);
}
