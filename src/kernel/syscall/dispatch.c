/* SPDX-License-Identifier: Apache-2.0 */
/* The upcalls: where the workload enters the kernel, and what is looked at on the way out. */
#include "arch/x86_64/regs.h"
#include "base/errno.h"
#include "base/printk.h"
#include "hal.h"
#include "mm/mm.h"
#include "mm/text_view.h"
#include "proc/cpus.h"
#include "proc/rseq.h"
#include "proc/task.h"
#include "syscall/syscall.h"
#include "time/process_timers.h"
#include "time/time.h"

uint64_t syscalls_absent;
uint32_t syscall_absent_count[NR_SYSCALLS];
bool syscall_trace;

static int64_t absent(uint64_t nr)
{
    __atomic_add_fetch(&syscalls_absent, 1, __ATOMIC_RELAXED);
    if (nr < NR_SYSCALLS)
        __atomic_add_fetch(&syscall_absent_count[nr], 1, __ATOMIC_RELAXED);
    return -ENOSYS;
}

void kernel_syscall(struct regs *regs, bool trapped)
{
    uint64_t nr = regs->orig_rax;
    if (trapped) {
        current->process->nr_host_traps++;
        text_view_patch_site(regs);
    } else {
        current->process->nr_patched_calls++;
    }
    if (unlikely(syscall_trace))
        syscall_trace_enter(regs);
    const struct syscall_entry *e = &syscall_table[nr < NR_SYSCALLS ? nr : 0];
    int64_t r;
    if (unlikely(nr >= NR_SYSCALLS || !e->fn))
        r = absent(nr);
    else
        r = e->fn(regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8, regs->r9);
    if (unlikely(syscall_trace))
        syscall_trace_exit(nr, r);
    regs->rax = (uint64_t)r;
}

/* 1 when the registers must be loaded in full; 0 when the fast way out (which destroys rcx) will
 * do. */
int arch_exit_work(struct regs *regs)
{
    struct thread *t = current;
    for (;;) {
        bool restart = regs->orig_rax != REGS_NO_SYSCALL && (int64_t)regs->rax <= -ERESTARTSYS &&
                       (int64_t)regs->rax >= -ERESTART_RESTARTBLOCK;
        if (unlikely(READ_ONCE(t->exit_work) || restart)) {
            if (READ_ONCE(t->signal_pending) || READ_ONCE(t->exit_requested) ||
                READ_ONCE(t->restore_blocked) || restart)
                signal_deliver(regs);
            else
                rseq_resume(regs);
            continue;
        }
        if (unlikely(READ_ONCE(t->mm->revoke_pending))) {
            mm_do_revokes(t->mm);
            continue;
        }
        if (unlikely(READ_ONCE(this_cpu()->need_resched))) {
            if (READ_ONCE(this_cpu()->tick_missed))
                kernel_tick(regs);
            sched_resched();
            continue;
        }
        return regs->rcx != regs->rip;
    }
}

/* si_code of a floating-point exception, from the unmasked bits of the status words (Intel SDM vol.
 * 1, 8.3.3 and 11.6.6). */
static int fpe_code(bool sse)
{
    uint32_t status, mask;
    if (sse) {
        __asm__ volatile("stmxcsr %0" : "=m"(status));
        mask = status >> 7;
    } else {
        uint16_t sw, cw;
        __asm__ volatile("fnstsw %0; fnstcw %1" : "=m"(sw), "=m"(cw));
        status = sw;
        mask = cw;
    }
    static const uint8_t code[6] = {FPE_FLTINV_K,       5 /* denormal: FPE_FLTUND */,
                                    3 /* FPE_FLTDIV */, 4 /* FPE_FLTOVF */,
                                    5 /* FPE_FLTUND */, 6 /* FPE_FLTRES */};
    for (int i = 0; i < 6; i++)
        if ((status & ~mask) >> i & 1)
            return code[i];
    return FPE_FLTINV_K;
}

void kernel_fault(struct regs *regs, const struct hal_fault *fault)
{
    signal_note_fault(fault);
    if (unlikely(syscall_trace))
        printk("[%d] trap %u error %x address %lx rip %lx rsp %lx", current->tid, fault->trap_nr,
               fault->error_code, fault->address, regs->rip, regs->rsp);
    switch (fault->trap_nr) {
    case 14: mm_handle_user_fault(regs, fault); break;
    case 0: signal_force_fault(SIGFPE, FPE_INTDIV_K, regs->rip); break;
    case 1: signal_force_fault(SIGTRAP, TRAP_TRACE_K, regs->rip); break;
    case 3:
        if (!text_view_breakpoint(regs))
            signal_force_fault(SIGTRAP, SI_KERNEL_K, 0);
        break;
    case 6: signal_force_fault(SIGILL, ILL_ILLOPN_K, regs->rip); break;
    case 16:
    case 19: signal_force_fault(SIGFPE, fpe_code(fault->trap_nr == 19), regs->rip); break;
    case 17: signal_force_fault(SIGBUS, BUS_ADRALN_K, fault->address); break;
    default: /* 13 general protection, 12 stack, 11 not present, 4, 5 */
        signal_force_fault(SIGSEGV, SI_KERNEL_K, 0);
        break;
    }
}

void kernel_tick(struct regs *regs)
{
    WRITE_ONCE(this_cpu()->tick_missed, 0);
    sched_tick();
    time_update();
    if (current->process)
        itimer_tick(current, 0, 0);
    mm_oom_check();
}
