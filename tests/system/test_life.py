# SPDX-License-Identifier: Apache-2.0
"""The life of keeps with names: run -d, ps, logs, exec, stop, wait, rm, prune; what a crash, a full disk or another user leaves."""

import contextlib
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

from common import (CELLA, ENVIRONMENT, QUIET, ROOT, Failure, Skip, add, command, expect, expect_error, main, need, scratch, short, test, wait_until)

NOBODY = 65534


class Place:
    """A state directory of its own; all that still runs in it is ended at the exit."""

    def __init__(self, runtime=None):
        self.runtime = runtime or scratch(0o700)
        self.env = {**ENVIRONMENT, "XDG_RUNTIME_DIR": self.runtime}
        self.preexec = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        names = [k["name"] for k in self.ps("-a")]
        if names:
            self.cella("rm", "-f", *names)

    def cella(self, *args, **how):
        return command([CELLA, *args], **{"env": self.env, "preexec": self.preexec, **how})

    def start(self, name, *argv, options=()):
        """Starts a keep in the background."""
        out = self.cella("run", *QUIET, "-d", "--name", name, *options, "--", *argv)
        expect(out.code == 0 and out.out == name.encode() + b"\n" and out.err == b"", f"run -d: {out!r}")

    def ps(self, *args):
        out = self.cella("ps", "--json", *args)
        expect(out.code == 0, f"ps: {out!r}")
        return json.loads(out.out)

    def keep(self, name):
        return next((k for k in self.ps("-a") if k["name"] == name), None)

    def status(self, name):
        found = self.keep(name)
        return found["status"] if found else None

    def wait_for(self, name, status):
        wait_until(lambda: self.status(name) == status, 20, f"{name} does not become {status}")

    def logs(self, name, *args):
        out = self.cella("logs", *args, name)
        expect(out.code == 0, f"logs: {out!r}")
        return out.out

    def directory(self):
        return os.path.join(self.runtime, "cella")

    def left(self):
        """What is in the state directory, but for its lock."""
        return sorted(n for n in os.listdir(self.directory()) if n != ".lock") if os.path.isdir(self.directory()) else []

    def wait_log(self, name, text):
        wait_until(lambda: text in self.logs(name), 20, f"the log of {name} never has {text!r}")


def place_test(name):
    def mark(fn):
        def run():
            with Place() as place:
                fn(place)
        add(name, run)
        return fn
    return mark


# ---- run -d, ps, logs, wait ----

@place_test("a keep in the background runs, is listed, logs, and ends with its code")
def background(place):
    place.start("web", "/bin/sh", "-c", "echo out; echo err >&2; sleep 1; exit 7")
    found = place.keep("web")
    expect(found["status"] == "running" and found["detached"] and found["pid"] > 0, f"ps: {found}")
    expect(found["command"].startswith("/bin/sh -c echo out"), f"ps: {found}")
    text = place.cella("ps").out.decode()
    expect(re.search(r"^web +running +\d+ ", text, re.M), f"ps: {text!r}")
    expect(place.cella("wait", "web").code == 7, "wait gives another code")
    found = place.keep("web")
    expect(found["status"] == "ended" and found["exit_code"] == 7, f"ps -a: {found}")
    expect(place.ps() == [], "ps lists an ended keep")
    expect(b"ended (7)" in place.cella("ps", "-a").out, "ps -a does not show the code")
    expect(place.logs("web") == b"out\nerr\n", f"logs: {place.logs('web')!r}")


@place_test("a keep without a name gets one, printed on stdout")
def generated(place):
    out = place.cella("run", *QUIET, "-d", "--", "/bin/sleep", "100")
    expect(out.code == 0 and re.fullmatch(rb"[a-z]+-[a-z]+\n", out.out), f"run -d: {out!r}")
    expect(place.status(out.out.decode().strip()) == "running", "it is not listed")


@place_test("ps shows the published ports, with the port that was chosen for 0")
def published_ports(place):
    out = place.cella("run", *QUIET, "-d", "--name", "p", "-p", "0:80", "--", "/bin/sleep", "60")
    expect(out.code == 0, f"run -d: {out!r}")
    ports = place.keep("p")["ports"]
    expect(re.fullmatch(r"127\.0\.0\.1:[1-9]\d+:80", ports), f"ports {ports}")
    expect(ports.encode() in place.cella("ps").out, "the table does not show them")


