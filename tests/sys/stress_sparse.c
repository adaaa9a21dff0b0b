/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stress: a 4 GiB mapping of which every 16 MiB one byte is touched. It must cost about what is
 * touched; the program checks the growth of its resident size.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define MAPPING_BYTES (4ul << 30)
#define STEP_BYTES (16ul << 20)

enum { MAX_GROWTH_KIB = 64 * 1024 };

static long resident_kib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

int main(void)
{
    unsigned char *at = mmap(NULL, MAPPING_BYTES, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    unsigned long nr_touched = 0, nr_right = 0, nr_zero = 0;
    if (at == MAP_FAILED) {
        printf("not ok sparse: mmap: %s\n", strerror(errno));
        return 1;
    }
    /* One huge page a touch would be 512 MiB: allowed to Linux, but not what is tested here. */
    madvise(at, MAPPING_BYTES, MADV_NOHUGEPAGE);
    long before = resident_kib();
    for (unsigned long i = 0; i < MAPPING_BYTES; i += STEP_BYTES, nr_touched++)
        at[i + nr_touched] = (unsigned char)(nr_touched + 1);
    for (unsigned long i = 0, n = 0; i < MAPPING_BYTES; i += STEP_BYTES, n++) {
        nr_right += at[i + n] == (unsigned char)(n + 1);
        nr_zero += at[i + n + 1] == 0;
    }
    long growth = resident_kib() - before;
    printf("touched: %lu\n", nr_touched);
    printf("right: %lu\n", nr_right);
    printf("neighbours zero: %lu\n", nr_zero);
    printf("memory grew by what was touched: %s\n", growth <= MAX_GROWTH_KIB ? "yes" : "no");
    printf("unmapped: %s\n", munmap(at, MAPPING_BYTES) == 0 ? "yes" : "no");
    return nr_right == nr_touched && nr_zero == nr_touched && growth <= MAX_GROWTH_KIB ? 0 : 1;
}
