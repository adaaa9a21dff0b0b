/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/ids.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "fs/text.h"
#include "proc/task.h"

#define ID_PLACES 32768
#define ID_SEQUENCES (INT32_MAX / ID_PLACES)

/* ---- the table ---- */

struct ipc_object *ipc_find(struct ipc_kind *k, int id)
{
    uint32_t at = (uint32_t)id % ID_PLACES;
    return id >= 0 && at < k->nr_slots && k->slot[at] && k->slot[at]->id == id ? k->slot[at] : NULL;
}

static struct ipc_object *find_key(struct ipc_kind *k, int32_t key)
{
    for (uint32_t i = 0; key != IPC_PRIVATE_K && i < k->nr_slots; i++)
        if (k->slot[i] && k->slot[i]->key == key)
            return k->slot[i];
    return NULL;
}

int ipc_highest(const struct ipc_kind *k)
{
    for (uint32_t i = k->nr_slots; i-- > 0;)
        if (k->slot[i])
            return (int)i;
    return 0;
}

/* A free place, or -ENOSPC, -ENOMEM. */
static int free_place(struct ipc_kind *k)
{
    uint32_t i = 0;
    if (k->used >= k->max)
        return -ENOSPC;
    while (i < k->nr_slots && k->slot[i])
        i++;
    if (i == k->nr_slots) {
        uint32_t n = k->nr_slots ? 2 * k->nr_slots : 16;
        void *slot = krealloc(k->slot, k->nr_slots * sizeof(*k->slot), n * sizeof(*k->slot));
        if (!slot)
            return -ENOMEM;
        k->slot = slot;
        memset(k->slot + k->nr_slots, 0, (n - k->nr_slots) * sizeof(*k->slot));
        k->nr_slots = n;
    }
    return (int)i;
}

void ipc_unlink(struct ipc_kind *k, struct ipc_object *o)
{
    k->slot[o->id % ID_PLACES] = NULL;
    k->used--;
}

static int64_t make(struct ipc_kind *k, int32_t key, int flags, uint64_t size)
{
    const struct cred *c = current->cred;
    int at = free_place(k);
    struct ipc_object *o = at < 0 ? err_ptr(at) : k->create(key, flags, size);
    if (is_err(o))
        return ptr_err(o);
    if (k->was_used && (uint32_t)at <= k->last_index)
        k->sequence = (k->sequence + 1) % ID_SEQUENCES;
    k->was_used = true;
    k->last_index = (uint32_t)at;
    ref_init(&o->ref, 1);
    o->key = key;
    o->id = (int32_t)k->sequence * ID_PLACES + at;
    o->uid = o->cuid = c->euid;
    o->gid = o->cgid = c->egid;
    o->mode |= (uint32_t)flags & 0777;
    k->slot[at] = o;
    k->used++;
    return o->id;
}

int64_t ipc_get(struct ipc_kind *k, int32_t key, int flags, uint64_t size)
{
    int64_t r;
    mutex_lock(&k->lock);
    struct ipc_object *o = find_key(k, key);
    if (!o) {
        r = key == IPC_PRIVATE_K || (flags & IPC_CREAT_K) ? make(k, key, flags, size) : -ENOENT;
    } else if ((flags & IPC_CREAT_K) && (flags & IPC_EXCL_K)) {
        r = -EEXIST;
    } else {
        r = k->check(o, size);
        if (!r)
            r = ipc_permission(o, (uint32_t)flags & 0777);
        if (!r)
            r = o->id;
    }
    mutex_unlock(&k->lock);
    return r;
}

/* ---- permissions ---- */

int ipc_permission(const struct ipc_object *o, uint32_t rights)
{
    const struct cred *c = current->cred;
    uint32_t wanted = (rights >> 6 | rights >> 3 | rights) & 7, granted = o->mode;
    if (c->euid == o->cuid || c->euid == o->uid)
        granted >>= 6;
    else if (cred_in_group(c, o->cgid) || cred_in_group(c, o->gid))
        granted >>= 3;
    return (wanted & ~granted) && !capable(CAP_IPC_OWNER_K) ? -EACCES : 0;
}

struct ipc_object *ipc_find_for_stat(struct ipc_kind *k, int id, int cmd)
{
    bool by_place = cmd != IPC_STAT_K;
    struct ipc_object *o = !by_place                               ? ipc_find(k, id)
                           : id >= 0 && (uint32_t)id < k->nr_slots ? k->slot[id]
                                                                   : NULL;
    if (!o)
        return err_ptr(-EINVAL);
    int err = cmd == k->stat_any_cmd ? 0 : ipc_permission(o, 0444);
    return err ? err_ptr(err) : o;
}

struct ipc_object *ipc_find_for_change(struct ipc_kind *k, int id)
{
    struct ipc_object *o = ipc_find(k, id);
    kuid_t euid = current->cred->euid;
    if (!o)
        return err_ptr(-EINVAL);
    return euid == o->cuid || euid == o->uid || capable(CAP_SYS_ADMIN_K) ? o : err_ptr(-EPERM);
}

void ipc_fill_perm(const struct ipc_object *o, struct k_ipc_perm *perm)
{
    *perm = (struct k_ipc_perm){.key = o->key,
                                .uid = o->uid,
                                .gid = o->gid,
                                .cuid = o->cuid,
                                .cgid = o->cgid,
                                .mode = o->mode,
                                .seq = (uint16_t)(o->id / ID_PLACES)};
}

int ipc_set_perm(struct ipc_object *o, const struct k_ipc_perm *perm)
{
    if (perm->uid == UINT32_MAX || perm->gid == UINT32_MAX)
        return -EINVAL;
    o->uid = perm->uid;
    o->gid = perm->gid;
    o->mode = (o->mode & ~0777u) | (perm->mode & 0777);
    return 0;
}

int64_t ipc_now(void)
{
    return (int64_t)(time_real_ns() / NSEC_PER_SEC);
}

void ipc_show(struct ipc_kind *k, struct text *t, const char *header,
              void (*row)(struct text *t, struct ipc_object *o))
{
    text_puts(t, header);
    mutex_lock(&k->lock);
    for (uint32_t i = 0; i < k->nr_slots; i++)
        if (k->slot[i])
            row(t, k->slot[i]);
    mutex_unlock(&k->lock);
}
