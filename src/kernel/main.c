/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's start and end: memory, clock, scheduler, then process 1, whose thread mounts the
 * file systems, opens the standard streams and executes the program that the launcher named.
 */
#include "arch/x86_64/cpu.h"
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/string.h"
#include "boot.h"
#include "crypto/drbg.h"
#include "dev/console.h"
#include "dev/host_ring.h"
#include "fs/vfs.h"
#include "hal.h"
#include "mm/mm.h"
#include "mm/text_view.h"
#include "proc/cpus.h"
#include "proc/exec.h"
#include "proc/futex.h"
#include "proc/sysinfo.h"
#include "proc/task.h"
#include "stats.h"
#include "syscall/syscall.h"

#define STATUS_CANNOT_RUN 126
#define STATUS_NOT_FOUND 127
#define STATUS_CELLA 125

void keep_exit(int wait_status)
{
    if (boot.h.flags & CELLA_BOOT_STATS)
        stats_report();
    hal_exit(wait_status);
}

static __noreturn void boot_fail(int status, const char *fmt, const char *what, const char *why)
{
    printk(fmt, what, why);
    keep_exit(status << 8);
}

static const char *reason(int err)
{
    switch (-err) {
    case ENOENT: return "there is no such file in the keep's root";
    case EACCES: return "permission denied";
    case ENOTDIR: return "a part of the path is not a directory";
    case EISDIR: return "is a directory";
    case ENOEXEC: return "not an x86-64 ELF program and not a script with #!";
    case ELIBBAD: return "its ELF interpreter is damaged";
    case ENOMEM: return "not enough memory; give more with --memory";
    case ELOOP: return "too many symbolic links";
    case E2BIG: return "the argument list is too long";
    case EROFS: return "the file system is read-only";
    case EIO: return "input/output error at the host";
    default: return "failed";
    }
}

static void set_identity(void)
{
    struct cred *c = cred_prepare();
    kgid_t *groups = boot.h.nr_groups ? kmalloc(boot.h.nr_groups * sizeof(*groups)) : NULL;
    if (!c || (boot.h.nr_groups && !groups))
        panic("no memory for credentials");
    c->uid = c->euid = c->suid = c->fsuid = boot.h.uid;
    c->gid = c->egid = c->sgid = c->fsgid = boot.h.gid;
    if (boot.h.uid)
        c->cap_effective = c->cap_permitted = c->cap_inheritable = c->cap_ambient = 0;
    if (groups)
        memcpy(groups, boot.h.groups, boot.h.nr_groups * sizeof(*groups));
    for (uint32_t i = 1; i < boot.h.nr_groups; i++)
        for (uint32_t j = i; j && groups[j - 1] > groups[j]; j--) {
            kgid_t t = groups[j];
            groups[j] = groups[j - 1];
            groups[j - 1] = t;
        }
    c->groups = groups;
    c->nr_groups = boot.h.nr_groups;
    cred_commit(c);
}

/* The first variable of that name in the environment, or NULL. */
static const char *environment(const char *name)
{
    size_t n = strlen(name);
    for (char **e = boot.envp; *e; e++)
        if (strncmp(*e, name, n) == 0 && (*e)[n] == '=')
            return *e + n + 1;
    return NULL;
}

/* Executes program as execvp(3) would. Returns the last error. */
static int exec_program(const char *program)
{
    if (strchr(program, '/'))
        return exec_first(program, boot.argv, boot.envp);
    const char *path = environment("PATH");
    int worst = -ENOENT;
    char *full = kmalloc(PATH_MAX_K);
    if (!full)
        return -ENOMEM;
    for (const char *p = path ? path : "/usr/bin:/bin"; *p;) {
        size_t n = 0;
        while (p[n] && p[n] != ':')
            n++;
        if (n && n + strlen(program) + 2 < PATH_MAX_K) {
            k_snprintf(full, PATH_MAX_K, "%.*s/%s", (int)n, p, program);
            int r = exec_first(full, boot.argv, boot.envp);
            if (r == 0) {
                kfree(full);
                return 0;
            }
            if (r != -ENOENT && r != -ENOTDIR)
                worst = r;
        }
        p += n + (p[n] == ':');
    }
    kfree(full);
    return worst;
}

static void open_standard_streams(void)
{
    console_init(boot.h.stdio_mode, boot.h.stdio_is_tty);
    for (int i = 0; i < 3; i++) {
        struct file *f = console_file(i);
        if (is_err(f) || fd_install(f, i, false) != i)
            panic("no memory for the standard streams");
    }
}

static void init_thread(void *arg)
{
    (void)arg;
    struct thread *t = current;
    const char *what;
    t->files = files_create();
    if (!t->files)
        panic("no memory for process 1");
    int r = boot_mount(&what);
    if (r)
        boot_fail(STATUS_CELLA, "run: cannot mount %s: %s", what, reason(r));
    open_standard_streams();
    set_identity();
    if (boot.workdir[0]) {
        r = fs_context_chdir(boot.workdir);
        if (r)
            boot_fail(STATUS_CELLA, "run: --workdir %s: %s", boot.workdir, reason(r));
    }
    r = exec_program(boot.program);
    if (r)
        boot_fail(r == -ENOENT || r == -ENOTDIR ? STATUS_NOT_FOUND
                  : r == -ENOMEM                ? STATUS_CELLA
                                                : STATUS_CANNOT_RUN,
                  "run: %s: %s", boot.program, reason(r));
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
