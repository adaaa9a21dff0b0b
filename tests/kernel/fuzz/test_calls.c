/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls with random arguments, by the dispatcher's table. Results do not matter: nothing may
 * be touched that is not owned, no invariant may break, and no call may be stuck once it is
 * signalled.
 *
 * A second thread looks on: when the first makes no progress, it is sent a signal.
 */
#include "base/errno.h"
#include "base/printk.h"
#include "base/string.h"
#include "fs/vfs.h"
#include "ktest.h"
#include "mm/mm.h"
#include "net/socket.h"
#include "proc/signal_internal.h"
#include "proc/task.h"
#include "syscall/syscall.h"

#define ARENA_SIZE (16 * PAGE_SIZE)
#ifndef CALLS
#define CALLS 15000
#endif

int64_t sys_rt_sigaction(int sig, uaddr_t new_addr, uaddr_t old_addr, uint64_t set_size);
int64_t sys_wait4(int pid, uaddr_t status_addr, uint32_t options, uaddr_t usage_addr);
int64_t sys_open(uaddr_t name, int flags, uint32_t mode);
int64_t sys_pipe2(uaddr_t fds, int flags);
int64_t sys_socket(int family, int type, int protocol);
int64_t sys_socketpair(int family, int type, int protocol, uaddr_t user_fds);
int64_t sys_eventfd2(unsigned count, int flags);
int64_t sys_epoll_create1(int flags);
int64_t sys_memfd_create(uaddr_t user_name, unsigned flags);
int64_t sys_timerfd_create(int clock, int flags);
int64_t sys_close_range(uint32_t first, uint32_t last, uint32_t flags);

static uint64_t seed;
static uaddr_t arena;
static volatile uint32_t nr_calls;
static volatile bool over;
static const char *volatile calling;

static uint32_t next_random(void)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(seed >> 33);
}

/* Calls that end the thread, leave the test's ground (registers, FS base, limits, handlers), or
 * would only make it slow. */
