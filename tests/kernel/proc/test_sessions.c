/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that a host may send instead of a session. */
#include "proc/sessions.h"

#include "base/errno.h"
#include "base/string.h"
#include "cella/host_abi.h"
#include "ktest.h"

#define NOBODY                                                                                     \
    {                                                                                              \
        .flags = 0, .nr_args = 1, .nr_env = 1, .uid = UINT32_MAX, .gid = UINT32_MAX                \
    }

/* The answer to a message of that header and those strings, of which the header says the truth in
 * size unless `size` is given. The message ends where its memory does. */
static int take(struct cella_session_header h, const char *strings, uint32_t len, uint32_t size)
{
    uint32_t whole = (uint32_t)sizeof(h) + len;
    char message[whole];
    h.size = size ? size : whole;
    memcpy(message, &h, sizeof(h));
    memcpy(message + sizeof(h), strings, len);
    return session_take_message(1, message, whole);
}

/* workdir, one argument, one variable */
static const char good[] = "/\0/bin/true\0A=b";

KTEST(session_message_of_a_wrong_size_or_number)
{
    struct cella_session_header h = NOBODY;
    char message[sizeof(h)];
    h.size = sizeof(h);
    memcpy(message, &h, sizeof(h));
    static const int64_t numbers[] = {0, -1, INT32_MAX + 1ll, INT64_MIN, INT64_MAX};
    for (uint32_t i = 0; i < 5; i++)
        KCHECK_EQ(session_take_message(numbers[i], message, sizeof(h)), -EINVAL);
    for (uint32_t len = 0; len < sizeof(h); len++) {
        char part[len ? len : 1];
        memcpy(part, message, len);
        KCHECK_EQ(session_take_message(1, part, len), -EINVAL);
    }
    KCHECK_EQ(session_take_message(1, message, sizeof(h)), -EINVAL); /* no strings */
    static const uint32_t sizes[] = {1, sizeof(h), sizeof(h) + sizeof(good) - 1,
                                     sizeof(h) + sizeof(good) + 1, UINT32_MAX};
    for (uint32_t i = 0; i < 5; i++)
        KCHECK_EQ(take(h, good, sizeof(good), sizes[i]), -EINVAL);
}

KTEST(session_message_whose_strings_are_not_what_it_says)
{
    static const uint32_t counts[] = {0,        2,         3,         1u << 17, (1u << 17) + 1,
                                      1u << 30, INT32_MAX, UINT32_MAX};
    for (uint32_t i = 0; i < ARRAY_LEN(counts); i++) {
        struct cella_session_header h = NOBODY;
        h.nr_args = counts[i];
        KCHECK_EQ(take(h, good, sizeof(good), 0), -EINVAL);
        h.nr_args = 1;
        h.nr_env = counts[i];
        KCHECK_EQ(take(h, good, sizeof(good), 0), -EINVAL);
        h.nr_args = UINT32_MAX - counts[i]; /* a sum that comes out right */
        h.nr_env = counts[i] + 3;
        KCHECK_EQ(take(h, good, sizeof(good), 0), -EINVAL);
    }
    struct cella_session_header h = NOBODY;
    KCHECK_EQ(take(h, good, sizeof(good) - 1, 0), -EINVAL); /* the last has no end */
    KCHECK_EQ(take(h, "/\0/bin/true", 12, 0), -EINVAL);
    KCHECK_EQ(take(h, "", 1, 0), -EINVAL);
}

KTEST(session_message_of_impossible_fields)
{
    struct cella_session_header h = NOBODY;
    static const uint32_t flags[] = {4, 1u << 31, UINT32_MAX,
                                     CELLA_SESSION_TERMINAL | CELLA_SESSION_SIGNAL};
    for (uint32_t i = 0; i < ARRAY_LEN(flags); i++) {
        h.flags = flags[i];
        KCHECK_EQ(take(h, good, sizeof(good), 0), -EINVAL);
    }
    h.flags = 0;
    h.signal = 9;
    KCHECK_EQ(take(h, good, sizeof(good), 0), -EINVAL);
    h.signal = 0;
    h.pad = 1;
    KCHECK_EQ(take(h, good, sizeof(good), 0), -EINVAL);
    h.pad = 0;
    h.uid = 0; /* a user without a group */
    KCHECK_EQ(take(h, good, sizeof(good), 0), -EINVAL);
}

KTEST(session_signals_to_nobody)
{
    struct cella_session_header h = {.flags = CELLA_SESSION_SIGNAL};
    static const uint32_t wrong[] = {0, 65, 1000, 1u << 31, UINT32_MAX};
    for (uint32_t i = 0; i < ARRAY_LEN(wrong); i++) {
        h.signal = wrong[i];
        KCHECK_EQ(take(h, "", 0, 0), -EINVAL);
    }
    for (h.signal = 1; h.signal <= 64; h.signal++)
        KCHECK_EQ(take(h, "", 0, 0), 0);
}
