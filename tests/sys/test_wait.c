/* SPDX-License-Identifier: Apache-2.0 */
/* wait4 and waitid: every option, every way of naming children, and what SIGCHLD says. */
#include "cella_proc.h"

#include <limits.h>
#include <sys/prctl.h>

static pid_t raw_wait4(pid_t pid, int *status, int options, struct rusage *usage)
{
    return (pid_t)syscall(SYS_wait4, pid, status, options, usage);
}

static int raw_waitid(int type, id_t id, siginfo_t *info, int options, struct rusage *usage)
{
    return (int)syscall(SYS_waitid, type, id, info, options, usage);
}

static pid_t child_that_exits(int status)
{
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0)
        _exit(status);
    return pid;
}

/* Fills `info` with a pattern first: whatever the call must write has to be written by it. */
static void check_waitid(int type, id_t id, int options, pid_t pid, int code, int status)
{
    siginfo_t info;
    memset(&info, 0x55, sizeof(info));
    CHECK_EQ(raw_waitid(type, id, &info, options, NULL), 0);
    CHECK_EQ(info.si_signo, SIGCHLD);
    CHECK_EQ(info.si_errno, 0);
    CHECK_EQ(info.si_code, code);
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(info.si_uid, getuid());
    CHECK_EQ(info.si_status, status);
}

TEST(wait4, success, "an exit status")
{
    int status = -1;
    pid_t pid = child_that_exits(77);
    CHECK_EQ(raw_wait4(pid, &status, 0, NULL), pid);
    CHECK_EQ(status, 77 << 8);
}

TEST(wait4, success, "a terminating signal")
{
    int status = -1;
    pid_t pid = idle_child();
    CHECK_OK(kill(pid, SIGTERM));
    CHECK_EQ(raw_wait4(pid, &status, 0, NULL), pid);
    CHECK_EQ(status, SIGTERM);
}

TEST(wait4, success, "WUNTRACED and WCONTINUED report a stop and a continuation")
{
    int status = -1;
    pid_t pid = idle_child();
    CHECK_OK(kill(pid, SIGSTOP));
    CHECK_EQ(raw_wait4(pid, &status, WUNTRACED, NULL), pid);
    CHECK_EQ(status, SIGSTOP << 8 | 0x7f);
    CHECK_EQ(raw_wait4(pid, &status, WUNTRACED | WNOHANG, NULL), 0);
    CHECK_OK(kill(pid, SIGCONT));
    CHECK_EQ(raw_wait4(pid, &status, WCONTINUED, NULL), pid);
    CHECK_EQ(status, 0xffff);
    CHECK_EQ(raw_wait4(pid, &status, WCONTINUED | WNOHANG, NULL), 0);
    end_child(pid);
}

TEST(wait4, success, "WNOHANG answers 0 while nothing has happened and leaves the status alone")
{
    int status = 1234;
    pid_t pid = idle_child();
    CHECK_EQ(raw_wait4(pid, &status, WNOHANG, NULL), 0);
    CHECK_EQ(status, 1234);
    end_child(pid);
}

TEST(wait4, success, "pid 0 and negative pids choose by process group")
{
    int *go = shared_memory(PAGE);
    pid_t other = cella_fork();
    CHECK(other >= 0);
    if (other == 0) {
        CHECK_OK(setpgid(0, 0));
        set_word(go, 1);
        _exit(1);
    }
    wait_for_word(go);
    CHECK_ERRNO(raw_wait4(0, NULL, 0, NULL), ECHILD);
    pid_t mine = child_that_exits(2);
    CHECK_EQ(raw_wait4(0, NULL, 0, NULL), mine);
    CHECK_EQ(raw_wait4(-other, NULL, 0, NULL), other);
    CHECK_ERRNO(raw_wait4(-other, NULL, 0, NULL), ECHILD);
}

static void burn_cpu(int64_t ns)
{
    int64_t end = clock_ns(CLOCK_PROCESS_CPUTIME_ID) + ns;
    while (clock_ns(CLOCK_PROCESS_CPUTIME_ID) < end)
        ;
}