static bool left_out(const char *name)
{
    static const char *const names[] = {"exit",
                                        "exit_group",
                                        "execve",
                                        "execveat",
                                        "clone",
                                        "clone3",
                                        "rt_sigreturn",
                                        "arch_prctl",
                                        "rt_sigaction",
                                        "setrlimit",
                                        "prlimit64",
                                        "mlockall",
                                        "restart_syscall",
                                        "chroot",
                                        "set_robust_list",
                                        "reboot",
                                        "umount2",
                                        "sched_setaffinity",
                                        "setuid",
                                        "setgid",
                                        "setreuid",
                                        "setregid",
                                        "setresuid",
                                        "setresgid",
                                        "setfsuid",
                                        "setfsgid",
                                        "setgroups",
                                        "capset",
                                        "umask"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* Does name contain part? */
static bool contains(const char *name, const char *part)
{
    size_t n = strlen(part);
    for (; *name; name++)
        if (strncmp(name, part, n) == 0)
            return true;
    return false;
}

static uint64_t some_number(void)
{
    static const uint64_t odd[] = {0,
                                   1,
                                   2,
                                   3,
                                   7,
                                   8,
                                   15,
                                   16,
                                   63,
                                   64,
                                   255,
                                   256,
                                   4095,
                                   4096,
                                   4097,
                                   8192,
                                   65536,
                                   1u << 20,
                                   INT32_MAX,
                                   1u << 31,
                                   UINT32_MAX,
                                   1ull << 32,
                                   INT64_MAX,
                                   (uint64_t)INT64_MIN,
                                   UINT64_MAX,
                                   UINT64_MAX - 1,
                                   (uint64_t)-100,
                                   USER_LIMIT,
                                   USER_LIMIT - 1};
    uint32_t r = next_random();
    switch (r % 8) {
    case 0: return odd[r / 8 % ARRAY_LEN(odd)];
    case 1: return r / 8 % 64 == 22 || r / 8 % 64 == 23 ? 0 : 1ull << (r / 8 % 64);
    case 2:
        return r >> 3 & 0x3fffff; /* below the test program's image: it could not be told from the
                                     kernel's own variables */
    case 3: return r >> 3 & r >> 9 & r >> 15 & ~0xc00000u; /* few bits: flags */
    default: return r / 8 % 40;
    }
}

static uint64_t some_pointer(void)
{
    uint32_t r = next_random();
    switch (r % 16) {
    case 0: return 0;
    case 1: return some_number();
    case 2: return arena + ARENA_SIZE - r / 16 % 64; /* runs into the hole behind it */
    case 3: return arena + r / 16 % ARENA_SIZE;
    default: return arena + (r / 16 % (ARENA_SIZE - 8192) & ~7ull);
    }
}

static const char *const paths[] = {"/fz/f",
                                    "/fz/d",
                                    "/fz/d/x",
                                    "/fz/l",
                                    "/fz/fifo",
                                    "/fz/none",
                                    "/fz/d/../f",
                                    "",
                                    "/",
                                    ".",
                                    "..",
                                    "f",
                                    "/fz/d/long-name-long-name-long-name-long-name"};

static uint64_t argument(char kind)
{
    switch (kind) {
    case 'd': return next_random() % 4 ? next_random() % 14 : some_number();
    case 's':
        return next_random() % 8 ? arena + ARENA_SIZE - 4096 + next_random() % ARRAY_LEN(paths) * 64
                                 : some_pointer();
    case 'x': return next_random() % 2 ? some_pointer() : some_number();
    default: return some_number();
    }
}

/* A random choice of bits of mask. */
static uint64_t some_of(uint64_t mask)
{
    return next_random() & next_random() & mask;
}

static uint64_t pages(uint32_t max)
{
    return next_random() % (max + 1) * PAGE_SIZE;
}

/* Calls whose arguments seldom fit together by chance get likely ones, most of the time. */
static void shape(const char *name, uint64_t a[6])
{
    static const uint16_t map_flags[] = {MAP_PRIVATE_K, MAP_SHARED_K,
                                         MAP_PRIVATE_K | MAP_ANONYMOUS_K,
                                         MAP_SHARED_K | MAP_ANONYMOUS_K};
    static const uint16_t fcntls[] = {0,  1,  2,  3,  4,    5,    6,    7,    8,    9,    10,
                                      11, 36, 37, 38, 1024, 1025, 1030, 1031, 1032, 1033, 1034};
    uint32_t r = next_random();
    if (contains(name, "close") && r % 4) {
        a[0] = a[1] = 10 + r / 8 % 20; /* leave something open */
        return;
    }
    if (r % 8 == 0)
        return;
    if (strcmp(name, "mmap") == 0) {
        a[0] = r % 2 ? 0 : arena + ARENA_SIZE + pages(40);
        a[1] = pages(20);
        a[2] = some_of(7);
        a[3] =
            map_flags[r / 8 % 4] | (r % 2 ? 0
                                          : some_of(MAP_FIXED_K | MAP_GROWSDOWN_K | MAP_LOCKED_K |
                                                    MAP_POPULATE_K | MAP_NORESERVE_K));
        a[5] = pages(4);
    } else if (contains(name, "munmap") || contains(name, "mprotect") ||
               strcmp(name, "madvise") == 0 || contains(name, "mlock") || contains(name, "msync") ||
               strcmp(name, "mremap") == 0 || strcmp(name, "mincore") == 0) {
        a[0] = arena + ARENA_SIZE + pages(40);
        a[1] = pages(10);
        if (strcmp(name, "mremap") == 0) {
            a[2] = pages(20);
            a[3] = some_of(7);
            a[4] = arena + ARENA_SIZE + pages(60);
        } else if (contains(name, "mprotect")) {
            a[2] = some_of(7);
        }
    } else if (strcmp(name, "open") == 0 || strcmp(name, "openat") == 0) {
        int f = strcmp(name, "openat") == 0;
        if (f)
            a[0] = (uint64_t)AT_FDCWD_K;
        a[f + 1] = some_of(O_ACCMODE_K | O_CREAT_K | O_EXCL_K | O_TRUNC_K | O_APPEND_K |
                           O_NONBLOCK_K | O_DIRECTORY_K | O_NOFOLLOW_K | O_CLOEXEC_K | O_PATH_K);
        a[f + 2] = r >> 8 & 0777;
    } else if (contains(name, "at") &&
               (contains(name, "mk") || contains(name, "un") || contains(name, "fch") ||
                contains(name, "sym") || contains(name, "read"))) {
        a[0] = (uint64_t)AT_FDCWD_K;
    } else if (contains(name, "rename") || strcmp(name, "linkat") == 0) {
        if (contains(name, "at"))
            a[0] = a[2] = (uint64_t)AT_FDCWD_K, a[4] = some_of(7);
    } else if (strcmp(name, "epoll_ctl") == 0) {
        a[0] = 5;
        a[1] = r / 8 % 3 + 1;
    } else if (strcmp(name, "fcntl") == 0) {
        a[1] = fcntls[r / 8 % ARRAY_LEN(fcntls)];
    } else if (strcmp(name, "futex") == 0) {
        a[0] = arena + r / 8 % 8 * 4;
        a[1] = r / 64 % 14 | (r & 1 ? 128 : 0);
        a[2] = r / 1024 % 3;
        a[4] = arena + r / 4096 % 8 * 4;
    } else if (contains(name, "mknod")) {
        static const uint32_t types[] = {S_IFREG_K, S_IFIFO_K, S_IFSOCK_K};
        a[1 + contains(name, "at")] = types[r / 8 % 3] | 0644;
    } else if (contains(name, "read") || contains(name, "write") || contains(name, "splice") ||
               contains(name, "sendfile") || contains(name, "copy_file")) {
        if (contains(name, "p"))
            a[3] = r >> 8 & 0xffff;
        if (contains(name, "splice") || contains(name, "copy_file")) {
            a[0] = r & 32 ? 2 : r & 64 ? 6 : 0;
            a[1] = r & 8 ? 0 : a[1];
            a[2] = r & 128 ? 3 : r & 256 ? 6 : 0;
            a[3] = r & 16 ? 0 : a[3];
            a[4] = r >> 12 & 0x3fff;
            a[5] = some_of(15);
        }
    } else if (contains(name, "xattr")) {
        a[1] = arena + ARENA_SIZE - 4096 + 2048;
    }
}

/* The arena holds numbers that are often right: small ones, descriptors, pointers into itself. */
static void fill_arena(void)
{
    static uint64_t words[512];
    char text[64];
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        words[i] = next_random() % 3 ? some_number() : some_pointer();
    size_t bad = copy_to_user_partial(arena + next_random() % 11 * 4096, words, sizeof(words));
    bad += copy_to_user_partial(arena + ARENA_SIZE - 4096 + 2048, "user.name", 10);
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        k_snprintf(text, sizeof(text), "%s", paths[i]);
        bad += copy_to_user_partial(arena + ARENA_SIZE - 4096 + i * 64, text, sizeof(text));
    }
    if (!bad)
        return;
    /* A call took it away. */
    int64_t r = mm_map(current->mm, NULL, arena, ARENA_SIZE, PROT_READ_K | PROT_WRITE_K,
                       MAP_PRIVATE_K | MAP_ANONYMOUS_K | MAP_FIXED_K, 0);
    if (r != (int64_t)arena) {
        mm_unmap(current->mm, arena - 4096, ARENA_SIZE + 8192);
        r = mm_map(current->mm, NULL, arena, ARENA_SIZE, PROT_READ_K | PROT_WRITE_K,
                   MAP_PRIVATE_K | MAP_ANONYMOUS_K | MAP_FIXED_K, 0);
    }
    if (r != (int64_t)arena)
        ktest_fail_eq(__FILE__, __LINE__, "arena", r, (int64_t)arena);
}

static void child(void)
{
    user_exit(0);
}

static void one_call(void)
{
    uint32_t nr = next_random() % NR_SYSCALLS;
    const struct syscall_entry *e = &syscall_table[nr];
    if (!e->fn || left_out(e->name))
        return;
    uint64_t a[6];
    size_t n = strlen(e->args);
    for (size_t i = 0; i < 6; i++)
        a[i] = i < n ? argument(e->args[i]) : next_random();
    shape(e->name, a);
    bool sends = contains(e->name, "kill") || contains(e->name, "sigqueue") ||
                 contains(e->name, "send_signal");
    for (size_t i = 0; sends && i < 3; i++)
        if ((int)a[i] == SIGKILL || (int)a[i] == SIGSTOP)
            a[i] = SIGUSR2;
    calling = e->name;
    nr_calls++;
    if (!contains(e->name, "fork")) {
        e->fn(a[0], a[1], a[2], a[3], a[4], a[5]);
        return;
    }
    if (current->mm->total_vm > 32768)
        return; /* no room for the child's stack */
    ktest_child_entry(child);
    uaddr_t stack = thread_regs(current)->rsp & PAGE_MASK;
    e->fn(a[0], a[1], a[2], a[3], a[4], a[5]);
    mm_unmap(current->mm, stack + PAGE_SIZE - 65536, 65536);
}

/* One of each kind at the low descriptors. */
static void open_files(void)
{
    uaddr_t names = arena + ARENA_SIZE - 4096;
    sys_close_range(0, UINT32_MAX, 0);
    fill_arena();
    sys_open(names, O_CREAT_K | O_RDWR_K | O_NONBLOCK_K, 0666);
    sys_open(names + 8 * 64, O_RDONLY_K | O_DIRECTORY_K, 0); /* "/" */
    sys_pipe2(arena, O_NONBLOCK_K);
    sys_eventfd2(3, O_NONBLOCK_K);
    sys_epoll_create1(0);
    sys_memfd_create(names, 2);
    sys_timerfd_create(1, O_NONBLOCK_K);
    sys_pipe2(arena, 0);
    for (int type = SOCK_STREAM_K; type <= SOCK_SEQPACKET_K; type++)
        sys_socketpair(AF_UNIX_K, type | SOCK_NONBLOCK_K, 0, arena);
    sys_socket(AF_UNIX_K, SOCK_STREAM_K | SOCK_NONBLOCK_K, 0);
}

static void caller(void *arg)
{
    struct k_siginfo info;
    (void)arg;
    for (int i = 0; i < CALLS && !ktest_failed(); i++) {
        if (i % 4 == 0)
            fill_arena();
        one_call();
        /* What the way out to the workload would do. */
        mm_do_revokes(current->mm);
        signal_restore_temporary_mask();
        while (signal_dequeue(~0ull, &info))
            ;
        if (i % 64 == 0) {
            while (sys_wait4(-1, 0, 1 /* WNOHANG */, 0) > 0)
                ;
            signal_set_blocked(0);
        }
        if (i % 512 == 0)
            open_files();
    }
    over = true;
}

static void handle_all_signals(void)
{
    struct k_sigaction a = {.handler = 0x1000};
    uaddr_t u = ktest_bytes(&a, sizeof(a));
    for (int sig = 1; sig <= NSIG_K; sig++)
        if (sig != SIGKILL && sig != SIGSTOP && sys_rt_sigaction(sig, u, 0, 8))
            ktest_fail(__FILE__, __LINE__, "sigaction");
}

static void run_with_seed(uint64_t first_seed)
{
    struct process *p = current->process;
    struct k_rlimit old[NR_RLIMITS];
    struct k_siginfo info = {.si_signo = SIGUSR1};
    memcpy(old, p->rlim, sizeof(old));
    p->rlim[RLIMIT_FSIZE_K] = (struct k_rlimit){1 << 20, 1 << 20};
    p->rlim[RLIMIT_AS_K] = (struct k_rlimit){256 << 20, 256 << 20};
    handle_all_signals();
    vfs_mkdir("/fz", 0777);
    vfs_symlink("d/x", "/fz/l");
    seed = first_seed * 0x9e3779b97f4a7c15ull;
    arena = ktest_map(ARENA_SIZE + 2 * 4096) + 4096;
    mm_unmap(current->mm, arena + ARENA_SIZE, 4096);
    over = false;
    struct thread *t = mock_start(caller, NULL);
    for (uint32_t last = nr_calls - 1, same = 0; !over; same = last == nr_calls ? same + 1 : 0) {
        last = nr_calls;
        mock_sleep(NSEC_PER_MSEC / 2);
        if (last == nr_calls && !over) {
            t->blocked = 0; /* one CPU: the other thread sleeps */
            signal_send_thread(t, &info);
        }
        if (same > 2000) {
            ktest_fail(__FILE__, __LINE__, calling);
            return;
        }
    }
    mock_join(t);
    memcpy(p->rlim, old, sizeof(old));
}

KTEST(random_calls_a)
{
    run_with_seed(1);
}
KTEST(random_calls_b)
{
    run_with_seed(2);
}
KTEST(random_calls_c)
{
    run_with_seed(3);
}
KTEST(random_calls_d)
{
    run_with_seed(4);
}
