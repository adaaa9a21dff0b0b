/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoll: a set of watched files (the interest list) and a list of those that may be ready.
 *
 * An item hangs a waiter into each wait queue that its file names. The file's wake-up puts the item
 * on the ready list and wakes one sleeper of epoll_wait, which takes items off the list and asks
 * their files; what is level-triggered and still ready goes back to the end of the list. An item
 * holds no reference to its file: the file's last file_put takes the item away
 * (epoll_release_file), and sleeps until whoever is asking the file has done so.
 *
 * Locks, in order:
 *   epoll_tree_lock (mutex)  which epoll watches which (nesting), and the end of files and of epoll
 * instances epoll.mutex              interest list, delivery; of the outer one before that of the
 * nested one a file's wait queue      (spin) -> epoll.lock -> wait queues of the epoll itself
 *   epoll.lock (spin)        ready list, events of items. Never held while a file is asked.
 *   epoll_link_lock (spin)   file->epoll_items
 */
#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/spinlock.h"
#include "base/usercopy.h"
#include "fs/anon_file.h"
#include "fs/poll.h"
#include "proc/task.h"

enum { EPOLL_CTL_ADD_K = 1, EPOLL_CTL_DEL_K = 2, EPOLL_CTL_MOD_K = 3 };
#define EPOLLEXCLUSIVE_K (1u << 28)
#define EPOLLWAKEUP_K (1u << 29)
#define EPOLLONESHOT_K (1u << 30)
#define EPOLLET_K (1u << 31)
/* Not events but ways of delivery. An item with none but these is disabled. */
#define EPOLL_PRIVATE (EPOLLEXCLUSIVE_K | EPOLLWAKEUP_K | EPOLLONESHOT_K | EPOLLET_K)
#define EPOLL_EXCLUSIVE_ALLOWED                                                                    \
    (POLLIN_K | POLLOUT_K | POLLERR_K | POLLHUP_K | EPOLLWAKEUP_K | EPOLLET_K | EPOLLEXCLUSIVE_K)
#define EPOLL_MAX_DEPTH 5 /* epolls in a chain of nesting: wake-ups recurse along it */

/* struct epoll_event of x86-64 */
struct k_epoll_event {
    uint32_t events;
    uint64_t data;
} __attribute__((packed));

struct epoll {
    struct mutex mutex;
    struct rb_root items; /* by file and descriptor */
    struct file *file;    /* the epoll's own, not counted */

    spinlock_t lock;
    struct list ready;          /* epoll_item.ready_link */
    struct wait_queue sleepers; /* epoll_wait */
    struct wait_queue pollers;  /* who polls the epoll itself */
};

/* Most files have one or two wait queues. */
struct epoll_hook {
    struct waiter w;
    struct wait_queue *q;
    struct epoll_item *item;
    struct epoll_hook *next; /* further ones, allocated */
};

struct epoll_item {
    struct rb_node rb;
    struct list file_link; /* file->epoll_items */
    struct epoll *ep;
    struct file *file;
    int fd;
    /* epoll.lock */
    struct list ready_link; /* empty: not on the list */
    uint32_t events;
    uint64_t data;

    struct epoll_hook hook; /* hook.q is NULL until the first is used */
};

static struct mutex epoll_tree_lock;
static spinlock_t epoll_link_lock = SPINLOCK_INIT;
static spinlock_t init_lock = SPINLOCK_INIT;
static const struct file_ops epoll_file_ops;

static struct epoll *file_epoll(const struct file *f)
{
    return f->ops == &epoll_file_ops ? f->priv : NULL;
}

/* ---- ready list ---- */

/* Puts item on the ready list unless it is there, and wakes. */
static void make_ready(struct epoll_item *item)
{
    struct epoll *ep = item->ep;
    spin_lock(&ep->lock);
    if (list_empty(&item->ready_link))
        list_add_tail(&item->ready_link, &ep->ready);
    spin_unlock(&ep->lock);
    wake_one(&ep->sleepers, POLLIN_K);
    wake_all(&ep->pollers, POLLIN_K | POLLRDNORM_K);
}

/* The wake function of hooks: the file's queue lock is held. */
static bool hook_wake(struct waiter *w, uint32_t key)
{
    struct epoll_item *item = container_of(w, struct epoll_hook, w)->item;
    uint32_t events = READ_ONCE(item->events);
    if (!(events & ~EPOLL_PRIVATE) || (key && !(key & events)))
        return false;
    /* An exclusive hook answers for one sleeper. Where nobody sleeps the next hook gets the event
     * too. */
    bool someone = !(events & EPOLLEXCLUSIVE_K) ||
                   READ_ONCE(item->ep->sleepers.waiters.next) != &item->ep->sleepers.waiters;
    make_ready(item);
    return someone;
}

