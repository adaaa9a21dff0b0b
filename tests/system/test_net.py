# SPDX-License-Identifier: Apache-2.0
"""The network: servers in a keep reached by native clients through -p, clients in a keep with --net, and what must not work."""

import contextlib
import hashlib
import http.server
import os
import re
import signal
import socket
import subprocess
import threading
import time

from common import CELLA, ENVIRONMENT, QUICK, QUIET, cella, command, expect, expect_error, keep, main, need, scratch, test, wait_until

PYTHON = "/usr/bin/python3"

ASYNCIO_ECHO = """
import asyncio
async def serve(r, w):
    while data := await r.read(65536):
        w.write(data)
        await w.drain()
    w.close()
async def go():
    server = await asyncio.start_server(serve, '0.0.0.0', 7)
    print('ready', flush=True)
    await server.serve_forever()
asyncio.run(go())
"""
THREADS_ECHO = """
import socket, threading
def serve(c):
    try:
        while data := c.recv(65536):
            c.sendall(data)
    except ConnectionError:
        pass
    c.close()
s = socket.create_server(('0.0.0.0', 7), backlog=500)
print('ready', flush=True)
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"""


@contextlib.contextmanager
def served(argv, *publish, args=(), ready=None):
    """A keep that runs argv with those ports published; gives the host's ports (chosen by the launcher) and the process."""
    options = [word for p in publish for word in ("-p", p)]
    d = scratch()
    log = open(os.path.join(d, "log"), "w+b")
    p = subprocess.Popen([CELLA, "run", *QUIET, *options, *args, "--", *argv], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                         env=ENVIRONMENT, start_new_session=True)
    text = lambda: open(os.path.join(d, "log"), errors="replace").read()
    try:
        found = lambda: re.findall(r"cella: \S+:(\d+) is port", text())
        wait_until(lambda: p.poll() is not None or len(found()) == len(publish), 10, f"no port was printed: {text()}")
        ports = [int(n) for n in found()]
        if ready:
            wait_until(lambda: p.poll() is not None or ready in text(), 30, f"not ready: {text()}")
        else:
            wait_until(lambda: p.poll() is not None or accepts(ports[0]), 30, f"nobody listens: {text()}")
        expect(p.poll() is None, f"the keep ended: {text()}")
        yield ports, p, text
    finally:
        if p.poll() is None:
            p.kill()
        p.wait()


def accepts(port):
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
        return True
    return False


def echo_server(*publish, program=THREADS_ECHO):
    return served([PYTHON, "-c", program], *publish, ready="ready")


