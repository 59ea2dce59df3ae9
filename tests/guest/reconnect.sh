#!/bin/sh
# SPDX-License-Identifier: MIT
# In a guest of the patched QEMU, whose daemon the host kills and starts again (test-reconnect). What
# it prints tells the host when to act. TAP.
port=/dev/virtio-ports/multi
# shellcheck source=tests/guest/tap.sh
. ./tap.sh

why()
{
	cat /proc/interrupts said.*
	echo "status $got"
}

# The whole file over one channel and back.
echoes()
{
	manyport connect echo <data >back 2>>errors && cmp -s data back
}

has_begun()
{
	[ -s "held.$1" ]
}

cd /tmp || exit 1
head -c 300000 /dev/urandom >data
got=0
echo "1..8"
until_true test -e "$port" && echoes
ok "the port is there and echoes"
# The configuration has one, and each of the six queues but the one whose answers nothing waits for.
[ "$(grep -c 'virtio.*-\(receive\|transmit\|config\|control\)' /proc/interrupts)" -ge 6 ]
ok "each queue has an interrupt vector of its own"
mkfifo hold
exec 9<>hold
for round in 1 2 3; do
	echo x >&9
	# shellcheck disable=SC2094 # the file is only read
	manyport connect echo <hold >"held.$round" 2>"said.$round" &
	holder=$!
	until_true has_begun "$round"
	echo "# kill $round"
	wait $holder
	got=$?
	[ $got -ne 0 ] && grep -q ECONNRESET "said.$round"
	ok "killed: a process that has a channel is told by ECONNRESET"
	until_true echoes
	ok "another daemon came: the device was reset, and new channels work"
done
exit "$status"
