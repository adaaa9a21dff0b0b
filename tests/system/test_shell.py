# SPDX-License-Identifier: Apache-2.0
"""Shells: every busybox applet that works natively here, and bash: pipelines, here-documents, jobs, traps, substitution."""

import bz2
import gzip
import io
import lzma
import os
import socket
import sys
import tarfile
import zipfile

from common import add, command, compare, compare_script, expect, main, need, test

HOSTNAME = ["--hostname", socket.gethostname()[:64]]

# ---- busybox ----

WORDS = "the quick brown fox jumps over a lazy dog while seven wise wizards watch and wonder why".split()


def prepare(directory):
    """The files that the applets work on; the same bytes each time."""
    text = "".join(f"{i:03d} {WORDS[i % 16]} {WORDS[i * 7 % 16]}\t{WORDS[i * 5 % 16]} {i * i}\n" for i in range(60))
    blob = bytes((i * i * 31 + i * 7) & 255 for i in range(5000))
    files = {
        "text": text.encode(),
        "other": text.replace("fox", "cat").encode(),
        "blob": blob,
        "numbers": "".join(f"{i * 37 % 101}\n" for i in range(100)).encode(),
        "dos": b"one\r\ntwo\r\n",
        "list": b"b 2\na 1\nb 2\nc 3\na 1\n",
        "text.gz": gzip.compress(text.encode(), mtime=0),
        "text.bz2": bz2.compress(text.encode()),
        "text.xz": lzma.compress(text.encode()),
        "text.lzma": lzma.compress(text.encode(), format=lzma.FORMAT_ALONE),
        "sub/one": b"1\n",
        "sub/two": b"22\n",
        "sub/deep/three": b"333\n",
        "script": b"#!/bin/sh\necho part $0 | busybox sed 's,.*/,,'\n",
        "image": bytes(1 << 20),
        "change.diff": b"--- list\n+++ list\n@@ -1,2 +1,2 @@\n-b 2\n+B 2\n a 1\n",
        "commands.ed": b"2d\n1s/b/BB/\n,p\nQ\n",
    }
    for name, content in files.items():
        path = os.path.join(directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(content)
        os.utime(path, (1700000000, 1700000000))
    os.makedirs(os.path.join(directory, "parts"))
    os.rename(os.path.join(directory, "script"), os.path.join(directory, "parts", "script"))
    os.chmod(os.path.join(directory, "parts", "script"), 0o755)
    os.symlink("text", os.path.join(directory, "link"))
    with zipfile.ZipFile(os.path.join(directory, "text.zip"), "w") as z:
        z.writestr(zipfile.ZipInfo("zipped/text"), text)
    member = io.BytesIO()
    with tarfile.open(fileobj=member, mode="w:gz") as t:
        info = tarfile.TarInfo("./usr/file")
        info.size = 3
        t.addfile(info, io.BytesIO(b"abc"))
    control = io.BytesIO()
    with tarfile.open(fileobj=control, mode="w:gz") as t:
        data = b"Package: sample\nVersion: 1\nArchitecture: all\nDescription: sample\n"
        info = tarfile.TarInfo("./control")
        info.size = len(data)
        t.addfile(info, io.BytesIO(data))
    with open(os.path.join(directory, "sample.deb"), "wb") as f:
        f.write(b"!<arch>\n")
        for name, content in ((b"debian-binary", b"2.0\n"), (b"control.tar.gz", control.getvalue()), (b"data.tar.gz", member.getvalue())):
            f.write(b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name, 0, 0, 0, b"100644", len(content)) + content + (b"\n" if len(content) & 1 else b""))


