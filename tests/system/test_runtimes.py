# SPDX-License-Identifier: Apache-2.0
"""Language runtimes: what Go, Java, Node.js, Rust and Perl programs print in a keep is what they print natively, and their compilers work in a keep."""

import os
import re
import shutil
import subprocess
import sys
import threading

from common import SOURCES, Skip, add, compare, expect, keep, main, native, need, need_calls, scratch

_made = {}
_lock = threading.Lock()


def tool(name):
    """Where a program is, in the tester's own PATH: toolchains are often not in the system's."""
    path = shutil.which(name)
    if path and os.path.basename(os.path.realpath(path)) == "rustup":
        path = subprocess.run(["rustup", "which", name], capture_output=True, text=True, check=False).stdout.strip()
    if not path:
        raise Skip(f"{name} is not installed")
    return path


def source(name):
    return os.path.join(SOURCES, name)


def made(name, build):
    """The directory that build(directory) has filled, once in a run."""
    with _lock:
        if name not in _made:
            directory = scratch()
            outcome = build(directory)
            expect(outcome.code == 0, f"natively the compiler ends with {outcome!r}")
            _made[name] = directory
        return _made[name]


# ---- Go ----

GO = ["GOFLAGS=-mod=mod", "GO111MODULE=auto", "GOTOOLCHAIN=local", "CGO_ENABLED=0", "GOPROXY=off"]


def go_build(output):
    return [tool("go"), "build", "-trimpath", "-o", output, source("runtime_go.go")]


def go_native(directory):
    return native(go_build(os.path.join(directory, "go")), env=[*GO, f"GOCACHE={directory}/cache"], timeout=300)


def go(part, *calls):
    program = os.path.join(made("go", go_native), "go")
    need_calls(*calls)
    compare([program, part], timeout=120)


def go_in_keep():
    """A build is reproducible: the same bytes come out."""
    with open(os.path.join(made("go", go_native), "go"), "rb") as f:
        theirs = f.read()
    script = f"cd /tmp && {' '.join(go_build('/tmp/built'))} && /tmp/built files >&2 && cat /tmp/built"
    mine = keep(["/bin/sh", "-c", script], env=[*GO, "GOCACHE=/tmp/cache"], timeout=300)
    expect(mine.code == 0, repr(mine))
    expect(mine.out == theirs, f"the program built in the keep differs: {len(mine.out)} bytes, natively {len(theirs)}")


add("Go, go build in a keep makes the same program", go_in_keep)
add("Go, goroutines by the thousand, and a hundred blocked threads", go, "goroutines")
add("Go, a tight loop is preempted by a signal", go, "preemption")
add("Go, garbage collection under pressure", go, "collector")
add("Go, signals; a nil dereference is recovered", go, "signals")
add("Go, os/exec", go, "children")
add("Go, timers", go, "timers")
add("Go, a walk over files", go, "files")
add("Go, an HTTP server and 50 clients", go, "server", "socket")

# ---- Java ----


def java_native(directory):
    return native([tool("javac"), "-d", directory, source("RuntimeJava.java")], timeout=120)


def java(part, *calls, options=()):
    classes = made("java", java_native)
    need_calls(*calls)
    compare([tool("java"), *options, "-cp", classes, "RuntimeJava", part], timeout=180)


def java_in_keep():
    tool("javac")
    need_calls("socketpair")  # file channels want one
    theirs = native([tool("java"), "-cp", made("java", java_native), "RuntimeJava", "nulls"], timeout=60)
    script = f"{tool('javac')} -d /tmp/classes {source('RuntimeJava.java')} && {tool('java')} -cp /tmp/classes RuntimeJava nulls"
    mine = keep(["/bin/sh", "-c", script], timeout=180)
    expect((mine.code, mine.out) == (0, theirs.out), f"{mine!r}, natively {theirs!r}")


