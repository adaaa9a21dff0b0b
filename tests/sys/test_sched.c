/* SPDX-License-Identifier: Apache-2.0 */
/* Scheduling: policies, priorities, affinity, attributes. */
#include "cella_proc.h"

#include <sched.h>

#ifndef SCHED_DEADLINE
#define SCHED_DEADLINE 6
#endif

enum { NO_SUCH_PID = 0x3fffffff };

/* What Linux calls struct sched_attr, its first version. */
struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

enum { ATTRIBUTES_VER0 = 48 };
_Static_assert(sizeof(struct attributes) == ATTRIBUTES_VER0, "the first version has 48 bytes");

static long set_policy(pid_t pid, int policy, int priority)
{
    struct sched_param param = {.sched_priority = priority};
    return syscall(SYS_sched_setscheduler, pid, policy, &param);
}

/* The raw call answers 20 - nice, so that a success is never negative. */
static long raw_nice_of(int which, int who)
{
    return syscall(SYS_getpriority, which, who);
}

TEST(sched_yield, success, "answers 0 and lets the other thread go on")
{
    int *words = shared_memory(PAGE);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        for (int i = 1; i <= 100; i++) {
            while (__atomic_load_n(&words[0], __ATOMIC_SEQ_CST) != i)
                CHECK_EQ(syscall(SYS_sched_yield), 0);
            set_word(&words[1], i);
        }
        _exit(0);
    }
    for (int i = 1; i <= 100; i++) {
        set_word(&words[0], i);
        while (__atomic_load_n(&words[1], __ATOMIC_SEQ_CST) != i)
            CHECK_EQ(syscall(SYS_sched_yield), 0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(sched_yield, error, "never fails, whatever stands in the argument registers")
{
    CHECK_EQ(syscall(SYS_sched_yield, 8, 8, 8, 8, 8, 8), 0);
}

TEST(sched_yield, limit, "ten thousand in a row, alone")
{
    for (int i = 0; i < 10000; i++)
        CHECK_EQ(syscall(SYS_sched_yield), 0);
}

TEST(sched_getscheduler, success, "a process starts with SCHED_OTHER and a child inherits")
{
    CHECK_EQ(syscall(SYS_sched_getscheduler, 0), SCHED_OTHER);
    CHECK_EQ(set_policy(0, SCHED_BATCH, 0), 0);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(syscall(SYS_sched_getscheduler, 0), SCHED_BATCH);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(sched_getscheduler, error, "EINVAL for a negative pid, ESRCH")
{
    CHECK_ERRNO(syscall(SYS_sched_getscheduler, -1), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_getscheduler, NO_SUCH_PID), ESRCH);
}

TEST(sched_getscheduler, limit, "SCHED_RESET_ON_FORK is part of the answer and does what it says")
{
    CHECK_EQ(set_policy(0, SCHED_BATCH | SCHED_RESET_ON_FORK, 0), 0);
    CHECK_EQ(syscall(SYS_sched_getscheduler, 0), SCHED_BATCH | SCHED_RESET_ON_FORK);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(syscall(SYS_sched_getscheduler, 0) & SCHED_RESET_ON_FORK, 0);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(sched_setscheduler, success, "SCHED_BATCH and back, for the caller and for a child")
{
    CHECK_EQ(set_policy(0, SCHED_BATCH, 0), 0);
    CHECK_EQ(syscall(SYS_sched_getscheduler, 0), SCHED_BATCH);
    CHECK_EQ(set_policy(getpid(), SCHED_OTHER, 0), 0);
    CHECK_EQ(syscall(SYS_sched_getscheduler, 0), SCHED_OTHER);
    pid_t pid = idle_child();
    CHECK_EQ(set_policy(pid, SCHED_IDLE, 0), 0);
    CHECK_EQ(syscall(SYS_sched_getscheduler, pid), SCHED_IDLE);
    CHECK_EQ(syscall(SYS_sched_getscheduler, 0), SCHED_OTHER);
    end_child(pid);
}

TEST(sched_setscheduler, error, "EINVAL, ESRCH, EPERM, EFAULT")
{
    CHECK_ERRNO(set_policy(-1, SCHED_OTHER, 0), EINVAL);
    CHECK_ERRNO(set_policy(0, 77, 0), EINVAL);
    CHECK_ERRNO(set_policy(0, -1, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, bad_address()), EFAULT);
    CHECK_ERRNO(set_policy(NO_SUCH_PID, SCHED_OTHER, 0), ESRCH);
    cella_drop_root();
    struct rlimit none = {0, 0};
    CHECK_OK(setrlimit(RLIMIT_RTPRIO, &none));
    CHECK_ERRNO(set_policy(0, SCHED_FIFO, 1), EPERM);
    CHECK_ERRNO(set_policy(0, SCHED_RR, 1), EPERM);
}

TEST(sched_setscheduler, limit, "the priority must fit the policy")
{
    CHECK_ERRNO(set_policy(0, SCHED_OTHER, 1), EINVAL);
    CHECK_ERRNO(set_policy(0, SCHED_BATCH, -1), EINVAL);
    CHECK_ERRNO(set_policy(0, SCHED_FIFO, 0), EINVAL);
    CHECK_ERRNO(set_policy(0, SCHED_RR, 100), EINVAL);
}

TEST(sched_getparam, success, "the priority of SCHED_OTHER is 0")
{
    struct sched_param param = {.sched_priority = 5};
    CHECK_EQ(syscall(SYS_sched_getparam, 0, &param), 0);
    CHECK_EQ(param.sched_priority, 0);
}

TEST(sched_getparam, error, "EINVAL, ESRCH, EFAULT")
{
    struct sched_param param;
    CHECK_ERRNO(syscall(SYS_sched_getparam, -1, &param), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_getparam, 0, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_getparam, 0, bad_address()), EFAULT);
    CHECK_ERRNO(syscall(SYS_sched_getparam, NO_SUCH_PID, &param), ESRCH);
}

TEST(sched_getparam, limit, "works for another process")
{
    struct sched_param param = {.sched_priority = 5};
    CHECK_EQ(syscall(SYS_sched_getparam, getppid(), &param), 0);
    CHECK_EQ(param.sched_priority, 0);
}

TEST(sched_setparam, success, "priority 0 for SCHED_OTHER")
{
    struct sched_param param = {.sched_priority = 0};
    CHECK_EQ(syscall(SYS_sched_setparam, 0, &param), 0);
}

TEST(sched_setparam, error, "EINVAL, ESRCH, EFAULT")
{
    struct sched_param param = {.sched_priority = 0};
    CHECK_ERRNO(syscall(SYS_sched_setparam, -1, &param), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_setparam, 0, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_setparam, 0, bad_address()), EFAULT);
    CHECK_ERRNO(syscall(SYS_sched_setparam, NO_SUCH_PID, &param), ESRCH);
}

TEST(sched_setparam, limit, "no other priority for SCHED_OTHER")
{
    struct sched_param param = {.sched_priority = 1};
    CHECK_ERRNO(syscall(SYS_sched_setparam, 0, &param), EINVAL);
    param.sched_priority = -1;
    CHECK_ERRNO(syscall(SYS_sched_setparam, 0, &param), EINVAL);
}

TEST(sched_get_priority_max, success, "99 for the real-time policies, 0 for the others")
{
    CHECK_EQ(syscall(SYS_sched_get_priority_max, SCHED_FIFO), 99);
    CHECK_EQ(syscall(SYS_sched_get_priority_max, SCHED_RR), 99);
    CHECK_EQ(syscall(SYS_sched_get_priority_max, SCHED_OTHER), 0);
    CHECK_EQ(syscall(SYS_sched_get_priority_max, SCHED_BATCH), 0);
}

TEST(sched_get_priority_max, error, "EINVAL for an unknown policy")
{
    CHECK_ERRNO(syscall(SYS_sched_get_priority_max, 77), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_get_priority_max, -1), EINVAL);
}

