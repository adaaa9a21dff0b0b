/* SPDX-License-Identifier: Apache-2.0 */
/* capget, capset and what a change of user ids does to capabilities. Sources: capabilities(7),
 * capget(2). */
#include "proc/caps.h"

#include "base/errno.h"
#include "base/usercopy.h"

/* Those that the file system user id gives and takes. */
#define CAP_FS_SET                                                                                 \
    (CAP_BIT(CAP_CHOWN_K) | CAP_BIT(CAP_DAC_OVERRIDE_K) | CAP_BIT(CAP_DAC_READ_SEARCH_K) |         \
     CAP_BIT(CAP_FOWNER_K) | CAP_BIT(CAP_FSETID_K) | CAP_BIT(CAP_LINUX_IMMUTABLE_K) |              \
     CAP_BIT(CAP_MKNOD_K) | CAP_BIT(32 /* MAC_OVERRIDE */))

void caps_after_setuid(struct cred *c, const struct cred *old)
{
    if (c->securebits & SECBIT_NO_SETUID_FIXUP)
        return;
    bool had_root = old->uid == 0 || old->euid == 0 || old->suid == 0;
    bool has_root = c->uid == 0 || c->euid == 0 || c->suid == 0;
    if (had_root && !has_root) {
        if (!(c->securebits & SECBIT_KEEP_CAPS))
            c->cap_permitted = c->cap_effective = 0;
        c->cap_ambient = 0;
    }
    if (old->euid == 0 && c->euid != 0)
        c->cap_effective = 0;
    if (old->euid != 0 && c->euid == 0)
        c->cap_effective = c->cap_permitted;
}

void caps_after_setfsuid(struct cred *c, const struct cred *old)
{
    if (c->securebits & SECBIT_NO_SETUID_FIXUP)
        return;
    if (old->fsuid == 0 && c->fsuid != 0)
        c->cap_effective &= ~CAP_FS_SET;
    if (old->fsuid != 0 && c->fsuid == 0)
        c->cap_effective |= c->cap_permitted & CAP_FS_SET;
}

/* <linux/capability.h> */
enum { CAP_VERSION_1 = 0x19980330, CAP_VERSION_2 = 0x20071026, CAP_VERSION_3 = 0x20080522 };

struct cap_header {
    uint32_t version;
    int32_t pid;
};
struct cap_data {
    uint32_t effective, permitted, inheritable;
};

/* Words of 32 capabilities that the caller's version has; a wrong version is answered with the one
 * to use. */
static int cap_words(uaddr_t header, struct cap_header *h, int *words)
{
    if (get_user(*h, header))
        return -EFAULT;
    switch (h->version) {
    case CAP_VERSION_1: *words = 1; return 0;
    case CAP_VERSION_2:
    case CAP_VERSION_3: *words = 2; return 0;
    default: return put_user((uint32_t)CAP_VERSION_3, header) ? -EFAULT : -EINVAL;
    }
}

int64_t sys_capget(uaddr_t header, uaddr_t data)
{
    struct cap_header h;
    int words;
    int err = cap_words(header, &h, &words);
    if (err)
        return data == 0 && err == -EINVAL ? 0 : err;
    if (h.pid < 0)
        return -EINVAL;
    struct cred *c;
    if (h.pid == 0 || h.pid == current->tid) {
        c = current->cred;
        cred_get(c);
    } else {
        struct thread *t = thread_find(h.pid);
        if (!t)
            return -ESRCH;
        c = thread_cred_get(t);
        thread_put(t);
        if (!c)
            return -ESRCH;
    }
    struct cap_data d[2] = {
        {(uint32_t)c->cap_effective, (uint32_t)c->cap_permitted, (uint32_t)c->cap_inheritable},
        {(uint32_t)(c->cap_effective >> 32), (uint32_t)(c->cap_permitted >> 32),
         (uint32_t)(c->cap_inheritable >> 32)},
    };
    cred_put(c);
    if (data == 0)
        return 0;
    return copy_to_user(data, d, (size_t)words * sizeof(d[0]));
}

int64_t sys_capset(uaddr_t header, uaddr_t data)
{
    struct cap_header h;
    struct cap_data d[2] = {{0, 0, 0}, {0, 0, 0}};
    int words;
    int err = cap_words(header, &h, &words);
    if (err)
        return err;
    if (h.pid != 0 && h.pid != current->tid)
        return -EPERM;
    if (copy_from_user(d, data, (size_t)words * sizeof(d[0])))
        return -EFAULT;
    uint64_t effective = (d[0].effective | (uint64_t)d[1].effective << 32) & CAP_FULL_SET;
    uint64_t permitted = (d[0].permitted | (uint64_t)d[1].permitted << 32) & CAP_FULL_SET;
    uint64_t inheritable = (d[0].inheritable | (uint64_t)d[1].inheritable << 32) & CAP_FULL_SET;

    const struct cred *old = current->cred;
    if (!capable(CAP_SETPCAP_K) && (inheritable & ~(old->cap_inheritable | old->cap_permitted)))
        return -EPERM;
    if (inheritable & ~(old->cap_inheritable | old->cap_bounding))
        return -EPERM;
    if ((permitted & ~old->cap_permitted) || (effective & ~permitted))
        return -EPERM;
    struct cred *c = cred_prepare();
    if (!c)
        return -ENOMEM;
    c->cap_effective = effective;
    c->cap_permitted = permitted;
    c->cap_inheritable = inheritable;
    c->cap_ambient &= permitted & inheritable;
    cred_commit(c);
    return 0;
}
