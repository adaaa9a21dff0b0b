/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signalfd: pending signals of the reading thread, as records.
 *
 * The file holds a mask only; what is pending is the reader's, whichever thread that is. Sleepers
 * and pollers stand in the wait queue of their process's sighand. An epoll item in it may outlive
 * the process that added it, so the file holds every sighand that was ever polled through it, until
 * its release (which comes after the items are gone).
 *
 * signalfd.lock guards the list of those; the mask is one word.
 */
#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/spinlock.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "fs/anon_file.h"
#include "proc/task.h"

struct held_sighand {
    struct held_sighand *next;
    struct sighand *sighand;
};

struct signalfd {
    sigset_k mask;
    spinlock_t lock;
    struct held_sighand *held;
};

/* struct signalfd_siginfo of <sys/signalfd.h> */
struct k_signalfd_siginfo {
    uint32_t signo;
    int32_t err, code;
    uint32_t pid, uid;
    int32_t fd;
    uint32_t tid, band, overrun, trapno;
    int32_t status, value_int;
    uint64_t value_ptr, utime, stime, addr;
    uint16_t addr_lsb, pad2;
    int32_t syscall;
    uint64_t call_addr;
    uint32_t arch;
    uint8_t pad[28];
};
_Static_assert(sizeof(struct k_signalfd_siginfo) == 128, "signalfd_siginfo");

static void fill_fault(struct k_signalfd_siginfo *s, const struct k_siginfo *info)
{
    s->addr = info->fault.addr;
    s->addr_lsb = (uint16_t)info->fault.addr_lsb;
}

static void fill_poll(struct k_signalfd_siginfo *s, const struct k_siginfo *info)
{
    s->band = (uint32_t)info->poll.band;
    s->fd = info->poll.fd;
}

static void fill_value(struct k_signalfd_siginfo *s, uint64_t value)
{
    s->value_ptr = value;
    s->value_int = (int32_t)value;
}

/* Which member of the union is valid follows from number and code. */
static void fill_record(struct k_signalfd_siginfo *s, const struct k_siginfo *info)
{
    memset(s, 0, sizeof(*s));
    s->signo = (uint32_t)info->si_signo;
    s->err = info->si_errno;
    s->code = info->si_code;
    if (info->si_code > SI_USER_K && info->si_code < SI_KERNEL_K) {
        switch (info->si_signo) {
        case SIGCHLD:
            s->pid = (uint32_t)info->chld.pid;
            s->uid = info->chld.uid;
            s->status = info->chld.status;
            s->utime = (uint64_t)info->chld.utime;
            s->stime = (uint64_t)info->chld.stime;
            return;
        case SIGILL:
        case SIGFPE:
        case SIGSEGV:
        case SIGBUS:
        case SIGTRAP: fill_fault(s, info); return;
        case SIGIO: fill_poll(s, info); return;
        case SIGSYS:
            s->call_addr = info->sys.call_addr;
            s->syscall = info->sys.syscall;
            s->arch = info->sys.arch;
            return;
        default: break;
        }
    }
    switch (info->si_code) {
    case SI_TIMER_K:
        s->tid = (uint32_t)info->timer.tid;
        s->overrun = (uint32_t)info->timer.overrun;
        fill_value(s, info->timer.value);
        break;
    case SI_SIGIO_K: fill_poll(s, info); break;
    default:
        s->pid = (uint32_t)info->rt.pid;
        s->uid = info->rt.uid;
        if (info->si_code < 0)
            fill_value(s, info->rt.value);
    }
}

