/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User and group ids, supplementary groups, capabilities.
 *
 * Every test means the same for root and for an ordinary user: what only root may do is tried by
 * root, and the same line is then reached by an ordinary user with what he may do (his own id).
 */
#include "cella_proc.h"

#include <linux/capability.h>
#include <sys/prctl.h>

enum { OTHER = 65533, THIRD = 65532, KEEP = -1 };

static bool is_root(void)
{
    return geteuid() == 0;
}

static void check_uids(uid_t real, uid_t effective, uid_t saved)
{
    uid_t r = 1, e = 2, s = 3;
    CHECK_EQ(syscall(SYS_getresuid, &r, &e, &s), 0);
    CHECK_EQ(r, real);
    CHECK_EQ(e, effective);
    CHECK_EQ(s, saved);
    CHECK_EQ(syscall(SYS_getuid), real);
    CHECK_EQ(syscall(SYS_geteuid), effective);
}

static void check_gids(gid_t real, gid_t effective, gid_t saved)
{
    gid_t r = 1, e = 2, s = 3;
    CHECK_EQ(syscall(SYS_getresgid, &r, &e, &s), 0);
    CHECK_EQ(r, real);
    CHECK_EQ(e, effective);
    CHECK_EQ(s, saved);
    CHECK_EQ(syscall(SYS_getgid), real);
    CHECK_EQ(syscall(SYS_getegid), effective);
}

static void check_never_fails(long nr)
{
    errno = 0;
    long plain = syscall(nr);
    CHECK(plain >= 0);
    CHECK_EQ(syscall(nr, 8, 8, 8, 8, 8, 8), plain);
    CHECK_EQ(errno, 0);
}

static void *answer_in_thread(void *nr)
{
    return (void *)syscall((long)nr);
}

/* The ids belong to the process: glibc gives each thread the same. */
static void check_same_in_thread(long nr)
{
    pthread_t thread;
    void *answer = NULL;
    CHECK_EQ(pthread_create(&thread, NULL, answer_in_thread, (void *)nr), 0);
    CHECK_EQ(pthread_join(thread, &answer), 0);
    CHECK_EQ((long)answer, syscall(nr));
}

