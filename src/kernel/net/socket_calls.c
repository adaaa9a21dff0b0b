/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket calls on descriptors. There are no sockets yet, so no descriptor is one: programs that ask
 * (a shell wants to know whether its input is a network connection) get the true answer. Calls that
 * would make a socket are absent.
 */
#include "base/errno.h"
#include "fs/vfs.h"

static int64_t not_a_socket(int fd)
{
    struct file *f = fd_get(fd);
    if (!f)
        return -EBADF;
    file_put(f);
    return -ENOTSOCK;
}

int64_t sys_connect(int fd)
{
    return not_a_socket(fd);
}
int64_t sys_accept(int fd)
{
    return not_a_socket(fd);
}
int64_t sys_accept4(int fd)
{
    return not_a_socket(fd);
}
int64_t sys_bind(int fd)
{
    return not_a_socket(fd);
}
int64_t sys_listen(int fd)
{
    return not_a_socket(fd);
}
int64_t sys_shutdown(int fd)
{
    return not_a_socket(fd);
}
int64_t sys_sendto(int fd)
{
    return not_a_socket(fd);
}
int64_t sys_recvfrom(int fd)
{
    return not_a_socket(fd);
}
int64_t sys_sendmsg(int fd)
{
    return not_a_socket(fd);
}
int64_t sys_recvmsg(int fd)
{
    return not_a_socket(fd);
}
int64_t sys_getsockname(int fd)
{
    return not_a_socket(fd);
}
int64_t sys_getpeername(int fd)
{
    return not_a_socket(fd);
}
int64_t sys_setsockopt(int fd)
{
    return not_a_socket(fd);
}
int64_t sys_getsockopt(int fd)
{
    return not_a_socket(fd);
}
