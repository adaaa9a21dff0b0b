/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/sys: settings as files. A few are variables of the kernel and may be written; the others
 * say how the kernel behaves, or Linux's default for something that means nothing here, and are
 * read-only. What programs take as a sign of a facility that does not exist (perf_event_paranoid)
 * has no file.
 */
#include "base/string.h"
#include "crypto/drbg.h"
#include "fs/fsnotify.h"
#include "fs/inode.h"
#include "fs/namei.h"
#include "fs/procfs.h"
#include "ipc/ids.h"
#include "ipc/mqueue.h"
#include "mm/mm.h"
#include "mm/page_cache.h"
#include "mm/vma.h"
#include "net/inet.h"
#include "proc/pid.h"
#include "proc/sysinfo.h"

/* ---- kinds of settings ---- */

static int number_show(const struct pseudo_node *n, struct text *t)
{
    text_printf(t, "%lu\n", (unsigned long)n->entry->arg);
    return 0;
}

/* entry->data: an int of the kernel; arg: the largest value. */
static int variable_show(const struct pseudo_node *n, struct text *t)
{
    const int *value = n->entry->data;
    text_printf(t, "%d\n", READ_ONCE(*value));
    return 0;
}

static int64_t variable_write(const struct pseudo_node *n, char *buf, size_t len)
{
    int64_t value;
    int err = pseudo_parse_number(buf, &value);
    if (err)
        return err;
    if (value < 0 || value > (int64_t)n->entry->arg)
        return -EINVAL;
    WRITE_ONCE(*(int *)(uintptr_t)n->entry->data, (int)value);
    return (int64_t)len;
}

#define NUMBER(n, v)                                                                               \
    {                                                                                              \
        .name = n, .mode = S_IFREG_K | 0444, .show = number_show, .arg = v                         \
    }
#define VARIABLE(n, m, v, max)                                                                     \
    {                                                                                              \
        .name = n, .mode = S_IFREG_K | (m), .show = variable_show, .write = variable_write,        \
        .data = &(v), .arg = max                                                                   \
    }

/* ---- names ---- */

enum { NAME_OSTYPE, NAME_OSRELEASE, NAME_VERSION, NAME_HOST, NAME_DOMAIN };

static int name_show(const struct pseudo_node *n, struct text *t)
{
    struct uts_name u;
    sysinfo_get_names(&u);
    const char *const names[] = {u.sysname, u.release, u.version, u.nodename, u.domainname};
    text_printf(t, "%s\n", names[n->entry->arg]);
    return 0;
}

static int64_t hostname_write(const struct pseudo_node *n, char *buf, size_t len)
{
    if (!vfs_capable(CAP_SYS_ADMIN_K))
        return -EPERM;
    char *end = strchr(buf, '\n');
    if (end)
        *end = 0;
    sysinfo_set_hostname(buf);
    return (int64_t)len;
}

/* ---- random ---- */

