/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a handler sees and what it leaves: the saved registers, the vector and floating-point state,
 * the alternate stack, the siginfo of faults, and rt_sigreturn.
 */
#include "cella_proc.h"

#include <cpuid.h>
#include <ucontext.h>
#include <xmmintrin.h>

/* Overwrites every vector register, the x87 stack and both control words. */
static void ruin_vectors(void)
{
    static struct vectors noise, ignored;
    vectors_fill(&noise, 99);
    vectors_call(&noise, &ignored, SYS_getpid, 0, 0, 0);
    _mm_setcsr(0x7f80);
    unsigned short control = 0x0f7f;
    __asm__ volatile("fninit\n\tfldpi\n\tfldcw %0" : : "m"(control));
}

static volatile sig_atomic_t nr_handled;
static volatile unsigned handler_mxcsr;
static volatile unsigned short handler_control;

static void ruin_in_handler(int sig, siginfo_t *info, void *context)
{
    unsigned short control;
    (void)sig;
    (void)info;
    (void)context;
    __asm__ volatile("fnstcw %0" : "=m"(control));
    handler_control = control;
    handler_mxcsr = _mm_getcsr();
    ruin_vectors();
    nr_handled = nr_handled + 1;
}

TEST(rt_sigreturn, success, "vector registers survive a handler that came in a system call")
{
    static struct vectors in, out;
    set_handler(SIGUSR1, ruin_in_handler, 0);
    for (unsigned round = 0; round < 10; round++) {
        vectors_fill(&in, round);
        CHECK_EQ(vectors_call(&in, &out, SYS_kill, getpid(), SIGUSR1, 0), 0);
        CHECK(vectors_equal(&in, &out));
    }
    CHECK_EQ(nr_handled, 10);
}

static volatile int leave_loop;

static void leave_after_three(int nth)
{
    ruin_vectors();
    if (nth >= 3)
        leave_loop = 1;
}

/* Loops until leave_loop is set, with the registers loaded all the while. */
static void spin_with_vectors(const struct vectors *in, struct vectors *out)
{
    long ret = 0;
    VECTORS_RUN("2: cmpl $0, %[flag]\n\tje 2b\n\t", ret, in, out, [flag] "m"(leave_loop))
}

TEST(rt_sigreturn, success, "vector registers survive handlers that came between instructions")
{
    static struct vectors in, out;
    vectors_fill(&in, 7);
    leave_loop = 0;
    cella_ticks_start(10, 0, leave_after_three);
    spin_with_vectors(&in, &out);
    cella_ticks_stop();
    CHECK(cella_ticks >= 3);
    CHECK(vectors_equal(&in, &out));
}

static void skip_ud2(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    (void)sig;
    (void)info;
    ruin_vectors();
    nr_handled = nr_handled + 1;
    uc->uc_mcontext.gregs[REG_RIP] += 2;
}

TEST(rt_sigreturn, success, "vector registers survive a handler that came by a fault")
{
    static struct vectors in, out;
    long ret = 0;
    vectors_fill(&in, 8);
    set_handler(SIGILL, skip_ud2, 0);
    VECTORS_RUN("ud2\n\t", ret, &in, &out)
    CHECK_EQ(nr_handled, 1);
    CHECK(vectors_equal(&in, &out));
}

TEST(rt_sigreturn, success, "a handler starts with the standard control words; ours come back")
{
    unsigned short control = 0x0e7f;
    set_handler(SIGUSR1, ruin_in_handler, 0);
    _mm_setcsr(0x3f80);
    __asm__ volatile("fldcw %0" : : "m"(control));
    kill(getpid(), SIGUSR1);
    control = 0;
    __asm__ volatile("fnstcw %0" : "=m"(control));
    unsigned mxcsr = _mm_getcsr();
    CHECK_EQ(nr_handled, 1);
    CHECK_EQ(handler_mxcsr, 0x1f80);
    CHECK_EQ(handler_control, 0x037f);
    CHECK_EQ(mxcsr, 0x3f80);
    CHECK_EQ(control, 0x0e7f);
}

static void change_xmm(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    (void)sig;
    (void)info;
    if (uc->uc_mcontext.fpregs) {
        memset(&uc->uc_mcontext.fpregs->_xmm[5], 0x77, 16);
        uc->uc_mcontext.fpregs->mxcsr = 0x5f80;
        nr_handled = nr_handled + 1;
    }
}

