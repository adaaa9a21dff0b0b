/* SPDX-License-Identifier: Apache-2.0 */
#include "liar.h"

#include <stdbool.h>
#include <stddef.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define copy __builtin_memcpy

uint32_t liar_choose(struct liar *liar, uint32_t n)
{
    if (!liar->bytes) {
        liar->state = liar->state * 6364136223846793005ull + 1442695040888963407ull;
        return (uint32_t)(liar->state >> 33) % n;
    }
    uint32_t v = 0;
    for (uint32_t span = 1; span < n && liar->nr_bytes; span = span << 8 ? span << 8 : n) {
        v = v << 8 | *liar->bytes++;
        liar->nr_bytes--;
    }
    return v % n;
}

uint64_t liar_odd_number(struct liar *liar)
{
    static const uint64_t odd[] = {0,
                                   1,
                                   2,
                                   3,
                                   7,
                                   8,
                                   24,
                                   255,
                                   256,
                                   4095,
                                   4096,
                                   8192,
                                   65535,
                                   65536,
                                   1u << 20,
                                   INT32_MAX,
                                   1u << 31,
                                   UINT32_MAX,
                                   INT64_MAX,
                                   (uint64_t)INT64_MIN,
                                   UINT64_MAX,
                                   1ull << 40,
                                   1ull << 62,
                                   1000,
                                   1001,
                                   1ull << 52,
                                   0x4000000aull};
    switch (liar_choose(liar, 4)) {
    case 0: return liar_choose(liar, 1u << 16);
    case 1: return ~(uint64_t)liar_choose(liar, 4096);
    default: return odd[liar_choose(liar, COUNT(odd))];
    }
}

/* ---- answers ---- */

struct answer {
    struct cella_host_request req;
    struct cella_host_reply *rep;
    uint8_t *data;
    uint32_t room; /* bytes of the data range */
};

/* Some words of the answer, whatever they mean. */
static void spoil_words(struct liar *liar, struct answer *a)
{
    static const uint8_t widths[] = {1, 2, 4, 8};
    uint32_t reach = a->room < 4096 ? a->room : 4096;
    for (uint32_t n = liar_choose(liar, 4) + 1; n && reach >= 8; n--) {
        uint64_t v = liar_odd_number(liar);
        copy(a->data + liar_choose(liar, reach / 8) * 8, &v, widths[liar_choose(liar, 4)]);
    }
}

static void spoil_stat(struct liar *liar, struct answer *a)
{
    static const uint32_t modes[] = {0,       0xffffffff, 0x10000 | 0100644, 0170777,
                                     0040000, 0100000,    0120777,           0060666,
                                     0010666, 0140777,    0020666,           0104755};
    struct cella_host_stat st;
    if (a->room < sizeof(st))
        return;
    copy(&st, a->data, sizeof(st));
    switch (liar_choose(liar, 8)) {
    case 0: st.mode = modes[liar_choose(liar, COUNT(modes))]; break;
    case 1: st.size = liar_odd_number(liar); break;
    case 2: st.nlink = (uint32_t)liar_odd_number(liar); break;
    case 3: /* another file, perhaps the directory that it stands in */
        st.dev = liar->seen_stat.dev;
        st.ino = liar->seen_stat.ino;
        if (liar_choose(liar, 2))
            st.mode = liar->seen_stat.mode;
        break;
    case 4: st.mtime_nsec = (uint32_t)liar_odd_number(liar); break;
    case 5: st.mtime_sec = (int64_t)liar_odd_number(liar); break;
    case 6: st.mode = (st.mode & 07777) | modes[liar_choose(liar, COUNT(modes))]; break;
    default: {
        uint64_t v = liar_odd_number(liar);
        copy((uint8_t *)&st + liar_choose(liar, sizeof(st) / 8) * 8, &v, sizeof(v));
    }
    }
    copy(a->data, &st, sizeof(st));
    if (liar_choose(liar, 4) == 0)
        liar->seen_stat = st;
}

static void set_length(struct answer *a, uint32_t len)
{
    a->rep->result = a->rep->data_len = len;
}

