/* SPDX-License-Identifier: Apache-2.0 */
/* Pseudoterminals: how pairs are made, found, and ended. */
#include "cella_tty.h"

TEST(open, success, "ptmx: a pair appears in /dev/pts and goes with its master")
{
    char name[64];
    struct stat st;
    int master = posix_openpt(O_RDWR | O_NOCTTY), nr = -1, locked = -1;
    CHECK(master >= 0);
    CHECK_EQ(ptsname_r(master, name, sizeof(name)), 0);
    CHECK_OK(ioctl(master, TIOCGPTN, &nr));
    CHECK_EQ(strncmp(name, "/dev/pts/", 9), 0);
    CHECK_EQ(atoi(name + 9), nr);
    CHECK_OK(stat(name, &st));
    CHECK(S_ISCHR(st.st_mode));
    CHECK_EQ(st.st_mode & 0707, 0600); /* the group's bits are a matter of the mount */
    CHECK_EQ(st.st_uid, geteuid());
    CHECK_ERRNO(open(name, O_RDWR | O_NOCTTY), EIO);
    CHECK_OK(ioctl(master, TIOCGPTLCK, &locked));
    CHECK_EQ(locked, 1);
    CHECK_EQ(grantpt(master), 0);
    CHECK_EQ(unlockpt(master), 0);
    int slave = open(name, O_RDWR | O_NOCTTY);
    CHECK(slave >= 0);
    CHECK_EQ(isatty(slave), 1);
    CHECK_STR(ttyname(slave), name);
    CHECK_OK(close(master));
    CHECK_ERRNO(stat(name, &st), ENOENT);
    CHECK_ERRNO(open(name, O_RDWR | O_NOCTTY), ENOENT);
}

TEST(open, error, "ptmx: an exclusive terminal is open to nobody else")
{
    struct pty p = pty_open(O_NOCTTY);
    CHECK_OK(fchmod(p.slave, 0666));
    CHECK_OK(ioctl(p.slave, TIOCEXCL));
    cella_drop_root();
    CHECK_ERRNO(open(ptsname(p.master), O_RDWR | O_NOCTTY), EBUSY);
    CHECK_OK(ioctl(p.slave, TIOCNXCL));
    CHECK_OK(open(ptsname(p.master), O_RDWR | O_NOCTTY));
}

