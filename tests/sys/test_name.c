/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls that make, change and remove names: rename, renameat, renameat2, link, linkat, symlink,
 * symlinkat, readlink, readlinkat, unlink, unlinkat, mknod, mknodat.
 */
#include "cella_file.h"

#include <sys/sysmacros.h>

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static struct stat stat_of(const char *path)
{
    struct stat st;
    CHECK_OK(lstat(path, &st));
    return st;
}

/* Files a and b with their names as content, empty directories d and e, a file in d. */
static void make_tree(void)
{
    cella_scratch();
    cella_put_file("a", "a", 1);
    cella_put_file("b", "b", 1);
    CHECK_OK(mkdir("d", 0755));
    CHECK_OK(mkdir("e", 0755));
    cella_put_file("d/f", "f", 1);
}

TEST(rename, success, "moves a file over another, whose open descriptors keep the old one")
{
    char c;
    make_tree();
    ino_t ino = stat_of("a").st_ino;
    int old = cella_open("b", O_RDONLY);
    CHECK_EQ(SYS(rename, "a", "b"), 0);
    CHECK(!exists("a"));
    cella_check_file("b", "a", 1);
    CHECK(stat_of("b").st_ino == ino);
    CHECK_EQ(read(old, &c, 1), 1);
    CHECK_EQ(c, 'b');
}

TEST(rename, success, "moves a directory with what is in it, also over an empty one")
{
    make_tree();
    CHECK_EQ(SYS(rename, "d", "e"), 0);
    CHECK(!exists("d"));
    cella_check_file("e/f", "f", 1);
    CHECK_OK(mkdir("g", 0755));
    CHECK_EQ(SYS(rename, "e", "g/h"), 0);
    cella_check_file("g/h/f", "f", 1);
    CHECK(stat_of("g/h/..").st_ino == stat_of("g").st_ino);
}

TEST(rename, success, "moves a link itself, and does nothing between two names of one file")
{
    make_tree();
    CHECK_OK(symlink("a", "l"));
    CHECK_EQ(SYS(rename, "l", "m"), 0);
    CHECK(S_ISLNK(stat_of("m").st_mode) && exists("a"));
    CHECK_OK(link("a", "hard"));
    CHECK_EQ(SYS(rename, "a", "hard"), 0);
    CHECK(exists("a") && exists("hard"));
}

TEST(rename, error, "kinds that do not fit, directories not empty, a directory into itself")
{
    make_tree();
    CHECK_ERRNO(SYS(rename, "a", "d"), EISDIR);
    CHECK_ERRNO(SYS(rename, "d", "a"), ENOTDIR);
    CHECK_ERRNO(SYS(rename, "e", "d"), ENOTEMPTY);
    CHECK_ERRNO(SYS(rename, "d", "d/sub"), EINVAL);
    CHECK_ERRNO(SYS(rename, "a/", "c"), ENOTDIR);
    CHECK_ERRNO(SYS(rename, "a", "c/"), ENOTDIR);
    CHECK_ERRNO(SYS(rename, ".", "c"), EBUSY);
    CHECK(exists("a") && exists("d/f") && exists("e"));
}

TEST(rename, error, "what is missing, forbidden, or bad memory")
{
    make_tree();
    CHECK_ERRNO(SYS(rename, "missing", "c"), ENOENT);
    CHECK_ERRNO(SYS(rename, "a", "missing/c"), ENOENT);
    CHECK_ERRNO(SYS(rename, "a", ""), ENOENT);
    CHECK_ERRNO(SYS(rename, "a/x", "c"), ENOTDIR);
    CHECK_ERRNO(SYS(rename, cella_bad_address(), "c"), EFAULT);
    CHECK_ERRNO(SYS(rename, "a", cella_bad_address()), EFAULT);
    cella_drop_root();
    cella_put_file("own", "", 0);
    CHECK_OK(mkdir("shut", 0500));
    CHECK_ERRNO(SYS(rename, "own", "shut/own"), EACCES);
}

