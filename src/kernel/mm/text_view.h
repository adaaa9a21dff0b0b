/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patched views of program text: see text_view.c.
 */
#ifndef CELLA_KERNEL_MM_TEXT_VIEW_H
#define CELLA_KERNEL_MM_TEXT_VIEW_H

#include "base/types.h"

struct mm;
struct vma;
struct page_cache;
struct regs;

void text_view_init(void);

/* Maps [v->start, v->end) from the view of v's file, with its trampolines; sets VMA_PATCHED.
 * mm->lock held. 0, or -EOPNOTSUPP when a plain mapping must be used (the trampolines' place is
 * taken, no memory). */
int text_view_map(struct mm *mm, struct vma *v);
/* Fills the pages around addr and makes them accessible. mm->lock held. 0 or negative errno. */
int text_view_fault(struct mm *mm, struct vma *v, uaddr_t addr);
/* v is about to go: unmaps its trampolines when no other area of the same view needs them. mm->lock
 * held. */
void text_view_unmap(struct mm *mm, struct vma *v);
/* A system call trapped at regs->rip - 2: replaces the call site by a jump when that is safe. */
void text_view_patch_site(struct regs *regs);
/* A breakpoint trap at rip - 1 that comes from a site being patched: true, the instruction is to be
 * tried again. */
bool text_view_breakpoint(struct regs *regs);
/* With the page cache. */
void text_view_destroy(struct page_cache *pc);

/* Sites patched, sites that could not be. */
extern uint64_t text_sites_patched, text_sites_refused;

#endif
