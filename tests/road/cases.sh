# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# What a road brings to the processes of a guest: the same cases for each road ($road: module, stream
# and its node, vsock). Scripts that run in a guest source it; the services are those of services.conf. TAP.
#
# What differs stands in this table, by which the cases judge:
#
#	road	the host knows the opener	of a program that fails, connect has
#	module	yes				its status
#	stream	yes				an end
#	node	yes				a failure
#	vsock	no				an end
# shellcheck source=tests/guest/tap.sh
. ./tap.sh
road=${road:?module, stream, node or vsock}
PATH=$PWD:$PATH

why()
{
	echo "status $got"
	tail -n 5 /tmp/out /tmp/err /tmp/daemon
}

# run COMMAND: a line of shell, with a limit; its status in $got, what it says in out and err.
run()
{
	timeout 120 sh -c "$1" >/tmp/out 2>/tmp/err
	got=$?
}

# is_so STATUS [OUTPUT]
is_so()
{
	[ "$got" = "$1" ] || return 1
	[ $# = 1 ] || [ "$(cat /tmp/out)" = "$2" ]
}

# refused STATUS ERROR
refused()
{
	[ "$got" = "$1" ] && grep -q "($2)" /tmp/err
}

sum()
{
	sha256sum | cut -d' ' -f1
}

eight()
{
	for i in 1 2 3 4 5 6 7 8; do
		echo "$1$i"
	done
}

bytes=$(sum <bytes)		# that every guest is given

knows_opener()
{
	[ "$road" != vsock ]
}

# What connect ends with behind a program that ends with status 3.
status_of_program()
{
	case $road in
	module)
		echo 3 ;;
	node)
		echo 1 ;;
	*)
		echo 0 ;;
	esac
}

# What names give, by $MANYPORT_PORT.
cases_of_names()
{
	run 'manyport connect who+argument </dev/null'
	is_so 0 'who argument'
	ok "a program, with its argument"
	run 'manyport connect nothing </dev/null'
	refused 125 ENOENT
	ok "a name that the host does not know"
	run 'manyport connect alice </dev/null'
	refused 126 EACCES
	ok "a service for one user is not for another, nor for an opener who is not known"
	run 'manyport connect claims </dev/null'
	if knows_opener; then
		grep -q '^uid=0 gid=0 pid=[1-9][0-9]* comm=manyport$' /tmp/out
	else
		is_so 0 'uid= gid= pid= comm='
	fi
	ok "a program is told who its opener is, where that is known"
	run 'manyport connect away </dev/null'
	refused 125 ECONNREFUSED
	ok "a service that is not there"
	run 'manyport connect "$(head -c 300 /dev/zero | tr "\0" x)" </dev/null'
	refused 125 ENAMETOOLONG
	ok "a name that is too long"
}

forty_at_once()
{
	run 'for i in $(seq 40); do (sleep 2 | manyport connect who) & done; wait'
	[ "$(grep -c '^who' /tmp/out)" = 40 ]
}

# What becomes of bytes and ends; 40 channels are the guest's limit.
cases_of_bytes()
{
	run 'manyport connect echo <bytes | sha256sum | cut -d" " -f1'
	is_so 0 "$bytes"
	ok "1,000,000 bytes there and back"
	run 'manyport connect who <bytes | tail -n +2 | sha256sum | cut -d" " -f1'
	is_so 0 "$bytes"
	ok "the same through a program, which ends when its input does"
	run 'manyport connect status </dev/null'
	is_so "$(status_of_program)" 'out'
	ok "a program that fails: what it said, and what connect ends with"
	for size in 0 1 4096 65536 1000000; do
		run "head -c $size bytes | manyport connect keep+$size"
		run "manyport connect kept+$size </dev/null | cut -d' ' -f1"
		is_so 0 "$(head -c $size bytes | sum)"
		ok "$size bytes reach the service, and then the end"
	done
	run 'manyport connect early <bytes | tail -c 7'
	is_so 0 'enough' || grep -q enough /tmp/out
	ok "a service that takes no more has still said something"
	run 'manyport forward -L /tmp/echo.sock:echo & forward=$!
		until grep -q forwarding /tmp/err; do usleep 10000; done
		for i in $(seq 20); do manyport connect echo <bytes | sha256sum >/tmp/sum.$i & pids="$pids $!"; done
		wait $pids; kill $forward; cat /tmp/sum.* | cut -d" " -f1 | sort -u'
	is_so 0 "$bytes"
	ok "20 at once, 1,000,000 bytes each, beside a forward"
	run 'mkfifo /tmp/hold; exec 9<>/tmp/hold
		for i in $(seq 40); do
			until manyport connect who </tmp/hold 2>/dev/null; do usleep 100000; done >/tmp/held.$i 9>&- &
		done
		until [ "$(cat /tmp/held.* | grep -c ^who)" = 40 ]; do usleep 100000; done
		manyport connect echo </dev/null; echo $?
		exec 9>&-; wait'
	rm -f /tmp/hold /tmp/held.*
	is_so 0 125 && grep -q EBUSY /tmp/err
	ok "one more than the guest may have is refused"
	run 'until manyport connect echo </dev/null; do usleep 200000; done 2>/dev/null'
	is_so 0 ''
	ok "and has a place when they are gone"
}

# 40 channels are the guest's limit, so each of them is needed.
case_of_a_killed_client()
{
	timeout -s KILL 1 manyport connect deaf </dev/zero >/dev/null 2>&1
	until_true forty_at_once
	ok "a client that was killed beside a service that never ends gives its place back"
}
