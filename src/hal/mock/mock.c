/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "mock.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "mock_kernel.h"

#define WINDOW_SIZE (1ull << 40)
#define WINDOW_ADDR ((void *)0x700000000000ull)

#if defined(__SANITIZE_ADDRESS__)
void __sanitizer_start_switch_fiber(void **fake, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *fake, const void **bottom, size_t *size);
#else
static void __sanitizer_start_switch_fiber(void **fake, const void *bottom, size_t size)
{
    (void)fake, (void)bottom, (void)size;
}
static void __sanitizer_finish_switch_fiber(void *fake, const void **bottom, size_t *size)
{
    (void)fake, (void)bottom, (void)size;
}
#endif

int (*mock_host)(uint32_t slot);
void (*mock_host_idle)(void);
void (*mock_stuck)(void);
void (*mock_ended)(int status);
static int kmem_fd = -1;
static void *host_base;
static const void *main_bottom;
static size_t main_size;
static int idle_wakeups;
static struct sigaction sanitizer_action[2]; /* SIGSEGV, SIGBUS */

static void die(const char *what)
{
    fprintf(stderr, "mock HAL: %s\n", what);
    abort();
}

/* ---- memory ---- */

void hal_kmem_window(void **base, size_t *size)
{
    *base = WINDOW_ADDR;
    *size = WINDOW_SIZE;
}

void hal_kmem_discard(void *addr, size_t len)
{
    if (len)
        madvise(addr, len, MADV_REMOVE);
}

uint64_t hal_mem_used(void)
{
    return mock_kernel_heap();
}

struct hal_as {
    int unused;
};
static struct hal_as only_as;

struct hal_as *hal_as_create(void)
{
    return &only_as;
}
struct hal_as *hal_as_fork(void)
{
    return NULL; /* one address space */
}
void hal_as_destroy(struct hal_as *as)
{
    (void)as;
}
int hal_as_map_anon(uint64_t addr, size_t len, int prot)
{
    if (addr < MOCK_FIRST_USER_ADDR)
        return -12;
    return mmap((void *)addr, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE,
                -1, 0) == MAP_FAILED
               ? -12
               : 0;
}
int hal_as_map_kmem(uint64_t addr, size_t len, int prot, void *kaddr, bool is_private)
{
    if (addr < MOCK_FIRST_USER_ADDR)
        return -12;
    off_t off = (char *)kaddr - (char *)WINDOW_ADDR;
    return mmap((void *)addr, len, prot, (is_private ? MAP_PRIVATE : MAP_SHARED) | MAP_FIXED,
                kmem_fd, off) == MAP_FAILED
               ? -12
               : 0;
}
int hal_as_protect(uint64_t addr, size_t len, int prot)
{
    return addr < MOCK_FIRST_USER_ADDR || mprotect((void *)addr, len, prot) ? -12 : 0;
}
int hal_as_unmap(uint64_t addr, size_t len)
{
    uint64_t end = addr + len;
    if (end <= MOCK_FIRST_USER_ADDR)
        return 0;
    if (addr < MOCK_FIRST_USER_ADDR)
        addr = MOCK_FIRST_USER_ADDR;
    return munmap((void *)addr, end - addr) ? -12 : 0;
}
int hal_as_discard(uint64_t addr, size_t len, bool lazy)
{
    return addr < MOCK_FIRST_USER_ADDR ||
                   madvise((void *)addr, len, lazy ? MADV_FREE : MADV_DONTNEED)
               ? -22
               : 0;
}
int hal_as_move(uint64_t old_addr, size_t old_len, uint64_t new_addr, size_t new_len)
{
    if (old_addr < MOCK_FIRST_USER_ADDR || new_addr < MOCK_FIRST_USER_ADDR)
        return -12;
    int flags = old_addr == new_addr ? 0 : MREMAP_MAYMOVE | MREMAP_FIXED;
    return mremap((void *)old_addr, old_len, new_len, flags, (void *)new_addr) == MAP_FAILED ? -12
                                                                                             : 0;
}
int hal_as_resident(uint64_t addr, size_t len, uint8_t *vec)
{
    return mincore((void *)addr, len, vec) ? -12 : 0;
}
void mock_drop_user_memory(void)
{
    munmap((void *)MOCK_FIRST_USER_ADDR, (uint64_t)WINDOW_ADDR - MOCK_FIRST_USER_ADDR);
}
bool hal_as_ready(struct hal_as *as, unsigned cpu)
{
    (void)as, (void)cpu;
    return true;
}

/* ---- cpu ---- */

unsigned hal_nr_cpus(void)
{
    return 1;
}
int hal_cpus_start(void)
{
    return 0;
}

