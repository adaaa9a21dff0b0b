/* SPDX-License-Identifier: Apache-2.0 */
/* Mapping and unmapping: mm_map and its kin for the kernel, mmap(2) and munmap(2). */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "fs/vfs.h"
#include "mm/mm.h"
#include "mm/text_view.h"
#include "mm/vma.h"
#include "proc/task.h"

#define MAP_TYPE_K 0xf
#define MAP_32BIT_LOW 0x40000000ull
#define MAP_32BIT_HIGH 0x80000000ull
#define PROT_ALL_K (PROT_READ_K | PROT_WRITE_K | PROT_EXEC_K)
#define DEV_ZERO MKDEV_K(1, 5)

/* What MAP_SHARED_VALIDATE lets pass. */
#define MAP_KNOWN_FLAGS                                                                            \
    (MAP_TYPE_K | MAP_FIXED_K | MAP_ANONYMOUS_K | MAP_32BIT_K | MAP_GROWSDOWN_K |                  \
     MAP_DENYWRITE_K | MAP_EXECUTABLE_K | MAP_LOCKED_K | MAP_NORESERVE_K | MAP_POPULATE_K |        \
     MAP_NONBLOCK_K | MAP_STACK_K | MAP_HUGETLB_K | MAP_FIXED_NOREPLACE_K)

struct map_request {
    uaddr_t addr;
    uint64_t len;
    int prot, max_prot, flags; /* MAP_* */
    struct file *file;         /* NULL: anonymous */
    struct inode *inode;       /* whose pages; NULL: anonymous */
    uint64_t offset;
    uint32_t vma_flags;
};

/* ---- unmapping ---- */

/* Text that is mapped from the patched view loses its trampolines; what remains of its range
 * becomes ordinary mappings. */
static int unpatch_all(struct mm *mm)
{
    int err = 0;
    for (struct vma *v = mm_first(mm); v && !err; v = vma_next(v))
        if (v->flags & VMA_PATCHED)
            err = vma_unpatch(mm, v);
    return err;
}

static bool has_trampolines(struct mm *mm, uaddr_t start, uaddr_t end)
{
    for (struct vma *v = mm_find_from(mm, start); v && v->start < end; v = vma_next(v))
        if (v->flags & VMA_TRAMPOLINE)
            return true;
    return false;
}

int mm_unmap_locked(struct mm *mm, uaddr_t start, uaddr_t end, bool host, struct list *dead)
{
    struct vma *v = mm_find_from(mm, start), *next;
    if (!v || v->start >= end)
        return 0;
    /* Something of the workload's is to stand where trampolines are: the text has to do without
     * them. A plain munmap leaves them alone. */
    bool keep_trampolines = host && has_trampolines(mm, start, end);
    if (!host && has_trampolines(mm, start, end) && unpatch_all(mm))
        return -ENOMEM;
    if (vma_split_range(mm, start, end))
        return -ENOMEM;
    /* Trampolines go first; the tree may change under it. */
    uaddr_t at = start;
    for (v = mm_find_from(mm, at); v && v->start < end; v = mm_find_from(mm, at)) {
        at = v->end;
        if (v->flags & VMA_PATCHED)
            text_view_unmap(mm, v);
    }
    for (v = mm_find_from(mm, start); v && v->start < end; v = next) {
        next = vma_next(v);
        if (keep_trampolines && (v->flags & VMA_TRAMPOLINE))
            continue;
        if (keep_trampolines)
            hal_as_unmap(v->start, v->end - v->start);
        vma_remove(mm, v);
        list_add_tail(&v->mapping_link, dead);
    }
    return host && !keep_trampolines ? hal_as_unmap(start, end - start) : 0;
}

int mm_unmap(struct mm *mm, uaddr_t addr, uint64_t len)
{
    struct list dead = LIST_INIT(dead);
    if ((addr & ~PAGE_MASK) || !len)
        return -EINVAL;
    len = PAGE_ALIGN(len);
    if (!len || !user_range_ok(addr, len))
        return -EINVAL;
    mutex_lock(&mm->lock);
    int err = mm_unmap_locked(mm, addr, addr + len, true, &dead);
    mutex_unlock(&mm->lock);
    vma_free_list(&dead);
    return err;
}

