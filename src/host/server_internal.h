/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the request server share. Lock order: lead > handle->lock > handles.lock, and
 * lead > console.lock > complete_lock; handle locks and the console lock are never held together.
 */
#ifndef CELLA_HOST_SERVER_INTERNAL_H
#define CELLA_HOST_SERVER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "server.h"

/* ---- handles ---- */

/*
 * A handle that the keep holds: an O_PATH reference, which alone opens nothing, and the descriptors
 * for data, which are opened at first use and only for regular files and directories. Number: index
 * in the low 20 bits, generation above, so that a number of a closed handle is refused for long.
 */
#define HANDLE_INDEX_BITS 20
#define HANDLE_GENERATIONS                                                                         \
    1024u /* numbers stay below 2^30: the others are sockets (server_net.h) */

struct handle {
    pthread_mutex_t lock; /* guards read_fd, write_fd, and the position of a directory */
    int path_fd;          /* constant while the handle lives */
    int read_fd, write_fd;
    uint32_t mode; /* S_IFMT bits; constant */
    uint64_t dev;  /* constant */
    const struct grant *grant;
    bool hidden; /* root of a kernel file system: shown as an empty directory */
    /* Guarded by handles.lock. */
    bool live;
    uint32_t refs; /* users now, and one while live */
    uint32_t generation, index;
    struct handle *next_free;
};

#define HANDLE_CHUNK 256u
#define HANDLE_CHUNKS ((1u << HANDLE_INDEX_BITS) / HANDLE_CHUNK)

struct handle_table {
    pthread_mutex_t lock;
    struct handle *chunk[HANDLE_CHUNKS];
    unsigned nr_chunks;
    struct handle *free_list;
};

void handles_init(struct handle_table *table);
void handles_free(struct handle_table *table);
/* Takes path_fd over (also on failure). Result: number of the new handle, or -ENFILE, -ENOMEM,
 * -errno of fstat. `parent` is NULL for a grant's root. */
int64_t handle_new(struct handle_table *table, int path_fd, const struct grant *grant,
                   const struct handle *parent);
/* The handle of this number with one more reference, or NULL. */
struct handle *handle_get(struct handle_table *table, uint64_t number);
void handle_put(struct handle_table *table, struct handle *handle);
/* 0 or -EBADF. */
int handle_close(struct handle_table *table, uint64_t number);
/* Closes the data descriptors of all handles that nobody uses now; for when descriptors run out. */
void handles_shed(struct handle_table *table);

/* ---- console ---- */

struct console_request {
    uint32_t slot;
    uint8_t *data;
    uint32_t len, done;
    struct console_request *next;
};

/* The standard streams of one program that the host started: 0 is the keep's own. Three queues,
 * served by the console thread: reads of stream 0, writes of streams 1 and 2. */
struct console_session {
    uint32_t nr;
    bool used, ended; /* ended: its program has, with `status` */
    bool gone;        /* streams are closed */
    int status;
    uint32_t size; /* of its terminal: rows << 16 | columns; 0: it has none */
    struct console_request *head[3], *tail[3];
    int fd[3];
    bool is_regular[3];
};

/* What waits for the keep's next SESSION_WAIT. */
struct session_offer {
    struct session_offer *next;
    uint32_t nr;
    struct cella_session_header header; /* strings follow */
};

struct console {
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t drained;
    struct console_session session[1 + SERVER_SESSIONS];
    struct console_request pool[CELLA_HOST_SLOTS]; /* one per slot */
    int log_fd;
    bool log_crlf;
    struct log_sink *sink;
    int kick_fd; /* eventfd: the queues changed, or stopping */
    bool stopping;
    pthread_t thread;
    /* server_session.c */
    uint32_t last_session;
    bool has_waiter; /* a SESSION_WAIT is out: */
    struct console_request waiter;
    struct session_offer *offers, **offers_end;
    unsigned nr_offers;
};

/* ---- the server ---- */

#define SERVER_WORKERS 2

struct server {
    struct cella_host_window *window;
    uint8_t *data;
    unsigned nr_cpus;
    const struct grant_table *grants;
    struct handle_table handles;
    struct console console;

    pthread_mutex_t lead; /* its holder watches the submission ring; guards sq_head */
    uint32_t sq_head;
    uint32_t spin_ns; /* how long the leader polls before it sleeps */

    pthread_mutex_t complete_lock; /* guards cq_tail */
    uint32_t cq_tail;
    /* A slot that the host owns. A keep that submits it again meanwhile is not listened to. */
    atomic_uchar in_flight[CELLA_HOST_SLOTS];

