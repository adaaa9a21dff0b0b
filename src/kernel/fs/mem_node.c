/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and attributes of inodes that live in memory: the operations that tmpfs and the overlay
 * share.
 *
 * An entry of a directory holds a reference to its inode, so that an inode lives as long as it
 * has a name, an open file or a user in the VFS. Link counts are changed atomically: the same
 * inode may lose names in two directories at once.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "fs/inode.h"
#include "fs/memfs.h"
#include "hal.h"
#include "mm/mm.h"

/* What Linux's tmpfs shows as the size of a directory: so much for each entry, "." and ".." too. */
#define DIR_ENTRY_SIZE 20

/* ---- life ---- */

struct inode *mem_inode_new(struct super_block *sb, kmode_t mode, uint64_t rdev, kuid_t uid,
                            kgid_t gid)
{
    struct mem_fs *fs = sb->priv;
    struct mem_node *node = kzalloc(fs->node_size);
    struct inode *inode = node ? inode_new(sb, mode) : NULL;

    if (!inode) {
        kfree(node);
        return NULL;
    }
    __atomic_add_fetch(&fs->nr_inodes, 1, __ATOMIC_RELAXED);
    xattr_set_init(&node->xattrs);
    inode->priv = node;
    inode->ops = fs->inode_ops;
    inode->uid = uid;
    inode->gid = gid;
    inode->rdev = rdev;
    inode->nlink = 1;
    inode->fops = &special_fops;
    if (S_ISDIR_K(mode)) {
        inode->nlink = 2;
        inode->size = 2 * DIR_ENTRY_SIZE;
        inode->fops = fs->dir_fops;
        memdir_init(&node->dir, inode->ino);
    } else if (S_ISREG_K(mode)) {
        inode->fops = fs->file_fops;
        extent_map_init(&node->file.data);
        node->file.seals = F_SEAL_SEAL_K;
        page_cache_init(&inode->pages, inode, NULL);
    }
    return inode;
}

/* Puts the inodes of a chain of entries, and of all tables that nobody else can reach below them,
 * without recursion: a tree may be deeper than the kernel's stack. */
static void put_entries(struct mem_entry *chain)
{
    while (chain) {
        struct mem_entry *e = chain;
        struct inode *inode = e->inode;
        chain = e->chain;
        kfree(e);
        if (!inode)
            continue;
        if (S_ISDIR_K(inode->mode) && ref_read(&inode->ref) == 1) {
            struct mem_entry *below = memdir_take_all(&mem_node(inode)->dir), *last = below;
            while (last && last->chain)
                last = last->chain;
            if (last) {
                last->chain = chain;
                chain = below;
            }
        }
        inode_put(inode);
    }
}

void mem_node_free(struct inode *inode)
{
    struct mem_node *node = mem_node(inode);
    struct mem_fs *fs = mem_fs(inode);

    if (!node)
        return;
    if (S_ISDIR_K(inode->mode)) {
        put_entries(memdir_take_all(&node->dir));
    } else if (S_ISREG_K(inode->mode)) {
        __atomic_sub_fetch(&fs->used_pages, node->file.data.nr_pages, __ATOMIC_RELAXED);
        extent_map_clear(&node->file.data);
    } else if (S_ISLNK_K(inode->mode)) {
        kfree(node->target);
    }
    xattr_set_clear(&node->xattrs);
    __atomic_sub_fetch(&fs->nr_inodes, 1, __ATOMIC_RELAXED);
    inode->priv = NULL;
    kfree(node);
}

int mem_statfs(struct super_block *sb, struct k_statfs *st, int64_t magic)
{
    struct mem_fs *fs = sb->priv;
    uint64_t used = __atomic_load_n(&fs->used_pages, __ATOMIC_RELAXED);
    uint64_t total = fs->max_pages, free;

    if (total) {
        free = total > used ? total - used : 0;
    } else {
        total = mm_limit_bytes() >> PAGE_SHIFT;
        uint64_t held = hal_mem_used() >> PAGE_SHIFT;
        free = total > held ? total - held : 0;
    }
    memset(st, 0, sizeof(*st));
    st->f_type = magic;
    st->f_bsize = st->f_frsize = PAGE_SIZE;
    st->f_blocks = total;
    st->f_bfree = st->f_bavail = free;
    st->f_files = total;
    st->f_ffree = total > fs->nr_inodes ? total - fs->nr_inodes : 0;
    st->f_fsid[0] = (int32_t)sb->dev;
    st->f_namelen = NAME_MAX_K;
    return 0;
}

