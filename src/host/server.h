/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The request server: serves what a keep asks of the host (include/cella/host_abi.h), and nothing
 * else. It trusts no byte of the window: a request is copied once, then checked; files are reached
 * through the grants only.
 *
 * Threads: two workers take requests from the submission ring, one console thread waits for the
 * standard streams. They are created by server_create and stand still until server_start, so that
 * the wall can be closed around them first.
 */
#ifndef CELLA_HOST_SERVER_H
#define CELLA_HOST_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "cella/host_abi.h"
#include "error.h"
#include "grants.h"
#include "net_policy.h"
#include "log_sink.h"

struct server;

struct server_config {
    struct cella_host_window
        *window; /* the mapped window, its data area at CELLA_HOST_DATA_OFFSET */
    const struct grant_table *grants; /* opened; outlives the server */
    unsigned nr_cpus;                 /* of the keep */
    int stream[3];                    /* the keep's standard input, output, error */
    int log_fd;                       /* the launcher's log and --stats */
    struct net_policy *net;           /* opened; outlives the server; NULL: no network */
    struct log_sink *sink; /* NULL, or where output and log go instead; the log goes to log_fd as
                              well until the program has started */
    bool log_crlf;         /* log_fd is a terminal that was made raw */
};

/* A server with its threads, which wait for server_start. NULL with *err filled when memory or
 * threads are short. */
struct server *server_create(const struct server_config *config, struct cella_error *err);
void server_start(struct server *server);

/* A descriptor that becomes readable when the keep's program has started, a session has ended, the
 * keep asked to end, or broke the rules of the rings. */
int server_event_fd(const struct server *server);
/* Makes it not readable until the next such thing. */
void server_event_clear(struct server *server);
/* True once the keep asked to end; *status as for wait(2). */
bool server_exit_status(const struct server *server, int *status);
/* True once the rings made no sense any more; the keep must be ended. */
bool server_keep_is_broken(const struct server *server);

/* True when the keep's program could not be started: server_exit_status tells why. */
bool server_start_failed(const struct server *server);
/* True once the keep's program runs, of a keep with CELLA_BOOT_SESSIONS. */
bool server_has_started(const struct server *server);

/* ---- sessions: further programs in the keep (server_session.c); any thread ---- */

#define SERVER_SESSIONS 128u

/* Offers the keep a further program: `header` with its strings, `size` bytes, copied; its standard
 * streams, taken over on success; terminal_size as of server_session_resize, or 0. Result: the
 * session's number, or -EAGAIN when there are SERVER_SESSIONS, -ENOMEM, -ESHUTDOWN when the keep is
 * at its end. */
int64_t server_session_start(struct server *server, const struct cella_session_header *header,
                             const int stream[3], uint32_t terminal_size);
/* Sends a signal to a session's program. 0, -ESRCH, -ENOMEM, -EAGAIN. */
int server_session_signal(struct server *server, uint32_t nr, int sig);
/* Tells the size of a session's terminal, rows << 16 | columns, and the program of it. */
void server_session_resize(struct server *server, uint32_t nr, uint32_t size);
/* Nobody is there any more: closes the streams, sends SIGHUP. */
void server_session_hangup(struct server *server, uint32_t nr);
/* The number of a session whose program has ended, with its wait status; the number is void after
 * that. 0: none. */
uint32_t server_session_ended(struct server *server, int *status);

/* Raises CELLA_HOST_EVENT_* bits and wakes one CPU of the keep. Any thread. */
void server_raise_event(struct server *server, uint32_t bits);

/* Serves what is still in the ring, gives output that waits for a slow reader up to one second, and
 * ends the threads. The keep is dead, or has asked to end. */
void server_stop(struct server *server);
/* After server_stop: closes every handle and frees. */
void server_free(struct server *server);

#endif
