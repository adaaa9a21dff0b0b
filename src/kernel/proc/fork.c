/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fork, vfork, clone, clone3, unshare: a new thread, in this process or in one of its own.
 *
 * The child is made in full before it is published: every step up to link_child may fail, and
 * undoing it is dropping the one reference to the thread (and to the process). The child's
 * registers are the caller's, with rax 0; its extended state is what stands in the CPU now.
 *
 * Sources: clone(2), clone3(2), vfork(2), unshare(2).
 */
#include "base/errno.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "fs/vfs.h"
#include "ipc/ids.h"
#include "mm/mm.h"
#include "proc/pid.h"
#include "proc/rseq.h"
#include "proc/signal_internal.h"

#define CSIGNAL 0xffull
#define CLONE_NEWTIME 0x80ull
#define CLONE_VM 0x100ull
#define CLONE_FS 0x200ull
#define CLONE_FILES 0x400ull
#define CLONE_SIGHAND 0x800ull
#define CLONE_PIDFD 0x1000ull
#define CLONE_VFORK 0x4000ull
#define CLONE_PARENT 0x8000ull
#define CLONE_THREAD 0x10000ull
#define CLONE_NEWNS 0x20000ull
#define CLONE_SYSVSEM 0x40000ull
#define CLONE_SETTLS 0x80000ull
#define CLONE_PARENT_SETTID 0x100000ull
#define CLONE_CHILD_CLEARTID 0x200000ull
#define CLONE_DETACHED 0x400000ull
#define CLONE_CHILD_SETTID 0x1000000ull
#define CLONE_NEWCGROUP 0x2000000ull
#define CLONE_NEWUTS 0x4000000ull
#define CLONE_NEWIPC 0x8000000ull
#define CLONE_NEWUSER 0x10000000ull
#define CLONE_NEWPID 0x20000000ull
#define CLONE_NEWNET 0x40000000ull
#define CLONE_CLEAR_SIGHAND 0x100000000ull

#define CLONE_NAMESPACES                                                                           \
    (CLONE_NEWTIME | CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | \
     CLONE_NEWPID | CLONE_NEWNET)

#define CLONE_ARGS_SIZE_VER0 64u

/* struct clone_args of clone3, version 2 */
struct clone_args {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
        set_tid_size, cgroup;
};

struct clone_request {
    uint64_t flags; /* without CSIGNAL */
    int exit_signal;
    uaddr_t stack; /* top; 0: the caller's */
    uint64_t tls;
    uaddr_t parent_tid, child_tid, pidfd;
    kpid_t set_tid; /* 0: any */
};

static int check_flags(const struct clone_request *a)
{
    uint64_t f = a->flags;
    if ((f & CLONE_FS) && (f & (CLONE_NEWNS | CLONE_NEWUSER)))
        return -EINVAL;
    if ((f & CLONE_THREAD) && !(f & CLONE_SIGHAND))
        return -EINVAL;
    if ((f & CLONE_SIGHAND) && !(f & CLONE_VM))
        return -EINVAL;
    if ((f & CLONE_SIGHAND) && (f & CLONE_CLEAR_SIGHAND))
        return -EINVAL;
    if ((f & CLONE_PARENT) && current->process == init_process)
        return -EINVAL;
    if ((f & CLONE_PIDFD) && (f & (CLONE_DETACHED | CLONE_THREAD)))
        return -EINVAL;
    if ((f & CLONE_PIDFD) && (f & CLONE_PARENT_SETTID) && a->pidfd == a->parent_tid)
        return -EINVAL;
    if ((f & CLONE_VFORK) && (f & CLONE_THREAD))
        return -EINVAL; /* who waits for vfork waits for a process */
    if (f & CLONE_NAMESPACES)
        return (f & CLONE_NEWUSER) || capable(CAP_SYS_ADMIN_K)
                   ? -EINVAL
                   : -EPERM; /* there are none to be had */
    if ((f & CLONE_SETTLS) && a->tls >= USER_LIMIT)
        return -EPERM;
    return 0;
}

/* Counts the new thread; -EAGAIN above RLIMIT_NPROC. */
static int charge_user(struct thread *t)
{
    const struct cred *c = current->cred;
    int64_t n = user_count_add(c->uid, USER_THREADS, 1);
    if (n < 0)
        return -ENOMEM;
    t->charged_uid = c->uid;
    if ((uint64_t)n > rlimit_cur(RLIMIT_NPROC_K) && c->uid != 0 && !capable(CAP_SYS_RESOURCE_K) &&
        !capable(CAP_SYS_ADMIN_K))
        return -EAGAIN;
    return 0;
}

