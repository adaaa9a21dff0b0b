# SPDX-License-Identifier: Apache-2.0
"""python3: the interpreter itself, and modules of its own test suite, test by test: each that passes natively must pass in the keep."""

import os
import subprocess
import sys
import threading

from common import CELLA, ENVIRONMENT, QUICK, QUIET, REPORTED, SOURCES, Failure, Skip, add, command, compare, main, report, scratch

PYTHON = "/usr/bin/python3"
# Of asyncio the modules that work with sockets and processes: the others run in memory alone, for minutes.
MODULES = ("test_mmap", "test_os") if QUICK else (
    "test_subprocess", "test_threading", "test_signal", "test_mmap", "test_os", "test_pty", "test_socket", "test_select",
    *(f"test_asyncio.test_{name}" for name in ("sock_lowlevel", "streams", "server", "unix_events", "subprocess", "sendfile")))
# A test that hangs costs this many seconds without any verdict; the rest of its module is then run without it.
SILENCE_S = 90
MAX_RESTARTS = 8


def python(title, script, timeout=60, **how):
    add(f"python, {title}", compare, [PYTHON, "-c", script], timeout=timeout, **how)


python("version and arithmetic", "import sys, math; print(sys.version_info[:2], sys.platform, math.factorial(50), 2**0.5, divmod(-7, 3))")
python("threads and a queue", """
import threading, queue
q, out = queue.Queue(), []
def work():
    while (n := q.get()) is not None:
        out.append(n * n)
threads = [threading.Thread(target=work) for _ in range(8)]
for t in threads: t.start()
for n in range(5000): q.put(n)
for t in threads: q.put(None)
for t in threads: t.join()
print(len(out), sum(out))""")
python("multiprocessing pool", """
import multiprocessing as m
def f(n): return n * n
with m.get_context('fork').Pool(3) as p: print(sum(p.map(f, range(1000))), p.apply(f, (12,)))""")
python("processes with pipes and a timeout", """
import subprocess
print(subprocess.run(['tr', 'a-z', 'A-Z'], input=b'hello', capture_output=True).stdout)
p = subprocess.Popen(['sleep', '60'])
try: p.wait(0.2)
except subprocess.TimeoutExpired: print('timeout'); p.terminate()
print(p.wait())""")
python("asyncio with timers and subprocesses", """
import asyncio
async def main():
    async def tick(n):
        await asyncio.sleep(n / 50); return n
    print(await asyncio.gather(*(tick(n) for n in (3, 1, 2))))
    p = await asyncio.create_subprocess_exec('echo', 'sub', stdout=asyncio.subprocess.PIPE)
    print(await p.communicate(), p.returncode)
    try: await asyncio.wait_for(asyncio.sleep(10), 0.1)
    except asyncio.TimeoutError: print('timeout')
asyncio.run(main())""")
python("files, mmap, temporary directories", """
import mmap, os, tempfile, shutil
with tempfile.TemporaryDirectory() as d:
    p = os.path.join(d, 'f')
    with open(p, 'wb') as f: f.write(bytes(range(256)) * 100)
    with open(p, 'r+b') as f, mmap.mmap(f.fileno(), 0) as m:
        m[1000:1004] = b'cell'; m.flush(); print(m.find(b'cell'), len(m))
    print(open(p, 'rb').read()[999:1005]); shutil.copytree(d, d + 'x'); print(os.listdir(d + 'x')); shutil.rmtree(d + 'x')""")
