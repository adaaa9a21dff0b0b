# SPDX-License-Identifier: Apache-2.0
"""The command: options, exit codes, messages for bad input, standard streams, signals, what the keep is given of the host."""

import contextlib
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time

from common import (BUILD, CELLA, ENVIRONMENT, QUIET, Failure, Skip, add, cella, command, compare, compiled, descendants, equal, expect, expect_error, keep,
                    main, native, need, scratch, short, stats, test, wait_until)

NOBODY = 65534


# ---- exit codes ----

def exit_code(script, code):
    outcome, _ = compare(["/bin/sh", "-c", script], code=code)
    expect(outcome.err == b"", f"stderr is {short(outcome.err)}")


for n in (0, 1, 42, 124, 255):
    add(f"exit code {n} is the program's", exit_code, f"exit {n}", n)
for signame in ("KILL", "TERM", "SEGV", "USR1", "ABRT"):
    add(f"a program ended by SIG{signame} gives 128+n", exit_code, f"kill -{signame} $$", 128 + getattr(signal, "SIG" + signame))


# ---- bad input: one line that says what to do ----

def bad(args, code, *words):
    expect_error(cella(args), code, *words)


def run_bad(args, code, *words):
    bad(["run", "--tee", "process", *args], code, *words)


OWN = 125
RUN_BAD = [
    ("no program", [], OWN, ["no program"]),
    ("an empty program name", ["--root", "/", "--", ""], OWN, ["empty"]),
    ("an unknown long option", ["--nonsense", "/bin/true"], OWN, ["--nonsense", "cella help run"]),
    ("an unknown short option", ["-Z", "/bin/true"], OWN, ["-Z"]),
    ("an option without its value", ["--memory"], OWN, ["--memory", "needs a value"]),
    ("a value where none belongs", ["--stats=1", "/bin/true"], OWN, ["--stats"]),
    ("a root that is missing", ["--root", "/no/such/directory", "/bin/true"], OWN, ["/no/such/directory"]),
    ("a root that is a file", ["--root", "/etc/passwd", "/bin/true"], OWN, ["not a directory"]),
    ("a root that shows kernel state", ["--root", "/proc", "/bin/true"], OWN, ["/proc"]),
    ("a memory limit that is no size", ["--root", "/", "--memory", "plenty", "/bin/true"], OWN, ["--memory", "512M"]),
    ("a memory limit with a wrong suffix", ["--root", "/", "--memory", "1X", "/bin/true"], OWN, ["--memory"]),
    ("a negative memory limit", ["--root", "/", "--memory", "-1", "/bin/true"], OWN, ["--memory"]),
    ("a memory limit of 0", ["--root", "/", "--memory", "0", "/bin/true"], OWN, ["--memory", "at least"]),
    ("a memory limit below what is needed", ["--root", "/", "--memory", "64K", "/bin/true"], OWN, ["--memory", "at least"]),
    ("a memory limit beyond 64 bits", ["--root", "/", "--memory", "99999999999999999999G", "/bin/true"], OWN, ["--memory"]),
    ("0 CPUs", ["--root", "/", "--cpus", "0", "/bin/true"], OWN, ["--cpus"]),
    ("too many CPUs", ["--root", "/", "--cpus", "100000", "/bin/true"], OWN, ["--cpus"]),
    ("CPUs that are no number", ["--root", "/", "--cpus", "two", "/bin/true"], OWN, ["--cpus"]),
    ("a user that is no number", ["--root", "/", "--user", "alice", "/bin/true"], OWN, ["--user"]),
    ("a user with an empty group", ["--root", "/", "--user", "1000:", "/bin/true"], OWN, ["--user"]),
    ("a user of -1", ["--root", "/", "--user", "4294967295", "/bin/true"], OWN, ["--user"]),
    ("a host name with a space", ["--root", "/", "--hostname", "a b", "/bin/true"], OWN, ["--hostname"]),
    ("a host name of 65 letters", ["--root", "/", "--hostname", "a" * 65, "/bin/true"], OWN, ["--hostname"]),
    ("an environment variable without =", ["--root", "/", "-e", "NAME", "/bin/true"], OWN, ["-e", "NAME=VALUE"]),
    ("an environment variable without a name", ["--root", "/", "-e", "=x", "/bin/true"], OWN, ["-e"]),
    ("a working directory that is relative", ["--root", "/", "--workdir", "tmp", "/bin/true"], OWN, ["--workdir"]),
    ("a working directory with ..", ["--root", "/", "--workdir", "/tmp/..", "/bin/true"], OWN, ["--workdir"]),
    ("a working directory that is missing", ["--root", "/", "--workdir", "/no/such", "/bin/true"], OWN, ["/no/such"]),
    ("a working directory that is a file", ["--root", "/", "--workdir", "/etc/passwd", "/bin/true"], OWN, ["/etc/passwd"]),
    ("a volume that is missing", ["--root", "/", "-v", "/no/such:/data", "/bin/true"], OWN, ["/no/such"]),
    ("a volume without its place", ["--root", "/", "-v", "/tmp", "/bin/true"], OWN, ["HOST:KEEP"]),
    ("a volume with a relative place", ["--root", "/", "-v", "/tmp:data", "/bin/true"], OWN, ["HOST:KEEP"]),
    ("a volume with a wrong mode", ["--root", "/", "-v", "/tmp:/data:rx", "/bin/true"], OWN, ["-v"]),
    ("a volume over the root", ["--root", "/", "-v", "/tmp:/", "/bin/true"], OWN, ["--root"]),
    ("a volume with .. in its place", ["--root", "/", "-v", "/tmp:/a/../b", "/bin/true"], OWN, [".."]),
    ("two volumes at one place", ["--root", "/", "-v", "/tmp:/data", "-v", "/etc:/data", "/bin/true"], OWN, ["twice"]),
    ("a volume that shows kernel state", ["--root", "/", "-v", "/proc/self:/data", "/bin/true"], OWN, ["/proc/self"]),
    ("a volume that is a device", ["--root", "/", "-v", "/dev/null:/data", "/bin/true"], OWN, ["device"]),
    ("a program that is not there", ["--root", "/", "--", "/no/such/program"], 127, ["/no/such/program"]),
    ("a program that is not in PATH", ["--root", "/", "--", "no-such-program-anywhere"], 127, ["no-such-program-anywhere"]),
    ("a program below a file", ["--root", "/", "--", "/etc/passwd/x"], 127, ["/etc/passwd/x"]),
    ("a program without execute permission", ["--root", "/", "--", "/etc/passwd"], 126, ["/etc/passwd", "permission"]),
    ("a program that is a directory", ["--root", "/", "--", "/etc"], 126, ["/etc"]),
]
for title, arguments, status, words_wanted in RUN_BAD:
    add(f"bad input, {title}", run_bad, arguments, status, *words_wanted)
