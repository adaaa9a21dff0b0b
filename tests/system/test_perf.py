# SPDX-License-Identifier: Apache-2.0
"""Profiles of a workload: perf on the host names its functions by what `cella-symfs` of scripts/cella-gdb.py wrote."""

import glob
import os
import re
import shutil
import subprocess

from common import CELLA, ENVIRONMENT, QUIET, ROOT, SOURCES, Skip, command, expect, main, scratch, test


def below(pid):
    """The process and all that it has made."""
    found = [pid]
    for path in glob.glob(f"/proc/{pid}/task/*/children"):
        with open(path, encoding="ascii") as f:
            for child in f.read().split():
                found += below(int(child))
    return found


@test("perf names the hot function of a program in a keep")
def perf_names_functions():
    for tool in ("perf", "gdb", "readelf"):
        if not shutil.which(tool):
            raise Skip(f"{tool} is not installed")
    if os.geteuid() != 0:
        raise Skip("a keep's processes are not dumpable: gdb needs root")
    directory = scratch()
    data, symfs, program = (os.path.join(directory, n) for n in ("perf.data", "symfs", "hot"))
    built = command(["gcc", "-O1", "-o", program, os.path.join(SOURCES, "hot.c")])
    expect(built.code == 0, f"gcc: {built}")
    with subprocess.Popen([CELLA, "run", *QUIET, "--", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
                          env={**ENVIRONMENT, "CELLA_WATCHDOG": "0"}) as keep:
        try:
            expect(keep.stdout.readline() == b"computing\n", "the program did not start")
            pids = ",".join(map(str, below(keep.pid)))
            recorded = command(["perf", "record", "-q", "-e", "cpu-clock", "-o", data, "-p", pids, "--", "sleep", "2"])
            if recorded.code and b"Permission" in recorded.err + recorded.out:
                raise Skip("perf may not record here")
            expect(recorded.code == 0, f"perf record: {recorded}")
            written = command(["gdb", "-q", "-batch", "-x", os.path.join(ROOT, "scripts", "cella-gdb.py"), "-ex", f"cella-attach {keep.pid}",
                               "-ex", f"cella-symfs {symfs}", "-ex", "detach"])
            expect(re.search(rb"\d+ symbols of \d+ files", written.out), f"gdb: {written}")
        finally:
            keep.kill()
    plain, named = (command(["perf", "report", "-i", data, "--stdio", *more]).out for more in ([], ["--symfs", symfs]))
    expect(b"a_very_hot_function" not in plain, "perf knew the function by itself: the test shows nothing")
    share = re.search(rb"^\s*([\d.]+)%.*\ba_very_hot_function$", named, re.M)
    expect(share and float(share.group(1)) > 30, f"perf report does not name the function: {named[-800:]!r}")


main()
