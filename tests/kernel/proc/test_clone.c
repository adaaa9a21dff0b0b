/* SPDX-License-Identifier: Apache-2.0 */
/* Children as processes and threads, from clone to wait. */
#include "base/errno.h"
#include "base/usercopy.h"
#include "ktest.h"
#include "proc/pid.h"
#include "proc/task.h"

int64_t sys_vfork(void);
int64_t sys_fork(void);
int64_t sys_clone(uint64_t flags, uaddr_t stack, uaddr_t parent_tid, uaddr_t child_tid,
                  uint64_t tls);
int64_t sys_wait4(int pid, uaddr_t status_addr, uint32_t options, uaddr_t usage_addr);
int64_t sys_waitid(int type, int id, uaddr_t info_addr, uint32_t options, uaddr_t usage_addr);
int64_t sys_futex(uaddr_t addr, int op, uint32_t val, uint64_t timeout_or_val2, uaddr_t addr2,
                  uint32_t val3);
int64_t sys_kill(int pid, int sig);

enum { NR_nanosleep = 35, NR_getpid = 39, NR_exit = 60, NR_getppid = 110, NR_gettid = 186 };
enum {
    C_VM = 0x100,
    C_FS = 0x200,
    C_FILES = 0x400,
    C_SIGHAND = 0x800,
    C_PARENT = 0x8000,
    C_THREAD = 0x10000,
    C_PARENT_SETTID = 0x100000,
    C_CHILD_CLEARTID = 0x200000,
    C_CHILD_SETTID = 0x1000000
};
#define THREAD_FLAGS (C_VM | C_FS | C_FILES | C_SIGHAND | C_THREAD)
#define WNOHANG_K 1

static volatile int64_t seen[4];

static int64_t user_nr(uint64_t nr)
{
    return user_call(nr, 0, 0, 0, 0, 0, 0);
}

static void exits_42(void)
{
    seen[0] = user_nr(NR_getpid);
    seen[1] = user_nr(NR_getppid);
    seen[2] = user_nr(NR_gettid);
    user_exit(42);
}

KTEST(vfork_waits_for_the_child_and_wait_takes_its_status)
{
    uaddr_t u = ktest_map(4);
    int32_t status;
    ktest_child_entry(exits_42);
    int64_t pid = sys_vfork();
    KCHECK(pid > 1);
    KCHECK(seen[0] == pid && seen[1] == 1 && seen[2] == pid);
    struct process *p = process_find((kpid_t)pid);
    KCHECK(p && p->zombie);
    process_put(p);
    KCHECK_EQ(sys_wait4(-1, u, 0, 0), pid);
    KCHECK_EQ(get_user(status, u), 0);
    KCHECK_EQ(status, 42 << 8);
    KCHECK(process_find((kpid_t)pid) == NULL);
    KCHECK_EQ(sys_wait4(-1, u, 0, 0), -ECHILD);
}

KTEST(wait_without_children_or_with_bad_arguments_fails)
{
    KCHECK_EQ(sys_wait4(-1, 0, WNOHANG_K, 0), -ECHILD);
    KCHECK_EQ(sys_wait4(12345, 0, 0, 0), -ECHILD);
    KCHECK_EQ(sys_wait4(-1, 0, 0x1000, 0), -EINVAL);
    KCHECK_EQ(sys_waitid(0, 0, 0, 0, 0), -EINVAL);
    KCHECK_EQ(sys_waitid(9, 0, 0, 4, 0), -EINVAL);
    KCHECK_EQ(sys_waitid(0, 0, 0, 4, 0), -ECHILD);
}

KTEST(fork_without_memory_for_a_copy_fails_cleanly)
{
    uint32_t threads = pid_nr_threads();
    ktest_child_entry(exits_42);
    for (int i = 0; i < 50; i++)
        KCHECK_EQ(sys_fork(), -ENOMEM); /* the mock HAL has one address space */
    KCHECK_EQ(pid_nr_threads(), threads);
    KCHECK_EQ(sys_wait4(-1, 0, 0, 0), -ECHILD);
}

KTEST(clone_refuses_combinations_that_make_no_sense)
{
    KCHECK_EQ(sys_clone(C_THREAD, 0, 0, 0, 0), -EINVAL);
    KCHECK_EQ(sys_clone(C_THREAD | C_SIGHAND, 0, 0, 0, 0), -EINVAL);
    KCHECK_EQ(sys_clone(C_SIGHAND, 0, 0, 0, 0), -EINVAL);
}

