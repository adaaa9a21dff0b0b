/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keep's standard streams. A worker writes what the stream takes at once; the rest, and every
 * read, waits in a queue of the console thread, so that neither a slow reader of our output nor a
 * silent terminal holds up other requests.
 *
 * The streams belong to the caller too, so they are never made non-blocking: poll says that a piece
 * of PIECE bytes will not wait.
 */
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>

#include "cleanup.h"
#include "server_internal.h"

/* PIPE_BUF: poll reports a pipe as writable when this much fits. */
#define PIECE 4096u
#define READ_MAX (64u << 10)

enum { STREAM_IN, STREAM_OUT, STREAM_ERR };

void console_session_open(struct console_session *session, uint32_t nr, const int fd[3])
{
    *session = (struct console_session){.nr = nr, .used = true};
    for (int i = 0; i < 3; i++) {
        struct stat st;
        session->fd[i] = fd[i];
        session->is_regular[i] = fstat(fd[i], &st) == 0 && S_ISREG(st.st_mode);
    }
}

int console_init(struct console *console, const struct server_config *config)
{
    pthread_mutex_init(&console->lock, NULL);
    pthread_cond_init(&console->drained, NULL);
    console_session_open(&console->session[0], 0, config->stream);
    console->log_fd = config->log_fd;
    console->sink = config->sink;
    console->log_crlf = config->log_crlf;
    console->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return console->kick_fd < 0 ? -1 : 0;
}

void console_free(struct console *console)
{
    close(console->kick_fd);
    pthread_mutex_destroy(&console->lock);
    pthread_cond_destroy(&console->drained);
}

void console_kick(struct console *console)
{
    uint64_t one = 1;
    if (write(console->kick_fd, &one, sizeof(one)) < 0)
        return; /* full: the thread will wake anyway */
}

struct console_session *console_session_find(struct console *console, uint64_t nr)
{
    for (unsigned i = 0; i <= SERVER_SESSIONS; i++)
        if (console->session[i].used && console->session[i].nr == nr)
            return &console->session[i];
    return NULL;
}

static void enqueue(struct console *console, struct console_session *session, int stream,
                    const struct server_call *call, uint32_t done)
{
    struct console_request *request = &console->pool[call->slot];
    *request = (struct console_request){
        .slot = call->slot, .data = call->data, .len = call->req.data_len, .done = done};
    if (session->tail[stream])
        session->tail[stream]->next = request;
    else
        session->head[stream] = request;
    session->tail[stream] = request;
    console_kick(console);
}

static bool output_waits(const struct console *console)
{
    for (unsigned i = 0; i <= SERVER_SESSIONS; i++)
        if (console->session[i].head[STREAM_OUT] || console->session[i].head[STREAM_ERR])
            return true;
    return false;
}

static void dequeue(struct console *console, struct console_session *session, int stream)
{
    session->head[stream] = session->head[stream]->next;
    if (!session->head[stream])
        session->tail[stream] = NULL;
    if (!session->head[stream] && !output_waits(console))
        pthread_cond_broadcast(&console->drained);
}

void console_session_close(struct server *server, struct console_session *session)
{
    for (int stream = 0; stream < 3; stream++) {
        while (session->head[stream]) {
            struct console_request *request = session->head[stream];
            int64_t result = stream == STREAM_IN ? 0 : request->done ? request->done : -EIO;
            uint32_t slot = request->slot;
            dequeue(&server->console, session, stream);
            server_complete(server, slot, result, 0);
        }
        if (!session->gone)
            close(session->fd[stream]);
    }
    session->gone = true;
    console_kick(&server->console);
}

static bool is_ready(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, 0) > 0;
}

/* Writes what the stream takes without waiting; for the console thread, at least tries once after
 * poll. Result: bytes, or -errno when none. */
static int64_t write_ready(const struct console_session *session, int stream, const uint8_t *data,
                           uint32_t len)
{
    uint32_t done = 0;
    while (done < len) {
        uint32_t piece = len - done;
        if (!session->is_regular[stream]) {
            if (!is_ready(session->fd[stream], POLLOUT))
                break;
            if (piece > PIECE)
                piece = PIECE;
        }
        ssize_t n = write(session->fd[stream], data + done, piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            return done ? (int64_t)done : -errno;
        done += (uint32_t)n;
    }
    return done;
}

/* ---- the launcher's own lines ---- */

/* Writes all or gives up at an error; used for text of at most one request. */
static void write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        text += n;
        len -= (size_t)n;
    }
}

