/* SPDX-License-Identifier: Apache-2.0 */
/* The page cache on a backing that counts, lies short and fails, and mappings of it. */
#include "mm/page_cache.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "fs/uio.h"
#include "fs/vfs.h"
#include "ktest.h"
#include "mm/mm.h"
#include "proc/task.h"

int64_t sys_msync(uaddr_t addr, uint64_t len, int flags);

#define P PAGE_SIZE
#define RW (PROT_READ_K | PROT_WRITE_K)

/* ---- the backing: one file ---- */

static uint8_t disk[1 << 20];
static uint64_t disk_size, nr_reads, read_bytes, nr_writes;
static uint64_t fail_from = UINT64_MAX; /* reads that reach beyond it answer -EIO */
static size_t most = SIZE_MAX;          /* at a time */

static int64_t disk_read(struct inode *inode, void *buf, size_t len, uint64_t off)
{
    (void)inode;
    nr_reads++;
    if (off + len > fail_from)
        return -EIO;
    if (off >= disk_size)
        return 0;
    size_t n = k_min(k_min(len, most), (size_t)(disk_size - off));
    memcpy(buf, disk + off, n);
    read_bytes += n;
    return (int64_t)n;
}

static int64_t disk_write(struct inode *inode, const void *buf, size_t len, uint64_t off)
{
    (void)inode;
    nr_writes++;
    if (off + len > sizeof(disk))
        return -ENOSPC;
    if (off > disk_size)
        memset(disk + disk_size, 0, off - disk_size);
    memcpy(disk + off, buf, len);
    disk_size = k_max(disk_size, off + len);
    return (int64_t)len;
}

static const struct page_cache_ops disk_ro = {.read = disk_read},
                                   disk_rw = {.read = disk_read, .write = disk_write};
static int64_t disk_file_read(struct file *f, struct uio *u, uint64_t *pos)
{
    return page_cache_read(f->inode, u, pos);
}
static const struct file_ops disk_fops = {.read = disk_file_read};

static struct file *disk_file(uint64_t size, const struct page_cache_ops *ops)
{
    struct inode *inode = anon_inode_new(S_IFREG_K | 0600);
    for (size_t i = 0; i < sizeof(disk); i++)
        disk[i] = (uint8_t)(i * 11 >> 5);
    disk_size = size;
    nr_reads = read_bytes = nr_writes = 0;
    fail_from = UINT64_MAX;
    most = SIZE_MAX;
    inode->size = size;
    page_cache_init(&inode->pages, inode, ops);
    return file_new_anon_on(inode, "disk", &disk_fops, NULL, O_RDWR_K, FMODE_READ | FMODE_WRITE);
}

static int64_t read_at(struct file *f, void *buf, size_t n, uint64_t off)
{
    struct uio u;
    uio_init_kernel(&u, buf, n);
    return page_cache_read(f->inode, &u, &off);
}

static int64_t write_at(struct file *f, const void *buf, size_t n, uint64_t off)
{
    struct uio u;
    uio_init_kernel(&u, buf, n);
    mutex_lock(&f->inode->lock);
    int64_t r = page_cache_write(f->inode, &u, &off);
    mutex_unlock(&f->inode->lock);
    return r;
}

static void truncate_to(struct file *f, uint64_t size)
{
    uint64_t old = f->inode->size;
    mutex_lock(&f->inode->lock);
    f->inode->size = size;
    page_cache_truncate(&f->inode->pages, old, size);
    mutex_unlock(&f->inode->lock);
}

KTEST(page_cache_reads_each_page_once)
{
    static uint8_t buf[200000];
    struct file *f = disk_file(200000, &disk_ro);
    KCHECK_EQ(read_at(f, buf, 10, 100000), 10);
    KCHECK(memcmp(buf, disk + 100000, 10) == 0);
    KCHECK(read_bytes < 150000);
    KCHECK_EQ(read_at(f, buf, sizeof(buf), 0), 200000);
    KCHECK(memcmp(buf, disk, 200000) == 0);
    uint64_t before = nr_reads;
    KCHECK_EQ(read_at(f, buf, sizeof(buf), 5), 199995);
    KCHECK_EQ(nr_reads, before);
    KCHECK_EQ(read_bytes, 200000);
    KCHECK_EQ(read_at(f, buf, 10, 200000), 0);
    KCHECK_EQ(read_at(f, buf, 10, UINT64_MAX - 5), 0);
    file_put(f);
}

