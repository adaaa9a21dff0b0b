/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signal actions, masks and waits: rt_sigaction, rt_sigprocmask, rt_sigpending, rt_sigtimedwait,
 * rt_sigsuspend, pause, and the restart of interrupted calls.
 */
#include "cella_proc.h"

enum { MAX_LOG = 64, SET_SIZE = 8 };

/* Volatile, as all that handlers store: libc says of kill that it calls nothing of the program. */
static volatile struct {
    int sig, code, value;
    pid_t pid;
    uid_t uid;
} heard[MAX_LOG];
static volatile sig_atomic_t nr_heard;

static void hear(int sig, siginfo_t *info, void *context)
{
    int n = nr_heard;
    (void)context;
    if (n < MAX_LOG) {
        heard[n].sig = sig;
        heard[n].code = info->si_code;
        heard[n].value = info->si_value.sival_int;
        heard[n].pid = info->si_pid;
        heard[n].uid = info->si_uid;
    }
    nr_heard = n + 1;
}

/* A handler during which every signal is blocked, so that handlers run one after the other. */
static void hear_one_by_one(int sig)
{
    struct sigaction action = {.sa_sigaction = hear, .sa_flags = SA_SIGINFO};
    sigfillset(&action.sa_mask);
    CHECK_OK(sigaction(sig, &action, NULL));
}

static uint64_t bit(int sig)
{
    return 1ull << (sig - 1);
}

static long raw_mask(int how, const uint64_t *set, uint64_t *old)
{
    return syscall(SYS_rt_sigprocmask, how, set, old, SET_SIZE);
}

static uint64_t mask_now(void)
{
    uint64_t mask = 0;
    CHECK_EQ(raw_mask(SIG_BLOCK, NULL, &mask), 0);
    return mask;
}

static uint64_t pending_now(void)
{
    uint64_t pending = 0;
    CHECK_EQ(syscall(SYS_rt_sigpending, &pending, SET_SIZE), 0);
    return pending;
}

/* What the kernel takes; glibc's has another layout. */
struct kernel_action {
    void *handler;
    unsigned long flags;
    void *restorer;
    uint64_t mask;
};

static long raw_action(int sig, const struct kernel_action *set, struct kernel_action *old)
{
    return syscall(SYS_rt_sigaction, sig, set, old, SET_SIZE);
}

TEST(rt_sigaction, success, "the handler runs before kill returns, and knows the sender")
{
    set_handler(SIGUSR1, hear, 0);
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(nr_heard, 1);
    CHECK_EQ(heard[0].sig, SIGUSR1);
    CHECK_EQ(heard[0].code, SI_USER);
    CHECK_EQ(heard[0].pid, getpid());
    CHECK_EQ(heard[0].uid, getuid());
}

TEST(rt_sigaction, success, "the old action comes back whole")
{
    struct kernel_action set = {.handler = SIG_IGN,
                                .flags = SA_RESTART | SA_NODEFER | SA_NOCLDSTOP,
                                .mask = bit(SIGHUP) | bit(64)};
    struct kernel_action old;
    CHECK_EQ(raw_action(SIGUSR1, &set, NULL), 0);
    CHECK_EQ(raw_action(SIGUSR1, NULL, &old), 0);
    CHECK(old.handler == SIG_IGN);
    CHECK_EQ(old.flags, set.flags);
    CHECK_EQ(old.mask, set.mask);
    set = (struct kernel_action){.handler = SIG_DFL, .mask = bit(SIGKILL) | bit(SIGINT)};
    CHECK_EQ(raw_action(SIGUSR1, &set, &old), 0);
    CHECK(old.handler == SIG_IGN);
    CHECK_EQ(raw_action(SIGUSR1, NULL, &old), 0);
    CHECK_EQ(old.mask, bit(SIGINT)); /* SIGKILL can be in no mask */
}

static volatile uint64_t mask_in_handler;

