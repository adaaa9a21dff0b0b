/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three standard streams at the host as files of the keep: the launcher's (session 0), or those of
 * a program that was started later. A console lives as long as its creator and the inodes of its
 * streams count it.
 *
 * Input. The host is asked for input only when somebody wants some: a read asks for as much as it
 * wants itself and can be interrupted, which cancels the request; poll cannot wait, so a kernel
 * thread asks on its behalf, and the request stays out until there is input. At most one request is
 * out (`fetching`), and only while the buffer is empty. What arrives goes into one buffer that all
 * readers share, so nothing is lost when the one who asked is gone.
 *
 *   in->lock (spin)  fetching, eof, error, demand
 *   in->take (mutex) whoever takes bytes out of the buffer, from start to start + len; the one
 * who fetches owns the buffer while len is 0, and publishes len under in->lock
 *
 * Output is synchronous, so that what is written to stdout and stderr appears in the order of the
 * writes.
 */
#include "dev/console.h"
#include "dev/console_terminal.h"

#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/spinlock.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "dev/host_ring.h"
#include "dev/tty.h"
#include "fs/anon_file.h"
#include "fs/pipe.h"
#include "proc/task.h"

#define CONSOLE_MAX_IO 65536u
#define SMALL_WRITE 256u
#define NR_STREAMS 3
/* How long the first poll of an idle input waits for the host's answer, so that input that is there
 * already is seen. */
#define SETTLE_NS (1 * NSEC_PER_MSEC)

struct stream {
    struct console *console;
    int nr;
    uint32_t mode;
    bool tty;
};

struct input {
    spinlock_t lock;
    struct mutex take;
    struct wait_queue q; /* readers and pollers */
    char *buf;           /* CONSOLE_MAX_IO bytes; NULL until the first fetch */
    uint32_t start, len;
    bool fetching;
    bool eof;
    int error;    /* of the last fetch; the next read reports it */
    bool demand;  /* the fetcher has work */
    bool closing; /* nobody will read any more; the fetcher ends */
    struct thread *fetcher;
    struct wait_queue fetcher_q;
};

struct console {
    struct ref ref;
    uint32_t session;
    struct terminal *terminal; /* NULL: the streams are files; else it takes their place */
    struct stream streams[NR_STREAMS];
    struct input input;
};

static struct console *boot_console; /* session 0; lives as long as the keep */

/* The host's name of a stream. */
static uint64_t stream_id(const struct console *c, uint32_t stream)
{
    return (uint64_t)c->session << 2 | stream;
}

/* ---- input ---- */

/* A pipe or socket that has ended stays so; a terminal or a growing file may go on. */
static bool eof_is_final(const struct console *c)
{
    return S_ISFIFO_K(c->streams[0].mode) || S_ISSOCK_K(c->streams[0].mode);
}

/* Is there something that a read would return? */
static bool input_ready(const struct input *in)
{
    return __atomic_load_n(&in->len, __ATOMIC_ACQUIRE) || READ_ONCE(in->eof) ||
           READ_ONCE(in->error);
}

/* Claims the right to ask the host. */
static bool fetch_claim(struct input *in)
{
    spin_lock(&in->lock);
    bool claimed = !in->fetching && !input_ready(in);
    if (claimed)
        in->fetching = true;
    spin_unlock(&in->lock);
    return claimed;
}

/* Asks the host for up to `want` bytes, with the claim held, and gives it back. 0, or -ERESTARTSYS.
 */
static int fetch(struct console *console, uint32_t want, int flags)
{
    struct input *in = &console->input;
    int64_t r = -ENOMEM;
    if (!in->buf)
        in->buf = kmalloc(CONSOLE_MAX_IO);
    if (in->buf) {
        struct host_call c = {.op = CELLA_HOST_CONSOLE_READ,
                              .a = {stream_id(console, 0)},
                              .recv = in->buf,
                              .recv_max = k_min(want, CONSOLE_MAX_IO)};
        r = host_call(&c, flags);
        if (r >= 0 && r != c.recv_len)
            r = -EIO;
    }
    spin_lock(&in->lock);
    in->fetching = false;
    if (r > 0) {
        in->start = 0;
        __atomic_store_n(&in->len, (uint32_t)r, __ATOMIC_RELEASE);
    } else if (r == 0) {
        in->eof = true;
    } else if (r != -ERESTARTSYS) {
        in->error = (int)r;
    }
    spin_unlock(&in->lock);
    /* Also when nothing came: another one has to ask now. */
    wake_all(&in->q, POLLIN_K | POLLRDNORM_K | POLLHUP_K | POLLERR_K);
    return r == -ERESTARTSYS ? -ERESTARTSYS : 0;
}