TEST(rename, limit, "names of 255 and paths of 4095 characters are the longest")
{
    make_tree();
    CHECK_ERRNO(SYS(rename, "a", cella_name(256)), ENAMETOOLONG);
    CHECK_EQ(SYS(rename, "a", cella_name(255)), 0);
    CHECK_EQ(SYS(rename, cella_path("b", CELLA_PATH_LONGEST), cella_path("c", CELLA_PATH_LONGEST)),
             0);
    CHECK_ERRNO(SYS(rename, "c", cella_path("b", CELLA_PATH_LONGEST + 1)), ENAMETOOLONG);
    CHECK(exists("c"));
}

TEST(renameat, success, "starts at the directories given")
{
    make_tree();
    int d = cella_open("d", O_RDONLY), e = cella_open("e", O_RDONLY);
    CHECK_EQ(SYS(renameat, d, "f", e, "g"), 0);
    CHECK(!exists("d/f"));
    cella_check_file("e/g", "f", 1);
    CHECK_EQ(SYS(renameat, AT_FDCWD, "a", d, "a"), 0);
    CHECK(exists("d/a"));
}

TEST(renameat, error, "a start that is closed or no directory")
{
    make_tree();
    CHECK_ERRNO(SYS(renameat, CELLA_NO_FD, "a", AT_FDCWD, "c"), EBADF);
    CHECK_ERRNO(SYS(renameat, AT_FDCWD, "a", CELLA_NO_FD, "c"), EBADF);
    CHECK_ERRNO(SYS(renameat, AT_FDCWD, "a", cella_open("b", O_RDONLY), "c"), ENOTDIR);
    CHECK_ERRNO(SYS(renameat, AT_FDCWD, "missing", AT_FDCWD, "c"), ENOENT);
}

TEST(renameat, limit, "a name of 256 characters, and a target directory that was removed")
{
    make_tree();
    int e = cella_open("e", O_RDONLY);
    CHECK_ERRNO(SYS(renameat, AT_FDCWD, "a", e, cella_name(256)), ENAMETOOLONG);
    CHECK_OK(rmdir("e"));
    CHECK_ERRNO(SYS(renameat, AT_FDCWD, "a", e, "c"), ENOENT);
    CHECK(exists("a"));
}

TEST(renameat2, success, "RENAME_EXCHANGE swaps, even a file with a directory")
{
    make_tree();
    CHECK_EQ(SYS(renameat2, AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE), 0);
    cella_check_file("a", "b", 1);
    cella_check_file("b", "a", 1);
    CHECK_EQ(SYS(renameat2, AT_FDCWD, "a", AT_FDCWD, "d", RENAME_EXCHANGE), 0);
    cella_check_file("a/f", "f", 1);
    cella_check_file("d", "b", 1);
    CHECK_EQ(SYS(renameat2, AT_FDCWD, "b", AT_FDCWD, "c", RENAME_NOREPLACE), 0);
    cella_check_file("c", "a", 1);
}

TEST(renameat2, error, "RENAME_NOREPLACE keeps what is there, RENAME_EXCHANGE needs it")
{
    make_tree();
    CHECK_ERRNO(SYS(renameat2, AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), EEXIST);
    CHECK_ERRNO(SYS(renameat2, AT_FDCWD, "a", AT_FDCWD, "c", RENAME_EXCHANGE), ENOENT);
    CHECK_ERRNO(SYS(renameat2, AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE | RENAME_NOREPLACE),
                EINVAL);
    CHECK_ERRNO(SYS(renameat2, AT_FDCWD, "a", AT_FDCWD, "c", 0x100), EINVAL);
    CHECK_ERRNO(SYS(renameat2, CELLA_NO_FD, "a", AT_FDCWD, "c", 0), EBADF);
    cella_check_file("a", "a", 1);
    cella_check_file("b", "b", 1);
}

