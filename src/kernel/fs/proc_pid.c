/* SPDX-License-Identifier: Apache-2.0 */
/* The directories of a process and of a thread, and their smaller files. */
#include "base/kmalloc.h"
#include "base/string.h"
#include "fs/inode.h"
#include "fs/procfs.h"
#include "mm/mm.h"
#include "proc/pid.h"

#define OOM_ADJ_MIN (-1000)
#define OOM_ADJ_MAX 1000
#define OOM_OLD_MIN (-17)
#define OOM_OLD_MAX 15

/* ---- exe, cwd, root ---- */

enum { LINK_EXE, LINK_CWD, LINK_ROOT };

static int exe_path(struct thread *t, struct path *out)
{
    struct mm *mm = process_mm_get(t->process);
    int err = -ENOENT;
    if (!mm)
        return err;
    mutex_lock(&mm->lock);
    if (mm->exe) {
        *out = mm->exe->path;
        path_get(out);
        err = 0;
    }
    mutex_unlock(&mm->lock);
    mm_put(mm);
    return err;
}

static int fs_path(struct thread *t, bool root, struct path *out)
{
    spin_lock(&proc_tree_lock);
    struct fs_context *fs = t->fs;
    if (fs)
        ref_get(&fs->ref);
    spin_unlock(&proc_tree_lock);
    if (!fs)
        return -ENOENT;
    spin_lock(&fs->lock);
    *out = root ? fs->root : fs->cwd;
    path_get(out);
    spin_unlock(&fs->lock);
    fs_context_put(fs);
    return 0;
}

static int link_follow(const struct pseudo_node *n, struct path *out)
{
    THREAD_REF(t, proc_thread(n));
    if (!t)
        return -ENOENT;
    int err = proc_may_look(t);
    if (!err)
        err = n->entry->arg == LINK_EXE ? exe_path(t, out)
                                        : fs_path(t, n->entry->arg == LINK_ROOT, out);
    return err;
}

static int64_t link_readlink(const struct pseudo_node *n, char *buf, size_t size)
{
    struct path p;
    int64_t len = link_follow(n, &p);
    if (len)
        return len;
    char *room = kmalloc(PATH_MAX_K);
    len = -ENOMEM;
    if (room) {
        const char *s = path_to_string(&p, room, PATH_MAX_K, true);
        len = is_err(s) ? ptr_err(s) : pseudo_link_text(buf, size, s);
    }
    kfree(room);
    path_put(&p);
    return len;
}

/* ---- comm ---- */

static int comm_show(const struct pseudo_node *n, struct text *t)
{
    char comm[TASK_COMM_LEN];
    THREAD_REF(thread, proc_thread(n));
    if (!thread)
        return -ESRCH;
    memcpy(comm, thread->comm, sizeof(comm));
    comm[TASK_COMM_LEN - 1] = 0;
    text_puts(t, comm);
    text_putc(t, '\n');
    return 0;
}

static int64_t comm_write(const struct pseudo_node *n, char *buf, size_t len)
{
    char comm[TASK_COMM_LEN];
    THREAD_REF(thread, proc_thread(n));
    if (!thread)
        return -ESRCH;
    bool own = thread->process == current->process;
    if (own) {
        memset(comm, 0, sizeof(comm));
        k_strlcpy(comm, buf, sizeof(comm));
        memcpy(thread->comm, comm, sizeof(comm));
    }
    return own ? (int64_t)len : -EINVAL;
}

/* ---- limits ---- */

