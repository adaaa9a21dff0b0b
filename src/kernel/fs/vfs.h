/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual file system: inodes, dentries, mounts, open files.
 *
 * Locks, in order:
 *   rename_lock (mutex, one; directory renames) -> inode->lock of directories (parent before child,
 * else by address)
 *   -> inode->lock of files -> page_cache.lock -> dcache_lock (spin) ; file->pos_lock before
 * inode->lock; files->lock (spin) alone.
 *
 * Who takes inode->lock: the VFS, around every inode_ops call that changes something (create ...
 * rename, setattr, setxattr, removexattr, tmpfile), around lookup and readdir; file systems do not
 * take it again. file_ops.write and .fallocate of regular files take it themselves; write puts *pos
 * to the size under it when f->flags has O_APPEND, clears set-id bits and moves mtime. Not held
 * either: read, getattr, readlink, getxattr, listxattr, fsync, open, release, permission,
 * revalidate, follow.
 *
 * Ownership: a dentry holds its inode and its parent; a file holds its path (mount + dentry) and
 * inode; lookup results are counted. File names are bytes; a component has at most 255 of them and
 * no '/' or NUL.
 */
#ifndef CELLA_KERNEL_FS_VFS_H
#define CELLA_KERNEL_FS_VFS_H

#include "base/list.h"
#include "base/ref.h"
#include "base/types.h"
#include "fs/uio.h"
#include "mm/page_cache.h"
#include "proc/wait_queue.h"
#include "time/time.h"

#define NAME_MAX_K 255
#define PATH_MAX_K 4096
#define SYMLINK_DEPTH_MAX 40

/* <bits/stat.h> */
enum {
    S_IFMT_K = 0170000,
    S_IFSOCK_K = 0140000,
    S_IFLNK_K = 0120000,
    S_IFREG_K = 0100000,
    S_IFBLK_K = 0060000,
    S_IFDIR_K = 0040000,
    S_IFCHR_K = 0020000,
    S_IFIFO_K = 0010000,
    S_ISUID_K = 04000,
    S_ISGID_K = 02000,
    S_ISVTX_K = 01000
};
#define S_ISREG_K(m) (((m)&S_IFMT_K) == S_IFREG_K)
#define S_ISDIR_K(m) (((m)&S_IFMT_K) == S_IFDIR_K)
#define S_ISLNK_K(m) (((m)&S_IFMT_K) == S_IFLNK_K)
#define S_ISCHR_K(m) (((m)&S_IFMT_K) == S_IFCHR_K)
#define S_ISBLK_K(m) (((m)&S_IFMT_K) == S_IFBLK_K)
#define S_ISFIFO_K(m) (((m)&S_IFMT_K) == S_IFIFO_K)
#define S_ISSOCK_K(m) (((m)&S_IFMT_K) == S_IFSOCK_K)

/* <asm/fcntl.h> of x86-64 */
enum {
    O_ACCMODE_K = 3,
    O_RDONLY_K = 0,
    O_WRONLY_K = 1,
    O_RDWR_K = 2,
    O_CREAT_K = 0100,
    O_EXCL_K = 0200,
    O_NOCTTY_K = 0400,
    O_TRUNC_K = 01000,
    O_APPEND_K = 02000,
    O_NONBLOCK_K = 04000,
    O_DSYNC_K = 010000,
    O_ASYNC_K = 020000,
    O_DIRECT_K = 040000,
    O_LARGEFILE_K = 0100000,
    O_DIRECTORY_K = 0200000,
    O_NOFOLLOW_K = 0400000,
    O_NOATIME_K = 01000000,
    O_CLOEXEC_K = 02000000,
    O_SYNC_K = 04010000,
    O_PATH_K = 010000000,
    O_TMPFILE_K = 020200000
};
enum {
    AT_FDCWD_K = -100,
    AT_SYMLINK_NOFOLLOW_K = 0x100,
    AT_REMOVEDIR_K = 0x200,
    AT_EACCESS_K = 0x200,
    AT_SYMLINK_FOLLOW_K = 0x400,
    AT_NO_AUTOMOUNT_K = 0x800,
    AT_EMPTY_PATH_K = 0x1000
};
enum { MAY_EXEC = 1, MAY_WRITE = 2, MAY_READ = 4 };
enum { RENAME_NOREPLACE_K = 1, RENAME_EXCHANGE_K = 2, RENAME_WHITEOUT_K = 4 };
enum {
    DT_UNKNOWN_K = 0,
    DT_FIFO_K = 1,
    DT_CHR_K = 2,
    DT_DIR_K = 4,
    DT_BLK_K = 6,
    DT_REG_K = 8,
    DT_LNK_K = 10,
    DT_SOCK_K = 12
};
enum { SEEK_SET_K = 0, SEEK_CUR_K = 1, SEEK_END_K = 2, SEEK_DATA_K = 3, SEEK_HOLE_K = 4 };
#define MKDEV_K(ma, mi)                                                                            \
    ((((uint64_t)(ma)&0xfff) << 8) | ((mi)&0xff) | (((uint64_t)(mi) & ~0xffull) << 12))

