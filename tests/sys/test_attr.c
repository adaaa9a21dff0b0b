/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Permissions, owners and times: chmod, fchmod, fchmodat, chown, fchown, lchown, fchownat, umask,
 * utime, utimes, futimesat, utimensat.
 */
#include "cella_file.h"

#include <sys/time.h>
#include <utime.h>

/* Beyond 2038, where 32 bits end, and within what every file system of today can store. */
#define FAR_SECOND 4102444800

/* A user and a group to give a file to: any for root; without root only one's own. */
static uid_t some_uid(void)
{
    return geteuid() == 0 ? 1234 : geteuid();
}

static gid_t some_gid(void)
{
    return geteuid() == 0 ? 5678 : getegid();
}

static void make_tree(void)
{
    cella_scratch();
    cella_put_file("f", "x", 1);
    CHECK_OK(mkdir("d", 0755));
    cella_put_file("d/g", "x", 1);
    CHECK_OK(symlink("f", "l"));
}

static struct stat stat_of(const char *path)
{
    struct stat st;
    CHECK_OK(lstat(path, &st));
    return st;
}

static mode_t mode_of(const char *path)
{
    return stat_of(path).st_mode & 07777;
}

TEST(chmod, success, "sets all twelve bits of a file, also through a link, and of a directory")
{
    make_tree();
    CHECK_EQ(SYS(chmod, "f", 06751), 0);
    CHECK_EQ(mode_of("f"), 06751);
    CHECK_EQ(SYS(chmod, "l", 0), 0);
    CHECK_EQ(mode_of("f"), 0);
    CHECK_EQ(SYS(chmod, "d", 01777), 0);
    CHECK_EQ(mode_of("d"), 01777);
    CHECK(S_ISDIR(stat_of("d").st_mode));
}

TEST(chmod, error, "what is missing, no directory on the way, forbidden, bad memory")
{
    make_tree();
    cella_drop_root();
    CHECK_OK(mkdir("shut", 0700));
    cella_put_file("shut/f", "", 0);
    CHECK_OK(chmod("shut", 0600));
    CHECK_ERRNO(SYS(chmod, "missing", 0644), ENOENT);
    CHECK_ERRNO(SYS(chmod, "f/x", 0644), ENOTDIR);
    CHECK_ERRNO(SYS(chmod, "shut/f", 0644), EACCES);
    CHECK_ERRNO(SYS(chmod, cella_bad_address(), 0644), EFAULT);
}

TEST(chmod, error, "another user's file answers EPERM")
{
    if (geteuid() != 0)
        SKIP("needs root to make another user's file");
    make_tree();
    CHECK_OK(chmod("f", 0666));
    int fd = cella_open("f", O_RDWR);
    cella_drop_root();
    CHECK_ERRNO(SYS(chmod, "f", 0600), EPERM);
    CHECK_ERRNO(SYS(fchmod, fd, 0600), EPERM);
    CHECK_ERRNO(SYS(fchmodat, AT_FDCWD, "f", 0600), EPERM);
}

TEST(chmod, limit, "bits above the twelve are ignored; a path of 4096 characters is refused")
{
    make_tree();
    CHECK_EQ(SYS(chmod, "f", 0170640), 0);
    CHECK_EQ(stat_of("f").st_mode, S_IFREG | 0640);
    CHECK_EQ(SYS(chmod, cella_path("f", CELLA_PATH_LONGEST), 0600), 0);
    CHECK_ERRNO(SYS(chmod, cella_path("f", CELLA_PATH_LONGEST + 1), 0644), ENAMETOOLONG);
    CHECK_ERRNO(SYS(chmod, cella_name(256), 0644), ENAMETOOLONG);
}

TEST(fchmod, success, "sets the mode by descriptor, which stays usable as it was opened")
{
    make_tree();
    int fd = cella_open("f", O_RDWR);
    CHECK_EQ(SYS(fchmod, fd, 0400), 0);
    CHECK_EQ(mode_of("f"), 0400);
    CHECK_EQ(write(fd, "y", 1), 1);
}