TEST(sched_get_priority_max, limit, "0 for SCHED_IDLE and SCHED_DEADLINE")
{
    CHECK_EQ(syscall(SYS_sched_get_priority_max, SCHED_IDLE), 0);
    CHECK_EQ(syscall(SYS_sched_get_priority_max, SCHED_DEADLINE), 0);
}

TEST(sched_get_priority_min, success, "1 for the real-time policies, 0 for the others")
{
    CHECK_EQ(syscall(SYS_sched_get_priority_min, SCHED_FIFO), 1);
    CHECK_EQ(syscall(SYS_sched_get_priority_min, SCHED_RR), 1);
    CHECK_EQ(syscall(SYS_sched_get_priority_min, SCHED_OTHER), 0);
    CHECK_EQ(syscall(SYS_sched_get_priority_min, SCHED_BATCH), 0);
}

TEST(sched_get_priority_min, error, "EINVAL for an unknown policy")
{
    CHECK_ERRNO(syscall(SYS_sched_get_priority_min, 77), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_get_priority_min, -1), EINVAL);
}

TEST(sched_get_priority_min, limit, "0 for SCHED_IDLE and SCHED_DEADLINE")
{
    CHECK_EQ(syscall(SYS_sched_get_priority_min, SCHED_IDLE), 0);
    CHECK_EQ(syscall(SYS_sched_get_priority_min, SCHED_DEADLINE), 0);
}

