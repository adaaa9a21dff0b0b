/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names in the host's directories, and what is done with them and with attributes. See hostfs.h.
 *
 * A directory's listing is fetched as a whole and kept: for good on read-only grants, where it
 * also answers for names that are not there; else it is fetched again when it is read from the
 * start and is too old. Names that stay keep their cookies over that.
 *
 * Names are sent with their NUL: the data range of a call is as long as its answer may be.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "fs/hostfs.h"
#include "fs/inode.h"
#include "fs/xattr_set.h"

#define LISTING_CHUNK (64u * 1024)
#define LISTING_MAX_NAMES 4000000u /* a host that never says "end" does not fill the keep */
#define SYMLINK_MAX (PATH_MAX_K - 1)

/* A call on one inode's handle. The result of host_call, or the error of opening the handle. */
static int64_t call_on(struct inode *inode, struct host_call *c)
{
    int64_t handle = hostfs_handle_get(inode);

    if (handle < 0)
        return handle;
    c->a[0] = (uint64_t)handle;
    int64_t ret = host_call(c, WAIT_UNINTERRUPTIBLE);
    hostfs_handle_put(inode);
    return ret;
}

/* ---- look-up ---- */

/* Asks the host for a name: a handle with *st checked for length, or negative errno. */
static int64_t ask_name(struct inode *dir, const char *name, size_t len, struct cella_host_stat *st)
{
    struct hostfs *fs = hostfs_of(dir);
    int64_t dir_handle = hostfs_handle_get(dir);

    if (dir_handle < 0)
        return dir_handle;
    struct host_call c = {.op = CELLA_HOST_LOOKUP,
                          .a = {(uint64_t)dir_handle},
                          .send = name,
                          .send_len = (uint32_t)len + 1,
                          .recv = st,
                          .recv_max = sizeof(*st)};
    int64_t handle = hostfs_call_open(fs, &c);
    hostfs_handle_put(dir);
    if (handle >= 0 && c.recv_len != sizeof(*st)) {
        hostfs_close(fs, handle);
        handle = -EIO;
    }
    return handle;
}

static int hostfs_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    struct hostfs *fs = hostfs_of(dir);
    struct hostfs_node *node = hostfs_node(dir);
    struct cella_host_stat st;
    struct inode *none;

    if (fs->read_only && __atomic_load_n(&node->listed, __ATOMIC_ACQUIRE) &&
        !memdir_find(&node->dir, name, len, &none))
        return -ENOENT;
    int64_t handle = ask_name(dir, name, len, &st);
    if (handle < 0)
        return (int)handle;
    return hostfs_inode_get(fs, &st, handle, dir, name, len, out);
}

/* Writable grants: does the name still lead to this inode? */
static bool hostfs_revalidate(struct inode *dir, const char *name, size_t len, struct inode *inode)
{
    struct hostfs_node *node;
    struct cella_host_stat st;

    if (!inode)
        return false;
    node = hostfs_node(inode);
    if (time_mono_ns() < READ_ONCE(node->name_until))
        return true;
    int64_t handle = ask_name(dir, name, len, &st);
    if (handle < 0)
        return false;
    hostfs_close(hostfs_of(dir), handle);
    if (!hostfs_stat_valid(&st) || st.dev != node->host_dev || st.ino != node->host_ino ||
        (st.mode & S_IFMT_K) != (inode->mode & S_IFMT_K))
        return false;
    hostfs_apply_stat(inode, &st, false);
    WRITE_ONCE(node->name_until, ktime_add(time_mono_ns(), HOSTFS_FRESH_NS));
    return true;
}

/* ---- listings ---- */

static bool dt_known(uint8_t type)
{
    switch (type) {
    case DT_FIFO_K:
    case DT_CHR_K:
    case DT_DIR_K:
    case DT_BLK_K:
    case DT_REG_K:
    case DT_LNK_K:
    case DT_SOCK_K: return true;
    default: return false;
    }
}

/* Takes the records of one answer into the table. 0 with *cookie and *count moved on, -EIO,
 * -ENOMEM. */
