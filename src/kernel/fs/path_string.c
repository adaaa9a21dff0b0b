/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths as text: what getcwd, /proc/PID/fd and /proc/PID/maps show.
 *
 * The text is built from its end under dcache_lock, so that no rename changes it half way.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "fs/dcache.h"
#include "fs/namei.h"
#include "proc/task.h"

static bool prepend(char **pos, const char *buf, const char *s, size_t len)
{
    if ((size_t)(*pos - buf) < len)
        return false;
    *pos -= len;
    memcpy(*pos, s, len);
    return true;
}

/* Prepends the path of p up to root. 0; 1 when it does not end at root; -ENAMETOOLONG. dcache_lock
 * held. */
static int prepend_path(const struct path *p, const struct path *root, char **pos, const char *buf)
{
    const struct mount *m = p->mnt;
    const struct dentry *d = p->dentry;
    const char *end = *pos;
    int ret = 0;
    while (m != root->mnt || d != root->dentry) {
        if (d == m->root || d->parent == d) {
            if (!m->parent || d != m->root) {
                ret = 1;
                break;
            }
            d = m->mountpoint;
            m = m->parent;
            continue;
        }
        if (!prepend(pos, buf, d->name, d->name_len) || !prepend(pos, buf, "/", 1))
            return -ENAMETOOLONG;
        d = d->parent;
    }
    if (*pos == end && !prepend(pos, buf, "/", 1))
        return -ENAMETOOLONG;
    return ret;
}

/* Does m belong to the tree of mounts, or is it one of the keep's own (anonymous files, memfds)? */
static bool mount_in_tree(const struct mount *m)
{
    while (m->parent)
        m = m->parent;
    return m == root_mount;
}

char *path_to_string(const struct path *p, char *buf, size_t size, bool mark_deleted)
{
    char *pos = buf + size;
    const struct dentry *d = p->dentry;
    int ret = 0;
    if (size == 0)
        return err_ptr(-ENAMETOOLONG);
    *--pos = 0;
    spin_lock(&dcache_lock);
    if (p->mnt == anon_mount) {
        if (!prepend(&pos, buf, d->name, d->name_len))
            ret = -ENAMETOOLONG;
    } else {
        struct path root;
        current_root_locked(&root);
        if (mark_deleted && !d->hashed && !prepend(&pos, buf, " (deleted)", 10))
            ret = -ENAMETOOLONG;
        if (ret == 0)
            ret = prepend_path(p, &root, &pos, buf);
        if (ret == 1)
            ret = !mount_in_tree(p->mnt) || prepend(&pos, buf, "(unreachable)", 13) ? 0
                                                                                    : -ENAMETOOLONG;
    }
    spin_unlock(&dcache_lock);
    return ret ? err_ptr(ret) : pos;
}

int64_t sys_getcwd(uaddr_t buf, uint64_t size)
{
    /* Nothing longer than a page is ever given out. */
    size_t room = PATH_MAX_K;
    char *text = kmalloc(room), *pos = text ? text + room : NULL;
    struct path root;
    int ret;
    if (!text)
        return -ENOMEM;
    *--pos = 0;
    spin_lock(&dcache_lock);
    current_root_locked(&root);
    const struct path *cwd = current->fs ? &current->fs->cwd : &root;
    if (!cwd->dentry->hashed)
        ret = -ENOENT;
    else
        ret = prepend_path(cwd, &root, &pos, text);
    if (ret == 1)
        ret = prepend(&pos, text, "(unreachable)", 13) ? 0 : -ENAMETOOLONG;
    spin_unlock(&dcache_lock);
    size_t len = (size_t)(text + room - pos);
    if (ret == 0 && len > size)
        ret = -ERANGE;
    if (ret == 0)
        ret = copy_to_user(buf, pos, len);
    kfree(text);
    return ret ? ret : (int64_t)len;
}
