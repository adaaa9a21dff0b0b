/* SPDX-License-Identifier: Apache-2.0 */
/* open, openat, openat2, creat, close, close_range, dup, dup2, dup3. */
#include "cella_file.h"

#include <linux/close_range.h>
#include <linux/openat2.h>

static bool is_cloexec(int fd)
{
    int flags = fcntl(fd, F_GETFD);
    CHECK_OK(flags);
    return flags & FD_CLOEXEC;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) != -1;
}

static mode_t mode_of(const char *path)
{
    struct stat st;
    CHECK_OK(lstat(path, &st));
    return st.st_mode;
}

TEST(open, success, "takes the lowest free number")
{
    cella_scratch();
    int a = SYS(open, "f", O_RDWR | O_CREAT, 0644);
    int b = SYS(open, "f", O_RDONLY);
    CHECK(a >= 0 && b > a);
    CHECK_OK(close(a));
    CHECK_EQ(SYS(open, "f", O_RDONLY), a);
    CHECK(!is_cloexec(a));
}

TEST(open, success, "O_CREAT makes a file with the mode less the umask, O_TRUNC empties it")
{
    cella_scratch();
    umask(027);
    CHECK_OK(SYS(open, "f", O_WRONLY | O_CREAT, 0666));
    CHECK_EQ(mode_of("f"), S_IFREG | 0640);
    cella_put_file("f", "abc", 3);
    CHECK_OK(SYS(open, "f", O_WRONLY | O_CREAT, 0777));
    CHECK_EQ(cella_file_size("f"), 3);
    CHECK_EQ(mode_of("f"), S_IFREG | 0640);
    CHECK_OK(SYS(open, "f", O_WRONLY | O_TRUNC));
    CHECK_EQ(cella_file_size("f"), 0);
}

TEST(open, success, "O_CLOEXEC, and O_PATH that opens but neither reads nor writes")
{
    char c;
    cella_scratch();
    cella_put_file("f", "abc", 3);
    CHECK_OK(chmod("f", 0));
    int fd = SYS(open, "f", O_PATH | O_CLOEXEC);
    CHECK(fd >= 0);
    CHECK(is_cloexec(fd));
    CHECK_ERRNO(read(fd, &c, 1), EBADF);
    struct stat st;
    CHECK_OK(fstat(fd, &st));
    CHECK_EQ(st.st_size, 3);
}