struct epoll_poll_table {
    struct poll_table pt;
    struct epoll_item *item;
    bool no_memory;
};

static void epoll_queue(struct poll_table *pt, struct file *f, struct wait_queue *q)
{
    struct epoll_poll_table *ept = container_of(pt, struct epoll_poll_table, pt);
    struct epoll_item *item = ept->item;
    struct epoll_hook *h = &item->hook;
    if (h->q) {
        h = kmalloc(sizeof(*h));
        if (!h) {
            ept->no_memory = true;
            return;
        }
        h->next = item->hook.next;
        item->hook.next = h;
    }
    h->q = q;
    h->item = item;
    h->w = (struct waiter){.wake = hook_wake, .exclusive = item->events & EPOLLEXCLUSIVE_K};
    wait_queue_add(q, &h->w);
}

/* ---- items ---- */

static int compare(const struct epoll_item *item, const struct file *f, int fd)
{
    if (item->file != f)
        return (uintptr_t)f < (uintptr_t)item->file ? -1 : 1;
    return fd < item->fd ? -1 : fd > item->fd;
}

static struct epoll_item *find_item(struct epoll *ep, const struct file *f, int fd)
{
    struct rb_node *n = ep->items.node;
    while (n) {
        struct epoll_item *item = rb_entry(n, struct epoll_item, rb);
        int c = compare(item, f, fd);
        if (c == 0)
            return item;
        n = c < 0 ? n->left : n->right;
    }
    return NULL;
}

static void insert_item(struct epoll *ep, struct epoll_item *item)
{
    struct rb_node **link = &ep->items.node, *parent = NULL;
    while (*link) {
        parent = *link;
        link = compare(rb_entry(parent, struct epoll_item, rb), item->file, item->fd) < 0
                   ? &parent->left
                   : &parent->right;
    }
    rb_link(&item->rb, parent, link);
    rb_insert_fixup(&ep->items, &item->rb);
    spin_lock(&epoll_link_lock);
    list_add_tail(&item->file_link, &item->file->epoll_items);
    spin_unlock(&epoll_link_lock);
}

/* ep->mutex held. */
static void remove_item(struct epoll *ep, struct epoll_item *item)
{
    if (item->hook.q)
        wait_queue_remove(item->hook.q, &item->hook.w);
    while (item->hook.next) {
        struct epoll_hook *h = item->hook.next;
        item->hook.next = h->next;
        wait_queue_remove(h->q, &h->w);
        kfree(h);
    }
    /* No hook is left that could put it back. */
    spin_lock(&ep->lock);
    list_del(&item->ready_link);
    spin_unlock(&ep->lock);
    spin_lock(&epoll_link_lock);
    list_del(&item->file_link);
    spin_unlock(&epoll_link_lock);
    rb_erase(&ep->items, &item->rb);
    kfree(item);
}

/* Asks the item's file; ep->mutex held. */
static uint32_t item_poll(const struct epoll_item *item)
{
    return file_poll(item->file, NULL) & item->events;
}

void epoll_release_file(struct file *f)
{
    /* Nobody else has the file any more, so nobody adds an item. */
    if (list_empty(&f->epoll_items))
        return;
    mutex_lock(&epoll_tree_lock);
    while (!list_empty(&f->epoll_items)) {
        struct epoll_item *item = list_first(&f->epoll_items, struct epoll_item, file_link);
        struct epoll *ep = item->ep;
        mutex_lock(&ep->mutex);
        remove_item(ep, item);
        mutex_unlock(&ep->mutex);
    }
    mutex_unlock(&epoll_tree_lock);
}

/* ---- nesting; epoll_tree_lock held ---- */

/* Most epolls in a chain that starts at ep and goes to what it watches (limited: stops counting
 * beyond). */
static int depth_below(struct epoll *ep, const struct epoll *searched, bool *found, int limit)
{
    if (ep == searched)
        *found = true;
    if (limit == 0 || *found)
        return 1;
    int deepest = 0;
    mutex_lock(&ep->mutex);
    for (struct rb_node *n = rb_first(&ep->items); n; n = rb_next(n)) {
        struct epoll *inner = file_epoll(rb_entry(n, struct epoll_item, rb)->file);
        if (inner)
            deepest = k_max(deepest, depth_below(inner, searched, found, limit - 1));
    }
    mutex_unlock(&ep->mutex);
    return 1 + deepest;
}

