/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/exec_args.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "proc/task.h"

#define FIRST_CAP (8 * 1024ul)
#define ARG_MAX_K 131072ull
#define LIMIT_MAX (6ull << 20) /* three quarters of the default stack */

void exec_args_init(struct exec_args *a)
{
    memset(a, 0, sizeof(*a));
    a->limit = k_max(k_min(rlimit_cur(RLIMIT_STACK_K) / 4, LIMIT_MAX), ARG_MAX_K);
}

void exec_args_release(struct exec_args *a)
{
    kfree(a->argv.buf);
    kfree(a->envp.buf);
    a->argv.buf = a->envp.buf = NULL;
}

static int check_size(const struct exec_args *a)
{
    uint64_t pointers = (a->argv.count + a->envp.count) * sizeof(uint64_t);
    return a->argv.len + a->envp.len + pointers > a->limit ? -E2BIG : 0;
}

/* Makes room for `more` bytes behind what is there. */
static int reserve(struct string_list *l, size_t more)
{
    size_t cap = l->cap ? l->cap : FIRST_CAP;
    if (l->cap - l->len >= more)
        return 0;
    while (cap - l->len < more)
        cap *= 2;
    char *buf = krealloc(l->buf, l->cap, cap);
    if (!buf)
        return -ENOMEM;
    l->buf = buf;
    l->cap = cap;
    return 0;
}

static int add_kernel(struct string_list *l, const char *s)
{
    size_t n = strlen(s) + 1;
    if (n > MAX_ARG_STRLEN)
        return -E2BIG;
    int err = reserve(l, n);
    if (err)
        return err;
    memcpy(l->buf + l->len, s, n);
    l->len += n;
    l->count++;
    return 0;
}

static int add_user(struct string_list *l, uaddr_t s)
{
    for (size_t room = 256;; room = k_min(room * 8, MAX_ARG_STRLEN)) {
        int err = reserve(l, room);
        if (err)
            return err;
        size_t max = k_min(l->cap - l->len, MAX_ARG_STRLEN);
        long n = strncpy_from_user(l->buf + l->len, s, max);
        if (n >= 0) {
            l->len += (size_t)n + 1;
            l->count++;
            return 0;
        }
        if (n != -ENAMETOOLONG)
            return (int)n;
        if (max == MAX_ARG_STRLEN)
            return -E2BIG;
    }
}

static int list_from_user(struct exec_args *a, struct string_list *l, uaddr_t array)
{
    if (!array)
        return 0;
    for (;; array += sizeof(uint64_t)) {
        uint64_t s;
        if (get_user(s, array))
            return -EFAULT;
        if (!s)
            return 0;
        int err = add_user(l, s);
        if (!err)
            err = check_size(a);
        if (!err && signal_pending_fatal())
            err = -ERESTARTNOHAND;
        if (err)
            return err;
    }
}

/* Programs rely on argv[0]: they would take the first variable for it. */
static int fill_empty_argv(struct exec_args *a)
{
    return a->argv.count ? 0 : add_kernel(&a->argv, "");
}

int exec_args_from_user(struct exec_args *a, uaddr_t argv, uaddr_t envp)
{
    int err = list_from_user(a, &a->envp, envp);
    if (!err)
        err = list_from_user(a, &a->argv, argv);
    return err ? err : fill_empty_argv(a);
}

int exec_args_from_kernel(struct exec_args *a, char *const argv[], char *const envp[])
{
    int err = 0;
    for (; *argv && !err; argv++)
        err = add_kernel(&a->argv, *argv);
    for (; *envp && !err; envp++)
        err = add_kernel(&a->envp, *envp);
    if (!err)
        err = check_size(a);
    return err ? err : fill_empty_argv(a);
}

int exec_args_for_script(struct exec_args *a, const char *interp, const char *arg, const char *path)
{
    struct string_list l = {NULL, 0, 0, 0};
    size_t skip = strlen(a->argv.buf) + 1, rest = a->argv.len - skip;
    int err = add_kernel(&l, interp);
    if (!err && arg)
        err = add_kernel(&l, arg);
    if (!err)
        err = add_kernel(&l, path);
    if (!err)
        err = reserve(&l, rest);
    if (err) {
        kfree(l.buf);
        return err;
    }
    memcpy(l.buf + l.len, a->argv.buf + skip, rest);
    l.len += rest;
    l.count += a->argv.count - 1;
    kfree(a->argv.buf);
    a->argv = l;
    return check_size(a);
}
