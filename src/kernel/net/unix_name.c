/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of AF_UNIX sockets. A pathname is a node in the file system whose inode points to the
 * socket; abstract names are in a table; both under table_lock, as is the list of all sockets. A
 * name is given once. Found sockets are counted under the lock, before their end can take them out.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/string.h"
#include "fs/inode.h"
#include "fs/text.h"
#include "net/unix.h"

#define NR_BUCKETS 64u

static spinlock_t table_lock = SPINLOCK_INIT;
static struct list all_sockets = LIST_INIT(all_sockets);
static struct list buckets[NR_BUCKETS]; /* abstract names; made with the first */
static uint32_t autobind_next;

/* ---- addresses ---- */

struct unix_addr *unix_addr_get(struct unix_sock *u)
{
    struct unix_addr *a = __atomic_load_n(&u->addr, __ATOMIC_ACQUIRE);
    if (a)
        ref_get(&a->ref);
    return a;
}

void unix_addr_put(struct unix_addr *a)
{
    if (!a || !ref_put(&a->ref))
        return;
    if (a->path.dentry)
        path_put(&a->path);
    kfree(a);
}

void unix_addr_out(const struct unix_addr *a, struct sock_addr *out)
{
    out->family = AF_UNIX_K;
    out->len = a ? a->len : UNIX_NAME_AT;
    if (a)
        memcpy(out->data, &a->name, a->len);
}

/* 0, or -EINVAL. */
static int check_addr(const struct sock_addr *addr)
{
    return addr->len <= UNIX_NAME_AT || addr->len > UNIX_NAME_AT + UNIX_PATH_MAX_K ||
                   addr->family != AF_UNIX_K
               ? -EINVAL
               : 0;
}

/* A copy; a pathname ends with a NUL, which counts. */
static struct unix_addr *addr_new(const struct sock_addr *from)
{
    struct unix_addr *a = kzalloc(sizeof(*a));
    if (!a)
        return NULL;
    ref_init(&a->ref, 1);
    memcpy(&a->name, from->data, from->len);
    a->len = from->len;
    if (a->name.path[0])
        a->len = UNIX_NAME_AT + (uint32_t)strlen(a->name.path) + 1;
    return a;
}

/* ---- abstract names; table_lock held ---- */

static struct list *bucket_of(const struct unix_addr *a)
{
    uint32_t hash = a->len;
    for (uint32_t i = 0; i < a->len - UNIX_NAME_AT; i++)
        hash = hash * 31 + (uint8_t)a->name.path[i];
    if (!buckets[0].next)
        for (uint32_t i = 0; i < NR_BUCKETS; i++)
            list_init(&buckets[i]);
    return &buckets[hash % NR_BUCKETS];
}

static struct unix_sock *find_abstract(const struct unix_addr *a, int type)
{
    struct unix_sock *u;
    list_for_each (u, bucket_of(a), hash_link)
        if (u->s->type == type && u->addr->len == a->len &&
            memcmp(&u->addr->name, &a->name, a->len) == 0)
            return u;
    return NULL;
}

static bool take_abstract(struct unix_sock *u, struct unix_addr *a)
{
    spin_lock(&table_lock);
    bool free = !find_abstract(a, u->s->type);
    if (free) {
        __atomic_store_n(&u->addr, a, __ATOMIC_RELEASE);
        list_add(&u->hash_link, bucket_of(a));
    }
    spin_unlock(&table_lock);
    return free;
}

/* ---- bind ---- */

/* s->lock held. */
static int autobind_locked(struct unix_sock *u)
{
    if (u->addr)
        return 0;
    struct unix_addr *a = kzalloc(sizeof(*a));
    if (!a)
        return -ENOMEM;
    ref_init(&a->ref, 1);
    a->name.family = AF_UNIX_K;
    a->len = UNIX_NAME_AT + 6;
    for (uint32_t tries = 0; tries <= 0xfffff; tries++) {
        uint32_t n = __atomic_add_fetch(&autobind_next, 1, __ATOMIC_RELAXED) & 0xfffff;
        k_snprintf(a->name.path + 1, 6, "%05x", n);
        if (take_abstract(u, a))
            return 0;
    }
    kfree(a);
    return -ENOSPC;
}

int unix_autobind(struct socket *s)
{
    mutex_lock(&s->lock);
    int r = autobind_locked(unix_of(s));
    mutex_unlock(&s->lock);
    return r;
}

/* s->lock held. */
static int bind_path(struct unix_sock *u, struct unix_addr *a)
{
    int r = vfs_make_socket(a->name.path, &a->path);
    if (r)
        return r == -EEXIST ? -EADDRINUSE : r;
    spin_lock(&table_lock);
    __atomic_store_n(&u->addr, a, __ATOMIC_RELEASE);
    a->path.dentry->inode->socket = u->s;
    spin_unlock(&table_lock);
    return 0;
}

