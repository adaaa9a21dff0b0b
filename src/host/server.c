/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rings and the threads of the request server; see server.h.
 *
 * One worker leads: it holds the lock `lead`, polls the submission ring, and serves at once what
 * cannot block. Before work that may wait for a disk it gives the lead up, and the other worker
 * goes on with the ring. So one thread at most spins, a request from memory costs no hand-over, and
 * a slow disk does not stop the rest.
 *
 * Sleeping and waking, on both sides, is store own flag - full fence - look at the other's counter:
 * of two that act at the same time, one sees the other. The keep's words are futexes in shared
 * memory, so the wake-ups are not FUTEX_PRIVATE.
 */
#include "server.h"

#include <linux/futex.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "server_internal.h"
#include "server_net.h"

_Static_assert((CELLA_HOST_SLOTS & (CELLA_HOST_SLOTS - 1)) == 0, "ring index is a mask");

uint64_t server_now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void server_notify_launcher(struct server *server)
{
    uint64_t one = 1;
    /* An eventfd takes a small number at any time. */
    if (write(server->event_fd, &one, sizeof(one)) < 0)
        return;
}

/* ---- operations that are not about files ---- */

static enum served serve_nop(struct server_call *call)
{
    call->result = 0;
    return SERVED;
}

static enum served serve_cancel(struct server_call *call)
{
    if (call->req.a[0] >= CELLA_HOST_SLOTS) {
        call->result = -EINVAL;
        return SERVED;
    }
    console_cancel(call->server, (uint32_t)call->req.a[0]);
    server_net_cancel(call->server, (uint32_t)call->req.a[0]);
    session_wait_cancel(call->server, (uint32_t)call->req.a[0]);
    call->result = 0;
    return SERVED;
}

static enum served serve_close(struct server_call *call)
{
    return call->req.a[0] & NET_HANDLE_BIT ? server_net_close(call) : server_fs_close(call);
}

static enum served serve_exit(struct server_call *call)
{
    struct server *server = call->server;
    if (call->req.a[1])
        return session_exit(call);
    if (!atomic_load(&server->exiting)) {
        atomic_store(&server->exit_status, (int)call->req.a[0]);
        atomic_store(&server->start_failed, call->req.a[2] == 1);
        atomic_store(&server->exiting, true);
        server_notify_launcher(server);
    }
    return SERVED_PENDING;
}

typedef enum served serve_fn(struct server_call *call);

static serve_fn *const operations[CELLA_HOST_NR_OPS] = {
    [CELLA_HOST_NOP] = serve_nop,
    [CELLA_HOST_ROOT] = server_fs_root,
    [CELLA_HOST_LOOKUP] = server_fs_lookup,
    [CELLA_HOST_CLOSE] = serve_close,
    [CELLA_HOST_STAT] = server_fs_stat,
    [CELLA_HOST_READ] = server_fs_read,
    [CELLA_HOST_WRITE] = server_fs_write,
    [CELLA_HOST_READDIR] = server_fs_readdir,
    [CELLA_HOST_READLINK] = server_fs_readlink,
    [CELLA_HOST_CREATE] = server_fs_create,
    [CELLA_HOST_SYMLINK] = server_fs_symlink,
    [CELLA_HOST_LINK] = server_fs_link,
    [CELLA_HOST_UNLINK] = server_fs_unlink,
    [CELLA_HOST_RENAME] = server_fs_rename,
    [CELLA_HOST_SETATTR] = server_fs_setattr,
    [CELLA_HOST_FSYNC] = server_fs_fsync,
    [CELLA_HOST_STATFS] = server_fs_statfs,
    [CELLA_HOST_GETXATTR] = server_fs_getxattr,
    [CELLA_HOST_CONSOLE_READ] = console_read,
    [CELLA_HOST_CONSOLE_WRITE] = console_write,
    [CELLA_HOST_CANCEL] = serve_cancel,
    [CELLA_HOST_EXIT] = serve_exit,
    [CELLA_HOST_SOCKET] = server_net_socket,
    [CELLA_HOST_BIND] = server_net_call,
    [CELLA_HOST_CONNECT] = server_net_call,
    [CELLA_HOST_SEND] = server_net_call,
    [CELLA_HOST_RECV] = server_net_call,
    [CELLA_HOST_NET_WAIT] = server_net_wait,
    [CELLA_HOST_SOCKCTL] = server_net_call,
    [CELLA_HOST_SESSION_WAIT] = session_wait,
    [CELLA_HOST_CONSOLE_SIZE] = console_size,
};

/* ---- the submission ring ---- */

/* Copies the request of `slot` and checks what is common to all operations. False: refused, result
 * set. */
