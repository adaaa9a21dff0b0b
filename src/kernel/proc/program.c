/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a program that the host named; see program.h. */
#include "proc/program.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/string.h"
#include "dev/console.h"
#include "fs/vfs.h"
#include "proc/exec.h"
#include "proc/task.h"

const char *program_error_text(int err)
{
    switch (-err) {
    case ENOENT: return "there is no such file in the keep's root";
    case EACCES: return "permission denied";
    case ENOTDIR: return "a part of the path is not a directory";
    case EISDIR: return "is a directory";
    case ENOEXEC: return "not an x86-64 ELF program and not a script with #!";
    case ELIBBAD: return "its ELF interpreter is damaged";
    case ENOMEM: return "not enough memory; give more with --memory";
    case ELOOP: return "too many symbolic links";
    case E2BIG: return "the argument list is too long";
    case EROFS: return "the file system is read-only";
    case EIO: return "input/output error at the host";
    default: return "failed";
    }
}

/* Becomes the program's user. */
static int set_identity(const struct program *p)
{
    struct cred *c = cred_prepare();
    kgid_t *groups = c && p->nr_groups ? kmalloc(p->nr_groups * sizeof(*groups)) : NULL;
    if (!c || (p->nr_groups && !groups)) {
        if (c)
            cred_put(c);
        return -ENOMEM;
    }
    c->uid = c->euid = c->suid = c->fsuid = p->uid;
    c->gid = c->egid = c->sgid = c->fsgid = p->gid;
    if (p->uid)
        c->cap_effective = c->cap_permitted = c->cap_inheritable = c->cap_ambient = 0;
    /* Sorted, by insertion. */
    for (uint32_t i = 0; i < p->nr_groups; i++) {
        uint32_t j = i;
        for (; j && groups[j - 1] > p->groups[i]; j--)
            groups[j] = groups[j - 1];
        groups[j] = p->groups[i];
    }
    kfree(c->groups);
    c->groups = groups;
    c->nr_groups = p->nr_groups;
    cred_commit(c);
    return 0;
}

/* The first variable of that name in the environment, or NULL. */
static const char *environment(char *const *envp, const char *name)
{
    size_t n = strlen(name);
    for (char *const *e = envp; *e; e++)
        if (strncmp(*e, name, n) == 0 && (*e)[n] == '=')
            return *e + n + 1;
    return NULL;
}

/* Executes program as execvp(3) would. Returns the last error. */
static int exec_path(const struct program *p)
{
    if (strchr(p->path, '/'))
        return exec_first(p->path, p->argv, p->envp);
    const char *path = environment(p->envp, "PATH");
    int worst = -ENOENT;
    char *full = kmalloc(PATH_MAX_K);
    if (!full)
        return -ENOMEM;
    for (const char *dir = path ? path : "/usr/bin:/bin"; *dir;) {
        size_t n = 0;
        while (dir[n] && dir[n] != ':')
            n++;
        if (n && n + strlen(p->path) + 2 < PATH_MAX_K) {
            k_snprintf(full, PATH_MAX_K, "%.*s/%s", (int)n, dir, p->path);
            int r = exec_first(full, p->argv, p->envp);
            if (r == 0) {
                kfree(full);
                return 0;
            }
            if (r != -ENOENT && r != -ENOTDIR)
                worst = r;
        }
        dir += n + (dir[n] == ':');
    }
    kfree(full);
    return worst;
}

int program_open_streams(struct console *c, kuid_t owner)
{
    struct thread *t = current;
    t->files = files_create();
    if (!t->files)
        return -ENOMEM;
    for (int i = 0; i < 3; i++) {
        struct file *f = console_file(c, i);
        if (is_err(f))
            return (int)ptr_err(f);
        f->inode->uid = owner;
        int fd = fd_install(f, i, false);
        if (fd != i)
            return -ENOMEM;
    }
    return 0;
}

int program_start(const struct program *p, struct program_failure *failure)
{
    int r = set_identity(p);
    failure->what = p->path;
    if (r == 0 && p->workdir[0]) {
        r = fs_context_chdir(p->workdir);
        if (r)
            failure->what = p->workdir;
    }
    failure->status = r ? STATUS_CELLA : 0;
    if (r == 0) {
        r = exec_path(p);
        failure->status = r == -ENOENT || r == -ENOTDIR ? STATUS_NOT_FOUND
                          : r == -ENOMEM                ? STATUS_CELLA
                                                        : STATUS_CANNOT_RUN;
    }
    failure->why = program_error_text(r);
    return r;
}