TEST(renameat2, limit, "a directory does not go below itself by exchange; names of 256 characters")
{
    make_tree();
    CHECK_OK(mkdir("d/sub", 0755));
    CHECK_ERRNO(SYS(renameat2, AT_FDCWD, "d", AT_FDCWD, "d/sub", RENAME_EXCHANGE), EINVAL);
    CHECK_ERRNO(SYS(renameat2, AT_FDCWD, "d/sub", AT_FDCWD, "d", RENAME_EXCHANGE), EINVAL);
    CHECK_ERRNO(SYS(renameat2, AT_FDCWD, "a", AT_FDCWD, cella_name(256), 0), ENAMETOOLONG);
    CHECK(exists("d/sub"));
}

TEST(link, success, "gives a file a second name; the content is one")
{
    make_tree();
    CHECK_EQ(SYS(link, "a", "d/hard"), 0);
    CHECK(stat_of("a").st_ino == stat_of("d/hard").st_ino);
    CHECK_EQ(stat_of("a").st_nlink, 2);
    cella_put_file("d/hard", "new", 3);
    cella_check_file("a", "new", 3);
    CHECK_OK(unlink("a"));
    CHECK_EQ(stat_of("d/hard").st_nlink, 1);
}

TEST(link, success, "links a symbolic link itself")
{
    make_tree();
    CHECK_OK(symlink("nowhere", "x"));
    CHECK_EQ(SYS(link, "x", "y"), 0);
    CHECK(S_ISLNK(stat_of("y").st_mode) && stat_of("y").st_ino == stat_of("x").st_ino);
}

TEST(link, error, "what is there, missing, a directory, forbidden, or bad memory")
{
    make_tree();
    CHECK_ERRNO(SYS(link, "a", "b"), EEXIST);
    CHECK_ERRNO(SYS(link, "d", "c"), EPERM);
    CHECK_ERRNO(SYS(link, "missing", "c"), ENOENT);
    CHECK_ERRNO(SYS(link, "a", "missing/c"), ENOENT);
    CHECK_ERRNO(SYS(link, "a", "b/c"), ENOTDIR);
    CHECK_ERRNO(SYS(link, "a", ""), ENOENT);
    CHECK_ERRNO(SYS(link, cella_bad_address(), "c"), EFAULT);
    cella_drop_root();
    cella_put_file("own", "", 0);
    CHECK_OK(mkdir("shut", 0500));
    CHECK_ERRNO(SYS(link, "own", "shut/own"), EACCES);
}

TEST(link, limit, "names of 255 and paths of 4095 characters are the longest")
{
    make_tree();
    CHECK_ERRNO(SYS(link, "a", cella_name(256)), ENAMETOOLONG);
    CHECK_EQ(SYS(link, "a", cella_name(255)), 0);
    CHECK_EQ(SYS(link, "a", cella_path("c", CELLA_PATH_LONGEST)), 0);
    CHECK_ERRNO(SYS(link, "a", cella_path("g", CELLA_PATH_LONGEST + 1)), ENAMETOOLONG);
    CHECK_EQ(stat_of("a").st_nlink, 3);
}

TEST(linkat, success, "starts at the directories given; AT_SYMLINK_FOLLOW follows a last link")
{
    make_tree();
    CHECK_OK(symlink("a", "l"));
    int d = cella_open("d", O_RDONLY), e = cella_open("e", O_RDONLY);
    CHECK_EQ(SYS(linkat, d, "f", e, "g", 0), 0);
    CHECK(stat_of("d/f").st_ino == stat_of("e/g").st_ino);
    CHECK_EQ(SYS(linkat, AT_FDCWD, "l", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW), 0);
    CHECK(stat_of("followed").st_ino == stat_of("a").st_ino);
    CHECK_EQ(SYS(linkat, AT_FDCWD, "l", AT_FDCWD, "itself", 0), 0);
    CHECK(S_ISLNK(stat_of("itself").st_mode));
}

