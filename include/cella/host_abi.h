/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host ABI: all that a keep may ask of the untrusted host, and the layout of the memory that
 * both sides see.
 *
 * The window is a struct cella_host_window, followed by the data area. The keep writes requests
 * into slots and publishes them by number in the submission ring; the host serves them in any order
 * and publishes completions. Both rings hold slot numbers; a slot belongs to the host from
 * submission to completion. Neither side ever gives the other a pointer: data lie in the data area,
 * named by offset and length.
 *
 * Rules for the keep (src/kernel/dev/host_ring.c): copy a reply once, then check it: slot in
 * flight, status in range, lengths within what was asked. Rules for the host (src/host/server.c):
 * copy a request once, then check it: op known, offsets inside the data area, handle known, no path
 * leaves its grant.
 *
 * All integers little endian, all padding zero.
 */
#ifndef CELLA_HOST_ABI_H
#define CELLA_HOST_ABI_H

#include <stdint.h>

#define CELLA_HOST_ABI_MAGIC 0x31414c4c45434831ull
#define CELLA_HOST_ABI_VERSION 2

#define CELLA_HOST_SLOTS 256u /* requests in flight; a power of two */
#define CELLA_HOST_DATA_SIZE (32u << 20)
#define CELLA_HOST_MAX_CPUS 64u
#define CELLA_HOST_MAX_GRANTS 64u
#define CELLA_HOST_BOOT_SIZE (1u << 20)
#define CELLA_HOST_MAX_IO (1u << 20) /* most data bytes of one request */

/* Operations. Arguments are a[0..]; `data` is the slot's data range. Result: >= 0, or negative
 * Linux errno. Handles are small integers that the host gives out. Paths: in the data area, bytes
 * without NUL, relative to the directory named by the handle, one component only (no '/', not "."
 * or ".."), or empty for the handle itself where said. A name ends at the first NUL byte or at the
 * end of the data range, so a range with more room than the name must hold a NUL behind it. Answers
 * start at the data range's start. */
enum cella_host_op {
    CELLA_HOST_NOP = 0,
    /* A handle for a grant's root directory (or file). a0: grant number. Result: handle. */
    CELLA_HOST_ROOT = 1,
    /* Looks `name` up in directory handle a0, never following a symbolic link: result: handle (an
       O_PATH-like reference), and a struct cella_host_stat at data start. */
    CELLA_HOST_LOOKUP = 2,
    /* Drops handle a0. */
    CELLA_HOST_CLOSE = 3,
    /* a0 handle -> struct cella_host_stat at data start. */
    CELLA_HOST_STAT = 4,
    /* a0 handle, a1 offset, data_len bytes into the data area. Regular files only. Result: bytes.
     */
    CELLA_HOST_READ = 5,
    /* a0 handle, a1 offset; data written. Grants that are rw only. Result: bytes. */
    CELLA_HOST_WRITE = 6,
    /* a0 directory handle, a1 cookie (0: start). Fills data with struct cella_host_dirent records,
     * without "." and "..". Result: bytes, 0 at the end. The range must have room for one record
     * with a name of 255 bytes. */
    CELLA_HOST_READDIR = 7,
    /* a0 handle of a symbolic link: target into data. Result: length. */
    CELLA_HOST_READLINK = 8,
    /* a0 directory handle, a1 mode with type bits (regular, directory, fifo, socket: no devices),
       a2 uid, a3 gid, name in data. Exclusive. Result: handle; stat as LOOKUP. */
    CELLA_HOST_CREATE = 9,
    /* a0 directory handle; data: name, NUL, target. */
    CELLA_HOST_SYMLINK = 10,
    /* a0 directory handle, a1 handle of the target, name in data. */
    CELLA_HOST_LINK = 11,
    /* a0 directory handle, a1: 0 unlink, 1 rmdir; name in data. */
    CELLA_HOST_UNLINK = 12,
    /* a0 old directory, a1 new directory, a2 RENAME_* flags; data: old name, NUL, new name. */
    CELLA_HOST_RENAME = 13,
    /* a0 handle, a1 mask of CELLA_HOST_ATTR_*; data: struct cella_host_stat with the values. */
    CELLA_HOST_SETATTR = 14,
    /* a0 handle, a1: data only. */
    CELLA_HOST_FSYNC = 15,
    /* a0 handle -> struct cella_host_statfs. */
    CELLA_HOST_STATFS = 16,
    /* a0 handle, a1 size wanted (0: length only); data: name, NUL -> value. a2: 0 get, 1 list. */
    CELLA_HOST_GETXATTR = 17,
    /* a0: session << 2 | 0. Waits for input; up to data_len bytes. Result: bytes, 0 at the end of
       input. Cancelled by CANCEL with -EINTR. */
    CELLA_HOST_CONSOLE_READ = 18,
    /* a0: session << 2 | stream: 1 stdout, 2 stderr; of session 0 also 3: a line for the launcher's
       log. Result: bytes written (all, unless an error). */
    CELLA_HOST_CONSOLE_WRITE = 19,
    /* a0: slot number of a request that may be waiting. Result: 0 cancelled or already done. */
    CELLA_HOST_CANCEL = 20,
    /* a0: wait status. a1: 0: the keep's workload is done: no reply, the host ends the keep; a2 is
       then 1 when the program could not be started at all. A session's number: the program that
       `cella exec` started has ended. Result: 0. */
    CELLA_HOST_EXIT = 21,
    /* Waits until the host wants a further program started in the keep (`cella exec`), or a signal
       sent to one. The first says that the keep's own program has started. Result: the session's
       number (1 and up, never used again), with struct cella_session_header and strings in data.
       One may be out. Cancelled by CANCEL. */
    CELLA_HOST_SESSION_WAIT = 22,
    /* a0: session. Result: size of its terminal, rows << 16 | columns; -ENOTTY. */
    CELLA_HOST_CONSOLE_SIZE = 23,