static void copy_thread_state(struct thread *t, const struct clone_request *a)
{
    struct thread *me = current;
    struct regs *regs = thread_regs(t);
    *regs = *thread_regs(me);
    regs->rax = 0;
    regs->orig_rax = REGS_NO_SYSCALL;
    if (a->stack)
        regs->rsp = a->stack;
    t->fs_base = a->flags & CLONE_SETTLS ? a->tls : arch_fs_base();
    if (me->fpu_saved)
        memcpy(t->xstate, me->xstate, arch_xstate_size());
    else
        arch_xstate_save(t->xstate);
    t->fpu_saved = true;

    memcpy(t->comm, me->comm, sizeof(t->comm));
    memcpy(t->affinity, me->affinity, sizeof(t->affinity));
    t->sched_policy = me->sched_policy;
    t->rt_priority = me->rt_priority;
    t->nice = me->nice;
    if (me->sched_reset_on_fork) {
        t->sched_policy = t->rt_priority = 0;
        t->nice = k_max(me->nice, 0);
    }
    t->ioprio = me->ioprio;
    t->timer_slack_ns = me->timer_slack_ns;
    t->blocked = me->restore_blocked ? me->saved_blocked : me->blocked;
    /* A thread that shares the memory without waiting for it must not share the alternate stack. */
    if ((a->flags & (CLONE_VM | CLONE_VFORK)) != CLONE_VM) {
        t->altstack_sp = me->altstack_sp;
        t->altstack_size = me->altstack_size;
        t->altstack_flags = me->altstack_flags;
    }
    t->set_child_tid = a->flags & CLONE_CHILD_SETTID ? a->child_tid : 0;
    t->clear_child_tid = a->flags & CLONE_CHILD_CLEARTID ? a->child_tid : 0;
    rseq_fork(t, a->flags & CLONE_VM);
}

/* What clone shares or copies. Everything goes into t, so that thread_put undoes it. */
static int copy_resources(struct thread *t, uint64_t flags)
{
    struct thread *me = current;
    cred_get(me->cred);
    t->cred = me->cred;
    if (flags & CLONE_FILES) {
        files_get(me->files);
        t->files = me->files;
    } else {
        t->files = files_copy(me->files);
    }
    if (flags & CLONE_FS) {
        ref_get(&me->fs->ref);
        t->fs = me->fs;
    } else {
        t->fs = fs_context_copy(me->fs);
    }
    if (flags & CLONE_SIGHAND) {
        sighand_get(me->sighand);
        t->sighand = me->sighand;
    } else {
        t->sighand = sighand_copy(me->sighand);
        if (t->sighand && (flags & CLONE_CLEAR_SIGHAND))
            signal_flush_handlers_on_exec(t->sighand);
    }
    if (!t->files || !t->fs || !t->sighand)
        return -ENOMEM;
    if ((flags & CLONE_SYSVSEM) && sem_undo_share(t))
        return -ENOMEM;
    if (flags & CLONE_VM) {
        mm_get(me->mm);
        t->mm = me->mm;
    } else {
        t->mm = mm_fork();
    }
    return t->mm ? 0 : -ENOMEM;
}

/* A process for t, as a copy of current's. */
static struct process *copy_process(struct thread *t, const struct clone_request *a)
{
    struct process *from = current->process, *p = process_alloc();
    if (!p)
        return NULL;
    sighand_get(t->sighand);
    p->sighand = t->sighand;
    spin_lock(&proc_tree_lock);
    memcpy(p->rlim, from->rlim, sizeof(p->rlim));
    spin_unlock(&proc_tree_lock);
    p->personality = from->personality;
    p->oom_score_adj = from->oom_score_adj;
    p->dumpable = from->dumpable;
    p->membarrier_state = from->membarrier_state;
    p->cpu_timers_armed = p->rlim[RLIMIT_CPU_K].cur != RLIM_INFINITY_K;
    p->exit_signal = a->flags & CLONE_PARENT ? from->exit_signal : a->exit_signal;
    p->vfork_pending = (a->flags & CLONE_VFORK) != 0;
    thread_get(t);
    p->leader = t;
    return p;
}