/* To a terminal that does not make CR LF of LF itself. */
static void write_lines_raw(int fd, const char *text, size_t len)
{
    for (const char *end; (end = memchr(text, '\n', len)) != NULL;) {
        size_t line = (size_t)(end - text);
        write_all(fd, text, line);
        write_all(fd, "\r\n", 2);
        text += line + 1;
        len -= line + 1;
    }
    write_all(fd, text, len);
}

/* Text of the keep's kernel goes to the user's terminal beside the launcher's own, so only plain
 * text passes. A newline is added where there is none. */
static int64_t log_text(struct server *server, const uint8_t *data, uint32_t len)
{
    struct console *console = &server->console;
    char text[4096 + 1];
    for (uint32_t at = 0; at < len;) {
        uint32_t n = len - at < sizeof(text) - 1 ? len - at : (uint32_t)sizeof(text) - 1;
        memcpy(text, data + at, n);
        at += n;
        for (uint32_t i = 0; i < n; i++)
            if (((unsigned char)text[i] < ' ' && text[i] != '\n' && text[i] != '\t') ||
                text[i] == 0x7f)
                text[i] = '?';
        if (at == len && text[n - 1] != '\n')
            text[n++] = '\n';
        if (console->sink)
            log_sink_write(console->sink, LOG_CELLA, text, n);
        if (console->sink && atomic_load(&server->started))
            continue;
        if (console->log_crlf)
            write_lines_raw(console->log_fd, text, n);
        else
            write_all(console->log_fd, text, n);
    }
    return len;
}

/* ---- requests ---- */

/* Finds the session of a request: NULL with an answer for the keep when there is none. */
static struct console_session *session_of(struct server_call *call)
{
    struct console_session *session =
        console_session_find(&call->server->console, call->req.a[0] >> 2);
    call->result = session ? 0 : -EINVAL;
    return session;
}

enum served console_write(struct server_call *call)
{
    struct console *console = &call->server->console;
    int stream = call->req.a[0] & 3;
    if (call->req.a[0] == 3) {
        call->result = log_text(call->server, call->data, call->req.data_len);
        return SERVED;
    }
    if (stream != STREAM_OUT && stream != STREAM_ERR) {
        call->result = -EINVAL;
        return SERVED;
    }
    if (console->sink && call->req.a[0] >> 2 == 0) {
        log_sink_write(console->sink, (enum log_stream)stream, call->data, call->req.data_len);
        call->result = call->req.data_len;
        return SERVED;
    }
    pthread_mutex_lock(&console->lock);
    struct console_session *session = session_of(call);
    bool wait = false;
    if (session && session->gone) {
        call->result = -EIO;
    } else if (session) {
        if (!session->head[stream])
            call->result = write_ready(session, stream, call->data, call->req.data_len);
        wait = call->result >= 0 && call->result < call->req.data_len;
        if (wait)
            enqueue(console, session, stream, call, (uint32_t)call->result);
    }
    pthread_mutex_unlock(&console->lock);
    return wait ? SERVED_PENDING : SERVED;
}

enum served console_read(struct server_call *call)
{
    struct console *console = &call->server->console;
    bool wait = false;
    pthread_mutex_lock(&console->lock);
    struct console_session *session = session_of(call);
    if ((call->req.a[0] & 3) != STREAM_IN) {
        call->result = -EINVAL;
    } else if (session && !session->gone && call->req.data_len) {
        enqueue(console, session, STREAM_IN, call, 0);
        wait = true;
    }
    pthread_mutex_unlock(&console->lock);
    return wait ? SERVED_PENDING : SERVED;
}

enum served console_size(struct server_call *call)
{
    struct console *console = &call->server->console;
    struct winsize size;
    pthread_mutex_lock(&console->lock);
    const struct console_session *session = console_session_find(console, call->req.a[0]);
    call->result = -ENOTTY;
    if (!session)
        call->result = -EINVAL;
    else if (session->size) /* as the client said, whose terminal it is */
        call->result = session->size;
    else if (session->nr == 0 && ioctl(session->fd[STREAM_IN], TIOCGWINSZ, &size) == 0)
        call->result = (int64_t)size.ws_row << 16 | size.ws_col;
    pthread_mutex_unlock(&console->lock);
    return SERVED;
}

