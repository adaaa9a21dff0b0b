/* SPDX-License-Identifier: Apache-2.0 */
/* The mount tree as the path walk uses it. */
#ifndef CELLA_KERNEL_FS_MOUNT_H
#define CELLA_KERNEL_FS_MOUNT_H

#include "base/errno.h"
#include "fs/dcache.h"
#include "fs/vfs.h"

/* What is mounted on d in m, or NULL; not counted. dcache_lock held. */
struct mount *mount_find_locked(const struct mount *m, const struct dentry *d);
/* Goes from a mountpoint to the root of what is mounted there, through all layers. True when it
 * went anywhere. dcache_lock held. */
static inline bool mount_descend_locked(struct mount **m, struct dentry **d)
{
    bool moved = false;
    while (unlikely((*d)->mounted)) {
        struct mount *above = mount_find_locked(*m, *d);
        if (!above)
            break;
        *m = above;
        *d = above->root;
        moved = true;
    }
    return moved;
}
void mount_get(struct mount *m);
void mount_put(struct mount *m);
/* A mount of sb that stands in no tree, with ref 1: of the keep's own file systems. It takes a
 * reference of its own. NULL: no memory. */
struct mount *mount_internal(struct super_block *sb);
/* -EROFS when nothing may be changed through m. */
static inline int mount_writable(const struct mount *m)
{
    return READ_ONCE(m->flags) & MS_RDONLY_K ? -EROFS : 0;
}

#endif
