/* SPDX-License-Identifier: Apache-2.0 */
/* Resource limits and their effects; resource usage; the system's figures; random bytes. */
#include "cella_proc.h"

#include <sys/random.h>
#include <sys/sysinfo.h>
#include <sys/times.h>

/* Fields of one limit that both getrlimit and prlimit64 must agree on. */
static void check_limit(int resource, rlim_t soft, rlim_t hard)
{
    struct rlimit limit = {1, 2};
    CHECK_EQ(syscall(SYS_getrlimit, resource, &limit), 0);
    CHECK_EQ(limit.rlim_cur, soft);
    CHECK_EQ(limit.rlim_max, hard);
    limit = (struct rlimit){1, 2};
    CHECK_EQ(syscall(SYS_prlimit64, 0, resource, NULL, &limit), 0);
    CHECK_EQ(limit.rlim_cur, soft);
    CHECK_EQ(limit.rlim_max, hard);
}

static void set_soft(int resource, rlim_t soft)
{
    struct rlimit limit;
    CHECK_EQ(syscall(SYS_getrlimit, resource, &limit), 0);
    limit.rlim_cur = soft;
    CHECK_EQ(syscall(SYS_setrlimit, resource, &limit), 0);
}

TEST(getrlimit, success, "every resource answers, and soft is at most hard")
{
    for (int resource = 0; resource < RLIM_NLIMITS; resource++) {
        struct rlimit limit = {5, 4};
        CHECK_EQ(syscall(SYS_getrlimit, resource, &limit), 0);
        CHECK(limit.rlim_cur <= limit.rlim_max);
    }
}

TEST(getrlimit, error, "EINVAL, EFAULT")
{
    struct rlimit limit;
    CHECK_ERRNO(syscall(SYS_getrlimit, RLIM_NLIMITS, &limit), EINVAL);
    CHECK_ERRNO(syscall(SYS_getrlimit, -1, &limit), EINVAL);
    CHECK_ERRNO(syscall(SYS_getrlimit, RLIMIT_NOFILE, bad_address()), EFAULT);
}

TEST(getrlimit, limit, "infinity is all ones")
{
    struct rlimit limit = {1, 1};
    CHECK_EQ(syscall(SYS_getrlimit, RLIMIT_CPU, &limit), 0);
    CHECK_EQ(limit.rlim_cur, RLIM_INFINITY);
    CHECK_EQ(limit.rlim_max, ~0ull);
}

