/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets: what all families have in common, and the contract between the socket calls and a
 * family.
 *
 *   net/socket.c         struct socket, its file, waiting
 *   net/socket_options.c the options of SOL_SOCKET
 *   net/socket_calls.c   the system calls: addresses of the workload in and out
 *   net/socket_msg.c     sendmsg and its kin: iovecs and control data in and out
 *   net/unix*.c          AF_UNIX
 *   net/inet*.c tcp.c udp.c  AF_INET and AF_INET6: loopback inside the keep, the rest through
 *                        net/host_net.c
 *   net/netlink.c        AF_NETLINK: as much of rtnetlink as getifaddrs(3) and ip(8) ask for
 *
 * Ownership: the open file owns the socket; a connection not yet accepted is owned by its listener.
 * Others (peers) may keep the memory with socket_get; after ops->release it is dead, but its lock
 * and wait queue can still be used.
 * Locks: socket.lock (mutex, sleeping) guards a socket's state against concurrent calls of one
 * protocol where it needs that; queues that events fill have spinlocks of their own. No wake-up is
 * done under a spinlock of a protocol. Waiting never holds socket.lock.
 */
#ifndef CELLA_KERNEL_NET_SOCKET_H
#define CELLA_KERNEL_NET_SOCKET_H

#include "base/ref.h"
#include "base/types.h"
#include "fs/files.h"
#include "fs/uio.h"
#include "fs/vfs.h"
#include "proc/wait_queue.h"

/* <sys/socket.h> */
enum { AF_UNSPEC_K = 0, AF_UNIX_K = 1, AF_INET_K = 2, AF_INET6_K = 10, AF_NETLINK_K = 16 };
enum { SOCK_STREAM_K = 1, SOCK_DGRAM_K = 2, SOCK_RAW_K = 3, SOCK_SEQPACKET_K = 5 };
enum { SOCK_NONBLOCK_K = O_NONBLOCK_K, SOCK_CLOEXEC_K = O_CLOEXEC_K };
enum { SHUT_RD_K = 0, SHUT_WR_K = 1, SHUT_RDWR_K = 2 };
enum {
    MSG_OOB_K = 1,
    MSG_PEEK_K = 2,
    MSG_DONTROUTE_K = 4,
    MSG_CTRUNC_K = 8,
    MSG_TRUNC_K = 0x20,
    MSG_DONTWAIT_K = 0x40,
    MSG_EOR_K = 0x80,
    MSG_WAITALL_K = 0x100,
    MSG_CONFIRM_K = 0x800,
    MSG_ERRQUEUE_K = 0x2000,
    MSG_NOSIGNAL_K = 0x4000,
    MSG_MORE_K = 0x8000,
    MSG_WAITFORONE_K = 0x10000,
    MSG_ZEROCOPY_K = 0x4000000,
    MSG_FASTOPEN_K = 0x20000000,
    MSG_CMSG_CLOEXEC_K = 0x40000000
};
enum { SOL_SOCKET_K = 1, SCM_RIGHTS_K = 1, SCM_CREDENTIALS_K = 2 };

#define SOCK_ADDR_MAX 128 /* struct sockaddr_storage */

/* An address as it goes over the system-call interface. len 0: none. */
struct sock_addr {
    uint32_t len; /* bytes of data that count */
    union {
        uint16_t family;
        uint8_t data[SOCK_ADDR_MAX];
    };
};

/* Where received control data go: put_cmsg appends one message, or sets MSG_CTRUNC when it does not
 * fit whole (it then stores what fits, as Linux does). */
struct cmsg_out {
    uaddr_t base; /* of the workload; 0: none wanted */
    uint32_t size, used;
    uint32_t *out_flags;
};
/* 0, or -EFAULT. */
int put_cmsg(struct cmsg_out *out, int level, int type, const void *data, uint32_t len);
/* Bytes of payload that a further message could hold. */
uint32_t cmsg_room(const struct cmsg_out *out);

/* One control message of a sender. */
struct cmsg_in {
    int32_t level, type;
    const void *data;
    uint32_t len;
};

