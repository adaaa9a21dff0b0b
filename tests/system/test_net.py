# SPDX-License-Identifier: Apache-2.0
"""The network: servers in a keep reached by native clients through -p, clients in a keep with --net, and what must not work."""

import contextlib
import hashlib
import http.server
import os
import random
import re
import resource
import signal
import socket
import subprocess
import threading
import time

from common import (CELLA, ENVIRONMENT, QUICK, QUIET, SOURCES, Skip, add, cella, command, compare, equal, expect, expect_error, keep, main, native, need, scratch, test,
                    wait_until)
from net_peer import peer

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


# ---- both ----


@test("nginx with reuseport: all workers serve the published port, and go on without one of them")
def nginx_reuseport():
    need("nginx")
    d = scratch()
    with open(os.path.join(d, "conf"), "w") as f:
        f.write("daemon off; worker_processes 3; user root; pid /tmp/nginx.pid; error_log stderr;\nevents {}\n"
                "http { access_log off; client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;\n"
                "uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s; server { listen 80 reuseport; return 200 $pid; } }\n")
    with served(["/usr/sbin/nginx", "-c", f"{d}/conf"], "0:80", args=["-v", f"{d}:{d}", "--user", "0"]) as (ports, _, _):
        def ask():
            with socket.create_connection(("127.0.0.1", ports[0]), timeout=10) as s:
                s.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return s.makefile("rb").read().rpartition(b"\r\n\r\n")[2]
        pids = {ask() for _ in range(150)}
        expect(len(pids) == 3 and all(p.isdigit() for p in pids), f"answers came from {pids}")


REUSEPORT_ECHO = """
import os, signal, socket, sys
parent = os.getpid()
for i in range(3):
    if os.fork() == 0:
        s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        s.bind(('0.0.0.0', 7)); s.listen(100)
        print('ready', i, flush=True)
        while True:
            c, _ = s.accept()
            what = c.recv(10)
            c.sendall(b'%d' % os.getpid())
            c.close()
            if what == b'quit': os._exit(0)
while True: os.wait()
"""


@test("processes that share a published port by SO_REUSEPORT may come and go")
def reuseport():
    with served([PYTHON, "-c", REUSEPORT_ECHO], "0:7", ready="ready 2") as (ports, _, text):
        wait_until(lambda: text().count("ready") == 3, 10, "not all listen")
        def ask(what=b"who"):
            with socket.create_connection(("127.0.0.1", ports[0]), timeout=10) as s:
                s.sendall(what)
                return s.recv(100)
        expect(len({ask() for _ in range(100)}) == 3, "not all serve")
        # The first of them has bound the port at the host, whichever it is: two go.
        for left in (2, 1):
            ask(b"quit")
            time.sleep(0.2)
            expect(len({ask() for _ in range(100)}) == left, f"not {left} serve")


@test("an address of IPv6 in brackets is published")
def ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        raise Skip("this machine has no IPv6") from None
    program = THREADS_ECHO.replace("create_server(('0.0.0.0', 7)", "create_server(('::', 7), family=socket.AF_INET6, dualstack_ipv6=True")
    for text in (program, THREADS_ECHO):
        with echo_server("[::1]:0:7", program=text) as (ports, _, _), socket.create_connection(("::1", ports[0]), timeout=10) as s:
            s.sendall(b"six")
            expect(s.recv(10) == b"six", "no echo")


SENDS_MUCH = """
import socket
s = socket.create_server(('0.0.0.0', 7)); print('ready', flush=True)
block = bytes(range(256)) * 4096
while True:
    c, _ = s.accept()
    try:
        for _ in range(100): c.sendall(block)
    except OSError: pass
    c.close()
"""


@test("a slow reader holds up the sender of 100 MB, which costs no memory, and gets all")
def slow_reader():
    with served([PYTHON, "-c", SENDS_MUCH], "0:7", ready="ready", args=["--memory", "128M"]) as (ports, p, _):
        with socket.create_connection(("127.0.0.1", ports[0]), timeout=30) as s:
            digest, got = hashlib.sha256(), 0
            time.sleep(1)
            while got < 20 << 20:
                piece = s.recv(1 << 18)
                digest.update(piece)
                got += len(piece)
                time.sleep(0.01)
            def rss(pid):
                with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="ascii") as f:
                    return int((re.search(r"RssAnon:\s+(\d+)", f.read()) or [0, 0])[1])
                return 0
            expect(rss(p.pid) < 40 << 10, f"the launcher holds {rss(p.pid)} KiB")
            while piece := s.recv(1 << 18):
                digest.update(piece)
                got += len(piece)
            want = hashlib.sha256(bytes(range(256)) * 4096 * 100).digest()
            expect(got == 100 << 20 and digest.digest() == want, f"{got} bytes")


