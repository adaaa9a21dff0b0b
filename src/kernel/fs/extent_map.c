/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of pages as ranges in a tree ordered by start. Ranges never touch or overlap: adding
 * merges neighbours.
 */
#include "fs/extent_map.h"

#include "base/errno.h"
#include "base/kmalloc.h"

struct extent {
    struct rb_node rb;
    uint64_t start, end; /* pages; end exclusive */
};

void extent_map_init(struct extent_map *m)
{
    spin_init(&m->lock);
    m->root.node = NULL;
    m->nr_pages = 0;
}

static void extent_drop(struct extent_map *m, struct extent *e)
{
    rb_erase(&m->root, &e->rb);
    m->nr_pages -= e->end - e->start;
    kfree(e);
}

void extent_map_clear(struct extent_map *m)
{
    spin_lock(&m->lock);
    while (m->root.node)
        extent_drop(m, rb_entry(m->root.node, struct extent, rb));
    spin_unlock(&m->lock);
}

/* The first range whose end is at or behind `page` (touching counts), or NULL. */
static struct extent *first_reaching(struct extent_map *m, uint64_t page)
{
    struct rb_node *n = m->root.node;
    struct extent *best = NULL;

    while (n) {
        struct extent *e = rb_entry(n, struct extent, rb);
        if (e->end >= page) {
            best = e;
            n = n->left;
        } else {
            n = n->right;
        }
    }
    return best;
}

/* The first range whose end is behind `page`, or NULL. */
static struct extent *first_behind(struct extent_map *m, uint64_t page)
{
    return page == UINT64_MAX ? NULL : first_reaching(m, page + 1);
}

static struct extent *extent_next(struct extent *e)
{
    struct rb_node *n = rb_next(&e->rb);
    return n ? rb_entry(n, struct extent, rb) : NULL;
}

static void extent_link(struct extent_map *m, struct extent *new)
{
    struct rb_node **link = &m->root.node, *parent = NULL;

    while (*link) {
        parent = *link;
        link = new->start < rb_entry(parent, struct extent, rb)->start ? &parent->left
                                                                       : &parent->right;
    }
    rb_link(&new->rb, parent, link);
    rb_insert_fixup(&m->root, &new->rb);
    m->nr_pages += new->end - new->start;
}

int extent_map_add(struct extent_map *m, uint64_t start, uint64_t end)
{
    int ret = 0;

    if (start >= end)
        return 0;
    spin_lock(&m->lock);
    struct extent *e = first_reaching(m, start);
    if (e && e->start <= end) {
        /* Grow the first range that it touches and swallow the following ones. */
        m->nr_pages -= e->end - e->start;
        e->start = k_min(e->start, start);
        e->end = k_max(e->end, end);
        for (struct extent *n = extent_next(e); n && n->start <= e->end; n = extent_next(e)) {
            e->end = k_max(e->end, n->end);
            extent_drop(m, n);
        }
        m->nr_pages += e->end - e->start;
    } else {
        struct extent *new = kmalloc(sizeof(*new));
        if (new) {
            new->start = start;
            new->end = end;
            extent_link(m, new);
        } else {
            ret = -ENOMEM;
        }
    }
    spin_unlock(&m->lock);
    return ret;
}

int extent_map_remove(struct extent_map *m, uint64_t start, uint64_t end)
{
    int ret = 0;

    if (start >= end)
        return 0;
    spin_lock(&m->lock);
    struct extent *e = first_behind(m, start);
    while (e && e->start < end) {
        struct extent *next = extent_next(e);
        if (e->start < start && e->end > end) {
            struct extent *tail = kmalloc(sizeof(*tail));
            if (!tail) {
                ret = -ENOMEM;
                break;
            }
            tail->start = end;
            tail->end = e->end;
            m->nr_pages -= e->end - start;
            e->end = start;
            extent_link(m, tail);
            break;
        }
        if (e->start < start) {
            m->nr_pages -= e->end - start;
            e->end = start;
        } else if (e->end > end) {
            m->nr_pages -= end - e->start;
            e->start = end;
        } else {
            extent_drop(m, e);
        }
        e = next;
    }
    spin_unlock(&m->lock);
    return ret;
}

bool extent_map_find(struct extent_map *m, uint64_t page, uint64_t *end)
{
    spin_lock(&m->lock);
    struct extent *e = first_behind(m, page);
    bool in = e && e->start <= page;
    *end = !e ? UINT64_MAX : in ? e->end : e->start;
    spin_unlock(&m->lock);
    return in;
}

uint64_t extent_map_missing(struct extent_map *m, uint64_t start, uint64_t end)
{
    uint64_t missing = 0, at = start;

    spin_lock(&m->lock);
    for (struct extent *e = first_behind(m, start); at < end; e = extent_next(e)) {
        if (!e || e->start >= end) {
            missing += end - at;
            break;
        }
        if (e->start > at)
            missing += e->start - at;
        at = e->end;
    }
    spin_unlock(&m->lock);
    return missing;
}

uint64_t extent_map_prefix(struct extent_map *m, uint64_t start, uint64_t end, uint64_t budget)
{
    uint64_t at = start;

    spin_lock(&m->lock);
    for (struct extent *e = first_behind(m, start); at < end; e = extent_next(e)) {
        uint64_t gap_end = !e || e->start > end ? end : e->start < at ? at : e->start;
        if (gap_end - at > budget) {
            at += budget;
            break;
        }
        budget -= gap_end - at;
        at = e ? e->end : end;
        if (!e)
            break;
    }
    spin_unlock(&m->lock);
    return k_min(at, end);
}
