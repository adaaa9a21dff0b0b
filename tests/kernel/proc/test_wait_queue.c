/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/wait_queue.h"

#include "base/errno.h"
#include "ktest.h"
#include "proc/signal_internal.h"
#include "proc/task.h"

int64_t sys_rt_sigaction(int sig, uaddr_t new_addr, uaddr_t old_addr, uint64_t set_size);

struct scene {
    struct wait_queue q;
    int flags, value, passed, result, threads_in;
    ktime_t deadline;
};

static void scene_init(struct scene *s, int flags)
{
    *s = (struct scene){.flags = flags, .deadline = KTIME_NEVER};
    wait_queue_init(&s->q);
}

static void waits_for_value(void *arg)
{
    struct scene *s = arg;
    int r;
    WAIT_EVENT(&s->q, READ_ONCE(s->value) > 0, s->flags, s->deadline, r);
    s->result = r;
    s->passed++;
}

static bool queue_is_empty(const struct wait_queue *q)
{
    return q->waiters.next == &q->waiters;
}

KTEST(wait_event_does_not_sleep_when_the_condition_holds)
{
    struct scene s;
    scene_init(&s, WAIT_UNINTERRUPTIBLE);
    s.value = 1;
    uint64_t voluntary = current->nr_voluntary;
    waits_for_value(&s);
    KCHECK_EQ(s.result, 0);
    KCHECK_EQ(current->nr_voluntary, voluntary);
    KCHECK(queue_is_empty(&s.q));
}

KTEST(wake_all_wakes_everybody)
{
    struct scene s;
    struct thread *t[5];
    scene_init(&s, WAIT_UNINTERRUPTIBLE | WAIT_EXCLUSIVE);
    for (int i = 0; i < 5; i++)
        t[i] = mock_start(waits_for_value, &s);
    mock_sleep(NSEC_PER_MSEC);
    s.value = 1;
    wake_all(&s.q, 0);
    for (int i = 0; i < 5; i++)
        mock_join(t[i]);
    KCHECK_EQ(s.passed, 5);
    KCHECK(queue_is_empty(&s.q));
}

KTEST(wake_one_wakes_the_first_exclusive_and_all_others)
{
    struct scene s;
    struct thread *t[4];
    scene_init(&s, WAIT_UNINTERRUPTIBLE | WAIT_EXCLUSIVE);
    for (int i = 0; i < 3; i++)
        t[i] = mock_start(waits_for_value, &s);
    mock_sleep(NSEC_PER_MSEC);
    /* A waiter of the other kind on the same queue: flags are the waiter's own. */
    s.flags = WAIT_UNINTERRUPTIBLE;
    t[3] = mock_start(waits_for_value, &s);
    mock_sleep(NSEC_PER_MSEC);
    s.value = 1;
    wake_one(&s.q, 0);
    mock_sleep(NSEC_PER_MSEC);
    KCHECK_EQ(s.passed, 2);
    wake_one(&s.q, 0);
    mock_sleep(NSEC_PER_MSEC);
    KCHECK_EQ(s.passed, 3);
    wake_one(&s.q, 0);
    for (int i = 0; i < 4; i++)
        mock_join(t[i]);
    KCHECK_EQ(s.passed, 4);
}

KTEST(spurious_wakes_go_back_to_sleep)
{
    struct scene s;
    scene_init(&s, WAIT_UNINTERRUPTIBLE);
    struct thread *t = mock_start(waits_for_value, &s);
    for (int i = 0; i < 5; i++) {
        mock_sleep(NSEC_PER_MSEC / 10);
        wake_all(&s.q, 0);
        KCHECK_EQ(s.passed, 0);
    }
    s.value = 1;
    wake_all(&s.q, 0);
    mock_join(t);
}

