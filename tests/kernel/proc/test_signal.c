/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/signal.h"

#include "base/errno.h"
#include "base/usercopy.h"
#include "ktest.h"
#include "proc/signal_internal.h"
#include "proc/task.h"

int64_t sys_rt_sigaction(int sig, uaddr_t new_addr, uaddr_t old_addr, uint64_t set_size);
int64_t sys_rt_sigprocmask(int how, uaddr_t new_addr, uaddr_t old_addr, uint64_t set_size);
int64_t sys_rt_sigpending(uaddr_t set_addr, uint64_t set_size);
int64_t sys_rt_sigtimedwait(uaddr_t set_addr, uaddr_t info_addr, uaddr_t timeout_addr,
                            uint64_t set_size);
int64_t sys_tgkill(int tgid, int tid, int sig);
int64_t sys_kill(int pid, int sig);
int64_t sys_vfork(void);
int64_t sys_clone(uint64_t flags, uaddr_t stack, uaddr_t parent_tid, uaddr_t child_tid,
                  uint64_t tls);
int64_t sys_wait4(int pid, uaddr_t status_addr, uint32_t options, uaddr_t usage_addr);
int64_t sys_waitid(int type, int id, uaddr_t info_addr, uint32_t options, uaddr_t usage_addr);

enum {
    NR_write = 1,
    NR_rt_sigaction = 13,
    NR_rt_sigprocmask = 14,
    NR_pause = 34,
    NR_nanosleep = 35,
    NR_getpid = 39,
    NR_exit = 60,
    NR_kill = 62,
    NR_gettid = 186,
    NR_tkill = 200
};

static void handle(int sig, uint64_t handler)
{
    struct k_sigaction a = {.handler = handler};
    int64_t unused = sys_rt_sigaction(sig, ktest_bytes(&a, sizeof(a)), 0, 8);
    (void)unused;
}

static void send_to_me(int sig, int value)
{
    struct k_siginfo info = {.si_signo = sig, .si_code = SI_QUEUE_K};
    info.rt.value = (uint64_t)value;
    signal_send_thread(current, &info);
}

KTEST(signal_is_pending_until_it_is_taken)
{
    struct k_siginfo info;
    handle(SIGUSR1, 0x1000);
    KCHECK(!signal_pending());
    send_to_me(SIGUSR1, 77);
    KCHECK(signal_pending());
    uaddr_t set = ktest_map(8);
    KCHECK_EQ(sys_rt_sigpending(set, 8), 0);
    KCHECK_EQ(signal_dequeue(SIGMASK(SIGUSR2), &info), 0);
    KCHECK_EQ(signal_dequeue(~0ull, &info), SIGUSR1);
    KCHECK_EQ(info.rt.value, 77);
    KCHECK(!signal_pending());
    KCHECK_EQ(signal_dequeue(~0ull, &info), 0);
}

KTEST(signal_standard_ones_are_kept_once_and_realtime_ones_queue_in_order)
{
    struct k_siginfo info;
    handle(SIGUSR1, 0x1000);
    handle(SIGRTMIN + 5, 0x1000);
    handle(SIGRTMIN + 2, 0x1000);
    for (int i = 0; i < 3; i++) {
        send_to_me(SIGUSR1, i);
        send_to_me(SIGRTMIN + 5, i);
        send_to_me(SIGRTMIN + 2, i);
    }
    KCHECK_EQ(signal_dequeue(~0ull, &info), SIGUSR1);
    KCHECK_EQ(info.rt.value, 0);
    for (int sig = SIGRTMIN + 2; sig <= SIGRTMIN + 5; sig += 3)
        for (int i = 0; i < 3; i++) {
            KCHECK_EQ(signal_dequeue(~0ull, &info), sig);
            KCHECK_EQ(info.rt.value, i);
        }
    KCHECK_EQ(signal_dequeue(~0ull, &info), 0);
}

