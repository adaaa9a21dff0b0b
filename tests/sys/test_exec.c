/* SPDX-License-Identifier: Apache-2.0 */
/*
 * execve and execveat: what the new program receives, what survives, and what is refused.
 *
 * The program executes itself. A constructor looks at argv[0]: an image started by a test checks
 * what it was given, says so through its exit status, and never reaches main.
 */
#include "cella_proc.h"

#include <elf.h>
#include <sys/auxv.h>
#include <sys/prctl.h>

enum { IMAGE_OK = 100, IMAGE_WRONG = 101 };

static char self_path[4096];
static char **image_argv, **image_env;
static int image_argc;

static bool image_checks_arguments(void)
{
    return image_argc == 4 && !strcmp(image_argv[2], "") && !strcmp(image_argv[3], "two words") &&
           image_argv[4] == NULL && !strcmp(image_env[0], "A=1") &&
           !strcmp(image_env[1], "EMPTY=") && image_env[2] == NULL;
}

static bool image_checks_auxv(void)
{
    const unsigned char *random = (const unsigned char *)getauxval(AT_RANDOM);
    unsigned char sum = 0;
    for (int i = 0; i < 16; i++)
        sum |= random[i];
    const Elf64_Ehdr *vdso = (const Elf64_Ehdr *)getauxval(AT_SYSINFO_EHDR);
    return getauxval(AT_PAGESZ) == PAGE && getauxval(AT_UID) == getuid() &&
           getauxval(AT_EUID) == geteuid() && getauxval(AT_GID) == getgid() &&
           getauxval(AT_EGID) == getegid() && getauxval(AT_SECURE) == 0 &&
           getauxval(AT_CLKTCK) == 100 && getauxval(AT_PHENT) == sizeof(Elf64_Phdr) &&
           getauxval(AT_PHNUM) > 0 && getauxval(AT_PHDR) != 0 && getauxval(AT_ENTRY) != 0 && sum &&
           !strcmp((const char *)getauxval(AT_PLATFORM), "x86_64") &&
           !strcmp((const char *)getauxval(AT_EXECFN), image_argv[2]) &&
           (vdso == NULL || !memcmp(vdso->e_ident, ELFMAG, SELFMAG));
}

static bool image_checks_signals(void)
{
    struct sigaction handled, ignored;
    sigset_t mask, pending;
    stack_t stack;
    return !sigaction(SIGUSR1, NULL, &handled) && handled.sa_handler == SIG_DFL &&
           !sigaction(SIGUSR2, NULL, &ignored) && ignored.sa_handler == SIG_IGN &&
           !sigprocmask(SIG_BLOCK, NULL, &mask) && sigismember(&mask, SIGHUP) &&
           !sigismember(&mask, SIGTERM) && !sigpending(&pending) && sigismember(&pending, SIGHUP) &&
           !sigaltstack(NULL, &stack) && stack.ss_flags == SS_DISABLE;
}

/* argv[2] is the descriptor that stays, argv[3] the one that had to be closed. */
static bool image_checks_descriptors(void)
{
    char c = 0;
    return read(atoi(image_argv[2]), &c, 1) == 1 && c == 'b' &&
           fcntl(atoi(image_argv[3]), F_GETFD) == -1 && errno == EBADF;
}

/* argv[2] is the pid, argv[3] the umask, argv[4] the name. */
static bool image_checks_identity(void)
{
    char name[16], path[4096];
    struct rlimit limit;
    return getpid() == atoi(image_argv[2]) && syscall(SYS_gettid) == getpid() &&
           umask(0) == (mode_t)atoi(image_argv[3]) && !prctl(PR_GET_NAME, name) &&
           !strcmp(name, image_argv[4]) && alarm(0) > 900 && getcwd(path, sizeof(path)) &&
           !strcmp(path, "/") && !getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur == 64 &&
           getpgrp() == getpid();
}

/* Started through "#! SELF one argument": the text after the path is one word. */
static bool image_checks_script(void)
{
    return image_argc == 5 && !strcmp(image_argv[1], "image script") &&
           !strcmp(image_argv[2], "./script") && !strcmp(image_argv[3], "x") &&
           !strcmp(image_argv[4], "y");
}

