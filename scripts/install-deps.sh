#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that a step needs and this machine lacks. Asks nothing; as an ordinary user it goes through sudo, or
# prints the one line to run.
#
#   scripts/install-deps.sh build|demo|check|bench
set -e

case "$1" in
build) packages="gcc libc6-dev meson ninja-build python3 git" ;;
demo) packages="python3-minimal" ;;
check) packages="gcc libc6-dev musl-tools busybox-static bash coreutils findutils grep sed gawk tar gzip xz-utils git make perl python3 libpython3-stdlib libpython3.11-testsuite sqlite3 strace procps util-linux qemu-system-x86 nginx-light redis-server redis-tools memcached curl vim-tiny less stress-ng gdb binutils linux-perf clang libclang-rt-14-dev clang-tidy cppcheck" ;;
bench) packages="gcc libc6-dev musl-tools busybox-static sqlite3 python3 runc nginx-light redis-server redis-tools wrk" ;;
*)
    echo "usage: scripts/install-deps.sh build|demo|check|bench" >&2
    exit 2
    ;;
esac

# Program:package. Toolchains that are here in another form are left alone.
[ "$1" != check ] || for p in go:golang-go javac:openjdk-17-jdk-headless node:nodejs rustc:rustc stress-ng:stress-ng; do
    command -v "${p%%:*}" >/dev/null || packages="$packages ${p#*:}"
done

missing=""
for p in $packages; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

sudo=""
if [ "$(id -u)" != 0 ]; then
    if sudo -n true 2>/dev/null; then
        sudo="sudo -n"
    else
        echo "These packages are missing; please run:" >&2
        echo "  sudo apt-get install -y --no-install-recommends$missing" >&2
        exit 1
    fi
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
# shellcheck disable=SC2086
if ! { $sudo apt-get update -q && $sudo apt-get install -y -q --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    exit 1
fi
rm -f "$log"