static void check_id_reader(long nr, long set_nr)
{
    if (is_root()) {
        CHECK_EQ(syscall(set_nr, OTHER, OTHER, OTHER), 0);
        CHECK_EQ(syscall(nr), OTHER);
    }
    long mine = syscall(nr);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(syscall(nr), mine);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(getuid, success, "is what was set, also in a child")
{
    check_id_reader(SYS_getuid, SYS_setresuid);
}
TEST(geteuid, success, "is what was set, also in a child")
{
    check_id_reader(SYS_geteuid, SYS_setresuid);
}
TEST(getgid, success, "is what was set, also in a child")
{
    check_id_reader(SYS_getgid, SYS_setresgid);
}
TEST(getegid, success, "is what was set, also in a child")
{
    check_id_reader(SYS_getegid, SYS_setresgid);
}

TEST(getuid, error, "never fails, whatever stands in the argument registers")
{
    check_never_fails(SYS_getuid);
}
TEST(geteuid, error, "never fails, whatever stands in the argument registers")
{
    check_never_fails(SYS_geteuid);
}
TEST(getgid, error, "never fails, whatever stands in the argument registers")
{
    check_never_fails(SYS_getgid);
}
TEST(getegid, error, "never fails, whatever stands in the argument registers")
{
    check_never_fails(SYS_getegid);
}

TEST(getuid, limit, "is the same in another thread")
{
    check_same_in_thread(SYS_getuid);
}
TEST(geteuid, limit, "is the same in another thread")
{
    check_same_in_thread(SYS_geteuid);
}
TEST(getgid, limit, "is the same in another thread")
{
    check_same_in_thread(SYS_getgid);
}
TEST(getegid, limit, "is the same in another thread")
{
    check_same_in_thread(SYS_getegid);
}

TEST(setuid, success, "by root sets all three; by others the effective one")
{
    uid_t target = is_root() ? OTHER : getuid();
    CHECK_EQ(syscall(SYS_setuid, target), 0);
    check_uids(target, target, target);
}

TEST(setgid, success, "by root sets all three; by others the effective one")
{
    gid_t target = is_root() ? OTHER : getgid();
    CHECK_EQ(syscall(SYS_setgid, target), 0);
    check_gids(target, target, target);
}

TEST(setuid, error, "EPERM for a foreign id, EINVAL for -1")
{
    CHECK_ERRNO(syscall(SYS_setuid, -1), EINVAL);
    cella_drop_root();
    uid_t mine = getuid();
    CHECK_ERRNO(syscall(SYS_setuid, 0), EPERM);
    CHECK_ERRNO(syscall(SYS_setuid, THIRD), EPERM);
    check_uids(mine, mine, mine);
}

TEST(setgid, error, "EPERM for a foreign id, EINVAL for -1")
{
    CHECK_ERRNO(syscall(SYS_setgid, -1), EINVAL);
    cella_drop_root();
    gid_t mine = getgid();
    CHECK_ERRNO(syscall(SYS_setgid, 0), EPERM);
    CHECK_ERRNO(syscall(SYS_setgid, THIRD), EPERM);
    check_gids(mine, mine, mine);
}

TEST(setuid, limit, "an effective id can be given up and taken back from the saved one")
{
    if (is_root())
        CHECK_EQ(syscall(SYS_setresuid, OTHER, OTHER, THIRD), 0);
    uid_t r, e, s;
    CHECK_EQ(syscall(SYS_getresuid, &r, &e, &s), 0);
    CHECK_EQ(syscall(SYS_setuid, s), 0);
    check_uids(r, s, s);
    CHECK_EQ(syscall(SYS_setuid, r), 0);
    check_uids(r, r, s);
}

TEST(setgid, limit, "an effective id can be given up and taken back from the saved one")
{
    if (is_root()) {
        CHECK_EQ(syscall(SYS_setresgid, OTHER, OTHER, THIRD), 0);
        CHECK_EQ(syscall(SYS_setresuid, OTHER, OTHER, OTHER), 0);
    }
    gid_t r, e, s;
    CHECK_EQ(syscall(SYS_getresgid, &r, &e, &s), 0);
    CHECK_EQ(syscall(SYS_setgid, s), 0);
    check_gids(r, s, s);
    CHECK_EQ(syscall(SYS_setgid, r), 0);
    check_gids(r, r, s);
}

/* The saved id follows the effective one when the real id is set or the effective becomes new. */
TEST(setreuid, success, "sets each, and the saved id follows")
{
    if (is_root()) {
        CHECK_EQ(syscall(SYS_setreuid, OTHER, KEEP), 0);
        check_uids(OTHER, 0, 0);
        CHECK_EQ(syscall(SYS_setreuid, KEEP, THIRD), 0);
        check_uids(OTHER, THIRD, THIRD);
    }
    uid_t r = getuid(), e = geteuid();
    CHECK_EQ(syscall(SYS_setreuid, e, r), 0);
    check_uids(e, r, r);
}

TEST(setregid, success, "sets each, and the saved id follows")
{
    if (is_root()) {
        CHECK_EQ(syscall(SYS_setresgid, 0, 0, 0), 0);
        CHECK_EQ(syscall(SYS_setregid, OTHER, KEEP), 0);
        check_gids(OTHER, 0, 0);
        CHECK_EQ(syscall(SYS_setregid, KEEP, THIRD), 0);
        check_gids(OTHER, THIRD, THIRD);
        CHECK_EQ(syscall(SYS_setresuid, OTHER, OTHER, OTHER), 0);
    }
    gid_t r = getgid(), e = getegid();
    CHECK_EQ(syscall(SYS_setregid, e, r), 0);
    check_gids(e, r, r);
}

TEST(setreuid, error, "EPERM for foreign ids")
{
    cella_drop_root();
    CHECK_ERRNO(syscall(SYS_setreuid, 0, KEEP), EPERM);
    CHECK_ERRNO(syscall(SYS_setreuid, KEEP, 0), EPERM);
    CHECK_ERRNO(syscall(SYS_setreuid, THIRD, THIRD), EPERM);
}

TEST(setregid, error, "EPERM for foreign ids")
{
    cella_drop_root();
    CHECK_ERRNO(syscall(SYS_setregid, 0, KEEP), EPERM);
    CHECK_ERRNO(syscall(SYS_setregid, KEEP, 0), EPERM);
    CHECK_ERRNO(syscall(SYS_setregid, THIRD, THIRD), EPERM);
}

TEST(setreuid, limit, "-1 twice changes nothing")
{
    uid_t r, e, s;
    CHECK_EQ(syscall(SYS_getresuid, &r, &e, &s), 0);
    CHECK_EQ(syscall(SYS_setreuid, KEEP, KEEP), 0);
    check_uids(r, e, s);
}

TEST(setregid, limit, "-1 twice changes nothing")
{
    gid_t r, e, s;
    CHECK_EQ(syscall(SYS_getresgid, &r, &e, &s), 0);
    CHECK_EQ(syscall(SYS_setregid, KEEP, KEEP), 0);
    check_gids(r, e, s);
}

TEST(setresuid, success, "sets each of the three; afterwards they may be exchanged")
{
    if (is_root())
        CHECK_EQ(syscall(SYS_setresuid, OTHER, THIRD, 65531), 0);
    uid_t r, e, s;
    CHECK_EQ(syscall(SYS_getresuid, &r, &e, &s), 0);
    CHECK_EQ(syscall(SYS_setresuid, s, r, e), 0);
    check_uids(s, r, e);
}

TEST(setresgid, success, "sets each of the three; afterwards they may be exchanged")
{
    if (is_root()) {
        CHECK_EQ(syscall(SYS_setresgid, OTHER, THIRD, 65531), 0);
        CHECK_EQ(syscall(SYS_setresuid, OTHER, OTHER, OTHER), 0);
    }
    gid_t r, e, s;
    CHECK_EQ(syscall(SYS_getresgid, &r, &e, &s), 0);
    CHECK_EQ(syscall(SYS_setresgid, s, r, e), 0);
    check_gids(s, r, e);
}

TEST(setresuid, error, "EPERM if one of the three is foreign, and none is changed")
{
    cella_drop_root();
    uid_t mine = getuid();
    CHECK_ERRNO(syscall(SYS_setresuid, KEEP, mine, 0), EPERM);
    CHECK_ERRNO(syscall(SYS_setresuid, mine, 0, KEEP), EPERM);
    CHECK_ERRNO(syscall(SYS_setresuid, 0, KEEP, KEEP), EPERM);
    check_uids(mine, mine, mine);
}

TEST(setresgid, error, "EPERM if one of the three is foreign, and none is changed")
{
    cella_drop_root();
    gid_t mine = getgid();
    CHECK_ERRNO(syscall(SYS_setresgid, KEEP, mine, 0), EPERM);
    CHECK_ERRNO(syscall(SYS_setresgid, mine, 0, KEEP), EPERM);
    CHECK_ERRNO(syscall(SYS_setresgid, 0, KEEP, KEEP), EPERM);
    check_gids(mine, mine, mine);
}

TEST(setresuid, limit, "-1 keeps an id")
{
    uid_t r, e, s;
    CHECK_EQ(syscall(SYS_getresuid, &r, &e, &s), 0);
    CHECK_EQ(syscall(SYS_setresuid, KEEP, KEEP, KEEP), 0);
    check_uids(r, e, s);
    if (is_root()) {
        CHECK_EQ(syscall(SYS_setresuid, KEEP, OTHER, KEEP), 0);
        check_uids(r, OTHER, s);
    }
}

TEST(setresgid, limit, "-1 keeps an id")
{
    gid_t r, e, s;
    CHECK_EQ(syscall(SYS_getresgid, &r, &e, &s), 0);
    CHECK_EQ(syscall(SYS_setresgid, KEEP, KEEP, KEEP), 0);
    check_gids(r, e, s);
    if (is_root()) {
        CHECK_EQ(syscall(SYS_setresgid, KEEP, OTHER, KEEP), 0);
        check_gids(r, OTHER, s);
    }
}

TEST(getresuid, success, "reports real, effective and saved")
{
    uid_t r = getuid(), e = geteuid();
    if (is_root()) {
        CHECK_EQ(syscall(SYS_setresuid, OTHER, THIRD, 65531), 0);
        check_uids(OTHER, THIRD, 65531);
    } else {
        check_uids(r, e, e);
    }
}

TEST(getresgid, success, "reports real, effective and saved")
{
    gid_t r = getgid(), e = getegid();
    if (is_root()) {
        CHECK_EQ(syscall(SYS_setresgid, OTHER, THIRD, 65531), 0);
        check_gids(OTHER, THIRD, 65531);
    } else {
        check_gids(r, e, e);
    }
}

/* Each pointer in turn is bad; nothing is optional. */
static void check_three_pointers(long nr)
{
    unsigned word;
    CHECK_ERRNO(syscall(nr, bad_address(), &word, &word), EFAULT);
    CHECK_ERRNO(syscall(nr, &word, bad_address(), &word), EFAULT);
    CHECK_ERRNO(syscall(nr, &word, &word, bad_address()), EFAULT);
    CHECK_ERRNO(syscall(nr, NULL, &word, &word), EFAULT);
}

TEST(getresuid, error, "EFAULT for each pointer")
{
    check_three_pointers(SYS_getresuid);
}

TEST(getresgid, error, "EFAULT for each pointer")
{
    check_three_pointers(SYS_getresgid);
}

/* The three words may stand at any address, also across a page's end. */
static void check_unaligned(long nr, unsigned wanted)
{
    unsigned char *pages = private_pages(2, PROT_READ | PROT_WRITE);
    unsigned char *at = pages + PAGE - 3;
    unsigned word, others[2];
    CHECK_EQ(syscall(nr, at, &others[0], &others[1]), 0);
    memcpy(&word, at, sizeof(word));
    CHECK_EQ(word, wanted);
}

TEST(getresuid, limit, "stores across the end of a page")
{
    check_unaligned(SYS_getresuid, getuid());
}

TEST(getresgid, limit, "stores across the end of a page")
{
    check_unaligned(SYS_getresgid, getgid());
}

/* setfsuid and setfsgid answer the former id, whether they changed it or not. */
TEST(setfsuid, success, "answers the former id and follows the effective one")
{
    uid_t before = geteuid();
    uid_t target = is_root() ? OTHER : before;
    CHECK_EQ(syscall(SYS_setfsuid, target), before);
    CHECK_EQ(syscall(SYS_setfsuid, -1), target);
    CHECK_EQ(syscall(SYS_getuid), getuid());
    CHECK_EQ(syscall(SYS_setresuid, KEEP, before, KEEP), 0);
    CHECK_EQ(syscall(SYS_setfsuid, -1), before);
}

TEST(setfsgid, success, "answers the former id and follows the effective one")
{
    gid_t before = getegid();
    gid_t target = is_root() ? OTHER : before;
    CHECK_EQ(syscall(SYS_setfsgid, target), before);
    CHECK_EQ(syscall(SYS_setfsgid, -1), target);
    CHECK_EQ(syscall(SYS_setresgid, KEEP, before, KEEP), 0);
    CHECK_EQ(syscall(SYS_setfsgid, -1), before);
}

TEST(setfsuid, success, "is the owner of new files")
{
    struct stat st;
    cella_scratch();
    CHECK_OK(chmod(".", 0777));
    uid_t target = is_root() ? OTHER : geteuid();
    syscall(SYS_setfsuid, target);
    cella_put_file("f", "", 0);
    CHECK_OK(stat("f", &st));
    CHECK_EQ(st.st_uid, target);
}

TEST(setfsgid, success, "is the group of new files")
{
    struct stat st;
    cella_scratch();
    CHECK_OK(chmod(".", 0777));
    gid_t target = is_root() ? OTHER : getegid();
    syscall(SYS_setfsgid, target);
    cella_put_file("f", "", 0);
    CHECK_OK(stat("f", &st));
    CHECK_EQ(st.st_gid, target);
}

TEST(setfsuid, error, "a foreign id changes nothing")
{
    cella_drop_root();
    uid_t mine = geteuid();
    CHECK_EQ(syscall(SYS_setfsuid, THIRD), mine);
    CHECK_EQ(syscall(SYS_setfsuid, -1), mine);
}

TEST(setfsgid, error, "a foreign id changes nothing")
{
    cella_drop_root();
    gid_t mine = getegid();
    CHECK_EQ(syscall(SYS_setfsgid, THIRD), mine);
    CHECK_EQ(syscall(SYS_setfsgid, -1), mine);
}

TEST(setfsuid, limit, "-1 is a question")
{
    uid_t mine = geteuid();
    CHECK_EQ(syscall(SYS_setfsuid, -1), mine);
    CHECK_EQ(syscall(SYS_setfsuid, -1), mine);
}

TEST(setfsgid, limit, "-1 is a question")
{
    gid_t mine = getegid();
    CHECK_EQ(syscall(SYS_setfsgid, -1), mine);
    CHECK_EQ(syscall(SYS_setfsgid, -1), mine);
}

enum { MAX_GROUPS = 65536 };

static int own_groups(gid_t *groups)
{
    int nr = (int)syscall(SYS_getgroups, MAX_GROUPS, groups);
    CHECK(nr >= 0);
    return nr;
}

TEST(getgroups, success, "size 0 asks for the number, and that many are then stored")
{
    static gid_t groups[MAX_GROUPS];
    int nr = (int)syscall(SYS_getgroups, 0, NULL);
    CHECK(nr >= 0);
    CHECK_EQ(own_groups(groups), nr);
    if (is_root()) {
        gid_t set[3] = {7, 5, 6};
        CHECK_EQ(syscall(SYS_setgroups, 3, set), 0);
        CHECK_EQ(own_groups(groups), 3);
        CHECK(groups[0] == 5 && groups[1] == 6 && groups[2] == 7);
    }
}

TEST(getgroups, error, "EINVAL for a negative or too small size, EFAULT for a bad array")
{
    gid_t groups[2];
    gid_t set[2] = {5, 6};
    CHECK_ERRNO(syscall(SYS_getgroups, -1, groups), EINVAL);
    if (is_root())
        CHECK_EQ(syscall(SYS_setgroups, 2, set), 0);
    if (syscall(SYS_getgroups, 0, NULL) >= 2) {
        CHECK_ERRNO(syscall(SYS_getgroups, 1, groups), EINVAL);
        CHECK_ERRNO(syscall(SYS_getgroups, MAX_GROUPS, bad_address()), EFAULT);
    }
}

TEST(getgroups, limit, "an exact size is enough")
{
    static gid_t groups[MAX_GROUPS];
    int nr = (int)syscall(SYS_getgroups, 0, NULL);
    CHECK_EQ(syscall(SYS_getgroups, nr, groups), nr);
}

TEST(setgroups, success, "root's groups are set, sorted, inherited and cleared; others get EPERM")
{
    gid_t set[4] = {40, 10, 30, 10}, got[4];
    if (!is_root()) {
        CHECK_ERRNO(syscall(SYS_setgroups, 4, set), EPERM);
        return;
    }
    CHECK_EQ(syscall(SYS_setgroups, 4, set), 0);
    pid_t pid = cella_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(syscall(SYS_getgroups, 4, got), 4);
        CHECK(got[0] == 10 && got[1] == 10 && got[2] == 30 && got[3] == 40);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_EQ(syscall(SYS_setgroups, 0, NULL), 0);
    CHECK_EQ(syscall(SYS_getgroups, 0, NULL), 0);
}

TEST(setgroups, error, "EPERM for an ordinary user")
{
    gid_t set[1] = {65534};
    cella_drop_root();
    CHECK_ERRNO(syscall(SYS_setgroups, 1, set), EPERM);
    CHECK_ERRNO(syscall(SYS_setgroups, 0, NULL), EPERM);
}

TEST(setgroups, limit, "65536 groups are allowed and one more is EINVAL")
{
    static gid_t groups[MAX_GROUPS];
    if (!is_root()) {
        CHECK_ERRNO(syscall(SYS_setgroups, MAX_GROUPS + 1, groups), EPERM);
        return;
    }
    for (unsigned i = 0; i < MAX_GROUPS; i++)
        groups[i] = i + 1;
    CHECK_ERRNO(syscall(SYS_setgroups, MAX_GROUPS + 1, groups), EINVAL);
    CHECK_ERRNO(syscall(SYS_setgroups, 1, bad_address()), EFAULT);
    CHECK_EQ(syscall(SYS_setgroups, MAX_GROUPS, groups), 0);
    memset(groups, 0, sizeof(groups));
    CHECK_EQ(own_groups(groups), MAX_GROUPS);
    CHECK(groups[0] == 1 && groups[MAX_GROUPS - 1] == MAX_GROUPS);
}

struct caps {
    uint32_t effective, permitted, inheritable;
};

static long get_caps(int pid, struct caps caps[2])
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, pid};
    return syscall(SYS_capget, &header, caps);
}

