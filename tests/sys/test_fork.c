/* SPDX-License-Identifier: Apache-2.0 */
/* fork and vfork: what a child shares, what it copies, and what it starts without. */
#include "cella_proc.h"

#include <sys/prctl.h>
#include <xmmintrin.h>

static pid_t raw_fork(void)
{
    return (pid_t)syscall(SYS_fork);
}

TEST(fork, success, "answers 0 in the child and the child's pid in the parent")
{
    pid_t *seen = shared_memory(PAGE);
    pid_t self = getpid();
    pid_t pid = raw_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        seen[0] = getpid();
        seen[1] = getppid();
        _exit(42);
    }
    CHECK_EQ(cella_wait_exit(pid), 42);
    CHECK_EQ(seen[0], pid);
    CHECK_EQ(seen[1], self);
    CHECK(pid != self);
}

TEST(fork, success, "private memory is copied, whichever side writes first")
{
    enum { NR = 64 };
    unsigned char *data = private_pages(NR, PROT_READ | PROT_WRITE);
    int *step = shared_memory(PAGE);
    for (size_t i = 0; i < NR; i++)
        data[i * PAGE] = (unsigned char)i;
    pid_t pid = raw_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        for (size_t i = 0; i < NR / 2; i++)
            data[i * PAGE] = 0xcc;
        set_word(&step[0], 1);
        wait_for_word(&step[1]);
        for (size_t i = NR / 2; i < NR; i++)
            CHECK_EQ(data[i * PAGE], i);
        _exit(0);
    }
    wait_for_word(&step[0]);
    for (size_t i = 0; i < NR; i++)
        CHECK_EQ(data[i * PAGE], i);
    memset(data, 0xdd, NR * PAGE);
    set_word(&step[1], 1);
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_EQ(data[0], 0xdd);
}

TEST(fork, success, "copies stay apart down three generations")
{
    volatile int value = 1;
    pid_t pid = raw_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        value = 2;
        pid_t grandchild = raw_fork();
        CHECK(grandchild >= 0);
        if (grandchild == 0) {
            CHECK_EQ(value, 2);
            value = 3;
            _exit(value);
        }
        CHECK_EQ(cella_wait_exit(grandchild), 3);
        CHECK_EQ(value, 2);
        _exit(value);
    }
    CHECK_EQ(cella_wait_exit(pid), 2);
    CHECK_EQ(value, 1);
}

TEST(fork, success, "shared anonymous memory is the same memory on both sides")
{
    int *words = shared_memory(4 * PAGE);
    words[0] = 5;
    pid_t pid = raw_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(words[0], 5);
        words[3 * PAGE / sizeof(int)] = 77; /* a page that nobody had touched before the fork */
        set_word(&words[1], 1);
        CHECK_EQ(wait_for_word(&words[2]), 9);
        _exit(0);
    }
    wait_for_word(&words[1]);
    CHECK_EQ(words[3 * PAGE / sizeof(int)], 77);
    set_word(&words[2], 9);
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(fork, success, "a descriptor's offset is shared, its number is not")
{
    cella_scratch();
    cella_put_file("f", "abcdef", 6);
    int fd = open("f", O_RDONLY);
    CHECK(fd >= 0);
    pid_t pid = raw_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        char c[2];
        CHECK_EQ(read(fd, c, 2), 2);
        CHECK_OK(close(fd));
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    char c;
    CHECK_EQ(read(fd, &c, 1), 1);
    CHECK_EQ(c, 'c');
}

TEST(fork, success, "the signal mask and actions are inherited, pending signals are not")
{
    sigset_t set;
    struct sigaction action = {.sa_handler = SIG_IGN};
    change_mask(SIG_BLOCK, SIGUSR1);
    CHECK_OK(sigaction(SIGUSR2, &action, NULL));
    CHECK_OK(kill(getpid(), SIGUSR1));
    pid_t pid = raw_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_OK(sigpending(&set));
        CHECK(!sigismember(&set, SIGUSR1));
        CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &set));
        CHECK(sigismember(&set, SIGUSR1));
        CHECK_OK(sigaction(SIGUSR2, NULL, &action));
        CHECK(action.sa_handler == SIG_IGN);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_OK(sigpending(&set));
    CHECK(sigismember(&set, SIGUSR1));
}

