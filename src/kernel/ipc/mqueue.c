/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POSIX message queues: mq_open, mq_unlink, mq_timedsend, mq_timedreceive, mq_notify,
 * mq_getsetattr (mq_overview(7)).
 *
 * A queue is an object with a name in one list, and an inode that carries its owner and mode. It
 * lives as long as its name or a descriptor of it. There is no file system of queues to mount.
 *
 * names_lock guards the list and the names; a queue's spinlock what is in it. names_lock is taken
 * first.
 */
#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "fs/anon_file.h"
#include "fs/files.h"
#include "fs/inode.h"
#include "fs/namei.h"
#include "ipc/mqueue.h"
#include "proc/pid.h"
#include "proc/signal_internal.h"

#define MQ_PRIO_MAX_K 32768u
#define MQ_HARD_MAXMSG 65536
#define MQ_HARD_MSGSIZE (16 << 20)
/* What RLIMIT_MSGQUEUE counts for a message beside its bytes, as on Linux: two small structures. */
#define MQ_OVERHEAD 96

enum { SIGEV_SIGNAL_K = 0, SIGEV_NONE_K = 1, SIGEV_THREAD_K = 2 };

struct k_mq_attr {
    int64_t flags, maxmsg, msgsize, curmsgs, reserved[4];
};
struct k_sigevent {
    uint64_t value;
    int32_t signo, notify;
    uint64_t rest[6];
};

struct mq_message {
    struct list link;
    uint32_t priority;
    size_t size;
    char text[];
};

struct mqueue {
    struct ref ref; /* its name and its open files */
    struct list link;
    char *name;
    struct inode *inode;
    kuid_t uid; /* whose RLIMIT_MSGQUEUE it is counted in */
    uint64_t charged;
    uint64_t maxmsg, msgsize;

    spinlock_t lock;
    struct list messages; /* highest priority first, each in the order of coming */
    uint64_t nr_messages, nr_bytes;
    int nr_receiving; /* calls that wait for a message */
    struct wait_queue senders, receivers;
    struct process *notify; /* counted; NULL: nobody asked */
    struct k_sigevent event;
};

static struct mutex names_lock = {SPINLOCK_INIT, NULL, WAIT_QUEUE_INIT(names_lock.q)};
static struct list names = LIST_INIT(names);
static uint32_t nr_queues;

/* ---- life ---- */

static void queue_put(struct mqueue *q)
{
    struct mq_message *m, *next;
    if (!ref_put(&q->ref))
        return;
    list_for_each_safe (m, next, &q->messages, link)
        kfree(m);
    user_count_add(q->uid, USER_MSGQUEUE, -(int64_t)q->charged);
    __atomic_sub_fetch(&nr_queues, 1, __ATOMIC_RELAXED);
    inode_put(q->inode);
    kfree(q->name);
    kfree(q);
}

static struct mqueue *find_locked(const char *name)
{
    struct mqueue *q;
    list_for_each (q, &names, link)
        if (!strcmp(q->name, name))
            return q;
    return NULL;
}

static int check_attr(const struct k_mq_attr *a)
{
    bool may = vfs_capable(CAP_SYS_RESOURCE_K);
    if (a->maxmsg <= 0 || a->msgsize <= 0 ||
        a->maxmsg > (may ? MQ_HARD_MAXMSG : (int64_t)MQ_MSG_MAX) ||
        a->msgsize > (may ? MQ_HARD_MSGSIZE : (int64_t)MQ_MSGSIZE_MAX))
        return -EINVAL;
    return 0;
}

/* A new queue with a name, which has its only reference; names_lock held. */
static struct mqueue *queue_create(const char *name, kmode_t mode, const struct k_mq_attr *a)
{
    int err = check_attr(a);
    if (err)
        return err_ptr(err);
    if (nr_queues >= MQ_QUEUES_MAX && !vfs_capable(CAP_SYS_RESOURCE_K))
        return err_ptr(-ENOSPC);
    uint64_t bytes = (uint64_t)a->maxmsg * ((uint64_t)a->msgsize + MQ_OVERHEAD);
    struct mqueue *q = kzalloc(sizeof(*q));
    if (!q)
        return err_ptr(-ENOMEM);
    q->uid = current->cred->uid;
    int64_t charged = user_count_add(q->uid, USER_MSGQUEUE, (int64_t)bytes);
    q->name = kstrdup(name);
    q->inode = anon_inode_new(S_IFREG_K | (mode & ~current->fs->umask & 0777));
    if (charged < 0 || (uint64_t)charged > rlimit_cur(RLIMIT_MSGQUEUE_K) || !q->name || !q->inode) {
        err = charged < 0 || !q->name || !q->inode ? -ENOMEM : -EMFILE;
        if (charged >= 0)
            user_count_add(q->uid, USER_MSGQUEUE, -(int64_t)bytes);
        inode_put(q->inode);
        kfree(q->name);
        kfree(q);
        return err_ptr(err);
    }
    ref_init(&q->ref, 1);
    spin_init(&q->lock);
    list_init(&q->messages);
    wait_queue_init(&q->senders);
    wait_queue_init(&q->receivers);
    q->charged = bytes;
    q->maxmsg = (uint64_t)a->maxmsg;
    q->msgsize = (uint64_t)a->msgsize;
    list_add_tail(&q->link, &names);
    __atomic_add_fetch(&nr_queues, 1, __ATOMIC_RELAXED);
    return q;
}

