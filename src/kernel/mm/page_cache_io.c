/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read(2), write(2), truncate, hole punching and write-back over the page cache (mm/page_cache.c).
 *
 * Writers hold inode->lock. Bytes are copied to and from the workload with no other lock held,
 * because the copy may fault into this very file. Files with a backing are written through: after
 * write(2) returns no page of it is dirty but by a shared writable mapping, whose pages all count
 * as dirty.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "fs/uio.h"
#include "fs/vfs.h"
#include "mm/mm.h"
#include "mm/page_cache.h"
#include "mm/page_cache_impl.h"

#define IO_CHUNK (256 * 1024ull)

int64_t page_cache_read(struct inode *inode, struct uio *uio, uint64_t *pos)
{
    struct page_cache *pc = &inode->pages;
    int64_t done = 0, err = 0;
    while (uio->remaining && !err) {
        uint64_t size = READ_ONCE(inode->size);
        if (*pos >= size)
            break;
        uint64_t n = k_min(k_min(uio->remaining, size - *pos), IO_CHUNK);
        size_t contiguous;
        const char *mem = page_cache_addr(pc, *pos, &contiguous);
        if (!mem) {
            err = -ENOMEM;
            break;
        }
        n = k_min(n, (uint64_t)contiguous);
        page_cache_enter(pc);
        err = page_cache_fill(pc, *pos, n);
        if (!err) {
            size_t moved = uio_write(uio, mem, n);
            *pos += moved;
            done += (int64_t)moved;
            if (moved < n)
                err = -EFAULT;
        }
        page_cache_leave(pc);
    }
    return done ? done : err;
}

/* Zeroes [from, to) where it lies in pages that may hold something else. Both within one page. */
static void zero_in_page(struct page_cache *pc, uint64_t from, uint64_t to)
{
    struct pc_place place;
    if (from < to && page_cache_locate(pc, from, &place) && pc->seg[place.seg] &&
        page_cache_uptodate(pc, from & PAGE_MASK))
        memset((char *)pc->seg[place.seg] + (from - place.start), 0, to - from);
}

/* Before bytes are copied into [pos, pos+n): pages with old contents are read, new ones are zero
 * and become up to date. */
static int prepare_write(struct page_cache *pc, uint64_t pos, uint64_t n)
{
    int err = page_cache_fill(pc, pos, n);
    if (err)
        return err;
    uint64_t eof = PAGE_ALIGN(READ_ONCE(pc->inode->size));
    uint64_t from = k_max(pos & PAGE_MASK, eof), to = PAGE_ALIGN(pos + n);
    if (from < to) {
        mutex_lock(&pc->lock);
        page_cache_set_bits(pc, from, to - from, true);
        mutex_unlock(&pc->lock);
        page_cache_reclaim_add(pc);
    }
    return 0;
}

static int64_t write_through(struct page_cache *pc, const char *mem, uint64_t n, uint64_t pos)
{
    uint64_t done = 0;
    while (done < n) {
        int64_t w = pc->ops->write(pc->inode, mem + done, n - done, pos + done);
        if (w <= 0)
            return done ? (int64_t)done : w ? w : -EIO;
        done += (uint64_t)w;
    }
    return (int64_t)done;
}

/* The backing did not take [pos, pos+n): the cache forgets the pages, so that they are read again.
 */
static void forget(struct page_cache *pc, uint64_t pos, uint64_t n)
{
    uint64_t from = pos & PAGE_MASK, to = PAGE_ALIGN(pos + n);
    size_t contiguous;
    mutex_lock(&pc->lock);
    page_cache_revoke(pc, from);
    page_cache_set_bits(pc, from, to - from, false);
    while (from < to) {
        char *mem = page_cache_addr_locked(pc, from, &contiguous);
        uint64_t len = k_min(to - from, (uint64_t)contiguous);
        if (mem)
            hal_kmem_discard(mem, len);
        from += len;
    }
    mutex_unlock(&pc->lock);
}

/* One contiguous piece; the bytes written or negative errno. */
static int64_t write_piece(struct page_cache *pc, struct uio *uio, char *mem, uint64_t n,
                           uint64_t pos)
{
    if (pc->ops) {
        int err = prepare_write(pc, pos, n);
        if (err)
            return err;
    }
    size_t moved = uio_read(uio, mem, n);
    if (!moved)
        return -EFAULT;
    if (!pc->ops)
        return (int64_t)moved;
    if (!pc->ops->write) {
        pc->unreclaimable = true;
        return (int64_t)moved;
    }
    int64_t written = write_through(pc, mem, moved, pos);
    if (written < (int64_t)moved) {
        uint64_t kept = written < 0 ? 0 : (uint64_t)written;
        forget(pc, pos + kept, moved - kept);
        uio_revert(uio, moved - kept);
    }
    return written;
}

int64_t page_cache_write(struct inode *inode, struct uio *uio, uint64_t *pos)
{
    struct page_cache *pc = &inode->pages;
    int64_t done = 0, err = 0;
    if (*pos > inode->size)
        zero_in_page(pc, inode->size, k_min(*pos, PAGE_ALIGN(inode->size)));
    while (uio->remaining && !err) {
        size_t contiguous;
        uint64_t n = k_min(uio->remaining, IO_CHUNK);
        char *mem = page_cache_addr(pc, *pos, &contiguous);
        if (!mem) {
            err = -ENOSPC;
            break;
        }
        n = k_min(n, (uint64_t)contiguous);
        page_cache_enter(pc);
        int64_t moved = write_piece(pc, uio, mem, n, *pos);
        page_cache_leave(pc);
        if (moved < 0) {
            err = moved;
            break;
        }
        uint64_t end = *pos + (uint64_t)moved;
        if (end > inode->size) {
            if (!pc->ops)
                pc->nr_resident += PAGE_ALIGN(end) / PAGE_SIZE -
                                   PAGE_ALIGN(k_max(*pos & PAGE_MASK, inode->size)) / PAGE_SIZE;
            __atomic_store_n(&inode->size, end, __ATOMIC_RELEASE);
        }
        *pos = end;
        done += moved;
        if ((uint64_t)moved < n)
            err = -EFAULT;
    }
    return done ? done : err;
}