static int64_t usage_ns(const struct rusage *usage)
{
    return ((int64_t)usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000000 +
           ((int64_t)usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) * 1000;
}

TEST(wait4, success, "the child's rusage, which is then part of RUSAGE_CHILDREN")
{
    struct rusage usage, children;
    memset(&usage, 0x55, sizeof(usage));
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        burn_cpu(60000000);
        _exit(0);
    }
    CHECK_EQ(raw_wait4(pid, NULL, 0, &usage), pid);
    CHECK(usage_ns(&usage) >= 50000000);
    CHECK(usage_ns(&usage) < 20000000000);
    CHECK(usage.ru_maxrss > 0);
    CHECK_OK(getrusage(RUSAGE_CHILDREN, &children));
    CHECK(usage_ns(&children) >= 50000000);
}

static void *wait_in_thread(void *arg)
{
    *(pid_t *)arg = raw_wait4(-1, NULL, 0, NULL);
    return NULL;
}

TEST(wait4, success, "a thread may wait for a child of another")
{
    pthread_t thread;
    pid_t got = 0;
    pid_t pid = child_that_exits(0);
    CHECK_EQ(pthread_create(&thread, NULL, wait_in_thread, &got), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(got, pid);
}

TEST(wait4, error, "ECHILD, EINVAL, ESRCH")
{
    CHECK_ERRNO(raw_wait4(-1, NULL, 0, NULL), ECHILD);
    pid_t pid = idle_child();
    CHECK_ERRNO(raw_wait4(getpid(), NULL, 0, NULL), ECHILD);
    CHECK_ERRNO(raw_wait4(1, NULL, 0, NULL), ECHILD);
    CHECK_ERRNO(raw_wait4(-1, NULL, 0x100, NULL), EINVAL);
    CHECK_ERRNO(raw_wait4(-1, NULL, WNOWAIT, NULL), EINVAL);
    CHECK_ERRNO(raw_wait4(INT_MIN, NULL, 0, NULL), ESRCH);
    end_child(pid);
}

TEST(wait4, error, "EFAULT for an unwritable status; the child is gone all the same")
{
    pid_t pid = child_that_exits(0);
    CHECK_ERRNO(raw_wait4(pid, bad_address(), 0, NULL), EFAULT);
    CHECK_ERRNO(raw_wait4(pid, NULL, 0, NULL), ECHILD);
}

TEST(wait4, interruption, "EINTR by a handler without SA_RESTART")
{
    pid_t pid = idle_child();
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(raw_wait4(pid, NULL, 0, NULL), EINTR);
    cella_ticks_stop();
    end_child(pid);
}

static pid_t tick_victim;

static void kill_at_third_tick(int nth)
{
    if (nth == 3)
        kill(tick_victim, SIGKILL);
}

TEST(wait4, interruption, "SA_RESTART goes on waiting")
{
    int status;
    tick_victim = idle_child();
    cella_ticks_start(20, SA_RESTART, kill_at_third_tick);
    CHECK_EQ(raw_wait4(tick_victim, &status, 0, NULL), tick_victim);
    cella_ticks_stop();
    CHECK_EQ(status, SIGKILL);
    CHECK(cella_ticks >= 3);
}

TEST(wait4, limit, "fifty ended children are each reported once")
{
    enum { NR = 50 };
    pid_t pid[NR];
    bool seen[NR] = {false};
    for (int i = 0; i < NR; i++)
        pid[i] = child_that_exits(i);
    for (int n = 0; n < NR; n++) {
        int status;
        pid_t got = raw_wait4(-1, &status, 0, NULL);
        int which = WEXITSTATUS(status);
        CHECK(WIFEXITED(status) && which < NR);
        CHECK_EQ(got, pid[which]);
        CHECK(!seen[which]);
        seen[which] = true;
    }
    CHECK_ERRNO(raw_wait4(-1, NULL, 0, NULL), ECHILD);
}

/* SIGCHLD ignored in either way: children vanish, wait answers only when none is left. */
static void check_vanishing_children(void)
{
    int *go = shared_memory(PAGE);
    for (int i = 0; i < 3; i++) {
        pid_t pid = cella_fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            wait_for_word(go);
            _exit(0);
        }
    }
    CHECK_EQ(raw_wait4(-1, NULL, WNOHANG, NULL), 0);
    set_word(go, 1);
    CHECK_ERRNO(raw_wait4(-1, NULL, 0, NULL), ECHILD);
}