python("signals and timers", """
import signal, time
hits = []
signal.signal(signal.SIGALRM, lambda *a: hits.append(1)); signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
end = time.monotonic() + 0.5
while len(hits) < 10 and time.monotonic() < end + 5: signal.pause()
signal.setitimer(signal.ITIMER_REAL, 0); print(len(hits) >= 10)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1}); signal.raise_signal(signal.SIGUSR1); print(signal.sigtimedwait({signal.SIGUSR1}, 1).si_signo)""")
python("hashes, compression and json of 8 MB", """
import hashlib, json, zlib, lzma, bz2, random
random.seed(7); data = bytes(random.choices(b'abcdefgh ', k=8 << 20))
print(hashlib.sha256(data).hexdigest(), hashlib.blake2b(data).hexdigest()[:16], len(zlib.compress(data, 1)) > 0)
assert bz2.decompress(bz2.compress(data[:1 << 20])) == data[:1 << 20] and lzma.decompress(lzma.compress(data[:1 << 18])) == data[:1 << 18]
print(hashlib.md5(json.dumps({str(i): [i, i / 3] for i in range(50000)}).encode()).hexdigest())""", timeout=120)
python("sqlite3 module", """
import sqlite3
c = sqlite3.connect('db'); c.execute('create table t(a, b)'); c.executemany('insert into t values(?, ?)', ((i, i * i % 97) for i in range(20000))); c.commit()
print(c.execute('select b, count(*), sum(a) from t group by b order by b limit 5').fetchall(), c.execute('pragma integrity_check').fetchall())""")
python("compiles its own library", "import compileall, io, contextlib, os\nos.makedirs('out')\nwith contextlib.redirect_stdout(io.StringIO()): ok = compileall.compile_dir('/usr/lib/python3.11/json', quiet=1, force=True)\nprint(bool(ok))")
python("exceptions and exit codes", "import sys; sys.stdout.write('partial'); sys.exit(13)", code=13)
python("many imports", "import argparse, ast, csv, ctypes, curses, dbm, decimal, difflib, email, fractions, http.client, inspect, logging, pickle, pydoc, random, re, select, socket, ssl, statistics, tarfile, unittest, urllib.request, uuid, xml.dom.minidom, zipfile; print(ctypes.CDLL(None).getpid() > 0, decimal.Decimal(2).sqrt())")


# ---- the interpreter's own tests ----

def run_module(front, module, cwd):
    """{CLASS.TEST: (verdict, reason)} of a module; front is what stands before `python3`. Tests that hang or crash are left out and named."""
    found, skipped = {}, []
    for _ in range(MAX_RESTARTS):
        argv = [*front, PYTHON, os.path.join(SOURCES, "unittest_driver.py"), "test." + module]
        for name in skipped:
            argv += ["--skip", name]
        running, ended, silent = None, False, False
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=cwd, env=ENVIRONMENT,
                              start_new_session=True) as p:
            watchdog = None

            def stop(process=p):
                nonlocal silent
                silent = True
                process.kill()

            for raw in p.stdout:
                if watchdog:
                    watchdog.cancel()
                watchdog = threading.Timer(SILENCE_S, stop)
                watchdog.start()
                mark, _, rest = raw.decode("utf-8", "replace").strip().partition(" ")
                if mark != "@@":
                    continue
                verdict, _, rest = rest.partition(" ")
                name, _, reason = rest.partition(" ")
                if verdict == "end":
                    ended = True
                elif verdict == "start":
                    running = name
                else:
                    found[name] = (verdict, reason)
                    skipped.append(name)
                    running = None
            if watchdog:
                watchdog.cancel()
            p.wait()
        if ended:
            break
        why = f"no end after {SILENCE_S} s" if silent else f"the interpreter ended with code {p.returncode}"
        if running is None:
            found["(module)"] = ("not-ok", why + " between tests")
            break
        found[running] = ("not-ok", why)
        skipped.append(running)
    return found


def suite():
    if command([PYTHON, "-c", "import test.test_os"]).code:
        raise Skip("libpython3.11-testsuite is not installed")
    answers = {}

    def run_all(where, front):
        for module in MODULES:
            answers[where, module] = run_module(front, module, scratch())

    # The two run beside each other: most of the time they sleep.
    other = threading.Thread(target=run_all, args=("native", []))
    other.start()
    run_all("keep", [CELLA, "run", *QUIET, "--"])
    other.join()

    passed_natively = 0
    for module in MODULES:
        native, keep = answers["native", module], answers["keep", module]
        if not native:
            raise Failure(f"{module} runs no test natively")
        for name, (verdict, reason) in sorted(native.items()):
            mine, why = keep.get(name, ("missing", ""))
            full = f"{module}.{name}"
            if verdict == "skip":
                report(full, "skip", reason or "skipped natively")
            elif verdict != "ok":
                report(full, "skip", "fails natively: " + reason)
            else:
                passed_natively += 1
                if mine == "ok":
                    report(full)
                elif mine == "skip":
                    report(full, "not ok", "is skipped in the keep: " + why)
                elif mine == "missing":
                    report(full, "not ok", "has no verdict in the keep; " + keep.get("(module)", ("", "its module stopped early"))[1])
                else:
                    report(full, "not ok", why)
    return REPORTED


add("suite", suite)

if __name__ == "__main__":
    sys.exit(main())
