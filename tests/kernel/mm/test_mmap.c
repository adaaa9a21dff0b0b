/* SPDX-License-Identifier: Apache-2.0 */
/* Areas: mapping, splitting, joining, moving; what the tree says must be what the memory does. */
#include "mm/vma.h"

#include "base/errno.h"
#include "base/string.h"
#include "fs/vfs.h"
#include "ktest.h"
#include "proc/task.h"

int64_t sys_mmap(uaddr_t addr, uint64_t len, int prot, int flags, int fd, uint64_t offset);
int64_t sys_munmap(uaddr_t addr, uint64_t len);
int64_t sys_mprotect(uaddr_t addr, uint64_t len, int prot);
int64_t sys_mremap(uaddr_t old_addr, uint64_t old_len, uint64_t new_len, uint64_t flags,
                   uaddr_t new_addr);
int64_t sys_madvise(uaddr_t start, uint64_t len_in, int advice);
int64_t sys_brk(uaddr_t brk);
int64_t sys_mlock(uaddr_t addr, uint64_t len);
int64_t sys_munlock(uaddr_t addr, uint64_t len);

#define P PAGE_SIZE
#define RW (PROT_READ_K | PROT_WRITE_K)
#define ANON (MAP_PRIVATE_K | MAP_ANONYMOUS_K)

static int64_t anon(uaddr_t at, uint64_t pages, int prot, int flags)
{
    return sys_mmap(at, pages * P, prot, ANON | flags, -1, 0);
}

static int nr_areas(void)
{
    return (int)current->mm->nr_vmas;
}

/* The tree is ordered, counts are right, nothing overlaps and nothing that could be one is two. */
static void check_areas(void)
{
    struct mm *mm = current->mm;
    uint32_t n = 0;
    uint64_t pages = 0;
    struct vma *last = NULL;
    for (struct vma *v = mm_first(mm); v; last = v, v = vma_next(v), n++) {
        KCHECK(v->start < v->end && ((v->start | v->end) & (P - 1)) == 0);
        KCHECK(!last || last->end <= v->start);
        KCHECK(!last || last->end != v->start || last->prot != v->prot || last->flags != v->flags ||
               last->inode != v->inode || v->inode);
        KCHECK(v->mm == mm);
        KCHECK((v->inode == NULL) == (v->file == NULL));
        pages += (v->end - v->start) / P;
    }
    KCHECK_EQ(n, mm->nr_vmas);
    KCHECK_EQ(pages, mm->total_vm);
}

static bool readable(uaddr_t a)
{
    uint8_t b;
    return copy_from_user(&b, a, 1) == 0;
}

static bool writable(uaddr_t a)
{
    uint8_t b;
    return copy_from_user(&b, a, 1) == 0 && copy_to_user(a, &b, 1) == 0;
}

KTEST(mmap_neighbours_join_and_holes_split)
{
    int before = nr_areas();
    int64_t a = anon(0, 10, RW, 0);
    KCHECK(a > 0);
    KCHECK_EQ(nr_areas(), before + 1);
    KCHECK_EQ(sys_munmap((uaddr_t)a + 3 * P, 2 * P), 0);
    KCHECK_EQ(nr_areas(), before + 2);
    KCHECK(readable((uaddr_t)a + 2 * P) && !readable((uaddr_t)a + 3 * P) &&
           !readable((uaddr_t)a + 4 * P) && readable((uaddr_t)a + 5 * P));
    KCHECK_EQ(anon((uaddr_t)a + 3 * P, 2, RW, MAP_FIXED_K), a + 3 * (int64_t)P);
    KCHECK_EQ(nr_areas(), before + 1);
    check_areas();
    KCHECK_EQ(sys_munmap((uaddr_t)a - P, 20 * P), 0);
    KCHECK_EQ(nr_areas(), before);
    check_areas();
}