/* Has the fetcher something to do? */
static bool take_demand(struct input *in)
{
    spin_lock(&in->lock);
    bool demand = in->demand || in->closing;
    in->demand = false;
    spin_unlock(&in->lock);
    return demand;
}

static void console_free(struct console *c)
{
    spin_lock(&c->input.lock); /* whoever closed it has let go of it */
    spin_unlock(&c->input.lock);
    kfree(c->input.buf);
    kfree(c);
}

static void fetcher(void *arg)
{
    struct console *c = arg;
    for (;;) {
        WAIT_UNTIL(&c->input.fetcher_q, take_demand(&c->input), KTIME_NEVER);
        if (READ_ONCE(c->input.closing))
            break;
        fetch(c, CONSOLE_MAX_IO, WAIT_KILLABLE);
    }
    console_free(c);
}

/* Has a request out when there is nothing to read, without waiting for input. */
static void fetch_in_background(struct console *c)
{
    struct input *in = &c->input;
    if (!fetch_claim(in))
        return;
    /* Whoever has the claim is alone here. */
    if (!in->fetcher)
        in->fetcher = kthread_start("console", fetcher, c);
    spin_lock(&in->lock);
    bool started = in->fetcher != NULL;
    in->demand = started;
    in->fetching = started;
    spin_unlock(&in->lock);
    if (!started) {
        wake_all(&in->q, 0);
        return;
    }
    wake_all(&in->fetcher_q, 0);
    WAIT_UNTIL(&in->q, input_ready(in), ktime_add(time_mono_ns(), SETTLE_NS));
}

/* Moves what is buffered, or the end of input, or an error: bytes, 0, negative errno; -EAGAIN when
 * there is none of these. */
static int64_t take_input(struct console *c, struct uio *u)
{
    struct input *in = &c->input;
    mutex_lock(&in->take);
    int64_t r = -EAGAIN;
    uint32_t len = __atomic_load_n(&in->len, __ATOMIC_ACQUIRE);
    if (len) {
        size_t n = uio_write(u, in->buf + in->start, k_min((uint64_t)len, u->remaining));
        r = n ? (int64_t)n : -EFAULT;
        in->start += (uint32_t)n;
        __atomic_store_n(&in->len, len - (uint32_t)n, __ATOMIC_RELEASE);
    } else {
        spin_lock(&in->lock);
        if (in->error) {
            r = in->error;
            in->error = 0;
        } else if (in->eof && !in->len) {
            r = 0;
            in->eof = eof_is_final(c);
        }
        spin_unlock(&in->lock);
    }
    mutex_unlock(&in->take);
    return r;
}

static int64_t console_read(struct file *f, struct uio *u, uint64_t *pos)
{
    struct console *c = ((struct stream *)f->priv)->console;
    struct input *in = &c->input;
    if (!u->remaining)
        return 0;
    for (;;) {
        int64_t n = take_input(c, u);
        if (n != -EAGAIN)
            return n;
        if (file_nonblocking(f)) {
            fetch_in_background(c);
            return input_ready(in) ? take_input(c, u) : -EAGAIN;
        }
        int r;
        if (fetch_claim(in))
            r = fetch(c, (uint32_t)k_min(u->remaining, (uint64_t)CONSOLE_MAX_IO),
                      WAIT_INTERRUPTIBLE);
        else
            WAIT_EVENT(&in->q, input_ready(in) || !READ_ONCE(in->fetching), WAIT_INTERRUPTIBLE,
                       KTIME_NEVER, r);
        if (r)
            return r;
    }
}

/* ---- output ---- */

static int64_t write_piece(const struct stream *s, const void *data, uint32_t n)
{
    /* Output of the terminal that stdin is goes where stdout goes. */
    struct host_call c = {.op = CELLA_HOST_CONSOLE_WRITE,
                          .a = {stream_id(s->console, s->nr == 0 ? 1 : (uint32_t)s->nr)},
                          .send = data,
                          .send_len = n};
    /* Only a dying thread gives up: how much of a cancelled write went out is not known. */
    int64_t r = host_call(&c, WAIT_KILLABLE);
    if (r == -EPIPE)
        pipe_send_sigpipe();
    return r > n ? -EIO : r;
}

