/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptor tables from inside: what the calls that take a descriptor use on their way in.
 *
 * Borrowing: a thread that is the only user of its table cannot lose a descriptor during its own
 * call, so the file needs no count. Where the table is shared, borrowing counts, without a lock:
 * struct files of tables and struct file live in memory that is never given another use
 * (fs/file.c), so a count can be tried on a pointer that may be stale and be checked afterwards.
 */
#ifndef CELLA_KERNEL_FS_FILES_H
#define CELLA_KERNEL_FS_FILES_H

#include "base/spinlock.h"
#include "fs/vfs.h"
#include "proc/task.h"

struct fd_table {
    uint32_t max;          /* entries; a multiple of 64 */
    struct file **file;    /* NULL: free, or reserved */
    uint64_t *open;        /* bits: in use or reserved */
    uint64_t *cloexec;     /* bits */
    struct fd_table *next; /* of the retired ones */
};

#define FD_INLINE 64u

struct files {
    struct ref ref;
    spinlock_t lock;        /* all but `table`'s pointer and entries when read */
    struct fd_table *table; /* the one in force; replaced by a larger one */
    uint32_t first_free;    /* no free descriptor is below */
    struct fd_table
        *retired; /* smaller ones that a reader may still look at; freed with the whole */
    struct fd_table inline_table;
    struct file *inline_file[FD_INLINE];
    uint64_t inline_open, inline_cloexec;
};

struct file *files_get_counted(struct files *fs, int fd);

/* The file of a descriptor for the length of the call, O_PATH ones too; NULL: not open. Give back
 * with fd_unborrow. */
static inline struct file *fd_borrow_any(int fd, bool *counted)
{
    struct files *fs = current->files;
    if (likely(ref_read(&fs->ref) == 1)) {
        struct fd_table *t = fs->table;
        *counted = false;
        return (uint32_t)fd < t->max ? t->file[fd] : NULL;
    }
    *counted = true;
    return files_get_counted(fs, fd);
}
static inline void fd_unborrow(struct file *f, bool counted)
{
    if (unlikely(counted))
        file_put(f);
}
/* The same without O_PATH ones. */
static inline struct file *fd_borrow(int fd, bool *counted)
{
    struct file *f = fd_borrow_any(fd, counted);
    if (likely(f != NULL) && unlikely(f->mode & FMODE_PATH)) {
        fd_unborrow(f, *counted);
        return NULL;
    }
    return f;
}

/* The same for a block: FD_FILE(f, fd) declares f, NULL: not open, which is given back where the
 * block is left. */
struct fd_ref {
    struct file *file;
    bool counted;
};
static inline struct fd_ref fd_ref_get(int fd)
{
    struct fd_ref r;
    r.file = fd_borrow(fd, &r.counted);
    return r;
}
static inline void fd_ref_put(struct fd_ref *r)
{
    if (likely(r->file != NULL))
        fd_unborrow(r->file, r->counted);
}
#define FD_FILE(f, fd)                                                                             \
    struct fd_ref f##_ref __attribute__((cleanup(fd_ref_put))) = fd_ref_get(fd);                   \
    struct file *const f = f##_ref.file

/* Takes the lowest free descriptor >= min without a file in it. fd, -EMFILE, -ENOMEM. */
int fd_reserve(uint32_t min, bool cloexec);
/* Puts a file into a reserved one (takes the reference over), or gives the number back. */
void fd_fill(int fd, struct file *f);
void fd_unreserve(int fd);
void fd_set_cloexec(int fd, bool on);
bool fd_cloexec(int fd);

#endif
