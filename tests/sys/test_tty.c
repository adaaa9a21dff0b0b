/* SPDX-License-Identifier: Apache-2.0 */
/* The line discipline: what a program reads, and what is echoed, of what is typed. */
#include "cella_tty.h"

#define COOKED_I (ICRNL | IXON)
#define COOKED_O (OPOST | ONLCR)
#define COOKED_L (ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN)

struct typed {
    const char *what;
    tcflag_t iflag, oflag, lflag;
    const char *in;   /* typed */
    const char *line; /* what one read returns; NULL: nothing is there */
    const char *echo; /* what appears */
};

static const struct typed canonical[] = {
    {"a line", COOKED_I, COOKED_O, COOKED_L, "hello\n", "hello\n", "hello\r\n"},
    {"no whole line", COOKED_I, COOKED_O, COOKED_L, "hello", NULL, "hello"},
    {"carriage return", COOKED_I, COOKED_O, COOKED_L, "a\r", "a\n", "a\r\n"},
    {"IGNCR", IGNCR | ICRNL, COOKED_O, COOKED_L, "a\rb\n", "ab\n", "ab\r\n"},
    {"INLCR", INLCR, COOKED_O, COOKED_L, "a\n", NULL, "a^M"},
    {"ERASE", COOKED_I, COOKED_O, COOKED_L, "ab\177c\n", "ac\n", "ab\b \bc\r\n"},
    {"ERASE at the start", COOKED_I, COOKED_O, COOKED_L, "\177\177a\n", "a\n", "a\r\n"},
    {"ERASE of a control", COOKED_I, COOKED_O, COOKED_L, "a\001\177b\n", "ab\n",
     "a^A\b \b\b \bb\r\n"},
    {"ERASE of a tab", COOKED_I, COOKED_O, COOKED_L, "abc\t\177d\n", "abcd\n",
     "abc\t\b\b\b\b\bd\r\n"},
    {"ERASE without ECHOE", COOKED_I, COOKED_O, COOKED_L & ~ECHOE, "ab\177\n", "a\n", "ab^?\r\n"},
    {"ERASE with ECHOPRT", COOKED_I, COOKED_O, COOKED_L | ECHOPRT, "abc\177\177d\n", "ad\n",
     "abc\\cb/d\r\n"},
    {"ERASE of UTF-8", COOKED_I | IUTF8, COOKED_O, COOKED_L, "a\303\244\177b\n", "ab\n",
     "a\303\244\b \bb\r\n"},
    {"ERASE of bytes", COOKED_I, COOKED_O, COOKED_L, "a\303\244\177b\n", "a\303b\n",
     "a\303\244\b \bb\r\n"},
    {"KILL", COOKED_I, COOKED_O, COOKED_L, "abc\025d\n", "d\n", "abc\b \b\b \b\b \bd\r\n"},
    {"KILL without ECHOKE", COOKED_I, COOKED_O, COOKED_L & ~ECHOKE, "abc\025d\n", "d\n",
     "abc^U\r\nd\r\n"},
    {"KILL without ECHOK", COOKED_I, COOKED_O, COOKED_L & ~(ECHOKE | ECHOK), "abc\025d\n", "d\n",
     "abc^Ud\r\n"},
    {"WERASE", COOKED_I, COOKED_O, COOKED_L, "ab cd  \027e\n", "ab e\n",
     "ab cd  \b \b\b \b\b \b\b \be\r\n"},
    {"WERASE without IEXTEN", COOKED_I, COOKED_O, COOKED_L & ~IEXTEN, "a\027\n", "a\027\n",
     "a^W\r\n"},
    {"LNEXT", COOKED_I, COOKED_O, COOKED_L, "a\026\003b\n", "a\003b\n", "a^\b^Cb\r\n"},
    {"REPRINT", COOKED_I, COOKED_O, COOKED_L, "ab\022c\n", "abc\n", "ab^R\r\nabc\r\n"},
    {"EOF after text", COOKED_I, COOKED_O, COOKED_L, "ab\004", "ab", "ab"},
    {"EOF alone", COOKED_I, COOKED_O, COOKED_L, "\004", "", ""},
    {"EOL", COOKED_I, COOKED_O, COOKED_L, "ab|", "ab|", "ab|"},
    {"no echo", COOKED_I, COOKED_O, COOKED_L & ~ECHO, "ab\177\n", "a\n", ""},
    {"ECHONL", COOKED_I, COOKED_O, (COOKED_L & ~ECHO) | ECHONL, "ab\n", "ab\n", "\r\n"},
    {"no ECHOCTL", COOKED_I, COOKED_O, COOKED_L & ~ECHOCTL, "a\001\n", "a\001\n", "a\001\r\n"},
    {"ISTRIP", COOKED_I | ISTRIP, COOKED_O, COOKED_L, "\301\n", "A\n", "A\r\n"},
    {"IUCLC", COOKED_I | IUCLC, COOKED_O, COOKED_L, "AbC\n", "abc\n", "abc\r\n"},
    {"no ISIG", COOKED_I, COOKED_O, COOKED_L & ~ISIG, "a\003\n", "a\003\n", "a^C\r\n"},
    {"echo without OPOST", COOKED_I, 0, COOKED_L, "a\n", "a\n", "a\n"},
};

