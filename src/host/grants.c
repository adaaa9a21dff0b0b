/* SPDX-License-Identifier: Apache-2.0 */
/* The host files that a keep may reach; see grants.h. Runs before the keep exists, with the
 * caller's rights. */
#include "grants.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cleanup.h"

/* statfs magics of file systems that show kernel state (linux/magic.h has most; the rest are in
 * their own sources). */
static const uint32_t kernel_fs_magic[] = {
    0x9fa0,     /* proc */
    0x62656572, /* sysfs */
    0x27e0eb,   /* cgroup */
    0x63677270, /* cgroup2 */
    0x1cd1,     /* devpts */
    0x64626720, /* debugfs */
    0x74726163, /* tracefs */
    0x73636673, /* securityfs */
    0xcafe4a11, /* bpf */
    0x62656570, /* configfs */
    0x6165676c, /* pstore */
    0xde5e81e4, /* efivarfs */
    0xf97cff8c, /* selinuxfs */
    0x43415d53, /* smackfs */
    0x6e736673, /* nsfs */
    0x19800202, /* mqueue */
    0x6c6f6f70, /* binderfs */
    0x42494e4d, /* binfmt_misc */
    0x65735543, /* fusectl */
    0x67596969, /* rpc_pipefs */
};

bool grants_is_kernel_fs(uint64_t statfs_type)
{
    for (size_t i = 0; i < sizeof(kernel_fs_magic) / sizeof(kernel_fs_magic[0]); i++)
        if ((uint32_t)statfs_type == kernel_fs_magic[i])
            return true;
    return false;
}

char *grants_normalize(const char *path)
{
    if (path[0] != '/')
        return NULL;
    char *out = malloc(strlen(path) + 2);
    if (!out)
        return NULL;
    size_t len = 0;
    for (const char *p = path; *p;) {
        while (*p == '/')
            p++;
        size_t part = strcspn(p, "/");
        if (part == 2 && p[0] == '.' && p[1] == '.') {
            free(out);
            return NULL;
        }
        if (part > 0 && !(part == 1 && p[0] == '.')) {
            out[len++] = '/';
            memcpy(out + len, p, part);
            len += part;
        }
        p += part;
    }
    if (len == 0)
        out[len++] = '/';
    out[len] = '\0';
    return out;
}

/* The caller passes permission checks that others would fail: root, or a holder of the DAC
 * capabilities. */
static bool caller_reads_anything(void)
{
    if (geteuid() == 0)
        return true;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    if (syscall(SYS_capget, &header, data) < 0)
        return false;
    return data[0].effective & (1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH);
}

