/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the output of a detached keep goes: LOG_FILES files of limited size in the keep's
 * directory, `log` the newest, then log.1, log.2.
 *
 * Text: the bytes as they came. JSON: one object a line, {"time", "stream", "text"}; a line of the
 * program that is longer than LOG_LINE_MAX bytes becomes several.
 *
 * When the disk is full, output is dropped and the program goes on; the log says how much once
 * there is room again.
 */
#ifndef CELLA_HOST_LOG_SINK_H
#define CELLA_HOST_LOG_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define LOG_FILES 3
#define LOG_LINE_MAX 16384u
#define LOG_MAX_DEFAULT (10ull << 20)
#define LOG_MAX_MIN (64ull << 10)

enum log_stream { LOG_STDOUT = 1, LOG_STDERR = 2, LOG_CELLA = 3 };

struct log_sink;

/* dir_fd: outlives the sink; max: bytes of one file. NULL with *err. */
struct log_sink *log_sink_open(int dir_fd, uint64_t max, bool json, struct cella_error *err);
/* Takes all bytes, also when they cannot be written. `data` may change while it is read. Any
 * thread. */
void log_sink_write(struct log_sink *sink, enum log_stream stream, const void *data, size_t len);
/* One line of Cella's own. */
void log_sink_line(struct log_sink *sink, const char *text);
/* Writes what is kept of unfinished lines. */
void log_sink_flush(struct log_sink *sink);

/* Name of the file that is `age` rotations old. */
const char *log_sink_name(unsigned age);

#endif
