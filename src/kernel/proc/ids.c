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

/* User and group ids are alike: four in a row in struct cred. */
enum { REAL, EFFECTIVE, SAVED, FS };

static uint32_t *ids_of(struct cred *c, bool group)
{
    _Static_assert(sizeof(kuid_t) == sizeof(uint32_t) && sizeof(kgid_t) == sizeof(uint32_t) &&
                       offsetof(struct cred, fsuid) - offsetof(struct cred, uid) == 12 &&
                       offsetof(struct cred, fsgid) - offsetof(struct cred, gid) == 12,
                   "struct cred");
    return group ? &c->gid : &c->uid;
}

static int64_t get_ids(bool group, uaddr_t real, uaddr_t effective, uaddr_t saved)
{
    const uint32_t *id = ids_of(current->cred, group);
    if (put_user(id[REAL], real) || put_user(id[EFFECTIVE], effective) ||
        put_user(id[SAVED], saved))
        return -EFAULT;
    return 0;
}

int64_t sys_getresuid(uaddr_t ruid, uaddr_t euid, uaddr_t suid)
{
    return get_ids(false, ruid, euid, suid);
}

int64_t sys_getresgid(uaddr_t rgid, uaddr_t egid, uaddr_t sgid)
{
    return get_ids(true, rgid, egid, sgid);
}

/* May any id be taken? */
static bool privileged(bool group)
{
    return capable(group ? CAP_SETGID_K : CAP_SETUID_K);
}

/* Is id to be left, or one that current may take? */
static bool is_own(const uint32_t *own, uint32_t id)
{
    return id == KEEP_ID || id == own[REAL] || id == own[EFFECTIVE] || id == own[SAVED];
}

/* The ids but KEEP_ID, and what follows from them. */
static int64_t set_ids(bool group, uint32_t real, uint32_t effective, uint32_t saved)
{
    const struct cred *old = current->cred;
    const uint32_t given[] = {real, effective, saved};
    struct cred *c = cred_prepare();
    if (!c)
        return -ENOMEM;
    uint32_t *id = ids_of(c, group);
    for (int i = REAL; i <= SAVED; i++)
        if (given[i] != KEEP_ID)
            id[i] = given[i];
    id[FS] = id[EFFECTIVE];
    if (!group)
        caps_after_setuid(c, old);
    cred_commit(c);
    return 0;
}

static int64_t set_res(bool group, uint32_t real, uint32_t effective, uint32_t saved)
{
    const uint32_t *own = ids_of(current->cred, group);
    if (!privileged(group) &&
        (!is_own(own, real) || !is_own(own, effective) || !is_own(own, saved)))
        return -EPERM;
    return set_ids(group, real, effective, saved);
}

int64_t sys_setresuid(uint32_t ruid, uint32_t euid, uint32_t suid)
{
    return set_res(false, ruid, euid, suid);
}

int64_t sys_setresgid(uint32_t rgid, uint32_t egid, uint32_t sgid)
{
    return set_res(true, rgid, egid, sgid);
}

static int64_t set_re(bool group, uint32_t real, uint32_t effective)
{
    const uint32_t *own = ids_of(current->cred, group);
    if (!privileged(group) && ((real != KEEP_ID && real != own[REAL] && real != own[EFFECTIVE]) ||
                               !is_own(own, effective)))
        return -EPERM;
    bool save = real != KEEP_ID || (effective != KEEP_ID && effective != own[REAL]);
    uint32_t next = effective != KEEP_ID ? effective : own[EFFECTIVE];
    return set_ids(group, real, effective, save ? next : KEEP_ID);
}

int64_t sys_setreuid(uint32_t ruid, uint32_t euid)
{
    return set_re(false, ruid, euid);
}

int64_t sys_setregid(uint32_t rgid, uint32_t egid)
{
    return set_re(true, rgid, egid);
}

static int64_t set_one(bool group, uint32_t id)
{
    const uint32_t *own = ids_of(current->cred, group);
    bool all = privileged(group);
    if (id == KEEP_ID)
        return -EINVAL;
    if (!all && id != own[REAL] && id != own[SAVED])
        return -EPERM;
    return set_ids(group, all ? id : KEEP_ID, id, all ? id : KEEP_ID);
}

int64_t sys_setuid(uint32_t uid)
{
    return set_one(false, uid);
}

int64_t sys_setgid(uint32_t gid)
{
    return set_one(true, gid);
}

/* The answer is the id before, whatever happens. */
static int64_t set_fs(bool group, uint32_t id)
{
    const struct cred *old = current->cred;
    const uint32_t *own = ids_of(current->cred, group);
    uint32_t previous = own[FS];
    if (id == KEEP_ID || id == previous || (!is_own(own, id) && !privileged(group)))
        return previous;
    struct cred *c = cred_prepare();
    if (!c)
        return previous;
    ids_of(c, group)[FS] = id;
    if (!group)
        caps_after_setfsuid(c, old);
    cred_commit(c);
    return previous;
}

int64_t sys_setfsuid(uint32_t uid)
{
    return set_fs(false, uid);
}

int64_t sys_setfsgid(uint32_t gid)
{
    return set_fs(true, gid);
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
