/* SPDX-License-Identifier: Apache-2.0 */
/* Process and thread ids, process groups and sessions. */
#include "cella_proc.h"

#include <linux/futex.h>
#include <sys/auxv.h>
#include <sys/prctl.h>

static void *thread_answer(void *nr)
{
    return (void *)syscall((long)nr);
}

static long in_thread(long nr)
{
    pthread_t thread;
    void *answer = NULL;
    CHECK_EQ(pthread_create(&thread, NULL, thread_answer, (void *)nr), 0);
    CHECK_EQ(pthread_join(thread, &answer), 0);
    return (long)answer;
}

/* getpid and its like ignore what stands in the argument registers and never fail. */
static void check_never_fails(long nr)
{
    errno = 0;
    long plain = syscall(nr);
    CHECK_EQ(syscall(nr, 8, 8, 8, 8, 8, 8), plain);
    CHECK_EQ(errno, 0);
}

TEST(getpid, success, "is what fork told the parent, and is the same in a thread")
{
    pid_t *seen = shared_memory(PAGE);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        seen[0] = (pid_t)syscall(SYS_getpid);
        CHECK_EQ(in_thread(SYS_getpid), seen[0]);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_EQ(seen[0], pid);
}

TEST(getpid, error, "never fails, whatever stands in the argument registers")
{
    check_never_fails(SYS_getpid);
}

TEST(getpid, limit, "pids of living processes are distinct, positive and below 2^22")
{
    enum { NR = 30 };
    pid_t pid[NR];
    for (int i = 0; i < NR; i++) {
        pid[i] = idle_child();
        CHECK(pid[i] > 0 && pid[i] < 1 << 22);
        for (int j = 0; j < i; j++)
            CHECK(pid[i] != pid[j]);
    }
    for (int i = 0; i < NR; i++)
        end_child(pid[i]);
}

TEST(getppid, success, "is the process that forked, and is the same in a thread")
{
    pid_t self = getpid();
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(syscall(SYS_getppid), self);
        CHECK_EQ(in_thread(SYS_getppid), self);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(getppid, error, "never fails, whatever stands in the argument registers")
{
    check_never_fails(SYS_getppid);
}

TEST(getppid, limit, "changes when the parent ends")
{
    int *words = shared_memory(PAGE);
    pid_t self = getpid();
    CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    pid_t middle = cella_fork();
    CHECK(middle >= 0);
    if (middle == 0) {
        pid_t pid = getpid();
        pid_t orphan = cella_fork();
        CHECK(orphan >= 0);
        if (orphan == 0) {
            while (syscall(SYS_getppid) == pid)
                cella_sleep_ms(1);
            CHECK_EQ(syscall(SYS_getppid), self);
            _exit(0);
        }
        words[0] = orphan;
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(middle), 0);
    CHECK_EQ(cella_wait_exit(words[0]), 0);
}

TEST(gettid, success, "is the pid in the main thread and another id in another thread")
{
    CHECK_EQ(syscall(SYS_gettid), getpid());
    long other = in_thread(SYS_gettid);
    CHECK(other > 0);
    CHECK(other != getpid());
}

TEST(gettid, error, "never fails, whatever stands in the argument registers")
{
    check_never_fails(SYS_gettid);
}

static int tids_taken;

static void *hold_tid(void *slot)
{
    *(long *)slot = syscall(SYS_gettid);
    __atomic_add_fetch(&tids_taken, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&tids_taken, __ATOMIC_SEQ_CST) < 20)
        cella_sleep_ms(1);
    return NULL;
}

TEST(gettid, limit, "ids of living threads are distinct, and none is a process' id")
{
    enum { NR = 20 };
    pthread_t thread[NR];
    long tid[NR];
    for (int i = 0; i < NR; i++)
        CHECK_EQ(pthread_create(&thread[i], NULL, hold_tid, &tid[i]), 0);
    for (int i = 0; i < NR; i++)
        CHECK_EQ(pthread_join(thread[i], NULL), 0);
    for (int i = 0; i < NR; i++) {
        CHECK(tid[i] != getpid());
        for (int j = 0; j < i; j++)
            CHECK(tid[i] != tid[j]);
    }
}

static int thread_word;

