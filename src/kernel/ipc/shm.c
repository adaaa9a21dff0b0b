/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System V shared memory: shmget, shmat, shmdt, shmctl.
 *
 * A segment is a file of the hidden tmpfs, and attaching it is a shared mapping of an open file of
 * its own, which counts the segment. So fork, exec, exit and munmap need no word of segments: the
 * number of attaches is the number of mappings of the inode, and the last of a removed segment's
 * open files takes it away.
 *
 * Guarded by shm_kind.lock: the segments' fields. It is taken inside of no other lock.
 */
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/usercopy.h"
#include "fs/memfs.h"
#include "fs/procfs.h"
#include "ipc/ids.h"
#include "mm/vma.h"
#include "proc/task.h"

enum {
    SHM_RDONLY_K = 010000,
    SHM_RND_K = 020000,
    SHM_REMAP_K = 040000,
    SHM_EXEC_K = 0100000,
    SHM_HUGETLB_K = 04000,    /* of shmget */
    SHM_NORESERVE_K = 010000, /* of shmget */
};
enum { SHM_LOCK_K = 11, SHM_UNLOCK_K, SHM_STAT_K, SHM_INFO_K, SHM_STAT_ANY_K };
enum { SHM_DEST_K = 01000, SHM_LOCKED_K = 02000 }; /* in ipc_object.mode */

struct shm {
    struct ipc_object o; /* ref: the table's until it is removed, and the attaching files' */
    struct file *file;
    uint64_t size;
    int64_t atime, dtime, ctime;
    kpid_t cpid, lpid;
};

struct k_shmid_ds {
    struct k_ipc_perm perm;
    uint64_t size;
    int64_t atime, dtime, ctime;
    int32_t cpid, lpid;
    uint64_t nattch, unused[2];
};
struct k_shminfo {
    uint64_t shmmax, shmmin, shmmni, shmseg, shmall, unused[4];
};
struct k_shm_info {
    int32_t used_ids, pad;
    uint64_t tot, rss, swp, swap_attempts, swap_successes;
};

static struct ipc_object *shm_create(int32_t key, int flags, uint64_t size);
static int shm_check(const struct ipc_object *o, uint64_t size)
{
    return container_of(o, struct shm, o)->size < size ? -EINVAL : 0;
}

static struct ipc_kind shm_kind = {
    IPC_KIND_INIT(shm_kind, SHMMNI_K),
    .stat_cmd = SHM_STAT_K,
    .stat_any_cmd = SHM_STAT_ANY_K,
    .create = shm_create,
    .check = shm_check,
};

static struct ipc_object *shm_create(int32_t key, int flags, uint64_t size)
{
    char name[16];
    if (!size || size > SHMMAX_K || (flags & SHM_HUGETLB_K))
        return err_ptr(-EINVAL);
    if (size > MEM_FILE_SIZE_MAX - PAGE_SIZE ||
        (!(flags & SHM_NORESERVE_K) && mm_over_limit(PAGE_ALIGN(size))))
        return err_ptr(-ENOMEM);
    struct shm *s = kzalloc(sizeof(*s));
    if (!s)
        return err_ptr(-ENOMEM);
    k_snprintf(name, sizeof(name), "SYSV%08x", (unsigned)key);
    s->file = tmpfs_file_create(name, PAGE_ALIGN(size), O_LARGEFILE_K);
    if (is_err(s->file)) {
        void *err = s->file;
        kfree(s);
        return err;
    }
    s->size = size;
    s->ctime = ipc_now();
    s->cpid = current->process->pid;
    return &s->o;
}

static void shm_put(struct shm *s)
{
    if (!ref_put(&s->o.ref))
        return;
    mutex_lock(&shm_kind.lock);
    ipc_unlink(&shm_kind, &s->o);
    mutex_unlock(&shm_kind.lock);
    file_put(s->file);
    kfree(s);
}

/* Mappings of the segment, in all address spaces. */
static uint64_t nr_attached(struct shm *s)
{
    struct page_cache *pc = &s->file->inode->pages;
    struct list *l;
    uint64_t n = 0;
    mutex_lock(&pc->lock);
    for (l = pc->mappings.next; l != &pc->mappings; l = l->next)
        n++;
    mutex_unlock(&pc->lock);
    return n;
}

/* ---- the open files of attaches ---- */

static void shm_note(struct shm *s, int64_t *time)
{
    mutex_lock(&shm_kind.lock);
    *time = ipc_now();
    s->lpid = current->process->pid;
    mutex_unlock(&shm_kind.lock);
}

static struct inode *shm_file_mmap(struct file *f, int prot, int flags)
{
    return mem_file_fops.mmap(f, prot, flags);
}

