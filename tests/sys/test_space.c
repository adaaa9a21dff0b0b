/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Size, storage and copying of files: truncate, ftruncate, fallocate, fsync, fdatasync, sync,
 * syncfs, sync_file_range, fadvise64, readahead, sendfile, copy_file_range, memfd_create.
 */
#include "cella_file.h"

#include <limits.h>
#include <linux/falloc.h>

static int file_with(const char *text)
{
    cella_scratch();
    cella_put_file("f", text, strlen(text));
    return cella_open("f", O_RDWR);
}

TEST(truncate, success, "cuts, and extends with zeros where old bytes stood")
{
    file_with("abcdef");
    CHECK_EQ(SYS(truncate, "f", 3L), 0);
    cella_check_file("f", "abc", 3);
    CHECK_EQ(SYS(truncate, "f", 6L), 0);
    cella_check_file("f", "abc\0\0\0", 6);
}

TEST(truncate, error, "missing, a directory, negative, no directory on the way, forbidden")
{
    file_with("abc");
    cella_drop_root();
    cella_put_file("own", "abc", 3);
    CHECK_OK(chmod("own", 0400));
    CHECK_ERRNO(SYS(truncate, "missing", 0L), ENOENT);
    CHECK_ERRNO(SYS(truncate, ".", 0L), EISDIR);
    CHECK_ERRNO(SYS(truncate, "own", -1L), EINVAL);
    CHECK_ERRNO(SYS(truncate, "own/x", 0L), ENOTDIR);
    CHECK_ERRNO(SYS(truncate, "own", 0L), EACCES);
    CHECK_ERRNO(SYS(truncate, cella_bad_address(), 0L), EFAULT);
    cella_check_file("own", "abc", 3);
}

TEST(truncate, limit, "sizes beyond 4 GiB, RLIMIT_FSIZE, a name of 256 characters")
{
    file_with("abc");
    CHECK_EQ(SYS(truncate, "f", 5L << 30), 0);
    CHECK_EQ(cella_file_size("f"), 5L << 30);
    CHECK_ERRNO(SYS(truncate, cella_name(256), 0L), ENAMETOOLONG);
    cella_limit_file_size(100);
    CHECK_EQ(SYS(truncate, "f", 100L), 0);
    CHECK_ERRNO(SYS(truncate, "f", 101L), EFBIG);
    CHECK_EQ(cella_file_size("f"), 100);
}

TEST(ftruncate, success, "cuts and extends by descriptor, and leaves the offset")
{
    int fd = file_with("abcdef");
    CHECK_EQ(lseek(fd, 5, SEEK_SET), 5);
    CHECK_EQ(SYS(ftruncate, fd, 2L), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5);
    CHECK_EQ(write(fd, "X", 1), 1);
    cella_check_file("f", "ab\0\0\0X", 6);
}

TEST(ftruncate, success, "a shared mapping sees zeros after a cut and an extension")
{
    int fd = file_with("abcdef");
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED);
    CHECK(!memcmp(map, "abcdef", 6));
    CHECK_EQ(SYS(ftruncate, fd, 2L), 0);
    CHECK_EQ(SYS(ftruncate, fd, 6L), 0);
    CHECK(!memcmp(map, "ab\0\0\0\0", 6));
}

TEST(ftruncate, error, "closed, read-only, path only, a directory, a pipe, negative")
{
    int pfd[2], fd = file_with("abc");
    cella_pipe(pfd);
    CHECK_ERRNO(SYS(ftruncate, CELLA_NO_FD, 0L), EBADF);
    CHECK_ERRNO(SYS(ftruncate, cella_open("f", O_RDONLY), 0L), EINVAL);
    CHECK_ERRNO(SYS(ftruncate, cella_open("f", O_PATH), 0L), EBADF);
    CHECK_ERRNO(SYS(ftruncate, cella_open(".", O_RDONLY), 0L), EINVAL);
    CHECK_ERRNO(SYS(ftruncate, pfd[1], 0L), EINVAL);
    CHECK_ERRNO(SYS(ftruncate, fd, -1L), EINVAL);
    cella_check_file("f", "abc", 3);
}