static int depth_above(const struct epoll *ep, int limit)
{
    int highest = 0;
    struct epoll_item *item;
    if (limit)
        list_for_each (item, &ep->file->epoll_items, file_link)
            highest = k_max(highest, depth_above(item->ep, limit - 1));
    return 1 + highest;
}

static int check_nesting(struct epoll *outer, struct epoll *inner)
{
    bool loop = false;
    int depth = depth_below(inner, outer, &loop, EPOLL_MAX_DEPTH);
    if (loop || depth + depth_above(outer, EPOLL_MAX_DEPTH) > EPOLL_MAX_DEPTH)
        return -ELOOP;
    return 0;
}

/* ---- epoll_ctl; ep->mutex held ---- */

static int add_item(struct epoll *ep, struct file *f, int fd, const struct k_epoll_event *event)
{
    struct epoll_item *item = kzalloc(sizeof(*item));
    if (!item)
        return -ENOMEM;
    item->ep = ep;
    item->file = f;
    item->fd = fd;
    item->events = event->events | POLLERR_K | POLLHUP_K;
    item->data = event->data;
    list_init(&item->ready_link);
    insert_item(ep, item);
    struct epoll_poll_table ept = {.pt = {epoll_queue}, .item = item};
    uint32_t ready = file_poll(f, &ept.pt) & item->events;
    if (ept.no_memory) {
        remove_item(ep, item);
        return -ENOMEM;
    }
    if (ready)
        make_ready(item);
    return 0;
}

static int modify_item(struct epoll *ep, struct epoll_item *item, const struct k_epoll_event *event)
{
    if (item->events & EPOLLEXCLUSIVE_K)
        return -EINVAL;
    spin_lock(&ep->lock);
    item->data = event->data;
    __atomic_store_n(&item->events, event->events | POLLERR_K | POLLHUP_K, __ATOMIC_SEQ_CST);
    spin_unlock(&ep->lock);
    /* An event before this store was judged by the old mask; one after it comes through the hook.
     */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (item_poll(item))
        make_ready(item);
    return 0;
}

static int change_items(struct epoll *ep, int op, struct file *f, int fd,
                        const struct k_epoll_event *event)
{
    struct epoll_item *item = find_item(ep, f, fd);
    switch (op) {
    case EPOLL_CTL_ADD_K: return item ? -EEXIST : add_item(ep, f, fd, event);
    case EPOLL_CTL_DEL_K:
        if (!item)
            return -ENOENT;
        remove_item(ep, item);
        return 0;
    case EPOLL_CTL_MOD_K: return item ? modify_item(ep, item, event) : -ENOENT;
    default: return -EINVAL;
    }
}

static int epoll_control(struct file *epf, int op, struct file *f, int fd,
                         const struct k_epoll_event *event)
{
    if (!f->ops->poll)
        return -EPERM;
    struct epoll *ep = file_epoll(epf), *inner = file_epoll(f);
    if (!ep || epf == f)
        return -EINVAL;
    if (op != EPOLL_CTL_DEL_K && (event->events & EPOLLEXCLUSIVE_K)) {
        if (op == EPOLL_CTL_MOD_K || inner || (event->events & ~EPOLL_EXCLUSIVE_ALLOWED))
            return -EINVAL;
    }
    const bool nests = inner && op != EPOLL_CTL_MOD_K;
    int r = 0;
    if (nests) {
        mutex_lock(&epoll_tree_lock);
        r = op == EPOLL_CTL_ADD_K ? check_nesting(ep, inner) : 0;
    }
    if (r == 0) {
        mutex_lock(&ep->mutex);
        r = change_items(ep, op, f, fd, event);
        mutex_unlock(&ep->mutex);
    }
    if (nests)
        mutex_unlock(&epoll_tree_lock);
    return r;
}

int64_t sys_epoll_ctl(int epfd, int op, int fd, uaddr_t user_event)
{
    struct k_epoll_event event = {0, 0};
    if (op != EPOLL_CTL_DEL_K && get_user(event, user_event))
        return -EFAULT;
    struct file *epf = fd_get(epfd);
    if (!epf)
        return -EBADF;
    struct file *f = fd_get(fd);
    int r = f ? epoll_control(epf, op, f, fd, &event) : -EBADF;
    if (f)
        file_put(f);
    file_put(epf);
    return r;
}

/* ---- epoll_wait ---- */