static int64_t signalfd_read(struct file *f, struct uio *u, uint64_t *pos)
{
    struct signalfd *s = f->priv;
    if (u->remaining < sizeof(struct k_signalfd_siginfo))
        return -EINVAL;
    union {
        struct k_siginfo info;
        struct k_signalfd_siginfo record;
    } *buf = kmalloc(2 * sizeof(*buf));
    if (!buf)
        return -ENOMEM;
    int64_t total = 0, err = 0;
    while (u->remaining >= sizeof(buf->record)) {
        int sig = signal_dequeue(READ_ONCE(s->mask), &buf[0].info);
        if (!sig) {
            if (total)
                break;
            if (file_nonblocking(f)) {
                err = -EAGAIN;
                break;
            }
            int r;
            WAIT_EVENT(&current->sighand->signalfd_wait,
                       (sig = signal_dequeue(READ_ONCE(s->mask), &buf[0].info)) != 0,
                       WAIT_INTERRUPTIBLE, KTIME_NEVER, r);
            if (r) {
                err = r;
                break;
            }
        }
        fill_record(&buf[1].record, &buf[0].info);
        if (uio_write(u, &buf[1].record, sizeof(buf->record)) != sizeof(buf->record)) {
            err = -EFAULT;
            break;
        }
        total += sizeof(buf->record);
    }
    kfree(buf);
    return total ? total : err;
}

/* Keeps current's sighand as long as the file; false without memory. */
static bool hold_sighand(struct signalfd *s)
{
    struct sighand *sh = current->sighand;
    struct held_sighand *new = kmalloc(sizeof(*new));
    if (!new)
        return false;
    spin_lock(&s->lock);
    struct held_sighand *h = s->held;
    while (h && h->sighand != sh)
        h = h->next;
    if (!h) {
        sighand_get(sh);
        new->sighand = sh;
        new->next = s->held;
        s->held = new;
        new = NULL;
    }
    spin_unlock(&s->lock);
    kfree(new);
    return true;
}

static uint32_t signalfd_poll(struct file *f, struct poll_table *pt)
{
    struct signalfd *s = f->priv;
    struct thread *t = current;
    if (pt && hold_sighand(s))
        poll_wait(pt, f, &t->sighand->signalfd_wait);
    spin_lock(&t->sighand->lock);
    sigset_k pending = t->pending.set | t->process->shared_pending.set;
    spin_unlock(&t->sighand->lock);
    return pending & READ_ONCE(s->mask) ? POLLIN_K : 0;
}

static void signalfd_release(struct file *f)
{
    struct signalfd *s = f->priv;
    while (s->held) {
        struct held_sighand *h = s->held;
        s->held = h->next;
        sighand_put(h->sighand);
        kfree(h);
    }
    kfree(s);
}

static void signalfd_fdinfo(struct file *f, char *buf, size_t size)
{
    const struct signalfd *s = f->priv;
    k_snprintf(buf, size, "sigmask:\t%016lx\n", (unsigned long)READ_ONCE(s->mask));
}

static const struct file_ops signalfd_file_ops = {
    .read = signalfd_read,
    .poll = signalfd_poll,
    .fsync = fsync_not_supported,
    .release = signalfd_release,
    .show_fdinfo = signalfd_fdinfo,
};

static int64_t signalfd_create(sigset_k mask, int flags)
{
    struct signalfd *s = kzalloc(sizeof(*s));
    if (!s)
        return -ENOMEM;
    spin_init(&s->lock);
    s->mask = mask;
    return fd_install_anon("anon_inode:[signalfd]", &signalfd_file_ops, s, flags);
}

int64_t sys_signalfd4(int fd, uaddr_t user_mask, uint64_t size, int flags)
{
    sigset_k mask;
    if (size != sizeof(mask))
        return -EINVAL;
    if (get_user(mask, user_mask))
        return -EFAULT;
    if (flags & ~(O_CLOEXEC_K | O_NONBLOCK_K))
        return -EINVAL;
    mask &= ~(SIGMASK(SIGKILL) | SIGMASK(SIGSTOP));
    if (fd == -1)
        return signalfd_create(mask, flags);
    struct file *f = fd_get(fd);
    if (!f)
        return -EBADF;
    if (f->ops != &signalfd_file_ops) {
        file_put(f);
        return -EINVAL;
    }
    WRITE_ONCE(((struct signalfd *)f->priv)->mask, mask);
    wake_all(&current->sighand->signalfd_wait, POLLIN_K);
    file_put(f);
    return fd;
}

int64_t sys_signalfd(int fd, uaddr_t user_mask, uint64_t size)
{
    return sys_signalfd4(fd, user_mask, size, 0);
}