static void note_mask(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    mask_in_handler = mask_now();
}

TEST(rt_sigaction, success, "during the handler sa_mask and the signal itself are blocked")
{
    struct sigaction action = {.sa_sigaction = note_mask, .sa_flags = SA_SIGINFO};
    sigaddset(&action.sa_mask, SIGHUP);
    change_mask(SIG_BLOCK, SIGUSR2);
    CHECK_OK(sigaction(SIGUSR1, &action, NULL));
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(mask_in_handler, bit(SIGUSR1) | bit(SIGHUP) | bit(SIGUSR2));
    CHECK_EQ(mask_now(), bit(SIGUSR2));
    action.sa_flags |= SA_NODEFER;
    CHECK_OK(sigaction(SIGUSR1, &action, NULL));
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(mask_in_handler, bit(SIGHUP) | bit(SIGUSR2));
}

static volatile sig_atomic_t depth, max_depth;

static void nest(int sig, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    depth = depth + 1;
    if (depth > max_depth)
        max_depth = depth;
    nr_heard = nr_heard + 1;
    if (nr_heard < 5)
        kill(getpid(), sig);
    depth = depth - 1;
}

TEST(rt_sigaction, success, "with SA_NODEFER the handler nests, without it they follow each other")
{
    set_handler(SIGUSR1, nest, SA_NODEFER);
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(nr_heard, 5);
    CHECK_EQ(max_depth, 5);
    nr_heard = max_depth = 0;
    set_handler(SIGUSR1, nest, 0);
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(nr_heard, 5);
    CHECK_EQ(max_depth, 1);
}

TEST(rt_sigaction, success, "SA_RESETHAND gives one call, then the default")
{
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        set_handler(SIGUSR1, hear, SA_RESETHAND);
        CHECK_OK(kill(getpid(), SIGUSR1));
        CHECK_EQ(nr_heard, 1);
        kill(getpid(), SIGUSR1);
        _exit(0);
    }
    CHECK_EQ(wait_signal(pid), SIGUSR1);
}

TEST(rt_sigaction, success, "to ignore a signal throws away the pending ones")
{
    change_mask(SIG_BLOCK, SIGUSR1);
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(pending_now(), bit(SIGUSR1));
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    CHECK_OK(sigaction(SIGUSR1, &ignore, NULL));
    CHECK_EQ(pending_now(), 0);
    set_handler(SIGCHLD, hear, 0);
    change_mask(SIG_BLOCK, SIGCHLD);
    CHECK_OK(kill(getpid(), SIGCHLD));
    struct sigaction standard = {.sa_handler = SIG_DFL}; /* SIGCHLD's default is to be ignored */
    CHECK_OK(sigaction(SIGCHLD, &standard, NULL));
    CHECK_EQ(pending_now(), 0);
}

TEST(rt_sigaction, success, "by default these signals end the process")
{
    static const int fatal[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGILL,  SIGTRAP, SIGABRT,   SIGBUS,
                                SIGFPE,  SIGKILL, SIGUSR1, SIGSEGV, SIGUSR2, SIGPIPE,   SIGALRM,
                                SIGTERM, SIGSTKFLT, SIGXCPU, SIGXFSZ, SIGVTALRM, SIGPROF, SIGIO,
                                SIGPWR,  SIGSYS,  34,      50,      64};
    for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++) {
        pid_t pid = idle_child();
        CHECK_OK(kill(pid, fatal[i]));
        CHECK_EQ(wait_signal(pid), fatal[i]);
    }
}

TEST(rt_sigaction, success, "by default these signals are ignored")
{
    static const int ignored[] = {SIGCHLD, SIGURG, SIGWINCH, SIGCONT};
    pid_t pid = idle_child();
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        CHECK_OK(kill(pid, ignored[i]));
    CHECK_OK(kill(pid, SIGTERM));
    CHECK_EQ(wait_signal(pid), SIGTERM);
}

