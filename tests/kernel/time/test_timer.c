/* SPDX-License-Identifier: Apache-2.0 */
#include "time/time.h"

#include "base/errno.h"
#include "base/usercopy.h"
#include "hal.h"
#include "ktest.h"
#include "proc/signal_internal.h"
#include "proc/task.h"

int64_t sys_nanosleep(uaddr_t request, uaddr_t remaining);
int64_t sys_clock_nanosleep(int clock, int flags, uaddr_t request, uaddr_t remaining);
int64_t sys_clock_gettime(int clock, uaddr_t addr);
int64_t sys_rt_sigaction(int sig, uaddr_t new_addr, uaddr_t old_addr, uint64_t set_size);
int64_t sys_setitimer(int which, uaddr_t new_addr, uaddr_t old_addr);
int64_t sys_timer_create(int clock, uaddr_t event_addr, uaddr_t id_addr);
int64_t sys_timer_delete(int id);
int64_t sys_timer_settime(int id, int flags, uaddr_t new_addr, uaddr_t old_addr);
int64_t sys_timer_gettime(int id, uaddr_t addr);
int64_t sys_timer_getoverrun(int id);
int64_t sys_timerfd_create(int clock, int flags);
int64_t sys_timerfd_settime(int fd, int flags, uaddr_t new_value, uaddr_t old_value);
int64_t sys_read(int fd, uaddr_t buf, uint64_t count);

#define MS NSEC_PER_MSEC

static void handle(int sig)
{
    struct k_sigaction a = {.handler = 0x1000};
    if (sys_rt_sigaction(sig, ktest_bytes(&a, sizeof(a)), 0, 8))
        ktest_fail(__FILE__, __LINE__, "sigaction");
}

/* ---- kernel timers ---- */

struct test_timer {
    struct ktimer t;
    ktime_t fired_at;
    int fired, rearm;
    uint32_t order;
};

static uint32_t fire_order;

static void fires(struct ktimer *k)
{
    struct test_timer *t = container_of(k, struct test_timer, t);
    t->fired_at = time_mono_ns();
    t->fired++;
    t->order = ++fire_order;
    if (t->rearm-- > 0)
        ktimer_start(k, time_mono_ns() + MS / 10);
}

static void timer_init(struct test_timer *t)
{
    *t = (struct test_timer){0};
    ktimer_init(&t->t, fires);
}

KTEST(ktimers_fire_in_order_and_not_before_their_time)
{
    enum { N = 50 };
    static struct test_timer t[N];
    ktime_t now = time_mono_ns();
    fire_order = 0;
    for (int i = 0; i < N; i++) {
        timer_init(&t[i]);
        ktimer_start(&t[i].t, now + MS + (uint64_t)(i * 37 % N) * 10000);
    }
    mock_sleep(3 * MS);
    for (int i = 0; i < N; i++) {
        KCHECK_EQ(t[i].fired, 1);
        KCHECK(t[i].fired_at >= t[i].t.expires);
        for (int k = 0; k < N; k++)
            KCHECK(t[i].t.expires >= t[k].t.expires || t[i].order < t[k].order);
        KCHECK(!ktimer_cancel(&t[i].t));
    }
}

KTEST(ktimer_cancelled_or_moved_does_not_fire_at_the_old_time)
{
    static struct test_timer a, b;
    timer_init(&a);
    timer_init(&b);
    ktimer_start(&a.t, time_mono_ns() + MS);
    ktimer_start(&b.t, time_mono_ns() + MS);
    KCHECK(ktimer_cancel(&a.t));
    KCHECK(!ktimer_cancel(&a.t));
    ktimer_start(&b.t, time_mono_ns() + 5 * MS);
    mock_sleep(2 * MS);
    KCHECK_EQ(a.fired + b.fired, 0);
    mock_sleep(5 * MS);
    KCHECK(a.fired == 0 && b.fired == 1);
}

KTEST(ktimer_may_start_itself_again)
{
    static struct test_timer t;
    timer_init(&t);
    t.rearm = 4;
    ktimer_start(&t.t, 0);
    mock_sleep(3 * MS);
    KCHECK_EQ(t.fired, 5);
    t.rearm = 1000;
    ktimer_start(&t.t, 0);
    mock_sleep(MS);
    KCHECK(ktimer_cancel(&t.t));
    int n = t.fired;
    mock_sleep(MS);
    KCHECK_EQ(t.fired, n);
}

/* ---- clocks and sleeping ---- */

KTEST(clock_monotonic_does_not_go_back)
{
    ktime_t last = 0;
    for (int i = 0; i < 10000; i++) {
        ktime_t now = time_mono_ns();
        KCHECK(now >= last);
        last = now;
        if (i % 100 == 0)
            time_update();
    }
}