TEST(setrlimit, success, "both values are read back and inherited")
{
    struct rlimit limit = {30, 40};
    CHECK_EQ(syscall(SYS_setrlimit, RLIMIT_NOFILE, &limit), 0);
    check_limit(RLIMIT_NOFILE, 30, 40);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        check_limit(RLIMIT_NOFILE, 30, 40);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(setrlimit, success, "the soft limit may go up to the hard one and down again")
{
    struct rlimit limit = {30, 40};
    cella_drop_root();
    CHECK_EQ(syscall(SYS_setrlimit, RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 40;
    CHECK_EQ(syscall(SYS_setrlimit, RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 0;
    CHECK_EQ(syscall(SYS_setrlimit, RLIMIT_NOFILE, &limit), 0);
    check_limit(RLIMIT_NOFILE, 0, 40);
}

TEST(setrlimit, error, "EPERM to raise the hard limit, EINVAL, EFAULT")
{
    struct rlimit limit = {30, 40};
    cella_drop_root();
    CHECK_EQ(syscall(SYS_setrlimit, RLIMIT_NOFILE, &limit), 0);
    limit.rlim_max = 41;
    CHECK_ERRNO(syscall(SYS_setrlimit, RLIMIT_NOFILE, &limit), EPERM);
    limit = (struct rlimit){31, 30};
    CHECK_ERRNO(syscall(SYS_setrlimit, RLIMIT_NOFILE, &limit), EINVAL);
    CHECK_ERRNO(syscall(SYS_setrlimit, RLIM_NLIMITS, &limit), EINVAL);
    CHECK_ERRNO(syscall(SYS_setrlimit, RLIMIT_NOFILE, bad_address()), EFAULT);
    check_limit(RLIMIT_NOFILE, 30, 40);
}

TEST(setrlimit, limit, "RLIMIT_AS stops mmap with ENOMEM")
{
    set_soft(RLIMIT_AS, 1ul << 30);
    CHECK_ERRNO(mmap(NULL, 1ul << 31, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
    void *fits = mmap(NULL, 1ul << 28, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(fits != MAP_FAILED);
}

TEST(setrlimit, limit, "RLIMIT_FSIZE cuts a write, then SIGXFSZ and EFBIG")
{
    char data[100] = {0};
    sigset_t pending;
    cella_scratch();
    int fd = open("f", O_WRONLY | O_CREAT, 0600);
    CHECK(fd >= 0);
    change_mask(SIG_BLOCK, SIGXFSZ);
    set_soft(RLIMIT_FSIZE, 60);
    CHECK_EQ(write(fd, data, sizeof(data)), 60);
    CHECK_ERRNO(write(fd, data, 1), EFBIG);
    CHECK_OK(sigpending(&pending));
    CHECK(sigismember(&pending, SIGXFSZ));
    CHECK_ERRNO(ftruncate(fd, 61), EFBIG);
}

TEST(setrlimit, limit, "RLIMIT_CPU sends SIGXCPU after a second of computing")
{
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct rlimit limit = {1, 3};
        volatile int forever = 1;
        CHECK_EQ(syscall(SYS_setrlimit, RLIMIT_CPU, &limit), 0);
        while (forever)
            ;
    }
    CHECK_EQ(wait_signal(pid), SIGXCPU);
}

TEST(setrlimit, limit, "RLIMIT_NOFILE stops open with EMFILE at the same number always")
{
    set_soft(RLIMIT_NOFILE, 20);
    int fd, last = -1;
    while ((fd = open("/", O_RDONLY)) >= 0)
        last = fd;
    CHECK_EQ(errno, EMFILE);
    CHECK_EQ(last, 19);
    CHECK_ERRNO(dup2(0, 20), EBADF);
}

static int stack_depth(volatile char *above, int depth)
{
    volatile char frame[4096];
    frame[0] = above ? above[0] : 0;
    frame[4095] = 1;
    return depth == 0 ? frame[0] : stack_depth(frame, depth - 1) + frame[4095] - 1;
}

TEST(setrlimit, limit, "RLIMIT_STACK is where the stack stops growing")
{
    int *first_depth_fits = shared_memory(PAGE);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        set_soft(RLIMIT_STACK, 1 << 20);
        stack_depth(NULL, 100);
        *first_depth_fits = 1;
        stack_depth(NULL, 1000);
        _exit(0);
    }
    CHECK_EQ(wait_signal(pid), SIGSEGV);
    CHECK_EQ(*first_depth_fits, 1);
}

TEST(prlimit64, success, "reads the old and sets the new in one call, here and in a child")
{
    struct rlimit limit = {50, 60}, old = {1, 1}, next = {40, 60};
    CHECK_EQ(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &limit, NULL), 0);
    CHECK_EQ(syscall(SYS_prlimit64, getpid(), RLIMIT_NOFILE, &next, &old), 0);
    CHECK_EQ(old.rlim_cur, 50);
    CHECK_EQ(old.rlim_max, 60);
    check_limit(RLIMIT_NOFILE, 40, 60);
    int *go = shared_memory(PAGE);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        wait_for_word(go);
        check_limit(RLIMIT_NOFILE, 30, 35);
        _exit(0);
    }
    next = (struct rlimit){30, 35};
    CHECK_EQ(syscall(SYS_prlimit64, pid, RLIMIT_NOFILE, &next, &old), 0);
    CHECK_EQ(old.rlim_cur, 40);
    set_word(go, 1);
    CHECK_EQ(cella_wait_exit(pid), 0);
    check_limit(RLIMIT_NOFILE, 40, 60);
}

TEST(prlimit64, error, "ESRCH, EINVAL, EFAULT, EPERM")
{
    struct rlimit limit = {50, 60};
    CHECK_ERRNO(syscall(SYS_prlimit64, 0x3fffffff, RLIMIT_NOFILE, NULL, &limit), ESRCH);
    CHECK_ERRNO(syscall(SYS_prlimit64, 0, RLIM_NLIMITS, NULL, &limit), EINVAL);
    CHECK_ERRNO(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, bad_address(), NULL), EFAULT);
    CHECK_ERRNO(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, bad_address()), EFAULT);
    cella_drop_root();
    limit = (struct rlimit){50, 60};
    CHECK_EQ(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &limit, NULL), 0);
    limit.rlim_max = 61;
    CHECK_ERRNO(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &limit, NULL), EPERM);
}

