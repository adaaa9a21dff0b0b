/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the nodes of /proc and /sys do as inodes and files.
 *
 * A text file makes its text at the first read and again whenever it is read from its start; reads
 * further on get the rest of that text, so that a reader in pieces sees one state. The text belongs
 * to the open file, under its own mutex.
 *
 * Directories of a file system with nodes that go away answer for each cached name anew
 * (revalidate). Below a process nothing is cached: names there are many, short-lived and cheap.
 */
#include "fs/pseudo.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "fs/inode.h"
#include "fs/memdir.h"
#include "proc/task.h"

/* Positions in a directory: ".", "..", the table, and from here on the dynamic names. */
#define FIRST_ENTRY 2
#define FIRST_DYNAMIC 4096
#define WRITE_MAX (PAGE_SIZE - 1)

struct pseudo_text {
    struct mutex lock;
    struct text text;
    bool valid;
};

static const struct pseudo_fs *fs_of(const struct inode *inode)
{
    return inode->sb->priv;
}

/* ---- inodes ---- */

static const struct inode_ops dir_ops, file_ops, link_ops, magic_ops;
static const struct inode_ops live_dir_ops, live_file_ops, live_link_ops, live_magic_ops;
static const struct file_ops dir_fops, text_fops, link_fops;

static kmode_t node_mode(const struct pseudo_node *n)
{
    return n->mode ? n->mode : n->entry->mode;
}

/* The same node has the same number whenever it is looked up. */
static uint64_t node_ino(const struct pseudo_node *n)
{
    uint64_t h = (uint64_t)(uintptr_t)n->entry;
    const uint64_t parts[] = {(uint64_t)(uint32_t)n->pid << 32 | (uint32_t)n->tid, n->born,
                              n->index};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        h = (h ^ parts[i]) * 0x9e3779b97f4a7c15ull;
        h ^= h >> 29;
    }
    return (h >> 16) | 1ull << 32;
}

static struct inode *node_inode(struct super_block *sb, const struct pseudo_node *n)
{
    const struct pseudo_entry *e = n->entry;
    bool live = ((const struct pseudo_fs *)sb->priv)->alive != NULL;
    struct pseudo_node *copy = kmalloc(sizeof(*copy));
    struct inode *inode = copy ? inode_new(sb, node_mode(n)) : NULL;
    if (!inode) {
        kfree(copy);
        return NULL;
    }
    *copy = *n;
    inode->priv = copy;
    inode->ino = node_ino(n);
    switch (inode->mode & S_IFMT_K) {
    case S_IFDIR_K:
        inode->ops = live ? &live_dir_ops : &dir_ops;
        inode->fops = &dir_fops;
        inode->nlink = 2;
        inode->flags = INODE_NO_NEGATIVE | (n->pid ? INODE_NO_DCACHE : 0);
        break;
    case S_IFLNK_K:
        if (e->follow)
            inode->ops = live ? &live_magic_ops : &magic_ops;
        else
            inode->ops = live ? &live_link_ops : &link_ops;
        inode->fops = &link_fops;
        break;
    default:
        inode->ops = live ? &live_file_ops : &file_ops;
        inode->fops = e->fops ? e->fops : &text_fops;
        break;
    }
    if (live)
        fs_of(inode)->refresh(copy, inode);
    return inode;
}

static void pseudo_evict(struct inode *inode)
{
    kfree(inode->priv);
}

static const struct pseudo_entry *find_entry(const struct pseudo_entry *e, const char *name)
{
    for (; e && e->name; e++)
        if (strcmp(e->name, name) == 0)
            return e;
    return NULL;
}

static void child_init(struct pseudo_node *child, const struct inode *dir,
                       const struct pseudo_entry *e)
{
    *child = *pseudo_node(dir);
    child->entry = e;
    child->mode = 0;
    child->parent_ino = dir->ino;
}

static int pseudo_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    const struct pseudo_node *n = pseudo_node(dir);
    const struct pseudo_dir *table = n->entry->dir;
    struct pseudo_node child;
    if (fs_of(dir)->alive && !fs_of(dir)->alive(n))
        return -ENOENT;
    child_init(&child, dir, find_entry(table->entries, name));
    if (!child.entry) {
        int err = table->lookup ? table->lookup(n, name, &child) : -ENOENT;
        if (err)
            return err;
    }
    *out = node_inode(dir->sb, &child);
    return *out ? 0 : -ENOMEM;
}

static int64_t pseudo_readlink(struct inode *inode, char *buf, size_t size)
{
    const struct pseudo_node *n = pseudo_node(inode);
    if (n->entry->target)
        return pseudo_link_text(buf, size, n->entry->target);
    return n->entry->readlink ? n->entry->readlink(n, buf, size) : -EINVAL;
}

static int pseudo_follow(struct inode *inode, struct mount **m, struct dentry **d)
{
    struct path p;
    int err = pseudo_node(inode)->entry->follow(pseudo_node(inode), &p);
    if (!err) {
        *m = p.mnt;
        *d = p.dentry;
    }
    return err;
}

