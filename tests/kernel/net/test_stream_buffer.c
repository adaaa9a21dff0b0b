/* SPDX-License-Identifier: Apache-2.0 */
#include "net/stream_buffer.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "ktest.h"
#include "proc/task.h"

int64_t sys_sched_yield(void);

#define LIMIT 100000u

static uint8_t pattern(uint64_t i)
{
    return (uint8_t)(i * 7 + i / 251);
}

static int64_t put(struct stream_buffer *b, uint64_t from, size_t len)
{
    static uint8_t bytes[LIMIT];
    struct uio u;
    for (size_t i = 0; i < len; i++)
        bytes[i] = pattern(from + i);
    uio_init_kernel(&u, bytes, len);
    return stream_buffer_write(b, &u, len);
}

/* Bytes that came and were right, or -1. */
static int64_t take(struct stream_buffer *b, uint64_t from, size_t len, uint64_t skip, bool peek)
{
    static uint8_t bytes[LIMIT];
    struct uio u;
    uio_init_kernel(&u, bytes, len);
    int64_t n = stream_buffer_read(b, &u, len, skip, peek);
    for (int64_t i = 0; i < n; i++)
        if (bytes[i] != pattern(from + skip + (uint64_t)i))
            return -1;
    return n;
}

/* At most one chunk, of the smallest kind, is left of an empty buffer; it is given back. */
static bool holds_little(struct stream_buffer *b)
{
    size_t before = kmem_heap_bytes();
    bool one = b->chunks.next == b->chunks.prev && stream_buffer_used(b) == 0;
    stream_buffer_destroy(b);
    return one && before - kmem_heap_bytes() <= 256 && list_empty(&b->chunks);
}

KTEST(stream_buffer_keeps_order_over_chunks_of_all_sizes)
{
    struct stream_buffer b;
    uint64_t in = 0, out = 0;
    stream_buffer_init(&b, LIMIT);
    for (unsigned i = 0; i < 500; i++) {
        int64_t n = put(&b, in, 1 + i * 97 % 5000);
        KCHECK(n >= 0);
        in += (uint64_t)n;
        KCHECK_EQ(stream_buffer_used(&b), in - out);
        n = take(&b, out, 1 + i * 131 % 4900, 0, false);
        KCHECK(n >= 0);
        out += (uint64_t)n;
    }
    KCHECK_EQ(take(&b, out, LIMIT, 0, false), in - out);
    KCHECK(holds_little(&b));
}

KTEST(stream_buffer_takes_no_more_than_its_limit)
{
    struct stream_buffer b;
    stream_buffer_init(&b, 1000);
    KCHECK_EQ(put(&b, 0, 700), 700);
    KCHECK_EQ(put(&b, 700, 700), 300);
    KCHECK_EQ(put(&b, 1000, 1), 0);
    KCHECK_EQ(stream_buffer_room(&b), 0);
    KCHECK_EQ(take(&b, 0, 10, 0, false), 10);
    KCHECK_EQ(put(&b, 1000, 700), 10);
    b.limit = 10;
    KCHECK_EQ(stream_buffer_room(&b), 0);
    KCHECK_EQ(take(&b, 10, LIMIT, 0, false), 1000);
    stream_buffer_destroy(&b);
}

KTEST(stream_buffer_peeks_anywhere_and_leaves_the_bytes)
{
    struct stream_buffer b;
    stream_buffer_init(&b, LIMIT);
    KCHECK_EQ(put(&b, 0, 40000), 40000);
    KCHECK_EQ(take(&b, 0, 100, 39950, true), 50);
    KCHECK_EQ(take(&b, 0, 20000, 30000, true), 10000);
    KCHECK_EQ(take(&b, 0, 5, 40000, true), 0);
    KCHECK_EQ(stream_buffer_used(&b), 40000);
    KCHECK_EQ(take(&b, 0, LIMIT, 0, false), 40000);
}

KTEST(stream_buffer_small_writes_share_memory_and_idle_holds_little)
{
    struct stream_buffer b;
    size_t before = kmem_heap_bytes();
    stream_buffer_init(&b, LIMIT);
    for (unsigned i = 0; i < 10000; i++)
        KCHECK_EQ(put(&b, i, 1), 1);
    KCHECK(kmem_heap_bytes() - before < 40000);
    KCHECK_EQ(take(&b, 0, LIMIT, 0, false), 10000);
    KCHECK(holds_little(&b));
}

KTEST(stream_buffer_kernel_bytes_ignore_the_limit_and_join_in_order)
{
    static uint8_t bytes[70000];
    struct stream_buffer b;
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = pattern(100 + i);
    stream_buffer_init(&b, 100);
    KCHECK_EQ(put(&b, 0, 100), 100);
    KCHECK_EQ(stream_buffer_put_kernel(&b, bytes, sizeof(bytes)), 0);
    KCHECK_EQ(stream_buffer_used(&b), 70100);
    KCHECK_EQ(stream_buffer_room(&b), 0);
    KCHECK_EQ(take(&b, 0, LIMIT, 0, false), 70100);
    KCHECK_EQ(stream_buffer_put_kernel(&b, bytes, 1), 0);
    KCHECK_EQ(stream_buffer_read(&b, NULL, 5, 0, false), 1);
    KCHECK(holds_little(&b));
}

KTEST(stream_buffer_bad_workload_memory_moves_what_is_good)
{
    struct stream_buffer b;
    struct uio u;
    uint64_t at = ktest_map(PAGE_SIZE);
    stream_buffer_init(&b, LIMIT);
    uio_init_user(&u, 0x20000, 100); /* nothing is mapped there */
    KCHECK_EQ(stream_buffer_write(&b, &u, 100), -EFAULT);
    KCHECK(holds_little(&b));
    uio_init_user(&u, at + PAGE_SIZE - 10, 10);
    KCHECK_EQ(stream_buffer_write(&b, &u, 10), 10);
    uio_init_user(&u, 0x20000, 100);
    KCHECK_EQ(stream_buffer_write(&b, &u, 100), -EFAULT);
    uio_init_user(&u, 0x20000, 100);
    KCHECK_EQ(stream_buffer_read(&b, &u, 100, 0, false), -EFAULT);
    KCHECK_EQ(stream_buffer_used(&b), 10);
    stream_buffer_destroy(&b);
    KCHECK_EQ(stream_buffer_used(&b), 0);
}

#define STREAM_BYTES 2000000u
static struct stream_buffer shared;

static void writes(void *arg)
{
    uint64_t in = 0;
    (void)arg;
    while (in < STREAM_BYTES) {
        int64_t n = put(&shared, in, (size_t)k_min((uint64_t)(1 + in % 3001), STREAM_BYTES - in));
        if (n < 0)
            break;
        in += (uint64_t)n;
        if (n == 0)
            sys_sched_yield();
    }
}

KTEST(stream_buffer_one_writer_and_one_reader_at_the_same_time)
{
    uint64_t out = 0;
    stream_buffer_init(&shared, 5000);
    struct thread *t = mock_start(writes, NULL);
    while (out < STREAM_BYTES) {
        int64_t n = take(&shared, out, 1 + out % 2999, 0, false);
        KCHECK(n >= 0);
        out += (uint64_t)n;
        if (n == 0)
            sys_sched_yield();
    }
    mock_join(t);
    KCHECK(holds_little(&shared));
}
