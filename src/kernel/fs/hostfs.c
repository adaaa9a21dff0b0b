/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host directories: super block, inodes, handles and attributes. See hostfs.h.
 */
#include "fs/hostfs.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/string.h"
#include "fs/memfs.h"

/* ---- identity ---- */

uint64_t hostfs_ino(struct hostfs *fs, uint64_t host_dev, uint64_t host_ino)
{
    uint32_t i;

    spin_lock(&fs->lock);
    for (i = 0; i < fs->nr_devs && fs->dev[i] != host_dev; i++)
        ;
    if (i == fs->nr_devs && i < HOSTFS_MAX_DEVS)
        fs->dev[fs->nr_devs++] = host_dev;
    spin_unlock(&fs->lock);
    /* All of a grant is one device to the keep: numbers from below other mount points are moved
     * out of the way. */
    return host_ino ^ (uint64_t)i << 54;
}

static struct list *bucket_of(struct hostfs *fs, uint64_t dev, uint64_t ino)
{
    uint64_t h = (ino ^ dev << 32 ^ dev >> 32) * 0x9e3779b97f4a7c15ull;
    return &fs->bucket[h >> 40 & (HOSTFS_BUCKETS - 1)];
}

bool hostfs_stat_valid(const struct cella_host_stat *st)
{
    switch (st->mode & S_IFMT_K) {
    case S_IFREG_K:
    case S_IFDIR_K:
    case S_IFLNK_K:
    case S_IFCHR_K:
    case S_IFBLK_K:
    case S_IFIFO_K:
    case S_IFSOCK_K: break;
    default: return false;
    }
    return (st->mode >> 16) == 0 && st->size <= HOSTFS_SIZE_MAX && st->blocks <= HOSTFS_SIZE_MAX &&
           st->atime_nsec < NSEC_PER_SEC && st->mtime_nsec < NSEC_PER_SEC &&
           st->ctime_nsec < NSEC_PER_SEC;
}

/* ---- handles ---- */

void hostfs_close(struct hostfs *fs, int64_t handle)
{
    struct host_call c = {.op = CELLA_HOST_CLOSE, .a = {(uint64_t)handle}};

    (void)host_call(&c, WAIT_UNINTERRUPTIBLE); /* nothing can be done about an error */
}

/* Closes unused handles until at most `keep` are open, or none is unused. */
static void trim_handles(struct hostfs *fs, uint32_t keep)
{
    for (;;) {
        int64_t handle = -1;
        spin_lock(&fs->lock);
        if (fs->nr_handles > keep && !list_empty(&fs->unused)) {
            struct hostfs_node *node = list_first(&fs->unused, struct hostfs_node, lru_link);
            list_del(&node->lru_link);
            handle = node->handle;
            node->handle = -1;
            fs->nr_handles--;
        }
        spin_unlock(&fs->lock);
        if (handle < 0)
            return;
        hostfs_close(fs, handle);
    }
}

int64_t hostfs_call_open(struct hostfs *fs, struct host_call *c)
{
    const struct host_call again = *c;
    int64_t ret = host_call(c, WAIT_UNINTERRUPTIBLE);

    if (ret != -EMFILE && ret != -ENFILE)
        return ret;
    /* The host has fewer descriptors than we thought. */
    spin_lock(&fs->lock);
    fs->max_handles = k_max(fs->nr_handles / 2, 32u);
    uint32_t keep = fs->max_handles;
    spin_unlock(&fs->lock);
    trim_handles(fs, keep);
    *c = again;
    return host_call(c, WAIT_UNINTERRUPTIBLE);
}

/* May the handle be closed while the inode lives? */
static bool can_reopen_locked(const struct hostfs_node *node)
{
    return node->is_root || node->name;
}

/* Gives the inode a fresh handle, unless it has one by now: then the fresh one is closed. */
static void adopt_handle(struct hostfs *fs, struct hostfs_node *node, int64_t handle)
{
    spin_lock(&fs->lock);
    bool taken = node->handle < 0;
    if (taken) {
        node->handle = handle;
        fs->nr_handles++;
        if (node->users == 0 && can_reopen_locked(node))
            list_add_tail(&node->lru_link, &fs->unused);
    }
    bool many = fs->nr_handles > fs->max_handles;
    uint32_t keep = fs->max_handles - fs->max_handles / 8;
    spin_unlock(&fs->lock);
    if (!taken)
        hostfs_close(fs, handle);
    if (many)
        trim_handles(fs, keep);
}