static void check_typed(const struct typed *t)
{
    char got[256], echo[256];
    struct pty p = pty_open(O_NOCTTY | O_NONBLOCK);
    struct termios m;
    set_modes(p.slave, t->iflag, t->oflag, t->lflag);
    CHECK_OK(tcgetattr(p.slave, &m));
    m.c_cc[VEOL] = '|';
    CHECK_OK(tcsetattr(p.slave, TCSANOW, &m));
    put(p.master, t->in);
    if (t->line)
        CHECK(comes(p.slave));
    drain(p.master, echo, sizeof(echo));
    ssize_t n = read(p.slave, got, sizeof(got) - 1);
    got[n > 0 ? n : 0] = 0;
    if (n != (t->line ? (ssize_t)strlen(t->line) : -1) || (t->line && strcmp(got, t->line)))
        CELLA_FAIL("%s: read %zd \"%s\"", t->what, n, got);
    if (strcmp(echo, t->echo))
        CELLA_FAIL("%s: echo \"%s\"", t->what, echo);
    close(p.slave);
    close(p.master);
}

TEST(read, success, "terminal: lines are edited and echoed by each of the modes")
{
    for (size_t i = 0; i < sizeof(canonical) / sizeof(canonical[0]); i++)
        check_typed(&canonical[i]);
}

static const struct {
    tcflag_t oflag;
    const char *written, *appears;
} outputs[] = {
    {0, "a\nb\tc\r", "a\nb\tc\r"},           {OPOST, "a\nb", "a\nb"},
    {OPOST | ONLCR, "a\nb\n", "a\r\nb\r\n"}, {OPOST | OCRNL, "a\rb", "a\nb"},
    {OPOST | ONOCR, "\ra\r", "a\r"},         {OPOST | ONLCR | ONLRET | ONOCR, "a\n\rb", "a\r\nb"},
    {OPOST | OLCUC, "aBc", "ABC"},           {OPOST | XTABS, "a\tb\b\tc", "a       b\b        c"},
};

TEST(write, success, "terminal: output is changed by each of the modes")
{
    char got[256];
    struct pty p = pty_open(O_NOCTTY);
    for (size_t i = 0; i < sizeof(outputs) / sizeof(outputs[0]); i++) {
        set_modes(p.slave, 0, OPOST | ONLCR, 0);
        put(p.slave, "\r\n"); /* the cursor is at the left */
        drain(p.master, got, sizeof(got));
        set_modes(p.slave, 0, outputs[i].oflag, 0);
        put(p.slave, outputs[i].written);
        drain(p.master, got, sizeof(got));
        CHECK_STR(got, outputs[i].appears);
    }
}

TEST(read, success, "terminal: one read gets one line, or a part of one")
{
    char buf[16];
    struct pty p = pty_open(O_NOCTTY);
    put(p.master, "one\ntwo\n");
    CHECK(comes(p.slave));
    CHECK_EQ(read(p.slave, buf, 16), 4);
    CHECK_EQ(read(p.slave, buf, 2), 2);
    CHECK_EQ(read(p.slave, buf, 16), 2);
    CHECK_EQ(memcmp(buf, "o\n", 2), 0);
}

