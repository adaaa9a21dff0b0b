/* SPDX-License-Identifier: Apache-2.0 */
/* Controlling terminals and job control. Each test makes a session of its own in a child. */
#include "cella_tty.h"

static volatile sig_atomic_t nr_got[65];

static void count(int sig)
{
    nr_got[sig]++;
}

static void count_signal(int sig)
{
    struct sigaction a = {.sa_handler = count};
    CHECK_OK(sigaction(sig, &a, NULL));
}

static void wait_signal(int sig)
{
    for (int i = 0; i < 200 && !nr_got[sig]; i++)
        cella_sleep_ms(10);
    CHECK_EQ(nr_got[sig], 1);
}

/* Runs `body` as the leader of a new session that has the slave as its controlling terminal. */
static void in_session(void (*body)(struct pty p))
{
    struct pty p = pty_open(O_NOCTTY);
    pid_t pid = cella_fork();
    if (pid == 0) {
        CHECK_OK(setsid());
        CHECK_OK(ioctl(p.slave, TIOCSCTTY, 0));
        body(p);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(open, success, "terminal: a session's leader gets it by opening, others do not")
{
    pid_t pid = cella_fork();
    if (pid == 0) {
        CHECK_OK(setsid());
        CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
        struct pty p = pty_open(O_NOCTTY);
        CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
        CHECK_ERRNO(tcgetpgrp(p.slave), ENOTTY);
        CHECK_OK(open(ptsname(p.master), O_WRONLY));
        CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
        CHECK_OK(open(ptsname(p.master), O_RDWR));
        int tty = open("/dev/tty", O_RDWR);
        CHECK(tty >= 0);
        CHECK_EQ(tcgetpgrp(tty), getpid());
        CHECK_EQ(tcgetsid(p.slave), getpid());
        put(tty, "via tty");
        char buf[32];
        drain(p.master, buf, sizeof(buf));
        CHECK_STR(buf, "via tty");
        /* A second terminal does not take its place. */
        struct pty q = pty_open(0);
        CHECK_ERRNO(tcgetpgrp(q.slave), ENOTTY);
        CHECK_ERRNO(ioctl(q.slave, TIOCSCTTY, 0), EPERM);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
}

static void keys_body(struct pty p)
{
    static const struct {
        const char *key;
        int sig;
    } keys[] = {{"\003", SIGINT}, {"\034", SIGQUIT}, {"\032", SIGTSTP}};
    char buf[32];
    for (int i = 0; i < 3; i++) {
        count_signal(keys[i].sig);
        put(p.master, "lost");
        put(p.master, keys[i].key);
        wait_signal(keys[i].sig);
    }
    drain(p.master, buf, sizeof(buf));
    put(p.master, "x\n");
    CHECK_EQ(read(p.slave, buf, sizeof(buf)), 2);
}

TEST(read, success, "terminal: INTR, QUIT and SUSP are signals and drop what was typed")
{
    in_session(keys_body);
}

static void winch_body(struct pty p)
{
    struct winsize size = {.ws_row = 5, .ws_col = 6};
    count_signal(SIGWINCH);
    CHECK_OK(ioctl(p.master, TIOCSWINSZ, &size));
    wait_signal(SIGWINCH);
    CHECK_OK(ioctl(p.slave, TIOCSWINSZ, &size)); /* the same: no signal */
    cella_sleep_ms(30);
    CHECK_EQ(nr_got[SIGWINCH], 1);
}

TEST(ioctl, success, "terminal: a new window size is SIGWINCH to the foreground")
{
    in_session(winch_body);
}

/* A child in a group of its own, in the background, runs fn; its wait status with WUNTRACED. */
static int background(struct pty p, void (*fn)(struct pty p), pid_t *pid)
{
    int status;
    *pid = cella_fork();
    if (*pid == 0) {
        setpgid(0, 0);
        fn(p);
        _exit(0);
    }
    setpgid(*pid, *pid);
    CHECK_EQ(waitpid(*pid, &status, WUNTRACED), *pid);
    return status;
}

static void try_read(struct pty p)
{
    char c[2];
    _exit(read(p.slave, c, 2) == 2 ? 5 : 6);
}

static void try_write(struct pty p)
{
    _exit(write(p.slave, "x", 1) == 1 ? 7 : 8);
}

static void try_modes(struct pty p)
{
    struct termios m;
    _exit(tcgetattr(p.slave, &m) == 0 && tcsetattr(p.slave, TCSANOW, &m) == 0 ? 9 : 10);
}

static void ignoring_read(struct pty p)
{
    char c;
    signal(SIGTTIN, SIG_IGN);
    _exit(read(p.slave, &c, 1) == -1 && errno == EIO ? 11 : 12);
}

static void ignoring_modes(struct pty p)
{
    signal(SIGTTOU, SIG_IGN);
    try_modes(p);
}

static void background_body(struct pty p)
{
    pid_t pid;
    int status = background(p, try_read, &pid);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTIN);
    CHECK_OK(tcsetpgrp(p.slave, pid));
    CHECK_EQ(tcgetpgrp(p.slave), pid);
    put(p.master, "a\n");
    CHECK_OK(kill(-pid, SIGCONT));
    CHECK_EQ(cella_wait_exit(pid), 5);
    /* The leader is in the background now. */
    signal(SIGTTOU, SIG_IGN);
    CHECK_OK(tcsetpgrp(p.slave, getpgrp()));
    signal(SIGTTOU, SIG_DFL);
    status = background(p, try_write, &pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    status = background(p, try_modes, &pid);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTOU);
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_EQ(cella_wait_exit(pid), -1);
    status = background(p, ignoring_read, &pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 11);
    status = background(p, ignoring_modes, &pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 9);
    struct termios m;
    CHECK_OK(tcgetattr(p.slave, &m));
    m.c_lflag |= TOSTOP;
    CHECK_OK(tcsetattr(p.slave, TCSANOW, &m));
    status = background(p, try_write, &pid);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTOU);
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_EQ(cella_wait_exit(pid), -1);
}

TEST(read, success, "terminal: the background stops at reading, at changing modes, and by TOSTOP")
{
    in_session(background_body);
}

static void orphan_read(struct pty p)
{
    char c;
    for (int i = 0; i < 200 && getppid() != 1 && i < 20; i++)
        cella_sleep_ms(5);
    int r = read(p.slave, &c, 1) == -1 && errno == EIO;
    put(p.slave, r ? "yes" : "no");
}

static void orphan_body(struct pty p)
{
    char buf[8];
    pid_t pid = cella_fork();
    if (pid == 0) {
        if (cella_fork() == 0) {
            setpgid(0, 0);
            cella_sleep_ms(60);
            orphan_read(p);
        }
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK(comes(p.master));
    drain(p.master, buf, sizeof(buf));
    CHECK_STR(buf, "yes");
}

TEST(read, error, "terminal: an orphaned background group gets EIO")
{
    in_session(orphan_body);
}

static void tcsetpgrp_body(struct pty p)
{
    volatile uintptr_t bad = 8;
    pid_t pgrp = -1;
    CHECK_ERRNO(tcsetpgrp(p.slave, -2), EINVAL);
    CHECK_ERRNO(tcsetpgrp(p.slave, 4194303), ESRCH);
    CHECK_ERRNO(tcsetpgrp(p.slave, getppid()), EPERM);
    CHECK_ERRNO(ioctl(p.slave, TIOCSPGRP, (void *)bad), EFAULT);
    CHECK_OK(ioctl(p.master, TIOCGPGRP, &pgrp));
    CHECK_EQ(pgrp, getpid());
    struct pty q = pty_open(O_NOCTTY);
    CHECK_ERRNO(tcsetpgrp(q.slave, getpid()), ENOTTY);
    CHECK_ERRNO(ioctl(q.slave, TIOCNOTTY), ENOTTY);
}

TEST(ioctl, error, "terminal: TIOCSPGRP takes groups of the session only")
{
    in_session(tcsetpgrp_body);
}

static void notty_body(struct pty p)
{
    count_signal(SIGHUP);
    count_signal(SIGCONT);
    CHECK_OK(ioctl(p.slave, TIOCNOTTY));
    wait_signal(SIGHUP);
    wait_signal(SIGCONT);
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
    CHECK_OK(ioctl(p.slave, TIOCSCTTY, 0));
    CHECK_EQ(tcgetsid(p.slave), getpid());
}

TEST(ioctl, success, "terminal: TIOCNOTTY of the leader is SIGHUP and SIGCONT to the foreground")
{
    in_session(notty_body);
}

static void master_close_body(struct pty p)
{
    char c;
    count_signal(SIGHUP);
    CHECK_OK(close(p.master)); /* the parent has closed its own */
    wait_signal(SIGHUP);
    CHECK_EQ(read(p.slave, &c, 1), 0);
    CHECK_ERRNO(tcgetpgrp(p.slave), EIO);
    CHECK_ERRNO(tcsetpgrp(p.slave, getpid()), ENOTTY);
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
}

TEST(close, success, "terminal: the master's close hangs up the session")
{
    struct pty p = pty_open(O_NOCTTY);
    pid_t pid = cella_fork();
    if (pid == 0) {
        CHECK_OK(setsid());
        CHECK_OK(ioctl(p.slave, TIOCSCTTY, 0));
        cella_sleep_ms(60);
        master_close_body(p);
        _exit(0);
    }
    CHECK_OK(close(p.master));
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(setsid, success,
     "terminal: the leader's exit takes it from all, and the foreground gets SIGHUP")
{
    struct pty p = pty_open(O_NOCTTY);
    int tell[2];
    char c = 0;
    CHECK_OK(pipe(tell));
    pid_t pid = cella_fork();
    if (pid == 0) {
        CHECK_OK(setsid());
        CHECK_OK(ioctl(p.slave, TIOCSCTTY, 0));
        count_signal(SIGHUP);
        if (cella_fork() == 0) {
            for (int i = 0; i < 300 && !nr_got[SIGHUP]; i++)
                cella_sleep_ms(10);
            bool alive = write(p.slave, "x", 1) == 1;
            bool none = open("/dev/tty", O_RDWR) == -1 && errno == ENXIO;
            c = (char)(nr_got[SIGHUP] + 2 * alive + 4 * none);
            CHECK_EQ(write(tell[1], &c, 1), 1);
            _exit(0);
        }
        cella_sleep_ms(50);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_EQ(read(tell[0], &c, 1), 1);
    CHECK_EQ(c, 7);
    put(p.slave, "y");
    CHECK(comes(p.master));
}

TEST(setsid, success, "terminal: a new session has none")
{
    struct pty p = pty_open(O_NOCTTY);
    pid_t pid = cella_fork();
    if (pid == 0) {
        CHECK_OK(setsid());
        CHECK_OK(ioctl(p.slave, TIOCSCTTY, 0));
        pid_t child = cella_fork();
        if (child == 0) {
            CHECK_OK(open("/dev/tty", O_RDWR));
            CHECK_OK(setsid());
            CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
            CHECK_ERRNO(ioctl(p.slave, TIOCSCTTY, 0), EPERM); /* another session has it */
            _exit(0);
        }
        _exit(cella_wait_exit(child));
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
}

static void stopped_body(struct pty p)
{
    /* A stopped group whose last tie ends: SIGHUP, SIGCONT. */
    int tell[2], status;
    char c = 0;
    CHECK_OK(pipe(tell));
    pid_t pid = cella_fork();
    if (pid == 0) {
        pid_t inner = cella_fork();
        if (inner == 0) {
            setpgid(0, 0);
            count_signal(SIGHUP);
            raise(SIGTSTP);
            wait_signal(SIGHUP);
            CHECK_EQ(write(tell[1], "h", 1), 1);
            _exit(0);
        }
        CHECK_EQ(waitpid(inner, &status, WUNTRACED), inner);
        CHECK(WIFSTOPPED(status));
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_EQ(read(tell[0], &c, 1), 1);
    CHECK_EQ(c, 'h');
    (void)p;
}

TEST(exit_group, success, "terminal: a stopped group that is orphaned is continued")
{
    in_session(stopped_body);
}

static void *sleep_in_read(void *fd)
{
    char c;
    return (void *)read(*(int *)fd, &c, 1);
}

TEST(vhangup, success, "the controlling terminal's files die")
{
    struct pty p = pty_open(O_NOCTTY);
    if (geteuid() != 0)
        SKIP("not root");
    pid_t pid = cella_fork();
    if (pid == 0) {
        pthread_t t;
        void *r;
        CHECK_OK(setsid());
        CHECK_OK(syscall(SYS_vhangup)); /* no terminal: nothing to do */
        CHECK_OK(ioctl(p.slave, TIOCSCTTY, 0));
        signal(SIGHUP, SIG_IGN);
        CHECK_EQ(pthread_create(&t, NULL, sleep_in_read, &p.slave), 0);
        cella_sleep_ms(50);
        if (syscall(SYS_vhangup) == -1 && errno == EPERM)
            _exit(77);
        CHECK_EQ(pthread_join(t, &r), 0);
        CHECK_ERRNO(write(p.slave, "x", 1), EIO);
        _exit(0);
    }
    int code = cella_wait_exit(pid);
    CHECK_EQ(code, 0);
}

TEST(vhangup, error, "needs a capability")
{
    cella_drop_root();
    CHECK_ERRNO(syscall(SYS_vhangup), EPERM);
}

TEST(vhangup, limit, "a terminal that was hung up opens again")
{
    if (geteuid() != 0)
        SKIP("not root");
    struct pty p = pty_open(O_NOCTTY);
    pid_t pid = cella_fork();
    if (pid == 0) {
        CHECK_OK(setsid());
        signal(SIGHUP, SIG_IGN);
        CHECK_OK(ioctl(p.slave, TIOCSCTTY, 0));
        CHECK_OK(syscall(SYS_vhangup));
        int again = open(ptsname(p.master), O_RDWR);
        CHECK(again >= 0);
        CHECK_EQ(tcgetsid(again), getpid());
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST_MAIN()
