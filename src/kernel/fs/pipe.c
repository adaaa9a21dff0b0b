/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipes and FIFOs: a ring of bytes between writers and readers.
 *
 * The ring has one mutex for each side. The holder of rd_mutex moves the tail, the holder of
 * wr_mutex moves the head; either sees the other's position by an acquire load, so a reader and a
 * writer never wait for each other, and the copy from or to the workload (which may sleep in a page
 * fault) runs under a mutex only. head - tail bytes are held; positions never wrap.
 *
 * Waking: whoever moved a position wakes one sleeper of the other side, after the move. Sleepers
 * test the positions after they have queued themselves (wait_queue.h orders the two). Sleepers are
 * exclusive: one write wakes one reader; a reader that slept and leaves bytes behind wakes the next
 * one. Writers sleep until PIPE_BUF bytes are free, so that a small write is never torn and a big
 * one does not wake for single bytes.
 *
 * Counts of open ends change under pipe->lock, with all sleepers woken after it; attaching a pipe
 * to a FIFO's inode goes under pipe_attach_lock. Lock order: rd_mutex of any pipe -> wr_mutex of
 * any pipe -> pipe_attach_lock -> pipe->lock.
 */
#include "fs/pipe.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "fs/anon_file.h"
#include "proc/task.h"

#define FIONREAD_K 0x541b
#define KEY_READABLE (POLLIN_K | POLLRDNORM_K)
#define KEY_WRITABLE (POLLOUT_K | POLLWRNORM_K)

static spinlock_t pipe_attach_lock = SPINLOCK_INIT; /* inode->pipe, pipe->nr_files */

/* ---- state ---- */

static uint32_t held_bytes(const struct pipe *p)
{
    /* Tail first: it never passes a head that is read later. */
    uint64_t tail = __atomic_load_n(&p->tail, __ATOMIC_ACQUIRE);
    return (uint32_t)(__atomic_load_n(&p->head, __ATOMIC_ACQUIRE) - tail);
}

uint32_t pipe_free_bytes(const struct pipe *p)
{
    uint32_t held = held_bytes(p), capacity = READ_ONCE(p->capacity);
    return held < capacity ? capacity - held : 0;
}

static uint32_t max_packets(const struct pipe *p)
{
    return READ_ONCE(p->capacity) / PAGE_SIZE;
}

static bool packet_slot_free(const struct pipe *p)
{
    uint32_t tail = __atomic_load_n(&p->packet_tail, __ATOMIC_ACQUIRE);
    return __atomic_load_n(&p->packet_head, __ATOMIC_ACQUIRE) - tail < max_packets(p);
}

/* Does poll call it writable, and is it time to wake writers? */
static bool has_room(const struct pipe *p)
{
    return pipe_free_bytes(p) >= PIPE_BUF_K && packet_slot_free(p);
}

static bool readable_or_end(const struct pipe *p)
{
    return held_bytes(p) || !READ_ONCE(p->writers);
}

static bool writable_or_broken(const struct pipe *p, uint32_t need, bool packet)
{
    return !READ_ONCE(p->readers) ||
           (pipe_free_bytes(p) >= need && (!packet || packet_slot_free(p)));
}

void pipe_send_sigpipe(void)
{
    struct k_siginfo info = {.si_signo = SIGPIPE, .si_code = SI_USER_K};
    info.rt.pid = current->process->pid;
    info.rt.uid = current->cred->uid;
    signal_send_thread(current, &info);
}

/* ---- the two sides of the ring ---- */

int pipe_lock_readable(struct pipe *p, bool nonblock)
{
    int locked = PIPE_LOCKED;
    for (;;) {
        /* Before the look at the ring: the last writer's bytes are seen when its leaving is. */
        bool end = !__atomic_load_n(&p->writers, __ATOMIC_ACQUIRE);
        if (held_bytes(p)) {
            mutex_lock(&p->rd_mutex);
            if (held_bytes(p))
                return locked;
            mutex_unlock(&p->rd_mutex);
            continue;
        }
        if (end)
            return PIPE_END;
        if (nonblock)
            return -EAGAIN;
        int r;
        WAIT_EVENT(&p->rd_wait, readable_or_end(p), WAIT_INTERRUPTIBLE | WAIT_EXCLUSIVE,
                   KTIME_NEVER, r);
        if (r)
            return r;
        locked = PIPE_LOCKED_AFTER_SLEEP;
    }
}