KTEST(clock_words_that_can_be_no_clock_are_refused)
{
    static const struct hal_clock good = {1000, 5000, 0, 1u << 25, 26},
                                  bad[] = {{1001, 5000, 0, 1u << 25, 26},
                                           {1000, 1ull << 62, 0, 1u << 25, 26},
                                           {1000, UINT64_MAX, 0, 1u << 25, 26},
                                           {1000, 5000, 0, 0, 26},
                                           {1000, 5000, 0, 1u << 25, 64},
                                           {1000, 5000, 0, 1u << 25, UINT32_MAX},
                                           {1000, 5000, 0, 1u << 25, 0},
                                           {1000, 5000, 0, UINT32_MAX, 20},
                                           {1000, 5000, 0, 1, 63},
                                           {0, 0, 0, 0, 0}};
    KCHECK(hal_clock_plausible(&good, 1000));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        KCHECK(!hal_clock_plausible(&bad[i], 1000));
}

KTEST(timespec_arithmetic_saturates)
{
    struct k_timespec t = {INT64_MAX, 999999999};
    KCHECK_EQ(timespec_to_ns(&t), KTIME_NEVER - 1);
    KCHECK_EQ(ktime_add(KTIME_NEVER - 5, 10), KTIME_NEVER);
    KCHECK_EQ(ktime_add(5, 10), 15);
    t = (struct k_timespec){0, 1000000000};
    KCHECK(!timespec_valid(&t));
    t = (struct k_timespec){-1, 0};
    KCHECK(!timespec_valid(&t));
}

static uaddr_t spec(uint64_t ns)
{
    struct k_timespec ts = ns_to_timespec(ns);
    return ktest_bytes(&ts, sizeof(ts));
}

KTEST(nanosleep_sleeps_and_checks)
{
    ktime_t start = time_mono_ns();
    KCHECK_EQ(sys_nanosleep(spec(2 * MS), 0), 0);
    KCHECK(time_mono_ns() - start >= 2 * MS);
    start = time_mono_ns();
    KCHECK_EQ(sys_clock_nanosleep(1, 1, spec(start + MS), 0), 0);
    KCHECK(time_mono_ns() >= start + MS);
    KCHECK_EQ(sys_clock_nanosleep(1, 1, spec(1), 0), 0);
    struct k_timespec bad = {0, -1};
    KCHECK_EQ(sys_nanosleep(ktest_bytes(&bad, sizeof(bad)), 0), -EINVAL);
    KCHECK_EQ(sys_nanosleep(8, 0), -EFAULT);
    KCHECK_EQ(sys_clock_nanosleep(77, 0, spec(1), 0), -EINVAL);
    KCHECK_EQ(sys_clock_gettime(77, spec(0)), -EINVAL);
}

struct sleeper {
    uaddr_t request, remaining;
    int64_t result;
};

static void sleeps(void *arg)
{
    struct sleeper *s = arg;
    s->result = sys_nanosleep(s->request, s->remaining);
}

KTEST(nanosleep_interrupted_tells_what_is_left)
{
    struct k_siginfo info = {.si_signo = SIGUSR1};
    struct k_timespec left;
    handle(SIGUSR1);
    struct sleeper s = {.request = spec(100 * NSEC_PER_SEC), .remaining = ktest_map(16)};
    struct thread *t = mock_start(sleeps, &s);
    mock_sleep(MS);
    signal_send_thread(t, &info);
    mock_join(t);
    KCHECK_EQ(s.result, -ERESTART_RESTARTBLOCK);
    KCHECK_EQ(copy_from_user(&left, s.remaining, sizeof(left)), 0);
    KCHECK(left.sec == 99 && left.nsec > 0);
}

/* ---- timers of the process ---- */

static int taken(int sig, struct k_siginfo *info)
{
    return signal_dequeue(SIGMASK(sig), info);
}

KTEST(itimer_real_sends_sigalrm_again_and_again)
{
    struct k_timeval v[2] = {{0, 1000}, {0, 1000}}, off[2] = {{0, 0}, {0, 0}};
    struct k_siginfo info;
    handle(SIGALRM);
    KCHECK_EQ(sys_setitimer(0, ktest_bytes(v, sizeof(v)), 0), 0);
    for (int i = 0; i < 3; i++) {
        mock_sleep(3 * MS);
        KCHECK_EQ(taken(SIGALRM, &info), SIGALRM);
        KCHECK_EQ(taken(SIGALRM, &info), 0);
    }
    KCHECK_EQ(sys_setitimer(0, ktest_bytes(off, sizeof(off)), 0), 0);
    taken(SIGALRM, &info);
    mock_sleep(3 * MS);
    KCHECK_EQ(taken(SIGALRM, &info), 0);
    v[0].usec = 1000000;
    KCHECK_EQ(sys_setitimer(0, ktest_bytes(v, sizeof(v)), 0), -EINVAL);
    KCHECK_EQ(sys_setitimer(3, ktest_bytes(off, sizeof(off)), 0), -EINVAL);
}

