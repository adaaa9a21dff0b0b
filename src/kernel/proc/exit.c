/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of threads and processes.
 *
 * A thread ends in three steps: it stops taking signals (`exiting`); it lets go of memory,
 * descriptors and directory, which may sleep; and under proc_tree_lock it leaves its process. The
 * thread that brings nr_live to zero also ends the process: timers go, children get a new parent,
 * groups that lose their last tie are told, and the process becomes a zombie or, when nobody will
 * wait for it, vanishes. A leader that ends before the others stays in the list, dead, because it
 * carries the process's number.
 *
 * execve ends the other threads by the same requests; the one that executes becomes the leader and
 * takes the process's number.
 */
#include "base/errno.h"
#include "base/printk.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "dev/tty.h"
#include "fs/vfs.h"
#include "ipc/ids.h"
#include "mm/mm.h"
#include "proc/futex.h"
#include "proc/pid.h"
#include "proc/rusage.h"
#include "proc/sessions.h"
#include "proc/signal_internal.h"
#include "stats.h"

#define NSEC_PER_CLOCK_TICK 10000000
/* How long the keep's end waits for the last processes: long enough to write back, short enough
 * that a stuck host does not hold it. */
#define KEEP_EXIT_GRACE_NS (2 * NSEC_PER_SEC)

/* ---- memory and files ---- */

void process_vfork_release(struct process *p)
{
    if (!p->vfork_pending)
        return;
    __atomic_store_n(&p->vfork_pending, false, __ATOMIC_SEQ_CST);
    wake_all(&p->vfork_done, 0);
}

/* What a thread promised to do at its end in its own memory. */
static void release_user_words(struct thread *t)
{
    futex_exit_robust(t);
    if (t->clear_child_tid) {
        /* Somebody who shares the memory may wait for the word; nobody else would see it. */
        if (ref_read(&t->mm->ref) > 1 && put_user((uint32_t)0, t->clear_child_tid) == 0)
            futex_wake_addr(t->clear_child_tid, 1);
        t->clear_child_tid = 0;
    }
    t->robust_list = 0;
}

static uint64_t mm_peak_kib(struct mm *mm)
{
    uint64_t pages = READ_ONCE(mm->hiwater_rss);
    return (pages ? pages : mm_resident_pages(mm)) * (PAGE_SIZE / 1024);
}

static void release_resources(struct thread *t, bool last)
{
    struct process *p = t->process;
    struct mm *mm = t->mm;
    if (mm) {
        release_user_words(t);
        if (last) {
            uint64_t peak = mm_peak_kib(mm);
            p->max_rss_kib = k_max(p->max_rss_kib, peak);
        }
    }
    sem_undo_leave(t);
    struct files *files = t->files;
    struct fs_context *fs = t->fs;
    spin_lock(&proc_tree_lock); /* against process_mm_get and its like */
    t->files = NULL;
    t->fs = NULL;
    spin_unlock(&proc_tree_lock);
    /* Files first: closing may need the address space (robust mappings, locks of this process). */
    if (files)
        files_put(files);
    if (fs)
        fs_context_put(fs);
    if (mm) {
        spin_lock(&proc_tree_lock);
        t->mm = NULL;
        spin_unlock(&proc_tree_lock);
        mm_put(mm);
    }
    if (last)
        process_vfork_release(p);
}

/* ---- telling the parent ---- */

static void fill_chld_info(const struct process *p, struct k_siginfo *info)
{
    memset(info, 0, sizeof(*info));
    info->si_signo = p->exit_signal;
    int sig = p->exit_code & 0x7f;
    if (sig) {
        info->si_code = p->exit_code & 0x80 ? CLD_DUMPED_K : CLD_KILLED_K;
        info->chld.status = sig;
    } else {
        info->si_code = CLD_EXITED_K;
        info->chld.status = p->exit_code >> 8 & 0xff;
    }
    info->chld.pid = p->pid;
    info->chld.uid = p->leader->cred->uid;
    info->chld.utime = (int64_t)(p->utime_ns / NSEC_PER_CLOCK_TICK);
    info->chld.stime = (int64_t)(p->stime_ns / NSEC_PER_CLOCK_TICK);
}

