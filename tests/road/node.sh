# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# What the device node of manyport serve brings, beside cases.sh. stream.sh sources both.
# shellcheck disable=SC2154	# got, bytes
node=/dev/manyport

# by_perl CASE NAME
by_perl()
{
	run "perl node.pl $1 $node"
	is_so 0 ''
	ok "$2"
}

cases_of_node()
{
	[ -c $node ]
	ok "manyport serve makes a node"
	run 'exec 3<>/dev/manyport; echo who+redirected >&3; head -n 1 <&3'
	is_so 0 'who redirected'
	ok "a shell's redirections"
	run 'exec 3<>/dev/manyport; echo nothing >&3'
	[ "$got" != 0 ] && grep -q 'No such file' /tmp/err
	ok "a name that the host does not know fails the write of it"
	run 'exec 3<>/dev/manyport; echo echo >&3; dd if=bytes bs=1000000 count=1 >&3 2>/dev/null &
		head -c 1000000 <&3 | sha256sum | cut -d" " -f1'
	is_so 0 "$bytes"
	ok "dd: a write of 1,000,000 bytes, beside a read"
	run '{ echo keep+node; cat bytes; } >/dev/manyport; manyport connect kept+node </dev/null | cut -d" " -f1'
	is_so 0 "$bytes"
	ok "what was written before the close arrives"
	run 'su alice -c "manyport connect --port=/dev/manyport claims </dev/null"'
	refused 1 EACCES || refused 126 EACCES
	ok "only root may open it"
	chmod 666 $node
	run 'su alice -c "manyport connect --port=manyport claims </dev/null"'
	[ "$(sed 's/pid=[0-9]* //' /tmp/out)" = 'uid=1000 gid=1000 comm=manyport' ]
	ok "the host is told who has opened it"
	by_perl nonblock "calls that do not wait, and poll"
	by_perl refused "a refused name without waiting; another one by ioctl"
	by_perl ioctls "shutdown, abort, and what is no call of it"
	by_perl failed "a service that fails is no end"
	by_perl signals "signals: EINTR, and nothing is lost"
	by_perl wakes "poll and read wake for another process's bytes and end"
	by_perl scarce "more writes that wait than are kept whole: none fails"
	by_perl opener "whose command the host is told as it was at the open"
	by_perl parts "a read gives what is there, whatever its buffer"
	run 'manyport list'
	is_so 0 && grep -q '^/dev/manyport *multi' /tmp/out
	ok "the list names the node"
	export MANYPORT_PORT=$node
	road=node
	cases_of_names
	cases_of_bytes
	case_of_a_killed_client
	unset MANYPORT_PORT
	road=stream
}
