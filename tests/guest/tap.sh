# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# What the scripts that run in a guest share; they source it. TAP, one test after the other.
count=0
status=0

# More lines about a test that failed; a script may define its own.
why()
{
	dmesg | tail -n 5
}

# ok NAME: a test, which passes when the command before it did.
ok()
{
	result=$?
	count=$((count + 1))
	if [ $result = 0 ]; then
		echo "ok $count - $1"
	else
		echo "not ok $count - $1"
		why | sed 's/^/#   /'
		status=1
	fi
}

# until_true COMMAND...: within a minute.
until_true()
{
	tries=0
	while ! "$@"; do
		tries=$((tries + 1))
		[ $tries -lt 600 ] || return 1
		usleep 100000
	done
}

# has_port NAME: there is a port of that name, and its link leads to it. Where ports go and come, a link may still
# lead to the node that had the name before.
has_port()
{
	linked=$(readlink "/dev/virtio-ports/$1") && [ -c "/dev/virtio-ports/$1" ] &&
		grep -qsx "$1" /sys/class/*/"${linked##*/}"/name
}

# The driver of a virtio device, as "virtio3".
driver_of()
{
	name=$(readlink "/sys/bus/virtio/devices/$1/driver") || name=none
	echo "${name##*/}"
}

# is DEVICE DRIVER STATUS: the status byte is read from the device.
is()
{
	[ "$(driver_of "$1")" = "$2" ] &&
		[ "$(cat "/sys/bus/virtio/devices/$1/status")" = "0x000000$3" ]
}
