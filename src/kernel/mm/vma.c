/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of areas of an address space: find, insert, split, merge, search for free ranges,
 * counters.
 *
 * Areas are ordered by start and do not overlap. An area of a file also stands in the mappings list
 * of its page cache; the fields that others see through that list (start, end, offset, flags)
 * change under page_cache.lock besides mm->lock.
 */
#include "mm/vma.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "fs/vfs.h"
#include "proc/task.h"

/* ---- counters ---- */

static void account(struct mm *mm, int prot, uint32_t flags, int64_t pages)
{
    mm->total_vm += (uint64_t)pages;
    if (flags & VMA_LOCKED)
        mm->locked_vm += (uint64_t)pages;
    if (flags & (VMA_STACK | VMA_GROWSDOWN))
        mm->stack_vm += (uint64_t)pages;
    else if ((prot & PROT_EXEC_K) && !(prot & PROT_WRITE_K))
        mm->exec_vm += (uint64_t)pages;
    else if ((prot & PROT_WRITE_K) && !(flags & VMA_SHARED))
        mm->data_vm += (uint64_t)pages;
}

static void account_vma(struct mm *mm, const struct vma *v, int sign)
{
    account(mm, v->prot, v->flags, sign * (int64_t)((v->end - v->start) / PAGE_SIZE));
}

bool mm_may_expand(struct mm *mm, int prot, uint32_t flags, uint64_t pages, uint64_t replaced)
{
    if (mm->total_vm + pages - replaced > rlimit_cur(RLIMIT_AS_K) / PAGE_SIZE)
        return false;
    bool is_data = (prot & PROT_WRITE_K) && !(flags & (VMA_SHARED | VMA_STACK | VMA_GROWSDOWN));
    return !is_data || mm->data_vm + pages <= rlimit_cur(RLIMIT_DATA_K) / PAGE_SIZE;
}

/* ---- life ---- */

struct vma *vma_alloc(struct mm *mm, uaddr_t start, uaddr_t end, int prot, int max_prot,
                      uint32_t flags, struct file *file, struct inode *inode, uint64_t offset)
{
    struct vma *v = kzalloc(sizeof(*v));
    if (!v)
        return NULL;
    v->mm = mm;
    v->start = start;
    v->end = end;
    v->prot = prot;
    v->max_prot = max_prot;
    v->flags = flags;
    v->offset = offset;
    v->backed_end = end;
    v->file = file;
    v->inode = inode;
    if (file)
        file_get(file);
    if (inode)
        inode_get(inode);
    list_init(&v->mapping_link);
    return v;
}

void vma_free(struct vma *v)
{
    if (v->inode)
        inode_put(v->inode);
    if (v->file)
        file_put(v->file);
    kfree(v);
}

void vma_free_list(struct list *dead)
{
    struct vma *v, *tmp;
    list_for_each_safe (v, tmp, dead, mapping_link) {
        list_del(&v->mapping_link);
        /* Nobody waits for the answer: an error of the host shows in the next msync or fsync. */
        if (v->inode && (v->flags & VMA_WROTE))
            page_cache_writeback(&v->inode->pages, v->offset, v->end - v->start);
        if (v->file && v->file->ops->unmapped)
            v->file->ops->unmapped(v->file);
        vma_free(v);
    }
}

/* ---- finding ---- */

struct vma *mm_find_from(struct mm *mm, uaddr_t addr)
{
    struct vma *best = NULL;
    for (struct rb_node *n = mm->vmas.node; n;) {
        struct vma *v = rb_entry(n, struct vma, rb);
        if (v->end > addr) {
            best = v;
            if (v->start <= addr)
                break;
            n = n->left;
        } else {
            n = n->right;
        }
    }
    return best;
}

struct vma *mm_find(struct mm *mm, uaddr_t addr)
{
    struct vma *v = mm_find_from(mm, addr);
    return v && v->start <= addr ? v : NULL;
}

struct vma *vma_next(struct vma *v)
{
    struct rb_node *n = rb_next(&v->rb);
    return n ? rb_entry(n, struct vma, rb) : NULL;
}

struct vma *vma_prev(struct vma *v)
{
    struct rb_node *n = rb_prev(&v->rb);
    return n ? rb_entry(n, struct vma, rb) : NULL;
}

struct vma *mm_first(struct mm *mm)
{
    struct rb_node *n = rb_first(&mm->vmas);
    return n ? rb_entry(n, struct vma, rb) : NULL;
}