/* ---- helpers ---- */

static int fill_dir(struct inode *dir)
{
    const struct mem_fs_ops *ops = mem_fs(dir)->ops;
    return ops->fill_dir ? ops->fill_dir(dir) : 0;
}

static int own(struct inode *inode)
{
    const struct mem_fs_ops *ops = mem_fs(inode)->ops;
    return ops->own ? ops->own(inode) : 0;
}

/* Makes dir ready for changes of its names. */
static int prepare_dir(struct inode *dir)
{
    if (dir->flags & INODE_DEAD)
        return -ENOENT;
    int ret = fill_dir(dir);
    return ret ? ret : own(dir);
}

static void dir_changed(struct inode *dir)
{
    dir->size = (mem_node(dir)->dir.nr_entries + 2) * DIR_ENTRY_SIZE;
    inode_touch(dir, ATTR_MTIME | ATTR_CTIME);
}

static void nlink_add(struct inode *inode, int n)
{
    __atomic_add_fetch(&inode->nlink, (uint32_t)n, __ATOMIC_RELAXED);
}

/* Directories of some file systems do not count their children (one link for ever): leave those
 * alone. */
static void dir_nlink_add(struct inode *dir, int n)
{
    if (dir->nlink > 2 || (n > 0 && dir->nlink == 2))
        nlink_add(dir, n);
}

/* A name of inode is gone. */
static void lost_name(struct inode *inode)
{
    const struct mem_fs_ops *ops = mem_fs(inode)->ops;

    inode_touch(inode, ATTR_CTIME);
    if (S_ISDIR_K(inode->mode)) {
        inode->flags |= INODE_DEAD;
        __atomic_store_n(&inode->nlink, 0, __ATOMIC_RELAXED);
    } else if (inode->nlink > 0) {
        nlink_add(inode, -1);
    }
    if (inode->nlink == 0 && ops->gone)
        ops->gone(inode);
}

/* Puts `inode` under a name of dir; the entry takes a reference of its own. */
static int add_name(struct inode *dir, const char *name, size_t len, struct inode *inode)
{
    struct mem_entry *e = mem_entry_new(name, len, inode->ino, mode_to_dt(inode->mode), inode);

    if (!e)
        return -ENOMEM;
    int ret = memdir_add(&mem_node(dir)->dir, e);
    if (ret) {
        kfree(e);
        return ret;
    }
    inode_get(inode);
    dir_changed(dir);
    return 0;
}

/* Gives a fresh inode its first name. Consumes the inode on error. */
static int add_new(struct inode *dir, const char *name, size_t len, struct inode *inode,
                   struct inode **out)
{
    int ret = add_name(dir, name, len, inode);

    if (ret) {
        inode_put(inode);
        return ret;
    }
    if (S_ISDIR_K(inode->mode)) {
        mem_node(inode)->dir.parent_ino = dir->ino;
        dir_nlink_add(dir, 1);
    }
    *out = inode;
    return 0;
}

/* ---- inode operations ---- */

int mem_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    return memdir_find(&mem_node(dir)->dir, name, len, out) ? 0 : -ENOENT;
}

int mem_create(struct inode *dir, const char *name, size_t len, kmode_t mode, uint64_t rdev,
               kuid_t uid, kgid_t gid, struct inode **out)
{
    int ret = prepare_dir(dir);
    if (ret)
        return ret;
    struct inode *inode = mem_inode_new(dir->sb, mode, rdev, uid, gid);
    return inode ? add_new(dir, name, len, inode, out) : -ENOMEM;
}

int mem_symlink(struct inode *dir, const char *name, size_t len, const char *target, kuid_t uid,
                kgid_t gid, struct inode **out)
{
    int ret = prepare_dir(dir);
    if (ret)
        return ret;
    struct inode *inode = mem_inode_new(dir->sb, S_IFLNK_K | 0777, 0, uid, gid);
    if (!inode)
        return -ENOMEM;
    mem_node(inode)->target = kstrdup(target);
    if (!mem_node(inode)->target) {
        inode_put(inode);
        return -ENOMEM;
    }
    inode->size = strlen(target);
    return add_new(dir, name, len, inode, out);
}

