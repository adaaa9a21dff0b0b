/* SPDX-License-Identifier: Apache-2.0 */
/* The half of the mock HAL that knows the kernel's structures. */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/string.h"
#include "cella/host_abi.h"
#include "crypto/drbg.h"
#include "dev/host_ring.h"
#include "fs/vfs.h"
#include "mm/mm.h"
#include "mm/text_view.h"
#include "mock.h"
#include "proc/cpus.h"
#include "proc/futex.h"
#include "proc/pid.h"
#include "proc/signal_internal.h"
#include "proc/task.h"
#include "time/vdso_data.h"

void mock_stack_of(struct hal_context *c, const void **bottom, size_t *size);
uint64_t mock_kernel_heap(void);
void mock_time_passes_until(uint64_t mono_ns);
size_t mock_window_size(void);
void mock_serve_ring(void *window, int (*serve)(uint32_t slot));
void mock_kernel_boot(void *window);

static char idle_stack[KSTACK_SIZE] __attribute__((aligned(64)));

void mock_stack_of(struct hal_context *c, const void **bottom, size_t *size)
{
    struct thread *t = container_of(c, struct thread, hctx);
    *bottom = t == cpus[0].idle_thread ? NULL : t->kstack;
    *size = KSTACK_SIZE;
}

uint64_t mock_kernel_heap(void)
{
    return kmem_heap_bytes();
}

/* A microsecond for each time that somebody runs: used CPU time is not nothing. */
#define RUN_NS NSEC_PER_USEC

void mock_time_passes_until(uint64_t mono_ns)
{
    struct vdso_data *d = (struct vdso_data *)VDSO_DATA_ADDR;
    if (mono_ns > d->mono_base_ns)
        d->mono_base_ns = mono_ns;
}

size_t mock_window_size(void)
{
    return PAGE_ALIGN(sizeof(struct cella_host_window)) + CELLA_HOST_DATA_SIZE;
}

/* Serves what is in the submission ring at once. */
void mock_serve_ring(void *base, int (*serve)(uint32_t slot))
{
    struct cella_host_window *w = base;
    while (w->sq.head != w->sq.tail) {
        uint32_t slot = w->sq.entry[w->sq.head++ % CELLA_HOST_SLOTS];
        if (serve && !serve(slot))
            continue;
        if (!serve)
            w->slots[slot].rep = (struct cella_host_reply){.result = -ENOSYS};
        w->cq.entry[w->cq.tail % CELLA_HOST_SLOTS] = slot;
        __atomic_store_n(&w->cq.tail, w->cq.tail + 1, __ATOMIC_RELEASE);
    }
}

void mock_kernel_boot(void *window)
{
    struct cella_host_window *w = window;
    w->magic = CELLA_HOST_ABI_MAGIC;
    w->version = CELLA_HOST_ABI_VERSION;
    nr_cpus = 1;
    sched_init_cpu(0, idle_stack);
    __asm__ volatile("wrgsbase %0" ::"r"(&cpus[0]));
    void *base;
    size_t size;
    hal_kmem_window(&base, &size);
    kmem_init((char *)base + PAGE_SIZE, size - PAGE_SIZE);
    arch_xstate_init();
    time_init();
    if (host_ring_init())
        panic("no host ring");
    drbg_init();
    futex_init();
    text_view_init();
    mm_set_limit(1ull << 30);
    struct process *init = process_create_init();
    if (!init)
        panic("no process 1");
}

void keep_exit(int wait_status)
{
    panic("process 1 ended with wait status %d", wait_status);
}

/* An empty vDSO: programs get on without one. */
__asm__(".pushsection .rodata\n"
        ".globl vdso_image_start, vdso_image_end\n"
        "vdso_image_start: .zero 64\n"
        "vdso_image_end:\n"
        ".popsection");

/* ---- threads of tests ---- */

struct mock_job {
    void (*fn)(void *);
    void *arg;
    struct mm *mm; /* counted, as the next two; NULL: new ones */
    struct files *files;
    struct fs_context *fs;
    bool done;
};

