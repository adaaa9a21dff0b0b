/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address spaces of processes. The kernel keeps the tree of areas (vmas) and tells the HAL what to
 * map; pages of anonymous private memory are the HAL's (zero at first touch, copy-on-write after
 * fork), pages of files are those of the inode's page cache (mm/page_cache.h), mapped where they
 * are up to date and PROT_NONE where they are not, so that a hole faults into mm_fault, which fills
 * it with what is around it.
 *
 * All operations act on the current thread's mm, which is then the HAL's current address space.
 * Locks: mm->lock (mutex) -> page_cache.lock -> inode fill. mm->lock is never held while copying to
 * or from user memory.
 */
#ifndef CELLA_KERNEL_MM_MM_H
#define CELLA_KERNEL_MM_MM_H

#include "base/list.h"
#include "base/rbtree.h"
#include "base/ref.h"
#include "base/types.h"
#include "base/usercopy.h"
#include "hal.h"
#include "proc/wait_queue.h"

struct file;
struct inode;
struct regs;

/* <asm/mman.h> of x86-64 */
enum {
    PROT_READ_K = 1,
    PROT_WRITE_K = 2,
    PROT_EXEC_K = 4,
    PROT_GROWSDOWN_K = 0x01000000,
    PROT_GROWSUP_K = 0x02000000
};
enum {
    MAP_SHARED_K = 1,
    MAP_PRIVATE_K = 2,
    MAP_SHARED_VALIDATE_K = 3,
    MAP_FIXED_K = 0x10,
    MAP_ANONYMOUS_K = 0x20,
    MAP_32BIT_K = 0x40,
    MAP_GROWSDOWN_K = 0x100,
    MAP_DENYWRITE_K = 0x800,
    MAP_EXECUTABLE_K = 0x1000,
    MAP_LOCKED_K = 0x2000,
    MAP_NORESERVE_K = 0x4000,
    MAP_POPULATE_K = 0x8000,
    MAP_NONBLOCK_K = 0x10000,
    MAP_STACK_K = 0x20000,
    MAP_HUGETLB_K = 0x40000,
    MAP_SYNC_K = 0x80000,
    MAP_FIXED_NOREPLACE_K = 0x100000
};

enum vma_flags {
    VMA_SHARED = 1,
    VMA_GROWSDOWN = 2,
    VMA_STACK = 4,
    VMA_HEAP = 8,
    VMA_VDSO = 16,
    VMA_LOCKED = 32,
    VMA_DONTFORK = 64,
    VMA_WIPEONFORK = 128,
    VMA_NORESERVE = 256,
    VMA_PATCHED = 512,     /* text mapped from the patched view (mm/text_view.c) */
    VMA_TRAMPOLINE = 1024, /* trampolines of a patched view; not shown in /proc/PID/maps, not the
                              workload's to change */
    VMA_WROTE = 2048,      /* shared mapping that is or was writable: its pages count as dirty */
    VMA_KERNEL = 4096,     /* pages of the kernel's window (vDSO, trampolines) */
};

struct vma {
    struct rb_node rb;
    uaddr_t start, end; /* page aligned; end exclusive */
    int prot;           /* PROT_*_K */
    int max_prot; /* what mprotect may give (a read-only shared file mapping: no PROT_WRITE) */
    uint32_t flags;
    struct file *file;   /* counted; NULL: anonymous */
    struct inode *inode; /* counted; whose page cache is mapped; NULL: anonymous */
    uint64_t
        offset; /* in the file, bytes, page aligned; of the kernel's window: the address there */
    struct list mapping_link; /* page_cache.mappings, under page_cache.lock */
    /* From here on the range lay behind the end of the file when it was mapped: placeholder without
     * access. */
    uaddr_t backed_end;
    bool revoke; /* the file was truncated by another address space; set under page_cache.lock */
    struct mm *mm;
};

struct mm {
    struct ref ref;    /* threads and others that use it */
    struct mutex lock; /* the tree, brk, the counters */
    struct rb_root vmas;
    uint32_t nr_vmas;
    struct hal_as *as;
    uaddr_t mmap_base;
    uaddr_t brk_start, brk;
    uint64_t total_vm, data_vm, stack_vm, exec_vm, locked_vm; /* pages */
    uint64_t hiwater_rss;
    struct file *exe;
    uaddr_t code_start, code_end, data_start, data_end, stack_start;
    uaddr_t arg_start, arg_end, env_start, env_end;
    uint64_t saved_auxv[64];
    int saved_auxv_len; /* entries of 2 words each */
    uaddr_t vdso_base;
    bool locked_future;
    /* Work that another address space asked for (truncate of a file that is mapped here); done at
     * the next way out. */
    bool revoke_pending;
    /* Set in the child of a fork: DONTFORK and WIPEONFORK areas are still to be dropped; done with
     * the above. */
    bool fork_fixup;
    /* Where the search for a free range goes on from the last time, and the largest hole that it
     * left above. */
    uaddr_t gap_cache;
    uint64_t gap_hole;
    uint64_t last_rss; /* pages; the last time somebody counted */
};