def java_log():
    """The collector's log tells the heap that was asked for, and that the collector has run."""
    classes = made("java", java_native)
    mine = keep([tool("java"), "-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:+AlwaysPreTouch", "-Xlog:gc*", "-cp", classes, "RuntimeJava", "heap"], timeout=180)
    expect(mine.code == 0, repr(mine))
    for wanted in (rb"Using G1", rb"Heap Max Capacity: 1G", rb"Pause Young", rb"Pause Full"):
        expect(re.search(wanted, mine.out), f"no {wanted.decode()!r} in the log")


G1 = ("-Xmx1g", "-XX:+UseG1GC")
add("Java, javac in a keep", java_in_keep)
add("Java, 200 threads", java, "threads")
add("Java, a heap of 1 GB under G1", java, "heap", options=G1)
add("Java, a heap of 1 GB under the parallel collector", java, "heap", options=("-Xmx1g", "-XX:+UseParallelGC"))
add("Java, the log of a collector on a heap touched beforehand", java_log)
add("Java, null checks by page faults, stack overflow", java, "nulls")
add("Java, the same, compiled at once", java, "nulls", options=("-Xcomp",))
add("Java, interrupted threads and timers", java, "interrupts")
add("Java, ProcessBuilder", java, "processes")
add("Java, mapped files", java, "files", "socketpair")
add("Java, a server and 50 clients", java, "server", "socketpair", "socket")

# ---- Node.js ----


def node(part, *calls):
    program = tool("node")
    need_calls(*calls)
    compare([program, source("runtime_node.js"), part], timeout=120)


add("Node.js, fs.promises", node, "files")
add("Node.js, worker threads, Atomics.wait, an endless one is ended", node, "workers")
add("Node.js, child processes", node, "children", "socketpair")
add("Node.js, pipes to a child", node, "pipes", "socketpair")
add("Node.js, crypto", node, "crypto")
add("Node.js, timers and signals", node, "timers")
add("Node.js, streams, zlib, garbage", node, "streams")
add("Node.js, an HTTP server and 50 clients", node, "server", "socket")

# ---- Rust ----


def rust_build(output, linker=True):
    return [tool("rustc"), "-O", "-o", output, *([] if linker else ["--emit", "obj"]), source("runtime_rust.rs")]


def rust_native(directory):
    return native(rust_build(os.path.join(directory, "rust")), timeout=300)


def rust():
    compare([os.path.join(made("rust", rust_native), "rust")])


def rust_in_keep():
    theirs = native([os.path.join(made("rust", rust_native), "rust")])
    need_calls("socketpair")  # rustc starts the linker through one
    mine = keep(["/bin/sh", "-c", f"{' '.join(rust_build('/tmp/built'))} && /tmp/built"], timeout=300)
    expect((mine.code, mine.out) == (0, theirs.out), f"{mine!r}, natively {theirs!r}")


def rust_object():
    """Without the linker: the code generator's threads, and a large shared library."""
    tool("rustc")
    digest = "sha256sum /tmp/built.o"
    build = " ".join(rust_build("/tmp/built.o", linker=False))
    directory = scratch()
    theirs = native(["/bin/sh", "-c", f"{build} && {digest}".replace("/tmp/built.o", directory + "/built.o")], timeout=300)
    expect(theirs.code == 0, f"natively: {theirs!r}")
    mine = keep(["/bin/sh", "-c", f"{build} && {digest}"], timeout=300)
    expect((mine.code, mine.out.split()[:1]) == (0, theirs.out.split()[:1]), f"{mine!r}, natively {theirs!r}")


add("Rust, threads, channels, files, children", rust)
add("Rust, rustc in a keep makes the same object", rust_object)
add("Rust, rustc and its linker in a keep", rust_in_keep)

# ---- Perl ----


def perl():
    need("perl")
    compare(["perl", source("runtime.pl")])


add("Perl, signals, timers, children, pipes, files", perl)

if __name__ == "__main__":
    sys.exit(main(workers=2))
