/* SPDX-License-Identifier: Apache-2.0 */
/* mounts and mountinfo: the mount tree as current's root shows it. Formats: fstab(5), proc(5). */
#include "base/kmalloc.h"
#include "base/string.h"
#include "fs/mount.h"
#include "fs/procfs.h"

#define OPTIONS_MAX 512u
#define ESCAPED " \t\n"

struct listing {
    struct text *text;
    char *room; /* PATH_MAX_K bytes */
    char options[OPTIONS_MAX];
};

/* Where m is mounted as current sees it, or NULL when it does not. */
static const char *mount_place(const struct mount *m, char *room)
{
    struct path p = {(struct mount *)(uintptr_t)m, m->root};
    const char *s = path_to_string(&p, room, PATH_MAX_K, false);
    return is_err(s) || *s != '/' ? NULL : s;
}

/* The path of a mount's root inside its file system. */
static const char *root_inside(const struct mount *m, char *room)
{
    const struct dentry *d = m->root;
    char *pos = room + PATH_MAX_K - 1;
    *pos = 0;
    spin_lock(&dcache_lock);
    for (; d != m->sb->root && d->parent != d; d = d->parent) {
        if ((size_t)(pos - room) < d->name_len + 1u)
            break;
        pos -= d->name_len;
        memcpy(pos, d->name, d->name_len);
        *--pos = '/';
    }
    spin_unlock(&dcache_lock);
    if (!*pos)
        *--pos = '/';
    return pos;
}

static void put_mount_options(struct text *t, uint32_t flags)
{
    static const struct {
        uint32_t flag;
        const char *name;
    } names[] = {
        {MS_SYNCHRONOUS_K, ",sync"}, {MS_NOSUID_K, ",nosuid"},   {MS_NODEV_K, ",nodev"},
        {MS_NOEXEC_K, ",noexec"},    {MS_NOATIME_K, ",noatime"}, {MS_NODIRATIME_K, ",nodiratime"},
    };
    text_puts(t, flags & MS_RDONLY_K ? "ro" : "rw");
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (flags & names[i].flag)
            text_puts(t, names[i].name);
    if (!(flags & (MS_NOATIME_K | MS_STRICTATIME_K)))
        text_puts(t, ",relatime");
}

static void put_super_options(struct listing *l, struct super_block *sb)
{
    l->options[0] = 0;
    if (sb->ops->show_options)
        sb->ops->show_options(sb, l->options, sizeof(l->options));
    text_puts(l->text, l->options);
}

static void put_source(struct text *t, const struct super_block *sb)
{
    text_put_escaped(t, sb->source ? sb->source : sb->fs_type, ESCAPED);
}

static int list_mount(struct mount *m, void *arg)
{
    struct listing *l = arg;
    struct text *t = l->text;
    const char *place = mount_place(m, l->room);
    if (!place)
        return 0;
    put_source(t, m->sb);
    text_putc(t, ' ');
    text_put_escaped(t, place, ESCAPED);
    text_printf(t, " %s ", m->sb->fs_type);
    put_mount_options(t, READ_ONCE(m->flags));
    put_super_options(l, m->sb);
    text_puts(t, " 0 0\n");
    return 0;
}

static int list_mountinfo(struct mount *m, void *arg)
{
    struct listing *l = arg;
    struct text *t = l->text;
    uint64_t dev = m->sb->dev;
    uint32_t flags = READ_ONCE(m->flags);
    if (!mount_place(m, l->room))
        return 0;
    text_printf(t, "%d %d %u:%u ", m->id, m->parent ? m->parent->id : 0,
                (unsigned)(dev >> 8) & 0xfff,
                (unsigned)(dev & 0xff) | ((unsigned)(dev >> 12) & ~0xffu));
    text_put_escaped(t, root_inside(m, l->room), ESCAPED);
    text_putc(t, ' ');
    text_put_escaped(t, mount_place(m, l->room), ESCAPED);
    text_putc(t, ' ');
    put_mount_options(t, flags);
    text_printf(t, " - %s ", m->sb->fs_type);
    put_source(t, m->sb);
    text_puts(t, flags & MS_RDONLY_K ? " ro" : " rw");
    put_super_options(l, m->sb);
    text_putc(t, '\n');
    return 0;
}

static int show_mounts(struct text *t, int (*list)(struct mount *m, void *arg))
{
    struct listing *l = kmalloc(sizeof(*l));
    char *room = kmalloc(PATH_MAX_K);
    int err = l && room ? 0 : -ENOMEM;
    if (!err) {
        l->text = t;
        l->room = room;
        mount_for_each(list, l);
    }
    kfree(room);
    kfree(l);
    return err;
}

int proc_mounts_show(const struct pseudo_node *n, struct text *t)
{
    return show_mounts(t, list_mount);
}

int proc_mountinfo_show(const struct pseudo_node *n, struct text *t)
{
    return show_mounts(t, list_mountinfo);
}
