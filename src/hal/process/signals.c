/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's signals are this HAL's interrupts and traps; the workload never sees one. All run on
 * the carrier's private signal stack with nothing blocked, and a signal that met workload code
 * never returns through the host: its frame is copied to the thread's kernel stack, the extended
 * state is loaded back into the CPU, and the kernel goes on there.
 */
#include "arch/x86_64/regs.h"
#include "base/printk.h"
#include "base/string.h"
#include "host_linux.h"
#include "proc/cpus.h"
#include "proc/task.h"
#include "process.h"

extern const char arch_exit_begin[], arch_exit_end[], arch_exit_restart[];

#define AUDIT_ARCH_X86_64 0xc000003eu

enum entry_kind { ENTRY_SYSCALL, ENTRY_FAULT, ENTRY_TICK };

/* What the entry function needs on the kernel stack, below the frame. */
struct entry {
    enum entry_kind kind;
    struct regs *regs;
    struct hal_fault fault;
};

static void enter_kernel(void *arg)
{
    /* The struct lies on the signal stack, which the next signal overwrites. */
    struct entry e = *(struct entry *)arg;
    struct carrier *c = this_carrier();
    switch (e.kind) {
    case ENTRY_SYSCALL: kernel_syscall(e.regs, true); break;
    case ENTRY_FAULT: kernel_fault(e.regs, &e.fault); break;
    case ENTRY_TICK:
        for (size_t i = 0; i < ARRAY_LEN(c->as->spawn_mask); i++)
            if (READ_ONCE(c->as->spawn_mask[i]))
                spawn_carriers(c->as);
        kernel_tick(e.regs);
        break;
    }
    arch_exit_work(e.regs);
    arch_return_to_user(e.regs);
}

static void copy_frame(struct regs *r, const struct h_ucontext *uc)
{
    r->r15 = uc->r15;
    r->r14 = uc->r14;
    r->r13 = uc->r13;
    r->r12 = uc->r12;
    r->rbp = uc->rbp;
    r->rbx = uc->rbx;
    r->r11 = uc->r11;
    r->r10 = uc->r10;
    r->r9 = uc->r9;
    r->r8 = uc->r8;
    r->rax = uc->rax;
    r->rcx = uc->rcx;
    r->rdx = uc->rdx;
    r->rsi = uc->rsi;
    r->rdi = uc->rdi;
    r->orig_rax = REGS_NO_SYSCALL;
    r->rip = uc->rip;
    r->cs = 0x33;
    r->rflags = uc->rflags;
    r->rsp = uc->rsp;
    r->ss = 0x2b;
}

static bool in_runtime(uint64_t rip)
{
    return rip >= (uint64_t)runtime_text_begin && rip < (uint64_t)runtime_text_end;
}

/* A signal that met kernel code. */
static void kernel_interrupted(int sig, const struct h_siginfo *info, struct h_ucontext *uc)
{
    if (sig == H_SIGTICK || sig == H_SIGKICK) {
        struct cpu *c = this_cpu();
        if (sig == H_SIGTICK) {
            __atomic_add_fetch(&c->kernel_ticks, 1, __ATOMIC_RELAXED);
            WRITE_ONCE(c->tick_missed, 1);
        }
        WRITE_ONCE(c->need_resched, 1);
        /* Past the last look at need_resched, but the frame is still whole: look again. */
        if (uc->rip >= (uint64_t)arch_exit_begin && uc->rip < (uint64_t)arch_exit_end)
            uc->rip = (uint64_t)arch_exit_restart;
        return;
    }
    if (sig == H_SIGSEGV || sig == H_SIGBUS) {
        uint64_t to = kernel_fault_fixup(uc->rip);
        if (to) {
            uc->rip = to;
            return;
        }
    }
    panic("signal %d in the kernel: rip %lx address %lx (cr2 %lx error %lx) rsp %lx rdi %lx rax "
          "%lx; thread %d %s",
          sig, uc->rip, info->addr, uc->cr2, uc->err, uc->rsp, uc->rdi, uc->rax,
          this_cpu()->thread ? this_cpu()->thread->tid : -1,
          this_cpu()->thread ? this_cpu()->thread->comm : "");
}

