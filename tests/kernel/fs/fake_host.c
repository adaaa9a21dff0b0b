/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_host.h"

#include "base/errno.h"
#include "base/printk.h"
#include "base/string.h"
#include "cella/host_abi.h"
#include "fs/vfs.h"
#include "hal.h"

#define NR_FILES 108
#define NR_HANDLES 4096
#define DEV 77
#define BIG_SIZE 300000

enum { ROOT, HELLO, BIG, DIR, LINK, CLOSED, SUB, FIRST_N };

uint32_t fake_open_handles, fake_bad_handles, fake_served[32];
static int16_t handles[NR_HANDLES]; /* file + 1; 0: free */

static int parent_of(int f)
{
    return f >= SUB ? DIR : ROOT;
}

static const char *name_of(int f)
{
    static char n[8];
    static const char *const names[] = {"", "hello", "big", "dir", "link", "closed", "sub"};
    if (f < FIRST_N)
        return names[f];
    k_snprintf(n, sizeof(n), "n%d", f - FIRST_N);
    return n;
}

static const char hello[] = "hello from the host\n";
static const char target[] = "dir/n5";

static void fill_stat(int f, struct cella_host_stat *st)
{
    static const uint32_t modes[] = {S_IFDIR_K | 0755, S_IFREG_K | 0644, S_IFREG_K | 0644,
                                     S_IFDIR_K | 0755, S_IFLNK_K | 0777, S_IFREG_K,
                                     S_IFDIR_K | 0700};
    static const uint64_t sizes[] = {
        4096, sizeof(hello) - 1, BIG_SIZE, 4096, sizeof(target) - 1, 10, 4096};
    *st = (struct cella_host_stat){.dev = DEV,
                                   .ino = 1000 + (uint64_t)f,
                                   .mode = f < FIRST_N ? modes[f] : S_IFREG_K | 0644,
                                   .size = f < FIRST_N ? sizes[f] : 0,
                                   .blocks = 8,
                                   .nlink = f == ROOT || f == DIR ? 3 : 1,
                                   .mtime_sec = 1700000000,
                                   .ctime_sec = 1700000000};
}

static int64_t open_handle(int f, struct cella_host_stat *st)
{
    for (int h = 0; h < NR_HANDLES; h++)
        if (!handles[h]) {
            handles[h] = (int16_t)(f + 1);
            fake_open_handles++;
            if (st)
                fill_stat(f, st);
            return h;
        }
    return -EMFILE;
}

static int64_t look_up(int dir, const char *name, uint32_t room)
{
    size_t len = strnlen(name, room);
    for (int f = HELLO; f < NR_FILES - 1; f++) {
        const char *n = name_of(f);
        if (parent_of(f) == dir && strlen(n) == len && memcmp(n, name, len) == 0)
            return f;
    }
    return -ENOENT;
}

static int64_t read_file(int f, uint64_t off, char *buf, uint32_t room)
{
    struct cella_host_stat st;
    fill_stat(f, &st);
    if (f == CLOSED)
        return -EACCES;
    if (!S_ISREG_K(st.mode))
        return -EINVAL;
    uint32_t n = off >= st.size ? 0 : (uint32_t)k_min((uint64_t)room, st.size - off);
    for (uint32_t i = 0; i < n; i++)
        buf[i] = f == BIG ? (char)((off + i) * 7 >> 4) : hello[off + i];
    return n;
}

static int64_t read_dir(int dir, uint64_t cookie, char *buf, uint32_t room)
{
    uint32_t used = 0;
    for (int f = cookie && cookie < NR_FILES ? (int)cookie
                 : cookie                    ? NR_FILES
                                             : HELLO;
         f < NR_FILES - 1; f++) {
        if (parent_of(f) != dir)
            continue;
        struct cella_host_stat st;
        const char *n = name_of(f);
        uint16_t len = (uint16_t)strlen(n),
                 rec = (uint16_t)ALIGN_UP(sizeof(struct cella_host_dirent) + len, 8ul);
        if (used + rec > room)
            break;
        fill_stat(f, &st);
        struct cella_host_dirent d = {.ino = st.ino,
                                      .next_cookie = (uint64_t)f + 1,
                                      .rec_len = rec,
                                      .name_len = len,
                                      .type = (uint8_t)(st.mode >> 12)};
        memset(buf + used, 0, rec);
        memcpy(buf + used, &d, sizeof(d));
        memcpy(buf + used + offsetof(struct cella_host_dirent, name), n, len);
        used += rec;
    }
    return used;
}

int fake_host(uint32_t slot)
{
    void *base;
    size_t size;
    hal_host_window(&base, &size);
    struct cella_host_window *w = base;
    struct cella_host_request q = w->slots[slot].req;
    char *data = (char *)base + CELLA_HOST_DATA_OFFSET + q.data_off;
    struct cella_host_stat st;
    int64_t r;
    uint32_t len = 0;
    if (q.op < ARRAY_LEN(fake_served))
        fake_served[q.op]++;
    int f = q.op == CELLA_HOST_ROOT ? ROOT : q.a[0] < NR_HANDLES ? handles[q.a[0]] - 1 : -1;
    if (f < 0) {
        fake_bad_handles++;
        w->slots[slot].rep = (struct cella_host_reply){.result = -EBADF};
        return true;
    }
    switch (q.op) {
    case CELLA_HOST_ROOT: r = q.a[0] == 0 ? open_handle(ROOT, NULL) : -EBADF; break;
    case CELLA_HOST_LOOKUP:
        r = look_up(f, data, q.data_len);
        if (r >= 0) {
            r = open_handle((int)r, &st);
            memcpy(data, &st, len = sizeof(st));
        }
        break;
    case CELLA_HOST_CLOSE:
        handles[q.a[0]] = 0;
        fake_open_handles--;
        r = 0;
        break;
    case CELLA_HOST_STAT:
        fill_stat(f, &st);
        memcpy(data, &st, len = sizeof(st));
        r = 0;
        break;
    case CELLA_HOST_READ: r = read_file(f, q.a[1], data, q.data_len); break;
    case CELLA_HOST_READDIR: r = read_dir(f, q.a[1], data, q.data_len); break;
    case CELLA_HOST_READLINK:
        r = f == LINK ? (int64_t)k_min((size_t)q.data_len, sizeof(target) - 1) : -EINVAL;
        if (r > 0)
            memcpy(data, target, (size_t)r);
        break;
    case CELLA_HOST_GETXATTR: r = -ENODATA; break;
    default: r = -ENOSYS;
    }
    if (r > 0 &&
        (q.op == CELLA_HOST_READ || q.op == CELLA_HOST_READDIR || q.op == CELLA_HOST_READLINK))
        len = (uint32_t)r;
    w->slots[slot].rep = (struct cella_host_reply){.result = r, .data_len = len};
    return true;
}
