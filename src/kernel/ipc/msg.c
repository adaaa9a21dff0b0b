/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System V message queues: msgget, msgsnd, msgrcv, msgctl.
 *
 * msg_kind.lock guards the table and the owners; a queue's spinlock its messages and counters. A
 * queue that was removed lives on while somebody waits in it.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "fs/procfs.h"
#include "ipc/ids.h"
#include "proc/task.h"

enum { MSG_NOERROR_K = 010000, MSG_EXCEPT_K = 020000, MSG_COPY_K = 040000 };
enum { MSG_STAT_K = 11, MSG_INFO_K, MSG_STAT_ANY_K };

struct k_msqid_ds {
    struct k_ipc_perm perm;
    int64_t stime, rtime, ctime;
    uint64_t cbytes, qnum, qbytes;
    int32_t lspid, lrpid;
    uint64_t unused[2];
};
struct k_msginfo {
    int32_t msgpool, msgmap, msgmax, msgmnb, msgmni, msgssz, msgtql;
    uint16_t msgseg, pad;
};

struct message {
    struct list link;
    int64_t type;
    uint64_t size;
    char text[];
};

struct msg_queue {
    struct ipc_object o; /* ref: the table's and those of calls under way */
    spinlock_t lock;
    bool removed;
    struct list messages;
    uint64_t cbytes, qnum, qbytes;
    int64_t stime, rtime, ctime;
    kpid_t lspid, lrpid;
    struct wait_queue senders, receivers;
};

static struct ipc_object *msg_create(int32_t key, int flags, uint64_t size);
static int msg_check(const struct ipc_object *o, uint64_t size)
{
    return 0;
}

static struct ipc_kind msg_kind = {
    IPC_KIND_INIT(msg_kind, MSGMNI_K),
    .stat_cmd = MSG_STAT_K,
    .stat_any_cmd = MSG_STAT_ANY_K,
    .create = msg_create,
    .check = msg_check,
};

static struct msg_queue *queue_of(struct ipc_object *o)
{
    return container_of(o, struct msg_queue, o);
}

static struct ipc_object *msg_create(int32_t key, int flags, uint64_t size)
{
    struct msg_queue *q = kzalloc(sizeof(*q));
    if (!q)
        return err_ptr(-ENOMEM);
    spin_init(&q->lock);
    list_init(&q->messages);
    wait_queue_init(&q->senders);
    wait_queue_init(&q->receivers);
    q->qbytes = MSGMNB_K;
    q->ctime = ipc_now();
    return &q->o;
}

/* A queue for the length of a call, counted, or err_ptr. */
static struct msg_queue *queue_get(int id, uint32_t rights)
{
    mutex_lock(&msg_kind.lock);
    struct ipc_object *o = id >= 0 ? ipc_find(&msg_kind, id) : NULL;
    int err = o ? ipc_permission(o, rights) : -EINVAL;
    if (!err)
        ref_get(&o->ref);
    mutex_unlock(&msg_kind.lock);
    return err ? err_ptr(err) : queue_of(o);
}

static void queue_put(struct msg_queue *q)
{
    struct message *m, *next;
    if (!ref_put(&q->o.ref))
        return;
    list_for_each_safe (m, next, &q->messages, link)
        kfree(m);
    kfree(q);
}

int64_t sys_msgget(int32_t key, int flags)
{
    return ipc_get(&msg_kind, key, flags, 0);
}

/* ---- sending ---- */

/* True: *r says how it ended (the message is the queue's after 0); false: there is no room. */
static bool try_send(struct msg_queue *q, struct message *m, int *r)
{
    spin_lock(&q->lock);
    bool fits = q->cbytes + m->size <= q->qbytes && q->qnum + 1 <= q->qbytes;
    *r = q->removed ? -EIDRM : 0;
    if (!q->removed && fits) {
        list_add_tail(&m->link, &q->messages);
        q->cbytes += m->size;
        q->qnum++;
        q->stime = ipc_now();
        q->lspid = current->process->pid;
    }
    bool done = q->removed || fits;
    spin_unlock(&q->lock);
    return done;
}

int64_t sys_msgsnd(int id, uaddr_t buf, uint64_t size, int flags)
{
    int64_t type;
    if (id < 0 || size > MSGMAX_K)
        return -EINVAL;
    if (get_user(type, buf))
        return -EFAULT;
    if (type < 1)
        return -EINVAL;
    struct message *m = kmalloc(sizeof(*m) + size);
    if (!m)
        return -ENOMEM;
    m->type = type;
    m->size = size;
    struct msg_queue *q = NULL;
    int r = copy_from_user(m->text, buf + sizeof(type), size);
    if (!r) {
        q = queue_get(id, 0222);
        r = is_err(q) ? (int)ptr_err(q) : 0;
    }
    if (!r && !try_send(q, m, &r)) {
        r = -EAGAIN;
        if (!(flags & IPC_NOWAIT_K)) {
            int sent = 0;
            WAIT_EVENT(&q->senders, try_send(q, m, &sent), WAIT_INTERRUPTIBLE, KTIME_NEVER, r);
            r = r ? -ERESTARTNOHAND : sent;
        }
    }
    if (r)
        kfree(m);
    else
        wake_all(&q->receivers, 0);
    if (q && !is_err(q))
        queue_put(q);
    return r;
}

