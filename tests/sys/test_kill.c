/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending signals: kill, tkill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo, pidfds; which process
 * and which thread gets them, in which order, and how often.
 */
#include "cella_proc.h"

#include <poll.h>
#include <sched.h>

enum { MAX_LOG = 256, SET_SIZE = 8, NO_SUCH_PID = 0x3fffffff };

/* Volatile, as all that handlers store: libc says of kill that it calls nothing of the program. */
static volatile struct {
    int sig, code, value;
    pid_t pid, tid;
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
        heard[n].tid = (pid_t)syscall(SYS_gettid);
    }
    nr_heard = n + 1;
}

static void hear_one_by_one(int sig)
{
    struct sigaction action = {.sa_sigaction = hear, .sa_flags = SA_SIGINFO};
    sigfillset(&action.sa_mask);
    CHECK_OK(sigaction(sig, &action, NULL));
}

static long queue(pid_t pid, int sig, int code, int value)
{
    siginfo_t info;
    memset(&info, 0, sizeof(info));
    info.si_code = code;
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_int = value;
    return syscall(SYS_rt_sigqueueinfo, pid, sig, &info);
}

static long queue_to_thread(pid_t pid, pid_t tid, int sig, int code, int value)
{
    siginfo_t info;
    memset(&info, 0, sizeof(info));
    info.si_code = code;
    info.si_pid = getpid();
    info.si_value.sival_int = value;
    return syscall(SYS_rt_tgsigqueueinfo, pid, tid, sig, &info);
}

static uint64_t pending_now(void)
{
    uint64_t pending = 0;
    CHECK_EQ(syscall(SYS_rt_sigpending, &pending, SET_SIZE), 0);
    return pending;
}

static void unblock_all(void)
{
    uint64_t none = 0;
    CHECK_EQ(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, SET_SIZE), 0);
}

/* A thread that does nothing but take signals. */
static int quit_thread;

static void *wait_to_quit(void *arg)
{
    set_word(arg, (int)syscall(SYS_gettid));
    while (!__atomic_load_n(&quit_thread, __ATOMIC_SEQ_CST))
        cella_sleep_ms(1);
    return NULL;
}

static pid_t start_thread(pthread_t *thread)
{
    int *tid = shared_memory(PAGE);
    CHECK_EQ(pthread_create(thread, NULL, wait_to_quit, tid), 0);
    return wait_for_word(tid);
}