static void shm_file_unmapped(struct file *f)
{
    struct shm *s = f->priv;
    shm_note(s, &s->dtime);
}

static void shm_file_release(struct file *f)
{
    shm_put(f->priv);
}

static const struct file_ops shm_file_ops = {
    .mmap = shm_file_mmap, .unmapped = shm_file_unmapped, .release = shm_file_release};

static struct file *attach_file(int id, uint32_t rights)
{
    mutex_lock(&shm_kind.lock);
    struct ipc_object *o = ipc_find(&shm_kind, id);
    int err = o && ref_get_unless_zero(&o->ref) ? 0 : -EINVAL;
    if (!err)
        err = ipc_permission(o, rights);
    mutex_unlock(&shm_kind.lock);
    if (err == -EINVAL)
        return err_ptr(err);
    struct shm *s = container_of(o, struct shm, o);
    struct file *f =
        err ? err_ptr(err) : file_open_path(&s->file->path, rights & 0222 ? O_RDWR_K : O_RDONLY_K);
    if (is_err(f)) {
        shm_put(s);
        return f;
    }
    f->ops = &shm_file_ops;
    f->priv = s;
    return f;
}

/* ---- system calls ---- */

int64_t sys_shmget(int32_t key, uint64_t size, int flags)
{
    return ipc_get(&shm_kind, key, flags, size);
}

int64_t sys_shmat(int id, uaddr_t addr, int flags)
{
    int prot = PROT_READ_K, map = MAP_SHARED_K;
    uint32_t rights = 0444;
    if (id < 0)
        return -EINVAL;
    if (flags & SHM_RND_K)
        addr &= PAGE_MASK;
    if ((addr & ~PAGE_MASK) || (!addr && (flags & SHM_REMAP_K)))
        return -EINVAL;
    if (addr)
        map |= flags & SHM_REMAP_K ? MAP_FIXED_K : MAP_FIXED_NOREPLACE_K;
    if (!(flags & SHM_RDONLY_K)) {
        prot |= PROT_WRITE_K;
        rights |= 0222;
    }
    if (flags & SHM_EXEC_K) {
        prot |= PROT_EXEC_K;
        rights |= 0111;
    }
    struct file *f = attach_file(id, rights);
    if (is_err(f))
        return ptr_err(f);
    struct shm *s = f->priv;
    int64_t at = mm_map(current->mm, f, addr, s->size, prot, map, 0);
    if (at >= 0)
        shm_note(s, &s->atime);
    file_put(f);
    return at == -EEXIST ? -EINVAL : at;
}

int64_t sys_shmdt(uaddr_t addr)
{
    struct mm *mm = current->mm;
    struct list dead = LIST_INIT(dead);
    const struct file *f = NULL;
    uint64_t size = 0;
    int64_t r = -EINVAL;
    if (addr & ~PAGE_MASK)
        return r;
    mutex_lock(&mm->lock);
    /* The attach is what is mapped at its distance from addr, whatever was split off or unmapped of
     * it since. */
    for (uaddr_t at = addr;;) {
        struct vma *v = mm_find_from(mm, at);
        if (!v || (f && v->start - addr >= size))
            break;
        at = v->end;
        if (!v->file || v->file->ops != &shm_file_ops || v->start - addr != v->offset ||
            (f && v->file != f))
            continue;
        f = v->file; /* `dead` keeps it until the end */
        size = PAGE_ALIGN(((struct shm *)f->priv)->size);
        r = mm_unmap_locked(mm, v->start, v->end, true, &dead);
        if (r)
            break;
    }
    mutex_unlock(&mm->lock);
    vma_free_list(&dead);
    return r;
}

static void fill_ds(struct shm *s, struct k_shmid_ds *ds)
{
    *ds = (struct k_shmid_ds){.size = s->size,
                              .atime = s->atime,
                              .dtime = s->dtime,
                              .ctime = s->ctime,
                              .cpid = s->cpid,
                              .lpid = s->lpid,
                              .nattch = nr_attached(s)};
    ipc_fill_perm(&s->o, &ds->perm);
}

static int64_t shm_info(uaddr_t buf)
{
    struct k_shm_info info = {.used_ids = 0};
    mutex_lock(&shm_kind.lock);
    info.used_ids = (int32_t)shm_kind.used;
    int highest = ipc_highest(&shm_kind);
    for (uint32_t i = 0; i < shm_kind.nr_slots; i++)
        if (shm_kind.slot[i]) {
            struct shm *s = container_of(shm_kind.slot[i], struct shm, o);
            info.tot += PAGE_ALIGN(s->size) / PAGE_SIZE;
            info.rss += READ_ONCE(s->file->inode->pages.nr_resident);
        }
    mutex_unlock(&shm_kind.lock);
    return put_user(info, buf) ? -EFAULT : highest;
}

