/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vDSO in address spaces. The image stands in the runtime's own read-only data; it is copied
 * once into pages of the kernel's window, which every address space maps.
 */
#include "mm/vdso_map.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/spinlock.h"
#include "base/string.h"
#include "mm/mm.h"

extern const char vdso_image_start[], vdso_image_end[];

static spinlock_t pages_lock = SPINLOCK_INIT;
static void *pages;

static size_t image_size(void)
{
    return (size_t)PAGE_ALIGN((uint64_t)(vdso_image_end - vdso_image_start));
}

/* The copy in the window, made at first use; NULL without memory. */
static void *image_pages(void)
{
    spin_lock(&pages_lock);
    if (!pages) {
        pages = kpages_alloc(image_size() / PAGE_SIZE);
        if (pages) {
            memset(pages, 0, image_size());
            memcpy(pages, vdso_image_start, (size_t)(vdso_image_end - vdso_image_start));
        }
    }
    void *p = pages;
    spin_unlock(&pages_lock);
    return p;
}

int vdso_map(struct mm *mm)
{
    void *image = image_pages();
    if (!image)
        return -ENOMEM;
    mutex_lock(&mm->lock);
    uaddr_t at = mm_find_gap(mm, image_size(), PAGE_SIZE);
    int err =
        at ? mm_map_kernel_locked(mm, at, image_size(), PROT_READ_K | PROT_EXEC_K, image, VMA_VDSO)
           : -ENOMEM;
    if (!err)
        mm->vdso_base = at;
    mutex_unlock(&mm->lock);
    return err;
}
