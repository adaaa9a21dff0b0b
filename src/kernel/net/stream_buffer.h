/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded queue of bytes, one direction of a stream connection: AF_UNIX streams, TCP inside the
 * keep, and what arrived for a TCP connection to the outside.
 *
 * Memory is taken as bytes come and given back when they were read; an idle buffer
 * holds 256 bytes at most.
 * stream_buffer.lock (spin) guards pointers only: bytes are moved outside of it, by one writer and
 * one reader at a time (the caller's mutexes see to that; put_kernel may be the writer from
 * contexts that cannot sleep).
 */
#ifndef CELLA_KERNEL_NET_STREAM_BUFFER_H
#define CELLA_KERNEL_NET_STREAM_BUFFER_H

#include "base/list.h"
#include "base/spinlock.h"
#include "fs/uio.h"

struct stream_buffer {
    spinlock_t lock;
    struct list chunks;
    uint64_t head, tail; /* bytes read and written since the start; tail - head are in the buffer */
    uint64_t limit;      /* most bytes held */
};

void stream_buffer_init(struct stream_buffer *b, uint64_t limit);
void stream_buffer_destroy(struct stream_buffer *b);
static inline uint64_t stream_buffer_used(const struct stream_buffer *b)
{
    return __atomic_load_n(&b->tail, __ATOMIC_ACQUIRE) -
           __atomic_load_n(&b->head, __ATOMIC_ACQUIRE);
}
static inline uint64_t stream_buffer_room(const struct stream_buffer *b)
{
    uint64_t used = stream_buffer_used(b);
    return used < b->limit ? b->limit - used : 0;
}
/* Appends up to max bytes of u, as far as there is room. Bytes, 0: full, -EFAULT, -ENOMEM. May
 * sleep. */
int64_t stream_buffer_write(struct stream_buffer *b, struct uio *u, uint64_t max);
/* Appends kernel bytes; all or nothing; does not look at the limit. 0 or -ENOMEM. Does not sleep.
 */
int stream_buffer_put_kernel(struct stream_buffer *b, const void *bytes, size_t len);
/* Moves up to max bytes to u (NULL: drops them), from `skip` bytes after the first (peek only);
 * peek: leaves them. Bytes, or -EFAULT when nothing moved. May sleep. */
int64_t stream_buffer_read(struct stream_buffer *b, struct uio *u, uint64_t max, uint64_t skip,
                           bool peek);

#endif