add("bad input, a TEE that is not in this build", bad, ["run", "--tee", "sgx", "/bin/true"], OWN, "--tee", "cella info")
add("bad input, an option of info", bad, ["info", "--xml"], OWN, "--json")


@test("bad input, an unknown verb")
def unknown_verb():
    outcome = cella(["frobnicate"])
    expect(outcome.code == OWN and b"'frobnicate' is not a verb" in outcome.err and b"run" in outcome.err, repr(outcome))


@test("bad input, no verb")
def no_verb():
    outcome = cella([])
    expect(outcome.code == OWN and outcome.err.startswith(b"usage:"), repr(outcome))


# ---- bad input: programs that are no programs ----

def elf(machine=62, bits=2, order=1, kind=2, phoff=64, phentsize=56, phnum=1, segments=b"", length=None, entry=0x401000):
    """An ELF file with one loadable segment of exit(0), but for what the arguments spoil."""
    code = b"\x31\xff\xb8\x3c\x00\x00\x00\x0f\x05"
    header = b"\x7fELF" + bytes([bits, order, 1, 0]) + bytes(8)
    header += struct.pack("<HHIQQQIHHHHHH", kind, machine, 1, entry, phoff, 0, 0, 64, phentsize, phnum, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0x1000, 0x401000, 0x401000, len(code), len(code), 0x1000)
    body = (header + (segments or load)).ljust(0x1000, b"\0") + code
    return body[:length] if length is not None else body


def segment(kind, offset, vaddr, filesz, memsz, align=0x1000, flags=5):
    return struct.pack("<IIQQQQQQ", kind, flags, offset, vaddr, vaddr, filesz, memsz, align)


