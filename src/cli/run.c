/* SPDX-License-Identifier: Apache-2.0 */
/* `cella run`: reads the options and has the launcher run a program in a keep. */
#include <ctype.h>
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "launcher.h"
#include "log_sink.h"
#include "values.h"

#define MAX_CPUS 64
#define MAX_GROUPS 32
#define MEMORY_MIN (16ull << 20)
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct run_options {
    const char *tee, *root, *workdir, *user, *hostname, *cpus, *memory;
    const char *name, *log_max, *log_format;
    bool trace, stats, terminal, detach;
    char **volumes, **env; /* as given, in order */
    unsigned nr_volumes, nr_env;
    struct net_policy *net;
    char **command; /* program and arguments */
    int nr_command;
};

enum {
    OPT_TEE = 256,
    OPT_ROOT,
    OPT_WORKDIR,
    OPT_USER,
    OPT_HOSTNAME,
    OPT_CPUS,
    OPT_MEMORY,
    OPT_TRACE,
    OPT_STATS,
    OPT_NET,
    OPT_ALLOW_HOST,
    OPT_NAME,
    OPT_LOG_MAX,
    OPT_LOG_FORMAT,
    OPT_HELP
};

static const struct option long_options[] = {
    {"tee", required_argument, NULL, OPT_TEE},
    {"root", required_argument, NULL, OPT_ROOT},
    {"volume", required_argument, NULL, 'v'},
    {"env", required_argument, NULL, 'e'},
    {"workdir", required_argument, NULL, OPT_WORKDIR},
    {"user", required_argument, NULL, OPT_USER},
    {"hostname", required_argument, NULL, OPT_HOSTNAME},
    {"cpus", required_argument, NULL, OPT_CPUS},
    {"memory", required_argument, NULL, OPT_MEMORY},
    {"terminal", no_argument, NULL, 't'},
    {"trace", no_argument, NULL, OPT_TRACE},
    {"stats", no_argument, NULL, OPT_STATS},
    {"net", required_argument, NULL, OPT_NET},
    {"publish", required_argument, NULL, 'p'},
    {"allow-host", required_argument, NULL, OPT_ALLOW_HOST},
    {"detach", no_argument, NULL, 'd'},
    {"name", required_argument, NULL, OPT_NAME},
    {"log-max", required_argument, NULL, OPT_LOG_MAX},
    {"log-format", required_argument, NULL, OPT_LOG_FORMAT},
    {"help", no_argument, NULL, OPT_HELP},
    {0},
};

static const char run_usage[] =
    "usage: cella run [options] [--] PROGRAM [ARGS...]\n\n"
    "Runs PROGRAM, which is looked up in the keep's root file system, in a keep.\n\n"
    "  --tee auto|process    where the keep is made (default auto: the strongest that\n"
    "                        this machine and this build have; says which on stderr)\n"
    "  --root DIR            the keep's root file system comes from the host directory\n"
    "                        DIR; the keep's changes stay in its memory (default /, for\n"
    "                        development only, and only files that all may read)\n"
    "  -v HOST:KEEP[:ro|:rw] shows the host file or directory HOST at KEEP (default ro)\n"
    "  -e NAME=VALUE         adds an environment variable; nothing else of the caller's\n"
    "                        environment is passed\n"
    "  -t                    gives PROGRAM a terminal of the keep's own; standard input must\n"
    "                        be a terminal, which is raw meanwhile; adds the caller's TERM\n"
    "  --workdir DIR         directory in the keep to start in (default: the caller's where\n"
    "                        the root is /, else /)\n"
    "  --user UID[:GID]      user and group in the keep (default: the caller's)\n"
    "  --hostname NAME       the keep's host name (default cella)\n"
    "  --cpus N              virtual CPUs, 1 to 64 (default: as many as the caller may use)\n"
    "  --memory SIZE         limit of memory, with suffix K, M, G (default: the host's)\n"
    "  --net none|out|host   network: none but what -p publishes (default); connections to\n"
    "                        the outside, not to this host; all that the caller may do\n"
    "  -p [ADDR:]HOST:KEEP[/udp]\n"
    "                        the host's port HOST (0: any free one) leads to the keep's port\n"
    "                        KEEP (default ADDR 127.0.0.1)\n"
    "  --allow-host PORT[/udp]\n"
    "                        with --net out: the keep reaches the host's 127.0.0.1:PORT at\n"
    "                        10.0.2.2:PORT\n"
    "  -d                    runs it in the background: prints the keep's name once the\n"
    "                        program has started; its output goes to 'cella logs'\n"
    "  --name NAME           name for the other verbs: a-z, 0-9, '_', '.', '-' (default with\n"
    "                        -d: one is chosen)\n"
    "  --log-max SIZE        with -d: size of a log file; three are kept (default 10M)\n"
    "  --log-format text|json  with -d: the bytes as they are (default), or an object a line\n"
    "  --trace               prints the system calls of the workload on stderr\n"
    "  --stats               prints at the end what the keep asked of the host\n\n"
    "Exit code: the program's; 128+n when signal n ended it; 125 for an error of Cella's\n"
    "own, 126 when PROGRAM cannot be executed, 127 when it was not found.\n";

