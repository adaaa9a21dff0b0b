/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address spaces: one host process each.
 *
 * An ended one is wiped and kept in a small pool, carriers and all, for the next execve after
 * vfork; what is over the pool's size ends. The records of ended ones rest in a graveyard until the
 * host has surely taken their threads away, since those sleep on words in them.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/spinlock.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "host_linux.h"
#include "process.h"

#define POOL_MAX 8u
#define ESRCH_HOST 3
#define GRAVEYARD_LOOKS 8u

struct hal_as *as0;
static struct list pool = LIST_INIT(pool), graveyard = LIST_INIT(graveyard);
static uint32_t pool_size;
static spinlock_t as_lock = SPINLOCK_INIT;

static size_t as_bytes(void)
{
    return sizeof(struct hal_as) + hal_cpus * sizeof(struct carrier);
}

struct hal_as *as_alloc(void)
{
    struct hal_as *as = NULL;
    spin_lock(&as_lock);
    /* An idle CPU may linger in one for long, so the oldest need not be the first to be gone. */
    struct hal_as *old, *tmp;
    unsigned looks = 0;
    list_for_each_safe (old, tmp, &graveyard, link) {
        if (!hal_can_signal || looks++ >= GRAVEYARD_LOOKS)
            break;
        if (HOST3(HOST_tgkill, old->pid, old->pid, 0) == -ESRCH_HOST) {
            list_del(&old->link);
            as = old;
            break;
        }
    }
    spin_unlock(&as_lock);
    if (!as)
        as = kmalloc(as_bytes());
    if (!as)
        return NULL;
    memset(as, 0, as_bytes());
    list_init(&as->link);
    for (unsigned i = 0; i < hal_cpus; i++) {
        as->carrier[i].cpu = i;
        as->carrier[i].as = as;
    }
    return as;
}

static void as_free(struct hal_as *as)
{
    kfree(as);
}

struct hal_as *hal_as_create(void)
{
    unsigned cpu = this_cpu()->id;
    struct hal_as *as, *found = NULL;
    spin_lock(&as_lock);
    list_for_each (as, &pool, link) {
        if (as->carrier[cpu].tid > 0) {
            found = as;
            list_del(&as->link);
            pool_size--;
            break;
        }
    }
    spin_unlock(&as_lock);
    if (found)
        return found;
    as = as_alloc();
    if (as && !as_fork_blank(as)) {
        as_free(as);
        return NULL;
    }
    return as;
}

struct hal_as *hal_as_fork(void)
{
    struct hal_as *as = as_alloc();
    if (as && !as_fork_current(as)) {
        as_free(as);
        return NULL;
    }
    return as;
}

void as_wipe_current(void)
{
    this_carrier()->as->wipe = false;
    HOST2(HOST_munmap, USER_MIN, USER_LIMIT - USER_MIN);
}

void hal_as_destroy(struct hal_as *as)
{
    spin_lock(&as_lock);
    bool keep = pool_size < POOL_MAX;
    if (keep)
        pool_size++;
    spin_unlock(&as_lock);
    if (keep) {
        if (as == this_carrier()->as)
            HOST2(HOST_munmap, USER_MIN, USER_LIMIT - USER_MIN);
        else
            as->wipe = true;
        spin_lock(&as_lock);
        list_add(&as->link, &pool);
        spin_unlock(&as_lock);
        return;
    }
    /* Its end takes the memory along. The last CPU to leave ends it. */
    __atomic_store_n(&as->dying, true, __ATOMIC_SEQ_CST);
    bool left = __atomic_load_n(&as->users, __ATOMIC_SEQ_CST) == 0;
    for (unsigned i = 0; left && i < hal_cpus; i++) {
        if (as->carrier[i].tid > 0) {
            __atomic_fetch_or(&as->carrier[i].go, GO_EXIT, __ATOMIC_SEQ_CST);
            futex_wake_host(&as->carrier[i].go, 1);
            break;
        }
    }
    /* Not before: from the graveyard the record may become another one's at any moment. */
    spin_lock(&as_lock);
    list_add_tail(&as->link, &graveyard);
    spin_unlock(&as_lock);
}

/* ---- mappings of the current address space ---- */

static long check(long r)
{
    return r < 0 ? (r == -EAGAIN ? -ENOMEM : r) : 0;
}

int hal_as_map_anon(uaddr_t addr, size_t len, int prot)
{
    return (int)check(HOST6(HOST_mmap, addr, len, prot,
                            H_MAP_PRIVATE | H_MAP_ANONYMOUS | H_MAP_FIXED | H_MAP_NORESERVE, -1,
                            0));
}

int hal_as_map_kmem(uaddr_t addr, size_t len, int prot, void *kaddr, bool is_private)
{
    uint64_t off = (uint64_t)kaddr - KMEM_BASE + WINDOW_FILE_OFF;
    return (int)check(HOST6(
        HOST_mmap, addr, len, prot,
        (is_private ? H_MAP_PRIVATE : H_MAP_SHARED) | H_MAP_FIXED | H_MAP_NORESERVE, KMEM_FD, off));
}

int hal_as_protect(uaddr_t addr, size_t len, int prot)
{
    return (int)check(HOST3(HOST_mprotect, addr, len, prot));
}

int hal_as_unmap(uaddr_t addr, size_t len)
{
    return (int)check(HOST2(HOST_munmap, addr, len));
}

int hal_as_discard(uaddr_t addr, size_t len, bool lazy)
{
    return (int)check(HOST3(HOST_madvise, addr, len, lazy ? H_MADV_FREE : H_MADV_DONTNEED));
}

int hal_as_move(uaddr_t old_addr, size_t old_len, uaddr_t new_addr, size_t new_len)
{
    if (old_addr == new_addr)
        return (int)check(HOST4(HOST_mremap, old_addr, old_len, new_len, 0));
    int err = (int)check(HOST6(HOST_mremap, old_addr, old_len, new_len,
                               H_MREMAP_MAYMOVE | H_MREMAP_FIXED, new_addr, 0));
    /* The host keeps apart what is one area here, such as a moved mapping and the tail that it grew
     * later, and moves one at a time: halve the range until each part is one. */
    size_t half = old_len / 2 & PAGE_MASK;
    if (err != -EFAULT || !half)
        return err;
    err = hal_as_move(old_addr, half, new_addr, half);
    if (err)
        return err;
    err = hal_as_move(old_addr + half, old_len - half, new_addr + half, new_len - half);
    if (err)
        hal_as_move(new_addr, half, old_addr, half);
    return err;
}

int hal_as_resident(uaddr_t addr, size_t len, uint8_t *vec)
{
    return (int)check(HOST3(HOST_mincore, addr, len, vec));
}

/* ---- the kernel's window ---- */

void hal_kmem_window(void **base, size_t *size)
{
    *base = (void *)KMEM_BASE;
    *size = KMEM_WINDOW_SIZE;
}

void hal_kmem_discard(void *addr, size_t len)
{
    if (len)
        HOST3(HOST_madvise, addr, len, H_MADV_REMOVE);
}
