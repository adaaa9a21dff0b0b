/* SPDX-License-Identifier: Apache-2.0 */
/* clone and clone3: what each flag shares, and which combinations are refused. */
#include "cella_proc.h"

#include <linux/futex.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>

static unsigned char child_stack[64 * 1024] __attribute__((aligned(16)));

/* clone with a stack of its own; glibc's wrapper makes the named system call. */
static int clone_on_stack(int (*fn)(void *), int flags, void *arg)
{
    return clone(fn, child_stack + sizeof(child_stack), flags, arg);
}

/* The raw call without a new stack, so with the memory copied: as fork. */
static long clone_raw(unsigned long flags, int *parent_tid, int *child_tid)
{
    return syscall(SYS_clone, flags, 0, parent_tid, child_tid, 0);
}

/* Waits for a child of whatever exit signal. */
static int wait_any_kind(pid_t pid)
{
    int status;
    CHECK_EQ(waitpid(pid, &status, __WALL), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(clone, success, "with only SIGCHLD it is fork")
{
    volatile int value = 1;
    long pid = clone_raw(SIGCHLD, NULL, NULL);
    CHECK(pid >= 0);
    if (pid == 0) {
        value = 2;
        _exit(value);
    }
    CHECK_EQ(cella_wait_exit((pid_t)pid), 2);
    CHECK_EQ(value, 1);
}

static int store_and_return(void *arg)
{
    *(volatile int *)arg = 11;
    return 12;
}

TEST(clone, success, "CLONE_VM shares the memory, and the function's result is the status")
{
    volatile int value = 1;
    int pid = clone_on_stack(store_and_return, CLONE_VM | SIGCHLD, (void *)&value);
    CHECK(pid > 0);
    CHECK_EQ(cella_wait_exit(pid), 12);
    CHECK_EQ(value, 11);
}

TEST(clone, success, "CLONE_VM with CLONE_VFORK returns when the child has ended")
{
    volatile int value = 1;
    int pid = clone_on_stack(store_and_return, CLONE_VM | CLONE_VFORK | SIGCHLD, (void *)&value);
    CHECK(pid > 0);
    CHECK_EQ(value, 11);
    CHECK_EQ(cella_wait_exit(pid), 12);
}

TEST(clone, success, "CLONE_PARENT_SETTID and CLONE_CHILD_SETTID store the child's id")
{
    int *words = shared_memory(PAGE);
    static int parent_tid, child_tid;
    const unsigned long flags = CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD;
    long pid = clone_raw(flags, &parent_tid, &child_tid);
    CHECK(pid >= 0);
    if (pid == 0) {
        words[0] = child_tid;
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit((pid_t)pid), 0);
    CHECK_EQ(parent_tid, pid);
    CHECK_EQ(words[0], pid);
    CHECK_EQ(child_tid, 0); /* the child's copy of the memory was written, not ours */
}

static int exit_at_once(void *arg)
{
    (void)arg;
    return 0;
}

TEST(clone, success, "CLONE_CHILD_CLEARTID zeroes the word at the child's end and wakes a futex")
{
    static int word;
    word = -1;
    int pid = clone(exit_at_once, child_stack + sizeof(child_stack),
                    CLONE_VM | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD, NULL, &word,
                    NULL, &word);
    CHECK(pid > 0);
    for (int seen; (seen = __atomic_load_n(&word, __ATOMIC_SEQ_CST)) != 0;)
        syscall(SYS_futex, &word, FUTEX_WAIT, seen, NULL, NULL, 0);
    CHECK_EQ(cella_wait_exit(pid), 0);
}

static int close_descriptor(void *arg)
{
    return close(*(int *)arg) ? 1 : 0;
}

TEST(clone, success, "CLONE_FILES shares the descriptor table")
{
    int fd = open("/", O_RDONLY);
    CHECK(fd >= 0);
    int pid = clone_on_stack(close_descriptor, CLONE_VM | CLONE_FILES | SIGCHLD, &fd);
    CHECK(pid > 0);
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_ERRNO(fcntl(fd, F_GETFD), EBADF);
}

TEST(clone, success, "without CLONE_FILES the child closes its own copy")
{
    int fd = open("/", O_RDONLY);
    CHECK(fd >= 0);
    int pid = clone_on_stack(close_descriptor, CLONE_VM | SIGCHLD, &fd);
    CHECK(pid > 0);
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_OK(fcntl(fd, F_GETFD));
}

TEST(clone, success, "CLONE_FILES without shared memory shares the table all the same")
{
    int fd = open("/", O_RDONLY);
    CHECK(fd >= 0);
    long pid = clone_raw(CLONE_FILES | SIGCHLD, NULL, NULL);
    CHECK(pid >= 0);
    if (pid == 0)
        _exit(close(fd) ? 1 : 0);
    CHECK_EQ(cella_wait_exit((pid_t)pid), 0);
    CHECK_ERRNO(fcntl(fd, F_GETFD), EBADF);
}

TEST(clone, success, "CLONE_FS shares the directory and the umask")
{
    char path[4096];
    cella_scratch();
    umask(022);
    long pid = clone_raw(CLONE_FS | SIGCHLD, NULL, NULL);
    CHECK(pid >= 0);
    if (pid == 0) {
        umask(0151);
        _exit(chdir("/") ? 1 : 0);
    }
    CHECK_EQ(cella_wait_exit((pid_t)pid), 0);
    CHECK(getcwd(path, sizeof(path)) != NULL);
    CHECK_STR(path, "/");
    CHECK_EQ(umask(022), 0151);
}

static int ignore_usr1(void *arg)
{
    (void)arg;
    struct sigaction action = {.sa_handler = SIG_IGN};
    return sigaction(SIGUSR1, &action, NULL) ? 1 : 0;
}

TEST(clone, success, "CLONE_SIGHAND shares the signal actions")
{
    struct sigaction action;
    int pid = clone_on_stack(ignore_usr1, CLONE_VM | CLONE_SIGHAND | SIGCHLD, NULL);
    CHECK(pid > 0);
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_OK(sigaction(SIGUSR1, NULL, &action));
    CHECK(action.sa_handler == SIG_IGN);
}

TEST(clone, success, "CLONE_PARENT makes a sibling")
{
    int *words = shared_memory(PAGE);
    pid_t self = getpid();
    pid_t child = cella_fork();
    CHECK(child >= 0);
    if (child == 0) {
        long sibling = clone_raw(CLONE_PARENT | SIGCHLD, NULL, NULL);
        CHECK(sibling >= 0);
        if (sibling == 0) {
            CHECK_EQ(getppid(), self);
            _exit(21);
        }
        words[0] = (int)sibling;
        CHECK_ERRNO(waitpid((pid_t)sibling, NULL, 0), ECHILD);
        _exit(20);
    }
    CHECK_EQ(cella_wait_exit(child), 20);
    CHECK_EQ(cella_wait_exit(words[0]), 21);
}

static volatile sig_atomic_t exit_signal_pid, exit_signal_code, exit_signal_count;

static void note_exit_signal(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    exit_signal_pid = info->si_pid;
    exit_signal_code = info->si_code;
    exit_signal_count = exit_signal_count + 1;
}

TEST(clone, success, "another exit signal is sent, and wait needs __WALL or __WCLONE")
{
    sigset_t old, usr1;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    CHECK_OK(sigprocmask(SIG_BLOCK, &usr1, &old));
    set_handler(SIGUSR1, note_exit_signal, 0);
    long pid = clone_raw(SIGUSR1, NULL, NULL);
    CHECK(pid >= 0);
    if (pid == 0)
        _exit(4);
    while (!exit_signal_count)
        sigsuspend(&old);
    CHECK_EQ(exit_signal_pid, pid);
    CHECK_EQ(exit_signal_code, CLD_EXITED);
    CHECK_ERRNO(waitpid((pid_t)pid, NULL, 0), ECHILD);
    int status;
    CHECK_EQ(waitpid((pid_t)pid, &status, __WCLONE), pid);
    CHECK_EQ(WEXITSTATUS(status), 4);
}

TEST(clone, success, "exit signal 0 sends none")
{
    set_handler(SIGCHLD, note_exit_signal, SA_RESTART);
    long pid = clone_raw(0, NULL, NULL);
    CHECK(pid >= 0);
    if (pid == 0)
        _exit(5);
    CHECK_EQ(wait_any_kind((pid_t)pid), 5);
    CHECK_EQ(exit_signal_count, 0);
}

struct thread_view {
    pid_t pid, ppid, tid;
    int done;
};

/* Runs on a raw thread that shares this thread's TLS: nothing that sets errno may fail here. */
static int look_around(void *arg)
{
    struct thread_view *view = arg;
    view->pid = (pid_t)syscall(SYS_getpid);
    view->ppid = (pid_t)syscall(SYS_getppid);
    view->tid = (pid_t)syscall(SYS_gettid);
    set_word(&view->done, 1);
    syscall(SYS_exit, 0);
    return 0;
}

#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)

TEST(clone, success, "CLONE_THREAD makes a thread: one pid, an id of its own, nothing to wait for")
{
    struct thread_view view = {0, 0, 0, 0};
    int tid = clone_on_stack(look_around, THREAD_FLAGS, &view);
    CHECK(tid > 0);
    wait_for_word(&view.done);
    CHECK_EQ(view.pid, getpid());
    CHECK_EQ(view.ppid, getppid());
    CHECK_EQ(view.tid, tid);
    CHECK(tid != getpid());
    CHECK_ERRNO(waitpid(-1, NULL, __WALL), ECHILD);
}

TEST(clone, error, "combinations that cannot be are EINVAL")
{
    static const unsigned long wrong[] = {
        CLONE_SIGHAND,
        CLONE_THREAD,
        CLONE_VM | CLONE_THREAD,
        CLONE_FS | CLONE_NEWNS,
        CLONE_FS | CLONE_NEWUSER,
        CLONE_PIDFD | CLONE_PARENT_SETTID,
        CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_PIDFD | CLONE_PARENT_SETTID,
    };
    int word;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        CHECK_ERRNO(clone_raw(wrong[i], &word, &word), EINVAL);
    }
}

TEST(clone, limit, "EAGAIN above RLIMIT_NPROC, for processes and for threads")
{
    struct rlimit none = {0, 0};
    struct thread_view view = {0, 0, 0, 0};
    cella_drop_root();
    CHECK_OK(setrlimit(RLIMIT_NPROC, &none));
    CHECK_ERRNO(clone_raw(SIGCHLD, NULL, NULL), EAGAIN);
    CHECK_ERRNO(clone_on_stack(look_around, THREAD_FLAGS, &view), EAGAIN);
}

TEST(clone, limit, "an unwritable parent_tid is ignored")
{
    long pid = clone_raw(CLONE_PARENT_SETTID | SIGCHLD, bad_address(), NULL);
    CHECK(pid >= 0);
    if (pid == 0)
        _exit(6);
    CHECK_EQ(cella_wait_exit((pid_t)pid), 6);
}

/* What Linux 5.7 and later call struct clone_args, version 2. */
struct clone3_args {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
    uint64_t set_tid, set_tid_size, cgroup;
};

static long clone3_raw(struct clone3_args *args, size_t size)
{
    return syscall(SYS_clone3, args, size);
}

/* clone3 onto args->stack: the child calls fn(arg) there and ends its thread with the result. */
static long clone3_on_stack(struct clone3_args *args, int (*fn)(void *), void *arg)
{
    long ret;
    register int (*function)(void *) __asm__("r8") = fn;
    register void *argument __asm__("r9") = arg;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "mov %[argument], %%rdi\n\t"
                     "call *%[function]\n\t"
                     "mov %%eax, %%edi\n\t"
                     "mov %[exit], %%eax\n\t"
                     "syscall\n\t"
                     "1:"
                     : "=a"(ret)
                     : "a"(SYS_clone3), "D"(args), "S"(sizeof(*args)), [function] "r"(function),
                       [argument] "r"(argument), [exit] "i"(SYS_exit)
                     : "rcx", "r11", "memory", "cc");
    return ret;
}

