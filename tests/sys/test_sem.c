/* SPDX-License-Identifier: Apache-2.0 */
/* System V semaphores: semget, semop, semtimedop, semctl. */
#include "cella_file.h"

#include <sys/ipc.h>
#include <sys/sem.h>

static int set_of(int nsems)
{
    int id = (int)SYS(semget, IPC_PRIVATE, nsems, IPC_CREAT | 0600);
    CHECK(id >= 0);
    return id;
}

static void removed(int id)
{
    CHECK_OK(SYS(semctl, id, 0, IPC_RMID, 0));
}

static long value(int id, int num)
{
    return SYS(semctl, id, num, GETVAL, 0);
}

static void set(int id, int num, int to)
{
    CHECK_OK(SYS(semctl, id, num, SETVAL, to));
}

/* One operation. */
static long op(int id, int num, int by, int flags)
{
    struct sembuf b = {(unsigned short)num, (short)by, (short)flags};
    return SYS(semop, id, &b, 1);
}

static void wait_for_waiters(int id, int num, int cmd, int n)
{
    for (int i = 0; i < 2000 && SYS(semctl, id, num, cmd, 0) != n; i++)
        cella_sleep_ms(5);
    CHECK_EQ(SYS(semctl, id, num, cmd, 0), n);
}

TEST(semget, success, "a key finds the same set again; new sets are zeros")
{
    key_t key = 0x43000000 + (getpid() & 0xffff);
    int id = (int)SYS(semget, key, 3, IPC_CREAT | 0640);
    CHECK(id >= 0);
    CHECK_EQ(SYS(semget, key, 0, 0), id);
    CHECK_EQ(SYS(semget, key, 3, 0), id);
    struct semid_ds ds;
    CHECK_OK(SYS(semctl, id, 0, IPC_STAT, &ds));
    CHECK(ds.sem_perm.__key == key && ds.sem_perm.mode == 0640 && ds.sem_nsems == 3);
    CHECK(ds.sem_otime == 0 && ds.sem_ctime != 0);
    CHECK(value(id, 0) == 0 && value(id, 2) == 0);
    removed(id);
    CHECK_ERRNO(SYS(semget, key, 0, 0), ENOENT);
}