TEST(fchmod, error, "a descriptor closed or of a path only answers EBADF")
{
    make_tree();
    CHECK_ERRNO(SYS(fchmod, CELLA_NO_FD, 0644), EBADF);
    CHECK_ERRNO(SYS(fchmod, cella_open("f", O_PATH), 0644), EBADF);
}

TEST(fchmod, limit, "works for a file without a name left; bits above the twelve are ignored")
{
    struct stat st;
    make_tree();
    int fd = cella_open("f", O_RDONLY);
    CHECK_OK(unlink("f"));
    CHECK_EQ(SYS(fchmod, fd, 0170751), 0);
    CHECK_OK(fstat(fd, &st));
    CHECK_EQ(st.st_mode, S_IFREG | 0751);
}

TEST(fchmodat, success, "starts at the directory given and follows links")
{
    make_tree();
    CHECK_EQ(SYS(fchmodat, cella_open("d", O_RDONLY), "g", 0711), 0);
    CHECK_EQ(mode_of("d/g"), 0711);
    CHECK_EQ(SYS(fchmodat, AT_FDCWD, "l", 0604), 0);
    CHECK_EQ(mode_of("f"), 0604);
}

TEST(fchmodat, error, "a start that is closed or no directory; what is missing")
{
    make_tree();
    CHECK_ERRNO(SYS(fchmodat, CELLA_NO_FD, "f", 0644), EBADF);
    CHECK_ERRNO(SYS(fchmodat, cella_open("f", O_RDONLY), "f", 0644), ENOTDIR);
    CHECK_ERRNO(SYS(fchmodat, AT_FDCWD, "missing", 0644), ENOENT);
}

TEST(fchmodat, limit, "bits above the twelve are ignored; a name of 256 characters is refused")
{
    make_tree();
    CHECK_EQ(SYS(fchmodat, AT_FDCWD, "f", 0170640), 0);
    CHECK_EQ(mode_of("f"), 0640);
    CHECK_ERRNO(SYS(fchmodat, AT_FDCWD, cella_name(256), 0644), ENAMETOOLONG);
}

TEST(chown, success, "sets owner and group of what a link leads to")
{
    make_tree();
    CHECK_EQ(SYS(chown, "l", some_uid(), some_gid()), 0);
    CHECK(stat_of("f").st_uid == some_uid() && stat_of("f").st_gid == some_gid());
    CHECK(stat_of("l").st_uid == geteuid());
}

TEST(chown, success, "takes the set-user and set-group bits from a program")
{
    make_tree();
    CHECK_OK(chmod("f", 06755));
    CHECK_EQ(SYS(chown, "f", some_uid(), some_gid()), 0);
    CHECK_EQ(mode_of("f"), 0755);
}

TEST(chown, error, "to another user EPERM; what is missing; bad memory")
{
    make_tree();
    cella_drop_root();
    cella_put_file("own", "", 0);
    CHECK_ERRNO(SYS(chown, "own", 0, -1), EPERM);
    CHECK_ERRNO(SYS(chown, "own", -1, 0), EPERM);
    CHECK_ERRNO(SYS(chown, "missing", -1, -1), ENOENT);
    CHECK_ERRNO(SYS(chown, cella_bad_address(), -1, -1), EFAULT);
    CHECK(stat_of("own").st_uid == geteuid());
}

TEST(chown, limit, "-1 leaves each as it is; a path of 4096 characters is refused")
{
    make_tree();
    CHECK_EQ(SYS(chown, "f", some_uid(), -1), 0);
    CHECK(stat_of("f").st_uid == some_uid() && stat_of("f").st_gid == getegid());
    CHECK_EQ(SYS(chown, "f", -1, some_gid()), 0);
    CHECK(stat_of("f").st_uid == some_uid() && stat_of("f").st_gid == some_gid());
    CHECK_ERRNO(SYS(chown, cella_path("f", CELLA_PATH_LONGEST + 1), -1, -1), ENAMETOOLONG);
}

