# SPDX-License-Identifier: Apache-2.0
"""Terminals of a keep: `cella run -t` at a pseudoterminal of the host that this program plays the person at."""

import contextlib
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

from common import CELLA, ENVIRONMENT, QUIET, command, expect, main, need, scratch, test

PATIENCE_S = 20


class Terminal:
    """A terminal of the host with `cella run -t ARGV` in its foreground."""

    def __init__(self, argv, rows=33, columns=99, stdout=None):
        self.master, self.slave = os.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""

        def become_leader():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen([CELLA, "run", *QUIET, "-t", "--", *argv], stdin=self.slave, stdout=stdout or self.slave,
                                        stderr=self.slave, env=dict(ENVIRONMENT, TERM="xterm"), preexec_fn=become_leader)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds):
        """What appears within that time; b'' when nothing does."""
        if not select.select([self.master], [], [], seconds)[0]:
            return b""
        data = os.read(self.master, 65536)
        self.seen += data
        return data

    def await_text(self, pattern, seconds=PATIENCE_S):
        """Waits until the pattern appears behind what was awaited before; returns all up to its end."""
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.seen)):
            left = end - time.monotonic()
            expect(left > 0, f"{pattern!r} does not appear, only {self.seen[-400:]!r}")
            self.read(min(left, 1))
        text, self.seen = self.seen[:found.end()], self.seen[found.end():]
        return text

    def type(self, text):
        os.write(self.master, text)

    def do(self, line, pattern):
        """Types a command line and awaits what it prints, and then the prompt."""
        self.type(line + b"\n")
        found = self.await_text(pattern)
        return found + self.await_text(rb"PROMPT> ")

    def end(self, code):
        """Waits for the launcher's end, and checks its code and that the terminal is as it was."""
        end = time.monotonic() + PATIENCE_S
        while self.process.poll() is None and time.monotonic() < end:
            self.read(0.05)
        expect(self.process.poll() == code, f"the launcher ends with {self.process.poll()}, not {code}: {self.seen[-300:]!r}")
        expect(termios.tcgetattr(self.slave) == self.before, "the terminal's modes are not put back")


def bash():
    need("bash")
    terminal = Terminal(["/bin/bash", "--norc", "--noprofile", "--noediting", "-i"])
    terminal.type(b"PS1='PROM''PT> '\n")
    terminal.await_text(rb"PROMPT> ")
    return terminal


@test("terminal, the program's three streams are one terminal with a name and a session")
def identity():
    with bash() as t:
        t.do(b"tty; [ -t 0 -a -t 1 -a -t 2 ] && echo a''ll; echo $TERM", rb"/dev/pts/0\r\nall\r\nxterm\r\n")
        t.do(b"ps -o tty=,tpgid=,stat= -p $$; echo d''one", rb"pts/0 +\d+ Ss\+?\r\ndone")
        t.do(b"echo by name > $(tty); echo by device > /dev/tty; echo by console > /dev/console", rb"by name\r\nby device\r\nby console\r\n")
        t.type(b"exit 7\n")
        t.end(7)


@test("terminal, job control: ^Z, jobs, bg, fg, ^C, and the background stops at reading")
def jobs():
    with bash() as t:
        t.type(b"sleep 100\n")
        time.sleep(0.5)
        t.type(b"\x1a")
        t.await_text(rb"\^Z[^$]*Stopped +sleep 100")
        t.do(b"jobs", rb"\[1\]\+ +Stopped +sleep 100")
        t.do(b"bg", rb"\[1\]\+ sleep 100 &")
        t.do(b"jobs", rb"\[1\]\+ +Running +sleep 100 &")
        t.type(b"fg\n")
        t.await_text(rb"fg\r\nsleep 100\r\n")
        time.sleep(0.3)
        t.type(b"\x03")
        t.await_text(rb"\^C[^$]*PROMPT> ")
        t.do(b"echo code $?", rb"code 130\r\n")
        t.type(b"cat &\n")
        t.await_text(rb"PROMPT> ")
        time.sleep(0.3)
        t.do(b"", rb"Stopped +cat")
        t.do(b"kill %1; wait; echo kil''led", rb"killed")
        t.type(b"\x04")
        t.end(0)


