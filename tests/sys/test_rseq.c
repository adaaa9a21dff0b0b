/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restartable sequences at work: what interrupts a critical section sends it to its abort address. Registration is in test_threads.
 *
 * The area is the one that the C library has registered for the thread.
 */
#include "cella_proc.h"

#include <linux/membarrier.h>
#include <linux/rseq.h>
#include <sched.h>
#include <sys/rseq.h>

/* Functions of a critical section that never ends by itself. Both count in `entered` while they are in it, and return 1 from the
 * abort address. The signature of the second is a wrong one. */
long spin_in_section(struct rseq *area, volatile int *entered);
long spin_in_bad_section(struct rseq *area, volatile int *entered);

#define SECTION(name, signature)                                                                   \
    __asm__(".pushsection .data\n"                                                                 \
            ".balign 32\n"                                                                         \
            #name "_descriptor:\n"                                                                 \
            ".long 0, 0\n"                                                                         \
            ".quad 1f, 2f - 1f, 3f\n"                                                              \
            ".popsection\n"                                                                        \
            ".pushsection .text\n"                                                                 \
            ".globl " #name "\n"                                                                   \
            #name ":\n"                                                                            \
            "leaq " #name "_descriptor(%rip), %rax\n"                                              \
            "movq %rax, 8(%rdi)\n"                                                                 \
            "1: incl (%rsi)\n"                                                                     \
            "pause\n"                                                                              \
            "jmp 1b\n"                                                                             \
            "2: xorl %eax, %eax\n"                                                                 \
            "ret\n"                                                                                \
            ".byte 0x0f, 0xb9, 0x3d\n"                                                             \
            ".long " #signature "\n"                                                               \
            "3: movl $1, %eax\n"                                                                   \
            "ret\n"                                                                                \
            ".popsection\n")
SECTION(spin_in_section, 0x53053053);
SECTION(spin_in_bad_section, 0x12345678);

static struct rseq *own_area(void)
{
    if (__rseq_size == 0)
        SKIP("the C library has registered no area");
    return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

TEST(rseq, success, "the area follows the thread from CPU to CPU")
{
    struct rseq *area = own_area();
    cpu_set_t all, one;
    CHECK_OK(sched_getaffinity(0, sizeof(all), &all));
    for (int round = 0; round < 20; round++) {
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
            if (!CPU_ISSET(cpu, &all))
                continue;
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            CHECK_OK(sched_setaffinity(0, sizeof(one), &one));
            CHECK_EQ(*(volatile unsigned *)&area->cpu_id, cpu);
            CHECK_EQ(*(volatile unsigned *)&area->cpu_id_start, cpu);
        }
    }
}

TEST(rseq, success, "the area is a child's too after fork")
{
    struct rseq *area = own_area();
    stay_on_one_cpu();
    int cpu = sched_getcpu();
    area->cpu_id = 12345;
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(*(volatile unsigned *)&area->cpu_id, cpu);
        CHECK_ERRNO(syscall(SYS_rseq, area, 32, 0, 0x53053053), EBUSY);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
}

static volatile int entered, handled, section_in_handler;

static void on_alarm(int sig)
{
    (void)sig;
    handled++;
    section_in_handler = own_area()->rseq_cs != 0;
}

TEST(rseq, interruption, "a handler returns to the abort address, and the section is over while it runs")
{
    struct rseq *area = own_area();
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval timer = {{0, 5000}, {0, 5000}}, off = {{0, 0}, {0, 0}};
    CHECK_OK(sigaction(SIGALRM, &action, NULL));
    CHECK_OK(setitimer(ITIMER_REAL, &timer, NULL));
    for (int i = 0; i < 10; i++)
        CHECK_EQ(spin_in_section(area, &entered), 1);
    CHECK_OK(setitimer(ITIMER_REAL, &off, NULL));
    CHECK_EQ(area->rseq_cs, 0);
    CHECK(!section_in_handler);
}

