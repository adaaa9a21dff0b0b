/* SPDX-License-Identifier: Apache-2.0 */
/* What the two files of file operations share: server_fs.c looks, server_fs_change.c changes. */
#ifndef CELLA_HOST_SERVER_FS_H
#define CELLA_HOST_SERVER_FS_H

#include <limits.h>
#include <stdio.h>

#include "server_internal.h"

struct fd_path {
    char text[32];
};

/* The path under which an O_PATH descriptor can be opened, or given to a call that takes no
 * descriptor. */
static inline struct fd_path fd_path(int fd)
{
    struct fd_path path;
    snprintf(path.text, sizeof(path.text), "/proc/self/fd/%d", fd);
    return path;
}

static inline enum served call_end(struct server_call *call, int64_t result)
{
    call->result = result;
    return SERVED;
}

static inline struct handle *call_handle(struct server_call *call, unsigned arg)
{
    return handle_get(&call->server->handles, call->req.a[arg]);
}

static inline void call_put(struct server_call *call, struct handle *handle)
{
    if (handle)
        handle_put(&call->server->handles, handle);
}

struct name_buf {
    char text[NAME_MAX + 2];
};

/* Copies the call's bytes into `buf` once and ends them with NUL. Result: bytes copied. */
uint32_t call_copy_bytes(const struct server_call *call, char *buf, uint32_t room);
/* One component of a path, in private memory: 0 or -errno. */
int name_check(const char *name);
/* The call's bytes as one component. */
int call_copy_name(const struct server_call *call, struct name_buf *name);
/* Directory handle `arg`, for changes when `change`: 0 with *out referenced, or -errno. */
int call_directory(struct server_call *call, unsigned arg, bool change, struct handle **out);
/* The handle's descriptor for reading or writing, opened at first use; -errno. It stays valid while
 * the caller holds its reference. */
int handle_data_fd(struct server *server, struct handle *handle, bool for_write);
/* An O_PATH descriptor for `name` in `dir`, symbolic links not taken; `cached`: -EAGAIN rather than
 * wait for a disk. */
int handle_lookup_fd(const struct handle *dir, const char *name, bool cached);
/* Makes a handle of `fd` (taken over) and answers with it and its attributes. */
enum served call_answer_handle(struct server_call *call, int fd, const struct grant *grant,
                               const struct handle *parent);

#endif
