/* SPDX-License-Identifier: Apache-2.0 */
/* The wall around the launcher; see wall.h. */
#include "wall.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "cleanup.h"

/* ---- Landlock ---- */

/* Access rights by name; the header of an older system lacks the last ones. */
#define FS_EXECUTE (1ull << 0)
#define FS_WRITE_FILE (1ull << 1)
#define FS_READ_FILE (1ull << 2)
#define FS_READ_DIR (1ull << 3)
#define FS_REMOVE_DIR (1ull << 4)
#define FS_REMOVE_FILE (1ull << 5)
#define FS_MAKE_DIR (1ull << 7)
#define FS_MAKE_REG (1ull << 8)
#define FS_MAKE_SOCK (1ull << 9)
#define FS_MAKE_FIFO (1ull << 10)
#define FS_MAKE_SYM (1ull << 12)
#define FS_REFER (1ull << 13)
#define FS_TRUNCATE (1ull << 14)
#define NET_BIND_TCP (1ull << 0)
#define NET_CONNECT_TCP (1ull << 1)
#define FS_FILE_RIGHTS (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE)
#define FS_CHANGE                                                                                  \
    (FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG | FS_MAKE_SOCK |   \
     FS_MAKE_FIFO | FS_MAKE_SYM | FS_REFER | FS_TRUNCATE)

/* struct landlock_ruleset_attr as of ABI 6; an older kernel is given fewer bytes. */
struct ruleset {
    uint64_t fs, net, scoped;
};

int wall_landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1u);
    return abi < 0 ? 0 : (int)abi;
}

static int allow(int ruleset_fd, int fd, uint64_t rights)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = fd};
    return (int)syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

int wall_landlock(const struct grant_table *grants, const struct net_policy *net, int runtime_fd,
                  struct cella_error *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return cella_error_set(err, "the host refuses no_new_privs: %s", strerror(errno));
    int abi = wall_landlock_abi();
    if (abi == 0)
        return 0;
    /* All rights that this ABI knows: 13 in the first, then refer, truncate, device ioctl. */
    unsigned nr_fs = abi < 2 ? 13 : abi < 3 ? 14 : abi < 5 ? 15 : 16;
    struct ruleset ruleset = {.fs = (1ull << nr_fs) - 1,
                              .net = (net->mode == NET_HOST ? 0 : NET_BIND_TCP) |
                                     (net->mode == NET_NONE ? NET_CONNECT_TCP : 0),
                              .scoped = 1 /* abstract sockets */};
    size_t size = abi < 4 ? 8 : abi < 6 ? 16 : 24;
    cleanup_close int fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, size, 0);
    if (fd < 0)
        return cella_error_set(err, "the host refuses a Landlock ruleset: %s", strerror(errno));

    cleanup_close int proc_fd = open("/proc", O_PATH | O_CLOEXEC);
    int failed = allow(fd, runtime_fd, FS_EXECUTE | FS_READ_FILE);
    if (proc_fd >= 0)
        failed |= allow(fd, proc_fd, FS_READ_FILE | FS_READ_DIR);
    for (unsigned i = 0; i < grants->count; i++) {
        uint64_t rights = FS_READ_FILE | FS_READ_DIR | (grants->entry[i].writable ? FS_CHANGE : 0);
        if (grants->entry[i].is_file)
            rights &= FS_FILE_RIGHTS;
        failed |= allow(fd, grants->entry[i].fd, rights & ruleset.fs);
    }
    if (failed || syscall(SYS_landlock_restrict_self, fd, 0) < 0)
        return cella_error_set(err, "the host refuses a Landlock rule: %s", strerror(errno));
    return 0;
}

/* ---- capabilities ---- */

int wall_drop_capabilities(struct cella_error *err)
{
    /* The rights over files that a caller who is root has; for others there is nothing to keep.
     * SYS_PTRACE reads the keep's memory figures. */
    static const unsigned kept[] = {CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER,
                                    CAP_FSETID, CAP_KILL,         CAP_SYS_PTRACE};
    uint32_t mask = 0;
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        mask |= 1u << kept[i];

    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    if (syscall(SYS_capget, &header, data) < 0)
        return cella_error_set(err, "cannot read the launcher's capabilities: %s", strerror(errno));
    data[0].effective &= mask;
    data[0].permitted &= mask;
    data[0].inheritable = 0;
    data[1] = (struct __user_cap_data_struct){0};
    if (syscall(SYS_capset, &header, data) < 0)
        return cella_error_set(err, "cannot drop the launcher's capabilities: %s", strerror(errno));
    return 0;
}

/* ---- seccomp ---- */

