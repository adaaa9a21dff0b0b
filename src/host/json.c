/* SPDX-License-Identifier: Apache-2.0 */
/* JSON; see json.h. */
#include "json.h"

#include <stdio.h>
#include <string.h>

/* ---- writing ---- */

static void put_bytes(struct json_writer *w, const char *bytes, size_t len)
{
    if (w->full || len > (size_t)(w->end - w->at)) {
        w->full = true;
        return;
    }
    memcpy(w->at, bytes, len);
    w->at += len;
}

void json_put(struct json_writer *w, const char *text)
{
    put_bytes(w, text, strlen(text));
}

void json_put_number(struct json_writer *w, int64_t n)
{
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)n);
    json_put(w, text);
}

/* Length of the well-formed UTF-8 sequence at p, or 0 (Unicode, table 3-7). */
static size_t utf8_length(const unsigned char *p, size_t len)
{
    size_t n = p[0] < 0x80                    ? 1
               : p[0] >= 0xc2 && p[0] <= 0xdf ? 2
               : (p[0] & 0xf0) == 0xe0        ? 3
               : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
                                              : 0;
    if (n == 0 || n > len)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

void json_put_string(struct json_writer *w, const char *text, size_t len)
{
    json_put(w, "\"");
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)text[i];
        size_t n = utf8_length((const unsigned char *)text + i, len - i);
        char escape[8];
        if (n == 0)
            json_put(w, "\\ufffd");
        else if (c == '"' || c == '\\')
            put_bytes(w, (const char[]){'\\', (char)c}, 2);
        else if (c == '\n')
            json_put(w, "\\n");
        else if (c == '\t')
            json_put(w, "\\t");
        else if (c < ' ' || c == 0x7f) {
            snprintf(escape, sizeof(escape), "\\u%04x", c);
            json_put(w, escape);
        } else
            put_bytes(w, text + i, n);
        i += n ? n : 1;
    }
    json_put(w, "\"");
}

/* ---- reading ---- */

static void skip_blanks(struct json_reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\t' || *r->at == '\r'))
        r->at++;
}

bool json_at_end(struct json_reader *r)
{
    skip_blanks(r);
    return r->at == r->end;
}

bool json_get(struct json_reader *r, char mark)
{
    if (json_at_end(r) || *r->at != mark)
        return false;
    r->at++;
    return true;
}

bool json_get_number(struct json_reader *r, int64_t *n)
{
    skip_blanks(r);
    const char *p = r->at;
    bool negative = p < r->end && *p == '-';
    if (negative)
        p++;
    const char *digits = p;
    int64_t value = 0;
    for (; p < r->end && *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *p - '0', &value))
            return false;
    if (p == digits)
        return false;
    *n = negative ? -value : value;
    r->at = p;
    return true;
}

/* The four digits behind \u; -1: they are not, or do not stand for one byte or U+FFFD. */
static int unicode_escape(const char *p, const char *end)
{
    int value = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        static const char digits[] = "0123456789abcdef";
        const char *digit = p[i] ? strchr(digits, p[i]) : NULL;
        if (!digit)
            return -1;
        value = value * 16 + (int)(digit - digits);
    }
    return value == 0xfffd ? '?' : value > 0 && value < 0x80 ? value : -1;
}

bool json_get_string(struct json_reader *r, char *text, size_t size)
{
    skip_blanks(r);
    const char *p = r->at;
    size_t n = 0;
    if (p == r->end || *p++ != '"')
        return false;
    for (;; p++) {
        if (p == r->end || *p == '\0' || n >= size)
            return false;
        if (*p == '"')
            break;
        if (*p != '\\') {
            text[n++] = *p;
            continue;
        }
        if (++p == r->end)
            return false;
        int c = *p == 'n' ? '\n' : *p == 't' ? '\t' : *p == '"' || *p == '\\' ? *p : -1;
        if (*p == 'u') {
            c = unicode_escape(p + 1, r->end);
            p += 4;
        }
        if (c < 0)
            return false;
        text[n++] = (char)c;
    }
    if (n >= size)
        return false;
    text[n] = '\0';
    r->at = p + 1;
    return true;
}
