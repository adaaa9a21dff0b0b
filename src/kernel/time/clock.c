/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock. Parameters come from the host at boot and are taken over again from ticks; a new set
 * never makes monotonic time go back, nor run faster or slower than the old one by more than
 * MAX_SLEW_PPM.
 */
#include "arch/x86_64/cpu.h"
#include "base/errno.h"
#include "base/spinlock.h"
#include "base/usercopy.h"
#include "hal.h"
#include "time/time.h"
#include "time/vdso_data.h"

#define MAX_SLEW_PPM 500u
#define UPDATE_NS NSEC_PER_SEC

static struct vdso_data *data;
static spinlock_t update_lock = SPINLOCK_INIT;
static ktime_t last_update;

static uint64_t scale(uint64_t delta, uint32_t mult, uint32_t shift)
{
    return (uint64_t)(((unsigned __int128)delta * mult) >> shift);
}

static void read_params(struct vdso_data *d)
{
    uint32_t seq;
    do {
        while ((seq = __atomic_load_n(&data->seq, __ATOMIC_ACQUIRE)) & 1)
            cpu_relax();
        d->shift = READ_ONCE(data->shift);
        d->mult = READ_ONCE(data->mult);
        d->tsc_base = READ_ONCE(data->tsc_base);
        d->mono_base_ns = READ_ONCE(data->mono_base_ns);
        d->real_offset_ns = READ_ONCE(data->real_offset_ns);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while (READ_ONCE(data->seq) != seq);
}

ktime_t time_mono_ns(void)
{
    struct vdso_data d;
    read_params(&d);
    uint64_t tsc = rdtsc();
    return d.mono_base_ns + (tsc > d.tsc_base ? scale(tsc - d.tsc_base, d.mult, d.shift) : 0);
}

uint64_t time_real_ns(void)
{
    return time_mono_ns() + READ_ONCE(data->real_offset_ns);
}

static void publish(const struct hal_clock *c)
{
    __atomic_store_n(&data->seq, data->seq + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    WRITE_ONCE(data->shift, c->shift);
    WRITE_ONCE(data->mult, c->mult);
    WRITE_ONCE(data->tsc_base, c->tsc_base);
    WRITE_ONCE(data->mono_base_ns, c->mono_base_ns);
    WRITE_ONCE(data->real_offset_ns, c->real_offset_ns);
    __atomic_store_n(&data->seq, data->seq + 1, __ATOMIC_RELEASE);
}

bool hal_clock_plausible(const struct hal_clock *c, uint64_t tsc)
{
    /* A TSC goes at 50 MHz to 16 GHz; and sums with times of centuries must not overflow. */
    uint64_t ns = c->shift < 64 ? scale(1u << 20, c->mult, c->shift) : 0;
    return ns >= (1u << 20) / 16 && ns <= (1u << 20) * 20 && c->tsc_base <= tsc &&
           c->mono_base_ns < 1ull << 62;
}

void time_init(void)
{
    void *base;
    size_t size;
    hal_kmem_window(&base, &size);
    data = base;
    struct hal_clock c;
    hal_clock_read(&c);
    publish(&c);
    last_update = time_mono_ns();
}

/* |a - b| as parts per million of b */
static bool rate_close(const struct hal_clock *n, const struct vdso_data *o)
{
    uint64_t a = scale(1ull << 32, n->mult, n->shift), b = scale(1ull << 32, o->mult, o->shift);
    uint64_t diff = a > b ? a - b : b - a;
    return diff <= b / 1000000 * MAX_SLEW_PPM;
}

void time_update(void)
{
    ktime_t now = time_mono_ns();
    if (now - READ_ONCE(last_update) < UPDATE_NS || !spin_trylock(&update_lock))
        return;
    struct vdso_data old;
    read_params(&old);
    struct hal_clock c;
    hal_clock_read(&c);
    uint64_t tsc = rdtsc();
    last_update = now;
    bool changed =
        c.tsc_base != old.tsc_base || c.mult != old.mult || c.real_offset_ns != old.real_offset_ns;
    if (changed && rate_close(&c, &old) && c.tsc_base <= tsc) {
        ktime_t was = old.mono_base_ns + scale(tsc - old.tsc_base, old.mult, old.shift);
        /* Same instant, new rate: continues where the old one stands, so time cannot go back. */
        c.tsc_base = tsc;
        c.mono_base_ns = was;
        publish(&c);
    }
    spin_unlock(&update_lock);
}

int time_deadline_from_user(uaddr_t addr, ktime_t *deadline)
{
    struct k_timespec ts;
    if (!addr) {
        *deadline = KTIME_NEVER;
        return 0;
    }
    if (copy_from_user(&ts, addr, sizeof(ts)))
        return -EFAULT;
    if (!timespec_valid(&ts))
        return -EINVAL;
    *deadline = ktime_add(time_mono_ns(), timespec_to_ns(&ts));
    return 0;
}
