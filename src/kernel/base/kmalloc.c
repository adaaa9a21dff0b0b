/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel memory allocators.
 *
 * The window is cut in two. The lower part is the heap: pages handed out by a buddy allocator whose
 * state stands in a byte per page; it grows upwards, so that what is in use stays compact (after a
 * fork the host faults the heap in again, 64 KiB at a time). Slabs take 32 KiB from it and cut them
 * into objects of one size class. The upper part is address space for page caches: ranges by a
 * first-fit free tree, backed by nothing until touched.
 *
 * A slab is found from an object by the page's owner entry. Big objects (over 16 KiB) are buddy
 * blocks. One spinlock per size class, one for the buddy, one for the ranges; order: class ->
 * buddy.
 */
#include "base/kmalloc.h"

#include "base/errno.h"
#include "base/list.h"
#include "base/printk.h"
#include "base/rbtree.h"
#include "base/spinlock.h"
#include "base/string.h"
#include "hal.h"

#define HEAP_MAX (16ull << 30)
#define NR_PAGES (HEAP_MAX >> PAGE_SHIFT)
#define MAX_ORDER 12 /* 16 MiB */

/* Page states: free block heads carry their order, all else is inside or allocated. */
enum {
    PG_INSIDE = 0,
    PG_FREE = 0x40,
    PG_USED = 0x80,
    PG_SLAB = 0xc0,
    PG_KIND = 0xc0,
    PG_ORDER = 0x3f
};

static char *heap;
static uint8_t *page_state; /* one byte per page; for PG_SLAB heads and insides: see slab_of */
static uint64_t heap_top;   /* pages that were ever handed to the buddy */
static uint64_t heap_used;  /* pages */
static struct list free_area[MAX_ORDER + 1];
static spinlock_t buddy_lock = SPINLOCK_INIT;

/* In the unit tests the sanitizer learns what nobody owns: free objects, free blocks, and the room
 * behind what was asked for. */
#ifdef __SANITIZE_ADDRESS__
void __asan_poison_memory_region(const volatile void *p, size_t n);
void __asan_unpoison_memory_region(const volatile void *p, size_t n);
#define RED_ZONE 16u
#define poison(p, n) __asan_poison_memory_region(p, n)
#define unpoison(p, n) __asan_unpoison_memory_region(p, n)
#else
#define RED_ZONE 0u
#define poison(p, n) ((void)0)
#define unpoison(p, n) ((void)0)
#endif

static uint64_t page_index(const void *p)
{
    return (uint64_t)((const char *)p - heap) >> PAGE_SHIFT;
}
static void *page_address(uint64_t i)
{
    return heap + (i << PAGE_SHIFT);
}

static void buddy_add(uint64_t i, unsigned order)
{
    page_state[i] = (uint8_t)(PG_FREE | order);
    unpoison(page_address(i), sizeof(struct list));
    list_add((struct list *)page_address(i), &free_area[order]);
}

/* Free blocks of this order and above give their pages back to the host: small ones are about to be
 * used again. */
#define DISCARD_ORDER 6

static void buddy_free(uint64_t i, unsigned order)
{
    if (order >= DISCARD_ORDER)
        hal_kmem_discard(page_address(i), PAGE_SIZE << order);
    page_state[i] = PG_INSIDE;
    while (order < MAX_ORDER) {
        uint64_t b = i ^ (1ull << order);
        if (b >= heap_top || page_state[b] != (PG_FREE | order))
            break;
        list_del((struct list *)page_address(b));
        page_state[b] = PG_INSIDE;
        i &= ~(1ull << order);
        order++;
    }
    buddy_add(i, order);
}

static uint64_t buddy_alloc(unsigned order, uint8_t kind)
{
    unsigned o = order;
    while (o <= MAX_ORDER && list_empty(&free_area[o]))
        o++;
    uint64_t i;
    if (o > MAX_ORDER) {
        if (heap_top + (1ull << MAX_ORDER) > NR_PAGES)
            return UINT64_MAX;
        i = heap_top;
        heap_top += 1ull << MAX_ORDER;
        o = MAX_ORDER;
    } else {
        struct list *l = free_area[o].next;
        list_del(l);
        i = page_index(l);
    }
    while (o > order) {
        o--;
        buddy_add(i + (1ull << o), o);
    }
    page_state[i] = (uint8_t)(kind | order);
    return i;
}

static unsigned order_for(size_t nr_pages)
{
    return nr_pages <= 1 ? 0 : 64u - (unsigned)__builtin_clzll(nr_pages - 1);
}

