/* SPDX-License-Identifier: Apache-2.0 */
#include "flip.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "cella/host_abi.h"

static struct cella_host_window *window;
static uint64_t state;
static atomic_bool over;
static pthread_t thread;

static uint32_t choose(uint32_t n)
{
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(state >> 33) % n;
}

static void flip_one(void)
{
    volatile uint8_t *data = (volatile uint8_t *)window + CELLA_HOST_DATA_OFFSET;
    struct cella_host_slot *slot =
        &window->slots[choose(16) ? choose(8) : choose(CELLA_HOST_SLOTS)];
    uint32_t off = slot->req.data_off % CELLA_HOST_DATA_SIZE;
    switch (choose(16)) {
    case 0: ((volatile uint8_t *)&slot->rep)[choose(sizeof(slot->rep))] ^= 1u << choose(8); break;
    case 1:
        ((volatile uint32_t *)window->cq.entry)[choose(CELLA_HOST_SLOTS)] ^= 1u << choose(9);
        break;
    default: data[(off + choose(choose(2) ? 128 : 4096)) % CELLA_HOST_DATA_SIZE] ^= 1u << choose(8);
    }
}

static void *flipper(void *arg)
{
    (void)arg;
    while (!atomic_load(&over)) {
        for (int i = 0; i < 20; i++)
            flip_one();
        sched_yield();
    }
    return NULL;
}

void flip_start(void *w, uint64_t seed)
{
    window = w;
    state = seed;
    atomic_store(&over, false);
    if (pthread_create(&thread, NULL, flipper, NULL))
        __builtin_trap();
}

void flip_stop(void)
{
    atomic_store(&over, true);
    pthread_join(thread, NULL);
}