/* p is a zombie; proc_tree_lock is held. True: nobody will wait for it, reap it. */
static bool notify_parent_exit(struct process *p)
{
    struct process *parent = p->parent;
    bool autoreap = false, send = p->exit_signal >= 1 && p->exit_signal <= NSIG_K;
    if (!parent || parent->zombie)
        return true;
    if (p->exit_signal == SIGCHLD) {
        struct sighand *s = process_sighand_lock(parent);
        const struct k_sigaction *a = &s->action[SIGCHLD - 1];
        bool ignored = a->handler == SIG_IGN_K;
        autoreap = ignored || (a->flags & SA_NOCLDWAIT_K);
        spin_unlock(&s->lock);
        send = send && !ignored;
    }
    if (send) {
        struct k_siginfo info;
        fill_chld_info(p, &info);
        signal_send_process(parent, &info);
    }
    wake_all(&parent->child_wait, 0);
    return autoreap;
}

/* ---- children and groups ---- */

static bool pgrp_has_stopped(kpid_t pgid)
{
    struct process *p;
    list_for_each (p, &process_list, all_link)
        if (p->pgid == pgid && READ_ONCE(p->stop_complete))
            return true;
    return false;
}

static void signal_pgrp_locked(kpid_t pgid, int sig)
{
    struct process *p;
    list_for_each (p, &process_list, all_link)
        if (p->pgid == pgid)
            signal_kill_process(p, sig);
}

/*
 * `p` loses the parent `parent`, or exits itself (parent NULL: its own one counts). If that parent
 * was the last tie of p's group to the rest of its session, a stopped member could never be
 * continued: SIGHUP and SIGCONT to all.
 */
static void hangup_orphaned_pgrp(struct process *p, struct process *parent)
{
    const struct process *ignored = parent ? NULL : p;
    if (!parent)
        parent = p->parent;
    if (__atomic_load_n(&nr_stopped_processes, __ATOMIC_RELAXED) == 0 || !parent)
        return;
    if (parent->pgid != p->pgid && parent->sid == p->sid && pgrp_is_orphaned(p->pgid, ignored) &&
        pgrp_has_stopped(p->pgid)) {
        signal_pgrp_locked(p->pgid, SIGHUP);
        signal_pgrp_locked(p->pgid, SIGCONT);
    }
}

static struct process *find_new_parent(struct process *p)
{
    for (struct process *a = p->parent; a; a = a->parent)
        if (a->is_subreaper && !a->zombie && a->nr_live > 0)
            return a;
    return init_process == p ? NULL : init_process;
}

static void send_pdeath_signals(struct process *child)
{
    struct thread *t;
    list_for_each (t, &child->threads, process_link)
        if (t->pdeath_signal && !t->exiting)
            signal_kill_process(child, t->pdeath_signal);
}

/* Children of a thread that ends while others of its process live on go to one of those. */
static void hand_over_children(struct process *p, const struct thread *t)
{
    struct thread *heir = NULL, *each;
    struct process *child;
    if (list_empty(&p->children))
        return;
    list_for_each (each, &p->threads, process_link)
        if (each != t && !each->exiting) {
            heir = each;
            break;
        }
    list_for_each (child, &p->children, sibling)
        if (child->parent_tid == t->tid) {
            child->parent_tid = heir ? heir->tid : p->pid;
            send_pdeath_signals(child);
        }
}

/* All children of p, which ends, get a new parent. Those to be reaped at once are moved to `dead`,
 * linked by `sibling`. */
static void reparent_children(struct process *p, struct list *dead)
{
    struct process *reaper = find_new_parent(p), *child, *tmp;
    list_for_each_safe (child, tmp, &p->children, sibling) {
        send_pdeath_signals(child);
        list_del(&child->sibling);
        child->parent = reaper;
        child->parent_tid = reaper ? reaper->pid : 0;
        child->exit_signal = SIGCHLD;
        if (reaper)
            list_add_tail(&child->sibling, &reaper->children);
        if (child->zombie && notify_parent_exit(child)) {
            process_unlink(child);
            list_add_tail(&child->sibling, dead);
        } else if (!child->zombie) {
            hangup_orphaned_pgrp(child, p);
        }
    }
}

