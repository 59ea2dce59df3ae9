#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# usage: perl.pl NODE: sysread and syswrite, since stdio would hold the name back.
use strict;
use warnings;

sub channel
{
	my ($name) = @_;
	open(my $channel, '+<:raw', $ARGV[0]) or die "$ARGV[0]: $!";
	return defined(syswrite($channel, $name)) ? $channel : undef;
}

my $channel = channel('echo') or die "echo: $!";
syswrite($channel, "PING\n") == 5 or die $!;
my $line;
sysread($channel, $line, 100) == 5 && $line eq "PING\n" or die 'not the answer';
my $data = join('', map { chr(rand(256)) } 1 .. 200000);
my ($sent, $back) = (0, '');
while ($sent < length($data)) {
	$sent += syswrite($channel, $data, 50000, $sent) // die $!;
	while (length($back) < $sent) {
		sysread($channel, $back, 65536, length($back)) or die 'ended';
	}
}
$back eq $data or die 'other bytes';
close($channel);
!channel('nosuch') && $!{ENOENT} or die 'a refused name is no ENOENT';
