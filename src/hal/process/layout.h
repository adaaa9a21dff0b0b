/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address layout of every host process of a keep. Below USER_LIMIT everything is the workload's.
 *
 *   0x7000'0000'0000  kernel window: memfd KMEM_FD from offset WINDOW_FILE_OFF, shared by all
 * processes 0x7800'0000'0000  the runtime's ELF image; its .data and .bss are replaced by KMEM_FD
 * from offset 0 0x7900'0000'0000  host window (HOST_FD), shared with the launcher 0x7a00'0000'0000
 * per CPU: carrier stack and signal stack, private to each host process above             what the
 * host's kernel put there at exec: stack, vDSO
 */
#ifndef CELLA_HAL_PROCESS_LAYOUT_H
#define CELLA_HAL_PROCESS_LAYOUT_H

#define KMEM_FD 3
#define HOST_FD 4

#define KMEM_BASE 0x700000000000ull
#define KMEM_RESERVED 4096ull /* the first page: the vDSO's data, at a fixed address */
#define KMEM_WINDOW_SIZE (7ull << 40)
#define WINDOW_FILE_OFF (64ull << 20) /* room for .data and .bss before it */
#define HOST_WINDOW_BASE 0x790000000000ull

#define CARRIER_BASE 0x7a0000000000ull
#define CARRIER_STACK_SIZE (32 * 1024ull)
#define CARRIER_SIGSTACK_SIZE (64 * 1024ull)
#define CARRIER_AREA (CARRIER_STACK_SIZE + CARRIER_SIGSTACK_SIZE)

#endif