static void stop_thread(pthread_t thread)
{
    set_word(&quit_thread, 1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

static void wait_heard(int nr)
{
    while (nr_heard < nr)
        cella_sleep_ms(1);
}

TEST(kill, success, "signal 0 only asks, also for a zombie")
{
    pid_t pid = idle_child();
    CHECK_EQ(syscall(SYS_kill, pid, 0), 0);
    CHECK_EQ(syscall(SYS_kill, pid, SIGKILL), 0);
    CHECK_OK(waitid(P_PID, (id_t)pid, NULL, WEXITED | WNOWAIT));
    CHECK_EQ(syscall(SYS_kill, pid, 0), 0);
    CHECK_EQ(syscall(SYS_kill, pid, SIGTERM), 0);
    CHECK_EQ(wait_signal(pid), SIGKILL);
    CHECK_ERRNO(syscall(SYS_kill, pid, 0), ESRCH);
}

TEST(kill, success, "pid 0 and a negative pid reach every member of the group")
{
    pid_t member[3];
    CHECK_OK(setpgid(0, 0));
    set_handler(SIGUSR1, hear, 0);
    for (int i = 0; i < 3; i++) {
        member[i] = idle_child(); /* with our handler; USR2 ends it */
        CHECK(member[i] > 0);
    }
    CHECK_EQ(syscall(SYS_kill, 0, SIGUSR1), 0);
    CHECK_EQ(nr_heard, 1);
    set_handler(SIGUSR2, hear, 0);
    CHECK_EQ(syscall(SYS_kill, -getpgrp(), SIGUSR2), 0);
    CHECK_EQ(nr_heard, 2);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(wait_signal(member[i]), SIGUSR2);
}

TEST(kill, success, "a group of its own is not reached by the sender's pid 0")
{
    CHECK_OK(setpgid(0, 0));
    pid_t outside = idle_child(), inside = idle_child();
    CHECK_OK(setpgid(outside, outside));
    set_handler(SIGUSR1, hear, 0);
    CHECK_EQ(syscall(SYS_kill, 0, SIGUSR1), 0);
    CHECK_EQ(wait_signal(inside), SIGUSR1);
    CHECK_EQ(waitpid(outside, NULL, WNOHANG), 0);
    CHECK_EQ(syscall(SYS_kill, -outside, SIGKILL), 0);
    CHECK_EQ(wait_signal(outside), SIGKILL);
}

TEST(kill, success, "SIGKILL ends a stopped process; SIGCONT alone continues it")
{
    pid_t pid = idle_child();
    CHECK_EQ(syscall(SYS_kill, pid, SIGSTOP), 0);
    CHECK_EQ(waitpid(pid, NULL, WUNTRACED), pid);
    CHECK_EQ(syscall(SYS_kill, pid, SIGTERM), 0);
    cella_sleep_ms(20);
    CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0); /* pending until it is continued */
    CHECK_EQ(syscall(SYS_kill, pid, SIGCONT), 0);
    CHECK_EQ(wait_signal(pid), SIGTERM);
    pid = idle_child();
    CHECK_EQ(syscall(SYS_kill, pid, SIGSTOP), 0);
    CHECK_EQ(waitpid(pid, NULL, WUNTRACED), pid);
    CHECK_EQ(syscall(SYS_kill, pid, SIGKILL), 0);
    CHECK_EQ(wait_signal(pid), SIGKILL);
}

static void *count_for_ever(void *counter)
{
    for (;;) {
        __atomic_add_fetch((long *)counter, 1, __ATOMIC_SEQ_CST);
        sched_yield();
    }
    return NULL;
}

TEST(kill, success, "a stop halts all threads, and an end ends all threads")
{
    long *counter = shared_memory(PAGE);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, count_for_ever, counter), 0);
        CHECK_EQ(pthread_create(&thread, NULL, count_for_ever, counter), 0);
        for (;;)
            pause();
    }
    while (__atomic_load_n(counter, __ATOMIC_SEQ_CST) < 10)
        cella_sleep_ms(1);
    CHECK_EQ(syscall(SYS_kill, pid, SIGSTOP), 0);
    CHECK_EQ(waitpid(pid, NULL, WUNTRACED), pid);
    long before = __atomic_load_n(counter, __ATOMIC_SEQ_CST);
    cella_sleep_ms(20);
    CHECK_EQ(__atomic_load_n(counter, __ATOMIC_SEQ_CST), before);
    CHECK_EQ(syscall(SYS_kill, pid, SIGCONT), 0);
    while (__atomic_load_n(counter, __ATOMIC_SEQ_CST) == before)
        cella_sleep_ms(1);
    CHECK_EQ(syscall(SYS_kill, pid, SIGTERM), 0);
    CHECK_EQ(wait_signal(pid), SIGTERM);
    before = __atomic_load_n(counter, __ATOMIC_SEQ_CST);
    cella_sleep_ms(20);
    CHECK_EQ(__atomic_load_n(counter, __ATOMIC_SEQ_CST), before);
}

TEST(kill, success, "a signal goes to a thread that does not block it")
{
    pthread_t thread;
    set_handler(SIGUSR1, hear, SA_RESTART);
    pid_t tid = start_thread(&thread);
    change_mask(SIG_BLOCK, SIGUSR1);
    CHECK_EQ(syscall(SYS_kill, getpid(), SIGUSR1), 0);
    wait_heard(1);
    CHECK_EQ(heard[0].tid, tid);
    stop_thread(thread);
}

