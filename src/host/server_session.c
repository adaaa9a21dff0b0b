/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Further programs in the keep, from `cella exec`. The keep has one SESSION_WAIT out; what the
 * launcher wants of it, a program to start or a signal to send, stands in a queue and is given in
 * order. A session ends when the keep says EXIT with its number; the launcher's main thread takes
 * the status. All is guarded by console->lock.
 */
#include <stdlib.h>
#include <string.h>

#include <errno.h>
#include <unistd.h>

#include "server_internal.h"

#define MAX_OFFERS 4096u

#define SIGNAL_HUP 1
#define SIGNAL_WINCH 28

void sessions_init(struct console *console)
{
    console->offers_end = &console->offers;
}

void sessions_free(struct console *console)
{
    while (console->offers) {
        struct session_offer *offer = console->offers;
        console->offers = offer->next;
        free(offer);
    }
}

/* Brings the next offer to the waiting request, if there are both. */
static void give_offer(struct server *server)
{
    struct console *console = &server->console;
    struct session_offer *offer = console->offers;
    if (!offer || !console->has_waiter)
        return;
    console->offers = offer->next;
    if (!console->offers)
        console->offers_end = &console->offers;
    console->nr_offers--;
    console->has_waiter = false;
    bool fits = offer->header.size <= console->waiter.len;
    if (fits)
        memcpy(console->waiter.data, &offer->header, offer->header.size);
    server_complete(server, console->waiter.slot, fits ? (int64_t)offer->nr : -EMSGSIZE,
                    fits ? offer->header.size : 0);
    free(offer);
}

static int make_offer(struct server *server, uint32_t nr, const struct cella_session_header *header)
{
    struct console *console = &server->console;
    if (console->nr_offers >= MAX_OFFERS)
        return -EAGAIN;
    struct session_offer *offer =
        malloc(sizeof(*offer) + header->size - sizeof(struct cella_session_header));
    if (!offer)
        return -ENOMEM;
    offer->next = NULL;
    offer->nr = nr;
    memcpy(&offer->header, header, header->size);
    *console->offers_end = offer;
    console->offers_end = &offer->next;
    console->nr_offers++;
    give_offer(server);
    return 0;
}

/* ---- what the keep asks ---- */

enum served session_wait(struct server_call *call)
{
    struct server *server = call->server;
    struct console *console = &server->console;
    enum served served = SERVED;
    pthread_mutex_lock(&console->lock);
    if (call->req.data_len < CELLA_SESSION_MAX || console->has_waiter) {
        call->result = console->has_waiter ? -EBUSY : -EINVAL;
    } else {
        served = SERVED_PENDING;
        console->has_waiter = true;
        console->waiter = (struct console_request){
            .slot = call->slot, .data = call->data, .len = call->req.data_len};
        give_offer(server);
    }
    pthread_mutex_unlock(&console->lock);
    if (served == SERVED_PENDING && !atomic_exchange(&server->started, true))
        server_notify_launcher(server);
    return served;
}

void session_wait_cancel(struct server *server, uint32_t slot)
{
    struct console *console = &server->console;
    pthread_mutex_lock(&console->lock);
    bool found = console->has_waiter && console->waiter.slot == slot;
    if (found)
        console->has_waiter = false;
    pthread_mutex_unlock(&console->lock);
    if (found)
        server_complete(server, slot, -EINTR, 0);
}

enum served session_exit(struct server_call *call)
{
    struct console *console = &call->server->console;
    pthread_mutex_lock(&console->lock);
    struct console_session *session = console_session_find(console, call->req.a[1]);
    call->result = session && !session->ended ? 0 : -EINVAL;
    if (call->result == 0) {
        session->ended = true;
        session->status = (int)call->req.a[0];
        console_session_close(call->server, session);
    }
    pthread_mutex_unlock(&console->lock);
    server_notify_launcher(call->server);
    return SERVED;
}

/* ---- what the launcher asks ---- */

int64_t server_session_start(struct server *server, const struct cella_session_header *header,
                             const int stream[3], uint32_t terminal_size)
{
    struct console *console = &server->console;
    int64_t result = -EAGAIN;
    pthread_mutex_lock(&console->lock);
    if (atomic_load(&server->exiting))
        result = -ESHUTDOWN;
    for (unsigned i = 1; i <= SERVER_SESSIONS && result == -EAGAIN; i++) {
        struct console_session *session = &console->session[i];
        if (session->used)
            continue;
        uint32_t nr = console->last_session + 1;
        if (nr > INT32_MAX) /* the keep must never see a number again */
            break;
        console_session_open(session, nr, stream);
        session->size = terminal_size;
        int error = make_offer(server, nr, header);
        session->used = error == 0;
        console->last_session = error ? console->last_session : nr;
        result = error ? error : nr;
        break;
    }
    pthread_mutex_unlock(&console->lock);
    return result;
}

/* console->lock is held. */
static int send_signal(struct server *server, uint32_t nr, int sig)
{
    const struct cella_session_header header = {
        .size = sizeof(header), .flags = CELLA_SESSION_SIGNAL, .signal = (uint32_t)sig};
    const struct console_session *session = console_session_find(&server->console, nr);
    return nr && session && !session->ended ? make_offer(server, nr, &header) : -ESRCH;
}

int server_session_signal(struct server *server, uint32_t nr, int sig)
{
    pthread_mutex_lock(&server->console.lock);
    int result = send_signal(server, nr, sig);
    pthread_mutex_unlock(&server->console.lock);
    return result;
}

void server_session_resize(struct server *server, uint32_t nr, uint32_t size)
{
    pthread_mutex_lock(&server->console.lock);
    struct console_session *session = console_session_find(&server->console, nr);
    if (session && nr) {
        bool changed = session->size && session->size != size;
        session->size = size;
        if (changed)
            send_signal(server, nr, SIGNAL_WINCH);
    }
    pthread_mutex_unlock(&server->console.lock);
}

void server_session_hangup(struct server *server, uint32_t nr)
{
    pthread_mutex_lock(&server->console.lock);
    struct console_session *session = console_session_find(&server->console, nr);
    if (session && nr && !session->ended && !session->gone) {
        console_session_close(server, session);
        send_signal(server, nr, SIGNAL_HUP);
    }
    pthread_mutex_unlock(&server->console.lock);
}

uint32_t server_session_ended(struct server *server, int *status)
{
    struct console *console = &server->console;
    uint32_t nr = 0;
    pthread_mutex_lock(&console->lock);
    for (unsigned i = 1; i <= SERVER_SESSIONS && !nr; i++)
        if (console->session[i].used && console->session[i].ended) {
            nr = console->session[i].nr;
            *status = console->session[i].status;
            console->session[i].used = false;
        }
    pthread_mutex_unlock(&console->lock);
    return nr;
}