void hal_switch(struct hal_context *prev, struct hal_context *next, struct hal_as *as)
{
    (void)as;
    if (prev == next)
        return;
    idle_wakeups = 0;
    const void *bottom;
    size_t size;
    mock_stack_of(next, &bottom, &size);
    if (!bottom)
        bottom = main_bottom, size = main_size;
    void *fake;
    __sanitizer_start_switch_fiber(&fake, bottom, size);
    arch_switch_stacks(prev, next);
    const void *from;
    size_t from_size;
    __sanitizer_finish_switch_fiber(fake, &from, &from_size);
}

/* sched_thread_start, the first C code of a thread, comes by here (the linker's --wrap). */
void __real_sched_thread_start(void);
void __wrap_sched_thread_start(void);
void __wrap_sched_thread_start(void)
{
    mock_first_switch();
    __real_sched_thread_start();
}

void mock_first_switch(void)
{
    const void *from;
    size_t size;
    __sanitizer_finish_switch_fiber(NULL, &from, &size);
    if (!main_bottom)
        main_bottom = from, main_size = size;
}

void hal_cpu_kick(unsigned cpu)
{
    (void)cpu;
}

/* Time passes when there is nothing else to do: at once up to the next timer. So tests do not
 * depend on the machine's speed. */
void hal_cpu_idle(uint64_t deadline)
{
    static unsigned times;
    if (mock_host_idle && (deadline == UINT64_MAX || ++times % 64 == 0))
        mock_host_idle();
    if (deadline != UINT64_MAX) {
        idle_wakeups = 0;
        mock_time_passes_until(deadline);
        return;
    }
    if (++idle_wakeups < 10)
        return;
    if (mock_stuck)
        mock_stuck();
    die("all threads sleep and nothing will wake them");
}

void hal_cpu_yield(void)
{
}
void hal_sync_cores(void)
{
}

/* ---- time, host, tee ---- */

static uint64_t host_ns(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* A clock that stands still (mult 0) until it is set on. */
void hal_clock_read(struct hal_clock *clock)
{
    static struct hal_clock c;
    if (!c.mono_base_ns) {
        uint64_t mono = host_ns(CLOCK_MONOTONIC);
        c = (struct hal_clock){
            .mono_base_ns = mono, .real_offset_ns = host_ns(CLOCK_REALTIME) - mono, .shift = 24};
    }
    *clock = c;
}

void hal_host_window(void **base, size_t *size)
{
    *base = host_base;
    *size = mock_window_size();
}
void hal_host_notify(void)
{
    mock_serve_ring(host_base, mock_host);
}
void hal_exit(int status)
{
    fprintf(stderr, "mock HAL: the kernel ended the keep with status %d\n", status);
    if (mock_ended)
        mock_ended(status);
    abort();
}
void hal_emergency_write(const char *text, size_t len)
{
    fwrite(text, 1, len, stderr);
}
int hal_random(void *buf, size_t len)
{
    return getrandom(buf, len, 0) == (ssize_t)len ? 0 : -5;
}
const char *hal_tee_name(void)
{
    return "mock";
}
int hal_evidence(const uint8_t report_data[64], void *buf, size_t *len)
{
    (void)report_data, (void)buf, (void)len;
    return -95;
}

static void on_fault(int sig, siginfo_t *info, void *uc_ptr)
{
    ucontext_t *uc = uc_ptr;
    uint64_t to = kernel_fault_fixup((uint64_t)uc->uc_mcontext.gregs[REG_RIP]);
    if (!to) {
        const struct sigaction *old = &sanitizer_action[sig == SIGBUS];
        if ((old->sa_flags & SA_SIGINFO) && old->sa_sigaction)
            old->sa_sigaction(sig, info, uc_ptr); /* reports, and ends the program */
        fprintf(stderr, "mock HAL: signal %d at %p rip %llx\n", sig, info->si_addr,
                (unsigned long long)uc->uc_mcontext.gregs[REG_RIP]);
        abort();
    }
    uc->uc_mcontext.gregs[REG_RIP] = (greg_t)to;
}

void mock_boot(void)
{
    kmem_fd = memfd_create("mock-kmem", 0);
    if (kmem_fd < 0 || ftruncate(kmem_fd, (off_t)WINDOW_SIZE) ||
        mmap(WINDOW_ADDR, WINDOW_SIZE, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_FIXED | MAP_NORESERVE, kmem_fd, 0) == MAP_FAILED)
        die("no kernel window");
    host_base =
        mmap(NULL, mock_window_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    static char stack[262144];
    stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack)};
    sigaltstack(&ss, NULL);
    struct sigaction sa = {.sa_sigaction = on_fault,
                           .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    sigaction(SIGSEGV, &sa, &sanitizer_action[0]);
    sigaction(SIGBUS, &sa, &sanitizer_action[1]);
    mock_kernel_boot(host_base);
}
