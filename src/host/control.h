/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket of a running keep: other `cella` commands of the same user talk to its
 * launcher. SOCK_SEQPACKET, one struct control_request a packet; answers are struct control_reply.
 *
 *   EXEC     a struct cella_session_header and its strings follow; the program's three standard
 *            streams come with it (SCM_RIGHTS). value: as of RESIZE. Answers: ENDED when the
 * program has, or REFUSED. One a connection; when the client hangs up, the program gets SIGHUP.
 *   SIGNAL   value: HUP, INT, QUIT or TERM, for the connection's program, or, on one without, for
 *            the keep's. Answer on one without: DONE.
 *   RESIZE   value: rows << 16 | columns of the connection's terminal.
 *   KILL     ends the keep. Answer: DONE.
 */
#ifndef CELLA_HOST_CONTROL_H
#define CELLA_HOST_CONTROL_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "cella/host_abi.h"
#include "error.h"
#include "server.h"
#include "state.h"

enum control_kind { CONTROL_EXEC = 1, CONTROL_SIGNAL, CONTROL_RESIZE, CONTROL_KILL };

struct control_request {
    uint32_t kind; /* enum control_kind */
    uint32_t value;
};

enum control_answer { CONTROL_DONE = 1, CONTROL_ENDED, CONTROL_REFUSED };

struct control_reply {
    uint32_t answer; /* enum control_answer */
    int32_t value;   /* ENDED: wait status; REFUSED: errno */
};

/* ---- the launcher's side (control.c); one thread ---- */

struct control;

/* Makes the socket in the keep's directory. NULL with *err. */
struct control *control_open(const struct keep_dir *dir, struct cella_error *err);

#define CONTROL_POLL_MAX (1 + SERVER_SESSIONS + 16)
/* Fills p with what is to be polled; the count. */
unsigned control_poll(const struct control *control, struct pollfd *p);
/* Serves what poll found ready. True: the keep is to be ended. */
bool control_serve(struct control *control, struct server *server, const struct pollfd *p,
                   unsigned count);
/* Tells the clients of sessions whose programs have ended. */
void control_tell_ended(struct control *control, struct server *server);
/* The keep is over: every client that waits is told that its program was killed. */
void control_tell_all_killed(struct control *control);

/* ---- the other commands' side (control_client.c) ---- */

/* A connection to the launcher of the keep in this directory: the socket, with *pid_fd naming the
 * launcher's process; or -1. */
int control_connect(int keep_fd, const char *name, int *pid_fd, struct cella_error *err);
/* Sends a request without more. 0 or -1 with errno. */
int control_send(int fd, enum control_kind kind, uint32_t value);
/* Waits for an answer; false when the launcher is gone or talks nonsense. */
bool control_receive(int fd, struct control_reply *reply);
/* Sends EXEC; terminal_size: as RESIZE's value, 0 without one. 0 or -1 with errno. */
int control_send_exec(int fd, uint32_t terminal_size, const struct cella_session_header *header,
                      const int stream[3]);

#endif