TEST(rt_sigreturn, success, "what a handler writes into the saved vector state takes effect")
{
    static struct vectors in, out;
    unsigned char wanted[16];
    memset(wanted, 0x77, sizeof(wanted));
    vectors_fill(&in, 3);
    set_handler(SIGUSR1, change_xmm, 0);
    CHECK_EQ(vectors_call(&in, &out, SYS_kill, getpid(), SIGUSR1, 0), 0);
    CHECK_EQ(nr_handled, 1);
    CHECK(!memcmp(out.reg[5], wanted, 16));
    CHECK(!memcmp(out.reg[4], in.reg[4], 16));
    CHECK_EQ(_mm_getcsr(), 0x5f80);
}

/* The registers of the interrupted code, by their numbers in gregs. */
static const int all_gregs[] = {REG_RAX, REG_RBX, REG_RCX, REG_RDX, REG_RSI, REG_RDI, REG_R8,
                                REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
enum { NR_GREGS = sizeof(all_gregs) / sizeof(all_gregs[0]) };
static volatile uint64_t seen_gregs[NR_GREGS];

static void note_and_change_gregs(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    (void)sig;
    (void)info;
    for (int i = 0; i < NR_GREGS; i++) {
        seen_gregs[i] = (uint64_t)uc->uc_mcontext.gregs[all_gregs[i]];
        uc->uc_mcontext.gregs[all_gregs[i]] = (long long)(0x2000 + (uint64_t)i);
    }
    uc->uc_mcontext.gregs[REG_EFL] |= 1; /* carry */
    uc->uc_mcontext.gregs[REG_RIP] += 2;
}

TEST(rt_sigreturn, success, "every general register is seen and can be changed")
{
    /* Static, because the stack pointer moves within the assembly. */
    static uint64_t after[NR_GREGS];
    static unsigned char carry;
    set_handler(SIGILL, note_and_change_gregs, 0);
    __asm__ volatile("push %%rbx\n\tpush %%rbp\n\t"
                     "mov $0x1000, %%eax\n\tmov $0x1001, %%ebx\n\tmov $0x1002, %%ecx\n\t"
                     "mov $0x1003, %%edx\n\tmov $0x1004, %%esi\n\tmov $0x1005, %%edi\n\t"
                     "mov $0x1006, %%r8d\n\tmov $0x1007, %%r9d\n\tmov $0x1008, %%r10d\n\t"
                     "mov $0x1009, %%r11d\n\tmov $0x100a, %%r12d\n\tmov $0x100b, %%r13d\n\t"
                     "mov $0x100c, %%r14d\n\tmov $0x100d, %%r15d\n\t"
                     "clc\n\tud2\n\t"
                     "mov %%rax, 0+%[after]\n\tmov %%rbx, 8+%[after]\n\t"
                     "mov %%rcx, 16+%[after]\n\tmov %%rdx, 24+%[after]\n\t"
                     "mov %%rsi, 32+%[after]\n\tmov %%rdi, 40+%[after]\n\t"
                     "mov %%r8, 48+%[after]\n\tmov %%r9, 56+%[after]\n\t"
                     "mov %%r10, 64+%[after]\n\tmov %%r11, 72+%[after]\n\t"
                     "mov %%r12, 80+%[after]\n\tmov %%r13, 88+%[after]\n\t"
                     "mov %%r14, 96+%[after]\n\tmov %%r15, 104+%[after]\n\t"
                     "setc %[carry]\n\t"
                     "pop %%rbp\n\tpop %%rbx"
                     : [after] "=m"(after), [carry] "=m"(carry)
                     :
                     : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
                       "r14", "r15", "memory", "cc");
    for (int i = 0; i < NR_GREGS; i++) {
        CHECK_EQ(seen_gregs[i], 0x1000 + i);
        CHECK_EQ(after[i], 0x2000 + i);
    }
    CHECK_EQ(carry, 1);
}

static void change_mask_in_frame(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    (void)sig;
    (void)info;
    nr_handled = sigismember(&uc->uc_sigmask, SIGHUP) && !sigismember(&uc->uc_sigmask, SIGUSR1);
    sigaddset(&uc->uc_sigmask, SIGUSR2);
    sigaddset(&uc->uc_sigmask, SIGKILL);
}

TEST(rt_sigreturn, success, "the mask in the frame is the one that returns, without SIGKILL")
{
    sigset_t mask;
    change_mask(SIG_BLOCK, SIGHUP);
    set_handler(SIGUSR1, change_mask_in_frame, 0);
    kill(getpid(), SIGUSR1);
    CHECK_EQ(nr_handled, 1);
    CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &mask));
    CHECK(sigismember(&mask, SIGUSR2) && sigismember(&mask, SIGHUP));
    CHECK(!sigismember(&mask, SIGKILL) && !sigismember(&mask, SIGUSR1));
}

