/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Terminals. Every terminal of the kernel is a pseudoterminal: a slave with the line discipline
 * N_TTY (dev/tty_ldisc.c), and a master, which is a file (dev/pty.c) or the console's threads.
 *
 * struct tty is the pair. It is counted by open files of both sides, and by whoever else holds it;
 * process->tty is not counted: a hang-up, which comes before the end, clears it.
 *
 * Locks: tty->lock (spin) -> proc_tree_lock. tty->lock guards everything but what is said below.
 * read_mutex and write_mutex (slave's readers, writers; taken interruptibly) before tty->lock.
 */
#ifndef CELLA_KERNEL_DEV_TTY_H
#define CELLA_KERNEL_DEV_TTY_H

#include "base/ref.h"
#include "fs/vfs.h"

#define TTY_IN_SIZE 16384u  /* bytes on the way to the slave's readers; powers of two */
#define TTY_OUT_SIZE 16384u /* to the master's */
#define TTY_ECHO_SIZE 1024u
#define TTY_LINE_MAX 4096u /* of canonical mode, with the end of line */
#define TTY_MAX 1024u      /* terminals at a time */
#define TTY_CHUNK 1024u    /* bytes copied at a time */

/* <asm-generic/termbits.h> */
enum {
    VINTR_K,
    VQUIT_K,
    VERASE_K,
    VKILL_K,
    VEOF_K,
    VTIME_K,
    VMIN_K,
    VSWTC_K,
    VSTART_K,
    VSTOP_K,
    VSUSP_K,
    VEOL_K,
    VREPRINT_K,
    VDISCARD_K,
    VWERASE_K,
    VLNEXT_K,
    VEOL2_K,
    NCCS_K = 19
};
enum {
    PARMRK_K = 010,
    ISTRIP_K = 040,
    INLCR_K = 0100,
    IGNCR_K = 0200,
    ICRNL_K = 0400,
    IUCLC_K = 01000,
    IXON_K = 02000,
    IXANY_K = 04000,
    IXOFF_K = 010000,
    IUTF8_K = 040000
};
enum {
    OPOST_K = 01,
    OLCUC_K = 02,
    ONLCR_K = 04,
    OCRNL_K = 010,
    ONOCR_K = 020,
    ONLRET_K = 040,
    TABDLY_K = 014000,
    XTABS_K = 014000
};
enum { CSIZE_K = 060, CS8_K = 060, CREAD_K = 0200, PARENB_K = 0400, B38400_K = 017 };
enum {
    ISIG_K = 01,
    ICANON_K = 02,
    ECHO_K = 010,
    ECHOE_K = 020,
    ECHOK_K = 040,
    ECHONL_K = 0100,
    NOFLSH_K = 0200,
    TOSTOP_K = 0400,
    ECHOCTL_K = 01000,
    ECHOPRT_K = 02000,
    ECHOKE_K = 04000,
    IEXTEN_K = 0100000,
    EXTPROC_K = 0200000
};

/* ioctls of terminals that the console has too; the others are in dev/tty_ioctl.c */
enum {
    TCGETS_K = 0x5401,
    TCSETS_K = 0x5402,
    TCSETSW_K = 0x5403,
    TCSETSF_K = 0x5404,
    TCSBRK_K = 0x5409,
    TIOCGWINSZ_K = 0x5413,
    FIONREAD_K = 0x541b,
};

/* struct termios2 of the ABI; struct termios is its first bytes. */
#define TERMIOS_SIZE 36u
struct k_termios {
    uint32_t iflag, oflag, cflag, lflag;
    uint8_t line, cc[NCCS_K];
    uint32_t ispeed, ospeed;
};

struct k_winsize {
    uint16_t row, col, xpixel, ypixel;
};

/* Packet mode: what the master is told of. */
enum {
    PKT_FLUSHREAD = 1,
    PKT_FLUSHWRITE = 2,
    PKT_STOP = 4,
    PKT_START = 8,
    PKT_NOSTOP = 16,
    PKT_DOSTOP = 32
};

struct process;

struct tty {
    struct ref ref;
    uint32_t index;      /* N of /dev/pts/N */
    struct inode *inode; /* of /dev/pts/N; NULL once the master is closed. Under devpts_lock */
    spinlock_t lock;
    struct k_termios termios;
    struct k_winsize winsize;
    bool locked;    /* TIOCSPTLCK */
    bool exclusive; /* TIOCEXCL */
    bool packet;
    uint8_t packet_status;
    bool master_closed;
    bool slave_gone; /* was opened, and all opens are closed or hung up */
    uint32_t nr_slaves;
    uint32_t hangups; /* slave files opened before the last one are dead (file->f_version) */

    /* The controlling terminal's session and foreground group; 0: none. Under proc_tree_lock. */
    kpid_t session, pgrp;

    /* The line discipline. Positions count bytes and wrap at 2^32. */
    uint32_t in_head, in_tail, canon_head; /* lines are complete up to canon_head */
    bool lnext, erasing, stopped;
    uint32_t column, canon_column; /* of the cursor; where the line being edited begins */
    uint32_t out_head, out_tail, echo_head, echo_tail;
    uint8_t *in, *out;
    uint8_t echo[TTY_ECHO_SIZE];          /* echoes that find no way out now */
    uint64_t delimiter[TTY_IN_SIZE / 64]; /* bytes of `in` that end a line; NUL: end of file */

    struct mutex read_mutex, write_mutex;
    struct wait_queue slave_q;  /* readers, writers and pollers of the slave */
    struct wait_queue master_q; /* of the master */
};

/* ---- dev/tty_ldisc.c; tty->lock held, but for waiting ---- */

extern const struct k_termios tty_std_termios;
/* Takes n bytes that came from the keyboard; the number it had room for. */
uint32_t ldisc_input(struct tty *t, const uint8_t *buf, uint32_t n);
/* Takes n bytes that a program wrote; the number it had room for. */
uint32_t ldisc_output(struct tty *t, const uint8_t *buf, uint32_t n);
/* Moves what a read may have now: up to n bytes. *done: the read is over whatever there is (end of
 * a line or file). */
uint32_t ldisc_take(struct tty *t, uint8_t *buf, uint32_t n, bool *done);
/* Bytes that the master may read, moved to buf. */
uint32_t ldisc_take_output(struct tty *t, uint8_t *buf, uint32_t n);
/* Is there input? for_poll: as much as VMIN wants. */
bool ldisc_readable(const struct tty *t, bool for_poll);
bool ldisc_has_input_room(const struct tty *t);
bool ldisc_has_output_room(const struct tty *t);
uint32_t ldisc_input_bytes(const struct tty *t); /* FIONREAD */
void ldisc_flush_input(struct tty *t);
void ldisc_flush_output(struct tty *t);
void ldisc_set_termios(struct tty *t, const struct k_termios *new);
void ldisc_stop(struct tty *t);
void ldisc_start(struct tty *t);
/* A character that is not processed (TCIOFF, TCION). */
void ldisc_put_raw(struct tty *t, uint8_t c);

/* ---- dev/tty.c ---- */

/* A terminal with its entry in devpts, ref 1 (the master's), or err_ptr. */
struct tty *tty_create(void);
void tty_get(struct tty *t);
void tty_put(struct tty *t);
/* An open file of the slave, at its place in devpts; err_ptr. flags: O_*. */
struct file *tty_open_slave(struct tty *t, uint32_t flags);
/* Makes f, which is being opened, a file of the slave. 0 or negative errno. */
int tty_attach(struct tty *t, struct file *f);
/* All files of the slave die; the session loses its terminal, of which its leader is told. */
void tty_hangup(struct tty *t);
/* Drops the master's reference. */
void tty_close_master(struct tty *t);
void tty_set_winsize(struct tty *t, const struct k_winsize *size);
/* TCFLSH. */
int64_t tty_flush(struct tty *t, uint64_t which, bool master);
extern const struct file_ops tty_device_ops; /* /dev/tty */
extern const struct file_ops pts_device_ops; /* /dev/pts/N */

/* dev/tty_ioctl.c: f is a file of the slave, or of the master. */
int64_t tty_ioctl(struct tty *t, struct file *f, bool master, unsigned cmd, uint64_t arg);

/* ---- dev/tty_jobs.c ---- */

/* May current, if t is its controlling terminal, do what only the foreground may? 0, -EIO, or
 * -ERESTARTSYS with the signal (SIGTTIN, SIGTTOU) sent to its group. */
int tty_check_foreground(struct tty *t, int sig);
/* To the foreground group. */
void tty_signal_foreground(struct tty *t, int sig);
/* Makes t current's controlling terminal if it has none, leads a session, and t has none yet. */
void tty_acquire(struct tty *t);
/* current's controlling terminal, counted, or NULL. */
struct tty *tty_of_current(void);
/* Takes the terminal from its session, whose leader gets SIGHUP and SIGCONT. */
void tty_leave_session(struct tty *t);
/* TIOCSCTTY TIOCNOTTY TIOCGPGRP TIOCSPGRP TIOCGSID. */
int64_t tty_job_ioctl(struct tty *t, struct file *f, bool master, unsigned cmd, uint64_t arg);
/* The process ends. A session's leader takes the terminal along, and the foreground group gets
 * SIGHUP; files stay alive. proc_tree_lock is held. */
void tty_leader_exits(struct process *p);

/* ---- dev/pty.c ---- */
extern const struct file_ops ptmx_device_ops;
/* The master's side, for the console: take waits until there is output or `stop` says so (0 then,
 * and at the end); put waits for room. put: 0, or -EIO when nobody will ever read. */
uint32_t pty_take_output(struct tty *t, uint8_t *buf, uint32_t n, bool (*stop)(void *), void *arg);
int pty_put_input(struct tty *t, const uint8_t *buf, uint32_t n);

/* ---- fs/devpts.c ---- */
/* Gives t a number and an entry. 0, -ENOSPC, -ENOMEM. */
int devpts_add(struct tty *t);
void devpts_remove(struct tty *t);
/* The terminal of that number, counted; NULL. */
struct tty *devpts_find(uint32_t index);
/* t's inode there, counted; NULL when the master is closed. */
struct inode *devpts_inode(struct tty *t);

/* The slave's device number. */
static inline uint64_t tty_device(const struct tty *t)
{
    return MKDEV_K(136 + (t->index >> 8), t->index & 0xff);
}

static inline bool tty_file_dead(const struct tty *t, const struct file *f)
{
    return f->f_version != READ_ONCE(t->hangups);
}

#endif