    /* Network. Addresses are struct cella_host_sockaddr. What arrives is told by NET_WAIT alone, so
     * no request stays out for each socket; the keep gives credit for what it has room for. */

    /* a0: CELLA_HOST_INET or _INET6, a1: CELLA_HOST_STREAM or _DGRAM. Result: handle. -EACCES: the
       keep has no network. */
    CELLA_HOST_SOCKET = 24,
    /* a0 handle, a1: for a stream the backlog (it listens at once), a2: CELLA_HOST_BIND_* flags;
       data: address. Result: 0 and the address got in data. -EADDRNOTAVAIL: this port is not
       published, so nobody outside can reach it; no reason for the keep to refuse its program. */
    CELLA_HOST_BIND = 25,
    /* a0 handle, data: address. Result: 0: begun (a stream's end is told by a NET_CONNECTED
       record), or an error at once. A datagram socket: the peer is set; address got in data. */
    CELLA_HOST_CONNECT = 26,
    /* a0 handle, a1: flags (1: an address stands before the bytes). Never waits; a stream's bytes
       go out at once (the keep gathers small pieces itself). Result: bytes taken, which may be
       fewer for a stream: then a NET_WRITABLE record follows when there is room again. Errors as
       send(2). */
    CELLA_HOST_SEND = 27,
    /* a0 handle, a1: credit: bytes (stream), bytes (datagrams, headers not counted) or connections
       (listener) that the host may deliver beyond what it was given before. Result: 0. */
    CELLA_HOST_RECV = 28,
    /* Waits until something arrived on any socket; fills the data range with struct
       cella_host_net_record. Several may be out. Result: bytes. Cancelled by CANCEL. */
    CELLA_HOST_NET_WAIT = 29,
    /* a0 handle, a1: enum cella_host_sockctl, a2: value. Result: 0 or the value; GET*NAME: address
       in data. */
    CELLA_HOST_SOCKCTL = 30,
    CELLA_HOST_NR_OPS,
};

struct cella_host_request {
    uint32_t op;       /* enum cella_host_op */
    uint32_t data_off; /* in the data area */
    uint32_t data_len; /* bytes given, or room for the answer */
    uint32_t pad;
    uint64_t a[4];
};

struct cella_host_reply {
    int64_t result;
    uint32_t data_len; /* bytes of answer in the data range */
    uint32_t pad;
};

struct cella_host_slot {
    struct cella_host_request req;
    struct cella_host_reply rep;
    uint8_t pad[128 - 48 - 16];
};

/* Bits of CELLA_HOST_SETATTR's mask. */
enum {
    CELLA_HOST_ATTR_MODE = 1,
    CELLA_HOST_ATTR_UID = 2,
    CELLA_HOST_ATTR_GID = 4,
    CELLA_HOST_ATTR_SIZE = 8,
    CELLA_HOST_ATTR_ATIME = 16,
    CELLA_HOST_ATTR_MTIME = 32,
    CELLA_HOST_ATTR_ALL = 63
};

