/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel, under sanitizers, on a host that lies by a seed. Results do not matter: nothing may
 * be touched that is not owned, no assertion may fail, every call must return, and file systems
 * must come apart again.
 */
#include "calls.h"
#include "fake_host.h"
#include "flip.h"
#include "fs/hostfs.h"
#include "use_host.h"

#ifndef ROUNDS
#define ROUNDS 400
#endif

static void lie(enum host_use use, uint64_t first_seed)
{
    int done = 0;
    mock_liar_attach();
    use_host_handle_signals();
    for (uint32_t round = 0; round < ROUNDS && !ktest_failed(); round++) {
        mock_liar.every = round % 7 + 1;
        mock_liar.state = first_seed + round;
        mock_liar.endless = 0;
        done += use_host(use);
    }
    mock_liar.every = 0;
    KCHECK(done > ROUNDS / 3);
    KCHECK(mock_liar.told > ROUNDS);
    /* And an honest host is served as ever. */
    KCHECK(use_host(use));
}

KTEST(lying_host_of_a_read_only_grant)
{
    lie(USE_READ_ONLY, 1000);
}
KTEST(lying_host_of_a_writable_grant)
{
    lie(USE_WRITABLE, 2000);
}
KTEST(lying_host_of_the_root)
{
    lie(USE_OVERLAY, 3000);
}
KTEST(lying_host_of_the_console)
{
    lie(USE_CONSOLE, 4000);
}

KTEST(lying_host_that_changes_bytes_while_they_are_looked_at)
{
    mock_liar_attach();
    use_host_handle_signals();
    flip_start(mock_liar.window, 5000);
    for (uint32_t round = 0; round < ROUNDS / 4 && !ktest_failed(); round++)
        use_host(round % NR_HOST_USES);
    flip_stop();
}

/* Ends every file at 8192, whatever size it has told. */
static int ends_early(uint32_t slot)
{
    struct cella_host_slot *s = &mock_liar.window->slots[slot];
    fake_host(slot);
    if (s->req.op == CELLA_HOST_READ && s->req.a[1] + s->req.data_len > 8192) {
        uint32_t n = s->req.a[1] < 8192 ? 8192 - (uint32_t)s->req.a[1] : 0;
        s->rep.result = s->rep.data_len = n;
    }
    return true;
}

static void check_early_end(struct super_block *sb)
{
    struct path p;
    uaddr_t u = ktest_map(16384);
    KCHECK(!is_err(sb));
    vfs_mkdir("/short", 0755);
    KCHECK_EQ(path_lookup("/short", 0, &p), 0);
    KCHECK_EQ(mount_add(sb, &p, 0), 0);
    path_put(&p);
    int fd = (int)open_file("/short/big", O_RDONLY_K);
    KCHECK(fd >= 0);
    KCHECK_EQ(sys_pread64(fd, u, 16384, 200000), -EIO);
    KCHECK_EQ(sys_close(fd), 0);
    KCHECK_EQ(sys_umount2(US("/short"), 0), 0);
}

KTEST(a_read_only_file_that_ends_before_its_size_is_an_error)
{
    mock_liar_attach();
    mock_host = ends_early;
    mock_host_idle = NULL;
    check_early_end(hostfs_create(0, true));
    check_early_end(overlay_create(hostfs_create(0, true)));
}
