/* SPDX-License-Identifier: Apache-2.0 */
#include "base/printk.h"
#include "calls.h"
#include "dev/console.h"
#include "dev/host_ring.h"
#include "fake_host.h"
#include "fs/hostfs.h"
#include "hal.h"
#include "mm/mm.h"
#include "proc/signal_internal.h"
#include "use_host.h"

int64_t sys_rt_sigaction(int sig, uaddr_t new_addr, uaddr_t old_addr, uint64_t set_size);
int64_t sys_statfs(uaddr_t name, uaddr_t buf);
int64_t sys_listxattr(uaddr_t name, uaddr_t list, uint64_t size);
int64_t sys_chmod(uaddr_t name, uint32_t mode);
int64_t sys_fsync(int fd);
int64_t sys_msync(uaddr_t addr, uint64_t len, int flags);
int64_t sys_access(uaddr_t name, int mode);

struct liar mock_liar;

/* ---- the double ---- */

static uint32_t tail; /* what an honest host would have published */
static bool late[CELLA_HOST_SLOTS];
static uint8_t input[] = "some input\nand more of it\n";

static void publish(uint32_t slot)
{
    struct cella_host_window *w = mock_liar.window;
    w->cq.entry[tail++ % CELLA_HOST_SLOTS] = slot;
    __atomic_store_n(&w->cq.tail, tail, __ATOMIC_RELEASE);
}

static void reply(uint32_t slot, int64_t result, uint32_t len)
{
    mock_liar.window->slots[slot].rep =
        (struct cella_host_reply){.result = result, .data_len = len};
}

/* Input comes late, so that it can be cancelled. */
static enum liar_fate serve_console(uint32_t slot, const struct cella_host_request *q)
{
    switch (q->op) {
    case CELLA_HOST_CONSOLE_READ: {
        uint32_t n = k_min(q->data_len, (uint32_t)sizeof(input) - 1);
        memcpy((char *)mock_liar.window + CELLA_HOST_DATA_OFFSET + q->data_off, input, n);
        reply(slot, n, n);
        return LIAR_LATE;
    }
    case CELLA_HOST_CANCEL:
        reply(slot, 0, 0);
        if (q->a[0] < CELLA_HOST_SLOTS && late[q->a[0]]) {
            late[q->a[0]] = false;
            reply((uint32_t)q->a[0], -EINTR, 0);
            publish((uint32_t)q->a[0]);
        }
        return LIAR_COMPLETE;
    default: reply(slot, q->data_len, 0); return LIAR_COMPLETE;
    }
}

static int lying_host(uint32_t slot)
{
    struct cella_host_request q = mock_liar.window->slots[slot].req;
    enum liar_fate fate = LIAR_COMPLETE, lie;
    if (q.op >= CELLA_HOST_CONSOLE_READ && q.op <= CELLA_HOST_CANCEL)
        fate = serve_console(slot, &q);
    else
        fake_host(slot);
    lie = liar_answer(&mock_liar, slot);
    if (lie == LIAR_LATE || (fate == LIAR_LATE && lie == LIAR_COMPLETE)) {
        late[slot] = true;
        return false;
    }
    publish(slot);
    if (lie == LIAR_TWICE)
        publish(slot);
    return false;
}

/* Nothing may be left out for good; and what a jump of the count has hidden is shown again. */
static void host_idle(void)
{
    for (uint32_t i = 0; i < CELLA_HOST_SLOTS; i++)
        publish(i);
    memset(late, 0, sizeof(late));
}

void mock_liar_attach(void)
{
    void *base;
    size_t size;
    hal_host_window(&base, &size);
    mock_liar = (struct liar){.window = base, .kinds = LIE_ALL};
    tail = mock_liar.window->cq.tail;
    mock_host = lying_host;
    mock_host_idle = host_idle;
}

/* ---- its user ---- */

#define AT "/lying"

static int64_t mount_host(enum host_use use)
{
    struct path p;
    struct super_block *sb = hostfs_create(0, use != USE_WRITABLE);
    if (!is_err(sb) && use == USE_OVERLAY)
        sb = overlay_create(sb);
    if (is_err(sb))
        return ptr_err(sb);
    int r = vfs_mkdir(AT, 0755);
    if (r == 0 || r == -EEXIST)
        r = path_lookup(AT, 0, &p);
    if (r == 0) {
        r = mount_add(sb, &p, use == USE_READ_ONLY ? MS_RDONLY_K : 0);
        path_put(&p);
    }
    if (r)
        super_put(sb);
    return r;
}

static void list(uaddr_t name, uaddr_t u)
{
    int64_t fd = sys_open(name, O_RDONLY_K | O_DIRECTORY_K, 0);
    for (int i = 0; fd >= 0 && i < 100 && sys_getdents64((int)fd, u, 4096) > 0; i++)
        ;
    sys_close((int)fd);
}

static void use_mapping(int fd, bool writable)
{
    struct file *f = fd_get_any(fd);
    int64_t m = mm_map(current->mm, f, 0, 8192, writable ? PROT_READ_K | PROT_WRITE_K : PROT_READ_K,
                       writable ? MAP_SHARED_K : MAP_PRIVATE_K, 4096);
    uint8_t byte = 1;
    file_put(f);
    if (m <= 0)
        return;
    copy_from_user_partial(&byte, (uaddr_t)m, 1);
    if (writable)
        copy_to_user_partial((uaddr_t)m, &byte, 1);
    sys_msync((uaddr_t)m, 8192, 4);
    if (mm_unmap(current->mm, (uaddr_t)m, 8192))
        ktest_fail(__FILE__, __LINE__, "munmap");
}

