/* SPDX-License-Identifier: Apache-2.0 */
/*
 * N_TTY, the line discipline: what becomes of each byte from the keyboard and from the program.
 *
 * Input goes into a ring. In canonical mode bytes from canon_head to in_head are the line that is
 * being edited; a byte that ends a line is marked in `delimiter` and moves canon_head behind it.
 * End of file is a marked NUL. Otherwise canon_head counts for nothing.
 *
 * Output and echo go into one ring, from which the master reads, so that they appear in order.
 * Echoes that find it full, or stopped by ^S, wait in `echo`; when that is full too they are lost.
 *
 * All functions are called with tty->lock held. Meaning of the flags: termios(3).
 */
#include "base/string.h"
#include "dev/tty.h"
#include "proc/signal.h"

/* A reader of the master keeps at least this much when output is flushed: it may have seen it. */
#define FLUSH_KEEPS 4096u
/* The most bytes that one byte of input or output becomes (a tab). */
#define MOST_FROM_ONE 8u

const struct k_termios tty_std_termios = {
    .iflag = ICRNL_K | IXON_K,
    .oflag = OPOST_K | ONLCR_K,
    .cflag = B38400_K | CS8_K | CREAD_K,
    .lflag = ISIG_K | ICANON_K | ECHO_K | ECHOE_K | ECHOK_K | ECHOCTL_K | ECHOKE_K | IEXTEN_K,
    .cc = {3, 0x1c, 0x7f, 0x15, 4, 0, 1, 0, 0x11, 0x13, 0x1a, 0, 0x12, 0xf, 0x17, 0x16},
    .ispeed = 38400,
    .ospeed = 38400,
};

static bool iflag(const struct tty *t, uint32_t f)
{
    return t->termios.iflag & f;
}

static bool oflag(const struct tty *t, uint32_t f)
{
    return t->termios.oflag & f;
}

static bool lflag(const struct tty *t, uint32_t f)
{
    return t->termios.lflag & f;
}

static bool is_control(uint8_t c)
{
    return c < 32 || c == 127;
}

static bool is_word(uint8_t c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_';
}

/* A byte of a UTF-8 character that is not its first: it takes no column of its own. */
static bool is_continuation(const struct tty *t, uint8_t c)
{
    return iflag(t, IUTF8_K) && (c & 0xc0) == 0x80;
}

/* Is c the special character number `which`? */
static bool is_special(const struct tty *t, int which, uint8_t c)
{
    return c && t->termios.cc[which] == c;
}

/* With EXTPROC the master edits the line. */
static bool is_canonical(const struct tty *t)
{
    return (t->termios.lflag & (ICANON_K | EXTPROC_K)) == ICANON_K;
}

/* ---- the rings ---- */

static uint8_t *in_at(const struct tty *t, uint32_t pos)
{
    return &t->in[pos % TTY_IN_SIZE];
}

static bool is_delimiter(const struct tty *t, uint32_t pos)
{
    pos %= TTY_IN_SIZE;
    return t->delimiter[pos / 64] >> pos % 64 & 1;
}

static void set_delimiter(struct tty *t, uint32_t pos, bool on)
{
    pos %= TTY_IN_SIZE;
    uint64_t bit = 1ull << pos % 64;
    t->delimiter[pos / 64] = on ? t->delimiter[pos / 64] | bit : t->delimiter[pos / 64] & ~bit;
}

static uint32_t out_room(const struct tty *t)
{
    return TTY_OUT_SIZE - (t->out_head - t->out_tail);
}

static void put_out(struct tty *t, uint8_t c)
{
    t->out[t->out_head++ % TTY_OUT_SIZE] = c;
}

bool ldisc_has_input_room(const struct tty *t)
{
    /* A line that is too long loses bytes, so there is always room for more of it. */
    return TTY_IN_SIZE - (t->in_head - t->in_tail) >= 2;
}

bool ldisc_has_output_room(const struct tty *t)
{
    return !t->stopped && out_room(t) >= MOST_FROM_ONE;
}

static void put_in(struct tty *t, uint8_t c)
{
    if (is_canonical(t) && t->in_head - t->canon_head >= TTY_LINE_MAX - 1)
        return;
    *in_at(t, t->in_head++) = c;
}