static int64_t take_handle(struct hostfs *fs, struct hostfs_node *node)
{
    spin_lock(&fs->lock);
    int64_t handle = node->handle;
    if (handle >= 0) {
        node->users++;
        list_del(&node->lru_link);
    }
    spin_unlock(&fs->lock);
    return handle;
}

void hostfs_handle_put(struct inode *inode)
{
    struct hostfs *fs = hostfs_of(inode);
    struct hostfs_node *node = hostfs_node(inode);

    spin_lock(&fs->lock);
    if (--node->users == 0 && can_reopen_locked(node))
        list_add_tail(&node->lru_link, &fs->unused);
    spin_unlock(&fs->lock);
}

static int64_t open_root(struct hostfs *fs)
{
    struct host_call c = {.op = CELLA_HOST_ROOT, .a = {fs->grant}};
    return hostfs_call_open(fs, &c);
}

/* Looks name up in the open directory and checks that it is still this node. */
static int64_t open_in_parent(struct hostfs *fs, struct hostfs_node *node, int64_t parent_handle,
                              const char *name, size_t len)
{
    struct cella_host_stat st;
    struct host_call c = {.op = CELLA_HOST_LOOKUP,
                          .a = {(uint64_t)parent_handle},
                          .send = name,
                          .send_len = (uint32_t)len + 1,
                          .recv = &st,
                          .recv_max = sizeof(st)};
    int64_t handle = hostfs_call_open(fs, &c);

    if (handle < 0)
        return handle == -ENOENT ? -ESTALE : handle;
    if (c.recv_len != sizeof(st) || st.dev != node->host_dev || st.ino != node->host_ino ||
        (st.mode & S_IFMT_K) != (node->inode->mode & S_IFMT_K)) {
        hostfs_close(fs, handle);
        return -ESTALE;
    }
    return handle;
}

/* Opens the node's handle again, its parent's being open. -EAGAIN: the parent's is not. */
static int reopen_node(struct hostfs *fs, struct hostfs_node *node)
{
    char *name = kmalloc(NAME_MAX_K + 1);
    struct inode *parent = NULL;
    int64_t handle = -ESTALE;
    size_t len = 0;

    if (!name)
        return -ENOMEM;
    mutex_lock(&node->open_lock);
    spin_lock(&fs->lock);
    bool open = node->handle >= 0;
    if (!open && node->name) {
        len = node->name_len;
        memcpy(name, node->name, len + 1);
        parent = node->parent;
        inode_get(parent);
    }
    spin_unlock(&fs->lock);
    if (open) {
        handle = 0;
    } else if (node->is_root) {
        handle = open_root(fs);
    } else if (parent) {
        int64_t parent_handle = take_handle(fs, hostfs_node(parent));
        handle = -EAGAIN;
        if (parent_handle >= 0) {
            handle = open_in_parent(fs, node, parent_handle, name, len);
            hostfs_handle_put(parent);
        }
    }
    if (!open && handle >= 0)
        adopt_handle(fs, node, handle);
    mutex_unlock(&node->open_lock);
    if (parent)
        inode_put(parent);
    kfree(name);
    return handle < 0 ? (int)handle : 0;
}

/* The highest ancestor of node (or itself) without a handle whose parent has one; counted. */
static struct inode *first_closed(struct hostfs *fs, struct hostfs_node *node)
{
    spin_lock(&fs->lock);
    while (node->name && hostfs_node(node->parent)->handle < 0)
        node = hostfs_node(node->parent);
    inode_get(node->inode);
    spin_unlock(&fs->lock);
    return node->inode;
}

int64_t hostfs_handle_get(struct inode *inode)
{
    struct hostfs *fs = hostfs_of(inode);
    struct hostfs_node *node = hostfs_node(inode);

    /* Opens from the top down, one a round: no recursion, however deep the path. */
    for (int rounds = 0; rounds < 2 * PATH_MAX_K; rounds++) {
        int64_t handle = take_handle(fs, node);
        if (handle >= 0)
            return handle;
        struct inode *closed = first_closed(fs, node);
        int ret = reopen_node(fs, hostfs_node(closed));
        inode_put(closed);
        if (ret && ret != -EAGAIN)
            return ret;
    }
    return -ESTALE;
}

/* ---- names of nodes ---- */