/* ---- values ---- */

/* How many CPUs this process may run on. */
static unsigned caller_cpus(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set)
                                                             : (int)sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count > MAX_CPUS ? MAX_CPUS : (unsigned)count;
}

static int parse_cpus(const char *text, unsigned *cpus, struct cella_error *err)
{
    uint64_t n = caller_cpus();
    const char *rest;
    if (text && (!parse_number(text, MAX_CPUS, &n, &rest) || *rest || n == 0))
        return cella_error_set(err, "--cpus: '%s' is not a number from 1 to %d; give e.g. --cpus 2",
                               text, MAX_CPUS);
    *cpus = (unsigned)n;
    return 0;
}

/* The host's memory, or what the control group of this process may have if that is less. */
static uint64_t host_memory(void)
{
    uint64_t bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    static const char *const limits[] = {"/sys/fs/cgroup/memory.max",
                                         "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        unsigned long long limit;
        FILE *file = fopen(limits[i], "re");
        if (!file)
            continue;
        if (fscanf(file, "%llu", &limit) == 1 && limit < bytes)
            bytes = limit;
        fclose(file);
    }
    return bytes;
}

static int parse_memory(const char *text, uint64_t *bytes, struct cella_error *err)
{
    if (!text) {
        *bytes = host_memory();
        return 0;
    }
    if (!parse_size(text, bytes))
        return cella_error_set(
            err, "--memory: '%s' is not a size; give a number with K, M or G, e.g. --memory 512M",
            text);
    if (*bytes < MEMORY_MIN)
        return cella_error_set(err, "--memory: %s is below what a keep needs; give at least %lluM",
                               text, MEMORY_MIN >> 20);
    return 0;
}

static int check_hostname(const char *name, struct cella_error *err)
{
    size_t len = strlen(name);
    bool good = len >= 1 && len <= 64 && name[0] != '-' && name[0] != '.';
    for (size_t i = 0; i < len; i++)
        good = good && (isalnum((unsigned char)name[i]) || name[i] == '-' || name[i] == '.');
    if (!good)
        return cella_error_set(
            err, "--hostname: '%s' is not a host name; give 1 to 64 letters, digits, '-' and '.'",
            name);
    return 0;
}

/* ---- options ---- */

