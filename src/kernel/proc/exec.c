/* SPDX-License-Identifier: Apache-2.0 */
/*
 * execve(2), execveat(2), and the keep's first program.
 *
 * Everything that can be refused is checked while the old program is whole: the file and its
 * interpreters are open and denied for writing, all headers are read, arguments and credentials are
 * copied, the new address space is made. Then the other threads are ended, which is the point of no
 * return; an error after it (no memory, a limit) kills the process.
 */
#include "proc/exec.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/string.h"
#include "crypto/drbg.h"
#include "fs/vfs.h"
#include "mm/mm.h"
#include "mm/vdso_map.h"
#include "proc/caps.h"
#include "proc/elf.h"
#include "proc/exec_args.h"
#include "proc/exec_stack.h"
#include "proc/rseq.h"
#include "proc/task.h"
#include "stats.h"

#define SCRIPT_HEAD 256u /* bytes that the #! line may have */
#define SCRIPT_DEPTH_MAX 5
#define PIE_BASE 0x555555554000ull
#define PIE_RANDOM_PAGES (1ull << 28)
#define BRK_RANDOM_PAGES (1ull << 13)
/* No program reaches up here: mmap_base is always above. */
#define PROGRAM_END_MAX (USER_LIMIT - (2ull << 40))
#define INTERP_SPAN_MAX (1ull << 40)
#define STACK_EXTRA (128 * 1024ull)

enum { ADDR_NO_RANDOMIZE_K = 0x0040000, PERSONALITY_CLEARED_ON_SETID = 0x0740000 };
enum { USER_CS = 0x33, USER_SS = 0x2b, RFLAGS_START = 0x202 };

struct exec {
    struct exec_args args;
    char *filename;         /* AT_EXECFN, kmalloc'd */
    bool path_inaccessible; /* the file can be named only by a descriptor that exec closes */
    struct file *file, *interp_file; /* open, denied for writing */
    struct elf_image program, interp;
    struct cred *cred;
    bool secure;
};

/* ---- opening ---- */

static void close_program(struct file *f)
{
    if (!f)
        return;
    inode_allow_write(f->inode);
    file_put(f);
}

static struct file *open_checked(const struct path *p)
{
    struct inode *inode = p->dentry->inode;
    if (S_ISLNK_K(inode->mode))
        return err_ptr(-ELOOP);
    if (!S_ISREG_K(inode->mode) || (p->mnt->flags & MS_NOEXEC_K))
        return err_ptr(-EACCES);
    int err = inode_permission(inode, MAY_EXEC);
    if (err)
        return err_ptr(err);
    struct file *f = file_open_path(p, O_RDONLY_K | O_LARGEFILE_K);
    if (is_err(f))
        return f;
    err = inode_deny_write(f->inode);
    if (!err)
        return f;
    file_put(f);
    return err_ptr(err);
}

/* A regular file that current may execute, denied for writing until close_program. */
static struct file *open_program(int dirfd, const char *name, int flags)
{
    struct path p;
    unsigned lookup = flags & AT_SYMLINK_NOFOLLOW_K ? 0 : LOOKUP_FOLLOW;
    if (flags & AT_EMPTY_PATH_K)
        lookup |= LOOKUP_EMPTY;
    int err = path_lookup_at(dirfd, name, lookup, &p);
    if (err)
        return err_ptr(err);
    struct file *f = open_checked(&p);
    path_put(&p);
    return f;
}

static int name_program(struct exec *e, int dirfd, const char *name)
{
    char prefix[32] = "";
    if (dirfd != AT_FDCWD_K && name[0] != '/') {
        k_snprintf(prefix, sizeof(prefix), name[0] ? "/dev/fd/%d/" : "/dev/fd/%d", dirfd);
        e->path_inaccessible = files_cloexec(current->files, dirfd);
    }
    size_t size = strlen(prefix) + strlen(name) + 1;
    e->filename = kmalloc(size);
    if (!e->filename)
        return -ENOMEM;
    k_snprintf(e->filename, size, "%s%s", prefix, name);
    return 0;
}

/* ---- scripts ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static char *skip_blanks(char *p)
{
    while (is_blank(*p))
        p++;
    return p;
}

/* Splits the line behind "#!" in head (SCRIPT_HEAD bytes, then a NUL): the interpreter, and what
 * follows as one argument (NULL: nothing). */
