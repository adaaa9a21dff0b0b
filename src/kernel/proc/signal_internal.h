/* SPDX-License-Identifier: Apache-2.0 */
/* What the files proc/signal*.c, exit.c and the timers share. Locks: see proc/signal.c. */
#ifndef CELLA_KERNEL_PROC_SIGNAL_INTERNAL_H
#define CELLA_KERNEL_PROC_SIGNAL_INTERNAL_H

#include "proc/signal.h"
#include "proc/task.h"

enum { SS_ONSTACK_K = 1, SS_DISABLE_K = 2 };
#define SS_AUTODISARM_K 0x80000000u
#define MINSIGSTKSZ_K 2048

#define SIGSET_STOP (SIGMASK(SIGSTOP) | SIGMASK(SIGTSTP) | SIGMASK(SIGTTIN) | SIGMASK(SIGTTOU))
#define SIGSET_IGNORED_BY_DEFAULT                                                                  \
    (SIGMASK(SIGCONT) | SIGMASK(SIGCHLD) | SIGMASK(SIGWINCH) | SIGMASK(SIGURG))
#define SIGSET_UNBLOCKABLE (SIGMASK(SIGKILL) | SIGMASK(SIGSTOP))
/* Those that a fault raises: delivered before all others, so that the frame's registers are those
 * of the fault. */
#define SIGSET_SYNCHRONOUS                                                                         \
    (SIGMASK(SIGSEGV) | SIGMASK(SIGBUS) | SIGMASK(SIGILL) | SIGMASK(SIGTRAP) | SIGMASK(SIGFPE) |   \
     SIGMASK(SIGSYS))

/* Locks and returns the sighand of p (of t). */
struct sighand *process_sighand_lock(struct process *p);
struct sighand *thread_sighand_lock(struct thread *t);

/* signal_send_*: what became of the signal. */
enum { SIGNAL_SENT = 0, SIGNAL_IGNORED = 1, SIGNAL_ALREADY_PENDING = 2 };

/* SI_USER, SI_TKILL: who sends. */
struct k_siginfo signal_info_from_current(int sig, int code);
/* With the checks of kill(2): -EINVAL, -EPERM; signal 0 only asks. proc_tree_lock held. */
int signal_send_checked(struct process *p, const struct k_siginfo *info);
/* May current send this si_code to another thread (process) `target`? */
bool signal_may_claim(const struct k_siginfo *info, kpid_t target);
/* Queues a POSIX timer's own entry for t, or for p when t is NULL. SIGNAL_*. Takes sighand->lock.
 */
int signal_send_timer(struct process *p, struct thread *t, struct sigqueue_entry *entry);
/* The timer goes away: a queued entry becomes an ordinary one and is freed after delivery; true
 * then (do not free it). */
bool signal_disown_timer_entry(struct process *p, struct sigqueue_entry *entry);
/* A queue entry charged to uid's RLIMIT_SIGPENDING of current's process; NULL above it (unless
 * override) or without memory. */
struct sigqueue_entry *sigqueue_alloc(kuid_t uid, uint64_t limit, bool override);
void sigqueue_free(struct sigqueue_entry *e);

/* Removes the signals of `set` from p. sighand->lock held. */
void sigpending_remove(struct sigpending *p, sigset_k set);
/* Removes them from the process and all of its threads. sighand->lock held. */
void process_flush_signals(struct process *p, sigset_k set);
/* Takes the next signal of `set` for current with the lock held; *timer: its POSIX timer wants
 * rearming. */
int signal_dequeue_locked(struct thread *t, sigset_k set, struct k_siginfo *info, bool *timer);
/* What a dequeued signal sets going again: interval timers. No lock held. */
void signal_dequeued(int sig, struct k_siginfo *info, bool timer);
bool signal_is_ignored(const struct sighand *s, int sig);
/* Every thread of p but `except` dies at its next way out; sleeping ones wake. sighand->lock held.
 */
void process_kill_threads(struct process *p, struct thread *except);
/* One thread less can stop. sighand->lock held. True: the stop is complete, tell the parent
 * (process_notify_parent_stop). */
bool process_stop_check(struct process *p);
/* Tells p's parent of CLD_STOPPED or CLD_CONTINUED. No lock held. */
void process_notify_parent_stop(struct process *p, int why);
/* Is pgrp orphaned, p not counted (NULL: all counted)? proc_tree_lock held. */
bool pgrp_is_orphaned(kpid_t pgid, const struct process *p);
/* How many processes stand still now; exit looks for orphaned stopped groups only when there are
 * any. */
extern int32_t nr_stopped_processes;

/* proc/signal_frame.c: builds the handler's frame and points regs to the handler. 0 or -EFAULT. */
int signal_frame_setup(struct regs *regs, int sig, const struct k_sigaction *action,
                       const struct k_siginfo *info, sigset_k mask);
/* Copies for the workload: without the kernel's own members. */
int siginfo_to_user(uaddr_t addr, const struct k_siginfo *info);

/* time/posix_timer.c: its signal was taken; fills si_overrun and starts the next interval. */
void posix_timer_dequeued(struct process *p, struct k_siginfo *info);
/* time/itimer.c: SIGALRM was taken; starts the next interval of ITIMER_REAL. */
void itimer_real_dequeued(struct process *p);

#endif