TEST(rt_sigaction, success, "by default these signals stop, but SIGSTOP alone in an orphaned group")
{
    static const int stops[] = {SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU};
    int status;
    CHECK_OK(setsid()); /* from here on this process' own group is orphaned */
    pid_t pid = idle_child();
    CHECK_OK(setpgid(pid, pid)); /* this one's is not: its parent is in the session */
    for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
        CHECK_OK(kill(pid, stops[i]));
        CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
        CHECK(WIFSTOPPED(status));
        CHECK_EQ(WSTOPSIG(status), stops[i]);
        CHECK_OK(kill(pid, SIGCONT));
        CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
    }
    end_child(pid);
    pid = idle_child();
    CHECK_OK(kill(pid, SIGTSTP));
    CHECK_OK(kill(pid, SIGTTIN));
    CHECK_OK(kill(pid, SIGTERM));
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK_EQ(status, SIGTERM);
}

TEST(rt_sigaction, error, "EINVAL, EFAULT")
{
    struct kernel_action action = {.handler = SIG_IGN};
    CHECK_ERRNO(raw_action(SIGKILL, &action, NULL), EINVAL);
    CHECK_ERRNO(raw_action(SIGSTOP, &action, NULL), EINVAL);
    CHECK_ERRNO(raw_action(0, &action, NULL), EINVAL);
    CHECK_ERRNO(raw_action(65, &action, NULL), EINVAL);
    CHECK_ERRNO(raw_action(-1, NULL, &action), EINVAL);
    CHECK_ERRNO(raw_action(SIGUSR1, bad_address(), NULL), EFAULT);
    CHECK_ERRNO(raw_action(SIGUSR1, NULL, bad_address()), EFAULT);
    CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, &action, NULL, 16), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, &action, NULL, 4), EINVAL);
    CHECK_EQ(raw_action(SIGKILL, NULL, &action), 0); /* to ask is allowed */
    CHECK(action.handler == SIG_DFL);
}

TEST(rt_sigaction, limit, "signal 64 and signal 1 work, and unknown flags do not come back")
{
    hear_one_by_one(64);
    hear_one_by_one(1);
    CHECK_OK(kill(getpid(), 64));
    CHECK_OK(kill(getpid(), 1));
    CHECK_EQ(nr_heard, 2);
    struct kernel_action action = {.handler = SIG_IGN, .flags = 0x400 | 0x100000 | SA_RESTART};
    CHECK_EQ(raw_action(SIGUSR1, &action, NULL), 0);
    CHECK_EQ(raw_action(SIGUSR1, NULL, &action), 0);
    CHECK_EQ(action.flags, SA_RESTART);
}

static int pipe_ends[2];

static void write_at_third_tick(int nth)
{
    if (nth == 3 && write(pipe_ends[1], "x", 1) != 1)
        _exit(1);
}

TEST(rt_sigaction, interruption, "SA_RESTART restarts a read, again and again")
{
    char c = 0;
    CHECK_OK(pipe(pipe_ends));
    cella_ticks_start(20, SA_RESTART, write_at_third_tick);
    CHECK_EQ(read(pipe_ends[0], &c, 1), 1);
    cella_ticks_stop();
    CHECK(cella_ticks >= 3);
    CHECK_EQ(c, 'x');
}

TEST(rt_sigaction, interruption, "without SA_RESTART the read answers EINTR and has taken nothing")
{
    char c = 0;
    CHECK_OK(pipe(pipe_ends));
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(read(pipe_ends[0], &c, 1), EINTR);
    cella_ticks_stop();
    CHECK_EQ(write(pipe_ends[1], "y", 1), 1);
    CHECK_EQ(read(pipe_ends[0], &c, 1), 1);
    CHECK_EQ(c, 'y');
}