static int take_records(struct inode *dir, const char *buf, uint32_t len, uint64_t *cookie,
                        uint32_t *count)
{
    struct hostfs *fs = hostfs_of(dir);
    struct hostfs_node *node = hostfs_node(dir);
    uint64_t dev = node->host_dev;

    for (uint32_t at = 0; at < len;) {
        struct cella_host_dirent d;
        if (len - at < sizeof(d))
            return -EIO;
        memcpy(&d, buf + at, sizeof(d));
        const char *name = buf + at + offsetof(struct cella_host_dirent, name);
        if (d.rec_len % 8 || d.rec_len > len - at ||
            d.rec_len < offsetof(struct cella_host_dirent, name) + d.name_len)
            return -EIO;
        at += d.rec_len;
        *cookie = d.next_cookie;
        if (++*count > LISTING_MAX_NAMES)
            return -EIO;
        bool dots = d.name_len && d.name_len <= 2 && memcmp(name, "..", d.name_len) == 0;
        if (dots)
            continue;
        if (!dir_name_valid(name, d.name_len))
            return -EIO;
        uint64_t ino = hostfs_ino(fs, dev, d.ino);
        uint8_t type = dt_known(d.type) ? d.type : DT_UNKNOWN_K;
        if (memdir_mark(&node->dir, name, d.name_len, node->generation, ino, type))
            continue;
        struct mem_entry *e = mem_entry_new(name, d.name_len, ino, type, NULL);
        if (!e)
            return -ENOMEM;
        e->generation = node->generation;
        if (memdir_add(&node->dir, e))
            kfree(e);
    }
    return 0;
}

static int fetch_listing(struct inode *dir)
{
    struct hostfs_node *node = hostfs_node(dir);
    char *buf = kmalloc(LISTING_CHUNK);
    uint64_t cookie = 0;
    uint32_t count = 0;
    int64_t ret;

    if (!buf)
        return -ENOMEM;
    node->generation++;
    do {
        struct host_call c = {
            .op = CELLA_HOST_READDIR, .a = {0, cookie}, .recv = buf, .recv_max = LISTING_CHUNK};
        ret = call_on(dir, &c);
        if (ret > 0)
            ret =
                ret == c.recv_len ? take_records(dir, buf, c.recv_len, &cookie, &count) ?: 1 : -EIO;
    } while (ret > 0);
    kfree(buf);
    if (ret < 0)
        return (int)ret;
    memdir_drop_unmarked(&node->dir, node->generation);
    __atomic_store_n(&node->listed, true, __ATOMIC_RELEASE);
    node->listed_until = ktime_add(time_mono_ns(), HOSTFS_FRESH_NS);
    return 0;
}

static int hostfs_readdir(struct file *f, struct dir_context *ctx)
{
    struct inode *dir = f->inode;
    struct hostfs *fs = hostfs_of(dir);
    struct hostfs_node *node = hostfs_node(dir);
    int ret = 0;

    if (!fs->read_only || !__atomic_load_n(&node->listed, __ATOMIC_ACQUIRE)) {
        mutex_lock(&node->list_lock);
        bool old = !fs->read_only && ctx->pos == 0 && time_mono_ns() >= node->listed_until;
        if (!node->listed || old)
            ret = fetch_listing(dir);
        mutex_unlock(&node->list_lock);
        if (ret)
            return ret;
    }
    return memdir_emit(&node->dir, ctx, dir->ino);
}

/* ---- changes of names ---- */

/* The names of dir were changed by us. */
static void dir_changed(struct inode *dir)
{
    hostfs_node(dir)->attr_until = 0; /* ask for its times and link count */
    inode_touch(dir, ATTR_MTIME | ATTR_CTIME);
}

static void listing_add(struct inode *dir, const char *name, size_t len, struct inode *inode)
{
    struct hostfs_node *node = hostfs_node(dir);
    uint8_t type = mode_to_dt(inode->mode);

    mutex_lock(&node->list_lock);
    if (node->listed && !memdir_mark(&node->dir, name, len, node->generation, inode->ino, type)) {
        struct mem_entry *e = mem_entry_new(name, len, inode->ino, type, NULL);
        if (e)
            e->generation = node->generation;
        if (!e || memdir_add(&node->dir, e)) {
            kfree(e);
            node->listed = false; /* fetched again when next read */
        }
    }
    mutex_unlock(&node->list_lock);
}

static void listing_remove(struct inode *dir, const char *name, size_t len)
{
    struct hostfs_node *node = hostfs_node(dir);

    mutex_lock(&node->list_lock);
    if (node->listed)
        kfree(memdir_remove(&node->dir, name, len));
    mutex_unlock(&node->list_lock);
}

