/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keep's tree at boot: the root grant under an overlay in memory (an empty tmpfs without one),
 * the kernel's own file systems, and the grants of -v.
 */
#include "base/errno.h"
#include "base/printk.h"
#include "base/string.h"
#include "boot.h"
#include "fs/vfs.h"
#include "proc/task.h"

enum { GRANT_RW = 1, GRANT_ROOT = 2, GRANT_FILE = 4 };

/* Makes the directories above `path`, and path itself unless it is to be a file. */
static int make_mountpoint(const char *path, bool is_file)
{
    char part[512];
    size_t len = strlen(path);
    if (len >= sizeof(part))
        return -ENAMETOOLONG;
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != 0)
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (path[i] == 0 && is_file) {
            struct file *f = file_open(part, O_CREAT_K | O_RDONLY_K, 0644);
            if (is_err(f))
                return (int)ptr_err(f);
            file_put(f);
            return 0;
        }
        int r = vfs_mkdir(part, 0755);
        if (r && r != -EEXIST)
            return r;
    }
    return 0;
}

static int mount_at(struct super_block *sb, const char *at, uint32_t flags, bool is_file)
{
    if (is_err(sb))
        return (int)ptr_err(sb);
    if (!sb)
        return -ENOMEM;
    int r = make_mountpoint(at, is_file);
    struct path p;
    if (r == 0)
        r = path_lookup(at, LOOKUP_FOLLOW, &p);
    if (r == 0) {
        r = mount_add(sb, &p, flags);
        path_put(&p);
    }
    if (r)
        super_put(sb);
    return r;
}

static int mount_root(void)
{
    struct super_block *sb = NULL;
    for (uint32_t i = 0; i < boot.h.nr_grants && !sb; i++)
        if (boot.h.grant[i].flags & GRANT_ROOT) {
            struct super_block *lower = hostfs_create(i, true);
            if (is_err(lower))
                return (int)ptr_err(lower);
            sb = overlay_create(lower);
        }
    if (!sb)
        sb = tmpfs_create(0755, 0);
    if (is_err(sb))
        return (int)ptr_err(sb);
    int r = sb ? mount_add(sb, NULL, 0) : -ENOMEM;
    if (r)
        return r;
    current->fs = fs_context_copy(NULL);
    return current->fs ? 0 : -ENOMEM;
}

int boot_mount(const char **what)
{
    *what = "/";
    int r = mount_root();
    if (r)
        return r;
    static const struct {
        const char *at;
        struct super_block *(*create)(void);
        uint32_t flags;
    } own[] = {{"/proc", procfs_create, MS_NOSUID_K | MS_NODEV_K | MS_NOEXEC_K},
               {"/sys", sysfs_create, MS_RDONLY_K | MS_NOSUID_K | MS_NODEV_K | MS_NOEXEC_K},
               {"/dev", devfs_create, MS_NOSUID_K}};
    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        *what = own[i].at;
        r = mount_at(own[i].create(), own[i].at, own[i].flags, false);
        if (r)
            return r;
    }
    *what = "/dev/pts";
    r = mount_at(devpts_create(), "/dev/pts", MS_NOSUID_K | MS_NOEXEC_K, false);
    if (r)
        return r;
    *what = "/dev/shm";
    r = mount_at(tmpfs_create(01777, 0), "/dev/shm", MS_NOSUID_K | MS_NODEV_K, false);
    for (uint32_t i = 0; i < boot.h.nr_grants && r == 0; i++) {
        uint32_t flags = boot.h.grant[i].flags;
        if (flags & GRANT_ROOT)
            continue;
        *what = boot.grant_at[i];
        r = mount_at(hostfs_create(i, !(flags & GRANT_RW)), boot.grant_at[i],
                     flags & GRANT_RW ? MS_NODEV_K : MS_NODEV_K | MS_RDONLY_K, flags & GRANT_FILE);
    }
    return r;
}
