/* SPDX-License-Identifier: Apache-2.0 */
/* System V message queues: msgget, msgsnd, msgrcv, msgctl. */
#include "cella_file.h"

#include <sys/ipc.h>
#include <sys/msg.h>

#define COPY 040000 /* MSG_COPY */

struct message {
    long type;
    char text[8192];
};

static int queue(void)
{
    int id = (int)SYS(msgget, IPC_PRIVATE, IPC_CREAT | 0600);
    CHECK(id >= 0);
    return id;
}

static void removed(int id)
{
    CHECK_OK(SYS(msgctl, id, IPC_RMID, NULL));
}

static long send_text(int id, long type, const char *text, int flags)
{
    struct message m = {.type = type};
    strcpy(m.text, text);
    return SYS(msgsnd, id, &m, strlen(text) + 1, flags);
}

/* The next message for `type` must be this one. */
static void expect(int id, long type, int flags, long got_type, const char *text)
{
    struct message m;
    CHECK_EQ(SYS(msgrcv, id, &m, sizeof(m.text), type, flags), strlen(text) + 1);
    CHECK_EQ(m.type, got_type);
    CHECK_STR(m.text, text);
}

static struct msqid_ds stat_of(int id)
{
    struct msqid_ds ds;
    CHECK_OK(SYS(msgctl, id, IPC_STAT, &ds));
    return ds;
}

TEST(msgget, success, "a key finds the same queue again")
{
    key_t key = 0x43000000 + (getpid() & 0xffff);
    int id = (int)SYS(msgget, key, IPC_CREAT | 0640);
    CHECK(id >= 0);
    CHECK_EQ(SYS(msgget, key, 0), id);
    struct msqid_ds ds = stat_of(id);
    CHECK(ds.msg_perm.__key == key && ds.msg_perm.mode == 0640);
    CHECK(ds.msg_qbytes == 16384 && ds.msg_qnum == 0 && ds.msg_stime == 0 && ds.msg_ctime != 0);
    removed(id);
}

