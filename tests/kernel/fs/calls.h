/* SPDX-License-Identifier: Apache-2.0 */
/* System calls as the tests of this folder use them: strings and buffers of the kernel are copied
 * into workload memory first. */
#ifndef CELLA_TESTS_KERNEL_FS_CALLS_H
#define CELLA_TESTS_KERNEL_FS_CALLS_H

#include "base/errno.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "fs/vfs.h"
#include "ktest.h"
#include "proc/task.h"

int64_t sys_open(uaddr_t name, int flags, uint32_t mode);
int64_t sys_close(int fd);
int64_t sys_read(int fd, uaddr_t buf, uint64_t count);
int64_t sys_write(int fd, uaddr_t buf, uint64_t count);
int64_t sys_pread64(int fd, uaddr_t buf, uint64_t count, int64_t pos);
int64_t sys_pwrite64(int fd, uaddr_t buf, uint64_t count, int64_t pos);
int64_t sys_lseek(int fd, int64_t off, uint32_t whence);
int64_t sys_mkdir(uaddr_t name, uint32_t mode);
int64_t sys_rmdir(uaddr_t name);
int64_t sys_unlink(uaddr_t name);
int64_t sys_rename(uaddr_t old_name, uaddr_t new_name);
int64_t sys_renameat2(int old_dirfd, uaddr_t old_name, int new_dirfd, uaddr_t new_name,
                      uint32_t flags);
int64_t sys_link(uaddr_t old_name, uaddr_t new_name);
int64_t sys_symlink(uaddr_t target, uaddr_t name);
int64_t sys_readlink(uaddr_t name, uaddr_t buf, int size);
int64_t sys_truncate(uaddr_t name, int64_t size);
int64_t sys_ftruncate(int fd, int64_t size);
int64_t sys_fallocate(int fd, int mode, int64_t off, int64_t len);
int64_t sys_chdir(uaddr_t name);
int64_t sys_getcwd(uaddr_t buf, uint64_t size);
int64_t sys_mount(uaddr_t source, uaddr_t target, uaddr_t type, uint64_t flags, uaddr_t data);
int64_t sys_umount2(uaddr_t target, int flags);
int64_t sys_getdents64(int fd, uaddr_t buf, uint32_t size);
int64_t sys_setxattr(uaddr_t path, uaddr_t name, uaddr_t value, uint64_t size, int flags);
int64_t sys_getxattr(uaddr_t path, uaddr_t name, uaddr_t value, uint64_t size);
int64_t sys_dup(int fd);
int64_t sys_dup2(int old_fd, int new_fd);
int64_t sys_dup3(int old_fd, int new_fd, int flags);
int64_t sys_close_range(uint32_t first, uint32_t last, uint32_t flags);
int64_t sys_fcntl(int fd, int cmd, uint64_t arg);
int64_t sys_flock(int fd, uint32_t op);
int64_t sys_unshare(uint64_t flags);
int64_t sys_pipe2(uaddr_t fds, int flags);
int64_t sys_eventfd2(unsigned count, int flags);
int64_t sys_epoll_create1(int flags);
int64_t sys_epoll_ctl(int epfd, int op, int fd, uaddr_t user_event);
int64_t sys_epoll_wait(int epfd, uaddr_t events, int max, int timeout_ms);
int64_t sys_poll(uaddr_t ufds, unsigned nr, int timeout_ms);
int64_t sys_memfd_create(uaddr_t user_name, unsigned flags);
int64_t sys_splice(int fd_in, uaddr_t user_off_in, int fd_out, uaddr_t user_off_out, uint64_t len,
                   unsigned flags);

#define US(s) ktest_string(s)

static inline int64_t open_file(const char *name, int flags)
{
    return sys_open(US(name), flags, 0644);
}

/* write(2) of kernel bytes. */
static inline int64_t put(int fd, const void *p, size_t n)
{
    return sys_write(fd, ktest_bytes(p, n), n);
}

/* read(2) into kernel bytes. */
static inline int64_t get(int fd, void *p, size_t n)
{
    uaddr_t u = ktest_map(n);
    int64_t r = sys_read(fd, u, n);
    return r > 0 && copy_from_user(p, u, (size_t)r) ? -EFAULT : r;
}

/* Makes (or replaces) a file with that text. 0 or negative errno. */
static inline int64_t make_file(const char *name, const char *text)
{
    int64_t fd = open_file(name, O_CREAT_K | O_TRUNC_K | O_WRONLY_K);
    if (fd < 0)
        return fd;
    int64_t r = strlen(text) ? put((int)fd, text, strlen(text)) : 0;
    sys_close((int)fd);
    return r < 0 ? r : 0;
}

/* Does the file hold just that text? */
static inline bool file_holds(const char *name, const char *text)
{
    char buf[256];
    int64_t fd = open_file(name, O_RDONLY_K);
    if (fd < 0)
        return false;
    int64_t n = get((int)fd, buf, sizeof(buf));
    sys_close((int)fd);
    return n == (int64_t)strlen(text) && memcmp(buf, text, (size_t)n) == 0;
}

#endif
