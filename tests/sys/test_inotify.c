/* SPDX-License-Identifier: Apache-2.0 */
/* inotify: inotify_init, inotify_init1, inotify_add_watch, inotify_rm_watch. */
#include "cella_file.h"

#include <poll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/xattr.h>

static int instance(int flags)
{
    int fd = (int)SYS(inotify_init1, flags);
    CHECK(fd >= 0);
    return fd;
}

static int watch(int fd, const char *path, uint32_t mask)
{
    int wd = (int)SYS(inotify_add_watch, fd, path, mask);
    CHECK(wd >= 0);
    return wd;
}

static const struct {
    uint32_t bit;
    const char *name;
} names[] = {
    {IN_ACCESS, "access"},           {IN_MODIFY, "modify"},
    {IN_ATTRIB, "attrib"},           {IN_CLOSE_WRITE, "close_write"},
    {IN_CLOSE_NOWRITE, "close"},     {IN_OPEN, "open"},
    {IN_MOVED_FROM, "from"},         {IN_MOVED_TO, "to"},
    {IN_CREATE, "create"},           {IN_DELETE, "delete"},
    {IN_DELETE_SELF, "delete_self"}, {IN_MOVE_SELF, "move_self"},
    {IN_IGNORED, "ignored"},         {IN_Q_OVERFLOW, "overflow"},
    {IN_UNMOUNT, "unmount"},         {IN_ISDIR, "dir"},
};

/* What there is to be read now, as "WD:EVENT+EVENT(NAME) ...". */
static const char *events(int fd)
{
    static char text[8192];
    char buf[8192] __attribute__((aligned(8)));
    size_t at = 0;
    ssize_t n;
    text[0] = 0;
    cella_set_nonblocking(fd, true);
    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        for (char *p = buf; p < buf + n;) {
            struct inotify_event *e = (struct inotify_event *)(void *)p;
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%d:", at ? " " : "", e->wd);
            uint32_t left = e->mask;
            for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                if (left & names[i].bit) {
                    at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s",
                                           left == e->mask ? "" : "+", names[i].name);
                    left &= ~names[i].bit;
                }
            CHECK_EQ(left, 0);
            CHECK(e->len % sizeof(*e) == 0);
            if (e->len)
                at += (size_t)snprintf(text + at, sizeof(text) - at, "(%s)", e->name);
            p += sizeof(*e) + e->len;
        }
    }
    CHECK(n == -1 && errno == EAGAIN);
    return text;
}

TEST(inotify_init, success, "makes a blocking descriptor that nothing is to be read from")
{
    int fd = (int)SYS(inotify_init);
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), 0);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    CHECK_STR(events(fd), "");
}

TEST(inotify_init, error, "it cannot be written to, and has no position")
{
    int fd = (int)SYS(inotify_init);
    CHECK_ERRNO(write(fd, "x", 1), EBADF);
    CHECK_EQ(lseek(fd, 5, SEEK_SET), 0);
    CHECK_ERRNO(fsync(fd), EINVAL);
}

TEST(inotify_init, limit, "RLIMIT_NOFILE answers EMFILE")
{
    cella_limit_fds(0);
    CHECK_ERRNO(SYS(inotify_init), EMFILE);
}

TEST(inotify_init1, success, "the flags are the descriptor's")
{
    int fd = instance(IN_NONBLOCK | IN_CLOEXEC);
    char c[64];
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(read(fd, c, sizeof(c)), EAGAIN);
}

TEST(inotify_init1, error, "unknown flags EINVAL")
{
    CHECK_ERRNO(SYS(inotify_init1, 1), EINVAL);
}

TEST(inotify_init1, interruption, "a signal ends a blocked read with EINTR")
{
    int fd = instance(0);
    char c[64];
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(read(fd, c, sizeof(c)), EINTR);
    cella_ticks_stop();
}

