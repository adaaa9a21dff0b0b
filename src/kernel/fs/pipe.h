/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipes and FIFOs. The structure is open for fs/splice.c only, which moves bytes between a pipe's
 * ring and other files; everybody else uses a pipe through its file.
 */
#ifndef CELLA_KERNEL_FS_PIPE_H
#define CELLA_KERNEL_FS_PIPE_H

#include "base/spinlock.h"
#include "fs/vfs.h"

#define PIPE_BUF_K 4096u
#define PIPE_DEFAULT_SIZE 65536u
#define PIPE_MAX_SIZE (1u << 20) /* without CAP_SYS_RESOURCE */

enum { F_SETPIPE_SZ_K = 1031, F_GETPIPE_SZ_K = 1032 };

/* A write through an O_DIRECT file: one read returns it, and drops what the reader has no room for.
 */
struct pipe_packet {
    uint64_t start, end; /* positions in the stream */
};

struct pipe {
    /* Readers: whoever holds it owns `tail` and the bytes between tail and head. */
    struct mutex rd_mutex;
    uint64_t tail; /* bytes ever read */
    uint32_t packet_tail;
    struct wait_queue rd_wait;

    /* Writers: whoever holds it owns `head` and the free part of the ring. */
    struct mutex wr_mutex;
    uint64_t head; /* bytes ever written */
    uint32_t packet_head;
    struct wait_queue wr_wait;

    /* Replaced with both mutexes held. */
    char *ring;                  /* `capacity` bytes; NULL until the first write */
    struct pipe_packet *packets; /* capacity / PAGE_SIZE entries; NULL until the first packet */
    uint32_t capacity;           /* a power of two */

    spinlock_t lock; /* what follows */
    uint32_t readers, writers;
    uint32_t r_counter, w_counter; /* opens so far; FIFOs wait for them to change */
    struct wait_queue open_wait;
    bool anonymous;    /* made by pipe(2) */
    uint32_t nr_files; /* under pipe_attach_lock */
};

extern const struct file_ops fifo_file_ops;

/* The pipe of an open file, or NULL when the file is none. */
struct pipe *file_pipe(const struct file *f);
/* F_SETPIPE_SZ, F_GETPIPE_SZ: the size in bytes, or -EBADF (no pipe), -EINVAL, -EPERM, -EBUSY,
 * -ENOMEM. */
int64_t pipe_fcntl(struct file *f, int cmd, uint64_t arg);
/* SIGPIPE to the running thread, as a write without readers sends it. */
void pipe_send_sigpipe(void);

/* ---- for fs/splice.c ---- */

enum { PIPE_END = 0, PIPE_LOCKED = 1, PIPE_LOCKED_AFTER_SLEEP = 2 };

/* Waits for data and takes rd_mutex: PIPE_LOCKED*, PIPE_END (empty and no writers; not locked),
 * -EAGAIN, -ERESTARTSYS. */
int pipe_lock_readable(struct pipe *p, bool nonblock);
/* Waits for `need` free bytes (1..PIPE_BUF_K), and a free packet when `packet`, and takes wr_mutex;
 * the ring exists then. PIPE_LOCKED*, -EPIPE (after SIGPIPE), -EAGAIN, -ERESTARTSYS, -ENOMEM. */
int pipe_lock_writable(struct pipe *p, uint32_t need, bool packet, bool nonblock);
/* Bytes that one read may return now; *packet when they are a packet. rd_mutex held and bytes are
 * there. */
uint32_t pipe_readable_bytes(struct pipe *p, bool *packet);
uint32_t pipe_free_bytes(const struct pipe *p);
/* Where the bytes at `skip` behind the tail (free bytes at `skip` behind the head) are; *len is cut
 * to what lies in one piece. */
void *pipe_data_at(struct pipe *p, uint32_t skip, uint32_t *len);
void *pipe_room_at(struct pipe *p, uint32_t skip, uint32_t *len);
/* Drops n bytes from the tail (publishes n bytes at the head), releases the mutex, wakes the other
 * side. lock_result: of pipe_lock_*. */
void pipe_unlock_consumed(struct pipe *p, uint32_t n, int lock_result);
void pipe_unlock_produced(struct pipe *p, uint32_t n, bool packet, int lock_result);

#endif
