/* SPDX-License-Identifier: Apache-2.0 */
/* Linux x86-64 numbers of the calls that the process HAL makes of its host. */
#ifndef CELLA_HAL_PROCESS_HOST_LINUX_H
#define CELLA_HAL_PROCESS_HOST_LINUX_H

enum {
    HOST_write = 1,
    HOST_mmap = 9,
    HOST_mprotect = 10,
    HOST_munmap = 11,
    HOST_rt_sigaction = 13,
    HOST_rt_sigprocmask = 14,
    HOST_rt_sigreturn = 15,
    HOST_pwrite64 = 18,
    HOST_sched_yield = 24,
    HOST_mremap = 25,
    HOST_mincore = 27,
    HOST_madvise = 28,
    HOST_getpid = 39,
    HOST_clone = 56,
    HOST_exit = 60,
    HOST_sigaltstack = 131,
    HOST_prctl = 157,
    HOST_arch_prctl = 158,
    HOST_gettid = 186,
    HOST_futex = 202,
    HOST_sched_setaffinity = 203,
    HOST_sched_getaffinity = 204,
    HOST_timer_create = 222,
    HOST_timer_settime = 223,
    HOST_exit_group = 231,
    HOST_tgkill = 234,
    HOST_seccomp = 317,
    HOST_membarrier = 324,
    HOST_landlock_create_ruleset = 444,
    HOST_landlock_restrict_self = 446,
};

enum { H_PROT_READ = 1, H_PROT_WRITE = 2, H_PROT_EXEC = 4 };
enum {
    H_MAP_SHARED = 1,
    H_MAP_PRIVATE = 2,
    H_MAP_FIXED = 0x10,
    H_MAP_ANONYMOUS = 0x20,
    H_MAP_NORESERVE = 0x4000
};
enum { H_MREMAP_MAYMOVE = 1, H_MREMAP_FIXED = 2 };
enum { H_MADV_DONTNEED = 4, H_MADV_FREE = 8, H_MADV_REMOVE = 9, H_MADV_DONTDUMP = 16 };
enum { H_FUTEX_WAIT = 0, H_FUTEX_WAKE = 1 };
enum {
    H_SIGILL = 4,
    H_SIGTRAP = 5,
    H_SIGBUS = 7,
    H_SIGFPE = 8,
    H_SIGSEGV = 11,
    H_SIGCHLD = 17,
    H_SIGSYS = 31,
    H_SIGTICK = 34,
    H_SIGKICK = 35
};
#define H_SA_SIGINFO 4ul
#define H_SA_NOCLDWAIT 2ul
#define H_SA_RESTORER 0x04000000ul
#define H_SA_ONSTACK 0x08000000ul
#define H_SA_NODEFER 0x40000000ul
#define H_CLONE_VM 0x100u
#define H_CLONE_FS 0x200u
#define H_CLONE_FILES 0x400u
#define H_CLONE_SIGHAND 0x800u
#define H_CLONE_THREAD 0x10000u
#define H_CLONE_SYSVSEM 0x40000u
#define H_CLONE_PARENT_SETTID 0x100000u
#define CLONE_FLAGS_CARRIER                                                                        \
    (H_CLONE_VM | H_CLONE_FS | H_CLONE_FILES | H_CLONE_SIGHAND | H_CLONE_THREAD |                  \
     H_CLONE_SYSVSEM | H_CLONE_PARENT_SETTID)
#define CLONE_FLAGS_PROCESS (H_CLONE_FS | H_CLONE_FILES | (unsigned)H_SIGCHLD)

#define H_CLOCK_THREAD_CPUTIME_ID 3
#define H_SIGEV_THREAD_ID 4

struct h_timespec {
    int64_t sec, nsec;
};
struct h_itimerspec {
    struct h_timespec interval, value;
};
struct h_sigevent {
    uint64_t value;
    int32_t signo, notify, tid;
    int32_t pad[11];
};
struct h_stack {
    void *sp;
    int32_t flags;
    uint64_t size;
};
struct h_sigaction {
    void (*handler)(int, void *, void *);
    uint64_t flags;
    void (*restorer)(void);
    uint64_t mask;
};
/* struct sigcontext of x86-64, as laid out in the signal frame's ucontext. */
struct h_ucontext {
    uint64_t uc_flags, uc_link;
    struct h_stack stack;
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip,
        rflags;
    uint16_t cs, gs, fs, ss;
    uint64_t err, trapno, oldmask, cr2;
    void *fpstate;
    uint64_t reserved[8];
    uint64_t sigmask;
};
/* Head of the host's siginfo: what SIGSYS and faults carry. */
struct h_siginfo {
    int32_t signo, err, code, pad;
    uint64_t addr; /* faults: address; SIGSYS: after the SYSCALL instruction */
    int32_t syscall;
    uint32_t arch;
};

#endif
