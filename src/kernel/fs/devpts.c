/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /dev/pts: one entry for each terminal whose master is open, and ptmx, which makes them. There is
 * one instance: mounting it again shows the same terminals.
 *
 * devpts_lock guards the table of terminals, their `inode`, and the super block.
 */
#include "base/errno.h"
#include "base/printk.h"
#include "base/string.h"
#include "dev/tty.h"
#include "fs/inode.h"
#include "fs/pseudo.h"
#include "proc/task.h"

#define DEVPTS_MAGIC 0x1cd1
#define TTY_GID 5 /* "tty" in every distribution */
#define PTS_MODE 0620
#define PTMX_INO 2
#define FIRST_PTS_INO 3
/* Cookies of readdir: ".", "..", ptmx, then the numbers. */
enum { COOKIE_DOT, COOKIE_DOTDOT, COOKIE_PTMX, COOKIE_PTS };

static struct mutex devpts_lock = {SPINLOCK_INIT, NULL, WAIT_QUEUE_INIT(devpts_lock.q)};
static struct super_block *devpts;
static struct tty *terminals[TTY_MAX];

static int pts_setattr(struct inode *inode, const struct iattr *attr)
{
    if (!(attr->valid & ~(uint32_t)ATTR_SIZE))
        return 0; /* O_TRUNC */
    inode_apply_attr(inode, attr);
    return 0;
}

static const struct inode_ops pts_inode_ops = {.setattr = pts_setattr};

static struct inode *device_inode(struct super_block *sb, uint64_t ino, kmode_t mode, uint64_t rdev)
{
    struct inode *inode = inode_new(sb, S_IFCHR_K | mode);
    if (inode) {
        inode->ino = ino;
        inode->rdev = rdev;
        inode->ops = &pts_inode_ops;
    }
    return inode;
}

/* ---- terminals ---- */

int devpts_add(struct tty *t)
{
    int r = -ENOSPC;
    mutex_lock(&devpts_lock);
    for (uint32_t i = 0; devpts && i < TTY_MAX && r == -ENOSPC; i++) {
        if (terminals[i])
            continue;
        t->inode =
            device_inode(devpts, FIRST_PTS_INO + i, PTS_MODE, MKDEV_K(136 + (i >> 8), i & 0xff));
        r = t->inode ? 0 : -ENOMEM;
        if (r)
            break;
        t->inode->uid = current->cred ? vfs_fsuid() : 0;
        t->inode->gid = TTY_GID;
        t->index = i;
        terminals[i] = t;
    }
    mutex_unlock(&devpts_lock);
    return r;
}

void devpts_remove(struct tty *t)
{
    mutex_lock(&devpts_lock);
    struct inode *inode = t->inode;
    t->inode = NULL;
    terminals[t->index] = NULL;
    mutex_unlock(&devpts_lock);
    inode_put(inode);
}

/* Under devpts_lock a terminal in the table has its master's reference. */
struct tty *devpts_find(uint32_t index)
{
    mutex_lock(&devpts_lock);
    struct tty *t = index < TTY_MAX ? terminals[index] : NULL;
    if (t)
        tty_get(t);
    mutex_unlock(&devpts_lock);
    return t;
}

struct inode *devpts_inode(struct tty *t)
{
    mutex_lock(&devpts_lock);
    struct inode *inode = t->inode;
    if (inode)
        inode_get(inode);
    mutex_unlock(&devpts_lock);
    return inode;
}

/* ---- the directory ---- */

static int root_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    uint32_t index;
    if (strcmp(name, "ptmx") == 0) {
        *out = device_inode(dir->sb, PTMX_INO, 0666, MKDEV_K(5, 2));
        return *out ? 0 : -ENOMEM;
    }
    if (!pseudo_parse_name(name, TTY_MAX - 1, &index))
        return -ENOENT;
    struct tty *t = devpts_find(index);
    *out = t ? devpts_inode(t) : NULL;
    if (t)
        tty_put(t);
    return *out ? 0 : -ENOENT;
}

static int root_readdir(struct file *f, struct dir_context *ctx)
{
    static const struct {
        const char *name;
        uint64_t ino;
        uint8_t type;
    } fixed[] = {{".", 1, DT_DIR_K}, {"..", 1, DT_DIR_K}, {"ptmx", PTMX_INO, DT_CHR_K}};
    while (ctx->pos < COOKIE_PTS)
        if (!ctx->emit(ctx, fixed[ctx->pos].name, strlen(fixed[ctx->pos].name), ctx->pos + 1,
                       fixed[ctx->pos].ino, fixed[ctx->pos].type))
            return 0;
    for (uint64_t i = ctx->pos - COOKIE_PTS; i < TTY_MAX; i++) {
        char name[12];
        if (!READ_ONCE(terminals[i]))
            continue;
        int len = k_snprintf(name, sizeof(name), "%u", (unsigned)i);
        if (!ctx->emit(ctx, name, (size_t)len, i + COOKIE_PTS + 1, FIRST_PTS_INO + i, DT_CHR_K))
            break;
    }
    return 0;
}

static const struct inode_ops root_inode_ops = {.lookup = root_lookup, .setattr = pts_setattr};
static const struct file_ops root_fops = {.readdir = root_readdir};

/* ---- the file system ---- */

static int devpts_statfs(struct super_block *sb, struct k_statfs *st)
{
    st->f_type = DEVPTS_MAGIC;
    st->f_bsize = st->f_frsize = PAGE_SIZE;
    st->f_namelen = NAME_MAX_K;
    return 0;
}

static void devpts_show_options(struct super_block *sb, char *buf, size_t size)
{
    k_snprintf(buf, size, ",gid=%u,mode=%o,ptmxmode=666", TTY_GID, PTS_MODE);
}

static const struct super_ops devpts_super_ops = {.statfs = devpts_statfs,
                                                  .show_options = devpts_show_options};

static struct super_block *devpts_make(void)
{
    struct super_block *sb = super_new("devpts", &devpts_super_ops);
    struct inode *root = sb ? inode_new(sb, S_IFDIR_K | 0755) : NULL;
    if (root) {
        root->ino = 1;
        root->nlink = 2;
        root->ops = &root_inode_ops;
        root->fops = &root_fops;
        root->flags = INODE_NO_NEGATIVE | INODE_NO_DCACHE;
    }
    return sb ? super_set_root(sb, root) : err_ptr(-ENOMEM);
}

struct super_block *devpts_create(void)
{
    mutex_lock(&devpts_lock);
    struct super_block *sb = devpts ? devpts : devpts_make();
    if (!is_err(sb)) {
        devpts = sb;
        ref_get(&sb->ref);
    }
    mutex_unlock(&devpts_lock);
    return sb;
}
