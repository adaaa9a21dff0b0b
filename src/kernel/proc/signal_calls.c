/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls that send signals, wait for them and set actions and masks. The machinery is in
 * proc/signal.c. */
#include "base/errno.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "proc/pid.h"
#include "proc/signal_internal.h"

#define SA_KNOWN                                                                                   \
    (SA_NOCLDSTOP_K | SA_NOCLDWAIT_K | SA_SIGINFO_K | SA_RESTORER_K | SA_ONSTACK_K |               \
     SA_RESTART_K | SA_NODEFER_K | SA_RESETHAND_K)

static bool signal_valid(int sig)
{
    return sig >= 0 && sig <= NSIG_K;
}

/* ---- actions and masks ---- */

int64_t sys_rt_sigaction(int sig, uaddr_t new_addr, uaddr_t old_addr, uint64_t set_size)
{
    struct k_sigaction new, old;
    if (set_size != sizeof(sigset_k))
        return -EINVAL;
    if (new_addr && get_user(new, new_addr))
        return -EFAULT;
    if (sig < 1 || sig > NSIG_K || (new_addr && (SIGMASK(sig) & SIGSET_UNBLOCKABLE)))
        return -EINVAL;
    struct thread *t = current;
    struct sighand *s = thread_sighand_lock(t);
    struct k_sigaction *a = &s->action[sig - 1];
    old = *a;
    if (new_addr) {
        new.mask &= ~SIGSET_UNBLOCKABLE;
        new.flags &= SA_KNOWN; /* so that a program can ask which flags there are */
        *a = new;
        /* POSIX: a pending signal that is now ignored is gone, blocked or not. */
        if (signal_is_ignored(s, sig))
            process_flush_signals(t->process, SIGMASK(sig));
    }
    spin_unlock(&s->lock);
    if (old_addr && put_user(old, old_addr))
        return -EFAULT;
    return 0;
}

enum { SIG_BLOCK_K = 0, SIG_UNBLOCK_K = 1, SIG_SETMASK_K = 2 };

int64_t sys_rt_sigprocmask(int how, uaddr_t new_addr, uaddr_t old_addr, uint64_t set_size)
{
    sigset_k old = current->blocked, set;
    if (set_size != sizeof(sigset_k))
        return -EINVAL;
    if (new_addr) {
        if (get_user(set, new_addr))
            return -EFAULT;
        switch (how) {
        case SIG_BLOCK_K: signal_set_blocked(old | set); break;
        case SIG_UNBLOCK_K: signal_set_blocked(old & ~set); break;
        case SIG_SETMASK_K: signal_set_blocked(set); break;
        default: return -EINVAL;
        }
    }
    if (old_addr && put_user(old, old_addr))
        return -EFAULT;
    return 0;
}

int64_t sys_rt_sigpending(uaddr_t set_addr, uint64_t set_size)
{
    struct thread *t = current;
    if (set_size > sizeof(sigset_k))
        return -EINVAL;
    struct sighand *s = thread_sighand_lock(t);
    sigset_k set = (t->pending.set | t->process->shared_pending.set) & t->blocked;
    spin_unlock(&s->lock);
    return copy_to_user(set_addr, &set, set_size);
}

int64_t sys_pause(void)
{
    struct wait_queue never;
    int r;
    wait_queue_init(&never);
    WAIT_EVENT(&never, false, WAIT_INTERRUPTIBLE, KTIME_NEVER, r);
    return r ? -ERESTARTNOHAND : 0;
}

int64_t sys_rt_sigsuspend(uaddr_t set_addr, uint64_t set_size)
{
    sigset_k set;
    if (set_size != sizeof(set))
        return -EINVAL;
    if (get_user(set, set_addr))
        return -EFAULT;
    signal_set_temporary_mask(set);
    return sys_pause();
}

/* ---- waiting ---- */

static int take_waited(sigset_k set, struct k_siginfo *info)
{
    struct thread *t = current;
    bool timer;
    struct sighand *s = thread_sighand_lock(t);
    int sig = signal_dequeue_locked(t, set, info, &timer);
    spin_unlock(&s->lock);
    if (sig)
        signal_dequeued(sig, info, timer);
    return sig;
}

static void set_sigwait(struct thread *t, sigset_k set)
{
    struct sighand *s = thread_sighand_lock(t);
    t->sigwait_set = set;
    spin_unlock(&s->lock);
}

int64_t sys_rt_sigtimedwait(uaddr_t set_addr, uaddr_t info_addr, uaddr_t timeout_addr,
                            uint64_t set_size)
{
    struct thread *t = current;
    struct k_siginfo info;
    sigset_k set;
    ktime_t deadline;
    if (set_size != sizeof(set))
        return -EINVAL;
    if (get_user(set, set_addr))
        return -EFAULT;
    int err = time_deadline_from_user(timeout_addr, &deadline);
    if (err)
        return err;
    set &= ~SIGSET_UNBLOCKABLE;
    int sig = take_waited(set, &info);
    if (!sig && deadline <= time_mono_ns())
        return -EAGAIN;
    if (!sig) {
        /* While this stands, senders treat the signals as wanted although they are blocked, and do
         * not act on them. */
        set_sigwait(t, set);
        struct wait_queue never;
        int r;
        wait_queue_init(&never);
        WAIT_EVENT(&never, (sig = take_waited(set, &info)) != 0, WAIT_INTERRUPTIBLE, deadline, r);
        set_sigwait(t, 0);
        /* A signal of the set itself ends the wait as any signal does. */
        if (!sig)
            sig = take_waited(set, &info);
        if (!sig)
            return r == -ETIMEDOUT ? -EAGAIN : -EINTR;
    }
    if (info_addr && siginfo_to_user(info_addr, &info))
        return -EFAULT;
    return sig;
}

