/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/exec_stack.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "crypto/drbg.h"
#include "mm/mm.h"
#include "proc/elf.h"
#include "proc/rseq.h"
#include "proc/task.h"

enum {
    AT_NULL_K = 0,
    AT_PHDR_K = 3,
    AT_PHENT_K = 4,
    AT_PHNUM_K = 5,
    AT_PAGESZ_K = 6,
    AT_BASE_K = 7,
    AT_FLAGS_K = 8,
    AT_ENTRY_K = 9,
    AT_UID_K = 11,
    AT_EUID_K = 12,
    AT_GID_K = 13,
    AT_EGID_K = 14,
    AT_PLATFORM_K = 15,
    AT_HWCAP_K = 16,
    AT_CLKTCK_K = 17,
    AT_SECURE_K = 23,
    AT_RANDOM_K = 25,
    AT_HWCAP2_K = 26,
    AT_RSEQ_FEATURE_SIZE_K = 27,
    AT_RSEQ_ALIGN_K = 28,
    AT_EXECFN_K = 31,
    AT_SYSINFO_EHDR_K = 33,
    AT_MINSIGSTKSZ_K = 51,
};
#define HWCAP2_FSGSBASE 2
#define AUXV_PAIRS 23u
#define CLOCK_TICKS 100
/* Of a signal frame besides the extended state: siginfo, ucontext, alignment, red zone. */
#define SIGFRAME_FIXED 1024u
#define CHUNK_WORDS 512u

static const char platform[16] = "x86_64";

/* Strings above, room for alignment, platform and random bytes, the vectors. */
uint64_t exec_stack_bytes(const struct exec_args *a, const char *filename)
{
    uint64_t words = 1 + a->argv.count + 1 + a->envp.count + 1 + 2 * AUXV_PAIRS;
    return 8 + strlen(filename) + 1 + a->envp.len + a->argv.len + 16 + sizeof(platform) + 16 +
           words * 8 + 16;
}

/* Writes words upwards from `at`, a chunk at a time. */
struct word_writer {
    uaddr_t at;
    uint64_t *chunk;
    unsigned n;
    int err;
};

static void flush_words(struct word_writer *w)
{
    if (w->n && !w->err && copy_to_user(w->at, w->chunk, w->n * sizeof(uint64_t)))
        w->err = -EFAULT;
    w->at += w->n * sizeof(uint64_t);
    w->n = 0;
}

static void put_word(struct word_writer *w, uint64_t word)
{
    w->chunk[w->n++] = word;
    if (w->n == CHUNK_WORDS)
        flush_words(w);
}

/* The addresses of the strings of l, which begin at `at`, and a NULL. */
static void put_pointers(struct word_writer *w, const struct string_list *l, uaddr_t at)
{
    size_t off = 0;
    for (uint64_t i = 0; i < l->count; i++) {
        put_word(w, at + off);
        off += strlen(l->buf + off) + 1;
    }
    put_word(w, 0);
}

static int copy_strings(uaddr_t at, const struct string_list *l)
{
    return l->len ? copy_to_user(at, l->buf, l->len) : 0;
}

/* Fills mm->saved_auxv; returns the number of words. */
static unsigned make_auxv(struct mm *mm, const struct exec_auxv *aux, uaddr_t filename,
                          uaddr_t random, uaddr_t platform_at)
{
    const struct cred *c = current->cred;
    uint32_t id[4];
    cpuid(1, 0, id);
    const uint64_t pairs[AUXV_PAIRS][2] = {
        {AT_SYSINFO_EHDR_K, mm->vdso_base},
        {AT_MINSIGSTKSZ_K, ALIGN_UP(arch_xstate_size() + SIGFRAME_FIXED, 16)},
        {AT_HWCAP_K, id[3]},
        {AT_PAGESZ_K, PAGE_SIZE},
        {AT_CLKTCK_K, CLOCK_TICKS},
        {AT_PHDR_K, aux->phdr},
        {AT_PHENT_K, sizeof(struct k_elf_phdr)},
        {AT_PHNUM_K, aux->phnum},
        {AT_BASE_K, aux->base},
        {AT_FLAGS_K, 0},
        {AT_ENTRY_K, aux->entry},
        {AT_UID_K, c->uid},
        {AT_EUID_K, c->euid},
        {AT_GID_K, c->gid},
        {AT_EGID_K, c->egid},
        {AT_SECURE_K, aux->secure},
        {AT_RANDOM_K, random},
        {AT_HWCAP2_K, HWCAP2_FSGSBASE},
        {AT_RSEQ_FEATURE_SIZE_K, RSEQ_FEATURE_SIZE_K},
        {AT_RSEQ_ALIGN_K, RSEQ_ALIGN_K},
        {AT_EXECFN_K, filename},
        {AT_PLATFORM_K, platform_at},
        {AT_NULL_K, 0},
    };
    _Static_assert(sizeof(pairs) <= sizeof(mm->saved_auxv), "saved_auxv is too small");
    memcpy(mm->saved_auxv, pairs, sizeof(pairs));
    mm->saved_auxv_len = AUXV_PAIRS;
    return 2 * AUXV_PAIRS;
}

int exec_stack_build(struct mm *mm, const struct exec_args *a, const char *filename,
                     const struct exec_auxv *aux, uaddr_t top, uaddr_t *sp)
{
    uint8_t random[16];
    uaddr_t filename_at = top - 8 - (strlen(filename) + 1);
    uaddr_t env_at = filename_at - a->envp.len, arg_at = env_at - a->argv.len;
    uaddr_t platform_at = (arg_at - sizeof(platform)) & ~15ull,
            random_at = platform_at - sizeof(random);
    uint64_t words = 1 + a->argv.count + 1 + a->envp.count + 1 + 2 * AUXV_PAIRS;
    *sp = (random_at - words * 8) & ~15ull;

    drbg_fill(random, sizeof(random));
    if (copy_to_user(filename_at, filename, strlen(filename) + 1) ||
        copy_strings(env_at, &a->envp) || copy_strings(arg_at, &a->argv) ||
        copy_to_user(platform_at, platform, sizeof(platform)) ||
        copy_to_user(random_at, random, sizeof(random)))
        return -EFAULT;

    struct word_writer w = {.at = *sp, .chunk = kmalloc(CHUNK_WORDS * sizeof(uint64_t))};
    if (!w.chunk)
        return -ENOMEM;
    put_word(&w, a->argv.count);
    put_pointers(&w, &a->argv, arg_at);
    put_pointers(&w, &a->envp, env_at);
    unsigned n = make_auxv(mm, aux, filename_at, random_at, platform_at);
    for (unsigned i = 0; i < n; i++)
        put_word(&w, mm->saved_auxv[i]);
    flush_words(&w);
    kfree(w.chunk);

    mm->stack_start = *sp;
    mm->arg_start = arg_at;
    mm->arg_end = mm->env_start = env_at;
    mm->env_end = filename_at;
    return w.err;
}
