# SPDX-License-Identifier: Apache-2.0
"""The wall: hostile programs in a keep. Whatever they do to their kernel, nothing outside the keep changes."""

import contextlib
import ctypes
import glob
import hashlib
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time

from common import (BUILD, CELLA, ENVIRONMENT, QUICK, QUIET, ROOT, Failure, Skip, add, cella, command, compiled, descendants, expect, keep,
                    listing, main, need, scratch, test, wait_until)

LAST_CALL = 470
# uretprobe and uprobe: newer kernels let them pass every filter, and kill who calls them from elsewhere than their own trampoline.
DEADLY = (335, 336)
# Never on the list, with any argument.
NEVER = """read write open close openat openat2 creat pread64 pwrite64 readv writev preadv pwritev preadv2 pwritev2 sendfile splice tee vmsplice
copy_file_range dup dup2 dup3 fcntl ioctl socket socketpair connect bind listen accept accept4 sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg
execve execveat fork vfork clone3 ptrace kill tkill rt_sigqueueinfo rt_tgsigqueueinfo process_vm_readv process_vm_writev process_madvise
process_mrelease io_uring_setup io_uring_enter io_uring_register io_setup io_submit mount umount2 move_mount fsopen fsmount fspick open_tree unshare
setns chroot pivot_root chdir fchdir pidfd_open pidfd_getfd pidfd_send_signal prctl arch_prctl seccomp bpf perf_event_open userfaultfd memfd_create
memfd_secret keyctl add_key request_key init_module finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff shmget shmat shmctl
semget semop semctl msgget msgsnd msgrcv msgctl mq_open inotify_init inotify_init1 fanotify_init fanotify_mark name_to_handle_at open_by_handle_at
setuid setgid setresuid setresgid setreuid setregid setgroups setfsuid setfsgid capset personality unlink unlinkat rename renameat renameat2 link
linkat symlink symlinkat mkdir mkdirat mknod mknodat rmdir truncate ftruncate chmod fchmod fchmodat chown fchown lchown fchownat setxattr lsetxattr
fsetxattr removexattr utimensat quotactl nfsservctl acct syslog sethostname setdomainname settimeofday clock_settime adjtimex clock_adjtime iopl ioperm
modify_ldt prlimit64 setrlimit setpriority sched_setscheduler ioprio_set remap_file_pages mbind migrate_pages move_pages vhangup lookup_dcookie
landlock_create_ruleset landlock_add_rule landlock_restrict_self kcmp get_robust_list set_robust_list rseq""".split()


def call_numbers():
    """{name: number} of the host's system calls."""
    with open("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", encoding="ascii") as f:
        return {name: int(nr) for name, nr in re.findall(r"#define __NR_(\w+) (\d+)", f.read())}


def allowed_calls():
    """Names on the gate's list, from its source."""
    with open(os.path.join(ROOT, "src", "hal", "process", "wall.c"), encoding="utf-8") as f:
        names = re.findall(r"\{HOST_(\w+),\s*\"", f.read())
    expect(names, "no list in src/hal/process/wall.c")
    return names


def symbol(name):
    """Address of a symbol of the runtime, in hexadecimal."""
    places = [os.path.join(BUILD, "cella-runtime-process"), *glob.glob(os.path.join(BUILD, "**", "cella-runtime-process"), recursive=True)]
    runtime = next((p for p in places if os.path.isfile(p)), None)
    expect(runtime, f"no cella-runtime-process below {BUILD}")
    if not shutil.which("nm"):
        raise Skip("nm is not installed")
    found = re.search(rf"^([0-9a-f]+) \w {name}$".encode(), command(["nm", runtime]).out, re.M)
    expect(found, f"the runtime has no symbol {name}")
    return found.group(1).decode()


# ---- what must not change ----

class Canary:
    """A process and files of the host that a workload has no business with."""

    MARKS = ("/tmp/cella-broke-out", "/tmp/cella-entry")

    def __init__(self):
        self.directory = scratch()
        for name in ("file", "secret"):
            with open(os.path.join(self.directory, name), "w", encoding="ascii") as f:
                f.write("host's own\n")
        self.before = listing(self.directory)
        self.process = subprocess.Popen(["/bin/sh", "-c", "trap '' USR1; while :; do sleep 0.1; done"], stdin=subprocess.DEVNULL)
        self.hostname = os.uname().nodename

    def check(self):
        expect(self.process.poll() is None, f"the host's process has ended with {self.process.returncode}")
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as f:
            expect(f.read().rpartition(") ")[2][0] not in "tTZX", "the host's process is stopped or traced")
        expect(listing(self.directory) == self.before, "the host's files have changed")
        expect(os.uname().nodename == self.hostname, "the host's name has changed")
        for mark in self.MARKS:
            expect(not os.path.exists(mark), f"{mark} has appeared on the host")

    def end(self):
        self.process.kill()
        self.process.wait()