TEST(ftruncate, limit, "sizes beyond 4 GiB, and RLIMIT_FSIZE")
{
    int fd = file_with("abc");
    CHECK_EQ(SYS(ftruncate, fd, 5L << 30), 0);
    CHECK_EQ(cella_file_size("f"), 5L << 30);
    CHECK_EQ(pwrite(fd, "end", 3, (5L << 30) - 3), 3);
    CHECK_EQ(cella_file_size("f"), 5L << 30);
    cella_limit_file_size(100);
    CHECK_ERRNO(SYS(ftruncate, fd, 6L << 30), EFBIG);
    CHECK_EQ(SYS(ftruncate, fd, 0L), 0);
    CHECK_ERRNO(SYS(ftruncate, fd, 101L), EFBIG);
}

TEST(fallocate, success, "extends with zeros, or with KEEP_SIZE does not")
{
    struct stat st;
    int fd = file_with("abc");
    CHECK_EQ(SYS(fallocate, fd, 0, 0L, 6L), 0);
    cella_check_file("f", "abc\0\0\0", 6);
    CHECK_EQ(SYS(fallocate, fd, FALLOC_FL_KEEP_SIZE, 0L, 1L << 20), 0);
    CHECK_OK(fstat(fd, &st));
    CHECK_EQ(st.st_size, 6);
    CHECK_EQ(SYS(fallocate, fd, 0, 0L, 2L), 0);
    cella_check_file("f", "abc\0\0\0", 6);
}

TEST(fallocate, success, "PUNCH_HOLE makes zeros and keeps the size")
{
    int fd = file_with("abcdef");
    CHECK_EQ(SYS(fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1L, 3L), 0);
    cella_check_file("f", "a\0\0\0ef", 6);
    CHECK_EQ(SYS(fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4L, 1L << 20), 0);
    cella_check_file("f", "a\0\0\0\0\0", 6);
}

TEST(fallocate, error, "closed, read-only, a pipe, negative or empty range, unknown mode")
{
    int pfd[2], fd = file_with("abc");
    cella_pipe(pfd);
    CHECK_ERRNO(SYS(fallocate, CELLA_NO_FD, 0, 0L, 1L), EBADF);
    CHECK_ERRNO(SYS(fallocate, cella_open("f", O_RDONLY), 0, 0L, 1L), EBADF);
    CHECK_ERRNO(SYS(fallocate, pfd[1], 0, 0L, 1L), ESPIPE);
    CHECK_ERRNO(SYS(fallocate, fd, 0, -1L, 1L), EINVAL);
    CHECK_ERRNO(SYS(fallocate, fd, 0, 0L, 0L), EINVAL);
    CHECK_ERRNO(SYS(fallocate, fd, 0, 0L, -1L), EINVAL);
    CHECK_ERRNO(SYS(fallocate, fd, FALLOC_FL_PUNCH_HOLE, 0L, 1L), EOPNOTSUPP);
    CHECK_ERRNO(SYS(fallocate, fd, 0x40000000, 0L, 1L), EOPNOTSUPP);
    cella_check_file("f", "abc", 3);
}

TEST(fallocate, limit, "a range past the largest place, and RLIMIT_FSIZE, answer EFBIG")
{
    int fd = file_with("abc");
    CHECK_ERRNO(SYS(fallocate, fd, 0, LONG_MAX, 1L), EFBIG);
    cella_limit_file_size(100);
    CHECK_ERRNO(SYS(fallocate, fd, 0, 0L, 101L), EFBIG);
    CHECK_EQ(SYS(fallocate, fd, 0, 0L, 100L), 0);
    CHECK_EQ(cella_file_size("f"), 100);
}

TEST(fsync, success, "what was written is there afterwards")
{
    int fd = file_with("");
    CHECK_EQ(write(fd, "abc", 3), 3);
    CHECK_EQ(SYS(fsync, fd), 0);
    cella_check_file("f", "abc", 3);
}

TEST(fsync, error, "closed or path only EBADF, a pipe EINVAL")
{
    int pfd[2];
    file_with("");
    cella_pipe(pfd);
    CHECK_ERRNO(SYS(fsync, CELLA_NO_FD), EBADF);
    CHECK_ERRNO(SYS(fsync, cella_open("f", O_PATH)), EBADF);
    CHECK_ERRNO(SYS(fsync, pfd[1]), EINVAL);
}