static void thread_exits(void)
{
    seen[0] = user_nr(NR_getpid);
    seen[1] = user_nr(NR_gettid);
    user_call(NR_exit, 7, 0, 0, 0, 0, 0);
}

KTEST(clone_thread_sets_and_clears_its_tid_words)
{
    uaddr_t words = ktest_map(16);
    int32_t parent_word = 0, child_word = 0;
    int nr = current->process->nr_threads;
    ktest_child_entry(thread_exits);
    int64_t tid = sys_clone(THREAD_FLAGS | C_PARENT_SETTID | C_CHILD_SETTID | C_CHILD_CLEARTID, 0,
                            words, words + 4, 0);
    KCHECK(tid > 1);
    KCHECK_EQ(get_user(parent_word, words), 0);
    KCHECK_EQ(parent_word, tid);
    /* As pthread_join: until the word is cleared. */
    for (;;) {
        KCHECK_EQ(get_user(child_word, words + 4), 0);
        if (child_word == 0 && seen[1] == tid)
            break;
        int64_t r = sys_futex(words + 4, 0, (uint32_t)child_word, 0, 0, 0);
        KCHECK(r == 0 || r == -EAGAIN);
    }
    KCHECK(seen[0] == 1 && seen[1] == tid);
    mock_sleep(NSEC_PER_MSEC);
    KCHECK_EQ(current->process->nr_threads, nr);
    KCHECK(thread_find((kpid_t)tid) == NULL);
    KCHECK_EQ(sys_wait4(-1, 0, 0, 0), -ECHILD); /* threads are not children */
}

static void grandchild_exits(void)
{
    int64_t ts[2] = {0, 2000000};
    user_call(NR_nanosleep, (uint64_t)ts, 0, 0, 0, 0, 0);
    seen[3] = user_nr(NR_getppid);
    user_exit(5);
}

/* clone() returns twice; the child has another stack and must not return into the parent's frames.
 */
void user_clone_entry(void);
__asm__(".text\n"
        ".globl user_clone_entry\n"
        "user_clone_entry:\n\t"
        "movl $56, %eax\n\t"
        "movl $0x111, %edi\n\t" /* CLONE_VM | SIGCHLD */
        "movq grandchild_stack_top(%rip), %rsi\n\t"
        "xorl %edx, %edx\n\t"
        "xorl %r10d, %r10d\n\t"
        "xorl %r8d, %r8d\n\t"
        "leaq 1f(%rip), %rcx\n\t"
        "jmp arch_syscall_entry\n"
        "1: testq %rax, %rax\n\t"
        "jz 2f\n\t"
        "call parent_goes_on\n"
        "2: call child_goes_on\n\t"
        "ud2\n");

uint64_t grandchild_stack_top;
void parent_goes_on(void);
void child_goes_on(void);

void parent_goes_on(void)
{
    user_exit(0);
}

void child_goes_on(void)
{
    grandchild_exits();
}

KTEST(orphans_become_children_of_process_1)
{
    uaddr_t u = ktest_map(4);
    int32_t status;
    seen[3] = 0;
    grandchild_stack_top = ktest_map(65536) + 65536 - 64;
    ktest_child_entry(user_clone_entry);
    int64_t pid = sys_clone(C_VM | SIGCHLD, 0, 0, 0, 0);
    KCHECK(pid > 1);
    KCHECK_EQ(sys_wait4((int)pid, u, 0, 0), pid);
    KCHECK_EQ(get_user(status, u), 0);
    KCHECK_EQ(status, 0);
    int64_t orphan = sys_wait4(-1, u, 0, 0);
    KCHECK(orphan > pid);
    KCHECK_EQ(get_user(status, u), 0);
    KCHECK_EQ(status, 5 << 8);
    KCHECK_EQ(seen[3], 1);
}

KTEST(many_children_come_and_go_without_growing)
{
    uint32_t threads = pid_nr_threads();
    for (int round = 0; round < 20; round++) {
        int64_t pid[8];
        for (int i = 0; i < 8; i++) {
            ktest_child_entry(exits_42);
            pid[i] = sys_clone(C_VM | SIGCHLD, 0, 0, 0, 0);
            KCHECK(pid[i] > 1);
        }
        for (int i = 7; i >= 0; i--)
            KCHECK_EQ(sys_wait4((int)pid[i], 0, 0, 0), pid[i]);
    }
    KCHECK_EQ(pid_nr_threads(), threads);
    KCHECK(list_empty(&current->process->children));
}