TEST(linkat, error, "a start that is closed or no directory, unknown flags, what is there")
{
    make_tree();
    CHECK_ERRNO(SYS(linkat, CELLA_NO_FD, "a", AT_FDCWD, "c", 0), EBADF);
    CHECK_ERRNO(SYS(linkat, AT_FDCWD, "a", CELLA_NO_FD, "c", 0), EBADF);
    CHECK_ERRNO(SYS(linkat, cella_open("a", O_RDONLY), "a", AT_FDCWD, "c", 0), ENOTDIR);
    CHECK_ERRNO(SYS(linkat, AT_FDCWD, "a", AT_FDCWD, "c", 0x40000), EINVAL);
    CHECK_ERRNO(SYS(linkat, AT_FDCWD, "a", AT_FDCWD, "b", 0), EEXIST);
    CHECK_ERRNO(SYS(linkat, AT_FDCWD, "", AT_FDCWD, "c", 0), ENOENT);
}

TEST(linkat, limit, "a file whose last name is gone cannot be named again; names of 256 characters")
{
    char proc[64];
    make_tree();
    snprintf(proc, sizeof(proc), "/proc/self/fd/%d", cella_open("a", O_RDONLY));
    CHECK_EQ(SYS(linkat, AT_FDCWD, proc, AT_FDCWD, "c", AT_SYMLINK_FOLLOW), 0);
    CHECK_OK(unlink("a"));
    CHECK_OK(unlink("c"));
    CHECK_ERRNO(SYS(linkat, AT_FDCWD, proc, AT_FDCWD, "c", AT_SYMLINK_FOLLOW), ENOENT);
    CHECK_ERRNO(SYS(linkat, AT_FDCWD, "b", AT_FDCWD, cella_name(256), 0), ENAMETOOLONG);
}

static void check_link(const char *path, const char *target)
{
    char buf[8192];
    ssize_t n = SYS(readlink, path, buf, sizeof(buf));
    CHECK_EQ(n, strlen(target));
    CHECK(!memcmp(buf, target, (size_t)n));
}

TEST(symlink, success, "keeps its target as given and leads to it relative to where it stands")
{
    make_tree();
    CHECK_EQ(SYS(symlink, "../a", "d/up"), 0);
    check_link("d/up", "../a");
    cella_check_file("d/up", "a", 1);
    CHECK_EQ(SYS(symlink, "//no/./where/..", "x"), 0);
    check_link("x", "//no/./where/..");
    CHECK_EQ(SYS(symlink, "d", "ld"), 0);
    cella_check_file("ld/f", "f", 1);
}

TEST(symlink, error, "what is there, an empty target or name, a missing way, forbidden, bad memory")
{
    make_tree();
    CHECK_OK(symlink("nowhere", "x"));
    CHECK_ERRNO(SYS(symlink, "a", "b"), EEXIST);
    CHECK_ERRNO(SYS(symlink, "a", "x"), EEXIST);
    CHECK_ERRNO(SYS(symlink, "", "c"), ENOENT);
    CHECK_ERRNO(SYS(symlink, "a", ""), ENOENT);
    CHECK_ERRNO(SYS(symlink, "a", "missing/c"), ENOENT);
    CHECK_ERRNO(SYS(symlink, "a", "b/c"), ENOTDIR);
    CHECK_ERRNO(SYS(symlink, "a", "c/"), ENOENT);
    CHECK_ERRNO(SYS(symlink, cella_bad_address(), "c"), EFAULT);
    cella_drop_root();
    CHECK_OK(mkdir("shut", 0500));
    CHECK_ERRNO(SYS(symlink, "a", "shut/c"), EACCES);
}

TEST(symlink, limit, "40 links on the way are followed, 41 are a loop")
{
    char from[16], to[16] = "a";
    make_tree();
    for (int i = 1; i <= 41; i++) {
        snprintf(from, sizeof(from), "l%d", i);
        CHECK_EQ(SYS(symlink, to, from), 0);
        strcpy(to, from);
    }
    cella_check_file("l40", "a", 1);
    CHECK_ERRNO(open("l41", O_RDONLY), ELOOP);
}