/* ---- notification ---- */

/* Takes the request away; q->lock held. The process is the caller's to put. */
static struct process *take_notify(struct mqueue *q)
{
    struct process *p = q->notify;
    q->notify = NULL;
    return p;
}

/* A message came to an empty queue where nobody was waiting: the one who asked is told, once. */
static void send_notify(struct process *p, const struct k_sigevent *event)
{
    if (event->notify == SIGEV_SIGNAL_K && event->signo) {
        struct k_siginfo info = {.si_signo = event->signo, .si_code = SI_MESGQ_K};
        info.rt.pid = current->process->pid;
        info.rt.uid = current->cred->uid;
        info.rt.value = event->value;
        signal_send_process(p, &info);
    }
    process_put(p);
}

/* ---- the descriptor ---- */

static uint32_t mq_poll(struct file *f, struct poll_table *pt)
{
    struct mqueue *q = f->priv;
    poll_wait(pt, f, &q->receivers);
    poll_wait(pt, f, &q->senders);
    uint64_t n = READ_ONCE(q->nr_messages);
    return (n ? POLLIN_K | POLLRDNORM_K : 0) | (n < q->maxmsg ? POLLOUT_K | POLLWRNORM_K : 0);
}

static int64_t mq_read(struct file *f, struct uio *u, uint64_t *pos)
{
    struct mqueue *q = f->priv;
    char text[80];
    spin_lock(&q->lock);
    int n = k_snprintf(text, sizeof(text), "QSIZE:%-10lu NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n",
                       q->nr_bytes, q->notify ? q->event.notify : 0,
                       q->notify && q->event.notify == SIGEV_SIGNAL_K ? q->event.signo : 0,
                       q->notify ? q->notify->pid : 0);
    spin_unlock(&q->lock);
    if (*pos >= (uint64_t)n)
        return 0;
    size_t done = uio_write(u, text + *pos, (size_t)n - *pos);
    *pos += done;
    return done ? (int64_t)done : -EFAULT;
}

/* A process that closes any of its descriptors of the queue takes its request back. */
static void mq_flush(struct file *f)
{
    struct mqueue *q = f->priv;
    spin_lock(&q->lock);
    struct process *p = q->notify == current->process ? take_notify(q) : NULL;
    spin_unlock(&q->lock);
    if (p)
        process_put(p);
}

static void mq_release(struct file *f)
{
    queue_put(f->priv);
}

static const struct file_ops mq_file_ops = {
    .read = mq_read,
    .poll = mq_poll,
    .fsync = fsync_not_supported,
    .flush = mq_flush,
    .release = mq_release,
};

/* The queue's file, counted, open for that FMODE_*; or err_ptr(-EBADF). */
static struct file *queue_file(int fd, uint32_t fmode)
{
    struct file *f = fd_get(fd);
    if (f && f->ops == &mq_file_ops && (f->mode & fmode) == fmode)
        return f;
    if (f)
        file_put(f);
    return err_ptr(-EBADF);
}

/* ---- names ---- */

static int name_from_user(char name[NAME_MAX_K + 1], uaddr_t user)
{
    long n = strncpy_from_user(name, user, NAME_MAX_K + 1);
    if (n < 0)
        return (int)n;
    if (!n)
        return -ENOENT;
    return strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, "..") ? -EACCES : 0;
}

/* The queue of that name, counted, made when it is asked for and not there; or err_ptr. */
static struct mqueue *queue_open(const char *name, int flags, kmode_t mode,
                                 const struct k_mq_attr *attr)
{
    static const int access[4] = {MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE, 0};
    mutex_lock(&names_lock);
    struct mqueue *q = find_locked(name);
    int err = 0;
    if (q && (flags & O_CREAT_K) && (flags & O_EXCL_K))
        err = -EEXIST;
    else if (q)
        err = inode_permission(q->inode, access[flags & O_ACCMODE_K]);
    else if (flags & O_CREAT_K)
        q = queue_create(name, mode, attr);
    else
        err = -ENOENT;
    if (err)
        q = err_ptr(err);
    if (!is_err(q))
        ref_get(&q->ref);
    mutex_unlock(&names_lock);
    return q;
}