_canary = None
_canary_lock = threading.Lock()


def canary():
    """The one of this run."""
    global _canary
    with _canary_lock:
        if _canary is None:
            _canary = Canary()
        return _canary


@contextlib.contextmanager
def nothing_outside_changes():
    """Fails if the host's process or files have changed after the body."""
    canary().check()
    yield
    canary().check()


class Attack:
    """A hostile program in a keep, that may destroy its kernel; it is given a time, then SIGTERM."""

    def __init__(self, argv, args=(), seconds=2):
        program = compiled("hostile")
        p = subprocess.Popen([CELLA, "run", *QUIET, *args, "--", program, symbol("gate_syscall"), *argv], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
        self.hung = self.deaf = False
        try:
            self.out, self.err = p.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.hung = True
            children = descendants(p.pid)
            p.send_signal(signal.SIGTERM)
            try:
                self.out, self.err = p.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                self.deaf = True
                p.kill()
                self.out, self.err = p.communicate()
            wait_until(lambda: not any(os.path.exists(f"/proc/{pid}/cwd") for pid in children), 10, "host processes of the keep are left")
        self.code = p.returncode


def contained(argv):
    """The attack ends, by itself or by SIGTERM, and nothing outside has changed."""
    with nothing_outside_changes():
        attack = Attack(argv)
        expect(not attack.deaf, f"the keep hangs, and SIGTERM to the command does not end it: hostile {' '.join(argv)}")
    return attack


# ---- the gate ----

@test("the gate's list has at most 40 calls, and none of those that reach outside")
def gate_list():
    allowed = allowed_calls()
    expect(len(allowed) <= 40, f"{len(allowed)} calls")
    reaching = set(allowed) & set(NEVER)
    expect(not reaching, f"on the list: {sorted(reaching)}")
    documented = os.path.join(ROOT, "docs", "host-calls.md")
    if os.path.exists(documented):
        with open(documented, encoding="utf-8") as f:
            text = f.read()
        for name in allowed:
            expect(name in text, f"docs/host-calls.md does not name {name}")


@test("through the gate every call that is not on the list is refused, with any arguments")
def gate_refuses():
    numbers = call_numbers()
    allowed = {numbers[name] for name in allowed_calls()}
    wanted = [str(n) for n in range(LAST_CALL + 1) if n not in allowed and n not in DEADLY] + ["512", "1000", "4294967295", "-1", str(0x40000000 | 59), str(0x40000000 | 257)]
    program = compiled("hostile")
    with nothing_outside_changes():
        outcome = keep([program, symbol("gate_syscall"), "refused", *wanted], timeout=60)
        expect(outcome.code == 0 and outcome.out == b"%d refused\n" % (len(wanted) * 11), repr(outcome))


@test("the calls that never may be on the list are refused, by name")
def gate_refuses_by_name():
    numbers = call_numbers()
    wanted = [str(numbers[name]) for name in NEVER if name in numbers]
    with nothing_outside_changes():
        outcome = keep([compiled("hostile"), symbol("gate_syscall"), "refused", *wanted], timeout=60)
        expect(outcome.code == 0 and outcome.out.endswith(b"refused\n"), repr(outcome))


def hostile_arguments(number, sets=(0, 1, 9, 10) if QUICK else range(11)):
    for arguments in sets:
        contained(["call", str(number), str(arguments)])


for call in allowed_calls():
    add(f"through the gate, {call} with hostile arguments stays in the keep", hostile_arguments, call_numbers()[call],
        *([(0,)] if call in ("exit", "exit_group") else []))
for nr in DEADLY:
    add(f"through the gate, call {nr} is refused or kills", hostile_arguments, nr)


def answered(argv, answer):
    attack = contained(argv)
    expect(attack.out == b"answer %d\n" % answer, f"hostile {' '.join(argv)}: {attack.out!r}, code {attack.code}")


CLONES = {"CLONE_NEWUSER": 0x10000011, "CLONE_NEWNS": 0x20011, "CLONE_PARENT": 0x8011, "CLONE_PTRACE": 0x2011, "CLONE_UNTRACED": 0x800011, "CLONE_VFORK": 0x4111,
          "CLONE_INTO_CGROUP": 0x200000011, "fork": 0x11, "nothing": 0, "all": 0xffffffff}
for flag, value in CLONES.items():
    add(f"through the gate, clone with {flag} is refused", answered, ["clone", f"{value:x}"], -1)
for descriptor in (0, 1, 2, 4, 5, 6, 7, 1000):
    add(f"through the gate, a mapping of descriptor {descriptor} is refused", answered, ["mmap", str(descriptor), "1"], -1)

# ---- the kernel's memory ----

WRITES = [
    ("the first pages of the kernel's heap", "700000001000", "100000"),
    ("64 MiB of the kernel's heap", "700000001000", "4000000"),
    ("the vDSO's data", "700000000000", "1000"),
    ("the carriers' stacks", "7a0000000000", "18000"),
    ("the host window", "790000000000", "10000"),
]
for title, address, length in WRITES:
    add(f"a program that overwrites {title}", contained, ["write", address, length])


@test("a program that overwrites the runtime's data")
def overwrite_data():
    contained(["write", symbol("runtime_data_begin"), "40000"])


@test("a program that overwrites the runtime's code, after mprotect through the gate")
def overwrite_code():
    contained(["unprotect", "780000000000", "40000"])


@test("a program that returns from a signal that never was, through the gate")
def forged_frame():
    contained(["frame"])


@test("a program that clones host processes through the gate without end gets no more than the limit of processes")
def horde():
    with nothing_outside_changes():
        p = subprocess.Popen([CELLA, "run", *QUIET, "--", compiled("hostile"), symbol("gate_syscall"), "horde", "611"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT,
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NPROC, (400, 400)))
        try:
            if os.getuid() == 0:  # others have more processes than that already, perhaps
                wait_until(lambda: len(descendants(p.pid)) > 300, 20, "no host processes appear")
            for _ in range(20):
                count = len(descendants(p.pid))
                expect(count <= 400, f"{count} host processes")
                time.sleep(0.05)
        finally:
            children = descendants(p.pid)
            p.terminate()
            p.wait(20)
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}/cwd") for pid in children), 10, "host processes of the keep are left")