static int parse_script(char *head, char **interp, char **arg)
{
    char *start = skip_blanks(head + 2), *end = head + 2;
    while (*end && *end != '\n')
        end++;
    char *name_end = start;
    while (name_end < end && !is_blank(*name_end))
        name_end++;
    /* A line that does not end within the head may have lost a part of the interpreter's name. */
    if (end == head + SCRIPT_HEAD && name_end == end)
        return -ENOEXEC;
    while (end > start && is_blank(end[-1]))
        end--;
    if (start >= end)
        return -ENOEXEC;
    *end = 0;
    *interp = start;
    *arg = NULL;
    if (name_end < end) {
        *name_end = 0;
        *arg = skip_blanks(name_end + 1);
    }
    return 0;
}

/* Replaces the script that is e->file by its interpreter. *path: how the script is named to it;
 * head: its first bytes. */
static int enter_script(struct exec *e, char *head, char **path)
{
    char *interp, *arg;
    int err = parse_script(head, &interp, &arg);
    if (err)
        return err;
    if (e->path_inaccessible)
        return -ENOENT;
    err = exec_args_for_script(&e->args, interp, arg, *path);
    if (err)
        return err;
    char *copy = kstrdup(interp);
    if (!copy)
        return -ENOMEM;
    kfree(*path);
    *path = copy;
    struct file *f = open_program(AT_FDCWD_K, copy, 0);
    if (is_err(f))
        return (int)ptr_err(f);
    close_program(e->file);
    e->file = f;
    return 0;
}

/* Follows #! lines until e->file is something else. */
static int resolve_scripts(struct exec *e)
{
    char *head = kmalloc(SCRIPT_HEAD + 1), *path = kstrdup(e->filename);
    int err = head && path ? 0 : -ENOMEM;
    for (int depth = 0; !err; depth++) {
        memset(head, 0, SCRIPT_HEAD + 1);
        int64_t n = file_pread_kernel(e->file, head, SCRIPT_HEAD, 0);
        if (n < 0)
            err = (int)n;
        else if (head[0] != '#' || head[1] != '!')
            break;
        else if (depth >= SCRIPT_DEPTH_MAX)
            err = -ELOOP;
        else
            err = enter_script(e, head, &path);
    }
    kfree(head);
    kfree(path);
    return err;
}

/* ---- programs ---- */

static int read_images(struct exec *e)
{
    int err = elf_read(e->file, &e->program);
    if (err)
        return err;
    uint64_t span = e->program.high - e->program.low;
    uint64_t end_max = e->program.position_independent
                           ? PROGRAM_END_MAX - PIE_BASE -
                                 (PIE_RANDOM_PAGES + BRK_RANDOM_PAGES) * PAGE_SIZE -
                                 2 * e->program.align
                           : PROGRAM_END_MAX;
    if ((e->program.position_independent ? span : e->program.high) > end_max)
        return -ENOMEM;
    if (!e->program.interp)
        return 0;
    struct file *f = open_program(AT_FDCWD_K, e->program.interp, 0);
    if (is_err(f))
        return (int)ptr_err(f);
    e->interp_file = f;
    err = elf_read(f, &e->interp);
    if (err == -ENOEXEC || err == -EIO || (!err && !e->interp.position_independent))
        return -ELIBBAD;
    if (!err && e->interp.high - e->interp.low > INTERP_SPAN_MAX)
        return -ENOMEM;
    return err;
}

/* Rules: capabilities(7), "Transformation of capabilities during execve()", for files without
 * capabilities. */
static void transform_caps(struct cred *c, bool set_id)
{
    bool effective = false,
         privileged = !(c->securebits & SECBIT_NOROOT) && (c->uid == 0 || c->euid == 0);
    if (set_id)
        c->cap_ambient = 0;
    c->cap_permitted = privileged ? c->cap_bounding | c->cap_inheritable : 0;
    effective = privileged && c->euid == 0;
    c->cap_permitted |= c->cap_ambient;
    c->cap_effective = effective ? c->cap_permitted : c->cap_ambient;
}