GOOD_LOAD = segment(1, 0x1000, 0x401000, 9, 9)
BAD_PROGRAMS = [
    ("an empty file", b""),
    ("a text without #!", b"echo hello\n"),
    ("a 32-bit ELF", elf(bits=1)),
    ("a big-endian ELF", elf(order=2)),
    ("an ELF for another machine", elf(machine=183)),
    ("an ELF object file", elf(kind=1)),
    ("an ELF core file", elf(kind=4)),
    ("an ELF of 4 bytes", elf(length=4)),
    ("an ELF cut within its header", elf(length=40)),
    ("an ELF cut within its program headers", elf(length=90)),
    ("an ELF with no program headers", elf(phnum=0)),
    ("an ELF with 65535 program headers", elf(phnum=65535)),
    ("an ELF with program headers of a wrong size", elf(phentsize=8)),
    ("an ELF with program headers past its end", elf(phoff=1 << 40)),
    ("an ELF with program headers at a negative offset", elf(phoff=(1 << 64) - 64)),
    ("an ELF with more in the file than in memory", elf(segments=segment(1, 0x1000, 0x401000, 0x2000, 0x1000))),
    ("an ELF with a segment in kernel memory", elf(segments=segment(1, 0x1000, 0x700000000000, 9, 9))),
    ("an ELF with a segment at the top of the address space", elf(segments=segment(1, 0x1000, 0xfffffffffffff000, 9, 0x2000))),
    ("an ELF with a segment of 2^63 bytes", elf(segments=segment(1, 0x1000, 0x401000, 9, 1 << 63))),
    ("an ELF with an unaligned segment", elf(segments=segment(1, 0x1001, 0x401000, 9, 9))),
    ("an ELF with an interpreter's name past its end", elf(phnum=2, segments=segment(3, 1 << 40, 0, 20, 20) + GOOD_LOAD)),
    ("an ELF with an interpreter's name of 1 MiB", elf(phnum=2, segments=segment(3, 0x1000, 0, 1 << 20, 1 << 20) + GOOD_LOAD)),
    ("an ELF with an interpreter's name without an end", elf(phnum=2, segments=segment(3, 0x1000, 0, 9, 9) + GOOD_LOAD)),
    ("an ELF whose interpreter is a directory", elf(phnum=2, segments=segment(3, 0xf00, 0, 5, 5) + GOOD_LOAD)[:0xf00] + b"/etc\0".ljust(0x100, b"\0") + b"x" * 9),
    ("a script without an interpreter's name", b"#!\n"),
    ("a script whose interpreter is a text", b"#!/etc/passwd\n"),
    ("a script whose interpreter is a directory", b"#!/etc\n"),
]


def bad_program(content):
    directory = scratch()
    path = os.path.join(directory, "program")
    with open(path, "wb") as f:
        f.write(content)
    os.chmod(path, 0o755)
    expect_error(keep([path]), 126, path)


for title, bytes_of in BAD_PROGRAMS:
    add(f"bad program, {title}", bad_program, bytes_of)


@test("the ELF of those tests runs when nothing is spoilt")
def good_program():
    path = os.path.join(scratch(), "program")
    with open(path, "wb") as f:
        f.write(elf())
    os.chmod(path, 0o755)
    compare([path])


@test("bad program, an interpreter that is missing")
def missing_interpreter():
    path = os.path.join(scratch(), "script")
    with open(path, "w", encoding="ascii") as f:
        f.write("#!/no/such/interpreter\n")
    os.chmod(path, 0o755)
    outcome = keep([path])
    expect_error(outcome, outcome.code if outcome.code in (126, 127) else 127, path)


# ---- information ----

@test("--version names version and commit")
def version():
    outcome = cella(["--version"])
    expect(outcome.code == 0 and re.fullmatch(rb"cella \d+\.\d+\.\d+ \([0-9a-z.+-]+\)\n", outcome.out), repr(outcome))


@test("help lists the verbs, and help VERB tells more of each")
def help_pages():
    outcome = cella(["help"])
    verbs = re.findall(rb"^  ([a-z]+) ", outcome.out, re.M)
    expect(outcome.code == 0 and {b"run", b"info", b"help"} <= set(verbs), repr(outcome))
    for verb in verbs:
        page = cella(["help", verb.decode()])
        expect(page.code == 0 and page.out.startswith(b"usage: cella " + verb), f"help {verb.decode()}: {page!r}")
    expect(cella(["run", "--help"]).out == cella(["help", "run"]).out, "run --help differs from help run")


@test("every option of the issue stands in help run")
def help_options():
    page = cella(["help", "run"]).out.decode()
    for option in ("--tee", "--root", "-v", "-e", "--workdir", "--user", "--hostname", "--cpus", "--memory", "--trace", "--stats"):
        expect(option in page, f"{option} is missing")


@test("info tells of the process keep, and a fix with every cross")
def info():
    outcome = cella(["info"])
    expect(outcome.code == 0 and b"process" in outcome.out, repr(outcome))
    found = json.loads(cella(["info", "--json"]).out)
    process = next(t for t in found["tees"] if t["name"] == "process")
    expect(process["usable"] is True and process["assurance"] == "none", f"process: {process}")
    for tee in found["tees"]:
        for check in tee["checks"]:
            expect(check["ok"] or check.get("fix"), f"{tee['name']} {check['name']} has no fix")
    expect(found["version"] and found["commit"] and found["kernel"], "version, commit or kernel is missing")


# ---- what the keep gives its program ----

