/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way out to the workload: handlers, default actions, job-control stops, restart of interrupted
 * calls.
 *
 * A group stop. The thread that dequeues a stop signal sets process->stop_signal; each thread that
 * comes by here then stands still (THREAD_STOPPED, counted in nr_stopped), and the last one tells
 * the parent. SIGCONT (at the time of sending, proc/signal.c) undoes all of that; the first thread
 * to wake tells the parent of the continuation, because a sender may hold locks that do not allow
 * it.
 *
 * A call that was interrupted leaves one of the -ERESTART codes in rax. It becomes -EINTR when a
 * handler runs and the call's kind (and SA_RESTART) says so; else rip goes back by the two bytes of
 * `syscall` and the number into rax. A patched site keeps its `syscall` bytes, so this holds there
 * too.
 */
#include "base/errno.h"
#include "base/string.h"
#include "proc/pid.h"
#include "proc/rseq.h"
#include "proc/signal_internal.h"

#define SYSCALL_INSN_LEN 2
#define NR_RESTART_SYSCALL 219

int32_t nr_stopped_processes;

/* ---- stops ---- */

bool process_stop_check(struct process *p)
{
    if (p->stop_signal == 0 || p->stop_complete || p->nr_stopped < p->nr_live || p->nr_live == 0)
        return false;
    p->stop_complete = true;
    p->stop_reported = false;
    p->continued = false;
    __atomic_add_fetch(&nr_stopped_processes, 1, __ATOMIC_RELAXED);
    return true;
}

void process_notify_parent_stop(struct process *p, int why)
{
    struct k_siginfo info;
    memset(&info, 0, sizeof(info));
    info.si_signo = SIGCHLD;
    info.si_code = why;
    info.chld.pid = p->pid;
    uint64_t utime, stime;
    process_cpu_times(p, &utime, &stime);
    info.chld.utime = (int64_t)(utime / 10000000);
    info.chld.stime = (int64_t)(stime / 10000000);

    spin_lock(&proc_tree_lock);
    struct process *parent = p->parent;
    if (parent) {
        info.chld.uid = p->leader->cred->uid;
        info.chld.status = why == CLD_CONTINUED_K ? SIGCONT : READ_ONCE(p->stop_signal);
        if (info.chld.status == 0)
            info.chld.status = SIGSTOP; /* continued before it could be told */
        struct sighand *s = process_sighand_lock(parent);
        const struct k_sigaction *a = &s->action[SIGCHLD - 1];
        bool send = a->handler != SIG_IGN_K && !(a->flags & SA_NOCLDSTOP_K);
        spin_unlock(&s->lock);
        if (send)
            signal_send_process(parent, &info);
        wake_all(&parent->child_wait, 0);
    }
    spin_unlock(&proc_tree_lock);
}

bool pgrp_is_orphaned(kpid_t pgid, const struct process *ignored)
{
    struct process *p;
    list_for_each (p, &process_list, all_link) {
        if (p->pgid != pgid || p == ignored || p->zombie || !p->parent)
            continue;
        if (p->parent->pgid != pgid && p->parent->sid == p->sid)
            return false;
    }
    return true;
}

/* Stands still until SIGCONT or the end. sighand->lock is held on entry and released. */
static void stand_still(struct thread *t, struct sighand *s)
{
    struct process *p = t->process;
    if (!t->stopped) {
        t->stopped = true;
        p->nr_stopped++;
    }
    bool complete = process_stop_check(p);
    /* Under the lock: SIGCONT and SIGKILL, which wake under it, find either the state or no stop at
     * all. */
    __atomic_store_n(&t->state, THREAD_STOPPED, __ATOMIC_SEQ_CST);
    spin_unlock(&s->lock);
    if (complete)
        process_notify_parent_stop(p, CLD_STOPPED_K);
    schedule();
}

/* The default action of a stop signal that was just dequeued. False: it has been overtaken. Lock
 * held. */
static void begin_stop(struct process *p, int sig, uint32_t continue_seq)
{
    struct thread *t;
    if (p->continue_seq != continue_seq || p->exiting || p->stop_signal != 0)
        return;
    p->stop_signal = sig;
    p->stop_complete = false;
    p->nr_stopped = 0;
    list_for_each (t, &p->threads, process_link) {
        t->stopped = false;
        if (t->exiting || t == current)
            continue;
        __atomic_store_n(&t->signal_pending, true, __ATOMIC_SEQ_CST);
        if (!thread_wake_if(t, 1u << THREAD_INTERRUPTIBLE))
            sched_kick_thread(t);
    }
}

/* ---- restart ---- */

static bool is_restart_code(int64_t rax)
{
    return rax == -ERESTARTSYS || rax == -ERESTARTNOINTR || rax == -ERESTARTNOHAND ||
           rax == -ERESTART_RESTARTBLOCK;
}

static void restart_call(struct regs *regs, uint64_t nr)
{
    regs->rax = nr;
    regs->rip -= SYSCALL_INSN_LEN;
}

