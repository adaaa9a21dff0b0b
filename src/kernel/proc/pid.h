/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The numbers of threads, processes, process groups and sessions: one table, indexed by the number,
 * under proc_tree_lock. A number is free again when none of the four uses it any more.
 */
#ifndef CELLA_KERNEL_PROC_PID_H
#define CELLA_KERNEL_PROC_PID_H

#include "proc/task.h"

#define PID_MAX_K 32768

/* All of these need proc_tree_lock; none counts references. */

/* Takes the wanted number for a process and its leader. 0, -EINVAL (out of range), -EEXIST. */
int pid_alloc_specific(struct process *p, kpid_t wanted);
void pid_set_thread(kpid_t tid, struct thread *t);
void pid_free_thread(kpid_t tid);
void pid_free_process(kpid_t pid);
/* Puts p into the group and session p->pgid, p->sid; takes it out of them. */
void pid_join_groups(struct process *p);
void pid_leave_groups(struct process *p);
/* Moves p to another group, or another group and session. */
void pid_change_pgrp(struct process *p, kpid_t pgid);
void pid_change_session(struct process *p, kpid_t sid);
/* Has the group (session) any member? */
bool pid_is_pgrp(kpid_t pgid);
bool pid_is_session(kpid_t sid);
/* The number handed out last, and the count of live threads (for /proc/loadavg, sysinfo). */
kpid_t pid_last(void);
/* Threads and processes made since boot. */
uint64_t pid_nr_created(void);
uint32_t pid_nr_threads(void);

/* All processes but the kernel's, in pid order (process.all_link). */
extern struct list process_list;
void process_list_insert(struct process *p);

/* A process without threads, ref 1, not in any list; NULL without memory. */
struct process *process_alloc(void);
/* Takes a zombie out of everything; proc_tree_lock held. The caller puts the reference that the
 * tables held, outside of the lock. */
void process_unlink(struct process *p);

/* Threads, and their signal queue entries, are counted per real uid (RLIMIT_NPROC,
 * RLIMIT_SIGPENDING). */
enum user_counter {
    USER_THREADS,
    USER_SIGPENDING,
    USER_INOTIFY_INSTANCES,
    USER_INOTIFY_WATCHES,
    USER_MSGQUEUE, /* bytes */
    USER_NR_COUNTERS
};
/* Adds delta and returns the count after it; -ENOMEM when no counter could be made (then nothing
 * was added). */
int64_t user_count_add(kuid_t uid, enum user_counter which, int64_t delta);

/* proc/cred.c: full credentials of root, ref 1. */
struct cred *cred_new_root(void);
/* time/itimer.c: all timers of a process that ends; sleeps. */
void process_timers_release(struct process *p);
/* time/posix_timer.c: execve deletes the POSIX timers. */
void posix_timers_delete_all(struct process *p);
/* proc/pidfd.c */
struct file *pidfd_create(struct process *p, uint32_t flags);
/* The process of a pidfd, counted; err_ptr(-EBADF) when fd is no pidfd. *file_flags (may be NULL):
 * its O_* flags. */
struct process *pidfd_get_process(int fd, uint32_t *file_flags);
/* Restart function of a thread that has nothing to restart: -EINTR. */
long restart_none(struct thread *t);

#endif
