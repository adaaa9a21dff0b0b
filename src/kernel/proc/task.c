/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads and processes as objects: making them, counting references, taking them apart; kernel
 * threads.
 *
 * References. A thread is born with one, which the scheduler drops when it has switched away from
 * the dead thread for the last time (its stack is in use until then). Each thread counts its
 * process; a process counts its leader, from birth until it is reaped, because the leader's number
 * and credentials are the process's. A process is born with one reference for the tables, dropped
 * by who reaps it.
 */
#include "proc/task.h"

#include "arch/x86_64/cpu.h"
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/string.h"
#include "fs/vfs.h"
#include "mm/mm.h"
#include "proc/cpus.h"
#include "proc/pid.h"
#include "proc/signal_internal.h"

#define KSTACK_PAGES (KSTACK_SIZE / PAGE_SIZE)

spinlock_t proc_tree_lock = SPINLOCK_INIT;
struct process *init_process;

/* Owns kernel threads, so that code that asks current->process finds one. Made by the first
 * kthread_start. */
struct process *kernel_process;

static size_t xstate_pages(void)
{
    return PAGE_ALIGN(arch_xstate_size()) / PAGE_SIZE;
}

long restart_none(struct thread *t)
{
    return -EINTR;
}

struct thread *thread_alloc(void)
{
    struct thread *t = kzalloc(sizeof(*t));
    if (!t)
        return NULL;
    t->kstack = kpages_alloc(KSTACK_PAGES);
    t->xstate = kpages_alloc(xstate_pages());
    if (!t->kstack || !t->xstate) {
        if (t->kstack)
            kpages_free(t->kstack, KSTACK_PAGES);
        if (t->xstate)
            kpages_free(t->xstate, xstate_pages());
        kfree(t);
        return NULL;
    }
    /* XSAVE leaves the reserved part of the header as it is, and XRSTOR insists on zeros there. */
    memset(t->xstate, 0, arch_xstate_size());
    memset(thread_regs(t), 0, sizeof(struct regs));
    t->state = THREAD_RUNNABLE;
    spin_init(&t->wake_lock);
    for (unsigned i = 0; i < ARRAY_LEN(t->affinity); i++)
        t->affinity[i] = UINT64_MAX;
    ref_init(&t->ref, 1);
    list_init(&t->rq_link);
    list_init(&t->process_link);
    list_init(&t->pi_owned);
    sigpending_init(&t->pending);
    t->altstack_flags = SS_DISABLE_K;
    t->restart.fn = restart_none;
    t->timer_slack_ns = 50000;
    t->start_time = time_mono_ns();
    t->charged_uid = UINT32_MAX;
    arch_thread_prepare(t);
    return t;
}

void thread_get(struct thread *t)
{
    ref_get(&t->ref);
}

void thread_put(struct thread *t)
{
    if (!ref_put(&t->ref))
        return;
    sigpending_flush(&t->pending);
    /* After a whole life these are gone already; a thread that was never started still has them. */
    if (t->mm)
        mm_put(t->mm);
    if (t->files)
        files_put(t->files);
    if (t->fs)
        fs_context_put(t->fs);
    if (t->sighand)
        sighand_put(t->sighand);
    if (t->charged_uid != UINT32_MAX)
        user_count_add(t->charged_uid, USER_THREADS, -1);
    if (t->cred)
        cred_put(t->cred);
    if (t->process)
        process_put(t->process);
    kpages_free(t->kstack, KSTACK_PAGES);
    kpages_free(t->xstate, xstate_pages());
    kfree(t);
}

struct process *process_alloc(void)
{
    struct process *p = kzalloc(sizeof(*p));
    if (!p)
        return NULL;
    ref_init(&p->ref, 1);
    list_init(&p->threads);
    list_init(&p->children);
    list_init(&p->sibling);
    list_init(&p->all_link);
    sigpending_init(&p->shared_pending);
    wait_queue_init(&p->child_wait);
    wait_queue_init(&p->exec_wait);
    wait_queue_init(&p->vfork_done);
    wait_queue_init(&p->pidfd_wait);
    p->start_time = time_mono_ns();
    p->dumpable = true;
    return p;
}

void process_get(struct process *p)
{
    ref_get(&p->ref);
}

void process_put(struct process *p)
{
    if (!ref_put(&p->ref))
        return;
    process_timers_release(p);
    sigpending_flush(&p->shared_pending);
    if (p->sighand)
        sighand_put(p->sighand);
    kfree(p);
}