static int64_t console_write(struct file *f, struct uio *u, uint64_t *pos)
{
    const struct stream *s = f->priv;
    char small[SMALL_WRITE];
    uint32_t size = (uint32_t)k_min(u->remaining, (uint64_t)CONSOLE_MAX_IO);
    char *buf = size > sizeof(small) ? kmalloc(size) : small;
    if (!buf)
        return -ENOMEM;
    int64_t total = 0, err = 0;
    while (u->remaining) {
        uint32_t want = (uint32_t)k_min(u->remaining, (uint64_t)size);
        uint32_t n = (uint32_t)uio_read(u, buf, want);
        if (!n) {
            err = -EFAULT;
            break;
        }
        int64_t r = write_piece(s, buf, n);
        if (r < 0) {
            err = r;
            break;
        }
        total += r;
        if (r < want) {
            uio_revert(u, n - (uint32_t)r);
            break;
        }
    }
    if (buf != small)
        kfree(buf);
    return total ? total : err;
}

/* ---- poll, ioctl ---- */

static uint32_t console_poll(struct file *f, struct poll_table *pt)
{
    struct console *c = ((struct stream *)f->priv)->console;
    struct input *in = &c->input;
    uint32_t mask = 0;
    if (f->mode & FMODE_WRITE)
        mask |= POLLOUT_K | POLLWRNORM_K;
    if (f->mode & FMODE_READ) {
        poll_wait(pt, f, &in->q);
        fetch_in_background(c);
        if (__atomic_load_n(&in->len, __ATOMIC_ACQUIRE) || READ_ONCE(in->error))
            mask |= POLLIN_K | POLLRDNORM_K;
        if (READ_ONCE(in->eof))
            mask |= eof_is_final(c) ? POLLHUP_K : POLLIN_K | POLLRDNORM_K;
    }
    return mask;
}

/* The launcher keeps its terminal as it is; this is what one looks like that nobody has changed. */
static struct k_termios plain_termios(void)
{
    struct k_termios t = tty_std_termios;
    t.iflag |= IUTF8_K;
    return t;
}

static int64_t plain_ioctl(unsigned cmd, uint64_t arg)
{
    struct k_termios t, plain = plain_termios();
    switch (cmd) {
    case TCGETS_K: return copy_to_user(arg, &plain, TERMIOS_SIZE);
    case TCSETS_K:
    case TCSETSW_K:
    case TCSETSF_K:
        if (copy_from_user(&t, arg, TERMIOS_SIZE))
            return -EFAULT;
        return memcmp(&t, &plain, TERMIOS_SIZE) ? -EINVAL : 0;
    case TCSBRK_K:
        return arg ? 0 : -EINVAL; /* drain: writes are synchronous; a break cannot be sent */
    case TIOCGWINSZ_K: {
        const uint16_t size[4] = {24, 80, 0, 0};
        return copy_to_user(arg, size, sizeof(size));
    }
    default: return -ENOTTY;
    }
}

static int64_t console_ioctl(struct file *f, unsigned cmd, uint64_t arg)
{
    const struct stream *s = f->priv;
    if (cmd == FIONREAD_K && (f->mode & FMODE_READ)) {
        int32_t n = (int32_t)__atomic_load_n(&s->console->input.len, __ATOMIC_ACQUIRE);
        return put_user(n, arg);
    }
    return s->tty ? plain_ioctl(cmd, arg) : -ENOTTY;
}

/* ---- opening ---- */

/* A terminal is one device, whichever stream it is seen through; another stream goes one way only.
 */
static uint32_t stream_modes(const struct stream *s)
{
    if (s->tty && s->console->streams[0].tty && s->console->streams[1].tty)
        return FMODE_READ | FMODE_WRITE;
    return s->nr == 0 ? FMODE_READ : FMODE_WRITE;
}

/* Through /proc/PID/fd and /dev/stdin. */
static int console_open(struct inode *inode, struct file *f)
{
    struct stream *s = inode->priv;
    if (f->mode & (FMODE_READ | FMODE_WRITE) & ~stream_modes(s))
        return -EACCES;
    f->priv = s;
    f->mode |= FMODE_STREAM;
    return 0;
}

/* O_TRUNC, as the shell's ">/dev/stderr" has it, leaves a stream as it is, also one that is a file
 * at the host. */
static int console_setattr(struct inode *inode, const struct iattr *attr)
{
    if ((attr->valid & ATTR_SIZE) && attr->size)
        return -EINVAL;
    inode_apply_attr(inode, attr);
    return 0;
}

static void console_evict(struct inode *inode)
{
    console_put(((struct stream *)inode->priv)->console);
}

static const struct inode_ops console_inode_ops = {.setattr = console_setattr,
                                                   .evict = console_evict};

