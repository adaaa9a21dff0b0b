/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Life of address spaces: made empty, copied by fork, emptied by execve, taken apart after the last
 * user; and where things go in them:
 *
 *     USER_MIN ... ET_EXEC programs ... PIE programs, brk ... mmap (downwards) | trampolines | gap
 * | stack (downwards) ... USER_LIMIT
 */
#include "mm/mm.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "crypto/drbg.h"
#include "fs/vfs.h"
#include "mm/vma.h"
#include "proc/task.h"

#define ADDR_NO_RANDOMIZE_K 0x0040000u
#define STACK_TOP_DISTANCE (1ull << 30)
#define STACK_RANDOM_PAGES (1ull << 22)
#define MMAP_RANDOM_PAGES (1ull << 28)
#define STACK_ROOM_MIN (128ull << 20)
#define STACK_ROOM_MAX (16ull << 30)
/* Trampolines of text near mmap_base stand above it. */
#define TRAMPOLINE_RESERVE (3ull << 29)

static struct mm *mm_alloc(void)
{
    struct mm *mm = kzalloc(sizeof(*mm));
    if (!mm)
        return NULL;
    ref_init(&mm->ref, 1);
    mutex_init(&mm->lock);
    mm->mmap_base = USER_LIMIT - STACK_TOP_DISTANCE - STACK_ROOM_MIN - TRAMPOLINE_RESERVE;
    return mm;
}

struct mm *mm_create(void)
{
    struct mm *mm = mm_alloc();
    if (!mm)
        return NULL;
    mm->as = hal_as_create();
    if (!mm->as) {
        kfree(mm);
        return NULL;
    }
    return mm;
}

uaddr_t mm_layout(struct mm *mm)
{
    uint64_t random[2] = {0, 0};
    if (!(current->process->personality & ADDR_NO_RANDOMIZE_K))
        drbg_fill(random, sizeof(random));
    uaddr_t top = USER_LIMIT - STACK_TOP_DISTANCE - random[0] % STACK_RANDOM_PAGES * PAGE_SIZE;
    uint64_t room = k_min(k_max(rlimit_cur(RLIMIT_STACK_K), STACK_ROOM_MIN), STACK_ROOM_MAX);
    mm->mmap_base = (top - room - STACK_GUARD_GAP - TRAMPOLINE_RESERVE -
                     random[1] % MMAP_RANDOM_PAGES * PAGE_SIZE) &
                    PAGE_MASK;
    mm->gap_cache = mm->mmap_base;
    mm->gap_hole = 0;
    return top;
}

/* ---- the program file: nobody writes to it while it runs ---- */

static void release_exe(struct file *exe)
{
    if (!exe)
        return;
    inode_allow_write(exe->inode);
    file_put(exe);
}

int mm_set_exe(struct mm *mm, struct file *exe)
{
    int err = exe ? inode_deny_write(exe->inode) : 0;
    if (err)
        return err;
    if (exe)
        file_get(exe);
    mutex_lock(&mm->lock);
    struct file *old = mm->exe;
    mm->exe = exe;
    mutex_unlock(&mm->lock);
    release_exe(old);
    return 0;
}

/* ---- end ---- */

void mm_get(struct mm *mm)
{
    ref_get(&mm->ref);
}

/* Takes all areas out of the tree. */
static void unlink_all(struct mm *mm, struct list *dead)
{
    struct vma *v;
    while ((v = mm_first(mm))) {
        vma_remove(mm, v);
        list_add_tail(&v->mapping_link, dead);
    }
}

void mm_put(struct mm *mm)
{
    struct list dead = LIST_INIT(dead);
    if (!ref_put(&mm->ref))
        return;
    mutex_lock(&mm->lock);
    unlink_all(mm, &dead);
    mutex_unlock(&mm->lock);
    hal_as_destroy(mm->as);
    vma_free_list(&dead);
    release_exe(mm->exe);
    kfree(mm);
}

