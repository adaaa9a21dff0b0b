/* SPDX-License-Identifier: Apache-2.0 */
/* The memory files of a process keep; see window.h. */
#include "window.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "cleanup.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x10u
#endif

#define KERNEL_MEMORY_MAX (1ull << 44)
#define KERNEL_MEMORY_MIN (1ull << 36)

static int memory_file(const char *name, unsigned flags)
{
    int fd = memfd_create(name, flags | MFD_CLOEXEC);
    /* Linux before 6.3 does not know MFD_EXEC; its memory files may be mapped executable anyway. */
    if (fd < 0 && errno == EINVAL && (flags & MFD_EXEC))
        fd = memfd_create(name, (flags & ~MFD_EXEC) | MFD_CLOEXEC);
    return fd;
}

int kernel_memory_create(struct cella_error *err)
{
    cleanup_close int fd = memory_file("cella-kernel", MFD_EXEC);
    if (fd < 0)
        return cella_error_set(
            err,
            "cannot make the keep's memory file: %s; the host's kernel must allow memfd_create",
            strerror(errno));
    for (uint64_t size = KERNEL_MEMORY_MAX; size >= KERNEL_MEMORY_MIN; size /= 2)
        if (ftruncate(fd, (off_t)size) == 0)
            return steal_fd(&fd);
    return cella_error_set(err,
                           "cannot give the keep's memory file its size: %s; lift the limit of "
                           "file sizes (ulimit -f unlimited)",
                           strerror(errno));
}

/* ---- boot information ---- */

struct string_area {
    char *at, *end;
};

/* Appends a string with its NUL; -1 when there is no room. */
static int append(struct string_area *area, const char *text)
{
    size_t size = strlen(text) + 1;
    if (size > (size_t)(area->end - area->at))
        return -1;
    memcpy(area->at, text, size);
    area->at += size;
    return 0;
}

static int boot_write(struct cella_host_window *window, const struct boot_options *options,
                      const struct grant_table *grants, struct cella_error *err)
{
    struct cella_boot_header header = {
        .flags = options->flags,
        .nr_cpus = options->nr_cpus,
        .nr_args = options->nr_args,
        .nr_env = options->nr_env,
        .nr_grants = grants->count,
        .uid = options->uid,
        .gid = options->gid,
        .memory_limit = options->memory_limit_bytes,
        .strings_off = sizeof(header),
    };
    for (unsigned i = 0;
         i < options->nr_groups && i < sizeof(header.groups) / sizeof(header.groups[0]); i++)
        header.groups[header.nr_groups++] = options->groups[i];
    for (int i = 0; i < 3; i++) {
        struct stat st;
        int fd = options->detached && i == STDERR_FILENO ? STDOUT_FILENO : i;
        header.stdio_mode[i] = fstat(fd, &st) == 0 ? st.st_mode : 0;
        header.stdio_is_tty |= (isatty(fd) ? 1u : 0u) << i;
    }
    for (unsigned i = 0; i < grants->count; i++)
        header.grant[i].flags = (grants->entry[i].writable ? 1u : 0u) |
                                (grants->entry[i].is_root ? 2u : 0u) |
                                (grants->entry[i].is_file ? 4u : 0u);

    struct string_area area = {(char *)window->boot + sizeof(header),
                               (char *)window->boot + sizeof(window->boot)};
    int failed = append(&area, options->hostname) | append(&area, options->workdir) |
                 append(&area, options->program);
    for (unsigned i = 0; i < options->nr_args; i++)
        failed |= append(&area, options->args[i]);
    for (unsigned i = 0; i < options->nr_env; i++)
        failed |= append(&area, options->env[i]);
    for (unsigned i = 0; i < grants->count; i++)
        failed |= append(&area, grants->entry[i].keep_path);
    if (failed)
        return cella_error_set(err,
                               "arguments and environment together are longer than %u bytes; pass "
                               "long data in a file (-v)",
                               (unsigned)(sizeof(window->boot) - sizeof(header)));

    header.size = (uint32_t)(area.at - (char *)window->boot);
    header.strings_len = header.size - header.strings_off;
    memcpy(window->boot, &header, sizeof(header));
    window->boot_len = header.size;
    return 0;
}

int window_create(const struct boot_options *options, const struct grant_table *grants,
                  struct cella_host_window **window, struct cella_error *err)
{
    cleanup_close int fd = memory_file("cella-window", MFD_ALLOW_SEALING);
    /* Sealed in size: a keep that cut the file short would kill the launcher with SIGBUS. */
    if (fd < 0 || ftruncate(fd, CELLA_HOST_WINDOW_SIZE) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return cella_error_set(
            err,
            "cannot make the window file: %s; lift the limit of file sizes (ulimit -f unlimited)",
            strerror(errno));
    void *base = mmap(NULL, CELLA_HOST_WINDOW_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return cella_error_set(
            err, "cannot map the window: %s; lift the limit of address space (ulimit -v unlimited)",
            strerror(errno));
    *window = base;
    (*window)->magic = CELLA_HOST_ABI_MAGIC;
    (*window)->version = CELLA_HOST_ABI_VERSION;
    if (boot_write(*window, options, grants, err) < 0)
        return -1;
    return steal_fd(&fd);
}
