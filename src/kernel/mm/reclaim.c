/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Giving cached pages back when the keep comes close to its memory limit. Only pages that the
 * backing has as well may go: those of caches whose files are read from the host (or an image) and
 * written through, and of these only caches that nobody has mapped.
 *
 * The race with read(2), which copies from cached pages without the lock: a reader counts itself in
 * pc->users before it looks at the bits. Reclaim clears the bits first and then looks at the count;
 * when it is not zero the bits are set again, for nothing was discarded yet. Both orders are
 * sequentially consistent, so one of the two sees the other.
 *
 * Lock: reclaim_lock (spin) guards the list; a cache is pinned by its inode's reference while its
 * pc->lock is taken.
 */
#include "base/spinlock.h"
#include "fs/vfs.h"
#include "mm/mm.h"
#include "mm/page_cache_impl.h"

static spinlock_t reclaim_lock = SPINLOCK_INIT;
static struct list reclaim_list = LIST_INIT(reclaim_list);
static uint64_t nr_caches;

void page_cache_reclaim_add(struct page_cache *pc)
{
    if (pc->unreclaimable || !list_empty(&pc->reclaim_link))
        return;
    spin_lock(&reclaim_lock);
    if (list_empty(&pc->reclaim_link)) {
        list_add_tail(&pc->reclaim_link, &reclaim_list);
        nr_caches++;
    }
    spin_unlock(&reclaim_lock);
}

void page_cache_reclaim_remove(struct page_cache *pc)
{
    spin_lock(&reclaim_lock);
    if (!list_empty(&pc->reclaim_link)) {
        list_del(&pc->reclaim_link);
        nr_caches--;
    }
    spin_unlock(&reclaim_lock);
}

/* The cache at the head of the list, moved to its end, with its inode counted; NULL: none. */
static struct page_cache *next_victim(void)
{
    struct page_cache *pc = NULL;
    spin_lock(&reclaim_lock);
    if (!list_empty(&reclaim_list)) {
        pc = list_first(&reclaim_list, struct page_cache, reclaim_link);
        list_del(&pc->reclaim_link);
        list_add_tail(&pc->reclaim_link, &reclaim_list);
        if (!ref_get_unless_zero(&pc->inode->ref))
            pc = NULL;
    }
    spin_unlock(&reclaim_lock);
    return pc;
}

/* Drops a run of up-to-date pages of one segment; false when a reader is there. Lock held. */
static bool drop_run(struct page_cache *pc, uint64_t off, uint64_t len, void *mem)
{
    page_cache_set_bits(pc, off, len, false);
    if (__atomic_load_n(&pc->users, __ATOMIC_SEQ_CST)) {
        page_cache_set_bits(pc, off, len, true);
        return false;
    }
    hal_kmem_discard(mem, len);
    return true;
}

/* Lock held. */
static uint64_t drop_clean(struct page_cache *pc)
{
    uint64_t dropped = 0, off = 0, end = PAGE_ALIGN(READ_ONCE(pc->inode->size));
    while (off < end && pc->nr_resident) {
        bool uptodate;
        uint64_t run = page_cache_run(pc, off, end - off, &uptodate);
        if (uptodate) {
            size_t contiguous;
            void *mem = page_cache_addr_locked(pc, off, &contiguous);
            run = k_min(run, (uint64_t)contiguous);
            if (!mem || !drop_run(pc, off, run, mem))
                break;
            dropped += run;
        }
        off += run;
    }
    return dropped;
}

uint64_t page_cache_reclaimable_pages(void)
{
    struct list *l;
    uint64_t pages = 0;
    spin_lock(&reclaim_lock);
    for (l = reclaim_list.next; l != &reclaim_list; l = l->next)
        pages += READ_ONCE(list_entry(l, struct page_cache, reclaim_link)->nr_resident);
    spin_unlock(&reclaim_lock);
    return pages;
}

uint64_t page_cache_reclaim(uint64_t bytes)
{
    uint64_t dropped = 0;
    for (uint64_t left = READ_ONCE(nr_caches); left && dropped < bytes; left--) {
        struct page_cache *pc = next_victim();
        if (!pc)
            continue;
        if (pc->nr_resident && !pc->unreclaimable && mutex_trylock(&pc->lock)) {
            if (list_empty(&pc->mappings) && !pc->text && !pc->unreclaimable)
                dropped += drop_clean(pc);
            mutex_unlock(&pc->lock);
        }
        inode_put(pc->inode);
    }
    return dropped;
}

void page_cache_make_room(uint64_t bytes)
{
    uint64_t limit = mm_limit_bytes(), used = hal_mem_used();
    uint64_t comfortable = limit - limit / 16;
    if (used + bytes > comfortable)
        page_cache_reclaim(used + bytes - comfortable);
}
