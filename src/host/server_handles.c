/* SPDX-License-Identifier: Apache-2.0 */
/* The handles that a keep holds on host files; see server_internal.h. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "cleanup.h"
#include "server_internal.h"

#define HANDLE_INDEX_MASK ((1u << HANDLE_INDEX_BITS) - 1)

void handles_init(struct handle_table *table)
{
    memset(table, 0, sizeof(*table));
    pthread_mutex_init(&table->lock, NULL);
}

static void close_data(struct handle *handle)
{
    if (handle->read_fd >= 0)
        close(handle->read_fd);
    if (handle->write_fd >= 0)
        close(handle->write_fd);
    handle->read_fd = handle->write_fd = -1;
}

void handles_free(struct handle_table *table)
{
    for (unsigned i = 0; i < table->nr_chunks; i++) {
        for (unsigned j = 0; j < HANDLE_CHUNK; j++) {
            struct handle *handle = &table->chunk[i][j];
            if (handle->live) {
                close_data(handle);
                close(handle->path_fd);
            }
            pthread_mutex_destroy(&handle->lock);
        }
        free(table->chunk[i]);
    }
    pthread_mutex_destroy(&table->lock);
}

/* Adds a chunk of free handles; the caller holds the lock. */
static bool table_grow(struct handle_table *table)
{
    if (table->nr_chunks == HANDLE_CHUNKS)
        return false;
    struct handle *chunk = calloc(HANDLE_CHUNK, sizeof(*chunk));
    if (!chunk)
        return false;
    for (unsigned i = HANDLE_CHUNK; i-- > 0;) {
        pthread_mutex_init(&chunk[i].lock, NULL);
        chunk[i].index = table->nr_chunks * HANDLE_CHUNK + i;
        chunk[i].path_fd = chunk[i].read_fd = chunk[i].write_fd = -1;
        chunk[i].next_free = table->free_list;
        table->free_list = &chunk[i];
    }
    table->chunk[table->nr_chunks++] = chunk;
    return true;
}

int64_t handle_new(struct handle_table *table, int path_fd, const struct grant *grant,
                   const struct handle *parent)
{
    cleanup_close int fd = path_fd;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    bool hidden = false;
    /* A mount point was crossed: the caller's own file systems may be entered, the kernel's may
     * not. */
    if (parent && st.st_dev != parent->dev) {
        struct statfs fs;
        if (fstatfs(fd, &fs) < 0)
            return -errno;
        hidden = grants_is_kernel_fs((uint64_t)fs.f_type);
        if (hidden && !S_ISDIR(st.st_mode))
            return -EACCES;
    }

    pthread_mutex_lock(&table->lock);
    if (!table->free_list && !table_grow(table)) {
        pthread_mutex_unlock(&table->lock);
        return -ENFILE;
    }
    struct handle *handle = table->free_list;
    table->free_list = handle->next_free;
    handle->path_fd = steal_fd(&fd);
    handle->mode = st.st_mode & S_IFMT;
    handle->dev = st.st_dev;
    handle->grant = grant;
    handle->hidden = hidden;
    handle->live = true;
    handle->refs = 1;
    int64_t number = (int64_t)handle->generation << HANDLE_INDEX_BITS | handle->index;
    pthread_mutex_unlock(&table->lock);
    return number;
}

/* The live handle of this number, or NULL; the caller holds the lock. */
static struct handle *handle_find(struct handle_table *table, uint64_t number)
{
    uint64_t index = number & HANDLE_INDEX_MASK, generation = number >> HANDLE_INDEX_BITS;
    if (index >= (uint64_t)table->nr_chunks * HANDLE_CHUNK)
        return NULL;
    struct handle *handle = &table->chunk[index / HANDLE_CHUNK][index % HANDLE_CHUNK];
    return handle->live && handle->generation == generation ? handle : NULL;
}

struct handle *handle_get(struct handle_table *table, uint64_t number)
{
    pthread_mutex_lock(&table->lock);
    struct handle *handle = handle_find(table, number);
    if (handle)
        handle->refs++;
    pthread_mutex_unlock(&table->lock);
    return handle;
}

/* Drops a reference; at the last one the handle is free again. The caller holds the lock. */
static void handle_drop(struct handle_table *table, struct handle *handle)
{
    if (--handle->refs > 0)
        return;
    close_data(handle);
    close(handle->path_fd);
    handle->path_fd = -1;
    handle->generation = (handle->generation + 1) % HANDLE_GENERATIONS;
    handle->next_free = table->free_list;
    table->free_list = handle;
}

void handle_put(struct handle_table *table, struct handle *handle)
{
    pthread_mutex_lock(&table->lock);
    handle_drop(table, handle);
    pthread_mutex_unlock(&table->lock);
}

int handle_close(struct handle_table *table, uint64_t number)
{
    pthread_mutex_lock(&table->lock);
    struct handle *handle = handle_find(table, number);
    if (handle) {
        handle->live = false;
        handle_drop(table, handle);
    }
    pthread_mutex_unlock(&table->lock);
    return handle ? 0 : -EBADF;
}

void handles_shed(struct handle_table *table)
{
    pthread_mutex_lock(&table->lock);
    for (unsigned i = 0; i < table->nr_chunks; i++)
        for (unsigned j = 0; j < HANDLE_CHUNK; j++) {
            struct handle *handle = &table->chunk[i][j];
            /* With the table's lock held nobody can begin to use an unused handle. */
            if (handle->live && handle->refs == 1)
                close_data(handle);
        }
    pthread_mutex_unlock(&table->lock);
}
