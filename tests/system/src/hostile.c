/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile workload. It knows where the gate is, the one SYSCALL instruction that the host's
 * filter lets through, and jumps to it with whatever it likes; it writes the kernel's memory, which
 * is mapped into every process of a keep; it tries the other ways into the host's kernel.
 *
 * hostile GATE ...
 *     refused NR...            each call, with each set of hostile arguments, must answer EPERM
 *     call NR SET              one call with one set of arguments; prints the answer, if any
 *     clone FLAGS              clone with these flags
 *     horde FLAGS              clones for as long as it is let, its children too
 *     mmap FD FLAGS            a mapping of a descriptor
 *     write ADDRESS LENGTH     overwrites memory with a pattern
 *     unprotect ADDRESS LENGTH makes memory writable through the gate and overwrites it
 *     int80|sysenter|vsyscall|farcall FILE
 *                              other entries; FILE is what they try to make
 *     frame                    rt_sigreturn with a frame of its own
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static uint64_t gate_address;

static long gate(long nr, const uint64_t a[6])
{
    long result;
    register uint64_t r10 __asm__("r10") = a[3];
    register uint64_t r8 __asm__("r8") = a[4];
    register uint64_t r9 __asm__("r9") = a[5];
    /* The red zone is skipped: the call writes there. */
    __asm__ volatile("addq $-128, %%rsp\n\tcall *%[gate]\n\tsubq $-128, %%rsp"
                     : "=a"(result)
                     : [gate] "b"(gate_address), "a"(nr), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10),
                       "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory", "cc");
    return result;
}

static char *const shell_argv[] = {"/bin/sh", "-c", "echo broke out >/tmp/cella-broke-out", NULL};
static char *const no_env[] = {NULL};
static char buffer[65536];
static struct iovec vector = {buffer, sizeof(buffer)};

/* Sets of arguments: none; all ones; what execve, openat, open, kill, ptrace, write and mmap like;
 * pointers everywhere; high halves set. */
enum { NR_SETS = 11 };
static void arguments(int set, uint64_t a[6])
{
    static const char path[] = "/tmp/cella-broke-out";
    const uint64_t p = (uint64_t)(uintptr_t)path, b = (uint64_t)(uintptr_t)buffer,
                   v = (uint64_t)(uintptr_t)&vector;
    const uint64_t argv = (uint64_t)(uintptr_t)shell_argv, env = (uint64_t)(uintptr_t)no_env,
                   shell = (uint64_t)(uintptr_t)shell_argv[0];
    const uint64_t sets[NR_SETS][6] = {
        {0},
        {~0ull, ~0ull, ~0ull, ~0ull, ~0ull, ~0ull},
        {shell, argv, env, 0, 0, 0},
        {(uint64_t)AT_FDCWD, shell, argv, env, 0, 0},
        {(uint64_t)AT_FDCWD, p, O_RDWR | O_CREAT, 0666, 0, 0},
        {p, O_RDWR | O_CREAT | O_TRUNC, 0666, 0, 0, 0},
        {(uint64_t)-1, SIGKILL, SIGKILL, 0, 0, 0},
        {1, v, 1, v, 1, 0},
        {3, b, sizeof(buffer), 0, 0, 0},
        {b, b, b, b, b, b},
        {0x100000000ull, 0x100000001ull, 0x100000003ull, 0x100000022ull, 0x100000003ull, 0},
    };
    memcpy(a, sets[set], sizeof(sets[set]));
}

static int refused(char **numbers)
{
    int count = 0;
    for (; *numbers; numbers++)
        for (int set = 0; set < NR_SETS; set++) {
            uint64_t a[6];
            arguments(set, a);
            long result = gate(atol(*numbers), a);
            if (result != -EPERM) {
                printf("call %s with arguments %d answers %ld\n", *numbers, set, result);
                return 1;
            }
            count++;
        }
    printf("%d refused\n", count);
    return 0;
}

static void pollute(uint64_t address, uint64_t len)
{
    volatile uint8_t *p = (volatile uint8_t *)address;
    for (uint64_t i = 0; i < len; i++)
        p[i] = (uint8_t)(0x41 + i % 23);
    printf("written\n");
    fflush(stdout);
    /* What the kernel now does with it is what the test is about. */
    for (int i = 0; i < 100; i++) {
        sched_yield();
        if (fork() == 0)
            _exit(0);
    }
}

