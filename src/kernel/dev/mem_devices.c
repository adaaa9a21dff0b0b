/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Character devices without hardware behind them: null, zero, full, random, urandom; and whose the
 * other numbers are. None has state of its own. Mappings of zero are the memory manager's, which
 * makes them anonymous memory.
 */
#include "base/errno.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "crypto/drbg.h"
#include "dev/console.h"
#include "dev/tty.h"
#include "fs/devices.h"
#include "fs/vfs.h"
#include "proc/task.h"

/* A long transfer looks up from its work after so many bytes: for signals, and for others who want
 * the CPU. */
#define PIECE_BYTES 65536ull
#define RANDOM_PIECE 256u

/* ---- null, zero, full ---- */

static int64_t null_read(struct file *f, struct uio *u, uint64_t *pos)
{
    return 0;
}

/* Takes everything, without looking at it. */
static int64_t null_write(struct file *f, struct uio *u, uint64_t *pos)
{
    int64_t n = (int64_t)u->remaining;
    u->remaining = 0;
    return n;
}

static int64_t full_write(struct file *f, struct uio *u, uint64_t *pos)
{
    return -ENOSPC;
}

static int64_t zero_read(struct file *f, struct uio *u, uint64_t *pos)
{
    int64_t total = 0;
    while (u->remaining) {
        uint64_t want = k_min(u->remaining, PIECE_BYTES);
        size_t n = uio_zero(u, want);
        total += (int64_t)n;
        if (n < want)
            return total ? total : -EFAULT;
        if (u->remaining) {
            if (signal_pending())
                return total;
            sched_resched();
        }
    }
    return total;
}

/* These devices have no places to go to: every position is 0. */
static int64_t null_lseek(struct file *f, int64_t off, int whence)
{
    f->pos = 0;
    return 0;
}

/* ---- random, urandom ---- */

static int64_t random_read(struct file *f, struct uio *u, uint64_t *pos)
{
    uint8_t buf[RANDOM_PIECE];
    uint64_t total = 0;
    bool fault = false;
    while (u->remaining) {
        size_t want = (size_t)k_min(u->remaining, (uint64_t)sizeof(buf));
        drbg_fill(buf, want);
        size_t n = uio_write(u, buf, want);
        total += n;
        fault = n < want;
        if (fault)
            break;
        /* The first 256 bytes are never cut short. */
        if (u->remaining && (total & (PAGE_SIZE - 1)) == 0) {
            if (signal_pending())
                break;
            sched_resched();
        }
    }
    memset(buf, 0, sizeof(buf));
    __asm__ volatile("" ::"r"(buf)
                     : "memory"); /* the clearing is wanted though nobody reads buf again */
    return fault && !total ? -EFAULT : (int64_t)total;
}

/* What is written would be mixed in without being counted as entropy; the generator takes entropy
 * from the CPU alone, so it is only checked to be readable. */
static int64_t random_write(struct file *f, struct uio *u, uint64_t *pos)
{
    uint8_t buf[RANDOM_PIECE];
    int64_t total = 0;
    while (u->remaining) {
        size_t want = (size_t)k_min(u->remaining, (uint64_t)sizeof(buf));
        size_t n = uio_read(u, buf, want);
        total += (int64_t)n;
        if (n < want)
            return total ? total : -EFAULT;
        if ((total & (PAGE_SIZE - 1)) == 0) {
            if (signal_pending())
                break;
            sched_resched();
        }
    }
    return total;
}

static uint32_t random_poll(struct file *f, struct poll_table *pt)
{
    return POLLIN_K | POLLRDNORM_K;
}

/* <linux/random.h>. RNDADDTOENTCNT, RNDZAPENTCNT and the like change a count that does not exist
 * here. */
enum { RNDGETENTCNT_K = 0x80045200, RNDADDENTROPY_K = 0x40085203, RNDRESEEDCRNG_K = 0x5207 };
#define ENTROPY_BITS 256

static int64_t random_ioctl(struct file *f, unsigned cmd, uint64_t arg)
{
    switch (cmd) {
    case RNDGETENTCNT_K: {
        int32_t bits = ENTROPY_BITS;
        return put_user(bits, arg);
    }
    case (unsigned)RNDADDENTROPY_K:
    case RNDRESEEDCRNG_K: return capable(CAP_SYS_ADMIN_K) ? -EOPNOTSUPP : -EPERM;
    default: return -EINVAL;
    }
}

/* ---- console ---- */

/* Output of the console goes to the launcher's standard output, input comes from its standard
 * input. */
static int console_device_open(struct inode *inode, struct file *f)
{
    return console_open_boot(f);
}

/* ---- numbers ---- */

static const struct file_ops null_ops = {
    .read = null_read, .write = null_write, .lseek = null_lseek};
static const struct file_ops zero_ops = {
    .read = zero_read, .write = null_write, .lseek = null_lseek};
static const struct file_ops full_ops = {
    .read = zero_read, .write = full_write, .lseek = null_lseek};
static const struct file_ops random_ops = {.read = random_read,
                                           .write = random_write,
                                           .lseek = null_lseek,
                                           .poll = random_poll,
                                           .ioctl = random_ioctl};
static const struct file_ops urandom_ops = {
    .read = random_read, .write = random_write, .lseek = null_lseek, .ioctl = random_ioctl};
static const struct file_ops console_device_ops = {.open = console_device_open};

const struct file_ops *device_file_ops(uint64_t rdev)
{
    switch (rdev) {
    case MKDEV_K(1, 3): return &null_ops;
    case MKDEV_K(1, 5): return &zero_ops;
    case MKDEV_K(1, 7): return &full_ops;
    case MKDEV_K(1, 8): return &random_ops;
    case MKDEV_K(1, 9): return &urandom_ops;
    case MKDEV_K(5, 0): return &tty_device_ops;
    case MKDEV_K(5, 1): return &console_device_ops;
    case MKDEV_K(5, 2): return &ptmx_device_ops;
    default: return rdev >> 11 == 136 / 8 && !(rdev >> 20) ? &pts_device_ops : NULL;
    }
}
