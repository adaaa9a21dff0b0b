/* SPDX-License-Identifier: Apache-2.0 */
/* User and group ids: the get and set calls. Rules: credentials(7) and each call's page. An id of
 * -1 means "leave as it is". */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/usercopy.h"
#include "proc/caps.h"
#include "proc/task.h"

#define KEEP_ID UINT32_MAX

int64_t sys_getuid(void)
{
    return current->cred->uid;
}
int64_t sys_geteuid(void)
{
    return current->cred->euid;
}
int64_t sys_getgid(void)
{
    return current->cred->gid;
}
int64_t sys_getegid(void)
{
    return current->cred->egid;
}

int64_t sys_getresuid(uaddr_t ruid, uaddr_t euid, uaddr_t suid)
{
    const struct cred *c = current->cred;
    if (put_user(c->uid, ruid) || put_user(c->euid, euid) || put_user(c->suid, suid))
        return -EFAULT;
    return 0;
}

int64_t sys_getresgid(uaddr_t rgid, uaddr_t egid, uaddr_t sgid)
{
    const struct cred *c = current->cred;
    if (put_user(c->gid, rgid) || put_user(c->egid, egid) || put_user(c->sgid, sgid))
        return -EFAULT;
    return 0;
}

static bool is_uid_of(const struct cred *c, kuid_t id)
{
    return id == c->uid || id == c->euid || id == c->suid;
}
static bool is_gid_of(const struct cred *c, kgid_t id)
{
    return id == c->gid || id == c->egid || id == c->sgid;
}

/* The common end of all calls that change user ids. */
static int64_t commit_uids(struct cred *c)
{
    const struct cred *old = current->cred;
    c->fsuid = c->euid;
    caps_after_setuid(c, old);
    cred_commit(c);
    return 0;
}

int64_t sys_setresuid(uint32_t ruid, uint32_t euid, uint32_t suid)
{
    const struct cred *old = current->cred;
    if (!capable(CAP_SETUID_K) &&
        ((ruid != KEEP_ID && !is_uid_of(old, ruid)) || (euid != KEEP_ID && !is_uid_of(old, euid)) ||
         (suid != KEEP_ID && !is_uid_of(old, suid))))
        return -EPERM;
    struct cred *c = cred_prepare();
    if (!c)
        return -ENOMEM;
    if (ruid != KEEP_ID)
        c->uid = ruid;
    if (euid != KEEP_ID)
        c->euid = euid;
    if (suid != KEEP_ID)
        c->suid = suid;
    return commit_uids(c);
}

int64_t sys_setreuid(uint32_t ruid, uint32_t euid)
{
    const struct cred *old = current->cred;
    if (!capable(CAP_SETUID_K)) {
        if (ruid != KEEP_ID && ruid != old->uid && ruid != old->euid)
            return -EPERM;
        if (euid != KEEP_ID && !is_uid_of(old, euid))
            return -EPERM;
    }
    struct cred *c = cred_prepare();
    if (!c)
        return -ENOMEM;
    if (ruid != KEEP_ID)
        c->uid = ruid;
    if (euid != KEEP_ID)
        c->euid = euid;
    if (ruid != KEEP_ID || (euid != KEEP_ID && euid != old->uid))
        c->suid = c->euid;
    return commit_uids(c);
}

int64_t sys_setuid(uint32_t uid)
{
    const struct cred *old = current->cred;
    if (uid == KEEP_ID)
        return -EINVAL;
    bool all = capable(CAP_SETUID_K);
    if (!all && uid != old->uid && uid != old->suid)
        return -EPERM;
    struct cred *c = cred_prepare();
    if (!c)
        return -ENOMEM;
    if (all)
        c->uid = c->suid = uid;
    c->euid = uid;
    return commit_uids(c);
}

int64_t sys_setfsuid(uint32_t uid)
{
    const struct cred *old = current->cred;
    kuid_t previous = old->fsuid;
    if (uid == KEEP_ID || uid == previous)
        return previous;
    if (!is_uid_of(old, uid) && !capable(CAP_SETUID_K))
        return previous;
    struct cred *c = cred_prepare();
    if (!c)
        return previous;
    c->fsuid = uid;
    caps_after_setfsuid(c, old);
    cred_commit(c);
    return previous;
}

static int64_t commit_gids(struct cred *c)
{
    c->fsgid = c->egid;
    cred_commit(c);
    return 0;
}