TEST(rt_sigaction, interruption, "an ignored signal and a stop interrupt nothing")
{
    char c = 0;
    CHECK_OK(pipe(pipe_ends));
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct sigaction ignore = {.sa_handler = SIG_IGN};
        CHECK_OK(sigaction(SIGUSR1, &ignore, NULL));
        CHECK_OK(sigaction(SIGCONT, &(struct sigaction){.sa_handler = SIG_DFL}, NULL));
        CHECK_EQ(write(pipe_ends[1], "r", 1), 1);
        cella_sleep_ms(10);
        CHECK_EQ(read(pipe_ends[0], &c, 1), 1);
        CHECK_EQ(c, 'x');
        _exit(0);
    }
    CHECK_EQ(read(pipe_ends[0], &c, 1), 1);
    cella_sleep_ms(40);
    for (int i = 0; i < 5; i++) {
        CHECK_OK(kill(pid, SIGUSR1));
        CHECK_OK(kill(pid, SIGSTOP));
        CHECK_EQ(waitpid(pid, NULL, WUNTRACED), pid);
        CHECK_OK(kill(pid, SIGCONT));
        CHECK_EQ(waitpid(pid, NULL, WCONTINUED), pid);
    }
    CHECK_EQ(write(pipe_ends[1], "x", 1), 1);
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(rt_sigprocmask, success, "block, unblock and set; what was pending comes before the return")
{
    uint64_t set = bit(SIGUSR1) | bit(SIGUSR2), old = 99, one = bit(SIGUSR2);
    hear_one_by_one(SIGUSR1);
    hear_one_by_one(SIGUSR2);
    CHECK_EQ(raw_mask(SIG_BLOCK, &set, &old), 0);
    CHECK_EQ(old, 0);
    CHECK_OK(kill(getpid(), SIGUSR2));
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(nr_heard, 0);
    CHECK_EQ(raw_mask(SIG_UNBLOCK, &one, &old), 0);
    CHECK_EQ(old, set);
    CHECK_EQ(nr_heard, 1);
    CHECK_EQ(heard[0].sig, SIGUSR2);
    CHECK_EQ(raw_mask(SIG_SETMASK, &one, NULL), 0);
    CHECK_EQ(nr_heard, 2);
    CHECK_EQ(heard[1].sig, SIGUSR1);
    CHECK_EQ(mask_now(), one);
}

static void *note_and_change_mask(void *arg)
{
    uint64_t set = bit(SIGHUP);
    *(uint64_t *)arg = mask_now();
    CHECK_EQ(raw_mask(SIG_SETMASK, &set, NULL), 0);
    return NULL;
}

TEST(rt_sigprocmask, success, "each thread has its own, and starts with its creator's")
{
    uint64_t set = bit(SIGUSR1), seen = 0;
    pthread_t thread;
    CHECK_EQ(raw_mask(SIG_BLOCK, &set, NULL), 0);
    CHECK_EQ(pthread_create(&thread, NULL, note_and_change_mask, &seen), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(seen, set);
    CHECK_EQ(mask_now(), set);
}

TEST(rt_sigprocmask, error, "EINVAL, EFAULT")
{
    uint64_t set = 0;
    CHECK_ERRNO(raw_mask(3, &set, NULL), EINVAL);
    CHECK_ERRNO(raw_mask(-1, &set, NULL), EINVAL);
    CHECK_ERRNO(raw_mask(SIG_BLOCK, bad_address(), NULL), EFAULT);
    CHECK_ERRNO(raw_mask(SIG_BLOCK, NULL, bad_address()), EFAULT);
    CHECK_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 16), EINVAL);
    CHECK_EQ(raw_mask(77, NULL, &set), 0); /* without a set the first argument is not looked at */
}

TEST(rt_sigprocmask, limit, "SIGKILL and SIGSTOP stay unblocked")
{
    uint64_t all = ~0ull, seen = 0;
    CHECK_EQ(raw_mask(SIG_SETMASK, &all, NULL), 0);
    CHECK_EQ(raw_mask(SIG_SETMASK, NULL, &seen), 0);
    CHECK_EQ(seen, all & ~(bit(SIGKILL) | bit(SIGSTOP)));
}

