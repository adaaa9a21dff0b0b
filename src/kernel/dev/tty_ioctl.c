/* SPDX-License-Identifier: Apache-2.0 */
/* ioctl_tty(2) and ioctl_tty's termios calls, for both sides of a terminal. On the master most of
 * them are about the slave. */
#include "base/errno.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "dev/tty.h"
#include "proc/signal.h"
#include "proc/task.h"

enum {
    TCXONC_K = 0x540a,
    TCFLSH_K = 0x540b,
    TIOCEXCL_K = 0x540c,
    TIOCNXCL_K = 0x540d,
    TIOCOUTQ_K = 0x5411,
    TIOCSTI_K = 0x5412,
    TIOCSWINSZ_K = 0x5414,
    TIOCPKT_K = 0x5420,
    TIOCSETD_K = 0x5423,
    TIOCGETD_K = 0x5424,
    TCSBRKP_K = 0x5425,
    TIOCSBRK_K = 0x5427,
    TIOCCBRK_K = 0x5428,
    TIOCVHANGUP_K = 0x5437,
    TIOCGPTPEER_K = 0x5441,
    TIOCSPTLCK_K = 0x40045431,
    TIOCSIG_K = 0x40045436,
    TCSETS2_K = 0x402c542b,
    TCSETSW2_K = 0x402c542c,
    TCSETSF2_K = 0x402c542d,
};
/* Those above INT_MAX. */
#define TCGETS2_K 0x802c542au
#define TIOCGPTN_K 0x80045430u
#define TIOCGDEV_K 0x80045432u
#define TIOCGPKT_K 0x80045438u
#define TIOCGPTLCK_K 0x80045439u
#define TIOCGEXCL_K 0x80045440u

static int64_t get_termios(struct tty *t, uint64_t arg, size_t size)
{
    spin_lock(&t->lock);
    struct k_termios m = t->termios;
    spin_unlock(&t->lock);
    return copy_to_user(arg, &m, size);
}

static int64_t set_termios(struct tty *t, uint64_t arg, size_t size, bool flush)
{
    int r = tty_check_foreground(t, SIGTTOU);
    if (r)
        return r;
    spin_lock(&t->lock);
    struct k_termios m = t->termios;
    spin_unlock(&t->lock);
    if (copy_from_user(&m, arg, size))
        return -EFAULT;
    if (flush)
        tty_flush(t, 0, false);
    spin_lock(&t->lock);
    ldisc_set_termios(t, &m);
    spin_unlock(&t->lock);
    wake_all(&t->slave_q, POLLIN_K | POLLOUT_K);
    wake_all(&t->master_q, POLLIN_K | POLLPRI_K);
    return 0;
}

/* TCXONC: flow of the output, or a request to the other side to stop or start sending. */
static int64_t flow(struct tty *t, uint64_t what)
{
    enum { TCOOFF_K, TCOON_K, TCIOFF_K, TCION_K };
    int r = tty_check_foreground(t, SIGTTOU);
    if (r)
        return r;
    if (what > TCION_K)
        return -EINVAL;
    spin_lock(&t->lock);
    switch (what) {
    case TCOOFF_K: ldisc_stop(t); break;
    case TCOON_K: ldisc_start(t); break;
    case TCIOFF_K: ldisc_put_raw(t, t->termios.cc[VSTOP_K]); break;
    default: ldisc_put_raw(t, t->termios.cc[VSTART_K]); break;
    }
    spin_unlock(&t->lock);
    wake_all(&t->slave_q, POLLOUT_K);
    wake_all(&t->master_q, POLLIN_K | POLLPRI_K);
    return 0;
}

static int64_t simulate_input(struct tty *t, uint64_t arg)
{
    uint8_t c;
    if (!capable(CAP_SYS_ADMIN_K) && READ_ONCE(current->process->tty) != t)
        return -EPERM;
    if (get_user(c, arg))
        return -EFAULT;
    spin_lock(&t->lock);
    ldisc_input(t, &c, 1);
    spin_unlock(&t->lock);
    wake_all(&t->slave_q, POLLIN_K);
    wake_all(&t->master_q, POLLIN_K);
    return 0;
}

static int64_t put_int(int32_t value, uint64_t arg)
{
    return put_user(value, arg);
}

static int64_t set_flag(bool *flag, uint64_t arg)
{
    int32_t on;
    if (get_user(on, arg))
        return -EFAULT;
    WRITE_ONCE(*flag, on != 0);
    return 0;
}

static int64_t set_packet_mode(struct tty *t, uint64_t arg)
{
    int32_t on;
    if (get_user(on, arg))
        return -EFAULT;
    spin_lock(&t->lock);
    if (!t->packet)
        t->packet_status = 0;
    t->packet = on != 0;
    spin_unlock(&t->lock);
    return 0;
}

