/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inotify: a descriptor that tells what happens to watched files and directories (inotify(7)).
 *
 * A watch counts its inode, so that the inode is found again when its name is looked up, and stands
 * in two lists: the inode's and the instance's. It learns of what happens inside the keep; what the
 * host changes under a granted directory is not seen.
 *
 * inotify_lock guards all lists, watches, events and instances; it nests inside of dcache_lock.
 * What is taken out under it and may sleep when it is given back (inodes) is collected and put
 * behind it.
 */
#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "fs/anon_file.h"
#include "fs/dcache.h"
#include "fs/fsnotify.h"
#include "fs/namei.h"
#include "proc/pid.h"

enum {
    IN_UNMOUNT_K = 0x2000,
    IN_Q_OVERFLOW_K = 0x4000,
    IN_IGNORED_K = 0x8000,
    IN_ONLYDIR_K = 0x01000000,
    IN_DONT_FOLLOW_K = 0x02000000,
    IN_EXCL_UNLINK_K = 0x04000000,
    IN_MASK_CREATE_K = 0x10000000,
    IN_MASK_ADD_K = 0x20000000,
    IN_ISDIR_K = 0x40000000,
};
#define IN_ONESHOT_K 0x80000000u
#define IN_ARGUMENTS                                                                               \
    (IN_ALL_EVENTS_K | IN_UNMOUNT_K | IN_Q_OVERFLOW_K | IN_IGNORED_K | IN_ONLYDIR_K |              \
     IN_DONT_FOLLOW_K | IN_EXCL_UNLINK_K | IN_MASK_CREATE_K | IN_MASK_ADD_K | IN_ISDIR_K |         \
     IN_ONESHOT_K)
#define IN_KEPT (IN_ALL_EVENTS_K | IN_EXCL_UNLINK_K | IN_ONESHOT_K)
#define FIONREAD_K 0x541b

struct k_inotify_event {
    int32_t wd;
    uint32_t mask, cookie, len;
};

struct event {
    struct list link;
    struct k_inotify_event e; /* e.len: of the name with its padding */
    char name[];
};

struct instance {
    struct list events, watches;
    uint32_t nr_events;
    uint64_t nr_bytes; /* that read would give */
    int32_t last_wd;
    kuid_t uid; /* whose counts it and its watches are in */
    struct wait_queue readers;
};

struct watch {
    struct list of_inode, of_instance;
    struct list all; /* of all watches; then of those to be put */
    struct instance *instance;
    struct inode *inode;
    int32_t wd;
    uint32_t mask;
};

uint32_t fsnotify_nr_watches;
static spinlock_t inotify_lock = SPINLOCK_INIT;
static struct list all_watches = LIST_INIT(all_watches);

/* ---- events; inotify_lock is held ---- */

static bool same_event(const struct event *a, int32_t wd, uint32_t mask, const char *name,
                       uint32_t len)
{
    return a->e.wd == wd && a->e.mask == mask && a->e.len == len && !(mask & IN_IGNORED_K) &&
           (!len || !strcmp(a->name, name));
}

static void queue_event(struct instance *in, int32_t wd, uint32_t mask, uint32_t cookie,
                        const char *name)
{
    uint32_t len = name ? (uint32_t)ALIGN_UP(strlen(name) + 1, sizeof(struct k_inotify_event)) : 0;
    struct event *last =
        list_empty(&in->events) ? NULL : list_entry(in->events.prev, struct event, link);
    struct event *ev = NULL;
    if (in->nr_events < INOTIFY_MAX_QUEUED) {
        if (last && same_event(last, wd, mask, name, len))
            return;
        ev = kzalloc(sizeof(*ev) + len);
    }
    if (!ev) {
        /* Too many, or no memory: told once. */
        if (last && (last->e.mask & IN_Q_OVERFLOW_K))
            return;
        wd = -1;
        mask = IN_Q_OVERFLOW_K;
        cookie = len = 0;
        ev = kzalloc(sizeof(*ev));
        if (!ev)
            return;
    }
    ev->e = (struct k_inotify_event){wd, mask, cookie, len};
    if (len)
        memcpy(ev->name, name, strlen(name));
    list_add_tail(&ev->link, &in->events);
    in->nr_events++;
    in->nr_bytes += sizeof(ev->e) + len;
    wake_all(&in->readers, POLLIN_K | POLLRDNORM_K);
}

