/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptor tables, and the calls on descriptors alone: close, close_range, dup, dup2, dup3.
 *
 * A table is changed under files->lock. It is read without it: a table that grew too small is
 * replaced by a larger copy and kept until the whole goes, so a reader never looks at freed memory;
 * that what it found is still true, it checks after it took its count.
 */
#include "fs/files.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"

#define FD_MAX (1u << 20) /* no table is larger, whatever RLIMIT_NOFILE says */
enum { CLOSE_RANGE_UNSHARE_K = 2, CLOSE_RANGE_CLOEXEC_K = 4 };

static inline bool bit_test(const uint64_t *bits, uint32_t n)
{
    return bits[n / 64] >> (n % 64) & 1;
}
static inline void bit_put(uint64_t *bits, uint32_t n, bool on)
{
    if (on)
        bits[n / 64] |= 1ull << (n % 64);
    else
        bits[n / 64] &= ~(1ull << (n % 64));
}

/* ---- tables ---- */

static struct fd_table *table_new(uint32_t max)
{
    size_t bits = max / 64 * sizeof(uint64_t);
    struct fd_table *t = kzalloc(sizeof(*t) + max * sizeof(struct file *) + 2 * bits);
    if (!t)
        return NULL;
    t->max = max;
    t->file = (struct file **)(t + 1);
    t->open = (uint64_t *)(t->file + max);
    t->cloexec = t->open + max / 64;
    return t;
}

struct files *files_create(void)
{
    struct files *fs = kzalloc(sizeof(*fs));
    if (!fs)
        return NULL;
    ref_init(&fs->ref, 1);
    spin_init(&fs->lock);
    fs->inline_table.max = FD_INLINE;
    fs->inline_table.file = fs->inline_file;
    fs->inline_table.open = &fs->inline_open;
    fs->inline_table.cloexec = &fs->inline_cloexec;
    fs->table = &fs->inline_table;
    return fs;
}

/* Makes room for descriptor fd. files->lock held. */
static int table_grow(struct files *fs, uint32_t fd)
{
    struct fd_table *old = fs->table, *t;
    uint32_t max = old->max;
    if (fd < max)
        return 0;
    if (fd >= FD_MAX)
        return -EMFILE;
    while (max <= fd)
        max *= 4;
    t = table_new(k_min(max, FD_MAX));
    if (!t)
        return -ENOMEM;
    memcpy(t->file, old->file, old->max * sizeof(*t->file));
    memcpy(t->open, old->open, old->max / 8);
    memcpy(t->cloexec, old->cloexec, old->max / 8);
    __atomic_store_n(&fs->table, t, __ATOMIC_RELEASE);
    old->next = fs->retired;
    fs->retired = old;
    return 0;
}

/* The highest open descriptor plus one, not counting reserved ones. */
static uint32_t table_used(const struct fd_table *t)
{
    uint32_t n = t->max;
    while (n && !t->open[n / 64 - 1])
        n -= 64;
    return n;
}

struct files *files_copy(struct files *from)
{
    struct files *fs = files_create();
    if (!fs)
        return NULL;
    spin_lock(&from->lock);
    const struct fd_table *src = from->table;
    uint32_t used = table_used(src);
    if (used > FD_INLINE && table_grow(fs, used - 1) != 0) {
        spin_unlock(&from->lock);
        files_put(fs);
        return NULL;
    }
    struct fd_table *t = fs->table;
    for (uint32_t w = 0; w < used / 64; w++) {
        uint64_t left = src->open[w];
        for (; left; left &= left - 1) {
            uint32_t fd = w * 64 + (uint32_t)__builtin_ctzll(left);
            struct file *f = src->file[fd];
            if (!f)
                continue; /* another thread is opening it */
            file_get(f);
            t->file[fd] = f;
            bit_put(t->open, fd, true);
        }
        t->cloexec[w] = src->cloexec[w] & t->open[w];
    }
    spin_unlock(&from->lock);
    return fs;
}

void files_get(struct files *fs)
{
    ref_get(&fs->ref);
}

/* A descriptor of `owner` that held f is gone. */
static void close_file(struct file *f, struct files *owner)
{
    if (f->ops->flush)
        f->ops->flush(f);
    if (unlikely(f->inode->locks != NULL))
        locks_release_posix(f, owner);
    file_put(f);
}

void files_put(struct files *fs)
{
    if (!fs || !ref_put(&fs->ref))
        return;
    struct fd_table *t = fs->table;
    for (uint32_t w = 0; w < t->max / 64; w++)
        for (uint64_t left = t->open[w]; left; left &= left - 1) {
            struct file *f = t->file[w * 64 + (uint32_t)__builtin_ctzll(left)];
            if (f)
                close_file(f, fs);
        }
    for (struct fd_table *next; t; t = next) {
        next = t == fs->table ? fs->retired : t->next;
        if (t != &fs->inline_table)
            kfree(t);
    }
    kfree(fs);
}