/* ---- receiving ---- */

struct receive {
    int64_t type;
    uint64_t size;
    int flags;
    struct message *found; /* taken out of the queue; with MSG_COPY only looked at */
    struct message *copy;  /* MSG_COPY: room for the largest */
    int result;
};

static bool is_wanted(const struct message *m, const struct receive *r, uint64_t place)
{
    if (r->flags & MSG_COPY_K)
        return place == (uint64_t)r->type;
    if (r->type == 0)
        return true;
    if (r->type < 0)
        return m->type <= (r->type == INT64_MIN ? INT64_MAX : -r->type);
    return (m->type == r->type) != ((r->flags & MSG_EXCEPT_K) != 0);
}

/* With a negative type: the first of the lowest type up to its absolute value. */
static struct message *find_message(struct msg_queue *q, const struct receive *r)
{
    struct message *m, *best = NULL;
    uint64_t place = 0;
    list_for_each (m, &q->messages, link) {
        if (is_wanted(m, r, place++) && (!best || m->type < best->type)) {
            best = m;
            if (r->type >= 0 || (r->flags & MSG_COPY_K))
                break;
        }
    }
    return best;
}

/* True: r->result says how it ended; false: nothing fits yet. */
static bool try_receive(struct msg_queue *q, struct receive *r)
{
    spin_lock(&q->lock);
    struct message *m = q->removed ? NULL : find_message(q, r);
    bool done = q->removed || m;
    r->result = q->removed ? -EIDRM : 0;
    if (m && m->size > r->size && !(r->flags & MSG_NOERROR_K)) {
        r->result = -E2BIG;
    } else if (m && (r->flags & MSG_COPY_K)) {
        memcpy(r->copy, m, sizeof(*m) + m->size);
        r->found = r->copy;
    } else if (m) {
        list_del(&m->link);
        q->cbytes -= m->size;
        q->qnum--;
        q->rtime = ipc_now();
        q->lrpid = current->process->pid;
        r->found = m;
    }
    spin_unlock(&q->lock);
    return done;
}

int64_t sys_msgrcv(int id, uaddr_t buf, uint64_t size, int64_t type, int flags)
{
    struct receive r = {.type = type, .size = size, .flags = flags};
    if (id < 0 || (int64_t)size < 0)
        return -EINVAL;
    if (flags & MSG_COPY_K) {
        if ((flags & MSG_EXCEPT_K) || !(flags & IPC_NOWAIT_K))
            return -EINVAL;
        r.copy = kmalloc(sizeof(*r.copy) + MSGMAX_K);
        if (!r.copy)
            return -ENOMEM;
    }
    struct msg_queue *q = queue_get(id, 0444);
    int64_t n;
    if (is_err(q)) {
        n = ptr_err(q);
    } else {
        int wait = 0;
        if (!try_receive(q, &r)) {
            wait = -ENOMSG;
            if (!(flags & IPC_NOWAIT_K)) {
                WAIT_EVENT(&q->receivers, try_receive(q, &r), WAIT_INTERRUPTIBLE, KTIME_NEVER,
                           wait);
                wait = wait ? -ERESTARTNOHAND : 0;
            }
        }
        n = wait ? wait : r.result;
        if (!n && r.found != r.copy)
            wake_all(&q->senders, 0);
        queue_put(q);
    }
    if (!n) {
        n = (int64_t)k_min(size, r.found->size);
        if (put_user(r.found->type, buf) ||
            copy_to_user(buf + sizeof(r.found->type), r.found->text, (size_t)n))
            n = -EFAULT;
        if (r.found != r.copy)
            kfree(r.found);
    }
    kfree(r.copy);
    return n;
}

/* ---- msgctl ---- */