TEST(fsync, limit, "a read-only descriptor, a directory and a file without a name left")
{
    int fd = file_with("abc");
    CHECK_EQ(SYS(fsync, cella_open("f", O_RDONLY)), 0);
    CHECK_EQ(SYS(fsync, cella_open(".", O_RDONLY)), 0);
    CHECK_OK(unlink("f"));
    CHECK_EQ(SYS(fsync, fd), 0);
}

TEST(fdatasync, success, "what was written is there afterwards")
{
    int fd = file_with("");
    CHECK_EQ(write(fd, "abc", 3), 3);
    CHECK_EQ(SYS(fdatasync, fd), 0);
    cella_check_file("f", "abc", 3);
}

TEST(fdatasync, error, "closed or path only EBADF, a pipe EINVAL")
{
    int pfd[2];
    file_with("");
    cella_pipe(pfd);
    CHECK_ERRNO(SYS(fdatasync, CELLA_NO_FD), EBADF);
    CHECK_ERRNO(SYS(fdatasync, cella_open("f", O_PATH)), EBADF);
    CHECK_ERRNO(SYS(fdatasync, pfd[0]), EINVAL);
}

TEST(fdatasync, limit, "a read-only descriptor, a directory and a file without a name left")
{
    int fd = file_with("abc");
    CHECK_EQ(SYS(fdatasync, cella_open("f", O_RDONLY)), 0);
    CHECK_EQ(SYS(fdatasync, cella_open(".", O_RDONLY)), 0);
    CHECK_OK(unlink("f"));
    CHECK_EQ(SYS(fdatasync, fd), 0);
}

TEST(sync, success, "what was written is there afterwards")
{
    int fd = file_with("");
    CHECK_EQ(write(fd, "abc", 3), 3);
    CHECK_EQ(SYS(sync), 0);
    cella_check_file("f", "abc", 3);
}

TEST(sync, error, "there is none: whatever stands in the argument registers")
{
    CHECK_EQ(SYS(sync, -1L, cella_bad_address(), -1L), 0);
}

TEST(sync, limit, "works with no descriptor left to open")
{
    cella_limit_fds(0);
    CHECK_EQ(SYS(sync), 0);
}

TEST(syncfs, success, "takes any descriptor of the file system")
{
    int fd = file_with("");
    CHECK_EQ(write(fd, "abc", 3), 3);
    CHECK_EQ(SYS(syncfs, fd), 0);
    CHECK_EQ(SYS(syncfs, cella_open(".", O_RDONLY)), 0);
    cella_check_file("f", "abc", 3);
}

TEST(syncfs, error, "closed or path only EBADF")
{
    file_with("");
    CHECK_ERRNO(SYS(syncfs, CELLA_NO_FD), EBADF);
    CHECK_ERRNO(SYS(syncfs, cella_open("f", O_PATH)), EBADF);
}

TEST(syncfs, limit, "a pipe and a file without a name left have a file system, too")
{
    int pfd[2], fd = file_with("abc");
    cella_pipe(pfd);
    CHECK_EQ(SYS(syncfs, pfd[0]), 0);
    CHECK_OK(unlink("f"));
    CHECK_EQ(SYS(syncfs, fd), 0);
}

#define SYNC_ALL                                                                                   \
    (SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER)

TEST(sync_file_range, success, "takes each of its flags and none")
{
    int fd = file_with("abcdef");
    CHECK_EQ(SYS(sync_file_range, fd, 0L, 3L, SYNC_ALL), 0);
    CHECK_EQ(SYS(sync_file_range, fd, 3L, 3L, SYNC_FILE_RANGE_WRITE), 0);
    CHECK_EQ(SYS(sync_file_range, fd, 0L, 3L, 0), 0);
    cella_check_file("f", "abcdef", 6);
}

TEST(sync_file_range, error, "closed, a pipe, unknown flags, negative ranges")
{
    int pfd[2], fd = file_with("abc");
    cella_pipe(pfd);
    CHECK_ERRNO(SYS(sync_file_range, CELLA_NO_FD, 0L, 1L, 0), EBADF);
    CHECK_ERRNO(SYS(sync_file_range, pfd[1], 0L, 1L, 0), ESPIPE);
    CHECK_ERRNO(SYS(sync_file_range, fd, 0L, 1L, 0x100), EINVAL);
    CHECK_ERRNO(SYS(sync_file_range, fd, -1L, 1L, 0), EINVAL);
    CHECK_ERRNO(SYS(sync_file_range, fd, 0L, -1L, 0), EINVAL);
}

