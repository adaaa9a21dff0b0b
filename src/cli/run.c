/* SPDX-License-Identifier: Apache-2.0 */
/* `cella run`: reads the options and has the launcher run a program in a keep. */
#include <ctype.h>
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "launcher.h"

#define MAX_CPUS 64
#define MAX_GROUPS 32
#define MEMORY_MIN (16ull << 20)
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct run_options {
    const char *tee, *root, *workdir, *user, *hostname, *cpus, *memory;
    bool trace, stats;
    char **volumes, **env; /* as given, in order */
    unsigned nr_volumes, nr_env;
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
    {"trace", no_argument, NULL, OPT_TRACE},
    {"stats", no_argument, NULL, OPT_STATS},
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
    "  --workdir DIR         directory in the keep to start in (default: the caller's where\n"
    "                        the root is /, else /)\n"
    "  --user UID[:GID]      user and group in the keep (default: the caller's)\n"
    "  --hostname NAME       the keep's host name (default cella)\n"
    "  --cpus N              virtual CPUs, 1 to 64 (default: as many as the caller may use)\n"
    "  --memory SIZE         limit of memory, with suffix K, M, G (default: the host's)\n"
    "  --trace               prints the system calls of the workload on stderr\n"
    "  --stats               prints at the end what the keep asked of the host\n\n"
    "Exit code: the program's; 128+n when signal n ended it; 125 for an error of Cella's\n"
    "own, 126 when PROGRAM cannot be executed, 127 when it was not found.\n";

/* ---- values ---- */

/* A decimal number up to max; false for anything else, signs and blanks too. */
static bool parse_number(const char *text, uint64_t max, uint64_t *value, const char **rest)
{
    uint64_t n = 0;
    const char *p = text;
    for (; isdigit((unsigned char)*p); p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (n > (max - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    *value = n;
    *rest = p;
    return p > text;
}

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
    uint64_t n;
    const char *rest = text;
    unsigned shift = 0;
    bool good = parse_number(text, 1ull << 50, &n, &rest);
    if (good && *rest) {
        static const char suffixes[] = "KMGT";
        const char *suffix = strchr(suffixes, toupper((unsigned char)*rest));
        good = suffix && rest[1] == '\0';
        shift = good ? 10 * (unsigned)(suffix - suffixes + 1) : 0;
    }
    if (!good || n > (1ull << 50) >> shift)
        return cella_error_set(
            err, "--memory: '%s' is not a size; give a number with K, M or G, e.g. --memory 512M",
            text);
    *bytes = n << shift;
    if (*bytes < MEMORY_MIN)
        return cella_error_set(err, "--memory: %s is below what a keep needs; give at least %lluM",
                               text, MEMORY_MIN >> 20);
    return 0;
}

static int parse_user(const char *text, uint32_t *uid, uint32_t *gid, bool *has_gid,
                      struct cella_error *err)
{
    /* The highest number means "no user" in Linux. */
    const uint64_t max = UINT32_MAX - 1;
    uint64_t u, g = 0;
    const char *rest;
    bool good = parse_number(text, max, &u, &rest);
    *has_gid = good && *rest == ':';
    if (*has_gid)
        good = parse_number(rest + 1, max, &g, &rest);
    if (!good || *rest)
        return cella_error_set(
            err, "--user: '%s' is not UID or UID:GID; give numbers, e.g. --user 1000:1000", text);
    *uid = (uint32_t)u;
    *gid = (uint32_t)g;
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

static int check_env(const char *text, struct cella_error *err)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return cella_error_set(err, "-e: '%s' is not NAME=VALUE; give e.g. -e LANG=de_DE.UTF-8",
                               text);
    return 0;
}

/* ---- options ---- */

/* What getopt did not like: `c` is '?' or ':'. It leaves a short option's letter, or a long one's
 * value, in optopt. */
static int usage_error(struct cella_error *err, char *const *argv, int c)
{
    const char *given = argv[optind - 1];
    char letter[] = {'-', (char)optopt, '\0'};
    if (optopt > 0 && optopt < 256)
        given = letter;
    if (c == ':')
        return cella_error_set(err, "%s: needs a value; 'cella help run' lists the options", given);
    if (optopt >= OPT_TEE)
        return cella_error_set(err, "%s: takes no value; 'cella help run' lists the options",
                               given);
    return cella_error_set(
        err, "%s: is not an option; 'cella help run' lists them, and '--' ends them", given);
}

/* 0, 1 when help was printed, or -1. */
static int parse_options(int argc, char **argv, struct run_options *options,
                         struct cella_error *err)
{
    *options = (struct run_options){.volumes = calloc((size_t)argc, sizeof(char *)),
                                    .env = calloc((size_t)argc, sizeof(char *))};
    if (!options->volumes || !options->env)
        return cella_error_set(err, "out of memory");
    opterr = 0;
    /* '+': options after PROGRAM are the program's. */
    for (int c; (c = getopt_long(argc, argv, "+:v:e:h", long_options, NULL)) != -1;) {
        switch (c) {
        case OPT_TEE: options->tee = optarg; break;
        case OPT_ROOT: options->root = optarg; break;
        case 'v': options->volumes[options->nr_volumes++] = optarg; break;
        case 'e': options->env[options->nr_env++] = optarg; break;
        case OPT_WORKDIR: options->workdir = optarg; break;
        case OPT_USER: options->user = optarg; break;
        case OPT_HOSTNAME: options->hostname = optarg; break;
        case OPT_CPUS: options->cpus = optarg; break;
        case OPT_MEMORY: options->memory = optarg; break;
        case OPT_TRACE: options->trace = true; break;
        case OPT_STATS: options->stats = true; break;
        case 'h':
        case OPT_HELP: fputs(run_usage, stdout); return 1;
        default: return usage_error(err, argv, c);
        }
    }
    options->command = argv + optind;
    options->nr_command = argc - optind;
    if (options->nr_command == 0)
        return cella_error_set(err, "no program given; e.g. cella run -- /bin/echo hello");
    if (options->command[0][0] == '\0')
        return cella_error_set(err,
                               "the program's name is empty; e.g. cella run -- /bin/echo hello");
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
    char **list = calloc(options->nr_env + 3u, sizeof(char *));
    char *home_line = NULL;
    if (!list || asprintf(&home_line, "HOME=%s", home) < 0)
        return cella_error_set(err, "out of memory");
    static char path_line[] = "PATH=" DEFAULT_PATH, lang_line[] = "LANG=C.UTF-8";
    unsigned count = 0;
    list[count++] = path_line;
    list[count++] = home_line;
    list[count++] = lang_line;
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
    boot->flags = (options.trace ? CELLA_BOOT_TRACE : 0u) | (options.stats ? CELLA_BOOT_STATS : 0u);
    boot->uid = user.uid;
    boot->gid = user.gid;
    boot->groups = user.groups;
    boot->nr_groups = user.nr_groups;
    launch.notice = notice(&options);
    return launcher_run(&launch, err);
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
