/* SPDX-License-Identifier: Apache-2.0 */
/* A cursor over buffers, of the workload or of the kernel, that read and write calls consume. */
#ifndef CELLA_KERNEL_FS_UIO_H
#define CELLA_KERNEL_FS_UIO_H

#include "base/types.h"

#define UIO_MAXIOV 1024
#define RW_MAX 0x7ffff000ull /* most bytes that one call moves */

struct k_iovec {
    uint64_t base, len; /* struct iovec */
};

struct uio {
    struct k_iovec *iov; /* addresses of workload memory, or of kernel memory when is_kernel */
    uint32_t nr_iov;
    uint32_t index;     /* current vector */
    uint64_t offset;    /* consumed of it */
    uint64_t remaining; /* bytes left over all vectors */
    bool is_kernel;
    struct k_iovec one; /* storage for the common case of one buffer */
};

void uio_init_user(struct uio *u, uaddr_t base, uint64_t len);
void uio_init_kernel(struct uio *u, const void *base, uint64_t len);
/* Reads an iovec array of the workload; *u owns a copy (uio_release frees it). 0, -EFAULT, -EINVAL,
 * -ENOMEM. Total capped at RW_MAX. */
int uio_init_iovec(struct uio *u, uaddr_t iov, int nr);
void uio_release(struct uio *u);

/* Kernel -> uio and uio -> kernel; the bytes moved (short when a buffer faults). Advance the cursor
 * by that. Never under a spinlock. */
size_t uio_write(struct uio *u, const void *src, size_t n);
size_t uio_read(struct uio *u, void *dst, size_t n);
size_t uio_zero(struct uio *u, size_t n);
/* Lets the cursor end after n more bytes at most. */
static inline void uio_limit(struct uio *u, uint64_t n)
{
    if (u->remaining > n)
        u->remaining = n;
}
/* Goes back by n bytes that were just moved. */
void uio_revert(struct uio *u, size_t n);

#endif