static int prepare_cred(struct exec *e)
{
    struct cred *c = cred_prepare();
    if (!c)
        return -ENOMEM;
    const struct cred *old = current->cred;
    const struct inode *inode = e->file->inode;
    bool may_setid = !(e->file->path.mnt->flags & MS_NOSUID_K) && !c->no_new_privs;
    if (may_setid && (inode->mode & S_ISUID_K))
        c->euid = inode->uid;
    if (may_setid && (inode->mode & (S_ISGID_K | 010)) == (S_ISGID_K | 010))
        c->egid = inode->gid;
    bool set_id = c->euid != old->uid || c->egid != old->gid;
    c->suid = c->fsuid = c->euid;
    c->sgid = c->fsgid = c->egid;
    transform_caps(c, set_id);
    c->securebits &= ~(uint32_t)SECBIT_KEEP_CAPS;
    e->cred = c;
    e->secure = set_id || (c->uid != 0 && (c->cap_permitted & ~c->cap_ambient) != 0);
    return 0;
}

/* ---- loading: behind the point of no return ---- */

static uint64_t random_pages(uint64_t max)
{
    uint64_t r = 0;
    if (!(current->process->personality & ADDR_NO_RANDOMIZE_K))
        drbg_fill(&r, sizeof(r));
    return r % max;
}

static int map_images(struct exec *e, struct mm *mm)
{
    uint64_t bias = 0;
    if (e->program.position_independent)
        bias = ALIGN_UP(PIE_BASE + random_pages(PIE_RANDOM_PAGES) * PAGE_SIZE, e->program.align) -
               e->program.low;
    int err = elf_map(mm, &e->program, bias);
    if (err || !e->interp_file)
        return err;
    uint64_t span = e->interp.high - e->interp.low;
    mutex_lock(&mm->lock);
    uaddr_t at = mm_find_gap(mm, span, e->interp.align);
    mutex_unlock(&mm->lock);
    return at ? elf_map(mm, &e->interp, at - e->interp.low) : -ENOMEM;
}

static int map_stack(struct exec *e, struct mm *mm, uaddr_t top)
{
    uint64_t need = PAGE_ALIGN(exec_stack_bytes(&e->args, e->filename));
    uint64_t size =
        k_max(need, PAGE_ALIGN(k_min(need + STACK_EXTRA, rlimit_cur(RLIMIT_STACK_K) & PAGE_MASK)));
    int prot = PROT_READ_K | PROT_WRITE_K | (e->program.exec_stack ? PROT_EXEC_K : 0);
    int64_t at =
        mm_map_special(mm, NULL, top - size, size, prot,
                       MAP_PRIVATE_K | MAP_ANONYMOUS_K | MAP_FIXED_K, 0, VMA_STACK | VMA_GROWSDOWN);
    return at < 0 ? (int)at : 0;
}

static int load(struct exec *e, struct mm *mm, uaddr_t *entry, uaddr_t *sp)
{
    uaddr_t top = mm_layout(mm);
    int err = mm_set_exe(mm, e->file);
    if (!err)
        err = map_stack(e, mm, top);
    if (!err)
        err = map_images(e, mm);
    if (!err)
        err = vdso_map(mm);
    if (!err)
        err = mm_set_brk(mm, e->program.high + e->program.bias +
                                 random_pages(BRK_RANDOM_PAGES) * PAGE_SIZE);
    if (err)
        return err;
    mm->code_start = e->program.code_start;
    mm->code_end = e->program.code_end;
    mm->data_start = e->program.data_start;
    mm->data_end = e->program.data_end;
    struct exec_auxv aux = {
        .phdr = e->program.phdr_vaddr ? e->program.phdr_vaddr + e->program.bias : 0,
        .phnum = e->program.phnum,
        .entry = e->program.entry + e->program.bias,
        .base = e->interp_file ? e->interp.bias : 0,
        .secure = e->secure,
    };
    *entry = e->interp_file ? e->interp.entry + e->interp.bias : aux.entry;
    return exec_stack_build(mm, &e->args, e->filename, &aux, top, sp);
}

static void set_comm(struct thread *t, const char *filename)
{
    const char *slash = strrchr(filename, '/');
    k_strlcpy(t->comm, slash ? slash + 1 : filename, sizeof(t->comm));
}

static void start_at(struct thread *t, uaddr_t entry, uaddr_t sp)
{
    struct regs *r = thread_regs(t);
    memset(r, 0, sizeof(*r));
    r->rip = entry;
    r->rsp = sp;
    r->cs = USER_CS;
    r->ss = USER_SS;
    r->rflags = RFLAGS_START;
    r->orig_rax = REGS_NO_SYSCALL;
    t->fs_base = 0;
    arch_set_fs_base(0);
    t->fpu_saved = false;
    arch_xstate_reset();
}

