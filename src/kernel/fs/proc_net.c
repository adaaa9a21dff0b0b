/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/net. proc(5). */
#include "fs/procfs.h"
#include "net/unix.h"

const struct pseudo_dir proc_net_dir = {
    .entries = (const struct pseudo_entry[]){
        {.name = "unix", .mode = S_IFREG_K | 0444, .show = unix_show},
        {},
    }};