/* wr_mutex held. */
static int ring_prepare(struct pipe *p, bool packet)
{
    if (!p->ring) {
        char *ring = kmalloc(p->capacity);
        if (!ring)
            return -ENOMEM;
        p->ring = ring;
    }
    if (packet && !p->packets) {
        struct pipe_packet *packets = kmalloc(max_packets(p) * sizeof(*packets));
        if (!packets)
            return -ENOMEM;
        p->packets = packets;
    }
    return 0;
}

int pipe_lock_writable(struct pipe *p, uint32_t need, bool packet, bool nonblock)
{
    int locked = PIPE_LOCKED;
    for (;;) {
        if (!READ_ONCE(p->readers)) {
            pipe_send_sigpipe();
            return -EPIPE;
        }
        if (writable_or_broken(p, need, packet)) {
            mutex_lock(&p->wr_mutex);
            if (READ_ONCE(p->readers) && writable_or_broken(p, need, packet)) {
                int r = ring_prepare(p, packet);
                if (r == 0)
                    return locked;
                mutex_unlock(&p->wr_mutex);
                return r;
            }
            mutex_unlock(&p->wr_mutex);
            continue;
        }
        if (nonblock)
            return -EAGAIN;
        int r;
        WAIT_EVENT(&p->wr_wait, writable_or_broken(p, need, packet),
                   WAIT_INTERRUPTIBLE | WAIT_EXCLUSIVE, KTIME_NEVER, r);
        if (r)
            return r;
        locked = PIPE_LOCKED_AFTER_SLEEP;
    }
}

uint32_t pipe_readable_bytes(struct pipe *p, bool *packet)
{
    uint64_t head = __atomic_load_n(&p->head, __ATOMIC_ACQUIRE);
    *packet = false;
    /* A packet is published before the head that covers it; one at the tail is whole, because bytes
     * are held. */
    if (__atomic_load_n(&p->packet_head, __ATOMIC_ACQUIRE) != p->packet_tail) {
        const struct pipe_packet *first = &p->packets[p->packet_tail % max_packets(p)];
        if (first->start <= p->tail) {
            *packet = true;
            return (uint32_t)(first->end - p->tail);
        }
        head = k_min(head, first->start);
    }
    return (uint32_t)(head - p->tail);
}

static void *ring_at(struct pipe *p, uint64_t pos, uint32_t *len)
{
    uint32_t index = (uint32_t)pos & (p->capacity - 1);
    *len = k_min(*len, p->capacity - index);
    return p->ring + index;
}

void *pipe_data_at(struct pipe *p, uint32_t skip, uint32_t *len)
{
    return ring_at(p, p->tail + skip, len);
}

void *pipe_room_at(struct pipe *p, uint32_t skip, uint32_t *len)
{
    return ring_at(p, p->head + skip, len);
}

void pipe_unlock_consumed(struct pipe *p, uint32_t n, int lock_result)
{
    if (n) {
        uint64_t tail = p->tail + n;
        if (READ_ONCE(p->packet_head) != p->packet_tail &&
            p->packets[p->packet_tail % max_packets(p)].end == tail)
            __atomic_store_n(&p->packet_tail, p->packet_tail + 1, __ATOMIC_RELEASE);
        __atomic_store_n(&p->tail, tail, __ATOMIC_RELEASE);
    }
    mutex_unlock(&p->rd_mutex);
    if (n && has_room(p))
        wake_one(&p->wr_wait, KEY_WRITABLE);
    if (lock_result == PIPE_LOCKED_AFTER_SLEEP && held_bytes(p))
        wake_one(&p->rd_wait, KEY_READABLE);
}

void pipe_unlock_produced(struct pipe *p, uint32_t n, bool packet, int lock_result)
{
    if (n) {
        uint64_t head = p->head + n;
        if (packet) {
            p->packets[p->packet_head % max_packets(p)] = (struct pipe_packet){p->head, head};
            __atomic_store_n(&p->packet_head, p->packet_head + 1, __ATOMIC_RELEASE);
        }
        __atomic_store_n(&p->head, head, __ATOMIC_RELEASE);
    }
    mutex_unlock(&p->wr_mutex);
    if (n)
        wake_one(&p->rd_wait, KEY_READABLE);
    if (lock_result == PIPE_LOCKED_AFTER_SLEEP && has_room(p))
        wake_one(&p->wr_wait, KEY_WRITABLE);
}

/* ---- read, write ---- */

