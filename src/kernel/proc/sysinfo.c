/* SPDX-License-Identifier: Apache-2.0 */
/* What the system says about itself (uname, sysinfo, host name), random bytes, memory barriers,
 * robust list heads. */
#include "proc/sysinfo.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "crypto/drbg.h"
#include "mm/mm.h"
#include "proc/pid.h"

#define UTS_LEN 64

static spinlock_t names_lock = SPINLOCK_INIT;
static struct uts_name names = {
    .sysname = "Linux",
    .nodename = "keep",
    .release = "6.1.0",
    .version = "#1 SMP Cella",
    .machine = "x86_64",
    .domainname = "(none)",
};

void sysinfo_get_names(struct uts_name *out)
{
    spin_lock(&names_lock);
    *out = names;
    spin_unlock(&names_lock);
}

void sysinfo_set_hostname(const char *name)
{
    spin_lock(&names_lock);
    memset(names.nodename, 0, sizeof(names.nodename));
    k_strlcpy(names.nodename, name, sizeof(names.nodename));
    spin_unlock(&names_lock);
}

/* <linux/personality.h> */
#define PER_MASK 0xffu
#define PER_LINUX32 8u

int64_t sys_uname(uaddr_t addr)
{
    struct uts_name n;
    sysinfo_get_names(&n);
    if ((current->process->personality & PER_MASK) == PER_LINUX32)
        k_strlcpy(n.machine, "i686", sizeof(n.machine));
    return put_user(n, addr);
}

/* Sets `where`, a member of names. */
static int64_t set_name(char *where, uaddr_t addr, int len)
{
    char name[UTS_LEN + 1];
    if (!capable(CAP_SYS_ADMIN_K))
        return -EPERM;
    if (len < 0 || len > UTS_LEN)
        return -EINVAL;
    memset(name, 0, sizeof(name));
    if (copy_from_user(name, addr, (size_t)len))
        return -EFAULT;
    spin_lock(&names_lock);
    memcpy(where, name, sizeof(name));
    spin_unlock(&names_lock);
    return 0;
}

int64_t sys_sethostname(uaddr_t addr, int len)
{
    return set_name(names.nodename, addr, len);
}

int64_t sys_setdomainname(uaddr_t addr, int len)
{
    return set_name(names.domainname, addr, len);
}

struct k_sysinfo {
    int64_t uptime;
    uint64_t loads[3], totalram, freeram, sharedram, bufferram, totalswap, freeswap;
    uint16_t procs, pad;
    uint32_t pad2;
    uint64_t totalhigh, freehigh;
    uint32_t mem_unit, pad3;
};
_Static_assert(sizeof(struct k_sysinfo) == 112, "struct sysinfo");

int64_t sys_sysinfo(uaddr_t addr)
{
    struct k_sysinfo s;
    uint32_t load[3], running;
    memset(&s, 0, sizeof(s));
    s.uptime = (int64_t)(time_mono_ns() / NSEC_PER_SEC);
    sched_loadavg(load, &running);
    for (int i = 0; i < 3; i++)
        s.loads[i] = load[i];
    uint64_t used = hal_mem_used();
    s.totalram = mm_limit_bytes();
    s.freeram = used < s.totalram ? s.totalram - used : 0;
    s.procs = (uint16_t)k_min(pid_nr_threads(), 0xffffu);
    s.mem_unit = 1;
    return put_user(s, addr);
}

/* ---- random bytes ---- */

enum { GRND_NONBLOCK = 1, GRND_RANDOM = 2, GRND_INSECURE = 4 };

#define RANDOM_CHUNK 256u

int64_t sys_getrandom(uaddr_t addr, uint64_t len, uint32_t flags)
{
    uint8_t buf[RANDOM_CHUNK];
    if ((flags & ~(uint32_t)(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE)) ||
        (flags & (GRND_RANDOM | GRND_INSECURE)) == (GRND_RANDOM | GRND_INSECURE))
        return -EINVAL;
    len = k_min(len, (uint64_t)INT32_MAX);
    uint64_t done = 0;
    while (done < len) {
        uint64_t n = k_min(len - done, (uint64_t)sizeof(buf));
        drbg_fill(buf, n);
        uint64_t left = copy_to_user_partial(addr + done, buf, n);
        done += n - left;
        if (left > 0) {
            memset(buf, 0, sizeof(buf));
            return done > 0 ? (int64_t)done : -EFAULT;
        }
        /* The first 256 bytes are never cut short; libraries count on it. */
        if (done < len && (done & (PAGE_SIZE - 1)) == 0) {
            if (signal_pending())
                break;
            sched_resched();
        }
    }
    memset(buf, 0, sizeof(buf));
    barrier();
    return (int64_t)done;
}

