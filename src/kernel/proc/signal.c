/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending signals: queues, who gets a process's signal, job control at the time of sending, forced
 * signals.
 *
 * sighand->lock guards the actions, the pending sets and queues of the threads and processes that
 * share the sighand, their stop states and exit requests. A process's sighand is replaced only by
 * execve (when it is shared with another process); struct sighand is never given back to kmalloc,
 * so that a sender may lock one it has just read and then look whether it still is the right one.
 *
 * A signal that ends the process takes effect when it is sent: all threads are asked to die
 * (process_kill_threads), so that a sleeper that only waits "killably" is woken by SIGTERM too.
 * Signals with a handler only mark a thread; proc/signal_deliver.c does the rest on its way out to
 * the workload.
 *
 * Lock order: proc_tree_lock -> process_timers.lock -> sighand->lock -> wait queues, run queues.
 */
#include "proc/signal.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/string.h"
#include "fs/vfs.h"
#include "proc/pid.h"
#include "proc/signal_internal.h"

/* ---- sighands ---- */

static spinlock_t free_lock = SPINLOCK_INIT;
static struct sighand *free_list; /* linked through action[0].handler */

struct sighand *sighand_alloc(void)
{
    spin_lock(&free_lock);
    struct sighand *s = free_list;
    if (s)
        free_list = (struct sighand *)s->action[0].handler;
    spin_unlock(&free_lock);
    if (!s) {
        s = kzalloc(sizeof(*s));
        if (!s)
            return NULL;
        spin_init(&s->lock);
    }
    memset(s->action, 0, sizeof(s->action));
    wait_queue_init(&s->signalfd_wait);
    ref_init(&s->ref, 1);
    return s;
}

struct sighand *sighand_copy(struct sighand *from)
{
    struct sighand *s = sighand_alloc();
    if (!s)
        return NULL;
    spin_lock(&from->lock);
    memcpy(s->action, from->action, sizeof(s->action));
    spin_unlock(&from->lock);
    return s;
}

void sighand_get(struct sighand *s)
{
    ref_get(&s->ref);
}

void sighand_put(struct sighand *s)
{
    if (!ref_put(&s->ref))
        return;
    spin_lock(&free_lock);
    s->action[0].handler = (uint64_t)free_list;
    free_list = s;
    spin_unlock(&free_lock);
}

void signal_flush_handlers_on_exec(struct sighand *s)
{
    spin_lock(&s->lock);
    for (int i = 0; i < NSIG_K; i++) {
        struct k_sigaction *a = &s->action[i];
        uint64_t handler = a->handler == SIG_IGN_K ? SIG_IGN_K : SIG_DFL_K;
        memset(a, 0, sizeof(*a));
        a->handler = handler;
    }
    spin_unlock(&s->lock);
}

static struct sighand *sighand_lock(struct sighand *const *where)
{
    for (;;) {
        struct sighand *s = READ_ONCE(*where);
        spin_lock(&s->lock);
        if (likely(s == READ_ONCE(*where)))
            return s;
        spin_unlock(&s->lock);
    }
}

struct sighand *process_sighand_lock(struct process *p)
{
    return sighand_lock(&p->sighand);
}

struct sighand *thread_sighand_lock(struct thread *t)
{
    return sighand_lock(&t->sighand);
}

/* ---- queues ---- */

struct sigqueue_entry *sigqueue_alloc(kuid_t uid, uint64_t limit, bool override)
{
    int64_t n = user_count_add(uid, USER_SIGPENDING, 1);
    if (n < 0)
        return NULL;
    struct sigqueue_entry *e = NULL;
    if (override || (uint64_t)n <= limit)
        e = kzalloc(sizeof(*e));
    if (!e) {
        user_count_add(uid, USER_SIGPENDING, -1);
        return NULL;
    }
    list_init(&e->link);
    e->charged_uid = uid;
    return e;
}

void sigqueue_free(struct sigqueue_entry *e)
{
    user_count_add(e->charged_uid, USER_SIGPENDING, -1);
    kfree(e);
}

static void entry_drop(struct sigqueue_entry *e)
{
    list_del(&e->link);
    if (!e->timer)
        sigqueue_free(e);
}

void sigpending_remove(struct sigpending *p, sigset_k set)
{
    if (!(p->set & set))
        return;
    struct sigqueue_entry *e, *tmp;
    p->set &= ~set;
    list_for_each_safe (e, tmp, &p->queue, link)
        if (set & SIGMASK(e->info.si_signo))
            entry_drop(e);
}

void sigpending_flush(struct sigpending *p)
{
    sigpending_remove(p, ~0ull);
}

