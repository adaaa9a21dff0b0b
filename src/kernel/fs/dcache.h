/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dentry cache as the path walk and the directory calls use it. dcache_lock guards the hash
 * table, the tree of dentries (names, parents, children), what is mounted where, and the transition
 * of a dentry's count between 0 and 1.
 */
#ifndef CELLA_KERNEL_FS_DCACHE_H
#define CELLA_KERNEL_FS_DCACHE_H

#include "base/spinlock.h"
#include "fs/vfs.h"

extern spinlock_t dcache_lock;

/* The hash of a name in a directory: start, one step a byte, finish. */
static inline uint64_t name_hash_start(const struct dentry *parent)
{
    return (uint64_t)(uintptr_t)parent >> 4;
}
static inline uint64_t name_hash_byte(uint64_t h, unsigned char c)
{
    return (h ^ c) * 0x9e3779b97f4a7c15ull;
}
static inline uint32_t name_hash_finish(uint64_t h)
{
    return (uint32_t)(h >> 32) ^ (uint32_t)h >> 16;
}
uint32_t name_hash(const struct dentry *parent, const char *name, size_t len);

/* The cached dentry of that name, negative ones too, or NULL; not counted. dcache_lock held. */
struct dentry *dcache_find_locked(struct dentry *parent, const char *name, size_t len,
                                  uint32_t hash);
/* The same, counted, under the lock. */
struct dentry *dcache_find(struct dentry *parent, const char *name, size_t len, uint32_t hash);

/* The child of a directory whose inode->lock the caller holds: from the cache, else asked of the
 * file system. Counted, possibly negative, or err_ptr. A child of a directory that is not cached
 * (INODE_NO_DCACHE) is a dentry of the caller's own. */
struct dentry *dentry_lookup_locked(struct dentry *parent, const char *name, size_t len,
                                    uint32_t hash);

/* A dentry outside the cache, ref 1, negative, NULL: no memory. hashed is false. */
struct dentry *dentry_new(struct dentry *parent, const char *name, size_t len, uint32_t hash);
/* Gives a negative dentry its inode (the reference is taken over) and makes it reachable by name.
 * Parent's inode->lock held. */
void dentry_instantiate(struct dentry *d, struct inode *inode);
/* The name is gone: no look-up finds d any more. */
void dentry_unhash(struct dentry *d);
/* Takes cached negative and unused children out; of a directory that was removed. */
void dentry_prune_children(struct dentry *d);
/* Takes everything below root that is not in use out of the cache; for file systems that go away.
 */
void dentry_prune_tree(struct dentry *root);
/* d now stands at new_parent/name; what stood there (may be NULL) is gone. Both parents'
 * inode->lock held. -ENOMEM changes nothing. */
int dentry_move(struct dentry *d, struct dentry *new_parent, const char *name, size_t len,
                struct dentry *victim);
/* The two swap places. */
int dentry_exchange(struct dentry *a, struct dentry *b);
/* Is `above` d itself or one of its ancestors? */
bool dentry_is_ancestor(const struct dentry *above, const struct dentry *d);

#endif
