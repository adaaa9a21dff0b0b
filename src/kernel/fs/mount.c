/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mount tree, and the calls that change it: mount, umount2.
 *
 * A mount attached to the tree holds one reference to itself, its parent and its mountpoint; every
 * path that goes through it holds another. So "busy" is a count: more references than the tree's
 * and the caller's own.
 *
 * Locks: mount_lock (mutex) for changes of the tree, with dcache_lock inside it for each change
 * that a path walk could see. Readers hold either of the two. Nothing is propagated between mounts:
 * each is private.
 */
#include "fs/mount.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "fs/inode.h"
#include "fs/namei.h"
#include "mm/mm.h"

/* Flags of a mount that its user chooses; the others of mount(2) are commands. */
#define MOUNT_FLAGS_KEPT                                                                           \
    (MS_RDONLY_K | MS_NOSUID_K | MS_NODEV_K | MS_NOEXEC_K | MS_SYNCHRONOUS_K | MS_NOATIME_K |      \
     MS_NODIRATIME_K | MS_RELATIME_K | MS_STRICTATIME_K)
#define MS_UNBINDABLE_K (1u << 17)
#define MS_PROPAGATION (MS_UNBINDABLE_K | MS_PRIVATE_K | MS_SLAVE_K | MS_SHARED_K)
#define MS_MAGIC 0xc0ed0000u /* once required in the upper half of flags, still allowed */
enum { MNT_FORCE_K = 1, MNT_DETACH_K = 2, MNT_EXPIRE_K = 4, UMOUNT_NOFOLLOW_K = 8 };

struct mount *root_mount;

static struct mutex mount_lock = {SPINLOCK_INIT, NULL, WAIT_QUEUE_INIT(mount_lock.q)};
static struct list mounts = LIST_INIT(mounts); /* mount.link, in order of mounting */
static int last_mount_id;

/* ---- life ---- */

static struct mount *mount_new(struct super_block *sb, struct dentry *root, uint32_t flags)
{
    struct mount *m = kzalloc(sizeof(*m));
    if (!m)
        return NULL;
    ref_init(&m->ref, 1);
    list_init(&m->link);
    ref_get(&sb->ref);
    dentry_get(root);
    m->sb = sb;
    m->root = root;
    m->flags = flags;
    m->id = __atomic_add_fetch(&last_mount_id, 1, __ATOMIC_RELAXED);
    return m;
}

void mount_get(struct mount *m)
{
    ref_get(&m->ref);
}

void mount_put(struct mount *m)
{
    if (!m || !ref_put(&m->ref))
        return;
    dentry_put(m->root);
    super_put(m->sb);
    kfree(m);
}

struct mount *mount_internal(struct super_block *sb)
{
    return mount_new(sb, sb->root, 0);
}

void path_get(const struct path *p)
{
    mount_get(p->mnt);
    dentry_get(p->dentry);
}

void path_put(struct path *p)
{
    if (p->dentry)
        dentry_put(p->dentry);
    mount_put(p->mnt);
    p->dentry = NULL;
    p->mnt = NULL;
}

/* ---- the tree ---- */

struct mount *mount_find_locked(const struct mount *m, const struct dentry *d)
{
    struct mount *c;
    list_for_each (c, &mounts, link)
        if (c->mountpoint == d && c->parent == m)
            return c;
    return NULL;
}

int mount_for_each(int (*fn)(struct mount *m, void *arg), void *arg)
{
    struct mount *m;
    int ret = 0;
    mutex_lock(&mount_lock);
    list_for_each (m, &mounts, link)
        if ((ret = fn(m, arg)) != 0)
            break;
    mutex_unlock(&mount_lock);
    return ret;
}

/* Puts m, whose reference becomes the tree's, on `where` (NULL: the root of all). mount_lock held.
 */
static int attach(struct mount *m, const struct path *where)
{
    struct inode *at = where ? where->dentry->inode : NULL;
    if (at) {
        if (S_ISDIR_K(at->mode) != S_ISDIR_K(m->root->inode->mode))
            return -ENOTDIR;
        /* rmdir and unlink decide under this lock whether something is mounted. */
        mutex_lock(&at->lock);
        if ((at->flags & INODE_DEAD) || !where->dentry->hashed) {
            mutex_unlock(&at->lock);
            return -ENOENT;
        }
        path_get(where);
    }
    spin_lock(&dcache_lock);
    if (at) {
        m->parent = where->mnt;
        m->mountpoint = where->dentry;
        where->dentry->mounted = true;
    } else {
        root_mount = m;
    }
    list_add_tail(&m->link, &mounts);
    spin_unlock(&dcache_lock);
    if (at)
        mutex_unlock(&at->lock);
    return 0;
}

