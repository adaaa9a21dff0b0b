/* SPDX-License-Identifier: Apache-2.0 */
/* getdents, getdents64, getcwd, chdir, fchdir, mkdir, mkdirat, rmdir, chroot, mount, umount2. */
#include "cella_file.h"

#include <dirent.h>
#include <limits.h>
#include <sys/mount.h>

/* The records of getdents and getdents64. The type of the older one is its last byte. */
struct dirent_old {
    unsigned long ino;
    unsigned long off;
    unsigned short reclen;
    char name[];
};

struct dirent_new {
    uint64_t ino;
    int64_t off;
    unsigned short reclen;
    unsigned char type;
    char name[];
};

#define MANY 300

/* What a listing of a directory with files 0, 1, ... has shown so far. */
struct listing {
    int dots;        /* of . and .. */
    int seen[MANY];  /* how often each file */
    int calls;
    int directories; /* entries of type DT_DIR */
    int files;       /* entries of type DT_REG */
};

static void note_entry(struct listing *listing, const char *name, int type, unsigned long ino)
{
    CHECK(ino != 0);
    listing->directories += type == DT_DIR;
    listing->files += type == DT_REG;
    if (!strcmp(name, ".") || !strcmp(name, "..")) {
        listing->dots++;
        return;
    }
    int number = atoi(name);
    CHECK(number >= 0 && number < MANY);
    listing->seen[number]++;
}

/* Lists the whole directory through a buffer of size bytes. */
static void list(struct listing *listing, int fd, size_t size, bool is_new)
{
    char *buf = malloc(size);
    long n;
    memset(listing, 0, sizeof(*listing));
    while ((n = is_new ? SYS(getdents64, fd, buf, size) : SYS(getdents, fd, buf, size)) > 0) {
        listing->calls++;
        for (long at = 0; at < n;) {
            if (is_new) {
                struct dirent_new *e = (struct dirent_new *)(buf + at);
                CHECK(e->reclen > 0 && e->reclen % 8 == 0 && at + e->reclen <= n);
                note_entry(listing, e->name, e->type, e->ino);
                at += e->reclen;
            } else {
                struct dirent_old *e = (struct dirent_old *)(buf + at);
                CHECK(e->reclen > 0 && e->reclen % 8 == 0 && at + e->reclen <= n);
                note_entry(listing, e->name, buf[at + e->reclen - 1], e->ino);
                at += e->reclen;
            }
        }
    }
    CHECK_EQ(n, 0);
    free(buf);
}

static int make_files(int count)
{
    char name[16];
    cella_scratch();
    CHECK_OK(mkdir("d", 0755));
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "d/%d", i);
        cella_put_file(name, "", 0);
    }
    return cella_open("d", O_RDONLY | O_DIRECTORY);
}

static void check_listing_success(bool is_new)
{
    struct listing listing;
    int fd = make_files(3);
    list(&listing, fd, 4096, is_new);
    CHECK(listing.dots == 2 && listing.directories == 2 && listing.files == 3);
    CHECK(listing.seen[0] == 1 && listing.seen[1] == 1 && listing.seen[2] == 1);
    list(&listing, fd, 4096, is_new);
    CHECK_EQ(listing.calls, 0);
    CHECK_OK(unlink("d/1"));
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    list(&listing, fd, 4096, is_new);
    CHECK(listing.seen[0] == 1 && listing.seen[1] == 0 && listing.seen[2] == 1);
}

static void check_listing_error(long call)
{
    char buf[4096];
    int fd = make_files(1);
    CHECK_ERRNO(syscall(call, CELLA_NO_FD, buf, sizeof(buf)), EBADF);
    CHECK_ERRNO(syscall(call, cella_open("d", O_PATH), buf, sizeof(buf)), EBADF);
    CHECK_ERRNO(syscall(call, cella_open("d/0", O_RDONLY), buf, sizeof(buf)), ENOTDIR);
    CHECK_ERRNO(syscall(call, fd, cella_bad_address(), sizeof(buf)), EFAULT);
    CHECK_OK(unlink("d/0"));
    CHECK_OK(rmdir("d"));
    CHECK_ERRNO(syscall(call, fd, buf, sizeof(buf)), ENOENT);
}