void hostfs_set_name(struct inode *inode, struct inode *dir, const char *name, size_t len)
{
    struct hostfs *fs = hostfs_of(inode);
    struct hostfs_node *node = hostfs_node(inode);
    char *copy = name ? kstrndup(name, len) : NULL;

    if (copy)
        inode_get(dir);
    spin_lock(&fs->lock);
    char *old_name = node->name;
    struct inode *old_parent = node->parent;
    node->name = copy;
    node->name_len = copy ? (uint32_t)len : 0;
    node->parent = copy ? dir : NULL;
    /* Without a name the handle is the only way to the file: it must stay. */
    list_del(&node->lru_link);
    if (node->handle >= 0 && node->users == 0 && can_reopen_locked(node))
        list_add_tail(&node->lru_link, &fs->unused);
    spin_unlock(&fs->lock);
    kfree(old_name);
    if (old_parent)
        inode_put(old_parent);
    if (copy && S_ISDIR_K(inode->mode))
        WRITE_ONCE(node->dir.parent_ino, dir->ino);
}

/* ---- attributes ---- */

static void copy_stat(struct inode *inode, const struct cella_host_stat *st)
{
    struct hostfs_node *node = hostfs_node(inode);

    inode->mode = st->mode;
    inode->nlink = st->nlink;
    inode->uid = st->uid;
    inode->gid = st->gid;
    inode->rdev = st->rdev;
    inode->blocks = st->blocks;
    inode->atime = (struct k_timespec){st->atime_sec, st->atime_nsec};
    inode->mtime = (struct k_timespec){st->mtime_sec, st->mtime_nsec};
    inode->ctime = (struct k_timespec){st->ctime_sec, st->ctime_nsec};
    inode->btime = inode->mtime;
    node->host_mtime = inode->mtime;
}

void hostfs_apply_stat(struct inode *inode, const struct cella_host_stat *st, bool locked)
{
    struct hostfs *fs = hostfs_of(inode);
    struct hostfs_node *node = hostfs_node(inode);

    if (fs->read_only || (st->mode & S_IFMT_K) != (inode->mode & S_IFMT_K))
        return;
    /* Whoever holds the lock is changing the file right now: its size and data are not the host's
     * to tell. */
    if (!locked && !mutex_trylock(&inode->lock))
        return;
    uint64_t old_size = inode->size;
    bool newer = st->mtime_sec != node->host_mtime.sec || st->mtime_nsec != node->host_mtime.nsec;
    bool stale = st->size != old_size || (newer && !node->written_here);
    copy_stat(inode, st);
    node->written_here = false;
    if (S_ISREG_K(inode->mode) && stale) {
        (void)page_cache_sync(&inode->pages, 0, old_size);
        WRITE_ONCE(inode->size, st->size);
        page_cache_truncate(&inode->pages, old_size, 0);
    } else {
        WRITE_ONCE(inode->size, st->size);
    }
    node->attr_until = ktime_add(time_mono_ns(), HOSTFS_FRESH_NS);
    if (S_ISLNK_K(inode->mode) && newer) {
        mutex_lock(&node->list_lock);
        kfree(node->target);
        node->target = NULL;
        mutex_unlock(&node->list_lock);
    }
    if (!locked)
        mutex_unlock(&inode->lock);
}

int hostfs_refresh(struct inode *inode, bool force, bool locked)
{
    struct hostfs_node *node = hostfs_node(inode);
    struct cella_host_stat st;

    if (hostfs_of(inode)->read_only || (!force && time_mono_ns() < READ_ONCE(node->attr_until)))
        return 0;
    int64_t handle = hostfs_handle_get(inode);
    if (handle < 0)
        return (int)handle;
    struct host_call c = {
        .op = CELLA_HOST_STAT, .a = {(uint64_t)handle}, .recv = &st, .recv_max = sizeof(st)};
    int64_t ret = host_call(&c, WAIT_UNINTERRUPTIBLE);
    hostfs_handle_put(inode);
    if (ret < 0)
        return (int)ret;
    if (c.recv_len != sizeof(st) || !hostfs_stat_valid(&st) || st.dev != node->host_dev ||
        st.ino != node->host_ino)
        return -EIO;
    hostfs_apply_stat(inode, &st, locked);
    return 0;
}

/* ---- inodes ---- */

static bool has_name_locked(const struct hostfs_node *node, const struct inode *dir,
                            const char *name, size_t len)
{
    return node->parent == dir && node->name && node->name_len == len &&
           memcmp(node->name, name, len) == 0;
}

