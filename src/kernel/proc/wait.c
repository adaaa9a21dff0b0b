/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wait4 and waitid. A waiter sleeps on its process's child_wait, which is woken when a child ends,
 * stops or goes on, and looks through the children under proc_tree_lock. What a child has to report
 * is taken in that look, so that two waiting threads never get the same report.
 */
#include "base/errno.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "fs/vfs.h"
#include "proc/pid.h"
#include "proc/rusage.h"
#include "proc/signal_internal.h"

enum {
    WNOHANG_K = 1,
    WSTOPPED_K = 2,
    WEXITED_K = 4,
    WCONTINUED_K = 8,
    WNOWAIT_K = 0x01000000,
    WNOTHREAD_K = 0x20000000,
    WALL_K = 0x40000000
};
#define WCLONE_K 0x80000000u
enum { P_ALL_K = 0, P_PID_K = 1, P_PGID_K = 2, P_PIDFD_K = 3 };

struct wait_request {
    int type; /* P_ALL_K, P_PID_K or P_PGID_K */
    kpid_t id;
    uint32_t options;
    bool want_rusage;
    /* The answer. */
    kpid_t pid; /* 0: nothing yet */
    kuid_t uid;
    int cause;  /* CLD_* */
    int status; /* wait status form */
    struct k_rusage usage;
    struct process *released; /* reaped: its reference is to be put outside of the lock */
};

static bool eligible(const struct wait_request *r, const struct process *p)
{
    if (r->type == P_PID_K && p->pid != r->id)
        return false;
    if (r->type == P_PGID_K && p->pgid != r->id)
        return false;
    if ((r->options & WNOTHREAD_K) && p->parent_tid != current->tid)
        return false;
    /* "Clone" children are those whose end is told by another signal than SIGCHLD, or by none. */
    bool is_clone = p->exit_signal != SIGCHLD, want_clone = r->options & WCLONE_K;
    return (r->options & WALL_K) || is_clone == want_clone;
}

static void answer(struct wait_request *r, struct process *p, int cause, int status)
{
    r->pid = p->pid;
    r->uid = p->leader->cred->uid;
    r->cause = cause;
    r->status = status;
    if (r->want_rusage)
        rusage_of_process_and_children(p, &r->usage);
}

/* Has p something to report? Takes it unless WNOWAIT. */
static bool report(struct wait_request *r, struct process *p)
{
    bool keep = r->options & WNOWAIT_K;
    if (p->zombie) {
        if (!(r->options & WEXITED_K))
            return false;
        int sig = p->exit_code & 0x7f;
        answer(r, p, sig ? p->exit_code & 0x80 ? CLD_DUMPED_K : CLD_KILLED_K : CLD_EXITED_K,
               p->exit_code);
        if (!keep) {
            rusage_add_to_parent(current->process, p);
            process_unlink(p);
            r->released = p;
        }
        return true;
    }
    bool found = false;
    struct sighand *s = process_sighand_lock(p);
    int stop_signal = p->stop_signal;
    if ((r->options & WSTOPPED_K) && p->stop_complete && !p->stop_reported) {
        found = true;
        p->stop_reported = !keep;
        spin_unlock(&s->lock);
        answer(r, p, CLD_STOPPED_K, stop_signal << 8 | 0x7f);
    } else if ((r->options & WCONTINUED_K) && p->continued) {
        found = true;
        p->continued = keep;
        spin_unlock(&s->lock);
        answer(r, p, CLD_CONTINUED_K, 0xffff);
    } else {
        spin_unlock(&s->lock);
    }
    return found;
}

/* 1: answered; 0: there are children to wait for; -ECHILD. */
static int look(struct wait_request *r)
{
    struct process *me = current->process, *p;
    int result = -ECHILD;
    spin_lock(&proc_tree_lock);
    if (r->type == P_PID_K) {
        p = process_find_locked(r->id);
        if (p && p->parent == me && eligible(r, p))
            result = report(r, p);
    } else {
        list_for_each (p, &me->children, sibling) {
            if (!eligible(r, p))
                continue;
            result = report(r, p);
            if (result)
                break;
        }
    }
    spin_unlock(&proc_tree_lock);
    if (r->released) {
        wake_all(&r->released->pidfd_wait, POLLHUP_K);
        if (r->released->leader)
            thread_put(r->released->leader);
        process_put(r->released);
        r->released = NULL;
    }
    return result;
}