/* Opens `grant->host_path` and decides what kind it is. `what` names the option in messages. */
static int grant_open(struct grant *grant, const char *what, struct cella_error *err)
{
    cleanup_close int fd = open(grant->host_path, O_PATH | O_CLOEXEC);
    struct stat st;
    struct statfs fs;
    if (fd < 0 || fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
        return cella_error_set(err, "%s: cannot open '%s': %s; name an existing %s", what,
                               grant->host_path, strerror(errno),
                               grant->is_root ? "directory" : "file or directory");
    if (grants_is_kernel_fs((uint64_t)fs.f_type))
        return cella_error_set(
            err,
            "%s: '%s' shows the host kernel's own state and is never given to a keep; "
            "the keep has its own /proc and /sys",
            what, grant->host_path);
    if (!S_ISDIR(st.st_mode) && grant->is_root)
        return cella_error_set(
            err,
            "%s: '%s' is not a directory; give the directory that holds the keep's "
            "root file system",
            what, grant->host_path);
    if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
        return cella_error_set(
            err,
            "%s: '%s' is a device, FIFO or socket; only files and directories can be "
            "given to a keep",
            what, grant->host_path);
    grant->is_file = S_ISREG(st.st_mode);
    grant->fd = steal_fd(&fd);
    return 0;
}

int grants_add_root(struct grant_table *table, const char *host_path, bool explicit_root,
                    struct cella_error *err)
{
    struct grant *grant = &table->entry[0];
    *grant = (struct grant){.fd = -1, .is_root = true};
    table->count = 1;
    grant->host_path = strdup(host_path);
    grant->keep_path = strdup("/");
    if (!grant->host_path || !grant->keep_path)
        return cella_error_set(err, "out of memory");
    grant->world_only = !explicit_root && caller_reads_anything();
    return grant_open(grant, "--root", err);
}

int grants_add_volume(struct grant_table *table, const char *spec, struct cella_error *err)
{
    if (table->count == CELLA_HOST_MAX_GRANTS)
        return cella_error_set(err,
                               "-v: more than %u volumes; put some of them below one directory",
                               CELLA_HOST_MAX_GRANTS - 1);
    struct grant *grant = &table->entry[table->count];
    *grant = (struct grant){.fd = -1};

    cleanup_free char *copy = strdup(spec);
    if (!copy)
        return cella_error_set(err, "out of memory");
    char *colon = strrchr(copy, ':');
    if (colon && (strcmp(colon, ":ro") == 0 || strcmp(colon, ":rw") == 0)) {
        grant->writable = colon[2] == 'w';
        *colon = '\0';
        colon = strrchr(copy, ':');
    }
    /* The place in the keep is absolute, so the last ":/" parts the two, and a host path may have
     * colons. */
    if (!colon || colon == copy || colon[1] != '/')
        return cella_error_set(
            err,
            "-v: '%s' is not HOST:KEEP, HOST:KEEP:ro or HOST:KEEP:rw with an absolute KEEP; "
            "give e.g. -v ./data:/data:ro",
            spec);
    *colon = '\0';
    cleanup_free char *keep_path = grants_normalize(colon + 1);
    if (!keep_path)
        return cella_error_set(
            err, "-v: '%s' has '..' in the keep's path; write the path without it", spec);
    if (strcmp(keep_path, "/") == 0)
        return cella_error_set(err, "-v: '%s' would cover the keep's root; use --root %s", spec,
                               copy);
    for (unsigned i = 1; i < table->count; i++)
        if (strcmp(table->entry[i].keep_path, keep_path) == 0)
            return cella_error_set(
                err, "-v: %s is given twice, from '%s' and from '%s'; give each place once",
                keep_path, table->entry[i].host_path, copy);

    table->count++;
    grant->host_path = strdup(copy);
    grant->keep_path = strdup(keep_path);
    if (!grant->host_path || !grant->keep_path)
        return cella_error_set(err, "out of memory");
    return grant_open(grant, "-v", err);
}

void grants_free(struct grant_table *table)
{
    for (unsigned i = 0; i < table->count; i++) {
        free(table->entry[i].host_path);
        free(table->entry[i].keep_path);
        if (table->entry[i].fd >= 0)
            close(table->entry[i].fd);
    }
    table->count = 0;
}

/* Opens below the root grant, symbolic links taken as in a chroot. */
static int open_in_root(const struct grant_table *table, const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t)flags | O_CLOEXEC,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, table->entry[0].fd, path, &how, sizeof(how));
}

bool grants_root_reaches(const struct grant_table *table, const char *keep_path)
{
    cleanup_free char *path = strdup(keep_path);
    if (!path)
        return false;
    /* Each prefix in turn: "/a", "/a/b", ... */
    for (char *p = path + 1;; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char saved = *p;
        *p = '\0';
        cleanup_close int fd = open_in_root(table, path, O_PATH | O_DIRECTORY);
        struct stat st;
        if (fd < 0 || fstat(fd, &st) < 0)
            return false;
        if (table->entry[0].world_only && !(st.st_mode & S_IXOTH))
            return false;
        if (saved == '\0')
            return true;
        *p = saved;
    }
}

bool grants_root_user(const struct grant_table *table, uid_t uid, char **home, gid_t *gid)
{
    cleanup_close int fd = open_in_root(table, "/etc/passwd", O_RDONLY | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return false;
    int copy = dup(fd);
    FILE *file = copy < 0 ? NULL : fdopen(copy, "r");
    if (!file)
        return false;
    char *line = NULL;
    size_t room = 0;
    bool found = false;
    /* name:password:uid:gid:comment:home:shell. The file is the user's, but it need not be well
     * formed. */
    while (!found && getline(&line, &room, file) > 0) {
        char *field[7] = {0}, *rest = line;
        for (int i = 0; i < 7; i++)
            field[i] = strsep(&rest, ":\n");
        if (!field[5] || field[5][0] != '/')
            continue;
        char *uid_end, *gid_end;
        unsigned long line_uid = strtoul(field[2], &uid_end, 10),
                      line_gid = strtoul(field[3], &gid_end, 10);
        if (uid_end == field[2] || *uid_end || gid_end == field[3] || *gid_end || line_uid != uid)
            continue;
        *home = strdup(field[5]);
        *gid = (gid_t)line_gid;
        found = *home != NULL;
    }
    free(line);
    fclose(file);
    return found;
}
