/* SPDX-License-Identifier: Apache-2.0 */
/* The error object of host code; see error.h. */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>

int cella_error_set(struct cella_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
    /* File names are bytes and may hold anything; a message is one line of plain text. */
    for (char *c = err->message; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    return -1;
}
