/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status, stat and statm of a process or thread. Formats: proc(5). Lines that tell of what the
 * kernel does not count (VmPeak, VmPTE, the kinds of resident pages) are not there; columns, which
 * have to be, are then 0.
 *
 * Everything is first collected under the locks it needs, then printed.
 */
#include "base/string.h"
#include "dev/tty.h"
#include "fs/files.h"
#include "fs/procfs.h"
#include "mm/mm.h"
#include "proc/cpus.h"
#include "proc/pid.h"
#include "proc/signal_internal.h"

#define PF_EXITING_K 0x4u
#define PF_FORKNOEXEC_K 0x40u
#define PF_RANDOMIZE_K 0x400000u
#define ADDR_NO_RANDOMIZE_K 0x0040000u

/* ---- what both need ---- */

/* A thread's name in a line of its own words: newlines and backslashes as \n and \\. */
static void put_name(struct text *t, const char *comm)
{
    for (; *comm; comm++) {
        if (*comm == '\n' || *comm == '\\')
            text_putc(t, '\\');
        text_putc(t, *comm == '\n' ? 'n' : *comm);
    }
}

struct task_state {
    char comm[TASK_COMM_LEN];
    char letter;
    const char *word;
    kpid_t pid, tid, ppid, pgid, sid, tpgid;
    uint32_t tty_nr;
    int nr_threads, exit_signal, exit_code;
    bool exiting, has_execed;
    kmode_t umask;
    bool has_fs;
    uint32_t fd_size;
};

static void collect_state(struct thread *t, struct task_state *s)
{
    static const struct {
        char letter;
        const char *word;
    } words[] = {
        [THREAD_RUNNABLE] = {'R', "running"},    [THREAD_INTERRUPTIBLE] = {'S', "sleeping"},
        [THREAD_KILLABLE] = {'D', "disk sleep"}, [THREAD_UNINTERRUPTIBLE] = {'D', "disk sleep"},
        [THREAD_STOPPED] = {'T', "stopped"},     [THREAD_DEAD] = {'Z', "zombie"},
    };
    struct process *p = t->process;
    memset(s, 0, sizeof(*s));
    spin_lock(&proc_tree_lock);
    memcpy(s->comm, t->comm, sizeof(s->comm));
    s->comm[TASK_COMM_LEN - 1] = 0;
    unsigned state = t->exiting && !t->mm ? THREAD_DEAD : READ_ONCE(t->state);
    s->letter = words[state].letter;
    s->word = words[state].word;
    s->pid = p->pid;
    s->tid = t->tid;
    s->ppid = p->parent ? p->parent->pid : 0;
    s->pgid = p->pgid;
    s->sid = p->sid;
    s->tpgid = p->tty ? p->tty->pgrp : -1;
    s->tty_nr = p->tty ? (uint32_t)tty_device(p->tty) : 0;
    s->nr_threads = p->nr_threads;
    s->exit_signal = t == p->leader ? p->exit_signal : -1;
    s->exit_code = p->zombie ? p->exit_code : t->exit_code;
    s->exiting = t->exiting;
    s->has_execed = p->has_execed;
    if (t->fs) {
        s->has_fs = true;
        s->umask = t->fs->umask;
    }
    if (t->files)
        s->fd_size = t->files->table->max;
    spin_unlock(&proc_tree_lock);
}

struct task_signals {
    sigset_k pending, shared, blocked, ignored, caught;
};

static void collect_signals(struct thread *t, struct task_signals *s)
{
    struct sighand *h = thread_sighand_lock(t);
    s->pending = t->pending.set;
    s->shared = t->process->shared_pending.set;
    s->blocked = t->blocked;
    s->ignored = s->caught = 0;
    for (int i = 0; i < NSIG_K; i++) {
        if (h->action[i].handler == SIG_IGN_K)
            s->ignored |= 1ull << i;
        else if (h->action[i].handler != SIG_DFL_K)
            s->caught |= 1ull << i;
    }
    spin_unlock(&h->lock);
}

static uint64_t kib(uint64_t pages)
{
    return pages * (PAGE_SIZE / 1024);
}

/* ---- status ---- */

static void show_memory(struct mm *mm, struct text *t)
{
    uint64_t rss = mm_resident_pages(mm);
    mutex_lock(&mm->lock);
    uint64_t code = (PAGE_ALIGN(mm->code_end) - ALIGN_DOWN(mm->code_start, PAGE_SIZE)) / PAGE_SIZE;
    code = k_min(code, mm->exec_vm);
    text_printf(
        t, "VmSize:\t%8lu kB\nVmLck:\t%8lu kB\nVmPin:\t%8u kB\nVmHWM:\t%8lu kB\nVmRSS:\t%8lu kB\n",
        kib(mm->total_vm), kib(mm->locked_vm), 0, kib(k_max(mm->hiwater_rss, rss)), kib(rss));
    text_printf(t,
                "VmData:\t%8lu kB\nVmStk:\t%8lu kB\nVmExe:\t%8lu kB\nVmLib:\t%8lu kB\nVmSwap:\t%8u "
                "kB\nHugetlbPages:\t%8u kB\n",
                kib(mm->data_vm), kib(mm->stack_vm), kib(code), kib(mm->exec_vm - code), 0, 0);
    mutex_unlock(&mm->lock);
}

