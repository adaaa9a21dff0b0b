/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors in flight.
 *
 * A socket that was sent and whose descriptors were all closed lives on in a queue. When that queue
 * is, in the end, its own, nobody can ever receive it. unix_collect finds such sockets: candidates
 * are those whose file has no reference but from queues. References from queues of candidates are
 * taken off; what then still has one is reachable from outside, and so is all that lies in its
 * queue. The rest goes. It runs when AF_UNIX sockets end, so often that its cost, which goes with
 * the sockets in flight, is shared among as many ends; and before many are in flight.
 *
 * gc_lock guards all counts, and is held while rights with sockets are copied; so the picture does
 * not change while it is looked at. A candidate's file cannot gain references meanwhile: nobody has
 * a descriptor of it, and what lies in a queue is only taken under gc_lock.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "fs/inode.h"
#include "net/unix.h"
#include "proc/task.h"

#define COLLECT_ABOVE 1000u

static struct mutex gc_lock = {SPINLOCK_INIT, NULL, WAIT_QUEUE_INIT(gc_lock.q)};
static struct list inflight = LIST_INIT(inflight); /* unix_sock.inflight_link */
static uint32_t nr_inflight_sockets, collected_at;
static uint32_t nr_ends; /* of sockets since then; atomic */
static uint32_t nr_inflight_files; /* atomic */

static spinlock_t drain_lock = SPINLOCK_INIT; /* what follows */
static struct list to_drain = LIST_INIT(to_drain);
static bool draining;

void unix_gc_lock(void)
{
    mutex_lock(&gc_lock);
}

void unix_gc_unlock(void)
{
    mutex_unlock(&gc_lock);
}

static struct unix_sock *file_unix(struct file *f)
{
    struct socket *s = file_socket(f);
    return s && s->family == AF_UNIX_K ? unix_of(s) : NULL;
}

/* ---- counting ---- */

int unix_inflight_add(struct unix_rights *r)
{
    bool sockets = false;
    if (READ_ONCE(nr_inflight_files) > rlimit_cur(RLIMIT_NOFILE_K) &&
        !vfs_capable(CAP_SYS_RESOURCE_K) && !vfs_capable(CAP_SYS_ADMIN_K))
        return -ETOOMANYREFS;
    if (READ_ONCE(nr_inflight_sockets) > READ_ONCE(collected_at) + COLLECT_ABOVE)
        unix_collect();
    r->counted = true;
    __atomic_add_fetch(&nr_inflight_files, r->nr, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < r->nr; i++)
        sockets |= file_unix(r->file[i]) != NULL;
    if (!sockets)
        return 0;
    mutex_lock(&gc_lock);
    for (uint32_t i = 0; i < r->nr; i++) {
        struct unix_sock *u = file_unix(r->file[i]);
        if (u && u->nr_inflight++ == 0) {
            list_add_tail(&u->inflight_link, &inflight);
            WRITE_ONCE(nr_inflight_sockets, nr_inflight_sockets + 1);
        }
    }
    mutex_unlock(&gc_lock);
    return 0;
}

/* gc_lock held. */
static void remove_locked(struct unix_rights *r)
{
    for (uint32_t i = 0; i < r->nr; i++) {
        struct unix_sock *u = file_unix(r->file[i]);
        if (u && --u->nr_inflight == 0) {
            list_del(&u->inflight_link);
            WRITE_ONCE(nr_inflight_sockets, nr_inflight_sockets - 1);
        }
    }
}

void unix_inflight_remove(struct unix_rights *r)
{
    if (!r->counted)
        return;
    r->counted = false;
    __atomic_sub_fetch(&nr_inflight_files, r->nr, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < r->nr; i++)
        if (file_unix(r->file[i])) {
            mutex_lock(&gc_lock);
            remove_locked(r);
            mutex_unlock(&gc_lock);
            return;
        }
}

/* ---- letting go ---- */

/* The end of a file may be the end of a socket, whose queue holds files... One thread at a time
 * works them off, one after the other, on an even stack. */
void unix_rights_free(struct unix_rights *r)
{
    spin_lock(&drain_lock);
    list_add_tail(&r->link, &to_drain);
    bool mine = !draining;
    draining = true;
    while (mine && !list_empty(&to_drain)) {
        r = list_first(&to_drain, struct unix_rights, link);
        list_del(&r->link);
        spin_unlock(&drain_lock);
        unix_inflight_remove(r);
        for (uint32_t i = 0; i < r->nr; i++)
            file_put(r->file[i]);
        kfree(r);
        spin_lock(&drain_lock);
    }
    if (mine)
        draining = false;
    spin_unlock(&drain_lock);
}