TEST(rt_sigreturn, error, "a stack without a frame is SIGSEGV")
{
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        __asm__ volatile("mov %0, %%rsp\n\tmov $15, %%eax\n\tsyscall" : : "r"(bad_address()));
        _exit(0);
    }
    CHECK_EQ(wait_signal(pid), SIGSEGV);
}

static void ruin_return_address(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    (void)sig;
    (void)info;
    uc->uc_mcontext.gregs[REG_RIP] = (long long)0x8000000000000000;
}

TEST(rt_sigreturn, error, "a return address that is not canonical is SIGSEGV")
{
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        set_handler(SIGUSR1, ruin_return_address, 0);
        kill(getpid(), SIGUSR1);
        _exit(0);
    }
    CHECK_EQ(wait_signal(pid), SIGSEGV);
}

/* The 128 bytes below the stack pointer belong to the interrupted code. */
TEST(rt_sigreturn, limit, "the red zone is left alone")
{
    uint64_t low = 0, high = 0;
    set_handler(SIGUSR1, ruin_in_handler, 0);
    __asm__ volatile("sub $256, %%rsp\n\t"
                     "movq $0x1234, -128(%%rsp)\n\tmovq $0x5678, -8(%%rsp)\n\t"
                     "mov %[nr], %%eax\n\tsyscall\n\t"
                     "mov -128(%%rsp), %[low]\n\tmov -8(%%rsp), %[high]\n\t"
                     "add $256, %%rsp"
                     : [low] "=&r"(low), [high] "=&r"(high)
                     : [nr] "i"(SYS_kill), "D"((long)getpid()), "S"((long)SIGUSR1)
                     : "rax", "rcx", "r11", "memory", "cc");
    CHECK_EQ(nr_handled, 1);
    CHECK_EQ(low, 0x1234);
    CHECK_EQ(high, 0x5678);
}

static volatile uintptr_t handler_stack;

static void note_stack(int sig, siginfo_t *info, void *context)
{
    char here;
    (void)sig;
    (void)info;
    (void)context;
    handler_stack = (uintptr_t)&here;
    nr_handled = nr_handled + 1;
}

/* An independent check of alignment: movaps into a local faults if the ABI is not kept. */
static void use_aligned_local(int sig, siginfo_t *info, void *context)
{
    __m128 local;
    (void)sig;
    (void)info;
    (void)context;
    __asm__ volatile("movaps %%xmm0, %0" : "=m"(local));
    nr_handled = nr_handled + ((uintptr_t)&local % 16 == 0);
}

TEST(rt_sigreturn, limit, "the handler's stack is aligned, wherever the signal came")
{
    set_handler(SIGUSR1, use_aligned_local, 0);
    for (long shift = 0; shift < 16; shift++)
        __asm__ volatile("mov %%rsp, %%rbx\n\tsub %[shift], %%rsp\n\tsyscall\n\tmov %%rbx, %%rsp"
                         :
                         : "a"((long)SYS_kill), "D"((long)getpid()), "S"((long)SIGUSR1),
                           [shift] "d"(256 + shift)
                         : "rbx", "rcx", "r11", "memory", "cc");
    CHECK_EQ(nr_handled, 16);
}

static unsigned char alternate[65536] __attribute__((aligned(16)));

static long set_stack(void *at, size_t size, int flags, stack_t *old)
{
    stack_t set = {.ss_sp = at, .ss_size = size, .ss_flags = flags};
    return syscall(SYS_sigaltstack, &set, old);
}

static bool on_alternate(uintptr_t address)
{
    return address >= (uintptr_t)alternate && address < (uintptr_t)alternate + sizeof(alternate);
}

TEST(sigaltstack, success, "SA_ONSTACK handlers run on it, others do not")
{
    CHECK_EQ(set_stack(alternate, sizeof(alternate), 0, NULL), 0);
    set_handler(SIGUSR1, note_stack, SA_ONSTACK);
    set_handler(SIGUSR2, note_stack, 0);
    kill(getpid(), SIGUSR1);
    CHECK(on_alternate(handler_stack));
    kill(getpid(), SIGUSR2);
    CHECK(!on_alternate(handler_stack));
    CHECK_EQ(nr_handled, 2);
}