TEST(fchown, success, "sets owner and group by descriptor")
{
    make_tree();
    CHECK_EQ(SYS(fchown, cella_open("f", O_RDONLY), some_uid(), some_gid()), 0);
    CHECK(stat_of("f").st_uid == some_uid() && stat_of("f").st_gid == some_gid());
}

TEST(fchown, error, "a descriptor closed or of a path only, and to another user")
{
    make_tree();
    cella_drop_root();
    cella_put_file("own", "", 0);
    CHECK_ERRNO(SYS(fchown, CELLA_NO_FD, -1, -1), EBADF);
    CHECK_ERRNO(SYS(fchown, cella_open("own", O_PATH), -1, -1), EBADF);
    CHECK_ERRNO(SYS(fchown, cella_open("own", O_RDONLY), 0, -1), EPERM);
}

TEST(fchown, limit, "-1 leaves both, also for a file without a name left")
{
    struct stat st;
    make_tree();
    int fd = cella_open("f", O_RDONLY);
    CHECK_OK(unlink("f"));
    CHECK_EQ(SYS(fchown, fd, some_uid(), some_gid()), 0);
    CHECK_EQ(SYS(fchown, fd, -1, -1), 0);
    CHECK_OK(fstat(fd, &st));
    CHECK(st.st_uid == some_uid() && st.st_gid == some_gid());
}

TEST(lchown, success, "sets owner and group of the link itself")
{
    make_tree();
    CHECK_EQ(SYS(lchown, "l", some_uid(), some_gid()), 0);
    CHECK(stat_of("l").st_uid == some_uid() && stat_of("l").st_gid == some_gid());
    CHECK(stat_of("f").st_uid == geteuid());
}

TEST(lchown, error, "to another user EPERM; what is missing")
{
    make_tree();
    cella_drop_root();
    CHECK_OK(symlink("nowhere", "own"));
    CHECK_ERRNO(SYS(lchown, "own", 0, -1), EPERM);
    CHECK_ERRNO(SYS(lchown, "missing", -1, -1), ENOENT);
}

TEST(lchown, limit, "a dangling link can be owned; a name of 256 characters is refused")
{
    make_tree();
    CHECK_OK(symlink("nowhere", "x"));
    CHECK_EQ(SYS(lchown, "x", some_uid(), -1), 0);
    CHECK(stat_of("x").st_uid == some_uid() && stat_of("x").st_gid == getegid());
    CHECK_ERRNO(SYS(lchown, cella_name(256), -1, -1), ENAMETOOLONG);
}

TEST(fchownat, success, "starts at the directory given, follows or not, takes the empty path")
{
    make_tree();
    CHECK_EQ(SYS(fchownat, cella_open("d", O_RDONLY), "g", some_uid(), some_gid(), 0), 0);
    CHECK(stat_of("d/g").st_uid == some_uid() && stat_of("d/g").st_gid == some_gid());
    CHECK_EQ(SYS(fchownat, AT_FDCWD, "l", some_uid(), -1, AT_SYMLINK_NOFOLLOW), 0);
    CHECK(stat_of("l").st_uid == some_uid() && stat_of("f").st_uid == geteuid());
    CHECK_EQ(SYS(fchownat, cella_open("f", O_PATH), "", some_uid(), -1, AT_EMPTY_PATH), 0);
    CHECK(stat_of("f").st_uid == some_uid());
}

TEST(fchownat, error, "a start that is closed or no directory, unknown flags, another user")
{
    make_tree();
    cella_drop_root();
    cella_put_file("own", "", 0);
    CHECK_ERRNO(SYS(fchownat, CELLA_NO_FD, "own", -1, -1, 0), EBADF);
    CHECK_ERRNO(SYS(fchownat, cella_open("own", O_RDONLY), "g", -1, -1, 0), ENOTDIR);
    CHECK_ERRNO(SYS(fchownat, AT_FDCWD, "own", -1, -1, 0x40000), EINVAL);
    CHECK_ERRNO(SYS(fchownat, AT_FDCWD, "own", 0, -1, 0), EPERM);
    CHECK_ERRNO(SYS(fchownat, AT_FDCWD, "", -1, -1, 0), ENOENT);
}

