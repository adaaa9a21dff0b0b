/* SPDX-License-Identifier: Apache-2.0 */
/* fcntl with its locks, flock, and the ioctls that every descriptor has. */
#include "cella_file.h"

#include <limits.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <termios.h>

/* A child that has done its part of a test and stays until released. */
struct partner {
    pid_t pid;
    int ready; /* one byte comes when it is ready; its end, when the partner has ended */
    int stay;  /* closing it lets the partner end */
};

/* Forks; true in the child, which must call partner_wait. */
static bool partner_start(struct partner *partner)
{
    int ready[2], stay[2];
    cella_pipe(ready);
    cella_pipe(stay);
    partner->pid = cella_fork();
    CHECK(partner->pid != -1);
    bool child = partner->pid == 0;
    partner->ready = ready[child];
    partner->stay = stay[!child];
    CHECK_OK(close(ready[!child]));
    CHECK_OK(close(stay[child]));
    return child;
}

static void partner_wait(struct partner *partner)
{
    char c = 0;
    CHECK_EQ(write(partner->ready, &c, 1), 1);
    CHECK_EQ(read(partner->stay, &c, 1), 0);
    _exit(0);
}

static void partner_is_ready(struct partner *partner)
{
    char c;
    CHECK_EQ(read(partner->ready, &c, 1), 1);
}

static void partner_release(struct partner *partner)
{
    CHECK_OK(close(partner->stay));
    CHECK_EQ(cella_wait_exit(partner->pid), 0);
}

static struct flock range(int type, off_t start, off_t len)
{
    return (struct flock){.l_type = (short)type, .l_whence = SEEK_SET, .l_start = start,
                          .l_len = len};
}

static int lock_file(void)
{
    cella_scratch();
    cella_put_file("f", "0123456789", 10);
    return cella_open("f", O_RDWR);
}

static long do_lock(int fd, int command, int type, off_t start, off_t len)
{
    struct flock lock = range(type, start, len);
    return SYS(fcntl, fd, command, &lock);
}

TEST(fcntl, success, "F_DUPFD takes the lowest number from the one given")
{
    int fd = cella_open("/", O_RDONLY);
    CHECK_EQ(SYS(fcntl, fd, F_DUPFD, 50), 50);
    CHECK_EQ(SYS(fcntl, fd, F_DUPFD, 50), 51);
    CHECK_EQ(SYS(fcntl, fd, F_GETFD), 0);
    CHECK_EQ(SYS(fcntl, fd, F_DUPFD_CLOEXEC, 50), 52);
    CHECK_EQ(SYS(fcntl, 52, F_GETFD), FD_CLOEXEC);
}