static void *leave_word(void *arg)
{
    *(long *)arg = syscall(SYS_set_tid_address, &thread_word) - syscall(SYS_gettid);
    syscall(SYS_exit, 0);
    return NULL;
}

TEST(set_tid_address, success, "answers the thread's id; the word is zeroed and woken at its end")
{
    pthread_t thread;
    long difference = -1;
    thread_word = 1;
    CHECK_EQ(pthread_create(&thread, NULL, leave_word, &difference), 0);
    while (__atomic_load_n(&thread_word, __ATOMIC_SEQ_CST))
        syscall(SYS_futex, &thread_word, FUTEX_WAIT, 1, NULL, NULL, 0);
    CHECK_EQ(difference, 0);
}

TEST(set_tid_address, error, "never fails, even for an address that cannot be written")
{
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(syscall(SYS_set_tid_address, bad_address()), getpid());
        CHECK_EQ(syscall(SYS_set_tid_address, NULL), getpid());
        CHECK_EQ(syscall(SYS_set_tid_address, bad_address()), getpid());
        _exit(4);
    }
    CHECK_EQ(cella_wait_exit(pid), 4);
}

TEST(set_tid_address, limit, "the last thread of an unshared memory does not write")
{
    int *word = shared_memory(PAGE);
    *word = 7;
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        syscall(SYS_set_tid_address, word);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_EQ(*word, 7);
}

TEST(setpgid, success, "makes a group, joins one, from the child or from the parent")
{
    pid_t self = getpid();
    CHECK_EQ(syscall(SYS_setpgid, 0, 0), 0);
    CHECK_EQ(syscall(SYS_getpgrp), self);
    pid_t a = idle_child(), b = idle_child();
    CHECK_EQ(syscall(SYS_getpgid, a), self);
    CHECK_EQ(syscall(SYS_setpgid, a, 0), 0);
    CHECK_EQ(syscall(SYS_getpgid, a), a);
    CHECK_EQ(syscall(SYS_setpgid, b, a), 0);
    CHECK_EQ(syscall(SYS_getpgid, b), a);
    CHECK_EQ(syscall(SYS_setpgid, b, self), 0);
    CHECK_EQ(syscall(SYS_getpgid, b), self);
    end_child(a);
    end_child(b);
}

TEST(setpgid, error, "EINVAL, ESRCH, EPERM")
{
    int *go = shared_memory(PAGE);
    CHECK_ERRNO(syscall(SYS_setpgid, 0, -1), EINVAL);
    CHECK_ERRNO(syscall(SYS_setpgid, 0x3fffffff, 0), ESRCH);
    CHECK_ERRNO(syscall(SYS_setpgid, getppid(), 0), ESRCH); /* not a child */
    CHECK_ERRNO(syscall(SYS_setpgid, 0, 0x3fffffff), EPERM);
    pid_t leader = cella_fork();
    CHECK(leader >= 0);
    if (leader == 0) {
        CHECK_OK(setsid());
        CHECK_ERRNO(syscall(SYS_setpgid, 0, getppid()), EPERM);
        CHECK_ERRNO(syscall(SYS_setpgid, 0, 0), EPERM);
        set_word(go, 1);
        for (;;)
            pause();
    }
    wait_for_word(go);
    CHECK_ERRNO(syscall(SYS_setpgid, leader, 0), EPERM);
    CHECK_ERRNO(syscall(SYS_setpgid, 0, leader), EPERM); /* another session's group */
    end_child(leader);
}

static char own_path[4096];