static struct inode *console_mmap(struct file *f, int prot, int flags)
{
    return err_ptr(-ENODEV);
}

static const struct file_ops console_file_ops = {
    .read = console_read,
    .write = console_write,
    .poll = console_poll,
    .ioctl = console_ioctl,
    .mmap = console_mmap,
    .fsync = fsync_not_supported,
    .open = console_open,
};

/* A regular file is always ready, which poll says of files without the operation. */
static const struct file_ops console_regular_ops = {
    .read = console_read,
    .write = console_write,
    .ioctl = console_ioctl,
    .mmap = console_mmap,
    .open = console_open,
};

struct console *console_create(uint32_t session, const uint32_t mode[3], uint32_t is_tty,
                               bool terminal)
{
    struct console *c = kzalloc(sizeof(*c));
    if (!c)
        return NULL;
    ref_init(&c->ref, 1);
    c->session = session;
    if (terminal) {
        c->terminal = terminal_open(session);
        if (!c->terminal) {
            kfree(c);
            return NULL;
        }
    }
    spin_init(&c->input.lock);
    mutex_init(&c->input.take);
    wait_queue_init(&c->input.q);
    wait_queue_init(&c->input.fetcher_q);
    for (int i = 0; i < NR_STREAMS; i++) {
        uint32_t type = mode[i] & S_IFMT_K;
        bool known =
            type == S_IFREG_K || type == S_IFCHR_K || type == S_IFIFO_K || type == S_IFSOCK_K;
        c->streams[i] = (struct stream){
            .console = c,
            .nr = i,
            .mode = known ? type | (mode[i] & 0777) : S_IFIFO_K | 0600,
            .tty = type == S_IFCHR_K && (is_tty & 1u << i),
        };
    }
    if (session == 0) {
        ref_get(&c->ref);
        boot_console = c;
    }
    return c;
}

void console_put(struct console *c)
{
    struct input *in = &c->input;
    if (!ref_put(&c->ref))
        return;
    if (c->terminal)
        terminal_release(c->terminal);
    if (!in->fetcher) {
        console_free(c);
        return;
    }
    /* From here on the console is the fetcher's to free. */
    struct thread *fetching = in->fetcher;
    spin_lock(&in->lock);
    WRITE_ONCE(in->closing, true);
    wake_all(&in->fetcher_q, 0);
    spin_unlock(&in->lock);
    kthread_interrupt(fetching);
    thread_put(fetching);
}

static struct inode *stream_inode(struct stream *s)
{
    struct inode *inode = anon_inode_new(s->mode);
    if (!inode)
        return NULL;
    inode->fops = S_ISREG_K(s->mode) ? &console_regular_ops : &console_file_ops;
    inode->ops = &console_inode_ops;
    inode->priv = s;
    if (S_ISCHR_K(s->mode))
        inode->rdev = s->tty ? MKDEV_K(5, 1) : MKDEV_K(1, 3);
    ref_get(&s->console->ref);
    return inode;
}

struct file *console_file(struct console *c, int nr)
{
    static const char *const names[NR_STREAMS] = {"stdin", "stdout", "stderr"};
    KASSERT(nr >= 0 && nr < NR_STREAMS);
    if (c->terminal)
        return terminal_file(c->terminal);
    struct stream *s = &c->streams[nr];
    struct inode *inode = stream_inode(s);
    if (!inode)
        return err_ptr(-ENOMEM);
    char name[32];
    if (S_ISFIFO_K(s->mode))
        k_snprintf(name, sizeof(name), "pipe:[%lu]", (unsigned long)inode->ino);
    else if (s->tty)
        k_strlcpy(name, "/dev/console", sizeof(name));
    else
        k_snprintf(name, sizeof(name), "launcher:[%s]", names[nr]);
    const uint32_t modes = stream_modes(s);
    const uint32_t access = modes == FMODE_READ    ? O_RDONLY_K
                            : modes == FMODE_WRITE ? O_WRONLY_K
                                                   : O_RDWR_K;
    return file_new_anon_on(inode, name, inode->fops, s, access, modes | FMODE_STREAM);
}

void console_drain(struct console *c)
{
    if (!c)
        c = boot_console;
    if (c && c->terminal)
        terminal_drain(c->terminal);
}

int console_open_boot(struct file *f)
{
    if (boot_console->terminal)
        return terminal_attach(boot_console->terminal, f);
    f->ops = &console_file_ops;
    f->priv = &boot_console->streams[1];
    f->mode |= FMODE_STREAM;
    return 0;
}