TEST(rt_sigpending, success, "shows the process' and the thread's own pending signals")
{
    change_mask(SIG_BLOCK, SIGUSR1);
    change_mask(SIG_BLOCK, 64);
    CHECK_EQ(pending_now(), 0);
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_OK(syscall(SYS_tgkill, getpid(), gettid(), 64));
    CHECK_EQ(pending_now(), bit(SIGUSR1) | bit(64));
}

TEST(rt_sigpending, error, "EFAULT, EINVAL for a set that is too large")
{
    uint64_t sets[2];
    CHECK_ERRNO(syscall(SYS_rt_sigpending, bad_address(), SET_SIZE), EFAULT);
    CHECK_ERRNO(syscall(SYS_rt_sigpending, sets, 16), EINVAL);
}

TEST(rt_sigpending, limit, "a smaller set gets its part; a signal that is not blocked never shows")
{
    uint64_t set = 0x5555555555555555;
    change_mask(SIG_BLOCK, SIGUSR1);
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_OK(kill(getpid(), SIGCHLD));
    CHECK_EQ(syscall(SYS_rt_sigpending, &set, 4), 0);
    CHECK_EQ(set, 0x5555555500000000 | bit(SIGUSR1));
}

static long timedwait(uint64_t set, siginfo_t *info, const struct timespec *timeout)
{
    return syscall(SYS_rt_sigtimedwait, &set, info, timeout, SET_SIZE);
}

TEST(rt_sigtimedwait, success, "takes a pending signal with its siginfo; no handler runs")
{
    siginfo_t info;
    memset(&info, 0x55, sizeof(info));
    set_handler(SIGUSR1, hear, 0);
    change_mask(SIG_BLOCK, SIGUSR1);
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(timedwait(bit(SIGUSR1), &info, NULL), SIGUSR1);
    CHECK_EQ(info.si_signo, SIGUSR1);
    CHECK_EQ(info.si_code, SI_USER);
    CHECK_EQ(info.si_pid, getpid());
    CHECK_EQ(info.si_uid, getuid());
    CHECK_EQ(pending_now(), 0);
    CHECK_EQ(nr_heard, 0);
}

TEST(rt_sigtimedwait, success, "waits for one that comes later")
{
    siginfo_t info;
    change_mask(SIG_BLOCK, SIGUSR2);
    pid_t parent = getpid();
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        cella_sleep_ms(30);
        CHECK_OK(kill(parent, SIGUSR2));
        _exit(0);
    }
    CHECK_EQ(timedwait(bit(SIGUSR1) | bit(SIGUSR2), &info, NULL), SIGUSR2);
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(rt_sigtimedwait, success, "a signal ignored by default is kept for one who has blocked it")
{
    change_mask(SIG_BLOCK, SIGURG);
    pid_t parent = getpid();
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        cella_sleep_ms(20);
        CHECK_OK(kill(parent, SIGURG));
        _exit(0);
    }
    CHECK_EQ(timedwait(bit(SIGURG), NULL, NULL), SIGURG);
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(rt_sigtimedwait, error, "EINVAL, EFAULT")
{
    struct timespec bad = {0, 1000000000}, negative = {-1, 0};
    uint64_t set = bit(SIGUSR1);
    CHECK_ERRNO(timedwait(set, NULL, &bad), EINVAL);
    CHECK_ERRNO(timedwait(set, NULL, &negative), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigtimedwait, &set, NULL, NULL, 4), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigtimedwait, bad_address(), NULL, NULL, SET_SIZE), EFAULT);
    CHECK_ERRNO(timedwait(set, NULL, bad_address()), EFAULT);
}

