# SPDX-License-Identifier: Apache-2.0
"""What src/net_client.py talks to: a TCP and a UDP server at the host's loopback that do as they are told."""

import contextlib
import hashlib
import socket
import struct
import threading
import time

BLOCK = bytes(range(256)) * 256


def _echo(c):
    while data := c.recv(1 << 18):
        c.sendall(data)


def _source(c, size):
    for _ in range(int(size) // len(BLOCK)):
        c.sendall(BLOCK)


def _sink(c):
    digest, got = hashlib.sha256(), 0
    while data := c.recv(1 << 18):
        digest.update(data)
        got += len(data)
    c.sendall(f"{got} {digest.hexdigest()}\n".encode())


def _eof(c):
    c.shutdown(socket.SHUT_WR)
    while c.recv(1 << 16):
        pass


def _reset(c):
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _idle(c):
    # The end is seen without reading.
    end = time.monotonic() + 60
    while time.monotonic() < end:
        time.sleep(0.05)
        if c.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 1:
            break


def _name(c):
    c.sendall(str(c.getpeername()[1]).encode())


_COMMANDS = {"echo": _echo, "source": _source, "sink": _sink, "eof": _eof, "reset": _reset, "idle": _idle, "name": _name}


def _serve(c):
    with c, contextlib.suppress(OSError):
        line = b""
        while not line.endswith(b"\n"):
            byte = c.recv(1)
            if not byte:
                return
            line += byte
        name, *args = line.decode().split()
        _COMMANDS[name](c, *args)


@contextlib.contextmanager
def peer():
    """(TCP port, a port where nobody listens, UDP port)"""
    tcp, closed, udp = socket.create_server(("127.0.0.1", 0), backlog=500), socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    closed.bind(("127.0.0.1", 0))
    udp.bind(("127.0.0.1", 0))

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=_serve, args=(tcp.accept()[0],), daemon=True).start()

    def answer():
        with contextlib.suppress(OSError):
            while True:
                data, sender = udp.recvfrom(70000)
                if not sender:
                    return  # shut down
                udp.sendto(data[::-1], sender)

    for fn in (accept, answer):
        threading.Thread(target=fn, daemon=True).start()
    try:
        yield tcp.getsockname()[1], closed.getsockname()[1], udp.getsockname()[1]
    finally:
        for s in (tcp, closed, udp):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()