static int new_timer(int sig, int value)
{
    struct {
        uint64_t value;
        int32_t signo, notify, pad[12];
    } ev = {(uint64_t)value, sig, 0, {0}};
    int32_t id = -1;
    uaddr_t u = ktest_map(4);
    int64_t r = sys_timer_create(1, ktest_bytes(&ev, sizeof(ev)), u);
    return r || get_user(id, u) ? -1 : id;
}

static int64_t arm(int id, uint64_t value_ns, uint64_t interval_ns)
{
    struct k_itimerspec s = {ns_to_timespec(interval_ns), ns_to_timespec(value_ns)};
    return sys_timer_settime(id, 0, ktest_bytes(&s, sizeof(s)), 0);
}

KTEST(posix_timer_counts_overruns)
{
    struct k_siginfo info;
    int sig = SIGRTMIN + 3;
    handle(sig);
    int id = new_timer(sig, 31);
    KCHECK(id >= 0);
    KCHECK_EQ(arm(id, MS, MS), 0);
    mock_sleep(8 * MS);
    KCHECK_EQ(taken(sig, &info), sig);
    KCHECK(info.si_code == SI_TIMER_K && info.timer.value == 31);
    KCHECK(info.timer.overrun >= 4);
    KCHECK_EQ(sys_timer_getoverrun(id), info.timer.overrun);
    KCHECK_EQ(taken(sig, &info), 0); /* one at a time */
    mock_sleep(3 * MS);
    KCHECK_EQ(taken(sig, &info), sig);
    KCHECK_EQ(sys_timer_delete(id), 0);
    KCHECK_EQ(sys_timer_delete(id), -EINVAL);
}

KTEST(posix_timer_deleted_while_its_signal_waits)
{
    struct k_siginfo info;
    int sig = SIGRTMIN + 4;
    handle(sig);
    for (int i = 0; i < 5; i++) {
        int id = new_timer(sig, i);
        KCHECK_EQ(arm(id, 1, 0), 0);
        mock_sleep(MS / 2);
        KCHECK_EQ(sys_timer_delete(id), 0);
        if (i % 2)
            KCHECK_EQ(taken(sig, &info), sig);
    }
    while (taken(sig, &info))
        ;
}

KTEST(posix_timer_disarmed_keeps_quiet_and_tells_its_time)
{
    struct k_siginfo info;
    struct k_itimerspec s;
    int sig = SIGRTMIN + 5;
    handle(sig);
    int id = new_timer(sig, 0);
    uaddr_t u = ktest_map(sizeof(s));
    KCHECK_EQ(arm(id, NSEC_PER_SEC, 0), 0);
    KCHECK_EQ(sys_timer_gettime(id, u), 0);
    KCHECK_EQ(copy_from_user(&s, u, sizeof(s)), 0);
    KCHECK(timespec_to_ns(&s.value) > 0 && timespec_to_ns(&s.value) <= NSEC_PER_SEC);
    KCHECK_EQ(arm(id, 2 * MS, 0), 0);
    KCHECK_EQ(arm(id, 0, 0), 0);
    mock_sleep(4 * MS);
    KCHECK_EQ(taken(sig, &info), 0);
    KCHECK_EQ(sys_timer_gettime(id, u), 0);
    KCHECK_EQ(copy_from_user(&s, u, sizeof(s)), 0);
    KCHECK(s.value.sec == 0 && s.value.nsec == 0);
    KCHECK_EQ(sys_timer_delete(id), 0);
}

KTEST(timerfd_counts_expirations)
{
    uint64_t n = 0;
    int fd = (int)sys_timerfd_create(1, 04000 /* O_NONBLOCK */);
    KCHECK(fd >= 0);
    uaddr_t u = ktest_map(8);
    struct k_itimerspec s = {ns_to_timespec(MS), ns_to_timespec(MS)};
    KCHECK_EQ(sys_read(fd, u, 8), -EAGAIN);
    KCHECK_EQ(sys_timerfd_settime(fd, 0, ktest_bytes(&s, sizeof(s)), 0), 0);
    mock_sleep(6 * MS);
    KCHECK_EQ(sys_read(fd, u, 8), 8);
    KCHECK_EQ(get_user(n, u), 0);
    KCHECK(n >= 5);
    KCHECK_EQ(sys_read(fd, u, 7), -EINVAL);
}
