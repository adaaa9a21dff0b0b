/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the page cache share among themselves. */
#ifndef CELLA_KERNEL_MM_PAGE_CACHE_IMPL_H
#define CELLA_KERNEL_MM_PAGE_CACHE_IMPL_H

#include "mm/page_cache.h"

/* The segment that holds a file offset. */
struct pc_place {
    unsigned seg;
    uint64_t start, size; /* of the segment, bytes of the file */
};

/* False: no segment can hold off, or the cache was never used. */
bool page_cache_locate(const struct page_cache *pc, uint64_t off, struct pc_place *place);
/* Sets or clears the bits of the pages of [off, off+len), page aligned; lock held. */
void page_cache_set_bits(struct page_cache *pc, uint64_t off, uint64_t len, bool value);
/* Fills [off, end); an error at or after must_end is none. Lock held. */
int page_cache_fill_locked(struct page_cache *pc, uint64_t off, uint64_t end, uint64_t must_end);

/* mm/reclaim.c */
void page_cache_reclaim_add(struct page_cache *pc);
void page_cache_reclaim_remove(struct page_cache *pc);
/* Drops clean pages first when `bytes` more would come close to the keep's limit. */
void page_cache_make_room(uint64_t bytes);

/* mm/revoke.c: takes access from all mappings of [from, ...); lock held. */
void page_cache_revoke(struct page_cache *pc, uint64_t from);

#endif
