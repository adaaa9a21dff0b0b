/* SPDX-License-Identifier: Apache-2.0 */
/* As much of JSON (RFC 8259) as small flat objects take. */
#ifndef CELLA_HOST_JSON_H
#define CELLA_HOST_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes into a range of memory; `full` once something did not fit. */
struct json_writer {
    char *at, *end;
    bool full;
};
void json_put(struct json_writer *w, const char *text);
void json_put_number(struct json_writer *w, int64_t n);
/* A string with its quotes. Bytes that are no UTF-8 become U+FFFD. */
void json_put_string(struct json_writer *w, const char *text, size_t len);
/* How many bytes a string of len bytes takes at most. */
#define JSON_STRING_MAX(len) (6 * (len) + 2)

struct json_reader {
    const char *at, *end;
};
/* Each passes over blanks, takes what it names, and is false, having taken nothing, when that is
 * not there. */
bool json_get(struct json_reader *r, char mark);
bool json_get_number(struct json_reader *r, int64_t *n);
/* Of at most size - 1 bytes; with the escapes that json_put_string makes; no NUL. */
bool json_get_string(struct json_reader *r, char *text, size_t size);
bool json_at_end(struct json_reader *r);

#endif
