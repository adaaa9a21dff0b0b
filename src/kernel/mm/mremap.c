/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mremap(2): growing, shrinking and moving one area.
 *
 * Anonymous memory is moved by the HAL. A mapping of a file is mapped anew from the page cache at
 * the new place; only the accessible pages of a private one may hold copies of their own, and these
 * runs are moved over it.
 */
#include "base/errno.h"
#include "fs/vfs.h"
#include "mm/page_cache.h"
#include "mm/vma.h"
#include "proc/task.h"

enum { MREMAP_MAYMOVE_K = 1, MREMAP_FIXED_K = 2, MREMAP_DONTUNMAP_K = 4 };

struct remap {
    uaddr_t old, new;
    uint64_t old_len, new_len;
    int flags;
};

/* The area to resize, after all checks; NULL with *err. */
static struct vma *check_resize(struct mm *mm, const struct remap *r, int *err)
{
    struct vma *v = mm_find(mm, r->old);
    *err = -EFAULT;
    if (!v)
        return NULL;
    if (!r->old_len && !(v->flags & VMA_SHARED)) {
        *err = -EINVAL;
        return NULL;
    }
    if (r->old_len > v->end - r->old || (v->flags & VMA_KERNEL))
        return NULL;
    if (r->new_len <= r->old_len)
        return v;
    uint64_t growth = r->new_len - r->old_len;
    if (v->file && v->offset + (r->old - v->start) + r->new_len < v->offset) {
        *err = -EINVAL;
        return NULL;
    }
    if ((v->flags & VMA_LOCKED) && mm_may_lock(mm, growth / PAGE_SIZE)) {
        *err = -EAGAIN;
        return NULL;
    }
    *err = -ENOMEM;
    bool promises = !v->inode && (v->prot & PROT_WRITE_K) && !(v->flags & VMA_NORESERVE);
    if (!mm_may_expand(mm, v->prot, v->flags, growth / PAGE_SIZE, 0) ||
        (promises && mm_over_limit(growth)))
        return NULL;
    return v;
}

/* Moves what a private mapping of a file has at [from, from+len) to `to`, where the file is already
 * mapped. */
static int move_private_file(struct vma *v, uaddr_t from, uint64_t len, uaddr_t to)
{
    struct page_cache *pc = &v->inode->pages;
    uaddr_t at = from, end = k_min(from + len, v->backed_end);
    int err = 0;
    mutex_lock(&pc->lock);
    while (at < end && !err) {
        bool accessible;
        size_t contiguous;
        uint64_t off = v->offset + (at - v->start);
        uint64_t run = page_cache_run(pc, off, end - at, &accessible);
        if (accessible && page_cache_addr_locked(pc, off, &contiguous)) {
            run = k_min(run, (uint64_t)contiguous);
            uaddr_t dest = to + (at - from);
            err = hal_as_unmap(dest, run);
            if (!err)
                err = hal_as_move(at, run, dest, run);
        }
        at += run;
    }
    mutex_unlock(&pc->lock);
    return err;
}

/* The host's side of a move; nv is the area at the new place, v that at the old one, wholly in the
 * moved range. */
static int move_host(struct vma *v, struct vma *nv, const struct remap *r)
{
    uint64_t moved = k_min(r->old_len, r->new_len);
    bool stays = (r->flags & MREMAP_DONTUNMAP_K) || !r->old_len;
    int err;
    if (!v->inode) {
        err = hal_as_move(r->old, r->old_len, r->new, r->new_len);
        return err || !stays ? err : hal_as_map_anon(r->old, r->old_len, vma_hal_prot(v->prot));
    }
    err = vma_map_host(nv, nv->start, nv->end);
    if (err || !r->old_len)
        return err;
    if (!(v->flags & VMA_SHARED))
        err = move_private_file(v, r->old, moved, r->new);
    if (err)
        return err;
    return stays ? vma_map_host(v, v->start, v->end) : hal_as_unmap(r->old, r->old_len);
}

static int64_t move_area(struct mm *mm, struct vma *v, const struct remap *r, struct list *dead)
{
    if (v->flags & VMA_PATCHED) {
        int err = vma_unpatch(mm, v);
        if (err)
            return err;
    }
    if (r->old_len) {
        if (vma_split_range(mm, r->old, r->old + r->old_len))
            return -ENOMEM;
        v = mm_find(mm, r->old);
    }
    uint64_t offset = v->file ? v->offset + (r->old - v->start) : 0;
    struct vma *nv = vma_alloc(mm, r->new, r->new + r->new_len, v->prot, v->max_prot, v->flags,
                               v->file, v->inode, offset);
    if (!nv)
        return -ENOMEM;
    vma_insert(mm, nv);
    int err = move_host(v, nv, r);
    if (err) {
        hal_as_unmap(r->new, r->new_len);
        vma_remove(mm, nv);
        vma_free(nv);
        return err;
    }
    if (r->old_len && !(r->flags & MREMAP_DONTUNMAP_K)) {
        vma_remove(mm, v);
        /* Nothing is lost by not writing back now: the new area is dirty just the same. */
        v->flags &= ~(uint32_t)VMA_WROTE;
        list_add_tail(&v->mapping_link, dead);
    }
    vma_merge(mm, nv);
    return (int64_t)r->new;
}

