/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory (or file) of the host, granted by the launcher: what the files of this file system
 * share.
 *
 *   hostfs.c        the super block, inodes, handles, attributes
 *   hostfs_dir.c    names: look-ups, listings, changes
 *   hostfs_file.c   data
 *
 * An inode is the host's (device, inode number), so hard links are one file here as well. Nothing
 * that the host says is believed to be well formed: names, types, sizes and lengths are checked
 * where they come in. What it says may be untrue all the same; that is what a grant of the host's
 * files means.
 *
 * Read-only grants are taken to be unchanging: attributes, names and absent names are never asked
 * for twice while they are cached; what fell out of the caches is read anew. Writable grants are
 * shared with the host: attributes and names are asked for again after HOSTFS_FRESH_NS.
 *
 * Handles: an inode's handle at the host is a descriptor there, a scarce thing. The least
 * recently used ones are closed when there are many, and opened again by name when needed; the
 * identity of what is then found is checked.
 *
 * Locks: inode->lock -> node->list_lock -> node->open_lock; hostfs->lock (spin) guards the hash
 * table, handles with their users, and parent and name of nodes.
 */
#ifndef CELLA_KERNEL_FS_HOSTFS_H
#define CELLA_KERNEL_FS_HOSTFS_H

#include "dev/host_ring.h"
#include "fs/memdir.h"
#include "fs/vfs.h"

#define HOSTFS_BUCKETS 4096u /* a power of two */
#define HOSTFS_MAX_DEVS 64
#define HOSTFS_MAX_HANDLES 16384
#define HOSTFS_FRESH_NS (1 * NSEC_PER_SEC)
#define HOSTFS_SIZE_MAX (1ull << 62)

struct hostfs {
    struct super_block *sb;
    uint32_t grant;
    bool read_only;
    spinlock_t lock;
    struct list bucket[HOSTFS_BUCKETS]; /* hostfs_node.hash_link */
    struct list unused; /* hostfs_node.lru_link: open handles without users, oldest first */
    uint32_t nr_handles, max_handles;
    uint64_t dev[HOSTFS_MAX_DEVS]; /* host devices seen; the first is the grant's root's */
    uint32_t nr_devs;
};

struct hostfs_node {
    struct inode *inode;
    struct list hash_link, lru_link;
    uint64_t host_dev, host_ino; /* constant */
    int64_t handle;              /* -1: none now */
    uint32_t users;              /* calls under way with the handle */
    struct mutex open_lock;      /* one opens the handle again */
    struct inode *parent;        /* counted; NULL with name: the root, or the name is gone */
    char *name;                  /* where the handle can be opened again */
    uint32_t name_len;
    bool is_root;
    bool readable; /* the host let us read */

    /* Writable grants. */
    ktime_t attr_until, name_until; /* believed until then */
    struct k_timespec host_mtime;   /* as the host last said */
    bool written_here;              /* a newer time at the host may be our own doing */

    struct mutex list_lock; /* the listing, target */
    struct memdir dir;      /* names, without inodes */
    bool listed;
    uint32_t generation;
    ktime_t listed_until;

    char *target; /* symbolic links: NULL until asked for */
    uint32_t target_len;
    uint8_t xattrs; /* enum hostfs_xattrs */
};

enum hostfs_xattrs { HOSTFS_XATTRS_UNKNOWN, HOSTFS_XATTRS_NONE, HOSTFS_XATTRS_SOME };

static inline struct hostfs_node *hostfs_node(const struct inode *inode)
{
    return inode->priv;
}
static inline struct hostfs *hostfs_of(const struct inode *inode)
{
    return inode->sb->priv;
}

/* ---- hostfs.c ---- */

/* The inode's handle, opened again if need be; keeps it open until hostfs_handle_put. >= 0 or
 * negative errno. */
int64_t hostfs_handle_get(struct inode *inode);
void hostfs_handle_put(struct inode *inode);
/* Drops a handle that belongs to no inode. */
void hostfs_close(struct hostfs *fs, int64_t handle);
/* host_call for the operations that open a handle: makes room and tries once more when the host
 * has no descriptors left. */
int64_t hostfs_call_open(struct hostfs *fs, struct host_call *c);
/* Is it a well-formed answer? */
bool hostfs_stat_valid(const struct cella_host_stat *st);
/* The inode that the host described, found as dir/name. Consumes the handle. 0 with *out counted,
 * -EIO, -ENOMEM. */
int hostfs_inode_get(struct hostfs *fs, const struct cella_host_stat *st, int64_t handle,
                     struct inode *dir, const char *name, size_t len, struct inode **out);
/* Takes over what the host says of the inode; drops cached data when they changed there. locked:
 * the caller holds inode->lock. */
void hostfs_apply_stat(struct inode *inode, const struct cella_host_stat *st, bool locked);
/* Asks the host again if what is known is too old, or in any case (force). 0 or negative errno. */
int hostfs_refresh(struct inode *inode, bool force, bool locked);
/* The inode is reached by dir/name from now on (name NULL: no name is left). */
void hostfs_set_name(struct inode *inode, struct inode *dir, const char *name, size_t len);
uint64_t hostfs_ino(struct hostfs *fs, uint64_t host_dev, uint64_t host_ino);

/* ---- hostfs_dir.c ---- */

extern const struct inode_ops hostfs_ro_ops, hostfs_rw_ops;
extern const struct file_ops hostfs_dir_fops;

int64_t hostfs_getxattr(struct inode *inode, const char *name, void *buf, size_t size);
int64_t hostfs_listxattr(struct inode *inode, char *buf, size_t size);
int hostfs_getattr(struct inode *inode, struct kstat *st);
int hostfs_setattr(struct inode *inode, const struct iattr *attr);

/* ---- hostfs_file.c ---- */

extern const struct file_ops hostfs_ro_file_fops, hostfs_rw_file_fops;
extern const struct page_cache_ops hostfs_ro_page_ops, hostfs_rw_page_ops;

#endif
