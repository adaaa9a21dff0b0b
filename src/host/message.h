/* SPDX-License-Identifier: Apache-2.0 */
/* Cella's own lines on standard error. CELLA_LOG=error|warn|info|debug says from which weight on
 * they are printed; info where it says nothing. */
#ifndef CELLA_HOST_MESSAGE_H
#define CELLA_HOST_MESSAGE_H

#include <stdbool.h>

enum message_level { MESSAGE_ERROR, MESSAGE_WARN, MESSAGE_INFO, MESSAGE_DEBUG };

/* Is this weight printed? */
bool message_wanted(enum message_level level);
/* Prints "cella: ", the text and a newline in one write. */
void message(enum message_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* From now on each line, without "cella: " and newline, goes to `sink` instead. */
void message_redirect(void (*sink)(void *arg, const char *text), void *arg);

#endif
