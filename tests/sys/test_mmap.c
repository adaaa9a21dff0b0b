/* SPDX-License-Identifier: Apache-2.0 */
/* mmap, munmap, mprotect, mremap: what is mapped, what faults, and with which siginfo. */
#include "cella_proc.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

enum { RW = PROT_READ | PROT_WRITE, ANON = MAP_PRIVATE | MAP_ANONYMOUS };

static unsigned char *map(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
    void *got = (void *)syscall(SYS_mmap, at, len, prot, flags, fd, offset);
    CHECK(got != MAP_FAILED);
    return got;
}

static long mmap_call(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
    return syscall(SYS_mmap, at, len, prot, flags, fd, offset);
}

/* A file of `len` bytes, byte i being i / 16 % 256; open for reading and writing. */
static int make_file(size_t len)
{
    cella_scratch();
    unsigned char *data = malloc(len);
    CHECK(data != NULL);
    for (size_t i = 0; i < len; i++)
        data[i] = (unsigned char)(i / 16);
    cella_put_file("f", data, len);
    free(data);
    int fd = open("f", O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0);
    return fd;
}

TEST(mmap, success, "anonymous memory is zero, writable, at a page's start")
{
    unsigned char *at = map(NULL, 3 * PAGE + 1, RW, ANON, -1, 0);
    CHECK_EQ((uintptr_t)at % PAGE, 0);
    for (size_t i = 0; i < 4 * PAGE; i++)
        CHECK_EQ(at[i], 0);
    memset(at, 7, 4 * PAGE); /* the length is rounded up */
    CHECK_EQ(at[4 * PAGE - 1], 7);
}

TEST(mmap, success, "two mappings do not overlap, and the hint is taken where it is free")
{
    unsigned char *a = map(NULL, 16 * PAGE, RW, ANON, -1, 0);
    unsigned char *b = map(NULL, 16 * PAGE, RW, ANON, -1, 0);
    CHECK(a + 16 * PAGE <= b || b + 16 * PAGE <= a);
    CHECK_OK(munmap(a, 16 * PAGE));
    CHECK(map(a, 16 * PAGE, RW, ANON, -1, 0) == a);
    unsigned char *elsewhere = map(a, PAGE, RW, ANON, -1, 0); /* a hint that is taken */
    CHECK(elsewhere < a || elsewhere >= a + 16 * PAGE);
    CHECK(map(elsewhere + 5, 1, RW, ANON, -1, 0) != NULL); /* a hint need not be aligned */
}

TEST(mmap, success, "MAP_FIXED replaces just what it covers")
{
    unsigned char *at = private_pages(3, RW);
    memset(at, 5, 3 * PAGE);
    CHECK(map(at + PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0) == at + PAGE);
    CHECK_EQ(at[0], 5);
    CHECK_EQ(at[PAGE], 0);
    CHECK_EQ(at[2 * PAGE - 1], 0);
    CHECK_EQ(at[2 * PAGE], 5);
}

