/* SPDX-License-Identifier: Apache-2.0 */
/* Between the hosted half of the mock HAL (mock.c, host headers) and its kernel half
 * (mock_kernel.c, kernel headers). */
#ifndef CELLA_HAL_MOCK_KERNEL_H
#define CELLA_HAL_MOCK_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Below are the test program and the sanitizer's memory: nothing of that is given to the workload,
 * whatever it asks for. */
#define MOCK_FIRST_USER_ADDR 0x650000000000ull

struct hal_context {
    uint64_t rsp;
};
struct hal_clock {
    uint64_t tsc_base, mono_base_ns, real_offset_ns;
    uint32_t mult, shift;
};

void arch_switch_stacks(struct hal_context *prev, struct hal_context *next);
uint64_t kernel_fault_fixup(uint64_t rip);
void mock_kernel_boot(void *window);
/* Stack of the thread whose context that is; *bottom NULL: the test program's own. */
void mock_stack_of(struct hal_context *c, const void **bottom, size_t *size);
uint64_t mock_kernel_heap(void);
size_t mock_window_size(void);
void mock_serve_ring(void *window, int (*serve)(uint32_t slot));
/* Sets the kernel's clock on to that time (ns). */
void mock_time_passes_until(uint64_t mono_ns);
/* First thing on a new stack. */
void mock_first_switch(void);

#endif
