/* SPDX-License-Identifier: Apache-2.0 */
/* Reference counts. */
#ifndef CELLA_KERNEL_BASE_REF_H
#define CELLA_KERNEL_BASE_REF_H

#include "base/types.h"

struct ref {
    int32_t count;
};

static inline void ref_init(struct ref *r, int32_t n)
{
    __atomic_store_n(&r->count, n, __ATOMIC_RELAXED);
}
static inline void ref_get(struct ref *r)
{
    __atomic_add_fetch(&r->count, 1, __ATOMIC_RELAXED);
}
/* Takes a reference unless the count has already fallen to zero. */
static inline bool ref_get_unless_zero(struct ref *r)
{
    int32_t c = __atomic_load_n(&r->count, __ATOMIC_RELAXED);
    while (c > 0)
        if (__atomic_compare_exchange_n(&r->count, &c, c + 1, true, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED))
            return true;
    return false;
}
/* Drops one reference; true when it was the last one. */
static inline bool ref_put(struct ref *r)
{
    return __atomic_sub_fetch(&r->count, 1, __ATOMIC_ACQ_REL) == 0;
}
static inline int32_t ref_read(const struct ref *r)
{
    return __atomic_load_n(&r->count, __ATOMIC_RELAXED);
}

#endif
