/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From areas to host mappings. Anonymous areas are one host mapping; areas of files map the page
 * cache, segment by segment, with access only where pages are up to date and within the file.
 * Behind the last segment that the file reaches stands a placeholder without access
 * (vma.backed_end), which becomes a mapping of the cache when the file has grown and somebody
 * faults there.
 *
 * What is accessible changes under page_cache.lock only, so all of this runs under it: a truncate
 * on another CPU comes before, and is seen here, or after, and takes the access away again.
 */
#include "base/errno.h"
#include "fs/vfs.h"
#include "mm/page_cache.h"
#include "mm/text_view.h"
#include "mm/vma.h"

int vma_hal_prot(int prot)
{
    int hal = HAL_PROT_NONE;
    if (prot & (PROT_READ_K | PROT_WRITE_K | PROT_EXEC_K))
        hal |= HAL_PROT_READ;
    if (prot & PROT_WRITE_K)
        hal |= HAL_PROT_WRITE;
    if (prot & PROT_EXEC_K)
        hal |= HAL_PROT_EXEC;
    return hal;
}

static uint64_t offset_of(const struct vma *v, uaddr_t addr)
{
    return v->offset + (addr - v->start);
}

/* Sets the protection of the runs of [start, end) that are accessible, or of those that are not. */
static int protect_runs(struct vma *v, uaddr_t start, uaddr_t end, bool which, int hal_prot)
{
    int err = 0;
    while (start < end && !err) {
        bool accessible;
        uint64_t run =
            page_cache_run(&v->inode->pages, offset_of(v, start), end - start, &accessible);
        if (accessible == which)
            err = hal_as_protect(start, run, hal_prot);
        start += run;
    }
    return err;
}

/* [at, at+n) lies in one segment, at kaddr. */
static int map_piece(struct vma *v, uaddr_t at, uint64_t n, void *kaddr)
{
    bool accessible;
    uint64_t run = page_cache_run(&v->inode->pages, offset_of(v, at), n, &accessible);
    int prot = !accessible && run == n ? HAL_PROT_NONE : vma_hal_prot(v->prot);
    int err = hal_as_map_kmem(at, n, prot, kaddr, !(v->flags & VMA_SHARED));
    if (err || run == n)
        return err;
    return protect_runs(v, at, at + n, false, HAL_PROT_NONE);
}

/* page_cache.lock held. */
static int map_file(struct vma *v, uaddr_t start, uaddr_t end)
{
    uint64_t eof = PAGE_ALIGN(READ_ONCE(v->inode->size));
    uaddr_t at = start;
    int err = 0;
    bool behind_hole = start > v->backed_end;
    while (at < end && !err && !behind_hole && offset_of(v, at) < eof) {
        size_t contiguous;
        void *kaddr = page_cache_addr_locked(&v->inode->pages, offset_of(v, at), &contiguous);
        if (!kaddr)
            return -ENOMEM;
        uint64_t n = k_min(end - at, (uint64_t)contiguous);
        err = map_piece(v, at, n, kaddr);
        at += n;
    }
    if (!behind_hole)
        v->backed_end = at;
    if (at < end && !err)
        err = hal_as_map_anon(at, end - at, HAL_PROT_NONE);
    return err;
}

int vma_map_host(struct vma *v, uaddr_t start, uaddr_t end)
{
    if (!v->inode)
        return hal_as_map_anon(start, end - start, vma_hal_prot(v->prot));
    mutex_lock(&v->inode->pages.lock);
    int err = map_file(v, start, end);
    mutex_unlock(&v->inode->pages.lock);
    return err;
}

int vma_protect_host(struct vma *v, uaddr_t start, uaddr_t end)
{
    int prot = vma_hal_prot(v->prot), err = 0;
    if (!v->inode || prot == HAL_PROT_NONE)
        return hal_as_protect(start, end - start, prot);
    mutex_lock(&v->inode->pages.lock);
    if (start < v->backed_end)
        err = protect_runs(v, start, k_min(end, v->backed_end), true, prot);
    mutex_unlock(&v->inode->pages.lock);
    return err;
}

int vma_expose(struct vma *v, uaddr_t start, uaddr_t end)
{
    int err = 0;
    mutex_lock(&v->inode->pages.lock);
    if (end > v->backed_end && offset_of(v, v->backed_end) < READ_ONCE(v->inode->size))
        err = map_file(v, v->backed_end, v->end);
    if (!err && start < v->backed_end)
        err = protect_runs(v, start, k_min(end, v->backed_end), true, vma_hal_prot(v->prot));
    mutex_unlock(&v->inode->pages.lock);
    return err;
}

int vma_unpatch(struct mm *mm, struct vma *v)
{
    v->flags &= ~(uint32_t)VMA_PATCHED;
    v->backed_end = v->end;
    return vma_map_host(v, v->start, v->end);
}
