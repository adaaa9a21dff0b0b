/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state file of a keep: one flat JSON object of strings and whole numbers. Members that are not
 * known are passed over; anything else that is not as written by keep_state_format is refused.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "state.h"

enum kind { NUMBER, STRING };

#define FIELD(member, type, low, high)                                                             \
    {                                                                                              \
#member, type, offsetof(struct keep_state, member),                                        \
            sizeof(((struct keep_state *)0)->member), low, high                                    \
    }
static const struct field {
    const char *name;
    enum kind kind;
    size_t offset, size;
    int64_t min, max;
} fields[] = {
    FIELD(created_s, NUMBER, 0, 1ll << 40),
    FIELD(ended_s, NUMBER, 0, 1ll << 40),
    FIELD(exit_code, NUMBER, 0, 255),
    FIELD(pid, NUMBER, 0, 1 << 30),
    FIELD(detached, NUMBER, 0, 1),
    FIELD(command, STRING, 0, 0),
    FIELD(ports, STRING, 0, 0),
};
#define NR_FIELDS (sizeof(fields) / sizeof(fields[0]))

int keep_state_format(const struct keep_state *state, char *text, size_t size)
{
    struct json_writer w = {.at = text, .end = text + size};
    json_put(&w, "{");
    for (unsigned i = 0; i < NR_FIELDS; i++) {
        const char *value = (const char *)state + fields[i].offset;
        if (i)
            json_put(&w, ",");
        json_put_string(&w, fields[i].name, strlen(fields[i].name));
        json_put(&w, ":");
        if (fields[i].kind == STRING) {
            json_put_string(&w, value, strlen(value));
            continue;
        }
        int64_t n = 0;
        memcpy(&n, value, fields[i].size);
        json_put_number(&w, n);
    }
    json_put(&w, "}\n");
    return w.full ? -1 : (int)(w.at - text);
}

static bool store(const struct field *field, struct json_reader *r, struct keep_state *state)
{
    char *to = (char *)state + field->offset;
    if (field->kind == STRING)
        return json_get_string(r, to, field->size);
    int64_t n;
    if (!json_get_number(r, &n) || n < field->min || n > field->max)
        return false;
    memcpy(to, &n, field->size);
    return true;
}

bool keep_state_parse(const char *text, size_t len, struct keep_state *state)
{
    struct json_reader r = {.at = text, .end = text + len};
    *state = (struct keep_state){0};
    if (!json_get(&r, '{'))
        return false;
    bool first = true;
    while (!json_get(&r, '}')) {
        char name[64], unknown[512];
        int64_t number;
        if ((!first && !json_get(&r, ',')) || !json_get_string(&r, name, sizeof(name)) ||
            !json_get(&r, ':'))
            return false;
        first = false;
        const struct field *field = fields;
        while (field < fields + NR_FIELDS && strcmp(field->name, name) != 0)
            field++;
        if (field < fields + NR_FIELDS
                ? !store(field, &r, state)
                : !json_get_number(&r, &number) && !json_get_string(&r, unknown, sizeof(unknown)))
            return false;
    }
    return json_at_end(&r);
}