/* A handler with these flags is about to run. */
static void restart_before_handler(struct regs *regs, uint64_t sa_flags)
{
    if (regs->orig_rax == REGS_NO_SYSCALL)
        return;
    switch (-(int64_t)regs->rax) {
    case ERESTART_RESTARTBLOCK:
    case ERESTARTNOHAND: regs->rax = (uint64_t)-EINTR; break;
    case ERESTARTSYS:
        if (!(sa_flags & SA_RESTART_K)) {
            regs->rax = (uint64_t)-EINTR;
            break;
        }
        restart_call(regs, regs->orig_rax);
        break;
    case ERESTARTNOINTR: restart_call(regs, regs->orig_rax); break;
    default: break;
    }
    regs->orig_rax = REGS_NO_SYSCALL; /* a second handler must not do this again */
}

static void restart_without_handler(struct regs *regs)
{
    if (regs->orig_rax == REGS_NO_SYSCALL || !is_restart_code((int64_t)regs->rax))
        return;
    restart_call(regs, (int64_t)regs->rax == -ERESTART_RESTARTBLOCK ? NR_RESTART_SYSCALL
                                                                    : regs->orig_rax);
    regs->orig_rax = REGS_NO_SYSCALL;
}

int64_t sys_restart_syscall(void)
{
    struct thread *t = current;
    return t->restart.fn(t);
}

/* ---- delivery ---- */

static void run_handler(struct regs *regs, int sig, const struct k_sigaction *action,
                        const struct k_siginfo *info)
{
    struct thread *t = current;
    restart_before_handler(regs, action->flags);
    sigset_k saved = t->restore_blocked ? t->saved_blocked : t->blocked;
    if ((t->rseq && rseq_signal(regs)) || signal_frame_setup(regs, sig, action, info, saved)) {
        /* No room for a frame, or a rseq area that makes no sense. SIGSEGV may have a handler on
         * another stack; if that was it, nothing is left to try. */
        if (sig == SIGSEGV)
            process_exit_group(SIGSEGV);
        signal_force_fault(SIGSEGV, SI_KERNEL_K, 0);
        return;
    }
    t->restore_blocked = false;
    sigset_k blocked = t->blocked | action->mask;
    if (!(action->flags & SA_NODEFER_K))
        blocked |= SIGMASK(sig);
    signal_set_blocked(blocked);
}

/* The next thing to do for t, with its action; sighand->lock is taken and released. */
enum next { NEXT_NOTHING, NEXT_AGAIN, NEXT_HANDLER };

static enum next deliver_one(struct thread *t, struct k_siginfo *info, struct k_sigaction *action)
{
    struct process *p = t->process;
    struct sighand *s = thread_sighand_lock(t);
    if (t->exit_requested || p->exiting) {
        int code = p->exiting ? p->exit_code : 0;
        spin_unlock(&s->lock);
        thread_exit(code);
    }
    if (p->notify_parent) {
        int why = p->notify_parent;
        p->notify_parent = 0;
        spin_unlock(&s->lock);
        process_notify_parent_stop(p, why);
        return NEXT_AGAIN;
    }
    if (p->stop_signal != 0) {
        stand_still(t, s);
        return NEXT_AGAIN;
    }
    bool timer;
    int sig = signal_dequeue_locked(t, ~t->blocked, info, &timer);
    if (sig == 0) {
        signal_recalc(t);
        spin_unlock(&s->lock);
        return NEXT_NOTHING;
    }
    struct k_sigaction *a = &s->action[sig - 1];
    *action = *a;
    uint32_t continue_seq = p->continue_seq;
    bool handled = a->handler != SIG_DFL_K && a->handler != SIG_IGN_K;
    if (handled && (a->flags & SA_RESETHAND_K))
        a->handler = SIG_DFL_K;
    spin_unlock(&s->lock);

    signal_dequeued(sig, info, timer);
    if (handled)
        return NEXT_HANDLER;
    if (action->handler == SIG_IGN_K || (SIGSET_IGNORED_BY_DEFAULT & SIGMASK(sig)))
        return NEXT_AGAIN;
    if (SIGSET_STOP & SIGMASK(sig)) {
        if (sig != SIGSTOP) {
            spin_lock(&proc_tree_lock);
            bool orphaned = pgrp_is_orphaned(p->pgid, NULL);
            spin_unlock(&proc_tree_lock);
            if (orphaned)
                return NEXT_AGAIN; /* nobody is left who would continue it */
        }
        s = thread_sighand_lock(t);
        begin_stop(p, sig, continue_seq);
        spin_unlock(&s->lock);
        return NEXT_AGAIN;
    }
    process_exit_group(sig);
}

void signal_deliver(struct regs *regs)
{
    struct thread *t = current;
    bool any_handler = false;
    for (;;) {
        struct k_siginfo info;
        struct k_sigaction action;
        enum next next = deliver_one(t, &info, &action);
        if (next == NEXT_NOTHING)
            break;
        if (next == NEXT_HANDLER) {
            run_handler(regs, info.si_signo, &action, &info);
            any_handler = true;
        }
    }
    if (!any_handler) {
        restart_without_handler(regs);
        signal_restore_temporary_mask();
    }
}
