/* SPDX-License-Identifier: Apache-2.0 */
/* What priorities do when threads compete, and where CPU time is booked. */
#include "cella_proc.h"

#include <sched.h>
#include <sys/times.h>

#define RUN_MS 300

static double seconds(clockid_t clock)
{
    struct timespec ts;
    CHECK_OK(clock_gettime(clock, &ts));
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

struct contest {
    volatile int go;
    volatile unsigned long count[2];
};

/* Two processes count on one CPU for RUN_MS; contestant i first calls prepare(i). Answers whether the first one got more than
 * min and less than max times what the other got. A host that is busy itself disturbs it, so there are three rounds. */
static bool compete_once(void (*prepare)(int), double min, double max)
{
    struct contest *c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid[2];
    CHECK(c != MAP_FAILED);
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
    double first = (double)c->count[0], second = (double)c->count[1];
    return first > min * second && first < max * (second + 1);
}

static bool compete(void (*prepare)(int), double min, double max)
{
    stay_on_one_cpu();
    for (int round = 0; round < 3; round++)
        if (compete_once(prepare, min, max))
            return true;
    return false;
}

static void second_is_nice(int i)
{
    if (i == 1)
        CHECK_OK(setpriority(PRIO_PROCESS, 0, 19));
}

TEST(setpriority, success, "beside a spinning process, one with nice 19 gets less than half of what that gets")
{
    CHECK(compete(second_is_nice, 2, 1e9));
}

static void no_difference(int i)
{
    (void)i;
}

TEST(setpriority, success, "two equal processes get equal shares")
{
    CHECK(compete(no_difference, 0.5, 2));
}

static void both_nice(int i)
{
    (void)i;
    CHECK_OK(setpriority(PRIO_PROCESS, 0, 10));
}

TEST(setpriority, success, "two equally nice processes get equal shares")
{
    CHECK(compete(both_nice, 0.3, 3.3));
}

static void second_is_idle(int i)
{
    struct sched_param none = {0};
    if (i == 1)
        CHECK_OK(sched_setscheduler(0, SCHED_IDLE, &none));
}

/* Round trips in RUN_MS of two processes that wait for each other over pipes, beside a third that computes. */
static unsigned long round_trips_beside_a_spinner(void)
{
    struct contest *c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int there[2], back[2];
    pid_t pid[3];
    char byte = 0;
    CHECK(c != MAP_FAILED);
    CHECK_OK(pipe(there));
    CHECK_OK(pipe(back));
    for (int i = 0; i < 3; i++) {
        pid[i] = cella_fork();
        CHECK(pid[i] >= 0);
        if (pid[i] == 0) {
            for (;;) {
                if (i == 0)
                    c->count[1]++;
                else if (i == 1) {
                    CHECK_EQ(write(there[1], &byte, 1), 1);
                    CHECK_EQ(read(back[0], &byte, 1), 1);
                    c->count[0]++;
                } else {
                    CHECK_EQ(read(there[0], &byte, 1), 1);
                    CHECK_EQ(write(back[1], &byte, 1), 1);
                }
            }
        }
    }
    usleep(RUN_MS * 1000);
    for (int i = 0; i < 3; i++)
        CHECK_OK(kill(pid[i], SIGKILL));
    for (int i = 0; i < 3; i++)
        CHECK_EQ(waitpid(pid[i], NULL, 0), pid[i]);
    for (int i = 0; i < 2; i++)
        close(there[i]), close(back[i]);
    CHECK(c->count[1] > 0);
    return c->count[0];
}

TEST(sched_setaffinity, success, "who sleeps and wakes has the CPU before one that computes")
{
    unsigned long trips = 0;
    stay_on_one_cpu();
    for (int round = 0; round < 3 && trips <= 1000; round++)
        trips = round_trips_beside_a_spinner();
    CHECK(trips > 1000); /* turns of 4 ms would make 75 */
}

/* Two processes count and a third is real-time, all on one CPU; then the first two may leave it. Answers whether each gets its share
 * in RUN_MS, false in *may without the right to real-time priorities. */
static bool leave_busy_cpu(const cpu_set_t *one, const cpu_set_t *all, bool *may)
{
    struct contest *c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct sched_param param = {.sched_priority = 1};
    double counted[2];
    pid_t pid[3];
    CHECK(c != MAP_FAILED);
    for (int i = 0; i < 3; i++) {
        pid[i] = cella_fork();
        CHECK(pid[i] >= 0);
        if (pid[i] == 0)
            for (;;)
                if (i < 2)
                    c->count[i]++;
        CHECK_OK(sched_setaffinity(pid[i], sizeof(*one), one));
    }
    *may = sched_setscheduler(pid[2], SCHED_FIFO, &param) == 0;
    usleep(20000);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(sched_setaffinity(pid[i], sizeof(*all), all));
        counted[i] = (double)c->count[i];
    }
    usleep(RUN_MS * 1000);
    for (int i = 0; i < 2; i++)
        counted[i] = (double)c->count[i] - counted[i];
    for (int i = 0; i < 3; i++)
        CHECK_OK(kill(pid[i], SIGKILL));
    for (int i = 0; i < 3; i++)
        CHECK_EQ(waitpid(pid[i], NULL, 0), pid[i]);
    return counted[0] > 0.2 * counted[1] && counted[1] > 0.2 * counted[0];
}

