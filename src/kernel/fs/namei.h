/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The path walk, for the calls that need more of it than its result.
 *
 *     struct walk w;
 *     walk_begin(&w, dirfd, name, LOOKUP_FOLLOW);
 *     err = walk_run(&w);           0: w.path is the object, counted
 *     walk_end(&w);                 gives back what w still holds; take w.path with walk_take_path
 * first
 *
 * With LOOKUP_PARENT the walk stops before the last component: w.path is its directory, w.last its
 * name.
 */
#ifndef CELLA_KERNEL_FS_NAMEI_H
#define CELLA_KERNEL_FS_NAMEI_H

#include "base/errno.h"
#include "fs/inode.h"
#include "fs/mount.h"
#include "fs/vfs.h"

/* RESOLVE_CACHED of openat2: -EAGAIN instead of asking a file system. */
enum { LOOKUP_CACHED = 1 << 12 };
#define LOOKUP_SCOPED (LOOKUP_BENEATH | LOOKUP_IN_ROOT)

enum last_type {
    LAST_NAME, /* w.last, w.last_len, w.last_hash */
    LAST_NONE, /* no component is left: w.path is the object itself ("/", or after a magic link) */
    LAST_DOT,
    LAST_DOTDOT,
};

struct walk {
    struct path path;  /* where the walk stands; counted once `counted` */
    struct path root;  /* LOOKUP_SCOPED: the directory that it must not leave, counted */
    const char *rest;  /* what is still to be walked, NUL-terminated */
    char *link_text;   /* the buffer that rest points into after a symbolic link */
    struct file *base; /* open file of dirfd */
    unsigned flags;    /* LOOKUP_* */
    int dirfd;
    uint16_t nr_links;
    bool counted, base_counted, scope_set;
    bool slash; /* the component just walked (or w.last) has a slash behind it */
    enum last_type last_type;
    const char *last; /* followed by a slash or NUL */
    size_t last_len;
    uint32_t last_hash;
};

/* name must stay in place until walk_end. */
void walk_begin(struct walk *w, int dirfd, const char *name, unsigned flags);
int __must_check walk_run(struct walk *w);
/* After walk_run with LOOKUP_PARENT, when the last component proved to be the symbolic link d (its
 * count is consumed) that is to be followed: goes on through it to a new last component. */
int __must_check walk_follow_last(struct walk *w, struct dentry *d);
void walk_end(struct walk *w);
/* The result for the caller to put. */
static inline void walk_take_path(struct walk *w, struct path *out)
{
    *out = w->path;
    w->counted = false;
}
/* The child that w.last names, counted, possibly negative, from the cache or the file system;
 * mounts are not crossed. The directory's inode->lock must not be held. */
struct dentry *walk_lookup_last(struct walk *w);
/* The same with inode->lock held by the caller. */
struct dentry *walk_lookup_last_locked(struct walk *w);

/* A path string of the workload in kernel memory: short ones in place. */
struct pathname {
    char *s;
    char small[232];
};
/* 0, -EFAULT, -ENAMETOOLONG, -ENOMEM, -ENOENT (empty, unless allow_empty). pathname_put also after
 * errors. */
int __must_check pathname_get(struct pathname *pn, uaddr_t name, bool allow_empty);
void pathname_put(struct pathname *pn);

/* current's root, not counted; dcache_lock held. */
void current_root_locked(struct path *root);

/* May a name be made in (removed from) the directory: permissions, and that it is not itself
 * removed. */
int may_create_in(struct inode *dir);
/* May `victim` be taken out of dir by its name? is_dir: the caller expects a directory. */
int may_delete_from(struct inode *dir, const struct dentry *victim, bool is_dir);

/* /proc/sys/fs/protected_*: what symbolic links, hard links, FIFOs and files in world-writable
 * sticky directories may be used for. */
extern int protected_symlinks, protected_hardlinks, protected_fifos, protected_regular;

/* The mount of files without a place (fs/file.c). */
extern struct mount *anon_mount;

/* ---- opening (fs/open.c) ---- */

struct open_args {
    uint32_t flags; /* O_* */
    kmode_t mode;
    unsigned lookup; /* LOOKUP_* */
    int access;      /* MAY_* that the file must grant */
};
/* Checks flags as open(2) does (strict: as openat2(2)), and derives lookup and access. 0 or
 * -EINVAL. */
int open_args_set(struct open_args *a, uint64_t flags, uint64_t mode, bool strict);
struct file *do_open(int dirfd, const char *name, const struct open_args *a);
/* Mode (with type bits) and group of what is made in dir, as the umask and a set-group-ID directory
 * have it. */
kmode_t create_mode(const struct inode *dir, kmode_t mode, kgid_t *gid);
/* A file on a path, without permission checks; fs/file.c. */
struct file *file_open_checked(const struct path *p, uint32_t flags);

#endif
