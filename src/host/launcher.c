/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The launcher's main thread; see launcher.h.
 *
 * Order matters: everything is opened first; then Landlock, which the keep's process inherits; then
 * the keep is cloned while there is one thread; then the server's threads are made, which stand
 * still; then seccomp closes around all threads; then the server starts.
 */
#include "launcher.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "cleanup.h"
#include "control.h"
#include "detach.h"
#include "keep_process.h"
#include "log_sink.h"
#include "memwatch.h"
#include "message.h"
#include "server.h"
#include "terminal.h"
#include "wall.h"

#define CLOCK_INTERVAL_MS 1000
/* The first refreshes come sooner: the first slope is from a short baseline. */
#define CLOCK_FIRST_MS 50

static const struct {
    int signal;
    uint32_t event;
} passed_signals[] = {
    {SIGHUP, CELLA_HOST_EVENT_HUP},     {SIGINT, CELLA_HOST_EVENT_INT},
    {SIGTERM, CELLA_HOST_EVENT_TERM},   {SIGQUIT, CELLA_HOST_EVENT_QUIT},
    {SIGWINCH, CELLA_HOST_EVENT_WINCH},
};
#define NR_PASSED (sizeof(passed_signals) / sizeof(passed_signals[0]))

#define PING_LOOKS 10

struct running {
    struct keep_process keep;
    struct server *server;
    struct cella_host_window *window;
    struct clock_source *clock;
    struct memwatch memory;
    struct control *control; /* of a keep with a name, or NULL */
    struct log_sink *sink;   /* of a detached keep, or NULL */
    struct keep_state state;
    struct detach detach;
    int signal_fd;
    bool started;    /* the keep's program runs, or ran; known of a keep with a name */
    bool killed;     /* `cella stop` asked for it */
    bool keep_ended; /* its first process is gone */
    bool over_limit;
    bool watchdog;
    unsigned unanswered; /* looks at the window that found the last ping still there */
    unsigned nr_cpus;
    uint32_t last_beat[CELLA_HOST_MAX_CPUS];
    unsigned
        still[CELLA_HOST_MAX_CPUS]; /* looks that found no new beat of a CPU that does not sleep */
};

/* Signals that go to the keep, as a descriptor. One that the caller has set to be ignored stays
 * ignored (nohup). */
static int signals_open(struct cella_error *err)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < NR_PASSED; i++) {
        struct sigaction old;
        /* A blocked signal is queued even when it is ignored, so the ignored ones must stay out of
         * the set. */
        if (sigaction(passed_signals[i].signal, NULL, &old) == 0 && old.sa_handler == SIG_IGN)
            continue;
        sigaddset(&set, passed_signals[i].signal);
    }
    sigprocmask(SIG_BLOCK, &set, NULL);
    /* A stream whose reader has gone, and a file at its size limit, are errors for the keep and not
     * the launcher's end. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd >= 0 ? fd
                   : cella_error_set(err, "cannot make a signal descriptor: %s", strerror(errno));
}

static void pass_signals(struct running *run)
{
    struct signalfd_siginfo info;
    while (read(run->signal_fd, &info, sizeof(info)) == sizeof(info))
        for (size_t i = 0; i < NR_PASSED; i++)
            if (passed_signals[i].signal == (int)info.ssi_signo)
                server_raise_event(run->server, passed_signals[i].event);
}

static uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* The keep's kernel keeps to the limit by itself; the launcher's measure is for a keep that was
 * taken over. */
static bool is_far_over(const struct memwatch *memory)
{
    return memory->used_bytes > memory->limit_bytes + memory->limit_bytes / 4 + (64u << 20);
}

static void sample_memory(struct running *run)
{
    bool was_far_over = is_far_over(&run->memory);
    memwatch_sample(&run->memory);
    __atomic_store_n(&run->window->mem_used_bytes, run->memory.used_bytes, __ATOMIC_RELAXED);
    run->over_limit = was_far_over && is_far_over(&run->memory);
}