/* ---- look-up ---- */

struct file *files_get_counted(struct files *fs, int fd)
{
    for (;;) {
        struct fd_table *t = __atomic_load_n(&fs->table, __ATOMIC_ACQUIRE);
        if ((uint32_t)fd >= t->max)
            return NULL;
        struct file *f = __atomic_load_n(&t->file[fd], __ATOMIC_ACQUIRE);
        if (!f)
            return NULL;
        if (!ref_get_unless_zero(&f->ref))
            continue; /* just closed: the entry is changing */
        if (likely(__atomic_load_n(&t->file[fd], __ATOMIC_ACQUIRE) == f &&
                   __atomic_load_n(&fs->table, __ATOMIC_ACQUIRE) == t))
            return f;
        file_put(f);
    }
}

struct file *fd_get_any(int fd)
{
    return files_get_counted(current->files, fd);
}

struct file *fd_get(int fd)
{
    struct file *f = fd_get_any(fd);
    if (f && unlikely(f->mode & FMODE_PATH)) {
        file_put(f);
        return NULL;
    }
    return f;
}

struct file *files_get_file(struct files *fs, int fd)
{
    return files_get_counted(fs, fd);
}

int files_next_fd(struct files *fs, int from)
{
    int found = -1;
    spin_lock(&fs->lock);
    const struct fd_table *t = fs->table;
    for (uint32_t fd = from > 0 ? (uint32_t)from : 0; fd < t->max && found < 0; fd++) {
        if (fd % 64 == 0 && !t->open[fd / 64])
            fd += 63;
        else if (t->file[fd])
            found = (int)fd;
    }
    spin_unlock(&fs->lock);
    return found;
}

bool files_cloexec(struct files *fs, int fd)
{
    spin_lock(&fs->lock);
    const struct fd_table *t = fs->table;
    bool on = (uint32_t)fd < t->max && bit_test(t->cloexec, (uint32_t)fd);
    spin_unlock(&fs->lock);
    return on;
}

bool fd_cloexec(int fd)
{
    return files_cloexec(current->files, fd);
}

void fd_set_cloexec(int fd, bool on)
{
    struct files *fs = current->files;
    spin_lock(&fs->lock);
    if ((uint32_t)fd < fs->table->max && bit_test(fs->table->open, (uint32_t)fd))
        bit_put(fs->table->cloexec, (uint32_t)fd, on);
    spin_unlock(&fs->lock);
}

/* ---- taking and giving back numbers ---- */

static uint32_t fd_limit(void)
{
    return (uint32_t)k_min(rlimit_cur(RLIMIT_NOFILE_K), (uint64_t)FD_MAX);
}

/* The lowest free number >= min below limit, or limit. files->lock held. */
static uint32_t find_free(const struct files *fs, uint32_t min, uint32_t limit)
{
    const struct fd_table *t = fs->table;
    uint32_t fd = k_max(min, fs->first_free);
    while (fd < t->max) {
        uint64_t taken = t->open[fd / 64] | ((1ull << (fd % 64)) - 1);
        if (taken != UINT64_MAX) {
            fd = (fd & ~63u) + (uint32_t)__builtin_ctzll(~taken);
            break;
        }
        fd = (fd & ~63u) + 64;
    }
    return k_min(fd, limit);
}

int fd_reserve(uint32_t min, bool cloexec)
{
    struct files *fs = current->files;
    uint32_t limit = fd_limit();
    spin_lock(&fs->lock);
    uint32_t fd = find_free(fs, min, limit);
    int ret = fd >= limit ? -EMFILE : table_grow(fs, fd);
    if (ret == 0) {
        bit_put(fs->table->open, fd, true);
        bit_put(fs->table->cloexec, fd, cloexec);
        if (min <= fs->first_free)
            fs->first_free = fd + 1;
        ret = (int)fd;
    }
    spin_unlock(&fs->lock);
    return ret;
}

void fd_fill(int fd, struct file *f)
{
    struct files *fs = current->files;
    spin_lock(&fs->lock);
    __atomic_store_n(&fs->table->file[fd], f, __ATOMIC_RELEASE);
    spin_unlock(&fs->lock);
}

/* Frees a number; returns the file that was in it. files->lock held. */
static struct file *take_out(struct files *fs, uint32_t fd)
{
    struct fd_table *t = fs->table;
    struct file *f = t->file[fd];
    __atomic_store_n(&t->file[fd], NULL, __ATOMIC_RELEASE);
    bit_put(t->open, fd, false);
    bit_put(t->cloexec, fd, false);
    if (fd < fs->first_free)
        fs->first_free = fd;
    return f;
}

void fd_unreserve(int fd)
{
    struct files *fs = current->files;
    spin_lock(&fs->lock);
    take_out(fs, (uint32_t)fd);
    spin_unlock(&fs->lock);
}

