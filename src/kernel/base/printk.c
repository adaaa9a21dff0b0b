/* SPDX-License-Identifier: Apache-2.0 */
#include "base/printk.h"

#include "base/spinlock.h"
#include "base/string.h"
#include "hal.h"

struct out {
    char *buf;
    size_t size, len;
};

static void put(struct out *o, char c)
{
    if (o->len + 1 < o->size)
        o->buf[o->len] = c;
    o->len++;
}

static void put_padded(struct out *o, const char *s, size_t n, int width, bool left, char fill)
{
    size_t w = width > 0 ? (size_t)width : 0;
    if (!left)
        for (size_t i = n; i < w; i++)
            put(o, fill);
    for (size_t i = 0; i < n; i++)
        put(o, s[i]);
    if (left)
        for (size_t i = n; i < w; i++)
            put(o, ' ');
}

static void put_number(struct out *o, uint64_t v, bool negative, unsigned base, bool upper,
                       int width, int precision, bool left, bool zero)
{
    char tmp[24]; /* 64 bits in octal */
    const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    int n = 0;
    do {
        tmp[n++] = digits[v % base];
        v /= base;
    } while (v);
    int zeros = precision > n ? precision - n : 0;
    if (zero && !left && precision < 0 && width > n + negative)
        zeros = width - n - negative;
    for (int pad = width - n - zeros - negative; !left && pad > 0; pad--)
        put(o, ' ');
    if (negative)
        put(o, '-');
    for (int i = 0; i < zeros; i++)
        put(o, '0');
    for (int i = n; i > 0; i--)
        put(o, tmp[i - 1]);
    for (int pad = width - n - zeros - negative; left && pad > 0; pad--)
        put(o, ' ');
}

int k_vsnprintf(char *buf, size_t size, const char *fmt, va_list ap)
{
    struct out o = {buf, size, 0};
    for (; *fmt; fmt++) {
        if (*fmt != '%') {
            put(&o, *fmt);
            continue;
        }
        bool left = false, zero = false;
        int width = 0, precision = -1, length = 0;
        for (fmt++; *fmt == '-' || *fmt == '0'; fmt++) {
            left |= *fmt == '-';
            zero |= *fmt == '0';
        }
        if (*fmt == '*') {
            width = va_arg(ap, int);
            fmt++;
        } else {
            for (; *fmt >= '0' && *fmt <= '9'; fmt++)
                width = width * 10 + (*fmt - '0');
        }
        if (*fmt == '.') {
            precision = 0;
            if (*++fmt == '*') {
                precision = va_arg(ap, int);
                fmt++;
            } else {
                for (; *fmt >= '0' && *fmt <= '9'; fmt++)
                    precision = precision * 10 + (*fmt - '0');
            }
        }
        for (; *fmt == 'l' || *fmt == 'z' || *fmt == 'h'; fmt++)
            length += *fmt == 'h' ? -1 : 1;
        switch (*fmt) {
        case 'd':
        case 'i': {
            int64_t v = length > 0 ? va_arg(ap, long) : va_arg(ap, int);
            put_number(&o, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0, 10, false, width,
                       precision, left, zero);
            break;
        }
        case 'u':
        case 'x':
        case 'X':
        case 'o': {
            uint64_t v = length > 0 ? va_arg(ap, unsigned long) : va_arg(ap, unsigned);
            unsigned base = *fmt == 'u' ? 10 : *fmt == 'o' ? 8 : 16;
            put_number(&o, v, false, base, *fmt == 'X', width, precision, left, zero);
            break;
        }
        case 'p':
            put(&o, '0');
            put(&o, 'x');
            put_number(&o, (uint64_t)va_arg(ap, void *), false, 16, false, width, -1, left, zero);
            break;
        case 'c': {
            char c = (char)va_arg(ap, int);
            put_padded(&o, &c, 1, width, left, ' ');
            break;
        }
        case 's': {
            const char *s = va_arg(ap, const char *);
            if (!s)
                s = "(null)";
            size_t n = precision >= 0 ? strnlen(s, (size_t)precision) : strlen(s);
            put_padded(&o, s, n, width, left, ' ');
            break;
        }
        case '%': put(&o, '%'); break;
        default: panic("printk: format '%c' is not known", *fmt);
        }
    }
    if (size)
        buf[o.len < size ? o.len : size - 1] = 0;
    return (int)o.len;
}

int k_snprintf(char *buf, size_t size, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = k_vsnprintf(buf, size, fmt, ap);
    va_end(ap);
    return n;
}

void printk(const char *fmt, ...)
{
    char line[400] = "cella: ";
    va_list ap;
    va_start(ap, fmt);
    int n = k_vsnprintf(line + 7, sizeof(line) - 8, fmt, ap);
    va_end(ap);
    size_t len = 7 + k_min((size_t)n, sizeof(line) - 9);
    line[len++] = '\n';
    hal_emergency_write(line, len);
}

void panic(const char *fmt, ...)
{
    char line[400];
    va_list ap;
    va_start(ap, fmt);
    k_vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    printk("kernel panic: %s", line);
    hal_exit(125 << 8);
}