static void put_reaped(struct process *p)
{
    wake_all(&p->pidfd_wait, POLLIN_K | POLLHUP_K);
    if (p->leader)
        thread_put(p->leader);
    process_put(p);
}

/* ---- the keep's end ---- */

static int count_living(struct process *p, void *arg)
{
    if (p != init_process && !p->zombie)
        ++*(int *)arg;
    return 0;
}

static int kill_other(struct process *p, void *arg)
{
    if (p != init_process)
        signal_kill_process(p, SIGKILL);
    return 0;
}

static int nr_living(void)
{
    int n = 0;
    process_for_each(count_living, &n);
    return n;
}

/* pid 1 is gone: so is the workload. */
static void __noreturn end_keep(struct process *init)
{
    int r;
    process_for_each(kill_other, NULL);
    WAIT_EVENT(&init->child_wait, nr_living() == 0, WAIT_UNINTERRUPTIBLE,
               ktime_add(time_mono_ns(), KEEP_EXIT_GRACE_NS), r);
    if (r)
        printk("%d processes did not end in time", nr_living());
    keep_exit(init->exit_code);
}

/* ---- the thread's end ---- */

/* Step one: no more signals for t. True when it is the last of its process. */
static bool begin_exit(struct thread *t, int code)
{
    struct process *p = t->process;
    struct thread *other;
    struct sighand *s = thread_sighand_lock(t);
    bool was_exiting = p->exiting;
    t->exit_code = code;
    t->exiting = true;
    if (t->stopped)
        p->nr_stopped--;
    t->stopped = false;
    bool last = --p->nr_live == 0;
    if (last && !was_exiting) {
        p->exiting = true;
        p->exit_code = code;
    }
    /* A signal for the process that woke this thread must find another one. */
    sigset_k shared = p->shared_pending.set & ~t->blocked;
    if (shared && !last)
        list_for_each (other, &p->threads, process_link)
            if (!other->exiting && (shared & ~other->blocked)) {
                __atomic_store_n(&other->signal_pending, true, __ATOMIC_SEQ_CST);
                if (!thread_wake_if(other, 1u << THREAD_INTERRUPTIBLE))
                    sched_kick_thread(other);
            }
    bool stop_complete = process_stop_check(p);
    if (last && p->stop_complete) {
        p->stop_complete = false;
        __atomic_sub_fetch(&nr_stopped_processes, 1, __ATOMIC_RELAXED);
    }
    spin_unlock(&s->lock);
    if (stop_complete && !last)
        process_notify_parent_stop(p, CLD_STOPPED_K);
    return last;
}

/* Step three, for the process. proc_tree_lock is held. True: p is to be reaped by us. */
static bool end_process(struct process *p, struct list *dead)
{
    reparent_children(p, dead);
    hangup_orphaned_pgrp(p, NULL);
    tty_leader_exits(p);
    p->tty = NULL;
    p->zombie = true;
    return notify_parent_exit(p);
}

void thread_exit(int wait_status)
{
    struct thread *t = current;
    struct process *p = t->process;
    if (p->is_kernel) {
        t->state = THREAD_DEAD;
        schedule();
        panic("a dead thread runs");
    }
    bool last = begin_exit(t, wait_status);
    if (last)
        process_timers_release(p);
    release_resources(t, last);
    if (last) {
        stats_program_ends(p, t->comm);
        if (p->session)
            session_process_exits(p);
    }
    if (last && p == init_process)
        end_keep(p);

    struct list dead;
    list_init(&dead);
    bool reap = false, is_leader = p->leader == t;
    spin_lock(&proc_tree_lock);
    struct sighand *s = thread_sighand_lock(t);
    /* The stretch that is running now is the last that counts. */
    uint64_t used_ns, system_ns;
    thread_cpu_times(t, &used_ns, &system_ns);
    p->utime_ns += used_ns;
    p->stime_ns += system_ns;
    p->nr_voluntary += t->nr_voluntary;
    p->nr_involuntary += t->nr_involuntary;
    p->nr_threads--;
    /* From here on the sums hold what this thread used (process_cpu_times). */
    __atomic_store_n(&t->state, THREAD_DEAD, __ATOMIC_SEQ_CST);
    if (!is_leader) {
        list_del(&t->process_link);
        pid_free_thread(t->tid);
    }
    spin_unlock(&s->lock);
    if (last)
        reap = end_process(p, &dead);
    else
        hand_over_children(p, t);
    if (reap)
        process_unlink(p);
    bool exec_waits = p->exec_thread != NULL;
    spin_unlock(&proc_tree_lock);

    if (exec_waits)
        wake_all(&p->exec_wait, 0);
    if (last)
        wake_all(&p->pidfd_wait, POLLIN_K);
    struct process *child, *tmp;
    list_for_each_safe (child, tmp, &dead, sibling) {
        list_del(&child->sibling);
        put_reaped(child);
    }
    if (reap)
        put_reaped(p); /* t itself still counts p */
    schedule();
    panic("a dead thread runs");
}