/* The old program ends here. An error means that it still stands, and that nothing of it was
 * changed but its threads. */
static int leave_old_program(struct mm **mm)
{
    struct thread *t = current;
    struct mm *fresh = NULL;
    int err = process_kill_other_threads();
    if (err)
        return err;
    /* Somebody else goes on in the old address space: the parent of a vfork. */
    if (!t->mm || ref_read(&t->mm->ref) > 1) {
        fresh = mm_create();
        if (!fresh)
            return -ENOMEM;
    }
    err = files_exec();
    if (err) {
        if (fresh)
            mm_put(fresh);
        return err;
    }
    if (fresh)
        mm_switch_to(fresh);
    else
        mm_clear(t->mm);
    process_vfork_release(t->process);
    *mm = t->mm;
    return 0;
}

static void become(struct exec *e)
{
    struct thread *t = current;
    struct process *p = t->process;
    signal_flush_handlers_on_exec(t->sighand);
    t->altstack_sp = t->altstack_size = 0;
    t->clear_child_tid = 0;
    t->robust_list = 0;
    rseq_exec(t);
    p->has_execed = true;
    if (e->secure)
        p->personality &= ~(uint32_t)PERSONALITY_CLEARED_ON_SETID;
    /* Who may not read the file may not look into the process either. Asked before the new
     * credentials. */
    p->dumpable = inode_permission(e->file->inode, MAY_READ) == 0;
    if (e->secure) {
        p->dumpable = false;
        t->pdeath_signal = 0;
    }
    cred_commit(e->cred);
    e->cred = NULL;
    stats_program_ends(t->process, t->comm);
    set_comm(t, e->filename);
}

static void release(struct exec *e)
{
    elf_release(&e->program);
    elf_release(&e->interp);
    close_program(e->file);
    close_program(e->interp_file);
    if (e->cred)
        cred_put(e->cred);
    exec_args_release(&e->args);
    kfree(e->filename);
    kfree(e);
}

/* All that may be refused. */
static int prepare(struct exec *e, int dirfd, const char *name, int flags)
{
    int err = name_program(e, dirfd, name);
    if (err)
        return err;
    struct file *f = open_program(dirfd, name, flags);
    if (is_err(f))
        return (int)ptr_err(f);
    e->file = f;
    err = resolve_scripts(e);
    if (!err)
        err = read_images(e);
    return err ? err : prepare_cred(e);
}

/* Consumes e, whose arguments are filled. */
static int execute(struct exec *e, int dirfd, const char *name, int flags)
{
    struct mm *mm = NULL;
    uaddr_t entry = 0, sp = 0;
    int err = prepare(e, dirfd, name, flags);
    if (!err)
        err = leave_old_program(&mm);
    if (err) {
        release(e);
        return err;
    }
    become(e);
    err = load(e, mm, &entry, &sp);
    release(e);
    if (err)
        process_exit_group(SIGSEGV);
    start_at(current, entry, sp);
    return 0;
}

static struct exec *exec_new(void)
{
    struct exec *e = kzalloc(sizeof(*e));
    if (e)
        exec_args_init(&e->args);
    return e;
}

int exec_first(const char *path, char *const argv[], char *const envp[])
{
    struct exec *e = exec_new();
    if (!e)
        return -ENOMEM;
    int err = exec_args_from_kernel(&e->args, argv, envp);
    if (err) {
        release(e);
        return err;
    }
    return execute(e, AT_FDCWD_K, path, 0);
}

/* ---- system calls ---- */

int64_t sys_execveat(int dirfd, uaddr_t path, uaddr_t argv, uaddr_t envp, int flags)
{
    if (flags & ~(AT_EMPTY_PATH_K | AT_SYMLINK_NOFOLLOW_K))
        return -EINVAL;
    char *name = path_from_user(path, flags & AT_EMPTY_PATH_K);
    if (is_err(name))
        return ptr_err(name);
    struct exec *e = exec_new();
    int err = -ENOMEM;
    if (e) {
        err = exec_args_from_user(&e->args, argv, envp);
        if (err)
            release(e);
        else
            err = execute(e, dirfd, name, flags);
    }
    kfree(name);
    return err;
}

int64_t sys_execve(uaddr_t path, uaddr_t argv, uaddr_t envp)
{
    return sys_execveat(AT_FDCWD_K, path, argv, envp, 0);
}