static int64_t open_peer(struct tty *t, uint64_t flags)
{
    struct file *f = tty_open_slave(t, (uint32_t)flags & ~(uint32_t)O_CLOEXEC_K);
    if (is_err(f))
        return (int64_t)ptr_err(f);
    if (!(flags & O_NOCTTY_K) && (f->mode & FMODE_READ))
        tty_acquire(t);
    return fd_install(f, 0, flags & O_CLOEXEC_K);
}

static int64_t master_ioctl(struct tty *t, unsigned cmd, uint64_t arg)
{
    switch (cmd) {
    case TIOCGPTN_K: return put_int((int32_t)t->index, arg);
    case TIOCSPTLCK_K: return set_flag(&t->locked, arg);
    case TIOCGPTLCK_K: return put_int(t->locked, arg);
    case TIOCPKT_K: return set_packet_mode(t, arg);
    case TIOCGPKT_K: return put_int(t->packet, arg);
    case TIOCGPTPEER_K: return open_peer(t, arg);
    case TIOCSIG_K:
        if (arg < 1 || arg > NSIG_K)
            return -EINVAL;
        tty_signal_foreground(t, (int)arg);
        return 0;
    default: return -ENOTTY;
    }
}

static int64_t window_size(struct tty *t, unsigned cmd, uint64_t arg)
{
    struct k_winsize size;
    if (cmd == TIOCGWINSZ_K) {
        spin_lock(&t->lock);
        size = t->winsize;
        spin_unlock(&t->lock);
        return copy_to_user(arg, &size, sizeof(size));
    }
    if (get_user(size, arg))
        return -EFAULT;
    tty_set_winsize(t, &size);
    return 0;
}

static int64_t waiting_bytes(struct tty *t, bool master, uint64_t arg)
{
    spin_lock(&t->lock);
    uint32_t n = master ? t->out_head - t->out_tail : ldisc_input_bytes(t);
    spin_unlock(&t->lock);
    return put_int((int32_t)n, arg);
}

int64_t tty_ioctl(struct tty *t, struct file *f, bool master, unsigned cmd, uint64_t arg)
{
    int r;
    switch (cmd) {
    case TCGETS_K: return get_termios(t, arg, TERMIOS_SIZE);
    case TCGETS2_K: return get_termios(t, arg, sizeof(struct k_termios));
    /* Output is with the master as soon as it is written: there is nothing to wait for. */
    case TCSETS_K:
    case TCSETSW_K:
    case TCSETSF_K: return set_termios(t, arg, TERMIOS_SIZE, cmd == TCSETSF_K);
    case TCSETS2_K:
    case TCSETSW2_K:
    case TCSETSF2_K: return set_termios(t, arg, sizeof(struct k_termios), cmd == TCSETSF2_K);
    case TCSBRK_K:
    case TCSBRKP_K:
    case TIOCSBRK_K:
    case TIOCCBRK_K: return tty_check_foreground(t, SIGTTOU); /* there is no line to break */
    case TCXONC_K: return master ? -ENOTTY : flow(t, arg);
    case TCFLSH_K: r = tty_check_foreground(t, SIGTTOU); return r ? r : tty_flush(t, arg, master);
    case TIOCEXCL_K:
    case TIOCNXCL_K: WRITE_ONCE(t->exclusive, cmd == TIOCEXCL_K); return 0;
    case TIOCGEXCL_K: return put_int(t->exclusive, arg);
    case TIOCOUTQ_K: return put_int(0, arg);
    case FIONREAD_K: return waiting_bytes(t, master, arg);
    case TIOCSTI_K: return simulate_input(t, arg);
    case TIOCGWINSZ_K:
    case TIOCSWINSZ_K: return window_size(t, cmd, arg);
    case TIOCGETD_K: return put_int(0, arg); /* N_TTY */
    case TIOCSETD_K: {
        int32_t discipline;
        if (get_user(discipline, arg))
            return -EFAULT;
        r = tty_check_foreground(t, SIGTTOU);
        return r ? r : discipline == 0 ? 0 : -EINVAL;
    }
    case TIOCGDEV_K: {
        uint32_t dev = master ? (uint32_t)MKDEV_K(5, 2) : (uint32_t)tty_device(t);
        return put_user(dev, arg);
    }
    case TIOCVHANGUP_K:
        if (!capable(CAP_SYS_ADMIN_K))
            return -EPERM;
        tty_hangup(t);
        return 0;
    default: {
        int64_t done = master ? master_ioctl(t, cmd, arg) : -ENOTTY;
        return done != -ENOTTY ? done : tty_job_ioctl(t, f, master, cmd, arg);
    }
    }
}
