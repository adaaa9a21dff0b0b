# SPDX-License-Identifier: Apache-2.0
"""What the system tests share: running a program natively and in a keep, comparing the two, and printing verdicts.

A test file defines tests with @test or add() and ends with main(). Each test prints one line, `ok NAME`, `not ok NAME: why` or
`skip NAME: why`; the file exits 1 if any failed. Arguments select the tests whose name contains one of them.

The environment says what is tested: CELLA (the command), CELLA_BUILD (its build directory), CELLA_QUICK=1 (smaller inputs),
CELLA_LONG=1 (longer runs).
"""

import atexit
import contextlib
import errno
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("CELLA_BUILD") or os.path.join(ROOT, "build"))
CELLA = os.path.abspath(os.environ.get("CELLA") or os.path.join(BUILD, "cella"))
QUICK = os.environ.get("CELLA_QUICK") == "1"
LONG = os.environ.get("CELLA_LONG") == "1"
SOURCES = os.path.join(ROOT, "tests", "system", "src")

# What a keep gives its first program, and so what the native run gets too.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": pwd.getpwuid(os.getuid()).pw_dir,
    "LANG": "C.UTF-8",
}
# Says what the program runs on, and nothing on stderr.
QUIET = ["--tee", "process", "--root", "/"]


class Failure(Exception):
    """A test's verdict: it failed, and why."""


class Skip(Exception):
    """A test's verdict: it does not apply here, and why."""


class Outcome:
    """How a command ended: exit code as a shell sees it (None after a timeout), what it wrote, and how long it took."""

    def __init__(self, code, out, err, seconds):
        self.code = code
        self.out = out
        self.err = err
        self.seconds = seconds

    def __repr__(self):
        return f"code {self.code}, stdout {short(self.out)}, stderr {short(self.err)}"


def short(data, limit=300):
    """Bytes as one short line: the end of them, which is where errors stand."""
    if isinstance(data, bytes):
        data = data.decode("utf-8", "backslashreplace")
    text = repr(data)
    return text if len(text) <= limit else f"...{text[-limit:]}"


def command(argv, stdin=b"", cwd=None, timeout=60, env=None, preexec=None):
    """Runs a host command to its end. On a timeout the whole process group is killed."""
    start = time.monotonic()
    feed = subprocess.DEVNULL if stdin is None else subprocess.PIPE
    p = subprocess.Popen(argv, stdin=feed, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd,
                         env=dict(ENVIRONMENT) if env is None else env, start_new_session=True, preexec_fn=preexec)
    try:
        out, err = p.communicate(stdin, timeout)
        code = p.returncode if p.returncode >= 0 else 128 - p.returncode
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(p.pid, signal.SIGKILL)
        try:
            out, err = p.communicate(timeout=10)
        except subprocess.TimeoutExpired as e:
            out, err = e.stdout or b"", e.stderr or b""
        code = None
    return Outcome(code, out, err, time.monotonic() - start)


def cella(args, **how):
    """Runs `cella ARGS`, nothing added."""
    return command([CELLA, *args], **how)


def keep(argv, stdin=b"", args=(), env=(), **how):
    """Runs argv in a keep over the host's root; args are further options of `cella run`, env `NAME=VALUE` strings."""
    options = [*QUIET, *args]
    for e in env:
        options += ["-e", e]
    return cella(["run", *options, "--", *argv], stdin=stdin, **how)


def native(argv, stdin=b"", env=(), **how):
    """Runs argv on the host with a keep's environment."""
    full = dict(ENVIRONMENT)
    full.update(e.split("=", 1) for e in env)
    return command(argv, stdin=stdin, env=full, **how)


def listing(directory):
    """Names, types, sizes and times of all below a directory; to see that nothing changed."""
    found = {}
    for top, dirs, files in os.walk(directory):
        for name in dirs + files:
            path = os.path.join(top, name)
            st = os.lstat(path)
            found[path] = (st.st_mode, st.st_size, st.st_mtime_ns, st.st_ino)
    return found