void process_exit_group(int wait_status)
{
    struct thread *t = current;
    struct process *p = t->process;
    struct sighand *s = thread_sighand_lock(t);
    if (!p->exiting) {
        p->exiting = true;
        p->exit_code = wait_status;
        process_kill_threads(p, t);
    }
    int code = p->exit_code;
    spin_unlock(&s->lock);
    thread_exit(code);
}

int64_t sys_exit(int status)
{
    thread_exit((status & 0xff) << 8);
}

int64_t sys_exit_group(int status)
{
    process_exit_group((status & 0xff) << 8);
}

/* ---- execve ---- */

/* The calling thread becomes the leader: it takes the old leader's place and number. The old one is
 * dead. */
static void take_over_leader(struct thread *t)
{
    struct process *p = t->process;
    struct process *child;
    spin_lock(&proc_tree_lock);
    struct sighand *s = thread_sighand_lock(t);
    struct thread *old = p->leader;
    kpid_t old_tid = t->tid;
    pid_free_thread(old_tid);
    pid_set_thread(p->pid, t);
    list_del(&old->process_link);
    thread_get(t); /* the process's */
    t->tid = p->pid;
    p->leader = t;
    list_for_each (child, &p->children, sibling)
        if (child->parent_tid == old_tid)
            child->parent_tid = p->pid;
    spin_unlock(&s->lock);
    spin_unlock(&proc_tree_lock);
    thread_put(old);
}

/* Another process has the same sighand (CLONE_SIGHAND): execve gets its own. */
static int unshare_sighand(struct thread *t)
{
    struct process *p = t->process;
    struct sighand *old = t->sighand;
    if (ref_read(&old->ref) <= 2) /* this thread's and the process's */
        return 0;
    struct sighand *new = sighand_copy(old);
    if (!new)
        return -ENOMEM;
    sighand_get(new);
    spin_lock(&proc_tree_lock);
    spin_lock(&old->lock);
    WRITE_ONCE(t->sighand, new);
    WRITE_ONCE(p->sighand, new);
    spin_unlock(&old->lock);
    spin_unlock(&proc_tree_lock);
    sighand_put(old);
    sighand_put(old);
    return 0;
}

int process_kill_other_threads(void)
{
    struct thread *t = current;
    struct process *p = t->process;
    struct sighand *s = thread_sighand_lock(t);
    if (p->exiting || t->exit_requested || p->exec_thread) {
        spin_unlock(&s->lock);
        return -EAGAIN; /* another thread ends this one */
    }
    if (p->nr_threads > 1) {
        p->exec_thread = t;
        process_kill_threads(p, t);
    }
    spin_unlock(&s->lock);
    if (p->exec_thread) {
        int r;
        WAIT_EVENT(&p->exec_wait, READ_ONCE(p->nr_threads) == 1, WAIT_KILLABLE, KTIME_NEVER, r);
        if (r == 0 && p->leader != t)
            take_over_leader(t);
        s = thread_sighand_lock(t);
        p->exec_thread = NULL;
        spin_unlock(&s->lock);
        if (r)
            return -EAGAIN;
    } else if (p->leader != t) {
        take_over_leader(t);
    }
    int err = unshare_sighand(t);
    if (err)
        return err;
    p->exit_signal = SIGCHLD;
    p->membarrier_state = 0;
    posix_timers_delete_all(p);
    release_user_words(t);
    t->altstack_sp = t->altstack_size = 0;
    t->altstack_flags = SS_DISABLE_K;
    t->restart.fn = restart_none;
    return 0;
}
