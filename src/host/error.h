/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The error object of host code: one message that a user can act on (what failed, on what, what to
 * do), carried up to whoever prints it. A function that fails fills it once and returns -1.
 */
#ifndef CELLA_HOST_ERROR_H
#define CELLA_HOST_ERROR_H

#define CELLA_EXIT_OWN_ERROR 125

struct cella_error {
    char message[1024]; /* one line, without the newline and without the command's name */
};

/* Formats the message; a second call replaces it. Always returns -1, so that it can stand in a
 * return statement. */
int cella_error_set(struct cella_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
