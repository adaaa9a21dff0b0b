/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The path walk: from a string to a mount and a dentry.
 *
 * It goes in two gaits. walk_cached takes dcache_lock and goes down as many components as the cache
 * knows, through mounts and
 * "..", touching no counts on the way; it counts where it ends. walk_step then does one component
 * with all means: it may ask the file system, revalidate, follow a symbolic link; all of which may
 * sleep. The two alternate until nothing is left.
 *
 * A symbolic link is followed by putting its target before the rest of the path and walking on from
 * where the link stands: no recursion, and the rules for last components and trailing slashes apply
 * to the joined text as they should.
 *
 * Attacks met here: links planted in sticky directories (protected_symlinks), ".." above a chroot
 * or openat2 scope, magic links out of a scope, link loops, and paths made long by links.
 */
#include "fs/namei.h"

#include "base/kmalloc.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "fs/files.h"

/* As the common distributions set them. */
int protected_symlinks = 1, protected_hardlinks = 1, protected_fifos = 1, protected_regular = 1;

/* ---- strings of the workload ---- */

int pathname_get(struct pathname *pn, uaddr_t name, bool allow_empty)
{
    pn->s = pn->small;
    long n = strncpy_from_user(pn->small, name, sizeof(pn->small));
    if (n == -ENAMETOOLONG) {
        /* Longer than most: once more, all of it; what was copied first is not looked at. */
        char *s = kmalloc(PATH_MAX_K);
        if (!s)
            return -ENOMEM;
        pn->s = s;
        n = strncpy_from_user(s, name, PATH_MAX_K);
    }
    if (n < 0)
        return (int)n;
    return n == 0 && !allow_empty ? -ENOENT : 0;
}

void pathname_put(struct pathname *pn)
{
    if (pn->s != pn->small)
        kfree(pn->s);
}

char *path_from_user(uaddr_t name, bool allow_empty)
{
    struct pathname pn;
    int err = pathname_get(&pn, name, allow_empty);
    char *s = err ? err_ptr(err) : kstrdup(pn.s);
    pathname_put(&pn);
    return s ? s : err_ptr(-ENOMEM);
}

/* ---- where walks start and end ---- */

void current_root_locked(struct path *root)
{
    if (likely(current->fs != NULL)) {
        *root = current->fs->root;
    } else {
        root->mnt = root_mount;
        root->dentry = root_mount->root;
    }
}

static void walk_root_locked(const struct walk *w, struct path *root)
{
    if (w->flags & LOOKUP_SCOPED)
        *root = w->root;
    else
        current_root_locked(root);
}

void walk_begin(struct walk *w, int dirfd, const char *name, unsigned flags)
{
    w->rest = name;
    w->link_text = NULL;
    w->base = NULL;
    w->flags = flags;
    w->dirfd = dirfd;
    w->nr_links = 0;
    w->counted = w->scope_set = false;
    w->slash = false;
    w->last_type = LAST_NONE;
}

void walk_end(struct walk *w)
{
    if (w->counted)
        path_put(&w->path);
    if (w->scope_set)
        path_put(&w->root);
    if (w->base)
        fd_unborrow(w->base, w->base_counted);
    kfree(w->link_text);
    w->counted = w->scope_set = false;
    w->base = NULL;
    w->link_text = NULL;
}

/* The file of dirfd, when the path starts there. */
static int walk_open_base(struct walk *w)
{
    if (w->dirfd == AT_FDCWD_K || (*w->rest == '/' && !(w->flags & LOOKUP_SCOPED)))
        return 0;
    w->base = fd_borrow_any(w->dirfd, &w->base_counted);
    if (!w->base)
        return -EBADF;
    return *w->rest && !S_ISDIR_K(w->base->inode->mode) ? -ENOTDIR : 0;
}

/* Sets w->path, not counted, to the start of the walk. dcache_lock held. */
static int walk_start_locked(struct walk *w)
{
    if (w->base)
        w->path = w->base->path;
    else if (*w->rest == '/' && !(w->flags & LOOKUP_SCOPED))
        current_root_locked(&w->path);
    else if (current->fs)
        w->path = current->fs->cwd;
    else
        current_root_locked(&w->path);
    if (w->flags & LOOKUP_SCOPED) {
        if (*w->rest == '/' && (w->flags & LOOKUP_BENEATH))
            return -EXDEV;
        w->root = w->path;
        path_get(&w->root);
        w->scope_set = true;
    }
    return 0;
}

/* ---- steps ---- */

/* Crosses into what is mounted at the place. dcache_lock held. */
static int descend_locked(const struct walk *w, struct path *p)
{
    if (unlikely(p->dentry->mounted) && mount_descend_locked(&p->mnt, &p->dentry) &&
        (w->flags & LOOKUP_NO_XDEV))
        return -EXDEV;
    return 0;
}

