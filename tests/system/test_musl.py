# SPDX-License-Identifier: Apache-2.0
"""Programs of another C library: musl, static, static-PIE and dynamic; and glibc's static and static-PIE forms of the same."""

import sys

from common import add, compare, compiled, main

FORMS = [
    ("musl static", "musl-gcc", ["-static"]),
    ("musl static without optimization", "musl-gcc", ["-static", "-O0"]),
    ("musl dynamic", "musl-gcc", []),
    ("glibc static", "gcc", ["-static"]),
    ("glibc static-PIE", "gcc", ["-static-pie", "-fPIE"]),
    ("glibc dynamic", "gcc", []),
    ("glibc dynamic, not PIE", "gcc", ["-no-pie"]),
]


def run(compiler, flags, *argv):
    compare([compiled("libc_user", *flags, compiler=compiler, static=False), *argv], stdin=b"line one\nline two\n", stderr=True, code=17)


for title, compiler_name, form in FORMS:
    add(f"{title}, the C library at work", run, compiler_name, form, "one", "two words", "")

if __name__ == "__main__":
    sys.exit(main())
