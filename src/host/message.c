/* SPDX-License-Identifier: Apache-2.0 */
/* Cella's own lines; see message.h. */
#include "message.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void (*redirect)(void *arg, const char *text);
static void *redirect_arg;

bool message_wanted(enum message_level level)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    enum message_level wanted = MESSAGE_INFO;
    const char *given = getenv("CELLA_LOG");
    for (unsigned i = 0; given && i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(given, names[i]) == 0)
            wanted = i;
    return level <= wanted;
}

void message(enum message_level level, const char *format, ...)
{
    char text[640];
    va_list args;
    if (!message_wanted(level))
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (redirect)
        redirect(redirect_arg, text);
    else
        fprintf(stderr, "cella: %s\n", text);
}

void message_redirect(void (*sink)(void *arg, const char *text), void *arg)
{
    redirect_arg = arg;
    redirect = sink;
}