@place_test("standard input of a keep in the background is empty, its output pipes")
def streams(place):
    place.start("s", "/bin/sh", "-c", "cat; for i in 0 1 2; do readlink /proc/self/fd/$i; done")
    place.wait_for("s", "ended")
    lines = place.logs("s").decode().split()
    expect(len(lines) == 3 and lines[1].startswith("pipe:") and lines[2].startswith("pipe:"), f"streams: {lines}")


@place_test("the launcher holds none of its caller's streams")
def let_go(place):
    # Comes back although the keep runs: else communicate() would wait for the end of the pipes.
    begin = time.monotonic()
    place.start("s", "/bin/sleep", "100")
    expect(time.monotonic() - begin < 30 and place.status("s") == "running", "run -d waited for the keep")


@place_test("errors before the start are the caller's, and leave nothing")
def start_errors(place):
    expect_error(place.cella("run", *QUIET, "-d", "--name", "x", "--", "/no/such/program"), 127, "/no/such/program")
    expect_error(place.cella("run", *QUIET, "-d", "--name", "x", "--", "/etc/passwd"), 126, "/etc/passwd")
    expect_error(place.cella("run", *QUIET, "-d", "--name", "x", "--workdir", "/no/such", "--", "/bin/true"), 125, "/no/such")
    expect_error(place.cella("run", *QUIET, "-d", "--name", "x", "-v", "/no/such:/data", "--", "/bin/true"), 125, "/no/such")
    expect(place.left() == [], f"left behind: {place.left()}")


@place_test("a program that ends at once has run")
def fast(place):
    for code in (0, 127):
        out = place.cella("run", *QUIET, "-d", "--name", f"f{code}", "--", "/bin/sh", "-c", f"exit {code}")
        expect(out.code == 0, f"run -d: {out!r}")
        expect(place.cella("wait", f"f{code}").code == code, "another code")


