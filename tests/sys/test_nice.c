/* SPDX-License-Identifier: Apache-2.0 */
/* What priorities do when threads compete, and where CPU time is booked. */
#include "cella_test.h"

#include <sched.h>
#include <sys/times.h>

#define RUN_MS 300

static double seconds(clockid_t clock)
{
    struct timespec ts;
    CHECK_OK(clock_gettime(clock, &ts));
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void stay_on_one_cpu(void)
{
    cpu_set_t one;
    int cpu = sched_getcpu();
    CHECK(cpu >= 0);
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    CHECK_OK(sched_setaffinity(0, sizeof(one), &one));
}

struct contest {
    volatile int go;
    volatile unsigned long count[2];
};

/* Two processes count on one CPU for RUN_MS; contestant i first calls prepare(i). */
static struct contest *compete(void (*prepare)(int))
{
    struct contest *c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid[2];
    CHECK(c != MAP_FAILED);
    stay_on_one_cpu();
    for (int i = 0; i < 2; i++) {
        pid[i] = cella_fork();
        CHECK(pid[i] >= 0);
        if (pid[i] == 0) {
            prepare(i);
            while (!c->go)
                sched_yield();
            for (;;)
                c->count[i]++;
        }
    }
    c->go = 1;
    usleep(RUN_MS * 1000);
    for (int i = 0; i < 2; i++)
        CHECK_OK(kill(pid[i], SIGKILL));
    for (int i = 0; i < 2; i++)
        CHECK_EQ(waitpid(pid[i], NULL, 0), pid[i]);
    return c;
}

static void nice_to_the_first(int i)
{
    if (i == 1)
        CHECK_OK(setpriority(PRIO_PROCESS, 0, 19));
}

TEST(setpriority, success, "beside a spinning process, one with nice 19 gets less than half, but something")
{
    struct contest *c = compete(nice_to_the_first);
    CHECK(c->count[0] > 2 * c->count[1]);
    CHECK(c->count[1] > 0);
}

static void no_difference(int i)
{
    (void)i;
}

TEST(setpriority, success, "two equal processes get equal shares")
{
    struct contest *c = compete(no_difference);
    CHECK(c->count[0] < 2 * c->count[1]);
    CHECK(c->count[1] < 2 * c->count[0]);
}

static void both_nice(int i)
{
    (void)i;
    CHECK_OK(setpriority(PRIO_PROCESS, 0, 10));
}

TEST(setpriority, success, "two equally nice processes get equal shares")
{
    struct contest *c = compete(both_nice);
    CHECK(c->count[0] < 3 * c->count[1]);
    CHECK(c->count[1] < 3 * c->count[0]);
}

static void idle_the_second(int i)
{
    struct sched_param none = {0};
    if (i == 1)
        CHECK_OK(sched_setscheduler(0, SCHED_IDLE, &none));
}

TEST(sched_setscheduler, success, "SCHED_IDLE runs on what others leave")
{
    struct contest *c = compete(idle_the_second);
    CHECK(c->count[0] > 4 * c->count[1]);
}

static void await(double from, double duration)
{
    while (seconds(CLOCK_PROCESS_CPUTIME_ID) - from < duration)
        for (volatile int i = 0; i < 200000; i++)
            ;
}

static double tv(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

TEST(getrusage, success, "time in the workload is user time, time in system calls is system time")
{
    struct rusage before, middle, after;
    int fd = open("/dev/zero", O_RDONLY);
    size_t size = 1 << 20;
    void *buffer = malloc(size);
    CHECK(fd >= 0 && buffer);
    CHECK_EQ(read(fd, buffer, size), size);
    CHECK_OK(getrusage(RUSAGE_SELF, &before));
    await(seconds(CLOCK_PROCESS_CPUTIME_ID), 0.2);
    CHECK_OK(getrusage(RUSAGE_SELF, &middle));
    double start = seconds(CLOCK_PROCESS_CPUTIME_ID);
    while (seconds(CLOCK_PROCESS_CPUTIME_ID) - start < 0.2)
        for (int i = 0; i < 20; i++)
            CHECK_EQ(read(fd, buffer, size), size);
    CHECK_OK(getrusage(RUSAGE_SELF, &after));
    double user1 = tv(middle.ru_utime) - tv(before.ru_utime), system1 = tv(middle.ru_stime) - tv(before.ru_stime);
    double user2 = tv(after.ru_utime) - tv(middle.ru_utime), system2 = tv(after.ru_stime) - tv(middle.ru_stime);
    CHECK(user1 > system1);
    CHECK(system2 > user2);
    CHECK(system2 > 0.1);
}

TEST(getrusage, limit, "neither user nor system time goes back, and their sum is the CPU clock")
{
    struct rusage last, now;
    char byte;
    int fd = open("/dev/zero", O_RDONLY);
    CHECK(fd >= 0);
    CHECK_OK(getrusage(RUSAGE_SELF, &last));
    double start = seconds(CLOCK_PROCESS_CPUTIME_ID);
    while (seconds(CLOCK_PROCESS_CPUTIME_ID) - start < 0.2) {
        for (int i = 0; i < 100; i++)
            CHECK_EQ(read(fd, &byte, 1), 1);
        CHECK_OK(getrusage(RUSAGE_SELF, &now));
        CHECK(tv(now.ru_utime) >= tv(last.ru_utime));
        CHECK(tv(now.ru_stime) >= tv(last.ru_stime));
        last = now;
    }
    double clock = seconds(CLOCK_PROCESS_CPUTIME_ID), sum = tv(last.ru_utime) + tv(last.ru_stime);
    CHECK(sum <= clock + 0.000002);
    CHECK(sum > clock - 0.1);
}

TEST_MAIN()