int64_t sys_setresgid(uint32_t rgid, uint32_t egid, uint32_t sgid)
{
    const struct cred *old = current->cred;
    if (!capable(CAP_SETGID_K) &&
        ((rgid != KEEP_ID && !is_gid_of(old, rgid)) || (egid != KEEP_ID && !is_gid_of(old, egid)) ||
         (sgid != KEEP_ID && !is_gid_of(old, sgid))))
        return -EPERM;
    struct cred *c = cred_prepare();
    if (!c)
        return -ENOMEM;
    if (rgid != KEEP_ID)
        c->gid = rgid;
    if (egid != KEEP_ID)
        c->egid = egid;
    if (sgid != KEEP_ID)
        c->sgid = sgid;
    return commit_gids(c);
}

int64_t sys_setregid(uint32_t rgid, uint32_t egid)
{
    const struct cred *old = current->cred;
    if (!capable(CAP_SETGID_K)) {
        if (rgid != KEEP_ID && rgid != old->gid && rgid != old->egid)
            return -EPERM;
        if (egid != KEEP_ID && !is_gid_of(old, egid))
            return -EPERM;
    }
    struct cred *c = cred_prepare();
    if (!c)
        return -ENOMEM;
    if (rgid != KEEP_ID)
        c->gid = rgid;
    if (egid != KEEP_ID)
        c->egid = egid;
    if (rgid != KEEP_ID || (egid != KEEP_ID && egid != old->gid))
        c->sgid = c->egid;
    return commit_gids(c);
}

int64_t sys_setgid(uint32_t gid)
{
    const struct cred *old = current->cred;
    if (gid == KEEP_ID)
        return -EINVAL;
    bool all = capable(CAP_SETGID_K);
    if (!all && gid != old->gid && gid != old->sgid)
        return -EPERM;
    struct cred *c = cred_prepare();
    if (!c)
        return -ENOMEM;
    if (all)
        c->gid = c->sgid = gid;
    c->egid = gid;
    return commit_gids(c);
}

int64_t sys_setfsgid(uint32_t gid)
{
    const struct cred *old = current->cred;
    kgid_t previous = old->fsgid;
    if (gid == KEEP_ID || gid == previous)
        return previous;
    if (!is_gid_of(old, gid) && !capable(CAP_SETGID_K))
        return previous;
    struct cred *c = cred_prepare();
    if (!c)
        return previous;
    c->fsgid = gid;
    cred_commit(c);
    return previous;
}

int64_t sys_getgroups(int size, uaddr_t list)
{
    const struct cred *c = current->cred;
    if (size < 0)
        return -EINVAL;
    if (size == 0)
        return c->nr_groups;
    if ((uint32_t)size < c->nr_groups)
        return -EINVAL;
    if (c->nr_groups > 0 && copy_to_user(list, c->groups, c->nr_groups * sizeof(kgid_t)))
        return -EFAULT;
    return c->nr_groups;
}

static void sift_down(kgid_t *v, uint32_t root, uint32_t n)
{
    for (uint32_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && v[child + 1] > v[child])
            child++;
        if (v[root] >= v[child])
            return;
        kgid_t tmp = v[root];
        v[root] = v[child];
        v[child] = tmp;
    }
}

/* Heap sort: cred_in_group searches by halves, and the list, which is the workload's, may have
 * 65536 entries in the worst order. */
static void sort_groups(kgid_t *v, uint32_t n)
{
    for (uint32_t i = n / 2; i-- > 0;)
        sift_down(v, i, n);
    for (uint32_t end = n; end > 1;) {
        kgid_t tmp = v[--end];
        v[end] = v[0];
        v[0] = tmp;
        sift_down(v, 0, end);
    }
}

int64_t sys_setgroups(int size, uaddr_t list)
{
    if (!capable(CAP_SETGID_K))
        return -EPERM;
    if (size < 0 || size > NGROUPS_MAX_K)
        return -EINVAL;
    kgid_t *groups = NULL;
    if (size > 0) {
        groups = kmalloc((size_t)size * sizeof(*groups));
        if (!groups)
            return -ENOMEM;
        if (copy_from_user(groups, list, (size_t)size * sizeof(*groups))) {
            kfree(groups);
            return -EFAULT;
        }
        for (int i = 0; i < size; i++)
            if (groups[i] == KEEP_ID) {
                kfree(groups);
                return -EINVAL;
            }
        sort_groups(groups, (uint32_t)size);
    }
    struct cred *c = cred_prepare();
    if (!c) {
        kfree(groups);
        return -ENOMEM;
    }
    kfree(c->groups);
    c->groups = groups;
    c->nr_groups = (uint32_t)size;
    cred_commit(c);
    return 0;
}
