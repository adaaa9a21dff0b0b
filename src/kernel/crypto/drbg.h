/* SPDX-License-Identifier: Apache-2.0 */
/* Random bytes for the keep: ChaCha20 with fast key erasure, seeded from the CPU (RDSEED, RDRAND),
 * never from the host. */
#ifndef CELLA_KERNEL_CRYPTO_DRBG_H
#define CELLA_KERNEL_CRYPTO_DRBG_H

#include "base/types.h"

void drbg_init(void);
void drbg_fill(void *buf, size_t len);

#endif
