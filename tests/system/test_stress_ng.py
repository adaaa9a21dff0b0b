# SPDX-License-Identifier: Apache-2.0
"""stress-ng in keeps: groups of stressors side by side, each verified, and nothing left behind when they have ended."""

import re
import sys

from common import LONG, QUICK, Failure, add, expect, keep, main, need, need_calls, short

SECONDS = 300 if LONG else 3 if QUICK else 10
# What may be left after the second run and was not after the first. The heap keeps names and inodes that were looked up; the keep's
# memory is sampled.
HEAP_SLACK_KIB = 1024
MEMORY_SLACK_KIB = 16 << 10

GROUPS = [
    ("processor and memory", "--cpu 1 --vm 2 --vm-bytes 96m --mmap 1 --mmap-bytes 48m --mremap 1 --madvise 1 --mprotect 1 --brk 1", ()),
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

SCRIPT = """
cd /tmp
show() { sleep 1; ls -d /proc/[0-9]* | wc -l; awk '/MemTotal|MemFree|Cached|Slab/ {print $2}' /proc/meminfo; }
run() { stress-ng $1 --timeout $2 --verify --metrics-brief --temp-path /tmp --stdout; }
run "$1" 1 >/dev/null && show && run "$1" "$2" && show
"""


def numbers(lines):
    """Processes, and KiB of memory without the page cache, and of kernel heap."""
    processes, total, free, cached, slab = map(int, [*lines[:4], lines[-1]])
    return processes, total - free - cached, slab


def stress(options, calls):
    need("stress-ng")
    need_calls(*calls)
    mine = keep(["/bin/sh", "-c", SCRIPT, "sh", options, str(SECONDS)], args=["--memory", "4G"], timeout=SECONDS * 3 + 120)
    out = mine.out.decode("utf-8", "replace")
    expect(mine.code == 0, f"{short(out, 900)} {mine!r}")
    wrong = [line for line in out.splitlines() if re.search(r"\b(fail|error|warn|skipped)\b", line)]
    expect(not wrong, f"{wrong[:5]}")
    done = dict(re.findall(r"metrc: \[\d+\] (\S+) +(\d+) ", out))
    for name in re.findall(r"--(\S+) \d+(?: |$)", options):
        expect(int(done.get(name, 0)) > 0, f"{name} has done nothing: {done}")
    lines = out.splitlines()
    (processes, memory, heap), (processes_after, memory_after, heap_after) = numbers(lines[:6]), numbers(lines[-6:])
    left = f"processes {processes} to {processes_after}, memory {memory} to {memory_after} KiB, kernel heap {heap} to {heap_after} KiB"
    if "-v" in sys.argv:
        print(left, done)
    if processes_after > processes or memory_after > memory + MEMORY_SLACK_KIB or heap_after > heap + HEAP_SLACK_KIB:
        raise Failure(f"not all is given back: {left}")


for title, stressors, wanted in GROUPS:
    add(f"stress-ng, {title}", stress, stressors, wanted)

if __name__ == "__main__":
    sys.exit(main(workers=2))
