# SPDX-License-Identifier: Apache-2.0
"""A virtual machine with Debian's own kernel, emulated by QEMU (TCG), over this machine's file system.

The guest's root is this machine's, read-only through 9p, under an overlay in the guest's memory: what is built and installed here runs
there, and nothing that happens there changes anything here. One script runs in it, as root, with cgroup v2 mounted; its output comes
back over the serial line.

    python3 tests/lab/lab.py 'uname -a; id'
"""

import glob
import os
import shutil
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STATE = os.path.join(ROOT, "build", "lab")
BEGIN, END = "---- lab begin ----", "---- lab end: "
HOST = "/host"  # where the guest sees this machine's files as they are, /tmp and /run too
# QEMU 7.2 reads the stack of an IRET in ring 3 as if ring 0 did, which SMAP forbids.
CPU = "max,-smap"
MODULES = """virtio virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci netfs fscache 9pnet 9pnet_virtio 9p overlay""".split()

INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /lower /upper /root.new
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs devtmpfs /dev
# Each after those that it needs: whatever the order, some passes get all in.
for pass in 1 2 3 4 5 6; do for m in @MODULES@; do [ -d /sys/module/$m ] || $b insmod /modules/$m.ko 2>/dev/null; done; done
for m in @MODULES@; do [ -d /sys/module/$m ] || echo "lab: module $m does not load"; done
$b mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=262144 host /lower || echo "lab: no host file system"
$b mount -t tmpfs -o size=75% tmpfs /upper
$b mkdir /upper/changes /upper/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/upper/changes,workdir=/upper/work overlay /root.new
n=/root.new
$b mkdir -p $n/proc $n/sys $n/dev $n/tmp $n/run $n@HOST@
$b mount -o bind /lower $n@HOST@
$b mount -t proc proc $n/proc
$b mount -t sysfs sysfs $n/sys
$b mount -t devtmpfs devtmpfs $n/dev
$b mkdir -p $n/dev/pts $n/dev/shm
$b mount -t devpts -o ptmxmode=666 devpts $n/dev/pts
$b mount -t tmpfs -o mode=1777 tmpfs $n/dev/shm
$b mount -t tmpfs -o mode=1777 tmpfs $n/tmp
$b mount -t tmpfs -o mode=755 tmpfs $n/run
$b mount -t cgroup2 cgroup2 $n/sys/fs/cgroup
$b ip link set lo up
$b cp /lab.sh $b $n/run/
$b cat >$n/run/first <<'FIRST'
#!/run/busybox sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
echo; echo '@BEGIN@'
/bin/sh /run/lab.sh </dev/null 2>&1
echo; echo "@END@$?"
/run/busybox poweroff -f
FIRST
$b chmod 755 $n/run/first
$b umount /proc /sys
exec $b switch_root $n /run/first </dev/console >/dev/console 2>&1
"""


class Unavailable(Exception):
    """Why there is no such machine here."""


def kernel():
    """(release, directory with boot/ and lib/modules/): Debian's kernel, unpacked under build/lab, not installed."""
    found = sorted(glob.glob(os.path.join(STATE, "kernel", "boot", "vmlinuz-*")))
    if not found:
        os.makedirs(STATE, exist_ok=True)
        answer = subprocess.run(["apt-cache", "depends", "--important", "linux-image-amd64"], capture_output=True, text=True, check=False).stdout
        packages = [word for word in answer.split() if word.startswith("linux-image-") and word != "linux-image-amd64"]
        if not packages:
            raise Unavailable("apt knows no linux-image-amd64")
        for old in glob.glob(os.path.join(STATE, "*.deb")):
            os.unlink(old)
        got = subprocess.run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", packages[0]], cwd=STATE, capture_output=True, text=True, check=False)
        debs = glob.glob(os.path.join(STATE, "*.deb"))
        if not debs:
            raise Unavailable(f"{packages[0]} cannot be downloaded: {got.stderr.strip()[-200:]}")
        unpacked = os.path.join(STATE, "kernel.new")
        shutil.rmtree(unpacked, ignore_errors=True)
        subprocess.run(["dpkg", "-x", debs[0], unpacked], check=True)
        os.unlink(debs[0])
        os.rename(unpacked, os.path.join(STATE, "kernel"))
        found = glob.glob(os.path.join(STATE, "kernel", "boot", "vmlinuz-*"))
    return os.path.basename(found[-1]).removeprefix("vmlinuz-"), os.path.join(STATE, "kernel")