static int64_t pipe_read(struct file *f, struct uio *u, uint64_t *pos)
{
    struct pipe *p = f->priv;
    if (!u->remaining)
        return 0;
    int locked = pipe_lock_readable(p, file_nonblocking(f));
    if (locked <= 0)
        return locked;

    bool packet;
    uint32_t available = pipe_readable_bytes(p, &packet);
    uint32_t want = (uint32_t)k_min((uint64_t)available, u->remaining), done = 0;
    while (done < want) {
        uint32_t piece = want - done;
        const void *data = pipe_data_at(p, done, &piece);
        size_t moved = uio_write(u, data, piece);
        done += (uint32_t)moved;
        if (moved < piece)
            break;
    }
    pipe_unlock_consumed(p, packet && done == want ? available : done, locked);
    if (!done)
        return -EFAULT;
    if (!p->anonymous)
        inode_touch(f->inode, ATTR_ATIME);
    return done;
}

/* Moves up to n bytes of u behind the head. */
static uint32_t fill_ring(struct pipe *p, struct uio *u, uint32_t n)
{
    uint32_t done = 0;
    while (done < n) {
        uint32_t piece = n - done;
        void *room = pipe_room_at(p, done, &piece);
        size_t moved = uio_read(u, room, piece);
        done += (uint32_t)moved;
        if (moved < piece)
            break;
    }
    return done;
}

static int64_t pipe_write(struct file *f, struct uio *u, uint64_t *pos)
{
    struct pipe *p = f->priv;
    const bool nonblock = file_nonblocking(f), packet = READ_ONCE(f->flags) & O_DIRECT_K;
    const bool atomic = u->remaining <= PIPE_BUF_K;
    int64_t total = 0, err = 0;
    while (u->remaining) {
        uint32_t need = (uint32_t)k_min(u->remaining, (uint64_t)PIPE_BUF_K);
        int locked = pipe_lock_writable(p, nonblock && !atomic && !packet && !total ? 1 : need,
                                        packet, nonblock);
        if (locked < 0) {
            err = locked;
            break;
        }
        uint32_t n = packet ? need : (uint32_t)k_min(u->remaining, (uint64_t)pipe_free_bytes(p));
        uint32_t moved = fill_ring(p, u, n);
        if (moved < n && (atomic || packet)) {
            uio_revert(u, moved);
            moved = 0;
        }
        pipe_unlock_produced(p, moved, packet, locked);
        total += moved;
        if (moved < n) {
            err = -EFAULT;
            break;
        }
    }
    if (!total)
        return err;
    if (!p->anonymous)
        inode_touch(f->inode, ATTR_MTIME | ATTR_CTIME);
    return total;
}

/* ---- poll, ioctl, size ---- */

static uint32_t pipe_poll(struct file *f, struct poll_table *pt)
{
    struct pipe *p = f->priv;
    uint32_t mask = 0;
    if (f->mode & FMODE_READ)
        poll_wait(pt, f, &p->rd_wait);
    if (f->mode & FMODE_WRITE)
        poll_wait(pt, f, &p->wr_wait);
    if (f->mode & FMODE_READ) {
        bool end = !__atomic_load_n(&p->writers, __ATOMIC_ACQUIRE);
        if (held_bytes(p))
            mask |= KEY_READABLE;
        /* A FIFO opened without waiting has not hung up before its first writer came and went. */
        if (end && f->f_version != READ_ONCE(p->w_counter))
            mask |= POLLHUP_K;
    }
    if (f->mode & FMODE_WRITE) {
        if (has_room(p))
            mask |= KEY_WRITABLE;
        if (!READ_ONCE(p->readers))
            mask |= POLLERR_K;
    }
    return mask;
}

static int64_t pipe_ioctl(struct file *f, unsigned cmd, uint64_t arg)
{
    struct pipe *p = f->priv;
    if (cmd != FIONREAD_K)
        return -ENOTTY;
    int32_t held = (int32_t)held_bytes(p);
    return put_user(held, arg);
}

struct pipe *file_pipe(const struct file *f)
{
    return f->ops == &fifo_file_ops ? f->priv : NULL;
}