static bool has_ready(struct epoll *ep)
{
    return READ_ONCE(ep->ready.next) != &ep->ready;
}

/* Takes the first of `batch` off, or NULL. */
static struct epoll_item *take_first(struct epoll *ep, struct list *batch)
{
    struct epoll_item *item = NULL;
    spin_lock(&ep->lock);
    if (!list_empty(batch)) {
        item = list_first(batch, struct epoll_item, ready_link);
        list_del(&item->ready_link);
    }
    spin_unlock(&ep->lock);
    return item;
}

/* Delivers up to max events to the workload. The number, 0 when what was on the list is not ready
 * after all, or -EFAULT. */
static int deliver(struct epoll *ep, uaddr_t events, int max)
{
    struct list batch;
    list_init(&batch);
    int n = 0;
    bool fault = false;
    mutex_lock(&ep->mutex);
    spin_lock(&ep->lock);
    list_splice_tail(&ep->ready, &batch);
    spin_unlock(&ep->lock);
    while (n < max && !fault) {
        struct epoll_item *item = take_first(ep, &batch);
        if (!item)
            break;
        /* Off the list first: an event from here on puts it back. */
        uint32_t ready = item_poll(item);
        if (!ready)
            continue;
        struct k_epoll_event e = {ready, item->data};
        fault = copy_to_user(events + (uint64_t)n * sizeof(e), &e, sizeof(e)) != 0;
        if (!fault)
            n++;
        spin_lock(&ep->lock);
        if (!fault && (item->events & EPOLLONESHOT_K))
            item->events &= EPOLL_PRIVATE;
        else if ((fault || !(item->events & EPOLLET_K)) && list_empty(&item->ready_link))
            list_add_tail(&item->ready_link, &ep->ready);
        spin_unlock(&ep->lock);
    }
    spin_lock(&ep->lock);
    /* What did not fit comes first next time. */
    list_splice_tail(&ep->ready, &batch);
    list_splice_tail(&batch, &ep->ready);
    bool more = !list_empty(&ep->ready);
    spin_unlock(&ep->lock);
    mutex_unlock(&ep->mutex);
    if (more)
        wake_one(&ep->sleepers, POLLIN_K);
    return n || !fault ? n : -EFAULT;
}

/* deadline 0: does not wait. */
static int64_t epoll_wait_until(int epfd, uaddr_t events, int max, ktime_t deadline)
{
    if (max <= 0 || max > INT32_MAX / (int)sizeof(struct k_epoll_event))
        return -EINVAL;
    if (!user_range_ok(events, (uint64_t)max * sizeof(struct k_epoll_event)))
        return -EFAULT;
    struct file *f = fd_get(epfd);
    if (!f)
        return -EBADF;
    struct epoll *ep = file_epoll(f);
    int64_t n = ep ? 0 : -EINVAL;
    bool over = deadline == 0;
    while (ep) {
        n = has_ready(ep) ? deliver(ep, events, max) : 0;
        if (n || over)
            break;
        int r;
        WAIT_EVENT(&ep->sleepers, has_ready(ep), WAIT_INTERRUPTIBLE | WAIT_EXCLUSIVE, deadline, r);
        if (r == -ETIMEDOUT)
            break;
        if (r) {
            n = -EINTR;
            break;
        }
    }
    file_put(f);
    return n;
}

static ktime_t deadline_after_ms(int timeout_ms)
{
    if (timeout_ms < 0)
        return KTIME_NEVER;
    return timeout_ms ? ktime_add(time_mono_ns(), (uint64_t)timeout_ms * NSEC_PER_MSEC) : 0;
}

static int64_t epoll_wait_masked(int epfd, uaddr_t events, int max, ktime_t deadline, uaddr_t mask,
                                 uint64_t mask_size)
{
    int r = poll_set_sigmask(mask, mask_size);
    if (r)
        return r;
    int64_t n = epoll_wait_until(epfd, events, max, deadline);
    poll_restore_sigmask(mask, n == -EINTR);
    return n;
}

int64_t sys_epoll_wait(int epfd, uaddr_t events, int max, int timeout_ms)
{
    return epoll_wait_until(epfd, events, max, deadline_after_ms(timeout_ms));
}

int64_t sys_epoll_pwait(int epfd, uaddr_t events, int max, int timeout_ms, uaddr_t mask,
                        uint64_t mask_size)
{
    return epoll_wait_masked(epfd, events, max, deadline_after_ms(timeout_ms), mask, mask_size);
}

