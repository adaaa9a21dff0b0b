/* SPDX-License-Identifier: Apache-2.0 */
/* The launcher's end of the control socket; see control.h. Clients are of the keep's own user or
 * root; what they send is still checked, for it goes on to the keep. */
#include "control.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "cleanup.h"
#include "message.h"

#define MAX_CLIENTS (CONTROL_POLL_MAX - 1)

struct client {
    int fd;           /* -1: free */
    uint32_t session; /* 0: none */
};

struct control {
    int fd;
    uid_t uid; /* ours; behind the wall nobody tells */
    struct client client[MAX_CLIENTS];
    uint8_t packet[sizeof(struct control_request) + CELLA_SESSION_MAX + 1];
};

struct control *control_open(const struct keep_dir *dir, struct cella_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct control *control = calloc(1, sizeof(*control));
    if (!control) {
        cella_error_set(err, "out of memory");
        return NULL;
    }
    control->uid = geteuid();
    for (unsigned i = 0; i < MAX_CLIENTS; i++)
        control->client[i].fd = -1;
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/control", dir->fd);
    control->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (control->fd < 0 || bind(control->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(control->fd, 64) < 0) {
        cella_error_set(err, "cannot make the control socket of the keep '%s': %s", dir->name,
                        strerror(errno));
        if (control->fd >= 0)
            close(control->fd);
        free(control);
        return NULL;
    }
    return control;
}

unsigned control_poll(const struct control *control, struct pollfd *p)
{
    /* Free places are passed over by poll: places in p and in client[] are the same. With none
     * free, who connects waits. */
    bool room = false;
    for (unsigned i = 0; i < MAX_CLIENTS; i++) {
        p[1 + i] = (struct pollfd){.fd = control->client[i].fd, .events = POLLIN};
        room |= control->client[i].fd < 0;
    }
    p[0] = (struct pollfd){.fd = room ? control->fd : -1, .events = POLLIN};
    return CONTROL_POLL_MAX;
}

static void client_accept(struct control *control)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
        (peer.uid == control->uid || peer.uid == 0))
        for (unsigned i = 0; i < MAX_CLIENTS; i++)
            if (control->client[i].fd < 0) {
                control->client[i] = (struct client){.fd = fd};
                return;
            }
    close(fd);
}

static void client_close(struct client *client)
{
    close(client->fd);
    *client = (struct client){.fd = -1};
}

static void client_answer(struct client *client, enum control_answer answer, int32_t value)
{
    struct control_reply reply = {.answer = answer, .value = value};
    if (send(client->fd, &reply, sizeof(reply), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        message(MESSAGE_DEBUG, "a client of the control socket is gone: %s", strerror(errno));
}

/* ---- requests ---- */

/* The header at p with size bytes: is it what the keep's kernel expects? It checks again. */
static bool is_session(const uint8_t *p, size_t size)
{
    struct cella_session_header h;
    if (size < sizeof(h) || size > CELLA_SESSION_MAX)
        return false;
    memcpy(&h, p, sizeof(h));
    if (h.size != size || (h.flags & ~(uint32_t)CELLA_SESSION_TERMINAL) || h.signal || h.pad ||
        h.nr_args == 0 || p[size - 1] != '\0')
        return false;
    uint64_t nr_strings = 0;
    for (size_t i = sizeof(h); i < size; i++)
        nr_strings += p[i] == '\0';
    return nr_strings == 1 + (uint64_t)h.nr_args + h.nr_env;
}

static void serve_exec(struct client *client, struct server *server, uint32_t size,
                       const uint8_t *packet, size_t len, int stream[3])
{
    struct cella_session_header *header;
    int64_t nr = -EINVAL;
    if (!client->session && stream[2] >= 0 && is_session(packet, len)) {
        header = malloc(len);
        nr = -ENOMEM;
        if (header) {
            memcpy(header, packet, len);
            nr = server_session_start(server, header, stream, size);
            free(header);
        }
    }
    if (nr < 0) {
        client_answer(client, CONTROL_REFUSED, (int32_t)-nr);
        return;
    }
    client->session = (uint32_t)nr;
    stream[0] = stream[1] = stream[2] = -1;
    message(MESSAGE_DEBUG, "session %u starts", client->session);
}

static void serve_signal(struct client *client, struct server *server, uint32_t sig)
{
    static const struct {
        uint32_t signal, event;
    } known[] = {{SIGHUP, CELLA_HOST_EVENT_HUP},
                 {SIGINT, CELLA_HOST_EVENT_INT},
                 {SIGQUIT, CELLA_HOST_EVENT_QUIT},
                 {SIGTERM, CELLA_HOST_EVENT_TERM}};
    for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].signal != sig)
            continue;
        if (client->session) {
            server_session_signal(server, client->session, (int)sig);
        } else {
            server_raise_event(server, known[i].event);
            client_answer(client, CONTROL_DONE, 0);
        }
        return;
    }
    client_answer(client, CONTROL_REFUSED, EINVAL);
}

