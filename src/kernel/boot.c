/* SPDX-License-Identifier: Apache-2.0 */
/* What the launcher told: reading and checking boot information. */
#include "boot.h"

#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/string.h"
#include "hal.h"

struct boot_info boot;

/* The string at *pos; moves *pos behind it. */
static const char *take(size_t *pos)
{
    const char *s = boot.strings + *pos;
    size_t left = boot.h.strings_len - *pos, n = strnlen(s, left);
    if (n == left)
        panic("boot information: strings end early");
    *pos += n + 1;
    return s;
}

static char **take_array(size_t *pos, uint32_t n)
{
    char **a = kmalloc((n + 1) * sizeof(*a));
    if (!a)
        panic("boot information: no memory for %u strings", n);
    for (uint32_t i = 0; i < n; i++)
        a[i] = (char *)(uintptr_t)take(pos);
    a[n] = NULL;
    return a;
}

void boot_read(void)
{
    void *base;
    size_t size;
    hal_host_window(&base, &size);
    const struct cella_host_window *w = base;
    memcpy(&boot.h, w->boot, sizeof(boot.h));
    struct cella_boot_header *h = &boot.h;
    uint32_t max = CELLA_HOST_BOOT_SIZE;
    if (h->strings_off < sizeof(*h) || h->strings_off > max ||
        h->strings_len > max - h->strings_off || h->nr_grants > CELLA_HOST_MAX_GRANTS ||
        h->nr_args > max || h->nr_env > max || h->nr_groups > ARRAY_LEN(h->groups))
        panic("boot information is not well formed");
    boot.strings = kmalloc(h->strings_len + 1);
    if (!boot.strings)
        panic("boot information: no memory");
    memcpy(boot.strings, w->boot + h->strings_off, h->strings_len);
    boot.strings[h->strings_len] = 0;
    size_t pos = 0;
    boot.hostname = take(&pos);
    boot.workdir = take(&pos);
    boot.program = take(&pos);
    boot.argv = take_array(&pos, h->nr_args);
    boot.envp = take_array(&pos, h->nr_env);
    boot.grant_at = (const char **)take_array(&pos, h->nr_grants);
}