# applet | what the shell runs. The output and exit code must be the native ones; the native code is 0 unless `!` stands before.
APPLETS = r"""
[ | busybox [ 1 -lt 2 -a -f text ] && echo yes
[[ | busybox [[ a = a ]] && echo yes
ar | busybox ar -t sample.deb && busybox ar -p sample.deb debian-binary
arch | busybox arch
ascii | busybox ascii
ash | busybox ash -c 'f() { echo "$(( $1 * 7 ))"; }; for i in 1 2 3; do f $i; done | while read x; do echo "<$x>"; done'
awk | busybox awk '{ n[$2] += $NF } END { for (w in n) print w, n[w] }' text | busybox sort
base64 | busybox base64 blob | busybox base64 -d | busybox cmp - blob && busybox base64 text
basename | busybox basename /a/b/c.txt .txt
bc | echo 'scale=30; 4*a(1); 2^200' | busybox bc -l
bunzip2 | busybox bunzip2 -k text.bz2 -c | busybox cksum 2>/dev/null || busybox bunzip2 -c text.bz2 | busybox md5sum
bzcat | busybox bzcat text.bz2
bzip2 | busybox bzip2 -c text | busybox bunzip2 | busybox cmp - text && echo same
busybox | busybox --list
cal | busybox cal 2 2024
cat | busybox cat text - <list
chgrp | busybox chgrp "$(busybox id -g)" text && busybox stat -c %g text
chmod | busybox chmod 4751 text && busybox stat -c '%a %A' text && busybox chmod -R go-rx sub && busybox stat -c %A sub/one
chown | busybox chown "$(busybox id -u)" text && busybox stat -c %u text
clear | busybox clear | busybox od -c
cmp | ! busybox cmp text other
cp | busybox cp -a sub copy && busybox find copy | busybox sort && busybox cp -p text t2 && busybox stat -c '%s %Y %a' t2
cpio | busybox find sub | busybox sort | busybox cpio -o -H newc 2>/dev/null >a.cpio && busybox mkdir out && cd out && busybox cpio -id <../a.cpio 2>/dev/null && busybox find . -type f | busybox sort
crc32 | busybox crc32 blob
cut | busybox cut -d ' ' -f 1,3 text
date | busybox date -u -d @1700000000 '+%F %T %j %a' && busybox date -u -r text
dc | busybox dc -e '2 100 ^ p 10 k 2 v p'
dd | busybox dd if=blob bs=100 skip=3 count=7 2>/dev/null | busybox md5sum && busybox dd if=text of=new bs=64 conv=notrunc seek=2 2>/dev/null && busybox md5sum new
df | busybox df . | busybox head -n 1
diff | ! busybox diff -u -L a -L b text other
dirname | busybox dirname /a/b/c
dos2unix | busybox dos2unix dos && busybox od -c dos
dpkg-deb | busybox dpkg-deb -c sample.deb | busybox awk '{print $1, $3, $NF}' && busybox dpkg-deb -f sample.deb
du | busybox du text blob sub/one && busybox du -b sub/* text 2>/dev/null | busybox grep -v deep
echo | busybox echo -e 'a\tb\x41\n\c' && busybox echo -n x
ed | busybox ed list <commands.ed
egrep | busybox egrep -n '(fox|dog)+$|^00[1-3]' text
env | busybox env -i A=1 B=2 busybox env
expand | busybox expand -t 20 text
expr | busybox expr 6 '*' 7 && busybox expr abcdef : 'ab\(.*\)f'
factor | busybox factor 1000000007 1234567890 97
fallocate | busybox fallocate -l 100000 new && busybox stat -c %s new
false | ! busybox false
fgrep | busybox fgrep -c '4 ' text
find | busybox find . -type f -size +1 -newermt 2001-01-01 2>/dev/null | busybox sort; busybox find sub -name 't*' -exec busybox wc -c {} + | busybox sort
fold | busybox fold -w 13 -s text
free | busybox free | busybox awk '{print $1}' | busybox head -n 2
getopt | busybox getopt -o ab: -l long: -- -a -b x --long=y rest
grep | busybox grep -rn -e 2 sub | busybox sort; busybox grep -ivA1 'o' text
groups | busybox groups
gunzip | busybox gunzip -c text.gz
gzip | busybox gzip -c blob | busybox gunzip | busybox cmp - blob && busybox cp text t9 && busybox gzip t9 && busybox ls t9*
head | busybox head -n 3 text && busybox head -c 10 blob | busybox od -x
hexdump | busybox hexdump -C blob | busybox head -n 40
hostid | busybox hostid
hostname | busybox hostname
httpd | busybox httpd -d 'a%20b%2Fc' && busybox httpd -e '<a b>'
id | busybox id -u && busybox id -g && busybox id -un
ionice | busybox ionice -c 3 busybox echo x
ipcalc | busybox ipcalc -bnm 10.1.2.3/12
kill | busybox sleep 50 & busybox kill $!; wait $!; echo $?; busybox kill -l
killall | busybox cp "$(busybox which sleep)" ./cella-killed && { ./cella-killed 50 & sleep 0.2; busybox killall cella-killed; wait $!; echo $?; }
less | busybox less text </dev/null
link | busybox link text hard && busybox stat -c %h text
linux32 | busybox linux32 busybox uname -m
linux64 | busybox linux64 busybox uname -m
ln | busybox ln -s sub/one l && busybox cat l && busybox ln text hard && busybox stat -c %h hard && busybox readlink l
logname | ! busybox logname
ls | busybox ls -lnA --full-time parts/script sub/one && busybox ls -Rp1
lzcat | busybox lzcat text.lzma
lzma | busybox lzma -dc text.lzma
lzop | busybox lzop -c blob | busybox lzop -dc | busybox cmp - blob && echo same
md5sum | busybox md5sum text blob >sums && busybox cat sums && busybox md5sum -c sums
mkdir | busybox mkdir -p -m 700 a/b/c && busybox find a && busybox stat -c %a a/b/c
mkdosfs | busybox mkdosfs image >/dev/null && busybox od -A n -c -j 510 -N 2 image
mke2fs | busybox mke2fs -F image 2>/dev/null >/dev/null && busybox od -A n -x -j 1080 -N 2 image
mkfifo | busybox mkfifo p && { busybox cat text >p & busybox wc -l <p; }
mknod | busybox mknod p p && busybox stat -c %F p
mkpasswd | busybox mkpasswd -m md5 -S abcdefgh secret; busybox mkpasswd -m sha512 -S abcdefgh secret
mkswap | busybox mkswap image >/dev/null && busybox dd if=image bs=1 skip=4086 count=10 2>/dev/null
mktemp | f=$(busybox mktemp ./x.XXXXXX) && busybox stat -c '%s %a' "$f" && d=$(busybox mktemp -d ./y.XXXXXX) && busybox stat -c '%F %a' "$d"
more | busybox more text </dev/null
mv | busybox mv text sub/moved && busybox mv sub dir && busybox find dir | busybox sort
nl | busybox nl -b a text
nproc | busybox nproc
nuke | busybox nuke sub && busybox ls
od | busybox od -A d -t x1 blob | busybox head -n 50; busybox od -c text | busybox tail -n 3
paste | busybox paste -d , list numbers
patch | busybox patch <change.diff && busybox cat list
pidof | busybox cp "$(busybox which sleep)" ./cella-sleeper && { ./cella-sleeper 50 & sleep 0.2; busybox pidof cella-sleeper | busybox tr ' ' '\n' | busybox grep -cx $!; kill $!; }
printf | busybox printf '%05d|%-6s|%x|%c|%b\n' 42 ab 255 xyz 'a\tb' 7 c 16 q r
ps | busybox ps -o args | busybox grep -cx 'busybox ps -o args'
pwd | busybox pwd
readlink | busybox readlink link && busybox readlink -f sub/../link
realpath | busybox realpath link sub/deep/..
renice | busybox nice 2>/dev/null; busybox renice -n 3 -p $$ && busybox awk '{print $19}' /proc/self/stat
reset | busybox reset 2>/dev/null | busybox od -c
rev | busybox rev text
rm | busybox rm -r sub && busybox rm text && busybox ls
rmdir | busybox mkdir -p x/y/z && busybox rmdir -p x/y/z && busybox ls
run-parts | busybox run-parts parts
sed | busybox sed -n -e '/fox/{s//[&]/g;p}' -e '$=' text; busybox sed -i '1,3d;y/abc/xyz/' text && busybox head -n 2 text
seq | busybox seq -w 1 3 20
setpriv | busybox setpriv --nnp busybox echo x
setsid | busybox setsid busybox echo x | busybox cat
sh | busybox sh -c 'trap "echo bye" EXIT; set -- a b c; shift; echo "$#:$*"; case $1 in b) echo two;; esac; x=${1:-none}; echo ${x%b}q; exit 0'
sha1sum | busybox sha1sum text blob
sha256sum | busybox sha256sum text blob
sha3sum | busybox sha3sum text blob
sha512sum | busybox sha512sum text blob
shred | busybox shred -n 1 -u blob && busybox ls
shuf | busybox shuf text | busybox sort | busybox cmp - text && busybox shuf -i 1-100 | busybox sort -n | busybox tail -n 1
sleep | busybox sleep 0.1 && echo slept
sort | busybox sort -k 2,2 -k 3nr text; busybox sort -nu numbers | busybox tail -n 3; busybox sort -c numbers 2>/dev/null; echo $?
start-stop-daemon | busybox start-stop-daemon -S -x /bin/echo -- started
stat | busybox stat -c '%n %s %F %Y %h' text link && busybox stat -c %F sub
strings | busybox strings -n 3 blob; busybox strings text | busybox md5sum
stty | ! busybox stty </dev/null
su | [ "$(busybox id -u)" != 0 ] && echo x || busybox su -s /bin/sh root -c 'echo x'
sync | busybox sync && busybox sync text && echo done
sysctl | busybox sysctl -n kernel.ostype
tac | busybox tac text
tail | busybox tail -n 3 text; busybox tail -c 20 text; busybox tail -n +58 text
tar | busybox tar -czf a.tgz sub text && busybox mkdir out && busybox tar -xzf a.tgz -C out && busybox find out | busybox sort && busybox cmp text out/text && busybox tar -tzf a.tgz | busybox sort
taskset | busybox taskset 1 busybox echo x
tee | busybox tee a b <text | busybox md5sum && busybox cmp a b
test | busybox test -d sub -a ! -e nothing && echo yes
time | busybox time busybox true 2>/dev/null && echo timed
timeout | ! busybox timeout 0.3 busybox sleep 20; code=$?; echo $code; exit 1
top | busybox top -b -n 1 | busybox grep -c '^Mem:'
touch | busybox touch -d '2020-01-02 03:04:05' text new && busybox stat -c '%n %Y' text new
tr | busybox tr -cs a-z '\n' <text | busybox sort | busybox uniq -c
true | busybox true
truncate | busybox truncate -s 12345 blob new && busybox md5sum blob new
ts | echo a | busybox ts 'x' 
tty | ! busybox tty </dev/null
uname | busybox uname -smo
unexpand | busybox unexpand -a text
uniq | busybox sort list | busybox uniq -c; busybox uniq -d list
unix2dos | busybox unix2dos list && busybox od -c list
unlink | busybox unlink text && busybox ls
unlzma | busybox unlzma -c text.lzma
unxz | busybox unxz -c text.xz
unzip | busybox unzip -q text.zip && busybox cmp zipped/text text && busybox unzip -l text.zip | busybox awk 'END{print $1}'
uptime | busybox uptime | busybox grep -c 'load average'
usleep | busybox usleep 1000 && echo slept
uudecode | busybox uuencode blob x <blob | busybox uudecode -o - | busybox cmp - blob && echo same
uuencode | busybox uuencode -m text <text; busybox uuencode text <text
watch | busybox timeout 1 busybox watch -n 5 -t echo seen | busybox grep -c seen
wc | busybox wc text blob && busybox wc -L text
which | busybox which busybox sh
whoami | busybox whoami
xargs | busybox seq 50 | busybox xargs -n 7 busybox echo; busybox find sub -type f -print0 | busybox sort -z | busybox xargs -0 busybox cat
xxd | busybox xxd blob | busybox head -n 20; busybox xxd -p text | busybox xxd -r -p | busybox cmp - text
xz | busybox xz -dc text.xz
xzcat | busybox xzcat text.xz
yes | busybox yes abc | busybox head -n 1000 | busybox md5sum
zcat | busybox zcat text.gz
"""

