/* SPDX-License-Identifier: Apache-2.0 */
/* mprotect(2), and the protection-key calls of a machine without keys. */
#include "base/errno.h"
#include "mm/vma.h"
#include "proc/task.h"

#define PROT_ALL_K (PROT_READ_K | PROT_WRITE_K | PROT_EXEC_K)
#define PROT_SEM_K 8

/* v lies wholly in the range. */
static int protect_one(struct mm *mm, struct vma *v, int prot)
{
    uint64_t pages = (v->end - v->start) / PAGE_SIZE;
    if (v->prot == prot)
        return 0;
    bool becomes_data = (prot & PROT_WRITE_K) && !(v->prot & PROT_WRITE_K);
    if (becomes_data && !mm_may_expand(mm, prot, v->flags, pages, pages))
        return -ENOMEM;
    int old = v->prot;
    vma_set_prot(mm, v, prot, v->flags);
    /* Code that is about to be written, or read as data, must be the file's own bytes. Its
     * trampolines stay for who is inside of them. */
    int err = v->flags & VMA_PATCHED ? vma_unpatch(mm, v) : vma_protect_host(v, v->start, v->end);
    if (err)
        vma_set_prot(mm, v, old, v->flags);
    return err;
}

/* The whole range is walked up to the first obstacle; what stands before it is changed, as on
 * Linux. */
static int protect_locked(struct mm *mm, uaddr_t start, uaddr_t end, int prot)
{
    struct vma *v = mm_find_from(mm, start);
    if (prot & PROT_GROWSDOWN_K) {
        if (!v || v->start >= end)
            return -ENOMEM;
        if (!(v->flags & VMA_GROWSDOWN))
            return -EINVAL;
        start = v->start;
    }
    if (!v || v->start > start)
        return -ENOMEM;
    prot &= PROT_ALL_K;
    while (start < end) {
        v = mm_find(mm, start);
        if (!v)
            return -ENOMEM;
        if (prot & ~v->max_prot)
            return -EACCES;
        uaddr_t stop = k_min(v->end, end);
        if (v->prot != prot) {
            if (vma_split_range(mm, start, stop))
                return -ENOMEM;
            v = mm_find(mm, start);
            int err = protect_one(mm, v, prot);
            if (err)
                return err;
            vma_merge(mm, v);
        }
        start = stop;
    }
    return 0;
}

int mm_protect(struct mm *mm, uaddr_t addr, uint64_t len, int prot)
{
    int grows = prot & (PROT_GROWSDOWN_K | PROT_GROWSUP_K);
    if (grows == (PROT_GROWSDOWN_K | PROT_GROWSUP_K) || (addr & ~PAGE_MASK))
        return -EINVAL;
    if (!len)
        return 0;
    len = PAGE_ALIGN(len);
    if (!len || addr + len <= addr)
        return -ENOMEM;
    if ((prot & ~(PROT_ALL_K | PROT_SEM_K | PROT_GROWSDOWN_K)) || (prot & PROT_GROWSUP_K))
        return -EINVAL;
    if (!user_range_ok(addr, len))
        return -ENOMEM;
    mutex_lock(&mm->lock);
    int err = protect_locked(mm, addr, addr + len, prot);
    mutex_unlock(&mm->lock);
    return err;
}

int64_t sys_mprotect(uaddr_t addr, uint64_t len, int prot)
{
    return mm_protect(current->mm, addr, len, prot);
}

int64_t sys_pkey_mprotect(uaddr_t addr, uint64_t len, int prot, int pkey)
{
    return pkey == -1 ? mm_protect(current->mm, addr, len, prot) : -EINVAL;
}

int64_t sys_pkey_alloc(uint64_t flags, uint64_t access_rights)
{
    return flags || (access_rights & ~3ull) ? -EINVAL : -ENOSPC;
}

int64_t sys_pkey_free(int pkey)
{
    return -EINVAL;
}