static int64_t shm_limits(uaddr_t buf)
{
    struct k_shminfo info = {.shmmax = SHMMAX_K,
                             .shmmin = 1,
                             .shmmni = SHMMNI_K,
                             .shmseg = SHMMNI_K,
                             .shmall = SHMMAX_K};
    mutex_lock(&shm_kind.lock);
    int highest = ipc_highest(&shm_kind);
    mutex_unlock(&shm_kind.lock);
    return put_user(info, buf) ? -EFAULT : highest;
}

/* SHM_LOCK is kept and shown; the memory is the keep's either way. */
static int lock_segment(struct ipc_object *o, bool lock)
{
    kuid_t euid = current->cred->euid;
    if (!capable(CAP_IPC_LOCK_K) &&
        ((euid != o->uid && euid != o->cuid) || (lock && !rlimit_cur(RLIMIT_MEMLOCK_K))))
        return -EPERM;
    o->mode = lock ? o->mode | SHM_LOCKED_K : o->mode & ~(uint32_t)SHM_LOCKED_K;
    return 0;
}

/* IPC_SET, IPC_RMID, SHM_LOCK, SHM_UNLOCK. */
static int64_t shm_change(int id, int cmd, const struct k_shmid_ds *ds)
{
    struct shm *removed = NULL;
    int64_t r;
    mutex_lock(&shm_kind.lock);
    struct ipc_object *o = cmd == SHM_LOCK_K || cmd == SHM_UNLOCK_K
                               ? ipc_find(&shm_kind, id)
                               : ipc_find_for_change(&shm_kind, id);
    struct shm *s = !o || is_err(o) ? NULL : container_of(o, struct shm, o);
    if (!s) {
        r = o ? ptr_err(o) : -EINVAL;
    } else if (cmd == IPC_RMID_K) {
        r = 0;
        if (!(o->mode & SHM_DEST_K))
            removed = s;
        o->mode |= SHM_DEST_K;
        o->key = IPC_PRIVATE_K;
    } else if (cmd == IPC_SET_K) {
        r = ipc_set_perm(o, &ds->perm);
        if (!r)
            s->ctime = ipc_now();
    } else {
        r = lock_segment(o, cmd == SHM_LOCK_K);
    }
    mutex_unlock(&shm_kind.lock);
    if (removed)
        shm_put(removed);
    return r;
}

int64_t sys_shmctl(int id, int cmd, uaddr_t buf)
{
    struct k_shmid_ds ds;
    struct ipc_object *o;
    int64_t r;
    if (id < 0 || cmd < 0)
        return -EINVAL;
    switch (cmd) {
    case IPC_INFO_K: return shm_limits(buf);
    case SHM_INFO_K: return shm_info(buf);
    case IPC_STAT_K:
    case SHM_STAT_K:
    case SHM_STAT_ANY_K:
        mutex_lock(&shm_kind.lock);
        o = ipc_find_for_stat(&shm_kind, id, cmd);
        r = is_err(o) ? ptr_err(o) : cmd == IPC_STAT_K ? 0 : o->id;
        if (r >= 0)
            fill_ds(container_of(o, struct shm, o), &ds);
        mutex_unlock(&shm_kind.lock);
        return r >= 0 && put_user(ds, buf) ? -EFAULT : r;
    case IPC_SET_K:
        if (get_user(ds, buf))
            return -EFAULT;
        return shm_change(id, cmd, &ds);
    case IPC_RMID_K:
    case SHM_LOCK_K:
    case SHM_UNLOCK_K: return shm_change(id, cmd, NULL);
    default: return -EINVAL;
    }
}

/* ---- /proc/sysvipc/shm ---- */

static void show_row(struct text *t, struct ipc_object *o)
{
    struct shm *s = container_of(o, struct shm, o);
    text_printf(t, "%10d %10d  %4o %21lu %5d %5d  %5lu %5u %5u %5u %5u %10lu %10lu %10lu ", o->key,
                o->id, o->mode, s->size, s->cpid, s->lpid, nr_attached(s), o->uid, o->gid, o->cuid,
                o->cgid, (uint64_t)s->atime, (uint64_t)s->dtime, (uint64_t)s->ctime);
    text_printf(t, "%21lu %21lu\n", READ_ONCE(s->file->inode->pages.nr_resident) * PAGE_SIZE, 0ul);
}

int proc_sysvipc_shm_show(const struct pseudo_node *n, struct text *t)
{
    ipc_show(&shm_kind, t,
             "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  "
             "cuid  cgid      atime      dtime      ctime                   rss                  "
             "swap\n",
             show_row);
    return 0;
}
