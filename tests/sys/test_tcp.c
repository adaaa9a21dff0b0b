/* SPDX-License-Identifier: Apache-2.0 */
/* TCP over loopback. */
#include "cella_inet.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/uio.h>

static int nonblocking(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK(fd >= 0);
    return fd;
}

/* A port that nobody has, for a while. */
static int free_port(void)
{
    int port, l = listener4(1, &port);
    close(l);
    return port;
}

/* ---- connect ---- */

TEST(connect, success, "a blocking connect, then bytes both ways")
{
    int fd[2];
    char buf[8];
    tcp_pair(fd);
    CHECK_EQ(write(fd[0], "hello", 5), 5);
    CHECK_EQ(read(fd[1], buf, sizeof(buf)), 5);
    CHECK(!memcmp(buf, "hello", 5));
    CHECK_EQ(send(fd[1], "back", 4, MSG_MORE), 4);
    CHECK_EQ(send(fd[1], "!", 1, 0), 1);
    CHECK_EQ(recv(fd[0], buf, 5, MSG_WAITALL), 5);
    CHECK(!memcmp(buf, "back!", 5));
    CHECK_ERRNO(connect4(fd[0], "127.0.0.1", port_of(fd[1])), EISCONN);
}

TEST(connect, success, "a connect that does not wait is in progress, then done, then connected")
{
    int port, l = listener4(1, &port), c = nonblocking();
    CHECK_ERRNO(connect4(c, "127.0.0.1", port), EINPROGRESS);
    CHECK_EQ(events_of(c, POLLOUT), POLLOUT);
    CHECK_EQ(option(c, SOL_SOCKET, SO_ERROR), 0);
    CHECK_OK(connect4(c, "127.0.0.1", port));
    CHECK_ERRNO(connect4(c, "127.0.0.1", port), EISCONN);
    CHECK_OK(accept(l, NULL, NULL));
}

