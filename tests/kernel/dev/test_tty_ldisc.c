/* SPDX-License-Identifier: Apache-2.0 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "dev/tty.h"
#include "ktest.h"

static struct tty *new_tty(void)
{
    struct tty *t = kzalloc(sizeof(*t));
    spin_init(&t->lock);
    t->in = kmalloc(TTY_IN_SIZE);
    t->out = kmalloc(TTY_OUT_SIZE);
    t->termios = tty_std_termios;
    /* Positions wrap in every test. */
    t->in_head = t->in_tail = t->canon_head = UINT32_MAX - 3;
    t->out_head = t->out_tail = UINT32_MAX - 5;
    t->echo_head = t->echo_tail = UINT32_MAX - 1;
    return t;
}

static void free_tty(struct tty *t)
{
    kfree(t->in);
    kfree(t->out);
    kfree(t);
}

static uint32_t type(struct tty *t, const char *text)
{
    return ldisc_input(t, (const uint8_t *)text, (uint32_t)strlen(text));
}

static bool appears(struct tty *t, const char *text)
{
    uint8_t buf[256];
    uint32_t n = ldisc_take_output(t, buf, sizeof(buf));
    return n == strlen(text) && memcmp(buf, text, n) == 0;
}

static bool reads(struct tty *t, uint32_t room, const char *text, bool end)
{
    uint8_t buf[256];
    bool done;
    uint32_t n = ldisc_take(t, buf, room, &done);
    return n == strlen(text) && memcmp(buf, text, n) == 0 && done == end;
}

KTEST(ldisc_lines_survive_the_wrap_of_positions)
{
    struct tty *t = new_tty();
    KCHECK_EQ(type(t, "one\ntwo\n"), 8);
    KCHECK_EQ(ldisc_input_bytes(t), 8);
    KCHECK(appears(t, "one\r\ntwo\r\n"));
    KCHECK(reads(t, 200, "one\n", true));
    KCHECK(reads(t, 2, "tw", false));
    KCHECK(reads(t, 200, "o\n", true));
    KCHECK(!ldisc_readable(t, false));
    free_tty(t);
}

KTEST(ldisc_end_of_file_counts_for_no_byte_and_is_taken_with_a_full_buffer)
{
    struct tty *t = new_tty();
    type(t, "ab\004\004cd\n");
    KCHECK_EQ(ldisc_input_bytes(t), 5);
    KCHECK(reads(t, 2, "ab", true));
    KCHECK(reads(t, 2, "", true));
    KCHECK(reads(t, 200, "cd\n", true));
    free_tty(t);
}

KTEST(ldisc_long_lines_lose_their_middle_and_keep_their_end)
{
    struct tty *t = new_tty();
    uint8_t *buf = kmalloc(2 * TTY_LINE_MAX);
    bool done;
    t->termios.lflag = ICANON_K;
    memset(buf, 'x', 2 * TTY_LINE_MAX);
    KCHECK_EQ(ldisc_input(t, buf, 2 * TTY_LINE_MAX), 2 * TTY_LINE_MAX);
    KCHECK(!ldisc_readable(t, false));
    type(t, "\n");
    KCHECK_EQ(ldisc_take(t, buf, 2 * TTY_LINE_MAX, &done), TTY_LINE_MAX);
    KCHECK(done && buf[TTY_LINE_MAX - 1] == '\n');
    kfree(buf);
    free_tty(t);
}

KTEST(ldisc_rings_never_take_more_than_they_hold)
{
    struct tty *t = new_tty();
    uint8_t *buf = kmalloc(TTY_IN_SIZE * 2);
    bool done;
    for (int canonical = 0; canonical < 2; canonical++) {
        t->termios.lflag = canonical ? ICANON_K : 0;
        t->termios.iflag = canonical ? PARMRK_K : 0;
        t->termios.oflag = canonical ? OPOST_K | XTABS_K : 0;
        memset(buf, canonical ? '\n' : 'x', TTY_IN_SIZE * 2);
        uint32_t in = ldisc_input(t, buf, TTY_IN_SIZE * 2);
        KCHECK(in <= TTY_IN_SIZE && in >= TTY_IN_SIZE - 2);
        KCHECK(!ldisc_has_input_room(t) && t->in_head - t->in_tail <= TTY_IN_SIZE);
        memset(buf, '\t', TTY_IN_SIZE * 2);
        uint32_t out = ldisc_output(t, buf, TTY_IN_SIZE * 2);
        KCHECK(out && out < TTY_IN_SIZE * 2 && t->out_head - t->out_tail <= TTY_OUT_SIZE);
        while (ldisc_take(t, buf, TTY_IN_SIZE, &done))
            ;
        ldisc_take_output(t, buf, TTY_OUT_SIZE);
        KCHECK(t->out_head == t->out_tail && t->in_head == t->in_tail);
    }
    kfree(buf);
    free_tty(t);
}