static void *block_alloc(unsigned order, uint8_t kind)
{
    if (order > MAX_ORDER)
        return NULL;
    spin_lock(&buddy_lock);
    uint64_t i = buddy_alloc(order, kind);
    if (i != UINT64_MAX)
        heap_used += 1ull << order;
    spin_unlock(&buddy_lock);
    if (i == UINT64_MAX)
        return NULL;
    unpoison(page_address(i), PAGE_SIZE << order);
    return page_address(i);
}

static void block_free(void *p)
{
    uint64_t i = page_index(p);
    spin_lock(&buddy_lock);
    unsigned order = page_state[i] & PG_ORDER;
    KASSERT((page_state[i] & PG_KIND) == PG_USED || (page_state[i] & PG_KIND) == PG_SLAB);
    heap_used -= 1ull << order;
    poison(p, PAGE_SIZE << order);
    buddy_free(i, order);
    spin_unlock(&buddy_lock);
}

void *kpages_alloc(size_t nr_pages)
{
    unsigned order = order_for(nr_pages);
    void *p = block_alloc(order, PG_USED);
    if (p)
        poison((char *)p + (nr_pages << PAGE_SHIFT),
               (PAGE_SIZE << order) - (nr_pages << PAGE_SHIFT));
    return p;
}

void kpages_free(void *p, size_t nr_pages)
{
    if (!p)
        return;
    KASSERT((page_state[page_index(p)] & PG_ORDER) == order_for(nr_pages));
    block_free(p);
}

/* ---- slabs ---- */

#define SLAB_ORDER 3
#define SLAB_BYTES (PAGE_SIZE << SLAB_ORDER)

static const uint16_t class_size[] = {16,  32,  48,   64,   96,   128,  192,  256, 384,
                                      512, 768, 1024, 1536, 2048, 3072, 4096, 8192};
#define NR_CLASSES ARRAY_LEN(class_size)
#define SMALL_MAX 8192u

struct slab {
    struct list link; /* in the class's partial list, or alone */
    void *free;       /* chain through the first word of each free object */
    uint16_t class, in_use, total;
};

struct size_class {
    spinlock_t lock;
    struct list partial;
    uint32_t nr_empty; /* wholly free slabs kept for the next allocation */
};

static struct size_class classes[NR_CLASSES];
static uint8_t class_of_16[SMALL_MAX / 16 + 1]; /* (size + 15) / 16 -> class */

static struct slab *slab_of(const void *p)
{
    return (struct slab *)((uintptr_t)p & ~(SLAB_BYTES - 1));
}

static struct slab *slab_new(unsigned class)
{
    char *mem = block_alloc(SLAB_ORDER, PG_SLAB);
    if (!mem)
        return NULL;
    struct slab *s = (struct slab *)mem;
    size_t size = class_size[class];
    size_t first = size >= PAGE_SIZE ? PAGE_SIZE : ALIGN_UP(sizeof(*s), 64);
    s->class = (uint16_t) class;
    s->in_use = 0;
    s->total = (uint16_t)((SLAB_BYTES - first) / size);
    s->free = NULL;
    for (int i = s->total - 1; i >= 0; i--) {
        void **o = (void **)(mem + first + (size_t)i * size);
        *o = s->free;
        s->free = o;
    }
    poison(mem + first, SLAB_BYTES - first);
    list_init(&s->link);
    return s;
}

void *kmalloc(size_t size)
{
    if (size > SMALL_MAX - RED_ZONE) {
        size_t nr_pages = (size >> PAGE_SHIFT) + ((size & (PAGE_SIZE - 1)) != 0);
        void *p = kpages_alloc(nr_pages);
        if (p)
            poison((char *)p + size, (nr_pages << PAGE_SHIFT) - size);
        return p;
    }
    unsigned class = class_of_16[(size + RED_ZONE + 15) / 16];
    struct size_class *c = &classes[class];
    spin_lock(&c->lock);
    if (list_empty(&c->partial)) {
        struct slab *s = slab_new(class);
        if (!s) {
            spin_unlock(&c->lock);
            return NULL;
        }
        list_add(&s->link, &c->partial);
        c->nr_empty++;
    }
    struct slab *s = list_first(&c->partial, struct slab, link);
    void **o = s->free;
    unpoison(o, k_max(size, sizeof(*o)));
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a slab in this list has a free object */
    s->free = *o;
    if (s->in_use++ == 0)
        c->nr_empty--;
    if (!s->free)
        list_del(&s->link);
    spin_unlock(&c->lock);
    return o;
}

