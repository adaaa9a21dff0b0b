/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc tells of the whole keep: memory, CPU time, load, clocks, version. Formats: proc(5). */
#include "arch/x86_64/cpuinfo.h"
#include "base/kmalloc.h"
#include "fs/procfs.h"
#include "mm/mm.h"
#include "mm/page_cache.h"
#include "proc/cpus.h"
#include "proc/pid.h"
#include "proc/sysinfo.h"

int proc_constant_show(const struct pseudo_node *n, struct text *t)
{
    text_puts(t, n->entry->data);
    return 0;
}

/* ---- memory ---- */

void proc_memory(uint64_t *total, uint64_t *free)
{
    uint64_t used = hal_mem_used();
    *total = mm_limit_bytes();
    *free = used < *total ? *total - used : 0;
}

int proc_meminfo_show(const struct pseudo_node *n, struct text *t)
{
    uint64_t total, free, cached = page_cache_reclaimable_pages() * PAGE_SIZE,
                          heap = kmem_heap_bytes();
    proc_memory(&total, &free);
    cached = k_min(cached, total - free);
    const struct {
        const char *name;
        uint64_t bytes;
    } lines[] = {
        {"MemTotal:", total},  {"MemFree:", free},  {"MemAvailable:", free + cached},
        {"Buffers:", 0},       {"Cached:", cached}, {"SwapCached:", 0},
        {"SwapTotal:", 0},     {"SwapFree:", 0},    {"Slab:", heap},
        {"SUnreclaim:", heap},
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        text_printf(t, "%-15s %8lu kB\n", lines[i].name, lines[i].bytes >> 10);
    text_puts(t, "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        "
                 "0\nHugePages_Surp:        0\n"
                 "Hugepagesize:       2048 kB\nHugetlb:               0 kB\n");
    return 0;
}

int proc_vmstat_show(const struct pseudo_node *n, struct text *t)
{
    uint64_t total, free;
    proc_memory(&total, &free);
    text_printf(t, "nr_free_pages %lu\nnr_file_pages %lu\n", free / PAGE_SIZE,
                page_cache_reclaimable_pages());
    return 0;
}

/* ---- CPU time ---- */

struct cpu_time {
    uint64_t busy, idle; /* ticks */
};

/* The scheduler knows when a CPU was idle. What it ran otherwise counts as user time: it does not
 * tell the kernel's part. */
static struct cpu_time cpu_time(unsigned cpu, ktime_t now)
{
    uint64_t up = now - init_process->start_time, idle = k_min(sched_cpu_idle_ns(cpu), up);
    return (struct cpu_time){(up - idle) / CLOCK_TICK_NS, idle / CLOCK_TICK_NS};
}

struct process_counts {
    uint32_t blocked;
};

static int count_blocked(struct process *p, void *arg)
{
    struct process_counts *c = arg;
    struct thread *t;
    list_for_each (t, &p->threads, process_link) {
        unsigned state = READ_ONCE(t->state);
        c->blocked += state == THREAD_UNINTERRUPTIBLE || state == THREAD_KILLABLE;
    }
    return 0;
}

int proc_kernel_stat_show(const struct pseudo_node *n, struct text *t)
{
    struct cpu_time sum = {0, 0};
    struct process_counts counts = {0};
    uint64_t switches = 0, interrupts = 0;
    uint32_t avg[3], running;
    ktime_t now = time_mono_ns();
    for (unsigned i = 0; i < nr_cpus; i++) {
        struct cpu_time c = cpu_time(i, now);
        sum.busy += c.busy;
        sum.idle += c.idle;
        switches += READ_ONCE(cpus[i].nr_switches);
        interrupts += READ_ONCE(cpus[i].nr_interrupts);
    }
    text_printf(t, "cpu  %lu 0 0 %lu 0 0 0 0 0 0\n", sum.busy, sum.idle);
    for (unsigned i = 0; i < nr_cpus; i++) {
        struct cpu_time c = cpu_time(i, now);
        text_printf(t, "cpu%u %lu 0 0 %lu 0 0 0 0 0 0\n", i, c.busy, c.idle);
    }
    process_for_each(count_blocked, &counts);
    sched_loadavg(avg, &running);
    text_printf(
        t, "intr %lu\nctxt %lu\nbtime %lu\nprocesses %lu\nprocs_running %u\nprocs_blocked %u\n",
        interrupts, switches, (unsigned long)((time_real_ns() - now) / NSEC_PER_SEC),
        pid_nr_created(), running, counts.blocked);
    return 0;
}

int proc_interrupts_show(const struct pseudo_node *n, struct text *t)
{
    text_puts(t, "     ");
    for (unsigned i = 0; i < nr_cpus; i++)
        text_printf(t, "       CPU%-3u", i);
    text_puts(t, "\nLOC: ");
    for (unsigned i = 0; i < nr_cpus; i++)
        text_printf(t, "%10lu ", READ_ONCE(cpus[i].nr_interrupts));
    text_puts(t, "  Ticks and kicks\n");
    return 0;
}

int proc_uptime_show(const struct pseudo_node *n, struct text *t)
{
    uint64_t up = time_mono_ns() / CLOCK_TICK_NS, idle = 0;
    for (unsigned i = 0; i < nr_cpus; i++)
        idle += sched_cpu_idle_ns(i);
    idle /= CLOCK_TICK_NS;
    text_printf(t, "%lu.%02lu %lu.%02lu\n", up / 100, up % 100, idle / 100, idle % 100);
    return 0;
}

int proc_loadavg_show(const struct pseudo_node *n, struct text *t)
{
    uint32_t avg[3], running;
    sched_loadavg(avg, &running);
    for (int i = 0; i < 3; i++)
        text_printf(t, "%u.%02u ", avg[i] >> 16, (avg[i] & 0xffff) * 100 >> 16);
    text_printf(t, "%u/%u %d\n", running, pid_nr_threads(), pid_last());
    return 0;
}

/* ---- version, CPUs ---- */

int proc_version_show(const struct pseudo_node *n, struct text *t)
{
    struct uts_name u;
    sysinfo_get_names(&u);
    text_printf(t, "%s version %s (cella@cella) (gcc %s) %s\n", u.sysname, u.release, __VERSION__,
                u.version);
    return 0;
}

int proc_cpuinfo_show(const struct pseudo_node *n, struct text *t)
{
    cpuinfo_show(t, nr_cpus);
    return 0;
}