TEST(sched_setscheduler, success, "who shares a CPU with a busy real-time process gets time on another one")
{
    cpu_set_t all, one, rest;
    bool fair = false, may = true;
    CHECK_OK(sched_getaffinity(0, sizeof(all), &all));
    if (CPU_COUNT(&all) < 2)
        SKIP("there is one CPU only");
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    CPU_XOR(&rest, &all, &one);
    CHECK_OK(sched_setaffinity(0, sizeof(rest), &rest));
    for (int round = 0; round < 3 && !fair && may; round++)
        fair = leave_busy_cpu(&one, &all, &may);
    if (!may)
        SKIP("no right to real-time priorities");
    CHECK(fair);
}

TEST(sched_setscheduler, success, "SCHED_IDLE runs on what others leave")
{
    CHECK(compete(second_is_idle, 4, 1e12));
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

/* Seconds of user and system time that the process used since *last, which becomes now. */
static void used(struct rusage *last, double *user, double *system)
{
    struct rusage now;
    CHECK_OK(getrusage(RUSAGE_SELF, &now));
    *user = tv(now.ru_utime) - tv(last->ru_utime);
    *system = tv(now.ru_stime) - tv(last->ru_stime);
    *last = now;
}

TEST(getrusage, success, "time in the workload is user time, time in system calls is system time")
{
    struct rusage last;
    double user1, system1, user2, system2;
    int fd = open("/dev/zero", O_RDONLY);
    size_t size = 1 << 20;
    void *buffer = malloc(size);
    CHECK(fd >= 0 && buffer);
    for (int round = 0; round < 3; round++) {
        CHECK_EQ(read(fd, buffer, size), size);
        CHECK_OK(getrusage(RUSAGE_SELF, &last));
        await(seconds(CLOCK_PROCESS_CPUTIME_ID), 0.2);
        used(&last, &user1, &system1);
        double start = seconds(CLOCK_PROCESS_CPUTIME_ID);
        while (seconds(CLOCK_PROCESS_CPUTIME_ID) - start < 0.2)
            for (int i = 0; i < 20; i++)
                CHECK_EQ(read(fd, buffer, size), size);
        used(&last, &user2, &system2);
        if (user1 > system1 && system2 > user2 && system2 > 0.05)
            return;
    }
    CHECK(user1 > system1);
    CHECK(system2 > user2);
    CHECK(system2 > 0.05);
}

TEST(getrusage, limit, "neither user nor system time goes back, and their sum is the CPU clock")
{
    struct rusage last, now;
    const double grain = 0.000002; /* of two struct timeval */
    char byte;
    int fd = open("/dev/zero", O_RDONLY);
    CHECK(fd >= 0);
    CHECK_OK(getrusage(RUSAGE_SELF, &last));
    double start = seconds(CLOCK_PROCESS_CPUTIME_ID), before, after;
    do {
        for (int i = 0; i < 100; i++)
            CHECK_EQ(read(fd, &byte, 1), 1);
        before = seconds(CLOCK_PROCESS_CPUTIME_ID);
        CHECK_OK(getrusage(RUSAGE_SELF, &now));
        after = seconds(CLOCK_PROCESS_CPUTIME_ID);
        double sum = tv(now.ru_utime) + tv(now.ru_stime);
        CHECK(sum >= before - grain && sum <= after + grain);
        CHECK(tv(now.ru_utime) >= tv(last.ru_utime));
        CHECK(tv(now.ru_stime) >= tv(last.ru_stime));
        last = now;
    } while (after - start < 0.2);
}

TEST_MAIN()