/* ---- mapping ---- */

/* Where the mapping goes, or negative errno. Lock held. */
static int64_t choose_address(struct mm *mm, const struct map_request *r)
{
    uaddr_t addr = r->addr;
    if (r->len > USER_LIMIT)
        return -ENOMEM;
    if (r->flags & (MAP_FIXED_K | MAP_FIXED_NOREPLACE_K)) {
        if (addr & ~PAGE_MASK)
            return -EINVAL;
        if (!user_range_ok(addr, r->len))
            return -ENOMEM;
        if (addr < USER_MIN)
            return -EPERM;
        if ((r->flags & MAP_FIXED_NOREPLACE_K) && !mm_range_free(mm, addr, r->len, false))
            return -EEXIST;
        return (int64_t)addr;
    }
    addr = PAGE_ALIGN(addr);
    if (addr >= USER_MIN && user_range_ok(addr, r->len) && mm_range_free(mm, addr, r->len, true))
        return (int64_t)addr;
    if (r->flags & MAP_32BIT_K)
        addr = mm_find_gap_in(mm, r->len, MAP_32BIT_LOW, MAP_32BIT_HIGH, PAGE_SIZE);
    else
        addr = mm_find_gap(mm, r->len, PAGE_SIZE);
    return addr ? (int64_t)addr : -ENOMEM;
}

/* Does the mapping promise memory of its own? */
static bool accountable(const struct map_request *r)
{
    if ((r->flags & MAP_NORESERVE_K) || !(r->prot & PROT_ALL_K))
        return false;
    return !r->inode || !(r->vma_flags & VMA_SHARED) ? (r->prot & PROT_WRITE_K) != 0
                                                     : (r->flags & MAP_ANONYMOUS_K) != 0;
}

/* Host side of a new area that is already in the tree. */
static int map_host(struct mm *mm, struct vma *v)
{
    bool is_text = v->inode && (v->prot & PROT_EXEC_K) && !(v->prot & PROT_WRITE_K) &&
                   !(v->flags & VMA_SHARED) && S_ISREG_K(v->inode->mode);
    if (is_text && text_view_map(mm, v) == 0) {
        v->flags |= VMA_PATCHED;
        return 0;
    }
    return vma_map_host(v, v->start, v->end);
}

static int64_t map_locked(struct mm *mm, const struct map_request *r, struct list *dead)
{
    int64_t at = choose_address(mm, r);
    if (at < 0)
        return at;
    uaddr_t start = (uaddr_t)at, end = start + r->len;
    uint64_t pages = r->len / PAGE_SIZE,
             replaced = r->flags & MAP_FIXED_K ? mm_pages_in(mm, start, end) : 0;
    if (!mm_may_expand(mm, r->prot, r->vma_flags, pages, replaced) || mm->nr_vmas >= MAX_VMAS)
        return -ENOMEM;
    if (accountable(r) && mm_over_limit(r->len - k_min(r->len, replaced * PAGE_SIZE)))
        return -ENOMEM;
    struct vma *v =
        vma_alloc(mm, start, end, r->prot, r->max_prot, r->vma_flags, r->file, r->inode, r->offset);
    if (!v)
        return -ENOMEM;
    int err = (r->flags & MAP_FIXED_K) ? mm_unmap_locked(mm, start, end, false, dead) : 0;
    if (err) {
        vma_free(v);
        return err;
    }
    vma_insert(mm, v);
    vma_set_prot(mm, v, v->prot, v->flags);
    err = map_host(mm, v);
    if (err) {
        hal_as_unmap(start, end - start);
        vma_remove(mm, v);
        vma_free(v);
        return err;
    }
    vma_merge(mm, v);
    return at;
}

/* ---- what a file allows ---- */

