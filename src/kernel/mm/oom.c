/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keep's memory limit: refusing what cannot be had, counting what processes hold, and killing
 * the largest one when the keep is over its limit all the same (memory is given on first touch, so
 * a promise may prove too large).
 *
 * Resident sets can be counted only in the address space that is current. So while the keep is near
 * its limit each tick counts that of the process it interrupted, at most every SAMPLE_NS; the
 * victim is chosen by the last counts.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/string.h"
#include "fs/vfs.h"
#include "mm/mm.h"
#include "mm/page_cache_impl.h"
#include "mm/vma.h"
#include "proc/task.h"

#define SAMPLE_NS (50 * NSEC_PER_MSEC)
#define KILL_PAUSE_NS (200 * NSEC_PER_MSEC) /* what the last victim held must have time to go */
#define VEC_PAGES 4096ul
#define OOM_SCORE_ADJ_MIN (-1000)

static uint64_t limit_bytes = UINT64_MAX;
static ktime_t next_sample, next_kill; /* raced for by compare-and-swap */

void mm_set_limit(uint64_t bytes)
{
    limit_bytes = bytes ? bytes : UINT64_MAX;
}

uint64_t mm_limit_bytes(void)
{
    return limit_bytes;
}

bool mm_over_limit(uint64_t bytes)
{
    uint64_t limit = limit_bytes;
    if (bytes > limit)
        return true;
    if (hal_mem_used() <= limit - bytes)
        return false;
    page_cache_make_room(bytes);
    return hal_mem_used() > limit - bytes;
}

/* ---- counting ---- */

static uint64_t resident_in(uaddr_t start, uaddr_t end, uint8_t *vec)
{
    uint64_t n = 0;
    for (uaddr_t at = start; at < end; at += VEC_PAGES * PAGE_SIZE) {
        uint64_t len = k_min(end - at, VEC_PAGES * PAGE_SIZE);
        if (hal_as_resident(at, len, vec))
            continue;
        for (uint64_t i = 0; i < len / PAGE_SIZE; i++)
            n += vec[i] & 1;
    }
    return n;
}

uint64_t mm_count_resident(struct mm *mm)
{
    uint8_t *vec = kmalloc(VEC_PAGES);
    uint64_t n = 0;
    if (!vec)
        return mm->last_rss;
    mutex_lock(&mm->lock);
    for (struct vma *v = mm_first(mm); v; v = vma_next(v))
        if (v->prot)
            n += resident_in(v->start, k_min(v->end, v->backed_end), vec);
    mm->last_rss = n;
    mm->hiwater_rss = k_max(mm->hiwater_rss, n);
    mutex_unlock(&mm->lock);
    kfree(vec);
    return n;
}

uint64_t mm_resident_pages(struct mm *mm)
{
    if (mm == current->mm)
        return mm_count_resident(mm);
    uint64_t n = READ_ONCE(mm->last_rss);
    if (n)
        return n;
    /* Never counted: no more than it may hold, and than the keep holds. */
    return k_min(mm->data_vm + mm->stack_vm + mm->exec_vm, hal_mem_used() / PAGE_SIZE);
}

/* True for one caller in each interval. */
static bool my_turn(ktime_t *next, ktime_t now, uint64_t interval)
{
    ktime_t due = __atomic_load_n(next, __ATOMIC_RELAXED);
    return now >= due && __atomic_compare_exchange_n(next, &due, now + interval, false,
                                                     __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* ---- killing ---- */

struct victim {
    struct process *process; /* counted */
    int64_t score;
};

static int look_at(struct process *p, void *arg)
{
    struct victim *v = arg;
    if (p->zombie || p->exiting || p->is_kernel || p->oom_score_adj <= OOM_SCORE_ADJ_MIN)
        return 0;
    int64_t score = (int64_t)READ_ONCE(p->rss_pages) +
                    (int64_t)(limit_bytes / PAGE_SIZE / 1000) * p->oom_score_adj;
    if (v->process && score <= v->score)
        return 0;
    if (v->process)
        process_put(v->process);
    process_get(p);
    v->process = p;
    v->score = score;
    return 0;
}

static void kill_largest(uint64_t used)
{
    struct victim v = {NULL, 0};
    char comm[TASK_COMM_LEN] = "";
    process_for_each(look_at, &v);
    if (!v.process)
        return;
    spin_lock(&proc_tree_lock);
    if (v.process->leader)
        k_strlcpy(comm, v.process->leader->comm, sizeof(comm));
    spin_unlock(&proc_tree_lock);
    printk("out of memory: the keep holds %lu MiB of its %lu MiB; killed process %d (%s), which "
           "held %lu MiB",
           (unsigned long)(used >> 20), (unsigned long)(limit_bytes >> 20), v.process->pid, comm,
           (unsigned long)(v.process->rss_pages * PAGE_SIZE >> 20));
    signal_kill_process(v.process, SIGKILL);
    process_put(v.process);
}

void mm_oom_check(void)
{
    uint64_t used = hal_mem_used(), limit = limit_bytes;
    struct process *p = current->process;
    if (used <= limit - limit / 8)
        return;
    ktime_t now = time_mono_ns();
    if (current->mm && my_turn(&next_sample, now, SAMPLE_NS)) {
        p->rss_pages = mm_count_resident(current->mm);
        p->max_rss_kib = k_max(p->max_rss_kib, p->rss_pages * (PAGE_SIZE / 1024));
    }
    if (used <= limit || !my_turn(&next_kill, now, KILL_PAUSE_NS))
        return;
    if (page_cache_reclaim(used - limit + limit / 32) >= used - limit)
        return;
    if (current->mm)
        p->rss_pages = mm_count_resident(current->mm);
    kill_largest(used);
}
