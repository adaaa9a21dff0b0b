/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads and processes.
 *
 * A thread is what the scheduler runs; a process is a thread group with its pending signals, its
 * children, its limits. What clone() may share stands in objects of its own with reference counts:
 * mm, files, fs_context, sighand.
 *
 * Locks, in order:
 *   proc_tree_lock    (spin) parent/child/thread/pgrp/session links, exit and stop states, pid
 * table sighand->lock     (spin) actions, pending sets and queues of all threads that share it,
 * process->shared_pending, timers' links run queue lock    (spin)
 */
#ifndef CELLA_KERNEL_PROC_TASK_H
#define CELLA_KERNEL_PROC_TASK_H

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/regs.h"
#include "base/list.h"
#include "base/ref.h"
#include "base/spinlock.h"
#include "proc/sched.h"
#include "proc/signal.h"
#include "proc/wait_queue.h"
#include "time/time.h"

struct file;
struct files;
struct fs_context;
struct mm;
struct inode;
struct session;
struct tty;

#ifdef __SANITIZE_ADDRESS__
#define KSTACK_SIZE (128 * 1024ul) /* frames with red zones, and the reports of the sanitizers */
#else
#define KSTACK_SIZE (16 * 1024ul)
#endif
#define TASK_COMM_LEN 16
#define NGROUPS_MAX_K 65536
#define NR_RLIMITS 16

enum {
    RLIMIT_CPU_K = 0,
    RLIMIT_FSIZE_K,
    RLIMIT_DATA_K,
    RLIMIT_STACK_K,
    RLIMIT_CORE_K,
    RLIMIT_RSS_K,
    RLIMIT_NPROC_K,
    RLIMIT_NOFILE_K,
    RLIMIT_MEMLOCK_K,
    RLIMIT_AS_K,
    RLIMIT_LOCKS_K,
    RLIMIT_SIGPENDING_K,
    RLIMIT_MSGQUEUE_K,
    RLIMIT_NICE_K,
    RLIMIT_RTPRIO_K,
    RLIMIT_RTTIME_K,
};
#define RLIM_INFINITY_K UINT64_MAX
struct k_rlimit {
    uint64_t cur, max;
};

/* Immutable once published; changed by replacing thread->cred with a modified copy (cred_prepare,
 * cred_commit). */
struct cred {
    struct ref ref;
    kuid_t uid, euid, suid, fsuid;
    kgid_t gid, egid, sgid, fsgid;
    uint64_t cap_effective, cap_permitted, cap_inheritable, cap_bounding, cap_ambient;
    bool no_new_privs;
    uint32_t securebits;
    uint32_t nr_groups;
    kgid_t *groups; /* sorted */
};

enum {
    CAP_CHOWN_K = 0,
    CAP_DAC_OVERRIDE_K = 1,
    CAP_DAC_READ_SEARCH_K = 2,
    CAP_FOWNER_K = 3,
    CAP_FSETID_K = 4,
    CAP_KILL_K = 5,
    CAP_SETGID_K = 6,
    CAP_SETUID_K = 7,
    CAP_SETPCAP_K = 8,
    CAP_LINUX_IMMUTABLE_K = 9,
    CAP_NET_BIND_SERVICE_K = 10,
    CAP_IPC_LOCK_K = 14,
    CAP_IPC_OWNER_K = 15,
    CAP_SYS_CHROOT_K = 18,
    CAP_SYS_PTRACE_K = 19,
    CAP_SYS_ADMIN_K = 21,
    CAP_SYS_NICE_K = 23,
    CAP_SYS_RESOURCE_K = 24,
    CAP_SYS_TIME_K = 25,
    CAP_SYS_TTY_CONFIG_K = 26,
    CAP_MKNOD_K = 27,
    CAP_LAST_K = 40
};
#define CAP_FULL_SET ((2ull << CAP_LAST_K) - 1)

/* CPU time as last told to anybody. */
struct cpu_times {
    uint64_t utime_ns, stime_ns;
};

