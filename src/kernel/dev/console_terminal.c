/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console that is a terminal of this kernel (-t): two kernel threads are the master of a
 * pseudoterminal. One feeds it what the host reads; the other writes to the host what comes out,
 * and asks for the window's size when the host says that it has changed. The host's own terminal
 * is raw meanwhile.
 *
 * A terminal is counted by its two threads; the writer closes it. terminals_lock (spin) guards the
 * list; inside of a wait queue's lock.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/spinlock.h"
#include "dev/console.h"
#include "dev/console_terminal.h"
#include "dev/host_ring.h"
#include "dev/tty.h"
#include "proc/task.h"

#define PIECE 4096u
/* How long the keep's end waits for a host that does not take the last output. */
#define DRAIN_NS (2 * NSEC_PER_SEC)

struct terminal {
    struct ref ref;
    uint32_t session;
    struct tty *tty; /* the master's reference, and another that goes with the last one to m */
    struct thread *reader;
    bool released;    /* ends when no file of the slave is open */
    bool resized;     /* the size is to be asked for */
    uint32_t written; /* how far the output (tty->out_head) has got to the host */
    struct wait_queue written_q;
    struct list link;
    uint8_t in[PIECE], out[PIECE];
};

static spinlock_t terminals_lock = SPINLOCK_INIT;
static struct list terminals = LIST_INIT(terminals);

static void terminal_put(struct terminal *m)
{
    if (!ref_put(&m->ref))
        return;
    tty_put(m->tty);
    kfree(m);
}

static void reader(void *arg)
{
    struct terminal *m = arg;
    for (;;) {
        struct host_call c = {.op = CELLA_HOST_CONSOLE_READ,
                              .a = {(uint64_t)m->session << 2},
                              .recv = m->in,
                              .recv_max = sizeof(m->in)};
        int64_t r = host_call(&c, WAIT_KILLABLE);
        if (r <= 0 || r != c.recv_len || pty_put_input(m->tty, m->in, c.recv_len))
            break;
    }
    /* The host's terminal is gone. */
    tty_hangup(m->tty);
    terminal_put(m);
}

static void ask_size(struct terminal *m)
{
    struct host_call c = {.op = CELLA_HOST_CONSOLE_SIZE, .a = {m->session}};
    int64_t r = host_call(&c, WAIT_UNINTERRUPTIBLE);
    if (r < 0 || r > UINT32_MAX)
        return;
    const struct k_winsize size = {.row = (uint16_t)(r >> 16), .col = (uint16_t)r};
    tty_set_winsize(m->tty, &size);
}

static bool is_over(const struct terminal *m)
{
    return READ_ONCE(m->released) && !READ_ONCE(m->tty->nr_slaves);
}

static bool writer_is_wanted(void *arg)
{
    struct terminal *m = arg;
    return is_over(m) || READ_ONCE(m->resized);
}

static void terminal_close(struct terminal *m)
{
    spin_lock(&terminals_lock);
    list_del(&m->link);
    spin_unlock(&terminals_lock);
    if (m->reader) {
        kthread_interrupt(m->reader);
        thread_put(m->reader);
    }
    tty_close_master(m->tty);
    terminal_put(m);
}

static void writer(void *arg)
{
    struct terminal *m = arg;
    for (;;) {
        uint32_t n = pty_take_output(m->tty, m->out, sizeof(m->out), writer_is_wanted, m);
        if (n) {
            struct host_call c = {.op = CELLA_HOST_CONSOLE_WRITE,
                                  .a = {(uint64_t)m->session << 2 | 1},
                                  .send = m->out,
                                  .send_len = n};
            /* What a host does not take is lost; it is told so itself. */
            host_call(&c, WAIT_UNINTERRUPTIBLE);
            __atomic_add_fetch(&m->written, n, __ATOMIC_RELEASE);
            wake_all(&m->written_q, 0);
        } else if (__atomic_exchange_n(&m->resized, false, __ATOMIC_ACQ_REL)) {
            ask_size(m);
        } else if (is_over(m)) {
            break;
        }
    }
    terminal_close(m);
}

static bool is_drained(struct terminal *m)
{
    spin_lock(&m->tty->lock);
    bool drained = __atomic_load_n(&m->written, __ATOMIC_ACQUIRE) == m->tty->out_head;
    spin_unlock(&m->tty->lock);
    return drained;
}

void terminal_drain(struct terminal *m)
{
    WAIT_UNTIL(&m->written_q, is_drained(m), ktime_add(time_mono_ns(), DRAIN_NS));
}

struct terminal *terminal_open(uint32_t session)
{
    struct terminal *m = kzalloc(sizeof(*m));
    struct tty *t = m ? tty_create() : err_ptr(-ENOMEM);
    if (is_err(t)) {
        kfree(m);
        return NULL;
    }
    t->locked = false;
    tty_get(t);
    m->tty = t;
    m->session = session;
    ref_init(&m->ref, 1);
    wait_queue_init(&m->written_q);
    ask_size(m);
    spin_lock(&terminals_lock);
    list_add_tail(&m->link, &terminals);
    spin_unlock(&terminals_lock);
    ref_get(&m->ref);
    m->reader = kthread_start("console-in", reader, m);
    struct thread *w = m->reader ? kthread_start("console-out", writer, m) : NULL;
    if (w) {
        thread_put(w);
        return m;
    }
    if (!m->reader)
        terminal_put(m);
    terminal_close(m);
    return NULL;
}

void terminal_release(struct terminal *m)
{
    struct tty *t = m->tty;
    tty_get(t);
    WRITE_ONCE(m->released, true); /* from here on m is the writer's */
    wake_all(&t->master_q, 0);
    tty_put(t);
}

struct file *terminal_file(struct terminal *m)
{
    struct file *f = tty_open_slave(m->tty, O_RDWR_K);
    if (!is_err(f))
        tty_acquire(m->tty);
    return f;
}

int terminal_attach(struct terminal *m, struct file *f)
{
    return tty_attach(m->tty, f);
}

bool terminals_resized(void)
{
    struct terminal *m;
    bool boot = false;
    spin_lock(&terminals_lock);
    list_for_each (m, &terminals, link) {
        WRITE_ONCE(m->resized, true);
        wake_all(&m->tty->master_q, 0);
        boot |= m->session == 0;
    }
    spin_unlock(&terminals_lock);
    return boot;
}