static void check_listing_limit(bool is_new)
{
    struct listing listing;
    char buf[8];
    int fd = make_files(MANY);
    if (is_new)
        CHECK_ERRNO(SYS(getdents64, fd, buf, sizeof(buf)), EINVAL);
    else
        CHECK_ERRNO(SYS(getdents, fd, buf, sizeof(buf)), EINVAL);
    list(&listing, fd, 100, is_new);
    CHECK(listing.calls > MANY / 4);
    CHECK_EQ(listing.dots, 2);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(listing.seen[i], 1);
}

TEST(getdents, success, "lists every entry with its type, and again from the start")
{
    check_listing_success(false);
}

TEST(getdents, error, "closed, no directory, bad memory, removed directory")
{
    check_listing_error(SYS_getdents);
}

TEST(getdents, limit, "a small buffer shows each of 300 files once; one too small is refused")
{
    check_listing_limit(false);
}

TEST(getdents64, success, "lists every entry with its type, and again from the start")
{
    check_listing_success(true);
}

TEST(getdents64, error, "closed, no directory, bad memory, removed directory")
{
    check_listing_error(SYS_getdents64);
}

TEST(getdents64, limit, "a small buffer shows each of 300 files once; one too small is refused")
{
    check_listing_limit(true);
}

TEST(getdents64, limit, "removing what was listed loses none of the rest")
{
    char buf[256], name[32];
    long n;
    int removed = 0, fd = make_files(MANY);
    while ((n = SYS(getdents64, fd, buf, sizeof(buf))) > 0)
        for (long at = 0; at < n;) {
            struct dirent_new *e = (struct dirent_new *)(buf + at);
            at += e->reclen;
            if (e->name[0] == '.')
                continue;
            snprintf(name, sizeof(name), "d/%.20s", e->name);
            CHECK_OK(unlink(name));
            removed++;
        }
    CHECK_EQ(n, 0);
    CHECK_EQ(removed, MANY);
    CHECK_OK(rmdir("d"));
}

TEST(getcwd, success, "tells the absolute path and its length with the NUL")
{
    char buf[4096], wanted[4096];
    const char *scratch = cella_scratch();
    CHECK_EQ(SYS(getcwd, buf, sizeof(buf)), strlen(scratch) + 1);
    CHECK_STR(buf, scratch);
    CHECK_OK(mkdir("a", 0755));
    CHECK_OK(mkdir("a/b", 0755));
    CHECK_OK(symlink("a/b", "l"));
    CHECK_OK(chdir("l"));
    CHECK_OK(SYS(getcwd, buf, sizeof(buf)));
    snprintf(wanted, sizeof(wanted), "%s/a/b", scratch);
    CHECK_STR(buf, wanted);
    CHECK_OK(rename("../../a", "../../c"));
    CHECK_OK(SYS(getcwd, buf, sizeof(buf)));
    snprintf(wanted, sizeof(wanted), "%s/c/b", scratch);
    CHECK_STR(buf, wanted);
    CHECK_OK(chdir("/"));
    CHECK_EQ(SYS(getcwd, buf, sizeof(buf)), 2);
    CHECK_STR(buf, "/");
}

TEST(getcwd, error, "bad memory, and a directory that was removed")
{
    char buf[4096];
    cella_scratch();
    CHECK_ERRNO(SYS(getcwd, cella_bad_address(), 4096), EFAULT);
    CHECK_OK(mkdir("d", 0755));
    CHECK_OK(chdir("d"));
    CHECK_OK(rmdir("../d"));
    CHECK_ERRNO(SYS(getcwd, buf, sizeof(buf)), ENOENT);
}

TEST(getcwd, limit, "a buffer of just the length does, one byte less answers ERANGE")
{
    char buf[4096];
    size_t len = strlen(cella_scratch()) + 1;
    CHECK_EQ(SYS(getcwd, buf, len), len);
    CHECK_ERRNO(SYS(getcwd, buf, len - 1), ERANGE);
    CHECK_ERRNO(SYS(getcwd, buf, 0), ERANGE);
}

TEST(chdir, success, "moves the start of relative paths, also through links and ..")
{
    cella_scratch();
    CHECK_OK(mkdir("d", 0755));
    cella_put_file("d/f", "", 0);
    CHECK_OK(symlink("d", "l"));
    CHECK_EQ(SYS(chdir, "l"), 0);
    CHECK_OK(access("f", F_OK));
    CHECK_EQ(SYS(chdir, ".."), 0);
    CHECK_OK(access("d/f", F_OK));
}