KTEST(page_cache_backing_that_reads_short_in_pages_is_asked_again)
{
    static uint8_t buf[60000];
    struct file *f = disk_file(60000, &disk_ro);
    most = 8192;
    KCHECK_EQ(read_at(f, buf, sizeof(buf), 0), 60000);
    KCHECK(memcmp(buf, disk, 60000) == 0);
    file_put(f);
}

KTEST(page_cache_backing_shorter_than_its_size_reads_as_zeros)
{
    static uint8_t buf[20000];
    struct file *f = disk_file(20000, &disk_ro);
    disk_size = 5000;
    memset(buf, 1, sizeof(buf));
    KCHECK_EQ(read_at(f, buf, sizeof(buf), 0), 20000);
    KCHECK(memcmp(buf, disk, 5000) == 0);
    for (int i = 5000; i < 20000; i++)
        KCHECK(buf[i] == 0);
    file_put(f);
}

KTEST(page_cache_read_error_is_told_and_can_go_away)
{
    static uint8_t buf[1 << 20];
    struct file *f = disk_file(1 << 20, &disk_ro);
    fail_from = 600000;
    KCHECK_EQ(read_at(f, buf, 100, 700000), -EIO);
    int64_t n = read_at(f, buf, 1 << 20, 0); /* what comes before the bad place */
    KCHECK(n == -EIO || (n > 0 && n <= 600000 && memcmp(buf, disk, (size_t)n) == 0));
    KCHECK_EQ(read_at(f, buf, 100, 4096), 100);
    fail_from = UINT64_MAX;
    KCHECK_EQ(read_at(f, buf, 1 << 20, 0), 1 << 20);
    KCHECK(memcmp(buf, disk, 1 << 20) == 0);
    file_put(f);
}

KTEST(page_cache_writes_go_through_and_keep_what_is_around)
{
    static uint8_t want[100000], got[100000];
    struct file *f = disk_file(50000, &disk_rw);
    memcpy(want, disk, 50000);
    memset(want + 50000, 0, 50000);
    memset(got, 0xee, 1000);
    KCHECK_EQ(write_at(f, got, 1000, 4000), 1000);
    memset(want + 4000, 0xee, 1000);
    KCHECK_EQ(write_at(f, got, 1000, 70000), 1000); /* a hole before it */
    memset(want + 70000, 0xee, 1000);
    KCHECK_EQ(f->inode->size, 71000);
    KCHECK_EQ(read_at(f, got, 100000, 0), 71000);
    KCHECK(memcmp(got, want, 71000) == 0);
    KCHECK(memcmp(disk, want, 71000) == 0);
    file_put(f);
}

KTEST(page_cache_write_that_the_backing_refuses_is_not_shown)
{
    static uint8_t buf[8192];
    struct file *f = disk_file(sizeof(disk), &disk_rw);
    memset(buf, 0xab, sizeof(buf));
    KCHECK_EQ(write_at(f, buf, 8192, sizeof(disk)), -ENOSPC);
    KCHECK_EQ(f->inode->size, sizeof(disk));
    KCHECK_EQ(read_at(f, buf, 100, sizeof(disk) - 50), 50);
    KCHECK(memcmp(buf, disk + sizeof(disk) - 50, 50) == 0);
    file_put(f);
}

KTEST(page_cache_truncation_zeroes_what_comes_back)
{
    static uint8_t buf[20000];
    struct file *f = disk_file(20000, &disk_rw);
    KCHECK_EQ(read_at(f, buf, sizeof(buf), 0), 20000);
    truncate_to(f, 5000);
    disk_size = 5000;
    KCHECK_EQ(read_at(f, buf, sizeof(buf), 0), 5000);
    truncate_to(f, 15000);
    KCHECK_EQ(read_at(f, buf, sizeof(buf), 0), 15000);
    for (int i = 0; i < 15000; i++)
        KCHECK(buf[i] == (i < 5000 ? disk[i] : 0));
    file_put(f);
}

