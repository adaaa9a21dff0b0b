/* SPDX-License-Identifier: Apache-2.0 */
#include "base/printk.h"
#include "calls.h"
#include "fs/memfs.h"

KTEST(tmpfs_files_hold_what_was_written)
{
    char buf[16];
    int fd = (int)open_file("/t1", O_CREAT_K | O_RDWR_K | O_EXCL_K);
    KCHECK(fd >= 0);
    KCHECK_EQ(put(fd, "hello", 5), 5);
    KCHECK_EQ(sys_lseek(fd, 1, SEEK_SET_K), 1);
    KCHECK_EQ(get(fd, buf, 16), 4);
    KCHECK(memcmp(buf, "ello", 4) == 0);
    KCHECK_EQ(get(fd, buf, 16), 0);
    KCHECK_EQ(sys_pwrite64(fd, ktest_bytes("XY", 2), 2, 1), 2);
    KCHECK(file_holds("/t1", "hXYlo"));
    KCHECK_EQ(open_file("/t1", O_CREAT_K | O_EXCL_K | O_RDWR_K), -EEXIST);
    KCHECK_EQ(sys_unlink(US("/t1")), 0);
    KCHECK_EQ(sys_lseek(fd, 0, SEEK_SET_K), 0);
    KCHECK_EQ(get(fd, buf, 16), 5); /* lives as long as it is open */
    KCHECK_EQ(open_file("/t1", O_RDWR_K), -ENOENT);
}

KTEST(tmpfs_holes_read_as_zeros_and_cost_nothing)
{
    uint8_t b[8];
    int fd = (int)open_file("/t2", O_CREAT_K | O_RDWR_K);
    const int64_t far = 5ll << 30;
    KCHECK_EQ(sys_pwrite64(fd, ktest_bytes("end", 3), 3, far), 3);
    KCHECK_EQ(sys_lseek(fd, 0, SEEK_END_K), far + 3);
    KCHECK_EQ(sys_lseek(fd, far - 4, SEEK_SET_K), far - 4);
    KCHECK_EQ(get(fd, b, 8), 7);
    KCHECK(memcmp(b, "\0\0\0\0end", 7) == 0);
    KCHECK_EQ(sys_lseek(fd, 0, SEEK_DATA_K), far & ~4095ll);
    KCHECK_EQ(sys_lseek(fd, 0, SEEK_HOLE_K), 0);
    KCHECK_EQ(sys_lseek(fd, far, SEEK_HOLE_K), far + 3);
    KCHECK_EQ(sys_lseek(fd, far + 3, SEEK_DATA_K), -ENXIO);
    struct file *f = fd_get(fd);
    struct kstat st;
    KCHECK_EQ(vfs_getattr(&f->path, &st), 0);
    file_put(f);
    KCHECK(st.blocks <= 16);
    KCHECK_EQ(sys_ftruncate(fd, 0), 0);
    KCHECK_EQ(sys_ftruncate(fd, 100), 0);
    KCHECK_EQ(sys_pread64(fd, ktest_map(200), 200, 0), 100);
    KCHECK_EQ(sys_unlink(US("/t2")), 0);
}

KTEST(tmpfs_what_was_cut_off_does_not_come_back)
{
    uint8_t b[10000];
    int fd = (int)open_file("/t3", O_CREAT_K | O_RDWR_K);
    memset(b, 0xaa, sizeof(b));
    KCHECK_EQ(put(fd, b, sizeof(b)), (int64_t)sizeof(b));
    KCHECK_EQ(sys_ftruncate(fd, 5), 0);
    KCHECK_EQ(sys_ftruncate(fd, 10000), 0);
    KCHECK_EQ(sys_lseek(fd, 0, SEEK_SET_K), 0);
    KCHECK_EQ(get(fd, b, sizeof(b)), (int64_t)sizeof(b));
    for (size_t i = 0; i < sizeof(b); i++)
        KCHECK(b[i] == (i < 5 ? 0xaa : 0));
    KCHECK_EQ(sys_ftruncate(fd, -1), -EINVAL);
}