static void use_file(uaddr_t name, uaddr_t u, bool writable)
{
    /* It may claim to be a FIFO. */
    int64_t fd = sys_open(name, (writable ? O_RDWR_K : O_RDONLY_K) | O_NONBLOCK_K, 0);
    if (fd < 0)
        return;
    sys_pread64((int)fd, u, 70000, 0);
    sys_pread64((int)fd, u, 70000, 250000);
    sys_lseek((int)fd, 0, 2);
    use_mapping((int)fd, writable);
    if (writable) {
        sys_pwrite64((int)fd, u, 100, 5000);
        sys_write((int)fd, u, 5000);
        sys_ftruncate((int)fd, 3);
        sys_fallocate((int)fd, 0, 0, 10000);
        sys_fsync((int)fd);
    }
    sys_close((int)fd);
}

static void use_files(bool writable)
{
    static const char *const names[] = {"",          "/hello",   "/big",       "/dir",     "/link",
                                        "/closed",   "/dir/sub", "/dir/n5",    "/dir/n99", "/none",
                                        "/dir/none", "/link/x",  "/dir/sub/.."};
    uaddr_t u = ktest_map(70000), name = ktest_map(4096), other = US(AT "/dir/new");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char text[64];
        struct path p;
        struct kstat st;
        k_snprintf(text, sizeof(text), AT "%s", names[i]);
        if (copy_to_user(name, text, sizeof(text)))
            return;
        if (path_lookup(text, 0, &p) == 0) {
            (void)vfs_getattr(&p, &st);
            path_put(&p);
        }
        sys_readlink(name, u, 100);
        sys_statfs(name, u);
        sys_getxattr(name, US("user.x"), u, 100);
        sys_listxattr(name, u, 100);
        sys_access(name, 1);
        use_file(name, u, writable);
        list(name, u);
        if (!writable)
            continue;
        switch (i % 5) {
        case 0: sys_unlink(name); break;
        case 1: sys_rename(name, other); break;
        case 2: sys_link(name, other); break;
        case 3: sys_symlink(name, other); break;
        default: sys_chmod(name, 0700); sys_mkdir(other, 0700);
        }
    }
    if (writable) {
        sys_renameat2(-100, US(AT "/dir"), -100, US(AT "/hello"), 2);
        sys_rename(US(AT "/dir"), US(AT "/dir/sub/x"));
        sys_rename(US(AT "/dir"), US(AT "/x"));
        sys_rmdir(US(AT "/dir"));
        sys_rmdir(US(AT "/dir/sub"));
    }
    list(US(AT), u);
    mm_unmap(current->mm, u, 70000);
}

static void reads_console(void *arg)
{
    int fd = *(int *)arg;
    uaddr_t u = ktest_map(4096);
    for (int i = 0; i < 4; i++)
        sys_read(fd, u, i == 3 ? 4096 : 7);
    mm_unmap(current->mm, u, 4096);
}

static void use_console(void)
{
    static const uint32_t modes[3] = {S_IFCHR_K | 0620, S_IFIFO_K | 0600, S_IFREG_K | 0600};
    struct k_siginfo info = {.si_signo = SIGUSR1};
    static struct console *console;
    int fd[3];
    if (!console)
        console = console_create(0, modes, 1, false);
    if (!console)
        return;
    for (int i = 0; i < 3; i++) {
        struct file *f = console_file(console, i);
        fd[i] = is_err(f) ? -1 : fd_install(f, 0, false);
    }
    uaddr_t u = ktest_map(8192);
    struct thread *t = mock_start(reads_console, &fd[0]);
    for (int i = 0; i < 3; i++) {
        mock_sleep(NSEC_PER_MSEC);
        signal_send_thread(t, &info);
        sys_write(fd[1 + i % 2], u, i ? 5 : 8192);
    }
    struct {
        int fd;
        int16_t events, revents;
    } p = {fd[0], 1, 0};
    sys_poll(ktest_bytes(&p, sizeof(p)), 1, 2);
    mock_join(t);
    for (int i = 0; i < 3; i++)
        sys_close(fd[i]);
    mm_unmap(current->mm, u, 8192);
}

void use_host_handle_signals(void)
{
    struct k_sigaction a = {.handler = 0x1000};
    uaddr_t u = ktest_bytes(&a, sizeof(a));
    for (int sig = 1; sig <= NSIG_K; sig++)
        if (sig != SIGKILL && sig != SIGSTOP && sys_rt_sigaction(sig, u, 0, 8))
            ktest_fail(__FILE__, __LINE__, "sigaction");
}

bool use_host(enum host_use use)
{
    struct k_siginfo info;
    if (use == USE_CONSOLE) {
        use_console();
    } else {
        if (mount_host(use))
            return false;
        use_files(use != USE_READ_ONLY);
        int64_t r = sys_umount2(US(AT), 0);
        if (r)
            ktest_fail_eq(__FILE__, __LINE__, "umount2", r, 0);
    }
    while (signal_dequeue(~0ull, &info))
        ;
    return true;
}
