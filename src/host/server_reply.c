/* SPDX-License-Identifier: Apache-2.0 */
/* The request server towards the keep: completions, events, and waking a CPU for them. */
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server_internal.h"

long server_futex(uint32_t *word, int op, uint32_t value)
{
    return syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

/* One CPU is enough: it takes all completions, and kicks others for the threads that it woke. */
void server_wake_keep(struct server *server)
{
    struct cella_host_window *window = server->window;

    __atomic_fetch_add(&window->cq_doorbell, 1, __ATOMIC_RELEASE);
    atomic_thread_fence(memory_order_seq_cst);
    for (unsigned cpu = 0; cpu < server->nr_cpus; cpu++) {
        uint32_t *word = &window->cpu_sleeping[cpu];
        if (__atomic_load_n(word, __ATOMIC_RELAXED) != 1)
            continue;
        if (__atomic_exchange_n(word, 0, __ATOMIC_ACQ_REL) != 1)
            continue;
        server_futex(word, FUTEX_WAKE, 1);
        return;
    }
}

void server_wake_wanted(struct server *server)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (__atomic_load_n(&server->window->cq_wanted, __ATOMIC_RELAXED))
        server_wake_keep(server);
}

void server_publish(struct server *server, uint32_t slot, int64_t result, uint32_t answer_len)
{
    struct cella_host_window *window = server->window;

    window->slots[slot].rep = (struct cella_host_reply){.result = result, .data_len = answer_len};
    /* Before the keep can know of the reply: it may submit the slot again at once. */
    atomic_store(&server->in_flight[slot], 0);

    pthread_mutex_lock(&server->complete_lock);
    window->cq.entry[server->cq_tail & (CELLA_HOST_SLOTS - 1)] = slot;
    server->cq_tail++;
    __atomic_store_n(&window->cq.tail, server->cq_tail, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&server->complete_lock);
}

void server_complete(struct server *server, uint32_t slot, int64_t result, uint32_t answer_len)
{
    server_publish(server, slot, result, answer_len);
    server_wake_keep(server);
}

void server_raise_event(struct server *server, uint32_t bits)
{
    __atomic_fetch_or(&server->window->events, bits, __ATOMIC_RELEASE);
    server_wake_keep(server);
}