TEST(read, limit, "terminal: a line has at most 4096 bytes, the rest is lost")
{
    static char line[5000], buf[8000];
    struct pty p = pty_open(O_NOCTTY);
    set_modes(p.slave, 0, 0, ICANON);
    memset(line, 'x', sizeof(line));
    for (int i = 0; i < 50; i++) {
        CHECK_EQ(write(p.master, line, 100), 100);
        cella_sleep_ms(1);
    }
    put(p.master, "\n");
    CHECK(comes(p.slave));
    CHECK_EQ(read(p.slave, buf, sizeof(buf)), 4096);
    CHECK_EQ(buf[4095], '\n');
    CHECK_EQ(buf[4094], 'x');
}

TEST(read, success, "terminal: VMIN and VTIME say how long a read waits")
{
    char buf[16];
    struct pty p = pty_open(O_NOCTTY);
    set_raw(p.slave, 0, 0);
    CHECK_EQ(read(p.slave, buf, 16), 0);
    set_raw(p.slave, 0, 2);
    long long start = cella_now_ms();
    CHECK_EQ(read(p.slave, buf, 16), 0);
    CHECK(cella_now_ms() - start >= 150);
    set_raw(p.slave, 3, 1);
    put(p.master, "ab");
    start = cella_now_ms();
    CHECK_EQ(read(p.slave, buf, 16), 2);
    CHECK(cella_now_ms() - start >= 50);
    set_raw(p.slave, 2, 0);
    put(p.master, "a");
    struct pollfd fd = {.fd = p.slave, .events = POLLIN};
    CHECK_EQ(poll(&fd, 1, 60), 0);
    put(p.master, "bc");
    CHECK_EQ(poll(&fd, 1, 2000), 1);
    cella_sleep_ms(50);
    CHECK_EQ(read(p.slave, buf, 16), 3);
}

TEST(read, interruption, "terminal: a handler ends the wait for input")
{
    char c;
    struct pty p = pty_open(O_NOCTTY);
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(read(p.slave, &c, 1), EINTR);
    CHECK_ERRNO(read(p.master, &c, 1), EINTR);
    cella_ticks_stop();
}

TEST(read, error, "terminal: nothing there without waiting, a bad address")
{
    char c;
    volatile uintptr_t bad = 8;
    struct pty p = pty_open(O_NOCTTY | O_NONBLOCK);
    CHECK_ERRNO(read(p.slave, &c, 1), EAGAIN);
    put(p.master, "a\n");
    CHECK(comes(p.slave));
    CHECK_ERRNO(read(p.slave, (void *)bad, 1), EFAULT);
    CHECK_ERRNO(write(p.slave, (void *)bad, 1), EFAULT);
    CHECK_ERRNO(ioctl(p.slave, TCGETS, (void *)bad), EFAULT);
    CHECK_ERRNO(ioctl(p.slave, TIOCSWINSZ, (void *)bad), EFAULT);
    CHECK_ERRNO(ioctl(p.slave, 0x54ff, &c), ENOTTY);
    CHECK_ERRNO(ioctl(p.slave, TIOCGPTN, &c), ENOTTY);
}

TEST(write, interruption, "terminal: a full output is waited for, and a handler ends that")
{
    static char block[1 << 17];
    struct pty p = pty_open(O_NOCTTY);
    set_raw(p.slave, 1, 0);
    cella_ticks_start(50, 0, NULL);
    ssize_t n = write(p.slave, block, sizeof(block));
    CHECK(n > 1000 && n < (ssize_t)sizeof(block));
    /* What was on its way has moved on meanwhile and made room. */
    for (int i = 0; i < 10 && n > 0; i++)
        n = write(p.slave, block, sizeof(block));
    CHECK_EQ(n, -1);
    CHECK_EQ(errno, EINTR);
    cella_ticks_stop();
    CHECK_OK(fcntl(p.slave, F_SETFL, O_RDWR | O_NONBLOCK));
    CHECK_ERRNO(write(p.slave, block, 100), EAGAIN);
}

TEST(write, success, "terminal: ^S stops output and ^Q lets it go on")
{
    char buf[64];
    struct pty p = pty_open(O_NOCTTY | O_NONBLOCK);
    put(p.master, "\023");
    cella_sleep_ms(50);
    CHECK_ERRNO(write(p.slave, "x", 1), EAGAIN);
    put(p.master, "\021");
    cella_sleep_ms(50);
    put(p.slave, "y");
    CHECK_EQ(drain(p.master, buf, sizeof(buf)), 1);
    CHECK_OK(tcflow(p.slave, TCOOFF));
    CHECK_ERRNO(write(p.slave, "x", 1), EAGAIN);
    CHECK_OK(tcflow(p.slave, TCOON));
    CHECK_OK(tcflow(p.slave, TCIOFF));
    CHECK_EQ(drain(p.master, buf, sizeof(buf)), 1);
    CHECK_EQ(buf[0], 023);
    CHECK_ERRNO(tcflow(p.slave, 7), EINVAL);
}

