/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue of bytes of a stream: a list of chunks, each with the bytes from `start` to `end`.
 *
 * The writer fills the free end of the last chunk, or a chunk of its own that nobody sees yet, and
 * publishes the bytes under the lock. While it copies into the last chunk that is `pinned`: a
 * reader that empties it leaves it to the writer to free. The reader copies out of the first
 * chunks, which only it takes away. Chunks are as large as what is written asks for, so a message
 * of a few bytes costs a few bytes.
 */
#include "net/stream_buffer.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/string.h"

#define CHUNK_MIN 256u
#define CHUNK_MAX 32768u

struct chunk {
    struct list link;
    uint32_t start, end, size;
    bool pinned;
    uint8_t data[];
};

void stream_buffer_init(struct stream_buffer *b, uint64_t limit)
{
    spin_init(&b->lock);
    list_init(&b->chunks);
    b->head = b->tail = 0;
    b->limit = limit;
}

void stream_buffer_destroy(struct stream_buffer *b)
{
    while (!list_empty(&b->chunks)) {
        struct chunk *c = list_first(&b->chunks, struct chunk, link);
        list_del(&c->link);
        kfree(c);
    }
    __atomic_store_n(&b->head, b->tail, __ATOMIC_RELEASE);
}

/* A chunk with room for bytes (or as many as a chunk holds). */
static struct chunk *chunk_new(uint64_t bytes)
{
    uint32_t total = CHUNK_MIN;
    while (total < CHUNK_MAX && total - sizeof(struct chunk) < bytes)
        total *= 2;
    struct chunk *c = kmalloc(total);
    if (c) {
        c->start = c->end = 0;
        c->size = total - (uint32_t)sizeof(*c);
        c->pinned = false;
    }
    return c;
}

/* The last chunk, pinned, when it has free room. */
static struct chunk *pin_last(struct stream_buffer *b)
{
    struct chunk *c = NULL;
    spin_lock(&b->lock);
    if (!list_empty(&b->chunks)) {
        c = list_entry(b->chunks.prev, struct chunk, link);
        if (c->end < c->size)
            c->pinned = true;
        else
            c = NULL;
    }
    spin_unlock(&b->lock);
    return c;
}

/* c, of the list, is empty and nobody fills it: is it to be freed? The smallest one stays for the
 * next message, when it is alone. Lock held. */
static bool drop_empty(struct stream_buffer *b, struct chunk *c)
{
    if (c->size < CHUNK_MIN && b->chunks.next == b->chunks.prev) {
        c->start = c->end = 0;
        return false;
    }
    list_del(&c->link);
    return true;
}

/* n bytes were put behind the end of c. */
static void publish(struct stream_buffer *b, struct chunk *c, bool fresh, size_t n)
{
    spin_lock(&b->lock);
    c->end += (uint32_t)n;
    c->pinned = false;
    bool empty = c->start == c->end;
    if (fresh && !empty)
        list_add_tail(&c->link, &b->chunks);
    else if (!fresh && empty)
        empty = drop_empty(b, c);
    __atomic_store_n(&b->tail, b->tail + n, __ATOMIC_RELEASE);
    spin_unlock(&b->lock);
    if (empty)
        kfree(c);
}

int64_t stream_buffer_write(struct stream_buffer *b, struct uio *u, uint64_t max)
{
    uint64_t done = 0;
    max = k_min(k_min(max, u->remaining), stream_buffer_room(b));
    while (done < max) {
        struct chunk *c = pin_last(b);
        bool fresh = !c;
        if (fresh)
            c = chunk_new(max - done);
        if (!c)
            return done ? (int64_t)done : -ENOMEM;
        size_t want = (size_t)k_min(max - done, (uint64_t)(c->size - c->end));
        size_t moved = uio_read(u, c->data + c->end, want);
        publish(b, c, fresh, moved);
        done += moved;
        if (moved < want)
            return done ? (int64_t)done : -EFAULT;
    }
    return (int64_t)done;
}

int stream_buffer_put_kernel(struct stream_buffer *b, const void *bytes, size_t len)
{
    /* Memory for all of it first, in a list of its own; the last chunk's room is used up first. */
    struct list fresh;
    struct chunk *last = pin_last(b), *c, *tmp;
    size_t room = last ? k_min((size_t)(last->size - last->end), len) : 0;
    list_init(&fresh);
    for (size_t done = room; done < len;) {
        c = chunk_new(len - done);
        if (!c) {
            /* cppcheck-suppress nullPointerRedundantCheck ; the loop gives c a value */
            list_for_each_safe (c, tmp, &fresh, link)
                kfree(c);
            if (last)
                publish(b, last, false, 0);
            return -ENOMEM;
        }
        c->end = (uint32_t)k_min(len - done, (size_t)c->size);
        memcpy(c->data, (const char *)bytes + done, c->end);
        list_add_tail(&c->link, &fresh);
        done += c->end;
    }
    if (last) {
        memcpy(last->data + last->end, bytes, room);
        publish(b, last, false, room);
    }
    spin_lock(&b->lock);
    list_splice_tail(&fresh, &b->chunks);
    __atomic_store_n(&b->tail, b->tail + (len - room), __ATOMIC_RELEASE);
    spin_unlock(&b->lock);
    return 0;
}

/* The chunk with the byte at `skip` behind the first, *at its place in the chunk and *len what is
 * there; NULL: not so many bytes. */
static struct chunk *find(struct stream_buffer *b, uint64_t skip, uint32_t *at, uint64_t *len)
{
    struct chunk *c, *found = NULL;
    spin_lock(&b->lock);
    list_for_each (c, &b->chunks, link) {
        uint32_t held = c->end - c->start;
        if (skip < held) {
            *at = c->start + (uint32_t)skip;
            *len = c->end - *at;
            found = c;
            break;
        }
        skip -= held;
    }
    spin_unlock(&b->lock);
    return found;
}

/* The reader is through with n bytes at the start of the first chunk. */
static void consume(struct stream_buffer *b, struct chunk *c, size_t n)
{
    spin_lock(&b->lock);
    c->start += (uint32_t)n;
    bool empty = c->start == c->end && !c->pinned && drop_empty(b, c);
    __atomic_store_n(&b->head, b->head + n, __ATOMIC_RELEASE);
    spin_unlock(&b->lock);
    if (empty)
        kfree(c);
}

int64_t stream_buffer_read(struct stream_buffer *b, struct uio *u, uint64_t max, uint64_t skip,
                           bool peek)
{
    uint64_t done = 0, len;
    uint32_t at;
    struct chunk *c;
    KASSERT(peek || !skip);
    if (u)
        max = k_min(max, u->remaining);
    while (done < max && (c = find(b, skip, &at, &len)) != NULL) {
        size_t want = (size_t)k_min(len, max - done);
        size_t moved = u ? uio_write(u, c->data + at, want) : want;
        done += moved;
        if (peek)
            skip += moved;
        else if (moved)
            consume(b, c, moved);
        if (moved < want)
            return done ? (int64_t)done : -EFAULT;
    }
    return (int64_t)done;
}