def sockets_of(pid):
    """How many sockets a process of the host has open."""
    count = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            count += os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:")
    return count


EPOLL_ECHO = """
import selectors, socket, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
s = socket.create_server(('0.0.0.0', 7), backlog=1000); s.setblocking(False)
sel = selectors.DefaultSelector(); sel.register(s, selectors.EVENT_READ)
print('ready', flush=True)
while True:
    for key, _ in sel.select():
        if key.fileobj is s:
            c, _ = s.accept(); c.setblocking(False); sel.register(c, selectors.EVENT_READ)
        else:
            data = key.fileobj.recv(1000)
            if data: key.fileobj.send(data)
            else: sel.unregister(key.fileobj); key.fileobj.close()
"""


@test("idle connections by the thousand, and each is alive")
def idle():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 3000:
        raise Skip(f"no more than {hard} descriptors on this machine")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 3000), hard))
    count = 300 if QUICK else 2000
    with served([PYTHON, "-c", EPOLL_ECHO], "0:7", ready="ready") as (ports, p, _):
        before = sockets_of(p.pid)
        conns = [socket.create_connection(("127.0.0.1", ports[0]), timeout=30) for _ in range(count)]
        for i, c in enumerate(conns):
            c.sendall(b"%d" % i)
        for i, c in enumerate(conns):
            expect(c.recv(10) == b"%d" % i, f"connection {i}")
        expect(sockets_of(p.pid) >= before + count, f"the launcher has only {sockets_of(p.pid)} sockets")
        for c in conns:
            c.close()
        wait_until(lambda: sockets_of(p.pid) <= before, 20, "sockets of closed connections stay")


