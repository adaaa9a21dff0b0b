/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page cache: where the bytes of a file lie in kernel memory, which of them are up to date, and how
 * the others are brought in. mm/page_cache_io.c has read, write and truncate on top of it; the
 * header explains the segments.
 *
 * Invariant: a page that is not up to date reads as zeros, or is being filled under pc->lock. So a
 * page behind the end of the backing becomes up to date by setting its bit.
 *
 * Lock: pc->lock guards the segment table, the bits' transitions and the list of mappings. Segments
 * and bits are published with release stores, so looking them up takes no lock. A page loses its
 * bit only by truncate and by reclaim.
 */
#include "mm/page_cache.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "fs/vfs.h"
#include "mm/mm.h"
#include "mm/page_cache_impl.h"
#include "mm/text_view.h"

enum { READAHEAD_MIN = 16, READAHEAD_MAX = 256 }; /* pages */

#define SEG0_MIN (64 * 1024ull)
#define SEG0_MAX (16ull << 30)
#define SEG_MAX (1ull << 45) /* a larger one cannot exist in the window */
#define READ_CHUNK (1ull << 20)
#define BITMAP_KMALLOC_MAX (32 * 1024ul)

void page_cache_init(struct page_cache *pc, struct inode *inode, const struct page_cache_ops *ops)
{
    memset(pc, 0, sizeof(*pc));
    pc->inode = inode;
    pc->ops = ops;
    mutex_init(&pc->lock);
    list_init(&pc->mappings);
    list_init(&pc->reclaim_link);
}

static size_t bitmap_bytes(uint64_t seg_size)
{
    return ALIGN_UP(seg_size / PAGE_SIZE, 64) / 8;
}

static uint64_t *bitmap_alloc(uint64_t seg_size)
{
    size_t n = bitmap_bytes(seg_size);
    return n <= BITMAP_KMALLOC_MAX ? kzalloc(n) : kva_reserve(n);
}

static void bitmap_free(uint64_t *bitmap, uint64_t seg_size)
{
    size_t n = bitmap_bytes(seg_size);
    if (!bitmap)
        return;
    if (n <= BITMAP_KMALLOC_MAX)
        kfree(bitmap);
    else
        kva_release(bitmap, n);
}

bool page_cache_locate(const struct page_cache *pc, uint64_t off, struct pc_place *place)
{
    uint64_t start = 0, size = __atomic_load_n(&pc->seg0_size, __ATOMIC_ACQUIRE);
    if (!size)
        return false;
    for (unsigned k = 0; k < PAGE_CACHE_SEGMENTS && size <= SEG_MAX; k++) {
        if (off - start < size) {
            *place = (struct pc_place){.seg = k, .start = start, .size = size};
            return true;
        }
        start += size;
        size <<= 3;
    }
    return false;
}

void page_cache_destroy(struct page_cache *pc)
{
    struct pc_place place;
    uint64_t off = 0;
    page_cache_reclaim_remove(pc);
    text_view_destroy(pc);
    while (page_cache_locate(pc, off, &place)) {
        bitmap_free(pc->uptodate[place.seg], place.size);
        if (pc->seg[place.seg])
            kva_release(pc->seg[place.seg], place.size);
        pc->uptodate[place.seg] = NULL;
        pc->seg[place.seg] = NULL;
        off = place.start + place.size;
    }
    pc->seg0_size = 0;
}

/* The segment is looked up by readers without the lock: its bitmap is published before it. */
static bool segment_create(struct page_cache *pc, const struct pc_place *place)
{
    if (pc->ops && !pc->uptodate[place->seg]) {
        pc->uptodate[place->seg] = bitmap_alloc(place->size);
        if (!pc->uptodate[place->seg])
            return false;
    }
    void *mem = kva_reserve(place->size);
    if (!mem)
        return false;
    __atomic_store_n(&pc->seg[place->seg], mem, __ATOMIC_RELEASE);
    return true;
}