static bool call_prepare(struct server *server, uint32_t slot, struct server_call *call)
{
    *call = (struct server_call){.server = server, .slot = slot};
    /* A volatile copy: the compiler must not read the shared words a second time after the checks.
     */
    const volatile uint64_t *shared = (const volatile uint64_t *)&server->window->slots[slot].req;
    uint64_t words[sizeof(call->req) / sizeof(uint64_t)];
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        words[i] = shared[i];
    memcpy(&call->req, words, sizeof(call->req));

    const struct cella_host_request *req = &call->req;
    if (req->op >= CELLA_HOST_NR_OPS || !operations[req->op]) {
        call->result = -ENOSYS;
        return false;
    }
    if (req->pad != 0 || req->data_len > CELLA_HOST_MAX_IO ||
        req->data_off > CELLA_HOST_DATA_SIZE ||
        req->data_len > CELLA_HOST_DATA_SIZE - req->data_off) {
        call->result = -EINVAL;
        return false;
    }
    call->data = server->data + req->data_off;
    return true;
}

static void call_finish(struct server_call *call)
{
    server_complete(call->server, call->slot, call->result, call->answer_len);
}

/* Takes the next slot number; the caller leads. -1: the ring is empty. */
static int ring_take(struct server *server)
{
    struct cella_host_ring *ring = &server->window->sq;
    for (;;) {
        uint32_t tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
        if (tail == server->sq_head)
            return -1;
        if (tail - server->sq_head > CELLA_HOST_SLOTS) {
            atomic_store(&server->broken, true);
            server_notify_launcher(server);
            return -1;
        }
        uint32_t slot =
            *(volatile uint32_t *)&ring->entry[server->sq_head & (CELLA_HOST_SLOTS - 1)];
        server->sq_head++;
        __atomic_store_n(&ring->head, server->sq_head, __ATOMIC_RELEASE);
        if (slot >= CELLA_HOST_SLOTS)
            continue;
        /* The slot is the host's already: the keep waits for one answer and gets that one. */
        if (atomic_exchange(&server->in_flight[slot], 1))
            continue;
        return (int)slot;
    }
}

static bool ring_is_empty(struct server *server)
{
    return __atomic_load_n(&server->window->sq.tail, __ATOMIC_ACQUIRE) == server->sq_head;
}

static bool worker_is_done(struct server *server)
{
    return atomic_load(&server->broken) ||
           (atomic_load(&server->stopping) && ring_is_empty(server));
}

/* Waits for a request: polls where one is likely to follow soon, then sleeps on the doorbell. The
 * caller leads. */
static void ring_wait(struct server *server, bool expect_more)
{
    struct cella_host_window *window = server->window;

    if (server->spin_ns && expect_more) {
        uint64_t until = server_now_ns() + server->spin_ns;
        do {
            for (int i = 0; i < 32; i++) {
                if (!ring_is_empty(server))
                    return;
                __builtin_ia32_pause();
            }
            /* Whoever else wants this processor may be who we wait for. */
            sched_yield();
        } while (server_now_ns() < until);
    }
    uint32_t doorbell = __atomic_load_n(&window->sq_doorbell, __ATOMIC_ACQUIRE);
    __atomic_store_n(&window->sq_waiting, 1, __ATOMIC_RELAXED);
    atomic_thread_fence(memory_order_seq_cst);
    if (ring_is_empty(server) && !atomic_load(&server->stopping))
        server_futex(&window->sq_doorbell, FUTEX_WAIT, doorbell);
    __atomic_store_n(&window->sq_waiting, 0, __ATOMIC_RELAXED);
}

/* Nobody waits for this alone, unless the keep says so: one wake-up for all in the ring. */
static bool is_quiet(const struct server_call *call)
{
    uint64_t head = call->req.a[1] & 1 ? sizeof(struct cella_host_sockaddr) : 0;
    return (call->req.op == CELLA_HOST_RECV && call->result == 0) ||
           (call->req.op == CELLA_HOST_SEND && call->result + (int64_t)head == call->req.data_len);
}