TEST(fork, success, "alarms, interval timers and the CPU time start anew in the child")
{
    struct itimerval timer = {{0, 0}, {1000, 0}};
    CHECK_OK(setitimer(ITIMER_VIRTUAL, &timer, NULL));
    alarm(1000);
    while (clock_ns(CLOCK_PROCESS_CPUTIME_ID) < 30000000)
        ;
    pid_t pid = raw_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK(clock_ns(CLOCK_PROCESS_CPUTIME_ID) < 30000000);
        CHECK_EQ(alarm(0), 0);
        CHECK_OK(getitimer(ITIMER_VIRTUAL, &timer));
        CHECK_EQ(timer.it_value.tv_sec, 0);
        CHECK_EQ(timer.it_value.tv_usec, 0);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK(alarm(0) > 900);
}

TEST(fork, success, "the name, the umask, the directory and the limits are inherited")
{
    const char *scratch = cella_scratch();
    char name[16], path[4096];
    struct rlimit limit = {64, 100};
    CHECK_OK(prctl(PR_SET_NAME, "heir"));
    umask(0123);
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
    pid_t pid = raw_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_OK(prctl(PR_GET_NAME, name));
        CHECK_STR(name, "heir");
        CHECK_EQ(umask(0), 0123);
        CHECK(getcwd(path, sizeof(path)) != NULL);
        CHECK_STR(path, scratch);
        CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
        CHECK_EQ(limit.rlim_cur, 64);
        CHECK_EQ(limit.rlim_max, 100);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_EQ(umask(022), 0123);
}

TEST(fork, success, "vector registers are the same after fork on both sides")
{
    static struct vectors in, out;
    vectors_fill(&in, 1);
    pid_t pid = (pid_t)vectors_call(&in, &out, SYS_fork, 0, 0, 0);
    CHECK(pid >= 0);
    CHECK(vectors_equal(&in, &out));
    if (pid == 0)
        _exit(0);
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(fork, success, "the floating-point control words are inherited")
{
    const unsigned mxcsr = 0x7f80 | 0x8000; /* round towards zero, flush to zero, no exceptions */
    const unsigned short wanted = 0x0e7f; /* x87: round towards zero, double precision */
    unsigned short control = wanted;
    _mm_setcsr(mxcsr);
    __asm__ volatile("fldcw %0" : : "m"(control));
    pid_t pid = raw_fork();
    control = 0;
    __asm__ volatile("fnstcw %0" : "=m"(control));
    unsigned mxcsr_now = _mm_getcsr();
    CHECK(pid >= 0);
    CHECK_EQ(mxcsr_now, mxcsr);
    CHECK_EQ(control, wanted);
    if (pid == 0)
        _exit(0);
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(fork, success, "thread-local storage works and differs between the two")
{
    static __thread volatile int local = 3;
    pid_t pid = raw_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(local, 3);
        local = 4;
        _exit(local);
    }
    CHECK_EQ(cella_wait_exit(pid), 4);
    CHECK_EQ(local, 3);
}

static void *sleeping_thread(void *arg)
{
    for (;;)
        cella_sleep_ms(1000);
    return arg;
}

TEST(fork, success, "only the calling thread exists in the child")
{
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, sleeping_thread, NULL), 0);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(syscall(SYS_gettid), getpid());
        syscall(SYS_exit, 7); /* were another thread there, the process would go on */
    }
    CHECK_EQ(cella_wait_exit(pid), 7);
}

TEST(fork, error, "EAGAIN above RLIMIT_NPROC")
{
    struct rlimit none = {0, 0};
    cella_drop_root();
    CHECK_OK(setrlimit(RLIMIT_NPROC, &none));
    CHECK_ERRNO(syscall(SYS_fork), EAGAIN);
    CHECK_ERRNO(waitpid(-1, NULL, WNOHANG), ECHILD);
}