/* 0, 1 when help was printed, or -1. */
static int parse_options(int argc, char **argv, struct run_options *options,
                         struct cella_error *err)
{
    static struct net_policy net; /* lives until the process ends */
    *options = (struct run_options){.volumes = calloc((size_t)argc, sizeof(char *)),
                                    .env = calloc((size_t)argc, sizeof(char *)),
                                    .net = &net};
    if (!options->volumes || !options->env)
        return cella_error_set(err, "out of memory");
    opterr = 0;
    /* '+': options after PROGRAM are the program's. */
    for (int c; (c = getopt_long(argc, argv, "+:v:e:p:tdh", long_options, NULL)) != -1;) {
        switch (c) {
        case OPT_TEE: options->tee = optarg; break;
        case OPT_ROOT: options->root = optarg; break;
        case 'v': options->volumes[options->nr_volumes++] = optarg; break;
        case 'e': options->env[options->nr_env++] = optarg; break;
        case 't': options->terminal = true; break;
        case OPT_WORKDIR: options->workdir = optarg; break;
        case OPT_USER: options->user = optarg; break;
        case OPT_HOSTNAME: options->hostname = optarg; break;
        case OPT_CPUS: options->cpus = optarg; break;
        case OPT_MEMORY: options->memory = optarg; break;
        case OPT_NET:
            if (net_policy_mode(options->net, optarg, err) < 0)
                return -1;
            break;
        case 'p':
            if (net_policy_publish(options->net, optarg, err) < 0)
                return -1;
            break;
        case OPT_ALLOW_HOST:
            if (net_policy_allow_host(options->net, optarg, err) < 0)
                return -1;
            break;
        case OPT_TRACE: options->trace = true; break;
        case OPT_STATS: options->stats = true; break;
        case 'd': options->detach = true; break;
        case OPT_NAME: options->name = optarg; break;
        case OPT_LOG_MAX: options->log_max = optarg; break;
        case OPT_LOG_FORMAT: options->log_format = optarg; break;
        case 'h':
        case OPT_HELP: fputs(run_usage, stdout); return 1;
        default: return usage_error(err, "run", argv, c);
        }
    }
    options->command = argv + optind;
    options->nr_command = argc - optind;
    if (options->nr_command == 0)
        return cella_error_set(err, "no program given; e.g. cella run -- /bin/echo hello");
    if (options->command[0][0] == '\0')
        return cella_error_set(err,
                               "the program's name is empty; e.g. cella run -- /bin/echo hello");
    if (options->terminal && !isatty(STDIN_FILENO))
        return cella_error_set(err, "-t: standard input is not a terminal; start cella from one, "
                                    "or leave -t out");
    if (options->tee && strcmp(options->tee, "auto") != 0 && strcmp(options->tee, "process") != 0)
        return cella_error_set(
            err, "--tee: '%s' is not in this build; give auto or process, and see 'cella info'",
            options->tee);
    return 0;
}

/* ---- from options to a launch ---- */

/* The groups of the keep's user: for the caller himself his own. */
static unsigned caller_groups(gid_t groups[MAX_GROUPS])
{
    gid_t all[NGROUPS_MAX > 1024 ? 1024 : NGROUPS_MAX];
    int count = getgroups((int)(sizeof(all) / sizeof(all[0])), all);
    unsigned used = 0;
    for (int i = 0; i < count && used < MAX_GROUPS; i++)
        groups[used++] = all[i];
    return used;
}

struct identity {
    uint32_t uid, gid;
    gid_t groups[MAX_GROUPS];
    unsigned nr_groups;
    char *home;
};

static int choose_user(const struct run_options *options, const struct grant_table *grants,
                       struct identity *user, struct cella_error *err)
{
    bool has_gid = true;
    gid_t gid = 0;
    if (options->user) {
        if (parse_user(options->user, &user->uid, &user->gid, &has_gid, err) < 0)
            return -1;
    } else {
        user->uid = getuid();
        user->gid = getgid();
        user->nr_groups = caller_groups(user->groups);
    }
    bool known = grants_root_user(grants, user->uid, &user->home, &gid);
    if (!has_gid)
        user->gid = known ? gid : user->uid;
    if (!known)
        user->home = strdup(user->uid == 0 ? "/root" : "/");
    return user->home ? 0 : cella_error_set(err, "out of memory");
}