void mm_clear(struct mm *mm)
{
    struct list dead = LIST_INIT(dead);
    mutex_lock(&mm->lock);
    bool was_empty = mm->nr_vmas == 0;
    unlink_all(mm, &dead);
    if (!was_empty)
        hal_as_unmap(USER_MIN, USER_LIMIT - USER_MIN);
    struct file *exe = mm->exe;
    mm->exe = NULL;
    mm->brk_start = mm->brk = 0;
    mm->hiwater_rss = mm->last_rss = 0;
    mm->code_start = mm->code_end = mm->data_start = mm->data_end = mm->stack_start = 0;
    mm->arg_start = mm->arg_end = mm->env_start = mm->env_end = 0;
    mm->saved_auxv_len = 0;
    mm->vdso_base = 0;
    mm->locked_future = false;
    mm->revoke_pending = mm->fork_fixup = false;
    mutex_unlock(&mm->lock);
    vma_free_list(&dead);
    release_exe(exe);
}

void mm_switch_to(struct mm *mm)
{
    struct thread *t = current;
    spin_lock(&proc_tree_lock);
    struct mm *old = t->mm;
    t->mm = mm;
    spin_unlock(&proc_tree_lock);
    /* A CPU that cannot run the new address space yet does something else until it can. */
    while (this_cpu()->as != mm->as) {
        struct cpu *c = this_cpu();
        if (!hal_as_ready(mm->as, c->id)) {
            sched_give_way();
            continue;
        }
        c->as = mm->as;
        hal_switch(&t->hctx, &t->hctx, mm->as);
    }
    if (old)
        mm_put(old);
}

/* ---- fork ---- */

static void copy_layout(struct mm *to, const struct mm *from)
{
    to->mmap_base = from->mmap_base;
    to->gap_cache = from->gap_cache;
    to->gap_hole = from->gap_hole;
    to->brk_start = from->brk_start;
    to->brk = from->brk;
    to->code_start = from->code_start;
    to->code_end = from->code_end;
    to->data_start = from->data_start;
    to->data_end = from->data_end;
    to->stack_start = from->stack_start;
    to->arg_start = from->arg_start;
    to->arg_end = from->arg_end;
    to->env_start = from->env_start;
    to->env_end = from->env_end;
    memcpy(to->saved_auxv, from->saved_auxv, sizeof(to->saved_auxv));
    to->saved_auxv_len = from->saved_auxv_len;
    to->vdso_base = from->vdso_base;
    to->last_rss = to->hiwater_rss = from->last_rss;
}

/* The areas that shall not be in the child are copied too: the host's copy has them, and only the
 * child can drop them there. */
static int copy_areas(struct mm *to, struct mm *from)
{
    for (struct vma *v = mm_first(from); v; v = vma_next(v)) {
        struct vma *copy =
            vma_alloc(to, v->start, v->end, v->prot, v->max_prot, v->flags & ~(uint32_t)VMA_LOCKED,
                      v->file, v->inode, v->offset);
        if (!copy)
            return -ENOMEM;
        copy->backed_end = v->backed_end;
        if (v->flags & (VMA_DONTFORK | VMA_WIPEONFORK))
            to->fork_fixup = to->revoke_pending = true;
        vma_insert(to, copy);
        if (READ_ONCE(v->revoke))
            copy->revoke = to->revoke_pending = true;
    }
    return 0;
}

struct mm *mm_fork(void)
{
    struct mm *from = current->mm, *mm = mm_alloc();
    struct list dead = LIST_INIT(dead);
    if (!mm)
        return NULL;
    /* A child starts with its parent's resident set. Counting is dear, so once is enough for a
     * parent that forks often. */
    if (!READ_ONCE(from->last_rss))
        mm_count_resident(from);
    mutex_lock(&from->lock);
    copy_layout(mm, from);
    /* The mappings are known to their files before the host copies them, so that no truncate is
     * missed. */
    int err = copy_areas(mm, from);
    if (!err)
        mm->as = hal_as_fork();
    /* A running program's file has a negative count: this cannot fail. */
    if (mm->as && from->exe && inode_deny_write(from->exe->inode) == 0) {
        file_get(from->exe);
        mm->exe = from->exe;
    }
    mutex_unlock(&from->lock);
    if (mm->as)
        return mm;
    unlink_all(mm, &dead);
    vma_free_list(&dead);
    kfree(mm);
    return NULL;
}