TEST(symlink, limit, "targets of 4095 and names of 255 characters are the longest")
{
    make_tree();
    CHECK_EQ(SYS(symlink, cella_path("a", CELLA_PATH_LONGEST), "c"), 0);
    cella_check_file("c", "a", 1);
    CHECK_EQ(stat_of("c").st_size, CELLA_PATH_LONGEST);
    CHECK_ERRNO(SYS(symlink, cella_path("a", CELLA_PATH_LONGEST + 1), "g"), ENAMETOOLONG);
    CHECK_ERRNO(SYS(symlink, "a", cella_name(256)), ENAMETOOLONG);
}

TEST(symlinkat, success, "starts at the directory given")
{
    make_tree();
    CHECK_EQ(SYS(symlinkat, "f", cella_open("d", O_RDONLY), "l"), 0);
    cella_check_file("d/l", "f", 1);
    CHECK_EQ(SYS(symlinkat, "a", AT_FDCWD, "l"), 0);
    check_link("l", "a");
}

TEST(symlinkat, error, "a start that is closed or no directory; what is there")
{
    make_tree();
    CHECK_ERRNO(SYS(symlinkat, "a", CELLA_NO_FD, "l"), EBADF);
    CHECK_ERRNO(SYS(symlinkat, "a", cella_open("a", O_RDONLY), "l"), ENOTDIR);
    CHECK_ERRNO(SYS(symlinkat, "a", AT_FDCWD, "b"), EEXIST);
    CHECK_ERRNO(SYS(symlinkat, "", AT_FDCWD, "l"), ENOENT);
}

TEST(symlinkat, limit, "targets of 4095 and names of 255 characters are the longest")
{
    make_tree();
    CHECK_EQ(SYS(symlinkat, "a", AT_FDCWD, cella_name(255)), 0);
    CHECK_ERRNO(SYS(symlinkat, "a", AT_FDCWD, cella_name(256)), ENAMETOOLONG);
    CHECK_ERRNO(SYS(symlinkat, cella_path("a", CELLA_PATH_LONGEST + 1), AT_FDCWD, "g"),
                ENAMETOOLONG);
}

TEST(readlink, success, "writes the target without a NUL")
{
    char buf[16];
    make_tree();
    CHECK_OK(symlink("target", "l"));
    memset(buf, '#', sizeof(buf));
    CHECK_EQ(SYS(readlink, "l", buf, sizeof(buf)), 6);
    CHECK(!memcmp(buf, "target##", 8));
}

TEST(readlink, success, "tells what the links of /proc lead to")
{
    char buf[4096], proc[64], wanted[4096];
    make_tree();
    snprintf(wanted, sizeof(wanted), "%s/a", cella_scratch());
    snprintf(proc, sizeof(proc), "/proc/self/fd/%d", cella_open("a", O_RDONLY));
    CHECK_EQ(SYS(readlink, proc, buf, sizeof(buf)), strlen(wanted));
    CHECK(!memcmp(buf, wanted, strlen(wanted)));
}

TEST(readlink, error, "no link, missing, no room at all, forbidden, bad memory")
{
    char buf[16];
    make_tree();
    cella_drop_root();
    CHECK_OK(symlink("a", "l"));
    CHECK_OK(mkdir("shut", 0755));
    CHECK_OK(symlink("a", "shut/l"));
    CHECK_OK(chmod("shut", 0600));
    CHECK_ERRNO(SYS(readlink, "a", buf, sizeof(buf)), EINVAL);
    CHECK_ERRNO(SYS(readlink, "d", buf, sizeof(buf)), EINVAL);
    CHECK_ERRNO(SYS(readlink, "missing", buf, sizeof(buf)), ENOENT);
    CHECK_ERRNO(SYS(readlink, "l", buf, 0), EINVAL);
    CHECK_ERRNO(SYS(readlink, "l", buf, -1L), EINVAL);
    CHECK_ERRNO(SYS(readlink, "shut/l", buf, sizeof(buf)), EACCES);
    CHECK_ERRNO(SYS(readlink, "l", cella_bad_address(), sizeof(buf)), EFAULT);
}

