/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors and credentials in the control data of AF_UNIX: unix(7), "Ancillary messages". */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/string.h"
#include "fs/files.h"
#include "net/unix.h"

#define SCM_MAX_FD_K 253u
#define OVERFLOW_ID 65534u

static struct unix_rights *rights_new(uint32_t room)
{
    struct unix_rights *r = kmalloc(sizeof(*r) + room * sizeof(r->file[0]));
    if (r) {
        list_init(&r->link);
        r->nr = 0;
        r->room = room;
        r->counted = false;
    }
    return r;
}

/* Counted; NULL: no memory. */
static struct unix_rights *rights_copy(const struct unix_rights *r)
{
    struct unix_rights *copy = rights_new(r->nr);
    for (; copy && copy->nr < r->nr; copy->nr++) {
        copy->file[copy->nr] = r->file[copy->nr];
        file_get(copy->file[copy->nr]);
    }
    return copy;
}

/* ---- sending ---- */

static int parse_rights(const struct cmsg_in *c, struct unix_scm *scm)
{
    uint32_t nr = c->len / (uint32_t)sizeof(int32_t);
    if (nr == 0)
        return 0;
    if (nr > SCM_MAX_FD_K)
        return -EINVAL;
    if (!scm->rights) {
        /* The first message mostly is the only one. */
        scm->rights = rights_new(nr);
        if (!scm->rights)
            return -ENOMEM;
    } else if (scm->rights->nr + nr > SCM_MAX_FD_K) {
        return -EINVAL;
    } else if (scm->rights->nr + nr > scm->rights->room) {
        struct unix_rights *larger = rights_new(SCM_MAX_FD_K);
        if (!larger)
            return -ENOMEM;
        larger->nr = scm->rights->nr;
        memcpy(larger->file, scm->rights->file, larger->nr * sizeof(larger->file[0]));
        kfree(scm->rights);
        scm->rights = larger;
    }
    for (uint32_t i = 0; i < nr; i++) {
        int32_t fd;
        memcpy(&fd, (const char *)c->data + i * sizeof(fd), sizeof(fd));
        struct file *f = fd_get_any(fd);
        if (!f)
            return -EBADF;
        scm->rights->file[scm->rights->nr++] = f;
    }
    return 0;
}

static int parse_cred(const struct cmsg_in *c, struct unix_scm *scm)
{
    const struct cred *me = current->cred;
    struct unix_cred cred;
    if (c->len != sizeof(cred))
        return -EINVAL;
    memcpy(&cred, c->data, sizeof(cred));
    bool uid_ok = cred.uid == me->uid || cred.uid == me->euid || cred.uid == me->suid;
    bool gid_ok = cred.gid == me->gid || cred.gid == me->egid || cred.gid == me->sgid;
    if ((cred.pid != current->process->pid && !capable(CAP_SYS_ADMIN_K)) ||
        (!uid_ok && !capable(CAP_SETUID_K)) || (!gid_ok && !capable(CAP_SETGID_K)))
        return -EPERM;
    if (cred.pid != current->process->pid) {
        struct process *p = process_find(cred.pid);
        if (!p)
            return -ESRCH;
        process_put(p);
    }
    scm->cred = cred;
    scm->has_cred = true;
    return 0;
}

int unix_scm_parse(const struct sock_msg *m, struct unix_scm *scm)
{
    struct cmsg_in c;
    uint32_t at = 0;
    scm->rights = NULL;
    scm->has_cred = false;
    while (cmsg_next(m, &at, &c)) {
        if (c.level != SOL_SOCKET_K)
            continue;
        int r = c.type == SCM_RIGHTS_K        ? parse_rights(&c, scm)
                : c.type == SCM_CREDENTIALS_K ? parse_cred(&c, scm)
                                              : -EINVAL;
        if (r)
            return r;
    }
    return scm->rights ? unix_inflight_add(scm->rights) : 0;
}

void unix_scm_add_cred(struct unix_scm *scm, const struct socket *from, const struct socket *to)
{
    if (scm->has_cred || !((READ_ONCE(from->flags) | READ_ONCE(to->flags)) & SOCKF_PASSCRED))
        return;
    scm->cred = (struct unix_cred){current->process->pid, current->cred->uid, current->cred->gid};
    scm->has_cred = true;
}

void unix_scm_release(struct unix_scm *scm)
{
    if (scm->rights)
        unix_rights_free(scm->rights);
    scm->rights = NULL;
}

/* ---- receiving ---- */

int unix_scm_take(struct unix_sock *u, struct unix_scm *queued, struct unix_scm *scm, bool peek)
{
    if (!peek) {
        spin_lock(&u->lock);
        scm->rights = queued->rights;
        queued->rights = NULL;
        spin_unlock(&u->lock);
        return 0;
    }
    unix_gc_lock();
    bool there = queued->rights != NULL;
    scm->rights = there ? rights_copy(queued->rights) : NULL;
    unix_gc_unlock();
    return there && !scm->rights ? -ENOMEM : 0;
}

static int put_rights(struct sock_msg *m, struct unix_rights *r)
{
    int32_t fds[SCM_MAX_FD_K];
    uint32_t nr = 0, most = cmsg_room(m->control_out) / (uint32_t)sizeof(fds[0]);
    most = k_min(most, r->nr);
    for (; nr < most; nr++) {
        fds[nr] = fd_reserve(0, m->flags & MSG_CMSG_CLOEXEC_K);
        if (fds[nr] < 0)
            break;
    }
    if (nr < r->nr)
        m->out_flags |= MSG_CTRUNC_K;
    int err = nr ? put_cmsg(m->control_out, SOL_SOCKET_K, SCM_RIGHTS_K, fds,
                            nr * (uint32_t)sizeof(fds[0]))
                 : 0;
    for (uint32_t i = 0; i < nr; i++) {
        if (err) {
            fd_unreserve(fds[i]);
            continue;
        }
        file_get(r->file[i]);
        fd_fill(fds[i], r->file[i]);
    }
    return err;
}

int unix_scm_put(struct socket *s, struct sock_msg *m, struct unix_scm *scm)
{
    int err = 0;
    if (READ_ONCE(s->flags) & SOCKF_PASSCRED) {
        struct unix_cred none = {0, OVERFLOW_ID, OVERFLOW_ID};
        err = put_cmsg(m->control_out, SOL_SOCKET_K, SCM_CREDENTIALS_K,
                       scm->has_cred ? &scm->cred : &none, sizeof(none));
    }
    if (!err && scm->rights)
        err = put_rights(m, scm->rights);
    unix_scm_release(scm);
    return err;
}