/* Linux struct stat in fixed form. */
struct cella_host_stat {
    uint64_t dev, ino, rdev, size, blocks;
    uint32_t mode, nlink, uid, gid;
    int64_t atime_sec, mtime_sec, ctime_sec;
    uint32_t atime_nsec, mtime_nsec, ctime_nsec, pad;
};

struct cella_host_statfs {
    uint64_t type, bsize, blocks, bfree, bavail, files, ffree, namelen;
};

struct cella_host_dirent {
    uint64_t ino;
    uint64_t next_cookie;
    uint16_t rec_len; /* whole record, a multiple of 8 */
    uint16_t name_len;
    uint8_t type; /* DT_* */
    uint8_t pad[3];
    char name[]; /* not NUL-terminated */
};

enum { CELLA_HOST_INET = 2, CELLA_HOST_INET6 = 10 };  /* families: Linux's numbers */
enum { CELLA_HOST_STREAM = 1, CELLA_HOST_DGRAM = 2 }; /* types: Linux's numbers */
enum { CELLA_HOST_BIND_REUSEADDR = 1, CELLA_HOST_BIND_REUSEPORT = 2, CELLA_HOST_BIND_V6ONLY = 4 };

struct cella_host_sockaddr {
    uint16_t family;
    uint16_t port; /* host byte order */
    uint32_t scope_id;
    uint8_t addr[16]; /* IPv4: the first 4 bytes; network byte order; the rest zero */
};

enum cella_host_sockctl {
    CELLA_HOST_SHUTDOWN = 0, /* a2: SHUT_RD 0, SHUT_WR 1, SHUT_RDWR 2 */
    CELLA_HOST_GETSOCKNAME = 1,
    CELLA_HOST_GETPEERNAME = 2,
    CELLA_HOST_SET_KEEPALIVE = 4,
    CELLA_HOST_SET_BROADCAST = 5,
    CELLA_HOST_SET_LINGER = 6, /* a2: seconds, UINT64_MAX: off */
    CELLA_HOST_SEND_OOB = 7,   /* a2: the byte */
    CELLA_HOST_NR_SOCKCTL,
};

enum cella_host_net_kind {
    CELLA_HOST_NET_DATA = 1,      /* bytes of a stream */
    CELLA_HOST_NET_DATAGRAM = 2,  /* addr: sender; bytes */
    CELLA_HOST_NET_EOF = 3,       /* the peer sends no more */
    CELLA_HOST_NET_ERROR = 4,     /* value: errno > 0 */
    CELLA_HOST_NET_CONNECTED = 5, /* value: 0 or errno > 0; addr: own address */
    CELLA_HOST_NET_ACCEPTED = 6,  /* value: handle of the new connection; addr: peer; 24 bytes: own
                                     address */
    CELLA_HOST_NET_WRITABLE = 7,
};

/* One record of NET_WAIT's answer; the next follows at a multiple of 8. */
struct cella_host_net_record {
    uint32_t rec_len; /* whole record, a multiple of 8 */
    uint32_t handle;
    uint32_t kind; /* enum cella_host_net_kind */
    uint32_t len;  /* bytes in data[] */
    uint64_t value;
    struct cella_host_sockaddr addr;
    uint8_t data[];
};

#define CELLA_SESSION_MAX (128u << 10) /* bytes of a header with its strings */

/* What SESSION_WAIT tells, then strings, each NUL-terminated: workdir (empty: that of the keep's
 * workload), nr_args arguments (the first is the program), nr_env variables, which are set over
 * those of the keep's workload. With CELLA_SESSION_SIGNAL no program is started: `signal` goes to
 * the process group of the session's program; there are no strings. */
struct cella_session_header {
    uint32_t size;  /* with the strings */
    uint32_t flags; /* CELLA_SESSION_* */
    uint32_t nr_args, nr_env;
    uint32_t uid, gid; /* UINT32_MAX: those of the keep's workload */
    uint32_t stdio_mode[3];
    uint32_t stdio_is_tty;
    uint32_t signal; /* Linux's number; 0 without CELLA_SESSION_SIGNAL */
    uint32_t pad;
};
enum {
    CELLA_SESSION_TERMINAL = 1, /* a terminal of its own for the program (-t) */
    CELLA_SESSION_SIGNAL = 2,
};

/* One direction: `tail` counts what the producer published, `head` what the consumer took (each
 * written by one side only, mod 2^32); entries are slot numbers. */