TEST(wait4, success, "with SIGCHLD ignored children vanish and wait ends with ECHILD")
{
    struct sigaction action = {.sa_handler = SIG_IGN};
    CHECK_OK(sigaction(SIGCHLD, &action, NULL));
    check_vanishing_children();
}

static volatile sig_atomic_t nr_chld;
static siginfo_t chld_info;

static void note_chld(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    chld_info = *info;
    nr_chld = nr_chld + 1;
}

TEST(wait4, success, "SA_NOCLDWAIT does the same and still sends SIGCHLD")
{
    set_handler(SIGCHLD, note_chld, SA_NOCLDWAIT | SA_RESTART);
    check_vanishing_children();
    CHECK(nr_chld > 0);
}

/* Takes the one SIGCHLD that the caller has blocked and caused, and checks what it says. */
static void await_chld(pid_t pid, int code, int status)
{
    sigset_t chld;
    siginfo_t info;
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    CHECK_EQ(sigwaitinfo(&chld, &info), SIGCHLD);
    CHECK_EQ(info.si_code, code);
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(info.si_uid, getuid());
    CHECK_EQ(info.si_status, status);
}

TEST(wait4, success, "SIGCHLD tells of exit, death, stop and continuation")
{
    change_mask(SIG_BLOCK, SIGCHLD);
    set_handler(SIGCHLD, note_chld, 0);
    pid_t pid = child_that_exits(19);
    await_chld(pid, CLD_EXITED, 19);
    CHECK_EQ(cella_wait_exit(pid), 19);
    pid = idle_child();
    CHECK_OK(kill(pid, SIGSTOP));
    await_chld(pid, CLD_STOPPED, SIGSTOP);
    CHECK_OK(kill(pid, SIGCONT));
    await_chld(pid, CLD_CONTINUED, SIGCONT);
    CHECK_OK(kill(pid, SIGKILL));
    await_chld(pid, CLD_KILLED, SIGKILL);
    CHECK_EQ(wait_signal(pid), SIGKILL);
}

TEST(wait4, success, "SA_NOCLDSTOP keeps SIGCHLD for the end")
{
    sigset_t old, chld;
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    CHECK_OK(sigprocmask(SIG_BLOCK, &chld, &old));
    set_handler(SIGCHLD, note_chld, SA_NOCLDSTOP);
    pid_t pid = idle_child();
    CHECK_OK(kill(pid, SIGSTOP));
    CHECK_EQ(raw_wait4(pid, NULL, WUNTRACED, NULL), pid);
    CHECK_OK(kill(pid, SIGCONT));
    CHECK_EQ(raw_wait4(pid, NULL, WCONTINUED, NULL), pid);
    sigset_t pending;
    CHECK_OK(sigpending(&pending));
    CHECK(!sigismember(&pending, SIGCHLD));
    CHECK_OK(kill(pid, SIGKILL));
    while (!nr_chld)
        sigsuspend(&old);
    CHECK_EQ(chld_info.si_code, CLD_KILLED);
    CHECK_EQ(wait_signal(pid), SIGKILL);
}

