/* SPDX-License-Identifier: Apache-2.0 */
/* prctl, arch_prctl, personality, uname and the names of the machine. */
#include "cella_proc.h"

#include <asm/prctl.h>
#include <linux/capability.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/utsname.h>

static long raw_prctl(long option, long a2, long a3, long a4, long a5)
{
    return syscall(SYS_prctl, option, a2, a3, a4, a5);
}

static void check_name(const char *wanted)
{
    char name[17];
    memset(name, 0x55, sizeof(name));
    CHECK_EQ(raw_prctl(PR_GET_NAME, (long)name, 0, 0, 0), 0);
    CHECK_STR(name, wanted);
    CHECK_EQ(name[16], 0x55);
}

static void *rename_thread(void *arg)
{
    CHECK_EQ(raw_prctl(PR_SET_NAME, (long)"thread", 0, 0, 0), 0);
    check_name("thread");
    return arg;
}

TEST(prctl, success, "PR_SET_NAME names one thread and is inherited by a child")
{
    pthread_t thread;
    CHECK_EQ(raw_prctl(PR_SET_NAME, (long)"first", 0, 0, 0), 0);
    CHECK_EQ(pthread_create(&thread, NULL, rename_thread, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    check_name("first");
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        check_name("first");
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(prctl, limit, "PR_SET_NAME cuts after 15 bytes and takes an empty name")
{
    CHECK_EQ(raw_prctl(PR_SET_NAME, (long)"0123456789abcdefgh", 0, 0, 0), 0);
    check_name("0123456789abcde");
    CHECK_EQ(raw_prctl(PR_SET_NAME, (long)"", 0, 0, 0), 0);
    check_name("");
}

TEST(prctl, success, "PR_SET_PDEATHSIG sends the signal when the parent ends")
{
    int *words = shared_memory(PAGE);
    int status;
    CHECK_OK(raw_prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
    pid_t parent = cella_fork();
    CHECK(parent >= 0);
    if (parent == 0) {
        pid_t pid = cella_fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            int sig = -1;
            CHECK_EQ(raw_prctl(PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0), 0);
            CHECK_EQ(raw_prctl(PR_GET_PDEATHSIG, (long)&sig, 0, 0, 0), 0);
            CHECK_EQ(sig, SIGUSR1);
            set_word(&words[0], getpid());
            for (;;)
                pause();
        }
        wait_for_word(&words[0]);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(parent), 0);
    CHECK_EQ(waitpid(words[0], &status, 0), words[0]);
    CHECK_EQ(status, SIGUSR1);
}

TEST(prctl, success, "PR_SET_PDEATHSIG is not inherited")
{
    CHECK_EQ(raw_prctl(PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0), 0);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        int sig = -1;
        CHECK_EQ(raw_prctl(PR_GET_PDEATHSIG, (long)&sig, 0, 0, 0), 0);
        CHECK_EQ(sig, 0);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(prctl, success, "PR_SET_DUMPABLE is read back; a change of user clears it")
{
    CHECK_EQ(raw_prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), 0);
    CHECK_EQ(raw_prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
    CHECK_EQ(raw_prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
    CHECK_EQ(raw_prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 1);
    if (geteuid() == 0) {
        cella_drop_root();
        CHECK(raw_prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 1);
    }
}

TEST(prctl, success, "PR_SET_CHILD_SUBREAPER is read back and not inherited")
{
    int value = -1;
    CHECK_EQ(raw_prctl(PR_GET_CHILD_SUBREAPER, (long)&value, 0, 0, 0), 0);
    CHECK_EQ(value, 0);
    CHECK_EQ(raw_prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    CHECK_EQ(raw_prctl(PR_GET_CHILD_SUBREAPER, (long)&value, 0, 0, 0), 0);
    CHECK_EQ(value, 1);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(raw_prctl(PR_GET_CHILD_SUBREAPER, (long)&value, 0, 0, 0), 0);
        CHECK_EQ(value, 0);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(prctl, success, "PR_SET_NO_NEW_PRIVS is inherited and cannot be taken back")
{
    CHECK_EQ(raw_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_EQ(raw_prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
    CHECK_ERRNO(raw_prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(raw_prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(prctl, success, "PR_SET_KEEPCAPS and PR_SET_TIMERSLACK are read back")
{
    CHECK_EQ(raw_prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0), 0);
    CHECK_EQ(raw_prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), 0);
    CHECK_EQ(raw_prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0), 1);
    long before = raw_prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
    CHECK(before > 0);
    CHECK_EQ(raw_prctl(PR_SET_TIMERSLACK, 123456, 0, 0, 0), 0);
    CHECK_EQ(raw_prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0), 123456);
    CHECK_EQ(raw_prctl(PR_SET_TIMERSLACK, 0, 0, 0, 0), 0);
    CHECK_EQ(raw_prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0), before);
}

TEST(prctl, error, "EINVAL for what is unknown or out of range")
{
    CHECK_ERRNO(raw_prctl(0x7fffffff, 0, 0, 0, 0), EINVAL);
    CHECK_ERRNO(raw_prctl(PR_SET_PDEATHSIG, 65, 0, 0, 0), EINVAL);
    CHECK_ERRNO(raw_prctl(PR_SET_PDEATHSIG, -1, 0, 0, 0), EINVAL);
    CHECK_ERRNO(raw_prctl(PR_SET_DUMPABLE, 2, 0, 0, 0), EINVAL);
    CHECK_ERRNO(raw_prctl(PR_SET_KEEPCAPS, 2, 0, 0, 0), EINVAL);
    CHECK_ERRNO(raw_prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0), EINVAL);
    CHECK_ERRNO(raw_prctl(PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0), EINVAL);
    CHECK_ERRNO(raw_prctl(PR_CAPBSET_READ, CAP_LAST_CAP + 20, 0, 0, 0), EINVAL);
}

TEST(prctl, error, "EFAULT for a bad address")
{
    CHECK_ERRNO(raw_prctl(PR_SET_NAME, (long)bad_address(), 0, 0, 0), EFAULT);
    CHECK_ERRNO(raw_prctl(PR_GET_NAME, (long)bad_address(), 0, 0, 0), EFAULT);
    CHECK_ERRNO(raw_prctl(PR_GET_PDEATHSIG, (long)bad_address(), 0, 0, 0), EFAULT);
    CHECK_ERRNO(raw_prctl(PR_GET_CHILD_SUBREAPER, (long)bad_address(), 0, 0, 0), EFAULT);
}

TEST(prctl, success, "PR_CAPBSET_READ and PR_CAPBSET_DROP")
{
    if (geteuid() != 0) {
        CHECK_ERRNO(raw_prctl(PR_CAPBSET_DROP, CAP_CHOWN, 0, 0, 0), EPERM);
        return;
    }
    CHECK_EQ(raw_prctl(PR_CAPBSET_READ, CAP_CHOWN, 0, 0, 0), 1);
    CHECK_EQ(raw_prctl(PR_CAPBSET_DROP, CAP_CHOWN, 0, 0, 0), 0);
    CHECK_EQ(raw_prctl(PR_CAPBSET_READ, CAP_CHOWN, 0, 0, 0), 0);
}

TEST(arch_prctl, success, "ARCH_GET_FS is the base that fs-relative code sees")
{
    unsigned long base = 0;
    void *self;
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_GET_FS, &base), 0);
    __asm__("mov %%fs:0, %0" : "=r"(self)); /* the ABI keeps the base's own address there */
    CHECK_EQ(base, (uintptr_t)self);
}

/* Sets the FS base, reads through it, and sets it back, with no compiled code between. */
static uint64_t read_with_fs(uint64_t base, uint64_t old, long *ret)
{
    uint64_t value = 0;
    long r = SYS_arch_prctl;
    __asm__ volatile("mov %[base], %%rsi\n\t"
                     "syscall\n\t"
                     "mov %%rax, %%r8\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "mov %%fs:8, %[value]\n\t"
                     "mov %[nr], %%eax\n\t"
                     "mov %[old], %%rsi\n\t"
                     "syscall\n\t"
                     "1: mov %%r8, %%rax"
                     : "+a"(r), [value] "+&r"(value)
                     : "D"((long)ARCH_SET_FS), [base] "r"(base), [old] "r"(old),
                       [nr] "i"(SYS_arch_prctl)
                     : "rsi", "rcx", "r8", "r11", "memory", "cc");
    *ret = r;
    return value;
}

TEST(arch_prctl, success, "ARCH_SET_FS moves the base")
{
    static const uint64_t block[2] = {1, 0x1122334455667788};
    unsigned long old, now;
    long ret;
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_GET_FS, &old), 0);
    CHECK_EQ(read_with_fs((uintptr_t)block, old, &ret), block[1]);
    CHECK_EQ(ret, 0);
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_GET_FS, &now), 0);
    CHECK_EQ(now, old);
}