TEST(ioctl, success, "terminal: modes are kept, and TCSETSF drops input")
{
    struct termios a, b;
    int n = -1;
    struct pty p = pty_open(O_NOCTTY);
    CHECK_OK(tcgetattr(p.slave, &a));
    CHECK_EQ(a.c_iflag, COOKED_I);
    CHECK_EQ(a.c_oflag, COOKED_O);
    CHECK_EQ(a.c_lflag, COOKED_L);
    CHECK_EQ(a.c_cflag, B38400 | CS8 | CREAD);
    CHECK_EQ(cfgetospeed(&a), B38400);
    put(p.master, "abc\n");
    CHECK(comes(p.slave));
    CHECK_OK(ioctl(p.slave, FIONREAD, &n));
    CHECK_EQ(n, 4);
    a.c_cc[VINTR] = 'i';
    a.c_cflag |= PARENB | HUPCL;
    CHECK_OK(tcsetattr(p.slave, TCSAFLUSH, &a));
    CHECK_OK(ioctl(p.slave, FIONREAD, &n));
    CHECK_EQ(n, 0);
    CHECK_OK(tcgetattr(p.master, &b));
    CHECK_EQ(b.c_cc[VINTR], 'i');
    CHECK_EQ(b.c_cflag & (PARENB | HUPCL), HUPCL);
    CHECK_OK(tcdrain(p.slave));
    CHECK_OK(tcsendbreak(p.slave, 0));
    CHECK_OK(ioctl(p.slave, TIOCOUTQ, &n));
    CHECK_EQ(n, 0);
    CHECK_OK(ioctl(p.slave, TIOCGETD, &n));
    CHECK_EQ(n, 0);
    n = 31;
    CHECK_ERRNO(ioctl(p.slave, TIOCSETD, &n), EINVAL);
}

TEST(ioctl, success, "terminal: what is typed ahead outlives a change to raw and back")
{
    char buf[16];
    struct pty p = pty_open(O_NOCTTY | O_NONBLOCK);
    struct termios cooked;
    CHECK_OK(tcgetattr(p.slave, &cooked));
    put(p.master, "ab");
    cella_sleep_ms(50);
    CHECK_ERRNO(read(p.slave, buf, 16), EAGAIN);
    set_raw(p.slave, 1, 0);
    CHECK_EQ(read(p.slave, buf, 1), 1);
    CHECK_OK(tcsetattr(p.slave, TCSANOW, &cooked));
    CHECK_EQ(read(p.slave, buf, 16), 1);
    CHECK_EQ(buf[0], 'b');
}

TEST(ioctl, success, "terminal: both sides see one window size")
{
    struct winsize size = {.ws_row = 7, .ws_col = 9}, got = {0};
    struct pty p = pty_open(O_NOCTTY);
    CHECK_OK(ioctl(p.slave, TIOCGWINSZ, &got));
    CHECK_EQ(got.ws_row + got.ws_col, 0);
    CHECK_OK(ioctl(p.master, TIOCSWINSZ, &size));
    CHECK_OK(ioctl(p.slave, TIOCGWINSZ, &got));
    CHECK_EQ(memcmp(&size, &got, sizeof(got)), 0);
}

TEST(ioctl, success, "terminal: TCFLSH drops what is not read yet")
{
    char buf[64];
    int n;
    struct pty p = pty_open(O_NOCTTY);
    put(p.master, "abc\n");
    CHECK(comes(p.slave));
    CHECK_OK(tcflush(p.slave, TCIFLUSH));
    CHECK_OK(ioctl(p.slave, FIONREAD, &n));
    CHECK_EQ(n, 0);
    drain(p.master, buf, sizeof(buf));
    put(p.slave, "xyz");
    CHECK(comes(p.master));
    CHECK_OK(ioctl(p.master, FIONREAD, &n));
    CHECK_EQ(n, 3);
    CHECK_OK(tcflush(p.master, TCIFLUSH));
    CHECK_EQ(drain(p.master, buf, sizeof(buf)), 0);
    CHECK_ERRNO(tcflush(p.slave, 9), EINVAL);
}

TEST_MAIN()
