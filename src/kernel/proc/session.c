/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers: processes, threads, process groups, sessions. Rules: setpgid(2), setsid(2),
 * credentials(7). */
#include "base/errno.h"
#include "dev/tty.h"
#include "proc/pid.h"
#include "proc/task.h"

int64_t sys_getpid(void)
{
    return current->process->pid;
}

int64_t sys_gettid(void)
{
    return current->tid;
}

int64_t sys_getppid(void)
{
    spin_lock(&proc_tree_lock);
    const struct process *parent = current->process->parent;
    kpid_t pid = parent ? parent->pid : 0;
    spin_unlock(&proc_tree_lock);
    return pid;
}

int64_t sys_set_tid_address(uaddr_t addr)
{
    current->clear_child_tid = addr;
    return current->tid;
}

/* 0: current. proc_tree_lock is held. */
static struct process *process_or_current(kpid_t pid)
{
    return pid == 0 ? current->process : process_find_locked(pid);
}

static int64_t number_of(kpid_t pid, bool session)
{
    spin_lock(&proc_tree_lock);
    const struct process *p = process_or_current(pid);
    int64_t result = !p ? -ESRCH : session ? p->sid : p->pgid;
    spin_unlock(&proc_tree_lock);
    return result;
}

int64_t sys_getpgid(int pid)
{
    return number_of(pid, false);
}

int64_t sys_getpgrp(void)
{
    return number_of(0, false);
}

int64_t sys_getsid(int pid)
{
    return number_of(pid, true);
}

static bool session_has_pgrp(kpid_t sid, kpid_t pgid)
{
    struct process *p;
    if (!pid_is_pgrp(pgid))
        return false;
    list_for_each (p, &process_list, all_link)
        if (p->pgid == pgid)
            return p->sid == sid; /* a group lies in one session */
    return false;
}

/* proc_tree_lock is held. */
static int64_t set_pgrp(struct process *p, kpid_t pgid)
{
    const struct process *me = current->process;
    if (p->parent == me) {
        if (p->sid != me->sid)
            return -EPERM;
        if (p->has_execed)
            return -EACCES;
    } else if (p != me) {
        return -ESRCH;
    }
    if (p->sid == p->pid)
        return -EPERM;
    if (pgid != p->pid && !session_has_pgrp(me->sid, pgid))
        return -EPERM;
    if (p->pgid != pgid)
        pid_change_pgrp(p, pgid);
    return 0;
}

int64_t sys_setpgid(int pid, int pgid)
{
    if (pgid < 0)
        return -EINVAL;
    spin_lock(&proc_tree_lock);
    struct process *p = process_or_current(pid);
    int64_t result = p ? set_pgrp(p, pgid ? pgid : p->pid) : -ESRCH;
    spin_unlock(&proc_tree_lock);
    return result;
}

int64_t sys_setsid(void)
{
    struct process *p = current->process;
    int64_t result = -EPERM;
    spin_lock(&proc_tree_lock);
    /* Also when only others are in the group of this number: they would end up in two sessions. */
    if (p->sid != p->pid && !pid_is_pgrp(p->pid)) {
        pid_change_session(p, p->pid);
        p->tty = NULL;
        result = p->pid;
    }
    spin_unlock(&proc_tree_lock);
    return result;
}

int64_t sys_vhangup(void)
{
    if (!capable(CAP_SYS_TTY_CONFIG_K))
        return -EPERM;
    struct tty *t = tty_of_current();
    if (t) {
        tty_hangup(t);
        tty_put(t);
    }
    return 0;
}