int64_t sys_epoll_pwait2(int epfd, uaddr_t events, int max, uaddr_t timeout, uaddr_t mask,
                         uint64_t mask_size)
{
    ktime_t deadline;
    int r = poll_deadline_from_user(timeout, &deadline);
    return r ? r : epoll_wait_masked(epfd, events, max, deadline, mask, mask_size);
}

/* ---- the epoll as a file ---- */

/* Readable when one of the files on the ready list is ready; those that are not leave it. */
static uint32_t epoll_poll(struct file *f, struct poll_table *pt)
{
    struct epoll *ep = f->priv;
    poll_wait(pt, f, &ep->pollers);
    uint32_t mask = 0;
    struct list batch;
    list_init(&batch);
    mutex_lock(&ep->mutex);
    spin_lock(&ep->lock);
    list_splice_tail(&ep->ready, &batch);
    spin_unlock(&ep->lock);
    while (!mask) {
        struct epoll_item *item = take_first(ep, &batch);
        if (!item)
            break;
        if (!item_poll(item))
            continue;
        mask = POLLIN_K | POLLRDNORM_K;
        spin_lock(&ep->lock);
        if (list_empty(&item->ready_link))
            list_add(&item->ready_link, &batch);
        spin_unlock(&ep->lock);
    }
    spin_lock(&ep->lock);
    list_splice_tail(&ep->ready, &batch);
    list_splice_tail(&batch, &ep->ready);
    spin_unlock(&ep->lock);
    mutex_unlock(&ep->mutex);
    if (mask)
        wake_one(&ep->sleepers, POLLIN_K); /* one may have found the list empty meanwhile */
    return mask;
}

static void epoll_release(struct file *f)
{
    struct epoll *ep = f->priv;
    mutex_lock(&epoll_tree_lock);
    mutex_lock(&ep->mutex);
    struct rb_node *n;
    while ((n = rb_first(&ep->items)) != NULL)
        remove_item(ep, rb_entry(n, struct epoll_item, rb));
    mutex_unlock(&ep->mutex);
    mutex_unlock(&epoll_tree_lock);
    kfree(ep);
}

static void epoll_fdinfo(struct file *f, char *buf, size_t size)
{
    struct epoll *ep = f->priv;
    size_t used = 0;
    if (size)
        buf[0] = '\0';
    mutex_lock(&ep->mutex);
    for (struct rb_node *n = rb_first(&ep->items); n && used < size; n = rb_next(n)) {
        const struct epoll_item *i = rb_entry(n, struct epoll_item, rb);
        used += (size_t)k_snprintf(
            buf + used, size - used, "tfd: %8d events: %8x data: %16lx  pos:%lu ino:%lx sdev:%x\n",
            i->fd, i->events, (unsigned long)i->data, (unsigned long)i->file->pos,
            (unsigned long)i->file->inode->ino, (unsigned)i->file->inode->sb->dev);
    }
    mutex_unlock(&ep->mutex);
}

static const struct file_ops epoll_file_ops = {
    .poll = epoll_poll,
    .fsync = fsync_not_supported,
    .release = epoll_release,
    .show_fdinfo = epoll_fdinfo,
};

/* The first epoll makes the tree lock; before it there is no nesting and no item. */
static void init_once(void)
{
    static bool done;
    if (__atomic_load_n(&done, __ATOMIC_ACQUIRE))
        return;
    spin_lock(&init_lock);
    if (!done) {
        mutex_init(&epoll_tree_lock);
        __atomic_store_n(&done, true, __ATOMIC_RELEASE);
    }
    spin_unlock(&init_lock);
}

int64_t sys_epoll_create1(int flags)
{
    if (flags & ~O_CLOEXEC_K)
        return -EINVAL;
    struct epoll *ep = kzalloc(sizeof(*ep));
    if (!ep)
        return -ENOMEM;
    init_once();
    mutex_init(&ep->mutex);
    spin_init(&ep->lock);
    list_init(&ep->ready);
    wait_queue_init(&ep->sleepers);
    wait_queue_init(&ep->pollers);
    struct file *f = file_new_anon("anon_inode:[eventpoll]", &epoll_file_ops, ep, O_RDWR_K,
                                   FMODE_READ | FMODE_WRITE | FMODE_STREAM);
    if (is_err(f)) {
        kfree(ep);
        return ptr_err(f);
    }
    ep->file = f;
    return fd_install(f, 0, flags & O_CLOEXEC_K);
}

int64_t sys_epoll_create(int size)
{
    return size > 0 ? sys_epoll_create1(0) : -EINVAL;
}