/* Takes one packet. Result: -1 the client is gone, 1 the keep is to be ended, else 0. */
static int client_serve(struct control *control, struct client *client, struct server *server)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(3 * sizeof(int))];
    } rights;
    struct iovec part = {control->packet, sizeof(control->packet)};
    struct msghdr msg = {.msg_iov = &part,
                         .msg_iovlen = 1,
                         .msg_control = &rights,
                         .msg_controllen = CMSG_LEN(3 * sizeof(int))}; /* room for no fourth */
    ssize_t n = recvmsg(client->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0)
        return -1;
    /* Whatever was passed must be closed again unless a session takes it. */
    int stream[3] = {-1, -1, -1};
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
            size_t size = c->cmsg_len - CMSG_LEN(0);
            memcpy(stream, CMSG_DATA(c), size < sizeof(stream) ? size : sizeof(stream));
        }
    struct control_request request;
    int result = 0;
    if ((size_t)n < sizeof(request) || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        result = -1;
    } else {
        memcpy(&request, control->packet, sizeof(request));
        switch (request.kind) {
        case CONTROL_EXEC:
            serve_exec(client, server, request.value, control->packet + sizeof(request),
                       (size_t)n - sizeof(request), stream);
            break;
        case CONTROL_SIGNAL: serve_signal(client, server, request.value); break;
        case CONTROL_RESIZE:
            if (client->session)
                server_session_resize(server, client->session, request.value);
            break;
        case CONTROL_KILL:
            client_answer(client, CONTROL_DONE, 0);
            result = 1;
            break;
        default: result = -1;
        }
    }
    for (int i = 0; i < 3; i++)
        if (stream[i] >= 0)
            close(stream[i]);
    return result;
}

bool control_serve(struct control *control, struct server *server, const struct pollfd *p,
                   unsigned count)
{
    bool end = false;
    for (unsigned i = 1; i < count; i++) {
        struct client *client = &control->client[i - 1];
        if (p[i].fd < 0 || !p[i].revents)
            continue;
        int result = client_serve(control, client, server);
        if (result < 0) {
            if (client->session)
                server_session_hangup(server, client->session);
            client_close(client);
        }
        end |= result > 0;
    }
    if (p[0].fd >= 0 && p[0].revents)
        client_accept(control);
    return end;
}

void control_tell_ended(struct control *control, struct server *server)
{
    int status;
    for (uint32_t nr; (nr = server_session_ended(server, &status));) {
        message(MESSAGE_DEBUG, "session %u has ended with status %#x", nr, status);
        for (unsigned i = 0; i < MAX_CLIENTS; i++)
            if (control->client[i].fd >= 0 && control->client[i].session == nr) {
                client_answer(&control->client[i], CONTROL_ENDED, status);
                client_close(&control->client[i]);
            }
    }
}

void control_tell_all_killed(struct control *control)
{
    for (unsigned i = 0; i < MAX_CLIENTS; i++)
        if (control->client[i].fd >= 0) {
            if (control->client[i].session)
                client_answer(&control->client[i], CONTROL_ENDED, SIGKILL);
            client_close(&control->client[i]);
        }
}
