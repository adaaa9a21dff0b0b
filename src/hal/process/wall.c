/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wall: what host processes of the keep may ask of the host's kernel, whoever asks.
 *
 * The workload can write every byte of the runtime and jump to the gate with any registers. So the
 * list below is all there is, and no call on it may, with any argument, open a path, make a socket,
 * execute, trace, signal or map anything outside the keep. docs/host-calls.md is generated from it.
 * A call from any other address, or one that is not on the list, traps into our kernel (SIGSYS):
 * the kernel's answer is the workload's.
 */
#include "base/printk.h"
#include "host_linux.h"
#include "process.h"
#include "wall.h"

struct bpf_insn {
    uint16_t code;
    uint8_t jt, jf;
    uint32_t k;
};
struct bpf_prog {
    uint16_t len;
    struct bpf_insn *insn;
};

enum { BPF_LD_ABS = 0x20, BPF_JEQ = 0x15, BPF_JA = 0x05, BPF_RET = 0x06, BPF_JSET = 0x45 };
enum { OFF_NR = 0, OFF_ARCH = 4, OFF_IP_LO = 8, OFF_IP_HI = 12, OFF_ARG0 = 16 };
#define RET_ALLOW 0x7fff0000u
#define RET_TRAP 0x00030000u
#define RET_ERRNO_EPERM 0x00050001u

const struct wall_rule wall_rules[] = {
    {HOST_futex,
     "futex",
     WALL_ANY,
     0,
     {0},
     0,
     "carriers and idle CPUs sleep and wake on words of shared memory"},
    {HOST_rt_sigreturn,
     "rt_sigreturn",
     WALL_ANY,
     0,
     {0},
     0,
     "return from a tick that met kernel code"},
    {HOST_mmap,
     "mmap",
     WALL_MMAP,
     0,
     {0},
     0,
     "workload memory: anonymous, or pages of the kernel's own memfd"},
    {HOST_munmap, "munmap", WALL_ANY, 0, {0}, 0, "workload memory"},
    {HOST_mprotect, "mprotect", WALL_ANY, 0, {0}, 0, "workload memory"},
    {HOST_mremap, "mremap", WALL_ANY, 0, {0}, 0, "workload memory"},
    {HOST_madvise,
     "madvise",
     WALL_ARG_IN,
     2,
     {H_MADV_DONTNEED, H_MADV_FREE, H_MADV_REMOVE},
     3,
     "giving pages back"},
    {HOST_mincore, "mincore", WALL_ANY, 0, {0}, 0, "resident set sizes"},
    {HOST_clone,
     "clone",
     WALL_ARG_IN,
     0,
     {CLONE_FLAGS_PROCESS, CLONE_FLAGS_CARRIER},
     2,
     "host processes for address spaces, host threads for CPUs; these flags only"},
    {HOST_sched_setaffinity,
     "sched_setaffinity",
     WALL_ARG_IN,
     0,
     {0},
     1,
     "a new carrier goes to its CPU; the calling thread only"},
    {HOST_sched_yield, "sched_yield", WALL_ANY, 0, {0}, 0, "a contended lock"},
    {HOST_sigaltstack, "sigaltstack", WALL_ANY, 0, {0}, 0, "signal stack of a new carrier"},
    {HOST_timer_create,
     "timer_create",
     WALL_ARG_IN,
     0,
     {H_CLOCK_THREAD_CPUTIME_ID},
     1,
     "the tick of a carrier; a signal to its own process only"},
    {HOST_timer_settime, "timer_settime", WALL_ANY, 0, {0}, 0, "the tick of a carrier"},
    {HOST_tgkill,
     "tgkill",
     WALL_TGKILL,
     2,
     {H_SIGKICK, 0},
     2,
     "kick another CPU; only where the keep has a pid namespace of its own"},
    {HOST_exit, "exit", WALL_ANY, 0, {0}, 0, "end of a host thread"},
    {HOST_exit_group, "exit_group", WALL_ANY, 0, {0}, 0, "end of a host process"},
};
const unsigned nr_wall_rules = ARRAY_LEN(wall_rules);

static struct bpf_insn prog[256];
static unsigned prog_len;

static void emit(uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
    prog[prog_len++] = (struct bpf_insn){code, jt, jf, k};
}