# ---- other entries into the host's kernel ----

def other_entry(how):
    with nothing_outside_changes():
        attack = Attack([how, "/tmp/cella-entry"])
        expect(not attack.hung, "hangs")


for entry in ("int80", "sysenter", "vsyscall", "farcall"):
    add(f"the entry by {entry} reaches our kernel or kills", other_entry, entry)


# ---- what the host sees of a keep ----

@contextlib.contextmanager
def sleeping_keep(argv=("/bin/sh", "-c", "echo ready; sleep 30"), args=()):
    p = subprocess.Popen([CELLA, "run", *QUIET, *args, "--", *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=ENVIRONMENT)
    try:
        expect(p.stdout.readline() == b"ready\n", "the keep does not start")
        yield p
    finally:
        p.kill()
        p.wait()
        p.stdout.close()


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


@test("host processes of a keep: filtered, no new privileges, no capabilities, no core, not dumpable")
def host_view():
    with sleeping_keep() as p:
        for pid in [p.pid, *descendants(p.pid)]:
            status = status_of(pid)
            expect(status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", f"{pid}: NoNewPrivs {status['NoNewPrivs']}, Seccomp {status['Seccomp']}")
            if pid != p.pid:
                expect(int(status["CapEff"], 16) == 0 and int(status["CapPrm"], 16) == 0, f"{pid}: capabilities {status['CapEff']}")
            with open(f"/proc/{pid}/limits", encoding="ascii") as f:
                core = re.search(r"Max core file size\s+(\d+)", f.read())
            expect(core and core.group(1) == "0", f"{pid}: may dump core")
            # The files of one that is not dumpable belong to root, whoever it runs as.
            expect(os.stat(f"/proc/{pid}/mem").st_uid == 0, f"{pid}: is dumpable")


@test("host processes of a keep have their own namespaces and nothing but memory as descriptors")
def host_namespaces():
    with sleeping_keep() as p:
        pids = descendants(p.pid)
        expect(pids, "the keep has no process")
        if os.getuid() == 0:
            for pid in pids:
                for name in ("user", "mnt", "pid", "net", "ipc", "uts"):
                    expect(os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}"), f"{pid} is in the host's {name} namespace")
                links = sorted((int(fd), os.readlink(f"/proc/{pid}/fd/{fd}")) for fd in os.listdir(f"/proc/{pid}/fd"))
                for fd, target in links:
                    expect(target == "/dev/null" if fd <= 2 else "memfd:" in target, f"{pid} has descriptor {fd}: {target}")


@test("ptrace of a keep's process by another ordinary user's process is refused")
def not_attachable():
    if os.getuid():
        raise Skip("needs root, to be an ordinary user")

    def as_nobody():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    p = subprocess.Popen([CELLA, "run", *QUIET, "--", "/bin/sh", "-c", "echo ready; sleep 30"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         env=ENVIRONMENT, preexec_fn=as_nobody, cwd="/")
    try:
        expect(p.stdout.readline() == b"ready\n", "the keep does not start")
        for pid in [p.pid, *descendants(p.pid)]:
            outcome = command(["/bin/sh", "-c", f"cat /proc/{pid}/maps /proc/{pid}/environ >/dev/null"], preexec=as_nobody)
            expect(outcome.code != 0, f"the same user reads the maps of {pid}")
    finally:
        p.kill()
        p.wait()
        p.stdout.close()


# ---- ordinary calls of a hostile program: our kernel's answer ----

@test("kill -1 in a keep ends the keep's processes only")
def kill_all():
    with nothing_outside_changes():
        outcome = keep(["/bin/bash", "-c", "(sleep 30 & sleep 31 & wait) & sleep 0.2; trap '' TERM; kill -TERM -1; wait; echo left"])
        expect(outcome.code in (0, 143), repr(outcome))
        outcome = keep(["/bin/bash", "-c", "kill -KILL -1; echo still here"])
        expect(outcome.code in (0, 137), repr(outcome))


@test("signals to process ids of the host find nobody")
def kill_host_pid():
    with nothing_outside_changes():
        outcome = keep(["/bin/bash", "-c", f"kill -KILL {canary().process.pid} {os.getpid()}; echo $?"])
        expect(outcome.out == b"1\n" and outcome.err.count(b"No such process") == 2, repr(outcome))


@test("a program that is executed and a file that is made stay in the keep")
def exec_inside():
    with nothing_outside_changes():
        outcome = keep(["/bin/sh", "-c", f"echo changed >{canary().directory}/file; rm {canary().directory}/secret; cp /bin/sh /tmp/cella-broke-out; /tmp/cella-broke-out -c 'echo ran'; chmod 4755 /bin/sh /tmp/cella-broke-out"])
        expect(outcome.out == b"ran\n", repr(outcome))


@test("the host's disks, memory and kernel are not there")
def no_devices():
    script = "for f in /dev/mem /dev/kmem /dev/vda /dev/sda /dev/kvm /dev/kmsg /proc/kcore /proc/kallsyms /proc/sysrq-trigger /sys/kernel/debug /sys/firmware; do [ -e $f ] && head -c 1 $f >/dev/null 2>&1 && echo $f; done; mknod /tmp/m c 1 1 && head -c 1 /tmp/m; mknod /tmp/d b 254 0 && head -c 1 /tmp/d; echo end"
    outcome = keep(["/bin/sh", "-c", script])
    expect(outcome.out == b"end\n", repr(outcome))


# ---- a granted directory ----

class Grant:
    """A keep whose root has busybox only, with one host directory granted read-write; its neighbour `outside` is not."""

    def __init__(self):
        need("busybox")
        self.top = scratch()
        self.root = os.path.join(self.top, "root")
        self.data = os.path.join(self.top, "data")
        self.outside = os.path.join(self.top, "outside")
        for directory in (self.root, self.data, self.outside):
            os.mkdir(directory)
        shutil.copy("/bin/busybox", os.path.join(self.root, "busybox"))
        with open(os.path.join(self.outside, "secret"), "w", encoding="ascii") as f:
            f.write("outside secret\n")
        os.chmod(os.path.join(self.outside, "secret"), 0o666)
        self.before = listing(self.outside)

    def run(self, script, timeout=30, mode="rw"):
        outcome = cella(["run", "--tee", "process", "--root", self.root, "-v", f"{self.data}:/data:{mode}", "-e", "PATH=/", "--", "/busybox", "sh", "-c",
                         "cd /data; " + script], timeout=timeout)
        expect(outcome.code is not None, f"hangs: {script}")
        expect(b"outside secret" not in outcome.out + outcome.err, f"the secret came out: {outcome!r}")
        self.check()
        return outcome

    def check(self):
        expect(listing(self.outside) == self.before, "the directory outside has changed")
        with open(os.path.join(self.outside, "secret"), encoding="ascii") as f:
            expect(f.read() == "outside secret\n", "the secret has changed")


@test("a granted directory: symbolic links of the host lead into the keep's own tree")
def links_of_host():
    g = Grant()
    os.symlink(os.path.join(g.outside, "secret"), os.path.join(g.data, "absolute"))
    os.symlink("../outside/secret", os.path.join(g.data, "relative"))
    os.symlink("../outside", os.path.join(g.data, "directory"))
    os.symlink("/", os.path.join(g.data, "top"))
    os.symlink("/proc/self/root", os.path.join(g.data, "magic"))
    os.symlink("/proc/1/cwd/../outside/secret", os.path.join(g.data, "magic2"))
    outcome = g.run("for l in absolute relative directory/secret top/etc/passwd magic/etc/passwd magic2; do busybox cat $l 2>/dev/null && echo read $l; done; busybox ls top/; "
                    "echo x >absolute; echo x >relative; echo x >directory/new; busybox rm -f directory/secret; busybox chmod 777 relative; busybox ln absolute hard; busybox cat hard; echo end")
    expect(outcome.out.endswith(b"end\n") and b"read" not in outcome.out, repr(outcome))
    expect(b"busybox\n" in outcome.out, f"top is not the keep's root: {outcome!r}")


@test("a granted directory: symbolic links of the keep lead into the keep's own tree")
def links_of_keep():
    g = Grant()
    outcome = g.run(f"busybox ln -s {g.outside}/secret a; busybox ln -s ../outside/secret r; busybox ln -s ../../../../../../{g.outside} d; busybox cat a r d/secret; echo x >r; echo x >d/y; busybox mv a d/; echo end")
    expect(outcome.out.endswith(b"end\n"), repr(outcome))
    expect(os.path.islink(os.path.join(g.data, "r")), "the link is not on the host")


@test("a granted directory: .. does not leave it")
def dot_dot():
    g = Grant()
    os.makedirs(os.path.join(g.data, "a", "b"))
    outcome = g.run("for p in ../outside/secret ../../outside/secret a/b/../../../outside/secret ./../outside/secret a/../../../../../../../../etc/passwd; do busybox cat $p && echo read $p; echo x >$p; done; "
                    "cd a/b; cd ../../../../..; busybox pwd; busybox ls; echo end")
    expect(b"read" not in outcome.out and outcome.out.endswith(b"/\nbusybox\ndata\ndev\nproc\nsys\nend\n"), repr(outcome))


@test("a granted directory: one that is moved away while the keep is in it")
def moved_directory():
    g = Grant()
    os.makedirs(os.path.join(g.data, "a", "b"))
    stop = threading.Event()

    def move():
        inside, away = os.path.join(g.data, "a", "b"), os.path.join(g.top, "moved")
        while not stop.is_set():
            with contextlib.suppress(OSError):
                os.rename(inside, away)
            with contextlib.suppress(OSError):
                os.rename(away, inside)

    mover = threading.Thread(target=move)
    mover.start()
    try:
        outcome = g.run("i=0; while [ $i -lt 400 ]; do i=$((i+1)); (cd a/b && busybox cat ../outside/secret ../../outside/secret; echo x >../outside/new; echo y >../secret2; busybox ls ..) >/dev/null 2>&1; done; echo end")
    finally:
        stop.set()
        mover.join()
    expect(outcome.out == b"end\n", repr(outcome))
    expect(not os.path.exists(os.path.join(g.top, "secret2")), "a file beside the granted directory was made")


@test("a granted directory: races of rename between a directory and a link to the outside")
def rename_race():
    g = Grant()
    inner, link, spare = (os.path.join(g.data, n) for n in ("a", "link", "spare"))
    os.mkdir(inner)
    with open(os.path.join(inner, "secret"), "w", encoding="ascii") as f:
        f.write("inner\n")
    os.symlink(g.outside, link)
    libc = ctypes.CDLL(None, use_errno=True)
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            libc.renameat2(-100, inner.encode(), -100, link.encode(), 2)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        outcome = g.run("i=0; n=0; while [ $i -lt 1500 ]; do i=$((i+1)); read x <a/secret && n=$((n+1)); case $x in out*) echo \"$x\";; esac; echo z >>a/secret; echo z >a/new; done 2>/dev/null; echo end $((n > 0))", timeout=60)
    finally:
        stop.set()
        swapper.join()
    expect(outcome.out.startswith(b"end"), repr(outcome))
    expect(not os.path.exists(spare), "a spare file")


@test("a granted directory: a FIFO of the host neither blocks the keep nor its server")
def fifo():
    g = Grant()
    os.mkfifo(os.path.join(g.data, "fifo"))
    with open(os.path.join(g.data, "file"), "w", encoding="ascii") as f:
        f.write("content\n")
    outcome = g.run("(busybox timeout 1 busybox cat fifo; busybox timeout 1 busybox sh -c 'echo x >fifo'; busybox stat -c %F fifo) 2>&1; busybox cat file; echo end", timeout=20)
    expect(outcome.out.endswith(b"content\nend\n"), repr(outcome))


@test("a granted directory: device nodes and sockets of the host are not opened")
def devices():
    g = Grant()
    try:
        os.mknod(os.path.join(g.data, "zero"), stat.S_IFCHR | 0o666, os.makedev(1, 5))
        os.mknod(os.path.join(g.data, "kmsg"), stat.S_IFCHR | 0o666, os.makedev(1, 11))
        os.mknod(os.path.join(g.data, "disk"), stat.S_IFBLK | 0o666, os.makedev(254, 0))
    except PermissionError:
        raise Skip("device nodes need root") from None
    import socket
    server = socket.socket(socket.AF_UNIX)
    server.bind(os.path.join(g.data, "socket"))
    outcome = g.run("for f in kmsg disk socket; do busybox timeout 2 busybox head -c 4 $f && echo read $f; done; busybox timeout 2 busybox head -c 4 zero | busybox wc -c; echo end", timeout=30)
    server.close()
    expect(b"read kmsg" not in outcome.out and b"read disk" not in outcome.out and b"read socket" not in outcome.out and outcome.out.endswith(b"end\n"), repr(outcome))


@test("a granted directory: device nodes that the keep makes never are ones on the host")
def made_devices():
    g = Grant()
    g.run("busybox mknod n c 1 5; busybox mknod b b 254 0; busybox mkfifo p; echo end")
    for name in os.listdir(g.data):
        mode = os.lstat(os.path.join(g.data, name)).st_mode
        expect(not stat.S_ISCHR(mode) and not stat.S_ISBLK(mode), f"{name} is a device on the host")


@test("a granted directory: no set-user-ID program comes out of a keep to the host")
def made_setuid():
    g = Grant()
    g.run("busybox cp /busybox suid; busybox chmod 6755 suid; echo end")
    path = os.path.join(g.data, "suid")
    if os.getuid() == 0 and os.path.exists(path):
        expect(not os.stat(path).st_mode & (stat.S_ISUID | stat.S_ISGID), "a set-user-ID file of root is on the host")


@test("a granted directory that is read-only is not changed in any way")
def read_only():
    g = Grant()
    os.makedirs(os.path.join(g.data, "d"))
    with open(os.path.join(g.data, "file"), "w", encoding="ascii") as f:
        f.write("content\n")
    os.chmod(os.path.join(g.data, "file"), 0o666)
    before = listing(g.data)
    outcome = g.run("busybox mount -o remount,rw /data 2>/dev/null; for c in 'busybox touch file' 'busybox chmod 600 file' 'busybox rm file' 'busybox mv file x' 'busybox ln file y' 'busybox ln -s file z' 'busybox mkdir e' 'busybox rmdir d' "
                    "'busybox truncate -s 0 file' 'busybox mkfifo p' 'busybox chown 1 file' 'busybox sh -c \"echo x >>file\"'; do eval $c 2>/dev/null && echo did $c; done; echo end", mode="ro")
    expect(outcome.out == b"end\n", repr(outcome))
    expect(listing(g.data) == before, "the directory has changed")


@test("names of any bytes go both ways in a granted directory")
def odd_names():
    g = Grant()
    for name in (b"a\nb", b"\xff\xfe", b"-rf", b" ", b"x" * 255, b"*"):
        with open(os.path.join(g.data.encode(), name), "wb") as f:
            f.write(name)
    outcome = g.run("for f in *; do busybox cat -- \"$f\"; echo; done; echo new >\"$(busybox printf 'k\\001\\377')\"")
    expect(all(name + b"\n" in outcome.out for name in (b"a\nb", b"\xff\xfe", b"-rf", b"x" * 255)), repr(outcome))
    expect(os.path.exists(os.path.join(g.data.encode(), b"k\x01\xff")), "the keep's name is not on the host")


if __name__ == "__main__":
    try:
        sys.exit(main(workers=4))
    finally:
        if _canary:
            _canary.end()
