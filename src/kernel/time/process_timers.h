/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timers of a process: the three interval timers and the POSIX timers. Made at first use, freed
 * when its last thread ends.
 *
 * process_timers.lock (spin) guards all of it and is taken by the expiry functions, so a ktimer is
 * never cancelled under it: setting a timer changes the state, and an expiry that finds itself not
 * due (any more) does nothing. Order: process_timers.lock -> sighand->lock; -> the timer code's
 * own.
 */
#ifndef CELLA_KERNEL_TIME_PROCESS_TIMERS_H
#define CELLA_KERNEL_TIME_PROCESS_TIMERS_H

#include "proc/task.h"
#include "time/time.h"

enum { ITIMER_REAL_K = 0, ITIMER_VIRTUAL_K = 1, ITIMER_PROF_K = 2 };

/* On the CPU time of the process: user time (VIRTUAL) or all (PROF). */
struct cpu_itimer {
    uint64_t expires; /* ns of that time; 0: off */
    uint64_t interval_ns;
};

struct process_timers {
    spinlock_t lock;
    struct process *process; /* not counted: it outlives this */
    struct ktimer real;
    bool real_armed;
    ktime_t real_expires;
    uint64_t real_interval_ns;
    struct cpu_itimer cpu[2]; /* VIRTUAL, PROF */
    struct list posix;        /* posix_timer.link */
    int next_id;
    int nr_cpu_posix; /* armed POSIX timers on CPU time */
};

/* The process's timers, made when there are none; NULL without memory. */
struct process_timers *process_timers_get(struct process *p);

/* POSIX timers on CPU time that are due. Called from itimer_tick, timers->lock held. */
void posix_cpu_timers_check(struct process_timers *pt);

/* Adds to *expires as many intervals as bring it beyond now; how many. */
static inline uint64_t timer_forward(uint64_t *expires, uint64_t interval_ns, uint64_t now)
{
    if (interval_ns == 0 || *expires > now)
        return 0;
    uint64_t n = (now - *expires) / interval_ns + 1;
    *expires += n * interval_ns;
    return n;
}

/* After each tick and each switch that gave t CPU time: VIRTUAL and PROF timers, CPU-time POSIX
 * timers, RLIMIT_CPU of t's process. The arguments are what t got since the last call; the sums in
 * struct thread are what counts. No lock is held. */
void itimer_tick(struct thread *t, uint64_t utime_ns, uint64_t stime_ns);

/* ---- time/clock_calls.c ---- */

/* CPU-time clocks: whose they are. */
struct cpu_clock {
    struct process *process; /* counted; NULL: it is a thread's */
    struct thread *thread;   /* counted */
    bool user_only;          /* CPUCLOCK_VIRT */
};
/* Is `clock` one of CPU time (CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, or made from a
 * pid)? */
bool clock_is_cpu(int clock);
/* 0 with *c filled and counted, -EINVAL. */
int cpu_clock_get(int clock, struct cpu_clock *c);
void cpu_clock_put(struct cpu_clock *c);
uint64_t cpu_clock_read(const struct cpu_clock *c);
/* The clocks that time with the wall clock, or with the monotonic one. */
bool clock_is_real(int clock);
bool clock_is_mono(int clock);

/* <linux/time.h> */
enum {
    CLOCK_REALTIME = 0,
    CLOCK_MONOTONIC = 1,
    CLOCK_PROCESS_CPUTIME_ID = 2,
    CLOCK_THREAD_CPUTIME_ID = 3,
    CLOCK_MONOTONIC_RAW = 4,
    CLOCK_REALTIME_COARSE = 5,
    CLOCK_MONOTONIC_COARSE = 6,
    CLOCK_BOOTTIME = 7,
    CLOCK_REALTIME_ALARM = 8,
    CLOCK_BOOTTIME_ALARM = 9,
    CLOCK_TAI = 11
};
#define TIMER_ABSTIME 1

#endif
