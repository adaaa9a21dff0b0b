/* SPDX-License-Identifier: Apache-2.0 */
/* exit and exit_group: which threads end, which status the parent sees, what is left behind. */
#include "cella_proc.h"

#include <sched.h>
#include <sys/prctl.h>

TEST(exit, success, "the only thread's exit ends the process with its status")
{
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0)
        syscall(SYS_exit, 23);
    CHECK_EQ(cella_wait_exit(pid), 23);
}

static void *exit_thread(void *arg)
{
    return arg;
}

TEST(exit, success, "a thread's exit leaves the others running")
{
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        void *result = NULL;
        CHECK_EQ(pthread_create(&thread, NULL, exit_thread, &i), 0);
        CHECK_EQ(pthread_join(thread, &result), 0);
        CHECK(result == &i);
    }
}

static int main_has_ended;

/* Waits until the main thread is a zombie: kill(2) still finds it, so only time can tell. */
static void *outlive_main(void *arg)
{
    wait_for_word(&main_has_ended);
    cella_sleep_ms(20);
    syscall(SYS_exit, *(int *)arg);
    return NULL;
}

static void *outlive_main_group(void *arg)
{
    wait_for_word(&main_has_ended);
    cella_sleep_ms(20);
    syscall(SYS_exit_group, *(int *)arg);
    return NULL;
}

/* The main thread exits with 3, the other thread ends by `other` with 5. */
static int status_after(void *(*other)(void *))
{
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        static int five = 5;
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, other, &five), 0);
        set_word(&main_has_ended, 1);
        syscall(SYS_exit, 3);
    }
    return cella_wait_exit(pid);
}

/* Linux reported the main thread's status until 5.19 and the last thread's since. */
TEST(exit, success, "the process ends with its last thread")
{
    int status = status_after(outlive_main);
    CHECK(status == 3 || status == 5);
}

TEST(exit, success, "exit_group by another thread overrides the main thread's status")
{
    CHECK_EQ(status_after(outlive_main_group), 5);
}

TEST(exit, error, "an unwritable clear_child_tid address is ignored")
{
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        syscall(SYS_set_tid_address, 8);
        syscall(SYS_exit, 9);
    }
    CHECK_EQ(cella_wait_exit(pid), 9);
}

TEST(exit, limit, "only the low eight bits reach the parent")
{
    static const int status[] = {0x100, 0x1ff, -1, 0x7fffff80};
    for (size_t i = 0; i < sizeof(status) / sizeof(status[0]); i++) {
        pid_t pid = cella_fork();
        CHECK(pid >= 0);
        if (pid == 0)
            syscall(SYS_exit, status[i]);
        CHECK_EQ(cella_wait_exit(pid), status[i] & 0xff);
    }
}

TEST(exit, interruption, "a thread that exits with signals pending for the process leaves them")
{
    sigset_t set;
    pthread_t thread;
    change_mask(SIG_BLOCK, SIGUSR1);
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(pthread_create(&thread, NULL, exit_thread, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_OK(sigpending(&set));
    CHECK(sigismember(&set, SIGUSR1));
}

/* A group is orphaned when no member has a parent in another group of the session. */
TEST(exit, success, "a stopped group that becomes orphaned gets SIGHUP and SIGCONT")
{
    int *words = shared_memory(PAGE);
    int status;
    CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    CHECK_OK(setsid());
    pid_t leader = cella_fork();
    CHECK(leader >= 0);
    if (leader == 0) {
        CHECK_OK(setsid()); /* so that the subreaper is in another session */
        pid_t member = idle_child();
        CHECK_OK(setpgid(member, member));
        CHECK_OK(kill(member, SIGSTOP));
        CHECK_EQ(waitpid(member, NULL, WUNTRACED), member);
        words[0] = member;
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(leader), 0);
    CHECK_EQ(waitpid(words[0], &status, 0), words[0]);
    CHECK_EQ(status, SIGHUP);
}

static int threads_ready;

static void thread_is_ready(void)
{
    __atomic_add_fetch(&threads_ready, 1, __ATOMIC_SEQ_CST);
}

static void *block_in_read(void *arg)
{
    char c;
    thread_is_ready();
    if (read(*(int *)arg, &c, 1) < 0)
        return NULL;
    return arg;
}

static void *block_in_futex(void *arg)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&mutex);
    thread_is_ready();
    pthread_mutex_lock(&mutex);
    return arg;
}

static void *block_in_sleep(void *arg)
{
    thread_is_ready();
    cella_sleep_ms(1000000);
    return arg;
}

static void *spin(void *arg)
{
    volatile int forever = 1;
    thread_is_ready();
    while (forever)
        ;
    return arg;
}

static void *group_exit(void *arg)
{
    while (__atomic_load_n(&threads_ready, __ATOMIC_SEQ_CST) < 4)
        sched_yield();
    syscall(SYS_exit_group, *(int *)arg);
    return NULL;
}

TEST(exit_group, success, "ends the process from any thread")
{
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        static int status = 31;
        pthread_t thread;
        threads_ready = 4;
        CHECK_EQ(pthread_create(&thread, NULL, group_exit, &status), 0);
        for (;;)
            pause();
    }
    CHECK_EQ(cella_wait_exit(pid), 31);
}

TEST(exit_group, success, "closes the descriptors: a pipe's reader sees the end")
{
    int fd[2];
    char c;
    CHECK_OK(pipe(fd));
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0)
        syscall(SYS_exit_group, 0);
    CHECK_OK(close(fd[1]));
    CHECK_EQ(read(fd[0], &c, 1), 0);
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(exit_group, error, "a status that does not fit is cut, not refused")
{
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0)
        syscall(SYS_exit_group, 0x12345678);
    CHECK_EQ(cella_wait_exit(pid), 0x78);
}

TEST(exit_group, interruption, "ends threads that block in read, a futex, a sleep, or compute")
{
    int fd[2];
    CHECK_OK(pipe(fd));
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        static int status = 32;
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, block_in_read, &fd[0]), 0);
        CHECK_EQ(pthread_create(&thread, NULL, block_in_futex, NULL), 0);
        CHECK_EQ(pthread_create(&thread, NULL, block_in_sleep, NULL), 0);
        CHECK_EQ(pthread_create(&thread, NULL, spin, NULL), 0);
        CHECK_EQ(pthread_create(&thread, NULL, group_exit, &status), 0);
        for (;;)
            pause();
    }
    CHECK_OK(close(fd[1]));
    CHECK_EQ(cella_wait_exit(pid), 32);
}

TEST(exit_group, limit, "of two threads that call it at once one status is reported")
{
    for (int i = 0; i < 20; i++) {
        pid_t pid = cella_fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            static int status[2] = {41, 42};
            pthread_t thread;
            threads_ready = 4;
            CHECK_EQ(pthread_create(&thread, NULL, group_exit, &status[0]), 0);
            CHECK_EQ(pthread_create(&thread, NULL, group_exit, &status[1]), 0);
            for (;;)
                pause();
        }
        int status = cella_wait_exit(pid);
        CHECK(status == 41 || status == 42);
    }
}

TEST_MAIN()
