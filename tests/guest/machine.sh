#!/bin/sh
# SPDX-License-Identifier: MIT
# In a QEMU guest whose machine the host stops, changes, resets and lets sleep under traffic (test-machine).
# "# host: WORD" asks the host to act. The guest is reset twice and begins here each time; the host knows
# how often. $1: how often the device is replugged. TAP.
port=/dev/virtio-ports/multi
# shellcheck source=tests/guest/tap.sh
. ./tap.sh

host_did()
{
	manyport connect "done" </dev/null 2>/dev/null | grep -qx "$1"
}

# asks WORD: the host has done it when this returns.
asks()
{
	echo "# host: $*"
	until_true host_did "$*"
}

# The whole file over one channel and back.
echoes()
{
	manyport connect echo <data >"echo.$1" 2>>"errors.$1" && cmp -s data "echo.$1"
}

# The far end has got the whole file, as it says; the host keeps what it counted.
is_counted()
{
	[ "$(manyport connect count <data 2>>"errors.$1")" = "$size" ] && echo >>"counted.$1"
}

# One channel after the other. One that is cut is noted; what came back of it must be right.
traffic()
{
	while :; do
		if echoes "$1" && is_counted "$1"; then
			echo >>"rounds.$1"
		else
			echo >>"cut.$1"
			cmp -s -n "$(wc -c <"echo.$1")" data "echo.$1" || touch corrupt
			usleep 10000
		fi
	done
}

# has_rounds N: each process of the traffic has done that many since "begins".
has_rounds()
{
	for process in 1 2 3 4; do
		[ "$(wc -l <"rounds.$process")" -ge "$1" ] || return 1
	done
}

begins()
{
	for process in 1 2 3 4; do
		: >"rounds.$process"
		: >"cut.$process"
	done
}

# goes_on: no channel was cut since "begins", and there were rounds after what the host did.
goes_on()
{
	for process in 1 2 3 4; do
		: >"rounds.$process"
	done
	until_true has_rounds 2 && [ ! -e corrupt ] && [ -z "$(cat cut.*)" ]
}

# comes_back: channels may have been cut; others work now, and no byte was another one.
comes_back()
{
	begins
	until_true has_rounds 2 && [ ! -e corrupt ]
}

why()
{
	tail -n 3 errors.* cut.*
	dmesg | tail -n 5
}

# A process that has a channel open until it is told that the channel is over.
hold()
{
	# shellcheck disable=SC2094 # the file is only read
	manyport connect echo <held >/dev/null 2>&1 &
	holder=$!
}

memory()
{
	awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo
}

# memory_is -lt|-gt MIB
memory_is()
{
	test "$(memory)" "$1" "$2"
}

# A node that is made again has another number in devtmpfs.
number()
{
	stat -L -c %i "$port" 2>/dev/null
}

is_anew()
{
	new=$(number) && [ "$new" != "$old" ]
}

start()
{
	mkfifo held
	exec 9<>held
	begins
	workers=
	for process in 1 2 3 4; do
		: >"counted.$process"
		traffic $process &
		workers="$workers $!"
	done
	until_true has_rounds 1
}

# How many files the far end has counted whole, as the guest knows.
tell_counted()
{
	echo "# counted: $(cat counted.* | wc -l)"
}

# unplugged WORD NAME: the device goes, and comes back.
unplugged()
{
	hold
	old=$(number)
	echo "# host: $1"
	! wait $holder
	ok "$2: a process that has the port open is told"
	until_true is_anew
	begins
	until_true host_did "$1" && comes_back
	ok "$2: the others go on with the new one"
}

first_life()
{
	echo "1..$((15 + 2 * $1))"
	start
	ok "the port is there, and traffic begins"
	begins
	asks stop 1 && goes_on && asks stop 2 && goes_on
	ok "stopped and continued, twice: nobody noticed"

	modprobe virtio_balloon || exit 1
	full=$(memory)
	begins
	asks balloon 350 && until_true memory_is -lt $((full - 100)) && goes_on
	ok "the balloon takes memory: nobody noticed"
	asks balloon 512 && until_true memory_is -gt $((full - 20)) && goes_on
	ok "and gives it back"

	full=$(memory)
	# Only programs' pages come from it (memhp_default_state=online_movable), and these first.
	asks private && until_true memory_is -gt $((full + 400)) && goes_on && goes_on
	ok "memory plugged that the daemon cannot reach: what lies there arrives by another way"

	full=$(memory)
	asks shared && until_true memory_is -gt $((full + 200)) && goes_on
	ok "memory plugged that the daemon shares: nobody noticed"

	for round in $(seq "$1"); do
		unplugged "replug $round" "unplugged and plugged on the same front end"
	done
	unplugged renew "unplugged and plugged on a new front end"

	hold
	old=$(number)
	echo "# host: wake" && echo mem >/sys/power/state && ! wait $holder
	ok "asleep: a process that has a channel open is told"
	! is_anew && until_true host_did wake && comes_back
	ok "awake: the port was there all the time, and traffic goes on"
	tell_counted
	hold
	echo "# host: reset"
	wait $holder
	usleep 60000000
}

cd /tmp || exit 1
size=100000
head -c $size /dev/urandom >data
until_true test -e "$port"
# shellcheck disable=SC2046 # two numbers
set -- "$1" $(manyport connect lives </dev/null)
life=$2 count=$3
case $life in
1)
	first_life "$1" ;;
2)
	start && comes_back
	ok "reset: the new life of the guest is served"
	tell_counted
	echo c >/proc/sysrq-trigger ;;
3)
	start && comes_back
	ok "after a panic, too"
	begins
	goes_on
	ok "and nobody is cut any more"
	tell_counted
	# shellcheck disable=SC2086 # several
	kill $workers ;;
*)
	exit 1 ;;
esac
exit $status