/* A directory is the same one only where it stands under the same name: two places may show one
 * host directory (bind mounts there, or a host that lies), but to the VFS a directory has one
 * parent, and locks are taken from parent to child. */
static struct inode *find_counted_locked(struct hostfs *fs, const struct cella_host_stat *st,
                                         const struct inode *dir, const char *name, size_t len)
{
    struct hostfs_node *node;

    list_for_each (node, bucket_of(fs, st->dev, st->ino), hash_link) {
        if (node->host_dev != st->dev || node->host_ino != st->ino ||
            (node->inode->mode & S_IFMT_K) != (st->mode & S_IFMT_K))
            continue;
        if (S_ISDIR_K(st->mode) && !(dir ? has_name_locked(node, dir, name, len) : node->is_root))
            continue;
        if (ref_get_unless_zero(&node->inode->ref))
            return node->inode;
    }
    return NULL;
}

/* A new inode that nobody else knows yet; NULL: no memory. */
static struct inode *make_inode(struct hostfs *fs, const struct cella_host_stat *st,
                                struct inode *dir)
{
    struct hostfs_node *node = kzalloc(sizeof(*node));
    struct inode *inode = node ? inode_new(fs->sb, st->mode) : NULL;

    if (!inode) {
        kfree(node);
        return NULL;
    }
    node->inode = inode;
    node->host_dev = st->dev;
    node->host_ino = st->ino;
    node->handle = -1;
    node->is_root = !dir;
    list_init(&node->hash_link);
    list_init(&node->lru_link);
    mutex_init(&node->open_lock);
    mutex_init(&node->list_lock);
    inode->priv = node;
    inode->ino = hostfs_ino(fs, st->dev, st->ino);
    inode->ops = fs->read_only ? &hostfs_ro_ops : &hostfs_rw_ops;
    inode->fops = &special_fops;
    inode->size = st->size;
    copy_stat(inode, st);
    node->attr_until = ktime_add(time_mono_ns(), HOSTFS_FRESH_NS);
    if (S_ISDIR_K(st->mode)) {
        memdir_init(&node->dir, dir ? dir->ino : inode->ino);
        inode->fops = &hostfs_dir_fops;
        if (!fs->read_only)
            inode->flags |= INODE_NO_NEGATIVE;
    } else if (S_ISREG_K(st->mode)) {
        inode->fops = fs->read_only ? &hostfs_ro_file_fops : &hostfs_rw_file_fops;
        page_cache_init(&inode->pages, inode,
                        fs->read_only ? &hostfs_ro_page_ops : &hostfs_rw_page_ops);
    }
    return inode;
}

int hostfs_inode_get(struct hostfs *fs, const struct cella_host_stat *st, int64_t handle,
                     struct inode *dir, const char *name, size_t len, struct inode **out)
{
    if (!hostfs_stat_valid(st)) {
        hostfs_close(fs, handle);
        return -EIO;
    }
    spin_lock(&fs->lock);
    struct inode *inode = find_counted_locked(fs, st, dir, name, len), *fresh = NULL;
    spin_unlock(&fs->lock);
    if (!inode) {
        fresh = make_inode(fs, st, dir);
        if (!fresh) {
            hostfs_close(fs, handle);
            return -ENOMEM;
        }
        if (dir)
            hostfs_set_name(fresh, dir, name, len);
        spin_lock(&fs->lock);
        inode = find_counted_locked(fs, st, dir, name, len);
        if (!inode) {
            list_add(&hostfs_node(fresh)->hash_link, bucket_of(fs, st->dev, st->ino));
            inode = fresh;
            fresh = NULL;
        }
        spin_unlock(&fs->lock);
        if (fresh)
            inode_put(fresh);
    }
    struct hostfs_node *node = hostfs_node(inode);
    if (dir) {
        /* The name that was seen last is the best one for opening the file again. */
        spin_lock(&fs->lock);
        bool same = has_name_locked(node, dir, name, len);
        bool replace = !same && (!node->name || !fs->read_only);
        spin_unlock(&fs->lock);
        if (replace)
            hostfs_set_name(inode, dir, name, len);
    }
    adopt_handle(fs, node, handle);
    hostfs_apply_stat(inode, st, false);
    node->name_until = ktime_add(time_mono_ns(), HOSTFS_FRESH_NS);
    *out = inode;
    return 0;
}

