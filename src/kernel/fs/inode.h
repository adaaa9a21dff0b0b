/* SPDX-License-Identifier: Apache-2.0 */
/* What the VFS's own files ask of inodes beyond fs/vfs.h: checks by current's credentials, and
 * changes of attributes. */
#ifndef CELLA_KERNEL_FS_INODE_H
#define CELLA_KERNEL_FS_INODE_H

#include "fs/vfs.h"
#include "proc/task.h"

/* capable(), and true for threads of the kernel, which have no credentials. */
static inline bool vfs_capable(int cap)
{
    return !current->cred || capable(cap);
}
static inline kuid_t vfs_fsuid(void)
{
    return current->cred ? current->cred->fsuid : 0;
}
static inline kgid_t vfs_fsgid(void)
{
    return current->cred ? current->cred->fsgid : 0;
}
static inline bool vfs_in_group(kgid_t gid)
{
    return !current->cred || current->cred->fsgid == gid || cred_in_group(current->cred, gid);
}
/* Owner of the inode, or CAP_FOWNER. */
static inline bool inode_owner_or_capable(const struct inode *inode)
{
    return inode->uid == vfs_fsuid() || vfs_capable(CAP_FOWNER_K);
}

/* Changes attributes: takes inode->lock, calls the file system. The caller has checked permissions
 * and that the mount is writable. */
int vfs_setattr(struct inode *inode, struct iattr *attr);
int vfs_setattr_locked(struct inode *inode, struct iattr *attr);
/* Sets the size (bytes) of a regular file: RLIMIT_FSIZE, set-id bits and mtime are seen to; takes
 * inode->lock. 0, -EFBIG, or the file system's error. */
int vfs_truncate(struct inode *inode, uint64_t size);
/* A write or truncation by somebody without CAP_FSETID takes set-user-ID and set-group-ID away.
 * Lock held. */
void inode_drop_privileges_locked(struct inode *inode);
/* The mode without the bits of set-user-ID and set-group-ID that a change of owner clears. */
kmode_t mode_without_setid(kmode_t mode);
/* Is the new size (bytes) allowed by RLIMIT_FSIZE? 0, or -EFBIG after SIGXFSZ. */
int inode_check_size_limit(uint64_t size);
/* A read took place through m: moves atime as the mount says. */
void inode_accessed(struct inode *inode, const struct mount *m);

#endif
