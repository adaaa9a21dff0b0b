/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dentry cache: names of directories that were looked up, found or not found, in one hash table
 * keyed by parent and name.
 *
 * One spinlock, dcache_lock, guards it all. A path walk takes it once and goes down as many cached
 * components as there are without touching a count (fs/namei.c); so a walk costs one lock, and a
 * lock held for some tens of nanoseconds.
 *
 * Counts: a dentry in the cache may have count 0; it then stands in the list of unused ones. 0 -> 1
 * and 1 -> 0 happen only under dcache_lock, so a dentry found under the lock can be counted. A
 * dentry outside the cache (deleted, or never cached) is freed when its count falls to 0. Dentries
 * hold their parents, so a directory is freed after its children.
 *
 * Bound: at most DCACHE_MAX dentries stay cached when unused; a new one pushes out the oldest that
 * was not used since it was last looked at. Freeing a dentry may free its inode, which may sleep:
 * that is always done outside the lock.
 */
#include "fs/dcache.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/string.h"

#define DCACHE_MAX 50000u
#define DCACHE_BUCKETS 16384u /* a power of two */
#define RECLAIM_SCAN 32       /* unused dentries looked at for one that is pushed out */

spinlock_t dcache_lock = SPINLOCK_INIT;

/* All under dcache_lock. A chain is linked through hash_link.next; .prev is the predecessor, NULL
 * for the first. */
static struct list *dcache_table[DCACHE_BUCKETS];
static struct list unused =
    LIST_INIT(unused); /* dentry.lru_link, newest first; some may be in use again */
static uint32_t nr_cached;

static struct list **bucket_of(uint32_t hash)
{
    return &dcache_table[hash & (DCACHE_BUCKETS - 1)];
}

/* In the table? The chain's end is NULL, so "not linked" is the node that points to itself. */
static bool dentry_cached(const struct dentry *d)
{
    return d->hash_link.next != &d->hash_link;
}

static void table_insert(struct dentry *d)
{
    struct list **head = bucket_of(d->hash);
    d->hash_link.next = *head;
    d->hash_link.prev = NULL;
    if (*head)
        (*head)->prev = &d->hash_link;
    *head = &d->hash_link;
    list_add(&d->child_link, &d->parent->children);
    nr_cached++;
}

static void table_remove(struct dentry *d)
{
    struct list *next = d->hash_link.next, *prev = d->hash_link.prev;
    if (prev)
        prev->next = next;
    else
        *bucket_of(d->hash) = next;
    if (next)
        next->prev = prev;
    list_init(&d->hash_link);
    list_del(&d->child_link);
    nr_cached--;
}

uint32_t name_hash(const struct dentry *parent, const char *name, size_t len)
{
    uint64_t h = name_hash_start(parent);
    for (size_t i = 0; i < len; i++)
        h = name_hash_byte(h, (unsigned char)name[i]);
    return name_hash_finish(h);
}

struct dentry *dcache_find_locked(struct dentry *parent, const char *name, size_t len,
                                  uint32_t hash)
{
    for (struct list *l = *bucket_of(hash); l; l = l->next) {
        struct dentry *d = list_entry(l, struct dentry, hash_link);
        if (d->hash == hash && d->parent == parent && d->name_len == len &&
            memcmp(d->name, name, len) == 0)
            return d;
    }
    return NULL;
}

struct dentry *dcache_find(struct dentry *parent, const char *name, size_t len, uint32_t hash)
{
    spin_lock(&dcache_lock);
    struct dentry *d = dcache_find_locked(parent, name, len, hash);
    if (d)
        ref_get(&d->ref);
    spin_unlock(&dcache_lock);
    return d;
}

/* ---- life ---- */

static bool name_set(struct dentry *d, const char *name, size_t len)
{
    char *s = d->inline_name;
    if (len >= sizeof(d->inline_name)) {
        s = kmalloc(len + 1);
        if (!s)
            return false;
    }
    memcpy(s, name, len);
    s[len] = 0;
    d->name = s;
    d->name_len = (uint16_t)len;
    return true;
}

struct dentry *dentry_new(struct dentry *parent, const char *name, size_t len, uint32_t hash)
{
    struct dentry *d = kmalloc(sizeof(*d));
    if (!d)
        return NULL;
    if (!name_set(d, name, len)) {
        kfree(d);
        return NULL;
    }
    ref_init(&d->ref, 1);
    d->parent = parent ? parent : d;
    d->inode = NULL;
    list_init(&d->hash_link);
    list_init(&d->lru_link);
    list_init(&d->children);
    list_init(&d->child_link);
    d->hash = hash;
    d->hashed = false;
    d->mounted = false;
    d->referenced = false;
    if (parent)
        dentry_get(parent);
    return d;
}

