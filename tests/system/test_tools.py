# SPDX-License-Identifier: Apache-2.0
"""Ordinary tools at work: coreutils on a tree of 10,000 files, text tools, archivers, perl, a compiler under make, git."""

import os
import sys

from common import QUICK, add, compare, compare_script, main

FILES = 1000 if QUICK else 10000
DIRECTORIES = 100

# Makes the tree inside the keep: FILES files in DIRECTORIES directories, with contents that follow from their names.
MAKE_TREE = f"""
mkdir tree; cd tree
for d in $(seq -w {DIRECTORIES}); do mkdir d$d; done
i=0
while [ $i -lt {FILES} ]; do
    d=$(( i % {DIRECTORIES} + 1 )); printf -v f 'd%03d/file%05d' $d $i
    echo "file $i line one
word$(( i * 7919 % 1000 )) $(( i * i ))" >$f
    i=$(( i + 1 ))
done
"""


def tree(title, script, code=0, timeout=180):
    add(f"tree of {FILES} files, {title}", compare_script, MAKE_TREE + script, code=code, timeout=timeout)


tree("count, sizes and sums", "ls | wc -l; find . -type f | wc -l; du -b -s --apparent-size d001/* | awk '{s+=$1} END {print s}'; cat */* | md5sum; wc -c */* | tail -n 1")
tree("cp, mv, ln, chmod, touch, rm", """
cp -r . ../copy && diff -r . ../copy && echo same
mv d001 moved; for f in moved/*; do mv $f $f.x; done; ls moved | head -n 3
ln -s ../d002 moved/link; ln d003/* moved/ && stat -c %h d003/* | sort -u
chmod -R u=rwX,go= d004; find d004 -perm 600 | wc -l
touch -d 2001-02-03T04:05:06Z d005/*; find . -type f ! -newermt 2001-02-04 | wc -l
rm -r d00[6-9] && ls | wc -l; rm -rf ../copy && ls .. | wc -l""")
tree("find and xargs", """
find . -type f -name 'file*7' | sort | head -n 5; find . -type f -size -20c | wc -l
find . -type f -print0 | sort -z | xargs -0 -n 500 sha1sum | sha1sum
find . -name 'file*9' -delete; find . -type f | wc -l; find . -type d -empty | wc -l; find d010 -type f -exec grep -l word1 {} + | sort | head -n 5""")
tree("grep, sed, awk, sort, uniq", """
grep -rl 'word42$' . | wc -l; grep -rhoE 'word[0-9]+' . | sort | uniq -c | sort -k1,1nr -k2,2 | head -n 5
sed -i 's/line one/line 1/' d020/*; cat d020/* | sed -n '/line 1/p' | wc -l
awk '{n[$1]+=$2} END {for (k in n) print k, n[k]}' d0*/* | sort | md5sum
sort -R d001/* | sort | md5sum; comm -12 <(ls d001) <(ls d002) | wc -l; join <(cat d001/* | sort) <(cat d001/* | sort) | md5sum""")
tree("tar, gzip, bzip2, xz and back", """
cd ..
tar --sort=name --mtime=@0 -cf t.tar tree; wc -c <t.tar | awk '{print ($1 > 0)}'; md5sum t.tar
for z in gzip bzip2 'xz -1'; do $z -c t.tar | ${z%% *} -dc | cmp - t.tar && echo ${z%% *}; done
mkdir out; tar -xf t.tar -C out; diff -r tree out/tree && echo same
tar --sort=name --mtime=@0 -czf t.tgz tree; tar -tzf t.tgz | wc -l; tar -xOzf t.tgz tree/d007/file00006""")


def tool(title, script, code=0, timeout=60, **how):
    add(f"tool, {title}", compare_script, script, code=code, timeout=timeout, **how)