uint64_t mm_pages_in(struct mm *mm, uaddr_t start, uaddr_t end)
{
    uint64_t pages = 0;
    for (struct vma *v = mm_find_from(mm, start); v && v->start < end; v = vma_next(v))
        pages += (k_min(v->end, end) - k_max(v->start, start)) / PAGE_SIZE;
    return pages;
}

/* ---- insert, remove ---- */

void vma_insert(struct mm *mm, struct vma *v)
{
    struct rb_node **link = &mm->vmas.node, *parent = NULL;
    while (*link) {
        parent = *link;
        link = v->start < rb_entry(parent, struct vma, rb)->start ? &parent->left : &parent->right;
    }
    rb_link(&v->rb, parent, link);
    rb_insert_fixup(&mm->vmas, &v->rb);
    mm->nr_vmas++;
    account_vma(mm, v, 1);
    if (v->inode) {
        mutex_lock(&v->inode->pages.lock);
        list_add_tail(&v->mapping_link, &v->inode->pages.mappings);
        mutex_unlock(&v->inode->pages.lock);
    }
}

/* A hole came into being: the search for free ranges must not miss it. */
static void note_hole(struct mm *mm, uaddr_t end)
{
    if (end <= mm->gap_cache)
        return;
    struct vma *above = mm_find_from(mm, end);
    uaddr_t top = above ? above->start : mm->mmap_base;
    mm->gap_cache = k_min(k_max(top, mm->gap_cache), mm->mmap_base);
}

static void unlink(struct mm *mm, struct vma *v)
{
    if (v->inode) {
        mutex_lock(&v->inode->pages.lock);
        list_del(&v->mapping_link);
        mutex_unlock(&v->inode->pages.lock);
    }
    rb_erase(&mm->vmas, &v->rb);
    mm->nr_vmas--;
    account_vma(mm, v, -1);
}

void vma_remove(struct mm *mm, struct vma *v)
{
    unlink(mm, v);
    note_hole(mm, v->end);
}

/* ---- changing areas in place ---- */

static void lock_mappings(struct vma *v)
{
    if (v->inode)
        mutex_lock(&v->inode->pages.lock);
}

static void unlock_mappings(struct vma *v)
{
    if (v->inode)
        mutex_unlock(&v->inode->pages.lock);
}

void vma_set_range(struct mm *mm, struct vma *v, uaddr_t start, uaddr_t end)
{
    account_vma(mm, v, -1);
    lock_mappings(v);
    uaddr_t old_end = v->end;
    if (v->file)
        v->offset += start - v->start;
    v->start = start;
    v->end = end;
    v->backed_end = v->backed_end == old_end ? end : k_max(start, k_min(v->backed_end, end));
    unlock_mappings(v);
    account_vma(mm, v, 1);
    note_hole(mm, old_end);
}

void vma_set_prot(struct mm *mm, struct vma *v, int prot, uint32_t flags)
{
    account_vma(mm, v, -1);
    lock_mappings(v);
    v->prot = prot;
    v->flags = flags;
    if ((prot & PROT_WRITE_K) && (flags & VMA_SHARED) && v->inode) {
        v->flags |= VMA_WROTE;
        if (v->inode->pages.ops && !v->inode->pages.ops->write)
            v->inode->pages.unreclaimable = true;
    }
    unlock_mappings(v);
    account_vma(mm, v, 1);
}

int vma_split(struct mm *mm, struct vma *v, uaddr_t addr)
{
    if (mm->nr_vmas >= MAX_VMAS)
        return -ENOMEM;
    uint64_t offset = v->file ? v->offset + (addr - v->start) : 0;
    struct vma *rest =
        vma_alloc(mm, addr, v->end, v->prot, v->max_prot, v->flags, v->file, v->inode, offset);
    if (!rest)
        return -ENOMEM;
    rest->backed_end = k_max(addr, k_min(v->backed_end, v->end));
    rest->revoke = v->revoke;
    uaddr_t backed_end = k_min(v->backed_end, addr);
    account_vma(mm, v, -1);
    lock_mappings(v);
    v->end = addr;
    v->backed_end = backed_end;
    unlock_mappings(v);
    account_vma(mm, v, 1);
    vma_insert(mm, rest);
    return 0;
}

