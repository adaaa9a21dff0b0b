/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame that a signal handler runs on, and rt_sigreturn. The layout is the ABI of x86-64 Linux
 * (struct rt_sigframe, struct ucontext, struct sigcontext, _fpx_sw_bytes): debuggers, unwinders,
 * garbage collectors and Go's runtime read and write it.
 *
 *   high   interrupted stack (or top of the alternate one)
 *          128 bytes of red zone, skipped
 *          extended state in standard XSAVE form, 64-byte aligned, then FP_XSTATE_MAGIC2
 *          siginfo, ucontext, return address (the restorer)   <- rsp of the handler, = 8 mod 16
 *   low
 *
 * Extended state goes through a kernel buffer both ways: a copy may sleep, and a sleep switches the
 * registers.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "proc/pid.h"
#include "proc/signal_internal.h"

#define RED_ZONE 128
#define CANONICAL_END                                                                              \
    0x800000000000ull /* of the lower half; addresses from here on cannot be returned to */
#define USER_CS 0x33
#define USER_SS 0x2b

enum { UC_FP_XSTATE = 1, UC_SIGCONTEXT_SS = 2, UC_STRICT_RESTORE_SS = 4 };

#define FP_XSTATE_MAGIC1 0x46505853u
#define FP_XSTATE_MAGIC2 0x46505845u
#define FXSAVE_SIZE 512u
#define XSTATE_HEADER_END 576u /* legacy area and header */
#define SW_RESERVED_OFFSET 464u

/* What rt_sigreturn takes over from the frame: AC OF DF TF SF ZF AF PF CF RF. */
#define FLAGS_FROM_FRAME 0x50dd5ull
#define FLAGS_CLEARED_FOR_HANDLER 0x10500ull /* RF DF TF */

struct k_stack {
    uint64_t sp;
    int32_t flags, pad;
    uint64_t size;
};

struct k_sigcontext {
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15, di, si, bp, bx, dx, ax, cx, sp, ip, flags;
    uint16_t cs, gs, fs, ss;
    uint64_t err, trapno, oldmask, cr2;
    uint64_t fpstate;
    uint64_t reserved[8];
};

struct k_ucontext {
    uint64_t flags, link;
    struct k_stack stack;
    struct k_sigcontext mc;
    sigset_k sigmask;
};

struct k_sigframe {
    uint64_t restorer;
    struct k_ucontext uc;
    struct k_siginfo info;
};
_Static_assert(sizeof(struct k_sigcontext) == 256, "struct sigcontext");
_Static_assert(sizeof(struct k_ucontext) == 304, "struct ucontext");
_Static_assert(sizeof(struct k_sigframe) == 440, "struct rt_sigframe");

struct fpx_sw_bytes {
    uint32_t magic1, extended_size;
    uint64_t xfeatures;
    uint32_t xstate_size, padding[7];
};
_Static_assert(SW_RESERVED_OFFSET + sizeof(struct fpx_sw_bytes) == FXSAVE_SIZE, "_fpx_sw_bytes");

/* The thread's extended state is in the CPU after this, until it next sleeps. */
static void xstate_make_live(struct thread *t)
{
    if (!t->fpu_saved)
        return;
    arch_xstate_restore(t->xstate);
    t->fpu_saved = false;
}

/* A 64-byte aligned buffer for the state and the magic word behind it; *raw is what to kfree. */
static uint8_t *xstate_buffer(void **raw)
{
    *raw = kzalloc(arch_xstate_size() + sizeof(uint32_t) + 63);
    return *raw ? (uint8_t *)ALIGN_UP((uint64_t)*raw, 64) : NULL;
}

int siginfo_to_user(uaddr_t addr, const struct k_siginfo *info)
{
    struct k_siginfo copy = *info;
    if (copy.si_code == SI_TIMER_K)
        copy.timer.sys_private = 0; /* ours: which arming of the timer sent it */
    return copy_to_user(addr, &copy, sizeof(copy));
}

/* ---- the alternate stack ---- */

static bool on_altstack(const struct thread *t, uint64_t sp)
{
    /* With autodisarm the stack counts as unused while a handler runs, so that a nested one may
     * start it anew. */
    if ((uint32_t)t->altstack_flags & SS_AUTODISARM_K)
        return false;
    return sp > t->altstack_sp && sp - t->altstack_sp <= t->altstack_size;
}

static int altstack_state(const struct thread *t, uint64_t sp)
{
    if (t->altstack_size == 0)
        return SS_DISABLE_K;
    return on_altstack(t, sp) ? SS_ONSTACK_K : 0;
}

static void altstack_reset(struct thread *t)
{
    t->altstack_sp = 0;
    t->altstack_size = 0;
    t->altstack_flags = SS_DISABLE_K;
}