TEST(kill, error, "EINVAL, ESRCH")
{
    CHECK_ERRNO(syscall(SYS_kill, getpid(), 65), EINVAL);
    CHECK_ERRNO(syscall(SYS_kill, getpid(), -1), EINVAL);
    CHECK_ERRNO(syscall(SYS_kill, NO_SUCH_PID, 0), ESRCH);
    CHECK_ERRNO(syscall(SYS_kill, -NO_SUCH_PID, 0), ESRCH);
    CHECK_ERRNO(syscall(SYS_kill, -2147483647 - 1, 0), ESRCH);
}

TEST(kill, error, "EPERM for another user's process")
{
    int *go = shared_memory(PAGE);
    bool foreign = geteuid() == 0;
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        wait_for_word(go);
        _exit(3);
    }
    cella_drop_root();
    if (foreign) {
        CHECK_ERRNO(syscall(SYS_kill, pid, SIGTERM), EPERM);
        CHECK_ERRNO(syscall(SYS_kill, pid, 0), EPERM);
    }
    set_word(go, 1);
    CHECK_EQ(cella_wait_exit(pid), 3);
}

TEST(kill, limit, "a standard signal is pending once; SIGCONT and SIGSTOP cancel each other")
{
    set_handler(SIGUSR1, hear, 0);
    change_mask(SIG_BLOCK, SIGUSR1);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(syscall(SYS_kill, getpid(), SIGUSR1), 0);
    unblock_all();
    CHECK_EQ(nr_heard, 1);
    change_mask(SIG_BLOCK, SIGTSTP);
    change_mask(SIG_BLOCK, SIGCONT);
    set_handler(SIGCONT, hear, 0);
    set_handler(SIGTSTP, hear, 0);
    CHECK_EQ(syscall(SYS_kill, getpid(), SIGTSTP), 0);
    CHECK_EQ(pending_now(), 1ull << (SIGTSTP - 1));
    CHECK_EQ(syscall(SYS_kill, getpid(), SIGCONT), 0);
    CHECK_EQ(pending_now(), 1ull << (SIGCONT - 1));
    CHECK_EQ(syscall(SYS_kill, getpid(), SIGTSTP), 0);
    CHECK_EQ(pending_now(), 1ull << (SIGTSTP - 1));
}

TEST(tkill, success, "reaches the thread it names, with SI_TKILL")
{
    pthread_t thread;
    set_handler(SIGUSR1, hear, SA_RESTART);
    pid_t tid = start_thread(&thread);
    CHECK_EQ(syscall(SYS_tkill, tid, SIGUSR1), 0);
    wait_heard(1);
    CHECK_EQ(heard[0].tid, tid);
    CHECK_EQ(heard[0].code, SI_TKILL);
    CHECK_EQ(heard[0].pid, getpid());
    CHECK_EQ(syscall(SYS_tkill, gettid(), SIGUSR1), 0);
    CHECK_EQ(nr_heard, 2);
    CHECK_EQ(heard[1].tid, getpid());
    stop_thread(thread);
}

TEST(tkill, error, "EINVAL, ESRCH")
{
    CHECK_ERRNO(syscall(SYS_tkill, 0, SIGUSR1), EINVAL);
    CHECK_ERRNO(syscall(SYS_tkill, -1, SIGUSR1), EINVAL);
    CHECK_ERRNO(syscall(SYS_tkill, gettid(), 65), EINVAL);
    CHECK_ERRNO(syscall(SYS_tkill, NO_SUCH_PID, SIGUSR1), ESRCH);
}

TEST(tkill, limit, "a fatal signal to one thread ends them all")
{
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        pthread_t thread;
        syscall(SYS_tkill, start_thread(&thread), SIGUSR2);
        for (;;)
            pause();
    }
    CHECK_EQ(wait_signal(pid), SIGUSR2);
}