/* poll(2) bits, also the keys of wait queues */
enum {
    POLLIN_K = 1,
    POLLPRI_K = 2,
    POLLOUT_K = 4,
    POLLERR_K = 8,
    POLLHUP_K = 0x10,
    POLLNVAL_K = 0x20,
    POLLRDNORM_K = 0x40,
    POLLRDBAND_K = 0x80,
    POLLWRNORM_K = 0x100,
    POLLWRBAND_K = 0x200,
    POLLMSG_K = 0x400,
    POLLRDHUP_K = 0x2000
};

struct file;
struct inode;
struct dentry;
struct mount;
struct super_block;
struct vma;
struct poll_table;
struct fasync;

/* ---- inodes ---- */

struct kstat {
    uint64_t dev, ino, rdev, size, blocks;
    kmode_t mode;
    uint32_t nlink, blksize;
    kuid_t uid;
    kgid_t gid;
    struct k_timespec atime, mtime, ctime, btime;
};

enum {
    ATTR_MODE = 1,
    ATTR_UID = 2,
    ATTR_GID = 4,
    ATTR_SIZE = 8,
    ATTR_ATIME = 16,
    ATTR_MTIME = 32,
    ATTR_CTIME = 64
};
struct iattr {
    uint32_t valid; /* ATTR_* */
    kmode_t mode;
    kuid_t uid;
    kgid_t gid;
    uint64_t size;
    struct k_timespec atime, mtime;
};

/* What readdir emits into. `emit` returns false when its buffer is full; the directory then stops
 * before that entry. pos is the directory's own cookie of the NEXT entry. */
struct dir_context {
    uint64_t pos;
    bool (*emit)(struct dir_context *ctx, const char *name, size_t len, uint64_t next_pos,
                 uint64_t ino, uint8_t dt_type);
};

/* Operations on directories and on metadata. A NULL operation answers -EPERM (changes), -ENOTDIR
 * (lookup), -EINVAL (readlink), -EOPNOTSUPP (xattr). The VFS has checked permissions, name length,
 * read-only mounts and types, and holds dir->lock (both directories' for rename). Names are given
 * with length and are also NUL-terminated. A returned inode is counted for the caller. */
