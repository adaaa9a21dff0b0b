/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Controlling terminals and job control. Rules: credentials(7), tty_ioctl(4), setsid(2), and
 * POSIX's chapter 11.
 *
 * tty->session and tty->pgrp, and process->tty of all processes, are under proc_tree_lock. A
 * session holds its number as long as it has processes, so the number names it; of a group that is
 * gone the number may name another, so signals go to members of the terminal's session only.
 */
#include "base/errno.h"
#include "base/usercopy.h"
#include "dev/tty.h"
#include "proc/pid.h"
#include "proc/signal_internal.h"

enum {
    TIOCSCTTY_K = 0x540e,
    TIOCGPGRP_K = 0x540f,
    TIOCSPGRP_K = 0x5410,
    TIOCNOTTY_K = 0x5422,
    TIOCGSID_K = 0x5429
};

static void signal_group(kpid_t session, kpid_t pgrp, int sig)
{
    struct process *p;
    if (!pgrp)
        return;
    list_for_each (p, &process_list, all_link)
        if (p->pgid == pgrp && p->sid == session)
            signal_kill_process(p, sig);
}

void tty_signal_foreground(struct tty *t, int sig)
{
    spin_lock(&proc_tree_lock);
    signal_group(t->session, t->pgrp, sig);
    spin_unlock(&proc_tree_lock);
}

static bool current_ignores(int sig)
{
    struct thread *me = current;
    struct sighand *s = thread_sighand_lock(me);
    bool ignores = (me->blocked & SIGMASK(sig)) || s->action[sig - 1].handler == SIG_IGN_K;
    spin_unlock(&s->lock);
    return ignores;
}

int tty_check_foreground(struct tty *t, int sig)
{
    struct process *p = current->process;
    int r = 0;
    if (likely(READ_ONCE(p->tty) != t || READ_ONCE(t->pgrp) == READ_ONCE(p->pgid)))
        return 0;
    spin_lock(&proc_tree_lock);
    if (p->tty == t && t->pgrp && t->pgrp != p->pgid) {
        if (current_ignores(sig)) {
            r = sig == SIGTTIN ? -EIO : 0;
        } else if (pgrp_is_orphaned(p->pgid, NULL)) {
            r = -EIO;
        } else {
            signal_group(p->sid, p->pgid, sig);
            r = -ERESTARTSYS;
        }
    }
    spin_unlock(&proc_tree_lock);
    return r;
}

/* ---- whose terminal ---- */

struct tty *tty_of_current(void)
{
    spin_lock(&proc_tree_lock);
    struct tty *t = current->process->tty;
    if (t)
        tty_get(t);
    spin_unlock(&proc_tree_lock);
    return t;
}

/* No process of the session has the terminal any more. proc_tree_lock is held. */
static void session_lose(struct tty *t)
{
    struct process *p;
    list_for_each (p, &process_list, all_link)
        if (p->tty == t)
            p->tty = NULL;
    t->session = t->pgrp = 0;
}

static void take_terminal(struct tty *t, struct process *p)
{
    p->tty = t;
    p->tty_old_pgrp = 0;
    t->session = p->sid;
    t->pgrp = p->pgid;
}

void tty_acquire(struct tty *t)
{
    struct process *p = current->process;
    spin_lock(&proc_tree_lock);
    if (p->sid == p->pid && !p->tty && !t->session && !READ_ONCE(t->master_closed))
        take_terminal(t, p);
    spin_unlock(&proc_tree_lock);
}

void tty_leave_session(struct tty *t, bool on_exit)
{
    spin_lock(&proc_tree_lock);
    struct process *leader = t->session ? process_find_locked(t->session) : NULL;
    if (on_exit) {
        signal_group(t->session, t->pgrp, SIGHUP);
    } else if (leader && leader->tty == t) {
        signal_kill_process(leader, SIGHUP);
        signal_kill_process(leader, SIGCONT);
        leader->tty_old_pgrp = t->pgrp;
    }
    session_lose(t);
    spin_unlock(&proc_tree_lock);
}

