/* SPDX-License-Identifier: Apache-2.0 */
/* The calls that tell of files and file systems: stat, lstat, fstat, newfstatat, statx, statfs,
 * fstatfs. */
#include "base/string.h"
#include "base/usercopy.h"
#include "fs/files.h"
#include "fs/namei.h"

/* struct stat of x86-64 */
struct k_stat {
    uint64_t st_dev, st_ino, st_nlink;
    uint32_t st_mode, st_uid, st_gid, pad0;
    uint64_t st_rdev;
    int64_t st_size, st_blksize, st_blocks;
    uint64_t st_atime, st_atime_nsec, st_mtime, st_mtime_nsec, st_ctime, st_ctime_nsec;
    int64_t unused[3];
};
_Static_assert(sizeof(struct k_stat) == 144, "struct stat");

struct k_statx_timestamp {
    int64_t sec;
    uint32_t nsec;
    int32_t pad;
};
/* struct statx */
struct k_statx {
    uint32_t mask, blksize;
    uint64_t attributes;
    uint32_t nlink, uid, gid;
    uint16_t mode, pad0;
    uint64_t ino, size, blocks, attributes_mask;
    struct k_statx_timestamp atime, btime, ctime, mtime;
    uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
    uint64_t mnt_id;
    uint32_t dio_mem_align, dio_offset_align;
    uint64_t spare[12];
};
_Static_assert(sizeof(struct k_statx) == 256, "struct statx");

enum {
    STATX_BASIC_STATS_K = 0x7ff,
    STATX_BTIME_K = 0x800,
    STATX_MNT_ID_K = 0x1000,
    AT_STATX_SYNC_TYPE_K = 0x6000
};
#define STATX_RESERVED_K 0x80000000u
#define STATX_ATTR_MOUNT_ROOT_K 0x2000u

enum {
    ST_RDONLY_K = 1,
    ST_NOSUID_K = 2,
    ST_NODEV_K = 4,
    ST_NOEXEC_K = 8,
    ST_VALID_K = 0x20,
    ST_NOATIME_K = 0x400,
    ST_NODIRATIME_K = 0x800,
    ST_RELATIME_K = 0x1000
};

static uint32_t dev_major(uint64_t dev)
{
    return (uint32_t)(dev >> 8) & 0xfff;
}
static uint32_t dev_minor(uint64_t dev)
{
    return (uint32_t)(dev & 0xff) | ((uint32_t)(dev >> 12) & ~0xffu);
}

static int stat_to_user(const struct kstat *st, uaddr_t buf)
{
    struct k_stat k = {
        .st_dev = st->dev,
        .st_ino = st->ino,
        .st_nlink = st->nlink,
        .st_mode = st->mode,
        .st_uid = st->uid,
        .st_gid = st->gid,
        .st_rdev = st->rdev,
        .st_size = (int64_t)st->size,
        .st_blksize = st->blksize,
        .st_blocks = (int64_t)st->blocks,
        .st_atime = (uint64_t)st->atime.sec,
        .st_atime_nsec = (uint64_t)st->atime.nsec,
        .st_mtime = (uint64_t)st->mtime.sec,
        .st_mtime_nsec = (uint64_t)st->mtime.nsec,
        .st_ctime = (uint64_t)st->ctime.sec,
        .st_ctime_nsec = (uint64_t)st->ctime.nsec,
    };
    return copy_to_user(buf, &k, sizeof(k));
}

/* What the flags of an *at call make of a name. A descriptor with an empty name needs no walk. */
static int getattr_at(int dirfd, uaddr_t name, int flags, struct kstat *st, struct path *p)
{
    struct pathname pn;
    unsigned lookup = flags & AT_SYMLINK_NOFOLLOW_K ? 0 : LOOKUP_FOLLOW;
    int err = pathname_get(&pn, name, (flags & AT_EMPTY_PATH_K) != 0);
    if (!err)
        err = path_lookup_at(dirfd, pn.s, lookup | (flags & AT_EMPTY_PATH_K ? LOOKUP_EMPTY : 0), p);
    pathname_put(&pn);
    if (err)
        return err;
    err = vfs_getattr(p, st);
    if (err)
        path_put(p);
    return err;
}

int64_t sys_newfstatat(int dirfd, uaddr_t name, uaddr_t buf, int flags)
{
    struct kstat st;
    PATH_REF(p);
    if (flags & ~(AT_SYMLINK_NOFOLLOW_K | AT_NO_AUTOMOUNT_K | AT_EMPTY_PATH_K))
        return -EINVAL;
    int err = getattr_at(dirfd, name, flags, &st, &p);
    return err ? err : stat_to_user(&st, buf);
}

int64_t sys_stat(uaddr_t name, uaddr_t buf)
{
    return sys_newfstatat(AT_FDCWD_K, name, buf, 0);
}