static long set_caps(int pid, const struct caps caps[2])
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, pid};
    return syscall(SYS_capset, &header, caps);
}

TEST(capget, success, "an ordinary user has none")
{
    struct caps caps[2];
    memset(caps, 0x55, sizeof(caps));
    cella_drop_root();
    CHECK_EQ(get_caps(0, caps), 0);
    CHECK_EQ(caps[0].effective, 0);
    CHECK_EQ(caps[0].permitted, 0);
    CHECK_EQ(caps[1].effective, 0);
    CHECK_EQ(get_caps(getpid(), caps), 0);
    CHECK_EQ(get_caps(getppid(), caps), 0);
}

TEST(capget, error, "EINVAL for an unknown version, which is then told; EFAULT; ESRCH")
{
    struct __user_cap_header_struct header = {0x12345678, 0};
    struct caps caps[2];
    CHECK_ERRNO(syscall(SYS_capget, &header, caps), EINVAL);
    CHECK_EQ(header.version, _LINUX_CAPABILITY_VERSION_3);
    header.version = 0;
    CHECK_EQ(syscall(SYS_capget, &header, NULL), 0); /* how to ask for the version */
    CHECK_EQ(header.version, _LINUX_CAPABILITY_VERSION_3);
    CHECK_ERRNO(syscall(SYS_capget, bad_address(), caps), EFAULT);
    CHECK_ERRNO(get_caps(-1, caps), EINVAL);
    CHECK_ERRNO(get_caps(0x3fffffff, caps), ESRCH);
}