/* The watch ends; it goes to `dead` for put_watches. */
static void end_watch(struct watch *w, bool tell, struct list *dead)
{
    if (tell)
        queue_event(w->instance, w->wd, IN_IGNORED_K, 0, NULL);
    user_count_add(w->instance->uid, USER_INOTIFY_WATCHES, -1);
    list_del(&w->of_inode);
    list_del(&w->of_instance);
    list_del(&w->all);
    list_add_tail(&w->all, dead);
    __atomic_sub_fetch(&fsnotify_nr_watches, 1, __ATOMIC_RELAXED);
}

/* No lock is held. */
static void put_watches(struct list *dead)
{
    struct watch *w, *next;
    list_for_each_safe (w, next, dead, all) {
        inode_put(w->inode);
        kfree(w);
    }
}

/* ---- what happens ---- */

/* unlinked: the name that it happened by is gone already. */
static void tell(struct inode *inode, uint32_t mask, uint32_t cookie, const char *name,
                 bool unlinked, struct list *dead)
{
    struct watch *w, *next;
    list_for_each_safe (w, next, &inode->fsnotify, of_inode) {
        if (!(w->mask & mask & IN_ALL_EVENTS_K) ||
            (unlinked && name && (w->mask & IN_EXCL_UNLINK_K)))
            continue;
        queue_event(w->instance, w->wd, mask, cookie, name);
        if (w->mask & IN_ONESHOT_K)
            end_watch(w, true, dead);
    }
}

/* Events on a directory say so, but for those on itself that end or move it. */
static uint32_t with_isdir(uint32_t mask, bool is_dir)
{
    return is_dir && !(mask & (IN_DELETE_SELF_K | IN_MOVE_SELF_K)) ? mask | IN_ISDIR_K : mask;
}

void fsnotify_tell_inode(struct inode *inode, uint32_t mask)
{
    struct list dead = LIST_INIT(dead);
    spin_lock(&inotify_lock);
    tell(inode, with_isdir(mask, S_ISDIR_K(inode->mode)), 0, NULL, false, &dead);
    spin_unlock(&inotify_lock);
    put_watches(&dead);
}

void fsnotify_tell_name(struct inode *dir, const char *name, uint32_t mask, bool is_dir,
                        uint32_t cookie)
{
    struct list dead = LIST_INIT(dead);
    spin_lock(&inotify_lock);
    tell(dir, with_isdir(mask, is_dir), cookie, name, false, &dead);
    spin_unlock(&inotify_lock);
    put_watches(&dead);
}

void fsnotify_tell_dentry(struct dentry *d, uint32_t mask)
{
    struct list dead = LIST_INIT(dead);
    struct inode *inode = d->inode;
    if (!inode)
        return;
    mask = with_isdir(mask, S_ISDIR_K(inode->mode));
    spin_lock(&dcache_lock); /* keeps name and parent as they are */
    spin_lock(&inotify_lock);
    if (d->parent && d->parent != d && d->parent->inode)
        tell(d->parent->inode, mask, 0, d->name, !d->hashed, &dead);
    tell(inode, mask, 0, NULL, false, &dead);
    spin_unlock(&inotify_lock);
    spin_unlock(&dcache_lock);
    put_watches(&dead);
}

uint32_t fsnotify_cookie(void)
{
    static uint32_t cookie;
    return __atomic_add_fetch(&cookie, 1, __ATOMIC_RELAXED);
}

/* Tells all watches of an inode its last event. */
static void end_watches_of(struct inode *inode, uint32_t mask, struct list *dead)
{
    struct watch *w, *next;
    list_for_each_safe (w, next, &inode->fsnotify, of_inode) {
        if ((w->mask & mask) || mask == IN_UNMOUNT_K)
            queue_event(w->instance, w->wd, mask, 0, NULL);
        end_watch(w, true, dead);
    }
}

bool fsnotify_put(struct inode *inode)
{
    struct list dead = LIST_INIT(dead), *l;
    spin_lock(&inotify_lock);
    bool ours = inode->nlink == 0 && !list_empty(&inode->fsnotify);
    if (ours) {
        int32_t nr_watches = 0;
        for (l = inode->fsnotify.next; l != &inode->fsnotify; l = l->next)
            nr_watches++;
        ref_put(&inode->ref); /* never the last: the watches' are left */
        if (ref_read(&inode->ref) == nr_watches)
            end_watches_of(inode, IN_DELETE_SELF_K, &dead);
    }
    spin_unlock(&inotify_lock);
    put_watches(&dead);
    return ours;
}

void fsnotify_unmount(struct super_block *sb)
{
    struct list dead = LIST_INIT(dead);
    struct watch *w;
    spin_lock(&inotify_lock);
    for (struct list *l = all_watches.next; l != &all_watches;) {
        w = list_entry(l, struct watch, all);
        l = l->next;
        if (w->inode->sb != sb)
            continue;
        end_watches_of(w->inode, IN_UNMOUNT_K, &dead);
        l = all_watches.next; /* others of the same inode are gone too */
    }
    spin_unlock(&inotify_lock);
    put_watches(&dead);
}