TEST(tgkill, success, "what one thread has pending another does not see")
{
    pthread_t thread;
    change_mask(SIG_BLOCK, SIGUSR1);
    pid_t tid = start_thread(&thread); /* it inherits the mask */
    CHECK_EQ(syscall(SYS_tgkill, getpid(), tid, SIGUSR1), 0);
    CHECK_EQ(pending_now(), 0);
    CHECK_EQ(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1), 0);
    CHECK_EQ(pending_now(), 1ull << (SIGUSR1 - 1));
    stop_thread(thread);
}

TEST(tgkill, success, "signal 0 only asks")
{
    CHECK_EQ(syscall(SYS_tgkill, getpid(), gettid(), 0), 0);
}

TEST(tgkill, error, "EINVAL, and ESRCH if the thread is not of the process")
{
    pid_t pid = idle_child();
    CHECK_ERRNO(syscall(SYS_tgkill, 0, gettid(), SIGUSR1), EINVAL);
    CHECK_ERRNO(syscall(SYS_tgkill, getpid(), 0, SIGUSR1), EINVAL);
    CHECK_ERRNO(syscall(SYS_tgkill, getpid(), gettid(), 65), EINVAL);
    CHECK_ERRNO(syscall(SYS_tgkill, getpid(), pid, SIGUSR1), ESRCH);
    CHECK_ERRNO(syscall(SYS_tgkill, getpid(), NO_SUCH_PID, SIGUSR1), ESRCH);
    end_child(pid);
}

static void *end_at_once(void *arg)
{
    *(pid_t *)arg = (pid_t)syscall(SYS_gettid);
    return NULL;
}

TEST(tgkill, limit, "ESRCH for a thread that has ended")
{
    pthread_t thread;
    pid_t tid = 0;
    CHECK_EQ(pthread_create(&thread, NULL, end_at_once, &tid), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    /* The id's word is cleared just before the thread leaves the table, so it may linger. */
    while (syscall(SYS_tgkill, getpid(), tid, 0) == 0)
        cella_sleep_ms(1);
    CHECK_ERRNO(syscall(SYS_tgkill, getpid(), tid, SIGUSR1), ESRCH);
}

TEST(rt_sigqueueinfo, success, "carries its value and its code")
{
    set_handler(SIGUSR1, hear, 0);
    CHECK_EQ(queue(getpid(), SIGUSR1, SI_QUEUE, 1234), 0);
    CHECK_EQ(nr_heard, 1);
    CHECK_EQ(heard[0].code, SI_QUEUE);
    CHECK_EQ(heard[0].value, 1234);
    CHECK_EQ(heard[0].pid, getpid());
    CHECK_EQ(queue(getpid(), SIGUSR1, -100, 5), 0);
    CHECK_EQ(heard[1].code, -100);
}

TEST(rt_sigqueueinfo, success, "real-time signals queue, lowest number first, each in its order")
{
    int lowest = SIGRTMIN;
    for (int sig = lowest; sig < lowest + 3; sig++) {
        hear_one_by_one(sig);
        change_mask(SIG_BLOCK, sig);
    }
    hear_one_by_one(SIGUSR1);
    change_mask(SIG_BLOCK, SIGUSR1);
    for (int i = 0; i < 10; i++)
        for (int sig = lowest + 2; sig >= lowest; sig--)
            CHECK_EQ(queue(getpid(), sig, SI_QUEUE, i), 0);
    CHECK_EQ(queue(getpid(), SIGUSR1, SI_QUEUE, 1), 0);
    CHECK_EQ(queue(getpid(), SIGUSR1, SI_QUEUE, 2), 0); /* a standard one: lost */
    unblock_all();
    CHECK_EQ(nr_heard, 31);
    CHECK_EQ(heard[0].sig, SIGUSR1);
    CHECK_EQ(heard[0].value, 1);
    for (int n = 0; n < 30; n++) {
        CHECK_EQ(heard[n + 1].sig, lowest + n / 10);
        CHECK_EQ(heard[n + 1].value, n % 10);
    }
}

TEST(rt_sigqueueinfo, success, "sigtimedwait takes them in the same order")
{
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    for (int sig = SIGRTMIN; sig < SIGRTMIN + 2; sig++) {
        sigaddset(&set, sig);
        change_mask(SIG_BLOCK, sig);
    }
    for (int i = 0; i < 4; i++)
        CHECK_EQ(queue(getpid(), SIGRTMIN + 1 - i % 2, SI_QUEUE, i), 0);
    static const int order[4] = {1, 3, 0, 2};
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN + i / 2);
        CHECK_EQ(info.si_value.sival_int, order[i]);
        CHECK_EQ(info.si_code, SI_QUEUE);
    }
}