struct inode_ops {
    /* 0 with *out, -ENOENT (the VFS may cache that if inode flag NO_NEGATIVE is not set), or
     * another error. */
    int (*lookup)(struct inode *dir, const char *name, size_t len, struct inode **out);
    /* mode has its type bits: regular file, directory, device (rdev), fifo, socket. Owner is
     * already decided: uid, gid. */
    int (*create)(struct inode *dir, const char *name, size_t len, kmode_t mode, uint64_t rdev,
                  kuid_t uid, kgid_t gid, struct inode **out);
    int (*symlink)(struct inode *dir, const char *name, size_t len, const char *target, kuid_t uid,
                   kgid_t gid, struct inode **out);
    int (*link)(struct inode *dir, const char *name, size_t len, struct inode *target);
    int (*unlink)(struct inode *dir, const char *name, size_t len, struct inode *victim);
    int (*rmdir)(struct inode *dir, const char *name, size_t len,
                 struct inode *victim); /* -ENOTEMPTY */
    /* victim: what stands at the new name, NULL: nothing. flags: RENAME_*. */
    int (*rename)(struct inode *old_dir, const char *old_name, size_t old_len, struct inode *moved,
                  struct inode *new_dir, const char *new_name, size_t new_len, struct inode *victim,
                  unsigned flags);
    /* Writes at most size bytes (no NUL), returns the length. */
    int64_t (*readlink)(struct inode *inode, char *buf, size_t size);
    /* procfs: jumps to a path (magic link): counted mount and dentry. NULL: readlink is followed.
     */
    int (*follow)(struct inode *inode, struct mount **m, struct dentry **d);
    /* NULL: filled from the inode's fields. */
    int (*getattr)(struct inode *inode, struct kstat *st);
    /* NULL: -EPERM. The VFS has checked. The file system updates the inode's fields
     * (inode_apply_attr helps) and its backing; ATTR_SIZE: also the page cache. */
    int (*setattr)(struct inode *inode, const struct iattr *attr);
    int (*tmpfile)(struct inode *dir, kmode_t mode, kuid_t uid, kgid_t gid, struct inode **out);
    /* xattr: value into buf[size] (size 0: only the length); -ENODATA, -ERANGE. list: NUL-separated
     * names. */
    int64_t (*getxattr)(struct inode *inode, const char *name, void *buf, size_t size);
    int (*setxattr)(struct inode *inode, const char *name, const void *value, size_t size,
                    int flags);
    int64_t (*listxattr)(struct inode *inode, char *buf, size_t size);
    int (*removexattr)(struct inode *inode, const char *name);
    /* NULL: by mode bits and capabilities (inode_permission_generic). */
    int (*permission)(struct inode *inode, int mask);
    /* Is a cached dentry still what the file system would answer? NULL: always. inode NULL: a
     * negative one. */
    bool (*revalidate)(struct inode *dir, const char *name, size_t len, struct inode *inode);
    /* Anonymous inodes: the last reference is gone; what priv stands for may go too. */
    void (*evict)(struct inode *inode);
};

enum {
    INODE_NO_NEGATIVE = 1, /* do not cache failed look-ups in this directory */
    INODE_NO_DCACHE = 2,   /* do not cache look-ups in this directory at all (procfs) */
    INODE_DEAD = 4,        /* directory was removed */
    INODE_OWN_OPS = 16, /* opens by its fops whatever its type: an anonymous inode that only looks
                           like a FIFO or device */
    INODE_LINKABLE = 8, /* made by O_TMPFILE without O_EXCL: link() may give it its first name */
};

struct inode {
    struct ref ref;
    struct super_block *sb;
    const struct inode_ops *ops;
    const struct file_ops *fops; /* of files opened on it */
    uint64_t ino;
    kmode_t mode;
    kuid_t uid;
    kgid_t gid;
    uint32_t nlink;
    uint32_t flags; /* INODE_* */
    uint64_t rdev;
    uint64_t size;   /* bytes */
    uint64_t blocks; /* of 512 bytes */
    struct k_timespec atime, mtime, ctime, btime;
    struct mutex lock;            /* contents of directories, size and data of files, attributes */
    struct page_cache pages;      /* regular files that use it; pages.inode is NULL otherwise */
    struct pipe *pipe;            /* FIFOs while open */
    void *socket;                 /* bound UNIX sockets */
    struct file_lock_list *locks; /* fs/locks.c */
    int32_t write_count;          /* open for writing; < 0: executing, deny write (ETXTBSY) */
    struct list fsnotify;         /* watches (inotify) */
    void *priv;                   /* the file system's */
};

/* struct statfs of statfs(2) */
struct k_statfs {
    int64_t f_type, f_bsize;
    uint64_t f_blocks, f_bfree, f_bavail, f_files, f_ffree;
    int32_t f_fsid[2];
    int64_t f_namelen, f_frsize, f_flags, f_spare[4];
};

