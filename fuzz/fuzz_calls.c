/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sequences of system calls, chosen by the input (tests/kernel/fuzz/random_calls.c), in a root
 * directory of their own. Process 1 goes on from input to input: its signal handlers, credentials
 * and clocks.
 */
#include "random_calls.h"
#include "calls.h"
#include "mock_main.h"

int64_t sys_chroot(uaddr_t name);

#define ROOT "/fuzz"

static void calls(void *arg)
{
    const struct fuzz_input *in = arg;
    struct random_calls c = {.nr_callers = in->data[0] % 2 + 1,
                             .bytes = in->data + 1,
                             .nr_bytes = k_min(in->size - 1, (size_t)16384)};
    uaddr_t root = US(ROOT);
    KCHECK_EQ(sys_chroot(root), 0);
    KCHECK_EQ(sys_chdir(US("/")), 0);
    random_calls(&c);
}

/* The calls have descriptors and a directory of their own, and this thread has its own. */
void fuzz_one(void *arg)
{
    const struct fuzz_input *in = arg;
    struct path p;
    if (in->size < 4)
        return;
    vfs_mkdir(ROOT, 0755);
    struct super_block *sb = tmpfs_create(0755, 0);
    KCHECK(!is_err(sb) && path_lookup(ROOT, 0, &p) == 0 && mount_add(sb, &p, 0) == 0);
    path_put(&p);
    struct fs_context *mine = current->fs;
    current->fs = fs_context_copy(mine);
    KCHECK(current->fs);
    calls(arg);
    fs_context_put(current->fs);
    current->fs = mine;
    sys_close_range(0, UINT32_MAX, 0);
    KCHECK_EQ(sys_umount2(US(ROOT), 2 /* MNT_DETACH */), 0);
}