static int altstack_set(struct thread *t, const struct k_stack *new, uint64_t sp)
{
    if (on_altstack(t, sp))
        return -EPERM;
    int mode = (int)((uint32_t) new->flags & ~SS_AUTODISARM_K);
    if (mode != SS_DISABLE_K && mode != SS_ONSTACK_K && mode != 0)
        return -EINVAL;
    if (mode == SS_DISABLE_K) {
        t->altstack_sp = 0;
        t->altstack_size = 0;
    } else {
        if (new->size < MINSIGSTKSZ_K)
            return -ENOMEM;
        t->altstack_sp = new->sp;
        t->altstack_size = new->size;
    }
    t->altstack_flags = new->flags;
    return 0;
}

int64_t sys_sigaltstack(uaddr_t new_addr, uaddr_t old_addr)
{
    struct thread *t = current;
    uint64_t sp = thread_regs(t)->rsp;
    struct k_stack new, old = {t->altstack_sp, 0, 0, t->altstack_size};
    old.flags = altstack_state(t, sp) | (int32_t)((uint32_t)t->altstack_flags & SS_AUTODISARM_K);
    if (new_addr && get_user(new, new_addr))
        return -EFAULT;
    if (new_addr) {
        int err = altstack_set(t, &new, sp);
        if (err)
            return err;
    }
    if (old_addr && put_user(old, old_addr))
        return -EFAULT;
    return 0;
}

/* ---- building ---- */

static void fill_sigcontext(struct k_sigcontext *c, const struct regs *r, const struct thread *t,
                            sigset_k mask)
{
    *c = (struct k_sigcontext){
        .r8 = r->r8,
        .r9 = r->r9,
        .r10 = r->r10,
        .r11 = r->r11,
        .r12 = r->r12,
        .r13 = r->r13,
        .r14 = r->r14,
        .r15 = r->r15,
        .di = r->rdi,
        .si = r->rsi,
        .bp = r->rbp,
        .bx = r->rbx,
        .dx = r->rdx,
        .ax = r->rax,
        .cx = r->rcx,
        .sp = r->rsp,
        .ip = r->rip,
        .flags = r->rflags,
        .cs = USER_CS,
        .ss = USER_SS,
        .err = t->trap_error,
        .trapno = t->trap_nr,
        .oldmask = mask,
        .cr2 = t->trap_cr2,
    };
}

/* Writes the extended state below sp; its address, or 0. */
static uaddr_t put_xstate(struct thread *t, uaddr_t sp)
{
    uint32_t size = (uint32_t)arch_xstate_size();
    void *raw;
    uint8_t *buf = xstate_buffer(&raw);
    if (!buf)
        return 0;
    xstate_make_live(t);
    arch_xstate_save_standard(buf);
    struct fpx_sw_bytes sw = {.magic1 = FP_XSTATE_MAGIC1,
                              .extended_size = size + (uint32_t)sizeof(uint32_t),
                              .xfeatures = arch_xstate_mask(),
                              .xstate_size = size};
    uint32_t magic2 = FP_XSTATE_MAGIC2;
    memcpy(buf + SW_RESERVED_OFFSET, &sw, sizeof(sw));
    memcpy(buf + size, &magic2, sizeof(magic2));
    sp = ALIGN_DOWN(sp - sw.extended_size, 64ull);
    int err = copy_to_user(sp, buf, sw.extended_size);
    kfree(raw);
    return err ? 0 : sp;
}

int signal_frame_setup(struct regs *regs, int sig, const struct k_sigaction *action,
                       const struct k_siginfo *info, sigset_k mask)
{
    struct thread *t = current;
    uaddr_t sp = regs->rsp - RED_ZONE;
    bool nested = on_altstack(t, regs->rsp), entering = false;
    if ((action->flags & SA_ONSTACK_K) && altstack_state(t, sp) == 0) {
        sp = t->altstack_sp + t->altstack_size;
        entering = true;
    }
    if (!(action->flags & SA_RESTORER_K))
        return -EFAULT; /* without one the handler could not return */
    /* Room first: a frame that runs over the low end of the alternate stack must not be written. */
    uaddr_t xstate_at = ALIGN_DOWN(sp - (arch_xstate_size() + sizeof(uint32_t)), 64ull);
    uaddr_t frame_at = ALIGN_DOWN(xstate_at - sizeof(struct k_sigframe), 16ull) - 8;
    if ((entering || nested) &&
        (frame_at <= t->altstack_sp || frame_at - t->altstack_sp > t->altstack_size))
        return -EFAULT;

    uaddr_t fpstate = put_xstate(t, sp);
    if (!fpstate)
        return -EFAULT;
    struct k_sigframe *f = kzalloc(sizeof(*f));
    if (!f)
        return -EFAULT;
    f->restorer = action->restorer;
    f->uc.flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
    f->uc.stack = (struct k_stack){t->altstack_sp, t->altstack_flags, 0, t->altstack_size};
    fill_sigcontext(&f->uc.mc, regs, t, mask);
    f->uc.mc.fpstate = fpstate;
    f->uc.sigmask = mask;
    f->info = *info;
    if (info->si_code == SI_TIMER_K)
        f->info.timer.sys_private = 0;
    int err = copy_to_user(frame_at, f, sizeof(*f));
    kfree(f);
    if (err)
        return err;
    if ((uint32_t)t->altstack_flags & SS_AUTODISARM_K)
        altstack_reset(t);

    regs->rdi = (uint64_t)sig;
    regs->rsi = frame_at + offsetof(struct k_sigframe, info);
    regs->rdx = frame_at + offsetof(struct k_sigframe, uc);
    regs->rax = 0;
    regs->rip = action->handler;
    regs->rsp = frame_at;
    regs->cs = USER_CS;
    regs->ss = USER_SS;
    regs->rflags &= ~FLAGS_CLEARED_FOR_HANDLER;
    regs->orig_rax = REGS_NO_SYSCALL;
    /* The handler starts with the control words that its compiler counts on. */
    arch_xstate_reset();
    t->fpu_saved = false;
    return 0;
}

