/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page cache of an inode: contiguous sparse ranges of kernel memory ("segments"), so that a
 * mapping of the file is a mapping of the range, private or shared. Segment k covers fixed file
 * offsets: the first one `seg0` bytes (for a file with a known size, all of it), each following one
 * 8 times the one before; nothing ever moves.
 *
 * Where the file system has a backing (host directory, image), each page has an up-to-date bit and
 * is filled by ops->read before use, with the pages around it; without backing (tmpfs) a page that
 * was never written reads as zeros.
 */
#ifndef CELLA_KERNEL_MM_PAGE_CACHE_H
#define CELLA_KERNEL_MM_PAGE_CACHE_H

#include "base/list.h"
#include "base/types.h"
#include "proc/wait_queue.h"

struct inode;
struct uio;
struct vma;

#define PAGE_CACHE_SEGMENTS 12

struct page_cache_ops {
    /* Reads [off, off+len) of the backing into buf; off is page aligned. Returns bytes read (short
     * only at the end of the file; the rest of buf is zeroed by the caller), or negative errno. May
     * sleep. */
    int64_t (*read)(struct inode *inode, void *buf, size_t len, uint64_t off);
    /* Writes through; NULL: dirty pages have nowhere to go (tmpfs). */
    int64_t (*write)(struct inode *inode, const void *buf, size_t len, uint64_t off);
};

struct page_cache {
    struct inode *inode;
    const struct page_cache_ops *ops; /* NULL: no backing */
    struct mutex lock;                /* segments, bits, fills, mappings */
    uint64_t seg0_size;               /* bytes; page aligned; 0 until first use */
    void *seg[PAGE_CACHE_SEGMENTS];
    uint64_t *uptodate[PAGE_CACHE_SEGMENTS]; /* a bit a page; NULL without backing */
    struct list mappings;                    /* vma.mapping_link */
    struct text_view *text;                  /* patched view, mm/text_view.c */
    uint64_t nr_resident;                    /* pages filled or written, about */
    uint64_t last_read_end;                  /* for readahead */
    uint32_t readahead_pages;                /* grows while reads are sequential */
    uint32_t users;           /* copies under way without the lock; reclaim keeps away (atomic) */
    struct list reclaim_link; /* caches with clean pages that reclaim may drop, mm/reclaim.c */
    bool unreclaimable;       /* holds written pages that no backing has */
};

void page_cache_init(struct page_cache *pc, struct inode *inode, const struct page_cache_ops *ops);
/* Frees all memory; no mapping may be left. */
void page_cache_destroy(struct page_cache *pc);

/* Kernel address of file offset `off`, and how many bytes from there are contiguous. NULL without
 * memory. Does not fill. */
void *page_cache_addr(struct page_cache *pc, uint64_t off, size_t *contiguous);
/* The same with the lock held. */
void *page_cache_addr_locked(struct page_cache *pc, uint64_t off, size_t *contiguous);
/* Length (page aligned, at most len) of the run of pages from `off` that are all accessible (up to
 * date and not wholly behind the end of the file) or all not; *accessible says which. off and len
 * are page aligned. */
uint64_t page_cache_run(struct page_cache *pc, uint64_t off, uint64_t len, bool *accessible);
/* Makes the pages of [off, off+len) up to date (reading ahead a little). 0 or negative errno; may
 * sleep. */
int page_cache_fill(struct page_cache *pc, uint64_t off, uint64_t len);
bool page_cache_uptodate(struct page_cache *pc, uint64_t off);

/* read(2) and write(2) of regular files over the page cache. They move at most what is in uio,
 * from/to *pos, advance *pos, extend inode->size (write), and return bytes moved or negative errno.
 * Caller holds inode->lock for write. */
int64_t page_cache_read(struct inode *inode, struct uio *uio, uint64_t *pos);
int64_t page_cache_write(struct inode *inode, struct uio *uio, uint64_t *pos);
/* After inode->size was changed: zeroes the tail of the last page, frees what lies behind, revokes
 * mappings behind it. */
void page_cache_truncate(struct page_cache *pc, uint64_t old_size, uint64_t new_size);
/* fallocate(PUNCH_HOLE): zeroes. */
int page_cache_punch(struct page_cache *pc, uint64_t off, uint64_t len);
/* Next data/hole at or after off for lseek; tmpfs may treat everything as data. */
/* Writes dirty mapped pages of [off, off+len) to the backing (msync, fsync); 0 or negative errno.
 */
int page_cache_sync(struct page_cache *pc, uint64_t off, uint64_t len);
/* Writes the up-to-date pages of [off, off+len) to the backing, dirty or not. 0 or negative errno.
 */
int page_cache_writeback(struct page_cache *pc, uint64_t off, uint64_t len);
/* Drops clean pages of files that nobody has mapped until about `bytes` are free; returns the bytes
 * dropped. May sleep. */
uint64_t page_cache_reclaim(uint64_t bytes);
/* Pages that reclaim could drop if nobody had them mapped, about. */
uint64_t page_cache_reclaimable_pages(void);
/* Around a copy from or to cached pages without the lock: reclaim leaves the cache alone meanwhile.
 */
static inline void page_cache_enter(struct page_cache *pc)
{
    __atomic_add_fetch(&pc->users, 1, __ATOMIC_SEQ_CST);
}
static inline void page_cache_leave(struct page_cache *pc)
{
    __atomic_sub_fetch(&pc->users, 1, __ATOMIC_RELEASE);
}

#endif