TEST(open, error, "what is there, what is missing and what is no directory")
{
    cella_scratch();
    cella_put_file("f", "", 0);
    CHECK_OK(mkdir("d", 0755));
    CHECK_ERRNO(SYS(open, "missing", O_RDONLY), ENOENT);
    CHECK_ERRNO(SYS(open, "", O_RDONLY), ENOENT);
    CHECK_ERRNO(SYS(open, "missing/f", O_WRONLY | O_CREAT, 0644), ENOENT);
    CHECK_ERRNO(SYS(open, "f/x", O_RDONLY), ENOTDIR);
    CHECK_ERRNO(SYS(open, "f/", O_RDONLY), ENOTDIR);
    CHECK_ERRNO(SYS(open, "f", O_RDONLY | O_DIRECTORY), ENOTDIR);
    CHECK_ERRNO(SYS(open, "d", O_WRONLY), EISDIR);
    CHECK_ERRNO(SYS(open, "d", O_RDONLY | O_CREAT, 0644), EISDIR);
    CHECK_ERRNO(SYS(open, "f", O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST);
    CHECK_ERRNO(SYS(open, cella_bad_address(), O_RDONLY), EFAULT);
}

TEST(open, error, "symbolic links: O_NOFOLLOW, O_EXCL, dangling ones and loops")
{
    cella_scratch();
    CHECK_OK(symlink("missing", "dangling"));
    CHECK_OK(symlink("loop", "loop"));
    CHECK_ERRNO(SYS(open, "dangling", O_RDONLY), ENOENT);
    CHECK_ERRNO(SYS(open, "dangling", O_RDONLY | O_NOFOLLOW), ELOOP);
    CHECK_ERRNO(SYS(open, "dangling", O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST);
    CHECK_ERRNO(SYS(open, "loop", O_RDONLY), ELOOP);
    CHECK_OK(SYS(open, "dangling", O_WRONLY | O_CREAT, 0644));
    CHECK_EQ(mode_of("missing"), S_IFREG | 0644);
}

TEST(open, error, "permissions of the file, the directory and the way to it")
{
    cella_scratch();
    cella_drop_root();
    cella_put_file("f", "", 0);
    CHECK_OK(mkdir("d", 0755));
    cella_put_file("d/f", "", 0);
    CHECK_OK(chmod("f", 0200));
    CHECK_ERRNO(SYS(open, "f", O_RDONLY), EACCES);
    CHECK_ERRNO(SYS(open, "f", O_RDWR), EACCES);
    CHECK_OK(SYS(open, "f", O_WRONLY));
    CHECK_OK(chmod("d", 0500));
    CHECK_ERRNO(SYS(open, "d/new", O_WRONLY | O_CREAT, 0644), EACCES);
    CHECK_OK(chmod("d", 0600));
    CHECK_ERRNO(SYS(open, "d/f", O_RDONLY), EACCES);
}

TEST(open, error, "a FIFO without reader refuses a writer that does not block")
{
    cella_scratch();
    CHECK_OK(mkfifo("p", 0600));
    CHECK_ERRNO(SYS(open, "p", O_WRONLY | O_NONBLOCK), ENXIO);
    CHECK_OK(SYS(open, "p", O_RDONLY | O_NONBLOCK));
    CHECK_OK(SYS(open, "p", O_WRONLY | O_NONBLOCK));
}

TEST(open, interruption, "a signal ends the wait for a FIFO's other end with EINTR")
{
    cella_scratch();
    CHECK_OK(mkfifo("p", 0600));
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(SYS(open, "p", O_RDONLY), EINTR);
    CHECK_ERRNO(SYS(open, "p", O_WRONLY), EINTR);
    cella_ticks_stop();
}

TEST(open, interruption, "with SA_RESTART the wait for a FIFO's other end goes on")
{
    cella_scratch();
    CHECK_OK(mkfifo("p", 0600));
    cella_ticks_start(20, SA_RESTART, NULL);
    pid_t pid = cella_fork();
    if (pid == 0) {
        cella_sleep_ms(100);
        _exit(SYS(open, "p", O_WRONLY) < 0);
    }
    CHECK_OK(SYS(open, "p", O_RDONLY));
    cella_ticks_stop();
    CHECK(cella_ticks >= 1);
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(open, limit, "RLIMIT_NOFILE answers EMFILE and makes no file")
{
    cella_scratch();
    cella_limit_fds(1);
    CHECK_OK(SYS(open, "f", O_RDWR | O_CREAT, 0644));
    CHECK_ERRNO(SYS(open, "g", O_RDWR | O_CREAT, 0644), EMFILE);
    CHECK_ERRNO(access("g", F_OK), ENOENT);
}

TEST(open, limit, "names of 255 and paths of 4095 characters are the longest")
{
    cella_scratch();
    CHECK_OK(SYS(open, cella_name(255), O_RDWR | O_CREAT, 0644));
    CHECK_ERRNO(SYS(open, cella_name(256), O_RDWR | O_CREAT, 0644), ENAMETOOLONG);
    CHECK_OK(SYS(open, cella_path("f", CELLA_PATH_LONGEST), O_RDWR | O_CREAT, 0644));
    CHECK_ERRNO(SYS(open, cella_path("f", CELLA_PATH_LONGEST + 1), O_RDONLY), ENAMETOOLONG);
}

TEST(openat, success, "starts at the directory given, which an absolute path ignores")
{
    char path[1100];
    snprintf(path, sizeof(path), "%s/f", cella_scratch());
    cella_put_file("f", "", 0);
    CHECK_OK(mkdir("d", 0755));
    cella_put_file("d/g", "", 0);
    int dir = cella_open("d", O_RDONLY | O_DIRECTORY);
    CHECK_OK(SYS(openat, dir, "g", O_RDONLY));
    CHECK_OK(SYS(openat, dir, "../f", O_RDONLY));
    CHECK_OK(SYS(openat, CELLA_NO_FD, path, O_RDONLY));
    CHECK_OK(SYS(openat, AT_FDCWD, "f", O_RDONLY));
    CHECK_OK(SYS(openat, cella_open("d", O_PATH), "g", O_RDONLY));
}

TEST(openat, success, "O_TMPFILE makes a file without name that linkat can name")
{
    char proc[64];
    struct stat st;
    cella_scratch();
    int fd = SYS(openat, AT_FDCWD, ".", O_TMPFILE | O_RDWR, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, "abc", 3), 3);
    CHECK_OK(fstat(fd, &st));
    CHECK_EQ(st.st_nlink, 0);
    CHECK_EQ(st.st_mode, S_IFREG | 0600);
    snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
    CHECK_OK(linkat(AT_FDCWD, proc, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
    cella_check_file("named", "abc", 3);
}

TEST(openat, error, "a start that is closed or no directory")
{
    cella_scratch();
    cella_put_file("f", "", 0);
    CHECK_ERRNO(SYS(openat, CELLA_NO_FD, "f", O_RDONLY), EBADF);
    CHECK_ERRNO(SYS(openat, cella_open("f", O_RDONLY), "f", O_RDONLY), ENOTDIR);
    CHECK_ERRNO(SYS(openat, AT_FDCWD, "missing", O_RDONLY), ENOENT);
    CHECK_ERRNO(SYS(openat, AT_FDCWD, "f", O_TMPFILE | O_RDWR, 0600), ENOTDIR);
    CHECK_ERRNO(SYS(openat, AT_FDCWD, ".", O_TMPFILE, 0600), EINVAL);
}

TEST(openat, interruption, "a signal ends the wait for a FIFO's other end with EINTR")
{
    cella_scratch();
    CHECK_OK(mkfifo("p", 0600));
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(SYS(openat, AT_FDCWD, "p", O_RDONLY), EINTR);
    cella_ticks_stop();
}

TEST(openat, limit, "RLIMIT_NOFILE answers EMFILE")
{
    cella_scratch();
    cella_limit_fds(0);
    CHECK_ERRNO(SYS(openat, AT_FDCWD, "f", O_RDWR | O_CREAT, 0644), EMFILE);
    CHECK_ERRNO(access("f", F_OK), ENOENT);
}

static long openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
    struct open_how how = {flags, mode, resolve};
    return SYS(openat2, dir, path, &how, sizeof(how));
}

TEST(openat2, success, "opens as openat does, and RESOLVE_IN_ROOT keeps absolute links inside")
{
    char c;
    cella_scratch();
    CHECK_OK(mkdir("d", 0755));
    cella_put_file("d/f", "x", 1);
    CHECK_OK(symlink("/f", "d/absolute"));
    CHECK_OK(symlink("../../../f", "d/up"));
    int dir = cella_open("d", O_RDONLY | O_DIRECTORY);
    CHECK_OK(openat2(dir, "g", O_WRONLY | O_CREAT, 0600, 0));
    CHECK_EQ(mode_of("d/g"), S_IFREG | 0600);
    int fd = openat2(dir, "absolute", O_RDONLY, 0, RESOLVE_IN_ROOT);
    CHECK(fd >= 0);
    CHECK_EQ(read(fd, &c, 1), 1);
    CHECK_OK(openat2(dir, "up", O_RDONLY, 0, RESOLVE_IN_ROOT));
    CHECK_OK(openat2(dir, "/f", O_RDONLY, 0, RESOLVE_IN_ROOT));
}

TEST(openat2, error, "RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS refuse the ways out")
{
    cella_scratch();
    CHECK_OK(mkdir("d", 0755));
    cella_put_file("d/f", "x", 1);
    CHECK_OK(symlink("/", "d/absolute"));
    CHECK_OK(symlink("f", "d/link"));
    int dir = cella_open("d", O_RDONLY | O_DIRECTORY);
    CHECK_ERRNO(openat2(dir, "..", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
    CHECK_ERRNO(openat2(dir, "/", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
    CHECK_ERRNO(openat2(dir, "absolute", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
    CHECK_OK(openat2(dir, "link", O_RDONLY, 0, RESOLVE_BENEATH));
    CHECK_ERRNO(openat2(dir, "link", O_RDONLY, 0, RESOLVE_NO_SYMLINKS), ELOOP);
    CHECK_OK(openat2(dir, "f", O_RDONLY, 0, RESOLVE_NO_SYMLINKS));
}

TEST(openat2, error, "unlike openat it refuses what it does not know")
{
    struct open_how how = {0};
    cella_scratch();
    cella_put_file("f", "x", 1);
    CHECK_ERRNO(openat2(AT_FDCWD, "f", 1ull << 40, 0, 0), EINVAL);
    CHECK_ERRNO(openat2(AT_FDCWD, "f", O_RDONLY, 0644, 0), EINVAL);
    CHECK_ERRNO(openat2(AT_FDCWD, "g", O_RDWR | O_CREAT, 010000, 0), EINVAL);
    CHECK_ERRNO(openat2(AT_FDCWD, "f", O_RDONLY, 0, 1ull << 40), EINVAL);
    CHECK_ERRNO(openat2(AT_FDCWD, "f", O_RDONLY, 0, RESOLVE_BENEATH | RESOLVE_IN_ROOT), EINVAL);
    CHECK_ERRNO(SYS(openat2, AT_FDCWD, "f", &how, 16), EINVAL);
    CHECK_ERRNO(SYS(openat2, AT_FDCWD, "f", cella_bad_address(), sizeof(how)), EFAULT);
    CHECK_ERRNO(openat2(CELLA_NO_FD, "f", O_RDONLY, 0, 0), EBADF);
}

TEST(openat2, limit, "a larger struct is taken if its unknown rest is zero, else E2BIG")
{
    uint64_t how[5] = {O_RDONLY};
    cella_scratch();
    cella_put_file("f", "x", 1);
    CHECK_OK(SYS(openat2, AT_FDCWD, "f", how, sizeof(how)));
    how[4] = 1;
    CHECK_ERRNO(SYS(openat2, AT_FDCWD, "f", how, sizeof(how)), E2BIG);
    CHECK_ERRNO(openat2(AT_FDCWD, cella_name(256), O_RDONLY, 0, 0), ENAMETOOLONG);
    cella_limit_fds(0);
    CHECK_ERRNO(openat2(AT_FDCWD, "f", O_RDONLY, 0, 0), EMFILE);
}

TEST(creat, success, "makes or empties a file and opens it for writing only")
{
    char c;
    cella_scratch();
    int fd = SYS(creat, "f", 0640);
    CHECK(fd >= 0);
    CHECK_EQ(mode_of("f"), S_IFREG | 0640);
    CHECK_EQ(write(fd, "abc", 3), 3);
    CHECK_ERRNO(read(fd, &c, 1), EBADF);
    CHECK_OK(SYS(creat, "f", 0600));
    CHECK_EQ(cella_file_size("f"), 0);
    CHECK_EQ(mode_of("f"), S_IFREG | 0640);
}

TEST(creat, error, "a directory, a missing way, memory that cannot be read")
{
    cella_scratch();
    CHECK_OK(mkdir("d", 0755));
    CHECK_ERRNO(SYS(creat, "d", 0644), EISDIR);
    CHECK_ERRNO(SYS(creat, "missing/f", 0644), ENOENT);
    CHECK_ERRNO(SYS(creat, cella_bad_address(), 0644), EFAULT);
}

TEST(creat, limit, "RLIMIT_NOFILE answers EMFILE, a name of 256 characters ENAMETOOLONG")
{
    cella_scratch();
    cella_limit_fds(1);
    CHECK_ERRNO(SYS(creat, cella_name(256), 0644), ENAMETOOLONG);
    CHECK_OK(SYS(creat, cella_name(255), 0644));
    CHECK_ERRNO(SYS(creat, "f", 0644), EMFILE);
}

TEST(close, success, "frees the number; the open file lives on in a duplicate")
{
    int fd[2];
    cella_pipe(fd);
    int copy = dup(fd[1]);
    CHECK_EQ(SYS(close, fd[1]), 0);
    CHECK(!is_open(fd[1]));
    CHECK_EQ(write(copy, "x", 1), 1);
    CHECK_EQ(SYS(close, copy), 0);
}

TEST(close, error, "a number not open, or closed before, answers EBADF")
{
    int fd = cella_open("/", O_RDONLY);
    CHECK_EQ(SYS(close, fd), 0);
    CHECK_ERRNO(SYS(close, fd), EBADF);
    CHECK_ERRNO(SYS(close, -1), EBADF);
}

TEST(close, limit, "numbers at and beyond RLIMIT_NOFILE")
{
    struct rlimit limit;
    int fd = cella_open("/", O_RDONLY), high = dup2(fd, fd + 20);
    CHECK(high >= 0);
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = (rlim_t)high;
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
    CHECK_EQ(SYS(close, high), 0); /* opened before the limit fell: it closes nevertheless */
    CHECK_ERRNO(SYS(close, high), EBADF);
    CHECK_ERRNO(SYS(close, 0x7fffffff), EBADF);
}

TEST(close_range, success, "closes the numbers from first to last and no others")
{
    int base = cella_open("/", O_RDONLY);
    for (int i = 1; i < 6; i++)
        CHECK_EQ(dup2(base, base + i), base + i);
    CHECK_OK(close(base + 2));
    CHECK_EQ(SYS(close_range, base + 1, base + 3, 0), 0);
    CHECK(is_open(base) && is_open(base + 4) && is_open(base + 5));
    CHECK(!is_open(base + 1) && !is_open(base + 2) && !is_open(base + 3));
}

TEST(close_range, success, "CLOSE_RANGE_CLOEXEC marks instead of closing, UNSHARE closes as well")
{
    int base = cella_open("/", O_RDONLY), next = dup(base);
    CHECK_EQ(SYS(close_range, next, ~0u, CLOSE_RANGE_CLOEXEC), 0);
    CHECK(!is_cloexec(base) && is_cloexec(next));
    CHECK_EQ(SYS(close_range, next, ~0u, CLOSE_RANGE_UNSHARE), 0);
    CHECK(is_open(base) && !is_open(next));
}

TEST(close_range, error, "first after last, and unknown flags, answer EINVAL and close nothing")
{
    int fd = cella_open("/", O_RDONLY);
    CHECK_ERRNO(SYS(close_range, fd + 1, fd, 0), EINVAL);
    CHECK_ERRNO(SYS(close_range, fd, fd, 0x100), EINVAL);
    CHECK(is_open(fd));
}

TEST(close_range, limit, "a range with nothing open and the largest range both succeed")
{
    int fd = cella_open("/", O_RDONLY);
    CHECK_EQ(SYS(close_range, 100000, 200000, 0), 0);
    CHECK_EQ(SYS(close_range, fd, ~0u, 0), 0);
    CHECK_EQ(SYS(close_range, ~0u, ~0u, 0), 0);
    CHECK(!is_open(fd));
}

TEST(dup, success, "takes the lowest number, shares the offset, drops close-on-exec")
{
    cella_scratch();
    cella_put_file("f", "abc", 3);
    int fd = cella_open("f", O_RDONLY | O_CLOEXEC), copy = SYS(dup, fd);
    CHECK_EQ(copy, fd + 1);
    CHECK(is_cloexec(fd) && !is_cloexec(copy));
    CHECK_EQ(lseek(fd, 2, SEEK_SET), 2);
    CHECK_EQ(lseek(copy, 0, SEEK_CUR), 2);
}

TEST(dup, error, "a number not open answers EBADF")
{
    CHECK_ERRNO(SYS(dup, CELLA_NO_FD), EBADF);
    CHECK_ERRNO(SYS(dup, -1), EBADF);
}

TEST(dup, limit, "RLIMIT_NOFILE answers EMFILE")
{
    int fd = cella_open("/", O_RDONLY);
    cella_limit_fds(1);
    CHECK_OK(SYS(dup, fd));
    CHECK_ERRNO(SYS(dup, fd), EMFILE);
}

TEST(dup2, success, "takes the number given and closes what was there")
{
    char c;
    int fd[2];
    cella_pipe(fd);
    int other = cella_open("/", O_RDONLY | O_CLOEXEC);
    CHECK_EQ(SYS(dup2, fd[1], other), other);
    CHECK(!is_cloexec(other));
    CHECK_EQ(write(other, "x", 1), 1);
    CHECK_OK(close(fd[1]));
    CHECK_EQ(SYS(dup2, fd[0], other), other); /* the last writer goes with it */
    CHECK_EQ(read(fd[0], &c, 1), 1);
    CHECK_EQ(read(fd[0], &c, 1), 0);
}

TEST(dup2, success, "onto itself changes nothing, not even close-on-exec")
{
    int fd = cella_open("/", O_RDONLY | O_CLOEXEC);
    CHECK_EQ(SYS(dup2, fd, fd), fd);
    CHECK(is_cloexec(fd));
}

TEST(dup2, error, "a number not open answers EBADF and leaves the target")
{
    int fd = cella_open("/", O_RDONLY);
    CHECK_ERRNO(SYS(dup2, CELLA_NO_FD, fd), EBADF);
    CHECK_ERRNO(SYS(dup2, CELLA_NO_FD, CELLA_NO_FD), EBADF);
    CHECK_ERRNO(SYS(dup2, fd, -1), EBADF);
    CHECK(is_open(fd));
}

TEST(dup2, limit, "a target at RLIMIT_NOFILE answers EBADF, one below is taken")
{
    struct rlimit limit;
    int fd = cella_open("/", O_RDONLY);
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = 64;
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
    CHECK_EQ(SYS(dup2, fd, 63), 63);
    CHECK_ERRNO(SYS(dup2, fd, 64), EBADF);
}

TEST(dup3, success, "takes the number given, with close-on-exec if asked")
{
    int fd = cella_open("/", O_RDONLY);
    CHECK_EQ(SYS(dup3, fd, fd + 5, O_CLOEXEC), fd + 5);
    CHECK(is_cloexec(fd + 5));
    CHECK_EQ(SYS(dup3, fd, fd + 5, 0), fd + 5);
    CHECK(!is_cloexec(fd + 5));
}

TEST(dup3, error, "onto itself and with other flags EINVAL, a number not open EBADF")
{
    int fd = cella_open("/", O_RDONLY);
    CHECK_ERRNO(SYS(dup3, fd, fd, 0), EINVAL);
    CHECK_ERRNO(SYS(dup3, fd, fd + 1, O_NONBLOCK), EINVAL);
    CHECK_ERRNO(SYS(dup3, CELLA_NO_FD, fd, 0), EBADF);
    CHECK(!is_open(fd + 1));
}

TEST(dup3, limit, "a target at RLIMIT_NOFILE answers EBADF, one below is taken")
{
    struct rlimit limit;
    int fd = cella_open("/", O_RDONLY);
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = 64;
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
    CHECK_EQ(SYS(dup3, fd, 63, 0), 63);
    CHECK_ERRNO(SYS(dup3, fd, 64, 0), EBADF);
}

TEST_MAIN()