/* Makes a thread of the kernel one of process 1, and back: so it has limits, signals and a number.
 */
static void join_process(struct thread *t, struct process *p)
{
    sighand_get(p->sighand);
    process_get(p);
    spin_lock(&proc_tree_lock);
    sighand_put(t->sighand);
    t->process = p;
    t->sighand = p->sighand;
    t->tid = pid_alloc(t, false);
    t->blocked = 0;
    list_add_tail(&t->process_link, &p->threads);
    p->nr_threads++;
    p->nr_live++;
    spin_unlock(&proc_tree_lock);
    process_put(kernel_process);
}

static void leave_process(struct thread *t)
{
    struct process *p = t->process, *kernel = kernel_process;
    sighand_get(kernel->sighand);
    process_get(kernel);
    spin_lock(&proc_tree_lock);
    list_del(&t->process_link);
    p->nr_threads--;
    p->nr_live--;
    pid_free_thread(t->tid);
    sighand_put(t->sighand);
    t->process = kernel;
    t->sighand = kernel->sighand;
    t->blocked = ~0ull;
    spin_unlock(&proc_tree_lock);
    sigpending_flush(&t->pending);
    process_put(p);
}

static void mount_first_root(void)
{
    struct super_block *sb = tmpfs_create(0755, 0);
    if (is_err(sb) || mount_add(sb, NULL, 0))
        panic("no root");
}

static void job_thread(void *p)
{
    struct mock_job *j = p;
    struct thread *t = current;
    if (!root_mount)
        mount_first_root();
    t->files = j->files ? j->files : files_create();
    t->fs = j->fs ? j->fs : fs_context_copy(NULL);
    struct mm *mm = j->mm;
    if (!mm && (mm = mm_create()) != NULL)
        mm_layout(mm);
    if (!t->files || !t->fs || !mm)
        panic("no memory for a test thread");
    t->fs_base = arch_fs_base();
    t->mm = mm;
    join_process(t, init_process);
    j->fn(j->arg);
    leave_process(t);
    files_put(t->files);
    t->files = NULL;
    fs_context_put(t->fs);
    t->fs = NULL;
    t->mm = NULL;
    mm_put(mm);
    j->done = true;
}

struct thread *mock_start(void (*fn)(void *arg), void *arg)
{
    struct mock_job *j = kzalloc(sizeof(*j));
    struct thread *t = current;
    if (!j)
        panic("no memory for a test thread");
    files_get(t->files);
    mm_get(t->mm);
    ref_get(&t->fs->ref);
    *j = (struct mock_job){.fn = fn, .arg = arg, .mm = t->mm, .files = t->files, .fs = t->fs};
    t = kthread_start("test", job_thread, j);
    if (!t)
        panic("no memory for a test thread");
    return t;
}

void mock_join(struct thread *t)
{
    struct mock_job *j = t->kthread_arg;
    while (!j->done || READ_ONCE(t->state) != THREAD_DEAD)
        mock_sleep(NSEC_PER_MSEC / 10);
    kfree(j);
    thread_put(t);
}

void mock_sleep(uint64_t ns)
{
    __atomic_store_n(&current->state, THREAD_UNINTERRUPTIBLE, __ATOMIC_SEQ_CST);
    schedule_timeout(ktime_add(time_mono_ns(), ns));
}

static void idle_once(void)
{
    schedule();
    mock_time_passes_until(time_mono_ns() + RUN_NS);
    if (cpus[0].nr_running)
        return;
    ktime_t next = ktimers_run();
    host_ring_flush();
    if (!cpus[0].nr_running && !host_ring_poll())
        hal_cpu_idle(next);
}

void mock_run(void (*fn)(void *arg), void *arg)
{
    struct mock_job j = {.fn = fn, .arg = arg};
    struct thread *t = kthread_start("test", job_thread, &j);
    if (!t)
        panic("no memory for a test thread");
    while (!j.done || t->state != THREAD_DEAD)
        idle_once();
    thread_put(t);
}
