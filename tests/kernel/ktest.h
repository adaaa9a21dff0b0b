/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of the kernel core on the mock HAL.
 *
 *     KTEST(what_must_hold) { ... KCHECK(cond); }
 *
 * A test runs as a thread of process 1 with descriptors and an address space of its own and the
 * tmpfs at "/" that all tests of the program share. It may start threads (mock_start), call sys_*
 * functions with addresses that ktest_map gave, and run workload code (ktest_enter_user). Tests
 * include kernel headers only: libc's know the same names.
 */
#ifndef CELLA_TESTS_KERNEL_KTEST_H
#define CELLA_TESTS_KERNEL_KTEST_H

#include <stdint.h>

#include "mock.h"

void ktest_register(const char *name, void (*fn)(void));
/* Notes the first failure of the running test. */
void ktest_fail(const char *file, int line, const char *cond);
void ktest_fail_eq(const char *file, int line, const char *expr, int64_t got, int64_t want);
/* Has the running test failed? */
int ktest_failed(void);

#define KTEST(name)                                                                                \
    static void name(void);                                                                        \
    __attribute__((constructor)) static void register_##name(void)                                 \
    {                                                                                              \
        ktest_register(#name, name);                                                               \
    }                                                                                              \
    static void name(void)

/* Ends the function that it stands in when cond does not hold. */
#define KCHECK(cond)                                                                               \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            ktest_fail(__FILE__, __LINE__, #cond);                                                 \
            return;                                                                                \
        }                                                                                          \
    } while (0)
#define KCHECK_EQ(expr, want)                                                                      \
    do {                                                                                           \
        int64_t _got = (int64_t)(expr), _want = (int64_t)(want);                                   \
        if (_got != _want) {                                                                       \
            ktest_fail_eq(__FILE__, __LINE__, #expr, _got, _want);                                 \
            return;                                                                                \
        }                                                                                          \
    } while (0)

/* ---- memory of the workload (ktest_user.c) ---- */

/* len bytes of fresh anonymous memory, readable and writable. */
uint64_t ktest_map(uint64_t len);
/* A copy of the string in workload memory. */
uint64_t ktest_string(const char *s);
/* A copy of len bytes in workload memory. */
uint64_t ktest_bytes(const void *p, uint64_t len);

/* ---- workload code (ktest_user.c) ---- */

/* Prepares the calling thread's registers so that a child made by sys_clone or sys_vfork starts as
 * fn on a stack of its own. fn runs as the workload: it asks the kernel by user_call only and ends
 * by user_exit. */
void ktest_child_entry(void (*fn)(void));
/* A system call by workload code, as from a patched call site. */
int64_t user_call(uint64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                  uint64_t f);
void user_exit(int status); /* exit_group; does not return (not told to the compiler: the sanitizer
                               would take this stack for another) */
/* Where a signal handler returns to (sa_restorer). */
void user_sigreturn(void);

#endif
