/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of page numbers, kept as maximal ranges: which pages of a sparse file hold data. A file
 * that was written from start to end is one range, whatever its size.
 *
 * The lock inside guards readers against a writer; writers are serialised by the owner
 * (inode->lock).
 */
#ifndef CELLA_KERNEL_FS_EXTENT_MAP_H
#define CELLA_KERNEL_FS_EXTENT_MAP_H

#include "base/rbtree.h"
#include "base/spinlock.h"

struct extent_map {
    spinlock_t lock;
    struct rb_root root;
    uint64_t nr_pages; /* in the set */
};

void extent_map_init(struct extent_map *m);
/* Empties the set and frees its memory. */
void extent_map_clear(struct extent_map *m);
/* Adds pages [start, end). 0 or -ENOMEM (the set is then unchanged). */
int extent_map_add(struct extent_map *m, uint64_t start, uint64_t end);
/* Takes pages [start, end) out. 0 or -ENOMEM (a range had to be split; the set is then
 * unchanged). */
int extent_map_remove(struct extent_map *m, uint64_t start, uint64_t end);
/* Is `page` in the set? *end: the first page behind it for which that is different (UINT64_MAX:
 * none). */
bool extent_map_find(struct extent_map *m, uint64_t page, uint64_t *end);
/* How many pages of [start, end) are not in the set. */
uint64_t extent_map_missing(struct extent_map *m, uint64_t start, uint64_t end);
/* The greatest e <= end such that at most `budget` pages of [start, e) are not in the set. */
uint64_t extent_map_prefix(struct extent_map *m, uint64_t start, uint64_t end, uint64_t budget);

#endif