/* A process group and a session are identified by the struct pid_ref of their leader's number. */
struct process {
    struct ref ref;
    kpid_t pid;
    struct list threads; /* thread.process_link */
    int nr_threads;      /* live ones */
    struct thread *leader;

    struct process *parent; /* changed under proc_tree_lock */
    struct list children;   /* process.sibling */
    struct list sibling;
    struct list all_link; /* of the list of all processes */
    kpid_t pgid, sid;
    bool has_execed;
    bool is_subreaper;
    struct tty *tty;     /* controlling terminal, NULL: none (dev/tty_jobs.c) */
    kpid_t tty_old_pgrp; /* of a session's leader: the foreground group when its terminal hung up */

    struct wait_queue child_wait;  /* waitid and its kin sleep here */
    int exit_signal;               /* to the parent at exit; SIGCHLD, 0 or another */
    int exit_code;                 /* wait status form */
    bool exiting;                  /* exit_group or fatal signal under way */
    bool zombie;                   /* all threads are gone, not yet waited for */
    int stop_signal;               /* job control: stopped by this; 0: not stopped */
    bool stop_reported, continued; /* pending WUNTRACED / WCONTINUED reports */
    struct thread *exec_thread;    /* the thread that is killing the others for execve */

    struct sighand
        *sighand;       /* that of its threads; replaced only by execve, see process_sighand_lock */
    int nr_live;        /* threads that have not begun to exit (sighand->lock) */
    int nr_stopped;     /* threads that stand still for job control (sighand->lock) */
    bool stop_complete; /* all live threads do */
    uint8_t notify_parent; /* CLD_STOPPED or CLD_CONTINUED that a thread has yet to tell the parent
                              (sighand->lock) */
    uint32_t continue_seq; /* counts SIGCONT: a stop that was dequeued before one is void */
    bool reaped;           /* waited for; its pid may be somebody else's */
    bool is_kernel;        /* the process of the kernel's own threads */
    kpid_t parent_tid;     /* the parent's thread that created it (__WNOTHREAD, PDEATHSIG) */
    struct wait_queue exec_wait; /* exec_thread waits for the others here */
    struct sigpending shared_pending;
    struct k_rlimit rlim[NR_RLIMITS];
    bool cpu_timers_armed;     /* a hint: itimer_tick has something to look at */
    uint32_t membarrier_state; /* registered MEMBARRIER_CMD_* */
    uint64_t nr_voluntary, nr_involuntary, child_nr_voluntary,
        child_nr_involuntary; /* of threads that are gone */
    struct process_timers
        *timers; /* interval and POSIX timers: time/itimer.c, time/posix_timer.c */
    ktime_t start_time;
    uint64_t utime_ns, stime_ns; /* of threads that are gone */
    struct cpu_times shown;      /* under cpu_times_lock of proc/task.c */
    uint64_t child_utime_ns, child_stime_ns;
    uint64_t min_flt, maj_flt, child_min_flt, child_maj_flt;
    uint64_t max_rss_kib, child_max_rss_kib;
    uint64_t nr_host_traps, nr_patched_calls; /* for --stats */
    uint64_t io_rchar, io_wchar, io_syscr, io_syscw;
    uint32_t personality;
    int oom_score_adj;
    uint64_t rss_pages; /* resident set when last sampled, mm/oom.c */
    bool dumpable;
    struct wait_queue vfork_done; /* woken when this process execs or exits */
    bool vfork_pending;
    struct wait_queue pidfd_wait; /* pollers of pidfds */
    struct session *session;      /* whose first process it is (proc/sessions.c); or NULL */
};

