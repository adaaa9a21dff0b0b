/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scope-bound cleanup: a variable marked so releases what it holds when its scope ends, on every
 * way out. steal_fd() hands the descriptor on and leaves -1 behind.
 */
#ifndef CELLA_HOST_CLEANUP_H
#define CELLA_HOST_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free_fn(void *p)
{
    free(*(void **)p);
}

/* Keeps errno: cleanup often runs between a failure and the report of it. */
static inline void cleanup_close_fn(int *fd)
{
    int saved = errno;
    if (*fd >= 0)
        close(*fd);
    errno = saved;
}

static inline void cleanup_dir_fn(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

static inline int steal_fd(int *fd)
{
    int out = *fd;
    *fd = -1;
    return out;
}

#define cleanup_free __attribute__((cleanup(cleanup_free_fn)))
#define cleanup_close __attribute__((cleanup(cleanup_close_fn)))
#define cleanup_dir __attribute__((cleanup(cleanup_dir_fn)))

#endif