TEST(connect, error, "nobody listens")
{
    int port = free_port(), c = socket(AF_INET, SOCK_STREAM, 0), n = nonblocking();
    CHECK_ERRNO(connect4(c, "127.0.0.1", port), ECONNREFUSED);
    CHECK_EQ(option(c, SOL_SOCKET, SO_ERROR), 0);
    CHECK_ERRNO(connect4(n, "127.0.0.1", port), EINPROGRESS);
    int all = POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP;
    CHECK_EQ(events_of(n, all), all);
    CHECK_EQ(option(n, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
    CHECK_EQ(option(n, SOL_SOCKET, SO_ERROR), 0);
    CHECK_ERRNO(connect4(n, "127.0.0.1", port), ECONNABORTED);
    int l = socket(AF_INET, SOCK_STREAM, 0);
    set_option(l, SOL_SOCKET, SO_REUSEADDR, 1);
    CHECK_OK(bind4(l, "127.0.0.1", 0));
    CHECK_OK(listen(l, 1));
    CHECK_OK(connect4(c, "127.0.0.1", port_of(l)));
}

TEST(connect, error, "bad addresses")
{
    int c = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = addr4("127.0.0.1", 1);
    CHECK_ERRNO(connect(c, (struct sockaddr *)&a, 7), EINVAL);
    CHECK_ERRNO(connect(c, cella_bad_address(), sizeof(a)), EFAULT);
    a.sin_family = AF_INET6;
    CHECK_ERRNO(connect(c, (struct sockaddr *)&a, sizeof(a)), EAFNOSUPPORT);
}

TEST(connect, limit, "a full queue makes a further connect wait until there is room")
{
    int port, l = listener4(0, &port), a = nonblocking(), b = nonblocking();
    connect4(a, "127.0.0.1", port);
    CHECK_EQ(events_of(a, POLLOUT), POLLOUT);
    CHECK_ERRNO(connect4(b, "127.0.0.1", port), EINPROGRESS);
    cella_sleep_ms(50);
    CHECK_EQ(events_of(b, 0), 0);
    CHECK_ERRNO(connect4(b, "127.0.0.1", port), EALREADY);
    CHECK_ERRNO(send(b, "x", 1, 0), EAGAIN);
    CHECK_OK(accept(l, NULL, NULL));
    struct pollfd p = {.fd = b, .events = POLLOUT};
    CHECK_EQ(poll(&p, 1, 10000), 1);
    CHECK_EQ(p.revents, POLLOUT);
    CHECK_OK(accept(l, NULL, NULL));
}

TEST(connect, success, "AF_UNSPEC makes the socket new")
{
    int port, l = listener4(5, &port), c = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in none = {.sin_family = AF_UNSPEC};
    CHECK_OK(connect4(c, "127.0.0.1", port));
    CHECK_OK(connect(c, (struct sockaddr *)&none, sizeof(none)));
    socklen_t len = sizeof(none);
    CHECK_ERRNO(getpeername(c, (struct sockaddr *)&none, &len), ENOTCONN);
    CHECK_OK(connect4(c, "127.0.0.1", port));
    int s = accept(l, NULL, NULL), t = accept(l, NULL, NULL);
    char byte;
    CHECK_ERRNO(read(s, &byte, 1), ECONNRESET);
    CHECK_EQ(write(c, "x", 1), 1);
    CHECK_EQ(read(t, &byte, 1), 1);
}

/* ---- listen, accept ---- */

TEST(accept, success, "tells the peer and sets the flags it was asked for")
{
    int port, l = listener4(1, &port), c = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_OK(connect4(c, "127.0.0.1", port));
    struct sockaddr_in peer;
    socklen_t len = sizeof(peer);
    int s = accept4(l, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    CHECK(s >= 0);
    CHECK_EQ(ntohs(peer.sin_port), port_of(c));
    CHECK_EQ(ntohl(peer.sin_addr.s_addr), INADDR_LOOPBACK);
    CHECK_EQ(fcntl(s, F_GETFD), FD_CLOEXEC);
    CHECK(fcntl(s, F_GETFL) & O_NONBLOCK);
    CHECK_EQ(port_of(s), port);
    CHECK_EQ(option(l, SOL_SOCKET, SO_ACCEPTCONN), 1);
    CHECK_EQ(option(s, SOL_SOCKET, SO_ACCEPTCONN), 0);
}

TEST(accept, error, "sockets that do not listen, or have nobody waiting")
{
    int port, l = listener4(1, &port), c = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_ERRNO(accept(c, NULL, NULL), EINVAL);
    cella_set_nonblocking(l, true);
    CHECK_ERRNO(accept(l, NULL, NULL), EAGAIN);
    CHECK_EQ(events_of(l, 0), 0);
    CHECK_OK(connect4(c, "127.0.0.1", port));
    CHECK_EQ(events_of(l, POLLIN), POLLIN);
    CHECK_ERRNO(listen(c, 1), EINVAL);
    char byte;
    CHECK_ERRNO(read(l, &byte, 1), ENOTCONN);
    CHECK_ERRNO(send(l, "x", 1, MSG_NOSIGNAL), EPIPE);
}

TEST(accept, limit, "a signal and SO_RCVTIMEO end the wait")
{
    int port, l = listener4(1, &port);
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(accept(l, NULL, NULL), EINTR);
    cella_ticks_stop();
    struct timeval tv = {0, 30000};
    CHECK_OK(setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    CHECK_ERRNO(accept(l, NULL, NULL), EAGAIN);
}

TEST(accept, success, "a connection whose peer has sent and gone")
{
    int port, l = listener4(1, &port), c = socket(AF_INET, SOCK_STREAM, 0);
    char buf[8];
    CHECK_OK(connect4(c, "127.0.0.1", port));
    CHECK_EQ(write(c, "bye", 3), 3);
    close(c);
    int s = accept(l, NULL, NULL);
    CHECK(s >= 0);
    CHECK_EQ(read(s, buf, sizeof(buf)), 3);
    CHECK_EQ(read(s, buf, sizeof(buf)), 0);
}

static void *accept_thread(void *arg)
{
    long r = accept(*(int *)arg, NULL, NULL);
    return (void *)(r < 0 ? (long)-errno : r);
}

TEST(shutdown, success, "of a listener ends accept in another thread")
{
    int port, l = listener4(1, &port);
    pthread_t t;
    void *r;
    CHECK_EQ(pthread_create(&t, NULL, accept_thread, &l), 0);
    cella_sleep_ms(50);
    CHECK_OK(shutdown(l, SHUT_RDWR));
    CHECK_EQ(pthread_join(t, &r), 0);
    CHECK_EQ((long)r, -EINVAL);
    int c = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_ERRNO(connect4(c, "127.0.0.1", port), ECONNREFUSED);
}

TEST(close, success, "of a listener cuts off what was not accepted")
{
    int port, l = listener4(5, &port), c = socket(AF_INET, SOCK_STREAM, 0);
    char byte;
    CHECK_OK(connect4(c, "127.0.0.1", port));
    close(l);
    CHECK_ERRNO(read(c, &byte, 1), ECONNRESET);
}

/* ---- the end of a connection ---- */

TEST(shutdown, success, "half-closes: the peer reads the end and can still send")
{
    int fd[2];
    char buf[8];
    tcp_pair(fd);
    CHECK_EQ(write(fd[0], "ab", 2), 2);
    CHECK_OK(shutdown(fd[0], SHUT_WR));
    CHECK_EQ(events_of(fd[1], POLLIN | POLLOUT | POLLRDHUP), POLLIN | POLLOUT | POLLRDHUP);
    CHECK_EQ(read(fd[1], buf, sizeof(buf)), 2);
    CHECK_EQ(read(fd[1], buf, sizeof(buf)), 0);
    CHECK_EQ(write(fd[1], "still", 5), 5);
    CHECK_EQ(read(fd[0], buf, sizeof(buf)), 5);
    CHECK_ERRNO(send(fd[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(events_of(fd[0], POLLOUT), POLLOUT);
    CHECK_OK(shutdown(fd[1], SHUT_WR));
    int all = POLLIN | POLLOUT | POLLRDHUP | POLLHUP;
    CHECK_EQ(events_of(fd[0], all), all);
    CHECK_EQ(events_of(fd[1], all), all);
}

TEST(shutdown, error, "of a socket without connection")
{
    int c = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_ERRNO(shutdown(c, SHUT_RDWR), ENOTCONN);
    CHECK_ERRNO(shutdown(c, 9), EINVAL);
    CHECK_EQ(events_of(socket(AF_INET, SOCK_STREAM, 0), POLLOUT | POLLHUP), POLLOUT | POLLHUP);
}

TEST(shutdown, success, "for reading ends a read in another thread's place")
{
    int fd[2];
    char byte;
    tcp_pair(fd);
    CHECK_OK(shutdown(fd[0], SHUT_RD));
    CHECK_EQ(read(fd[0], &byte, 1), 0);
    CHECK_EQ(write(fd[0], "x", 1), 1);
    CHECK_EQ(read(fd[1], &byte, 1), 1);
}

TEST(close, success, "with unread bytes resets the connection")
{
    int fd[2];
    char byte;
    tcp_pair(fd);
    CHECK_EQ(write(fd[0], "lost", 4), 4);
    wait_readable(fd[1]);
    close(fd[1]);
    int all = POLLIN | POLLOUT | POLLRDHUP | POLLHUP | POLLERR;
    CHECK_EQ(events_of(fd[0], all), all);
    CHECK_ERRNO(read(fd[0], &byte, 1), ECONNRESET);
    CHECK_EQ(read(fd[0], &byte, 1), 0);
    CHECK_ERRNO(send(fd[0], "x", 1, MSG_NOSIGNAL), EPIPE);
}

TEST(close, success, "with SO_LINGER of 0 resets; what came before is still read")
{
    int fd[2];
    char buf[4];
    tcp_pair(fd);
    struct linger now = {1, 0};
    CHECK_EQ(write(fd[0], "ab", 2), 2);
    CHECK_OK(setsockopt(fd[0], SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
    wait_readable(fd[1]);
    close(fd[0]);
    CHECK_EQ(events_of(fd[1], 0x201d & ~POLLPRI) & POLLERR, POLLERR);
    CHECK_EQ(read(fd[1], buf, sizeof(buf)), 2);
    CHECK_ERRNO(read(fd[1], buf, sizeof(buf)), ECONNRESET);
}

static volatile sig_atomic_t broken;
static void on_sigpipe(int sig)
{
    broken++;
}

TEST(sendto, error, "to a peer that has gone: first accepted, then EPIPE with SIGPIPE")
{
    int fd[2];
    tcp_pair(fd);
    signal(SIGPIPE, on_sigpipe);
    close(fd[1]);
    CHECK_EQ(events_of(fd[0], POLLIN | POLLOUT | POLLRDHUP), POLLIN | POLLOUT | POLLRDHUP);
    CHECK_EQ(send(fd[0], "x", 1, 0), 1);
    cella_sleep_ms(20);
    CHECK_ERRNO(send(fd[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(broken, 0);
    CHECK_ERRNO(send(fd[0], "x", 1, 0), EPIPE);
    CHECK_EQ(broken, 1);
    CHECK_ERRNO(send(socket(AF_INET, SOCK_STREAM, 0), "x", 1, 0), EPIPE);
    CHECK_EQ(broken, 2);
}

/* ---- receive ---- */

TEST(recvfrom, success, "MSG_PEEK leaves, MSG_WAITALL waits, MSG_TRUNC drops, no name")
{
    int fd[2];
    char buf[16];
    tcp_pair(fd);
    CHECK_EQ(write(fd[0], "abcdef", 6), 6);
    wait_readable(fd[1]);
    CHECK_EQ(recv(fd[1], buf, 4, MSG_PEEK), 4);
    CHECK_EQ(recv(fd[1], NULL, 2, MSG_TRUNC), 2);
    struct sockaddr_in name;
    socklen_t len = sizeof(name);
    CHECK_EQ(recvfrom(fd[1], buf, 2, 0, (struct sockaddr *)&name, &len), 2);
    CHECK(!memcmp(buf, "cd", 2));
    CHECK_EQ(len, 0);
    pid_t pid = cella_fork();
    if (pid == 0) {
        cella_sleep_ms(30);
        CHECK_EQ(write(fd[0], "gh", 2), 2);
        _exit(0);
    }
    CHECK_EQ(recv(fd[1], buf, 4, MSG_WAITALL), 4);
    CHECK(!memcmp(buf, "efgh", 4));
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(recvfrom, error, "without connection, without bytes, into bad memory")
{
    int fd[2];
    char byte;
    CHECK_ERRNO(recv(socket(AF_INET, SOCK_STREAM, 0), &byte, 1, 0), ENOTCONN);
    tcp_pair(fd);
    CHECK_ERRNO(recv(fd[0], &byte, 1, MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(write(fd[1], "x", 1), 1);
    wait_readable(fd[0]);
    CHECK_ERRNO(recv(fd[0], cella_bad_address(), 1, 0), EFAULT);
    CHECK_EQ(recv(fd[0], &byte, 1, 0), 1);
    CHECK_ERRNO(send(fd[0], cella_bad_address(), 1, 0), EFAULT);
    CHECK_ERRNO(recv(fd[0], &byte, 1, MSG_OOB), EINVAL);
}

TEST(recvfrom, limit, "a signal and SO_RCVTIMEO end the wait; SO_RCVLOWAT holds poll back")
{
    int fd[2];
    char buf[4];
    tcp_pair(fd);
    cella_ticks_start(20, 0, NULL);
    CHECK_ERRNO(recv(fd[0], buf, 1, 0), EINTR);
    cella_ticks_stop();
    struct timeval tv = {0, 30000};
    CHECK_OK(setsockopt(fd[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    CHECK_ERRNO(recv(fd[0], buf, 1, 0), EAGAIN);
    set_option(fd[0], SOL_SOCKET, SO_RCVLOWAT, 3);
    CHECK_EQ(write(fd[1], "ab", 2), 2);
    cella_sleep_ms(20);
    CHECK_EQ(events_of(fd[0], POLLOUT), POLLOUT);
    CHECK_EQ(write(fd[1], "c", 1), 1);
    CHECK_EQ(events_of(fd[0], POLLIN | POLLOUT), POLLIN | POLLOUT);
}

TEST(recvfrom, success, "urgent data: marked in the stream, read out of line")
{
    int fd[2], mark;
    char buf[8];
    tcp_pair(fd);
    CHECK_EQ(write(fd[0], "ab", 2), 2);
    CHECK_EQ(send(fd[0], "cU", 2, MSG_OOB), 2);
    CHECK_EQ(write(fd[0], "de", 2), 2);
    CHECK_EQ(events_of(fd[1], POLLIN | POLLPRI | POLLOUT), POLLIN | POLLPRI | POLLOUT);
    cella_sleep_ms(20);
    CHECK_EQ(recv(fd[1], buf, sizeof(buf), 0), 3);
    CHECK_OK(ioctl(fd[1], SIOCATMARK, &mark));
    CHECK_EQ(mark, 1);
    CHECK_EQ(recv(fd[1], buf, sizeof(buf), MSG_OOB), 1);
    CHECK_EQ(buf[0], 'U');
    CHECK_ERRNO(recv(fd[1], buf, sizeof(buf), MSG_OOB), EINVAL);
    CHECK_EQ(recv(fd[1], buf, sizeof(buf), 0), 2);
    CHECK(!memcmp(buf, "de", 2));
    set_option(fd[1], SOL_SOCKET, SO_OOBINLINE, 1);
    CHECK_EQ(send(fd[0], "V", 1, MSG_OOB), 1);
    wait_readable(fd[1]);
    CHECK_EQ(recv(fd[1], buf, sizeof(buf), 0), 1);
    CHECK_EQ(buf[0], 'V');
}

/* ---- bulk, poll, ioctl ---- */

#define BULK (4 << 20)

TEST(sendto, success, "4 MiB through a full buffer arrive in order")
{
    int fd[2];
    tcp_pair(fd);
    pid_t pid = cella_fork();
    if (pid == 0) {
        unsigned *words = malloc(BULK);
        close(fd[1]);
        for (unsigned i = 0; i < BULK / sizeof(*words); i++)
            words[i] = i;
        CHECK_EQ(send(fd[0], words, BULK, 0), BULK);
        _exit(0);
    }
    close(fd[0]);
    unsigned next = 0, buf[4096];
    size_t have = 0;
    ssize_t n;
    while ((n = read(fd[1], (char *)buf + have, sizeof(buf) - have)) > 0) {
        have += (size_t)n;
        size_t whole = have / sizeof(unsigned);
        for (size_t i = 0; i < whole; i++)
            CHECK_EQ(buf[i], next + i);
        next += (unsigned)whole;
        have %= sizeof(unsigned);
        memmove(buf, buf + whole, have);
    }
    CHECK_EQ(n, 0);
    CHECK_EQ(next, BULK / sizeof(unsigned));
    CHECK_EQ(cella_wait_exit(pid), 0);
}

TEST(sendto, limit, "a full connection: EAGAIN, the time limit, and poll tells of room")
{
    int fd[2];
    static char junk[65536];
    long total = 0;
    ssize_t n;
    tcp_pair(fd);
    while ((n = send(fd[0], junk, sizeof(junk), MSG_DONTWAIT)) > 0)
        total += n;
    CHECK_EQ(errno, EAGAIN);
    cella_sleep_ms(20);
    while ((n = send(fd[0], junk, sizeof(junk), MSG_DONTWAIT)) > 0)
        total += n;
    struct pollfd p = {.fd = fd[0], .events = POLLOUT};
    CHECK_EQ(poll(&p, 1, 0), 0);
    struct timeval tv = {0, 30000};
    CHECK_OK(setsockopt(fd[0], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
    CHECK_ERRNO(send(fd[0], junk, 1 << 16, 0), EAGAIN);
    int held;
    CHECK_OK(ioctl(fd[1], FIONREAD, &held));
    CHECK(held > 0);
    while (total > 0) {
        n = read(fd[1], junk, sizeof(junk));
        CHECK(n > 0);
        total -= n;
    }
    CHECK_EQ(poll(&p, 1, 5000), 1);
    CHECK_EQ(p.revents, POLLOUT);
}

TEST(epoll_wait, success, "edge-triggered: told of each arrival, of room, and of the end")
{
    int fd[2], ep = epoll_create1(0);
    char buf[16];
    struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET};
    tcp_pair(fd);
    CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd[1], &ev));
    CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 0);
    CHECK_EQ(write(fd[0], "a", 1), 1);
    CHECK_EQ(epoll_wait(ep, &ev, 1, 5000), 1);
    CHECK_EQ(ev.events, EPOLLIN);
    CHECK_EQ(epoll_wait(ep, &ev, 1, 20), 0);
    CHECK_EQ(write(fd[0], "b", 1), 1);
    CHECK_EQ(epoll_wait(ep, &ev, 1, 5000), 1);
    CHECK_EQ(read(fd[1], buf, sizeof(buf)), 2);
    close(fd[0]);
    CHECK_EQ(epoll_wait(ep, &ev, 1, 5000), 1);
    CHECK_EQ(ev.events, EPOLLIN | EPOLLRDHUP);
}

TEST(getsockopt, success, "TCP_INFO tells the state")
{
    int fd[2], port, l = listener4(1, &port);
    struct tcp_info info;
    socklen_t len = sizeof(info);
    tcp_pair(fd);
    CHECK_OK(getsockopt(fd[0], IPPROTO_TCP, TCP_INFO, &info, &len));
    CHECK_EQ(info.tcpi_state, TCP_ESTABLISHED);
    CHECK_OK(getsockopt(l, IPPROTO_TCP, TCP_INFO, &info, &len));
    CHECK_EQ(info.tcpi_state, TCP_LISTEN);
    CHECK_OK(shutdown(fd[0], SHUT_WR));
    wait_readable(fd[1]);
    CHECK_OK(getsockopt(fd[1], IPPROTO_TCP, TCP_INFO, &info, &len));
    CHECK_EQ(info.tcpi_state, TCP_CLOSE_WAIT);
    cella_sleep_ms(20);
    CHECK_OK(getsockopt(fd[0], IPPROTO_TCP, TCP_INFO, &info, &len));
    CHECK_EQ(info.tcpi_state, TCP_FIN_WAIT2);
}

/* ---- many at once ---- */

#define CLIENTS 8
#define ROUNDS 50

static void *client(void *arg)
{
    int port = *(int *)arg;
    for (int i = 0; i < ROUNDS; i++) {
        int c = socket(AF_INET, SOCK_STREAM, 0), got = -1;
        if (connect4(c, "127.0.0.1", port) != 0 || write(c, &i, sizeof(i)) != sizeof(i) ||
            recv(c, &got, sizeof(got), MSG_WAITALL) != sizeof(got) || got != i)
            return (void *)1;
        close(c);
    }
    return NULL;
}

TEST(accept, limit, "eight threads connect through a queue of two")
{
    int port, l = listener4(2, &port);
    pthread_t t[CLIENTS];
    void *r;
    for (int i = 0; i < CLIENTS; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, client, &port), 0);
    for (int i = 0; i < CLIENTS * ROUNDS; i++) {
        int s = accept(l, NULL, NULL), word;
        CHECK(s >= 0);
        CHECK_EQ(recv(s, &word, sizeof(word), MSG_WAITALL), sizeof(word));
        CHECK_EQ(write(s, &word, sizeof(word)), sizeof(word));
        close(s);
    }
    for (int i = 0; i < CLIENTS; i++) {
        CHECK_EQ(pthread_join(t[i], &r), 0);
        CHECK(r == NULL);
    }
}

TEST_MAIN()
