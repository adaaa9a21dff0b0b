# SPDX-License-Identifier: Apache-2.0
# What Perl asks of a kernel: signals, timers, children, pipes, files. What it prints is the same on every run.
use strict;
use warnings;
use Fcntl qw(:DEFAULT :flock);
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(setitimer ITIMER_REAL sleep time);

$| = 1;
my $ticks = 0;
$SIG{ALRM} = sub { $ticks++ };
setitimer(ITIMER_REAL, 0.005, 0.005);
my $start = time;
sleep 0.001 while $ticks < 20;
setitimer(ITIMER_REAL, 0);
print "ticks ", time - $start >= 0.09 ? "in time" : "early", "\n";

my %status;
for my $i (1 .. 20) {
    my $pid = fork // die "fork: $!";
    if (!$pid) { sleep 0.01 * ($i % 3); POSIX::_exit($i) }
    $status{$pid} = $i;
}
my $right = 0;
while ((my $pid = waitpid -1, 0) > 0) { $right++ if $? >> 8 == $status{$pid} }
print "children $right\n";

open my $out, "|-", "sort -n | tail -1" or die;
print $out "$_\n" for reverse 1 .. 10000;
close $out;
my $text = `echo from a shell; exit 2`;
print $text, $? >> 8, "\n";

my $name = "/tmp/perl-$$";
sysopen my $f, $name, O_RDWR | O_CREAT | O_EXCL or die;
flock $f, LOCK_EX or die;
print $f map { "$_:" . $_ ** 2 . "\n" } 1 .. 5000;
seek $f, 0, 0;
my %square = map { chomp; split /:/ } <$f>;
print scalar(keys %square), " $square{77} ", -s $name, "\n";
unlink $name;
$SIG{USR1} = sub { print "caught $_[0]\n" };
kill USR1 => $$;
eval { local $SIG{ALRM} = sub { die "alarm\n" }; alarm 1; 1 while 1 };
print "ended by $@";