void process_unlink(struct process *p)
{
    p->reaped = true;
    pid_leave_groups(p);
    if (p->leader)
        pid_free_thread(p->pid);
    pid_free_process(p->pid);
    list_del(&p->all_link);
    list_del(&p->sibling);
    if (p->leader)
        list_del(&p->leader->process_link);
}

/* ---- what other threads may be letting go of ---- */

struct mm *process_mm_get(struct process *p)
{
    struct thread *t;
    struct mm *mm = NULL;
    spin_lock(&proc_tree_lock);
    list_for_each (t, &p->threads, process_link)
        if (t->mm) {
            mm = t->home_mm ? t->home_mm : t->mm;
            mm_get(mm);
            break;
        }
    spin_unlock(&proc_tree_lock);
    return mm;
}

struct files *process_files_get(struct process *p)
{
    struct thread *t;
    struct files *files = NULL;
    spin_lock(&proc_tree_lock);
    list_for_each (t, &p->threads, process_link)
        if (t->files) {
            files = t->files;
            files_get(files);
            break;
        }
    spin_unlock(&proc_tree_lock);
    return files;
}

struct cred *thread_cred_get(struct thread *t)
{
    spin_lock(&proc_tree_lock);
    struct cred *c = t->cred;
    if (c)
        cred_get(c);
    spin_unlock(&proc_tree_lock);
    return c;
}

/* ---- CPU time ---- */

static spinlock_t cpu_times_lock = SPINLOCK_INIT; /* the innermost lock */

/* The division into two parts is a sample that later ticks correct. Neither part may go back for
 * that, so the other one waits for it. */
static void never_back(struct cpu_times *shown, uint64_t *utime_ns, uint64_t *stime_ns)
{
    uint64_t sum = *utime_ns + *stime_ns;
    spin_lock(&cpu_times_lock);
    if (sum > shown->utime_ns + shown->stime_ns) {
        shown->stime_ns = k_min(k_max(*stime_ns, shown->stime_ns), sum - shown->utime_ns);
        shown->utime_ns = sum - shown->stime_ns;
    }
    *utime_ns = shown->utime_ns;
    *stime_ns = shown->stime_ns;
    spin_unlock(&cpu_times_lock);
}

/* The run time is exact. What part of it the kernel had is what part of the ticks met it: a system
 * call then pays nothing. */
static void sampled_times(const struct thread *t, uint64_t *utime_ns, uint64_t *stime_ns)
{
    uint64_t run = READ_ONCE(t->run_ns), kernel = READ_ONCE(t->kernel_ticks),
             all = kernel + READ_ONCE(t->user_ticks);
    /* A running thread's last stretch is not yet in its sums. */
    ktime_t since = READ_ONCE(t->acct_since);
    const struct cpu *c = &cpus[READ_ONCE(t->cpu)];
    if (READ_ONCE(t->on_cpu) && since != 0) {
        ktime_t now = time_mono_ns();
        if (now > since)
            run += now - since;
        if (READ_ONCE(c->thread) == t) {
            uint32_t more = READ_ONCE(c->kernel_ticks);
            kernel += more;
            all += more + READ_ONCE(c->user_ticks);
        }
    }
    /* Divided first: no product overflows in the life of a keep. */
    *stime_ns = all ? run / all * kernel + run % all * kernel / all : 0;
    *utime_ns = run - *stime_ns;
}

void thread_cpu_times(struct thread *t, uint64_t *utime_ns, uint64_t *stime_ns)
{
    sampled_times(t, utime_ns, stime_ns);
    never_back(&t->shown, utime_ns, stime_ns);
}

void process_cpu_times(struct process *p, uint64_t *utime_ns, uint64_t *stime_ns)
{
    struct thread *t;
    struct sighand *s = process_sighand_lock(p);
    uint64_t user = p->utime_ns, system = p->stime_ns;
    list_for_each (t, &p->threads, process_link) {
        uint64_t u, k;
        if (t->exiting && t->state == THREAD_DEAD)
            continue; /* a dead leader: already in the sums */
        sampled_times(t, &u, &k);
        user += u;
        system += k;
    }
    spin_unlock(&s->lock);
    never_back(&p->shown, &user, &system);
    *utime_ns = user;
    *stime_ns = system;
}

/* ---- first steps ---- */

void thread_first_run(void)
{
    struct thread *t = current;
    if (t->kthread_fn) {
        void (*fn)(void *) = t->kthread_fn;
        t->kthread_fn = NULL;
        fn(t->kthread_arg);
        if (t->process->is_kernel)
            thread_exit(0);
    }
    if (t->set_child_tid) {
        /* Nobody could be told of a failure. */
        int unused = put_user(t->tid, t->set_child_tid);
        (void)unused;
        t->set_child_tid = 0;
    }
}

