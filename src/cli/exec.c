/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `cella exec`: a further program in a running keep. The launcher of the keep is given our standard
 * streams and serves them; we pass signals on and wait for its answer.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "cli.h"
#include "control.h"
#include "keeps.h"
#include "terminal.h"
#include "values.h"

static const char exec_usage[] =
    "usage: cella exec [options] NAME [--] PROGRAM [ARGS...]\n\n"
    "Runs a further PROGRAM in the running keep NAME, with this command's standard\n"
    "streams; HUP, INT, TERM and QUIT are passed on.\n\n"
    "  -t                    gives it a terminal of its own; -i is accepted and changes\n"
    "                        nothing, for standard input is always passed\n"
    "  -e NAME=VALUE         sets a variable over those of the keep's own program\n"
    "  --user UID[:GID]      user and group (default: those of the keep's own program)\n"
    "  --workdir DIR         directory to start in (default: that of the keep's own program)\n\n"
    "Exit code: the program's; 128+n when signal n ended it; 125 for an error of Cella's\n"
    "own, 126 when PROGRAM cannot be executed, 127 when it was not found.\n";

struct exec_options {
    const char *user, *workdir;
    char **env;
    uint32_t nr_env;
    bool terminal;
    const char *name;
    char **command;
    uint32_t nr_command;
};

/* 0, 1 when help was printed, or -1. */
static int parse_options(int argc, char **argv, struct exec_options *options,
                         struct cella_error *err)
{
    static const struct option known[] = {{"tty", no_argument, NULL, 't'},
                                          {"interactive", no_argument, NULL, 'i'},
                                          {"env", required_argument, NULL, 'e'},
                                          {"user", required_argument, NULL, 256},
                                          {"workdir", required_argument, NULL, 257},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    options->env = calloc((size_t)argc, sizeof(char *));
    if (!options->env)
        return cella_error_set(err, "out of memory");
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, "+:tie:h", known, NULL)) != -1;) {
        switch (c) {
        case 't': options->terminal = true; break;
        case 'i': break;
        case 'e':
            if (check_env(optarg, err) < 0)
                return -1;
            options->env[options->nr_env++] = optarg;
            break;
        case 256: options->user = optarg; break;
        case 257: options->workdir = optarg; break;
        case 'h': fputs(exec_usage, stdout); return 1;
        default: return usage_error(err, "exec", argv, c);
        }
    }
    argv += optind;
    argc -= optind;
    if (argc == 0)
        return cella_error_set(err, "no keep named; e.g. cella exec my-keep -- /bin/sh");
    options->name = *argv++;
    argc--;
    if (argc > 0 && strcmp(*argv, "--") == 0) {
        argv++;
        argc--;
    }
    if (argc == 0 || argv[0][0] == '\0')
        return cella_error_set(err, "no program given; e.g. cella exec %s -- /bin/sh",
                               options->name);
    if (options->workdir && options->workdir[0] != '/')
        return cella_error_set(err, "--workdir: '%s' is not an absolute path", options->workdir);
    options->command = argv;
    options->nr_command = (uint32_t)argc;
    return 0;
}

/* ---- the request ---- */

static bool append(struct cella_session_header *header, const char *text)
{
    size_t size = strlen(text) + 1;
    if (size > CELLA_SESSION_MAX - header->size)
        return false;
    memcpy((char *)header + header->size, text, size);
    header->size += (uint32_t)size;
    return true;
}

/* The caller frees it. */
static struct cella_session_header *build_request(const struct exec_options *options,
                                                  struct cella_error *err)
{
    cleanup_free struct cella_session_header *header = calloc(1, CELLA_SESSION_MAX);
    if (!header) {
        cella_error_set(err, "out of memory");
        return NULL;
    }
    *header = (struct cella_session_header){
        .size = sizeof(*header),
        .flags = options->terminal ? CELLA_SESSION_TERMINAL : 0,
        .nr_args = options->nr_command,
        .nr_env = options->nr_env,
        .uid = UINT32_MAX,
        .gid = UINT32_MAX,
    };
    bool has_gid;
    if (options->user) {
        if (parse_user(options->user, &header->uid, &header->gid, &has_gid, err) < 0)
            return NULL;
        if (!has_gid)
            header->gid = header->uid;
    }
    for (int i = 0; i < 3; i++) {
        struct stat st;
        header->stdio_mode[i] = fstat(i, &st) == 0 ? st.st_mode : 0;
        header->stdio_is_tty |= (isatty(i) ? 1u : 0u) << i;
    }
    bool fits = append(header, options->workdir ? options->workdir : "");
    for (uint32_t i = 0; i < options->nr_command; i++)
        fits = fits && append(header, options->command[i]);
    for (uint32_t i = 0; i < options->nr_env; i++)
        fits = fits && append(header, options->env[i]);
    if (!fits) {
        cella_error_set(err,
                        "arguments and environment together are longer than %u bytes; pass long "
                        "data through standard input",
                        CELLA_SESSION_MAX);
        return NULL;
    }
    struct cella_session_header *out = header;
    header = NULL;
    return out;
}