TEST(sigaltstack, success, "the old one comes back, and a fresh thread has none")
{
    stack_t old;
    memset(&old, 0x55, sizeof(old));
    CHECK_EQ(syscall(SYS_sigaltstack, NULL, &old), 0);
    CHECK_EQ(old.ss_flags, SS_DISABLE);
    CHECK_EQ(set_stack(alternate, sizeof(alternate), 0, &old), 0);
    CHECK_EQ(old.ss_flags, SS_DISABLE);
    CHECK_EQ(set_stack(alternate, 32768, 0, &old), 0);
    CHECK(old.ss_sp == alternate);
    CHECK_EQ(old.ss_size, sizeof(alternate));
    CHECK_EQ(old.ss_flags, 0);
    CHECK_EQ(set_stack(NULL, 0, SS_DISABLE, NULL), 0);
    CHECK_EQ(syscall(SYS_sigaltstack, NULL, &old), 0);
    CHECK_EQ(old.ss_flags, SS_DISABLE);
}

static volatile int flags_in_handler, set_error_in_handler;

static void ask_in_handler(int sig, siginfo_t *info, void *context)
{
    stack_t now;
    ucontext_t *uc = context;
    (void)sig;
    (void)info;
    syscall(SYS_sigaltstack, NULL, &now);
    flags_in_handler = now.ss_flags;
    set_error_in_handler = set_stack(NULL, 0, SS_DISABLE, NULL) == -1 ? errno : 0;
    nr_handled = uc->uc_stack.ss_sp == alternate && uc->uc_stack.ss_size == sizeof(alternate);
}

TEST(sigaltstack, success, "on it SS_ONSTACK is told, and it cannot be changed: EPERM")
{
    CHECK_EQ(set_stack(alternate, sizeof(alternate), 0, NULL), 0);
    set_handler(SIGUSR1, ask_in_handler, SA_ONSTACK);
    kill(getpid(), SIGUSR1);
    CHECK_EQ(flags_in_handler, SS_ONSTACK);
    CHECK_EQ(set_error_in_handler, EPERM);
    CHECK_EQ(nr_handled, 1);
}

static int overflow_stack(volatile char *above, volatile int *for_ever)
{
    volatile char frame[4096];
    frame[0] = above[0];
    return *for_ever ? overflow_stack(frame, for_ever) + frame[0] : 0;
}

static sigjmp_buf escape;

static void escape_overflow(int sig, siginfo_t *info, void *context)
{
    note_stack(sig, info, context);
    siglongjmp(escape, info->si_code);
}

TEST(sigaltstack, success, "a stack overflow is handled on it")
{
    struct rlimit limit;
    volatile char start = 0;
    volatile int for_ever = 1;
    CHECK_OK(getrlimit(RLIMIT_STACK, &limit));
    limit.rlim_cur = 1 << 20;
    CHECK_OK(setrlimit(RLIMIT_STACK, &limit));
    CHECK_EQ(set_stack(alternate, sizeof(alternate), 0, NULL), 0);
    set_handler(SIGSEGV, escape_overflow, SA_ONSTACK);
    int code = sigsetjmp(escape, 1);
    if (code == 0)
        overflow_stack(&start, &for_ever);
    CHECK_EQ(code, SEGV_MAPERR);
    CHECK(on_alternate(handler_stack));
}

TEST(sigaltstack, error, "EINVAL for flags, ENOMEM for a small one, EFAULT")
{
    CHECK_ERRNO(set_stack(alternate, sizeof(alternate), 99, NULL), EINVAL);
    CHECK_ERRNO(set_stack(alternate, 100, 0, NULL), ENOMEM);
    CHECK_ERRNO(syscall(SYS_sigaltstack, bad_address(), NULL), EFAULT);
    CHECK_ERRNO(syscall(SYS_sigaltstack, NULL, bad_address()), EFAULT);
}

static void *read_stack(void *arg)
{
    syscall(SYS_sigaltstack, NULL, arg);
    return NULL;
}

