/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that the host names: the keep's own, and those of `cella exec`. */
#ifndef CELLA_KERNEL_PROC_PROGRAM_H
#define CELLA_KERNEL_PROC_PROGRAM_H

#include "base/types.h"

struct console;

/* Exit codes of those that do not start. */
enum { STATUS_CELLA = 125, STATUS_CANNOT_RUN = 126, STATUS_NOT_FOUND = 127 };

struct program {
    const char *path; /* with a slash: as it stands; else looked up in the PATH of envp */
    char *const *argv, *const *envp; /* NULL-terminated */
    const char *workdir;             /* empty: / */
    kuid_t uid;
    kgid_t gid;
    const kgid_t *groups;
    uint32_t nr_groups;
};

struct program_failure {
    int status; /* STATUS_* */
    const char *what, *why;
};

/* Descriptors 0, 1 and 2 of a new process without any, files of `owner`. 0 or negative errno. */
int program_open_streams(struct console *c, kuid_t owner);
/* Makes the calling thread, which has streams and a root directory but has never left the kernel,
 * that program. 0, or negative errno with *failure, for a line to the user. */
int program_start(const struct program *p, struct program_failure *failure);
/* What an errno means to somebody who starts a keep. */
const char *program_error_text(int err);

#endif
