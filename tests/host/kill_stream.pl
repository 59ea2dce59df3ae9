#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# usage: kill_stream.pl DIR MANYPORTD MANYPORT TIMES
#
# Channels to an echo over one byte stream, in the middle of whose frames a side is killed, TIMES times,
# each side by turns. What came back must be what was sent, from the first byte on; each channel must end; and
# the side that lived must be left as it was. Prints "TIMES killed, BYTES checked", or what is wrong.
use strict;
use warnings;
use IO::Select;
use IO::Socket::UNIX;
use Time::HiRes qw(sleep time);

my ($dir, $manyportd, $manyport, $times) = @ARGV;
my ($stream, $door) = ("$dir/kill.stream", "$dir/kill.door");
my ($daemon, $serve, $checked, $daemons) = (0, 0, 0, 0);
my $limit = 180;
my $fds;	# of the daemon, before there is a stream
# 1 MB in which no two places look alike.
my $pattern = join '', map { pack 'N', $_ * 2654435761 % 4294967296 } 1 .. 250_000;
$SIG{PIPE} = 'IGNORE';
srand(my $seed = $ENV{SEED} // time);

sub fail {
	print "seed $seed: @_\n";
	kill KILL => grep { $_ } $daemon, $serve;
	exit 1;
}

sub start {
	my ($log, @command) = @_;
	my $pid = fork // die;

	return $pid if $pid;
	open STDERR, '>>', "$dir/daemon.$log";
	open STDOUT, '>', '/dev/null';
	exec @command or exit 127;
}

sub start_daemon {
	$daemon = start('kill', $manyportd, "--stream=unix-listen:$stream", '--service=echo=echo');
	my $begin = time;
	$daemons++;
	until (listens() == $daemons) {
		fail('the daemon does not listen') if time - $begin > $limit;
		sleep 0.005;
	}
	$fds = count_fds($daemon);
}

# How many daemons have said that they listen.
sub listens {
	open my $log, '<', "$dir/daemon.kill" or return 0;
	return scalar grep { /serving --stream/ } <$log>;
}

sub start_serve {
	$serve = start('serve', $manyport, 'serve', "unix:$stream", "--door=$door");
}

# A channel that works, or undef.
sub channel {
	my $s = IO::Socket::UNIX->new(Peer => $door) or return undef;

	syswrite $s, pack('Vvva*', 0x74506d01, 1, 4, 'echo');
	return undef unless IO::Select->new($s)->can_read($limit);
	my $got = sysread $s, my $answer, 8;
	return undef unless $got && $got == 8 && !(unpack 'Vvv', $answer)[2];
	$s->blocking(0);
	return { socket => $s, sent => 0, got => 0 };
}

sub first_channel {
	my $begin = time;

	while (1) {
		my $c = channel();
		return $c if $c;
		fail('no new channel works') if time - $begin > $limit;
		sleep 0.01;
	}
}

# Sends what goes, checks what came. False: it has ended.
sub move {
	my ($c) = @_;
	my $n = sysread $c->{socket}, my $bytes, 65536;

	return 0 if defined $n && !$n || !defined $n && !$!{EAGAIN};
	if ($n) {
		my $at = $c->{got} % length $pattern;
		my $want = substr($pattern . $pattern, $at, $n);

		fail("wrong bytes behind $c->{got}") if $bytes ne $want || $c->{got} + $n > $c->{sent};
		$c->{got} += $n;
		$checked += $n;
	}
	if ($c->{sent} - $c->{got} < 500_000) {
		my $at = $c->{sent} % length $pattern;

		$n = syswrite $c->{socket}, substr($pattern, $at, 1 + int rand 65536);
		return 0 if !defined $n && !$!{EAGAIN};
		$c->{sent} += $n // 0;
	}
	return 1;
}

sub count_fds { return scalar(my @fds = glob "/proc/$_[0]/fd/*") }

unlink "$dir/daemon.kill";
start_daemon();
start_serve();
close first_channel()->{socket};
for my $i (1 .. $times) {
	my @channels = (first_channel(), map { channel() // fail('no channel beside another') } 1 .. 3);
	my $until = time + 0.002 + rand 0.02;

	while (time < $until) {
		move($_) || fail('a channel ended, and no side was killed') for @channels;
	}
	my $dead = $i % 2 ? $serve : $daemon;
	kill KILL => $dead;
	waitpid $dead, 0;
	my $begin = time;
	while (@channels) {
		@channels = grep { move($_) } @channels;
		fail('a channel is stuck') if time - $begin > $limit;
	}
	if ($dead == $daemon) {
		waitpid $serve, 0;	# the stream has ended
		start_daemon();
	} else {
		# Nothing is left of the channels: only what it had before them.
		my $now;

		while (($now = count_fds($daemon)) > $fds) {
			fail("$now descriptors are left of $fds") if time - $begin > $limit;
			sleep 0.01;
		}
	}
	start_serve();
}
first_channel();
kill TERM => $serve, $daemon;
waitpid $_, 0 for $serve, $daemon;
print "$times killed, ", $checked > 1_000_000 ? 'bytes' : 'too few bytes', " checked\n";
