/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CELLA_FUZZ_MOCK_MAIN_H
#define CELLA_FUZZ_MOCK_MAIN_H

#include <stddef.h>
#include <stdint.h>

struct fuzz_input {
    const uint8_t *data;
    size_t size;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Runs as a thread of process 1 with descriptors, directories and an address space of its own; what
 * it leaves elsewhere the next input finds. arg: struct fuzz_input. */
void fuzz_one(void *arg);

#endif