static void end_line(struct tty *t, uint8_t c)
{
    set_delimiter(t, t->in_head, true);
    *in_at(t, t->in_head++) = c;
    t->canon_head = t->in_head;
}

/* ---- output ---- */

/* There is room for MOST_FROM_ONE bytes. */
static void output_byte(struct tty *t, uint8_t c)
{
    switch (c) {
    case '\n':
        if (oflag(t, ONLRET_K | ONLCR_K))
            t->column = t->canon_column = 0;
        if (oflag(t, ONLCR_K))
            put_out(t, '\r');
        break;
    case '\r':
        if (oflag(t, ONOCR_K) && t->column == 0)
            return;
        if (oflag(t, OCRNL_K)) {
            c = '\n';
            if (oflag(t, ONLRET_K))
                t->column = t->canon_column = 0;
        } else {
            t->column = t->canon_column = 0;
        }
        break;
    case '\t': {
        uint32_t spaces = 8 - (t->column & 7);
        t->column += spaces;
        if ((t->termios.oflag & TABDLY_K) == XTABS_K) {
            while (spaces--)
                put_out(t, ' ');
            return;
        }
        break;
    }
    case '\b':
        if (t->column)
            t->column--;
        break;
    default:
        if (is_control(c))
            break;
        if (oflag(t, OLCUC_K) && c >= 'a' && c <= 'z')
            c = (uint8_t)(c - 32);
        if (!is_continuation(t, c))
            t->column++;
    }
    put_out(t, c);
}

static void flush_echo(struct tty *t)
{
    while (t->echo_head != t->echo_tail && !t->stopped && out_room(t) >= 2 * MOST_FROM_ONE) {
        uint8_t c = t->echo[t->echo_tail++ % TTY_ECHO_SIZE];
        if (oflag(t, OPOST_K))
            output_byte(t, c);
        else
            put_out(t, c);
    }
}

uint32_t ldisc_output(struct tty *t, const uint8_t *buf, uint32_t n)
{
    uint32_t done = 0;
    flush_echo(t);
    if (oflag(t, OPOST_K)) {
        while (done < n && ldisc_has_output_room(t))
            output_byte(t, buf[done++]);
    } else if (!t->stopped) {
        n = k_min(n, out_room(t));
        while (done < n) {
            uint32_t at = t->out_head % TTY_OUT_SIZE, len = k_min(n - done, TTY_OUT_SIZE - at);
            memcpy(t->out + at, buf + done, len);
            t->out_head += len;
            done += len;
        }
    }
    return done;
}

uint32_t ldisc_take_output(struct tty *t, uint8_t *buf, uint32_t n)
{
    n = k_min(n, t->out_head - t->out_tail);
    for (uint32_t done = 0; done < n;) {
        uint32_t at = t->out_tail % TTY_OUT_SIZE, len = k_min(n - done, TTY_OUT_SIZE - at);
        memcpy(buf + done, t->out + at, len);
        t->out_tail += len;
        done += len;
    }
    flush_echo(t);
    return n;
}

void ldisc_put_raw(struct tty *t, uint8_t c)
{
    if (c && out_room(t))
        put_out(t, c);
}

/* ---- echo ---- */

/* As it is. */
static void echo_raw(struct tty *t, uint8_t c)
{
    flush_echo(t);
    if (t->echo_head - t->echo_tail < TTY_ECHO_SIZE)
        t->echo[t->echo_head++ % TTY_ECHO_SIZE] = c;
    flush_echo(t);
}

static void echo_text(struct tty *t, const char *text)
{
    while (*text)
        echo_raw(t, (uint8_t)*text++);
}

/* Control characters as ^X. */
static void echo_visibly(struct tty *t, uint8_t c)
{
    if (lflag(t, ECHOCTL_K) && is_control(c) && c != '\t') {
        echo_raw(t, '^');
        c ^= 0100;
    }
    echo_raw(t, c);
}

/* With ECHOPRT the erased characters stand between \ and /. */
static void end_erasing(struct tty *t)
{
    if (t->erasing)
        echo_raw(t, '/');
    t->erasing = false;
}

/* An ordinary character of the line. */
static void echo_typed(struct tty *t, uint8_t c)
{
    end_erasing(t);
    if (t->in_head == t->canon_head)
        t->canon_column = t->column;
    echo_visibly(t, c);
}