/* Has a CPU of the keep that does not sleep stood still for PING_LOOKS looks? */
static bool cpu_is_stuck(struct running *run)
{
    bool stuck = false;
    for (unsigned i = 0; i < run->nr_cpus; i++) {
        uint32_t beat = __atomic_load_n(&run->window->cpu_beat[i], __ATOMIC_RELAXED);
        bool well = beat != run->last_beat[i] ||
                    __atomic_load_n(&run->window->cpu_sleeping[i], __ATOMIC_RELAXED);
        run->last_beat[i] = beat;
        run->still[i] = well ? 0 : run->still[i] + 1;
        stuck |= run->still[i] >= PING_LOOKS;
    }
    return stuck;
}

/*
 * Is anybody there? The kernel takes events from the window at ticks, when it schedules, and when
 * it is woken from idleness; one that was overwritten by its workload does not. Counted in looks,
 * not in time, so that a launcher that stood still itself draws no conclusion.
 */
static bool keep_answers(struct running *run)
{
    if (!run->watchdog)
        return true;
    if (__atomic_load_n(&run->window->events, __ATOMIC_ACQUIRE) & CELLA_HOST_EVENT_PING)
        run->unanswered++;
    else
        run->unanswered = 0;
    bool stuck = cpu_is_stuck(run);
    server_raise_event(run->server, CELLA_HOST_EVENT_PING);
    return run->unanswered < PING_LOOKS && !stuck;
}

static void line_to_sink(void *sink, const char *text)
{
    log_sink_line(sink, text);
}

/* The keep's program runs: a detached launcher lets go of its caller. False when that is gone. */
static bool note_start(struct running *run)
{
    if (run->started)
        return true;
    if (run->detach.report_fd >= 0) {
        message_redirect(line_to_sink, run->sink);
        if (!detach_started(&run->detach))
            return false;
    }
    run->started = true;
    return true;
}

/* The server has something to say. True: the keep is over. */
static bool look_at_server(struct running *run)
{
    server_event_clear(run->server);
    if (run->control)
        control_tell_ended(run->control, run->server);
    if (server_has_started(run->server) && !note_start(run))
        return run->killed = true;
    int status;
    return server_exit_status(run->server, &status) || server_keep_is_broken(run->server);
}

/* Serves until the keep has asked to end, is gone, or must be ended. */
static int serve(struct running *run, struct cella_error *err)
{
    uint64_t clock_interval = CLOCK_FIRST_MS, next_clock = now_ms() + clock_interval,
             next_memory = now_ms() + run->memory.interval_ms;
    enum { POLL_SIGNAL, POLL_KEEP, POLL_REPORT, POLL_SERVER, POLL_CONTROL };

    for (;;) {
        uint64_t now = now_ms(), next = next_clock < next_memory ? next_clock : next_memory;
        struct pollfd p[POLL_CONTROL + CONTROL_POLL_MAX] = {
            [POLL_SIGNAL] = {.fd = run->signal_fd, .events = POLLIN},
            [POLL_KEEP] = {.fd = run->keep.pid_fd, .events = POLLIN},
            [POLL_REPORT] = {.fd = run->keep.report_fd, .events = POLLIN},
            [POLL_SERVER] = {.fd = server_event_fd(run->server), .events = POLLIN},
        };
        unsigned nr_control = run->control ? control_poll(run->control, p + POLL_CONTROL) : 0;
        int ready = poll(p, POLL_CONTROL + nr_control, next > now ? (int)(next - now) : 0);
        if (ready > 0) {
            if (p[POLL_SERVER].revents && look_at_server(run))
                return 0;
            if (p[POLL_REPORT].revents && keep_process_check(&run->keep, err) < 0)
                return -1;
            if (p[POLL_KEEP].revents) {
                run->keep_ended = true;
                return 0;
            }
            if (p[POLL_SIGNAL].revents)
                pass_signals(run);
            if (nr_control &&
                control_serve(run->control, run->server, p + POLL_CONTROL, nr_control)) {
                run->killed = true;
                return 0;
            }
        }
        now = now_ms();
        if (now >= next_clock) {
            clock_refresh(run->clock, run->window);
            clock_interval =
                clock_interval * 2 < CLOCK_INTERVAL_MS ? clock_interval * 2 : CLOCK_INTERVAL_MS;
            next_clock = now + clock_interval;
            if (!keep_answers(run))
                return cella_error_set(err, "the keep does not answer and was ended; its kernel "
                                            "was overwritten or has a bug");
        }
        if (now >= next_memory) {
            sample_memory(run);
            if (run->over_limit)
                return 0;
            if (run->memory.nr_tasks > run->memory.max_tasks)
                return cella_error_set(err,
                                       "the keep has %u host tasks against a limit of %u (ulimit "
                                       "-u, or half of what this machine can have) and was ended",
                                       run->memory.nr_tasks, run->memory.max_tasks);
            next_memory = now + run->memory.interval_ms;
        }
    }
}