/* ---- the descriptor ---- */

/* The next event when it has at most `room` bytes: taken out; NULL with *size what it has, 0: there
 * is none. */
static struct event *take_event(struct instance *in, uint64_t room, uint64_t *size)
{
    struct event *ev = NULL;
    *size = 0;
    spin_lock(&inotify_lock);
    if (!list_empty(&in->events)) {
        ev = list_first(&in->events, struct event, link);
        *size = sizeof(ev->e) + ev->e.len;
        if (*size <= room) {
            list_del(&ev->link);
            in->nr_events--;
            in->nr_bytes -= *size;
        } else {
            ev = NULL;
        }
    }
    spin_unlock(&inotify_lock);
    return ev;
}

static int64_t inotify_read(struct file *f, struct uio *u, uint64_t *pos)
{
    struct instance *in = f->priv;
    int64_t done = 0;
    uint64_t size;
    for (;;) {
        struct event *ev = take_event(in, u->remaining, &size);
        if (ev) {
            bool copied = uio_write(u, &ev->e, sizeof(ev->e)) == sizeof(ev->e) &&
                          uio_write(u, ev->name, ev->e.len) == ev->e.len;
            kfree(ev);
            if (!copied)
                return done ? done : -EFAULT;
            done += (int64_t)size;
            continue;
        }
        if (done)
            return done;
        if (size)
            return -EINVAL; /* not even one fits */
        if (file_nonblocking(f))
            return -EAGAIN;
        int r;
        WAIT_EVENT(&in->readers, READ_ONCE(in->nr_events) != 0, WAIT_INTERRUPTIBLE, KTIME_NEVER, r);
        if (r)
            return r;
    }
}

/* There is no position, and asking for one is no error. */
static int64_t inotify_lseek(struct file *f, int64_t off, int whence)
{
    return 0;
}

static uint32_t inotify_poll(struct file *f, struct poll_table *pt)
{
    struct instance *in = f->priv;
    poll_wait(pt, f, &in->readers);
    return READ_ONCE(in->nr_events) ? POLLIN_K | POLLRDNORM_K : 0;
}

static int64_t inotify_ioctl(struct file *f, unsigned cmd, uint64_t arg)
{
    struct instance *in = f->priv;
    if (cmd != FIONREAD_K)
        return -ENOTTY;
    return put_user((int32_t)READ_ONCE(in->nr_bytes), arg);
}

static void inotify_release(struct file *f)
{
    struct instance *in = f->priv;
    struct list dead = LIST_INIT(dead);
    struct watch *w, *next;
    struct event *ev, *next_event;
    spin_lock(&inotify_lock);
    list_for_each_safe (w, next, &in->watches, of_instance)
        end_watch(w, false, &dead);
    spin_unlock(&inotify_lock);
    put_watches(&dead);
    list_for_each_safe (ev, next_event, &in->events, link)
        kfree(ev);
    user_count_add(in->uid, USER_INOTIFY_INSTANCES, -1);
    kfree(in);
}

static void inotify_fdinfo(struct file *f, char *buf, size_t size)
{
    struct instance *in = f->priv;
    struct watch *w;
    size_t at = 0;
    spin_lock(&inotify_lock);
    list_for_each (w, &in->watches, of_instance)
        if (at < size)
            at += (size_t)k_snprintf(
                buf + at, size - at, "inotify wd:%x ino:%lx sdev:%lx mask:%x ignored_mask:0\n",
                (unsigned)w->wd, w->inode->ino, w->inode->sb->dev, w->mask & IN_ALL_EVENTS_K);
    spin_unlock(&inotify_lock);
}

static const struct file_ops inotify_file_ops = {
    .read = inotify_read,
    .lseek = inotify_lseek,
    .poll = inotify_poll,
    .ioctl = inotify_ioctl,
    .fsync = fsync_not_supported,
    .release = inotify_release,
    .show_fdinfo = inotify_fdinfo,
};

/* ---- system calls ---- */