struct super_ops {
    /* The last reference is gone: free inode->priv and backing. The VFS then destroys the page
     * cache and frees the inode. */
    void (*evict)(struct inode *inode);
    int (*statfs)(struct super_block *sb, struct k_statfs *st);
    int (*sync)(struct super_block *sb);
    /* Mount options as /proc/mounts shows them, e.g. ",mode=755"; may be NULL. */
    void (*show_options)(struct super_block *sb, char *buf, size_t size);
    /* The last reference to sb is gone and its root dentry was put: release what sb->priv holds.
     * The VFS then frees sb. May be NULL. */
    void (*destroy)(struct super_block *sb);
};

struct super_block {
    struct ref ref;
    const struct super_ops *ops;
    const char *fs_type; /* "tmpfs" */
    char *source;        /* device or source column of /proc/mounts */
    uint64_t dev;        /* st_dev */
    uint64_t next_ino;
    struct dentry *root;
    void *priv;
};

/* A new inode with reference 1, times now, empty page cache for regular files when pc_ops or
 * `with_pages`. NULL: no memory. */
struct inode *inode_new(struct super_block *sb, kmode_t mode);
void inode_get(struct inode *inode);
void inode_put(struct inode *inode);
/* Applies the fields of attr other than size to the inode and updates ctime. */
void inode_apply_attr(struct inode *inode, const struct iattr *attr);
int inode_permission(struct inode *inode,
                     int mask); /* current's fsuid, fsgid, groups, capabilities */
int inode_permission_generic(struct inode *inode, int mask);
void inode_fill_stat(struct inode *inode, struct kstat *st);
struct k_timespec inode_now(void);
void inode_touch(struct inode *inode,
                 uint32_t which); /* ATTR_ATIME | ATTR_MTIME | ATTR_CTIME := now */
/* Writers against executions: get/deny answer -ETXTBSY when the other kind is there; each success
 * is paired with put/allow. */
int inode_get_write(struct inode *inode);
void inode_put_write(struct inode *inode);
int inode_deny_write(struct inode *inode);
void inode_allow_write(struct inode *inode);
struct super_block *super_new(const char *fs_type,
                              const struct super_ops *ops); /* with a fresh st_dev; ref 1 */
/* Gives sb its root, whose reference is taken over (NULL: there was no memory): sb, or
 * err_ptr(-ENOMEM) with sb put. */
struct super_block *super_set_root(struct super_block *sb, struct inode *root);
void super_put(struct super_block *sb);

/* ---- dentries (fs/dcache.c) ---- */

struct dentry {
    struct ref ref;
    struct dentry *parent; /* counted; itself for a root */
    struct inode *inode;   /* NULL: negative */
    struct list hash_link, lru_link;
    struct list children, child_link; /* cached dentries below; of parent->children */
    uint32_t hash;
    bool hashed;     /* still reachable by name; false: deleted */
    bool mounted;    /* something is mounted on it in some mount */
    bool referenced; /* used since the reclaimer last looked */
    uint16_t name_len;
    char *name;           /* NUL-terminated; replaced by rename under dcache_lock */
    char inline_name[40]; /* where short names stand */
};

struct dentry *dentry_new_root(struct inode *inode); /* takes the inode's reference */
void dentry_get(struct dentry *d);
void dentry_put(struct dentry *d);

/* ---- mounts (fs/mount.c) ---- */

struct mount {
    struct ref ref;
    struct list link; /* of all mounts */
    struct super_block *sb;
    struct dentry *root;       /* of this mount: may be below sb->root (bind) */
    struct mount *parent;      /* NULL: the root mount */
    struct dentry *mountpoint; /* in parent */
    uint32_t flags;            /* MS_* of mount(2) */
    int32_t nr_writers;        /* files open for writing: no remount read-only */
    int id;
};
enum {
    MS_RDONLY_K = 1,
    MS_NOSUID_K = 2,
    MS_NODEV_K = 4,
    MS_NOEXEC_K = 8,
    MS_SYNCHRONOUS_K = 16,
    MS_REMOUNT_K = 32,
    MS_NOATIME_K = 1024,
    MS_NODIRATIME_K = 2048,
    MS_BIND_K = 4096,
    MS_MOVE_K = 8192,
    MS_REC_K = 16384,
    MS_SILENT_K = 32768,
    MS_PRIVATE_K = 1 << 18,
    MS_SLAVE_K = 1 << 19,
    MS_SHARED_K = 1 << 20,
    MS_RELATIME_K = 1 << 21,
    MS_STRICTATIME_K = 1 << 24
};