KTEST(tmpfs_punched_holes_and_preallocated_room)
{
    enum { KEEP_SIZE = 1, PUNCH = 2 };
    uint8_t b[12288];
    int fd = (int)open_file("/t4", O_CREAT_K | O_RDWR_K);
    memset(b, 7, sizeof(b));
    KCHECK_EQ(put(fd, b, sizeof(b)), (int64_t)sizeof(b));
    KCHECK_EQ(sys_fallocate(fd, PUNCH, 0, 10), -EOPNOTSUPP); /* without KEEP_SIZE */
    KCHECK_EQ(sys_fallocate(fd, PUNCH | KEEP_SIZE, 4000, 5000), 0);
    KCHECK_EQ(sys_lseek(fd, 0, SEEK_SET_K), 0);
    KCHECK_EQ(get(fd, b, sizeof(b)), (int64_t)sizeof(b));
    for (size_t i = 0; i < sizeof(b); i++)
        KCHECK(b[i] == (i >= 4000 && i < 9000 ? 0 : 7));
    KCHECK_EQ(sys_fallocate(fd, KEEP_SIZE, 0, 100000), 0);
    KCHECK_EQ(sys_lseek(fd, 0, SEEK_END_K), 12288);
    KCHECK_EQ(sys_fallocate(fd, 0, 0, 100000), 0);
    KCHECK_EQ(sys_lseek(fd, 0, SEEK_END_K), 100000);
    KCHECK_EQ(sys_fallocate(fd, 0, 0, 0), -EINVAL);
    KCHECK_EQ(sys_fallocate(fd, 0, INT64_MAX, 10), -EFBIG);
}

KTEST(tmpfs_size_limit_is_enospc)
{
    uaddr_t u = ktest_map(1 << 20);
    KCHECK_EQ(sys_mkdir(US("/t5"), 0755), 0);
    KCHECK_EQ(sys_mount(US("none"), US("/t5"), US("tmpfs"), 0, US("size=100k")), 0);
    int fd = (int)open_file("/t5/f", O_CREAT_K | O_RDWR_K);
    KCHECK_EQ(sys_write(fd, u, 1 << 20), 102400);
    KCHECK_EQ(sys_write(fd, u, 1), -ENOSPC);
    KCHECK_EQ(sys_pwrite64(fd, u, 100, 0), 100);
    KCHECK_EQ(sys_ftruncate(fd, 50000), 0);
    KCHECK_EQ(sys_write(fd, u, 1), 1); /* a hole before it */
    KCHECK_EQ(sys_close(fd), 0);
    KCHECK_EQ(sys_unlink(US("/t5/f")), 0);
    KCHECK_EQ(make_file("/t5/g", "room again"), 0);
    KCHECK_EQ(sys_umount2(US("/t5"), 0), 0);
}

KTEST(tmpfs_rename_in_all_its_forms)
{
    KCHECK_EQ(sys_mkdir(US("/r"), 0755), 0);
    KCHECK_EQ(sys_mkdir(US("/r/d"), 0755), 0);
    KCHECK_EQ(sys_mkdir(US("/r/d/e"), 0755), 0);
    KCHECK_EQ(make_file("/r/a", "a"), 0);
    KCHECK_EQ(make_file("/r/b", "b"), 0);
    KCHECK_EQ(sys_renameat2(AT_FDCWD_K, US("/r/a"), AT_FDCWD_K, US("/r/b"), RENAME_NOREPLACE_K),
              -EEXIST);
    KCHECK_EQ(sys_renameat2(AT_FDCWD_K, US("/r/a"), AT_FDCWD_K, US("/r/d"), RENAME_EXCHANGE_K), 0);
    KCHECK(file_holds("/r/d", "a") && open_file("/r/a/e", O_RDONLY_K | O_DIRECTORY_K) >= 0);
    KCHECK_EQ(sys_renameat2(AT_FDCWD_K, US("/r/a"), AT_FDCWD_K, US("/r/d"), RENAME_EXCHANGE_K), 0);
    KCHECK_EQ(sys_rename(US("/r/a"), US("/r/b")), 0);
    KCHECK(file_holds("/r/b", "a"));
    KCHECK_EQ(sys_rename(US("/r/a"), US("/r/b")), -ENOENT);
    KCHECK_EQ(sys_rename(US("/r/b"), US("/r/d")), -EISDIR);
    KCHECK_EQ(sys_rename(US("/r/d"), US("/r/b")), -ENOTDIR);
    KCHECK_EQ(sys_rename(US("/r/d"), US("/r/d/e/x")), -EINVAL);
    KCHECK_EQ(sys_rename(US("/r/d/e"), US("/r/d")), -ENOTEMPTY);
    KCHECK_EQ(sys_rename(US("/r/b"), US("/r/b")), 0);
    KCHECK_EQ(sys_link(US("/r/b"), US("/r/c")), 0);
    KCHECK_EQ(sys_rename(US("/r/b"), US("/r/c")), 0); /* the same file: nothing happens */
    KCHECK(file_holds("/r/b", "a") && file_holds("/r/c", "a"));
    KCHECK_EQ(sys_rename(US("/r/d/e"), US("/r/moved")), 0);
    KCHECK_EQ(sys_rmdir(US("/r/d")), 0);
    KCHECK_EQ(sys_rmdir(US("/r")), -ENOTEMPTY);
}

