/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The overlay: a read-only file system (the lower one) with all changes kept in the keep's memory.
 *
 * There is no second, upper file system and nothing is ever copied up. An inode of the overlay
 * begins as a picture of one lower inode: its attributes are taken over once, its data are read
 * from below page by page into its own page cache, its names are looked up below. Whatever is
 * changed is changed in that inode, which is then "owned": kept in memory until its last name is
 * gone. So a file keeps its number across the first write, and a descriptor or mapping made
 * before it sees what is written after.
 *
 *   a name is looked up        in the directory's own table if that is filled, else below; the
 *                              lower inode found is translated by a hash table lower inode ->
 *                              overlay inode, so that hard links stay one file
 *   a directory is read        its table is filled with the names below, without inodes (they are
 *                              still looked up below when asked for)
 *   a name is changed          the table is filled first, and from then on it is the truth: no
 *                              whiteouts, no opaque marks. An entry that was created or moved
 *                              here holds its inode; so any directory can be renamed, lower ones
 *                              too
 *   data are written           in the page cache; pages never read are still filled from below,
 *                              unless truncated or punched (node->from_lower, node->lower_size)
 *
 * Locks: overlay dir->lock -> node->fill_lock -> lower dir->lock; overlay->lock (spin) guards the
 * hash table and the list of owned inodes.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "fs/memfs.h"

#define OVERLAY_MAGIC 0x794c7630
#define HASH_BUCKETS 4096u /* a power of two */
/* Numbers of inodes that are not from below start here, out of the way of those that are. */
#define FIRST_OWN_INO (1ull << 61)

struct overlay {
    struct mem_fs mem; /* first */
    struct super_block *lower;
    spinlock_t lock;
    struct list owned; /* overlay_node.owned_link, each with a reference to its inode */
    struct list bucket[HASH_BUCKETS]; /* overlay_node.hash_link */
};

struct overlay_node {
    struct mem_node mem; /* first */
    struct inode *inode;
    /* The rest is used only where there is a lower inode. */
    struct inode *lower; /* counted; NULL: made here */
    struct list hash_link, owned_link;
    struct mutex fill_lock; /* filling of the table and of the attributes from below */
    bool filled;            /* the table is complete */
    bool xattrs_filled;
    bool is_owned;                /* stands in overlay.owned */
    struct extent_map from_lower; /* pages that are the lower file's where they are not cached */
    uint64_t lower_size;          /* bytes of the lower file that are still part of this one */
};

static struct overlay_node *ovl_node(const struct inode *inode)
{
    return inode->priv;
}
static struct overlay *ovl_fs(const struct super_block *sb)
{
    return sb->priv;
}

static struct list *bucket_of(struct overlay *fs, const struct inode *lower)
{
    uint64_t h = (uint64_t)(uintptr_t)lower * 0x9e3779b97f4a7c15ull;
    return &fs->bucket[h >> 40 & (HASH_BUCKETS - 1)];
}

/* ---- data from below ---- */

/* page_cache_ops.read: what is not the lower file's any more reads as zeros. */
static int64_t overlay_read_pages(struct inode *inode, void *buf, size_t len, uint64_t off)
{
    struct overlay_node *node = ovl_node(inode);
    const struct page_cache_ops *below = node->lower->pages.ops;
    size_t done = 0;

    while (done < len) {
        uint64_t at = off + done, end, limit = READ_ONCE(node->lower_size);
        bool from_lower = extent_map_find(&node->from_lower, at >> PAGE_SHIFT, &end);
        size_t n = len - done;
        if (end <= (off + len) >> PAGE_SHIFT)
            n = k_min(n, (size_t)((end << PAGE_SHIFT) - at));
        size_t have = 0;
        if (from_lower && at < limit) {
            size_t want = (size_t)k_min((uint64_t)n, limit - at);
            int64_t got = below->read(node->lower, (char *)buf + done, want, at);
            if (got < 0)
                return got;
            have = k_min((size_t)got, want);
        }
        memset((char *)buf + done + have, 0, n - have);
        done += n;
    }
    return (int64_t)len;
}

