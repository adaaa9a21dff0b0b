/* SPDX-License-Identifier: Apache-2.0 */
/* Signals for O_ASYNC. fasync_lock guards file.async; the owner's fields change by single stores.
 */
#include "fs/fasync.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "fs/files.h"
#include "fs/pipe.h"
#include "net/socket.h"
#include "proc/pid.h"
#include "proc/task.h"

#define MAX_QUEUES 4

enum { POLL_IN_K = 1, POLL_OUT_K = 2, POLL_ERR_K = 4, POLL_PRI_K = 5, POLL_HUP_K = 6 };

struct fasync {
    struct poll_table pt;
    struct file *file;
    int fd;
    uint32_t nr;
    struct fasync_hook {
        struct waiter w;
        struct wait_queue *q;
        struct fasync *owner;
    } hook[MAX_QUEUES];
};

static struct mutex fasync_lock = {SPINLOCK_INIT, NULL, WAIT_QUEUE_INIT(fasync_lock.q)};

/* ---- sending ---- */

/* May who set the owner signal that process? As kill(2) by that user. */
static bool may_signal(const struct file *f, struct process *p)
{
    struct cred *c = thread_cred_get(p->leader);
    if (!c)
        return false;
    bool ok = f->owner_euid == 0 || f->owner_euid == c->suid || f->owner_euid == c->uid ||
              f->owner_uid == c->suid || f->owner_uid == c->uid;
    cred_put(c);
    return ok;
}

static void send_to_process(const struct file *f, struct process *p, const struct k_siginfo *info)
{
    static const struct k_siginfo plain = {.si_signo = SIGIO, .si_code = SI_KERNEL_K};
    if (may_signal(f, p) && signal_send_process(p, info) != 0)
        signal_send_process(p, &plain); /* the queue is full */
}

static void send_to_group(const struct file *f, kpid_t pgid, const struct k_siginfo *info)
{
    /* One after the other, by number: sending takes locks that the list's must not be held under.
     */
    for (kpid_t last = 0;;) {
        struct process *p, *next = NULL;
        spin_lock(&proc_tree_lock);
        list_for_each (p, &process_list, all_link)
            if (p->pgid == pgid && p->pid > last && (!next || p->pid < next->pid))
                next = p;
        if (next)
            process_get(next);
        spin_unlock(&proc_tree_lock);
        if (!next)
            return;
        last = next->pid;
        send_to_process(f, next, info);
        process_put(next);
    }
}

static void send(const struct fasync *a, int code, int64_t band)
{
    const struct file *f = a->file;
    int sig = READ_ONCE(f->owner_sig), who = READ_ONCE(f->owner_pid);
    struct k_siginfo info = {.si_signo = sig ? sig : SIGIO, .si_code = SI_KERNEL_K};
    if (sig) {
        info.si_code = code;
        info.poll.band = band;
        info.poll.fd = a->fd;
    }
    if (who < 0) {
        send_to_group(f, -who, &info);
    } else if (f->owner_tid && who) {
        struct thread *t = thread_find(who);
        if (t) {
            if (may_signal(f, t->process))
                signal_send_thread(t, &info);
            thread_put(t);
        }
    } else if (who) {
        struct process *p = process_find(who);
        if (p) {
            send_to_process(f, p, &info);
            process_put(p);
        }
    }
}

static bool fasync_wake(struct waiter *w, uint32_t key)
{
    const struct fasync *a = container_of(w, struct fasync_hook, w)->owner;
    if (key & (POLLIN_K | POLLRDNORM_K))
        send(a, POLL_IN_K, POLLIN_K | POLLRDNORM_K);
    else if (key & POLLPRI_K)
        send(a, POLL_PRI_K, POLLPRI_K | POLLRDBAND_K);
    else if (key & (POLLOUT_K | POLLWRNORM_K))
        send(a, POLL_OUT_K, POLLOUT_K | POLLWRNORM_K | POLLWRBAND_K);
    else
        send(a, POLL_HUP_K, POLLHUP_K | POLLERR_K);
    return false;
}

/* ---- switching ---- */

static bool fasync_supported(struct file *f)
{
    return file_pipe(f) || file_socket(f) || (S_ISCHR_K(f->inode->mode) && f->ops->poll);
}

static void fasync_queue(struct poll_table *pt, struct file *f, struct wait_queue *q)
{
    struct fasync *a = container_of(pt, struct fasync, pt);
    if (a->nr == MAX_QUEUES)
        return;
    struct fasync_hook *h = &a->hook[a->nr++];
    *h = (struct fasync_hook){.w = {.wake = fasync_wake}, .q = q, .owner = a};
    wait_queue_add(q, &h->w);
}

static void change_flag(struct file *f, bool on)
{
    if (on)
        __atomic_or_fetch(&f->flags, (uint32_t)O_ASYNC_K, __ATOMIC_RELAXED);
    else
        __atomic_and_fetch(&f->flags, ~(uint32_t)O_ASYNC_K, __ATOMIC_RELAXED);
}

static void unhook(struct file *f)
{
    struct fasync *a = f->async;
    f->async = NULL;
    for (uint32_t i = 0; a && i < a->nr; i++)
        wait_queue_remove(a->hook[i].q, &a->hook[i].w);
    kfree(a);
}

int fasync_set(struct file *f, int fd, bool on)
{
    int r = 0;
    mutex_lock(&fasync_lock);
    if (!on) {
        unhook(f);
    } else if (fasync_supported(f) && !f->async) {
        struct fasync *a = kzalloc(sizeof(*a));
        if (a) {
            a->pt.queue = fasync_queue;
            a->file = f;
            a->fd = fd;
            f->async = a;
            file_poll(f, &a->pt);
        } else {
            r = -ENOMEM;
        }
    }
    if (!r)
        change_flag(f, on);
    mutex_unlock(&fasync_lock);
    return r;
}

void fasync_release(struct file *f)
{
    unhook(f);
}

int fasync_set_owner(struct file *f, int type, kpid_t who)
{
    if (who && type == F_OWNER_TID_K) {
        struct thread *t = thread_find(who);
        if (!t)
            return -ESRCH;
        thread_put(t);
    } else if (who && type == F_OWNER_PID_K) {
        struct process *p = process_find(who);
        if (!p)
            return -ESRCH;
        process_put(p);
    }
    WRITE_ONCE(f->owner_pid, 0);
    f->owner_uid = current->cred ? current->cred->uid : 0;
    f->owner_euid = current->cred ? current->cred->euid : 0;
    f->owner_tid = type == F_OWNER_TID_K;
    WRITE_ONCE(f->owner_pid, type == F_OWNER_PGRP_K ? -who : who);
    return 0;
}
