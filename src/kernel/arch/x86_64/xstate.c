/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended processor state (x87, SSE, AVX, AVX-512): save areas. Intel SDM vol. 1 chapter 13.
 *
 * Thread switches use the compacted form (XSAVEC), signal frames the standard one (XSAVE). The size
 * of an area is that of the larger, the standard form with everything in the mask.
 *
 * AMX is not in the mask, though XCR0 may enable it: a host gives it to processes that ask, and the
 * signal frames of those that have not are without it. An XRSTOR that names it may read 8 KiB past
 * such a frame, even where the frame's header says that there is none.
 */
#include "arch/x86_64/cpu.h"
#include "base/errno.h"
#include "base/string.h"

#define XSTATE_HEADER_OFF 512
#define XSTATE_LEGACY_END 576 /* x87, SSE and the header */
#define XSTATE_AMX (3ull << 17)
#define MXCSR_DEFAULT 0x1f80u

static uint64_t xstate_mask;
static size_t xstate_size;
static uint32_t mxcsr_mask = 0xffff;
static bool has_xsavec;

static uint64_t xgetbv0(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return ((uint64_t)hi << 32) | lo;
}

void arch_xstate_init(void)
{
    uint32_t r[4];
    xstate_mask = xgetbv0() & ~XSTATE_AMX;
    xstate_size = XSTATE_LEGACY_END;
    for (uint32_t i = 2; i < 63; i++) {
        if (!(xstate_mask >> i & 1))
            continue;
        cpuid(0xd, i, r); /* EAX: size, EBX: offset in the standard form */
        if ((size_t)r[0] + r[1] > xstate_size)
            xstate_size = (size_t)r[0] + r[1];
    }
    xstate_size = ALIGN_UP(xstate_size, 64);
    cpuid(0xd, 1, r);
    has_xsavec = r[0] & 2;
    /* PKRU is left to the workload as it stands: the kernel's own accesses must not depend on it.
     */
}

size_t arch_xstate_size(void)
{
    return xstate_size;
}

uint64_t arch_xstate_mask(void)
{
    return xstate_mask;
}

void arch_xstate_save(void *area)
{
    uint32_t lo = (uint32_t)xstate_mask, hi = (uint32_t)(xstate_mask >> 32);
    if (likely(has_xsavec))
        __asm__ volatile("xsavec64 (%0)" ::"r"(area), "a"(lo), "d"(hi) : "memory");
    else
        __asm__ volatile("xsave64 (%0)" ::"r"(area), "a"(lo), "d"(hi) : "memory");
}

void arch_xstate_restore(const void *area)
{
    uint32_t lo = (uint32_t)xstate_mask, hi = (uint32_t)(xstate_mask >> 32);
    __asm__ volatile("xrstor64 (%0)" ::"r"(area), "a"(lo), "d"(hi) : "memory");
}

void arch_xstate_save_standard(void *area)
{
    uint32_t lo = (uint32_t)xstate_mask, hi = (uint32_t)(xstate_mask >> 32);
    memset((char *)area + XSTATE_HEADER_OFF, 0, 64);
    __asm__ volatile("xsave64 (%0)" ::"r"(area), "a"(lo), "d"(hi) : "memory");
}

int arch_xstate_restore_standard(void *area)
{
    uint32_t lo = (uint32_t)xstate_mask, hi = (uint32_t)(xstate_mask >> 32);
    uint64_t *header = (uint64_t *)((char *)area + XSTATE_HEADER_OFF);
    uint32_t *mxcsr = (uint32_t *)((char *)area + 24);
    header[0] &= xstate_mask;
    if (header[1]) /* XCOMP_BV: the compacted form is not what a signal frame holds */
        return -EINVAL;
    for (int i = 2; i < 8; i++)
        header[i] = 0;
    *mxcsr &= mxcsr_mask;
    __asm__ volatile("xrstor64 (%0)" ::"r"(area), "a"(lo), "d"(hi) : "memory");
    return 0;
}

void arch_xstate_reset(void)
{
    static const struct {
        uint8_t legacy[512];
        uint64_t header[8];
    } __attribute__((aligned(64))) fresh = {
        .legacy = {[0] = 0x7f, [1] = 0x03, [24] = MXCSR_DEFAULT & 0xff, [25] = MXCSR_DEFAULT >> 8}};
    /* XSTATE_BV of zero: every component takes its initial value; MXCSR is loaded all the same. */
    arch_xstate_restore(&fresh);
}
