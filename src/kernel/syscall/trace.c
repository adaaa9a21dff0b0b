/* SPDX-License-Identifier: Apache-2.0 */
/* --trace: a line for each system call, as strace prints it, with what the table knows of the
 * arguments. */
#include "arch/x86_64/regs.h"
#include "base/errno.h"
#include "base/kmalloc.h"
#include "base/printk.h"
#include "base/string.h"
#include "base/usercopy.h"
#include "proc/task.h"
#include "syscall/syscall.h"

#define LINE 300

static int format_string(char *buf, size_t size, uaddr_t s)
{
    char text[64];
    long n = s ? strncpy_from_user(text, s, sizeof(text)) : -EFAULT;
    if (n == -EFAULT)
        return k_snprintf(buf, size, "0x%lx", s);
    size_t len = n < 0 ? sizeof(text) : (size_t)n;
    for (size_t i = 0; i < len; i++)
        if (text[i] < 32 || text[i] == 127)
            text[i] = '?';
    return k_snprintf(buf, size, "\"%.*s\"%s", (int)len, text, n < 0 ? "..." : "");
}

void syscall_trace_enter(const struct regs *regs)
{
    uint64_t nr = regs->orig_rax;
    char *line = kmalloc(LINE);
    if (!line)
        return;
    if (nr >= NR_SYSCALLS || !syscall_table[nr].name) {
        printk("[%d] syscall_%lu(...)", current->tid, nr);
        kfree(line);
        return;
    }
    int len = 0;
    line[0] = 0;
    for (int i = 0; syscall_table[nr].args[i] && len < LINE - 80; i++) {
        uint64_t a = regs_arg(regs, i);
        char *p = line + len;
        size_t room = (size_t)(LINE - len);
        if (i)
            len += k_snprintf(p, room, ", "), p = line + len, room = (size_t)(LINE - len);
        switch (syscall_table[nr].args[i]) {
        case 'd': len += k_snprintf(p, room, "%d", (int)a); break;
        case 'u': len += k_snprintf(p, room, "%lu", a); break;
        case 'o': len += k_snprintf(p, room, "0%o", (unsigned)a); break;
        case 's': len += format_string(p, room, a); break;
        default: len += k_snprintf(p, room, "0x%lx", a); break;
        }
    }
    printk("[%d] %s(%s)", current->tid, syscall_table[nr].name, line);
    kfree(line);
}

void syscall_trace_exit(uint64_t nr, int64_t result)
{
    const char *name =
        nr < NR_SYSCALLS && syscall_table[nr].name ? syscall_table[nr].name : "syscall";
    if (result < 0 && result >= -MAX_ERRNO)
        printk("[%d] %s = -%d", current->tid, name, (int)-result);
    else
        printk("[%d] %s = 0x%lx", current->tid, name, result);
}
