/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mlock(2) and its kin. The keep never swaps, so locking is bringing pages in once, and the
 * accounting that programs see.
 */
#include "base/errno.h"
#include "mm/vma.h"
#include "proc/task.h"

enum { MLOCK_ONFAULT_K = 1, MCL_CURRENT_K = 1, MCL_FUTURE_K = 2, MCL_ONFAULT_K = 4 };

int mm_may_lock(struct mm *mm, uint64_t pages)
{
    uint64_t limit = rlimit_cur(RLIMIT_MEMLOCK_K);
    if (limit == RLIM_INFINITY_K || capable(CAP_IPC_LOCK_K))
        return 0;
    if (!limit)
        return -EPERM;
    return mm->locked_vm + pages > limit / PAGE_SIZE ? -ENOMEM : 0;
}

/* Sets or clears VMA_LOCKED in [start, end). -ENOMEM where nothing is mapped; what stands before is
 * changed. */
static int set_locked(struct mm *mm, uaddr_t start, uaddr_t end, bool locked)
{
    while (start < end) {
        struct vma *v = mm_find(mm, start);
        if (!v)
            return -ENOMEM;
        uaddr_t stop = k_min(v->end, end);
        bool is_locked = v->flags & VMA_LOCKED;
        if (is_locked != locked && !(v->flags & VMA_KERNEL)) {
            if (vma_split_range(mm, start, stop))
                return -ENOMEM;
            v = mm_find(mm, start);
            vma_set_prot(mm, v, v->prot, v->flags ^ VMA_LOCKED);
            vma_merge(mm, v);
        }
        start = stop;
    }
    return 0;
}

static uint64_t locked_pages_in(struct mm *mm, uaddr_t start, uaddr_t end)
{
    uint64_t n = 0;
    for (struct vma *v = mm_find_from(mm, start); v && v->start < end; v = vma_next(v))
        if (v->flags & VMA_LOCKED)
            n += (k_min(v->end, end) - k_max(v->start, start)) / PAGE_SIZE;
    return n;
}

/* Brings in what is locked in [start, end). The error of a page that cannot be had is ENOMEM. */
static int populate_locked(struct mm *mm, uaddr_t start, uaddr_t end)
{
    while (start < end) {
        mutex_lock(&mm->lock);
        struct vma *v = mm_find_from(mm, start);
        if (!v || v->start >= end) {
            mutex_unlock(&mm->lock);
            return 0;
        }
        uaddr_t from = k_max(start, v->start), to = k_min(end, v->end);
        bool wanted = (v->flags & VMA_LOCKED) && v->prot;
        bool write = (v->prot & PROT_WRITE_K) && !(v->flags & VMA_SHARED);
        mutex_unlock(&mm->lock);
        if (wanted && mm_populate(mm, from, to, write))
            return -ENOMEM;
        start = to;
    }
    return 0;
}

/* Rounds to pages. False: the range wraps around, or leaves the user's. */
static bool round_range(uaddr_t addr, uint64_t len, uaddr_t *start, uaddr_t *end)
{
    *start = addr & PAGE_MASK;
    *end = PAGE_ALIGN(addr + len);
    return addr + len >= addr && *end >= *start && *end <= USER_LIMIT;
}

static int64_t lock_range(uaddr_t addr, uint64_t len, bool populate)
{
    struct mm *mm = current->mm;
    uaddr_t start, end;
    if (rlimit_cur(RLIMIT_MEMLOCK_K) == 0 && !capable(CAP_IPC_LOCK_K))
        return -EPERM;
    if (addr + len < addr)
        return -EINVAL;
    if (!round_range(addr, len, &start, &end))
        return -ENOMEM;
    mutex_lock(&mm->lock);
    int err = mm_may_lock(mm, (end - start) / PAGE_SIZE - locked_pages_in(mm, start, end));
    if (!err)
        err = set_locked(mm, start, end, true);
    mutex_unlock(&mm->lock);
    if (!err && populate)
        err = populate_locked(mm, start, end);
    return err;
}

int64_t sys_mlock(uaddr_t addr, uint64_t len)
{
    return lock_range(addr, len, true);
}

int64_t sys_mlock2(uaddr_t addr, uint64_t len, int flags)
{
    if (flags & ~MLOCK_ONFAULT_K)
        return -EINVAL;
    return lock_range(addr, len, !(flags & MLOCK_ONFAULT_K));
}

int64_t sys_munlock(uaddr_t addr, uint64_t len)
{
    struct mm *mm = current->mm;
    uaddr_t start, end;
    if (addr + len < addr)
        return -EINVAL;
    if (!round_range(addr, len, &start, &end))
        return -ENOMEM;
    mutex_lock(&mm->lock);
    int err = set_locked(mm, start, end, false);
    mutex_unlock(&mm->lock);
    return err;
}

/* For every area: holes are no error here. */
static void set_all_locked(struct mm *mm, bool locked)
{
    for (struct vma *v = mm_first(mm); v; v = vma_next(v)) {
        bool is_locked = v->flags & VMA_LOCKED;
        if (is_locked != locked && !(v->flags & VMA_KERNEL)) {
            vma_set_prot(mm, v, v->prot, v->flags ^ VMA_LOCKED);
            v = vma_merge(mm, v);
        }
    }
}

int64_t sys_mlockall(int flags)
{
    struct mm *mm = current->mm;
    if (!flags || (flags & ~(MCL_CURRENT_K | MCL_FUTURE_K | MCL_ONFAULT_K)) ||
        flags == MCL_ONFAULT_K)
        return -EINVAL;
    mutex_lock(&mm->lock);
    int err = mm_may_lock(mm, flags & MCL_CURRENT_K ? mm->total_vm - mm->locked_vm : 0);
    if (!err) {
        mm->locked_future = flags & MCL_FUTURE_K;
        if (flags & MCL_CURRENT_K)
            set_all_locked(mm, true);
    }
    mutex_unlock(&mm->lock);
    /* As on Linux, pages that cannot be brought in are no error of mlockall. */
    if (!err && (flags & MCL_CURRENT_K) && !(flags & MCL_ONFAULT_K))
        populate_locked(mm, USER_MIN, USER_LIMIT);
    return err;
}

int64_t sys_munlockall(void)
{
    struct mm *mm = current->mm;
    mutex_lock(&mm->lock);
    mm->locked_future = false;
    set_all_locked(mm, false);
    mutex_unlock(&mm->lock);
    return 0;
}