static void hostfs_evict(struct inode *inode)
{
    struct hostfs *fs = hostfs_of(inode);
    struct hostfs_node *node = hostfs_node(inode);

    if (!node)
        return;
    /* Out of the hash table first: whoever looks the file up from now on gets a new inode. */
    spin_lock(&fs->lock);
    list_del(&node->hash_link);
    list_del(&node->lru_link);
    int64_t handle = node->handle;
    node->handle = -1;
    if (handle >= 0)
        fs->nr_handles--;
    spin_unlock(&fs->lock);
    if (handle >= 0)
        hostfs_close(fs, handle);

    if (S_ISDIR_K(inode->mode)) {
        struct mem_entry *e = memdir_take_all(&node->dir), *next;
        for (; e; e = next) {
            next = e->chain;
            kfree(e);
        }
    }
    struct inode *parent = node->parent;
    kfree(node->name);
    kfree(node->target);
    inode->priv = NULL;
    kfree(node);
    if (parent)
        inode_put(parent);
}

/* ---- super block ---- */

static int hostfs_statfs(struct super_block *sb, struct k_statfs *st)
{
    struct cella_host_statfs host;
    struct inode *root = sb->root->inode;
    int64_t handle = hostfs_handle_get(root);

    if (handle < 0)
        return (int)handle;
    struct host_call c = {
        .op = CELLA_HOST_STATFS, .a = {(uint64_t)handle}, .recv = &host, .recv_max = sizeof(host)};
    int64_t ret = host_call(&c, WAIT_UNINTERRUPTIBLE);
    hostfs_handle_put(root);
    if (ret < 0)
        return (int)ret;
    /* Whoever divides by the block size or allocates by the name length must not be surprised. */
    if (c.recv_len != sizeof(host) || host.bsize == 0 || host.bsize > 1u << 30 ||
        host.type > UINT32_MAX)
        return -EIO;
    memset(st, 0, sizeof(*st));
    st->f_type = (int64_t)host.type;
    st->f_bsize = st->f_frsize = (int64_t)host.bsize;
    st->f_blocks = host.blocks;
    st->f_bfree = host.bfree;
    st->f_bavail = host.bavail;
    st->f_files = host.files;
    st->f_ffree = host.ffree;
    st->f_fsid[0] = (int32_t)sb->dev;
    st->f_namelen = NAME_MAX_K;
    return 0;
}

static void hostfs_destroy(struct super_block *sb)
{
    kfree(sb->priv);
}

static const struct super_ops hostfs_super_ops = {
    .evict = hostfs_evict,
    .statfs = hostfs_statfs,
    .destroy = hostfs_destroy,
};

static int make_root(struct hostfs *fs)
{
    struct cella_host_stat st;
    struct inode *root;
    int64_t handle = open_root(fs);

    if (handle < 0)
        return (int)handle;
    struct host_call c = {
        .op = CELLA_HOST_STAT, .a = {(uint64_t)handle}, .recv = &st, .recv_max = sizeof(st)};
    int64_t ret = host_call(&c, WAIT_UNINTERRUPTIBLE);
    if (ret < 0 || c.recv_len != sizeof(st)) {
        hostfs_close(fs, handle);
        return ret < 0 ? (int)ret : -EIO;
    }
    ret = hostfs_inode_get(fs, &st, handle, NULL, NULL, 0, &root);
    if (ret)
        return (int)ret;
    fs->sb->root = dentry_new_root(root);
    if (!fs->sb->root) {
        inode_put(root);
        return -ENOMEM;
    }
    return 0;
}

struct super_block *hostfs_create(uint32_t grant, bool read_only)
{
    struct hostfs *fs = kzalloc(sizeof(*fs));
    struct super_block *sb = fs ? super_new("hostfs", &hostfs_super_ops) : NULL;
    char source[32];

    if (!sb) {
        kfree(fs);
        return err_ptr(-ENOMEM);
    }
    fs->sb = sb;
    fs->grant = grant;
    fs->read_only = read_only;
    fs->max_handles = HOSTFS_MAX_HANDLES;
    spin_init(&fs->lock);
    list_init(&fs->unused);
    for (unsigned i = 0; i < HOSTFS_BUCKETS; i++)
        list_init(&fs->bucket[i]);
    sb->priv = fs;
    k_snprintf(source, sizeof(source), "grant%u", grant);
    sb->source = kstrdup(source);
    int ret = make_root(fs);
    if (ret) {
        super_put(sb);
        return err_ptr(ret);
    }
    return sb;
}