/* ---- membarrier ---- */

enum {
    MB_QUERY = 0,
    MB_GLOBAL = 1,
    MB_GLOBAL_EXPEDITED = 2,
    MB_REGISTER_GLOBAL_EXPEDITED = 4,
    MB_PRIVATE_EXPEDITED = 8,
    MB_REGISTER_PRIVATE_EXPEDITED = 16,
    MB_PRIVATE_EXPEDITED_SYNC_CORE = 32,
    MB_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE = 64,
    MB_PRIVATE_EXPEDITED_RSEQ = 128,
    MB_REGISTER_PRIVATE_EXPEDITED_RSEQ = 256,
    MB_ALL = 511,
};
enum { MB_FLAG_CPU = 1 };

/* Is some thread that runs on that CPU (negative: any) still to look at its critical section?
 * begin: makes all that run do so; who does not run will look when it is switched to. */
static bool rseq_unseen(struct process *p, int cpu, bool begin)
{
    struct thread *t;
    bool unseen = false;
    spin_lock(&proc_tree_lock);
    list_for_each (t, &p->threads, process_link) {
        if (t == current || !READ_ONCE(t->rseq) || !READ_ONCE(t->running) ||
            (cpu >= 0 && READ_ONCE(t->cpu) != (unsigned)cpu))
            continue;
        if (begin)
            __atomic_store_n(&t->rseq_dirty, true, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&t->rseq_dirty, __ATOMIC_ACQUIRE)) {
            unseen = true;
            sched_kick_thread(t); /* again: a kick passes by who is just going out */
        }
    }
    spin_unlock(&proc_tree_lock);
    return unseen;
}

static void restart_rseq(struct process *p, int cpu)
{
    for (bool begin = true; rseq_unseen(p, cpu, begin) && !signal_pending_fatal(); begin = false) {
        sched_resched();
        hal_cpu_yield();
    }
}

int64_t sys_membarrier(int cmd, uint32_t flags, int cpu)
{
    struct process *p = current->process;
    if (flags && (cmd != MB_PRIVATE_EXPEDITED_RSEQ || flags != MB_FLAG_CPU))
        return -EINVAL;
    switch (cmd) {
    case MB_QUERY: return MB_ALL;
    case MB_PRIVATE_EXPEDITED:
    case MB_PRIVATE_EXPEDITED_SYNC_CORE:
    case MB_PRIVATE_EXPEDITED_RSEQ:
        if (!(__atomic_load_n(&p->membarrier_state, __ATOMIC_ACQUIRE) & (uint32_t)cmd))
            return -EPERM;
        if (cmd == MB_PRIVATE_EXPEDITED_RSEQ)
            restart_rseq(p, flags ? cpu : -1);
        hal_sync_cores();
        return 0;
    case MB_GLOBAL:
    case MB_GLOBAL_EXPEDITED: hal_sync_cores(); return 0;
    case MB_REGISTER_GLOBAL_EXPEDITED:
    case MB_REGISTER_PRIVATE_EXPEDITED:
    case MB_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE:
    case MB_REGISTER_PRIVATE_EXPEDITED_RSEQ:
        /* The registration's bit is next to its command's. */
        __atomic_or_fetch(&p->membarrier_state, (uint32_t)cmd >> 1, __ATOMIC_RELEASE);
        return 0;
    default: return -EINVAL;
    }
}

/* ---- robust lists: the heads; proc/futex.c walks them ---- */

#define ROBUST_HEAD_SIZE 24

int64_t sys_set_robust_list(uaddr_t head, uint64_t len)
{
    if (len != ROBUST_HEAD_SIZE)
        return -EINVAL;
    current->robust_list = head;
    current->robust_list_len = len;
    return 0;
}

int64_t sys_get_robust_list(int pid, uaddr_t head_addr, uaddr_t len_addr)
{
    uaddr_t head;
    if (pid == 0) {
        head = current->robust_list;
    } else {
        int err = 0;
        spin_lock(&proc_tree_lock);
        struct thread *t = thread_find_locked(pid);
        if (!t)
            err = -ESRCH;
        else if (t->process != current->process && t->cred->uid != current->cred->euid &&
                 !capable(CAP_SYS_PTRACE_K))
            err = -EPERM;
        else
            head = t->robust_list;
        spin_unlock(&proc_tree_lock);
        if (err)
            return err;
    }
    if (put_user((uint64_t)ROBUST_HEAD_SIZE, len_addr) || put_user(head, head_addr))
        return -EFAULT;
    return 0;
}