/* creat(2) by its 32-bit number; the path has to lie below 4 GiB. */
static long creat_int80(const char *path)
{
    long result;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(8), "b"(path), "c"(0666)
                     : "memory", "r8", "r9", "r10", "r11");
    return result;
}

static int other_entry(const char *how, const char *path)
{
    char *low = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    long result = 0;
    if (low == MAP_FAILED)
        return 3;
    strcpy(low, path);
    if (strcmp(how, "int80") == 0)
        result = creat_int80(low);
    else if (strcmp(how, "sysenter") == 0)
        __asm__ volatile("movq %%rsp, %%rbp\n\tsysenter"
                         : "=a"(result)
                         : "a"(8), "b"(low), "c"(0666)
                         : "memory");
    else if (strcmp(how, "vsyscall") == 0)
        result = ((long (*)(void *, void *))0xffffffffff600000ull)(buffer, NULL);
    else {
        /* 32-bit code: mov $8,%eax; int $0x80; lret */
        static const uint8_t code[] = {0xb8, 8, 0, 0, 0, 0xcd, 0x80, 0xcb};
        struct {
            uint32_t offset;
            uint16_t selector;
        } __attribute__((packed)) to = {(uint32_t)(uintptr_t)(low + 4096), 0x23};
        memcpy(low + 4096, code, sizeof(code));
        __asm__ volatile("lcall *%[to]"
                         : "=a"(result)
                         : [to] "m"(to), "b"(low), "c"(0666)
                         : "memory", "rdx", "r8", "r9", "r10", "r11");
    }
    printf("answer %s\n", result < 0 ? "an error" : "a success");
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t a[6] = {0};
    if (argc < 3)
        return 2;
    gate_address = strtoull(argv[1], NULL, 16);
    const char *mode = argv[2], *one = argc > 3 ? argv[3] : "", *two = argc > 4 ? argv[4] : "";
    long result = 0;
    if (strcmp(mode, "refused") == 0)
        return refused(argv + 3);
    if (strcmp(mode, "write") == 0) {
        pollute(strtoull(one, NULL, 16), strtoull(two, NULL, 16));
        return 0;
    }
    if (strcmp(mode, "unprotect") == 0) {
        uint64_t address = strtoull(one, NULL, 16), len = strtoull(two, NULL, 16);
        result =
            gate(SYS_mprotect, (uint64_t[6]){address, len, PROT_READ | PROT_WRITE | PROT_EXEC});
        printf("mprotect %ld\n", result);
        fflush(stdout);
        pollute(address, len);
        return 0;
    }
    if (strcmp(mode, "call") == 0) {
        arguments(atoi(two), a);
        result = gate(atol(one), a);
    } else if (strcmp(mode, "clone") == 0) {
        a[0] = strtoull(one, NULL, 16);
        result = gate(SYS_clone, a);
    } else if (strcmp(mode, "horde") == 0) {
        /* Host processes that the kernel knows nothing of, each asleep for good. */
        uint32_t word = 0;
        while (gate(SYS_clone, (uint64_t[6]){strtoull(one, NULL, 16)}) >= 0) {
        }
        for (;;)
            gate(SYS_futex, (uint64_t[6]){(uint64_t)&word, 0, 0, 0});
    } else if (strcmp(mode, "mmap") == 0) {
        uint64_t m[6] = {
            0, 4096, PROT_READ | PROT_WRITE, strtoull(two, NULL, 16), strtoull(one, NULL, 0), 0};
        result = gate(SYS_mmap, m);
    } else if (strcmp(mode, "frame") == 0) {
        char *top = buffer + 32768;
        memset(buffer, 0x7f, sizeof(buffer));
        __asm__ volatile("movq %0, %%rsp\n\tmovl $15, %%eax\n\tjmp *%1" ::"r"(top),
                         "r"(gate_address)
                         : "memory", "rax");
    } else {
        return other_entry(mode, one);
    }
    printf("answer %ld\n", result < 0 ? result : 0);
    fflush(stdout);
    return 0;
}