static const struct page_cache_ops overlay_page_ops = {.read = overlay_read_pages};

/* ---- inodes ---- */

static struct inode *find_counted_locked(struct overlay *fs, struct inode *lower)
{
    struct overlay_node *node;

    list_for_each (node, bucket_of(fs, lower), hash_link)
        if (node->lower == lower && ref_get_unless_zero(&node->inode->ref))
            return node->inode;
    return NULL;
}

/* Gives a new inode, which nobody else knows yet, the looks of the lower one. */
static int take_picture(struct inode *inode, struct inode *lower, struct inode *dir)
{
    struct overlay_node *node = ovl_node(inode);

    node->inode = inode;
    mutex_init(&node->fill_lock);
    list_init(&node->hash_link);
    list_init(&node->owned_link);
    extent_map_init(&node->from_lower);
    node->lower = lower;
    inode->ino = lower->ino;
    inode->nlink = lower->nlink;
    inode->size = lower->size;
    inode->atime = lower->atime;
    inode->mtime = lower->mtime;
    inode->ctime = lower->ctime;
    inode->btime = lower->btime;
    if (S_ISDIR_K(inode->mode)) {
        node->mem.dir.parent_ino = dir ? dir->ino : inode->ino;
    } else if (S_ISREG_K(inode->mode)) {
        uint64_t pages = bytes_to_pages(inode->size);
        page_cache_init(&inode->pages, inode, &overlay_page_ops);
        node->lower_size = inode->size;
        int ret = extent_map_add(&node->from_lower, 0, pages);
        if (ret == 0)
            ret = mem_charge(inode, 0, pages, true);
        if (ret)
            return ret;
    }
    inode->blocks = lower->blocks;
    return 0;
}

/* The overlay's inode for a lower one, whose reference is consumed. 0 with *out counted, or
 * -ENOMEM, -EIO. */
static int inode_for_lower(struct super_block *sb, struct inode *lower, struct inode *dir,
                           struct inode **out)
{
    struct overlay *fs = ovl_fs(sb);

    spin_lock(&fs->lock);
    struct inode *inode = find_counted_locked(fs, lower);
    spin_unlock(&fs->lock);
    if (inode) {
        inode_put(lower);
        *out = inode;
        return 0;
    }
    if (S_ISREG_K(lower->mode) && (!lower->pages.ops || !lower->pages.ops->read)) {
        inode_put(lower);
        return -EIO;
    }
    inode = mem_inode_new(sb, lower->mode, lower->rdev, lower->uid, lower->gid);
    if (!inode) {
        inode_put(lower);
        return -ENOMEM;
    }
    int ret = take_picture(inode, lower, dir);
    if (ret) {
        inode_put(inode);
        return ret;
    }
    spin_lock(&fs->lock);
    struct inode *other = find_counted_locked(fs, lower);
    if (!other)
        list_add(&ovl_node(inode)->hash_link, bucket_of(fs, lower));
    spin_unlock(&fs->lock);
    if (other)
        inode_put(inode);
    *out = other ? other : inode;
    return 0;
}

static void overlay_evict(struct inode *inode)
{
    struct overlay_node *node = ovl_node(inode);

    if (!node)
        return;
    struct inode *lower = node->lower;
    if (lower) {
        struct overlay *fs = ovl_fs(inode->sb);
        spin_lock(&fs->lock);
        list_del(&node->hash_link);
        spin_unlock(&fs->lock);
        extent_map_clear(&node->from_lower);
    }
    mem_node_free(inode);
    if (lower)
        inode_put(lower);
}

/* ---- what the shared code asks ---- */

static int overlay_own(struct inode *inode)
{
    struct overlay_node *node = ovl_node(inode);
    struct overlay *fs = ovl_fs(inode->sb);

    if (!node->lower || READ_ONCE(node->is_owned))
        return 0;
    spin_lock(&fs->lock);
    if (!node->is_owned && inode->nlink > 0) {
        inode_get(inode);
        list_add(&node->owned_link, &fs->owned);
        WRITE_ONCE(node->is_owned, true);
    }
    spin_unlock(&fs->lock);
    return 0;
}