static int limits_show(const struct pseudo_node *n, struct text *t)
{
    static const struct {
        const char *name, *unit;
    } limits[NR_RLIMITS] = {
        {"Max cpu time", "seconds"},     {"Max file size", "bytes"},
        {"Max data size", "bytes"},      {"Max stack size", "bytes"},
        {"Max core file size", "bytes"}, {"Max resident set", "bytes"},
        {"Max processes", "processes"},  {"Max open files", "files"},
        {"Max locked memory", "bytes"},  {"Max address space", "bytes"},
        {"Max file locks", "locks"},     {"Max pending signals", "signals"},
        {"Max msgqueue size", "bytes"},  {"Max nice priority", NULL},
        {"Max realtime priority", NULL}, {"Max realtime timeout", "us"},
    };
    struct k_rlimit values[NR_RLIMITS];
    THREAD_REF(thread, proc_thread(n));
    if (!thread)
        return -ESRCH;
    spin_lock(&proc_tree_lock);
    memcpy(values, thread->process->rlim, sizeof(values));
    spin_unlock(&proc_tree_lock);
    text_printf(t, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (int i = 0; i < NR_RLIMITS; i++) {
        const uint64_t v[2] = {values[i].cur, values[i].max};
        text_printf(t, "%-25s ", limits[i].name);
        for (int k = 0; k < 2; k++) {
            if (v[k] == RLIM_INFINITY_K)
                text_printf(t, "%-20s ", "unlimited");
            else
                text_printf(t, "%-20lu ", v[k]);
        }
        if (limits[i].unit)
            text_printf(t, "%-10s", limits[i].unit);
        text_putc(t, '\n');
    }
    return 0;
}

/* ---- out of memory ---- */

enum { OOM_SCORE, OOM_SCORE_ADJ, OOM_ADJ };

static int oom_show(const struct pseudo_node *n, struct text *t)
{
    THREAD_REF(thread, proc_thread(n));
    if (!thread)
        return -ESRCH;
    struct process *p = thread->process;
    int adj = READ_ONCE(p->oom_score_adj);
    int64_t value = adj;
    if (n->entry->arg == OOM_ADJ) {
        value = adj == OOM_ADJ_MAX ? OOM_OLD_MAX : adj * -OOM_OLD_MIN / OOM_ADJ_MAX;
    } else if (n->entry->arg == OOM_SCORE) {
        struct mm *mm = process_mm_get(p);
        uint64_t total, free;
        proc_memory(&total, &free);
        uint64_t rss = mm ? mm_resident_pages(mm) : 0;
        int64_t points = 1000 + adj + (int64_t)(rss * 1000 / k_max(total / PAGE_SIZE, 1ul));
        value = !mm || adj == OOM_ADJ_MIN ? 0 : k_max(points * 2 / 3, (int64_t)0);
        if (mm)
            mm_put(mm);
    }
    text_printf(t, "%ld\n", (long)value);
    return 0;
}

static int64_t oom_write(const struct pseudo_node *n, char *buf, size_t len)
{
    int64_t value;
    int err = pseudo_parse_number(buf, &value);
    bool old = n->entry->arg == OOM_ADJ;
    if (!err &&
        (value < (old ? OOM_OLD_MIN : OOM_ADJ_MIN) || value > (old ? OOM_OLD_MAX : OOM_ADJ_MAX)))
        err = -EINVAL;
    if (err)
        return err;
    if (old)
        value = value == OOM_OLD_MAX ? OOM_ADJ_MAX : value * OOM_ADJ_MAX / -OOM_OLD_MIN;
    THREAD_REF(thread, proc_thread(n));
    if (!thread)
        return -ESRCH;
    struct process *p = thread->process;
    /* Who is not privileged can only make himself a more likely victim than he was, or go back to
     * neutral. */
    if (value < k_min(p->oom_score_adj, 0) && !vfs_capable(CAP_SYS_RESOURCE_K))
        err = -EACCES;
    else
        WRITE_ONCE(p->oom_score_adj, (int)value);
    return err ? err : (int64_t)len;
}

/* ---- io, personality, timer slack, children ---- */

static int io_show(const struct pseudo_node *n, struct text *t)
{
    THREAD_REF(thread, proc_thread(n));
    if (!thread)
        return -ESRCH;
    int err = proc_may_look(thread);
    const struct process *p = thread->process;
    /* The keep has no block devices: nothing ever goes to one. */
    if (!err)
        text_printf(t,
                    "rchar: %lu\nwchar: %lu\nsyscr: %lu\nsyscw: %lu\nread_bytes: 0\nwrite_bytes: "
                    "0\ncancelled_write_bytes: 0\n",
                    p->io_rchar, p->io_wchar, p->io_syscr, p->io_syscw);
    return err;
}

static int personality_show(const struct pseudo_node *n, struct text *t)
{
    THREAD_REF(thread, proc_thread(n));
    if (!thread)
        return -ESRCH;
    text_printf(t, "%08x\n", thread->process->personality);
    return 0;
}

static int timerslack_show(const struct pseudo_node *n, struct text *t)
{
    THREAD_REF(thread, proc_thread(n));
    if (!thread)
        return -ESRCH;
    text_printf(t, "%lu\n", thread->timer_slack_ns);
    return 0;
}

static int children_show(const struct pseudo_node *n, struct text *t)
{
    THREAD_REF(thread, proc_thread(n));
    struct process *c;
    if (!thread)
        return -ESRCH;
    spin_lock(&proc_tree_lock);
    list_for_each (c, &thread->process->children, sibling)
        if (c->parent_tid == thread->tid)
            text_printf(t, "%d ", c->pid);
    spin_unlock(&proc_tree_lock);
    return 0;
}

/* Files that exist for who looks for them, and cannot be changed. */
static int64_t refuse_write(const struct pseudo_node *n, char *buf, size_t len)
{
    return -EPERM;
}

/* ---- task/ ---- */

static int task_lookup(const struct pseudo_node *dir, const char *name, struct pseudo_node *child)
{
    uint32_t tid;
    if (!pseudo_parse_name(name, PID_MAX_K, &tid))
        return -ENOENT;
    child->entry = &proc_task_entry;
    child->tid = (kpid_t)tid;
    THREAD_REF(t, proc_thread(child)); /* of the same process */
    if (!t)
        return -ENOENT;
    return 0;
}

static bool task_next(const struct pseudo_node *dir, uint64_t *cookie, char name[PSEUDO_NAME_MAX],
                      struct pseudo_node *child)
{
    struct thread *self = proc_thread(dir), *t;
    kpid_t best = 0;
    if (!self)
        return false;
    spin_lock(&proc_tree_lock);
    list_for_each (t, &self->process->threads, process_link)
        if ((uint64_t)t->tid >= *cookie && (!best || t->tid < best))
            best = t->tid;
    spin_unlock(&proc_tree_lock);
    thread_put(self);
    if (!best)
        return false;
    *cookie = (uint64_t)best;
    child->entry = &proc_task_entry;
    child->tid = best;
    k_snprintf(name, PSEUDO_NAME_MAX, "%d", best);
    return true;
}

static const struct pseudo_dir task_list_dir = {.lookup = task_lookup, .next = task_next};

/* ---- the tables ---- */

#define DIR_ENTRY(n, m, d)                                                                         \
    {                                                                                              \
        .name = n, .mode = S_IFDIR_K | (m), .dir = d                                               \
    }
#define LINK_ENTRY(n, a)                                                                           \
    {                                                                                              \
        .name = n, .mode = S_IFLNK_K | 0777, .readlink = link_readlink, .follow = link_follow,     \
        .arg = a                                                                                   \
    }
#define FILE_ENTRY(n, m, fn)                                                                       \
    {                                                                                              \
        .name = n, .mode = S_IFREG_K | (m), .show = fn                                             \
    }
#define PRIVATE_ENTRY(n, m, fn)                                                                    \
    {                                                                                              \
        .name = n, .mode = S_IFREG_K | (m), .show = fn, .open = proc_open_private                  \
    }
#define FIXED_ENTRY(n, m, text, w)                                                                 \
    {                                                                                              \
        .name = n, .mode = S_IFREG_K | (m), .show = proc_constant_show, .data = text, .write = w   \
    }
#define OOM_ENTRY(n, m, a, w)                                                                      \
    {                                                                                              \
        .name = n, .mode = S_IFREG_K | (m), .show = oom_show, .write = w, .arg = a                 \
    }

#define ID_MAP "         0          0 4294967295\n"

#define COMMON_ENTRIES(whole)                                                                      \
    DIR_ENTRY("fd", 0500, &proc_fd_dir), DIR_ENTRY("fdinfo", 0555, &proc_fdinfo_dir),              \
        DIR_ENTRY("net", 0555, &proc_net_dir), PRIVATE_ENTRY("environ", 0400, proc_environ_show),  \
        PRIVATE_ENTRY("auxv", 0400, proc_auxv_show), FILE_ENTRY("status", 0444, proc_status_show), \
        PRIVATE_ENTRY("personality", 0400, personality_show),                                      \
        FILE_ENTRY("limits", 0444, limits_show),                                                   \
        {.name = "comm", .mode = S_IFREG_K | 0644, .show = comm_show, .write = comm_write},        \
        FILE_ENTRY("cmdline", 0444, proc_cmdline_show),                                            \
        {.name = "stat", .mode = S_IFREG_K | 0444, .show = proc_stat_show, .arg = whole},          \
        FILE_ENTRY("statm", 0444, proc_statm_show), PRIVATE_ENTRY("maps", 0444, proc_maps_show),   \
        {.name = "mem", .mode = S_IFREG_K | 0600, .fops = &proc_mem_fops},                         \
        LINK_ENTRY("cwd", LINK_CWD), LINK_ENTRY("root", LINK_ROOT), LINK_ENTRY("exe", LINK_EXE),   \
        FILE_ENTRY("mounts", 0444, proc_mounts_show),                                              \
        FILE_ENTRY("mountinfo", 0444, proc_mountinfo_show),                                        \
        PRIVATE_ENTRY("smaps", 0444, proc_smaps_show),                                             \
        PRIVATE_ENTRY("smaps_rollup", 0444, proc_smaps_rollup_show),                               \
        FIXED_ENTRY("wchan", 0444, "0", NULL), FIXED_ENTRY("cgroup", 0444, "0::/\n", NULL),        \
        OOM_ENTRY("oom_score", 0444, OOM_SCORE, NULL),                                             \
        OOM_ENTRY("oom_adj", 0644, OOM_ADJ, oom_write),                                            \
        OOM_ENTRY("oom_score_adj", 0644, OOM_SCORE_ADJ, oom_write),                                \
        FIXED_ENTRY("loginuid", 0644, "4294967295", refuse_write),                                 \
        FIXED_ENTRY("sessionid", 0444, "4294967295", NULL), FILE_ENTRY("io", 0400, io_show),       \
        FIXED_ENTRY("uid_map", 0644, ID_MAP, refuse_write),                                        \
        FIXED_ENTRY("gid_map", 0644, ID_MAP, refuse_write),                                        \
        FIXED_ENTRY("setgroups", 0644, "allow\n", refuse_write)

static const struct pseudo_entry pid_entries[] = {
    DIR_ENTRY("task", 0555, &task_list_dir),
    COMMON_ENTRIES(true),
    FILE_ENTRY("timerslack_ns", 0444, timerslack_show),
    {},
};
static const struct pseudo_entry task_entries[] = {
    COMMON_ENTRIES(false),
    FILE_ENTRY("children", 0444, children_show),
    {},
};

static const struct pseudo_dir pid_dir = {.entries = pid_entries},
                               task_dir = {.entries = task_entries};
const struct pseudo_entry proc_pid_entry = {.mode = S_IFDIR_K | 0555, .dir = &pid_dir};
const struct pseudo_entry proc_task_entry = {.mode = S_IFDIR_K | 0555, .dir = &task_dir};
