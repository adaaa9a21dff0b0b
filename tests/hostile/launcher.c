/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cella command with a request server that lies: linked from the same objects, with the
 * server's last step (server_complete), the window's making and the server's creation stood between
 * (--wrap). Told by the environment:
 *
 *     CELLA_LIAR=SEED,EVERY,KINDS[,boot]     KINDS: sum of 1 << enum liar_kind
 *
 * It prints how many lies it told when it ends. What it withholds it gives in the end, for a host
 * that does not answer is a host that does not run the keep.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "flip.h"
#include "liar.h"
#include "server_internal.h"
#include "window.h"

static struct liar liar;
static uint64_t seed;
static bool spoil_boot;
static struct server *server;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* liar, late */
static bool late[CELLA_HOST_SLOTS];
static struct cella_host_reply late_reply[CELLA_HOST_SLOTS];

void __real_server_complete(struct server *s, uint32_t slot, int64_t result, uint32_t answer_len);
void __wrap_server_complete(struct server *s, uint32_t slot, int64_t result, uint32_t answer_len);
struct server *__real_server_create(const struct server_config *config, struct cella_error *err);
struct server *__wrap_server_create(const struct server_config *config, struct cella_error *err);
int __real_window_create(const struct boot_options *options, const struct grant_table *grants,
                         struct cella_host_window **window, struct cella_error *err);
int __wrap_window_create(const struct boot_options *options, const struct grant_table *grants,
                         struct cella_host_window **window, struct cella_error *err);

static bool tells(enum liar_kind kind)
{
    return liar.kinds >> kind & 1;
}

void __wrap_server_complete(struct server *s, uint32_t slot, int64_t result, uint32_t answer_len)
{
    struct cella_host_reply *rep = &s->window->slots[slot].rep;
    pthread_mutex_lock(&lock);
    *rep = (struct cella_host_reply){.result = result, .data_len = answer_len};
    enum liar_fate fate = liar_answer(&liar, slot);
    struct cella_host_reply told = *rep;
    if (fate == LIAR_LATE) {
        late[slot] = true;
        late_reply[slot] = told;
    }
    pthread_mutex_unlock(&lock);
    if (fate != LIAR_LATE)
        __real_server_complete(s, slot, told.result, told.data_len);
    if (fate == LIAR_TWICE)
        __real_server_complete(s, slot, told.result, told.data_len);
}

void __wrap_server_publish(struct server *s, uint32_t slot, int64_t result, uint32_t answer_len);
void __wrap_server_publish(struct server *s, uint32_t slot, int64_t result, uint32_t answer_len)
{
    __wrap_server_complete(s, slot, result, answer_len);
}

/* All slots, whether they are in flight or not: also makes up for what a false count has hidden. */
static void complete_everything(void)
{
    struct cella_host_window *w = server->window;
    pthread_mutex_lock(&server->complete_lock);
    for (uint32_t i = 0; i < CELLA_HOST_SLOTS; i++)
        w->cq.entry[(server->cq_tail + i) % CELLA_HOST_SLOTS] = i;
    server->cq_tail += CELLA_HOST_SLOTS;
    __atomic_store_n(&w->cq.tail, server->cq_tail, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&server->complete_lock);
}

static void *make_up(void *arg)
{
    (void)arg;
    for (unsigned n = 1;; n++) {
        struct timespec t = {.tv_nsec = 5000000};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
        for (uint32_t i = 0; i < CELLA_HOST_SLOTS; i++) {
            pthread_mutex_lock(&lock);
            bool was = late[i];
            struct cella_host_reply told = late_reply[i];
            late[i] = false;
            pthread_mutex_unlock(&lock);
            if (was)
                __real_server_complete(server, i, told.result, told.data_len);
        }
        if (n % 100 == 0 && (tells(LIE_COMPLETION) || tells(LIE_RACE)))
            complete_everything();
        /* Asleep by a lie, perhaps: an event wakes a CPU. */
        server_raise_event(server, CELLA_HOST_EVENT_PING);
    }
    return NULL;
}

/* The last moment before no more threads can be made. */
struct server *__wrap_server_create(const struct server_config *config, struct cella_error *err)
{
    pthread_t thread;
    server = __real_server_create(config, err);
    if (server && pthread_create(&thread, NULL, make_up, NULL))
        abort();
    if (tells(LIE_RACE))
        flip_start(config->window, seed);
    return server;
}

int __wrap_window_create(const struct boot_options *options, const struct grant_table *grants,
                         struct cella_host_window **window, struct cella_error *err)
{
    int fd = __real_window_create(options, grants, window, err);
    liar.window = *window;
    if (fd >= 0 && spoil_boot)
        liar_boot(&liar);
    return fd;
}

__attribute__((constructor)) static void read_environment(void)
{
    const char *how = getenv("CELLA_LIAR");
    unsigned long long s;
    unsigned every, kinds;
    if (!how || sscanf(how, "%llu,%u,%u", &s, &every, &kinds) != 3) {
        fputs("CELLA_LIAR=SEED,EVERY,KINDS[,boot] is missing\n", stderr);
        exit(125);
    }
    seed = s;
    liar = (struct liar){.state = s * 0x9e3779b97f4a7c15ull, .every = every, .kinds = kinds};
    spoil_boot = strstr(how, ",boot") != NULL;
}

__attribute__((destructor)) static void report(void)
{
    fprintf(stderr, "liar: %llu lies\n", (unsigned long long)liar.told);
}