/* ---- kernel threads ---- */

static struct process *kernel_process_get(void)
{
    static spinlock_t lock = SPINLOCK_INIT;
    spin_lock(&lock);
    if (!kernel_process) {
        struct process *p = process_alloc();
        if (p) {
            p->is_kernel = true;
            p->sighand = sighand_alloc();
            for (int i = 0; i < NR_RLIMITS; i++)
                p->rlim[i] = (struct k_rlimit){RLIM_INFINITY_K, RLIM_INFINITY_K};
            if (!p->sighand) {
                process_put(p);
                p = NULL;
            }
        }
        kernel_process = p;
    }
    spin_unlock(&lock);
    return kernel_process;
}

struct thread *kthread_start(const char *name, void (*fn)(void *), void *arg)
{
    struct process *p = kernel_process_get();
    struct thread *t = p ? thread_alloc() : NULL;
    if (!t)
        return NULL;
    t->cred = cred_new_root();
    if (!t->cred) {
        thread_put(t);
        return NULL;
    }
    process_get(p);
    t->process = p;
    sighand_get(p->sighand);
    t->sighand = p->sighand;
    t->blocked = ~0ull;
    k_strlcpy(t->comm, name, sizeof(t->comm));
    t->kthread_fn = fn;
    t->kthread_arg = arg;
    thread_get(t); /* the caller's */
    sched_add_new(t);
    return t;
}

void kthread_interrupt(struct thread *t)
{
    __atomic_store_n(&t->exit_requested, true, __ATOMIC_SEQ_CST);
    __atomic_store_n(&t->signal_pending, true, __ATOMIC_SEQ_CST);
    thread_wake_if(t, 1u << THREAD_INTERRUPTIBLE | 1u << THREAD_KILLABLE);
}

/* ---- pid 1, and others without parent ---- */

static const struct {
    int which;
    struct k_rlimit limit;
} init_limits[] = {
    {RLIMIT_STACK_K, {8ull << 20, RLIM_INFINITY_K}},
    {RLIMIT_CORE_K, {0, RLIM_INFINITY_K}},
    {RLIMIT_NPROC_K, {PID_MAX_K / 2, PID_MAX_K / 2}},
    {RLIMIT_NOFILE_K, {1024, 1048576}},
    {RLIMIT_MEMLOCK_K, {8ull << 20, 8ull << 20}},
    {RLIMIT_SIGPENDING_K, {PID_MAX_K / 2, PID_MAX_K / 2}},
    {RLIMIT_MSGQUEUE_K, {819200, 819200}},
    {RLIMIT_NICE_K, {0, 0}},
    {RLIMIT_RTPRIO_K, {0, 0}},
};

struct process *process_create_root(const char *comm)
{
    struct process *p = process_alloc();
    struct thread *t = thread_alloc();
    if (p)
        p->sighand = sighand_alloc();
    if (t)
        t->cred = cred_new_root();
    if (!p || !t || !p->sighand || !t->cred) {
        if (p)
            process_put(p);
        if (t)
            thread_put(t);
        return NULL;
    }
    for (int i = 0; i < NR_RLIMITS; i++)
        p->rlim[i] = (struct k_rlimit){RLIM_INFINITY_K, RLIM_INFINITY_K};
    for (size_t i = 0; i < ARRAY_LEN(init_limits); i++)
        p->rlim[init_limits[i].which] = init_limits[i].limit;
    sighand_get(p->sighand);
    t->sighand = p->sighand;
    process_get(p);
    t->process = p;
    thread_get(t);
    p->leader = t;
    p->exit_signal = SIGCHLD;
    if (user_count_add(0, USER_THREADS, 1) >= 0)
        t->charged_uid = 0;
    k_strlcpy(t->comm, comm, sizeof(t->comm));

    spin_lock(&proc_tree_lock);
    kpid_t pid = pid_alloc(p, true);
    if (pid < 0) {
        spin_unlock(&proc_tree_lock);
        p->leader = NULL;
        thread_put(t); /* the process's */
        process_put(p);
        thread_put(t);
        return NULL;
    }
    p->pid = t->tid = pid;
    pid_set_thread(t->tid, t);
    p->pgid = p->sid = p->pid;
    pid_join_groups(p);
    list_add_tail(&t->process_link, &p->threads);
    p->nr_threads = p->nr_live = 1;
    process_list_insert(p);
    spin_unlock(&proc_tree_lock);
    return p;
}

struct process *process_create_init(void)
{
    init_process = process_create_root("init");
    return init_process;
}