static void put_uuid(struct text *t, const uint8_t b[16])
{
    for (int i = 0; i < 16; i++)
        text_printf(t, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", b[i]);
    text_putc(t, '\n');
}

/* A random (version 4) UUID, RFC 9562. */
static void make_uuid(uint8_t b[16])
{
    drbg_fill(b, 16);
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
}

static int uuid_show(const struct pseudo_node *n, struct text *t)
{
    uint8_t b[16];
    make_uuid(b);
    put_uuid(t, b);
    return 0;
}

/* Made when first asked for. */
static int boot_id_show(const struct pseudo_node *n, struct text *t)
{
    static spinlock_t lock = SPINLOCK_INIT;
    static uint8_t id[16];
    static bool made;
    spin_lock(&lock);
    if (!made)
        make_uuid(id);
    made = true;
    spin_unlock(&lock);
    put_uuid(t, id);
    return 0;
}

static const struct pseudo_dir random_dir =
    DIR_OF(SHOWN("boot_id", boot_id_show), NUMBER("entropy_avail", 256), NUMBER("poolsize", 256),
           SHOWN("uuid", uuid_show));

/* ---- kernel ---- */

static int sem_limits_show(const struct pseudo_node *n, struct text *t)
{
    text_printf(t, "%u\t%u\t%u\t%u\n", SEMMSL_K, SEMMNS_K, SEMOPM_K, SEMMNI_K);
    return 0;
}

static const struct pseudo_dir kernel_dir = DIR_OF(
    NUMBER("cap_last_cap", CAP_LAST_K), TEXT("core_pattern", "core\n"), NUMBER("core_uses_pid", 0),
    SHOWN_ARG("domainname", name_show, NAME_DOMAIN),
    {.name = "hostname",
     .mode = S_IFREG_K | 0644,
     .show = name_show,
     .write = hostname_write,
     .arg = NAME_HOST},
    NUMBER("kptr_restrict", 1), NUMBER("msgmax", MSGMAX_K), NUMBER("msgmnb", MSGMNB_K),
    NUMBER("msgmni", MSGMNI_K), NUMBER("ngroups_max", NGROUPS_MAX_K),
    SHOWN_ARG("osrelease", name_show, NAME_OSRELEASE), SHOWN_ARG("ostype", name_show, NAME_OSTYPE),
    NUMBER("overflowgid", 65534), NUMBER("overflowuid", 65534), NUMBER("pid_max", PID_MAX_K),
    DIR("random", &random_dir), NUMBER("randomize_va_space", 2),
    NUMBER("sched_child_runs_first", 0), NUMBER("sched_rt_period_us", 1000000),
    TEXT("sched_rt_runtime_us", "-1\n"), /* no share is kept back from real-time threads */
    SHOWN("sem", sem_limits_show), NUMBER("shmall", SHMMAX_K), NUMBER("shmmax", SHMMAX_K),
    NUMBER("shmmni", SHMMNI_K), NUMBER("tainted", 0), NUMBER("threads-max", PID_MAX_K),
    SHOWN_ARG("version", name_show, NAME_VERSION));

/* ---- vm ---- */

static int64_t drop_caches_write(const struct pseudo_node *n, char *buf, size_t len)
{
    int64_t value;
    int err = pseudo_parse_number(buf, &value);
    if (err)
        return err;
    if (value < 1 || value > 4)
        return -EINVAL;
    if (value & 1)
        page_cache_reclaim(UINT64_MAX);
    return (int64_t)len;
}

static const struct pseudo_dir vm_dir =
    DIR_OF(NUMBER("dirty_background_ratio", 10), NUMBER("dirty_ratio", 20),
           {.name = "drop_caches", .mode = S_IFREG_K | 0200, .write = drop_caches_write},
           NUMBER("max_map_count", MAX_VMAS), NUMBER("mmap_min_addr", USER_MIN),
           NUMBER("nr_hugepages", 0), NUMBER("nr_overcommit_hugepages", 0),
           NUMBER("overcommit_kbytes", 0), NUMBER("overcommit_memory", 0),
           NUMBER("overcommit_ratio", 50), NUMBER("panic_on_oom", 0), NUMBER("swappiness", 60));

/* ---- fs ---- */

static const struct pseudo_dir inotify_dir =
    DIR_OF(NUMBER("max_queued_events", INOTIFY_MAX_QUEUED),
           NUMBER("max_user_instances", INOTIFY_MAX_INSTANCES),
           NUMBER("max_user_watches", INOTIFY_MAX_WATCHES));
static const struct pseudo_dir epoll_dir =
    DIR_OF(TEXT("max_user_watches", "9223372036854775807\n") /* memory alone bounds them */);
static const struct pseudo_dir mqueue_dir =
    DIR_OF(NUMBER("msg_default", MQ_MSG_DEFAULT), NUMBER("msg_max", MQ_MSG_MAX),
           NUMBER("msgsize_default", MQ_MSGSIZE_DEFAULT), NUMBER("msgsize_max", MQ_MSGSIZE_MAX),
           NUMBER("queues_max", MQ_QUEUES_MAX));

static const struct pseudo_dir fs_dir =
    DIR_OF(NUMBER("aio-max-nr", 65536), NUMBER("aio-nr", 0), DIR("epoll", &epoll_dir),
           TEXT("file-max", "9223372036854775807\n"), DIR("inotify", &inotify_dir),
           DIR("mqueue", &mqueue_dir), NUMBER("nr_open", 1048576), NUMBER("pipe-max-size", 1048576),
           NUMBER("pipe-user-pages-hard", 0),
           NUMBER("pipe-user-pages-soft", 0), /* pipes are not counted by user */
           VARIABLE("protected_fifos", 0600, protected_fifos, 2),
           VARIABLE("protected_hardlinks", 0600, protected_hardlinks, 1),
           VARIABLE("protected_regular", 0600, protected_regular, 2),
           VARIABLE("protected_symlinks", 0600, protected_symlinks, 1), NUMBER("suid_dumpable", 0));

/* ---- net ---- */

static const struct pseudo_dir net_core_dir =
    DIR_OF(NUMBER("rmem_default", 212992), NUMBER("rmem_max", 212992), NUMBER("somaxconn", 4096),
           NUMBER("wmem_default", 212992), NUMBER("wmem_max", 212992));
static const struct pseudo_dir net_ipv4_dir = DIR_OF(
    TEXT("ip_local_port_range", "32768\t60999\n"),
    VARIABLE("ip_unprivileged_port_start", 0644, inet_unprivileged_port_start, 65535),
    TEXT("ping_group_range", "1\t0\n"), TEXT("tcp_available_congestion_control", "reno cubic\n"),
    TEXT("tcp_congestion_control", "cubic\n"), NUMBER("tcp_keepalive_intvl", 75),
    NUMBER("tcp_keepalive_probes", 9), NUMBER("tcp_keepalive_time", 7200),
    TEXT("tcp_rmem", "4096\t131072\t425984\n"), TEXT("tcp_wmem", "4096\t131072\t425984\n"));
static const struct pseudo_dir net_ipv6_conf_all_dir = DIR_OF(NUMBER("disable_ipv6", 0));
static const struct pseudo_dir net_ipv6_conf_dir =
    DIR_OF(DIR("all", &net_ipv6_conf_all_dir), DIR("lo", &net_ipv6_conf_all_dir));
static const struct pseudo_dir net_ipv6_dir =
    DIR_OF(NUMBER("bindv6only", 0), DIR("conf", &net_ipv6_conf_dir));
static const struct pseudo_dir net_dir =
    DIR_OF(DIR("core", &net_core_dir), DIR("ipv4", &net_ipv4_dir), DIR("ipv6", &net_ipv6_dir));

const struct pseudo_dir proc_sys_dir = DIR_OF(DIR("fs", &fs_dir), DIR("kernel", &kernel_dir),
                                              DIR("net", &net_dir), DIR("vm", &vm_dir));