__attribute__((constructor)) static void run_as_image(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "image that waits")) {
        if (write(atoi(argv[2]), "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    if (!realpath((const char *)getauxval(AT_EXECFN), own_path))
        _exit(1);
}

TEST(setpgid, error, "EACCES for a child that has executed a program")
{
    int fd[2];
    char text[16], c;
    char *argv[] = {"self", "image that waits", text, NULL};
    CHECK_OK(pipe(fd));
    snprintf(text, sizeof(text), "%d", fd[1]);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        execv(own_path, argv);
        _exit(1);
    }
    CHECK_EQ(read(fd[0], &c, 1), 1);
    CHECK_ERRNO(syscall(SYS_setpgid, pid, 0), EACCES);
    end_child(pid);
}

TEST(setpgid, limit, "the group outlives its leader")
{
    pid_t leader = idle_child(), member = idle_child();
    CHECK_OK(setpgid(leader, leader));
    CHECK_OK(setpgid(member, leader));
    end_child(leader);
    CHECK_EQ(syscall(SYS_getpgid, member), leader);
    CHECK_OK(kill(-leader, SIGTERM));
    CHECK_EQ(wait_signal(member), SIGTERM);
    CHECK_ERRNO(kill(-leader, 0), ESRCH);
}

TEST(getpgid, success, "0 is the caller, and a child is in the parent's group")
{
    pid_t group = (pid_t)syscall(SYS_getpgid, 0);
    CHECK(group > 0);
    CHECK_EQ(syscall(SYS_getpgid, getpid()), group);
    pid_t pid = idle_child();
    CHECK_EQ(syscall(SYS_getpgid, pid), group);
    end_child(pid);
}

TEST(getpgid, error, "ESRCH")
{
    CHECK_ERRNO(syscall(SYS_getpgid, 0x3fffffff), ESRCH);
    CHECK_ERRNO(syscall(SYS_getpgid, -1), ESRCH);
}

TEST(getpgid, limit, "a zombie still has its group, until it is collected")
{
    pid_t pid = idle_child();
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_OK(waitid(P_PID, (id_t)pid, NULL, WEXITED | WNOWAIT));
    CHECK_EQ(syscall(SYS_getpgid, pid), getpgrp());
    CHECK_EQ(wait_signal(pid), SIGKILL);
    CHECK_ERRNO(syscall(SYS_getpgid, pid), ESRCH);
}

TEST(getpgrp, success, "is getpgid(0)")
{
    CHECK_EQ(syscall(SYS_getpgrp), syscall(SYS_getpgid, 0));
    CHECK_OK(setpgid(0, 0));
    CHECK_EQ(syscall(SYS_getpgrp), getpid());
}

TEST(getpgrp, error, "never fails, whatever stands in the argument registers")
{
    check_never_fails(SYS_getpgrp);
}

TEST(getpgrp, limit, "is the same in another thread")
{
    CHECK_OK(setpgid(0, 0));
    CHECK_EQ(in_thread(SYS_getpgrp), getpid());
}

TEST(setsid, success, "makes a session and a group of the caller's own")
{
    CHECK_EQ(syscall(SYS_setsid), getpid());
    CHECK_EQ(syscall(SYS_getsid, 0), getpid());
    CHECK_EQ(syscall(SYS_getpgrp), getpid());
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
}

TEST(setsid, error, "EPERM for the leader of a group")
{
    CHECK_OK(setpgid(0, 0));
    CHECK_ERRNO(syscall(SYS_setsid), EPERM);
}

TEST(setsid, limit, "EPERM while another process is in the group of the caller's number")
{
    pid_t member = idle_child();
    CHECK_OK(setpgid(0, 0));
    CHECK_OK(setpgid(member, getpid()));
    pid_t old = getpgid(getppid());
    CHECK_OK(setpgid(0, old));
    CHECK_ERRNO(syscall(SYS_setsid), EPERM);
    end_child(member);
    CHECK_EQ(syscall(SYS_setsid), getpid());
}

TEST(getsid, success, "a child is in the parent's session, a setsid child in its own")
{
    int *go = shared_memory(PAGE);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(syscall(SYS_getsid, 0), syscall(SYS_getsid, getppid()));
        CHECK_OK(setsid());
        set_word(go, 1);
        for (;;)
            pause();
    }
    wait_for_word(go);
    CHECK_EQ(syscall(SYS_getsid, pid), pid);
    CHECK(syscall(SYS_getsid, 0) != pid);
    end_child(pid);
}

TEST(getsid, error, "ESRCH")
{
    CHECK_ERRNO(syscall(SYS_getsid, 0x3fffffff), ESRCH);
    CHECK_ERRNO(syscall(SYS_getsid, -1), ESRCH);
}

TEST(getsid, limit, "the session outlives its leader")
{
    int *words = shared_memory(PAGE);
    CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    pid_t leader = cella_fork();
    CHECK(leader >= 0);
    if (leader == 0) {
        CHECK_OK(setsid());
        set_word(&words[0], idle_child());
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(leader), 0);
    CHECK_EQ(syscall(SYS_getsid, words[0]), leader);
    end_child(words[0]);
}

TEST_MAIN()