@test("servers and clients inside one keep, which the host cannot see")
def inside():
    need("redis-server")
    script = ("redis-server --port 6399 --bind 127.0.0.1 --save '' >/dev/null & r=$!; for i in $(seq 100); do redis-cli -p 6399 ping 2>/dev/null | grep -q PONG && break; "
              "sleep 0.1; done; redis-cli -p 6399 set k v; redis-cli -p 6399 get k; python3 -m http.server -d /etc 6398 --bind 127.0.0.1 >/dev/null 2>&1 & "
              "for i in $(seq 100); do curl -s -o /dev/null http://localhost:6398/ && break; sleep 0.1; done; curl -sS http://localhost:6398/hostname | wc -c; "
              "echo up; read line; kill $r")
    with subprocess.Popen([CELLA, "run", *QUIET, "--", "/bin/sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=ENVIRONMENT) as p:
        lines = [p.stdout.readline().strip() for _ in range(4)]
        seen = "".join(open(f"/proc/net/{f}", encoding="ascii").read() for f in ("tcp", "tcp6") if os.path.exists(f"/proc/net/{f}"))
        refused = not accepts(6399) and not accepts(6398)
        p.communicate(b"\n", timeout=20)
    expect(lines[:2] == [b"OK", b"v"] and int(lines[2]) > 0 and lines[3] == b"up", f"{lines}")
    expect(refused and f":{6399:04X} " not in seen and f":{6398:04X} " not in seen, "the host sees the keep's ports")


@test("getaddrinfo asks the servers of the keep's resolv.conf")
def resolver():
    program = ("import socket\n"
               "def t(*a, **k):\n"
               " try: return sorted({x[4][0] for x in socket.getaddrinfo(*a, **k)})\n"
               " except OSError as e: return e.args[0]\n"
               "print(t('localhost', 80), t('10.1.2.3', 80, flags=socket.AI_ADDRCONFIG), t('localhost', 80, flags=socket.AI_ADDRCONFIG))")
    compare([PYTHON, "-c", program], args=["--net", "out"])
    # An answer comes from the only server that resolv.conf names, at the host's port 53: nobody, or somebody.
    d = scratch()
    with open(os.path.join(d, "resolv.conf"), "w") as f:
        f.write("nameserver 10.0.2.2\noptions timeout:1 attempts:1\n")
    r = keep([PYTHON, "-c", "import socket\ntry: socket.getaddrinfo('example.invalid', 80)\nexcept socket.gaierror as e: print('gaierror')"],
             args=["--net", "out", "-v", f"{d}/resolv.conf:/etc/resolv.conf"], timeout=30)
    expect(r.code == 0 and r.out == b"gaierror\n", f"{r}")


def client(case, mode="out"):
    program = os.path.join(SOURCES, "net_client.py")
    env = ["SIZE_MB=4"] if QUICK else []
    with peer() as (tcp, closed, udp):
        ports = [str(n) for n in (tcp, closed, udp)]
        theirs = native([PYTHON, program, "127.0.0.1", *ports, case], env=env, timeout=120)
        grants = [word for p in (tcp, closed, f"{closed}/udp", f"{udp}/udp") for word in ("--allow-host", str(p))]
        mine = keep([PYTHON, program, "10.0.2.2", *ports, case], args=["--net", mode, *(grants if mode == "out" else [])], env=env, timeout=120)
        expect(theirs.code == 0, f"natively: {theirs}")
        equal(mine, theirs)


for case, title in (("large", "large transfers"), ("half_close", "ends of streams"), ("errors", "refusals, resets and timeouts"), ("many", "200 connections at once"),
                    ("names", "own and other addresses"), ("udp", "datagrams")):
    add(f"a client in a keep sees of a server at the host what a native one sees: {title}", client, case)
add("a client in a keep with --net host may choose the port that it comes from", client, "bound", "host")


# What storms leave behind: nothing.
STORM = """
import os, random, socket, struct, sys, threading, time
seconds, host, port = float(sys.argv[1]), sys.argv[2], int(sys.argv[3])
end = time.monotonic() + seconds
inner = socket.create_server(('127.0.0.1', 0), backlog=50)
def serve(l):
    while True:
        try: c, _ = l.accept()
        except OSError: return
        try:
            c.settimeout(2)
            for _ in range(random.randrange(4)): c.sendall(c.recv(random.randrange(1, 30000)))
            if random.random() < .3: c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            if random.random() < .3: c.shutdown(random.randrange(3))
        except OSError: pass
        c.close()
def connect(seed):
    random.seed(seed)
    while time.monotonic() < end:
        s = socket.socket(); s.settimeout(2)
        try:
            if random.random() < .1: s.setblocking(False)
            s.connect((host, port) if random.random() < .5 and port else inner.getsockname())
            if random.random() < .5: s.sendall(random.choice((b'echo\\n', b'reset\\n', b'eof\\n', b'sink\\n')) + b'x' * random.randrange(60000))
            if random.random() < .5: s.recv(random.randrange(1, 50000))
            if random.random() < .3: s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            if random.random() < .3: s.shutdown(random.randrange(3))
        except OSError: pass
        s.close()
outer = socket.create_server(('0.0.0.0', 7), backlog=50)
for l in (inner, outer): threading.Thread(target=serve, args=(l,), daemon=True).start()
print('ready', flush=True)
pids = []
for i in range(4):
    pid = os.fork()
    if not pid:
        try: connect(i)
        finally: os._exit(0)
    pids.append(pid)
for pid in pids: os.waitpid(pid, 0)
for l in (inner, outer):
    l.shutdown(socket.SHUT_RDWR); l.close()
def left():
    return [l.split()[3] for f in ('tcp', 'tcp6') for l in open('/proc/net/' + f).readlines()[1:] if l.split()[3] != '0A']
t = time.monotonic() + 10
while left() and time.monotonic() < t: time.sleep(.1)
print('left', len(left()), flush=True)
time.sleep(60)
"""


@test("storms of connections from all sides leave no socket behind, inside or at the host")
def storm():
    seconds = 3 if QUICK else 20
    with peer() as (tcp, _, _):
        args = ["--cpus", "2", "--net", "out", "--allow-host", str(tcp)]
        with served([PYTHON, "-c", STORM, str(seconds), "10.0.2.2", str(tcp)], "0:7", args=args, ready="ready") as (ports, p, text):
            before = sockets_of(p.pid)
            def attack(seed):
                rnd = random.Random(seed)
                while "left" not in text() and p.poll() is None:
                    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", ports[0]), timeout=2) as s:
                        s.sendall(b"x" * rnd.randrange(1, 60000))
                        if rnd.random() < .5:
                            s.recv(rnd.randrange(1, 50000))
                        if rnd.random() < .3:
                            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            threads = [threading.Thread(target=attack, args=(i,)) for i in range(3)]
            for t in threads:
                t.start()
            for t in threads:
                t.join(seconds + 60)
            wait_until(lambda: "left" in text(), 60, f"no end: {text()}")
            expect("left 0" in text(), f"sockets stay in the keep: {text()[-200:]}")
            wait_until(lambda: sockets_of(p.pid) <= before, 20, f"the launcher has more than {before} sockets")


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