static int resize(struct pipe *p, uint32_t size)
{
    if (size == p->capacity)
        return 0;
    uint32_t nr_packets = p->packet_head - p->packet_tail;
    if (held_bytes(p) > size || nr_packets > size / PAGE_SIZE)
        return -EBUSY;
    char *ring = kmalloc(size);
    struct pipe_packet *packets = p->packets ? kmalloc(size / PAGE_SIZE * sizeof(*packets)) : NULL;
    if (!ring || (p->packets && !packets)) {
        kfree(ring);
        kfree(packets);
        return -ENOMEM;
    }
    for (uint64_t pos = p->tail; pos != p->head;) {
        uint32_t len = (uint32_t)(p->head - pos), index = (uint32_t)pos & (size - 1);
        const void *data = ring_at(p, pos, &len);
        len = k_min(len, size - index);
        memcpy(ring + index, data, len);
        pos += len;
    }
    for (uint32_t i = 0; i < nr_packets; i++) {
        uint32_t n = p->packet_tail + i;
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a pipe with packets has room for them */
        packets[n % (size / PAGE_SIZE)] = p->packets[n % max_packets(p)];
    }
    kfree(p->ring);
    kfree(p->packets);
    p->ring = ring;
    p->packets = packets;
    WRITE_ONCE(p->capacity, size);
    return 0;
}

static int64_t set_size(struct pipe *p, uint64_t arg)
{
    uint32_t wanted = (uint32_t)arg;
    if (wanted == 0)
        wanted = 1;
    if (wanted > 1u << 31)
        return -EINVAL;
    uint32_t size = (uint32_t)PAGE_SIZE;
    while (size < wanted)
        size <<= 1;
    if (size > PIPE_MAX_SIZE && size > READ_ONCE(p->capacity) && !capable(CAP_SYS_RESOURCE_K))
        return -EPERM;
    mutex_lock(&p->rd_mutex);
    mutex_lock(&p->wr_mutex);
    int r = resize(p, size);
    mutex_unlock(&p->wr_mutex);
    mutex_unlock(&p->rd_mutex);
    if (r)
        return r;
    wake_all(&p->wr_wait, KEY_WRITABLE);
    return size;
}

int64_t pipe_fcntl(struct file *f, int cmd, uint64_t arg)
{
    struct pipe *p = file_pipe(f);
    if (!p)
        return -EBADF;
    if (cmd == F_GETPIPE_SZ_K)
        return READ_ONCE(p->capacity);
    return cmd == F_SETPIPE_SZ_K ? set_size(p, arg) : -EINVAL;
}

/* ---- opening and closing ---- */

static struct pipe *pipe_new(void)
{
    struct pipe *p = kzalloc(sizeof(*p));
    if (!p)
        return NULL;
    mutex_init(&p->rd_mutex);
    mutex_init(&p->wr_mutex);
    wait_queue_init(&p->rd_wait);
    wait_queue_init(&p->wr_wait);
    wait_queue_init(&p->open_wait);
    spin_init(&p->lock);
    p->capacity = PIPE_DEFAULT_SIZE;
    return p;
}

static void pipe_free(struct pipe *p)
{
    kfree(p->ring);
    kfree(p->packets);
    kfree(p);
}

/* Takes one end of each kind in `mode` away and drops the file's hold on the pipe. */
static void pipe_leave(struct pipe *p, struct inode *inode, uint32_t mode)
{
    spin_lock(&p->lock);
    if (mode & FMODE_READ)
        p->readers--;
    if (mode & FMODE_WRITE)
        __atomic_store_n(&p->writers, p->writers - 1, __ATOMIC_RELEASE);
    bool one_sided = !p->readers != !p->writers;
    spin_unlock(&p->lock);
    if (one_sided) {
        wake_all(&p->rd_wait, KEY_READABLE | POLLERR_K | POLLHUP_K);
        wake_all(&p->wr_wait, KEY_WRITABLE | POLLERR_K | POLLHUP_K);
    }
    spin_lock(&pipe_attach_lock);
    bool last = --p->nr_files == 0;
    if (last)
        inode->pipe = NULL;
    spin_unlock(&pipe_attach_lock);
    if (last)
        pipe_free(p);
}

static void pipe_release(struct file *f)
{
    pipe_leave(f->priv, f->inode, f->mode);
}

/* The pipe of a FIFO's inode, made at the first open; NULL without memory. */
static struct pipe *pipe_attach(struct inode *inode)
{
    spin_lock(&pipe_attach_lock);
    if (!inode->pipe)
        inode->pipe = pipe_new();
    struct pipe *p = inode->pipe;
    if (p)
        p->nr_files++;
    spin_unlock(&pipe_attach_lock);
    return p;
}

