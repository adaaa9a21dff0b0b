/* SPDX-License-Identifier: Apache-2.0 */
/*
 * madvise(2). What changes what a program sees (DONTNEED, FREE, REMOVE, DONTFORK, WIPEONFORK,
 * POPULATE) is done; what only speaks about speed is checked and accepted.
 */
#include "base/errno.h"
#include "fs/vfs.h"
#include "mm/page_cache.h"
#include "mm/vma.h"
#include "proc/task.h"

enum {
    MADV_NORMAL_K = 0,
    MADV_RANDOM_K = 1,
    MADV_SEQUENTIAL_K = 2,
    MADV_WILLNEED_K = 3,
    MADV_DONTNEED_K = 4,
    MADV_FREE_K = 8,
    MADV_REMOVE_K = 9,
    MADV_DONTFORK_K = 10,
    MADV_DOFORK_K = 11,
    MADV_MERGEABLE_K = 12,
    MADV_UNMERGEABLE_K = 13,
    MADV_HUGEPAGE_K = 14,
    MADV_NOHUGEPAGE_K = 15,
    MADV_DONTDUMP_K = 16,
    MADV_DODUMP_K = 17,
    MADV_WIPEONFORK_K = 18,
    MADV_KEEPONFORK_K = 19,
    MADV_COLD_K = 20,
    MADV_PAGEOUT_K = 21,
    MADV_POPULATE_READ_K = 22,
    MADV_POPULATE_WRITE_K = 23,
    MADV_DONTNEED_LOCKED_K = 24,
    MADV_HWPOISON_K = 100,
    MADV_SOFT_OFFLINE_K = 101,
};
enum { FALLOC_KEEP_SIZE_K = 1, FALLOC_PUNCH_HOLE_K = 2 };

#define WILLNEED_MAX (4ull << 20)

static bool known(int advice)
{
    return (advice >= MADV_NORMAL_K && advice <= MADV_DONTNEED_K) ||
           (advice >= MADV_FREE_K && advice <= MADV_DONTNEED_LOCKED_K) ||
           advice == MADV_HWPOISON_K || advice == MADV_SOFT_OFFLINE_K;
}

static bool is_anonymous(const struct vma *v)
{
    return !v->inode && !(v->flags & VMA_KERNEL);
}

/* Sets and clears flags of [start, end), which lies in v. */
static int change_flags(struct mm *mm, struct vma *v, uaddr_t start, uaddr_t end, uint32_t set,
                        uint32_t clear)
{
    uint32_t flags = (v->flags | set) & ~clear;
    if (flags == v->flags)
        return 0;
    if (v->flags & VMA_KERNEL)
        return -EINVAL;
    if (vma_split_range(mm, start, end))
        return -ENOMEM;
    v = mm_find(mm, start);
    vma_set_prot(mm, v, v->prot, flags);
    vma_merge(mm, v);
    return 0;
}

static int dont_need(struct vma *v, uaddr_t start, uaddr_t end, int advice)
{
    if ((v->flags & VMA_KERNEL) || ((v->flags & VMA_LOCKED) && advice != MADV_DONTNEED_LOCKED_K))
        return -EINVAL;
    if (advice == MADV_FREE_K && !is_anonymous(v))
        return -EINVAL;
    /* Pages of a shared mapping are the file's and come back as they are. */
    if (v->flags & VMA_SHARED)
        return 0;
    return hal_as_discard(start, end - start, advice == MADV_FREE_K);
}

