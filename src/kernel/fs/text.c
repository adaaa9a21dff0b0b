/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/text.h"

#include "base/kmalloc.h"
#include "base/string.h"

#define TEXT_FIRST 1024u

void text_release(struct text *t)
{
    kfree(t->buf);
    text_init(t);
}

/* Makes room for n more bytes and a NUL. */
static bool reserve(struct text *t, size_t n)
{
    size_t size = t->size ? t->size : TEXT_FIRST;
    if (t->failed)
        return false;
    if (t->size - t->len > n)
        return true;
    while (size - t->len <= n)
        size *= 2;
    char *buf = krealloc(t->buf, t->size, size);
    if (!buf) {
        t->failed = true;
        return false;
    }
    t->buf = buf;
    t->size = size;
    return true;
}

void text_write(struct text *t, const void *bytes, size_t n)
{
    if (!reserve(t, n))
        return;
    memcpy(t->buf + t->len, bytes, n);
    t->len += n;
}

void text_puts(struct text *t, const char *s)
{
    text_write(t, s, strlen(s));
}

void text_putc(struct text *t, char c)
{
    text_write(t, &c, 1);
}

void text_printf(struct text *t, const char *fmt, ...)
{
    va_list ap;
    if (!reserve(t, 128))
        return;
    va_start(ap, fmt);
    size_t n = (size_t)k_vsnprintf(t->buf + t->len, t->size - t->len, fmt, ap);
    va_end(ap);
    if (n >= t->size - t->len) {
        if (!reserve(t, n))
            return;
        va_start(ap, fmt);
        k_vsnprintf(t->buf + t->len, t->size - t->len, fmt, ap);
        va_end(ap);
    }
    t->len += n;
}

void text_pad(struct text *t, size_t line_start, size_t width)
{
    do
        text_putc(t, ' ');
    while (!t->failed && t->len - line_start < width);
}

void text_put_escaped(struct text *t, const char *s, const char *special)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '\\' || strchr(special, c))
            text_printf(t, "\\%03o", c);
        else
            text_putc(t, (char)c);
    }
}

void text_put_bitmap(struct text *t, const uint64_t *bits, unsigned nr)
{
    unsigned words = (nr + 31) / 32, top = nr % 32 ? nr % 32 : 32;
    for (unsigned w = words; w-- > 0;) {
        uint32_t v = (uint32_t)(bits[w / 2] >> (w % 2 * 32));
        if (w == words - 1)
            text_printf(t, "%0*x", (int)(top + 3) / 4, top < 32 ? v & ((1u << top) - 1) : v);
        else
            text_printf(t, ",%08x", v);
    }
}

void text_put_ranges(struct text *t, const uint64_t *bits, unsigned nr)
{
    const char *sep = "";
    for (unsigned i = 0; i < nr; i++) {
        if (!(bits[i / 64] >> (i % 64) & 1))
            continue;
        unsigned first = i;
        while (i + 1 < nr && (bits[(i + 1) / 64] >> ((i + 1) % 64) & 1))
            i++;
        if (i > first)
            text_printf(t, "%s%u-%u", sep, first, i);
        else
            text_printf(t, "%s%u", sep, first);
        sep = ",";
    }
}
