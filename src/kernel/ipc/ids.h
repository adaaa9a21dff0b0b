/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the three kinds of System V IPC have in common: keys, identifiers, owners, permissions
 * (svipc(7)).
 *
 * Each kind has one table under one mutex. An identifier is a place in the table plus 32768 times a
 * sequence number, so that a place that is used again answers to another one.
 */
#ifndef CELLA_KERNEL_IPC_IDS_H
#define CELLA_KERNEL_IPC_IDS_H

#include "base/ref.h"
#include "base/types.h"
#include "proc/wait_queue.h"

struct text;
struct thread;

enum { IPC_CREAT_K = 01000, IPC_EXCL_K = 02000, IPC_NOWAIT_K = 04000, IPC_PRIVATE_K = 0 };
enum { IPC_RMID_K = 0, IPC_SET_K = 1, IPC_STAT_K = 2, IPC_INFO_K = 3 };

/* Limits, Linux's defaults; what /proc/sys/kernel shows. */
#define SHMMAX_K 18446744073692774399ull
#define SHMMNI_K 4096u
#define SEMMSL_K 32000u
#define SEMMNS_K 1024000000u
#define SEMOPM_K 500u
#define SEMMNI_K 32000u
#define MSGMAX_K 8192u
#define MSGMNB_K 16384u
#define MSGMNI_K 32000u

struct ipc_object {
    struct ref ref; /* the table's and those of users */
    int32_t key, id;
    kuid_t uid, cuid;
    kgid_t gid, cgid;
    uint32_t mode; /* permissions, and bits of the kind's own */
};

struct ipc_kind {
    struct mutex lock; /* all below, and what the kind says */
    struct ipc_object **slot;
    uint32_t nr_slots, used, max;
    uint32_t last_index, sequence;
    bool was_used; /* last_index is that of some object */
    int stat_cmd, stat_any_cmd; /* SHM_STAT, SHM_STAT_ANY and their like */
    /* A new object of that size, ref 1, or err_ptr. The common code fills in struct ipc_object. */
    struct ipc_object *(*create)(int32_t key, int flags, uint64_t size);
    /* May an object that is there be had as one of that size? 0 or -EINVAL. */
    int (*check)(const struct ipc_object *o, uint64_t size);
};

#define IPC_KIND_INIT(k, nr) .lock = {SPINLOCK_INIT, NULL, WAIT_QUEUE_INIT((k).lock.q)}, .max = (nr)

/* struct ipc64_perm */
struct k_ipc_perm {
    int32_t key;
    uint32_t uid, gid, cuid, cgid, mode;
    uint16_t seq, pad;
    uint32_t pad2; /* named, so that it is never what lay on the stack */
    uint64_t unused[2];
};

/* shmget, semget, msgget: an identifier, or negative errno. */
int64_t ipc_get(struct ipc_kind *k, int32_t key, int flags, uint64_t size);

/* The following want k->lock. */

/* Not counted; NULL: there is none. */
struct ipc_object *ipc_find(struct ipc_kind *k, int id);
/* What IPC_STAT, *_STAT and *_STAT_ANY ask for, permission checked; err_ptr: -EINVAL, -EACCES. */
struct ipc_object *ipc_find_for_stat(struct ipc_kind *k, int id, int cmd);
/* What IPC_SET and IPC_RMID change; err_ptr: -EINVAL, -EPERM. */
struct ipc_object *ipc_find_for_change(struct ipc_kind *k, int id);
void ipc_unlink(struct ipc_kind *k, struct ipc_object *o);
/* The highest place in use, 0 when there is none: the answer of the *_INFO commands. */
int ipc_highest(const struct ipc_kind *k);

/* 0, or -EACCES: rights as in 0444, 0222, or both. */
int ipc_permission(const struct ipc_object *o, uint32_t rights);
void ipc_fill_perm(const struct ipc_object *o, struct k_ipc_perm *perm);
int ipc_set_perm(struct ipc_object *o, const struct k_ipc_perm *perm); /* 0 or -EINVAL */
int64_t ipc_now(void);                                                 /* seconds since 1970 */

/* /proc/sysvipc: header, and `row` for each object. */
void ipc_show(struct ipc_kind *k, struct text *t, const char *header,
              void (*row)(struct text *t, struct ipc_object *o));

/* SEM_UNDO (ipc/sem.c): a new thread shares the adjustments of its creator (CLONE_SYSVSEM): 0 or
 * -ENOMEM; a thread leaves them, and the last one applies them. */
int sem_undo_share(struct thread *t);
void sem_undo_leave(struct thread *t);

#endif