TEST(mmap, success, "MAP_FIXED_NOREPLACE takes a free place and refuses a taken one")
{
    unsigned char *at = private_pages(4, RW);
    at[PAGE] = 9;
    CHECK_ERRNO(mmap_call(at + PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
    CHECK_EQ(at[PAGE], 9);
    CHECK_OK(munmap(at + PAGE, PAGE));
    CHECK_ERRNO(mmap_call(at, 2 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
    CHECK(map(at + PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == at + PAGE);
}

TEST(mmap, success, "a private file mapping reads the file; its writes stay private")
{
    unsigned char byte;
    int fd = make_file(3 * PAGE);
    unsigned char *at = map(NULL, 2 * PAGE, RW, MAP_PRIVATE, fd, PAGE);
    CHECK_OK(close(fd));
    fd = open("f", O_RDWR);
    CHECK_EQ(at[0], 0);
    CHECK_EQ(at[16], 1);
    CHECK_EQ(at[PAGE + 32], 2);
    at[16] = 0xee;
    CHECK_EQ(pread(fd, &byte, 1, PAGE + 16), 1);
    CHECK_EQ(byte, 1);
    byte = 0x77; /* a page not yet written privately shows what others write to the file */
    CHECK_EQ(pwrite(fd, &byte, 1, 2 * PAGE + 32), 1);
    CHECK_EQ(at[PAGE + 32], 0x77);
    CHECK_EQ(pwrite(fd, &byte, 1, PAGE + 16), 1);
    CHECK_EQ(at[16], 0xee);
}

TEST(mmap, success, "a shared file mapping is the file: mapping, read, write and children agree")
{
    unsigned char byte = 0x66;
    int fd = make_file(2 * PAGE);
    unsigned char *at = map(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);
    unsigned char *again = map(NULL, PAGE, PROT_READ, MAP_SHARED, fd, PAGE);
    at[PAGE + 3] = 0xaa;
    CHECK_EQ(again[3], 0xaa);
    CHECK_EQ(pread(fd, &byte, 1, PAGE + 3), 1);
    CHECK_EQ(byte, 0xaa);
    byte = 0xbb;
    CHECK_EQ(pwrite(fd, &byte, 1, 5), 1);
    CHECK_EQ(at[5], 0xbb);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        at[PAGE + 4] = 0xcc;
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_EQ(again[4], 0xcc);
}

TEST(mmap, success, "the rest of a file's last page is zero and is never written back")
{
    unsigned char byte[2] = {1, 1};
    int fd = make_file(PAGE + 100);
    unsigned char *at = map(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);
    CHECK_EQ(at[PAGE + 99], (PAGE + 99) / 16 % 256);
    for (size_t i = PAGE + 100; i < 2 * PAGE; i++)
        CHECK_EQ(at[i], 0);
    at[PAGE + 100] = 0x99;
    CHECK_EQ(pread(fd, byte, 2, PAGE + 99), 1);
    CHECK_OK(munmap(at, 2 * PAGE));
    struct stat st;
    CHECK_OK(fstat(fd, &st));
    CHECK_EQ(st.st_size, PAGE + 100);
}

TEST(mmap, success, "an unlinked, closed file stays as long as its mapping")
{
    int fd = make_file(PAGE);
    unsigned char *at = map(NULL, PAGE, RW, MAP_SHARED, fd, 0);
    CHECK_OK(close(fd));
    CHECK_OK(unlink("f"));
    CHECK_EQ(at[160], 10);
    at[160] = 1;
    CHECK_EQ(at[160], 1);
}

TEST(mmap, success, "code written to memory can be executed")
{
    /* mov $42,%eax; ret */
    static const unsigned char code[] = {0xb8, 0x2a, 0x00, 0x00, 0x00, 0xc3};
    unsigned char *at = map(NULL, PAGE, RW, ANON, -1, 0);
    memcpy(at, code, sizeof(code));
    CHECK_OK(mprotect(at, PAGE, PROT_READ | PROT_EXEC));
    CHECK_EQ(((int (*)(void))(uintptr_t)at)(), 42);
    at = map(NULL, PAGE, RW | PROT_EXEC, ANON, -1, 0);
    memcpy(at, code, sizeof(code));
    CHECK_EQ(((int (*)(void))(uintptr_t)at)(), 42);
    at[1] = 43; /* code changed in place */
    CHECK_EQ(((int (*)(void))(uintptr_t)at)(), 43);
}

TEST(mmap, success, "MAP_POPULATE, MAP_NORESERVE, MAP_STACK and MAP_32BIT")
{
    unsigned char *at = map(NULL, 8 * PAGE, RW, ANON | MAP_POPULATE | MAP_STACK, -1, 0);
    CHECK_EQ(at[7 * PAGE], 0);
    at = map(NULL, 1ul << 36, RW, ANON | MAP_NORESERVE, -1, 0);
    at[(1ul << 36) - 1] = 1;
    CHECK_EQ(at[(1ul << 36) - 1], 1);
    at = map(NULL, PAGE, RW, ANON | MAP_32BIT, -1, 0);
    CHECK((uintptr_t)at + PAGE <= 1ul << 31);
}

TEST(mmap, success, "MAP_GROWSDOWN grows to a fault just below it")
{
    unsigned char *room = private_pages(64, PROT_NONE);
    CHECK_OK(munmap(room, 64 * PAGE));
    unsigned char *at = map(room + 63 * PAGE, PAGE, RW, ANON | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
    CHECK_EQ(probe(at - 1, PROBE_WRITE), 0);
    CHECK_EQ(probe(at - 5 * PAGE, PROBE_WRITE), 0);
    CHECK_EQ(at[-1], 0);
}

TEST(mmap, error, "SIGSEGV with SEGV_MAPERR where nothing is mapped")
{
    unsigned char *at = private_pages(1, RW);
    CHECK_OK(munmap(at, PAGE));
    CHECK_FAULT(at + 5, PROBE_READ, SIGSEGV, SEGV_MAPERR);
    CHECK_FAULT(at + 6, PROBE_WRITE, SIGSEGV, SEGV_MAPERR);
    CHECK_FAULT(at, PROBE_EXECUTE, SIGSEGV, SEGV_MAPERR);
    CHECK_FAULT((unsigned char *)bad_address(), PROBE_READ, SIGSEGV, SEGV_MAPERR);
}

TEST(mmap, error, "SIGSEGV with SEGV_ACCERR where the protection forbids it")
{
    unsigned char *at = private_pages(1, PROT_READ);
    CHECK_FAULT(at + 7, PROBE_WRITE, SIGSEGV, SEGV_ACCERR);
    CHECK_FAULT(at, PROBE_EXECUTE, SIGSEGV, SEGV_ACCERR);
    CHECK_EQ(probe(at + 7, PROBE_READ), 0);
    at = private_pages(1, PROT_NONE);
    CHECK_FAULT(at + 8, PROBE_READ, SIGSEGV, SEGV_ACCERR);
    CHECK_FAULT(at + 9, PROBE_WRITE, SIGSEGV, SEGV_ACCERR);
}

TEST(mmap, error, "an address that is not canonical faults with no address")
{
    CHECK_EQ(probe((void *)0x8000000000000000, PROBE_READ), SIGSEGV);
    CHECK_EQ(fault_info.si_code, SI_KERNEL);
    CHECK_EQ((uintptr_t)fault_info.si_addr, 0);
}

TEST(mmap, error, "SIGBUS with BUS_ADRERR beyond the file's end")
{
    int fd = make_file(PAGE + 1);
    unsigned char *at = map(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);
    CHECK_EQ(probe(at + 2 * PAGE - 1, PROBE_READ), 0);
    CHECK_FAULT(at + 2 * PAGE, PROBE_READ, SIGBUS, BUS_ADRERR);
    CHECK_FAULT(at + 3 * PAGE + 5, PROBE_WRITE, SIGBUS, BUS_ADRERR);
    unsigned char *copy = map(NULL, 4 * PAGE, RW, MAP_PRIVATE, fd, 0);
    CHECK_FAULT(copy + 2 * PAGE, PROBE_WRITE, SIGBUS, BUS_ADRERR);
    CHECK_OK(ftruncate(fd, 3 * PAGE));
    CHECK_EQ(probe(at + 2 * PAGE, PROBE_READ), 0);
    CHECK_OK(ftruncate(fd, 0)); /* what was there goes */
    CHECK_FAULT(at, PROBE_READ, SIGBUS, BUS_ADRERR);
}

TEST(mmap, error, "EINVAL: no length, no or two kinds, unaligned offset or fixed address")
{
    unsigned char *at = private_pages(2, RW);
    int fd = make_file(PAGE);
    CHECK_ERRNO(mmap_call(NULL, 0, RW, ANON, -1, 0), EINVAL);
    CHECK_ERRNO(mmap_call(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0), EINVAL);
    CHECK_ERRNO(mmap_call(NULL, PAGE, RW, MAP_PRIVATE, fd, 1), EINVAL);
    CHECK_ERRNO(mmap_call(at + 1, PAGE, RW, ANON | MAP_FIXED, -1, 0), EINVAL);
    CHECK_ERRNO(mmap_call(NULL, PAGE, RW, MAP_SHARED_VALIDATE | 0x400000, fd, 0), EOPNOTSUPP);
}

TEST(mmap, error, "EBADF, EACCES, ENODEV")
{
    make_file(PAGE);
    int reader = open("f", O_RDONLY), writer = open("f", O_WRONLY), directory = open("/", O_RDONLY);
    int ends[2];
    CHECK(reader >= 0 && writer >= 0 && directory >= 0);
    CHECK_OK(pipe(ends));
    CHECK_ERRNO(mmap_call(NULL, PAGE, RW, MAP_PRIVATE, 999, 0), EBADF);
    CHECK_ERRNO(mmap_call(NULL, PAGE, RW, MAP_SHARED, reader, 0), EACCES);
    CHECK_ERRNO(mmap_call(NULL, PAGE, PROT_READ, MAP_PRIVATE, writer, 0), EACCES);
    CHECK_ERRNO(mmap_call(NULL, PAGE, PROT_READ, MAP_PRIVATE, directory, 0), ENODEV);
    CHECK_ERRNO(mmap_call(NULL, PAGE, PROT_READ, MAP_PRIVATE, ends[0], 0), ENODEV);
    unsigned char *at = map(NULL, PAGE, RW, MAP_PRIVATE, reader, 0); /* private may be written */
    at[0] = 1;
    at = map(NULL, PAGE, PROT_READ, MAP_SHARED, reader, 0);
    CHECK_ERRNO(mprotect(at, PAGE, RW), EACCES);
}

TEST(mmap, limit, "ENOMEM for more than the address space, EOVERFLOW for an offset that wraps")
{
    int fd = make_file(PAGE);
    CHECK_ERRNO(mmap_call(NULL, 1ul << 47, RW, ANON | MAP_NORESERVE, -1, 0), ENOMEM);
    CHECK_ERRNO(mmap_call(NULL, ~0ul, RW, ANON, -1, 0), ENOMEM);
    CHECK_ERRNO(mmap_call((void *)0x7ffffffff000, PAGE, RW, ANON | MAP_FIXED, -1, 0), ENOMEM);
    CHECK_ERRNO(mmap_call(NULL, PAGE * 2, RW, MAP_PRIVATE, fd, (off_t)-PAGE), EOVERFLOW);
}

TEST(mmap, limit, "a thousand mappings of alternating protection")
{
    unsigned char *at = private_pages(1000, RW);
    for (size_t i = 0; i < 1000; i += 2)
        CHECK_OK(mprotect(at + i * PAGE, PAGE, PROT_READ));
    for (size_t i = 1; i < 1000; i += 2)
        at[i * PAGE] = (unsigned char)i;
    CHECK_FAULT(at + 998 * PAGE, PROBE_WRITE, SIGSEGV, SEGV_ACCERR);
    CHECK_OK(mprotect(at, 1000 * PAGE, RW));
    for (size_t i = 1; i < 1000; i += 2)
        CHECK_EQ(at[i * PAGE], (unsigned char)i);
}

TEST(munmap, success, "a hole in the middle leaves both sides")
{
    unsigned char *at = private_pages(3, RW);
    memset(at, 4, 3 * PAGE);
    CHECK_EQ(syscall(SYS_munmap, at + PAGE, PAGE), 0);
    CHECK_FAULT(at + PAGE, PROBE_READ, SIGSEGV, SEGV_MAPERR);
    CHECK_EQ(at[PAGE - 1], 4);
    CHECK_EQ(at[2 * PAGE], 4);
}

TEST(munmap, error, "EINVAL for an unaligned address, no length, or beyond the address space")
{
    unsigned char *at = private_pages(2, RW);
    CHECK_ERRNO(syscall(SYS_munmap, at + 1, PAGE), EINVAL);
    CHECK_ERRNO(syscall(SYS_munmap, at, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_munmap, at, ~0ul), EINVAL);
    CHECK_ERRNO(syscall(SYS_munmap, 0xffff800000000000, PAGE), EINVAL);
}

TEST(munmap, limit, "where nothing is mapped it succeeds; a length is rounded up; holes are fine")
{
    unsigned char *at = private_pages(5, RW);
    CHECK_EQ(syscall(SYS_munmap, at + PAGE, 1), 0);
    CHECK_EQ(syscall(SYS_munmap, at + PAGE, PAGE), 0);
    CHECK_EQ(syscall(SYS_munmap, at, 5 * PAGE), 0);
    CHECK_FAULT(at, PROBE_READ, SIGSEGV, SEGV_MAPERR);
    CHECK_FAULT(at + 4 * PAGE, PROBE_READ, SIGSEGV, SEGV_MAPERR);
}

TEST(mprotect, success, "takes and gives rights, contents stay")
{
    unsigned char *at = private_pages(3, RW);
    memset(at, 6, 3 * PAGE);
    CHECK_EQ(syscall(SYS_mprotect, at + PAGE, PAGE, PROT_NONE), 0);
    CHECK_FAULT(at + PAGE, PROBE_READ, SIGSEGV, SEGV_ACCERR);
    CHECK_EQ(at[0] + at[2 * PAGE], 12);
    CHECK_EQ(syscall(SYS_mprotect, at, 3 * PAGE, PROT_READ), 0);
    CHECK_FAULT(at, PROBE_WRITE, SIGSEGV, SEGV_ACCERR);
    CHECK_EQ(syscall(SYS_mprotect, at, 3 * PAGE, RW), 0);
    CHECK_EQ(at[PAGE], 6);
    at[PAGE] = 7;
}

TEST(mprotect, success, "in a child it does not touch the parent")
{
    unsigned char *at = private_pages(1, RW);
    at[0] = 3;
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(syscall(SYS_mprotect, at, PAGE, PROT_NONE), 0);
        CHECK_FAULT(at, PROBE_READ, SIGSEGV, SEGV_ACCERR);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    at[0]++;
    CHECK_EQ(at[0], 4);
}

TEST(mprotect, error, "EINVAL, ENOMEM")
{
    unsigned char *at = private_pages(3, RW);
    CHECK_ERRNO(syscall(SYS_mprotect, at + 1, PAGE, RW), EINVAL);
    CHECK_ERRNO(syscall(SYS_mprotect, at, PAGE, PROT_GROWSDOWN | PROT_GROWSUP), EINVAL);
    CHECK_OK(munmap(at + PAGE, PAGE));
    CHECK_ERRNO(syscall(SYS_mprotect, at + PAGE, PAGE, RW), ENOMEM);
    CHECK_ERRNO(syscall(SYS_mprotect, at, 3 * PAGE, PROT_READ), ENOMEM);
    CHECK_FAULT(at, PROBE_WRITE, SIGSEGV, SEGV_ACCERR); /* up to the hole it was done */
    CHECK_EQ(probe(at + 2 * PAGE, PROBE_WRITE), 0);
}

TEST(mprotect, limit, "length 0 is nothing; a handler may give the right and go on")
{
    unsigned char *at = private_pages(1, RW);
    CHECK_EQ(syscall(SYS_mprotect, at, 0, PROT_NONE), 0);
    CHECK_EQ(probe(at, PROBE_WRITE), 0);
}

static unsigned char *guarded;
static volatile sig_atomic_t nr_given;

static void give_right(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    if (info->si_addr != guarded + 100)
        _exit(1);
    nr_given = nr_given + 1;
    mprotect(guarded, PAGE, RW);
}

TEST(mprotect, interruption, "a fault handler gives the right, and the instruction is done again")
{
    guarded = private_pages(1, PROT_NONE);
    set_handler(SIGSEGV, give_right, 0);
    volatile unsigned char *byte = guarded + 100;
    *byte = 5;
    CHECK_EQ(nr_given, 1);
    CHECK_EQ(*byte, 5);
}

static void *remap(void *old, size_t old_len, size_t new_len, int flags, void *at)
{
    return (void *)syscall(SYS_mremap, old, old_len, new_len, flags, at);
}

static void fill(unsigned char *at, size_t nr_pages)
{
    for (size_t i = 0; i < nr_pages; i++)
        at[i * PAGE] = (unsigned char)(i + 1);
}

static void check_filled(const unsigned char *at, size_t nr_pages)
{
    for (size_t i = 0; i < nr_pages; i++)
        CHECK_EQ(at[i * PAGE], (unsigned char)(i + 1));
}

TEST(mremap, success, "shrinks in place")
{
    unsigned char *at = private_pages(4, RW);
    fill(at, 4);
    CHECK(remap(at, 4 * PAGE, 2 * PAGE, 0, NULL) == at);
    check_filled(at, 2);
    CHECK_FAULT(at + 2 * PAGE, PROBE_READ, SIGSEGV, SEGV_MAPERR);
}

TEST(mremap, success, "grows in place where there is room")
{
    unsigned char *at = private_pages(4, RW);
    CHECK_OK(munmap(at + 2 * PAGE, 2 * PAGE));
    fill(at, 2);
    CHECK(remap(at, 2 * PAGE, 4 * PAGE, 0, NULL) == at);
    check_filled(at, 2);
    CHECK_EQ(at[3 * PAGE], 0);
}

TEST(mremap, success, "MREMAP_MAYMOVE moves where there is none, contents and all")
{
    unsigned char *at = private_pages(3, RW);
    fill(at, 3);
    CHECK_OK(mprotect(at + 2 * PAGE, PAGE, PROT_READ)); /* stands in the way */
    unsigned char *moved = remap(at, 2 * PAGE, 50 * PAGE, MREMAP_MAYMOVE, NULL);
    CHECK(moved != MAP_FAILED && moved != at);
    check_filled(moved, 2);
    CHECK_EQ(moved[49 * PAGE], 0);
    CHECK_FAULT(at, PROBE_READ, SIGSEGV, SEGV_MAPERR);
    CHECK_EQ(at[2 * PAGE], 3);
}

TEST(mremap, success, "MREMAP_FIXED moves to the place and replaces what is there")
{
    unsigned char *from = private_pages(2, RW), *to = private_pages(4, RW);
    fill(from, 2);
    memset(to, 9, 4 * PAGE);
    CHECK(remap(from, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to + PAGE) == to + PAGE);
    CHECK_EQ(to[0], 9);
    check_filled(to + PAGE, 2);
    CHECK_EQ(to[3 * PAGE], 9);
    CHECK_FAULT(from, PROBE_READ, SIGSEGV, SEGV_MAPERR);
}

TEST(mremap, success, "what was moved and then grew can be moved and grown again")
{
    unsigned char *from = private_pages(3, RW), *to = private_pages(8, PROT_NONE);
    unsigned char *last = private_pages(20, PROT_NONE);
    fill(from, 3);
    CHECK_OK(munmap(to + 3 * PAGE, 5 * PAGE));
    CHECK(remap(from, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
    CHECK(remap(to, 3 * PAGE, 8 * PAGE, 0, NULL) == to);
    for (int i = 3; i < 8; i++)
        to[i * PAGE] = (unsigned char)(i + 1);
    CHECK(remap(to, 8 * PAGE, 20 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, last) == last);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(last[i * PAGE], i < 8 ? i + 1 : 0);
    last[19 * PAGE] = 1;
    CHECK_FAULT(to, PROBE_READ, SIGSEGV, SEGV_MAPERR);
    CHECK_FAULT(to + 7 * PAGE, PROBE_READ, SIGSEGV, SEGV_MAPERR);
}

TEST(mremap, success, "a file mapping grows and moves with the file behind it")
{
    int fd = make_file(4 * PAGE);
    unsigned char *at = map(NULL, PAGE, RW, MAP_SHARED, fd, PAGE);
    at = remap(at, PAGE, 3 * PAGE, MREMAP_MAYMOVE, NULL);
    CHECK(at != MAP_FAILED);
    CHECK_EQ(at[2 * PAGE + 160], 10);
    unsigned char byte = 0x44;
    CHECK_EQ(pwrite(fd, &byte, 1, 3 * PAGE + 9), 1);
    CHECK_EQ(at[2 * PAGE + 9], 0x44);
}

TEST(mremap, success, "old size 0 of shared memory makes a second mapping of it")
{
    unsigned char *at = shared_memory(2 * PAGE);
    unsigned char *second = remap(at, 0, 2 * PAGE, MREMAP_MAYMOVE, NULL);
    CHECK(second != MAP_FAILED && second != at);
    at[PAGE] = 8;
    CHECK_EQ(second[PAGE], 8);
}

TEST(mremap, success, "MREMAP_DONTUNMAP leaves an empty mapping behind")
{
    unsigned char *at = private_pages(2, RW);
    fill(at, 2);
    unsigned char *moved = remap(at, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
    CHECK(moved != MAP_FAILED && moved != at);
    check_filled(moved, 2);
    CHECK_EQ(at[0] + at[PAGE], 0);
}

TEST(mremap, error, "EINVAL, EFAULT, ENOMEM")
{
    unsigned char *at = private_pages(4, RW);
    CHECK_ERRNO(remap(at + 1, PAGE, PAGE, 0, NULL), EINVAL);
    CHECK_ERRNO(remap(at, PAGE, 0, 0, NULL), EINVAL);
    CHECK_ERRNO(remap(at, PAGE, PAGE, 64, NULL), EINVAL);
    CHECK_ERRNO(remap(at, PAGE, PAGE, MREMAP_FIXED, at + 2 * PAGE), EINVAL);
    CHECK_ERRNO(remap(at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at + 1), EINVAL);
    CHECK_ERRNO(remap(at, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at + PAGE), EINVAL);
    CHECK_OK(mprotect(at + PAGE, PAGE, PROT_READ));
    CHECK_ERRNO(remap(at, PAGE, 2 * PAGE, 0, NULL), ENOMEM);
    CHECK_OK(munmap(at + 3 * PAGE, PAGE));
    CHECK_ERRNO(remap(at + 3 * PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE, NULL), EFAULT);
}

TEST(mremap, limit, "lengths are rounded up; the same size is no change; too much is ENOMEM")
{
    unsigned char *at = private_pages(2, RW);
    CHECK(remap(at, 2 * PAGE - 5, 2 * PAGE - 9, 0, NULL) == at);
    CHECK_EQ(probe(at + 2 * PAGE - 1, PROBE_WRITE), 0);
    struct rlimit limit = {1ul << 30, 1ul << 30};
    CHECK_OK(setrlimit(RLIMIT_AS, &limit));
    CHECK_ERRNO(remap(at, 2 * PAGE, 1ul << 31, MREMAP_MAYMOVE, NULL), ENOMEM);
}

TEST_MAIN()