struct dentry *dentry_new_root(struct inode *inode)
{
    struct dentry *d = dentry_new(NULL, "/", 1, 0);
    if (!d)
        return NULL;
    d->inode = inode;
    d->hashed = true;
    return d;
}

void dentry_get(struct dentry *d)
{
    ref_get(&d->ref);
}

/* Frees a dentry that nothing refers to; returns its parent, whose count the caller must drop, or
 * NULL. */
static struct dentry *dentry_free(struct dentry *d)
{
    struct dentry *parent = d->parent != d ? d->parent : NULL;
    if (d->inode)
        inode_put(d->inode);
    if (d->name != d->inline_name)
        kfree(d->name);
    kfree(d);
    return parent;
}

/* Drops one count of d. Returns d when it is to be freed: it then stands in no list. */
static struct dentry *dentry_drop(struct dentry *d)
{
    int32_t n = ref_read(&d->ref);
    while (n > 1)
        if (__atomic_compare_exchange_n(&d->ref.count, &n, n - 1, true, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED))
            return NULL;
    struct dentry *dead = NULL;
    spin_lock(&dcache_lock);
    bool last = ref_read(&d->ref) == 1;
    if (last)
        ref_init(&d->ref, 0); /* nobody else holds a count to copy, and a look-up needs the lock: no
                                 atomic step */
    else
        last = ref_put(&d->ref);
    if (last) {
        if (!dentry_cached(d)) {
            list_del(&d->lru_link);
            dead = d;
        } else if (list_empty(&d->lru_link)) {
            list_add(&d->lru_link, &unused);
        } else {
            d->referenced = true;
        }
    }
    spin_unlock(&dcache_lock);
    return dead;
}

void dentry_put(struct dentry *d)
{
    /* A loop and no recursion: a chain of deleted directories may be deep. */
    while (d && (d = dentry_drop(d)) != NULL)
        d = dentry_free(d);
}

/* Pushes unused dentries out until the bound holds, within a bounded scan. */
static void dcache_reclaim(void)
{
    for (int scan = 0; scan < RECLAIM_SCAN && READ_ONCE(nr_cached) > DCACHE_MAX; scan++) {
        struct dentry *victim = NULL;
        spin_lock(&dcache_lock);
        if (!list_empty(&unused)) {
            struct dentry *d = list_entry(unused.prev, struct dentry, lru_link);
            list_del(&d->lru_link);
            if (ref_read(&d->ref) != 0) {
                /* In use: its last put brings it back. */
            } else if (d->referenced) {
                d->referenced = false;
                list_add(&d->lru_link, &unused);
            } else {
                table_remove(d);
                victim = d;
            }
        }
        spin_unlock(&dcache_lock);
        if (victim)
            dentry_put(dentry_free(victim));
    }
}

static void dcache_add(struct dentry *d)
{
    spin_lock(&dcache_lock);
    d->hashed = true;
    if (!dentry_cached(d))
        table_insert(d);
    spin_unlock(&dcache_lock);
    if (unlikely(READ_ONCE(nr_cached) > DCACHE_MAX))
        dcache_reclaim();
}

/* ---- look-up and change ---- */

struct dentry *dentry_lookup_locked(struct dentry *parent, const char *name, size_t len,
                                    uint32_t hash)
{
    struct inode *dir = parent->inode, *inode = NULL;
    struct dentry *d;
    if (!(dir->flags & INODE_NO_DCACHE) && (d = dcache_find(parent, name, len, hash)) != NULL) {
        if (!dir->ops->revalidate || dir->ops->revalidate(dir, d->name, len, d->inode))
            return d;
        dentry_unhash(d);
        dentry_put(d);
    }
    if (dir->flags & INODE_DEAD)
        return err_ptr(-ENOENT);
    if (!dir->ops->lookup)
        return err_ptr(-ENOTDIR);
    d = dentry_new(parent, name, len, hash);
    if (!d)
        return err_ptr(-ENOMEM);
    int err = dir->ops->lookup(dir, d->name, len, &inode);
    if (err && err != -ENOENT) {
        dentry_put(d);
        return err_ptr(err);
    }
    if (!err)
        dentry_instantiate(d, inode);
    else if (!(dir->flags & (INODE_NO_NEGATIVE | INODE_NO_DCACHE)))
        dcache_add(d);
    return d;
}

void dentry_instantiate(struct dentry *d, struct inode *inode)
{
    spin_lock(&dcache_lock);
    d->inode = inode;
    d->hashed = true;
    spin_unlock(&dcache_lock);
    if (!(d->parent->inode->flags & INODE_NO_DCACHE))
        dcache_add(d);
}

