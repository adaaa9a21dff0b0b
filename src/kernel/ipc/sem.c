/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System V semaphores: semget, semop, semtimedop, semctl.
 *
 * A call's operations are done all at once or not at all. One that cannot be done yet waits in its
 * set's list, and whoever changes a value does the waiting calls that have become possible, in the
 * order of their coming: the sleeper wakes to a result.
 *
 * sem_kind.lock guards all: sets, values, waiters, adjustments (SEM_UNDO).
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/usercopy.h"
#include "fs/procfs.h"
#include "ipc/ids.h"
#include "proc/task.h"

#define SEMVMX_K 32767
#define SEM_UNDO_K 0x1000

enum {
    GETPID_K = 11,
    GETVAL_K,
    GETALL_K,
    GETNCNT_K,
    GETZCNT_K,
    SETVAL_K,
    SETALL_K,
    SEM_STAT_K,
    SEM_INFO_K,
    SEM_STAT_ANY_K,
};

enum { BLOCKED = 1 }; /* beside 0 and negative errno */

struct k_sembuf {
    uint16_t num;
    int16_t op, flags;
};
struct k_semid_ds {
    struct k_ipc_perm perm;
    int64_t otime;
    uint64_t unused1;
    int64_t ctime;
    uint64_t unused2, nsems, unused3[2];
};
struct k_seminfo {
    int32_t semmap, semmni, semmns, semmnu, semmsl, semopm, semume, semusz, semvmx, semaem;
};

struct sem {
    int32_t value;
    kpid_t pid; /* who changed it last */
};

struct sem_set {
    struct ipc_object o;
    int64_t otime, ctime;
    uint32_t nsems;
    struct list waiters; /* sem_waiter.link */
    struct list undos;   /* sem_undo.of_set */
    struct sem sem[];
};

/* What the threads of one list have to take back from a set when they end. */
struct sem_undo {
    struct list of_list, of_set;
    struct sem_set *set;
    int16_t adjust[];
};
struct sem_undo_list {
    struct ref ref; /* threads */
    struct list undos;
};

struct sem_waiter {
    struct list link;
    const struct k_sembuf *ops;
    uint32_t nr;
    struct sem_undo *undo;
    kpid_t pid;
    uint32_t blocker; /* the operation that it waits for */
    int result;       /* BLOCKED until somebody else finishes the call */
    struct wait_queue q;
};

static struct ipc_object *sem_create(int32_t key, int flags, uint64_t nsems);
static int sem_check(const struct ipc_object *o, uint64_t nsems)
{
    return container_of(o, struct sem_set, o)->nsems < nsems ? -EINVAL : 0;
}

static struct ipc_kind sem_kind = {
    IPC_KIND_INIT(sem_kind, SEMMNI_K),
    .stat_cmd = SEM_STAT_K,
    .stat_any_cmd = SEM_STAT_ANY_K,
    .create = sem_create,
    .check = sem_check,
};
static uint32_t nr_sems; /* of all sets */

static struct sem_set *set_of(struct ipc_object *o)
{
    return container_of(o, struct sem_set, o);
}

static struct ipc_object *sem_create(int32_t key, int flags, uint64_t nsems)
{
    if (!nsems)
        return err_ptr(-EINVAL);
    if (nr_sems + nsems > SEMMNS_K)
        return err_ptr(-ENOSPC);
    struct sem_set *s = kzalloc(sizeof(*s) + nsems * sizeof(s->sem[0]));
    if (!s)
        return err_ptr(-ENOMEM);
    s->nsems = (uint32_t)nsems;
    s->ctime = ipc_now();
    list_init(&s->waiters);
    list_init(&s->undos);
    nr_sems += s->nsems;
    return &s->o;
}

int64_t sys_semget(int32_t key, int nsems, int flags)
{
    if (nsems < 0 || nsems > (int)SEMMSL_K)
        return -EINVAL;
    return ipc_get(&sem_kind, key, flags, (uint64_t)nsems);
}