KTEST(page_cache_mapping_and_file_are_the_same_bytes)
{
    static uint8_t buf[200];
    struct file *f = disk_file(100000, &disk_rw);
    int64_t m = mm_map(current->mm, f, 0, 25 * P, RW, MAP_SHARED_K, 0);
    KCHECK(m > 0);
    uaddr_t u = (uaddr_t)m;
    KCHECK_EQ(nr_reads, 0); /* nothing before the first touch */
    KCHECK_EQ(copy_from_user(buf, u + 50000, 200), 0);
    KCHECK(memcmp(buf, disk + 50000, 200) == 0);
    KCHECK(read_bytes <= 32 * P);
    memset(buf, 0xcd, 100);
    KCHECK_EQ(copy_to_user(u + 90000, buf, 100), 0); /* not yet filled */
    KCHECK_EQ(read_at(f, buf, 200, 89950), 200);
    KCHECK(memcmp(buf, disk + 89950, 50) == 0 && buf[50] == 0xcd && buf[149] == 0xcd &&
           buf[150] == disk[90100]);
    memset(buf, 0x12, 10);
    KCHECK_EQ(write_at(f, buf, 10, 10), 10);
    memset(buf, 0, 10);
    KCHECK_EQ(copy_from_user(buf, u + 10, 10), 0);
    KCHECK(buf[0] == 0x12 && buf[9] == 0x12);
    KCHECK(disk[90000] != 0xcd);
    KCHECK_EQ(sys_msync(u, 25 * P, 4 /* MS_SYNC */), 0);
    KCHECK(disk[90000] == 0xcd && disk[90099] == 0xcd);
    file_put(f);
}

KTEST(page_cache_private_mapping_keeps_its_writes)
{
    uint8_t b = 0;
    struct file *f = disk_file(100000, &disk_rw);
    uaddr_t u = (uaddr_t)mm_map(current->mm, f, 0, 25 * P, RW, MAP_PRIVATE_K, 0);
    KCHECK_EQ(copy_from_user(&b, u + 5, 1), 0);
    b = 0x99;
    KCHECK_EQ(copy_to_user(u + 5, &b, 1), 0);
    KCHECK_EQ(copy_to_user(u + 60005, &b, 1), 0); /* write before any read */
    KCHECK_EQ(read_at(f, &b, 1, 5), 1);
    KCHECK_EQ(b, disk[5]);
    KCHECK_EQ(read_at(f, &b, 1, 60005), 1);
    KCHECK_EQ(b, disk[60005]);
    KCHECK_EQ(copy_from_user(&b, u + 60005, 1), 0);
    KCHECK_EQ(b, 0x99);
    KCHECK_EQ(copy_from_user(&b, u + 60006, 1), 0);
    KCHECK_EQ(b, disk[60006]);
    KCHECK_EQ(nr_writes, 0);
    file_put(f);
}

KTEST(page_cache_mapping_behind_the_end_is_sigbus)
{
    uint8_t b;
    struct file *f = disk_file(P + 100, &disk_rw);
    uaddr_t u = (uaddr_t)mm_map(current->mm, f, 0, 4 * P, RW, MAP_SHARED_K, 0);
    KCHECK_EQ(copy_from_user(&b, u + P + 200, 1), 0); /* the rest of the last page: zeros */
    KCHECK_EQ(b, 0);
    struct fault_result r = mm_fault(current->mm, u + 2 * P, FAULT_READ);
    KCHECK(r.sig == SIGBUS && r.code == BUS_ADRERR_K);
    KCHECK_EQ(copy_from_user(&b, u + 2 * P, 1), -EFAULT);
    /* The file grows: the same mapping shows it. */
    b = 7;
    KCHECK_EQ(write_at(f, &b, 1, 3 * P), 1);
    KCHECK_EQ(copy_from_user(&b, u + 3 * P, 1), 0);
    KCHECK_EQ(b, 7);
    KCHECK_EQ(copy_from_user(&b, u + 2 * P, 1), 0);
    KCHECK_EQ(b, 0);
    /* And shrinks. */
    truncate_to(f, 10);
    KCHECK_EQ(copy_from_user(&b, u + 3 * P, 1), -EFAULT);
    KCHECK_EQ(copy_from_user(&b, u + P, 1), -EFAULT);
    KCHECK_EQ(copy_from_user(&b, u + 20, 1), 0);
    KCHECK_EQ(b, 0);
    r = mm_fault(current->mm, u - P, FAULT_READ);
    KCHECK(r.sig == SIGSEGV && r.code == SEGV_MAPERR_K);
    file_put(f);
}