TEST(arch_prctl, error, "EINVAL for an unknown code, EFAULT for a bad address")
{
    unsigned long base;
    CHECK_ERRNO(syscall(SYS_arch_prctl, 0x0fff, &base), EINVAL);
    CHECK_ERRNO(syscall(SYS_arch_prctl, ARCH_GET_FS, bad_address()), EFAULT);
}

TEST(arch_prctl, limit, "EPERM for a base outside of user addresses")
{
    unsigned long old;
    long ret;
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_GET_FS, &old), 0);
    read_with_fs(0xffff800000000000, old, &ret);
    CHECK_EQ(ret, -EPERM);
    read_with_fs(0x8000000000000000, old, &ret);
    CHECK_EQ(ret, -EPERM);
}

TEST(arch_prctl, limit, "AMX tiles that are granted on request can be used")
{
    static const unsigned char config[64] __attribute__((aligned(64))) = {
        [0] = 1, [16] = 64, [48] = 1}; /* palette 1; tile 0: 64 bytes a row, one row */
    unsigned char row[64];
    memset(row, 0x55, sizeof(row));
    if (syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, 18) != 0)
        return;
    __asm__ volatile(".byte 0xc4, 0xe2, 0x78, 0x49, 0x00\n\t"       /* ldtilecfg (%rax) */
                     ".byte 0xc4, 0xe2, 0x7b, 0x49, 0xc0\n\t"       /* tilezero %tmm0 */
                     ".byte 0xc4, 0xe2, 0x7a, 0x4b, 0x04, 0x13\n\t" /* tilestored %tmm0, (%rbx,%rdx) */
                     ".byte 0xc4, 0xe2, 0x78, 0x49, 0xc0"           /* tilerelease */
                     ::"a"(config), "b"(row), "d"(64l) : "memory");
    for (size_t i = 0; i < sizeof(row); i++)
        CHECK_EQ(row[i], 0);
}

