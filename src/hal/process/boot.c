/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start of the process keep: the launcher has exec'ed the runtime with descriptor 3 (kernel memory)
 * and 4 (host window) and nothing else.
 */
#include "base/kmalloc.h"
#include "base/printk.h"
#include "host_linux.h"
#include "proc/cpus.h"
#include "proc/task.h"
#include "process.h"

unsigned hal_cpus;
bool hal_can_signal;

static char boot_idle_stack[KSTACK_SIZE] __attribute__((aligned(4096)));
static uint64_t cpu_mask[HAL_MAX_CPUS / 64];

static __noreturn void boot_fail(void)
{
    HOST1(HOST_exit_group, 125);
    __builtin_unreachable();
}

static void map_or_fail(uint64_t addr, uint64_t len, int prot, int flags, int fd, uint64_t off)
{
    if (HOST6(HOST_mmap, addr, len, prot, flags | H_MAP_FIXED, fd, off) < 0)
        boot_fail();
}

static void boot_cpu0(void *arg)
{
    (void)arg;
    kernel_main();
}

/* Carrier i stays on the i-th allowed host CPU when there is one for each: the host then never
 * finds two CPUs of the keep on one of its own, and a hand-over stays local. */
void carrier_pin(unsigned cpu)
{
    unsigned allowed = 0;
    for (unsigned b = 0; b < HAL_MAX_CPUS; b++)
        allowed += cpu_mask[b / 64] >> (b % 64) & 1;
    if (allowed != hal_cpus)
        return;
    for (unsigned b = 0, n = 0; b < HAL_MAX_CPUS; b++) {
        if (!(cpu_mask[b / 64] >> (b % 64) & 1) || n++ != cpu)
            continue;
        uint64_t one[HAL_MAX_CPUS / 64] = {0};
        one[b / 64] = 1ull << (b % 64);
        HOST3(HOST_sched_setaffinity, 0, sizeof(one), one);
    }
}

/* A fork copies the page tables of private mappings only where one page was ever written. So write
 * one: children then find the runtime's text mapped instead of faulting it in anew, 16 pages at a
 * time. */
static void share_text_pages(void)
{
    uint64_t begin = (uint64_t)runtime_text_begin,
             len = (uint64_t)(runtime_data_begin - runtime_text_begin);
    volatile uint8_t *last = (volatile uint8_t *)(begin + len - 1);
    if (HOST3(HOST_mprotect, begin, len, H_PROT_READ | H_PROT_WRITE | H_PROT_EXEC) < 0)
        return;
    uint8_t byte = *last;
    *last = byte;
    HOST3(HOST_mprotect, begin, len, H_PROT_READ | H_PROT_EXEC);
}

void runtime_boot(void)
{
    /* Own data become shared memory: write them into the memfd, then map that over them. The .bss
     * is zeros there as here. */
    uint64_t begin = (uint64_t)runtime_data_begin,
             len = (uint64_t)(runtime_data_end - runtime_data_begin);
    if (len > WINDOW_FILE_OFF)
        boot_fail();
    uint64_t initialized = (uint64_t)(runtime_bss_begin - runtime_data_begin);
    for (uint64_t done = 0; done < initialized;) {
        long n = HOST4(HOST_pwrite64, KMEM_FD, begin + done, initialized - done, done);
        if (n <= 0)
            boot_fail();
        done += (uint64_t)n;
    }
    map_or_fail(begin, len, H_PROT_READ | H_PROT_WRITE, H_MAP_SHARED, KMEM_FD, 0);
    map_or_fail(KMEM_BASE, KMEM_WINDOW_SIZE, H_PROT_READ | H_PROT_WRITE | H_PROT_EXEC,
                H_MAP_SHARED | H_MAP_NORESERVE, KMEM_FD, WINDOW_FILE_OFF);
    void *base;
    size_t size;
    hal_host_window(&base, &size);
    map_or_fail((uint64_t)base, size, H_PROT_READ | H_PROT_WRITE, H_MAP_SHARED, HOST_FD, 0);

    share_text_pages();

    struct cella_boot_header *boot = (struct cella_boot_header *)host_window()->boot;
    hal_cpus = boot->nr_cpus;
    if (hal_cpus < 1 || hal_cpus > HAL_MAX_CPUS)
        boot_fail();
    map_or_fail(CARRIER_BASE, hal_cpus * CARRIER_AREA, H_PROT_READ | H_PROT_WRITE,
                H_MAP_PRIVATE | H_MAP_ANONYMOUS, -1, 0);
    int32_t pid = (int32_t)HOST0(HOST_getpid);
    hal_can_signal = pid == 1;
    HOST3(HOST_sched_getaffinity, 0, sizeof(cpu_mask), cpu_mask);

    nr_cpus = hal_cpus;
    sched_init_cpu(0, boot_idle_stack);
    __asm__ volatile("wrgsbase %0" ::"r"(&cpus[0]));
    kmem_init((void *)(KMEM_BASE + KMEM_RESERVED), KMEM_WINDOW_SIZE - KMEM_RESERVED);
    for (unsigned i = 1; i < hal_cpus; i++) {
        void *stack = kpages_alloc(KSTACK_SIZE / PAGE_SIZE);
        if (!stack)
            boot_fail();
        sched_init_cpu(i, stack);
    }
    signals_init();
    signals_thread_init(0);
    as0 = as_alloc();
    if (!as0)
        boot_fail();
    as0->pid = pid;
    as0->users = 1;
    struct carrier *c = &as0->carrier[0];
    c->tid = (int32_t)HOST0(HOST_gettid);
    cpus[0].hal_private = c;
    cpus[0].as = as0;
    carrier_pin(0);
    wall_raise();
    carrier_arm_timer(c);
    arch_jump_on_stack(NULL, boot_cpu0, boot_idle_stack + KSTACK_SIZE);
}