KTEST(page_cache_fault_on_unreadable_backing_is_sigbus)
{
    uint8_t b;
    struct file *f = disk_file(1 << 20, &disk_ro);
    fail_from = 500000;
    uaddr_t u = (uaddr_t)mm_map(current->mm, f, 0, 1 << 20, PROT_READ_K, MAP_PRIVATE_K, 0);
    KCHECK_EQ(mm_fault(current->mm, u + 600000, FAULT_READ).sig, SIGBUS);
    KCHECK_EQ(copy_from_user(&b, u + 600000, 1), -EFAULT);
    KCHECK_EQ(copy_from_user(&b, u + (499999 & ~(P - 1)) - 1, 1),
              0); /* the window around it reaches the bad place */
    fail_from = UINT64_MAX;
    KCHECK_EQ(copy_from_user(&b, u + 600000, 1), 0);
    KCHECK_EQ(b, disk[600000]);
    file_put(f);
}

KTEST(page_cache_reclaim_drops_what_nobody_maps)
{
    static uint8_t buf[300000];
    uint8_t b;
    struct file *f = disk_file(300000, &disk_ro);
    KCHECK_EQ(read_at(f, buf, sizeof(buf), 0), 300000);
    uint64_t before = read_bytes;
    uaddr_t u = (uaddr_t)mm_map(current->mm, f, 0, 74 * P, PROT_READ_K, MAP_PRIVATE_K, 0);
    KCHECK_EQ(copy_from_user(&b, u, 1), 0);
    page_cache_reclaim(UINT64_MAX);
    KCHECK_EQ(read_at(f, buf, sizeof(buf), 0), 300000);
    KCHECK_EQ(read_bytes, before);
    KCHECK_EQ(mm_unmap(current->mm, u, 74 * P), 0);
    KCHECK(page_cache_reclaim(UINT64_MAX) >= 300000);
    memset(buf, 0, sizeof(buf));
    KCHECK_EQ(read_at(f, buf, sizeof(buf), 0), 300000);
    KCHECK(read_bytes >= before + 300000);
    KCHECK(memcmp(buf, disk, sizeof(buf)) == 0);
    file_put(f);
}

KTEST(page_cache_segments_far_apart_in_a_sparse_file)
{
    uint8_t b = 5, back = 0;
    struct file *f = tmpfs_file_create("sparse", 0, 0);
    KCHECK(!is_err(f));
    for (int shift = 0; shift <= 36; shift += 3) {
        KCHECK_EQ(write_at(f, &b, 1, 1ull << shift), 1);
        KCHECK_EQ(read_at(f, &back, 1, 1ull << shift), 1);
        KCHECK_EQ(back, 5);
    }
    KCHECK_EQ(read_at(f, &back, 1, 1ull << 20), 1);
    KCHECK_EQ(back, 0);
    int64_t r = write_at(f, &b, 1, 1ull << 61);
    KCHECK(r == -ENOSPC || r == -EFBIG);
    file_put(f);
}

KTEST(page_cache_random_use_matches_a_model)
{
    enum { SIZE = 200000 };
    static uint8_t model[SIZE], back[SIZE];
    struct file *f = disk_file(SIZE, &disk_rw);
    memcpy(model, disk, SIZE);
    uaddr_t u = (uaddr_t)mm_map(current->mm, f, 0, PAGE_ALIGN(SIZE), RW, MAP_SHARED_K, 0);
    uint32_t seed = 17;
    for (int round = 0; round < 500; round++) {
        seed = seed * 1664525 + 1013904223;
        uint32_t off = (seed >> 8) % (SIZE - 7000), len = (seed >> 4) % 7000 + 1;
        switch (round % 5) {
        case 0:
            memset(back, round, len);
            KCHECK_EQ(write_at(f, back, len, off), len);
            memset(model + off, round, len);
            break;
        case 1:
            memset(back, round, len);
            KCHECK_EQ(copy_to_user(u + off, back, len), 0);
            memset(model + off, round, len);
            break;
        case 2:
            KCHECK_EQ(read_at(f, back, len, off), len);
            KCHECK(memcmp(back, model + off, len) == 0);
            break;
        case 3:
            KCHECK_EQ(copy_from_user(back, u + off, len), 0);
            KCHECK(memcmp(back, model + off, len) == 0);
            break;
        default:
            KCHECK_EQ(page_cache_punch(&f->inode->pages, off, len), 0);
            memset(model + off, 0, len);
        }
    }
    KCHECK_EQ(page_cache_sync(&f->inode->pages, 0, UINT64_MAX), 0);
    KCHECK(memcmp(disk, model, SIZE) == 0);
    file_put(f);
}