/* Writes one record; its length, or 0 when there is no room. */
static uint32_t put_record(struct answer *a, uint32_t at, const char *name, uint32_t name_len,
                           uint64_t cookie)
{
    uint32_t len = (uint32_t)((sizeof(struct cella_host_dirent) + name_len + 7) & ~7u);
    if (at > a->room || len > a->room - at)
        return 0;
    struct cella_host_dirent d = {.ino = 7000 + cookie,
                                  .next_cookie = cookie,
                                  .rec_len = (uint16_t)len,
                                  .name_len = (uint16_t)name_len,
                                  .type = 8};
    __builtin_memset(a->data + at, 0, len);
    copy(a->data + at, &d, sizeof(d));
    copy(a->data + at + offsetof(struct cella_host_dirent, name), name, name_len);
    return len;
}

static void spoil_listing(struct liar *liar, struct answer *a)
{
    static const struct {
        const char *name;
        uint32_t len;
    } names[] = {{"a/b", 3},   {"../x", 4},  {"/", 1},          {"", 0},
                 {".", 1},     {"..", 2},    {"a\0b", 3},       {"\0", 1},
                 {"hello", 5}, {"hello", 5}, {"\xff\xfe\n", 3}, {"...", 3}};
    struct cella_host_dirent d;
    uint32_t at = 0;
    switch (liar_choose(liar, 6)) {
    case 0: /* names that none can be */
        for (uint32_t n = liar_choose(liar, 4) + 1; n; n--) {
            uint32_t i = liar_choose(liar, COUNT(names));
            at += put_record(a, at, names[i].name, names[i].len, liar_odd_number(liar));
        }
        set_length(a, at);
        break;
    case 1: /* cookies that lead back */
        if (a->room >= sizeof(d) && a->rep->result > 0) {
            copy(&d, a->data, sizeof(d));
            d.next_cookie = liar_choose(liar, 4);
            copy(a->data, &d, sizeof(d));
        }
        break;
    case 2: /* it goes on, as if there were no end */
        if (a->rep->result == 0)
            liar->endless = liar->bytes ? 50 : 3000;
        break;
    case 3: /* a record of a wrong length */
        if (a->room >= sizeof(d) && a->rep->result > 0) {
            copy(&d, a->data, sizeof(d));
            *(liar_choose(liar, 2) ? &d.rec_len : &d.name_len) = (uint16_t)liar_odd_number(liar);
            copy(a->data, &d, sizeof(d));
        }
        break;
    case 4: set_length(a, liar_choose(liar, 256)); break;
    default: spoil_words(liar, a);
    }
}

/* One more name where the honest listing has ended. */
static void go_on_listing(struct liar *liar, struct answer *a)
{
    char name[9] = "x0000000";
    for (uint64_t v = liar->endless, i = 7; v; v /= 10, i--)
        name[i] = (char)('0' + v % 10);
    uint32_t n = put_record(a, 0, name, 8, liar->endless);
    liar->endless--;
    set_length(a, n);
}

static void spoil_link(struct liar *liar, struct answer *a)
{
    static const char *const targets[] = {"link", "/", "..", "./link/link/link", "//////"};
    uint32_t i = liar_choose(liar, COUNT(targets) + 3), len = 0;
    if (i < COUNT(targets)) {
        for (; targets[i][len] && len < a->room; len++)
            a->data[len] = (uint8_t)targets[i][len];
        set_length(a, len);
    } else if (i == COUNT(targets)) {
        __builtin_memset(a->data, 'a', a->room); /* as long as can be */
        set_length(a, a->room);
    } else if (i == COUNT(targets) + 1 && a->rep->result > 0) {
        a->data[liar_choose(liar, (uint32_t)a->rep->result)] = 0;
    } else {
        set_length(a, 0);
    }
}

static void spoil_names(struct liar *liar, struct answer *a)
{
    uint32_t len = liar_choose(liar, a->room + 1);
    for (uint32_t i = 0; i < len && i < 300; i++)
        a->data[i] = liar_choose(liar, 8) ? 'u' : 0;
    set_length(a, len);
}

