/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file system of /dev: a tmpfs that is born with the keep's devices in it. What stands behind
 * their numbers is fs/devices.h's. The workload may make and remove names in it, as in any tmpfs.
 */
#include "base/errno.h"
#include "base/string.h"
#include "fs/vfs.h"

struct dev_entry {
    const char *name;
    kmode_t mode;
    uint64_t rdev;
    const char *target; /* symbolic links */
};

static const struct dev_entry entries[] = {
    {"null", S_IFCHR_K | 0666, MKDEV_K(1, 3), NULL},
    {"zero", S_IFCHR_K | 0666, MKDEV_K(1, 5), NULL},
    {"full", S_IFCHR_K | 0666, MKDEV_K(1, 7), NULL},
    {"random", S_IFCHR_K | 0666, MKDEV_K(1, 8), NULL},
    {"urandom", S_IFCHR_K | 0666, MKDEV_K(1, 9), NULL},
    {"tty", S_IFCHR_K | 0666, MKDEV_K(5, 0), NULL},
    {"ptmx", S_IFCHR_K | 0666, MKDEV_K(5, 2), NULL},
    {"console", S_IFCHR_K | 0600, MKDEV_K(5, 1), NULL},
    {"fd", S_IFLNK_K, 0, "/proc/self/fd"},
    {"stdin", S_IFLNK_K, 0, "/proc/self/fd/0"},
    {"stdout", S_IFLNK_K, 0, "/proc/self/fd/1"},
    {"stderr", S_IFLNK_K, 0, "/proc/self/fd/2"},
    {"shm", S_IFDIR_K | S_ISVTX_K | 0777, 0, NULL},
    {"pts", S_IFDIR_K | 0755, 0, NULL},
};

static int add_entry(struct inode *root, const struct dev_entry *e)
{
    size_t len = strlen(e->name);
    struct inode *inode;
    int err = e->target ? root->ops->symlink(root, e->name, len, e->target, 0, 0, &inode)
                        : root->ops->create(root, e->name, len, e->mode, e->rdev, 0, 0, &inode);
    if (!err)
        inode_put(inode);
    return err;
}

struct super_block *devfs_create(void)
{
    struct super_block *sb = tmpfs_create(0755, 0);
    if (is_err(sb))
        return sb;
    sb->fs_type = "devtmpfs";
    for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
        int err = add_entry(sb->root->inode, &entries[i]);
        if (err) {
            super_put(sb);
            return err_ptr(err);
        }
    }
    return sb;
}
