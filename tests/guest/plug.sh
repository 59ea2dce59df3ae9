#!/bin/sh
# SPDX-License-Identifier: MIT
# In a QEMU guest whose device and memory the host plugs (test-plug). What it prints tells the host
# when to act. TAP.
port=/dev/virtio-ports/multi
# shellcheck source=tests/guest/tap.sh
. ./tap.sh

# The whole file over one channel and back.
echoes()
{
	manyport connect echo <data >"echo.$1" 2>>"errors.$1" && cmp -s data "echo.$1"
}

# One channel after the other; a file that is cut short counts as nothing, a wrong one as a fault.
traffic()
{
	while :; do
		if echoes "$1"; then
			echo >>"rounds.$1"
		else
			cmp -s -n "$(wc -c <"echo.$1")" data "echo.$1" || touch corrupt
			usleep 10000
		fi
	done
}

# has_rounds N: each process of the traffic has had that many files back since forget_rounds.
has_rounds()
{
	for process in 1 2 3 4; do
		[ "$(wc -l <"rounds.$process")" -ge "$1" ] || return 1
	done
}

forget_rounds()
{
	for process in 1 2 3 4; do
		: >"rounds.$process"
	done
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

cd /tmp || exit 1
head -c 300000 /dev/urandom >data
echo "1..11"
until_true test -e "$port" && echoes 0
ok "the port is there and echoes"
mkfifo held
exec 9<>held
forget_rounds
workers=
for process in 1 2 3 4; do
	traffic $process &
	workers="$workers $!"
done
for round in 1 2 3; do
	# shellcheck disable=SC2094 # the file is only read
	manyport connect echo <held >/dev/null 2>&1 &
	holder=$!
	until_true has_rounds 2
	old=$(number)
	echo "# traffic $round"
	! wait $holder
	ok "unplugged: a process that has the port open is told"
	until_true is_anew
	forget_rounds
	until_true has_rounds 2
	ok "plugged again: the other processes go on with the new one"
	[ $status = 0 ] || exit 1
done
[ ! -e corrupt ]
ok "no byte that came back was another than the one that was sent"

# The host adds memory that the device cannot reach. Only programs' pages come from it.
echo online_movable >/sys/devices/system/memory/auto_online_blocks
echo "# memory wanted"
has_more()
{
	[ "$(awk '/^MemTotal/ { print $2 }' /proc/meminfo)" -gt 700000 ]
}
until_true has_more
ok "more memory than at the start"
forget_rounds
until_true has_rounds 5 && [ ! -e corrupt ]
ok "processes go on, with pages of the new memory among theirs"
# shellcheck disable=SC2086 # several
kill $workers
exit $status