/* ---- life ---- */
/* An empty address space (from hal_as_create), ref 1; NULL without memory. */
struct mm *mm_create(void);
/* A copy-on-write copy of current's, ref 1; NULL without memory. */
struct mm *mm_fork(void);
void mm_get(struct mm *mm);
void mm_put(struct mm *mm);
/* Makes `mm` current's: switches the address space; the old one is put. For execve after vfork. */
void mm_switch_to(struct mm *mm);
/* Unmaps everything (execve in place, exit). */
void mm_clear(struct mm *mm);

/* Chooses mmap_base (random, below the stack); returns the top of the stack. For execve, on an
 * empty mm. */
uaddr_t mm_layout(struct mm *mm);
/* Sets the program file (NULL: none): takes a reference and denies writing to the file while it
 * lasts. 0 or -ETXTBSY. */
int mm_set_exe(struct mm *mm, struct file *exe);
/* On the way out to the workload when current's revoke_pending is set: takes access from what was
 * truncated. */
void mm_do_revokes(struct mm *mm);

/* ---- areas ---- */
struct vma *mm_find(struct mm *mm, uaddr_t addr);      /* containing addr, or NULL; lock held */
struct vma *mm_find_from(struct mm *mm, uaddr_t addr); /* first with end > addr */
struct vma *vma_next(struct vma *v);
struct vma *vma_prev(struct vma *v);
struct vma *mm_first(struct mm *mm);
/* The address, or negative errno. `file` may be NULL; its reference is taken by the function
 * itself. */
int64_t mm_map(struct mm *mm, struct file *file, uaddr_t addr, uint64_t len, int prot, int flags,
               uint64_t offset);
/* As mm_map, with VMA_* to add (VMA_STACK, VMA_VDSO...). */
int64_t mm_map_special(struct mm *mm, struct file *file, uaddr_t addr, uint64_t len, int prot,
                       int flags, uint64_t offset, uint32_t vma_flags);
/* Maps pages of the kernel's window read/exec-only for the workload (vDSO, trampolines). */
int mm_map_kernel(struct mm *mm, uaddr_t addr, uint64_t len, int prot, void *kaddr,
                  uint32_t vma_flags);
/* The same with mm->lock held (mm/text_view.c, which is called with it). */
int mm_map_kernel_locked(struct mm *mm, uaddr_t addr, uint64_t len, int prot, void *kaddr,
                         uint32_t vma_flags);
/* Takes the area that mm_map_kernel made at addr away again. Lock held. */
void mm_unmap_kernel_locked(struct mm *mm, uaddr_t addr);
/* A free range of len bytes below mmap_base; 0: none. Lock held. */
uaddr_t mm_find_gap(struct mm *mm, uint64_t len, uint64_t align);
int mm_unmap(struct mm *mm, uaddr_t addr, uint64_t len);
int mm_protect(struct mm *mm, uaddr_t addr, uint64_t len, int prot);
int mm_set_brk(struct mm *mm, uaddr_t start); /* execve: end of the program's data */

/* ---- faults ---- */
enum { FAULT_READ = 0, FAULT_WRITE = 1, FAULT_EXEC = 2 };
struct fault_result {
    int sig;  /* 0: resolved; SIGSEGV or SIGBUS */
    int code; /* si_code */
};
/* Resolves a page fault of the workload, or of the kernel on a user address. May sleep. */
struct fault_result mm_fault(struct mm *mm, uaddr_t addr, int access);
/* From kernel_main's fault upcall: signals the thread when the fault cannot be resolved. */
void mm_handle_user_fault(struct regs *regs, const struct hal_fault *fault);

/* Resident pages of the current address space (hal_as_resident over the vmas); an estimate for
 * others. */
uint64_t mm_resident_pages(struct mm *mm);
/* Memory limit of the keep in bytes; UINT64_MAX until main.c sets it. */
uint64_t mm_limit_bytes(void);
void mm_set_limit(uint64_t bytes);
/* Would `bytes` more take the keep over its limit? */
bool mm_over_limit(uint64_t bytes);
/* From ticks: kills the largest process when the keep is over its limit. */
void mm_oom_check(void);

#endif