# Applets that do not work in a test on a plain host either, by reason.
NOT_TESTED = {
    "needs hardware, a console or a block device": "acpid cttyhack blkdiscard blockdev chvt deallocvt devmem dumpkmap fatattr fdisk findfs freeramdisk fsfreeze fstrim getty hwclock "
        "i2cdetect i2cdump i2cget i2cset i2ctransfer loadfont loadkmap losetup lsscsi mdev microcom mt openvt partprobe setkeycodes svc svok swapoff swapon ubirename watchdog vi resume",
    "is the network's": "arp arping brctl dnsdomainname dumpleases ftpget ftpput ifconfig ifdown ifup ip ipneigh nameif nc netstat nslookup ping ping6 rdate route ssl_client tc "
        "telnet telnetd tftp traceroute traceroute6 tunctl udhcpc udhcpd vconfig wget",
    "rules the host's kernel, its modules, mounts or power": "adjtimex chroot depmod dmesg halt init insmod linuxrc lsmod modinfo modprobe mount nsenter pivot_root poweroff reboot "
        "rmmod run-init switch_root uevent umount unshare",
    "is a daemon, or talks to one, or to a person": "crond crontab klogd last logger login logread nologin passwd sulogin syslogd w who mim",
    "wants files that Debian's tools do not make": "dpkg rpm rpm2cpio uncompress",
}