static void *worker_thread(void *arg)
{
    struct server *server = arg;
    bool wake_due = false, expect_more = true;

    pthread_mutex_lock(&server->lead);
    while (!worker_is_done(server)) {
        int slot = ring_take(server);
        if (slot < 0) {
            if (wake_due)
                server_wake_wanted(server);
            wake_due = false;
            if (!worker_is_done(server))
                ring_wait(server, expect_more);
            continue;
        }
        struct server_call call;
        if (!call_prepare(server, (uint32_t)slot, &call)) {
            call_finish(&call);
            continue;
        }
        serve_fn *serve = operations[call.req.op];
        /* After these the keep's thread has nothing to wait for; what follows comes with the next
         * packet, and that takes longer than polling is worth. */
        expect_more = call.req.op != CELLA_HOST_SEND && call.req.op != CELLA_HOST_RECV &&
                      call.req.op != CELLA_HOST_NET_WAIT;
        enum served served = serve(&call);
        if (served == SERVED_LATER) {
            if (wake_due)
                server_wake_wanted(server);
            wake_due = false;
            pthread_mutex_unlock(&server->lead);
            call.may_block = true;
            served = serve(&call);
            if (served == SERVED)
                call_finish(&call);
            pthread_mutex_lock(&server->lead);
        } else if (served == SERVED && is_quiet(&call)) {
            server_publish(server, call.slot, call.result, call.answer_len);
            wake_due = true;
        } else if (served == SERVED) {
            call_finish(&call);
        }
    }
    pthread_mutex_unlock(&server->lead);
    return NULL;
}

/* ---- life ---- */

struct server *server_create(const struct server_config *config, struct cella_error *err)
{
    struct server *server = calloc(1, sizeof(*server));
    if (!server) {
        cella_error_set(err, "out of memory");
        return NULL;
    }
    server->window = config->window;
    server->data = (uint8_t *)config->window + CELLA_HOST_DATA_OFFSET;
    server->nr_cpus = config->nr_cpus;
    server->grants = config->grants;
    /* With one CPU, polling only keeps the keep from running. */
    server->spin_ns = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 30000 : 0;
    pthread_mutex_init(&server->lead, NULL);
    pthread_mutex_init(&server->complete_lock, NULL);
    pthread_mutex_init(&server->start_lock, NULL);
    handles_init(&server->handles);
    server->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->event_fd < 0 || console_init(&server->console, config) < 0 ||
        server_net_create(server, config->net) < 0) {
        cella_error_set(
            err, "cannot make an event descriptor: %s; raise the limit of open files (ulimit -n)",
            strerror(errno));
        free(server);
        return NULL;
    }
    sessions_init(&server->console);

    /* Held until server_start: the workers stand still at it. */
    pthread_mutex_lock(&server->lead);
    pthread_mutex_lock(&server->console.lock);
    pthread_mutex_lock(&server->start_lock);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 << 10);
    int failed = pthread_create(&server->console.thread, &attr, console_thread, server);
    if (!failed && server->net)
        failed = pthread_create(&server->net->thread, &attr, net_thread, server);
    for (unsigned i = 0; !failed && i < SERVER_WORKERS; i++) {
        failed = pthread_create(&server->worker[i], &attr, worker_thread, server);
        if (!failed)
            server->nr_workers++;
    }
    pthread_attr_destroy(&attr);
    if (failed) {
        /* The threads that did start stand still at the locks until the process ends, as it now
         * will. */
        cella_error_set(err, "cannot start a thread: %s; raise the limit of processes (ulimit -u)",
                        strerror(failed));
        return NULL;
    }
    return server;
}

void server_start(struct server *server)
{
    pthread_mutex_unlock(&server->start_lock);
    pthread_mutex_unlock(&server->console.lock);
    pthread_mutex_unlock(&server->lead);
}

int server_event_fd(const struct server *server)
{
    return server->event_fd;
}

void server_event_clear(struct server *server)
{
    uint64_t count;
    if (read(server->event_fd, &count, sizeof(count)) < 0)
        return; /* nothing new */
}

bool server_exit_status(const struct server *server, int *status)
{
    if (!atomic_load(&server->exiting))
        return false;
    *status = atomic_load(&server->exit_status);
    return true;
}

bool server_start_failed(const struct server *server)
{
    return atomic_load(&server->start_failed);
}

bool server_has_started(const struct server *server)
{
    return atomic_load(&server->started);
}

bool server_keep_is_broken(const struct server *server)
{
    return atomic_load(&server->broken);
}

void server_stop(struct server *server)
{
    atomic_store(&server->stopping, true);
    __atomic_fetch_add(&server->window->sq_doorbell, 1, __ATOMIC_RELEASE);
    server_futex(&server->window->sq_doorbell, FUTEX_WAKE, INT32_MAX);
    for (unsigned i = 0; i < server->nr_workers; i++)
        pthread_join(server->worker[i], NULL);
    server_net_stop(server);
    console_stop(&server->console, 1000);
    pthread_join(server->console.thread, NULL);
}

void server_free(struct server *server)
{
    handles_free(&server->handles);
    server_net_free(server);
    sessions_free(&server->console);
    console_free(&server->console);
    close(server->event_fd);
    pthread_mutex_destroy(&server->lead);
    pthread_mutex_destroy(&server->complete_lock);
    pthread_mutex_destroy(&server->start_lock);
    free(server);
}
