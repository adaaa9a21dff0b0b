/* SPDX-License-Identifier: Apache-2.0 */
#include "terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static struct termios before;
static atomic_bool is_raw;

void terminal_restore(void)
{
    int error = errno;
    if (atomic_exchange(&is_raw, false))
        tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
    errno = error;
}

/* A fault of the launcher itself: the instruction is executed again, with the default action. */
static void on_fault(int sig)
{
    (void)sig;
    terminal_restore();
}

int terminal_make_raw(struct cella_error *err)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS};
    if (tcgetattr(STDIN_FILENO, &before) < 0)
        return cella_error_set(err, "-t: standard input is not a terminal; start cella from one, "
                                    "or leave -t out");
    struct termios raw = before;
    cfmakeraw(&raw);
    int r;
    do
        r = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return cella_error_set(err, "-t: cannot make the terminal raw: %s", strerror(errno));
    is_raw = true;
    /* Putting it back must not stop a launcher that has lost the foreground. */
    signal(SIGTTOU, SIG_IGN);
    atexit(terminal_restore);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        sigaction(faults[i], &(struct sigaction){.sa_handler = on_fault, .sa_flags = SA_RESETHAND},
                  NULL);
    return 0;
}
