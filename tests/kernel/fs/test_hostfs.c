/* SPDX-License-Identifier: Apache-2.0 */
/* The host's files: hostfs on a host that answers well, and the overlay above it. What a host that
 * lies can do: tests/hostile. */
#include "fs/hostfs.h"

#include "base/printk.h"
#include "calls.h"
#include "fake_host.h"
#include "mm/mm.h"

static int64_t mount_host(const char *at, bool overlay)
{
    struct path p;
    struct super_block *sb = hostfs_create(0, true);
    if (is_err(sb))
        return ptr_err(sb);
    if (overlay) {
        struct super_block *upper = overlay_create(sb);
        if (is_err(upper))
            return ptr_err(upper);
        sb = upper;
    }
    int r = vfs_mkdir(at, 0755);
    if (r == 0 || r == -EEXIST)
        r = path_lookup(at, 0, &p);
    if (r == 0) {
        r = mount_add(sb, &p, overlay ? 0 : MS_RDONLY_K);
        path_put(&p);
    }
    if (r)
        super_put(sb);
    return r;
}

static int count_names(const char *dir)
{
    static uint8_t buf[512];
    int n = 0;
    int64_t got, fd = open_file(dir, O_RDONLY_K | O_DIRECTORY_K);
    uaddr_t u = ktest_map(512);
    if (fd < 0)
        return (int)fd;
    while ((got = sys_getdents64((int)fd, u, sizeof(buf))) > 0) {
        if (copy_from_user(buf, u, (size_t)got))
            return -EFAULT;
        for (int64_t at = 0; at < got; at += *(uint16_t *)(buf + at + 16))
            n++;
    }
    sys_close((int)fd);
    return got < 0 ? (int)got : n;
}

static bool big_is_right(int fd, int64_t off, int64_t len)
{
    uaddr_t u = ktest_map((uint64_t)len);
    const uint8_t *view = (const uint8_t *)u;
    int64_t got = sys_pread64(fd, u, (uint64_t)len, off);
    for (int64_t i = 0; i < got; i++)
        if (view[i] != (uint8_t)((uint64_t)(off + i) * 7 >> 4))
            return false;
    return got == k_min(len, k_max(300000 - off, (int64_t)0));
}

KTEST(hostfs_shows_the_hosts_files)
{
    char buf[8];
    mock_host = fake_host;
    uint32_t open_before = fake_open_handles;
    KCHECK_EQ(mount_host("/h1", false), 0);
    KCHECK(file_holds("/h1/hello", "hello from the host\n"));
    KCHECK(file_holds("/h1/link", ""));
    uaddr_t u = ktest_map(64);
    KCHECK_EQ(sys_readlink(US("/h1/link"), u, 64), 6);
    KCHECK_EQ(copy_from_user(buf, u, 6), 0);
    KCHECK(memcmp(buf, "dir/n5", 6) == 0);
    KCHECK_EQ(count_names("/h1"), 5 + 2);
    KCHECK_EQ(count_names("/h1/dir"), 101 + 2);
    KCHECK_EQ(open_file("/h1/none", O_RDONLY_K), -ENOENT);
    KCHECK_EQ(open_file("/h1/closed", O_RDONLY_K), -EACCES);
    KCHECK_EQ(open_file("/h1/hello", O_RDWR_K), -EROFS);
    KCHECK_EQ(open_file("/h1/new", O_RDWR_K | O_CREAT_K), -EROFS);
    KCHECK_EQ(sys_unlink(US("/h1/hello")), -EROFS);
    int fd = (int)open_file("/h1/big", O_RDONLY_K);
    KCHECK(big_is_right(fd, 299990, 100));
    KCHECK(big_is_right(fd, 0, 300000));
    KCHECK(big_is_right(fd, 300000, 10));
    uint32_t reads = fake_served[CELLA_HOST_READ];
    KCHECK(big_is_right(fd, 1234, 100000)); /* from the cache now */
    KCHECK_EQ(fake_served[CELLA_HOST_READ], reads);
    KCHECK_EQ(sys_close(fd), 0);
    KCHECK_EQ(sys_umount2(US("/h1"), 0), 0);
    KCHECK_EQ(fake_open_handles, open_before);
    KCHECK_EQ(fake_bad_handles, 0);
}