int fd_install(struct file *f, int min, bool cloexec)
{
    int fd = fd_reserve((uint32_t)min, cloexec);
    if (fd < 0)
        file_put(f);
    else
        fd_fill(fd, f);
    return fd;
}

int fd_close(int fd)
{
    struct files *fs = current->files;
    struct file *f = NULL;
    spin_lock(&fs->lock);
    if ((uint32_t)fd < fs->table->max && fs->table->file[fd])
        f = take_out(fs, (uint32_t)fd);
    spin_unlock(&fs->lock);
    if (!f)
        return -EBADF;
    close_file(f, fs);
    return 0;
}

/* Makes current's table its own. */
static int files_unshare(void)
{
    struct files *old = current->files;
    if (ref_read(&old->ref) == 1)
        return 0;
    struct files *own = files_copy(old);
    if (!own)
        return -ENOMEM;
    current->files = own;
    files_put(old);
    return 0;
}

/* Closes the open descriptors of [first, last], or only those with close-on-exec. */
static void close_many(uint32_t first, uint32_t last, bool only_cloexec)
{
    struct files *fs = current->files;
    for (uint32_t fd = first;; fd++) {
        struct file *f = NULL;
        spin_lock(&fs->lock);
        const struct fd_table *t = fs->table;
        for (; fd < t->max && fd <= last && !f; fd++) {
            uint64_t bits = only_cloexec ? t->cloexec[fd / 64] : t->open[fd / 64];
            bits >>= fd % 64;
            if (!bits) {
                fd |= 63;
                continue;
            }
            fd += (uint32_t)__builtin_ctzll(bits);
            if (fd <= last && t->file[fd])
                f = take_out(fs, fd);
            if (f)
                break;
        }
        spin_unlock(&fs->lock);
        if (!f)
            return;
        close_file(f, fs);
    }
}

int files_exec(void)
{
    int err = files_unshare();
    if (!err)
        close_many(0, UINT32_MAX, true);
    return err;
}

/* ---- system calls ---- */

int64_t sys_close(int fd)
{
    return fd_close(fd);
}

int64_t sys_close_range(uint32_t first, uint32_t last, uint32_t flags)
{
    if (first > last || (flags & ~(uint32_t)(CLOSE_RANGE_UNSHARE_K | CLOSE_RANGE_CLOEXEC_K)))
        return -EINVAL;
    if (flags & CLOSE_RANGE_UNSHARE_K) {
        int err = files_unshare();
        if (err)
            return err;
    }
    if (!(flags & CLOSE_RANGE_CLOEXEC_K)) {
        close_many(first, last, false);
        return 0;
    }
    struct files *fs = current->files;
    spin_lock(&fs->lock);
    struct fd_table *t = fs->table;
    for (uint64_t fd = first; fd <= last && fd < t->max; fd++)
        if (bit_test(t->open, (uint32_t)fd))
            bit_put(t->cloexec, (uint32_t)fd, true);
    spin_unlock(&fs->lock);
    return 0;
}

int64_t sys_dup(int fd)
{
    struct file *f = fd_get_any(fd);
    return f ? fd_install(f, 0, false) : -EBADF;
}

/* Puts the file of old_fd into new_fd, closing what is there. */
static int64_t dup_to(int old_fd, int new_fd, bool cloexec)
{
    struct files *fs = current->files;
    struct file *f, *replaced = NULL;
    if ((uint32_t)new_fd >= fd_limit())
        return -EBADF;
    f = fd_get_any(old_fd);
    if (!f)
        return -EBADF;
    uint32_t fd = (uint32_t)new_fd;
    spin_lock(&fs->lock);
    int err = table_grow(fs, fd);
    /* Reserved: another thread's open() is about to put its file there. */
    if (!err && bit_test(fs->table->open, fd) && !fs->table->file[fd])
        err = -EBUSY;
    if (!err) {
        replaced = fs->table->file[fd];
        __atomic_store_n(&fs->table->file[fd], f, __ATOMIC_RELEASE);
        bit_put(fs->table->open, fd, true);
        bit_put(fs->table->cloexec, fd, cloexec);
    }
    spin_unlock(&fs->lock);
    if (err)
        file_put(f);
    if (replaced)
        close_file(replaced, fs);
    return err ? err : new_fd;
}

int64_t sys_dup2(int old_fd, int new_fd)
{
    if (old_fd != new_fd)
        return dup_to(old_fd, new_fd, false);
    bool counted;
    struct file *f = fd_borrow_any(old_fd, &counted);
    if (!f)
        return -EBADF;
    fd_unborrow(f, counted);
    return new_fd;
}

int64_t sys_dup3(int old_fd, int new_fd, int flags)
{
    if ((flags & ~O_CLOEXEC_K) || old_fd == new_fd)
        return -EINVAL;
    return dup_to(old_fd, new_fd, (flags & O_CLOEXEC_K) != 0);
}