TEST(semget, error, "taken, absent, larger than it is, none at all")
{
    key_t key = 0x44000000 + (getpid() & 0xffff);
    CHECK_ERRNO(SYS(semget, key, 1, 0), ENOENT);
    CHECK_ERRNO(SYS(semget, key, 0, IPC_CREAT | 0600), EINVAL);
    int id = (int)SYS(semget, key, 2, IPC_CREAT | 0600);
    CHECK_ERRNO(SYS(semget, key, 2, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    CHECK_ERRNO(SYS(semget, key, 3, 0), EINVAL);
    removed(id);
}

TEST(semget, limit, "SEMMSL semaphores in a set, not one more")
{
    CHECK_ERRNO(SYS(semget, IPC_PRIVATE, -1, 0600), EINVAL);
    CHECK_ERRNO(SYS(semget, IPC_PRIVATE, 32001, 0600), EINVAL);
    int id = set_of(32000);
    set(id, 31999, 5);
    CHECK_EQ(value(id, 31999), 5);
    removed(id);
}

TEST(semop, success, "adds and takes; all of a call's operations or none")
{
    int id = set_of(2);
    CHECK_OK(op(id, 0, 3, 0));
    CHECK_OK(op(id, 0, -2, 0));
    CHECK_EQ(value(id, 0), 1);
    struct sembuf two[] = {{0, -1, IPC_NOWAIT}, {1, -1, IPC_NOWAIT}};
    CHECK_ERRNO(SYS(semop, id, two, 2), EAGAIN);
    CHECK_EQ(value(id, 0), 1);
    /* In their order, each on what those before have left. */
    struct sembuf chain[] = {{1, 0, IPC_NOWAIT}, {1, 2, 0}, {1, -1, IPC_NOWAIT}};
    CHECK_OK(SYS(semop, id, chain, 3));
    CHECK_EQ(value(id, 1), 1);
    CHECK_ERRNO(SYS(semop, id, chain, 3), EAGAIN);
    CHECK_EQ(SYS(semctl, id, 1, GETPID, 0) == getpid(), 1);
    struct semid_ds ds;
    CHECK_OK(SYS(semctl, id, 0, IPC_STAT, &ds));
    CHECK(ds.sem_otime != 0);
    removed(id);
}

TEST(semop, success, "a waiting call is done by who makes it possible, in the order of coming")
{
    int id = set_of(2);
    pid_t pid[3];
    for (int i = 0; i < 3; i++) {
        pid[i] = cella_fork();
        if (pid[i] == 0) {
            struct sembuf b[] = {{0, -1, 0}, {1, 1, 0}};
            CHECK_OK(SYS(semop, id, b, 2));
            _exit(0);
        }
        wait_for_waiters(id, 0, GETNCNT, i + 1);
    }
    CHECK_OK(op(id, 0, 1, 0));
    CHECK_EQ(cella_wait_exit(pid[0]), 0);
    CHECK(value(id, 0) == 0 && value(id, 1) == 1);
    CHECK_OK(op(id, 0, 2, 0));
    CHECK_EQ(cella_wait_exit(pid[1]), 0);
    CHECK_EQ(cella_wait_exit(pid[2]), 0);
    CHECK(value(id, 0) == 0 && value(id, 1) == 3);
    removed(id);
}

TEST(semop, success, "waits for zero; one call's change lets the next one go")
{
    int id = set_of(2);
    set(id, 0, 1);
    pid_t pid = cella_fork();
    if (pid == 0) {
        struct sembuf b[] = {{0, 0, 0}, {1, 4, 0}};
        CHECK_OK(SYS(semop, id, b, 2));
        _exit(0);
    }
    wait_for_waiters(id, 0, GETZCNT, 1);
    CHECK_EQ(SYS(semctl, id, 0, GETNCNT, 0), 0);
    pid_t second = cella_fork();
    if (second == 0) {
        CHECK_OK(op(id, 1, -4, 0));
        _exit(0);
    }
    wait_for_waiters(id, 1, GETNCNT, 1);
    CHECK_OK(op(id, 0, -1, 0));
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_EQ(cella_wait_exit(second), 0);
    CHECK_EQ(value(id, 1), 0);
    removed(id);
}

TEST(semop, success, "SEM_UNDO takes back at the end of the process, not below zero")
{
    int id = set_of(2);
    set(id, 0, 5);
    pid_t pid = cella_fork();
    if (pid == 0) {
        CHECK_OK(op(id, 0, -3, SEM_UNDO));
        CHECK_OK(op(id, 1, 2, SEM_UNDO));
        CHECK_OK(op(id, 1, -1, 0));
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_EQ(value(id, 0), 5);
    CHECK_EQ(value(id, 1), 0);
    /* A value that was set has nothing to take back. */
    pid = cella_fork();
    if (pid == 0) {
        CHECK_OK(op(id, 0, -3, SEM_UNDO));
        set(id, 0, 9);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_EQ(value(id, 0), 9);
    removed(id);
}

static int thread_id;
static void *take_with_undo(void *arg)
{
    CHECK_OK(op(thread_id, 0, -1, SEM_UNDO));
    return arg;
}

TEST(semop, success, "the threads of a process share what is to be taken back; exec keeps it")
{
    int id = thread_id = set_of(1);
    set(id, 0, 2);
    pid_t pid = cella_fork();
    if (pid == 0) {
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, take_with_undo, NULL), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        CHECK_EQ(value(id, 0), 1); /* the thread is gone, the process is not */
        CHECK_OK(op(id, 0, -1, SEM_UNDO));
        CHECK_EQ(value(id, 0), 0);
        execl("/bin/true", "true", (char *)NULL);
        _exit(1);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_EQ(value(id, 0), 2);
    removed(id);
}

TEST(semop, error, "no such set or semaphore, none or too many operations, bad memory")
{
    struct sembuf b[501];
    for (int i = 0; i < 501; i++)
        b[i] = (struct sembuf){0, 1, 0};
    int id = set_of(1);
    CHECK_ERRNO(SYS(semop, -1, b, 1), EINVAL);
    CHECK_ERRNO(SYS(semop, id, b, 0), EINVAL);
    CHECK_ERRNO(SYS(semop, id, b, 501), E2BIG);
    CHECK_ERRNO(SYS(semop, id, cella_bad_address(), 1), EFAULT);
    CHECK_ERRNO(op(id, 1, 1, 0), EFBIG);
    CHECK_OK(SYS(semop, id, b, 500));
    CHECK_EQ(value(id, 0), 500);
    removed(id);
    CHECK_ERRNO(op(id, 0, 1, 0), EINVAL);
}

TEST(semop, error, "waiting for zero needs reading, changing needs writing")
{
    int id = set_of(1);
    struct semid_ds ds;
    CHECK_OK(SYS(semctl, id, 0, IPC_STAT, &ds));
    ds.sem_perm.mode = 0604;
    CHECK_OK(SYS(semctl, id, 0, IPC_SET, &ds));
    pid_t pid = cella_fork();
    if (pid == 0) {
        if (geteuid() != 0)
            _exit(0);
        cella_drop_root();
        CHECK_OK(op(id, 0, 0, 0));
        CHECK_ERRNO(op(id, 0, 1, 0), EACCES);
        CHECK_ERRNO(SYS(semctl, id, 0, SETVAL, 1), EACCES);
        CHECK_ERRNO(SYS(semctl, id, 0, IPC_RMID, 0), EPERM);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    removed(id);
}

TEST(semop, interruption,
     "a signal ends the wait with EINTR, SA_RESTART or not; removal with EIDRM")
{
    int id = set_of(1);
    cella_ticks_start(20, SA_RESTART, NULL);
    CHECK_ERRNO(op(id, 0, -1, 0), EINTR);
    cella_ticks_stop();
    CHECK_EQ(SYS(semctl, id, 0, GETNCNT, 0), 0);
    pid_t pid = cella_fork();
    if (pid == 0) {
        CHECK_ERRNO(op(id, 0, -1, 0), EIDRM);
        _exit(0);
    }
    wait_for_waiters(id, 0, GETNCNT, 1);
    removed(id);
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(semop, limit, "values end at 32767, adjustments too")
{
    int id = set_of(1);
    set(id, 0, 32767);
    CHECK_ERRNO(op(id, 0, 1, 0), ERANGE);
    struct sembuf b[] = {{0, -1, 0}, {0, 2, 0}};
    CHECK_ERRNO(SYS(semop, id, b, 2), ERANGE);
    CHECK_EQ(value(id, 0), 32767);
    CHECK_OK(op(id, 0, -32767, SEM_UNDO));
    CHECK_OK(op(id, 0, 5, 0));
    CHECK_ERRNO(op(id, 0, -5, SEM_UNDO), ERANGE);
    CHECK_EQ(value(id, 0), 5);
    removed(id);
}

TEST(semtimedop, success, "does at once what is possible, and what becomes so in time")
{
    int id = set_of(1);
    struct sembuf up = {0, 1, 0}, down = {0, -1, 0};
    struct timespec zero = {0, 0}, long_time = {15, 0};
    CHECK_OK(SYS(semtimedop, id, &up, 1, &zero));
    CHECK_OK(SYS(semtimedop, id, &down, 1, NULL));
    pid_t pid = cella_fork();
    if (pid == 0) {
        CHECK_OK(SYS(semtimedop, id, &down, 1, &long_time));
        _exit(0);
    }
    wait_for_waiters(id, 0, GETNCNT, 1);
    CHECK_OK(SYS(semop, id, &up, 1));
    CHECK_EQ(cella_wait_exit(pid), 0);
    removed(id);
}

TEST(semtimedop, error, "times that are none, bad memory")
{
    int id = set_of(1);
    struct sembuf up = {0, 1, 0};
    struct timespec bad = {0, 1000000000}, negative = {-1, 0};
    CHECK_ERRNO(SYS(semtimedop, id, &up, 1, &bad), EINVAL);
    CHECK_ERRNO(SYS(semtimedop, id, &up, 1, &negative), EINVAL);
    CHECK_ERRNO(SYS(semtimedop, id, &up, 1, cella_bad_address()), EFAULT);
    CHECK_EQ(value(id, 0), 0);
    removed(id);
}

TEST(semtimedop, limit, "EAGAIN when the time is over, not before")
{
    int id = set_of(1);
    struct sembuf down = {0, -1, 0};
    struct timespec time = {0, 50000000};
    long long start = cella_now_ms();
    CHECK_ERRNO(SYS(semtimedop, id, &down, 1, &time), EAGAIN);
    CHECK(cella_now_ms() - start >= 49);
    CHECK_EQ(SYS(semctl, id, 0, GETNCNT, 0), 0);
    removed(id);
}

TEST(semtimedop, interruption, "a signal ends the wait with EINTR")
{
    int id = set_of(1);
    struct sembuf down = {0, -1, 0};
    struct timespec time = {100, 0};
    cella_ticks_start(20, SA_RESTART, NULL);
    CHECK_ERRNO(SYS(semtimedop, id, &down, 1, &time), EINTR);
    cella_ticks_stop();
    removed(id);
}

TEST(semctl, success, "GETALL and SETALL move all values; SETALL lets waiting calls go")
{
    unsigned short values[3] = {1, 2, 3}, got[3];
    int id = set_of(3);
    pid_t pid = cella_fork();
    if (pid == 0) {
        CHECK_OK(op(id, 2, -2, 0));
        _exit(0);
    }
    wait_for_waiters(id, 2, GETNCNT, 1);
    CHECK_OK(SYS(semctl, id, 0, SETALL, values));
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_OK(SYS(semctl, id, 0, GETALL, got));
    CHECK(got[0] == 1 && got[1] == 2 && got[2] == 1);
    removed(id);
}

TEST(semctl, success, "IPC_SET, SEM_INFO and SEM_STAT")
{
    struct semid_ds ds;
    struct seminfo info;
    int id = set_of(1), found = 0;
    CHECK_OK(SYS(semctl, id, 0, IPC_STAT, &ds));
    ds.sem_perm.mode = 0644;
    ds.sem_perm.gid = 77;
    CHECK_OK(SYS(semctl, id, 0, IPC_SET, &ds));
    CHECK_OK(SYS(semctl, id, 0, IPC_STAT, &ds));
    CHECK(ds.sem_perm.mode == 0644 && ds.sem_perm.gid == 77);
    int highest = (int)SYS(semctl, 0, 0, SEM_INFO, &info);
    CHECK(highest >= 0 && info.semusz >= 1 && info.semaem >= 1);
    for (int i = 0; i <= highest; i++)
        found += SYS(semctl, i, 0, SEM_STAT, &ds) == id;
    CHECK_EQ(found, 1);
    removed(id);
}

TEST(semctl, error, "no such set, semaphore or command, bad memory")
{
    struct semid_ds ds;
    int id = set_of(1);
    CHECK_ERRNO(SYS(semctl, -1, 0, GETVAL, 0), EINVAL);
    CHECK_ERRNO(SYS(semctl, id, 1, GETVAL, 0), EINVAL);
    CHECK_ERRNO(SYS(semctl, id, -1, GETVAL, 0), EINVAL);
    CHECK_ERRNO(SYS(semctl, id, 0, 99, 0), EINVAL);
    CHECK_ERRNO(SYS(semctl, id, 0, IPC_STAT, cella_bad_address()), EFAULT);
    CHECK_ERRNO(SYS(semctl, id, 0, GETALL, cella_bad_address()), EFAULT);
    CHECK_ERRNO(SYS(semctl, id, 0, SETALL, cella_bad_address()), EFAULT);
    removed(id);
    CHECK_ERRNO(SYS(semctl, id, 0, IPC_STAT, &ds), EINVAL);
    CHECK_ERRNO(SYS(semctl, id, 0, GETALL, &ds), EINVAL);
}

TEST(semctl, limit, "SETVAL and SETALL take values up to 32767; IPC_INFO tells the limits")
{
    unsigned short values[2] = {1, 32768};
    struct seminfo info;
    int id = set_of(2);
    CHECK_ERRNO(SYS(semctl, id, 0, SETVAL, 32768), ERANGE);
    CHECK_ERRNO(SYS(semctl, id, 0, SETVAL, -1), ERANGE);
    CHECK_ERRNO(SYS(semctl, id, 0, SETALL, values), ERANGE);
    CHECK_EQ(value(id, 0), 0);
    set(id, 0, 32767);
    CHECK(SYS(semctl, 0, 0, IPC_INFO, &info) >= 0);
    CHECK(info.semmsl == 32000 && info.semopm == 500 && info.semvmx == 32767);
    removed(id);
}

TEST_MAIN()