/* One message to send or to receive. */
struct sock_msg {
    struct uio *data;
    struct sock_addr *name; /* send: destination, NULL or len 0: none; receive: sender, NULL: not
                               wanted */
    const void *control; /* send: copied control data, checked to be whole cmsghdrs; NULL: none */
    uint32_t control_len;
    struct cmsg_out *control_out; /* receive; never NULL there */
    uint32_t flags;               /* MSG_*; MSG_DONTWAIT is set when the file is non-blocking */
    uint32_t out_flags;           /* receive: MSG_TRUNC, MSG_CTRUNC, MSG_EOR... */
};

/* Steps through m->control; *at begins as 0. False: no more. */
bool cmsg_next(const struct sock_msg *m, uint32_t *at, struct cmsg_in *c);

struct socket;

/* What a protocol does. Each is called without locks, may sleep, honours MSG_DONTWAIT or `nonblock`
 * with -EAGAIN (-EINPROGRESS for connect), and returns -ERESTARTSYS when a signal ends a wait (or
 * -EINTR where a timeout of the socket was set, socket_wait gives the right one). NULL:
 * -EOPNOTSUPP. */
struct socket_ops {
    int (*bind)(struct socket *s, const struct sock_addr *addr);
    int (*connect)(struct socket *s, const struct sock_addr *addr, bool nonblock);
    /* Joins two fresh sockets of the family (socketpair). */
    int (*pair)(struct socket *a, struct socket *b);
    int (*listen)(struct socket *s, int backlog);
    /* A connection as a new socket without a file, owned by the caller; its address in *peer when
     * that is not NULL. */
    int (*accept)(struct socket *s, struct socket **out, struct sock_addr *peer, bool nonblock);
    int (*getname)(struct socket *s, struct sock_addr *addr, bool peer);
    int64_t (*sendmsg)(struct socket *s, struct sock_msg *m);
    int64_t (*recvmsg)(struct socket *s, struct sock_msg *m);
    int (*shutdown)(struct socket *s, int how);
    /* Does not sleep. */
    uint32_t (*poll)(struct socket *s, struct file *f, struct poll_table *pt);
    /* Levels other than SOL_SOCKET, and what socket.c does not know of it. val: kernel copy, len in
     * bytes. get: *len in: room, out: length. -ENOPROTOOPT: unknown. */
    int (*setsockopt)(struct socket *s, int level, int name, const void *val, uint32_t len);
    int (*getsockopt)(struct socket *s, int level, int name, void *val, uint32_t *len);
    int64_t (*ioctl)(struct socket *s, unsigned cmd, uint64_t arg); /* -ENOIOCTLCMD_K: not known */
    /* A SOL_SOCKET option changed that the protocol may have to pass on (SO_KEEPALIVE...); may be
     * NULL. */
    void (*option_changed)(struct socket *s, int name);
    /* The file is closed: ends everything. Honours linger. Called once. */
    void (*release)(struct socket *s);
    /* The last socket_put: frees what priv still points to. May be NULL. The socket's own memory is
     * freed by socket.c. */
    void (*destroy)(struct socket *s);
};

#define ENOIOCTLCMD_K 515

enum socket_flag { /* SOL_SOCKET switches, bits of socket.flags */
                   SOCKF_REUSEADDR = 1 << 0,
                   SOCKF_REUSEPORT = 1 << 1,
                   SOCKF_KEEPALIVE = 1 << 2,
                   SOCKF_BROADCAST = 1 << 3,
                   SOCKF_PASSCRED = 1 << 4,
                   SOCKF_OOBINLINE = 1 << 5,
                   SOCKF_TIMESTAMP = 1 << 6,
                   SOCKF_TIMESTAMPNS = 1 << 7,
                   SOCKF_DONTROUTE = 1 << 8,
                   SOCKF_LINGER = 1 << 9,
                   SOCKF_LISTENING = 1 << 10 /* SO_ACCEPTCONN */
};

