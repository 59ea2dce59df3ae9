# SPDX-License-Identifier: MIT
# usage: late.pl SOCKET FIFO [end]
# A server whose backlog is full until a line comes out of FIFO; then it echoes, one client after another,
# or with "end" it listens no longer.
use strict;
use warnings;
use IO::Socket::UNIX;
use Socket;

my ($path, $fifo, $end) = @ARGV;
my $listener = IO::Socket::UNIX->new(Local => $path, Listen => 1) or die "$path: $!\n";
my @waiting;
while (1) {
	socket(my $client, PF_UNIX, SOCK_STREAM, 0) or die "socket: $!\n";
	$client->blocking(0);
	last unless connect($client, pack_sockaddr_un($path));
	push @waiting, $client;
}
$| = 1;
print "$path is full\n";
open(my $go, '<', $fifo) or die "$fifo: $!\n";
<$go>;
exit if $end;
@waiting = ();
while (my $client = $listener->accept) {
	while (sysread($client, my $data, 65536)) {
		syswrite($client, $data);
	}
}