TEST(rt_sigqueueinfo, error, "EINVAL, ESRCH, EFAULT; EPERM to play the kernel towards another")
{
    pid_t pid = idle_child();
    CHECK_ERRNO(queue(getpid(), 65, SI_QUEUE, 0), EINVAL);
    CHECK_ERRNO(queue(NO_SUCH_PID, SIGUSR1, SI_QUEUE, 0), ESRCH);
    CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, bad_address()), EFAULT);
    CHECK_ERRNO(queue(pid, SIGUSR1, SI_USER, 0), EPERM);
    CHECK_ERRNO(queue(pid, SIGUSR1, SI_KERNEL, 0), EPERM);
    CHECK_ERRNO(queue(pid, SIGUSR1, SI_TKILL, 0), EPERM);
    set_handler(SIGUSR1, hear, 0);
    CHECK_EQ(queue(getpid(), SIGUSR1, SI_USER, 0), 0); /* towards oneself everything goes */
    CHECK_EQ(nr_heard, 1);
    end_child(pid);
}

TEST(rt_sigqueueinfo, limit, "EAGAIN above RLIMIT_SIGPENDING")
{
    struct rlimit limit = {20, 20};
    int nr = 0;
    cella_drop_root();
    CHECK_OK(setrlimit(RLIMIT_SIGPENDING, &limit));
    change_mask(SIG_BLOCK, SIGRTMIN);
    while (nr <= 20 && queue(getpid(), SIGRTMIN, SI_QUEUE, nr) == 0)
        nr++;
    CHECK(nr <= 20); /* fewer, if other processes of this user have some pending */
    CHECK_ERRNO(queue(getpid(), SIGRTMIN, SI_QUEUE, nr), EAGAIN);
    CHECK_EQ(syscall(SYS_kill, getpid(), SIGRTMIN), 0); /* kill does not care */
}

TEST(rt_tgsigqueueinfo, success, "reaches the thread it names, with value and code")
{
    pthread_t thread;
    set_handler(SIGUSR1, hear, SA_RESTART);
    pid_t tid = start_thread(&thread);
    CHECK_EQ(queue_to_thread(getpid(), tid, SIGUSR1, SI_QUEUE, 77), 0);
    wait_heard(1);
    CHECK_EQ(heard[0].tid, tid);
    CHECK_EQ(heard[0].value, 77);
    CHECK_EQ(heard[0].code, SI_QUEUE);
    stop_thread(thread);
}

TEST(rt_tgsigqueueinfo, error, "EINVAL, ESRCH, EPERM, EFAULT")
{
    pid_t pid = idle_child(), self = getpid();
    CHECK_ERRNO(queue_to_thread(0, self, SIGUSR1, SI_QUEUE, 0), EINVAL);
    CHECK_ERRNO(queue_to_thread(self, 0, SIGUSR1, SI_QUEUE, 0), EINVAL);
    CHECK_ERRNO(queue_to_thread(self, self, 65, SI_QUEUE, 0), EINVAL);
    CHECK_ERRNO(queue_to_thread(self, pid, SIGUSR1, SI_QUEUE, 0), ESRCH);
    CHECK_ERRNO(queue_to_thread(pid, pid, SIGUSR1, SI_TKILL, 0), EPERM);
    CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, self, self, SIGUSR1, bad_address()), EFAULT);
    end_child(pid);
}