static void link_process(struct process *p, struct thread *t, const struct clone_request *a)
{
    struct process *from = current->process;
    bool sibling = a->flags & CLONE_PARENT;
    p->parent = sibling ? from->parent : from;
    p->parent_tid = sibling ? from->parent_tid : current->tid;
    p->pgid = from->pgid;
    p->sid = from->sid;
    p->tty = from->tty;
    pid_join_groups(p);
    pid_set_thread(p->pid, t);
    if (p->parent)
        list_add_tail(&p->sibling, &p->parent->children);
    process_list_insert(p);
}

/* Numbers the child and makes it visible. -EAGAIN without a number; -ERESTARTNOINTR: a signal comes
 * first, so that a process that is being stopped or killed does not grow. */
static int link_child(struct process *p, struct thread *t, const struct clone_request *a)
{
    struct thread *me = current;
    bool is_thread = a->flags & CLONE_THREAD;
    int err = 0;
    spin_lock(&proc_tree_lock);
    struct sighand *s = thread_sighand_lock(me);
    signal_recalc(me);
    if (me->signal_pending) {
        err = -ERESTARTNOINTR;
    } else {
        if (is_thread)
            err = t->tid = pid_alloc(t, false);
        else if (a->set_tid)
            err = pid_alloc_specific(p, a->set_tid);
        else
            err = pid_alloc(p, true);
        if (err >= 0) {
            if (!is_thread) {
                t->tid = p->pid = a->set_tid ? a->set_tid : err;
                link_process(p, t, a);
            }
            list_add_tail(&t->process_link, &p->threads);
            p->nr_threads++;
            p->nr_live++;
            err = 0;
        }
    }
    spin_unlock(&s->lock);
    spin_unlock(&proc_tree_lock);
    return err;
}

static int put_pidfd(struct process *p, uaddr_t where)
{
    struct file *f = pidfd_create(p, O_RDWR_K);
    if (is_err(f))
        return (int)ptr_err(f);
    int fd = fd_install(f, 0, true);
    if (fd >= 0 && put_user((int32_t)fd, where)) {
        fd_close(fd);
        return -EFAULT;
    }
    return fd;
}

static void wait_for_vfork(struct process *child)
{
    struct thread *me = current;
    int r;
    me->in_vfork_wait = true;
    WAIT_EVENT(&child->vfork_done, !READ_ONCE(child->vfork_pending), WAIT_KILLABLE, KTIME_NEVER, r);
    (void)r; /* killed while waiting: the way out takes care */
    me->in_vfork_wait = false;
}

static int64_t do_clone(const struct clone_request *a)
{
    int err = check_flags(a);
    if (err)
        return err;
    /* Cheap to find out now, before the memory is copied. */
    if (signal_pending())
        return -ERESTARTNOINTR;
    struct thread *t = thread_alloc();
    if (!t)
        return -ENOMEM;
    struct process *p = NULL;
    bool is_thread = a->flags & CLONE_THREAD;
    int fd = -1;
    err = charge_user(t);
    if (err)
        goto fail;
    copy_thread_state(t, a);
    err = copy_resources(t, a->flags);
    if (err)
        goto fail;
    p = is_thread ? current->process : copy_process(t, a);
    if (!p) {
        err = -ENOMEM;
        goto fail;
    }
    process_get(p);
    t->process = p;
    if (a->flags & CLONE_PIDFD) {
        fd = put_pidfd(p, a->pidfd);
        if (fd < 0) {
            err = fd;
            goto fail;
        }
    }
    err = link_child(p, t, a);
    if (err)
        goto fail;

    /* From here on the child may be killed and gone at any moment: only its number is ours, and the
     * process where we wait. */
    kpid_t tid = t->tid;
    bool vfork = a->flags & CLONE_VFORK;
    if (vfork)
        process_get(p);
    if (a->flags & CLONE_PARENT_SETTID) {
        int unused =
            put_user(tid, a->parent_tid); /* as on Linux an unwritable word is the caller's loss */
        (void)unused;
    }
    sched_add_new(t);
    if (vfork) {
        wait_for_vfork(p);
        process_put(p);
    }
    return tid;

fail:
    if (fd >= 0)
        fd_close(fd);
    if (p && !is_thread) {
        p->leader = NULL;
        thread_put(t); /* the process's */
        process_put(p);
    }
    sem_undo_leave(t);
    thread_put(t);
    return err;
}

int64_t sys_fork(void)
{
    struct clone_request a = {.exit_signal = SIGCHLD};
    return do_clone(&a);
}

int64_t sys_vfork(void)
{
    struct clone_request a = {.flags = CLONE_VFORK | CLONE_VM, .exit_signal = SIGCHLD};
    return do_clone(&a);
}