/* ---- operations ---- */

/* All of the operations or none. 0, -ERANGE, -EAGAIN (IPC_NOWAIT), or BLOCKED with *blocker set. */
static int try_ops(struct sem_set *s, const struct k_sembuf *ops, uint32_t nr,
                   struct sem_undo *undo, kpid_t pid, uint32_t *blocker)
{
    uint32_t i;
    int r = 0;
    for (i = 0; i < nr; i++) {
        const struct k_sembuf *op = &ops[i];
        int32_t *value = &s->sem[op->num].value;
        if ((op->op == 0 && *value != 0) || *value + op->op < 0) {
            r = op->flags & IPC_NOWAIT_K ? -EAGAIN : BLOCKED;
            *blocker = i;
        } else if (*value + op->op > SEMVMX_K) {
            r = -ERANGE;
        } else if (op->flags & SEM_UNDO_K) {
            int adjust = undo->adjust[op->num] - op->op;
            if (adjust < -SEMVMX_K - 1 || adjust > SEMVMX_K)
                r = -ERANGE;
            else
                undo->adjust[op->num] = (int16_t)adjust;
        }
        if (r)
            break;
        *value += op->op;
    }
    if (!r) {
        for (i = 0; i < nr; i++)
            s->sem[ops[i].num].pid = pid;
        s->otime = ipc_now();
        return 0;
    }
    while (i-- > 0) {
        s->sem[ops[i].num].value -= ops[i].op;
        if (ops[i].flags & SEM_UNDO_K)
            undo->adjust[ops[i].num] = (int16_t)(undo->adjust[ops[i].num] + ops[i].op);
    }
    return r;
}

static void finish_waiter(struct sem_waiter *w, int result)
{
    list_del(&w->link);
    WRITE_ONCE(w->result, result);
    wake_all(&w->q, 0); /* the sleeper takes the lock before it goes: w stays until then */
}

static bool alters(const struct k_sembuf *ops, uint32_t nr)
{
    for (uint32_t i = 0; i < nr; i++)
        if (ops[i].op)
            return true;
    return false;
}

/* Values have changed: does what was waiting for it. */
static void do_waiters(struct sem_set *s)
{
    struct sem_waiter *w, *next;
    bool again;
    do {
        again = false;
        list_for_each_safe (w, next, &s->waiters, link) {
            int r = try_ops(s, w->ops, w->nr, w->undo, w->pid, &w->blocker);
            if (r == BLOCKED)
                continue;
            finish_waiter(w, r);
            again = r == 0 && alters(w->ops, w->nr);
            if (again)
                break; /* those before it may be possible now */
        }
    } while (again);
}

/* current's adjustments for the set, made when there are none yet; NULL without memory. */
static struct sem_undo *undo_of(struct sem_set *s)
{
    struct sem_undo *u;
    if (sem_undo_share(current))
        return NULL;
    struct sem_undo_list *list = current->sem_undo;
    list_for_each (u, &list->undos, of_list)
        if (u->set == s)
            return u;
    u = kzalloc(sizeof(*u) + s->nsems * sizeof(u->adjust[0]));
    if (u) {
        u->set = s;
        list_add_tail(&u->of_list, &list->undos);
        list_add_tail(&u->of_set, &s->undos);
    }
    return u;
}

/* Checks, tries, and when it must wait queues w. Lock held. */
static int start_ops(int id, struct sem_waiter *w)
{
    struct ipc_object *o = ipc_find(&sem_kind, id);
    bool undo = false;
    if (!o)
        return -EINVAL;
    struct sem_set *s = set_of(o);
    for (uint32_t i = 0; i < w->nr; i++) {
        if (w->ops[i].num >= s->nsems)
            return -EFBIG;
        undo |= w->ops[i].flags & SEM_UNDO_K;
    }
    bool alter = alters(w->ops, w->nr);
    int r = ipc_permission(o, alter ? 0222 : 0444);
    if (r)
        return r;
    if (undo && !(w->undo = undo_of(s)))
        return -ENOMEM;
    r = try_ops(s, w->ops, w->nr, w->undo, w->pid, &w->blocker);
    if (r == 0 && alter)
        do_waiters(s);
    if (r == BLOCKED) {
        w->result = BLOCKED;
        list_add_tail(&w->link, &s->waiters);
    }
    return r;
}

