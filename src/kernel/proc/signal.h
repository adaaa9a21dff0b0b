/* SPDX-License-Identifier: Apache-2.0 */
/* Signals: numbers, sets, pending queues, actions. ABI: asm/signal.h, asm-generic/siginfo.h of
 * x86-64 Linux. */
#ifndef CELLA_KERNEL_PROC_SIGNAL_H
#define CELLA_KERNEL_PROC_SIGNAL_H

#include "base/list.h"
#include "base/ref.h"
#include "base/spinlock.h"
#include "base/types.h"
#include "proc/wait_queue.h"

typedef uint64_t sigset_k; /* bit n-1: signal n */

enum {
    SIGHUP = 1,
    SIGINT,
    SIGQUIT,
    SIGILL,
    SIGTRAP,
    SIGABRT,
    SIGBUS,
    SIGFPE,
    SIGKILL,
    SIGUSR1,
    SIGSEGV,
    SIGUSR2,
    SIGPIPE,
    SIGALRM,
    SIGTERM,
    SIGSTKFLT,
    SIGCHLD,
    SIGCONT,
    SIGSTOP,
    SIGTSTP,
    SIGTTIN,
    SIGTTOU,
    SIGURG,
    SIGXCPU,
    SIGXFSZ,
    SIGVTALRM,
    SIGPROF,
    SIGWINCH,
    SIGIO,
    SIGPWR,
    SIGSYS,
    SIGRTMIN = 32,
    SIGRTMAX = 64,
};
#define NSIG_K 64
#define SIGMASK(n) (1ull << ((n)-1))

#define SIG_DFL_K 0ull
#define SIG_IGN_K 1ull

enum {
    SA_NOCLDSTOP_K = 1,
    SA_NOCLDWAIT_K = 2,
    SA_SIGINFO_K = 4,
    SA_RESTORER_K = 0x04000000,
    SA_ONSTACK_K = 0x08000000,
    SA_RESTART_K = 0x10000000,
    SA_NODEFER_K = 0x40000000,
};
#define SA_RESETHAND_K 0x80000000ul

/* struct kernel_sigaction of rt_sigaction(2). */
struct k_sigaction {
    uint64_t handler;
    uint64_t flags;
    uint64_t restorer;
    sigset_k mask;
};

/* siginfo_t, 128 bytes. */
struct k_siginfo {
    int32_t si_signo, si_errno, si_code, pad0;
    union {
        struct {
            int32_t pid;
            uint32_t uid;
            uint64_t value;
        } rt; /* kill, sigqueue */
        struct {
            int32_t tid;
            int32_t overrun;
            uint64_t value;
            int32_t sys_private;
        } timer;
        struct {
            int32_t pid;
            uint32_t uid;
            int32_t status;
            int32_t pad;
            int64_t utime, stime;
        } chld;
        struct {
            uint64_t addr;
            int16_t addr_lsb;
            uint16_t pad[3];
            uint64_t lower, upper;
        } fault;
        struct {
            int64_t band;
            int32_t fd;
        } poll;
        struct {
            uint64_t call_addr;
            int32_t syscall;
            uint32_t arch;
        } sys;
        uint8_t bytes[112];
    };
};
_Static_assert(sizeof(struct k_siginfo) == 128, "siginfo_t");

enum {
    SI_USER_K = 0,
    SI_KERNEL_K = 0x80,
    SI_QUEUE_K = -1,
    SI_TIMER_K = -2,
    SI_MESGQ_K = -3,
    SI_ASYNCIO_K = -4,
    SI_SIGIO_K = -5,
    SI_TKILL_K = -6,
    SEGV_MAPERR_K = 1,
    SEGV_ACCERR_K = 2,
    BUS_ADRALN_K = 1,
    BUS_ADRERR_K = 2,
    BUS_OBJERR_K = 3,
    FPE_INTDIV_K = 1,
    FPE_FLTINV_K = 7,
    ILL_ILLOPN_K = 2,
    TRAP_BRKPT_K = 1,
    TRAP_TRACE_K = 2,
    CLD_EXITED_K = 1,
    CLD_KILLED_K,
    CLD_DUMPED_K,
    CLD_TRAPPED_K,
    CLD_STOPPED_K,
    CLD_CONTINUED_K
};

struct sigqueue_entry {
    struct list link;
    struct k_siginfo info;
    void *timer; /* a POSIX timer whose preallocated entry this is, NULL: freed after delivery */
    kuid_t charged_uid;
};

struct sigpending {
    sigset_k set;
    struct list queue; /* sigqueue_entry.link */
};

struct sighand {
    struct ref ref;
    spinlock_t lock;
    struct k_sigaction action[NSIG_K];
    struct wait_queue signalfd_wait;
};

struct thread;
struct process;
struct regs;

static inline void sigpending_init(struct sigpending *p)
{
    p->set = 0;
    list_init(&p->queue);
}

/* Sends to a thread, a process, a process group. info->si_signo is the signal; NULL info for
 * kernel-made ones (use signal_info_kernel). 0, -EAGAIN (queue limit, real-time only). Takes
 * sighand->lock itself; callable under proc_tree_lock. */
int signal_send_thread(struct thread *t, const struct k_siginfo *info);
int signal_send_process(struct process *p, const struct k_siginfo *info);
int signal_send_pgrp(kpid_t pgid, const struct k_siginfo *info);
/* Convenience: SI_KERNEL signals. */
int signal_kill_process(struct process *p, int sig);
/* A synchronous fault of the running thread: cannot be blocked or ignored (then the process dies).
 */
void signal_force_fault(int sig, int code, uaddr_t addr);
void signal_force_info(const struct k_siginfo *info);
/* Is a deliverable signal pending for the running thread? */
bool signal_pending(void);
bool signal_pending_fatal(void);
/* Recomputes thread->signal_pending; sighand->lock held. */
void signal_recalc(struct thread *t);
/* Changes current's mask (SIGKILL and SIGSTOP are left out) and looks for newly deliverable
 * signals. */
void signal_set_blocked(sigset_k mask);
/* ppoll, pselect, epoll_pwait, sigsuspend: a temporary mask until the way out. */
void signal_set_temporary_mask(sigset_k mask);
void signal_restore_temporary_mask(void); /* when the call was not interrupted */
/* On every way out to the workload with work pending: deliver signals, stop, die. regs are
 * current's. `rax` of an interrupted call is treated by the restart rules. */
void signal_deliver(struct regs *regs);
/* Takes the next signal of `set` pending for current: signal number (info filled) or 0. For
 * sigtimedwait, signalfd. */
int signal_dequeue(sigset_k set, struct k_siginfo *info);
/* kernel_fault: what the next signal frame's sigcontext tells about the fault. */
struct hal_fault;
void signal_note_fault(const struct hal_fault *fault);
struct sighand *sighand_alloc(void);                /* default actions, ref 1 */
struct sighand *sighand_copy(struct sighand *from); /* for fork */
void sighand_get(struct sighand *s);
void sighand_put(struct sighand *s);
void signal_flush_handlers_on_exec(struct sighand *s); /* handlers become SIG_DFL */
void sigpending_flush(struct sigpending *p);

#endif
