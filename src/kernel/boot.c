/* SPDX-License-Identifier: Apache-2.0 */
/* What the launcher told: reading and checking boot information. */
#include "boot.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/string.h"
#include "hal.h"

struct boot_info boot;

/* The string at *pos, moving *pos behind it; NULL: it does not end. */
static char *take(struct boot_info *b, size_t *pos)
{
    char *s = b->strings + *pos;
    size_t left = b->h.strings_len - *pos, n = strnlen(s, left);
    if (n == left)
        return NULL;
    *pos += n + 1;
    return s;
}

static char **take_array(struct boot_info *b, size_t *pos, uint32_t n)
{
    /* No more than there are bytes: the host does not make us reserve what it does not send. */
    char **a = n <= b->h.strings_len - *pos ? kmalloc((n + 1) * sizeof(*a)) : NULL;
    for (uint32_t i = 0; a && i < n; i++)
        if (!(a[i] = take(b, pos))) {
            kfree(a);
            return NULL;
        }
    if (a)
        a[n] = NULL;
    return a;
}

int boot_parse(struct boot_info *b, const void *shared)
{
    struct cella_boot_header *h = &b->h;
    uint32_t max = CELLA_HOST_BOOT_SIZE;
    size_t pos = 0;
    memset(b, 0, sizeof(*b));
    memcpy(h, shared, sizeof(*h));
    if (h->strings_off < sizeof(*h) || h->strings_off > max ||
        h->strings_len > max - h->strings_off || h->nr_grants > CELLA_HOST_MAX_GRANTS ||
        h->nr_groups > ARRAY_LEN(h->groups))
        return -EINVAL;
    b->strings = kmalloc(h->strings_len + 1);
    if (!b->strings)
        return -ENOMEM;
    memcpy(b->strings, (const char *)shared + h->strings_off, h->strings_len);
    b->strings[h->strings_len] = 0;
    if ((b->hostname = take(b, &pos)) && (b->workdir = take(b, &pos)) &&
        (b->program = take(b, &pos)) && (b->argv = take_array(b, &pos, h->nr_args)) &&
        (b->envp = take_array(b, &pos, h->nr_env)) &&
        (b->grant_at = take_array(b, &pos, h->nr_grants)))
        return 0;
    boot_free(b);
    return -EINVAL;
}

void boot_free(struct boot_info *b)
{
    kfree(b->argv);
    kfree(b->envp);
    kfree(b->grant_at);
    kfree(b->strings);
}

void boot_read(void)
{
    void *base;
    size_t size;
    hal_host_window(&base, &size);
    int r = boot_parse(&boot, ((const struct cella_host_window *)base)->boot);
    if (r)
        panic("boot information is not well formed (%d)", r);
}