TEST(msgget, error, "taken, absent, without permission")
{
    key_t key = 0x44000000 + (getpid() & 0xffff);
    CHECK_ERRNO(SYS(msgget, key, 0), ENOENT);
    int id = (int)SYS(msgget, key, IPC_CREAT | 0600);
    CHECK_ERRNO(SYS(msgget, key, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    pid_t pid = cella_fork();
    if (pid == 0) {
        if (geteuid() != 0)
            _exit(0);
        cella_drop_root();
        CHECK_ERRNO(SYS(msgget, key, 0600), EACCES);
        CHECK_ERRNO(send_text(id, 1, "x", 0), EACCES);
        CHECK_ERRNO(SYS(msgctl, id, IPC_RMID, NULL), EPERM);
        _exit(0);
    }
    CHECK_EQ(cella_wait_exit(pid), 0);
    removed(id);
}

TEST(msgget, limit, "every queue has an id of its own, also one after a removed one")
{
    int ids[50];
    for (int i = 0; i < 50; i++) {
        ids[i] = queue();
        for (int j = 0; j < i; j++)
            CHECK(ids[i] != ids[j]);
    }
    for (int i = 0; i < 50; i++)
        removed(ids[i]);
    int id = queue();
    for (int i = 0; i < 50; i++)
        CHECK(ids[i] != id);
    removed(id);
}

TEST(msgsnd, success, "messages come in order, with their types and sizes, counted")
{
    int id = queue();
    CHECK_OK(send_text(id, 1, "one", 0));
    CHECK_OK(send_text(id, 2, "three", 0));
    struct msqid_ds ds = stat_of(id);
    CHECK(ds.msg_qnum == 2 && ds.__msg_cbytes == 10 && ds.msg_lspid == getpid());
    CHECK(ds.msg_stime != 0 && ds.msg_rtime == 0 && ds.msg_lrpid == 0);
    expect(id, 0, 0, 1, "one");
    expect(id, 0, 0, 2, "three");
    CHECK_OK(SYS(msgsnd, id, &(long){5}, 0, 0));
    struct message m;
    CHECK_EQ(SYS(msgrcv, id, &m, 0, 0, 0), 0);
    CHECK_EQ(m.type, 5);
    removed(id);
}

TEST(msgsnd, success, "a full queue makes the sender wait until there is room")
{
    int id = queue();
    static struct message m = {.type = 1};
    CHECK_OK(SYS(msgsnd, id, &m, 8192, 0));
    CHECK_OK(SYS(msgsnd, id, &m, 8192, 0));
    CHECK_ERRNO(SYS(msgsnd, id, &m, 1, IPC_NOWAIT), EAGAIN);
    pid_t pid = cella_fork();
    if (pid == 0) {
        cella_sleep_ms(30);
        CHECK_EQ(SYS(msgrcv, id, &m, 8192, 0, 0), 8192);
        _exit(0);
    }
    CHECK_OK(SYS(msgsnd, id, &m, 8192, 0));
    CHECK_EQ(cella_wait_exit(pid), 0);
    CHECK_EQ(stat_of(id).msg_qnum, 2);
    removed(id);
}

TEST(msgsnd, error, "no such queue, type below 1, bad memory")
{
    int id = queue();
    CHECK_ERRNO(send_text(-1, 1, "x", 0), EINVAL);
    CHECK_ERRNO(send_text(id, 0, "x", 0), EINVAL);
    CHECK_ERRNO(send_text(id, -1, "x", 0), EINVAL);
    CHECK_ERRNO(SYS(msgsnd, id, cella_bad_address(), 1, 0), EFAULT);
    char *edge = (char *)cella_bad_address();
    char *before = mmap(edge - 4096, 4096, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (before == edge - 4096) {
        *(long *)(void *)(edge - 16) = 1;
        CHECK_ERRNO(SYS(msgsnd, id, edge - 16, 9, 0), EFAULT);
    }
    CHECK_EQ(stat_of(id).msg_qnum, 0);
    removed(id);
    CHECK_ERRNO(send_text(id, 1, "x", 0), EINVAL);
}

TEST(msgsnd, interruption, "a signal ends the wait with EINTR; removal with EIDRM")
{
    int id = queue();
    static struct message m = {.type = 1};
    CHECK_OK(SYS(msgsnd, id, &m, 8192, 0));
    CHECK_OK(SYS(msgsnd, id, &m, 8192, 0));
    cella_ticks_start(20, SA_RESTART, NULL);
    CHECK_ERRNO(SYS(msgsnd, id, &m, 1, 0), EINTR);
    cella_ticks_stop();
    pid_t pid = cella_fork();
    if (pid == 0) {
        CHECK_ERRNO(SYS(msgsnd, id, &m, 1, 0), EIDRM);
        _exit(0);
    }
    cella_sleep_ms(50);
    removed(id);
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(msgsnd, limit, "MSGMAX bytes in a message, msg_qbytes in a queue")
{
    static struct message m = {.type = 1};
    int id = queue();
    CHECK_ERRNO(SYS(msgsnd, id, &m, 8193, 0), EINVAL);
    CHECK_ERRNO(SYS(msgsnd, id, &m, -1l, 0), EINVAL);
    struct msqid_ds ds = stat_of(id);
    ds.msg_qbytes = 10;
    CHECK_OK(SYS(msgctl, id, IPC_SET, &ds));
    CHECK_ERRNO(SYS(msgsnd, id, &m, 11, IPC_NOWAIT), EAGAIN);
    for (int i = 0; i < 10; i++) /* empty messages count too */
        CHECK_OK(SYS(msgsnd, id, &m, 0, IPC_NOWAIT));
    CHECK_ERRNO(SYS(msgsnd, id, &m, 0, IPC_NOWAIT), EAGAIN);
    removed(id);
}

TEST(msgrcv, success, "by type, by the lowest type up to a bound, all but a type")
{
    int id = queue();
    CHECK_OK(send_text(id, 5, "five", 0));
    CHECK_OK(send_text(id, 3, "three", 0));
    CHECK_OK(send_text(id, 4, "four", 0));
    CHECK_OK(send_text(id, 3, "three again", 0));
    expect(id, 4, 0, 4, "four");
    expect(id, -4, 0, 3, "three");
    expect(id, 5, MSG_EXCEPT, 3, "three again");
    expect(id, -9, 0, 5, "five");
    removed(id);
}

TEST(msgrcv, success, "MSG_NOERROR cuts what is too long, E2BIG leaves it")
{
    struct message m;
    int id = queue();
    CHECK_OK(send_text(id, 1, "long text", 0));
    CHECK_ERRNO(SYS(msgrcv, id, &m, 4, 0, 0), E2BIG);
    CHECK_EQ(stat_of(id).msg_qnum, 1);
    memset(&m, 'z', sizeof(m));
    CHECK_EQ(SYS(msgrcv, id, &m, 4, 0, MSG_NOERROR), 4);
    CHECK(!memcmp(m.text, "longz", 5));
    CHECK_EQ(stat_of(id).msg_qnum, 0);
    removed(id);
}

TEST(msgrcv, success, "MSG_COPY looks at a message by its place and leaves it")
{
    struct message m;
    int id = queue();
    CHECK_OK(send_text(id, 7, "seven", 0));
    CHECK_OK(send_text(id, 3, "three", 0));
    CHECK_EQ(SYS(msgrcv, id, &m, 100, 1, COPY | IPC_NOWAIT), 6);
    CHECK(m.type == 3 && !strcmp(m.text, "three"));
    CHECK_ERRNO(SYS(msgrcv, id, &m, 100, 2, COPY | IPC_NOWAIT), ENOMSG);
    CHECK_ERRNO(SYS(msgrcv, id, &m, 100, 0, COPY), EINVAL);
    CHECK_ERRNO(SYS(msgrcv, id, &m, 100, 0, COPY | IPC_NOWAIT | MSG_EXCEPT), EINVAL);
    CHECK_EQ(stat_of(id).msg_qnum, 2);
    removed(id);
}

TEST(msgrcv, success, "a receiver waits for its type and lets others pass")
{
    int id = queue();
    pid_t pid = cella_fork();
    if (pid == 0) {
        expect(id, 2, 0, 2, "for me");
        _exit(0);
    }
    cella_sleep_ms(20);
    CHECK_OK(send_text(id, 1, "not for it", 0));
    CHECK_OK(send_text(id, 2, "for me", 0));
    CHECK_EQ(cella_wait_exit(pid), 0);
    expect(id, 0, IPC_NOWAIT, 1, "not for it");
    CHECK_EQ(stat_of(id).msg_lrpid == getpid(), 1);
    removed(id);
}

TEST(msgrcv, error, "nothing there, no such queue, bad memory")
{
    struct message m;
    int id = queue();
    CHECK_ERRNO(SYS(msgrcv, id, &m, 100, 0, IPC_NOWAIT), ENOMSG);
    CHECK_ERRNO(SYS(msgrcv, -1, &m, 100, 0, 0), EINVAL);
    CHECK_ERRNO(SYS(msgrcv, id, &m, -1l, 0, 0), EINVAL);
    CHECK_OK(send_text(id, 1, "x", 0));
    CHECK_ERRNO(SYS(msgrcv, id, cella_bad_address(), 100, 0, 0), EFAULT);
    removed(id);
    CHECK_ERRNO(SYS(msgrcv, id, &m, 100, 0, 0), EINVAL);
}

TEST(msgrcv, interruption, "a signal ends the wait with EINTR; removal with EIDRM")
{
    struct message m;
    int id = queue();
    cella_ticks_start(20, SA_RESTART, NULL);
    CHECK_ERRNO(SYS(msgrcv, id, &m, 100, 0, 0), EINTR);
    cella_ticks_stop();
    pid_t pid = cella_fork();
    if (pid == 0) {
        CHECK_ERRNO(SYS(msgrcv, id, &m, 100, 0, 0), EIDRM);
        _exit(0);
    }
    cella_sleep_ms(50);
    removed(id);
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(msgrcv, interruption, "being stopped and continued does not end the wait")
{
    int id = queue(), status;
    pid_t pid = cella_fork();
    if (pid == 0) {
        expect(id, 0, 0, 3, "after all");
        _exit(0);
    }
    cella_sleep_ms(50);
    CHECK_OK(kill(pid, SIGSTOP));
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status));
    CHECK_OK(kill(pid, SIGCONT));
    cella_sleep_ms(50);
    CHECK_OK(send_text(id, 3, "after all", 0));
    CHECK_EQ(cella_wait_exit(pid), 0);
    removed(id);
}

TEST(msgctl, success, "IPC_SET, MSG_INFO and MSG_STAT")
{
    struct msginfo info;
    struct msqid_ds ds;
    int id = queue(), found = 0;
    CHECK_OK(send_text(id, 1, "abc", 0));
    ds = stat_of(id);
    ds.msg_perm.mode = 0666;
    ds.msg_qbytes = 100;
    CHECK_OK(SYS(msgctl, id, IPC_SET, &ds));
    ds = stat_of(id);
    CHECK(ds.msg_perm.mode == 0666 && ds.msg_qbytes == 100);
    int highest = (int)SYS(msgctl, 0, MSG_INFO, &info);
    CHECK(highest >= 0 && info.msgpool >= 1 && info.msgmap >= 1 && info.msgtql >= 4);
    for (int i = 0; i <= highest; i++)
        found += SYS(msgctl, i, MSG_STAT, &ds) == id;
    CHECK_EQ(found, 1);
    removed(id);
}

TEST(msgctl, error, "no such queue or command, bad memory")
{
    struct msqid_ds ds;
    int id = queue();
    CHECK_ERRNO(SYS(msgctl, -1, IPC_STAT, &ds), EINVAL);
    CHECK_ERRNO(SYS(msgctl, id, 99, &ds), EINVAL);
    CHECK_ERRNO(SYS(msgctl, id, IPC_STAT, cella_bad_address()), EFAULT);
    CHECK_ERRNO(SYS(msgctl, id, IPC_SET, cella_bad_address()), EFAULT);
    removed(id);
    CHECK_ERRNO(SYS(msgctl, id, IPC_RMID, NULL), EINVAL);
}

TEST(msgctl, limit, "only a privileged process sets more than MSGMNB bytes")
{
    struct msginfo info;
    struct msqid_ds ds;
    cella_drop_root();
    int own = queue();
    ds = stat_of(own);
    ds.msg_qbytes = 16384;
    CHECK_OK(SYS(msgctl, own, IPC_SET, &ds));
    ds.msg_qbytes = 16385;
    CHECK_ERRNO(SYS(msgctl, own, IPC_SET, &ds), EPERM);
    CHECK(SYS(msgctl, 0, IPC_INFO, &info) >= 0);
    CHECK(info.msgmax == 8192 && info.msgmnb == 16384);
    removed(own);
}

TEST_MAIN()
