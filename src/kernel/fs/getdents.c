/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading directories: getdents, getdents64.
 *
 * The file system emits entries into a buffer of the kernel, under the directory's lock; only then
 * they are copied to the workload. So no page fault of the workload is taken under the lock, and a
 * failed copy leaves the position where it was.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "fs/files.h"
#include "fs/fsnotify.h"
#include "fs/inode.h"

#define DIRENT_BUFFER_MAX (32 * 1024u)

struct dirent_writer {
    struct dir_context ctx;
    char *buf;
    size_t size, used;
    bool old_layout; /* struct linux_dirent: the type is the record's last byte */
    bool refused;    /* an entry did not fit */
};

/* struct linux_dirent64 and, but for d_type, struct linux_dirent */
struct k_dirent {
    uint64_t d_ino;
    uint64_t d_off;
    uint16_t d_reclen;
    char rest[]; /* d_type and the name; in the old layout the name, zeros, d_type */
};
#define DIRENT_HEADER offsetof(struct k_dirent, rest)

static bool dirent_emit(struct dir_context *ctx, const char *name, size_t len, uint64_t next_pos,
                        uint64_t ino, uint8_t dt_type)
{
    struct dirent_writer *w = container_of(ctx, struct dirent_writer, ctx);
    size_t record = ALIGN_UP(DIRENT_HEADER + len + 2, 8); /* two: the type and the NUL */
    if (record > w->size - w->used) {
        w->refused = true;
        return false;
    }
    struct k_dirent *d = (struct k_dirent *)(w->buf + w->used);
    memset(d, 0, record);
    d->d_ino = ino;
    d->d_off = next_pos;
    d->d_reclen = (uint16_t)record;
    if (w->old_layout) {
        memcpy(d->rest, name, len);
        ((char *)d)[record - 1] = (char)dt_type;
    } else {
        d->rest[0] = (char)dt_type;
        memcpy(d->rest + 1, name, len);
    }
    w->used += record;
    ctx->pos = next_pos;
    return true;
}

static int64_t read_directory(struct file *f, uaddr_t buf, uint32_t size, bool old_layout)
{
    struct inode *dir = f->inode;
    if (!S_ISDIR_K(dir->mode) || !f->ops->readdir)
        return -ENOTDIR;
    struct dirent_writer w = {.ctx = {.emit = dirent_emit}, .old_layout = old_layout};
    w.size = k_min(size, DIRENT_BUFFER_MAX);
    w.buf = kmalloc(k_max(w.size, (size_t)1));
    if (!w.buf)
        return -ENOMEM;
    mutex_lock(&f->pos_lock);
    w.ctx.pos = f->pos;
    mutex_lock(&dir->lock);
    int64_t n = dir->flags & INODE_DEAD ? -ENOENT : f->ops->readdir(f, &w.ctx);
    mutex_unlock(&dir->lock);
    if (n >= 0)
        fsnotify_file(f, IN_ACCESS_K);
    if (w.used)
        n = copy_to_user(buf, w.buf, w.used) == 0 ? (int64_t)w.used : -EFAULT;
    else if (n == 0 && w.refused)
        n = -EINVAL; /* not even one entry fits */
    if (n >= 0) {
        f->pos = w.ctx.pos;
        inode_accessed(dir, f->path.mnt);
    }
    mutex_unlock(&f->pos_lock);
    kfree(w.buf);
    return n;
}

static int64_t getdents_fd(int fd, uaddr_t buf, uint32_t size, bool old_layout)
{
    FD_FILE(f, fd);
    if (!f)
        return -EBADF;
    return read_directory(f, buf, size, old_layout);
}

int64_t sys_getdents64(int fd, uaddr_t buf, uint32_t size)
{
    return getdents_fd(fd, buf, size, false);
}

int64_t sys_getdents(int fd, uaddr_t buf, uint32_t size)
{
    return getdents_fd(fd, buf, size, true);
}
