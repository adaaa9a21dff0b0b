#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Removes what `make install` put, by meson's list of installed files. Usage: uninstall.py BUILD DESTDIR."""

import contextlib
import json
import os
import subprocess
import sys


def main():
    build, destination = sys.argv[1:]
    text = subprocess.run(["meson", "introspect", "--installed", build], check=True, capture_output=True).stdout
    for path in json.loads(text).values():
        path = destination + path if destination else path
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        # Ours alone is libexec/cella; others may be shared.
        if os.path.basename(os.path.dirname(path)) == "cella":
            with contextlib.suppress(OSError):
                os.rmdir(os.path.dirname(path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