TEST(readlink, limit, "a short buffer gets the start, and the longest target comes whole")
{
    char buf[8192] = "####";
    make_tree();
    CHECK_OK(symlink("target", "l"));
    CHECK_EQ(SYS(readlink, "l", buf, 3), 3);
    CHECK(!memcmp(buf, "tar#", 4));
    CHECK_OK(symlink(cella_name(CELLA_PATH_LONGEST), "long"));
    CHECK_EQ(SYS(readlink, "long", buf, sizeof(buf)), CELLA_PATH_LONGEST);
    CHECK_ERRNO(SYS(readlink, cella_name(256), buf, 3), ENAMETOOLONG);
}

TEST(readlinkat, success, "starts at the directory given; an empty path means an open link")
{
    char buf[16];
    make_tree();
    CHECK_OK(symlink("target", "d/l"));
    CHECK_EQ(SYS(readlinkat, cella_open("d", O_RDONLY), "l", buf, sizeof(buf)), 6);
    CHECK(!memcmp(buf, "target", 6));
    CHECK_EQ(SYS(readlinkat, AT_FDCWD, "d/l", buf, sizeof(buf)), 6);
    CHECK_EQ(SYS(readlinkat, cella_open("d/l", O_PATH | O_NOFOLLOW), "", buf, sizeof(buf)), 6);
}

TEST(readlinkat, error, "a start that is closed or no directory; no link; an empty path")
{
    char buf[16];
    make_tree();
    CHECK_ERRNO(SYS(readlinkat, CELLA_NO_FD, "l", buf, sizeof(buf)), EBADF);
    CHECK_ERRNO(SYS(readlinkat, cella_open("a", O_RDONLY), "l", buf, sizeof(buf)), ENOTDIR);
    CHECK_ERRNO(SYS(readlinkat, AT_FDCWD, "a", buf, sizeof(buf)), EINVAL);
    CHECK_ERRNO(SYS(readlinkat, cella_open("a", O_PATH), "", buf, sizeof(buf)), ENOENT);
}

TEST(readlinkat, limit, "a short buffer gets the start, no buffer EINVAL")
{
    char buf[16] = "####";
    make_tree();
    CHECK_OK(symlink("target", "l"));
    CHECK_EQ(SYS(readlinkat, AT_FDCWD, "l", buf, 1), 1);
    CHECK(!memcmp(buf, "t###", 4));
    CHECK_ERRNO(SYS(readlinkat, AT_FDCWD, "l", buf, 0), EINVAL);
}

TEST(unlink, success, "removes the name; an open file lives until it is closed")
{
    char c;
    make_tree();
    int fd = cella_open("a", O_RDWR);
    CHECK_EQ(SYS(unlink, "a"), 0);
    CHECK(!exists("a"));
    CHECK_EQ(write(fd, "x", 1), 1);
    CHECK_EQ(pread(fd, &c, 1, 0), 1);
    CHECK_EQ(c, 'x');
    cella_put_file("a", "again", 5);
    cella_check_file("a", "again", 5);
}

TEST(unlink, success, "removes a link and not what it leads to, and a file without any permission")
{
    make_tree();
    CHECK_OK(symlink("a", "l"));
    CHECK_OK(chmod("b", 0));
    CHECK_EQ(SYS(unlink, "l"), 0);
    CHECK_EQ(SYS(unlink, "b"), 0);
    CHECK(exists("a") && !exists("l") && !exists("b"));
}

TEST(unlink, error, "a directory, missing, no directory on the way, forbidden, bad memory")
{
    make_tree();
    cella_drop_root();
    CHECK_ERRNO(SYS(unlink, "d"), EISDIR);
    CHECK_ERRNO(SYS(unlink, "missing"), ENOENT);
    CHECK_ERRNO(SYS(unlink, ""), ENOENT);
    CHECK_ERRNO(SYS(unlink, "a/x"), ENOTDIR);
    CHECK_ERRNO(SYS(unlink, "a/"), ENOTDIR);
    CHECK_ERRNO(SYS(unlink, cella_bad_address()), EFAULT);
    CHECK_OK(mkdir("own", 0755));
    cella_put_file("own/f", "", 0);
    CHECK_OK(chmod("own", 0500));
    CHECK_ERRNO(SYS(unlink, "own/f"), EACCES);
}

