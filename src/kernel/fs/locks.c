/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Advisory locks: POSIX record locks and open-file-description locks of fcntl, and flock.
 *
 * A record lock belongs to a descriptor table (POSIX) or to an open file (OFD); the two kinds
 * exclude each other. A flock lock belongs to an open file and lives in a list of its own: the two
 * families do not see each other.
 *
 * One spinlock guards all lists. Who waits sleeps on the inode's queue and tries again after each
 * change. Deadlock: each waiter for a POSIX lock stands in `blocked` with the owner that it waits
 * for; a new waiter follows that chain, and is refused when it comes back to itself. OFD locks are
 * left out, as on Linux: their owner is no one who waits.
 */
#include "fs/locks.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/usercopy.h"
#include "fs/files.h"

enum { F_RDLCK_K = 0, F_WRLCK_K = 1, F_UNLCK_K = 2 };
enum { LOCK_SH_K = 1, LOCK_EX_K = 2, LOCK_NB_K = 4, LOCK_UN_K = 8 };
#define END_OF_FILE ((uint64_t)INT64_MAX)
#define CHAIN_MAX 1000 /* owners that the search for a deadlock follows */

/* struct flock of x86-64 */
struct k_flock {
    int16_t type, whence;
    int32_t pad0;
    int64_t start, len;
    int32_t pid, pad1;
};
_Static_assert(sizeof(struct k_flock) == 32, "struct flock");

struct file_lock {
    struct list link;
    const void *owner; /* struct files, or struct file */
    bool is_ofd;
    int type;
    kpid_t pid;
    uint64_t start, end; /* both included */
};

struct file_lock_list {
    struct list records; /* file_lock.link */
    struct list whole;   /* flock */
    struct wait_queue changed;
};

/* A thread that waits for a POSIX lock; on its stack. */
struct blocked_waiter {
    struct list link;
    const void *owner, *waits_for;
};

static spinlock_t locks_lock = SPINLOCK_INIT; /* all lists, and `blocked` */
static struct list blocked = LIST_INIT(blocked);

/* ---- life of the lists ---- */

