/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data of the host's regular files. Reads go through the page cache; writes (writable grants
 * only) go to the page cache and through it to the host within the same call, so that when
 * write(2) returns the host has the bytes.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "fs/hostfs.h"
#include "fs/inode.h"

/* ---- page cache ---- */

static int64_t read_pages(struct inode *inode, void *buf, size_t len, uint64_t off)
{
    int64_t handle = hostfs_handle_get(inode), ret = 0;
    size_t done = 0;

    if (handle < 0)
        return handle;
    while (done < len) {
        uint32_t n = (uint32_t)k_min(len - done, (size_t)CELLA_HOST_MAX_IO);
        struct host_call c = {.op = CELLA_HOST_READ,
                              .a = {(uint64_t)handle, off + done},
                              .recv = (char *)buf + done,
                              .recv_max = n};
        ret = host_call(&c, WAIT_UNINTERRUPTIBLE);
        if (ret >= 0 && (ret != c.recv_len || ret > n))
            ret = -EIO;
        /* An end before the size that the host has told: zeros would be wrong data. A writable
         * file may have been cut short there meanwhile. */
        if (ret == 0 && hostfs_of(inode)->read_only && off + done < inode->size)
            ret = -EIO;
        if (ret <= 0)
            break;
        done += (size_t)ret;
    }
    hostfs_handle_put(inode);
    return ret < 0 ? ret : (int64_t)done;
}

static int64_t write_pages(struct inode *inode, const void *buf, size_t len, uint64_t off)
{
    int64_t handle = hostfs_handle_get(inode), ret = 0;
    size_t done = 0;

    if (handle < 0)
        return handle;
    while (done < len) {
        uint32_t n = (uint32_t)k_min(len - done, (size_t)CELLA_HOST_MAX_IO);
        struct host_call c = {.op = CELLA_HOST_WRITE,
                              .a = {(uint64_t)handle, off + done},
                              .send = (const char *)buf + done,
                              .send_len = n};
        ret = host_call(&c, WAIT_UNINTERRUPTIBLE);
        if (ret > n || ret == 0)
            ret = -EIO;
        if (ret < 0)
            break;
        done += (size_t)ret;
    }
    hostfs_handle_put(inode);
    hostfs_node(inode)->written_here = true;
    return done ? (int64_t)done : ret;
}

const struct page_cache_ops hostfs_ro_page_ops = {.read = read_pages};
const struct page_cache_ops hostfs_rw_page_ops = {.read = read_pages, .write = write_pages};

/* ---- open files ---- */

/* Does the host let us read the file? It may not: the launcher has an owner and a mode to obey as
 * well. Asked where the mode leaves a doubt, so that open fails and not the first read. */
static int check_readable(struct inode *inode)
{
    struct hostfs_node *node = hostfs_node(inode);
    uint8_t byte;

    if ((inode->mode & 0004) || READ_ONCE(node->readable))
        return 0;
    int64_t handle = hostfs_handle_get(inode);
    if (handle < 0)
        return (int)handle;
    struct host_call c = {
        .op = CELLA_HOST_READ, .a = {(uint64_t)handle, 0}, .recv = &byte, .recv_max = 1};
    int64_t ret = host_call(&c, WAIT_UNINTERRUPTIBLE);
    hostfs_handle_put(inode);
    if (ret < 0)
        return (int)ret;
    WRITE_ONCE(node->readable, true);
    return 0;
}

/* Looks at nothing but the inode: the overlay asks with files of its own. */
static int hostfs_ro_open(struct inode *inode, struct file *f)
{
    return check_readable(inode);
}

static int hostfs_rw_open(struct inode *inode, struct file *f)
{
    int ret = hostfs_refresh(inode, false, false);
    if (ret == 0 && (f->mode & FMODE_READ))
        ret = check_readable(inode);
    return ret;
}

static int64_t hostfs_read(struct file *f, struct uio *u, uint64_t *pos)
{
    int ret = hostfs_refresh(f->inode, false, false);
    return ret ? ret : page_cache_read(f->inode, u, pos);
}

static int64_t hostfs_write(struct file *f, struct uio *u, uint64_t *pos)
{
    struct inode *inode = f->inode;

    mutex_lock(&inode->lock);
    int64_t ret = hostfs_refresh(inode, false, true);
    if (ret == 0) {
        if (f->flags & O_APPEND_K)
            *pos = inode->size;
        inode_drop_privileges_locked(inode);
        ret = page_cache_write(inode, u, pos);
        if (ret > 0)
            inode_touch(inode, ATTR_MTIME | ATTR_CTIME);
    }
    mutex_unlock(&inode->lock);
    return ret;
}

static int hostfs_fsync(struct file *f, bool data_only)
{
    struct inode *inode = f->inode;
    int ret = page_cache_sync(&inode->pages, 0, UINT64_MAX);

    if (ret)
        return ret;
    int64_t handle = hostfs_handle_get(inode);
    if (handle < 0)
        return (int)handle;
    struct host_call c = {.op = CELLA_HOST_FSYNC, .a = {(uint64_t)handle, data_only}};
    int64_t r = host_call(&c, WAIT_UNINTERRUPTIBLE);
    hostfs_handle_put(inode);
    return r < 0 ? (int)r : 0;
}

/* What was written through a mapping reaches the host at the latest when the file is closed for
 * good. */
static void hostfs_release(struct file *f)
{
    if (f->mode & FMODE_WRITE)
        (void)page_cache_sync(&f->inode->pages, 0, UINT64_MAX);
}

static int64_t hostfs_ro_read(struct file *f, struct uio *u, uint64_t *pos)
{
    return page_cache_read(f->inode, u, pos);
}

const struct file_ops hostfs_ro_file_fops = {.open = hostfs_ro_open, .read = hostfs_ro_read};

const struct file_ops hostfs_rw_file_fops = {
    .open = hostfs_rw_open,
    .read = hostfs_read,
    .write = hostfs_write,
    .fsync = hostfs_fsync,
    .release = hostfs_release,
};
