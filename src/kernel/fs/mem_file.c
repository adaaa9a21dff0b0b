/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data of regular files that live in memory, for tmpfs and the overlay: reads and writes over the
 * page cache, holes, allocation and the accounting of blocks.
 *
 * node->file.data says which pages hold data. A page that is not in it reads as zeros without
 * touching memory, so a sparse file of any size costs what was written to it. A file that was
 * once mapped shared and writable changes without the kernel seeing it: from then on all its
 * pages count as data.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "fs/inode.h"
#include "fs/memfs.h"
#include "hal.h"
#include "mm/mm.h"
#include "proc/task.h"

enum { FALLOC_KEEP_SIZE = 1, FALLOC_PUNCH_HOLE = 2, FALLOC_ZERO_RANGE = 16 };

/* ---- accounting ---- */

/* Takes n pages out of the budget of the file system (all or nothing). */
static bool budget_take(struct mem_fs *fs, uint64_t n, bool force)
{
    uint64_t used = __atomic_load_n(&fs->used_pages, __ATOMIC_RELAXED);

    if (!force && !fs->max_pages) {
        uint64_t limit = mm_limit_bytes(), held = hal_mem_used();
        if (limit && (held >= limit || n > (limit - held) >> PAGE_SHIFT))
            return false;
    }
    do {
        if (!force && fs->max_pages && (used > fs->max_pages || n > fs->max_pages - used))
            return false;
    } while (!__atomic_compare_exchange_n(&fs->used_pages, &used, used + n, true, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    return true;
}

static uint64_t budget_left(struct mem_fs *fs)
{
    uint64_t used = __atomic_load_n(&fs->used_pages, __ATOMIC_RELAXED);
    uint64_t total = fs->max_pages;

    if (!total) {
        total = mm_limit_bytes() >> PAGE_SHIFT;
        used = hal_mem_used() >> PAGE_SHIFT;
    }
    return total > used ? total - used : 0;
}

static void update_blocks(struct inode *inode)
{
    inode->blocks = mem_node(inode)->file.data.nr_pages * (PAGE_SIZE / 512);
}

int mem_charge(struct inode *inode, uint64_t first, uint64_t end, bool force)
{
    struct extent_map *data = &mem_node(inode)->file.data;
    struct mem_fs *fs = mem_fs(inode);
    uint64_t missing = extent_map_missing(data, first, end);

    if (missing == 0)
        return 0;
    if (!budget_take(fs, missing, force))
        return -ENOSPC;
    int ret = extent_map_add(data, first, end);
    if (ret)
        __atomic_sub_fetch(&fs->used_pages, missing, __ATOMIC_RELAXED);
    update_blocks(inode);
    return ret;
}

int mem_uncharge(struct inode *inode, uint64_t first, uint64_t end)
{
    struct extent_map *data = &mem_node(inode)->file.data;
    uint64_t before = data->nr_pages;
    int ret = extent_map_remove(data, first, end);

    __atomic_sub_fetch(&mem_fs(inode)->used_pages, before - data->nr_pages, __ATOMIC_RELAXED);
    update_blocks(inode);
    return ret;
}

/* ---- attributes that data operations change ---- */

static int own(struct inode *inode)
{
    const struct mem_fs_ops *ops = mem_fs(inode)->ops;
    return ops->own ? ops->own(inode) : 0;
}

int mem_resize(struct inode *inode, uint64_t new_size)
{
    struct mem_node *node = mem_node(inode);
    const struct mem_fs_ops *ops = mem_fs(inode)->ops;
    uint64_t old_size = inode->size;
    int ret = 0;

    if (new_size > MEM_FILE_SIZE_MAX)
        return -EFBIG;
    if ((new_size < old_size && (node->file.seals & F_SEAL_SHRINK_K)) ||
        (new_size > old_size && (node->file.seals & F_SEAL_GROW_K)))
        return -EPERM;
    if (new_size > old_size && node->file.mapped_writable) {
        ret = mem_charge(inode, bytes_to_pages(old_size), bytes_to_pages(new_size), true);
        if (ret)
            return ret;
    }
    if (new_size < old_size && ops->truncated)
        ops->truncated(inode, new_size);
    WRITE_ONCE(inode->size, new_size);
    page_cache_truncate(&inode->pages, old_size, new_size);
    if (new_size < old_size)
        ret = mem_uncharge(inode, bytes_to_pages(new_size), UINT64_MAX);
    return ret;
}

/* ---- read, write ---- */

/* Moves at most n bytes of u with fn. */
static int64_t move_limited(int64_t (*fn)(struct inode *, struct uio *, uint64_t *),
                            struct inode *inode, struct uio *u, uint64_t n, uint64_t *pos)
{
    uint64_t held_back = u->remaining > n ? u->remaining - n : 0;

    u->remaining -= held_back;
    int64_t ret = fn(inode, u, pos);
    u->remaining += held_back;
    return ret;
}

int64_t mem_file_read(struct file *f, struct uio *u, uint64_t *pos)
{
    struct inode *inode = f->inode;
    struct extent_map *data = &mem_node(inode)->file.data;
    int64_t total = 0;

    if (!(f->flags & O_NOATIME_K) && f->path.mnt)
        inode_accessed(inode, f->path.mnt);
    while (u->remaining) {
        uint64_t size = READ_ONCE(inode->size), end;
        if (*pos >= size)
            break;
        bool is_data = extent_map_find(data, *pos >> PAGE_SHIFT, &end);
        uint64_t n = k_min(size - *pos, u->remaining);
        if (end <= size >> PAGE_SHIFT)
            n = k_min(n, (end << PAGE_SHIFT) - *pos);
        int64_t got;
        if (is_data) {
            got = move_limited(page_cache_read, inode, u, n, pos);
            if (got < 0)
                return total ? total : got;
        } else {
            got = (int64_t)uio_zero(u, n);
            *pos += (uint64_t)got;
            if (got == 0 && n)
                return total ? total : -EFAULT;
        }
        total += got;
        if ((uint64_t)got < n)
            break;
    }
    return total;
}

/* Makes room for [pos, pos+n): the bytes that can be written, or negative errno. */
static int64_t make_room(struct inode *inode, uint64_t pos, uint64_t n)
{
    uint64_t first = pos >> PAGE_SHIFT, end = bytes_to_pages(pos + n);
    int ret = mem_charge(inode, first, end, false);

    if (ret == -ENOSPC) {
        end =
            extent_map_prefix(&mem_node(inode)->file.data, first, end, budget_left(mem_fs(inode)));
        if (end <= first)
            return -ENOSPC;
        ret = mem_charge(inode, first, end, false);
        n = (end << PAGE_SHIFT) - pos;
    }
    return ret ? ret : (int64_t)n;
}

int64_t mem_file_write(struct file *f, struct uio *u, uint64_t *pos)
{
    struct inode *inode = f->inode;
    struct mem_node *node = mem_node(inode);
    int64_t ret;

    mutex_lock(&inode->lock);
    if (f->flags & O_APPEND_K)
        *pos = inode->size;
    uint64_t n = u->remaining;
    ret = 0;
    if (n == 0)
        goto out;
    ret = -EFBIG;
    if (*pos >= MEM_FILE_SIZE_MAX)
        goto out;
    n = k_min(n, MEM_FILE_SIZE_MAX - *pos);
    ret = -EPERM;
    if (node->file.seals & (F_SEAL_WRITE_K | F_SEAL_FUTURE_WRITE_K))
        goto out;
    if ((node->file.seals & F_SEAL_GROW_K) && *pos + n > inode->size)
        goto out;
    ret = own(inode);
    if (ret)
        goto out;
    ret = make_room(inode, *pos, n);
    if (ret < 0)
        goto out;
    inode_drop_privileges_locked(inode);
    uint64_t old_size = inode->size;
    ret = move_limited(page_cache_write, inode, u, (uint64_t)ret, pos);
    if (ret > 0)
        inode_touch(inode, ATTR_MTIME | ATTR_CTIME);
    /* A file mapped writable counts as data throughout, a gap that this write jumped over too. */
    if (node->file.mapped_writable && inode->size > old_size)
        mem_charge(inode, bytes_to_pages(old_size), bytes_to_pages(inode->size), true);
out:
    mutex_unlock(&inode->lock);
    return ret;
}

/* ---- positions ---- */

static int64_t seek_data_hole(struct inode *inode, uint64_t off, bool want_data)
{
    struct extent_map *data = &mem_node(inode)->file.data;
    uint64_t size = READ_ONCE(inode->size), end;

    if (off >= size)
        return -ENXIO;
    bool is_data = extent_map_find(data, off >> PAGE_SHIFT, &end);
    if (is_data == want_data)
        return (int64_t)off;
    if (end >= bytes_to_pages(size))
        return want_data ? -ENXIO : (int64_t)size;
    return (int64_t)(end << PAGE_SHIFT);
}

int64_t mem_file_lseek(struct file *f, int64_t off, int whence)
{
    int64_t size = (int64_t)READ_ONCE(f->inode->size), at;

    switch (whence) {
    case SEEK_SET_K: at = off; break;
    case SEEK_CUR_K:
        if (__builtin_add_overflow((int64_t)f->pos, off, &at))
            return -EINVAL;
        break;
    case SEEK_END_K:
        if (__builtin_add_overflow(size, off, &at))
            return -EINVAL;
        break;
    case SEEK_DATA_K:
    case SEEK_HOLE_K:
        if (off < 0)
            return -ENXIO;
        at = seek_data_hole(f->inode, (uint64_t)off, whence == SEEK_DATA_K);
        if (at < 0)
            return at;
        break;
    default: return -EINVAL;
    }
    if (at < 0)
        return -EINVAL;
    f->pos = (uint64_t)at;
    return at;
}

/* ---- allocation ---- */

/* Zeroes [off, off+len) and gives its whole pages back. */
static int punch(struct inode *inode, uint64_t off, uint64_t len)
{
    const struct mem_fs_ops *ops = mem_fs(inode)->ops;
    uint64_t first = bytes_to_pages(off), end = (off + len) >> PAGE_SHIFT;
    uint64_t size_end = bytes_to_pages(inode->size) << PAGE_SHIFT;

    if (end > first && ops->detach_pages) {
        int ret = ops->detach_pages(inode, first, end);
        if (ret)
            return ret;
    }
    if (off < size_end) {
        int ret = page_cache_punch(&inode->pages, off, k_min(len, size_end - off));
        if (ret)
            return ret;
    }
    if (end <= first)
        return 0;
    return mem_node(inode)->file.mapped_writable ? 0 : mem_uncharge(inode, first, end);
}

int mem_file_fallocate(struct file *f, int mode, uint64_t off, uint64_t len)
{
    struct inode *inode = f->inode;
    struct mem_node *node = mem_node(inode);
    uint64_t end;
    int ret;

    bool keep_size = mode & FALLOC_KEEP_SIZE;
    if (mode & ~(FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE))
        return -EOPNOTSUPP;
    if ((mode & FALLOC_PUNCH_HOLE) && (!keep_size || (mode & FALLOC_ZERO_RANGE)))
        return -EOPNOTSUPP;
    if (len == 0)
        return -EINVAL;
    if (__builtin_add_overflow(off, len, &end) || end > MEM_FILE_SIZE_MAX)
        return -EFBIG;

    mutex_lock(&inode->lock);
    ret = -EPERM;
    if ((mode & (FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE)) &&
        (node->file.seals & (F_SEAL_WRITE_K | F_SEAL_FUTURE_WRITE_K)))
        goto out;
    if (!keep_size && end > inode->size && (node->file.seals & F_SEAL_GROW_K))
        goto out;
    ret = own(inode);
    if (ret)
        goto out;
    if (mode & FALLOC_PUNCH_HOLE) {
        ret = punch(inode, off, len);
    } else {
        ret = mem_charge(inode, off >> PAGE_SHIFT, bytes_to_pages(end), false);
        if (ret == 0 && (mode & FALLOC_ZERO_RANGE)) {
            ret = punch(inode, off, len);
            if (ret == 0)
                ret = mem_charge(inode, off >> PAGE_SHIFT, bytes_to_pages(end), false);
        }
        if (ret == 0 && !keep_size && end > inode->size)
            ret = mem_resize(inode, end);
    }
    if (ret == 0) {
        inode_drop_privileges_locked(inode);
        inode_touch(inode, ATTR_MTIME | ATTR_CTIME);
    }
out:
    mutex_unlock(&inode->lock);
    return ret;
}

/* ---- mmap ---- */

struct inode *mem_file_mmap(struct file *f, int prot, int flags)
{
    struct inode *inode = f->inode;
    struct mem_node *node = mem_node(inode);
    bool shared = flags & MAP_SHARED_K; /* MAP_SHARED_VALIDATE has the bit too */
    int ret = 0;

    if (!shared || !(f->mode & FMODE_WRITE))
        return inode;
    if ((prot & PROT_WRITE_K) && (node->file.seals & (F_SEAL_WRITE_K | F_SEAL_FUTURE_WRITE_K)))
        return err_ptr(-EPERM);
    if (READ_ONCE(node->file.mapped_writable) ||
        (node->file.seals & (F_SEAL_WRITE_K | F_SEAL_FUTURE_WRITE_K)))
        return inode;
    mutex_lock(&inode->lock);
    ret = own(inode);
    if (ret == 0)
        ret = mem_charge(inode, 0, bytes_to_pages(inode->size), true);
    if (ret == 0) {
        WRITE_ONCE(node->file.mapped_writable, true);
        inode->pages.unreclaimable = true; /* what is written through the mapping is nowhere else */
    }
    mutex_unlock(&inode->lock);
    return ret ? err_ptr(ret) : inode;
}

/* ---- directories, special files ---- */

static int mem_dir_readdir(struct file *f, struct dir_context *ctx)
{
    struct inode *dir = f->inode;
    const struct mem_fs_ops *ops = mem_fs(dir)->ops;

    if (ops->fill_dir) {
        int ret = ops->fill_dir(dir);
        if (ret)
            return ret;
    }
    return memdir_emit(&mem_node(dir)->dir, ctx, dir->ino);
}

static int special_open(struct inode *inode, struct file *f)
{
    return -ENXIO;
}

const struct file_ops mem_dir_fops = {.readdir = mem_dir_readdir};

const struct file_ops mem_file_fops = {
    .read = mem_file_read,
    .write = mem_file_write,
    .lseek = mem_file_lseek,
    .fallocate = mem_file_fallocate,
    .mmap = mem_file_mmap,
};

const struct file_ops special_fops = {.open = special_open};