TEST(fcntl, success, "F_SETFD sets close-on-exec of the number, not of its duplicates")
{
    int fd = cella_open("/", O_RDONLY), copy = dup(fd);
    CHECK_EQ(SYS(fcntl, fd, F_SETFD, FD_CLOEXEC), 0);
    CHECK_EQ(SYS(fcntl, fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(SYS(fcntl, copy, F_GETFD), 0);
    CHECK_EQ(SYS(fcntl, fd, F_SETFD, 0), 0);
    CHECK_EQ(SYS(fcntl, fd, F_GETFD), 0);
}

TEST(fcntl, success, "F_GETFL tells mode and status, F_SETFL changes the status only")
{
    int fd = lock_file(), copy = dup(fd);
    int mask = O_ACCMODE | O_APPEND | O_NONBLOCK | O_CREAT | O_TRUNC;
    CHECK_EQ(SYS(fcntl, fd, F_GETFL) & mask, O_RDWR);
    CHECK_EQ(SYS(fcntl, fd, F_SETFL, O_APPEND | O_NONBLOCK | O_WRONLY | O_TRUNC), 0);
    CHECK_EQ(SYS(fcntl, copy, F_GETFL) & mask, O_RDWR | O_APPEND | O_NONBLOCK);
    CHECK_EQ(write(fd, "x", 1), 1);
    CHECK_EQ(cella_file_size("f"), 11);
    CHECK_EQ(SYS(fcntl, cella_open("f", O_WRONLY), F_GETFL) & mask, O_WRONLY);
}

TEST(fcntl, success, "F_SETOWN and F_GETOWN name a process or a group")
{
    int fd[2];
    cella_pipe(fd);
    CHECK_EQ(SYS(fcntl, fd[0], F_GETOWN), 0);
    CHECK_EQ(SYS(fcntl, fd[0], F_SETOWN, getpid()), 0);
    CHECK(SYS(fcntl, fd[0], F_GETOWN) == getpid());
}

TEST(fcntl, success, "F_SETPIPE_SZ resizes a pipe to a power of two of pages")
{
    int fd[2];
    cella_pipe(fd);
    CHECK_EQ(SYS(fcntl, fd[0], F_GETPIPE_SZ), 65536);
    CHECK_EQ(SYS(fcntl, fd[0], F_SETPIPE_SZ, 5000), 8192);
    CHECK_EQ(SYS(fcntl, fd[1], F_GETPIPE_SZ), 8192);
    CHECK_EQ(cella_fill_pipe(fd[1]), 8192);
    CHECK_ERRNO(SYS(fcntl, fd[0], F_SETPIPE_SZ, 4096), EBUSY);
}

TEST(fcntl, success, "a record lock excludes other processes and names its holder")
{
    struct partner partner;
    struct flock lock = range(F_RDLCK, 0, 0);
    int fd = lock_file();
    if (partner_start(&partner)) {
        CHECK_EQ(do_lock(fd, F_SETLK, F_WRLCK, 2, 3), 0);
        partner_wait(&partner);
    }
    partner_is_ready(&partner);
    CHECK_EQ(SYS(fcntl, fd, F_GETLK, &lock), 0);
    CHECK(lock.l_type == F_WRLCK && lock.l_whence == SEEK_SET);
    CHECK(lock.l_start == 2 && lock.l_len == 3 && lock.l_pid == partner.pid);
    CHECK_ERRNO(do_lock(fd, F_SETLK, F_RDLCK, 4, 1), EAGAIN);
    CHECK_EQ(do_lock(fd, F_SETLK, F_WRLCK, 5, 1), 0);
    CHECK_EQ(do_lock(fd, F_SETLK, F_WRLCK, 0, 2), 0);
    partner_release(&partner);
    CHECK_EQ(do_lock(fd, F_SETLK, F_WRLCK, 0, 0), 0);
}

TEST(fcntl, success, "read locks are shared, and a part of a lock can be given back")
{
    struct partner partner;
    int fd = lock_file();
    if (partner_start(&partner)) {
        CHECK_EQ(do_lock(fd, F_SETLK, F_RDLCK, 0, 10), 0);
        CHECK_EQ(do_lock(fd, F_SETLK, F_UNLCK, 4, 2), 0);
        partner_wait(&partner);
    }
    partner_is_ready(&partner);
    CHECK_EQ(do_lock(fd, F_SETLK, F_RDLCK, 0, 10), 0);
    CHECK_ERRNO(do_lock(fd, F_SETLK, F_WRLCK, 3, 1), EAGAIN);
    CHECK_EQ(do_lock(fd, F_SETLK, F_WRLCK, 4, 2), 0);
    CHECK_ERRNO(do_lock(fd, F_SETLK, F_WRLCK, 6, 1), EAGAIN);
    partner_release(&partner);
}

TEST(fcntl, success, "closing any descriptor of the file drops the process's record locks")
{
    struct partner partner;
    int fd = lock_file();
    if (partner_start(&partner)) {
        CHECK_EQ(do_lock(fd, F_SETLK, F_WRLCK, 0, 0), 0);
        CHECK_OK(close(cella_open("f", O_RDONLY)));
        partner_wait(&partner);
    }
    partner_is_ready(&partner);
    CHECK_EQ(do_lock(fd, F_SETLK, F_WRLCK, 0, 0), 0);
    partner_release(&partner);
}

TEST(fcntl, success, "F_SETLKW waits until the lock is free")
{
    struct partner partner;
    int fd = lock_file();
    if (partner_start(&partner)) {
        char c = 0;
        CHECK_EQ(do_lock(fd, F_SETLKW, F_WRLCK, 0, 0), 0);
        CHECK_EQ(write(partner.ready, &c, 1), 1);
        cella_sleep_ms(50);
        _exit(write(partner.ready, &c, 1) != 1);
    }
    partner_is_ready(&partner);
    CHECK_EQ(do_lock(fd, F_SETLKW, F_WRLCK, 0, 0), 0);
    int waiting = 0;
    CHECK_OK(ioctl(partner.ready, FIONREAD, &waiting));
    CHECK_EQ(waiting, 1); /* it had done its work when the lock came */
    partner_release(&partner);
}

TEST(fcntl, success, "open-file locks belong to the open file, not to the process")
{
    struct flock lock = range(F_WRLCK, 0, 0);
    int one = lock_file(), two = cella_open("f", O_RDWR), copy = dup(one);
    CHECK_EQ(do_lock(one, F_OFD_SETLK, F_WRLCK, 0, 5), 0);
    CHECK_EQ(do_lock(copy, F_OFD_SETLK, F_WRLCK, 0, 5), 0);
    CHECK_ERRNO(do_lock(two, F_OFD_SETLK, F_RDLCK, 4, 1), EAGAIN);
    CHECK_EQ(SYS(fcntl, two, F_OFD_GETLK, &lock), 0);
    CHECK(lock.l_type == F_WRLCK && lock.l_len == 5 && lock.l_pid == -1);
    CHECK_ERRNO(do_lock(two, F_SETLK, F_WRLCK, 0, 0), EAGAIN);
    CHECK_OK(close(one));
    CHECK_ERRNO(do_lock(two, F_OFD_SETLK, F_RDLCK, 0, 1), EAGAIN);
    CHECK_OK(close(copy));
    CHECK_EQ(do_lock(two, F_OFD_SETLK, F_RDLCK, 0, 1), 0);
}

TEST(fcntl, error, "closed descriptor, unknown command, memory that cannot be read")
{
    int fd = lock_file();
    CHECK_ERRNO(SYS(fcntl, CELLA_NO_FD, F_GETFD), EBADF);
    CHECK_ERRNO(SYS(fcntl, fd, 9999, 0), EINVAL);
    CHECK_ERRNO(SYS(fcntl, fd, F_SETLK, cella_bad_address()), EFAULT);
    CHECK_ERRNO(SYS(fcntl, cella_open("f", O_PATH), F_SETFL, O_NONBLOCK), EBADF);
    CHECK_ERRNO(SYS(fcntl, fd, F_GETPIPE_SZ), EBADF);
}

TEST(fcntl, error, "a lock of unknown type or place, or that the mode does not allow")
{
    struct flock lock = range(F_RDLCK, 0, 0);
    int fd = lock_file();
    CHECK_ERRNO(do_lock(fd, F_SETLK, 99, 0, 0), EINVAL);
    CHECK_ERRNO(do_lock(fd, F_SETLK, F_RDLCK, -1, 0), EINVAL);
    CHECK_ERRNO(do_lock(fd, F_GETLK, F_UNLCK, 0, 0), EINVAL);
    CHECK_ERRNO(do_lock(cella_open("f", O_RDONLY), F_SETLK, F_WRLCK, 0, 0), EBADF);
    CHECK_ERRNO(do_lock(cella_open("f", O_WRONLY), F_SETLK, F_RDLCK, 0, 0), EBADF);
    lock.l_pid = 1;
    CHECK_ERRNO(SYS(fcntl, fd, F_OFD_SETLK, &lock), EINVAL);
}

TEST(fcntl, error, "two processes that wait for each other: one gets EDEADLK")
{
    struct partner partner;
    int fd = lock_file();
    CHECK_EQ(do_lock(fd, F_SETLK, F_WRLCK, 0, 1), 0);
    if (partner_start(&partner)) {
        char c = 0;
        CHECK_EQ(do_lock(fd, F_SETLK, F_WRLCK, 1, 1), 0);
        CHECK_EQ(write(partner.ready, &c, 1), 1);
        long r = do_lock(fd, F_SETLKW, F_WRLCK, 0, 1);
        CHECK(r == 0 || errno == EDEADLK);
        _exit(r == 0 ? 0 : 1); /* and so gives its lock back */
    }
    partner_is_ready(&partner);
    long r = do_lock(fd, F_SETLKW, F_WRLCK, 1, 1);
    CHECK(r == 0 || errno == EDEADLK);
    CHECK_EQ(do_lock(fd, F_SETLK, F_UNLCK, 0, 0), 0);
    bool other_failed = cella_wait_exit(partner.pid) == 1;
    CHECK((r == -1) != other_failed); /* whoever came second */
}

TEST(fcntl, interruption, "a signal ends the wait of F_SETLKW and F_OFD_SETLKW with EINTR")
{
    struct partner partner;
    int fd = lock_file();
    if (partner_start(&partner)) {
        CHECK_EQ(do_lock(fd, F_SETLK, F_WRLCK, 0, 0), 0);
        partner_wait(&partner);
    }
    partner_is_ready(&partner);
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(do_lock(fd, F_SETLKW, F_RDLCK, 0, 0), EINTR);
    CHECK_ERRNO(do_lock(fd, F_OFD_SETLKW, F_RDLCK, 0, 0), EINTR);
    cella_ticks_stop();
    partner_release(&partner);
}

TEST(fcntl, limit, "F_DUPFD at RLIMIT_NOFILE: EINVAL for the number, EMFILE when none is left")
{
    struct rlimit limit;
    int fd = cella_open("/", O_RDONLY);
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = 64;
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
    CHECK_ERRNO(SYS(fcntl, fd, F_DUPFD, 64), EINVAL);
    CHECK_ERRNO(SYS(fcntl, fd, F_DUPFD, -1), EINVAL);
    CHECK_EQ(SYS(fcntl, fd, F_DUPFD, 63), 63);
    CHECK_ERRNO(SYS(fcntl, fd, F_DUPFD, 63), EMFILE);
}

TEST(fcntl, limit, "length 0 locks to the largest place, and a range must not pass it")
{
    struct flock lock = range(F_WRLCK, LONG_MAX, 1);
    struct partner partner;
    int fd = lock_file();
    if (partner_start(&partner)) {
        CHECK_EQ(do_lock(fd, F_SETLK, F_WRLCK, 100, 0), 0);
        partner_wait(&partner);
    }
    partner_is_ready(&partner);
    CHECK_EQ(SYS(fcntl, fd, F_GETLK, &lock), 0);
    CHECK(lock.l_type == F_WRLCK && lock.l_start == 100 && lock.l_len == 0);
    CHECK_ERRNO(do_lock(fd, F_SETLK, F_WRLCK, LONG_MAX, 2), EOVERFLOW);
    partner_release(&partner);
}

TEST(flock, success, "shared with shared, exclusive alone, converted and given back")
{
    int one = lock_file(), two = cella_open("f", O_RDONLY);
    CHECK_EQ(SYS(flock, one, LOCK_SH), 0);
    CHECK_EQ(SYS(flock, two, LOCK_SH | LOCK_NB), 0);
    CHECK_EQ(SYS(flock, two, LOCK_UN), 0);
    CHECK_EQ(SYS(flock, one, LOCK_EX | LOCK_NB), 0);
    CHECK_ERRNO(SYS(flock, two, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    CHECK_EQ(SYS(flock, one, LOCK_UN), 0);
    CHECK_EQ(SYS(flock, two, LOCK_EX | LOCK_NB), 0);
}

TEST(flock, success, "the lock is the open file's: kept by children, gone with the last close")
{
    struct partner partner;
    int one = lock_file(), two = cella_open("f", O_RDWR);
    CHECK_EQ(SYS(flock, one, LOCK_EX), 0);
    if (partner_start(&partner)) {
        CHECK_EQ(SYS(flock, one, LOCK_EX | LOCK_NB), 0);
        partner_wait(&partner);
    }
    partner_is_ready(&partner);
    CHECK_OK(close(one));
    CHECK_ERRNO(SYS(flock, two, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    partner_release(&partner);
    CHECK_EQ(SYS(flock, two, LOCK_EX | LOCK_NB), 0);
}

TEST(flock, error, "closed descriptor, path only, unknown operation")
{
    int fd = lock_file();
    CHECK_ERRNO(SYS(flock, CELLA_NO_FD, LOCK_SH), EBADF);
    CHECK_ERRNO(SYS(flock, cella_open("f", O_PATH), LOCK_SH), EBADF);
    CHECK_ERRNO(SYS(flock, fd, 0), EINVAL);
    CHECK_ERRNO(SYS(flock, fd, LOCK_SH | LOCK_EX), EINVAL);
}

TEST(flock, interruption, "a signal ends the wait for the lock with EINTR")
{
    int one = lock_file(), two = cella_open("f", O_RDWR);
    CHECK_EQ(SYS(flock, one, LOCK_EX), 0);
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(SYS(flock, two, LOCK_EX), EINTR);
    CHECK_ERRNO(SYS(flock, two, LOCK_SH), EINTR);
    cella_ticks_stop();
}

TEST(flock, limit, "does not meddle with record locks, and unlocking what is not locked is fine")
{
    struct partner partner;
    int fd = lock_file();
    CHECK_EQ(SYS(flock, fd, LOCK_UN), 0);
    CHECK_EQ(SYS(flock, fd, LOCK_EX), 0);
    if (partner_start(&partner)) {
        int own = cella_open("f", O_RDWR);
        CHECK_ERRNO(SYS(flock, own, LOCK_SH | LOCK_NB), EWOULDBLOCK);
        CHECK_EQ(do_lock(own, F_SETLK, F_WRLCK, 0, 0), 0);
        partner_wait(&partner);
    }
    partner_is_ready(&partner);
    partner_release(&partner);
}

TEST(ioctl, success, "FIONREAD counts what can be read from a pipe and a file")
{
    int n = -1, pfd[2], fd = lock_file();
    cella_pipe(pfd);
    CHECK_EQ(write(pfd[1], "abc", 3), 3);
    CHECK_EQ(SYS(ioctl, pfd[0], FIONREAD, &n), 0);
    CHECK_EQ(n, 3);
    CHECK_EQ(lseek(fd, 4, SEEK_SET), 4);
    CHECK_EQ(SYS(ioctl, fd, FIONREAD, &n), 0);
    CHECK_EQ(n, 6);
}

TEST(ioctl, success, "FIONBIO, FIOCLEX and FIONCLEX set what fcntl sets")
{
    int on = 1, off = 0, fd[2];
    cella_pipe(fd);
    CHECK_EQ(SYS(ioctl, fd[0], FIONBIO, &on), 0);
    CHECK_EQ(fcntl(fd[0], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    CHECK_EQ(SYS(ioctl, fd[0], FIONBIO, &off), 0);
    CHECK_EQ(fcntl(fd[0], F_GETFL) & O_NONBLOCK, 0);
    CHECK_EQ(SYS(ioctl, fd[0], FIOCLEX), 0);
    CHECK_EQ(fcntl(fd[0], F_GETFD), FD_CLOEXEC);
    CHECK_EQ(SYS(ioctl, fd[0], FIONCLEX), 0);
    CHECK_EQ(fcntl(fd[0], F_GETFD), 0);
}

TEST(ioctl, error, "terminal requests to what is no terminal answer ENOTTY")
{
    char termios[256];
    struct winsize size;
    int pfd[2], fd = lock_file();
    cella_pipe(pfd);
    CHECK_ERRNO(SYS(ioctl, fd, TCGETS, termios), ENOTTY);
    CHECK_ERRNO(SYS(ioctl, pfd[0], TCGETS, termios), ENOTTY);
    CHECK_ERRNO(SYS(ioctl, cella_open(".", O_RDONLY), TIOCGWINSZ, &size), ENOTTY);
    CHECK_ERRNO(SYS(ioctl, fd, 0xdeadbeef, 0), ENOTTY);
}

TEST(ioctl, error, "closed descriptor, path only, memory that cannot be touched")
{
    int n, pfd[2], fd = lock_file();
    cella_pipe(pfd);
    CHECK_ERRNO(SYS(ioctl, CELLA_NO_FD, FIONREAD, &n), EBADF);
    CHECK_ERRNO(SYS(ioctl, cella_open("f", O_PATH), FIONREAD, &n), EBADF);
    CHECK_ERRNO(SYS(ioctl, pfd[0], FIONREAD, cella_bad_address()), EFAULT);
    CHECK_ERRNO(SYS(ioctl, fd, FIONBIO, cella_bad_address()), EFAULT);
}

TEST(ioctl, limit, "FIONREAD of an empty and of a full pipe")
{
    int n = -1, fd[2];
    cella_pipe(fd);
    CHECK_EQ(SYS(ioctl, fd[0], FIONREAD, &n), 0);
    CHECK_EQ(n, 0);
    CHECK_EQ(cella_fill_pipe(fd[1]), 65536);
    CHECK_EQ(SYS(ioctl, fd[0], FIONREAD, &n), 0);
    CHECK_EQ(n, 65536);
}

TEST_MAIN()
