/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cursor over buffers that read and write calls consume.
 *
 * A uio belongs to one call and needs no lock. The iovec array of the workload is copied once and
 * checked, so that another thread that changes it during the call changes nothing. `remaining`
 * bounds all moves: a caller shortens a transfer by lowering it.
 */
#include "fs/uio.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "base/usercopy.h"

static void uio_init_one(struct uio *u, uint64_t base, uint64_t len, bool is_kernel)
{
    u->one.base = base;
    u->one.len = len;
    u->iov = &u->one;
    u->nr_iov = 1;
    u->index = 0;
    u->offset = 0;
    u->remaining = len;
    u->is_kernel = is_kernel;
}

void uio_init_user(struct uio *u, uaddr_t base, uint64_t len)
{
    uio_init_one(u, base, k_min(len, (uint64_t)RW_MAX), false);
}

void uio_init_kernel(struct uio *u, const void *base, uint64_t len)
{
    uio_init_one(u, (uint64_t)(uintptr_t)base, len, true);
}

int uio_init_iovec(struct uio *u, uaddr_t iov, int nr)
{
    uio_init_one(u, 0, 0, false);
    if (nr < 0 || nr > UIO_MAXIOV)
        return -EINVAL;
    if (nr == 0)
        return 0;
    if (nr > 1) {
        u->iov = kmalloc((size_t)nr * sizeof(struct k_iovec));
        if (!u->iov) {
            u->iov = &u->one;
            return -ENOMEM;
        }
    }
    int err = copy_from_user(u->iov, iov, (size_t)nr * sizeof(struct k_iovec));
    uint64_t total = 0;
    /* Every length is looked at before any address is, as Linux does: EINVAL goes before EFAULT. */
    for (int i = 0; !err && i < nr; i++)
        if ((int64_t)u->iov[i].len < 0)
            err = -EINVAL;
    for (int i = 0; !err && i < nr; i++) {
        struct k_iovec *v = &u->iov[i];
        if (v->len && !user_range_ok(v->base, v->len))
            err = -EFAULT;
        v->len = k_min(v->len, (uint64_t)RW_MAX - total);
        total += v->len;
    }
    if (err) {
        uio_release(u);
        return err;
    }
    u->nr_iov = (uint32_t)nr;
    u->remaining = total;
    return 0;
}

void uio_release(struct uio *u)
{
    if (u->iov != &u->one)
        kfree(u->iov);
    u->iov = &u->one;
}

/* The piece of the current vector that a move of at most n bytes can use; steps over vectors that
 * are used up. 0: none. */
static size_t uio_piece(struct uio *u, size_t n, uint64_t *addr)
{
    n = k_min(n, (size_t)u->remaining);
    if (n == 0)
        return 0;
    while (u->index < u->nr_iov && u->offset >= u->iov[u->index].len) {
        u->index++;
        u->offset = 0;
    }
    if (u->index >= u->nr_iov)
        return 0;
    *addr = u->iov[u->index].base + u->offset;
    return k_min(n, (size_t)(u->iov[u->index].len - u->offset));
}

static void uio_advance(struct uio *u, size_t n)
{
    u->offset += n;
    u->remaining -= n;
}

size_t uio_write(struct uio *u, const void *src, size_t n)
{
    size_t done = 0, len;
    uint64_t addr;
    while (done < n && (len = uio_piece(u, n - done, &addr)) != 0) {
        size_t left = 0;
        if (u->is_kernel)
            memcpy((void *)(uintptr_t)addr, (const char *)src + done, len);
        else
            left = copy_to_user_partial(addr, (const char *)src + done, len);
        uio_advance(u, len - left);
        done += len - left;
        if (left)
            break;
    }
    return done;
}

size_t uio_read(struct uio *u, void *dst, size_t n)
{
    size_t done = 0, len;
    uint64_t addr;
    while (done < n && (len = uio_piece(u, n - done, &addr)) != 0) {
        size_t left = 0;
        if (u->is_kernel)
            memcpy((char *)dst + done, (const void *)(uintptr_t)addr, len);
        else
            left = copy_from_user_partial((char *)dst + done, addr, len);
        uio_advance(u, len - left);
        done += len - left;
        if (left)
            break;
    }
    return done;
}

size_t uio_zero(struct uio *u, size_t n)
{
    size_t done = 0, len;
    uint64_t addr;
    while (done < n && (len = uio_piece(u, n - done, &addr)) != 0) {
        if (u->is_kernel)
            memset((void *)(uintptr_t)addr, 0, len);
        else if (clear_user(addr, len) != 0)
            break;
        uio_advance(u, len);
        done += len;
    }
    return done;
}

void uio_revert(struct uio *u, size_t n)
{
    u->remaining += n;
    while (n > u->offset) {
        n -= u->offset;
        u->index--;
        u->offset = u->iov[u->index].len;
    }
    u->offset -= n;
}
