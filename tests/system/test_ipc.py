# SPDX-License-Identifier: Apache-2.0
"""System V IPC as util-linux shows and removes it."""

from common import expect, keep, main, test


@test("ipcmk, ipcs and ipcrm make, show and remove objects of each kind")
def tools():
    out = keep(["/bin/sh", "-c", """
ipcmk -M 5000 -p 0640 && ipcmk -S 3 && ipcmk -Q
ipcs | grep -c '^0x'
tail -qn +2 /proc/sysvipc/shm /proc/sysvipc/sem /proc/sysvipc/msg | wc -l
ipcs -m | awk '/^0x/ { print $4, $5, $6 }'; ipcs -s | awk '/^0x/ { print $5 }'
ipcrm -a && ipcs | grep -c '^0x'"""])
    lines = out.out.decode().splitlines()
    expect(lines[3:] == ["3", "3", "640 5000 0", "3", "0"], f"{out}")


main()
