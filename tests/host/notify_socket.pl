#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# usage: notify_socket.pl FOLDER COMMAND...
#
# Runs the command as a service manager does, with NOTIFY_SOCKET, and writes what it is told into
# FOLDER/told, a line each. At READY=1 it connects to FOLDER/sock at once, and says "connected" or why
# it could not. Ends with the command, with its status.
use strict;
use warnings;
use Fcntl;
use IO::Select;
use IO::Socket::UNIX;

my ($folder, @command) = @ARGV;
$ENV{NOTIFY_SOCKET} = "$folder/notify";
unlink "$folder/notify";
my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => "$folder/notify") or die "bind: $!\n";
open(my $told, '>', "$folder/told") or die "$folder/told: $!\n";
$told->autoflush(1);

# The command holds one end of a pipe, which so ends with it.
pipe(my $end, my $held) or die "pipe: $!\n";
my $pid = fork // die "fork: $!\n";
if (!$pid) {
	fcntl($held, F_SETFD, 0) or die "fcntl: $!\n";
	exec @command or die "$command[0]: $!\n";
}
close $held;
$SIG{TERM} = sub { kill 'TERM', $pid };
$socket->blocking(0);
my $both = IO::Select->new($socket, $end);
my $has_ended = 0;
while (!$has_ended) {
	$has_ended = grep { $_ == $end } $both->can_read;
	note($_) while defined $socket->recv($_, 4096);
}
waitpid $pid, 0;
exit($? >> 8);

sub note {
	my ($text) = @_;

	print $told "$_\n" for split /\n/, $text;
	return unless $text =~ /^READY=1$/m;
	my $client = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => "$folder/sock");
	print $told $client ? "connected\n" : "cannot connect: $!\n";
}