static void emit_rule(const struct wall_rule *r)
{
    /* Bodies end in a return on every path, so their length is all that the jump over them needs.
     */
    unsigned n = r->nr_values, body = r->kind == WALL_ANY ? 1 : r->kind == WALL_MMAP ? 6 : n + 5;
    emit(BPF_JEQ, 0, (uint8_t)body, (uint32_t)r->nr);
    switch (r->kind) {
    case WALL_ANY: emit(BPF_RET, 0, 0, RET_ALLOW); break;
    case WALL_MMAP:
        emit(BPF_LD_ABS, 0, 0, OFF_ARG0 + 3 * 8);
        emit(BPF_JSET, 2, 0, H_MAP_ANONYMOUS);
        emit(BPF_LD_ABS, 0, 0, OFF_ARG0 + 4 * 8);
        emit(BPF_JEQ, 0, 1, KMEM_FD);
        emit(BPF_RET, 0, 0, RET_ALLOW);
        emit(BPF_RET, 0, 0, RET_ERRNO_EPERM);
        break;
    case WALL_ARG_IN:
    case WALL_TGKILL:
        emit(BPF_LD_ABS, 0, 0, OFF_ARG0 + r->arg * 8u + 4);
        emit(BPF_JEQ, 0, (uint8_t)(n + 1), 0);
        emit(BPF_LD_ABS, 0, 0, OFF_ARG0 + r->arg * 8u);
        for (unsigned i = 0; i < n; i++)
            emit(BPF_JEQ, (uint8_t)(n - i), 0, (uint32_t)r->values[i]);
        emit(BPF_RET, 0, 0, RET_ERRNO_EPERM);
        emit(BPF_RET, 0, 0, RET_ALLOW);
        break;
    }
}

static void build_filter(void)
{
    uint64_t ip = (uint64_t)gate_syscall_end;
    emit(BPF_LD_ABS, 0, 0, OFF_ARCH);
    emit(BPF_JEQ, 1, 0, 0xc000003e);
    emit(BPF_RET, 0, 0, RET_TRAP);
    emit(BPF_LD_ABS, 0, 0, OFF_IP_LO);
    emit(BPF_JEQ, 1, 0, (uint32_t)ip);
    emit(BPF_RET, 0, 0, RET_TRAP);
    emit(BPF_LD_ABS, 0, 0, OFF_IP_HI);
    emit(BPF_JEQ, 1, 0, (uint32_t)(ip >> 32));
    emit(BPF_RET, 0, 0, RET_TRAP);
    emit(BPF_LD_ABS, 0, 0, OFF_NR);
    for (unsigned i = 0; i < nr_wall_rules; i++)
        if (wall_rules[i].kind != WALL_TGKILL || hal_can_signal)
            emit_rule(&wall_rules[i]);
    emit(BPF_RET, 0, 0, RET_ERRNO_EPERM);
}

void wall_raise(void)
{
    enum { PR_SET_NO_NEW_PRIVS_ = 38, PR_SET_DUMPABLE_ = 4, SECCOMP_SET_MODE_FILTER_ = 1 };
    if (HOST6(HOST_prctl, PR_SET_NO_NEW_PRIVS_, 1, 0, 0, 0, 0) < 0)
        panic("the host refuses no_new_privs");
    HOST6(HOST_prctl, PR_SET_DUMPABLE_, 0, 0, 0, 0, 0);
    /* Landlock: every right handled, none granted. Best effort: hosts without it still have the
     * filter. */
    struct {
        uint64_t fs, net, scoped;
    } rules = {0, 0, 0};
    long abi = HOST3(HOST_landlock_create_ruleset, NULL, 0, 1);
    if (abi > 0) {
        static const uint8_t fs_bits[] = {13, 13, 14, 15, 15, 16};
        unsigned i = abi > 5 ? 5 : (unsigned)abi;
        rules.fs = (1ull << fs_bits[i]) - 1;
        rules.net = abi >= 4 ? 3 : 0;
        rules.scoped = abi >= 6 ? 3 : 0;
        long fd = HOST3(HOST_landlock_create_ruleset, &rules, abi >= 6 ? 24 : abi >= 4 ? 16 : 8, 0);
        if (fd >= 0) {
            HOST2(HOST_landlock_restrict_self, fd, 0);
            HOST1(3 /* close */, fd);
        }
    }
    build_filter();
    struct bpf_prog p = {(uint16_t)prog_len, prog};
    if (HOST3(HOST_seccomp, SECCOMP_SET_MODE_FILTER_, 0, &p) < 0)
        panic("the host refuses the seccomp filter; the process keep needs CONFIG_SECCOMP_FILTER");
}