/* ---- editing ---- */

/* Goes back over a tab that stood at in_head. */
static void echo_erase_tab(struct tty *t)
{
    uint32_t columns = 0;
    bool after_tab = false;
    for (uint32_t pos = t->in_head; pos != t->canon_head && !after_tab;) {
        uint8_t c = *in_at(t, --pos);
        if (c == '\t')
            after_tab = true;
        else if (is_control(c))
            columns += lflag(t, ECHOCTL_K) ? 2 : 0;
        else if (!is_continuation(t, c))
            columns++;
    }
    if (!after_tab)
        columns += t->canon_column;
    for (uint32_t i = 8 - (columns & 7); i; i--)
        echo_raw(t, '\b');
}

/* The character c, of `len` bytes, that stood at in_head is gone. */
static void echo_erased(struct tty *t, uint8_t c, uint32_t len, bool by_erase)
{
    if (lflag(t, ECHOPRT_K)) {
        if (!t->erasing)
            echo_raw(t, '\\');
        t->erasing = true;
        echo_visibly(t, c);
        for (uint32_t i = 1; i < len; i++)
            echo_raw(t, *in_at(t, t->in_head + i));
    } else if (by_erase && !lflag(t, ECHOE_K)) {
        echo_visibly(t, t->termios.cc[VERASE_K]);
    } else if (c == '\t') {
        echo_erase_tab(t);
    } else if (!is_control(c)) {
        echo_text(t, "\b \b");
    } else if (lflag(t, ECHOCTL_K)) {
        echo_text(t, "\b \b\b \b");
    }
}

static void kill_line(struct tty *t)
{
    t->in_head = t->canon_head;
    if (!lflag(t, ECHO_K))
        return;
    end_erasing(t);
    echo_visibly(t, t->termios.cc[VKILL_K]);
    if (lflag(t, ECHOK_K))
        echo_raw(t, '\n');
}

/* ERASE, WERASE, KILL. */
static void erase(struct tty *t, uint8_t key)
{
    const bool one = is_special(t, VERASE_K, key);
    const bool word = !one && is_special(t, VWERASE_K, key);
    const uint32_t visible = ECHO_K | ECHOK_K | ECHOKE_K | ECHOE_K;
    if (t->in_head == t->canon_head)
        return;
    if (!one && !word && (t->termios.lflag & visible) != visible) {
        kill_line(t);
        return;
    }
    bool in_word = false;
    while (t->in_head != t->canon_head) {
        uint32_t pos = t->in_head;
        do
            pos--;
        while (pos != t->canon_head && is_continuation(t, *in_at(t, pos)));
        uint8_t c = *in_at(t, pos);
        if (is_continuation(t, c))
            break; /* its first byte is not ours to erase */
        if (word && in_word && !is_word(c))
            break;
        in_word |= is_word(c);
        uint32_t len = t->in_head - pos;
        t->in_head = pos;
        if (lflag(t, ECHO_K))
            echo_erased(t, c, len, one);
        if (one)
            break;
    }
    if (t->in_head == t->canon_head && lflag(t, ECHO_K))
        end_erasing(t);
}

static void reprint(struct tty *t, uint8_t key)
{
    end_erasing(t);
    echo_visibly(t, key);
    echo_raw(t, '\n');
    for (uint32_t pos = t->canon_head; pos != t->in_head; pos++)
        echo_visibly(t, *in_at(t, pos));
}

/* ---- input ---- */

void ldisc_stop(struct tty *t)
{
    if (!t->stopped)
        t->packet_status = (uint8_t)((t->packet_status & ~PKT_START) | PKT_STOP);
    t->stopped = true;
}

void ldisc_start(struct tty *t)
{
    if (t->stopped)
        t->packet_status = (uint8_t)((t->packet_status & ~PKT_STOP) | PKT_START);
    t->stopped = false;
    flush_echo(t);
}

void ldisc_flush_input(struct tty *t)
{
    t->in_tail = t->canon_head = t->in_head;
    memset(t->delimiter, 0, sizeof(t->delimiter));
    t->lnext = t->erasing = false;
    t->packet_status |= PKT_FLUSHREAD;
}