/* One of the records that tell what arrived. */
static void spoil_records(struct liar *liar, struct answer *a)
{
    struct cella_host_net_record r;
    uint32_t at = 0, skip = liar_choose(liar, 4);
    for (;;) {
        if (a->room < sizeof(r) || at > a->room - sizeof(r))
            return;
        copy(&r, a->data + at, sizeof(r));
        if (!skip-- || r.rec_len < sizeof(r) || r.rec_len > a->room - at ||
            at + r.rec_len >= a->rep->data_len)
            break;
        at += r.rec_len;
    }
    uint64_t v = liar_odd_number(liar);
    switch (liar_choose(liar, 8)) {
    case 0: r.handle = (uint32_t)v; break;
    case 1: r.handle ^= 1u << liar_choose(liar, 3); break; /* another one that may be open */
    case 2: r.kind = liar_choose(liar, 9); break;
    case 3: r.len = (uint32_t)v; break;
    case 4: r.value = liar_choose(liar, 2) ? r.handle : v; break;
    case 5: r.rec_len = (uint32_t)v; break;
    case 6: copy((uint8_t *)&r.addr + liar_choose(liar, 3) * 8, &v, sizeof(v)); break;
    default: set_length(a, at + (uint32_t)sizeof(r)); /* the rest is not there */
    }
    copy(a->data + at, &r, sizeof(r));
}

/* Answers whose form is known here. Others are only changed blindly. */
static const struct {
    uint32_t op;
    void (*spoil)(struct liar *liar, struct answer *a);
} answers[] = {
    {CELLA_HOST_LOOKUP, spoil_stat},        {CELLA_HOST_STAT, spoil_stat},
    {CELLA_HOST_CREATE, spoil_stat},        {CELLA_HOST_READDIR, spoil_listing},
    {CELLA_HOST_READLINK, spoil_link},      {CELLA_HOST_GETXATTR, spoil_names},
    {CELLA_HOST_STATFS, spoil_words},       {CELLA_HOST_NET_WAIT, spoil_records},
    {CELLA_HOST_SESSION_WAIT, spoil_words},
};

static void spoil_data(struct liar *liar, struct answer *a)
{
    for (uint32_t i = 0; i < COUNT(answers); i++)
        if (answers[i].op == a->req.op) {
            (liar_choose(liar, 4) ? answers[i].spoil : spoil_words)(liar, a);
            return;
        }
}

static void spoil_result(struct liar *liar, struct answer *a)
{
    switch (liar_choose(liar, 4)) {
    case 0: a->rep->result = (int64_t)liar_odd_number(liar); break;
    case 1: a->rep->result = -(int64_t)liar_choose(liar, 540); break; /* 512...: the kernel's own */
    case 2: a->rep->result = -4; break;                               /* EINTR, again and again */
    default: a->rep->result = liar_choose(liar, 64);
    }
}

static void spoil_length(struct liar *liar, struct answer *a)
{
    uint32_t len = (uint32_t)liar_odd_number(liar);
    if (liar_choose(liar, 2)) {
        len = a->room ? len % (a->room + 1) : 0;
        a->rep->result = len;
    }
    a->rep->data_len = len;
}

/* ---- words of the window ---- */

static void spoil_clock(struct liar *liar)
{
    struct cella_host_window *w = liar->window;
    switch (liar_choose(liar, 7)) {
    case 0: w->clock_seq |= 1; break; /* being written for ever */
    case 1: w->clock_mult = (uint32_t)liar_odd_number(liar); break;
    case 2: w->clock_shift = (uint32_t)liar_odd_number(liar); break;
    case 3: w->clock_tsc_base = liar_odd_number(liar); break;
    case 4: w->clock_mono_base_ns = liar_odd_number(liar); break;
    case 5: w->clock_real_offset_ns = liar_odd_number(liar); break;
    default: w->clock_seq += 2;
    }
}