KTEST(mmap_arguments_are_checked)
{
    KCHECK_EQ(sys_mmap(0, 0, RW, ANON, -1, 0), -EINVAL);
    KCHECK_EQ(sys_mmap(0, P, RW, MAP_ANONYMOUS_K, -1, 0), -EINVAL);
    KCHECK_EQ(sys_mmap(0, UINT64_MAX, RW, ANON, -1, 0), -ENOMEM);
    KCHECK_EQ(sys_mmap(0, USER_LIMIT, RW, ANON, -1, 0), -ENOMEM);
    KCHECK_EQ(sys_mmap(1, P, RW, ANON | MAP_FIXED_K, -1, 0), -EINVAL);
    KCHECK_EQ(sys_mmap(0, P, RW, ANON | MAP_FIXED_K, -1, 0), -EPERM);
    KCHECK_EQ(sys_mmap(USER_LIMIT, P, RW, ANON | MAP_FIXED_K, -1, 0), -ENOMEM);
    KCHECK_EQ(sys_mmap(USER_LIMIT - P, 2 * P, RW, ANON | MAP_FIXED_K, -1, 0), -ENOMEM);
    KCHECK_EQ(sys_mmap(0, P, RW, MAP_PRIVATE_K, 50, 0), -EBADF);
    KCHECK_EQ(sys_mmap(0, P, RW, ANON, -1, 5), -EINVAL);
    int64_t a = anon(0, 1, RW, 0);
    KCHECK_EQ(anon((uaddr_t)a, 1, RW, MAP_FIXED_NOREPLACE_K), -EEXIST);
    KCHECK(anon((uaddr_t)a, 1, RW, 0) != a); /* a hint that is taken */
    KCHECK_EQ(sys_munmap((uaddr_t)a + 1, P), -EINVAL);
    KCHECK_EQ(sys_munmap((uaddr_t)a, 0), -EINVAL);
    KCHECK_EQ(sys_munmap(USER_LIMIT - P, 2 * P), -EINVAL);
    KCHECK_EQ(sys_mprotect((uaddr_t)a + 1, P, 0), -EINVAL);
    check_areas();
}

KTEST(mprotect_splits_joins_and_takes_effect)
{
    int before = nr_areas();
    uaddr_t a = (uaddr_t)anon(0, 8, RW, 0);
    KCHECK(writable(a + 4 * P));
    KCHECK_EQ(sys_mprotect(a + 2 * P, 4 * P, PROT_READ_K), 0);
    KCHECK_EQ(nr_areas(), before + 3);
    KCHECK(writable(a + P) && readable(a + 2 * P) && !writable(a + 5 * P) && writable(a + 6 * P));
    KCHECK_EQ(sys_mprotect(a, 8 * P, 0), 0);
    KCHECK_EQ(nr_areas(), before + 1);
    KCHECK(!readable(a) && !readable(a + 7 * P));
    KCHECK_EQ(sys_mprotect(a, 8 * P, RW), 0);
    KCHECK(writable(a + 3 * P));
    KCHECK_EQ(sys_munmap(a + 4 * P, P), 0);
    KCHECK_EQ(sys_mprotect(a, 8 * P, PROT_READ_K),
              -ENOMEM); /* a hole; what is before it has changed */
    KCHECK(!writable(a + 3 * P));
    check_areas();
}

