# SPDX-License-Identifier: Apache-2.0
"""A selection of this suite on other hosts: as an ordinary user here, and on Debian's own kernel with cgroup v2, emulated, as root and
as an ordinary user."""

import os
import re
import shutil
import subprocess
import sys

from common import BUILD, QUICK, ROOT, Skip, add, expect, main, scratch

sys.path.insert(0, os.path.join(ROOT, "tests", "lab"))
import lab  # noqa: E402 (found by the line above)

NOBODY = 65534
PYTHON = "/usr/bin/python3"  # one that everybody may run
# Group of tests/run.py, pattern of file names.
HERE = [("calls", ""), ("system", "shell"), ("system", "cli"), ("system", "wall"), ("system", "sqlite")]
# There, user first. Emulation is slow, so a selection without tests that a time bounds.
IN_LAB = [("root", "calls", "call-e"), ("root", "calls", "call-t"), ("root", "calls", "call-p"), ("nobody", "calls", "call-e"), ("nobody", "calls", "call-pipe")]


def run_line(directory, group, pattern):
    return f"{PYTHON} -B tests/run.py --build {directory}/build --only {group} --match '{pattern}'"


def judge(output, group, pattern):
    """Fails unless the output ends in a count without failures."""
    count = re.findall(r"^(\d+) passed, (\d+) failed, \d+ skipped$", output, re.M)
    failures = [line for line in output.splitlines() if line.startswith("FAIL")]
    expect(count, f"{group} {pattern}: no count; the end: {output[-400:]!r}")
    passed, failed = map(int, count[-1])
    expect(failed == 0 and passed > 0, f"{group} {pattern}: {passed} passed, {failed} failed: {'; '.join(failures)[:600]}")


_copy = None


def copy_for_all():
    """A directory with what the tests need, that everybody may read: the project's own may be closed to others."""
    global _copy
    if _copy is None:
        directory = scratch()
        shutil.copytree(os.path.join(ROOT, "tests"), os.path.join(directory, "tests"), ignore=shutil.ignore_patterns("__pycache__"))
        hal = os.path.join("src", "hal", "process")
        for base, part in ((BUILD, "cella"), (BUILD, "tests"), (BUILD, os.path.join(hal, "cella-runtime-process")), (ROOT, os.path.join(hal, "wall.c"))):
            source, target = os.path.join(base, part), os.path.join(directory, *(["build"] if base == BUILD else []), part)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if os.path.isdir(source):
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.o", "*.p", "*.a", "unit-*"))
            else:
                shutil.copy(source, target)
        subprocess.run(["chmod", "-R", "go+rX", directory], check=True)
        _copy = directory
    return _copy


def ordinary_user(group, pattern):
    if os.getuid() != 0:
        raise Skip("the whole suite runs as an ordinary user")
    directory = copy_for_all()
    p = subprocess.run(["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", "sh", "-c", run_line(directory, group, pattern)], cwd=directory,
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={"PATH": os.environ["PATH"], "HOME": "/tmp", "LANG": "C.UTF-8"}, check=False)
    judge(p.stdout.decode("utf-8", "replace"), group, pattern)


_lab_output = None


def lab_output():
    """One boot for all: {(user, group, pattern): output}."""
    global _lab_output
    if _lab_output is None:
        directory = lab.HOST + copy_for_all()
        script = [f"cd {directory}"]
        for user, group, pattern in IN_LAB:
            line = run_line(directory, group, pattern)
            if user != "root":
                line = f"setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups env HOME=/tmp {line}"
            script += [f"echo; echo '#### {user} {group} {pattern}'", line]
        try:
            _, output = lab.run("\n".join(script) + "\n", timeout=900)
        except lab.Unavailable as e:
            _lab_output = e
            raise Skip(str(e)) from e
        parts = re.split(r"^#### (\w+) (\w+) ([\w-]*)$", output, flags=re.M)
        _lab_output = {tuple(parts[i:i + 3]): parts[i + 3] for i in range(1, len(parts) - 3, 4)}
    if isinstance(_lab_output, lab.Unavailable):
        raise Skip(str(_lab_output))
    return _lab_output


def debian_kernel(user, group, pattern):
    if QUICK:
        raise Skip("not in the quick run")
    judge(lab_output().get((user, group, pattern), "not reached"), group, pattern)


for group, pattern in HERE:
    add(f"as an ordinary user: {group} {pattern}".rstrip(), ordinary_user, group, pattern)
for user, group, pattern in IN_LAB:
    add(f"on Debian's kernel with cgroup v2, as {user}: {group} {pattern}".rstrip(), debian_kernel, user, group, pattern)

if __name__ == "__main__":
    main()