struct cella_host_ring {
    uint32_t tail;
    uint32_t pad0[15];
    uint32_t head;
    uint32_t pad1[15];
    uint32_t entry[CELLA_HOST_SLOTS];
};

/* Events that the host raises (bits of cella_host_window.events). */
enum {
    CELLA_HOST_EVENT_HUP = 1,
    CELLA_HOST_EVENT_INT = 2,
    CELLA_HOST_EVENT_TERM = 4,
    CELLA_HOST_EVENT_QUIT = 8,
    CELLA_HOST_EVENT_WINCH = 16,
    CELLA_HOST_EVENT_PING = 32 /* no meaning but to be taken: the keep's kernel is alive */
};

struct cella_host_window {
    uint64_t magic;
    uint32_t version;
    uint32_t boot_len; /* bytes of boot information at boot[] */
    /* Clock parameters, a sequence lock: odd while the host writes. mono = mono_base + ((tsc -
     * tsc_base) * mult >> shift). */
    uint32_t clock_seq, clock_shift;
    uint64_t clock_tsc_base, clock_mono_base_ns, clock_real_offset_ns;
    uint32_t clock_mult, pad0;
    uint64_t mem_used_bytes; /* what the keep holds at the host, refreshed by the launcher */
    uint32_t
        events; /* CELLA_HOST_EVENT_*; atomically or-ed by the host, exchanged with 0 by the keep */
    uint32_t sq_doorbell; /* futex word: the keep adds 1 and wakes after publishing when sq_waiting
                             is set */
    uint32_t sq_waiting;  /* the host sleeps on sq_doorbell */
    uint32_t cq_wanted;   /* not 0: a CPU of the keep is to be woken also for completions of SEND
                             (all bytes taken) and of RECV, for which nobody waits as a rule */
    uint32_t cq_doorbell; /* futex word: an idle CPU of the keep sleeps on its own word; the host
                             adds 1 here after publishing a completion or an event */
    uint32_t cpu_sleeping[CELLA_HOST_MAX_CPUS]; /* futex word per CPU: 1 while that CPU sleeps and
                                                   wants to be woken by host events; the host stores
                                                   0 and wakes it */
    uint32_t cpu_beat[CELLA_HOST_MAX_CPUS]; /* the keep's CPU i adds 1 whenever it looks for host
                                               events: at ticks, at switches, from idleness. The
                                               host only reads */
    struct cella_host_ring sq, cq;
    struct cella_host_slot slots[CELLA_HOST_SLOTS];
    uint8_t boot[CELLA_HOST_BOOT_SIZE]; /* struct cella_boot_header and what follows */
};

/* Where the data area starts in the window's memory file, and the size of the whole file. */
#define CELLA_HOST_DATA_OFFSET ((sizeof(struct cella_host_window) + 4095) & ~(uint64_t)4095)
#define CELLA_HOST_WINDOW_SIZE (CELLA_HOST_DATA_OFFSET + CELLA_HOST_DATA_SIZE)

/* Boot information: the header, then strings, each NUL-terminated, in this order: hostname,
 * workdir, program, nr_args arguments (argv[0], as typed, is the first), nr_env variables, and for
 * each grant its place in the keep. */
enum {
    CELLA_BOOT_TRACE = 1,
    CELLA_BOOT_STATS = 2,
    CELLA_BOOT_DEBUG = 4,
    CELLA_BOOT_TERMINAL = 8,  /* -t: the standard streams are a terminal with the keep's own line
                                 discipline */
    CELLA_BOOT_SESSIONS = 16, /* the host may start further programs (`cella exec`) */
    CELLA_BOOT_NET = 32,      /* there is something beyond the keep's own loopback */
};
struct cella_boot_grant {
    uint32_t flags; /* 1: writable; 2: the root file system's lower layer; 4: a single file */
    uint32_t pad;
};
struct cella_boot_header {
    uint32_t size;  /* of the whole boot information */
    uint32_t flags; /* CELLA_BOOT_* */
    uint32_t nr_cpus;
    uint32_t nr_args, nr_env, nr_grants;
    uint32_t uid, gid;
    uint32_t nr_groups;
    uint32_t stdio_mode[3]; /* st_mode of the launcher's standard streams */
    uint32_t stdio_is_tty;  /* bit i: stream i is a terminal */
    uint32_t pad;
    uint64_t memory_limit; /* bytes */
    uint32_t groups[32];
    struct cella_boot_grant grant[CELLA_HOST_MAX_GRANTS];
    uint32_t strings_off; /* from the header's start */
    uint32_t strings_len;
};

#endif