static int choose_workdir(const struct run_options *options, const struct grant_table *grants,
                          char **workdir, struct cella_error *err)
{
    if (options->workdir) {
        *workdir = grants_normalize(options->workdir);
        if (!*workdir)
            return cella_error_set(
                err,
                "--workdir: '%s' is not an absolute path without '..'; give e.g. --workdir /tmp",
                options->workdir);
        return 0;
    }
    /* Where the keep sees the host's tree, it starts where its caller is. */
    if (strcmp(grants->entry[0].host_path, "/") == 0) {
        char *cwd = getcwd(NULL, 0);
        if (cwd && cwd[0] == '/' && grants_root_reaches(grants, cwd)) {
            *workdir = cwd;
            return 0;
        }
        free(cwd);
    }
    *workdir = strdup("/");
    return *workdir ? 0 : cella_error_set(err, "out of memory");
}

/* The standard variables first, then -e in order; a later one of the same name takes the place of
 * the earlier. */
static int build_env(const struct run_options *options, const char *home, char ***env,
                     unsigned *nr_env, struct cella_error *err)
{
    char **list = calloc(options->nr_env + 4u, sizeof(char *));
    char *home_line = NULL, *term_line = NULL;
    const char *term = options->terminal ? getenv("TERM") : NULL;
    if (!list || asprintf(&home_line, "HOME=%s", home) < 0 ||
        (term && asprintf(&term_line, "TERM=%s", term) < 0))
        return cella_error_set(err, "out of memory");
    static char path_line[] = "PATH=" DEFAULT_PATH, lang_line[] = "LANG=C.UTF-8";
    unsigned count = 0;
    list[count++] = path_line;
    list[count++] = home_line;
    list[count++] = lang_line;
    if (term_line)
        list[count++] = term_line;
    for (unsigned i = 0; i < options->nr_env; i++) {
        char *given = options->env[i];
        if (check_env(given, err) < 0)
            return -1;
        size_t name_len = (size_t)(strchr(given, '=') - given) + 1;
        unsigned at = 0;
        while (at < count && strncmp(list[at], given, name_len) != 0)
            at++;
        list[at] = given;
        if (at == count)
            count++;
    }
    *env = list;
    *nr_env = count;
    return 0;
}

/* ---- a keep with a name ---- */

static int choose_log(const struct run_options *options, struct launch *launch,
                      struct cella_error *err)
{
    launch->log_max = LOG_MAX_DEFAULT;
    if ((options->log_max || options->log_format) && !options->detach)
        return cella_error_set(err, "--log-max and --log-format are for keeps in the background; "
                                    "give -d as well");
    if (options->log_max &&
        (!parse_size(options->log_max, &launch->log_max) || launch->log_max < LOG_MAX_MIN))
        return cella_error_set(err,
                               "--log-max: '%s' is not a size of at least 64K; give e.g. "
                               "--log-max 10M",
                               options->log_max);
    launch->log_json = options->log_format && strcmp(options->log_format, "json") == 0;
    if (options->log_format && !launch->log_json && strcmp(options->log_format, "text") != 0)
        return cella_error_set(err, "--log-format: '%s' is neither text nor json",
                               options->log_format);
    return 0;
}

