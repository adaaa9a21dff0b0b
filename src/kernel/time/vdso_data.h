/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clock parameters as the vDSO and the kernel read them: one page of the kernel's window at
 * VDSO_DATA_ADDR, readable by the workload (same privilege level). A sequence lock: `seq` is odd
 * while the kernel writes.
 *
 *     ns = mono_base_ns + ((tsc - tsc_base) * mult >> shift)          CLOCK_MONOTONIC, BOOTTIME,
 * MONOTONIC_RAW ns + real_offset_ns                                             CLOCK_REALTIME
 */
#ifndef CELLA_KERNEL_TIME_VDSO_DATA_H
#define CELLA_KERNEL_TIME_VDSO_DATA_H

#include <stdint.h>

/* First page of the kernel's window (the HALs keep it out of the allocators). */
#ifndef VDSO_DATA_ADDR
#define VDSO_DATA_ADDR 0x700000000000ull
#endif

struct vdso_data {
    uint32_t seq;
    uint32_t shift;
    uint64_t tsc_base, mono_base_ns, real_offset_ns;
    uint32_t mult, pad;
};

#endif
