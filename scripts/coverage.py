#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Line coverage of src/kernel by unit and system tests: `make coverage`.

Builds with -Dcoverage=true, runs the tests, and prints the files that are covered least and the total. Unit tests write their counters
themselves. The kernel in a keep has no runtime for that: its counters lie in its memory file, and the launcher of such a build adds them up
(tests/coverage/dump.c) in a file; here they are put into the form that gcov reads (gcc's gcov-io.h)."""

import argparse
import collections
import json
import os
import struct
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RUNTIME = "src/hal/process/cella-runtime-process"
NR_COUNTERS = 8  # GCOV_COUNTERS of gcc 12
TARGET_PERCENT = 80


class Image:
    """The runtime's ELF file, read by address."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.file = f.read()
        shoff, = struct.unpack_from("<Q", self.file, 40)
        entsize, count, names = struct.unpack_from("<HHH", self.file, 58)
        raw = [struct.unpack_from("<IIQQQQ", self.file, shoff + i * entsize) for i in range(count)]
        strings = raw[names][4]
        self.sections = {self.file[strings + s[0]:self.file.index(0, strings + s[0])].decode(): s for s in raw}

    def word(self, addr, form):
        for _, kind, _, start, off, size in self.sections.values():
            if start and start <= addr < start + size and kind != 8:
                return struct.unpack_from(form, self.file, off + addr - start)[0]
        return 0

    def string(self, addr):
        for _, kind, _, start, off, size in self.sections.values():
            if start and start <= addr < start + size and kind != 8:
                return self.file[off + addr - start:self.file.index(0, off + addr - start)].decode()
        raise KeyError(hex(addr))

    def infos(self):
        """Addresses of the struct gcov_info."""
        _, _, _, _, off, size = self.sections[".gcov_info"]
        return [p for p in struct.unpack_from(f"<{size // 8}Q", self.file, off) if p]


def symbols(path):
    out = subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout
    return {f[2]: int(f[0], 16) for f in (line.split() for line in out.splitlines()) if len(f) == 3}


def write_gcda(image, info, counter):
    """One object's counters, as libgcov would write them."""
    version, stamp, checksum = image.word(info, "<I"), image.word(info + 16, "<I"), image.word(info + 20, "<I")
    name = image.string(image.word(info + 24, "<Q"))
    at = info + 32 + 8 * NR_COUNTERS
    count, functions = image.word(at, "<I"), image.word(at + 8, "<Q")
    out = [struct.pack("<IIII", 0x67636461, version, stamp, checksum)]
    for i in range(count):
        fn = image.word(functions + 8 * i, "<Q")
        if not fn or image.word(fn, "<Q") != info:
            continue
        out.append(struct.pack("<IIIII", 0x01000000, 12, *(image.word(fn + 8 + 4 * k, "<I") for k in range(3))))
        nr, values = image.word(fn + 24, "<I"), image.word(fn + 32, "<Q")
        out.append(struct.pack(f"<II{nr}Q", 0x01a10000, 8 * nr, *(counter(values + 8 * k) for k in range(nr))))
    with open(name, "wb") as f:
        f.write(b"".join(out) + struct.pack("<I", 0))


def collect(build, sums_path):
    """Makes .gcda files of what the keeps have counted."""
    path = os.path.join(build, RUNTIME)
    image, begin = Image(path), symbols(path)["runtime_data_begin"]
    with open(sums_path, "rb") as f:
        sums = f.read()
    for info in image.infos():
        write_gcda(image, info, lambda a: struct.unpack_from("<Q", sums, a - begin)[0] & (1 << 62) - 1)


def lines_of(build):
    """{source below src/kernel: {line: was it run}}"""
    found = collections.defaultdict(dict)
    notes = []
    for top, _, names in os.walk(build):
        if "libcella-kernel" in top or "libunit-kernel" in top or "libunit-string" in top:
            notes += [os.path.join(top, n) for n in names if n.endswith(".gcno")]
    for note in notes:
        out = subprocess.run(["gcov", "--json-format", "--stdout", note], capture_output=True, cwd=build, check=False).stdout
        for text in out.splitlines():
            for f in json.loads(text)["files"]:
                name = os.path.normpath(f["file"])
                if "src/kernel/" not in name:
                    continue
                lines = found[name[name.index("src/kernel/"):]]
                for line in f["lines"]:
                    n = line["line_number"]
                    lines[n] = lines.get(n, False) or line["count"] > 0
    return found


def report(found, lowest, show):
    rows = sorted((sum(lines.values()) / len(lines), name, sum(lines.values()), len(lines)) for name, lines in found.items() if lines)
    print(f"{'covered':>8} {'lines':>6}  file")
    for share, name, _, count in rows[:lowest]:
        print(f"{share:8.1%} {count:6}  {name}")
        if show:
            missing = sorted(n for n, run in found[name].items() if not run)
            print("                 " + " ".join(map(str, missing)))
    hit, total = sum(r[2] for r in rows), sum(r[3] for r in rows)
    print(f"{hit / total:8.1%} {total:6}  src/kernel, {len(rows)} files (target {TARGET_PERCENT} %)")
    return 100 * hit >= TARGET_PERCENT * total


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default=os.path.join(ROOT, "build-coverage"))
    p.add_argument("--lowest", type=int, default=25, help="files to list")
    p.add_argument("--show", action="store_true", help="also list the lines that were not run")
    p.add_argument("--report-only", action="store_true", help="do not run tests again")
    p.add_argument("--only", nargs="*", default=["unit", "hostile", "calls", "system"], help="groups of tests/run.py")
    args = p.parse_args()
    build = os.path.abspath(args.build)
    sums = os.path.join(build, "coverage.sums")
    if not args.report_only:
        if not os.path.exists(os.path.join(build, "build.ninja")):
            subprocess.run(["meson", "setup", build, "-Dcoverage=true"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["ninja", "-C", build, "--quiet"], check=True)
        for top, _, names in os.walk(build):
            for n in names:
                if n.endswith(".gcda"):
                    os.unlink(os.path.join(top, n))
        s = symbols(os.path.join(build, RUNTIME))
        with open(sums, "wb") as f:
            f.truncate(s["runtime_data_end"] - s["runtime_data_begin"])
        os.chmod(sums, 0o666)  # some tests run the command as another user
        for group in args.only:
            subprocess.run([sys.executable, os.path.join(ROOT, "tests", "run.py"), "--build", build, "--only", group], check=False)
        collect(build, sums)
    return 0 if report(lines_of(build), args.lowest, args.show) else 1


if __name__ == "__main__":
    sys.exit(main())
