/* SPDX-License-Identifier: Apache-2.0 */
/* Values of options; see values.h. */
#include "values.h"

#include <ctype.h>
#include <getopt.h>
#include <string.h>

bool parse_number(const char *text, uint64_t max, uint64_t *value, const char **rest)
{
    uint64_t n = 0;
    const char *p = text;
    for (; isdigit((unsigned char)*p); p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (n > (max - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    *value = n;
    *rest = p;
    return p > text;
}

bool parse_size(const char *text, uint64_t *bytes)
{
    const uint64_t max = 1ull << 50;
    static const char suffixes[] = "KMGT";
    const char *rest;
    if (!parse_number(text, max, bytes, &rest))
        return false;
    if (!*rest)
        return true;
    const char *suffix = strchr(suffixes, toupper((unsigned char)*rest));
    unsigned shift = suffix ? 10 * (unsigned)(suffix - suffixes + 1) : 0;
    if (!suffix || rest[1] || *bytes > max >> shift)
        return false;
    *bytes <<= shift;
    return true;
}

int parse_user(const char *text, uint32_t *uid, uint32_t *gid, bool *has_gid,
               struct cella_error *err)
{
    /* The highest number means "no user" in Linux. */
    const uint64_t max = UINT32_MAX - 1;
    uint64_t u, g = 0;
    const char *rest;
    bool good = parse_number(text, max, &u, &rest);
    *has_gid = good && *rest == ':';
    if (*has_gid)
        good = parse_number(rest + 1, max, &g, &rest);
    if (!good || *rest)
        return cella_error_set(
            err, "--user: '%s' is not UID or UID:GID; give numbers, e.g. --user 1000:1000", text);
    *uid = (uint32_t)u;
    *gid = (uint32_t)g;
    return 0;
}

int check_env(const char *text, struct cella_error *err)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return cella_error_set(err, "-e: '%s' is not NAME=VALUE; give e.g. -e LANG=de_DE.UTF-8",
                               text);
    return 0;
}

/* What getopt did not like: `c` is '?' or ':'. It leaves a short option's letter, or a long one's
 * value, in optopt. */
int usage_error(struct cella_error *err, const char *verb, char *const *argv, int c)
{
    const char *given = argv[optind - 1];
    char letter[] = {'-', (char)optopt, '\0'};
    if (optopt > 0 && optopt < 256)
        given = letter;
    if (c == ':')
        return cella_error_set(err, "%s: needs a value; 'cella help %s' lists the options", given,
                               verb);
    if (optopt >= 256)
        return cella_error_set(err, "%s: takes no value; 'cella help %s' lists the options", given,
                               verb);
    return cella_error_set(
        err, "%s: is not an option; 'cella help %s' lists them, and '--' ends them", given, verb);
}
