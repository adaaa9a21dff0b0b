/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the memory manager share among themselves. Everything here wants mm->lock
 * unless it says otherwise. */
#ifndef CELLA_KERNEL_MM_VMA_H
#define CELLA_KERNEL_MM_VMA_H

#include "mm/mm.h"

#define MAX_VMAS 65530u
#define STACK_GUARD_GAP (256 * PAGE_SIZE)

/* ---- mm/vma.c ---- */

/* An area that is not yet in the tree. Takes references on file and inode (both may be NULL). NULL
 * without memory. */
struct vma *vma_alloc(struct mm *mm, uaddr_t start, uaddr_t end, int prot, int max_prot,
                      uint32_t flags, struct file *file, struct inode *inode, uint64_t offset);
/* Puts the references of areas that were taken out of the tree, and writes back what they may have
 * made dirty. mm->lock is NOT held. */
void vma_free_list(struct list *dead);
/* Frees one that never was in the tree, or is not any more. mm->lock may be held. */
void vma_free(struct vma *v);
/* Puts it into the tree, the list of mappings and the counters. */
void vma_insert(struct mm *mm, struct vma *v);
void vma_remove(struct mm *mm, struct vma *v);
/* v keeps [start, addr), a new one has the rest. 0 or -ENOMEM. */
int vma_split(struct mm *mm, struct vma *v, uaddr_t addr);
/* Splits so that no area crosses start or end. 0 or -ENOMEM. */
int vma_split_range(struct mm *mm, uaddr_t start, uaddr_t end);
/* Joins v with its neighbours where they continue each other; the area that then holds v's range.
 */
struct vma *vma_merge(struct mm *mm, struct vma *v);
/* Changes v's range in place; offset follows start. */
void vma_set_range(struct mm *mm, struct vma *v, uaddr_t start, uaddr_t end);
/* Changes prot or flags, with the counters. */
void vma_set_prot(struct mm *mm, struct vma *v, int prot, uint32_t flags);
/* Top-down in [low, high), leaving the gap below stacks. 0: none. */
uaddr_t mm_find_gap_in(struct mm *mm, uint64_t len, uaddr_t low, uaddr_t high, uint64_t align);
/* Nothing is mapped in [addr, addr+len), stack gaps counted as free or not. */
bool mm_range_free(struct mm *mm, uaddr_t addr, uint64_t len, bool with_gap);
/* Pages of areas in [start, end). */
uint64_t mm_pages_in(struct mm *mm, uaddr_t start, uaddr_t end);
/* May the address space grow by so many pages of this kind (RLIMIT_AS, RLIMIT_DATA)? `replaced`
 * pages go away before. */
bool mm_may_expand(struct mm *mm, int prot, uint32_t flags, uint64_t pages, uint64_t replaced);

/* ---- mm/map.c ---- */

/* PROT_*_K -> HAL_PROT_*: what x86 can express. */
int vma_hal_prot(int prot);
/* Makes [start, end) of v appear in the current address space, as v->prot says. 0 or -ENOMEM. */
int vma_map_host(struct vma *v, uaddr_t start, uaddr_t end);
/* Gives [start, end) of v the protection v->prot. 0 or -ENOMEM. */
int vma_protect_host(struct vma *v, uaddr_t start, uaddr_t end);
/* Opens all accessible pages of [start, end) after a fill. 0 or -ENOMEM. */
int vma_expose(struct vma *v, uaddr_t start, uaddr_t end);
/* v of the patched text view becomes an ordinary mapping of the file. 0 or -ENOMEM. */
int vma_unpatch(struct mm *mm, struct vma *v);

/* ---- mm/mmap.c ---- */

/* Takes [start, end) out of the tree; the areas go to `dead` for vma_free_list. host: also out of
 * the address space (else the caller maps something else there at once). 0 or -ENOMEM. */
int mm_unmap_locked(struct mm *mm, uaddr_t start, uaddr_t end, bool host, struct list *dead);
/* Brings in every page of [start, end) that can be; without mm->lock. 0 or -ENOMEM, -EFAULT. */
int mm_populate(struct mm *mm, uaddr_t start, uaddr_t end, bool write);
/* Room under RLIMIT_MEMLOCK for `pages` more? 0, -EPERM (limit is zero), -ENOMEM. */
int mm_may_lock(struct mm *mm, uint64_t pages);

/* Counts resident pages of the current address space now. Takes the lock itself. */
uint64_t mm_count_resident(struct mm *mm);

#endif