/* Exactly one task: a thread that outlived the exec would keep counting. argv[2] is a pipe. */
static bool image_checks_alone(void)
{
    char c;
    return read(atoi(image_argv[2]), &c, 1) == 0 && syscall(SYS_gettid) == getpid();
}

static bool image_does_nothing(void)
{
    return true;
}

static bool image_counts_arguments(void)
{
    size_t total = 0;
    for (int i = 3; i < image_argc; i++)
        total += strlen(image_argv[i]) + 1;
    return total == (size_t)atoi(image_argv[2]);
}

static const struct {
    const char *name;
    bool (*check)(void);
} images[] = {
    {"image arguments", image_checks_arguments}, {"image auxv", image_checks_auxv},
    {"image signals", image_checks_signals},     {"image descriptors", image_checks_descriptors},
    {"image identity", image_checks_identity},   {"image script", image_checks_script},
    {"image alone", image_checks_alone},         {"image nothing", image_does_nothing},
    {"image count", image_counts_arguments},
};

__attribute__((constructor)) static void run_as_image(int argc, char **argv, char **env)
{
    image_argc = argc;
    image_argv = argv;
    image_env = env;
    for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++)
        if (argc > 1 && !strcmp(argv[1], images[i].name))
            _exit(images[i].check() ? IMAGE_OK : IMAGE_WRONG);
    if (!realpath((const char *)getauxval(AT_EXECFN), self_path))
        _exit(IMAGE_WRONG);
}

static char *const no_env[] = {NULL};

static long raw_execve(const char *path, char *const argv[], char *const env[])
{
    return syscall(SYS_execve, path, argv, env);
}

static long raw_execveat(int fd, const char *path, char *const argv[], char *const env[], int flags)
{
    return syscall(SYS_execveat, fd, path, argv, env, flags);
}

/* Executes SELF in a child with these arguments after argv[0] and returns the image's verdict. */
static int run_image(char *const argv[], char *const env[])
{
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_OK(raw_execve(self_path, argv, env));
        _exit(1);
    }
    return cella_wait_exit(pid);
}

static char *image_nothing[] = {"self", "image nothing", NULL};

TEST(execve, success, "arguments and environment arrive unchanged, empty strings too")
{
    char *argv[] = {"self", "image arguments", "", "two words", NULL};
    char *env[] = {"A=1", "EMPTY=", NULL};
    CHECK_EQ(run_image(argv, env), IMAGE_OK);
}

TEST(execve, success, "the auxiliary vector is complete and true")
{
    char *argv[] = {"self", "image auxv", self_path, NULL};
    CHECK_EQ(run_image(argv, no_env), IMAGE_OK);
}

static void ignore_signal(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
}

TEST(execve, success, "handlers are reset; ignored, blocked and pending signals stay")
{
    char *argv[] = {"self", "image signals", NULL};
    static unsigned char memory[65536];
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof(memory)};
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        set_handler(SIGUSR1, ignore_signal, SA_RESETHAND);
        signal(SIGUSR2, SIG_IGN);
        change_mask(SIG_BLOCK, SIGHUP);
        CHECK_OK(sigaltstack(&stack, NULL));
        CHECK_OK(kill(getpid(), SIGHUP));
        CHECK_OK(raw_execve(self_path, argv, no_env));
    }
    CHECK_EQ(cella_wait_exit(pid), IMAGE_OK);
}

TEST(execve, success, "descriptors stay with their offset, except those marked close-on-exec")
{
    char stays[16], goes[16];
    char *argv[] = {"self", "image descriptors", stays, goes, NULL};
    char c;
    cella_scratch();
    cella_put_file("f", "abc", 3);
    int fd = open("f", O_RDONLY), closing = open("f", O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && closing >= 0);
    CHECK_EQ(read(fd, &c, 1), 1);
    snprintf(stays, sizeof(stays), "%d", fd);
    snprintf(goes, sizeof(goes), "%d", closing);
    CHECK_EQ(run_image(argv, no_env), IMAGE_OK);
}

