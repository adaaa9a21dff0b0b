/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prctl, arch_prctl, personality. Options that concern what this kernel does not have (seccomp
 * filters, named anonymous memory, speculation control, ...) answer EINVAL, as Linux does where it
 * was built without them.
 */
#include "base/errno.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "proc/caps.h"
#include "proc/task.h"

/* <linux/prctl.h> */
enum {
    PR_SET_PDEATHSIG = 1,
    PR_GET_PDEATHSIG = 2,
    PR_GET_DUMPABLE = 3,
    PR_SET_DUMPABLE = 4,
    PR_GET_KEEPCAPS = 7,
    PR_SET_KEEPCAPS = 8,
    PR_GET_TIMING = 13,
    PR_SET_TIMING = 14,
    PR_SET_NAME = 15,
    PR_GET_NAME = 16,
    PR_CAPBSET_READ = 23,
    PR_CAPBSET_DROP = 24,
    PR_GET_TSC = 25,
    PR_SET_TSC = 26,
    PR_GET_SECUREBITS = 27,
    PR_SET_SECUREBITS = 28,
    PR_SET_TIMERSLACK = 29,
    PR_GET_TIMERSLACK = 30,
    PR_SET_CHILD_SUBREAPER = 36,
    PR_GET_CHILD_SUBREAPER = 37,
    PR_SET_NO_NEW_PRIVS = 38,
    PR_GET_NO_NEW_PRIVS = 39,
    PR_GET_TID_ADDRESS = 40,
    PR_GET_THP_DISABLE = 42,
    PR_CAP_AMBIENT = 47,
};
enum {
    PR_CAP_AMBIENT_IS_SET = 1,
    PR_CAP_AMBIENT_RAISE = 2,
    PR_CAP_AMBIENT_LOWER = 3,
    PR_CAP_AMBIENT_CLEAR_ALL = 4
};
enum { PR_TSC_ENABLE = 1 };

#define TIMER_SLACK_DEFAULT_NS 50000

static int64_t set_name(uaddr_t addr)
{
    char name[TASK_COMM_LEN];
    memset(name, 0, sizeof(name));
    long len = strncpy_from_user(name, addr, sizeof(name));
    if (len == -EFAULT)
        return -EFAULT;
    name[sizeof(name) - 1] = 0; /* longer ones are cut */
    memcpy(current->comm, name, sizeof(name));
    return 0;
}

static int64_t set_pdeath_signal(uint64_t sig)
{
    if (sig > NSIG_K)
        return -EINVAL;
    current->pdeath_signal = (int)sig;
    return 0;
}

static int64_t set_keep_caps(uint64_t on)
{
    uint32_t bits = current->cred->securebits;
    if (on > 1)
        return -EINVAL;
    if (bits & SECBIT_KEEP_CAPS_LOCKED)
        return -EPERM;
    struct cred *c = cred_prepare();
    if (!c)
        return -ENOMEM;
    c->securebits = on ? bits | SECBIT_KEEP_CAPS : bits & ~(uint32_t)SECBIT_KEEP_CAPS;
    cred_commit(c);
    return 0;
}

static int64_t set_securebits(uint64_t bits)
{
    uint32_t old = current->cred->securebits;
    /* Each bit has a lock one above it; a locked bit stays, and so does the lock. */
    if ((((old & SECBITS_LOCKS) >> 1) & (old ^ bits)) || (old & SECBITS_LOCKS & ~bits) ||
        (bits & ~(uint64_t)SECBITS_ALL) || !capable(CAP_SETPCAP_K))
        return -EPERM;
    struct cred *c = cred_prepare();
    if (!c)
        return -ENOMEM;
    c->securebits = (uint32_t)bits;
    cred_commit(c);
    return 0;
}

static int64_t drop_bounding(uint64_t cap)
{
    if (!capable(CAP_SETPCAP_K))
        return -EPERM;
    if (cap > CAP_LAST_K)
        return -EINVAL;
    struct cred *c = cred_prepare();
    if (!c)
        return -ENOMEM;
    c->cap_bounding &= ~CAP_BIT(cap);
    cred_commit(c);
    return 0;
}

static int64_t ambient(uint64_t op, uint64_t cap, uint64_t a4, uint64_t a5)
{
    const struct cred *old = current->cred;
    if (op == PR_CAP_AMBIENT_CLEAR_ALL ? cap || a4 || a5 : a4 || a5 || cap > CAP_LAST_K)
        return -EINVAL;
    switch (op) {
    case PR_CAP_AMBIENT_IS_SET: return old->cap_ambient >> cap & 1;
    case PR_CAP_AMBIENT_RAISE:
        if (!(old->cap_permitted & old->cap_inheritable & CAP_BIT(cap)) ||
            (old->securebits & SECBIT_NO_CAP_AMBIENT_RAISE))
            return -EPERM;
        break;
    case PR_CAP_AMBIENT_LOWER:
    case PR_CAP_AMBIENT_CLEAR_ALL: break;
    default: return -EINVAL;
    }
    struct cred *c = cred_prepare();
    if (!c)
        return -ENOMEM;
    if (op == PR_CAP_AMBIENT_RAISE)
        c->cap_ambient |= CAP_BIT(cap);
    else
        c->cap_ambient &= op == PR_CAP_AMBIENT_LOWER ? ~CAP_BIT(cap) : 0;
    cred_commit(c);
    return 0;
}

