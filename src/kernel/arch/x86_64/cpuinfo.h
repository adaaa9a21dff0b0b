/* SPDX-License-Identifier: Apache-2.0 */
/* What CPUID says of the processor, for /proc/cpuinfo and /sys. */
#ifndef CELLA_KERNEL_ARCH_CPUINFO_H
#define CELLA_KERNEL_ARCH_CPUINFO_H

#include "base/types.h"

struct text;

enum cpu_cache_type { CPU_CACHE_DATA = 1, CPU_CACHE_INSTRUCTION = 2, CPU_CACHE_UNIFIED = 3 };

struct cpu_cache {
    uint32_t level;
    enum cpu_cache_type type;
    uint32_t size_bytes, line_bytes, ways, sets;
    bool shared; /* by all CPUs, else by none */
};

/* The cache of that index as leaf 4 (0x8000001d) lists them; false: there is none. */
bool cpu_cache_get(unsigned index, struct cpu_cache *c);
/* Appends the text of /proc/cpuinfo for CPUs 0 to nr - 1, each a core of its own in one package. */
void cpuinfo_show(struct text *t, unsigned nr);

#endif