/* O_TRUNC comes here and changes nothing; owners and modes are not the workload's to choose. */
static int pseudo_setattr(struct inode *inode, const struct iattr *attr)
{
    return attr->valid & (ATTR_MODE | ATTR_UID | ATTR_GID) ? -EPERM : 0;
}

/* ---- nodes that change owner and go away ---- */

static int live_permission(struct inode *inode, int mask)
{
    fs_of(inode)->refresh(pseudo_node(inode), inode);
    return inode_permission_generic(inode, mask);
}

static int live_getattr(struct inode *inode, struct kstat *st)
{
    fs_of(inode)->refresh(pseudo_node(inode), inode);
    inode_fill_stat(inode, st);
    return 0;
}

static bool live_revalidate(struct inode *dir, const char *name, size_t len, struct inode *inode)
{
    return inode && fs_of(dir)->alive(pseudo_node(inode));
}

#define LIVE_OPS .permission = live_permission, .getattr = live_getattr

static const struct inode_ops dir_ops = {.lookup = pseudo_lookup, .setattr = pseudo_setattr};
static const struct inode_ops file_ops = {.setattr = pseudo_setattr};
static const struct inode_ops link_ops = {.readlink = pseudo_readlink, .setattr = pseudo_setattr};
static const struct inode_ops magic_ops = {
    .readlink = pseudo_readlink, .follow = pseudo_follow, .setattr = pseudo_setattr};
static const struct inode_ops live_dir_ops = {
    .lookup = pseudo_lookup, .setattr = pseudo_setattr, .revalidate = live_revalidate, LIVE_OPS};
static const struct inode_ops live_file_ops = {.setattr = pseudo_setattr, LIVE_OPS};
static const struct inode_ops live_link_ops = {
    .readlink = pseudo_readlink, .setattr = pseudo_setattr, LIVE_OPS};
static const struct inode_ops live_magic_ops = {
    .readlink = pseudo_readlink, .follow = pseudo_follow, .setattr = pseudo_setattr, LIVE_OPS};

/* ---- directories ---- */

static bool emit_node(struct dir_context *ctx, const char *name, uint64_t next_pos,
                      const struct pseudo_node *child)
{
    if (!ctx->emit(ctx, name, strlen(name), next_pos, node_ino(child),
                   mode_to_dt(node_mode(child))))
        return false;
    ctx->pos = next_pos;
    return true;
}

static int pseudo_readdir(struct file *f, struct dir_context *ctx)
{
    struct inode *dir = f->inode;
    const struct pseudo_node *n = pseudo_node(dir);
    const struct pseudo_dir *table = n->entry->dir;
    struct pseudo_node child;
    if (fs_of(dir)->alive && !fs_of(dir)->alive(n))
        return -ENOENT;
    if (ctx->pos == 0) {
        if (!ctx->emit(ctx, ".", 1, 1, dir->ino, DT_DIR_K))
            return 0;
        ctx->pos = 1;
    }
    if (ctx->pos == 1) {
        if (!ctx->emit(ctx, "..", 2, FIRST_ENTRY, n->parent_ino ? n->parent_ino : dir->ino,
                       DT_DIR_K))
            return 0;
        ctx->pos = FIRST_ENTRY;
    }
    if (ctx->pos < FIRST_DYNAMIC) {
        const struct pseudo_entry *e = table->entries;
        for (uint64_t i = FIRST_ENTRY; e && e->name; e++, i++) {
            if (i < ctx->pos)
                continue;
            child_init(&child, dir, e);
            if (!emit_node(ctx, e->name, i + 1, &child))
                return 0;
        }
        ctx->pos = FIRST_DYNAMIC;
    }
    if (!table->next)
        return 0;
    for (uint64_t cookie = ctx->pos - FIRST_DYNAMIC;; cookie++) {
        char name[PSEUDO_NAME_MAX];
        child_init(&child, dir, NULL);
        if (!table->next(n, &cookie, name, &child) ||
            !emit_node(ctx, name, FIRST_DYNAMIC + cookie + 1, &child))
            return 0;
    }
}

static int64_t pseudo_dir_lseek(struct file *f, int64_t off, int whence)
{
    if (whence == SEEK_CUR_K)
        off += (int64_t)f->pos;
    else if (whence != SEEK_SET_K)
        return -EINVAL;
    if (off < 0)
        return -EINVAL;
    f->pos = (uint64_t)off;
    return off;
}

static const struct file_ops dir_fops = {.readdir = pseudo_readdir, .lseek = pseudo_dir_lseek};
static const struct file_ops link_fops;

/* ---- text files ---- */

static int text_open(struct inode *inode, struct file *f)
{
    const struct pseudo_node *n = pseudo_node(inode);
    if (((f->mode & FMODE_WRITE) && !n->entry->write) ||
        ((f->mode & FMODE_READ) && !n->entry->show))
        return -EACCES;
    int err = n->entry->open ? n->entry->open(n) : 0;
    if (err)
        return err;
    struct pseudo_text *p = kzalloc(sizeof(*p));
    if (!p)
        return -ENOMEM;
    mutex_init(&p->lock);
    f->priv = p;
    return 0;
}

