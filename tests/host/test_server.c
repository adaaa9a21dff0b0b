/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The request server under valid and hostile requests. The test plays the keep: it owns the other
 * end of a window in this process. Runs as any user; what needs root is skipped without it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "server.h"
#include "tap.h"

/* ---- the keep's side ---- */

static struct cella_host_window *window;
static uint8_t *data;
static uint32_t sq_tail, cq_head;

/* Every slot has 64 KiB of the data area, so that tests can have several in flight. */
#define SLOT_DATA 65536u

static void ring(void)
{
    __atomic_fetch_add(&window->sq_doorbell, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&window->sq_waiting, __ATOMIC_SEQ_CST))
        syscall(SYS_futex, &window->sq_doorbell, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void submit_request(uint32_t slot, const struct cella_host_request *req)
{
    window->slots[slot].req = *req;
    window->sq.entry[sq_tail % CELLA_HOST_SLOTS] = slot;
    __atomic_store_n(&window->sq.tail, ++sq_tail, __ATOMIC_RELEASE);
    ring();
}

/* Waits for the next completion: its slot, or -1 after timeout_ms. */
static int next_completion(int64_t timeout_ms)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t until = now.tv_sec * 1000 + now.tv_nsec / 1000000 + timeout_ms;
    do {
        if (__atomic_load_n(&window->cq.tail, __ATOMIC_ACQUIRE) != cq_head)
            return (int)window->cq.entry[cq_head++ % CELLA_HOST_SLOTS];
        sched_yield();
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec * 1000 + now.tv_nsec / 1000000 < until);
    return -1;
}

static struct cella_host_reply last_reply;

static int64_t call_raw(const struct cella_host_request *req)
{
    submit_request(0, req);
    int slot = next_completion(5000);
    must(slot == 0, "a reply to slot 0");
    last_reply = window->slots[0].rep;
    return last_reply.result;
}

static int64_t call(uint32_t op, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
                    uint32_t data_len)
{
    struct cella_host_request req = {
        .op = op, .data_off = 0, .data_len = data_len, .a = {a0, a1, a2, a3}};
    return call_raw(&req);
}

/* Puts a name into the data range of slot 0, with NUL. */
static void set_name(const char *name)
{
    memcpy(data, name, strlen(name) + 1);
}

static void set_pair(const char *first, const char *second)
{
    size_t n = strlen(first) + 1;
    memcpy(data, first, n);
    memcpy(data + n, second, strlen(second) + 1);
}

static struct cella_host_stat *answer(void)
{
    return (struct cella_host_stat *)data;
}

static int64_t lookup(int64_t dir, const char *name)
{
    set_name(name);
    return call(CELLA_HOST_LOOKUP, (uint64_t)dir, 0, 0, 0, 512);
}

static int64_t create(int64_t dir, const char *name, mode_t mode)
{
    set_name(name);
    return call(CELLA_HOST_CREATE, (uint64_t)dir, mode, getuid(), getgid(), 512);
}

static int64_t rename_to(int64_t from, const char *old, int64_t to, const char *new, unsigned flags)
{
    set_pair(old, new);
    return call(CELLA_HOST_RENAME, (uint64_t)from, (uint64_t)to, flags, 0,
                (uint32_t)(strlen(old) + strlen(new) + 2));
}

static int64_t simple(uint32_t op, int64_t handle)
{
    return call(op, (uint64_t)handle, 0, 0, 0, 512);
}

/* ---- the host's files ---- */

static char top[] = "/tmp/cella-test-server-XXXXXX";
static struct grant_table grants;
static struct server *server;
static int out_pipe[2], in_pipe[2];

enum { GRANT_RO, GRANT_RW, GRANT_RW2, GRANT_WORLD, GRANT_FILE };

static void write_host_file(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, mode);
    must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), path);
    fchmod(fd, mode);
    close(fd);
}

static void make_tree(void)
{
    umask(0);
    must(mkdtemp(top) && chdir(top) == 0 && chmod(top, 0755) == 0, "a folder for the test");
    must(mkdir("ro", 0755) == 0 && mkdir("rw", 0755) == 0 && mkdir("rw2", 0755) == 0 &&
             mkdir("outside", 0755) == 0,
         "mkdir");
    must(mkdir("ro/dir", 0755) == 0 && mkdir("rw/dir", 0755) == 0 && mkdir("ro/closed", 0700) == 0,
         "mkdir");
    write_host_file("ro/file", "hello from the host", 0644);
    write_host_file("ro/private", "secret", 0600);
    write_host_file("ro/closed/inside", "secret", 0644);
    write_host_file("ro/dir/deep", "deep", 0644);
    write_host_file("outside/file", "outside", 0644);
    write_host_file("rw/target", "linked", 0644);
    must(symlink("../outside", "rw/escape") == 0 && symlink("/etc/passwd", "ro/absolute") == 0,
         "symlink");
    must(mkfifo("rw/fifo", 0666) == 0, "mkfifo");
}

