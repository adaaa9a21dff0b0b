/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/namei.h"

#include "base/printk.h"
#include "calls.h"

/* A tree for the walk, made once. */
static void tree(void)
{
    static bool made;
    if (made)
        return;
    made = true;
    static const char *const dirs[] = {"/w", "/w/a", "/w/a/b", "/w/c", "/w/mnt"};
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        if (vfs_mkdir(dirs[i], 0755))
            ktest_fail(__FILE__, __LINE__, dirs[i]);
    if (make_file("/w/a/b/f", "deep") || make_file("/w/f", "top") || vfs_symlink("a/b", "/w/l") ||
        vfs_symlink("/w/c/../f", "/w/abs") || vfs_symlink("loop", "/w/loop") ||
        vfs_symlink("nowhere", "/w/dangling") || vfs_symlink("../f", "/w/c/up"))
        ktest_fail(__FILE__, __LINE__, "tree");
}

/* The inode number that a name leads to, or negative errno. */
static int64_t ino_of(const char *name, unsigned flags)
{
    struct path p;
    int r = path_lookup(name, flags, &p);
    if (r)
        return r;
    int64_t ino = (int64_t)p.dentry->inode->ino;
    path_put(&p);
    return ino;
}

KTEST(namei_ways_to_the_same_file)
{
    tree();
    int64_t f = ino_of("/w/f", LOOKUP_FOLLOW);
    KCHECK(f > 0);
    static const char *const same[] = {"//w//f",     "/w/./f", "/w/a/../f", "/w/a/b/../../f",
                                       "/../../w/f", "/w/abs", "/w/c/up",   "/w/l/../../f"};
    for (size_t i = 0; i < ARRAY_LEN(same); i++)
        KCHECK_EQ(ino_of(same[i], LOOKUP_FOLLOW), f);
    KCHECK(ino_of("/w/abs", 0) != f);
    KCHECK_EQ(ino_of("/w/l/f", LOOKUP_FOLLOW), ino_of("/w/a/b/f", 0));
    KCHECK_EQ(ino_of("/w/l/", 0), ino_of("/w/a/b", 0));
    KCHECK_EQ(ino_of("/", 0), ino_of("/..", 0));
}