TEST(execve, success, "pid, group, umask, directory, limits and alarm stay; the name is the file's")
{
    char pid_text[16], umask_text[16], name[16];
    char *argv[] = {"self", "image identity", pid_text, umask_text, name, NULL};
    struct rlimit limit = {64, 64};
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_OK(setpgid(0, 0));
        CHECK_OK(chdir("/"));
        umask(0153);
        alarm(1000);
        CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
        snprintf(pid_text, sizeof(pid_text), "%d", getpid());
        snprintf(umask_text, sizeof(umask_text), "%d", 0153);
        snprintf(name, sizeof(name), "%.15s", cella_basename(self_path));
        CHECK_OK(raw_execve(self_path, argv, no_env));
    }
    CHECK_EQ(cella_wait_exit(pid), IMAGE_OK);
}

static void write_script(const char *path, const char *interpreter, const char *argument)
{
    char text[8192];
    int len = snprintf(text, sizeof(text), "#! %s%s%s\nrest of the file\n", interpreter,
                       argument ? " " : "", argument ? argument : "");
    cella_put_file(path, text, (size_t)len);
    CHECK_OK(chmod(path, 0755));
}

TEST(execve, success, "a script gets its interpreter's argument, its path, and its own arguments")
{
    char *argv[] = {"replaced", "x", "y", NULL};
    cella_scratch();
    write_script("script", self_path, "image script");
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0)
        CHECK_OK(raw_execve("./script", argv, no_env));
    CHECK_EQ(cella_wait_exit(pid), IMAGE_OK);
}

TEST(execve, success, "after vfork, with the parent untouched")
{
    pid_t pid = vfork();
    if (pid == 0) {
        raw_execve(self_path, image_nothing, no_env);
        _exit(1);
    }
    CHECK(pid > 0);
    CHECK_EQ(cella_wait_exit(pid), IMAGE_OK);
    CHECK_STR(image_nothing[1], "image nothing");
}

static void *never_ends(void *arg)
{
    for (;;)
        cella_sleep_ms(1000);
    return arg;
}

static void *exec_from_thread(void *arg)
{
    raw_execve(self_path, arg, no_env);
    _exit(1);
}

/* The pipe's write end is close-on-exec and in all threads: its end of file says they are gone. */
static void check_exec_among_threads(bool from_thread)
{
    char text[16];
    char *argv[] = {"self", "image alone", text, NULL};
    int fd[2];
    CHECK_OK(pipe(fd));
    CHECK_OK(fcntl(fd[1], F_SETFD, FD_CLOEXEC));
    snprintf(text, sizeof(text), "%d", fd[0]);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        pthread_t thread;
        for (int i = 0; i < 4; i++)
            CHECK_EQ(pthread_create(&thread, NULL, never_ends, NULL), 0);
        if (!from_thread)
            raw_execve(self_path, argv, no_env);
        CHECK_EQ(pthread_create(&thread, NULL, exec_from_thread, argv), 0);
        for (;;)
            pause();
    }
    CHECK_OK(close(fd[1]));
    CHECK_EQ(cella_wait_exit(pid), IMAGE_OK);
}

TEST(execve, success, "by the main thread ends all other threads")
{
    check_exec_among_threads(false);
}

TEST(execve, success, "by another thread too, and it takes the process' pid")
{
    check_exec_among_threads(true);
}

TEST(execve, error, "paths: ENOENT, ENOTDIR, EACCES, ELOOP, ENAMETOOLONG, EFAULT")
{
    char name[300];
    cella_scratch();
    cella_drop_root();
    memset(name, 'n', 256);
    name[256] = 0;
    CHECK_ERRNO(raw_execve("/nonexistent", image_nothing, no_env), ENOENT);
    CHECK_ERRNO(raw_execve("", image_nothing, no_env), ENOENT);
    CHECK_ERRNO(raw_execve("/proc/self/status/x", image_nothing, no_env), ENOTDIR);
    CHECK_ERRNO(raw_execve("/", image_nothing, no_env), EACCES);
    CHECK_ERRNO(raw_execve(name, image_nothing, no_env), ENAMETOOLONG);
    CHECK_ERRNO(raw_execve(bad_address(), image_nothing, no_env), EFAULT);
    CHECK_ERRNO(raw_execve(self_path, bad_address(), no_env), EFAULT);
}

