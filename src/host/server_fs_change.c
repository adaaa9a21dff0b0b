/* SPDX-License-Identifier: Apache-2.0 */
/* File operations of the request server that change the host's files; the rules stand at the top of
 * server_fs.c. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "cleanup.h"
#include "server_fs.h"

/* Larger writes are not done while leading. */
#define INLINE_WRITE_MAX (256u << 10)

enum served server_fs_write(struct server_call *call)
{
    if (call->req.a[1] > INT64_MAX - CELLA_HOST_MAX_IO)
        return call_end(call, -EINVAL);
    if (!call->may_block && call->req.data_len > INLINE_WRITE_MAX)
        return SERVED_LATER;
    struct handle *handle = call_handle(call, 0);
    if (!handle)
        return call_end(call, -EBADF);
    int fd = -EROFS;
    if (handle->mode == S_IFDIR)
        fd = -EISDIR;
    else if (handle->grant->writable)
        fd = handle_data_fd(call->server, handle, true);
    int64_t result = fd < 0 ? fd : 0;
    while (fd >= 0 && (uint64_t)result < call->req.data_len) {
        ssize_t n = pwrite(fd, call->data + result, call->req.data_len - (size_t)result,
                           (off_t)(call->req.a[1] + (uint64_t)result));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && result == 0)
            result = -errno;
        if (n <= 0)
            break;
        result += n;
    }
    call_put(call, handle);
    return call_end(call, result);
}

enum served server_fs_fsync(struct server_call *call)
{
    if (!call->may_block)
        return SERVED_LATER;
    struct handle *handle = call_handle(call, 0);
    if (!handle)
        return call_end(call, -EBADF);
    int64_t result = 0;
    /* Nothing was changed through a read-only grant, so there is nothing to bring to the disk. */
    if (handle->grant->writable && !handle->hidden) {
        /* A file that the caller may write but not read has only the one descriptor. */
        int fd = handle_data_fd(call->server, handle, false);
        if (fd < 0 && handle->mode == S_IFREG)
            fd = handle_data_fd(call->server, handle, true);
        if (fd < 0)
            result = fd;
        else if ((call->req.a[1] ? fdatasync(fd) : fsync(fd)) < 0)
            result = -errno;
    }
    call_put(call, handle);
    return call_end(call, result);
}

/* Gives a new object to uid and gid where the caller may do that; who may not, owns it himself. */
static void give_to(int fd, uint64_t uid, uint64_t gid)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || (st.st_uid == uid && st.st_gid == gid))
        return;
    if (fchownat(fd, "", (uid_t)uid, (gid_t)gid, AT_EMPTY_PATH) < 0)
        return;
}

/* Makes a regular file and gives its O_PATH descriptor. */
static int create_file(const struct handle *dir, const char *name, mode_t mode)
{
    cleanup_close int fd = openat(
        dir->path_fd, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC, mode);
    if (fd < 0)
        return -errno;
    /* Not by name: somebody at the host may have renamed it already. */
    struct fd_path path = fd_path(fd);
    int path_fd = open(path.text, O_PATH | O_CLOEXEC);
    return path_fd < 0 ? -errno : path_fd;
}

/* Makes a directory, FIFO or socket and gives its O_PATH descriptor. */
static int create_node(const struct handle *dir, const char *name, mode_t mode)
{
    int made = S_ISDIR(mode) ? mkdirat(dir->path_fd, name, mode & 07777)
                             : mknodat(dir->path_fd, name, mode, 0);
    if (made < 0)
        return -errno;
    cleanup_close int fd = handle_lookup_fd(dir, name, false);
    struct stat st;
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return -errno;
    if ((st.st_mode & S_IFMT) != (mode & S_IFMT))
        return -ESTALE;
    return steal_fd(&fd);
}

