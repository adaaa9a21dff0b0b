/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of /proc share among themselves. */
#ifndef CELLA_KERNEL_FS_PROCFS_H
#define CELLA_KERNEL_FS_PROCFS_H

#include "base/errno.h"
#include "fs/pseudo.h"
#include "proc/task.h"

struct mm;

#define CLOCK_TICK_NS 10000000ull /* of USER_HZ, in which /proc counts time */

/* ---- fs/proc_root.c ---- */

/* The thread that a node stands for (the leader, below /proc/PID), counted; NULL when it is gone.
 */
struct thread *proc_thread(const struct pseudo_node *n);
/* May current look into t: its memory, its files (ptrace's read access)? 0 or -EACCES. */
int proc_may_look(struct thread *t);
/* The process whose /proc/PID directory that file is, counted; NULL when it is none, or gone. */
struct process *proc_dir_process(const struct file *f);
/* The same by node; for pseudo_entry.open. -ESRCH when it is gone. */
int proc_open_private(const struct pseudo_node *n);

/* ---- fs/proc_pid.c ---- */

extern const struct pseudo_entry proc_pid_entry,
    proc_task_entry; /* directories of a process, of a thread */

/* ---- fs/proc_fd.c ---- */

extern const struct pseudo_dir proc_fd_dir, proc_fdinfo_dir;

/* ---- fs/proc_status.c ---- */

int proc_status_show(const struct pseudo_node *n, struct text *t);
/* entry->arg: whether times are the whole process's. */
int proc_stat_show(const struct pseudo_node *n, struct text *t);
int proc_statm_show(const struct pseudo_node *n, struct text *t);

/* ---- fs/proc_maps.c ---- */

int proc_maps_show(const struct pseudo_node *n, struct text *t);
int proc_smaps_show(const struct pseudo_node *n, struct text *t);
int proc_smaps_rollup_show(const struct pseudo_node *n, struct text *t);

/* ---- fs/proc_mm.c ---- */

/* A stay in another address space: the calling thread goes on there until proc_mm_leave, and its
 * copies from and to workload memory mean that one. No lock is held around either, and nothing is
 * returned to the workload in between. */
struct proc_mm_visit {
    struct mm *own;
    void *xstate;
    uint64_t fs_base;
};
int proc_mm_enter(struct proc_mm_visit *v,
                  struct mm *mm); /* 0 or -ENOMEM; nothing is done when mm is current's */
void proc_mm_leave(struct proc_mm_visit *v);

/* The mm of the node's process, counted; private: only for who may look into it. NULL with *err 0: it
 * has none any more. */
struct mm *proc_node_mm(const struct pseudo_node *n, bool private, int *err);
int proc_cmdline_show(const struct pseudo_node *n, struct text *t);
int proc_environ_show(const struct pseudo_node *n, struct text *t);
int proc_auxv_show(const struct pseudo_node *n, struct text *t);
extern const struct file_ops proc_mem_fops;

/* ---- fs/proc_mounts.c ---- */

int proc_mounts_show(const struct pseudo_node *n, struct text *t);
int proc_mountinfo_show(const struct pseudo_node *n, struct text *t);

/* ---- fs/proc_net.c ---- */

extern const struct pseudo_dir proc_net_dir;

/* ---- fs/proc_system.c ---- */

int proc_meminfo_show(const struct pseudo_node *n, struct text *t);
int proc_kernel_stat_show(const struct pseudo_node *n, struct text *t);
int proc_uptime_show(const struct pseudo_node *n, struct text *t);
int proc_loadavg_show(const struct pseudo_node *n, struct text *t);
int proc_version_show(const struct pseudo_node *n, struct text *t);
int proc_interrupts_show(const struct pseudo_node *n, struct text *t);
int proc_vmstat_show(const struct pseudo_node *n, struct text *t);
int proc_cpuinfo_show(const struct pseudo_node *n, struct text *t);
/* Files whose text never changes: entry->data. */
int proc_constant_show(const struct pseudo_node *n, struct text *t);

/* ---- rows of the tables of /proc and /sys ---- */

#define SHOWN_ARG(n, fn, a)                                                                        \
    {                                                                                              \
        .name = n, .mode = S_IFREG_K | 0444, .show = fn, .arg = a                                  \
    }
#define SHOWN(n, fn) SHOWN_ARG(n, fn, 0)
#define TEXT(n, s)                                                                                 \
    {                                                                                              \
        .name = n, .mode = S_IFREG_K | 0444, .show = proc_constant_show, .data = s                 \
    }
#define DIR(n, d)                                                                                  \
    {                                                                                              \
        .name = n, .mode = S_IFDIR_K | 0555, .dir = d                                              \
    }
#define LINK(n, to)                                                                                \
    {                                                                                              \
        .name = n, .mode = S_IFLNK_K | 0777, .target = to                                          \
    }
/* A struct pseudo_dir with those rows. */
#define DIR_OF(...)                                                                                \
    {                                                                                              \
        .entries = (const struct pseudo_entry[])                                                   \
        {                                                                                          \
            __VA_ARGS__, {}                                                                        \
        }                                                                                          \
    }
/* The limit of memory and what of it is free, in bytes. */
void proc_memory(uint64_t *total, uint64_t *free);

/* ---- ipc/ ---- */

int proc_sysvipc_msg_show(const struct pseudo_node *n, struct text *t);
int proc_sysvipc_sem_show(const struct pseudo_node *n, struct text *t);
int proc_sysvipc_shm_show(const struct pseudo_node *n, struct text *t);

/* ---- fs/proc_sys.c ---- */

extern const struct pseudo_dir proc_sys_dir;

#endif