int vma_split_range(struct mm *mm, uaddr_t start, uaddr_t end)
{
    struct vma *v = mm_find(mm, start);
    int err = v && v->start < start ? vma_split(mm, v, start) : 0;
    if (err)
        return err;
    v = mm_find(mm, end);
    return v && v->start < end ? vma_split(mm, v, end) : 0;
}

/* Is `b` the continuation of `a`? */
static bool continues(const struct vma *a, const struct vma *b)
{
    /* A part without host memory may only stand at the end of an area. */
    return a->end == b->start && a->prot == b->prot && a->max_prot == b->max_prot &&
           a->flags == b->flags && a->file == b->file && a->inode == b->inode &&
           !(a->flags & (VMA_KERNEL | VMA_PATCHED)) &&
           (!a->file || a->offset + (a->end - a->start) == b->offset) &&
           (a->backed_end == a->end || b->backed_end == b->start);
}

/* `b` becomes a part of `a`. */
static void absorb(struct mm *mm, struct vma *a, struct vma *b)
{
    uaddr_t end = b->end, backed_end = a->backed_end == a->end ? b->backed_end : a->backed_end;
    bool revoke = b->revoke;
    unlink(mm, b);
    account_vma(mm, a, -1);
    lock_mappings(a);
    a->end = end;
    a->backed_end = backed_end;
    a->revoke |= revoke;
    unlock_mappings(a);
    account_vma(mm, a, 1);
    vma_free(b); /* a holds the same file and inode: nothing is released here */
}

struct vma *vma_merge(struct mm *mm, struct vma *v)
{
    struct vma *prev = vma_prev(v), *next = vma_next(v);
    if (prev && continues(prev, v)) {
        absorb(mm, prev, v);
        v = prev;
    }
    if (next && continues(v, next))
        absorb(mm, v, next);
    return v;
}

/* ---- free ranges ---- */

/* Where an area begins for those below it. */
static uaddr_t low_end(const struct vma *v)
{
    return v->flags & VMA_GROWSDOWN ? v->start - k_min(v->start, STACK_GUARD_GAP) : v->start;
}

bool mm_range_free(struct mm *mm, uaddr_t addr, uint64_t len, bool with_gap)
{
    struct vma *v = mm_find_from(mm, addr);
    return !v || addr + len <= (with_gap ? low_end(v) : v->start);
}

/* *largest: the largest hole that was looked at and was too small. */
static uaddr_t search_down(struct mm *mm, uint64_t len, uaddr_t low, uaddr_t high, uint64_t align,
                           uint64_t *largest)
{
    struct vma *v = mm_find_from(mm, high - 1), *below;
    uaddr_t top = high;
    if (v) {
        top = k_min(top, low_end(v));
        below = vma_prev(v);
    } else {
        struct rb_node *n = rb_last(&mm->vmas);
        below = n ? rb_entry(n, struct vma, rb) : NULL;
    }
    for (;;) {
        uaddr_t bottom = below ? k_max(below->end, low) : low;
        if (top > bottom && top - bottom >= len && ALIGN_DOWN(top - len, align) >= bottom)
            return ALIGN_DOWN(top - len, align);
        if (top > bottom)
            *largest = k_max(*largest, top - bottom);
        if (!below || below->start <= low)
            return 0;
        top = low_end(below);
        below = vma_prev(below);
    }
}

uaddr_t mm_find_gap_in(struct mm *mm, uint64_t len, uaddr_t low, uaddr_t high, uint64_t align)
{
    uint64_t largest = 0;
    return len && low < high && len <= high - low ? search_down(mm, len, low, high, align, &largest)
                                                  : 0;
}

uaddr_t mm_find_gap(struct mm *mm, uint64_t len, uint64_t align)
{
    uaddr_t addr;
    if (!len || len > USER_LIMIT)
        return 0;
    if (len <= mm->gap_hole || !mm->gap_cache || align > PAGE_SIZE) {
        mm->gap_cache = mm->mmap_base;
        mm->gap_hole = 0;
    }
    if (mm->gap_cache > USER_MIN) {
        addr = search_down(mm, len, USER_MIN, mm->gap_cache, align, &mm->gap_hole);
        if (addr) {
            mm->gap_cache = addr + len;
            return addr;
        }
    }
    mm->gap_cache = mm->mmap_base;
    mm->gap_hole = 0;
    addr = mm_find_gap_in(mm, len, USER_MIN, mm->mmap_base, align);
    return addr ? addr : mm_find_gap_in(mm, len, mm->mmap_base, USER_LIMIT, align);
}
