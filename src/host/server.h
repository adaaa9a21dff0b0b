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

struct server;

struct server_config {
    struct cella_host_window
        *window; /* the mapped window, its data area at CELLA_HOST_DATA_OFFSET */
    const struct grant_table *grants; /* opened; outlives the server */
    unsigned nr_cpus;                 /* of the keep */
    int stream[3];                    /* the keep's standard input, output, error */
    int log_fd;                       /* the launcher's log and --stats */
    struct net_policy *net;           /* opened; outlives the server; NULL: no network */
};

/* A server with its threads, which wait for server_start. NULL with *err filled when memory or
 * threads are short. */
struct server *server_create(const struct server_config *config, struct cella_error *err);
void server_start(struct server *server);

/* A descriptor that becomes readable when the keep asked to end, or broke the rules of the rings.
 */
int server_event_fd(const struct server *server);
/* True once the keep asked to end; *status as for wait(2). */
bool server_exit_status(const struct server *server, int *status);
/* True once the rings made no sense any more; the keep must be ended. */
bool server_keep_is_broken(const struct server *server);

/* Raises CELLA_HOST_EVENT_* bits and wakes one CPU of the keep. Any thread. */
void server_raise_event(struct server *server, uint32_t bits);

/* Serves what is still in the ring, gives output that waits for a slow reader up to one second, and
 * ends the threads. The keep is dead, or has asked to end. */
void server_stop(struct server *server);
/* After server_stop: closes every handle and frees. */
void server_free(struct server *server);

#endif