TEST(sched_rr_get_interval, success, "is less than a second")
{
    struct timespec interval = {77, -1};
    CHECK_EQ(syscall(SYS_sched_rr_get_interval, 0, &interval), 0);
    CHECK_EQ(interval.tv_sec, 0);
    CHECK(interval.tv_nsec >= 0 && interval.tv_nsec < 1000000000);
}

TEST(sched_rr_get_interval, error, "EINVAL, ESRCH, EFAULT")
{
    struct timespec interval;
    CHECK_ERRNO(syscall(SYS_sched_rr_get_interval, -1, &interval), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_rr_get_interval, NO_SUCH_PID, &interval), ESRCH);
    CHECK_ERRNO(syscall(SYS_sched_rr_get_interval, 0, bad_address()), EFAULT);
}

TEST(sched_rr_get_interval, limit, "works for another process")
{
    struct timespec interval = {77, -1};
    CHECK_EQ(syscall(SYS_sched_rr_get_interval, getppid(), &interval), 0);
    CHECK_EQ(interval.tv_sec, 0);
}

enum { MASK_BYTES = 1024 };

static unsigned char affinity[MASK_BYTES];

/* The lowest CPU this process may use. */
static int first_cpu(void)
{
    memset(affinity, 0, sizeof(affinity));
    CHECK(syscall(SYS_sched_getaffinity, 0, sizeof(affinity), affinity) > 0);
    for (int cpu = 0; cpu < MASK_BYTES * 8; cpu++)
        if (affinity[cpu / 8] & 1 << cpu % 8)
            return cpu;
    CHECK(!"no CPU in the mask");
    return -1;
}

static long pin(pid_t pid, int cpu)
{
    unsigned char mask[MASK_BYTES] = {0};
    mask[cpu / 8] = (unsigned char)(1 << cpu % 8);
    return syscall(SYS_sched_setaffinity, pid, sizeof(mask), mask);
}

TEST(sched_getaffinity, success, "answers the mask's size, whole words, at least one CPU")
{
    long bytes = syscall(SYS_sched_getaffinity, 0, sizeof(affinity), affinity);
    CHECK(bytes > 0);
    CHECK_EQ(bytes % (long)sizeof(long), 0);
    CHECK(first_cpu() >= 0);
    CHECK_EQ(syscall(SYS_sched_getaffinity, getpid(), sizeof(affinity), affinity), bytes);
    CHECK_EQ(syscall(SYS_sched_getaffinity, getppid(), sizeof(affinity), affinity), bytes);
}

TEST(sched_getaffinity, error, "ESRCH, EFAULT")
{
    CHECK_ERRNO(syscall(SYS_sched_getaffinity, NO_SUCH_PID, sizeof(affinity), affinity), ESRCH);
    CHECK_ERRNO(syscall(SYS_sched_getaffinity, 0, sizeof(affinity), bad_address()), EFAULT);
}

TEST(sched_getaffinity, limit, "EINVAL for a size that is too small or not of whole words")
{
    CHECK_ERRNO(syscall(SYS_sched_getaffinity, 0, 0, affinity), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_getaffinity, 0, 1001, affinity), EINVAL);
}

TEST(sched_setaffinity, success, "one CPU is read back, inherited, and used")
{
    unsigned cpu = 9999;
    int target = first_cpu();
    CHECK_EQ(pin(0, target), 0);
    CHECK_EQ(syscall(SYS_getcpu, &cpu, NULL, NULL), 0);
    CHECK_EQ(cpu, target);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        int bits = 0;
        CHECK_EQ(first_cpu(), target);
        for (int i = 0; i < MASK_BYTES; i++)
            bits += __builtin_popcount(affinity[i]);
        CHECK_EQ(bits, 1);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(sched_setaffinity, error, "EINVAL for no CPU at all, ESRCH, EFAULT")
{
    unsigned char none[MASK_BYTES] = {0};
    CHECK_ERRNO(syscall(SYS_sched_setaffinity, 0, sizeof(none), none), EINVAL);
    CHECK_ERRNO(pin(NO_SUCH_PID, first_cpu()), ESRCH);
    CHECK_ERRNO(syscall(SYS_sched_setaffinity, 0, 8, bad_address()), EFAULT);
}

TEST(sched_setaffinity, limit, "CPUs that do not exist are left out; alone they are EINVAL")
{
    unsigned char mask[MASK_BYTES];
    int target = first_cpu();
    memset(mask, 0xff, sizeof(mask));
    CHECK_EQ(syscall(SYS_sched_setaffinity, 0, sizeof(mask), mask), 0);
    CHECK(first_cpu() <= target); /* lower, if this process had been kept from some */
    CHECK(affinity[target / 8] & 1 << target % 8);
    CHECK_ERRNO(pin(0, MASK_BYTES * 8 - 1), EINVAL);
}

TEST(sched_getattr, success, "policy, nice and size of SCHED_OTHER")
{
    struct attributes attr;
    memset(&attr, 0x55, sizeof(attr));
    CHECK_EQ(syscall(SYS_setpriority, PRIO_PROCESS, 0, 3), 0);
    CHECK_EQ(syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0), 0);
    CHECK_EQ(attr.size, sizeof(attr));
    CHECK_EQ(attr.policy, SCHED_OTHER);
    CHECK_EQ(attr.nice, 3);
    CHECK_EQ(attr.priority, 0);
    CHECK_EQ(attr.flags, 0);
}