/* "..": up one directory, out of mounts, but not above the root. dcache_lock held. */
static int dotdot_locked(const struct walk *w, struct path *p)
{
    struct path root;
    walk_root_locked(w, &root);
    for (;;) {
        if (p->mnt == root.mnt && p->dentry == root.dentry) {
            if (w->flags & LOOKUP_BENEATH)
                return -EXDEV;
            break;
        }
        if (p->dentry != p->mnt->root) {
            p->dentry = p->dentry->parent;
            break;
        }
        if (!p->mnt->parent)
            break;
        if (w->flags & LOOKUP_NO_XDEV)
            return -EXDEV;
        p->dentry = p->mnt->mountpoint;
        p->mnt = p->mnt->parent;
    }
    return descend_locked(w, p);
}

/* May the directory be searched, told without sleeping? false: ask inode_permission. */
static inline bool may_search_fast(struct inode *dir)
{
    if (unlikely(dir->ops->permission != NULL))
        return false;
    return (dir->mode & 0111) == 0111 || inode_permission_generic(dir, MAY_EXEC) == 0;
}

/* A component of the path. */
struct component {
    size_t len;
    uint32_t hash;
    bool dot, dotdot;
    bool slash;       /* there is one behind it */
    const char *next; /* behind it and its slashes: the next component or NUL */
};

/* Parses the component at s, which begins one. */
static inline void component_parse(struct component *c, const struct dentry *parent, const char *s)
{
    uint64_t h = name_hash_start(parent);
    const char *p = s;
    for (; *p && *p != '/'; p++)
        h = name_hash_byte(h, (unsigned char)*p);
    c->len = (size_t)(p - s);
    c->hash = name_hash_finish(h);
    c->dot = c->len == 1 && s[0] == '.';
    c->dotdot = c->len == 2 && s[0] == '.' && s[1] == '.';
    c->slash = *p == '/';
    while (*p == '/')
        p++;
    c->next = p;
}

static void record_last(struct walk *w, const struct component *c, const char *s)
{
    w->last_type = c->dot ? LAST_DOT : c->dotdot ? LAST_DOTDOT : LAST_NAME;
    w->last = s;
    w->last_len = c->len;
    w->last_hash = c->hash;
    w->slash = c->slash;
    w->rest = c->next;
}

/* Is a link that is met as component c to be followed? */
static inline bool follows_link(const struct walk *w, const struct component *c)
{
    return *c->next || c->slash || (w->flags & LOOKUP_FOLLOW);
}

enum { WALK_MORE = 0, WALK_DONE = 1 };

/* Goes on as far as the cache leads. WALK_DONE, WALK_MORE (walk_step must do the next component;
 * w->path is counted), or an error. */
static int walk_cached(struct walk *w)
{
    int ret = WALK_MORE;
    spin_lock(&dcache_lock);
    if (!w->counted) {
        ret = walk_start_locked(w);
        if (ret) {
            spin_unlock(&dcache_lock);
            return ret;
        }
    }
    struct path at = w->path;
    const char *s = w->rest;
    while (*s == '/')
        s++;
    for (;;) {
        struct component c;
        if (!*s) {
            w->last_type = LAST_NONE;
            ret = WALK_DONE;
            break;
        }
        struct inode *dir = at.dentry->inode;
        if (unlikely(!S_ISDIR_K(dir->mode))) {
            ret = -ENOTDIR;
            break;
        }
        if (unlikely(!may_search_fast(dir)))
            break;
        component_parse(&c, at.dentry, s);
        if (!*c.next && (w->flags & LOOKUP_PARENT)) {
            record_last(w, &c, s);
            s = c.next;
            ret = WALK_DONE;
            break;
        }
        if (unlikely(c.dot || c.dotdot)) {
            ret = c.dot ? 0 : dotdot_locked(w, &at);
            if (ret)
                break;
        } else {
            if (dir->ops->revalidate)
                break;
            struct dentry *child = dcache_find_locked(at.dentry, s, c.len, c.hash);
            if (!child)
                break;
            if (!child->inode) {
                ret = -ENOENT;
                break;
            }
            if (unlikely(S_ISLNK_K(child->inode->mode)) && follows_link(w, &c))
                break;
            at.dentry = child;
            ret = descend_locked(w, &at);
            if (ret)
                break;
        }
        w->slash = c.slash;
        s = c.next;
    }
    w->rest = s;
    struct path old = w->path;
    bool had = w->counted;
    if (ret >= 0) {
        if (had && old.dentry == at.dentry && old.mnt == at.mnt) {
            had = false; /* it stays where it is, counted already */
        } else {
            path_get(&at);
            w->path = at;
        }
        w->counted = true;
    }
    spin_unlock(&dcache_lock);
    if (had && ret >= 0)
        path_put(&old);
    return ret;
}