TEST(unlink, error, "in a sticky directory another user's file answers EPERM")
{
    if (geteuid() != 0)
        SKIP("needs root to make another user's file");
    make_tree();
    CHECK_OK(mkdir("sticky", 01777));
    CHECK_OK(chmod("sticky", 01777));
    cella_put_file("sticky/f", "", 0);
    cella_drop_root();
    CHECK_ERRNO(SYS(unlink, "sticky/f"), EPERM);
}

TEST(unlink, limit, "names of 255 and paths of 4095 characters are the longest")
{
    make_tree();
    cella_put_file(cella_name(255), "", 0);
    CHECK_EQ(SYS(unlink, cella_name(255)), 0);
    CHECK_ERRNO(SYS(unlink, cella_name(256)), ENAMETOOLONG);
    CHECK_ERRNO(SYS(unlink, cella_path("a", CELLA_PATH_LONGEST + 1)), ENAMETOOLONG);
    CHECK_EQ(SYS(unlink, cella_path("a", CELLA_PATH_LONGEST)), 0);
}

TEST(unlinkat, success, "starts at the directory given; AT_REMOVEDIR removes a directory")
{
    make_tree();
    CHECK_EQ(SYS(unlinkat, cella_open("d", O_RDONLY), "f", 0), 0);
    CHECK_EQ(SYS(unlinkat, AT_FDCWD, "d", AT_REMOVEDIR), 0);
    CHECK_EQ(SYS(unlinkat, AT_FDCWD, "a", 0), 0);
    CHECK(!exists("a") && !exists("d"));
}

TEST(unlinkat, error, "the wrong flag for the kind, unknown flags, a bad start, not empty")
{
    make_tree();
    CHECK_ERRNO(SYS(unlinkat, AT_FDCWD, "d", 0), EISDIR);
    CHECK_ERRNO(SYS(unlinkat, AT_FDCWD, "a", AT_REMOVEDIR), ENOTDIR);
    CHECK_ERRNO(SYS(unlinkat, AT_FDCWD, "d", AT_REMOVEDIR), ENOTEMPTY);
    CHECK_ERRNO(SYS(unlinkat, AT_FDCWD, "a", 0x40000), EINVAL);
    CHECK_ERRNO(SYS(unlinkat, CELLA_NO_FD, "a", 0), EBADF);
    CHECK_ERRNO(SYS(unlinkat, cella_open("a", O_RDONLY), "a", 0), ENOTDIR);
    CHECK(exists("a") && exists("d/f"));
}

TEST(unlinkat, limit, "a name of 256 characters, and . and .. as directories to remove")
{
    make_tree();
    CHECK_ERRNO(SYS(unlinkat, AT_FDCWD, cella_name(256), 0), ENAMETOOLONG);
    CHECK_ERRNO(SYS(unlinkat, AT_FDCWD, "e/.", AT_REMOVEDIR), EINVAL);
    CHECK_ERRNO(SYS(unlinkat, AT_FDCWD, "e/..", AT_REMOVEDIR), ENOTEMPTY);
    CHECK(exists("e"));
}

TEST(mknod, success, "makes FIFOs, files and sockets with the mode less the umask")
{
    cella_scratch();
    umask(027);
    CHECK_EQ(SYS(mknod, "p", S_IFIFO | 0666, 0), 0);
    CHECK_EQ(stat_of("p").st_mode, S_IFIFO | 0640);
    CHECK_EQ(SYS(mknod, "f", S_IFREG | 0600, 0), 0);
    CHECK_EQ(stat_of("f").st_mode, S_IFREG | 0600);
    CHECK_EQ(SYS(mknod, "g", 0600, 0), 0);
    CHECK_EQ(stat_of("g").st_mode, S_IFREG | 0600);
    CHECK_EQ(SYS(mknod, "s", S_IFSOCK | 0600, 0), 0);
    CHECK_EQ(stat_of("s").st_mode, S_IFSOCK | 0600);
}

