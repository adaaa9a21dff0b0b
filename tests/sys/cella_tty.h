/* SPDX-License-Identifier: Apache-2.0 */
/* Pseudoterminals as the tests of terminals use them. */
#ifndef CELLA_TTY_H
#define CELLA_TTY_H

#include "cella_test.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

struct pty {
    int master, slave;
};

/* A new pair; the slave is opened with flags beside O_RDWR. */
CELLA_UNUSED static struct pty pty_open(int flags)
{
    struct pty p = {.master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)};
    int unlock = 0;
    CHECK(p.master >= 0);
    CHECK_OK(ioctl(p.master, TIOCSPTLCK, &unlock));
    p.slave = open(ptsname(p.master), O_RDWR | flags);
    CHECK(p.slave >= 0);
    return p;
}

/* Reads all that is there, after giving it time to come: length; NUL-terminated. */
CELLA_UNUSED static ssize_t drain(int fd, char *buf, size_t size)
{
    size_t len = 0;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (len + 1 < size && poll(&p, 1, 60) == 1 && (p.revents & POLLIN)) {
        ssize_t n = read(fd, buf + len, size - 1 - len);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    buf[len] = 0;
    return (ssize_t)len;
}

CELLA_UNUSED static void put(int fd, const char *text)
{
    CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
}

/* The line discipline works behind the back of the one who writes: waits until a read would not. */
CELLA_UNUSED static bool comes(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 2000) == 1 && (p.revents & POLLIN);
}

CELLA_UNUSED static void set_modes(int fd, tcflag_t iflag, tcflag_t oflag, tcflag_t lflag)
{
    struct termios m;
    CHECK_OK(tcgetattr(fd, &m));
    m.c_iflag = iflag;
    m.c_oflag = oflag;
    m.c_lflag = lflag;
    CHECK_OK(tcsetattr(fd, TCSANOW, &m));
}

CELLA_UNUSED static void set_raw(int fd, cc_t min, cc_t tenths)
{
    struct termios m;
    CHECK_OK(tcgetattr(fd, &m));
    cfmakeraw(&m);
    m.c_cc[VMIN] = min;
    m.c_cc[VTIME] = tenths;
    CHECK_OK(tcsetattr(fd, TCSANOW, &m));
}

#endif
