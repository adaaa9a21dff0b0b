/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For builds with -Dcoverage=true: when a keep ends, the launcher adds the kernel's counters to a
 * file of sums. The counters are in the kernel's .bss, which is the start of its memory file; all
 * words of .data and .bss are added, and scripts/coverage.py picks out those that are counters. The
 * file is made by that script; without it nothing is counted.
 */
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server.h"
#include "window.h"

static uint64_t *sums;
static size_t size;
static const uint64_t *image;

int __real_kernel_memory_create(struct cella_error *err);
int __wrap_kernel_memory_create(struct cella_error *err);
void __real_server_stop(struct server *server);
void __wrap_server_stop(struct server *server);

/* Before Landlock and seccomp close around the launcher. */
int __wrap_kernel_memory_create(struct cella_error *err)
{
    int memory = __real_kernel_memory_create(err), fd = open(COVERAGE_FILE, O_RDWR | O_CLOEXEC);
    struct stat st;
    if (memory < 0 || fd < 0 || fstat(fd, &st))
        return memory;
    size = (size_t)st.st_size;
    void *a = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    void *b = mmap(NULL, size, PROT_READ, MAP_SHARED, memory, 0);
    close(fd);
    if (a != MAP_FAILED && b != MAP_FAILED)
        sums = a, image = b;
    return memory;
}

/* The keep has ended. */
void __wrap_server_stop(struct server *server)
{
    for (size_t i = 0; sums && i < size / sizeof(*sums); i++)
        if (image[i])
            __atomic_fetch_add(&sums[i], image[i], __ATOMIC_RELAXED);
    __real_server_stop(server);
}
