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

int console_init(struct console *console, const struct server_config *config)
{
    pthread_mutex_init(&console->lock, NULL);
    pthread_cond_init(&console->drained, NULL);
    for (int i = 0; i < 3; i++) {
        struct stat st;
        console->fd[i] = config->stream[i];
        console->is_regular[i] = fstat(config->stream[i], &st) == 0 && S_ISREG(st.st_mode);
    }
    console->log_fd = config->log_fd;
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

static void kick(struct console *console)
{
    uint64_t one = 1;
    if (write(console->kick_fd, &one, sizeof(one)) < 0)
        return; /* full: the thread will wake anyway */
}

static void enqueue(struct console *console, int stream, const struct server_call *call,
                    uint32_t done)
{
    struct console_request *request = &console->pool[call->slot];
    *request = (struct console_request){
        .slot = call->slot, .data = call->data, .len = call->req.data_len, .done = done};
    if (console->tail[stream])
        console->tail[stream]->next = request;
    else
        console->head[stream] = request;
    console->tail[stream] = request;
    kick(console);
}

static void dequeue(struct console *console, int stream)
{
    console->head[stream] = console->head[stream]->next;
    if (!console->head[stream])
        console->tail[stream] = NULL;
    if (!console->head[STREAM_OUT] && !console->head[STREAM_ERR])
        pthread_cond_broadcast(&console->drained);
}

static bool is_ready(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, 0) > 0;
}

/* Writes what the stream takes without waiting; for the console thread, at least tries once after
 * poll. Result: bytes, or -errno when none. */
static int64_t write_ready(struct console *console, int stream, const uint8_t *data, uint32_t len)
{
    uint32_t done = 0;
    while (done < len) {
        uint32_t piece = len - done;
        if (!console->is_regular[stream]) {
            if (!is_ready(console->fd[stream], POLLOUT))
                break;
            if (piece > PIECE)
                piece = PIECE;
        }
        ssize_t n = write(console->fd[stream], data + done, piece);
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
static int64_t log_text(struct console *console, const uint8_t *data, uint32_t len)
{
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
        if (console->log_crlf)
            write_lines_raw(console->log_fd, text, n);
        else
            write_all(console->log_fd, text, n);
    }
    return len;
}

/* ---- requests ---- */

enum served console_write(struct server_call *call)
{
    struct console *console = &call->server->console;
    uint64_t stream = call->req.a[0];
    if (stream == 3) {
        call->result = log_text(console, call->data, call->req.data_len);
        return SERVED;
    }
    if (stream != STREAM_OUT && stream != STREAM_ERR) {
        call->result = -EINVAL;
        return SERVED;
    }
    pthread_mutex_lock(&console->lock);
    int64_t done = 0;
    if (!console->head[stream])
        done = write_ready(console, (int)stream, call->data, call->req.data_len);
    bool wait = done >= 0 && done < call->req.data_len;
    if (wait)
        enqueue(console, (int)stream, call, (uint32_t)done);
    pthread_mutex_unlock(&console->lock);
    call->result = done;
    return wait ? SERVED_PENDING : SERVED;
}

enum served console_read(struct server_call *call)
{
    struct console *console = &call->server->console;
    if (call->req.a[0] != STREAM_IN || call->req.data_len == 0) {
        call->result = call->req.a[0] != STREAM_IN ? -EINVAL : 0;
        return SERVED;
    }
    pthread_mutex_lock(&console->lock);
    enqueue(console, STREAM_IN, call, 0);
    pthread_mutex_unlock(&console->lock);
    return SERVED_PENDING;
}

enum served console_size(struct server_call *call)
{
    struct winsize size;
    bool known =
        call->req.a[0] == 0 && ioctl(call->server->console.fd[STREAM_IN], TIOCGWINSZ, &size) == 0;
    call->result = known ? (int64_t)size.ws_row << 16 | size.ws_col : -ENOTTY;
    return SERVED;
}

void console_cancel(struct server *server, uint32_t slot)
{
    struct console *console = &server->console;
    struct console_request *found = NULL;
    pthread_mutex_lock(&console->lock);
    for (int stream = 0; stream < 3 && !found; stream++) {
        struct console_request *before = NULL;
        for (struct console_request *r = console->head[stream]; r; before = r, r = r->next) {
            if (r->slot != slot)
                continue;
            found = r;
            if (!before) {
                dequeue(console, stream);
            } else {
                before->next = r->next;
                if (console->tail[stream] == r)
                    console->tail[stream] = before;
            }
            break;
        }
    }
    /* Output that went out before counts, as it does for write(2). */
    int64_t result = found && found->done ? (int64_t)found->done : -EINTR;
    pthread_mutex_unlock(&console->lock);
    if (found) {
        kick(console);
        server_complete(server, slot, result, 0);
    }
}

/* ---- the console thread ---- */

static void serve_read(struct server *server, struct console *console)
{
    struct console_request *request = console->head[STREAM_IN];
    uint32_t len = request->len < READ_MAX ? request->len : READ_MAX;
    ssize_t n = read(console->fd[STREAM_IN], request->data, len);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    uint32_t slot = request->slot;
    int64_t result = n < 0 ? -errno : n;
    dequeue(console, STREAM_IN);
    server_complete(server, slot, result, n > 0 ? (uint32_t)n : 0);
}

static void serve_write(struct server *server, struct console *console, int stream)
{
    struct console_request *request = console->head[stream];
    int64_t n =
        write_ready(console, stream, request->data + request->done, request->len - request->done);
    if (n >= 0)
        request->done += (uint32_t)n;
    if (n >= 0 && request->done < request->len)
        return;
    uint32_t slot = request->slot;
    int64_t result = n >= 0 || request->done ? (int64_t)request->done : n;
    dequeue(console, stream);
    server_complete(server, slot, result, 0);
}

void *console_thread(void *arg)
{
    struct server *server = arg;
    struct console *console = &server->console;

    pthread_mutex_lock(&console->lock);
    while (!console->stopping) {
        /* A negative descriptor is passed over. */
        struct pollfd p[4] = {
            {.fd = console->head[STREAM_IN] ? console->fd[STREAM_IN] : -1, .events = POLLIN},
            {.fd = console->head[STREAM_OUT] ? console->fd[STREAM_OUT] : -1, .events = POLLOUT},
            {.fd = console->head[STREAM_ERR] ? console->fd[STREAM_ERR] : -1, .events = POLLOUT},
            {.fd = console->kick_fd, .events = POLLIN},
        };
        pthread_mutex_unlock(&console->lock);
        int ready = poll(p, 4, -1);
        uint64_t count;
        if (ready > 0 && p[3].revents && read(console->kick_fd, &count, sizeof(count)) < 0)
            ready = 0;
        pthread_mutex_lock(&console->lock);
        if (ready <= 0)
            continue;
        /* The queues may have changed meanwhile; each stream is asked again. */
        if (p[0].revents && console->head[STREAM_IN])
            serve_read(server, console);
        for (int stream = STREAM_OUT; stream <= STREAM_ERR; stream++)
            if (p[stream].revents && console->head[stream])
                serve_write(server, console, stream);
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
    while (!error && (console->head[STREAM_OUT] || console->head[STREAM_ERR]))
        error = pthread_cond_timedwait(&console->drained, &console->lock, &until);
    console->stopping = true;
    pthread_mutex_unlock(&console->lock);
    kick(console);
}
