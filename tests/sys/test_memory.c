/* SPDX-License-Identifier: Apache-2.0 */
/* brk, madvise, mincore, msync, and the locks on memory. */
#include "cella_proc.h"

#include <malloc.h>

#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

enum { RW = PROT_READ | PROT_WRITE };

/* The raw call answers the break that holds afterwards, whether it moved or not. */
static uintptr_t raw_brk(uintptr_t wanted)
{
    return (uintptr_t)syscall(SYS_brk, wanted);
}

static unsigned char *map_file(size_t len, int flags, int *fd)
{
    cella_scratch();
    *fd = open("f", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(*fd >= 0);
    CHECK_OK(ftruncate(*fd, (off_t)len));
    unsigned char *at = mmap(NULL, len, RW, flags, *fd, 0);
    CHECK(at != MAP_FAILED);
    return at;
}

TEST(brk, success, "moves up, gives zeroed memory, moves down and takes it away")
{
    uintptr_t start = raw_brk(0);
    uintptr_t top = (start + PAGE - 1) / PAGE * PAGE + 64 * PAGE;
    CHECK_EQ(raw_brk(top), top);
    CHECK_EQ(raw_brk(0), top);
    unsigned char *last = (unsigned char *)top - PAGE;
    CHECK_EQ(last[0], 0);
    memset((void *)start, 9, top - start);
    CHECK_EQ(last[PAGE - 1], 9);
    CHECK_EQ(raw_brk(start), start);
    CHECK_FAULT(last, PROBE_READ, SIGSEGV, SEGV_MAPERR);
    CHECK_EQ(raw_brk(top), top);
    CHECK_EQ(last[0], 0);
}

TEST(brk, success, "a child starts with the parent's break and moves its own")
{
    uintptr_t start = raw_brk(0);
    CHECK_EQ(raw_brk(start + 4 * PAGE), start + 4 * PAGE);
    *(volatile char *)(start + 3 * PAGE) = 5;
    pid_t pid = (pid_t)syscall(SYS_fork);
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(raw_brk(0), start + 4 * PAGE);
        CHECK_EQ(*(volatile char *)(start + 3 * PAGE), 5);
        CHECK_EQ(raw_brk(start), start);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_EQ(raw_brk(0), start + 4 * PAGE);
    CHECK_EQ(*(volatile char *)(start + 3 * PAGE), 5);
}

TEST(brk, error, "a break below the heap, or into another mapping, is not taken")
{
    uintptr_t start = raw_brk(0);
    CHECK_EQ(raw_brk(PAGE), start);
    uintptr_t page = (start + PAGE - 1) / PAGE * PAGE + 8 * PAGE;
    void *wall = mmap((void *)page, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(wall != MAP_FAILED);
    CHECK_EQ(raw_brk(page + 1), start);
}

TEST(brk, limit, "RLIMIT_DATA holds it")
{
    struct rlimit limit = {1 << 20, 1 << 20};
    uintptr_t start = raw_brk(0);
    CHECK_OK(setrlimit(RLIMIT_DATA, &limit));
    CHECK_EQ(raw_brk(start + (64 << 20)), start);
}

TEST(brk, limit, "need not be a page's multiple")
{
    uintptr_t start = raw_brk(0);
    CHECK_EQ(raw_brk(start + 3), start + 3);
    *(volatile char *)(start + 2) = 1;
    CHECK_EQ(raw_brk(start + 7), start + 7);
    CHECK_EQ(*(volatile char *)(start + 2), 1);
}

TEST(madvise, success, "MADV_DONTNEED gives anonymous memory back as zeros")
{
    unsigned char *at = private_pages(4, RW);
    memset(at, 3, 4 * PAGE);
    CHECK_EQ(syscall(SYS_madvise, at + PAGE, 2 * PAGE, MADV_DONTNEED), 0);
    CHECK_EQ(at[0], 3);
    CHECK_EQ(at[PAGE] + at[3 * PAGE - 1], 0);
    CHECK_EQ(at[3 * PAGE], 3);
    at[PAGE] = 4;
    CHECK_EQ(at[PAGE], 4);
}

TEST(madvise, success, "MADV_DONTNEED of a private file mapping gives the file's bytes back")
{
    int fd;
    unsigned char *at = map_file(PAGE, MAP_PRIVATE, &fd);
    CHECK_EQ(pwrite(fd, "file", 4, 0), 4);
    memcpy(at, "mine", 4);
    CHECK_EQ(syscall(SYS_madvise, at, PAGE, MADV_DONTNEED), 0);
    CHECK(!memcmp(at, "file", 4));
}

TEST(madvise, success, "MADV_DONTNEED of shared memory loses nothing")
{
    unsigned char *at = shared_memory(PAGE);
    at[5] = 6;
    CHECK_EQ(syscall(SYS_madvise, at, PAGE, MADV_DONTNEED), 0);
    CHECK_EQ(at[5], 6);
}

TEST(madvise, success, "after MADV_FREE there are the old bytes or zeros; a write stays")
{
    unsigned char *at = private_pages(2, RW);
    memset(at, 3, 2 * PAGE);
    CHECK_EQ(syscall(SYS_madvise, at, 2 * PAGE, MADV_FREE), 0);
    at[PAGE] = 7;
    CHECK(at[0] == 3 || at[0] == 0);
    CHECK_EQ(at[PAGE], 7);
}

TEST(madvise, success, "MADV_REMOVE makes a hole in the shared object")
{
    unsigned char *at = shared_memory(2 * PAGE);
    memset(at, 8, 2 * PAGE);
    CHECK_EQ(syscall(SYS_madvise, at, PAGE, MADV_REMOVE), 0);
    CHECK_EQ(at[0], 0);
    CHECK_EQ(at[PAGE], 8);
}

TEST(madvise, success, "MADV_DONTFORK and MADV_WIPEONFORK hold for the child")
{
    unsigned char *gone = private_pages(1, RW), *wiped = private_pages(1, RW);
    gone[0] = wiped[0] = 5;
    CHECK_EQ(syscall(SYS_madvise, gone, PAGE, MADV_DONTFORK), 0);
    CHECK_EQ(syscall(SYS_madvise, wiped, PAGE, MADV_WIPEONFORK), 0);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(wiped[0], 0);
        CHECK_FAULT(gone, PROBE_READ, SIGSEGV, SEGV_MAPERR);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_EQ(gone[0] + wiped[0], 10);
}

TEST(madvise, success, "advice without an effect on contents is taken")
{
    static const int advice[] = {MADV_NORMAL,     MADV_RANDOM,    MADV_SEQUENTIAL,
                                 MADV_WILLNEED,   MADV_DONTDUMP,  MADV_DODUMP,
                                 MADV_DOFORK,     MADV_KEEPONFORK, MADV_COLD,
                                 MADV_POPULATE_READ, MADV_POPULATE_WRITE};
    int fd;
    unsigned char *at = private_pages(2, RW), *file = map_file(2 * PAGE, MAP_SHARED, &fd);
    memset(at, 3, 2 * PAGE);
    for (size_t i = 0; i < sizeof(advice) / sizeof(advice[0]); i++)
        CHECK_EQ(syscall(SYS_madvise, at, 2 * PAGE, advice[i]), 0);
    CHECK_EQ(at[PAGE], 3);
    CHECK_EQ(syscall(SYS_madvise, file, 2 * PAGE, MADV_WILLNEED), 0);
    CHECK_EQ(syscall(SYS_madvise, file, 2 * PAGE, MADV_RANDOM), 0);
}

TEST(madvise, error, "EINVAL for unknown advice, an unaligned address, MADV_FREE of a file")
{
    int fd;
    unsigned char *at = private_pages(2, RW), *file = map_file(PAGE, MAP_SHARED, &fd);
    CHECK_ERRNO(syscall(SYS_madvise, at, PAGE, 9999), EINVAL);
    CHECK_ERRNO(syscall(SYS_madvise, at, PAGE, -1), EINVAL);
    CHECK_ERRNO(syscall(SYS_madvise, at + 1, PAGE, MADV_DONTNEED), EINVAL);
    CHECK_ERRNO(syscall(SYS_madvise, at, ~0ul - PAGE, MADV_DONTNEED), EINVAL);
    CHECK_ERRNO(syscall(SYS_madvise, file, PAGE, MADV_FREE), EINVAL);
    CHECK_ERRNO(syscall(SYS_madvise, file, PAGE, MADV_WIPEONFORK), EINVAL);
}

TEST(madvise, error, "ENOMEM when there is a hole; the rest is done all the same")
{
    unsigned char *at = private_pages(3, RW);
    memset(at, 3, 3 * PAGE);
    CHECK_OK(munmap(at + PAGE, PAGE));
    CHECK_ERRNO(syscall(SYS_madvise, at, 3 * PAGE, MADV_DONTNEED), ENOMEM);
    CHECK_EQ(at[0] + at[2 * PAGE], 0);
}

TEST(madvise, limit, "length 0 is nothing, a length is rounded up")
{
    unsigned char *at = private_pages(2, RW);
    memset(at, 3, 2 * PAGE);
    CHECK_EQ(syscall(SYS_madvise, at, 0, MADV_DONTNEED), 0);
    CHECK_EQ(at[0], 3);
    CHECK_EQ(syscall(SYS_madvise, at, 1, MADV_DONTNEED), 0);
    CHECK_EQ(at[0] + at[PAGE - 1], 0);
    CHECK_EQ(at[PAGE], 3);
}

TEST(mincore, success, "touched pages are resident, untouched anonymous ones are not")
{
    unsigned char vec[4] = {0x54, 0x54, 0x54, 0x54};
    unsigned char *at = private_pages(4, RW);
    madvise(at, 4 * PAGE, MADV_NOHUGEPAGE); /* EINVAL where there are no huge pages */
    at[PAGE] = 1;
    at[3 * PAGE] = 1;
    CHECK_EQ(syscall(SYS_mincore, at, 4 * PAGE, vec), 0);
    CHECK_EQ(vec[0] & 1, 0);
    CHECK_EQ(vec[1] & 1, 1);
    CHECK_EQ(vec[2] & 1, 0);
    CHECK_EQ(vec[3] & 1, 1);
}

TEST(mincore, error, "EINVAL, ENOMEM, EFAULT")
{
    unsigned char vec[4];
    unsigned char *at = private_pages(2, RW);
    CHECK_ERRNO(syscall(SYS_mincore, at + 1, PAGE, vec), EINVAL);
    CHECK_ERRNO(syscall(SYS_mincore, at, PAGE, bad_address()), EFAULT);
    CHECK_OK(munmap(at + PAGE, PAGE));
    CHECK_ERRNO(syscall(SYS_mincore, at, 2 * PAGE, vec), ENOMEM);
}

TEST(mincore, limit, "length 0 stores nothing, a length is rounded up")
{
    unsigned char vec[2] = {0x54, 0x54};
    unsigned char *at = private_pages(2, RW);
    CHECK_EQ(syscall(SYS_mincore, at, 0, vec), 0);
    CHECK_EQ(vec[0], 0x54);
    at[0] = 1;
    CHECK_EQ(syscall(SYS_mincore, at, 1, vec), 0);
    CHECK_EQ(vec[0] & 1, 1);
    CHECK_EQ(vec[1], 0x54);
}

TEST(msync, success, "MS_SYNC, MS_ASYNC and MS_INVALIDATE; the file has the bytes")
{
    int fd;
    char bytes[4];
    unsigned char *at = map_file(2 * PAGE, MAP_SHARED, &fd);
    memcpy(at + PAGE, "sync", 4);
    CHECK_EQ(syscall(SYS_msync, at, 2 * PAGE, MS_SYNC), 0);
    CHECK_EQ(pread(fd, bytes, 4, PAGE), 4);
    CHECK(!memcmp(bytes, "sync", 4));
    CHECK_EQ(syscall(SYS_msync, at, 2 * PAGE, MS_ASYNC), 0);
    CHECK_EQ(syscall(SYS_msync, at, 2 * PAGE, MS_SYNC | MS_INVALIDATE), 0);
    CHECK_EQ(syscall(SYS_msync, private_pages(1, RW), PAGE, MS_SYNC), 0);
}

TEST(msync, error, "EINVAL, ENOMEM")
{
    unsigned char *at = private_pages(3, RW);
    CHECK_ERRNO(syscall(SYS_msync, at, PAGE, MS_SYNC | MS_ASYNC), EINVAL);
    CHECK_ERRNO(syscall(SYS_msync, at, PAGE, 8), EINVAL);
    CHECK_ERRNO(syscall(SYS_msync, at + 1, PAGE, MS_SYNC), EINVAL);
    CHECK_OK(munmap(at + PAGE, PAGE));
    CHECK_ERRNO(syscall(SYS_msync, at, 3 * PAGE, MS_SYNC), ENOMEM);
}

TEST(msync, limit, "no flags and no length are nothing; EBUSY to invalidate what is locked")
{
    int fd;
    unsigned char *at = map_file(PAGE, MAP_SHARED, &fd);
    CHECK_EQ(syscall(SYS_msync, at, 0, MS_SYNC), 0);
    CHECK_EQ(syscall(SYS_msync, at, PAGE, 0), 0);
    CHECK_OK(mlock(at, PAGE));
    CHECK_ERRNO(syscall(SYS_msync, at, PAGE, MS_INVALIDATE), EBUSY);
}

/* The pages of a range that are resident, as mincore counts them. */
static int nr_resident(unsigned char *at, size_t nr_pages)
{
    unsigned char vec[64];
    int nr = 0;
    CHECK(nr_pages <= sizeof(vec));
    CHECK_OK(mincore(at, nr_pages * PAGE, vec));
    for (size_t i = 0; i < nr_pages; i++)
        nr += vec[i] & 1;
    return nr;
}

static void set_lock_limit(rlim_t bytes)
{
    struct rlimit limit = {bytes, bytes};
    cella_drop_root();
    CHECK_OK(setrlimit(RLIMIT_MEMLOCK, &limit));
}

TEST(mlock, success, "makes every page resident; MADV_DONTNEED is then refused")
{
    unsigned char *at = private_pages(8, RW);
    CHECK_EQ(syscall(SYS_mlock, at, 8 * PAGE), 0);
    CHECK_EQ(nr_resident(at, 8), 8);
    CHECK_ERRNO(madvise(at, PAGE, MADV_DONTNEED), EINVAL);
}

TEST(mlock, error, "ENOMEM for a hole")
{
    unsigned char *at = private_pages(3, RW);
    CHECK_OK(munmap(at + PAGE, PAGE));
    CHECK_ERRNO(syscall(SYS_mlock, at, 3 * PAGE), ENOMEM);
}

TEST(mlock, limit, "ENOMEM above RLIMIT_MEMLOCK, EPERM if that is 0; addresses are rounded")
{
    unsigned char *at = private_pages(8, RW);
    set_lock_limit(4 * PAGE);
    CHECK_ERRNO(syscall(SYS_mlock, at, 5 * PAGE), ENOMEM);
    CHECK_EQ(syscall(SYS_mlock, at + 100, 3 * PAGE), 0); /* touches four */
    CHECK_EQ(nr_resident(at, 5), 4);
    CHECK_ERRNO(syscall(SYS_mlock, at + 4 * PAGE, 1), ENOMEM);
    CHECK_OK(munlock(at, 4 * PAGE));
    set_lock_limit(0);
    CHECK_ERRNO(syscall(SYS_mlock, at, PAGE), EPERM);
}

TEST(mlock2, success, "without a flag as mlock; MLOCK_ONFAULT waits for the touch")
{
    unsigned char *now = private_pages(4, RW), *later = private_pages(4, RW);
    madvise(later, 4 * PAGE, MADV_NOHUGEPAGE); /* EINVAL where there are no huge pages */
    CHECK_EQ(syscall(SYS_mlock2, now, 4 * PAGE, 0), 0);
    CHECK_EQ(nr_resident(now, 4), 4);
    CHECK_EQ(syscall(SYS_mlock2, later, 4 * PAGE, MLOCK_ONFAULT), 0);
    CHECK_EQ(nr_resident(later, 4), 0);
    later[PAGE] = 1;
    CHECK_EQ(nr_resident(later, 4), 1);
}

TEST(mlock2, error, "EINVAL for an unknown flag, ENOMEM for a hole")
{
    unsigned char *at = private_pages(3, RW);
    CHECK_ERRNO(syscall(SYS_mlock2, at, PAGE, 2), EINVAL);
    CHECK_OK(munmap(at + PAGE, PAGE));
    CHECK_ERRNO(syscall(SYS_mlock2, at, 3 * PAGE, 0), ENOMEM);
}

TEST(mlock2, limit, "ENOMEM above RLIMIT_MEMLOCK, with MLOCK_ONFAULT too")
{
    unsigned char *at = private_pages(8, RW);
    set_lock_limit(4 * PAGE);
    CHECK_ERRNO(syscall(SYS_mlock2, at, 5 * PAGE, MLOCK_ONFAULT), ENOMEM);
    CHECK_EQ(syscall(SYS_mlock2, at, 4 * PAGE, MLOCK_ONFAULT), 0);
}

TEST(munlock, success, "MADV_DONTNEED works again, and the limit has room again")
{
    unsigned char *at = private_pages(8, RW);
    set_lock_limit(4 * PAGE);
    CHECK_OK(mlock(at, 4 * PAGE));
    CHECK_ERRNO(madvise(at, PAGE, MADV_DONTNEED), EINVAL);
    CHECK_EQ(syscall(SYS_munlock, at, 4 * PAGE), 0);
    CHECK_OK(madvise(at, PAGE, MADV_DONTNEED));
    CHECK_OK(mlock(at + 4 * PAGE, 4 * PAGE));
}

TEST(munlock, error, "ENOMEM for a hole")
{
    unsigned char *at = private_pages(3, RW);
    CHECK_OK(munmap(at + PAGE, PAGE));
    CHECK_ERRNO(syscall(SYS_munlock, at, 3 * PAGE), ENOMEM);
}

TEST(munlock, limit, "what was never locked, and length 0, succeed")
{
    unsigned char *at = private_pages(1, RW);
    CHECK_EQ(syscall(SYS_munlock, at, PAGE), 0);
    CHECK_EQ(syscall(SYS_munlock, at, 0), 0);
}

TEST(mlockall, success, "MCL_FUTURE locks what is mapped afterwards")
{
    struct rlimit limit;
    CHECK_OK(getrlimit(RLIMIT_MEMLOCK, &limit));
    CHECK_EQ(syscall(SYS_mlockall, MCL_FUTURE), 0);
    unsigned char *at = private_pages(4, RW);
    CHECK_EQ(nr_resident(at, 4), 4);
    pid_t pid = cella_fork(); /* locks are not inherited */
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_OK(madvise(at, PAGE, MADV_DONTNEED));
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_ERRNO(madvise(at, PAGE, MADV_DONTNEED), EINVAL);
    CHECK_OK(munlockall());
}

TEST(mlockall, error, "EINVAL for no, unknown or lone MCL_ONFAULT flags, EPERM if the limit is 0")
{
    CHECK_ERRNO(syscall(SYS_mlockall, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_mlockall, 8), EINVAL);
    CHECK_ERRNO(syscall(SYS_mlockall, MCL_ONFAULT), EINVAL);
    set_lock_limit(0);
    CHECK_ERRNO(syscall(SYS_mlockall, MCL_CURRENT), EPERM);
}

TEST(mlockall, limit, "ENOMEM above RLIMIT_MEMLOCK; afterwards mmap answers EAGAIN")
{
    set_lock_limit(4 * PAGE);
    CHECK_ERRNO(syscall(SYS_mlockall, MCL_CURRENT), ENOMEM);
    CHECK_EQ(syscall(SYS_mlockall, MCL_FUTURE), 0);
    CHECK_ERRNO(mmap(NULL, 100 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EAGAIN);
    CHECK_OK(munlockall());
    private_pages(100, RW);
}

TEST(munlockall, success, "unlocks all")
{
    unsigned char *at = private_pages(4, RW);
    CHECK_OK(mlock(at, 4 * PAGE));
    CHECK_EQ(syscall(SYS_munlockall), 0);
    CHECK_OK(madvise(at, PAGE, MADV_DONTNEED));
}

TEST(munlockall, error, "never fails, even if nothing was locked")
{
    CHECK_EQ(syscall(SYS_munlockall), 0);
    CHECK_EQ(syscall(SYS_munlockall, 8, 8, 8), 0);
}

TEST(munlockall, limit, "takes MCL_FUTURE back")
{
    CHECK_OK(mlockall(MCL_FUTURE));
    CHECK_EQ(syscall(SYS_munlockall), 0);
    unsigned char *at = private_pages(4, RW);
    CHECK_OK(madvise(at, 4 * PAGE, MADV_DONTNEED));
}

TEST(brk, success, "malloc takes from it and gives back")
{
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    uintptr_t before = raw_brk(0);
    char *at = malloc(8 << 20);
    CHECK(at != NULL);
    memset(at, 1, 8 << 20);
    CHECK(raw_brk(0) >= before + (8 << 20));
    free(at);
    CHECK(malloc_trim(0) >= 0);
    CHECK(raw_brk(0) < before + (8 << 20));
}

TEST_MAIN()