void kfree(void *p)
{
    if (!p)
        return;
    if (((uintptr_t)p & (PAGE_SIZE - 1)) == 0 && (page_state[page_index(p)] & PG_KIND) == PG_USED) {
        block_free(p);
        return;
    }
    struct slab *s = slab_of(p);
    struct size_class *c = &classes[s->class];
    spin_lock(&c->lock);
    bool was_full = s->free == NULL;
    *(void **)p = s->free;
    s->free = p;
    poison(p, class_size[s->class]);
    if (was_full)
        list_add(&s->link, &c->partial);
    bool release = false;
    if (--s->in_use == 0) {
        if (c->nr_empty >= 1) {
            list_del(&s->link);
            release = true;
        } else {
            c->nr_empty++;
        }
    }
    spin_unlock(&c->lock);
    if (release)
        block_free(s);
}

void *kzalloc(size_t size)
{
    void *p = kmalloc(size);
    if (p)
        memset(p, 0, size);
    return p;
}

void *krealloc(void *p, size_t old_size, size_t new_size)
{
    void *n = kmalloc(new_size);
    if (n && p) {
        memcpy(n, p, k_min(old_size, new_size));
        kfree(p);
    }
    return n;
}

size_t kmem_heap_bytes(void)
{
    return READ_ONCE(heap_used) << PAGE_SHIFT;
}

/* ---- sparse ranges ---- */

struct kva_free {
    struct rb_node by_addr;
    uintptr_t start;
    size_t size;
};

static struct rb_root kva_tree = RB_ROOT_INIT; /* free ranges by address, never adjacent */
static spinlock_t kva_lock = SPINLOCK_INIT;

static void kva_insert(struct kva_free *f)
{
    struct rb_node **link = &kva_tree.node, *parent = NULL;
    while (*link) {
        parent = *link;
        link = f->start < rb_entry(parent, struct kva_free, by_addr)->start ? &parent->left
                                                                            : &parent->right;
    }
    rb_link(&f->by_addr, parent, link);
    rb_insert_fixup(&kva_tree, &f->by_addr);
}

void *kva_reserve(size_t size)
{
    size = PAGE_ALIGN(size);
    spin_lock(&kva_lock);
    for (struct rb_node *n = rb_first(&kva_tree); n; n = rb_next(n)) {
        struct kva_free *f = rb_entry(n, struct kva_free, by_addr);
        if (f->size < size)
            continue;
        void *p = (void *)f->start;
        f->start += size;
        f->size -= size;
        struct kva_free *empty = f->size ? NULL : f;
        if (empty)
            rb_erase(&kva_tree, n);
        spin_unlock(&kva_lock);
        kfree(empty);
        return p;
    }
    spin_unlock(&kva_lock);
    return NULL;
}

void kva_release(void *p, size_t size)
{
    if (!p)
        return;
    size = PAGE_ALIGN(size);
    hal_kmem_discard(p, size);
    struct kva_free *f = kmalloc(sizeof(*f));
    if (!f)
        return; /* address space is lost, the pages are not */
    f->start = (uintptr_t)p;
    f->size = size;
    struct kva_free *drop[2] = {NULL, NULL};
    spin_lock(&kva_lock);
    kva_insert(f);
    struct rb_node *pn = rb_prev(&f->by_addr), *nn = rb_next(&f->by_addr);
    if (nn) {
        struct kva_free *next = rb_entry(nn, struct kva_free, by_addr);
        if (f->start + f->size == next->start) {
            f->size += next->size;
            rb_erase(&kva_tree, nn);
            drop[0] = next;
        }
    }
    if (pn) {
        struct kva_free *prev = rb_entry(pn, struct kva_free, by_addr);
        if (prev->start + prev->size == f->start) {
            prev->size += f->size;
            rb_erase(&kva_tree, &f->by_addr);
            drop[1] = f;
        }
    }
    spin_unlock(&kva_lock);
    kfree(drop[0]);
    kfree(drop[1]);
}

void kmem_init(void *base, size_t size)
{
    uint64_t table = ALIGN_UP(NR_PAGES, PAGE_SIZE);
    KASSERT(size > HEAP_MAX * 2 + table);
    page_state = base;
    heap = (char *)ALIGN_UP((uintptr_t)base + table, PAGE_SIZE << MAX_ORDER);
    for (unsigned i = 0; i <= MAX_ORDER; i++)
        list_init(&free_area[i]);
    unsigned c = 0;
    for (size_t i = 0; i < ARRAY_LEN(class_of_16); i++) {
        if (i * 16 > class_size[c])
            c++;
        class_of_16[i] = (uint8_t)c;
    }
    for (c = 0; c < NR_CLASSES; c++)
        list_init(&classes[c].partial);
    uintptr_t kva_start = (uintptr_t)heap + HEAP_MAX;
    struct kva_free *all = kmalloc(sizeof(*all));
    KASSERT(all);
    all->start = kva_start;
    all->size = ALIGN_DOWN((uintptr_t)base + size - kva_start, PAGE_SIZE);
    kva_insert(all);
}