TEST(fchownat, limit, "-1 leaves both; a name of 256 characters is refused")
{
    make_tree();
    CHECK_EQ(SYS(fchownat, AT_FDCWD, "f", -1, -1, 0), 0);
    CHECK(stat_of("f").st_uid == geteuid() && stat_of("f").st_gid == getegid());
    CHECK_ERRNO(SYS(fchownat, AT_FDCWD, cella_name(256), -1, -1, 0), ENAMETOOLONG);
}

TEST(umask, success, "tells the one before, and takes its bits from what is made")
{
    cella_scratch();
    CHECK_EQ(SYS(umask, 027), 022);
    cella_put_file("f", "", 0);
    CHECK_EQ(mode_of("f"), 0640);
    CHECK_OK(mkdir("d", 0777));
    CHECK_EQ(mode_of("d"), 0750);
    CHECK_EQ(SYS(umask, 0), 027);
}

TEST(umask, success, "goes to children, whose changes stay their own")
{
    CHECK_OK(SYS(umask, 051));
    pid_t pid = cella_fork();
    if (pid == 0)
        _exit(SYS(umask, 077) != 051);
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_EQ(SYS(umask, 0), 051);
}

TEST(umask, error, "there is none: bits other than the nine of permission are dropped")
{
    CHECK_EQ(SYS(umask, -1), 022);
    CHECK_EQ(SYS(umask, 07000), 0777);
    CHECK_EQ(SYS(umask, 0), 0);
}

TEST(umask, limit, "0777 takes everything and does not hinder the descriptor; 0 nothing")
{
    cella_scratch();
    CHECK_OK(SYS(umask, 0777));
    int fd = cella_open("f", O_RDWR | O_CREAT);
    CHECK_EQ(mode_of("f"), 0);
    CHECK_EQ(write(fd, "x", 1), 1);
    CHECK_OK(SYS(umask, 0));
    CHECK_OK(mkdir("d", 0777));
    CHECK_EQ(mode_of("d"), 0777);
}

static void check_times(const char *path, long asec, long ansec, long msec, long mnsec)
{
    struct stat st = stat_of(path);
    CHECK_EQ(st.st_atim.tv_sec, asec);
    CHECK_EQ(st.st_atim.tv_nsec, ansec);
    CHECK_EQ(st.st_mtim.tv_sec, msec);
    CHECK_EQ(st.st_mtim.tv_nsec, mnsec);
}

/* Both times are of this hour: whoever set them took the clock. */
static void check_times_now(const char *path)
{
    struct stat st = stat_of(path);
    time_t now = time(NULL);
    CHECK(st.st_atim.tv_sec > now - 3600 && st.st_atim.tv_sec < now + 3600);
    CHECK(st.st_mtim.tv_sec > now - 3600 && st.st_mtim.tv_sec < now + 3600);
}

TEST(utime, success, "sets both times to whole seconds, or to now")
{
    struct utimbuf times = {1000000001, 1000000002};
    make_tree();
    CHECK_EQ(SYS(utime, "l", &times), 0);
    check_times("f", 1000000001, 0, 1000000002, 0);
    CHECK_EQ(SYS(utime, "f", NULL), 0);
    check_times_now("f");
}

TEST(utime, error, "what is missing, bad memory, and a user's own file he may not write")
{
    struct utimbuf times = {1, 2};
    make_tree();
    CHECK_ERRNO(SYS(utime, "missing", &times), ENOENT);
    CHECK_ERRNO(SYS(utime, "f", cella_bad_address()), EFAULT);
    CHECK_ERRNO(SYS(utime, cella_bad_address(), &times), EFAULT);
    cella_drop_root();
    cella_put_file("own", "", 0);
    CHECK_OK(chmod("own", 0));
    CHECK_EQ(SYS(utime, "own", &times), 0); /* the owner may, whatever the mode */
}