static int hostfs_create_op(struct inode *dir, const char *name, size_t len, kmode_t mode,
                            uint64_t rdev, kuid_t uid, kgid_t gid, struct inode **out)
{
    struct hostfs *fs = hostfs_of(dir);
    struct cella_host_stat st;

    if (S_ISCHR_K(mode) || S_ISBLK_K(mode))
        return -EPERM;
    int64_t dir_handle = hostfs_handle_get(dir);
    if (dir_handle < 0)
        return (int)dir_handle;
    struct host_call c = {.op = CELLA_HOST_CREATE,
                          .a = {(uint64_t)dir_handle, mode, uid, gid},
                          .send = name,
                          .send_len = (uint32_t)len + 1,
                          .recv = &st,
                          .recv_max = sizeof(st)};
    int64_t handle = hostfs_call_open(fs, &c);
    hostfs_handle_put(dir);
    if (handle < 0)
        return (int)handle;
    if (c.recv_len != sizeof(st) || (st.mode & S_IFMT_K) != (mode & S_IFMT_K)) {
        hostfs_close(fs, handle);
        return -EIO;
    }
    int ret = hostfs_inode_get(fs, &st, handle, dir, name, len, out);
    if (ret == 0) {
        dir_changed(dir);
        listing_add(dir, name, len, *out);
    }
    return ret;
}

static int hostfs_symlink(struct inode *dir, const char *name, size_t len, const char *target,
                          kuid_t uid, kgid_t gid, struct inode **out)
{
    struct host_call c = {.op = CELLA_HOST_SYMLINK,
                          .send = name,
                          .send_len = (uint32_t)len + 1,
                          .send2 = target,
                          .send2_len = (uint32_t)strlen(target)};

    int64_t ret = call_on(dir, &c);
    if (ret < 0)
        return (int)ret;
    dir_changed(dir);
    int err = hostfs_lookup(dir, name, len, out);
    if (err)
        return err;
    listing_add(dir, name, len, *out);
    struct iattr owner = {.valid = ATTR_UID | ATTR_GID, .uid = uid, .gid = gid};
    if ((*out)->uid != uid || (*out)->gid != gid)
        (void)hostfs_setattr(*out, &owner); /* as far as the host lets us */
    return 0;
}

static int hostfs_link(struct inode *dir, const char *name, size_t len, struct inode *target)
{
    int64_t target_handle = hostfs_handle_get(target);

    if (target_handle < 0)
        return (int)target_handle;
    struct host_call c = {.op = CELLA_HOST_LINK,
                          .a = {0, (uint64_t)target_handle},
                          .send = name,
                          .send_len = (uint32_t)len + 1};
    int64_t ret = call_on(dir, &c);
    hostfs_handle_put(target);
    if (ret < 0)
        return (int)ret;
    dir_changed(dir);
    listing_add(dir, name, len, target);
    __atomic_add_fetch(&target->nlink, 1, __ATOMIC_RELAXED);
    inode_touch(target, ATTR_CTIME);
    hostfs_node(target)->attr_until = 0;
    return 0;
}

/* inode lost the name by which its handle could be opened again. */
static void name_lost(struct inode *inode)
{
    hostfs_set_name(inode, NULL, NULL, 0);
    if (S_ISDIR_K(inode->mode)) {
        inode->flags |= INODE_DEAD;
        __atomic_store_n(&inode->nlink, 0, __ATOMIC_RELAXED);
    } else if (inode->nlink) {
        __atomic_sub_fetch(&inode->nlink, 1, __ATOMIC_RELAXED);
    }
    inode_touch(inode, ATTR_CTIME);
}

static int remove_name(struct inode *dir, const char *name, size_t len, struct inode *victim,
                       bool is_dir)
{
    /* Open files live on: the handle must be there before the name goes. When it cannot be had,
     * so be it. */
    bool held = hostfs_handle_get(victim) >= 0;
    struct host_call c = {
        .op = CELLA_HOST_UNLINK, .a = {0, is_dir}, .send = name, .send_len = (uint32_t)len + 1};

    int64_t ret = call_on(dir, &c);
    if (ret >= 0) {
        name_lost(victim);
        dir_changed(dir);
        listing_remove(dir, name, len);
    }
    if (held)
        hostfs_handle_put(victim);
    return ret < 0 ? (int)ret : 0;
}

static int hostfs_unlink(struct inode *dir, const char *name, size_t len, struct inode *victim)
{
    return remove_name(dir, name, len, victim, false);
}

static int hostfs_rmdir(struct inode *dir, const char *name, size_t len, struct inode *victim)
{
    return remove_name(dir, name, len, victim, true);
}