void dentry_unhash(struct dentry *d)
{
    spin_lock(&dcache_lock);
    d->hashed = false;
    if (dentry_cached(d))
        table_remove(d);
    spin_unlock(&dcache_lock);
}

/* Takes one unused child of d out of the cache and frees it; false when there is none. *deeper: a
 * child that is in use only by children of its own, counted. */
static bool prune_one(struct dentry *d, struct dentry **deeper)
{
    struct dentry *victim = NULL, *c;
    spin_lock(&dcache_lock);
    list_for_each (c, &d->children, child_link) {
        if (ref_read(&c->ref) == 0) {
            victim = c;
            break;
        }
        if (deeper && !*deeper && !list_empty(&c->children)) {
            ref_get(&c->ref);
            *deeper = c;
        }
    }
    if (victim) {
        table_remove(victim);
        list_del(&victim->lru_link);
    }
    spin_unlock(&dcache_lock);
    if (!victim)
        return false;
    dentry_put(dentry_free(victim));
    return true;
}

void dentry_prune_children(struct dentry *d)
{
    while (prune_one(d, NULL))
        ;
}

void dentry_prune_tree(struct dentry *root)
{
    /* Down to a directory without unused leaves, then up again; a directory whose children are gone
     * falls to count 0 and is pruned in its turn. One that stays in use stops the walk below it
     * from being tried twice. */
    for (bool progress = true; progress;) {
        struct dentry *d = root, *deeper = NULL;
        progress = false;
        dentry_get(d);
        for (;;) {
            while (prune_one(d, &deeper)) {
                progress = true;
                if (deeper)
                    dentry_put(deeper);
                deeper = NULL;
            }
            dentry_put(d);
            if (!deeper)
                break;
            d = deeper;
            deeper = NULL;
        }
    }
}

/* Changes place and name under dcache_lock. Takes the count of new_parent, returns the old parent
 * and the old name to be freed. */
static struct dentry *relink_locked(struct dentry *d, struct dentry *new_parent, char *name,
                                    size_t len, char **old_name)
{
    struct dentry *old_parent = d->parent;
    bool cached = dentry_cached(d);
    if (cached)
        table_remove(d);
    *old_name = d->name != d->inline_name ? d->name : NULL;
    if (len < sizeof(d->inline_name)) {
        memmove(d->inline_name, name, len + 1);
        d->name = d->inline_name;
    } else {
        d->name = name;
    }
    d->name_len = (uint16_t)len;
    d->parent = new_parent;
    d->hash = name_hash(new_parent, d->name, len);
    if (cached)
        table_insert(d);
    return old_parent;
}

int dentry_move(struct dentry *d, struct dentry *new_parent, const char *name, size_t len,
                struct dentry *victim)
{
    char *copy = kstrndup(name, len), *old_name;
    if (!copy)
        return -ENOMEM;
    dentry_get(new_parent);
    spin_lock(&dcache_lock);
    if (victim) {
        victim->hashed = false;
        if (dentry_cached(victim))
            table_remove(victim);
    }
    struct dentry *old_parent = relink_locked(d, new_parent, copy, len, &old_name);
    bool copy_unused = d->name != copy;
    spin_unlock(&dcache_lock);
    if (copy_unused)
        kfree(copy);
    kfree(old_name);
    dentry_put(old_parent);
    return 0;
}

int dentry_exchange(struct dentry *a, struct dentry *b)
{
    char *name_a = kstrndup(a->name, a->name_len), *name_b = kstrndup(b->name, b->name_len);
    char *old_a, *old_b;
    if (!name_a || !name_b) {
        kfree(name_a);
        kfree(name_b);
        return -ENOMEM;
    }
    size_t len_a = a->name_len, len_b = b->name_len;
    spin_lock(&dcache_lock);
    struct dentry *parent_a = a->parent, *parent_b = b->parent;
    relink_locked(a, parent_b, name_b, len_b, &old_a);
    relink_locked(b, parent_a, name_a, len_a, &old_b);
    bool free_a = b->name != name_a, free_b = a->name != name_b;
    spin_unlock(&dcache_lock);
    if (free_a)
        kfree(name_a);
    if (free_b)
        kfree(name_b);
    kfree(old_a);
    kfree(old_b);
    return 0;
}

bool dentry_is_ancestor(const struct dentry *above, const struct dentry *d)
{
    bool found = false;
    spin_lock(&dcache_lock);
    for (;; d = d->parent) {
        found = d == above;
        if (found || d->parent == d)
            break;
    }
    spin_unlock(&dcache_lock);
    return found;
}