static int64_t msg_info(int cmd, uaddr_t buf)
{
    struct k_msginfo info = {.msgmax = MSGMAX_K,
                             .msgmnb = MSGMNB_K,
                             .msgmni = MSGMNI_K,
                             .msgpool = MSGMNI_K * MSGMNB_K / 1024,
                             .msgmap = MSGMNB_K,
                             .msgssz = 16,
                             .msgtql = MSGMNB_K,
                             .msgseg = 0xffff};
    mutex_lock(&msg_kind.lock);
    int highest = ipc_highest(&msg_kind);
    if (cmd == MSG_INFO_K) {
        info.msgpool = (int32_t)msg_kind.used;
        info.msgmap = info.msgtql = 0;
        for (uint32_t i = 0; i < msg_kind.nr_slots; i++)
            if (msg_kind.slot[i]) {
                info.msgmap += (int32_t)queue_of(msg_kind.slot[i])->qnum;
                info.msgtql += (int32_t)queue_of(msg_kind.slot[i])->cbytes;
            }
    }
    mutex_unlock(&msg_kind.lock);
    return put_user(info, buf) ? -EFAULT : highest;
}

static int64_t msg_stat(int id, int cmd, uaddr_t buf)
{
    struct k_msqid_ds ds = {.stime = 0};
    mutex_lock(&msg_kind.lock);
    struct ipc_object *o = ipc_find_for_stat(&msg_kind, id, cmd);
    int64_t r = is_err(o) ? ptr_err(o) : cmd == IPC_STAT_K ? 0 : o->id;
    if (r >= 0) {
        struct msg_queue *q = queue_of(o);
        ipc_fill_perm(o, &ds.perm);
        spin_lock(&q->lock);
        ds.stime = q->stime;
        ds.rtime = q->rtime;
        ds.ctime = q->ctime;
        ds.cbytes = q->cbytes;
        ds.qnum = q->qnum;
        ds.qbytes = q->qbytes;
        ds.lspid = q->lspid;
        ds.lrpid = q->lrpid;
        spin_unlock(&q->lock);
    }
    mutex_unlock(&msg_kind.lock);
    return r >= 0 && put_user(ds, buf) ? -EFAULT : r;
}

static int64_t set_queue(struct msg_queue *q, const struct k_msqid_ds *ds)
{
    if (ds->qbytes > MSGMNB_K && !capable(CAP_SYS_RESOURCE_K))
        return -EPERM;
    int err = ipc_set_perm(&q->o, &ds->perm);
    if (err)
        return err;
    spin_lock(&q->lock);
    q->qbytes = ds->qbytes;
    q->ctime = ipc_now();
    spin_unlock(&q->lock);
    return 0;
}

static int64_t msg_change(int id, int cmd, uaddr_t buf)
{
    struct k_msqid_ds ds;
    if (cmd == IPC_SET_K && get_user(ds, buf))
        return -EFAULT;
    mutex_lock(&msg_kind.lock);
    struct ipc_object *o = ipc_find_for_change(&msg_kind, id);
    struct msg_queue *q = is_err(o) ? NULL : queue_of(o);
    int64_t r = !q ? ptr_err(o) : cmd == IPC_SET_K ? set_queue(q, &ds) : 0;
    bool removed = q && cmd == IPC_RMID_K;
    if (removed) {
        ipc_unlink(&msg_kind, o);
        spin_lock(&q->lock);
        q->removed = true;
        spin_unlock(&q->lock);
    } else if (!r) {
        ref_get(&o->ref);
    }
    mutex_unlock(&msg_kind.lock);
    if (r)
        return r;
    wake_all(&q->senders, 0); /* removed, or with more room */
    wake_all(&q->receivers, 0);
    queue_put(q);
    return 0;
}

int64_t sys_msgctl(int id, int cmd, uaddr_t buf)
{
    if (id < 0 || cmd < 0)
        return -EINVAL;
    switch (cmd) {
    case IPC_INFO_K:
    case MSG_INFO_K: return msg_info(cmd, buf);
    case IPC_STAT_K:
    case MSG_STAT_K:
    case MSG_STAT_ANY_K: return msg_stat(id, cmd, buf);
    case IPC_SET_K:
    case IPC_RMID_K: return msg_change(id, cmd, buf);
    default: return -EINVAL;
    }
}

/* ---- /proc/sysvipc/msg ---- */

static void show_row(struct text *t, struct ipc_object *o)
{
    const struct msg_queue *q = queue_of(o);
    text_printf(t, "%10d %10d  %4o  %10lu %10lu %5d %5d %5u %5u %5u %5u %10lu %10lu %10lu\n",
                o->key, o->id, o->mode, q->cbytes, q->qnum, q->lspid, q->lrpid, o->uid, o->gid,
                o->cuid, o->cgid, (uint64_t)q->stime, (uint64_t)q->rtime, (uint64_t)q->ctime);
}

int proc_sysvipc_msg_show(const struct pseudo_node *n, struct text *t)
{
    ipc_show(&msg_kind, t,
             "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  "
             "cgid      stime      rtime      ctime\n",
             show_row);
    return 0;
}
