/* SPDX-License-Identifier: Apache-2.0 */
#include "base/usercopy.h"

#include "base/errno.h"
#include "mm/mm.h"
#include "proc/task.h"

size_t arch_user_copy(void *dst, const void *src, size_t n);
size_t arch_user_clear(void *dst, size_t n);
long arch_user_strncpy(char *dst, const char *src, size_t n);
long arch_user_strnlen(const char *src, size_t n);
int arch_user_load32(uint32_t *old, uaddr_t addr);
int arch_user_cmpxchg32(uint32_t *old, uaddr_t addr, uint32_t expected, uint32_t desired);
int arch_user_touch_read(uaddr_t addr);
int arch_user_touch_write(uaddr_t addr);

struct fixup {
    uint64_t from, to;
};
extern const struct fixup __start_cella_fixup[] __attribute__((visibility("hidden")));
extern const struct fixup __stop_cella_fixup[] __attribute__((visibility("hidden")));

uint64_t kernel_fault_fixup(uint64_t rip)
{
    for (const struct fixup *f = __start_cella_fixup; f < __stop_cella_fixup; f++)
        if (f->from == rip)
            return f->to;
    return 0;
}

int user_fault_in(uaddr_t addr, bool write)
{
    if (!user_range_ok(addr, 1) || !current->mm)
        return -EFAULT;
    if (mm_fault(current->mm, addr, write ? FAULT_WRITE : FAULT_READ).sig)
        return -EFAULT;
    /* mm_fault may find nothing to do for memory that the HAL fills by itself; the access decides.
     */
    return (write ? arch_user_touch_write(addr) : arch_user_touch_read(addr)) ? -EFAULT : 0;
}

size_t copy_from_user_partial(void *dst, uaddr_t src, size_t n)
{
    if (unlikely(!user_range_ok(src, n)))
        return n;
    size_t left = arch_user_copy(dst, (const void *)src, n);
    while (unlikely(left) && user_fault_in(src + (n - left), false) == 0)
        left = arch_user_copy((char *)dst + (n - left), (const void *)(src + (n - left)), left);
    return left;
}

size_t copy_to_user_partial(uaddr_t dst, const void *src, size_t n)
{
    if (unlikely(!user_range_ok(dst, n)))
        return n;
    size_t left = arch_user_copy((void *)dst, src, n);
    while (unlikely(left) && user_fault_in(dst + (n - left), true) == 0)
        left = arch_user_copy((void *)(dst + (n - left)), (const char *)src + (n - left), left);
    return left;
}

int copy_from_user(void *dst, uaddr_t src, size_t n)
{
    return copy_from_user_partial(dst, src, n) ? -EFAULT : 0;
}

int copy_to_user(uaddr_t dst, const void *src, size_t n)
{
    return copy_to_user_partial(dst, src, n) ? -EFAULT : 0;
}

int clear_user(uaddr_t dst, size_t n)
{
    if (!user_range_ok(dst, n))
        return -EFAULT;
    size_t left = arch_user_clear((void *)dst, n);
    while (left && user_fault_in(dst + (n - left), true) == 0)
        left = arch_user_clear((void *)(dst + (n - left)), left);
    return left ? -EFAULT : 0;
}

long strncpy_from_user(char *dst, uaddr_t src, size_t size)
{
    size_t done = 0;
    if (!user_range_ok(src, 1))
        return -EFAULT;
    size_t max = k_min((uint64_t)size, USER_LIMIT - src);
    for (;;) {
        long r = arch_user_strncpy(dst + done, (const char *)(src + done), max - done);
        if (r >= 0) {
            done += (size_t)r;
            if (done < max)
                return (long)done;
            return max < size ? -EFAULT : -ENAMETOOLONG;
        }
        done += (size_t)(-1 - r);
        if (user_fault_in(src + done, false))
            return -EFAULT;
    }
}

long strnlen_user(uaddr_t src, size_t max)
{
    size_t done = 0;
    if (!user_range_ok(src, 1))
        return -EFAULT;
    size_t limit = k_min((uint64_t)max, USER_LIMIT - src);
    for (;;) {
        long r = arch_user_strnlen((const char *)(src + done), limit - done);
        if (r >= 0) {
            done += (size_t)r;
            return done == limit && limit < max ? -EFAULT : (long)done;
        }
        done += (size_t)(-1 - r);
        if (user_fault_in(src + done, false))
            return -EFAULT;
    }
}

int user_load32_atomic(uint32_t *old, uaddr_t addr)
{
    if (!user_range_ok(addr, 4) || (addr & 3))
        return -EFAULT;
    return arch_user_load32(old, addr) ? -EFAULT : 0;
}

int user_cmpxchg32(uint32_t *old, uaddr_t addr, uint32_t expected, uint32_t desired)
{
    if (!user_range_ok(addr, 4) || (addr & 3))
        return -EFAULT;
    return arch_user_cmpxchg32(old, addr, expected, desired) ? -EFAULT : 0;
}

int user_atomic_op32(uint32_t *old, uaddr_t addr, int op, uint32_t arg)
{
    if (user_load32_atomic(old, addr))
        return -EFAULT;
    for (;;) {
        uint32_t seen, want;
        switch (op) {
        case 0: want = arg; break;
        case 1: want = *old + arg; break;
        case 2: want = *old | arg; break;
        case 3: want = *old & ~arg; break;
        case 4: want = *old ^ arg; break;
        default: return -ENOSYS;
        }
        if (user_cmpxchg32(&seen, addr, *old, want))
            return -EFAULT;
        if (seen == *old)
            return 0;
        *old = seen;
    }
}
