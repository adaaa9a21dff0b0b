/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls by which one process looks into another: process_vm_readv, process_vm_writev, kcmp. The
 * caller needs the rights of ptrace's read access.
 *
 * Another process's memory is reachable only from within its address space (fs/proc_mm.c): bytes
 * go through a piece of kernel memory.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "crypto/drbg.h"
#include "fs/procfs.h"
#include "fs/uio.h"
#include "mm/mm.h"

#define PIECE (64u << 10)

/* The thread, counted, or err_ptr: -ESRCH, -EPERM. */
static struct thread *visible_thread(kpid_t tid)
{
    struct thread *t = thread_find(tid);
    if (!t)
        return err_ptr(-ESRCH);
    if (!proc_may_look(t))
        return t;
    thread_put(t);
    return err_ptr(-EPERM);
}

/* ---- process_vm_readv, process_vm_writev ---- */

/* One piece between buf and addr over there; the bytes moved, or -ENOMEM. */
static int64_t move_piece(struct mm *mm, uaddr_t addr, char *buf, size_t n, bool write)
{
    struct proc_mm_visit v;
    int err = proc_mm_enter(&v, mm);
    if (err)
        return err;
    size_t left = write ? copy_to_user_partial(addr, buf, n) : copy_from_user_partial(buf, addr, n);
    proc_mm_leave(&v);
    return (int64_t)(n - left);
}

/* As much as both sides have, up to the first fault. */
static int64_t move_all(struct mm *mm, struct uio *local, const struct k_iovec *remote, uint64_t nr,
                        bool write)
{
    char *buf = kmalloc(PIECE);
    int64_t total = 0, err = buf ? 0 : -ENOMEM;
    for (uint64_t i = 0; i < nr && !err; i++) {
        for (uint64_t done = 0; done < remote[i].len && local->remaining && !err;) {
            size_t n =
                (size_t)k_min(k_min(remote[i].len - done, local->remaining), (uint64_t)PIECE);
            size_t have = write ? uio_read(local, buf, n) : n;
            int64_t moved = move_piece(mm, remote[i].base + done, buf, have, write);
            if (moved > 0 && !write)
                moved = (int64_t)uio_write(local, buf, (size_t)moved);
            if (moved < (int64_t)n)
                err = moved < 0 ? moved : -EFAULT;
            total += k_max(moved, (int64_t)0);
            done += n;
            if (signal_pending_fatal())
                err = -EINTR;
        }
    }
    kfree(buf);
    return total ? total : err;
}

static int64_t move_between(kpid_t pid, uaddr_t local_iov, uint64_t nr_local, uaddr_t remote_iov,
                            uint64_t nr_remote, uint64_t flags, bool write)
{
    struct uio local;
    if (flags || nr_local > UIO_MAXIOV || nr_remote > UIO_MAXIOV)
        return -EINVAL;
    int64_t r = uio_init_iovec(&local, local_iov, (int)nr_local);
    if (r)
        return r;
    struct k_iovec *remote =
        nr_remote && local.remaining ? kmalloc(nr_remote * sizeof(*remote)) : NULL;
    struct mm *mm = NULL;
    if (nr_remote && local.remaining) {
        r = remote ? copy_from_user(remote, remote_iov, nr_remote * sizeof(*remote)) : -ENOMEM;
        for (uint64_t i = 0; !r && i < nr_remote; i++)
            r = (int64_t)remote[i].len < 0 ? -EINVAL : 0;
        struct thread *t = r ? err_ptr(r) : visible_thread(pid);
        r = is_err(t) ? ptr_err(t) : 0;
        if (!r) {
            mm = process_mm_get(t->process);
            thread_put(t);
            r = mm ? move_all(mm, &local, remote, nr_remote, write) : -ESRCH;
        }
    }
    if (mm)
        mm_put(mm);
    kfree(remote);
    uio_release(&local);
    return r;
}

int64_t sys_process_vm_readv(int pid, uaddr_t local, uint64_t nr_local, uaddr_t remote,
                             uint64_t nr_remote, uint64_t flags)
{
    return move_between(pid, local, nr_local, remote, nr_remote, flags, false);
}

int64_t sys_process_vm_writev(int pid, uaddr_t local, uint64_t nr_local, uaddr_t remote,
                              uint64_t nr_remote, uint64_t flags)
{
    return move_between(pid, local, nr_local, remote, nr_remote, flags, true);
}

/* ---- kcmp ---- */

enum { KCMP_FILE_K, KCMP_VM_K, KCMP_FILES_K, KCMP_FS_K, KCMP_SIGHAND_K, KCMP_IO_K, KCMP_SYSVSEM_K };

/* Only ever compared; NULL: there is none. */
static uintptr_t object_of(struct thread *t, int type, uint64_t fd)
{
    const void *object = NULL;
    if (type == KCMP_FILE_K) {
        struct files *files = process_files_get(t->process);
        struct file *f = files && fd <= INT_MAX ? files_get_file(files, (int)fd) : NULL;
        object = f;
        if (f)
            file_put(f);
        if (files)
            files_put(files);
        return (uintptr_t)object;
    }
    spin_lock(&proc_tree_lock);
    switch (type) {
    case KCMP_VM_K: object = t->home_mm ? t->home_mm : t->mm; break;
    case KCMP_FILES_K: object = t->files; break;
    case KCMP_FS_K: object = t->fs; break;
    case KCMP_SIGHAND_K: object = t->sighand; break;
    case KCMP_SYSVSEM_K: object = t->sem_undo; break;
    default: break; /* KCMP_IO: nobody has a context of its own */
    }
    spin_unlock(&proc_tree_lock);
    return (uintptr_t)object;
}

/* The order of two objects is one for all calls, but not that of their addresses. */
static uint64_t order_of(uintptr_t object)
{
    static uint64_t key;
    uint64_t none = 0, fresh;
    if (!__atomic_load_n(&key, __ATOMIC_RELAXED)) {
        drbg_fill(&fresh, sizeof(fresh));
        __atomic_compare_exchange_n(&key, &none, fresh | 1, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED);
    }
    return object * key;
}

int64_t sys_kcmp(int pid1, int pid2, int type, uint64_t fd1, uint64_t fd2)
{
    struct thread *a = thread_find(pid1), *b = thread_find(pid2);
    int64_t r = a && b ? 0 : -ESRCH;
    if (!r && (proc_may_look(a) || proc_may_look(b)))
        r = -EPERM;
    if (!r && (type < KCMP_FILE_K || type > KCMP_SYSVSEM_K))
        r = type == KCMP_SYSVSEM_K + 1 ? -EOPNOTSUPP : -EINVAL;
    if (!r) {
        uintptr_t x = object_of(a, type, fd1), y = object_of(b, type, fd2);
        if (type == KCMP_FILE_K && (!x || !y))
            r = -EBADF;
        else
            r = x == y ? 0 : order_of(x) < order_of(y) ? 1 : 2;
    }
    if (a)
        thread_put(a);
    if (b)
        thread_put(b);
    return r;
}