/* A child by name, from the cache if the file system stands by it, else asked for under the
 * directory's lock. */
static struct dentry *lookup_child(const struct walk *w, struct dentry *parent, const char *name,
                                   size_t len, uint32_t hash)
{
    struct inode *dir = parent->inode;
    if (!(dir->flags & INODE_NO_DCACHE)) {
        struct dentry *d = dcache_find(parent, name, len, hash);
        if (d) {
            if (!dir->ops->revalidate || dir->ops->revalidate(dir, d->name, len, d->inode))
                return d;
            dentry_put(d); /* the locked look-up below takes it out */
        }
    }
    if (w->flags & LOOKUP_CACHED)
        return err_ptr(-EAGAIN);
    mutex_lock(&dir->lock);
    struct dentry *d = dentry_lookup_locked(parent, name, len, hash);
    mutex_unlock(&dir->lock);
    return d;
}

struct dentry *walk_lookup_last(struct walk *w)
{
    if (w->last_len > NAME_MAX_K)
        return err_ptr(-ENAMETOOLONG);
    return lookup_child(w, w->path.dentry, w->last, w->last_len, w->last_hash);
}

struct dentry *walk_lookup_last_locked(struct walk *w)
{
    if (w->last_len > NAME_MAX_K)
        return err_ptr(-ENAMETOOLONG);
    return dentry_lookup_locked(w->path.dentry, w->last, w->last_len, w->last_hash);
}

/* Replaces the counted place by another one, whose count is taken over. */
static void walk_move(struct walk *w, struct path *to)
{
    path_put(&w->path);
    w->path = *to;
}

/* A link in a sticky, world-writable directory is followed only by its owner, or when the
 * directory's owner made it: else anybody could lead others' programs from /tmp to where they
 * should not write. */
static int check_protected_link(const struct walk *w, const struct inode *link)
{
    const struct inode *dir = w->path.dentry->inode;
    if (!protected_symlinks || link->uid == vfs_fsuid())
        return 0;
    if ((dir->mode & (S_ISVTX_K | 02)) != (S_ISVTX_K | 02) || dir->uid == link->uid)
        return 0;
    return -EACCES;
}

static int follow_magic_link(struct walk *w, struct inode *link, const char *rest)
{
    struct path to;
    if (w->flags & LOOKUP_NO_MAGICLINKS)
        return -ELOOP;
    int err = link->ops->follow(link, &to.mnt, &to.dentry);
    if (err)
        return err;
    if ((w->flags & LOOKUP_SCOPED) || ((w->flags & LOOKUP_NO_XDEV) && to.mnt != w->path.mnt)) {
        path_put(&to);
        return -EXDEV;
    }
    walk_move(w, &to);
    w->rest = rest;
    return 0;
}

/* Goes through the link d, which stands at w->path and is consumed; rest follows it in the path,
 * after a slash if `slash`. */
static int follow_link(struct walk *w, struct dentry *d, const char *rest, bool slash)
{
    struct inode *link = d->inode;
    char *text = NULL;
    int err = 0;
    if ((w->flags & LOOKUP_NO_SYMLINKS) || ++w->nr_links > SYMLINK_DEPTH_MAX)
        err = -ELOOP;
    else if (!*rest)
        err = check_protected_link(w, link);
    if (err)
        goto out;
    inode_accessed(link, w->path.mnt);
    w->slash = slash;
    if (link->ops->follow) {
        err = follow_magic_link(w, link, rest);
        goto out;
    }
    err = -EINVAL;
    if (!link->ops->readlink)
        goto out;
    size_t rest_len = strlen(rest);
    text = kmalloc(PATH_MAX_K + rest_len + 2);
    err = -ENOMEM;
    if (!text)
        goto out;
    int64_t n = link->ops->readlink(link, text, PATH_MAX_K);
    err = n < 0 ? (int)n : n == 0 ? -ENOENT : n >= PATH_MAX_K ? -ENAMETOOLONG : 0;
    if (err)
        goto out;
    if (slash)
        text[n++] = '/';
    memcpy(text + n, rest, rest_len + 1);
    if (text[0] == '/') {
        struct path root;
        err = w->flags & LOOKUP_BENEATH ? -EXDEV : 0;
        if (err)
            goto out;
        spin_lock(&dcache_lock);
        walk_root_locked(w, &root);
        path_get(&root);
        spin_unlock(&dcache_lock);
        err = (w->flags & LOOKUP_NO_XDEV) && root.mnt != w->path.mnt ? -EXDEV : 0;
        if (err) {
            path_put(&root);
            goto out;
        }
        walk_move(w, &root);
    }
    kfree(w->link_text);
    w->link_text = text;
    w->rest = text;
    text = NULL;
out:
    kfree(text);
    dentry_put(d);
    return err;
}