TEST(chdir, error, "what is missing, no directory, forbidden, or bad memory")
{
    cella_scratch();
    cella_drop_root();
    cella_put_file("f", "", 0);
    CHECK_OK(mkdir("d", 0600));
    CHECK_ERRNO(SYS(chdir, "missing"), ENOENT);
    CHECK_ERRNO(SYS(chdir, ""), ENOENT);
    CHECK_ERRNO(SYS(chdir, "f"), ENOTDIR);
    CHECK_ERRNO(SYS(chdir, "d"), EACCES);
    CHECK_ERRNO(SYS(chdir, cella_bad_address()), EFAULT);
    CHECK_OK(access("f", F_OK));
}

TEST(chdir, limit, "names of 255 and paths of 4095 characters are the longest")
{
    cella_scratch();
    CHECK_OK(mkdir(cella_name(255), 0755));
    CHECK_ERRNO(SYS(chdir, cella_path(".", CELLA_PATH_LONGEST + 1)), ENAMETOOLONG);
    CHECK_EQ(SYS(chdir, cella_path(".", CELLA_PATH_LONGEST)), 0);
    CHECK_ERRNO(SYS(chdir, cella_name(256)), ENAMETOOLONG);
    CHECK_EQ(SYS(chdir, cella_name(255)), 0);
}

TEST(fchdir, success, "moves to an open directory, also one opened as a path only")
{
    cella_scratch();
    CHECK_OK(mkdir("d", 0755));
    cella_put_file("d/f", "", 0);
    int here = cella_open(".", O_RDONLY);
    CHECK_EQ(SYS(fchdir, cella_open("d", O_PATH)), 0);
    CHECK_OK(access("f", F_OK));
    CHECK_EQ(SYS(fchdir, here), 0);
    CHECK_OK(access("d/f", F_OK));
}

TEST(fchdir, error, "closed descriptor, no directory")
{
    int fd[2];
    cella_scratch();
    cella_put_file("f", "", 0);
    cella_pipe(fd);
    CHECK_ERRNO(SYS(fchdir, CELLA_NO_FD), EBADF);
    CHECK_ERRNO(SYS(fchdir, cella_open("f", O_RDONLY)), ENOTDIR);
    CHECK_ERRNO(SYS(fchdir, fd[0]), ENOTDIR);
}

TEST(fchdir, limit, "permission is checked now; a removed directory can be entered, not used")
{
    cella_scratch();
    cella_drop_root();
    CHECK_OK(mkdir("d", 0700));
    int fd = cella_open("d", O_RDONLY);
    CHECK_OK(chmod("d", 0600));
    CHECK_ERRNO(SYS(fchdir, fd), EACCES);
    CHECK_OK(chmod("d", 0700));
    CHECK_OK(rmdir("d"));
    CHECK_EQ(SYS(fchdir, fd), 0);
    CHECK_ERRNO(open("f", O_WRONLY | O_CREAT, 0644), ENOENT);
}

static mode_t mode_of(const char *path)
{
    struct stat st;
    CHECK_OK(lstat(path, &st));
    return st.st_mode;
}

TEST(mkdir, success, "makes a directory with the mode less the umask")
{
    struct stat st;
    cella_scratch();
    umask(027);
    CHECK_EQ(SYS(mkdir, "d", 01777), 0);
    CHECK_EQ(mode_of("d"), S_IFDIR | 01750);
    CHECK_OK(stat("d", &st));
    CHECK(st.st_uid == geteuid());
    CHECK_EQ(SYS(mkdir, "d/e/", 0700), 0);
    CHECK_EQ(mode_of("d/e"), S_IFDIR | 0700);
}

TEST(mkdir, error, "what is there, a missing way, a file on the way, a forbidden place")
{
    cella_scratch();
    cella_drop_root();
    cella_put_file("f", "", 0);
    CHECK_OK(symlink("nowhere", "x"));
    CHECK_OK(mkdir("d", 0500));
    CHECK_ERRNO(SYS(mkdir, "f", 0755), EEXIST);
    CHECK_ERRNO(SYS(mkdir, "x", 0755), EEXIST);
    CHECK_ERRNO(SYS(mkdir, ".", 0755), EEXIST);
    CHECK_ERRNO(SYS(mkdir, "missing/d", 0755), ENOENT);
    CHECK_ERRNO(SYS(mkdir, "", 0755), ENOENT);
    CHECK_ERRNO(SYS(mkdir, "f/d", 0755), ENOTDIR);
    CHECK_ERRNO(SYS(mkdir, "d/e", 0755), EACCES);
    CHECK_ERRNO(SYS(mkdir, cella_bad_address(), 0755), EFAULT);
}

