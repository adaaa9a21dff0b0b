/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Framework of the system-call conformance tests.
 *
 * Every test_*.c in this folder is one program. It runs natively and inside a keep, and the two
 * outputs and exit codes are compared, so nothing that differs between two runs (a pid, an address,
 * a time) may be printed by a passing test.
 *
 *     TEST(read, success, "reads what was written")
 *     {
 *         int fd[2];
 *         CHECK_OK(syscall(SYS_pipe, fd));
 *         CHECK_EQ(write(fd[1], "ab", 2), 2);
 *         ...
 *     }
 *     TEST_MAIN()
 *
 * A test runs in a forked child, so that a crash, a leak or a changed process attribute stays its
 * own. The verdict travels through one shared anonymous page and not through a descriptor, because
 * tests of close_range or RLIMIT_NOFILE would close or move it. The first verdict written wins: a
 * failed CHECK in a thread or in a child process of a test is the test's failure, and is not
 * overwritten by the follow-up failure of the process that waits for it.
 *
 * The watchdog is the parent's alarm, so tests may use their own alarm, timers and handlers.
 *
 *     test_rw                     runs all
 *     test_rw read. write.error   runs those whose call.aspect contains one of these
 *     test_rw --list              lists them as "CALL ASPECT - title"
 *     test_rw --nofork read.limit runs in the program's own process: for a debugger, or where there
 *                                 is no fork; what one test changes, the next finds changed
 */
#ifndef CELLA_TEST_H
#define CELLA_TEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CELLA_TIMEOUT_S 20
#define CELLA_UNUSED __attribute__((unused))

struct cella_test {
    const char *call;
    const char *aspect;
    const char *title;
    void (*run)(void);
    struct cella_test *next;
};

enum cella_verdict {
    CELLA_RUNNING, /* nothing said yet; a child that ends so has left the test early */
    CELLA_WRITING, /* one thread owns the message */
    CELLA_FAILED,
    CELLA_SKIPPED,
};

/* Lives in a page shared by the runner, the test and the test's own children. */
struct cella_record {
    int verdict; /* enum cella_verdict, changed only by compare-and-swap from CELLA_RUNNING */
    int finished; /* the test function returned */
    char message[1024];
    char scratch[1024]; /* the scratch directory the runner must remove; "" if none */
};

static struct cella_test *cella_first;
static struct cella_test **cella_last = &cella_first;
static struct cella_record *cella_record;
static volatile pid_t cella_running_child;
static volatile sig_atomic_t cella_timed_out;
static bool cella_nofork;
static pid_t cella_test_pid;
static pid_t cella_test_tid;
static sigjmp_buf cella_leave_test;

/* Only these aspects exist; a misspelt one does not compile. */
enum { cella_aspect_success, cella_aspect_error, cella_aspect_interruption, cella_aspect_limit };

CELLA_UNUSED static void cella_register(struct cella_test *test)
{
    *cella_last = test;
    cella_last = &test->next;
}