int64_t sys_clone(uint64_t flags, uaddr_t stack, uaddr_t parent_tid, uaddr_t child_tid,
                  uint64_t tls)
{
    struct clone_request a = {
        .flags = flags & 0xffffffffull & ~CSIGNAL,
        .exit_signal = (int)(flags & CSIGNAL),
        .stack = stack,
        .tls = tls,
        .parent_tid = parent_tid,
        .child_tid = child_tid,
        .pidfd = parent_tid, /* the old call has one argument for both */
    };
    return do_clone(&a);
}

/* Copies a structure that grows from version to version: what we do not know must be zero. */
static int get_clone_args(struct clone_args *a, uaddr_t addr, uint64_t size)
{
    memset(a, 0, sizeof(*a));
    if (size > PAGE_SIZE)
        return -E2BIG;
    if (size < CLONE_ARGS_SIZE_VER0)
        return -EINVAL;
    for (uint64_t off = sizeof(*a); off < size; off++) {
        uint8_t byte;
        if (get_user(byte, addr + off))
            return -EFAULT;
        if (byte)
            return -E2BIG;
    }
    return copy_from_user(a, addr, k_min(size, (uint64_t)sizeof(*a)));
}

int64_t sys_clone3(uaddr_t args_addr, uint64_t size)
{
    struct clone_args args;
    int err = get_clone_args(&args, args_addr, size);
    if (err)
        return err;
    uint64_t known = 0xffffffffull | CLONE_CLEAR_SIGHAND;
    if ((args.flags & ~known) || (args.flags & (CLONE_DETACHED | (CSIGNAL & ~CLONE_NEWTIME))))
        return -EINVAL;
    if ((args.exit_signal & ~CSIGNAL) || args.exit_signal > NSIG_K)
        return -EINVAL;
    if ((args.flags & (CLONE_THREAD | CLONE_PARENT)) && args.exit_signal)
        return -EINVAL;
    if ((args.stack == 0) != (args.stack_size == 0) || !user_range_ok(args.stack, args.stack_size))
        return -EINVAL;
    struct clone_request a = {
        .flags = args.flags,
        .exit_signal = (int)args.exit_signal,
        .stack = args.stack + args.stack_size,
        .tls = args.tls,
        .parent_tid = args.parent_tid,
        .child_tid = args.child_tid,
        .pidfd = args.pidfd,
    };
    if ((args.set_tid == 0) != (args.set_tid_size == 0) || args.set_tid_size > 1)
        return -EINVAL; /* there is one level of pids */
    if (args.set_tid) {
        if (get_user(a.set_tid, args.set_tid))
            return -EFAULT;
        if (a.set_tid < 1 || (a.flags & CLONE_THREAD))
            return -EINVAL;
        if (!capable(CAP_SYS_ADMIN_K))
            return -EPERM;
    }
    return do_clone(&a);
}

int64_t sys_unshare(uint64_t flags)
{
    const uint64_t known = CLONE_THREAD | CLONE_FS | CLONE_SIGHAND | CLONE_VM | CLONE_FILES |
                           CLONE_SYSVSEM | CLONE_NAMESPACES;
    struct thread *t = current;
    if (flags & ~known)
        return -EINVAL;
    if (flags & CLONE_NAMESPACES)
        return (flags & CLONE_NEWUSER) || capable(CAP_SYS_ADMIN_K) ? -EINVAL : -EPERM;
    /* These cannot be undone in a process with several threads, or with shared memory. */
    if ((flags & (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM)) &&
        (READ_ONCE(t->process->nr_threads) > 1 || ref_read(&t->mm->ref) > 1))
        return -EINVAL;
    struct fs_context *fs = NULL;
    struct files *files = NULL;
    if (flags & CLONE_FS) {
        fs = fs_context_copy(t->fs);
        if (!fs)
            return -ENOMEM;
    }
    if (flags & CLONE_FILES) {
        files = files_copy(t->files);
        if (!files) {
            if (fs)
                fs_context_put(fs);
            return -ENOMEM;
        }
    }
    if (flags & CLONE_SYSVSEM)
        sem_undo_leave(t);
    struct fs_context *old_fs = NULL;
    struct files *old_files = NULL;
    spin_lock(&proc_tree_lock);
    if (fs) {
        old_fs = t->fs;
        t->fs = fs;
    }
    if (files) {
        old_files = t->files;
        t->files = files;
    }
    spin_unlock(&proc_tree_lock);
    if (old_fs)
        fs_context_put(old_fs);
    if (old_files)
        files_put(old_files);
    return 0;
}
