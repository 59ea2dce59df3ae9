# SPDX-License-Identifier: MIT
#
# Tools of the host that talk to qemu-ga, by a socket that stands for its port, and the TAP of their tests.
package Agent;
use strict;
use warnings;
use Exporter 'import';
use IO::Socket::UNIX;
use JSON::PP;
use MIME::Base64;
use Time::HiRes 'usleep';

our @EXPORT = qw(connection ask answer value synchronise run output polite test failures);
our $guest;		# the process to give up with
our $LIMIT = 400;	# seconds without an answer, also of the guest's start: it hangs
my ($count, $failed, $id) = (0, 0, 0);

sub connection {
	my ($path) = @_;
	my $socket;

	# The guest makes the second one when it starts.
	until ($socket = IO::Socket::UNIX->new(Peer => $path)) {
		die "the guest has ended\n" unless kill 0, $guest;
		usleep(50_000);
	}
	return $socket;
}

sub ask {
	my ($socket, $execute, %arguments) = @_;

	syswrite($socket, encode_json({ execute => $execute, arguments => \%arguments }) . "\n");
}

sub answer {
	my ($socket) = @_;
	my $line = readline($socket);

	die "an end instead of an answer\n" unless defined $line;
	return $line;
}

# Asks, and returns what the agent has returned.
sub value {
	my ($socket, $execute, %arguments) = @_;

	ask($socket, $execute, %arguments);
	my $answer = decode_json(answer($socket));
	die "$execute: $answer->{error}{desc}\n" if $answer->{error};
	return $answer->{return};
}

# Answers to those who left may come first: that is what the delimiter is for.
sub synchronise {
	my ($socket) = @_;
	my $wanted = ++$id;

	syswrite($socket, "\xff");
	ask($socket, 'guest-sync-delimited', id => $wanted);
	for (;;) {
		my $line = answer($socket);
		next unless $line =~ s/^.*\xff//s;
		my $got = eval { decode_json($line)->{return} };
		return if defined $got && $got == $wanted;
	}
}

sub run {
	my ($socket, @command) = @_;
	my $path = shift @command;

	return value($socket, 'guest-exec', path => $path, arg => \@command)->{pid} // die "not run\n";
}

# Runs @command to its end. Returns its status and its output.
sub output {
	my ($socket, @command) = @_;
	my $path = shift @command;
	my $pid = value($socket, 'guest-exec', path => $path, arg => \@command,
			'capture-output' => JSON::PP::true)->{pid};

	for (;;) {
		my $is = value($socket, 'guest-exec-status', pid => $pid);
		return ($is->{exitcode} // -1, decode_base64($is->{'out-data'} // '')) if $is->{exited};
		usleep(50_000);
	}
}

# Runs @command as a polite tool does, or only asks whether the agent is there.
sub polite {
	my ($path, @command) = @_;
	my $socket = connection($path);

	synchronise($socket);
	die "no pong\n" unless ref value($socket, 'guest-ping') eq 'HASH';
	run($socket, @command) if @command;
	close $socket;
}

# Returns what was wrong, or nothing.
sub limited {
	my ($limit, $body) = @_;

	eval {
		local $SIG{ALRM} = sub { die "no answer within $limit s\n" };
		alarm $limit;
		$body->();
		alarm 0;
	};
	alarm 0;
	return $@;
}

sub test {
	my ($name, $body) = @_;
	my $why = limited($LIMIT, $body);

	$count++;
	print $why ? "not ok" : "ok", " $count - $name\n";
	print "# $why" if $why;
	$failed += !!$why;
}

sub tests { return $count }
sub failures { return $failed }

$| = 1;
$SIG{PIPE} = 'IGNORE';
1;
