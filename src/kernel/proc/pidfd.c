/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pidfds: descriptors that name a process for ever, whatever becomes of its number. The file counts
 * the process. Readable when the process has ended; POLLHUP too once it has been waited for.
 */
#include "base/errno.h"
#include "base/printk.h"
#include "base/usercopy.h"
#include "fs/anon_file.h"
#include "fs/procfs.h"
#include "fs/vfs.h"
#include "proc/pid.h"
#include "proc/signal_internal.h"

static uint32_t pidfd_poll(struct file *f, struct poll_table *pt)
{
    struct process *p = f->priv;
    poll_wait(pt, f, &p->pidfd_wait);
    uint32_t mask = 0;
    if (READ_ONCE(p->zombie))
        mask |= POLLIN_K | POLLRDNORM_K;
    if (READ_ONCE(p->reaped))
        mask |= POLLHUP_K;
    return mask;
}

static void pidfd_release(struct file *f)
{
    process_put(f->priv);
}

static void pidfd_show_fdinfo(struct file *f, char *buf, size_t size)
{
    const struct process *p = f->priv;
    kpid_t pid = READ_ONCE(p->reaped) ? -1 : p->pid;
    k_snprintf(buf, size, "Pid:\t%d\nNSpid:\t%d\n", pid, pid);
}

static const struct file_ops pidfd_ops = {
    .poll = pidfd_poll,
    .fsync = fsync_not_supported,
    .release = pidfd_release,
    .show_fdinfo = pidfd_show_fdinfo,
};

struct file *pidfd_create(struct process *p, uint32_t flags)
{
    process_get(p);
    struct file *f = file_new_anon("anon_inode:[pidfd]", &pidfd_ops, p, flags, FMODE_STREAM);
    if (is_err(f))
        process_put(p);
    return f;
}

struct process *pidfd_get_process(int fd, uint32_t *file_flags)
{
    struct file *f = fd_get(fd);
    if (!f)
        return err_ptr(-EBADF);
    struct process *p = err_ptr(-EBADF);
    if (f->ops == &pidfd_ops) {
        p = f->priv;
        process_get(p);
        if (file_flags)
            *file_flags = f->flags;
    }
    file_put(f);
    return p;
}

int64_t sys_pidfd_open(int pid, uint32_t flags)
{
    if ((flags & ~(uint32_t)O_NONBLOCK_K) || pid <= 0)
        return -EINVAL;
    int err = 0;
    spin_lock(&proc_tree_lock);
    struct process *p = process_find_locked(pid);
    if (p)
        process_get(p);
    else
        err = thread_find_locked(pid) ? -EINVAL
                                      : -ESRCH; /* a thread that is no leader has no pidfd */
    spin_unlock(&proc_tree_lock);
    if (err)
        return err;
    struct file *f = pidfd_create(p, O_RDWR_K | flags);
    process_put(p);
    return is_err(f) ? ptr_err(f) : fd_install(f, 0, true);
}

/* The process of a pidfd, or of an open /proc/PID directory, counted; or err_ptr(-EBADF). */
static struct process *signal_target(int fd)
{
    struct process *p = pidfd_get_process(fd, NULL);
    struct file *f = is_err(p) ? fd_get(fd) : NULL;
    if (f) {
        struct process *of_directory = proc_dir_process(f);
        if (of_directory)
            p = of_directory;
        file_put(f);
    }
    return p;
}

int64_t sys_pidfd_send_signal(int fd, int sig, uaddr_t info_addr, uint32_t flags)
{
    struct k_siginfo info;
    if (flags)
        return -EINVAL;
    struct process *p = signal_target(fd);
    if (is_err(p))
        return ptr_err(p);
    int64_t result = 0;
    if (!info_addr) {
        info = signal_info_from_current(sig, SI_USER_K);
    } else if (get_user(info, info_addr)) {
        result = -EFAULT;
    } else if (info.si_signo != sig) {
        result = -EINVAL;
    } else if (!signal_may_claim(&info, p->pid)) {
        result = -EPERM;
    }
    if (!result) {
        spin_lock(&proc_tree_lock);
        result = p->reaped ? -ESRCH : signal_send_checked(p, &info);
        spin_unlock(&proc_tree_lock);
    }
    process_put(p);
    return result;
}

/* May current take hold of what p has open? As ptrace would allow: same ids throughout, and
 * dumpable; or the capability. */
static bool may_look_into(struct process *p)
{
    if (p == current->process || capable(CAP_SYS_PTRACE_K))
        return true;
    const struct cred *me = current->cred;
    spin_lock(&proc_tree_lock);
    const struct cred *c = p->leader ? p->leader->cred : NULL;
    bool same = c && p->dumpable && me->uid == c->uid && me->uid == c->euid && me->uid == c->suid &&
                me->gid == c->gid && me->gid == c->egid && me->gid == c->sgid;
    spin_unlock(&proc_tree_lock);
    return same;
}

int64_t sys_pidfd_getfd(int pidfd, int fd, uint32_t flags)
{
    if (flags)
        return -EINVAL;
    struct process *p = pidfd_get_process(pidfd, NULL);
    if (is_err(p))
        return ptr_err(p);
    int64_t result;
    struct files *files = may_look_into(p) ? process_files_get(p) : NULL;
    if (files) {
        struct file *f = files_get_file(files, fd);
        files_put(files);
        result = f ? fd_install(f, 0, true) : -EBADF;
    } else {
        result = READ_ONCE(p->zombie) ? -ESRCH : -EPERM;
    }
    process_put(p);
    return result;
}
