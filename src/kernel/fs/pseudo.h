/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File systems whose files are made when they are looked at: /proc and /sys. Directories are
 * tables; a directory may have, besides, names that a function answers for (numbers of processes,
 * of descriptors, of CPUs). What a node stands for is said by its table entry and a few numbers,
 * never by a pointer to an object: each use looks the object up again, so a node that is cached or
 * open keeps nothing alive, and says that its object is gone when it is.
 */
#ifndef CELLA_KERNEL_FS_PSEUDO_H
#define CELLA_KERNEL_FS_PSEUDO_H

#include "fs/text.h"
#include "fs/vfs.h"

#define PSEUDO_NAME_MAX 24

struct pseudo_node {
    const struct pseudo_entry *entry;
    uint64_t parent_ino;
    kpid_t pid, tid; /* /proc: process and thread; 0: none */
    ktime_t born;    /* start of the process, so that a reused number is not taken for it */
    uint32_t index;  /* descriptor, CPU, cache... */
    kmode_t mode;    /* 0: the entry's */
};

struct pseudo_dir {
    const struct pseudo_entry *entries; /* ends with an entry without name; may be NULL */
    /* Fills entry, pid, tid, born, index, mode of *child, which begins as a copy of the directory's
     * node with mode 0. 0, -ENOENT, another errno. NULL: no dynamic names. */
    int (*lookup)(const struct pseudo_node *dir, const char *name, struct pseudo_node *child);
    /* The first dynamic name whose cookie is at least *cookie: true, with *cookie set to it, and
     * the child as for lookup. */
    bool (*next)(const struct pseudo_node *dir, uint64_t *cookie, char name[PSEUDO_NAME_MAX],
                 struct pseudo_node *child);
};

struct pseudo_entry {
    const char *name;
    kmode_t mode;                 /* type and permissions */
    const struct pseudo_dir *dir; /* directories */
    const char *target;           /* symbolic links with a fixed target */
    /* Files: appends the text. 0 or negative errno. */
    int (*show)(const struct pseudo_node *n, struct text *t);
    /* Files: takes what was written in one call, NUL-terminated behind len bytes. Bytes taken, or
     * negative errno. */
    int64_t (*write)(const struct pseudo_node *n, char *buf, size_t len);
    /* Files: may current open it? 0 or negative errno. NULL: by mode. */
    int (*open)(const struct pseudo_node *n);
    /* Links: as inode_ops.readlink. */
    int64_t (*readlink)(const struct pseudo_node *n, char *buf, size_t size);
    /* Magic links: jumps to a path; counted. */
    int (*follow)(const struct pseudo_node *n, struct path *out);
    const struct file_ops *fops; /* files that are no text */
    uint64_t arg;                /* for show and write */
    const void *data;
};

struct pseudo_fs {
    const struct pseudo_entry *root; /* a directory */
    int64_t magic;                   /* for statfs */
    /* File systems with nodes that change owner or go away (/proc); both NULL, or both set. */
    void (*refresh)(const struct pseudo_node *n, struct inode *inode); /* sets uid and gid */
    bool (*alive)(const struct pseudo_node *n);
};

/* A super block with its root, ref 1, or err_ptr. */
struct super_block *pseudo_create(const char *fs_type, const struct pseudo_fs *fs);

static inline const struct pseudo_node *pseudo_node(const struct inode *inode)
{
    return inode->priv;
}

/* A number as a name of a file: digits without leading zero, at most max. False: it is none. */
bool pseudo_parse_name(const char *name, uint32_t max, uint32_t *value);
/* A number written into a file, with spaces around it: 0, or -EINVAL. */
int pseudo_parse_number(const char *s, int64_t *value);
/* readlink of a text. */
int64_t pseudo_link_text(char *buf, size_t size, const char *text);

#endif