void ldisc_flush_output(struct tty *t)
{
    t->echo_tail = t->echo_head;
    if (t->out_head - t->out_tail > FLUSH_KEEPS)
        t->out_head = t->out_tail + FLUSH_KEEPS;
    t->packet_status |= PKT_FLUSHWRITE;
}

static void put_and_echo(struct tty *t, uint8_t c)
{
    if (lflag(t, ECHO_K)) {
        if (c == '\n') {
            end_erasing(t);
            echo_raw(t, c);
        } else {
            echo_typed(t, c);
        }
    }
    if (c == 0xff && iflag(t, PARMRK_K))
        put_in(t, c);
    put_in(t, c);
}

/* INTR, QUIT, SUSP. */
static bool input_signal(struct tty *t, uint8_t c)
{
    int sig = is_special(t, VINTR_K, c)   ? SIGINT
              : is_special(t, VQUIT_K, c) ? SIGQUIT
              : is_special(t, VSUSP_K, c) ? SIGTSTP
                                          : 0;
    if (!sig)
        return false;
    if (!lflag(t, NOFLSH_K)) {
        ldisc_flush_output(t);
        ldisc_flush_input(t);
    }
    if (iflag(t, IXON_K))
        ldisc_start(t);
    if (lflag(t, ECHO_K))
        echo_visibly(t, c);
    tty_signal_foreground(t, sig);
    return true;
}

/* Canonical mode's keys. True: c is dealt with. */
static bool input_canonical(struct tty *t, uint8_t c)
{
    const bool extended = lflag(t, IEXTEN_K);
    if (is_special(t, VERASE_K, c) || is_special(t, VKILL_K, c) ||
        (extended && is_special(t, VWERASE_K, c))) {
        erase(t, c);
        return true;
    }
    if (extended && is_special(t, VLNEXT_K, c)) {
        t->lnext = true;
        if (lflag(t, ECHO_K)) {
            end_erasing(t);
            if (lflag(t, ECHOCTL_K))
                echo_text(t, "^\b");
        }
        return true;
    }
    if (extended && lflag(t, ECHO_K) && is_special(t, VREPRINT_K, c)) {
        reprint(t, c);
        return true;
    }
    if (c == '\n') {
        if (lflag(t, ECHO_K | ECHONL_K))
            echo_raw(t, '\n');
    } else if (is_special(t, VEOF_K, c)) {
        c = 0;
    } else if (is_special(t, VEOL_K, c) || (extended && is_special(t, VEOL2_K, c))) {
        if (lflag(t, ECHO_K))
            echo_typed(t, c);
    } else {
        return false;
    }
    end_line(t, c);
    return true;
}

static void input_byte(struct tty *t, uint8_t c)
{
    if (iflag(t, ISTRIP_K))
        c &= 0x7f;
    if (iflag(t, IUCLC_K) && lflag(t, IEXTEN_K) && c >= 'A' && c <= 'Z')
        c |= 32;
    if (lflag(t, EXTPROC_K)) {
        put_in(t, c);
        return;
    }
    if (t->lnext) {
        t->lnext = false;
        put_and_echo(t, c);
        return;
    }
    if (iflag(t, IXON_K) && is_special(t, VSTART_K, c)) {
        ldisc_start(t);
        return;
    }
    if (iflag(t, IXON_K) && is_special(t, VSTOP_K, c)) {
        ldisc_stop(t);
        return;
    }
    if (lflag(t, ISIG_K) && input_signal(t, c))
        return;
    if (t->stopped && iflag(t, IXON_K) && iflag(t, IXANY_K))
        ldisc_start(t);
    if (c == '\r') {
        if (iflag(t, IGNCR_K))
            return;
        if (iflag(t, ICRNL_K))
            c = '\n';
    } else if (c == '\n' && iflag(t, INLCR_K)) {
        c = '\r';
    }
    if (!is_canonical(t) || !input_canonical(t, c))
        put_and_echo(t, c);
}

/* Nothing looks at single bytes: cbreak off, no echo, no signals, no flow control. */
static bool is_transparent(const struct tty *t)
{
    return !lflag(t, ICANON_K | ECHO_K | ISIG_K | EXTPROC_K) && !t->lnext &&
           !iflag(t, ISTRIP_K | IUCLC_K | IXON_K | IGNCR_K | ICRNL_K | INLCR_K | PARMRK_K);
}