KTEST(tmpfs_links_and_directories_count)
{
    struct kstat st;
    struct path p;
    KCHECK_EQ(sys_mkdir(US("/n"), 0755), 0);
    KCHECK_EQ(sys_mkdir(US("/n/sub"), 0755), 0);
    KCHECK_EQ(make_file("/n/f", "x"), 0);
    KCHECK_EQ(sys_link(US("/n/f"), US("/n/g")), 0);
    KCHECK_EQ(path_lookup("/n", 0, &p), 0);
    KCHECK_EQ(vfs_getattr(&p, &st), 0);
    path_put(&p);
    KCHECK_EQ(st.nlink, 3);
    KCHECK_EQ(path_lookup("/n/g", 0, &p), 0);
    KCHECK_EQ(vfs_getattr(&p, &st), 0);
    KCHECK_EQ(st.nlink, 2);
    KCHECK_EQ(sys_unlink(US("/n/f")), 0);
    KCHECK_EQ(sys_unlink(US("/n/g")), 0);
    KCHECK_EQ(vfs_getattr(&p, &st), 0);
    KCHECK_EQ(st.nlink, 0);
    path_put(&p);
    KCHECK_EQ(sys_link(US("/n/sub"), US("/n/h")), -EPERM);
    KCHECK_EQ(sys_unlink(US("/n/sub")), -EISDIR);
    KCHECK_EQ(sys_rmdir(US("/n/sub")), 0);
    KCHECK_EQ(sys_rmdir(US("/n/.")), -EINVAL);
}

struct k_dirent64 {
    uint64_t ino;
    int64_t off;
    uint16_t reclen;
    uint8_t type;
    char name[];
} __attribute__((packed));

/* Counts the entries whose name starts with 'f' that one pass of getdents64 with a small buffer
 * shows; removes each as it comes if told so. */
static int list_dir(int fd, const char *dir, bool remove)
{
    static uint8_t buf[256];
    uaddr_t u = ktest_map(256);
    int n = 0;
    for (;;) {
        int64_t got = sys_getdents64(fd, u, sizeof(buf));
        if (got <= 0 || copy_from_user(buf, u, (size_t)got))
            return got < 0 ? (int)got : n;
        for (int64_t at = 0; at < got;) {
            const struct k_dirent64 *d = (const void *)(buf + at);
            char name[64];
            k_snprintf(name, sizeof(name), "%s/%s", dir, d->name);
            if (d->name[0] == 'f') {
                n++;
                if (remove && sys_unlink(US(name)))
                    return -1;
            }
            at += d->reclen;
        }
    }
}

KTEST(tmpfs_listing_shows_each_entry_once_while_others_go)
{
    char name[32];
    KCHECK_EQ(sys_mkdir(US("/ls"), 0755), 0);
    for (int i = 0; i < 200; i++) {
        k_snprintf(name, sizeof(name), "/ls/f%d", i);
        KCHECK_EQ(make_file(name, ""), 0);
    }
    int fd = (int)open_file("/ls", O_RDONLY_K | O_DIRECTORY_K);
    KCHECK_EQ(list_dir(fd, "/ls", false), 200);
    KCHECK_EQ(list_dir(fd, "/ls", false), 0);
    KCHECK_EQ(sys_lseek(fd, 0, SEEK_SET_K), 0);
    KCHECK_EQ(list_dir(fd, "/ls", true), 200);
    KCHECK_EQ(sys_rmdir(US("/ls")), 0);
    KCHECK_EQ(sys_getdents64(fd, ktest_map(256), 256), -ENOENT);
}

