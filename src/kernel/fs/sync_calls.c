/* SPDX-License-Identifier: Apache-2.0 */
/* Calls about where a file's data lie: fsync and its kin, fallocate, readahead and advice. */
#include "base/errno.h"
#include "fs/files.h"
#include "fs/fsnotify.h"
#include "fs/inode.h"

enum {
    FALLOC_KEEP_SIZE_K = 1,
    FALLOC_PUNCH_HOLE_K = 2,
    FALLOC_COLLAPSE_RANGE_K = 8,
    FALLOC_ZERO_RANGE_K = 16,
    FALLOC_INSERT_RANGE_K = 32,
    FALLOC_UNSHARE_RANGE_K = 64
};
#define FALLOC_KNOWN                                                                               \
    (FALLOC_KEEP_SIZE_K | FALLOC_PUNCH_HOLE_K | FALLOC_COLLAPSE_RANGE_K | FALLOC_ZERO_RANGE_K |    \
     FALLOC_INSERT_RANGE_K | FALLOC_UNSHARE_RANGE_K)
enum {
    ADVICE_NORMAL = 0,
    ADVICE_RANDOM,
    ADVICE_SEQUENTIAL,
    ADVICE_WILLNEED,
    ADVICE_DONTNEED,
    ADVICE_NOREUSE
};

#define WILLNEED_MAX (4u << 20) /* most bytes that one piece of advice brings in */

static int sync_file(struct file *f, bool data_only)
{
    if (f->ops->fsync)
        return f->ops->fsync(f, data_only);
    return S_ISREG_K(f->inode->mode) || S_ISDIR_K(f->inode->mode) ? 0 : -EINVAL;
}

static int64_t sync_fd(int fd, bool data_only)
{
    FD_FILE(f, fd);
    if (!f)
        return -EBADF;
    return sync_file(f, data_only);
}

int64_t sys_fsync(int fd)
{
    return sync_fd(fd, false);
}

int64_t sys_fdatasync(int fd)
{
    return sync_fd(fd, true);
}

static int sync_super(struct super_block *sb)
{
    return sb->ops && sb->ops->sync ? sb->ops->sync(sb) : 0;
}

static int sync_mount(struct mount *m, void *arg)
{
    sync_super(m->sb);
    return 0;
}

int64_t sys_sync(void)
{
    mount_for_each(sync_mount, NULL);
    return 0;
}

int64_t sys_syncfs(int fd)
{
    FD_FILE(f, fd);
    if (!f)
        return -EBADF;
    return sync_super(f->inode->sb);
}

int64_t sys_sync_file_range(int fd, int64_t off, int64_t len, uint32_t flags)
{
    if ((flags & ~7u) || off < 0 || len < 0 || (int64_t)((uint64_t)off + (uint64_t)len) < 0)
        return -EINVAL;
    FD_FILE(f, fd);
    if (!f)
        return -EBADF;
    int err = f->mode & FMODE_STREAM ? -ESPIPE : 0;
    if (!err && flags)
        err = sync_file(f, true);
    return err;
}

static int do_fallocate(struct file *f, int mode, int64_t off, int64_t len)
{
    const struct inode *inode = f->inode;
    int kind = mode & ~FALLOC_KEEP_SIZE_K;
    if (off < 0 || len <= 0)
        return -EINVAL;
    if (mode & ~FALLOC_KNOWN)
        return -EOPNOTSUPP;
    /* One thing at a time; a hole never changes the size, which the caller has to know. */
    if ((kind & (kind - 1)) || (kind == FALLOC_PUNCH_HOLE_K && !(mode & FALLOC_KEEP_SIZE_K)))
        return -EOPNOTSUPP;
    if ((kind == FALLOC_COLLAPSE_RANGE_K || kind == FALLOC_INSERT_RANGE_K) &&
        (mode & FALLOC_KEEP_SIZE_K))
        return -EINVAL;
    if (!(f->mode & FMODE_WRITE))
        return -EBADF;
    if (S_ISFIFO_K(inode->mode))
        return -ESPIPE;
    if (S_ISDIR_K(inode->mode))
        return -EISDIR;
    if (!S_ISREG_K(inode->mode))
        return -ENODEV;
    uint64_t end = (uint64_t)off + (uint64_t)len;
    if ((int64_t)end < 0)
        return -EFBIG;
    if (!f->ops->fallocate)
        return -EOPNOTSUPP;
    if (!(mode & FALLOC_KEEP_SIZE_K) && end > inode->size) {
        int err = inode_check_size_limit(end);
        if (err)
            return err;
    }
    return f->ops->fallocate(f, mode, (uint64_t)off, (uint64_t)len);
}

int64_t sys_fallocate(int fd, int mode, int64_t off, int64_t len)
{
    FD_FILE(f, fd);
    if (!f)
        return -EBADF;
    int err = do_fallocate(f, mode, off, len);
    if (!err)
        fsnotify_file(f, IN_MODIFY_K);
    return err;
}

/* Brings a range of the file into its page cache; that it may fail is part of what advice is. */
static void bring_in(struct file *f, uint64_t off, uint64_t len)
{
    struct inode *inode = f->inode;
    uint64_t size = READ_ONCE(inode->size);
    if (!inode->pages.inode || !inode->pages.ops || off >= size)
        return;
    len = k_min(k_min(len ? len : size, size - off), (uint64_t)WILLNEED_MAX);
    (void)page_cache_fill(&inode->pages, off, len);
}

int64_t sys_readahead(int fd, int64_t off, uint64_t len)
{
    FD_FILE(f, fd);
    if (!f)
        return -EBADF;
    int err = 0;
    if (!(f->mode & FMODE_READ))
        err = -EBADF;
    else if (!S_ISREG_K(f->inode->mode) || off < 0)
        err = -EINVAL;
    else if (len)
        bring_in(f, (uint64_t)off, len);
    return err;
}

int64_t sys_fadvise64(int fd, int64_t off, int64_t len, int advice)
{
    FD_FILE(f, fd);
    if (!f)
        return -EBADF;
    int err = 0;
    if (f->mode & FMODE_STREAM)
        err = -ESPIPE;
    else if (len < 0 || advice < ADVICE_NORMAL || advice > ADVICE_NOREUSE)
        err = -EINVAL;
    else if (advice == ADVICE_WILLNEED && off >= 0)
        bring_in(f, (uint64_t)off, (uint64_t)len);
    return err;
}