TEST(rseq, interruption, "losing the CPU to another process leads to the abort address")
{
    struct rseq *area = own_area();
    stay_on_one_cpu();
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        for (;;)
            __builtin_ia32_pause();
    }
    for (int i = 0; i < 10; i++)
        CHECK_EQ(spin_in_section(area, &entered), 1);
    CHECK_OK(kill(pid, SIGKILL));
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
}

TEST(rseq, interruption, "rip outside of the section: nothing happens but that the section is forgotten")
{
    extern char spin_in_section_descriptor[];
    struct rseq *area = own_area();
    struct sigaction action = {.sa_handler = on_alarm};
    CHECK_OK(sigaction(SIGUSR1, &action, NULL));
    *(volatile uint64_t *)&area->rseq_cs = (uint64_t)spin_in_section_descriptor;
    CHECK_OK(raise(SIGUSR1));
    CHECK_EQ(handled, 1);
    CHECK_EQ(*(volatile uint64_t *)&area->rseq_cs, 0);
}

static void expect_segv(void (*fn)(struct rseq *), struct rseq *area)
{
    pid_t pid = cella_fork();
    int status;
    CHECK(pid >= 0);
    if (pid == 0) {
        fn(area);
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGSEGV);
}

static void interrupted_with_wrong_signature(struct rseq *area)
{
    struct itimerval timer = {{0, 5000}, {0, 5000}};
    struct sigaction action = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    spin_in_bad_section(area, &entered);
}

static void signal_with_wild_section(struct rseq *area)
{
    struct sigaction action = {.sa_handler = on_alarm};
    sigaction(SIGUSR1, &action, NULL);
    *(volatile uint64_t *)&area->rseq_cs = 8;
    raise(SIGUSR1);
}

TEST(rseq, error, "SIGSEGV for a wrong signature and for a section that is not there")
{
    struct rseq *area = own_area();
    expect_segv(interrupted_with_wrong_signature, area);
    expect_segv(signal_with_wild_section, area);
}

#define BARRIER_RSEQ 128
#define BARRIER_REGISTER_RSEQ 256
#define BARRIER_ROUNDS 50

static volatile int round_begun, rounds_over;

static long membarrier(int command, unsigned flags, int cpu)
{
    return syscall(SYS_membarrier, command, flags, cpu);
}

static void *sections(void *unused)
{
    for (int i = 0; i < BARRIER_ROUNDS; i++) {
        while (round_begun <= i)
            __builtin_ia32_pause();
        CHECK_EQ(spin_in_section(own_area(), &entered), 1);
        rounds_over = i + 1;
    }
    return unused;
}

TEST(membarrier, success, "of rseq: no critical section that other threads are in outlives it")
{
    pthread_t thread;
    own_area();
    CHECK(membarrier(MEMBARRIER_CMD_QUERY, 0, 0) & BARRIER_RSEQ);
    CHECK_OK(membarrier(BARRIER_REGISTER_RSEQ, 0, 0));
    CHECK_EQ(pthread_create(&thread, NULL, sections, NULL), 0);
    for (int i = 0; i < BARRIER_ROUNDS; i++) {
        entered = 0;
        round_begun = i + 1;
        while (!entered)
            __builtin_ia32_pause();
        CHECK_OK(membarrier(BARRIER_RSEQ, 0, 0));
        int now = entered;
        for (int n = 0; n < 1000; n++)
            __builtin_ia32_pause();
        CHECK_EQ(entered, now);
        while (rounds_over <= i)
            __builtin_ia32_pause();
    }
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_OK(membarrier(BARRIER_RSEQ, 1, 0));
    CHECK_OK(membarrier(BARRIER_RSEQ, 1, 100000));
}

TEST(membarrier, error, "of rseq: EPERM when not registered, and no other flag than for a CPU")
{
    CHECK_ERRNO(membarrier(BARRIER_RSEQ, 0, 0), EPERM);
    CHECK_ERRNO(membarrier(BARRIER_RSEQ, 2, 0), EINVAL);
    CHECK_ERRNO(membarrier(BARRIER_REGISTER_RSEQ, 1, 0), EINVAL);
}

TEST_MAIN()
