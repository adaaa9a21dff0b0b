/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs of `cella exec`; see sessions.h.
 *
 * One kernel thread has a SESSION_WAIT out. What it brings is the host's word and is checked as
 * such: it may start what it likes, as which user it likes, but it cannot make the kernel read
 * beyond the message.
 *
 * A session lives from the message until its first process, whose `session` field points to it,
 * exits. Locks: sessions_lock (spin) guards the list and `pid`, before proc_tree_lock.
 */
#include "proc/sessions.h"

#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/string.h"
#include "boot.h"
#include "dev/console.h"
#include "dev/console_terminal.h"
#include "dev/host_ring.h"
#include "fs/vfs.h"
#include "proc/program.h"
#include "proc/task.h"

struct session {
    struct list link;
    uint32_t nr;
    kpid_t pid; /* also its group's number */
    struct cella_session_header h;
    struct console *console;
    struct program program;
    char **argv, **envp; /* into strings, and into boot's */
    char strings[];
};

static struct list sessions = LIST_INIT(sessions);
static spinlock_t sessions_lock = SPINLOCK_INIT;

/* sessions_lock is held. */
static struct session *session_find(uint32_t nr)
{
    struct session *s;
    list_for_each (s, &sessions, link)
        if (s->nr == nr)
            return s;
    return NULL;
}

static void session_free(struct session *s)
{
    if (s->console)
        console_put(s->console);
    kfree(s->argv);
    kfree(s->envp);
    kfree(s);
}

static void tell_end(uint32_t nr, int wait_status)
{
    struct host_call c = {.op = CELLA_HOST_EXIT, .a = {(uint32_t)wait_status, nr}};
    host_call(&c, WAIT_UNINTERRUPTIBLE);
}

/* ---- the message ---- */

/* `nr` strings from *pos on, NULL-terminated, behind `room` free places; moves *pos behind them.
 * The caller has counted the strings. */
static char **take_strings(char **pos, uint32_t room, uint32_t nr)
{
    char **a = kmalloc((room + nr + 1ul) * sizeof(*a));
    for (uint32_t i = 0; i < nr; i++) {
        if (a)
            a[room + i] = *pos;
        *pos += strlen(*pos) + 1;
    }
    if (a)
        a[room + nr] = NULL;
    return a;
}

/* The keep's own environment, with that of the message over it. */
static char **merge_env(char **pos, uint32_t nr)
{
    uint32_t nr_boot = boot.h.nr_env, used = 0;
    char **env = take_strings(pos, nr_boot, nr);
    for (uint32_t i = 0; env && i < nr_boot; i++) {
        const char *equals = strchr(boot.envp[i], '=');
        size_t n = equals ? (size_t)(equals - boot.envp[i]) + 1 : strlen(boot.envp[i]) + 1;
        uint32_t j = nr_boot;
        while (j < nr_boot + nr && strncmp(env[j], boot.envp[i], n) != 0)
            j++;
        if (j == nr_boot + nr)
            env[used++] = boot.envp[i];
    }
    for (uint32_t i = 0; env && i <= nr; i++)
        env[used + i] = env[nr_boot + i];
    return env;
}

static bool header_is_sane(const struct cella_session_header *h, const char *strings, uint32_t len)
{
    uint32_t nr = 0;
    if ((h->flags & ~(uint32_t)CELLA_SESSION_TERMINAL) || h->signal || h->pad ||
        (h->uid == UINT32_MAX) != (h->gid == UINT32_MAX) || h->nr_args == 0 ||
        h->nr_args > CELLA_SESSION_MAX || h->nr_env > CELLA_SESSION_MAX || len == 0 ||
        strings[len - 1])
        return false;
    for (uint32_t i = 0; i < len; i++)
        nr += !strings[i];
    return nr == 1 + h->nr_args + h->nr_env;
}

static struct session *session_new(uint32_t nr, const struct cella_session_header *h,
                                   const char *strings, uint32_t len)
{
    struct session *s = kzalloc(sizeof(*s) + len);
    if (!s)
        return NULL;
    s->nr = nr;
    s->h = *h;
    list_init(&s->link);
    memcpy(s->strings, strings, len);
    char *pos = s->strings;
    const char *workdir = pos;
    pos += strlen(pos) + 1;
    s->argv = take_strings(&pos, 0, h->nr_args);
    s->envp = merge_env(&pos, h->nr_env);
    s->console =
        console_create(nr, h->stdio_mode, h->stdio_is_tty, h->flags & CELLA_SESSION_TERMINAL);
    if (!s->argv || !s->envp || !s->console) {
        session_free(s);
        return NULL;
    }
    bool same_user = h->uid == UINT32_MAX;
    s->program = (struct program){
        .path = s->argv[0],
        .argv = s->argv,
        .envp = s->envp,
        .workdir = workdir[0] ? workdir : boot.workdir,
        .uid = same_user ? boot.h.uid : h->uid,
        .gid = same_user ? boot.h.gid : h->gid,
        .groups = boot.h.groups,
        .nr_groups = same_user ? boot.h.nr_groups : 0,
    };
    return s;
}