/* Ends ownership; true when a reference is to be put. */
static bool disown_locked(struct overlay_node *node)
{
    if (!node->is_owned)
        return false;
    list_del(&node->owned_link);
    WRITE_ONCE(node->is_owned, false);
    return true;
}

static void overlay_gone(struct inode *inode)
{
    struct overlay_node *node = ovl_node(inode);
    struct overlay *fs = ovl_fs(inode->sb);

    if (!node->lower)
        return;
    spin_lock(&fs->lock);
    bool put = disown_locked(node);
    spin_unlock(&fs->lock);
    if (put)
        inode_put(inode);
}

static int overlay_detach_pages(struct inode *inode, uint64_t first, uint64_t end)
{
    struct overlay_node *node = ovl_node(inode);
    return node->lower ? extent_map_remove(&node->from_lower, first, end) : 0;
}

static void overlay_truncated(struct inode *inode, uint64_t new_size)
{
    struct overlay_node *node = ovl_node(inode);

    if (!node->lower || new_size >= node->lower_size)
        return;
    WRITE_ONCE(node->lower_size, new_size);
    /* Cannot fail: no range is split by taking its end away. */
    (void)extent_map_remove(&node->from_lower, bytes_to_pages(new_size), UINT64_MAX);
}

struct fill_context {
    struct dir_context ctx; /* first */
    struct memdir *table;
    int err;
};

static bool fill_emit(struct dir_context *ctx, const char *name, size_t len, uint64_t next_pos,
                      uint64_t ino, uint8_t dt_type)
{
    struct fill_context *fill = container_of(ctx, struct fill_context, ctx);

    if (!dir_name_valid(name, len))
        return true; /* "." and ".." */
    struct mem_entry *e = mem_entry_new(name, len, ino, dt_type, NULL);
    if (!e) {
        fill->err = -ENOMEM;
        return false;
    }
    if (memdir_add(fill->table, e))
        kfree(e);
    return true;
}

static int read_lower_names(struct inode *lower, struct memdir *table)
{
    if (!lower->fops || !lower->fops->readdir)
        return -ENOTDIR;
    /* readdir of a lower file system looks at nothing but the file's inode. */
    struct file *f = kzalloc(sizeof(*f));
    if (!f)
        return -ENOMEM;
    f->inode = lower;
    f->ops = lower->fops;
    struct fill_context fill = {.ctx = {.emit = fill_emit}, .table = table};
    uint64_t before;
    do {
        before = fill.ctx.pos;
        int ret = lower->fops->readdir(f, &fill.ctx);
        if (ret && !fill.err)
            fill.err = ret;
    } while (!fill.err && fill.ctx.pos != before);
    kfree(f);
    return fill.err;
}

/* Does the lower directory answer for no name at all? What cannot be listed but looked up would
 * otherwise lose its names. */
static bool is_closed(struct inode *lower)
{
    static const char probe[] = ".cella-probe";
    struct inode *found;

    mutex_lock(&lower->lock);
    int ret = lower->ops->lookup(lower, probe, sizeof(probe) - 1, &found);
    mutex_unlock(&lower->lock);
    if (ret == 0)
        inode_put(found);
    return ret == -EACCES;
}

static int overlay_fill_dir(struct inode *dir)
{
    struct overlay_node *node = ovl_node(dir);
    int ret = 0;

    if (!node->lower || __atomic_load_n(&node->filled, __ATOMIC_ACQUIRE))
        return 0;
    mutex_lock(&node->fill_lock);
    if (!node->filled) {
        ret = read_lower_names(node->lower, &node->mem.dir);
        /* A directory that the lower file system keeps to itself (the host lets the launcher not
         * in) is empty here, and can be used. */
        if (ret == -EACCES && is_closed(node->lower))
            ret = 0;
        if (ret) {
            struct mem_entry *e = memdir_take_all(&node->mem.dir), *next;
            for (; e; e = next) {
                next = e->chain;
                kfree(e);
            }
        } else {
            __atomic_store_n(&node->filled, true, __ATOMIC_RELEASE);
        }
    }
    mutex_unlock(&node->fill_lock);
    return ret;
}

