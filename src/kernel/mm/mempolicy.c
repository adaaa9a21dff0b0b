/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NUMA calls on a machine with one node. Every policy that names node 0 (or no node) is true
 * already; what is kept of one is its checking. get_mempolicy answers the default policy and node
 * 0.
 */
#include "base/errno.h"
#include "mm/vma.h"
#include "proc/task.h"

enum {
    MPOL_DEFAULT_K = 0,
    MPOL_PREFERRED_K = 1,
    MPOL_BIND_K = 2,
    MPOL_INTERLEAVE_K = 3,
    MPOL_LOCAL_K = 4,
    MPOL_PREFERRED_MANY_K = 5
};
enum { MPOL_F_NODE_K = 1, MPOL_F_ADDR_K = 2, MPOL_F_MEMS_ALLOWED_K = 4 };
#define MPOL_MODE_FLAGS 0xe000u /* STATIC_NODES, RELATIVE_NODES, NUMA_BALANCING */
#define MPOL_MF_VALID 7u
#define MAX_NODES (PAGE_SIZE * 8)

/* Reads a node mask of maxnode-1 bits: *node0, or -EINVAL when another node is named, -EFAULT. */
static int read_nodes(uaddr_t mask, uint64_t maxnode, bool *node0)
{
    *node0 = false;
    if (!mask || maxnode <= 1)
        return 0;
    if (--maxnode > MAX_NODES)
        return -EINVAL;
    for (uint64_t bit = 0; bit < maxnode; bit += 64) {
        uint64_t word;
        if (get_user(word, mask + bit / 8))
            return -EFAULT;
        if (maxnode - bit < 64)
            word &= (1ull << (maxnode - bit)) - 1;
        if (bit == 0) {
            *node0 = word & 1;
            word &= ~1ull;
        }
        if (word)
            return -EINVAL;
    }
    return 0;
}

static int check_policy(int mode, uaddr_t mask, uint64_t maxnode)
{
    bool node0;
    int err = read_nodes(mask, maxnode, &node0);
    if (err)
        return err;
    switch (mode & ~(int)MPOL_MODE_FLAGS) {
    case MPOL_DEFAULT_K:
    case MPOL_LOCAL_K: return node0 ? -EINVAL : 0;
    case MPOL_PREFERRED_K: return 0;
    case MPOL_BIND_K:
    case MPOL_INTERLEAVE_K:
    case MPOL_PREFERRED_MANY_K: return node0 ? 0 : -EINVAL;
    default: return -EINVAL;
    }
}

int64_t sys_set_mempolicy(int mode, uaddr_t mask, uint64_t maxnode)
{
    return check_policy(mode, mask, maxnode);
}

int64_t sys_mbind(uaddr_t addr, uint64_t len, int mode, uaddr_t mask, uint64_t maxnode,
                  uint32_t flags)
{
    struct mm *mm = current->mm;
    if ((flags & ~MPOL_MF_VALID) || (addr & ~PAGE_MASK))
        return -EINVAL;
    int err = check_policy(mode, mask, maxnode);
    uaddr_t end = addr + PAGE_ALIGN(len);
    if (err || end == addr)
        return err;
    if (end < addr)
        return -EINVAL;
    mutex_lock(&mm->lock);
    for (uaddr_t at = addr; at < end && !err;) {
        struct vma *v = mm_find(mm, at);
        if (v)
            at = v->end;
        else
            err = -EFAULT;
    }
    mutex_unlock(&mm->lock);
    return err;
}

int64_t sys_get_mempolicy(uaddr_t policy, uaddr_t mask, uint64_t maxnode, uaddr_t addr,
                          uint64_t flags)
{
    bool allowed = flags & MPOL_F_MEMS_ALLOWED_K;
    if ((flags & ~7ull) || (allowed && (flags & (MPOL_F_NODE_K | MPOL_F_ADDR_K))))
        return -EINVAL;
    if (mask && maxnode < 1)
        return -EINVAL;
    if (!(flags & MPOL_F_ADDR_K)) {
        if (addr ||
            (flags & MPOL_F_NODE_K)) /* the next node of an interleaving policy: there is none */
            return -EINVAL;
    } else {
        mutex_lock(&current->mm->lock);
        bool mapped = mm_find(current->mm, addr);
        mutex_unlock(&current->mm->lock);
        if (!mapped)
            return -EFAULT;
    }
    int answer = 0; /* MPOL_DEFAULT, and node 0 */
    if (policy && put_user(answer, policy))
        return -EFAULT;
    for (uint64_t bit = 0; mask && bit + 1 < maxnode && bit < MAX_NODES; bit += 64) {
        uint64_t word = allowed && bit == 0;
        if (put_user(word, mask + bit / 8))
            return -EFAULT;
    }
    return 0;
}