struct path {
    struct mount *mnt;
    struct dentry *dentry;
};
void path_get(const struct path *p);
void path_put(struct path *p);
/* A path for a block: empty, and what is in it is put where the block is left. */
#define PATH_REF(p) struct path p __attribute__((cleanup(path_put))) = {0}

/* Mounts sb at `where` (NULL: as the keep's root). Takes over sb's reference on success. */
int mount_add(struct super_block *sb, const struct path *where, uint32_t flags);
extern struct mount *root_mount;
/* Calls fn for every mount, under the mount lock (mutex), until it returns non-zero. For
 * /proc/mounts, mountinfo. */
int mount_for_each(int (*fn)(struct mount *m, void *arg), void *arg);

/* ---- path walk (fs/namei.c) ---- */

enum {
    LOOKUP_FOLLOW = 1,
    LOOKUP_DIRECTORY = 2,
    LOOKUP_PARENT = 4,
    LOOKUP_EMPTY = 8,
    LOOKUP_NO_SYMLINKS = 16,
    LOOKUP_NO_MAGICLINKS = 32,
    LOOKUP_NO_XDEV = 64,
    LOOKUP_BENEATH = 128,
    LOOKUP_IN_ROOT = 256
};

/* Walks a kernel string from dirfd (AT_FDCWD_K or a descriptor of current). 0 with *out counted, or
 * negative errno. */
int path_lookup_at(int dirfd, const char *name, unsigned flags, struct path *out);
static inline int path_lookup(const char *name, unsigned flags, struct path *out)
{
    return path_lookup_at(AT_FDCWD_K, name, flags, out);
}
/* As above with a string of the workload. */
int path_lookup_user(int dirfd, uaddr_t name, unsigned flags, struct path *out);
/* Absolute path of p as seen from current's root into buf[size], at its end; returns the start, or
 * err_ptr(-ENAMETOOLONG). Appends " (deleted)" for unlinked ones when mark_deleted; "(unreachable)"
 * is put before what lies outside the root. */
char *path_to_string(const struct path *p, char *buf, size_t size, bool mark_deleted);
/* Copies a path string: a kmalloc'd buffer (kfree), or err_ptr: -EFAULT, -ENAMETOOLONG, -ENOENT
 * (empty, unless allow_empty). */
char *path_from_user(uaddr_t name, bool allow_empty);

/* ---- open files (fs/file.c) ---- */

struct file_ops {
    /* Move bytes; for seekable files from/to *pos, which they advance. uio is consumed by what is
     * moved. Bytes, or negative errno (-EAGAIN with O_NONBLOCK, -ERESTARTSYS when interrupted
     * before anything moved). NULL: -EINVAL. */
    int64_t (*read)(struct file *f, struct uio *u, uint64_t *pos);
    int64_t (*write)(struct file *f, struct uio *u, uint64_t *pos);
    int64_t (*lseek)(struct file *f, int64_t off,
                     int whence); /* NULL: by size, generic for regular files and directories;
                                     -ESPIPE when FMODE_STREAM */
    int (*readdir)(
        struct file *f,
        struct dir_context *ctx); /* from ctx->pos; emits . and .. too; 0 or negative errno */
    /* Returns ready events; registers with poll_wait(pt, queue) when pt is not NULL. NULL: always
     * readable and writable. */
    uint32_t (*poll)(struct file *f, struct poll_table *pt);
    int64_t (*ioctl)(struct file *f, unsigned cmd, uint64_t arg); /* NULL: -ENOTTY */
    /* mmap: NULL: the inode's page cache if it has one, else -ENODEV. Otherwise returns the inode
     * whose pages are mapped (not counted), or err_ptr. */
    struct inode *(*mmap)(struct file *f, int prot, int flags);
    void (*unmapped)(struct file *f); /* a mapping of f went; no lock is held. NULL: nothing */
    int (*fsync)(struct file *f, bool data_only);                           /* NULL: 0 */
    int (*fallocate)(struct file *f, int mode, uint64_t off, uint64_t len); /* NULL: -EOPNOTSUPP */
    int (*open)(
        struct inode *inode,
        struct file *f); /* called last in open; may replace f->ops, f->priv. NULL: nothing */
    void (*flush)(struct file *f);   /* at every close of a descriptor */
    void (*release)(struct file *f); /* last reference gone */
    void (*show_fdinfo)(struct file *f, char *buf,
                        size_t size); /* extra lines of /proc/PID/fdinfo */
};