struct thread {
    struct list rq_link; /* run queue */
    struct hal_context hctx;
    uint8_t state; /* enum thread_state */
    bool on_cpu;   /* its stack or registers are in use by a CPU */
    bool queued;   /* in a run queue */
    bool running;  /* chosen by a CPU and not yet given up; with state and queued under wake_lock */
    ktime_t queued_at;
    bool fpu_saved;       /* xstate holds the extended state; else it is live in `cpu` */
    uint32_t cpu;         /* the last one */
    spinlock_t wake_lock; /* state, queued */
    int nice;
    int sched_policy, rt_priority;
    ktime_t turn_end;  /* SCHED_RR: of the turn that it has begun */
    uint64_t vruntime; /* ns, in the scale of `cpu` (proc/sched.c) */
    bool sched_reset_on_fork;
    uint64_t affinity[HAL_MAX_CPUS / 64];

    void *kstack; /* KSTACK_SIZE bytes; the entry frame is at its top */
    void *xstate; /* arch_xstate_size() bytes */
    uint64_t fs_base;

    struct ref ref;
    kpid_t tid;
    struct process *process;
    struct list process_link;
    char comm[TASK_COMM_LEN];

    struct mm *mm;      /* NULL: a kernel thread, or exited */
    struct mm *home_mm; /* while the thread stays in another address space (fs/proc_mm.c): its own;
                           under proc_tree_lock */
    struct files *files;
    struct fs_context *fs;
    struct sighand *sighand;
    struct cred *cred;

    struct sigpending pending;
    sigset_k blocked, saved_blocked; /* saved: by sigsuspend, ppoll...; restored after the handler
                                        frame is built */
    sigset_k sigwait_set;            /* what sigtimedwait waits for */
    uaddr_t altstack_sp;
    uint64_t altstack_size;
    int altstack_flags;
    int pdeath_signal;
    /* What the way out looks at; one word, so that one test will do. */
    union {
        struct {
            bool signal_pending;  /* a hint: recheck on the way out */
            bool exit_requested;  /* dies at the next way out */
            bool restore_blocked; /* saved_blocked is to become blocked */
            bool rseq_dirty; /* it was switched away from since it last looked at its rseq area */
        };
        uint32_t exit_work;
    };
    bool in_vfork_wait;
    bool exiting;       /* past the point where it takes signals (sighand->lock) */
    bool stopped;       /* stands still for job control; counted in process->nr_stopped */
    kuid_t charged_uid; /* whose RLIMIT_NPROC count it is in */
    int ioprio;
    uint32_t trap_nr, trap_error; /* of the last fault, for signal frames: signal_note_fault */
    uint64_t trap_cr2;

    /* Restart of a call that cannot simply be called again (nanosleep, poll, futex wait). */
    struct {
        long (*fn)(struct thread *t);
        uint64_t arg[6];
    } restart;

    uaddr_t clear_child_tid;
    uaddr_t set_child_tid; /* a new thread stores its tid there before anything else */
    uaddr_t robust_list;
    size_t robust_list_len;
    uaddr_t rseq; /* the registered area (proc/rseq.c); 0: none */
    uint32_t rseq_len, rseq_signature;
    uint32_t rseq_cpu; /* the CPU's number that stands in the area; UINT32_MAX: unknown */
    int exit_code;
    uint64_t run_ns;                   /* up to the last switch to it */
    uint64_t user_ticks, kernel_ticks; /* what the ticks of that time have met; the times of its two
                                          parts are derived from them */
    struct cpu_times shown;
    ktime_t acct_since;
    uint64_t nr_voluntary, nr_involuntary;
    ktime_t start_time;
    uint64_t timer_slack_ns;

    void (*kthread_fn)(void *arg); /* kernel threads */
    void *kthread_arg;
    struct futex_waiter *futex; /* while it waits */
    struct list pi_owned;       /* PI futexes it owns */
    struct sem_undo_list *sem_undo; /* ipc/sem.c; NULL: nothing to take back */
};

static inline struct regs *thread_regs(const struct thread *t)
{
    return (struct regs *)((char *)t->kstack + KSTACK_SIZE - sizeof(struct regs));
}

extern spinlock_t proc_tree_lock;

/* ---- life (proc/task.c) ---- */