TEST(mkdir, limit, "names of 255 and paths of 4095 characters are the longest")
{
    cella_scratch();
    CHECK_EQ(SYS(mkdir, cella_name(255), 0755), 0);
    CHECK_ERRNO(SYS(mkdir, cella_name(256), 0755), ENAMETOOLONG);
    CHECK_EQ(SYS(mkdir, cella_path("d", CELLA_PATH_LONGEST), 0755), 0);
    CHECK_ERRNO(SYS(mkdir, cella_path("e", CELLA_PATH_LONGEST + 1), 0755), ENAMETOOLONG);
}

TEST(mkdirat, success, "starts at the directory given")
{
    cella_scratch();
    CHECK_OK(mkdir("d", 0755));
    CHECK_EQ(SYS(mkdirat, cella_open("d", O_RDONLY), "e", 0711), 0);
    CHECK_EQ(mode_of("d/e"), S_IFDIR | 0711);
    CHECK_EQ(SYS(mkdirat, AT_FDCWD, "f", 0700), 0);
}

TEST(mkdirat, error, "a start that is closed or no directory; what is there")
{
    cella_scratch();
    cella_put_file("f", "", 0);
    CHECK_ERRNO(SYS(mkdirat, CELLA_NO_FD, "d", 0755), EBADF);
    CHECK_ERRNO(SYS(mkdirat, cella_open("f", O_RDONLY), "d", 0755), ENOTDIR);
    CHECK_ERRNO(SYS(mkdirat, AT_FDCWD, "f", 0755), EEXIST);
}

TEST(mkdirat, limit, "a name of 256 characters, and a directory that was removed")
{
    cella_scratch();
    CHECK_OK(mkdir("d", 0755));
    int dir = cella_open("d", O_RDONLY);
    CHECK_ERRNO(SYS(mkdirat, dir, cella_name(256), 0755), ENAMETOOLONG);
    CHECK_EQ(SYS(mkdirat, dir, cella_name(255), 0755), 0);
    CHECK_OK(unlinkat(dir, cella_name(255), AT_REMOVEDIR));
    CHECK_OK(rmdir("d"));
    CHECK_ERRNO(SYS(mkdirat, dir, "e", 0755), ENOENT);
}

TEST(rmdir, success, "removes an empty directory, even the current one")
{
    cella_scratch();
    CHECK_OK(mkdir("d", 0755));
    CHECK_OK(mkdir("d/e", 0));
    CHECK_EQ(SYS(rmdir, "d/e/"), 0);
    CHECK_OK(chdir("d"));
    CHECK_EQ(SYS(rmdir, "../d"), 0);
    CHECK_ERRNO(access("../d", F_OK), ENOENT);
}

TEST(rmdir, error, "not empty, no directory, missing, a dot at the end, a forbidden place")
{
    cella_scratch();
    cella_drop_root();
    CHECK_OK(mkdir("d", 0755));
    CHECK_OK(mkdir("d/e", 0755));
    CHECK_OK(symlink("d/e", "l"));
    cella_put_file("f", "", 0);
    CHECK_ERRNO(SYS(rmdir, "d"), ENOTEMPTY);
    CHECK_ERRNO(SYS(rmdir, "d/e/.."), ENOTEMPTY);
    CHECK_ERRNO(SYS(rmdir, "d/e/."), EINVAL);
    CHECK_ERRNO(SYS(rmdir, "f"), ENOTDIR);
    CHECK_ERRNO(SYS(rmdir, "l"), ENOTDIR);
    CHECK_ERRNO(SYS(rmdir, "missing"), ENOENT);
    CHECK_ERRNO(SYS(rmdir, "/"), EBUSY);
    CHECK_OK(chmod("d", 0500));
    CHECK_ERRNO(SYS(rmdir, "d/e"), EACCES);
}