int mem_link(struct inode *dir, const char *name, size_t len, struct inode *target)
{
    int ret = prepare_dir(dir);
    if (ret == 0)
        ret = own(target);
    if (ret == 0)
        ret = add_name(dir, name, len, target);
    if (ret)
        return ret;
    nlink_add(target, 1);
    inode_touch(target, ATTR_CTIME);
    return 0;
}

static int remove_name(struct inode *dir, const char *name, size_t len, struct inode *victim)
{
    struct mem_entry *e = memdir_remove(&mem_node(dir)->dir, name, len);

    if (!e)
        return -ENOENT;
    dir_changed(dir);
    lost_name(victim);
    if (e->inode)
        inode_put(e->inode);
    kfree(e);
    return 0;
}

int mem_unlink(struct inode *dir, const char *name, size_t len, struct inode *victim)
{
    int ret = prepare_dir(dir);
    if (ret == 0)
        ret = own(victim);
    return ret ? ret : remove_name(dir, name, len, victim);
}

/* -ENOTEMPTY unless nothing is in the directory. */
static int check_empty(struct inode *dir)
{
    int ret = fill_dir(dir);
    if (ret)
        return ret;
    return mem_node(dir)->dir.nr_entries ? -ENOTEMPTY : 0;
}

int mem_rmdir(struct inode *dir, const char *name, size_t len, struct inode *victim)
{
    int ret = check_empty(victim);
    if (ret == 0)
        ret = prepare_dir(dir);
    if (ret == 0)
        ret = remove_name(dir, name, len, victim);
    if (ret == 0)
        dir_nlink_add(dir, -1);
    return ret;
}

/* A directory went from one parent to another. */
static void dir_moved(struct inode *moved, struct inode *from, struct inode *to)
{
    mem_node(moved)->dir.parent_ino = to->ino;
    if (from != to) {
        dir_nlink_add(from, -1);
        dir_nlink_add(to, 1);
    }
}

/* Makes the existing entry show `inode`. */
static bool set_name(struct inode *dir, const char *name, size_t len, struct inode *inode)
{
    struct inode *old;

    inode_get(inode);
    if (!memdir_replace(&mem_node(dir)->dir, name, len, inode->ino, mode_to_dt(inode->mode), inode,
                        &old)) {
        inode_put(inode);
        return false;
    }
    if (old)
        inode_put(old);
    return true;
}

static int rename_exchange(struct inode *old_dir, const char *old_name, size_t old_len,
                           struct inode *moved, struct inode *new_dir, const char *new_name,
                           size_t new_len, struct inode *victim)
{
    if (!set_name(old_dir, old_name, old_len, victim))
        return -ENOENT;
    if (!set_name(new_dir, new_name, new_len, moved)) {
        set_name(old_dir, old_name, old_len, moved);
        return -ENOENT;
    }
    if (S_ISDIR_K(moved->mode))
        dir_moved(moved, old_dir, new_dir);
    if (S_ISDIR_K(victim->mode))
        dir_moved(victim, new_dir, old_dir);
    inode_touch(victim, ATTR_CTIME);
    return 0;
}