TEST(inotify_add_watch, success, "a file's life in a watched directory")
{
    cella_scratch();
    int fd = instance(0);
    CHECK_EQ(watch(fd, ".", IN_ALL_EVENTS), 1);
    int file = cella_open("a", O_RDWR | O_CREAT);
    CHECK_EQ(write(file, "abc", 3), 3);
    CHECK_EQ(write(file, "def", 3), 3); /* the same again: one event */
    char c;
    CHECK_EQ(pread(file, &c, 1, 0), 1);
    CHECK_EQ(pread(file, &c, 1, 100), 0); /* nothing was read */
    CHECK_OK(fchmod(file, 0600));
    CHECK_OK(ftruncate(file, 1));
    CHECK_OK(close(file));
    CHECK_STR(events(fd), "1:create(a) 1:open(a) 1:modify(a) 1:access(a) 1:attrib(a) 1:modify(a) "
                          "1:close_write(a)");
    CHECK_OK(close(cella_open("a", O_RDONLY)));
    CHECK_OK(close(cella_open("a", O_PATH))); /* is not opened */
    CHECK_STR(events(fd), "1:open(a) 1:close(a)");
    CHECK_OK(close(cella_open("a", O_WRONLY | O_TRUNC)));
    CHECK_OK(truncate("a", 10));
    CHECK_OK(chown("a", (uid_t)-1, (gid_t)getegid()));
    struct timespec both[2] = {{1, 0}, {2, 0}}, one[2] = {{1, 0}, {0, UTIME_OMIT}};
    CHECK_OK(utimensat(AT_FDCWD, "a", both, 0));
    CHECK_OK(utimensat(AT_FDCWD, "a", one, 0));
    CHECK_STR(events(fd), "1:open(a) 1:modify(a) 1:close_write(a) 1:modify(a) 1:attrib(a) "
                          "1:access(a)");
    CHECK_OK(link("a", "b"));
    CHECK_OK(symlink("a", "s"));
    CHECK_OK(mkdir("d", 0755));
    CHECK_OK(mkfifo("f", 0644));
    CHECK_OK(unlink("a"));
    CHECK_OK(rmdir("d"));
    CHECK_STR(events(fd), "1:create(b) 1:create(s) 1:create+dir(d) 1:create(f) 1:delete(a) "
                          "1:delete+dir(d)");
}

TEST(inotify_add_watch, success, "moves have a cookie for both of their names")
{
    cella_scratch();
    CHECK_OK(mkdir("d", 0755));
    CHECK_OK(mkdir("e", 0755));
    cella_put_file("d/a", "", 0);
    cella_put_file("e/b", "", 0);
    int fd = instance(0);
    watch(fd, "d", IN_MOVE);
    watch(fd, "e", IN_MOVE | IN_DELETE);
    watch(fd, "d/a", IN_MOVE_SELF | IN_DELETE_SELF);
    watch(fd, "e/b", IN_ATTRIB | IN_DELETE_SELF);
    CHECK_OK(rename("d/a", "e/a"));
    char buf[512] __attribute__((aligned(8)));
    CHECK_EQ(read(fd, buf, sizeof(buf)), 5 * sizeof(struct inotify_event));
    struct inotify_event *from = (void *)buf, *to = from + 2, *self = from + 4;
    CHECK(from->mask == IN_MOVED_FROM && from->wd == 1 && !strcmp(from->name, "a"));
    CHECK(to->mask == IN_MOVED_TO && to->wd == 2 && !strcmp(to->name, "a"));
    CHECK(from->cookie == to->cookie && from->cookie != 0);
    CHECK(self->mask == IN_MOVE_SELF && self->wd == 3 && self->len == 0 && self->cookie == 0);
    CHECK_OK(rename("e/a", "e/b")); /* over another one */
    CHECK_STR(events(fd), "2:from(a) 2:to(b) 4:attrib 3:move_self 4:delete_self 4:ignored");
    CHECK_OK(mkdir("x", 0755));
    CHECK_OK(rename("x", "d/x"));
    CHECK_STR(events(fd), "1:to+dir(x)");
    CHECK_OK(SYS(renameat2, AT_FDCWD, "d/x", AT_FDCWD, "e/b", 2u /* RENAME_EXCHANGE */));
    CHECK_STR(events(fd), "1:from+dir(x) 2:to+dir(b) 2:from(b) 1:to(x) 3:move_self");
}

TEST(inotify_add_watch, success, "a watched file goes when its last name and use are gone")
{
    cella_scratch();
    cella_put_file("a", "x", 1);
    int fd = instance(0);
    watch(fd, "a", IN_DELETE_SELF | IN_ATTRIB | IN_CLOSE | IN_MODIFY);
    CHECK_OK(link("a", "b"));
    CHECK_OK(unlink("b"));
    int file = cella_open("a", O_RDWR);
    CHECK_OK(unlink("a"));
    CHECK_STR(events(fd), "1:attrib"); /* three that are the same */
    CHECK_EQ(write(file, "y", 1), 1);
    CHECK_OK(close(file));
    CHECK_STR(events(fd), "1:modify 1:close_write 1:delete_self 1:ignored");
    CHECK_ERRNO(SYS(inotify_rm_watch, fd, 1), EINVAL);
    CHECK_OK(mkdir("d", 0755));
    CHECK_EQ(watch(fd, "d", IN_DELETE_SELF), 2);
    CHECK_OK(rmdir("d"));
    CHECK_STR(events(fd), "2:delete_self 2:ignored");
}