void process_flush_signals(struct process *p, sigset_k set)
{
    struct thread *t;
    sigpending_remove(&p->shared_pending, set);
    list_for_each (t, &p->threads, process_link)
        sigpending_remove(&t->pending, set);
}

/* ---- what is pending ---- */

bool signal_is_ignored(const struct sighand *s, int sig)
{
    uint64_t handler = s->action[sig - 1].handler;
    return handler == SIG_IGN_K ||
           (handler == SIG_DFL_K && (SIGSET_IGNORED_BY_DEFAULT & SIGMASK(sig)));
}

void signal_recalc(struct thread *t)
{
    const struct process *p = t->process;
    bool pending = ((t->pending.set | p->shared_pending.set) & ~t->blocked) != 0 ||
                   t->exit_requested || p->exiting || (p->stop_signal != 0 && !t->stopped) ||
                   p->notify_parent != 0;
    __atomic_store_n(&t->signal_pending, pending, __ATOMIC_SEQ_CST);
}

bool signal_pending(void)
{
    struct thread *t = current;
    if (likely(!READ_ONCE(t->signal_pending)))
        return false;
    /* The hint may be out of date: another thread may have taken the signal. A call must not be cut
     * short for nothing. */
    struct sighand *s = thread_sighand_lock(t);
    signal_recalc(t);
    bool pending = t->signal_pending ||
                   ((t->pending.set | t->process->shared_pending.set) & t->sigwait_set) != 0;
    spin_unlock(&s->lock);
    return pending;
}

bool signal_pending_fatal(void)
{
    struct thread *t = current;
    return READ_ONCE(t->exit_requested) || READ_ONCE(t->process->exiting);
}

/* Takes sig out of p; the oldest entry gives the info. */
static void sigpending_take(struct sigpending *p, int sig, struct k_siginfo *info, bool *timer)
{
    struct sigqueue_entry *e, *tmp, *found = NULL;
    bool more = false;
    list_for_each_safe (e, tmp, &p->queue, link) {
        if (e->info.si_signo != sig)
            continue;
        if (found) {
            more = true;
            break;
        }
        found = e;
    }
    if (!more)
        p->set &= ~SIGMASK(sig);
    *timer = false;
    if (!found) {
        /* There was no room for an entry; only the number is known. */
        memset(info, 0, sizeof(*info));
        info->si_signo = sig;
        info->si_code = SI_USER_K;
        return;
    }
    *info = found->info;
    *timer = found->timer != NULL;
    entry_drop(found);
}

static int first_signal(sigset_k set)
{
    if (set & SIGSET_SYNCHRONOUS)
        set &= SIGSET_SYNCHRONOUS;
    return __builtin_ctzll(set) + 1;
}

int signal_dequeue_locked(struct thread *t, sigset_k set, struct k_siginfo *info, bool *timer)
{
    struct sigpending *p = &t->pending;
    sigset_k ready = p->set & set;
    if (!ready) {
        p = &t->process->shared_pending;
        ready = p->set & set;
    }
    if (!ready)
        return 0;
    int sig = first_signal(ready);
    sigpending_take(p, sig, info, timer);
    signal_recalc(t);
    return sig;
}

void signal_dequeued(int sig, struct k_siginfo *info, bool timer)
{
    struct process *p = current->process;
    if (timer)
        posix_timer_dequeued(p, info);
    else if (sig == SIGALRM && p->timers)
        itimer_real_dequeued(p);
}

int signal_dequeue(sigset_k set, struct k_siginfo *info)
{
    struct thread *t = current;
    bool timer;
    struct sighand *s = thread_sighand_lock(t);
    int sig = signal_dequeue_locked(t, set & ~SIGSET_UNBLOCKABLE, info, &timer);
    spin_unlock(&s->lock);
    if (sig)
        signal_dequeued(sig, info, timer);
    return sig;
}

/* ---- waking ---- */

/* The thread looks at its signals soon. fatal: out of any sleep but an uninterruptible one. */
static void signal_wake(struct thread *t, bool fatal)
{
    uint32_t states = 1u << THREAD_INTERRUPTIBLE;
    if (fatal)
        states |= 1u << THREAD_KILLABLE | 1u << THREAD_STOPPED;
    __atomic_store_n(&t->signal_pending, true, __ATOMIC_SEQ_CST);
    if (!thread_wake_if(t, states) && t != current)
        sched_kick_thread(t);
}

void process_kill_threads(struct process *p, struct thread *except)
{
    struct thread *t;
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): list heads are never NULL */
    list_for_each (t, &p->threads, process_link) {
        if (t == except || t->exiting)
            continue;
        __atomic_store_n(&t->exit_requested, true, __ATOMIC_SEQ_CST);
        signal_wake(t, true);
    }
}