@test("the environment is PATH, HOME and LANG")
def environment():
    outcome = command([CELLA, "run", *QUIET, "--", "/usr/bin/env"], env=dict(ENVIRONMENT, SECRET="do not pass"))
    lines = sorted(outcome.out.decode().splitlines())
    expect(lines == sorted(f"{k}={v}" for k, v in ENVIRONMENT.items()), f"the environment is {lines}")


@test("-e adds variables, the last one of a name counts")
def environment_added():
    outcome = keep(["/usr/bin/env"], args=["-e", "A=1", "-e", "B=x=y z", "-e", "A=2", "-e", "LANG=C", "-e", "EMPTY="])
    lines = outcome.out.decode().splitlines()
    for line in ("A=2", "B=x=y z", "LANG=C", "EMPTY="):
        expect(line in lines, f"{line} is missing in {lines}")
    expect("A=1" not in lines, "the first value of A is there too")


@test("arguments arrive as they are, also empty ones and options")
def arguments():
    argv = ["/usr/bin/printf", "[%s]", "", "a b", "--stats", "-v", "*", "\\n", "é", "'\"$x"]
    compare(argv)


@test("a program without a slash is looked up in the keep's PATH")
def path_lookup():
    expect(keep(["printf", "found"]).out == b"found", "printf is not found")
    expect(keep(["printf", "found"], args=["-e", "PATH=/nowhere"]).code == 127, "printf is found outside PATH")


@test("--hostname is what uname says")
def hostname():
    outcome = keep(["/bin/sh", "-c", "uname -n; cat /proc/sys/kernel/hostname"], args=["--hostname", "keep-7.test"])
    expect(outcome.out == b"keep-7.test\nkeep-7.test\n", repr(outcome))
    expect(keep(["/bin/uname", "-n"]).out == b"cella\n", "the default is not cella")


@test("--workdir is where the program starts")
def workdir():
    expect(keep(["/bin/pwd"], args=["--workdir", "/usr/lib"]).out == b"/usr/lib\n", "not in /usr/lib")
    directory = scratch()
    expect(keep(["/bin/pwd"], cwd=directory).out == directory.encode() + b"\n", "the default is not the caller's directory")
    expect(keep(["/bin/pwd"], args=["--root", directory], cwd="/").code == 127, "a program of the host is in an empty root")


@test("--user sets user, group and HOME")
def user():
    script = "id -u; id -g; echo $HOME"
    expect(keep(["/bin/sh", "-c", script], args=["--user", "1234:5678"]).out == b"1234\n5678\n/\n", "1234:5678")
    expect(keep(["/bin/sh", "-c", script], args=["--user", "1"]).out == b"1\n1\n/usr/sbin\n", "1 without a group takes the group of /etc/passwd")
    compare(["/bin/sh", "-c", "id -u; id -g; id -G"])


@test("a user other than root may not write what is root's, in the keep")
def user_rights():
    script = "(: >/etc/cella-test) 2>/dev/null && echo wrote || echo refused; : >/tmp/cella-test-mine && rm /tmp/cella-test-mine && echo mine"
    outcome = keep(["/bin/sh", "-c", script], args=["--user", "1234:5678"])
    expect(outcome.out == b"refused\nmine\n", repr(outcome))


@test("--cpus is how many CPUs the program sees")
def cpus():
    for n in (1, 2, 3):
        outcome = keep(["/bin/sh", "-c", "nproc; grep -c ^processor /proc/cpuinfo"], args=["--cpus", str(n)])
        expect(outcome.out == f"{n}\n{n}\n".encode(), f"--cpus {n}: {outcome!r}")
    compare(["/usr/bin/nproc"])


@test("--memory is a limit: a program beyond it is refused memory or ended, with a line that names it")
def memory():
    hog = compiled("hog")
    enough = keep([hog, "40"], args=["--memory", "256M"])
    expect(enough.out == b"40 MiB\n", f"40 MiB of 256: {enough!r}")
    outcome = keep([hog, "400"], args=["--memory", "128M"], timeout=60)
    if outcome.code == 137:
        expect(outcome.err.count(b"\n") == 1 and b"hog" in outcome.err, f"the process is not named in one line: {outcome!r}")
    else:
        expect(outcome.code == 12, f"neither ENOMEM nor an end by SIGKILL: {outcome!r}")


@test("--memory is a limit, not a reservation")
def memory_not_reserved():
    outcome = keep(["/bin/true"], args=["--memory", "1024G"])
    expect(outcome.code == 0 and outcome.err == b"", repr(outcome))


@test("many processes beyond the memory limit end by the keep's own OOM kill, and the rest goes on")
def memory_processes():
    hog = compiled("hog")
    script = f"{hog} 40 & {hog} 40 & {hog} 40 & {hog} 40 & {hog} 40 & wait; echo alive"
    outcome = keep(["/bin/bash", "-c", script], args=["--memory", "160M"], timeout=90)
    expect(outcome.code == 0 and outcome.out.endswith(b"alive\n"), repr(outcome))


