/* SPDX-License-Identifier: Apache-2.0 */
/* --stats: what the keep asked of the host, and how system calls came in. Printed when the keep
 * ends. */
#include "base/kmalloc.h"
#include "base/printk.h"
#include "boot.h"
#include "dev/host_ring.h"
#include "hal.h"
#include "mm/text_view.h"
#include "base/string.h"
#include "proc/cpus.h"
#include "proc/task.h"
#include "stats.h"
#include "syscall/syscall.h"

static const char *const op_names[CELLA_HOST_NR_OPS] = {
    "nop",          "root",          "lookup",   "close",  "stat",         "read",
    "write",        "readdir",       "readlink", "create", "symlink",      "link",
    "unlink",       "rename",        "setattr",  "fsync",  "statfs",       "getxattr",
    "console_read", "console_write", "cancel",   "exit",   "session_wait", "console_size",
    "socket",       "bind",          "connect",  "send",   "recv",         "net_wait",
    "sockctl",
};

#define MAX_PROGRAMS 128

static struct program_calls {
    char comm[TASK_COMM_LEN];
    uint64_t runs, trapped, patched;
} programs[MAX_PROGRAMS]; /* the last one collects those for which there was no room */
static spinlock_t programs_lock = SPINLOCK_INIT;

void stats_program_ends(struct process *p, const char *comm)
{
    uint64_t trapped = __atomic_exchange_n(&p->nr_host_traps, 0, __ATOMIC_RELAXED);
    uint64_t patched = __atomic_exchange_n(&p->nr_patched_calls, 0, __ATOMIC_RELAXED);
    if (!(boot.h.flags & CELLA_BOOT_STATS))
        return;
    spin_lock(&programs_lock);
    struct program_calls *e = programs;
    while (e < &programs[MAX_PROGRAMS - 1] && e->runs && strcmp(e->comm, comm) != 0)
        e++;
    if (!e->runs)
        k_strlcpy(e->comm, e == &programs[MAX_PROGRAMS - 1] ? "(others)" : comm, sizeof(e->comm));
    e->runs++;
    e->trapped += trapped;
    e->patched += patched;
    spin_unlock(&programs_lock);
}

/* Those that still run. The process whose end ends the keep has been counted already. */
static int account_live(struct process *p, void *arg)
{
    if (p->nr_host_traps || p->nr_patched_calls)
        stats_program_ends(p, p->leader ? p->leader->comm : "?");
    return 0;
}

static void report_programs(void)
{
    uint64_t trapped = 0, patched = 0;
    process_for_each(account_live, NULL);
    printk("stats: %-16s %8s %12s %12s", "program", "runs", "trapped", "patched");
    for (struct program_calls *e = programs; e < &programs[MAX_PROGRAMS] && e->runs; e++) {
        printk("stats: %-16s %8lu %12lu %12lu", e->comm, e->runs, e->trapped, e->patched);
        trapped += e->trapped;
        patched += e->patched;
    }
    printk("stats: system calls: %lu by trap, %lu by patched site, %lu of absent ones", trapped,
           patched, syscalls_absent);
}

void stats_report(void)
{
    uint64_t calls = 0, bytes = 0;
    printk("stats: %-16s %12s %14s", "host operation", "calls", "bytes");
    for (int i = 0; i < CELLA_HOST_NR_OPS; i++) {
        struct host_op_count *c = &host_op_counts[i];
        calls += c->calls;
        bytes += c->bytes;
        if (c->calls)
            printk("stats: %-16s %12lu %14lu", op_names[i], c->calls, c->bytes);
    }
    printk("stats: %-16s %12lu %14lu", "total", calls, bytes);
    report_programs();
    printk("stats: call sites: %lu patched, %lu refused", text_sites_patched, text_sites_refused);
    for (int i = 0; i < NR_SYSCALLS; i++)
        if (syscall_absent_count[i])
            printk("stats: absent call %s (%d): %u",
                   syscall_table[i].name ? syscall_table[i].name : "?", i, syscall_absent_count[i]);
    uint64_t switches = 0;
    for (unsigned i = 0; i < nr_cpus; i++)
        switches += cpus[i].nr_switches;
    printk("stats: %lu context switches, %lu KiB of kernel heap", switches,
           kmem_heap_bytes() >> 10);
}