/* ---- going back ---- */

/* Loads extended state from the frame. -EFAULT, -EINVAL. */
static int get_xstate(struct thread *t, uaddr_t fpstate)
{
    if (fpstate == 0) {
        arch_xstate_reset();
        t->fpu_saved = false;
        return 0;
    }
    uint32_t size = (uint32_t)arch_xstate_size();
    void *raw;
    uint8_t *buf = xstate_buffer(&raw);
    if (!buf)
        return -ENOMEM;
    struct fpx_sw_bytes sw;
    uint32_t magic2 = 0;
    int err = copy_from_user(buf, fpstate, FXSAVE_SIZE);
    if (err)
        goto out;
    memcpy(&sw, buf + SW_RESERVED_OFFSET, sizeof(sw));
    bool extended = sw.magic1 == FP_XSTATE_MAGIC1 && sw.xstate_size >= XSTATE_HEADER_END &&
                    sw.xstate_size <= size && sw.xstate_size <= sw.extended_size &&
                    get_user(magic2, fpstate + sw.xstate_size) == 0 && magic2 == FP_XSTATE_MAGIC2;
    uint64_t features = 3; /* a frame made by hand with FXSAVE state only: x87 and SSE, the rest as
                              in a fresh program */
    if (extended) {
        err =
            copy_from_user(buf + FXSAVE_SIZE, fpstate + FXSAVE_SIZE, sw.xstate_size - FXSAVE_SIZE);
        if (err)
            goto out;
        memcpy(&features, buf + FXSAVE_SIZE, sizeof(features));
        features &= sw.xfeatures & arch_xstate_mask();
    }
    memcpy(buf + FXSAVE_SIZE, &features, sizeof(features));
    memset(buf + SW_RESERVED_OFFSET, 0, sizeof(sw));
    err = arch_xstate_restore_standard(buf);
    if (!err)
        t->fpu_saved = false;
out:
    kfree(raw);
    return err;
}

static void load_sigcontext(struct regs *r, const struct k_sigcontext *c)
{
    r->r8 = c->r8;
    r->r9 = c->r9;
    r->r10 = c->r10;
    r->r11 = c->r11;
    r->r12 = c->r12;
    r->r13 = c->r13;
    r->r14 = c->r14;
    r->r15 = c->r15;
    r->rdi = c->di;
    r->rsi = c->si;
    r->rbp = c->bp;
    r->rbx = c->bx;
    r->rdx = c->dx;
    r->rax = c->ax;
    r->rcx = c->cx;
    r->rsp = c->sp;
    r->rip = c->ip;
    r->rflags = (r->rflags & ~FLAGS_FROM_FRAME) | (c->flags & FLAGS_FROM_FRAME);
    /* There is one code and one stack segment for 64-bit programs; what the frame says cannot be
     * honoured. */
    r->cs = USER_CS;
    r->ss = USER_SS;
    r->orig_rax = REGS_NO_SYSCALL;
}

int64_t sys_rt_sigreturn(void)
{
    struct thread *t = current;
    struct regs *regs = thread_regs(t);
    struct k_ucontext uc;
    /* `ret` took the restorer's address off the stack. */
    uaddr_t frame = regs->rsp - sizeof(uint64_t);
    t->restart.fn = restart_none;
    if (get_user(uc, frame + offsetof(struct k_sigframe, uc)) || get_xstate(t, uc.mc.fpstate)) {
        regs->orig_rax = REGS_NO_SYSCALL;
        signal_force_fault(SIGSEGV, SI_KERNEL_K, 0);
        return 0;
    }
    signal_set_blocked(uc.sigmask);
    load_sigcontext(regs, &uc.mc);
    if (regs->rip >= CANONICAL_END) {
        /* The way out could not load it: the fault would be the kernel's own. */
        signal_force_fault(SIGSEGV, SI_KERNEL_K, 0);
    }
    /* As sigaltstack would; a frame with a wrong one is not an error. */
    altstack_set(t, &uc.stack, regs->rsp);
    return (int64_t)regs->rax;
}