int64_t sys_mq_open(uaddr_t user_name, int flags, uint32_t mode, uaddr_t user_attr)
{
    char name[NAME_MAX_K + 1];
    static const uint32_t fmode[4] = {FMODE_READ, FMODE_WRITE, FMODE_READ | FMODE_WRITE, 0};
    struct k_mq_attr attr = {.maxmsg = MQ_MSG_DEFAULT, .msgsize = MQ_MSGSIZE_DEFAULT};
    if ((flags & O_CREAT_K) && user_attr && get_user(attr, user_attr))
        return -EFAULT;
    if ((flags & O_ACCMODE_K) == O_ACCMODE_K)
        return -EINVAL;
    int err = name_from_user(name, user_name);
    if (err)
        return err;
    int fd = fd_reserve(0, (flags & O_CLOEXEC_K) != 0);
    if (fd < 0)
        return fd;
    struct mqueue *q = queue_open(name, flags, mode, &attr);
    struct file *f = (struct file *)q;
    if (!is_err(q)) {
        inode_get(q->inode);
        f = file_new_anon_on(q->inode, name, &mq_file_ops, q, (uint32_t)flags,
                             fmode[flags & O_ACCMODE_K]);
        if (is_err(f))
            queue_put(q);
    }
    if (is_err(f)) {
        fd_unreserve(fd);
        return ptr_err(f);
    }
    fd_fill(fd, f);
    return fd;
}

int64_t sys_mq_unlink(uaddr_t user_name)
{
    char name[NAME_MAX_K + 1];
    int err = name_from_user(name, user_name);
    if (err)
        return err;
    mutex_lock(&names_lock);
    struct mqueue *q = find_locked(name);
    if (!q)
        err = -ENOENT;
    else if (!inode_owner_or_capable(q->inode)) /* as in a sticky directory of root's */
        err = -EPERM;
    else
        list_del(&q->link);
    mutex_unlock(&names_lock);
    if (!err)
        queue_put(q);
    return err;
}

/* ---- messages ---- */

/* The end of a wait until a time of the wall clock; addr 0: for ever. */
static int real_deadline(uaddr_t addr, ktime_t *deadline)
{
    struct k_timespec t;
    *deadline = KTIME_NEVER;
    if (!addr)
        return 0;
    if (get_user(t, addr))
        return -EFAULT;
    if (!timespec_valid(&t))
        return -EINVAL;
    uint64_t now = time_real_ns(), until = timespec_to_ns(&t);
    *deadline = ktime_add(time_mono_ns(), until > now ? until - now : 0);
    return 0;
}

static bool try_send(struct mqueue *q, struct mq_message *m)
{
    struct process *told = NULL;
    struct k_sigevent event;
    spin_lock(&q->lock);
    bool fits = q->nr_messages < q->maxmsg;
    if (fits) {
        struct list *at = q->messages.prev;
        while (at != &q->messages &&
               list_entry(at, struct mq_message, link)->priority < m->priority)
            at = at->prev;
        list_insert_between(&m->link, at, at->next);
        q->nr_bytes += m->size;
        if (q->nr_messages++ == 0 && !q->nr_receiving) {
            event = q->event;
            told = take_notify(q);
        }
    }
    spin_unlock(&q->lock);
    if (told)
        send_notify(told, &event);
    return fits;
}

static struct mq_message *try_receive(struct mqueue *q)
{
    struct mq_message *m = NULL;
    spin_lock(&q->lock);
    if (!list_empty(&q->messages)) {
        m = list_first(&q->messages, struct mq_message, link);
        list_del(&m->link);
        q->nr_messages--;
        q->nr_bytes -= m->size;
    }
    spin_unlock(&q->lock);
    return m;
}

int64_t sys_mq_timedsend(int fd, uaddr_t text, uint64_t size, uint32_t priority, uaddr_t timeout)
{
    ktime_t deadline;
    int r = real_deadline(timeout, &deadline);
    if (r)
        return r;
    if (priority >= MQ_PRIO_MAX_K)
        return -EINVAL;
    struct file *f = queue_file(fd, FMODE_WRITE);
    if (is_err(f))
        return ptr_err(f);
    struct mqueue *q = f->priv;
    struct mq_message *m = NULL;
    if (size > q->msgsize)
        r = -EMSGSIZE;
    else if (!(m = kmalloc(sizeof(*m) + size)))
        r = -ENOMEM;
    else
        r = copy_from_user(m->text, text, size);
    if (!r) {
        m->priority = priority;
        m->size = size;
        if (!try_send(q, m)) {
            r = -EAGAIN;
            if (!file_nonblocking(f))
                WAIT_EVENT(&q->senders, try_send(q, m), WAIT_INTERRUPTIBLE, deadline, r);
        }
    }
    if (r)
        kfree(m);
    else
        wake_one(&q->receivers, POLLIN_K);
    file_put(f);
    return r;
}

