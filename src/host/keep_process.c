/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting the first host process of a process keep; see keep_process.h.
 *
 * The user namespace maps no user at all: the keep needs no identity at the host, and a program
 * that is exec'ed without one has no capabilities in any namespace. A launcher that is root lends
 * the keep a user number of its own, because the host's kernel counts and limits the processes of
 * every user but root.
 */
#include "keep_process.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "cleanup.h"

#define RUNTIME_NAME "cella-runtime-process"

/* Descriptors of the runtime, as its HAL expects them; those above are closed by exec. */
enum { FD_KERNEL_MEMORY = 3, FD_WINDOW = 4, FD_RUNTIME = 5, FD_REPORT = 6, FD_END = 7 };

/* What the child sends when it cannot go on. */
enum child_step { STEP_DESCRIPTORS, STEP_LIMITS, STEP_EXEC };
struct child_report {
    uint32_t step;
    int32_t error;
};

unsigned long keep_process_wanted_namespaces(void)
{
    return CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
}

/* ---- in the child: system calls only ---- */

static _Noreturn void child_fail(int report_fd, enum child_step step, int error)
{
    struct child_report report = {.step = step, .error = error};
    ssize_t n = write(report_fd, &report, sizeof(report));
    _exit(n == sizeof(report) ? 125 : 124);
}

static int enter_dead_directory(void *arg)
{
    int *result = arg;
    *result = chroot("/proc/self/fdinfo") < 0 || chdir("/") < 0 ? errno : 0;
    return 0;
}

/*
 * Makes the root an empty directory in which nothing can ever be made: that of a process which has
 * ended. A helper that shares our root and memory steps into its own /proc directory and ends. No
 * mount is needed, and Landlock would refuse one. Where it fails (no permission, no /proc) the
 * seccomp filter of the runtime stands alone.
 */
static void leave_file_system(void)
{
    char stack[4096] __attribute__((aligned(16)));
    int result = 0;
    pid_t helper = clone(enter_dead_directory, stack + sizeof(stack),
                         CLONE_VM | CLONE_VFORK | CLONE_FS | SIGCHLD, &result);
    if (helper > 0)
        waitpid(helper, NULL, __WALL);
}

/* Without a user namespace a runtime that root starts would keep root's capabilities over exec. */
static void drop_privileges(void)
{
    prctl(PR_SET_SECUREBITS,
          SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
              SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
              SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
          0, 0, 0);
    for (int cap = 0; cap < 64; cap++)
        prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {0};
    syscall(SYS_capset, &header, none);
}

/* Puts the descriptors in their places and closes all others. `fd` is in the order of the places
 * from 0. */
static int arrange_descriptors(const int fd[FD_END])
{
    int high[FD_END];
    for (int i = 0; i < FD_END; i++) {
        /* First out of the way of all the places. */
        high[i] = fcntl(fd[i], F_DUPFD, FD_END);
        if (high[i] < 0)
            return -1;
    }
    for (int i = 0; i < FD_END; i++)
        if (dup3(high[i], i, i >= FD_RUNTIME ? O_CLOEXEC : 0) < 0)
            return -1;
    if (syscall(SYS_close_range, FD_END, ~0u, 0) == 0)
        return 0;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -1;
    for (rlim_t i = FD_END; i < limit.rlim_cur; i++)
        close((int)i);
    return 0;
}

static _Noreturn void child(const int fd[FD_END], uint32_t max_tasks)
{
    static char *const argv[] = {"cella-runtime", NULL};
    static char *const envp[] = {NULL};
    int report_fd = fd[FD_REPORT];

    /* The launcher may have died before the signal was asked for; then its end of the pair is
     * closed. The child's copy of that end is closed by its caller. */
    struct pollfd p = {.fd = report_fd, .events = POLLIN};
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || poll(&p, 1, 0) != 0)
        _exit(125);

    setsid();
    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);

    leave_file_system();
    if (arrange_descriptors(fd) < 0)
        child_fail(report_fd, STEP_DESCRIPTORS, errno);

    struct rlimit no_core = {0, 0}, address_space;
    if (setrlimit(RLIMIT_CORE, &no_core) < 0)
        child_fail(FD_REPORT, STEP_LIMITS, errno);
    if (getrlimit(RLIMIT_AS, &address_space) == 0) {
        address_space.rlim_cur = address_space.rlim_max;
        setrlimit(RLIMIT_AS, &address_space);
    }
    struct rlimit tasks = {max_tasks, max_tasks};
    if (setrlimit(RLIMIT_NPROC, &tasks) < 0)
        child_fail(FD_REPORT, STEP_LIMITS, errno);
    umask(077);
    drop_privileges();
    syscall(SYS_execveat, FD_RUNTIME, "", argv, envp, AT_EMPTY_PATH);
    child_fail(FD_REPORT, STEP_EXEC, errno);
}

/* ---- in the launcher ---- */

/* What to try, from all to none. A host may forbid some: containers without CAP_SYS_ADMIN, limits
 * of 0, systems that let user namespaces be made but give no rights in them. */
static const unsigned long namespace_choices[] = {
    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS,
    CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS,
    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS,
    CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS,
    CLONE_NEWUSER | CLONE_NEWPID,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    0,
};