/* To a place that the caller names, or a free one for MREMAP_DONTUNMAP. */
static int64_t remap_to(struct mm *mm, struct remap *r, struct list *dead)
{
    int err;
    bool fixed = r->flags & MREMAP_FIXED_K;
    if (fixed) {
        if ((r->new & ~PAGE_MASK) || !user_range_ok(r->new, r->new_len) || r->new < USER_MIN)
            return -EINVAL;
        if (r->old + r->old_len > r->new && r->new + r->new_len > r->old)
            return -EINVAL;
        err = mm_unmap_locked(mm, r->new, r->new + r->new_len, true, dead);
        if (err)
            return err;
    }
    if (r->old_len > r->new_len) {
        err = mm_unmap_locked(mm, r->old + r->new_len, r->old + r->old_len, true, dead);
        if (err)
            return err;
        r->old_len = r->new_len;
    }
    struct vma *v = check_resize(mm, r, &err);
    if (!v)
        return err;
    if ((r->flags & MREMAP_DONTUNMAP_K) &&
        !mm_may_expand(mm, v->prot, v->flags, r->new_len / PAGE_SIZE, 0))
        return -ENOMEM;
    if (!fixed) {
        bool hint = r->new >= USER_MIN && !(r->new & ~PAGE_MASK) &&
                    user_range_ok(r->new, r->new_len) &&
                    mm_range_free(mm, r->new, r->new_len, true);
        if (!hint)
            r->new = mm_find_gap(mm, r->new_len, PAGE_SIZE);
        if (!r->new)
            return -ENOMEM;
    }
    return move_area(mm, v, r, dead);
}

static bool grow_in_place(struct mm *mm, struct vma *v, const struct remap *r)
{
    uaddr_t end = r->old + r->old_len, new_end = r->old + r->new_len;
    if (end != v->end || !user_range_ok(r->old, r->new_len) ||
        !mm_range_free(mm, end, new_end - end, true))
        return false;
    if (v->flags & VMA_PATCHED)
        return false;
    vma_set_range(mm, v, v->start, new_end);
    if (vma_map_host(v, end, new_end)) {
        hal_as_unmap(end, new_end - end);
        vma_set_range(mm, v, v->start, end);
        return false;
    }
    vma_merge(mm, v);
    return true;
}

static int64_t remap_locked(struct mm *mm, struct remap *r, struct list *dead)
{
    int err;
    if (!mm_find(mm, r->old))
        return -EFAULT;
    if (r->flags & (MREMAP_FIXED_K | MREMAP_DONTUNMAP_K))
        return remap_to(mm, r, dead);
    if (r->old_len >= r->new_len) {
        err = r->old_len > r->new_len
                  ? mm_unmap_locked(mm, r->old + r->new_len, r->old + r->old_len, true, dead)
                  : 0;
        return err ? err : (int64_t)r->old;
    }
    struct vma *v = check_resize(mm, r, &err);
    if (!v)
        return err;
    if (r->old_len && grow_in_place(mm, v, r))
        return (int64_t)r->old;
    if (!(r->flags & MREMAP_MAYMOVE_K))
        return -ENOMEM;
    r->new = mm_find_gap(mm, r->new_len, PAGE_SIZE);
    return r->new ? move_area(mm, v, r, dead) : -ENOMEM;
}

int64_t sys_mremap(uaddr_t old_addr, uint64_t old_len, uint64_t new_len, uint64_t flags,
                   uaddr_t new_addr)
{
    struct mm *mm = current->mm;
    struct list dead = LIST_INIT(dead);
    if ((flags & ~(uint64_t)(MREMAP_MAYMOVE_K | MREMAP_FIXED_K | MREMAP_DONTUNMAP_K)) ||
        (!(flags & MREMAP_MAYMOVE_K) && (flags & (MREMAP_FIXED_K | MREMAP_DONTUNMAP_K))))
        return -EINVAL;
    struct remap r = {.old = old_addr,
                      .new = new_addr,
                      .old_len = PAGE_ALIGN(old_len),
                      .new_len = PAGE_ALIGN(new_len),
                      .flags = (int)flags};
    if ((flags & MREMAP_DONTUNMAP_K) && r.old_len != r.new_len)
        return -EINVAL;
    if ((old_addr & ~PAGE_MASK) || !r.new_len)
        return -EINVAL;
    if (!user_range_ok(old_addr, 1))
        return -EFAULT;
    if (r.new_len > USER_LIMIT)
        return -ENOMEM;
    if (!user_range_ok(old_addr, r.old_len))
        return -EINVAL;
    mutex_lock(&mm->lock);
    int64_t at = remap_locked(mm, &r, &dead);
    struct vma *v = at > 0 ? mm_find(mm, (uaddr_t)at) : NULL;
    bool locked = v && (v->flags & VMA_LOCKED) && v->prot;
    bool write = v && (v->prot & PROT_WRITE_K) && !(v->flags & VMA_SHARED);
    mutex_unlock(&mm->lock);
    vma_free_list(&dead);
    if (locked)
        mm_populate(mm, (uaddr_t)at, (uaddr_t)at + r.new_len, write);
    return at;
}