void *page_cache_addr_locked(struct page_cache *pc, uint64_t off, size_t *contiguous)
{
    struct pc_place place;
    if (!pc->seg0_size) {
        uint64_t size = PAGE_ALIGN(k_min(READ_ONCE(pc->inode->size), SEG0_MAX));
        __atomic_store_n(&pc->seg0_size, k_max(size, SEG0_MIN), __ATOMIC_RELEASE);
    }
    if (!page_cache_locate(pc, off, &place))
        return NULL;
    if (!pc->seg[place.seg] && !segment_create(pc, &place))
        return NULL;
    *contiguous = place.start + place.size - off;
    return (char *)pc->seg[place.seg] + (off - place.start);
}

void *page_cache_addr(struct page_cache *pc, uint64_t off, size_t *contiguous)
{
    struct pc_place place;
    if (page_cache_locate(pc, off, &place)) {
        char *seg = __atomic_load_n(&pc->seg[place.seg], __ATOMIC_ACQUIRE);
        if (seg) {
            *contiguous = place.start + place.size - off;
            return seg + (off - place.start);
        }
    }
    mutex_lock(&pc->lock);
    void *p = page_cache_addr_locked(pc, off, contiguous);
    mutex_unlock(&pc->lock);
    return p;
}

bool page_cache_uptodate(struct page_cache *pc, uint64_t off)
{
    struct pc_place place;
    if (!pc->ops)
        return true;
    if (!page_cache_locate(pc, off, &place) ||
        !__atomic_load_n(&pc->seg[place.seg], __ATOMIC_ACQUIRE))
        return false;
    uint64_t bit = (off - place.start) / PAGE_SIZE;
    return __atomic_load_n(&pc->uptodate[place.seg][bit / 64], __ATOMIC_ACQUIRE) >> (bit % 64) & 1;
}

/* Number of bits from `bit` on, at most n, that have the value of the first one. */
static uint64_t bit_run(const uint64_t *map, uint64_t bit, uint64_t n, bool value)
{
    uint64_t done = 0;
    while (done < n) {
        uint64_t at = bit + done, word = __atomic_load_n(&map[at / 64], __ATOMIC_ACQUIRE);
        uint64_t differs = (value ? ~word : word) >> (at % 64);
        if (differs)
            return k_min(n, done + (uint64_t)__builtin_ctzll(differs));
        done += 64 - at % 64;
    }
    return n;
}

uint64_t page_cache_run(struct page_cache *pc, uint64_t off, uint64_t len, bool *accessible)
{
    uint64_t eof = PAGE_ALIGN(READ_ONCE(pc->inode->size)), done = 0;
    struct pc_place place;
    *accessible = off < eof && page_cache_uptodate(pc, off);
    if (off >= eof)
        return len;
    uint64_t max = k_min(len, eof - off);
    if (!pc->ops)
        return max;
    while (done < max) {
        if (!page_cache_locate(pc, off + done, &place))
            return *accessible ? done : len;
        if (!pc->seg[place.seg]) {
            if (*accessible)
                return done;
            done = k_min(max, place.start + place.size - off);
            continue;
        }
        uint64_t bit = (off + done - place.start) / PAGE_SIZE;
        uint64_t n = (k_min(off + max, place.start + place.size) - off - done) / PAGE_SIZE;
        uint64_t run = bit_run(pc->uptodate[place.seg], bit, n, *accessible);
        done += run * PAGE_SIZE;
        if (run < n)
            return done;
    }
    return !*accessible && done == max ? len : done;
}