KTEST(namei_errors_come_in_linux_order)
{
    tree();
    static const struct {
        const char *name;
        unsigned flags;
        int want;
    } cases[] = {
        {"/w/none", LOOKUP_FOLLOW, -ENOENT},
        {"/w/none/x", LOOKUP_FOLLOW, -ENOENT},
        {"/w/f/x", LOOKUP_FOLLOW, -ENOTDIR},
        {"/w/f/", LOOKUP_FOLLOW, -ENOTDIR},
        {"/w/f/.", LOOKUP_FOLLOW, -ENOTDIR},
        {"/w/f/..", LOOKUP_FOLLOW, -ENOTDIR},
        {"/w/loop", LOOKUP_FOLLOW, -ELOOP},
        {"/w/loop/x", LOOKUP_FOLLOW, -ELOOP},
        {"/w/dangling", LOOKUP_FOLLOW, -ENOENT},
        {"", LOOKUP_FOLLOW, -ENOENT},
        {"/w/l", LOOKUP_NO_SYMLINKS | LOOKUP_FOLLOW, -ELOOP},
        {"/w/l/f", LOOKUP_NO_SYMLINKS, -ELOOP},
        {"/w/f", LOOKUP_DIRECTORY, -ENOTDIR},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        KCHECK_EQ(ino_of(cases[i].name, cases[i].flags), cases[i].want);
    KCHECK(ino_of("/w/dangling", 0) > 0 && ino_of("/w/loop", 0) > 0);
}

KTEST(namei_name_and_path_lengths)
{
    static char name[5000];
    tree();
    memset(name, 'x', sizeof(name));
    memcpy(name, "/w/", 3);
    name[3 + 255] = 0;
    KCHECK_EQ(make_file(name, "long"), 0);
    KCHECK(ino_of(name, 0) > 0);
    KCHECK_EQ(sys_unlink(US(name)), 0);
    name[3 + 255] = 'x';
    name[3 + 256] = 0;
    KCHECK_EQ(ino_of(name, 0), -ENAMETOOLONG);
    KCHECK_EQ(make_file(name, "longer"), -ENAMETOOLONG);
    /* A whole path: 4095 bytes will do, 4096 will not. */
    for (size_t i = 0; i < sizeof(name); i++)
        name[i] = i % 2 ? '.' : '/';
    name[4095] = 0;
    int64_t fd = open_file(name, O_RDONLY_K);
    KCHECK(fd >= 0);
    name[4095] = '.';
    name[4096] = 0;
    KCHECK_EQ(open_file(name, O_RDONLY_K), -ENAMETOOLONG);
    KCHECK_EQ(sys_open(8, O_RDONLY_K, 0), -EFAULT);
}

KTEST(namei_forty_symbolic_links_are_the_limit)
{
    char name[32], target[32];
    tree();
    KCHECK_EQ(make_file("/w/s0", "end"), 0);
    for (int i = 1; i <= 41; i++) {
        k_snprintf(name, sizeof(name), "/w/s%d", i);
        k_snprintf(target, sizeof(target), "s%d", i - 1);
        KCHECK_EQ(vfs_symlink(target, name), 0);
    }
    KCHECK(ino_of("/w/s40", LOOKUP_FOLLOW) > 0);
    KCHECK_EQ(ino_of("/w/s41", LOOKUP_FOLLOW), -ELOOP);
}

static int64_t scoped(int dirfd, const char *name, unsigned flags)
{
    struct path p;
    int r = path_lookup_at(dirfd, name, flags | LOOKUP_FOLLOW, &p);
    if (r)
        return r;
    int64_t ino = (int64_t)p.dentry->inode->ino;
    path_put(&p);
    return ino;
}

KTEST(namei_beneath_and_in_root_do_not_leave_the_directory)
{
    tree();
    int fd = (int)open_file("/w/c", O_RDONLY_K | O_DIRECTORY_K);
    KCHECK(fd >= 0);
    KCHECK_EQ(make_file("/w/c/in", "x"), 0);
    KCHECK_EQ(vfs_symlink("/in", "/w/c/abs"), 0);
    KCHECK_EQ(scoped(fd, "../f", LOOKUP_BENEATH), -EXDEV);
    KCHECK_EQ(scoped(fd, "up", LOOKUP_BENEATH), -EXDEV);
    KCHECK_EQ(scoped(fd, "/w/f", LOOKUP_BENEATH), -EXDEV);
    KCHECK_EQ(scoped(fd, "abs", LOOKUP_BENEATH), -EXDEV);
    KCHECK(scoped(fd, "in", LOOKUP_BENEATH) > 0);
    int64_t in = ino_of("/w/c/in", 0);
    KCHECK_EQ(scoped(fd, "/in", LOOKUP_IN_ROOT), in);
    KCHECK_EQ(scoped(fd, "../../in", LOOKUP_IN_ROOT), in);
    KCHECK_EQ(scoped(fd, "abs", LOOKUP_IN_ROOT), in);
    KCHECK_EQ(scoped(fd, "up", LOOKUP_IN_ROOT), -ENOENT);
}

KTEST(namei_mounts_are_crossed_both_ways)
{
    tree();
    int64_t under = ino_of("/w/mnt", 0), w = ino_of("/w", 0);
    KCHECK_EQ(sys_mount(US("none"), US("/w/mnt"), US("tmpfs"), 0, 0), 0);
    KCHECK_EQ(make_file("/w/mnt/m", "mounted"), 0);
    KCHECK_EQ(ino_of("/w/mnt/..", 0), w);
    KCHECK_EQ(ino_of("/w/mnt/m", LOOKUP_NO_XDEV), -EXDEV);
    KCHECK_EQ(sys_rmdir(US("/w/mnt")), -EBUSY);
    KCHECK_EQ(sys_rename(US("/w/mnt/m"), US("/w/m")), -EXDEV);
    KCHECK_EQ(sys_link(US("/w/mnt/m"), US("/w/m")), -EXDEV);
    int64_t fd = open_file("/w/mnt/m", O_RDONLY_K);
    KCHECK_EQ(sys_umount2(US("/w/mnt"), 0), -EBUSY);
    KCHECK_EQ(sys_close((int)fd), 0);
    KCHECK_EQ(sys_umount2(US("/w/mnt"), 0), 0);
    KCHECK_EQ(ino_of("/w/mnt", 0), under);
    KCHECK_EQ(ino_of("/w/mnt/m", 0), -ENOENT);
    KCHECK_EQ(sys_umount2(US("/w/mnt"), 0), -EINVAL);
}

KTEST(namei_working_directory_and_its_name)
{
    char buf[64];
    tree();
    uaddr_t u = ktest_map(4096);
    KCHECK_EQ(sys_chdir(US("/w/a/b")), 0);
    KCHECK(ino_of("f", 0) == ino_of("/w/a/b/f", 0));
    KCHECK(ino_of("../../f", 0) == ino_of("/w/f", 0));
    KCHECK_EQ(sys_getcwd(u, 4096), 7);
    KCHECK_EQ(copy_from_user(buf, u, 7), 0);
    KCHECK(strcmp(buf, "/w/a/b") == 0);
    KCHECK_EQ(sys_getcwd(u, 6), -ERANGE);
    KCHECK_EQ(sys_chdir(US("/w/f")), -ENOTDIR);
    KCHECK_EQ(sys_mkdir(US("/w/gone"), 0755), 0);
    KCHECK_EQ(sys_chdir(US("/w/gone")), 0);
    KCHECK_EQ(sys_rmdir(US("/w/gone")), 0);
    KCHECK_EQ(sys_getcwd(u, 4096), -ENOENT);
    KCHECK_EQ(make_file("x", "y"), -ENOENT);
    KCHECK_EQ(ino_of("..", 0), ino_of("/w", 0));
}
