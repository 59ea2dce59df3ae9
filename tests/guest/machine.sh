#!/bin/sh
# SPDX-License-Identifier: MIT
# In a QEMU guest whose machine the host stops, changes, resets and lets sleep under traffic (test-machine).
# "# host: WORD" asks the host to act. The guest is reset twice and begins here each time; the host knows
# how often. $1: how often the device is replugged. TAP.
# shellcheck source=tests/guest/tap.sh
. ./tap.sh
# shellcheck source=tests/guest/traffic.sh
. ./traffic.sh

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

memory()
{
	awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo
}

# memory_is -lt|-gt MIB
memory_is()
{
	test "$(memory)" "$1" "$2"
}

# unplugged WORD NAME: the device goes, and comes back.
unplugged()
{
	hold
	remember
	echo "# host: $1"
	is_told
	ok "$2: a process that has the port open is told"
	until_true is_anew
	begins
	until_true host_did "$1" && comes_back
	ok "$2: the others go on with the new one"
}

first_life()
{
	echo "1..$((18 + 2 * $1))"
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

	full=$(memory)
	asks dimms && until_true memory_is -gt $((full + 4500)) && goes_on && goes_on
	ok "40 more regions of memory plugged: nobody noticed"
	remember
	asks restart && goes_on && ! is_anew
	ok "the daemon is restarted: nobody noticed"
	hold
	asks crash && is_told && comes_back && ! is_anew
	ok "the daemon crashes: a process that has a channel open is told, and traffic goes on"

	for round in $(seq "$1"); do
		unplugged "replug $round" "unplugged and plugged on the same front end"
	done
	unplugged renew "unplugged and plugged on a new front end"

	hold
	remember
	echo "# host: wake" && echo mem >/sys/power/state && is_told
	ok "asleep: a process that has a channel open is told"
	! is_anew && until_true host_did wake && comes_back
	ok "awake: the port was there all the time, and traffic goes on"
	tell_counted
	hold
	echo "# host: reset"
	is_told
	usleep 60000000
}

cd /tmp || exit 1
head -c "$size" /dev/urandom >data
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
	# What was said is with the host by then: a panic would drop what still waits for the serial line.
	asks listen
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