TEST(sync_file_range, limit, "length 0 means to the end, beyond it is fine, overflow is not")
{
    int fd = file_with("abc");
    CHECK_EQ(SYS(sync_file_range, fd, 0L, 0L, SYNC_ALL), 0);
    CHECK_EQ(SYS(sync_file_range, fd, 1L << 30, 4096L, SYNC_ALL), 0);
    CHECK_ERRNO(SYS(sync_file_range, fd, LONG_MAX, 2L, SYNC_ALL), EINVAL);
}

TEST(fadvise64, success, "takes every advice and changes no byte")
{
    int fd = file_with("abc");
    for (int advice = POSIX_FADV_NORMAL; advice <= POSIX_FADV_NOREUSE; advice++)
        CHECK_EQ(SYS(fadvise64, fd, 0L, 3L, advice), 0);
    cella_check_file("f", "abc", 3);
}

TEST(fadvise64, error, "closed, a pipe, unknown advice, negative length")
{
    int pfd[2], fd = file_with("abc");
    cella_pipe(pfd);
    CHECK_ERRNO(SYS(fadvise64, CELLA_NO_FD, 0L, 1L, POSIX_FADV_NORMAL), EBADF);
    CHECK_ERRNO(SYS(fadvise64, pfd[0], 0L, 1L, POSIX_FADV_NORMAL), ESPIPE);
    CHECK_ERRNO(SYS(fadvise64, fd, 0L, 1L, 99), EINVAL);
    CHECK_ERRNO(SYS(fadvise64, fd, 0L, -1L, POSIX_FADV_NORMAL), EINVAL);
}

TEST(fadvise64, limit, "length 0 means to the end, and beyond the end is fine")
{
    int fd = file_with("abc");
    CHECK_EQ(SYS(fadvise64, fd, 0L, 0L, POSIX_FADV_WILLNEED), 0);
    CHECK_EQ(SYS(fadvise64, fd, 1L << 40, 0L, POSIX_FADV_DONTNEED), 0);
    CHECK_EQ(SYS(fadvise64, fd, 0L, LONG_MAX, POSIX_FADV_SEQUENTIAL), 0);
}

TEST(readahead, success, "takes a range and leaves offset and content")
{
    int fd = file_with("abc");
    CHECK_EQ(SYS(readahead, fd, 0L, 3L), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    cella_check_file("f", "abc", 3);
}

TEST(readahead, error, "closed or write-only EBADF, a pipe EINVAL")
{
    int pfd[2];
    file_with("abc");
    cella_pipe(pfd);
    CHECK_ERRNO(SYS(readahead, CELLA_NO_FD, 0L, 3L), EBADF);
    CHECK_ERRNO(SYS(readahead, cella_open("f", O_WRONLY), 0L, 3L), EBADF);
    CHECK_ERRNO(SYS(readahead, pfd[0], 0L, 3L), EINVAL);
}

TEST(readahead, limit, "nothing, beyond the end, and more than there is")
{
    int fd = file_with("abc");
    CHECK_EQ(SYS(readahead, fd, 0L, 0L), 0);
    CHECK_EQ(SYS(readahead, fd, 1L << 40, 4096L), 0);
    CHECK_EQ(SYS(readahead, fd, 0L, 1L << 30), 0);
}

TEST(sendfile, success, "copies from the offset given, or from the file's own and moves it")
{
    char buf[8];
    off_t offset = 2;
    int pfd[2], fd = file_with("abcdef");
    cella_pipe(pfd);
    CHECK_EQ(SYS(sendfile, pfd[1], fd, &offset, 3), 3);
    CHECK_EQ(offset, 5);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_EQ(read(pfd[0], buf, 8), 3);
    CHECK(!memcmp(buf, "cde", 3));
    CHECK_EQ(SYS(sendfile, pfd[1], fd, NULL, 4), 4);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 4);
}

TEST(sendfile, success, "copies from file to file")
{
    int fd = file_with("abcdef"), out = cella_open("g", O_WRONLY | O_CREAT);
    CHECK_EQ(SYS(sendfile, out, fd, NULL, 100), 6);
    CHECK_EQ(SYS(sendfile, out, fd, NULL, 100), 0);
    cella_check_file("g", "abcdef", 6);
}