TEST(rt_sigtimedwait, limit, "EAGAIN when the time is over, at once for 0")
{
    struct timespec none = {0, 0}, some = {0, 40000000};
    int64_t start = clock_ns(CLOCK_MONOTONIC);
    change_mask(SIG_BLOCK, SIGUSR1);
    CHECK_ERRNO(timedwait(bit(SIGUSR1), NULL, &none), EAGAIN);
    CHECK_ERRNO(timedwait(bit(SIGUSR1), NULL, &some), EAGAIN);
    CHECK(clock_ns(CLOCK_MONOTONIC) - start >= 40000000);
}

TEST(rt_sigtimedwait, interruption, "EINTR by another signal's handler, SA_RESTART or not")
{
    cella_ticks_start(20, SA_RESTART, NULL);
    CHECK_ERRNO(timedwait(bit(SIGUSR1), NULL, NULL), EINTR);
    cella_ticks_stop();
}

static long suspend(uint64_t mask)
{
    return syscall(SYS_rt_sigsuspend, &mask, SET_SIZE);
}

TEST(rt_sigsuspend, success, "lets a pending signal in, then the old mask holds again")
{
    change_mask(SIG_BLOCK, SIGUSR1);
    change_mask(SIG_BLOCK, SIGUSR2);
    set_handler(SIGUSR1, note_mask, 0);
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_ERRNO(suspend(bit(SIGHUP)), EINTR);
    CHECK_EQ(mask_in_handler, bit(SIGHUP) | bit(SIGUSR1));
    CHECK_EQ(mask_now(), bit(SIGUSR1) | bit(SIGUSR2));
}

TEST(rt_sigsuspend, error, "EINVAL for another size, EFAULT")
{
    uint64_t mask = 0;
    CHECK_ERRNO(syscall(SYS_rt_sigsuspend, &mask, 16), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigsuspend, bad_address(), SET_SIZE), EFAULT);
}

TEST(rt_sigsuspend, interruption, "EINTR always, SA_RESTART or not; ignored signals do not end it")
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    CHECK_OK(sigaction(SIGUSR1, &ignore, NULL));
    CHECK_OK(kill(getpid(), SIGUSR1));
    cella_ticks_start(20, SA_RESTART, NULL);
    CHECK_ERRNO(suspend(0), EINTR);
    CHECK_ERRNO(suspend(0), EINTR);
    cella_ticks_stop();
    CHECK(cella_ticks >= 2);
}

TEST(rt_sigsuspend, limit, "all signals blocked: SIGKILL still ends it")
{
    change_mask(SIG_BLOCK, SIGTERM);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        suspend(~0ull);
        _exit(0);
    }
    CHECK_OK(kill(pid, SIGTERM));
    cella_sleep_ms(10);
    CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_EQ(cella_wait_exit(pid), -1);
}

TEST(pause, success, "returns after a handler has run")
{
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(syscall(SYS_pause), EINTR);
    cella_ticks_stop();
    CHECK(cella_ticks >= 1);
}

TEST(pause, error, "EINTR is its only answer, SA_RESTART or not")
{
    cella_ticks_start(20, SA_RESTART, NULL);
    CHECK_ERRNO(syscall(SYS_pause), EINTR);
    CHECK_ERRNO(syscall(SYS_pause), EINTR);
    cella_ticks_stop();
    CHECK(cella_ticks >= 2);
}

TEST(pause, interruption, "stop, continuation and ignored signals do not end it")
{
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        syscall(SYS_pause);
        _exit(0);
    }
    cella_sleep_ms(20);
    CHECK_OK(kill(pid, SIGWINCH));
    CHECK_OK(kill(pid, SIGSTOP));
    CHECK_EQ(waitpid(pid, NULL, WUNTRACED), pid);
    CHECK_OK(kill(pid, SIGCONT));
    cella_sleep_ms(20);
    CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
    end_child(pid);
}

TEST_MAIN()
