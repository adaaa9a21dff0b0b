/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inodes and super blocks: their life, permissions by mode bits, changes of attributes.
 *
 * An inode lives while it is counted: by dentries, open files, the file system's own tables. The
 * last inode_put gives it back to its file system (super_ops.evict, which may sleep), so it is
 * never called under a spinlock.
 */
#include "fs/inode.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "fs/dcache.h"
#include "fs/fsnotify.h"
#include "fs/locks.h"
#include "proc/signal.h"

#define DAY_SEC 86400

/* Of inodes whose file system sets none: every operation answers with its error. */
static const struct inode_ops no_inode_ops;
static const struct file_ops no_file_ops;

/* ---- life ---- */

struct inode *inode_new(struct super_block *sb, kmode_t mode)
{
    struct inode *inode = kzalloc(sizeof(*inode));
    if (!inode)
        return NULL;
    ref_init(&inode->ref, 1);
    inode->sb = sb;
    inode->ops = &no_inode_ops;
    inode->fops = &no_file_ops;
    inode->mode = mode;
    inode->nlink = 1;
    inode->ino = __atomic_add_fetch(&sb->next_ino, 1, __ATOMIC_RELAXED);
    inode->atime = inode->mtime = inode->ctime = inode->btime = inode_now();
    mutex_init(&inode->lock);
    list_init(&inode->fsnotify);
    return inode;
}

void inode_get(struct inode *inode)
{
    ref_get(&inode->ref);
}

void inode_put(struct inode *inode)
{
    if (!inode)
        return;
    if (fsnotify_watched() && inode->nlink == 0 && fsnotify_put(inode))
        return;
    if (!ref_put(&inode->ref))
        return;
    if (inode->sb->ops && inode->sb->ops->evict)
        inode->sb->ops->evict(inode);
    if (inode->pages.inode)
        page_cache_destroy(&inode->pages);
    file_locks_free(inode);
    kfree(inode);
}

struct super_block *super_new(const char *fs_type, const struct super_ops *ops)
{
    static uint32_t last_minor; /* atomic */
    struct super_block *sb = kzalloc(sizeof(*sb));
    if (!sb)
        return NULL;
    ref_init(&sb->ref, 1);
    sb->ops = ops;
    sb->fs_type = fs_type;
    sb->dev = MKDEV_K(0, __atomic_add_fetch(&last_minor, 1, __ATOMIC_RELAXED));
    return sb;
}

struct super_block *super_set_root(struct super_block *sb, struct inode *root)
{
    sb->root = root ? dentry_new_root(root) : NULL;
    if (sb->root)
        return sb;
    inode_put(root);
    super_put(sb);
    return err_ptr(-ENOMEM);
}

void super_put(struct super_block *sb)
{
    if (!sb || !ref_put(&sb->ref))
        return;
    if (sb->ops && sb->ops->sync)
        sb->ops->sync(sb);
    if (fsnotify_watched())
        fsnotify_unmount(sb);
    if (sb->root) {
        dentry_prune_tree(sb->root);
        dentry_put(sb->root);
    }
    if (sb->ops && sb->ops->destroy)
        sb->ops->destroy(sb);
    kfree(sb->source);
    kfree(sb);
}

/* ---- times ---- */

struct k_timespec inode_now(void)
{
    return ns_to_timespec(time_real_ns());
}

void inode_touch(struct inode *inode, uint32_t which)
{
    struct k_timespec now = inode_now();
    if (which & ATTR_ATIME)
        inode->atime = now;
    if (which & ATTR_MTIME)
        inode->mtime = now;
    if (which & ATTR_CTIME)
        inode->ctime = now;
}

static bool timespec_later(const struct k_timespec *a, const struct k_timespec *b)
{
    return a->sec != b->sec ? a->sec > b->sec : a->nsec > b->nsec;
}

void inode_accessed(struct inode *inode, const struct mount *m)
{
    uint32_t flags = READ_ONCE(m->flags);
    if (flags & (MS_NOATIME_K | MS_RDONLY_K))
        return;
    if ((flags & MS_NODIRATIME_K) && S_ISDIR_K(inode->mode))
        return;
    /* "relatime", Linux's default: only when the file was changed since it was last seen read, or
     * once a day. */
    if (!(flags & MS_STRICTATIME_K) && timespec_later(&inode->atime, &inode->mtime) &&
        timespec_later(&inode->atime, &inode->ctime) &&
        inode_now().sec - inode->atime.sec < DAY_SEC)
        return;
    inode_touch(inode, ATTR_ATIME);
}

/* ---- permissions ---- */

int inode_permission_generic(struct inode *inode, int mask)
{
    const struct cred *cred = current->cred;
    if (!cred)
        return 0;
    kmode_t mode = READ_ONCE(inode->mode), bits = mode;
    if (inode->uid == cred->fsuid)
        bits >>= 6;
    else if (((bits >> 3 ^ bits) & mask) && vfs_in_group(inode->gid))
        bits >>= 3; /* asked only where it makes a difference: the list of groups may be long */
    if (likely(((kmode_t)mask & ~bits & 7) == 0))
        return 0;
    if (S_ISDIR_K(mode)) {
        if (!(mask & MAY_WRITE) && capable(CAP_DAC_READ_SEARCH_K))
            return 0;
        return capable(CAP_DAC_OVERRIDE_K) ? 0 : -EACCES;
    }
    if (mask == MAY_READ && capable(CAP_DAC_READ_SEARCH_K))
        return 0;
    /* Even root executes only what somebody may execute. */
    if ((!(mask & MAY_EXEC) || (mode & 0111)) && capable(CAP_DAC_OVERRIDE_K))
        return 0;
    return -EACCES;
}