KTEST(signal_ignored_ones_vanish_unless_blocked)
{
    handle(SIGUSR2, SIG_IGN_K);
    handle(SIGCHLD, SIG_DFL_K);
    send_to_me(SIGUSR2, 0);
    send_to_me(SIGCHLD, 0);
    send_to_me(SIGWINCH, 0);
    KCHECK_EQ(current->pending.set, 0);
    signal_set_blocked(SIGMASK(SIGUSR2));
    send_to_me(SIGUSR2, 0);
    KCHECK_EQ(current->pending.set, SIGMASK(SIGUSR2));
    KCHECK(!signal_pending());
    signal_set_blocked(0);
    handle(SIGUSR2, SIG_IGN_K); /* setting it drops what is pending */
    KCHECK_EQ(current->pending.set, 0);
}

KTEST(signal_mask_holds_back_and_lets_go)
{
    struct k_siginfo info;
    handle(SIGUSR1, 0x1000);
    signal_set_blocked(~0ull);
    KCHECK_EQ(current->blocked, ~(SIGMASK(SIGKILL) | SIGMASK(SIGSTOP)));
    send_to_me(SIGUSR1, 0);
    KCHECK(!signal_pending());
    signal_set_temporary_mask(0);
    KCHECK(signal_pending());
    signal_restore_temporary_mask();
    KCHECK(!signal_pending());
    KCHECK_EQ(signal_dequeue(~0ull, &info), SIGUSR1);
    signal_set_blocked(0);
}

KTEST(signal_queue_limit_is_told_to_senders_of_realtime_signals)
{
    struct k_rlimit old = current->process->rlim[RLIMIT_SIGPENDING_K];
    int sig = SIGRTMIN + 1, sent = 0;
    struct k_siginfo info = {.si_signo = sig, .si_code = SI_QUEUE_K}, got;
    handle(sig, 0x1000);
    handle(SIGUSR1, 0x1000);
    current->process->rlim[RLIMIT_SIGPENDING_K] = (struct k_rlimit){10, 10};
    while (sent < 100 && signal_send_thread(current, &info) == 0)
        sent++;
    KCHECK_EQ(sent, 10);
    KCHECK_EQ(signal_send_thread(current, &info), -EAGAIN);
    /* A standard one arrives all the same, without its information. */
    info.si_signo = SIGUSR1;
    KCHECK_EQ(signal_send_thread(current, &info), 0);
    KCHECK_EQ(signal_dequeue(SIGMASK(SIGUSR1), &got), SIGUSR1);
    while (sent && signal_dequeue(~0ull, &got) == sig)
        sent--;
    KCHECK_EQ(sent, 0);
    current->process->rlim[RLIMIT_SIGPENDING_K] = old;
    info.si_signo = sig;
    KCHECK_EQ(signal_send_thread(current, &info), 0);
    KCHECK_EQ(signal_dequeue(~0ull, &got), sig);
}

KTEST(sigtimedwait_takes_a_blocked_signal_and_times_out_without_one)
{
    sigset_k set = SIGMASK(SIGUSR1) | SIGMASK(SIGUSR2);
    uaddr_t uset = ktest_bytes(&set, 8), uinfo = ktest_map(128);
    struct k_timespec ts = {0, 1000000};
    uaddr_t uts = ktest_bytes(&ts, sizeof(ts));
    struct k_siginfo info;
    signal_set_blocked(set);
    KCHECK_EQ(sys_rt_sigtimedwait(uset, uinfo, uts, 8), -EAGAIN);
    KCHECK_EQ(sys_tgkill(1, current->tid, SIGUSR2), 0);
    KCHECK_EQ(sys_rt_sigtimedwait(uset, uinfo, uts, 8), SIGUSR2);
    KCHECK_EQ(copy_from_user(&info, uinfo, sizeof(info)), 0);
    KCHECK_EQ(info.si_signo, SIGUSR2);
    KCHECK_EQ(info.si_code, SI_TKILL_K);
    KCHECK_EQ(info.rt.pid, 1);
    KCHECK_EQ(sys_rt_sigtimedwait(uset, uinfo, uts, 4), -EINVAL);
    KCHECK_EQ(sys_rt_sigtimedwait(USER_LIMIT, uinfo, uts, 8), -EFAULT);
    signal_set_blocked(0);
}

struct sigwait_arg {
    uaddr_t set;
    int64_t result;
};

