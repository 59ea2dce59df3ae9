# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# Traffic of a guest whose machine does things to it (machine.sh, hibernate.sh), which source this file behind
# tap.sh: processes of the guest that have the port open, and notes of which files came back, or were counted
# at the far end. The host has the services "echo" and "count". The file "data" has $size bytes.
port=/dev/virtio-ports/multi
size=100000

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

# A process that has a channel open, which works, until it is told that the channel is over.
hold()
{
	: >held.out
	# shellcheck disable=SC2094 # the file is only read
	manyport connect echo <held >held.out 2>held.errors &
	holder=$!
	echo >&9
	until_true test -s held.out
}

is_told()
{
	! wait "$holder"
}

# A node that is made again has another number in devtmpfs.
number()
{
	stat -L -c %i "$port" 2>/dev/null
}

remember()
{
	old=$(number)
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
