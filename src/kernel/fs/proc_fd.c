/* SPDX-License-Identifier: Apache-2.0 */
/* fd/ and fdinfo/ of a process: a name for each open descriptor. node->index is the descriptor. */
#include "base/kmalloc.h"
#include "base/string.h"
#include "fs/files.h"
#include "fs/procfs.h"

#define FDINFO_EXTRA 8192u

static struct files *node_files(const struct pseudo_node *n)
{
    THREAD_REF(t, proc_thread(n));
    if (!t)
        return NULL;
    spin_lock(&proc_tree_lock);
    struct files *files = t->files;
    if (files)
        files_get(files);
    spin_unlock(&proc_tree_lock);
    return files;
}

/* The open file of a node, counted, or err_ptr. */
static struct file *node_file(const struct pseudo_node *n)
{
    struct files *files = node_files(n);
    if (!files)
        return err_ptr(-ENOENT);
    struct file *f = files_get_file(files, (int)n->index);
    files_put(files);
    return f ? f : err_ptr(-ENOENT);
}

/* ---- links of fd/ ---- */

static int64_t fd_readlink(const struct pseudo_node *n, char *buf, size_t size)
{
    int err = proc_open_private(n);
    struct file *f = err ? err_ptr(err) : node_file(n);
    if (is_err(f))
        return ptr_err(f);
    char *room = kmalloc(PATH_MAX_K);
    int64_t len = -ENOMEM;
    if (room) {
        const char *s = path_to_string(&f->path, room, PATH_MAX_K, true);
        len = is_err(s) ? ptr_err(s) : pseudo_link_text(buf, size, s);
    }
    kfree(room);
    file_put(f);
    return len;
}

static int fd_follow(const struct pseudo_node *n, struct path *out)
{
    int err = proc_open_private(n);
    struct file *f = err ? err_ptr(err) : node_file(n);
    if (is_err(f))
        return (int)ptr_err(f);
    *out = f->path;
    path_get(out);
    file_put(f);
    return 0;
}

/* ---- files of fdinfo/ ---- */

static int fdinfo_show(const struct pseudo_node *n, struct text *t)
{
    struct files *files = node_files(n);
    struct file *f = files ? files_get_file(files, (int)n->index) : NULL;
    if (!f) {
        if (files)
            files_put(files);
        return -ENOENT;
    }
    uint32_t flags = READ_ONCE(f->flags);
    if (files_cloexec(files, (int)n->index))
        flags |= O_CLOEXEC_K;
    files_put(files);
    if (!(f->mode & FMODE_PATH))
        flags |= O_LARGEFILE_K;
    text_printf(t, "pos:\t%ld\nflags:\t0%o\nmnt_id:\t%d\nino:\t%lu\n", (long)READ_ONCE(f->pos),
                flags, f->path.mnt ? f->path.mnt->id : 0, f->inode->ino);
    if (f->ops->show_fdinfo) {
        char *extra = kzalloc(FDINFO_EXTRA);
        if (extra) {
            f->ops->show_fdinfo(f, extra, FDINFO_EXTRA);
            text_puts(t, extra);
        } else {
            t->failed = true;
        }
        kfree(extra);
    }
    file_put(f);
    return 0;
}

/* ---- names ---- */

static const struct pseudo_entry fd_entry = {
    .mode = S_IFLNK_K | 0700, .readlink = fd_readlink, .follow = fd_follow};
static const struct pseudo_entry fdinfo_entry = {
    .mode = S_IFREG_K | 0444, .show = fdinfo_show, .open = proc_open_private};

/* The mode of a link says how its file is open. */
static void set_child(struct pseudo_node *child, const struct pseudo_entry *entry, uint32_t fd,
                      const struct file *f)
{
    child->entry = entry;
    child->index = fd;
    if (entry == &fd_entry)
        child->mode =
            S_IFLNK_K | (f->mode & FMODE_READ ? 0500 : 0) | (f->mode & FMODE_WRITE ? 0300 : 0);
}

static int lookup_fd(const struct pseudo_node *dir, const char *name, struct pseudo_node *child,
                     const struct pseudo_entry *entry)
{
    uint32_t fd;
    if (!pseudo_parse_name(name, INT_MAX, &fd))
        return -ENOENT;
    child->index = fd;
    struct file *f = node_file(child);
    if (is_err(f))
        return (int)ptr_err(f);
    set_child(child, entry, fd, f);
    file_put(f);
    return 0;
}

static bool next_fd(const struct pseudo_node *dir, uint64_t *cookie, char name[PSEUDO_NAME_MAX],
                    struct pseudo_node *child, const struct pseudo_entry *entry)
{
    struct files *files = *cookie <= INT_MAX ? node_files(dir) : NULL;
    bool found = false;
    if (!files)
        return false;
    for (int fd = files_next_fd(files, (int)*cookie); fd >= 0 && !found;
         fd = files_next_fd(files, fd + 1)) {
        struct file *f = files_get_file(files, fd);
        if (!f)
            continue; /* closed meanwhile */
        set_child(child, entry, (uint32_t)fd, f);
        file_put(f);
        *cookie = (uint64_t)fd;
        k_snprintf(name, PSEUDO_NAME_MAX, "%d", fd);
        found = true;
    }
    files_put(files);
    return found;
}

static int fd_lookup(const struct pseudo_node *dir, const char *name, struct pseudo_node *child)
{
    return lookup_fd(dir, name, child, &fd_entry);
}
static bool fd_next(const struct pseudo_node *dir, uint64_t *cookie, char name[PSEUDO_NAME_MAX],
                    struct pseudo_node *child)
{
    return next_fd(dir, cookie, name, child, &fd_entry);
}
static int fdinfo_lookup(const struct pseudo_node *dir, const char *name, struct pseudo_node *child)
{
    return lookup_fd(dir, name, child, &fdinfo_entry);
}
static bool fdinfo_next(const struct pseudo_node *dir, uint64_t *cookie, char name[PSEUDO_NAME_MAX],
                        struct pseudo_node *child)
{
    return next_fd(dir, cookie, name, child, &fdinfo_entry);
}

const struct pseudo_dir proc_fd_dir = {.lookup = fd_lookup, .next = fd_next};
const struct pseudo_dir proc_fdinfo_dir = {.lookup = fdinfo_lookup, .next = fdinfo_next};