def equal(mine, theirs, stderr=False):
    """Fails unless a keep's outcome is the native one."""
    if mine.code is None:
        raise Failure(f"no end after {mine.seconds:.0f} s in the keep; {mine!r}")
    if mine.code != theirs.code:
        raise Failure(f"exit code {mine.code}, natively {theirs.code}; stderr {short(mine.err)}")
    if mine.out != theirs.out:
        at = next((i for i, (a, b) in enumerate(zip(mine.out, theirs.out)) if a != b), min(len(mine.out), len(theirs.out)))
        begin = max(0, at - 20)
        raise Failure(f"stdout differs at byte {at}: {short(mine.out[begin:begin + 120])}, natively {short(theirs.out[begin:begin + 120])}"
                      f"; stderr {short(mine.err, 120)}")
    if stderr and mine.err != theirs.err:
        raise Failure(f"stderr {short(mine.err)}, natively {short(theirs.err)}")


def compare(argv, stdin=b"", args=(), stderr=False, code=0, cwd=None, timeout=60, env=(), prepare=None):
    """Runs argv in a keep and natively, each in a directory that is fresh (or cwd), and fails unless the outcomes are the same.

    The keep goes first: what it writes must not reach the host's directory. prepare(directory) fills the directory before. code is what
    the native run must end with, None for any.
    """
    if cwd is not None:
        mine = keep(argv, stdin, args, env, cwd=cwd, timeout=timeout)
        theirs = native(argv, stdin, env, cwd=cwd, timeout=timeout)
    else:
        directory = scratch()
        try:
            if prepare:
                prepare(directory)
            before = listing(directory)
            mine = keep(argv, stdin, args, env, cwd=directory, timeout=timeout)
            if listing(directory) != before:
                raise Failure("the keep changed the host's directory")
            theirs = native(argv, stdin, env, cwd=directory, timeout=timeout)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    if theirs.code is None or (code is not None and theirs.code != code):
        raise Failure(f"natively it ends with {theirs!r}, not with {code}")
    equal(mine, theirs, stderr)
    return mine, theirs


def compare_script(script, shell="/bin/bash", **how):
    """compare() of a shell script."""
    return compare([shell, "-c", script], **how)


def expect(condition, why):
    """Fails with a reason unless the condition holds."""
    if not condition:
        raise Failure(why)


def expect_error(outcome, code, *words):
    """An error of Cella's: that exit code, nothing on stdout, and one line on stderr that has all the words."""
    lines = outcome.err.decode("utf-8", "replace").splitlines()
    expect(outcome.code == code, f"exit code {outcome.code} instead of {code}; {outcome!r}")
    expect(outcome.out == b"", f"writes to stdout: {short(outcome.out)}")
    expect(len(lines) == 1, f"{len(lines)} lines on stderr: {short(outcome.err)}")
    for word in words:
        expect(word in lines[0], f"the message does not say '{word}': {lines[0]}")


def stats(outcome):
    """{host operation: (calls, bytes)} of a --stats report."""
    found = {}
    for line in outcome.err.decode("utf-8", "replace").splitlines():
        _, mark, rest = line.partition("stats: ")
        words = rest.split()
        if mark and len(words) == 3 and words[1].isdigit() and words[2].isdigit():
            found[words[0]] = (int(words[1]), int(words[2]))
    expect("total" in found, f"no statistics: {short(outcome.err)}")
    return found


_lock = threading.RLock()
_scratch_root = None


def scratch(mode=0o755):
    """A fresh directory on the host, removed at the end."""
    global _scratch_root
    with _lock:
        if _scratch_root is None:
            _scratch_root = tempfile.mkdtemp(prefix="cella-test-", dir="/tmp")
            os.chmod(_scratch_root, 0o755)
            atexit.register(shutil.rmtree, _scratch_root, True)
    directory = tempfile.mkdtemp(dir=_scratch_root)
    os.chmod(directory, mode)
    return directory