static bool wants_signal(const struct thread *t, int sig)
{
    if (t->exiting || t->exit_requested)
        return false;
    if (sig == SIGKILL)
        return true;
    sigset_k blocked = t->blocked & ~t->sigwait_set;
    if ((blocked & SIGMASK(sig)) || t->stopped)
        return false;
    return t == current || !READ_ONCE(t->signal_pending);
}

/* The signal is pending: finds a thread for it and wakes that, or ends the process at once. */
static void complete_signal(struct process *p, struct thread *target, const struct sighand *s,
                            int sig)
{
    struct thread *t = NULL;
    if (target) {
        if (wants_signal(target, sig))
            t = target;
    } else if (p->leader && wants_signal(p->leader, sig)) {
        t = p->leader;
    } else {
        struct thread *each;
        list_for_each (each, &p->threads, process_link)
            if (wants_signal(each, sig)) {
                t = each;
                break;
            }
    }
    if (!t)
        return; /* all block it, or are on their way to look anyway */
    uint64_t handler = s->action[sig - 1].handler;
    bool ends = handler == SIG_DFL_K &&
                !(SIGMASK(sig) & (SIGSET_IGNORED_BY_DEFAULT | SIGSET_STOP)) &&
                !(t->sigwait_set & SIGMASK(sig));
    if (sig == SIGKILL)
        ends = true;
    if (ends && !p->exiting) {
        p->exiting = true;
        p->exit_code = sig;
        process_kill_threads(p, NULL);
        return;
    }
    signal_wake(t, sig == SIGKILL);
}

/* SIGCONT: out of the stop, or out of being on the way to it. */
static void process_continue(struct process *p)
{
    struct thread *t;
    process_flush_signals(p, SIGSET_STOP);
    p->continue_seq++;
    if (p->stop_signal == 0)
        return;
    p->notify_parent = p->stop_complete ? CLD_CONTINUED_K : CLD_STOPPED_K;
    if (p->stop_complete)
        __atomic_sub_fetch(&nr_stopped_processes, 1, __ATOMIC_RELAXED);
    p->stop_signal = 0;
    p->stop_complete = false;
    p->nr_stopped = 0;
    p->continued = true;
    list_for_each (t, &p->threads, process_link) {
        t->stopped = false;
        if (t->exiting)
            continue;
        __atomic_store_n(&t->signal_pending, true, __ATOMIC_SEQ_CST);
        thread_wake_if(t, 1u << THREAD_STOPPED);
    }
}

/* Job control at the time of sending; false when the signal has no further effect. */
static bool prepare_signal(struct process *p, struct thread *target, const struct sighand *s,
                           int sig)
{
    if (p->exiting || p->zombie || p->is_kernel)
        return false;
    if (SIGSET_STOP & SIGMASK(sig))
        process_flush_signals(p, SIGMASK(SIGCONT));
    else if (sig == SIGCONT)
        process_continue(p);
    /* A blocked signal is kept: its action may have changed when it is unblocked. */
    const struct thread *t = target ? target : p->leader;
    if (t && ((t->blocked | t->sigwait_set) & SIGMASK(sig)))
        return true;
    return !signal_is_ignored(s, sig);
}

/* ---- sending ---- */

/* target NULL: to the process. sighand->lock is held. SIGNAL_* or -EAGAIN. */
static int send_locked(struct process *p, struct thread *target, struct sighand *s,
                       const struct k_siginfo *info, struct sigqueue_entry *timer_entry)
{
    int sig = info->si_signo;
    if (timer_entry && !list_empty(&timer_entry->link))
        return SIGNAL_ALREADY_PENDING;
    if (!prepare_signal(p, target, s, sig))
        return SIGNAL_IGNORED;
    struct sigpending *pending = target ? &target->pending : &p->shared_pending;
    /* A timer's entry is queued all the same: the timer goes on only when that is taken. */
    if (!timer_entry && sig < SIGRTMIN && (pending->set & SIGMASK(sig)))
        return SIGNAL_ALREADY_PENDING;
    struct sigqueue_entry *e = timer_entry;
    if (!e && sig != SIGKILL) {
        bool override = sig < SIGRTMIN && info->si_code >= 0;
        kuid_t uid = p->leader && p->leader->charged_uid != UINT32_MAX ? p->leader->charged_uid : 0;
        e = sigqueue_alloc(uid, READ_ONCE(p->rlim[RLIMIT_SIGPENDING_K].cur), override);
        if (!e && sig >= SIGRTMIN && info->si_code != SI_USER_K)
            return -EAGAIN;
    }
    if (e) {
        if (!timer_entry)
            e->info = *info;
        list_add_tail(&e->link, &pending->queue);
    }
    pending->set |= SIGMASK(sig);
    wake_all(&s->signalfd_wait, POLLIN_K);
    complete_signal(p, target, s, sig);
    return SIGNAL_SENT;
}

