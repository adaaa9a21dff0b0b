/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clocks and kernel timers. Monotonic time comes from the TSC and never goes back; the wall clock
 * is the host's word.
 */
#ifndef CELLA_KERNEL_TIME_TIME_H
#define CELLA_KERNEL_TIME_TIME_H

#include "base/rbtree.h"
#include "base/types.h"

struct k_timespec {
    int64_t sec, nsec;
};
struct k_timeval {
    int64_t sec, usec;
};
struct k_itimerspec {
    struct k_timespec interval, value;
};

/* Nanoseconds since the keep's host booted (CLOCK_MONOTONIC; also served as BOOTTIME). */
ktime_t time_mono_ns(void);
/* Nanoseconds since 1970, host-given. */
uint64_t time_real_ns(void);
void time_init(void);
/* Called from ticks: takes new clock parameters over. */
void time_update(void);

static inline struct k_timespec ns_to_timespec(uint64_t ns)
{
    return (struct k_timespec){(int64_t)(ns / NSEC_PER_SEC), (int64_t)(ns % NSEC_PER_SEC)};
}
static inline bool timespec_valid(const struct k_timespec *t)
{
    return t->sec >= 0 && t->nsec >= 0 && t->nsec < (int64_t)NSEC_PER_SEC;
}
/* Saturates at KTIME_NEVER - 1. */
static inline uint64_t timespec_to_ns(const struct k_timespec *t)
{
    if ((uint64_t)t->sec >= (KTIME_NEVER - 1) / NSEC_PER_SEC)
        return KTIME_NEVER - 1;
    return (uint64_t)t->sec * NSEC_PER_SEC + (uint64_t)t->nsec;
}
/* now + delta without overflow. */
static inline ktime_t ktime_add(ktime_t a, uint64_t delta)
{
    return a > KTIME_NEVER - delta ? KTIME_NEVER : a + delta;
}
/* Reads a relative timeout from the workload and returns the absolute CLOCK_MONOTONIC deadline: 0
 * with *deadline set (KTIME_NEVER when addr is 0), -EFAULT, -EINVAL. */
int time_deadline_from_user(uaddr_t addr, ktime_t *deadline);

/* A one-shot kernel timer on CLOCK_MONOTONIC. fn runs in kernel context on any CPU, under no lock
 * of the timer code, must not sleep; it may re-arm the timer. */
struct ktimer {
    struct rb_node rb;
    ktime_t expires;
    bool queued, running;
    void (*fn)(struct ktimer *t);
};

void ktimer_init(struct ktimer *t, void (*fn)(struct ktimer *));
void ktimer_start(struct ktimer *t, ktime_t expires); /* (re-)arms */
/* Disarms; when it returns fn is not running and will not. Not callable from fn. True when it was
 * armed. */
bool ktimer_cancel(struct ktimer *t);
/* Runs what is due; returns the next expiry, or KTIME_NEVER. Called by the scheduler. */
ktime_t ktimers_run(void);

#endif
