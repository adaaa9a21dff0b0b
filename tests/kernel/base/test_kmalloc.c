/* SPDX-License-Identifier: Apache-2.0 */
#include "base/kmalloc.h"
#include "base/string.h"
#include "ktest.h"

static uint32_t seed = 99;

static uint32_t next_random(void)
{
    seed = seed * 1664525 + 1013904223;
    return seed >> 8;
}

KTEST(kmalloc_gives_aligned_memory_of_every_size)
{
    static const size_t sizes[] = {0,    1,    15,   16,   17,   47,   48,    49,    100,
                                   1000, 4095, 4096, 4097, 8192, 8193, 20000, 65536, 1 << 20};
    void *p[ARRAY_LEN(sizes)];
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        p[i] = kmalloc(sizes[i]);
        KCHECK(p[i]);
        KCHECK(((uintptr_t)p[i] & 15) == 0);
        KCHECK(sizes[i] < PAGE_SIZE || ((uintptr_t)p[i] & (PAGE_SIZE - 1)) == 0);
        memset(p[i], (int)i, sizes[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        const uint8_t *b = p[i];
        for (size_t k = 0; k < sizes[i]; k++)
            KCHECK(b[k] == (uint8_t)i);
        kfree(p[i]);
    }
}

KTEST(kmalloc_objects_do_not_overlap_under_random_use)
{
    enum { SLOTS = 400 };
    struct {
        uint32_t *p;
        size_t words;
    } *slot = kzalloc(SLOTS * sizeof(*slot));
    KCHECK(slot);
    size_t before = kmem_heap_bytes();
    for (int round = 0; round < 20000; round++) {
        uint32_t i = next_random() % SLOTS;
        if (slot[i].p) {
            for (size_t k = 0; k < slot[i].words; k++)
                KCHECK(slot[i].p[k] == i);
            kfree(slot[i].p);
            slot[i].p = NULL;
        } else {
            slot[i].words = next_random() % (round % 16 ? 300 : 6000);
            slot[i].p = kmalloc(slot[i].words * 4);
            KCHECK(slot[i].p);
            for (size_t k = 0; k < slot[i].words; k++)
                slot[i].p[k] = i;
        }
    }
    for (int i = 0; i < SLOTS; i++)
        kfree(slot[i].p);
    /* One empty slab for each class may be kept. */
    KCHECK(kmem_heap_bytes() <= before + 17 * 32768);
    kfree(slot);
}

KTEST(kmalloc_refuses_impossible_sizes)
{
    volatile size_t huge = SIZE_MAX;
    KCHECK(kmalloc(huge) == NULL);
    KCHECK(kmalloc(huge - 100) == NULL);
    KCHECK(kmalloc(1ull << 40) == NULL);
    KCHECK(kpages_alloc(huge >> 1) == NULL);
}

KTEST(kmalloc_reuses_freed_pages)
{
    size_t before = kmem_heap_bytes();
    for (int i = 0; i < 1000; i++) {
        void *p = kpages_alloc(5);
        KCHECK(p);
        memset(p, 0xaa, 5 * PAGE_SIZE);
        kpages_free(p, 5);
    }
    KCHECK(kmem_heap_bytes() == before);
}

KTEST(kzalloc_zeroes_memory_that_was_used_before)
{
    uint8_t *p = kmalloc(500);
    KCHECK(p);
    memset(p, 0xff, 500);
    kfree(p);
    p = kzalloc(500);
    KCHECK(p);
    for (int i = 0; i < 500; i++)
        KCHECK(p[i] == 0);
    kfree(p);
}

KTEST(krealloc_keeps_the_contents)
{
    char *p = kstrdup("hello");
    KCHECK(p);
    p = krealloc(p, 6, 10000);
    KCHECK(p && strcmp(p, "hello") == 0);
    p = krealloc(p, 10000, 3);
    KCHECK(p && memcmp(p, "hel", 3) == 0);
    kfree(p);
    p = krealloc(NULL, 0, 8);
    KCHECK(p);
    kfree(p);
    kfree(NULL);
}

KTEST(kva_ranges_read_as_zeros_again_after_release)
{
    uint8_t *a = kva_reserve(3 * PAGE_SIZE + 1), *b = kva_reserve(PAGE_SIZE);
    KCHECK(a && b);
    KCHECK(b >= a + 4 * PAGE_SIZE || a >= b + PAGE_SIZE);
    KCHECK(a[0] == 0 && a[4 * PAGE_SIZE - 1] == 0);
    memset(a, 1, 4 * PAGE_SIZE);
    b[0] = 2;
    kva_release(a, 3 * PAGE_SIZE + 1);
    KCHECK(b[0] == 2);
    uint8_t *c = kva_reserve(4 * PAGE_SIZE);
    KCHECK(c == a); /* first fit */
    KCHECK(c[0] == 0 && c[4 * PAGE_SIZE - 1] == 0);
    kva_release(c, 4 * PAGE_SIZE);
    kva_release(b, PAGE_SIZE);
}

KTEST(kva_neighbours_join_when_released)
{
    char *p[8];
    for (int i = 0; i < 8; i++)
        KCHECK((p[i] = kva_reserve(PAGE_SIZE)) != NULL);
    static const int order[8] = {1, 3, 5, 7, 0, 2, 6, 4};
    for (int i = 0; i < 8; i++)
        kva_release(p[order[i]], PAGE_SIZE);
    KCHECK(kva_reserve(8 * PAGE_SIZE) == p[0]);
    kva_release(p[0], 8 * PAGE_SIZE);
    KCHECK(kva_reserve(1ull << 60) == NULL);
}