TEST(wait4, success, "an orphan gets a new parent, the nearest subreaper")
{
    int *words = shared_memory(PAGE);
    int status;
    CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    pid_t self = getpid();
    pid_t child = cella_fork();
    CHECK(child >= 0);
    if (child == 0) {
        pid_t middle = getpid();
        pid_t orphan = cella_fork();
        CHECK(orphan >= 0);
        if (orphan == 0) {
            CHECK_EQ(getppid(), middle);
            set_word(&words[0], getpid());
            while (getppid() == middle)
                cella_sleep_ms(1);
            CHECK_EQ(getppid(), self);
            _exit(66);
        }
        wait_for_word(&words[0]);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(child), 0);
    CHECK_EQ(raw_wait4(-1, &status, 0, NULL), words[0]);
    CHECK_EQ(WEXITSTATUS(status), 66);
}

TEST(wait4, success, "a zombie child of a dying parent can be collected by the subreaper")
{
    int *words = shared_memory(PAGE);
    int status;
    CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    pid_t child = cella_fork();
    CHECK(child >= 0);
    if (child == 0) {
        words[0] = child_that_exits(67);
        CHECK_EQ(raw_waitid(P_PID, (id_t)words[0], NULL, WEXITED | WNOWAIT, NULL), 0);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(child), 0);
    CHECK_EQ(raw_wait4(words[0], &status, 0, NULL), words[0]);
    CHECK_EQ(WEXITSTATUS(status), 67);
}

TEST(waitid, success, "P_PID and P_ALL with WEXITED report exit and death")
{
    pid_t pid = child_that_exits(0x1ab);
    check_waitid(P_PID, (id_t)pid, WEXITED, pid, CLD_EXITED, 0xab);
    pid = idle_child();
    CHECK_OK(kill(pid, SIGKILL));
    check_waitid(P_ALL, 0, WEXITED, pid, CLD_KILLED, SIGKILL);
    CHECK_ERRNO(raw_waitid(P_ALL, 0, NULL, WEXITED, NULL), ECHILD);
}

TEST(waitid, success, "WSTOPPED and WCONTINUED")
{
    pid_t pid = idle_child();
    CHECK_OK(kill(pid, SIGSTOP));
    check_waitid(P_PID, (id_t)pid, WSTOPPED, pid, CLD_STOPPED, SIGSTOP);
    CHECK_OK(kill(pid, SIGCONT));
    check_waitid(P_PID, (id_t)pid, WCONTINUED, pid, CLD_CONTINUED, SIGCONT);
    CHECK_OK(kill(pid, SIGKILL));
    check_waitid(P_PID, (id_t)pid, WEXITED | WSTOPPED | WCONTINUED, pid, CLD_KILLED, SIGKILL);
}

TEST(waitid, success, "WNOWAIT leaves the child waitable")
{
    pid_t pid = child_that_exits(5);
    check_waitid(P_PID, (id_t)pid, WEXITED | WNOWAIT, pid, CLD_EXITED, 5);
    check_waitid(P_PID, (id_t)pid, WEXITED | WNOWAIT, pid, CLD_EXITED, 5);
    check_waitid(P_PID, (id_t)pid, WEXITED, pid, CLD_EXITED, 5);
    CHECK_ERRNO(raw_waitid(P_PID, (id_t)pid, NULL, WEXITED, NULL), ECHILD);
}

TEST(waitid, success, "P_PGID chooses by process group, 0 being the caller's")
{
    pid_t mine = child_that_exits(6);
    check_waitid(P_PGID, (id_t)getpgrp(), WEXITED | WNOWAIT, mine, CLD_EXITED, 6);
    check_waitid(P_PGID, 0, WEXITED, mine, CLD_EXITED, 6);
    pid_t other = idle_child();
    CHECK_OK(setpgid(other, other));
    CHECK_ERRNO(raw_waitid(P_PGID, (id_t)getpgrp(), NULL, WEXITED, NULL), ECHILD);
    CHECK_OK(kill(other, SIGKILL));
    check_waitid(P_PGID, (id_t)other, WEXITED, other, CLD_KILLED, SIGKILL);
}

TEST(waitid, success, "P_PIDFD")
{
    pid_t pid = child_that_exits(8);
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    CHECK(fd >= 0);
    check_waitid(P_PIDFD, (id_t)fd, WEXITED, pid, CLD_EXITED, 8);
}