static void show_cpus_allowed(struct thread *thread, struct text *t)
{
    uint64_t allowed[HAL_MAX_CPUS / 64];
    for (unsigned w = 0; w < ARRAY_LEN(allowed); w++)
        allowed[w] = READ_ONCE(thread->affinity[w]);
    if (nr_cpus % 64)
        allowed[nr_cpus / 64] &= (1ull << nr_cpus % 64) - 1;
    text_puts(t, "Cpus_allowed:\t");
    text_put_bitmap(t, allowed, nr_cpus);
    text_puts(t, "\nCpus_allowed_list:\t");
    text_put_ranges(t, allowed, nr_cpus);
    text_puts(t, "\nMems_allowed:\t1\nMems_allowed_list:\t0\n");
}

static void show_ids(const struct task_state *s, const struct cred *c, struct text *t)
{
    text_printf(t, "State:\t%c (%s)\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\n",
                s->letter, s->word, s->pid, s->tid, s->ppid);
    text_printf(t, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\n", c->uid, c->euid, c->suid,
                c->fsuid, c->gid, c->egid, c->sgid, c->fsgid);
    text_printf(t, "FDSize:\t%u\nGroups:\t", s->fd_size);
    for (uint32_t i = 0; i < c->nr_groups; i++)
        text_printf(t, "%u ", c->groups[i]);
    if (!c->nr_groups)
        text_putc(t, ' ');
    text_printf(t, "\nNStgid:\t%d\nNSpid:\t%d\nNSpgid:\t%d\nNSsid:\t%d\n", s->pid, s->tid, s->pgid,
                s->sid);
}

static void show_signals(struct thread *thread, const struct cred *c, struct text *t)
{
    struct task_signals s;
    collect_signals(thread, &s);
    int64_t queued = user_count_add(c->uid, USER_SIGPENDING, 0);
    text_printf(t, "SigQ:\t%ld/%lu\n", (long)k_max(queued, (int64_t)0),
                (unsigned long)READ_ONCE(thread->process->rlim[RLIMIT_SIGPENDING_K].cur));
    text_printf(
        t, "SigPnd:\t%016lx\nShdPnd:\t%016lx\nSigBlk:\t%016lx\nSigIgn:\t%016lx\nSigCgt:\t%016lx\n",
        s.pending, s.shared, s.blocked, s.ignored, s.caught);
}

int proc_status_show(const struct pseudo_node *n, struct text *t)
{
    struct task_state s;
    THREAD_REF(thread, proc_thread(n));
    struct cred *c = thread ? thread_cred_get(thread) : NULL;
    if (!c) {
        return -ESRCH;
    }
    struct mm *mm = process_mm_get(thread->process);
    collect_state(thread, &s);
    text_puts(t, "Name:\t");
    put_name(t, s.comm);
    text_putc(t, '\n');
    if (s.has_fs)
        text_printf(t, "Umask:\t%04o\n", s.umask);
    show_ids(&s, c, t);
    if (mm) {
        show_memory(mm, t);
        text_puts(t, "CoreDumping:\t0\nTHP_enabled:\t0\n");
        mm_put(mm);
    }
    text_printf(t, "Threads:\t%d\n", s.nr_threads);
    show_signals(thread, c, t);
    text_printf(
        t, "CapInh:\t%016lx\nCapPrm:\t%016lx\nCapEff:\t%016lx\nCapBnd:\t%016lx\nCapAmb:\t%016lx\n",
        c->cap_inheritable, c->cap_permitted, c->cap_effective, c->cap_bounding, c->cap_ambient);
    text_printf(t, "NoNewPrivs:\t%d\nSeccomp:\t0\nSeccomp_filters:\t0\n", c->no_new_privs);
    show_cpus_allowed(thread, t);
    text_printf(t, "voluntary_ctxt_switches:\t%lu\nnonvoluntary_ctxt_switches:\t%lu\n",
                thread->nr_voluntary, thread->nr_involuntary);
    cred_put(c);
    return 0;
}

/* ---- stat ---- */

/* Addresses and registers are only for who may look into the process. */
struct stat_memory {
    uint64_t vsize, rss, code_start, code_end, stack_start, data_start, data_end, brk_start,
        arg_start, arg_end, env_start, env_end;
};