_compiled = {}


def compiled(name, *flags, compiler="gcc", static=True):
    """Path of the program made from src/NAME.c, or from a source with an absolute path; each is made once in a run."""
    key = (name, flags, compiler, static)
    with _lock:
        if key not in _compiled:
            if not shutil.which(compiler):
                raise Skip(f"{compiler} is not installed")
            source = name if os.path.isabs(name) else os.path.join(SOURCES, name + ".c")
            path = os.path.join(scratch(), os.path.basename(source)[:-2])
            p = subprocess.run([compiler, "-std=gnu11", "-O2", "-Wall", "-Wextra", *(["-static"] if static else []), *flags, "-o", path, source, "-lpthread", "-lm"],
                               capture_output=True, text=True, check=False)
            if p.returncode:
                raise Failure(f"{compiler} refuses {source}: {p.stderr[-500:]!r}")
            _compiled[key] = path
        return _compiled[key]


def need(program):
    """Skips the test where a program is not installed."""
    if not shutil.which(program, path=ENVIRONMENT["PATH"]):
        raise Skip(f"{program} is not installed")


# System calls that a keep may be without, with harmless arguments.
CALLS = {"socket": (41, 2, 1), "socketpair": (53, 1, 1), "semget": (64, 0, 1, 0o600), "msgget": (68, 0, 0o600), "shmget": (29, 0, 4096, 0o600),
         "mq_open": (240,)}
_absent = {}


def need_calls(*names):
    """Skips the test while the keep's kernel lacks one of these calls (for socket: of the Internet)."""
    for name in names:
        if name not in _absent:
            code = keep([compiled("answers"), *map(str, CALLS[name])]).code
            _absent[name] = code in (errno.ENOSYS, errno.EAFNOSUPPORT)
        if _absent[name]:
            raise Skip(f"{name}: not in the keep yet")


def descendants(pid):
    """Process ids of all children, grandchildren and so on of a host process."""
    found, todo = [], [pid]
    while todo:
        parent = todo.pop()
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{thread}/children", encoding="ascii") as f:
                    todo += [int(p) for p in f.read().split()]
        found.append(parent)
    return found[1:]


def wait_until(condition, seconds, why):
    """Polls a condition; fails with a reason when it does not come true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failure(f"{why} (waited {seconds} s)")
        time.sleep(0.02)


_tests = []
# What a test returns that has printed verdicts of its own by report().
REPORTED = object()


def add(name, fn, *args, **kwargs):
    """A test: fn(*args, **kwargs) returns, or raises Failure or Skip."""
    _tests.append((name, lambda: fn(*args, **kwargs)))


def test(name):
    """Makes a function a test."""
    def mark(fn):
        add(name, fn)
        return fn
    return mark


_failed = False


def report(name, verdict="ok", why=""):
    """Prints a verdict: `ok`, `not ok` or `skip`."""
    global _failed
    why = " ".join(why.split())
    with _lock:
        _failed = _failed or verdict == "not ok"
        print(f"{verdict} {name}" + (f": {why}" if verdict != "ok" else ""), flush=True)


def _run(named):
    name, fn = named
    try:
        if fn() is not REPORTED:
            report(name)
    except Skip as e:
        report(name, "skip", str(e))
    except Failure as e:
        report(name, "not ok", str(e))
    except Exception as e:  # a test program must not hide the tests after it
        report(name, "not ok", f"{type(e).__name__}: {e}")


def main(workers=1):
    """Runs the tests that the arguments select; several at a time where they mostly wait."""
    patterns = sys.argv[1:]
    if patterns == ["--list"]:
        for name, _ in _tests:
            print(name)
        return 0
    if not os.access(CELLA, os.X_OK):
        print(f"{CELLA} is not there; run make, or set CELLA", file=sys.stderr)
        return 2
    chosen = [t for t in _tests if not patterns or any(p in t[0] for p in patterns)]
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(_run, chosen))
    return 1 if _failed else 0
