#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes docs/syscalls.md and docs/host-calls.md from the sources they describe; --check only compares.

docs/syscalls.md: one row a system call, from src/kernel/syscall/table.def. A row may say `full` only when the conformance tests
(build/tests/call-* --list) have a success, an error, and an interruption or limit test of that call.
docs/host-calls.md: the gate's list, from src/hal/process/wall.c.
"""

import argparse
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROW = re.compile(r'^SYSCALL\((\d+), (\w+), "(\w*)", (FULL|PARTIAL|ABSENT), "(.*)"\)$')
RULE = re.compile(r'\{HOST_\w+,\s*"(\w+)",\s*(WALL_\w+),\s*(\d),\s*\{(.*?)\},\s*(\d),\s*((?:"[^"]*"\s*)+)\}', re.S)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def tested_aspects(build):
    """{call: set of aspects} over all conformance programs."""
    aspects = {}
    directory = os.path.join(build, "tests")
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        if not name.startswith("call-") or "." in name:
            continue
        out = subprocess.run([path, "--list"], stdout=subprocess.PIPE, check=True).stdout.decode()
        for line in out.splitlines():
            m = re.match(r"^(\w+)[. ](success|error|interruption|limit)\b", line)
            if m:
                aspects.setdefault(m.group(1), set()).add(m.group(2))
    return aspects


def syscalls_page(build, problems):
    aspects = tested_aspects(build)
    rows, counts = [], {"FULL": 0, "PARTIAL": 0, "ABSENT": 0}
    for line in read("src/kernel/syscall/table.def").splitlines():
        if not line.startswith("SYSCALL("):
            continue
        m = ROW.match(line)
        if not m:
            problems.append(f"table.def: cannot read: {line}")
            continue
        _, name, _, support, missing = m.groups()
        counts[support] += 1
        if support == "FULL":
            have = aspects.get(name, set())
            lacks = [a for a in ("success", "error") if a not in have]
            if not have & {"interruption", "limit"}:
                lacks.append("interruption or limit")
            if lacks:
                problems.append(f"table.def: {name} says FULL but tests/sys has no test of its {', '.join(lacks)}")
            rows.append(f"| {name} | full |")
        elif support == "PARTIAL":
            if not missing:
                problems.append(f"table.def: {name} says PARTIAL but not what is missing")
            rows.append(f"| {name} | partial | {missing} |")
        else:
            rows.append(f"| {name} | absent |")
    return f"""# Supported system calls

Generated from `src/kernel/syscall/table.def`; do not edit. {counts['FULL']} full, {counts['PARTIAL']} partial, {counts['ABSENT']} absent.

`full`: tests exercise its success, an error, and an interruption or limit, natively and in a keep, with equal results.
`partial`: works but for what the row says. `absent`: answers ENOSYS, and `--stats` counts it.

| call | support | missing |
|---|---|---|
""" + "\n".join(rows) + "\n"


def condition(kind, arg, values):
    names = ["first", "second", "third", "fourth", "fifth", "sixth"]
    if kind == "WALL_ANY":
        return "any arguments"
    if kind == "WALL_MMAP":
        return "MAP_ANONYMOUS, or the descriptor of the kernel's memory"
    values = ", ".join(v.strip().replace("H_", "").replace("SIGKICK", "the kick signal") for v in values.split(","))
    text = f"{names[int(arg)]} argument one of: {values}"
    return text + "; only with an own pid namespace" if kind == "WALL_TGKILL" else text


def host_calls_page(problems):
    rows = []
    for name, kind, arg, values, _, strings in RULE.findall(read("src/hal/process/wall.c")):
        why = "".join(re.findall(r'"([^"]*)"', strings))
        rows.append(f"| {name} | {condition(kind, arg, values)} | {why} |")
    if not rows or len(rows) > 40:
        problems.append(f"wall.c: {len(rows)} host calls; 1 to 40 are expected")
    return f"""# Host calls of the process keep

Generated from `src/hal/process/wall.c`; do not edit. {len(rows)} calls. They are let through only from the gate's one SYSCALL instruction
(seccomp compares the instruction pointer); from anywhere else, and for 32-bit entries, every call traps into Cella's kernel. A call from the gate that is not on
the list, or whose arguments do not fit, answers EPERM.

| call | arguments | why |
|---|---|---|
""" + "\n".join(rows) + "\n"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default="build")
    p.add_argument("--check", action="store_true")
    args = p.parse_args()
    problems = []
    pages = {"docs/syscalls.md": syscalls_page(os.path.abspath(args.build), problems), "docs/host-calls.md": host_calls_page(problems)}
    for path, text in pages.items():
        full = os.path.join(ROOT, path)
        old = read(path) if os.path.exists(full) else ""
        if args.check:
            if old != text:
                problems.append(f"{path} is stale; run `make docs`")
        else:
            with open(full, "w", encoding="utf-8") as f:
                f.write(text)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