KTEST(tmpfs_extended_attributes)
{
    char buf[16];
    uaddr_t u = ktest_map(64);
    KCHECK_EQ(make_file("/x", ""), 0);
    KCHECK_EQ(sys_setxattr(US("/x"), US("user.one"), US("value"), 5, 0), 0);
    KCHECK_EQ(sys_setxattr(US("/x"), US("user.one"), US("v"), 1, 1 /* XATTR_CREATE */), -EEXIST);
    KCHECK_EQ(sys_getxattr(US("/x"), US("user.one"), u, 64), 5);
    KCHECK_EQ(copy_from_user(buf, u, 5), 0);
    KCHECK(memcmp(buf, "value", 5) == 0);
    KCHECK_EQ(sys_getxattr(US("/x"), US("user.one"), u, 4), -ERANGE);
    KCHECK_EQ(sys_getxattr(US("/x"), US("user.one"), 0, 0), 5);
    KCHECK_EQ(sys_getxattr(US("/x"), US("user.none"), u, 64), -ENODATA);
    KCHECK_EQ(sys_setxattr(US("/x"), US("bogus"), US("v"), 1, 0), -EOPNOTSUPP);
}

KTEST(tmpfs_seals_hold)
{
    enum { ALLOW_SEALING = 2, ADD_SEALS = 1033, GET_SEALS = 1034 };
    int fd = (int)sys_memfd_create(US("m"), ALLOW_SEALING);
    KCHECK(fd >= 0);
    KCHECK_EQ(put(fd, "data", 4), 4);
    KCHECK_EQ(sys_fcntl(fd, ADD_SEALS, F_SEAL_SHRINK_K | F_SEAL_GROW_K), 0);
    KCHECK_EQ(sys_ftruncate(fd, 2), -EPERM);
    KCHECK_EQ(sys_ftruncate(fd, 20), -EPERM);
    KCHECK_EQ(sys_pwrite64(fd, US("DATA"), 4, 0), 4);
    KCHECK_EQ(sys_fcntl(fd, ADD_SEALS, F_SEAL_WRITE_K | F_SEAL_SEAL_K), 0);
    KCHECK_EQ(sys_pwrite64(fd, US("x"), 1, 0), -EPERM);
    KCHECK_EQ(sys_fcntl(fd, ADD_SEALS, F_SEAL_GROW_K), -EPERM);
    KCHECK_EQ(sys_fcntl(fd, GET_SEALS, 0), 15);
}

KTEST(tmpfs_random_writes_match_a_model)
{
    enum { SIZE = 300000 };
    static uint8_t model[SIZE], back[SIZE];
    uint32_t seed = 7, size = 0;
    int fd = (int)open_file("/model", O_CREAT_K | O_RDWR_K);
    uaddr_t u = ktest_map(SIZE);
    uint8_t *view = (uint8_t *)u;
    memset(model, 0, sizeof(model));
    for (int round = 0; round < 300; round++) {
        seed = seed * 1664525 + 1013904223;
        uint32_t off = (seed >> 8) % (SIZE - 9000);
        seed = seed * 1664525 + 1013904223;
        uint32_t len = (seed >> 8) % 9000 + 1;
        switch (round % 8) {
        case 6:
            KCHECK_EQ(sys_ftruncate(fd, off), 0);
            if (off < size)
                memset(model + off, 0, size - off);
            size = off;
            break;
        case 7:
            KCHECK_EQ(sys_fallocate(fd, 3, off, len), 0);
            memset(model + off, 0, len);
            break;
        default:
            memset(view, round + 1, len);
            KCHECK_EQ(sys_pwrite64(fd, u, len, off), len);
            memset(model + off, round + 1, len);
            size = k_max(size, off + len);
        }
        if (round % 20 == 0) {
            KCHECK_EQ(sys_pread64(fd, u, SIZE, 0), size);
            KCHECK_EQ(copy_from_user(back, u, size), 0);
            KCHECK(memcmp(back, model, size) == 0);
        }
    }
    KCHECK_EQ(sys_pread64(fd, u, SIZE, 0), size);
    KCHECK_EQ(copy_from_user(back, u, size), 0);
    KCHECK(memcmp(back, model, size) == 0);
    KCHECK_EQ(sys_unlink(US("/model")), 0);
}
