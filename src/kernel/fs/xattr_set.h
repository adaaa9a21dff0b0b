/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The extended attributes of an inode in memory. Names of the user., trusted. and security. name
 * spaces; trusted. ones are listed to those who may read them only. All functions may be called
 * from several threads at once.
 */
#ifndef CELLA_KERNEL_FS_XATTR_SET_H
#define CELLA_KERNEL_FS_XATTR_SET_H

#include "base/list.h"
#include "base/spinlock.h"

enum { XATTR_CREATE_K = 1, XATTR_REPLACE_K = 2 };
#define XATTR_SIZE_MAX_K 65536
#define XATTR_LIST_MAX_K 65536

struct xattr_set {
    spinlock_t lock;
    struct list list;
};

void xattr_set_init(struct xattr_set *s);
void xattr_set_clear(struct xattr_set *s);
/* As the inode_ops of these names: -ENODATA, -ERANGE, -EEXIST, -EOPNOTSUPP (name space), -ENOMEM,
 * -ENOSPC (list too long). */
int64_t xattr_set_get(struct xattr_set *s, const char *name, void *buf, size_t size);
int xattr_set_put(struct xattr_set *s, const char *name, const void *value, size_t size, int flags);
int64_t xattr_set_list(struct xattr_set *s, char *buf, size_t size);
int xattr_set_remove(struct xattr_set *s, const char *name);
/* Is the name in one of the three name spaces? */
bool xattr_name_known(const char *name);

#endif