enum served server_fs_create(struct server_call *call)
{
    struct name_buf name;
    uint64_t mode = call->req.a[1], uid = call->req.a[2], gid = call->req.a[3];
    uint64_t type = mode & S_IFMT;
    if ((mode & ~(uint64_t)(S_IFMT | 07777)) || uid > UINT32_MAX || gid > UINT32_MAX)
        return call_end(call, -EINVAL);
    if (type != S_IFREG && type != S_IFDIR && type != S_IFIFO && type != S_IFSOCK)
        return call_end(call, -EPERM);
    if (call->req.data_len < sizeof(struct cella_host_stat))
        return call_end(call, -EINVAL);
    /* A program with the caller's rights for whoever starts it at the host is not a keep's to make.
     */
    if (type != S_IFDIR)
        mode &= ~(uint64_t)(S_ISUID | S_ISGID);

    struct handle *dir;
    int error = call_copy_name(call, &name);
    if (!error)
        error = call_directory(call, 0, true, &dir);
    if (error)
        return call_end(call, error);
    int fd = type == S_IFREG ? create_file(dir, name.text, mode & 07777)
                             : create_node(dir, name.text, (mode_t)mode);
    enum served served;
    if (fd < 0) {
        served = call_end(call, fd);
    } else {
        give_to(fd, uid, gid);
        served = call_answer_handle(call, fd, dir->grant, dir);
    }
    call_put(call, dir);
    return served;
}

/* Two strings, one behind the other, each ended by NUL (the second also by the end of the data). */
struct name_pair {
    char text[NAME_MAX + 1 + 4096];
    const char *second;
};

static int copy_pair(const struct server_call *call, struct name_pair *pair)
{
    /* Longer than any name and target that could be served. */
    if (call->req.data_len >= sizeof(pair->text))
        return -ENAMETOOLONG;
    uint32_t len = call_copy_bytes(call, pair->text, sizeof(pair->text));
    size_t first = strlen(pair->text);
    if (first >= len)
        return -EINVAL;
    pair->second = pair->text + first + 1;
    return name_check(pair->text);
}

enum served server_fs_symlink(struct server_call *call)
{
    struct name_pair pair;
    struct handle *dir;
    int error = copy_pair(call, &pair);
    if (!error && pair.second[0] == '\0')
        error = -ENOENT;
    if (!error)
        error = call_directory(call, 0, true, &dir);
    if (error)
        return call_end(call, error);
    /* The target is bytes to the host: the server follows no link, the keep resolves its own. */
    int64_t result = symlinkat(pair.second, dir->path_fd, pair.text) < 0 ? -errno : 0;
    call_put(call, dir);
    return call_end(call, result);
}

enum served server_fs_link(struct server_call *call)
{
    struct name_buf name;
    struct handle *dir;
    int error = call_copy_name(call, &name);
    if (!error)
        error = call_directory(call, 0, true, &dir);
    if (error)
        return call_end(call, error);
    struct handle *target = call_handle(call, 1);
    int64_t result;
    if (!target) {
        result = -EBADF;
    } else if (target->grant != dir->grant) {
        /* A link from a read-only grant into a writable one would make the file writable. */
        result = -EXDEV;
    } else if (target->mode == S_IFDIR) {
        result = -EPERM;
    } else {
        struct fd_path path = fd_path(target->path_fd);
        result = linkat(AT_FDCWD, path.text, dir->path_fd, name.text, AT_SYMLINK_FOLLOW) < 0
                     ? -errno
                     : 0;
    }
    call_put(call, target);
    call_put(call, dir);
    return call_end(call, result);
}

enum served server_fs_unlink(struct server_call *call)
{
    struct name_buf name;
    struct handle *dir;
    int error = call->req.a[1] > 1 ? -EINVAL : call_copy_name(call, &name);
    if (!error)
        error = call_directory(call, 0, true, &dir);
    if (error)
        return call_end(call, error);
    int64_t result =
        unlinkat(dir->path_fd, name.text, call->req.a[1] ? AT_REMOVEDIR : 0) < 0 ? -errno : 0;
    call_put(call, dir);
    return call_end(call, result);
}

