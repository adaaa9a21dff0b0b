/* SPDX-License-Identifier: Apache-2.0 */
/* access, faccessat, faccessat2, stat, lstat, fstat, newfstatat, statx, statfs, fstatfs. */
#include "cella_file.h"

#include <sys/statfs.h>
#include <sys/sysmacros.h>

/* A directory d, a file f of 5 bytes in it, a link l to f and a dangling link x. */
static void make_tree(void)
{
    cella_scratch();
    CHECK_OK(mkdir("d", 0750));
    cella_put_file("d/f", "hello", 5);
    CHECK_OK(chmod("d/f", 0640));
    CHECK_OK(symlink("d/f", "l"));
    CHECK_OK(symlink("nowhere", "x"));
}

static bool same_stat(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_mode == b->st_mode &&
           a->st_nlink == b->st_nlink && a->st_uid == b->st_uid && a->st_gid == b->st_gid &&
           a->st_rdev == b->st_rdev && a->st_size == b->st_size &&
           a->st_blksize == b->st_blksize && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void check_is_f(const struct stat *st)
{
    CHECK_EQ(st->st_mode, S_IFREG | 0640);
    CHECK_EQ(st->st_size, 5);
    CHECK_EQ(st->st_nlink, 1);
    CHECK(st->st_uid == geteuid() && st->st_gid == getegid());
    CHECK(st->st_ino != 0);
    CHECK(st->st_blksize >= 512);
    CHECK_EQ(st->st_rdev, 0);
}

TEST(access, success, "tells what exists and what the mode allows the owner")
{
    make_tree();
    cella_drop_root();
    cella_put_file("own", "", 0);
    CHECK_OK(chmod("own", 0500));
    CHECK_EQ(SYS(access, "own", F_OK), 0);
    CHECK_EQ(SYS(access, "own", R_OK | X_OK), 0);
    CHECK_EQ(SYS(access, "d", F_OK), 0);
    CHECK_EQ(SYS(access, "/", R_OK | X_OK), 0);
}

TEST(access, success, "goes by the real user, not the effective one")
{
    cella_scratch();
    cella_put_file("own", "", 0);
    CHECK_OK(chmod("own", 0600));
    CHECK_EQ(SYS(access, "own", R_OK), 0);
    if (geteuid() == 0) {
        CHECK_OK(SYS(setresuid, 65534, 0, 0));
        CHECK_ERRNO(SYS(access, "own", R_OK), EACCES);
    }
    CHECK_OK(open("own", O_RDONLY));
}

TEST(access, error, "what is missing, forbidden or no directory, and unknown modes")
{
    make_tree();
    cella_drop_root();
    cella_put_file("own", "", 0);
    CHECK_OK(chmod("own", 0400));
    CHECK_ERRNO(SYS(access, "own", W_OK), EACCES);
    CHECK_ERRNO(SYS(access, "own", R_OK | X_OK), EACCES);
    CHECK_ERRNO(SYS(access, "missing", F_OK), ENOENT);
    CHECK_ERRNO(SYS(access, "x", F_OK), ENOENT);
    CHECK_ERRNO(SYS(access, "own/f", F_OK), ENOTDIR);
    CHECK_ERRNO(SYS(access, "own", 8), EINVAL);
    CHECK_ERRNO(SYS(access, cella_bad_address(), F_OK), EFAULT);
}

TEST(access, limit, "names of 255 and paths of 4095 characters are the longest")
{
    make_tree();
    CHECK_ERRNO(SYS(access, cella_name(255), F_OK), ENOENT);
    CHECK_ERRNO(SYS(access, cella_name(256), F_OK), ENAMETOOLONG);
    CHECK_EQ(SYS(access, cella_path("d", CELLA_PATH_LONGEST), F_OK), 0);
    CHECK_ERRNO(SYS(access, cella_path("d", CELLA_PATH_LONGEST + 1), F_OK), ENAMETOOLONG);
}

TEST(faccessat, success, "starts at the directory given")
{
    make_tree();
    int dir = cella_open("d", O_RDONLY);
    CHECK_EQ(SYS(faccessat, dir, "f", R_OK | W_OK), 0);
    CHECK_EQ(SYS(faccessat, AT_FDCWD, "d/f", F_OK), 0);
    CHECK_EQ(SYS(faccessat, CELLA_NO_FD, "/", F_OK), 0);
}

TEST(faccessat, error, "a start that is closed or no directory; what is forbidden or missing")
{
    make_tree();
    cella_drop_root();
    cella_put_file("own", "", 0);
    CHECK_OK(chmod("own", 0400));
    CHECK_ERRNO(SYS(faccessat, CELLA_NO_FD, "d", F_OK), EBADF);
    CHECK_ERRNO(SYS(faccessat, cella_open("own", O_RDONLY), "f", F_OK), ENOTDIR);
    CHECK_ERRNO(SYS(faccessat, AT_FDCWD, "own", W_OK), EACCES);
    CHECK_ERRNO(SYS(faccessat, AT_FDCWD, "missing", F_OK), ENOENT);
    CHECK_ERRNO(SYS(faccessat, AT_FDCWD, "own", 8), EINVAL);
}

TEST(faccessat, limit, "names of 255 and paths of 4095 characters are the longest")
{
    make_tree();
    CHECK_ERRNO(SYS(faccessat, AT_FDCWD, cella_name(256), F_OK), ENAMETOOLONG);
    CHECK_EQ(SYS(faccessat, AT_FDCWD, cella_path("d", CELLA_PATH_LONGEST), F_OK), 0);
    CHECK_ERRNO(SYS(faccessat, AT_FDCWD, cella_path("d", CELLA_PATH_LONGEST + 1), F_OK),
                ENAMETOOLONG);
}

TEST(faccessat2, success, "AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH and AT_EACCESS")
{
    make_tree();
    CHECK_EQ(SYS(faccessat2, AT_FDCWD, "x", F_OK, AT_SYMLINK_NOFOLLOW), 0);
    CHECK_EQ(SYS(faccessat2, cella_open("d", O_RDONLY), "", R_OK | X_OK, AT_EMPTY_PATH), 0);
    CHECK_EQ(SYS(faccessat2, AT_FDCWD, "d/f", R_OK, AT_EACCESS), 0);
    if (geteuid() == 0) {
        CHECK_OK(chmod("d/f", 0600));
        CHECK_OK(SYS(setresuid, 65534, 0, 0));
        CHECK_EQ(SYS(faccessat2, AT_FDCWD, "d/f", R_OK, AT_EACCESS), 0);
        CHECK_ERRNO(SYS(faccessat2, AT_FDCWD, "d/f", R_OK, 0), EACCES);
    }
}

TEST(faccessat2, error, "unknown flags and modes, empty path without the flag")
{
    make_tree();
    CHECK_ERRNO(SYS(faccessat2, AT_FDCWD, "d", F_OK, 0x8000), EINVAL);
    CHECK_ERRNO(SYS(faccessat2, AT_FDCWD, "d", 8, 0), EINVAL);
    CHECK_ERRNO(SYS(faccessat2, AT_FDCWD, "", F_OK, 0), ENOENT);
    CHECK_ERRNO(SYS(faccessat2, AT_FDCWD, "x", F_OK, 0), ENOENT);
    CHECK_ERRNO(SYS(faccessat2, CELLA_NO_FD, "", F_OK, AT_EMPTY_PATH), EBADF);
}

TEST(faccessat2, limit, "a path of 4096 characters answers ENAMETOOLONG")
{
    make_tree();
    CHECK_EQ(SYS(faccessat2, AT_FDCWD, cella_path("d", CELLA_PATH_LONGEST), F_OK, 0), 0);
    CHECK_ERRNO(SYS(faccessat2, AT_FDCWD, cella_path("d", CELLA_PATH_LONGEST + 1), F_OK, 0),
                ENAMETOOLONG);
}

TEST(stat, success, "tells a file, a directory, and what a link leads to")
{
    struct stat st, other;
    make_tree();
    CHECK_EQ(SYS(stat, "d/f", &st), 0);
    check_is_f(&st);
    CHECK_EQ(SYS(stat, "l", &other), 0);
    CHECK(same_stat(&st, &other));
    CHECK_EQ(SYS(stat, "d", &other), 0);
    CHECK_EQ(other.st_mode, S_IFDIR | 0750);
    CHECK(other.st_ino != st.st_ino && other.st_dev == st.st_dev);
}

TEST(stat, success, "counts links, and the size follows writes")
{
    struct stat st;
    make_tree();
    CHECK_OK(link("d/f", "hard"));
    int fd = cella_open("hard", O_WRONLY | O_APPEND);
    CHECK_EQ(write(fd, "123", 3), 3);
    CHECK_EQ(SYS(stat, "d/f", &st), 0);
    CHECK(st.st_nlink == 2 && st.st_size == 8);
    CHECK_OK(unlink("hard"));
    CHECK_EQ(SYS(stat, "d/f", &st), 0);
    CHECK_EQ(st.st_nlink, 1);
}

TEST(stat, success, "a character device has its numbers")
{
    struct stat st;
    CHECK_EQ(SYS(stat, "/dev/null", &st), 0);
    CHECK(S_ISCHR(st.st_mode));
    CHECK(major(st.st_rdev) == 1 && minor(st.st_rdev) == 3);
}

TEST(stat, error, "what is missing, hidden, no directory, a loop, or bad memory")
{
    struct stat st;
    make_tree();
    cella_drop_root();
    CHECK_OK(mkdir("own", 0700));
    cella_put_file("own/f", "", 0);
    CHECK_OK(chmod("own", 0600));
    CHECK_OK(symlink("loop", "loop"));
    CHECK_ERRNO(SYS(stat, "missing", &st), ENOENT);
    CHECK_ERRNO(SYS(stat, "", &st), ENOENT);
    CHECK_ERRNO(SYS(stat, "x", &st), ENOENT);
    CHECK_ERRNO(SYS(stat, "own/f", &st), EACCES);
    CHECK_ERRNO(SYS(stat, "/dev/null/f", &st), ENOTDIR);
    CHECK_ERRNO(SYS(stat, "loop", &st), ELOOP);
    CHECK_ERRNO(SYS(stat, "own", cella_bad_address()), EFAULT);
    CHECK_ERRNO(SYS(stat, cella_bad_address(), &st), EFAULT);
}

TEST(stat, limit, "names of 255 and paths of 4095 characters are the longest")
{
    struct stat st;
    make_tree();
    CHECK_ERRNO(SYS(stat, cella_name(255), &st), ENOENT);
    CHECK_ERRNO(SYS(stat, cella_name(256), &st), ENAMETOOLONG);
    CHECK_EQ(SYS(stat, cella_path("d/f", CELLA_PATH_LONGEST), &st), 0);
    check_is_f(&st);
    CHECK_ERRNO(SYS(stat, cella_path("d/f", CELLA_PATH_LONGEST + 1), &st), ENAMETOOLONG);
}

TEST(lstat, success, "tells the link itself, whose size is its target's length")
{
    struct stat st;
    make_tree();
    CHECK_EQ(SYS(lstat, "x", &st), 0);
    CHECK(S_ISLNK(st.st_mode));
    CHECK_EQ(st.st_mode & 07777, 0777);
    CHECK_EQ(st.st_size, 7);
    CHECK_EQ(SYS(lstat, "d/f", &st), 0);
    check_is_f(&st);
}

TEST(lstat, success, "follows links on the way, and the last one before a slash")
{
    struct stat st;
    make_tree();
    CHECK_OK(symlink("d", "ld"));
    CHECK_EQ(SYS(lstat, "ld/f", &st), 0);
    check_is_f(&st);
    CHECK_EQ(SYS(lstat, "ld/", &st), 0);
    CHECK(S_ISDIR(st.st_mode));
    CHECK_EQ(SYS(lstat, "ld", &st), 0);
    CHECK(S_ISLNK(st.st_mode));
}

TEST(lstat, error, "what is missing, no directory, or bad memory")
{
    struct stat st;
    make_tree();
    CHECK_ERRNO(SYS(lstat, "missing", &st), ENOENT);
    CHECK_ERRNO(SYS(lstat, "d/f/g", &st), ENOTDIR);
    CHECK_ERRNO(SYS(lstat, "l/", &st), ENOTDIR);
    CHECK_ERRNO(SYS(lstat, "d", cella_bad_address()), EFAULT);
}

TEST(lstat, limit, "a name of 256 characters answers ENAMETOOLONG")
{
    struct stat st;
    make_tree();
    CHECK_ERRNO(SYS(lstat, cella_name(255), &st), ENOENT);
    CHECK_ERRNO(SYS(lstat, cella_name(256), &st), ENAMETOOLONG);
    CHECK_EQ(SYS(lstat, cella_path("x", CELLA_PATH_LONGEST), &st), 0);
    CHECK(S_ISLNK(st.st_mode));
}

TEST(fstat, success, "tells files, directories, pipes and links opened as paths")
{
    struct stat st, other;
    int fd[2];
    make_tree();
    CHECK_OK(stat("d/f", &st));
    CHECK_EQ(SYS(fstat, cella_open("d/f", O_RDONLY), &other), 0);
    CHECK(same_stat(&st, &other));
    CHECK_EQ(SYS(fstat, cella_open("d", O_RDONLY), &st), 0);
    CHECK(S_ISDIR(st.st_mode));
    CHECK_EQ(SYS(fstat, cella_open("x", O_PATH | O_NOFOLLOW), &st), 0);
    CHECK(S_ISLNK(st.st_mode));
    cella_pipe(fd);
    CHECK_EQ(SYS(fstat, fd[0], &st), 0);
    CHECK_EQ(st.st_mode, S_IFIFO | 0600);
    CHECK_EQ(SYS(fstat, fd[1], &other), 0);
    CHECK(st.st_ino == other.st_ino && st.st_dev == other.st_dev);
}

TEST(fstat, error, "closed descriptor and bad memory")
{
    struct stat st;
    CHECK_ERRNO(SYS(fstat, CELLA_NO_FD, &st), EBADF);
    CHECK_ERRNO(SYS(fstat, -1, &st), EBADF);
    CHECK_ERRNO(SYS(fstat, cella_open("/", O_RDONLY), cella_bad_address()), EFAULT);
}

TEST(fstat, limit, "a file without a name left has no links, and sizes go beyond 4 GiB")
{
    struct stat st;
    make_tree();
    int fd = cella_open("d/f", O_RDWR);
    CHECK_OK(unlink("d/f"));
    CHECK_OK(ftruncate(fd, 5L << 30));
    CHECK_EQ(SYS(fstat, fd, &st), 0);
    CHECK_EQ(st.st_nlink, 0);
    CHECK_EQ(st.st_size, 5L << 30);
    CHECK(st.st_blocks < (1 << 20) / 512); /* a hole takes no room */
}

TEST(newfstatat, success, "starts at the directory, follows or not, and takes the empty path")
{
    struct stat st;
    make_tree();
    int dir = cella_open("d", O_RDONLY);
    CHECK_EQ(SYS(newfstatat, dir, "f", &st, 0), 0);
    check_is_f(&st);
    CHECK_EQ(SYS(newfstatat, AT_FDCWD, "l", &st, 0), 0);
    check_is_f(&st);
    CHECK_EQ(SYS(newfstatat, AT_FDCWD, "l", &st, AT_SYMLINK_NOFOLLOW), 0);
    CHECK(S_ISLNK(st.st_mode));
    CHECK_EQ(SYS(newfstatat, cella_open("d/f", O_RDONLY), "", &st, AT_EMPTY_PATH), 0);
    check_is_f(&st);
    CHECK_EQ(SYS(newfstatat, AT_FDCWD, "", &st, AT_EMPTY_PATH), 0);
    CHECK(S_ISDIR(st.st_mode));
}

TEST(newfstatat, error, "a start that is closed or no directory, unknown flags, empty path")
{
    struct stat st;
    make_tree();
    CHECK_ERRNO(SYS(newfstatat, CELLA_NO_FD, "d", &st, 0), EBADF);
    CHECK_ERRNO(SYS(newfstatat, CELLA_NO_FD, "", &st, AT_EMPTY_PATH), EBADF);
    CHECK_ERRNO(SYS(newfstatat, cella_open("d/f", O_RDONLY), "g", &st, 0), ENOTDIR);
    CHECK_ERRNO(SYS(newfstatat, AT_FDCWD, "d", &st, 0x40000), EINVAL);
    CHECK_ERRNO(SYS(newfstatat, AT_FDCWD, "", &st, 0), ENOENT);
    CHECK_ERRNO(SYS(newfstatat, AT_FDCWD, "d", cella_bad_address(), 0), EFAULT);
}

TEST(newfstatat, limit, "names of 255 and paths of 4095 characters are the longest")
{
    struct stat st;
    make_tree();
    CHECK_ERRNO(SYS(newfstatat, AT_FDCWD, cella_name(256), &st, 0), ENAMETOOLONG);
    CHECK_EQ(SYS(newfstatat, AT_FDCWD, cella_path("d", CELLA_PATH_LONGEST), &st, 0), 0);
    CHECK_ERRNO(SYS(newfstatat, AT_FDCWD, cella_path("d", CELLA_PATH_LONGEST + 1), &st, 0),
                ENAMETOOLONG);
}

TEST(statx, success, "agrees with stat, and says which fields it filled")
{
    struct statx sx;
    struct stat st;
    make_tree();
    CHECK_OK(stat("d/f", &st));
    memset(&sx, 0xff, sizeof(sx));
    CHECK_EQ(SYS(statx, AT_FDCWD, "d/f", 0, STATX_BASIC_STATS, &sx), 0);
    CHECK_EQ(sx.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
    CHECK(sx.stx_mode == st.st_mode && sx.stx_size == 5 && sx.stx_nlink == 1);
    CHECK(sx.stx_ino == st.st_ino && sx.stx_uid == st.st_uid && sx.stx_gid == st.st_gid);
    CHECK(sx.stx_blksize == (uint64_t)st.st_blksize);
    CHECK(makedev(sx.stx_dev_major, sx.stx_dev_minor) == st.st_dev);
    CHECK(sx.stx_mtime.tv_sec == st.st_mtim.tv_sec);
    CHECK(sx.stx_mtime.tv_nsec == (uint32_t)st.st_mtim.tv_nsec);
}

TEST(statx, success, "the link itself, the empty path, and no fields asked")
{
    struct statx sx;
    make_tree();
    CHECK_EQ(SYS(statx, AT_FDCWD, "l", AT_SYMLINK_NOFOLLOW, STATX_TYPE, &sx), 0);
    CHECK(S_ISLNK(sx.stx_mode));
    CHECK_EQ(SYS(statx, cella_open("d/f", O_PATH), "", AT_EMPTY_PATH, STATX_SIZE, &sx), 0);
    CHECK_EQ(sx.stx_size, 5);
    CHECK_EQ(SYS(statx, AT_FDCWD, "d", 0, 0, &sx), 0);
}

TEST(statx, error, "unknown flags, the reserved mask, both kinds of sync, bad paths and memory")
{
    struct statx sx;
    make_tree();
    CHECK_ERRNO(SYS(statx, AT_FDCWD, "d", 0x40000, STATX_BASIC_STATS, &sx), EINVAL);
    CHECK_ERRNO(SYS(statx, AT_FDCWD, "d", 0, STATX__RESERVED, &sx), EINVAL);
    CHECK_ERRNO(SYS(statx, AT_FDCWD, "d", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, 0, &sx),
                EINVAL);
    CHECK_ERRNO(SYS(statx, AT_FDCWD, "missing", 0, 0, &sx), ENOENT);
    CHECK_ERRNO(SYS(statx, AT_FDCWD, "", 0, 0, &sx), ENOENT);
    CHECK_ERRNO(SYS(statx, CELLA_NO_FD, "d", 0, 0, &sx), EBADF);
    CHECK_ERRNO(SYS(statx, AT_FDCWD, "d", 0, 0, cella_bad_address()), EFAULT);
}

TEST(statx, limit, "a mask of all fields, names of 256 and paths of 4096 characters")
{
    struct statx sx;
    make_tree();
    CHECK_EQ(SYS(statx, AT_FDCWD, "d/f", 0, 0x7fffffff, &sx), 0);
    CHECK_EQ(sx.stx_mask & STATX__RESERVED, 0);
    CHECK_ERRNO(SYS(statx, AT_FDCWD, cella_name(256), 0, 0, &sx), ENAMETOOLONG);
    CHECK_EQ(SYS(statx, AT_FDCWD, cella_path("d", CELLA_PATH_LONGEST), 0, 0, &sx), 0);
    CHECK_ERRNO(SYS(statx, AT_FDCWD, cella_path("d", CELLA_PATH_LONGEST + 1), 0, 0, &sx),
                ENAMETOOLONG);
}

static void check_statfs(const struct statfs *fs)
{
    CHECK(fs->f_type != 0);
    CHECK(fs->f_bsize >= 512 && fs->f_frsize >= 512);
    CHECK(fs->f_bfree <= fs->f_blocks && fs->f_bavail <= fs->f_bfree);
    CHECK_EQ(fs->f_namelen, 255);
}

TEST(statfs, success, "tells block size, room and longest name")
{
    struct statfs fs, other;
    make_tree();
    CHECK_EQ(SYS(statfs, "d", &fs), 0);
    check_statfs(&fs);
    CHECK_EQ(SYS(statfs, "l", &other), 0);
    CHECK(other.f_type == fs.f_type && !memcmp(&other.f_fsid, &fs.f_fsid, sizeof(fs.f_fsid)));
}

TEST(statfs, error, "what is missing, no directory, or bad memory")
{
    struct statfs fs;
    make_tree();
    CHECK_ERRNO(SYS(statfs, "missing", &fs), ENOENT);
    CHECK_ERRNO(SYS(statfs, "d/f/g", &fs), ENOTDIR);
    CHECK_ERRNO(SYS(statfs, "d", cella_bad_address()), EFAULT);
    CHECK_ERRNO(SYS(statfs, cella_bad_address(), &fs), EFAULT);
}

TEST(statfs, limit, "names of 255 and paths of 4095 characters are the longest")
{
    struct statfs fs;
    make_tree();
    CHECK_ERRNO(SYS(statfs, cella_name(256), &fs), ENAMETOOLONG);
    CHECK_EQ(SYS(statfs, cella_path("d", CELLA_PATH_LONGEST), &fs), 0);
    CHECK_ERRNO(SYS(statfs, cella_path("d", CELLA_PATH_LONGEST + 1), &fs), ENAMETOOLONG);
}

TEST(fstatfs, success, "agrees with statfs of the path")
{
    struct statfs fs, other;
    make_tree();
    CHECK_EQ(SYS(fstatfs, cella_open("d/f", O_RDONLY), &fs), 0);
    check_statfs(&fs);
    CHECK_OK(SYS(statfs, "d", &other));
    CHECK(other.f_type == fs.f_type && other.f_bsize == fs.f_bsize);
    CHECK_EQ(other.f_blocks, fs.f_blocks);
}

TEST(fstatfs, error, "closed descriptor and bad memory")
{
    struct statfs fs;
    CHECK_ERRNO(SYS(fstatfs, CELLA_NO_FD, &fs), EBADF);
    CHECK_ERRNO(SYS(fstatfs, cella_open("/", O_RDONLY), cella_bad_address()), EFAULT);
}

TEST(fstatfs, limit, "a file without a name left and a path-only descriptor still have one")
{
    struct statfs fs;
    make_tree();
    int fd = cella_open("d/f", O_RDONLY);
    CHECK_OK(unlink("d/f"));
    CHECK_EQ(SYS(fstatfs, fd, &fs), 0);
    check_statfs(&fs);
    CHECK_EQ(SYS(fstatfs, cella_open("d", O_PATH), &fs), 0);
    check_statfs(&fs);
}

TEST_MAIN()