/* The pid, 0 (WNOHANG), -ECHILD or -ERESTARTSYS. */
static int64_t do_wait(struct wait_request *r)
{
    int found = look(r), waited;
    if (found == 0 && !(r->options & WNOHANG_K)) {
        WAIT_EVENT(&current->process->child_wait, (found = look(r)) != 0, WAIT_INTERRUPTIBLE,
                   KTIME_NEVER, waited);
        if (found == 0)
            return waited;
    }
    return found < 0 ? found : r->pid;
}

int64_t sys_wait4(int pid, uaddr_t status_addr, uint32_t options, uaddr_t usage_addr)
{
    struct wait_request r;
    memset(&r, 0, sizeof(r));
    if (options &
        ~(uint32_t)(WNOHANG_K | WSTOPPED_K | WCONTINUED_K | WNOTHREAD_K | WALL_K | WCLONE_K))
        return -EINVAL;
    if (pid == INT_MIN)
        return -ESRCH;
    if (pid > 0) {
        r.type = P_PID_K;
        r.id = pid;
    } else if (pid != -1) {
        r.type = P_PGID_K;
        r.id = pid == 0 ? current->process->pgid : -pid;
    }
    r.options = options | WEXITED_K;
    r.want_rusage = usage_addr != 0;
    int64_t ret = do_wait(&r);
    if (ret <= 0)
        return ret;
    if (status_addr && put_user((int32_t)r.status, status_addr))
        return -EFAULT;
    if (usage_addr && put_user(r.usage, usage_addr))
        return -EFAULT;
    return ret;
}

/* The members of siginfo that waitid fills; the rest of the caller's structure stays as it is. */
static int put_waitid_info(uaddr_t addr, const struct wait_request *r, bool found)
{
    int32_t head[3] = {found ? SIGCHLD : 0, 0, r->cause};
    int32_t status = r->status;
    if (r->cause == CLD_EXITED_K)
        status = r->status >> 8 & 0xff;
    else if (r->cause == CLD_KILLED_K || r->cause == CLD_DUMPED_K)
        status = r->status & 0x7f;
    else if (r->cause == CLD_STOPPED_K)
        status = r->status >> 8 & 0xff;
    else if (r->cause == CLD_CONTINUED_K)
        status = SIGCONT;
    int32_t who[3] = {r->pid, (int32_t)r->uid, status};
    if (copy_to_user(addr, head, sizeof(head)))
        return -EFAULT;
    return copy_to_user(addr + offsetof(struct k_siginfo, chld), who, sizeof(who));
}

int64_t sys_waitid(int type, int id, uaddr_t info_addr, uint32_t options, uaddr_t usage_addr)
{
    const uint32_t what = WEXITED_K | WSTOPPED_K | WCONTINUED_K;
    struct wait_request r;
    memset(&r, 0, sizeof(r));
    if (options & ~(what | WNOHANG_K | WNOWAIT_K | WNOTHREAD_K | WALL_K | WCLONE_K))
        return -EINVAL;
    if (!(options & what))
        return -EINVAL;
    r.options = options;
    r.type = type;
    r.id = id;
    r.want_rusage = usage_addr != 0;
    uint32_t fd_flags = 0;
    switch (type) {
    case P_ALL_K: break;
    case P_PID_K:
        if (id <= 0)
            return -EINVAL;
        break;
    case P_PGID_K:
        if (id < 0)
            return -EINVAL;
        if (id == 0)
            r.id = current->process->pgid;
        break;
    case P_PIDFD_K: {
        if (id < 0)
            return -EINVAL;
        struct process *p = pidfd_get_process(id, &fd_flags);
        if (is_err(p))
            return ptr_err(p);
        r.type = P_PID_K;
        /* A reaped one's number may be another's by now. */
        r.id = READ_ONCE(p->reaped) ? 0 : p->pid;
        process_put(p);
        if (fd_flags & O_NONBLOCK_K)
            r.options |= WNOHANG_K;
        break;
    }
    default: return -EINVAL;
    }
    int64_t ret = do_wait(&r);
    if (ret == 0 && (fd_flags & O_NONBLOCK_K) && !(options & WNOHANG_K))
        ret = -EAGAIN;
    bool found = ret > 0;
    if (found && usage_addr && put_user(r.usage, usage_addr))
        return -EFAULT;
    if (ret >= 0 && info_addr && put_waitid_info(info_addr, &r, found))
        return -EFAULT;
    return found ? 0 : ret;
}
