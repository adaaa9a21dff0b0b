/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File operations of the request server that change nothing, and the rules for all of them.
 *
 * How a hostile keep is kept inside its grants: it names files by handle and one name component, so
 * no path can climb; a name is resolved with no symbolic link taken; what a handle refers to is
 * opened for data only when it is a regular file or a directory, through /proc/self/fd, which leads
 * to the very object that was checked, whatever happens to its name meanwhile. FIFOs, sockets and
 * devices can be looked at (stat) and are never opened. A grant that is read-only answers EROFS to
 * every change; a hard link or a rename stays inside one grant.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include "cleanup.h"
#include "server_fs.h"

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20
#endif

/* ---- arguments ---- */

uint32_t call_copy_bytes(const struct server_call *call, char *buf, uint32_t room)
{
    uint32_t len = call->req.data_len < room - 1 ? call->req.data_len : room - 1;
    memcpy(buf, call->data, len);
    buf[len] = '\0';
    return len;
}

int name_check(const char *name)
{
    if (name[0] == '\0')
        return -ENOENT;
    if (strlen(name) > NAME_MAX)
        return -ENAMETOOLONG;
    if (strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return -EINVAL;
    return 0;
}

int call_copy_name(const struct server_call *call, struct name_buf *name)
{
    call_copy_bytes(call, name->text, sizeof(name->text));
    return name_check(name->text);
}

int call_directory(struct server_call *call, unsigned arg, bool change, struct handle **out)
{
    struct handle *dir = call_handle(call, arg);
    int error = 0;
    if (!dir)
        return -EBADF;
    if (dir->mode != S_IFDIR)
        error = -ENOTDIR;
    else if (change && (!dir->grant->writable || dir->hidden))
        error = -EROFS;
    if (error) {
        call_put(call, dir);
        return error;
    }
    *out = dir;
    return 0;
}

/* ---- permission and opening ---- */

/* In a grant that shows only what the world may see: has `fd` these S_I?OTH bits? */
static int check_world(const struct grant *grant, int fd, mode_t bits)
{
    struct stat st;
    if (!grant->world_only)
        return 0;
    if (fstat(fd, &st) < 0)
        return -errno;
    return (st.st_mode & bits) == bits ? 0 : -EACCES;
}

/* Opens the object of a handle for data: only regular files, and directories for reading. */
static int open_object(struct server *server, const struct handle *handle, int flags)
{
    bool is_dir = handle->mode == S_IFDIR;
    if (!is_dir && handle->mode != S_IFREG)
        return -EINVAL;
    int error = check_world(handle->grant, handle->path_fd, S_IROTH);
    if (error)
        return error;
    struct fd_path path = fd_path(handle->path_fd);
    flags |= O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (is_dir ? O_DIRECTORY : 0);
    int opened = open(path.text, flags);
    if (opened < 0 && (errno == EMFILE || errno == ENFILE)) {
        handles_shed(&server->handles);
        opened = open(path.text, flags);
    }
    cleanup_close int fd = opened;
    if (fd < 0)
        return -errno;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if ((st.st_mode & S_IFMT) != handle->mode)
        return -EINVAL;
    return steal_fd(&fd);
}

int handle_data_fd(struct server *server, struct handle *handle, bool for_write)
{
    int *slot = for_write ? &handle->write_fd : &handle->read_fd;
    pthread_mutex_lock(&handle->lock);
    int fd = *slot;
    if (fd < 0) {
        fd = open_object(server, handle, for_write ? O_WRONLY : O_RDONLY);
        if (fd >= 0)
            *slot = fd;
    }
    pthread_mutex_unlock(&handle->lock);
    return fd;
}

int handle_lookup_fd(const struct handle *dir, const char *name, bool cached)
{
    struct open_how how = {
        .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
                   (cached ? RESOLVE_CACHED : 0),
    };
    int fd = (int)syscall(SYS_openat2, dir->path_fd, name, &how, sizeof(how));
    if (fd < 0 && errno == EINVAL && cached) {
        errno = EAGAIN; /* Linux before 5.12 has no RESOLVE_CACHED */
    } else if (fd < 0 && errno == ENOSYS) {
        /* Before 5.6. One component that is no "..", not followed: there is nowhere else to end. */
        fd = openat(dir->path_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    }
    return fd < 0 ? -errno : fd;
}

/* ---- answers ---- */

static void stat_convert(const struct stat *st, struct cella_host_stat *out)
{
    *out = (struct cella_host_stat){
        .dev = st->st_dev,
        .ino = st->st_ino,
        .rdev = st->st_rdev,
        .size = (uint64_t)st->st_size,
        .blocks = (uint64_t)st->st_blocks,
        .mode = st->st_mode,
        .nlink = (uint32_t)st->st_nlink,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .atime_sec = st->st_atim.tv_sec,
        .mtime_sec = st->st_mtim.tv_sec,
        .ctime_sec = st->st_ctim.tv_sec,
        .atime_nsec = (uint32_t)st->st_atim.tv_nsec,
        .mtime_nsec = (uint32_t)st->st_mtim.tv_nsec,
        .ctime_nsec = (uint32_t)st->st_ctim.tv_nsec,
    };
}

/* Writes the object's attributes to the call's data: 0 or -errno. */
static int answer_stat(struct server_call *call, int fd)
{
    struct stat st;
    struct cella_host_stat out;
    if (call->req.data_len < sizeof(out))
        return -EINVAL;
    if (fstat(fd, &st) < 0)
        return -errno;
    stat_convert(&st, &out);
    memcpy(call->data, &out, sizeof(out));
    call->answer_len = sizeof(out);
    return 0;
}

enum served call_answer_handle(struct server_call *call, int fd, const struct grant *grant,
                               const struct handle *parent)
{
    int error = answer_stat(call, fd);
    if (error) {
        close(fd);
        return call_end(call, error);
    }
    int64_t number = handle_new(&call->server->handles, fd, grant, parent);
    if (number < 0)
        call->answer_len = 0;
    return call_end(call, number);
}

/* ---- looking ---- */

enum served server_fs_root(struct server_call *call)
{
    const struct grant_table *grants = call->server->grants;
    if (call->req.a[0] >= grants->count)
        return call_end(call, -ENOENT);
    const struct grant *grant = &grants->entry[call->req.a[0]];
    int fd = fcntl(grant->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return call_end(call, -errno);
    return call_end(call, handle_new(&call->server->handles, fd, grant, NULL));
}

enum served server_fs_lookup(struct server_call *call)
{
    struct name_buf name;
    struct handle *dir;
    int error = call_copy_name(call, &name);
    if (!error)
        error = call_directory(call, 0, false, &dir);
    if (error)
        return call_end(call, error);

    enum served served = SERVED;
    call->result = dir->hidden ? -ENOENT : check_world(dir->grant, dir->path_fd, S_IXOTH);
    if (call->result == 0) {
        int fd = handle_lookup_fd(dir, name.text, !call->may_block);
        if (fd == -EMFILE || fd == -ENFILE) {
            handles_shed(&call->server->handles);
            fd = handle_lookup_fd(dir, name.text, !call->may_block);
        }
        if (fd == -EAGAIN && !call->may_block)
            served = SERVED_LATER;
        else if (fd < 0)
            call->result = fd;
        else
            served = call_answer_handle(call, fd, dir->grant, dir);
    }
    call_put(call, dir);
    return served;
}

enum served server_fs_close(struct server_call *call)
{
    return call_end(call, handle_close(&call->server->handles, call->req.a[0]));
}

enum served server_fs_stat(struct server_call *call)
{
    struct handle *handle = call_handle(call, 0);
    if (!handle)
        return call_end(call, -EBADF);
    int error = answer_stat(call, handle->path_fd);
    call_put(call, handle);
    return call_end(call, error);
}

/* Reads until the range is full or the file ends. Without may_block only what the page cache has.
 */
static enum served read_file(struct server_call *call, int fd)
{
    int flags = call->may_block ? 0 : RWF_NOWAIT;
    while (call->progress < call->req.data_len) {
        struct iovec iov = {call->data + call->progress, call->req.data_len - call->progress};
        ssize_t n = preadv2(fd, &iov, 1, (off_t)(call->req.a[1] + call->progress), flags);
        if (n < 0 && errno == EINTR)
            continue;
        /* EOPNOTSUPP: a file system without RWF_NOWAIT. */
        if (n < 0 && flags && (errno == EAGAIN || errno == EOPNOTSUPP))
            return SERVED_LATER;
        if (n < 0 && call->progress == 0)
            return call_end(call, -errno);
        if (n <= 0)
            break;
        call->progress += (uint32_t)n;
    }
    call->answer_len = call->progress;
    return call_end(call, call->progress);
}

enum served server_fs_read(struct server_call *call)
{
    if (call->req.a[1] > INT64_MAX - CELLA_HOST_MAX_IO)
        return call_end(call, -EINVAL);
    struct handle *handle = call_handle(call, 0);
    if (!handle)
        return call_end(call, -EBADF);
    enum served served;
    if (handle->mode == S_IFDIR) {
        served = call_end(call, -EISDIR);
    } else {
        int fd = handle_data_fd(call->server, handle, false);
        served = fd < 0 ? call_end(call, fd) : read_file(call, fd);
    }
    call_put(call, handle);
    return served;
}

/* The host's directory record (getdents64(2)); glibc names it dirent64 with the same layout, but
 * not its header's size. */
struct host_record {
    uint64_t ino;
    int64_t next;
    uint16_t len;
    uint8_t type;
    char name[];
};

static uint32_t record_size(size_t name_len)
{
    return (uint32_t)((sizeof(struct cella_host_dirent) + name_len + 7) & ~(size_t)7);
}

/* Fills the call's data from one getdents64 block. Result: bytes, 0 when the block held nothing to
 * show or -errno; *end: the directory has ended; *position: where the next block begins, changed
 * when not all of this one found room. */
static int64_t read_records(struct server_call *call, int fd, char *block, size_t block_size,
                            bool *end)
{
    long got = syscall(SYS_getdents64, fd, block, block_size);
    if (got < 0)
        return -errno;
    *end = got == 0;

    uint32_t used = 0;
    int64_t next = -1;
    for (long at = 0; at < got;) {
        const struct host_record *in = (const struct host_record *)(block + at);
        at += in->len;
        size_t name_len = strlen(in->name);
        if (strcmp(in->name, ".") == 0 || strcmp(in->name, "..") == 0) {
            next = in->next;
            continue;
        }
        uint32_t size = record_size(name_len);
        if (size > call->req.data_len - used) {
            /* Ours are larger than the host's: the rest is read again next time. */
            if (lseek(fd, next, SEEK_SET) < 0)
                return -errno;
            break;
        }
        next = in->next;
        char record[sizeof(struct cella_host_dirent) + 256 + 8] = {0};
        struct cella_host_dirent header = {
            .ino = in->ino,
            .next_cookie = (uint64_t)in->next,
            .rec_len = (uint16_t)size,
            .name_len = (uint16_t)name_len,
            .type = in->type,
        };
        memcpy(record, &header, sizeof(header));
        memcpy(record + offsetof(struct cella_host_dirent, name), in->name, name_len);
        memcpy(call->data + used, record, size);
        used += size;
    }
    return used;
}

enum served server_fs_readdir(struct server_call *call)
{
    struct handle *dir;
    if (call->req.data_len < record_size(NAME_MAX) || call->req.a[1] > INT64_MAX)
        return call_end(call, -EINVAL);
    int error = call_directory(call, 0, false, &dir);
    if (error)
        return call_end(call, error);
    int fd = dir->hidden ? -1 : handle_data_fd(call->server, dir, false);
    if (fd < 0) {
        bool hidden = dir->hidden;
        call_put(call, dir);
        return call_end(call, hidden ? 0 : fd);
    }

    /* A block that is smaller than the room for records: few blocks are read twice, a short one
     * still holds a record. */
    char block[16 << 10] __attribute__((aligned(8)));
    size_t block_size = call->req.data_len < sizeof(block) ? call->req.data_len : sizeof(block);
    int64_t result = 0;
    bool end = false;
    pthread_mutex_lock(&dir->lock);
    if (lseek(fd, (off_t)call->req.a[1], SEEK_SET) < 0)
        result = -errno;
    while (result == 0 && !end)
        result = read_records(call, fd, block, block_size, &end);
    pthread_mutex_unlock(&dir->lock);
    call_put(call, dir);
    if (result > 0)
        call->answer_len = (uint32_t)result;
    return call_end(call, result);
}

enum served server_fs_readlink(struct server_call *call)
{
    struct handle *handle = call_handle(call, 0);
    if (!handle)
        return call_end(call, -EBADF);
    char target[4097];
    ssize_t len = -1;
    int error = EINVAL;
    if (handle->mode == S_IFLNK) {
        len = readlinkat(handle->path_fd, "", target, sizeof(target));
        error = errno;
    }
    call_put(call, handle);
    if (len < 0)
        return call_end(call, -error);
    if ((size_t)len == sizeof(target) || (size_t)len > call->req.data_len)
        return call_end(call, -ERANGE);
    memcpy(call->data, target, (size_t)len);
    call->answer_len = (uint32_t)len;
    return call_end(call, len);
}

enum served server_fs_statfs(struct server_call *call)
{
    struct cella_host_statfs out = {0};
    struct statfs fs;
    struct handle *handle = call_handle(call, 0);
    if (!handle)
        return call_end(call, -EBADF);
    int error = fstatfs(handle->path_fd, &fs) < 0 ? -errno : 0;
    call_put(call, handle);
    if (error)
        return call_end(call, error);
    if (call->req.data_len < sizeof(out))
        return call_end(call, -EINVAL);
    out.type = (uint64_t)fs.f_type;
    out.bsize = (uint64_t)fs.f_bsize;
    out.blocks = fs.f_blocks;
    out.bfree = fs.f_bfree;
    out.bavail = fs.f_bavail;
    out.files = fs.f_files;
    out.ffree = fs.f_ffree;
    out.namelen = (uint64_t)fs.f_namelen;
    memcpy(call->data, &out, sizeof(out));
    call->answer_len = sizeof(out);
    return call_end(call, 0);
}

/* Attributes that mean the same in the keep; security labels and trusted ones are the host's own
 * business. */
static bool xattr_is_served(const char *name)
{
    return strncmp(name, "user.", 5) == 0 || strncmp(name, "system.posix_acl_", 17) == 0 ||
           strcmp(name, "security.capability") == 0;
}

/* Drops names that are not served from a list of NUL-terminated names. Result: new length. */
static ssize_t filter_names(char *list, ssize_t len)
{
    ssize_t out = 0;
    for (ssize_t at = 0; at < len;) {
        size_t size = strlen(list + at) + 1;
        if (xattr_is_served(list + at)) {
            memmove(list + out, list + at, size);
            out += (ssize_t)size;
        }
        at += (ssize_t)size;
    }
    return out;
}

enum served server_fs_getxattr(struct server_call *call)
{
    struct name_buf name;
    bool list = call->req.a[2] == 1;
    if (call->req.a[2] > 1)
        return call_end(call, -EINVAL);
    call_copy_bytes(call, name.text, sizeof(name.text));
    if (!list && strlen(name.text) > NAME_MAX)
        return call_end(call, -ERANGE);
    if (!list && !xattr_is_served(name.text))
        return call_end(call, -ENODATA);

    struct handle *handle = call_handle(call, 0);
    if (!handle)
        return call_end(call, -EBADF);
    /* By path, and the path is a magic link: only where following it cannot reach a device or the
     * like. */
    int64_t result = handle->hidden || (handle->mode != S_IFREG && handle->mode != S_IFDIR)
                         ? (list ? 0 : -ENODATA)
                         : check_world(handle->grant, handle->path_fd, S_IROTH);
    bool skip =
        handle->hidden || result != 0 || (handle->mode != S_IFREG && handle->mode != S_IFDIR);
    const size_t room = 64 << 10; /* XATTR_SIZE_MAX and XATTR_LIST_MAX */
    cleanup_free char *value = skip ? NULL : malloc(room);
    if (!skip && !value)
        result = -ENOMEM;
    if (!skip && value) {
        struct fd_path path = fd_path(handle->path_fd);
        ssize_t len =
            list ? listxattr(path.text, value, room) : getxattr(path.text, name.text, value, room);
        if (len < 0)
            result = errno == EOPNOTSUPP && list ? 0 : -errno;
        else
            result = list ? filter_names(value, len) : len;
    }
    call_put(call, handle);
    if (value && result > 0 && call->req.a[1] != 0) {
        if ((uint64_t)result > call->req.a[1] || (uint64_t)result > call->req.data_len)
            return call_end(call, -ERANGE);
        memcpy(call->data, value, (size_t)result);
        call->answer_len = (uint32_t)result;
    }
    return call_end(call, result);
}
