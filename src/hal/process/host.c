/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side as the process HAL sees it: the shared window, the clock, randomness, the end. */
#include "base/errno.h"
#include "base/printk.h"
#include "base/string.h"
#include "dev/host_ring.h"
#include "host_linux.h"
#include "process.h"

static struct hal_clock last_clock; /* the last one that passed the checks */

struct cella_host_window *host_window(void)
{
    return (struct cella_host_window *)HOST_WINDOW_BASE;
}

void hal_host_window(void **base, size_t *size)
{
    *base = (void *)HOST_WINDOW_BASE;
    *size = PAGE_ALIGN(sizeof(struct cella_host_window)) + CELLA_HOST_DATA_SIZE;
}

void hal_host_notify(void)
{
    struct cella_host_window *w = host_window();
    __atomic_add_fetch(&w->sq_doorbell, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&w->sq_waiting, __ATOMIC_SEQ_CST))
        futex_wake_host(&w->sq_doorbell, 1);
}

uint64_t hal_mem_used(void)
{
    return __atomic_load_n(&host_window()->mem_used_bytes, __ATOMIC_RELAXED);
}

void hal_clock_read(struct hal_clock *clock)
{
    struct cella_host_window *w = host_window();
    for (int tries = 0; tries < 100; tries++) {
        uint32_t seq = __atomic_load_n(&w->clock_seq, __ATOMIC_ACQUIRE);
        struct hal_clock c = {READ_ONCE(w->clock_tsc_base), READ_ONCE(w->clock_mono_base_ns),
                              READ_ONCE(w->clock_real_offset_ns), READ_ONCE(w->clock_mult),
                              READ_ONCE(w->clock_shift)};
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if ((seq & 1) || READ_ONCE(w->clock_seq) != seq)
            continue;
        if (hal_clock_plausible(&c, rdtsc()))
            last_clock = c;
        break;
    }
    /* Only at boot: without a clock nothing that waits would ever end. */
    if (!last_clock.mult)
        panic("the host's clock is none");
    *clock = last_clock;
}

static bool rdrand64(uint64_t *v, bool seed)
{
    uint8_t ok;
    for (int i = 0; i < 64; i++) {
        if (seed)
            __asm__ volatile("rdseed %0; setc %1" : "=r"(*v), "=qm"(ok)::"cc");
        else
            __asm__ volatile("rdrand %0; setc %1" : "=r"(*v), "=qm"(ok)::"cc");
        if (ok)
            return true;
        cpu_relax();
    }
    return false;
}

int hal_random(void *buf, size_t len)
{
    uint32_t r[4], s[4];
    cpuid(1, 0, r);
    cpuid(7, 0, s);
    bool has_rdrand = r[2] >> 30 & 1, has_rdseed = s[1] >> 18 & 1;
    for (size_t done = 0; done < len;) {
        uint64_t v;
        if (!(has_rdseed && rdrand64(&v, true)) && !(has_rdrand && rdrand64(&v, false)))
            return -EIO;
        size_t n = k_min(len - done, sizeof(v));
        memcpy((char *)buf + done, &v, n);
        done += n;
    }
    return 0;
}

const char *hal_tee_name(void)
{
    return "process";
}

int hal_evidence(const uint8_t report_data[64], void *buf, size_t *len)
{
    (void)report_data;
    (void)buf;
    (void)len;
    return -EOPNOTSUPP;
}

void hal_emergency_write(const char *text, size_t len)
{
    host_ring_emergency(text, len);
}

void hal_exit(int status)
{
    host_ring_exit(status);
    /* The launcher kills the keep; should it be gone, the parent-death signal has done so. */
    uint32_t word = 0;
    for (int i = 0; i < 50; i++)
        futex_wait_host(&word, 0, 100 * NSEC_PER_MSEC);
    for (;;)
        HOST1(HOST_exit_group, 125);
}
