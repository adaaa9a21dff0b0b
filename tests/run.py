#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs Cella's tests and prints, last, `N passed, N failed, N skipped`.

Groups: unit (kernel core on the mock HAL and host code, under sanitizers), calls (tests/sys: each program natively and in a keep,
results equal), system (tests/system: real programs), hostile (real
programs in keeps whose host lies), fuzz (fuzz/run.py, built with clang), lint (scripts/lint.py), docs (generated files are up to date). A failure is printed when it happens.
tests/known-failures.txt names tests that are known to fail in the keep, each with its reason; one that passes fails the run.
"""

import argparse
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LINE = re.compile(r"^(ok|not ok|skip) (\S+ \S+) - (.*)$")


class Results:
    def __init__(self, known):
        self.passed = self.failed = self.skipped = 0
        self.known = known
        self.known_seen = set()
        self.lock = threading.Lock()

    def ok(self, name):
        with self.lock:
            if name in self.known:
                self.known_seen.add(name)
                self.failed += 1
                print(f"FAIL {name}: passes, but tests/known-failures.txt lists it; take it out", flush=True)
            else:
                self.passed += 1

    def fail(self, name, why):
        with self.lock:
            if name in self.known:
                self.known_seen.add(name)
                self.skipped += 1
                print(f"known {name}: {self.known[name]}", flush=True)
            else:
                self.failed += 1
                print(f"FAIL {name}: {why}", flush=True)

    def skip(self, name, why):
        with self.lock:
            self.known_seen.add(name)  # where it cannot run, it says nothing about the list
            self.skipped += 1
            print(f"skip {name}: {why}", flush=True)


def read_known():
    """Lines `NAME: reason`; # starts a comment."""
    known = {}
    with open(os.path.join(ROOT, "tests", "known-failures.txt"), encoding="utf-8") as f:
        for line in f:
            line = line.strip()
            if line and not line.startswith("#"):
                name, _, reason = line.partition(": ")
                known[name] = reason
    return known


def run(argv, timeout, env=None, cwd=None):
    """(exit code, output) of a command; code -1 on a timeout."""
    try:
        p = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, env=env, cwd=cwd, check=False)
        return p.returncode, p.stdout.decode("utf-8", "replace")
    except subprocess.TimeoutExpired as e:
        return -1, (e.stdout or b"").decode("utf-8", "replace") + f"\n(no end after {timeout} s)"


def parse(output):
    """{test: (verdict, detail)} of the lines that a test program printed; titles end where a failure's place begins."""
    found = {}
    for line in output.splitlines():
        m = LINE.match(line)
        if m:
            verdict, call, rest = m.groups()
            title = rest
            if verdict != "ok":
                title, _, rest = rest.partition(": ")
            found[f"{call} - {title}"] = (verdict, rest)
    return found


def built(build, prefix):
    """(directory, names) of the test programs that were built, by prefix of their names."""
    directory = os.path.join(build, "tests")
    return directory, sorted(f for f in os.listdir(directory) if f.startswith(prefix) and "." not in f)


def unit_tests(build, res):
    directory, programs = built(build, "unit-")
    env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0", UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1")
    for program in programs:
        code, out = run([os.path.join(directory, program)], 300, env)
        lines = 0
        for line in out.splitlines():
            m = re.match(r"^(ok|not ok|skip) (.*)$", line)
            if m:
                lines += 1
                if m.group(1) == "ok":
                    res.ok(f"{program} {m.group(2)}")
                elif m.group(1) == "skip":
                    res.skip(program, m.group(2))
                else:
                    res.fail(f"{program} {m.group(2)}", "see above")
        if code != 0 or not lines:
            res.fail(program, f"exit code {code}\n{out[-3000:]}")


def call_test(build, program, res):
    path = os.path.join(build, "tests", program)
    env = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}
    _, native_out = run([path], 300, env)
    code, keep_out = run([os.path.join(build, "cella"), "run", "--tee", "process", "--root", "/", "--", path], 300, env)
    native, keep = parse(native_out), parse(keep_out)
    if not native:
        res.fail(program, f"prints no test natively\n{native_out[-500:]}")
    for name, (verdict, detail) in sorted(native.items()):
        full = f"{program[len('call-'):]} {name}"
        mine = keep.get(name)
        if verdict == "not ok":
            res.fail(full, f"fails natively: {detail}")
        elif mine is None:
            res.fail(full, f"no answer in the keep (exit code {code}): {keep_out[-300:]}")
        elif verdict == "skip" and mine[0] != "not ok":
            res.skip(full, detail)  # natively there is nothing to compare with
        elif mine[0] == verdict:
            res.ok(full)
        else:
            res.fail(full, f"{mine[0]} in the keep: {mine[1]}")