/* ---- the program ---- */

static void print_failure(const struct session *s, const struct program_failure *failure)
{
    char line[512];
    k_snprintf(line, sizeof(line), "cella: exec: %s: %s%s\n", failure->what, failure->why,
               s->h.flags & CELLA_SESSION_TERMINAL ? "\r" : "");
    struct host_call c = {.op = CELLA_HOST_CONSOLE_WRITE,
                          .a = {(uint64_t)s->nr << 2 | 2},
                          .send = line,
                          .send_len = (uint32_t)strlen(line)};
    host_call(&c, WAIT_KILLABLE);
}

static void session_thread(void *arg)
{
    struct session *s = arg;
    struct program_failure failure = {STATUS_CELLA, s->argv[0], program_error_text(-ENOMEM)};
    current->fs = fs_context_copy(NULL);
    if (!current->fs || program_open_streams(s->console, s->program.uid) ||
        program_start(&s->program, &failure)) {
        print_failure(s, &failure);
        process_exit_group(failure.status << 8);
    }
}

void session_process_exits(struct process *p)
{
    struct session *s = p->session;
    p->session = NULL;
    spin_lock(&sessions_lock);
    list_del(&s->link);
    spin_unlock(&sessions_lock);
    console_drain(s->console);
    tell_end(s->nr, p->exit_code);
    session_free(s);
}

/* ---- what the host wants ---- */

static int start_program(uint32_t nr, const struct cella_session_header *h, const char *strings,
                         uint32_t len)
{
    if (!header_is_sane(h, strings, len))
        return -EINVAL;
    spin_lock(&sessions_lock);
    bool known = session_find(nr) != NULL;
    spin_unlock(&sessions_lock);
    if (known)
        return -EINVAL;
    struct session *s = session_new(nr, h, strings, len);
    struct process *p = s ? process_create_root("exec") : NULL;
    if (!p) {
        printk("exec: not enough memory; give more with --memory");
        if (s)
            session_free(s);
        tell_end(nr, STATUS_CELLA << 8);
        return 0;
    }
    p->session = s;
    p->leader->kthread_fn = session_thread;
    p->leader->kthread_arg = s;
    spin_lock(&sessions_lock);
    s->pid = p->pid;
    list_add_tail(&s->link, &sessions);
    spin_unlock(&sessions_lock);
    sched_add_new(p->leader);
    return 0;
}

static int send_signal(uint32_t nr, uint32_t sig)
{
    if (sig < 1 || sig > NSIG_K)
        return -EINVAL;
    /* A new size: the terminals ask for it, and tell their foreground. */
    if (sig == SIGWINCH) {
        terminals_resized();
        return 0;
    }
    struct k_siginfo info = {.si_signo = (int)sig, .si_code = SI_KERNEL_K};
    /* With the lock: the number is the program's as long as the session is in the list. */
    spin_lock(&sessions_lock);
    const struct session *s = session_find(nr);
    if (s)
        signal_send_pgrp(s->pid, &info);
    spin_unlock(&sessions_lock);
    return 0; /* a program that has just ended */
}

int session_take_message(int64_t nr, const void *message, uint32_t len)
{
    struct cella_session_header h;
    if (nr < 1 || nr > INT32_MAX || len < sizeof(h))
        return -EINVAL;
    memcpy(&h, message, sizeof(h));
    if (h.size != len)
        return -EINVAL;
    if (h.flags == CELLA_SESSION_SIGNAL)
        return send_signal((uint32_t)nr, h.signal);
    return start_program((uint32_t)nr, &h, (const char *)message + sizeof(h), len - sizeof(h));
}

static void sessions_thread(void *arg)
{
    char *message = arg;
    for (;;) {
        struct host_call c = {
            .op = CELLA_HOST_SESSION_WAIT, .recv = message, .recv_max = CELLA_SESSION_MAX};
        int64_t r = host_call(&c, WAIT_UNINTERRUPTIBLE);
        if (r < 0) {
            printk("exec: the host gives no more sessions (%d)", (int)r);
            break;
        }
        if (session_take_message(r, message, c.recv_len))
            printk("exec: the host sent a session that makes no sense");
    }
    kfree(message);
}

bool sessions_start(void)
{
    char *message = kmalloc(CELLA_SESSION_MAX);
    struct thread *t = message ? kthread_start("sessions", sessions_thread, message) : NULL;
    if (t)
        thread_put(t);
    else
        kfree(message);
    return t != NULL;
}