static int exit_code(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* The keep is over: what does the launcher answer? */
static int conclude(struct running *run, bool failed, struct cella_error *err)
{
    int status = 0, wait_status = 0;
    if (run->keep_ended)
        while (waitpid(run->keep.pid, &wait_status, 0) < 0 && errno == EINTR) {
        }
    else
        keep_process_kill(&run->keep);
    /* Requests that the keep made before its end are still served: output, and the exit status
     * itself. */
    server_stop(run->server);
    if (run->control) {
        control_tell_ended(run->control, run->server);
        control_tell_all_killed(run->control);
    }
    if (failed)
        return -1;
    if (run->killed)
        return exit_code(SIGKILL);
    if (run->over_limit) {
        cella_error_set(err,
                        "the keep held %llu MiB of memory against a limit of %llu MiB and was "
                        "ended; give more with --memory",
                        (unsigned long long)(run->memory.used_bytes >> 20),
                        (unsigned long long)(run->memory.limit_bytes >> 20));
        return -1;
    }
    if (server_exit_status(run->server, &status))
        return exit_code(status);
    if (server_keep_is_broken(run->server))
        return cella_error_set(err, "the keep broke the rules of the host interface and was ended; "
                                    "its kernel was overwritten or has a bug");
    if (WIFSIGNALED(wait_status))
        return cella_error_set(err,
                               "the keep ended unexpectedly, by signal %d; see `cella info` for "
                               "what this machine lacks",
                               WTERMSIG(wait_status));
    return cella_error_set(
        err,
        "the keep ended unexpectedly, with code %d; see `cella info` for what this machine lacks",
        WEXITSTATUS(wait_status));
}

/* Tells what the user did not choose, and what the host withholds. */
static void print_notice(const char *notice, const struct keep_process *keep)
{
    if (notice)
        message(MESSAGE_INFO, "%s%s", notice,
                keep->namespaces == keep_process_wanted_namespaces()
                    ? ""
                    : "; the host denies it namespaces, see `cella info`");
}

/* Handles are descriptors, so as many as the caller may have. After the keep's process has taken
 * the old limit. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* What a keep with a name has beside others; before the wall. */
static int open_named(struct running *run, const struct launch *launch, struct cella_error *err)
{
    run->state = launch->state;
    run->state.pid = getpid();
    net_policy_describe(launch->net, run->state.ports, sizeof(run->state.ports));
    if (keep_write_state(launch->keep, &run->state, err) < 0)
        return -1;
    run->control = control_open(launch->keep, err);
    if (!run->control)
        return -1;
    if (!run->state.detached)
        return 0;
    run->sink = log_sink_open(launch->keep->fd, launch->log_max, launch->log_json, err);
    return run->sink ? 0 : -1;
}

/* From the claimed name to the keep's end, in the process that is to be the launcher. */
static int run_keep(struct running *run, const struct launch *launch, struct cella_error *err)
{
    run->signal_fd = signals_open(err);
    if (run->signal_fd < 0)
        return -1;
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    umask(0);
    if (net_policy_open(launch->net, err) < 0)
        return -1;
    if (launch->keep && open_named(run, launch, err) < 0)
        return -1;
    cleanup_close int runtime_fd = keep_runtime_open(err);
    if (runtime_fd < 0)
        return -1;
    cleanup_close int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0)
        return cella_error_set(err, "cannot open /dev/null: %s", strerror(errno));
    cleanup_close int kernel_memory_fd = kernel_memory_create(err);
    if (kernel_memory_fd < 0)
        return -1;
    cleanup_close int window_fd = window_create(&launch->boot, launch->grants, &run->window, err);
    if (window_fd < 0)
        return -1;

    if (wall_landlock(launch->grants, launch->net, runtime_fd, launch->keep, err) < 0)
        return -1;
    clock_publish_first(launch->clock, run->window);
    if (keep_process_start(&run->keep, runtime_fd, kernel_memory_fd, window_fd, null_fd,
                           memwatch_tasks_allowed(), err) < 0)
        return -1;
    raise_file_limit();
    net_policy_leave_network(launch->net, run->keep.pid_fd);
    memwatch_init(&run->memory, kernel_memory_fd, run->keep.pid, launch->boot.memory_limit_bytes);

    const bool terminal = launch->boot.flags & CELLA_BOOT_TERMINAL;
    struct server_config config = {
        .window = run->window,
        .grants = launch->grants,
        .nr_cpus = launch->boot.nr_cpus,
        .stream = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO},
        .log_fd = STDERR_FILENO,
        .net = launch->net,
        .sink = run->sink,
    };
    print_notice(launch->notice, &run->keep);
    config.log_crlf = terminal && isatty(STDERR_FILENO);
    if (wall_drop_capabilities(err) < 0 || (terminal && terminal_make_raw(err) < 0) ||
        !(run->server = server_create(&config, err)) ||
        wall_seccomp(run->keep.pid, launch->net, err) < 0) {
        keep_process_kill(&run->keep);
        return -1;
    }
    server_start(run->server);
    bool failed = serve(run, err) < 0;
    int code = conclude(run, failed, err);
    terminal_restore();
    return code;
}