static void collect_memory(struct thread *thread, struct stat_memory *m)
{
    struct mm *mm = process_mm_get(thread->process);
    memset(m, 0, sizeof(*m));
    if (!mm)
        return;
    m->rss = mm_resident_pages(mm);
    mutex_lock(&mm->lock);
    m->vsize = mm->total_vm * PAGE_SIZE;
    m->code_start = m->code_end = 1;
    if (proc_may_look(thread) == 0) {
        m->code_start = mm->code_start;
        m->code_end = mm->code_end;
        m->stack_start = mm->stack_start;
        m->data_start = mm->data_start;
        m->data_end = mm->data_end;
        m->brk_start = mm->brk_start;
        m->arg_start = mm->arg_start;
        m->arg_end = mm->arg_end;
        m->env_start = mm->env_start;
        m->env_end = mm->env_end;
    }
    mutex_unlock(&mm->lock);
    mm_put(mm);
}

static uint64_t ticks(uint64_t ns)
{
    return ns / CLOCK_TICK_NS;
}

int proc_stat_show(const struct pseudo_node *n, struct text *t)
{
    THREAD_REF(thread, proc_thread(n));
    if (!thread)
        return -ESRCH;
    struct process *p = thread->process;
    bool whole = n->entry->arg;
    struct task_state s;
    struct task_signals sig;
    struct stat_memory m;
    uint64_t utime, stime;
    collect_state(thread, &s);
    collect_signals(thread, &sig);
    collect_memory(thread, &m);
    if (whole)
        process_cpu_times(p, &utime, &stime);
    else
        thread_cpu_times(thread, &utime, &stime);
    uint32_t flags = (s.exiting ? PF_EXITING_K : 0) | (s.has_execed ? 0 : PF_FORKNOEXEC_K) |
                     (p->personality & ADDR_NO_RANDOMIZE_K ? 0 : PF_RANDOMIZE_K);
    int priority = thread->rt_priority ? -1 - thread->rt_priority : 20 + thread->nice;
    int asleep = s.letter == 'S' || s.letter == 'D';

    text_printf(t, "%d (", s.tid);
    put_name(t, s.comm);
    text_printf(t, ") %c %d %d %d %u %d %u ", s.letter, s.ppid, s.pgid, s.sid, s.tty_nr, s.tpgid,
                flags);
    text_printf(t, "%lu %lu %lu %lu ", p->min_flt, whole ? p->child_min_flt : 0, p->maj_flt,
                whole ? p->child_maj_flt : 0);
    text_printf(t, "%lu %lu %lu %lu ", ticks(utime), ticks(stime),
                whole ? ticks(p->child_utime_ns) : 0, whole ? ticks(p->child_stime_ns) : 0);
    text_printf(t, "%d %d %d 0 %lu ", priority, thread->nice, s.nr_threads,
                ticks(whole ? p->start_time : thread->start_time));
    text_printf(t, "%lu %lu %lu ", m.vsize, m.rss,
                (unsigned long)READ_ONCE(p->rlim[RLIMIT_RSS_K].cur));
    text_printf(t, "%lu %lu %lu 0 0 ", m.code_start, m.code_end, m.stack_start);
    text_printf(t, "%lu %lu %lu %lu ", sig.pending & 0x7fffffff, sig.blocked & 0x7fffffff,
                sig.ignored & 0x7fffffff, sig.caught & 0x7fffffff);
    text_printf(t, "%d 0 0 %d %u %d %d 0 0 0 ", asleep, s.exit_signal, thread->cpu,
                thread->rt_priority, thread->sched_policy);
    text_printf(t, "%lu %lu %lu %lu %lu %lu %lu %d\n", m.data_start, m.data_end, m.brk_start,
                m.arg_start, m.arg_end, m.env_start, m.env_end,
                proc_may_look(thread) == 0 ? s.exit_code : 0);
    return 0;
}

/* ---- statm ---- */

int proc_statm_show(const struct pseudo_node *n, struct text *t)
{
    THREAD_REF(thread, proc_thread(n));
    if (!thread)
        return -ESRCH;
    struct mm *mm = process_mm_get(thread->process);
    if (!mm) {
        text_puts(t, "0 0 0 0 0 0 0\n");
        return 0;
    }
    uint64_t rss = mm_resident_pages(mm);
    mutex_lock(&mm->lock);
    uint64_t code = (PAGE_ALIGN(mm->code_end) - ALIGN_DOWN(mm->code_start, PAGE_SIZE)) / PAGE_SIZE;
    /* Resident pages are not counted by kind: the shared column says no more than is sure. */
    text_printf(t, "%lu %lu 0 %lu 0 %lu 0\n", mm->total_vm, rss, code, mm->data_vm + mm->stack_vm);
    mutex_unlock(&mm->lock);
    mm_put(mm);
    return 0;
}