/* Copies one attribute of the lower inode. */
static int copy_xattr(struct overlay_node *node, const char *name)
{
    const struct inode_ops *ops = node->lower->ops;

    if (!xattr_name_known(name))
        return 0;
    int64_t size = ops->getxattr(node->lower, name, NULL, 0);
    if (size < 0)
        return size == -ENODATA ? 0 : (int)size;
    void *value = kmalloc((size_t)size + 1);
    if (!value)
        return -ENOMEM;
    if (size > 0)
        size = ops->getxattr(node->lower, name, value, (size_t)size);
    int ret = size < 0 ? (int)size : xattr_set_put(&node->mem.xattrs, name, value, (size_t)size, 0);
    kfree(value);
    return ret;
}

static int copy_xattrs(struct overlay_node *node)
{
    const struct inode_ops *ops = node->lower->ops;

    if (!ops->listxattr || !ops->getxattr)
        return 0;
    int64_t size = ops->listxattr(node->lower, NULL, 0);
    if (size <= 0)
        return size == -EOPNOTSUPP ? 0 : (int)size;
    char *names = kmalloc((size_t)size + 1);
    if (!names)
        return -ENOMEM;
    size = ops->listxattr(node->lower, names, (size_t)size);
    int ret = size < 0 ? (int)size : 0;
    if (size >= 0)
        names[size] = 0;
    for (int64_t at = 0; ret == 0 && at < size; at += (int64_t)strlen(names + at) + 1)
        ret = copy_xattr(node, names + at);
    kfree(names);
    return ret;
}

static int overlay_fill_xattrs(struct inode *inode)
{
    struct overlay_node *node = ovl_node(inode);
    int ret = 0;

    if (!node->lower || __atomic_load_n(&node->xattrs_filled, __ATOMIC_ACQUIRE))
        return 0;
    mutex_lock(&node->fill_lock);
    if (!node->xattrs_filled) {
        ret = copy_xattrs(node);
        if (ret)
            xattr_set_clear(&node->mem.xattrs);
        else
            __atomic_store_n(&node->xattrs_filled, true, __ATOMIC_RELEASE);
    }
    mutex_unlock(&node->fill_lock);
    return ret;
}

static const struct mem_fs_ops overlay_mem_ops = {
    .fill_dir = overlay_fill_dir,
    .own = overlay_own,
    .gone = overlay_gone,
    .detach_pages = overlay_detach_pages,
    .truncated = overlay_truncated,
    .fill_xattrs = overlay_fill_xattrs,
};

/* ---- inode operations that look below ---- */

static int overlay_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    struct overlay_node *node = ovl_node(dir);
    struct inode *lower_dir = node->lower, *lower;

    if (!lower_dir || __atomic_load_n(&node->filled, __ATOMIC_ACQUIRE)) {
        if (!memdir_find(&node->mem.dir, name, len, out))
            return -ENOENT;
        if (*out)
            return 0;
    }
    if (!lower_dir || !lower_dir->ops->lookup)
        return -ENOENT;
    mutex_lock(&lower_dir->lock);
    int ret = lower_dir->ops->lookup(lower_dir, name, len, &lower);
    mutex_unlock(&lower_dir->lock);
    if (ret == -EACCES && overlay_fill_dir(dir) == 0) {
        if (!memdir_find(&node->mem.dir, name, len, out))
            return -ENOENT;
        if (*out)
            return 0;
    }
    return ret ? ret : inode_for_lower(dir->sb, lower, dir, out);
}

static int64_t overlay_readlink(struct inode *inode, char *buf, size_t size)
{
    struct inode *lower = ovl_node(inode)->lower;

    if (!lower)
        return mem_readlink(inode, buf, size);
    return lower->ops->readlink ? lower->ops->readlink(lower, buf, size) : -EINVAL;
}

/* The lower inode whose attributes are still this one's, or NULL. */
static struct inode *xattrs_below(struct inode *inode)
{
    struct overlay_node *node = ovl_node(inode);
    return __atomic_load_n(&node->xattrs_filled, __ATOMIC_ACQUIRE) ? NULL : node->lower;
}

