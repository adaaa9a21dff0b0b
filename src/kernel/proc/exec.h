/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CELLA_KERNEL_PROC_EXEC_H
#define CELLA_KERNEL_PROC_EXEC_H

/* execve with strings of the kernel, for the first program of the keep: makes current's address
 * space and fills its registers, so that it starts at the next way out. 0 or negative errno; what
 * fails late ends the process. */
int exec_first(const char *path, char *const argv[], char *const envp[]);

#endif