/* Takes m out of the tree; the caller gets the tree's reference. mount_lock held. */
static void detach(struct mount *m)
{
    struct path at = {m->parent, m->mountpoint};
    struct mount *c;
    bool still = false;
    spin_lock(&dcache_lock);
    list_del(&m->link);
    m->parent = NULL;
    m->mountpoint = NULL;
    list_for_each (c, &mounts, link)
        still |= c->mountpoint == at.dentry;
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): only the root has no mount point */
    at.dentry->mounted = still;
    spin_unlock(&dcache_lock);
    path_put(&at);
}

static struct mount *first_child(const struct mount *m)
{
    struct mount *c;
    list_for_each (c, &mounts, link)
        if (c->parent == m)
            return c;
    return NULL;
}

static bool mount_is_below(const struct mount *m, const struct mount *above)
{
    for (; m; m = m->parent)
        if (m == above)
            return true;
    return false;
}

int mount_add(struct super_block *sb, const struct path *where, uint32_t flags)
{
    struct mount *m = mount_new(sb, sb->root, flags & MOUNT_FLAGS_KEPT);
    if (!m)
        return -ENOMEM;
    mutex_lock(&mount_lock);
    int err = !where && root_mount ? -EBUSY : attach(m, where);
    mutex_unlock(&mount_lock);
    if (err)
        mount_put(m);
    else
        super_put(sb); /* the mount has its own */
    return err;
}

/* ---- mount(2) ---- */

/* A number with the suffixes of memory sizes; false when it is none. */
static bool parse_size(const char *s, uint64_t *size)
{
    uint64_t v = 0;
    if (*s < '0' || *s > '9')
        return false;
    for (; *s >= '0' && *s <= '9'; s++) {
        if (v > (UINT64_MAX >> 32))
            return false;
        v = v * 10 + (uint64_t)(*s - '0');
    }
    if (*s == '%') {
        v = mm_limit_bytes() / 100 * v;
        s++;
    } else {
        static const char suffixes[] = "kmg";
        for (int i = 0; *s && i < 3; i++)
            if ((*s | 0x20) == suffixes[i]) {
                v <<= 10 * (i + 1);
                s++;
                break;
            }
    }
    *size = v;
    return *s == 0;
}

static bool parse_number(const char *s, unsigned base, uint32_t *value)
{
    uint64_t v = 0;
    if (!*s)
        return false;
    for (; *s; s++) {
        unsigned digit = (unsigned)(*s - '0');
        if (*s < '0' || digit >= base)
            return false;
        v = v * base + digit;
        if (v > UINT32_MAX)
            return false;
    }
    *value = (uint32_t)v;
    return true;
}

