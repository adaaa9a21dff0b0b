/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /sys: CPUs and their caches, the one node of memory, and the few other places where programs
 * look. CPUs are numbered from 0 and never come or go. node->index is the CPU, with the cache's
 * index in its upper half below cache/.
 */
#include "arch/x86_64/cpuinfo.h"
#include "base/errno.h"
#include "base/string.h"
#include "fs/procfs.h"
#include "proc/cpus.h"

#define SYSFS_MAGIC 0x62656572
#define HUGE_PAGE_BYTES 2097152

/* ---- sets of CPUs ---- */

enum { SET_ALL = 1, SET_LIST = 2 }; /* all CPUs, else the node's; as a list, else as a bitmap */

static void put_cpus(struct text *t, unsigned cpu, bool all, bool list)
{
    uint64_t bits[HAL_MAX_CPUS / 64] = {0};
    for (unsigned i = 0; i < nr_cpus; i++)
        if (all || i == cpu)
            bits[i / 64] |= 1ull << i % 64;
    if (list)
        text_put_ranges(t, bits, nr_cpus);
    else
        text_put_bitmap(t, bits, nr_cpus);
    text_putc(t, '\n');
}

static int cpus_show(const struct pseudo_node *n, struct text *t)
{
    put_cpus(t, n->index & 0xffff, n->entry->arg & SET_ALL, n->entry->arg & SET_LIST);
    return 0;
}

/* ---- cpuN/cache ---- */

static bool node_cache(const struct pseudo_node *n, struct cpu_cache *c)
{
    return cpu_cache_get(n->index >> 16, c);
}

enum {
    CACHE_LEVEL,
    CACHE_TYPE,
    CACHE_SIZE,
    CACHE_LINE,
    CACHE_WAYS,
    CACHE_SETS,
    CACHE_ID,
    CACHE_LIST,
    CACHE_MAP
};

static int cache_show(const struct pseudo_node *n, struct text *t)
{
    static const char *const types[] = {[CPU_CACHE_DATA] = "Data",
                                        [CPU_CACHE_INSTRUCTION] = "Instruction",
                                        [CPU_CACHE_UNIFIED] = "Unified"};
    struct cpu_cache c;
    unsigned cpu = n->index & 0xffff;
    if (!node_cache(n, &c))
        return -ENODEV;
    switch (n->entry->arg) {
    case CACHE_LEVEL: text_printf(t, "%u\n", c.level); break;
    case CACHE_TYPE: text_printf(t, "%s\n", types[c.type]); break;
    case CACHE_SIZE: text_printf(t, "%uK\n", c.size_bytes >> 10); break;
    case CACHE_LINE: text_printf(t, "%u\n", c.line_bytes); break;
    case CACHE_WAYS: text_printf(t, "%u\n", c.ways); break;
    case CACHE_SETS: text_printf(t, "%u\n", c.sets); break;
    case CACHE_ID: text_printf(t, "%u\n", c.shared ? 0 : cpu); break;
    default: put_cpus(t, cpu, c.shared, n->entry->arg == CACHE_LIST); break;
    }
    return 0;
}

static const struct pseudo_dir cache_index_dir =
    DIR_OF(SHOWN_ARG("coherency_line_size", cache_show, CACHE_LINE),
           SHOWN_ARG("id", cache_show, CACHE_ID), SHOWN_ARG("level", cache_show, CACHE_LEVEL),
           SHOWN_ARG("number_of_sets", cache_show, CACHE_SETS),
           SHOWN_ARG("shared_cpu_list", cache_show, CACHE_LIST),
           SHOWN_ARG("shared_cpu_map", cache_show, CACHE_MAP),
           SHOWN_ARG("size", cache_show, CACHE_SIZE), SHOWN_ARG("type", cache_show, CACHE_TYPE),
           SHOWN_ARG("ways_of_associativity", cache_show, CACHE_WAYS));
static const struct pseudo_entry cache_index_entry = {.mode = S_IFDIR_K | 0755,
                                                      .dir = &cache_index_dir};

/* The number behind a prefix of a name; false: it is no such name. */
static bool parse_numbered(const char *name, const char *prefix, uint32_t max, uint32_t *value)
{
    size_t n = strlen(prefix);
    return strncmp(name, prefix, n) == 0 && pseudo_parse_name(name + n, max, value);
}

static int cache_lookup(const struct pseudo_node *dir, const char *name, struct pseudo_node *child)
{
    struct cpu_cache c;
    uint32_t i;
    if (!parse_numbered(name, "index", 15, &i) || !cpu_cache_get(i, &c))
        return -ENOENT;
    child->entry = &cache_index_entry;
    child->index = dir->index | i << 16;
    return 0;
}

static bool cache_next(const struct pseudo_node *dir, uint64_t *cookie, char name[PSEUDO_NAME_MAX],
                       struct pseudo_node *child)
{
    if (*cookie > 15)
        return false;
    k_snprintf(name, PSEUDO_NAME_MAX, "index%u", (unsigned)*cookie);
    return cache_lookup(dir, name, child) == 0;
}

static const struct pseudo_dir cache_dir = {.lookup = cache_lookup, .next = cache_next};

/* ---- cpuN ---- */

static int cpu_number_show(const struct pseudo_node *n, struct text *t)
{
    text_printf(t, "%u\n", n->index);
    return 0;
}

