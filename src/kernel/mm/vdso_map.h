/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CELLA_KERNEL_MM_VDSO_MAP_H
#define CELLA_KERNEL_MM_VDSO_MAP_H

struct mm;

/* Maps the vDSO into mm, which is current's, and sets mm->vdso_base. 0 or negative errno. */
int vdso_map(struct mm *mm);

#endif
