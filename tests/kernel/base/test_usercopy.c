/* SPDX-License-Identifier: Apache-2.0 */
#include "base/usercopy.h"

#include "base/errno.h"
#include "base/string.h"
#include "ktest.h"
#include "mm/mm.h"
#include "proc/task.h"

/* Two pages, of which the second is not there. */
static uaddr_t page_before_hole(void)
{
    uaddr_t a = ktest_map(2 * PAGE_SIZE);
    mm_unmap(current->mm, a + PAGE_SIZE, PAGE_SIZE);
    return a;
}

KTEST(usercopy_counts_exactly_what_was_not_copied)
{
    static uint8_t buf[4096];
    uaddr_t end = page_before_hole() + PAGE_SIZE;
    for (size_t n = 1; n < 300; n += 7)
        for (size_t there = 0; there < 40; there += 3) {
            size_t want = n > there ? n - there : 0;
            KCHECK_EQ(copy_to_user_partial(end - there, buf, n), want);
            KCHECK_EQ(copy_from_user_partial(buf, end - there, n), want);
        }
}

KTEST(usercopy_refuses_addresses_that_are_not_the_workloads)
{
    char c = 1;
    static char own;
    KCHECK_EQ(copy_from_user(&c, USER_LIMIT, 1), -EFAULT);
    KCHECK_EQ(copy_from_user(&c, UINT64_MAX, 1), -EFAULT);
    KCHECK_EQ(copy_to_user(USER_LIMIT - 1, &own, 2), -EFAULT);
    KCHECK_EQ(copy_to_user(UINT64_MAX - 7, &own, 16), -EFAULT);
    KCHECK_EQ(copy_to_user(0, &own, 1), -EFAULT);
    KCHECK_EQ(clear_user(USER_LIMIT - 4, 8), -EFAULT);
    KCHECK_EQ(strnlen_user(USER_LIMIT, 8), -EFAULT);
    KCHECK_EQ(copy_from_user(&c, 0x1000, 0), 0);
    char s[8];
    KCHECK_EQ(strncpy_from_user(s, UINT64_MAX - 3, sizeof(s)), -EFAULT);
}

KTEST(usercopy_strings_end_at_nul_size_or_hole)
{
    char s[16];
    uaddr_t end = page_before_hole() + PAGE_SIZE;
    KCHECK_EQ(copy_to_user(end - 4, "abc", 4), 0);
    KCHECK_EQ(strncpy_from_user(s, end - 4, sizeof(s)), 3);
    KCHECK(strcmp(s, "abc") == 0);
    KCHECK_EQ(strnlen_user(end - 4, 16), 3);
    KCHECK_EQ(strncpy_from_user(s, end - 4, 3), -ENAMETOOLONG);
    KCHECK_EQ(strnlen_user(end - 4, 2), 2);
    KCHECK_EQ(copy_to_user(end - 3, "xyz", 3), 0);
    KCHECK_EQ(strncpy_from_user(s, end - 3, sizeof(s)), -EFAULT);
    KCHECK_EQ(strnlen_user(end - 3, 16), -EFAULT);
    KCHECK_EQ(strncpy_from_user(s, end - 3, 3), -ENAMETOOLONG);
}

KTEST(usercopy_writes_only_where_the_workload_may)
{
    uaddr_t a = ktest_map(PAGE_SIZE);
    char c = 'x';
    KCHECK_EQ(copy_to_user(a, &c, 1), 0);
    KCHECK_EQ(mm_protect(current->mm, a, PAGE_SIZE, PROT_READ_K), 0);
    KCHECK_EQ(copy_to_user(a, &c, 1), -EFAULT);
    KCHECK_EQ(clear_user(a, 4), -EFAULT);
    c = 0;
    KCHECK_EQ(copy_from_user(&c, a, 1), 0);
    KCHECK(c == 'x');
    KCHECK_EQ(mm_protect(current->mm, a, PAGE_SIZE, 0), 0);
    KCHECK_EQ(copy_from_user(&c, a, 1), -EFAULT);
}

KTEST(usercopy_atomics_do_the_futex_operations)
{
    uaddr_t a = ktest_map(PAGE_SIZE);
    uint32_t old = 9;
    KCHECK_EQ(user_atomic_op32(&old, a, 0, 0xf0), 0);
    KCHECK_EQ(old, 0);
    KCHECK_EQ(user_atomic_op32(&old, a, 1, 0x0f), 0);
    KCHECK_EQ(old, 0xf0);
    KCHECK_EQ(user_atomic_op32(&old, a, 3, 0x0f), 0);
    KCHECK_EQ(user_atomic_op32(&old, a, 2, 1), 0);
    KCHECK_EQ(user_atomic_op32(&old, a, 4, 0xff), 0);
    KCHECK_EQ(old, 0xf1);
    KCHECK_EQ(user_load32_atomic(&old, a), 0);
    KCHECK_EQ(old, 0x0e);
    KCHECK_EQ(user_cmpxchg32(&old, a, 1, 2), 0);
    KCHECK_EQ(old, 0x0e);
    KCHECK_EQ(user_cmpxchg32(&old, a, 0x0e, 2), 0);
    KCHECK_EQ(user_load32_atomic(&old, a + 2), -EFAULT);
    KCHECK_EQ(user_load32_atomic(&old, page_before_hole() + PAGE_SIZE), -EFAULT);
    KCHECK_EQ(user_load32_atomic(&old, a), 0);
    KCHECK_EQ(old, 2);
}