@place_test("a keep in the foreground can have a name, and leaves nothing")
def foreground(place):
    p = subprocess.Popen([CELLA, "run", *QUIET, "--name", "front", "--", "/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=place.env)
    try:
        place.wait_for("front", "running")
        expect_error(place.cella("logs", "front"), 125, "foreground")
        wait_until(lambda: place.cella("exec", "front", "/bin/true").code == 0, 20, "exec into it fails")
    finally:
        out, _ = p.communicate(b"hello", 20)
    expect(p.returncode == 0 and out == b"hello", f"code {p.returncode}, {out!r}")
    expect(place.left() == [], f"left behind: {place.left()}")


# ---- wrong arguments ----

BAD = [
    (["run", *QUIET, "-d", "--name", "Upper", "--", "/bin/true"], ["Upper", "a-z"]),
    (["run", *QUIET, "-d", "--name", "../up", "--", "/bin/true"], ["../up"]),
    (["run", *QUIET, "-d", "--name", ".lock", "--", "/bin/true"], [".lock"]),
    (["run", *QUIET, "-d", "--name", "", "--", "/bin/true"], ["name"]),
    (["run", *QUIET, "-d", "--name", "a" * 64, "--", "/bin/true"], ["1 to 63"]),
    (["run", *QUIET, "--log-max", "1M", "--", "/bin/true"], ["--log-max", "-d"]),
    (["run", *QUIET, "-d", "--log-max", "1K", "--", "/bin/true"], ["--log-max", "64K"]),
    (["run", *QUIET, "-d", "--log-max", "x", "--", "/bin/true"], ["--log-max"]),
    (["run", *QUIET, "-d", "--log-format", "xml", "--", "/bin/true"], ["--log-format", "json"]),
    (["run", *QUIET, "-d", "-t", "--", "/bin/true"], ["-t", "terminal"]),
    (["ps", "--nonsense"], ["--nonsense", "cella help ps"]),
    (["ps", "name"], ["name"]),
    (["logs"], ["cella ps -a"]),
    (["logs", "nosuch"], ["nosuch", "cella ps -a"]),
    (["logs", "--tail", "x", "nosuch"], ["--tail"]),
    (["logs", "../.."], ["../.."]),
    (["stop"], ["no keep"]),
    (["stop", "nosuch"], ["nosuch"]),
    (["stop", "--time", "-1", "nosuch"], ["--time"]),
    (["rm"], ["no keep"]),
    (["rm", "nosuch"], ["nosuch"]),
    (["rm", "-f", "nosuch"], ["nosuch"]),
    (["rm", "-x", "nosuch"], ["-x", "cella help rm"]),
    (["prune", "nosuch"], ["cella rm"]),
    (["wait"], ["cella ps -a"]),
    (["wait", "nosuch"], ["nosuch"]),
    (["exec"], ["no keep"]),
    (["exec", "nosuch"], ["no program"]),
    (["exec", "nosuch", "/bin/true"], ["nosuch"]),
    (["exec", "-e", "x", "nosuch", "/bin/true"], ["-e"]),
    (["exec", "--user", "me", "nosuch", "/bin/true"], ["--user"]),
    (["exec", "--workdir", "tmp", "nosuch", "/bin/true"], ["--workdir"]),
    (["exec", "-t", "nosuch", "/bin/true"], ["-t", "terminal"]),
    (["exec", "nosuch", "/bin/echo", "x" * 70000, "x" * 70000], ["longer than"]),
]


@place_test("wrong arguments give one line that says what to do")
def wrong_arguments(place):
    for args, words in BAD:
        try:
            expect_error(place.cella(*args), 125, *words)
        except Failure as e:
            raise Failure(f"{' '.join(args)[:80]}: {e}") from e
    expect(place.left() == [], f"left behind: {place.left()}")


@place_test("every verb has its help, and help lists them all")
def helps(place):
    listed = place.cella("help").out.decode()
    for verb in ("run", "ps", "logs", "exec", "stop", "wait", "rm", "prune", "info", "help"):
        expect(re.search(rf"^  {verb} ", listed, re.M), f"help does not list {verb}")
        out = place.cella("help", verb)
        expect(out.code == 0 and out.out.startswith(f"usage: cella {verb}".encode()), f"help {verb}: {out!r}")
        if verb != "help":
            expect(place.cella(verb, "--help").code in (0, 125), f"{verb} --help")


# ---- names ----

@place_test("a taken name is refused in one line")
def name_taken(place):
    place.start("x", "/bin/sleep", "100")
    expect_error(place.cella("run", *QUIET, "-d", "--name", "x", "--", "/bin/true"), 125, "'x'", "cella rm", "choose another")
    expect_error(place.cella("rm", "x"), 125, "running", "cella stop x")
    expect(place.cella("stop", "x").code == 0, "stop fails")
    expect_error(place.cella("run", *QUIET, "--name", "x", "--", "/bin/true"), 125, "'x'", "cella rm x", "choose another")
    expect(place.cella("rm", "x").code == 0, "rm fails")
    place.start("x", "/bin/sleep", "100")


@place_test("of two runs with one name at the same time one wins")
def two_at_once(place):
    for i in range(5):
        found = []
        def run():
            found.append(place.cella("run", *QUIET, "-d", "--name", f"n{i}", "--", "/bin/sleep", "100"))
        threads = [threading.Thread(target=run) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        won = [o for o in found if o.code == 0]
        expect(len(won) == 1, f"{len(won)} won: {found!r}")
        for o in found:
            expect(o.code == 0 or (o.code == 125 and b"taken" in o.err), f"a loser: {o!r}")
        place.cella("rm", "-f", f"n{i}")


# ---- exec ----

@place_test("exec passes streams, exit code, environment, directory and user")
def exec_basics(place):
    place.start("x", "/bin/sleep", "100", options=["-e", "A=1", "-e", "B=2", "--workdir", "/usr"])
    out = place.cella("exec", "-e", "B=3", "x", "/bin/sh", "-c", "cat; echo $A$B$PWD$HOME; echo err >&2; exit 9", stdin=b"in ")
    expect(out.code == 9 and out.err == b"err\n", f"{out!r}")
    expect(out.out == f"in 13/usr{ENVIRONMENT['HOME']}\n".encode(), f"{out!r}")
    out = place.cella("exec", "--user", "12:34", "--workdir", "/tmp", "x", "--", "sh", "-c", "id -u; id -g; id -G; pwd; grep CapEff /proc/self/status")
    expect(out.out == b"12\n34\n34\n/tmp\nCapEff:\t0000000000000000\n", f"{out!r}")
    out = place.cella("exec", "x", "sh", "-c", "kill -TERM $$")
    expect(out.code == 128 + signal.SIGTERM, f"{out!r}")
    out = place.cella("exec", "x", "sh", "-c", "echo $PPID; ps -o sid= -p $$ | tr -d ' '; echo $$; ls -1 /proc/self/fd | wc -l")
    parent, sid, pid, _ = out.out.split()
    expect(parent == b"0" and sid == pid, f"{out!r}")
    big = os.urandom(3 << 20)
    out = place.cella("exec", "x", "cat", stdin=big)
    expect(out.code == 0 and out.out == big, f"3 MiB through exec: code {out.code}, {len(out.out)} bytes")


@place_test("exec of what does not start says so, and the keep goes on")
def exec_missing(place):
    place.start("x", "/bin/sleep", "100")
    expect_error(place.cella("exec", "x", "/no/such"), 127, "/no/such")
    expect_error(place.cella("exec", "x", "nosuch"), 127, "nosuch")
    expect_error(place.cella("exec", "x", "/etc/passwd"), 126, "/etc/passwd")
    expect_error(place.cella("exec", "--workdir", "/no/such", "x", "/bin/true"), 125, "/no/such")
    expect(place.status("x") == "running", "the keep has ended")
    expect(place.cella("exec", "x", "/bin/true").code == 0, "exec fails afterwards")


@place_test("exec into an ended keep fails with a line")
def exec_ended(place):
    place.start("x", "/bin/true")
    place.wait_for("x", "ended")
    expect_error(place.cella("exec", "x", "/bin/true"), 125, "ended", "cella logs x")


@place_test("20 programs at once in a keep")
def exec_many(place):
    place.start("x", "/bin/sleep", "100")
    found = {}
    def run(i):
        found[i] = place.cella("exec", "x", "/bin/sh", "-c", f"cat; echo {i}; sleep 0.5; exit {i}", stdin=b"%d:" % i)
    threads = [threading.Thread(target=run, args=(i,)) for i in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for i, o in found.items():
        expect(o.code == i and o.out == b"%d:%d\n" % (i, i), f"{i}: {o!r}")


@place_test("exec passes signals to the program's group")
def exec_signals(place):
    place.start("x", "/bin/sleep", "100")
    for sig in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        p = subprocess.Popen([CELLA, "exec", "x", "/bin/sh", "-c", "trap 'echo caught; exit 3' HUP INT TERM; echo ready; sleep 100 & wait"],
                             env=place.env, stdout=subprocess.PIPE)
        expect(p.stdout.readline() == b"ready\n", "it does not start")
        p.send_signal(sig)
        out, _ = p.communicate(timeout=20)
        expect(p.returncode == 3 and out == b"caught\n", f"signal {sig}: code {p.returncode}, {out!r}")


@place_test("a client of exec that is killed takes its program along")
def exec_hangup(place):
    place.start("x", "/bin/sleep", "100")
    p = subprocess.Popen([CELLA, "exec", "x", "/bin/sh", "-c", "echo ready; sleep 54321"], env=place.env, stdout=subprocess.PIPE)
    expect(p.stdout.readline() == b"ready\n", "it does not start")
    p.kill()
    p.communicate()
    wait_until(lambda: b"54321" not in place.cella("exec", "x", "ps", "-ef").out.replace(b"ps -ef", b""), 20, "the program goes on")


@place_test("the end of the keep ends the programs of exec")
def exec_keep_ends(place):
    place.start("x", "/bin/sleep", "100")
    p = subprocess.Popen([CELLA, "exec", "x", "/bin/sh", "-c", "echo ready; sleep 100"], env=place.env, stdout=subprocess.PIPE)
    expect(p.stdout.readline() == b"ready\n", "it does not start")
    expect(place.cella("stop", "x").code == 0, "stop fails")
    p.communicate(timeout=20)
    expect(p.returncode == 128 + signal.SIGKILL, f"code {p.returncode}")


@place_test("a slow reader of exec holds up nobody else")
def exec_slow(place):
    place.start("x", "/bin/sleep", "100")
    p = subprocess.Popen([CELLA, "exec", "x", "/bin/sh", "-c", "head -c 1000000 /dev/zero"], env=place.env, stdout=subprocess.PIPE)
    try:
        out = place.cella("exec", "x", "echo", "through")
        expect(out.out == b"through\n", f"{out!r}")
    finally:
        out, _ = p.communicate(timeout=20)
    expect(len(out) == 1000000 and p.returncode == 0, f"{len(out)} bytes, code {p.returncode}")


def hostile_packet(place, payload, fds=()):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.settimeout(10)
        s.connect(os.path.join(place.directory(), "x", "control"))
        socket.send_fds(s, [payload], list(fds)) if fds else s.send(payload)
        with contextlib.suppress(ConnectionError, TimeoutError):
            return s.recv(100)
    return b""


@place_test("nonsense on the control socket is refused, and the keep goes on")
def control_nonsense(place):
    place.start("x", "/bin/sleep", "100")
    null = os.open("/dev/zero", os.O_RDWR)
    pid = place.keep("x")["pid"]
    def held():
        names = [os.readlink(f"/proc/{pid}/fd/{f}") for f in os.listdir(f"/proc/{pid}/fd")] if os.getuid() == 0 else []
        return names.count("/dev/zero"), sum(n.startswith("socket:") for n in names)
    before = held()
    def exec_packet(size=None, flags=0, nargs=1, nenv=0, sig=0, strings=b"\0/bin/true\0"):
        import struct
        h = struct.pack("<12I", 48 + len(strings) if size is None else size, flags, nargs, nenv, 0xffffffff, 0xffffffff, 0o10600, 0o10600, 0o10600, 0, sig, 0)
        return struct.pack("<II", 1, 0) + h + strings
    good = hostile_packet(place, exec_packet(), (null, null, null))
    expect(good[:8] == b"\x02\0\0\0\0\0\0\0", f"a good packet: {good!r}")
    for name, packet, fds in (
            ("no streams", exec_packet(), ()), ("two streams", exec_packet(), (null, null)),
            ("a wrong size", exec_packet(size=4000), (null,) * 3), ("unknown flags", exec_packet(flags=0xff), (null,) * 3),
            ("a signal", exec_packet(flags=2, sig=9), (null,) * 3), ("no arguments", exec_packet(nargs=0), (null,) * 3),
            ("too many arguments", exec_packet(nargs=0xffffffff), (null,) * 3), ("an open string", exec_packet(strings=b"\0/bin/true"), (null,) * 3),
            ("a short header", exec_packet()[:30], (null,) * 3)):
        answer = hostile_packet(place, packet, fds)
        expect(answer[:4] == b"\x03\0\0\0", f"{name}: {answer!r}")
    for packet in (b"x", b"\xff" * 8, b"\xff" * 100000, b"\x02\0\0\0\x0b\0\0\0"):
        hostile_packet(place, packet)
    hostile_packet(place, b"x", (null,) * 10)
    os.close(null)
    wait_until(lambda: held() == before, 10, f"the launcher keeps what was passed: {held()} instead of {before}")
    expect(place.cella("exec", "x", "/bin/true").code == 0, "exec fails afterwards")


@place_test("exec -t gives the program a terminal, of the caller's size, that works and is put back")
def exec_terminal(place):
    import fcntl
    import struct
    import termios
    place.start("x", "/bin/sleep", "100")
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    before = termios.tcgetattr(slave)
    p = subprocess.Popen([CELLA, "exec", "-it", "x", "/bin/sh", "-c", "tty; stty size; trap 'stty size' WINCH; read a; echo got $a; stty -g >/dev/null; read b; sleep 100"],
                         env=place.env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    seen = b""
    def until(text):
        nonlocal seen
        end = time.monotonic() + 20
        while text not in seen:
            if time.monotonic() > end or not select.select([master], [], [], 1)[0] and p.poll() is not None:
                raise Failure(f"never {text!r}: {seen!r}")
            if select.select([master], [], [], 0)[0]:
                seen += os.read(master, 4096)
    until(b"33 77")
    expect(b"/dev/" in seen, f"{seen!r}")
    os.write(master, b"hello\r")
    until(b"got hello")
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 44, 88, 0, 0))
    p.send_signal(signal.SIGWINCH)
    until(b"44 88")
    os.write(master, b"\x03")
    expect(p.wait(20) == 128 + signal.SIGINT, f"Ctrl-C: code {p.returncode}")
    expect(termios.tcgetattr(slave) == before, "the terminal is not put back")
    os.close(master)
    os.close(slave)


# ---- stop, rm, prune ----

@place_test("stop sends TERM, and KILL to a program that ignores it")
def stop(place):
    place.start("nice", "/bin/sh", "-c", "trap 'echo bye; exit 3' TERM; echo ready; sleep 100 & wait")
    place.start("deaf", "/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")
    place.wait_log("nice", b"ready")
    place.wait_log("deaf", b"ready")
    out = place.cella("stop", "--time", "1", "nice", "deaf")
    expect(out.code == 0 and out.out == b"" and out.err == b"", f"stop: {out!r}")
    expect(place.keep("nice")["exit_code"] == 3 and place.keep("deaf")["exit_code"] == 137, f"{place.ps('-a')}")
    expect(place.logs("nice") == b"ready\nbye\n", "the last words are lost")
    expect(place.cella("stop", "nice").code == 0, "stop of an ended keep")


@place_test("rm -f and prune remove")
def remove(place):
    for name in ("a", "b", "c"):
        place.start(name, "/bin/sleep", "100")
    expect(place.cella("rm", "-f", "a").code == 0 and place.left() == ["b", "c"], f"rm -f: {place.left()}")
    place.cella("stop", "b")
    out = place.cella("prune")
    expect(out.code == 0 and out.out == b"b\n" and place.left() == ["c"], f"prune: {out!r}")
    out = place.cella("rm", "-f", "nosuch", "c")
    expect(out.code == 125 and b"nosuch" in out.err and place.left() == [], f"rm of one missing and one there: {out!r}")


@place_test("a launcher that stands still is ended all the same")
def stopped_launcher(place):
    place.start("x", "/bin/sleep", "100")
    os.kill(place.keep("x")["pid"], signal.SIGSTOP)
    out = place.cella("stop", "--time", "0", "x", timeout=30)
    expect(out.code == 0 and place.status("x") == "lost", f"{out!r}, {place.status('x')}")


@place_test("a killed launcher is recognised, and the name can be used again")
def crash(place):
    place.start("x", "/bin/sh", "-c", "echo here; sleep 100")
    place.wait_log("x", b"here")
    os.kill(place.keep("x")["pid"], signal.SIGKILL)
    place.wait_for("x", "lost")
    expect(place.ps() == [], "ps lists it as running")
    expect_error(place.cella("exec", "x", "/bin/true"), 125, "ended")
    expect_error(place.cella("wait", "x"), 125, "killed")
    expect(place.logs("x") == b"here\n", "its log is lost")
    expect_error(place.cella("run", *QUIET, "-d", "--name", "x", "--", "/bin/true"), 125, "cella rm x")
    expect(place.cella("rm", "x").code == 0, "rm fails")
    place.start("x", "/bin/sleep", "100")


@place_test("a killed launcher in the foreground leaves a name that is free")
def crash_foreground(place):
    p = subprocess.Popen([CELLA, "run", *QUIET, "--name", "x", "--", "/bin/sleep", "100"], env=place.env)
    place.wait_for("x", "running")
    p.kill()
    p.wait()
    # The lock is the launcher's, and for a moment also the process's that it was just starting.
    wait_until(lambda: place.status("x") is None, 5, "it is still listed")
    place.start("x", "/bin/true")


# ---- logs ----

@place_test("log files are rotated, and no larger than they may be")
def rotation(place):
    place.start("x", "/bin/sh", "-c", "i=0; while [ $i -lt 30000 ]; do echo line $i; i=$((i+1)); done", options=["--log-max", "64K"])
    place.wait_for("x", "ended")
    directory = os.path.join(place.directory(), "x")
    sizes = {n: os.path.getsize(os.path.join(directory, n)) for n in os.listdir(directory) if n.startswith("log")}
    expect(sorted(sizes) == ["log", "log.1", "log.2"] and all(0 < s <= 65536 for s in sizes.values()), f"{sizes}")
    lines = place.logs("x").split(b"\n")[:-1]
    first = int(lines[0].split()[1])
    expect(lines == [b"line %d" % i for i in range(first, 30000)] and first > 10000, f"from {lines[0]!r} to {lines[-1]!r}, {len(lines)} lines")
    expect(place.logs("x", "--tail", "3") == b"line 29997\nline 29998\nline 29999\n", "--tail 3")
    expect(place.logs("x", "--tail", "0") == b"", "--tail 0")
    across = place.logs("x", "--tail", "8000").split(b"\n")[:-1]
    expect(across == [b"line %d" % i for i in range(22000, 30000)], f"--tail across files: {len(across)} lines from {across[0]!r}")


@place_test("logs -f follows through rotations until the end")
def follow(place):
    place.start("x", "/bin/sh", "-c", "read x; i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); [ $((i%2000)) = 0 ] && sleep 0.2; done; sleep 0.2",
                options=["--log-max", "64K"])
    out = place.cella("logs", "-f", "x", timeout=60)
    lines = out.out.split(b"\n")[:-1]
    expect(out.code == 0 and lines == [b"line %d" % i for i in range(20000)], f"code {out.code}, {len(lines)} lines")


@place_test("logs -f ends when its reader goes")
def follow_pipe(place):
    place.start("x", "/bin/sh", "-c", "while :; do echo y; sleep 0.05; done")
    p = subprocess.Popen([CELLA, "logs", "-f", "x"], env=place.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    expect(p.stdout.readline() == b"y\n", "no line")
    p.stdout.close()
    p.wait(20)


@place_test("the JSON log has an object a line")
def json_log(place):
    place.start("x", "/bin/sh", "-c", "printf 'a\"b\\\\\\n\\377\\n'; echo e >&2; printf end", options=["--log-format", "json"])
    place.wait_for("x", "ended")
    found = [json.loads(line) for line in place.logs("x").decode().splitlines()]
    texts = [(o["stream"], o["text"]) for o in found]
    expect(sorted(texts) == sorted([("stdout", 'a"b\\'), ("stdout", "\ufffd"), ("stderr", "e"), ("stdout", "end")]), f"{texts}")
    expect(all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", o["time"]) for o in found), f"{found}")


@place_test("CELLA_LOG chooses which of Cella's own lines are printed")
def own_lines(place):
    env = dict(place.env)
    out = place.cella("run", "--", "/bin/true")
    expect(b"development" in out.err, f"{out!r}")
    env["CELLA_LOG"] = "error"
    out = place.cella("run", "--", "/bin/true", env=env)
    expect(out.code == 0 and out.err == b"", f"{out!r}")


# ---- the state directory ----

@test("a state directory that is another's, or open to others, is refused")
def foreign():
    if os.getuid() != 0:
        raise Skip("needs root")
    for owner, mode, word in ((NOBODY, 0o700, "belongs to user"), (0, 0o755, "chmod 700"), (0, 0o770, "chmod 700")):
        place = Place()
        os.mkdir(place.directory(), mode)
        os.chmod(place.directory(), mode)
        os.chown(place.directory(), owner, owner)
        expect_error(place.cella("run", *QUIET, "-d", "--", "/bin/true"), 125, word)
        expect_error(place.cella("ps"), 125, word)
    place = Place()
    os.symlink(scratch(0o700), place.directory())
    expect_error(place.cella("ps"), 125, "cannot open the state directory")
    place = Place()
    with open(place.directory(), "w", encoding="ascii"):
        pass
    expect_error(place.cella("ps"), 125, "cannot open the state directory")


@test("a full state directory gives one line, and nothing is left")
def full():
    if os.getuid() != 0:
        raise Skip("needs root")
    runtime = scratch(0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", runtime], check=True)
    try:
        place = Place(runtime)
        place.cella("ps")
        fd = os.open(os.path.join(runtime, "fill"), os.O_WRONLY | os.O_CREAT)
        with contextlib.suppress(OSError):
            while True:
                os.write(fd, b"x" * 4096)
        os.close(fd)
        expect_error(place.cella("run", *QUIET, "-d", "--name", "x", "--", "/bin/true"), 125, "No space left")
        expect(place.left() == [], f"left behind: {place.left()}")
        os.unlink(os.path.join(runtime, "fill"))
        # The disk becomes full under a running keep: it goes on, and the log says what is missing.
        with place:
            place.start("x", "/bin/sh", "-c", "head -c 200000 /dev/zero | tr '\\0' x; echo; echo done; sleep 0.3; exit 4")
            expect(place.cella("wait", "x").code in (4, 125), "it did not end")
    finally:
        subprocess.run(["umount", runtime], check=True)


@place_test("garbage in the state directory is no keep, and does no harm")
def garbage(place):
    place.cella("ps")
    directory = place.directory()
    for name in ("Upper", "file"):
        with open(os.path.join(directory, name), "w", encoding="ascii") as f:
            f.write("x")
    os.mkdir(os.path.join(directory, "empty"))
    for name, content in (("bad", b"\xff\0{"), ("deep", b"{" * 5000)):
        os.mkdir(os.path.join(directory, name))
        with open(os.path.join(directory, name, "state"), "wb") as f:
            f.write(content)
    os.mkdir(os.path.join(directory, "fifo"))
    os.mkfifo(os.path.join(directory, "fifo", "state"))
    outside = scratch()
    with open(os.path.join(outside, "precious"), "w", encoding="ascii"):
        pass
    os.symlink(outside, os.path.join(directory, "link"))
    os.mkdir(os.path.join(directory, "links"))
    os.symlink(os.path.join(outside, "precious"), os.path.join(directory, "links", "state"))
    expect(place.ps("-a") == [], f"{place.ps('-a')}")
    expect(place.left() == ["Upper", "file", "link"], f"left: {place.left()}")
    expect(os.listdir(outside) == ["precious"], "something outside was removed")
    place.start("empty", "/bin/true")
    for name in place.left():
        if not os.path.isdir(os.path.join(directory, name)) or name == "link":
            os.unlink(os.path.join(directory, name))


@test("an unprivileged user has keeps of his own")
def ordinary():
    if os.getuid() != 0:
        raise Skip("needs root to become another user")
    runtime = scratch(0o700)
    os.chown(runtime, NOBODY, NOBODY)
    place = Place(runtime)
    def become():
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    place.preexec = become
    with place:
        place.start("mine", "/bin/sleep", "100")
        expect(place.status("mine") == "running", "it does not run")
        out = place.cella("exec", "mine", "id", "-u")
        expect(out.out == b"65534\n", f"{out!r}")
        with Place() as other:
            expect(other.ps("-a") == [], "another user sees it")
        expect(place.cella("stop", "--time", "5", "mine").code == 0 and place.status("mine") == "ended", "stop fails")
    # Without XDG_RUNTIME_DIR: a directory in /tmp, his alone.
    place = Place(runtime)
    place.preexec = become
    del place.env["XDG_RUNTIME_DIR"]
    existed = os.path.exists(f"/tmp/cella-{NOBODY}")
    with place:
        place.start("tmp-keep", "/bin/sleep", "100")
        st = os.stat(f"/tmp/cella-{NOBODY}")
        expect(st.st_uid == NOBODY and st.st_mode & 0o777 == 0o700, "its mode is wrong")
    if not existed:
        shutil.rmtree(f"/tmp/cella-{NOBODY}")


# ---- installation ----

@test("install puts, uninstall takes away the same")
def install():
    need("meson")
    need("make")
    destination = scratch()
    build = os.path.dirname(CELLA)
    def files():
        return sorted(os.path.relpath(os.path.join(top, f), destination) for top, _, names in os.walk(destination) for f in names)
    env = {**os.environ, "DESTDIR": destination}
    p = subprocess.run(["make", "-s", "install", f"BUILD={build}", f"DESTDIR={destination}"], cwd=ROOT, env=env, capture_output=True, check=False)
    expect(p.returncode == 0, f"install: {p.stderr[-300:]!r}")
    found = files()
    for end in ("bin/cella", "libexec/cella/cella-runtime-process", "man1/cella-exec.1", "bash-completion/completions/cella", "site-functions/_cella", "cella.fish"):
        expect(any(f.endswith(end) for f in found), f"{end} is not installed: {found}")
    keep = os.path.join(destination, "usr", "local", "bin", "other")
    with open(keep, "w", encoding="ascii"):
        pass
    p = subprocess.run(["make", "-s", "uninstall", f"BUILD={build}", f"DESTDIR={destination}"], cwd=ROOT, env=env, capture_output=True, check=False)
    expect(p.returncode == 0, f"uninstall: {p.stderr[-300:]!r}")
    expect(files() == ["usr/local/bin/other"], f"left: {files()}")


if __name__ == "__main__":
    sys.exit(main(4))
