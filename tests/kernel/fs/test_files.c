/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/files.h"

#include "calls.h"

enum { DUPFD = 0, GETFD = 1, SETFD = 2, DUPFD_CLOEXEC = 1030 };

KTEST(files_the_lowest_free_descriptor_is_taken)
{
    int fd[5];
    for (int i = 0; i < 5; i++)
        KCHECK_EQ(fd[i] = (int)sys_eventfd2(0, 0), i);
    KCHECK_EQ(sys_close(3), 0);
    KCHECK_EQ(sys_close(1), 0);
    KCHECK_EQ(sys_eventfd2(0, 0), 1);
    KCHECK_EQ(sys_dup(0), 3);
    KCHECK_EQ(sys_dup(0), 5);
    KCHECK_EQ(sys_fcntl(0, DUPFD, 2), 6);
    KCHECK_EQ(sys_fcntl(0, DUPFD, 100), 100);
    KCHECK_EQ(sys_dup(0), 7);
}

KTEST(files_table_grows_and_keeps_what_is_in_it)
{
    KCHECK_EQ(sys_eventfd2(5, 0), 0);
    for (int i = 1; i < 1000; i++)
        KCHECK_EQ(sys_dup(0), i);
    struct file *f = fd_get(0), *g = fd_get(999);
    KCHECK(f && f == g);
    KCHECK_EQ(ref_read(&f->ref), 1002);
    file_put(f);
    file_put(g);
    KCHECK_EQ(sys_close_range(10, 900, 0), 0);
    KCHECK(fd_get(10) == NULL && fd_get(900) == NULL);
    KCHECK_EQ(sys_dup(0), 10);
    KCHECK_EQ(files_next_fd(current->files, 11), 901);
    KCHECK_EQ(files_next_fd(current->files, 1000), -1);
}

KTEST(files_limit_is_told)
{
    struct k_rlimit old = current->process->rlim[RLIMIT_NOFILE_K];
    KCHECK_EQ(sys_eventfd2(0, 0), 0);
    current->process->rlim[RLIMIT_NOFILE_K].cur = 3;
    KCHECK_EQ(sys_dup(0), 1);
    KCHECK_EQ(sys_dup(0), 2);
    KCHECK_EQ(sys_dup(0), -EMFILE);
    KCHECK_EQ(sys_dup2(0, 3), -EBADF);
    KCHECK_EQ(sys_fcntl(0, DUPFD, 3), -EINVAL);
    KCHECK_EQ(sys_eventfd2(0, 0), -EMFILE);
    KCHECK_EQ(sys_pipe2(ktest_map(8), 0), -EMFILE);
    KCHECK_EQ(open_file("/", O_RDONLY_K), -EMFILE);
    current->process->rlim[RLIMIT_NOFILE_K] = old;
}

KTEST(files_dup2_replaces_and_dup3_refuses_itself)
{
    KCHECK_EQ(sys_eventfd2(1, 0), 0);
    KCHECK_EQ(sys_eventfd2(2, 0), 1);
    KCHECK_EQ(sys_dup2(0, 1), 1);
    struct file *a = fd_get(0), *b = fd_get(1);
    KCHECK(a == b && ref_read(&a->ref) == 4);
    file_put(a);
    file_put(b);
    KCHECK_EQ(sys_dup2(0, 0), 0);
    KCHECK_EQ(sys_dup3(0, 0, 0), -EINVAL);
    KCHECK_EQ(sys_dup3(0, 5, 1), -EINVAL);
    KCHECK_EQ(sys_dup3(0, 200, O_CLOEXEC_K), 200);
    KCHECK_EQ(sys_fcntl(200, GETFD, 0), 1);
    KCHECK_EQ(sys_dup2(9, 1), -EBADF);
    KCHECK_EQ(sys_dup2(9, 9), -EBADF);
    KCHECK_EQ(sys_dup2(0, -1), -EBADF);
    KCHECK_EQ(sys_close(0), 0);
    KCHECK_EQ(sys_close(0), -EBADF);
    KCHECK_EQ(sys_close(-1), -EBADF);
}

KTEST(files_exec_closes_what_is_marked)
{
    KCHECK_EQ(sys_eventfd2(0, 0), 0);
    KCHECK_EQ(sys_eventfd2(0, O_CLOEXEC_K), 1);
    KCHECK_EQ(sys_fcntl(0, DUPFD_CLOEXEC, 70), 70);
    KCHECK_EQ(sys_fcntl(0, DUPFD, 71), 71);
    KCHECK_EQ(files_exec(), 0);
    KCHECK(!fd_cloexec(0));
    KCHECK_EQ(sys_close(1), -EBADF);
    KCHECK_EQ(sys_close(70), -EBADF);
    KCHECK_EQ(sys_close(71), 0);
}

KTEST(files_copy_is_independent)
{
    for (int i = 0; i < 70; i++)
        KCHECK_EQ(sys_eventfd2(0, i == 69 ? O_CLOEXEC_K : 0), i);
    struct files *copy = files_copy(current->files);
    KCHECK(copy);
    KCHECK(files_cloexec(copy, 69) && !files_cloexec(copy, 68));
    KCHECK_EQ(sys_close(69), 0);
    struct file *f = files_get_file(copy, 69);
    KCHECK(f);
    KCHECK_EQ(ref_read(&f->ref), 2);
    file_put(f);
    files_put(copy);
}

KTEST(files_reserved_descriptor_is_not_there_yet)
{
    KCHECK_EQ(fd_reserve(0, false), 0);
    KCHECK(fd_get(0) == NULL);
    KCHECK_EQ(sys_close(0), -EBADF);
    KCHECK_EQ(sys_eventfd2(0, 0), 1);
    KCHECK_EQ(sys_dup2(1, 0), -EBUSY);
    KCHECK_EQ(sys_close_range(0, 0, 0), 0);
    struct files *copy = files_copy(current->files);
    KCHECK(copy && files_get_file(copy, 0) == NULL);
    files_put(copy);
    fd_unreserve(0);
    KCHECK_EQ(sys_eventfd2(0, 0), 0);
}

static void opens_and_closes(void *arg)
{
    (void)arg;
    for (int i = 0; i < 300; i++) {
        int64_t fd = sys_eventfd2(0, 0);
        if (fd < 0)
            ktest_fail(__FILE__, __LINE__, "eventfd2");
        schedule();
        if (sys_close((int)fd))
            ktest_fail(__FILE__, __LINE__, "close");
    }
}

KTEST(files_shared_table_serves_many_threads)
{
    struct thread *t[5];
    for (int i = 0; i < 5; i++)
        t[i] = mock_start(opens_and_closes, NULL);
    for (int i = 0; i < 5; i++)
        mock_join(t[i]);
    KCHECK_EQ(files_next_fd(current->files, 0), -1);
}