enum {
    FMODE_READ = 1,
    FMODE_WRITE = 2,
    FMODE_STREAM = 4 /* no position */,
    FMODE_PATH = 8,
    FMODE_EXEC = 16,
    FMODE_NOWAIT_POS = 32,
    FMODE_WRITE_COUNTED = 64 /* counted in inode->write_count and mount->nr_writers */
};

struct file {
    struct ref ref;
    const struct file_ops *ops;
    struct path path; /* anonymous files (pipes, eventfds): mnt and dentry of anon_fs, so that every
                         file has one */
    struct inode *inode; /* counted */
    uint32_t flags; /* O_* but O_CLOEXEC; O_APPEND, O_NONBLOCK... changed by F_SETFL with atomic
                       stores */
    uint32_t mode;  /* FMODE_* */
    struct mutex pos_lock;
    uint64_t pos;
    void *priv;
    struct list
        epoll_items; /* fs/epoll.c: the epoll items that watch this file, under epoll_link_lock */
    int owner_pid, owner_sig; /* F_SETOWN, F_SETSIG: fs/fasync.c */
    kuid_t owner_uid, owner_euid;
    bool owner_tid;       /* owner_pid is a thread's */
    struct fasync *async; /* O_ASYNC */
    uint64_t f_version;
};

/* A file on an open path (takes its own references). flags: O_*. Calls inode->fops->open. err_ptr
 * on failure. Checks no permissions. */
struct file *file_open_path(const struct path *p, uint32_t flags);
/* Kernel-side open by name with permission checks of current (execve, ELF interpreter). */
struct file *file_open(const char *name, uint32_t flags, kmode_t mode);
struct file *file_openat(int dirfd, const char *name, uint32_t flags, kmode_t mode);
/* An anonymous file ("anon_inode:[eventfd]"): name shows in /proc/PID/fd; mode FMODE_*;
 * err_ptr(-ENOMEM). */
struct file *file_new_anon(const char *name, const struct file_ops *ops, void *priv, uint32_t flags,
                           uint32_t fmode);
/* As above on an inode of the caller's (its reference is consumed, also on error): both ends of a
 * pipe share one. */
struct file *file_new_anon_on(struct inode *inode, const char *name, const struct file_ops *ops,
                              void *priv, uint32_t flags, uint32_t fmode);
/* A fresh inode of the anonymous file system with mode (S_IFIFO_K | 0600 for a pipe), ref 1; NULL:
 * no memory. */
struct inode *anon_inode_new(kmode_t mode);
void file_get(struct file *f);
void file_put(struct file *f);
/* Reads from a regular file for the kernel (ELF headers): bytes or negative errno. */
int64_t file_pread_kernel(struct file *f, void *buf, size_t len, uint64_t off);
/* The inode whose page cache a mapping of f uses. */
struct inode *file_mapping_inode(struct file *f);
bool file_is_dir(const struct file *f);

/* ---- descriptors (fs/files.c) ---- */

struct files; /* a descriptor table, shared by threads (CLONE_FILES) */
struct files *files_create(void);
struct files *files_copy(struct files *from); /* for fork; NULL: no memory */
void files_get(struct files *fs);
void files_put(struct files *fs); /* the last one closes all */
/* execve: makes current's table private if shared, closes close-on-exec ones. 0 or -ENOMEM. */
int files_exec(void);
/* Installs f (its reference is consumed, also on error) in the lowest free descriptor >= min. fd or
 * -EMFILE. */