TEST(capget, limit, "version 1 stores one word of each")
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_1, 0};
    struct caps caps[2];
    memset(caps, 0x55, sizeof(caps));
    CHECK_EQ(syscall(SYS_capget, &header, caps), 0);
    CHECK_EQ(caps[1].effective, 0x55555555);
    struct caps all[2];
    CHECK_EQ(get_caps(0, all), 0);
    CHECK_EQ(caps[0].effective, all[0].effective);
}

TEST(capset, success, "a capability given up is gone, and its right with it")
{
    struct caps caps[2];
    CHECK_EQ(get_caps(0, caps), 0);
    caps[0].effective &= ~(1u << CAP_SETUID);
    caps[0].permitted &= ~(1u << CAP_SETUID);
    CHECK_EQ(set_caps(0, caps), 0);
    CHECK_ERRNO(syscall(SYS_setuid, THIRD), EPERM);
    CHECK_EQ(get_caps(0, caps), 0);
    CHECK_EQ(caps[0].permitted & 1u << CAP_SETUID, 0);
}

TEST(capset, error, "EPERM to gain one or to set another's, EINVAL for the version, EFAULT")
{
    struct __user_cap_header_struct header = {0x12345678, 0};
    struct caps caps[2] = {{0, 0, 0}, {0, 0, 0}};
    CHECK_ERRNO(syscall(SYS_capset, &header, caps), EINVAL);
    CHECK_ERRNO(syscall(SYS_capset, bad_address(), caps), EFAULT);
    CHECK_ERRNO(set_caps(0, bad_address()), EFAULT);
    CHECK_ERRNO(set_caps(getppid(), caps), EPERM);
    cella_drop_root();
    caps[0].permitted = 1u << CAP_SETUID;
    CHECK_ERRNO(set_caps(0, caps), EPERM);
    caps[0].permitted = 0;
    caps[0].effective = 1u << CAP_SETUID;
    CHECK_ERRNO(set_caps(0, caps), EPERM);
}

TEST(capset, limit, "PR_SET_KEEPCAPS keeps the permitted ones over a change of user")
{
    struct caps before[2], after[2];
    CHECK_EQ(get_caps(0, before), 0);
    CHECK_OK(prctl(PR_SET_KEEPCAPS, 1));
    if (is_root())
        CHECK_EQ(syscall(SYS_setresuid, OTHER, OTHER, OTHER), 0);
    CHECK_EQ(get_caps(0, after), 0);
    CHECK_EQ(after[0].permitted, before[0].permitted);
    CHECK_EQ(after[0].effective, 0);
    after[0].effective = after[0].permitted;
    CHECK_EQ(set_caps(0, after), 0);
    CHECK_EQ(get_caps(0, after), 0);
    CHECK_EQ(after[0].effective, before[0].permitted);
}

TEST_MAIN()