/* A thread with a kernel stack and no process yet; NULL without memory. */
struct thread *thread_alloc(void);
void thread_get(struct thread *t);
void thread_put(struct thread *t);
/* For a block: THREAD_REF(t, x) declares t, which x has counted (or NULL), and which is put where the
 * block is left. */
static inline void thread_ref_put(struct thread *const *t)
{
    if (*t)
        thread_put(*t);
}
#define THREAD_REF(t, x) struct thread *const t __attribute__((cleanup(thread_ref_put))) = (x)
void process_get(struct process *p);
void process_put(struct process *p);
/* Starts a kernel thread; fn returns when it ends. Runs in whatever address space is current. */
struct thread *kthread_start(const char *name, void (*fn)(void *), void *arg);
/* From now on killable and interruptible sleeps of this kernel thread end with -ERESTARTSYS. */
void kthread_interrupt(struct thread *t);
/* The following return a counted reference or NULL. */
struct thread *thread_find(kpid_t tid);
struct process *process_find(kpid_t pid);
kpid_t pid_alloc(void *owner_thread_or_process, bool is_process);
/* Calls fn for every live process with proc_tree_lock held, in pid order, until it returns
 * non-zero; returns that. */
int process_for_each(int (*fn)(struct process *p, void *arg), void *arg);
extern struct process *init_process; /* pid 1 of the keep */

/* The process of kernel threads: pid 0, never in the list. */
extern struct process *kernel_process;
/* Makes pid 1 with one thread: full credentials, default limits, its own group and session, no mm,
 * files or fs yet. The caller sets those and leader->kthread_fn (it runs first, typically execve;
 * when it returns the thread goes to the workload), then calls sched_add_new(p->leader). NULL
 * without memory. */
struct process *process_create_init(void);
/* The same with any number and without parent, for a program of the host's (proc/sessions.c). */
struct process *process_create_root(const char *comm);
/* With proc_tree_lock held; not counted; NULL when there is none. */
struct thread *thread_find_locked(kpid_t tid);
struct process *process_find_locked(kpid_t pid);
/* Used CPU time of all threads, living and gone. Neither part ever goes back from one call to the
 * next. */
void process_cpu_times(struct process *p, uint64_t *utime_ns, uint64_t *stime_ns);
void thread_cpu_times(struct thread *t, uint64_t *utime_ns, uint64_t *stime_ns);
/* The kernel's own counted references to what other threads may be letting go of (exit, execve):
 * NULL when gone. */
struct mm *process_mm_get(struct process *p);
struct files *process_files_get(struct process *p);
struct cred *thread_cred_get(struct thread *t);

/* Thread entry used by fork and kthread_start: first code of a new thread (assembly calls it on its
 * stack). */
void thread_first_run(void);

/* ---- ending (proc/exit.c) ---- */

/* Ends the calling thread; code is a wait status. */
void thread_exit(int wait_status) __attribute__((noreturn));
/* Ends the whole process. */
void process_exit_group(int wait_status) __attribute__((noreturn));
/* Asks every other thread of the current process to die and waits until they are gone (execve). 0
 * or -EAGAIN. */
int process_kill_other_threads(void);

/* After execve has left the old address space, or at exit: the parent of a vfork goes on. */
void process_vfork_release(struct process *p);

/* ---- interfaces of other files of this part ---- */

/* The workload is over (main.c); status as from wait(2). */
void keep_exit(int wait_status) __attribute__((noreturn));

/* ---- credentials (proc/cred.c) ---- */

struct cred *cred_prepare(void);  /* a private copy of current's, ref 1, or NULL */
void cred_commit(struct cred *c); /* becomes current's; consumes the reference */
void cred_get(struct cred *c);
void cred_put(struct cred *c);
bool capable(int cap);                                /* current has the capability in effect */
bool cred_in_group(const struct cred *c, kgid_t gid); /* fsgid or supplementary */

/* May current send a signal to / look into p? proc_tree_lock is held. */
bool process_may_signal(struct process *p, int sig);

static inline uint64_t rlimit_cur(int which)
{
    return READ_ONCE(current->process->rlim[which].cur);
}

#endif
