/* SPDX-License-Identifier: Apache-2.0 */
/* Capability transitions that the user-id calls and prctl share. Rules: capabilities(7). */
#ifndef CELLA_KERNEL_PROC_CAPS_H
#define CELLA_KERNEL_PROC_CAPS_H

#include "proc/task.h"

enum {
    SECBIT_NOROOT = 1 << 0,
    SECBIT_NO_SETUID_FIXUP = 1 << 2,
    SECBIT_KEEP_CAPS = 1 << 4,
    SECBIT_KEEP_CAPS_LOCKED = 1 << 5,
    SECBIT_NO_CAP_AMBIENT_RAISE = 1 << 6,
};
#define SECBITS_ALL 0xffu
#define SECBITS_LOCKS 0xaau

#define CAP_BIT(n) (1ull << (n))

/* `c` is a copy of `old` with changed uid, euid, suid: what that does to the capabilities. */
void caps_after_setuid(struct cred *c, const struct cred *old);
/* The same for a changed fsuid. */
void caps_after_setfsuid(struct cred *c, const struct cred *old);

#endif