TEST(ioctl, success, "ptmx: TIOCGPTPEER opens the slave")
{
    struct pty p = pty_open(O_NOCTTY);
    struct stat a, b;
    int peer = ioctl(p.master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(peer >= 0);
    CHECK_EQ(fcntl(peer, F_GETFD), FD_CLOEXEC);
    CHECK_OK(fstat(peer, &a));
    CHECK_OK(fstat(p.slave, &b));
    CHECK_EQ(a.st_rdev, b.st_rdev);
    CHECK_EQ(a.st_ino, b.st_ino);
}

TEST(read, error, "ptmx: EIO after the slave's last close, and again data after an open")
{
    char buf[16];
    struct pty p = pty_open(O_NOCTTY);
    struct pollfd fd = {.fd = p.master, .events = POLLIN};
    put(p.slave, "last");
    CHECK_OK(close(p.slave));
    CHECK(comes(p.master));
    CHECK_EQ(read(p.master, buf, 16), 4);
    CHECK_ERRNO(read(p.master, buf, 16), EIO);
    CHECK_EQ(poll(&fd, 1, 0), 1);
    CHECK(fd.revents & POLLHUP);
    int slave = open(ptsname(p.master), O_RDWR | O_NOCTTY);
    CHECK_EQ(poll(&fd, 1, 0), 0);
    put(slave, "x");
    CHECK(comes(p.master));
    CHECK_EQ(read(p.master, buf, 16), 1);
}

TEST(read, success, "ptmx: a slave whose master is closed is at its end")
{
    char buf[16];
    int n;
    struct pty p = pty_open(O_NOCTTY);
    struct pollfd fd = {.fd = p.slave, .events = POLLIN | POLLOUT};
    CHECK_OK(close(p.master));
    CHECK_EQ(read(p.slave, buf, 16), 0);
    CHECK_ERRNO(write(p.slave, "x", 1), EIO);
    CHECK_ERRNO(ioctl(p.slave, FIONREAD, &n), EIO);
    CHECK_EQ(poll(&fd, 1, 0), 1);
    CHECK_EQ(fd.revents, POLLIN | POLLOUT | POLLERR | POLLHUP);
    CHECK_EQ(isatty(p.slave), 0);
}

TEST(read, limit, "ptmx: a reader that sleeps is woken by the other side's close")
{
    for (int side = 0; side < 2; side++) {
        struct pty p = pty_open(O_NOCTTY);
        pid_t pid = cella_fork();
        if (pid == 0) {
            char c;
            close(side ? p.slave : p.master);
            ssize_t n = read(side ? p.master : p.slave, &c, 1);
            _exit(n == -1 && errno == EIO ? 0 : 1);
        }
        cella_sleep_ms(60);
        CHECK_OK(close(p.slave));
        CHECK_OK(close(p.master));
        CHECK_EQ(cella_wait_exit(pid), 0);
    }
}

TEST(read, success, "ptmx: packet mode tells of stops and flushes")
{
    char buf[16];
    int on = 1;
    struct pty p = pty_open(O_NOCTTY);
    struct pollfd fd = {.fd = p.master, .events = POLLIN | POLLPRI};
    CHECK_OK(ioctl(p.master, TIOCPKT, &on));
    put(p.slave, "ab");
    CHECK(comes(p.master));
    CHECK_EQ(read(p.master, buf, 16), 3);
    CHECK_EQ(buf[0], TIOCPKT_DATA);
    CHECK_OK(tcflow(p.slave, TCOOFF));
    CHECK_EQ(poll(&fd, 1, 1000), 1);
    CHECK(fd.revents & POLLPRI);
    CHECK_EQ(read(p.master, buf, 16), 1);
    CHECK_EQ(buf[0], TIOCPKT_STOP);
    CHECK_OK(tcflow(p.slave, TCOON));
    CHECK_EQ(read(p.master, buf, 16), 1);
    CHECK_EQ(buf[0], TIOCPKT_START);
    CHECK_OK(tcflush(p.slave, TCIOFLUSH));
    CHECK_EQ(read(p.master, buf, 16), 1);
    CHECK_EQ(buf[0], TIOCPKT_FLUSHREAD | TIOCPKT_FLUSHWRITE);
}

TEST(write, success, "ptmx: a megabyte goes through in order")
{
    static unsigned char block[4096];
    struct pty p = pty_open(O_NOCTTY);
    set_raw(p.slave, 1, 0);
    pid_t pid = cella_fork();
    if (pid == 0) {
        for (int i = 0; i < 256; i++) {
            for (size_t j = 0; j < sizeof(block); j++)
                block[j] = (unsigned char)((size_t)i * 7 + j % 251);
            if (write(p.slave, block, sizeof(block)) != sizeof(block))
                _exit(1);
        }
        _exit(0);
    }
    size_t total = 0;
    while (total < 1 << 20) {
        unsigned char got[4096];
        ssize_t n = read(p.master, got, sizeof(got));
        CHECK(n > 0);
        for (ssize_t i = 0; i < n; i++, total++)
            CHECK_EQ(got[i], (unsigned char)((total / 4096) * 7 + total % 4096 % 251));
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(write, limit, "ptmx: a megabyte of lines goes to a slow reader")
{
    struct pty p = pty_open(O_NOCTTY);
    set_modes(p.slave, 0, 0, ICANON);
    pid_t pid = cella_fork();
    if (pid == 0) {
        char line[64];
        for (int i = 0; i < 16384; i++) {
            memset(line, 'a' + i % 26, sizeof(line) - 1);
            line[63] = '\n';
            if (write(p.master, line, sizeof(line)) != sizeof(line))
                _exit(1);
        }
        _exit(0);
    }
    for (int i = 0; i < 16384; i++) {
        char got[128];
        CHECK_EQ(read(p.slave, got, sizeof(got)), 64);
        CHECK_EQ(got[0], 'a' + i % 26);
        CHECK_EQ(got[62], 'a' + i % 26);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST_MAIN()