static int send_result(int r)
{
    return r < 0 ? r : 0;
}

int signal_send_thread(struct thread *t, const struct k_siginfo *info)
{
    struct sighand *s = thread_sighand_lock(t);
    int r = t->exiting ? 0 : send_locked(t->process, t, s, info, NULL);
    spin_unlock(&s->lock);
    return send_result(r);
}

int signal_send_process(struct process *p, const struct k_siginfo *info)
{
    struct sighand *s = process_sighand_lock(p);
    int r = send_locked(p, NULL, s, info, NULL);
    spin_unlock(&s->lock);
    return send_result(r);
}

int signal_send_timer(struct process *p, struct thread *t, struct sigqueue_entry *entry)
{
    struct sighand *s = process_sighand_lock(p);
    int r = t && t->exiting ? SIGNAL_IGNORED : send_locked(p, t, s, &entry->info, entry);
    spin_unlock(&s->lock);
    return r;
}

bool signal_disown_timer_entry(struct process *p, struct sigqueue_entry *entry)
{
    struct sighand *s = process_sighand_lock(p);
    bool queued = !list_empty(&entry->link);
    entry->timer = NULL;
    spin_unlock(&s->lock);
    return queued;
}

static struct k_siginfo kernel_info(int sig)
{
    struct k_siginfo info;
    memset(&info, 0, sizeof(info));
    info.si_signo = sig;
    info.si_code = SI_KERNEL_K;
    return info;
}

int signal_kill_process(struct process *p, int sig)
{
    struct k_siginfo info = kernel_info(sig);
    return signal_send_process(p, &info);
}

int signal_send_pgrp(kpid_t pgid, const struct k_siginfo *info)
{
    struct process *p;
    int result = -ESRCH;
    spin_lock(&proc_tree_lock);
    list_for_each (p, &process_list, all_link)
        if (p->pgid == pgid) {
            int r = signal_send_process(p, info);
            if (result != 0)
                result = r;
        }
    spin_unlock(&proc_tree_lock);
    return result;
}

void signal_force_info(const struct k_siginfo *info)
{
    struct thread *t = current;
    struct process *p = t->process;
    int sig = info->si_signo;
    struct sighand *s = thread_sighand_lock(t);
    struct k_sigaction *a = &s->action[sig - 1];
    if ((t->blocked & SIGMASK(sig)) || a->handler == SIG_IGN_K) {
        /* A fault cannot wait and cannot be ignored: the instruction would fault again, for ever.
         */
        a->handler = SIG_DFL_K;
        t->blocked &= ~SIGMASK(sig);
    }
    /* An older one of the same number would hide this one's address. */
    sigpending_remove(&t->pending, SIGMASK(sig));
    send_locked(p, t, s, info, NULL);
    signal_recalc(t);
    spin_unlock(&s->lock);
}

void signal_force_fault(int sig, int code, uaddr_t addr)
{
    struct k_siginfo info;
    memset(&info, 0, sizeof(info));
    info.si_signo = sig;
    info.si_code = code;
    info.fault.addr = addr;
    signal_force_info(&info);
}

void signal_note_fault(const struct hal_fault *fault)
{
    struct thread *t = current;
    t->trap_nr = fault->trap_nr;
    t->trap_error = fault->error_code;
    if (fault->trap_nr == 14)
        t->trap_cr2 = fault->address;
}

/* ---- masks ---- */

void signal_set_blocked(sigset_k mask)
{
    struct thread *t = current;
    struct sighand *s = thread_sighand_lock(t);
    sigset_k newly_blocked = mask & ~t->blocked & ~SIGSET_UNBLOCKABLE;
    t->blocked = mask & ~SIGSET_UNBLOCKABLE;
    signal_recalc(t);
    /* A process's signal that this thread was woken for may now be another thread's to take. */
    sigset_k orphaned = t->process->shared_pending.set & newly_blocked;
    if (orphaned) {
        struct thread *other;
        list_for_each (other, &t->process->threads, process_link)
            if (other != t && !other->exiting && (orphaned & ~other->blocked)) {
                signal_wake(other, false);
                orphaned &= other->blocked;
            }
    }
    spin_unlock(&s->lock);
}

void signal_set_temporary_mask(sigset_k mask)
{
    struct thread *t = current;
    t->saved_blocked = t->blocked;
    t->restore_blocked = true;
    signal_set_blocked(mask);
}

void signal_restore_temporary_mask(void)
{
    struct thread *t = current;
    if (!t->restore_blocked)
        return;
    t->restore_blocked = false;
    signal_set_blocked(t->saved_blocked);
}
