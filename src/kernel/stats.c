/* SPDX-License-Identifier: Apache-2.0 */
/* --stats: what the keep asked of the host, and how system calls came in. Printed when the keep ends. */
#include "base/kmalloc.h"
#include "base/printk.h"
#include "boot.h"
#include "dev/host_ring.h"
#include "hal.h"
#include "mm/text_view.h"
#include "proc/cpus.h"
#include "syscall/syscall.h"

static const char *const op_names[CELLA_HOST_NR_OPS] = {
    "nop", "root", "lookup", "close", "stat", "read", "write", "readdir", "readlink", "create", "symlink", "link", "unlink", "rename", "setattr", "fsync", "statfs", "getxattr",
    "console_read", "console_write", "cancel", "exit", "stats",
};

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
    printk("stats: system calls: %lu by patched site, %lu by trap, %lu of absent ones", syscalls_patched, syscalls_trapped, syscalls_absent);
    printk("stats: call sites: %lu patched, %lu refused", text_sites_patched, text_sites_refused);
    for (int i = 0; i < NR_SYSCALLS; i++)
        if (syscall_absent_count[i])
            printk("stats: absent call %s (%d): %u", syscall_table[i].name ? syscall_table[i].name : "?", i, syscall_absent_count[i]);
    uint64_t switches = 0;
    for (unsigned i = 0; i < nr_cpus; i++)
        switches += cpus[i].nr_switches;
    printk("stats: %lu context switches, %lu KiB of kernel heap", switches, kmem_heap_bytes() >> 10);
}
