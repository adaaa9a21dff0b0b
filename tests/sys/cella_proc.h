/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of processes, memory and signals share beyond cella_test.h: memory that crosses
 * fork, faults caught with their siginfo, and vector registers observed around a system call.
 */
#ifndef CELLA_PROC_H
#define CELLA_PROC_H

#include "cella_test.h"

#include <sched.h>
#include <setjmp.h>
#include <stddef.h>

#define PAGE 4096ul

/* Zeroed memory that a test shares with its children; the process' end frees it. */
CELLA_UNUSED static void *shared_memory(size_t len)
{
    void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    return at;
}

/* An address where nothing is, which the compiler cannot see through. */
CELLA_UNUSED static void *bad_address(void)
{
    volatile uintptr_t address = 8;
    return (void *)address;
}

/* Private anonymous pages with this protection. */
CELLA_UNUSED static unsigned char *private_pages(size_t nr_pages, int prot)
{
    void *at = mmap(NULL, nr_pages * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    return at;
}

/* The calling thread runs on one CPU from here on. */
CELLA_UNUSED static void stay_on_one_cpu(void)
{
    cpu_set_t one;
    int cpu = sched_getcpu();
    CHECK(cpu >= 0);
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    CHECK_OK(sched_setaffinity(0, sizeof(one), &one));
}

CELLA_UNUSED static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    CHECK_EQ(syscall(SYS_clock_gettime, clock, &now), 0);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

CELLA_UNUSED static void set_handler(int sig, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = flags | SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    CHECK_EQ(sigaction(sig, &action, NULL), 0);
}

CELLA_UNUSED static void change_mask(int how, int sig)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, sig);
    CHECK_EQ(sigprocmask(how, &set, NULL), 0);
}

/* Waits until another process or thread has stored a non-zero value, then returns it. */
CELLA_UNUSED static int wait_for_word(const int *word)
{
    int value;
    while ((value = __atomic_load_n(word, __ATOMIC_SEQ_CST)) == 0)
        cella_sleep_ms(1);
    return value;
}

CELLA_UNUSED static void set_word(int *word, int value)
{
    __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

/* Waits for one child that a signal must end; returns that signal, or -1. */
CELLA_UNUSED static int wait_signal(pid_t pid)
{
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -1;
}

/* Kills and reaps a child that would not end by itself. */
CELLA_UNUSED static void end_child(pid_t pid)
{
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(wait_signal(pid), SIGKILL);
}

/* A child that only waits for signals. */
CELLA_UNUSED static pid_t idle_child(void)
{
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0)
        for (;;)
            pause();
    return pid;
}

/*
 * Faults. probe() touches one byte and says which signal that raised (0: none); fault_info then
 * holds the siginfo. The handler leaves by a jump, so the faulting instruction is not repeated.
 */
enum probe_kind { PROBE_READ, PROBE_WRITE, PROBE_EXECUTE };

static siginfo_t fault_info CELLA_UNUSED;
static sigjmp_buf fault_escape CELLA_UNUSED;

CELLA_UNUSED static void fault_handler(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    fault_info = *info;
    siglongjmp(fault_escape, 1);
}

CELLA_UNUSED static int probe(const void *address, enum probe_kind kind)
{
    memset(&fault_info, 0, sizeof(fault_info));
    set_handler(SIGSEGV, fault_handler, 0);
    set_handler(SIGBUS, fault_handler, 0);
    if (sigsetjmp(fault_escape, 1))
        return fault_info.si_signo;
    volatile unsigned char *byte = (volatile unsigned char *)(uintptr_t)address;
    switch (kind) {
    case PROBE_READ:
        (void)*byte;
        break;
    case PROBE_WRITE:
        *byte = *byte;
        break;
    case PROBE_EXECUTE:
        ((void (*)(void))(uintptr_t)address)();
        break;
    }
    return 0;
}

#define CHECK_FAULT(address, kind, signal, code)                                                   \
    do {                                                                                           \
        CHECK_EQ(probe(address, kind), signal);                                                    \
        CHECK_EQ(fault_info.si_code, code);                                                        \
        CHECK_EQ((uintptr_t)fault_info.si_addr, (uintptr_t)(address));                             \
    } while (0)

/*
 * Vector registers. vectors_call() loads every vector register the CPU offers from `in`, makes one
 * system call, and stores the registers into `out`, with no compiled code between.
 */
struct vectors {
    unsigned char reg[32][64];
    uint64_t mask[8];
} __attribute__((aligned(64)));

enum vector_level { VECTORS_SSE, VECTORS_AVX, VECTORS_AVX512 };

