/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mock HAL: the kernel core inside an ordinary test program, under sanitizers.
 *
 * One CPU on the test's own host thread; "threads" are threads of the kernel with stacks of their
 * own. Workload memory is memory of the test program at the addresses that the kernel asks for;
 * there is one address space. The host is a function that the test installs.
 *
 * Workload code can run as well: a function of the test program to which a thread returns as it
 * would to a program (tests/kernel/ktest.h).
 */
#ifndef CELLA_HAL_MOCK_H
#define CELLA_HAL_MOCK_H

#include <stdint.h>

struct thread;

/* Brings the kernel up to the point where threads can run; once. */
void mock_boot(void);
/* Runs fn(arg) as a thread of process 1 with descriptors, a root tmpfs and an address space of its
 * own, and lets everything run until it has returned. */
void mock_run(void (*fn)(void *arg), void *arg);
/* Gives back what ended address spaces have left mapped (there is one for all of them). After
 * mock_run, when no child lives. */
void mock_drop_user_memory(void);
/* What to do when all threads sleep and nothing can wake them; does not return. NULL: the program
 * aborts. */
extern void (*mock_stuck)(void);
/* Called when the keep ends itself (panic, process 1 gone); does not return. NULL: the program
 * aborts. */
extern void (*mock_ended)(int status);
/* Serves one request of the host ring; NULL: every request answers -ENOSYS. True: its completion is
 * published then; false: the test does that itself. */
extern int (*mock_host)(uint32_t slot);
/* Called now and then while no thread can run: the host may do something by itself. NULL: it does
 * not. */
extern void (*mock_host_idle)(void);

/* ---- for code that runs under mock_run ---- */

/* Starts another thread of process 1, which shares the caller's address space, descriptors and
 * directory. */
struct thread *mock_start(void (*fn)(void *arg), void *arg);
/* Waits for its end and gives the reference back. */
void mock_join(struct thread *t);
void mock_sleep(uint64_t ns);

#endif
