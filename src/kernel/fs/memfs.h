/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tmpfs and the overlay share: inodes whose names, attributes and data live in the keep's
 * memory.
 *
 * tmpfs is just that. An overlay's inodes begin as pictures of inodes of its lower file system;
 * it tells the shared code by struct mem_fs_ops when a directory's table must be filled from
 * below, and is told before anything changes.
 *
 * Locks: those of the VFS (inode->lock for changes), and below them the spinlocks inside of the
 * tables. File operations called without inode->lock (write, fallocate) take it themselves.
 */
#ifndef CELLA_KERNEL_FS_MEMFS_H
#define CELLA_KERNEL_FS_MEMFS_H

#include "fs/extent_map.h"
#include "fs/memdir.h"
#include "fs/vfs.h"
#include "fs/xattr_set.h"

enum {
    F_SEAL_SEAL_K = 1,
    F_SEAL_SHRINK_K = 2,
    F_SEAL_GROW_K = 4,
    F_SEAL_WRITE_K = 8,
    F_SEAL_FUTURE_WRITE_K = 16,
    F_SEAL_EXEC_K = 32
};

#define MEM_FILE_SIZE_MAX INT64_MAX

/* inode->priv; file systems with more to keep put it at the start of their own structure. */
struct mem_node {
    union {
        struct memdir dir; /* directories */
        struct {           /* regular files */
            /* Pages that hold data; the others read as zeros. Changed under inode->lock. */
            struct extent_map data;
            uint32_t seals;
            /* Was mapped shared and writable: pages may change unseen, so all counts as data. */
            bool mapped_writable;
        } file;
        char *target; /* symbolic links; kfree'd with the node */
    };
    struct xattr_set xattrs;
};

struct mem_fs_ops {
    /* Makes the table of dir complete. 0 or negative errno. Called with or without dir->lock.
     * NULL: it always is. */
    int (*fill_dir)(struct inode *dir);
    /* inode is about to change (names in it, attributes, data): it must not be forgotten any
     * more. 0 or negative errno. NULL: nothing. */
    int (*own)(struct inode *inode);
    /* The last name of inode is gone. NULL: nothing. */
    void (*gone)(struct inode *inode);
    /* Pages [first, end) will not be read from below any more. 0 or -ENOMEM. NULL: nothing. */
    int (*detach_pages)(struct inode *inode, uint64_t first, uint64_t end);
    /* The file was cut to new_size. */
    void (*truncated)(struct inode *inode, uint64_t new_size);
    /* Makes the set of extended attributes complete. 0 or negative errno. NULL: it always is. */
    int (*fill_xattrs)(struct inode *inode);
};

/* sb->priv, or the start of it */
struct mem_fs {
    const struct mem_fs_ops *ops;
    const struct inode_ops *inode_ops;
    const struct file_ops *dir_fops, *file_fops;
    size_t node_size;
    uint64_t max_pages;  /* 0: as much as the keep has */
    uint64_t used_pages; /* atomic */
    uint64_t nr_inodes;  /* atomic */
};

static inline struct mem_node *mem_node(const struct inode *inode)
{
    return inode->priv;
}
static inline struct mem_fs *mem_fs(const struct inode *inode)
{
    return inode->sb->priv;
}
static inline uint64_t bytes_to_pages(uint64_t bytes)
{
    return (bytes >> PAGE_SHIFT) + ((bytes & (PAGE_SIZE - 1)) != 0);
}

/* ---- fs/mem_node.c ---- */

/* An inode with its node, of the type that mode says, without a name; NULL: no memory. */
struct inode *mem_inode_new(struct super_block *sb, kmode_t mode, uint64_t rdev, kuid_t uid,
                            kgid_t gid);
/* Frees the node; for super_ops.evict. */
void mem_node_free(struct inode *inode);
/* inode_ops; all as their contracts in fs/vfs.h say. */
int mem_lookup(struct inode *dir, const char *name, size_t len, struct inode **out);
int mem_create(struct inode *dir, const char *name, size_t len, kmode_t mode, uint64_t rdev,
               kuid_t uid, kgid_t gid, struct inode **out);
int mem_symlink(struct inode *dir, const char *name, size_t len, const char *target, kuid_t uid,
                kgid_t gid, struct inode **out);
int mem_link(struct inode *dir, const char *name, size_t len, struct inode *target);
int mem_unlink(struct inode *dir, const char *name, size_t len, struct inode *victim);
int mem_rmdir(struct inode *dir, const char *name, size_t len, struct inode *victim);
int mem_rename(struct inode *old_dir, const char *old_name, size_t old_len, struct inode *moved,
               struct inode *new_dir, const char *new_name, size_t new_len, struct inode *victim,
               unsigned flags);
int64_t mem_readlink(struct inode *inode, char *buf, size_t size);
int mem_setattr(struct inode *inode, const struct iattr *attr);
int mem_tmpfile(struct inode *dir, kmode_t mode, kuid_t uid, kgid_t gid, struct inode **out);
int64_t mem_getxattr(struct inode *inode, const char *name, void *buf, size_t size);
int mem_setxattr(struct inode *inode, const char *name, const void *value, size_t size, int flags);
int64_t mem_listxattr(struct inode *inode, char *buf, size_t size);
int mem_removexattr(struct inode *inode, const char *name);
/* super_ops.statfs with the file system's magic number. */
int mem_statfs(struct super_block *sb, struct k_statfs *st, int64_t magic);

/* ---- fs/mem_file.c ---- */

extern const struct file_ops mem_dir_fops, mem_file_fops;
/* FIFOs, sockets and device nodes: opening them is the VFS's; where it is not, -ENXIO. */
extern const struct file_ops special_fops;
/* Counts pages [first, end) as data of the file. -ENOSPC, -ENOMEM; force: may go over the limit. */
int mem_charge(struct inode *inode, uint64_t first, uint64_t end, bool force);
/* The opposite. */
int mem_uncharge(struct inode *inode, uint64_t first, uint64_t end);
/* Sets the size of a regular file, with seals checked; inode->lock held. 0 or negative errno. */
int mem_resize(struct inode *inode, uint64_t new_size);
/* file_ops of regular files, for file systems that have some of their own. */
int64_t mem_file_read(struct file *f, struct uio *u, uint64_t *pos);
int64_t mem_file_write(struct file *f, struct uio *u, uint64_t *pos);
int64_t mem_file_lseek(struct file *f, int64_t off, int whence);
int mem_file_fallocate(struct file *f, int mode, uint64_t off, uint64_t len);
struct inode *mem_file_mmap(struct file *f, int prot, int flags);

#endif
