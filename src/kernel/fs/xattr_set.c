/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes in memory: a list, since files have none or a few.
 */
#include "fs/xattr_set.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "fs/inode.h"

struct xattr {
    struct list link;
    size_t name_len, size;
    char data[]; /* name, NUL, value */
};

static inline char *xattr_value(struct xattr *x)
{
    return x->data + x->name_len + 1;
}

void xattr_set_init(struct xattr_set *s)
{
    spin_init(&s->lock);
    list_init(&s->list);
}

void xattr_set_clear(struct xattr_set *s)
{
    struct xattr *x, *tmp;

    list_for_each_safe (x, tmp, &s->list, link) {
        list_del(&x->link);
        kfree(x);
    }
}

static bool has_prefix(const char *name, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(name, prefix, n) == 0 && name[n];
}

bool xattr_name_known(const char *name)
{
    return has_prefix(name, "user.") || has_prefix(name, "trusted.") ||
           has_prefix(name, "security.");
}

static struct xattr *find_locked(struct xattr_set *s, const char *name)
{
    struct xattr *x;

    list_for_each (x, &s->list, link)
        if (strcmp(x->data, name) == 0)
            return x;
    return NULL;
}

int64_t xattr_set_get(struct xattr_set *s, const char *name, void *buf, size_t size)
{
    int64_t ret = -ENODATA;

    if (!xattr_name_known(name))
        return -EOPNOTSUPP;
    spin_lock(&s->lock);
    struct xattr *x = find_locked(s, name);
    if (x) {
        ret = (int64_t)x->size;
        if (size && x->size > size)
            ret = -ERANGE;
        else if (size)
            memcpy(buf, xattr_value(x), x->size);
    }
    spin_unlock(&s->lock);
    return ret;
}

static size_t list_bytes_locked(struct xattr_set *s)
{
    struct xattr *x;
    size_t n = 0;

    list_for_each (x, &s->list, link)
        n += x->name_len + 1;
    return n;
}

int xattr_set_put(struct xattr_set *s, const char *name, const void *value, size_t size, int flags)
{
    size_t name_len = strlen(name);
    int ret = 0;

    if (!xattr_name_known(name))
        return -EOPNOTSUPP;
    struct xattr *new = kmalloc(sizeof(*new) + name_len + 1 + size);
    if (!new)
        return -ENOMEM;
    new->name_len = name_len;
    new->size = size;
    memcpy(new->data, name, name_len + 1);
    memcpy(xattr_value(new), value, size);

    spin_lock(&s->lock);
    struct xattr *old = find_locked(s, name);
    if (old && (flags & XATTR_CREATE_K))
        ret = -EEXIST;
    else if (!old && (flags & XATTR_REPLACE_K))
        ret = -ENODATA;
    else if (!old && list_bytes_locked(s) + name_len + 1 > XATTR_LIST_MAX_K)
        ret = -ENOSPC;
    if (ret == 0) {
        if (old)
            list_del(&old->link);
        list_add_tail(&new->link, &s->list);
        new = old;
    }
    spin_unlock(&s->lock);
    kfree(new);
    return ret;
}

int64_t xattr_set_list(struct xattr_set *s, char *buf, size_t size)
{
    bool admin = vfs_capable(CAP_SYS_ADMIN_K);
    struct xattr *x;
    size_t n = 0;
    int64_t ret = 0;

    spin_lock(&s->lock);
    list_for_each (x, &s->list, link) {
        if (!admin && has_prefix(x->data, "trusted."))
            continue;
        if (size && n + x->name_len + 1 > size) {
            ret = -ERANGE;
            break;
        }
        if (size)
            memcpy(buf + n, x->data, x->name_len + 1);
        n += x->name_len + 1;
    }
    spin_unlock(&s->lock);
    return ret ? ret : (int64_t)n;
}

int xattr_set_remove(struct xattr_set *s, const char *name)
{
    if (!xattr_name_known(name))
        return -EOPNOTSUPP;
    spin_lock(&s->lock);
    struct xattr *x = find_locked(s, name);
    if (x)
        list_del(&x->link);
    spin_unlock(&s->lock);
    kfree(x);
    return x ? 0 : -ENODATA;
}