TEST(sendfile, error, "closed or wrong way EBADF, a pipe with an offset, negative, bad memory")
{
    off_t offset = 0, negative = -1;
    int pfd[2], fd = file_with("abc");
    cella_pipe(pfd);
    CHECK_ERRNO(SYS(sendfile, pfd[1], CELLA_NO_FD, NULL, 1), EBADF);
    CHECK_ERRNO(SYS(sendfile, CELLA_NO_FD, fd, NULL, 1), EBADF);
    CHECK_ERRNO(SYS(sendfile, cella_open("f", O_RDONLY), fd, NULL, 1), EBADF);
    CHECK_ERRNO(SYS(sendfile, pfd[1], cella_open("f", O_WRONLY), NULL, 1), EBADF);
    CHECK_ERRNO(SYS(sendfile, fd, pfd[0], &offset, 1), ESPIPE);
    CHECK_ERRNO(SYS(sendfile, pfd[1], fd, &negative, 1), EINVAL);
    CHECK_ERRNO(SYS(sendfile, pfd[1], fd, cella_bad_address(), 1), EFAULT);
    CHECK_ERRNO(SYS(sendfile, cella_open("f", O_WRONLY | O_APPEND), fd, NULL, 1), EINVAL);
}

TEST(sendfile, error, "a full pipe that does not block answers EAGAIN")
{
    int pfd[2], fd = file_with("abc");
    cella_pipe(pfd);
    cella_fill_pipe(pfd[1]);
    cella_set_nonblocking(pfd[1], true);
    CHECK_ERRNO(SYS(sendfile, pfd[1], fd, NULL, 1), EAGAIN);
}

TEST(sendfile, interruption, "a signal ends the wait for room in a pipe with EINTR")
{
    int pfd[2], fd = file_with("abc");
    cella_pipe(pfd);
    cella_fill_pipe(pfd[1]);
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(SYS(sendfile, pfd[1], fd, NULL, 1), EINTR);
    cella_ticks_stop();
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
}

TEST(sendfile, limit, "nothing asked, beyond the end, and more than there is")
{
    off_t offset = 1L << 40, start = 0;
    int pfd[2], fd = file_with("abc");
    cella_pipe(pfd);
    CHECK_EQ(SYS(sendfile, pfd[1], fd, NULL, 0), 0);
    CHECK_EQ(SYS(sendfile, pfd[1], fd, &offset, 10), 0);
    CHECK_EQ(SYS(sendfile, pfd[1], fd, &start, 0x7ffff000L), 3);
    CHECK_EQ(start, 3);
}

TEST(copy_file_range, success, "copies between offsets given, or the files' own and moves them")
{
    loff_t from = 1, to = 2;
    int in = file_with("abcdef"), out = cella_open("g", O_RDWR | O_CREAT);
    CHECK_EQ(SYS(copy_file_range, in, &from, out, &to, 3, 0), 3);
    CHECK(from == 4 && to == 5);
    CHECK(lseek(in, 0, SEEK_CUR) == 0 && lseek(out, 0, SEEK_CUR) == 0);
    cella_check_file("g", "\0\0bcd", 5);
    CHECK_EQ(SYS(copy_file_range, in, NULL, out, NULL, 2, 0), 2);
    CHECK(lseek(in, 0, SEEK_CUR) == 2 && lseek(out, 0, SEEK_CUR) == 2);
    cella_check_file("g", "abbcd", 5);
}

TEST(copy_file_range, success, "copies within a file where the ranges do not overlap")
{
    loff_t from = 0, to = 3;
    int fd = file_with("abc");
    CHECK_EQ(SYS(copy_file_range, fd, &from, fd, &to, 3, 0), 3);
    cella_check_file("f", "abcabc", 6);
}