TEST(prlimit64, limit, "with neither pointer it asks only whether the process is there")
{
    CHECK_EQ(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, NULL), 0);
    CHECK_ERRNO(syscall(SYS_prlimit64, 0x3fffffff, RLIMIT_NOFILE, NULL, NULL), ESRCH);
}

static int64_t usage_us(const struct rusage *usage)
{
    return ((int64_t)usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000 +
           usage->ru_utime.tv_usec + usage->ru_stime.tv_usec;
}

static void burn(clockid_t clock, int64_t ns)
{
    int64_t end = clock_ns(clock) + ns;
    while (clock_ns(clock) < end)
        ;
}

static void *burn_in_thread(void *arg)
{
    struct rusage *usage = arg;
    burn(CLOCK_THREAD_CPUTIME_ID, 60000000);
    CHECK_EQ(syscall(SYS_getrusage, RUSAGE_THREAD, usage), 0);
    return NULL;
}

TEST(getrusage, success, "a thread's time is its own and part of the process'")
{
    struct rusage own, other, all;
    pthread_t thread;
    memset(&all, 0x55, sizeof(all));
    CHECK_EQ(pthread_create(&thread, NULL, burn_in_thread, &other), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(syscall(SYS_getrusage, RUSAGE_THREAD, &own), 0);
    CHECK_EQ(syscall(SYS_getrusage, RUSAGE_SELF, &all), 0);
    CHECK(usage_us(&other) >= 50000);
    CHECK(usage_us(&own) < 50000);
    CHECK(usage_us(&all) >= 50000);
    CHECK(all.ru_maxrss > 0);
    CHECK_EQ(all.ru_ixrss, 0);
}

TEST(getrusage, success, "children count when they have been waited for")
{
    struct rusage usage;
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        burn(CLOCK_PROCESS_CPUTIME_ID, 60000000);
        _exit(0);
    }
    CHECK_OK(waitid(P_PID, (id_t)pid, NULL, WEXITED | WNOWAIT));
    CHECK_EQ(syscall(SYS_getrusage, RUSAGE_CHILDREN, &usage), 0);
    CHECK_EQ(usage_us(&usage), 0);
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_EQ(syscall(SYS_getrusage, RUSAGE_CHILDREN, &usage), 0);
    CHECK(usage_us(&usage) >= 50000);
}

TEST(getrusage, error, "EINVAL, EFAULT")
{
    struct rusage usage;
    CHECK_ERRNO(syscall(SYS_getrusage, 2, &usage), EINVAL);
    CHECK_ERRNO(syscall(SYS_getrusage, -2, &usage), EINVAL);
    CHECK_ERRNO(syscall(SYS_getrusage, RUSAGE_SELF, bad_address()), EFAULT);
}

TEST(getrusage, limit, "the largest resident size grows with touched memory and does not shrink")
{
    enum { NR = 8192 };
    struct rusage before, at_most, after;
    CHECK_EQ(syscall(SYS_getrusage, RUSAGE_SELF, &before), 0);
    unsigned char *pages = private_pages(NR, PROT_READ | PROT_WRITE);
    for (size_t i = 0; i < NR; i++)
        pages[i * PAGE] = 1;
    CHECK_EQ(syscall(SYS_getrusage, RUSAGE_SELF, &at_most), 0);
    CHECK(at_most.ru_maxrss >= before.ru_maxrss + 24 * 1024);
    CHECK_OK(munmap(pages, NR * PAGE));
    CHECK_EQ(syscall(SYS_getrusage, RUSAGE_SELF, &after), 0);
    CHECK(after.ru_maxrss >= at_most.ru_maxrss);
}

TEST(times, success, "counts in hundredths of a second, children after the wait")
{
    struct tms times_now;
    memset(&times_now, 0x55, sizeof(times_now));
    burn(CLOCK_PROCESS_CPUTIME_ID, 60000000);
    long before = syscall(SYS_times, &times_now);
    CHECK(times_now.tms_utime + times_now.tms_stime >= 5);
    CHECK(times_now.tms_utime + times_now.tms_stime < 2000);
    CHECK_EQ(times_now.tms_cutime + times_now.tms_cstime, 0);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        burn(CLOCK_PROCESS_CPUTIME_ID, 60000000);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    long after = syscall(SYS_times, &times_now);
    CHECK(times_now.tms_cutime + times_now.tms_cstime >= 5);
    CHECK(after - before >= 5);
    CHECK(after - before < 2000);
}

TEST(times, error, "EFAULT")
{
    CHECK_ERRNO(syscall(SYS_times, bad_address()), EFAULT);
}

TEST(times, limit, "NULL is allowed")
{
    long before = syscall(SYS_times, NULL);
    cella_sleep_ms(30);
    CHECK(syscall(SYS_times, NULL) - before >= 2);
}

TEST(sysinfo, success, "memory, uptime and processes are plausible")
{
    struct sysinfo info;
    memset(&info, 0x55, sizeof(info));
    CHECK_EQ(syscall(SYS_sysinfo, &info), 0);
    CHECK(info.mem_unit >= 1);
    CHECK((uint64_t)info.totalram * info.mem_unit >= 16ul << 20);
    CHECK(info.freeram <= info.totalram);
    CHECK(info.freeswap <= info.totalswap);
    CHECK(info.uptime >= 0 && info.uptime < 1000000000);
    CHECK(info.procs >= 1);
}

TEST(sysinfo, error, "EFAULT")
{
    CHECK_ERRNO(syscall(SYS_sysinfo, bad_address()), EFAULT);
    CHECK_ERRNO(syscall(SYS_sysinfo, NULL), EFAULT);
}

TEST(sysinfo, limit, "stores exactly its structure and does not go back in time")
{
    unsigned char *pages = private_pages(2, PROT_READ | PROT_WRITE);
    struct sysinfo first, second;
    CHECK_OK(mprotect(pages + PAGE, PAGE, PROT_NONE));
    CHECK_EQ(syscall(SYS_sysinfo, pages + PAGE - sizeof(first)), 0);
    CHECK_ERRNO(syscall(SYS_sysinfo, pages + PAGE - sizeof(first) + 8), EFAULT);
    CHECK_EQ(syscall(SYS_sysinfo, &first), 0);
    CHECK_EQ(syscall(SYS_sysinfo, &second), 0);
    CHECK(second.uptime >= first.uptime);
}

static int zero_bytes(const unsigned char *data, size_t len)
{
    int zeros = 0;
    for (size_t i = 0; i < len; i++)
        zeros += data[i] == 0;
    return zeros;
}

TEST(getrandom, success, "fills the whole buffer, differently each time and in each process")
{
    unsigned char *a = shared_memory(PAGE), *b = shared_memory(PAGE);
    CHECK_EQ(syscall(SYS_getrandom, a, PAGE, 0), PAGE);
    CHECK(zero_bytes(a, PAGE) < 100); /* 16 expected; 100 has no chance */
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(syscall(SYS_getrandom, b, PAGE, GRND_NONBLOCK), PAGE);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK(memcmp(a, b, PAGE) != 0);
    CHECK_EQ(syscall(SYS_getrandom, a, 32, GRND_INSECURE), 32);
    CHECK_EQ(syscall(SYS_getrandom, a, 32, GRND_RANDOM), 32);
}

TEST(getrandom, error, "EINVAL for unknown or contradicting flags, EFAULT")
{
    unsigned char data[8];
    CHECK_ERRNO(syscall(SYS_getrandom, data, 8, 8), EINVAL);
    CHECK_ERRNO(syscall(SYS_getrandom, data, 8, GRND_RANDOM | GRND_INSECURE), EINVAL);
    CHECK_ERRNO(syscall(SYS_getrandom, bad_address(), 8, 0), EFAULT);
}

TEST(getrandom, limit, "zero bytes, one byte, a megabyte")
{
    static unsigned char data[1 << 20];
    CHECK_EQ(syscall(SYS_getrandom, data, 0, 0), 0);
    CHECK_EQ(data[0], 0);
    CHECK_EQ(syscall(SYS_getrandom, data + 1, 1, 0), 1);
    CHECK_EQ(data[0] + data[2], 0);
    CHECK_EQ(syscall(SYS_getrandom, data, sizeof(data), 0), sizeof(data));
    CHECK(zero_bytes(data, sizeof(data)) < 6000); /* 4096 expected, deviation 64 */
}

TEST(getrandom, interruption, "a request of up to 256 bytes is never cut by a signal")
{
    unsigned char data[256];
    cella_ticks_start(1, 0, NULL);
    while (cella_ticks < 20)
        CHECK_EQ(syscall(SYS_getrandom, data, sizeof(data), 0), sizeof(data));
    cella_ticks_stop();
}

TEST_MAIN()
