/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of the ring of requests, for tests that answer requests themselves. */
#ifndef CELLA_TESTS_KERNEL_FAKE_RING_H
#define CELLA_TESTS_KERNEL_FAKE_RING_H

#include "cella/host_abi.h"
#include "hal.h"

static struct cella_host_window *window(void)
{
    void *base;
    size_t size;
    hal_host_window(&base, &size);
    return base;
}

static char *data_of(uint32_t slot)
{
    return (char *)window() + CELLA_HOST_DATA_OFFSET + window()->slots[slot].req.data_off;
}

static void publish(uint32_t slot)
{
    struct cella_host_window *w = window();
    w->cq.entry[w->cq.tail % CELLA_HOST_SLOTS] = slot;
    __atomic_store_n(&w->cq.tail, w->cq.tail + 1, __ATOMIC_RELEASE);
}

#endif