struct socket {
    struct ref ref; /* socket_get, socket_put */
    uint16_t family, type;
    int32_t protocol;
    const struct socket_ops *ops;
    struct file *file; /* not counted: the file owns the socket; NULL until accepted */
    struct mutex lock;
    struct wait_queue wait;  /* all that poll may wait for; keys are POLL* bits */
    uint32_t flags;          /* enum socket_flag; atomic */
    uint32_t shut;           /* bit 0: no more receiving, bit 1: no more sending; atomic */
    int32_t error;           /* SO_ERROR: positive errno, taken by socket_take_error; atomic */
    uint32_t sndbuf, rcvbuf; /* as SO_SNDBUF answers: doubled */
    uint32_t rcvlowat, linger_s, priority, mark;
    uint32_t bound_if;                 /* SO_BINDTODEVICE: interface index; 0: none */
    uint64_t sndtimeo_ns, rcvtimeo_ns; /* 0: for ever */
    struct {
        kpid_t pid;
        kuid_t uid;
        kgid_t gid;
    } peer_cred; /* SO_PEERCRED; AF_UNIX */
    void *priv;  /* the protocol's */
};

/* A family: makes the protocol's part of a fresh socket (type and protocol are set, flags taken
 * off). 0, -EPROTONOSUPPORT, -ESOCKTNOSUPPORT, -ENOMEM... */
struct socket_family {
    uint16_t family;
    int (*create)(struct socket *s);
};
extern const struct socket_family unix_family, inet_family, inet6_family, netlink_family;

/* A socket without a protocol, for families' accept: common fields initialised. NULL: no memory. */
struct socket *socket_alloc(int family, int type, int protocol);
/* The memory is kept for the holder until socket_put, which may sleep if the family's destroy does.
 */
void socket_get(struct socket *s);
void socket_put(struct socket *s);
/* The owner's end: ops->release (when ops is set) and socket_put. */
void socket_free(struct socket *s);
/* A file that owns s (freed on error too); flags: SOCK_NONBLOCK_K. err_ptr. */
struct file *socket_file(struct socket *s, int flags);
/* The socket of an open file, or NULL: not one. */
struct socket *file_socket(struct file *f);
/* For splice: reads what is there, else -EAGAIN; and waits until poll says there is something (0,
 * or as socket_wait). */
int64_t socket_read_now(struct file *f, struct uio *u);
int socket_wait_readable(struct file *f);
/* Takes SO_ERROR: 0 or negative errno. */
int socket_take_error(struct socket *s);
void socket_set_error(struct socket *s, int err); /* err > 0; wakes with POLLERR */

/* Waits on s->wait until cond. DEADLINE_NS: CLOCK_MONOTONIC, from socket_deadline(timeout_ns). 0,
 * -EAGAIN (the timeout passed, as Linux says it), -ERESTARTSYS or -EINTR. */
ktime_t socket_deadline(uint64_t timeout_ns);
int socket_wait_result(int wait_result, uint64_t timeout_ns);
#define SOCKET_WAIT(s, cond, timeout_ns, deadline, result)                                         \
    do {                                                                                           \
        WAIT_EVENT(&(s)->wait, (cond), WAIT_INTERRUPTIBLE, (deadline), (result));                  \
        (result) = socket_wait_result((result), (timeout_ns));                                     \
    } while (0)
/* -EPIPE, after SIGPIPE to the caller unless MSG_NOSIGNAL. */
int socket_broken_pipe(uint32_t msg_flags);

/* ---- net/socket_options.c, for net/socket_calls.c ---- */

int socket_set_option(struct socket *s, int name, const void *val, uint32_t len);
int socket_get_option(struct socket *s, int name, void *val, uint32_t *len);

/* For protocols: puts SO_TIMESTAMP, SO_TIMESTAMPNS control data of a message that came at
 * real_ns (time_real_ns), when the socket wants them. */
int socket_put_timestamp(struct socket *s, struct cmsg_out *out, uint64_t real_ns);

/* ---- net/socket_calls.c and net/socket_msg.c between them ---- */

/* The socket of an open file or NULL: err_ptr(-EBADF), (-ENOTSOCK). FD_SOCKET declares s, that of a
 * descriptor of current, as FD_FILE does. */
struct socket *socket_of_fd(struct file *f);
#define FD_SOCKET(s, fd)                                                                           \
    FD_FILE(s##_file, fd);                                                                         \
    struct socket *const s = socket_of_fd(s##_file)

int sock_addr_from_user(struct sock_addr *a, uaddr_t addr, int len);
int sock_addr_to_user(const struct sock_addr *a, uaddr_t addr, uaddr_t user_len);

#endif
