/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files: their life, and those that stand in no directory (pipes, eventfds...).
 *
 * A file is counted by descriptors, mappings and running calls; the last file_put releases it,
 * which may sleep.
 *
 * struct file comes from a pool whose memory is never used for anything else: descriptor look-ups
 * may try the count of a file that was freed meanwhile (fs/files.h), and must then find a count of
 * zero or another file's count, not foreign data.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "fs/dcache.h"
#include "fs/devices.h"
#include "fs/fasync.h"
#include "fs/files.h"
#include "fs/fsnotify.h"
#include "fs/namei.h"

extern const struct file_ops fifo_file_ops;

/* Flags of open(2) that act once and are not kept. */
#define O_ONCE (O_CREAT_K | O_EXCL_K | O_NOCTTY_K | O_TRUNC_K | O_CLOEXEC_K)

static const struct file_ops no_ops; /* O_PATH files, and files that failed to open */

/* ---- the pool ---- */

static spinlock_t pool_lock = SPINLOCK_INIT;
static struct file *pool; /* linked through priv */

static bool pool_refill(void)
{
    struct file *block = kpages_alloc(1);
    if (!block)
        return false;
    memset(block, 0, PAGE_SIZE);
    spin_lock(&pool_lock);
    for (size_t i = 0; i < PAGE_SIZE / sizeof(*block); i++) {
        block[i].priv = pool;
        pool = &block[i];
    }
    spin_unlock(&pool_lock);
    return true;
}

static struct file *file_alloc(void)
{
    struct file *f;
    for (;;) {
        spin_lock(&pool_lock);
        f = pool;
        if (f)
            pool = f->priv;
        spin_unlock(&pool_lock);
        if (f)
            break;
        if (!pool_refill())
            return NULL;
    }
    f->ops = &no_ops;
    f->flags = f->mode = 0;
    f->pos = 0;
    f->priv = NULL;
    f->owner_pid = f->owner_sig = 0;
    f->async = NULL;
    f->f_version = 0;
    mutex_init(&f->pos_lock);
    list_init(&f->epoll_items);
    ref_init(&f->ref, 1);
    return f;
}

void file_get(struct file *f)
{
    ref_get(&f->ref);
}

static void file_release(struct file *f)
{
    struct inode *inode = f->inode;
    if (f->ops != &no_ops)
        fsnotify_file(f, f->mode & FMODE_WRITE ? IN_CLOSE_WRITE_K : IN_CLOSE_NOWRITE_K);
    if (unlikely(!list_empty(&f->epoll_items)))
        epoll_release_file(f);
    if (unlikely(f->async != NULL))
        fasync_release(f);
    if (unlikely(inode->locks != NULL))
        locks_release_file(f);
    if (f->ops->release)
        f->ops->release(f);
    if (f->mode & FMODE_WRITE_COUNTED) {
        if (S_ISREG_K(inode->mode))
            inode_put_write(inode);
        __atomic_sub_fetch(&f->path.mnt->nr_writers, 1, __ATOMIC_RELEASE);
    }
    path_put(&f->path);
    inode_put(inode);
    spin_lock(&pool_lock);
    f->priv = pool;
    pool = f;
    spin_unlock(&pool_lock);
}

void file_put(struct file *f)
{
    if (ref_put(&f->ref))
        file_release(f);
}

/* ---- opening what a path leads to ---- */

static int open_mode(uint32_t flags)
{
    static const uint8_t mode[4] = {FMODE_READ, FMODE_WRITE, FMODE_READ | FMODE_WRITE, 0};
    return mode[flags & O_ACCMODE_K];
}

/* The operations of a file on the inode; NULL: nothing answers there. */
static const struct file_ops *ops_of(const struct inode *inode)
{
    if (inode->flags & INODE_OWN_OPS)
        return inode->fops;
    switch (inode->mode & S_IFMT_K) {
    case S_IFIFO_K: return &fifo_file_ops;
    case S_IFCHR_K: return device_file_ops(inode->rdev);
    case S_IFBLK_K:
    case S_IFSOCK_K: return NULL;
    default: return inode->fops;
    }
}