static int bind_locked(struct unix_sock *u, const struct sock_addr *addr)
{
    if (u->addr)
        return -EINVAL;
    struct unix_addr *a = addr_new(addr);
    if (!a)
        return -ENOMEM;
    int r = a->name.path[0] ? bind_path(u, a) : take_abstract(u, a) ? 0 : -EADDRINUSE;
    if (r)
        kfree(a);
    return r;
}

int unix_bind(struct socket *s, const struct sock_addr *addr)
{
    if (addr->len == UNIX_NAME_AT && addr->family == AF_UNIX_K)
        return unix_autobind(s);
    int r = check_addr(addr);
    if (r)
        return r;
    mutex_lock(&s->lock);
    r = bind_locked(unix_of(s), addr);
    mutex_unlock(&s->lock);
    return r;
}

/* ---- finding ---- */

static struct socket *find_path(const struct unix_addr *a)
{
    struct path p;
    struct socket *s = NULL;
    int r = path_lookup(a->name.path, LOOKUP_FOLLOW, &p);
    if (r)
        return err_ptr(r);
    struct inode *inode = p.dentry->inode;
    r = inode_permission(inode, MAY_WRITE);
    if (!r && S_ISSOCK_K(inode->mode)) {
        spin_lock(&table_lock);
        s = inode->socket;
        if (s)
            socket_get(s);
        spin_unlock(&table_lock);
    }
    path_put(&p);
    return r ? err_ptr(r) : s ? s : err_ptr(-ECONNREFUSED);
}

struct socket *unix_find(const struct sock_addr *addr, int type)
{
    int r = check_addr(addr);
    if (r)
        return err_ptr(r);
    struct unix_addr *a = addr_new(addr);
    if (!a)
        return err_ptr(-ENOMEM);
    struct socket *s;
    if (a->name.path[0]) {
        s = find_path(a);
    } else {
        spin_lock(&table_lock);
        struct unix_sock *u = find_abstract(a, type);
        s = u ? u->s : err_ptr(-ECONNREFUSED);
        if (u)
            socket_get(s);
        spin_unlock(&table_lock);
    }
    kfree(a);
    if (!is_err(s) && s->type != type) {
        socket_put(s);
        return err_ptr(-EPROTOTYPE);
    }
    return s;
}

void unix_list_add(struct unix_sock *u)
{
    spin_lock(&table_lock);
    list_add_tail(&u->all_link, &all_sockets);
    spin_unlock(&table_lock);
}

void unix_unname(struct unix_sock *u)
{
    spin_lock(&table_lock);
    list_del(&u->all_link);
    list_del(&u->hash_link);
    struct dentry *d = u->addr ? u->addr->path.dentry : NULL;
    /* The name of an accepted connection is its listener's. */
    if (d && d->inode->socket == u->s)
        d->inode->socket = NULL;
    spin_unlock(&table_lock);
}

/* ---- /proc/net/unix ---- */

static void show_one(struct unix_sock *u, struct text *t)
{
    enum { SS_UNCONNECTED_K = 1, SS_CONNECTING_K = 2, SS_CONNECTED_K = 3 };
    const struct socket *s = u->s;
    const struct unix_addr *a = u->addr;
    const struct file *f = READ_ONCE(s->file);
    unsigned state = READ_ONCE(u->state) != UNIX_CONNECTED ? SS_UNCONNECTED_K
                     : f                                   ? SS_CONNECTED_K
                                                           : SS_CONNECTING_K;
    text_printf(t, "%016x: %08X %08X %08X %04X %02X %5lu", 0u, (unsigned)ref_read(&s->ref) + 1, 0u,
                READ_ONCE(u->state) == UNIX_LISTENING ? 0x10000u : 0u, (unsigned)s->type, state,
                f ? (unsigned long)f->inode->ino : 0ul);
    if (a) {
        uint32_t len = a->len - UNIX_NAME_AT;
        bool is_path = a->name.path[0] != 0;
        text_putc(t, ' ');
        for (uint32_t i = 0; i < len - is_path; i++)
            text_putc(t, a->name.path[i] ? a->name.path[i] : '@');
    }
    text_putc(t, '\n');
}

int unix_show(const struct pseudo_node *n, struct text *t)
{
    struct unix_sock *u;
    text_puts(t, "Num       RefCount Protocol Flags    Type St Inode Path\n");
    spin_lock(&table_lock);
    list_for_each (u, &all_sockets, all_link)
        show_one(u, t);
    spin_unlock(&table_lock);
    return 0;
}
