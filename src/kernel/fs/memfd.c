/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memfd_create, and the fcntl commands of sealing. The file is one of a hidden tmpfs, which keeps
 * the seals with the inode and enforces them under inode->lock; here is what the calls say.
 */
#include "fs/memfd.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/usercopy.h"

enum { MFD_CLOEXEC_K = 1, MFD_ALLOW_SEALING_K = 2, MFD_HUGETLB_K = 4 };
#define MFD_HUGE_SIZE_MASK_K (0x3fu << 26)
#define MEMFD_PREFIX "memfd:"
#define MEMFD_NAME_MAX (NAME_MAX_K - (sizeof(MEMFD_PREFIX) - 1)) /* bytes, without the terminator  \
                                                                  */

int64_t memfd_fcntl(struct file *f, int cmd, uint64_t arg)
{
    if (cmd == F_GET_SEALS_K)
        return tmpfs_get_seals(f->inode);
    if (cmd != F_ADD_SEALS_K || arg > UINT32_MAX)
        return -EINVAL;
    if (!(f->mode & FMODE_WRITE))
        return -EPERM;
    return tmpfs_add_seals(f->inode, (uint32_t)arg);
}

int64_t sys_memfd_create(uaddr_t user_name, unsigned flags)
{
    const unsigned known = MFD_CLOEXEC_K | MFD_ALLOW_SEALING_K | MFD_HUGETLB_K;
    if (flags & ~(flags & MFD_HUGETLB_K ? known | MFD_HUGE_SIZE_MASK_K : known))
        return -EINVAL;
    char *name = kmalloc(NAME_MAX_K + 1);
    if (!name)
        return -ENOMEM;
    int prefix = k_snprintf(name, NAME_MAX_K + 1, MEMFD_PREFIX);
    long len = strncpy_from_user(name + prefix, user_name, MEMFD_NAME_MAX + 1);
    int64_t r = len == -ENAMETOOLONG ? -EINVAL : len;
    if (r >= 0 && (flags & MFD_HUGETLB_K))
        r = -ENOSYS; /* as a Linux without hugetlbfs */
    if (r >= 0) {
        struct file *f = tmpfs_file_create(name, 0, O_RDWR_K | O_LARGEFILE_K);
        if (is_err(f)) {
            r = ptr_err(f);
        } else {
            if (flags & MFD_ALLOW_SEALING_K)
                tmpfs_set_seals(f->inode, 0);
            r = fd_install(f, 0, flags & MFD_CLOEXEC_K);
        }
    }
    kfree(name);
    return r;
}
