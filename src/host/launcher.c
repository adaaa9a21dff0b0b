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
#include "keep_process.h"
#include "memwatch.h"
#include "server.h"
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
    int signal_fd;
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

/* Serves until the keep has asked to end, is gone, or must be ended. */
static int serve(struct running *run, struct cella_error *err)
{
    uint64_t clock_interval = CLOCK_FIRST_MS, next_clock = now_ms() + clock_interval,
             next_memory = now_ms() + run->memory.interval_ms;
    enum { POLL_SIGNAL, POLL_KEEP, POLL_REPORT, POLL_SERVER, NR_POLL };

    for (;;) {
        uint64_t now = now_ms(), next = next_clock < next_memory ? next_clock : next_memory;
        struct pollfd p[NR_POLL] = {
            [POLL_SIGNAL] = {.fd = run->signal_fd, .events = POLLIN},
            [POLL_KEEP] = {.fd = run->keep.pid_fd, .events = POLLIN},
            [POLL_REPORT] = {.fd = run->keep.report_fd, .events = POLLIN},
            [POLL_SERVER] = {.fd = server_event_fd(run->server), .events = POLLIN},
        };
        int ready = poll(p, NR_POLL, next > now ? (int)(next - now) : 0);
        if (ready > 0) {
            if (p[POLL_SERVER].revents)
                return 0;
            if (p[POLL_REPORT].revents && keep_process_check(&run->keep, err) < 0)
                return -1;
            if (p[POLL_KEEP].revents) {
                run->keep_ended = true;
                return 0;
            }
            if (p[POLL_SIGNAL].revents)
                pass_signals(run);
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
    if (failed)
        return -1;
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
        fprintf(stderr, "cella: %s%s\n", notice,
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

int launcher_run(const struct launch *launch, struct cella_error *err)
{
    /* A debugger that stops the keep would be mistaken for a dead one. */
    const char *watchdog = getenv("CELLA_WATCHDOG");
    struct running run = {.clock = launch->clock,
                          .nr_cpus = launch->boot.nr_cpus,
                          .watchdog = !watchdog || strcmp(watchdog, "0") != 0};
    run.signal_fd = signals_open(err);
    if (run.signal_fd < 0)
        return -1;
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    umask(0);

    if (net_policy_open(launch->net, err) < 0)
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
    cleanup_close int window_fd = window_create(&launch->boot, launch->grants, &run.window, err);
    if (window_fd < 0)
        return -1;

    if (wall_landlock(launch->grants, launch->net, runtime_fd, err) < 0)
        return -1;
    clock_publish_first(launch->clock, run.window);
    if (keep_process_start(&run.keep, runtime_fd, kernel_memory_fd, window_fd, null_fd,
                           memwatch_tasks_allowed(), err) < 0)
        return -1;
    raise_file_limit();
    net_policy_leave_network(launch->net);
    memwatch_init(&run.memory, kernel_memory_fd, run.keep.pid, launch->boot.memory_limit_bytes);

    struct server_config config = {
        .window = run.window,
        .grants = launch->grants,
        .nr_cpus = launch->boot.nr_cpus,
        .stream = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO},
        .log_fd = STDERR_FILENO,
        .net = launch->net,
    };
    if (wall_drop_capabilities(err) < 0 || !(run.server = server_create(&config, err)) ||
        wall_seccomp(run.keep.pid, launch->net, err) < 0) {
        keep_process_kill(&run.keep);
        return -1;
    }
    print_notice(launch->notice, &run.keep);
    server_start(run.server);
    bool failed = serve(&run, err) < 0;
    return conclude(&run, failed, err);
}