def applet_table():
    for line in APPLETS.strip().splitlines():
        name, _, script = line.partition(" | ")
        code = None if script.startswith("!") else 0
        yield name, script.lstrip("! "), code


def applet(script, code):
    need("busybox")
    compare(["/bin/busybox", "sh", "-c", script], prepare=prepare, code=code, args=HOSTNAME)


for applet_name, applet_script, applet_code in applet_table():
    add(f"busybox {applet_name}", applet, applet_script, applet_code)


@test("every busybox applet is tested, or named with the reason why not")
def applets_complete():
    need("busybox")
    installed = set(command(["busybox", "--list"]).out.decode().split())
    tested = {name for name, _, _ in applet_table()}
    named = {name for names in NOT_TESTED.values() for name in names.split()}
    missing = installed - tested - named
    expect(not missing, f"neither tested nor named: {' '.join(sorted(missing))}")
    expect(not tested & named, f"tested and named: {tested & named}")


# ---- bash ----

def bash(title, script, code=0, **how):
    add(f"bash, {title}", compare_script, script, code=code, stderr=how.pop("stderr", True), prepare=prepare, **how)


bash("a pipeline of nine", "cat text | tr a-z A-Z | sort -r | uniq | sed 's/O/0/g' | awk '{print NR\": \"$0}' | tail -n 20 | rev | cut -c 1-30")
bash("pipeline status", "false | true | (exit 3) | true; echo ${PIPESTATUS[*]}; set -o pipefail; false | true; echo $?")
bash("a here-document", "x=5\ncat <<END | tr 5 6\nvalue $x $(echo sub)\n\tkept tab\nEND\ncat <<'END'\n$x not expanded\nEND\ncat <<-END\n\tstripped\n\tEND")
bash("a here-document larger than a pipe", "cat <<END | md5sum\n$(seq 40000)\nEND")
bash("a here-string", "tr a-z A-Z <<<'hello world'; read -r a b <<<'one two three'; echo $b")
bash("command substitution", "echo \"$(echo a; echo \"$(echo b $(echo c))\")\" `echo d`; x=$(exit 7); echo $?; y=$(seq 5); echo $y")
bash("process substitution", "diff <(sort list) <(sort -u list); paste <(seq 3) <(seq 4 6); seq 3 > >(cat >o); sleep 0.2; cat o")
bash("background jobs and wait", "for i in 3 1 2; do (sleep 0.$i; exit $i) & done; wait %1; echo $?; wait; echo done; jobs")
bash("wait -n", "(sleep 0.6; exit 6) & (sleep 0.1; exit 1) & wait -n; echo $?; wait -n; echo $?; wait -n; echo $?")
bash("wait for a process id", "sleep 0.2 & p=$!; kill -0 $p && echo alive; wait $p; echo $?; kill -0 $p 2>/dev/null || echo gone")
bash("job control: stop and continue", "set -m; sleep 0.3 & kill -STOP %1; sleep 0.1; jobs -s | grep -c Stopped; kill -CONT %1; wait %1; echo $?")
bash("fg of a stopped job", "set -m; (sleep 0.1; echo ran) & kill -STOP %1; sleep 0.2; fg %1 >/dev/null; echo $?", stderr=False)
bash("traps on signals", "trap 'echo usr1' USR1; trap 'echo exit' EXIT; kill -USR1 $$; kill -USR1 $BASHPID; echo after")
bash("a trap interrupts wait", "trap 'echo usr1' USR1; sleep 20 & p=$!; (sleep 0.2; kill -USR1 $$) & wait $p; echo $?; kill $p; wait $p; echo $?", stderr=False)
bash("traps on ERR, DEBUG and RETURN", "set -E; trap 'echo err $?' ERR; f() { false; return 0; }; f; trap 'echo ret' RETURN; g() { trap 'echo inner' RETURN; }; g; true")
bash("an ignored signal is inherited", "trap '' TERM; bash -c 'kill -TERM $$; echo survived'")
bash("a signal ends a pipeline's member", "(kill -KILL $BASHPID) | cat; echo ${PIPESTATUS[0]}", stderr=False)
bash("SIGPIPE ends the writer", "yes | head -n 2; echo ${PIPESTATUS[*]}")
bash("redirections", "exec 3>f 4<text; echo to3 >&3; read -r l <&4; echo \"$l\"; echo err >&2 2>>f; { echo a; echo b >&2; } &>g; cat f g; exec 3>&- 4<&-; echo x >&3", code=1, stderr=False)
bash("noclobber and append", "set -C; echo a >n; echo b >n; echo c >|n; echo d >>n; cat n", stderr=False)
bash("globs", "shopt -s globstar nullglob extglob\necho **/t* [[:alpha:]]*.gz !(*.*) none*; echo {a,b}{1..3}")
bash("arrays and strings", "a=(x 'y z' w); a[7]=q; echo ${#a[@]} \"${a[@]:1:2}\" ${!a[@]}; declare -A h=([k]=v [l]=w); for k in k l; do echo $k=${h[$k]}; done; s=abcabc; echo ${s//b/X} ${s^^} ${s:2:3} ${#s}")
bash("arithmetic", "echo $((2**40 + 7 % 3)) $((0xff & 017)) $(( 5 > 3 ? 1 : 2 )); for ((i=0, s=0; i<20000; i++)); do ((s+=i)); done; echo $s")
bash("a function in the background writes to a FIFO", "mkfifo p; f() { for i in 1 2 3; do echo $i; done; }; f >p & while read -r x; do echo got $x; done <p; wait")
bash("a coprocess", "coproc UP { stdbuf -o0 tr a-z A-Z; }; echo hello >&${UP[1]}; eval \"exec ${UP[1]}>&-\"; cat <&${UP[0]}; wait", stderr=False)
bash("read with a timeout", "read -t 0.2 x < <(sleep 1); echo $?", timeout=30)
bash("select-free menus: getopts and case", "set -- -a -b val file; while getopts ab: o; do case $o in a) echo A;; b) echo B=$OPTARG;; esac; done; shift $((OPTIND-1)); echo $1")
bash("subshells do not change the parent", "x=1; cd sub; (cd /; x=2; exit 4); echo $? $x $(basename $PWD)")
bash("exec replaces the shell", "exec /bin/echo replaced; echo not reached")
bash("ulimit in a subshell", "(ulimit -n 64; ulimit -n); ulimit -S -c 0; ulimit -c")
bash("umask and permissions", "umask 027; echo x >u; mkdir d; stat -c '%a' u d; umask")
bash("errors of missing commands", "nosuchcommand; echo $?; ./text; echo $?; /; echo $?", stderr=False)
bash("/dev/fd and /dev/stdin", "echo in | cat /dev/stdin; cat /dev/fd/3 3<list | head -n 1; echo e 2>&1 >/dev/stderr")
bash("2,000 forks", "for i in $(seq 2000); do (exit 0); done; echo done", timeout=120)
bash("300 execs", "for i in $(seq 300); do /bin/true; done; echo done", timeout=120)
bash("50 processes at once", "for i in $(seq 50); do (sleep 0.$((i % 10)); echo $i) & done | sort -n; wait", timeout=60)
bash("a login shell reads no terminal", "bash -lc 'echo login $0'", stderr=False)
bash("printf formats", "printf '%q %5.2f %x %(%Y)T\\n' 'a b' 3.14159 255 0")
bash("times of a sleep", "SECONDS=0; sleep 1.1; echo $SECONDS")
bash("environment of children", "A=1 B='x y' bash -c 'echo $A $B'; export C=3; env | grep ^C=; env -i bash -c 'echo \"[$HOME]\"'")


@test("dash runs a script from stdin")
def dash_stdin():
    compare(["/bin/dash"], stdin=b"for i in 1 2 3; do echo $i; done | while read x; do echo \"<$x>\"; done\nexit 9\n", code=9)


@test("bash runs a script from stdin that reads its own stdin")
def bash_stdin():
    compare(["/bin/bash", "-s", "arg"], stdin=b"read x\nthis line is data\necho \"$1: $x\"\n")


if __name__ == "__main__":
    sys.exit(main(workers=3))