/* Gives whole pages back, in every segment that [from, to) touches and that exists. Lock held. */
static void discard_range(struct page_cache *pc, uint64_t from, uint64_t to)
{
    struct pc_place place;
    while (from < to && page_cache_locate(pc, from, &place)) {
        uint64_t end = k_min(to, place.start + place.size);
        if (pc->seg[place.seg]) {
            page_cache_set_bits(pc, from, end - from, false);
            hal_kmem_discard((char *)pc->seg[place.seg] + (from - place.start), end - from);
        }
        from = end;
    }
}

void page_cache_truncate(struct page_cache *pc, uint64_t old_size, uint64_t new_size)
{
    if (new_size == old_size)
        return;
    mutex_lock(&pc->lock);
    if (pc->ops && !pc->ops->write)
        pc->unreclaimable = true;
    if (new_size > old_size) {
        zero_in_page(pc, old_size, k_min(new_size, PAGE_ALIGN(old_size)));
    } else {
        uint64_t from = PAGE_ALIGN(new_size), to = PAGE_ALIGN(old_size);
        page_cache_revoke(pc, from);
        zero_in_page(pc, new_size, k_min(old_size, from));
        if (from < to && (!pc->ops || pc->nr_resident))
            discard_range(pc, from, to);
        if (!pc->ops)
            pc->nr_resident = k_min(pc->nr_resident, from / PAGE_SIZE);
    }
    mutex_unlock(&pc->lock);
}

/* Zeroes [off, end) of up-to-date pages and writes the zeros to the backing. */
static int punch_backed(struct page_cache *pc, uint64_t off, uint64_t end)
{
    while (off < end) {
        size_t contiguous;
        char *mem = page_cache_addr(pc, off, &contiguous);
        uint64_t n = k_min(k_min(end - off, (uint64_t)contiguous), IO_CHUNK);
        if (!mem)
            return -ENOMEM;
        page_cache_enter(pc);
        int64_t err = page_cache_fill(pc, off, n);
        if (!err) {
            memset(mem, 0, n);
            if (pc->ops->write)
                err = write_through(pc, mem, n, off);
            else
                pc->unreclaimable = true;
        }
        page_cache_leave(pc);
        if (err < 0)
            return (int)err;
        off += n;
    }
    return 0;
}

int page_cache_punch(struct page_cache *pc, uint64_t off, uint64_t len)
{
    uint64_t size = READ_ONCE(pc->inode->size);
    uint64_t end = len > size || off > size - len ? size : off + len;
    if (off >= end)
        return 0;
    if (pc->ops)
        return punch_backed(pc, off, end);
    uint64_t first = PAGE_ALIGN(off), last = end == size ? PAGE_ALIGN(end) : end & PAGE_MASK;
    mutex_lock(&pc->lock);
    if (first >= last) {
        zero_in_page(pc, off, k_min(end, first));
        zero_in_page(pc, k_max(off, first), end);
    } else {
        zero_in_page(pc, off, first);
        discard_range(pc, first, last);
        if (end > last)
            zero_in_page(pc, last, end);
        uint64_t pages = (last - first) / PAGE_SIZE;
        pc->nr_resident -= k_min(pc->nr_resident, pages);
    }
    mutex_unlock(&pc->lock);
    return 0;
}

/* Lock held. Nothing behind the end of the file is written: the file must not grow by it. */
static int writeback_locked(struct page_cache *pc, uint64_t off, uint64_t end)
{
    end = k_min(end, READ_ONCE(pc->inode->size));
    off &= PAGE_MASK;
    while (off < end) {
        bool uptodate;
        uint64_t run = page_cache_run(pc, off, PAGE_ALIGN(end) - off, &uptodate);
        if (uptodate) {
            size_t contiguous;
            char *mem = page_cache_addr_locked(pc, off, &contiguous);
            if (!mem)
                return -ENOMEM;
            run = k_min(run, (uint64_t)contiguous);
            int64_t n = write_through(pc, mem, k_min(run, end - off), off);
            if (n < 0)
                return (int)n;
        }
        off += run;
    }
    return 0;
}

int page_cache_writeback(struct page_cache *pc, uint64_t off, uint64_t len)
{
    if (!pc->ops || !pc->ops->write)
        return 0;
    mutex_lock(&pc->lock);
    int err = writeback_locked(pc, off, off + len < off ? UINT64_MAX : off + len);
    mutex_unlock(&pc->lock);
    return err;
}

int page_cache_sync(struct page_cache *pc, uint64_t off, uint64_t len)
{
    struct vma *v;
    int err = 0;
    if (!pc->ops || !pc->ops->write)
        return 0;
    uint64_t end = off + len < off ? UINT64_MAX : off + len;
    mutex_lock(&pc->lock);
    list_for_each (v, &pc->mappings, mapping_link) {
        if (!(v->flags & VMA_WROTE))
            continue;
        uint64_t from = k_max(off, v->offset), to = k_min(end, v->offset + (v->end - v->start));
        int e = from < to ? writeback_locked(pc, from, to) : 0;
        err = err ? err : e;
    }
    mutex_unlock(&pc->lock);
    return err;
}