tool("split, cat and sums of 8 MiB", "seq 1200000 | head -c 8388608 >a; split -b 1000000 a p.; ls p.*; cat p.* | cmp - a && echo same; md5sum a; sha256sum a; sha512sum a; cksum a; b2sum a")
tool("dd with seek, skip and sparse files", "seq 10000 >a; dd if=a of=b bs=1000 skip=3 seek=500 count=5 2>/dev/null; stat -c %s b; md5sum b; truncate -s 1G c; stat -c %s c; cp --sparse=always c d; stat -c %s d; tail -c 3 d | od -c")
tool("head, tail, tac, nl, fold, fmt, pr", "seq 3000 | tac | head -n 2000 | nl | fold -w 40 | fmt -w 60 | tail -n 30; seq 100 | pr -4 -t -l 25")
tool("sort of a million lines", "seq 1000000 | awk '{print ($1 * 7919) % 1000003}' | sort -n --parallel=2 -S 16M | md5sum", timeout=120)
tool("sort with temporary files", "seq 300000 | awk '{print ($1 * 7919) % 1000003}' | sort -S 1M -T . | md5sum; ls | wc -l", timeout=120)
tool("date, cal, numfmt, factor, seq", "date -u -d '2024-02-29 + 1 year' +%F; TZ=Europe/Berlin date -d @1700000000; numfmt --to=iec 123456789; factor 999999999989; seq -s, 1 0.5 4")
tool("timeout, nice, env, nohup", "timeout 0.2 sleep 5; echo $?; timeout -s KILL 0.2 sleep 5; echo $?; nice -n 5 nice; env -u HOME sh -c 'echo [$HOME]'; nohup echo kept 2>/dev/null")
tool("install, mktemp, realpath, readlink", "install -D -m 750 /etc/hostname a/b/c; stat -c %a a/b/c; f=$(mktemp -p .); stat -c '%a %s' $f; ln -s a/b l; realpath --relative-to=. l/c; readlink l")
tool("stat of files that both see", "stat -c '%n %s %a %u %g %F %Y %h' /bin/bash /etc/passwd /usr/bin/python3 /usr; readlink -f /usr/bin/python3 /bin/sh")
tool("ls of a large directory of the host", "ls -la --time-style=full-iso /usr/bin | grep -v ' \\.\\.$' | md5sum; ls /usr/lib/x86_64-linux-gnu | md5sum")
tool("sums of 2,000 files of the host", "find /usr/include /usr/lib/python3.11 -type f -name '*.[hp]*' ! -name '*.pyc' | sort | head -n 2000 | xargs md5sum | md5sum", timeout=120)
tool("tee, mkfifo and paste", "mkfifo p q; seq 1000 | tee p q >o & paste p q | md5sum; wait; md5sum o")
tool("tail -f without inotify", "(for i in 1 2 3; do echo $i; sleep 0.1; done >>f) & touch f; timeout 2 tail -f ---disable-inotify -s 0.05 f; echo $?")
tool("flock", "(flock 9; sleep 0.4; echo first) 9>l & sleep 0.1; flock l echo second; flock -n l echo third; wait")
tool("awk: pipes, getline, functions", "awk 'function f(n) {return n<2 ? n : f(n-1)+f(n-2)} BEGIN {print f(22); \"echo sub\" | getline x; print x; print \"b\\na\" | \"sort\"; close(\"sort\"); printf \"%.10f\\n\", atan2(0,-1)}'")
tool("sed in place with backup", "seq 100 >f; sed -i.bak -E 's/^([0-9])([0-9])$/\\2\\1/; 5q' f; cat f; wc -l f.bak")
tool("grep with options", "seq 20000 >f; grep -c 7 f; grep -nE '^(12|34)56' f; grep -P '(\\d)\\1\\1\\1' f | head; grep -rF -m 2 --include=f 999 . ; ! grep -q absent f; echo $?")
tool("diff and patch", "seq 1000 >a; sed '5d;500s/$/x/;900a new' a >b; diff -u --label a --label b a b >d; md5sum d; cp a c; patch -s c d && cmp c b && echo same")
tool("ps, pgrep, pstree and /proc", "sleep 30 & pgrep -x sleep | grep -cx $!; ps -o comm= -p $!; ps -o stat= -p $! | cut -c 1; cat /proc/$!/comm; tr '\\0' ' ' </proc/$!/cmdline; kill $!; wait $!; echo $?")
tool("free, uptime, nproc, getconf", "free | awk 'NR==2 {print ($2 > 0)}'; uptime | grep -c load; nproc; getconf PAGE_SIZE; getconf _NPROCESSORS_ONLN; getconf LONG_BIT")

PERL = r"""
use strict; use warnings; use POSIX; use Fcntl qw(:flock SEEK_SET); use File::Temp; use Time::HiRes qw(ualarm usleep);
my %n; for my $i (1..50000) { $n{($i * 7919) % 997}++ } print join(",", map {"$_=$n{$_}"} (sort {$a <=> $b} keys %n)[0..9]), "\n";
pipe(my $r, my $w) or die; my $pid = fork; if (!$pid) { close $r; print $w "child $_\n" for 1..3; exit 5 } close $w; print while <$r>; waitpid($pid, 0); print $? >> 8, "\n";
local $SIG{ALRM} = sub { die "alarm\n" }; eval { ualarm(100_000); sleep 10; }; print $@;
open(my $f, "+>", "file") or die; flock($f, LOCK_EX) or die; print $f "x" x 100000; seek($f, 99_990, SEEK_SET); read($f, my $b, 20); print length($b), "\n"; close $f; print -s "file", "\n"; unlink "file";
print `echo backtick; exit 3`, $? >> 8, "\n"; my @s = sort { $a <=> $b } map { ($_ * 48271) % 65537 } 1..20000; print "$s[0] $s[-1]\n";
local $SIG{USR1} = sub { print "usr1\n" }; kill USR1 => $$; printf "%s\n", strftime("%F", gmtime 86400); print "ok\n" if (sub { my $x = "abc" x 1000; $x =~ /^(?:abc)+$/ })->();
"""
add("tool, perl", compare, ["/usr/bin/perl", "-e", PERL])
tool("perl, regular expressions over a file", "perl -ne '$n{$1}++ while /([a-z]{5,})/g; END { print \"$_ $n{$_}\\n\" for (sort { $n{$b} <=> $n{$a} || $a cmp $b } keys %n)[0..19] }' /usr/share/common-licenses/GPL-3")