@test("--stats reports the host operations")
def statistics():
    found = stats(keep(["/bin/cat", "/etc/passwd"], args=["--stats"]))
    expect(found["total"][0] > 0 and "read" in found, f"no reads: {found}")
    expect(sum(v[0] for k, v in found.items() if k != "total") == found["total"][0], f"the parts do not add up: {found}")


@test("--trace prints the calls")
def trace():
    outcome = keep(["/bin/echo", "hello"], args=["--trace"])
    expect(outcome.out == b"hello\n" and outcome.code == 0, repr(outcome))
    for call in (b"write(1", b"exit_group(0)", b"mmap("):
        expect(call in outcome.err, f"{call.decode()} is not in the trace: {short(outcome.err)}")


@test("without --root or --tee one line on stderr says what is used")
def announced():
    outcome = cella(["run", "--", "/bin/true"])
    expect(outcome.code == 0 and outcome.err.count(b"\n") == 1 and b"development" in outcome.err, repr(outcome))
    expect(keep(["/bin/true"]).err == b"", "not quiet when both are given")


# ---- standard streams ----

@test("1 MiB goes through stdin and stdout")
def pipe_through():
    data = os.urandom(1 << 20)
    outcome = keep(["/bin/cat"], stdin=data)
    expect(outcome.code == 0 and outcome.out == data, f"{len(outcome.out)} bytes came back, code {outcome.code}")


@test("stdout and stderr are two streams")
def streams():
    compare(["/bin/sh", "-c", "echo out; echo err >&2; echo out2"], stderr=True)


@test("stdin from a file keeps its offset")
def stdin_file():
    path = os.path.join(scratch(), "input")
    with open(path, "wb") as f:
        f.write(b"".join(b"%05d\n" % i for i in range(20000)))
    answers = []
    for front in ([CELLA, "run", *QUIET, "--"], []):
        with open(path, "rb") as f:
            f.seek(60)
            p = subprocess.run([*front, "/usr/bin/head", "-n", "2"], stdin=f, capture_output=True, env=ENVIRONMENT, check=False, timeout=30)
            answers.append((p.returncode, p.stdout))
    expect(answers[0] == answers[1] == (0, b"00010\n00011\n"), f"keep and native: {answers}")


@test("stdout to a file, appended")
def stdout_file():
    path = os.path.join(scratch(), "output")
    with open(path, "wb") as f:
        f.write(b"before\n")
    with open(path, "ab") as f:
        subprocess.run([CELLA, "run", *QUIET, "--", "/usr/bin/seq", "1000"], stdin=subprocess.DEVNULL, stdout=f, env=ENVIRONMENT, check=True, timeout=30)
    with open(path, "rb") as f:
        expect(f.read() == b"before\n" + b"".join(b"%d\n" % i for i in range(1, 1001)), "not what was written")


@test("closed standard streams do no harm")
def closed_streams():
    p = subprocess.run(["/bin/sh", "-c", f'"{CELLA}" run --tee process --root / -- /bin/sh -c "exit 5" <&- >&- 2>&-'], env=ENVIRONMENT, check=False, timeout=30)
    expect(p.returncode == 5, f"exit code {p.returncode}")