/* Takes the waiting request of this slot out of a session's queues; NULL: it has none. */
static struct console_request *take_out(struct console *console, struct console_session *session,
                                        uint32_t slot)
{
    for (int stream = 0; stream < 3; stream++) {
        struct console_request *before = NULL;
        for (struct console_request *r = session->head[stream]; r; before = r, r = r->next) {
            if (r->slot != slot)
                continue;
            if (!before) {
                dequeue(console, session, stream);
            } else {
                before->next = r->next;
                if (session->tail[stream] == r)
                    session->tail[stream] = before;
            }
            return r;
        }
    }
    return NULL;
}

void console_cancel(struct server *server, uint32_t slot)
{
    struct console *console = &server->console;
    struct console_request *found = NULL;
    pthread_mutex_lock(&console->lock);
    for (unsigned i = 0; i <= SERVER_SESSIONS && !found; i++)
        found = take_out(console, &console->session[i], slot);
    /* Output that went out before counts, as it does for write(2). */
    int64_t result = found && found->done ? (int64_t)found->done : -EINTR;
    pthread_mutex_unlock(&console->lock);
    if (found) {
        console_kick(console);
        server_complete(server, slot, result, 0);
    }
}

/* ---- the console thread ---- */

/* Somebody else may have taken the input that poll saw, and this thread serves all streams. */
static void serve_read(struct server *server, struct console_session *session)
{
    struct console_request *request = session->head[STREAM_IN];
    uint32_t len = request->len < READ_MAX ? request->len : READ_MAX;
    if (!is_ready(session->fd[STREAM_IN], POLLIN))
        return;
    ssize_t n = read(session->fd[STREAM_IN], request->data, len);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    uint32_t slot = request->slot;
    int64_t result = n < 0 ? -errno : n;
    dequeue(&server->console, session, STREAM_IN);
    server_complete(server, slot, result, n > 0 ? (uint32_t)n : 0);
}

static void serve_write(struct server *server, struct console_session *session, int stream)
{
    struct console_request *request = session->head[stream];
    int64_t n =
        write_ready(session, stream, request->data + request->done, request->len - request->done);
    if (n >= 0)
        request->done += (uint32_t)n;
    if (n >= 0 && request->done < request->len)
        return;
    uint32_t slot = request->slot;
    int64_t result = n >= 0 || request->done ? (int64_t)request->done : n;
    dequeue(&server->console, session, stream);
    server_complete(server, slot, result, 0);
}

void *console_thread(void *arg)
{
    struct server *server = arg;
    struct console *console = &server->console;
    struct pollfd p[1 + 3 * (1 + SERVER_SESSIONS)];
    struct {
        uint32_t nr;
        int stream;
    } who[sizeof(p) / sizeof(p[0])];

    pthread_mutex_lock(&console->lock);
    while (!console->stopping) {
        nfds_t count = 0;
        p[count++] = (struct pollfd){.fd = console->kick_fd, .events = POLLIN};
        for (unsigned i = 0; i <= SERVER_SESSIONS; i++)
            for (int stream = 0; stream < 3; stream++) {
                const struct console_session *session = &console->session[i];
                if (!session->used || !session->head[stream])
                    continue;
                who[count].nr = session->nr;
                who[count].stream = stream;
                p[count++] = (struct pollfd){.fd = session->fd[stream],
                                             .events = stream == STREAM_IN ? POLLIN : POLLOUT};
            }
        pthread_mutex_unlock(&console->lock);
        int ready = poll(p, count, -1);
        uint64_t kicks;
        if (ready > 0 && p[0].revents && read(console->kick_fd, &kicks, sizeof(kicks)) < 0)
            ready = 0;
        pthread_mutex_lock(&console->lock);
        /* Queues and sessions may have changed meanwhile; each stream is asked again. */
        for (nfds_t i = 1; ready > 0 && i < count; i++) {
            struct console_session *session = console_session_find(console, who[i].nr);
            if (!p[i].revents || !session || !session->head[who[i].stream])
                continue;
            if (who[i].stream == STREAM_IN)
                serve_read(server, session);
            else
                serve_write(server, session, who[i].stream);
        }
    }
    pthread_mutex_unlock(&console->lock);
    return NULL;
}

void console_stop(struct console *console, unsigned timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + (uint64_t)timeout_ms * 1000000u;
    until.tv_sec += (time_t)(ns / 1000000000u);
    until.tv_nsec = (long)(ns % 1000000000u);

    pthread_mutex_lock(&console->lock);
    int error = 0;
    while (!error && output_waits(console))
        error = pthread_cond_timedwait(&console->drained, &console->lock, &until);
    console->stopping = true;
    pthread_mutex_unlock(&console->lock);
    console_kick(console);
}
