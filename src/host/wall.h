/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wall around the launcher once a keep runs: a keep that takes the request server over finds a
 * process that can reach the granted files and nothing else. Three layers: Landlock, capabilities,
 * seccomp.
 */
#ifndef CELLA_HOST_WALL_H
#define CELLA_HOST_WALL_H

#include <stdbool.h>
#include <sys/types.h>

#include "error.h"
#include "grants.h"
#include "net_policy.h"

/* Landlock ABI of the host's kernel; 0 when there is none. */
int wall_landlock_abi(void);

/* Shuts the file system but for the grants, the runtime's program file, and reading /proc. Before
 * the keep is cloned: being in the keep's own domain is what lets the launcher read the keep's
 * memory figures. Hosts without Landlock go on without it. */
int wall_landlock(const struct grant_table *grants, const struct net_policy *net, int runtime_fd,
                  struct cella_error *err);

/* Keeps only the capabilities that serving files with the caller's rights takes. Before threads are
 * started. */
int wall_drop_capabilities(struct cella_error *err);

/* Allows all threads of the process the calls of the request server only; signals go to `keep` and
 * its group only. Of the network it allows what the policy takes: no new socket where there are
 * published ports alone, nothing at all without those. */
int wall_seccomp(pid_t keep, const struct net_policy *net, struct cella_error *err);

#endif