TEST(rmdir, limit, "names of 255 and paths of 4095 characters are the longest")
{
    cella_scratch();
    CHECK_OK(mkdir("d", 0755));
    CHECK_ERRNO(SYS(rmdir, cella_name(255)), ENOENT);
    CHECK_ERRNO(SYS(rmdir, cella_name(256)), ENAMETOOLONG);
    CHECK_ERRNO(SYS(rmdir, cella_path("d", CELLA_PATH_LONGEST + 1)), ENAMETOOLONG);
    CHECK_EQ(SYS(rmdir, cella_path("d", CELLA_PATH_LONGEST)), 0);
}

TEST(chroot, success, "makes a directory the root, which .. cannot leave")
{
    if (geteuid() != 0)
        SKIP("needs root");
    cella_scratch();
    CHECK_OK(mkdir("d", 0755));
    cella_put_file("d/f", "", 0);
    CHECK_EQ(SYS(chroot, "d"), 0);
    CHECK_OK(chdir("/"));
    CHECK_OK(access("/f", F_OK));
    CHECK_OK(access("../../f", F_OK));
    CHECK_ERRNO(access("/d/f", F_OK), ENOENT);
}

TEST(chroot, error, "missing, no directory, and EPERM without the right to")
{
    cella_scratch();
    cella_drop_root();
    CHECK_OK(mkdir("d", 0755));
    cella_put_file("f", "", 0);
    CHECK_ERRNO(SYS(chroot, "d"), EPERM);
    CHECK_ERRNO(SYS(chroot, "missing"), ENOENT);
    CHECK_ERRNO(SYS(chroot, "f"), ENOTDIR);
    CHECK_ERRNO(SYS(chroot, cella_bad_address()), EFAULT);
}

TEST(chroot, limit, "names of 255 and paths of 4095 characters are the longest")
{
    cella_scratch();
    cella_drop_root();
    CHECK_ERRNO(SYS(chroot, cella_name(256)), ENAMETOOLONG);
    CHECK_ERRNO(SYS(chroot, cella_path(".", CELLA_PATH_LONGEST)), EPERM);
    CHECK_ERRNO(SYS(chroot, cella_path(".", CELLA_PATH_LONGEST + 1)), ENAMETOOLONG);
}

TEST(mount, error, "EPERM without the right to, and the arguments are looked at first")
{
    cella_scratch();
    cella_drop_root();
    CHECK_OK(mkdir("d", 0755));
    CHECK_ERRNO(SYS(mount, "none", "d", "tmpfs", 0L, NULL), EPERM);
    CHECK_ERRNO(SYS(mount, "d", "d", NULL, MS_BIND, NULL), EPERM);
    CHECK_ERRNO(SYS(mount, "none", "missing", "tmpfs", 0L, NULL), ENOENT);
    CHECK_ERRNO(SYS(mount, "none", "d", cella_bad_address(), 0L, NULL), EFAULT);
    CHECK_ERRNO(SYS(mount, "none", cella_bad_address(), "tmpfs", 0L, NULL), EFAULT);
}

TEST(mount, limit, "a type of more than a page answers EINVAL, a longer path ENAMETOOLONG")
{
    cella_scratch();
    cella_drop_root();
    CHECK_ERRNO(SYS(mount, "none", ".", cella_name(4096), 0L, NULL), EINVAL);
    CHECK_ERRNO(SYS(mount, "none", cella_path(".", CELLA_PATH_LONGEST + 1), "tmpfs", 0L, NULL),
                ENAMETOOLONG);
}

TEST(umount2, error, "EPERM without the right to, EINVAL for unknown flags, ENOENT")
{
    cella_scratch();
    cella_drop_root();
    CHECK_OK(mkdir("d", 0755));
    CHECK_ERRNO(SYS(umount2, "d", 0), EPERM);
    CHECK_ERRNO(SYS(umount2, "d", 0x4000), EINVAL);
    CHECK_ERRNO(SYS(umount2, "missing", 0), ENOENT);
    CHECK_ERRNO(SYS(umount2, cella_bad_address(), 0), EFAULT);
}

TEST(umount2, limit, "names of 255 and paths of 4095 characters are the longest")
{
    cella_scratch();
    cella_drop_root();
    CHECK_ERRNO(SYS(umount2, cella_name(256), 0), ENAMETOOLONG);
    CHECK_ERRNO(SYS(umount2, cella_path(".", CELLA_PATH_LONGEST), 0), EPERM);
    CHECK_ERRNO(SYS(umount2, cella_path(".", CELLA_PATH_LONGEST + 1), 0), ENAMETOOLONG);
}

TEST_MAIN()