int mem_rename(struct inode *old_dir, const char *old_name, size_t old_len, struct inode *moved,
               struct inode *new_dir, const char *new_name, size_t new_len, struct inode *victim,
               unsigned flags)
{
    struct inode *whiteout = NULL;

    if (flags & ~(unsigned)(RENAME_NOREPLACE_K | RENAME_EXCHANGE_K | RENAME_WHITEOUT_K))
        return -EINVAL;
    if (victim && (flags & RENAME_NOREPLACE_K))
        return -EEXIST;
    if (!victim && (flags & RENAME_EXCHANGE_K))
        return -ENOENT;
    if (victim == moved)
        return 0;

    int ret = prepare_dir(old_dir);
    if (ret == 0)
        ret = prepare_dir(new_dir);
    if (ret == 0)
        ret = own(moved);
    if (ret == 0 && victim)
        ret = own(victim);
    if (ret)
        return ret;

    if (flags & RENAME_EXCHANGE_K) {
        ret =
            rename_exchange(old_dir, old_name, old_len, moved, new_dir, new_name, new_len, victim);
        if (ret)
            return ret;
        goto done;
    }

    if (victim && S_ISDIR_K(victim->mode)) {
        if (!S_ISDIR_K(moved->mode))
            return -EISDIR;
        ret = check_empty(victim);
        if (ret)
            return ret;
    } else if (victim && S_ISDIR_K(moved->mode)) {
        return -ENOTDIR;
    }
    if (flags & RENAME_WHITEOUT_K) {
        whiteout = mem_inode_new(old_dir->sb, S_IFCHR_K, 0, moved->uid, moved->gid);
        if (!whiteout)
            return -ENOMEM;
    }

    /* The new name first: until the old one is gone the inode has both, never none. */
    if (victim) {
        if (!set_name(new_dir, new_name, new_len, moved))
            ret = -ENOENT;
    } else {
        ret = add_name(new_dir, new_name, new_len, moved);
    }
    if (ret) {
        if (whiteout)
            inode_put(whiteout);
        return ret;
    }
    if (whiteout) {
        set_name(old_dir, old_name, old_len, whiteout);
        inode_put(whiteout);
    } else {
        struct mem_entry *e = memdir_remove(&mem_node(old_dir)->dir, old_name, old_len);
        if (e && e->inode)
            inode_put(e->inode);
        kfree(e);
    }
    if (victim) {
        if (S_ISDIR_K(victim->mode))
            dir_nlink_add(new_dir, -1);
        lost_name(victim);
    }
    if (S_ISDIR_K(moved->mode))
        dir_moved(moved, old_dir, new_dir);
done:
    inode_touch(moved, ATTR_CTIME);
    dir_changed(old_dir);
    if (new_dir != old_dir)
        dir_changed(new_dir);
    return 0;
}

int64_t mem_readlink(struct inode *inode, char *buf, size_t size)
{
    const char *target = mem_node(inode)->target;
    size_t n = k_min(strlen(target), size);

    memcpy(buf, target, n);
    return (int64_t)n;
}

int mem_setattr(struct inode *inode, const struct iattr *attr)
{
    int ret = own(inode);

    if (ret == 0 && (attr->valid & ATTR_SIZE)) {
        ret = S_ISREG_K(inode->mode) ? mem_resize(inode, attr->size) : -EINVAL;
        if (ret == 0 && !(attr->valid & ATTR_MODE))
            inode_drop_privileges_locked(inode);
        if (ret == 0 && !(attr->valid & ATTR_MTIME))
            inode_touch(inode, ATTR_MTIME);
    }
    if (ret == 0)
        inode_apply_attr(inode, attr);
    return ret;
}

int mem_tmpfile(struct inode *dir, kmode_t mode, kuid_t uid, kgid_t gid, struct inode **out)
{
    struct inode *inode = mem_inode_new(dir->sb, mode, 0, uid, gid);

    if (!inode)
        return -ENOMEM;
    inode->nlink = 0;
    *out = inode;
    return 0;
}

static int fill_xattrs(struct inode *inode)
{
    const struct mem_fs_ops *ops = mem_fs(inode)->ops;
    return ops->fill_xattrs ? ops->fill_xattrs(inode) : 0;
}

int64_t mem_getxattr(struct inode *inode, const char *name, void *buf, size_t size)
{
    return xattr_set_get(&mem_node(inode)->xattrs, name, buf, size);
}

int mem_setxattr(struct inode *inode, const char *name, const void *value, size_t size, int flags)
{
    if (!xattr_name_known(name))
        return -EOPNOTSUPP;
    if (size > XATTR_SIZE_MAX_K)
        return -E2BIG;
    int ret = own(inode);
    if (ret == 0)
        ret = fill_xattrs(inode);
    if (ret == 0)
        ret = xattr_set_put(&mem_node(inode)->xattrs, name, value, size, flags);
    if (ret == 0)
        inode_touch(inode, ATTR_CTIME);
    return ret;
}

int64_t mem_listxattr(struct inode *inode, char *buf, size_t size)
{
    return xattr_set_list(&mem_node(inode)->xattrs, buf, size);
}

int mem_removexattr(struct inode *inode, const char *name)
{
    if (!xattr_name_known(name))
        return -EOPNOTSUPP;
    int ret = own(inode);
    if (ret == 0)
        ret = fill_xattrs(inode);
    if (ret == 0)
        ret = xattr_set_remove(&mem_node(inode)->xattrs, name);
    if (ret == 0)
        inode_touch(inode, ATTR_CTIME);
    return ret;
}