#define CELLA_TEST_AT(callname, aspectname, text, line)                                            \
    static void cella_test_at_##line(void);                                                        \
    __attribute__((constructor)) static void cella_register_at_##line(void)                        \
    {                                                                                              \
        static struct cella_test test = {callname, aspectname, text, cella_test_at_##line, NULL};  \
        cella_register(&test);                                                                     \
    }                                                                                              \
    static void cella_test_at_##line(void)
#define CELLA_TEST_EXPAND(callname, aspectname, text, line)                                        \
    CELLA_TEST_AT(callname, aspectname, text, line)

/* Defines and registers one test. call: the system call's name; aspect: success, error,
 * interruption or limit; text: what must hold, unique among the tests of one call.aspect. */
#define TEST(call, aspect, text)                                                                   \
    _Static_assert(cella_aspect_##aspect >= 0, "unknown aspect");                                  \
    CELLA_TEST_EXPAND(#call, #aspect, text, __LINE__)

/* Ends the calling test, whichever thread or process of it calls. */
__attribute__((noreturn)) static void cella_end_test(void)
{
    if (!cella_nofork || getpid() != cella_test_pid)
        _exit(1);
    if (syscall(SYS_gettid) != cella_test_tid)
        pthread_exit(NULL);
    siglongjmp(cella_leave_test, 1);
}

/* Records a verdict with its message, unless there already is one, and ends the test. */
__attribute__((noreturn, format(printf, 2, 3))) CELLA_UNUSED static void
cella_verdict(enum cella_verdict verdict, const char *format, ...)
{
    int expected = CELLA_RUNNING;
    if (__atomic_compare_exchange_n(&cella_record->verdict, &expected, CELLA_WRITING, false,
                                    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        va_list args;
        va_start(args, format);
        vsnprintf(cella_record->message, sizeof(cella_record->message), format, args);
        va_end(args);
        __atomic_store_n(&cella_record->verdict, (int)verdict, __ATOMIC_SEQ_CST);
    }
    cella_end_test();
}

CELLA_UNUSED static const char *cella_basename(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* strerrorname_np is NULL for an unknown number; 0 means that errno was not set. */
CELLA_UNUSED static const char *cella_errname(int err)
{
    const char *name = err ? strerrorname_np(err) : "no error";
    return name ? name : "unknown errno";
}

#define CELLA_FAIL(...) cella_verdict(CELLA_FAILED, __VA_ARGS__)
#define CELLA_HERE cella_basename(__FILE__), __LINE__

/* Ends the test as skipped. The reason must be the same natively and in a keep. */
#define SKIP(reason) cella_verdict(CELLA_SKIPPED, "%s", reason)

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            CELLA_FAIL("%s:%d: %s", CELLA_HERE, #cond);                                            \
    } while (0)

/* Both sides are taken as long long. */
#define CHECK_EQ(a, b)                                                                             \
    do {                                                                                           \
        long long cella_a = (long long)(a), cella_b = (long long)(b);                              \
        int cella_err = errno;                                                                     \
        if (cella_a != cella_b)                                                                    \
            CELLA_FAIL("%s:%d: %s == %s (%lld, %lld; errno %s)", CELLA_HERE, #a, #b, cella_a,      \
                       cella_b, cella_errname(cella_err));                                         \
    } while (0)

/* The call must succeed: anything but -1. */
#define CHECK_OK(expr)                                                                             \
    do {                                                                                           \
        errno = 0;                                                                                 \
        if ((long long)(expr) == -1)                                                               \
            CELLA_FAIL("%s:%d: %s (%s)", CELLA_HERE, #expr, cella_errname(errno));                 \
    } while (0)

/* The call must return -1 with this errno. */
#define CHECK_ERRNO(expr, wanted)                                                                  \
    do {                                                                                           \
        errno = 0;                                                                                 \
        long long cella_r = (long long)(expr);                                                     \
        int cella_err = errno;                                                                     \
        if (cella_r != -1 || cella_err != (wanted))                                                \
            CELLA_FAIL("%s:%d: %s answers %s (returned %lld, %s)", CELLA_HERE, #expr, #wanted,     \
                       cella_r, cella_errname(cella_err));                                         \
    } while (0)

#define CHECK_STR(a, b)                                                                            \
    do {                                                                                           \
        const char *cella_a = (a), *cella_b = (b);                                                 \
        if (strcmp(cella_a, cella_b))                                                              \
            CELLA_FAIL("%s:%d: %s is %s (\"%s\", \"%s\")", CELLA_HERE, #a, #b, cella_a, cella_b);  \
    } while (0)

/* The monotonic clock in milliseconds, for lower bounds on waits. */
CELLA_UNUSED static long long cella_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

CELLA_UNUSED static void cella_sleep_ms(long ms)
{
    struct timespec left = {ms / 1000, (ms % 1000) * 1000000};
    while (nanosleep(&left, &left) == -1 && errno == EINTR)
        ;
}

/* fork for a test's own children: they die of SIGALRM rather than outlive a hung test. */
CELLA_UNUSED static pid_t cella_fork(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGALRM, SIG_DFL);
        alarm(CELLA_TIMEOUT_S);
    }
    return pid;
}

/* Waits for a child that must end by itself; returns its exit status, -1 if a signal ended it. */
CELLA_UNUSED static int cella_wait_exit(pid_t pid)
{
    int status;
    pid_t got;
    do
        got = waitpid(pid, &status, 0);
    while (got == -1 && errno == EINTR);
    CHECK_EQ(got == pid, 1);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/*
 * Ticks: SIGALRM every interval_ms, with the given sigaction flags. The first may arrive before
 * the call under test has blocked, so they repeat until cella_ticks_stop; cella_ticks counts them.
 * on_tick, if not NULL, runs in the handler with the number of the tick (from 1).
 *
 *     cella_ticks_start(20, 0, NULL);
 *     CHECK_ERRNO(read(empty_pipe, buf, 1), EINTR);
 *     cella_ticks_stop();
 */
static volatile sig_atomic_t cella_ticks CELLA_UNUSED;
static void (*volatile cella_on_tick)(int nth) CELLA_UNUSED;

CELLA_UNUSED static void cella_tick_handler(int sig)
{
    int saved = errno;
    (void)sig;
    cella_ticks = cella_ticks + 1;
    if (cella_on_tick)
        cella_on_tick((int)cella_ticks);
    errno = saved;
}

CELLA_UNUSED static void cella_ticks_start(long interval_ms, int sa_flags, void (*on_tick)(int nth))
{
    struct sigaction action = {.sa_handler = cella_tick_handler, .sa_flags = sa_flags};
    struct timeval interval = {interval_ms / 1000, (interval_ms % 1000) * 1000};
    struct itimerval timer = {interval, interval};
    cella_ticks = 0;
    cella_on_tick = on_tick;
    CHECK_OK(sigaction(SIGALRM, &action, NULL));
    CHECK_OK(setitimer(ITIMER_REAL, &timer, NULL));
}

CELLA_UNUSED static void cella_ticks_stop(void)
{
    struct itimerval off = {{0, 0}, {0, 0}};
    CHECK_OK(setitimer(ITIMER_REAL, &off, NULL));
    cella_on_tick = NULL;
}

/* Gives up root for good (uid and gid 65534, no groups), handing over the scratch directory if
 * there is one already; nothing happens if not root. Permission tests call it, so that they mean
 * the same whoever starts them. */
CELLA_UNUSED static void cella_drop_root(void)
{
    if (geteuid() != 0)
        return;
    gid_t none[1];
    if (cella_record->scratch[0])
        CHECK_OK(chown(cella_record->scratch, 65534, 65534));
    CHECK_OK(syscall(SYS_setgroups, 0, none));
    CHECK_OK(syscall(SYS_setresgid, 65534, 65534, 65534));
    CHECK_OK(syscall(SYS_setresuid, 65534, 65534, 65534));
}

/* Makes a fresh directory under $TMPDIR (default /tmp), changes into it, and returns its absolute
 * path. The runner removes it after the test. One per test: later calls return the same path. */
CELLA_UNUSED static const char *cella_scratch(void)
{
    char *path = cella_record->scratch;
    if (!path[0]) {
        const char *base = getenv("TMPDIR");
        char template[sizeof(cella_record->scratch)];
        if (!base || !base[0])
            base = "/tmp";
        snprintf(template, sizeof(template), "%s/cella-test-XXXXXX", base);
        CHECK(mkdtemp(template) != NULL);
        CHECK(realpath(template, path) != NULL);
        CHECK_OK(chmod(path, 0755));
    }
    CHECK_OK(chdir(path));
    return path;
}

/* Creates (or truncates) a file with this content in the current directory or at this path. */
CELLA_UNUSED static void cella_put_file(const char *path, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, data, len), len);
    CHECK_OK(close(fd));
}

/* The rest is the runner's. */

CELLA_UNUSED static int cella_remove_entry(const char *path, const struct stat *st, int type,
                                           struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    remove(path);
    return 0;
}

/* A test may have taken permissions from its directories, so give them back on the way down. */
CELLA_UNUSED static int cella_open_directory(const char *path, const struct stat *st, int type,
                                             struct FTW *ftw)
{
    (void)ftw;
    if (type == FTW_D || type == FTW_DNR)
        chmod(path, (st->st_mode & 07777) | 0700);
    return 0;
}

static void cella_watchdog(int sig)
{
    (void)sig;
    cella_timed_out = 1;
    if (cella_running_child > 0)
        kill(cella_running_child, SIGKILL);
}

/* Runners differ in what they ignore and block; a test starts from the same state everywhere. */
static void cella_reset_process(void)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    sigset_t none;
    struct rlimit core = {0, 0};
    for (int sig = 1; sig <= 64; sig++)
        sigaction(sig, &dfl, NULL); /* fails for SIGKILL, SIGSTOP and libc's own: as it must */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setrlimit(RLIMIT_CORE, &core);
    umask(022);
}

static int cella_run_here(struct cella_test *test)
{
    cella_test_pid = getpid();
    cella_test_tid = (pid_t)syscall(SYS_gettid);
    if (sigsetjmp(cella_leave_test, 1))
        return 1;
    test->run();
    if (getpid() != cella_test_pid)
        _exit(0); /* a child of the test that fell out of its end */
    cella_record->finished = 1;
    return 0;
}

/* Runs one test in a child and fills the record even if the child could not. */
static void cella_run_forked(struct cella_test *test)
{
    struct sigaction watch = {.sa_handler = cella_watchdog};
    int status = 0;
    cella_timed_out = 0;
    cella_running_child = 0;
    pid_t child = fork();
    if (child == 0) {
        cella_reset_process();
        _exit(cella_run_here(test));
    }
    if (child == -1) {
        snprintf(cella_record->message, sizeof(cella_record->message), "fork: %s",
                 cella_errname(errno));
        cella_record->verdict = CELLA_FAILED;
        return;
    }
    cella_running_child = child;
    sigaction(SIGALRM, &watch, NULL);
    alarm(CELLA_TIMEOUT_S);
    while (waitpid(child, &status, 0) == -1 && errno == EINTR)
        ;
    alarm(0);
    cella_running_child = 0;
    if (cella_record->verdict == CELLA_SKIPPED || cella_record->verdict == CELLA_FAILED)
        return;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && cella_record->finished)
        return;
    char *message = cella_record->message;
    size_t size = sizeof(cella_record->message);
    cella_record->verdict = CELLA_FAILED;
    if (cella_timed_out)
        snprintf(message, size, "timed out after %d s", CELLA_TIMEOUT_S);
    else if (WIFSIGNALED(status))
        snprintf(message, size, "killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
    else
        snprintf(message, size, "ended early with status %d", WEXITSTATUS(status));
}

static enum cella_verdict cella_run_one(struct cella_test *test)
{
    memset(cella_record, 0, sizeof(*cella_record));
    fflush(stdout);
    if (cella_nofork)
        cella_run_here(test);
    else
        cella_run_forked(test);
    if (cella_record->scratch[0]) {
        int unused CELLA_UNUSED = chdir("/");
        nftw(cella_record->scratch, cella_open_directory, 16, FTW_PHYS);
        nftw(cella_record->scratch, cella_remove_entry, 16, FTW_PHYS | FTW_DEPTH);
    }
    const char *word = cella_record->verdict == CELLA_FAILED    ? "not ok"
                       : cella_record->verdict == CELLA_SKIPPED ? "skip"
                                                                : "ok";
    printf("%s %s %s - %s", word, test->call, test->aspect, test->title);
    if (cella_record->verdict != CELLA_RUNNING)
        printf(": %s", cella_record->message);
    putchar('\n');
    fflush(stdout);
    return (enum cella_verdict)cella_record->verdict;
}

static bool cella_selected(const struct cella_test *test, char **patterns, int count)
{
    char name[128];
    snprintf(name, sizeof(name), "%s.%s", test->call, test->aspect);
    for (int i = 0; i < count; i++)
        if (strstr(name, patterns[i]))
            return true;
    return count == 0;
}

CELLA_UNUSED static int cella_main(int argc, char **argv)
{
    int passed = 0, failed = 0, skipped = 0;
    bool list = false;
    char **patterns = argv + 1;
    int count = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--list"))
            list = true;
        else if (!strcmp(argv[i], "--nofork"))
            cella_nofork = true;
        else
            patterns[count++] = argv[i];
    }
    cella_record = mmap(NULL, sizeof(*cella_record), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (cella_record == MAP_FAILED) {
        fprintf(stderr, "mmap of the shared record: %s\n", cella_errname(errno));
        return 2;
    }
    /* Descriptors that a runner leaks would shift the numbers that tests of open and dup expect. */
    if (!list)
        syscall(SYS_close_range, 3u, ~0u, 0u);
    cella_reset_process();
    for (struct cella_test *test = cella_first; test; test = test->next) {
        if (!cella_selected(test, patterns, count))
            continue;
        if (list) {
            printf("%s %s - %s\n", test->call, test->aspect, test->title);
            continue;
        }
        switch (cella_run_one(test)) {
        case CELLA_FAILED:
            failed++;
            break;
        case CELLA_SKIPPED:
            skipped++;
            break;
        default:
            passed++;
        }
    }
    if (!list)
        printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed ? 1 : 0;
}

#define TEST_MAIN()                                                                                \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        return cella_main(argc, argv);                                                             \
    }

#endif