static struct grant *add(const char *spec)
{
    struct cella_error err;
    if (grants_add_volume(&grants, spec, &err) < 0) {
        printf("Bail out! %s\n", err.message);
        exit(1);
    }
    return &grants.entry[grants.count - 1];
}

static void start(void)
{
    struct cella_error err;
    int fd = memfd_create("window", MFD_CLOEXEC);
    must(fd >= 0 && ftruncate(fd, CELLA_HOST_WINDOW_SIZE) == 0, "memfd_create");
    window = mmap(NULL, CELLA_HOST_WINDOW_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(window != MAP_FAILED, "mmap");
    close(fd);
    data = (uint8_t *)window + CELLA_HOST_DATA_OFFSET;
    memset(&window->sq, 0, sizeof(window->sq));
    sq_tail = cq_head = 0;

    must(pipe(out_pipe) == 0 && pipe(in_pipe) == 0, "pipe");
    struct server_config config = {.window = window,
                                   .grants = &grants,
                                   .nr_cpus = 2,
                                   .stream = {in_pipe[0], out_pipe[1], out_pipe[1]},
                                   .log_fd = out_pipe[1]};
    server = server_create(&config, &err);
    must(server != NULL, "server_create");
    server_start(server);
}

static void stop(void)
{
    server_stop(server);
    server_free(server);
    munmap(window, CELLA_HOST_WINDOW_SIZE);
    for (int i = 0; i < 2; i++) {
        close(out_pipe[i]);
        close(in_pipe[i]);
    }
}

/* ---- tests ---- */

static void test_reading(void)
{
    int64_t root = simple(CELLA_HOST_ROOT, GRANT_RO);
    check(root >= 0, "a grant's root gives a handle");
    int64_t file = lookup(root, "file");
    check(file >= 0 && last_reply.data_len == sizeof(struct cella_host_stat) &&
              answer()->size == 19 && S_ISREG(answer()->mode),
          "a look-up gives a handle and attributes");
    check(call(CELLA_HOST_READ, (uint64_t)file, 6, 0, 0, 4096) == 13 &&
              memcmp(data, "from the host", 13) == 0,
          "a read at an offset ends at the file's end");
    check_is(call(CELLA_HOST_READ, (uint64_t)file, 100, 0, 0, 4096), 0,
             "a read behind the end gives 0");
    check_is(lookup(root, "absent"), -ENOENT, "a name that is not there is ENOENT");
    check_is(lookup(file, "x"), -ENOTDIR, "a look-up in a file is ENOTDIR");

    int64_t link = lookup(root, "absolute");
    check(link >= 0 && S_ISLNK(answer()->mode), "a look-up does not follow a symbolic link");
    check(simple(CELLA_HOST_READLINK, link) == 11 && memcmp(data, "/etc/passwd", 11) == 0,
          "readlink gives the link's text");
    check_is(call(CELLA_HOST_READ, (uint64_t)link, 0, 0, 0, 64), -EINVAL,
             "a symbolic link is not read through");
    check_is(call(CELLA_HOST_READDIR, (uint64_t)link, 0, 0, 0, 512), -ENOTDIR,
             "a symbolic link is not listed through");
    check(simple(CELLA_HOST_STATFS, root) == 0 && ((struct cella_host_statfs *)data)->bsize > 0,
          "statfs answers");
    check_is(simple(CELLA_HOST_CLOSE, link), 0, "a handle is closed");
    check_is(simple(CELLA_HOST_STAT, link), -EBADF, "a closed handle is EBADF");
    check_is(simple(CELLA_HOST_CLOSE, link), -EBADF, "a handle is closed once");

    int64_t alone = simple(CELLA_HOST_ROOT, GRANT_FILE);
    check(alone >= 0 && call(CELLA_HOST_READ, (uint64_t)alone, 0, 0, 0, 64) == 7,
          "a grant of one file is read");
}

static void test_listing(void)
{
    enum { FILES = 700 };
    char path[64];
    static bool seen[FILES];
    must(mkdir("rw/many", 0755) == 0, "mkdir");
    for (int i = 0; i < FILES; i++) {
        snprintf(path, sizeof(path), "rw/many/a-name-of-some-length-%d", i);
        write_host_file(path, "", 0644);
    }
    int64_t dir = lookup(simple(CELLA_HOST_ROOT, GRANT_RW), "many");
    uint64_t cookie = 0;
    int found = 0, others = 0;
    bool well_formed = true;
    for (int64_t n; (n = call(CELLA_HOST_READDIR, (uint64_t)dir, cookie, 0, 0, 4096)) > 0;) {
        for (int64_t at = 0; at < n;) {
            const struct cella_host_dirent *record = (const struct cella_host_dirent *)(data + at);
            char name[256];
            snprintf(name, sizeof(name), "%.*s", record->name_len, record->name);
            int number = -1;
            if (sscanf(name, "a-name-of-some-length-%d", &number) == 1 && number >= 0 &&
                number < FILES && !seen[number]) {
                seen[number] = true;
                found++;
            } else {
                others++;
            }
            well_formed = well_formed && record->rec_len % 8 == 0 && record->type == DT_REG;
            at += record->rec_len;
            cookie = record->next_cookie;
        }
    }
    check_is(found, FILES, "a listing in pieces has every name");
    check_is(others, 0, "a listing has no name twice, no . and no ..");
    check(well_formed, "records of a listing are well formed");
    check_is(call(CELLA_HOST_READDIR, (uint64_t)dir, 0, 0, 0, 100), -EINVAL,
             "a listing without room for a record is EINVAL");
}

static void test_writing(void)
{
    int64_t root = simple(CELLA_HOST_ROOT, GRANT_RW);
    int64_t file = create(root, "new", S_IFREG | 0640);
    struct stat st;
    check(file >= 0 && stat("rw/new", &st) == 0 && (st.st_mode & 07777) == 0640,
          "create makes a file with its mode");
    memcpy(data, "some text", 9);
    check_is(call(CELLA_HOST_WRITE, (uint64_t)file, 3, 0, 0, 9), 9, "a write at an offset");
    check(call(CELLA_HOST_READ, (uint64_t)file, 0, 0, 0, 64) == 12 &&
              memcmp(data, "\0\0\0some text", 12) == 0,
          "is read back");
    check_is(simple(CELLA_HOST_FSYNC, file), 0, "fsync");
    check_is(create(root, "new", S_IFREG | 0640), -EEXIST, "create is exclusive");
    check(create(root, "sub", S_IFDIR | 0750) >= 0 && S_ISDIR(answer()->mode),
          "create makes a directory");
    check(create(root, "pipe", S_IFIFO | 0600) >= 0 && S_ISFIFO(answer()->mode),
          "create makes a FIFO");
    check(create(root, "setuid", S_IFREG | 04755) >= 0 && (answer()->mode & S_ISUID) == 0,
          "create never sets the set-user-ID bit");
    check_is(create(root, "disk", S_IFBLK | 0600), -EPERM, "create refuses a block device");
    check_is(create(root, "tty", S_IFCHR | 0600), -EPERM, "create refuses a character device");

    struct cella_host_stat attr = {.size = 4, .mode = 0600, .mtime_sec = 1000, .mtime_nsec = 5};
    memcpy(data, &attr, sizeof(attr));
    check_is(call(CELLA_HOST_SETATTR, (uint64_t)file, 1 | 8 | 32, 0, 0, sizeof(attr)), 0,
             "setattr of mode, size and mtime");
    check(stat("rw/new", &st) == 0 && st.st_size == 4 && (st.st_mode & 07777) == 0600 &&
              st.st_mtim.tv_sec == 1000 && st.st_mtim.tv_nsec == 5,
          "is done");
    attr.mode = 04755;
    memcpy(data, &attr, sizeof(attr));
    check_is(call(CELLA_HOST_SETATTR, (uint64_t)file, 1, 0, 0, sizeof(attr)), -EPERM,
             "setattr refuses the set-user-ID bit");

    check_is(rename_to(root, "new", root, "renamed", 0), 0, "rename");
    set_pair("link", "../outside/file");
    check_is(call(CELLA_HOST_SYMLINK, (uint64_t)root, 0, 0, 0, 64), 0, "symlink");
    int64_t renamed = lookup(root, "renamed");
    set_name("hard");
    int64_t linked = call(CELLA_HOST_LINK, (uint64_t)root, (uint64_t)renamed, 0, 0, 64);
    check(linked == 0 && stat("rw/hard", &st) == 0 && st.st_nlink >= 2, "a hard link to a handle");
    set_name("sub");
    check_is(call(CELLA_HOST_UNLINK, (uint64_t)root, 0, 0, 0, 64), -EISDIR,
             "unlink refuses a directory");
    check_is(call(CELLA_HOST_UNLINK, (uint64_t)root, 1, 0, 0, 64), 0, "rmdir");
}

static void test_names(void)
{
    int64_t root = simple(CELLA_HOST_ROOT, GRANT_RW), dir = lookup(root, "dir");
    static const char *const bad[] = {"..",     ".",          "/",     "/etc",
                                      "dir/..", "../outside", "dir/x", "a/"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char name[128];
        snprintf(name, sizeof(name),
                 "'%s' is refused as a name by look-up, create, unlink and rename", bad[i]);
        bool good =
            lookup(dir, bad[i]) == -EINVAL && create(dir, bad[i], S_IFREG | 0600) == -EINVAL;
        set_name(bad[i]);
        good = good && call(CELLA_HOST_UNLINK, (uint64_t)dir, 1, 0, 0, 64) == -EINVAL;
        good = good && rename_to(root, "target", dir, bad[i], 0) == -EINVAL &&
               rename_to(root, bad[i], dir, "x", 0) == -EINVAL;
        check(good, name);
    }
    check_is(lookup(dir, ""), -ENOENT, "an empty name is ENOENT");
    memset(data, 'a', 300);
    check_is(call(CELLA_HOST_LOOKUP, (uint64_t)dir, 0, 0, 0, 300), -ENAMETOOLONG,
             "a name of 300 bytes is ENAMETOOLONG");
    memset(data, 'a', 8192);
    check_is(call(CELLA_HOST_SYMLINK, (uint64_t)dir, 0, 0, 0, 8192), -ENAMETOOLONG,
             "a pair of names without an end is refused");
    check_is(call(CELLA_HOST_RENAME, (uint64_t)dir, (uint64_t)dir, 0, 0, 10), -EINVAL,
             "a pair with one name is refused");
    check_is(rename_to(root, "target", root, "x", 4), -EINVAL, "rename refuses RENAME_WHITEOUT");
    check(access("rw/target", F_OK) == 0, "and nothing was renamed");
}

static void test_hostile_requests(void)
{
    int64_t root = simple(CELLA_HOST_ROOT, GRANT_RO), file = lookup(root, "file");
    struct cella_host_request req = {.op = CELLA_HOST_READ, .a = {(uint64_t)file}};

    req.data_off = CELLA_HOST_DATA_SIZE - 8;
    req.data_len = 16;
    check_is(call_raw(&req), -EINVAL, "a data range over the end is EINVAL");
    req.data_off = 0xfffffff0u;
    req.data_len = 0x20;
    check_is(call_raw(&req), -EINVAL, "a data range that wraps around is EINVAL");
    req.data_off = CELLA_HOST_DATA_SIZE;
    req.data_len = 0;
    check_is(call_raw(&req), 0, "an empty range at the very end is good");
    req.data_off = 0;
    req.data_len = CELLA_HOST_MAX_IO + 1;
    check_is(call_raw(&req), -EINVAL, "more than CELLA_HOST_MAX_IO is EINVAL");
    req.data_len = 64;
    req.a[1] = UINT64_MAX - 5;
    check_is(call_raw(&req), -EINVAL, "a negative file offset is EINVAL");
    req.a[1] = 0;
    req.pad = 1;
    check_is(call_raw(&req), -EINVAL, "padding that is not zero is EINVAL");
    req.pad = 0;
    req.op = CELLA_HOST_NR_OPS;
    check_is(call_raw(&req), -ENOSYS, "an operation that is not there is ENOSYS");
    req.op = UINT32_MAX;
    check_is(call_raw(&req), -ENOSYS, "operation 2^32-1 is ENOSYS");

    static const uint64_t bad[] = {1u << 20, UINT64_MAX, 0x7fffffff, 1u << 19, (uint64_t)1 << 40};
    bool good = true;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        for (uint32_t op = CELLA_HOST_LOOKUP; op <= CELLA_HOST_GETXATTR; op++) {
            set_pair("user.x", "x");
            int64_t result =
                call(op, bad[i], op == CELLA_HOST_LINK || op == CELLA_HOST_RENAME ? bad[i] : 0, 0,
                     0, 512);
            /* CREATE looks at its mode first. */
            if (result != -EBADF && !(op == CELLA_HOST_CREATE && result == -EPERM)) {
                printf("# op %u handle %llx: %lld\n", op, (unsigned long long)bad[i],
                       (long long)result);
                good = false;
            }
        }
    check(good, "made-up handles are EBADF for every operation");
    check_is(call(CELLA_HOST_ROOT, 99, 0, 0, 0, 0), -ENOENT, "a grant that is not there is ENOENT");
    check_is(call(CELLA_HOST_CANCEL, 1u << 30, 0, 0, 0, 0), -EINVAL,
             "cancel of a slot that is not there is EINVAL");
    check_is(call(CELLA_HOST_STAT, (uint64_t)file, 0, 0, 0, 10), -EINVAL,
             "no room for attributes is EINVAL");

    /* A slot number out of range gets no answer and harms nothing. */
    window->sq.entry[sq_tail % CELLA_HOST_SLOTS] = 100000;
    __atomic_store_n(&window->sq.tail, ++sq_tail, __ATOMIC_RELEASE);
    ring();
    check_is(call(CELLA_HOST_NOP, 0, 0, 0, 0, 0), 0, "a slot number out of range is passed over");
}

static void test_read_only(void)
{
    int64_t root = simple(CELLA_HOST_ROOT, GRANT_RO), file = lookup(root, "file"),
            rw = simple(CELLA_HOST_ROOT, GRANT_RW);
    struct cella_host_stat attr = {.mode = 0777};
    check_is(create(root, "new", S_IFREG | 0600), -EROFS, "create in a read-only grant is EROFS");
    memcpy(data, "x", 1);
    check_is(call(CELLA_HOST_WRITE, (uint64_t)file, 0, 0, 0, 1), -EROFS, "write is EROFS");
    memcpy(data, &attr, sizeof(attr));
    check_is(call(CELLA_HOST_SETATTR, (uint64_t)file, 63, 0, 0, sizeof(attr)), -EROFS,
             "setattr is EROFS");
    set_name("file");
    check_is(call(CELLA_HOST_UNLINK, (uint64_t)root, 0, 0, 0, 64), -EROFS, "unlink is EROFS");
    check_is(rename_to(root, "file", root, "x", 0), -EROFS, "rename is EROFS");
    check_is(rename_to(root, "file", rw, "stolen", 0), -EROFS,
             "rename out of a read-only grant is EROFS");
    check_is(rename_to(rw, "target", root, "planted", 0), -EROFS, "rename into it is EROFS");
    set_pair("l", "t");
    check_is(call(CELLA_HOST_SYMLINK, (uint64_t)root, 0, 0, 0, 64), -EROFS, "symlink is EROFS");
    set_name("hardlink");
    check_is(call(CELLA_HOST_LINK, (uint64_t)rw, (uint64_t)file, 0, 0, 64), -EXDEV,
             "a hard link from a read-only to a writable grant is EXDEV");
    int64_t rw2 = simple(CELLA_HOST_ROOT, GRANT_RW2);
    check_is(rename_to(rw, "target", rw2, "moved", 0), -EXDEV,
             "rename between two grants is EXDEV");
    check(access("rw/target", F_OK) == 0 && access("ro/file", F_OK) == 0 &&
              access("rw/hardlink", F_OK) < 0 && access("rw2/moved", F_OK) < 0,
          "nothing changed on the host");
}

static void test_special_files(void)
{
    int64_t root = simple(CELLA_HOST_ROOT, GRANT_RW), fifo = lookup(root, "fifo");
    check(fifo >= 0 && S_ISFIFO(answer()->mode), "a FIFO can be looked at");
    check_is(call(CELLA_HOST_READ, (uint64_t)fifo, 0, 0, 0, 64), -EINVAL,
             "a FIFO is never opened for reading");
    check_is(call(CELLA_HOST_WRITE, (uint64_t)fifo, 0, 0, 0, 1), -EINVAL, "nor for writing");
    struct cella_host_stat attr = {.size = 1};
    memcpy(data, &attr, sizeof(attr));
    check_is(call(CELLA_HOST_SETATTR, (uint64_t)fifo, 8, 0, 0, sizeof(attr)), -EINVAL,
             "nor truncated");
    check_is(simple(CELLA_HOST_FSYNC, fifo), -EINVAL, "nor synced");
    if (getuid() == 0 && mknod("rw/null", S_IFCHR | 0666, makedev(1, 3)) == 0) {
        int64_t device = lookup(root, "null");
        check(device >= 0 && S_ISCHR(answer()->mode), "a device can be looked at");
        check_is(call(CELLA_HOST_READ, (uint64_t)device, 0, 0, 0, 64), -EINVAL,
                 "a device is never opened for reading");
        check_is(call(CELLA_HOST_WRITE, (uint64_t)device, 0, 0, 0, 1), -EINVAL, "nor for writing");
    } else {
        skip("a device can be looked at");
        skip("a device is never opened for reading");
        skip("nor for writing");
    }
}

static void test_permissions(void)
{
    int64_t root = simple(CELLA_HOST_ROOT, GRANT_WORLD);
    int64_t file = lookup(root, "file"), secret = lookup(root, "private"),
            closed = lookup(root, "closed");
    check_is(call(CELLA_HOST_READ, (uint64_t)file, 0, 0, 0, 5), 5,
             "a file that all may read is served under the default root");
    check(secret >= 0 && call(CELLA_HOST_READ, (uint64_t)secret, 0, 0, 0, 5) == -EACCES,
          "a file that not all may read is not, for root neither");
    set_pair("user.x", "");
    check_is(call(CELLA_HOST_GETXATTR, (uint64_t)secret, 64, 0, 0, 64), -EACCES,
             "nor its extended attributes");
    check_is(call(CELLA_HOST_READDIR, (uint64_t)closed, 0, 0, 0, 512), -EACCES,
             "a closed directory is not listed");
    check_is(lookup(closed, "inside"), -EACCES, "nor looked into");
    if (getuid() == 0) {
        int64_t named = lookup(simple(CELLA_HOST_ROOT, GRANT_RO), "private");
        check_is(call(CELLA_HOST_READ, (uint64_t)named, 0, 0, 0, 6), 6,
                 "in a grant that the user named, root reads it");
    } else {
        skip("in a grant that the user named, root reads it");
    }
}

static void test_kernel_file_systems(void)
{
    struct cella_error err;
    struct grant_table table = {0};
    check(grants_add_volume(&table, "/proc:/p", &err) < 0, "/proc cannot be granted");
    grants_free(&table);

    /* /proc below a granted root is an empty directory. */
    must(grants_add_root(&table, "/", true, &err) == 0, "grant of /");
    struct grant_table saved = grants;
    grants = table;
    stop();
    start();
    int64_t root = simple(CELLA_HOST_ROOT, 0), proc = lookup(root, "proc");
    check(proc >= 0 && S_ISDIR(answer()->mode), "/proc below a granted root is a directory");
    char pid[16];
    snprintf(pid, sizeof(pid), "%d", getpid());
    check(lookup(proc, "self") == -ENOENT && lookup(proc, pid) == -ENOENT,
          "without the host's processes in it");
    check_is(call(CELLA_HOST_READDIR, (uint64_t)proc, 0, 0, 0, 4096), 0,
             "and with nothing to list");
    stop();
    grants_free(&grants);
    grants = saved;
    start();
}

static atomic_bool race_over;

/* Somebody at the host swaps a directory for a symbolic link that leads out, over and over. */
static void *swapper(void *arg)
{
    (void)arg;
    while (!atomic_load(&race_over)) {
        syscall(SYS_renameat2, AT_FDCWD, "rw/swap", AT_FDCWD, "rw/swap-link",
                2 /* RENAME_EXCHANGE */);
        syscall(SYS_renameat2, AT_FDCWD, "rw/swap-file", AT_FDCWD, "rw/swap-flink", 2);
    }
    return NULL;
}

static void test_symlink_race(void)
{
    must(mkdir("rw/swap", 0755) == 0 && symlink("../outside", "rw/swap-link") == 0, "mkdir");
    write_host_file("rw/swap/file", "inside!", 0644);
    write_host_file("rw/swap-file", "inside!", 0644);
    must(symlink("../outside/file", "rw/swap-flink") == 0, "symlink");
    pthread_t thread;
    must(pthread_create(&thread, NULL, swapper, NULL) == 0, "pthread_create");
    int64_t root = simple(CELLA_HOST_ROOT, GRANT_RW);
    int leaks = 0, reads = 0, odd = 0;
    for (int i = 0; i < 3000; i++) {
        int64_t dir = lookup(root, "swap");
        if (dir >= 0) {
            int64_t file = lookup(dir, "file");
            if (file >= 0 && call(CELLA_HOST_READ, (uint64_t)file, 0, 0, 0, 16) == 7) {
                reads++;
                leaks += memcmp(data, "outside", 7) == 0;
            }
            if (file >= 0)
                simple(CELLA_HOST_CLOSE, file);
            else if (file != -ENOTDIR && file != -ENOENT)
                odd++;
            simple(CELLA_HOST_CLOSE, dir);
        }
        int64_t file = lookup(root, "swap-file");
        if (file >= 0) {
            int64_t n = call(CELLA_HOST_READ, (uint64_t)file, 0, 0, 0, 16);
            leaks += n == 7 && memcmp(data, "outside", 7) == 0;
            memcpy(data, "inside!", 7);
            call(CELLA_HOST_WRITE, (uint64_t)file, 0, 0, 0, 7);
            simple(CELLA_HOST_CLOSE, file);
        }
    }
    atomic_store(&race_over, true);
    pthread_join(thread, NULL);
    char text[16] = "";
    int fd = open("outside/file", O_RDONLY);
    must(fd >= 0 && read(fd, text, sizeof(text) - 1) >= 0, "read");
    close(fd);
    check(leaks == 0 && strcmp(text, "outside") == 0,
          "a race of symbolic links never leads out of the grant");
    check(reads > 0 && odd == 0, "and the files inside are served meanwhile");
}

static void test_handle_reuse(void)
{
    int64_t root = simple(CELLA_HOST_ROOT, GRANT_RO);
    int64_t first = lookup(root, "file");
    simple(CELLA_HOST_CLOSE, first);
    bool again = false;
    for (int i = 0; i < 1000; i++) {
        int64_t next = lookup(root, "file");
        again = again || next == first;
        simple(CELLA_HOST_CLOSE, next);
    }
    check(!again, "the number of a closed handle does not come again soon");
}

static void test_console(void)
{
    char text[65];
    memcpy(data, "hello", 5);
    check_is(call(CELLA_HOST_CONSOLE_WRITE, 1, 0, 0, 0, 5), 5, "console output is written");
    check(read(out_pipe[0], text, 5) == 5 && memcmp(text, "hello", 5) == 0, "and arrives");
    memcpy(data, "a\033[2Jb", 6);
    check_is(call(CELLA_HOST_CONSOLE_WRITE, 3, 0, 0, 0, 6), 6, "a log line is written");
    check(read(out_pipe[0], text, 64) == 7 && memcmp(text, "a?[2Jb\n", 7) == 0,
          "without control characters");
    check_is(call(CELLA_HOST_CONSOLE_WRITE, 0, 0, 0, 0, 5), -EINVAL,
             "nothing is written to standard input");

    /* A full pipe: the write waits, other requests do not. */
    fcntl(out_pipe[1], F_SETPIPE_SZ, 4096);
    struct cella_host_request big = {
        .op = CELLA_HOST_CONSOLE_WRITE, .data_off = 5 * SLOT_DATA, .data_len = 20000, .a = {1}};
    memset(data + 5 * SLOT_DATA, 'z', 20000);
    submit_request(5, &big);
    check_is(call(CELLA_HOST_NOP, 0, 0, 0, 0, 0), 0,
             "a reader that does not read holds up no other request");
    size_t got = 0;
    char buf[4096];
    while (got < 20000) {
        ssize_t n = read(out_pipe[0], buf, sizeof(buf));
        must(n > 0, "read");
        got += (size_t)n;
    }
    check(next_completion(2000) == 5 && window->slots[5].rep.result == 20000,
          "and gets everything in the end");

    struct cella_host_request in = {
        .op = CELLA_HOST_CONSOLE_READ, .data_off = 6 * SLOT_DATA, .data_len = 100};
    submit_request(6, &in);
    check_is(next_completion(50), -1, "console input is waited for");
    check_is(call(CELLA_HOST_NOP, 0, 0, 0, 0, 0), 0, "without holding up others");
    must(write(in_pipe[1], "typed", 5) == 5, "write");
    check(next_completion(2000) == 6 && window->slots[6].rep.result == 5 &&
              memcmp(data + 6 * SLOT_DATA, "typed", 5) == 0,
          "and delivered");

    submit_request(6, &in);
    struct cella_host_request cancel = {.op = CELLA_HOST_CANCEL, .a = {6}};
    submit_request(0, &cancel);
    int one = next_completion(2000), two = next_completion(2000);
    check(one + two == 6 && window->slots[6].rep.result == -EINTR &&
              window->slots[0].rep.result == 0,
          "cancel ends a waiting read with EINTR");

    /* The same slot twice: one answer. */
    submit_request(6, &in);
    submit_request(6, &in);
    /* Served in order: behind this answer both were looked at. */
    call(CELLA_HOST_NOP, 0, 0, 0, 0, 0);
    must(write(in_pipe[1], "once", 4) == 4, "write");
    check(next_completion(2000) == 6 && next_completion(50) == -1,
          "a slot that is in flight is not served twice");
    close(in_pipe[1]);
    in_pipe[1] = -1;
    submit_request(6, &in);
    check(next_completion(2000) == 6 && window->slots[6].rep.result == 0, "the end of input is 0");
}

static void test_wake_ups(void)
{
    __atomic_store_n(&window->cpu_sleeping[1], 1, __ATOMIC_SEQ_CST);
    uint32_t before = __atomic_load_n(&window->cq_doorbell, __ATOMIC_SEQ_CST);
    server_raise_event(server, CELLA_HOST_EVENT_INT | CELLA_HOST_EVENT_TERM);
    check(window->events == (CELLA_HOST_EVENT_INT | CELLA_HOST_EVENT_TERM) &&
              window->cpu_sleeping[1] == 0 && window->cq_doorbell != before,
          "an event sets its bits and wakes a sleeping CPU");
    window->cpu_sleeping[0] = window->cpu_sleeping[1] = 1;
    call(CELLA_HOST_NOP, 0, 0, 0, 0, 0);
    usleep(2000);
    check(window->cpu_sleeping[0] + window->cpu_sleeping[1] == 1,
          "a completion wakes one CPU, not all");

    usleep(20000);
    check_is(window->sq_waiting, 1, "an idle server sleeps");
    check_is(call(CELLA_HOST_NOP, 0, 0, 0, 0, 0), 0, "and is woken by the doorbell");
}

static void test_many(void)
{
    int64_t root = simple(CELLA_HOST_ROOT, GRANT_RO), file = lookup(root, "file");
    int good = 0;
    for (uint32_t slot = 0; slot < 200; slot++) {
        struct cella_host_request req = {.op = CELLA_HOST_READ,
                                         .data_off = slot * SLOT_DATA,
                                         .data_len = 64,
                                         .a = {(uint64_t)file}};
        submit_request(slot, &req);
    }
    for (int i = 0; i < 200; i++) {
        int slot = next_completion(2000);
        good += slot >= 0 && window->slots[slot].rep.result == 19 &&
                memcmp(data + (uint32_t)slot * SLOT_DATA, "hello", 5) == 0;
    }
    check_is(good, 200, "200 requests in flight are all answered");
}

static void test_end(void)
{
    int status = -1;
    struct cella_host_request end = {.op = CELLA_HOST_EXIT, .a = {0x2a00}};
    check(!server_exit_status(server, &status), "no exit status before the end");
    submit_request(9, &end);
    check_is(next_completion(50), -1, "exit has no reply");
    check(server_exit_status(server, &status) && status == 0x2a00, "and its status is kept");

    __atomic_store_n(&window->sq.tail, sq_tail + 5000, __ATOMIC_RELEASE);
    ring();
    for (int i = 0; i < 1000 && !server_keep_is_broken(server); i++)
        usleep(1000);
    check(server_keep_is_broken(server), "a submission ring that overflows ends the keep");
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    make_tree();
    add("ro:/ro");
    add("rw:/rw:rw");
    add("rw2:/rw2:rw");
    add("ro:/world")->world_only = true;
    add("outside/file:/one");
    start();

    test_reading();
    test_listing();
    test_writing();
    test_names();
    test_hostile_requests();
    test_read_only();
    test_special_files();
    test_permissions();
    test_kernel_file_systems();
    test_symlink_race();
    test_handle_reuse();
    test_console();
    test_wake_ups();
    test_many();
    test_end();

    stop();
    grants_free(&grants);
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", top);
    if (chdir("/") != 0 || system(command) != 0)
        printf("# %s was not removed\n", top);
    printf("%d passed, %d failed, %d skipped\n", nr_tests - nr_failed - nr_skipped, nr_failed,
           nr_skipped);
    return nr_failed ? 1 : 0;
}