TEST(waitid, success, "WNOHANG with nothing to report answers 0 and si_pid 0")
{
    siginfo_t info;
    memset(&info, 0x55, sizeof(info));
    pid_t pid = idle_child();
    CHECK_EQ(raw_waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG, NULL), 0);
    CHECK_EQ(info.si_signo, 0);
    CHECK_EQ(info.si_pid, 0);
    end_child(pid);
}

TEST(waitid, success, "a stop reported with WNOWAIT is reported again")
{
    pid_t pid = idle_child();
    CHECK_OK(kill(pid, SIGSTOP));
    check_waitid(P_PID, (id_t)pid, WSTOPPED | WNOWAIT, pid, CLD_STOPPED, SIGSTOP);
    check_waitid(P_PID, (id_t)pid, WSTOPPED, pid, CLD_STOPPED, SIGSTOP);
    CHECK_EQ(raw_waitid(P_PID, (id_t)pid, NULL, WSTOPPED | WNOHANG, NULL), 0);
    end_child(pid);
}

TEST(waitid, success, "the fifth argument is the child's rusage")
{
    struct rusage usage;
    memset(&usage, 0x55, sizeof(usage));
    pid_t pid = child_that_exits(0);
    CHECK_EQ(raw_waitid(P_PID, (id_t)pid, NULL, WEXITED, &usage), 0);
    CHECK(usage_ns(&usage) < 20000000000);
    CHECK(usage.ru_maxrss > 0 && usage.ru_maxrss < 1l << 30);
}

TEST(waitid, error, "EINVAL, ECHILD, EBADF, EFAULT")
{
    pid_t pid = idle_child();
    CHECK_ERRNO(raw_waitid(P_ALL, 0, NULL, 0, NULL), EINVAL);
    CHECK_ERRNO(raw_waitid(P_ALL, 0, NULL, WNOHANG, NULL), EINVAL);
    CHECK_ERRNO(raw_waitid(P_ALL, 0, NULL, WEXITED | 0x100, NULL), EINVAL);
    CHECK_ERRNO(raw_waitid(77, 0, NULL, WEXITED, NULL), EINVAL);
    CHECK_ERRNO(raw_waitid(P_PID, 0, NULL, WEXITED, NULL), EINVAL);
    CHECK_ERRNO(raw_waitid(P_PID, (id_t)-1, NULL, WEXITED, NULL), EINVAL);
    CHECK_ERRNO(raw_waitid(P_PGID, (id_t)-1, NULL, WEXITED, NULL), EINVAL);
    CHECK_ERRNO(raw_waitid(P_PIDFD, (id_t)-1, NULL, WEXITED, NULL), EINVAL);
    CHECK_ERRNO(raw_waitid(P_PIDFD, 999, NULL, WEXITED, NULL), EBADF);
    CHECK_ERRNO(raw_waitid(P_PID, (id_t)getpid(), NULL, WEXITED, NULL), ECHILD);
    end_child(pid);
    pid = child_that_exits(0);
    CHECK_ERRNO(raw_waitid(P_PID, (id_t)pid, bad_address(), WEXITED, NULL), EFAULT);
    CHECK_ERRNO(raw_waitid(P_PID, (id_t)pid, NULL, WEXITED, NULL), ECHILD);
}

TEST(waitid, interruption, "EINTR by a handler without SA_RESTART")
{
    pid_t pid = idle_child();
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(raw_waitid(P_PID, (id_t)pid, NULL, WEXITED, NULL), EINTR);
    cella_ticks_stop();
    end_child(pid);
}

TEST(waitid, interruption, "SA_RESTART goes on waiting")
{
    tick_victim = idle_child();
    cella_ticks_start(20, SA_RESTART, kill_at_third_tick);
    check_waitid(P_PID, (id_t)tick_victim, WEXITED, tick_victim, CLD_KILLED, SIGKILL);
    cella_ticks_stop();
    CHECK(cella_ticks >= 3);
}

TEST_MAIN()
