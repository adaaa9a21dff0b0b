/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ChaCha20 (RFC 8439 section 2.3) as a generator: each refill makes blocks from the current key, of
 * which the first 32 bytes become the next key, so that what was given out cannot be computed from
 * the state later. Fresh hardware entropy is mixed in every RESEED_BYTES.
 */
#include "crypto/drbg.h"

#include "base/printk.h"
#include "base/spinlock.h"
#include "base/string.h"
#include "hal.h"

#define RESEED_BYTES (1u << 20)
#define BUFFER 512u

static spinlock_t lock = SPINLOCK_INIT;
static uint32_t key[8];
static uint64_t counter;
static uint8_t buffer[BUFFER];
static size_t buffer_left, since_seed;

static uint32_t rotl(uint32_t v, int n)
{
    return v << n | v >> (32 - n);
}

static void quarter(uint32_t *x, int a, int b, int c, int d)
{
    x[a] += x[b], x[d] = rotl(x[d] ^ x[a], 16);
    x[c] += x[d], x[b] = rotl(x[b] ^ x[c], 12);
    x[a] += x[b], x[d] = rotl(x[d] ^ x[a], 8);
    x[c] += x[d], x[b] = rotl(x[b] ^ x[c], 7);
}

static void block(uint8_t out[64])
{
    uint32_t in[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}, x[16];
    memcpy(in + 4, key, sizeof(key));
    in[12] = (uint32_t)counter;
    in[13] = (uint32_t)(counter >> 32);
    counter++;
    memcpy(x, in, sizeof(x));
    for (int i = 0; i < 10; i++) {
        quarter(x, 0, 4, 8, 12);
        quarter(x, 1, 5, 9, 13);
        quarter(x, 2, 6, 10, 14);
        quarter(x, 3, 7, 11, 15);
        quarter(x, 0, 5, 10, 15);
        quarter(x, 1, 6, 11, 12);
        quarter(x, 2, 7, 8, 13);
        quarter(x, 3, 4, 9, 14);
    }
    for (int i = 0; i < 16; i++)
        x[i] += in[i];
    memcpy(out, x, sizeof(x));
}

static void seed(void)
{
    uint32_t fresh[8];
    if (hal_random(fresh, sizeof(fresh)))
        panic("the CPU gives no randomness (RDSEED, RDRAND)");
    for (int i = 0; i < 8; i++)
        key[i] ^= fresh[i];
    since_seed = 0;
}

static void refill(void)
{
    if (since_seed >= RESEED_BYTES)
        seed();
    for (size_t i = 0; i < BUFFER; i += 64)
        block(buffer + i);
    memcpy(key, buffer, sizeof(key));
    memset(buffer, 0, sizeof(key));
    buffer_left = BUFFER - sizeof(key);
    since_seed += BUFFER;
}

void drbg_init(void)
{
    seed();
}

void drbg_fill(void *buf, size_t len)
{
    char *out = buf;
    spin_lock(&lock);
    while (len) {
        if (!buffer_left)
            refill();
        size_t n = k_min(len, buffer_left);
        uint8_t *from = buffer + BUFFER - buffer_left;
        memcpy(out, from, n);
        memset(from, 0, n);
        buffer_left -= n;
        out += n;
        len -= n;
    }
    spin_unlock(&lock);
}