/* Counts a writer of the inode and the mount. */
static int count_writer(struct file *f)
{
    kmode_t type = f->inode->mode & S_IFMT_K;
    if (type != S_IFREG_K && type != S_IFDIR_K)
        return 0; /* writing to a device or a FIFO changes nothing on the file system */
    /* First counted, then looked: a remount does it the other way round. */
    __atomic_add_fetch(&f->path.mnt->nr_writers, 1, __ATOMIC_SEQ_CST);
    int err = mount_writable(f->path.mnt);
    if (!err && type == S_IFREG_K)
        err = inode_get_write(f->inode);
    if (err)
        __atomic_sub_fetch(&f->path.mnt->nr_writers, 1, __ATOMIC_RELEASE);
    else
        f->mode |= FMODE_WRITE_COUNTED;
    return err;
}

struct file *file_open_checked(const struct path *p, uint32_t flags)
{
    struct inode *inode = p->dentry->inode;
    struct file *f = file_alloc();
    int err = 0;
    if (!f)
        return err_ptr(-ENOMEM);
    f->path = *p;
    path_get(p);
    f->inode = inode;
    inode_get(inode);
    if (flags & O_PATH_K) {
        f->flags = flags & (O_PATH_K | O_DIRECTORY_K | O_NOFOLLOW_K);
        f->mode = FMODE_PATH;
        return f;
    }
    /* Terminals look at O_NOCTTY. */
    f->flags = flags & (~(uint32_t)O_ONCE | O_NOCTTY_K);
    f->mode = (uint32_t)open_mode(flags);
    const struct file_ops *ops = ops_of(inode);
    if (!ops)
        err = -ENXIO;
    else if (S_ISLNK_K(inode->mode))
        err = -ELOOP;
    else if (f->mode & FMODE_WRITE)
        err = count_writer(f);
    if (!err) {
        f->ops = ops;
        if (ops->open)
            err = ops->open(inode, f);
    }
    f->flags &= ~(uint32_t)O_NOCTTY_K;
    if (err) {
        f->ops = &no_ops; /* what did not open is not released */
        file_put(f);
        return err_ptr(err);
    }
    fsnotify_file(f, IN_OPEN_K);
    return f;
}

struct file *file_open_path(const struct path *p, uint32_t flags)
{
    return file_open_checked(p, flags);
}

struct file *file_openat(int dirfd, const char *name, uint32_t flags, kmode_t mode)
{
    struct open_args a;
    int err = open_args_set(&a, flags, mode, false);
    return err ? err_ptr(err) : do_open(dirfd, name, &a);
}

struct file *file_open(const char *name, uint32_t flags, kmode_t mode)
{
    return file_openat(AT_FDCWD_K, name, flags, mode);
}

/* ---- files without a place ---- */

struct mount *anon_mount;
static struct inode *anon_inode; /* shared by all that need none of their own */
static struct mutex anon_lock = {SPINLOCK_INIT, NULL, WAIT_QUEUE_INIT(anon_lock.q)};

static int anon_setattr(struct inode *inode, const struct iattr *attr)
{
    if (attr->valid & ATTR_SIZE)
        return -EINVAL;
    inode_apply_attr(inode, attr);
    return 0;
}

static const struct inode_ops anon_inode_ops = {.setattr = anon_setattr};

static void anon_evict(struct inode *inode)
{
    if (inode->ops->evict)
        inode->ops->evict(inode);
}

static const struct super_ops anon_super_ops = {.evict = anon_evict};