@contextlib.contextmanager
def local_server(handler):
    """An HTTP server of the host's own at its loopback."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


# ---- servers in a keep ----


@test("redis-server in a keep serves native clients")
def redis():
    need("redis-server")
    need("redis-benchmark")
    argv = ["/usr/bin/redis-server", "--port", "6379", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""]
    with served(argv, "0:6379") as (ports, _, _):
        cli = ["redis-cli", "-p", str(ports[0])]
        expect(command([*cli, "set", "k", "v" * 5000]).out == b"OK\n", "SET")
        expect(command([*cli, "get", "k"]).out == b"v" * 5000 + b"\n", "GET")
        r = command(["redis-benchmark", "-p", str(ports[0]), "-t", "get,set,lpush", "-n", "3000", "-c", "50", "-q"], timeout=120)
        expect(r.code == 0 and r.out.count(b"requests per second") == 3, f"{r}")
        expect(command([*cli, "lrange", "mylist", "0", "-1"]).out.count(b"\n") == 3000, "all that was pushed is there")


@test("nginx in a keep serves native clients, small files and large ones")
def nginx():
    need("nginx")
    d = scratch()
    for name, size in (("small", 10240), ("large", 20 << 20)):
        with open(os.path.join(d, name), "wb") as f:
            f.write(os.urandom(size))
    with open(os.path.join(d, "conf"), "w") as f:
        f.write("daemon off; master_process off; pid /tmp/nginx.pid; error_log stderr;\nevents {}\n"
                "http { access_log off; client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;\n"
                f"uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s; server {{ listen 80; root {d}; }} }}\n")
    with served(["/usr/sbin/nginx", "-c", f"{d}/conf"], "0:80", args=["-v", f"{d}:{d}"]) as (ports, _, _):
        for name in ("small", "large"):
            got = command(["curl", "-sS", "-m", "60", f"http://127.0.0.1:{ports[0]}/{name}"], timeout=70)
            with open(os.path.join(d, name), "rb") as f:
                expect(hashlib.sha256(got.out).digest() == hashlib.sha256(f.read()).digest(), f"{name} differs: {got.code} {got.err}")
        expect(command(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"http://127.0.0.1:{ports[0]}/absent"]).out == b"404", "404")


@test("memcached in a keep serves a native client")
def memcached():
    need("memcached")
    with served(["/usr/bin/memcached", "-u", "root", "-l", "0.0.0.0", "-p", "11211", "-U", "0"], "0:11211", args=["--user", "0"]) as (ports, _, _):
        with socket.create_connection(("127.0.0.1", ports[0]), timeout=10) as s:
            f = s.makefile("rwb")
            f.write(b"set a 0 0 5\r\nhello\r\nget a\r\n")
            f.flush()
            expect([f.readline() for _ in range(4)] == [b"STORED\r\n", b"VALUE a 0 5\r\n", b"hello\r\n", b"END\r\n"], "set and get")


@test("an asyncio server in a keep serves native clients")
def asyncio_echo():
    with echo_server("0:7", program=ASYNCIO_ECHO) as (ports, _, _):
        conns = [socket.create_connection(("127.0.0.1", ports[0]), timeout=20) for _ in range(20)]
        for i, c in enumerate(conns):
            c.sendall(b"%d" % i)
        for i, c in enumerate(conns):
            expect(c.recv(10) == b"%d" % i, f"connection {i}")
            c.close()


@test("200 connections at once to a server in a keep, a thread for each")
def many():
    with echo_server("0:7") as (ports, _, _):
        conns = [socket.create_connection(("127.0.0.1", ports[0]), timeout=20) for _ in range(200)]
        for round_ in range(3):
            for i, c in enumerate(conns):
                c.sendall(b"%d-%d" % (round_, i))
            for i, c in enumerate(conns):
                want = b"%d-%d" % (round_, i)
                got = b""
                while len(got) < len(want):
                    got += c.recv(100) or expect(False, f"connection {i} ended")
                expect(got == want, f"connection {i} got {got}")
        for c in conns:
            c.close()


@test("a large transfer both ways arrives whole, also while the reader is slow")
def large():
    size = (4 if QUICK else 48) << 20
    data = os.urandom(1 << 20) * (size >> 20)
    with echo_server("0:7") as (ports, _, _):
        with socket.create_connection(("127.0.0.1", ports[0]), timeout=60) as s:
            def send():
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
            sender = threading.Thread(target=send)
            sender.start()
            time.sleep(0.5)
            digest, got = hashlib.sha256(), 0
            while piece := s.recv(1 << 18):
                digest.update(piece)
                got += len(piece)
            sender.join()
    expect(got == size, f"{got} bytes came back of {size}")
    expect(digest.digest() == hashlib.sha256(data).digest(), "the bytes differ")


@test("a client that goes away in the middle does not disturb the others")
def goes_away():
    with echo_server("0:7") as (ports, _, _):
        for reset in (False, True) * 5:
            s = socket.create_connection(("127.0.0.1", ports[0]), timeout=10)
            s.settimeout(0.3)
            with contextlib.suppress(TimeoutError):
                s.sendall(b"x" * (8 << 20))
            if reset:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            s.close()
        with socket.create_connection(("127.0.0.1", ports[0]), timeout=10) as s:
            s.sendall(b"still there?")
            expect(s.recv(100) == b"still there?", "the server no longer answers")


@test("datagrams reach a published port, and the answers their senders")
def datagrams():
    program = ("import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('0.0.0.0', 53)); print('ready', flush=True)\n"
               "while True:\n d, a = s.recvfrom(65536)\n s.sendto(d[::-1], a)\n")
    with served([PYTHON, "-c", program], "0:53/udp", ready="ready") as (ports, _, _):
        for size in (1, 1400, 9000, 60000):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.settimeout(10)
                data = os.urandom(size)
                s.sendto(data, ("127.0.0.1", ports[0]))
                expect(s.recv(65536) == data[::-1], f"{size} bytes")


# ---- clients in a keep ----


@test("curl in a keep with --net out reaches a granted port of the host, and no other")
def curl_out():
    need("curl")
    d = scratch()
    with open(os.path.join(d, "file"), "wb") as f:
        f.write(os.urandom(3 << 20))
    handler = lambda *a: Quiet(*a, directory=d)
    with local_server(handler) as port:
        ok = keep(["/usr/bin/curl", "-sS", "-m", "20", f"http://10.0.2.2:{port}/file"], args=["--net", "out", "--allow-host", str(port)])
        with open(os.path.join(d, "file"), "rb") as f:
            expect(ok.code == 0 and ok.out == f.read(), f"{ok}")
        for args in ([], ["--net", "none"], ["--net", "out"], ["--net", "out", "--allow-host", str(port ^ 1)]):
            for host in ("127.0.0.1", "10.0.2.2", "[::1]"):
                if host == "10.0.2.2" and args == ["--net", "out"]:
                    continue  # an address like any other
                bad = keep(["/usr/bin/curl", "-sS", "-m", "5", f"http://{host}:{port}/file"], args=args)
                expect(bad.code in (7, 28) and not bad.out, f"{args} {host}: {bad}")
        host = keep(["/usr/bin/curl", "-sS", "-m", "20", f"http://10.0.2.2:{port}/file"], args=["--net", "host"])
        expect(host.code == 0 and len(host.out) == 3 << 20 and b"--net host" in host.err, f"{host}")


@test("git clone over http in a keep with --net out")
def git_clone():
    need("git")
    d = scratch()
    script = ("set -e; git init -q a; cd a; git config user.email a@b; git config user.name a; seq 10000 > f; git add f; git commit -qm one;"
              "cd ..; git clone -q --bare a a.git; cd a.git; git update-server-info")
    made = command(["/bin/sh", "-c", script], cwd=d)
    expect(made.code == 0, f"{made}")
    handler = lambda *a: Quiet(*a, directory=d)
    with local_server(handler) as port:
        got = keep(["/bin/sh", "-c", f"cd /tmp && git clone -q http://10.0.2.2:{port}/a.git && md5sum a/f && git -C a log --oneline | wc -l"],
                   args=["--net", "out", "--allow-host", str(port)], timeout=120)
        want = hashlib.md5("".join(f"{i}\n" for i in range(1, 10001)).encode()).hexdigest()
        expect(got.code == 0 and got.out.split() == [want.encode(), b"a/f", b"1"], f"{got}")


@test("without --net nothing outside is reached, by no kind of socket")
def none():
    program = ("import socket, errno\nfor f, t, a in ((2, 1, '1.1.1.1'), (2, 2, '1.1.1.1'), (10, 1, '2606:4700::1'), (10, 2, '2606:4700::1')):\n"
               " s = socket.socket(f, t); s.settimeout(5)\n"
               " try:\n  s.connect((a, 53)); s.send(b'x'); print('REACHED')\n"
               " except OSError as e: print(errno.errorcode.get(e.errno, e))\n")
    for args in ([], ["-p", "0:99"]):
        r = keep([PYTHON, "-c", program], args=args)
        expect(r.code == 0 and r.out.split() == [b"ENETUNREACH"] * 4, f"{args}: {r}")


# ---- the launcher's part ----


@test("-p that cannot be is one line that says what to do")
def bad_ports():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        taken = s.getsockname()[1]
        for spec, words in ((f"{taken}:80", (f"port {taken} of 127.0.0.1 is in use",)), ("192.0.2.1:0:80", ("192.0.2.1", "not an address of this host")),
                            ("80", ("[ADDR:]HOST:KEEP",)), ("1:2:3:4:5", ("-p",)), ("70000:80", ("65535",)), ("0:0", ("-p",)), ("", ("-p",))):
            expect_error(cella(["run", *QUIET, "-p", spec, "--", "/bin/true"]), 125, *words)
    expect_error(cella(["run", *QUIET, "--net", "maybe", "--", "/bin/true"]), 125, "none, out or host")
    expect_error(cella(["run", *QUIET, "--allow-host", "80", "--", "/bin/true"]), 125, "--net out")


@test("a published port is closed before the program listens, and free again when the launcher is killed")
def port_life():
    with served(["/bin/sh", "-c", "echo up; sleep 60"], "0:80", ready="up") as (ports, p, _):
        expect(not accepts(ports[0]), "the port is open though nobody listens")
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", ports[0]))
                expect(False, "another program could take the port")
            except OSError:
                pass
    with echo_server("0:7") as (ports, p, _):
        c = socket.create_connection(("127.0.0.1", ports[0]), timeout=5)
        os.kill(p.pid, signal.SIGKILL)
        p.wait()
        with contextlib.suppress(ConnectionError):
            expect(c.recv(10) == b"", "the connection outlives the launcher")
        c.close()
        again = keep(["/bin/true"], args=["-p", f"{ports[0]}:7"])
        expect(again.code == 0, f"the port is not free: {again}")


if __name__ == "__main__":
    main()