TEST(execve, error, "files: EACCES without x, ENOEXEC, ETXTBSY, ELOOP")
{
    cella_scratch();
    cella_put_file("plain", "hello", 5);
    CHECK_ERRNO(raw_execve("plain", image_nothing, no_env), EACCES);
    CHECK_OK(chmod("plain", 0755));
    CHECK_ERRNO(raw_execve("plain", image_nothing, no_env), ENOEXEC);
    int fd = open("plain", O_WRONLY);
    CHECK(fd >= 0);
    CHECK_ERRNO(raw_execve("plain", image_nothing, no_env), ETXTBSY);
    CHECK_OK(close(fd));
    CHECK_OK(symlink("loop", "loop"));
    CHECK_ERRNO(raw_execve("loop", image_nothing, no_env), ELOOP);
}

TEST(execve, error, "an empty file and a damaged ELF header are ENOEXEC")
{
    Elf64_Ehdr header;
    cella_scratch();
    cella_put_file("empty", "", 0);
    CHECK_OK(chmod("empty", 0755));
    CHECK_ERRNO(raw_execve("empty", image_nothing, no_env), ENOEXEC);
    int fd = open(self_path, O_RDONLY);
    CHECK(fd >= 0);
    CHECK_EQ(read(fd, &header, sizeof(header)), sizeof(header));
    CHECK_OK(close(fd));
    header.e_machine = EM_SPARC;
    cella_put_file("foreign", &header, sizeof(header));
    CHECK_OK(chmod("foreign", 0755));
    CHECK_ERRNO(raw_execve("foreign", image_nothing, no_env), ENOEXEC);
}

TEST(execve, error, "a script whose interpreter is missing is ENOENT")
{
    cella_scratch();
    write_script("script", "/nonexistent/interpreter", NULL);
    CHECK_ERRNO(raw_execve("./script", image_nothing, no_env), ENOENT);
}

TEST(execve, error, "a failed exec changes nothing")
{
    struct sigaction action;
    int fd = open("/", O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    set_handler(SIGUSR1, ignore_signal, 0);
    CHECK_ERRNO(raw_execve("/nonexistent", image_nothing, no_env), ENOENT);
    CHECK_OK(fcntl(fd, F_GETFD));
    CHECK_OK(sigaction(SIGUSR1, NULL, &action));
    CHECK(action.sa_sigaction == ignore_signal);
}

TEST(execve, limit, "one string may have 128 KiB with its end, and no byte more")
{
    enum { MAX_STRING = 131072 };
    static char text[MAX_STRING + 1];
    char *argv[] = {"self", "image count", "131072", text, NULL};
    memset(text, 'a', MAX_STRING);
    CHECK_ERRNO(raw_execve(self_path, argv, no_env), E2BIG);
    text[MAX_STRING - 1] = 0;
    CHECK_EQ(run_image(argv, no_env), IMAGE_OK);
}

TEST(execve, limit, "a megabyte of arguments fits, ten megabytes are E2BIG")
{
    enum { NR = 1024, LEN = 1024 };
    static char text[LEN * 10];
    static char *argv[NR + 4] = {"self", "image count", "1048576"};
    memset(text, 'a', LEN - 1);
    for (int i = 0; i < NR; i++)
        argv[i + 3] = text;
    CHECK_EQ(run_image(argv, no_env), IMAGE_OK);
    memset(text, 'a', sizeof(text) - 1);
    CHECK_ERRNO(raw_execve(self_path, argv, no_env), E2BIG);
}

TEST(execve, limit, "interpreters that are scripts nest, but not for ever")
{
    char name[16] = "s0", next[16];
    cella_scratch();
    write_script("s0", self_path, NULL);
    for (int i = 1; i <= 9; i++) {
        char interpreter[32];
        snprintf(interpreter, sizeof(interpreter), "./%s", name);
        snprintf(next, sizeof(next), "s%d", i);
        write_script(next, interpreter, NULL);
        memcpy(name, next, sizeof(name));
    }
    CHECK_ERRNO(raw_execve("./s9", image_nothing, no_env), ELOOP);
}

TEST(execve, interruption, "a blocked signal that arrives during exec is pending afterwards")
{
    char *argv[] = {"self", "image signals", NULL};
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        signal(SIGUSR2, SIG_IGN);
        change_mask(SIG_BLOCK, SIGHUP);
        pid_t sender = cella_fork();
        if (sender == 0) {
            for (int i = 0; i < 20 && !kill(getppid(), SIGHUP); i++)
                sched_yield();
            _exit(0);
        }
        CHECK_EQ(cella_wait_exit(sender), 0);
        CHECK_OK(raw_execve(self_path, argv, no_env));
    }
    CHECK_EQ(cella_wait_exit(pid), IMAGE_OK);
}