static void text_file_release(struct file *f)
{
    struct pseudo_text *p = f->priv;
    text_release(&p->text);
    kfree(p);
}

static int make_text(const struct pseudo_node *n, struct pseudo_text *p)
{
    p->text.len = 0;
    p->text.failed = p->valid = false;
    int err = n->entry->show ? n->entry->show(n, &p->text) : -EINVAL;
    if (!err && p->text.failed)
        err = -ENOMEM;
    p->valid = !err;
    return err;
}

static int64_t text_read(struct file *f, struct uio *u, uint64_t *pos)
{
    const struct pseudo_node *n = pseudo_node(f->inode);
    struct pseudo_text *p = f->priv;
    int64_t done = 0;
    mutex_lock(&p->lock);
    if (*pos == 0 || !p->valid)
        done = make_text(n, p);
    if (done == 0 && *pos < p->text.len) {
        size_t want = (size_t)k_min(p->text.len - *pos, u->remaining);
        done = (int64_t)uio_write(u, p->text.buf + *pos, want);
        *pos += (uint64_t)done;
        if (done == 0 && want)
            done = -EFAULT;
    }
    mutex_unlock(&p->lock);
    return done;
}

static int64_t text_file_write(struct file *f, struct uio *u, uint64_t *pos)
{
    const struct pseudo_node *n = pseudo_node(f->inode);
    struct pseudo_text *p = f->priv;
    size_t len = (size_t)u->remaining;
    if (len > WRITE_MAX)
        return -EINVAL;
    char *buf = kmalloc(len + 1);
    if (!buf)
        return -ENOMEM;
    int64_t done = -EFAULT;
    if (uio_read(u, buf, len) == len) {
        buf[len] = 0;
        done = n->entry->write(n, buf, len);
    }
    kfree(buf);
    if (done > 0) {
        *pos += (uint64_t)done;
        mutex_lock(&p->lock);
        p->valid = false;
        mutex_unlock(&p->lock);
    }
    return done;
}

static int64_t text_lseek(struct file *f, int64_t off, int whence)
{
    if (whence != SEEK_SET_K && whence != SEEK_CUR_K)
        return -EINVAL; /* the end is known only once the text is made */
    if (whence == SEEK_CUR_K && __builtin_add_overflow((int64_t)f->pos, off, &off))
        return -EINVAL;
    if (off < 0)
        return -EINVAL;
    f->pos = (uint64_t)off;
    return off;
}

static const struct file_ops text_fops = {
    .read = text_read,
    .write = text_file_write,
    .lseek = text_lseek,
    .open = text_open,
    .release = text_file_release,
};

/* ---- the super block ---- */

static int pseudo_statfs(struct super_block *sb, struct k_statfs *st)
{
    memset(st, 0, sizeof(*st));
    st->f_type = ((const struct pseudo_fs *)sb->priv)->magic;
    st->f_bsize = st->f_frsize = PAGE_SIZE;
    st->f_fsid[0] = (int32_t)sb->dev;
    st->f_namelen = NAME_MAX_K;
    return 0;
}

static const struct super_ops pseudo_super_ops = {.evict = pseudo_evict, .statfs = pseudo_statfs};

struct super_block *pseudo_create(const char *fs_type, const struct pseudo_fs *fs)
{
    struct super_block *sb = super_new(fs_type, &pseudo_super_ops);
    if (!sb)
        return err_ptr(-ENOMEM);
    sb->priv = (void *)(uintptr_t)fs;
    struct pseudo_node n = {.entry = fs->root};
    struct inode *root = node_inode(sb, &n);
    if (root)
        root->ino = 1;
    return super_set_root(sb, root);
}

/* ---- helpers ---- */

bool pseudo_parse_name(const char *name, uint32_t max, uint32_t *value)
{
    uint64_t v = 0;
    if (!*name || (name[0] == '0' && name[1]))
        return false;
    for (; *name; name++) {
        if (*name < '0' || *name > '9')
            return false;
        v = v * 10 + (uint64_t)(*name - '0');
        if (v > max)
            return false;
    }
    *value = (uint32_t)v;
    return true;
}

int pseudo_parse_number(const char *s, int64_t *value)
{
    bool negative;
    int64_t v = 0;
    while (*s == ' ' || *s == '\t' || *s == '\n')
        s++;
    negative = *s == '-';
    s += negative;
    if (*s < '0' || *s > '9')
        return -EINVAL;
    for (; *s >= '0' && *s <= '9'; s++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *s - '0', &v))
            return -EINVAL;
    while (*s == ' ' || *s == '\t' || *s == '\n')
        s++;
    if (*s)
        return -EINVAL;
    *value = negative ? -v : v;
    return 0;
}

int64_t pseudo_link_text(char *buf, size_t size, const char *text)
{
    size_t n = k_min(strlen(text), size);
    memcpy(buf, text, n);
    return (int64_t)n;
}