KTEST(ldisc_echo_waits_for_a_stopped_output_and_comes_in_order)
{
    struct tty *t = new_tty();
    type(t, "\023abc");
    KCHECK(appears(t, ""));
    KCHECK_EQ(ldisc_output(t, (const uint8_t *)"out", 3), 0);
    type(t, "\021d");
    KCHECK_EQ(ldisc_output(t, (const uint8_t *)"out", 3), 3);
    KCHECK(appears(t, "abcdout"));
    for (int i = 0; i < 3000; i++)
        type(t, i ? "z" : "\023"); /* more than can wait is lost, nothing else is */
    type(t, "\021");
    uint8_t buf[4096];
    KCHECK_EQ(ldisc_take_output(t, buf, sizeof(buf)), TTY_ECHO_SIZE);
    free_tty(t);
}

KTEST(ldisc_echo_to_a_full_output_follows_when_there_is_room)
{
    struct tty *t = new_tty();
    uint8_t *buf = kmalloc(TTY_OUT_SIZE);
    t->termios.oflag = 0;
    memset(buf, 'o', TTY_OUT_SIZE);
    KCHECK_EQ(ldisc_output(t, buf, TTY_OUT_SIZE), TTY_OUT_SIZE);
    type(t, "abc");
    KCHECK_EQ(ldisc_take_output(t, buf, TTY_OUT_SIZE), TTY_OUT_SIZE);
    KCHECK(appears(t, "abc"));
    kfree(buf);
    free_tty(t);
}

KTEST(ldisc_change_of_mode_keeps_what_was_typed)
{
    struct tty *t = new_tty();
    struct k_termios raw = tty_std_termios;
    raw.lflag &= ~(uint32_t)ICANON_K;
    type(t, "ab\ncd");
    ldisc_set_termios(t, &raw);
    KCHECK_EQ(ldisc_input_bytes(t), 5);
    KCHECK(reads(t, 2, "ab", false));
    ldisc_set_termios(t, &tty_std_termios);
    KCHECK(reads(t, 200, "\ncd", true));
    free_tty(t);
}

KTEST(ldisc_output_flush_keeps_what_a_reader_may_have_seen)
{
    struct tty *t = new_tty();
    uint8_t *buf = kmalloc(TTY_OUT_SIZE);
    t->termios.oflag = 0;
    memset(buf, 'o', TTY_OUT_SIZE);
    ldisc_output(t, buf, 9000);
    ldisc_flush_output(t);
    KCHECK_EQ(t->out_head - t->out_tail, 4096);
    kfree(buf);
    free_tty(t);
}

/* Whatever is typed in whatever mode: no access out of bounds (the sanitizers see it), and the
 * rings stay what they are. */
KTEST(ldisc_random_input_in_random_modes_keeps_the_rings_whole)
{
    struct tty *t = new_tty();
    uint64_t x = 88172645463325252ull;
    for (int i = 0; i < 200000; i++) {
        uint8_t buf[64];
        bool done;
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        for (int j = 0; j < 8; j++)
            buf[j] = (uint8_t)(x >> 8 * j) & (x & 1 ? 0x1f : 0xff);
        switch (x >> 60) {
        case 0: {
            struct k_termios m = tty_std_termios;
            m.iflag ^= (uint32_t)(x >> 3) & 077777;
            m.lflag ^= (uint32_t)(x >> 9) & 0377777;
            m.oflag ^= (uint32_t)(x >> 20) & 017777;
            ldisc_set_termios(t, &m);
            break;
        }
        case 1: ldisc_take_output(t, buf, sizeof(buf)); break;
        case 2:
        case 3: ldisc_take(t, buf, (uint32_t)(x & 63), &done); break;
        case 4: ldisc_output(t, buf, 8); break;
        default: ldisc_input(t, buf, 8);
        }
        KCHECK(t->in_head - t->in_tail <= TTY_IN_SIZE);
        if ((t->termios.lflag & (ICANON_K | EXTPROC_K)) == ICANON_K)
            KCHECK(t->canon_head - t->in_tail <= t->in_head - t->in_tail);
        KCHECK(t->out_head - t->out_tail <= TTY_OUT_SIZE);
        KCHECK(t->echo_head - t->echo_tail <= TTY_ECHO_SIZE);
        KCHECK(ldisc_input_bytes(t) <= TTY_IN_SIZE);
    }
    free_tty(t);
}
