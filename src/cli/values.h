/* SPDX-License-Identifier: Apache-2.0 */
/* Values of options, as several verbs have them. */
#ifndef CELLA_CLI_VALUES_H
#define CELLA_CLI_VALUES_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

/* A decimal number up to max; *rest is what follows it. False for anything else, signs and blanks
 * too. */
bool parse_number(const char *text, uint64_t max, uint64_t *value, const char **rest);
/* Bytes, with suffix K, M, G or T, up to 2^50. */
bool parse_size(const char *text, uint64_t *bytes);
/* UID or UID:GID. */
int parse_user(const char *text, uint32_t *uid, uint32_t *gid, bool *has_gid,
               struct cella_error *err);
/* NAME=VALUE? */
int check_env(const char *text, struct cella_error *err);

/* What getopt_long did not like: `c` is '?' or ':'. Values of long options without a letter are 256
 * and up: getopt leaves a short option's letter, or a long one's value, in optopt. */
int usage_error(struct cella_error *err, const char *verb, char *const *argv, int c);

#endif