/* execveat in a child; returns the image's verdict. */
static int run_image_at(int fd, const char *path, int flags)
{
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_OK(raw_execveat(fd, path, image_nothing, no_env, flags));
        _exit(1);
    }
    return cella_wait_exit(pid);
}

static int self_directory(void)
{
    char directory[4096];
    strcpy(directory, self_path);
    *strrchr(directory, '/') = 0;
    int fd = open(directory[0] ? directory : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(fd >= 0);
    return fd;
}

TEST(execveat, success, "a path relative to a directory, AT_FDCWD, or absolute")
{
    int fd = self_directory();
    CHECK_EQ(run_image_at(fd, cella_basename(self_path), 0), IMAGE_OK);
    CHECK_EQ(run_image_at(-1, self_path, 0), IMAGE_OK);
    CHECK_OK(fchdir(fd));
    CHECK_EQ(run_image_at(AT_FDCWD, cella_basename(self_path), 0), IMAGE_OK);
}

TEST(execveat, success, "AT_EMPTY_PATH executes the descriptor's file, O_PATH or not")
{
    int fd = open(self_path, O_RDONLY | O_CLOEXEC), path_fd = open(self_path, O_PATH | O_CLOEXEC);
    CHECK(fd >= 0 && path_fd >= 0);
    CHECK_EQ(run_image_at(fd, "", AT_EMPTY_PATH), IMAGE_OK);
    CHECK_EQ(run_image_at(path_fd, "", AT_EMPTY_PATH), IMAGE_OK);
}

TEST(execveat, error, "EBADF, ENOENT, ENOTDIR, ELOOP, EINVAL")
{
    cella_scratch();
    CHECK_OK(symlink(self_path, "link"));
    cella_put_file("file", "x", 1);
    int file = open("file", O_RDONLY | O_CLOEXEC);
    CHECK(file >= 0);
    CHECK_ERRNO(raw_execveat(999, "x", image_nothing, no_env, 0), EBADF);
    CHECK_ERRNO(raw_execveat(999, "", image_nothing, no_env, AT_EMPTY_PATH), EBADF);
    CHECK_ERRNO(raw_execveat(file, "x", image_nothing, no_env, 0), ENOTDIR);
    CHECK_ERRNO(raw_execveat(file, "", image_nothing, no_env, 0), ENOENT);
    CHECK_ERRNO(raw_execveat(file, "", image_nothing, no_env, AT_EMPTY_PATH), EACCES);
    CHECK_ERRNO(raw_execveat(AT_FDCWD, "link", image_nothing, no_env, AT_SYMLINK_NOFOLLOW), ELOOP);
    CHECK_ERRNO(raw_execveat(AT_FDCWD, self_path, image_nothing, no_env, 1), EINVAL);
}

TEST(execveat, limit, "a script cannot be read through a descriptor that exec closes")
{
    cella_scratch();
    write_script("script", self_path, "image nothing");
    int fd = open("script", O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_ERRNO(raw_execveat(fd, "", image_nothing, no_env, AT_EMPTY_PATH), ENOENT);
}

TEST_MAIN()
