/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Grants: the host files and directories that a keep may reach, and what it may do there. The
 * launcher opens each once, before it shuts itself in; the request server never names a host path
 * again.
 */
#ifndef CELLA_HOST_GRANTS_H
#define CELLA_HOST_GRANTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cella/host_abi.h"
#include "error.h"

struct grant {
    char *host_path; /* as the user wrote it; for messages */
    char *keep_path; /* absolute, normalized: where the keep sees it */
    int fd;          /* O_PATH; -1 until opened */
    bool writable;
    bool is_root; /* lower layer of the keep's root file system */
    bool is_file; /* one file, not a directory */
    /* The user did not name this directory, and the caller may read anything: serve only what the
     * whole world may read. */
    bool world_only;
};

/* Entry 0 is the root once grants_add_root was called. Filled by one thread before the server
 * starts, constant afterwards. */
struct grant_table {
    struct grant entry[CELLA_HOST_MAX_GRANTS];
    unsigned count;
};

/* Adds the root file system from directory `host_path`; must be the first. explicit_root: the user
 * wrote it out. */
int grants_add_root(struct grant_table *table, const char *host_path, bool explicit_root,
                    struct cella_error *err);
/* Adds what `-v HOST:KEEP[:ro|:rw]` says. */
int grants_add_volume(struct grant_table *table, const char *spec, struct cella_error *err);
/* Closes the descriptors and frees the strings. */
void grants_free(struct grant_table *table);

/* Whether a file system of this statfs type shows the host kernel's own state (proc, sysfs, ...).
 * Nothing in such a file system is ever served: /proc alone would give the keep the memory of the
 * launcher. */
bool grants_is_kernel_fs(uint64_t statfs_type);

/* Makes an absolute path without "//", "." and a trailing slash. A new string, or NULL when the
 * path is relative or has
 * "..", or when memory is short. */
char *grants_normalize(const char *path);

/* Whether every directory on the way from the table's root to `keep_path` may be entered under the
 * root grant's rule. */
bool grants_root_reaches(const struct grant_table *table, const char *keep_path);

/* The entry of `uid` in the root's /etc/passwd: home directory (a new string) and group. False when
 * there is none. */
bool grants_root_user(const struct grant_table *table, uid_t uid, char **home, gid_t *gid);

#endif