/* Fills inode and max_prot; /dev/zero becomes anonymous memory. */
static int check_file(struct map_request *r)
{
    struct file *f = r->file;
    int type = r->flags & MAP_TYPE_K;
    bool no_exec = f->path.mnt && (f->path.mnt->flags & MS_NOEXEC_K);
    if (type == MAP_SHARED_VALIDATE_K && (r->flags & ~MAP_KNOWN_FLAGS))
        return -EOPNOTSUPP;
    r->max_prot = PROT_ALL_K;
    if (type != MAP_PRIVATE_K) {
        if ((r->prot & PROT_WRITE_K) && !(f->mode & FMODE_WRITE))
            return -EACCES;
        if (!(f->mode & FMODE_WRITE))
            r->max_prot &= ~PROT_WRITE_K;
    }
    if (!(f->mode & FMODE_READ))
        return -EACCES;
    if (no_exec) {
        if (r->prot & PROT_EXEC_K)
            return -EPERM;
        r->max_prot &= ~PROT_EXEC_K;
    }
    if (S_ISCHR_K(f->inode->mode) && f->inode->rdev == DEV_ZERO) {
        r->file = NULL;
        r->flags |= MAP_ANONYMOUS_K;
        r->offset = 0;
        return 0;
    }
    if (r->flags & MAP_GROWSDOWN_K)
        return -EINVAL;
    if (f->ops->mmap)
        r->inode = f->ops->mmap(f, r->prot, r->flags);
    else
        r->inode = S_ISREG_K(f->inode->mode) ? file_mapping_inode(f) : NULL;
    if (is_err(r->inode))
        return (int)ptr_err(r->inode);
    return r->inode && r->inode->pages.inode ? 0 : -ENODEV;
}

/* Shared anonymous memory is a file of its own. *made: a reference to drop afterwards. */
static int check_anonymous(struct map_request *r, struct file **made)
{
    int type = r->flags & MAP_TYPE_K;
    r->max_prot = PROT_ALL_K;
    r->offset = 0;
    if (type == MAP_PRIVATE_K)
        return 0;
    if (type != MAP_SHARED_K || (r->flags & MAP_GROWSDOWN_K))
        return -EINVAL;
    struct file *f = tmpfs_file_create("dev/zero", r->len, 0);
    if (is_err(f))
        return (int)ptr_err(f);
    *made = f;
    r->file = f;
    r->inode = f->ops->mmap ? f->ops->mmap(f, r->prot, r->flags) : file_mapping_inode(f);
    return is_err(r->inode) ? (int)ptr_err(r->inode) : 0;
}

static int check_locked(struct mm *mm, struct map_request *r)
{
    if (!(r->flags & MAP_LOCKED_K) && !mm->locked_future)
        return 0;
    int err = mm_may_lock(mm, r->len / PAGE_SIZE);
    if (err)
        return err == -ENOMEM ? -EAGAIN : err;
    r->vma_flags |= VMA_LOCKED;
    return 0;
}

static int check_request(struct mm *mm, struct map_request *r, struct file **made)
{
    int type = r->flags & MAP_TYPE_K;
    if (!r->len)
        return -EINVAL;
    r->len = PAGE_ALIGN(r->len);
    if (!r->len || r->len > USER_LIMIT)
        return -ENOMEM;
    if (r->offset + r->len < r->offset || r->offset + r->len > INT64_MAX)
        return -EOVERFLOW;
    if (type != MAP_SHARED_K && type != MAP_PRIVATE_K && type != MAP_SHARED_VALIDATE_K)
        return -EINVAL;
    if (r->flags & MAP_HUGETLB_K)
        return r->file ? -EINVAL : -ENOMEM; /* no pages are set aside for that */
    int err = check_locked(mm, r);
    if (!err && r->file)
        err = check_file(r);
    if (!err && !r->file)
        err = check_anonymous(r, made);
    if (err)
        return err;
    if (type != MAP_PRIVATE_K)
        r->vma_flags |= VMA_SHARED;
    if (r->flags & MAP_GROWSDOWN_K)
        r->vma_flags |= VMA_GROWSDOWN;
    if (r->flags & MAP_NORESERVE_K)
        r->vma_flags |= VMA_NORESERVE;
    r->prot &= PROT_ALL_K;
    return 0;
}