int64_t sys_inotify_init1(int flags)
{
    if (flags & ~(O_CLOEXEC_K | O_NONBLOCK_K))
        return -EINVAL;
    struct instance *in = kzalloc(sizeof(*in));
    if (!in)
        return -ENOMEM;
    list_init(&in->events);
    list_init(&in->watches);
    wait_queue_init(&in->readers);
    in->uid = current->cred->euid;
    int64_t n = user_count_add(in->uid, USER_INOTIFY_INSTANCES, 1);
    struct file *f = n > (int64_t)INOTIFY_MAX_INSTANCES ? err_ptr(-EMFILE) : err_ptr(n);
    if (n >= 0 && n <= (int64_t)INOTIFY_MAX_INSTANCES)
        f = file_new_anon("anon_inode:inotify", &inotify_file_ops, in,
                          O_RDONLY_K | ((uint32_t)flags & O_NONBLOCK_K), FMODE_READ);
    if (is_err(f)) {
        if (n >= 0)
            user_count_add(in->uid, USER_INOTIFY_INSTANCES, -1);
        kfree(in);
        return ptr_err(f);
    }
    return fd_install(f, 0, flags & O_CLOEXEC_K);
}

int64_t sys_inotify_init(void)
{
    return sys_inotify_init1(0);
}

/* inotify_lock is held. */
static struct watch *find_watch(struct instance *in, struct inode *inode)
{
    struct watch *w;
    list_for_each (w, &inode->fsnotify, of_inode)
        if (w->instance == in)
            return w;
    return NULL;
}

static int64_t add_watch(struct instance *in, struct inode *inode, uint32_t mask)
{
    struct watch *w, *fresh = kzalloc(sizeof(*fresh));
    int64_t n = fresh ? user_count_add(in->uid, USER_INOTIFY_WATCHES, 1) : -ENOMEM, wd;
    if (n < 0) {
        kfree(fresh);
        return n;
    }
    spin_lock(&inotify_lock);
    w = find_watch(in, inode);
    if (w && (mask & IN_MASK_CREATE_K)) {
        wd = -EEXIST;
    } else if (w) {
        w->mask = (mask & IN_MASK_ADD_K ? w->mask : 0) | (mask & IN_KEPT);
        wd = w->wd;
    } else if (n > (int64_t)INOTIFY_MAX_WATCHES || in->last_wd == INT32_MAX) {
        wd = -ENOSPC;
    } else {
        inode_get(inode);
        *fresh = (struct watch){.instance = in, .inode = inode, .mask = mask & IN_KEPT};
        wd = fresh->wd = ++in->last_wd;
        list_add_tail(&fresh->of_inode, &inode->fsnotify);
        list_add_tail(&fresh->of_instance, &in->watches);
        list_add_tail(&fresh->all, &all_watches);
        __atomic_add_fetch(&fsnotify_nr_watches, 1, __ATOMIC_RELAXED);
        fresh = NULL;
    }
    spin_unlock(&inotify_lock);
    if (fresh) {
        user_count_add(in->uid, USER_INOTIFY_WATCHES, -1);
        kfree(fresh);
    }
    return wd;
}

/* The instance of a descriptor: its file, counted, or err_ptr. */
static struct file *instance_file(int fd)
{
    struct file *f = fd_get(fd);
    if (!f)
        return err_ptr(-EBADF);
    if (f->ops == &inotify_file_ops)
        return f;
    file_put(f);
    return err_ptr(-EINVAL);
}

int64_t sys_inotify_add_watch(int fd, uaddr_t name, uint32_t mask)
{
    struct path p;
    if (!(mask & IN_ARGUMENTS) || (mask & ~IN_ARGUMENTS) ||
        ((mask & IN_MASK_ADD_K) && (mask & IN_MASK_CREATE_K)))
        return -EINVAL;
    struct file *f = instance_file(fd);
    if (is_err(f))
        return ptr_err(f);
    int64_t r = path_lookup_user(AT_FDCWD_K, name,
                                 (mask & IN_DONT_FOLLOW_K ? 0u : LOOKUP_FOLLOW) |
                                     (mask & IN_ONLYDIR_K ? LOOKUP_DIRECTORY : 0u),
                                 &p);
    if (!r) {
        r = inode_permission(p.dentry->inode, MAY_READ);
        if (!r)
            r = add_watch(f->priv, p.dentry->inode, mask);
        path_put(&p);
    }
    file_put(f);
    return r;
}

int64_t sys_inotify_rm_watch(int fd, int wd)
{
    struct list dead = LIST_INIT(dead);
    struct watch *w;
    struct file *f = instance_file(fd);
    if (is_err(f))
        return ptr_err(f);
    struct instance *in = f->priv;
    spin_lock(&inotify_lock);
    list_for_each (w, &in->watches, of_instance)
        if (w->wd == wd) {
            end_watch(w, true, &dead);
            break;
        }
    spin_unlock(&inotify_lock);
    int64_t r = list_empty(&dead) ? -EINVAL : 0;
    put_watches(&dead);
    file_put(f);
    return r;
}
