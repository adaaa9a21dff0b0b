/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processor as CPUID describes it (Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E), in
 * the words of Linux's /proc/cpuinfo.
 *
 * Virtual CPUs move between the host's: so what differs between those (APIC numbers, topology) is
 * not asked of CPUID. Every virtual CPU counts as a core of one package. Features whose registers
 * XCR0 does not enable are left out: the workload cannot use them.
 */
#include "arch/x86_64/cpuinfo.h"

#include "arch/x86_64/cpu.h"
#include "base/string.h"
#include "fs/pseudo.h"
#include "fs/text.h"
#include "hal.h"

enum { EAX, EBX, ECX, EDX };

/* ---- flags ---- */

struct flag_word {
    uint32_t leaf, sub;
    int reg;
    const char *names; /* of the bits from 0 on; "-": none, "@N": the next is bit N */
};

/* In the order in which Linux prints them. */
static const struct flag_word flag_words[] = {
    {1, 0, EDX,
     "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush "
     "- dts acpi mmx fxsr sse sse2 ss ht tm ia64 pbe"},
    {0x80000001, 0, EDX,
     "@11 syscall @19 mp nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm 3dnowext 3dnow"},
    {0x80000007, 0, EDX, "@8 constant_tsc"},
    {0x80000007, 0, EDX, "@8 nonstop_tsc"},
    {1, 0, ECX,
     "pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr "
     "pdcm - pcid dca sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave - avx "
     "f16c rdrand hypervisor"},
    {0x80000001, 0, ECX,
     "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw "
     "ibs xop skinit wdt - lwp fma4 tce - nodeid_msr - tbm topoext perfctr_core perfctr_nb "
     "- bpext ptsc perfctr_llc mwaitx"},
    {7, 0, EBX,
     "fsgsbase tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm cqm - mpx rdt_a "
     "avx512f avx512dq rdseed adx smap avx512ifma - clflushopt clwb intel_pt avx512pf "
     "avx512er avx512cd sha_ni avx512bw avx512vl"},
    {0xd, 1, EAX, "xsaveopt xsavec xgetbv1 xsaves xfd"},
    {7, 1, EAX, "@4 avx_vnni avx512_bf16 @10 fzrm fsrs fsrc"},
    {0x80000008, 0, EBX,
     "clzero irperf xsaveerptr - rdpru @9 wbnoinvd - - amd_ibpb - amd_ibrs amd_stibp @24 "
     "amd_ssbd virt_ssbd amd_ssb_no"},
    {6, 0, EAX, "dtherm ida arat - pln - pts hwp"},
    {7, 0, ECX,
     "- avx512vbmi umip pku ospke waitpkg avx512_vbmi2 - gfni vaes vpclmulqdq avx512_vnni "
     "avx512_bitalg tme avx512_vpopcntdq - la57 @22 rdpid - bus_lock_detect cldemote - "
     "movdiri movdir64b enqcmd sgx_lc"},
    {0x80000007, 0, EBX, "overflow_recov succor - smca"},
    {7, 0, EDX,
     "- - avx512_4vnniw avx512_4fmaps fsrm @8 avx512_vp2intersect - md_clear @14 serialize "
     "- tsxldtrk - pconfig arch_lbr ibt - amx_bf16 avx512_fp16 amx_tile amx_int8 - - "
     "flush_l1d arch_capabilities"},
};

static uint32_t highest_leaf(uint32_t base)
{
    uint32_t r[4];
    cpuid(base, 0, r);
    return r[EAX];
}

/* All zero where the leaf does not exist. */
static void cpuid_checked(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
    memset(r, 0, 4 * sizeof(*r));
    if (leaf <= highest_leaf(leaf & 0x80000000u))
        cpuid(leaf, sub, r);
}

#define XCR0_AVX 0x6u
#define XCR0_AVX512 0xe6u
#define XCR0_PKRU 0x200u
#define XCR0_AMX 0x60000u

static bool starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* Are the registers that a feature needs enabled? */
static bool flag_usable(const char *name, uint64_t xcr0)
{
    static const char *const avx[] = {"avx", "fma", "f16c", "xop", "vaes", "vpclmulqdq"};
    if (starts_with(name, "avx512"))
        return (xcr0 & XCR0_AVX512) == XCR0_AVX512;
    if (starts_with(name, "amx"))
        return (xcr0 & XCR0_AMX) == XCR0_AMX;
    if (strcmp(name, "ospke") == 0 || strcmp(name, "pku") == 0)
        return xcr0 & XCR0_PKRU;
    for (size_t i = 0; i < ARRAY_LEN(avx); i++)
        if (starts_with(name, avx[i]))
            return (xcr0 & XCR0_AVX) == XCR0_AVX;
    return true;
}

static void show_flag_word(struct text *t, const char *names, uint32_t bits, uint64_t xcr0)
{
    uint32_t bit = 0;
    while (*names) {
        char name[24];
        size_t n = 0;
        for (; *names && *names != ' '; names++)
            if (n < sizeof(name) - 1)
                name[n++] = *names;
        name[n] = 0;
        names += *names == ' ';
        if (name[0] == '@') {
            pseudo_parse_name(name + 1, 31, &bit);
            continue;
        }
        if (name[0] != '-' && (bits >> bit & 1) && flag_usable(name, xcr0))
            text_printf(t, " %s", name);
        bit++;
    }
}