/* ---- what nobody can receive ---- */

/* Calls fn for each candidate that lies in the queue of u. */
static void each_in_queue(struct unix_sock *u, void (*fn)(struct unix_sock *, struct list *),
                          struct list *arg);

static void each_in_rights(const struct unix_rights *r,
                           void (*fn)(struct unix_sock *, struct list *), struct list *arg)
{
    for (uint32_t i = 0; r && i < r->nr; i++) {
        struct unix_sock *v = file_unix(r->file[i]);
        if (v && v->gc_candidate)
            fn(v, arg);
    }
}

static void each_in_queue(struct unix_sock *u, void (*fn)(struct unix_sock *, struct list *),
                          struct list *arg)
{
    const struct unix_mark *mark;
    const struct unix_message *msg;
    struct unix_sock *conn;
    spin_lock(&u->lock);
    list_for_each (mark, &u->marks, link)
        each_in_rights(mark->scm.rights, fn, arg);
    list_for_each (msg, &u->messages, link)
        each_in_rights(msg->scm.rights, fn, arg);
    list_for_each (conn, &u->pending, pending_link)
        each_in_queue(conn, fn, arg); /* one level: a connection has none pending itself */
    spin_unlock(&u->lock);
}

static void take_off(struct unix_sock *u, struct list *unused)
{
    u->gc_refs--;
}

static void make_live(struct unix_sock *u, struct list *live)
{
    u->gc_candidate = false;
    list_del(&u->inflight_link);
    list_add_tail(&u->inflight_link, live);
}

static void take_rights(struct unix_rights **r, struct list *out)
{
    if (*r)
        list_add_tail(&(*r)->link, out);
    *r = NULL;
}

static void empty_queue(struct unix_sock *u, struct list *out)
{
    struct unix_mark *mark;
    struct unix_message *msg;
    struct unix_sock *conn;
    spin_lock(&u->lock);
    list_for_each (mark, &u->marks, link)
        take_rights(&mark->scm.rights, out);
    list_for_each (msg, &u->messages, link)
        take_rights(&msg->scm.rights, out);
    list_for_each (conn, &u->pending, pending_link)
        empty_queue(conn, out);
    spin_unlock(&u->lock);
}

void unix_socket_ends(void)
{
    uint32_t ends = __atomic_add_fetch(&nr_ends, 1, __ATOMIC_RELAXED);
    /* What ends in a drain may be one of thousands that follow. */
    if (ends > READ_ONCE(nr_inflight_sockets) / 4 && !READ_ONCE(draining))
        unix_collect();
}

void unix_collect(void)
{
    struct list candidates, live, dead;
    struct unix_sock *u, *tmp;
    if (!READ_ONCE(nr_inflight_sockets))
        return;
    list_init(&candidates);
    list_init(&live);
    list_init(&dead);
    mutex_lock(&gc_lock);
    list_for_each_safe (u, tmp, &inflight, inflight_link) {
        u->gc_refs = u->nr_inflight;
        u->gc_candidate = (uint32_t)ref_read(&u->s->file->ref) == u->nr_inflight;
        if (u->gc_candidate) {
            list_del(&u->inflight_link);
            list_add_tail(&u->inflight_link, &candidates);
        }
    }
    list_for_each (u, &candidates, inflight_link)
        each_in_queue(u, take_off, NULL);
    list_for_each_safe (u, tmp, &candidates, inflight_link)
        if (u->gc_refs)
            make_live(u, &live);
    while (!list_empty(&live)) {
        u = list_first(&live, struct unix_sock, inflight_link);
        list_del(&u->inflight_link);
        list_add_tail(&u->inflight_link, &inflight);
        each_in_queue(u, make_live, &live);
    }
    list_for_each (u, &candidates, inflight_link) {
        u->gc_candidate = false;
        empty_queue(u, &dead);
    }
    list_splice_tail(&candidates, &inflight);
    WRITE_ONCE(collected_at, nr_inflight_sockets);
    WRITE_ONCE(nr_ends, 0);
    mutex_unlock(&gc_lock);
    while (!list_empty(&dead)) {
        struct unix_rights *r = list_first(&dead, struct unix_rights, link);
        list_del(&r->link);
        unix_rights_free(r);
    }
}