static void sigwaits(void *arg)
{
    struct sigwait_arg *w = arg;
    sigset_k set = 0;
    w->result = get_user(set, w->set);
    signal_set_blocked(set);
    w->result = sys_rt_sigtimedwait(w->set, 0, 0, 8);
}

KTEST(sigtimedwait_is_woken_by_the_signal)
{
    sigset_k set = SIGMASK(SIGRTMIN);
    struct sigwait_arg w = {.set = ktest_bytes(&set, 8)};
    struct thread *t = mock_start(sigwaits, &w);
    mock_sleep(NSEC_PER_MSEC);
    KCHECK_EQ(sys_tgkill(1, t->tid, SIGRTMIN), 0);
    mock_join(t);
    KCHECK_EQ(w.result, SIGRTMIN);
}

KTEST(kill_checks_its_arguments)
{
    KCHECK_EQ(sys_kill(30000, SIGTERM), -ESRCH);
    KCHECK_EQ(sys_kill(1, 65), -EINVAL);
    KCHECK_EQ(sys_kill(1, -1), -EINVAL);
    KCHECK_EQ(sys_kill(1, 0), 0);
    KCHECK_EQ(sys_tgkill(1, 30000, 0), -ESRCH);
    KCHECK_EQ(sys_tgkill(0, current->tid, 0), -EINVAL);
    KCHECK_EQ(sys_tgkill(2, current->tid, 0), -ESRCH);
}

/* ---- workload code: delivery, in a child that shares the address space ---- */

static volatile int order[16], nr_order;

static void note(int what)
{
    if (nr_order < 16)
        order[nr_order++] = what;
}

static void on_signal(int sig)
{
    note(sig);
}

static volatile int64_t interrupted_result;

static void user_sigaction(int sig, void (*handler)(int), uint64_t flags, sigset_k mask)
{
    struct k_sigaction a = {.handler = (uint64_t)handler,
                            .flags = flags | SA_RESTORER_K,
                            .restorer = (uint64_t)user_sigreturn,
                            .mask = mask};
    user_call(NR_rt_sigaction, (uint64_t)sig, (uint64_t)&a, 0, 8, 0, 0);
}

static int64_t wait_for(int64_t pid, int32_t *status)
{
    uaddr_t u = ktest_map(4);
    int64_t r = sys_wait4((int)pid, u, 0, 0);
    return get_user(*status, u) ? -EFAULT : r;
}

static int64_t child_status(void (*fn)(void))
{
    int32_t status = -1;
    ktest_child_entry(fn);
    int64_t pid = sys_vfork();
    return pid < 0 ? pid : wait_for(pid, &status) == pid ? status : -1;
}

static void signals_itself(void)
{
    user_sigaction(SIGUSR1, on_signal, 0, 0);
    note(100);
    int64_t pid = user_call(NR_getpid, 0, 0, 0, 0, 0, 0);
    user_call(NR_kill, (uint64_t)pid, SIGUSR1, 0, 0, 0, 0);
    note(101);
    user_exit(3);
}

KTEST(signal_handler_runs_on_the_way_out_and_returns)
{
    nr_order = 0;
    KCHECK_EQ(child_status(signals_itself), 3 << 8);
    KCHECK_EQ(nr_order, 3);
    KCHECK(order[0] == 100 && order[1] == SIGUSR1 && order[2] == 101);
}

static void on_outer(int sig)
{
    note(sig);
    user_call(NR_tkill, (uint64_t)user_call(NR_gettid, 0, 0, 0, 0, 0, 0), SIGUSR2, 0, 0, 0, 0);
    note(102);
}

static void nests_signals(void)
{
    user_sigaction(SIGUSR1, on_outer, 0, SIGMASK(SIGUSR2)); /* held back while the handler runs */
    user_sigaction(SIGUSR2, on_signal, 0, 0);
    user_call(NR_kill, (uint64_t)user_call(NR_getpid, 0, 0, 0, 0, 0, 0), SIGUSR1, 0, 0, 0, 0);
    note(103);
    user_sigaction(SIGUSR1, on_outer, 0, 0); /* nested this time */
    user_call(NR_kill, (uint64_t)user_call(NR_getpid, 0, 0, 0, 0, 0, 0), SIGUSR1, 0, 0, 0, 0);
    user_exit(0);
}

