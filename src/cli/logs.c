/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `cella logs`: what a detached keep has written. The launcher renames files while we read: a file
 * is known by its inode, and after the end of one, the file that follows it is found by the place
 * that it has moved to.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "cli.h"
#include "keeps.h"
#include "log_sink.h"
#include "values.h"

#define STEP_MS 50
#define BLOCK 65536

static const char logs_usage[] =
    "usage: cella logs [-f] [--tail N] NAME\n\n"
    "Prints what a keep in the background has written on standard output and error, and\n"
    "Cella's own lines about it.\n\n"
    "  -f                    goes on until the keep has ended\n"
    "  --tail N              only the last N lines of what is there\n";

/* The log file of that age with its inode; -1: not there. */
static int open_log(int keep_fd, unsigned age, ino_t *inode)
{
    struct stat st;
    int fd = openat(keep_fd, log_sink_name(age), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))) {
        close(fd);
        return -1;
    }
    if (fd >= 0)
        *inode = st.st_ino;
    return fd;
}

/* Which age has the file with this inode now? LOG_FILES: none. */
static unsigned age_of(int keep_fd, ino_t inode)
{
    for (unsigned age = 0; age < LOG_FILES; age++) {
        struct stat st;
        if (fstatat(keep_fd, log_sink_name(age), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            st.st_ino == inode)
            return age;
    }
    return LOG_FILES;
}

/* Prints what is left of a file. False: standard output takes no more. */
static bool copy_rest(int fd)
{
    char block[BLOCK];
    for (ssize_t n; (n = read(fd, block, sizeof(block))) > 0;)
        for (ssize_t at = 0; at < n;) {
            ssize_t m = write(STDOUT_FILENO, block + at, (size_t)(n - at));
            if (m < 0 && errno != EINTR)
                return false;
            at += m > 0 ? m : 0;
        }
    return true;
}

/* Places fd where its last `*lines` lines begin, and takes those off *lines that it has. */
static void seek_lines(int fd, uint64_t *lines, bool *is_last)
{
    char block[BLOCK];
    off_t end = lseek(fd, 0, SEEK_END);
    /* A newline at the very end ends the last line and begins none. */
    bool skip_newline = *is_last && end > 0;
    *is_last = *is_last && end <= 0;
    while (end > 0) {
        size_t len = end < BLOCK ? (size_t)end : BLOCK;
        ssize_t n = pread(fd, block, len, end - (off_t)len);
        if (n <= 0)
            break;
        for (ssize_t i = n; i-- > 0;) {
            bool last_byte = skip_newline;
            skip_newline = false;
            if (last_byte || block[i] != '\n')
                continue;
            if (--*lines == 0) {
                lseek(fd, end - (off_t)len + i + 1, SEEK_SET);
                return;
            }
        }
        end -= (off_t)len;
    }
    lseek(fd, 0, SEEK_SET);
}

struct log_files {
    int fd[LOG_FILES]; /* index: age; -1: none */
    ino_t inode[LOG_FILES];
};

/* Newest first: a file that moves meanwhile is met twice, never missed. */
static void open_files(int keep_fd, struct log_files *files)
{
    for (unsigned age = 0; age < LOG_FILES; age++) {
        files->fd[age] = open_log(keep_fd, age, &files->inode[age]);
        if (age && files->fd[age] >= 0 && files->fd[age - 1] >= 0 &&
            files->inode[age] == files->inode[age - 1]) {
            close(files->fd[age]);
            files->fd[age] = -1;
        }
    }
}

/* Prints what comes, from where fd stands, until the keep has ended. Takes fd over. */
static bool follow(int keep_fd, int fd, ino_t inode)
{
    for (;;) {
        /* In this order: what was written before the end is seen after it was noted. */
        bool running = keep_is_running(keep_fd);
        unsigned age = age_of(keep_fd, inode);
        if (fd >= 0 && !copy_rest(fd)) {
            close(fd);
            return false;
        }
        if (age > 0) {
            /* Renamed before it was read to its end: complete. The next one is a place newer;
             * of one that is gone altogether the oldest. */
            if (fd >= 0)
                close(fd);
            do
                fd = open_log(keep_fd, --age, &inode);
            while (fd < 0 && age > 0);
            if (fd >= 0)
                continue;
        }
        if (!running) {
            if (fd >= 0)
                close(fd);
            return true;
        }
        struct timespec step = {.tv_nsec = STEP_MS * 1000000};
        nanosleep(&step, NULL);
    }
}

static int print_logs(const char *name, uint64_t tail, bool all, bool go_on,
                      struct cella_error *err)
{
    struct keep_ref ref;
    if (find_keep(name, &ref, err) < 0)
        return -1;
    cleanup_close int keep_fd = ref.fd;
    if (ref.info.known && !ref.info.state.detached)
        return cella_error_set(err,
                               "the keep '%s' is in the foreground; its output is where it "
                               "was started",
                               name);
    struct log_files files = {0};
    open_files(keep_fd, &files);
    bool is_last = true, good = true;
    unsigned oldest = LOG_FILES;
    for (unsigned age = 0; !all && age < LOG_FILES; age++) {
        if (files.fd[age] < 0)
            continue;
        if (tail == 0)
            lseek(files.fd[age], 0, SEEK_END);
        else
            seek_lines(files.fd[age], &tail, &is_last);
        oldest = age + 1;
        if (tail == 0)
            break;
    }
    for (unsigned age = LOG_FILES; age-- > 0;) {
        if (files.fd[age] < 0)
            continue;
        if (good && (all || age < oldest))
            good = copy_rest(files.fd[age]);
        if (age > 0)
            close(files.fd[age]);
    }
    if (good && go_on)
        follow(keep_fd, files.fd[0], files.inode[0]);
    return good ? 0 : cella_error_set(err, "cannot write to standard output: %s", strerror(errno));
}

static int logs_verb(int argc, char **argv)
{
    static const struct option options[] = {{"follow", no_argument, NULL, 'f'},
                                            {"tail", required_argument, NULL, 256},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct cella_error err = {0};
    bool go_on = false, all = true;
    uint64_t tail = 0;
    const char *rest;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, ":fh", options, NULL)) != -1;) {
        switch (c) {
        case 'h': fputs(logs_usage, stdout); return 0;
        case 'f': go_on = true; break;
        case 256:
            all = false;
            if (parse_number(optarg, 1u << 30, &tail, &rest) && !*rest)
                break;
            cella_error_set(&err, "--tail: '%s' is not a number of lines", optarg);
            return report_error("logs", &err);
        default: usage_error(&err, "logs", argv, c); return report_error("logs", &err);
        }
    }
    const char *name = one_name("logs", argc, argv, &err);
    return name && print_logs(name, tail, all, go_on, &err) == 0 ? 0 : report_error("logs", &err);
}

const struct verb verb_logs = {
    .name = "logs",
    .summary = "print what a keep has written",
    .usage = logs_usage,
    .run = logs_verb,
};
