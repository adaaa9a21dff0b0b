/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tmpfs: files in the keep's memory. Everything but the super block is shared with the overlay
 * and stands in mem_node.c (names, attributes) and mem_file.c (data).
 *
 * Also files without a name for memfd_create and shared anonymous memory: inodes of one hidden
 * tmpfs, each with a dentry that was never in the cache, so that /proc shows them as "/memfd:NAME
 * (deleted)".
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/string.h"
#include "fs/inode.h"
#include "fs/memfs.h"
#include "fs/mount.h"
#include "mm/mm.h"

#define TMPFS_MAGIC 0x01021994

struct tmpfs {
    struct mem_fs mem;
    kmode_t root_mode;
};

static const struct mem_fs_ops tmpfs_mem_ops; /* all NULL: nothing is below */

static const struct inode_ops tmpfs_inode_ops = {
    .lookup = mem_lookup,
    .create = mem_create,
    .symlink = mem_symlink,
    .link = mem_link,
    .unlink = mem_unlink,
    .rmdir = mem_rmdir,
    .rename = mem_rename,
    .readlink = mem_readlink,
    .setattr = mem_setattr,
    .tmpfile = mem_tmpfile,
    .getxattr = mem_getxattr,
    .setxattr = mem_setxattr,
    .listxattr = mem_listxattr,
    .removexattr = mem_removexattr,
};

static void tmpfs_evict(struct inode *inode)
{
    mem_node_free(inode);
}

static int tmpfs_statfs(struct super_block *sb, struct k_statfs *st)
{
    return mem_statfs(sb, st, TMPFS_MAGIC);
}

static void tmpfs_show_options(struct super_block *sb, char *buf, size_t size)
{
    struct tmpfs *fs = sb->priv;
    int n = 0;

    if (size)
        buf[0] = 0;
    if (fs->mem.max_pages)
        n = k_snprintf(buf, size, ",size=%luk", fs->mem.max_pages * (PAGE_SIZE / 1024));
    if (fs->root_mode != 01777 && (size_t)n < size)
        k_snprintf(buf + n, size - (size_t)n, ",mode=%o", (unsigned)fs->root_mode);
}

static void tmpfs_destroy(struct super_block *sb)
{
    kfree(sb->priv);
}

static const struct super_ops tmpfs_super_ops = {
    .evict = tmpfs_evict,
    .statfs = tmpfs_statfs,
    .show_options = tmpfs_show_options,
    .destroy = tmpfs_destroy,
};

struct super_block *tmpfs_create(kmode_t root_mode, uint64_t max_bytes)
{
    struct tmpfs *fs = kzalloc(sizeof(*fs));
    struct super_block *sb = fs ? super_new("tmpfs", &tmpfs_super_ops) : NULL;

    if (!sb) {
        kfree(fs);
        return err_ptr(-ENOMEM);
    }
    fs->root_mode = root_mode & 07777;
    fs->mem = (struct mem_fs){
        .ops = &tmpfs_mem_ops,
        .inode_ops = &tmpfs_inode_ops,
        .dir_fops = &mem_dir_fops,
        .file_fops = &mem_file_fops,
        .node_size = sizeof(struct mem_node),
        .max_pages = bytes_to_pages(max_bytes),
    };
    sb->priv = fs;
    return super_set_root(sb, mem_inode_new(sb, S_IFDIR_K | fs->root_mode, 0, 0, 0));
}

/* ---- files without a name ---- */

static struct mount *hidden_mount; /* of their tmpfs; made at first use, under hidden_lock */
static struct mutex hidden_lock = {SPINLOCK_INIT, NULL, WAIT_QUEUE_INIT(hidden_lock.q)};

static int hidden_mount_init(void)
{
    int ret = 0;

    if (likely(__atomic_load_n(&hidden_mount, __ATOMIC_ACQUIRE)))
        return 0;
    mutex_lock(&hidden_lock);
    if (!hidden_mount) {
        struct super_block *sb = tmpfs_create(01777, 0);
        struct mount *m = is_err(sb) ? NULL : mount_internal(sb);
        if (m)
            __atomic_store_n(&hidden_mount, m, __ATOMIC_RELEASE);
        else
            ret = -ENOMEM;
        if (!is_err(sb))
            super_put(sb);
    }
    mutex_unlock(&hidden_lock);
    return ret;
}

struct file *tmpfs_file_create(const char *name, uint64_t size, uint32_t flags)
{
    if (size > MEM_FILE_SIZE_MAX)
        return err_ptr(-EFBIG);
    int ret = hidden_mount_init();
    if (ret)
        return err_ptr(ret);
    size_t len = k_min(strlen(name), (size_t)NAME_MAX_K);
    struct dentry *d = dentry_new(hidden_mount->root, name, len, 0);
    if (!d)
        return err_ptr(-ENOMEM);
    d->inode = mem_inode_new(hidden_mount->sb, S_IFREG_K | 0777, 0, vfs_fsuid(), vfs_fsgid());
    struct file *f = err_ptr(-ENOMEM);
    if (d->inode) {
        struct path p = {hidden_mount, d};
        d->inode->nlink = 0;
        d->inode->size = size;
        /* Who asks for a file of his own may do all with it. */
        f = file_open_path(&p, (flags & ~(uint32_t)O_ACCMODE_K) | O_RDWR_K);
    }
    dentry_put(d);
    return f;
}

/* ---- seals ---- */

static bool has_seals(const struct inode *inode)
{
    return inode->sb && inode->sb->ops == &tmpfs_super_ops && S_ISREG_K(inode->mode);
}

int64_t tmpfs_get_seals(struct inode *inode)
{
    return has_seals(inode) ? (int64_t)READ_ONCE(mem_node(inode)->file.seals) : -EINVAL;
}

void tmpfs_set_seals(struct inode *inode, uint32_t seals)
{
    if (!has_seals(inode))
        return;
    mutex_lock(&inode->lock);
    WRITE_ONCE(mem_node(inode)->file.seals, seals);
    mutex_unlock(&inode->lock);
}

/* Is the file mapped shared, such that it may be written through the mapping? */
static bool mapped_shared_writable(struct inode *inode)
{
    struct vma *v;
    bool found = false;

    mutex_lock(&inode->pages.lock);
    list_for_each (v, &inode->pages.mappings, mapping_link)
        if ((v->flags & VMA_SHARED) && (v->max_prot & PROT_WRITE_K))
            found = true;
    mutex_unlock(&inode->pages.lock);
    return found;
}

int tmpfs_add_seals(struct inode *inode, uint32_t seals)
{
    const uint32_t all = F_SEAL_SEAL_K | F_SEAL_SHRINK_K | F_SEAL_GROW_K | F_SEAL_WRITE_K |
                         F_SEAL_FUTURE_WRITE_K | F_SEAL_EXEC_K;
    int ret = 0;

    if (!has_seals(inode) || (seals & ~all))
        return -EINVAL;
    mutex_lock(&inode->lock);
    uint32_t *have = &mem_node(inode)->file.seals;
    if (*have & F_SEAL_SEAL_K)
        ret = -EPERM;
    else if ((seals & F_SEAL_WRITE_K) && !(*have & F_SEAL_WRITE_K) && mapped_shared_writable(inode))
        ret = -EBUSY;
    else
        WRITE_ONCE(*have, *have | seals);
    mutex_unlock(&inode->lock);
    return ret;
}