TEST(rt_tgsigqueueinfo, limit, "EAGAIN above RLIMIT_SIGPENDING")
{
    struct rlimit limit = {5, 5};
    int nr = 0;
    cella_drop_root();
    CHECK_OK(setrlimit(RLIMIT_SIGPENDING, &limit));
    change_mask(SIG_BLOCK, SIGRTMIN);
    while (nr <= 5 && queue_to_thread(getpid(), getpid(), SIGRTMIN, SI_QUEUE, nr) == 0)
        nr++;
    CHECK(nr <= 5);
    CHECK_ERRNO(queue_to_thread(getpid(), getpid(), SIGRTMIN, SI_QUEUE, nr), EAGAIN);
}

static int open_pidfd(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    CHECK(fd >= 0);
    return fd;
}

TEST(pidfd_open, success, "is close-on-exec and polls readable when the process has ended")
{
    pid_t pid = idle_child();
    int fd = open_pidfd(pid);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    struct pollfd ready = {fd, POLLIN, 0};
    CHECK_EQ(poll(&ready, 1, 0), 0);
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_EQ(poll(&ready, 1, -1), 1);
    CHECK_EQ(ready.revents & POLLIN, POLLIN);
    CHECK_EQ(wait_signal(pid), SIGKILL);
}

TEST(pidfd_open, error, "EINVAL, ESRCH")
{
    CHECK_ERRNO(syscall(SYS_pidfd_open, 0, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_pidfd_open, -1, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_pidfd_open, getpid(), 1), EINVAL);
    CHECK_ERRNO(syscall(SYS_pidfd_open, NO_SUCH_PID, 0), ESRCH);
}

TEST(pidfd_open, limit, "EMFILE when no descriptor is free")
{
    struct rlimit none = {0, 0};
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &none));
    CHECK_ERRNO(syscall(SYS_pidfd_open, getpid(), 0), EMFILE);
}

TEST(pidfd_send_signal, success, "as kill, or as rt_sigqueueinfo with a siginfo")
{
    siginfo_t info;
    set_handler(SIGUSR1, hear, 0);
    int fd = open_pidfd(getpid());
    CHECK_EQ(syscall(SYS_pidfd_send_signal, fd, SIGUSR1, NULL, 0), 0);
    CHECK_EQ(heard[0].code, SI_USER);
    memset(&info, 0, sizeof(info));
    info.si_signo = SIGUSR1;
    info.si_code = SI_QUEUE;
    info.si_value.sival_int = 9;
    CHECK_EQ(syscall(SYS_pidfd_send_signal, fd, SIGUSR1, &info, 0), 0);
    CHECK_EQ(heard[1].value, 9);
    CHECK_EQ(nr_heard, 2);
}

TEST(pidfd_send_signal, error, "EBADF, EINVAL, EFAULT")
{
    int fd = open_pidfd(getpid());
    int other = open("/", O_RDONLY);
    CHECK_ERRNO(syscall(SYS_pidfd_send_signal, 999, SIGUSR1, NULL, 0), EBADF);
    CHECK_ERRNO(syscall(SYS_pidfd_send_signal, other, SIGUSR1, NULL, 0), EBADF);
    CHECK_ERRNO(syscall(SYS_pidfd_send_signal, fd, 65, NULL, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_pidfd_send_signal, fd, SIGUSR1, NULL, 0x80000000), EINVAL);
    CHECK_ERRNO(syscall(SYS_pidfd_send_signal, fd, SIGUSR1, bad_address(), 0), EFAULT);
}

TEST(pidfd_send_signal, limit, "ESRCH once the process has been waited for")
{
    pid_t pid = idle_child();
    int fd = open_pidfd(pid);
    CHECK_EQ(syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0), 0);
    CHECK_EQ(wait_signal(pid), SIGKILL);
    CHECK_ERRNO(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), ESRCH);
}

TEST_MAIN()