KTEST(signal_mask_of_the_action_holds_while_the_handler_runs)
{
    nr_order = 0;
    KCHECK_EQ(child_status(nests_signals), 0);
    static const int want[] = {SIGUSR1, 102, SIGUSR2, 103, SIGUSR1, SIGUSR2, 102};
    KCHECK_EQ(nr_order, ARRAY_LEN(want));
    for (size_t i = 0; i < ARRAY_LEN(want); i++)
        KCHECK_EQ(order[i], want[i]);
}

static void pauses(void)
{
    user_sigaction(SIGUSR1, on_signal, SA_RESTART_K, 0);
    interrupted_result = user_call(NR_pause, 0, 0, 0, 0, 0, 0);
    user_exit(0);
}

/* A child that runs beside the test: CLONE_VM, SIGCHLD. */
static int64_t start_child(void (*fn)(void))
{
    ktest_child_entry(fn);
    return sys_clone(0x100 | SIGCHLD, 0, 0, 0, 0);
}

KTEST(pause_ends_with_eintr_after_a_handler)
{
    int32_t status;
    nr_order = 0;
    int64_t pid = start_child(pauses);
    KCHECK(pid > 1);
    mock_sleep(NSEC_PER_MSEC);
    KCHECK_EQ(sys_kill((int)pid, SIGUSR1), 0);
    KCHECK_EQ(wait_for(pid, &status), pid);
    KCHECK_EQ(status, 0);
    KCHECK_EQ(interrupted_result, -EINTR);
    KCHECK_EQ(nr_order, 1);
}

KTEST(signals_without_handler_end_the_process_with_their_number)
{
    static const int sigs[] = {SIGTERM, SIGKILL, SIGSEGV, SIGRTMIN};
    for (size_t i = 0; i < ARRAY_LEN(sigs); i++) {
        int32_t status;
        int64_t pid = start_child(pauses);
        KCHECK(pid > 1);
        mock_sleep(NSEC_PER_MSEC / 10);
        KCHECK_EQ(sys_kill((int)pid, sigs[i]), 0);
        KCHECK_EQ(wait_for(pid, &status), pid);
        KCHECK_EQ(status & 0x7f, sigs[i]);
        KCHECK_EQ(sys_kill((int)pid, 0), -ESRCH);
    }
}

static void pauses_for_ever(void)
{
    for (;;)
        user_call(NR_pause, 0, 0, 0, 0, 0, 0);
}

KTEST(stop_and_continue_are_told_to_the_parent)
{
    int32_t status;
    uaddr_t u = ktest_map(4);
    int64_t pid = start_child(pauses_for_ever);
    KCHECK(pid > 1);
    mock_sleep(NSEC_PER_MSEC / 10);
    KCHECK_EQ(sys_kill((int)pid, SIGSTOP), 0);
    KCHECK_EQ(sys_wait4((int)pid, u, 2 /* WUNTRACED */, 0), pid);
    KCHECK_EQ(get_user(status, u), 0);
    KCHECK_EQ(status, SIGSTOP << 8 | 0x7f);
    KCHECK_EQ(sys_wait4((int)pid, u, 1 | 2 /* WNOHANG */, 0), 0); /* told once */
    KCHECK_EQ(sys_kill((int)pid, SIGCONT), 0);
    KCHECK_EQ(sys_wait4((int)pid, u, 8 /* WCONTINUED */, 0), pid);
    KCHECK_EQ(get_user(status, u), 0);
    KCHECK_EQ(status, 0xffff);
    KCHECK_EQ(sys_kill((int)pid, SIGSTOP), 0);
    KCHECK_EQ(sys_wait4((int)pid, u, 2, 0), pid);
    KCHECK_EQ(sys_kill((int)pid, SIGKILL), 0); /* ends a stopped one too */
    KCHECK_EQ(wait_for(pid, &status), pid);
    KCHECK_EQ(status, SIGKILL);
}
