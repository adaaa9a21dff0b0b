/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel memory. All of it lies in the window that the HAL maps at one address into every address
 * space.
 *
 *   kmalloc     small objects, from power-of-two slabs; up to 1 MiB
 *   kpages      whole pages, for kernel stacks and tables
 *   kva         virtual ranges of the window for page caches: sparse, pages appear when touched,
 * zeroed
 *
 * All functions may be called under a spinlock; none sleeps. Memory is zeroed only where the name
 * says so.
 */
#ifndef CELLA_KERNEL_BASE_KMALLOC_H
#define CELLA_KERNEL_BASE_KMALLOC_H

#include "base/types.h"

/* NULL when the keep's memory limit is reached. Alignment 16 (page for sizes >= 4096). */
void *kmalloc(size_t size) __attribute__((malloc));
void *kzalloc(size_t size) __attribute__((malloc));
void *krealloc(void *p, size_t old_size, size_t new_size);
void kfree(void *p);
char *kstrdup(const char *s);
char *kstrndup(const char *s, size_t n);

void *kpages_alloc(size_t nr_pages); /* contents undefined */
void kpages_free(void *p, size_t nr_pages);

/* Reserves `size` bytes (rounded up to pages) of the window; reads as zeros. NULL when the window
 * is exhausted. */
void *kva_reserve(size_t size);
/* Gives the range back; its pages are returned to the host. */
void kva_release(void *p, size_t size);
/* Bytes of kernel heap in use (not counting kva ranges). */
size_t kmem_heap_bytes(void);

/* Called once at boot with the HAL's window. */
void kmem_init(void *base, size_t size);

#endif