uint32_t ldisc_input(struct tty *t, const uint8_t *buf, uint32_t n)
{
    uint32_t done = 0;
    if (is_transparent(t)) {
        n = k_min(n, TTY_IN_SIZE - (t->in_head - t->in_tail));
        while (done < n) {
            uint32_t at = t->in_head % TTY_IN_SIZE, len = k_min(n - done, TTY_IN_SIZE - at);
            memcpy(t->in + at, buf + done, len);
            t->in_head += len;
            done += len;
        }
    } else {
        while (done < n && ldisc_has_input_room(t))
            input_byte(t, buf[done++]);
    }
    return done;
}

/* ---- reading ---- */

bool ldisc_readable(const struct tty *t, bool for_poll)
{
    if (is_canonical(t))
        return t->canon_head != t->in_tail;
    uint32_t min = t->termios.cc[VMIN_K];
    return t->in_head - t->in_tail >= (for_poll && !t->termios.cc[VTIME_K] && min ? min : 1);
}

uint32_t ldisc_input_bytes(const struct tty *t)
{
    if (!is_canonical(t))
        return t->in_head - t->in_tail;
    uint32_t n = t->canon_head - t->in_tail;
    for (uint32_t pos = t->in_tail; pos != t->canon_head; pos++)
        n -= is_delimiter(t, pos) && !*in_at(t, pos);
    return n;
}

static uint32_t take_line(struct tty *t, uint8_t *buf, uint32_t n, bool *done)
{
    uint32_t taken = 0;
    *done = false;
    while (t->in_tail != t->canon_head) {
        bool delimiter = is_delimiter(t, t->in_tail);
        uint8_t c = *in_at(t, t->in_tail);
        bool end_of_file = delimiter && !c;
        /* The end of file behind a line that filled the buffer belongs to that line. */
        if (taken == n && !end_of_file)
            break;
        if (delimiter)
            set_delimiter(t, t->in_tail, false);
        t->in_tail++;
        if (!end_of_file)
            buf[taken++] = c;
        if (delimiter) {
            *done = true;
            break;
        }
    }
    return taken;
}

uint32_t ldisc_take(struct tty *t, uint8_t *buf, uint32_t n, bool *done)
{
    if (is_canonical(t))
        return take_line(t, buf, n, done);
    *done = false;
    n = k_min(n, t->in_head - t->in_tail);
    for (uint32_t taken = 0; taken < n;) {
        uint32_t at = t->in_tail % TTY_IN_SIZE, len = k_min(n - taken, TTY_IN_SIZE - at);
        memcpy(buf + taken, t->in + at, len);
        t->in_tail += len;
        taken += len;
    }
    return n;
}

/* ---- modes ---- */

static bool has_usual_flow_keys(const struct k_termios *m)
{
    return (m->iflag & IXON_K) && m->cc[VSTOP_K] == 0x13 && m->cc[VSTART_K] == 0x11;
}

void ldisc_set_termios(struct tty *t, const struct k_termios *new)
{
    struct k_termios old = t->termios;
    t->termios = *new;
    t->termios.cflag = (new->cflag & ~(uint32_t)(CSIZE_K | PARENB_K)) | CS8_K | CREAD_K;
    t->termios.line = 0;
    if ((old.lflag ^ new->lflag) & (ICANON_K | EXTPROC_K)) {
        memset(t->delimiter, 0, sizeof(t->delimiter));
        t->lnext = t->erasing = false;
        /* What was typed ahead is a line of its own in canonical mode. */
        t->canon_head = t->in_tail;
        if ((new->lflag &ICANON_K) && t->in_head != t->in_tail) {
            set_delimiter(t, t->in_head - 1, true);
            t->canon_head = t->in_head;
        }
    }
    if ((old.iflag & IXON_K) && !(new->iflag &IXON_K))
        ldisc_start(t);
    if (has_usual_flow_keys(&old) != has_usual_flow_keys(&t->termios))
        t->packet_status = (uint8_t)((t->packet_status & ~(PKT_DOSTOP | PKT_NOSTOP)) |
                                     (has_usual_flow_keys(new) ? PKT_DOSTOP : PKT_NOSTOP));
}
