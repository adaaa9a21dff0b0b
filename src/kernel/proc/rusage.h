/* SPDX-License-Identifier: Apache-2.0 */
/* struct rusage of getrusage, wait4 and waitid. */
#ifndef CELLA_KERNEL_PROC_RUSAGE_H
#define CELLA_KERNEL_PROC_RUSAGE_H

#include "proc/task.h"

struct k_rusage {
    struct k_timeval utime, stime;
    int64_t maxrss, ixrss, idrss, isrss, minflt, majflt, nswap, inblock, oublock, msgsnd, msgrcv,
        nsignals, nvcsw, nivcsw;
};
_Static_assert(sizeof(struct k_rusage) == 144, "struct rusage");

/* Of p and the children that it has waited for (what wait4 reports). proc_tree_lock may be held. */
void rusage_of_process_and_children(struct process *p, struct k_rusage *u);
/* A zombie's use becomes part of its parent's children's. proc_tree_lock is held. */
void rusage_add_to_parent(struct process *parent, struct process *child);

#endif