int inode_permission(struct inode *inode, int mask)
{
    if (unlikely(inode->ops->permission != NULL))
        return inode->ops->permission(inode, mask);
    return inode_permission_generic(inode, mask);
}

/* write_count: > 0 that many writers, < 0 that many who execute it. */
static int count_towards(struct inode *inode, int32_t step)
{
    int32_t n = __atomic_load_n(&inode->write_count, __ATOMIC_RELAXED);
    do {
        if (step > 0 ? n < 0 : n > 0)
            return -ETXTBSY;
    } while (!__atomic_compare_exchange_n(&inode->write_count, &n, n + step, true, __ATOMIC_ACQ_REL,
                                          __ATOMIC_RELAXED));
    return 0;
}

int inode_get_write(struct inode *inode)
{
    return count_towards(inode, 1);
}

void inode_put_write(struct inode *inode)
{
    __atomic_sub_fetch(&inode->write_count, 1, __ATOMIC_RELEASE);
}

int inode_deny_write(struct inode *inode)
{
    return count_towards(inode, -1);
}

void inode_allow_write(struct inode *inode)
{
    __atomic_add_fetch(&inode->write_count, 1, __ATOMIC_RELEASE);
}

/* ---- attributes ---- */

void inode_fill_stat(struct inode *inode, struct kstat *st)
{
    st->dev = inode->sb->dev;
    st->ino = inode->ino;
    st->rdev = inode->rdev;
    st->size = inode->size;
    st->blocks = inode->blocks;
    st->mode = inode->mode;
    st->nlink = inode->nlink;
    st->blksize = PAGE_SIZE;
    st->uid = inode->uid;
    st->gid = inode->gid;
    st->atime = inode->atime;
    st->mtime = inode->mtime;
    st->ctime = inode->ctime;
    st->btime = inode->btime;
}

int vfs_getattr(const struct path *p, struct kstat *st)
{
    struct inode *inode = p->dentry->inode;
    if (inode->ops->getattr)
        return inode->ops->getattr(inode, st);
    inode_fill_stat(inode, st);
    return 0;
}

void inode_apply_attr(struct inode *inode, const struct iattr *attr)
{
    if (attr->valid & ATTR_MODE)
        inode->mode = (inode->mode & S_IFMT_K) | (attr->mode & 07777);
    if (attr->valid & ATTR_UID)
        inode->uid = attr->uid;
    if (attr->valid & ATTR_GID)
        inode->gid = attr->gid;
    if (attr->valid & ATTR_ATIME)
        inode->atime = attr->atime;
    if (attr->valid & ATTR_MTIME)
        inode->mtime = attr->mtime;
    inode_touch(inode, ATTR_CTIME);
}

int vfs_setattr_locked(struct inode *inode, struct iattr *attr)
{
    if (!inode->ops->setattr)
        return -EPERM;
    return inode->ops->setattr(inode, attr);
}

int vfs_setattr(struct inode *inode, struct iattr *attr)
{
    mutex_lock(&inode->lock);
    int err = vfs_setattr_locked(inode, attr);
    mutex_unlock(&inode->lock);
    return err;
}

kmode_t mode_without_setid(kmode_t mode)
{
    mode &= ~(kmode_t)S_ISUID_K;
    /* Set-group-ID without group execution once meant mandatory locking; it is no privilege. */
    if (mode & 010)
        mode &= ~(kmode_t)S_ISGID_K;
    return mode;
}

void inode_drop_privileges_locked(struct inode *inode)
{
    kmode_t mode = inode->mode;
    if (likely(!(mode & (S_ISUID_K | S_ISGID_K))) || mode_without_setid(mode) == mode ||
        vfs_capable(CAP_FSETID_K))
        return;
    struct iattr attr = {.valid = ATTR_MODE, .mode = mode_without_setid(mode)};
    vfs_setattr_locked(inode, &attr);
}

int vfs_truncate(struct inode *inode, uint64_t size)
{
    struct iattr attr = {.valid = ATTR_SIZE | ATTR_MTIME, .size = size, .mtime = inode_now()};
    mutex_lock(&inode->lock);
    int err = size > inode->size ? inode_check_size_limit(size) : 0;
    if (!err) {
        inode_drop_privileges_locked(inode);
        err = vfs_setattr_locked(inode, &attr);
    }
    mutex_unlock(&inode->lock);
    return err;
}

int inode_check_size_limit(uint64_t size)
{
    if (!current->process || size <= rlimit_cur(RLIMIT_FSIZE_K))
        return 0;
    struct k_siginfo info = {.si_signo = SIGXFSZ, .si_code = SI_USER_K};
    info.rt.pid = current->process->pid;
    info.rt.uid = current->cred ? current->cred->uid : 0;
    signal_send_thread(current, &info);
    return -EFBIG;
}