static int64_t overlay_getxattr(struct inode *inode, const char *name, void *buf, size_t size)
{
    struct inode *lower = xattrs_below(inode);

    if (!lower || !xattr_name_known(name))
        return mem_getxattr(inode, name, buf, size);
    return lower->ops->getxattr ? lower->ops->getxattr(lower, name, buf, size) : -ENODATA;
}

static int64_t overlay_listxattr(struct inode *inode, char *buf, size_t size)
{
    struct inode *lower = xattrs_below(inode);

    if (!lower)
        return mem_listxattr(inode, buf, size);
    return lower->ops->listxattr ? lower->ops->listxattr(lower, buf, size) : 0;
}

static const struct inode_ops overlay_inode_ops = {
    .lookup = overlay_lookup,
    .create = mem_create,
    .symlink = mem_symlink,
    .link = mem_link,
    .unlink = mem_unlink,
    .rmdir = mem_rmdir,
    .rename = mem_rename,
    .readlink = overlay_readlink,
    .setattr = mem_setattr,
    .tmpfile = mem_tmpfile,
    .getxattr = overlay_getxattr,
    .setxattr = mem_setxattr,
    .listxattr = overlay_listxattr,
    .removexattr = mem_removexattr,
};

/* The lower file system may have the last word on whether its data can be read; it looks at
 * nothing but the inode. */
static int overlay_file_open(struct inode *inode, struct file *f)
{
    struct inode *lower = ovl_node(inode)->lower;

    if (!lower || !(f->mode & FMODE_READ) || !lower->fops || !lower->fops->open)
        return 0;
    return lower->fops->open(lower, f);
}

static const struct file_ops overlay_file_fops = {
    .read = mem_file_read,
    .write = mem_file_write,
    .lseek = mem_file_lseek,
    .fallocate = mem_file_fallocate,
    .mmap = mem_file_mmap,
    .open = overlay_file_open,
};

/* ---- super block ---- */

static int overlay_statfs(struct super_block *sb, struct k_statfs *st)
{
    return mem_statfs(sb, st, OVERLAY_MAGIC);
}

static void overlay_destroy(struct super_block *sb)
{
    struct overlay *fs = ovl_fs(sb);

    for (;;) {
        struct inode *inode = NULL;
        spin_lock(&fs->lock);
        if (!list_empty(&fs->owned)) {
            struct overlay_node *node = list_first(&fs->owned, struct overlay_node, owned_link);
            inode = node->inode;
            disown_locked(node);
        }
        spin_unlock(&fs->lock);
        if (!inode)
            break;
        inode_put(inode);
    }
    super_put(fs->lower);
    kfree(fs);
}

static const struct super_ops overlay_super_ops = {
    .evict = overlay_evict,
    .statfs = overlay_statfs,
    .destroy = overlay_destroy,
};

struct super_block *overlay_create(struct super_block *lower)
{
    struct overlay *fs = kzalloc(sizeof(*fs));
    struct super_block *sb = fs ? super_new("overlay", &overlay_super_ops) : NULL;

    if (!sb) {
        kfree(fs);
        return err_ptr(-ENOMEM);
    }
    fs->mem = (struct mem_fs){
        .ops = &overlay_mem_ops,
        .inode_ops = &overlay_inode_ops,
        .dir_fops = &mem_dir_fops,
        .file_fops = &overlay_file_fops,
        .node_size = sizeof(struct overlay_node),
    };
    fs->lower = lower;
    spin_init(&fs->lock);
    list_init(&fs->owned);
    for (unsigned i = 0; i < HASH_BUCKETS; i++)
        list_init(&fs->bucket[i]);
    sb->priv = fs;
    sb->next_ino = FIRST_OWN_INO;
    sb->source = kstrdup("overlay");

    struct inode *root, *lower_root = lower->root->inode;
    inode_get(lower_root);
    int ret = inode_for_lower(sb, lower_root, NULL, &root);
    ref_get(&lower->ref); /* the caller keeps its reference on failure */
    struct super_block *made = super_set_root(sb, ret ? NULL : root);
    if (!is_err(made))
        super_put(lower);
    return ret ? err_ptr(ret) : made;
}