void tty_process_exits(struct process *p)
{
    spin_lock(&proc_tree_lock);
    struct tty *t = NULL;
    if (p->sid == p->pid) {
        t = p->tty;
        if (t) {
            tty_get(t);
        } else {
            /* Its terminal hung up before: those whom it ran there are told now. */
            signal_group(p->sid, p->tty_old_pgrp, SIGHUP);
            signal_group(p->sid, p->tty_old_pgrp, SIGCONT);
        }
    }
    p->tty_old_pgrp = 0;
    spin_unlock(&proc_tree_lock);
    if (t) {
        tty_hangup(t, true);
        tty_put(t);
    }
}

/* ---- ioctl ---- */

static int64_t acquire(struct tty *t, const struct file *f, bool force)
{
    struct process *p = current->process;
    int64_t r = -EPERM;
    spin_lock(&proc_tree_lock);
    bool leads = p->sid == p->pid;
    if (leads && t->session == p->sid) {
        r = 0;
    } else if (leads && !p->tty && !t->master_closed &&
               ((f->mode & FMODE_READ) || capable(CAP_SYS_ADMIN_K)) &&
               (!t->session || (force && capable(CAP_SYS_ADMIN_K)))) {
        session_lose(t);
        take_terminal(t, p);
        r = 0;
    }
    spin_unlock(&proc_tree_lock);
    return r;
}

static int64_t give_up(struct tty *t)
{
    struct process *p = current->process;
    int64_t r = -ENOTTY;
    spin_lock(&proc_tree_lock);
    if (p->tty == t) {
        r = 0;
        p->tty = NULL;
        if (p->sid == p->pid) {
            signal_group(t->session, t->pgrp, SIGHUP);
            signal_group(t->session, t->pgrp, SIGCONT);
            session_lose(t);
        }
    }
    spin_unlock(&proc_tree_lock);
    return r;
}

/* The session of a group, or of the process of that number; 0: there is neither. */
static kpid_t session_of(kpid_t pgrp)
{
    struct process *p;
    list_for_each (p, &process_list, all_link)
        if (p->pgid == pgrp)
            return p->sid;
    p = process_find_locked(pgrp);
    return p ? p->sid : 0;
}

static int64_t set_foreground(struct tty *t, uaddr_t arg)
{
    const struct process *p = current->process;
    int32_t pgrp;
    int64_t r = tty_check_foreground(t, SIGTTOU);
    if (r)
        return r == -EIO ? -ENOTTY : r;
    if (get_user(pgrp, arg))
        return -EFAULT;
    if (pgrp < 0)
        return -EINVAL;
    spin_lock(&proc_tree_lock);
    if (p->tty != t || t->session != p->sid)
        r = -ENOTTY;
    else if (!session_of(pgrp))
        r = -ESRCH;
    else if (session_of(pgrp) != p->sid)
        r = -EPERM;
    else
        t->pgrp = pgrp;
    spin_unlock(&proc_tree_lock);
    return r;
}

int64_t tty_job_ioctl(struct tty *t, struct file *f, bool master, unsigned cmd, uint64_t arg)
{
    switch (cmd) {
    case TIOCSCTTY_K: return acquire(t, f, arg == 1);
    case TIOCNOTTY_K: return master ? -ENOTTY : give_up(t);
    case TIOCSPGRP_K: return set_foreground(t, arg);
    case TIOCGPGRP_K:
    case TIOCGSID_K: {
        if (!master && READ_ONCE(current->process->tty) != t)
            return -ENOTTY;
        int32_t id = READ_ONCE(*(cmd == TIOCGSID_K ? &t->session : &t->pgrp));
        if (cmd == TIOCGSID_K && !id)
            return -ENOTTY;
        return put_user(id, arg);
    }
    default: return -ENOTTY;
    }
}
