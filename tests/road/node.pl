# SPDX-License-Identifier: MIT
# usage: perl node.pl CASE NODE
# What a shell cannot do with the node of manyport serve: calls that do not wait, poll, signals, ioctls. It
# runs in a guest that has no modules of Perl, so numbers stand for names. It says what is wrong, or nothing.
my ($case, $node) = @ARGV;
my ($EINTR, $EAGAIN, $EINVAL, $ENOTTY, $EPIPE) = (4, 11, 22, 25, 32);
my ($ENOENT, $ECONNRESET, $EISCONN, $ENOTCONN, $EALREADY, $EINPROGRESS) =
	(2, 104, 106, 107, 114, 115);
my ($CONNECT, $SHUTDOWN, $INFO, $ABORT) = (0x41004d50, 0x4d51, 0x81704d52, 0x4d53);
my ($O_RDWR, $O_NONBLOCK) = (2, 0x800);

sub fail { die "$case: @_\n" }

sub is
{
	my ($what, $got, $wanted) = @_;

	fail("$what gave '$got', not '$wanted'") unless $got eq $wanted;
}

sub open_node
{
	my ($flags) = @_;

	sysopen(my $fh, $node, $O_RDWR | $flags) or fail("open: $!");
	return $fh;
}

# The result of a call, or its error.
sub of { return defined($_[0]) ? $_[0] : "errno " . ($! + 0) }
sub put { my ($fh, $text) = @_; return of(syswrite($fh, $text)) }
sub get { my ($fh, $size) = @_; my $got = ''; my $n = sysread($fh, $got, $size // 65536);
	  return defined($n) ? $got : of($n) }
sub ask { my ($fh, $call, $arg) = @_; return of(ioctl($fh, $call, $arg)) }
sub name { return pack('a256', $_[0]) }

# SIGALRM each second from now on, or no more. One alone could come before the call that it is to end.
sub ticks
{
	my ($seconds) = @_;

	syscall(38, 0, pack('q4', $seconds, 0, $seconds, 0), 0) == 0 or fail("setitimer: $!");
}

# Which of "r" and "w" poll says within so many seconds.
sub ready
{
	my ($fh, $wanted, $seconds) = @_;
	my ($r, $w) = ('', '');

	vec($r, fileno($fh), 1) = $wanted =~ /r/ ? 1 : 0;
	vec($w, fileno($fh), 1) = $wanted =~ /w/ ? 1 : 0;
	select($r, $w, undef, $seconds // 60);
	return (vec($r, fileno($fh), 1) ? 'r' : '') . (vec($w, fileno($fh), 1) ? 'w' : '');
}

sub state_of
{
	my ($fh) = @_;
	my $info = "\0" x 368;

	ask($fh, $INFO, $info);
	my $got = ioctl($fh, $INFO, $info) or fail("info: $!");
	my ($size, $state, $channel, $generation, $error) = unpack('L5', $info);
	is('size of info', $size, 368);
	return "$state $error";
}

# The state of a process, and where in the kernel it waits.
sub state
{
	my $text = '';

	for my $file ('stat', 'wchan') {
		open(my $in, '<', "/proc/$_[0]/$file") or next;
		my $line = <$in> // '';
		$text .= $file eq 'stat' ? $line =~ s/.*\) (.).*/$1 /sr : $line;
	}
	return $text;
}

sub pause { select(undef, undef, undef, 0.01) }

my %cases = (
	nonblock => sub {
		my $fh = open_node($O_NONBLOCK);
		is('a read before the name', get($fh), "errno $ENOTCONN");
		is('poll of a new open', ready($fh, 'rw'), 'w');
		is('no name', put($fh, "two words"), "errno $EINVAL");
		is('the name', put($fh, 'who+later'), "errno $EAGAIN");
		is('another one', put($fh, 'echo'), "errno $EALREADY");
		is('poll of the answer', ready($fh, 'w'), 'w');
		is('the name again', put($fh, 'who+later'), 9);
		is('state', state_of($fh), '2 0');
		is('poll of the first bytes', ready($fh, 'r'), 'r');
		is('the first bytes', get($fh), "who later\n");
		is('a read of nothing', get($fh), "errno $EAGAIN");
		is('poll of nothing', ready($fh, 'r', 0.2), '');
		is('a write', put($fh, 'more'), 4);
		is('poll of its echo', ready($fh, 'r'), 'r');
		is('the echo', get($fh), 'more');
		is('half-close', ask($fh, $SHUTDOWN, 1), '0 but true');
		is('a write after it', put($fh, 'x'), "errno $EPIPE");
		is('poll of the end', ready($fh, 'r'), 'r');
		is('the end', get($fh), '');
		is('the end again', get($fh), '');
		is('state', state_of($fh), '4 0');
	},
	refused => sub {
		my $fh = open_node($O_NONBLOCK);
		is('the name', put($fh, 'nothing'), "errno $EAGAIN");
		is('poll of the answer', ready($fh, 'w'), 'w');
		is('the name again', put($fh, 'nothing'), "errno $ENOENT");
		is('what is no name', put($fh, 'echo'), "errno $ENOENT");
		is('a read', get($fh), "errno $ENOENT");
		is('state', state_of($fh), "3 $ENOENT");
		is('another name', ask($fh, $CONNECT, name('echo')), "errno $EINPROGRESS");
		is('poll of its answer', ready($fh, 'w'), 'w');
		is('its answer', ask($fh, $CONNECT, name('echo')), '0 but true');
		is('once more', ask($fh, $CONNECT, name('echo')), "errno $EISCONN");
		is('a write', put($fh, 'x'), 1);
		is('poll of its echo', ready($fh, 'r'), 'r');
		is('the echo', get($fh), 'x');
	},
	ioctls => sub {
		my $fh = open_node(0);
		is('shutdown before the name', ask($fh, $SHUTDOWN, 1), "errno $ENOTCONN");
		is('a name that is none', ask($fh, $CONNECT, name('+')), "errno $EINVAL");
		is('connect', ask($fh, $CONNECT, name('nothing')), "errno $ENOENT");
		is('connect', ask($fh, $CONNECT, name('echo')), '0 but true');
		is('a wrong shutdown', ask($fh, $SHUTDOWN, 3), "errno $EINVAL");
		is('an ioctl of terminals', ask($fh, 0x5401, "\0" x 64), "errno $ENOTTY");
		is('a write', put($fh, 'x'), 1);
		is('the echo', get($fh), 'x');
		is('abort', ask($fh, $ABORT, 0), '0 but true');
		is('a read', get($fh), "errno $ECONNRESET");
		is('a write', put($fh, 'x'), "errno $ECONNRESET");
		is('poll', ready($fh, 'rw'), 'rw');
		is('state', state_of($fh), "7 $ECONNRESET");
	},
	failed => sub {
		my $fh = open_node(0);
		is('the name', put($fh, "status\n"), 7);
		is('what it says', get($fh), "out\n");
		is('the failure', get($fh), "errno $ECONNRESET");
		is('state', state_of($fh), "5 $ECONNRESET");
	},
	signals => sub {
		my $fh = open_node(0);
		local $SIG{ALRM} = sub {};
		is('name and bytes', put($fh, "echo\0first"), 10);
		is('the echo', get($fh, 2), 'fi');
		is('the rest', get($fh), 'rst');
		ticks(1);
		is('a read that gets a signal', get($fh), "errno $EINTR");
		ticks(0);
		is('a write', put($fh, 'kept'), 4);
		is('its echo', get($fh), 'kept');
		$fh = open_node(0);
		is('the name', put($fh, 'deaf'), 4);
		my ($sum, $n) = (0, 0);
		# Until it is full: a host that is late takes more after the signal.
		do {
			ticks(1);
			do {
				$n = put($fh, 'x' x 1000000);
				$sum += $n if $n !~ /errno/;
			} while ($n eq 1000000 && $sum < 100e6);
			ticks(0);
			fail("a write that gets a signal gave '$n'")
				unless $n eq "errno $EINTR" || ($n > 0 && $n < 1000000);
		} while (ready($fh, 'rw', 0.2));
	},
	wakes => sub {
		my $fh = open_node(0);
		is('the name', put($fh, 'echo'), 4);
		for my $text (map { "text $_" } 1 .. 5) {
			my $pid = fork() // fail("fork: $!");
			if (!$pid) {
				select(undef, undef, undef, 0.2);
				put($fh, $text);
				exit(0);
			}
			is('poll', ready($fh, 'r'), 'r');
			is('the bytes', get($fh), $text);
			waitpid($pid, 0);
		}
		my $pid = fork() // fail("fork: $!");
		if (!$pid) {
			select(undef, undef, undef, 0.2);
			ioctl($fh, $SHUTDOWN, 1);
			exit(0);
		}
		is('a read that waits for the end', get($fh), '');
		waitpid($pid, 0);
	},
	# More writes wait than may hold their bytes: none of them fails. Five processes for each channel.
	scarce => sub {
		my (@opens, @children);
		for (1 .. 30) {
			my $fh = open_node(0);
			is('the name', put($fh, 'echo'), 4);
			push @opens, $fh;
		}
		for my $fh ((@opens) x 5) {
			my $pid = fork() // fail("fork: $!");
			if (!$pid) {
				my ($n, $ends) = (0, 0);
				local $SIG{ALRM} = sub { $ends = 1 };
				$n = put($fh, 'x' x 131072) while (!$ends && $n !~ /errno/);
				print("a write: $n\n") if $n =~ /errno/ && $n ne "errno $EINTR";
				exit(0);
			}
			push @children, $pid;
		}
		for my $pid (@children) {
			pause() until state($pid) =~ /^Z|fuse|request_wait/;
		}
		for my $pid (@children) {
			do {
				kill('ALRM', $pid);
				pause();
			} until waitpid($pid, 1);	# WNOHANG
		}
	},
	# The claims are those of the process at the time of the open.
	opener => sub {
		my $fh = open_node(0);
		$0 = 'another name';
		is('the name', put($fh, 'claims'), 6);
		my ($got, $part) = ('', '');
		$got .= $part while ($part = get($fh)) ne '';
		$got =~ /comm=(.*)/;
		is('the command', $1, 'perl');
	},
	# One read of what is there, though the buffer is larger than a request can be.
	parts => sub {
		my $fh = open_node(0);
		is('the name', put($fh, 'echo'), 4);
		for my $len (1, 131071, 131072, 131073) {
			my ($left, $got) = ($len, '');
			put($fh, 'x' x $len) == $len or fail("write of $len");
			while (length($got) < $len) {
				local $SIG{ALRM} = sub { fail("a read with bytes waits") };
				alarm(60);
				$got .= get($fh, 262144);
				alarm(0);
			}
			is("$len bytes", $got, 'x' x $len);
		}
	},
);

$cases{$case} or fail('no such case');
$cases{$case}->();