KTEST(mremap_grows_in_place_moves_and_shrinks)
{
    enum { MAYMOVE = 1, FIXED = 2 };
    uaddr_t a = (uaddr_t)anon(0, 8, RW, 0);
    KCHECK_EQ(put_user(0x1234u, a), 0);
    KCHECK_EQ(put_user(0x5678u, a + 3 * P), 0);
    KCHECK_EQ(sys_mremap(a, 8 * P, 4 * P, 0, 0), (int64_t)a);
    KCHECK(!readable(a + 4 * P));
    KCHECK_EQ(sys_mremap(a, 4 * P, 8 * P, 0, 0), (int64_t)a);
    KCHECK(writable(a + 7 * P));
    KCHECK_EQ(anon(a + 8 * P, 1, PROT_READ_K, MAP_FIXED_K), (int64_t)(a + 8 * P));
    KCHECK_EQ(sys_mremap(a, 8 * P, 16 * P, 0, 0), -ENOMEM);
    int64_t b = sys_mremap(a, 8 * P, 16 * P, MAYMOVE, 0);
    KCHECK(b > 0 && (uaddr_t)b != a && !readable(a));
    uint32_t v = 0;
    KCHECK_EQ(get_user(v, (uaddr_t)b), 0);
    KCHECK_EQ(v, 0x1234);
    KCHECK_EQ(get_user(v, (uaddr_t)b + 3 * P), 0);
    KCHECK_EQ(v, 0x5678);
    KCHECK(writable((uaddr_t)b + 15 * P));
    uaddr_t c = (uaddr_t)anon(0, 4, RW, 0);
    KCHECK_EQ(sys_mremap((uaddr_t)b, 2 * P, 2 * P, MAYMOVE | FIXED, c + P), (int64_t)(c + P));
    KCHECK_EQ(get_user(v, c + P), 0);
    KCHECK_EQ(v, 0x1234);
    KCHECK(!readable((uaddr_t)b + P) && readable((uaddr_t)b + 2 * P));
    KCHECK_EQ(sys_mremap(c, P, P, FIXED, a), -EINVAL);
    KCHECK_EQ(sys_mremap(c, 2 * P, 2 * P, MAYMOVE | FIXED, c + P), -EINVAL); /* overlap */
    KCHECK_EQ(sys_mremap(c, P, 0, MAYMOVE, 0), -EINVAL);
    KCHECK_EQ(sys_mremap(a + 100 * P, P, 2 * P, MAYMOVE, 0), -EFAULT);
    check_areas();
}

KTEST(madvise_dontneed_gives_zeros)
{
    enum { DONTNEED = 4 };
    uaddr_t a = (uaddr_t)anon(0, 3, RW, 0);
    uint32_t v = 9;
    for (int i = 0; i < 3; i++)
        KCHECK_EQ(put_user(0x77u, a + (uaddr_t)i * P), 0);
    KCHECK_EQ(sys_madvise(a + P, P, DONTNEED), 0);
    KCHECK_EQ(get_user(v, a + P), 0);
    KCHECK_EQ(v, 0);
    KCHECK_EQ(get_user(v, a + 2 * P), 0);
    KCHECK_EQ(v, 0x77);
    KCHECK_EQ(sys_madvise(a, P, 99), -EINVAL);
    KCHECK_EQ(sys_madvise(a + 1, P, DONTNEED), -EINVAL);
    KCHECK_EQ(sys_madvise(a - 100 * P, P, DONTNEED), -ENOMEM);
}

KTEST(stack_grows_down_to_its_limit)
{
    struct k_rlimit old = current->process->rlim[RLIMIT_STACK_K];
    uaddr_t top = (uaddr_t)anon(0, 4096, 0, 0) + 4096 * P;
    KCHECK_EQ(sys_munmap(top - 4096 * P, 4096 * P), 0);
    KCHECK_EQ(anon(top - 2 * P, 2, RW, MAP_FIXED_K | MAP_GROWSDOWN_K), (int64_t)(top - 2 * P));
    current->process->rlim[RLIMIT_STACK_K].cur = 100 * P;
    KCHECK(writable(top - 3 * P));
    KCHECK(writable(top - 90 * P));
    KCHECK(!writable(top - 101 * P));
    struct vma *v = mm_find(current->mm, top - P);
    KCHECK(v && v->end == top && v->end - v->start <= 100 * P);
    /* Something below keeps its distance. */
    current->process->rlim[RLIMIT_STACK_K] = old;
    KCHECK_EQ(anon(top - 1000 * P, 1, RW, MAP_FIXED_K), (int64_t)(top - 1000 * P));
    KCHECK(writable(top - 700 * P));
    KCHECK(!writable(top - 900 * P));
    check_areas();
}

