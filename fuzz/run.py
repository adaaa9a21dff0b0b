#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds the fuzzers (clang, in build-fuzz) and runs each for some time on the seeds of fuzz/corpus.

  python3 fuzz/run.py [--seconds N] [--only host|calls|server]

New inputs are kept in build-fuzz/corpus. What fails is written to build-fuzz/NAME-KIND-HASH, and `build-fuzz/fuzz/fuzz-NAME FILE` runs it
alone."""

import argparse
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build-fuzz")
NAMES = ("host", "calls", "server")
# The mock HAL's fault handler passes on to the sanitizer's what is not the kernel's.
FLAGS = ["-handle_segv=0", "-handle_bus=0", "-max_len=4096", "-len_control=0", "-timeout=60", "-print_final_stats=0", "-verbosity=1"]


def build():
    if not os.path.exists(os.path.join(BUILD, "build.ninja")):
        env = dict(os.environ, CC="clang")
        subprocess.run(["meson", "setup", BUILD, "-Dfuzz=true", "-Dwerror=false"], cwd=ROOT, env=env, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", BUILD, "--quiet"] + [f"fuzz/fuzz-{n}" for n in NAMES], check=True, stdout=sys.stderr)


def fuzz(name, seconds):
    corpus = os.path.join(BUILD, "corpus", name)
    os.makedirs(corpus, exist_ok=True)
    argv = [os.path.join(BUILD, "fuzz", f"fuzz-{name}"), *FLAGS, f"-max_total_time={seconds}", f"-artifact_prefix={BUILD}/{name}-", corpus,
            os.path.join(ROOT, "fuzz", "corpus", name)]
    env = dict(os.environ, UBSAN_OPTIONS="print_stacktrace=1")
    p = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, check=False)
    out = p.stdout.decode("utf-8", "replace")
    done = re.search(r"Done (\d+) runs", out)
    if p.returncode == 0 and done and int(done.group(1)) > 100:
        covered = re.findall(r"cov: (\d+)", out)
        print(f"ok {name}: {done.group(1)} inputs, {covered[-1] if covered else 0} edges", flush=True)
        return True
    print(f"not ok {name}: exit code {p.returncode}\n{out[-4000:]}", flush=True)
    return False


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seconds", type=int, default=20)
    p.add_argument("--only", choices=NAMES)
    args = p.parse_args()
    build()
    return 0 if all([fuzz(n, args.seconds) for n in NAMES if args.only in (None, n)]) else 1


if __name__ == "__main__":
    sys.exit(main())