void page_cache_set_bits(struct page_cache *pc, uint64_t off, uint64_t len, bool value)
{
    struct pc_place place;
    for (uint64_t at = off; at < off + len; at += PAGE_SIZE) {
        if (!page_cache_locate(pc, at, &place))
            return;
        if (!pc->uptodate[place.seg]) {
            at = place.start + place.size - PAGE_SIZE;
            continue;
        }
        uint64_t bit = (at - place.start) / PAGE_SIZE, mask = 1ull << (bit % 64);
        uint64_t *word = &pc->uptodate[place.seg][bit / 64];
        uint64_t old = value ? __atomic_fetch_or(word, mask, __ATOMIC_SEQ_CST)
                             : __atomic_fetch_and(word, ~mask, __ATOMIC_SEQ_CST);
        if (value && !(old & mask))
            pc->nr_resident++;
        else if (!value && (old & mask) && pc->nr_resident)
            pc->nr_resident--;
    }
}

/* Reads one contiguous piece. What the backing does not have stays zero. */
static int fill_piece(struct page_cache *pc, char *mem, uint64_t off, uint64_t len)
{
    uint64_t got = 0;
    while (got < len) {
        int64_t n = pc->ops->read(pc->inode, mem + got, len - got, off + got);
        if (n < 0) {
            hal_kmem_discard(mem, len);
            return (int)n;
        }
        got += (uint64_t)n;
        /* A count that is no page multiple is the end of the file: the next read could not be page
         * aligned. */
        if (n == 0 || got % PAGE_SIZE)
            break;
    }
    page_cache_set_bits(pc, off, len, true);
    return 0;
}

int page_cache_fill_locked(struct page_cache *pc, uint64_t off, uint64_t end, uint64_t must_end)
{
    while (off < end) {
        bool uptodate;
        uint64_t run = page_cache_run(pc, off, end - off, &uptodate);
        if (!uptodate) {
            size_t contiguous = 0;
            char *mem = page_cache_addr_locked(pc, off, &contiguous);
            run = k_min(k_min(run, (uint64_t)contiguous), READ_CHUNK);
            int err = mem ? fill_piece(pc, mem, off, run) : -ENOMEM;
            /* What is read ahead must not fail what was asked for. */
            if (err && mem && off < must_end && run > must_end - off) {
                run = must_end - off;
                err = fill_piece(pc, mem, off, run);
            }
            if (err)
                return off >= must_end ? 0 : err;
        }
        off += run;
    }
    return 0;
}

/* End of the range to read when [off, end) is needed: small files whole, sequential readers ever
 * more. */
static uint64_t readahead_end(struct page_cache *pc, uint64_t off, uint64_t end, uint64_t eof)
{
    if (eof <= READAHEAD_MIN * PAGE_SIZE)
        return eof;
    if (off == pc->last_read_end && off != 0)
        pc->readahead_pages = k_min(k_max(pc->readahead_pages, (uint32_t)READAHEAD_MIN) * 2u,
                                    (uint32_t)READAHEAD_MAX);
    else
        pc->readahead_pages = READAHEAD_MIN;
    return k_min(eof, k_max(end, off + pc->readahead_pages * PAGE_SIZE));
}

static bool range_uptodate(struct page_cache *pc, uint64_t off, uint64_t end)
{
    bool uptodate;
    uint64_t run = page_cache_run(pc, off, end - off, &uptodate);
    return uptodate && run == end - off;
}

int page_cache_fill(struct page_cache *pc, uint64_t off, uint64_t len)
{
    if (!pc->ops || !len)
        return 0;
    uint64_t eof = PAGE_ALIGN(READ_ONCE(pc->inode->size));
    uint64_t end = len > eof || off > eof - len ? eof : PAGE_ALIGN(off + len);
    off &= PAGE_MASK;
    if (off >= end || range_uptodate(pc, off, end))
        return 0;
    page_cache_make_room(end - off);
    mutex_lock(&pc->lock);
    uint64_t last = readahead_end(pc, off, end, eof);
    int err = page_cache_fill_locked(pc, off, last, end);
    if (!err)
        pc->last_read_end = last;
    mutex_unlock(&pc->lock);
    page_cache_reclaim_add(pc);
    return err;
}
