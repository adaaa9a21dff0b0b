#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the lines of C and assembly that run inside a process keep: kernel and HAL, without blank lines and comments, and in all."""

import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PARTS = {"kernel": "src/kernel", "process HAL": "src/hal/process"}


def count(path):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    return text.count("\n"), sum(1 for line in code.splitlines() if line.strip())


def main():
    total = [0, 0]
    print(f"{'part':<14} {'lines':>8} {'of code':>8}")
    for name, folder in PARTS.items():
        lines = [0, 0]
        for directory, _, files in os.walk(os.path.join(ROOT, folder)):
            for f in files:
                if f.endswith((".c", ".h", ".S", ".def")):
                    for i, n in enumerate(count(os.path.join(directory, f))):
                        lines[i] += n
        total = [total[0] + lines[0], total[1] + lines[1]]
        print(f"{name:<14} {lines[0]:>8} {lines[1]:>8}")
    print(f"{'total':<14} {total[0]:>8} {total[1]:>8}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
