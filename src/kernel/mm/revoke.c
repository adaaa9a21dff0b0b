/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking access away from mappings of a file that became shorter. Mappings of the current address
 * space lose it at once. The HAL can change no other one: those are marked, their threads are
 * kicked out of the workload, and each address space does its part on its threads' next way out
 * (mm_do_revokes).
 *
 * The child of a fork uses the same way to drop what MADV_DONTFORK and MADV_WIPEONFORK say, because
 * only then its address space is current.
 *
 * Locks: mm->lock -> page_cache.lock -> proc_tree_lock.
 */
#include "fs/vfs.h"
#include "mm/mm.h"
#include "mm/page_cache_impl.h"
#include "mm/vma.h"
#include "proc/task.h"

static int kick_threads_of(struct process *p, void *arg)
{
    struct thread *t;
    list_for_each (t, &p->threads, process_link)
        if (t->mm == arg)
            sched_kick_thread(t);
    return 0;
}

/* Takes access from the part of v that maps [from, ...) of the file. page_cache.lock held; v's
 * address space is current. */
static void revoke_here(struct vma *v, uint64_t from)
{
    uint64_t skip = from > v->offset ? from - v->offset : 0;
    if (skip >= v->end - v->start)
        return;
    uaddr_t start = v->start + skip, end = k_min(v->end, v->backed_end);
    if (start >= end)
        return;
    /* Private copies of pages behind the end go too: when the file grows again they read as the
     * file. */
    uint64_t eof = PAGE_ALIGN(READ_ONCE(v->inode->size));
    uint64_t behind = eof > v->offset ? eof - v->offset : 0;
    if (!(v->flags & VMA_SHARED) && behind < end - v->start) {
        uaddr_t cut = k_max(start, v->start + behind);
        hal_as_discard(cut, end - cut, false);
    }
    hal_as_protect(start, end - start, HAL_PROT_NONE);
}

void page_cache_revoke(struct page_cache *pc, uint64_t from)
{
    struct mm *mine = current->mm;
    struct vma *v;
    list_for_each (v, &pc->mappings, mapping_link) {
        if (v->offset + (v->end - v->start) <= from)
            continue;
        if (v->mm == mine) {
            revoke_here(v, from);
            continue;
        }
        v->revoke = true;
        if (!__atomic_exchange_n(&v->mm->revoke_pending, true, __ATOMIC_SEQ_CST))
            process_for_each(kick_threads_of, v->mm);
    }
}

/* Takes access from every page of v that is behind the end of the file or not up to date. */
static void revoke_stale(struct vma *v)
{
    struct page_cache *pc = &v->inode->pages;
    mutex_lock(&pc->lock);
    v->revoke = false;
    uaddr_t at = v->start, end = k_min(v->end, v->backed_end);
    while (at < end) {
        bool accessible;
        uint64_t off = v->offset + (at - v->start);
        uint64_t run = page_cache_run(pc, off, end - at, &accessible);
        if (!accessible && !(v->flags & VMA_PATCHED))
            hal_as_protect(at, run, HAL_PROT_NONE);
        at += run;
    }
    revoke_here(v, PAGE_ALIGN(READ_ONCE(v->inode->size)));
    mutex_unlock(&pc->lock);
}

/* In the child of a fork. Lock held. */
static void drop_unforked(struct mm *mm, struct list *dead)
{
    struct vma *next;
    mm->fork_fixup = false;
    for (struct vma *v = mm_first(mm); v; v = next) {
        uaddr_t end = v->end;
        if (v->flags & VMA_DONTFORK)
            mm_unmap_locked(mm, v->start, v->end, true, dead);
        else if (v->flags & VMA_WIPEONFORK)
            hal_as_discard(v->start, v->end - v->start, false);
        next = mm_find_from(mm, end);
    }
}

void mm_do_revokes(struct mm *mm)
{
    struct list dead = LIST_INIT(dead);
    mutex_lock(&mm->lock);
    __atomic_store_n(&mm->revoke_pending, false, __ATOMIC_SEQ_CST);
    if (mm->fork_fixup)
        drop_unforked(mm, &dead);
    for (struct vma *v = mm_first(mm); v; v = vma_next(v))
        if (v->inode && READ_ONCE(v->revoke))
            revoke_stale(v);
    mutex_unlock(&mm->lock);
    vma_free_list(&dead);
}