int64_t sys_lstat(uaddr_t name, uaddr_t buf)
{
    return sys_newfstatat(AT_FDCWD_K, name, buf, AT_SYMLINK_NOFOLLOW_K);
}

int64_t sys_fstat(int fd, uaddr_t buf)
{
    struct kstat st;
    bool counted;
    struct file *f = fd_borrow_any(fd, &counted);
    if (unlikely(!f))
        return -EBADF;
    int err = vfs_getattr(&f->path, &st);
    fd_unborrow(f, counted);
    return err ? err : stat_to_user(&st, buf);
}

static struct k_statx_timestamp statx_time(const struct k_timespec *t)
{
    return (struct k_statx_timestamp){.sec = t->sec, .nsec = (uint32_t)t->nsec};
}

int64_t sys_statx(int dirfd, uaddr_t name, int flags, uint32_t mask, uaddr_t buf)
{
    struct kstat st;
    PATH_REF(p);
    if ((mask & STATX_RESERVED_K) || (flags & AT_STATX_SYNC_TYPE_K) == AT_STATX_SYNC_TYPE_K ||
        (flags &
         ~(AT_SYMLINK_NOFOLLOW_K | AT_NO_AUTOMOUNT_K | AT_EMPTY_PATH_K | AT_STATX_SYNC_TYPE_K)))
        return -EINVAL;
    int err = getattr_at(dirfd, name, flags, &st, &p);
    if (err)
        return err;
    struct k_statx k = {
        .mask = STATX_BASIC_STATS_K | STATX_MNT_ID_K,
        .blksize = st.blksize,
        .attributes = p.dentry == p.mnt->root ? STATX_ATTR_MOUNT_ROOT_K : 0,
        .attributes_mask = STATX_ATTR_MOUNT_ROOT_K,
        .nlink = st.nlink,
        .uid = st.uid,
        .gid = st.gid,
        .mode = (uint16_t)st.mode,
        .ino = st.ino,
        .size = st.size,
        .blocks = st.blocks,
        .atime = statx_time(&st.atime),
        .ctime = statx_time(&st.ctime),
        .mtime = statx_time(&st.mtime),
        .rdev_major = dev_major(st.rdev),
        .rdev_minor = dev_minor(st.rdev),
        .dev_major = dev_major(st.dev),
        .dev_minor = dev_minor(st.dev),
        .mnt_id = (uint64_t)p.mnt->id,
    };
    if (st.btime.sec || st.btime.nsec) {
        k.mask |= STATX_BTIME_K;
        k.btime = statx_time(&st.btime);
    }
    return copy_to_user(buf, &k, sizeof(k));
}

/* ---- file systems ---- */

static int statfs_to_user(const struct path *p, uaddr_t buf)
{
    static const struct {
        uint32_t mount;
        int32_t statfs;
    } flags[] = {
        {MS_RDONLY_K, ST_RDONLY_K},     {MS_NOSUID_K, ST_NOSUID_K},
        {MS_NODEV_K, ST_NODEV_K},       {MS_NOEXEC_K, ST_NOEXEC_K},
        {MS_NOATIME_K, ST_NOATIME_K},   {MS_NODIRATIME_K, ST_NODIRATIME_K},
        {MS_RELATIME_K, ST_RELATIME_K},
    };
    struct k_statfs st;
    struct super_block *sb = p->dentry->inode->sb;
    memset(&st, 0, sizeof(st));
    if (!sb->ops || !sb->ops->statfs) {
        st.f_type = 0x09041934; /* ANON_INODE_FS_MAGIC */
        st.f_bsize = st.f_frsize = PAGE_SIZE;
        st.f_namelen = NAME_MAX_K;
    } else {
        int err = sb->ops->statfs(sb, &st);
        if (err)
            return err;
    }
    st.f_flags |= ST_VALID_K;
    for (size_t i = 0; i < ARRAY_LEN(flags); i++)
        if (p->mnt->flags & flags[i].mount)
            st.f_flags |= flags[i].statfs;
    if (!(p->mnt->flags & (MS_NOATIME_K | MS_STRICTATIME_K)))
        st.f_flags |= ST_RELATIME_K;
    return copy_to_user(buf, &st, sizeof(st));
}

int64_t sys_statfs(uaddr_t name, uaddr_t buf)
{
    PATH_REF(p);
    int err = path_lookup_user(AT_FDCWD_K, name, LOOKUP_FOLLOW, &p);
    return err ? err : statfs_to_user(&p, buf);
}

int64_t sys_fstatfs(int fd, uaddr_t buf)
{
    bool counted;
    struct file *f = fd_borrow_any(fd, &counted);
    if (!f)
        return -EBADF;
    int err = statfs_to_user(&f->path, buf);
    fd_unborrow(f, counted);
    return err;
}