KTEST(brk_moves_the_end_of_the_heap)
{
    uaddr_t base = (uaddr_t)anon(0, 64, 0, 0);
    KCHECK_EQ(sys_munmap(base, 64 * P), 0);
    KCHECK_EQ(mm_set_brk(current->mm, base), 0);
    uaddr_t start = (uaddr_t)sys_brk(0);
    KCHECK(start >= base);
    KCHECK_EQ(sys_brk(start + 5 * P + 1), (int64_t)(start + 5 * P + 1));
    KCHECK(writable(start + 5 * P));
    KCHECK_EQ(put_user(1u, start + 4 * P), 0);
    KCHECK_EQ(sys_brk(start + P), (int64_t)(start + P));
    KCHECK(!readable(start + 4 * P));
    KCHECK_EQ(sys_brk(start + 5 * P), (int64_t)(start + 5 * P));
    uint32_t v = 5;
    KCHECK_EQ(get_user(v, start + 4 * P), 0);
    KCHECK_EQ(v, 0);
    KCHECK_EQ(sys_brk(start - 1), (int64_t)(start + 5 * P));
    KCHECK_EQ(sys_brk(USER_LIMIT), (int64_t)(start + 5 * P));
    check_areas();
}

KTEST(limits_of_address_space_and_locked_memory)
{
    struct process *p = current->process;
    struct k_rlimit as = p->rlim[RLIMIT_AS_K], locked = p->rlim[RLIMIT_MEMLOCK_K];
    uaddr_t a = (uaddr_t)anon(0, 10, RW, 0);
    p->rlim[RLIMIT_AS_K].cur = (current->mm->total_vm + 5) * P;
    KCHECK_EQ(anon(0, 6, RW, 0), -ENOMEM);
    KCHECK(anon(a, 10, RW, MAP_FIXED_K) > 0); /* replaces as much */
    KCHECK(anon(0, 5, RW, 0) > 0);
    p->rlim[RLIMIT_AS_K] = as;
    KCHECK_EQ(sys_mlock(a, 4 * P), 0);
    KCHECK_EQ(current->mm->locked_vm, 4);
    KCHECK_EQ(sys_munlock(a + P, P), 0);
    KCHECK_EQ(current->mm->locked_vm, 3);
    KCHECK_EQ(sys_munmap(a, 10 * P), 0);
    KCHECK_EQ(current->mm->locked_vm, 0);
    KCHECK_EQ(sys_mlock(a, P), -ENOMEM);
    p->rlim[RLIMIT_MEMLOCK_K] = locked;
    check_areas();
}

KTEST(mmap_random_changes_match_a_page_map)
{
    enum { PAGES = 64 };
    static uint8_t model[PAGES]; /* 0: hole, else prot + 1 */
    uint32_t seed = 3;
    uaddr_t base = (uaddr_t)anon(0, PAGES, 0, 0);
    KCHECK_EQ(sys_munmap(base, PAGES * P), 0);
    memset(model, 0, sizeof(model));
    for (int round = 0; round < 3000; round++) {
        seed = seed * 1664525 + 1013904223;
        uint32_t at = (seed >> 8) % PAGES, n = (seed >> 16) % 12 + 1, what = (seed >> 24) % 3;
        static const int prots[] = {0, PROT_READ_K, RW};
        int prot = prots[(seed >> 5) % 3];
        n = k_min(n, PAGES - at);
        uaddr_t a = base + at * P;
        if (what == 0) {
            KCHECK_EQ(anon(a, n, prot, MAP_FIXED_K), (int64_t)a);
            memset(model + at, prot + 1, n);
        } else if (what == 1) {
            KCHECK_EQ(sys_munmap(a, n * P), 0);
            memset(model + at, 0, n);
        } else {
            uint32_t k = 0;
            while (k < n && model[at + k])
                k++;
            KCHECK_EQ(sys_mprotect(a, n * P, prot), k < n ? -ENOMEM : 0);
            memset(model + at, prot + 1, k);
        }
        if (round % 50 == 0) {
            check_areas();
            for (uint32_t i = 0; i < PAGES; i++) {
                KCHECK_EQ(readable(base + i * P), model[i] > 1);
                KCHECK_EQ(writable(base + i * P), model[i] == RW + 1);
            }
        }
        if (ktest_failed())
            return;
    }
}