TEST(clone3, success, "with an exit signal and no flags it is fork")
{
    struct clone3_args args = {.exit_signal = SIGCHLD};
    volatile int value = 1;
    long pid = clone3_raw(&args, sizeof(args));
    CHECK(pid >= 0);
    if (pid == 0) {
        value = 8;
        _exit(value);
    }
    CHECK_EQ(cella_wait_exit((pid_t)pid), 8);
    CHECK_EQ(value, 1);
}

TEST(clone3, success, "the first version of its structure, 64 bytes, is enough")
{
    struct clone3_args args = {.exit_signal = SIGCHLD};
    long pid = clone3_raw(&args, 64);
    CHECK(pid >= 0);
    if (pid == 0)
        _exit(9);
    CHECK_EQ(cella_wait_exit((pid_t)pid), 9);
}

TEST(clone3, success, "stack and stack_size name the whole stack, from its lowest byte")
{
    volatile int value = 1;
    struct clone3_args args = {.flags = CLONE_VM,
                               .exit_signal = SIGCHLD,
                               .stack = (uintptr_t)child_stack,
                               .stack_size = sizeof(child_stack)};
    long pid = clone3_on_stack(&args, store_and_return, (void *)&value);
    CHECK(pid > 0);
    CHECK_EQ(cella_wait_exit((pid_t)pid), 12);
    CHECK_EQ(value, 11);
}