MAKEFILE = r"""
cat >main.c <<'END'
#include <stdio.h>
#include "lib.h"
int main(int argc, char **argv) { for (int i = 1; i < argc; i++) printf("%s %d\n", argv[i], weight(argv[i])); printf("%.6f\n", mean(5)); return argc; }
END
cat >lib.h <<'END'
int weight(const char *s);
double mean(int n);
END
cat >lib.c <<'END'
#include <math.h>
#include <string.h>
#include "lib.h"
int weight(const char *s) { int w = 0; for (size_t i = 0; i < strlen(s); i++) w += (int)(i + 1) * s[i]; return w; }
double mean(int n) { double s = 0; for (int i = 1; i <= n; i++) s += sqrt(i); return s / n; }
END
printf 'CFLAGS=-O2 -Wall\nprog: main.o lib.o\n\t$(CC) -o $@ $^ -lm\n%%.o: %%.c lib.h\n\t$(CC) $(CFLAGS) -c -o $@ $<\nclean:\n\trm -f prog *.o\n' >Makefile
"""
tool("make and gcc compile a program that runs", MAKEFILE + "make -s -j2 && ./prog a bc def; echo $?; make -q prog; echo $?; touch lib.c; make; make clean; ls", timeout=120)
tool("gcc: assembler, preprocessor and optimizer give the same bytes", MAKEFILE + "gcc -O2 -S -o - lib.c | md5sum; gcc -E main.c | wc -l; gcc -O2 -c lib.c && objdump -d lib.o | tail -n +4 | md5sum; nm lib.o", timeout=120)
tool("gcc: static, and threaded programs", MAKEFILE + "gcc -O2 -static -o s main.c lib.c -lm && { ./s x; echo $?; }; gcc -g -O1 -fopenmp -o o main.c lib.c -lm && { ./o y; echo $?; }", timeout=120)
tool("gcc: a wrong program is refused", "echo 'int main(void) { return x; }' >w.c; gcc w.c 2>&1; echo $?; ls")

GIT = r"""
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=A GIT_COMMITTER_EMAIL=a@example.org GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'
git config --global init.defaultBranch main; git config --global --add safe.directory '*'
"""
tool("git: init, commit, branch, merge", "export HOME=$PWD" + GIT + """
git init -q r && cd r && for i in $(seq 50); do echo "line $i" >f$i; done && git add . && git commit -q -m first && git rev-parse HEAD
git checkout -q -b side && sed -i 's/line/row/' f1 && git commit -qam side && git checkout -q main && echo more >>f2 && git commit -qam main && git merge -q -m merge side && git log --oneline --graph | cat
git show --stat HEAD^2 | cat; git status --porcelain; git fsck --strict 2>&1; git rev-parse HEAD""", timeout=120)
tool("git: clone of a local repository, fetch, gc", "export HOME=$PWD" + GIT + """
git init -q r && cd r && for i in $(seq 30); do seq $i >f$i; git add f$i; git commit -q -m "c$i"; done; cd ..
git clone -q r c && git -C c log --oneline | wc -l && git clone -q --no-local --bare r b.git && git -C b.git rev-parse HEAD
echo new >r/n && git -C r add n && git -C r commit -q -m n && git -C c pull -q && cat c/n && git -C c rev-parse HEAD; git -C r gc -q && git -C r count-objects -v | grep -E 'count|in-pack'; git -C r fsck 2>&1""", timeout=120)
tool("git: diff, blame, archive, bundle", "export HOME=$PWD" + GIT + """
git init -q r && cd r && seq 100 >f && git add f && git commit -q -m a && sed -i '50s/$/x/' f && git diff | cat && git commit -qam b && git blame -s f | md5sum
git archive HEAD | md5sum; git bundle create -q ../x.bundle main && git clone -q ../x.bundle ../y && cat ../y/f | md5sum; git stash list; git tag -a t -m t && git describe""", timeout=120)


tool("xz with threads and gzip on 20 MB", "seq 3000000 | xz -1 -T2 | xz -dc -T2 | md5sum; seq 2000000 | gzip -6 | gzip -dc | md5sum", timeout=180)

if __name__ == "__main__":
    sys.exit(main(workers=2))