static int64_t do_semop(int id, const struct k_sembuf *ops, uint32_t nr, ktime_t deadline)
{
    struct sem_waiter w = {.ops = ops, .nr = nr, .pid = current->process->pid};
    int r;
    wait_queue_init(&w.q);
    mutex_lock(&sem_kind.lock);
    int result = start_ops(id, &w);
    mutex_unlock(&sem_kind.lock);
    if (result != BLOCKED)
        return result;
    WAIT_EVENT(&w.q, READ_ONCE(w.result) != BLOCKED, WAIT_INTERRUPTIBLE, deadline, r);
    mutex_lock(&sem_kind.lock);
    if (w.result == BLOCKED) {
        list_del(&w.link);
        w.result = r == -ETIMEDOUT ? -EAGAIN : -EINTR; /* never restarted: semop(2) */
    }
    mutex_unlock(&sem_kind.lock);
    return w.result;
}

int64_t sys_semtimedop(int id, uaddr_t user_ops, uint64_t nr, uaddr_t timeout)
{
    ktime_t deadline = KTIME_NEVER;
    if (nr < 1 || id < 0)
        return -EINVAL;
    if (nr > SEMOPM_K)
        return -E2BIG;
    struct k_sembuf few[8], *ops = nr > ARRAY_LEN(few) ? kmalloc(nr * sizeof(*ops)) : few;
    if (!ops)
        return -ENOMEM;
    int64_t r = copy_from_user(ops, user_ops, nr * sizeof(*ops));
    if (!r)
        r = time_deadline_from_user(timeout, &deadline);
    if (!r)
        r = do_semop(id, ops, (uint32_t)nr, deadline);
    if (ops != few)
        kfree(ops);
    return r;
}

int64_t sys_semop(int id, uaddr_t ops, uint64_t nr)
{
    return sys_semtimedop(id, ops, nr, 0);
}

/* ---- adjustments ---- */

int sem_undo_share(struct thread *t)
{
    struct sem_undo_list *list = current->sem_undo;
    if (!list) {
        list = kzalloc(sizeof(*list));
        if (!list)
            return -ENOMEM;
        ref_init(&list->ref, 1);
        list_init(&list->undos);
        current->sem_undo = list;
    }
    if (t != current) {
        ref_get(&list->ref);
        t->sem_undo = list;
    }
    return 0;
}

static void undo_free(struct sem_undo *u)
{
    list_del(&u->of_list);
    list_del(&u->of_set);
    kfree(u);
}

void sem_undo_leave(struct thread *t)
{
    struct sem_undo_list *list = t->sem_undo;
    struct sem_undo *u, *next;
    t->sem_undo = NULL;
    if (!list || !ref_put(&list->ref))
        return;
    mutex_lock(&sem_kind.lock);
    list_for_each_safe (u, next, &list->undos, of_list) {
        struct sem_set *s = u->set;
        for (uint32_t i = 0; i < s->nsems; i++)
            if (u->adjust[i]) {
                int value = s->sem[i].value + u->adjust[i];
                s->sem[i].value = k_max(0, k_min(value, SEMVMX_K));
                s->sem[i].pid = t->process->pid;
            }
        undo_free(u);
        do_waiters(s);
    }
    mutex_unlock(&sem_kind.lock);
    kfree(list);
}

/* ---- semctl ---- */

/* A value was set: nobody takes back anything of it any more. */
static void forget_adjust(struct sem_set *s, uint32_t first, uint32_t end)
{
    struct sem_undo *u;
    list_for_each (u, &s->undos, of_set)
        for (uint32_t i = first; i < end; i++)
            u->adjust[i] = 0;
}

