/* SPDX-License-Identifier: Apache-2.0 */
/* System V shared memory: shmget, shmat, shmdt, shmctl. */
#include "cella_file.h"

#include <sys/ipc.h>
#include <sys/shm.h>

#define PAGE 4096ul

/* A segment that goes with the test. */
static int segment(size_t size)
{
    int id = (int)SYS(shmget, IPC_PRIVATE, size, IPC_CREAT | 0600);
    CHECK(id >= 0);
    return id;
}

static char *attach(int id, int flags)
{
    char *at = (char *)SYS(shmat, id, NULL, flags);
    CHECK(at != (void *)-1);
    return at;
}

static void removed(int id)
{
    CHECK_OK(SYS(shmctl, id, IPC_RMID, NULL));
}

static struct shmid_ds stat_of(int id)
{
    struct shmid_ds ds;
    CHECK_OK(SYS(shmctl, id, IPC_STAT, &ds));
    return ds;
}

TEST(shmget, success, "a key finds the same segment again, a private one is always new")
{
    key_t key = 0x43000000 + (getpid() & 0xffff);
    int id = (int)SYS(shmget, key, 100, IPC_CREAT | 0640);
    CHECK(id >= 0);
    CHECK_EQ(SYS(shmget, key, 0, 0), id);
    CHECK_EQ(SYS(shmget, key, 100, IPC_CREAT | 0600), id);
    CHECK_ERRNO(SYS(shmget, key, 100, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    struct shmid_ds ds = stat_of(id);
    CHECK(ds.shm_perm.__key == key && ds.shm_perm.mode == 0640 && ds.shm_segsz == 100);
    CHECK(ds.shm_cpid == getpid() && ds.shm_lpid == 0 && ds.shm_nattch == 0);
    CHECK(ds.shm_perm.uid == geteuid() && ds.shm_perm.cgid == getegid());
    removed(id);
    CHECK_ERRNO(SYS(shmget, key, 0, 0), ENOENT);
    int a = segment(1), b = segment(1);
    CHECK(a != b);
    removed(a);
    removed(b);
}

TEST(shmget, error, "no such key, larger than it is, size 0")
{
    key_t key = 0x44000000 + (getpid() & 0xffff);
    CHECK_ERRNO(SYS(shmget, key, 1, 0), ENOENT);
    CHECK_ERRNO(SYS(shmget, IPC_PRIVATE, 0, IPC_CREAT | 0600), EINVAL);
    int id = (int)SYS(shmget, key, 4096, IPC_CREAT | 0600);
    CHECK_ERRNO(SYS(shmget, key, 4097, 0), EINVAL);
    removed(id);
}

TEST(shmget, limit, "more than there is memory for, and more than a size can be")
{
    CHECK_ERRNO(SYS(shmget, IPC_PRIVATE, -1l, IPC_CREAT | 0600), EINVAL);
    CHECK_ERRNO(SYS(shmget, IPC_PRIVATE, 1ul << 60, IPC_CREAT | 0600), ENOMEM);
}

TEST(shmget, error, "somebody else's segment needs its permissions")
{
    key_t key = 0x45000000 + (getpid() & 0xffff);
    int id = (int)SYS(shmget, key, 4096, IPC_CREAT | 0600);
    CHECK(id >= 0);
    pid_t pid = cella_fork();
    if (pid == 0) {
        struct shmid_ds ds;
        if (geteuid() != 0)
            _exit(0);
        cella_drop_root();
        CHECK_ERRNO(SYS(shmget, key, 1, 0600), EACCES);
        CHECK_OK(SYS(shmget, key, 1, 0));
        CHECK_ERRNO(SYS(shmat, id, NULL, SHM_RDONLY), EACCES);
        CHECK_ERRNO(SYS(shmctl, id, IPC_STAT, &ds), EACCES);
        CHECK_ERRNO(SYS(shmctl, id, IPC_RMID, NULL), EPERM);
        CHECK_ERRNO(SYS(shmctl, id, SHM_LOCK, NULL), EPERM);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    removed(id);
}

TEST(shmat, success, "what one process writes the other reads, and it begins with zeros")
{
    int id = segment(2 * PAGE);
    char *at = attach(id, 0);
    CHECK(at[0] == 0 && at[2 * PAGE - 1] == 0);
    pid_t pid = cella_fork();
    if (pid == 0) {
        char *other = attach(id, 0);
        CHECK(other != at);
        other[5] = 'x';
        at[6] = 'y';
        CHECK_EQ(stat_of(id).shm_nattch, 3);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK(at[5] == 'x' && at[6] == 'y');
    struct shmid_ds ds = stat_of(id);
    CHECK(ds.shm_nattch == 1 && ds.shm_atime != 0 && ds.shm_dtime != 0);
    CHECK_EQ(ds.shm_lpid, pid);
    removed(id);
}

TEST(shmat, success, "content stays without any attach, until it is removed")
{
    int id = segment(PAGE);
    char *at = attach(id, 0);
    strcpy(at, "kept");
    CHECK_OK(SYS(shmdt, at));
    at = attach(id, 0);
    CHECK_STR(at, "kept");
    removed(id);
    CHECK_EQ(stat_of(id).shm_perm.mode & 01000, 01000);
    CHECK_EQ(stat_of(id).shm_perm.__key, 0);
    char *again = attach(id, 0); /* as long as somebody has it */
    CHECK_STR(again, "kept");
    CHECK_OK(SYS(shmdt, at));
    CHECK_OK(SYS(shmdt, again));
    CHECK_ERRNO(SYS(shmat, id, NULL, 0), EINVAL);
}

TEST(shmat, success, "fixed addresses: rounded down, refused when taken, taken with SHM_REMAP")
{
    int id = segment(PAGE);
    char *area = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(area != MAP_FAILED);
    area[PAGE] = 1;
    CHECK_ERRNO(SYS(shmat, id, area + PAGE, 0), EINVAL);
    CHECK_ERRNO(SYS(shmat, id, area + PAGE + 1, SHM_REMAP), EINVAL);
    CHECK(SYS(shmat, id, area + PAGE + 1, SHM_REMAP | SHM_RND) == (long)(area + PAGE));
    CHECK_EQ(area[PAGE], 0);
    CHECK_OK(munmap(area + 2 * PAGE, PAGE));
    CHECK(SYS(shmat, id, area + 2 * PAGE, 0) == (long)(area + 2 * PAGE));
    area[PAGE] = 7;
    CHECK_EQ(area[2 * PAGE], 7);
    removed(id);
}

TEST(shmat, success, "SHM_RDONLY cannot be written, nor made writable; SHM_EXEC can be executed")
{
    int id = segment(PAGE);
    char *at = attach(id, SHM_RDONLY);
    CHECK_ERRNO(mprotect(at, PAGE, PROT_READ | PROT_WRITE), EACCES);
    int fd[2];
    cella_pipe(fd);
    CHECK_EQ(write(fd[1], "x", 1), 1);
    CHECK_ERRNO(read(fd[0], at, 1), EFAULT);
    CHECK_OK(
        SYS(shmctl, id, IPC_SET, &(struct shmid_ds){.shm_perm = {.mode = 0700, .uid = geteuid()}}));
    char *code = attach(id, SHM_EXEC);
    memcpy(code, "\xb8\x2a\x00\x00\x00\xc3", 6); /* mov $42, %eax; ret */
    CHECK_EQ(((int (*)(void))(uintptr_t)code)(), 42);
    removed(id);
}

TEST(shmat, error, "no such segment, no such address")
{
    int id = segment(PAGE);
    CHECK_ERRNO(SYS(shmat, -1, NULL, 0), EINVAL);
    CHECK_ERRNO(SYS(shmat, 0x7fffffff, NULL, 0), EINVAL);
    CHECK_ERRNO(SYS(shmat, id, 1l, 0), EINVAL);
    CHECK_ERRNO(SYS(shmat, id, NULL, SHM_REMAP), EINVAL);
    removed(id);
    CHECK_ERRNO(SYS(shmat, id, NULL, 0), EINVAL);
}

TEST(shmat, limit, "RLIMIT_AS bounds what can be attached; exec detaches")
{
    int id = segment(256ul << 20);
    struct rlimit limit = {128ul << 20, RLIM_INFINITY};
    pid_t pid = cella_fork();
    if (pid == 0) {
        CHECK_OK(setrlimit(RLIMIT_AS, &limit));
        CHECK_ERRNO(SYS(shmat, id, NULL, 0), ENOMEM);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    pid = cella_fork();
    if (pid == 0) {
        attach(id, 0);
        CHECK_EQ(stat_of(id).shm_nattch, 1);
        execl("/bin/true", "true", (char *)NULL);
        _exit(1);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_EQ(stat_of(id).shm_nattch, 0);
    removed(id);
}

TEST(shmdt, success, "what was unmapped or protected in parts goes as a whole")
{
    int id = segment(6 * PAGE);
    char *at = attach(id, 0);
    CHECK_OK(munmap(at + PAGE, PAGE));
    CHECK_OK(mprotect(at + 3 * PAGE, PAGE, PROT_READ));
    CHECK_EQ(stat_of(id).shm_nattch, 4);
    CHECK_OK(SYS(shmdt, at));
    CHECK_EQ(stat_of(id).shm_nattch, 0);
    CHECK_ERRNO(SYS(shmdt, at), EINVAL);
    removed(id);
}

TEST(shmdt, error, "no attach begins there")
{
    int id = segment(2 * PAGE);
    char *at = attach(id, 0);
    CHECK_ERRNO(SYS(shmdt, at + 1), EINVAL);
    CHECK_ERRNO(SYS(shmdt, at + PAGE), EINVAL);
    CHECK_ERRNO(SYS(shmdt, cella_bad_address()), EINVAL);
    CHECK_ERRNO(SYS(shmdt, NULL), EINVAL);
    removed(id);
}

TEST(shmdt, limit, "only one of two attaches side by side goes")
{
    int id = segment(PAGE);
    char *area = mmap(NULL, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(SYS(shmat, id, area, SHM_REMAP) == (long)area);
    CHECK(SYS(shmat, id, area + PAGE, SHM_REMAP) == (long)(area + PAGE));
    CHECK_OK(SYS(shmdt, area));
    CHECK_EQ(stat_of(id).shm_nattch, 1);
    area[PAGE] = 1;
    removed(id);
}

TEST(shmctl, success, "IPC_SET changes owner and mode; SHM_LOCK is shown; SHM_STAT goes by place")
{
    struct shmid_ds ds, other;
    struct shm_info info;
    int id = segment(PAGE), found = 0;
    ds = stat_of(id);
    ds.shm_perm.mode = 0444;
    ds.shm_perm.gid = 77;
    CHECK_OK(SYS(shmctl, id, IPC_SET, &ds));
    ds = stat_of(id);
    CHECK(ds.shm_perm.mode == 0444 && ds.shm_perm.gid == 77 && ds.shm_perm.cgid == getegid());
    CHECK_OK(SYS(shmctl, id, SHM_LOCK, NULL));
    CHECK_EQ(stat_of(id).shm_perm.mode, 02444);
    CHECK_OK(SYS(shmctl, id, SHM_UNLOCK, NULL));
    CHECK_EQ(stat_of(id).shm_perm.mode, 0444);
    int highest = (int)SYS(shmctl, 0, SHM_INFO, &info);
    CHECK(highest >= 0 && info.used_ids >= 1 && info.shm_tot >= 1);
    for (int i = 0; i <= highest; i++)
        found += SYS(shmctl, i, SHM_STAT, &other) == id;
    CHECK_EQ(found, 1);
    CHECK_EQ(SYS(shmctl, highest, 15 /* SHM_STAT_ANY */, &other) >= 0, 1);
    removed(id);
}

TEST(shmctl, error, "no such segment or command, bad memory, ids that cannot be")
{
    struct shmid_ds ds = {.shm_perm = {.uid = (uid_t)-1}};
    int id = segment(PAGE);
    CHECK_ERRNO(SYS(shmctl, -1, IPC_STAT, &ds), EINVAL);
    CHECK_ERRNO(SYS(shmctl, id, 99, &ds), EINVAL);
    CHECK_ERRNO(SYS(shmctl, id, -1, &ds), EINVAL);
    CHECK_ERRNO(SYS(shmctl, id, IPC_STAT, cella_bad_address()), EFAULT);
    CHECK_ERRNO(SYS(shmctl, id, IPC_SET, cella_bad_address()), EFAULT);
    CHECK_ERRNO(SYS(shmctl, id, IPC_SET, &ds), EINVAL);
    removed(id);
    CHECK_ERRNO(SYS(shmctl, id, IPC_RMID, NULL), EINVAL);
    CHECK_ERRNO(SYS(shmctl, id, IPC_STAT, &ds), EINVAL);
}

TEST(shmctl, limit, "an id is not given again at once; IPC_INFO tells the limits")
{
    struct shminfo info;
    int a = segment(PAGE);
    removed(a);
    int b = segment(PAGE);
    CHECK(a != b);
    removed(b);
    CHECK(SYS(shmctl, 0, IPC_INFO, &info) >= 0);
    CHECK(info.shmmin == 1 && info.shmmni == 4096);
}

TEST_MAIN()