static bool is_refusal(int error)
{
    return error == EPERM || error == ENOSPC || error == EINVAL || error == EUSERS ||
           error == EACCES || error == ENOSYS;
}

#define KEEP_UID_BASE 0x70000000u /* far from all that systems give out; + the launcher's pid */

/* Takes the keep's own user number on, with all capabilities kept, and returns true; or does
 * nothing. undo: becomes root again. */
static bool borrow_user(bool undo)
{
    uid_t uid = undo ? 0 : KEEP_UID_BASE + (uid_t)getpid();
    if (!undo && (geteuid() != 0 || prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0))
        return false;
    /* The saved numbers stay root's, for the way back; exec gives the keep's up. A container may
     * map no such number: then its root is not the host's, and limited already. */
    bool changed = setresgid(uid, uid, (gid_t)-1) == 0 && setresuid(uid, uid, (uid_t)-1) == 0;
    if (undo || !changed)
        prctl(PR_SET_SECUREBITS, 0, 0, 0, 0);
    return changed;
}

int keep_process_start(struct keep_process *keep, int runtime_fd, int kernel_memory_fd,
                       int window_fd, int null_fd, uint32_t max_tasks, struct cella_error *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return cella_error_set(err, "cannot make a socket pair: %s", strerror(errno));
    cleanup_close int ours = pair[0];
    cleanup_close int childs = pair[1];
    const int fd[FD_END] = {
        null_fd,
        null_fd,
        null_fd,
        [FD_KERNEL_MEMORY] = kernel_memory_fd,
        [FD_WINDOW] = window_fd,
        [FD_RUNTIME] = runtime_fd,
        [FD_REPORT] = childs,
    };

    long pid = -1;
    int pid_fd = -1, error = 0;
    bool borrowed = borrow_user(false);
    for (size_t i = 0; pid < 0 && i < sizeof(namespace_choices) / sizeof(namespace_choices[0]);
         i++) {
        keep->namespaces = namespace_choices[i];
        /* The raw call: a fork with namespaces. This process has one thread only, so the child may
         * go on with its memory. */
        pid =
            syscall(SYS_clone, keep->namespaces | CLONE_PIDFD | SIGCHLD, NULL, &pid_fd, NULL, NULL);
        if (pid == 0) {
            close(ours);
            child(fd, max_tasks);
        }
        error = errno;
        if (pid < 0 && !is_refusal(error))
            break;
    }
    if (borrowed && !borrow_user(true))
        return cella_error_set(err, "cannot take root's identity again: %s", strerror(errno));
    if (pid < 0)
        return cella_error_set(
            err, "cannot start the keep's process: %s; raise the limit of processes (ulimit -u)",
            strerror(error));
    keep->pid = (pid_t)pid;
    keep->pid_fd = pid_fd;
    keep->report_fd = steal_fd(&ours);
    fcntl(pid_fd, F_SETFD, FD_CLOEXEC);
    return 0;
}

int keep_process_check(struct keep_process *keep, struct cella_error *err)
{
    struct child_report report;
    ssize_t n = read(keep->report_fd, &report, sizeof(report));
    close(keep->report_fd);
    keep->report_fd = -1;
    if (n == 0)
        return 0;
    if (n != sizeof(report))
        return cella_error_set(err, "the keep's process sent half a report");
    switch (report.step) {
    case STEP_EXEC:
        return cella_error_set(err,
                               "cannot execute the runtime: %s; install cella on a file system "
                               "without noexec, for this machine's processor",
                               strerror(report.error));
    case STEP_LIMITS:
        return cella_error_set(err, "cannot set the limits of the keep's process: %s",
                               strerror(report.error));
    default:
        return cella_error_set(
            err, "cannot set up the keep's process: %s; raise the limit of open files (ulimit -n)",
            strerror(report.error));
    }
}

void keep_process_kill(struct keep_process *keep)
{
    /* Pid 1 of a namespace takes all others along; without one the keep's process group is all
     * there is to name. */
    syscall(SYS_pidfd_send_signal, keep->pid_fd, SIGKILL, NULL, 0);
    if (!(keep->namespaces & CLONE_NEWPID))
        kill(-keep->pid, SIGKILL);
    while (waitpid(keep->pid, NULL, 0) < 0 && errno == EINTR) {
    }
}

int keep_runtime_open(struct cella_error *err)
{
    /* Beside the command; as installed; in the folder where both were built. */
    static const char *const places[] = {RUNTIME_NAME, "../libexec/cella/" RUNTIME_NAME,
                                         "src/hal/process/" RUNTIME_NAME};
    char self[PATH_MAX], path[PATH_MAX + 64];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (len < 0)
        return cella_error_set(err, "cannot read /proc/self/exe: %s; mount proc at /proc",
                               strerror(errno));
    self[len] = '\0';
    const char *dir = dirname(self);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, places[i]);
        int fd = open(path, O_PATH | O_CLOEXEC);
        if (fd >= 0)
            return fd;
    }
    return cella_error_set(
        err,
        "the runtime %s is neither in %s nor in %s/../libexec/cella; build or install cella anew",
        RUNTIME_NAME, dir, dir);
}
