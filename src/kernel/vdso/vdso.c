/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vDSO: clock calls and getcpu without entering the kernel. A shared object of its own that
 * every program finds through AT_SYSINFO_EHDR; it runs as the workload and reads the kernel's clock
 * page (time/vdso_data.h) at its fixed address, and the CPU's number where GS points. What it
 * cannot answer becomes a system call.
 *
 * Built alone: -shared -fPIC -nostdlib -mgeneral-regs-only -T vdso.lds.
 */
#include "arch/x86_64/cpu.h"
#include "time/vdso_data.h"

struct vdso_timespec {
    int64_t sec, nsec;
};
struct vdso_timeval {
    int64_t sec, usec;
};
struct vdso_timezone {
    int32_t minuteswest, dsttime;
};

enum {
    CLOCK_REALTIME_K = 0,
    CLOCK_MONOTONIC_K = 1,
    CLOCK_MONOTONIC_RAW_K = 4,
    CLOCK_REALTIME_COARSE_K = 5,
    CLOCK_MONOTONIC_COARSE_K = 6,
    CLOCK_BOOTTIME_K = 7
};
enum { NR_CLOCK_GETTIME = 228, NR_CLOCK_GETRES = 229 };

int __vdso_clock_gettime(int clock, struct vdso_timespec *ts);
int __vdso_gettimeofday(struct vdso_timeval *tv, struct vdso_timezone *tz);
int64_t __vdso_time(int64_t *t);
int __vdso_clock_getres(int clock, struct vdso_timespec *res);
long __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused);

static int system_call(int nr, int clock, void *p)
{
    int64_t r;
    __asm__ volatile("syscall"
                     : "=a"(r)
                     : "a"((int64_t)nr), "D"((int64_t)clock), "S"(p)
                     : "rcx", "r11", "memory");
    return (int)r;
}

/* Monotonic nanoseconds; *real_offset: what makes them wall-clock time. */
static inline uint64_t read_clock(uint64_t *real_offset)
{
    const volatile struct vdso_data *d = (const volatile struct vdso_data *)VDSO_DATA_ADDR;
    for (;;) {
        uint32_t seq = __atomic_load_n(&d->seq, __ATOMIC_ACQUIRE);
        if (seq & 1) {
            cpu_relax();
            continue;
        }
        uint32_t lo, hi;
        /* Not before the loads above: else time could go back between two CPUs. */
        __asm__ volatile("lfence\n\trdtsc" : "=a"(lo), "=d"(hi)::"memory");
        uint64_t tsc = (uint64_t)hi << 32 | lo, base = d->tsc_base;
        uint64_t ns = d->mono_base_ns;
        if (tsc > base)
            ns += (uint64_t)(((unsigned __int128)(tsc - base) * d->mult) >> d->shift);
        *real_offset = d->real_offset_ns;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (d->seq == seq)
            return ns;
    }
}

static inline uint64_t real_ns(void)
{
    uint64_t offset;
    uint64_t mono = read_clock(&offset);
    return mono + offset;
}

int __vdso_clock_gettime(int clock, struct vdso_timespec *ts)
{
    uint64_t ns, offset;
    switch (clock) {
    case CLOCK_REALTIME_K:
    case CLOCK_REALTIME_COARSE_K: ns = real_ns(); break;
    case CLOCK_MONOTONIC_K:
    case CLOCK_MONOTONIC_RAW_K:
    case CLOCK_MONOTONIC_COARSE_K:
    case CLOCK_BOOTTIME_K: ns = read_clock(&offset); break;
    default: return system_call(NR_CLOCK_GETTIME, clock, ts);
    }
    ts->sec = (int64_t)(ns / NSEC_PER_SEC);
    ts->nsec = (int64_t)(ns % NSEC_PER_SEC);
    return 0;
}

int __vdso_gettimeofday(struct vdso_timeval *tv, struct vdso_timezone *tz)
{
    if (tv) {
        uint64_t us = real_ns() / NSEC_PER_USEC;
        tv->sec = (int64_t)(us / 1000000);
        tv->usec = (int64_t)(us % 1000000);
    }
    if (tz)
        tz->minuteswest = tz->dsttime = 0;
    return 0;
}

int64_t __vdso_time(int64_t *t)
{
    int64_t now = (int64_t)(real_ns() / NSEC_PER_SEC);
    if (t)
        *t = now;
    return now;
}

int __vdso_clock_getres(int clock, struct vdso_timespec *res)
{
    switch (clock) {
    case CLOCK_REALTIME_K:
    case CLOCK_MONOTONIC_K:
    case CLOCK_MONOTONIC_RAW_K:
    case CLOCK_BOOTTIME_K:
        if (res) {
            res->sec = 0;
            res->nsec = 1;
        }
        return 0;
    default: return system_call(NR_CLOCK_GETRES, clock, res);
    }
}

/* The kernel's CPUs, not the host's: the one whose struct cpu GS points to. */
long __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused)
{
    uint32_t id;
    __asm__ volatile("movl %%gs:%c1, %0" : "=r"(id) : "i"(offsetof(struct cpu, id)));
    if (cpu)
        *cpu = id;
    if (node)
        *node = 0;
    return 0;
}

int clock_gettime(int clock, struct vdso_timespec *ts)
    __attribute__((weak, alias("__vdso_clock_gettime")));
int gettimeofday(struct vdso_timeval *tv, struct vdso_timezone *tz)
    __attribute__((weak, alias("__vdso_gettimeofday")));
int64_t time(int64_t *t) __attribute__((weak, alias("__vdso_time")));
int clock_getres(int clock, struct vdso_timespec *res)
    __attribute__((weak, alias("__vdso_clock_getres")));
long getcpu(unsigned *cpu, unsigned *node, void *unused)
    __attribute__((weak, alias("__vdso_getcpu")));