/* Advice on one area, with the lock held. */
static int advise_locked(struct mm *mm, struct vma *v, uaddr_t start, uaddr_t end, int advice)
{
    switch (advice) {
    case MADV_DONTNEED_K:
    case MADV_DONTNEED_LOCKED_K:
    case MADV_FREE_K: return dont_need(v, start, end, advice);
    case MADV_DONTFORK_K: return change_flags(mm, v, start, end, VMA_DONTFORK, 0);
    case MADV_DOFORK_K: return change_flags(mm, v, start, end, 0, VMA_DONTFORK);
    case MADV_WIPEONFORK_K:
        return is_anonymous(v) ? change_flags(mm, v, start, end, VMA_WIPEONFORK, 0) : -EINVAL;
    case MADV_KEEPONFORK_K: return change_flags(mm, v, start, end, 0, VMA_WIPEONFORK);
    case MADV_COLD_K:
    case MADV_PAGEOUT_K: return v->flags & VMA_LOCKED ? -EINVAL : 0;
    default: return 0;
    }
}

/* Advice that works on the file behind [start, end), without the lock. */
static int advise_file(struct file *f, struct inode *inode, uint64_t off, uint64_t len, int advice)
{
    if (advice == MADV_REMOVE_K)
        return f->ops->fallocate
                   ? f->ops->fallocate(f, FALLOC_PUNCH_HOLE_K | FALLOC_KEEP_SIZE_K, off, len)
                   : -EOPNOTSUPP;
    page_cache_fill(&inode->pages, off, k_min(len, WILLNEED_MAX));
    return 0;
}

static int check_remove(const struct vma *v)
{
    if ((v->flags & VMA_LOCKED) || !v->file)
        return -EINVAL;
    return (v->flags & VMA_SHARED) && (v->prot & PROT_WRITE_K) ? 0 : -EACCES;
}

static int check_populate(const struct vma *v, int advice)
{
    if (advice == MADV_POPULATE_WRITE_K)
        return v->prot & PROT_WRITE_K ? 0 : -EINVAL;
    return v->prot ? 0 : -EINVAL;
}

/* One area; called with the lock, which it drops and takes again where the advice needs that. */
static int advise_one(struct mm *mm, struct vma *v, uaddr_t start, uaddr_t end, int advice)
{
    bool populate = advice == MADV_POPULATE_READ_K || advice == MADV_POPULATE_WRITE_K;
    if (!populate && advice != MADV_REMOVE_K && !(advice == MADV_WILLNEED_K && v->file))
        return advise_locked(mm, v, start, end, advice);
    int err = populate ? check_populate(v, advice) : advice == MADV_REMOVE_K ? check_remove(v) : 0;
    if (err)
        return err;
    struct file *f = v->file;
    struct inode *inode = v->inode;
    uint64_t off = v->offset + (start - v->start);
    if (f) {
        file_get(f);
        inode_get(inode);
    }
    mutex_unlock(&mm->lock);
    if (populate)
        err = mm_populate(mm, start, end, advice == MADV_POPULATE_WRITE_K);
    else
        err = advise_file(f, inode, off, end - start, advice);
    if (f) {
        inode_put(inode);
        file_put(f);
    }
    mutex_lock(&mm->lock);
    return err;
}

int64_t sys_madvise(uaddr_t start, uint64_t len_in, int advice)
{
    struct mm *mm = current->mm;
    bool hole = false;
    int err = 0;
    uint64_t len = PAGE_ALIGN(len_in);
    if (!known(advice) || (start & ~PAGE_MASK) || (len_in && !len) || start + len < start)
        return -EINVAL;
    if (!len)
        return 0;
    if (advice == MADV_HWPOISON_K || advice == MADV_SOFT_OFFLINE_K)
        return capable(CAP_SYS_ADMIN_K) ? -EINVAL : -EPERM;
    uaddr_t end = start + len;
    mutex_lock(&mm->lock);
    while (start < end && !err) {
        struct vma *v = mm_find_from(mm, start);
        if (!v || v->start >= end) {
            hole = true;
            break;
        }
        hole |= v->start > start;
        uaddr_t from = k_max(start, v->start), to = k_min(end, v->end);
        err = advise_one(mm, v, from, to, advice);
        start = to;
    }
    mutex_unlock(&mm->lock);
    return err ? err : hole ? -ENOMEM : 0;
}