enum served server_fs_rename(struct server_call *call)
{
    struct name_pair pair;
    struct handle *from = NULL, *to = NULL;
    /* Not RENAME_WHITEOUT: it makes a device node. */
    if (call->req.a[2] & ~(uint64_t)(RENAME_NOREPLACE | RENAME_EXCHANGE))
        return call_end(call, -EINVAL);
    int error = copy_pair(call, &pair);
    if (!error)
        error = name_check(pair.second);
    if (!error)
        error = call_directory(call, 0, true, &from);
    if (!error)
        error = call_directory(call, 1, true, &to);
    if (!error && from->grant != to->grant)
        error = -EXDEV;
    if (!error && syscall(SYS_renameat2, from->path_fd, pair.text, to->path_fd, pair.second,
                          (unsigned)call->req.a[2]) < 0)
        error = -errno;
    call_put(call, from);
    call_put(call, to);
    return call_end(call, error);
}

/* Applies the attributes in the order that keeps the last word: a chown clears mode bits, a change
 * of size sets times. */
static int64_t set_attributes(const struct handle *handle, uint64_t mask,
                              const struct cella_host_stat *attr)
{
    struct fd_path path = fd_path(handle->path_fd);

    if (mask & CELLA_HOST_ATTR_SIZE) {
        if (handle->mode != S_IFREG)
            return handle->mode == S_IFDIR ? -EISDIR : -EINVAL;
        if (attr->size > INT64_MAX)
            return -EFBIG;
        if (truncate(path.text, (off_t)attr->size) < 0)
            return -errno;
    }
    if (mask & (CELLA_HOST_ATTR_UID | CELLA_HOST_ATTR_GID)) {
        uid_t uid = mask & CELLA_HOST_ATTR_UID ? attr->uid : (uid_t)-1;
        gid_t gid = mask & CELLA_HOST_ATTR_GID ? attr->gid : (gid_t)-1;
        if (fchownat(handle->path_fd, "", uid, gid, AT_EMPTY_PATH) < 0)
            return -errno;
    }
    if (mask & CELLA_HOST_ATTR_MODE) {
        if (handle->mode == S_IFLNK)
            return -EOPNOTSUPP;
        if (handle->mode != S_IFDIR && (attr->mode & (S_ISUID | S_ISGID)))
            return -EPERM;
        if (chmod(path.text, attr->mode & 07777) < 0)
            return -errno;
    }
    if (mask & (CELLA_HOST_ATTR_ATIME | CELLA_HOST_ATTR_MTIME)) {
        if (attr->atime_nsec > 999999999 || attr->mtime_nsec > 999999999)
            return -EINVAL;
        struct timespec times[2] = {
            {.tv_sec = attr->atime_sec,
             .tv_nsec = mask & CELLA_HOST_ATTR_ATIME ? (long)attr->atime_nsec : UTIME_OMIT},
            {.tv_sec = attr->mtime_sec,
             .tv_nsec = mask & CELLA_HOST_ATTR_MTIME ? (long)attr->mtime_nsec : UTIME_OMIT},
        };
        /* Through the magic link, which leads to the object itself, a symbolic link too. */
        if (utimensat(AT_FDCWD, path.text, times, 0) < 0)
            return -errno;
    }
    return 0;
}

enum served server_fs_setattr(struct server_call *call)
{
    struct cella_host_stat attr;
    uint64_t mask = call->req.a[1];
    if (call->req.data_len < sizeof(attr) || (mask & ~(uint64_t)CELLA_HOST_ATTR_ALL))
        return call_end(call, -EINVAL);
    if (!call->may_block && (mask & CELLA_HOST_ATTR_SIZE))
        return SERVED_LATER;
    memcpy(&attr, call->data, sizeof(attr));
    struct handle *handle = call_handle(call, 0);
    if (!handle)
        return call_end(call, -EBADF);
    int64_t result =
        !handle->grant->writable || handle->hidden ? -EROFS : set_attributes(handle, mask, &attr);
    call_put(call, handle);
    return call_end(call, result);
}