/* ---- the terminal ---- */

static uint32_t terminal_size(void)
{
    struct winsize size;
    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0 || !size.ws_row || !size.ws_col)
        return 24u << 16 | 80;
    return (uint32_t)size.ws_row << 16 | size.ws_col;
}

/* ---- waiting ---- */

static const int passed_signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};

/* A descriptor for the signals that are passed on; ignored ones stay ignored. */
static int open_signals(bool terminal)
{
    sigset_t set;
    sigemptyset(&set);
    for (unsigned i = 0; i < sizeof(passed_signals) / sizeof(passed_signals[0]); i++) {
        struct sigaction old;
        if (sigaction(passed_signals[i], NULL, &old) < 0 || old.sa_handler != SIG_IGN)
            sigaddset(&set, passed_signals[i]);
    }
    if (terminal)
        sigaddset(&set, SIGWINCH);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void pass_signals(int signal_fd, int fd)
{
    struct signalfd_siginfo info;
    while (read(signal_fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGWINCH)
            control_send(fd, CONTROL_RESIZE, terminal_size());
        else
            control_send(fd, CONTROL_SIGNAL, info.ssi_signo);
    }
}

/* Until the launcher answers. The exit code, or -1. */
static int await_end(int fd, int signal_fd, const char *name, struct cella_error *err)
{
    struct control_reply reply;
    for (;;) {
        struct pollfd p[] = {{.fd = fd, .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}};
        if (poll(p, 2, -1) < 0)
            continue;
        if (p[1].revents)
            pass_signals(signal_fd, fd);
        if (p[0].revents)
            break;
    }
    if (!control_receive(fd, &reply))
        return cella_error_set(err, "the launcher of '%s' is gone, and the keep with it", name);
    if (reply.answer == CONTROL_ENDED)
        return WIFSIGNALED(reply.value) ? 128 + WTERMSIG(reply.value) : WEXITSTATUS(reply.value);
    if (reply.value == EAGAIN)
        return cella_error_set(err, "too many programs run in '%s' by 'cella exec'; at most %u",
                               name, SERVER_SESSIONS);
    return cella_error_set(err, "the launcher of '%s' refuses: %s", name, strerror(reply.value));
}

static int exec_in(const struct exec_options *options, struct cella_error *err)
{
    static const int stream[3] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};
    struct keep_ref ref;
    if (options->terminal && (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)))
        return cella_error_set(err, "-t: standard input and output are not a terminal; leave -t "
                                    "away");
    cleanup_free struct cella_session_header *header = build_request(options, err);
    if (!header || find_keep(options->name, &ref, err) < 0)
        return -1;
    cleanup_close int keep_fd = ref.fd;
    if (!ref.info.running)
        return cella_error_set(err,
                               "the keep '%s' has ended; 'cella logs %s' tells more, 'cella "
                               "rm %s' removes it",
                               options->name, options->name, options->name);
    cleanup_close int pid_fd = -1;
    cleanup_close int fd = control_connect(keep_fd, options->name, &pid_fd, err);
    if (fd < 0)
        return -1;
    cleanup_close int signal_fd = open_signals(options->terminal);
    if (options->terminal && terminal_make_raw(err) < 0)
        return -1;
    int code = -1;
    if (control_send_exec(fd, options->terminal ? terminal_size() : 0, header, stream) < 0)
        cella_error_set(err, "cannot reach the launcher of '%s': %s", options->name,
                        strerror(errno));
    else
        code = await_end(fd, signal_fd, options->name, err);
    terminal_restore();
    return code;
}

static int exec_verb(int argc, char **argv)
{
    struct cella_error err = {0};
    struct exec_options options = {0};
    int code = parse_options(argc, argv, &options, &err);
    if (code > 0)
        return 0;
    if (code == 0)
        code = exec_in(&options, &err);
    return code < 0 ? report_error("exec", &err) : code;
}

const struct verb verb_exec = {
    .name = "exec",
    .summary = "run a further program in a running keep",
    .usage = exec_usage,
    .run = exec_verb,
};