static void spoil_window(struct liar *liar)
{
    struct cella_host_window *w = liar->window;
    uint32_t v = (uint32_t)liar_odd_number(liar);
    switch (liar_choose(liar, 9)) {
    case 0: w->magic = v; break;
    case 1: w->version = v; break;
    case 2: w->cq.head = v; break;
    case 3: w->sq.entry[liar_choose(liar, CELLA_HOST_SLOTS)] = v; break;
    case 4: w->cpu_sleeping[liar_choose(liar, CELLA_HOST_MAX_CPUS)] = v; break;
    case 5: w->cpu_beat[liar_choose(liar, CELLA_HOST_MAX_CPUS)] = v; break;
    case 6: w->cq_doorbell = v; break;
    case 7: w->cq_wanted = v; break;
    default: w->boot_len = v;
    }
}

static enum liar_fate spoil_completion(struct liar *liar)
{
    struct cella_host_window *w = liar->window;
    switch (liar_choose(liar, 5)) {
    case 0: return LIAR_TWICE;
    case 1: w->cq.entry[liar_choose(liar, CELLA_HOST_SLOTS)] = liar_wrong_slot(liar); break;
    case 2: w->cq.tail += (uint32_t)liar_odd_number(liar); break;
    default: return LIAR_LATE;
    }
    return LIAR_COMPLETE;
}

uint32_t liar_wrong_slot(struct liar *liar)
{
    return liar_choose(liar, 3) ? liar_choose(liar, CELLA_HOST_SLOTS + 2)
                                : (uint32_t)liar_odd_number(liar);
}

/* ---- the whole ---- */

enum liar_fate liar_answer(struct liar *liar, uint32_t slot)
{
    struct cella_host_slot *s = &liar->window->slots[slot];
    struct answer a = {.req = s->req, .rep = &s->rep};
    if (a.req.data_off <= CELLA_HOST_DATA_SIZE &&
        a.req.data_len <= CELLA_HOST_DATA_SIZE - a.req.data_off) {
        a.data = (uint8_t *)liar->window + CELLA_HOST_DATA_OFFSET + a.req.data_off;
        a.room = a.req.data_len;
    }
    if (a.req.op == CELLA_HOST_STAT && !liar->seen_stat.ino && a.room >= sizeof(liar->seen_stat))
        copy(&liar->seen_stat, a.data, sizeof(liar->seen_stat));
    if (a.req.op == CELLA_HOST_READDIR && a.rep->result == 0 && liar->endless)
        go_on_listing(liar, &a);
    if (!liar->every || (liar->bytes && !liar->nr_bytes) || liar_choose(liar, liar->every))
        return LIAR_COMPLETE;
    uint32_t kind = liar_choose(liar, NR_LIE_KINDS);
    if (!(liar->kinds >> kind & 1))
        return LIAR_COMPLETE;
    liar->told++;
    switch (kind) {
    case LIE_RESULT: spoil_result(liar, &a); break;
    case LIE_LENGTH: spoil_length(liar, &a); break;
    case LIE_DATA: spoil_data(liar, &a); break;
    case LIE_FILE_BYTES:
        if (a.req.op == CELLA_HOST_READ)
            spoil_words(liar, &a);
        break;
    case LIE_COMPLETION: return spoil_completion(liar);
    case LIE_CLOCK: spoil_clock(liar); break;
    case LIE_WINDOW: spoil_window(liar); break;
    case LIE_SIGNALS: liar->window->events |= (uint32_t)liar_odd_number(liar); break;
    case LIE_MEMORY: liar->window->mem_used_bytes = liar_odd_number(liar); break;
    default: break;
    }
    return LIAR_COMPLETE;
}

void liar_boot(struct liar *liar)
{
    uint8_t *boot = liar->window->boot;
    for (uint32_t n = liar_choose(liar, 4) + 1; n; n--) {
        uint64_t v = liar_odd_number(liar);
        uint32_t in_header = liar_choose(liar, 3);
        uint32_t at = in_header ? liar_choose(liar, sizeof(struct cella_boot_header) / 4) * 4
                                : liar_choose(liar, 2048);
        copy(boot + at, &v, liar_choose(liar, 2) ? 4 : 1);
    }
}