TEST(sched_getattr, error, "EINVAL, ESRCH, EFAULT")
{
    struct attributes attr;
    CHECK_ERRNO(syscall(SYS_sched_getattr, -1, &attr, sizeof(attr), 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_getattr, 0, NULL, sizeof(attr), 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 1), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_getattr, NO_SUCH_PID, &attr, sizeof(attr), 0), ESRCH);
    CHECK_ERRNO(syscall(SYS_sched_getattr, 0, bad_address(), sizeof(attr), 0), EFAULT);
}

TEST(sched_getattr, limit, "sizes from 48 bytes to a page")
{
    unsigned char *page = private_pages(1, PROT_READ | PROT_WRITE);
    CHECK_ERRNO(syscall(SYS_sched_getattr, 0, page, ATTRIBUTES_VER0 - 1, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_getattr, 0, page, PAGE + 1, 0), EINVAL);
    CHECK_EQ(syscall(SYS_sched_getattr, 0, page, PAGE, 0), 0);
    uint32_t size;
    memcpy(&size, page, sizeof(size));
    CHECK(size >= ATTRIBUTES_VER0 && size < PAGE); /* the kernel's own size */
}

TEST(sched_setattr, success, "policy and nice are set together")
{
    struct attributes attr = {.size = sizeof(attr), .policy = SCHED_BATCH, .nice = 5};
    CHECK_EQ(syscall(SYS_sched_setattr, 0, &attr, 0), 0);
    CHECK_EQ(syscall(SYS_sched_getscheduler, 0), SCHED_BATCH);
    CHECK_EQ(raw_nice_of(PRIO_PROCESS, 0), 20 - 5);
}

TEST(sched_setattr, error, "EINVAL, ESRCH, EPERM, EFAULT")
{
    struct attributes attr = {.size = sizeof(attr), .policy = SCHED_OTHER};
    CHECK_ERRNO(syscall(SYS_sched_setattr, -1, &attr, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_setattr, 0, NULL, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_setattr, 0, &attr, 1), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_setattr, NO_SUCH_PID, &attr, 0), ESRCH);
    CHECK_ERRNO(syscall(SYS_sched_setattr, 0, bad_address(), 0), EFAULT);
    attr.policy = 77;
    CHECK_ERRNO(syscall(SYS_sched_setattr, 0, &attr, 0), EINVAL);
    cella_drop_root();
    struct rlimit none = {0, 0};
    CHECK_OK(setrlimit(RLIMIT_RTPRIO, &none));
    attr.policy = SCHED_FIFO;
    attr.priority = 1;
    CHECK_ERRNO(syscall(SYS_sched_setattr, 0, &attr, 0), EPERM);
}

TEST(sched_setattr, limit, "E2BIG for a small size, or a larger one with something in it")
{
    struct {
        struct attributes attr;
        uint64_t future[64];
    } longer = {.attr = {.size = sizeof(longer), .policy = SCHED_OTHER}};
    CHECK_EQ(syscall(SYS_sched_setattr, 0, &longer, 0), 0);
    longer.future[63] = 1;
    CHECK_ERRNO(syscall(SYS_sched_setattr, 0, &longer, 0), E2BIG);
    longer.attr.size = 47;
    CHECK_ERRNO(syscall(SYS_sched_setattr, 0, &longer, 0), E2BIG);
    CHECK(longer.attr.size >= ATTRIBUTES_VER0); /* the kernel's own size is told */
    longer.attr.size = 0; /* the same as the first version */
    CHECK_EQ(syscall(SYS_sched_setattr, 0, &longer, 0), 0);
}