static int hostfs_rename(struct inode *old_dir, const char *old_name, size_t old_len,
                         struct inode *moved, struct inode *new_dir, const char *new_name,
                         size_t new_len, struct inode *victim, unsigned flags)
{
    if (flags & ~(unsigned)(RENAME_NOREPLACE_K | RENAME_EXCHANGE_K))
        return -EINVAL; /* whiteouts are device nodes */
    int64_t new_handle = hostfs_handle_get(new_dir);
    if (new_handle < 0)
        return (int)new_handle;
    bool held = victim && hostfs_handle_get(victim) >= 0;
    struct host_call c = {.op = CELLA_HOST_RENAME,
                          .a = {0, (uint64_t)new_handle, flags},
                          .send = old_name,
                          .send_len = (uint32_t)old_len + 1,
                          .send2 = new_name,
                          .send2_len = (uint32_t)new_len};
    int64_t ret = call_on(old_dir, &c);
    if (ret >= 0 && moved != victim) {
        listing_remove(old_dir, old_name, old_len);
        if (victim && (flags & RENAME_EXCHANGE_K)) {
            hostfs_set_name(victim, old_dir, old_name, old_len);
            listing_add(old_dir, old_name, old_len, victim);
        } else if (victim) {
            name_lost(victim);
        }
        hostfs_set_name(moved, new_dir, new_name, new_len);
        listing_add(new_dir, new_name, new_len, moved);
        dir_changed(old_dir);
        dir_changed(new_dir);
        inode_touch(moved, ATTR_CTIME);
    }
    if (held)
        hostfs_handle_put(victim);
    hostfs_handle_put(new_dir);
    return ret < 0 ? (int)ret : 0;
}

/* ---- attributes ---- */

int hostfs_getattr(struct inode *inode, struct kstat *st)
{
    int ret = hostfs_refresh(inode, false, false);

    /* The file is gone at the host; who has it open still sees what it was. */
    if (ret && ret != -ESTALE)
        return ret;
    inode_fill_stat(inode, st);
    return 0;
}

int hostfs_setattr(struct inode *inode, const struct iattr *attr)
{
    const uint32_t known = CELLA_HOST_ATTR_ALL;
    _Static_assert(
        ATTR_MODE == (int)CELLA_HOST_ATTR_MODE && ATTR_UID == (int)CELLA_HOST_ATTR_UID &&
            ATTR_GID == (int)CELLA_HOST_ATTR_GID && ATTR_SIZE == (int)CELLA_HOST_ATTR_SIZE &&
            ATTR_ATIME == (int)CELLA_HOST_ATTR_ATIME && ATTR_MTIME == (int)CELLA_HOST_ATTR_MTIME,
        "the host's numbers are the kernel's");
    struct cella_host_stat st = {
        .mode = attr->mode & 07777,
        .uid = attr->uid,
        .gid = attr->gid,
        .size = attr->size,
        .atime_sec = attr->atime.sec,
        .atime_nsec = (uint32_t)attr->atime.nsec,
        .mtime_sec = attr->mtime.sec,
        .mtime_nsec = (uint32_t)attr->mtime.nsec,
    };

    if ((attr->valid & ATTR_SIZE) && attr->size > HOSTFS_SIZE_MAX)
        return -EFBIG;
    if (attr->valid & known) {
        struct host_call c = {.op = CELLA_HOST_SETATTR,
                              .a = {0, attr->valid & known},
                              .send = &st,
                              .send_len = sizeof(st)};
        int64_t ret = call_on(inode, &c);
        if (ret < 0)
            return (int)ret;
    }
    hostfs_node(inode)->written_here = true;
    if (attr->valid & ATTR_SIZE) {
        uint64_t old_size = inode->size;
        WRITE_ONCE(inode->size, attr->size);
        page_cache_truncate(&inode->pages, old_size, attr->size);
        inode_touch(inode, ATTR_MTIME);
    }
    inode_apply_attr(inode, attr);
    return 0;
}

static int64_t hostfs_readlink(struct inode *inode, char *buf, size_t size)
{
    struct hostfs_node *node = hostfs_node(inode);
    int64_t ret = 0;

    mutex_lock(&node->list_lock);
    if (!node->target) {
        char *target = kmalloc(SYMLINK_MAX + 1);
        struct host_call c = {.op = CELLA_HOST_READLINK, .recv = target, .recv_max = SYMLINK_MAX};
        ret = target ? call_on(inode, &c) : -ENOMEM;
        if (ret >= 0 && (ret == 0 || ret != c.recv_len || memchr(target, 0, c.recv_len)))
            ret = -EIO;
        if (ret > 0) {
            node->target = kstrndup(target, (size_t)ret);
            node->target_len = (uint32_t)ret;
            if (!node->target)
                ret = -ENOMEM;
        }
        kfree(target);
    }
    if (node->target) {
        ret = (int64_t)k_min((size_t)node->target_len, size);
        memcpy(buf, node->target, (size_t)ret);
    }
    mutex_unlock(&node->list_lock);
    return ret;
}