TEST(utime, error, "of another user's file: EACCES to set to now, EPERM to set at will")
{
    struct utimbuf times = {1, 2};
    if (geteuid() != 0)
        SKIP("needs root to make another user's file");
    make_tree();
    CHECK_OK(chmod("d/g", 0666));
    cella_drop_root();
    CHECK_ERRNO(SYS(utime, "f", NULL), EACCES);
    CHECK_ERRNO(SYS(utime, "f", &times), EPERM);
    CHECK_EQ(SYS(utime, "d/g", NULL), 0);
    CHECK_ERRNO(SYS(utime, "d/g", &times), EPERM);
}

TEST(utime, limit, "seconds beyond 2038; a name of 256 characters")
{
    struct utimbuf times = {FAR_SECOND, FAR_SECOND + 1};
    make_tree();
    CHECK_EQ(SYS(utime, "f", &times), 0);
    check_times("f", FAR_SECOND, 0, FAR_SECOND + 1, 0);
    CHECK_ERRNO(SYS(utime, cella_name(256), &times), ENAMETOOLONG);
}

TEST(utimes, success, "sets both times to microseconds, or to now")
{
    struct timeval times[2] = {{1000000001, 11}, {1000000002, 22}};
    make_tree();
    CHECK_EQ(SYS(utimes, "l", times), 0);
    check_times("f", 1000000001, 11000, 1000000002, 22000);
    CHECK_EQ(SYS(utimes, "f", NULL), 0);
    check_times_now("f");
}

TEST(utimes, error, "microseconds out of range, what is missing, bad memory")
{
    struct timeval high[2] = {{1, 0}, {1, 1000000}}, low[2] = {{1, -1}, {1, 0}};
    make_tree();
    CHECK_ERRNO(SYS(utimes, "f", high), EINVAL);
    CHECK_ERRNO(SYS(utimes, "f", low), EINVAL);
    CHECK_ERRNO(SYS(utimes, "missing", NULL), ENOENT);
    CHECK_ERRNO(SYS(utimes, "f", cella_bad_address()), EFAULT);
}

TEST(utimes, limit, "the last microsecond, seconds beyond 2038, a name of 256 characters")
{
    struct timeval times[2] = {{FAR_SECOND, 999999}, {0, 0}};
    make_tree();
    CHECK_EQ(SYS(utimes, "f", times), 0);
    check_times("f", FAR_SECOND, 999999000, 0, 0);
    CHECK_ERRNO(SYS(utimes, cella_name(256), times), ENAMETOOLONG);
}

TEST(futimesat, success, "starts at the directory given; without a path it means the descriptor")
{
    struct timeval times[2] = {{1000000001, 11}, {1000000002, 22}};
    make_tree();
    CHECK_EQ(SYS(futimesat, cella_open("d", O_RDONLY), "g", times), 0);
    check_times("d/g", 1000000001, 11000, 1000000002, 22000);
    CHECK_EQ(SYS(futimesat, cella_open("f", O_RDONLY), NULL, times), 0);
    check_times("f", 1000000001, 11000, 1000000002, 22000);
}

TEST(futimesat, error, "a start that is closed or no directory, microseconds out of range")
{
    struct timeval times[2] = {{1, 0}, {1, 1000000}};
    make_tree();
    CHECK_ERRNO(SYS(futimesat, CELLA_NO_FD, "f", NULL), EBADF);
    CHECK_ERRNO(SYS(futimesat, cella_open("f", O_RDONLY), "f", NULL), ENOTDIR);
    CHECK_ERRNO(SYS(futimesat, AT_FDCWD, "f", times), EINVAL);
    CHECK_ERRNO(SYS(futimesat, AT_FDCWD, "missing", NULL), ENOENT);
}

