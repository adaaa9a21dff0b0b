#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real programs in process keeps whose host lies (build/hostile-cella: launcher.c of this folder).

  python3 tests/hostile/run_keep.py [--seconds N] [--seed FIRST] [--build build] [--keep-output]

What must hold, whatever the host says: the keep's kernel neither faults nor panics, the command ends in time (or
when it is told to), and what the host contradicts itself in is an error and not silently wrong data. That a program fails is fine. A
failure names its seed; the same seed tells the same lies as far as timing lets it."""

import argparse
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "system"))
import net_peer  # noqa: E402
RESULT, LENGTH, DATA, FILE_BYTES, COMPLETION, CLOCK, WINDOW, SIGNALS, MEMORY, RACE = (1 << i for i in range(10))
BAD = re.compile(r"kernel panic|signal \d+ in the kernel|does not answer|broke the rules|ended unexpectedly|assertion|stack smash|Sanitizer", re.I)
# Boot information that is not well formed may end the keep, by its own kernel.
BOOT_REFUSED = re.compile(r"boot information is not well formed|the host gives too little|no memory for|ended unexpectedly, with code 125")
LIMIT_S = 60
MUST_END_S = 15

PROGRAMS = [
    (["/bin/ls", "-lR", "/usr/share/perl"], 30),
    (["/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do cat /etc/passwd | wc -l; test -d /usr/lib || exit 1; done"], 60),
    (["/usr/bin/python3", "-c", "import json,hashlib,os,subprocess\nfor r,d,f in os.walk('/usr/lib/python3'): pass\nprint(json.dumps(sorted(os.listdir('/etc'))[:5]))"], 150),
    (["/usr/bin/sqlite3", "/vol/db", "create table if not exists t(a,b); insert into t select value, hex(randomblob(50)) from generate_series(1,500); "
      "select count(*), sum(length(b)) from t; pragma integrity_check;"], 8),
    (["/bin/sh", "-c", "cd /vol && mkdir -p a/b && for i in 1 2 3 4 5; do echo $i > a/b/f$i; mv a/b/f$i a/g$i; ln -s g$i a/l$i; cat a/l$i; done; ls -la a; rm -rf a; "
      "cp /vol/known /vol/copy; find /vol -type f | sort"], 12),
    (["/bin/sh", "-c", "read line; echo $line; sleep 0.2; date; timeout 1 sleep 5; cat | wc -c"], 30),
]
KINDS = [RESULT, LENGTH, DATA, COMPLETION, RACE | DATA, CLOCK | WINDOW, RESULT | LENGTH | DATA | FILE_BYTES, CLOCK | SIGNALS | MEMORY,
         RESULT | LENGTH | DATA | FILE_BYTES | COMPLETION | CLOCK | WINDOW, (1 << 10) - 1]


# With the network: a client of net_peer.py, and a server that it cannot be a client of.
CLIENT = ["/usr/bin/python3", os.path.join(ROOT, "tests", "system", "src", "net_client.py"), "10.0.2.2"]
SERVER = ["/usr/bin/python3", "-c", "import socket\ns = socket.create_server(('0.0.0.0', 7)); s.settimeout(5)\nc = s.accept()[0]; c.settimeout(5); "
          "d = c.recv(100); c.sendall(d); c.close()"]


class Keeps:
    def __init__(self, build, volume):
        self.command = os.path.join(build, "hostile-cella")
        self.volume = volume

    def run(self, argv, seed, every, kinds, boot=False, limit=LIMIT_S, net=()):
        """(exit code, output, messages, complaint or None)"""
        env = dict(os.environ, CELLA_LIAR=f"{seed},{every},{kinds}" + (",boot" if boot else ""))
        p = subprocess.Popen([self.command, "run", "--tee", "process", "--memory", "512M", "--root", "/", "-v", f"{self.volume}:/vol:rw", *net, "--"] + argv,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
        complaint = None
        try:
            out, err = p.communicate(b"a line of input\n" * 50, timeout=limit)
        except subprocess.TimeoutExpired:
            # A program that a lie has sent to sleep ends when it is told to.
            p.send_signal(signal.SIGTERM)
            try:
                out, err = p.communicate(timeout=MUST_END_S)
            except subprocess.TimeoutExpired:
                p.kill()
                out, err = p.communicate()
                complaint = f"does not end when told to after {limit} s"
        text = err.decode("utf-8", "replace")
        if boot:
            text = BOOT_REFUSED.sub("", text).replace("kernel panic: ", "", 1) if BOOT_REFUSED.search(text) else text
        found = BAD.search(text)
        if found and not complaint:
            complaint = f"'{found.group(0)}'"
        return p.returncode, out, text, complaint


class Report:
    def __init__(self):
        self.failed = 0

    def say(self, good, name, why=""):
        self.failed += not good
        print(f"ok {name}" if good else f"not ok {name}: {why}", flush=True)


def lies(keeps, report, first_seed, seconds):
    """Every program under every kind of lie, as often as there is time."""
    until = time.monotonic() + seconds
    told = runs = 0
    seed = first_seed
    while time.monotonic() < until:
        argv, every = PROGRAMS[seed % len(PROGRAMS)]
        kinds = KINDS[seed // len(PROGRAMS) % len(KINDS)]
        every = max(2, every >> seed % 3)
        make_files(keeps.volume)
        _, _, err, complaint = keeps.run(argv, seed, every, kinds)
        runs += 1
        m = re.search(r"liar: (\d+) lies", err)
        told += int(m.group(1)) if m else 0
        if complaint:
            report.say(False, f"keep_of_a_lying_host_seed_{seed}", f"{complaint}, CELLA_LIAR={seed},{every},{kinds} {argv[0]}\n{err[-1500:]}")
        seed += 1
    report.say(told > runs, "keeps_of_a_lying_host_neither_crash_nor_hang", f"{told} lies in {runs} runs")
    print(f"# {runs} runs, {told} lies, seeds {first_seed} to {seed - 1}")


def visit(port):
    """A client that comes again and again, for as long as this program runs."""
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as s:
            s.sendall(b"hello")
            s.recv(10)
        time.sleep(0.05)


def network(keeps, report, first_seed, seconds):
    """A client and a server of the outside. What they see may be wrong: the network is the host's."""
    until = time.monotonic() + seconds
    told = runs = 0
    seed = first_seed
    with net_peer.peer() as ports, socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        published = s.getsockname()[1]
        s.close()
        threading.Thread(target=visit, args=(published,), daemon=True).start()
        tcp, closed, udp = map(str, ports)
        grants = [w for p in (tcp, closed, closed + "/udp", udp + "/udp") for w in ("--allow-host", p)]
        while time.monotonic() < until or runs < 4:
            case = ("half_close", "udp", "names", "errors")[seed % 4]
            argv, net = ([*CLIENT, tcp, closed, udp, case], ["--net", "out", *grants]) if seed % 5 else (SERVER, ["-p", f"{published}:7"])
            kinds = (DATA, RESULT | LENGTH, COMPLETION, RACE | DATA, (1 << 10) - 1)[seed // 4 % 5]
            _, _, err, complaint = keeps.run(argv, seed, 6, kinds, net=net, limit=15)
            runs += 1
            m = re.search(r"liar: (\d+) lies", err)
            told += int(m.group(1)) if m else 0
            if complaint:
                report.say(False, f"network_of_a_lying_host_seed_{seed}", f"{complaint}, CELLA_LIAR={seed},6,{kinds} {argv[-1][:20]}\n{err[-1500:]}")
            seed += 1
    report.say(told > runs, "networks_of_a_lying_host_neither_crash_nor_hang", f"{told} lies in {runs} runs")


def boot_lies(keeps, report, first_seed, count):
    for seed in range(first_seed, first_seed + count):
        _, _, err, complaint = keeps.run(["/bin/echo", "ok"], seed, 0, 0, boot=True, limit=20)
        if complaint:
            report.say(False, f"boot_information_seed_{seed}", f"{complaint}\n{err[-1000:]}")
    report.say(True, "keeps_with_spoiled_boot_information_run_or_refuse")


def known_data(keeps, report, first_seed, count):
    """The host contradicts itself about lengths: right bytes, or an error."""
    with open(os.path.join(keeps.volume, "known"), "rb") as f:
        right = f.read()
    wrong = errors = 0
    for seed in range(first_seed, first_seed + count):
        code, out, err, complaint = keeps.run(["/bin/cat", "/vol/known"], seed, 12, LENGTH)
        # A program that ended well has seen the whole file; one that did not, the file's beginning at most.
        good = out == right if code == 0 else right.startswith(out)
        errors += code != 0
        if complaint or (not good and out):
            wrong += 1
            report.say(False, f"known_data_seed_{seed}", f"code {code}, {len(out)} bytes of {len(right)}, {complaint}\n{err[-500:]}")
    report.say(wrong == 0 and errors < count, "contradictory_lengths_are_errors_and_not_wrong_data", f"{errors} errors in {count} runs")


def make_files(volume):
    for name in os.listdir(volume):
        if name != "known":
            subprocess.run(["rm", "-rf", os.path.join(volume, name)], check=False)
    with open(os.path.join(volume, "known"), "wb") as f:
        f.write(b"".join(b"%07d\n" % i for i in range(40000)))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default=os.path.join(ROOT, "build"))
    p.add_argument("--seconds", type=float, default=20)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory() as volume:
        make_files(volume)
        keeps = Keeps(os.path.abspath(args.build), volume)
        code, out, err, complaint = keeps.run(["/bin/cat", "/vol/known"], 0, 0, 0)
        report.say(code == 0 and len(out) == 320000 and not complaint, "keep_of_the_double_without_lies", err[-1000:])
        known_data(keeps, report, args.seed, 8 if args.seconds < 60 else 60)
        boot_lies(keeps, report, args.seed, 15 if args.seconds < 60 else 300)
        lies(keeps, report, args.seed, args.seconds * 0.7)
        network(keeps, report, args.seed, args.seconds * 0.3)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