TEST(mknod, success, "what goes into a FIFO by name comes out of it")
{
    char buf[4];
    cella_scratch();
    CHECK_EQ(SYS(mknod, "p", S_IFIFO | 0600, 0), 0);
    int in = cella_open("p", O_RDONLY | O_NONBLOCK), out = cella_open("p", O_WRONLY);
    CHECK_EQ(write(out, "ab", 2), 2);
    CHECK_EQ(read(in, buf, 4), 2);
    CHECK_ERRNO(read(in, buf, 4), EAGAIN);
    CHECK_OK(close(out));
    CHECK_EQ(read(in, buf, 4), 0);
    CHECK_EQ(cella_file_size("p"), 0);
}

TEST(mknod, error, "devices need a right, directories are not made so, what is there or missing")
{
    cella_scratch();
    cella_drop_root();
    cella_put_file("f", "", 0);
    CHECK_ERRNO(SYS(mknod, "c", S_IFCHR | 0600, makedev(1, 3)), EPERM);
    CHECK_ERRNO(SYS(mknod, "b", S_IFBLK | 0600, makedev(7, 0)), EPERM);
    CHECK_ERRNO(SYS(mknod, "d", S_IFDIR | 0700, 0), EPERM);
    CHECK_ERRNO(SYS(mknod, "l", S_IFLNK | 0700, 0), EINVAL);
    CHECK_ERRNO(SYS(mknod, "f", S_IFIFO | 0600, 0), EEXIST);
    CHECK_ERRNO(SYS(mknod, "missing/p", S_IFIFO | 0600, 0), ENOENT);
    CHECK_ERRNO(SYS(mknod, cella_bad_address(), S_IFIFO | 0600, 0), EFAULT);
}

TEST(mknod, limit, "names of 255 and paths of 4095 characters are the longest")
{
    cella_scratch();
    CHECK_EQ(SYS(mknod, cella_name(255), S_IFIFO | 0600, 0), 0);
    CHECK_ERRNO(SYS(mknod, cella_name(256), S_IFIFO | 0600, 0), ENAMETOOLONG);
    CHECK_EQ(SYS(mknod, cella_path("p", CELLA_PATH_LONGEST), S_IFIFO | 0600, 0), 0);
    CHECK_ERRNO(SYS(mknod, cella_path("q", CELLA_PATH_LONGEST + 1), S_IFIFO | 0600, 0),
                ENAMETOOLONG);
}

TEST(mknodat, success, "starts at the directory given")
{
    make_tree();
    CHECK_EQ(SYS(mknodat, cella_open("d", O_RDONLY), "p", S_IFIFO | 0600, 0), 0);
    CHECK_EQ(stat_of("d/p").st_mode, S_IFIFO | 0600);
    CHECK_EQ(SYS(mknodat, AT_FDCWD, "r", S_IFREG | 0640, 0), 0);
    CHECK_EQ(stat_of("r").st_mode, S_IFREG | 0640);
}

TEST(mknodat, error, "a start that is closed or no directory; what is there")
{
    make_tree();
    CHECK_ERRNO(SYS(mknodat, CELLA_NO_FD, "p", S_IFIFO | 0600, 0), EBADF);
    CHECK_ERRNO(SYS(mknodat, cella_open("a", O_RDONLY), "p", S_IFIFO | 0600, 0), ENOTDIR);
    CHECK_ERRNO(SYS(mknodat, AT_FDCWD, "a", S_IFIFO | 0600, 0), EEXIST);
    CHECK_ERRNO(SYS(mknodat, AT_FDCWD, "p", 0170000, 0), EINVAL);
}

TEST(mknodat, limit, "a name of 256 characters, and a directory that was removed")
{
    make_tree();
    int e = cella_open("e", O_RDONLY);
    CHECK_ERRNO(SYS(mknodat, e, cella_name(256), S_IFIFO | 0600, 0), ENAMETOOLONG);
    CHECK_OK(rmdir("e"));
    CHECK_ERRNO(SYS(mknodat, e, "p", S_IFIFO | 0600, 0), ENOENT);
}

TEST_MAIN()
