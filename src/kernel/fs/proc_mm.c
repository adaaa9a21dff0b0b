/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of processes as /proc shows it: arguments, environment, auxiliary vector, mem.
 *
 * Another process's memory is reachable only from within its address space. So a reader goes there,
 * copies into kernel memory, and comes back (proc_mm_enter). Its registers of extended state and FS
 * base stay behind on its own carrier, so they are put aside. The visited address space is counted
 * meanwhile: an execve over there takes a fresh one instead of clearing it.
 */
#include "base/kmalloc.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "fs/procfs.h"
#include "mm/mm.h"

#define PIECE 4096u
/* The longest argument list that is shown. */
#define STRINGS_MAX (8u << 20)

static size_t xstate_pages(void)
{
    return PAGE_ALIGN(arch_xstate_size()) / PAGE_SIZE;
}

/* Others who ask for this process's address space meanwhile get its own. */
static void set_home(struct mm *own)
{
    spin_lock(&proc_tree_lock);
    current->home_mm = own;
    spin_unlock(&proc_tree_lock);
}

int proc_mm_enter(struct proc_mm_visit *v, struct mm *mm)
{
    struct thread *t = current;
    *v = (struct proc_mm_visit){NULL, NULL, 0};
    if (mm == t->mm)
        return 0;
    if (!t->mm)
        return -ENOMEM;
    v->xstate = kpages_alloc(xstate_pages());
    if (!v->xstate)
        return -ENOMEM;
    memset(v->xstate, 0, arch_xstate_size()); /* reserved parts of the header must be zero */
    arch_xstate_save(v->xstate);
    v->fs_base = arch_fs_base();
    v->own = t->mm;
    mm_get(v->own);
    mm_get(mm);
    set_home(v->own);
    mm_switch_to(mm);
    return 0;
}

void proc_mm_leave(struct proc_mm_visit *v)
{
    if (!v->own)
        return;
    mm_switch_to(v->own);
    set_home(NULL);
    arch_set_fs_base(v->fs_base);
    arch_xstate_restore(v->xstate);
    kpages_free(v->xstate, xstate_pages());
}

struct mm *proc_node_mm(const struct pseudo_node *n, bool private, int *err)
{
    THREAD_REF(t, proc_thread(n));
    *err = !t ? -ESRCH : private ? proc_may_look(t) : 0;
    return *err ? NULL : process_mm_get(t->process);
}

/* ---- arguments, environment ---- */

/* Appends [start, end) of the address space that the caller is in; stops at what cannot be read.
 * True: all of it. */
static bool append_user(struct text *t, uaddr_t start, uaddr_t end)
{
    char *buf = kmalloc(PIECE);
    while (buf && start < end && !t->failed) {
        size_t n = (size_t)k_min(end - start, (uaddr_t)PIECE);
        size_t left = copy_from_user_partial(buf, start, n);
        text_write(t, buf, n - left);
        start += n - left;
        if (left)
            break;
    }
    if (!buf)
        t->failed = true;
    kfree(buf);
    return start == end;
}

static int show_strings(const struct pseudo_node *n, struct text *t, bool args)
{
    struct proc_mm_visit v;
    int err;
    struct mm *mm = proc_node_mm(n, !args, &err);
    if (!mm)
        return err;
    mutex_lock(&mm->lock);
    uaddr_t start = args ? mm->arg_start : mm->env_start, end = args ? mm->arg_end : mm->env_end,
            env_end = mm->env_end;
    mutex_unlock(&mm->lock);
    err = start < end ? proc_mm_enter(&v, mm) : 0;
    if (start < end && !err) {
        bool all = append_user(t, start, k_min(end, start + STRINGS_MAX));
        /* A program that writes a longer title over its arguments, and on into the environment,
         * leaves no NUL at their end. */
        if (args && all && t->len && t->buf[t->len - 1] != 0) {
            size_t old = t->len;
            append_user(t, end, k_min(env_end, end + STRINGS_MAX));
            const char *nul = memchr(t->buf + old, 0, t->len - old);
            size_t keep = strnlen(t->buf, old);
            t->len = keep < old ? keep + 1 : nul ? (size_t)(nul - t->buf) + 1 : t->len;
        }
        proc_mm_leave(&v);
    }
    mm_put(mm);
    return err;
}

int proc_cmdline_show(const struct pseudo_node *n, struct text *t)
{
    return show_strings(n, t, true);
}

int proc_environ_show(const struct pseudo_node *n, struct text *t)
{
    return show_strings(n, t, false);
}

int proc_auxv_show(const struct pseudo_node *n, struct text *t)
{
    int err;
    struct mm *mm = proc_node_mm(n, true, &err);
    if (!mm)
        return err;
    mutex_lock(&mm->lock);
    text_write(t, mm->saved_auxv, (size_t)mm->saved_auxv_len * 2 * sizeof(uint64_t));
    mutex_unlock(&mm->lock);
    mm_put(mm);
    return 0;
}

/* ---- mem ---- */

/* Each use looks the process up again, and whether current may look into it: the file keeps no
 * memory alive, and gives no right that a program with other credentials, executed meanwhile, would
 * take away. */
static int mem_open(struct inode *inode, struct file *f)
{
    return proc_open_private(pseudo_node(inode));
}

/* Moves between u and the memory of f's process, through a piece of kernel memory: u's addresses
 * are the caller's own. */
static int64_t mem_move(struct file *f, struct uio *u, uint64_t *pos, bool write)
{
    int64_t total = 0;
    int err;
    struct mm *mm = proc_node_mm(pseudo_node(f->inode), true, &err);
    if (!mm)
        return err == -ESRCH ? 0 : err;
    char *buf = kmalloc(PIECE);
    if (!buf)
        err = -ENOMEM;
    while (u->remaining && !err) {
        struct proc_mm_visit v;
        size_t n = (size_t)k_min(u->remaining, (uint64_t)PIECE), left;
        if (write) {
            size_t got = uio_read(u, buf, n);
            if (!got)
                err = -EFAULT;
            n = got;
        }
        if (!err)
            err = proc_mm_enter(&v, mm);
        if (err)
            break;
        left = write ? copy_to_user_partial(*pos, buf, n) : copy_from_user_partial(buf, *pos, n);
        proc_mm_leave(&v);
        size_t moved = n - left;
        if (write && left)
            uio_revert(u, left);
        if (!write && moved) {
            size_t put = uio_write(u, buf, moved);
            if (put < moved)
                err = -EFAULT;
            moved = put;
        }
        *pos += moved;
        total += (int64_t)moved;
        if (left)
            err = -EIO; /* nothing is mapped there, or not for that */
    }
    kfree(buf);
    mm_put(mm);
    return total ? total : err;
}

static int64_t mem_read(struct file *f, struct uio *u, uint64_t *pos)
{
    return mem_move(f, u, pos, false);
}

static int64_t mem_write(struct file *f, struct uio *u, uint64_t *pos)
{
    return mem_move(f, u, pos, true);
}

static int64_t mem_lseek(struct file *f, int64_t off, int whence)
{
    if (whence == SEEK_CUR_K)
        off += (int64_t)f->pos;
    else if (whence != SEEK_SET_K)
        return -EINVAL;
    f->pos = (uint64_t)off;
    return off;
}

const struct file_ops proc_mem_fops = {
    .read = mem_read, .write = mem_write, .lseek = mem_lseek, .open = mem_open};
