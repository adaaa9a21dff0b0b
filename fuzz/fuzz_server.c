/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The launcher's request server with a keep that asks for anything. An input is a row of requests;
 * handles that the server gave out come back in later ones. The tree it may serve lies in a
 * directory for temporary files; beside it stands what it must never touch.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <linux/futex.h>
#include <sys/syscall.h>

#include "server.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_HANDLES 16

static struct cella_host_window *window;
static uint8_t *data_area;
static struct server *server;
static struct grant_table grants;
static uint32_t sq_tail, cq_head;
static char top[] = "/tmp/cella-fuzz-XXXXXX";
static int64_t handle[MAX_HANDLES];
static unsigned nr_handles;

static void must(int good, const char *what)
{
    if (!good) {
        perror(what);
        abort();
    }
}

static void write_file(const char *name, const char *text, mode_t mode)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode);
    must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), name);
    close(fd);
}

/* What an input has removed is there again for the next. */
static void make_tree(void)
{
    (void)!mkdir("rw/dir", 0755);
    (void)!symlink("../../outside/file", "rw/link");
    (void)!symlink("../outside", "rw/out");
    (void)!mkfifo("rw/fifo", 0644);
    if (access("rw/file", F_OK))
        write_file("rw/file", "inside", 0644);
}

static void check_outside(void)
{
    char text[16] = "";
    int fd = open("outside/file", O_RDONLY);
    must(fd >= 0 && read(fd, text, sizeof(text)) == 7 && memcmp(text, "outside", 7) == 0,
         "what lies outside of the grants was touched");
    close(fd);
    struct stat st;
    must(stat("outside", &st) == 0 && st.st_nlink == 2 && (st.st_mode & 07777) == 0700 &&
             stat("outside/file", &st) == 0 && st.st_nlink == 1 && (st.st_mode & 07777) == 0600,
         "what lies outside of the grants was changed");
}

static void clean_up(void)
{
    char command[64];
    snprintf(command, sizeof(command), "rm -rf %s", top);
    if (chdir("/") || system(command))
        fprintf(stderr, "%s was not removed\n", top);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    static const struct rlimit size = {1 << 24, 1 << 24};
    struct cella_error err;
    signal(SIGPIPE, SIG_IGN);
    must(mkdtemp(top) && chdir(top) == 0, top);
    atexit(clean_up);
    umask(0);
    must(!mkdir("ro", 0755) && !mkdir("rw", 0755) && !mkdir("outside", 0700), "mkdir");
    write_file("ro/file", "read only", 0644);
    write_file("outside/file", "outside", 0600);
    make_tree();
    setrlimit(RLIMIT_FSIZE, &size);
    window = mmap(NULL, CELLA_HOST_WINDOW_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                  -1, 0);
    must(window != MAP_FAILED, "mmap");
    data_area = (uint8_t *)window + CELLA_HOST_DATA_OFFSET;
    must(grants_add_volume(&grants, "ro:/ro", &err) == 0 &&
             grants_add_volume(&grants, "rw:/rw:rw", &err) == 0,
         "grants");
    int null = open("/dev/null", O_RDWR);
    struct server_config config = {.window = window,
                                   .grants = &grants,
                                   .nr_cpus = 2,
                                   .stream = {null, null, null},
                                   .log_fd = null};
    server = server_create(&config, &err);
    must(server != NULL, "server");
    server_start(server);
    return 0;
}

static void submit(uint32_t slot, const struct cella_host_request *req)
{
    window->slots[slot].req = *req;
    window->sq.entry[sq_tail % CELLA_HOST_SLOTS] = slot;
    __atomic_store_n(&window->sq.tail, ++sq_tail, __ATOMIC_RELEASE);
    __atomic_fetch_add(&window->sq_doorbell, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&window->sq_waiting, __ATOMIC_SEQ_CST))
        syscall(SYS_futex, &window->sq_doorbell, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void wait_for(uint32_t slot)
{
    time_t until = time(NULL) + 20;
    for (;;) {
        if (__atomic_load_n(&window->cq.tail, __ATOMIC_ACQUIRE) == cq_head) {
            must(time(NULL) < until, "a request is never answered");
            continue;
        }
        if (window->cq.entry[cq_head++ % CELLA_HOST_SLOTS] == slot)
            return;
    }
}

/* One request: operation, where its data lie, arguments, then data. Bytes used, 0 at the end. */
static size_t one_request(const uint8_t *p, size_t size)
{
    if (size < 8)
        return 0;
    /* 0 to 2 bytes of a word after the first are odd values in full. */
    static const uint64_t odd[] = {0,        1,          2,         4096,       1u << 20,
                                   1u << 31, UINT32_MAX, INT64_MAX, UINT64_MAX, 1ull << 63};
    struct cella_host_request req = {.op = p[0] % (CELLA_HOST_NR_OPS + 2)};
    size_t used = 8, len = p[6] % 64;
    for (int i = 0; i < 4; i++) {
        uint8_t b = p[1 + i];
        req.a[i] = b < 128                 ? b
                   : b < 192 && nr_handles ? (uint64_t)handle[b % nr_handles]
                                           : odd[b % (sizeof(odd) / sizeof(odd[0]))];
    }
    if (req.op == CELLA_HOST_CREATE && p[2] & 1)
        req.a[1] = (p[2] & 2 ? S_IFDIR : S_IFREG) | (p[7] & 0777);
    req.data_off = p[5] < 200 ? 0 : (uint32_t)odd[p[5] % (sizeof(odd) / sizeof(odd[0]))];
    req.data_len = p[7] < 64    ? (uint32_t)len
                   : p[7] < 240 ? p[7] * 16u
                                : (uint32_t)odd[p[7] % (sizeof(odd) / sizeof(odd[0]))];
    req.pad = p[7] == 255;
    if (len > size - used)
        len = size - used;
    memset(data_area, 0, 64);
    memcpy(data_area, p + used, len);
    used += len;
    if (req.op == CELLA_HOST_EXIT)
        return used;
    submit(0, &req);
    if (req.op == CELLA_HOST_CONSOLE_READ || req.op > CELLA_HOST_CONSOLE_SIZE ||
        req.op == CELLA_HOST_SESSION_WAIT) {
        struct cella_host_request cancel = {.op = CELLA_HOST_CANCEL};
        submit(1, &cancel);
    }
    wait_for(0);
    int64_t r = window->slots[0].rep.result;
    must(r >= -133, "an error that Linux does not have");
    if ((req.op == CELLA_HOST_ROOT || req.op == CELLA_HOST_LOOKUP || req.op == CELLA_HOST_CREATE) &&
        r >= 0 && nr_handles < MAX_HANDLES)
        handle[nr_handles++] = r;
    return used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned nr;
    signal(SIGXFSZ, SIG_IGN); /* the fuzzer has set it after LLVMFuzzerInitialize */
    for (uint64_t g = 0; g < 2; g++) {
        struct cella_host_request root = {.op = CELLA_HOST_ROOT, .a = {g}};
        submit(0, &root);
        wait_for(0);
        handle[g] = window->slots[0].rep.result;
    }
    nr_handles = 2;
    for (size_t used; (used = one_request(data, size)) != 0; data += used, size -= used) {
    }
    while (nr_handles) {
        struct cella_host_request close = {.op = CELLA_HOST_CLOSE,
                                           .a = {(uint64_t)handle[--nr_handles]}};
        submit(0, &close);
        wait_for(0);
    }
    check_outside();
    if (++nr % 64 == 0)
        make_tree();
    return 0;
}