TEST(getcpu, success, "names a CPU of the affinity mask")
{
    unsigned cpu = 99999, node = 99999;
    first_cpu();
    CHECK_EQ(syscall(SYS_getcpu, &cpu, &node, NULL), 0);
    CHECK(cpu < MASK_BYTES * 8);
    CHECK(affinity[cpu / 8] & 1 << cpu % 8);
    CHECK(node < 1024);
}

TEST(getcpu, error, "EFAULT")
{
    unsigned word;
    CHECK_ERRNO(syscall(SYS_getcpu, bad_address(), &word, NULL), EFAULT);
    CHECK_ERRNO(syscall(SYS_getcpu, &word, bad_address(), NULL), EFAULT);
}

TEST(getcpu, limit, "NULL is allowed; the third argument is not looked at")
{
    CHECK_EQ(syscall(SYS_getcpu, NULL, NULL, bad_address()), 0);
}

TEST(getpriority, success, "is 20 - nice, for process, group and user")
{
    CHECK_OK(setpgid(0, 0));
    CHECK_EQ(syscall(SYS_setpriority, PRIO_PROCESS, 0, 4), 0);
    CHECK_EQ(raw_nice_of(PRIO_PROCESS, 0), 16);
    CHECK_EQ(raw_nice_of(PRIO_PROCESS, getpid()), 16);
    CHECK_EQ(raw_nice_of(PRIO_PGRP, 0), 16);
    CHECK(raw_nice_of(PRIO_USER, 0) >= 16); /* the best of all the user's processes */
}

TEST(getpriority, error, "EINVAL, ESRCH")
{
    CHECK_ERRNO(raw_nice_of(3, 0), EINVAL);
    CHECK_ERRNO(raw_nice_of(-1, 0), EINVAL);
    CHECK_ERRNO(raw_nice_of(PRIO_PROCESS, NO_SUCH_PID), ESRCH);
    CHECK_ERRNO(raw_nice_of(PRIO_PGRP, NO_SUCH_PID), ESRCH);
}

TEST(getpriority, limit, "of a group it is the best member's")
{
    CHECK_OK(setpgid(0, 0));
    pid_t pid = idle_child();
    CHECK_EQ(syscall(SYS_setpriority, PRIO_PROCESS, 0, 9), 0);
    CHECK_EQ(syscall(SYS_setpriority, PRIO_PROCESS, pid, 7), 0);
    CHECK_EQ(raw_nice_of(PRIO_PGRP, 0), 20 - 7);
    end_child(pid);
    CHECK_EQ(raw_nice_of(PRIO_PGRP, 0), 20 - 9);
}

TEST(setpriority, success, "is inherited, and sets a whole group")
{
    CHECK_OK(setpgid(0, 0));
    CHECK_EQ(syscall(SYS_setpriority, PRIO_PROCESS, 0, 2), 0);
    pid_t pid = idle_child();
    CHECK_EQ(raw_nice_of(PRIO_PROCESS, pid), 18);
    CHECK_EQ(syscall(SYS_setpriority, PRIO_PGRP, 0, 6), 0);
    CHECK_EQ(raw_nice_of(PRIO_PROCESS, pid), 14);
    CHECK_EQ(raw_nice_of(PRIO_PROCESS, 0), 14);
    end_child(pid);
}

TEST(setpriority, error, "EINVAL, ESRCH, EACCES to become nicer to oneself")
{
    CHECK_ERRNO(syscall(SYS_setpriority, 3, 0, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_setpriority, PRIO_PROCESS, NO_SUCH_PID, 0), ESRCH);
    cella_drop_root();
    struct rlimit none = {0, 0};
    CHECK_OK(setrlimit(RLIMIT_NICE, &none));
    CHECK_EQ(syscall(SYS_setpriority, PRIO_PROCESS, 0, 10), 0);
    CHECK_ERRNO(syscall(SYS_setpriority, PRIO_PROCESS, 0, 9), EACCES);
    CHECK_ERRNO(syscall(SYS_setpriority, PRIO_PROCESS, 0, -5), EACCES);
    CHECK_EQ(raw_nice_of(PRIO_PROCESS, 0), 10);
}

TEST(setpriority, limit, "values beyond 19 become 19")
{
    CHECK_EQ(syscall(SYS_setpriority, PRIO_PROCESS, 0, 1000), 0);
    CHECK_EQ(raw_nice_of(PRIO_PROCESS, 0), 1);
}

TEST_MAIN()