TEST(fork, limit, "three hundred children in turn leave nothing behind")
{
    for (int i = 0; i < 300; i++) {
        pid_t pid = raw_fork();
        CHECK(pid >= 0);
        if (pid == 0)
            _exit(i & 0x7f);
        CHECK_EQ(cella_wait_exit(pid), i & 0x7f);
    }
    CHECK_ERRNO(waitpid(-1, NULL, WNOHANG), ECHILD);
}

TEST(fork, limit, "a chain of twenty generations hands its status up")
{
    pid_t pid = 1;
    int depth;
    for (depth = 0; depth < 20; depth++) {
        pid = raw_fork();
        CHECK(pid >= 0);
        if (pid != 0)
            break;
    }
    if (pid == 0)
        _exit(depth);
    int status = cella_wait_exit(pid);
    if (depth != 0)
        _exit(status);
    CHECK_EQ(status, 20);
}

static void nothing(int nth)
{
    (void)nth;
}

TEST(fork, interruption, "signals that arrive during fork neither break nor repeat it")
{
    cella_ticks_start(1, 0, nothing);
    for (int i = 0; i < 100; i++) {
        pid_t pid = raw_fork();
        CHECK(pid >= 0);
        if (pid == 0)
            _exit(5);
        CHECK_EQ(cella_wait_exit(pid), 5);
    }
    cella_ticks_stop();
    CHECK_ERRNO(waitpid(-1, NULL, WNOHANG), ECHILD);
}

TEST(vfork, success, "the child runs in the parent's memory")
{
    static volatile int seen;
    seen = 0;
    pid_t pid = vfork();
    if (pid == 0) {
        seen = 9;
        _exit(3);
    }
    CHECK(pid > 0);
    CHECK_EQ(seen, 9);
    CHECK_EQ(cella_wait_exit(pid), 3);
}

TEST(vfork, success, "the child has its own descriptors, directory and signal actions")
{
    const char *scratch = cella_scratch();
    char path[4096];
    struct sigaction action;
    int fd = open("/", O_RDONLY | O_DIRECTORY);
    CHECK(fd >= 0);
    pid_t pid = vfork();
    if (pid == 0) {
        close(fd);
        if (chdir("/"))
            _exit(1);
        signal(SIGUSR1, SIG_IGN);
        _exit(0);
    }
    CHECK(pid > 0);
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_OK(fcntl(fd, F_GETFD));
    CHECK(getcwd(path, sizeof(path)) != NULL);
    CHECK_STR(path, scratch);
    CHECK_OK(sigaction(SIGUSR1, NULL, &action));
    CHECK(action.sa_handler == SIG_DFL);
}

TEST(vfork, error, "EAGAIN above RLIMIT_NPROC")
{
    struct rlimit none = {0, 0};
    cella_drop_root();
    CHECK_OK(setrlimit(RLIMIT_NPROC, &none));
    errno = 0;
    pid_t pid = vfork();
    if (pid == 0)
        _exit(0);
    CHECK_EQ(pid, -1);
    CHECK_EQ(errno, EAGAIN);
}

TEST(vfork, limit, "the parent stands still until the child has ended")
{
    static volatile int finished;
    finished = 0;
    pid_t pid = vfork();
    if (pid == 0) {
        struct timespec pause_for = {0, 50000000};
        nanosleep(&pause_for, NULL);
        finished = 1;
        _exit(0);
    }
    CHECK(pid > 0);
    CHECK_EQ(finished, 1);
    CHECK_EQ(cella_wait_exit(pid), 0);
}

static volatile sig_atomic_t handled;

static void count_signal(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    handled = handled + 1;
}

TEST(vfork, interruption, "a signal to the waiting parent is handled only after the child's end")
{
    static volatile int handled_in_child;
    set_handler(SIGUSR1, count_signal, SA_RESTART);
    handled_in_child = -1;
    pid_t pid = vfork();
    if (pid == 0) {
        struct timespec pause_for = {0, 30000000};
        kill(getppid(), SIGUSR1);
        nanosleep(&pause_for, NULL);
        handled_in_child = handled;
        _exit(0);
    }
    CHECK(pid > 0);
    CHECK_EQ(handled_in_child, 0);
    CHECK_EQ(handled, 1);
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST_MAIN()
