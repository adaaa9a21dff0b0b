/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pid table. One slot a number, so that finding is an index and allocation a walk from the
 * number handed out last: a number that has become free is used again only after all others (a late
 * kill(2) then meets nobody rather than a stranger). Everything here is under proc_tree_lock.
 */
#include "proc/pid.h"

#include "base/errno.h"
#include "base/printk.h"

/* Where the search starts again after the highest number: the low ones belong to the keep's first
 * processes. */
#define PID_RESERVED 300

struct pid_slot {
    struct thread *thread;
    struct process *process;
    uint32_t nr_pgrp, nr_session; /* processes whose pgid, sid this is */
};

static struct pid_slot pid_table[PID_MAX_K];
static kpid_t last_pid;
static uint32_t nr_threads_total;
static uint64_t nr_created;

struct list process_list = LIST_INIT(process_list);

static bool slot_is_free(const struct pid_slot *s)
{
    return !s->thread && !s->process && s->nr_pgrp == 0 && s->nr_session == 0;
}

static void slot_take(kpid_t n, void *owner, bool is_process)
{
    if (is_process)
        pid_table[n].process = owner;
    else
        pid_set_thread(n, owner);
    last_pid = n;
}

/* A number for a process or a thread; -EAGAIN when all are taken. proc_tree_lock is held. */
kpid_t pid_alloc(void *owner, bool is_process)
{
    kpid_t n = last_pid;
    for (int tries = 0; tries < PID_MAX_K; tries++) {
        if (++n >= PID_MAX_K)
            n = PID_RESERVED;
        if (slot_is_free(&pid_table[n])) {
            slot_take(n, owner, is_process);
            nr_created++;
            return n;
        }
    }
    return -EAGAIN;
}

int pid_alloc_specific(struct process *p, kpid_t wanted)
{
    if (wanted < 1 || wanted >= PID_MAX_K)
        return -EINVAL;
    if (!slot_is_free(&pid_table[wanted]))
        return -EEXIST;
    kpid_t last = last_pid;
    slot_take(wanted, p, true);
    last_pid = last; /* the sequence goes on where it was */
    return 0;
}

void pid_set_thread(kpid_t tid, struct thread *t)
{
    if (!pid_table[tid].thread)
        nr_threads_total++;
    pid_table[tid].thread = t;
}

void pid_free_thread(kpid_t tid)
{
    if (pid_table[tid].thread)
        nr_threads_total--;
    pid_table[tid].thread = NULL;
}

void pid_free_process(kpid_t pid)
{
    pid_table[pid].process = NULL;
}

void pid_join_groups(struct process *p)
{
    pid_table[p->pgid].nr_pgrp++;
    pid_table[p->sid].nr_session++;
}

void pid_leave_groups(struct process *p)
{
    KASSERT(pid_table[p->pgid].nr_pgrp > 0 && pid_table[p->sid].nr_session > 0);
    pid_table[p->pgid].nr_pgrp--;
    pid_table[p->sid].nr_session--;
}

void pid_change_pgrp(struct process *p, kpid_t pgid)
{
    pid_table[p->pgid].nr_pgrp--;
    p->pgid = pgid;
    pid_table[pgid].nr_pgrp++;
}

void pid_change_session(struct process *p, kpid_t sid)
{
    pid_table[p->sid].nr_session--;
    p->sid = sid;
    pid_table[sid].nr_session++;
    pid_change_pgrp(p, sid);
}

bool pid_is_pgrp(kpid_t pgid)
{
    return pgid > 0 && pgid < PID_MAX_K && pid_table[pgid].nr_pgrp > 0;
}

bool pid_is_session(kpid_t sid)
{
    return sid > 0 && sid < PID_MAX_K && pid_table[sid].nr_session > 0;
}

kpid_t pid_last(void)
{
    return READ_ONCE(last_pid);
}

uint64_t pid_nr_created(void)
{
    return READ_ONCE(nr_created);
}

uint32_t pid_nr_threads(void)
{
    return READ_ONCE(nr_threads_total);
}

struct thread *thread_find_locked(kpid_t tid)
{
    return tid > 0 && tid < PID_MAX_K ? pid_table[tid].thread : NULL;
}

struct process *process_find_locked(kpid_t pid)
{
    return pid > 0 && pid < PID_MAX_K ? pid_table[pid].process : NULL;
}

struct thread *thread_find(kpid_t tid)
{
    spin_lock(&proc_tree_lock);
    struct thread *t = thread_find_locked(tid);
    if (t)
        thread_get(t);
    spin_unlock(&proc_tree_lock);
    return t;
}

struct process *process_find(kpid_t pid)
{
    spin_lock(&proc_tree_lock);
    struct process *p = process_find_locked(pid);
    if (p)
        process_get(p);
    spin_unlock(&proc_tree_lock);
    return p;
}

/* Numbers mostly grow, so the place of a new process is nearly always at the end. */
void process_list_insert(struct process *p)
{
    struct list *at = process_list.prev;
    while (at != &process_list && list_entry(at, struct process, all_link)->pid > p->pid)
        at = at->prev;
    list_insert_between(&p->all_link, at, at->next);
}

int process_for_each(int (*fn)(struct process *p, void *arg), void *arg)
{
    struct process *p;
    int result = 0;
    spin_lock(&proc_tree_lock);
    list_for_each (p, &process_list, all_link) {
        result = fn(p, arg);
        if (result)
            break;
    }
    spin_unlock(&proc_tree_lock);
    return result;
}
