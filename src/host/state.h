/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this user's named keeps leave on the host: one directory per keep in a state directory that
 * belongs to the user alone.
 *
 *   STATE/.lock          held (flock) while a keep's directory is made, removed or listed
 *   STATE/NAME/lock      held by the launcher as long as it lives: whoever finds it free knows that
 *                        the keep has ended, also after kill -9; a reboot or a reused process id
 *                        cannot deceive
 *   STATE/NAME/state     struct keep_state as JSON; replaced as a whole
 *   STATE/NAME/control   socket of the launcher (control.h)
 *   STATE/NAME/log, log.1, log.2   output of a detached keep (log_sink.h)
 *
 * STATE is $XDG_RUNTIME_DIR/cella; else /run/cella for root, /tmp/cella-UID for others. A directory
 * that is not the user's, or open to others, is refused. A launcher can write in its keep's own
 * directory, so what stands there is read as hostile.
 */
#ifndef CELLA_HOST_STATE_H
#define CELLA_HOST_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"

#define KEEP_NAME_MAX 63
#define KEEP_COMMAND_MAX 255
#define KEEP_PORTS_MAX 255

struct keep_state {
    int64_t created_s; /* CLOCK_REALTIME */
    int64_t ended_s;   /* 0: not ended, or nobody was left to tell */
    int32_t exit_code; /* once ended */
    pid_t pid;         /* of the launcher; for people */
    bool detached;
    char command[KEEP_COMMAND_MAX + 1]; /* shortened */
    char ports[KEEP_PORTS_MAX + 1];     /* published, as given; may be empty */
};

/* One keep as it was found. */
struct keep_info {
    char name[KEEP_NAME_MAX + 1];
    bool running; /* its launcher lives */
    bool known;   /* `state` is filled in: it could be read */
    struct keep_state state;
};

/* A keep's directory, held by its launcher. */
struct keep_dir {
    char name[KEEP_NAME_MAX + 1];
    int state_fd, fd, lock_fd;
};

/* [a-z0-9][a-z0-9_.-]{0,62} */
bool keep_name_is_valid(const char *name);

/* Opens the state directory, and makes it first when it is not there. The descriptor, or -1. */
int state_open(struct cella_error *err);

/* Claims a name; `name` NULL: one is chosen. Of several at the same time one succeeds. On success
 * the caller owns the descriptors of *dir, and keep_abandon undoes it. */
int keep_claim(int state_fd, const char *name, struct keep_dir *dir, struct cella_error *err);
/* Removes what keep_claim made; *dir is closed. */
void keep_abandon(struct keep_dir *dir);
/* Replaces the keep's state file. Needs no more than openat, write and renameat2 in dir->fd. */
int keep_write_state(const struct keep_dir *dir, const struct keep_state *state,
                     struct cella_error *err);

/* Opens a keep's directory: the descriptor with *info filled in, or -1 with a line that says that
 * there is none. */
int keep_open(int state_fd, const char *name, struct keep_info *info, struct cella_error *err);
/* All keeps, sorted by name; *list is the caller's to free. Removes what was left half-made. */
int keep_list(int state_fd, struct keep_info **list, unsigned *count, struct cella_error *err);
/* Does the launcher of the keep in this directory still live? */
bool keep_is_running(int keep_fd);
/* Waits until the keep in this directory has ended; timeout_ms -1: for ever. False: still there. */
bool keep_wait_end(int keep_fd, int64_t timeout_ms);
/* Removes an ended keep. -1 with a line when it runs or there is none. */
int keep_remove(int state_fd, const char *name, struct cella_error *err);

/* Text form of a state, and back; false for what is no such text. */
int keep_state_format(const struct keep_state *state, char *text, size_t size);
bool keep_state_parse(const char *text, size_t len, struct keep_state *state);

#endif