/* ---- extended attributes ---- */

/* GETXATTR of the host: length, or negative errno. list: the names, else the value of name. */
static int64_t ask_xattr(struct inode *inode, bool list, const char *name, void *buf, size_t size)
{
    uint32_t max = (uint32_t)k_min(size, (size_t)XATTR_SIZE_MAX_K);
    struct host_call c = {.op = CELLA_HOST_GETXATTR,
                          .a = {0, max, list},
                          .send = name,
                          .send_len = (uint32_t)strlen(name) + 1,
                          .recv = buf,
                          .recv_max = max};

    int64_t ret = call_on(inode, &c);
    if (ret >= 0 && (ret > XATTR_SIZE_MAX_K || (max && ret != c.recv_len)))
        return -EIO;
    return ret;
}

/* Does the file have any attributes? Most have none, and are asked for often. */
static bool has_xattrs(struct inode *inode)
{
    struct hostfs_node *node = hostfs_node(inode);

    if (READ_ONCE(node->xattrs) == HOSTFS_XATTRS_UNKNOWN) {
        int64_t ret = ask_xattr(inode, true, "", NULL, 0);
        if (ret < 0 && ret != -EOPNOTSUPP)
            return true;
        WRITE_ONCE(node->xattrs, ret > 0 ? HOSTFS_XATTRS_SOME : HOSTFS_XATTRS_NONE);
    }
    return READ_ONCE(node->xattrs) == HOSTFS_XATTRS_SOME;
}

int64_t hostfs_getxattr(struct inode *inode, const char *name, void *buf, size_t size)
{
    if (!xattr_name_known(name))
        return -EOPNOTSUPP;
    if (!has_xattrs(inode))
        return -ENODATA;
    return ask_xattr(inode, false, name, buf, size);
}

/* Keeps the names of the three name spaces, each with its NUL; the new length, or -EIO when the
 * list is not well formed. */
static int64_t filter_names(char *list, size_t len)
{
    size_t kept = 0;

    if (len && list[len - 1])
        return -EIO;
    for (size_t at = 0; at < len;) {
        size_t n = strlen(list + at) + 1;
        if (n - 1 > NAME_MAX_K)
            return -EIO;
        if (xattr_name_known(list + at)) {
            memmove(list + kept, list + at, n);
            kept += n;
        }
        at += n;
    }
    return (int64_t)kept;
}

int64_t hostfs_listxattr(struct inode *inode, char *buf, size_t size)
{
    if (!has_xattrs(inode))
        return 0;
    char *list = kmalloc(XATTR_LIST_MAX_K);
    if (!list)
        return -ENOMEM;
    int64_t ret = ask_xattr(inode, true, "", list, XATTR_LIST_MAX_K);
    if (ret > 0)
        ret = filter_names(list, (size_t)ret);
    if (ret > 0 && size) {
        if ((size_t)ret > size)
            ret = -ERANGE;
        else
            memcpy(buf, list, (size_t)ret);
    }
    kfree(list);
    return ret;
}

const struct inode_ops hostfs_ro_ops = {
    .lookup = hostfs_lookup,
    .readlink = hostfs_readlink,
    .getxattr = hostfs_getxattr,
    .listxattr = hostfs_listxattr,
};

const struct inode_ops hostfs_rw_ops = {
    .lookup = hostfs_lookup,
    .create = hostfs_create_op,
    .symlink = hostfs_symlink,
    .link = hostfs_link,
    .unlink = hostfs_unlink,
    .rmdir = hostfs_rmdir,
    .rename = hostfs_rename,
    .readlink = hostfs_readlink,
    .getattr = hostfs_getattr,
    .setattr = hostfs_setattr,
    .getxattr = hostfs_getxattr,
    .listxattr = hostfs_listxattr,
    .revalidate = hostfs_revalidate,
};

static int hostfs_dir_fsync(struct file *f, bool data_only)
{
    struct host_call c = {.op = CELLA_HOST_FSYNC, .a = {0, data_only}};

    if (hostfs_of(f->inode)->read_only)
        return 0;
    int64_t ret = call_on(f->inode, &c);
    return ret < 0 ? (int)ret : 0;
}

const struct file_ops hostfs_dir_fops = {.readdir = hostfs_readdir, .fsync = hostfs_dir_fsync};