static const char *after_prefix(const char *s, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

/* options is cut to pieces at its commas. */
static struct super_block *make_tmpfs(char *options)
{
    uint64_t size = 0;
    uint32_t mode = 01777, uid = vfs_fsuid(), gid = vfs_fsgid();
    while (options && *options) {
        char *next = strchr(options, ',');
        const char *v;
        bool ok = true;
        if (next)
            *next++ = 0;
        if ((v = after_prefix(options, "size=")) != NULL)
            ok = parse_size(v, &size);
        else if ((v = after_prefix(options, "mode=")) != NULL)
            ok = parse_number(v, 8, &mode) && mode <= 07777;
        else if ((v = after_prefix(options, "uid=")) != NULL)
            ok = parse_number(v, 10, &uid);
        else if ((v = after_prefix(options, "gid=")) != NULL)
            ok = parse_number(v, 10, &gid);
        else
            ok = !*options;
        if (!ok)
            return err_ptr(-EINVAL);
        options = next;
    }
    struct super_block *sb = tmpfs_create(mode, size);
    if (!is_err(sb)) {
        sb->root->inode->uid = uid;
        sb->root->inode->gid = gid;
    }
    return sb;
}

static struct super_block *make_proc(char *options)
{
    (void)options; /* hidepid, gid, subset: taken by Linux of every age; processes of a keep see
                      each other */
    return procfs_create();
}

static struct super_block *make_sysfs(char *options)
{
    return options && *options ? err_ptr(-EINVAL) : sysfs_create();
}

static struct super_block *make_devpts(char *options)
{
    (void)options; /* newinstance, gid, mode...: there is one instance, with what all ask for */
    return devpts_create();
}

static struct super_block *make_devtmpfs(char *options)
{
    (void)options; /* size and mode bound the nodes that users make; the keep's are fixed */
    return devfs_create();
}

static const struct {
    const char *name;
    struct super_block *(*make)(char *options);
} mountable[] = {
    {"tmpfs", make_tmpfs}, {"ramfs", make_tmpfs},       {"proc", make_proc},
    {"sysfs", make_sysfs}, {"devtmpfs", make_devtmpfs}, {"devpts", make_devpts},
};

static int mount_new_fs(const struct path *where, const char *type, const char *source,
                        uint32_t flags, char *options)
{
    for (size_t i = 0; i < ARRAY_LEN(mountable); i++) {
        if (strcmp(mountable[i].name, type) != 0)
            continue;
        struct super_block *sb = mountable[i].make(options);
        if (is_err(sb))
            return (int)ptr_err(sb);
        if (!sb)
            return -ENOMEM;
        kfree(sb->source);
        sb->source = kstrdup(source ? source : "none");
        int err = mount_add(sb, where, flags);
        if (err)
            super_put(sb);
        return err;
    }
    return -ENODEV;
}

/* Copies, below the copy `to` of a mount, the mounts that stand below `from_root` in `from`.
 * mount_lock held. */
static int bind_below(struct mount *from, struct dentry *from_root, struct mount *to)
{
    struct {
        struct mount *old, *copy;
    } * pairs;
    size_t nr = 1, max = 1;
    struct mount *c;
    int err = 0;
    list_for_each (c, &mounts, link)
        max++;
    pairs = kmalloc(max * sizeof(*pairs));
    if (!pairs)
        return -ENOMEM;
    pairs[0].old = from;
    pairs[0].copy = to;
    /* Breadth first; the copies, which come at the list's end, are not met: their parents are no
     * `old`. */
    for (size_t i = 0; i < nr && !err; i++) {
        list_for_each (c, &mounts, link) {
            if (c->parent != pairs[i].old || nr == max || c == to)
                continue;
            if (i == 0 && !dentry_is_ancestor(from_root, c->mountpoint))
                continue;
            struct mount *copy = mount_new(c->sb, c->root, c->flags);
            struct path at = {pairs[i].copy, c->mountpoint};
            err = copy ? attach(copy, &at) : -ENOMEM;
            if (err) {
                mount_put(copy);
                break;
            }
            pairs[nr].old = c;
            pairs[nr++].copy = copy;
        }
    }
    kfree(pairs);
    return err;
}

static int mount_bind(const struct path *where, const char *source, bool recursive)
{
    struct path from;
    if (!source)
        return -EINVAL;
    int err = path_lookup(source, LOOKUP_FOLLOW, &from);
    if (err)
        return err;
    struct mount *m = mount_new(from.mnt->sb, from.dentry, from.mnt->flags);
    if (!m) {
        path_put(&from);
        return -ENOMEM;
    }
    mutex_lock(&mount_lock);
    err = attach(m, where);
    if (err)
        mount_put(m);
    else if (recursive)
        err = bind_below(from.mnt, from.dentry, m);
    mutex_unlock(&mount_lock);
    path_put(&from);
    return err;
}

static int mount_move(const struct path *where, const char *source)
{
    struct path from;
    if (!source)
        return -EINVAL;
    int err = path_lookup(source, LOOKUP_FOLLOW, &from);
    if (err)
        return err;
    mutex_lock(&mount_lock);
    struct mount *m = from.mnt;
    if (from.dentry != m->root || !m->parent)
        err = -EINVAL;
    else if (mount_is_below(where->mnt, m))
        err = -ELOOP;
    else if (S_ISDIR_K(where->dentry->inode->mode) != S_ISDIR_K(m->root->inode->mode))
        err = -ENOTDIR;
    if (!err) {
        detach(m);
        err = attach(m, where);
        if (err) /* the new place was removed in between: the mount has none left */
            mount_put(m);
    }
    mutex_unlock(&mount_lock);
    path_put(&from);
    return err;
}

static int remount(const struct path *where, uint32_t flags)
{
    struct mount *m = where->mnt;
    int err = 0;
    if (where->dentry != m->root)
        return -EINVAL;
    mutex_lock(&mount_lock);
    if ((flags & MS_RDONLY_K) && !(m->flags & MS_RDONLY_K) &&
        __atomic_load_n(&m->nr_writers, __ATOMIC_ACQUIRE) > 0)
        err = -EBUSY;
    else
        WRITE_ONCE(m->flags, flags & MOUNT_FLAGS_KEPT);
    mutex_unlock(&mount_lock);
    return err;
}

static int do_mount(const struct path *where, const char *source, const char *type, uint32_t flags,
                    char *options)
{
    if (flags & MS_REMOUNT_K)
        return remount(where, flags);
    if (flags & MS_BIND_K)
        return mount_bind(where, source, (flags & MS_REC_K) != 0);
    if (flags & MS_PROPAGATION) {
        uint32_t kind = flags & MS_PROPAGATION;
        if ((kind & (kind - 1)) || where->dentry != where->mnt->root)
            return -EINVAL;
        /* Every mount is private, and a slave without a master is the same. */
        return kind == MS_PRIVATE_K || kind == MS_SLAVE_K ? 0 : -EINVAL;
    }
    if (flags & MS_MOVE_K)
        return mount_move(where, source);
    return type ? mount_new_fs(where, type, source, flags, options) : -EINVAL;
}

/* An optional string argument: NULL for address 0. */
static int optional_string(uaddr_t addr, size_t max, char **out)
{
    *out = NULL;
    if (!addr)
        return 0;
    char *s = kmalloc(max);
    if (!s)
        return -ENOMEM;
    long n = strncpy_from_user(s, addr, max);
    if (n < 0) {
        kfree(s);
        return n == -ENAMETOOLONG ? -EINVAL : (int)n;
    }
    *out = s;
    return 0;
}

int64_t sys_mount(uaddr_t source, uaddr_t target, uaddr_t type, uint64_t flags, uaddr_t data)
{
    char *type_k = NULL, *source_k = NULL, *options = NULL;
    struct path where;
    if ((flags & 0xffff0000u) == MS_MAGIC)
        flags &= 0xffffu;
    bool wants_options = !(flags & (MS_BIND_K | MS_MOVE_K | MS_PROPAGATION | MS_REMOUNT_K));
    int err = optional_string(type, PAGE_SIZE, &type_k);
    if (!err)
        err = optional_string(source, PATH_MAX_K, &source_k);
    if (!err && wants_options)
        err = optional_string(data, PAGE_SIZE, &options);
    if (!err)
        err = path_lookup_user(AT_FDCWD_K, target, LOOKUP_FOLLOW, &where);
    if (!err) {
        err = vfs_capable(CAP_SYS_ADMIN_K)
                  ? do_mount(&where, source_k, type_k, (uint32_t)flags, options)
                  : -EPERM;
        path_put(&where);
    }
    kfree(options);
    kfree(source_k);
    kfree(type_k);
    return err;
}

/* ---- umount2(2) ---- */

/* Takes m and all below it out of the tree; their references go as soon as they are out of the
 * lock. */
static void detach_tree(struct mount *m, struct list *gone)
{
    struct mount *c;
    while ((c = first_child(m)) != NULL) {
        while (first_child(c))
            c = first_child(c);
        detach(c);
        list_add_tail(&c->link, gone);
    }
    detach(m);
    list_add_tail(&m->link, gone);
}

int64_t sys_umount2(uaddr_t target, int flags)
{
    struct path p;
    struct list gone = LIST_INIT(gone);
    if (flags & ~(MNT_FORCE_K | MNT_DETACH_K | UMOUNT_NOFOLLOW_K))
        return -EINVAL;
    int err =
        path_lookup_user(AT_FDCWD_K, target, flags & UMOUNT_NOFOLLOW_K ? 0 : LOOKUP_FOLLOW, &p);
    if (err)
        return err;
    struct mount *m = p.mnt;
    mutex_lock(&mount_lock);
    if (!vfs_capable(CAP_SYS_ADMIN_K))
        err = -EPERM;
    else if (p.dentry != m->root || !m->parent)
        err = -EINVAL;
    else if (!(flags & MNT_DETACH_K) && (first_child(m) || ref_read(&m->ref) > 2))
        err = -EBUSY; /* two: the tree's and p */
    else
        detach_tree(m, &gone);
    mutex_unlock(&mount_lock);
    while (!list_empty(&gone)) {
        struct mount *c = list_first(&gone, struct mount, link);
        list_del(&c->link);
        mount_put(c);
    }
    path_put(&p);
    return err;
}