    struct net *net;            /* NULL: the keep has no network */
    pthread_mutex_t start_lock; /* held until server_start: the network thread stands still at it */

    int event_fd;
    atomic_bool stopping, broken, exiting, started, start_failed;
    atomic_int exit_status;
    pthread_t worker[SERVER_WORKERS];
    unsigned nr_workers;
};

/* One request being served. `req` is the private, once-made copy. */
struct server_call {
    struct server *server;
    uint32_t slot;
    struct cella_host_request req;
    uint8_t
        *data; /* the request's range in the shared data area; the keep may change it at any time */
    bool may_block; /* false: answer SERVED_LATER instead of waiting for a disk */
    int64_t result;
    uint32_t answer_len;
    uint32_t progress; /* bytes already read when a READ goes the slow way */
};

enum served {
    SERVED,         /* result and answer_len are set */
    SERVED_LATER,   /* would block: call again with may_block */
    SERVED_PENDING, /* the console thread, or nobody, will complete it */
};

/* A completion without and with waking the keep; and waking it. */
void server_publish(struct server *server, uint32_t slot, int64_t result, uint32_t answer_len);
void server_wake_keep(struct server *server);
/* Wakes it if it waits for completions that nobody waits for as a rule. */
void server_wake_wanted(struct server *server);
uint64_t server_now_ns(void); /* CLOCK_MONOTONIC */
/* futex(2) on a word that is shared with the keep. */
long server_futex(uint32_t *word, int op, uint32_t value);

/* Publishes a reply and wakes one sleeping CPU of the keep. Any thread. */
void server_complete(struct server *server, uint32_t slot, int64_t result, uint32_t answer_len);

int console_init(struct console *console, const struct server_config *config);
void *console_thread(void *server);
enum served console_read(struct server_call *call);
enum served console_write(struct server_call *call);
enum served console_size(struct server_call *call);
/* With console->lock held: the session of this number, or NULL. */
struct console_session *console_session_find(struct console *console, uint64_t nr);
void console_session_open(struct console_session *session, uint32_t nr, const int fd[3]);
/* Ends all requests and closes the streams. */
void console_session_close(struct server *server, struct console_session *session);
/* Has the console thread look at the queues. */
void console_kick(struct console *console);
/* Ends a waiting console request of this slot with -EINTR. */
void console_cancel(struct server *server, uint32_t slot);
/* Waits until queued output is written or the time is over, then makes the thread end. */
void console_stop(struct console *console, unsigned timeout_ms);
void console_free(struct console *console);

/* server_net.c */
int server_net_create(struct server *server, struct net_policy *policy);
void server_net_stop(struct server *server);
void server_net_free(struct server *server);
/* Ends a NET_WAIT of this slot with -EINTR. */
void server_net_cancel(struct server *server, uint32_t slot);
enum served server_net_socket(struct server_call *call);
enum served server_net_call(struct server_call *call); /* BIND, CONNECT, SEND, RECV, SOCKCTL */
enum served server_net_wait(struct server_call *call);
enum served server_net_close(struct server_call *call);
/* ---- sessions ---- */

void sessions_init(struct console *console);
void sessions_free(struct console *console);
enum served session_wait(struct server_call *call);
enum served session_exit(struct server_call *call);
/* Ends a waiting SESSION_WAIT of this slot with -EINTR. */
void session_wait_cancel(struct server *server, uint32_t slot);
/* Wakes the launcher's main thread (server_event_fd). */
void server_notify_launcher(struct server *server);

/* Serves one operation on files; call->result is set where SERVED. */
enum served server_fs_root(struct server_call *call);
enum served server_fs_lookup(struct server_call *call);
enum served server_fs_close(struct server_call *call);
enum served server_fs_stat(struct server_call *call);
enum served server_fs_read(struct server_call *call);
enum served server_fs_write(struct server_call *call);
enum served server_fs_readdir(struct server_call *call);
enum served server_fs_readlink(struct server_call *call);
enum served server_fs_create(struct server_call *call);
enum served server_fs_symlink(struct server_call *call);
enum served server_fs_link(struct server_call *call);
enum served server_fs_unlink(struct server_call *call);
enum served server_fs_rename(struct server_call *call);
enum served server_fs_setattr(struct server_call *call);
enum served server_fs_fsync(struct server_call *call);
enum served server_fs_statfs(struct server_call *call);
enum served server_fs_getxattr(struct server_call *call);

#endif