static void signal_handler(int sig, void *info_ptr, void *uc_ptr)
{
    const struct h_siginfo *info = info_ptr;
    struct h_ucontext *uc = uc_ptr;
    if (in_runtime(uc->rip)) {
        kernel_interrupted(sig, info, uc);
        return;
    }
    struct cpu *cpu = this_cpu();
    WRITE_ONCE(cpu->in_user, 0);
    struct thread *t = cpu->thread;
    if (unlikely(!t->mm))
        panic("signal %d outside of the kernel, and no workload runs: rip %lx address %lx rsp %lx; "
              "CPU %u thread %d %s",
              sig, uc->rip, info->addr, uc->rsp, cpu->id, t->tid, t->comm);
    struct entry e = {.regs = thread_regs(t)};
    copy_frame(e.regs, uc);
    switch (sig) {
    case H_SIGSYS:
        if (info->arch != AUDIT_ARCH_X86_64) {
            /* INT 0x80 and SYSENTER: 32-bit calls do not exist here; as on a kernel without them.
             */
            e.kind = ENTRY_FAULT;
            e.fault = (struct hal_fault){.trap_nr = 13};
            break;
        }
        e.kind = ENTRY_SYSCALL;
        e.regs->orig_rax = e.regs->rax;
        /* The host has put the number into rax; rcx and r11 are as SYSCALL left them. */
        e.regs->orig_rax = (uint32_t)info->syscall;
        e.regs->rcx = e.regs->rip;
        break;
    case H_SIGTICK:
        __atomic_add_fetch(&cpu->user_ticks, 1, __ATOMIC_RELAXED);
        __attribute__((fallthrough));
    case H_SIGKICK:
        cpu->nr_interrupts++;
        e.kind = ENTRY_TICK;
        break;
    default:
        e.kind = ENTRY_FAULT;
        e.fault = (struct hal_fault){(uint32_t)uc->trapno, (uint32_t)uc->err,
                                     uc->trapno == 14 ? uc->cr2 : info->addr};
        break;
    }
    /* Signal delivery has reset the extended state; the workload's is in the frame, in the standard
     * format. */
    if (uc->fpstate)
        arch_xstate_restore_host_frame(uc->fpstate);
    arch_jump_on_stack(&e, enter_kernel, (char *)((uint64_t)e.regs & ~15ull));
}

void signals_thread_init(unsigned cpu)
{
    struct h_stack ss = {carrier_stack_top(cpu), 0, CARRIER_SIGSTACK_SIZE};
    if (HOST2(HOST_sigaltstack, &ss, NULL) < 0)
        panic("the host refuses a signal stack");
}

void signals_init(void)
{
    static const int caught[] = {H_SIGSYS, H_SIGSEGV, H_SIGBUS,  H_SIGFPE,
                                 H_SIGILL, H_SIGTRAP, H_SIGTICK, H_SIGKICK};
    for (size_t i = 0; i < ARRAY_LEN(caught); i++) {
        struct h_sigaction sa = {signal_handler,
                                 H_SA_SIGINFO | H_SA_ONSTACK | H_SA_NODEFER | H_SA_RESTORER,
                                 gate_sigreturn, 0};
        if (HOST4(HOST_rt_sigaction, caught[i], &sa, NULL, 8) < 0)
            panic("the host refuses a signal handler");
    }
    /* Children are host processes that end on their own; nobody waits for them. */
    struct h_sigaction ignore = {(void (*)(int, void *, void *))1, H_SA_RESTORER | H_SA_NOCLDWAIT,
                                 gate_sigreturn, 0};
    HOST4(HOST_rt_sigaction, H_SIGCHLD, &ignore, NULL, 8);
}