CELLA_UNUSED static enum vector_level vector_level(void)
{
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
        return VECTORS_AVX512;
    return __builtin_cpu_supports("avx") ? VECTORS_AVX : VECTORS_SSE;
}

/* Moves between register n and slot n of the memory at %[io]; the slot is n * 64 bytes in. */
#define SSE_LOAD(n) "movdqu 64*" #n "(%[in]), %%xmm" #n "\n\t"
#define SSE_STORE(n) "movdqu %%xmm" #n ", 64*" #n "(%[out])\n\t"
#define AVX_LOAD(n) "vmovdqu 64*" #n "(%[in]), %%ymm" #n "\n\t"
#define AVX_STORE(n) "vmovdqu %%ymm" #n ", 64*" #n "(%[out])\n\t"
#define AVX512_LOAD(n) "vmovdqu64 64*" #n "(%[in]), %%zmm" #n "\n\t"
#define AVX512_STORE(n) "vmovdqu64 %%zmm" #n ", 64*" #n "(%[out])\n\t"
#define MASK_LOAD(n) "kmovq 2048+8*" #n "(%[in]), %%k" #n "\n\t"
#define MASK_STORE(n) "kmovq %%k" #n ", 2048+8*" #n "(%[out])\n\t"

#define EACH_8(m) m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7)
#define EACH_16(m) EACH_8(m) m(8) m(9) m(10) m(11) m(12) m(13) m(14) m(15)
#define EACH_32(m)                                                                                 \
    EACH_16(m)                                                                                     \
    m(16) m(17) m(18) m(19) m(20) m(21) m(22) m(23) m(24) m(25) m(26) m(27) m(28) m(29) m(30) m(31)

#define VECTORS_AROUND(load, middle, store, ret, in_ptr, out_ptr, ...)                             \
    __asm__ volatile(load middle store                                                             \
                     : "+a"(ret)                                                                   \
                     : [in] "r"(in_ptr), [out] "r"(out_ptr), ##__VA_ARGS__                         \
                     : "rcx", "r11", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4",       \
                       "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", \
                       "xmm14", "xmm15")

/* The same for all levels; `middle` is the assembly run while the registers are loaded. */
#define VECTORS_RUN(middle, ret, in_ptr, out_ptr, ...)                                             \
    switch (vector_level()) {                                                                      \
    case VECTORS_AVX512:                                                                           \
        VECTORS_AROUND(EACH_32(AVX512_LOAD) EACH_8(MASK_LOAD), middle,                             \
                       EACH_32(AVX512_STORE) EACH_8(MASK_STORE) "vzeroupper\n\t", ret, in_ptr,     \
                       out_ptr, ##__VA_ARGS__);                                                    \
        break;                                                                                     \
    case VECTORS_AVX:                                                                              \
        VECTORS_AROUND(EACH_16(AVX_LOAD), middle, EACH_16(AVX_STORE) "vzeroupper\n\t", ret,        \
                       in_ptr, out_ptr, ##__VA_ARGS__);                                            \
        break;                                                                                     \
    case VECTORS_SSE:                                                                              \
        VECTORS_AROUND(EACH_16(SSE_LOAD), middle, EACH_16(SSE_STORE), ret, in_ptr, out_ptr,        \
                       ##__VA_ARGS__);                                                             \
        break;                                                                                     \
    }

CELLA_UNUSED static long vectors_call(const struct vectors *in, struct vectors *out, long nr,
                                      long a1, long a2, long a3)
{
    long ret = nr;
    VECTORS_RUN("syscall\n\t", ret, in, out, "D"(a1), "S"(a2), "d"(a3))
    return ret;
}

CELLA_UNUSED static void vectors_fill(struct vectors *vectors, unsigned seed)
{
    unsigned char *byte = (unsigned char *)vectors;
    for (size_t i = 0; i < sizeof(*vectors); i++) {
        seed = seed * 1103515245u + 12345u;
        byte[i] = (unsigned char)(seed >> 16);
    }
}

/* Compares only what this CPU has; the rest of `struct vectors` is never stored. */
CELLA_UNUSED static bool vectors_equal(const struct vectors *a, const struct vectors *b)
{
    enum vector_level level = vector_level();
    int nr_regs = level == VECTORS_AVX512 ? 32 : 16;
    size_t width = level == VECTORS_AVX512 ? 64 : level == VECTORS_AVX ? 32 : 16;
    for (int i = 0; i < nr_regs; i++)
        if (memcmp(a->reg[i], b->reg[i], width))
            return false;
    return level != VECTORS_AVX512 || !memcmp(a->mask, b->mask, sizeof(a->mask));
}

#endif