/* The keep is over, or never was: what remains of it on the host, and who is told. */
static int leave(struct running *run, const struct launch *launch, int code,
                 struct cella_error *err)
{
    if (!launch->keep)
        return code;
    if (code >= 0 && !run->killed && !server_start_failed(run->server))
        note_start(run);
    if (!launch->state.detached || !run->started) {
        keep_abandon(launch->keep);
        detach_failed(&run->detach, code < 0 ? 125 : code, code < 0 ? err->message : "");
        return code;
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    run->state.pid = getpid();
    run->state.ended_s = now.tv_sec;
    run->state.exit_code = code < 0 ? 125 : code;
    if (code < 0)
        message(MESSAGE_ERROR, "%s", err->message);
    if (keep_write_state(launch->keep, &run->state, err) < 0)
        message(MESSAGE_ERROR, "%s", err->message);
    log_sink_flush(run->sink);
    return code;
}

int launcher_run(const struct launch *launch, struct cella_error *err)
{
    /* A debugger that stops the keep would be mistaken for a dead one. */
    const char *watchdog = getenv("CELLA_WATCHDOG");
    struct running run = {.clock = launch->clock,
                          .nr_cpus = launch->boot.nr_cpus,
                          .watchdog = !watchdog || strcmp(watchdog, "0") != 0,
                          .detach.report_fd = -1};
    if (!launch->state.detached)
        return leave(&run, launch, run_keep(&run, launch, err), err);

    int code = 0, forked = detach_begin(&run.detach, &code, err);
    if (forked > 0)
        return err->message[0] ? -1 : code;
    if (forked < 0 && run.detach.report_fd < 0) {
        keep_abandon(launch->keep);
        return -1;
    }
    leave(&run, launch, forked < 0 ? -1 : run_keep(&run, launch, err), err);
    _exit(0);
}