TEST(clone3, success, "the thread ids are stored where asked")
{
    static int parent_tid, child_tid;
    struct thread_view view = {0, 0, 0, 0};
    struct clone3_args args = {.flags = THREAD_FLAGS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID,
                               .parent_tid = (uintptr_t)&parent_tid,
                               .child_tid = (uintptr_t)&child_tid,
                               .stack = (uintptr_t)child_stack,
                               .stack_size = sizeof(child_stack)};
    child_tid = -1;
    long tid = clone3_on_stack(&args, look_around, &view);
    CHECK(tid > 0);
    while (__atomic_load_n(&child_tid, __ATOMIC_SEQ_CST) != 0)
        syscall(SYS_futex, &child_tid, FUTEX_WAIT, -1, NULL, NULL, 0);
    CHECK_EQ(parent_tid, tid);
    CHECK_EQ(view.tid, tid);
    CHECK_EQ(view.pid, getpid());
}

TEST(clone3, success, "CLONE_PIDFD hands out a descriptor that polls readable at the end")
{
    int fd = -1;
    struct clone3_args args = {
        .flags = CLONE_PIDFD, .pidfd = (uintptr_t)&fd, .exit_signal = SIGCHLD};
    long pid = clone3_raw(&args, sizeof(args));
    CHECK(pid >= 0);
    if (pid == 0)
        _exit(3);
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    struct pollfd ready = {fd, POLLIN, 0};
    CHECK_EQ(poll(&ready, 1, -1), 1);
    CHECK_EQ(ready.revents & POLLIN, POLLIN);
    CHECK_EQ(cella_wait_exit((pid_t)pid), 3);
}