class Archive:
    """A cpio archive in the newc form, as the kernel unpacks it at boot."""

    def __init__(self):
        self.pieces, self.ino = [], 0

    def add(self, name, data=b"", mode=0o100755):
        self.ino += 1
        raw = name.encode() + b"\0"
        head = "070701" + "".join(f"{v:08x}" for v in (self.ino, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0))
        for piece in (head.encode() + raw, data):
            self.pieces.append(piece + b"\0" * (-len(piece) % 4))

    def bytes(self):
        self.add("TRAILER!!!", b"", 0)
        return b"".join(self.pieces)


def initramfs(script, modules):
    release, tree = kernel()
    archive = Archive()
    for directory in ("bin", "modules"):
        archive.add(directory, b"", 0o040755)
    busybox = shutil.which("busybox")
    if not busybox:
        raise Unavailable("busybox is not installed")
    with open(busybox, "rb") as f:
        archive.add("bin/busybox", f.read())
    for module in modules:
        files = glob.glob(os.path.join(tree, "lib", "modules", release, "kernel", "**", module + ".ko"), recursive=True)
        if not files:
            raise Unavailable(f"kernel {release} has no module {module}")
        with open(files[0], "rb") as f:
            archive.add(f"modules/{module}.ko", f.read())
    archive.add("init", INIT.replace("@HOST@", HOST).replace("@MODULES@", " ".join(modules)).replace("@BEGIN@", BEGIN).replace("@END@", END).encode())
    archive.add("lab.sh", script.encode())
    return archive.bytes()


def run(script, timeout=600, memory="2G", cpus=2, cpu=CPU, modules=(), append="", echo=False):
    """Boots, runs the shell script, ends. (exit status or None when it did not come to its end, output)."""
    qemu = shutil.which("qemu-system-x86_64")
    if not qemu:
        raise Unavailable("qemu-system-x86_64 is not installed")
    release, tree = kernel()
    image = os.path.join(STATE, f"initramfs-{os.getpid()}")
    with open(image, "wb") as f:
        f.write(initramfs(script, [*MODULES, *modules]))
    argv = [qemu, "-accel", "tcg,thread=multi", "-cpu", cpu, "-smp", str(cpus), "-m", memory, "-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio",
            "-kernel", os.path.join(tree, "boot", f"vmlinuz-{release}"), "-initrd", image,
            "-append", f"console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable clocksource=tsc {append}",
            "-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"]
    lines, code, inside, end = [], None, False, time.monotonic() + timeout
    p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    watch = threading.Timer(timeout, p.kill)
    watch.start()
    try:
        for raw in p.stdout:
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            if echo:
                print(line, flush=True)
            if line == BEGIN:
                inside, lines = True, []
            elif inside and line.startswith(END):
                code = int(line.removeprefix(END))
            else:
                lines.append(line)
    finally:
        watch.cancel()
        p.kill()
        p.wait()
        p.stdout.close()
        os.unlink(image)
    if code is None and time.monotonic() > end:
        lines.append(f"lab: no end after {timeout} s")
    return code, "\n".join(lines)


if __name__ == "__main__":
    try:
        status, _ = run(" ".join(sys.argv[1:]), echo=True)
    except Unavailable as e:
        print(f"lab: {e}")
        status = 1
    sys.exit(1 if status is None else status)
