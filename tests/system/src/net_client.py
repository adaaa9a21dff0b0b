# SPDX-License-Identifier: Apache-2.0
"""A client of test_net.py's peer: net_client.py HOST PORT CLOSED_PORT UDP_PORT. Prints what it meets; natively and in a keep this is the same."""

import contextlib
import errno
import hashlib
import os
import select
import socket
import struct
import sys
import threading
import time

HOST, PORT, CLOSED, UDP = sys.argv[1], *map(int, sys.argv[2:5])
BLOCK = bytes(range(256)) * 256
SIZE = int(os.environ.get("SIZE_MB", "32")) << 20


def peer(what, timeout=30):
    s = socket.create_connection((HOST, PORT), timeout=timeout)
    s.sendall(what.encode() + b"\n")
    return s


def error_of(fn):
    try:
        return fn()
    except OSError as e:
        return errno.errorcode.get(e.errno, type(e).__name__)


def read_all(s, size=1 << 18):
    digest, got = hashlib.sha256(), 0
    while piece := s.recv(size):
        digest.update(piece)
        got += len(piece)
    return got, digest.hexdigest()


def large():
    with peer(f"source {SIZE}") as s:
        print("source", *read_all(s))
    with peer("sink") as s:
        for _ in range(SIZE // len(BLOCK)):
            s.sendall(BLOCK)
        s.shutdown(socket.SHUT_WR)
        print("sink", s.makefile().read().strip())
    # Both ways at once, and the reader is slow to begin.
    with peer("echo") as s:
        def send():
            for _ in range(SIZE // len(BLOCK)):
                s.sendall(BLOCK)
            s.shutdown(socket.SHUT_WR)
        t = threading.Thread(target=send)
        t.start()
        time.sleep(0.3)
        print("echo", *read_all(s, 100000))
        t.join()


def half_close():
    with peer("echo") as s:
        s.sendall(b"last words")
        s.shutdown(socket.SHUT_WR)
        print("after shutdown", s.recv(100), s.recv(100), error_of(lambda: s.send(b"x")))
    with peer("eof") as s:
        print("peer's end", s.recv(100))
        p = select.poll()
        p.register(s, select.POLLIN | select.POLLOUT | select.POLLRDHUP)
        print("poll", p.poll(1000)[0][1] & ~select.POLLOUT)
        s.sendall(b"still heard")
        time.sleep(0.1)
        s.sendall(b" twice")
        s.shutdown(socket.SHUT_WR)
        p.poll(1000)
        print("name", error_of(lambda: s.getpeername()[1] == PORT))
    with peer("echo") as s:
        s.shutdown(socket.SHUT_RD)
        print("shut for reading", s.recv(10))
        s.sendall(b"x")


def errors():
    s = socket.socket()
    print("refused", error_of(lambda: s.connect((HOST, CLOSED))))
    print("and once more", error_of(lambda: s.connect((HOST, PORT))))
    s.close()
    s = socket.socket()
    s.setblocking(False)
    print("in progress", s.connect_ex((HOST, CLOSED)) in (errno.EINPROGRESS, errno.ECONNREFUSED))
    p = select.poll()
    p.register(s, select.POLLOUT)
    print("poll", p.poll(5000)[0][1], errno.errorcode.get(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)), s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    s.close()
    s = peer("reset")
    print("reset", error_of(lambda: s.recv(10)))
    print("then", error_of(lambda: s.recv(10)), error_of(lambda: s.send(b"x")))
    s.close()
    s = peer("reset")
    time.sleep(0.3)
    p = select.poll()
    p.register(s, select.POLLIN | select.POLLOUT | select.POLLRDHUP)
    print("poll of a reset", p.poll(1000)[0][1])
    print("write first", error_of(lambda: s.send(b"x")), error_of(lambda: s.send(b"x")))
    s.close()
    s = peer("idle")
    s.settimeout(0.2)
    print("timeout", error_of(lambda: s.recv(10)))
    s.setblocking(False)
    print("nonblocking", error_of(lambda: s.recv(10)))
    print("connected twice", error_of(lambda: s.connect((HOST, PORT))))
    s.close()
    s = peer("idle")
    # To a peer that does not read: room ends.
    s.setblocking(False)
    total = 0
    with contextlib.suppress(BlockingIOError):
        while total < 64 << 20:
            total += s.send(BLOCK)
            time.sleep(0.0001)
    p = select.poll()
    p.register(s, select.POLLOUT)
    print("full", 0 < total < 64 << 20, p.poll(0))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def many():
    conns = [peer("echo", 60) for _ in range(200)]
    for i, c in enumerate(conns):
        c.sendall(b"%d" % i)
    print("200 at once", sum(c.recv(10) == b"%d" % i for i, c in enumerate(conns)))
    for c in conns:
        c.close()
    results = []
    def one(i):
        with peer("echo", 60) as c:
            c.sendall(b"%d" % i * 1000)
            c.shutdown(socket.SHUT_WR)
            results.append(c.makefile("rb").read() == b"%d" % i * 1000)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(200)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    print("200 threads", results.count(True))


def names():
    with peer("name") as s:
        print("the peer sees our port", s.makefile().read().strip() == str(s.getsockname()[1]))
        print("peer", s.getpeername() == (HOST, PORT))


def bound():
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("0.0.0.0", 0))
    mine = s.getsockname()[1]
    s.settimeout(10)
    print("connect of a bound socket", error_of(lambda: s.connect((HOST, PORT))), s.getsockname()[1] == mine)
    s.sendall(b"echo\nabc")
    print(s.recv(10))
    s.close()


def udp():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(10)
    for size in (0, 1, 512, 1400, 9000, 60000, 65507):
        data = os.urandom(size)
        s.sendto(data, (HOST, UDP))
        got, sender = s.recvfrom(70000)
        print("datagram", size, got == data[::-1], sender == (HOST, UDP))
    print("too large", error_of(lambda: s.sendto(bytes(65508), (HOST, UDP))))
    s.sendto(b"0123456789", (HOST, UDP))
    print("cut", *s.recvmsg(4)[::2])
    s.connect((HOST, UDP))
    s.send(b"connected")
    print(s.recv(100), s.getpeername() == (HOST, UDP), s.getsockname()[1] > 0)
    for i in range(50):
        s.send(b"%d" % i)
        s.recv(10)
    s.close()
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("", 0))
    s.settimeout(10)
    s.sendto(b"bound", (HOST, UDP))
    print(s.recv(100))
    s.close()
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(3)
    s.connect((HOST, CLOSED))
    s.send(b"nobody")
    print("unreachable port", error_of(lambda: s.recv(10)))
    s.close()
    # A query of DNS's form, and its answer.
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(10)
    s.connect((HOST, UDP))
    query = struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + b"\7example\3com\0" + struct.pack("!2H", 1, 1)
    s.send(query)
    p = select.poll()
    p.register(s, select.POLLIN)
    print("query", p.poll(5000)[0][1], s.recv(512)[::-1] == query)


for name in sys.argv[5:] or ("large", "half_close", "errors", "many", "names", "bound", "udp"):
    print("--", name, flush=True)
    globals()[name]()