KTEST(wait_event_ends_at_its_deadline)
{
    struct scene s;
    scene_init(&s, WAIT_INTERRUPTIBLE);
    s.deadline = time_mono_ns() + NSEC_PER_MSEC;
    waits_for_value(&s);
    KCHECK_EQ(s.result, -ETIMEDOUT);
    KCHECK(time_mono_ns() >= s.deadline);
    KCHECK(queue_is_empty(&s.q));
    s.deadline = 0;
    waits_for_value(&s);
    KCHECK_EQ(s.result, -ETIMEDOUT);
    s.value = 1; /* the condition is looked at once more */
    waits_for_value(&s);
    KCHECK_EQ(s.result, 0);
}

static void handle_sigusr1(void)
{
    struct k_sigaction a = {.handler = 0x1000};
    uint64_t unused = (uint64_t)sys_rt_sigaction(SIGUSR1, ktest_bytes(&a, sizeof(a)), 0, 8);
    (void)unused;
}

static void send_sigusr1(struct thread *t)
{
    struct k_siginfo info = {.si_signo = SIGUSR1, .si_code = SI_TKILL_K};
    signal_send_thread(t, &info);
}

KTEST(a_signal_interrupts_only_who_allows_it)
{
    static const struct {
        int flags, result;
    } cases[] = {{WAIT_INTERRUPTIBLE, -ERESTARTSYS}, {WAIT_KILLABLE, 0}, {WAIT_UNINTERRUPTIBLE, 0}};
    handle_sigusr1();
    for (int i = 0; i < 3; i++) {
        struct scene s;
        scene_init(&s, cases[i].flags);
        struct thread *t = mock_start(waits_for_value, &s);
        mock_sleep(NSEC_PER_MSEC);
        send_sigusr1(t);
        mock_sleep(NSEC_PER_MSEC);
        KCHECK_EQ(s.passed, cases[i].result != 0);
        s.value = 1;
        wake_all(&s.q, 0);
        mock_join(t);
        KCHECK_EQ(s.result, cases[i].result);
    }
}

KTEST(a_signal_already_pending_does_not_hide_a_condition_that_holds)
{
    struct scene s;
    scene_init(&s, WAIT_INTERRUPTIBLE);
    handle_sigusr1();
    send_sigusr1(current);
    s.value = 1;
    waits_for_value(&s);
    KCHECK_EQ(s.result, 0);
    s.value = 0;
    waits_for_value(&s);
    KCHECK_EQ(s.result, -ERESTARTSYS);
}

/* ---- mutex ---- */

struct guarded {
    struct mutex m;
    int inside, most, total;
};

static void enters_often(void *arg)
{
    struct guarded *g = arg;
    for (int i = 0; i < 10; i++) {
        mutex_lock(&g->m);
        g->inside++;
        g->most = k_max(g->most, g->inside);
        if (i % 2)
            mock_sleep(20000);
        else
            schedule();
        g->inside--;
        g->total++;
        mutex_unlock(&g->m);
    }
}

KTEST(mutex_lets_one_in_at_a_time)
{
    struct guarded g = {0};
    struct thread *t[6];
    mutex_init(&g.m);
    for (int i = 0; i < 6; i++)
        t[i] = mock_start(enters_often, &g);
    for (int i = 0; i < 6; i++)
        mock_join(t[i]);
    KCHECK_EQ(g.total, 60);
    KCHECK_EQ(g.most, 1);
    KCHECK(!mutex_held(&g.m));
}

static void tries(void *arg)
{
    struct guarded *g = arg;
    g->most = mutex_trylock(&g->m);
}

KTEST(mutex_trylock_fails_while_it_is_held)
{
    struct guarded g = {0};
    mutex_init(&g.m);
    KCHECK(mutex_trylock(&g.m));
    KCHECK(mutex_held(&g.m));
    g.most = -1;
    mock_join(mock_start(tries, &g));
    KCHECK_EQ(g.most, 0);
    mutex_unlock(&g.m);
    KCHECK(mutex_trylock(&g.m));
    mutex_unlock(&g.m);
}