TEST(inotify_add_watch, success, "the same file again changes its watch; IN_MASK_ADD adds")
{
    cella_scratch();
    cella_put_file("a", "", 0);
    int fd = instance(0);
    CHECK_EQ(watch(fd, "a", IN_OPEN), 1);
    CHECK_EQ(watch(fd, "./a", IN_CLOSE), 1);
    CHECK_OK(close(cella_open("a", O_RDONLY)));
    CHECK_STR(events(fd), "1:close");
    CHECK_EQ(watch(fd, "a", IN_OPEN | IN_MASK_ADD), 1);
    CHECK_OK(close(cella_open("a", O_RDONLY)));
    CHECK_STR(events(fd), "1:open 1:close");
    CHECK_ERRNO(SYS(inotify_add_watch, fd, "a", IN_OPEN | IN_MASK_CREATE), EEXIST);
    CHECK_EQ(watch(instance(0), "a", IN_OPEN | IN_MASK_CREATE), 1);
}

TEST(inotify_add_watch, success,
     "IN_ONESHOT tells one event, IN_EXCL_UNLINK none of what has no name")
{
    cella_scratch();
    cella_put_file("a", "", 0);
    int fd = instance(0);
    watch(fd, "a", IN_OPEN | IN_ONESHOT);
    int one = cella_open("a", O_WRONLY);
    CHECK_OK(close(cella_open("a", O_RDONLY)));
    CHECK_STR(events(fd), "1:open 1:ignored");
    watch(fd, ".", IN_MODIFY);
    int excl = instance(0);
    watch(excl, ".", IN_MODIFY | IN_EXCL_UNLINK);
    CHECK_EQ(write(one, "x", 1), 1);
    CHECK_STR(events(fd), "2:modify(a)");
    CHECK_STR(events(excl), "1:modify(a)");
    CHECK_OK(unlink("a"));
    CHECK_EQ(write(one, "x", 1), 1);
    CHECK_STR(events(fd), "2:modify(a)");
    CHECK_STR(events(excl), "");
}

TEST(inotify_add_watch, success, "links are followed or not, directories can be asked for")
{
    cella_scratch();
    cella_put_file("a", "", 0);
    CHECK_OK(symlink("a", "s"));
    int fd = instance(0);
    watch(fd, "s", IN_OPEN);
    watch(fd, "s", IN_ATTRIB | IN_DELETE_SELF | IN_DONT_FOLLOW);
    CHECK_OK(close(cella_open("a", O_RDONLY)));
    CHECK_OK(unlink("s"));
    CHECK_STR(events(fd), "1:open 2:attrib 2:delete_self 2:ignored");
    CHECK_ERRNO(SYS(inotify_add_watch, fd, "a", IN_OPEN | IN_ONLYDIR), ENOTDIR);
    CHECK_EQ(watch(fd, ".", IN_OPEN | IN_ONLYDIR), 3);
    CHECK_OK(close(cella_open(".", O_RDONLY)));
    CHECK_STR(events(fd), "3:open+dir");
}

TEST(inotify_add_watch, success, "what is copied, listed and set as an attribute is told too")
{
    cella_scratch();
    cella_put_file("a", "abc", 3);
    cella_put_file("b", "", 0);
    int fd = instance(0);
    int a = cella_open("a", O_RDONLY), b = cella_open("b", O_WRONLY),
        dir = cella_open(".", O_RDONLY);
    watch(fd, ".", IN_ACCESS | IN_MODIFY | IN_ATTRIB);
    CHECK_EQ(sendfile(b, a, NULL, 3), 3);
    CHECK_STR(events(fd), "1:access(a) 1:modify(b)");
    char list[1024];
    CHECK(SYS(getdents64, dir, list, sizeof(list)) > 0);
    CHECK_STR(events(fd), "1:access+dir");
    if (setxattr("a", "user.x", "y", 1, 0) == 0)
        CHECK_STR(events(fd), "1:attrib(a)");
}

TEST(inotify_add_watch, success, "poll and FIONREAD tell of events; a read takes whole ones")
{
    cella_scratch();
    int fd = instance(IN_NONBLOCK), n = -1;
    char buf[64];
    watch(fd, ".", IN_CREATE);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    CHECK_EQ(poll(&p, 1, 0), 0);
    CHECK_OK(ioctl(fd, FIONREAD, &n));
    CHECK_EQ(n, 0);
    pid_t pid = cella_fork();
    if (pid == 0) {
        cella_sleep_ms(20);
        cella_put_file("first", "", 0);
        cella_put_file("a-name-of-16-byt", "", 0);
        _exit(0);
    }
    CHECK_EQ(poll(&p, 1, 10000), 1);
    CHECK_EQ(p.revents, POLLIN);
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_OK(ioctl(fd, FIONREAD, &n));
    CHECK_EQ(n, 32 + 48); /* names have a NUL, and are padded to 16 */
    CHECK_ERRNO(read(fd, buf, 31), EINVAL);
    CHECK_EQ(read(fd, buf, 64), 32);
    CHECK_EQ(read(fd, buf, 64), 48);
    CHECK_ERRNO(read(fd, buf, 64), EAGAIN);
}