/* Makes the file system at first use. */
static int anon_init(void)
{
    int err = 0;
    mutex_lock(&anon_lock);
    if (!anon_mount) {
        struct super_block *sb = super_new("anon_inodefs", &anon_super_ops);
        struct inode *root = sb ? inode_new(sb, S_IFDIR_K | 0700) : NULL;
        struct inode *shared = sb ? inode_new(sb, 0600) : NULL;
        struct dentry *d = root && shared ? dentry_new_root(root) : NULL;
        struct mount *m = NULL;
        if (d) {
            sb->root = d;
            shared->ops = &anon_inode_ops;
            anon_inode = shared;
            m = mount_internal(sb);
        }
        if (m)
            __atomic_store_n(&anon_mount, m, __ATOMIC_RELEASE);
        else
            err = -ENOMEM; /* at the start of the keep: nothing is given back, nothing will run */
    }
    mutex_unlock(&anon_lock);
    return err;
}

static bool anon_ready(void)
{
    return likely(__atomic_load_n(&anon_mount, __ATOMIC_ACQUIRE) != NULL) || anon_init() == 0;
}

struct inode *anon_inode_new(kmode_t mode)
{
    if (!anon_ready())
        return NULL;
    struct inode *inode = inode_new(anon_mount->sb, mode);
    if (!inode)
        return NULL;
    inode->ops = &anon_inode_ops;
    inode->flags |= INODE_OWN_OPS;
    inode->uid = vfs_fsuid();
    inode->gid = vfs_fsgid();
    return inode;
}

struct file *file_new_anon_on(struct inode *inode, const char *name, const struct file_ops *ops,
                              void *priv, uint32_t flags, uint32_t fmode)
{
    struct dentry *d = NULL;
    struct file *f = NULL;
    if (anon_ready())
        d = dentry_new(NULL, name, k_min(strlen(name), (size_t)NAME_MAX_K), 0);
    if (d) {
        d->hashed = true;
        d->inode = inode;
        inode_get(inode);
        f = file_alloc();
    }
    if (!f) {
        if (d)
            dentry_put(d);
        inode_put(inode);
        return err_ptr(-ENOMEM);
    }
    f->path.mnt = anon_mount;
    mount_get(anon_mount);
    f->path.dentry = d;
    f->inode = inode;
    f->ops = ops;
    f->priv = priv;
    f->flags = flags & ~(uint32_t)O_ONCE;
    f->mode = fmode;
    return f;
}

struct file *file_new_anon(const char *name, const struct file_ops *ops, void *priv, uint32_t flags,
                           uint32_t fmode)
{
    if (!anon_ready())
        return err_ptr(-ENOMEM);
    inode_get(anon_inode);
    return file_new_anon_on(anon_inode, name, ops, priv, flags, fmode);
}

int64_t fd_install_anon(const char *name, const struct file_ops *ops, void *priv, int flags)
{
    struct file *f = file_new_anon(name, ops, priv, O_RDWR_K | ((uint32_t)flags & O_NONBLOCK_K),
                                   FMODE_READ | FMODE_WRITE | FMODE_STREAM);
    if (!is_err(f))
        return fd_install(f, 0, flags & O_CLOEXEC_K);
    kfree(priv);
    return ptr_err(f);
}

/* ---- small questions ---- */

int64_t file_pread_kernel(struct file *f, void *buf, size_t len, uint64_t off)
{
    struct uio u;
    uint64_t pos = off;
    size_t done = 0;
    if (!f->ops->read)
        return S_ISDIR_K(f->inode->mode) ? -EISDIR : -EINVAL;
    while (done < len) {
        uio_init_kernel(&u, (char *)buf + done, len - done);
        int64_t n = f->ops->read(f, &u, &pos);
        if (n < 0)
            return done ? (int64_t)done : n;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (int64_t)done;
}

struct inode *file_mapping_inode(struct file *f)
{
    if (f->ops->mmap)
        return f->ops->mmap(f, 0, 0);
    return f->inode->pages.inode ? f->inode : err_ptr(-ENODEV);
}

bool file_is_dir(const struct file *f)
{
    return S_ISDIR_K(f->inode->mode);
}