/* Claims the name; the last thing that can fail before the launcher has it. */
static int claim_name(const struct run_options *options, struct launch *launch,
                      struct keep_dir *keep, struct cella_error *err)
{
    if (choose_log(options, launch, err) < 0)
        return -1;
    if (options->terminal && options->detach)
        return cella_error_set(err, "-t and -d: a keep in the background has no terminal; leave -t "
                                    "away, and use 'cella exec -t'");
    if (!options->name && !options->detach)
        return 0;
    int state_fd = state_open(err);
    if (state_fd < 0 || keep_claim(state_fd, options->name, keep, err) < 0)
        return -1;
    launch->keep = keep;
    launch->boot.flags |= CELLA_BOOT_SESSIONS;
    launch->boot.detached = launch->state.detached = options->detach;
    launch->state.created_s = time(NULL);
    char *at = launch->state.command;
    for (int i = 0; i < options->nr_command; i++) {
        size_t room = sizeof(launch->state.command) - (size_t)(at - launch->state.command);
        int len = snprintf(at, room, "%s%s", i ? " " : "", options->command[i]);
        if ((size_t)len >= room)
            break;
        at += len;
    }
    return 0;
}

/* What the user did not choose, and should know: one line. */
static const char *notice(const struct run_options *options)
{
    bool chosen = options->tee && strcmp(options->tee, "auto") != 0;
    if (!chosen && !options->root)
        return "process keep, assurance none (development; not a TEE); root / of the host "
               "(development only)";
    if (!chosen)
        return "process keep, assurance none (development; not a TEE)";
    return options->root ? NULL : "root / of the host (development only)";
}

static int run(int argc, char **argv, struct cella_error *err)
{
    struct clock_source clock;
    clock_begin(&clock);

    struct run_options options;
    int parsed = parse_options(argc, argv, &options, err);
    if (parsed != 0)
        return parsed < 0 ? -1 : 0;

    /* What is allocated here lives until the process ends, which is when the keep does. */
    static struct grant_table grants;
    struct identity user = {0};
    struct launch launch = {.grants = &grants, .clock = &clock};
    struct boot_options *boot = &launch.boot;
    char *workdir = NULL, **env = NULL;
    if (parse_cpus(options.cpus, &boot->nr_cpus, err) < 0 ||
        parse_memory(options.memory, &boot->memory_limit_bytes, err) < 0)
        return -1;
    boot->hostname = options.hostname ? options.hostname : "cella";
    if (check_hostname(boot->hostname, err) < 0)
        return -1;
    if (grants_add_root(&grants, options.root ? options.root : "/", options.root != NULL, err) < 0)
        return -1;
    for (unsigned i = 0; i < options.nr_volumes; i++)
        if (grants_add_volume(&grants, options.volumes[i], err) < 0)
            return -1;
    if (choose_user(&options, &grants, &user, err) < 0 ||
        choose_workdir(&options, &grants, &workdir, err) < 0 ||
        build_env(&options, user.home, &env, &boot->nr_env, err) < 0)
        return -1;

    boot->workdir = workdir;
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): parsing ends with a command or an error */
    boot->program = options.command[0];
    boot->args = options.command;
    boot->nr_args = (unsigned)options.nr_command;
    boot->env = env;
    boot->flags = (options.trace ? CELLA_BOOT_TRACE : 0u) |
                  (options.stats ? CELLA_BOOT_STATS : 0u) |
                  (options.terminal ? CELLA_BOOT_TERMINAL : 0u);
    if (net_policy_is_open(options.net))
        boot->flags |= CELLA_BOOT_NET;
    launch.net = options.net;
    boot->uid = user.uid;
    boot->gid = user.gid;
    boot->groups = user.groups;
    boot->nr_groups = user.nr_groups;
    launch.notice = notice(&options);
    static struct keep_dir keep;
    if (claim_name(&options, &launch, &keep, err) < 0)
        return -1;
    int code = launcher_run(&launch, err);
    if (code == 0 && options.detach) {
        printf("%s\n", keep.name);
        fflush(stdout);
    }
    return code;
}

static int run_verb(int argc, char **argv)
{
    struct cella_error err = {0};
    int code = run(argc, argv, &err);
    return code < 0 ? report_error("run", &err) : code;
}

const struct verb verb_run = {
    .name = "run",
    .summary = "run a program in a keep",
    .usage = run_usage,
    .run = run_verb,
};
