#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""clang-tidy (.clang-tidy) and cppcheck over src/. --quick: clang-tidy over the files that look at what the host and files say, which are
attacked first. Prints `ok NAME` or `not ok NAME: ...`."""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
QUICK = ("src/kernel/dev/", "src/kernel/fs/hostfs", "src/kernel/boot.c", "src/kernel/proc/elf.c", "src/kernel/base/", "src/hal/process/", "src/host/server")
# gcc's flags that clang does not have.
TIDY_ARGS = ["--quiet", "--extra-arg=-Wno-unknown-warning-option", "--extra-arg=-Wno-ignored-optimization-argument"]
CPPCHECK = ["cppcheck", "--quiet", "--enable=warning,performance,portability", "--std=c11", "--inline-suppr", "--error-exitcode=1", "-j2",
            f"--suppressions-list={os.path.join(ROOT, 'scripts', 'cppcheck-suppressions.txt')}", "-Iinclude", "-Isrc/kernel", "-Isrc/host", "-Isrc/cli",
            "-D__x86_64__=1", "--template={file}:{line}: {id}: {message}", "src"]


def sources(build):
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as f:
        commands = json.load(f)
    names = {os.path.relpath(os.path.join(c["directory"], c["file"]), ROOT) for c in commands}
    return sorted(n for n in names if n.startswith(("src/kernel/", "src/hal/process/", "src/host/", "src/cli/")) and n.endswith(".c") and "vdso.c" not in n)


def tidy(build, name):
    p = subprocess.run(["clang-tidy", "-p", build, *TIDY_ARGS, name], cwd=ROOT, capture_output=True, text=True, check=False)
    return p.stdout if p.returncode else ""


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--build", default=os.path.join(ROOT, "build"))
    p.add_argument("--quick", action="store_true")
    args = p.parse_args()
    build = os.path.abspath(args.build)
    files = [n for n in sources(build) if not args.quick or n.startswith(QUICK)]
    with ThreadPoolExecutor(2) as pool:
        found = [text for text in pool.map(lambda n: tidy(build, n), files) if text]
    for text in found:
        print(text)
    print(f"not ok clang_tidy: {len(found)} of {len(files)} files" if found else f"ok clang_tidy: {len(files)} files", flush=True)
    c = subprocess.run(CPPCHECK, cwd=ROOT, capture_output=True, text=True, check=False)
    if c.returncode:
        print(c.stderr)
    print(f"not ok cppcheck: {c.stderr.count(chr(10))} findings" if c.returncode else "ok cppcheck", flush=True)
    return 1 if found or c.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
