/* SPDX-License-Identifier: Apache-2.0 */
/* Text that grows as it is written: what a file of /proc or /sys says. One user at a time; no
 * locks. */
#ifndef CELLA_KERNEL_FS_TEXT_H
#define CELLA_KERNEL_FS_TEXT_H

#include "base/printk.h"
#include "base/types.h"

struct text {
    char *buf;
    size_t len, size;
    bool failed; /* there was no memory: the text is short */
};

static inline void text_init(struct text *t)
{
    *t = (struct text){NULL, 0, 0, false};
}
void text_release(struct text *t);
/* All of these append. */
void text_write(struct text *t, const void *bytes, size_t n);
void text_puts(struct text *t, const char *s);
void text_putc(struct text *t, char c);
void text_printf(struct text *t, const char *fmt, ...) __printf_like(2, 3);
/* Spaces up to column `width` of the line that began at `line_start`, and at least one. */
void text_pad(struct text *t, size_t line_start, size_t width);
/* s with the bytes of `special`, and backslashes, as \ooo: how Linux keeps names in one column. */
void text_put_escaped(struct text *t, const char *s, const char *special);
/* Words of 32 bits from the most significant one, by commas, as a bitmap of nr bits; and the same
 * set as ranges ("0-3,5"). */
void text_put_bitmap(struct text *t, const uint64_t *bits, unsigned nr);
void text_put_ranges(struct text *t, const uint64_t *bits, unsigned nr);

#endif