static int count_waiters(struct sem_set *s, uint32_t num, bool for_zero)
{
    struct sem_waiter *w;
    int n = 0;
    list_for_each (w, &s->waiters, link) {
        const struct k_sembuf *op = &w->ops[w->blocker];
        n += op->num == num && (op->op == 0) == for_zero;
    }
    return n;
}

static void sem_remove(struct sem_set *s)
{
    struct sem_waiter *w, *next;
    struct sem_undo *u, *next_undo;
    list_for_each_safe (w, next, &s->waiters, link)
        finish_waiter(w, -EIDRM);
    list_for_each_safe (u, next_undo, &s->undos, of_set)
        undo_free(u);
    ipc_unlink(&sem_kind, &s->o);
    nr_sems -= s->nsems;
    kfree(s);
}

static void set_value(struct sem_set *s, uint32_t num, int value)
{
    s->sem[num].value = value;
    s->sem[num].pid = current->process->pid;
    forget_adjust(s, num, num + 1);
    s->ctime = ipc_now();
}

/* The commands on one semaphore. Lock held. */
static int64_t control_one(int id, uint32_t num, int cmd, int value)
{
    struct ipc_object *o = ipc_find(&sem_kind, id);
    struct sem_set *s = set_of(o);
    if (!o || num >= s->nsems)
        return -EINVAL;
    int err = ipc_permission(o, cmd == SETVAL_K ? 0222 : 0444);
    if (err)
        return err;
    switch (cmd) {
    case GETVAL_K: return s->sem[num].value;
    case GETPID_K: return s->sem[num].pid;
    case GETNCNT_K: return count_waiters(s, num, false);
    case GETZCNT_K: return count_waiters(s, num, true);
    default:
        set_value(s, num, value);
        do_waiters(s);
        return 0;
    }
}

/* GETALL, SETALL: the values go through a buffer, for the lock is not held over copies. */
static int64_t control_all(int id, int cmd, uaddr_t array)
{
    mutex_lock(&sem_kind.lock);
    struct ipc_object *o = ipc_find(&sem_kind, id);
    uint32_t nsems = o ? set_of(o)->nsems : 0; /* as long as it has this id */
    mutex_unlock(&sem_kind.lock);
    uint16_t *values = o ? kmalloc(nsems * sizeof(*values)) : NULL;
    if (!values)
        return o ? -ENOMEM : -EINVAL;
    int64_t r = cmd == SETALL_K ? copy_from_user(values, array, nsems * sizeof(*values)) : 0;
    for (uint32_t i = 0; !r && cmd == SETALL_K && i < nsems; i++)
        if (values[i] > SEMVMX_K)
            r = -ERANGE;
    mutex_lock(&sem_kind.lock);
    o = ipc_find(&sem_kind, id);
    if (!o || set_of(o)->nsems != nsems)
        r = -EIDRM;
    /* Who may not is told that before anything else is found wrong. */
    int err = r == -EIDRM ? 0 : ipc_permission(o, cmd == SETALL_K ? 0222 : 0444);
    r = err ? err : r;
    for (uint32_t i = 0; !r && i < nsems; i++) {
        if (cmd == SETALL_K)
            set_value(set_of(o), i, values[i]);
        else
            values[i] = (uint16_t)set_of(o)->sem[i].value;
    }
    if (!r && cmd == SETALL_K)
        do_waiters(set_of(o));
    mutex_unlock(&sem_kind.lock);
    if (!r && cmd == GETALL_K)
        r = copy_to_user(array, values, nsems * sizeof(*values));
    kfree(values);
    return r;
}