@test("terminal, a new window size is seen, and trapped")
def resize():
    with bash() as t:
        t.do(b"stty size", rb"33 99\r\n")
        t.do(b"trap 'echo WIN''CH' WINCH", rb"")
        t.resize(40, 120)
        os.killpg(t.process.pid, signal.SIGWINCH)
        time.sleep(0.5)
        t.do(b"", rb"WINCH\r\n")  # a shell that waits for a line traps behind it
        t.do(b"stty size", rb"40 120\r\n")
        t.type(b"exit\n")
        t.end(0)


def full_screen(argv, shows, keys, where):
    """A program that takes the screen over gives it back."""
    need(argv[0])
    with bash() as t:
        t.type(" ".join(argv).encode() + b"\n")
        t.await_text(shows)
        for key in keys:
            t.type(key)
            time.sleep(0.2)
        t.await_text(rb"PROMPT> ")
        t.do(where, rb"RESULT[^']")
        t.do(b"stty -a | grep -c ' echo '", rb"1\r\n")
        t.type(b"exit\n")
        t.end(0)


@test("terminal, less shows a file, searches, and leaves the screen")
def less():
    full_screen(["less", "/etc/passwd"], rb"root:", [b"/daemon\n", b"q"], b"echo RESU''LT $?")


@test("terminal, vi edits and writes a file")
def vi():
    full_screen(["vi", "/tmp/by-vi"], rb"by-vi", [b"ityped\x1b", b"yyp:wq\n"], b"[ $(grep -c typed /tmp/by-vi) = 2 ] && echo RESU''LT")


@test("terminal, bytes pass both ways as they are when the program makes its terminal raw")
def raw():
    with Terminal(["/usr/bin/python3", "-c", """
import os, tty
tty.setraw(0)
os.write(1, b'ready')
got = b''
while len(got) < 256: got += os.read(0, 300)
os.write(1, got[::-1])"""]) as t:
        t.await_text(b"ready")
        everything = bytes(range(256))
        t.type(everything)
        t.await_text(re.escape(everything[::-1]))
        t.end(0)


@test("terminal, output that a program leaves behind at its end appears in full")
def last_words():
    with Terminal(["/bin/sh", "-c", "seq 20000"]) as t:
        text = t.await_text(rb"\n20000\r\n")
        expect(text == b"".join(b"%d\r\n" % n for n in range(1, 20001)), f"{len(text)} bytes appear")
        t.end(0)


@test("terminal, the host's is put back after TERM, and after the keep was killed")
def put_back():
    with Terminal(["/bin/sh", "-c", "echo up; sleep 100"]) as t:
        t.await_text(b"up\r\n")
        expect(termios.tcgetattr(t.slave) != t.before, "the terminal is not raw")
        t.process.send_signal(signal.SIGTERM)
        t.end(128 + signal.SIGTERM)
    with Terminal(["/bin/sh", "-c", "echo up; sleep 100"]) as t:
        t.await_text(b"up\r\n")
        children = command(["pgrep", "-P", str(t.process.pid)]).out.split()
        expect(children, "the keep's process is not found")
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        t.end(125)
        t.await_text(rb"ended unexpectedly[^\n]*\n")


@test("terminal, HUP of the host's ends the shell")
def host_hangup():
    with bash() as t:
        t.process.send_signal(signal.SIGHUP)
        t.end(128 + signal.SIGHUP)


@test("terminal, -t without one is one clear line")
def without():
    o = command([CELLA, "run", *QUIET, "-t", "--", "/bin/true"])
    expect(o.code == 125 and o.out == b"" and o.err.count(b"\n") == 1 and b"not a terminal" in o.err, repr(o))


@test("terminal, with -t a redirected output gets what the terminal gets")
def redirected():
    path = os.path.join(scratch(), "out")
    with open(path, "wb") as f, Terminal(["/bin/sh", "-c", "echo out; echo err >&2; tty"], stdout=f) as t:
        t.end(0)
    with open(path, "rb") as f:
        got = f.read()
    expect(got == b"out\r\nerr\r\n/dev/pts/0\r\n", repr(got))


if __name__ == "__main__":
    sys.exit(main())
