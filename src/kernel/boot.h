/* SPDX-License-Identifier: Apache-2.0 */
/* Boot information, as the kernel keeps it after checking the host's copy. */
#ifndef CELLA_KERNEL_BOOT_H
#define CELLA_KERNEL_BOOT_H

#include "base/types.h"
#include "cella/host_abi.h"

struct boot_info {
    struct cella_boot_header h;
    char *strings; /* copy of the string area */
    const char *hostname, *workdir, *program;
    char **argv, **envp; /* NULL-terminated, into strings */
    char **grant_at;
    bool started; /* the keep's own program has been executed */
};

extern struct boot_info boot;

/* Copies the CELLA_HOST_BOOT_SIZE bytes at `shared`, which the host may be changing, once and
 * checks them. 0, -EINVAL, -ENOMEM; boot_free after 0. */
int boot_parse(struct boot_info *b, const void *shared);
void boot_free(struct boot_info *b);
/* Copies the window's boot information once and checks it; panics on nonsense (the launcher is
 * broken). */
void boot_read(void);
/* Mounts the keep's file systems as the grants say. 0 or negative errno with *what naming the
 * place. */
int boot_mount(const char **what);

#endif
