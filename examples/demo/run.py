#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo: a Python program reads a data file inside a keep, computes, and its result is shown beside the native one.

Usage: run.py PATH-OF-CELLA. Exit code 0 when both agree. Leaves nothing behind.
"""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = "/usr/bin/python3"


def step(number, text):
    print(f"\n[{number}] {text}", flush=True)


def run(argv):
    p = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if p.returncode != 0:
        sys.stderr.write(p.stderr.decode("utf-8", "replace"))
        print(f"exit code {p.returncode} from: {' '.join(argv)}")
        sys.exit(1)
    return p.stdout.decode(), p.stderr.decode()


def main():
    cella = os.path.abspath(sys.argv[1])
    data, program = os.path.join(HERE, "planets.csv"), os.path.join(HERE, "analyse.py")

    step(1, "natively: " + f"{PYTHON} analyse.py planets.csv")
    native, _ = run([PYTHON, program, data])
    print(native, end="")

    step(2, "in a keep: cella run -v examples/demo:/demo --stats -- python3 /demo/analyse.py /demo/planets.csv")
    keep, notes = run([cella, "run", "--root", "/", "-v", f"{HERE}:/demo", "--stats", "--", PYTHON, "/demo/analyse.py", "/demo/planets.csv"])
    print(keep, end="")

    step(3, "what the keep asked of the host")
    for line in notes.splitlines():
        print("  " + line)

    step(4, "a file that the keep writes stays in the keep")
    marker = "/tmp/cella-demo-marker"
    inside, _ = run([cella, "run", "--root", "/", "--", "/bin/sh", "-c", f"echo secret > {marker}; cat {marker}"])
    print(f"  in the keep:  {marker} holds {inside.strip()!r}")
    print(f"  on the host:  {marker} {'EXISTS' if os.path.exists(marker) else 'does not exist'}")

    same = native == keep and not os.path.exists(marker)
    step(5, "the results are " + ("the same" if same else "DIFFERENT"))
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
