/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock parameters of a keep; see clock.h.
 *
 * mono = mono_base + ((tsc - tsc_base) * mult >> SHIFT). The slope comes from the whole time since
 * start, so it gets better by the second. Time in the keep never jumps back: at a refresh the new
 * line starts where the old one stands, and a little more or less slope closes the gap to the
 * host's clock within about a second. With SHIFT 26 a keep that multiplies in 64 bits may go 90 s
 * without a refresh.
 */
#include "clock.h"

#include <stdbool.h>
#include <time.h>

#define SHIFT 26
#define FIRST_BASELINE_NS 1000000u /* two readings within 20 ns of the truth: 40 ppm */
#define NSEC 1000000000

/* The slope is bent by at most this much, in parts per million; larger gaps forward are jumped
 * over. */
#define MAX_BEND_PPM 500
#define JUMP_NS 5000000

static uint64_t rdtsc(void)
{
    return __builtin_ia32_rdtsc();
}

static uint64_t clock_ns(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * NSEC + (uint64_t)ts.tv_nsec;
}

/* The tightest of some readings: the TSC in the middle of the call that read the clock. */
static struct clock_sample take_sample(void)
{
    struct clock_sample best = {0};
    uint64_t best_width = UINT64_MAX;
    for (int i = 0; i < 8; i++) {
        uint64_t before = rdtsc(), ns = clock_ns(CLOCK_MONOTONIC), after = rdtsc();
        if (after - before < best_width) {
            best_width = after - before;
            best = (struct clock_sample){before + (after - before) / 2, ns};
        }
    }
    return best;
}

void clock_begin(struct clock_source *clock)
{
    clock->first = take_sample();
}

static uint32_t slope(const struct clock_source *clock, const struct clock_sample *now)
{
    unsigned __int128 ns = now->mono_ns - clock->first.mono_ns;
    return (uint32_t)((ns << SHIFT) / (now->tsc - clock->first.tsc));
}

static void publish(struct clock_source *clock, struct cella_host_window *window)
{
    uint64_t real = clock_ns(CLOCK_REALTIME), mono = clock_ns(CLOCK_MONOTONIC);
    uint32_t seq = window->clock_seq | 1;

    __atomic_store_n(&window->clock_seq, seq, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    window->clock_tsc_base = clock->base.tsc;
    window->clock_mono_base_ns = clock->base.mono_ns;
    window->clock_real_offset_ns = real - mono;
    window->clock_mult = clock->mult;
    window->clock_shift = SHIFT;
    __atomic_store_n(&window->clock_seq, seq + 1, __ATOMIC_RELEASE);
}

void clock_publish_first(struct clock_source *clock, struct cella_host_window *window)
{
    struct clock_sample now;
    do {
        now = take_sample();
    } while (now.mono_ns - clock->first.mono_ns < FIRST_BASELINE_NS || now.tsc <= clock->first.tsc);
    clock->base = now;
    clock->mult = slope(clock, &now);
    publish(clock, window);
}

void clock_refresh(struct clock_source *clock, struct cella_host_window *window)
{
    struct clock_sample now = take_sample();
    /* The TSC went back: the machine was suspended or moved. What the keep has is then as good as
     * anything. */
    if (now.tsc <= clock->base.tsc)
        return;
    uint64_t said =
        clock->base.mono_ns +
        (uint64_t)((unsigned __int128)(now.tsc - clock->base.tsc) * clock->mult >> SHIFT);
    int64_t gap = (int64_t)(now.mono_ns - said);
    uint32_t mult = slope(clock, &now);

    clock->base.tsc = now.tsc;
    if (gap > JUMP_NS) {
        clock->base.mono_ns = now.mono_ns;
    } else {
        clock->base.mono_ns = said;
        /* Nanoseconds per second of refresh interval: thousandths of a ppm. */
        int64_t bend = gap;
        if (bend > MAX_BEND_PPM * 1000)
            bend = MAX_BEND_PPM * 1000;
        if (bend < -MAX_BEND_PPM * 1000)
            bend = -MAX_BEND_PPM * 1000;
        mult = (uint32_t)((int64_t)mult + (int64_t)mult * bend / NSEC);
    }
    clock->mult = mult;
    publish(clock, window);
}
