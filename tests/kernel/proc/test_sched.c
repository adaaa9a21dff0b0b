/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/sched.h"

#include "base/kmalloc.h"
#include "ktest.h"
#include "proc/cpus.h"
#include "proc/task.h"

static int log_pos;
static char log_text[64];

static void note(char c)
{
    if (log_pos < (int)sizeof(log_text) - 1)
        log_text[log_pos++] = c;
    log_text[log_pos] = 0;
}

static void three_rounds(void *arg)
{
    for (int i = 0; i < 3; i++) {
        note(*(const char *)arg);
        sched_give_way();
    }
}

KTEST(sched_runnable_threads_take_turns)
{
    log_pos = 0;
    struct thread *a = mock_start(three_rounds, "a"), *b = mock_start(three_rounds, "b");
    mock_join(a);
    mock_join(b);
    KCHECK_EQ(log_pos, 6);
    for (int i = 0; i < 6; i += 2)
        KCHECK(log_text[i] == 'a' && log_text[i + 1] == 'b');
}

KTEST(sched_timeout_passes_no_earlier_than_asked)
{
    ktime_t start = time_mono_ns();
    current->state = THREAD_UNINTERRUPTIBLE;
    KCHECK(schedule_timeout(start + 2 * NSEC_PER_MSEC));
    KCHECK(time_mono_ns() >= start + 2 * NSEC_PER_MSEC);
    KCHECK_EQ(current->state, THREAD_RUNNABLE);
}

KTEST(sched_timeout_in_the_past_does_not_sleep)
{
    uint64_t switches = cpus[0].nr_switches;
    current->state = THREAD_INTERRUPTIBLE;
    KCHECK(schedule_timeout(1));
    KCHECK_EQ(current->state, THREAD_RUNNABLE);
    KCHECK_EQ(cpus[0].nr_switches, switches);
}

static void sleep_in_state(void *arg)
{
    __atomic_store_n(&current->state, *(const uint8_t *)arg, __ATOMIC_SEQ_CST);
    schedule();
}

KTEST(sched_wake_looks_at_the_state_of_the_sleeper)
{
    static const uint8_t killable = THREAD_KILLABLE;
    struct thread *t = mock_start(sleep_in_state, (void *)(uintptr_t)&killable);
    mock_sleep(NSEC_PER_MSEC);
    KCHECK_EQ(t->state, THREAD_KILLABLE);
    KCHECK(!thread_wake_if(t, 1u << THREAD_INTERRUPTIBLE | 1u << THREAD_STOPPED));
    KCHECK(thread_wake_if(t, 1u << THREAD_KILLABLE));
    KCHECK(!thread_wake(t)); /* it is runnable now */
    mock_join(t);
}

static void waits_long(void *arg)
{
    current->state = THREAD_INTERRUPTIBLE;
    *(int *)arg = schedule_timeout(time_mono_ns() + 3600 * NSEC_PER_SEC);
}

KTEST(sched_timeout_says_when_somebody_woke_it_first)
{
    int passed = -1;
    struct thread *t = mock_start(waits_long, &passed);
    mock_sleep(NSEC_PER_MSEC);
    KCHECK(thread_wake(t));
    mock_join(t);
    KCHECK_EQ(passed, 0);
}

KTEST(sched_wake_before_the_switch_is_not_lost)
{
    current->state = THREAD_INTERRUPTIBLE;
    KCHECK(thread_wake(current));
    schedule(); /* returns: nobody else would wake it */
    KCHECK_EQ(current->state, THREAD_RUNNABLE);
}

static void ends_at_once(void *arg)
{
    ++*(int *)arg;
}

KTEST(sched_many_threads_come_and_go_without_growing)
{
    int n = 0;
    size_t before = 0;
    for (int round = 0; round < 20; round++) {
        struct thread *t[16];
        for (int i = 0; i < 16; i++)
            t[i] = mock_start(ends_at_once, &n);
        for (int i = 0; i < 16; i++)
            mock_join(t[i]);
        if (round == 9)
            before = kmem_heap_bytes();
    }
    KCHECK_EQ(n, 320);
    KCHECK(kmem_heap_bytes() <= before);
}

KTEST(sched_accounts_switches_to_the_thread)
{
    uint64_t voluntary = current->nr_voluntary, involuntary = current->nr_involuntary;
    schedule();
    KCHECK_EQ(current->nr_involuntary, involuntary + 1);
    mock_sleep(1000);
    KCHECK(current->nr_voluntary == voluntary + 1);
}

KTEST(sched_load_counts_what_runs)
{
    uint32_t avg[3], running;
    sched_loadavg(avg, &running);
    KCHECK_EQ(running, 1);
}