static int64_t set_no_new_privs(void)
{
    if (current->cred->no_new_privs)
        return 0;
    struct cred *c = cred_prepare();
    if (!c)
        return -ENOMEM;
    c->no_new_privs = true;
    cred_commit(c);
    return 0;
}

int64_t sys_prctl(int option, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
    struct thread *t = current;
    struct process *p = t->process;
    switch (option) {
    case PR_SET_PDEATHSIG: return set_pdeath_signal(a2);
    case PR_GET_PDEATHSIG: return put_user((int32_t)t->pdeath_signal, a2);
    case PR_GET_DUMPABLE: return p->dumpable;
    case PR_SET_DUMPABLE:
        if (a2 > 1)
            return -EINVAL;
        p->dumpable = a2;
        return 0;
    case PR_GET_KEEPCAPS: return (t->cred->securebits & SECBIT_KEEP_CAPS) != 0;
    case PR_SET_KEEPCAPS: return set_keep_caps(a2);
    case PR_GET_TIMING: return 0; /* statistical */
    case PR_SET_TIMING: return a2 == 0 ? 0 : -EINVAL;
    case PR_SET_NAME: return set_name(a2);
    case PR_GET_NAME: return copy_to_user(a2, t->comm, sizeof(t->comm));
    case PR_CAPBSET_READ:
        return a2 > CAP_LAST_K ? -EINVAL : (int64_t)(t->cred->cap_bounding >> a2 & 1);
    case PR_CAPBSET_DROP: return drop_bounding(a2);
    case PR_GET_TSC: return put_user((int32_t)PR_TSC_ENABLE, a2);
    case PR_SET_TSC: return a2 == PR_TSC_ENABLE ? 0 : -EINVAL;
    case PR_GET_SECUREBITS: return t->cred->securebits;
    case PR_SET_SECUREBITS: return set_securebits(a2);
    case PR_SET_TIMERSLACK:
        t->timer_slack_ns = (int64_t)a2 <= 0 ? TIMER_SLACK_DEFAULT_NS : a2;
        return 0;
    case PR_GET_TIMERSLACK: return (int64_t)t->timer_slack_ns;
    case PR_SET_CHILD_SUBREAPER: p->is_subreaper = a2 != 0; return 0;
    case PR_GET_CHILD_SUBREAPER: return put_user((int32_t)p->is_subreaper, a2);
    case PR_SET_NO_NEW_PRIVS: return a2 != 1 || a3 || a4 || a5 ? -EINVAL : set_no_new_privs();
    case PR_GET_NO_NEW_PRIVS: return a2 || a3 || a4 || a5 ? -EINVAL : t->cred->no_new_privs;
    case PR_GET_TID_ADDRESS: return put_user(t->clear_child_tid, a2);
    case PR_GET_THP_DISABLE: return a2 || a3 || a4 || a5 ? -EINVAL : 0;
    case PR_CAP_AMBIENT: return ambient(a2, a3, a4, a5);
    default: return -EINVAL;
    }
}

enum {
    ARCH_SET_GS = 0x1001,
    ARCH_SET_FS = 0x1002,
    ARCH_GET_FS = 0x1003,
    ARCH_GET_GS = 0x1004,
    ARCH_GET_CPUID = 0x1011,
    ARCH_SET_CPUID = 0x1012,
    ARCH_GET_XCOMP_SUPP = 0x1021,
    ARCH_GET_XCOMP_PERM = 0x1022,
    ARCH_REQ_XCOMP_PERM = 0x1023
};

/* GS belongs to the kernel, which shares the privilege level with the workload: its base can
 * neither be set nor seen. No libc uses it. */
int64_t sys_arch_prctl(int code, uint64_t arg)
{
    struct thread *t = current;
    switch (code) {
    case ARCH_SET_FS:
        if (arg >= USER_LIMIT)
            return -EPERM;
        t->fs_base = arg;
        arch_set_fs_base(arg);
        return 0;
    case ARCH_GET_FS: return put_user(arch_fs_base(), arg);
    case ARCH_GET_CPUID: return 1;
    case ARCH_SET_CPUID: return -ENODEV; /* faulting CPUID is a feature of ring 0 */
    case ARCH_GET_XCOMP_SUPP:
    case ARCH_GET_XCOMP_PERM: return put_user(arch_xstate_mask(), arg);
    case ARCH_REQ_XCOMP_PERM: return arg < 64 && (arch_xstate_mask() >> arg & 1) ? 0 : -EOPNOTSUPP;
    case ARCH_SET_GS:
    case ARCH_GET_GS:
    default: return -EINVAL;
    }
}

int64_t sys_personality(uint32_t persona)
{
    struct process *p = current->process;
    uint32_t old = p->personality;
    if (persona != 0xffffffffu)
        p->personality = persona;
    return old;
}
