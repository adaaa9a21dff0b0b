/* SPDX-License-Identifier: Apache-2.0 */
/* msync(2) and mincore(2): what mappings and files know of each other's pages. */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "fs/vfs.h"
#include "mm/page_cache.h"
#include "mm/vma.h"
#include "proc/task.h"

enum { MS_ASYNC_K = 1, MS_INVALIDATE_K = 2, MS_SYNC_K = 4 };

/* Writes back what [start, end) of a shared file mapping made dirty; mm->lock is not held. */
static int sync_file(struct file *f, struct inode *inode, uint64_t off, uint64_t len)
{
    int err = page_cache_sync(&inode->pages, off, len);
    if (!err && f->ops->fsync)
        err = f->ops->fsync(f, true);
    return err;
}

int64_t sys_msync(uaddr_t addr, uint64_t len, int flags)
{
    struct mm *mm = current->mm;
    bool unmapped = false;
    int err = 0;
    if ((flags & ~(MS_ASYNC_K | MS_INVALIDATE_K | MS_SYNC_K)) || (addr & ~PAGE_MASK) ||
        ((flags & MS_ASYNC_K) && (flags & MS_SYNC_K)))
        return -EINVAL;
    uaddr_t end = PAGE_ALIGN(addr + len);
    if (end < addr || addr + len < addr)
        return -ENOMEM;
    while (addr < end && !err) {
        mutex_lock(&mm->lock);
        struct vma *v = mm_find_from(mm, addr);
        if (!v || v->start >= end) {
            mutex_unlock(&mm->lock);
            return -ENOMEM;
        }
        unmapped |= v->start > addr;
        uaddr_t from = k_max(addr, v->start), to = k_min(end, v->end);
        struct file *f = (v->flags & VMA_SHARED) && (flags & MS_SYNC_K) ? v->file : NULL;
        struct inode *inode = v->inode;
        uint64_t off = v->offset + (from - v->start);
        if ((flags & MS_INVALIDATE_K) && (v->flags & VMA_LOCKED))
            err = -EBUSY;
        if (f && !err) {
            file_get(f);
            inode_get(inode);
        }
        mutex_unlock(&mm->lock);
        if (f && !err) {
            err = sync_file(f, inode, off, to - from);
            inode_put(inode);
            file_put(f);
        }
        addr = to;
    }
    return err ? err : unmapped ? -ENOMEM : 0;
}

/* Residency of pages of one area into vec, a byte each. Lock held. */
static void fill_residency(struct vma *v, uaddr_t at, uint64_t len, uint8_t *vec)
{
    if (!v->inode || !v->inode->pages.ops) {
        if (hal_as_resident(at, len, vec))
            memset(vec, 0, len / PAGE_SIZE);
        for (uint64_t i = 0; i < len / PAGE_SIZE; i++)
            vec[i] &= 1;
        return;
    }
    while (len) {
        bool accessible;
        uint64_t run =
            page_cache_run(&v->inode->pages, v->offset + (at - v->start), len, &accessible);
        memset(vec, accessible, run / PAGE_SIZE);
        vec += run / PAGE_SIZE;
        at += run;
        len -= run;
    }
}

int64_t sys_mincore(uaddr_t addr, uint64_t len, uaddr_t user_vec)
{
    enum { CHUNK = 4096 };
    struct mm *mm = current->mm;
    if (addr & ~PAGE_MASK)
        return -EINVAL;
    if (!user_range_ok(addr, len))
        return -ENOMEM;
    uint64_t pages = PAGE_ALIGN(len) / PAGE_SIZE;
    if (!user_range_ok(user_vec, pages))
        return -EFAULT;
    uint8_t *vec = kmalloc(CHUNK);
    if (!vec)
        return -EAGAIN;
    int err = 0;
    for (uint64_t done = 0; done < pages && !err;) {
        uaddr_t at = addr + done * PAGE_SIZE;
        uint64_t n = 0;
        mutex_lock(&mm->lock);
        struct vma *v = mm_find(mm, at);
        if (v) {
            n = k_min(k_min(pages - done, (uint64_t)CHUNK), (v->end - at) / PAGE_SIZE);
            fill_residency(v, at, n * PAGE_SIZE, vec);
        }
        mutex_unlock(&mm->lock);
        err = n ? copy_to_user(user_vec + done, vec, n) : -ENOMEM;
        done += n;
    }
    kfree(vec);
    return err;
}