static const struct pseudo_dir topology_dir =
    DIR_OF(SHOWN("core_cpus", cpus_show), SHOWN_ARG("core_cpus_list", cpus_show, SET_LIST),
           SHOWN("core_id", cpu_number_show), SHOWN_ARG("core_siblings", cpus_show, SET_ALL),
           SHOWN_ARG("core_siblings_list", cpus_show, SET_ALL | SET_LIST), TEXT("die_id", "0\n"),
           SHOWN_ARG("package_cpus", cpus_show, SET_ALL),
           SHOWN_ARG("package_cpus_list", cpus_show, SET_ALL | SET_LIST),
           TEXT("physical_package_id", "0\n"), SHOWN("thread_siblings", cpus_show),
           SHOWN_ARG("thread_siblings_list", cpus_show, SET_LIST));

/* CPU 0 cannot be taken away, and so has no file that says whether it is there. */
#define CPU_ENTRIES DIR("cache", &cache_dir), DIR("topology", &topology_dir)
static const struct pseudo_dir cpu0_dir = DIR_OF(CPU_ENTRIES);
static const struct pseudo_dir cpu_dir = DIR_OF(CPU_ENTRIES, TEXT("online", "1\n"));
static const struct pseudo_entry cpu0_entry = {.mode = S_IFDIR_K | 0755, .dir = &cpu0_dir};
static const struct pseudo_entry cpu_entry = {.mode = S_IFDIR_K | 0755, .dir = &cpu_dir};

/* ---- the directory of CPUs ---- */

static int cpu_lookup(const struct pseudo_node *dir, const char *name, struct pseudo_node *child)
{
    if (!parse_numbered(name, "cpu", nr_cpus - 1, &child->index))
        return -ENOENT;
    child->entry = child->index ? &cpu_entry : &cpu0_entry;
    return 0;
}

static bool cpu_next(const struct pseudo_node *dir, uint64_t *cookie, char name[PSEUDO_NAME_MAX],
                     struct pseudo_node *child)
{
    if (*cookie >= nr_cpus)
        return false;
    k_snprintf(name, PSEUDO_NAME_MAX, "cpu%u", (unsigned)*cookie);
    return cpu_lookup(dir, name, child) == 0;
}

static int kernel_max_show(const struct pseudo_node *n, struct text *t)
{
    text_printf(t, "%u\n", HAL_MAX_CPUS - 1);
    return 0;
}

static const struct pseudo_dir cpus_dir = DIR_OF(SHOWN("kernel_max", kernel_max_show),
            TEXT("isolated", "\n"),
            TEXT("offline", "\n"),
            SHOWN_ARG("online", cpus_show, SET_ALL | SET_LIST),
            SHOWN_ARG("possible", cpus_show, SET_ALL | SET_LIST),
            SHOWN_ARG("present", cpus_show, SET_ALL | SET_LIST),
            {},
}
, .lookup = cpu_lookup, .next = cpu_next,
}
;

/* ---- memory nodes ---- */

static int node_meminfo_show(const struct pseudo_node *n, struct text *t)
{
    uint64_t total, free;
    proc_memory(&total, &free);
    text_printf(t,
                "Node 0 MemTotal:       %8lu kB\nNode 0 MemFree:        %8lu kB\nNode 0 MemUsed:   "
                "     %8lu kB\n",
                total >> 10, free >> 10, (total - free) >> 10);
    return 0;
}

static const struct pseudo_dir node0_dir = {.entries = (const struct pseudo_entry[]){
                                                SHOWN_ARG("cpulist", cpus_show, SET_ALL | SET_LIST),
                                                SHOWN_ARG("cpumap", cpus_show, SET_ALL),
                                                TEXT("distance", "10\n"),
                                                SHOWN("meminfo", node_meminfo_show));
static const struct pseudo_dir nodes_dir =
    DIR_OF(TEXT("has_cpu", "0\n"), TEXT("has_memory", "0\n"), TEXT("has_normal_memory", "0\n"),
           DIR("node0", &node0_dir), TEXT("online", "0\n"), TEXT("possible", "0\n"));

/* ---- the rest ---- */

static int huge_size_show(const struct pseudo_node *n, struct text *t)
{
    text_printf(t, "%u\n", HUGE_PAGE_BYTES);
    return 0;
}

static const struct pseudo_dir empty_dir;

/* The kernel asks the host for no huge pages; whether the host uses some is its own affair. */
static const struct pseudo_dir thp_dir =
    DIR_OF(TEXT("defrag", "always defer defer+madvise madvise [never]\n"),
           TEXT("enabled", "always madvise [never]\n"), SHOWN("hpage_pmd_size", huge_size_show),
           TEXT("shmem_enabled", "always within_size advise [never] deny force\n"));
static const struct pseudo_dir mm_dir = DIR_OF(DIR("transparent_hugepage", &thp_dir));
static const struct pseudo_dir kernel_dir = DIR_OF(DIR("mm", &mm_dir));
static const struct pseudo_dir fs_dir = DIR_OF(DIR("cgroup", &empty_dir));
static const struct pseudo_dir system_dir = DIR_OF(DIR("cpu", &cpus_dir), DIR("node", &nodes_dir));
static const struct pseudo_dir devices_dir = DIR_OF(DIR("system", &system_dir));

static const struct pseudo_dir root_dir =
    DIR_OF(DIR("block", &empty_dir), DIR("bus", &empty_dir), DIR("class", &empty_dir),
           DIR("dev", &empty_dir), DIR("devices", &devices_dir), DIR("firmware", &empty_dir),
           DIR("fs", &fs_dir), DIR("kernel", &kernel_dir), DIR("module", &empty_dir),
           DIR("power", &empty_dir));
static const struct pseudo_entry root_entry = {
    .name = "/", .mode = S_IFDIR_K | 0555, .dir = &root_dir};

static const struct pseudo_fs sys_fs = {.root = &root_entry, .magic = SYSFS_MAGIC};

struct super_block *sysfs_create(void)
{
    return pseudo_create("sysfs", &sys_fs);
}