TEST(clone3, success, "CLONE_CLEAR_SIGHAND resets handlers and keeps what is ignored")
{
    struct clone3_args args = {.flags = CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD};
    struct sigaction action = {.sa_handler = SIG_IGN};
    set_handler(SIGUSR1, note_exit_signal, 0);
    CHECK_OK(sigaction(SIGUSR2, &action, NULL));
    long pid = clone3_raw(&args, sizeof(args));
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_OK(sigaction(SIGUSR1, NULL, &action));
        CHECK(action.sa_handler == SIG_DFL);
        CHECK_OK(sigaction(SIGUSR2, NULL, &action));
        CHECK(action.sa_handler == SIG_IGN);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit((pid_t)pid), 0);
}

TEST(clone3, error, "wrong structures")
{
    struct clone3_args args = {.exit_signal = SIGCHLD};
    struct {
        struct clone3_args args;
        uint64_t future;
    } longer = {args, 1};
    CHECK_ERRNO(clone3_raw(&args, 63), EINVAL);
    CHECK_ERRNO(clone3_raw(&args, 0), EINVAL);
    CHECK_ERRNO(clone3_raw(&args, PAGE + 1), E2BIG);
    CHECK_ERRNO(clone3_raw(&longer.args, sizeof(longer)), E2BIG);
    CHECK_ERRNO(clone3_raw(bad_address(), sizeof(args)), EFAULT);
}

TEST(clone3, error, "wrong values are EINVAL")
{
    struct clone3_args args = {.exit_signal = 65};
    CHECK_ERRNO(clone3_raw(&args, sizeof(args)), EINVAL);
    args = (struct clone3_args){.exit_signal = SIGCHLD, .flags = CLONE_DETACHED};
    CHECK_ERRNO(clone3_raw(&args, sizeof(args)), EINVAL);
    args = (struct clone3_args){.exit_signal = SIGCHLD, .flags = 1ull << 40};
    CHECK_ERRNO(clone3_raw(&args, sizeof(args)), EINVAL);
    args = (struct clone3_args){.exit_signal = SIGCHLD, .flags = SIGUSR1};
    CHECK_ERRNO(clone3_raw(&args, sizeof(args)), EINVAL);
    args = (struct clone3_args){.exit_signal = SIGCHLD, .stack = (uintptr_t)child_stack};
    CHECK_ERRNO(clone3_raw(&args, sizeof(args)), EINVAL);
    args = (struct clone3_args){.exit_signal = SIGCHLD, .stack_size = sizeof(child_stack)};
    CHECK_ERRNO(clone3_raw(&args, sizeof(args)), EINVAL);
    args = (struct clone3_args){.exit_signal = SIGCHLD, .flags = CLONE_PARENT};
    CHECK_ERRNO(clone3_raw(&args, sizeof(args)), EINVAL);
    args = (struct clone3_args){.flags = CLONE_SIGHAND | CLONE_VM | CLONE_CLEAR_SIGHAND};
    CHECK_ERRNO(clone3_raw(&args, sizeof(args)), EINVAL);
}

TEST(clone3, limit, "EAGAIN above RLIMIT_NPROC")
{
    struct clone3_args args = {.exit_signal = SIGCHLD};
    struct rlimit none = {0, 0};
    cella_drop_root();
    CHECK_OK(setrlimit(RLIMIT_NPROC, &none));
    CHECK_ERRNO(clone3_raw(&args, sizeof(args)), EAGAIN);
}

TEST(clone3, limit, "a longer structure is taken when what it adds is zero")
{
    struct {
        struct clone3_args args;
        uint64_t future[4];
    } longer = {.args = {.exit_signal = SIGCHLD}};
    long pid = clone3_raw(&longer.args, sizeof(longer));
    CHECK(pid >= 0);
    if (pid == 0)
        _exit(10);
    CHECK_EQ(cella_wait_exit((pid_t)pid), 10);
}

TEST_MAIN()
