# SPDX-License-Identifier: Apache-2.0
"""Load: the stress programs of tests/sys, what is left after them, and that millions of operations in a keep need no host."""

import glob
import os
import re
import sys

from common import CELLA, QUICK, QUIET, ROOT, Failure, add, command, compare, compiled, expect, keep, main, native, need, scratch, short, stats, test

OPERATIONS = 200_000 if QUICK else 1_000_000
KINDS = ("pipe", "futex", "eventfd", "tmpfs", "signal", "getpid", "clock")
# How much more host calls those operations may cause than one operation of each.
MAX_HOST_CALLS = 1000
# What the kernel's heap may grow by over repeated runs of a program, which is no leak: caches.
HEAP_SLACK_KIB = 256
REPEATS = 5


def stress(source):
    compare([compiled(source, static=False)], timeout=120, stderr=True)


def heap_kib(outcome):
    found = re.search(rb"(\d+) KiB of kernel heap", outcome.err)
    expect(found, f"no size of the kernel's heap in the statistics: {short(outcome.err)}")
    return int(found.group(1))


def no_leak(source):
    """The kernel's heap after several runs in one keep is that after one. What is still on its way out when the keep ends is no
    leak, and a busy host leaves more of it: the best of three."""
    program = compiled(source, static=False)
    grown = []
    for _ in range(3):
        after = {}
        for times in (2, 2 + REPEATS):
            outcome = keep(["/bin/sh", "-c", f"for i in $(seq {times}); do {program} || exit; done"], args=["--stats"], timeout=300)
            expect(outcome.code == 0, repr(outcome))
            after[times] = heap_kib(outcome)
        grown.append(after[2 + REPEATS] - after[2])
        if grown[-1] <= HEAP_SLACK_KIB:
            return
    raise Failure(f"the kernel's heap grows by {grown} KiB over {REPEATS} runs")


for path in sorted(glob.glob(os.path.join(ROOT, "tests", "sys", "stress_*.c"))):
    title = os.path.basename(path)[len("stress_"):-2]
    add(f"stress, {title}", stress, path)
    if not QUICK:
        add(f"stress, {title} leaves nothing behind in the kernel", no_leak, path)


@test(f"{OPERATIONS:,} operations of each kind give the native results".replace(",", " "))
def operations_equal():
    ops = compiled("ops")
    compare([ops, str(OPERATIONS)], timeout=180)


def without_host(kind):
    """Host operations, by --stats, of many operations less those of one."""
    ops = compiled("ops")
    counted = {}
    for count in (2, OPERATIONS):
        outcome = keep([ops, str(count), *([kind] if kind else [])], args=["--stats"], timeout=180)
        expect(outcome.code == 0, repr(outcome))
        counted[count] = stats(outcome)
    more = {name: value[0] - counted[2].get(name, (0, 0))[0] for name, value in counted[OPERATIONS].items()}
    expect(more["total"] == 0, f"{OPERATIONS} operations cause {more['total']} more host operations than 2: {({k: v for k, v in more.items() if v})}")


for kind_name in KINDS:
    add(f"{OPERATIONS} {kind_name} operations need no host operation", without_host, kind_name)
add(f"{OPERATIONS} operations of each kind in one keep need no host operation", without_host, None)


def host_calls(argv, timeout):
    """System calls of the host that a command makes, its children and threads included."""
    log = os.path.join(scratch(), "strace")
    outcome = command(["strace", "-f", "-c", "-o", log, *argv], timeout=timeout)
    expect(outcome.code == 0, f"under strace: {outcome!r}")
    with open(log, encoding="ascii", errors="replace") as f:
        rows = {fields[-1]: int(fields[3]) for fields in map(str.split, f) if len(fields) >= 5 and fields[3].isdigit()}
    expect("total" in rows, "strace counted nothing")
    return rows, outcome.seconds


@test(f"{OPERATIONS} operations of each kind in one keep cause under {MAX_HOST_CALLS} host system calls")
def few_host_calls():
    need("strace")
    ops = compiled("ops")
    if command(["strace", "-f", "-o", "/dev/null", "/bin/true"]).code:
        raise Failure("strace does not work here")
    # Waits for a CPU count too, and a busy host makes more of them: the best of three.
    for _ in range(3):
        few, seconds = host_calls([CELLA, "run", *QUIET, "--", ops, "2"], 300)
        many, more_seconds = host_calls([CELLA, "run", *QUIET, "--", ops, str(OPERATIONS)], 300)
        more = {k: v - few.get(k, 0) for k, v in many.items()}
        # Time alone causes some: every 4 ms a tick of the CPU that computes and a look of the one that idles.
        by_time = 2 * max(0, more_seconds - seconds) / 0.004
        if more["total"] - by_time < MAX_HOST_CALLS:
            return
    largest = sorted(((v, k) for k, v in more.items() if k != "total"), reverse=True)[:4]
    raise Failure(f"{more['total']} more host system calls than for 2 operations, most of them {largest}")


@test("32 busy processes on 2 CPUs all get on")
def fair_processes():
    script = "for i in $(seq 32); do (n=0; while [ $n -lt 3000 ]; do n=$((n+1)); done; echo done $i) & done | sort -k 2n; wait"
    compare(["/bin/bash", "-c", script], args=["--cpus", "2"], timeout=120)


@test("a thread that spins does not starve others, on one CPU")
def spinner():
    script = "(while :; do :; done) & p=$!; for i in 1 2 3 4 5; do sleep 0.05; echo $i; done; kill $p; wait $p 2>/dev/null; echo $?"
    outcome = keep(["/bin/bash", "-c", script], args=["--cpus", "1"], timeout=60)
    theirs = native(["/bin/bash", "-c", script])
    expect(outcome.out == theirs.out, f"{outcome!r}, natively {theirs!r}")
    expect(outcome.seconds < 20, f"took {outcome.seconds:.0f} s")


@test("a pipeline that moves 200 MB")
def big_pipeline():
    compare(["/bin/sh", "-c", "dd if=/dev/zero bs=64k count=3200 2>/dev/null | cat | cat | md5sum"], timeout=120)


if __name__ == "__main__":
    sys.exit(main())