static int64_t sem_info(int cmd, uaddr_t buf)
{
    struct k_seminfo info = {.semmap = SEMMNS_K,
                             .semmni = SEMMNI_K,
                             .semmns = SEMMNS_K,
                             .semmnu = SEMMNS_K,
                             .semmsl = SEMMSL_K,
                             .semopm = SEMOPM_K,
                             .semume = SEMOPM_K,
                             .semusz = 20,
                             .semvmx = SEMVMX_K,
                             .semaem = SEMVMX_K};
    mutex_lock(&sem_kind.lock);
    int highest = ipc_highest(&sem_kind);
    if (cmd == SEM_INFO_K) {
        info.semusz = (int32_t)sem_kind.used;
        info.semaem = (int32_t)nr_sems;
    }
    mutex_unlock(&sem_kind.lock);
    return put_user(info, buf) ? -EFAULT : highest;
}

static int64_t sem_stat(int id, int cmd, uaddr_t buf)
{
    struct k_semid_ds ds = {.otime = 0};
    mutex_lock(&sem_kind.lock);
    struct ipc_object *o = ipc_find_for_stat(&sem_kind, id, cmd);
    int64_t r = is_err(o) ? ptr_err(o) : cmd == IPC_STAT_K ? 0 : o->id;
    if (r >= 0) {
        ipc_fill_perm(o, &ds.perm);
        ds.otime = set_of(o)->otime;
        ds.ctime = set_of(o)->ctime;
        ds.nsems = set_of(o)->nsems;
    }
    mutex_unlock(&sem_kind.lock);
    return r >= 0 && put_user(ds, buf) ? -EFAULT : r;
}

static int64_t sem_change(int id, int cmd, uaddr_t buf)
{
    struct k_semid_ds ds;
    if (cmd == IPC_SET_K && get_user(ds, buf))
        return -EFAULT;
    mutex_lock(&sem_kind.lock);
    struct ipc_object *o = ipc_find_for_change(&sem_kind, id);
    int64_t r = is_err(o) ? ptr_err(o) : cmd == IPC_SET_K ? ipc_set_perm(o, &ds.perm) : 0;
    if (!r && cmd == IPC_SET_K)
        set_of(o)->ctime = ipc_now();
    else if (!r)
        sem_remove(set_of(o));
    mutex_unlock(&sem_kind.lock);
    return r;
}

int64_t sys_semctl(int id, int num, int cmd, uint64_t arg)
{
    int64_t r;
    if (id < 0)
        return -EINVAL;
    switch (cmd) {
    case IPC_INFO_K:
    case SEM_INFO_K: return sem_info(cmd, arg);
    case IPC_STAT_K:
    case SEM_STAT_K:
    case SEM_STAT_ANY_K: return sem_stat(id, cmd, arg);
    case GETALL_K:
    case SETALL_K: return control_all(id, cmd, arg);
    case SETVAL_K:
        if ((int)arg < 0 || (int)arg > SEMVMX_K)
            return -ERANGE;
        /* fall through */
    case GETVAL_K:
    case GETPID_K:
    case GETNCNT_K:
    case GETZCNT_K:
        mutex_lock(&sem_kind.lock);
        r = control_one(id, (uint32_t)num, cmd, (int)arg);
        mutex_unlock(&sem_kind.lock);
        return r;
    case IPC_SET_K:
    case IPC_RMID_K: return sem_change(id, cmd, arg);
    default: return -EINVAL;
    }
}

/* ---- /proc/sysvipc/sem ---- */

static void show_row(struct text *t, struct ipc_object *o)
{
    const struct sem_set *s = set_of(o);
    text_printf(t, "%10d %10d  %4o %10u %5u %5u %5u %5u %10lu %10lu\n", o->key, o->id, o->mode,
                s->nsems, o->uid, o->gid, o->cuid, o->cgid, (uint64_t)s->otime, (uint64_t)s->ctime);
}

int proc_sysvipc_sem_show(const struct pseudo_node *n, struct text *t)
{
    ipc_show(&sem_kind, t,
             "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      "
             "ctime\n",
             show_row);
    return 0;
}
