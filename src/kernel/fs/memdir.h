/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of a directory in memory: names, each with the number and type of its inode and,
 * where the directory itself keeps the inode alive, a counted reference to it.
 *
 * Every entry gets a cookie greater than all before it, and keeps it for life. readdir goes by
 * cookie, so that a stream sees each entry that stays exactly once, whatever is created and
 * removed meanwhile.
 *
 * The lock inside guards the table alone; callers serialise changes by inode->lock of the
 * directory.
 */
#ifndef CELLA_KERNEL_FS_MEMDIR_H
#define CELLA_KERNEL_FS_MEMDIR_H

#include "base/rbtree.h"
#include "base/spinlock.h"
#include "fs/vfs.h"

struct mem_entry {
    struct rb_node by_name, by_cookie;
    uint64_t cookie;
    uint64_t ino;
    struct inode *inode;     /* counted; NULL: to be looked up in the backing */
    struct mem_entry *chain; /* while a table is torn down */
    uint32_t hash;
    uint32_t generation; /* of the listing that last showed it */
    uint16_t len;
    uint8_t type; /* DT_* */
    char name[];
};

struct memdir {
    spinlock_t lock;
    struct rb_root names, cookies;
    uint64_t next_cookie;
    uint64_t nr_entries;
    uint64_t parent_ino; /* what ".." shows */
};

void memdir_init(struct memdir *d, uint64_t parent_ino);
/* An entry that is in no table yet, or NULL. inode (may be NULL) is not counted by this. */
struct mem_entry *mem_entry_new(const char *name, size_t len, uint64_t ino, uint8_t type,
                                struct inode *inode);
/* Puts the entry into the table, which owns it from then on; -EEXIST: the name is taken, and the
 * entry is still the caller's. */
int memdir_add(struct memdir *d, struct mem_entry *e);
/* Takes the name out: the entry, which is the caller's (kfree) with its reference to the inode;
 * NULL: no such name. */
struct mem_entry *memdir_remove(struct memdir *d, const char *name, size_t len);
/* What stands at a name: false: nothing. *inode is counted, or NULL for an entry without one. */
bool memdir_find(struct memdir *d, const char *name, size_t len, struct inode **inode);
/* Makes the entry show another inode, whose reference it takes over (inode may be NULL); the old
 * reference, or NULL, is returned in *old. False: no such name. */
bool memdir_replace(struct memdir *d, const char *name, size_t len, uint64_t ino, uint8_t type,
                    struct inode *inode, struct inode **old);
/* For listings that are read again: marks the entry as seen in `generation`. False: no such name.
 * */
bool memdir_mark(struct memdir *d, const char *name, size_t len, uint32_t generation, uint64_t ino,
                 uint8_t type);
/* Drops the entries, all without inodes, that were not marked with `generation`. */
void memdir_drop_unmarked(struct memdir *d, uint32_t generation);
/* Empties the table; the entries come back as a chain that is the caller's. */
struct mem_entry *memdir_take_all(struct memdir *d);
/* Emits ".", ".." and the entries from ctx->pos on. */
int memdir_emit(struct memdir *d, struct dir_context *ctx, uint64_t self_ino);
/* Is it a name that may stand in a directory: 1 to 255 bytes, no '/', no NUL, not "." or ".."? */
bool dir_name_valid(const char *name, size_t len);

static inline uint8_t mode_to_dt(kmode_t mode)
{
    return (uint8_t)((mode & S_IFMT_K) >> 12);
}

#endif