TEST(inotify_add_watch, error, "no instance, no event, no file, no permission, bad memory")
{
    cella_scratch();
    cella_put_file("a", "", 0);
    int fd = instance(0);
    CHECK_ERRNO(SYS(inotify_add_watch, CELLA_NO_FD, "a", IN_OPEN), EBADF);
    CHECK_ERRNO(SYS(inotify_add_watch, cella_open("a", O_RDONLY), "a", IN_OPEN), EINVAL);
    CHECK_ERRNO(SYS(inotify_add_watch, fd, "a", 0), EINVAL);
    CHECK_ERRNO(SYS(inotify_add_watch, fd, "a", 0x1000), EINVAL);
    CHECK_ERRNO(SYS(inotify_add_watch, fd, "a", IN_OPEN | IN_MASK_ADD | IN_MASK_CREATE), EINVAL);
    CHECK_ERRNO(SYS(inotify_add_watch, fd, "none", IN_OPEN), ENOENT);
    CHECK_ERRNO(SYS(inotify_add_watch, fd, "", IN_OPEN), ENOENT);
    CHECK_ERRNO(SYS(inotify_add_watch, fd, cella_bad_address(), IN_OPEN), EFAULT);
    CHECK_OK(chmod("a", 0200));
    cella_drop_root();
    CHECK_ERRNO(SYS(inotify_add_watch, fd, "a", IN_OPEN), EACCES);
}

TEST(inotify_add_watch, limit, "events beyond the queue are told as one overflow")
{
    cella_scratch();
    int limit = 0, fd = instance(IN_NONBLOCK), count = 0;
    FILE *f = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
    CHECK(f && fscanf(f, "%d", &limit) == 1 && fclose(f) == 0);
    CHECK(limit > 0 && limit <= 100000);
    cella_put_file("a", "", 0);
    watch(fd, "a", IN_OPEN | IN_CLOSE_NOWRITE);
    for (int i = 0; i < limit / 2 + 5; i++)
        CHECK_OK(close(cella_open("a", O_RDONLY)));
    struct inotify_event e, last = {.wd = 0};
    while (read(fd, &e, sizeof(e)) == sizeof(e)) {
        last = e;
        count++;
    }
    CHECK_EQ(count, limit / 2 * 2 + 1);
    CHECK(last.wd == -1 && last.mask == IN_Q_OVERFLOW && last.cookie == 0 && last.len == 0);
    CHECK_OK(close(cella_open("a", O_RDONLY)));
    CHECK_STR(events(fd), "1:open 1:close");
}

TEST(inotify_rm_watch, success, "tells that the watch is gone, and nothing after that")
{
    cella_scratch();
    int fd = instance(0);
    int wd = watch(fd, ".", IN_CREATE);
    CHECK_OK(SYS(inotify_rm_watch, fd, wd));
    cella_put_file("a", "", 0);
    CHECK_STR(events(fd), "1:ignored");
    CHECK_EQ(watch(fd, ".", IN_CREATE), 2); /* numbers are not used again */
}

TEST(inotify_rm_watch, error, "no instance, no such watch")
{
    int fd = instance(0);
    CHECK_ERRNO(SYS(inotify_rm_watch, CELLA_NO_FD, 1), EBADF);
    CHECK_ERRNO(SYS(inotify_rm_watch, cella_open("/", O_RDONLY), 1), EINVAL);
    CHECK_ERRNO(SYS(inotify_rm_watch, fd, 1), EINVAL);
    CHECK_ERRNO(SYS(inotify_rm_watch, fd, -1), EINVAL);
}

TEST(inotify_rm_watch, limit, "of many watches only the one named goes; closing takes all")
{
    char name[16];
    cella_scratch();
    int fd = instance(0);
    for (int i = 1; i <= 200; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        cella_put_file(name, "", 0);
        CHECK_EQ(watch(fd, name, IN_OPEN), i);
    }
    CHECK_OK(SYS(inotify_rm_watch, fd, 100));
    CHECK_OK(close(cella_open("f100", O_RDONLY)));
    CHECK_OK(close(cella_open("f101", O_RDONLY)));
    CHECK_STR(events(fd), "100:ignored 101:open");
    CHECK_OK(close(fd));
    CHECK_OK(close(cella_open("f101", O_RDONLY)));
}

TEST_MAIN()