/* fifo(7): an open for one direction waits for the other end, unless O_NONBLOCK. */
static int pipe_open(struct inode *inode, struct file *f)
{
    const uint32_t mode = f->mode & (FMODE_READ | FMODE_WRITE);
    if (!mode)
        return -EINVAL;
    struct pipe *p = pipe_attach(inode);
    if (!p)
        return -ENOMEM;
    f->priv = p;
    f->ops = &fifo_file_ops;
    f->mode |= FMODE_STREAM;
    f->f_version = 0;
    const bool nonblock = file_nonblocking(f);

    spin_lock(&p->lock);
    bool refused = mode == FMODE_WRITE && !p->anonymous && nonblock && !p->readers;
    bool first = ((mode & FMODE_READ) && !p->readers) || ((mode & FMODE_WRITE) && !p->writers);
    if (mode & FMODE_READ) {
        p->readers++;
        p->r_counter++;
    }
    if (mode & FMODE_WRITE && !refused) {
        p->writers++;
        p->w_counter++;
    }
    const uint32_t *counter = NULL;
    uint32_t seen = 0;
    if (mode == FMODE_READ && !p->anonymous && !p->writers) {
        if (nonblock) {
            f->f_version = p->w_counter;
        } else {
            counter = &p->w_counter;
            seen = p->w_counter;
        }
    } else if (mode == FMODE_WRITE && !p->anonymous && !p->readers) {
        counter = &p->r_counter;
        seen = p->r_counter;
    }
    spin_unlock(&p->lock);

    if (refused) {
        pipe_leave(p, inode, 0);
        return -ENXIO;
    }
    if (first)
        wake_all(&p->open_wait, 0);
    if (counter) {
        int r;
        WAIT_EVENT(&p->open_wait, READ_ONCE(*counter) != seen, WAIT_INTERRUPTIBLE, KTIME_NEVER, r);
        if (r) {
            pipe_leave(p, inode, mode);
            return r;
        }
    }
    return 0;
}

const struct file_ops fifo_file_ops = {
    .read = pipe_read,
    .write = pipe_write,
    .poll = pipe_poll,
    .ioctl = pipe_ioctl,
    .fsync = fsync_not_supported,
    .open = pipe_open,
    .release = pipe_release,
};

/* Makes the two ends of a new pipe. flags: O_NONBLOCK, O_DIRECT. 0 or -ENOMEM. */
static int pipe_create(uint32_t flags, struct file *ends[2])
{
    struct pipe *p = pipe_new();
    struct inode *inode = p ? anon_inode_new(S_IFIFO_K | 0600) : NULL;
    if (!inode) {
        kfree(p);
        return -ENOMEM;
    }
    p->anonymous = true;
    p->readers = p->writers = p->r_counter = p->w_counter = 1;
    p->nr_files = 2;
    inode->fops = &fifo_file_ops;
    inode->pipe = p;
    char name[32];
    k_snprintf(name, sizeof(name), "pipe:[%lu]", (unsigned long)inode->ino);

    inode_get(inode);
    ends[0] = file_new_anon_on(inode, name, &fifo_file_ops, p, O_RDONLY_K | (flags & O_NONBLOCK_K),
                               FMODE_READ | FMODE_STREAM);
    if (is_err(ends[0])) {
        inode->pipe = NULL;
        inode_put(inode);
        pipe_free(p);
        return (int)ptr_err(ends[0]);
    }
    inode_get(inode); /* pipe_leave below looks at it after a failure */
    ends[1] = file_new_anon_on(inode, name, &fifo_file_ops, p, O_WRONLY_K | flags,
                               FMODE_WRITE | FMODE_STREAM);
    int r = 0;
    if (is_err(ends[1])) {
        r = (int)ptr_err(ends[1]);
        pipe_leave(p, inode, FMODE_WRITE);
        file_put(ends[0]);
    }
    inode_put(inode);
    return r;
}

int64_t sys_pipe2(uaddr_t fds, int flags)
{
    if (flags & ~(O_CLOEXEC_K | O_NONBLOCK_K | O_DIRECT_K))
        return -EINVAL;
    struct file *ends[2] = {NULL, NULL};
    int r = pipe_create((uint32_t)flags & (O_NONBLOCK_K | O_DIRECT_K), ends);
    if (r)
        return r;
    int32_t fd[2];
    fd[0] = fd_install(ends[0], 0, flags & O_CLOEXEC_K);
    if (fd[0] < 0) {
        file_put(ends[1]);
        return fd[0];
    }
    fd[1] = fd_install(ends[1], 0, flags & O_CLOEXEC_K);
    if (fd[1] < 0) {
        fd_close(fd[0]);
        return fd[1];
    }
    if (copy_to_user(fds, fd, sizeof(fd))) {
        fd_close(fd[0]);
        fd_close(fd[1]);
        return -EFAULT;
    }
    return 0;
}

int64_t sys_pipe(uaddr_t fds)
{
    return sys_pipe2(fds, 0);
}
