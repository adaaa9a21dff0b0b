/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the VFS tells of itself: calls at the places where something happens to a file. They look at
 * one word and go on when nobody watches anything. None may be called with a spinlock held.
 */
#ifndef CELLA_KERNEL_FS_FSNOTIFY_H
#define CELLA_KERNEL_FS_FSNOTIFY_H

#include "fs/vfs.h"

/* inotify(7) */
enum {
    IN_ACCESS_K = 1,
    IN_MODIFY_K = 2,
    IN_ATTRIB_K = 4,
    IN_CLOSE_WRITE_K = 8,
    IN_CLOSE_NOWRITE_K = 0x10,
    IN_OPEN_K = 0x20,
    IN_MOVED_FROM_K = 0x40,
    IN_MOVED_TO_K = 0x80,
    IN_CREATE_K = 0x100,
    IN_DELETE_K = 0x200,
    IN_DELETE_SELF_K = 0x400,
    IN_MOVE_SELF_K = 0x800,
    IN_ALL_EVENTS_K = 0xfff,
};

#define INOTIFY_MAX_QUEUED 16384u
#define INOTIFY_MAX_INSTANCES 128u /* of a user */
#define INOTIFY_MAX_WATCHES 65536u /* of a user */

extern uint32_t fsnotify_nr_watches;

static inline bool fsnotify_watched(void)
{
    return unlikely(__atomic_load_n(&fsnotify_nr_watches, __ATOMIC_RELAXED) != 0);
}

/* ---- fs/inotify.c ---- */

void fsnotify_tell_inode(struct inode *inode, uint32_t mask);
void fsnotify_tell_name(struct inode *dir, const char *name, uint32_t mask, bool is_dir,
                        uint32_t cookie);
void fsnotify_tell_dentry(struct dentry *d, uint32_t mask);
uint32_t fsnotify_cookie(void);
/* One reference of a file without names goes; the last but the watches' means that the file goes.
 * True: it was dropped. */
bool fsnotify_put(struct inode *inode);
/* The file system goes: so do its watches. */
void fsnotify_unmount(struct super_block *sb);

/* ---- the hooks ---- */

/* Something happened to the file itself. */
static inline void fsnotify_inode(struct inode *inode, uint32_t mask)
{
    if (fsnotify_watched())
        fsnotify_tell_inode(inode, mask);
}

/* Something happened to the file by that name: its watches and its directory's are told. */
static inline void fsnotify_dentry(struct dentry *d, uint32_t mask)
{
    if (fsnotify_watched())
        fsnotify_tell_dentry(d, mask);
}

static inline void fsnotify_file(struct file *f, uint32_t mask)
{
    if (fsnotify_watched() && !(f->mode & FMODE_PATH))
        fsnotify_tell_dentry(f->path.dentry, mask);
}

/* A name in the directory came or went. */
static inline void fsnotify_name(struct inode *dir, const char *name, uint32_t mask, bool is_dir)
{
    if (fsnotify_watched())
        fsnotify_tell_name(dir, name, mask, is_dir, 0);
}

static inline void fsnotify_change(struct dentry *d, uint32_t valid)
{
    uint32_t mask = valid & (ATTR_MODE | ATTR_UID | ATTR_GID) ? IN_ATTRIB_K : 0;
    if ((valid & ATTR_ATIME) && (valid & ATTR_MTIME))
        mask |= IN_ATTRIB_K;
    else if (valid & (ATTR_ATIME | ATTR_MTIME))
        mask |= valid & ATTR_ATIME ? IN_ACCESS_K : IN_MODIFY_K;
    if (mask)
        fsnotify_dentry(d, mask);
}

#endif
