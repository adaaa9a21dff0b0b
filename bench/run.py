#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The performance table: native and keep in turn, medians and their ratio, in one run on one machine.

Writes bench/results/process-DATE.json and the table in docs/performance.md. Ratios below 1 mean that the keep is faster. Only ratios of one
run mean anything; nothing here is asserted.
"""

import argparse
import datetime
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"

# name, what, count, target ratio (design), baseline
MICRO = [
    ("getppid", "system call that stays in the keep, patched site (getppid)", 400000, 0.2, "native"),
    ("clock", "clock_gettime through the vDSO", 1000000, None, "native vDSO"),
    ("pread", "pread of cached 1 KiB", 300000, 0.6, "native"),
    ("futex", "futex ping-pong between threads of a process", 40000, 0.2, "native, unpinned"),
    ("pipe-threads", "pipe ping-pong between threads of a process", 40000, 0.2, "native, unpinned"),
    ("pipe-processes", "pipe ping-pong between processes, all CPUs", 30000, 0.3, "native, unpinned"),
    ("pipe-one-cpu", "pipe ping-pong between processes, one CPU", 30000, 1.5, "native, same CPU"),
    ("fork", "fork + exit + wait", 1000, 1.5, "native"),
    ("vfork-exec", "vfork + exec of a static true", 500, 1.0, "native"),
    ("touch", "first touch of memory, a page", 65536, 1.2, "native"),
    ("cpu", "CPU-bound (xorshift)", 100000, 1.02, "native"),
]


def command(argv, **kw):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True, **kw).stdout.decode()


def wall(argv):
    """Wall seconds of a command that must succeed."""
    start = time.perf_counter()
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


class Bench:
    def __init__(self, cella, work, rounds):
        self.keep = [cella, "run", "--tee", "process", "--root", "/", "--"]
        self.cella = cella
        self.work = work
        self.rounds = rounds
        self.rows = []

    def row(self, what, baseline, target, unit, native, keep):
        """native, keep: lists of figures taken in turn."""
        n, k = statistics.median(native), statistics.median(keep)
        self.rows.append({"what": what, "baseline": baseline, "unit": unit, "native": n, "keep": k, "ratio": k / n, "target": target, "native_all": native, "keep_all": keep})
        reached = "" if target is None else "  reached" if k / n <= target else "  missed"
        print(f"{what:<62} {n:>12.1f} {k:>12.1f} {unit:<3} {k / n:>6.2f} x{'' if target is None else f'  (target {target} x)'}{reached}", flush=True)

    def micro(self):
        binary = os.path.join(self.work, "micro")
        for name, what, count, target, baseline in MICRO:
            native, keep = [], []
            for _ in range(self.rounds):
                native.append(float(command([binary, name, str(count), self.work])))
                keep.append(float(command(self.keep + [binary, name, str(count), self.work])))
            self.row(what, baseline, target, "ns", native, keep)

    def programs(self):
        work = self.work
        sql = "create table t(a, b); with recursive c(x) as (select 1 union all select x+1 from c where x < 300000) insert into t select x, x*x from c; create index i on t(b); select sum(a) from t where b % 7 = 0;"
        compute = "s = 0\nfor i in range(3000000):\n    s += i * i % 7\nprint(s)"
        rows = [
            ("python3 -S -c pass", 1.15, ["/usr/bin/python3", "-S", "-c", "pass"]),
            ("python3, 3,000,000 rounds of a loop", 1.02, ["/usr/bin/python3", "-S", "-c", compute]),
            ("sqlite3, 300,000 rows, index, query (in memory)", 1.15, ["/usr/bin/sqlite3", ":memory:", sql]),
            ("gcc -O2 of a C file", 1.15, ["/usr/bin/gcc", "-O2", "-w", "-c", os.path.join(work, "micro.c"), "-o", "/dev/null"]),
        ]
        for what, target, argv in rows:
            # A program that starts a keep pays for it in each run; so run it several times inside one.
            times = 5
            script = 'i=0; while [ $i -lt %d ]; do "$@" >/dev/null || exit 1; i=$((i+1)); done' % times
            timed = ["/bin/bash", "-c", f'"$@" >/dev/null; TIMEFORMAT=%R; time {{ {script}; }}', "bash"] + argv
            native, keep = [], []
            for _ in range(self.rounds):
                native.append(self.timed(timed, times))
                keep.append(self.timed(self.keep + timed, times))
            self.row(what + ", warm", "native", target, "ms", native, keep)

    @staticmethod
    def timed(argv, times):
        p = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
        return float(re.findall(r"^(\d+\.\d+)$", p.stderr.decode(), re.M)[-1]) * 1000 / times

    def start(self):
        true = os.path.join(self.work, "true")
        bundle = os.path.join(self.work, "bundle")
        try:
            os.makedirs(os.path.join(bundle, "rootfs"))
            shutil.copy(true, os.path.join(bundle, "rootfs", "true"))
            command(["runc", "spec", "-b", bundle])
            with open(os.path.join(bundle, "config.json"), encoding="utf-8") as f:
                spec = json.load(f)
            spec["process"].update(terminal=False, args=["/true"])
            # Mixed control-group hierarchies refuse to be mounted, and a static program needs none.
            spec["mounts"] = [m for m in spec["mounts"] if m["type"] != "cgroup"]
            with open(os.path.join(bundle, "config.json"), "w", encoding="utf-8") as f:
                json.dump(spec, f)
            runc = ["runc", "--root", os.path.join(self.work, "runc"), "run", "-b", bundle, "cella-bench"]
            wall(runc)
        except (OSError, subprocess.CalledProcessError) as e:
            print(f"start of a static program: runc does not run here ({e}); row left out")
            return
        native, keep = [], []
        for _ in range(self.rounds * 3):
            native.append(wall(runc) * 1000)
            keep.append(wall(self.keep + [true]) * 1000)
        self.row("start of a static program, to its exit", "runc run", 0.5, "ms", native, keep)

    def network(self):
        """Servers behind -p against native ones: both run all the time, the client beside them takes turns."""
        work = self.work
        with open(os.path.join(work, "page"), "wb") as f:
            f.write(b"x" * 10240)
        redis = ["/usr/bin/redis-server", "--save", "", "--appendonly", "no", "--protected-mode", "no", "--port"]
        for kind, port in (("native", 17871), ("keep", 17872)):
            temp = " ".join(f"{name}_temp_path {work}/{kind}-{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
            with open(os.path.join(work, f"nginx-{kind}.conf"), "w", encoding="ascii") as f:
                f.write(f"daemon off; worker_processes 1; user root; error_log stderr crit; pid {work}/nginx-{kind}.pid; events {{}}\n"
                        f"http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; {temp}\n"
                        f"server {{ listen {port}; root {work}; }} }}\n")
        nginx = ["/usr/sbin/nginx", "-p", work, "-c"]
        rows = [
            ("redis GET through -p", 0.8, lambda port, kind: redis + [str(port)], lambda port: self.redis(port, "get")),
            ("redis SET through -p", 0.8, lambda port, kind: redis + [str(port)], lambda port: self.redis(port, "set")),
            ("nginx 10 KB through -p", 0.8, lambda port, kind: nginx + [os.path.join(work, f"nginx-{kind}.conf")], self.wrk),
        ]
        for what, target, server, client in rows:
            host = "17873"
            native = subprocess.Popen(server(17871, "native"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            keep = subprocess.Popen(self.keep[:-1] + ["-p", f"{host}:17872", "--"] + server(17872, "keep"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                self.listening(17871)
                self.listening(int(host))
                rates = {17871: [], int(host): []}
                for _ in range(self.rounds + 1):
                    for port, taken in rates.items():
                        taken.append(client(port))
                # The first round is the servers' first: left out.
                self.rate_row(what, "native, same client", target, rates[17871][1:], rates[int(host)][1:])
            finally:
                for p in (native, keep):
                    p.terminate()
                    p.wait()
        inside = "/usr/bin/redis-server --save '' --port 17871 >/dev/null & sleep 1; redis-benchmark -p 17871 -t get -n 100000 -c 50 --csv; kill $!; wait"
        native, keep = [], []
        for _ in range(self.rounds):
            native.append(self.redis_rate(command(["/bin/bash", "-c", inside])))
            keep.append(self.redis_rate(command(self.keep + ["/bin/bash", "-c", inside])))
        self.rate_row("redis GET, client and server in the keep", "both native", None, native, keep)

    def rate_row(self, what, baseline, target, native, keep):
        """Requests a second: here more is better, and the target is the least ratio."""
        n, k = statistics.median(native), statistics.median(keep)
        self.rows.append({"what": what, "baseline": baseline, "unit": "req/s", "native": n, "keep": k, "ratio": k / n, "target": target, "at_least": True, "native_all": native, "keep_all": keep})
        reached = "" if target is None else "  reached" if k / n >= target else "  missed"
        print(f"{what:<62} {n:>12.1f} {k:>12.1f} req/s {k / n:>4.2f} x{'' if target is None else f'  (target at least {target} x)'}{reached}", flush=True)

    @staticmethod
    def listening(port):
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 0.5).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"no server at port {port}")

    @staticmethod
    def redis_rate(csv):
        return float(re.findall(r'^"[GS]ET","([\d.]+)"', csv, re.M)[-1])

    def redis(self, port, what):
        return self.redis_rate(command(["redis-benchmark", "-p", str(port), "-t", what, "-n", "100000", "-c", "50", "--csv"]))

    @staticmethod
    def wrk(port):
        return float(re.findall(r"Requests/sec:\s+([\d.]+)", command(["wrk", "-t1", "-c50", "-d2s", f"http://127.0.0.1:{port}/page"]))[-1])

    def idle_memory(self):
        """MiB that an idle keep holds beyond its workload: what its host processes have of private memory and of files, and its memfds in whole."""
        p = subprocess.Popen(self.keep + ["/bin/sleep", "30"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(1.0)
            native = subprocess.Popen(["/bin/sleep", "30"])
            time.sleep(0.2)
            workload = self.pss(native.pid)
            native.kill()
            native.wait()
            pids, todo = [], [p.pid]
            while todo:
                pid = todo.pop()
                pids.append(pid)
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as f:
                        todo += [int(c) for c in f.read().split()]
            total = sum(self.pss(pid) for pid in pids) + self.memfds(pids)
            print(f"{'resident memory of an idle keep beyond its workload':<62} {total - workload:>25.1f} MiB  (target 8 MiB)")
            self.rows.append({"what": "resident memory of an idle keep beyond its workload", "baseline": "sleep natively", "unit": "MiB", "keep": total - workload, "target": 8})
        finally:
            p.terminate()
            p.wait()

    @staticmethod
    def pss(pid):
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
                return sum(int(kib) for kib in re.findall(r"^Pss_(?:Anon|File):\s+(\d+)", f.read(), re.M)) / 1024
        except OSError:
            return 0.0

    @staticmethod
    def memfds(pids):
        """MiB of the memory files that processes have open, mapped or not; each counts once."""
        found = {}
        for pid in pids:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                path = f"/proc/{pid}/fd/{fd}"
                if "memfd:" in os.readlink(path):
                    st = os.stat(path)
                    found[st.st_ino] = st.st_blocks * 512 / (1 << 20)
        return sum(found.values())


def table(rows):
    lines = ["| what | baseline | native | keep | ratio | target |", "|---|---|---|---|---|---|"]
    for r in rows:
        if "ratio" in r:
            target = "" if r["target"] is None else f"at {'least' if r.get('at_least') else 'most'} {r['target']} x"
            lines.append(f"| {r['what']} | {r['baseline']} | {r['native']:.1f} {r['unit']} | {r['keep']:.1f} {r['unit']} | {r['ratio']:.2f} x | {target} |")
        else:
            lines.append(f"| {r['what']} | {r['baseline']} | | {r['keep']:.1f} {r['unit']} | | at most {r['target']} {r['unit']} |")
    return "\n".join(lines)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default="build")
    p.add_argument("--quick", action="store_true", help="fewer rounds; writes nothing")
    args = p.parse_args()
    cella = os.path.abspath(os.path.join(args.build, "cella"))
    with tempfile.TemporaryDirectory(prefix="cella-bench-") as work:
        os.chmod(work, 0o755)
        shutil.copy(os.path.join(ROOT, "bench", "src", "micro.c"), work)
        with open(os.path.join(work, "true.c"), "w", encoding="ascii") as f:
            f.write("int main(void) { return 0; }\n")
        with open(os.path.join(work, "data"), "wb") as f:
            f.write(os.urandom(65536))
        for name in ("micro", "true"):
            command(["gcc", "-O2", "-static", "-o", os.path.join(work, name), os.path.join(work, name + ".c"), "-lpthread"])
        b = Bench(cella, work, 2 if args.quick else 5)
        print(f"{'':<62} {'native':>12} {'keep':>12}")
        b.micro()
        b.start()
        b.programs()
        b.network()
        b.idle_memory()
    if args.quick:
        return 0
    now = datetime.datetime.now(datetime.timezone.utc)
    commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], stdout=subprocess.PIPE, check=False).stdout.decode().strip()
    result = {"date": now.isoformat(timespec="seconds"), "commit": commit, "kernel": os.uname().release, "cpus": os.cpu_count(), "tee": "process", "rows": b.rows}
    path = os.path.join(ROOT, "bench", "results", f"process-{now:%Y-%m-%d}.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(result, f, indent=1)
        f.write("\n")
    doc = os.path.join(ROOT, "docs", "performance.md")
    with open(doc, encoding="utf-8") as f:
        text = f.read()
    head = f"{os.cpu_count()} CPUs, Linux {os.uname().release}, {now:%Y-%m-%d}; medians of one run, native and keep in turn.\n\n"
    text = text[: text.index(BEGIN) + len(BEGIN)] + "\n" + head + table(b.rows) + "\n" + text[text.index(END):]
    with open(doc, "w", encoding="utf-8") as f:
        f.write(text)
    print(f"written: {os.path.relpath(path, ROOT)}, docs/performance.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
