#!/bin/sh
# SPDX-License-Identifier: MIT
# In a guest that the host moves to another QEMU (test-migrate), over a virtio-serial port, without our
# module. What it prints tells the host when to act; behind the move another process reads it. TAP.
# shellcheck source=tests/guest/tap.sh
. ./tap.sh

why()
{
	cat /tmp/said /tmp/status /tmp/daemon
}

# says SERVICE WORD: that is what a channel to the service brings.
says()
{
	[ "$(manyport connect "$1" </dev/null 2>/tmp/errors)" = "$2" ]
}

# In the background, until its channel ends: its last words, and its status.
hold()
{
	manyport connect echo <"$1" >"/tmp/held" 2>/tmp/said
	echo $? >/tmp/status
}

grep -q virtio_console /proc/modules || modprobe virtio_console 2>/dev/null
until_true test -e /sys/class/virtio-ports/vport0p1
modprobe cuse 2>/dev/null
manyport serve --door=/run/manyport/port --node 2>/tmp/daemon &
until_true test -c /dev/manyport
echo "1..2"
until_true says where one
ok "a channel reaches the first host's service"
mkfifo /tmp/hold
exec 9<>/tmp/hold
echo x >&9
hold /tmp/hold &
until_true test -s /tmp/held
ok "a process holds a channel"
echo "# move"
until_true test -s /tmp/status
echo "1..3"
count=0
[ "$(cat /tmp/status)" != 0 ] && grep -qi reset /tmp/said
ok "moved: the channel that was held ended with ECONNRESET"
until_true says where two
ok "a new channel reaches the other host's service"
head -c 300000 /dev/urandom >/tmp/data
manyport connect echo </tmp/data >/tmp/back && cmp -s /tmp/data /tmp/back
ok "and carries bytes both ways"
echo "# done $status"
sync
poweroff -f
