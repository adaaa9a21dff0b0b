# SPDX-License-Identifier: Apache-2.0
"""stress-ng in keeps: groups of stressors side by side, each verified, and nothing left behind when they have ended."""

import re
import sys

from common import LONG, QUICK, add, expect, keep, main, need, need_calls

SECONDS = 300 if LONG else 3 if QUICK else 10
# What a round may leave more than the one before.
HEAP_SLACK_KIB = 1024
MEMORY_SLACK_KIB = 16 << 10

GROUPS = [
    ("processor and memory", "--cpu 1 --vm 1 --vm-bytes 32m --mmap 1 --mmap-bytes 8m --mremap 1 --mremap-bytes 8m --madvise 1 --brk 1", ()),
    ("pipes, futexes, switches", "--pipe 1 --futex 2 --switch 1 --eventfd 1 --poll 1 --mutex 1 --membarrier 1", ()),
    ("processes and threads", "--fork 2 --vfork 1 --clone 1 --zombie 1 --daemon 1 --wait 1 --pthread 1", ()),
    ("signals", "--sigfd 1 --sigq 1 --sigsegv 1 --sigfpe 1 --kill 1 --sigpending 1 --sigsuspend 1 --sigrt 1 --sigabrt 1", ()),
    ("timers and clocks", "--timer 1 --timerfd 1 --itimer 1 --clock 1 --nanosleep 1 --hrtimers 1 --alarm 1", ()),
    ("files", "--dentry 1 --rename 1 --flock 1 --lockf 1 --seek 1 --sendfile 1 --getdent 1 --fstat 1", ()),
    ("POSIX semaphores and shared memory", "--sem 2 --shm 1 --shm-bytes 16m", ()),
    ("epoll", "--epoll 2", ("socket",)),
    ("sockets", "--sock 2 --udp 2", ("socket",)),
    ("System V", "--sem-sysv 1 --msg 1 --shm-sysv 1 --shm-sysv-bytes 16m", ("semget", "msgget", "shmget")),
    ("POSIX message queues", "--mq 2", ("mq_open",)),
]

# Rounds of half the time each; figures after each of them, for what a first round leaves is caches, and only a leak goes on growing.
SCRIPT = """
cd /tmp
show() { sleep 1; set -- /proc/[0-9]*; echo "left $# $(awk '/MemTotal|MemFree|^Cached|Slab/ {print $2}' /proc/meminfo | tr '\\n' ' ')"; }
for round in 1 2 $3; do stress-ng $1 --timeout $2 --verify --metrics-brief --temp-path /tmp --stdout || exit; show; done
"""


def left_behind(out):
    """After each round: processes, KiB of memory without the page cache, KiB of kernel heap."""
    for line in re.findall(r"^left (.*)", out, re.M):
        processes, total, free, cached, heap = map(int, line.split())
        yield processes, total - free - cached, heap


def growth(before, after):
    limits = (0, MEMORY_SLACK_KIB, HEAP_SLACK_KIB)
    return [f"{what} {a} to {b}" for what, a, b, most in zip(("processes", "KiB of memory", "KiB of kernel heap"), before, after, limits) if b > a + most]


def run(options, seconds, more=""):
    mine = keep(["/bin/sh", "-c", SCRIPT, "sh", options, str(seconds), more], args=["--memory", "4G"], timeout=seconds * 6 + 120)
    out = mine.out.decode("utf-8", "replace")
    wrong = [line for line in out.splitlines() if re.search(r"\b(fail|error|warn|skipped)\b", line)]
    expect(mine.code == 0 and not wrong, f"{wrong[:5]} {mine!r}")
    done = {}
    for name, count in re.findall(r"metrc: \[\d+\] (\S+) +(\d+) ", out):
        done[name] = done.get(name, 0) + int(count)
    for name in re.findall(r"--(\S+) \d+(?= |$)", options):
        expect(done.get(name, 0) > 0, f"{name} has done nothing: {done}")
    return list(left_behind(out))


def stress(options, calls):
    need("stress-ng")
    need_calls(*calls)
    seconds = (SECONDS + 1) // 2
    rounds = run(options, seconds)
    if growth(*rounds):  # a leak grows in every round
        rounds = run(options, seconds, "3 4 5")
        steps = [growth(a, b) for a, b in zip(rounds, rounds[1:])]
        expect(not all(steps), f"not all is given back: {steps}")


for title, stressors, wanted in GROUPS:
    add(f"stress-ng, {title}", stress, stressors, wanted)

if __name__ == "__main__":
    sys.exit(main(workers=2))
