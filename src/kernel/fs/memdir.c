/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directory tables: one tree by hash and name for look-ups, one by cookie for readdir.
 */
#include "fs/memdir.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"

/* Cookies 0 and 1 stand for "." and "..". */
#define FIRST_COOKIE 2

void memdir_init(struct memdir *d, uint64_t parent_ino)
{
    spin_init(&d->lock);
    d->names.node = NULL;
    d->cookies.node = NULL;
    d->next_cookie = FIRST_COOKIE;
    d->nr_entries = 0;
    d->parent_ino = parent_ino;
}

bool dir_name_valid(const char *name, size_t len)
{
    if (len == 0 || len > NAME_MAX_K)
        return false;
    if (memchr(name, '/', len) || memchr(name, 0, len))
        return false;
    return !(name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')));
}

static uint32_t name_hash(const char *name, size_t len)
{
    uint32_t h = 2166136261u; /* FNV-1a */

    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)name[i]) * 16777619u;
    return h;
}

static int entry_compare(uint32_t hash, const char *name, size_t len, const struct mem_entry *e)
{
    if (hash != e->hash)
        return hash < e->hash ? -1 : 1;
    if (len != e->len)
        return len < e->len ? -1 : 1;
    return memcmp(name, e->name, len);
}

struct mem_entry *mem_entry_new(const char *name, size_t len, uint64_t ino, uint8_t type,
                                struct inode *inode)
{
    struct mem_entry *e = kmalloc(sizeof(*e) + len + 1);

    if (!e)
        return NULL;
    memset(e, 0, sizeof(*e));
    e->ino = ino;
    e->type = type;
    e->inode = inode;
    e->len = (uint16_t)len;
    e->hash = name_hash(name, len);
    memcpy(e->name, name, len);
    e->name[len] = 0;
    return e;
}

static struct mem_entry *find_locked(struct memdir *d, const char *name, size_t len)
{
    uint32_t hash = name_hash(name, len);
    struct rb_node *n = d->names.node;

    while (n) {
        struct mem_entry *e = rb_entry(n, struct mem_entry, by_name);
        int c = entry_compare(hash, name, len, e);
        if (c == 0)
            return e;
        n = c < 0 ? n->left : n->right;
    }
    return NULL;
}

int memdir_add(struct memdir *d, struct mem_entry *e)
{
    spin_lock(&d->lock);
    struct rb_node **link = &d->names.node, *parent = NULL;
    while (*link) {
        parent = *link;
        int c =
            entry_compare(e->hash, e->name, e->len, rb_entry(parent, struct mem_entry, by_name));
        if (c == 0) {
            spin_unlock(&d->lock);
            return -EEXIST;
        }
        link = c < 0 ? &parent->left : &parent->right;
    }
    rb_link(&e->by_name, parent, link);
    rb_insert_fixup(&d->names, &e->by_name);

    e->cookie = d->next_cookie++;
    link = &d->cookies.node;
    parent = NULL;
    while (*link) { /* always the last one */
        parent = *link;
        link = &parent->right;
    }
    rb_link(&e->by_cookie, parent, link);
    rb_insert_fixup(&d->cookies, &e->by_cookie);
    d->nr_entries++;
    spin_unlock(&d->lock);
    return 0;
}

static void erase_locked(struct memdir *d, struct mem_entry *e)
{
    rb_erase(&d->names, &e->by_name);
    rb_erase(&d->cookies, &e->by_cookie);
    d->nr_entries--;
}

struct mem_entry *memdir_remove(struct memdir *d, const char *name, size_t len)
{
    spin_lock(&d->lock);
    struct mem_entry *e = find_locked(d, name, len);
    if (e)
        erase_locked(d, e);
    spin_unlock(&d->lock);
    return e;
}

bool memdir_find(struct memdir *d, const char *name, size_t len, struct inode **inode)
{
    spin_lock(&d->lock);
    struct mem_entry *e = find_locked(d, name, len);
    *inode = e ? e->inode : NULL;
    if (*inode)
        inode_get(*inode);
    spin_unlock(&d->lock);
    return e != NULL;
}

bool memdir_replace(struct memdir *d, const char *name, size_t len, uint64_t ino, uint8_t type,
                    struct inode *inode, struct inode **old)
{
    *old = NULL;
    spin_lock(&d->lock);
    struct mem_entry *e = find_locked(d, name, len);
    if (e) {
        *old = e->inode;
        e->inode = inode;
        e->ino = ino;
        e->type = type;
    }
    spin_unlock(&d->lock);
    return e != NULL;
}

bool memdir_mark(struct memdir *d, const char *name, size_t len, uint32_t generation, uint64_t ino,
                 uint8_t type)
{
    spin_lock(&d->lock);
    struct mem_entry *e = find_locked(d, name, len);
    if (e) {
        e->generation = generation;
        e->ino = ino;
        e->type = type;
    }
    spin_unlock(&d->lock);
    return e != NULL;
}

void memdir_drop_unmarked(struct memdir *d, uint32_t generation)
{
    spin_lock(&d->lock);
    struct rb_node *next;
    for (struct rb_node *n = rb_first(&d->cookies); n; n = next) {
        struct mem_entry *e = rb_entry(n, struct mem_entry, by_cookie);
        next = rb_next(n);
        if (e->generation != generation) {
            erase_locked(d, e);
            kfree(e);
        }
    }
    spin_unlock(&d->lock);
}

struct mem_entry *memdir_take_all(struct memdir *d)
{
    struct mem_entry *chain = NULL;

    spin_lock(&d->lock);
    for (struct rb_node *n = rb_first(&d->cookies); n; n = rb_next(n)) {
        struct mem_entry *e = rb_entry(n, struct mem_entry, by_cookie);
        e->chain = chain;
        chain = e;
    }
    d->names.node = NULL;
    d->cookies.node = NULL;
    d->nr_entries = 0;
    spin_unlock(&d->lock);
    return chain;
}

/* The entry with the least cookie >= pos. */
static struct mem_entry *first_from(struct memdir *d, uint64_t pos)
{
    struct rb_node *n = d->cookies.node;
    struct mem_entry *best = NULL;

    while (n) {
        struct mem_entry *e = rb_entry(n, struct mem_entry, by_cookie);
        if (e->cookie >= pos) {
            best = e;
            n = n->left;
        } else {
            n = n->right;
        }
    }
    return best;
}

int memdir_emit(struct memdir *d, struct dir_context *ctx, uint64_t self_ino)
{
    char name[NAME_MAX_K + 1];

    if (ctx->pos == 0) {
        if (!ctx->emit(ctx, ".", 1, 1, self_ino, DT_DIR_K))
            return 0;
        ctx->pos = 1;
    }
    if (ctx->pos == 1) {
        if (!ctx->emit(ctx, "..", 2, FIRST_COOKIE, READ_ONCE(d->parent_ino), DT_DIR_K))
            return 0;
        ctx->pos = FIRST_COOKIE;
    }
    for (;;) {
        /* emit may sleep, so it gets a copy and the lock is not held over it. */
        spin_lock(&d->lock);
        struct mem_entry *e = first_from(d, ctx->pos);
        if (!e) {
            spin_unlock(&d->lock);
            return 0;
        }
        size_t len = e->len;
        uint64_t cookie = e->cookie, ino = e->ino;
        uint8_t type = e->type;
        memcpy(name, e->name, len + 1);
        spin_unlock(&d->lock);
        if (!ctx->emit(ctx, name, len, cookie + 1, ino, type))
            return 0;
        ctx->pos = cookie + 1;
    }
}