/* ---- sending ---- */

struct k_siginfo signal_info_from_current(int sig, int code)
{
    struct k_siginfo info;
    memset(&info, 0, sizeof(info));
    info.si_signo = sig;
    info.si_code = code;
    info.rt.pid = current->process->pid;
    info.rt.uid = current->cred->uid;
    return info;
}

/* sig 0 only asks. Who is not there is reported before a wrong signal, as Linux does.
 * proc_tree_lock is held. */
int signal_send_checked(struct process *p, const struct k_siginfo *info)
{
    if (!signal_valid(info->si_signo))
        return -EINVAL;
    if (!process_may_signal(p, info->si_signo))
        return -EPERM;
    return info->si_signo == 0 ? 0 : signal_send_process(p, info);
}

static int64_t kill_pgrp(kpid_t pgid, const struct k_siginfo *info)
{
    struct process *p;
    int64_t result = -ESRCH;
    spin_lock(&proc_tree_lock);
    list_for_each (p, &process_list, all_link)
        if (p->pgid == pgid) {
            int r = signal_send_checked(p, info);
            if (result != 0)
                result = r;
        }
    spin_unlock(&proc_tree_lock);
    return result;
}

static int64_t kill_all(const struct k_siginfo *info)
{
    struct process *p;
    int64_t result = 0;
    bool any = false;
    spin_lock(&proc_tree_lock);
    list_for_each (p, &process_list, all_link)
        if (p != init_process && p != current->process) {
            int r = signal_send_checked(p, info);
            if (r != -EPERM) /* those that one may not reach do not count as failures */
                result = r;
            any = true;
        }
    spin_unlock(&proc_tree_lock);
    return any ? result : -ESRCH;
}

/* A thread's number names its process too. */
static struct process *process_of_any(kpid_t pid)
{
    struct process *p = process_find_locked(pid);
    if (!p) {
        struct thread *t = thread_find_locked(pid);
        p = t ? t->process : NULL;
    }
    return p;
}

static int64_t kill_process(kpid_t pid, const struct k_siginfo *info)
{
    spin_lock(&proc_tree_lock);
    struct process *p = process_of_any(pid);
    int64_t result = p ? signal_send_checked(p, info) : -ESRCH;
    spin_unlock(&proc_tree_lock);
    return result;
}

int64_t sys_kill(int pid, int sig)
{
    struct k_siginfo info = signal_info_from_current(sig, SI_USER_K);
    if (pid == INT_MIN)
        return -ESRCH;
    if (pid > 0)
        return kill_process(pid, &info);
    if (pid == -1)
        return kill_all(&info);
    return kill_pgrp(pid == 0 ? current->process->pgid : -pid, &info);
}

/* tgid 0: any process. */
static int64_t send_to_thread(kpid_t tgid, kpid_t tid, const struct k_siginfo *info)
{
    int64_t result = -ESRCH;
    spin_lock(&proc_tree_lock);
    struct thread *t = thread_find_locked(tid);
    if (t && (tgid == 0 || t->process->pid == tgid)) {
        if (!signal_valid(info->si_signo))
            result = -EINVAL;
        else if (!process_may_signal(t->process, info->si_signo))
            result = -EPERM;
        else
            result = info->si_signo == 0 ? 0 : signal_send_thread(t, info);
    }
    spin_unlock(&proc_tree_lock);
    return result;
}

int64_t sys_tgkill(int tgid, int tid, int sig)
{
    if (tgid <= 0 || tid <= 0)
        return -EINVAL;
    struct k_siginfo info = signal_info_from_current(sig, SI_TKILL_K);
    return send_to_thread(tgid, tid, &info);
}

int64_t sys_tkill(int tid, int sig)
{
    if (tid <= 0)
        return -EINVAL;
    struct k_siginfo info = signal_info_from_current(sig, SI_TKILL_K);
    return send_to_thread(0, tid, &info);
}

/* Codes that kill, tgkill and the kernel itself make cannot be claimed towards others. */
bool signal_may_claim(const struct k_siginfo *info, kpid_t target)
{
    return (info->si_code < 0 && info->si_code != SI_TKILL_K) || target == current->tid;
}

int64_t sys_rt_sigqueueinfo(int pid, int sig, uaddr_t info_addr)
{
    struct k_siginfo info;
    if (get_user(info, info_addr))
        return -EFAULT;
    info.si_signo = sig;
    if (!signal_may_claim(&info, pid))
        return -EPERM;
    return kill_process(pid, &info);
}

int64_t sys_rt_tgsigqueueinfo(int tgid, int tid, int sig, uaddr_t info_addr)
{
    struct k_siginfo info;
    if (get_user(info, info_addr))
        return -EFAULT;
    if (tgid <= 0 || tid <= 0)
        return -EINVAL;
    info.si_signo = sig;
    if (!signal_may_claim(&info, tid))
        return -EPERM;
    return send_to_thread(tgid, tid, &info);
}
