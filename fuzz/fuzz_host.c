/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that the host writes: replies, completions, words of the window, boot information. The first
 * byte chooses what the kernel does, the second how often the host lies; the rest are the lies
 * (tests/hostile/liar.c). Where the first byte says boot information, the rest is that.
 */
#include "base/string.h"
#include "boot.h"
#include "mock_main.h"
#include "use_host.h"

static uint8_t boot_area[CELLA_HOST_BOOT_SIZE];

static void fuzz_boot(const uint8_t *data, size_t size)
{
    struct boot_info b;
    memcpy(boot_area, data, k_min(size, sizeof(boot_area)));
    if (boot_parse(&b, boot_area) == 0) {
        size_t n = strlen(b.hostname) + strlen(b.workdir) + strlen(b.program);
        for (char **s = b.argv; *s; s++)
            n += strlen(*s);
        for (char **s = b.envp; *s; s++)
            n += strlen(*s);
        for (char **s = b.grant_at; *s; s++)
            n += strlen(*s);
        if (n > b.h.strings_len)
            __builtin_trap();
        boot_free(&b);
    }
    memset(boot_area, 0, k_min(size, sizeof(boot_area)));
}

void fuzz_one(void *arg)
{
    static bool ready;
    const struct fuzz_input *in = arg;
    if (in->size < 3)
        return;
    unsigned use = in->data[0] % (NR_HOST_USES + 1);
    if (use == NR_HOST_USES) {
        fuzz_boot(in->data + 1, in->size - 1);
        return;
    }
    mock_liar_attach();
    if (!ready)
        use_host_handle_signals();
    ready = true;
    mock_liar.every = in->data[1] % 8 + 1;
    mock_liar.bytes = in->data + 2;
    mock_liar.nr_bytes = in->size - 2;
    use_host(use);
}