KTEST(overlay_changes_stay_above)
{
    mock_host = fake_host;
    KCHECK_EQ(mount_host("/o1", true), 0);
    KCHECK(file_holds("/o1/hello", "hello from the host\n"));
    int fd = (int)open_file("/o1/hello", O_RDWR_K);
    KCHECK(fd >= 0);
    KCHECK_EQ(put(fd, "HELLO", 5), 5);
    KCHECK(file_holds("/o1/hello", "HELLO from the host\n"));
    KCHECK_EQ(sys_close(fd), 0);
    KCHECK_EQ(sys_unlink(US("/o1/link")), 0);
    KCHECK_EQ(open_file("/o1/link", O_RDONLY_K), -ENOENT);
    KCHECK_EQ(make_file("/o1/link", "a file now"), 0);
    KCHECK(file_holds("/o1/link", "a file now"));
    KCHECK_EQ(make_file("/o1/dir/new", "new"), 0);
    KCHECK_EQ(count_names("/o1/dir"), 102 + 2);
    KCHECK_EQ(sys_unlink(US("/o1/dir/n7")), 0);
    KCHECK_EQ(count_names("/o1/dir"), 101 + 2);
    KCHECK_EQ(sys_rmdir(US("/o1/dir")), -ENOTEMPTY);
    KCHECK_EQ(sys_rename(US("/o1/dir"), US("/o1/moved")), 0);
    KCHECK(file_holds("/o1/moved/new", "new") && file_holds("/o1/moved/n5", ""));
    KCHECK_EQ(open_file("/o1/dir/n5", O_RDONLY_K), -ENOENT);
    KCHECK_EQ(sys_truncate(US("/o1/hello"), 5), 0);
    KCHECK_EQ(sys_truncate(US("/o1/hello"), 7), 0);
    fd = (int)open_file("/o1/hello", O_RDONLY_K);
    char buf[16];
    KCHECK_EQ(get(fd, buf, 16), 7);
    KCHECK(memcmp(buf, "HELLO\0\0", 7) == 0);
    KCHECK_EQ(sys_close(fd), 0);
    KCHECK_EQ(sys_umount2(US("/o1"), 0), 0);
    /* The host's files are what they were. */
    KCHECK_EQ(mount_host("/o1", true), 0);
    KCHECK(file_holds("/o1/hello", "hello from the host\n"));
    KCHECK_EQ(count_names("/o1/dir"), 101 + 2);
    KCHECK_EQ(sys_umount2(US("/o1"), 0), 0);
}

KTEST(overlay_partial_writes_keep_the_lower_bytes_around_them)
{
    static uint8_t model[300000], back[300000];
    mock_host = fake_host;
    KCHECK_EQ(mount_host("/o2", true), 0);
    for (uint32_t i = 0; i < sizeof(model); i++)
        model[i] = (uint8_t)(i * 7 >> 4);
    int fd = (int)open_file("/o2/big", O_RDWR_K);
    uint32_t seed = 5, size = sizeof(model);
    uaddr_t u = ktest_map(sizeof(model));
    for (int round = 0; round < 60; round++) {
        seed = seed * 1664525 + 1013904223;
        uint32_t off = (seed >> 8) % 290000, len = seed % 9000 + 1;
        if (round % 10 == 8) {
            KCHECK_EQ(sys_ftruncate(fd, off), 0);
            memset(model + off, 0, sizeof(model) - off);
            size = off;
        } else if (round % 10 == 9) {
            KCHECK_EQ(sys_fallocate(fd, 3, off, len), 0);
            memset(model + off, 0, len);
        } else {
            memset((void *)u, round, len);
            KCHECK_EQ(sys_pwrite64(fd, u, len, off), len);
            memset(model + off, round, len);
            size = k_max(size, off + len);
        }
        if (round % 5 == 0) {
            KCHECK_EQ(sys_pread64(fd, u, sizeof(model), 0), size);
            KCHECK_EQ(copy_from_user(back, u, size), 0);
            KCHECK(memcmp(back, model, size) == 0);
        }
    }
    KCHECK_EQ(sys_pread64(fd, u, sizeof(model), 0), size);
    KCHECK_EQ(copy_from_user(back, u, size), 0);
    KCHECK(memcmp(back, model, size) == 0);
    KCHECK_EQ(sys_close(fd), 0);
    KCHECK_EQ(sys_umount2(US("/o2"), 0), 0);
}