/* The inode's lists, made at first use; NULL: no memory. */
static struct file_lock_list *locks_of(struct inode *inode)
{
    struct file_lock_list *l = __atomic_load_n(&inode->locks, __ATOMIC_ACQUIRE), *none = NULL;
    if (l)
        return l;
    l = kmalloc(sizeof(*l));
    if (!l)
        return NULL;
    list_init(&l->records);
    list_init(&l->whole);
    wait_queue_init(&l->changed);
    if (__atomic_compare_exchange_n(&inode->locks, &none, l, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return l;
    kfree(l);
    return none;
}

void file_locks_free(struct inode *inode)
{
    kfree(inode->locks);
    inode->locks = NULL;
}

static void lock_free(struct file_lock *l)
{
    list_del(&l->link);
    kfree(l);
}

/* ---- record locks ---- */

static bool overlaps(const struct file_lock *a, const struct file_lock *b)
{
    return a->start <= b->end && b->start <= a->end;
}

/* A lock of somebody else that forbids `want`, or NULL. */
static struct file_lock *find_conflict(struct file_lock_list *list, const struct file_lock *want)
{
    struct file_lock *l, *first = NULL;
    list_for_each (l, &list->records, link)
        if (l->owner != want->owner && overlaps(l, want) &&
            (l->type == F_WRLCK_K || want->type == F_WRLCK_K) &&
            (!first || l->start < first->start))
            first = l;
    return first;
}

/* Would `owner` wait for itself if it waited for `other`? */
static bool would_deadlock(const void *owner, const void *other)
{
    for (int depth = 0; depth < CHAIN_MAX; depth++) {
        struct blocked_waiter *b, *next = NULL;
        if (other == owner)
            return true;
        list_for_each (b, &blocked, link)
            if (b->owner == other) {
                next = b;
                break;
            }
        if (!next)
            return false;
        other = next->waits_for;
    }
    return false;
}

/* Sets `want` (or unlocks its range): the owner's other locks there are cut, joined or replaced.
 * -ENOLCK without memory, with nothing changed. locks_lock held. */
static int apply_record(struct file_lock_list *list, const struct file_lock *want)
{
    struct file_lock *l, *tmp, *fresh = NULL, *right = NULL;
    uint64_t start = want->start, end = want->end;
    /* At most one lock of the owner spans the range on both sides: what is left of it needs a
     * second one. */
    if (want->type != F_UNLCK_K && !(fresh = kmalloc(sizeof(*fresh))))
        return -ENOLCK;
    list_for_each (l, &list->records, link)
        if (l->owner == want->owner && l->type != want->type && l->start < start && l->end > end) {
            right = kmalloc(sizeof(*right));
            if (!right) {
                kfree(fresh);
                return -ENOLCK;
            }
            break;
        }
    list_for_each_safe (l, tmp, &list->records, link) {
        if (l->owner != want->owner)
            continue;
        if (l->type == want->type) {
            /* Joined, if it touches. */
            if (l->start > (end == END_OF_FILE ? end : end + 1) ||
                start > (l->end == END_OF_FILE ? l->end : l->end + 1))
                continue;
            start = k_min(start, l->start);
            end = k_max(end, l->end);
            lock_free(l);
        } else if (l->start > want->end || l->end < want->start) {
            continue;
        } else if (l->start < want->start && l->end > want->end) {
            /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): made by the caller where a lock may be cut in two */
            *right = *l;
            right->start = want->end + 1;
            l->end = want->start - 1;
            list_add(&right->link, &l->link);
            right = NULL;
        } else if (l->start < want->start) {
            l->end = want->start - 1;
        } else if (l->end > want->end) {
            l->start = want->end + 1;
        } else {
            lock_free(l);
        }
    }
    if (fresh) {
        *fresh = *want;
        fresh->start = start;
        fresh->end = end;
        list_add_tail(&fresh->link, &list->records);
    }
    kfree(right);
    return 0;
}

/* One attempt: 0, -EAGAIN (somebody else's lock is in the way), -EDEADLK, -ENOLCK. With b, a thread
 * about to wait is put into `blocked`, and taken out of it when it needs no more to wait. */
static int try_record(struct file_lock_list *list, const struct file_lock *want,
                      struct blocked_waiter *b)
{
    int ret = 0;
    spin_lock(&locks_lock);
    if (b)
        list_del(&b->link);
    struct file_lock *other = want->type == F_UNLCK_K ? NULL : find_conflict(list, want);
    if (!other) {
        ret = apply_record(list, want);
    } else if (b && !other->is_ofd && would_deadlock(want->owner, other->owner)) {
        ret = -EDEADLK;
    } else {
        ret = -EAGAIN;
        if (b && !other->is_ofd) {
            b->owner = want->owner;
            b->waits_for = other->owner;
            list_add(&b->link, &blocked);
        }
    }
    spin_unlock(&locks_lock);
    return ret;
}

static int set_record(struct file_lock_list *list, const struct file_lock *want, bool wait)
{
    struct blocked_waiter b;
    int ret;
    list_init(&b.link);
    if (!wait || want->type == F_UNLCK_K) {
        ret = try_record(list, want, NULL);
    } else {
        int interrupted;
        WAIT_EVENT(&list->changed,
                   (ret = try_record(list, want, want->is_ofd ? NULL : &b)) != -EAGAIN,
                   WAIT_INTERRUPTIBLE, KTIME_NEVER, interrupted);
        if (interrupted) {
            spin_lock(&locks_lock);
            list_del(&b.link);
            spin_unlock(&locks_lock);
            return interrupted;
        }
    }
    if (ret == 0)
        wake_all(&list->changed,
                 0); /* a range may have been given back, or a write lock become a read lock */
    return ret;
}

/* The range of a struct flock, from offsets relative to where it says. */
static int range_from_flock(const struct file *f, const struct k_flock *fl, struct file_lock *l)
{
    int64_t start, base;
    switch (fl->whence) {
    case SEEK_SET_K: base = 0; break;
    case SEEK_CUR_K: base = (int64_t)f->pos; break;
    case SEEK_END_K: base = (int64_t)READ_ONCE(f->inode->size); break;
    default: return -EINVAL;
    }
    if (__builtin_add_overflow(base, fl->start, &start))
        return -EOVERFLOW;
    if (start < 0)
        return -EINVAL;
    if (fl->len > 0) {
        if (fl->len - 1 > INT64_MAX - start)
            return -EOVERFLOW;
        l->start = (uint64_t)start;
        l->end = (uint64_t)(start + (fl->len - 1));
    } else if (fl->len < 0) {
        if (start + fl->len < 0)
            return -EINVAL;
        l->start = (uint64_t)(start + fl->len);
        l->end = (uint64_t)(start - 1);
    } else {
        l->start = (uint64_t)start;
        l->end = END_OF_FILE;
    }
    return 0;
}

static int64_t get_record(struct file *f, struct k_flock *fl, const struct file_lock *want)
{
    struct file_lock_list *list = __atomic_load_n(&f->inode->locks, __ATOMIC_ACQUIRE);
    fl->type = F_UNLCK_K;
    if (!list)
        return 0;
    spin_lock(&locks_lock);
    const struct file_lock *l = find_conflict(list, want);
    if (l) {
        fl->type = (int16_t)l->type;
        fl->whence = SEEK_SET_K;
        fl->start = (int64_t)l->start;
        fl->len = l->end == END_OF_FILE ? 0 : (int64_t)(l->end - l->start + 1);
        fl->pid = l->is_ofd ? -1 : l->pid;
    }
    spin_unlock(&locks_lock);
    return 0;
}

int64_t file_lock_fcntl(struct file *f, int cmd, uaddr_t addr)
{
    bool is_ofd = cmd == F_OFD_GETLK_K || cmd == F_OFD_SETLK_K || cmd == F_OFD_SETLKW_K;
    bool get = cmd == F_GETLK_K || cmd == F_OFD_GETLK_K;
    struct k_flock fl;
    if (copy_from_user(&fl, addr, sizeof(fl)) != 0)
        return -EFAULT;
    struct file_lock want = {
        .owner = is_ofd ? (const void *)f : (const void *)current->files,
        .is_ofd = is_ofd,
        .type = fl.type,
        .pid = current->process->pid,
    };
    if (fl.type != F_RDLCK_K && fl.type != F_WRLCK_K && (get || fl.type != F_UNLCK_K))
        return -EINVAL;
    if (is_ofd && fl.pid != 0)
        return -EINVAL;
    int err = range_from_flock(f, &fl, &want);
    if (err)
        return err;
    if (get) {
        get_record(f, &fl, &want);
        return copy_to_user(addr, &fl, sizeof(fl));
    }
    if ((fl.type == F_RDLCK_K && !(f->mode & FMODE_READ)) ||
        (fl.type == F_WRLCK_K && !(f->mode & FMODE_WRITE)))
        return -EBADF;
    struct file_lock_list *list = locks_of(f->inode);
    if (!list)
        return -ENOLCK;
    return set_record(list, &want, cmd == F_SETLKW_K || cmd == F_OFD_SETLKW_K);
}

/* ---- flock ---- */

/* 0, -EAGAIN, -ENOLCK. An owner's lock of the other type is given up first, even if the new one
 * cannot be had. */
static int try_whole(struct file_lock_list *list, struct file *f, int type)
{
    struct file_lock *l, *tmp, *own = NULL;
    bool released = false;
    int ret = 0;
    spin_lock(&locks_lock);
    list_for_each_safe (l, tmp, &list->whole, link)
        if (l->owner == f) {
            if (l->type == type) {
                own = l;
            } else {
                lock_free(l);
                released = true;
            }
        }
    if (!own && type != F_UNLCK_K) {
        list_for_each (l, &list->whole, link)
            if (l->type == F_WRLCK_K || type == F_WRLCK_K)
                ret = -EAGAIN;
        if (!ret && !(own = kmalloc(sizeof(*own))))
            ret = -ENOLCK;
        if (!ret) {
            *own = (struct file_lock){
                .owner = f, .type = type, .end = END_OF_FILE, .pid = current->process->pid};
            list_add_tail(&own->link, &list->whole);
        }
    }
    spin_unlock(&locks_lock);
    if (released)
        wake_all(&list->changed, 0);
    return ret;
}

static int set_whole(struct file *f, int type, bool wait)
{
    struct file_lock_list *list = locks_of(f->inode);
    int ret, interrupted;
    if (!list)
        return -ENOLCK;
    ret = try_whole(list, f, type); /* outside of the wait: it may itself wake the queue */
    if (ret != -EAGAIN || !wait)
        return ret;
    WAIT_EVENT(&list->changed, (ret = try_whole(list, f, type)) != -EAGAIN, WAIT_INTERRUPTIBLE,
               KTIME_NEVER, interrupted);
    return interrupted ? interrupted : ret;
}

int64_t sys_flock(int fd, uint32_t op)
{
    bool wait = !(op & LOCK_NB_K);
    int type;
    switch (op & ~(uint32_t)LOCK_NB_K) {
    case LOCK_SH_K: type = F_RDLCK_K; break;
    case LOCK_EX_K: type = F_WRLCK_K; break;
    case LOCK_UN_K: type = F_UNLCK_K; break;
    default: type = -1; break;
    }
    FD_FILE(f, fd);
    if (!f)
        return -EBADF;
    return type < 0 ? -EINVAL : set_whole(f, type, wait);
}

/* ---- closing ---- */

/* Frees the locks of `owner` in one of the lists of the inode. */
static void release_all(struct inode *inode, bool records, bool whole, const void *owner)
{
    struct file_lock_list *list = __atomic_load_n(&inode->locks, __ATOMIC_ACQUIRE);
    struct file_lock *l, *tmp;
    bool released = false;
    if (!list)
        return;
    spin_lock(&locks_lock);
    if (records)
        list_for_each_safe (l, tmp, &list->records, link)
            if (l->owner == owner) {
                lock_free(l);
                released = true;
            }
    if (whole)
        list_for_each_safe (l, tmp, &list->whole, link)
            if (l->owner == owner) {
                lock_free(l);
                released = true;
            }
    spin_unlock(&locks_lock);
    if (released)
        wake_all(&list->changed, 0);
}

void locks_release_posix(struct file *f, struct files *owner)
{
    release_all(f->inode, true, false, owner);
}

void locks_release_file(struct file *f)
{
    release_all(f->inode, true, true, f);
}
