/* SPDX-License-Identifier: Apache-2.0 */
/* The heap of brk(2): one area, VMA_HEAP, from mm->brk_start to the page above mm->brk. */
#include "base/errno.h"
#include "mm/vma.h"
#include "proc/task.h"

int mm_set_brk(struct mm *mm, uaddr_t start)
{
    if (!user_range_ok(start, 0))
        return -EINVAL;
    mutex_lock(&mm->lock);
    mm->brk_start = mm->brk = start;
    mutex_unlock(&mm->lock);
    return 0;
}

static int grow(struct mm *mm, uaddr_t from, uaddr_t to)
{
    const int prot = PROT_READ_K | PROT_WRITE_K;
    if (!user_range_ok(from, to - from) || !mm_range_free(mm, from, to - from, true))
        return -ENOMEM;
    if (mm->nr_vmas >= MAX_VMAS || !mm_may_expand(mm, prot, VMA_HEAP, (to - from) / PAGE_SIZE, 0) ||
        mm_over_limit(to - from))
        return -ENOMEM;
    uint32_t flags = VMA_HEAP | (mm->locked_future ? VMA_LOCKED : 0);
    if (mm->locked_future && mm_may_lock(mm, (to - from) / PAGE_SIZE))
        return -ENOMEM;
    struct vma *v = vma_alloc(mm, from, to, prot, prot | PROT_EXEC_K, flags, NULL, NULL, 0);
    if (!v)
        return -ENOMEM;
    if (vma_map_host(v, from, to)) {
        vma_free(v);
        return -ENOMEM;
    }
    vma_insert(mm, v);
    vma_merge(mm, v);
    return 0;
}

/* The break after the call, which is the old one when it could not be moved. */
int64_t sys_brk(uaddr_t brk)
{
    struct mm *mm = current->mm;
    struct list dead = LIST_INIT(dead);
    mutex_lock(&mm->lock);
    uaddr_t old = PAGE_ALIGN(mm->brk), new = PAGE_ALIGN(brk);
    bool locked = false;
    int err = 0;
    uint64_t data = mm->data_end - mm->data_start;
    if (brk < mm->brk_start || brk >= USER_LIMIT ||
        brk - mm->brk_start + data > rlimit_cur(RLIMIT_DATA_K))
        err = -ENOMEM;
    else if (new < old)
        err = mm_unmap_locked(mm, new, old, true, &dead);
    else if (new > old) {
        err = grow(mm, old, new);
        locked = !err && mm->locked_future;
    }
    if (!err)
        mm->brk = brk;
    uaddr_t result = mm->brk;
    mutex_unlock(&mm->lock);
    vma_free_list(&dead);
    if (locked)
        mm_populate(mm, old, new, true);
    return (int64_t)result;
}
