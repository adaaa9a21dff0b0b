/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root of /proc: what is told of the whole keep, and a directory for each process. A thread's
 * number that is no process's is found by name, but not listed.
 */
#include "base/string.h"
#include "fs/inode.h"
#include "fs/procfs.h"
#include "proc/pid.h"

#define PROC_MAGIC 0x9fa0

/* ---- which thread, and whose ---- */

/* proc_tree_lock held; not counted. */
static struct thread *thread_locked(const struct pseudo_node *n)
{
    struct thread *t = thread_find_locked(n->tid);
    if (!t || t->process->pid != n->pid || t->process->start_time != n->born)
        return NULL;
    return t;
}

struct thread *proc_thread(const struct pseudo_node *n)
{
    spin_lock(&proc_tree_lock);
    struct thread *t = thread_locked(n);
    if (t)
        thread_get(t);
    spin_unlock(&proc_tree_lock);
    return t;
}

int proc_may_look(struct thread *t)
{
    const struct cred *me = current->cred;
    if (t->process == current->process || !me || capable(CAP_SYS_PTRACE_K))
        return 0;
    struct cred *c = thread_cred_get(t);
    if (!c)
        return -EACCES;
    bool same = me->fsuid == c->uid && me->fsuid == c->euid && me->fsuid == c->suid &&
                me->fsgid == c->gid && me->fsgid == c->egid && me->fsgid == c->sgid;
    bool more = c->cap_permitted & ~me->cap_effective;
    cred_put(c);
    return same && !more && t->process->dumpable ? 0 : -EACCES;
}

int proc_open_private(const struct pseudo_node *n)
{
    THREAD_REF(t, proc_thread(n));
    if (!t)
        return -ESRCH;
    return proc_may_look(t);
}

/* What belongs to a process belongs to its effective user; to root when others must not see it. The
 * process itself always reaches its own. */
static void node_refresh(const struct pseudo_node *n, struct inode *inode)
{
    if (!n->pid)
        return;
    spin_lock(&proc_tree_lock);
    struct thread *t = thread_locked(n);
    const struct cred *c = t ? t->cred : NULL;
    if (c && (t->process->dumpable || t->process == current->process)) {
        inode->uid = c->euid;
        inode->gid = c->egid;
    } else {
        inode->uid = inode->gid = 0;
    }
    spin_unlock(&proc_tree_lock);
}

static bool node_alive(const struct pseudo_node *n)
{
    if (!n->pid)
        return true;
    spin_lock(&proc_tree_lock);
    bool alive = thread_locked(n) != NULL;
    spin_unlock(&proc_tree_lock);
    return alive;
}

/* ---- directories of processes ---- */

static void set_child(struct pseudo_node *child, const struct process *p, kpid_t tid)
{
    child->entry = &proc_pid_entry;
    child->pid = p->pid;
    child->tid = tid;
    child->born = p->start_time;
}

static int pid_lookup(const struct pseudo_node *dir, const char *name, struct pseudo_node *child)
{
    uint32_t tid;
    int err = -ENOENT;
    if (!pseudo_parse_name(name, PID_MAX_K, &tid))
        return -ENOENT;
    spin_lock(&proc_tree_lock);
    struct thread *t = thread_find_locked((kpid_t)tid);
    if (t && !t->process->is_kernel) {
        set_child(child, t->process, t->tid);
        err = 0;
    }
    spin_unlock(&proc_tree_lock);
    return err;
}

static bool pid_next(const struct pseudo_node *dir, uint64_t *cookie, char name[PSEUDO_NAME_MAX],
                     struct pseudo_node *child)
{
    struct process *p;
    bool found = false;
    spin_lock(&proc_tree_lock);
    list_for_each (p, &process_list, all_link) {
        if ((uint64_t)p->pid < *cookie)
            continue;
        *cookie = (uint64_t)p->pid;
        set_child(child, p, p->pid);
        found = true;
        break;
    }
    spin_unlock(&proc_tree_lock);
    if (found)
        k_snprintf(name, PSEUDO_NAME_MAX, "%d", child->pid);
    return found;
}

static int64_t self_readlink(const struct pseudo_node *n, char *buf, size_t size)
{
    char text[16];
    k_snprintf(text, sizeof(text), "%d", current->process->pid);
    return pseudo_link_text(buf, size, text);
}

static int64_t thread_self_readlink(const struct pseudo_node *n, char *buf, size_t size)
{
    char text[32];
    k_snprintf(text, sizeof(text), "%d/task/%d", current->process->pid, current->tid);
    return pseudo_link_text(buf, size, text);
}

/* ---- the table ---- */

static const struct pseudo_entry tty_entries[] = {
    TEXT("drivers", "/dev/tty             /dev/tty        5       0 system:/dev/tty\n"
                    "/dev/console         /dev/console    5       1 system:console\n"
                    "/dev/ptmx            /dev/ptmx       5       2 system\n"
                    "pty_slave            /dev/pts      136 0-1023 pty:slave\n"),
    {},
};
static const struct pseudo_dir tty_dir = {.entries = tty_entries};
static const struct pseudo_dir sysvipc_dir =
    DIR_OF(SHOWN("msg", proc_sysvipc_msg_show), SHOWN("sem", proc_sysvipc_sem_show),
           SHOWN("shm", proc_sysvipc_shm_show));

static const struct pseudo_entry root_entries[] = {
    TEXT("cmdline", "\n"),
    SHOWN("cpuinfo", proc_cpuinfo_show),
    TEXT("devices", "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 "
                    "/dev/ptmx\n136 pts\n\nBlock devices:\n"),
    TEXT("diskstats", ""),
    TEXT("filesystems",
         "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tdevtmpfs\nnodev\tramfs\nnodev\tdevpts\n"),
    SHOWN("interrupts", proc_interrupts_show),
    SHOWN("loadavg", proc_loadavg_show),
    SHOWN("meminfo", proc_meminfo_show),
    LINK("mounts", "self/mounts"),
    LINK("net", "self/net"),
    TEXT("partitions", "major minor  #blocks  name\n\n"),
    {.name = "self", .mode = S_IFLNK_K | 0777, .readlink = self_readlink},
    SHOWN("stat", proc_kernel_stat_show),
    TEXT("swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
    DIR("sysvipc", &sysvipc_dir),
    DIR("sys", &proc_sys_dir),
    {.name = "thread-self", .mode = S_IFLNK_K | 0777, .readlink = thread_self_readlink},
    DIR("tty", &tty_dir),
    SHOWN("uptime", proc_uptime_show),
    SHOWN("version", proc_version_show),
    SHOWN("vmstat", proc_vmstat_show),
    {},
};

static const struct pseudo_dir root_dir = {
    .entries = root_entries, .lookup = pid_lookup, .next = pid_next};
static const struct pseudo_entry root_entry = {
    .name = "/", .mode = S_IFDIR_K | 0555, .dir = &root_dir};

static const struct pseudo_fs proc_fs = {
    .root = &root_entry, .magic = PROC_MAGIC, .refresh = node_refresh, .alive = node_alive};

struct super_block *procfs_create(void)
{
    return pseudo_create("proc", &proc_fs);
}

struct process *proc_dir_process(const struct file *f)
{
    if (f->inode->sb->priv != &proc_fs)
        return NULL;
    const struct pseudo_node *n = pseudo_node(f->inode);
    struct thread *t = n->entry == &proc_pid_entry ? proc_thread(n) : NULL;
    if (!t)
        return NULL;
    struct process *p = t->process;
    process_get(p);
    thread_put(t);
    return p;
}
