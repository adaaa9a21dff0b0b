/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CELLA_KERNEL_STATS_H
#define CELLA_KERNEL_STATS_H

struct process;

/* The program `comm` ends in p (exit, or execve of another): its call counts go to its line of
 * --stats. */
void stats_program_ends(struct process *p, const char *comm);
/* Writes the report to the launcher. */
void stats_report(void);

#endif
