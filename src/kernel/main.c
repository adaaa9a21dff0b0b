/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's start and end: memory, clock, scheduler, then process 1, whose thread mounts the
 * file systems, opens the standard streams and executes the program that the launcher named.
 */
#include "arch/x86_64/cpu.h"
#include "base/printk.h"
#include "boot.h"
#include "crypto/drbg.h"
#include "dev/console.h"
#include "dev/host_ring.h"
#include "hal.h"
#include "mm/mm.h"
#include "mm/text_view.h"
#include "proc/cpus.h"
#include "proc/futex.h"
#include "proc/program.h"
#include "proc/sessions.h"
#include "proc/sysinfo.h"
#include "proc/task.h"
#include "stats.h"
#include "syscall/syscall.h"

void keep_exit(int wait_status)
{
    console_drain(NULL);
    if (boot.h.flags & CELLA_BOOT_STATS)
        stats_report();
    hal_exit(wait_status);
}

static __noreturn void boot_fail(int status, const char *fmt, const char *what, const char *why)
{
    printk(fmt, what, why);
    keep_exit(status << 8);
}

static void init_thread(void *arg)
{
    const char *what;
    const struct program program = {
        .path = boot.program,
        .argv = boot.argv,
        .envp = boot.envp,
        .workdir = boot.workdir,
        .uid = boot.h.uid,
        .gid = boot.h.gid,
        .groups = boot.h.groups,
        .nr_groups = boot.h.nr_groups,
    };
    struct program_failure failure;
    int r = boot_mount(&what);
    if (r)
        boot_fail(STATUS_CELLA, "run: cannot mount %s: %s", what, program_error_text(r));
    struct console *c = console_create(0, boot.h.stdio_mode, boot.h.stdio_is_tty,
                                       boot.h.flags & CELLA_BOOT_TERMINAL);
    if (!c || program_open_streams(c, boot.h.uid))
        panic("no memory for process 1");
    console_put(c);
    if (program_start(&program, &failure))
        boot_fail(failure.status, "run: %s: %s", failure.what, failure.why);
    boot.started = true;
    if ((boot.h.flags & CELLA_BOOT_SESSIONS) && !sessions_start())
        panic("no memory for the sessions");
}

void kernel_main(void)
{
    arch_xstate_init();
    if (host_ring_init())
        hal_exit(STATUS_CELLA << 8);
    time_init();
    drbg_init();
    futex_init();
    text_view_init();
    boot_read();
    mm_set_limit(boot.h.memory_limit);
    sysinfo_set_hostname(boot.hostname);
    syscall_trace = boot.h.flags & CELLA_BOOT_TRACE;
    struct process *init = process_create_init();
    if (!init || hal_cpus_start())
        panic("the host gives too little for a keep of %u CPUs", hal_nr_cpus());
    init->leader->kthread_fn = init_thread;
    sched_add_new(init->leader);
    kernel_cpu_main(0);
}
