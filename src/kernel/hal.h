/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seam between the kernel and the layer that knows which TEE it is in. The kernel calls these
 * functions and nothing else; the HAL calls the upcalls at the end. Five groups: memory, cpu, time,
 * host, tee.
 *
 * Addresses: the kernel has one window of memory, mapped at the same address in every address space
 * of the keep. The workload's memory is private per address space; hal_as_* act on the address
 * space that is current on the calling CPU, but where an address space is named.
 *
 * Contract for all: callable from kernel context only; errors are negative errno; none blocks
 * longer than a host call.
 */
#ifndef CELLA_KERNEL_HAL_H
#define CELLA_KERNEL_HAL_H

#include "base/types.h"

#define HAL_MAX_CPUS 64

/* An address space. Opaque; owned by the HAL between hal_as_create/fork and hal_as_destroy. */
struct hal_as;

/* Where a suspended kernel stack continues. Written by hal_switch. */
struct hal_context {
    uint64_t rsp;
};

enum { HAL_PROT_NONE = 0, HAL_PROT_READ = 1, HAL_PROT_WRITE = 2, HAL_PROT_EXEC = 4 };

/* ---- memory ---- */

/* The kernel's window: `*base` page aligned, `*size` bytes, zero at first touch. */
void hal_kmem_window(void **base, size_t *size);
/* Gives the pages of a range of the window back; they read as zeros afterwards. */
void hal_kmem_discard(void *addr, size_t len);
/* Bytes of memory that the keep holds at the host now, kernel and workload together; may be some ms
 * old. */
uint64_t hal_mem_used(void);

/* A new address space without workload memory, or NULL. */
struct hal_as *hal_as_create(void);
/* A copy-on-write copy of the current address space, or NULL. Shared mappings of the window stay
 * shared. */
struct hal_as *hal_as_fork(void);
/* Ends an address space. It may be the current one of idle CPUs; no thread runs in it any more. */
void hal_as_destroy(struct hal_as *as);
/* All of these act on the current address space; addr and len are page aligned and inside the user
 * range. They replace what was mapped there. prot is HAL_PROT_*. 0 or -ENOMEM. */
int hal_as_map_anon(uaddr_t addr, size_t len, int prot);
/* Maps `kaddr` of the kernel's window at addr; private: copy-on-write. */
int hal_as_map_kmem(uaddr_t addr, size_t len, int prot, void *kaddr, bool is_private);
int hal_as_protect(uaddr_t addr, size_t len, int prot);
int hal_as_unmap(uaddr_t addr, size_t len);
/* Anonymous and private pages of the range read as zeros (or as the window's contents) afterwards.
 * lazy: may be deferred until memory is short (MADV_FREE). */
int hal_as_discard(uaddr_t addr, size_t len, bool lazy);
/* Moves mapped pages (mremap); new_addr is free, or was just unmapped. A grown tail of an anonymous
 * mapping is zero. */
int hal_as_move(uaddr_t old_addr, size_t old_len, uaddr_t new_addr, size_t new_len);
/* vec[i] bit 0: page i is resident. */
int hal_as_resident(uaddr_t addr, size_t len, uint8_t *vec);
/* May `cpu` run threads of `as` now? When not, starts what is needed and kicks `cpu` when done. */
bool hal_as_ready(struct hal_as *as, unsigned cpu);

/* ---- cpu ---- */

unsigned hal_nr_cpus(void);
/* Starts the other CPUs; each calls kernel_cpu_main(cpu) on its idle stack. */
int hal_cpus_start(void);
/* Leaves the running context into *prev and continues *next in address space `as` (NULL: keep the
 * current one). Returns when somebody switches back to *prev; then possibly on another CPU. */
void hal_switch(struct hal_context *prev, struct hal_context *next, struct hal_as *as);
/* Makes another CPU enter the kernel soon: out of idle, or out of the workload. */
void hal_cpu_kick(unsigned cpu);
/* Sleeps until kicked, until an event from the host, or until `deadline` (CLOCK_MONOTONIC ns). May
 * return early. */
void hal_cpu_idle(ktime_t deadline);
/* Lets the host run something else for a moment (a contended lock). */
void hal_cpu_yield(void);
/* After return every CPU executes the code bytes written before the call. */
void hal_sync_cores(void);

/* ---- time ---- */

/* The TSC and the wall clock: mono = mono_base + ((tsc - tsc_base) * mult >> shift). Filled from
 * the host's words and checked; called at boot and from ticks. real_offset_ns: wall clock = mono +
 * real_offset_ns (untrusted). */
struct hal_clock {
    uint64_t tsc_base, mono_base_ns, real_offset_ns;
    uint32_t mult, shift;
};
void hal_clock_read(struct hal_clock *clock);
/* For hal_clock_read: can these words of the host be a clock, now that the TSC says `tsc`? */
bool hal_clock_plausible(const struct hal_clock *clock, uint64_t tsc);

/* ---- host ---- */

/* The memory shared with the host: laid out as include/cella/host_abi.h says. Untrusted. */
void hal_host_window(void **base, size_t *size);
/* Tells the host that requests are in the ring. */
void hal_host_notify(void);
/* Ends the keep; status as for exit(2). */
void hal_exit(int status) __attribute__((noreturn));
/* A message that must get out even when nothing else works. */
void hal_emergency_write(const char *text, size_t len);

/* ---- tee ---- */

/* Fills with hardware randomness (RDSEED, RDRAND). 0, or -EIO when the hardware gives none. */
int hal_random(void *buf, size_t len);
const char *hal_tee_name(void);
/* TEE evidence over 64 bytes; size in *len. -EOPNOTSUPP where there is none. */
int hal_evidence(const uint8_t report_data[64], void *buf, size_t *len);

/* ---- upcalls: implemented by the kernel, called by the HAL on a thread's kernel stack ---- */

struct regs;

struct hal_fault {
    uint32_t trap_nr; /* x86 vector: 14 #PF, 13 #GP, 0 #DE, 6 #UD, 3 #BP, 1 #DB, 16 #MF, 17 #AC, 19
                         #XM */
    uint32_t error_code; /* as pushed by the CPU */
    uint64_t address;    /* #PF: CR2 */
};

/* Boot: on the idle stack of CPU 0, once. Does not return. */
void kernel_main(void) __attribute__((noreturn));
/* Idle loop of a CPU; on its idle stack. Does not return. */
void kernel_cpu_main(unsigned cpu) __attribute__((noreturn));
/* A system call by the workload; regs is the caller's state, changed in place. `trapped`: not
 * through a patched site. */
void kernel_syscall(struct regs *regs, bool trapped);
/* A fault or exception of the workload. */
void kernel_fault(struct regs *regs, const struct hal_fault *fault);
/* Time slice check: the workload was interrupted by a tick or by a kick. */
void kernel_tick(struct regs *regs);
/* A fault of kernel code: the fixup address to continue at, or 0 when there is none (then it is a
 * bug). */
uint64_t kernel_fault_fixup(uint64_t rip);

#endif