/* Waits for a message; *r says why there is none. */
static struct mq_message *wait_for_message(struct mqueue *q, ktime_t deadline, int *r)
{
    struct mq_message *m = NULL;
    __atomic_add_fetch(&q->nr_receiving, 1, __ATOMIC_SEQ_CST);
    WAIT_EVENT(&q->receivers, (m = try_receive(q)) != NULL, WAIT_INTERRUPTIBLE | WAIT_EXCLUSIVE,
               deadline, *r);
    __atomic_sub_fetch(&q->nr_receiving, 1, __ATOMIC_SEQ_CST);
    if (!m && READ_ONCE(q->nr_messages))
        wake_one(&q->receivers, POLLIN_K); /* the wake-up was another's to have */
    return m;
}

int64_t sys_mq_timedreceive(int fd, uaddr_t text, uint64_t size, uaddr_t priority, uaddr_t timeout)
{
    ktime_t deadline;
    int r = real_deadline(timeout, &deadline);
    if (r)
        return r;
    struct file *f = queue_file(fd, FMODE_READ);
    if (is_err(f))
        return ptr_err(f);
    struct mqueue *q = f->priv;
    struct mq_message *m = NULL;
    r = size < q->msgsize ? -EMSGSIZE : 0;
    if (!r && !(m = try_receive(q))) {
        r = -EAGAIN;
        if (!file_nonblocking(f))
            m = wait_for_message(q, deadline, &r);
    }
    int64_t n = r;
    if (m) {
        wake_one(&q->senders, POLLOUT_K);
        n = (int64_t)m->size;
        if ((priority && put_user(m->priority, priority)) || copy_to_user(text, m->text, m->size))
            n = -EFAULT;
        kfree(m);
    }
    file_put(f);
    return n;
}

int64_t sys_mq_notify(int fd, uaddr_t user_event)
{
    struct k_sigevent event = {.notify = SIGEV_NONE_K};
    if (user_event) {
        if (get_user(event, user_event))
            return -EFAULT;
        if (event.notify == SIGEV_THREAD_K)
            return -ENOSYS; /* told through a netlink socket */
        if ((event.notify != SIGEV_NONE_K && event.notify != SIGEV_SIGNAL_K) ||
            (event.notify == SIGEV_SIGNAL_K && (event.signo < 0 || event.signo > NSIG_K)))
            return -EINVAL;
    }
    struct file *f = queue_file(fd, 0);
    if (is_err(f))
        return ptr_err(f);
    struct mqueue *q = f->priv;
    struct process *old = NULL;
    int r = 0;
    spin_lock(&q->lock);
    if (!user_event) {
        if (q->notify == current->process)
            old = take_notify(q);
    } else if (q->notify) {
        r = -EBUSY;
    } else {
        process_get(current->process);
        q->notify = current->process;
        q->event = event;
    }
    spin_unlock(&q->lock);
    if (old)
        process_put(old);
    file_put(f);
    return r;
}

int64_t sys_mq_getsetattr(int fd, uaddr_t new_attr, uaddr_t old_attr)
{
    struct k_mq_attr set, old = {.flags = 0};
    if (new_attr) {
        if (get_user(set, new_attr))
            return -EFAULT;
        if (set.flags & ~(int64_t)O_NONBLOCK_K)
            return -EINVAL;
    }
    struct file *f = queue_file(fd, 0);
    if (is_err(f))
        return ptr_err(f);
    const struct mqueue *q = f->priv;
    old.flags = READ_ONCE(f->flags) & O_NONBLOCK_K;
    old.maxmsg = (int64_t)q->maxmsg;
    old.msgsize = (int64_t)q->msgsize;
    old.curmsgs = (int64_t)READ_ONCE(q->nr_messages);
    if (new_attr && set.flags)
        __atomic_or_fetch(&f->flags, (uint32_t)O_NONBLOCK_K, __ATOMIC_RELAXED);
    else if (new_attr)
        __atomic_and_fetch(&f->flags, ~(uint32_t)O_NONBLOCK_K, __ATOMIC_RELAXED);
    file_put(f);
    return old_attr && put_user(old, old_attr) ? -EFAULT : 0;
}
