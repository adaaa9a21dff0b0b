/* SPDX-License-Identifier: Apache-2.0 */
/* Log files with rotation; see log_sink.h. */
#include "log_sink.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "json.h"

struct line {
    char text[LOG_LINE_MAX];
    size_t len;
};

struct log_sink {
    pthread_mutex_t lock; /* guards all below */
    int dir_fd, fd;       /* fd -1: could not be opened, to be tried again */
    uint64_t max, size;
    bool json;
    uint64_t dropped;  /* bytes since the last that was written */
    struct line *line; /* JSON: an unfinished line of each stream, index stream - 1 */
    char *object;      /* JSON: room for one formatted line */
};

#define OBJECT_MAX (JSON_STRING_MAX(LOG_LINE_MAX) + 128)

const char *log_sink_name(unsigned age)
{
    static const char *const names[LOG_FILES] = {"log", "log.1", "log.2"};
    return names[age];
}

static int open_newest(struct log_sink *sink)
{
    sink->fd = openat(sink->dir_fd, log_sink_name(0),
                      O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    return sink->fd;
}

struct log_sink *log_sink_open(int dir_fd, uint64_t max, bool json, struct cella_error *err)
{
    struct log_sink *sink = calloc(1, sizeof(*sink));
    if (sink) {
        *sink = (struct log_sink){.dir_fd = dir_fd, .max = max, .json = json};
        sink->line = json ? calloc(3, sizeof(*sink->line)) : NULL;
        sink->object = json ? malloc(OBJECT_MAX) : NULL;
    }
    if (!sink || (json && (!sink->line || !sink->object))) {
        cella_error_set(err, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&sink->lock, NULL);
    if (open_newest(sink) < 0) {
        cella_error_set(err, "cannot make the log file: %s", strerror(errno));
        return NULL;
    }
    return sink;
}

static void rotate(struct log_sink *sink)
{
    if (sink->fd >= 0)
        close(sink->fd);
    for (unsigned age = LOG_FILES - 1; age > 0; age--)
        renameat2(sink->dir_fd, log_sink_name(age - 1), sink->dir_fd, log_sink_name(age), 0);
    open_newest(sink);
    sink->size = 0;
}

/* Appends bytes that belong together. */
static void append(struct log_sink *sink, const char *data, size_t len)
{
    if (sink->size && sink->size + len > sink->max)
        rotate(sink);
    if (sink->fd < 0 && open_newest(sink) < 0) {
        sink->dropped += len;
        return;
    }
    ssize_t n = write(sink->fd, data, len);
    if (n > 0)
        sink->size += (uint64_t)n;
    sink->dropped += len - (n > 0 ? (size_t)n : 0);
}

static void append_object(struct log_sink *sink, enum log_stream stream, const char *text,
                          size_t len)
{
    static const char *const names[] = {"", "stdout", "stderr", "cella"};
    struct timespec now;
    struct tm utc;
    char time[40];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t len_time = strftime(time, sizeof(time), "%FT%T", &utc);
    snprintf(time + len_time, sizeof(time) - len_time, ".%06uZ", (unsigned)now.tv_nsec / 1000);
    struct json_writer w = {.at = sink->object, .end = sink->object + OBJECT_MAX};
    json_put(&w, "{\"time\":\"");
    json_put(&w, time);
    json_put(&w, "\",\"stream\":\"");
    json_put(&w, names[stream]);
    json_put(&w, "\",\"text\":");
    json_put_string(&w, text, len);
    json_put(&w, "}\n");
    append(sink, sink->object, (size_t)(w.at - sink->object));
}

static void append_lines(struct log_sink *sink, enum log_stream stream, const char *data,
                         size_t len)
{
    struct line *line = &sink->line[stream - 1];
    for (size_t i = 0; i < len; i++) {
        if (data[i] != '\n')
            line->text[line->len++] = data[i];
        if (data[i] == '\n' || line->len == LOG_LINE_MAX) {
            append_object(sink, stream, line->text, line->len);
            line->len = 0;
        }
    }
}

/* Text is cut at the ends of lines where files change, if a line end is near. */
static void append_text(struct log_sink *sink, const char *data, size_t len)
{
    uint64_t room = sink->max > sink->size ? sink->max - sink->size : 0;
    if (len > room) {
        const char *end = room ? memrchr(data, '\n', (size_t)room) : NULL;
        size_t first = end ? (size_t)(end - data) + 1 : 0;
        if (first)
            append(sink, data, first);
        data += first;
        len -= first;
    }
    if (len)
        append(sink, data, len);
}

static void append_stream(struct log_sink *sink, enum log_stream stream, const char *data,
                          size_t len)
{
    if (sink->json)
        append_lines(sink, stream, data, len);
    else
        append_text(sink, data, len);
}

static void tell_dropped(struct log_sink *sink)
{
    uint64_t dropped = sink->dropped;
    char text[96];
    int len = snprintf(text, sizeof(text), "cella: %llu bytes of output were lost here\n",
                       (unsigned long long)dropped);
    sink->dropped = 0;
    append_stream(sink, LOG_CELLA, text, (size_t)len);
    if (sink->dropped)
        sink->dropped = dropped;
}

void log_sink_write(struct log_sink *sink, enum log_stream stream, const void *data, size_t len)
{
    char copy[LOG_LINE_MAX];
    pthread_mutex_lock(&sink->lock);
    if (sink->dropped)
        tell_dropped(sink);
    for (size_t at = 0; at < len;) {
        size_t n = len - at < sizeof(copy) ? len - at : sizeof(copy);
        memcpy(copy, (const char *)data + at, n);
        append_stream(sink, stream, copy, n);
        at += n;
    }
    pthread_mutex_unlock(&sink->lock);
}

void log_sink_line(struct log_sink *sink, const char *text)
{
    char line[800];
    int len = snprintf(line, sizeof(line), "cella: %s\n", text);
    log_sink_write(sink, LOG_CELLA, line, len < (int)sizeof(line) ? (size_t)len : sizeof(line) - 1);
}

void log_sink_flush(struct log_sink *sink)
{
    pthread_mutex_lock(&sink->lock);
    for (enum log_stream stream = LOG_STDOUT; sink->json && stream <= LOG_CELLA; stream++) {
        struct line *line = &sink->line[stream - 1];
        if (line->len)
            append_object(sink, stream, line->text, line->len);
        line->len = 0;
    }
    pthread_mutex_unlock(&sink->lock);
}