/* Does the next component with all means. */
static int walk_step(struct walk *w)
{
    struct component c;
    const char *s = w->rest;
    struct inode *dir = w->path.dentry->inode;
    while (*s == '/')
        s++;
    if (!S_ISDIR_K(dir->mode))
        return -ENOTDIR;
    int err = inode_permission(dir, MAY_EXEC);
    if (err)
        return err;
    component_parse(&c, w->path.dentry, s);
    if (!*c.next && (w->flags & LOOKUP_PARENT)) {
        record_last(w, &c, s);
        return WALK_DONE;
    }
    struct path to = w->path;
    if (c.dot || c.dotdot) {
        spin_lock(&dcache_lock);
        err = c.dot ? 0 : dotdot_locked(w, &to);
        if (!err)
            path_get(&to);
        spin_unlock(&dcache_lock);
        if (err)
            return err;
        walk_move(w, &to);
    } else {
        if (c.len > NAME_MAX_K)
            return -ENAMETOOLONG;
        struct dentry *d = lookup_child(w, w->path.dentry, s, c.len, c.hash);
        if (is_err(d))
            return (int)ptr_err(d);
        if (!d->inode) {
            dentry_put(d);
            return -ENOENT;
        }
        if (S_ISLNK_K(d->inode->mode) && follows_link(w, &c))
            return follow_link(w, d, c.next, c.slash);
        spin_lock(&dcache_lock);
        to.dentry = d;
        err = descend_locked(w, &to);
        if (!err)
            path_get(&to);
        spin_unlock(&dcache_lock);
        dentry_put(d);
        if (err)
            return err;
        walk_move(w, &to);
    }
    w->slash = c.slash;
    w->rest = c.next;
    return WALK_MORE;
}

int walk_run(struct walk *w)
{
    int ret = w->counted ? 0 : walk_open_base(w);
    while (ret == WALK_MORE) {
        ret = walk_cached(w);
        if (ret == WALK_MORE)
            ret = walk_step(w);
    }
    if (ret < 0)
        return ret;
    if ((w->flags & LOOKUP_PARENT) && w->last_type != LAST_NONE)
        return 0;
    if ((w->slash || (w->flags & LOOKUP_DIRECTORY)) && !S_ISDIR_K(w->path.dentry->inode->mode))
        return -ENOTDIR;
    return 0;
}

int walk_follow_last(struct walk *w, struct dentry *d)
{
    int err = follow_link(w, d, w->rest, w->slash);
    return err ? err : walk_run(w);
}

/* ---- plain look-ups ---- */

int path_lookup_at(int dirfd, const char *name, unsigned flags, struct path *out)
{
    struct walk w;
    if (unlikely(!*name) && !(flags & LOOKUP_EMPTY))
        return -ENOENT;
    walk_begin(&w, dirfd, name, flags);
    int err = walk_run(&w);
    if (!err)
        walk_take_path(&w, out);
    walk_end(&w);
    return err;
}

int path_lookup_user(int dirfd, uaddr_t name, unsigned flags, struct path *out)
{
    struct pathname pn;
    int err = pathname_get(&pn, name, (flags & LOOKUP_EMPTY) != 0);
    if (!err)
        err = path_lookup_at(dirfd, pn.s, flags, out);
    pathname_put(&pn);
    return err;
}

/* ---- permissions of names ---- */

int may_create_in(struct inode *dir)
{
    if (dir->flags & INODE_DEAD)
        return -ENOENT;
    return inode_permission(dir, MAY_WRITE | MAY_EXEC);
}

int may_delete_from(struct inode *dir, const struct dentry *victim, bool is_dir)
{
    const struct inode *inode = victim->inode;
    if (!inode)
        return -ENOENT;
    int err = inode_permission(dir, MAY_WRITE | MAY_EXEC);
    if (err)
        return err;
    /* In a sticky directory only the owner of the file, or of the directory, removes it. */
    if ((dir->mode & S_ISVTX_K) && inode->uid != vfs_fsuid() && dir->uid != vfs_fsuid() &&
        !vfs_capable(CAP_FOWNER_K))
        return -EPERM;
    if (is_dir && !S_ISDIR_K(inode->mode))
        return -ENOTDIR;
    if (!is_dir && S_ISDIR_K(inode->mode))
        return -EISDIR;
    return dir->flags & INODE_DEAD ? -ENOENT : 0;
}