TEST(copy_file_range, error, "flags, overlap, directories, pipes, wrong way, appending")
{
    loff_t from = 0, to = 1;
    int pfd[2], fd = file_with("abcdef"), out = cella_open("g", O_WRONLY | O_CREAT);
    cella_pipe(pfd);
    CHECK_ERRNO(SYS(copy_file_range, fd, NULL, out, NULL, 3, 1), EINVAL);
    CHECK_ERRNO(SYS(copy_file_range, fd, &from, fd, &to, 3, 0), EINVAL);
    CHECK_ERRNO(SYS(copy_file_range, cella_open(".", O_RDONLY), NULL, out, NULL, 3, 0), EISDIR);
    CHECK_ERRNO(SYS(copy_file_range, fd, NULL, pfd[1], NULL, 3, 0), EINVAL);
    CHECK_ERRNO(SYS(copy_file_range, CELLA_NO_FD, NULL, out, NULL, 3, 0), EBADF);
    CHECK_ERRNO(SYS(copy_file_range, fd, NULL, cella_open("g", O_RDONLY), NULL, 3, 0), EBADF);
    CHECK_ERRNO(SYS(copy_file_range, fd, NULL, cella_open("g", O_WRONLY | O_APPEND), NULL, 3, 0),
                EBADF);
    CHECK_ERRNO(SYS(copy_file_range, fd, cella_bad_address(), out, NULL, 3, 0), EFAULT);
    CHECK_EQ(cella_file_size("g"), 0);
}

TEST(copy_file_range, limit, "nothing asked, beyond the end, more than there is, RLIMIT_FSIZE")
{
    loff_t from = 1L << 40, to = 0, start = 0;
    int in = file_with("abcdef"), out = cella_open("g", O_RDWR | O_CREAT);
    CHECK_EQ(SYS(copy_file_range, in, NULL, out, NULL, 0, 0), 0);
    CHECK_EQ(SYS(copy_file_range, in, &from, out, &to, 10, 0), 0);
    CHECK_EQ(SYS(copy_file_range, in, &start, out, &to, 1L << 30, 0), 6);
    cella_limit_file_size(8);
    start = 0;
    to = 6;
    CHECK_EQ(SYS(copy_file_range, in, &start, out, &to, 6, 0), 2);
    CHECK_ERRNO(SYS(copy_file_range, in, &start, out, &to, 1, 0), EFBIG);
}

TEST(memfd_create, success, "makes a file in memory that is read, written, mapped and sized")
{
    char buf[4];
    struct stat st;
    int fd = SYS(memfd_create, "cella", MFD_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(write(fd, "abc", 3), 3);
    CHECK_OK(ftruncate(fd, 4096));
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED);
    map[1] = 'X';
    CHECK_EQ(pread(fd, buf, 4, 0), 4);
    CHECK(!memcmp(buf, "aXc", 4));
    CHECK_OK(fstat(fd, &st));
    CHECK(S_ISREG(st.st_mode) && st.st_size == 4096 && st.st_nlink == 0);
}

TEST(memfd_create, success, "seals hold back writing, growing, shrinking and further seals")
{
    int fd = SYS(memfd_create, "cella", MFD_ALLOW_SEALING);
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), 0);
    CHECK_EQ(write(fd, "abc", 3), 3);
    CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
    CHECK_ERRNO(ftruncate(fd, 4), EPERM);
    CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
    CHECK_ERRNO(ftruncate(fd, 2), EPERM);
    CHECK_EQ(pwrite(fd, "X", 1, 0), 1);
    CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL));
    CHECK_ERRNO(pwrite(fd, "Y", 1, 0), EPERM);
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), EPERM);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
}

TEST(memfd_create, error, "unknown flags, bad memory; without sealing it is sealed against seals")
{
    CHECK_ERRNO(SYS(memfd_create, "cella", 0x40000000), EINVAL);
    CHECK_ERRNO(SYS(memfd_create, cella_bad_address(), 0), EFAULT);
    int fd = SYS(memfd_create, "cella", 0);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
}

TEST(memfd_create, error, "F_SEAL_WRITE waits for writable mappings to go: EBUSY")
{
    int fd = SYS(memfd_create, "cella", MFD_ALLOW_SEALING);
    CHECK_OK(ftruncate(fd, 4096));
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
    CHECK_OK(munmap(map, 4096));
    CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
}

TEST(memfd_create, limit, "names of 249 characters are the longest; RLIMIT_NOFILE answers EMFILE")
{
    CHECK_OK(SYS(memfd_create, cella_name(249), 0));
    CHECK_ERRNO(SYS(memfd_create, cella_name(250), 0), EINVAL);
    CHECK_OK(SYS(memfd_create, "", 0));
    cella_limit_fds(0);
    CHECK_ERRNO(SYS(memfd_create, "cella", 0), EMFILE);
}

TEST_MAIN()