TEST(sigaltstack, limit, "fork keeps it, a new thread does not have it")
{
    stack_t seen;
    pthread_t thread;
    CHECK_EQ(set_stack(alternate, sizeof(alternate), 0, NULL), 0);
    CHECK_EQ(pthread_create(&thread, NULL, read_stack, &seen), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(seen.ss_flags, SS_DISABLE);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(syscall(SYS_sigaltstack, NULL, &seen), 0);
        CHECK(seen.ss_sp == alternate);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(sigaltstack, limit, "SS_AUTODISARM takes it away for the time of the handler")
{
    CHECK_EQ(set_stack(alternate, sizeof(alternate), (int)(1u << 31), NULL), 0);
    set_handler(SIGUSR1, ask_in_handler, SA_ONSTACK);
    kill(getpid(), SIGUSR1);
    CHECK_EQ(flags_in_handler, SS_DISABLE);
    CHECK_EQ(set_error_in_handler, 0);
    stack_t now;
    CHECK_EQ(syscall(SYS_sigaltstack, NULL, &now), 0);
    CHECK(now.ss_sp == alternate);
    CHECK_EQ((unsigned)now.ss_flags, 1u << 31);
}

/* Runs one faulting instruction and leaves its siginfo in fault_info. */
#define RAISE(sig, instructions, ...)                                                              \
    do {                                                                                           \
        set_handler(sig, fault_handler, 0);                                                        \
        memset(&fault_info, 0, sizeof(fault_info));                                                \
        if (!sigsetjmp(fault_escape, 1))                                                           \
            __asm__ volatile(instructions : : : __VA_ARGS__);                                      \
        CHECK_EQ(fault_info.si_signo, sig);                                                        \
    } while (0)

extern const char sigframe_divide[], sigframe_illegal[], sigframe_trap[];

TEST(rt_sigaction, success, "division by zero is SIGFPE with FPE_INTDIV at the instruction")
{
    RAISE(SIGFPE,
          "xor %%ecx, %%ecx\n\tmov $1, %%eax\n\txor %%edx, %%edx\n\t"
          "sigframe_divide: div %%ecx",
          "rax", "rcx", "rdx", "cc");
    CHECK_EQ(fault_info.si_code, FPE_INTDIV);
    CHECK((const char *)fault_info.si_addr == sigframe_divide);
}

TEST(rt_sigaction, success, "an illegal instruction is SIGILL with ILL_ILLOPN at the instruction")
{
    RAISE(SIGILL, "sigframe_illegal: ud2", "memory");
    CHECK_EQ(fault_info.si_code, ILL_ILLOPN);
    CHECK((const char *)fault_info.si_addr == sigframe_illegal);
}

TEST(rt_sigaction, success, "int3 is SIGTRAP from the kernel; hlt is SIGSEGV without an address")
{
    RAISE(SIGTRAP, "int3\n\tsigframe_trap:", "memory");
    CHECK_EQ(fault_info.si_code, SI_KERNEL);
    RAISE(SIGSEGV, "hlt", "memory");
    CHECK_EQ(fault_info.si_code, SI_KERNEL);
    CHECK_EQ((uintptr_t)fault_info.si_addr, 0);
}

TEST(rt_sigaction, success, "an unmasked floating-point exception is SIGFPE with its kind")
{
    uint32_t vendor[4];
    __cpuid(0x40000000, vendor[0], vendor[1], vendor[2], vendor[3]);
    if (memcmp(&vendor[1], "TCGTCGTCGTCG", 12) == 0)
        SKIP("QEMU's emulation raises no such exception");
    _mm_setcsr(0x1f80 & ~0x200u); /* division by zero unmasked */
    set_handler(SIGFPE, fault_handler, 0);
    if (!sigsetjmp(fault_escape, 1)) {
        volatile float zero = 0, one = 1;
        volatile float quotient = one / zero;
        (void)quotient;
    }
    _mm_setcsr(0x1f80);
    CHECK_EQ(fault_info.si_signo, SIGFPE);
    CHECK_EQ(fault_info.si_code, FPE_FLTDIV);
}

TEST(rt_sigaction, limit, "a fault whose signal is blocked or ignored ends the process")
{
    for (int ignored = 0; ignored < 2; ignored++) {
        pid_t pid = cella_fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            if (ignored)
                signal(SIGSEGV, SIG_IGN);
            else
                change_mask(SIG_BLOCK, SIGSEGV);
            *(volatile char *)bad_address() = 1;
            _exit(0);
        }
        CHECK_EQ(wait_signal(pid), SIGSEGV);
    }
}

TEST(rt_sigaction, limit, "no room for the frame is SIGSEGV that cannot be handled")
{
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        unsigned char *guard = private_pages(2, PROT_READ | PROT_WRITE);
        CHECK_OK(mprotect(guard, PAGE, PROT_NONE));
        set_handler(SIGSEGV, note_stack, 0);
        set_handler(SIGUSR1, note_stack, 0);
        __asm__ volatile("mov %0, %%rsp\n\tsyscall\n\tud2"
                         :
                         : "r"(guard + PAGE + 64), "a"((long)SYS_kill), "D"((long)getpid()),
                           "S"((long)SIGUSR1)
                         : "rcx", "r11", "memory");
    }
    CHECK_EQ(wait_signal(pid), SIGSEGV);
}

TEST_MAIN()