TEST(futimesat, limit, "seconds beyond 2038; a name of 256 characters")
{
    struct timeval times[2] = {{FAR_SECOND, 999999}, {1, 0}};
    make_tree();
    CHECK_EQ(SYS(futimesat, AT_FDCWD, "f", times), 0);
    check_times("f", FAR_SECOND, 999999000, 1, 0);
    CHECK_ERRNO(SYS(futimesat, AT_FDCWD, cella_name(256), times), ENAMETOOLONG);
}

TEST(utimensat, success, "sets nanoseconds of a file, a link itself, or a descriptor")
{
    struct timespec times[2] = {{1000000001, 123456789}, {1000000002, 987654321}};
    make_tree();
    CHECK_EQ(SYS(utimensat, AT_FDCWD, "f", times, 0), 0);
    check_times("f", 1000000001, 123456789, 1000000002, 987654321);
    CHECK_EQ(SYS(utimensat, AT_FDCWD, "l", times, AT_SYMLINK_NOFOLLOW), 0);
    check_times("l", 1000000001, 123456789, 1000000002, 987654321);
    CHECK_EQ(SYS(utimensat, cella_open("d/g", O_RDONLY), NULL, times, 0), 0);
    check_times("d/g", 1000000001, 123456789, 1000000002, 987654321);
}

TEST(utimensat, success, "UTIME_OMIT leaves a time, UTIME_NOW takes the clock; the change moves")
{
    struct timespec times[2] = {{1000000001, 1}, {1000000002, 2}};
    struct timespec omit_first[2] = {{0, UTIME_OMIT}, {1000000003, 3}};
    struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    make_tree();
    CHECK_EQ(SYS(utimensat, AT_FDCWD, "f", times, 0), 0);
    CHECK_EQ(SYS(utimensat, AT_FDCWD, "f", omit_first, 0), 0);
    check_times("f", 1000000001, 1, 1000000003, 3);
    CHECK(stat_of("f").st_ctim.tv_sec > 1000000003);
    CHECK_EQ(SYS(utimensat, AT_FDCWD, "f", now, 0), 0);
    check_times_now("f");
}

TEST(utimensat, error, "nanoseconds out of range, unknown flags, bad start, missing, bad memory")
{
    struct timespec bad[2] = {{1, 1000000000}, {1, 0}};
    make_tree();
    CHECK_ERRNO(SYS(utimensat, AT_FDCWD, "f", bad, 0), EINVAL);
    CHECK_ERRNO(SYS(utimensat, AT_FDCWD, "f", NULL, 0x40000), EINVAL);
    CHECK_ERRNO(SYS(utimensat, CELLA_NO_FD, "f", NULL, 0), EBADF);
    CHECK_ERRNO(SYS(utimensat, CELLA_NO_FD, NULL, NULL, 0), EBADF);
    CHECK_ERRNO(SYS(utimensat, AT_FDCWD, NULL, NULL, 0), EFAULT);
    CHECK_ERRNO(SYS(utimensat, AT_FDCWD, "missing", NULL, 0), ENOENT);
    CHECK_ERRNO(SYS(utimensat, AT_FDCWD, "f", cella_bad_address(), 0), EFAULT);
}

TEST(utimensat, limit, "the last nanosecond, beyond 2038, two omitted times touch nothing")
{
    struct timespec times[2] = {{FAR_SECOND, 999999999}, {1, 0}};
    struct timespec omit[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
    make_tree();
    CHECK_EQ(SYS(utimensat, AT_FDCWD, "f", times, 0), 0);
    check_times("f", FAR_SECOND, 999999999, 1, 0);
    CHECK_EQ(SYS(utimensat, AT_FDCWD, "missing", omit, 0), 0); /* the path is not even looked up */
    CHECK_ERRNO(SYS(utimensat, AT_FDCWD, cella_name(256), NULL, 0), ENAMETOOLONG);
}

TEST_MAIN()