@test("a reader that goes away ends the writer by SIGPIPE")
def broken_pipe():
    for front in ([], [CELLA, "run", *QUIET, "--"]):
        p = subprocess.Popen([*front, "/usr/bin/yes"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=ENVIRONMENT,
                             restore_signals=True)
        p.stdout.read(100)
        p.stdout.close()
        try:
            code = p.wait(20)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
            raise Failure("still runs 20 s after its reader has gone") from None
        expect(code in (-signal.SIGPIPE, 128 + signal.SIGPIPE), f"ends with {code}")


@test("what arrives late on stdin is read when it arrives")
def late_input():
    p = subprocess.Popen([CELLA, "run", *QUIET, "--", "/bin/sh", "-c", "read a; echo got $a; read b; echo got $b"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         env=ENVIRONMENT)
    try:
        p.stdin.write(b"one\n")
        p.stdin.flush()
        expect(p.stdout.readline() == b"got one\n", "the first line was not answered")
        time.sleep(0.3)
        p.stdin.write(b"two\n")
        p.stdin.flush()
        expect(p.stdout.readline() == b"got two\n", "the second line was not answered")
        expect(p.wait(20) == 0, f"ends with {p.returncode}")
    finally:
        p.kill()
        p.wait()
        p.stdin.close()
        p.stdout.close()


# ---- signals ----

@contextlib.contextmanager
def started(argv, ready=b"ready\n", args=(), **how):
    """A keep whose program has printed its first line."""
    p = subprocess.Popen([CELLA, "run", *QUIET, *args, "--", *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=ENVIRONMENT, **how)
    watchdog = threading.Timer(60, p.kill)
    watchdog.start()
    try:
        if ready is not None:
            line = p.stdout.readline()
            expect(line == ready, f"the first line is {line!r}")
        yield p
    finally:
        watchdog.cancel()
        p.kill()
        p.wait()
        p.stdout.close()


def signal_ends(number):
    with started(["/bin/sh", "-c", "echo ready; exec sleep 60"]) as p:
        p.send_signal(number)
        code = p.wait(20)
        expect(code == 128 + number, f"ends with {code}, not {128 + number}")


for signame in ("HUP", "INT", "TERM", "QUIT"):
    add(f"SIG{signame} to the command ends the program", signal_ends, getattr(signal, "SIG" + signame))


@test("a handler in the keep gets the signal")
def signal_caught():
    script = "trap 'echo caught; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    with started(["/bin/bash", "-c", script]) as p:
        p.send_signal(signal.SIGTERM)
        code = p.wait(20)
        expect(code == 7 and p.stdout.read() == b"caught\n", f"ends with {code}")


@test("a signal that the caller ignores stays ignored")
def signal_ignored():
    with started(["/bin/sh", "-c", "echo ready; sleep 1; echo done"], preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as p:
        p.send_signal(signal.SIGHUP)
        code = p.wait(20)
        expect(code == 0 and p.stdout.read() == b"done\n", f"ends with {code}")


@test("a program that spins is ended by SIGTERM, on one CPU too")
def signal_spin():
    for n in ("1", "2"):
        with started(["/bin/bash", "-c", "echo ready; while :; do :; done"], args=["--cpus", n]) as p:
            p.send_signal(signal.SIGTERM)
            expect(p.wait(20) == 143, f"--cpus {n}: ends with {p.returncode}")


# ---- several keeps; what they leave ----

@test("two keeps at once")
def two_keeps():
    answers = {}

    def one(n):
        answers[n] = keep(["/bin/bash", "-c", f"for i in 1 2 3 4 5; do echo {n} > /tmp/cella-two; sleep 0.05; cat /tmp/cella-two; done"])

    threads = [threading.Thread(target=one, args=(n,)) for n in ("a", "b")]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for n in ("a", "b"):
        expect(answers[n].code == 0 and answers[n].out == f"{n}\n".encode() * 5, f"{n}: {answers[n]!r}")


@test("the end of the command is the end of the keep, however it ends")
def killed_launcher():
    for number in (signal.SIGKILL, signal.SIGTERM):
        with started(["/bin/bash", "-c", "sleep 100 & sleep 101 & (sleep 102) & echo ready; wait"]) as p:
            children = descendants(p.pid)
            expect(children, "the keep has no host process")
            p.send_signal(number)
            p.wait(20)
            wait_until(lambda pids=children: not any(is_alive(pid) for pid in pids), 10, f"after signal {int(number)} host processes of the keep are left")


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


@test("no host process is left after a normal end, with background processes in the keep")
def nothing_left():
    with started(["/bin/bash", "-c", "sleep 100 & (setsid sleep 101 &) ; echo ready; sleep 0.2; exit 3"]) as p:
        children = descendants(p.pid)
        expect(p.wait(20) == 3, f"ends with {p.returncode}")
        wait_until(lambda: not any(is_alive(pid) for pid in children), 10, "host processes of the keep are left")


@test("a keep in a container of new namespaces")
def in_namespaces():
    need("unshare")
    front = ["unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--mount-proc"]
    front += [] if os.getuid() == 0 else ["--map-root-user"]
    if command([*front, "true"]).code:
        raise Skip("the host refuses new namespaces")
    outcome = command([*front, CELLA, "run", *QUIET, "--", "/bin/echo", "inside"])
    expect(outcome.code == 0 and outcome.out == b"inside\n", repr(outcome))


@test("a keep in a runc container")
def in_runc():
    need("runc")
    if os.getuid():
        raise Skip("runc needs root")
    bundle = scratch()
    if command(["runc", "spec"], cwd=bundle).code:
        raise Skip("runc makes no bundle")
    with open(os.path.join(bundle, "config.json"), encoding="utf-8") as f:
        config = json.load(f)
    # The container has the host's /usr and the build, read-only.
    os.mkdir(os.path.join(bundle, "rootfs"))
    for name in ("bin", "lib", "lib64"):
        os.symlink("usr/" + name, os.path.join(bundle, "rootfs", name))
    # Mixed control-group hierarchies refuse to be mounted.
    config["mounts"] = [m for m in config["mounts"] if m["type"] != "cgroup"]
    config["mounts"] += [{"destination": path, "type": "bind", "source": path, "options": ["rbind", "ro"]} for path in ("/usr", BUILD)]

    def run_in_runc(argv):
        config["process"].update(terminal=False, args=argv, env=[f"{k}={v}" for k, v in ENVIRONMENT.items()], cwd="/")
        with open(os.path.join(bundle, "config.json"), "w", encoding="utf-8") as f:
            json.dump(config, f)
        return command(["runc", "run", f"cella-test-{os.getpid()}"], cwd=bundle)

    plain = run_in_runc(["/bin/echo", "inside"])
    if plain.code or plain.out != b"inside\n":
        raise Skip(f"runc does not run here: {short(plain.err, 120)}")
    outcome = run_in_runc([CELLA, "run", *QUIET, "--", "/bin/echo", "inside"])
    expect(outcome.code == 0 and outcome.out == b"inside\n", repr(outcome))


# ---- files of the host ----

def data_directory():
    directory = scratch()
    with open(os.path.join(directory, "file"), "w", encoding="ascii") as f:
        f.write("content\n")
    os.chmod(os.path.join(directory, "file"), 0o666)
    return directory


@test("-v is read-only by default")
def volume_ro():
    directory = data_directory()
    for spec in (f"{directory}:/data", f"{directory}:/data:ro"):
        outcome = keep(["/bin/sh", "-c", "cat /data/file; (echo x >/data/file) 2>&1; (: >/data/new) 2>&1; rm /data/file 2>&1"], args=["-v", spec])
        expect(outcome.out.startswith(b"content\n") and outcome.out.lower().count(b"read-only") == 3, repr(outcome))
    expect(os.listdir(directory) == ["file"], "the host's directory changed")
    with open(os.path.join(directory, "file"), encoding="ascii") as f:
        expect(f.read() == "content\n", "the host's file changed")


@test("-v with rw changes the host's directory")
def volume_rw():
    directory = data_directory()
    script = "cd /data && echo more >>file && mkdir -p d/e && echo x >d/e/f && ln -s f d/e/l && ln file hard && mv d/e/f d/e/g && rm hard && chmod 600 d/e/g && cat d/e/g"
    outcome = keep(["/bin/sh", "-c", script], args=["-v", f"{directory}:/data:rw"])
    expect(outcome.code == 0 and outcome.out == b"x\n", repr(outcome))
    with open(os.path.join(directory, "file"), encoding="ascii") as f:
        expect(f.read() == "content\nmore\n", "the append is not in the host's file")
    expect(sorted(os.listdir(os.path.join(directory, "d", "e"))) == ["g", "l"], "names in the new directory")
    expect(os.stat(os.path.join(directory, "d", "e", "g")).st_mode & 0o7777 == 0o600, "mode of the new file")
    expect(sorted(os.listdir(directory)) == ["d", "file"], "names in the directory")


@test("-v of a single file")
def volume_file():
    directory = data_directory()
    path = os.path.join(directory, "file")
    outcome = keep(["/bin/sh", "-c", "cat /srv/one; ls /srv"], args=["-v", f"{path}:/srv/one"])
    expect(outcome.out == b"content\none\n", repr(outcome))
    outcome = keep(["/bin/sh", "-c", "echo changed >/srv/one"], args=["-v", f"{path}:/srv/one:rw"])
    with open(path, encoding="ascii") as f:
        expect(f.read() == "changed\n", f"the host's file did not change: {outcome!r}")


@test("-v shows a colon in the host's path, and a second grant beside the first")
def volume_two():
    directory = data_directory()
    odd = os.path.join(directory, "a:b")
    os.mkdir(odd)
    outcome = keep(["/bin/sh", "-c", "ls /x /y/z"], args=["-v", f"{odd}:/x", "-v", f"{directory}:/y/z"])
    expect(outcome.code == 0 and outcome.out == b"/x:\n\n/y/z:\na:b\nfile\n", repr(outcome))


@test("a large file in a read-write volume arrives in whole")
def volume_large():
    directory = data_directory()
    outcome = keep(["/bin/sh", "-c", "seq 2000000 >/data/big; cksum </data/big"], args=["-v", f"{directory}:/data:rw"], timeout=60)
    theirs = native(["/bin/sh", "-c", f"cksum <{directory}/big"])
    check = native(["/bin/sh", "-c", "seq 2000000 | cksum"])
    expect(outcome.out == theirs.out == check.out, f"keep {outcome!r}, host {theirs!r}")


@test("what the keep writes outside a volume is in its memory only")
def overlay_in_memory():
    directory = data_directory()
    name = f"cella-overlay-{os.getpid()}"
    script = f"echo new >{directory}/file; echo x >{directory}/{name}; echo y >/{name}; rm -r /etc; mkdir /etc; ls /etc; cat {directory}/file /{name}"
    # Root in the keep may do that to its own view, whoever runs the command.
    outcome = keep(["/bin/sh", "-c", script], args=["--user", "0"], timeout=60)
    expect(outcome.code == 0 and outcome.out == b"new\ny\n", repr(outcome))
    expect(os.listdir(directory) == ["file"] and not os.path.exists(f"/{name}"), "a file of the keep is on the host")
    expect(os.path.exists("/etc/passwd"), "a file of the host is gone")
    for place in ("/tmp", "/dev/shm", "/var/tmp", "/run"):
        for top, _, files in os.walk(place):
            expect(name not in files, f"{name} is in {top}")


@test("files that the caller could not read are not served")
def unreadable():
    if os.getuid():
        raise Skip("needs root, to be another user")
    directory = scratch()
    secret = os.path.join(directory, "secret")
    with open(secret, "w", encoding="ascii") as f:
        f.write("secret\n")
    os.chmod(secret, 0o600)

    def as_nobody():
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)

    for root in ([], ["--root", "/"]):
        outcome = cella(["run", "--tee", "process", *root, "--", "/bin/cat", secret], preexec=as_nobody, cwd="/")
        expect(outcome.code == 1 and outcome.out == b"" and b"denied" in outcome.err, f"as nobody, {root}: {outcome!r}")
        outcome = cella(["run", "--tee", "process", *root, "--user", "0:0", "--", "/bin/cat", secret], preexec=as_nobody, cwd="/")
        expect(outcome.code == 1 and outcome.out == b"", f"as nobody who is root in the keep, {root}: {outcome!r}")


@test("as root without --root / written out, only what all may read is served")
def world_readable_only():
    if os.getuid():
        raise Skip("needs root")
    directory = scratch()
    closed = os.path.join(directory, "closed")
    os.mkdir(closed)
    for name, mode in (("closed/file", 0o644), ("secret", 0o640), ("public", 0o644)):
        with open(os.path.join(directory, name), "w", encoding="ascii") as f:
            f.write("content\n")
        os.chmod(os.path.join(directory, name), mode)
    os.chmod(closed, 0o700)
    for name, served in (("public", True), ("secret", False), ("closed/file", False)):
        path = os.path.join(directory, name)
        outcome = cella(["run", "--tee", "process", "--", "/bin/cat", path], cwd="/")
        expect((outcome.code == 0) == served and (outcome.out == b"content\n") == served, f"{name}: {outcome!r}")
        outcome = cella(["run", "--tee", "process", "--root", "/", "--", "/bin/cat", path], cwd="/")
        expect(outcome.code == 0 and outcome.out == b"content\n", f"{name} with --root /: {outcome!r}")


@test("an ordinary user runs a keep")
def ordinary_user():
    if os.getuid():
        raise Skip("every test of this run is one")

    def as_nobody():
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)

    script = "id -u; id -g; echo $HOME; ls /etc/passwd; touch /tmp/cella-ordinary && echo touched; (exit 3) & wait $!; echo $?"
    outcome = cella(["run", *QUIET, "--", "/bin/bash", "-c", script], preexec=as_nobody, cwd="/")
    expect(outcome.code == 0 and outcome.out == f"{NOBODY}\n{NOBODY}\n/nonexistent\n/etc/passwd\ntouched\n3\n".encode(), repr(outcome))


@test("a root of its own: a directory with one static program")
def own_root():
    directory = scratch()
    shutil.copy("/bin/busybox", os.path.join(directory, "busybox"))
    outcome = keep(["/busybox", "sh", "-c", "busybox pwd; /busybox ls /; /busybox cat /etc/passwd 2>/dev/null || echo none"],
                   args=["--root", directory, "-e", "PATH=/"])
    expect(outcome.code == 0 and outcome.out == b"/\nbusybox\ndev\nproc\nsys\nnone\n", repr(outcome))
    expect(os.listdir(directory) == ["busybox"], f"the host's directory has {os.listdir(directory)}")


@test("the host's kernel is not to be seen: own /proc, /sys and process ids")
def own_proc():
    outcome = keep(["/bin/sh", "-c", "echo $$; ls -d /proc/[0-9]* | wc -l; cat /proc/1/comm; cat /proc/self/comm"])
    expect(outcome.out == b"1\n3\nsh\ncat\n" or outcome.out.startswith(b"1\n"), repr(outcome))
    lines = outcome.out.split()
    expect(int(lines[1]) <= 4 and lines[2] == b"sh" and lines[3] == b"cat", repr(outcome))


if __name__ == "__main__":
    sys.exit(main())