int64_t mm_map_special(struct mm *mm, struct file *file, uaddr_t addr, uint64_t len, int prot,
                       int flags, uint64_t offset, uint32_t vma_flags)
{
    struct map_request r = {.addr = addr,
                            .len = len,
                            .prot = prot,
                            .flags = flags,
                            .file = file,
                            .offset = offset,
                            .vma_flags = vma_flags};
    struct list dead = LIST_INIT(dead);
    struct file *made = NULL;
    if (flags & MAP_FIXED_NOREPLACE_K)
        r.flags &= ~MAP_FIXED_K;
    int64_t at = check_request(mm, &r, &made);
    if (!at) {
        mutex_lock(&mm->lock);
        at = map_locked(mm, &r, &dead);
        mutex_unlock(&mm->lock);
        vma_free_list(&dead);
    }
    if (made)
        file_put(made);
    bool locked = r.vma_flags & VMA_LOCKED;
    bool populate = (r.flags & MAP_POPULATE_K) && !(r.flags & MAP_NONBLOCK_K);
    /* What cannot be brought in now faults later: the mapping stands. */
    if (at > 0 && (locked || populate) && r.prot)
        mm_populate(mm, (uaddr_t)at, (uaddr_t)at + r.len,
                    (r.prot & PROT_WRITE_K) && !(r.vma_flags & VMA_SHARED));
    return at;
}

int64_t mm_map(struct mm *mm, struct file *file, uaddr_t addr, uint64_t len, int prot, int flags,
               uint64_t offset)
{
    return mm_map_special(mm, file, addr, len, prot, flags, offset, 0);
}

int mm_map_kernel_locked(struct mm *mm, uaddr_t addr, uint64_t len, int prot, void *kaddr,
                         uint32_t vma_flags)
{
    if (!len || ((addr | len) & ~PAGE_MASK) || !user_range_ok(addr, len))
        return -EINVAL;
    if (!mm_range_free(mm, addr, len, false))
        return -EEXIST;
    struct vma *v = vma_alloc(mm, addr, addr + len, prot, prot, vma_flags | VMA_KERNEL, NULL, NULL,
                              (uint64_t)kaddr);
    if (!v)
        return -ENOMEM;
    int err = hal_as_map_kmem(addr, len, vma_hal_prot(prot), kaddr, false);
    if (err) {
        vma_free(v);
        return err;
    }
    vma_insert(mm, v);
    return 0;
}

int mm_map_kernel(struct mm *mm, uaddr_t addr, uint64_t len, int prot, void *kaddr,
                  uint32_t vma_flags)
{
    mutex_lock(&mm->lock);
    int err = mm_map_kernel_locked(mm, addr, len, prot, kaddr, vma_flags);
    mutex_unlock(&mm->lock);
    return err;
}

void mm_unmap_kernel_locked(struct mm *mm, uaddr_t addr)
{
    struct vma *v = mm_find(mm, addr);
    if (!v || v->start != addr || !(v->flags & VMA_KERNEL))
        return;
    hal_as_unmap(v->start, v->end - v->start);
    vma_remove(mm, v);
    vma_free(v);
}

int mm_populate(struct mm *mm, uaddr_t start, uaddr_t end, bool write)
{
    for (uaddr_t at = start; at < end; at += PAGE_SIZE) {
        if (mm != current->mm || signal_pending_fatal())
            return -EFAULT;
        int err = user_fault_in(at, write);
        if (err)
            return err;
    }
    return 0;
}

/* ---- system calls ---- */

int64_t sys_mmap(uaddr_t addr, uint64_t len, int prot, int flags, int fd, uint64_t offset)
{
    struct file *f = NULL;
    if (offset & ~PAGE_MASK)
        return -EINVAL;
    if (!(flags & MAP_ANONYMOUS_K)) {
        f = fd_get(fd);
        if (!f)
            return -EBADF;
    }
    int64_t at = mm_map(current->mm, f, addr, len, prot, flags, offset);
    if (f)
        file_put(f);
    return at;
}

int64_t sys_munmap(uaddr_t addr, uint64_t len)
{
    return mm_unmap(current->mm, addr, len);
}