/* What the server's threads call after the keep has started, and the C library on their behalf. */
static const int allowed_calls[] = {
    /* Files, by handle. */
    SYS_read,
    SYS_write,
    SYS_pread64,
    SYS_pwrite64,
    SYS_preadv2,
    SYS_close,
    SYS_lseek,
    SYS_openat,
    SYS_openat2,
    SYS_fstat,
    SYS_newfstatat,
    SYS_fstatfs,
    SYS_getdents64,
    SYS_readlinkat,
    SYS_mkdirat,
    SYS_mknodat,
    SYS_symlinkat,
    SYS_linkat,
    SYS_unlinkat,
    SYS_renameat2,
    SYS_truncate,
    SYS_fchownat,
    SYS_chmod,
    SYS_utimensat,
    SYS_fsync,
    SYS_fdatasync,
    SYS_getxattr,
    SYS_listxattr,
    /* Waiting and time. */
    SYS_futex,
    SYS_poll,
    SYS_ppoll,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_restart_syscall,
    SYS_sched_yield,
    /* Memory of the allocator. */
    SYS_brk,
    SYS_munmap,
    SYS_madvise,
    SYS_mremap,
    /* The keep's end, and ours. */
    SYS_wait4,
    SYS_waitid,
    SYS_pidfd_send_signal,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_exit,
    SYS_exit_group,
    SYS_getpid,
    SYS_gettid,
    SYS_rseq,
    SYS_set_robust_list,
};

/* Sockets: with published ports; with --net out as well; with --net host as well. */
static const int published_calls[] = {
    SYS_epoll_wait, SYS_epoll_ctl,  SYS_accept4,    SYS_listen,      SYS_shutdown,    SYS_recvfrom,
    SYS_sendto,     SYS_setsockopt, SYS_getsockopt, SYS_getsockname, SYS_getpeername,
};
static const int out_calls[] = {SYS_connect};
static const int host_calls[] = {SYS_bind};

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define LOAD_ARG(n)                                                                                \
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + 8 * (n))
#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, (action))
/* Skips the next statement unless the loaded word is `value`. */
#define IF_EQUAL(value) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), 0, 1)
#define IF_BIT_CLEAR(bits) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (uint32_t)(bits), 1, 0)
#define REFUSED (SECCOMP_RET_ERRNO | EPERM)

int wall_seccomp(pid_t keep, const struct net_policy *net, struct cella_error *err)
{
#define COUNT(calls) (sizeof(calls) / sizeof((calls)[0]))
    struct {
        const int *call;
        size_t count;
    } sets[] = {
        {allowed_calls, COUNT(allowed_calls)},
        {published_calls, net_policy_is_open(net) ? COUNT(published_calls) : 0},
        {out_calls, net->mode != NET_NONE ? COUNT(out_calls) : 0},
        {host_calls, net->mode == NET_HOST ? COUNT(host_calls) : 0},
    };
    struct sock_filter filter[2 * (COUNT(allowed_calls) + COUNT(published_calls) +
                                   COUNT(out_calls) + COUNT(host_calls)) +
                              64];
    unsigned n = 0;
#define EMIT(...) filter[n++] = (struct sock_filter)__VA_ARGS__

    EMIT(LOAD(arch));
    EMIT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
    EMIT(RETURN(SECCOMP_RET_KILL_PROCESS));
    EMIT(LOAD(nr));
    for (size_t set = 0; set < COUNT(sets); set++)
        for (size_t i = 0; i < sets[set].count; i++) {
            EMIT(IF_EQUAL(sets[set].call[i]));
            EMIT(RETURN(SECCOMP_RET_ALLOW));
        }
    if (net->mode != NET_NONE) {
        /* socket(): TCP and UDP, nothing else. */
        static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
        EMIT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 13));
        EMIT(LOAD_ARG(2));
        EMIT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0));
        EMIT(RETURN(REFUSED));
        EMIT(LOAD_ARG(0));
        EMIT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 2, 0));
        EMIT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 1, 0));
        EMIT(RETURN(REFUSED));
        EMIT(LOAD_ARG(1));
        for (size_t i = 0; i < COUNT(types); i++) {
            EMIT(IF_EQUAL(types[i] | SOCK_NONBLOCK | SOCK_CLOEXEC));
            EMIT(RETURN(SECCOMP_RET_ALLOW));
        }
        EMIT(RETURN(REFUSED));
    }
    /* New memory is data, never code. mmap and mprotect have the protection in the same place. */
    EMIT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 1, 0));
    EMIT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 3));
    EMIT(LOAD_ARG(2));
    EMIT(IF_BIT_CLEAR(PROT_EXEC));
    EMIT(RETURN(SECCOMP_RET_ALLOW));
    EMIT(LOAD(nr));
    /* Copies of descriptors; not F_SETOWN, which sends signals. */
    EMIT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 0, 4));
    EMIT(LOAD_ARG(1));
    EMIT(IF_EQUAL(F_DUPFD_CLOEXEC));
    EMIT(RETURN(SECCOMP_RET_ALLOW));
    EMIT(RETURN(REFUSED));
    /* The keep's process and, where it has no pid namespace, its group. */
    EMIT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_kill, 0, 5));
    EMIT(LOAD_ARG(0));
    EMIT(IF_EQUAL(keep));
    EMIT(RETURN(SECCOMP_RET_ALLOW));
    EMIT(IF_EQUAL(-keep));
    EMIT(RETURN(SECCOMP_RET_ALLOW));
    EMIT(RETURN(REFUSED));
#undef EMIT
#undef COUNT

    struct sock_fprog program = {.len = (unsigned short)n, .filter = filter};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0)
        return cella_error_set(
            err, "the host refuses a seccomp filter: %s; its kernel needs CONFIG_SECCOMP_FILTER",
            strerror(errno));
    return 0;
}
