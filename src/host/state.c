/* SPDX-License-Identifier: Apache-2.0 */
/* The state directory and the keeps in it; see state.h. */
#include "state.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "cleanup.h"

#define STATE_FILE_MAX 8192
#define WAIT_STEP_MS 20

/* ---- the state directory ---- */

/* Opens STATE/name or makes it, and insists that it is ours alone: somebody who could write there
 * would choose what we execute, connect to and remove. -1 with *err; -2 when the place above it is
 * not there or not ours to use. */
static int open_private(const char *above, const char *name, struct cella_error *err)
{
    char path[4200];
    struct stat st;
    cleanup_close int above_fd = open(above, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (above_fd < 0)
        return -2;
    snprintf(path, sizeof(path), "%s/%s", above, name);
    int made = mkdirat(above_fd, name, 0700);
    if (made < 0 && errno != EEXIST)
        return cella_error_set(err, "cannot make the state directory %s: %s", path,
                               strerror(errno));
    cleanup_close int fd = openat(above_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return cella_error_set(err, "cannot open the state directory %s: %s; remove what is there",
                               path, strerror(errno));
    if (st.st_uid != geteuid())
        return cella_error_set(
            err, "the state directory %s belongs to user %u and not to you; remove it", path,
            st.st_uid);
    if (st.st_mode & 077)
        return cella_error_set(err, "the state directory %s is open to others; chmod 700 it", path);
    return steal_fd(&fd);
}

static bool is_own_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid();
}

int state_open(struct cella_error *err)
{
    char name[32];
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    /* One of another user is what sudo and su leave behind. */
    if (runtime && runtime[0] == '/' && is_own_directory(runtime)) {
        int fd = open_private(runtime, "cella", err);
        if (fd != -2)
            return fd;
    }
    if (geteuid() == 0) {
        int fd = open_private("/run", "cella", err);
        if (fd != -2)
            return fd;
    }
    snprintf(name, sizeof(name), "cella-%u", geteuid());
    int fd = open_private("/tmp", name, err);
    return fd == -2 ? cella_error_set(err, "there is no place for the state of keeps; set "
                                           "XDG_RUNTIME_DIR to a directory of yours")
                    : fd;
}

/* ---- one keep's directory ---- */

bool keep_name_is_valid(const char *name)
{
    size_t len = strlen(name);
    static const char first[] = "abcdefghijklmnopqrstuvwxyz0123456789",
                      rest[] = "abcdefghijklmnopqrstuvwxyz0123456789_.-";
    return len >= 1 && len <= KEEP_NAME_MAX && strchr(first, name[0]) && strspn(name, rest) == len;
}

static int check_name(const char *name, struct cella_error *err)
{
    if (keep_name_is_valid(name))
        return 0;
    return cella_error_set(err,
                           "'%s' is not a keep's name; give 1 to 63 of a-z, 0-9, '_', '.', '-', "
                           "beginning with a letter or digit",
                           name);
}

/* Holds STATE/.lock until the descriptor is closed. */
static int lock_state(int state_fd, int operation, struct cella_error *err)
{
    cleanup_close int fd =
        openat(state_fd, ".lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, operation) < 0)
        return cella_error_set(err, "cannot lock the state directory: %s", strerror(errno));
    return steal_fd(&fd);
}

bool keep_is_running(int keep_fd)
{
    cleanup_close int fd = openat(keep_fd, "lock", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

bool keep_wait_end(int keep_fd, int64_t timeout_ms)
{
    for (int64_t waited = 0; keep_is_running(keep_fd); waited += WAIT_STEP_MS) {
        if (timeout_ms >= 0 && waited >= timeout_ms)
            return false;
        struct timespec step = {.tv_nsec = WAIT_STEP_MS * 1000000};
        nanosleep(&step, NULL);
    }
    return true;
}

static void examine(int keep_fd, const char *name, struct keep_info *info)
{
    char text[STATE_FILE_MAX];
    *info = (struct keep_info){.running = keep_is_running(keep_fd)};
    memcpy(info->name, name, strlen(name) + 1);
    /* Not blocking, in case that it is a pipe. */
    cleanup_close int fd = openat(keep_fd, "state", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
    info->known =
        n > 0 && n < (ssize_t)sizeof(text) && keep_state_parse(text, (size_t)n, &info->state);
    if (!info->known)
        info->state = (struct keep_state){0};
}

/* Removes a keep's directory; the state is locked and the keep not running. */
static int remove_directory(int state_fd, const char *name)
{
    int fd = openat(state_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    /* Flat: the launcher can make no directory in it. */
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    return unlinkat(state_fd, name, AT_REMOVEDIR);
}

/* Left by a launcher that ended between its first steps, or by a foreground keep: nothing that
 * anybody wants to see. */
static bool is_remains(const struct keep_info *info)
{
    return !info->running && (!info->known || !info->state.detached);
}

int keep_open(int state_fd, const char *name, struct keep_info *info, struct cella_error *err)
{
    if (check_name(name, err) < 0)
        return -1;
    cleanup_close int lock_fd = lock_state(state_fd, LOCK_SH, err);
    if (lock_fd < 0)
        return -1;
    int fd = openat(state_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return cella_error_set(err, "there is no keep '%s'; 'cella ps -a' lists yours", name);
    examine(fd, name, info);
    return fd;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct keep_info *)a)->name, ((const struct keep_info *)b)->name);
}

int keep_list(int state_fd, struct keep_info **list, unsigned *count, struct cella_error *err)
{
    *list = NULL;
    *count = 0;
    cleanup_close int lock_fd = lock_state(state_fd, LOCK_EX, err);
    if (lock_fd < 0)
        return -1;
    int fd = openat(state_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_dir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir)
        return cella_error_set(err, "cannot list the state directory: %s", strerror(errno));
    unsigned room = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        cleanup_close int keep_fd = -1;
        if (!keep_name_is_valid(entry->d_name) ||
            (keep_fd = openat(state_fd, entry->d_name,
                              O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
            continue;
        if (*count == room) {
            room = room ? 2 * room : 16;
            struct keep_info *more = reallocarray(*list, room, sizeof(**list));
            if (!more) {
                free(*list);
                *list = NULL;
                return cella_error_set(err, "out of memory");
            }
            *list = more;
        }
        struct keep_info *info = &(*list)[*count];
        examine(keep_fd, entry->d_name, info);
        if (is_remains(info))
            remove_directory(state_fd, entry->d_name);
        else
            ++*count;
    }
    if (*count)
        qsort(*list, *count, sizeof(**list), by_name);
    return 0;
}

int keep_remove(int state_fd, const char *name, struct cella_error *err)
{
    if (check_name(name, err) < 0)
        return -1;
    cleanup_close int lock_fd = lock_state(state_fd, LOCK_EX, err);
    if (lock_fd < 0)
        return -1;
    cleanup_close int fd = openat(state_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return cella_error_set(err, "there is no keep '%s'; 'cella ps -a' lists yours", name);
    if (keep_is_running(fd))
        return cella_error_set(err,
                               "the keep '%s' is running; 'cella stop %s' first, or 'cella rm "
                               "-f %s'",
                               name, name, name);
    if (remove_directory(state_fd, name) < 0)
        return cella_error_set(err, "cannot remove the state of '%s': %s", name, strerror(errno));
    return 0;
}

/* ---- making one ---- */

static const char *const qualities[] = {
    "amber", "brave", "calm",  "clear", "eager", "early", "fair",  "fast",
    "fine",  "firm",  "fond",  "free",  "glad",  "grand", "green", "happy",
    "keen",  "kind",  "light", "lucid", "merry", "mild",  "neat",  "noble",
    "plain", "proud", "quick", "quiet", "sharp", "solid", "sunny", "warm"};
static const char *const things[] = {
    "arch",  "aspen", "badger", "beam",   "birch", "bridge", "brook", "cedar",
    "cliff", "cloud", "crane",  "delta",  "dune",  "falcon", "fern",  "field",
    "finch", "fjord", "grove",  "harbor", "heron", "hill",   "lake",  "larch",
    "maple", "otter", "peak",   "pine",   "reef",  "river",  "stone", "tower"};

static void choose_name(char name[KEEP_NAME_MAX + 1], unsigned attempt)
{
    uint32_t random = 0;
    if (getrandom(&random, sizeof(random), 0) < 0)
        random = (uint32_t)getpid();
    const char *quality = qualities[random % 32], *thing = things[random / 32 % 32];
    if (attempt < 8)
        snprintf(name, KEEP_NAME_MAX + 1, "%s-%s", quality, thing);
    else
        snprintf(name, KEEP_NAME_MAX + 1, "%s-%s-%u", quality, thing, random / 1024 % 100000);
}

/* STATE/name with the lock in it, held; the state is locked. 0, or -1 with errno. */
static int make_directory(struct keep_dir *dir)
{
    if (mkdirat(dir->state_fd, dir->name, 0700) < 0)
        return -1;
    dir->fd = openat(dir->state_fd, dir->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    dir->lock_fd = dir->fd < 0 ? -1
                               : openat(dir->fd, "lock",
                                        O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (dir->lock_fd >= 0 && flock(dir->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    int saved = errno;
    keep_abandon(dir);
    errno = saved;
    return -1;
}

/* Is the name free, after remains were taken away? */
static bool is_free(int state_fd, const char *name, struct keep_info *info)
{
    cleanup_close int fd = openat(state_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return true;
    examine(fd, name, info);
    return is_remains(info) && remove_directory(state_fd, name) == 0;
}

int keep_claim(int state_fd, const char *name, struct keep_dir *dir, struct cella_error *err)
{
    *dir = (struct keep_dir){.state_fd = state_fd, .fd = -1, .lock_fd = -1};
    if (name && check_name(name, err) < 0)
        return -1;
    cleanup_close int lock_fd = lock_state(state_fd, LOCK_EX, err);
    if (lock_fd < 0)
        return -1;
    for (unsigned attempt = 0;; attempt++) {
        struct keep_info other;
        if (name)
            memcpy(dir->name, name, strlen(name) + 1);
        else
            choose_name(dir->name, attempt);
        if (is_free(state_fd, dir->name, &other))
            break;
        if (name && other.running)
            return cella_error_set(err,
                                   "the name '%s' is taken by a running keep; 'cella rm -f %s' "
                                   "ends that, or choose another",
                                   name, name);
        if (name)
            return cella_error_set(err,
                                   "the name '%s' is taken by an ended keep; 'cella rm %s' removes "
                                   "that, or choose another",
                                   name, name);
    }
    if (make_directory(dir) < 0)
        return cella_error_set(err, "cannot make the state of the keep '%s': %s", dir->name,
                               strerror(errno));
    return 0;
}

void keep_abandon(struct keep_dir *dir)
{
    if (dir->fd >= 0)
        close(dir->fd);
    remove_directory(dir->state_fd, dir->name);
    if (dir->lock_fd >= 0)
        close(dir->lock_fd);
    dir->fd = dir->lock_fd = -1;
}

int keep_write_state(const struct keep_dir *dir, const struct keep_state *state,
                     struct cella_error *err)
{
    char text[STATE_FILE_MAX];
    int len = keep_state_format(state, text, sizeof(text));
    cleanup_close int fd =
        openat(dir->fd, "state.new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    ssize_t n = fd < 0 || len < 0 ? -1 : write(fd, text, (size_t)len);
    if (n >= 0 && n < len)
        errno = ENOSPC;
    if (n == len && renameat2(dir->fd, "state.new", dir->fd, "state", 0) == 0)
        return 0;
    int saved = errno;
    unlinkat(dir->fd, "state.new", 0);
    return cella_error_set(err, "cannot write the state of the keep '%s': %s", dir->name,
                           strerror(saved));
}