TEST(personality, success, "answers the former value, and a child inherits the new one")
{
    long before = syscall(SYS_personality, 0xffffffff);
    CHECK(before >= 0);
    CHECK_EQ(syscall(SYS_personality, before | ADDR_NO_RANDOMIZE), before);
    CHECK_EQ(syscall(SYS_personality, 0xffffffff), before | ADDR_NO_RANDOMIZE);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(syscall(SYS_personality, 0xffffffff), before | ADDR_NO_RANDOMIZE);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(personality, error, "never fails; 0xffffffff only asks")
{
    long before = syscall(SYS_personality, 0xffffffff);
    CHECK_EQ(syscall(SYS_personality, 0xffffffff), before);
    CHECK_EQ(syscall(SYS_personality, 0xffffffff), before);
}

TEST(personality, limit, "keeps bits without a meaning")
{
    long before = syscall(SYS_personality, 0x10000000);
    CHECK_EQ(syscall(SYS_personality, before), 0x10000000);
    CHECK_EQ(syscall(SYS_personality, 0xffffffff), before);
}

TEST(uname, success, "Linux on x86_64, with a release of numbers")
{
    struct utsname name;
    int major = 0, minor = -1;
    memset(&name, 0x55, sizeof(name));
    CHECK_EQ(syscall(SYS_uname, &name), 0);
    CHECK_STR(name.sysname, "Linux");
    CHECK_STR(name.machine, "x86_64");
    CHECK_EQ(sscanf(name.release, "%d.%d", &major, &minor), 2);
    CHECK(major >= 4 && minor >= 0);
    CHECK(memchr(name.nodename, 0, sizeof(name.nodename)) != NULL);
    CHECK(memchr(name.version, 0, sizeof(name.version)) != NULL);
    CHECK(memchr(name.domainname, 0, sizeof(name.domainname)) != NULL);
}

TEST(uname, error, "EFAULT")
{
    CHECK_ERRNO(syscall(SYS_uname, bad_address()), EFAULT);
    CHECK_ERRNO(syscall(SYS_uname, NULL), EFAULT);
}

TEST(uname, limit, "stores exactly 390 bytes")
{
    unsigned char *pages = private_pages(2, PROT_READ | PROT_WRITE);
    CHECK_OK(mprotect(pages + PAGE, PAGE, PROT_NONE));
    CHECK_EQ(syscall(SYS_uname, pages + PAGE - 390), 0);
    CHECK_ERRNO(syscall(SYS_uname, pages + PAGE - 389), EFAULT);
}

/* The host's name is not the test's to change: root sets the one that is there. */
static void check_same_name(long nr, size_t offset)
{
    struct utsname before, after;
    CHECK_OK(uname(&before));
    const char *name = (const char *)&before + offset;
    if (geteuid() == 0) {
        long ret = syscall(nr, name, strlen(name));
        CHECK(ret == 0 || errno == EPERM); /* root of a container without CAP_SYS_ADMIN */
    } else {
        CHECK_ERRNO(syscall(nr, name, strlen(name)), EPERM);
    }
    CHECK_OK(uname(&after));
    CHECK_STR((const char *)&after + offset, name);
}

/* The permission is asked first, so the other errors show only to those who have it. */
static void check_name_limits(long nr)
{
    char name[65];
    memset(name, 'n', sizeof(name));
    errno = 0;
    CHECK_EQ(syscall(nr, name, 65), -1);
    CHECK(errno == EINVAL || errno == EPERM);
    CHECK_EQ(syscall(nr, name, -1), -1);
    CHECK(errno == EINVAL || errno == EPERM);
    CHECK_EQ(syscall(nr, bad_address(), 5), -1);
    CHECK(errno == EFAULT || errno == EPERM);
}

TEST(sethostname, success, "root may set the name; for others it is EPERM")
{
    check_same_name(SYS_sethostname, offsetof(struct utsname, nodename));
}

TEST(sethostname, error, "EPERM for an ordinary user, before all else")
{
    cella_drop_root();
    CHECK_ERRNO(syscall(SYS_sethostname, "name", 4), EPERM);
    CHECK_ERRNO(syscall(SYS_sethostname, bad_address(), -1), EPERM);
}

TEST(sethostname, limit, "64 bytes at most")
{
    check_name_limits(SYS_sethostname);
}

TEST(setdomainname, success, "root may set the name; for others it is EPERM")
{
    check_same_name(SYS_setdomainname, offsetof(struct utsname, domainname));
}

TEST(setdomainname, error, "EPERM for an ordinary user, before all else")
{
    cella_drop_root();
    CHECK_ERRNO(syscall(SYS_setdomainname, "name", 4), EPERM);
    CHECK_ERRNO(syscall(SYS_setdomainname, bad_address(), -1), EPERM);
}

TEST(setdomainname, limit, "64 bytes at most")
{
    check_name_limits(SYS_setdomainname);
}

TEST_MAIN()
