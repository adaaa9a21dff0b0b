/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials. A struct cred never changes once a thread has it: a change makes a copy
 * (cred_prepare), edits it and installs it (cred_commit), so that a reader with a counted reference
 * sees one state. Other threads' credentials are read under proc_tree_lock, under which cred_commit
 * swaps them.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "proc/pid.h"
#include "proc/task.h"

struct cred *cred_new_root(void)
{
    struct cred *c = kzalloc(sizeof(*c));
    if (!c)
        return NULL;
    ref_init(&c->ref, 1);
    c->cap_effective = c->cap_permitted = c->cap_bounding = CAP_FULL_SET;
    return c;
}

struct cred *cred_prepare(void)
{
    const struct cred *old = current->cred;
    struct cred *c = kmalloc(sizeof(*c));
    if (!c)
        return NULL;
    *c = *old;
    ref_init(&c->ref, 1);
    c->groups = NULL;
    if (old->nr_groups > 0) {
        c->groups = kmalloc(old->nr_groups * sizeof(kgid_t));
        if (!c->groups) {
            kfree(c);
            return NULL;
        }
        memcpy(c->groups, old->groups, old->nr_groups * sizeof(kgid_t));
    }
    return c;
}

void cred_commit(struct cred *c)
{
    struct thread *t = current;
    struct cred *old = t->cred;
    bool changed = old->euid != c->euid || old->egid != c->egid || old->fsuid != c->fsuid ||
                   old->fsgid != c->fsgid || (c->cap_permitted & ~old->cap_permitted) != 0;
    if (t->charged_uid != UINT32_MAX && t->charged_uid != c->uid &&
        user_count_add(c->uid, USER_THREADS, 1) >= 0) {
        user_count_add(t->charged_uid, USER_THREADS, -1);
        t->charged_uid = c->uid;
    }
    spin_lock(&proc_tree_lock);
    t->cred = c;
    if (changed) {
        /* What runs with other rights than before does not let itself be looked into, nor be told
         * of by its old parent. */
        t->process->dumpable = false;
        t->pdeath_signal = 0;
    }
    spin_unlock(&proc_tree_lock);
    cred_put(old);
}

void cred_get(struct cred *c)
{
    ref_get(&c->ref);
}

void cred_put(struct cred *c)
{
    if (!ref_put(&c->ref))
        return;
    kfree(c->groups);
    kfree(c);
}

bool capable(int cap)
{
    return current->cred->cap_effective >> cap & 1;
}

bool cred_in_group(const struct cred *c, kgid_t gid)
{
    if (c->fsgid == gid)
        return true;
    uint32_t low = 0, high = c->nr_groups;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (c->groups[mid] == gid)
            return true;
        if (c->groups[mid] < gid)
            low = mid + 1;
        else
            high = mid;
    }
    return false;
}

bool process_may_signal(struct process *p, int sig)
{
    if (p == current->process || capable(CAP_KILL_K))
        return true;
    const struct cred *me = current->cred, *other = p->leader ? p->leader->cred : NULL;
    if (!other)
        return false;
    if (me->euid == other->suid || me->euid == other->uid || me->uid == other->suid ||
        me->uid == other->uid)
        return true;
    return sig == SIGCONT && p->sid == current->process->sid;
}

/* ---- counts per user ---- */

struct user_counts {
    struct list link;
    kuid_t uid;
    int64_t n[USER_NR_COUNTERS];
};

#define USER_BUCKETS 32

static spinlock_t users_lock = SPINLOCK_INIT;
static struct list users[USER_BUCKETS];

static struct user_counts *user_find(struct list *bucket, kuid_t uid)
{
    struct user_counts *u;
    list_for_each (u, bucket, link)
        if (u->uid == uid)
            return u;
    return NULL;
}

int64_t user_count_add(kuid_t uid, enum user_counter which, int64_t delta)
{
    struct list *bucket = &users[uid % USER_BUCKETS];
    int64_t result = -ENOMEM;
    spin_lock(&users_lock);
    if (!bucket->next)
        list_init(bucket);
    struct user_counts *u = user_find(bucket, uid);
    if (!u && delta > 0) {
        u = kzalloc(sizeof(*u));
        if (u) {
            u->uid = uid;
            list_add(&u->link, bucket);
        }
    }
    if (u) {
        u->n[which] += delta;
        result = u->n[which];
        bool unused = true;
        for (int i = 0; i < USER_NR_COUNTERS; i++)
            unused = unused && u->n[i] == 0;
        if (unused) {
            list_del(&u->link);
            kfree(u);
        }
    }
    spin_unlock(&users_lock);
    return result;
}