static void show_flags(struct text *t)
{
    text_puts(t, "flags\t\t:");
    for (size_t w = 0; w < ARRAY_LEN(flag_words); w++) {
        const struct flag_word *f = &flag_words[w];
        uint32_t r[4];
        cpuid_checked(f->leaf, f->sub, r);
        show_flag_word(t, f->names, r[f->reg], arch_xstate_mask());
    }
    text_putc(t, '\n');
}

/* ---- caches ---- */

static bool is_amd(void)
{
    uint32_t r[4];
    cpuid(0, 0, r);
    return r[EBX] == 0x68747541 || r[EBX] == 0x6f677948; /* "Auth"enticAMD, "Hygo"nGenuine */
}

bool cpu_cache_get(unsigned index, struct cpu_cache *c)
{
    uint32_t r[4];
    cpuid_checked(is_amd() ? 0x8000001d : 4, index, r);
    if ((r[EAX] & 0x1f) < CPU_CACHE_DATA || (r[EAX] & 0x1f) > CPU_CACHE_UNIFIED)
        return false;
    c->type = (enum cpu_cache_type)(r[EAX] & 0x1f);
    c->level = r[EAX] >> 5 & 7;
    c->line_bytes = (r[EBX] & 0xfff) + 1;
    c->ways = (r[EBX] >> 22 & 0x3ff) + 1;
    c->sets = r[ECX] + 1;
    c->size_bytes = c->line_bytes * ((r[EBX] >> 12 & 0x3ff) + 1) * c->ways * c->sets;
    c->shared = c->level >= 3;
    return true;
}

/* What Linux calls "cache size": AMD's second level, else the last one. */
static uint32_t cache_kib(void)
{
    struct cpu_cache c;
    uint32_t size = 0, level = 0;
    for (unsigned i = 0; cpu_cache_get(i, &c); i++)
        if (c.type != CPU_CACHE_INSTRUCTION && c.level > level && (!is_amd() || c.level <= 2)) {
            level = c.level;
            size = c.size_bytes;
        }
    return size >> 10;
}

/* ---- the text ---- */

struct cpu_identity {
    char vendor[13], model_name[49];
    uint32_t family, model, stepping, max_leaf, clflush_bytes, physical_bits, virtual_bits,
        cache_kib;
    uint64_t tsc_khz;
};

static void identify(struct cpu_identity *id)
{
    uint32_t r[4];
    memset(id, 0, sizeof(*id));
    cpuid(0, 0, r);
    id->max_leaf = r[EAX];
    memcpy(id->vendor, &r[EBX], 4);
    memcpy(id->vendor + 4, &r[EDX], 4);
    memcpy(id->vendor + 8, &r[ECX], 4);
    cpuid(1, 0, r);
    id->stepping = r[EAX] & 15;
    id->model = r[EAX] >> 4 & 15;
    id->family = r[EAX] >> 8 & 15;
    if (id->family >= 6)
        id->model |= r[EAX] >> 12 & 0xf0;
    if (id->family == 15)
        id->family += r[EAX] >> 20 & 0xff;
    id->clflush_bytes = (r[EBX] >> 8 & 0xff) * 8;
    for (uint32_t i = 0; i < 3; i++) {
        cpuid_checked(0x80000002 + i, 0, r);
        memcpy(id->model_name + 16 * i, r, 16);
    }
    cpuid_checked(0x80000008, 0, r);
    id->physical_bits = r[EAX] & 0xff;
    id->virtual_bits = r[EAX] >> 8 & 0xff;
    id->cache_kib = cache_kib();
    struct hal_clock c;
    hal_clock_read(&c);
    /* ns = tsc * mult >> shift, so kHz = 10^6 << shift / mult; 10^6 takes 20 bits. */
    uint32_t shift = k_min(c.shift, 43u), mult = c.mult >> (c.shift - shift);
    if (mult)
        id->tsc_khz = (1000000ull << shift) / mult;
}

static const char *trimmed(char *s)
{
    size_t n = strlen(s);
    while (n && s[n - 1] == ' ')
        s[--n] = 0;
    while (*s == ' ')
        s++;
    return s;
}

void cpuinfo_show(struct text *t, unsigned nr)
{
    struct cpu_identity id;
    identify(&id);
    const char *name = trimmed(id.model_name);
    for (unsigned i = 0; i < nr; i++) {
        text_printf(t,
                    "processor\t: %u\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\nmodel "
                    "name\t: %s\nstepping\t: %u\n",
                    i, id.vendor, id.family, id.model, *name ? name : "unknown", id.stepping);
        text_printf(t, "cpu MHz\t\t: %lu.%03lu\n", id.tsc_khz / 1000, id.tsc_khz % 1000);
        if (id.cache_kib)
            text_printf(t, "cache size\t: %u KB\n", id.cache_kib);
        text_printf(t,
                    "physical id\t: 0\nsiblings\t: %u\ncore id\t\t: %u\ncpu cores\t: "
                    "%u\napicid\t\t: %u\ninitial apicid\t: %u\n",
                    nr, i, nr, i, i);
        text_printf(t, "fpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: %u\nwp\t\t: yes\n",
                    id.max_leaf);
        show_flags(t);
        text_printf(t, "bogomips\t: %lu.%02lu\nclflush size\t: %u\ncache_alignment\t: %u\n",
                    id.tsc_khz / 500, id.tsc_khz / 5 % 100, id.clflush_bytes, id.clflush_bytes);
        text_printf(t, "address sizes\t: %u bits physical, %u bits virtual\npower management:\n\n",
                    id.physical_bits, id.virtual_bits);
    }
}