def call_tests(build, res, jobs, pattern):
    programs = [p for p in built(build, "call-")[1] if pattern in p]
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda p: call_test(build, p, res), programs))


def system_tests(build, res, quick, long, pattern):
    directory = os.path.join(ROOT, "tests", "system")
    for name in sorted(os.listdir(directory)):
        if not name.startswith("test_") or not name.endswith(".py") or (pattern and pattern not in name):
            continue
        env = dict(os.environ, CELLA=os.path.join(build, "cella"), CELLA_BUILD=build, CELLA_QUICK="1" if quick else "", CELLA_LONG="1" if long else "")
        code, out = run([sys.executable, os.path.join(directory, name)], 7200 if long else 1800, env)
        lines = 0
        for line in out.splitlines():
            m = re.match(r"^(ok|not ok|skip) (.*)$", line)
            if not m:
                continue
            lines += 1
            what, _, why = m.group(2).partition(": ")
            full = f"{name[5:-3]} {what}"
            if m.group(1) == "ok":
                res.ok(full)
            elif m.group(1) == "skip":
                res.skip(full, why)
            else:
                res.fail(full, why)
        if code not in (0, 1) or not lines:
            res.fail(name, f"exit code {code}\n{out[-3000:]}")


def script_tests(argv, timeout, name, res):
    """A program that prints `ok NAME` and `not ok NAME: WHY`."""
    code, out = run([sys.executable] + argv, timeout)
    lines = 0
    for line in out.splitlines():
        m = re.match(r"^(ok|not ok|skip) (.*)$", line)
        if m:
            lines += 1
            what, _, why = m.group(2).partition(": ")
            if m.group(1) == "ok":
                res.ok(f"{name} {what}")
            elif m.group(1) == "skip":
                res.skip(f"{name} {what}", why)
            else:
                res.fail(f"{name} {what}", why)
    if code not in (0, 1) or not lines:
        res.fail(name, f"exit code {code}\n{out[-3000:]}")


def hostile_tests(build, res, long):
    seconds = 600 if long else 20
    script_tests([os.path.join(ROOT, "tests", "hostile", "run_keep.py"), "--build", build, "--seconds", str(seconds)], 3 * seconds + 600, "hostile", res)


def fuzz_tests(res, long):
    seconds = 600 if long else 20
    script_tests([os.path.join(ROOT, "fuzz", "run.py"), "--seconds", str(seconds)], 4 * seconds + 1200, "fuzz", res)


def lint_tests(build, res, long):
    script_tests([os.path.join(ROOT, "scripts", "lint.py"), "--build", build] + ([] if long else ["--quick"]), 1800, "lint", res)


def doc_tests(build, res):
    code, out = run([sys.executable, os.path.join(ROOT, "scripts", "gen-docs.py"), "--build", build, "--check"], 120)
    if code == 0:
        res.ok("docs generated files are up to date")
    else:
        res.fail("docs generated files are up to date", out)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default="build")
    p.add_argument("--quick", action="store_true")
    p.add_argument("--long", action="store_true")
    p.add_argument("--only", choices=["unit", "calls", "system", "hostile", "fuzz", "lint", "docs"])
    p.add_argument("--match", default="", help="call and system tests whose file name contains this")
    args = p.parse_args()
    build = os.path.abspath(args.build)
    res = Results(read_known())
    start = time.monotonic()
    for group, fn in (("unit", lambda: unit_tests(build, res)), ("calls", lambda: call_tests(build, res, 2, args.match)),
                      ("system", lambda: system_tests(build, res, args.quick, args.long, args.match)), ("hostile", lambda: hostile_tests(build, res, args.long)),
                      ("fuzz", lambda: fuzz_tests(res, args.long)), ("lint", lambda: lint_tests(build, res, args.long)), ("docs", lambda: doc_tests(build, res))):
        if args.only == group or (args.only is None and not (args.quick and group in ("hostile", "fuzz", "lint"))):
            print(f"== {group} ({time.monotonic() - start:.0f} s)", flush=True)
            fn()
    if args.only is None and not args.quick:
        for name in sorted(set(res.known) - res.known_seen):
            res.failed += 1
            print(f"FAIL {name}: listed in tests/known-failures.txt, but no such test ran", flush=True)
    print(f"== end ({time.monotonic() - start:.0f} s)")
    print(f"{res.passed} passed, {res.failed} failed, {res.skipped} skipped")
    return 1 if res.failed else 0


if __name__ == "__main__":
    sys.exit(main())
