/* SPDX-License-Identifier: Apache-2.0 */
/* Talking to a running keep's launcher; see control.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "cleanup.h"
#include "control.h"

int control_connect(int keep_fd, const char *name, int *pid_fd, struct cella_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    /* By descriptor: a state directory's path may be longer than an address. */
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/control", keep_fd);
    cleanup_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct ucred peer;
    socklen_t len = sizeof(peer);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
        return cella_error_set(err,
                               "cannot reach the launcher of the keep '%s': %s; it is about "
                               "to start or to end",
                               name, strerror(errno));
    *pid_fd = (int)syscall(SYS_pidfd_open, peer.pid, 0);
    return steal_fd(&fd);
}

int control_send(int fd, enum control_kind kind, uint32_t value)
{
    struct control_request request = {.kind = kind, .value = value};
    return send(fd, &request, sizeof(request), MSG_NOSIGNAL) < 0 ? -1 : 0;
}

bool control_receive(int fd, struct control_reply *reply)
{
    ssize_t n;
    do
        n = recv(fd, reply, sizeof(*reply), 0);
    while (n < 0 && errno == EINTR);
    return n == sizeof(*reply) && reply->answer >= CONTROL_DONE && reply->answer <= CONTROL_REFUSED;
}

int control_send_exec(int fd, uint32_t terminal_size, const struct cella_session_header *header,
                      const int stream[3])
{
    struct control_request request = {.kind = CONTROL_EXEC, .value = terminal_size};
    struct iovec parts[] = {{&request, sizeof(request)}, {(void *)header, header->size}};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(3 * sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = parts,
                             .msg_iovlen = 2,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(3 * sizeof(int));
    memcpy(CMSG_DATA(rights), stream, 3 * sizeof(int));
    return sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? -1 : 0;
}
