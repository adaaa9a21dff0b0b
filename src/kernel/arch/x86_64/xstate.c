/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended processor state (x87, SSE, AVX, AVX-512): save areas. Intel SDM vol. 1 chapter 13.
 *
 * Thread switches use the compacted form (XSAVEC), signal frames the standard one (XSAVE). The size
 * of an area is that of the larger, the standard form. Components that are handed out on demand only
 * (those that XFD can switch off: AMX tiles) are left out: nobody has asked for them, and signal
 * frames with 8 KiB of tiles do not fit into the signal stacks of programs.
 */
#include "arch/x86_64/cpu.h"
#include "base/errno.h"
#include "base/string.h"

#define XSTATE_HEADER_OFF 512
#define XSTATE_SIZE_MAX 4096 /* of an area in the standard form, without tiles */
#define XSTATE_LEGACY 3ull /* x87 and SSE */
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
    enum { SUPPORTS_XFD = 4 };
    uint32_t r[4];
    xstate_mask = xgetbv0();
    xstate_size = XSTATE_HEADER_OFF + 64;
    for (uint32_t i = 2; i < 63; i++) {
        if (!(xstate_mask >> i & 1))
            continue;
        cpuid(0xd, i, r); /* EAX size, EBX offset in the standard form, ECX flags */
        if (r[2] & SUPPORTS_XFD)
            xstate_mask &= ~(1ull << i);
        else
            xstate_size = k_max(xstate_size, (size_t)r[1] + r[0]);
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

/* A frame of the host holds the components that its process may use, which can be fewer than XCR0
 * has: dynamically enabled ones (AMX) want permission first. XRSTOR may read the place of a
 * component although XSTATE_BV leaves it out, and behind the frame may be nothing. */
void arch_xstate_restore_host_frame(const void *area)
{
    /* struct _fpx_sw_bytes of the Linux ABI, in the legacy area's unused bytes */
    const struct {
        uint32_t magic1, extended_size;
        uint64_t xfeatures;
    } *sw = (const void *)((const char *)area + 464);
    uint64_t mask = xstate_mask & (sw->magic1 == 0x46505853 ? sw->xfeatures : XSTATE_LEGACY);
    uint32_t lo = (uint32_t)mask, hi = (uint32_t)(mask >> 32);
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
        /* XRSTOR touches the end of an area also where no component is in it. */
        uint8_t rest[XSTATE_SIZE_MAX - XSTATE_HEADER_OFF - 64];
    } __attribute__((aligned(64))) fresh = {
        .legacy = {[0] = 0x7f, [1] = 0x03, [24] = MXCSR_DEFAULT & 0xff, [25] = MXCSR_DEFAULT >> 8}};
    /* XSTATE_BV of zero: every component takes its initial value; MXCSR is loaded all the same. */
    arch_xstate_restore(&fresh);
}