int fd_install(struct file *f, int min, bool cloexec);
/* Counted file of current's descriptor; NULL: not open, or (fd_get only) an O_PATH one. */
struct file *fd_get(int fd);
struct file *fd_get_any(int fd);
struct file *files_get_file(struct files *fs, int fd); /* of another process: /proc */
int files_next_fd(struct files *fs, int from);         /* lowest open descriptor >= from, or -1 */
bool files_cloexec(struct files *fs, int fd);
int fd_close(int fd);

/* ---- working directory, root, umask ---- */
struct fs_context {
    struct ref ref;
    spinlock_t lock;
    struct path root, cwd;
    kmode_t umask;
};
/* from NULL: a first one, at the root mount with umask 022. root and cwd change under lock and
 * dcache_lock. NULL: no memory. */
struct fs_context *fs_context_copy(struct fs_context *from);
void fs_context_put(struct fs_context *c);
/* current's working directory, by name; at boot. 0 or negative errno. */
int fs_context_chdir(const char *path);

/* ---- poll (fs/poll.c) ---- */

/* What poll() of a file registers with. queue is called once for each wait queue whose wake-up may
 * change the answer. */
struct poll_table {
    void (*queue)(struct poll_table *pt, struct file *f, struct wait_queue *q);
};
static inline void poll_wait(struct poll_table *pt, struct file *f, struct wait_queue *q)
{
    if (pt)
        pt->queue(pt, f, q);
}
/* The last reference to a watched file is gone: its epoll items go too (fs/epoll.c). */
void epoll_release_file(struct file *f);
static inline uint32_t file_poll(struct file *f, struct poll_table *pt)
{
    return f->ops->poll ? f->ops->poll(f, pt) : POLLIN_K | POLLOUT_K | POLLRDNORM_K | POLLWRNORM_K;
}

/* ---- file systems: a super block with root and reference 1, or err_ptr ---- */
struct super_block *tmpfs_create(kmode_t root_mode, uint64_t max_bytes /* 0: the keep's limit */);
/* A regular file of an unnamed tmpfs, as memfd_create and shared anonymous memory need: counted
 * file or err_ptr. */
struct file *tmpfs_file_create(const char *name, uint64_t size, uint32_t flags);
/* Seals of memfd_create files (F_SEAL_*): the set, or -EINVAL for an inode that has none. tmpfs
 * enforces them. A new file has F_SEAL_SEAL (1). */
int64_t tmpfs_get_seals(struct inode *inode);
/* 0, -EPERM (sealed against it), -EBUSY (F_SEAL_WRITE while mapped shared and writable), -EINVAL.
 * tmpfs_set_seals replaces the set without checks. */
int tmpfs_add_seals(struct inode *inode, uint32_t seals);
void tmpfs_set_seals(struct inode *inode, uint32_t seals);
struct super_block *
hostfs_create(uint32_t grant,
              bool read_only); /* a host directory granted by the launcher, by number */
/* What `lower` (read-only for as long as the overlay lives) shows, with all changes kept in the
 * keep's memory. Takes over lower's reference. */
struct super_block *overlay_create(struct super_block *lower);
struct super_block *procfs_create(void);
struct super_block *sysfs_create(void);
struct super_block *devfs_create(void);
struct super_block *devpts_create(void); /* always the same one */

/* ---- calls other parts use ---- */
int64_t vfs_read(struct file *f, struct uio *u, uint64_t *pos);
int64_t vfs_write(struct file *f, struct uio *u, uint64_t *pos);
int vfs_getattr(const struct path *p, struct kstat *st);
int vfs_mkdir(const char *path, kmode_t mode); /* kernel-side, for boot */
int vfs_symlink(const char *target, const char *path);
/* A node for bind(2), mode 0777 less the umask; counted in *made. -EEXIST... */
int vfs_make_socket(const char *path, struct path *made);
/* POSIX locks of current->files on inode go; called at close and exit. */
void locks_release_posix(struct file *f, struct files *owner);
void locks_release_file(struct file *f); /* flock and OFD locks at the last close */

#endif
